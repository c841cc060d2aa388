//! Probes: what is looked at, how often, and the shape of what comes back.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::action::CommandLine;
use super::ids::TargetId;
use super::simulate::Simulated;
use super::time::Span;
use super::value::{Field, FieldType, Shape};

/// A probe as a runbook declares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// What is looked at.
    #[serde(flatten)]
    pub kind: ProbeKind,
    /// Time from the start of one measurement to the start of the next. 1s when absent.
    #[serde(default = "default_every")]
    pub every: Span,
    /// Longest a single measurement may take before it counts as failed. 5s when absent.
    #[serde(default = "default_limit")]
    pub limit: Span,
    /// Heading on the screen; the probe's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

fn default_every() -> Span {
    Span::secs(1)
}

fn default_limit() -> Span {
    Span::secs(5)
}

impl Probe {
    /// Age from which a reading is stale and no longer opens a gate: two intervals, at least two seconds.
    pub fn stale_after(&self) -> Span {
        Span(self.every.0.saturating_mul(2).max(2_000))
    }

    /// Age from which a number is not shown at all: five intervals, at least five seconds.
    pub fn gone_after(&self) -> Span {
        Span(self.every.0.saturating_mul(5).max(5_000))
    }
}

/// Fields of our own with their types, and what is said about them for a rehearsal.
pub type OwnFields<'p> = (&'p BTreeMap<String, FieldType>, &'p BTreeMap<String, Simulated>);

/// The kinds of probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
pub enum ProbeKind {
    /// Replication from one PostgreSQL database to another: bytes and seconds, slot and subscription.
    #[serde(rename = "postgres.replication")]
    Replication(Replication),
    /// What authoritative servers and resolvers answer for one record: old, new or something else.
    #[serde(rename = "dns")]
    Dns(DnsProbe),
    /// Latency and status of one or more HTTP endpoints, asked in turn so that they can be compared. Statuses of 400
    /// and above are errors, as is no answer within the limit; a redirect is an answer and not followed.
    #[serde(rename = "http")]
    Http(HttpProbe),
    /// Fields of a JSON document behind an HTTP address.
    #[serde(rename = "http.json")]
    HttpJson(HttpJsonProbe),
    /// One row of an SQL query.
    #[serde(rename = "sql")]
    Sql(SqlProbe),
    /// JSON printed by a command.
    #[serde(rename = "command")]
    Command(CommandProbe),
    /// Whether a TCP connection opens.
    #[serde(rename = "tcp")]
    Tcp(TcpProbe),
}

/// Replication between two databases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replication {
    /// The `postgres` target that is copied from.
    pub source: TargetId,
    /// The `postgres` target that is copied to.
    pub target: TargetId,
    /// Logical replication: name of the subscription on the target. Physical replication when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Name of the replication slot on the source. The subscription's own name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// A replicated table `(id text primary key, n bigint, …)` whose rows show how late the target is. The
    /// probe only reads it. Without it, seconds come from the walsender and are `null` while it is idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<String>,
}

/// One record as the world sees it.
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
}

/// Record types the cockpit compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// IPv4 address.
    #[default]
    A,
    /// IPv6 address.
    Aaaa,
    /// Alias.
    Cname,
    /// Text.
    Txt,
}

impl RecordType {
    /// The type's mnemonic.
    pub fn as_str(self) -> &'static str {
        match self {
            RecordType::A => "A",
            RecordType::Aaaa => "AAAA",
            RecordType::Cname => "CNAME",
            RecordType::Txt => "TXT",
        }
    }
}

/// Latency of endpoints asked in turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpProbe {
    /// The sides to compare, by name (`old`, `new`): each is an `http` target.
    pub sides: BTreeMap<String, TargetId>,
    /// Path asked on every side.
    #[serde(default = "default_path")]
    pub path: String,
    /// How many of the newest answers on each side the figures are made of. 120 when absent.
    #[serde(default = "default_window")]
    pub window: u32,
}

impl HttpProbe {
    /// Whether an answer with this HTTP status counts as failed: customers are turned away by a 404 as by a 500.
    pub fn fails(status: u16) -> bool {
        status >= 400
    }
}

fn default_path() -> String {
    "/".to_owned()
}

fn default_window() -> u32 {
    120
}

