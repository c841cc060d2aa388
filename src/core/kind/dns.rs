//! The `dns` probe.

pub mod answer;
pub mod delegation;
mod instances;
mod memory;
pub mod propagation;
mod resolver;
mod share;
mod steadiness;

use std::collections::BTreeMap;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::delegation::Delegation;
use self::share::SHARES;
use super::spec::{CheckContext, Complaint, ProbeDoc, ProbeSpec, RehearsedChanges, TargetUse};
use crate::core::ids::{ProbeId, TargetId};
use crate::core::moves::Moves;
use crate::core::record::{BalancedValues, DnsChange, RecordType, RecordValues, RehearsedRecord, WatchedRecord};
use crate::core::simulate::{Change, Side};
use crate::core::syntax::is_in_zone;
use crate::core::target::Target;
use crate::core::time::Span;
use crate::core::value::{Field, Shape, Value};

/// The fields that are null for ever when the target has no resolvers.
pub const OF_RESOLVERS: [&str; 8] =
    ["old", "new", "unclear", "total", "fresh_share", "max_ttl", "max_remaining_ttl", "eta"];

/// The other fields that are made of samples of what servers say.
pub const SAMPLED: [&str; 6] =
    ["resolvers", "authoritative", "authoritative_new", "authoritative_old", "aaaa_left_behind", "ttl"];

/// The fields that are null for ever when only a share of the answers is to be new: a resolver keeps one answer for its whole
/// TTL, so its answers show no share.
pub const WITHOUT_SHARE: [&str; 5] = ["old", "new", "fresh_share", "max_remaining_ttl", "eta"];

/// Servers that are named where they keep something from being known.
const NAMED: usize = 3;
/// How the note of a server begins that fails now and then.
const SOMETIMES: &str = "some of its answers are ";

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
    /// Values before the change: all of a list, or for a balanced name `{ one_of: […] }` or `{ within: […] }`, where every value of
    /// an answer is in the list or every address in one of the networks.
    pub old: RecordValues,
    /// Values after the change, in the same forms.
    pub new: RecordValues,
    /// The AAAA records of the same name, for a probe of type `A`: a server then counts as new only when both are, since
    /// customers with IPv6 follow AAAA. Without it, `aaaa_left_behind` is true when a server serves the new addresses and any
    /// AAAA beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aaaa: Option<AaaaValues>,
    /// How many questions each server is asked at every measurement, each from a port of its own: behind one address
    /// there may be several machines, and a question reaches one of them.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 20))]
    pub samples: u8,
    /// The largest TTL that the old values had before the run begins. It counts for `worst_case` from the moment the
    /// probe starts for the first time; without it, only TTLs count that the probe has seen itself in this run. `resume` goes on
    /// with what readings have recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_ttl: Option<Span>,
    /// What a rehearsal needs to know about the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulate: Option<RehearsedRecord>,
}

/// The AAAA records beside the A records of a name. Either list may be empty, and both are the same when nothing changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AaaaValues {
    /// Values before the change, in the forms of the A records.
    pub old: RecordValues,
    /// Values after the change.
    pub new: RecordValues,
}

impl AaaaValues {
    /// Whether they are to be others after the change.
    pub fn change(&self) -> bool {
        self.old.expected(str::to_ascii_lowercase) != self.new.expected(str::to_ascii_lowercase)
    }
}

/// What a reading says of one authoritative server.
fn server_fields() -> Vec<Field> {
    vec![
        Field::new("server", Shape::Text, "address of the server"),
        Field::new(
            "state",
            Shape::Text,
            "`old`, `new`, `mixed` (old and new values together, or now the one and now the other: something else came after a \
                 new answer, and fewer than 60 in a row have been new since), `other`, `negative` (no such name or record), \
                 `servfail`, `refused`, `formerr`, `notimp` or another response code by its name, `lame` (not authoritative for the zone), \
                 `delegated` (the zone delegates the name to others; of them, it says the NS records), `invalid` (an answer \
                 that makes no sense), `unasked` (for want of something on this machine), `waiting` or `timeout`",
        ),
        Field::new("values", Shape::Text, "the values it serves"),
        Field::new("ttl", Shape::Int, "largest TTL on the way from the name to the values")
            .unit("seconds")
            .null("it says nothing about the record"),
        Field::new("share", Shape::Float, "share of its newest answers that were new, from 0 to 1")
            .null("`new` has no `share`, or it has not answered yet"),
        Field::new("aaaa", Shape::Text, "the AAAA values it serves beside those of type A; empty when there are none"),
        Field::new("serial", Shape::Int, "serial of the zone's SOA").unit("serial").null("it was not given"),
        Field::new("age", Shape::Int, "how long ago the question of its newest answer was asked")
            .unit("seconds")
            .null("it has not answered yet"),
        Field::new("note", Shape::Text, "what else it said, such as an extended error, or why there is no answer"),
        Field::new("instance", Shape::Text, "the instance that answered (NSID), when it is given"),
    ]
}

