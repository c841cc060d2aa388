//! Where the fields that a runbook defines get their values in a rehearsal: as it declares, or else such that its own
//! conditions are GO.

use std::collections::{BTreeMap, BTreeSet};

use super::action::Action;
use super::expr::{Wanted, Wish};
use super::ids::ProbeId;
use super::plan::{Plan, Step};
use super::simulate::{Change, Quantity, Simulated, declared_type};
use super::value::{FieldType, Value};

/// Where one field comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// A quantity of the simulated world.
    Quantity(Quantity),
    /// The value of another field, as far as it has arrived through a replication.
    Copy {
        /// Whose field.
        probe: ProbeId,
        /// Which.
        field: String,
        /// The replication it comes through.
        through: ProbeId,
    },
    /// It begins with this value, and actions change it.
    Changed(Value),
    /// It always has this value.
    Fixed(Value),
}

/// All fields that the runbook defines, by probe and name, or by path (`stats.depth`) where it declares parts of a
/// field.
pub type Origins = BTreeMap<ProbeId, BTreeMap<String, Origin>>;

/// The origins of every field that the plan's runbook defines.
pub fn origins(plan: &Plan) -> Origins {
    let wishes: Vec<Wish> = plan.conditions.iter().flat_map(super::expr::Condition::wishes).collect();
    let changed = changed(plan);
    let mut found = Origins::new();
    for (id, probe) in &plan.probes {
        let Some((fields, declared)) = probe.kind.own_fields() else { continue };
        let parts = declared
            .keys()
            .map(String::as_str)
            .chain(changed.iter().filter_map(|(of, field)| (*of == id.as_str()).then_some(*field)));
        let parts: BTreeMap<&str, FieldType> = parts
            .filter(|path| path.contains('.'))
            .filter_map(|path| Some((path, declared_type(fields, path)?)))
            .collect();
        let in_parts = |name: &str| parts.keys().any(|part| part.split('.').next() == Some(name));
        // A field that is declared part by part has no value besides its parts.
        let whole = fields.iter().filter(|(name, _)| declared.contains_key(*name) || !in_parts(name));
        let whole = whole.map(|(name, &of)| (name.as_str(), of));
        let of = whole.chain(parts.iter().map(|(path, &of)| (*path, of))).map(|(name, of)| {
            let is_changed = changed.contains(&(id.as_str(), name));
            let origin = declared.get(name).and_then(|declared| declared_origin(declared, of, is_changed));
            let origin = origin.unwrap_or_else(|| {
                if is_changed {
                    return Origin::Changed(plain(of));
                }
                let wishes: Vec<&Wanted> = wishes
                    .iter()
                    .filter(|wish| wish.probe == *id && wish.field == name)
                    .map(|wish| &wish.wanted)
                    .collect();
                Origin::Fixed(inferred(of, &wishes))
            });
            (name.to_owned(), origin)
        });
        found.insert(id.clone(), of.collect());
    }
    found
}

fn declared_origin(declared: &Simulated, of: FieldType, changed: bool) -> Option<Origin> {
    match declared {
        Simulated::Literal(literal) if changed => literal.value(of).map(Origin::Changed),
        Simulated::Literal(literal) => literal.value(of).map(Origin::Fixed),
        Simulated::Source(source) => match (source.is, &source.copies, &source.through) {
            (Some(quantity), ..) => Some(Origin::Quantity(quantity)),
            (None, Some(copied), Some(through)) => {
                let (probe, field) = copied.parts()?;
                Some(Origin::Copy { probe: probe.into(), field: field.to_owned(), through: through.clone() })
            }
            _ => None,
        },
    }
}

/// Every action of a plan, forward and back.
pub fn actions(plan: &Plan) -> impl Iterator<Item = &Action> {
    plan.steps.iter().flat_map(Step::actions)
}

/// Every change an action of the plan declares.
pub fn changes(plan: &Plan) -> impl Iterator<Item = &Change> {
    actions(plan).flat_map(Action::simulate)
}

/// Fields that some action bumps or sets, as probe and name.
fn changed(plan: &Plan) -> BTreeSet<(&str, &str)> {
    let mut found = BTreeSet::new();
    for change in changes(plan) {
        match change {
            Change::Bump(field) => found.extend(field.parts()),
            Change::Set(fields) => found.extend(fields.keys().filter_map(|field| field.split_once('.'))),
            _ => {}
        }
    }
    found
}

