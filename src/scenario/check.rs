//! Checks a scenario against a plan: unknown names, impossible times, faults that nothing in the plan can have.

use crate::core::ids::{ProbeId, StepId};
use crate::core::nearest::suggestion;
use crate::core::plan::Plan;
use crate::core::probe::ProbeKind;
use crate::core::time::Span;
use crate::runbook::Diagnostic;
use crate::runbook::tree::Node;

use super::model::{Event, Fault, OfReplication, RowsSkipped, Scenario, TableAdded, When};
use super::{reads, select};

/// Longest time that makes sense: no runbook takes longer.
const LONGEST: Span = Span::secs(90 * 86_400);

/// Everything that does not fit.
pub(super) fn check(scenario: &Scenario, plan: &Plan, root: &Node) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for (key, text) in
        [("title", &scenario.title), ("lesson", &scenario.lesson), ("good_reaction", &scenario.good_reaction)]
    {
        let node = root.path(&[key]);
        if text.trim().is_empty() {
            faults.push(Diagnostic::new(format!("`{key}` is empty")).at(node.mark, "expected a sentence"));
        } else if text.trim().contains('\n') {
            faults.push(Diagnostic::new(format!("`{key}` has several lines")).at(node.mark, "expected one line"));
        }
    }
    for (event, node) in scenario.events.iter().zip(root.path(&["events"]).items()) {
        when(&event.when, plan, node.path(&["when"]), &mut faults);
        lasts(event, node, &mut faults);
        fault(event, plan, node.path(&["fault", event.fault.word()]), &mut faults);
    }
    faults
}

fn when(when: &When, plan: &Plan, node: &Node, faults: &mut Vec<Diagnostic>) {
    match (&when.at, &when.step) {
        (None, None) => {
            faults.push(Diagnostic::new("nothing says when this happens").at(node.mark, "expected `at` or `step`"));
        }
        (Some(_), Some(_)) => {
            let fault = Diagnostic::new("this happens at a time and at a step").at(node.key("step"), "the one");
            faults.push(fault.also(node.key("at"), "the other"));
        }
        (Some(_), None) => {
            for (key, given) in [("is", when.is.is_some()), ("after", when.after.is_some())] {
                if given {
                    let fault = Diagnostic::new(format!("`{key}` says something about a step, but none is named"));
                    faults.push(fault.at(node.key(key), "expected `step` instead of `at`"));
                }
            }
        }
        (None, Some(name)) => {
            step(plan, name, node.path(&["step"]), faults);
        }
    }
    for (key, span) in [("at", when.at), ("after", when.after)] {
        if span.is_some_and(|span| span > LONGEST) {
            let label = format!("expected at most {LONGEST}");
            faults.push(Diagnostic::new("no run takes that long").at(node.path(&[key]).mark, label));
        }
    }
}

fn step(plan: &Plan, name: &str, node: &Node, faults: &mut Vec<Diagnostic>) {
    if select::step(plan, name).is_some() {
        return;
    }
    if let Some((_, kind)) = select::words(name) {
        let fault = Diagnostic::new(format!("the runbook has no step of the kind `{kind}`"));
        faults.push(fault.at(node.mark, "the plan has nothing that this could happen to"));
        return;
    }
    let fault = Diagnostic::new(format!("there is no step `{name}`")).at(node.mark, "unknown step");
    let help = match name.split_once(' ') {
        Some(("first" | "last", kind)) => suggestion(kind, select::step_kinds()),
        _ => suggestion(name, plan.index.keys().map(StepId::as_str)),
    };
    faults.push(fault.help(help));
}

fn lasts(event: &Event, node: &Node, faults: &mut Vec<Diagnostic>) {
    let Some(lasts) = event.lasts else { return };
    let mark = node.path(&["for"]).mark;
    if lasts == Span::ZERO || lasts > LONGEST {
        let label = format!("expected more than 0s, at most {LONGEST}");
        faults.push(Diagnostic::new("this cannot last so long").at(mark, label));
    }
    let word = event.fault.word();
    if matches!(
        event.fault,
        Fault::SlotMadeAgain(_)
            | Fault::SlotMoved(_)
            | Fault::SourceFailsOver(_)
            | Fault::RecordReverted(_)
            | Fault::ClockJump(_)
            | Fault::CockpitKilled(_)
            | Fault::TerminalLost(_)
    ) {
        faults.push(Diagnostic::new(format!("`{word}` happens in an instant")).at(mark, "expected no `for`"));
    }
}

