//! Readings that a scenario falsifies, checked against what each probe can report.

use std::collections::BTreeMap;

use crate::core::ids::ProbeId;
use crate::core::nearest::suggestion;
use crate::core::plan::Plan;
use crate::core::probe::Probe;
use crate::core::value::{FieldType, Shape};
use crate::runbook::Diagnostic;
use crate::runbook::diagnostic::Mark;
use crate::runbook::simulate::fits;
use crate::runbook::tree::Node;

use super::model::{Lies, Misread};
use super::select;

/// The type of a field that holds one value; `None` for lists and records.
pub fn single(shape: &Shape) -> Option<FieldType> {
    Some(match shape {
        Shape::Bool => FieldType::Bool,
        Shape::Int => FieldType::Int,
        Shape::Float => FieldType::Float,
        Shape::Text => FieldType::String,
        Shape::Any => FieldType::Any,
        Shape::List(_) | Shape::Record(_) => return None,
    })
}

/// The shape where a path leads: names of fields and positions in lists.
///
/// # Errors
///
/// The first name that leads nowhere, with the shape in which it was looked for.
pub fn lead<'p>(shape: &Shape, path: &'p str) -> Result<Shape, (&'p str, Shape)> {
    let mut shape = shape.clone();
    for name in path.split('.') {
        let inner = match &shape {
            _ if name.is_empty() => None,
            Shape::Any => Some(Shape::Any),
            Shape::List(of) => name.parse::<u16>().ok().map(|_| (**of).clone()),
            Shape::Record(_) => shape.field(name).map(|field| field.shape.clone()),
            Shape::Bool | Shape::Int | Shape::Float | Shape::Text => None,
        };
        shape = inner.ok_or((name, shape))?;
    }
    Ok(shape)
}

/// Everything that does not fit under `reads`.
pub(super) fn check(plan: &Plan, reads: &BTreeMap<String, Misread>, node: &Node, faults: &mut Vec<Diagnostic>) {
    if reads.is_empty() {
        faults.push(
            Diagnostic::new("`reads` is empty").at(node.mark, "expected a field as `PROBE.FIELD` with its value"),
        );
    }
    for (key, value) in node.entries() {
        let Some(read) = reads.get(key.name.as_ref()) else { continue };
        let (name, path) =
            key.name.split_once('.').map_or((key.name.as_ref(), None), |(name, path)| (name, Some(path)));
        let Some(probe) = plan.probes.get(&ProbeId::from(name)) else {
            let fault = Diagnostic::new(format!("there is no probe `{name}`")).at(key.mark, "unknown probe");
            faults.push(fault.help(suggestion(name, plan.probes.keys().map(ProbeId::as_str))));
            continue;
        };
        match (path, read) {
            (None, Misread::Failing(failing)) if failing.fails.trim().is_empty() => {
                faults.push(Diagnostic::new("`fails` is empty").at(value.path(&["fails"]).mark, "expected a sentence"));
            }
            (None, Misread::Failing(_)) => {}
            (None, _) => {
                let fault = Diagnostic::new(format!("`{name}` is a whole probe"));
                faults.push(
                    fault.at(value.mark, format!("expected `{{ fails: SENTENCE }}`, or `{name}.FIELD` as the key")),
                );
            }
            (Some(_), Misread::Failing(_)) => {
                let fault = Diagnostic::new("a field does not fail by itself");
                faults.push(
                    fault.at(value.mark, format!("expected a value or null; `{name}: {{ fails: … }}` for the probe")),
                );
            }
            (Some(path), Misread::Null) => {
                place(probe, name, path, key.mark, faults);
            }
            (Some(path), Misread::Value(literal)) => {
                let Some(shape) = place(probe, name, path, key.mark, faults) else { continue };
                if let Some(of) = single(&shape) {
                    fits(literal, of, value.mark, faults);
                } else {
                    let fault = Diagnostic::new(format!("`{}` is a {}", key.name, word(&shape)));
                    let label = format!("expected null, or {} as the key", inside(&shape, &key.name));
                    faults.push(fault.at(value.mark, label));
                }
            }
        }
    }
}

/// Everything that does not fit under `says` of a lying probe: the fields that each of the probes it may be has.
pub(super) fn lies(plan: &Plan, lies: &Lies, node: &Node, faults: &mut Vec<Diagnostic>) {
    for (key, value) in node.entries() {
        let Some(literal) = lies.says.get(key.name.as_ref()) else { continue };
        for id in select::probes(plan, &lies.probe) {
            let Some(probe) = plan.probes.get(&id) else { continue };
            let before = faults.len();
            let shape = place(probe, id.as_str(), &key.name, key.mark, faults);
            match shape.as_ref().map(single) {
                Some(Some(of)) => fits(literal, of, value.mark, faults),
                Some(None) => {
                    let fault = Diagnostic::new(format!("`{}` holds more than one value", key.name));
                    faults.push(fault.at(key.mark, "expected a field with a single value"));
                }
                None => {}
            }
            if faults.len() > before {
                break;
            }
        }
    }
}

/// The shape at a path of a probe's readings; a complaint when there is none.
fn place(probe: &Probe, name: &str, path: &str, mark: Mark, faults: &mut Vec<Diagnostic>) -> Option<Shape> {
    match lead(&probe.kind.shape(), path) {
        Ok(shape) => Some(shape),
        Err((wrong, Shape::List(_))) => {
            let fault = Diagnostic::new(format!("`{wrong}` is no position in a list"));
            faults.push(fault.at(mark, "expected a number from 0"));
            None
        }
        Err((wrong, Shape::Record(fields))) => {
            let fault = Diagnostic::new(format!("the readings of `{name}` have no field `{wrong}` there"));
            let known = fields.iter().map(|field| field.name.as_str());
            faults.push(fault.at(mark, "unknown field").help(suggestion(wrong, known)));
            None
        }
        Err((wrong, shape)) => {
            let fault = Diagnostic::new(format!("there is no `{wrong}` in a field of the type `{shape}`"));
            faults.push(fault.at(mark, "expected the field itself"));
            None
        }
    }
}

fn word(shape: &Shape) -> &'static str {
    if matches!(shape, Shape::List(_)) { "list" } else { "record" }
}

fn inside(shape: &Shape, path: &str) -> String {
    if matches!(shape, Shape::List(_)) { format!("`{path}.0`") } else { format!("`{path}.FIELD`") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::value::Field;

    #[test]
    fn a_path_leads_through_records_and_lists() {
        let item = Shape::Record(vec![Field::new("fresh", Shape::Bool, "")]);
        let list = Shape::List(Box::new(item));
        let shape = Shape::Record(vec![Field::new("items", list.clone(), ""), Field::new("any", Shape::Any, "")]);
        assert_eq!(lead(&shape, "items"), Ok(list.clone()));
        assert_eq!(lead(&shape, "items.3.fresh"), Ok(Shape::Bool));
        assert_eq!(lead(&shape, "any.deep.er"), Ok(Shape::Any));
        assert_eq!(lead(&shape, "items.x"), Err(("x", list)));
        assert_eq!(lead(&shape, "items.0.fresh.no"), Err(("no", Shape::Bool)));
        assert!(lead(&shape, "any..x").is_err() && lead(&shape, "").is_err());
    }
}
