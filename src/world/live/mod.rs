//! The live world: probes and actions that reach real databases, name servers, web services and commands.
//!
//! Everything that leaves here has been cleaned of hostile characters and of secret values; everything that
//! waits here is bounded. Nothing here decides: it measures, it does what it is told, and it says how it went.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinSet;

mod command;
mod declared;
mod dns;
mod dns_update;
mod foreign;
mod forms;
mod http;
mod latency;
mod mask;
mod outbox;
mod pg;
mod replication;
mod schedule;
mod secrets;
pub mod shim;
mod spool;
mod sql;
mod tail;
mod tcp;
mod tls;
mod unwatched;
mod watching;

pub use watching::Watching;

use self::outbox::Outbox;
use self::secrets::Secrets;
use super::{World, WorldEvent, shape};
use crate::clock::Clock;
use crate::contain::{contain, contain_now};
use crate::core::action::{Action, Command};
use crate::core::ids::{ProbeId, TargetId};
use crate::core::job::{Adoption, JobKey, Outcome, Stream};
use crate::core::plan::Plan;
use crate::core::probe::Probe;
use crate::core::reading::{Failure, Reading};
use crate::core::target::{Dns, Http, Target};
use crate::core::time::Span;
use crate::core::value::Value;

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

/// The outside world as it is. Dropping it ends all probes and gives up on all actions except commands, which
/// have a watcher of their own.
pub struct LiveWorld {
    measuring: Watching,
    jobs: JoinSet<()>,
    /// How running jobs are asked to stop.
    stops: BTreeMap<JobKey, watch::Sender<bool>>,
}

/// What every probe and action uses.
struct Shared {
    options: LiveOptions,
    targets: BTreeMap<TargetId, Target>,
    probes: BTreeMap<ProbeId, Probe>,
    secrets: Secrets,
    databases: pg::Databases,
    outbox: Outbox,
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

    fn output_dir(&self) -> PathBuf {
        self.options.run_dir.join("output")
    }

    /// Hands a measurement on. One that breaks its promised shape becomes a failure: expressions rely on it.
    fn reading(
        &self,
        id: &ProbeId,
        probe: &Probe,
        intended: tokio::time::Instant,
        done: tokio::time::Instant,
        result: Result<Value, Failure>,
    ) {
        let result = result.and_then(|value| match shape::mismatch(&value, &probe.kind.shape()) {
            None => Ok(value),
            Some(what) => Err(Failure::new(format!("{} broke its promise: {what}", probe.kind.name()))),
        });
        let took = done.saturating_duration_since(intended).as_millis();
        self.outbox.reading(Reading {
            probe: id.clone(),
            at: self.options.clock.at(intended.into_std()),
            took: Span(u64::try_from(took).unwrap_or(u64::MAX)),
            result,
        });
    }
}

/// Where a job's lines go.
struct Reporter {
    shared: Option<Arc<Shared>>,
    key: Option<JobKey>,
    masker: mask::Masker,
    last_words: Mutex<String>,
}

impl Reporter {
    fn new(shared: &Arc<Shared>, key: &JobKey) -> Self {
        Self {
            shared: Some(Arc::clone(shared)),
            key: Some(key.clone()),
            masker: mask::Masker::default(),
            last_words: Mutex::default(),
        }
    }

    /// One that only listens.
    fn silent(shared: &Shared) -> Self {
        Self { shared: None, key: None, masker: shared.secrets.masker(), last_words: Mutex::default() }
    }

    /// Foreign text made harmless.
    fn tell(&self, text: &str) -> String {
        match &self.shared {
            Some(shared) => shared.secrets.tell(text),
            None => foreign::clean(&self.masker.mask(text)),
        }
    }

    /// A line of the action itself.
    fn line(&self, text: &str) {
        let told = self.tell(text);
        self.told(Stream::Out, told);
    }

