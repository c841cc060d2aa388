//! The board: the newest readings, and since when each condition has been GO.
//!
//! Readings are many and may be lost, so they are not facts. Gates are judged on the board; what it showed at the
//! moment of a decision is copied into that decision's facts as evidence.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::answerers::Moved;
use super::bins::Bins;
use super::counters::Counters;
use super::evidence::{Assessment, Baseline, Baselines, CounterReset, Evidence, Term, Verdict};
use super::expr::{Condition, KnownAnswers, Sight};
use super::ids::{ProbeId, TargetId};
use super::moves::Moves;
use super::plan::{Check, ConditionId, Gate, Guard, Plan, Step};
use super::reading::{Failure, Reading};
use super::server::{ServerIdentity, Servers, Stranger};
use super::state::Run;
use super::time::{At, Span};
use super::value::Value;

/// Before every measurement.
const EVER: At = At(i64::MIN);

/// Holds the newest reading of each probe, and since when each condition has given its answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Board {
    probes: BTreeMap<ProbeId, Latest>,
    runs: Vec<Streak>,
    /// Measurements that began before this moment are ignored.
    #[serde(default)]
    begun: At,
    /// The numbers whose growth is counted, by the name that conditions use.
    #[serde(default, skip_serializing_if = "Counters::is_empty")]
    counters: Counters,
    /// The servers that answered last.
    #[serde(default, skip_serializing_if = "Servers::is_empty")]
    answered: Servers,
    /// When somebody else has answered a probe than before, and what was seen of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    moved: BTreeMap<ProbeId, (At, String)>,
    /// Recorded answers of conditions, which count instead of readings: for a decision that is made again on its
    /// evidence.
    #[serde(skip)]
    testimony: BTreeMap<ConditionId, (Assessment, Option<Span>)>,
    /// Recorded baselines of growth, which count in the same way.
    #[serde(skip)]
    counted_from: Option<Baselines>,
    /// What follows from the newest readings and is too costly to be worked out whenever somebody asks.
    #[serde(skip)]
    known: KnownAnswers,
}

/// What is known of one probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latest {
    /// The newest good reading, with the moment it describes.
    pub good: Option<(At, Value)>,
    /// The moment that the good reading before it describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<At>,
    /// The newest failure, if the newest measurement failed, and since when the probe has been failing.
    pub failure: Option<(At, Failure)>,
    /// When the newest measurement began, good or not.
    pub at: At,
    /// How long the newest measurement took.
    pub took: Span,
    /// How often somebody else had answered than before, by the newest good reading.
    #[serde(default, skip_serializing_if = "Moves::is_none")]
    moves: Moves,
    /// The age from which the newest good reading is stale. It follows from the plan and the above.
    #[serde(skip)]
    stale_after: Span,
}

impl Latest {
    /// The last moment at which the newest good reading is not stale.
    fn good_until(&self) -> Option<At> {
        self.good.as_ref().map(|(at, _)| at.plus(self.stale_after))
    }

    /// What can be decided on at `now`.
    fn sight(&self, now: At) -> Sight<'_> {
        if let Some((since, failure)) = &self.failure {
            return Sight::Failed { what: &failure.what, since: now.since(*since) };
        }
        let Some((at, value)) = &self.good else { return Sight::Missing };
        let age = now.since(*at);
        // A reading from the future is a broken clock, not a fresh reading.
        if age > self.stale_after || *at > now { Sight::Stale { age } } else { Sight::Fresh { value, age } }
    }

    /// How long ago it was measured, where the reading itself is stale only because it tells of an earlier time.
    fn told_late(&self, now: At) -> Option<Span> {
        let (at, _) = self.good.as_ref().filter(|_| self.failure.is_none())?;
        let measured = now.since(self.at);
        (*at < self.at && measured <= self.stale_after && now.since(*at) > self.stale_after).then_some(measured)
    }

    /// How long the measurement of the newest good reading took; nothing is known of it once a later one has failed.
    fn took_good(&self) -> Span {
        if self.failure.is_none() { self.took } else { Span::ZERO }
    }
}

