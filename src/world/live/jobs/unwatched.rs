//! What becomes of a command whose watcher is gone.
//!
//! One policy, whether a cockpit sees it happen or finds it on `resume`: the command is ended, with TERM and time to
//! tidy up. Nobody keeps its limit any more, what it prints goes into a broken pipe, and no result will ever be written
//! down: left alone it would end at a random place, perhaps beside the next try. What it did is IN DOUBT all the same.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use super::shim::PATIENCE;
use super::spool::{Life, Process, Spool};

/// How often it is looked whether the command has gone.
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

/// Whether the group went within its time.
fn end_group(leader: &Process) -> bool {
    let Some(group) = Pid::from_raw(leader.pid) else { return true };
    // Gone already is as good.
    let _ = kill_process_group(group, Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE {
        // While anybody is left in the group, its number cannot be given to another. A leader that nobody waits for
        // stays in it as a zombie.
        if test_kill_process_group(group).is_err() {
            return true;
        }
        sleep(LOOK);
    }
    let _ = kill_process_group(group, Signal::KILL);
    false
}
