//! The watcher of one command: a process of its own (`gonogo run-job DIR`) that outlives the cockpit.
//!
//! It runs the command in its own session, keeps what it prints, enforces its limit and records how it ended, whether
//! or not a cockpit is still there to see it. The request comes through standard input, because it holds secrets, and
//! no secret is ever written to disk.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::Mode;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::spool::{CommandRequest, Exit, KEPT, Process, Spool, Traces, private};
use crate::core::job::Stream;
use crate::world::live::secrets::mask::{Masker, StreamMask};

/// Time between TERM and KILL.
pub(in crate::world::live) const PATIENCE: Duration = Duration::from_secs(5);
/// How long the rest of the output is waited for after the command has ended: a child that keeps the pipes open must
/// not hold up the step.
const DRAIN: Duration = Duration::from_millis(500);
/// The umask of the watcher: what it writes is for nobody else.
const PRIVATE: Mode = Mode::from_raw_mode(0o077);
/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

/// Runs the job described on standard input, with its files in `dir`. Returns the watcher's own exit status:
/// 0 when the end of the job is on disk, whatever it was; otherwise the reason is on standard error.
pub fn main(dir: &Path) -> i32 {
    match watch_over(dir) {
        Ok(()) => 0,
        Err(what) => {
            // Nobody may be reading any more.
            let _ = writeln!(std::io::stderr(), "{what}");
            1
        }
    }
}

