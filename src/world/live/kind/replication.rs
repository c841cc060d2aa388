//! The `postgres.replication` probe.
//!
//! Each query works on PostgreSQL 10 to 18: `to_jsonb(row) ->> 'column'` is NULL where a version has no such column.
//! Some figures look good although replication is dead, so none is trusted alone: a broken apply worker leaves no
//! walsender row at all, a lost slot raises no error count, an idle stream has no `replay_lag`.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tokio_postgres::types::{PgLsn, Type};
use tokio_postgres::{Client, Row};

use super::Measure;
use crate::core::kind::ReplicationProbe;
use crate::core::reading::Failure;
use crate::core::value::Value;
use crate::world::live::Shared;
use crate::world::live::net::pg::{PgSession, Purpose};

/// Slot and walsender: a row with NULLs when nobody reads from the slot, no row when the slot is gone. A role without
/// `pg_read_all_stats` sees only that a walsender exists.
const SLOT: &str = "select s.active, to_jsonb(s) ->> 'wal_status' as wal_status, \
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), s.restart_lsn)::int8 as retained, \
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), s.confirmed_flush_lsn)::int8 as unconfirmed, \
    r.pid is not null as sent, extract(epoch from r.replay_lag)::float8 as replay_lag \
    from pg_replication_slots s left join pg_stat_replication r on r.pid = s.active_pid where s.slot_name = $1";

/// The age of the oldest transaction that decoding has to wait for, prepared ones included, and the position. A
/// role that may not see other sessions cannot tell: null, not zero.
const SOURCE: &str = "select pg_current_wal_insert_lsn() as position, \
    case when pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') then coalesce(greatest( \
    (select extract(epoch from max(clock_timestamp() - xact_start))::float8 from pg_stat_activity \
      where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()), \
    (select extract(epoch from max(clock_timestamp() - prepared))::float8 from pg_prepared_xacts \
      where database = current_database())), 0)::float8 end as oldest";

/// The subscription, its apply worker and its tables. `pg_subscription.oid` cannot be read before version 14.
const SUBSCRIPTION: &str = "select c.subenabled as enabled, c.subslotname::text as slot, x.apply_pid, \
    (select count(*) from pg_subscription_rel r where r.srsubid = x.subid) as tables, \
    (select count(*) from pg_subscription_rel r where r.srsubid = x.subid and r.srsubstate = 'r') as ready, \
    current_setting('server_version_num')::int4 as version \
    from pg_subscription c left join (select s.subname, s.subid, max(s.pid) filter \
      (where s.relid is null and to_jsonb(s) ->> 'leader_pid' is null) as apply_pid \
      from pg_stat_subscription s group by 1, 2) x on x.subname = c.subname \
    where c.subname = $1 and c.subdbid = (select oid from pg_database where datname = current_database())";

/// The error counts, from PostgreSQL 15 on.
const ERRORS: &str = "select (apply_error_count + sync_error_count)::int8 as errors \
    from pg_stat_subscription_stats where subname = $1";

/// The standby's side of physical replication.
const STANDBY: &str = "select pg_is_in_recovery() as standby, pg_last_wal_replay_lsn() as replayed, \
    exists (select from pg_stat_wal_receiver) as receives, \
    (select status from pg_stat_wal_receiver) as receiver, \
    (select slot_name::text from pg_stat_wal_receiver) as slot";

/// Walsenders without a slot, for physical replication.
const SENDERS: &str = "select extract(epoch from r.replay_lag)::float8 as replay_lag \
    from pg_stat_replication r where not exists \
      (select 1 from pg_replication_slots s where s.active_pid = r.pid and s.slot_type = 'logical') \
    order by r.replay_lsn nulls first limit 1";

/// A heartbeat that has not moved on the source for this long says nothing about later changes.
const BEATING: Duration = Duration::from_secs(10);
/// A failing apply worker is started again every 5 s and looks healthy for a moment.
const SETTLED: Duration = Duration::from_secs(8);
/// Beats remembered while the target does not catch up; the oldest tells how late it is.
const BEATS: usize = 1_024;