/// What is wrong with the values of a balanced name at `path`.
fn nonsense(path: &[&str], values: &RecordValues, of: RecordType) -> Vec<Complaint> {
    let RecordValues::Balanced(balanced) = values else { return Vec::new() };
    let mut found = Vec::new();
    let label = "expected `one_of` or `within`";
    match (&balanced.one_of, &balanced.within) {
        (Some(_), Some(_)) => found.push(Complaint::value(path, "there are two ways to give balanced values", label)),
        (None, None) => found.push(Complaint::value(path, "nothing says what the balanced values are", label)),
        _ => {}
    }
    for (place, network) in values.networks().iter().enumerate() {
        let place = place.to_string();
        let at = [path, &["within", &place]].concat();
        let fits = match network.parse::<IpNet>() {
            Ok(IpNet::V4(_)) => of == RecordType::A,
            Ok(IpNet::V6(_)) => of == RecordType::Aaaa,
            Err(_) => {
                let label = "expected something like `203.0.113.0/24`";
                found.push(Complaint::value(&at, format!("`{network}` is not a network"), label));
                continue;
            }
        };
        if !fits {
            let message = format!("no value of {} records lies in `{network}`", of.as_str());
            found.push(Complaint::value(&at, message, "expected a network of such addresses"));
        }
    }
    found
}

