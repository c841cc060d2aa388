//! The `command` action, run by a watcher that outlives the cockpit ([`jobs::shim`](crate::world::live::jobs::shim)), and the `command` probe.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::{JobContext, Measure, Perform};
use crate::catch_panic::catch_panic_now;
use crate::core::job::{Adoption, JobKey, Outcome};
use crate::core::kind::command::{CommandAction, CommandLine, CommandProbe};
use crate::core::reading::Failure;
use crate::core::time::Span;
use crate::core::value::Value;
use crate::world::WorldEvent;
use crate::world::live::jobs::shim::PATIENCE;
use crate::world::live::jobs::spool::{CommandRequest, Exit, Life, Process, Spool, Traces};
use crate::world::live::jobs::tail::Tail;
use crate::world::live::jobs::{Reporter, unwatched, wait_for_stop};
use crate::world::live::programs::{self, Printed, Unusable};
use crate::world::live::secrets::Secrets;
use crate::world::live::{AsOf, Shared, declared, foreign, see_through, shortage};

/// How often new output is read.
const LOOK: Duration = Duration::from_millis(40);
/// Time beyond limit and KILL after which the watcher itself counts as hung.
const OVERTIME: Duration = Duration::from_secs(10);
/// Largest answer of a command probe in bytes.
const LARGEST_ANSWER: u64 = 1024 * 1024;

impl Perform for CommandAction {
    async fn perform(&self, shared: &Arc<Shared>, job: JobContext<'_>) -> (Outcome, Option<Span>) {
        run(shared, self, job).await
    }

    /// Looks for a command of an earlier cockpit, and follows it if it still runs.
    async fn take_up(self, shared: Arc<Shared>, key: JobKey, stop: watch::Receiver<bool>) {
        let look = {
            let (shared, key, command) = (Arc::clone(&shared), key.clone(), self.clone());
            tokio::task::spawn_blocking(move || catch_panic_now(|| find(&shared, &key, &command)))
        };
        let (adoption, watcher) = look.await.ok().and_then(Result::ok).unwrap_or((Adoption::Untraceable, None));
        shared.outbox.verdict(WorldEvent::Adopted { key: key.clone(), adoption });
        if let Some(watcher) = watcher {
            let work = {
                let (shared, key) = (Arc::clone(&shared), key.clone());
                async move {
                    let report = Reporter::new(&shared, &key);
                    follow(&shared, &self, watcher, JobContext { key: &key, report: &report, stop }).await
                }
            };
            see_through(&shared, key, work).await;
        }
    }
}

