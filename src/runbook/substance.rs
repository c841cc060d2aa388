//! The part of a plan that counts for its rehearsals: everything that is executed and everything that is judged.
//! Titles, names, instructions, dates, people and expected times only inform, and may change after a rehearsal.

use std::collections::BTreeMap;

use serde::Serialize;

use super::build::digest;
use crate::core::action::Action;
use crate::core::ids::{ProbeId, SecretId, StepId, TargetId};
use crate::core::plan::{ConditionId, Confirm, Plan, Reversibility, SecretSource, Step, Work, WriteEdge, WriteMark};
use crate::core::probe::Probe;
use crate::core::target::Target;
use crate::core::time::Span;

/// Gives SHA-256 over the parts of a plan that are executed and judged, in hexadecimal: a rehearsal counts for every plan
/// with the same value. Titles, names, instructions, dates, people and expected times are not in it. Only what compares
/// rehearsals asks for it: it costs as much as the digest of the whole plan.
pub fn substance(plan: &Plan) -> String {
    digest(&Substance::of(plan), &plan.baselines)
}

/// A plan without its merely informative parts, to be written in a fixed order.
#[derive(Serialize)]
struct Substance<'a> {
    write_pause_budget: Option<Span>,
    customers: &'a Option<ProbeId>,
    targets: &'a BTreeMap<TargetId, Target>,
    secrets: &'a BTreeMap<SecretId, SecretSource>,
    probes: BTreeMap<&'a ProbeId, Probe>,
    steps: Vec<CountedStep<'a>>,
}

/// What counts of a step.
#[derive(Serialize)]
struct CountedStep<'a> {
    id: &'a StepId,
    needs: &'a [StepId],
    gates: Vec<(&'a str, Span, bool)>,
    confirm: Confirm,
    work: CountedWork<'a>,
    checks: Vec<(&'a str, Span, Span)>,
    guards: Vec<(&'a str, Span)>,
    undo: Option<CountedWork<'a>>,
    reversibility: Reversibility,
    writes: Option<WriteMark>,
}

/// What counts of the work of a step, or of its undo.
#[derive(Serialize)]
struct CountedWork<'a> {
    section: bool,
    deadline: Option<Span>,
    jobs: Vec<(&'a Action, Option<&'a Action>, Option<WriteEdge>)>,
}

impl<'a> Substance<'a> {
    fn of(plan: &'a Plan) -> Self {
        Self {
            write_pause_budget: plan.write_pause_budget,
            customers: &plan.customers,
            targets: &plan.targets,
            secrets: &plan.secrets,
            probes: plan.probes.iter().map(|(id, probe)| (id, Probe { title: None, ..probe.clone() })).collect(),
            steps: plan.steps.iter().map(|step| CountedStep::of(plan, step)).collect(),
        }
    }
}

impl<'a> CountedStep<'a> {
    fn of(plan: &'a Plan, step: &'a Step) -> Self {
        let rule = |id: ConditionId| plan.condition(id).map_or("", |condition| condition.source());
        Self {
            id: &step.id,
            needs: &step.needs,
            gates: step.gates.iter().map(|gate| (rule(gate.condition), gate.hold, gate.overridable)).collect(),
            confirm: step.confirm,
            work: CountedWork::of(&step.work),
            checks: step.verify.iter().map(|check| (rule(check.condition), check.hold, check.within)).collect(),
            guards: step.guards.iter().map(|guard| (rule(guard.condition), guard.tolerate)).collect(),
            undo: step.undo.as_ref().map(CountedWork::of),
            reversibility: step.reversibility,
            writes: step.writes,
        }
    }
}

impl<'a> CountedWork<'a> {
    fn of(work: &'a Work) -> Self {
        let jobs = work.jobs.iter().map(|job| (&job.action, job.undo.as_ref(), job.writes)).collect();
        Self { section: work.section, deadline: work.deadline, jobs }
    }
}
