//! What changed between two plans, step by step: a rehearsal counts for the plan it was made with and for no other.

use std::collections::BTreeSet;

use crate::core::ids::StepId;
use crate::core::plan::{ConditionId, Plan, Step, Work};

/// One difference between two plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanChange {
    /// Which step; `None` for what is not of one step.
    pub step: Option<StepId>,
    /// What, in words.
    pub what: String,
}

impl std::fmt::Display for PlanChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.step {
            Some(step) => write!(f, "{step}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Every difference from `old` to `new` that counts for rehearsals, in the order of the new plan; what is gone comes last.
pub fn changes(old: &Plan, new: &Plan) -> Vec<PlanChange> {
    let mut changes = Vec::new();
    of_the_whole(old, new, &mut changes);
    for step in &new.steps {
        match old.step(&step.id) {
            None => changes.push(PlanChange { step: Some(step.id.clone()), what: "is new".to_owned() }),
            Some(before) => {
                let mut parts = of_a_step((old, before), (new, step));
                parts.retain(|part| !INFORMING.contains(part));
                if !parts.is_empty() {
                    changes.push(PlanChange {
                        step: Some(step.id.clone()),
                        what: format!("{} changed", parts.join(", ")),
                    });
                }
            }
        }
    }
    let gone = old.steps.iter().filter(|step| new.step(&step.id).is_none());
    changes.extend(gone.map(|step| PlanChange { step: Some(step.id.clone()), what: "is gone".to_owned() }));
    changes
}

fn of_the_whole(old: &Plan, new: &Plan, changes: &mut Vec<PlanChange>) {
    let mut whole = |what: String| changes.push(PlanChange { step: None, what });
    if old.profile != new.profile {
        let name = |plan: &Plan| plan.profile.clone().unwrap_or_else(|| "none".to_owned());
        whole(format!("the profile went from {} to {}", name(old), name(new)));
    }
    for (title, differs) in [
        ("the write pause budget", old.write_pause_budget != new.write_pause_budget),
        ("where secrets come from", old.secrets != new.secrets),
    ] {
        if differs {
            whole(format!("{title} changed"));
        }
    }
    let order = |plan: &Plan, other: &Plan| -> Vec<StepId> {
        plan.steps.iter().map(|step| step.id.clone()).filter(|id| other.step(id).is_some()).collect()
    };
    if order(old, new) != order(new, old) {
        whole("the order of the steps changed".to_owned());
    }
    let targets: BTreeSet<_> = old.targets.keys().chain(new.targets.keys()).collect();
    for target in targets.into_iter().filter(|target| old.targets.get(*target) != new.targets.get(*target)) {
        whole(format!("target {target} changed"));
    }
    let probes: BTreeSet<_> = old.probes.keys().chain(new.probes.keys()).collect();
    for probe in probes.into_iter().filter(|probe| old.probes.get(*probe) != new.probes.get(*probe)) {
        whole(format!("probe {probe} changed"));
    }
}

/// Parts of a step that only inform: a rehearsal counts whatever becomes of them.
const INFORMING: [&str; 4] = ["title", "instructions", "owner", EXPECTED];

/// Parts of a step that decide how long it takes.
const LASTING: [&str; 4] = ["action", "checks", "guards", "undo"];

/// What decides it, too, where a world is made up from what the runbook expects.
const EXPECTED: &str = "expected time";

/// Whether a step takes as long in both plans, as far as the runbook has a say in it.
pub fn takes_the_same(before: (&Plan, &Step), after: (&Plan, &Step), simulated: bool) -> bool {
    let parts = of_a_step(before, after);
    !parts.iter().any(|part| LASTING.contains(part) || simulated && *part == EXPECTED)
}

/// Parts of a step that differ. Conditions are compared by their text: their numbers are of their own plan.
fn of_a_step((old, before): (&Plan, &Step), (new, after): (&Plan, &Step)) -> Vec<&'static str> {
    let text = |plan: &Plan, id: ConditionId| plan.condition(id).map(|condition| condition.source().to_owned());
    let gates = |plan: &Plan, step: &Step| -> Vec<_> {
        step.gates.iter().map(|gate| (text(plan, gate.condition), gate.hold, gate.overridable)).collect()
    };
    let checks = |plan: &Plan, step: &Step| -> Vec<_> {
        step.verify.iter().map(|check| (text(plan, check.condition), check.hold, check.within)).collect()
    };
    let guards = |plan: &Plan, step: &Step| -> Vec<_> {
        step.guards.iter().map(|guard| (text(plan, guard.condition), guard.tolerate)).collect()
    };
    let preview = |work: Option<&Work>| work.map(|work| (work.digest.clone(), work.deadline));
    [
        ("action", preview(Some(&before.work)) != preview(Some(&after.work))),
        ("gates", gates(old, before) != gates(new, after)),
        ("checks", checks(old, before) != checks(new, after)),
        ("guards", guards(old, before) != guards(new, after)),
        ("undo", preview(before.undo.as_ref()) != preview(after.undo.as_ref())),
        ("reversibility", before.reversibility != after.reversibility),
        ("needs", before.needs != after.needs),
        ("confirmation", before.confirm != after.confirm),
        ("title", before.title != after.title),
        ("instructions", before.instructions != after.instructions),
        ("owner", before.owner != after.owner),
        (EXPECTED, (before.expect, before.max) != (after.expect, after.max)),
    ]
    .into_iter()
    .filter_map(|(part, differs)| differs.then_some(part))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::{Options, load_str};

    fn plan(text: &str) -> Plan {
        load_str("test", text.to_owned(), &Options::default()).map_err(|errors| errors.to_string()).unwrap().plan
    }

    const BEFORE: &str = "
title: t
probes: { n: { kind: command, run: [n], fields: { n: int } } }
phases:
  - title: p
    steps:
      - { id: one, title: One, action: { manual: [a] } }
      - { id: two, title: Two, gates: [{ name: g, that: n.n > 0 }], action: { wait: { for: 1s } } }
";

    #[test]
    fn a_plan_differs_from_itself_in_nothing() {
        assert_eq!(changes(&plan(BEFORE), &plan(BEFORE)), []);
    }

    #[test]
    fn every_change_is_told_by_its_step() {
        let after = BEFORE
            .replace("n.n > 0", "n.n > 1")
            .replace("      - { id: one, title: One, action: { manual: [a] } }\n", "")
            + "      - { id: three, title: Three, action: { manual: [b] } }\n";
        let told: Vec<String> = changes(&plan(BEFORE), &plan(&after)).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["two: gates, needs changed", "three: is new", "one: is gone"]);
    }
}