/// Starts the command and follows it to its end.
async fn run(shared: &Arc<Shared>, command: &CommandAction, job: JobContext<'_>) -> (Outcome, Option<Span>) {
    let JobContext { key, report, stop } = job;
    let request = match request(shared, key, command).await {
        Ok(request) => request,
        Err(what) => return (Outcome::Failed { what: format!("{what}; nothing was run") }, None),
    };
    let mut start = tokio::process::Command::new(&shared.options.exe);
    start.arg("run-job").arg(shared.output_dir()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    for variable in shared.secrets.variables() {
        start.env_remove(variable);
    }
    let mut child = match start.spawn() {
        Ok(child) => child,
        Err(err) => {
            let exe = shared.options.exe.display();
            let why = shortage::of(&err).unwrap_or_else(|| err.to_string());
            return (Outcome::Failed { what: format!("{exe} does not start: {why}; nothing was run") }, None);
        }
    };
    let stdin = child.stdin.take();
    let handed_over = async move {
        // If writing fails, the watcher starts nothing and reports that.
        if let (Some(mut stdin), Ok(bytes)) = (stdin, serde_json::to_vec(&request)) {
            let _ = stdin.write_all(&bytes).await;
        }
    };
    let complaint = child.stderr.take();
    let watcher = child.id().and_then(|id| i32::try_from(id).ok());
    let end = async move {
        handed_over.await;
        let mut words = String::new();
        if let Some(complaint) = complaint {
            // Ends when the watcher ends; it writes nothing else there.
            let _ = complaint.take(4_096).read_to_string(&mut words).await;
        }
        let _ = child.wait().await;
        words
    };
    let spool = Spool::new(&shared.output_dir(), &key.to_string());
    let job = Watched { spool, command, report, watcher };
    let end = job.follow(end, stop, false).await;
    job.outcome(end, shared).await
}

/// Looks for a command that an earlier cockpit started. [`Adoption::Running`] comes with the process to wait for.
fn find(shared: &Shared, key: &JobKey, command: &CommandAction) -> (Adoption, Option<Process>) {
    let spool = Spool::new(&shared.output_dir(), &key.to_string());
    let lost = |why: String| (Adoption::Ended { outcome: Outcome::Unknown { why }, took: Span::ZERO }, None);
    // A second look, in case the watcher ends between reading the result and reading the note.
    for _ in 0..2 {
        match spool.exit() {
            Ok(Some(exit)) => {
                let mut tail = Tail::new(&spool, true);
                tail.finish(&Reporter::silent(shared));
                let outcome = judge(&exit, command, &tail.last_words());
                return (Adoption::Ended { outcome, took: Span(exit.took) }, None);
            }
            Ok(None) => {}
            Err(err) => return lost(format!("the result on disk cannot be read: {err}")),
        }
        // Claims the job so that nobody starts it any more: a watcher that starts only now gives way to the claim.
        match spool.claim(&Traces::default()) {
            Ok(()) => return (Adoption::NeverStarted, None),
            Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(err) => return lost(format!("cannot write to {}: {err}", shared.output_dir().display())),
        }
        let traces = match spool.traces() {
            Ok(Some(traces)) => traces,
            Ok(None) => return lost("the note of who watches it has vanished from the disk".to_owned()),
            Err(err) => return lost(format!("the notes on disk cannot be read: {err}")),
        };
        let Some(watcher) = traces.watcher else { return (Adoption::NeverStarted, None) };
        match watcher.life() {
            Life::Alive => return (Adoption::Running, Some(watcher)),
            Life::Unclear => return lost(format!("whether process {} is still the command's watcher", watcher.pid)),
            Life::Gone => {}
        }
    }
    lost(format!(
        "the command's watcher ended without writing down a result (killed, or the machine went down); {}",
        unwatched::end(&spool)
    ))
}

/// Follows a command that [`find`] found running.
async fn follow(
    shared: &Arc<Shared>,
    command: &CommandAction,
    watcher: Process,
    job: JobContext<'_>,
) -> (Outcome, Option<Span>) {
    let JobContext { key, report, stop } = job;
    let spool = Spool::new(&shared.output_dir(), &key.to_string());
    let pid = watcher.pid;
    let end = async move {
        while watcher.life() == Life::Alive {
            tokio::time::sleep(LOOK).await;
        }
        String::new()
    };
    let job = Watched { spool, command, report, watcher: Some(pid) };
    let end = job.follow(end, stop, true).await;
    job.outcome(end, shared).await
}

/// A command under way.
struct Watched<'a> {
    spool: Spool,
    command: &'a CommandAction,
    report: &'a Reporter,
    watcher: Option<i32>,
}

