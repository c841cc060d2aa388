//! Worlds: what probes look at and actions change.
//!
//! The driver talks to the outside only through [`World`]. A rehearsal holds a simulated world and a replay
//! holds none, so neither can reach production: by type, not by an `if`.

pub mod live;
pub mod shape;
pub mod sim;

use crate::core::action::Action;
use crate::core::ids::TargetId;
use crate::core::job::{Adoption, JobKey, Outcome, Stream};
use crate::core::reading::Reading;
use crate::core::server::ServerIdentity;
use crate::core::time::Span;

/// What a world tells the driver.
#[derive(Clone, Debug, PartialEq)]
pub enum WorldEvent {
    /// A probe has answered or failed.
    Reading(Reading),
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
    /// An action has met a server behind a target for which no server was expected.
    Met {
        /// The target that leads there.
        target: TargetId,
        /// Who it is.
        identity: ServerIdentity,
    },
    /// What was found of a job that an earlier cockpit had started.
    Adopted {
        /// Which job.
        key: JobKey,
        /// What was found.
        adoption: Adoption,
    },
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
    /// Tells the world which server to expect behind this target: an action that finds another one there does nothing
    /// and fails. A world whose servers have no identity ignores it.
    fn expect(&mut self, _target: &TargetId, _server: &ServerIdentity) {}
    /// The next event, or `None` when the world is closed. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Option<WorldEvent>> + Send;
}

/// A world whose time is simulated: it passes in leaps, and only when its caller moves it.
///
/// Only such a world can say that nothing happened for hours
/// ([`Engine::pass_quiet_time`](crate::driver::Engine::pass_quiet_time)). No real world implements this.
pub trait SimulatedTime: World {}
