//! The reading, made of what was asked.

use tokio_postgres::types::PgLsn;

use super::asked::{Slot, SourceServer};
use super::heartbeat::Pulse;
use super::progress::{CopyProgress, SequenceGap};
use crate::core::kind::replication::ReplicationState;
use crate::core::value::Value;

/// Everything a reading tells.
pub(super) struct Figures<'a> {
    pub(super) state: ReplicationState,
    pub(super) bytes: Option<i64>,
    pub(super) slot: Option<&'a Slot>,
    pub(super) source: &'a SourceServer,
    pub(super) replay_lag: Option<f64>,
    pub(super) quiet: Option<f64>,
    pub(super) pulse: Pulse,
    pub(super) subscription: Option<i64>,
    pub(super) origin: Option<u64>,
    pub(super) tables: i64,
    pub(super) ready: i64,
    pub(super) missing: Vec<String>,
    pub(super) interrupted: Vec<String>,
    pub(super) copy: CopyProgress,
    pub(super) full_in: Option<f64>,
    pub(super) sequences: SequenceGap,
    pub(super) errors: Option<i64>,
    pub(super) skipped: Option<i64>,
    pub(super) system: Option<String>,
    pub(super) started: Option<String>,
    pub(super) target_system: Option<String>,
    pub(super) target_standby: bool,
}

/// A position as PostgreSQL writes it.
fn lsn(position: u64) -> String {
    PgLsn::from(position).to_string()
}

pub(super) fn record(figures: &Figures<'_>) -> Value {
    let (slot, source) = (figures.slot, figures.source);
    let names = |names: &[String]| Value::List(names.iter().map(|name| name.as_str().into()).collect());
    Value::map([
        ("state", figures.state.as_str().into()),
        ("streaming", (figures.state == ReplicationState::Streaming).into()),
        ("bytes", figures.bytes.into()),
        ("seconds", figures.pulse.late.into()),
        ("heartbeat", figures.pulse.note.as_str().into()),
        ("heartbeat_age_s", figures.pulse.age.into()),
        ("replay_lag_s", figures.replay_lag.into()),
        ("last_message_age_s", figures.quiet.into()),
        ("slot_active", slot.is_some_and(|slot| slot.active).into()),
        ("slot_read_since", slot.and_then(|slot| slot.read_since.clone()).into()),
        ("slot_confirmed", slot.and_then(|slot| slot.position.confirmed).map(lsn).into()),
        ("origin_position", figures.origin.map(lsn).into()),
        ("wal_status", slot.and_then(|slot| slot.wal_status.clone()).into()),
        ("retained_bytes", slot.and_then(|slot| slot.retained).into()),
        ("safe_wal_bytes", slot.and_then(|slot| slot.safe).into()),
        ("wal_full_in_s", figures.full_in.into()),
        ("slot_transactions", slot.and_then(|slot| slot.position.transactions).into()),
        ("spilled_bytes", slot.and_then(|slot| slot.spilled).into()),
        ("subscription_id", figures.subscription.into()),
        ("tables", figures.tables.into()),
        ("tables_ready", figures.ready.into()),
        ("tables_missing", names(&figures.missing)),
        ("tables_interrupted", names(&figures.interrupted)),
        ("rows_to_copy", figures.copy.total.into()),
        ("rows_copied", figures.copy.copied.into()),
        ("copied_in_s", figures.copy.ends_in.into()),
        ("sequence_gap", figures.sequences.gap.into()),
        ("sequence", figures.sequences.sequence.clone().into()),
        ("apply_errors", figures.errors.into()),
        ("rows_skipped", figures.skipped.into()),
        ("oldest_transaction_s", source.oldest.into()),
        ("prepared_transactions", source.prepared.into()),
        ("oldest_prepared_s", source.oldest_prepared.into()),
        ("system_identifier", figures.system.clone().into()),
        ("timeline", source.timeline.into()),
        ("started_at", figures.started.clone().into()),
        ("in_recovery", source.standby.into()),
        ("target_system_identifier", figures.target_system.clone().into()),
        ("target_in_recovery", figures.target_standby.into()),
    ])
}
