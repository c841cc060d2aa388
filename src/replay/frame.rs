//! What is shown at one place of a recording, and how the next thing that was recorded changes it.

use std::collections::VecDeque;

use crate::core::board::Board;
use crate::core::plan::Plan;
use crate::core::reading::Reading;
use crate::core::time::At;
use crate::history::Line;
use crate::journal::Sample;
use crate::run_view::{RunView, ViewEvent};
use crate::sample_log::{BOARD, KeptBoard, KeptOutput, KeptReading, OPENED, OUTPUT};

/// A place in a recording with everything that is on screen there.
#[derive(Debug)]
pub struct PlaybackFrame {
    /// The run as it was shown.
    pub view: RunView,
    /// The moment.
    pub now: At,
    /// Number of the first sample that had not arrived yet.
    pub(super) next: i64,
    /// Samples read ahead.
    pub(super) ahead: VecDeque<(i64, Sample)>,
    /// Readings of a quiet time of which more follow.
    quiet: Vec<Reading>,
}

impl PlaybackFrame {
    pub(super) fn new(view: RunView, now: At, next: i64) -> Self {
        Self { view, now, next, ahead: VecDeque::new(), quiet: Vec::new() }
    }

    /// Takes in a sample that arrived at that moment. One that cannot be read is passed over: samples may be lost.
    pub(super) fn sample(&mut self, arrived: At, sample: &Sample) {
        match sample.source.as_str() {
            OPENED => {
                let board = board_of(self.view.plan(), sample);
                let board = board.unwrap_or_else(|| Board::new(self.view.plan(), arrived));
                self.view.update(arrived, ViewEvent::DriverOpened(board));
            }
            BOARD => {
                if let Some(board) = board_of(self.view.plan(), sample) {
                    self.view.update(arrived, ViewEvent::Board(board));
                }
            }
            OUTPUT => {
                if let Ok(kept) = serde_json::from_str(&sample.body) {
                    self.output(arrived, kept);
                }
            }
            _ => {
                if let Ok(kept) = serde_json::from_str::<KeptReading>(&sample.body) {
                    self.reading(arrived, kept);
                }
            }
        }
    }

    fn reading(&mut self, arrived: At, kept: KeptReading) {
        let lapse = kept.lapse;
        let reading = kept.reading();
        match lapse {
            None => self.view.update(arrived, ViewEvent::Reading(&reading)),
            Some(left) => {
                self.quiet.push(reading);
                if left == 0 {
                    let readings = std::mem::take(&mut self.quiet);
                    self.view.update(arrived, ViewEvent::QuietTime(&readings));
                }
            }
        }
    }

    pub(super) fn output(&mut self, arrived: At, kept: KeptOutput) {
        self.view.update(arrived, ViewEvent::SamplesDropped(kept.unkept));
        if let Some(first) = kept.said.first().filter(|_| kept.skipped > 0) {
            let text = format!("… {} lines are not in the record; the run's folder has them", kept.skipped);
            let line = Line { key: first.key.clone(), stream: first.stream, text };
            self.view.update(arrived, ViewEvent::Output(line));
        }
        for lines in kept.said {
            for text in lines.lines {
                let line = Line { key: lines.key.clone(), stream: lines.stream, text };
                self.view.update(arrived, ViewEvent::Output(line));
            }
        }
        // The record counts all that were dropped since the driver came.
        let more = kept.dropped.saturating_sub(self.view.output().dropped());
        self.view.update(arrived, ViewEvent::OutputDropped(more));
    }

    /// Moves on to a later moment at which nothing else happened.
    pub(super) fn pass_to(&mut self, at: At) {
        self.now = self.now.max(at);
        self.view.update(self.now, ViewEvent::Time);
    }
}

/// The board in a sample. `None` when it is unreadable or of another plan.
pub(super) fn board_of(plan: &Plan, sample: &Sample) -> Option<Board> {
    serde_json::from_str::<KeptBoard>(&sample.body).ok()?.board.restored(plan)
}
