//! How many files and connections this program may have open at once.
//!
//! Systems give a process a small soft limit, often 1,024 and on some 256, and let it raise that up to the hard limit. The
//! limit is for programs that use `select(2)`; this one does not.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than this is never asked for: the programs that are started inherit it, and some look at each of them.
const ENOUGH: u64 = 16_384;

/// Raises the soft limit as far as it may and is useful. What cannot be raised stays as it is.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH));
    if current.is_some_and(|current| current < wanted) {
        // Whoever needs more than there is says so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// The soft limit as it stands; no more than is ever useful.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.map_or(ENOUGH, |current| current.min(ENOUGH))
}

/// The limit in words, for whoever cannot do something because of it.
pub fn limit_in_words() -> String {
    format!("gonogo may open no more than {} files (`ulimit -n`)", limit())
}

/// What measuring leaves to everything else: the journal, the terminal, commands.
const RESERVED: u64 = 96;
/// As many as any probe opens for one measurement, of whatever kind: its own look-ups, connections and pipes.
const FOR_A_MEASUREMENT: u64 = 16;

/// What stays reserved under a limit; where that is small, a third of it.
fn reserved() -> u64 {
    RESERVED.min(limit() / 3)
}

/// Files that the measurements of so many probes may have open at once, each probe with one measurement under way: enough for
/// all of them, and where the limit is small what half of it leaves beside the reserve.
pub fn for_measurements(probes: usize) -> u64 {
    let all = FOR_A_MEASUREMENT.saturating_mul(u64::try_from(probes).unwrap_or(u64::MAX));
    all.min((limit() / 2).saturating_sub(reserved()))
}

/// Files that requests on a timetable of their own may open beside them.
pub fn for_requests(probes: usize) -> u64 {
    limit().saturating_sub(reserved() + for_measurements(probes))
}

/// The part of them that questions to name servers may open.
pub fn for_name_servers() -> u64 {
    for_requests(0) / 2
}

/// Names that may be looked up at once by the system, which goes on with each for as long as it likes.
pub fn for_look_ups() -> u64 {
    (limit() / 16).clamp(4, 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_and_never_lowered() {
        let before = limit();
        raise_limit();
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        assert_eq!(limit(), maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH)).max(before));
    }

    #[test]
    fn what_measures_leaves_the_reserve_whatever_the_number_of_probes() {
        raise_limit();
        for probes in [0, 1, 40, 1_000, usize::MAX] {
            let measuring = for_measurements(probes) + for_requests(probes);
            assert!(measuring + reserved() <= limit(), "{probes} probes take {measuring} of {}", limit());
            assert!(for_name_servers() <= for_requests(0));
        }
    }
}
