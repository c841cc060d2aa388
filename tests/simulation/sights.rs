//! What probes had seen at every moment, kept beside the board: GO must rest on that.

use std::collections::BTreeMap;

use gonogo::core::board::Board;
use gonogo::core::evidence::{Evidence, Verdict};
use gonogo::core::ids::StepId;
use gonogo::core::plan::{ConditionId, Plan, Step};
use gonogo::core::state::StepProgress;
use gonogo::core::time::{At, Span};
use gonogo::driver::Engine;
use gonogo::rehearsal::world::Handle;

/// The newest answer of a probe.
#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    at: Option<At>,
    good: Option<At>,
    took: Span,
    failing: bool,
}

/// Readings and answers of conditions as they were when the run was last looked at.
pub struct Sights {
    /// Conditions that must hold for a while.
    held: Vec<ConditionId>,
    /// Of each probe, in the order of the plan.
    newest: Vec<Newest>,
    /// When each gate, check or guard was last seen not to be GO.
    not_go: BTreeMap<ConditionId, At>,
    /// Since when each guard of what runs has been seen NO-GO.
    broken: BTreeMap<(StepId, ConditionId), At>,
}

impl Sights {
    pub fn new(plan: &Plan) -> Self {
        let holds = plan.steps.iter().flat_map(|step| {
            let gates = step.gates.iter().map(|gate| (gate.condition, gate.hold));
            gates.chain(step.verify.iter().map(|check| (check.condition, check.hold)))
        });
        let held = holds.filter(|(_, hold)| *hold > Span::ZERO).map(|(id, _)| id).collect();
        Self {
            held,
            newest: vec![Newest::default(); plan.probes.len()],
            not_go: BTreeMap::new(),
            broken: BTreeMap::new(),
        }
    }

    /// Takes in the present moment.
    pub fn look(&mut self, plan: &Plan, engine: &Engine<Handle>) {
        let (run, board, now) = (engine.run(), engine.board(), engine.now());
        let mut heard = Vec::new();
        for (number, id) in plan.probes.keys().enumerate() {
            let latest = board.latest(id);
            let newest = Newest {
                at: latest.map(|latest| latest.at),
                good: latest.and_then(|latest| latest.good.as_ref()).map(|(at, _)| *at),
                took: latest.map(|latest| latest.took).unwrap_or_default(),
                failing: latest.is_some_and(|latest| latest.failure.is_some()),
            };
            let before = self.newest.get_mut(number).map(|before| std::mem::replace(before, newest));
            if before.is_none_or(|before| before.at != newest.at) {
                heard.push(id);
            }
        }
        // An answer changes with a reading. That it goes stale in between is left to the ages.
        let is_new = |id: &ConditionId| {
            plan.condition(*id).is_some_and(|condition| heard.iter().any(|probe| condition.probes().contains(*probe)))
        };
        for id in self.held.iter().filter(|id| is_new(id)) {
            if board.assess(plan, run, now, *id).verdict != Verdict::Go {
                self.not_go.insert(*id, now);
            }
        }
        self.guards(plan, engine);
    }

    /// What runs is watched: a guard that is broken for too long stops it, and no soak counts time without a GO.
    fn guards(&mut self, plan: &Plan, engine: &Engine<Handle>) {
        let (run, board, now) = (engine.run(), engine.board(), engine.now());
        let Some(running) = plan.steps.iter().find(|step| !step.guards.is_empty() && is_watched(run.phase(&step.id)))
        else {
            self.broken.clear();
            return;
        };
        let StepProgress::Running(job) = run.phase(&running.id) else { return };
        let calm = !engine.is_leaving() && engine.fault().is_none();
        for guard in &running.guards {
            let verdict = board.guard(plan, run, now, guard).assessment.verdict;
            assert!(
                verdict == Verdict::Go || job.interrupted.is_some() || job.stopping.is_some() || !calm,
                "P3: {} counts time although \"{}\" is {verdict}",
                running.id,
                guard.name
            );
            let key = (running.id.clone(), guard.condition);
            if verdict == Verdict::NoGo {
                let since = *self.broken.entry(key).or_insert(now);
                let late = now.since(since) > Span(guard.tolerate.0 + 60_000);
                assert!(!late || !calm, "P2: \"{}\" is broken and {} goes on", guard.name, running.id);
            } else {
                self.broken.remove(&key);
            }
        }
    }

    /// What a step was started on was seen, lately, and for as long as it is said to have held.
    pub fn bear_out(&self, plan: &Plan, at: At, step: &Step, evidence: &[Evidence]) {
        for gate in &step.gates {
            let told = evidence.iter().find(|told| told.name == gate.name);
            if let Some(told) = told.filter(|told| is_open(told)) {
                self.fresh(plan, at, gate.condition, &step.id, told);
                self.held(at, gate.condition, told);
            }
        }
        for guard in &step.guards {
            if let Some(told) = evidence.iter().find(|told| told.name == guard.name).filter(|told| is_open(told)) {
                self.fresh(plan, at, guard.condition, &step.id, told);
            }
        }
    }

    fn fresh(&self, plan: &Plan, at: At, id: ConditionId, step: &StepId, told: &Evidence) {
        let condition = plan.condition(id).expect("a condition of the plan");
        if condition.source().contains("||") {
            return; // one side of it may be unknown
        }
        for probe in condition.probes() {
            let newest = plan.probes.keys().position(|id| id == probe).map(|at| self.newest[at]);
            let good = newest.filter(|newest| !newest.failing).and_then(|newest| newest.good);
            let took = newest.map(|newest| newest.took).unwrap_or_default();
            let limit = plan.probes[probe].stale_after(took);
            assert!(
                good.is_some_and(|good| at.since(good) <= limit),
                "P3: {step} was started on \"{}\" GO, while {probe} had given nothing for longer than {limit}",
                told.name
            );
        }
    }

    /// No hold is longer than the time since it was last seen broken.
    pub fn held(&self, at: At, id: ConditionId, told: &Evidence) {
        let most = self.not_go.get(&id).map(|last| at.since(*last));
        if let (Some(most), Some(held)) = (most, told.held) {
            assert!(
                held <= most || told.needed == Span::ZERO,
                "P2: \"{}\" is said to have held for {held}, and was not GO {most} ago",
                told.name
            );
        }
    }

    /// A check proves something by what was seen after the work.
    pub fn seen_after(board: &Board, plan: &Plan, id: ConditionId, worked: At, told: &Evidence) {
        for probe in plan.condition(id).expect("a condition of the plan").probes() {
            let good = board.latest(probe).and_then(|latest| latest.good.as_ref()).map(|(at, _)| *at);
            assert!(
                good.is_some_and(|good| good >= worked),
                "P2: \"{}\" was proven by a reading of {probe} from before the work",
                told.name
            );
        }
    }
}

fn is_watched(phase: &StepProgress) -> bool {
    matches!(phase, StepProgress::Running(job) if job.key.direction == gonogo::core::job::Direction::Do)
}

/// GO, for as long as is asked. Not the core's own answer, which may be the one that is broken.
pub fn is_open(told: &Evidence) -> bool {
    told.assessment.verdict == Verdict::Go && told.held.is_some_and(|held| held >= told.needed)
}
