//! The `dns` probe.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{CheckContext, Complaint, ProbeDoc, ProbeSpec, RehearsedChanges, TargetUse};
use crate::core::ids::{ProbeId, TargetId};
use crate::core::record::{DnsChange, RecordType, RehearsedRecord, WatchedRecord};
use crate::core::simulate::{Change, Side};
use crate::core::syntax::is_in_zone;
use crate::core::target::Target;
use crate::core::value::{Field, Shape, Value};

/// What authoritative servers and resolvers answer for one record: old, new or something else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DnsProbe {
    /// The `dns` target whose servers and resolvers are asked.
    pub target: TargetId,
    /// The name, for example `app.example.com`.
    pub name: String,
    /// The record type.
    #[serde(default, rename = "type")]
    pub record_type: RecordType,
    /// Values before the change.
    #[schemars(length(min = 1))]
    pub old: Vec<String>,
    /// Values after the change.
    #[schemars(length(min = 1))]
    pub new: Vec<String>,
    /// What a rehearsal must be told about the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulate: Option<RehearsedRecord>,
}

impl ProbeSpec for DnsProbe {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        vec![TargetUse::new(&self.target, "dns", "target")]
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn shape(&self) -> Shape {
        Shape::Record(Self::fields())
    }

    fn check(&self, context: &CheckContext<'_>) -> Vec<Complaint> {
        let mut found = Vec::new();
        let (old, new): (BTreeSet<_>, BTreeSet<_>) = (self.old.iter().collect(), self.new.iter().collect());
        if old == new {
            let message = "old and new are the same, so nothing can be told apart";
            found.push(Complaint::value(&["new"], message, "expected other values"));
        }
        if let Some(Target::Dns(zone)) = context.target(&self.target)
            && !is_in_zone(&self.name, &zone.zone)
        {
            let label = format!("expected a name in the zone {}", zone.zone);
            found.push(Complaint::value(&["name"], "the name is not in the target's zone", label));
        }
        found
    }

    fn fixed(&self, id: &ProbeId, changes: &RehearsedChanges<'_>) -> Vec<(&'static str, Value)> {
        let to_new =
            |change: &DnsChange| change.name == self.name && change.to.iter().all(|value| self.new.contains(value));
        let updated = changes.records.iter().any(|records| records.changes.iter().any(to_new));
        let is_pointed =
            |change: &&Change| matches!(change, Change::Point(point) if point.record == *id && point.to == Side::New);
        if updated || changes.simulated.iter().any(is_pointed) {
            return Vec::new();
        }
        vec![
            ("authoritative_new", Value::Bool(false)),
            ("authoritative_old", Value::Bool(true)),
            ("new", Value::Int(0)),
            // How many there are does not matter: some, and none of them new.
            ("total", Value::Int(1)),
        ]
    }

    fn advice(&self, id: &ProbeId, _: &str) -> String {
        format!("say `simulate: [{{ point: {{ record: {id}, to: new }} }}]` in the action that changes the record")
    }

    fn instead_of_setting(&self) -> Option<&'static str> {
        Some("say `point`")
    }

    fn record(&self) -> Option<WatchedRecord<'_>> {
        Some(WatchedRecord {
            target: &self.target,
            name: &self.name,
            record_type: self.record_type,
            old: &self.old,
            new: &self.new,
            rehearsed: self.simulate.unwrap_or_default(),
        })
    }
}

impl ProbeDoc for DnsProbe {
    const EXAMPLE: &'static str = r#"title: Move the shop to its new address
secrets:
  dns_key: { env: GONOGO_DNS_KEY }
targets:
  zone:
    dns:
      zone: example.com
      authoritative: ["192.0.2.53"]
      resolvers: { quad: "9.9.9.9", office: "198.51.100.53" }
      tsig: { name: gonogo, secret: "{{ secrets.dns_key }}" }
probes:
  app: { kind: dns, target: zone, name: app.example.com, old: ["192.0.2.10"], new: ["198.51.100.10"], every: 5s }
phases:
  - title: Move
    steps:
      - id: move-record
        title: Move the record
        action:
          dns.update:
            target: zone
            changes: [{ name: app.example.com, from: ["192.0.2.10"], to: ["198.51.100.10"], ttl: 60 }]
        verify:
          - { that: app.authoritative_new, within: 2m }
        undo:
          dns.update:
            target: zone
            changes: [{ name: app.example.com, from: ["198.51.100.10"], to: ["192.0.2.10"], ttl: 60 }]
        reversibility: lossless
        expect: 30s
      - id: propagated
        title: Wait for the resolvers
        needs: [move-record]
        action: { wait: { until: { conditions: [app.new == app.total], within: 1h } } }
        expect: 5m
        reversibility: free
      - id: caches
        title: Keep the old address in service until the last cached answer has run out
        action: { wait: { for: 1h } }
        expect: 1h
        reversibility: free
"#;
    const RIGHTS: &'static str =
        "None. The authoritative servers and the resolvers must answer queries from this machine over UDP and TCP.";

    fn fields() -> Vec<Field> {
        let answers = |fields| Shape::List(Box::new(Shape::Record(fields)));
        let authoritative = vec![
            Field::new("server", Shape::Text, "address of the server"),
            Field::new(
                "state",
                Shape::Text,
                "`old`, `new`, `other`, `negative`, `servfail`, `refused`, `timeout` or `lame`",
            ),
            Field::new("values", Shape::Text, "the values it serves"),
            Field::new("ttl", Shape::Int, "TTL that it serves").unit("seconds").null("it did not answer"),
            Field::new("serial", Shape::Int, "serial of the zone's SOA").unit("serial").null("it was not told"),
        ];
        let resolvers = vec![
            Field::new("name", Shape::Text, "the resolver's name in the runbook"),
            Field::new(
                "state",
                Shape::Text,
                "`old`, `new`, `stale`, `other`, `negative`, `servfail`, `refused` or `timeout`",
            ),
            Field::new("fresh", Shape::Bool, "whether it answers with the new values"),
            Field::new("ttl", Shape::Int, "how long it will keep this answer")
                .unit("seconds")
                .null("it did not answer"),
            Field::new("values", Shape::Text, "the values it serves"),
        ];
        vec![
            Field::new("authoritative", answers(authoritative), "each authoritative server's answer"),
            Field::new("resolvers", answers(resolvers), "each resolver's answer"),
            Field::new("authoritative_new", Shape::Bool, "whether every authoritative server serves the new values"),
            Field::new("authoritative_old", Shape::Bool, "whether every authoritative server serves the old values"),
            Field::new("ttl", Shape::Int, "largest TTL that an authoritative server serves")
                .unit("seconds")
                .null("none of them answered"),
            Field::new("old", Shape::Int, "resolvers that still answer with the old values").unit("resolvers"),
            Field::new("new", Shape::Int, "resolvers that answer with the new values").unit("resolvers"),
            Field::new("unclear", Shape::Int, "resolvers with another answer or none").unit("resolvers"),
            Field::new("total", Shape::Int, "resolvers asked").unit("resolvers"),
            Field::new("max_ttl", Shape::Int, "largest remaining TTL that a resolver holds")
                .unit("seconds")
                .null("one of them does not say"),
        ]
    }
}
