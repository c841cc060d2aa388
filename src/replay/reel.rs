//! What is shown at one place of a recording, and how the next thing that happened changes it.

use std::collections::VecDeque;

use crate::core::board::Board;
use crate::core::fact::Recorded;
use crate::core::plan::Plan;
use crate::core::reading::Reading;
use crate::core::state::Run;
use crate::core::time::At;
use crate::driver::LOG_KEPT;
use crate::journal::Sample;
use crate::recent::{History, Line, OutputTail};
use crate::tape::{BOARD, Heard, KeptBoard, KeptOutput, OPENED, OUTPUT};

/// A place in a recording with everything that is on screen there.
#[derive(Debug)]
pub struct Reel {
    /// The run as it stood.
    pub run: Run,
    /// What was known.
    pub board: Board,
    /// Courses of numbers.
    pub history: History,
    /// What jobs had printed.
    pub output: OutputTail,
    /// The newest facts then.
    pub log: VecDeque<Recorded>,
    /// Number of the newest fact; 0 before the first.
    pub seq: u64,
    /// The moment.
    pub now: At,
    /// How many samples had not been kept since the driver came.
    pub samples_dropped: u64,
    /// Number of the first sample that had not arrived yet.
    pub(super) next: i64,
    /// Samples read ahead.
    pub(super) ahead: VecDeque<(i64, Sample)>,
    /// Readings of a quiet time that has not been told to its end.
    lapsed: Vec<Reading>,
}

impl Reel {
    pub(super) fn new(run: Run, board: Board, now: At) -> Self {
        Self {
            run,
            board,
            history: History::default(),
            output: OutputTail::default(),
            log: VecDeque::new(),
            seq: 0,
            now,
            samples_dropped: 0,
            next: 0,
            ahead: VecDeque::new(),
            lapsed: Vec::new(),
        }
    }

    /// A fact became durable.
    pub(super) fn tell(&mut self, plan: &Plan, recorded: &Recorded) {
        self.run.apply(plan, recorded.at, &recorded.fact);
        self.seq = recorded.seq;
        if self.log.len() == LOG_KEPT {
            self.log.pop_front();
        }
        self.log.push_back(recorded.clone());
    }

    /// A sample arrived. One that cannot be read is passed over: samples may be lost.
    pub(super) fn hear(&mut self, plan: &Plan, arrived: At, sample: &Sample) {
        match sample.source.as_str() {
            OPENED => {
                self.history = History::default();
                self.output = OutputTail::default();
                self.samples_dropped = 0;
                self.see_board(plan, sample);
            }
            BOARD => self.see_board(plan, sample),
            OUTPUT => {
                if let Ok(kept) = serde_json::from_str(&sample.body) {
                    self.say(kept);
                }
            }
            _ => {
                let Ok(heard) = serde_json::from_str::<Heard>(&sample.body) else { return };
                let lapse = heard.lapse;
                let reading = heard.reading();
                if let Some(probe) = plan.probes.get(&reading.probe) {
                    self.history.record(probe, &reading);
                }
                self.observe(plan, arrived, reading, lapse);
            }
        }
    }

    /// Only what concerns the board.
    pub(super) fn observe(&mut self, plan: &Plan, arrived: At, reading: Reading, lapse: Option<u32>) {
        match lapse {
            None => self.board.observe(plan, &self.run, arrived, &reading),
            Some(left) => {
                self.lapsed.push(reading);
                if left == 0 {
                    let readings = std::mem::take(&mut self.lapsed);
                    self.board.sustain(plan, &self.run, arrived, &readings);
                }
            }
        }
    }

    fn see_board(&mut self, plan: &Plan, sample: &Sample) {
        if let Some(board) = board_of(plan, sample) {
            self.board = board;
        }
    }

    pub(super) fn say(&mut self, kept: KeptOutput) {
        self.samples_dropped = kept.unkept;
        if let Some(first) = kept.said.first().filter(|_| kept.skipped > 0) {
            let text = format!("… {} lines are not in the record; the run's folder has them", kept.skipped);
            self.output.push(Line { key: first.key.clone(), stream: first.stream, text });
        }
        for said in kept.said {
            for text in said.lines {
                self.output.push(Line { key: said.key.clone(), stream: said.stream, text });
            }
        }
        let counted = self.output.dropped();
        self.output.count_dropped(kept.dropped.saturating_sub(counted));
    }
}

/// The board a sample holds.
pub(super) fn board_of(plan: &Plan, sample: &Sample) -> Option<Board> {
    serde_json::from_str::<KeptBoard>(&sample.body).ok()?.board.restored(plan)
}