/// What one measurement leaves for the next.
#[derive(Default)]
pub(in crate::world::live) struct ReplicationMemory {
    beats: BTreeMap<String, Beats>,
    errors: Option<i64>,
    /// When the subscription was last seen in trouble, and its worker since.
    trouble: Option<Instant>,
    worker: Option<i32>,
}

/// The heartbeat of one writer.
#[derive(Default)]
struct Beats {
    newest: Option<i64>,
    moved: Option<Instant>,
    /// Beats seen on the source and not yet on the target, oldest first.
    open: VecDeque<(i64, Instant)>,
}

struct Slot {
    active: bool,
    wal_status: Option<String>,
    retained: Option<i64>,
    unconfirmed: Option<i64>,
    /// Whether a walsender reads from it.
    sent: bool,
    replay_lag: Option<f64>,
}

impl Measure for ReplicationProbe {
    type Memory = ReplicationMemory;

    async fn measure(
        &self,
        shared: &Shared,
        limit: Duration,
        memory: &mut ReplicationMemory,
    ) -> Result<Value, Failure> {
        measure(shared, self, limit, memory).await
    }
}

/// Measures once, both sides at the same time.
async fn measure(
    shared: &Shared,
    probe: &ReplicationProbe,
    limit: Duration,
    memory: &mut ReplicationMemory,
) -> Result<Value, Failure> {
    // Always in the same order, so that probes cannot deadlock on each other's connections.
    let lease = |id| shared.databases.lease(id, Purpose::WATCH, &shared.secrets);
    let (source, target) = if probe.source <= probe.target {
        let source = lease(&probe.source).await;
        (source, lease(&probe.target).await)
    } else {
        let target = lease(&probe.target).await;
        (lease(&probe.source).await, target)
    };
    let (source, target) = (source.map_err(Failure::new)?, target.map_err(Failure::new)?);
    let result = match (source.session(), target.session()) {
        (Some(on_source), Some(on_target)) => {
            let both = Both { shared, probe, source: on_source, target: on_target };
            both.begin(limit).await?;
            let result = match &probe.subscription {
                Some(name) => both.logical(name, memory).await,
                None => both.physical(memory).await,
            };
            // A connection whose transaction cannot be ended is not used again.
            both.end().await?;
            result
        }
        _ => Err(Failure::new("no connection")),
    };
    source.give_back();
    target.give_back();
    result
}

struct Both<'a> {
    shared: &'a Shared,
    probe: &'a ReplicationProbe,
    source: &'a PgSession,
    target: &'a PgSession,
}

type Asked<T> = Result<T, tokio_postgres::Error>;

