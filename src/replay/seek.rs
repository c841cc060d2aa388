//! The way to any place of a recording.
//!
//! Facts are few and held in memory, folded at intervals. Samples are many and stay on disk: at any place the newest
//! board kept before it and the few hundred samples behind that board say what was on screen.

use std::sync::Arc;

use super::frame::{PlaybackFrame, board_of};
use super::recording::{FOLD_EVERY, Recording};
use crate::core::board::Board;
use crate::core::fact::Fact;
use crate::core::time::At;
use crate::history::{History, OutputTail};
use crate::journal::{JournalError, Sample};
use crate::run_view::{RunView, ViewEvent};
use crate::sample_log::{Arrival, BOARD, KeptOutput, KeptReading, OPENED, OUTPUT, arrival_of, arrived};

/// Samples read at a time.
const CHUNK: u32 = 256;

/// How far back a record without boards is looked through: what had held for longer is shown as held since then.
const LOOK_BACK: i64 = 10_000;

/// Where the play of samples starts that leads to a place.
struct Start {
    /// The sample with which the driver began to look.
    session: i64,
    /// The first sample behind the board.
    from: i64,
    /// No reading before the place was taken later than this, in Unix milliseconds.
    bound: i64,
}

impl Recording {
    /// Shows what was on screen when this fact had just become durable.
    ///
    /// # Errors
    ///
    /// When samples cannot be read.
    pub fn at_fact(&self, seq: u64) -> Result<PlaybackFrame, JournalError> {
        let seq = seq.min(self.last());
        let next = self.first_sample(|arrival| arrival.after < seq)?;
        let recorded = self.fact(seq).map_or(At(0), |recorded| recorded.at);
        let arrived = self.sample_before(next)?.map_or(At(0), |sample| arrived(&sample));
        self.shown(seq, next, recorded.max(arrived))
    }

    /// Shows what was on screen at a moment; at the first or the last one when it is outside the recording.
    ///
    /// # Errors
    ///
    /// When samples cannot be read.
    pub fn at_time(&self, at: At) -> Result<PlaybackFrame, JournalError> {
        let at = at.max(self.opened()).min(self.end);
        let seq = self.facts.partition_point(|recorded| recorded.at <= at) as u64;
        let fits = |arrival: Arrival| arrival.after < seq || (arrival.after == seq && arrival.arrived <= at);
        let next = self.first_sample(fits)?;
        self.shown(seq, next, at)
    }

    /// Plays on from a frame to a later moment.
    ///
    /// # Errors
    ///
    /// When samples cannot be read. The frame then shows what could be read.
    pub fn advance(&self, frame: &mut PlaybackFrame, until: At) -> Result<(), JournalError> {
        loop {
            if frame.ahead.is_empty() && frame.next < self.samples.1 {
                frame.ahead = self.reader.arrived(frame.next, CHUNK)?.into();
            }
            let seq = frame.view.seq();
            let sample = frame.ahead.front().map(|(_, sample)| self.arrival(sample));
            match (sample.filter(|arrival| arrival.after <= seq), self.fact(seq + 1)) {
                (Some(arrival), _) if arrival.arrived <= until => {
                    if let Some((id, sample)) = frame.ahead.pop_front() {
                        frame.sample(arrival.arrived, &sample);
                        frame.next = id + 1;
                    }
                }
                (None, Some(recorded)) if recorded.at <= until => {
                    frame.view.update(recorded.at, ViewEvent::Fact(recorded.clone()));
                }
                _ => break,
            }
        }
        frame.pass_to(until);
        Ok(())
    }

    /// Gives what was known when the decision was made that this fact begins, at that moment.
    ///
    /// # Errors
    ///
    /// When samples cannot be read.
    pub(super) fn board_before(&self, seq: u64, at: At) -> Result<Board, JournalError> {
        let known = |arrival: Arrival| arrival.after + 1 < seq || (arrival.after + 1 == seq && !arrival.late);
        let next = self.first_sample(known)?;
        let mut frame = self.behind(seq.saturating_sub(1), at, next);
        let start = self.start(&mut frame)?;
        self.play(&mut frame, start.from)?;
        Ok(frame.view.board().clone())
    }

    /// Shows everything as it was behind this fact and before this sample.
    ///
    /// Playing the whole run would take too long. So the board is the newest one kept, the series and the output before
    /// it are the newest samples of each, and only what came behind it is played.
    fn shown(&self, seq: u64, next: i64, now: At) -> Result<PlaybackFrame, JournalError> {
        let mut frame = self.behind(seq, now, next);
        let start = self.start(&mut frame)?;
        self.chart(&mut frame, &start)?;
        self.print(&mut frame, &start)?;
        self.play(&mut frame, start.from)?;
        Ok(frame)
    }

    /// The run behind this fact, without anything that was measured or printed.
    fn behind(&self, seq: u64, now: At, next: i64) -> PlaybackFrame {
        let upto = usize::try_from(seq).unwrap_or(usize::MAX).min(self.facts.len());
        let fold = (upto / FOLD_EVERY).min(self.folds.len().saturating_sub(1));
        let mut run = self.folds.get(fold).cloned().unwrap_or_default();
        for recorded in self.facts.get(fold * FOLD_EVERY..upto).unwrap_or_default() {
            run.apply(&self.plan, recorded.at, &recorded.fact);
        }
        let facts = self.facts.get(..upto).unwrap_or_default();
        let view = RunView::new(Arc::clone(&self.plan), run, facts, Board::default());
        PlaybackFrame::new(view, now, next)
    }

