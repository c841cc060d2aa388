//! Which server answered a reading, and how another server is told apart from it.
//!
//! A name can lead to another server from one moment to the next: a failover, a restore, a changed record. A reading of
//! another server says nothing about the one that gates have looked at, so it opens nothing until the operator accepts
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::TargetId;

/// What tells one server from every other: aspects by name, such as `system identifier` and `started`. Shared, since every reading
/// has those of its servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerIdentity(Arc<BTreeMap<String, String>>);

/// The servers behind targets, as far as their identities are known.
pub type Servers = BTreeMap<TargetId, ServerIdentity>;

impl ServerIdentity {
    /// An identity of these aspects; those without a value are not known.
    pub fn new<'a>(aspects: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Self {
        let known = aspects.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Self(Arc::new(known.collect()))
    }

    /// Name of the aspect that tells which cluster a server belongs to; a standby has that of its primary.
    pub const SYSTEM: &'static str = "system identifier";
    /// Name of the aspect that tells when a server was started.
    pub const STARTED: &'static str = "started";

    /// Name of the aspect that tells which database of a server answers: its number, which it keeps when it is renamed.
    pub const DATABASE: &'static str = "database oid";

    /// The identity of a PostgreSQL database: the system identifier of its server, when that was started, and the number
    /// of the database.
    pub fn of_postgres(system: Option<String>, started: Option<String>, database: Option<String>) -> Self {
        Self::new([(Self::SYSTEM, system), (Self::STARTED, started), (Self::DATABASE, database)])
    }

    /// This identity with the server of another one, as far as both tell it: two databases of one server differ in nothing
    /// else.
    #[must_use]
    pub fn on_server_of(&self, other: &Self) -> Self {
        let there = |name: &String| other.0.get(name).filter(|_| name != Self::DATABASE);
        let aspects = self.0.iter().map(|(name, own)| (name.clone(), there(name).unwrap_or(own).clone()));
        Self(Arc::new(aspects.collect()))
    }

    /// One aspect, as far as it is known.
    pub fn aspect(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// How the server that answers now differs from this one, in words; `None` when it is the same. An aspect that is
    /// no longer reported counts as a difference, since it may have changed.
    pub fn difference(&self, now: &Self) -> Option<String> {
        if self == now {
            return None;
        }
        let names: BTreeSet<&String> = self.0.keys().chain(now.0.keys()).collect();
        let told: Vec<String> = names
            .into_iter()
            .filter_map(|name| match (self.0.get(name), now.0.get(name)) {
                (Some(before), Some(now)) if before == now => None,
                (Some(before), Some(now)) => Some(format!("{name} {now} instead of {before}")),
                (Some(before), None) => Some(format!("{name} is not told any more; it was {before}")),
                // Journals of earlier versions do not have it.
                (None, Some(_)) if name == Self::DATABASE => None,
                (None, Some(now)) => Some(format!("{name} {now}, which was not told before")),
                (None, None) => None,
            })
            .collect();
        (!told.is_empty()).then(|| told.join(", "))
    }
}

impl fmt::Display for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.0.iter().map(|(name, value)| format!("{name} {value}")).collect();
        f.write_str(&told.join(", "))
    }
}

/// A server that answers now and is not the one that the run has met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// The target that leads to it.
    pub target: TargetId,
    /// Who it is.
    pub identity: ServerIdentity,
    /// How it differs from the one of the run.
    pub differs: String,
}