impl Both<'_> {
    async fn begin(&self, limit: Duration) -> Result<(), Failure> {
        let (source, target) = tokio::join!(self.source.begin_reading(limit), self.target.begin_reading(limit));
        self.on_source(source)?;
        self.on_target(target)
    }

    async fn end(&self) -> Result<(), Failure> {
        let (source, target) = tokio::join!(self.source.end_reading(), self.target.end_reading());
        self.on_source(source)?;
        self.on_target(target)
    }

    async fn logical(&self, name: &str, memory: &mut ReplicationMemory) -> Result<Value, Failure> {
        let on_source = async {
            match &self.probe.slot {
                Some(slot) => ask_source(self.source.client(), slot).await.map(Some),
                None => Ok(None),
            }
        };
        let on_target = ask_subscription(self.target.client(), name);
        let (source, subscription, late) = tokio::join!(on_source, on_target, self.late(memory));
        let subscription = self.on_target(subscription)?;
        let (slot, oldest) = if let Some(found) = self.on_source(source)? {
            found
        } else {
            let slot = subscription.as_ref().and_then(|subscription| subscription.slot.as_deref());
            self.on_source(ask_source(self.source.client(), slot.unwrap_or(name)).await)?
        };
        let late = late?;
        let Some(subscription) = subscription else {
            // A missing slot is a valid reading: replication is not set up yet, or gone.
            let slot = slot.as_ref();
            let bytes = slot.and_then(|slot| slot.unconfirmed);
            let (state, streaming, seconds, tables, ready, errors) = ("absent", false, None, 0, 0, None);
            return Ok(record(&Figures { state, streaming, bytes, seconds, slot, tables, ready, errors, oldest }));
        };
        let lost = slot.as_ref().is_none_or(|slot| slot.wal_status.as_deref() == Some("lost"));
        let flows = slot.as_ref().is_some_and(|slot| slot.active && slot.sent);
        let healthy = flows && subscription.worker.is_some();
        let healthy = memory.settled(healthy, &subscription);
        let state = if !subscription.enabled && (subscription.slot.is_none() || !lost) {
            "disabled"
        } else if lost {
            "slot lost"
        } else if !healthy {
            "broken"
        } else if subscription.ready < subscription.tables {
            "copying"
        } else {
            "streaming"
        };
        let streaming = healthy && subscription.enabled && !lost;
        Ok(record(&Figures {
            state,
            streaming,
            bytes: slot.as_ref().and_then(|slot| slot.unconfirmed),
            seconds: late.or(slot.as_ref().filter(|_| streaming).and_then(|slot| slot.replay_lag)),
            slot: slot.as_ref(),
            tables: subscription.tables,
            ready: subscription.ready,
            errors: subscription.errors,
            oldest,
        }))
    }

    async fn physical(&self, memory: &mut ReplicationMemory) -> Result<Value, Failure> {
        let (standby, late) = tokio::join!(ask_row(self.target.client(), STANDBY, &[]), self.late(memory));
        let (standby, late) = (self.on_target(standby)?, late?);
        let standby = standby.ok_or_else(|| Failure::new(format!("{} tells nothing", self.target.place())))?;
        let read = || -> Asked<_> {
            Ok((
                standby.try_get::<_, bool>("standby")?,
                standby.try_get::<_, Option<PgLsn>>("replayed")?,
                standby.try_get::<_, bool>("receives")?,
                standby.try_get::<_, Option<String>>("receiver")?,
                standby.try_get::<_, Option<String>>("slot")?,
            ))
        };
        let (standby, replayed, receives, receiver, used) = self.on_target(read())?;
        if receives && receiver.is_none() {
            // Whether changes flow is unknown then, which is not the same as that they do not.
            let place = self.target.place();
            return Err(Failure::new(format!(
                "{place}: the role may not see the WAL receiver: grant it pg_read_all_stats"
            )));
        }
        let name = self.probe.slot.clone().or(used);
        let on_source = async {
            let client = self.source.client();
            let slot = match &name {
                Some(name) => ask_slot(client, name).await?,
                None => None,
            };
            let sender = match ask_row(client, SENDERS, &[]).await? {
                Some(row) => Some(row.try_get::<_, Option<f64>>("replay_lag")?),
                None => None,
            };
            Ok((slot, sender, ask_position(client).await?))
        };
        let (slot, sender, (position, oldest)) = self.on_source(on_source.await)?;
        let lost = name.is_some() && slot.as_ref().is_none_or(|slot| slot.wal_status.as_deref() == Some("lost"));
        let (sent, replay_lag) = match &slot {
            Some(slot) => (slot.sent, slot.replay_lag),
            None => (sender.is_some(), sender.flatten()),
        };
        let flows = standby && receiver.as_deref() == Some("streaming") && sent;
        let state = match (standby, lost, flows) {
            (false, ..) => "disabled",
            (true, true, false) => "slot lost",
            (true, _, true) => "streaming",
            (true, false, false) => "broken",
        };
        // Measured against the primary's position: a standby that receives nothing considers itself up to date.
        let behind =
            replayed.map(|at| i64::try_from(u64::from(position).saturating_sub(at.into())).unwrap_or(i64::MAX));
        Ok(record(&Figures {
            state,
            streaming: flows,
            bytes: behind.filter(|_| standby),
            seconds: late.or(replay_lag.filter(|_| flows)),
            slot: slot.as_ref(),
            tables: 0,
            ready: 0,
            errors: None,
            oldest,
        }))
    }

    /// Seconds the target is behind by its heartbeat, by our own clock: from seeing a beat on the source to seeing it
    /// on the target. `None` without a heartbeat that moves.
    async fn late(&self, memory: &mut ReplicationMemory) -> Result<Option<f64>, Failure> {
        let Some(table) = &self.probe.heartbeat else { return Ok(None) };
        let query = format!("select id::text as id, n::int8 as n from {table} limit 64");
        // One after the other, so that the target is read after what the source had before.
        let source = self.on_source(ask_beats(self.source.client(), &query).await)?;
        let seen = Instant::now();
        let target = self.on_target(ask_beats(self.target.client(), &query).await)?;
        let now = Instant::now();
        memory.beats.retain(|id, _| source.contains_key(id));
        let mut worst: Option<f64> = None;
        for (id, n) in source {
            let late = memory.beats.entry(id.clone()).or_default().late(n, seen, target.get(&id).copied(), now);
            if let Some(late) = late {
                worst = Some(worst.map_or(late, |worst| worst.max(late)));
            }
        }
        Ok(worst)
    }

    fn on_source<T>(&self, asked: Asked<T>) -> Result<T, Failure> {
        asked.map_err(|err| Failure::new(self.source.explain(&err, &self.shared.secrets)))
    }

    fn on_target<T>(&self, asked: Asked<T>) -> Result<T, Failure> {
        asked.map_err(|err| Failure::new(self.target.explain(&err, &self.shared.secrets)))
    }
}

