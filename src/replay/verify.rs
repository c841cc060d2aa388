//! Makes every recorded decision again: facts are turned back into the inputs they answered, and the core decides on them
//! in the state before, on the evidence that was recorded. What it decides must be what the journal says.
//!
//! Evidence is checked twice: its terms must give its verdict, and recorded readings must not contradict it. What
//! cannot be decided again is counted and named.

use std::collections::BTreeMap;
use std::fmt;

use super::asked::{Ground, Question, RecordedRequest};
use super::recording::Recording;
use crate::core::action::Action;
use crate::core::board::Board;
use crate::core::decide::decide;
use crate::core::evidence::{Assessment, Baselines, Evidence, Verdict};
use crate::core::fact::{Fact, Mode, Recorded, StopWhy};
use crate::core::ids::{StepId, Who};
use crate::core::plan::{ConditionId, Guard, Plan};
use crate::core::recover::take_over;
use crate::core::state::{Run, StepProgress};
use crate::core::time::{At, Span};
use crate::journal::JournalError;

/// Something that cannot have been decided as the journal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Number of the fact.
    pub seq: u64,
    /// Its kind.
    pub kind: &'static str,
    /// What differs, in one sentence.
    pub what: String,
}

/// The result of deciding again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Facts looked at.
    pub facts: usize,
    /// Decisions made again with the same result.
    pub decided: usize,
    /// What differs.
    pub differences: Vec<Difference>,
    /// What was taken as recorded because nothing in the journal says why: reason and how often.
    pub taken: BTreeMap<&'static str, usize>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { facts, decided, differences, taken } = self;
        write!(f, "{facts} facts, {decided} decisions made again, {} differ", differences.len())?;
        for Difference { seq, kind, what } in differences {
            write!(f, "\n  fact {seq} ({kind}): {what}")?;
        }
        for (why, count) in taken {
            write!(f, "\n  {count} taken as recorded: {why}")?;
        }
        Ok(())
    }
}

/// Decides everything in a recording once more.
///
/// # Errors
///
/// When the record cannot be read.
pub fn verify(recording: &Recording) -> Result<Report, JournalError> {
    let mut again =
        Again { recording, plan: recording.plan(), run: Run::default(), epoch: 0, report: Report::default() };
    let facts = recording.facts();
    again.report.facts = facts.len();
    let mut rest = facts;
    while let Some(first) = rest.first() {
        let told = again.decide_again(first, rest)?.clamp(1, rest.len());
        let (decided, later) = rest.split_at(told);
        for recorded in decided {
            again.run.apply(again.plan, recorded.at, &recorded.fact);
        }
        rest = later;
    }
    Ok(again.report)
}

struct Again<'a> {
    recording: &'a Recording,
    plan: &'a Plan,
    run: Run,
    epoch: u64,
    report: Report,
}