/// Since when a condition has given the same answer without a break.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Streak {
    verdict: Verdict,
    since: At,
}

/// How old a number is, in three classes: they decide how it is shown.
/// [`stale_after`](super::probe::Probe::stale_after) says how the rounds are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Good enough to decide on.
    Fresh,
    /// Older than two rounds: shown grey, opens nothing.
    Stale,
    /// Older than five rounds: not shown as a number any more.
    Gone,
}

impl Board {
    /// An empty board for the plan: everything is UNKNOWN, and measurements that began before `now` do not change that.
    pub fn new(plan: &Plan, now: At) -> Self {
        let runs = plan
            .conditions
            .iter()
            .map(|condition| {
                let verdict = condition.verdict(&|_| Sight::Missing, &Baselines::new());
                Streak { verdict, since: now }
            })
            .collect();
        Self {
            probes: BTreeMap::new(),
            runs,
            begun: now,
            counters: Counters::default(),
            answered: Servers::new(),
            moved: BTreeMap::new(),
            testimony: BTreeMap::new(),
            counted_from: None,
            known: KnownAnswers::default(),
        }
    }

    /// The board after a time in which nobody looked: as a new one, but counters go on, and a reset is still one.
    #[must_use]
    pub fn begun_again(&self, plan: &Plan, now: At) -> Self {
        Self { counters: self.counters.clone(), ..Self::new(plan, now) }
    }

    /// Builds a board that knows only what was recorded of these conditions at `now`; growth would be counted from
    /// these numbers. A NO-GO counts as having lasted for as long as anybody asks, since evidence does not say since
    /// when.
    pub fn testifying(plan: &Plan, now: At, evidence: &[(ConditionId, Evidence)], counted_from: &Baselines) -> Self {
        let mut board = Self { counted_from: Some(counted_from.clone()), ..Self::new(plan, now) };
        for (id, told) in evidence {
            let verdict = told.assessment.verdict;
            let since = match (verdict, told.held) {
                (Verdict::Go, held) => At(now.0.saturating_sub_unsigned(held.unwrap_or_default().0)),
                _ => EVER,
            };
            if let Some(streak) = board.runs.get_mut(id.0) {
                *streak = Streak { verdict, since };
            }
            board.testimony.insert(*id, (told.assessment.clone(), told.held));
        }
        board
    }

    /// The same board, with a recorded start of a condition's present answer.
    #[must_use]
    pub fn known_since(mut self, id: ConditionId, verdict: Verdict, since: At) -> Self {
        if let Some(streak) = self.runs.get_mut(id.0) {
            *streak = Streak { verdict, since };
        }
        self
    }

    /// Returns a board that was read back, if it belongs to this plan; `None` when it is of another plan.
    pub fn restored(self, plan: &Plan) -> Option<Self> {
        let mut board = (self.runs.len() == plan.conditions.len()).then_some(self)?;
        for (probe, latest) in &mut board.probes {
            latest.stale_after = stale_after(plan, probe, latest);
        }
        plan.conditions.iter().for_each(|condition| board.work_out(condition));
        Some(board)
    }

    /// Takes in a reading that arrived at `now`.
    pub fn observe(&mut self, plan: &Plan, run: &Run, now: At, reading: &Reading) {
        // A reading that was stale before this one arrived broke every streak that rested on it.
        self.refresh(plan, run, now);
        self.take_in(plan, run, now, reading);
    }