fn three() -> u8 {
    3
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
        let plain = |values: &RecordValues| values.expected(|value| self.record_type.plain(value));
        match plain(&self.old).overlap(&plain(&self.new)) {
            Some(_) if plain(&self.old) == plain(&self.new) => {
                let message = "old and new are the same, so they cannot be told apart";
                found.push(Complaint::value(&["new"], message, "expected other values"));
            }
            Some(both) => {
                let message = format!("an answer with {both} would be old and new at once");
                found.push(Complaint::value(&["new"], message, "expected values that are not among the old ones"));
            }
            None => {}
        }
        for (key, values) in [("old", &self.old), ("new", &self.new)] {
            found.extend(nonsense(&[key], values, self.record_type));
            let given = [values.named(), values.networks()];
            let says = !matches!(values, RecordValues::Balanced(BalancedValues { one_of: None, within: None, .. }));
            if says && given.iter().all(|given| given.is_empty()) {
                found.push(Complaint::value(&[key], format!("`{key}` is empty"), "expected at least one element"));
            }
        }
        if let Some(share) = self.new.share() {
            if !SHARES.contains(&share) {
                let message = format!("a share of {share} cannot be told from none or all by a few answers");
                found.push(Complaint::value(&["new", "share"], message, "expected 0.05 to 0.95"));
            }
            if self.aaaa.is_some() {
                let message = "a share is judged of A alone";
                found.push(Complaint::key(&["aaaa"], message, "expected no `aaaa` beside a `share`"));
            }
        }
        let whole = [(&["old"][..], Some(&self.old)), (&["aaaa", "old"], self.aaaa.as_ref().map(|aaaa| &aaaa.old))];
        let beside = (&["aaaa", "new"][..], self.aaaa.as_ref().map(|aaaa| &aaaa.new));
        for (path, values) in whole.into_iter().chain([beside]) {
            if values.is_some_and(|values| values.share().is_some()) {
                let message = "only the new values of the record itself can have a share";
                found.push(Complaint::value(&[path, &["share"]].concat(), message, "expected no share here"));
            }
        }
        if let Some(aaaa) = &self.aaaa {
            found.extend(nonsense(&["aaaa", "old"], &aaaa.old, RecordType::Aaaa));
            found.extend(nonsense(&["aaaa", "new"], &aaaa.new, RecordType::Aaaa));
        }
        if self.aaaa.is_some() && self.record_type != RecordType::A {
            let label = "expected a probe of type `A`";
            found.push(Complaint::key(&["aaaa"], "`aaaa` stands beside A records only", label));
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
        let updated = |of: RecordType, new: &RecordValues| {
            let new = new.expected(str::to_owned);
            let to_new = |change: &DnsChange| {
                (change.record_type, &change.name) == (of, &self.name) && change.to.iter().all(|value| new.has(value))
            };
            changes.records.iter().any(|records| records.changes.iter().any(to_new))
        };
        let is_pointed =
            |change: &&Change| matches!(change, Change::Point(point) if point.record == *id && point.to == Side::New);
        let pointed = changes.simulated.iter().any(is_pointed);
        let moves = pointed || updated(self.record_type, &self.new);
        let aaaa = self.aaaa.as_ref().filter(|aaaa| aaaa.change());
        let aaaa_moves = aaaa.is_some_and(|aaaa| pointed || updated(RecordType::Aaaa, &aaaa.new));
        if moves && (aaaa.is_none() || aaaa_moves) {
            return Vec::new();
        }
        let mut fixed = vec![
            ("authoritative_new", Value::Bool(false)),
            ("new", Value::Int(0)),
            // How many there are does not matter: some, and none of them new.
            ("total", Value::Int(1)),
        ];
        if !moves && !aaaa_moves {
            fixed.push(("authoritative_old", Value::Bool(true)));
        }
        fixed
    }

    fn advice(&self, id: &ProbeId, _: &str) -> String {
        format!("say `simulate: [{{ point: {{ record: {id}, to: new }} }}]` in the action that changes the record")
    }

    fn instead_of_setting(&self) -> Option<&'static str> {
        Some("say `point`")
    }

    fn kept_unknown_by(&self, field: &str, reading: &Value) -> Option<String> {
        let (list, name) =
            if OF_RESOLVERS.contains(&field) { ("resolvers", "name") } else { ("authoritative", "server") };
        let word = |server: &Value, field: &str| server.at(field).and_then(Value::text).map(str::to_owned);
        let says_nothing = |server: &Value| {
            let (who, state) = (word(server, name)?, word(server, "state")?);
            let tells = ["old", "new", "mixed", "stale", "other", "negative"].contains(&state.as_str());
            let note = word(server, "note").filter(|note| !note.is_empty());
            let why = note.map_or_else(String::new, |note| format!(" ({note})"));
            (!tells || word(server, "note").is_some_and(|note| note.starts_with(SOMETIMES)))
                .then(|| format!("{who}: {state}{why}"))
        };
        let silent: Vec<String> = reading.at(list)?.list()?.iter().filter_map(says_nothing).collect();
        let more = silent.len().saturating_sub(NAMED);
        let named = silent.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!silent.is_empty()).then(|| named + &more)
    }

    fn moves(&self, value: &Value) -> BTreeMap<String, Moves> {
        Moves::of(value, "server_changes").map(|moves| (String::new(), moves)).into_iter().collect()
    }

    fn record(&self) -> Option<WatchedRecord<'_>> {
        Some(WatchedRecord {
            target: &self.target,
            name: &self.name,
            record_type: self.record_type,
            old: &self.old,
            new: &self.new,
            aaaa: self.aaaa.as_ref().map(|aaaa| (&aaaa.old, &aaaa.new)),
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
      resolvers: { quad: "9.9.9.9", office: "198.51.100.53", here: system }
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
          - { that: app.authoritative_new && !app.aaaa_left_behind, hold: 10s, within: 2m }
        undo:
          dns.update:
            target: zone
            changes: [{ name: app.example.com, from: ["198.51.100.10"], to: ["192.0.2.10"], ttl: 60 }]
        reversibility: lossless
        expect: 30s
      - id: propagated
        title: Wait for the resolvers
        needs: [move-record]
        action: { wait: { until: { conditions: [app.new == app.total], hold: 10s, within: 1h } } }
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
        let authoritative = server_fields();
        let resolvers = vec![
            Field::new(
                "name",
                Shape::Text,
                "the resolver's name in the runbook, and its address when `system` stands for several",
            ),
            Field::new(
                "state",
                Shape::Text,
                "as of an authoritative server, and `stale` (an answer past its time, or a TTL that does not count down), \
                 `bogus` (a signature is not good), `untrusted` (its certificate is not good, so it was not asked), `unconfigured` (`system`, and this machine's configuration names no server); \
                 `mixed` when its caches do not agree",
            ),
            Field::new("fresh", Shape::Bool, "whether it answers with the new values").null("it gives no answer"),
            Field::new("ttl", Shape::Int, "how long it will keep this answer")
                .unit("seconds")
                .null("it does not say, or cannot be relied on"),
            Field::new("values", Shape::Text, "the values it serves"),
            Field::new("age", Shape::Int, "how long ago the question of its newest answer was asked")
                .unit("seconds")
                .null("it has not answered yet"),
            Field::new("eta", Shape::Int, "time until it is expected to be new; 0 when it is")
                .unit("seconds")
                .null("not every authoritative server is new, or the TTL it gives cannot be relied on"),
            Field::new("flips", Shape::Int, "how often one answer has said something else than the one before").unit("times"),
            Field::new("flipped", Shape::Int, "how long ago it last did").unit("seconds").null("it never has"),
            Field::new("samples", Shape::Int, "how many of its newest answers it is judged by, at most 60").unit("answers"),
            Field::new("share", Shape::Float, "share of those answers that were new, from 0 to 1")
                .null("it gives no answer"),
            Field::new(
                "old_share_bound",
                Shape::Float,
                "largest share of the caches behind its address that may still hold something else, with a confidence of \
                 95 %: 3 divided by the number of answers in a row that were new, where answers over one connection (TLS) count as one",
            )
            .null("its newest answer is not new"),
            Field::new("note", Shape::Text, "what else it said, such as an extended error, or why there is no answer"),
            Field::new("instance", Shape::Text, "the instance that answered (NSID), when it is given"),
        ];
        let none = "the target has no resolvers";
        vec![
            Field::new("authoritative", answers(authoritative), "each authoritative server's answer"),
            Field::new("resolvers", answers(resolvers), "each resolver's answer").null(none),
            Field::new("authoritative_new", Shape::Bool, "whether every authoritative server serves the new values")
                .null("one of them is silent and no other serves anything else"),
            Field::new("authoritative_old", Shape::Bool, "whether every authoritative server serves the old values")
                .null("one of them is silent and no other serves anything else"),
            Field::new("ttl", Shape::Int, "largest TTL that an authoritative server serves")
                .unit("seconds")
                .null("one of them does not say"),
            Field::new("old", Shape::Int, "resolvers with an old value in an answer that they still keep")
                .unit("resolvers")
                .null("one of them is unclear, the target has none, or `new` has a `share`"),
            Field::new("new", Shape::Int, "resolvers that answer with the new values")
                .unit("resolvers")
                .null("none of them is new and one is unclear, the target has none, or `new` has a `share`"),
            Field::new("unclear", Shape::Int, "resolvers with another answer or none").unit("resolvers").null(none),
            Field::new("total", Shape::Int, "resolvers asked").unit("resolvers").null(none),
            Field::new("fresh_share", Shape::Float, "share of the resolvers that answer with the new values, from 0 to 1")
                .null("one of them gives no answer, the target has none, or `new` has a `share`"),
            Field::new("max_ttl", Shape::Int, "largest remaining TTL that a resolver holds")
                .unit("seconds")
                .null("one of them does not say or cannot be relied on, or the target has none"),
            Field::new("max_remaining_ttl", Shape::Int, "longest time that a resolver keeps what is not new; 0 when all are")
                .unit("seconds")
                .null("one of them does not say or cannot be relied on, the target has none, or `new` has a `share`"),
            Field::new("eta", Shape::Int, "time until every resolver is expected to be new; 0 when they are")
                .unit("seconds")
                .null("it is not known of one of them, the target has none, or `new` has a `share`"),
            Field::new(
                "server_changes",
                Shape::Int,
                "how often somebody else has answered than before: another instance (NSID) of a server, or other servers that `system` \
                 stands for. A hold begins anew then; where several instances take turns, one of them is nobody else",
            )
            .unit("changes"),
            Field::new("moved", Shape::Text, "the newest such change; empty when there was none"),
            Field::new("switched", Shape::Int, "how long ago the last authoritative server was seen to serve the new values")
                .unit("seconds")
                .null("not every authoritative server is new"),
            Field::new("old_ttl", Shape::Int, "TTL with which anything but the new values was last served, the largest of all authoritative servers")
                .unit("seconds")
                .null("none of them was seen to serve anything else"),
            Field::new(
                "old_kept",
                Shape::Int,
                "time for which a cache that keeps to the TTL may still keep anything but the new values that an authoritative \
                 server was seen to serve: the old values, wrong ones, or that there are none",
            )
            .unit("seconds")
            .null("none of them was seen to serve anything else, and the probe has no `old_ttl`"),
            Field::new(
                "worst_case",
                Shape::Int,
                "time until every cache that keeps to the TTL is new, also those that nobody asks: the moment when the last \
                 authoritative server was seen to serve the new values, and the TTL of whatever it served before since the run began \
                 (old values, wrong ones, or the time for which it may be kept that there are none), whoever was at the cockpit",
            )
            .unit("seconds")
            .null("not every authoritative server is new, or it was not seen how long the old values may be kept"),
            Field::new("old_ttl_expired", Shape::Bool, "whether that time is over")
                .null("it is not known"),
            Field::new(
                "aaaa_left_behind",
                Shape::Bool,
                "whether an authoritative server serves the new A records with AAAA records that are not those after the change",
            )
            .null("none does, and one of them is silent, or the probe's type is not A"),
            Field::new(
                "authoritative_missing",
                Shape::List(Box::new(Shape::Text)),
                "servers of the zone that the target's `authoritative` lacks, each as `name address`",
            )
            .null("none was found, and not all of them are known, or the target has no `lookup`"),
            Field::new("delegation", Shape::Record(Delegation::fields()), "whom the zone is delegated to, looked up once a minute"),
        ]
    }
}
