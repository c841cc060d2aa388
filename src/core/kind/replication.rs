//! The `postgres.replication` probe.

mod trend;

pub use trend::ShrinkingTrend;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{
    CheckContext, Complaint, Curve, ProbeDoc, ProbeSpec, RehearsedChanges, TargetUse, WatchedReplication,
};
use crate::core::ids::{ProbeId, TargetId};
use crate::core::simulate::Change;
use crate::core::target::Target;
use crate::core::value::{Field, Shape, Value};

/// How a replication stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplicationState {
    /// Every change of every table arrives.
    Streaming,
    /// The first copy of a table runs.
    Copying,
    /// A table is published and not subscribed, or subscribed and no longer published.
    Incomplete,
    /// Switched off on purpose.
    Disabled,
    /// Switched off by the server, since a change could not be applied.
    DisabledByError,
    /// Nobody sends, or nobody applies.
    Broken,
    /// The slot is gone, so that what is written now never arrives.
    SlotLost,
    /// The slot is another than before, so that what was written in between never arrives.
    SlotMadeAgain,
    /// Somebody else than the subscription has moved its slot or its origin, so that what was written in between never
    /// arrives.
    SlotMoved,
    /// The standby follows another server, or another timeline, than the source.
    AnotherSource,
    /// There is no subscription.
    #[default]
    Absent,
}

impl ReplicationState {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Streaming,
        Self::Copying,
        Self::Incomplete,
        Self::Disabled,
        Self::DisabledByError,
        Self::Broken,
        Self::SlotLost,
        Self::SlotMadeAgain,
        Self::SlotMoved,
        Self::AnotherSource,
        Self::Absent,
    ];

    /// Their words.
    pub const WORDS: [&str; 11] = [
        Self::Streaming.as_str(),
        Self::Copying.as_str(),
        Self::Incomplete.as_str(),
        Self::Disabled.as_str(),
        Self::DisabledByError.as_str(),
        Self::Broken.as_str(),
        Self::SlotLost.as_str(),
        Self::SlotMadeAgain.as_str(),
        Self::SlotMoved.as_str(),
        Self::AnotherSource.as_str(),
        Self::Absent.as_str(),
    ];

    /// The word in readings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Streaming => "streaming",
            Self::Copying => "copying",
            Self::Incomplete => "incomplete",
            Self::Disabled => "disabled",
            Self::DisabledByError => "disabled by an error",
            Self::Broken => "broken",
            Self::SlotLost => "slot lost",
            Self::SlotMadeAgain => "slot made again",
            Self::SlotMoved => "slot moved",
            Self::AnotherSource => "another source",
            Self::Absent => "absent",
        }
    }

    /// The state of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What a reading says of the heartbeat; anything else is why it could not be beaten.
pub mod heartbeat {
    /// Beats arrive.
    pub const BEATS: &str = "beats";
    /// No beat has arrived since the measurement before, though one was written.
    pub const STANDS: &str = "beats do not arrive";
    /// One was written, and none has arrived since somebody began to look.
    pub const AWAITED: &str = "no beat has arrived yet";
    /// Nothing is to carry it over.
    pub const IDLE: &str = "nothing flows";
    /// After `not beaten: ` and the source: a default of its database or role lets nobody write.
    pub const FENCED: &str = "writes are fenced: its transactions are read only by default";
    /// The probe names no table.
    pub const UNNAMED: &str = "no heartbeat table is named";
}

/// Bytes that a replication never catches up with in a rehearsal while writes go on.
const SOME_BYTES: i64 = 65_536;

const INTERRUPTED: &str = "tables that were not published for a while, whose publication had other terms for a moment, or that \
    were made again or subscribed without a copy: what was written meanwhile never arrives, until their next first copy";

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
    /// A replicated table `(id text primary key, n bigint not null)`, with `at timestamptz` if you like, whose rows
    /// show how late the target is. At every measurement the cockpit that drives counts up a row of its own there, on the
    /// source, and looks for it on the target; `gonogo watch` only reads. Without it, nobody knows how many seconds the
    /// target is behind. It respects a fence (`default_transaction_read_only` of the database or the role): behind one,
    /// `seconds` is null, and a drain is judged by a marker that is written behind the fence and looked for on the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<String>,
    /// Whether the cockpit writes to the heartbeat table; `true` when absent. When not, somebody else has to count a row
    /// of it up.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub beat: bool,
}

const fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for it so
const fn is_yes(yes: &bool) -> bool {
    *yes
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

    fn path_warning(&self, path: &str, _: &BTreeMap<TargetId, Target>) -> Option<(String, String)> {
        (self.heartbeat.is_none() && matches!(path, "seconds" | "heartbeat_age_s")).then(|| {
            let message = format!("{path} is never known without a heartbeat, so this is never GO");
            let help = "name a replicated table in the probe's `heartbeat`, or ask for `replay_lag_s`, which knows only of \
                        what was sent";
            (message, help.to_owned())
        })
    }

    fn curves(&self) -> Vec<Curve> {
        vec![Curve { name: "behind".to_owned(), path: "seconds".to_owned(), unit: "s", failure: None }]
    }

    fn fixed(&self, _: &ProbeId, changes: &RehearsedChanges<'_>) -> Vec<(&'static str, Value)> {
        let stops = |change: &&Change| matches!(change, Change::Fence(target) if *target == self.source);
        let bytes = (!changes.simulated.iter().any(stops)).then_some(("bytes", Value::Int(SOME_BYTES)));
        bytes.into_iter().chain([("prepared_transactions", Value::Int(0)), ("sequence_gap", Value::Int(0))]).collect()
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
        with `heartbeat` also SELECT on that table, on the source INSERT and UPDATE as well (not with `beat: false`). Nothing \
        else is written.";

    #[allow(clippy::too_many_lines)] // one entry a field: a table, not an algorithm
    fn fields() -> Vec<Field> {
        vec![
            Field::new(
                "state",
                Shape::Text,
                "`streaming`, `copying` (the first copy of a table runs), `incomplete` (see `tables_missing`), `disabled`, \
                 `disabled by an error`, `broken`, `slot lost` (also one that no subscription can read), `slot made again` (the slot or the subscription was made \
                 again: what was written meanwhile never arrives), `slot moved` (somebody else than the subscription has read \
                 from its slot, or moved it or its origin: the same), `another source` (a standby \
                 that follows another server or timeline, or a slot of another database), or `absent` without a subscription",
            )
            .words(&ReplicationState::WORDS),
            Field::new(
                "streaming",
                Shape::Bool,
                "whether every change arrives: a walsender on the slot and an apply worker, no first copy, no table missing",
            ),
            Field::new("bytes", Shape::Int, "WAL on the source that the target has not confirmed")
                .unit("bytes")
                .null("there is no slot, or it has confirmed nothing yet"),
            Field::new(
                "seconds",
                Shape::Float,
                "how far the target is behind, by the heartbeat and this machine's clock",
            )
            .unit("seconds")
            .null("no beat has arrived since the cockpit began to look, or none was written lately, as behind a fence; `heartbeat` \
                   says why"),
            Field::new(
                "heartbeat",
                Shape::Text,
                "`beats`, `beats do not arrive` (none since the measurement before), or why nothing is known of it",
            ),
            Field::new("heartbeat_age_s", Shape::Float, "how long ago the newest beat was written on the source")
                .unit("seconds")
                .null("none was seen"),
            Field::new("replay_lag_s", Shape::Float, "what the walsender says of the newest change it sent")
                .unit("seconds")
                .null("it is idle or gone, or has not heard from the target for 15 s"),
            Field::new("last_message_age_s", Shape::Float, "how long ago the target heard from the source")
                .unit("seconds")
                .null("it receives nothing, or the role may not see it"),
            Field::new("slot_active", Shape::Bool, "whether somebody reads from the slot"),
            Field::new(
                "slot_read_since",
                Shape::Text,
                "since when the same walsender reads from the slot without a break: until it ends, nobody else can move the slot \
                 or make it again",
            )
            .null("no walsender reads from it, or the role may not see when it began"),
            Field::new("slot_confirmed", Shape::Text, "position up to which the target has confirmed everything; what lies before \
                 it is never sent again")
                .null("there is no logical slot"),
            Field::new("origin_position", Shape::Text, "position of the last change that the subscription has applied, asked for \
                 while no worker applies")
                .null("a worker applies, or the role may not see it (it needs SELECT on `pg_replication_origin_status`)"),
            Field::new("wal_status", Shape::Text, "`reserved`, `extended`, `unreserved` or `lost`")
                .null("there is no slot, or the source is older than PostgreSQL 13"),
            Field::new("retained_bytes", Shape::Int, "WAL that the slot keeps on the source's disk")
                .unit("bytes")
                .null("there is no slot"),
            Field::new("safe_wal_bytes", Shape::Int, "WAL that may still be written before the slot is lost")
                .unit("bytes")
                .null("nothing limits it, there is no slot, or the source is older than PostgreSQL 13"),
            Field::new("wal_full_in_s", Shape::Float, "time until `safe_wal_bytes` are used up, at the rate of the last minute")
                .unit("seconds")
                .null("it does not shrink, the slot keeps less than one WAL file, it lasts for more than a day, is not known, or was not \
                     watched for 5 s"),
            Field::new("slot_transactions", Shape::Int, "transactions that were decoded for the slot since its counts began")
                .unit("transactions")
                .null("there is no logical slot, or the source is older than PostgreSQL 14"),
            Field::new(
                "spilled_bytes",
                Shape::Int,
                "bytes of large transactions that the walsender has put on the source's disk since its counts were reset",
            )
            .unit("bytes")
            .null("there is no logical slot, or the source is older than PostgreSQL 14"),
            Field::new(
                "subscription_id",
                Shape::Int,
                "number of the subscription; another one after it was made again",
            )
            .null("there is no subscription"),
            Field::new("tables", Shape::Int, "tables in the subscription; 0 for physical replication").unit("tables"),
            Field::new("tables_ready", Shape::Int, "tables whose first copy is complete").unit("tables"),
            Field::new(
                "tables_missing",
                Shape::List(Box::new(Shape::Text)),
                "tables that are published and not subscribed, or subscribed and no longer published",
            ),
            Field::new("tables_interrupted", Shape::List(Box::new(Shape::Text)), INTERRUPTED),
            Field::new("rows_to_copy", Shape::Int, "rows in all tables of the subscription, as the source estimates them")
                .unit("rows")
                .null("no first copy runs, or a table was never analysed"),
            Field::new("rows_copied", Shape::Int, "rows of them that the first copy has brought so far")
                .unit("rows")
                .null("as for `rows_to_copy`, or the target is older than PostgreSQL 14"),
            Field::new("copied_in_s", Shape::Float, "time until they are copied, at the rate of the last minute")
                .unit("seconds")
                .null("nothing is copied, its progress is not known, or it was not watched for 5 s"),
            Field::new(
                "sequence_gap",
                Shape::Int,
                "numbers that the target's sequences lie behind those of the source: of the one that is farthest behind; 0 \
                 when none is behind",
            )
            .null("a sequence is missing or may not be read, or the replication is physical"),
            Field::new("sequence", Shape::Text, "the sequence that `sequence_gap` or its absence is about")
                .null("no sequence is behind, or the replication is physical"),
            Field::new("apply_errors", Shape::Int, "errors that the subscription has counted")
                .unit("errors")
                .null("the target is older than PostgreSQL 15, or there is no subscription"),
            Field::new("rows_skipped", Shape::Int, "changes of rows that the target did not have, which it passed over")
                .unit("rows")
                .null("the target is older than PostgreSQL 18, or there is no subscription"),
            Field::new(
                "oldest_transaction_s",
                Shape::Float,
                "age of the oldest open transaction on the source; 0 without one",
            )
            .unit("seconds")
            .null("the role is not a member of `pg_read_all_stats`"),
            Field::new("prepared_transactions", Shape::Int, "prepared transactions on the source that wait for their end"),
            Field::new("oldest_prepared_s", Shape::Float, "age of the oldest of them").unit("seconds").null("there is none"),
            Field::new("system_identifier", Shape::Text, "identifier that the source's cluster was made with")
                .null("the role may not ask for it"),
            Field::new("timeline", Shape::Int, "timeline that the source writes; another one after a failover")
                .null("the source is a standby"),
            Field::new("started_at", Shape::Text, "when the source was started").null("the role may not ask for it"),
            Field::new("in_recovery", Shape::Bool, "whether the source is itself a standby"),
            Field::new("target_system_identifier", Shape::Text, "the same of the target; a standby has that of its primary")
                .null("the role may not ask for it"),
            Field::new("target_in_recovery", Shape::Bool, "whether the target is a standby"),
        ]
    }
}
