//! What was recorded of a run, and the way to any place in it.
//!
//! Facts are few and held in memory, folded at intervals. Samples are many and stay on disk: at any place the newest
//! board kept before it and the few hundred samples behind that board say what was on screen.

use std::collections::VecDeque;

use super::reel::{Reel, board_of};
use crate::core::board::Board;
use crate::core::fact::{Fact, FactError, Recorded, StopWhy};
use crate::core::ids::StepId;
use crate::core::plan::Plan;
use crate::core::state::Run;
use crate::core::time::{At, Span};
use crate::driver::LOG_KEPT;
use crate::journal::{Damage, JournalError, Reader, Sample, verify};
use crate::recent::{History, OutputTail};
use crate::tape::{BOARD, Heard, KeptOutput, OPENED, OUTPUT, Place, arrived, place_of, unkept};
use crate::words;

/// Facts between two folds kept.
const FOLD_EVERY: usize = 1_000;

/// Samples read at a time.
const CHUNK: u32 = 256;

/// How far back a record without boards is looked through: what had held for longer is shown as held since then.
const LOOK_BACK: i64 = 10_000;

/// Why a run cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is nothing to show.
    #[error("run {run} cannot be replayed: {why}")]
    Nothing {
        /// Its short name.
        run: String,
        /// Why.
        why: String,
    },
}

/// A recorded run.
#[derive(Debug)]
pub struct Recording {
    plan: Plan,
    reader: Reader,
    facts: Vec<Recorded>,
    /// The run before every [`FOLD_EVERY`]th fact.
    folds: Vec<Run>,
    /// Numbers of the first sample and of the one after the last.
    samples: (i64, i64),
    end: At,
    /// Whether panes can only be shown as they may have been.
    inexact: bool,
    damaged: bool,
    notes: Vec<String>,
}

