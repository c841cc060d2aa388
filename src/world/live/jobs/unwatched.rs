//! What happens to a command whose watcher is gone.
//!
//! The rule is the same whether a cockpit sees it happen or finds it on `resume`: the command is ended, with TERM and
//! time to clean up. Without its watcher nothing enforces its limit, its output goes into a broken pipe, and no result
//! will be recorded: left alone it would end at an arbitrary point, perhaps during the next attempt. What it did is IN
//! DOUBT in any case.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use super::shim::PATIENCE;
use super::spool::{Life, Process, Spool};

/// How often to check whether the command has gone.
const LOOK: Duration = Duration::from_millis(20);

/// Ends the command, if it is known and still runs, and says what was found and done, as the end of a sentence.
/// Waits for up to [`PATIENCE`].
pub(in crate::world::live) fn end(spool: &Spool) -> String {
    let command = match spool.traces() {
        Ok(traces) => traces.and_then(|traces| traces.command),
        Err(err) => return format!("whether the command still runs cannot be read on disk: {err}"),
    };
    let Some(command) = command else { return "whether the command was started is not known".to_owned() };
    let pid = command.pid;
    match command.life() {
        Life::Gone => "the command itself runs no more".to_owned(),
        Life::Unclear => format!("process {pid} may be the command and was left alone"),
        Life::Alive if end_group(&command) => {
            format!("gonogo then ended the command (process {pid}) with TERM")
        }
        Life::Alive => {
            format!("gonogo then ended the command (process {pid}) with TERM, and KILL after {} s", PATIENCE.as_secs())
        }
    }
}

/// Whether the process group ended in time.
fn end_group(leader: &Process) -> bool {
    let Some(group) = Pid::from_raw(leader.pid) else { return true };
    // A process that is gone already is fine.
    let _ = kill_process_group(group, Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE {
        // While any process is left in the group, its number cannot be reused. A leader that nobody waits for stays in
        // it as a zombie.
        if test_kill_process_group(group).is_err() {
            return true;
        }
        sleep(LOOK);
    }
    let _ = kill_process_group(group, Signal::KILL);
    false
}
