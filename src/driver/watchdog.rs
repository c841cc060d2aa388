//! The watchdog: notices when nobody has watched, when a clock was set, and when the journal does not answer.

use crate::clock::Clock;
use crate::core::fact::Fact;
use crate::core::job::{Direction, JobKey};
use crate::core::time::{At, Span};

/// The longest time between two looks at the world that counts as watching. Looks are at most a second apart,
/// unless the machine slept or the program was stopped. The shortest time for which a reading is good is 2 s: what somebody saw
/// and ordered before a longer stop is of before, however long the readings of rare probes are good.
const UNWATCHED: Span = Span(2_500);

/// A drift of the wall clock from the run clock that is worth recording, in milliseconds.
const JUMP_MS: i64 = 2_000;

/// How long an answer of the journal may take before the operator is told.
const SILENCE: Span = Span(3_000);

/// Watches over the looks of an engine, its clock and its journal.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// Whether gaps between two looks are reported. In simulated time they mean nothing.
    minds_gaps: bool,
    /// When the engine last looked.
    looked: At,
    /// For how long nobody had watched, until that is recorded.
    unwatched: Span,
    /// How far the wall clock was from the run clock at the last look, in milliseconds.
    drift: i64,
}

impl Watchdog {
    /// Begins to watch now. A clock of the run that begins later than the wall clock is told of as one that was set back.
    pub(super) fn new(now: At) -> Self {
        Self { minds_gaps: true, looked: now, unwatched: Span::ZERO, drift: 0 }
    }

    /// Stops reporting gaps: simulated time passes in leaps, and stands still while the journal works.
    pub(super) fn ignore_gaps(&mut self) {
        self.minds_gaps = false;
    }

    /// Notes a look. Gives for how long nobody had watched, if that is too long; it is to be recorded.
    pub(super) fn look(&mut self, now: At) -> Option<Span> {
        let gap = now.since(std::mem::replace(&mut self.looked, now));
        (self.minds_gaps && gap >= UNWATCHED).then_some(gap)
    }

    /// Adds a gap to those that are to be recorded.
    pub(super) fn add_gap(&mut self, gap: Span) {
        self.unwatched = Span(self.unwatched.0.saturating_add(gap.0));
    }

    /// The gaps that are to be recorded, once, as a fact.
    pub(super) fn take_lapse(&mut self) -> Option<Fact> {
        let away = std::mem::take(&mut self.unwatched);
        (away > Span::ZERO).then_some(Fact::WatchLapsed { away })
    }

    /// By how many milliseconds the wall clock was set since the last call, if that is worth recording: somebody set
    /// it, or the machine slept and its clocks do not report it.
    pub(super) fn wall_clock_jump(&mut self, clock: &Clock) -> Option<i64> {
        let drift = clock.wall_drift();
        let by_ms = drift - self.drift;
        if by_ms.abs() < JUMP_MS {
            return None;
        }
        self.drift = drift;
        Some(by_ms)
    }

    /// Whether the journal counts as silent after owing an answer for so long.
    pub(super) fn is_silence(waited: Span) -> bool {
        waited >= SILENCE
    }

    /// Whether the start of a job has waited too long for its record, because a disk hung or the machine slept: what
    /// was GO then may not be GO now. Jobs by which a section takes itself back are exempt, since they are right at any
    /// time.
    pub(super) fn is_too_late(&self, key: &JobKey, waited: Span) -> bool {
        self.minds_gaps && waited >= SILENCE && key.direction != Direction::Revert
    }
}
