//! Counters: numbers whose growth conditions ask for, watched for resets over the whole stretch of readings.
//!
//! A number that was reset and has grown beyond its old value since looks as if it had only grown, so the newest value and
//! the value that growth is counted from are not enough to tell.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::evidence::{Baseline, CounterReset};
use super::moves::is_zero;
use super::server::Servers;
use super::time::At;
use super::value::Value;

/// The numbers whose growth is counted, by the name that conditions use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Counters(BTreeMap<String, Counter>);

/// The newest value of one number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Counter {
    /// The moment that its reading describes.
    at: At,
    value: Value,
    /// The servers that it came from, where that is known.
    #[serde(default, skip_serializing_if = "Servers::is_empty")]
    servers: Servers,
    /// How often another address had answered than before.
    #[serde(default, skip_serializing_if = "is_zero")]
    addresses: u64,
    /// The newest reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reset: Option<CounterReset>,
}

impl Counters {
    /// Whether no number was read yet.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes in a number of a reading. Where none is known yet it is held against `baseline`, what an attempt counts from.
    pub(super) fn observe(
        &mut self,
        name: &str,
        (at, to): (At, Value),
        (servers, addresses): (&Servers, u64),
        baseline: impl FnOnce() -> Option<Baseline>,
    ) {
        let (before, older) = match self.0.remove(name) {
            // An answer of an earlier moment, as from a cache, says nothing new.
            Some(counter) if counter.at > at => {
                self.0.insert(name.to_owned(), counter);
                return;
            }
            Some(counter) => {
                let is_same = counter.servers == *servers && counter.addresses == addresses;
                (Some((counter.value, is_same)), counter.reset)
            }
            None => {
                let from = baseline().filter(|from| from.at < at);
                (from.map(|from| (from.value, from.addresses == addresses)), None)
            }
        };
        let went_back = |from: &Value| from.number().zip(to.number()).is_some_and(|(from, to)| to < from);
        let reset = before.filter(|(from, same_server)| !same_server || went_back(from));
        let reset = reset.map(|(from, _)| CounterReset { at, from, to: to.clone() });
        let counter = Counter { at, value: to, servers: servers.clone(), addresses, reset: reset.or(older) };
        self.0.insert(name.to_owned(), counter);
    }

    /// How often another address had answered than before when a number was read last.
    pub(super) fn addresses(&self, name: &str) -> u64 {
        self.0.get(name).map_or(0, |counter| counter.addresses)
    }

    /// Whether a reset was seen at all.
    pub(super) fn has_resets(&self) -> bool {
        self.0.values().any(|counter| counter.reset.is_some())
    }

    /// The reset of a number after what it is counted from was read, if one was seen.
    pub(super) fn reset_since(&self, name: &str, from: &Baseline) -> Option<&CounterReset> {
        self.0.get(name)?.reset.as_ref().filter(|reset| reset.at > from.at)
    }
}
