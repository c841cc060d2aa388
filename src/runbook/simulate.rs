//! Checks what a runbook says about its rehearsal against the rest of it: every name, field and value, with its place.

use std::collections::BTreeMap;

use crate::core::action::Action;
use crate::core::ids::{ProbeId, TargetId};
use crate::core::nearest::suggestion;
use crate::core::probe::Probe;
use crate::core::simulate::{Change, FieldRef, Literal, Simulated, Source, declared_type};
use crate::core::value::FieldType;

use super::diagnostic::{Diagnostic, Mark};
use super::model::Runbook;
use super::names::reference;
use super::tree::Node;

/// Checks what a probe says about its fields; `node` is the probe.
pub(super) fn probe(runbook: &Runbook, probe: &Probe, node: &Node, faults: &mut Vec<Diagnostic>) {
    let Some((fields, declared)) = probe.kind.own_fields() else { return };
    for (key, value) in node.get("simulate").map_or(&[][..], Node::entries) {
        let Some(of) = own_field(fields, ("the probe", &key.name), key.mark, faults) else { continue };
        let whole = declared
            .keys()
            .find(|other| key.name.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('.')));
        if let Some(whole) = whole {
            let fault = Diagnostic::new(format!("`{whole}` is given as a whole and in parts"));
            faults.push(fault.at(key.mark, format!("expected either `{whole}` or its parts")));
        }
        match declared.get(key.name.as_ref()) {
            Some(Simulated::Literal(literal)) => fits(literal, of, value.mark, faults),
            Some(Simulated::Source(source)) => self::source(runbook, source, of, value, faults),
            None => {}
        }
    }
}

fn source(runbook: &Runbook, source: &Source, of: FieldType, node: &Node, faults: &mut Vec<Diagnostic>) {
    match (source.is, &source.copies, &source.through) {
        (Some(_), None, None) => {
            if !matches!(of, FieldType::Int | FieldType::Any) {
                let fault = Diagnostic::new("a quantity of the simulated world is a whole number");
                faults.push(fault.at(node.path(&["is"]).mark, "expected a field of the type `int`"));
            }
        }
        (None, Some(copied), Some(through)) => {
            let mark = node.path(&["copies"]).mark;
            if let Some(other) = field(runbook, copied, mark, faults)
                && other != of
            {
                let fault = Diagnostic::new(format!("`{copied}` is of another type than its copy"));
                faults.push(fault.at(mark, "expected a field of the same type"));
            }
            kind(runbook, through, "postgres.replication", node.path(&["through"]).mark, faults);
        }
        _ => {
            let fault = Diagnostic::new("the field has no source");
            faults.push(fault.at(node.mark, "expected either `is`, or `copies` with `through`"));
        }
    }
}

/// Checks what an action says it changes; `node` is the value under the action's kind.
pub(super) fn action(runbook: &Runbook, action: &Action, node: &Node, faults: &mut Vec<Diagnostic>) {
    for (change, node) in action.simulate().iter().zip(node.get("simulate").map_or(&[][..], Node::items)) {
        let mark = |key: &str| node.path(&[key]).mark;
        match change {
            Change::Fence(target) => fenced(runbook, target, mark("fence"), faults),
            Change::Open(target) => fenced(runbook, target, mark("open"), faults),
            Change::Use(target) => database(runbook, target, mark("use"), faults),
            Change::Replicate(probe) => replication(runbook, probe, mark("replicate"), faults),
            Change::Follow(probe) => replication(runbook, probe, mark("follow"), faults),
            Change::Pause(probe) => replication(runbook, probe, mark("pause"), faults),
            Change::Drop(probe) => replication(runbook, probe, mark("drop"), faults),
            Change::Point(point) => kind(runbook, &point.record, "dns", node.path(&["point", "record"]).mark, faults),
            Change::Bump(name) => {
                if let Some(of) = field(runbook, name, mark("bump"), faults)
                    && of != FieldType::Int
                {
                    let fault = Diagnostic::new(format!("`{name}` cannot grow by one"));
                    faults.push(fault.at(mark("bump"), "expected a field of the type `int`"));
                }
            }
            Change::Set(fields) => {
                for (key, value) in node.path(&["set"]).entries() {
                    let of = field(runbook, &FieldRef(key.name.to_string()), key.mark, faults);
                    if let (Some(of), Some(literal)) = (of, fields.get(key.name.as_ref())) {
                        fits(literal, of, value.mark, faults);
                    }
                }
            }
        }
    }
}

