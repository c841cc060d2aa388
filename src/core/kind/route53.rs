//! The `route53` probe and the `route53.change` action.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{
    ActionDoc, ActionSpec, CheckContext, Complaint, DnsMention, ProbeDoc, ProbeSpec, RehearsedChanges, TargetUse,
};
use crate::core::hosted::{HostedChange, HostedChanges, HostedRecordSet, WatchedSet};
use crate::core::ids::{ProbeId, TargetId};
use crate::core::record::{DnsChange, RecordChanges, RecordType};
use crate::core::simulate::Change;
use crate::core::target::{self, Target};
use crate::core::time::Span;
use crate::core::value::{Field, Shape, Value};

mod check;

use check::wrong;

/// One record set of a hosted zone of Route 53 as its API has it, which change of it is under way, and with whose rights it is
/// asked.
///
/// What name servers and resolvers answer is the `dns` probe's to say. This one sees what they are going to answer, and
/// whether somebody else changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Route53Probe {
    /// The `route53` target.
    pub target: TargetId,
    /// The name, for example `app.example.com`.
    pub name: String,
    /// The record type.
    #[serde(default, rename = "type")]
    pub record_type: RecordType,
    /// Which of several record sets with this name and type is watched, when they have a routing policy. Without it, the one
    /// that `old` or `new` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_id: Option<String>,
    /// The record set before the change, all of it. When absent there is none before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<HostedRecordSet>,
    /// The record set after the change, all of it. When absent there is none after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<HostedRecordSet>,
}

/// Changes record sets of one hosted zone of Route 53, all at once or none, and only if they still are exactly what the runbook
/// expects.
///
/// What is to be replaced is deleted as it stands in `from`, and what stands in `to` is created in the same batch: Route 53 refuses all of it
/// when somebody has changed anything meanwhile. Nothing is ever sent twice. When the answer is lost, the record sets are
/// looked at. The action is done once Route 53 says that all of its name servers have the change (INSYNC); when that takes longer than
/// `limit`, it is done as well, and says that the change is accepted and still PENDING.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Route53Action {
    /// The `route53` target.
    pub target: TargetId,
    /// What changes.
    #[schemars(length(min = 1))]
    pub changes: Vec<HostedChange>,
    /// Longest time from the beginning until Route 53 says INSYNC. 5m when absent.
    #[serde(default = "five_minutes")]
    pub limit: Span,
    /// What it changes in a rehearsal besides, such as `point` for an alias, whose values are not written here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub simulate: Vec<Change>,
}

fn five_minutes() -> Span {
    Span::secs(300)
}

/// Most elements of one batch (Route 53 developer guide, "Quotas").
const MOST_ELEMENTS: usize = 1_000;
/// Shortest interval without a warning: an account has ten requests a second for everybody who uses it.
const OFTEN: Span = Span::secs(5);

impl Route53Probe {
    /// The account that rehearsals take place in when the target names none.
    pub const REHEARSED_ACCOUNT: &'static str = "000000000000";
    /// How long credentials are always good for in a rehearsal.
    pub const REHEARSED_CREDENTIALS: Span = Span::secs(12 * 3_600);

    /// Which of several record sets with the name and type it watches.
    pub fn set_id(&self) -> Option<&str> {
        let sets = [&self.old, &self.new].into_iter().flatten();
        let mut named = sets.filter_map(|set| set.set_id.as_deref());
        self.set_id.as_deref().or_else(|| named.next())
    }
}

/// Complains about a name that is not in the zone of the target.
fn out_of_zone(name: &str, path: &[&str], target: &TargetId, context: CheckContext<'_>) -> Option<Complaint> {
    let Some(Target::Route53(zone)) = context.target(target) else { return None };
    let label = || format!("expected a name in the zone {}", zone.zone);
    (!zone.has(name)).then(|| Complaint::value(path, "the name is not in the target's zone", label()))
}

