//! Conditions that no rehearsal could meet, because nothing says what they mean there. Told when a runbook is
//! checked, with what to declare, and not in the middle of a rehearsal.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::action::Action;
use crate::core::ids::ProbeId;
use crate::core::origin::{Origin, actions, changes, origins};
use crate::core::plan::Plan;
use crate::core::probe::ProbeKind;
use crate::core::simulate::{Change, Side};
use crate::core::value::Value;

use super::diagnostic::Diagnostic;
use super::tree::Node;

/// What a replication waits for that never stands still.
const SOME_BYTES: i64 = 65_536;

type Fixed = BTreeMap<ProbeId, BTreeMap<String, Value>>;

/// A warning for every such condition, at its first place.
pub(super) fn warnings(plan: &Plan, root: &Node) -> Vec<Diagnostic> {
    let fixed = fixed(plan);
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    visit(root.path(&["phases"]), &mut |node| {
        let Some(text) = node.text() else { return };
        let Some(condition) = plan.conditions.iter().find(|condition| condition.source() == text) else { return };
        let shut = condition.never(&fixed);
        if shut.is_empty() || !told.insert(text.to_owned()) {
            return;
        }
        let fields: BTreeSet<(ProbeId, String)> = condition
            .fields()
            .into_iter()
            .filter_map(|(probe, field)| field.map(|field| (probe, field)))
            .filter(|(probe, field)| fixed.get(probe).is_some_and(|of| of.contains_key(field)))
            .collect();
        let label = format!("`{}` is never true there", shut.join("`, `"));
        let warning = Diagnostic::new("no rehearsal can meet this condition").at(node.mark, label);
        found.push(warning.help(fields.iter().next().map(|(probe, field)| advice(plan, probe, field))));
    });
    found
}

/// Texts under the keys that hold conditions.
fn visit<'n>(node: &'n Node, found: &mut dyn FnMut(&'n Node)) {
    for (key, value) in node.entries() {
        match key.name.as_ref() {
            "gates" | "verify" | "guards" | "conditions" => {
                value.items().iter().for_each(|item| found(item.get("that").unwrap_or(item)));
            }
            _ => visit(value, found),
        }
    }
    node.items().iter().for_each(|item| visit(item, found));
}

/// Fields that never change in a rehearsal, with the value they have there.
fn fixed(plan: &Plan) -> Fixed {
    let mut fixed = Fixed::new();
    for (probe, fields) in origins(plan) {
        for (field, origin) in fields {
            if let Origin::Fixed(value) = origin {
                fixed.entry(probe.clone()).or_default().insert(field, value);
            }
        }
    }
    for (id, probe) in &plan.probes {
        match &probe.kind {
            ProbeKind::Replication(link) => {
                let stops = changes(plan).any(|change| matches!(change, Change::Fence(of) if *of == link.source));
                if !stops {
                    fixed.entry(id.clone()).or_default().insert("bytes".to_owned(), Value::Int(SOME_BYTES));
                }
            }
            ProbeKind::Dns(record) => {
                let by_update = |action: &Action| match action {
                    Action::DnsUpdate(update) => update.changes.iter().any(|change| {
                        change.name == record.name && change.to.iter().all(|value| record.new.contains(value))
                    }),
                    _ => false,
                };
                let pointed = |change: &Change| matches!(change, Change::Point(point) if point.record == *id && point.to == Side::New);
                if !actions(plan).any(by_update) && !changes(plan).any(pointed) {
                    let of = fixed.entry(id.clone()).or_default();
                    of.insert("authoritative_new".to_owned(), Value::Bool(false));
                    of.insert("authoritative_old".to_owned(), Value::Bool(true));
                    of.insert("new".to_owned(), Value::Int(0));
                    // How many there are does not matter: some, and none of them new.
                    of.insert("total".to_owned(), Value::Int(1));
                }
            }
            ProbeKind::Http(_)
            | ProbeKind::HttpJson(_)
            | ProbeKind::Sql(_)
            | ProbeKind::Command(_)
            | ProbeKind::Tcp(_) => {}
        }
    }
    fixed
}

/// What to declare so that a field gets another value.
fn advice(plan: &Plan, probe: &ProbeId, field: &str) -> String {
    match plan.probes.get(probe).map(|probe| &probe.kind) {
        Some(ProbeKind::Replication(link)) => {
            format!("say `simulate: [{{ fence: {} }}]` in the action that stops the writes", link.source)
        }
        Some(ProbeKind::Dns(_)) => {
            format!(
                "say `simulate: [{{ point: {{ record: {probe}, to: new }} }}]` in the action that changes the record"
            )
        }
        _ => format!(
            "say what `{field}` is under `simulate` of the probe `{probe}`, or `simulate: [{{ set: {{ {probe}.{field}: VALUE }} }}]` in the action that changes it"
        ),
    }
}