impl Beats {
    fn late(&mut self, source: i64, seen: Instant, target: Option<i64>, now: Instant) -> Option<f64> {
        if self.newest.is_some_and(|newest| source < newest) {
            *self = Self::default(); // the table was made anew
        }
        if self.newest != Some(source) {
            // The first value seen is not a beat, since its age is unknown.
            self.moved = Some(seen);
            self.newest = Some(source);
            if self.open.len() == BEATS {
                self.open.pop_back();
            }
            self.open.push_back((source, seen));
        }
        let mut arrived = None;
        while let Some(&(n, since)) = self.open.front().filter(|(n, _)| target.is_some_and(|target| target >= *n)) {
            arrived = Some(since);
            self.open.pop_front();
            debug_assert!(n <= source);
        }
        let since = match (self.open.front(), arrived) {
            (Some((_, since)), _) => *since,
            (None, Some(since)) => since,
            // No beat is under way; `moved` shows whether that is because nothing is written.
            (None, None) if self.moved.is_some_and(|moved| now.duration_since(moved) < BEATING) => seen,
            (None, None) => return None,
        };
        Some(now.saturating_duration_since(since).as_secs_f64())
    }
}

impl ReplicationMemory {
    /// Whether a subscription that looks healthy is: after trouble it must show the same worker for a while.
    fn settled(&mut self, healthy: bool, subscription: &Subscription) -> bool {
        let now = Instant::now();
        let more_errors = matches!((self.errors, subscription.errors), (Some(before), Some(now)) if now > before);
        self.errors = subscription.errors;
        let same_worker = self.worker == subscription.worker;
        self.worker = subscription.worker;
        // A subscription that is disabled, or not seen yet, is not in trouble.
        if subscription.enabled && (!healthy || more_errors) {
            self.trouble = Some(now);
            return false;
        }
        match self.trouble {
            Some(_) if !same_worker => {
                self.trouble = Some(now);
                false
            }
            Some(since)
                if now.duration_since(since) < SETTLED && subscription.errors.is_none_or(|errors| errors > 0) =>
            {
                false
            }
            _ => {
                self.trouble = None;
                healthy
            }
        }
    }
}

struct Subscription {
    enabled: bool,
    slot: Option<String>,
    worker: Option<i32>,
    tables: i64,
    ready: i64,
    errors: Option<i64>,
}

async fn ask_row(
    client: &Client,
    query: &str,
    params: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)],
) -> Asked<Option<Row>> {
    Ok(client.query_typed(query, params).await?.into_iter().next())
}

async fn ask_source(client: &Client, slot: &str) -> Asked<(Option<Slot>, Option<f64>)> {
    let (slot, position) = tokio::join!(ask_slot(client, slot), ask_position(client));
    Ok((slot?, position?.1))
}

