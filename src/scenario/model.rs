//! A scenario as written: the single source of truth for keys, types and the JSON Schema.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::core::simulate::{Literal, Side};
use crate::core::time::Span;

/// What goes wrong in a rehearsal, and when.
///
/// Names of resolvers, replications, probes and steps are those of the runbook; `any` and words like `first soak`
/// make a scenario fit every runbook that has such a thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What goes wrong, in one line.
    pub title: String,
    /// What is learnt from it, in one line.
    pub lesson: String,
    /// What a good operator does, in one line.
    pub good_reaction: String,
    /// How a run with it ends.
    pub ends: Ends,
    /// What happens. Each happens once.
    #[schemars(length(min = 1))]
    pub events: Vec<Event>,
}

/// How a run ends under an operator of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ends {
    /// With a good operator.
    pub good: End,
    /// With one who confirms everything and never goes back.
    pub careless: End,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Every step is done, and no customer noticed.
    Complete,
    /// Everything is taken back, and nothing is lost.
    RolledBack,
    /// Given up in between, and nothing is lost.
    Abandoned,
    /// It goes no further.
    Stuck,
    /// However it ended: customers' requests failed, their pause was longer than the budget, rows are missing, or the
    /// world differs from the record: something never took effect or did so twice, or no service answers customers.
    Harm,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When it happens.
    pub when: When,
    /// What happens.
    pub fault: Fault,
    /// How long it lasts; to the end of the run when absent. What happens in an instant takes none.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
}

/// A time, or something that happens to a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Time from the beginning of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Span>,
    /// A step: its id, or `first` or `last` with a kind: `manual`, `command`, `sql`, `http`, `wait`, `soak`,
    /// `dns.update`, `route53.change`, `section`, `copy` (begins a replication), `switch` (keeps customers from writing or changes the
    /// database they write to) or `flip` (changes a record's values).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What happens to the step. `started` when absent.
    #[serde(default, rename = "is", skip_serializing_if = "Option::is_none")]
    pub is: Option<Happening>,
    /// Time from that moment. For `running`, only if the step is still running then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
}

/// A moment in the life of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// It was confirmed and begins.
    #[default]
    Started,
    /// It is under way.
    Running,
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// It is being taken back.
    Undoing,
    /// It is taken back.
    Undone,
}

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Something writes a lot: replication may not keep up.
    Writes(Times),
    /// More customers come.
    Customers(Times),
    /// The apply worker dies on every try, for example on a duplicate key.
    ApplyDies(OfReplication),
    /// The replication slot is gone: nothing but a new copy helps.
    SlotLost(OfReplication),
    /// Somebody drops the replication slot and makes it again by hand: what was written in between never arrives.
    SlotMadeAgain(OfReplication),
    /// A tool reads from the replication slot in place of the subscription: what it was given never arrives.
    SlotMoved(OfReplication),
    /// The walsender hangs: the figures look well for a while, and nothing arrives.
    WalsenderStops(OfReplication),
    /// The apply worker hangs: the figures look well for a while, and nothing arrives.
    ApplyWorkerStops(OfReplication),
    /// One large transaction is committed, and everything waits behind it: the walsender's figures do not show it.
    LargeTransaction(OfReplication),
    /// An error switches the subscription off (`disable_on_error`).
    DisabledByError(OfReplication),
    /// A table is created on both sides, and nobody refreshes the subscription.
    TableAdded(TableAdded),
    /// The source fails over to its standby: another server answers at its address, and the slot is gone.
    SourceFailsOver(OfReplication),
    /// A share of the rows silently does not arrive, for example of a table that is not published.
    RowsSkipped(RowsSkipped),
    /// A transaction stays open on the source.
    OpenTransaction(OfReplication),
    /// A resolver goes on giving the answer it had.
    ResolverStuck(OfResolver),
    /// A resolver gives the answer it had and says that it is stale.
    ResolverStale(OfResolver),
    /// A resolver does not answer.
    ResolverDead(OfResolver),
    /// Another machine answers in place of a resolver, with what that one has in its cache.
    ResolverReplaced(OfResolver),
    /// A resolver keeps answers longer than their TTL.
    ResolverHolds(ResolverHolds),
    /// A side answers slowly.
    Slow(Slow),
    /// A side answers with errors.
    Errors(Errors),
    /// A job fails before it has changed anything.
    Fails(Fails),
    /// A job does not end by itself.
    Hangs(OfJob),
    /// It is unknown whether a job took effect.
    Unknown(Unknown),
    /// The name servers refuse updates.
    UpdatesRefused(Refused),
    /// Updates of records take longer by this time.
    UpdatesDelayed(Delayed),
    /// Somebody else, such as another controller, puts the record set of a `route53` probe back to its `old`.
    RecordReverted(OfProbe),
    /// A probe reports values that are not true.
    Lies(Lies),
    /// A probe does not answer.
    Silent(OfProbe),
    /// Readings are falsified: for each field (`PROBE.FIELD`, deeper with further names and positions from 0:
    /// `dns.resolvers.0.fresh`) a value or null, for a whole probe (`PROBE`) how its measurements fail.
    Reads(BTreeMap<String, Misread>),
    /// The wall clock of the cockpit's machine is set.
    ClockJump(ClockJump),
    /// The cockpit is killed, and somebody resumes the run a while later.
    CockpitKilled(CockpitKilled),
    /// The disk of the journal is full.
    DiskFull(Nothing),
    /// The operator's terminal is lost.
    TerminalLost(Nothing),
}