    /// A line that is harmless already.
    fn told(&self, stream: Stream, line: String) {
        if let (Some(shared), Some(key)) = (&self.shared, &self.key) {
            shared.outbox.line(key, stream, line);
        }
    }

    fn dropped(&self, lines: u64) {
        if let (Some(shared), Some(key)) = (&self.shared, &self.key) {
            shared.outbox.dropped(key, lines);
        }
    }

    fn keep_last_words(&self, words: String) {
        *self.last_words.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }

    fn last_words(&self) -> String {
        self.last_words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl LiveWorld {
    /// A world that watches and does nothing yet. Must be called within a tokio runtime.
    pub fn new(plan: &Plan, options: LiveOptions) -> Result<Self, LiveError> {
        let measuring = Watching::new(plan, options)?;
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
    let (outcome, took) = contain(work).await.unwrap_or_else(|panicked| {
        let what = shared.secrets.tell_brief(&panicked.to_string(), 300);
        (Outcome::Unknown { why: format!("an error in gonogo itself ended the job: {what}") }, None)
    });
    let took = took.unwrap_or_else(|| Span::of(started.elapsed()));
    shared.outbox.verdict(WorldEvent::Ended { key, outcome, took });
}

/// Does what the action says.
async fn act(
    shared: &Arc<Shared>,
    key: &JobKey,
    action: &Action,
    stop: watch::Receiver<bool>,
) -> (Outcome, Option<Span>) {
    let report = Reporter::new(shared, key);
    let outcome = match action {
        Action::Command(command) => return command::run(shared, key, command, &report, stop).await,
        Action::Sql(sql) => sql::run(shared, sql, &report, stop).await,
        Action::Http(call) => http::run(shared, call, &report, stop).await,
        Action::DnsUpdate(update) => dns_update::run(shared, update, &report, stop).await,
        Action::Manual(_) | Action::Wait(_) | Action::Soak(_) => {
            Outcome::Failed { what: format!("`{}` is not done by the outside world", action.kind()) }
        }
    };
    (outcome, None)
}

/// Looks for a command of an earlier cockpit, and stays with it if it still runs.
async fn take_up(shared: Arc<Shared>, key: JobKey, command: Command, stop: watch::Receiver<bool>) {
    let look = {
        let (shared, key, command) = (Arc::clone(&shared), key.clone(), command.clone());
        tokio::task::spawn_blocking(move || contain_now(|| command::find(&shared, &key, &command)))
    };
    let (adoption, watcher) = look.await.ok().and_then(Result::ok).unwrap_or((Adoption::Untraceable, None));
    shared.outbox.verdict(WorldEvent::Adopted { key: key.clone(), adoption });
    if let Some(watcher) = watcher {
        let work = {
            let (shared, key) = (Arc::clone(&shared), key.clone());
            async move {
                let report = Reporter::new(&shared, &key);
                command::follow(&shared, &key, &command, watcher, &report, stop).await
            }
        };
        see_through(&shared, key, work).await;
    }
}

impl World for LiveWorld {
    fn watch(&mut self) {
        self.measuring.watch();
    }

    fn start(&mut self, key: JobKey, action: &Action) {
        let stop = self.stop_of(&key);
        let (shared, action) = (Arc::clone(&self.measuring.shared), action.clone());
        self.jobs.spawn(async move {
            let work = {
                let (shared, key) = (Arc::clone(&shared), key.clone());
                async move { act(&shared, &key, &action, stop).await }
            };
            Box::pin(see_through(&shared, key, work)).await;
        });
    }

    fn stop(&mut self, key: &JobKey) {
        if let Some(stop) = self.stops.get(key) {
            stop.send_replace(true);
        }
    }

    fn adopt(&mut self, key: JobKey, action: &Action) {
        let Action::Command(command) = action else {
            self.measuring.adopt(key, action);
            return;
        };
        let stop = self.stop_of(&key);
        self.jobs.spawn(take_up(Arc::clone(&self.measuring.shared), key, command.clone(), stop));
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
