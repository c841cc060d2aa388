//! Which things of a plan a scenario means: by name, or by words that fit every plan.

use crate::core::action::Action;
use crate::core::ids::{ProbeId, TargetId};
use crate::core::plan::{Plan, Step, WriteMark};
use crate::core::simulate::Change;
use crate::core::target::Target;

/// The word that matches everything of a kind.
pub const ANY: &str = "any";

/// Kinds of step that `first` and `last` can name.
pub fn step_kinds() -> impl Iterator<Item = &'static str> {
    Action::WORDS.iter().copied().chain(["section", "copy", "switch", "flip"])
}

/// The step that is meant: by its id, or as `first soak`.
pub fn step<'p>(plan: &'p Plan, text: &str) -> Option<&'p Step> {
    if let Some(step) = plan.step(&text.into()) {
        return Some(step);
    }
    let (which, kind) = words(text)?;
    let mut fitting = plan.steps.iter().filter(|step| is(step, kind));
    if which == "first" { fitting.next() } else { fitting.next_back() }
}

/// `first` or `last`, and a kind of step; `None` when it is not written like that.
pub fn words(text: &str) -> Option<(&str, &str)> {
    let (which, kind) = text.split_once(' ')?;
    let kind = kind.trim();
    (matches!(which, "first" | "last") && step_kinds().any(|known| known == kind)).then_some((which, kind))
}

fn is(step: &Step, kind: &str) -> bool {
    let actions = || step.work.jobs.iter().map(|job| &job.action);
    let changes = || actions().flat_map(Action::simulate);
    match kind {
        "section" => step.work.section,
        "copy" => changes().any(|change| matches!(change, Change::Replicate(_))),
        "switch" => {
            step.writes == Some(WriteMark::Pause)
                || step.writes == Some(WriteMark::Stop)
                || changes().any(|change| matches!(change, Change::Use(_)))
        }
        "flip" => actions().any(Action::moves_a_record),
        kind => !step.work.section && actions().any(|action| action.kind() == kind),
    }
}

/// The replications that are meant.
pub fn replications(plan: &Plan, text: &str) -> Vec<ProbeId> {
    probes(plan, if text == ANY { "any postgres.replication" } else { text })
        .into_iter()
        .filter(|id| plan.probes.get(id).is_some_and(|probe| probe.kind.replication().is_some()))
        .collect()
}

/// The probes that are meant: by name, `any`, or `any` with a kind.
pub fn probes(plan: &Plan, text: &str) -> Vec<ProbeId> {
    let kind = text.strip_prefix("any ").map(str::trim);
    let fits = |(id, probe): &(&ProbeId, &crate::core::probe::Probe)| {
        id.as_str() == text || text == ANY || kind == Some(probe.kind.name())
    };
    plan.probes.iter().filter(fits).map(|(id, _)| id.clone()).collect()
}

/// The resolvers that are meant, with their zones.
pub fn resolvers(plan: &Plan, text: &str) -> Vec<(TargetId, String)> {
    let mut found = Vec::new();
    for (id, target) in &plan.targets {
        if let Target::Dns(dns) = target {
            let names = dns.resolvers.keys().filter(|name| text == ANY || *name == text);
            found.extend(names.map(|name| (id.clone(), name.clone())));
        }
    }
    found
}

/// Position of the job within the step that is meant, from 0: the one named (from 1), or the first that leaves the
/// program. `None` when there is none.
pub fn job(step: &Step, named: Option<u16>) -> Option<u16> {
    let leaves = |at: usize| step.work.jobs.get(at).is_some_and(|job| job.action.leaves_the_program());
    let at = match named {
        Some(named) => usize::from(named).checked_sub(1)?,
        None => (0..step.work.jobs.len()).find(|at| leaves(*at))?,
    };
    leaves(at).then(|| u16::try_from(at).ok()).flatten()
}