fn watch_over(dir: &Path) -> Result<(), String> {
    // Detaches from the terminal's hang-up and Ctrl-C. Fails only if that was done before.
    let _ = rustix::process::setsid();
    let operators = rustix::process::umask(PRIVATE);
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(|err| format!("cannot read the request: {err}"))?;
    // The request is incomplete when the cockpit died while writing it; then nothing is started.
    let request: CommandRequest = serde_json::from_slice(&bytes).map_err(|_| "the request is incomplete".to_owned())?;
    drop(bytes);
    let spool = Spool::new(dir, &request.key);
    let mut traces = Traces { watcher: Some(own()?), command: None, started: wall_ms() };
    spool.claim(&traces).map_err(|err| match err.kind() {
        std::io::ErrorKind::AlreadyExists => "this attempt was started before".to_owned(),
        _ => format!("cannot write to {}: {err}", dir.display()),
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|err| format!("cannot start: {err}"))?;
    let exit = runtime.block_on(run(&request, operators, &spool, &mut traces));
    // Does not wait for threads that may hang in a write to a dead disk.
    runtime.shutdown_background();
    spool.end(&exit).map_err(|err| format!("cannot write the result to {}: {err}", dir.display()))
}

async fn run(request: &CommandRequest, operators: Mode, spool: &Spool, traces: &mut Traces) -> Exit {
    let masker = Masker::from_needles(request.needles.clone());
    let unstarted = |what: String| Exit { unstarted: Some(masker.mask(&what)), at: wall_ms(), ..Exit::default() };
    // Before the command starts, so that no request to stop is lost.
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return unstarted("signals cannot be received".to_owned());
    };
    let started = Instant::now();
    // A command makes files for others, such as a web server: it has the umask of whoever started the cockpit. The watcher
    // is a single thread, so that no file of its own is made meanwhile.
    rustix::process::umask(operators);
    let spawned = spawn(request);
    rustix::process::umask(PRIVATE);
    let mut child = match spawned {
        Ok(child) => child,
        Err(what) => return unstarted(what),
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    traces.command = group.map(Process::of);
    // If this note cannot be written, a later cockpit only knows less.
    let _ = spool.update(traces);
    let (ended, end) = watch::channel(false);
    let out = keep(child.stdout.take(), spool, Stream::Out, masker.clone(), end.clone());
    let err = keep(child.stderr.take(), spool, Stream::Err, masker, end);
    let wait = async {
        let waited = guard(&mut child, group, Duration::from_millis(request.limit), &mut term).await;
        let took = started.elapsed();
        let _ = ended.send(true);
        (waited, took)
    };
    let ((waited, took), out, err) = tokio::join!(wait, out, err);
    Exit {
        status: waited.status.and_then(|status| status.code()),
        signal: waited.status.and_then(|status| std::os::unix::process::ExitStatusExt::signal(&status)),
        unstarted: None,
        over_limit: waited.over_limit,
        stopped: waited.stopped,
        took: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        at: wall_ms(),
        dropped: out + err,
    }
}

fn spawn(request: &CommandRequest) -> Result<Child, String> {
    let (program, args) = request.argv.split_first().ok_or("there is nothing to run")?;
    let mut command = Command::new(program);
    command
        .args(args)
        .envs(&request.env)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(cwd) = &request.cwd {
        command.current_dir(cwd);
    }
    command.spawn().map_err(|err| match &request.cwd {
        Some(cwd) if !Path::new(cwd).is_dir() => format!("there is no directory {cwd}"),
        _ => format!("{program} does not start: {err}"),
    })
}

struct Waited {
    status: Option<ExitStatus>,
    over_limit: bool,
    stopped: bool,
}

/// Waits for the command; ends its group with TERM, then KILL, at its limit or when asked.
async fn guard(
    child: &mut Child,
    group: Option<i32>,
    limit: Duration,
    term: &mut tokio::signal::unix::Signal,
) -> Waited {
    let mut waited = Waited { status: None, over_limit: false, stopped: false };
    tokio::select! {
        status = child.wait() => {
            waited.status = status.ok();
            return waited;
        }
        () = tokio::time::sleep(limit) => waited.over_limit = true,
        _ = term.recv() => waited.stopped = true,
    }
    hit(group, Signal::TERM);
    let gone = async {
        waited.status = child.wait().await.ok();
        // The leader's children have the same time to tidy up.
        while group.and_then(Pid::from_raw).is_some_and(|group| test_kill_process_group(group).is_ok()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, gone).await.is_ok();
    if !in_time {
        hit(group, Signal::KILL);
    }
    if waited.status.is_none() {
        waited.status = child.wait().await.ok();
    }
    waited
}

fn hit(group: Option<i32>, signal: Signal) {
    if let Some(group) = group.and_then(Pid::from_raw) {
        // A process that is gone already is fine.
        let _ = kill_process_group(group, signal);
    }
}

/// Copies a stream to its file, masked, up to [`KEPT`] bytes. Goes on reading after that, so that the command
/// is never blocked. Returns the number of bytes that were not kept.
async fn keep(
    from: Option<impl AsyncRead + Unpin>,
    spool: &Spool,
    stream: Stream,
    masker: Masker,
    mut ended: watch::Receiver<bool>,
) -> u64 {
    let Some(mut from) = from else { return 0 };
    let mut file = private().create_new(true).open(spool.stream(stream)).ok();
    let mut mask = StreamMask::new(masker);
    let mut piece = vec![0; PIECE];
    let mut text = Vec::with_capacity(PIECE);
    let mut kept = 0;
    let mut dropped = 0;
    let mut store = |text: &[u8]| {
        let room = usize::try_from(KEPT - kept).unwrap_or(usize::MAX).min(text.len());
        let (now, over) = text.split_at(room);
        match file.as_mut().map(|file| file.write_all(now)) {
            Some(Ok(())) => {
                kept += now.len() as u64;
                dropped += over.len() as u64;
            }
            // A full disk must not stop the command.
            _ => dropped += text.len() as u64,
        }
    };
    let mut deadline = None;
    loop {
        let read = tokio::select! {
            read = from.read(&mut piece) => read,
            Ok(_) = ended.wait_for(|ended| *ended), if deadline.is_none() => {
                deadline = Some(tokio::time::Instant::now() + DRAIN);
                continue;
            }
            () = sleep_until(deadline) => break,
        };
        let Some(new) = read.ok().filter(|&n| n > 0).and_then(|n| piece.get(..n)) else { break };
        text.clear();
        mask.push(new, &mut text);
        store(&text);
        if deadline.is_some_and(|deadline| deadline <= tokio::time::Instant::now()) {
            break; // somebody else still writes
        }
    }
    text.clear();
    mask.finish(&mut text);
    store(&text);
    dropped
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn own() -> Result<Process, String> {
    i32::try_from(std::process::id()).map(Process::of).map_err(|err| err.to_string())
}

fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
