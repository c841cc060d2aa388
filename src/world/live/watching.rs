//! A world that only measures. Its type has no access to actions, so it cannot act.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::info;

use super::jobs::keeper;
use super::jobs::outbox::Outbox;
use super::kind::Beater;
use super::net::pg;
use super::secrets::Secrets;
use super::suspensions::Suspensions;
use super::{LiveError, LiveOptions, MeasuredRequest, Shared, schedule};
use crate::core::action::Action;
use crate::core::ids::{ProbeId, TargetId};
use crate::core::job::{Adoption, JobKey, Outcome};
use crate::core::plan::Plan;
use crate::core::reading::Reading;
use crate::core::server::ServerIdentity;
use crate::core::target::Target;
use crate::core::time::{At, Span};
use crate::core::value::Value;
use crate::world::{World, WorldEvent};

/// The probes of a plan. Dropping it ends them.
pub struct Watching {
    pub(super) shared: Arc<Shared>,
    probes: JoinSet<()>,
}

impl Watching {
    /// A world that does not measure yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When there is no runtime.
    pub fn new(plan: &Plan, options: LiveOptions) -> Result<Self, LiveError> {
        Self::made(plan, options, None, None, Vec::new())
    }

    /// The same, with every request that an `http` probe measures, one by one.
    ///
    /// # Errors
    ///
    /// When there is no runtime.
    pub fn measuring(
        plan: &Plan,
        options: LiveOptions,
    ) -> Result<(Self, mpsc::UnboundedReceiver<MeasuredRequest>), LiveError> {
        let (requests, measured) = mpsc::unbounded_channel();
        Ok((Self::made(plan, options, None, Some(requests), Vec::new())?, measured))
    }

    /// The part of a world that acts.
    pub(super) fn of_a_driver(plan: &Plan, options: LiveOptions, earlier: Vec<Reading>) -> Result<Self, LiveError> {
        Self::made(plan, options, Some(Beater::of_the_driver()), None, earlier)
    }

    fn made(
        plan: &Plan,
        options: LiveOptions,
        beater: Option<Beater>,
        requests: Option<mpsc::UnboundedSender<MeasuredRequest>>,
        earlier: Vec<Reading>,
    ) -> Result<Self, LiveError> {
        tokio::runtime::Handle::try_current().map_err(|_| LiveError::NoRuntime)?;
        keeper::is_started_from(&options.exe);
        let (mut values, mut answered) = (BTreeMap::<ProbeId, Vec<(At, Value)>>::new(), BTreeMap::new());
        for reading in earlier {
            if !reading.moves.is_none() {
                answered.insert(reading.probe.clone(), reading.moves);
            }
            if let Ok(value) = reading.result {
                values.entry(reading.probe).or_default().push((reading.at, value));
            }
        }
        let databases = plan.targets.iter().filter_map(|(id, target)| match target {
            Target::Postgres(postgres) => Some((id.clone(), postgres.clone())),
            _ => None,
        });
        let shared = Shared {
            targets: plan.targets.clone(),
            probes: plan.probes.clone(),
            shapes: plan.probes.iter().map(|(id, probe)| (id.clone(), probe.kind.shape())).collect(),
            secrets: Secrets::new(plan.secrets.clone()),
            databases: pg::Databases::new(databases),
            #[cfg(feature = "aws")]
            aws: super::net::aws::Aws::default(),
            #[cfg(feature = "aws")]
            hosted: super::kind::HostedZones::default(),
            outbox: Outbox::default(),
            suspensions: Suspensions::new(),
            turns: schedule::Turns::of(plan.probes.len()),
            baselines: plan.baselines.clone(),
            beater,
            requests,
            earlier: values,
            answered,
            options,
        };
        info!(probes = shared.probes.len(), targets = shared.targets.len(), "the live world is ready");
        Ok(Self { shared: Arc::new(shared), probes: JoinSet::new() })
    }
}

impl World for Watching {
    fn watch(&mut self) {
        if self.probes.is_empty() {
            schedule::start(&self.shared, &mut self.probes);
        }
    }

    fn start(&mut self, key: JobKey, _: &Action) {
        let what = "this cockpit only watches; nothing was run".to_owned();
        let outcome = Outcome::Failed { what };
        self.shared.outbox.verdict(WorldEvent::Ended { key, outcome, took: Span::ZERO });
    }

    fn stop(&mut self, _: &JobKey) {}

    fn adopt(&mut self, key: JobKey, _: &Action) {
        self.shared.outbox.verdict(WorldEvent::Adopted { key, adoption: Adoption::Untraceable });
    }

    fn expect(&mut self, target: &TargetId, server: &ServerIdentity) {
        self.shared.databases.expect(target, server);
    }

    async fn next(&mut self) -> Option<WorldEvent> {
        Some(self.shared.outbox.next().await)
    }
}
