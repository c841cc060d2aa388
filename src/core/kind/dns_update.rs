//! The `dns.update` action.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{ActionDoc, ActionSpec, CheckContext, Complaint, DnsMention, TargetUse};
use crate::core::ids::TargetId;
use crate::core::record::{DnsChange, RecordChanges, RecordType};
use crate::core::syntax::is_in_zone;
use crate::core::target::{self, Target};
use crate::core::time::Span;

/// A dynamic update of a DNS zone (RFC 2136): changes records of one zone, all at once or none.
///
/// What goes is deleted before anything is added. `from: []` asks for a name that is no alias, too. Servers leave out what the rules of DNS
/// forbid and answer that all is done, so the record sets are looked at afterwards: the step has failed when nothing has changed,
/// and is in doubt when only a part has, or when the server does not tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DnsUpdateAction {
    /// The `dns` target; the update goes to its first authoritative server, signed with its TSIG key.
    pub target: TargetId,
    /// What changes.
    #[schemars(length(min = 1))]
    pub changes: Vec<DnsChange>,
    /// Longest time for the exchange. 30s when absent.
    #[serde(default = "thirty_seconds")]
    pub limit: Span,
}

fn thirty_seconds() -> Span {
    Span::secs(30)
}

impl ActionSpec for DnsUpdateAction {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        vec![TargetUse::new(&self.target, "dns", "target")]
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn limit(&self) -> Span {
        self.limit
    }

    fn preview(&self, targets: &BTreeMap<TargetId, Target>) -> Vec<String> {
        let mut lines = vec![format!("update {} at once, all or nothing:", target::place(&self.target, targets))];
        for change in &self.changes {
            let name = format!("{} {}", change.name, change.record_type.as_str());
            lines.push(format!("  - {name} {}", change.from.join(" ")));
            lines.push(format!("  + {name} {}  ttl {}", change.to.join(" "), change.ttl));
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
        let Some(Target::Dns(zone)) = context.target(&self.target) else { return Vec::new() };
        let mut found = Vec::new();
        for (at, change) in self.changes.iter().enumerate() {
            let at = at.to_string();
            if !is_in_zone(&change.name, &zone.zone) {
                let label = format!("expected a name in the zone {}", zone.zone);
                found.push(Complaint::value(&["changes", &at, "name"], "the name is not in the target's zone", label));
            }
            if change.from.is_empty() && change.to.is_empty() {
                let label = "expected values in `from` or `to`";
                found.push(Complaint::value(&["changes", &at], "the change does nothing", label));
            }
        }
        found.extend(impossible(&self.changes, &zone.zone));
        found
    }

    fn records(&self) -> Option<RecordChanges<'_>> {
        Some(RecordChanges { target: &self.target, changes: Cow::Borrowed(&self.changes) })
    }

    fn mentions(&self) -> Vec<DnsMention<'_>> {
        let mut found = Vec::new();
        for (at, change) in self.changes.iter().enumerate() {
            let at = at.to_string();
            let path = |key| ["changes", at.as_str(), key];
            found.push(DnsMention::name(&change.name, &path("name")));
            if change.record_type == RecordType::Soa {
                found.push(DnsMention::unchangeable(&path("type")));
                continue;
            }
            found.push(DnsMention::values(change.record_type, &change.from, &path("from")));
            found.push(DnsMention::values(change.record_type, &change.to, &path("to")));
        }
        found
    }
}

/// What no zone can be afterwards (RFC 1034 §3.6.2): an alias has one value, and nothing beside it. Servers leave such records out and
/// say that all is done.
fn impossible(changes: &[DnsChange], zone: &str) -> Vec<Complaint> {
    let same = |a: &str, b: &str| a.trim_end_matches('.').eq_ignore_ascii_case(b.trim_end_matches('.'));
    let mut found = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        let place = at.to_string();
        let others = || changes.iter().take(at).filter(|other| same(&other.name, &change.name));
        if others().any(|other| other.record_type == change.record_type) {
            let label = "expected each record set once";
            found.push(Complaint::value(&["changes", &place], "an earlier change is of the same record set", label));
        }
        let is_alias = |change: &DnsChange| change.record_type == RecordType::Cname;
        let remains = |change: &DnsChange| !change.to.is_empty();
        for (key, values) in [("from", &change.from), ("to", &change.to)] {
            if is_alias(change) && values.len() > 1 {
                let label = "expected one value";
                found.push(Complaint::value(&["changes", &place, key], "a name is an alias of one other name", label));
            }
        }
        if is_alias(change) && remains(change) && same(&change.name, zone) {
            let label = "expected a name below the zone: SOA and NS stand beside it here";
            found.push(Complaint::value(&["changes", &place, "type"], "the zone's own name cannot be an alias", label));
        }
        let beside = |other: &DnsChange| remains(other) && is_alias(other) != is_alias(change);
        if remains(change) && others().any(beside) {
            let label = "expected that one of them goes: `to: []`";
            found.push(Complaint::value(&["changes", &place, "to"], "nothing can be beside an alias", label));
        }
    }
    found
}

impl ActionDoc for DnsUpdateAction {
    const EXAMPLE: &'static str = r#"title: Shorten the TTL before the move
secrets:
  dns_key: { env: GONOGO_DNS_KEY }
targets:
  zone:
    dns:
      zone: example.com
      authoritative: ["192.0.2.53"]
      tsig: { name: gonogo, secret: "{{ secrets.dns_key }}" }
probes:
  app: { kind: dns, target: zone, name: app.example.com, old: ["192.0.2.10"], new: ["198.51.100.10"] }
phases:
  - title: Prepare
    steps:
      - id: shorten
        title: Shorten the TTL
        action:
          dns.update:
            target: zone
            changes: [{ name: app.example.com, from: ["192.0.2.10"], to: ["192.0.2.10"], ttl: 60 }]
        verify:
          - { that: app.ttl <= 60, hold: 10s, within: 2m }
        undo:
          dns.update:
            target: zone
            changes: [{ name: app.example.com, from: ["192.0.2.10"], to: ["192.0.2.10"], ttl: 3600 }]
        reversibility: lossless
        expect: 10s
"#;
    const RIGHTS: &'static str = "A TSIG key that the first authoritative server lets update these names and types.";
}
