//! Reports how long the machine has slept.
//!
//! Linux has one clock that stops while the machine sleeps and one that does not. Other systems offer no such pair
//! here; on them a jump of the wall clock shows that the machine has slept.

/// By how much the clock that stops during sleep is behind the one that does not, in milliseconds. Only differences are
/// meaningful. Always 0 where the system has no such clocks.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn slept_ms() -> i64 {
    let read = |clock| {
        let time = rustix::time::clock_gettime(clock);
        time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000)
    };
    let mut tries = 0;
    loop {
        let before = read(rustix::time::ClockId::Monotonic);
        let always = read(rustix::time::ClockId::Boottime);
        // A thread that is delayed between the two readings would see sleep where there was none.
        tries += 1;
        if read(rustix::time::ClockId::Monotonic) - before <= 1 || tries == 10 {
            return always.saturating_sub(before);
        }
    }
}

/// By how much the clock that stops during sleep is behind the one that does not, in milliseconds. Only differences are
/// meaningful. Always 0 where the system has no such clocks.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn slept_ms() -> i64 {
    0
}
