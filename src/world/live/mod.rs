//! The live world: probes and actions that reach real databases, name servers, web services and commands.
//!
//! Everything that leaves here has been cleaned of hostile characters and of secret values; everything that waits here
//! is bounded. Nothing here decides: it measures, carries out what it is told, and reports the result.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

mod declared;
mod files;
mod foreign;
pub mod jobs;
mod kind;
mod net;
pub mod programs;
mod schedule;
mod scout;
mod secrets;
mod shortage;
mod suspensions;
mod waiting;
mod watching;

pub use net::dns::burst::ask_many;
pub use net::dns::system::SystemDns;
pub use scout::{DnsScout, ScoutedName};
pub use watching::Watching;

use self::jobs::Reporter;
use self::jobs::outbox::Outbox;
use self::kind::JobContext;
use self::net::pg;
use self::secrets::Secrets;
use self::suspensions::Suspensions;
use super::{World, WorldEvent, shape};
use crate::catch_panic::catch_panic;
use crate::clock::Clock;
use crate::core::action::Action;
#[cfg(feature = "aws")]
use crate::core::aws::{CloudWatchRegion, HostedZone};
use crate::core::ids::{ProbeId, TargetId};
use crate::core::job::{JobKey, Outcome};
use crate::core::moves::Moves;
use crate::core::plan::Plan;
use crate::core::probe::Probe;
use crate::core::reading::{Failure, Reading};
use crate::core::server::{ServerIdentity, Servers};
use crate::core::target::{Dns, Http, Target};
use crate::core::time::{At, Span};
use crate::core::value::{Shape, Value};

/// What the live world needs to know beyond the plan.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// The run's own directory, which exists and only its owner may read. Output is spooled below it.
    pub run_dir: PathBuf,
    /// The run's name, handed to commands.
    pub run_id: String,
    /// The driver's fencing number, handed to commands.
    pub epoch: u64,
    /// The run clock.
    pub clock: Clock,
    /// The gonogo program, started again to watch over each command.
    pub exe: PathBuf,
    /// The name servers of this machine.
    pub system_dns: SystemDns,
}

