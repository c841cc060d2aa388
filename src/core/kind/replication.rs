//! The `postgres.replication` probe.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{
    CheckContext, Complaint, Curve, ProbeDoc, ProbeSpec, RehearsedChanges, TargetUse, WatchedReplication,
};
use crate::core::ids::{ProbeId, TargetId};
use crate::core::simulate::Change;
use crate::core::value::{Field, Shape, Value};

/// Bytes that a replication never catches up with in a rehearsal while writes go on.
const SOME_BYTES: i64 = 65_536;

/// Replication from one PostgreSQL database to another: bytes and seconds, slot and subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplicationProbe {
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

impl ProbeSpec for ReplicationProbe {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        vec![TargetUse::new(&self.source, "postgres", "source"), TargetUse::new(&self.target, "postgres", "target")]
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn shape(&self) -> Shape {
        Shape::Record(Self::fields())
    }

    fn check(&self, _: &CheckContext<'_>) -> Vec<Complaint> {
        Vec::new()
    }

    fn curves(&self) -> Vec<Curve> {
        vec![Curve { name: "seconds behind".to_owned(), path: "seconds".to_owned() }]
    }

    fn fixed(&self, _: &ProbeId, changes: &RehearsedChanges<'_>) -> Vec<(&'static str, Value)> {
        let stops = |change: &&Change| matches!(change, Change::Fence(target) if *target == self.source);
        if changes.simulated.iter().any(stops) { Vec::new() } else { vec![("bytes", Value::Int(SOME_BYTES))] }
    }

    fn advice(&self, _: &ProbeId, _: &str) -> String {
        format!("say `simulate: [{{ fence: {} }}]` in the action that stops the writes", self.source)
    }

    fn instead_of_setting(&self) -> Option<&'static str> {
        Some("say `replicate`, `follow`, `pause` or `drop`")
    }

    fn replication(&self) -> Option<WatchedReplication<'_>> {
        Some(WatchedReplication { source: &self.source, target: &self.target, logical: self.subscription.is_some() })
    }
}

impl ProbeDoc for ReplicationProbe {
    const EXAMPLE: &'static str = r#"title: Wait until the new database has caught up
targets:
  old: { postgres: { dsn: "host=db.old.example.com user=gonogo dbname=shop" } }
  new: { postgres: { dsn: "host=db.new.example.com user=gonogo dbname=shop" } }
probes:
  lag: { kind: postgres.replication, source: old, target: new, subscription: shop_sub, heartbeat: public.heartbeat }
phases:
  - title: Catch up
    steps:
      - id: caught-up
        title: See that the new database keeps up
        gates:
          - { that: lag.streaming, hold: 5s }
        action: { wait: { until: { conditions: [lag.seconds < 5.0], within: 10m } } }
        expect: 1m
        reversibility: free
"#;
    const RIGHTS: &'static str = "On both databases a role that may log in and is a member of `pg_read_all_stats` (part of `pg_monitor`); \
        with `heartbeat` also SELECT on that table. It only reads.";

    fn fields() -> Vec<Field> {
        vec![
            Field::new(
                "state",
                Shape::Text,
                "`streaming`, `copying`, `disabled`, `broken`, `slot lost`, or `absent` without a subscription",
            ),
            Field::new(
                "streaming",
                Shape::Bool,
                "whether changes flow now: a walsender on the slot and an apply worker",
            ),
            Field::new("bytes", Shape::Int, "WAL on the source that the target has not confirmed")
                .unit("bytes")
                .null("there is no slot, or it has confirmed nothing yet"),
            Field::new("seconds", Shape::Float, "how far the target is behind")
                .unit("seconds")
                .null("it cannot be measured: no heartbeat that moves, and the walsender is idle or gone"),
            Field::new("slot_active", Shape::Bool, "whether somebody reads from the slot"),
            Field::new("wal_status", Shape::Text, "`reserved`, `extended`, `unreserved` or `lost`")
                .null("there is no slot, or the source is older than PostgreSQL 13"),
            Field::new("retained_bytes", Shape::Int, "WAL that the slot keeps on the source's disk")
                .unit("bytes")
                .null("there is no slot"),
            Field::new("tables", Shape::Int, "tables in the subscription; 0 for physical replication").unit("tables"),
            Field::new("tables_ready", Shape::Int, "tables whose first copy is complete").unit("tables"),
            Field::new("apply_errors", Shape::Int, "errors that the subscription has counted")
                .unit("errors")
                .null("the target is older than PostgreSQL 15, or there is no subscription"),
            Field::new(
                "oldest_transaction_s",
                Shape::Float,
                "age of the oldest open transaction on the source; 0 without one",
            )
            .unit("seconds")
            .null("the role is not a member of `pg_read_all_stats`"),
        ]
    }
}