async fn ask_slot(client: &Client, slot: &str) -> Asked<Option<Slot>> {
    let Some(row) = ask_row(client, SLOT, &[(&slot, Type::TEXT)]).await? else { return Ok(None) };
    Ok(Some(Slot {
        active: row.try_get("active")?,
        wal_status: row.try_get("wal_status")?,
        retained: row.try_get("retained")?,
        unconfirmed: row.try_get("unconfirmed")?,
        sent: row.try_get("sent")?,
        replay_lag: row.try_get("replay_lag")?,
    }))
}

/// The write position and the age in seconds of the oldest transaction, `None` for a role that may not see it.
async fn ask_position(client: &Client) -> Asked<(PgLsn, Option<f64>)> {
    match ask_row(client, SOURCE, &[]).await? {
        Some(row) => Ok((row.try_get("position")?, row.try_get("oldest")?)),
        None => Ok((PgLsn::from(0), None)),
    }
}

async fn ask_subscription(client: &Client, name: &str) -> Asked<Option<Subscription>> {
    let Some(row) = ask_row(client, SUBSCRIPTION, &[(&name, Type::TEXT)]).await? else { return Ok(None) };
    let errors = if row.try_get::<_, i32>("version")? >= 150_000 {
        let row = ask_row(client, ERRORS, &[(&name, Type::TEXT)]).await?;
        row.map(|row| row.try_get("errors")).transpose()?.flatten()
    } else {
        None
    };
    Ok(Some(Subscription {
        enabled: row.try_get("enabled")?,
        slot: row.try_get("slot")?,
        worker: row.try_get("apply_pid")?,
        tables: row.try_get("tables")?,
        ready: row.try_get("ready")?,
        errors,
    }))
}

async fn ask_beats(client: &Client, query: &str) -> Asked<BTreeMap<String, i64>> {
    let rows = client.query_typed(query, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get("n")?))).collect()
}

struct Figures<'a> {
    state: &'a str,
    streaming: bool,
    bytes: Option<i64>,
    seconds: Option<f64>,
    slot: Option<&'a Slot>,
    tables: i64,
    ready: i64,
    errors: Option<i64>,
    oldest: Option<f64>,
}

fn record(figures: &Figures<'_>) -> Value {
    let slot = figures.slot;
    Value::map([
        ("state", figures.state.into()),
        ("streaming", figures.streaming.into()),
        ("bytes", figures.bytes.into()),
        ("seconds", figures.seconds.into()),
        ("slot_active", slot.is_some_and(|slot| slot.active).into()),
        ("wal_status", slot.and_then(|slot| slot.wal_status.clone()).into()),
        ("retained_bytes", slot.and_then(|slot| slot.retained).into()),
        ("tables", figures.tables.into()),
        ("tables_ready", figures.ready.into()),
        ("apply_errors", figures.errors.into()),
        ("oldest_transaction_s", figures.oldest.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_that_does_not_arrive_is_a_growing_number() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut beats = Beats::default();
        assert_eq!(beats.late(5, at(0), Some(5), at(0)), Some(0.0));
        assert_eq!(beats.late(6, at(1), Some(5), at(1)), Some(0.0));
        assert_eq!(beats.late(7, at(2), Some(5), at(3)), Some(2.0), "since beat 6 was seen");
        assert_eq!(beats.late(7, at(60), Some(5), at(60)), Some(59.0), "also when nothing new is written");
        assert_eq!(beats.late(7, at(61), Some(6), at(61)), Some(59.0), "beat 7 is still open");
        assert_eq!(beats.late(7, at(62), Some(7), at(62)), Some(60.0), "it took that long");
        assert_eq!(beats.late(7, at(63), Some(7), at(63)), None, "and then nobody can tell");
        assert_eq!(beats.late(8, at(64), None, at(66)), Some(2.0), "no row on the target at all");
        assert_eq!(beats.late(1, at(70), Some(1), at(70)), Some(0.0), "a new table starts again");
    }
}