/// Complains about a record set that two changes take away, or that two make.
fn twice(changes: &[HostedChange]) -> Vec<Complaint> {
    let mut known: Vec<(&str, String, Option<&str>)> = Vec::new();
    let mut found = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        for (key, set) in [("from", &change.from), ("to", &change.to)] {
            let Some(set) = set else { continue };
            let is = (key, change.record().to_ascii_lowercase(), set.set_id.as_deref());
            if known.contains(&is) {
                let label = "expected each record set once in `from` and once in `to`";
                let message = "another change is about the same record set";
                found.push(Complaint::value(&["changes", &at.to_string(), key], message, label));
            }
            known.push(is);
        }
    }
    found
}

impl ProbeSpec for Route53Probe {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        vec![TargetUse::new(&self.target, "route53", "target")]
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn shape(&self) -> Shape {
        Shape::Record(Self::fields())
    }

    fn check(&self, context: &CheckContext<'_>) -> Vec<Complaint> {
        let mut found: Vec<Complaint> =
            out_of_zone(&self.name, &["name"], &self.target, *context).into_iter().collect();
        for (key, set) in [("old", &self.old), ("new", &self.new)] {
            found.extend(set.iter().flat_map(|set| wrong(set, &[key], self.record_type)));
        }
        if self.old == self.new {
            let message = if self.old.is_none() {
                "nothing says what is waited for"
            } else {
                "old and new are the same, so they cannot be told apart"
            };
            found.push(Complaint::value(&[], message, "expected `old`, `new` or both, and not the same"));
        }
        let ids = [&self.old, &self.new].into_iter().flatten().filter_map(|set| set.set_id.as_deref());
        for id in ids {
            if self.set_id.as_deref().is_some_and(|watched| watched != id) {
                let message = format!("the probe watches another record set than `{id}`");
                found.push(Complaint::value(&["set_id"], message, "expected the `set_id` of `old` and `new`"));
            }
        }
        found
    }

    fn warnings(&self, every: Span) -> Vec<Complaint> {
        if every >= OFTEN {
            return Vec::new();
        }
        let message = format!("Route 53 is asked every {every}");
        let label = "an account has 10 requests a second for everything and everybody";
        vec![Complaint::value(&["every"], message, label).help("say `every: 5s` or more")]
    }

    fn shortest_limit(&self) -> Option<(Span, &'static str)> {
        Some((Span::secs(4), "credentials may take 3 s to be found"))
    }

    fn mentions(&self) -> Vec<DnsMention<'_>> {
        let sets = [("old", &self.old), ("new", &self.new)].into_iter();
        let sets = sets.filter_map(|(key, set)| {
            let values = &set.as_ref()?.values;
            Some(DnsMention::values(self.record_type, values, &[key, "values"]))
        });
        std::iter::once(DnsMention::name(&self.name, &["name"])).chain(sets).collect()
    }

    fn hosted_set(&self) -> Option<WatchedSet<'_>> {
        Some(WatchedSet {
            target: &self.target,
            name: &self.name,
            record_type: self.record_type,
            set_id: self.set_id(),
            old: self.old.as_ref(),
        })
    }

    fn fixed(&self, _: &ProbeId, changes: &RehearsedChanges<'_>) -> Vec<(&'static str, Value)> {
        let mut fixed = vec![("credentials_end", Value::Bool(true))];
        let is_mine = |change: &HostedChange| {
            change.record_type == self.record_type && change.name.eq_ignore_ascii_case(&self.name)
        };
        if !changes.hosted.iter().any(|of| *of.target == self.target && of.changes.iter().any(is_mine)) {
            fixed.extend([("old", Value::Bool(true)), ("new", Value::Bool(false))]);
        }
        fixed
    }

    fn advice(&self, _: &ProbeId, field: &str) -> String {
        match field {
            "credentials_end" => {
                let hours = Self::REHEARSED_CREDENTIALS.0 / 3_600_000;
                format!("in a rehearsal credentials are always good for another {hours} hours")
            }
            _ => "a `route53.change` of this record set changes it in a rehearsal".to_owned(),
        }
    }
}

impl ProbeDoc for Route53Probe {
    const EXAMPLE: &'static str = EXAMPLE;
    const RIGHTS: &'static str = "`route53:ListResourceRecordSets` and `route53:GetHostedZone` on the zone. `sts:GetCallerIdentity`, which says who is asking, needs no right. `gonogo iam RUNBOOK` prints a policy.";

