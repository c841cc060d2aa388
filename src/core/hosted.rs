//! Record sets of a hosted zone of Route 53, and changes of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::TargetId;
use super::record::RecordType;

/// A record set of Route 53, all of it: either `values` with `ttl`, or `alias`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostedRecordSet {
    /// The values, in any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// The TTL in seconds. An alias has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// What it is an alias of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<AliasTarget>,
    /// Which of several record sets with the same name and type it is. It needs `weight`, `failover` or `multivalue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_id: Option<String>,
    /// Its weight among those, from 0 to 255: the share of the answers is the weight divided by the sum of all weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// Whether it is the one that answers while it is healthy, or the one that answers otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<FailoverRole>,
    /// Whether it is one of up to eight healthy ones in each answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub multivalue: bool,
    /// The id of the health check that decides whether it is healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<String>,
}

/// What an alias leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AliasTarget {
    /// The name, for example `dualstack.shop-1234.eu-west-1.elb.amazonaws.com`.
    pub name: String,
    /// The id of the hosted zone that this name is in: for a load balancer that of its region, not one of one's own.
    pub zone: String,
    /// Whether the health of the target counts as the health of the alias.
    #[serde(default)]
    pub evaluate_target_health: bool,
}

/// The part of a record set in a failover pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailoverRole {
    /// It answers while it is healthy.
    Primary,
    /// It answers while the other is not healthy.
    Secondary,
}

impl FailoverRole {
    /// The word that Route 53 uses.
    pub fn as_str(self) -> &'static str {
        match self {
            FailoverRole::Primary => "PRIMARY",
            FailoverRole::Secondary => "SECONDARY",
        }
    }
}

impl HostedRecordSet {
    /// All of it in one line: `60 192.0.2.10`, `blue, weight 10: 60 192.0.2.10`, `alias of lb.example.com in Z1`.
    pub fn line(&self) -> String {
        let mut policy: Vec<String> = self.set_id.clone().into_iter().collect();
        policy.extend(self.weight.map(|weight| format!("weight {weight}")));
        policy.extend(self.failover.map(|role| format!("failover {}", role.as_str())));
        policy.extend(self.multivalue.then(|| "multivalue".to_owned()));
        policy.extend(self.health_check.as_ref().map(|check| format!("health check {check}")));
        let policy = if policy.is_empty() { String::new() } else { format!("{}: ", policy.join(", ")) };
        let what = if let Some(alias) = &self.alias {
            let health = if alias.evaluate_target_health { ", as healthy as that" } else { "" };
            format!("alias of {} in {}{health}", alias.name, alias.zone)
        } else {
            let ttl = self.ttl.map_or_else(|| "-".to_owned(), |ttl| ttl.to_string());
            format!("{ttl} {}", self.values.join(" "))
        };
        format!("{policy}{what}")
    }
}

/// Replaces one record set by another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostedChange {
    /// The name, for example `app.example.com`.
    pub name: String,
    /// The record type.
    #[serde(default, rename = "type")]
    pub record_type: RecordType,
    /// The record set that must be there now, all of it. When absent, there must be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<HostedRecordSet>,
    /// The record set afterwards, all of it. When absent, there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<HostedRecordSet>,
}

impl HostedChange {
    /// Whether it answers anybody something else, and not only with another TTL.
    pub fn moves(&self) -> bool {
        let but_ttl = |set: &Option<HostedRecordSet>| set.clone().map(|set| HostedRecordSet { ttl: None, ..set });
        but_ttl(&self.from) != but_ttl(&self.to)
    }

    /// Name and type: `app.example.com A`.
    pub fn record(&self) -> String {
        format!("{} {}", self.name.trim_end_matches('.'), self.record_type.as_str())
    }
}

/// The changes of one hosted zone that an action makes.
#[derive(Clone, Copy, Debug)]
pub struct HostedChanges<'a> {
    /// The `route53` target.
    pub target: &'a TargetId,
    /// What changes.
    pub changes: &'a [HostedChange],
}

/// Names one record set of a zone: its name in lower case without the last dot, its type, and which of several it is.
pub type HostedSetKey<'a> = (String, &'static str, Option<&'a str>);

/// What one record set is before and after a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchSides<'a> {
    /// The first change that is about it.
    pub change: &'a HostedChange,
    /// What must be there before; `None` for nothing.
    pub before: Option<&'a HostedRecordSet>,
    /// What is there afterwards; `None` for nothing.
    pub after: Option<&'a HostedRecordSet>,
}

/// Every record set that a batch is about, with what it is before and after all of it. A change from a simple record set to several
/// weighted ones, say, is written as several changes.
pub fn sides(changes: &[HostedChange]) -> BTreeMap<HostedSetKey<'_>, BatchSides<'_>> {
    let mut found = BTreeMap::new();
    for change in changes {
        let name = change.name.trim_end_matches('.').to_ascii_lowercase();
        for (is_after, set) in [(false, &change.from), (true, &change.to)] {
            let Some(set) = set else { continue };
            let key = (name.clone(), change.record_type.as_str(), set.set_id.as_deref());
            let sides = found.entry(key).or_insert(BatchSides { change, before: None, after: None });
            *(if is_after { &mut sides.after } else { &mut sides.before }) = Some(set);
        }
    }
    found
}

/// A record set of a hosted zone that a probe watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchedSet<'a> {
    /// The `route53` target.
    pub target: &'a TargetId,
    /// The name.
    pub name: &'a str,
    /// The record type.
    pub record_type: RecordType,
    /// Which of several record sets with this name and type.
    pub set_id: Option<&'a str>,
    /// The record set before the change; `None` when there is none.
    pub old: Option<&'a HostedRecordSet>,
}
