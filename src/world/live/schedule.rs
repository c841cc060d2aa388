//! When probes measure: an absolute timetable, at most one measurement in flight per probe, a limit on each.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{error, info};

use super::Shared;
use super::kind::{Measure, watch_probe};
use super::waiting::{LimitPassed, within};
use crate::catch_panic::{Panicked, catch_panic};
use crate::core::ids::ProbeId;
use crate::core::probe::Probe;
use crate::core::reading::Failure;
use crate::system::descriptors;

/// Longest time until every probe has been asked for the first time.
const SPREAD: Duration = Duration::from_secs(1);

/// How often a measurement is made anew because this program did not run meanwhile. A machine that is short of time all the time
/// still gives readings.
const MEASURED_AGAIN: u32 = 2;

/// Ticks at fixed instants. Ticks that were missed are skipped, never made up for.
#[derive(Debug)]
pub(super) struct Timetable {
    next: Instant,
    every: Duration,
    /// Ticks that were skipped since they were last asked for.
    skipped: u64,
}

impl Timetable {
    /// Ticks at `first`, `first + every` and so on.
    pub(super) fn new(first: Instant, every: Duration) -> Self {
        Self { next: first, every: every.max(Duration::from_millis(1)), skipped: 0 }
    }

    /// The next tick that was not missed by a whole interval.
    pub(super) fn next(&mut self) -> Instant {
        let late = Instant::now().saturating_duration_since(self.next);
        let skipped = u32::try_from(late.as_nanos() / self.every.as_nanos().max(1)).unwrap_or(u32::MAX);
        self.next += self.every.saturating_mul(skipped);
        self.skipped = self.skipped.saturating_add(skipped.into());
        let tick = self.next;
        self.next += self.every;
        tick
    }

    /// How many ticks were skipped since the last call.
    pub(super) fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// The tick after the newest one.
    pub(super) fn peek(&self) -> Instant {
        self.next
    }
}

/// Starts every probe, spread over its interval so that they do not fire together.
pub(super) fn start(shared: &Arc<Shared>, tasks: &mut JoinSet<()>) {
    shared.suspensions.begin();
    let looking = Arc::clone(shared);
    tasks.spawn(async move { looking.suspensions.watch().await });
    let count = u32::try_from(shared.probes.len().max(1)).unwrap_or(u32::MAX);
    let now = Instant::now();
    for (place, (id, probe)) in (0_u32..).zip(&shared.probes) {
        let slot = probe.every.to_std().min(SPREAD) / count;
        let phase = slot * place + slot.mul_f64(rand::rng().random_range(0.0..1.0));
        let (shared, id, probe) = (Arc::clone(shared), id.clone(), probe.clone());
        tasks.spawn(async move {
            let every = probe.every.to_std();
            let work = |begun| Box::pin(watch_probe(Arc::clone(&shared), id.clone(), probe.clone(), begun));
            let tell = |panicked: Panicked| {
                let what = shared.secrets.tell_brief(&panicked.to_string(), 300);
                error!(probe = %id, what = %what, "a panic was caught");
                let failure = Failure::new(format!("internal error in probe `{id}`: {what}"));
                let now = Instant::now();
                shared.reading(&id, &probe, now, now, Err(failure));
            };
            restart_after_panics(now + phase, every, work, tell).await;
        });
    }
}

/// Restarts `work` after a panic, one interval later and with an empty memory. `tell` gets the panic's text.
async fn restart_after_panics<F: Future<Output = ()>>(
    mut first: Instant,
    every: Duration,
    work: impl Fn(Instant) -> F,
    tell: impl Fn(Panicked),
) {
    while let Err(panicked) = catch_panic(work(first)).await {
        tell(panicked);
        first = Instant::now() + every;
    }
}

/// The files that all measurements on the common timetable may open at once.
#[derive(Debug)]
pub(super) struct Turns {
    all: u32,
    free: Semaphore,
}

impl Turns {
    /// For so many probes.
    pub(super) fn of(probes: usize) -> Self {
        let all = u32::try_from(descriptors::for_measurements(probes)).unwrap_or(u32::MAX).max(1);
        let permits = usize::try_from(all).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { all, free: Semaphore::new(permits) }
    }