    fn fields() -> Vec<Field> {
        let none = "there is no such record set";
        vec![
            Field::new("old", Shape::Bool, "whether the record set is exactly `old`, TTL and policy included"),
            Field::new("new", Shape::Bool, "whether the record set is exactly `new`, TTL and policy included"),
            Field::new("exists", Shape::Bool, "whether there is such a record set"),
            Field::new("set", Shape::Text, "the whole record set in one line, such as `60 192.0.2.10`").null(none),
            Field::new("values", Shape::List(Box::new(Shape::Text)), "its values, sorted; empty for an alias")
                .null(none),
            Field::new("ttl", Shape::Int, "its TTL").unit("seconds").null("there is no such record set, or it is an alias"),
            Field::new("alias", Shape::Text, "the name that it is an alias of").null("it is no alias"),
            Field::new("weight", Shape::Int, "its weight").unit("of the sum of all weights").null("it has none"),
            Field::new(
                "share",
                Shape::Float,
                "its weight as a share of all weights of this name and type, from 0 to 1, whatever their health. When all weights are 0, they share alike",
            )
            .null("it has no weight"),
            Field::new(
                "change",
                Shape::Text,
                "the newest change that this cockpit has sent for the zone: `sending`, `PENDING` or `INSYNC`",
            )
            .null("it has sent none"),
            Field::new(
                "changed_by_others",
                Shape::Int,
                "how often the record set has been another one than a moment before, without a change of this cockpit in between",
            )
            .unit("times"),
            Field::new("others_changed", Shape::Text, "what that change was the last time: from what to what")
                .null("nobody else has changed it"),
            Field::new("private", Shape::Bool, "whether the zone is private"),
            Field::new("name_servers", Shape::List(Box::new(Shape::Text)), "the name servers of a public zone"),
            Field::new("account", Shape::Text, "the account that the credentials belong to"),
            Field::new("identity", Shape::Text, "who asks: the ARN of a user or of a role that was assumed"),
            Field::new("credentials_end", Shape::Bool, "whether the credentials end at all"),
            Field::new("credentials_end_in_s", Shape::Float, "time until the credentials end")
                .unit("seconds")
                .null("they do not end"),
        ]
    }
}

impl ActionSpec for Route53Action {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        vec![TargetUse::new(&self.target, "route53", "target")]
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn limit(&self) -> Span {
        self.limit
    }

    fn preview(&self, targets: &BTreeMap<TargetId, Target>) -> Vec<String> {
        let mut lines = vec![format!("change {} at once, all or nothing:", target::place(&self.target, targets))];
        for change in &self.changes {
            let record = change.record();
            lines.extend(change.from.as_ref().map(|set| format!("  - {record}  {}", set.line())));
            lines.extend(change.to.as_ref().map(|set| format!("  + {record}  {}", set.line())));
        }
        lines
    }

    fn terms(&self) -> Vec<String> {
        vec![self.limit.to_string()]
    }

    fn tells_by_itself(&self) -> bool {
        false
    }

    fn check(&self, context: &CheckContext<'_>) -> Vec<Complaint> {
        let mut found = Vec::new();
        for (at, change) in self.changes.iter().enumerate() {
            let at = at.to_string();
            let path = ["changes", at.as_str()];
            found.extend(out_of_zone(&change.name, &[&path[..], &["name"]].concat(), &self.target, *context));
            for (key, set) in [("from", &change.from), ("to", &change.to)] {
                let path = [&path[..], &[key]].concat();
                found.extend(set.iter().flat_map(|set| wrong(set, &path, change.record_type)));
            }
            if change.from == change.to {
                let label = "expected another record set in `to` than in `from`";
                found.push(Complaint::value(&path, "the change does nothing", label));
            }
            if let Some(Target::Route53(zone)) = context.target(&self.target)
                && change.record_type == RecordType::Cname
                && change.name.trim_end_matches('.').eq_ignore_ascii_case(zone.zone.trim_end_matches('.'))
            {
                let label = "expected a name below the zone, or an `alias` of type A";
                let message = "there can be no CNAME at the top of a zone";
                found.push(Complaint::value(&[&path[..], &["type"]].concat(), message, label));
            }
        }
        found.extend(twice(&self.changes));
        let sets = self.changes.iter().flat_map(|change| change.from.iter().chain(&change.to));
        let elements: usize = sets.map(|set| set.values.len().max(1)).sum();
        if elements > MOST_ELEMENTS {
            let label = format!("expected at most {MOST_ELEMENTS} values, those of `from` and of `to` together");
            found.push(Complaint::value(&["changes"], "this is too much for one batch of Route 53", label));
        }
        found
    }