impl Again<'_> {
    fn differs(&mut self, recorded: &Recorded, what: impl Into<String>) {
        let (seq, kind) = (recorded.seq, recorded.fact.kind());
        self.report.differences.push(Difference { seq, kind, what: what.into() });
    }

    fn asked(&self) -> Question<'_> {
        Question { plan: self.plan, run: &self.run }
    }

    fn taken(&mut self, why: &'static str) {
        *self.report.taken.entry(why).or_default() += 1;
    }

    /// Makes the decision again that began with this fact; says how many facts it has.
    fn decide_again(&mut self, first: &Recorded, rest: &[Recorded]) -> Result<usize, JournalError> {
        if first.at < self.run.last {
            self.differs(first, "it was decided before the fact before it");
        }
        match &first.fact {
            Fact::RunOpened { plan, .. } => {
                if first.seq != 1 {
                    self.differs(first, "a run is opened once, by its first fact");
                } else if *plan != self.plan.digest {
                    self.differs(first, "the run was opened with another plan than its copy of the runbook gives");
                } else {
                    self.report.decided += 1;
                }
                return Ok(1);
            }
            _ if self.run.mode.is_none() => {
                self.differs(first, "the run is not open");
                return Ok(1);
            }
            Fact::DriverArrived { by, epoch, away } => return Ok(self.arrived(first, rest, by, *epoch, *away)),
            Fact::DriverLeft { by, .. } => {
                self.left(first, by);
                return Ok(1);
            }
            Fact::RehearsalsChecked { missing, overridden, .. } => {
                if self.run.mode != Some(Mode::Live) {
                    self.differs(first, "rehearsals are demanded of live runs only");
                } else if !missing.is_empty() && overridden.is_none() {
                    self.differs(first, "rehearsals were missing and nobody said why the run was begun all the same");
                } else {
                    self.taken("rehearsals are looked up in other journals");
                }
                return Ok(1);
            }
            Fact::DurationsMeasured { .. } => {
                if self.run.driver.is_some() {
                    self.differs(first, "durations are looked up when a run begins, not while it is driven");
                } else {
                    self.taken("durations are measured in other journals");
                }
                return Ok(1);
            }
            Fact::WallClockJumped { .. } => {
                self.taken("a jump of the wall clock is seen, not decided");
                return Ok(1);
            }
            Fact::WatchLapsed { .. } => {
                self.taken("that nobody watched is seen, not decided");
                return Ok(1);
            }
            _ => {}
        }
        if let Some(by) = decider(&first.fact).filter(|by| self.run.driver.as_ref() != Some(by)) {
            self.differs(first, format!("{by} did not drive"));
        }
        let Some((asked, ground)) = self.asked().of(first) else {
            self.differs(first, "nothing that can happen leads to it: it never stands alone");
            return Ok(1);
        };
        if let Ground::Evidence(evidence, _) | Ground::Soak(_, evidence, _) = &ground {
            self.check_evidence(first, evidence)?;
        }
        let board = match &ground {
            Ground::Bare => Board::new(self.plan, first.at),
            Ground::Evidence(evidence, from) => {
                let known: Vec<_> = evidence.iter().cloned().chain(unrecorded_guards(self.plan, &first.fact)).collect();
                Board::testifying(self.plan, first.at, &known, from)
            }
            Ground::Soak(step, evidence, since) => self.soaking(first.at, step, evidence, *since),
            Ground::Readings => self.recording.board_before(first.seq, first.at)?,
        };
        self.compare(first, rest, &asked, &board, &ground)
    }

    /// A board on which these guards of a soak have not been GO since `since`, and its others have.
    fn soaking(&self, at: At, step: &StepId, evidence: &[(ConditionId, Evidence)], since: At) -> Board {
        let guards = self.plan.step(step).map(|step| step.guards.as_slice()).unwrap_or_default();
        let board = Board::testifying(self.plan, at, evidence, &Baselines::new());
        guards.iter().fold(board, |board, guard| {
            let told = evidence.iter().find(|(id, _)| *id == guard.condition);
            let verdict = told.map_or(Verdict::Go, |(_, told)| told.assessment.verdict);
            // The fact gives the start of the first of them. None was NO-GO long enough to end the step.
            let tolerated = at.before(guard.tolerate).plus(Span(1)).min(at);
            let since = if verdict == Verdict::NoGo { since.max(tolerated) } else { since };
            board.known_since(guard.condition, verdict, since)
        })
    }

    /// Decides once more and compares; says how many facts the decision has.
    fn compare(
        &mut self,
        first: &Recorded,
        rest: &[Recorded],
        asked: &RecordedRequest,
        board: &Board,
        ground: &Ground,
    ) -> Result<usize, JournalError> {
        let mut why = "the runbook has no such step".to_owned();
        for input in self.asked().inputs(asked, board, first.at) {
            match decide(self.plan, &self.run, board, first.at, input) {
                Err(refusal) => why = format!("it would have been refused: {refusal}"),
                Ok(decision) if decision.facts.is_empty() => "nothing would have been decided".clone_into(&mut why),
                Ok(mut decision) => {
                    self.customers_as_recorded(&first.fact, &mut decision.facts);
                    self.guards_as_recorded(&first.fact, &mut decision.facts);
                    match difference(&decision.facts, rest, first.at) {
                        None => {
                            self.report.decided += 1;
                            return Ok(decision.facts.len());
                        }
                        Some(what) => why = what,
                    }
                }
            }
        }
        if matches!(ground, Ground::Readings) && self.recording.lacks_readings() {
            self.taken("what was awaited or watched has no evidence in the journal, and no readings are recorded");
        } else if matches!(ground, Ground::Readings) && self.recording.may_lack_readings(first.seq)? {
            self.taken("what was awaited or watched, and readings may have gone with the cockpit");
            return Ok(taken_together(first, rest));
        } else {
            self.differs(first, why);
        }
        Ok(1)
    }

    fn arrived(&mut self, first: &Recorded, rest: &[Recorded], by: &Who, epoch: u64, away: Span) -> usize {
        if epoch <= self.epoch {
            self.differs(first, format!("its lease {epoch} is not newer than {}", self.epoch));
        }
        self.epoch = self.epoch.max(epoch);
        if away > first.at.since(self.run.last) {
            self.differs(first, "nobody can have been away for longer than since the fact before it");
        }
        let facts = take_over(self.plan, &self.run, by.clone(), epoch, away).facts;
        match difference(&facts, rest, first.at) {
            None => {
                self.report.decided += 1;
                facts.len()
            }
            Some(what) => {
                self.differs(first, what);
                1
            }
        }
    }

    fn left(&mut self, first: &Recorded, by: &Who) {
        let unfinished = self.run.touched().find_map(|(id, step)| match &step.phase {
            StepProgress::Running(running) => {
                let leaves = self.plan.action(&running.key).is_some_and(Action::leaves_the_program);
                let section = self.plan.work(&running.key).is_some_and(|work| work.section);
                (leaves || section).then(|| id.clone())
            }
            _ => None,
        });
        if self.run.driver.as_ref() != Some(by) {
            self.differs(first, format!("{by} did not drive"));
        } else if let Some(step) = unfinished {
            self.differs(first, format!("\"{step}\" was under way, and a driver waits for that before leaving"));
        } else {
            self.report.decided += 1;
        }
    }

    /// What customers had seen at the end is a reading, so it is taken as recorded.
    fn customers_as_recorded(&mut self, first: &Fact, facts: &mut [Fact]) {
        let (
            Fact::RunEnded { customers: recorded, customers_at: recorded_at, .. },
            Some(Fact::RunEnded { customers, customers_at, .. }),
        ) = (first, facts.first_mut())
        else {
            return;
        };
        if recorded.is_some() {
            customers.clone_from(recorded);
            *customers_at = *recorded_at;
            self.taken("what customers had seen at the end is a reading");
        }
    }

    /// Journals of earlier versions do not say how the guards of a step stood when it was done.
    fn guards_as_recorded(&mut self, first: &Fact, facts: &mut [Fact]) {
        if let (Fact::StepDone { guards: recorded, .. }, Some(Fact::StepDone { guards, .. })) =
            (first, facts.first_mut())
            && recorded.is_empty()
            && !guards.is_empty()
        {
            guards.clear();
            self.taken("how guards stood at the end of a step, in a journal of an earlier version");
        }
    }

    /// Compares evidence with its own terms and with the recorded readings.
    fn check_evidence(&mut self, first: &Recorded, evidence: &[(ConditionId, Evidence)]) -> Result<(), JournalError> {
        for (id, told) in evidence {
            let terms = self.plan.condition(*id).and_then(|condition| condition.recount(&told.assessment.terms));
            match terms {
                Some(verdict) if verdict == told.assessment.verdict => {}
                Some(verdict) => self.differs(
                    first,
                    format!(
                        "\"{}\" is recorded as {} but its terms give {verdict}",
                        told.name, told.assessment.verdict
                    ),
                ),
                None => self.differs(first, format!("the terms of \"{}\" are not those of its rule", told.name)),
            }
        }
        let begins = match &first.fact {
            Fact::StepStarted { step, baselines, .. } => Some((step, false, baselines)),
            Fact::UndoStarted { step, baselines, .. } => Some((step, true, baselines)),
            _ => None,
        };
        let begins = begins.filter(|(_, _, baselines)| !baselines.is_empty());
        if evidence.is_empty() && begins.is_none() {
            return Ok(());
        }
        if self.recording.lacks_readings() {
            self.taken("evidence without recorded readings to hold it against");
            return Ok(());
        }
        let board = self.recording.board_before(first.seq, first.at)?;
        let mut lost = false;
        let gone = self.recording.may_lack_readings(first.seq)?;
        // A step's conditions at its start are judged as if it had begun, on what it counts from.
        let mut run = None;
        if let Some((step, undo, baselines)) = begins {
            lost |= !gone && self.check_baselines(first, &board, step, undo, baselines);
            run.insert(self.run.clone()).apply(self.plan, first.at, &first.fact);
        }
        for (id, told) in evidence {
            let run = run.as_ref().unwrap_or(&self.run);
            let read = board.assess(self.plan, run, first.at, *id);
            if read == told.assessment {
                continue;
            }
            if gone || read.verdict == Verdict::Unknown {
                lost = true;
            } else if read.verdict != told.assessment.verdict {
                let met: Vec<&str> = read.terms.iter().map(|term| term.actual.as_str()).collect();
                self.differs(
                    first,
                    format!(
                        "\"{}\" is recorded as {} but the recorded readings say {} ({})",
                        told.name,
                        told.assessment.verdict,
                        read.verdict,
                        met.join(", ")
                    ),
                );
            } else {
                self.differs(first, format!("\"{}\" met other values than the recorded readings", told.name));
            }
        }
        if lost {
            self.taken("evidence whose readings are not all in the record");
        }
        Ok(())
    }

    /// Compares the baselines of growth with the recorded readings; says whether any of those are lost.
    fn check_baselines(
        &mut self,
        first: &Recorded,
        board: &Board,
        step: &StepId,
        undo: bool,
        told: &Baselines,
    ) -> bool {
        let Some(step) = self.plan.step(step) else { return false };
        let read = board.baselines(self.plan, first.at, step, undo);
        if read == *told {
            return false;
        }
        if told.keys().any(|number| !read.contains_key(number)) {
            return true;
        }
        self.differs(first, "growth is counted from other numbers than the recorded readings");
        false
    }
}

