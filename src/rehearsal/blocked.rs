//! Finds in a record what gates and guards blocked: a shut gate is no fact of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::core::board::{Board, counting};
use crate::core::evidence::{Verdict, shut_sentence};
use crate::core::expr::Condition;
use crate::core::fact::{Fact, Recorded, StopWhy};
use crate::core::ids::{ProbeId, StepId};
use crate::core::plan::{Plan, Step};
use crate::core::poll::gates;
use crate::core::reading::Reading;
use crate::core::rollback::is_going_back;
use crate::core::state::Run;
use crate::core::status::unmet;
use crate::core::time::{At, Span};

/// A shorter block is not counted.
const BRIEF: Span = Span::secs(3);

/// A gate that was shut while its step was next, or a guard that was not GO while its step was under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Which step.
    pub step: StepId,
    /// Since when.
    pub since: At,
    /// For how long; zero for a guard that broke and ended the step.
    pub lasted: Span,
    /// The gate or guard with its verdict and values as they were first.
    pub why: String,
    /// Probes it reads.
    pub probes: BTreeSet<ProbeId>,
}

/// Kept readings of one probe taken in a range of Unix milliseconds: when each arrived, and whether it stands for a
/// quiet time.
pub type Samples<'a> = &'a dyn Fn(&ProbeId, Range<i64>) -> Vec<(At, Reading, bool)>;

/// Finds everything that was blocked, in order.
pub fn blocked(plan: &Plan, facts: &[Recorded], samples: Samples) -> Vec<Blocked> {
    let mut found = guards(plan, facts);
    for window in windows(plan, facts) {
        found.extend(shut_in(plan, &window, samples));
    }
    found.sort_by_key(|held| held.since);
    found
}

/// Everything that [`gates`] reads for a step: its gates and guards by name, and each number whose growth it counts.
fn polled<'p>(plan: &'p Plan, step: &'p Step) -> impl Iterator<Item = (String, &'p Condition)> {
    let gates = step.gates.iter().map(|gate| (&gate.name, gate.condition));
    let guards = step.guards.iter().map(|guard| (&guard.name, guard.condition));
    let named = gates.chain(guards).filter_map(|(name, id)| Some((name.clone(), plan.condition(id)?)));
    let asked = step.conditions(false).filter_map(|id| plan.condition(id));
    let counted = asked.flat_map(|condition| condition.counted().map(move |number| (counting(number), condition)));
    named.chain(counted)
}

/// Probes that a gate or guard of this name reads.
fn read_by(plan: &Plan, step: &Step, name: &str) -> BTreeSet<ProbeId> {
    let named = polled(plan, step).filter(|(of, _)| of == name);
    named.flat_map(|(_, condition)| condition.probes().iter().cloned()).collect()
}

/// Guards are facts.
fn guards(plan: &Plan, facts: &[Recorded]) -> Vec<Blocked> {
    let mut found: Vec<Blocked> = Vec::new();
    for recorded in facts {
        let (step, since, evidence) = match &recorded.fact {
            Fact::SoakInterrupted { step, since, evidence, .. } => (step, *since, evidence),
            Fact::StopRequested { step, why: StopWhy::Guard(_), evidence, .. } => (step, recorded.at, evidence),
            Fact::SoakContinued { step, .. } => {
                if let Some(held) = found.iter_mut().rev().find(|held| held.step == *step) {
                    held.lasted = recorded.at.since(held.since);
                }
                continue;
            }
            _ => continue,
        };
        let Some(of) = plan.step(step) else { continue };
        let why: Vec<String> = evidence.iter().map(shut_sentence).collect();
        let probes = evidence.iter().flat_map(|told| read_by(plan, of, &told.name)).collect();
        found.push(Blocked { step: step.clone(), since, lasted: Span::ZERO, why: why.join("; "), probes });
    }
    found
}

/// A time in which a step was the next to begin and a driver watched.
struct Window<'p> {
    step: &'p Step,
    from: At,
    to: At,
    /// What was measured before this was not known: nobody watched, or the board was forgotten.
    begun: At,
    /// Whether the step may not have been wanted: it was undone, or its own effect may shut its gates. It was wanted
    /// if it was then begun.
    doubtful: bool,
}