/// How many times more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// How many times the usual; above 1 is more.
    pub times: f64,
}

/// A replication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfReplication {
    /// The `postgres.replication` probe, or `any`.
    pub replication: String,
}

/// A table that nobody subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableAdded {
    /// The `postgres.replication` probe, or `any`.
    pub replication: String,
    /// The table with its schema: `public.orders`.
    pub table: String,
}

/// A replication that loses rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RowsSkipped {
    /// The `postgres.replication` probe, or `any`.
    pub replication: String,
    /// Share of the rows, more than 0, at most 1.
    pub share: f64,
}

/// A resolver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfResolver {
    /// The resolver's name in its `dns` target, or `any`.
    pub resolver: String,
}

/// A resolver that holds answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResolverHolds {
    /// The resolver's name in its `dns` target, or `any`.
    pub resolver: String,
    /// Shortest time it keeps an answer.
    pub least: Span,
}

/// A slow side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Slow {
    /// Which side.
    pub side: Side,
    /// How many times slower.
    pub times: f64,
}

/// A failing side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Errors {
    /// Which side.
    pub side: Side,
    /// Share of its answers, more than 0, at most 1.
    pub share: f64,
    /// Their HTTP status. 503 when absent.
    #[serde(default = "unavailable")]
    pub status: u16,
}

fn unavailable() -> u16 {
    503
}

/// A job of a step. Each of its tries counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfJob {
    /// The step, as under `when`; that of `when` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Position of the job within the step's section, from 1; the first that leaves the program when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<u16>,
    /// How many tries are hit. 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
}

/// A job that fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fails {
    /// The step, as under `when`; that of `when` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Position of the job within the step's section, from 1; the first that leaves the program when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<u16>,
    /// How many tries are hit. 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// What it says.
    pub says: String,
}

/// A job with an unknown outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unknown {
    /// The step, as under `when`; that of `when` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Position of the job within the step's section, from 1; the first that leaves the program when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<u16>,
    /// How many tries are hit. 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// Whether it took effect after all.
    pub happened: bool,
}

/// Name servers that refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// How many updates are refused. All while it lasts when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// What the server says. `Throttling: Rate exceeded` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
}

/// Updates that take longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delayed {
    /// How much longer.
    pub by: Span,
}

/// A probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfProbe {
    /// The probe, `any`, or `any` with a kind: `any postgres.replication`.
    pub probe: String,
}

/// A lying probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lies {
    /// The probe, `any`, or `any` with a kind: `any postgres.replication`.
    pub probe: String,
    /// Fields of its reading and what they seem to be; all as they were when it began to lie when absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub says: BTreeMap<String, Literal>,
}

