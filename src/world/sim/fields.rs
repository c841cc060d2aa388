//! Fields that the runbook defines: those that actions set, and those that come through a replication.

use std::collections::{BTreeMap, VecDeque};

use crate::core::ids::ProbeId;
use crate::core::origin::{Origin, Origins, origins};
use crate::core::plan::Plan;
use crate::core::simulate::{FieldRef, Literal, Quantity, declared_type};
use crate::core::time::At;
use crate::core::value::Value;

use super::link::Link;

type Place = (ProbeId, String);

/// A field that copies another through a replication.
#[derive(Clone, Debug)]
struct Copied {
    from: Place,
    through: ProbeId,
    arrived: Value,
    /// Values under way: position in the stream, when it was written, and the value.
    travelling: VecDeque<(f64, At, Value)>,
}

/// All fields that the runbook defines.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    origins: Origins,
    values: BTreeMap<Place, Value>,
    copies: BTreeMap<Place, Copied>,
}

impl Fields {
    pub(super) fn new(plan: &Plan) -> Self {
        let origins = origins(plan);
        let mut values = BTreeMap::new();
        for (probe, fields) in &origins {
            for (field, origin) in fields {
                if let Origin::Changed(value) | Origin::Fixed(value) = origin {
                    values.insert((probe.clone(), field.clone()), value.clone());
                }
            }
        }
        let mut copies = BTreeMap::new();
        for (probe, fields) in &origins {
            for (field, origin) in fields {
                if let Origin::Copy { probe: of, field: name, through } = origin {
                    let from = (of.clone(), name.clone());
                    let arrived = values.get(&from).cloned().unwrap_or(Value::Null);
                    let copied = Copied { from, through: through.clone(), arrived, travelling: VecDeque::new() };
                    copies.insert((probe.clone(), field.clone()), copied);
                }
            }
        }
        Self { origins, values, copies }
    }

    /// A whole number grows by one.
    pub(super) fn bump(&mut self, field: &FieldRef, now: At, links: &BTreeMap<ProbeId, Link>) {
        let Some(place) = field.parts().map(|(probe, field)| (ProbeId::from(probe), field.to_owned())) else { return };
        let next = self.values.get(&place).and_then(Value::int).unwrap_or(0).saturating_add(1);
        self.write(place, Value::Int(next), now, links);
    }

    /// A field gets a value.
    pub(super) fn set(&mut self, (plan, field, to): (&Plan, &str, &Literal), now: At, links: &BTreeMap<ProbeId, Link>) {
        let Some((probe, field)) = field.split_once('.') else { return };
        let of = plan.probes.get(probe).and_then(|probe| probe.kind.own_fields());
        let value = of.and_then(|(fields, _)| declared_type(fields, field)).and_then(|of| to.value(of));
        if let Some(value) = value {
            self.write((ProbeId::from(probe), field.to_owned()), value, now, links);
        }
    }

    fn write(&mut self, place: Place, value: Value, now: At, links: &BTreeMap<ProbeId, Link>) {
        for copied in self.copies.values_mut().filter(|copied| copied.from == place) {
            let position = links.get(&copied.through).map_or(0.0, Link::position);
            copied.travelling.push_back((position, now, value.clone()));
        }
        self.values.insert(place, value);
    }

    /// Takes in values that have come through by now; returns whether there were any.
    pub(super) fn arrive(&mut self, now: At, links: &BTreeMap<ProbeId, Link>) -> bool {
        let mut arrived = false;
        for copied in self.copies.values_mut() {
            let Some(link) = links.get(&copied.through) else { continue };
            while let Some((position, since, _)) = copied.travelling.front()
                && link.has_applied(*position, *since, now)
            {
                if let Some((.., value)) = copied.travelling.pop_front() {
                    copied.arrived = value;
                    arrived = true;
                }
            }
        }
        arrived
    }

    /// Whether no value is under way that could still arrive.
    pub(super) fn is_quiet(&self, links: &BTreeMap<ProbeId, Link>) -> bool {
        let can =
            |copied: &Copied| !copied.travelling.is_empty() && links.get(&copied.through).is_some_and(Link::flows);
        !self.copies.values().any(can)
    }

    /// The record of a probe whose fields the runbook defines.
    pub(super) fn reading(&self, probe: &ProbeId, quantity: &dyn Fn(Quantity) -> i64) -> Value {
        let mut reading = Value::map::<String>([]);
        for (name, origin) in self.origins.get(probe).into_iter().flatten() {
            let place = (probe.clone(), name.clone());
            let value = match origin {
                Origin::Quantity(of) => Value::Int(quantity(*of)),
                Origin::Copy { .. } => self.copies.get(&place).map_or(Value::Null, |copied| copied.arrived.clone()),
                Origin::Changed(value) | Origin::Fixed(value) => {
                    self.values.get(&place).cloned().unwrap_or_else(|| value.clone())
                }
            };
            reading.put(name, value);
        }
        reading
    }
}