impl Watched<'_> {
    /// Passes on output until `end`, which returns the watcher's complaint. `None` when the watcher hung and was given
    /// up.
    async fn follow(
        &self,
        end: impl Future<Output = String>,
        mut stop: watch::Receiver<bool>,
        adopted: bool,
    ) -> Option<String> {
        let mut tail = Tail::new(&self.spool, adopted);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The watcher enforces the command's own limit; this one only catches a watcher that hangs.
        let given_up = tokio::time::sleep(self.command.limit.to_std() + PATIENCE + OVERTIME);
        tokio::pin!(end, given_up);
        let mut asked = false;
        let words = loop {
            tokio::select! {
                words = &mut end => break Some(words),
                _ = look.tick() => while tail.poll(self.report) {
                    tokio::task::yield_now().await;
                },
                () = wait_for_stop(&mut stop), if !asked => {
                    asked = true;
                    self.signal(Signal::TERM);
                }
                () = &mut given_up => break None,
            }
        };
        tail.finish(self.report);
        self.report.keep_last_words(tail.last_words());
        words
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.watcher.and_then(Pid::from_raw) {
            // A process that is gone already is fine.
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends a command whose watcher is gone, and reports how that went.
    async fn end_unwatched(&self) -> String {
        let spool = self.spool.clone();
        let ended = tokio::task::spawn_blocking(move || catch_panic_now(|| unwatched::end(&spool))).await;
        ended.ok().and_then(Result::ok).unwrap_or_else(|| "the command may still run".to_owned())
    }

    async fn outcome(&self, end: Option<String>, shared: &Shared) -> (Outcome, Option<Span>) {
        let given_up = if end.is_none() {
            let ended = self.end_unwatched().await;
            // A hung watcher hears no request to stop, so it is killed.
            self.signal(Signal::KILL);
            Some(ended)
        } else {
            None
        };
        let complaint = shared.secrets.tell_brief(end.as_deref().unwrap_or_default(), 300);
        let outcome = match self.spool.exit() {
            Ok(Some(exit)) => {
                let outcome = judge(&exit, self.command, &self.report.last_words());
                return (outcome, Some(Span(exit.took)));
            }
            Err(err) => Outcome::Unknown { why: format!("its result on disk cannot be read: {err}") },
            Ok(None) => match self.spool.never_started() {
                Ok(true) => {
                    Outcome::Failed { what: format!("the watcher did not start: {complaint}; nothing was run") }
                }
                Ok(false) if complaint.is_empty() => {
                    let (what, ended) = match given_up {
                        Some(ended) => ("hung and was given up", ended),
                        None => ("was killed before it wrote down a result", self.end_unwatched().await),
                    };
                    Outcome::Unknown { why: format!("the command's watcher {what}; {ended}") }
                }
                Ok(false) => Outcome::Unknown { why: complaint },
                Err(err) => Outcome::Unknown { why: format!("whether it was started cannot be read on disk: {err}") },
            },
        };
        (outcome, None)
    }
}

fn judge(exit: &Exit, command: &CommandAction, last_words: &str) -> Outcome {
    let said = if last_words.is_empty() { String::new() } else { format!(": {last_words}") };
    let lost = if exit.dropped > 0 {
        format!(", {:.1} MiB of output not kept", mebibytes(exit.dropped))
    } else {
        String::new()
    };
    if let Some(what) = &exit.unstarted {
        return Outcome::Failed { what: format!("{}; nothing was run", foreign::brief(what, 300)) };
    }
    if exit.over_limit {
        return Outcome::Failed { what: format!("ended because it took longer than {}{lost}{said}", command.limit) };
    }
    if exit.stopped {
        return Outcome::Failed { what: format!("told to stop, ended after {}{lost}{said}", Span(exit.took)) };
    }
    match (exit.status, exit.signal) {
        (Some(status), _) if command.success.contains(&status) => {
            Outcome::Succeeded { summary: format!("exit {status}{lost}") }
        }
        (Some(status), _) => Outcome::Failed { what: format!("exit {status}{lost}{said}") },
        (None, Some(signal)) => Outcome::Failed { what: format!("ended by signal {signal}{lost}{said}") },
        (None, None) => Outcome::Unknown { why: "the system did not say how it ended".to_owned() },
    }
}

#[allow(clippy::cast_precision_loss)] // shown with one digit
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

async fn request(shared: &Shared, key: &JobKey, command: &CommandAction) -> Result<CommandRequest, String> {
    let argv = argv(&command.run)?;
    // So that they are masked even when this command does not use them.
    shared.secrets.prime().await;
    let mut env = environment(shared, &command.env).await?;
    env.insert("GONOGO_STEP".to_owned(), key.step.to_string());
    env.insert("GONOGO_ATTEMPT".to_owned(), key.attempt.to_string());
    env.insert("GONOGO_IDEMPOTENCY_KEY".to_owned(), format!("{}.{key}", shared.options.run_id));
    let cwd = match &command.cwd {
        Some(cwd) => Some(shared.secrets.reveal(cwd).await?),
        None => None,
    };
    Ok(CommandRequest {
        key: key.to_string(),
        argv,
        env,
        cwd,
        limit: command.limit.millis(),
        needles: shared.secrets.masker().needles(),
    })
}

/// Program and arguments. Every user of the machine can read a process's arguments, so no secret is allowed in them.
fn argv(run: &CommandLine) -> Result<Vec<String>, String> {
    let argv = match run {
        CommandLine::Argv(argv) => argv.clone(),
        CommandLine::Shell(text) => vec!["/bin/sh".to_owned(), "-c".to_owned(), text.clone()],
    };
    match argv.iter().find_map(|word| Secrets::first_in(word)) {
        Some(name) => Err(format!(
            "secret `{}` stands in the command line, where every user of this machine can read it: hand it over in `env`",
            foreign::brief(name, 80)
        )),
        None => Ok(argv),
    }
}

async fn environment(shared: &Shared, own: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    let mut env = BTreeMap::from([
        ("GONOGO_RUN".to_owned(), shared.options.run_id.clone()),
        ("GONOGO_EPOCH".to_owned(), shared.options.epoch.to_string()),
    ]);
    for (name, value) in own {
        env.insert(name.clone(), shared.secrets.reveal(value).await?);
    }
    Ok(env)
}

impl Measure for CommandProbe {
    type Memory = ();

    const DESCRIPTORS: u32 = 8;

    async fn measure(&self, shared: &Shared, _: Duration, (): &mut ()) -> Result<Value, Failure> {
        measure(shared, self).await
    }

    fn as_of(&self, seen: &Value, (): &()) -> Result<Vec<AsOf>, Failure> {
        self.as_of.iter().map(|field| declared::as_of(seen, field)).collect()
    }
}

/// Measures once. The command dies with the measurement.
async fn measure(shared: &Shared, probe: &CommandProbe) -> Result<Value, Failure> {
    let words = argv(&probe.run).map_err(Failure::new)?;
    let env = environment(shared, &probe.env).await.map_err(Failure::new)?;
    let (program, args) = words.split_first().ok_or_else(|| Failure::new("there is nothing to run"))?;
    let mut command = programs::command(program);
    command.args(args);
    for variable in shared.secrets.variables() {
        command.env_remove(variable);
    }
    command.envs(env);
    let Printed { status, out, err } = programs::run(command, LARGEST_ANSWER).await.map_err(|why| {
        Failure::new(match why {
            Unusable::Unstarted(err) => {
                let why = shortage::of(&err).unwrap_or_else(|| err.to_string());
                format!("{} does not start: {why}", shared.secrets.tell(program))
            }
            Unusable::TooMuch => "the command printed more than 1 MiB and was stopped".to_owned(),
            Unusable::Lost(err) => format!("the command is lost: {err}"),
        })
    })?;
    if !status.success() {
        let words = shared.secrets.tell_brief(String::from_utf8_lossy(&err).trim(), 200);
        let said = if words.is_empty() { String::new() } else { format!(": {words}") };
        return Err(Failure::new(format!("the command ended with {status}{said}")));
    }
    let json = declared::json(&out, "what the command printed", &shared.secrets)?;
    declared::document(&json, &probe.fields, &shared.secrets)
}