/// The guards of a step that was done, as an earlier version took them when it did not record them.
fn unrecorded_guards(plan: &Plan, fact: &Fact) -> Vec<(ConditionId, Evidence)> {
    let Fact::StepDone { step, guards, .. } = fact else { return Vec::new() };
    let unrecorded = plan.step(step).map(|step| step.guards.as_slice()).filter(|_| guards.is_empty());
    let taken = |guard: &Guard| {
        let assessment = Assessment { verdict: Verdict::Go, terms: Vec::new() };
        let (name, rule) = (guard.name.clone(), String::new());
        (guard.condition, Evidence { name, rule, assessment, held: Some(Span::ZERO), needed: Span::ZERO })
    };
    unrecorded.unwrap_or_default().iter().map(taken).collect()
}

/// How many facts a decision has that is taken as recorded: what the end of a job leads to at once belongs to it.
fn taken_together(first: &Recorded, rest: &[Recorded]) -> usize {
    let belongs = |recorded: &&Recorded| {
        let follows = match &recorded.fact {
            Fact::StepDone { evidence, guards, .. } => evidence.is_empty() && guards.is_empty(),
            fact => matches!(
                fact,
                Fact::JobStarted { .. }
                    | Fact::BaselineTaken { .. }
                    | Fact::CounterReset { .. }
                    | Fact::StepFailed { .. }
                    | Fact::StepUndone { .. }
                    | Fact::UndoFailed { .. }
                    | Fact::SectionReverting { .. }
            ),
        };
        recorded.at == first.at && follows
    };
    1 + rest.iter().skip(1).take_while(belongs).count()
}

