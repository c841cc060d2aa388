//! A run as a screen shows it, and the one function through which every event changes it.
//!
//! The driver hands in what it records and hears; a replay hands in what was recorded. Both hand it to a [`RunView`],
//! so a replay shows what the live screen showed.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::core::board::Board;
use crate::core::fact::Recorded;
use crate::core::plan::Plan;
use crate::core::reading::Reading;
use crate::core::server::Servers;
use crate::core::state::Run;
use crate::core::time::At;
use crate::history::{History, Line, OutputTail};

/// Facts kept in memory for the journal pane; the rest is on disk.
pub const LOG_KEPT: usize = 2_000;

/// One thing that changes what a screen shows. They are handed in in the order in which they happened.
#[derive(Debug)]
pub enum ViewEvent<'a> {
    /// A driver begins: it has this board and has seen nothing else.
    DriverOpened(Board),
    /// A fact has become durable.
    Fact(Recorded),
    /// A probe has answered or failed.
    Reading(&'a Reading),
    /// Time has passed in which every probe saw what these readings say, and nothing else.
    QuietTime(&'a [Reading]),
    /// The board is this one from here on.
    Board(Board),
    /// A job printed a line.
    Output(Line),
    /// So many more lines came faster than they could be shown.
    OutputDropped(u64),
    /// So many samples in all have not been kept since the driver came.
    SamplesDropped(u64),
    /// Nothing but time has passed.
    Time,
}

/// A run as a screen shows it. What is not part of the run (who looks, from where, what is being typed, the present
/// moment) is added by whoever shows it.
#[derive(Clone, Debug)]
pub struct RunView {
    plan: Arc<Plan>,
    run: Run,
    board: Board,
    history: History,
    output: OutputTail,
    log: VecDeque<Recorded>,
    seq: u64,
    samples_dropped: u64,
    /// When the board was last brought up to date, when nothing but readings has changed it or the run since.
    current: Option<At>,
}

impl RunView {
    /// A run that has come as far as `run`, with the facts that led there. Only the newest [`LOG_KEPT`] of them are
    /// kept. Nothing has been measured or printed yet.
    pub fn new(plan: Arc<Plan>, run: Run, facts: &[Recorded], board: Board) -> Self {
        let newest = facts.get(facts.len().saturating_sub(LOG_KEPT)..).unwrap_or_default();
        Self {
            plan,
            run,
            board,
            history: History::default(),
            output: OutputTail::default(),
            log: newest.iter().cloned().collect(),
            seq: facts.last().map_or(0, |last| last.seq),
            samples_dropped: 0,
            current: None,
        }
    }

    /// Takes in what happened at `now`.
    pub fn update(&mut self, now: At, event: ViewEvent<'_>) {
        match event {
            ViewEvent::DriverOpened(board) => {
                self.current = None;
                self.board = board;
                self.history = History::default();
                self.output = OutputTail::default();
                self.samples_dropped = 0;
            }
            ViewEvent::Fact(recorded) => {
                self.current = None;
                self.run.apply(&self.plan, recorded.at, &recorded.fact);
                self.seq = recorded.seq;
                if self.log.len() == LOG_KEPT {
                    self.log.pop_front();
                }
                self.log.push_back(recorded);
            }
            ViewEvent::Reading(reading) => {
                self.chart(reading);
                self.bring_up_to(now);
                self.board.take_in(&self.plan, &self.run, now, reading);
            }
            ViewEvent::QuietTime(readings) => {
                self.current = None;
                for reading in readings {
                    self.chart(reading);
                }
                self.board.sustain(&self.plan, &self.run, now, readings);
            }
            ViewEvent::Board(board) => {
                self.current = None;
                self.board = board;
            }
            ViewEvent::Output(line) => self.output.push(line),
            ViewEvent::OutputDropped(lines) => self.output.count_dropped(lines),
            ViewEvent::SamplesDropped(all) => self.samples_dropped = all,
            ViewEvent::Time => self.bring_up_to(now),
        }
    }

    /// Lets the board take in the time that has passed. This happens several times for each event, mostly with nothing new.
    fn bring_up_to(&mut self, now: At) {
        match self.current.replace(now) {
            Some(at) if at == now => {}
            Some(_) => self.board.expire(&self.plan, &self.run, now),
            None => self.board.refresh(&self.plan, &self.run, now),
        }
    }

    /// Takes a reading into the history and leaves the board as it is: for a replay that starts in the middle of a run
    /// and takes the board from elsewhere.
    pub(crate) fn chart(&mut self, reading: &Reading) {
        if let Some(probe) = self.plan.probes.get(&reading.probe) {
            self.history.record(probe, reading);
        }
    }

    /// Replaces the servers of the run, for a replay that plays readings on a run that is further on.
    pub(crate) fn set_servers(&mut self, servers: Servers) {
        self.current = None;
        self.run.set_servers(servers);
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The run, as the fold of its durable facts.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The newest readings.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// The series that panes draw.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What jobs printed.
    pub fn output(&self) -> &OutputTail {
        &self.output
    }

    /// The newest facts, the oldest of them first.
    pub fn log(&self) -> &VecDeque<Recorded> {
        &self.log
    }

    /// Number of the newest fact; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// How many samples were not kept since the driver came: the live panes showed them, a replay will not.
    pub fn samples_dropped(&self) -> u64 {
        self.samples_dropped
    }
}
