//! Ends the programs of measurements when the cockpit that waits for them is killed.
//!
//! A program that a probe or a secret waits for is ended by the cockpit ([`programs`](crate::world::live::programs)). One that is
//! killed ends nothing, so a process of its own (`gonogo end-programs`) knows which are under way and hears when the cockpit is gone:
//! its input ends.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::system::process::born;

/// The gonogo program.
static EXE: OnceLock<PathBuf> = OnceLock::new();
/// The keeper of this process. It is started with the first program.
static KEEPER: Mutex<Option<Keeper>> = Mutex::new(None);

struct Keeper {
    process: Child,
    orders: ChildStdin,
}

/// Says which program the keeper is started from. The first word counts.
pub(in crate::world::live) fn is_started_from(exe: &Path) {
    // Another world of the same process runs the same program.
    let _ = EXE.set(exe.to_owned());
}

/// The gonogo program, when somebody has said where it is.
pub(in crate::world::live) fn exe() -> Option<&'static Path> {
    EXE.get().map(PathBuf::as_path)
}

/// Hands the keeper a process group that is to end with this process. Without a keeper it is ended by this process alone.
pub(in crate::world::live) fn begun(group: i32) {
    order('+', group, true);
}

/// Tells the keeper that a group has ended.
pub(in crate::world::live) fn ended(group: i32) {
    order('-', group, false);
}

fn order(what: char, group: i32, start: bool) {
    let mut keeper = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    // Somebody may have killed it.
    if keeper.as_mut().is_some_and(|keeper| !matches!(keeper.process.try_wait(), Ok(None))) {
        *keeper = None;
    }
    if keeper.is_none() && start {
        *keeper = EXE.get().and_then(|exe| Keeper::start(exe).ok());
    }
    if let Some(keeper) = keeper.as_mut() {
        // A keeper that does not read is not waited for.
        let _ = keeper.orders.write_all(format!("{what}{group}\n").as_bytes());
    }
}

impl Keeper {
    fn start(exe: &Path) -> std::io::Result<Self> {
        let mut command = Command::new(exe);
        // It needs nothing, and secrets may stand in the environment.
        command.arg("end-programs").env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn()?;
        let orders = process.stdin.take().ok_or_else(|| std::io::Error::other("it has no input"))?;
        fcntl_setfl(&orders, OFlags::NONBLOCK)?;
        Ok(Self { process, orders })
    }
}

/// The keeper itself: hears of groups until its input ends, and then ends those that are left.
pub fn main() -> i32 {
    // Signals of the terminal are not for it. Fails only if that was done before.
    let _ = rustix::process::setsid();
    let mut groups: BTreeMap<i32, Option<String>> = BTreeMap::new();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let (what, group) = line.split_at_checked(1).unwrap_or_default();
        let Ok(group) = group.parse::<i32>() else { continue };
        match what {
            "+" => drop(groups.insert(group, born(group))),
            _ => drop(groups.remove(&group)),
        }
    }
    for (group, began) in groups {
        // The number may belong to another process by now. A group whose leader is gone keeps its number.
        let is_another = born(group).is_some_and(|now| began.is_some_and(|began| began != now));
        if let Some(group) = Pid::from_raw(group).filter(|_| !is_another) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
    0
}
