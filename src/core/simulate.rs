//! What a runbook says about its rehearsal: what an action changes in the simulated world, and where the fields that
//! the runbook defines get their values there.
//!
//! `dns.update`, `wait` and `soak` need no declaration, since what they do is known. SQL, commands, HTTP requests and
//! checklists are only text to gonogo, so the runbook says what they change.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::{ProbeId, TargetId};
use super::value::{FieldType, Value};

/// What an action changes in a rehearsal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Applications can no longer write to this `postgres` target; replication goes on. Or this `http` target refuses
    /// writes, as in a maintenance mode; reads go on. Customers wait and try again for a while.
    Fence(TargetId),
    /// Applications can write to this `postgres` target, or through this `http` target, again.
    Open(TargetId),
    /// The application writes to this `postgres` target from now on.
    Use(TargetId),
    /// Replication of this `postgres.replication` probe begins with a first copy of every table, then streams.
    Replicate(ProbeId),
    /// Replication of this `postgres.replication` probe streams without a first copy, from its last position.
    Follow(ProbeId),
    /// Replication of this `postgres.replication` probe is stopped and keeps its position.
    Pause(ProbeId),
    /// Replication of this `postgres.replication` probe is removed, with its position.
    Drop(ProbeId),
    /// The record of a `dns` probe is changed by other means than `dns.update`.
    Point(Point),
    /// A whole number reported by a probe, `PROBE.FIELD`, grows by one.
    Bump(FieldRef),
    /// Fields reported by probes, `PROBE.FIELD`, have these values from now on.
    Set(BTreeMap<String, Literal>),
}

/// A change of a DNS record that is not made by `dns.update`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// The `dns` probe whose record changes.
    pub record: ProbeId,
    /// Whether it has the probe's `old` or `new` values afterwards.
    pub to: Side,
    /// TTL in seconds afterwards; as before when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
}

/// One of the two sides of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// What is left.
    Old,
    /// The place to show.
    New,
}

impl Side {
    /// The word on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Old => "old",
            Side::New => "new",
        }
    }
}

/// A field of a probe as `PROBE.FIELD`, or a part of a field of the type `any` as `PROBE.FIELD.KEY`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FieldRef(pub String);

impl FieldRef {
    /// The probe, and the field or the path of a part of it (`stats.depth`); `None` when it is not written like that.
    pub fn parts(&self) -> Option<(&str, &str)> {
        let parted = self.0.split_once('.')?;
        (!self.0.split('.').any(str::is_empty)).then_some(parted)
    }
}

impl fmt::Display for FieldRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Literal {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Bool(yes) => write!(f, "{yes}"),
            Literal::Int(n) => write!(f, "{n}"),
            Literal::Float(x) => write!(f, "{x:?}"),
            Literal::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl Literal {
    /// The value for a field of that type; `None` when it does not fit.
    #[allow(clippy::cast_precision_loss)] // a whole number that a person wrote down
    pub fn value(&self, of: FieldType) -> Option<Value> {
        Some(match (self, of) {
            (Literal::Bool(yes), FieldType::Bool | FieldType::Any) => Value::Bool(*yes),
            (Literal::Int(n), FieldType::Int | FieldType::Any) => Value::Int(*n),
            (Literal::Int(n), FieldType::Float) => Value::Float(*n as f64),
            (Literal::Float(x), FieldType::Float | FieldType::Any) => Value::Float(*x),
            (Literal::Text(text), FieldType::String | FieldType::Any) => Value::Text(text.clone()),
            // A template gives text, which is parsed.
            (Literal::Text(text), FieldType::Int) => Value::Int(text.trim().parse().ok()?),
            (Literal::Text(text), FieldType::Float) => Value::Float(text.trim().parse().ok()?),
            (Literal::Text(text), FieldType::Bool) => Value::Bool(text.trim().parse().ok()?),
            _ => return None,
        })
    }
}

/// The declared type of a field, or of a part of one: whatever a field of the type `any` holds is `any`, too. `None` when
/// no such field is declared, or when its type has no parts.
pub fn declared_type(fields: &BTreeMap<String, FieldType>, path: &str) -> Option<FieldType> {
    match path.split_once('.') {
        None => fields.get(path).copied(),
        Some((field, _)) => fields.get(field).copied().filter(|of| *of == FieldType::Any),
    }
}

/// Where a field that the runbook defines gets its value in a rehearsal: a value, or a quantity of the simulated world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Simulated {
    /// A quantity of the simulated world, or a copy of another field.
    Source(Source),
    /// Always this value.
    Literal(Literal),
}

/// Either `is`, or `copies` with `through`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// A quantity of the simulated world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<Quantity>,
    /// Another field, `PROBE.FIELD`, as it was written on the other side of a replication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<FieldRef>,
    /// The `postgres.replication` probe the copy comes through: a value arrives when everything that was written
    /// before it has been applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<ProbeId>,
}

/// Numbers that the simulated world knows. All are whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Quantity {
    /// Requests that customers made and that have ended, well or badly.
    #[serde(rename = "customers.requests")]
    Requests,
    /// Writes that customers were told are saved.
    #[serde(rename = "customers.acknowledged")]
    Acknowledged,
    /// Requests that ended badly.
    #[serde(rename = "customers.failed")]
    Failed,
    /// The longest time a customer had to wait, in milliseconds; one who still waits counts too.
    #[serde(rename = "customers.longest_pause_ms")]
    LongestPause,
    /// Answers that customers got from the old environment in the last 5 s.
    #[serde(rename = "customers.on_old")]
    OnOld,
    /// Answers that customers got from the new environment in the last 5 s.
    #[serde(rename = "customers.on_new")]
    OnNew,
    /// Acknowledged rows that the old database does not have.
    #[serde(rename = "rows.missing_in_old")]
    MissingInOld,
    /// Acknowledged rows that the new database does not have.
    #[serde(rename = "rows.missing_in_new")]
    MissingInNew,
    /// Acknowledged rows that the old database has.
    #[serde(rename = "rows.in_old")]
    InOld,
    /// Acknowledged rows that the new database has.
    #[serde(rename = "rows.in_new")]
    InNew,
}