    /// The same for a board that is up to date with `now` and the run.
    pub fn take_in(&mut self, plan: &Plan, run: &Run, now: At, reading: &Reading) {
        if reading.at < self.begun {
            return;
        }
        let latest = self.probes.entry(reading.probe.clone()).or_insert_with(|| Latest {
            good: None,
            before: None,
            failure: None,
            at: reading.at,
            took: reading.took,
            moves: Moves::default(),
            stale_after: Span::ZERO,
        });
        if reading.at < latest.at {
            return;
        }
        latest.at = reading.at;
        latest.took = reading.took;
        // A reading of another server says nothing about the server of this run.
        let failure = match &reading.result {
            Ok(_) => run.not_of_its_servers(&reading.servers).map(Failure::new),
            Err(failure) => Some(failure.clone()),
        };
        let mut moved = Moved::default();
        match (&reading.result, failure) {
            (_, Some(failure)) => {
                let since = latest.failure.as_ref().map_or(reading.at, |(since, _)| *since);
                latest.failure = Some((since, failure));
            }
            (Ok(value), None) => {
                let before = latest.good.as_ref().map(|(_, value)| (value, latest.moves.count));
                moved = Moved::between(plan, before, reading, value);
                latest.moves = reading.moves.clone();
                let known = latest.good.replace((reading.tells_of(), value.clone()));
                // The same measurement may be told several times.
                latest.before = known.map(|(at, _)| at).filter(|at| *at < reading.tells_of()).or(latest.before);
                latest.failure = None;
            }
            (Err(_), None) => {}
        }
        latest.stale_after = stale_after(plan, &reading.probe, latest);
        if let (None, Ok(value)) = (&latest.failure, &reading.result) {
            self.count(plan, run, reading, value);
        }
        let readers = plan.readers.get(&reading.probe).into_iter().flatten();
        for condition in readers.filter_map(|id| plan.condition(*id)) {
            self.work_out(condition);
        }
        for (target, server) in &reading.servers {
            if self.answered.get(target) != Some(server) {
                self.answered.insert(target.clone(), server.clone());
            }
        }
        for id in plan.readers.get(&reading.probe).into_iter().flatten() {
            self.judge(plan, run, now, *id, now);
            // What was GO before was so of somebody else.
            if let Ok(value) = &reading.result
                && plan.condition(*id).is_some_and(|condition| moved.concerns(condition, &reading.probe, value, plan))
                && let Some(streak) = self.runs.get_mut(id.0)
                && streak.verdict == Verdict::Go
            {
                streak.since = now;
            }
        }
        if let Some(what) = moved.words() {
            self.moved.insert(reading.probe.clone(), (now, what));
        }
    }

    fn work_out(&mut self, condition: &Condition) {
        let Self { known, probes, .. } = self;
        condition.work_out(known, &|probe| {
            let latest = probes.get(probe).filter(|latest| latest.failure.is_none())?;
            latest.good.as_ref().map(|(_, value)| value)
        });
    }

    /// The probes that somebody else has answered than before: when that was seen, and what of it.
    pub fn moved(&self) -> impl Iterator<Item = (&ProbeId, At, &str)> {
        self.moved.iter().map(|(probe, (at, what))| (probe, *at, what.as_str()))
    }

    /// Takes in the numbers of a reading whose growth is counted.
    fn count(&mut self, plan: &Plan, run: &Run, reading: &Reading, value: &Value) {
        let readers = || plan.readers.get(&reading.probe).into_iter().flatten().filter_map(|id| plan.condition(*id));
        for condition in readers().filter(|condition| condition.counts()) {
            for (name, number) in condition.counted_in(&reading.probe, value) {
                let baselines = || readers().filter_map(|other| run.baselines(other.asker()?)?.get(name));
                let newest = || baselines().max_by_key(|from| from.at).cloned();
                let whose = (&reading.servers, reading.moves.addresses);
                self.counters.observe(name, (reading.tells_of(), number), whose, newest);
            }
        }
    }

    /// Whether a reset of a counted number was seen at all.
    pub fn has_resets(&self) -> bool {
        self.counters.has_resets()
    }

    /// The reset of a counted number after what it is counted from was read, if one was seen.
    pub fn reset_since(&self, number: &str, from: &Baseline) -> Option<&CounterReset> {
        self.counters.reset_since(number, from)
    }