    /// Puts the newest board kept before the frame's next sample into it, and says where to play on from.
    fn start(&self, frame: &mut PlaybackFrame) -> Result<Start, JournalError> {
        let next = frame.next;
        let opened = self.reader.newest(OPENED, next, i64::MAX, 1)?.into_iter().next();
        let kept = self.reader.newest(BOARD, next, i64::MAX, 1)?.into_iter().next();
        let session = opened.as_ref().map(|(id, _)| *id);
        let kept = kept.filter(|(id, _)| Some(*id) > session).or(opened);
        let board = kept.and_then(|(id, sample)| board_of(&self.plan, &sample).map(|board| (id + 1, board)));
        let (from, board) = match board {
            Some(found) => found,
            None => self.without_boards(frame.view.seq(), next)?,
        };
        frame.view.update(frame.now, ViewEvent::DriverOpened(board));
        let bound = self.sample_before(next)?.map_or(i64::MAX, |sample| arrived(&sample).0);
        Ok(Start { session: session.unwrap_or(from), from, bound })
    }

    /// For a record of an earlier version: an empty board when the driver came, and where to play on from.
    fn without_boards(&self, seq: u64, next: i64) -> Result<(i64, Board), JournalError> {
        let before = self.facts.iter().rev().filter(|recorded| recorded.seq <= seq);
        let came = before.into_iter().find(|recorded| matches!(recorded.fact, Fact::DriverArrived { .. }));
        let came = came.map_or(self.opened(), |recorded| recorded.at);
        let began = self.first_sample(|arrival| arrival.arrived < came)?;
        Ok((began.max(next.saturating_sub(LOOK_BACK)), Board::new(&self.plan, came)))
    }

    /// The series as they were where playing starts: the newest readings of each probe since the driver came.
    fn chart(&self, frame: &mut PlaybackFrame, start: &Start) -> Result<(), JournalError> {
        let kept = u32::try_from(History::KEPT).unwrap_or(CHUNK);
        for (id, _) in self.plan.probes.iter().filter(|(_, probe)| History::draws(probe)) {
            let mut newest = self.reader.newest(id.as_str(), start.from, start.bound, kept)?;
            newest.retain(|(number, _)| *number >= start.session);
            newest.sort_unstable_by_key(|(number, _)| *number);
            for (_, sample) in newest {
                if let Ok(kept) = serde_json::from_str::<KeptReading>(&sample.body) {
                    frame.view.chart(&kept.reading());
                }
            }
        }
        Ok(())
    }

    /// The output as it was where playing starts: as many lines as are kept, since the driver came.
    fn print(&self, frame: &mut PlaybackFrame, start: &Start) -> Result<(), JournalError> {
        let mut batches = Vec::new();
        let (mut lines, mut before) = (0, start.from);
        while lines < OutputTail::KEPT {
            let Some((id, sample)) = self.reader.newest(OUTPUT, before, start.bound, 1)?.into_iter().next() else {
                break;
            };
            if id < start.session {
                break;
            }
            before = id;
            if let Ok(kept) = serde_json::from_str::<KeptOutput>(&sample.body) {
                lines += kept.said.iter().map(|said| said.lines.len()).sum::<usize>();
                batches.push((arrived(&sample), kept));
            }
        }
        for (arrived, kept) in batches.into_iter().rev() {
            frame.output(arrived, kept);
        }
        Ok(())
    }

    /// Plays the samples from there up to the frame's next one. Whether a reading was of another server was judged by the
    /// servers that had been met or accepted then.
    fn play(&self, frame: &mut PlaybackFrame, from: i64) -> Result<(), JournalError> {
        let (mut from, next) = (from, frame.next);
        let mut known = self.servers_behind(frame.view.seq());
        let last_known = known;
        while from < next {
            let samples = self.reader.arrived(from, CHUNK)?;
            let Some((last, _)) = samples.last() else { break };
            from = last + 1;
            for (_, sample) in samples.iter().filter(|(id, _)| *id < next) {
                if last_known > 0 {
                    self.know_servers(frame, &mut known, self.servers_behind(self.arrival(sample).after));
                }
                frame.sample(arrived(sample), sample);
            }
        }
        self.know_servers(frame, &mut known, last_known);
        frame.pass_to(frame.now);
        Ok(())
    }

    /// How many times servers had been met or accepted when this fact was durable.
    fn servers_behind(&self, seq: u64) -> usize {
        self.servers.partition_point(|(from, _)| *from <= seq)
    }

    /// Takes the run to the servers that were known after so many times.
    fn know_servers(&self, frame: &mut PlaybackFrame, known: &mut usize, wanted: usize) {
        if *known != wanted {
            *known = wanted;
            let servers = wanted.checked_sub(1).and_then(|newest| self.servers.get(newest));
            frame.view.set_servers(servers.map(|(_, servers)| servers.clone()).unwrap_or_default());
        }
    }

    /// Number of the first sample that does not fit: those that do come before all that do not.
    pub(super) fn first_sample(&self, fits: impl Fn(Arrival) -> bool) -> Result<i64, JournalError> {
        let (mut low, mut high) = self.samples;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.reader.arrived(middle, 1)?.first() {
                Some((id, sample)) if *id < high && fits(self.arrival(sample)) => low = id + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    fn sample_before(&self, next: i64) -> Result<Option<Sample>, JournalError> {
        if next <= self.samples.0 {
            return Ok(None);
        }
        Ok(self.reader.arrived(next - 1, 1)?.into_iter().next().map(|(_, sample)| sample))
    }

    /// When a sample arrived and behind which fact. Of an earlier version's samples the times say it.
    fn arrival(&self, sample: &Sample) -> Arrival {
        arrival_of(sample).unwrap_or_else(|arrived| {
            let after = self.facts.partition_point(|recorded| recorded.at <= arrived) as u64;
            Arrival { arrived, after, late: false }
        })
    }
}