/// Fields of a JSON document over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpJsonProbe {
    /// The `http` target.
    pub target: TargetId,
    /// Path of the document.
    #[serde(default = "default_path")]
    pub path: String,
    /// The top-level fields that expressions may use, with their types.
    pub fields: BTreeMap<String, FieldType>,
    /// Where fields come from in a rehearsal; from the runbook's own conditions when absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub simulate: BTreeMap<String, Simulated>,
}

/// One row of a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SqlProbe {
    /// The `postgres` target.
    pub target: TargetId,
    /// A query that returns one row. It runs in a read-only transaction.
    pub query: String,
    /// The columns that expressions may use, with their types.
    pub fields: BTreeMap<String, FieldType>,
    /// Where fields come from in a rehearsal; from the runbook's own conditions when absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub simulate: BTreeMap<String, Simulated>,
}

/// JSON from a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommandProbe {
    /// What to run. It prints one JSON object on its standard output.
    pub run: CommandLine,
    /// Environment variables added for the command.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The top-level fields that expressions may use, with their types.
    pub fields: BTreeMap<String, FieldType>,
    /// Where fields come from in a rehearsal; from the runbook's own conditions when absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub simulate: BTreeMap<String, Simulated>,
}

/// A TCP connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TcpProbe {
    /// `host:port`.
    pub address: String,
}

fn declared(fields: &BTreeMap<String, FieldType>) -> Shape {
    Shape::Record(fields.iter().map(|(name, &of)| Field::new(name, of.into(), "declared in the runbook")).collect())
}

fn list_of(fields: Vec<Field>) -> Shape {
    Shape::List(Box::new(Shape::Record(fields)))
}

impl ProbeKind {
    /// The kind's name in runbooks.
    pub fn name(&self) -> &'static str {
        match self {
            ProbeKind::Replication(_) => "postgres.replication",
            ProbeKind::Dns(_) => "dns",
            ProbeKind::Http(_) => "http",
            ProbeKind::HttpJson(_) => "http.json",
            ProbeKind::Sql(_) => "sql",
            ProbeKind::Command(_) => "command",
            ProbeKind::Tcp(_) => "tcp",
        }
    }

    /// Targets this probe uses, with the kind each must have.
    pub fn targets(&self) -> Vec<(&TargetId, &'static str)> {
        match self {
            ProbeKind::Replication(probe) => {
                vec![(&probe.source, "postgres"), (&probe.target, "postgres")]
            }
            ProbeKind::Dns(probe) => vec![(&probe.target, "dns")],
            ProbeKind::Http(probe) => probe.sides.values().map(|side| (side, "http")).collect(),
            ProbeKind::HttpJson(probe) => vec![(&probe.target, "http")],
            ProbeKind::Sql(probe) => vec![(&probe.target, "postgres")],
            ProbeKind::Command(_) | ProbeKind::Tcp(_) => Vec::new(),
        }
    }

    /// Fields of our own with their types and what the runbook says about them for a rehearsal.
    pub fn own_fields(&self) -> Option<OwnFields<'_>> {
        match self {
            ProbeKind::HttpJson(probe) => Some((&probe.fields, &probe.simulate)),
            ProbeKind::Sql(probe) => Some((&probe.fields, &probe.simulate)),
            ProbeKind::Command(probe) => Some((&probe.fields, &probe.simulate)),
            ProbeKind::Replication(_) | ProbeKind::Dns(_) | ProbeKind::Http(_) | ProbeKind::Tcp(_) => None,
        }
    }

    /// The shape every good reading of this probe has. The live and simulated worlds must produce exactly this.
    pub fn shape(&self) -> Shape {
        match self {
            ProbeKind::Replication(_) => replication_shape(),
            ProbeKind::Dns(_) => dns_shape(),
            ProbeKind::Http(probe) => Shape::Record(
                probe.sides.keys().map(|side| Field::new(side, http_side_shape(), "figures of this side")).collect(),
            ),
            ProbeKind::HttpJson(probe) => declared(&probe.fields),
            ProbeKind::Sql(probe) => declared(&probe.fields),
            ProbeKind::Command(probe) => declared(&probe.fields),
            ProbeKind::Tcp(_) => Shape::Record(vec![
                Field::new("open", Shape::Bool, "whether the connection opened"),
                Field::new("connect_ms", Shape::Float, "milliseconds until it was open; null when it was not"),
            ]),
        }
    }
}