/// The person who decided this, if it was one.
fn decider(fact: &Fact) -> Option<&Who> {
    match fact {
        Fact::StepStarted { by, .. }
        | Fact::UndoStarted { by, .. }
        | Fact::TakenBackByHand { by, .. }
        | Fact::ItemAcknowledged { by, .. }
        | Fact::StepSkipped { by, .. }
        | Fact::VerifyingAgain { by, .. }
        | Fact::NoteAdded { by, .. }
        | Fact::StatusUpdated { by, .. }
        | Fact::ServerAccepted { by, .. }
        | Fact::DoubtResolved { by, .. }
        | Fact::StopRequested { why: StopWhy::Operator(by), .. }
        | Fact::RunEnded { by, .. } => Some(by),
        _ => None,
    }
}

/// What is different between what is decided now and what is recorded; `None` when nothing is.
fn difference(decided: &[Fact], recorded: &[Recorded], at: At) -> Option<String> {
    for (place, fact) in decided.iter().enumerate() {
        let Some(was) = recorded.get(place) else {
            return Some(format!("the journal ends before {} that belongs to it", kind(fact)));
        };
        if was.fact.kind() != fact.kind() {
            return Some(format!("{} would have been decided, not {}", kind(fact), kind(&was.fact)));
        }
        if was.fact != *fact {
            return Some(format!(
                "{} would have been decided with other contents: {}",
                kind(fact),
                contents(&was.fact, fact)
            ));
        }
        if was.at != at {
            return Some(format!("{} belongs to it but was decided at another moment", kind(fact)));
        }
    }
    None
}

fn kind(fact: &Fact) -> String {
    let about = fact.step().map_or_else(String::new, |step| format!(" of \"{step}\""));
    format!("{}{about}", fact.kind())
}

/// The first field in which two facts of a kind differ.
fn contents(was: &Fact, is: &Fact) -> String {
    let value = |fact: &Fact| serde_json::to_value(fact).unwrap_or_default();
    let (was, is) = (value(was), value(is));
    let mut fields = was.as_object().into_iter().flatten();
    let other = |(name, was): (&String, &serde_json::Value)| {
        let is = is.get(name)?;
        (is != was).then(|| format!("{name} is {}, not {}", short(is), short(was)))
    };
    fields.find_map(other).unwrap_or_else(|| "a field is missing".to_owned())
}

fn short(value: &serde_json::Value) -> String {
    const SHOWN: usize = 80;
    let text = value.to_string();
    if text.chars().count() <= SHOWN { text } else { text.chars().take(SHOWN).chain(['…']).collect() }
}