impl Recording {
    /// Looks through the journal of a run. What is damaged, newer or missing is noted; facts behind damage are left out.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read at all or has no fact to show.
    pub fn open(reader: Reader, plan: Plan) -> Result<Self, ReplayError> {
        let mut notes = Vec::new();
        let sound = soundness(&reader, &mut notes)?;
        let mut facts: Vec<Recorded> = Vec::new();
        for record in reader.records(1) {
            let Ok(record) = record else { break };
            if record.seq > sound {
                break;
            }
            match Fact::decode(&record.kind, record.version, &record.body) {
                Ok(fact) => facts.push(Recorded { seq: record.seq, at: At(record.at_ms), fact }),
                Err(error) => {
                    let seq = record.seq;
                    let what = match error {
                        FactError::Newer { .. } => "was written by a newer gonogo",
                        FactError::Malformed { .. } => "cannot be read",
                    };
                    notes.insert(0, format!("fact {seq} {what}: shown up to the one before"));
                    break;
                }
            }
        }
        let damaged = !notes.is_empty();
        if facts.is_empty() {
            let why = notes.into_iter().next().unwrap_or_else(|| "its journal has no facts".to_owned());
            return Err(ReplayError::Nothing { run: reader.meta().run.short().to_owned(), why });
        }
        let numbers = reader.sample_numbers()?;
        let samples = numbers.map_or((0, 0), |(first, last)| (first, last.saturating_add(1)));
        let inexact = numbers.is_none() || reader.newest(OPENED, i64::MAX, i64::MAX, 1)?.is_empty();
        if numbers.is_none() {
            notes.push("no samples: panes stay empty".to_owned());
        } else if inexact {
            notes.push("an older record: panes are near, not exact".to_owned());
        }
        let unkept = unkept(&reader)?;
        if unkept > 0 {
            notes.push(format!("{}: the disk was too slow, panes lack them", words::unkept(unkept)));
        }
        let mut run = Run::default();
        let mut folds = Vec::with_capacity(facts.len() / FOLD_EVERY + 1);
        for (at, recorded) in facts.iter().enumerate() {
            if at % FOLD_EVERY == 0 {
                folds.push(run.clone());
            }
            run.apply(&plan, recorded.at, &recorded.fact);
        }
        if run.plan.as_ref().is_some_and(|digest| *digest != plan.digest) {
            notes.push("this gonogo reads the runbook differently from the one that recorded it".to_owned());
        }
        let mut end = facts.last().map_or(At(0), |last| last.at);
        if let Some((_, last)) = reader.arrived(samples.1 - 1, 1)?.first().filter(|_| numbers.is_some()) {
            end = end.max(arrived(last));
        }
        Ok(Self { plan, reader, facts, folds, samples, end, inexact, damaged, notes })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The facts, in order.
    pub fn facts(&self) -> &[Recorded] {
        &self.facts
    }

    /// The journal.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// What the recording lacks, the gravest first; empty when it is exact.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether the journal was changed, or holds what cannot be read.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Number of the last fact.
    pub fn last(&self) -> u64 {
        self.facts.len() as u64
    }

    /// When the recording ends.
    pub fn end(&self) -> At {
        self.end
    }

    /// When the run was opened.
    pub fn opened(&self) -> At {
        self.facts.first().map_or(At(0), |first| first.at)
    }

    /// The first place worth showing: behind the facts with which a run opens.
    pub fn first_shown(&self) -> u64 {
        self.end_of_decision(1)
    }

    /// The last fact of the decision that this fact belongs to: what was decided at one moment is shown together, as
    /// it was.
    fn end_of_decision(&self, seq: u64) -> u64 {
        let at = self.fact(seq).map(|recorded| recorded.at);
        let mut end = seq;
        while let Some(next) = self.fact(end + 1)
            && Some(next.at) == at
            && follows(&next.fact)
        {
            end += 1;
        }
        end
    }

    /// The fact of that number.
    pub fn fact(&self, seq: u64) -> Option<&Recorded> {
        self.facts.get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }

    /// The end of the next decision, whoever made it.
    pub(super) fn next_fact(&self, seq: u64) -> Option<u64> {
        self.fact(seq + 1).map(|next| self.end_of_decision(next.seq))
    }

    /// The end of the next decision that a person made.
    pub(super) fn next_decision(&self, seq: u64) -> Option<u64> {
        let from = usize::try_from(seq).ok()?;
        let next = self.facts.get(from..)?.iter().find(|recorded| is_decision(&recorded.fact))?;
        Some(self.end_of_decision(next.seq))
    }

    /// The end of the decision before that a person made; `seq` itself may be one when time has passed since.
    pub(super) fn previous_decision(&self, seq: u64, passed: bool) -> Option<u64> {
        let upto = usize::try_from(seq).ok()?;
        let before = self.facts.get(..upto)?.iter().rev().filter(|recorded| is_decision(&recorded.fact));
        before.map(|recorded| self.end_of_decision(recorded.seq)).find(|end| *end < seq || passed && *end == seq)
    }

    /// Where a step began: its newest try up to this place, else its first one.
    pub(super) fn start_of(&self, step: &StepId, seq: u64) -> Option<u64> {
        let starts = |recorded: &&Recorded| match &recorded.fact {
            Fact::StepStarted { step: started, .. } => started == step,
            Fact::StepSkipped { step: skipped, .. } => skipped == step,
            _ => false,
        };
        let before = self.facts.iter().rev().filter(|recorded| recorded.seq <= seq).find(starts);
        before.or_else(|| self.facts.iter().find(starts)).map(|recorded| self.end_of_decision(recorded.seq))
    }

    /// What was on screen when this fact had just become durable.
    ///
    /// # Errors
    ///
    /// When samples cannot be read.
    pub fn at_fact(&self, seq: u64) -> Result<Reel, JournalError> {
        let seq = seq.min(self.last());
        let next = self.first_sample(|place| place.after < seq)?;
        let told = self.fact(seq).map_or(At(0), |recorded| recorded.at);
        let heard = self.sample_before(next)?.map_or(At(0), |sample| arrived(&sample));
        self.shown(seq, next, told.max(heard))
    }

    /// What was on screen at a moment; at the first or the last one when it is outside the recording.
    ///
    /// # Errors
    ///
    /// When samples cannot be read.
    pub fn at_time(&self, at: At) -> Result<Reel, JournalError> {
        let at = at.max(self.opened()).min(self.end);
        let seq = self.facts.partition_point(|recorded| recorded.at <= at) as u64;
        let next = self.first_sample(|place| place.after < seq || (place.after == seq && place.arrived <= at))?;
        self.shown(seq, next, at)
    }

    /// Goes on from where the reel is to a later moment.
    ///
    /// # Errors
    ///
    /// When samples cannot be read. The reel then shows what could be read.
    pub fn advance(&self, reel: &mut Reel, until: At) -> Result<(), JournalError> {
        loop {
            if reel.ahead.is_empty() && reel.next < self.samples.1 {
                reel.ahead = self.reader.arrived(reel.next, CHUNK)?.into();
            }
            let sample =
                reel.ahead.front().map(|(_, sample)| self.place(sample)).filter(|place| place.after <= reel.seq);
            let fact = self.fact(reel.seq + 1);
            match (sample, fact) {
                (Some(place), _) if place.arrived <= until => {
                    if let Some((id, sample)) = reel.ahead.pop_front() {
                        reel.hear(&self.plan, place.arrived, &sample);
                        reel.next = id + 1;
                    }
                }
                (None, Some(recorded)) if recorded.at <= until => reel.tell(&self.plan, recorded),
                _ => break,
            }
        }
        reel.now = reel.now.max(until);
        reel.board.refresh(&self.plan, &reel.run, reel.now);
        Ok(())
    }

    /// What was known when the decision was made that this fact begins, at that moment.
    ///
    /// # Errors
    ///
    /// When samples cannot be read.
    pub(super) fn board_before(&self, seq: u64, at: At) -> Result<Board, JournalError> {
        let next = self.first_sample(|place| place.after + 1 < seq || (place.after + 1 == seq && !place.late))?;
        let mut reel = self.folded(seq.saturating_sub(1), at);
        self.board(&mut reel, next)?;
        Ok(reel.board)
    }

    /// Whether the record says too little about readings to hold evidence against them.
    pub fn lacks_readings(&self) -> bool {
        self.inexact
    }

    /// Whether readings that this fact rests on may have gone with the driver: it did not leave in an orderly manner,
    /// and nothing that arrived after the fact is in the record.
    ///
    /// # Errors
    ///
    /// When samples cannot be read.
    pub(super) fn may_lack_readings(&self, seq: u64) -> Result<bool, JournalError> {
        let after = self.facts.iter().skip(usize::try_from(seq).unwrap_or(usize::MAX)).map(|recorded| &recorded.fact);
        let mut ends = after.filter(|fact| matches!(fact, Fact::DriverLeft { .. } | Fact::DriverArrived { .. }));
        if matches!(ends.next(), Some(Fact::DriverLeft { .. })) {
            return Ok(false);
        }
        let next = self.first_sample(|place| place.after < seq)?;
        // The record of a run that is driven now grows: what came after it was opened is no part of it.
        let later = if next < self.samples.1 { self.reader.arrived(next, 1)? } else { Vec::new() };
        Ok(later.first().is_none_or(|(_, sample)| sample.source == OPENED))
    }

    /// Everything as it was behind this fact and before this sample.
    fn shown(&self, seq: u64, next: i64, now: At) -> Result<Reel, JournalError> {
        let mut reel = self.folded(seq, now);
        reel.next = next;
        let began = self.board(&mut reel, next)?;
        self.draw(&mut reel, began, next)?;
        Ok(reel)
    }

    /// The board as it was before this sample. Says with which sample the driver had begun to look.
    fn board(&self, reel: &mut Reel, next: i64) -> Result<i64, JournalError> {
        let opened = self.reader.newest(OPENED, next, i64::MAX, 1)?.into_iter().next();
        let kept = self.reader.newest(BOARD, next, i64::MAX, 1)?.into_iter().next();
        let session = opened.as_ref().map(|(id, _)| *id);
        let kept = kept.filter(|(id, _)| Some(*id) > session).or(opened);
        let board = kept.and_then(|(id, sample)| board_of(&self.plan, &sample).map(|board| (id + 1, board)));
        let from = match board {
            Some((from, board)) => {
                reel.board = board;
                from
            }
            None => self.without_boards(reel, next)?,
        };
        self.each(from, next, |arrived, sample| {
            if let Ok(heard) = serde_json::from_str::<Heard>(&sample.body) {
                let lapse = heard.lapse;
                reel.observe(&self.plan, arrived, heard.reading(), lapse);
            }
        })?;
        reel.board.refresh(&self.plan, &reel.run, reel.now);
        Ok(session.unwrap_or(from))
    }

    /// For a record of an earlier version: an empty board when the driver came, and where to read on from.
    fn without_boards(&self, reel: &mut Reel, next: i64) -> Result<i64, JournalError> {
        let came = self.facts.iter().rev().filter(|recorded| recorded.seq <= reel.seq);
        let came = came.into_iter().find(|recorded| matches!(recorded.fact, Fact::DriverArrived { .. }));
        let came = came.map_or(self.opened(), |recorded| recorded.at);
        reel.board = Board::new(&self.plan, came);
        let began = self.first_sample(|place| place.arrived < came)?;
        Ok(began.max(next.saturating_sub(LOOK_BACK)))
    }

    /// The courses and the output as they were: the newest samples of each source since the driver came.
    fn draw(&self, reel: &mut Reel, session: i64, next: i64) -> Result<(), JournalError> {
        reel.history = History::default();
        reel.output = OutputTail::default();
        let bound = self.sample_before(next)?.map_or(i64::MAX, |sample| arrived(&sample).0);
        let kept = u32::try_from(History::KEPT).unwrap_or(CHUNK);
        for (id, probe) in &self.plan.probes {
            if !History::draws(probe) {
                continue;
            }
            let mut newest = self.reader.newest(id.as_str(), next, bound, kept)?;
            newest.retain(|(number, _)| *number >= session);
            newest.sort_unstable_by_key(|(number, _)| *number);
            for (_, sample) in newest {
                if let Ok(heard) = serde_json::from_str::<Heard>(&sample.body) {
                    reel.history.record(probe, &heard.reading());
                }
            }
        }
        let mut batches = VecDeque::new();
        let (mut lines, mut before) = (0, next);
        while lines < OutputTail::KEPT {
            let Some((id, sample)) = self.reader.newest(OUTPUT, before, bound, 1)?.into_iter().next() else { break };
            if id < session {
                break;
            }
            before = id;
            if let Ok(kept) = serde_json::from_str::<KeptOutput>(&sample.body) {
                lines += kept.said.iter().map(|said| said.lines.len()).sum::<usize>();
                batches.push_front(kept);
            }
        }
        for kept in batches {
            reel.say(kept);
        }
        Ok(())
    }

    /// The run and the log behind this fact.
    fn folded(&self, seq: u64, now: At) -> Reel {
        let upto = usize::try_from(seq).unwrap_or(usize::MAX).min(self.facts.len());
        let fold = (upto / FOLD_EVERY).min(self.folds.len().saturating_sub(1));
        let mut run = self.folds.get(fold).cloned().unwrap_or_default();
        let facts = self.facts.get(fold * FOLD_EVERY..upto).unwrap_or_default();
        for recorded in facts {
            run.apply(&self.plan, recorded.at, &recorded.fact);
        }
        let mut reel = Reel::new(run, Board::default(), now);
        reel.seq = upto as u64;
        let log = self.facts.get(upto.saturating_sub(LOG_KEPT)..upto).unwrap_or_default();
        reel.log = log.iter().cloned().collect();
        reel
    }

    /// Number of the first sample that does not fit: those that do come before all that do not.
    fn first_sample(&self, fits: impl Fn(Place) -> bool) -> Result<i64, JournalError> {
        let (mut low, mut high) = self.samples;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.reader.arrived(middle, 1)?.first() {
                Some((id, sample)) if *id < high && fits(self.place(sample)) => low = id + 1,
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

    fn each(&self, from: i64, next: i64, mut hear: impl FnMut(At, &Sample)) -> Result<(), JournalError> {
        let mut from = from;
        while from < next {
            let samples = self.reader.arrived(from, CHUNK)?;
            let Some((last, _)) = samples.last() else { break };
            from = last + 1;
            for (id, sample) in &samples {
                if *id < next {
                    hear(arrived(sample), sample);
                }
            }
        }
        Ok(())
    }

    /// When a sample arrived and behind which fact. Of an earlier version's samples the times say it.
    fn place(&self, sample: &Sample) -> Place {
        place_of(sample).unwrap_or_else(|arrived| {
            let after = self.facts.partition_point(|recorded| recorded.at <= arrived) as u64;
            Place { arrived, after, late: false }
        })
    }

    /// For how long the run was recorded.
    pub fn length(&self) -> Span {
        self.end.since(self.opened())
    }
}

/// The number of the last record before any damage; every record when there is none.
fn soundness(reader: &Reader, notes: &mut Vec<String>) -> Result<u64, JournalError> {
    let report = verify(reader, None)?;
    let mut sound = u64::MAX;
    for damage in &report.findings {
        let first = match damage {
            Damage::Edited { seq } | Damage::Inserted { seq } => Some(*seq),
            Damage::Reordered { seq, found_at } => Some(*seq.min(found_at)),
            Damage::Missing { from, .. } => Some(*from),
            Damage::Rewritten { seq, .. } => i64::try_from(*seq).ok(),
            Damage::Unreadable { after, .. } => Some(after.saturating_add(1)),
            Damage::Truncated { .. } | Damage::HeadNotFound(_) | Damage::Runbook | Damage::More => None,
            // A replay is made from the one in the journal.
            Damage::RunbookCopy => continue,
        };
        if let Some(first) = first.and_then(|first| u64::try_from(first).ok()) {
            sound = sound.min(first.saturating_sub(1));
        }
        notes.push(format!("DAMAGED: {damage}"));
    }
    if sound != u64::MAX {
        notes.insert(0, format!("DAMAGED, shown up to fact {sound}: {}", report.summary()));
    }
    Ok(sound)
}

/// Whether a person decided this.
fn is_decision(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::StepStarted { .. }
            | Fact::UndoStarted { .. }
            | Fact::TakenBackByHand { .. }
            | Fact::StepSkipped { .. }
            | Fact::DoubtResolved { .. }
            | Fact::VerifyingAgain { .. }
            | Fact::StopRequested { why: StopWhy::Operator(_), .. }
            | Fact::RunEnded { .. }
    )
}

/// Whether a fact can be part of the decision that the fact before it began.
fn follows(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::DriverArrived { epoch: 1, .. }
            | Fact::RehearsalsChecked { .. }
            | Fact::DurationsMeasured { .. }
            | Fact::BaselineTaken { .. }
            | Fact::LeftInDoubt { .. }
            | Fact::JobStarted { .. }
            | Fact::JobEnded { .. }
            | Fact::SectionReverting { .. }
            | Fact::StepFailed { .. }
            | Fact::StepUndone { .. }
            | Fact::UndoFailed { .. }
    )
}