/// What a probe reports instead of the truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Misread {
    /// Its measurements fail.
    Failing(Failing),
    /// The field has this value.
    Value(Literal),
    /// The field is null.
    Null,
}

/// A probe whose measurements fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failing {
    /// Why, in one sentence: `connection refused by 10.0.0.5:5432`.
    pub fails: String,
}

// Written out, since `null` means something here and a derived schema could not say so.
impl JsonSchema for Misread {
    fn schema_name() -> Cow<'static, str> {
        "Misread".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A value of the field, null, or for a whole probe how its measurements fail.",
            "anyOf": [generator.subschema_for::<Failing>(), generator.subschema_for::<Literal>(), { "const": null }],
        })
    }
}

/// A clock that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClockJump {
    /// By how much.
    pub by: Span,
    /// Whether it is set back instead of forward.
    #[serde(default)]
    pub back: bool,
}

/// A cockpit that dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CockpitKilled {
    /// Time until somebody resumes the run.
    pub back_after: Span,
}

/// Nothing more to say: `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}

impl Fault {
    /// The word in scenarios.
    pub fn word(&self) -> &'static str {
        match self {
            Fault::Writes(_) => "writes",
            Fault::Customers(_) => "customers",
            Fault::ApplyDies(_) => "apply_dies",
            Fault::SlotLost(_) => "slot_lost",
            Fault::SlotMadeAgain(_) => "slot_made_again",
            Fault::SlotMoved(_) => "slot_moved",
            Fault::WalsenderStops(_) => "walsender_stops",
            Fault::ApplyWorkerStops(_) => "apply_worker_stops",
            Fault::LargeTransaction(_) => "large_transaction",
            Fault::DisabledByError(_) => "disabled_by_error",
            Fault::TableAdded(_) => "table_added",
            Fault::SourceFailsOver(_) => "source_fails_over",
            Fault::RowsSkipped(_) => "rows_skipped",
            Fault::OpenTransaction(_) => "open_transaction",
            Fault::ResolverStuck(_) => "resolver_stuck",
            Fault::ResolverStale(_) => "resolver_stale",
            Fault::ResolverDead(_) => "resolver_dead",
            Fault::ResolverReplaced(_) => "resolver_replaced",
            Fault::ResolverHolds(_) => "resolver_holds",
            Fault::Slow(_) => "slow",
            Fault::Errors(_) => "errors",
            Fault::Fails(_) => "fails",
            Fault::Hangs(_) => "hangs",
            Fault::Unknown(_) => "unknown",
            Fault::UpdatesRefused(_) => "updates_refused",
            Fault::UpdatesDelayed(_) => "updates_delayed",
            Fault::RecordReverted(_) => "record_reverted",
            Fault::Lies(_) => "lies",
            Fault::Silent(_) => "silent",
            Fault::Reads(_) => "reads",
            Fault::ClockJump(_) => "clock_jump",
            Fault::CockpitKilled(_) => "cockpit_killed",
            Fault::DiskFull(_) => "disk_full",
            Fault::TerminalLost(_) => "terminal_lost",
        }
    }

    /// The replication it hits, as written.
    pub fn replication(&self) -> Option<&str> {
        match self {
            Fault::ApplyDies(of)
            | Fault::SlotLost(of)
            | Fault::SlotMadeAgain(of)
            | Fault::SlotMoved(of)
            | Fault::WalsenderStops(of)
            | Fault::ApplyWorkerStops(of)
            | Fault::LargeTransaction(of)
            | Fault::DisabledByError(of)
            | Fault::SourceFailsOver(of)
            | Fault::OpenTransaction(of) => Some(&of.replication),
            Fault::TableAdded(of) => Some(&of.replication),
            Fault::RowsSkipped(of) => Some(&of.replication),
            _ => None,
        }
    }

    /// The job it hits: step and position from 1, as written.
    pub fn job(&self) -> Option<(Option<&str>, Option<u16>)> {
        match self {
            Fault::Fails(of) => Some((of.step.as_deref(), of.job)),
            Fault::Hangs(of) => Some((of.step.as_deref(), of.job)),
            Fault::Unknown(of) => Some((of.step.as_deref(), of.job)),
            _ => None,
        }
    }
}