    /// Waits until a measurement may open so many, its turn in order. One that needs more than there are has all of them.
    async fn wait(&self, files: u32) -> Option<SemaphorePermit<'_>> {
        self.free.acquire_many(files.min(self.all)).await.ok()
    }
}

/// Measures for ever on the common timetable.
pub(super) async fn on_timetable<T: Measure>(shared: Arc<Shared>, id: ProbeId, probe: Probe, kind: T, first: Instant) {
    let mut timetable = Timetable::new(first, probe.every.to_std());
    let mut memory = T::Memory::default();
    kind.recall(shared.earlier.get(&id).map_or(&[], Vec::as_slice), &mut memory);
    if let Some(moves) = shared.answered.get(&id) {
        kind.recall_answerer(moves, &mut memory);
    }
    let limit = probe.limit.to_std();
    loop {
        let tick = timetable.next();
        tokio::time::sleep_until(tick).await;
        let Ok(_turn) = timeout(limit, shared.turns.wait(T::DESCRIPTORS)).await else {
            let limit = descriptors::limit_in_words();
            let why = format!("not measured: other probes are waiting for answers, and {limit}");
            shared.reading(&id, &probe, tick, Instant::now(), Err(Failure::new(why)));
            continue;
        };
        let mut again = 0;
        let (begun, result) = loop {
            // A tick may be past already when the measurement before it took longer than the interval. Each has its whole
            // limit.
            let begun = tick.max(Instant::now());
            let result = match within(begun + limit, kind.measure(&shared, limit, &mut memory)).await {
                // A server that keeps the same limit may say so before this program looks at its own clock again.
                Ok(result) if result.is_ok() || Instant::now() < begun + limit => result,
                Err(LimitPassed { on: Some(what) }) => {
                    Err(Failure::new(format!("{what} gave nothing within {}", probe.limit)))
                }
                Ok(_) | Err(LimitPassed { on: None }) => {
                    Err(Failure::new(format!("no answer from {} within {}", probe.kind.asked(), probe.limit)))
                }
            };
            // What was seen or missed while this program did not run says nothing of the other side: it is measured again.
            match shared.suspensions.since(begun.into_std()) {
                None => break (begun, result),
                Some(suspension) if again >= MEASURED_AGAIN => {
                    let why = |_| Failure::new(format!("not measured: {}", suspension.told()));
                    break (begun, result.map_err(why));
                }
                Some(suspension) => info!(probe = %id, why = %suspension.told(), "measured again"),
            }
            again += 1;
        };
        let told = result.and_then(|seen| kind.as_of(&seen, &memory).map(|as_of| (seen, as_of)));
        let (result, as_of) = match told {
            Ok((seen, as_of)) => (Ok(seen), as_of),
            Err(failure) => (Err(failure), Vec::new()),
        };
        shared.reading_of(&id, &probe, (begun, Instant::now()), (&as_of, kind.moves(&memory)), result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_probe_that_panics_is_told_and_measures_on() {
        use std::sync::Mutex;
        let (begun, told) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let work = |first: Instant| {
            let mut begun = begun.lock().unwrap();
            begun.push(first);
            let times = begun.len();
            async move { assert!(times == 3, "no memory of {times}") }
        };
        let every = Duration::from_millis(20);
        restart_after_panics(Instant::now(), every, work, |panicked| told.lock().unwrap().push(panicked.to_string()))
            .await;
        let told = told.into_inner().unwrap();
        assert!(told.len() == 2 && told[0].contains("no memory of 1"), "{told:?}");
        let begun = begun.into_inner().unwrap();
        assert!(begun[1] - begun[0] >= every, "not at once, or it would spin");
    }

    #[tokio::test]
    async fn missed_ticks_are_skipped_and_the_timetable_stays() {
        let every = Duration::from_secs(100);
        let first = Instant::now() - every * 3 - every / 2;
        let mut timetable = Timetable::new(first, every);
        assert_eq!(timetable.next(), first + every * 3, "late, but measured from its own instant");
        assert_eq!((timetable.take_skipped(), timetable.take_skipped()), (3, 0));
        assert_eq!(timetable.peek(), first + every * 4);
        assert_eq!(timetable.next(), first + every * 4);
    }
}