/// What can refuse writes: a database, or a web service in front of one.
fn fenced(runbook: &Runbook, target: &TargetId, mark: Mark, faults: &mut Vec<Diagnostic>) {
    let is_web = runbook.targets.get(target.as_str()).is_some_and(|target| target.kind() == "http");
    reference(runbook, target, if is_web { "http" } else { "postgres" }, mark, faults);
}

fn database(runbook: &Runbook, target: &TargetId, mark: Mark, faults: &mut Vec<Diagnostic>) {
    reference(runbook, target, "postgres", mark, faults);
}

fn replication(runbook: &Runbook, probe: &ProbeId, mark: Mark, faults: &mut Vec<Diagnostic>) {
    kind(runbook, probe, "postgres.replication", mark, faults);
}

fn kind(runbook: &Runbook, probe: &ProbeId, wanted: &str, mark: Mark, faults: &mut Vec<Diagnostic>) {
    let fitting = runbook.probes.iter().filter(|(_, probe)| probe.kind.name() == wanted);
    let fitting = || fitting.clone().map(|(name, _)| name.as_str());
    match runbook.probes.get(probe.as_str()) {
        Some(found) if found.kind.name() == wanted => {}
        Some(found) => {
            let fault = Diagnostic::new(format!("the probe `{probe}` is of the wrong kind"));
            let label = format!("expected a `{wanted}` probe, but this is `{}`", found.kind.name());
            faults.push(fault.at(mark, label).help(suggestion(probe.as_str(), fitting())));
        }
        None => {
            let fault = Diagnostic::new(format!("there is no probe `{probe}`"));
            let fault = fault.at(mark, format!("expected the name of a `{wanted}` probe"));
            faults.push(fault.help(suggestion(probe.as_str(), fitting())));
        }
    }
}

/// The type of a field that the runbook defines, which an action may change or another field may copy.
fn field(runbook: &Runbook, name: &FieldRef, mark: Mark, faults: &mut Vec<Diagnostic>) -> Option<FieldType> {
    let Some((probe, field)) = name.parts() else {
        faults.push(Diagnostic::new(format!("`{name}` is not a field")).at(mark, "expected `PROBE.FIELD`"));
        return None;
    };
    let own = |probe: &Probe| probe.kind.own_fields().is_some();
    let Some(found) = runbook.probes.get(probe) else {
        let known = runbook.probes.iter().filter(|(_, probe)| own(probe)).map(|(name, _)| name.as_str());
        let fault = Diagnostic::new(format!("there is no probe `{probe}`")).at(mark, "unknown probe");
        faults.push(fault.help(suggestion(probe, known)));
        return None;
    };
    let Some((fields, declared)) = found.kind.own_fields() else {
        let fault = Diagnostic::new(format!("the fields of `{probe}` follow from the simulated world"));
        let instead = found.kind.instead_of_setting().map(str::to_owned);
        faults.push(fault.at(mark, "expected a field of an `sql`, `http.json` or `command` probe").help(instead));
        return None;
    };
    let of = own_field(fields, (&format!("the probe `{probe}`"), field), mark, faults)?;
    if let Some(Simulated::Source(_)) = declared.get(field) {
        let fault = Diagnostic::new(format!("`{name}` follows from the simulated world"));
        faults.push(fault.at(mark, "expected a field without a source of its own"));
        return None;
    }
    Some(of)
}

/// The declared type of a field or of a part of one; `whose` is what the probe is called.
fn own_field(
    fields: &BTreeMap<String, FieldType>,
    (whose, path): (&str, &str),
    mark: Mark,
    faults: &mut Vec<Diagnostic>,
) -> Option<FieldType> {
    let found = declared_type(fields, path).filter(|_| !path.split('.').any(str::is_empty));
    if found.is_none() {
        let field = path.split('.').next().unwrap_or_default();
        faults.push(if fields.contains_key(field) {
            let fault = Diagnostic::new(format!("`{field}` has no parts"));
            fault.at(mark, "expected a field of the type `any`")
        } else {
            let fault = Diagnostic::new(format!("{whose} has no field `{field}`")).at(mark, "unknown field");
            fault.help(suggestion(field, fields.keys().map(String::as_str)))
        });
    }
    found
}

/// Complains about a value that a field of this type cannot have.
pub(crate) fn fits(literal: &Literal, of: FieldType, mark: Mark, faults: &mut Vec<Diagnostic>) {
    if literal.value(of).is_none() {
        let name = match of {
            FieldType::Bool => "true or false",
            FieldType::Int => "a whole number",
            FieldType::Float => "a number",
            FieldType::String => "text",
            FieldType::Any => "a value",
        };
        faults.push(Diagnostic::new("the value does not fit the field").at(mark, format!("expected {name}")));
    }
}