fn fault(event: &Event, plan: &Plan, node: &Node, faults: &mut Vec<Diagnostic>) {
    let mut out_of_range = |key: &str, label: &str| {
        faults.push(Diagnostic::new(format!("`{key}` is out of range")).at(node.path(&[key]).mark, label));
    };
    match &event.fault {
        Fault::Writes(of) | Fault::Customers(of) if !(of.times > 0.0 && of.times <= 1_000.0) => {
            out_of_range("times", "expected more than 0, at most 1000");
        }
        Fault::Slow(of) if !(of.times >= 1.0 && of.times <= 10_000.0) => {
            out_of_range("times", "expected from 1 to 10000");
        }
        Fault::Errors(of) => {
            if !(of.share > 0.0 && of.share <= 1.0) {
                out_of_range("share", "expected more than 0, at most 1");
            }
            if !(400..600).contains(&of.status) {
                out_of_range("status", "expected from 400 to 599");
            }
        }
        Fault::RowsSkipped(of) if !(of.share > 0.0 && of.share <= 1.0) => {
            out_of_range("share", "expected more than 0, at most 1");
        }
        Fault::TableAdded(of) if of.table.trim().is_empty() => {
            out_of_range("table", "expected the name of a table with its schema");
        }
        Fault::ClockJump(of) if of.by < Span::secs(2) => out_of_range("by", "expected at least 2s"),
        Fault::ResolverHolds(of) if of.least == Span::ZERO || of.least > Span::secs(604_800) => {
            out_of_range("least", "expected more than 0s, at most 7 days");
        }
        _ => {}
    }
    match &event.fault {
        Fault::ApplyDies(OfReplication { replication: name })
        | Fault::SlotLost(OfReplication { replication: name })
        | Fault::SlotMadeAgain(OfReplication { replication: name })
        | Fault::SlotMoved(OfReplication { replication: name })
        | Fault::WalsenderStops(OfReplication { replication: name })
        | Fault::ApplyWorkerStops(OfReplication { replication: name })
        | Fault::LargeTransaction(OfReplication { replication: name })
        | Fault::DisabledByError(OfReplication { replication: name })
        | Fault::SourceFailsOver(OfReplication { replication: name })
        | Fault::OpenTransaction(OfReplication { replication: name })
        | Fault::TableAdded(TableAdded { replication: name, .. })
        | Fault::RowsSkipped(RowsSkipped { replication: name, .. }) => replication(plan, name, node, faults),
        Fault::ResolverStuck(of) | Fault::ResolverStale(of) | Fault::ResolverDead(of) | Fault::ResolverReplaced(of) => {
            resolver(plan, &of.resolver, node, faults);
        }
        Fault::ResolverHolds(of) => resolver(plan, &of.resolver, node, faults),
        Fault::Lies(of) => {
            probe(plan, &of.probe, node, faults);
            reads::lies(plan, of, node.path(&["says"]), faults);
        }
        Fault::Reads(of) => reads::check(plan, of, node, faults),
        Fault::Silent(of) => probe(plan, &of.probe, node, faults),
        Fault::RecordReverted(of) => {
            probe(plan, &of.probe, node, faults);
            let meant = select::probes(plan, &of.probe);
            let watches = |id: &ProbeId| plan.probes.get(id).is_some_and(|probe| probe.kind.hosted_set().is_some());
            if !meant.is_empty() && !meant.iter().any(watches) {
                let fault = Diagnostic::new(format!("`{}` watches no record set of Route 53", of.probe));
                faults.push(fault.at(node.path(&["probe"]).mark, "expected a `route53` probe"));
            }
        }
        Fault::Fails(_) | Fault::Hangs(_) | Fault::Unknown(_) => job(event, plan, node, faults),
        Fault::Writes(_)
        | Fault::Customers(_)
        | Fault::Slow(_)
        | Fault::Errors(_)
        | Fault::UpdatesRefused(_)
        | Fault::UpdatesDelayed(_)
        | Fault::ClockJump(_)
        | Fault::CockpitKilled(_)
        | Fault::DiskFull(_)
        | Fault::TerminalLost(_) => {}
    }
}

fn replication(plan: &Plan, name: &str, node: &Node, faults: &mut Vec<Diagnostic>) {
    if select::replications(plan, name).is_empty() {
        let known = select::replications(plan, select::ANY);
        missing("replication", name, known.iter().map(ProbeId::as_str).collect(), node, faults);
    }
}

fn resolver(plan: &Plan, name: &str, node: &Node, faults: &mut Vec<Diagnostic>) {
    if select::resolvers(plan, name).is_empty() {
        let known = select::resolvers(plan, select::ANY);
        missing("resolver", name, known.iter().map(|(_, name)| name.as_str()).collect(), node, faults);
    }
}

fn probe(plan: &Plan, name: &str, node: &Node, faults: &mut Vec<Diagnostic>) {
    if let Some(kind) = name.strip_prefix("any ")
        && !ProbeKind::WORDS.contains(&kind.trim())
    {
        let fault = Diagnostic::new(format!("there is no kind of probe `{kind}`"));
        let fault = fault.at(node.path(&["probe"]).mark, "unknown kind");
        faults.push(fault.help(suggestion(kind, ProbeKind::WORDS.iter().copied())));
    } else if select::probes(plan, name).is_empty() {
        missing("probe", name, plan.probes.keys().map(ProbeId::as_str).collect(), node, faults);
    }
}

fn missing(what: &str, name: &str, known: Vec<&str>, node: &Node, faults: &mut Vec<Diagnostic>) {
    let mark = node.path(&[what]).mark;
    if known.is_empty() || name.starts_with(select::ANY) && (name == select::ANY || name.contains(' ')) {
        let fault = Diagnostic::new(format!("the runbook has no such {what}"));
        faults.push(fault.at(mark, "the plan has nothing that this could happen to"));
    } else {
        let fault = Diagnostic::new(format!("there is no {what} `{name}`")).at(mark, format!("unknown {what}"));
        faults.push(fault.help(suggestion(name, known)));
    }
}

fn job(event: &Event, plan: &Plan, node: &Node, faults: &mut Vec<Diagnostic>) {
    let Some((named, position)) = event.fault.job() else { return };
    if let Some(name) = named {
        step(plan, name, node.path(&["step"]), faults);
    }
    let Some(name) = named.or(event.when.step.as_deref()) else {
        let fault = Diagnostic::new("nothing says whose job this is");
        faults.push(fault.at(node.mark, "expected `step` here or under `when`"));
        return;
    };
    let Some(step) = select::step(plan, name) else { return };
    if select::job(step, position).is_none() {
        let mark = if position.is_some() { node.path(&["job"]).mark } else { node.mark };
        let fault = Diagnostic::new(format!("the step `{}` has no such job", step.id));
        let of = step.work.jobs.len();
        faults.push(fault.at(mark, format!("expected one of its {of} that leaves the program, counted from 1")));
    }
}
