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

/// What measuring leaves to everything else: the journal, the terminal, commands.
const RESERVED: u64 = 96;
/// The same for every probe, of whatever kind: its own look-ups, connections and pipes.
const RESERVED_FOR_A_PROBE: u64 = 16;

/// Files that many measurements at once may open, with so many probes.
pub fn for_measuring(probes: usize) -> u64 {
    let limit = limit();
    let of_probes = RESERVED_FOR_A_PROBE.saturating_mul(u64::try_from(probes).unwrap_or(u64::MAX));
    limit - RESERVED.saturating_add(of_probes).min(limit / 2)
}

/// The part of them that questions to name servers may open.
pub fn for_name_servers() -> u64 {
    for_measuring(0) / 2
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
}
