//! Worlds: what probes look at and actions change.
//!
//! The driver talks to the outside only through [`World`]. A rehearsal holds a simulated world and a replay
//! holds none, so neither can reach production: by type, not by an `if`.

pub mod live;
pub mod shape;
pub mod sim;

use crate::core::action::Action;
use crate::core::fact::Fact;
use crate::core::job::{Adoption, JobKey, Outcome, Stream};
use crate::core::reading::Reading;
use crate::core::time::{At, Span};
use crate::pace::Pace;

/// What a world tells the driver.
#[derive(Clone, Debug, PartialEq)]
pub enum WorldEvent {
    /// A probe has answered or failed.
    Reading(Reading),
    /// Time has passed in which every probe saw what these readings say, and nothing else. Only a simulated world
    /// knows that much; it passes a day of watching in one go.
    Lapsed(Vec<Reading>),
    /// A rehearsed mishap strikes the cockpit itself. Never happens in a real world, where nothing announces it.
    Struck(Blow),
    /// A job printed or reported a line. Cleaned and with secrets masked.
    Output {
        /// Which job.
        key: JobKey,
        /// Where it came from.
        stream: Stream,
        /// The line, without its line break.
        line: String,
    },
    /// Lines were dropped because they came faster than anyone could read; the spool on disk has them.
    OutputDropped {
        /// Which job.
        key: JobKey,
        /// How many lines.
        lines: u64,
    },
    /// A job has ended.
    Ended {
        /// Which job.
        key: JobKey,
        /// How.
        outcome: Outcome,
        /// Its run time.
        took: Span,
    },
    /// What was found of a job that an earlier cockpit had started.
    Adopted {
        /// Which job.
        key: JobKey,
        /// What was found.
        adoption: Adoption,
    },
}

/// A mishap of the cockpit itself, as a rehearsal plays it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The cockpit is gone at once, as after `kill -9`: nothing is said, nothing is finished.
    Killed,
    /// Its terminal is gone: what is under way finishes, then it leaves.
    TerminalLost,
}

/// How far a scenario has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plot {
    /// What it has let begin and end so far.
    pub so_far: usize,
    /// When it lets something begin or end next, as far as that depends on time alone.
    pub next: Option<At>,
}

/// The outside world as the driver sees it. No call blocks; everything comes back as a [`WorldEvent`].
pub trait World: Send {
    /// Starts measuring every probe of the plan.
    fn watch(&mut self);
    /// Starts a job. Exactly one [`WorldEvent::Ended`] with this key follows.
    fn start(&mut self, key: JobKey, action: &Action);
    /// Asks a running job to stop: TERM, then KILL for commands; cancel for SQL; give up on the rest. The job
    /// still ends with exactly one [`WorldEvent::Ended`].
    fn stop(&mut self, key: &JobKey);
    /// Looks for a job of an earlier cockpit. [`WorldEvent::Adopted`] follows and, if it is still running,
    /// later [`WorldEvent::Ended`].
    fn adopt(&mut self, key: JobKey, action: &Action);
    /// Whether this world leaps over time in which nothing happens, and so wants to know how far it may.
    const LEAPS: bool = false;
    /// The pace at which its time passes, where it has no time of its own.
    fn pace(&self) -> Option<&Pace> {
        None
    }
    /// Tells of a fact that has become durable. A real world has no use for it; a rehearsal lets things go wrong at a
    /// step.
    fn witness(&mut self, _at: At, _fact: &Fact) {}
    /// What a scenario has done so far and when it will go on. A real world has none.
    fn plot(&self) -> Plot {
        Plot::default()
    }
    /// Says until when time alone changes nothing for the driver. Called only where the world leaps.
    fn expect(&mut self, _due: At) {}
    /// The next event, or `None` when the world is closed. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Option<WorldEvent>> + Send;
}