    fn simulate(&self) -> &[Change] {
        &self.simulate
    }

    fn records(&self) -> Option<RecordChanges<'_>> {
        let plain = |set: &Option<HostedRecordSet>| match set {
            Some(set) if set.alias.is_some() || set.set_id.is_some() => None,
            Some(set) => Some((set.values.clone(), set.ttl.unwrap_or(0))),
            None => Some((Vec::new(), 0)),
        };
        // What an alias leads to and how weights mix is not said here, so only record sets that are neither count.
        let changes = self.changes.iter().filter_map(|change| {
            let ((from, before), (to, after)) = (plain(&change.from)?, plain(&change.to)?);
            let ttl = if change.to.is_some() { after } else { before };
            Some(DnsChange { name: change.name.clone(), record_type: change.record_type, from, to, ttl })
        });
        Some(RecordChanges { target: &self.target, changes: Cow::Owned(changes.collect()) })
    }

    fn hosted(&self) -> Option<HostedChanges<'_>> {
        Some(HostedChanges { target: &self.target, changes: &self.changes })
    }

    fn mentions(&self) -> Vec<DnsMention<'_>> {
        let mut found = Vec::new();
        for (at, change) in self.changes.iter().enumerate() {
            let at = at.to_string();
            found.push(DnsMention::name(&change.name, &["changes", &at, "name"]));
            for (key, set) in [("from", &change.from), ("to", &change.to)] {
                let values = set.as_ref().map(|set| set.values.as_slice()).unwrap_or_default();
                found.push(DnsMention::values(change.record_type, values, &["changes", &at, key, "values"]));
            }
            if change.record_type == RecordType::Soa {
                found.push(DnsMention::unchangeable(&["changes", &at, "type"]));
            }
        }
        found
    }

    fn leaves_a_trace(&self) -> bool {
        true
    }
}

impl ActionDoc for Route53Action {
    const EXAMPLE: &'static str = EXAMPLE;
    const RIGHTS: &'static str = "`route53:ListResourceRecordSets`, `route53:GetHostedZone` and `route53:ChangeResourceRecordSets` on the zone, `route53:GetChange` on changes. `gonogo iam RUNBOOK` prints a policy that allows these names, types and actions alone.";
}

const EXAMPLE: &str = r#"title: Move the shop to its new address
targets:
  zone:
    route53:
      zone: example.com
      id: Z0123456789ABCDEFGHIJ
      aws: { account: "123456789012", profile: cutover }
probes:
  record:
    kind: route53
    target: zone
    name: app.example.com
    old: { values: ["192.0.2.10"], ttl: 60 }
    new: { values: ["198.51.100.10"], ttl: 60 }
    every: 10s
phases:
  - title: Move
    steps:
      - id: move-record
        title: Move the record
        gates:
          - { that: record.old, hold: 20s }
          - { that: "!record.credentials_end || record.credentials_end_in_s > 3600.0", hold: 20s }
        action:
          route53.change:
            target: zone
            changes:
              - name: app.example.com
                from: { values: ["192.0.2.10"], ttl: 60 }
                to: { values: ["198.51.100.10"], ttl: 60 }
        verify:
          - { that: record.new && increase(record.changed_by_others) == 0, hold: 30s, within: 5m }
        undo:
          route53.change:
            target: zone
            changes:
              - name: app.example.com
                from: { values: ["198.51.100.10"], ttl: 60 }
                to: { values: ["192.0.2.10"], ttl: 60 }
        reversibility: lossless
        expect: 1m
"#;
