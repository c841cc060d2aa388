//! Conditions that no rehearsal could meet, because the runbook does not say where their values come from there. They
//! are reported when a runbook is checked, with what to declare, and not in the middle of a rehearsal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::core::action::Action;
use crate::core::expr::Condition;
use crate::core::ids::ProbeId;
use crate::core::kind::spec::RehearsedChanges;
use crate::core::origin::{Origin, actions, changes, origins};
use crate::core::plan::Plan;
use crate::core::value::{Value, ValueMap};

use super::diagnostic::Diagnostic;
use super::tree::Node;

type Fixed = BTreeMap<ProbeId, ValueMap>;

/// A warning for every such condition, at its first place.
pub(super) fn warnings(plan: &Plan, asked: &[AskedCondition]) -> Vec<Diagnostic> {
    let fixed = fixed(plan);
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for (node, condition) in asked {
        let shut = condition.never(&fixed);
        if shut.is_empty() || !told.insert(condition.source()) {
            continue;
        }
        let fields: BTreeSet<(ProbeId, String)> = condition
            .fields()
            .into_iter()
            .filter_map(|(probe, field)| field.map(|field| (probe, field)))
            .filter(|(probe, field)| fixed.get(probe).is_some_and(|of| of.contains_key(field.as_str())))
            .collect();
        let label = format!("`{}` is never true there", shut.join("`, `"));
        let warning = Diagnostic::new("no rehearsal can meet this condition").at(node.mark, label);
        found.push(
            warning
                .help(fields.iter().next().and_then(|(id, field)| Some(plan.probes.get(id)?.kind.advice(id, field)))),
        );
    }
    found
}

/// A condition with its place.
pub(super) type AskedCondition<'a> = (&'a Node<'a>, &'a Condition);

/// All conditions of the steps, in the order of the text. Some stand there several times.
pub(super) fn conditions<'a>(plan: &'a Plan, root: &'a Node<'a>) -> Vec<AskedCondition<'a>> {
    let by_source: BTreeMap<&str, &Condition> =
        plan.conditions.iter().map(|condition| (condition.source(), condition)).collect();
    let mut found = Vec::new();
    texts(root.path(&["phases"]), &mut |node| {
        found.extend(node.text().and_then(|text| by_source.get(text)).map(|condition| (node, *condition)));
    });
    found
}

/// Texts under the keys that hold conditions.
fn texts<'n>(node: &'n Node<'n>, found: &mut dyn FnMut(&'n Node<'n>)) {
    for (key, value) in node.entries() {
        match key.name.as_ref() {
            "gates" | "verify" | "guards" | "conditions" => {
                value.items().iter().for_each(|item| found(item.get("that").unwrap_or(item)));
            }
            _ => texts(value, found),
        }
    }
    node.items().iter().for_each(|item| texts(item, found));
}

/// Fields that never change in a rehearsal, with the value they have there.
fn fixed(plan: &Plan) -> Fixed {
    let mut fixed = Fixed::new();
    for (probe, fields) in origins(plan) {
        let first = |path: &str| path.split('.').next().unwrap_or_default().to_owned();
        let changing: BTreeSet<String> = fields
            .iter()
            .filter(|(_, origin)| !matches!(origin, Origin::Fixed(_)))
            .map(|(path, _)| first(path))
            .collect();
        let mut whole = Value::map::<String>([]);
        for (path, origin) in fields {
            if let Origin::Fixed(value) = origin
                && !changing.contains(&first(&path))
            {
                whole.put(&path, value);
            }
        }
        if let Value::Map(whole) = whole {
            fixed.entry(probe).or_default().extend(Arc::unwrap_or_clone(whole));
        }
    }
    let changes = RehearsedChanges {
        simulated: changes(plan).collect(),
        records: actions(plan).filter_map(Action::records).collect(),
        hosted: actions(plan).filter_map(Action::hosted).collect(),
    };
    for (id, probe) in &plan.probes {
        for (field, value) in probe.kind.fixed(id, &changes) {
            fixed.entry(id.clone()).or_default().insert(field.into(), value);
        }
    }
    fixed
}
