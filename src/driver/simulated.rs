//! What an engine can do only where time is simulated.

use super::Engine;
use crate::core::reading::Reading;
use crate::run_view::ViewEvent;
use crate::world::SimulatedTime;

impl<W: SimulatedTime> Engine<W> {
    /// Ignores gaps between two looks: simulated time passes in leaps, and stands still while the journal works.
    #[must_use]
    pub fn ignoring_gaps(mut self) -> Self {
        self.watchdog.ignore_gaps();
        self
    }

    /// Takes in time in which every probe saw what these readings say, and nothing else, down to the last decision that
    /// follows from it.
    pub fn pass_quiet_time(&mut self, readings: &[Reading]) {
        let now = self.now();
        self.journal.quiet_time(now, readings);
        self.view.update(now, ViewEvent::QuietTime(readings));
        self.journal.board(now, self.view.board());
        self.settle();
    }
}