fn replication_shape() -> Shape {
    Shape::Record(vec![
        Field::new(
            "state",
            Shape::Text,
            "`streaming`, `copying`, `disabled`, `broken`, `slot lost`, or `absent` without a subscription",
        ),
        Field::new("streaming", Shape::Bool, "whether changes flow now: a walsender on the slot and an apply worker"),
        Field::new("bytes", Shape::Int, "bytes of WAL on the source that the target has not confirmed"),
        Field::new("seconds", Shape::Float, "seconds the target is behind; null when nothing tells"),
        Field::new("slot_active", Shape::Bool, "whether somebody reads from the slot"),
        Field::new("wal_status", Shape::Text, "`reserved`, `extended`, `unreserved` or `lost`"),
        Field::new("retained_bytes", Shape::Int, "bytes of WAL the slot keeps on the source's disk"),
        Field::new("tables", Shape::Int, "tables in the subscription"),
        Field::new("tables_ready", Shape::Int, "tables whose first copy is complete"),
        Field::new("apply_errors", Shape::Int, "errors counted by the subscription; null before PostgreSQL 15"),
        Field::new(
            "oldest_transaction_s",
            Shape::Float,
            "age in seconds of the oldest open transaction on the source; 0 without one, null for a role without pg_read_all_stats",
        ),
    ])
}

fn dns_shape() -> Shape {
    Shape::Record(vec![
        Field::new(
            "authoritative",
            list_of(vec![
                Field::new("server", Shape::Text, "address of the server"),
                Field::new(
                    "state",
                    Shape::Text,
                    "`old`, `new`, `other`, `negative`, `servfail`, `refused`, `timeout` or `lame`",
                ),
                Field::new("values", Shape::Text, "the values it serves"),
                Field::new("ttl", Shape::Int, "TTL in seconds; null without an answer"),
                Field::new("serial", Shape::Int, "serial of the zone's SOA; null when not told"),
            ]),
            "each authoritative server's answer",
        ),
        Field::new(
            "resolvers",
            list_of(vec![
                Field::new("name", Shape::Text, "the resolver's name in the runbook"),
                Field::new(
                    "state",
                    Shape::Text,
                    "`old`, `new`, `stale`, `other`, `negative`, `servfail`, `refused` or `timeout`",
                ),
                Field::new("fresh", Shape::Bool, "whether it answers with the new values"),
                Field::new("ttl", Shape::Int, "seconds it will keep this answer; null without one"),
                Field::new("values", Shape::Text, "the values it serves"),
            ]),
            "each resolver's answer",
        ),
        Field::new("authoritative_new", Shape::Bool, "whether every authoritative server serves the new values"),
        Field::new("authoritative_old", Shape::Bool, "whether every authoritative server serves the old values"),
        Field::new("ttl", Shape::Int, "largest TTL in seconds any authoritative server serves; null without an answer"),
        Field::new("old", Shape::Int, "resolvers that still answer with the old values"),
        Field::new("new", Shape::Int, "resolvers that answer with the new values"),
        Field::new("unclear", Shape::Int, "resolvers with another answer or none"),
        Field::new("total", Shape::Int, "resolvers asked"),
        Field::new(
            "max_ttl",
            Shape::Int,
            "largest remaining TTL in seconds any resolver holds; null while one of them does not say",
        ),
    ])
}

fn http_side_shape() -> Shape {
    Shape::Record(vec![
        Field::new("p50", Shape::Float, "median milliseconds over the window; null before the first answer"),
        Field::new("p95", Shape::Float, "95th percentile in milliseconds"),
        Field::new("p99", Shape::Float, "99th percentile in milliseconds"),
        Field::new("last", Shape::Float, "milliseconds of the newest request"),
        Field::new(
            "errors",
            Shape::Float,
            "share of failed requests in the window, 0 to 1: statuses of 400 and above, and no answer; null before the first answer",
        ),
        Field::new("samples", Shape::Int, "answers in the window"),
        Field::new("status", Shape::Int, "HTTP status of the newest answer; null without one"),
        Field::new("failure", Shape::Text, "why the newest request failed; empty when it did not"),
    ])
}
