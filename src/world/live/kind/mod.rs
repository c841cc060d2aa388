//! What each kind of probe measures and each kind of action does in a live run: one file per kind.
//!
//! The dispatch is made from the list of kinds, so a kind without a file here, or without its trait, does not compile.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::jobs::Reporter;
use super::{AsOf, Shared, schedule};
use crate::core::action::Action;
use crate::core::ids::ProbeId;
use crate::core::job::{Adoption, JobKey, Outcome};
use crate::core::kind::{self, kinds};
use crate::core::moves::Moves;
use crate::core::probe::{Probe, ProbeKind};
use crate::core::reading::Failure;
use crate::core::time::{At, Span};
use crate::core::value::Value;
use crate::world::WorldEvent;

pub(super) use self::replication::{Beater, Deeds};
#[cfg(feature = "aws")]
pub(super) use self::route53::HostedZones;

/// A kind of probe that measures when it is asked to.
pub(super) trait Measure: Clone + Send + Sync + 'static {
    /// What it keeps from one measurement to the next; `()` for nothing.
    type Memory: Default + Send;

    /// How many files and connections one measurement may have open at once, look-ups of names apart.
    const DESCRIPTORS: u32;

    /// Measures once. `limit` is the time until the measurement is given up; a kind that can say something about a
    /// missing answer must report before that.
    fn measure(
        &self,
        shared: &Shared,
        limit: Duration,
        memory: &mut Self::Memory,
    ) -> impl Future<Output = Result<Value, Failure>> + Send;

    /// Takes in what earlier cockpits of the same run have measured, oldest first.
    fn recall(&self, _earlier: &[(At, Value)], _memory: &mut Self::Memory) {}

    /// Takes in who answered the last of them.
    fn recall_answerer(&self, _moves: &Moves, _memory: &mut Self::Memory) {}

    /// The moments that the other side gives for `seen`, which was just measured. Empty when it describes the moment of
    /// the measurement.
    fn as_of(&self, _seen: &Value, _memory: &Self::Memory) -> Result<Vec<AsOf>, Failure> {
        Ok(Vec::new())
    }

    /// How often somebody else has answered than before, where the values that it measures do not tell.
    fn moves(&self, _memory: &Self::Memory) -> Moves {
        Moves::default()
    }
}

/// A kind of probe that measures for ever, from `first` on, until its task is aborted.
///
/// Every kind that can [`Measure`] is scheduled on the common timetable. Only a kind with a timetable of its own
/// implements this.
pub(super) trait Watch: Clone + Send + Sync + 'static {
    /// Measures for ever and hands each result to [`Shared::reading`].
    fn watch(self, shared: Arc<Shared>, id: ProbeId, probe: Probe, first: Instant) -> impl Future<Output = ()> + Send;
}

impl<T: Measure> Watch for T {
    async fn watch(self, shared: Arc<Shared>, id: ProbeId, probe: Probe, first: Instant) {
        schedule::on_timetable(shared, id, probe, self, first).await;
    }
}

/// A job as the kind that does it sees it.
pub(super) struct JobContext<'a> {
    /// Its name, also the idempotency key.
    pub key: &'a JobKey,
    /// Where its lines go.
    pub report: &'a Reporter,
    /// Becomes true when the job is asked to stop.
    pub stop: watch::Receiver<bool>,
}

/// A kind of action that can be done.
pub(super) trait Perform: Clone + Send + Sync + 'static {
    /// Does it and says how it ended, with its run time where that was measured elsewhere.
    fn perform(
        &self,
        shared: &Arc<Shared>,
        job: JobContext<'_>,
    ) -> impl Future<Output = (Outcome, Option<Span>)> + Send;

    /// Looks for a job of an earlier cockpit, reports what it found and, if it still runs, its end. Only for kinds that
    /// leave a trace ([`ActionSpec::leaves_a_trace`](crate::core::kind::spec::ActionSpec::leaves_a_trace)).
    fn take_up(
        self,
        shared: Arc<Shared>,
        key: JobKey,
        _stop: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send {
        async move { shared.outbox.verdict(WorldEvent::Adopted { key, adoption: Adoption::Untraceable }) }
    }
}

macro_rules! dispatch {
    ($($module:ident {
        $(probe $probe:ident($probe_type:ident) $probe_word:literal $(pane $pane:ident)?)?
        $(action $action:ident($action_type:ident) $action_word:literal)?
    })*) => {
        $(mod $module;)*

        /// Measures for ever, from `first` on.
        pub(super) async fn watch_probe(shared: Arc<Shared>, id: ProbeId, probe: Probe, first: Instant) {
            match probe.kind.clone() {
                $($(ProbeKind::$probe(of) => kind::$probe_type::watch(of, shared, id, probe, first).await,)?)*
            }
        }

        /// Does what the action says.
        pub(super) async fn perform(shared: &Arc<Shared>, action: &Action, job: JobContext<'_>) -> (Outcome, Option<Span>) {
            match action {
                $($(Action::$action(of) => of.perform(shared, job).await,)?)*
                Action::Manual(_) | Action::Wait(_) | Action::Soak(_) => {
                    let what = format!("`{}` is not done by the outside world", action.kind());
                    (Outcome::Failed { what }, None)
                }
            }
        }

        /// Looks for a job of an earlier cockpit that left a trace, and follows it if it still runs.
        pub(super) async fn take_up(shared: Arc<Shared>, action: Action, key: JobKey, stop: watch::Receiver<bool>) {
            match action {
                $($(Action::$action(of) => of.take_up(shared, key, stop).await,)?)*
                Action::Manual(_) | Action::Wait(_) | Action::Soak(_) => {
                    shared.outbox.verdict(WorldEvent::Adopted { key, adoption: Adoption::Untraceable });
                }
            }
        }
    };
}
kinds!(dispatch);
