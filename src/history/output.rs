//! The newest lines that jobs printed. Bounded: the whole output is in the spool of the run's folder.

use std::collections::VecDeque;

use crate::core::job::{JobKey, Stream};

/// A line of a job's output. Cleaned and masked by the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which job printed it.
    pub key: JobKey,
    /// Where.
    pub stream: Stream,
    /// The text.
    pub text: String,
}

/// The tail of all output.
#[derive(Clone, Debug, Default)]
pub struct OutputTail {
    lines: VecDeque<Line>,
    dropped: u64,
}

impl OutputTail {
    /// Lines kept over all jobs.
    pub const KEPT: usize = 500;

    /// Takes in one line; the oldest makes room for it.
    pub fn push(&mut self, line: Line) {
        if self.lines.len() == Self::KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Counts lines that came too fast to be kept.
    pub fn count_dropped(&mut self, lines: u64) {
        self.dropped = self.dropped.saturating_add(lines);
    }

    /// Lines from the oldest kept to the newest.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> + ExactSizeIterator {
        self.lines.iter()
    }

    /// Lines that came faster than they could be shown.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}