    /// What growth is counted from since the asking step began, with the resets since then.
    fn counted_since<'r>(&self, plan: &Plan, run: &'r Run, id: ConditionId) -> Cow<'r, Baselines> {
        let Some(baselines) = plan.condition(id).and_then(|condition| run.baselines(condition.asker()?)) else {
            return Cow::Owned(Baselines::new());
        };
        let mut known = Cow::Borrowed(baselines);
        for (number, from) in baselines.iter().filter(|(_, from)| from.reset.is_none()) {
            if let Some(reset) = self.reset_since(number, from)
                && let Some(from) = known.to_mut().get_mut(number)
            {
                from.reset = Some(reset.clone());
            }
        }
        known
    }

    /// Takes in the readings of a quiet time, in which every measurement up to `now` has seen the same. Only a
    /// simulated world can say so. What was fresh when the quiet time began has been fresh throughout.
    pub fn sustain(&mut self, plan: &Plan, run: &Run, now: At, readings: &[Reading]) {
        for reading in readings.iter().filter(|reading| reading.at <= now) {
            if let Some(latest) = self.probes.get_mut(&reading.probe) {
                latest.at = latest.at.max(reading.at);
                if let (Some((at, _)), None) = (&mut latest.good, &latest.failure)
                    && *at < reading.tells_of()
                {
                    // The one before the newest of all these measurements.
                    let probe = plan.probes.get(&reading.probe);
                    let every =
                        probe.map_or(Span::ZERO, |probe| probe.kind.bins().map_or(probe.every, |bins| bins.period));
                    latest.before = Some(reading.tells_of().before(every).max(*at));
                    *at = reading.tells_of();
                }
            }
        }
        for reading in readings {
            self.observe(plan, run, now, reading);
        }
    }

    /// Lets time pass: streaks whose readings have become stale end, at the moment they did, and growth is counted
    /// from what the run says now.
    pub fn refresh(&mut self, plan: &Plan, run: &Run, now: At) {
        self.expire(plan, run, now);
        for id in &plan.counting {
            self.judge(plan, run, now, *id, now);
        }
    }

    /// The same since the last refresh, after which nothing has changed the run.
    pub fn expire(&mut self, plan: &Plan, run: &Run, now: At) {
        // Of a probe without any reading nothing can go stale.
        let not_fresh = self.probes.iter().filter(|(_, latest)| !matches!(latest.sight(now), Sight::Fresh { .. }));
        let readers: Vec<ConditionId> =
            not_fresh.filter_map(|(probe, _)| plan.readers.get(probe)).flatten().copied().collect();
        for id in readers {
            if self.runs.get(id.0).is_some_and(|streak| streak.verdict != Verdict::Unknown) {
                let since = self.went_stale(plan, run, now, id);
                self.judge(plan, run, now, id, since);
            }
        }
    }

    /// The moment from which a streak no longer counts because its readings went stale: whoever looks late must not
    /// count the time before as watched.
    fn went_stale(&self, plan: &Plan, run: &Run, now: At, id: ConditionId) -> At {
        let (Some(condition), Some(streak)) = (plan.condition(id), self.runs.get(id.0)) else { return now };
        let stale = |probe: &ProbeId| Some(self.probes.get(probe)?.good_until()?.plus(Span(1)));
        let mut moments: Vec<At> = condition.probes().iter().filter_map(stale).filter(|at| *at < now).collect();
        moments.sort_unstable();
        let changed = moments.into_iter().find(|at| self.verdict(plan, run, *at, id) != streak.verdict);
        changed.unwrap_or(now).max(streak.since)
    }

    fn judge(&mut self, plan: &Plan, run: &Run, now: At, id: ConditionId, since: At) {
        let verdict = self.verdict(plan, run, now, id);
        if let Some(streak) = self.runs.get_mut(id.0)
            && streak.verdict != verdict
        {
            *streak = Streak { verdict, since };
        }
    }

    /// Servers that have answered and that the run has not met yet.
    pub fn unmet<'a>(&'a self, run: &'a Run) -> impl Iterator<Item = (&'a TargetId, &'a ServerIdentity)> {
        self.answered.iter().filter(|(target, _)| !run.servers().contains_key(*target))
    }

    /// Servers that answer now and are not those of the run, each with how it differs.
    pub fn strangers(&self, run: &Run) -> Vec<Stranger> {
        let stranger = |(target, now): (&TargetId, &ServerIdentity)| {
            let differs = run.servers().get(target)?.difference(now)?;
            Some(Stranger { target: target.clone(), identity: now.clone(), differs })
        };
        self.answered.iter().filter_map(stranger).collect()
    }

    /// What is known of a probe now.
    pub fn sight(&self, now: At, probe: &ProbeId) -> Sight<'_> {
        self.probes.get(probe).map_or(Sight::Missing, |latest| latest.sight(now))
    }

    /// What is known of a probe, for showing it.
    pub fn latest(&self, probe: &ProbeId) -> Option<&Latest> {
        self.probes.get(probe)
    }

    /// How old the newest good reading is, for showing it.
    pub fn freshness(&self, plan: &Plan, now: At, probe: &ProbeId) -> Freshness {
        let (Some(latest), Some(probe)) = (self.probes.get(probe), plan.probes.get(probe)) else {
            return Freshness::Gone;
        };
        let took = latest.took_good();
        match latest.good.as_ref().map(|(at, _)| now.since(*at)) {
            Some(age) if age <= probe.stale_after(took) => Freshness::Fresh,
            Some(age) if age <= probe.gone_after(took) => Freshness::Stale,
            _ => Freshness::Gone,
        }
    }

    /// Answers a condition on what is known now.
    pub fn assess(&self, plan: &Plan, run: &Run, now: At, id: ConditionId) -> Assessment {
        self.assess_from(plan, now, id, &self.counted_since(plan, run, id))
    }

    /// The same without its reasons.
    fn verdict(&self, plan: &Plan, run: &Run, now: At, id: ConditionId) -> Verdict {
        if let Some((told, _)) = self.testimony.get(&id) {
            return told.verdict;
        }
        let baselines = self.counted_since(plan, run, id);
        let sight = |probe: &ProbeId| self.sight(now, probe);
        plan.condition(id)
            .map_or(Verdict::Unknown, |condition| condition.verdict_knowing(&sight, &baselines, &self.known))
    }

    fn assess_from(&self, plan: &Plan, now: At, id: ConditionId, baselines: &Baselines) -> Assessment {
        if let Some((told, _)) = self.testimony.get(&id) {
            return told.clone();
        }
        match plan.condition(id) {
            Some(condition) => {
                let found = condition.evaluate_knowing(&|probe| self.sight(now, probe), baselines, &self.known);
                self.naming(plan, now, condition, found)
            }
            None => Assessment { verdict: Verdict::Unknown, terms: Vec::new() },
        }
    }

    /// The same with the names of those who keep a field from being known.
    fn naming(&self, plan: &Plan, now: At, condition: &Condition, mut found: Assessment) -> Assessment {
        if found.verdict != Verdict::Unknown {
            return found;
        }
        for probe in condition.probes() {
            let Some(measured) = self.probes.get(probe).and_then(|latest| latest.told_late(now)) else { continue };
            let stale = format!("{probe} is stale: ");
            let in_bins = plan.probes.get(probe).is_some_and(|probe| probe.kind.bins().is_some());
            for why in found.terms.iter_mut().filter_map(|term| term.why.as_mut()).filter(|why| why.contains(&stale)) {
                *why = if in_bins {
                    format!(
                        "{why}, though {probe} was measured {measured} ago: nothing newer was told (`max_age` says how old it may be)"
                    )
                } else {
                    format!(
                        "{why}, though {probe} was measured {measured} ago: what it tells is renewed more rarely than that, so this never holds (with a longer `every` readings stay good for longer)"
                    )
                };
            }
        }
        for (probe, field) in condition.paths() {
            let null = format!("{probe}.{field} is null");
            let who = || {
                let (_, reading) = self.probes.get(&probe)?.good.as_ref()?;
                plan.probes.get(&probe)?.kind.kept_unknown_by(&field, reading)
            };
            for why in found.terms.iter_mut().filter_map(|term| term.why.as_mut()).filter(|why| **why == null) {
                if let Some(who) = who() {
                    *why = format!("{why}: {who}");
                }
            }
        }
        found
    }

    /// What a step (with `undo`, taking it back) would count growth from if it began now. A number without a fresh
    /// reading is left out.
    pub fn baselines(&self, plan: &Plan, now: At, step: &Step, undo: bool) -> Baselines {
        let conditions =
            step.conditions(undo).filter_map(|id| plan.condition(id)).filter(|condition| condition.counts());
        conditions.flat_map(|condition| self.counted_from(now, condition)).collect()
    }

    /// What a condition would count growth from if counting began now.
    fn counted_from(&self, now: At, condition: &Condition) -> Baselines {
        match &self.counted_from {
            None => {
                let mut found = condition.baselines(now, &|probe| self.sight(now, probe));
                for (number, from) in &mut found {
                    from.addresses = self.counters.addresses(number);
                }
                found
            }
            Some(told) => {
                let of = |number: &str| told.get(number).map(|from| (number.to_owned(), from.clone()));
                condition.counted().filter_map(of).collect()
            }
        }
    }

    /// For how long the condition has been GO without a break; `None` when it is not GO.
    pub fn held(&self, now: At, id: ConditionId) -> Option<Span> {
        self.streak(now, id, Verdict::Go)
    }

    /// The same for a hold of this length, which takes two measurements: until each probe was measured again since the condition
    /// came true, it has held for no time that is long enough. Only measurements that began at `since` or later count, and so does
    /// only the time after it.
    pub fn held_for(&self, plan: &Plan, now: At, id: ConditionId, needed: Span, since: At) -> Option<Span> {
        let held = self.held(now, id)?.min(now.since(since));
        let came = self.runs.get(id.0).map_or(now, |streak| streak.since);
        let is_long = held >= needed && !needed.is_zero();
        Some(if is_long && !self.is_read_twice(plan, id, came, since) { Span::ZERO } else { held })
    }

    /// Whether each probe of a condition was measured after the condition `came` true, and before that at `since` or later. What
    /// was written down is not doubted.
    fn is_read_twice(&self, plan: &Plan, id: ConditionId, came: At, since: At) -> bool {
        let twice = |probe| {
            let Some(latest) = self.probes.get(probe) else { return false };
            // Where nothing happened at `since`, the condition itself shows that there was one before.
            let is_of_then = since == EVER || latest.before >= Some(since);
            // What is told late of bins of time came true before it was told.
            let late = plan.probes.get(probe).and_then(|probe| probe.kind.bins()).map_or(Span::ZERO, Bins::least_age);
            is_of_then && latest.good.as_ref().is_some_and(|(at, _)| *at > came.before(late))
        };
        self.testimony.contains_key(&id)
            || plan.condition(id).is_some_and(|condition| condition.probes().iter().all(twice))
    }

    /// For how long the condition has been NO-GO without a break; `None` when it is not NO-GO.
    pub fn broken_for(&self, now: At, id: ConditionId) -> Option<Span> {
        self.streak(now, id, Verdict::NoGo)
    }

    fn streak(&self, now: At, id: ConditionId, verdict: Verdict) -> Option<Span> {
        self.runs.get(id.0).filter(|streak| streak.verdict == verdict).map(|streak| now.since(streak.since))
    }

    /// Since when the condition has not been GO; `None` when it is.
    pub fn not_go_since(&self, id: ConditionId) -> Option<At> {
        self.runs.get(id.0).filter(|streak| streak.verdict != Verdict::Go).map(|streak| streak.since)
    }

    /// A gate as it stands now, judged afresh. A gate counts nothing: its step has not begun.
    pub fn gate(&self, plan: &Plan, now: At, gate: &Gate) -> Evidence {
        let assessment = self.assess_from(plan, now, gate.condition, &Baselines::new());
        self.evidence(plan, now, &gate.name, gate.condition, (gate.hold, EVER), assessment)
    }

    /// A guard as it stands now, judged afresh.
    pub fn guard(&self, plan: &Plan, run: &Run, now: At, guard: &Guard) -> Evidence {
        let assessment = self.assess(plan, run, now, guard.condition);
        self.evidence(plan, now, &guard.name, guard.condition, (Span::ZERO, EVER), assessment)
    }

    /// A guard as it would stand if its step began now.
    pub fn guard_at_start(&self, plan: &Plan, now: At, guard: &Guard) -> Evidence {
        let from = plan.condition(guard.condition).map(|condition| self.counted_from(now, condition));
        let assessment = self.assess_from(plan, now, guard.condition, &from.unwrap_or_default());
        let evidence = self.evidence(plan, now, &guard.name, guard.condition, (Span::ZERO, EVER), assessment);
        // Nothing was counted before the start, so there is no time for which it has held.
        if plan.condition(guard.condition).is_some_and(Condition::counts) {
            Evidence { held: evidence.held.map(|_| Span::ZERO), ..evidence }
        } else {
            evidence
        }
    }

    /// A number whose growth a step counts, as a gate of it: GO while there is something to count from.
    pub fn countable(&self, plan: &Plan, now: At, step: &Step) -> Vec<Evidence> {
        let mut found: BTreeMap<&str, Evidence> = BTreeMap::new();
        // What guards count is seen on the guards themselves.
        let guarded = |id: &ConditionId| step.guards.iter().any(|guard| guard.condition == *id);
        let conditions = step.conditions(false).filter(|id| !guarded(id)).filter_map(|id| plan.condition(id));
        for condition in conditions.filter(|condition| condition.counts()) {
            let baselines = self.counted_from(now, condition);
            for number in condition.counted() {
                let baseline = baselines.get(number);
                let verdict = if baseline.is_some() { Verdict::Go } else { Verdict::Unknown };
                let term = Term {
                    text: format!("{number} is known"),
                    verdict,
                    actual: baseline.map(|from| format!("{number} = {}", from.value)).unwrap_or_default(),
                    why: baseline.is_none().then(|| format!("{number} gives no fresh reading to count from")),
                    age: baseline.map(|from| now.since(from.at)),
                };
                let evidence = Evidence {
                    name: counting(number),
                    rule: term.text.clone(),
                    held: baseline.map(|_| Span::ZERO),
                    needed: Span::ZERO,
                    assessment: Assessment { verdict, terms: vec![term] },
                };
                found.insert(number, evidence);
            }
        }
        found.into_values().collect()
    }

    /// A check as it stands now. Only readings that were begun after `since` count, and so does only the time
    /// after it: what was true before the action proves nothing about the action.
    pub fn check(&self, plan: &Plan, run: &Run, now: At, check: &Check, since: At) -> Evidence {
        let assessment = self.assess(plan, run, now, check.condition);
        let mut evidence = self.evidence(plan, now, &check.name, check.condition, (check.hold, since), assessment);
        evidence.held = evidence.held.filter(|_| self.read_since(plan, check.condition, since));
        evidence
    }

    /// Whether a condition is GO on readings that were all begun after `since`.
    pub fn is_go_since(&self, plan: &Plan, run: &Run, now: At, id: ConditionId, since: At) -> bool {
        self.read_since(plan, id, since) && self.verdict(plan, run, now, id) == Verdict::Go
    }

    fn read_since(&self, plan: &Plan, id: ConditionId, since: At) -> bool {
        if let Some((_, held)) = self.testimony.get(&id) {
            return held.is_some();
        }
        plan.condition(id).is_some_and(|condition| {
            condition.probes().iter().all(|probe| {
                self.probes.get(probe).and_then(|latest| latest.good.as_ref()).is_some_and(|(at, _)| *at >= since)
            })
        })
    }

    fn evidence(
        &self,
        plan: &Plan,
        now: At,
        name: &str,
        id: ConditionId,
        (needed, since): (Span, At),
        assessment: Assessment,
    ) -> Evidence {
        let held = || self.held_for(plan, now, id, needed, since).unwrap_or(Span::ZERO);
        let held = (assessment.verdict == Verdict::Go).then(held);
        Evidence {
            name: name.to_owned(),
            rule: plan.condition(id).map(|condition| condition.source().to_owned()).unwrap_or_default(),
            assessment,
            held,
            needed,
        }
    }
}

/// The age from which the newest good reading of a probe is stale.
fn stale_after(plan: &Plan, probe: &ProbeId, latest: &Latest) -> Span {
    plan.probes.get(probe).map_or(Span::ZERO, |probe| probe.stale_after(latest.took_good()))
}

/// Names the gate that asks for a fresh reading of a number whose growth a step counts.
pub fn counting(number: &str) -> String {
    format!("counting {number}")
}
