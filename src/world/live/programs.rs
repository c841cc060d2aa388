//! Programs that a measurement or a secret waits for. Each runs in a session of its own, which ends with the wait: a program that has
//! no terminal cannot write over the cockpit, nor ask for a password that nobody sees.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::jobs::keeper;

/// Bytes of standard error that are kept.
const LARGEST_COMPLAINT: u64 = 4_096;
/// How long the rest of the output is waited for after the program has ended: a child of it may keep the pipe open for ever.
const DRAIN: Duration = Duration::from_millis(200);

/// What the process says, on standard error, that could not become the program.
const UNSTARTED: &str = "gonogo run-program: ";
/// The status that it ends with, as in shells.
const UNSTARTED_STATUS: i32 = 127;

/// A command that runs this program in a session of its own, by way of `gonogo run-program`. Where nobody has said where gonogo is,
/// the program gets a process group only.
pub(super) fn command(program: &str) -> Command {
    if let Some(exe) = keeper::exe() {
        let mut command = Command::new(exe);
        command.args(["run-program", "--", program]);
        return command;
    }
    let mut command = Command::new(program);
    command.process_group(0);
    command
}

/// Becomes a program, in a session of its own. Returns the exit status when that cannot be.
pub fn become_program(words: &[OsString]) -> i32 {
    // Fails only if that was done before.
    let _ = rustix::process::setsid();
    let Some((program, args)) = words.split_first() else { return UNSTARTED_STATUS };
    let err = std::process::Command::new(program).args(args).exec();
    // Nobody may be reading any more.
    let _ = io::Write::write_all(&mut io::stderr(), format!("{UNSTARTED}{err}").as_bytes());
    UNSTARTED_STATUS
}

/// What a program did that has ended by itself.
pub(super) struct Printed {
    pub(super) status: ExitStatus,
    /// All of standard output.
    pub(super) out: Vec<u8>,
    /// The beginning of standard error.
    pub(super) err: Vec<u8>,
}

/// Why a program gave nothing.
pub(super) enum Unusable {
    /// It did not start.
    Unstarted(io::Error),
    /// It printed more than it may, and was stopped.
    TooMuch,
    /// The system did not say how it ended.
    Lost(io::Error),
}

/// Kills a process group when it is dropped, whatever way the wait for it ended. When this process is killed, the keeper does.
struct Group(Option<i32>);

impl Group {
    fn of(leader: Option<u32>) -> Self {
        let group = leader.and_then(|id| i32::try_from(id).ok());
        group.into_iter().for_each(keeper::begun);
        Self(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        self.0.into_iter().for_each(keeper::ended);
    }
}

/// Runs what [`command`] made to its end and keeps what it prints, at most `most` bytes. It has no input. When this future is
/// dropped, the program ends with all of its children.
pub(super) async fn run(mut command: Command, most: u64) -> Result<Printed, Unusable> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(Unusable::Unstarted)?;
    let _group = Group::of(child.id());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let status = {
        let read_out = async {
            if let Some(stdout) = stdout {
                // What cannot be read any more ends what was printed.
                let _ = stdout.take(most.saturating_add(1)).read_to_end(&mut out).await;
            }
            out.len() as u64 > most
        };
        let read_err = async {
            if let Some(stderr) = stderr {
                read_beginning(stderr, LARGEST_COMPLAINT, &mut err).await;
            }
        };
        tokio::pin!(read_out, read_err);
        let (mut out_read, mut err_read) = (false, false);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                too_much = &mut read_out, if !out_read => {
                    if too_much {
                        return Err(Unusable::TooMuch);
                    }
                    out_read = true;
                }
                () = &mut read_err, if !err_read => err_read = true,
            }
        };
        let rest = async {
            let too_much = !out_read && read_out.await;
            if !err_read {
                read_err.await;
            }
            too_much
        };
        if tokio::time::timeout(DRAIN, rest).await.unwrap_or(false) {
            return Err(Unusable::TooMuch);
        }
        status.map_err(Unusable::Lost)?
    };
    if status.code() == Some(UNSTARTED_STATUS)
        && let Some(why) = String::from_utf8_lossy(&err).strip_prefix(UNSTARTED)
    {
        return Err(Unusable::Unstarted(io::Error::other(why.to_owned())));
    }
    Ok(Printed { status, out, err })
}

/// Reads to the end and keeps the first `most` bytes: a pipe that is closed early would kill a program that says much.
async fn read_beginning(mut from: impl AsyncRead + Unpin, most: u64, into: &mut Vec<u8>) {
    if (&mut from).take(most).read_to_end(into).await.is_ok() {
        drop(tokio::io::copy(&mut from, &mut tokio::io::sink()).await);
    }
}