/// Why there is no live world.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// It was made outside an asynchronous runtime.
    #[error("the live world needs a running tokio runtime")]
    NoRuntime,
    /// The directory for output cannot be made.
    #[error("cannot create {}: {source}", path.display())]
    Output {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// The outside world as it is. Dropping it ends all probes and abandons all actions except commands, which have a
/// watcher of their own.
pub struct LiveWorld {
    measuring: Watching,
    jobs: JoinSet<()>,
    /// How running jobs are asked to stop.
    stops: BTreeMap<JobKey, watch::Sender<bool>>,
}

/// By how much another clock that dates a reading may be ahead of this machine's.
const CLOCK_SLACK: Span = Span::secs(2);

/// How the other side dates a reading.
#[derive(Clone, Copy, Debug, PartialEq)]
enum AsOf {
    /// At this moment of its own clock.
    Moment(jiff::Timestamp),
    /// So long before it was read.
    Age(Span),
}

impl AsOf {
    fn on(self, clock: &Clock) -> At {
        match self {
            AsOf::Moment(moment) => clock.at_wall_time(moment),
            AsOf::Age(age) => clock.now().before(age),
        }
    }
}

/// What every probe and action uses.
struct Shared {
    options: LiveOptions,
    targets: BTreeMap<TargetId, Target>,
    probes: BTreeMap<ProbeId, Probe>,
    /// The declared shape of every probe's readings.
    shapes: BTreeMap<ProbeId, Shape>,
    secrets: Secrets,
    databases: pg::Databases,
    /// Whoever asks AWS.
    #[cfg(feature = "aws")]
    aws: net::aws::Aws,
    /// What is known of the hosted zones of AWS.
    #[cfg(feature = "aws")]
    hosted: kind::HostedZones,
    outbox: Outbox,
    suspensions: Suspensions,
    /// The files that measurements may open at once.
    turns: schedule::Turns,
    /// The text of the baseline that a probe is judged against.
    baselines: BTreeMap<ProbeId, Arc<str>>,
    /// What writes heartbeats; `None` in a world that only measures.
    beater: Option<kind::Beater>,
    /// Receives every single request that was measured, when the caller wants them.
    requests: Option<mpsc::UnboundedSender<MeasuredRequest>>,
    /// What earlier cockpits of this run have measured last, oldest first.
    earlier: BTreeMap<ProbeId, Vec<(At, Value)>>,
    /// Who answered them last, by probe.
    answered: BTreeMap<ProbeId, Moves>,
}

/// A request of an `http` probe that has ended, or some that were not measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasuredRequest {
    /// Who measured it.
    pub probe: ProbeId,
    /// The side that was asked.
    pub side: String,
    /// The kind of request.
    pub request: String,
    /// How it ended.
    pub outcome: MeasuredOutcome,
    /// `address:port` that it was sent to, when a connection was made.
    pub address: Option<String>,
    /// Whether it was the first that somebody else than before has answered: from whom to whom.
    pub moved: Option<String>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeasuredOutcome {
    /// It succeeded, after so many microseconds.
    Took(u64),
    /// It failed: why.
    Failed(String),
    /// So many were due and say nothing of the service: why the newest of them does not.
    NotMeasured(u64, String),
}

impl Shared {
    fn http(&self, id: &TargetId) -> Result<&Http, String> {
        match self.targets.get(id) {
            Some(Target::Http(http)) => Ok(http),
            _ => Err(format!("`{id}` is no http target")),
        }
    }

    fn dns(&self, id: &TargetId) -> Result<&Dns, String> {
        match self.targets.get(id) {
            Some(Target::Dns(dns)) => Ok(dns),
            _ => Err(format!("`{id}` is no dns target")),
        }
    }

    #[cfg(feature = "aws")]
    fn hosted_zone(&self, id: &TargetId) -> Result<&HostedZone, String> {
        match self.targets.get(id) {
            Some(Target::Route53(zone)) => Ok(zone),
            _ => Err(format!("`{id}` is no route53 target")),
        }
    }

    #[cfg(feature = "aws")]
    fn cloudwatch(&self, id: &TargetId) -> Result<&CloudWatchRegion, String> {
        match self.targets.get(id) {
            Some(Target::Cloudwatch(of)) => Ok(of),
            _ => Err(format!("`{id}` is no cloudwatch target")),
        }
    }

    fn output_dir(&self) -> PathBuf {
        self.options.run_dir.join("output")
    }

    /// Hands on a measurement that describes the present.
    fn reading(
        &self,
        id: &ProbeId,
        probe: &Probe,
        intended: tokio::time::Instant,
        done: tokio::time::Instant,
        result: Result<Value, Failure>,
    ) {
        self.reading_of(id, probe, (intended, done), (&[], Moves::default()), result);
    }

    /// Hands on a measurement, with the times it was meant to begin and it ended, and the moments that the other side
    /// gives for it: the earliest counts, and how often somebody else has answered. A measurement that breaks its declared shape becomes a failure, since
    /// expressions rely on the shape.
    fn reading_of(
        &self,
        id: &ProbeId,
        probe: &Probe,
        (intended, done): (tokio::time::Instant, tokio::time::Instant),
        (as_of, moves): (&[AsOf], Moves),
        result: Result<Value, Failure>,
    ) {
        let clock = &self.options.clock;
        let told = as_of.iter().map(|as_of| as_of.on(clock)).min();
        let ahead = told.map(|told| told.since(clock.at(done.into_std()))).filter(|ahead| *ahead > CLOCK_SLACK);
        let result = match ahead {
            Some(ahead) if result.is_ok() => {
                Err(Failure::new(format!("what was read says that it is of {ahead} from now: the clocks differ")))
            }
            _ => result,
        };
        let promised = self.shapes.get(id).unwrap_or(&Shape::Any);
        let result = result.and_then(|value| match shape::mismatch(&value, promised) {
            None => Ok(value),
            Some(what) => Err(Failure::new(format!("{} broke its promise: {what}", probe.kind.name()))),
        });
        let took = done.saturating_duration_since(intended).as_millis();
        match &result {
            Ok(_) => debug!(probe = %id, took, "measured"),
            Err(failure) => warn!(probe = %id, took, why = %failure, "no reading"),
        }
        self.outbox.reading(Reading {
            probe: id.clone(),
            at: self.options.clock.at(intended.into_std()),
            took: Span(u64::try_from(took).unwrap_or(u64::MAX)),
            as_of: told.filter(|_| result.is_ok()),
            result,
            servers: self.servers(probe),
            moves,
        });
    }

    /// The servers that answered a probe, where its targets report their identity.
    fn servers(&self, probe: &Probe) -> Servers {
        let server = |id: &TargetId| Some((id.clone(), self.databases.server(id)?));
        probe.kind.targets().into_iter().filter_map(|used| server(used.id)).collect()
    }
}

impl LiveWorld {
    /// A world that watches and does nothing yet. Must be called within a tokio runtime.
    pub fn new(plan: &Plan, options: LiveOptions) -> Result<Self, LiveError> {
        Self::resuming(plan, options, Vec::new())
    }

    /// The same for a run that others have driven before, with what they have measured last, oldest first.
    pub fn resuming(plan: &Plan, options: LiveOptions, earlier: Vec<Reading>) -> Result<Self, LiveError> {
        let measuring = Watching::of_a_driver(plan, options, earlier)?;
        let path = measuring.shared.output_dir();
        private_dir(&path).map_err(|source| LiveError::Output { path, source })?;
        Ok(Self { measuring, jobs: JoinSet::new(), stops: BTreeMap::new() })
    }

    /// How the job `key` will be asked to stop.
    fn stop_of(&mut self, key: &JobKey) -> watch::Receiver<bool> {
        let (stop, asked) = watch::channel(false);
        self.stops.retain(|_, stop| !stop.is_closed());
        self.stops.insert(key.clone(), stop);
        while self.jobs.try_join_next().is_some() {}
        asked
    }
}

/// Waits for a job's `work` and reports its end, also when it panics.
async fn see_through<F>(shared: &Shared, key: JobKey, work: F)
where
    F: Future<Output = (Outcome, Option<Span>)> + Send + 'static,
{
    let started = Instant::now();
    let (outcome, took) = catch_panic(work).await.unwrap_or_else(|panicked| {
        let what = shared.secrets.tell_brief(&panicked.to_string(), 300);
        error!(job = %key, what = %what, "a panic was caught");
        (Outcome::Unknown { why: format!("an error in gonogo itself ended the job: {what}") }, None)
    });
    let took = took.unwrap_or_else(|| Span::of(started.elapsed()));
    match &outcome {
        Outcome::Succeeded { summary } => info!(job = %key, %took, summary = %summary, "succeeded"),
        Outcome::Failed { what } => warn!(job = %key, %took, what = %what, "failed"),
        Outcome::Unknown { why } => warn!(job = %key, %took, why = %why, "nobody knows how it ended"),
    }
    shared.databases.renew();
    shared.outbox.verdict(WorldEvent::Ended { key, outcome, took });
}

impl World for LiveWorld {
    fn watch(&mut self) {
        self.measuring.watch();
    }

    fn start(&mut self, key: JobKey, action: &Action) {
        info!(job = %key, kind = action.kind(), "started");
        let stop = self.stop_of(&key);
        let (shared, action) = (Arc::clone(&self.measuring.shared), action.clone());
        self.jobs.spawn(async move {
            let work = {
                let (shared, key) = (Arc::clone(&shared), key.clone());
                async move {
                    let report = Reporter::new(&shared, &key);
                    kind::perform(&shared, &action, JobContext { key: &key, report: &report, stop }).await
                }
            };
            Box::pin(see_through(&shared, key, work)).await;
        });
    }

    fn stop(&mut self, key: &JobKey) {
        info!(job = %key, "asked to stop");
        if let Some(stop) = self.stops.get(key) {
            stop.send_replace(true);
        }
    }

    fn adopt(&mut self, key: JobKey, action: &Action) {
        info!(job = %key, kind = action.kind(), "looked for");
        if !action.leaves_a_trace() {
            self.measuring.adopt(key, action);
            return;
        }
        let stop = self.stop_of(&key);
        self.jobs.spawn(kind::take_up(Arc::clone(&self.measuring.shared), action.clone(), key, stop));
    }

    fn expect(&mut self, target: &TargetId, server: &ServerIdentity) {
        self.measuring.expect(target, server);
    }

    async fn next(&mut self) -> Option<WorldEvent> {
        self.measuring.next().await
    }
}

fn private_dir(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(err) if err.kind() != std::io::ErrorKind::AlreadyExists => Err(err),
        _ => Ok(()),
    }
}