/// What a field has when nothing is known about it.
fn plain(of: FieldType) -> Value {
    match of {
        FieldType::Bool => Value::Bool(false),
        FieldType::Int => Value::Int(0),
        FieldType::Float => Value::Float(0.0),
        FieldType::String => Value::Text("ok".to_owned()),
        FieldType::Any => Value::Null,
    }
}

/// A value that meets every wish, or most of them when they contradict each other.
fn inferred(of: FieldType, wishes: &[&Wanted]) -> Value {
    let mut candidates = vec![plain(of)];
    candidates.extend(wishes.iter().filter_map(|wanted| candidate(of, wanted)));
    if of == FieldType::Bool {
        candidates.push(Value::Bool(true));
    }
    let met = |value: &Value| wishes.iter().filter(|wanted| meets(value, wanted)).count();
    let mut best = plain(of);
    for candidate in candidates {
        if met(&candidate) > met(&best) {
            best = candidate;
        }
    }
    best
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // constants a person wrote down
fn candidate(of: FieldType, wanted: &Wanted) -> Option<Value> {
    let near = |value: &Value, by: i32| match (value, of) {
        (Value::Int(n), FieldType::Float) => Some(Value::Float(*n as f64 + f64::from(by))),
        (Value::Float(x), FieldType::Int) => Some(Value::Int(x.round() as i64 + i64::from(by))),
        (Value::Int(n), _) => n.checked_add(i64::from(by)).map(Value::Int),
        (Value::Float(x), _) => Some(Value::Float(x + f64::from(by))),
        (value, _) if by == 0 => Some(value.clone()),
        _ => None,
    };
    match wanted {
        Wanted::Equal(value) => near(value, 0),
        Wanted::NotEqual(Value::Text(text)) => Some(Value::Text(format!("not {text}"))),
        Wanted::NotEqual(Value::Bool(yes)) => Some(Value::Bool(!yes)),
        Wanted::NotEqual(value) | Wanted::Above(value, false) => near(value, 1),
        Wanted::Below(value, inclusive) => near(value, if *inclusive { 0 } else { -1 }),
        Wanted::Above(value, true) => near(value, 0),
        Wanted::Like(text) => Some(Value::Text(text.clone())),
    }
}

fn meets(value: &Value, wanted: &Wanted) -> bool {
    // Null is never what was asked for.
    if *value == Value::Null {
        return false;
    }
    let order = |other: &Value| match (value.number(), other.number()) {
        (Some(a), Some(b)) => a.partial_cmp(&b),
        _ => value.text().zip(other.text()).map(|(a, b)| a.cmp(b)),
    };
    let equal = |other: &Value| match order(other) {
        Some(order) => order.is_eq(),
        None => value == other,
    };
    match wanted {
        Wanted::Equal(other) => equal(other),
        Wanted::NotEqual(other) => !equal(other),
        Wanted::Below(other, inclusive) => {
            order(other).is_some_and(|order| order.is_lt() || (*inclusive && order.is_eq()))
        }
        Wanted::Above(other, inclusive) => {
            order(other).is_some_and(|order| order.is_gt() || (*inclusive && order.is_eq()))
        }
        Wanted::Like(text) => value.text().is_some_and(|value| value.contains(text.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_begins_with_what_the_conditions_ask_for() {
        let above = Wanted::Above(Value::Int(0), false);
        let below = Wanted::Below(Value::Int(10), false);
        assert_eq!(inferred(FieldType::Int, &[&above, &below]), Value::Int(1));
        assert_eq!(inferred(FieldType::Int, &[]), Value::Int(0));
        assert_eq!(inferred(FieldType::Bool, &[&Wanted::Equal(Value::Bool(true))]), Value::Bool(true));
        assert_eq!(inferred(FieldType::String, &[&Wanted::Like("Run".into())]), Value::Text("Run".into()));
        assert_eq!(inferred(FieldType::Float, &[&Wanted::Above(Value::Int(3), true)]), Value::Float(3.0));
        assert_eq!(inferred(FieldType::Any, &[&Wanted::NotEqual(Value::Text("x".into()))]), "not x".into());
    }
}