fn windows<'p>(plan: &'p Plan, facts: &[Recorded]) -> Vec<Window<'p>> {
    let mut run = Run::default();
    let mut found = Vec::new();
    let mut open: Option<Window> = None;
    let mut begun = At(i64::MIN);
    for recorded in facts {
        run.apply(plan, recorded.at, &recorded.fact);
        let away = match &recorded.fact {
            Fact::DriverArrived { away, .. } | Fact::WatchLapsed { away } => Some(*away),
            _ => None,
        };
        if away.is_some() {
            begun = recorded.at;
        }
        let closes = matches!(
            recorded.fact,
            Fact::StepStarted { .. } | Fact::UndoStarted { .. } | Fact::RunEnded { .. } | Fact::DriverLeft { .. }
        );
        let next = if closes { None } else { next(plan, &run) };
        if away.is_none() && open.as_ref().map(|window| &window.step.id) == next.map(|step| &step.id) {
            continue;
        }
        let to = recorded.at.before(away.unwrap_or_default());
        let starts = |id: &StepId| matches!(&recorded.fact, Fact::StepStarted { step, .. } if step == id);
        let closed = open.take().filter(|window| !window.doubtful || starts(&window.step.id));
        found.extend(closed.map(|window| Window { to, ..window }));
        open = next.map(|step| {
            let doubtful = is_going_back(&run) || run.has_effect(&step.id);
            Window { step, from: recorded.at, to: recorded.at, begun, doubtful }
        });
    }
    found
}

/// The step that could begin now if its gates were open: the first of the plan, while nothing is under way.
fn next<'p>(plan: &'p Plan, run: &Run) -> Option<&'p Step> {
    let step = run.first_startable(plan)?;
    let under_way = run.under_way().filter_map(|(id, _)| plan.step(id)).filter(|step| unmet(run, step).is_empty());
    let idle = under_way.map(|step| step.number).min().is_none_or(|first| step.number < first);
    idle.then_some(step)
}

/// Gates that were shut in a window.
fn shut_in(plan: &Plan, window: &Window, samples: Samples) -> Vec<Blocked> {
    let Window { step, from, to, begun, .. } = *window;
    if to.since(from) < BRIEF {
        return Vec::new();
    }
    let probes: BTreeSet<&ProbeId> = polled(plan, step).flat_map(|(_, condition)| condition.probes()).collect();
    // What was measured so long before is still fresh when the window begins, however slow the probe is.
    let before = |probe: &ProbeId| plan.probes.get(probe).map_or(Span::ZERO, |probe| probe.gone_after(probe.limit));
    let mut readings: Vec<(At, Reading, bool)> = Vec::new();
    for probe in &probes {
        let first = from.before(before(probe)).max(begun);
        readings.extend(samples(probe, first.0..to.0));
    }
    readings.sort_by_key(|(arrived, ..)| *arrived);
    let oldest = probes.iter().map(|probe| before(probe)).max().unwrap_or_default();
    // Gates and guards at a start count nothing, so the run has no say in them.
    let run = Run::default();
    let mut board = Board::new(plan, from.before(oldest).max(begun));
    let mut shut: BTreeMap<String, (At, String)> = BTreeMap::new();
    let mut found = Vec::new();
    let mut judge = |board: &Board, now: At| {
        for gate in gates(plan, &run, board, now, step) {
            let verdict = gate.assessment.verdict;
            if verdict != Verdict::Go && now < to {
                shut.entry(gate.name.clone()).or_insert_with(|| (now, shut_sentence(&gate)));
            } else if let Some((since, why)) = shut.remove(&gate.name) {
                let lasted = now.since(since);
                let probes = read_by(plan, step, &gate.name);
                found.push(Blocked { step: step.id.clone(), since, lasted, why, probes });
            }
        }
    };
    let mut looked = false;
    for (arrived, reading, lapsed) in readings {
        if arrived >= from && !looked {
            board.refresh(plan, &run, from);
            judge(&board, from);
            looked = true;
        }
        if lapsed {
            board.sustain(plan, &run, arrived, &[reading]);
        } else {
            board.observe(plan, &run, arrived, &reading);
        }
        if arrived >= from && arrived < to {
            judge(&board, arrived);
        }
    }
    if !looked {
        judge(&board, from);
    }
    judge(&board, to);
    found.retain(|held| held.lasted >= BRIEF);
    found
}
