//! The pace: how fast shown time passes in a rehearsal or a replay.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::core::ids::StepId;
use crate::core::time::{At, Span};

/// The speeds one can choose, as multiples of real time.
pub const SPEEDS: [u32; 9] = [1, 2, 5, 10, 30, 60, 120, 300, 1_000];

/// The pace as a screen shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceView {
    /// Multiple of real time.
    pub speed: u32,
    /// Whether time stands still.
    pub paused: bool,
}

/// Sets the pace. Clones share it.
#[derive(Clone, Debug)]
pub struct Pace(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// Index into [`SPEEDS`].
    speed: usize,
    paused: bool,
    /// Shown time at a real instant; from there it runs at the present speed.
    anchor: (Instant, At),
    /// The moment up to which time is passed at once.
    leap: Option<At>,
}

impl State {
    fn target(&self) -> At {
        let (since, at) = self.anchor;
        if self.paused {
            return at;
        }
        let speed = SPEEDS.get(self.speed).copied().unwrap_or(1);
        let real = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        at.plus(Span(real.saturating_mul(u64::from(speed))))
    }

    fn anchor_here(&mut self) {
        self.anchor = (Instant::now(), self.target());
    }
}

impl Pace {
    /// A pace at which time runs from `start` on, at the highest speed that is not above `speed`.
    pub fn new(start: At, speed: u32) -> Self {
        let speed = SPEEDS.iter().rposition(|choice| *choice <= speed).unwrap_or(0);
        let state = State { speed, paused: false, anchor: (Instant::now(), start), leap: None };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        state.anchor_here();
        change(&mut state);
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Goes to the next higher speed; says whether there is one.
    pub fn faster(&self) -> bool {
        let more = self.state().speed + 1 < SPEEDS.len();
        self.change(|state| state.speed = (state.speed + 1).min(SPEEDS.len() - 1));
        more
    }

    /// Goes to the next lower speed; says whether there is one.
    pub fn slower(&self) -> bool {
        let less = self.state().speed > 0;
        self.change(|state| state.speed = state.speed.saturating_sub(1));
        less
    }

    /// Stops time, or lets it go on.
    pub fn toggle(&self) {
        self.change(|state| state.paused = !state.paused);
    }

    /// Passes time at once, up to a moment or until [`Pace::arrived`] is called. A paused time is paused again afterwards.
    pub fn leap(&self, until: At) {
        self.change(|state| state.leap = Some(until));
    }

    /// The moment to which a leap goes, while one is under way.
    pub fn leaps_to(&self) -> Option<At> {
        self.state().leap
    }

    /// Ends a leap at this moment: from here time passes at its pace, or is paused again.
    pub fn arrived(&self, at: At) {
        let mut state = self.state();
        state.leap = None;
        state.anchor = (Instant::now(), at);
    }

    /// The moment shown time has come to by now.
    pub fn target(&self) -> At {
        self.state().target()
    }

    /// The real time until shown time reaches `at`; `None` while it is paused.
    pub fn until(&self, at: At) -> Option<Duration> {
        let state = self.state();
        let speed = SPEEDS.get(state.speed).copied().unwrap_or(1);
        (!state.paused).then(|| (at.since(state.target())).to_std() / speed)
    }

    /// Waits until somebody changes the pace.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// The pace as a screen shows it.
    pub fn view(&self) -> PaceView {
        let state = self.state();
        PaceView { speed: SPEEDS.get(state.speed).copied().unwrap_or(1), paused: state.paused }
    }
}

/// How time passes in a rehearsal or a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownTime {
    /// How fast.
    pub pace: PaceView,
    /// Where a replay stands. None for a rehearsal: it only goes forward.
    pub place: Option<PlaybackPosition>,
}

/// The place of a replay in its recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaybackPosition {
    /// Number of the newest fact shown; 0 before the first.
    pub fact: u64,
    /// How many there are.
    pub of: u64,
    /// What the recording lacks, in a few words.
    pub note: Option<String>,
}

/// What an operator can do to the time that is shown. It never changes a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeControl {
    /// The next higher speed.
    Faster,
    /// The next lower speed.
    Slower,
    /// Pauses time, or lets it go on.
    Pause,
    /// Goes on to where something happens next.
    FastForward,
    /// To the next decision of a person.
    NextDecision,
    /// To the decision before.
    PreviousDecision,
    /// To where a step began.
    Step(StepId),
    /// To a place that was typed: a time, a fact's number or a step.
    Place(String),
    /// To the end.
    End,
}

/// The refusal where time passes by itself.
pub const NO_PACE: &str = "time passes by itself here: only a rehearsal or a replay has a pace";

/// The refusal where time has a pace but cannot go back.
pub const ONLY_FORWARD: &str = "only a replay can jump: a rehearsal can only go on to where something happens next";

/// Changes speed or pause, which work the same in a rehearsal and a replay. `None` for anything else.
pub fn paced(pace: &Pace, control: &TimeControl) -> Option<Result<(), String>> {
    match control {
        TimeControl::Faster => Some(pace.faster().then_some(()).ok_or_else(|| "this is the highest speed".to_owned())),
        TimeControl::Slower => {
            Some(pace.slower().then_some(()).ok_or_else(|| "this is the time as it passed".to_owned()))
        }
        TimeControl::Pause => {
            pace.toggle();
            Some(Ok(()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_keeps_the_moment_and_the_speed() {
        let pace = Pace::new(At(0), 60);
        pace.toggle();
        let at = pace.target();
        assert_eq!(pace.view(), PaceView { speed: 60, paused: true });
        assert_eq!(pace.until(At(at.0 + 1)), None);
        assert_eq!(pace.target(), at, "time stands still");
        pace.toggle();
        assert_eq!(pace.view(), PaceView { speed: 60, paused: false });
    }

    #[test]
    fn speeds_end_where_the_table_ends() {
        let pace = Pace::new(At(0), 1);
        assert!(!pace.slower());
        while pace.faster() {}
        assert_eq!(pace.view().speed, 1_000);
    }

    #[test]
    fn a_leap_ends_where_it_arrives() {
        let pace = Pace::new(At(0), 1);
        pace.toggle();
        pace.leap(At(90_000_000));
        assert_eq!(pace.leaps_to(), Some(At(90_000_000)));
        pace.arrived(At(86_400_000));
        assert_eq!(pace.leaps_to(), None);
        assert!(pace.view().paused, "a pause stays one");
        assert_eq!(pace.target(), At(86_400_000));
    }
}
