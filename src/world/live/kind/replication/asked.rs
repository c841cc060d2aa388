//! What is asked of the two servers, and what they answer.
//!
//! Each query works on PostgreSQL 10 to 18: `to_jsonb(row) ->> 'column'` is NULL where a version has no such column.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::{PgLsn, Type};
use tokio_postgres::{Client, Row};

/// The answer to a query.
pub(super) type PgResult<T> = Result<T, tokio_postgres::Error>;

/// The position up to which the source has changes: written there, or replayed when it is itself a standby.
macro_rules! position {
    () => {
        "case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end"
    };
}

/// Slot and walsender: a row with NULLs when nobody reads from the slot, no row when the slot is gone. A role without
/// `pg_read_all_stats` sees only that a walsender exists.
pub(super) const SLOT: &str = concat!(
    "select s.active, to_jsonb(s) ->> 'wal_status' as wal_status, \
    coalesce(s.database <> current_database(), false) as foreign_database, coalesce(s.plugin = 'pgoutput', false) as decodes, \
    coalesce((to_jsonb(s) ->> 'synced')::bool, false) as synced, \
    (select stats_reset::text from pg_stat_bgwriter) as counted_since, pg_wal_lsn_diff(",
    position!(),
    ", s.restart_lsn)::int8 as retained, pg_wal_lsn_diff(",
    position!(),
    ", s.confirmed_flush_lsn)::int8 as unconfirmed, \
    (to_jsonb(s) ->> 'safe_wal_size')::int8 as safe, pg_size_bytes(current_setting('wal_segment_size')) as segment, \
    s.confirmed_flush_lsn as confirmed, s.restart_lsn as restart, \
    r.pid is not null as sent, r.pid::text || ' ' || r.backend_start::text as reader, r.backend_start::text as read_since, \
    case when coalesce((to_jsonb(r) ->> 'reply_time')::timestamptz \
      > clock_timestamp() - interval '15 s', true) then extract(epoch from r.replay_lag)::float8 end as replay_lag \
    from pg_replication_slots s left join pg_stat_replication r on r.pid = s.active_pid where s.slot_name = $1"
);

/// What decoding has put on the disk for a slot, and how many transactions it has decoded since the slot was made or its
/// counts were reset, from PostgreSQL 14 on.
const SPILLED: &str = "select spill_bytes::int8 as spilled, total_txns::int8 as transactions, \
    total_bytes::int8 as bytes, stats_reset::text as reset \
    from pg_stat_replication_slots where slot_name = $1";

/// The age of the oldest transaction that decoding has to wait for, prepared ones included and those of our own probes not,
/// the position and the timeline. A role that may not see other sessions cannot tell the age: null, not zero.
pub(super) const SOURCE: &str = concat!(
    "select ",
    position!(),
    " as position, pg_is_in_recovery() as standby, current_setting('server_version_num')::int4 as version, \
    case when not pg_is_in_recovery() then \
      ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int8 end as timeline, \
    (select count(*) from pg_prepared_xacts where database = current_database()) as prepared, \
    (select extract(epoch from max(clock_timestamp() - prepared))::float8 from pg_prepared_xacts \
      where database = current_database()) as oldest_prepared, \
    case when pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') then coalesce(greatest( \
    (select extract(epoch from max(clock_timestamp() - xact_start))::float8 from pg_stat_activity \
      where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid() \
      and application_name not in ('gonogo watch', 'gonogo replication', 'gonogo heartbeat')), \
    (select extract(epoch from max(clock_timestamp() - prepared))::float8 from pg_prepared_xacts \
      where database = current_database())), 0)::float8 end as oldest"
);

/// The subscription, its apply worker and its tables. `pg_subscription.oid` cannot be read before version 14.
pub(super) const SUBSCRIPTION: &str = "select c.subenabled as enabled, c.subslotname::text as slot, x.subid::int8 as id, \
    x.apply_pid, x.quiet, c.subpublications::text[] as publications, \
    array(select t.oid::int8 from pg_subscription_rel r join pg_class t on t.oid = r.srrelid \
      join pg_namespace n on n.oid = t.relnamespace where r.srsubid = x.subid order by r.srrelid) as ids, \
    array(select n.nspname || '.' || t.relname from pg_subscription_rel r join pg_class t on t.oid = r.srrelid \
      join pg_namespace n on n.oid = t.relnamespace where r.srsubid = x.subid order by r.srrelid) as names, \
    array(select case when r.srsubstate in ('i', 'd', 'f') then '' else r.srsublsn::text end from pg_subscription_rel r \
      join pg_class t on t.oid = r.srrelid join pg_namespace n on n.oid = t.relnamespace \
      where r.srsubid = x.subid order by r.srrelid) as copies, \
    (select count(*) from pg_subscription_rel r where r.srsubid = x.subid) as tables, \
    (select count(*) from pg_subscription_rel r where r.srsubid = x.subid and r.srsubstate = 'r') as ready, \
    current_setting('server_version_num')::int4 as version, pg_is_in_recovery() as standby, \
    has_table_privilege('pg_catalog.pg_replication_origin_status', 'SELECT') \
      and has_function_privilege('pg_catalog.pg_show_replication_origin_status()', 'EXECUTE') \
      and (current_setting('server_version_num')::int4 >= 140000 or current_setting('is_superuser')::bool) as sees_origin \
    from pg_subscription c left join (select s.subname, s.subid, max(s.pid) filter \
      (where s.relid is null and to_jsonb(s) ->> 'leader_pid' is null) as apply_pid, \
      extract(epoch from clock_timestamp() - max(s.last_msg_receipt_time) filter (where s.relid is null))::float8 as quiet \
      from pg_stat_subscription s group by 1, 2) x on x.subname = c.subname \
    where c.subname = $1 and c.subdbid = (select oid from pg_database where datname = current_database())";

/// Up to where a subscription has applied changes.
const ORIGIN: &str = "select remote_lsn from pg_replication_origin_status where external_id = 'pg_' || $1";

/// The error counts, and whether an error disables the subscription, from PostgreSQL 15 on; the changes of rows that
/// were not there, which are skipped, from 18 on.
pub(super) const ERRORS: &str = "select (s.apply_error_count + s.sync_error_count)::int8 as errors, \
    (to_jsonb(s) ->> 'confl_update_missing')::int8 + (to_jsonb(s) ->> 'confl_delete_missing')::int8 as skipped, \
    (select c.subdisableonerr from pg_subscription c where c.subname = $1 \
      and c.subdbid = (select oid from pg_database where datname = current_database())) as disabling \
    from pg_stat_subscription_stats s where s.subname = $1";

/// The tables that publications offer, by their full names: the number of each, and what each publication says of it. A
/// publication that is altered has another `xmin`; a table that was out of it for a moment has another row.
const PUBLISHED: &str = "select t.schemaname || '.' || t.tablename as name, c.oid::int8 as id, p.oid::int8 as publication, \
      concat_ws(' ', p.xmin, r.oid, r.xmin) as terms, \
      p.pubinsert and p.pubupdate and to_jsonb(t) ->> 'rowfilter' is null as whole \
    from pg_publication_tables t join pg_publication p on p.pubname = t.pubname \
      join pg_namespace n on n.nspname = t.schemaname join pg_class c on c.relnamespace = n.oid and c.relname = t.tablename \
      left join pg_publication_rel r on r.prpubid = p.oid and r.prrelid = c.oid \
    where t.pubname = any ($1)";

/// Whether a table is part of a subscription, its full name, and the name of another one that it is part of, too.
pub(super) const REPLICATED: &str = "select exists (select from pg_subscription_rel \
      where srsubid::int8 = $1 and srrelid = to_regclass($2)) as here, \
    (select min(coalesce(s.subname::text, r.srsubid::text)) from pg_subscription_rel r \
      left join pg_stat_subscription s on s.subid = r.srsubid \
      where r.srsubid::int8 <> $1 and r.srrelid = to_regclass($2)) as elsewhere, \
    (select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace \
      where c.oid = to_regclass($2)) as name";

/// The standby's side of physical replication.
pub(super) const STANDBY: &str = "select pg_is_in_recovery() as standby, pg_last_wal_replay_lsn() as replayed, \
    exists (select from pg_stat_wal_receiver) as receives, \
    (select status from pg_stat_wal_receiver) as receiver, \
    (select extract(epoch from clock_timestamp() - last_msg_receipt_time)::float8 from pg_stat_wal_receiver) as quiet, \
    (select slot_name::text from pg_stat_wal_receiver) as slot, \
    (select received_tli::int8 from pg_stat_wal_receiver) as timeline, \
    coalesce((select substring(conninfo from '(?:^| )application_name=''?([^'' ]+)') from pg_stat_wal_receiver), \
      nullif(current_setting('cluster_name'), ''), 'walreceiver') as name";

/// Walsenders without a logical slot, for physical replication; that of the standby with this name first.
pub(super) const SENDERS: &str = "select case when coalesce((to_jsonb(r) ->> 'reply_time')::timestamptz \
      > clock_timestamp() - interval '15 s', true) then extract(epoch from r.replay_lag)::float8 end as replay_lag \
    from pg_stat_replication r where not exists \
      (select 1 from pg_replication_slots s where s.active_pid = r.pid and s.slot_type = 'logical') \
    order by r.application_name = $1 desc, r.replay_lsn nulls first limit 1";

/// Whether a subscription to the source can read from a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotFitness {
    Fit,
    /// It belongs to another database of the server.
    OtherDatabase,
    /// It is of another kind.
    Unfit,
}

pub(super) struct Slot {
    pub(super) active: bool,
    pub(super) wal_status: Option<String>,
    pub(super) retained: Option<i64>,
    pub(super) unconfirmed: Option<i64>,
    pub(super) safe: Option<i64>,
    /// Size of a WAL file, in bytes.
    pub(super) segment: i64,
    /// Whether a walsender reads from it.
    pub(super) sent: bool,
    pub(super) replay_lag: Option<f64>,
    pub(super) fitness: SlotFitness,
    /// Since when the same walsender reads from it.
    pub(super) read_since: Option<String>,
    /// Bytes of large transactions on the disk.
    pub(super) spilled: Option<i64>,
    pub(super) position: SlotPosition,
}

/// How far a slot is. A slot has no number of its own: one that was made again shows only in these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotPosition {
    pub(super) confirmed: Option<u64>,
    pub(super) restart: Option<u64>,
    /// Transactions decoded since the slot was made or its counts were reset.
    pub(super) transactions: Option<i64>,
    /// Bytes of them.
    pub(super) bytes: Option<i64>,
    /// The walsender that reads from it, as no other one: nobody else can move or drop the slot meanwhile.
    pub(super) reader: Option<String>,
    /// When its counts were reset.
    pub(super) reset: Option<String>,
    /// Since when the server counts anything: a crash throws all counts away.
    pub(super) counted_since: Option<String>,
    /// Whether a standby keeps it in step with that of its primary.
    pub(super) synced: bool,
}

/// The source as a server.
#[derive(Default)]
pub(super) struct SourceServer {
    /// Up to where it has changes.
    pub(super) position: u64,
    pub(super) standby: bool,
    pub(super) timeline: Option<i64>,
    /// Age in seconds of the oldest transaction; `None` for a role that may not see it.
    pub(super) oldest: Option<f64>,
    pub(super) prepared: i64,
    pub(super) oldest_prepared: Option<f64>,
    version: i32,
}

pub(super) struct Subscription {
    /// Its number on the target; another one after it was made again.
    pub(super) id: Option<i64>,
    pub(super) enabled: bool,
    pub(super) slot: Option<String>,
    pub(super) worker: Option<i32>,
    /// Seconds since its worker heard from the source.
    pub(super) quiet: Option<f64>,
    pub(super) tables: i64,
    pub(super) ready: i64,
    pub(super) errors: Option<i64>,
    /// Changes of rows that were not there.
    pub(super) skipped: Option<i64>,
    /// Up to where it has applied changes; only asked for while no worker applies any.
    pub(super) origin: Option<u64>,
    /// Whether the target is a standby.
    pub(super) standby: bool,
    pub(super) version: i32,
    /// Whether an error disables it.
    pub(super) disabling: bool,
    pub(super) publications: Vec<String>,
    /// Full names of its tables.
    pub(super) names: BTreeSet<String>,
    /// Of each table where its first copy ended: `None` when it was added without one, empty while the copy runs.
    pub(super) copies: BTreeMap<String, Option<String>>,
    /// The number of each table; another one after it was made again.
    pub(super) ids: BTreeMap<String, i64>,
}

/// A table that publications offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PublishedTable {
    /// Its number; another one after it was made again.
    pub(super) id: i64,
    /// By the number of each publication that offers it: a text that changes whenever its terms do.
    pub(super) terms: BTreeMap<i64, String>,
    /// Whether one of them offers every row and every update of one.
    pub(super) whole: bool,
}

/// What publications offer, by the full names of the tables.
pub(super) type Published = BTreeMap<String, PublishedTable>;

pub(super) async fn ask_row(
    client: &Client,
    query: &str,
    params: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)],
) -> PgResult<Option<Row>> {
    Ok(client.query_typed(query, params).await?.into_iter().next())
}

pub(super) async fn ask_source(client: &Client, slot: Option<&str>) -> PgResult<(Option<Slot>, SourceServer)> {
    let found = async {
        match slot {
            Some(slot) => ask_slot(client, slot).await,
            None => Ok(None),
        }
    };
    let (found, source) = tokio::join!(found, ask_position(client));
    let (mut found, source) = (found?, source?);
    if let (Some(found), Some(slot), 140_000..) = (&mut found, slot, source.version) {
        let row = ask_row(client, SPILLED, &[(&slot, Type::TEXT)]).await?;
        if let Some(row) = row {
            found.spilled = row.try_get("spilled")?;
            found.position.transactions = row.try_get("transactions")?;
            found.position.bytes = row.try_get("bytes")?;
            found.position.reset = row.try_get("reset")?;
        }
    }
    Ok((found, source))
}

async fn ask_slot(client: &Client, slot: &str) -> PgResult<Option<Slot>> {
    let Some(row) = ask_row(client, SLOT, &[(&slot, Type::TEXT)]).await? else { return Ok(None) };
    Ok(Some(Slot {
        active: row.try_get("active")?,
        wal_status: row.try_get("wal_status")?,
        retained: row.try_get("retained")?,
        unconfirmed: row.try_get("unconfirmed")?,
        safe: row.try_get("safe")?,
        segment: row.try_get("segment")?,
        sent: row.try_get("sent")?,
        replay_lag: row.try_get("replay_lag")?,
        fitness: match (row.try_get("foreign_database")?, row.try_get("decodes")?) {
            (true, _) => SlotFitness::OtherDatabase,
            (false, true) => SlotFitness::Fit,
            (false, false) => SlotFitness::Unfit,
        },
        read_since: row.try_get("read_since")?,
        spilled: None,
        position: SlotPosition {
            reader: row.try_get("reader")?,
            counted_since: row.try_get("counted_since")?,
            synced: row.try_get("synced")?,
            confirmed: row.try_get::<_, Option<PgLsn>>("confirmed")?.map(u64::from),
            restart: row.try_get::<_, Option<PgLsn>>("restart")?.map(u64::from),
            ..SlotPosition::default()
        },
    }))
}

async fn ask_position(client: &Client) -> PgResult<SourceServer> {
    let Some(row) = ask_row(client, SOURCE, &[]).await? else { return Ok(SourceServer::default()) };
    Ok(SourceServer {
        position: row.try_get::<_, PgLsn>("position")?.into(),
        standby: row.try_get("standby")?,
        timeline: row.try_get("timeline")?,
        oldest: row.try_get("oldest")?,
        prepared: row.try_get("prepared")?,
        oldest_prepared: row.try_get("oldest_prepared")?,
        version: row.try_get("version")?,
    })
}

pub(super) async fn ask_subscription(client: &Client, name: &str) -> PgResult<Option<Subscription>> {
    let Some(row) = ask_row(client, SUBSCRIPTION, &[(&name, Type::TEXT)]).await? else { return Ok(None) };
    let version: i32 = row.try_get("version")?;
    let counts = if version >= 150_000 { ask_row(client, ERRORS, &[(&name, Type::TEXT)]).await? } else { None };
    let (errors, skipped, disabling) = match counts {
        Some(row) => (
            row.try_get("errors")?,
            row.try_get("skipped")?,
            row.try_get::<_, Option<bool>>("disabling")?.unwrap_or(false),
        ),
        None => (None, None, false),
    };
    let names: Vec<String> = row.try_get("names")?;
    let copies: Vec<Option<String>> = row.try_get("copies")?;
    let ids: Vec<i64> = row.try_get("ids")?;
    let id: Option<i64> = row.try_get("id")?;
    let enabled: bool = row.try_get("enabled")?;
    let worker: Option<i32> = row.try_get("apply_pid")?;
    let at_rest = !enabled || worker.is_none();
    let origin = match id.filter(|_| at_rest && row.try_get("sees_origin").unwrap_or(false)) {
        Some(id) => match ask_row(client, ORIGIN, &[(&id.to_string(), Type::TEXT)]).await? {
            Some(row) => row.try_get::<_, Option<PgLsn>>("remote_lsn")?.map(u64::from),
            None => None,
        },
        None => None,
    };
    Ok(Some(Subscription {
        id,
        enabled,
        slot: row.try_get("slot")?,
        worker,
        origin,
        quiet: row.try_get("quiet")?,
        tables: row.try_get("tables")?,
        ready: row.try_get("ready")?,
        errors,
        skipped,
        standby: row.try_get("standby")?,
        version,
        disabling,
        publications: row.try_get("publications")?,
        copies: names.iter().cloned().zip(copies).collect(),
        ids: names.iter().cloned().zip(ids).collect(),
        names: names.into_iter().collect(),
    }))
}

/// The tables that these publications of the source offer.
pub(super) async fn ask_published(client: &Client, publications: &[String]) -> PgResult<Published> {
    let mut published = Published::new();
    for row in client.query_typed(PUBLISHED, &[(&publications, Type::TEXT_ARRAY)]).await? {
        let table = published.entry(row.try_get("name")?).or_default();
        table.id = row.try_get("id")?;
        table.whole |= row.try_get::<_, bool>("whole")?;
        table.terms.insert(row.try_get("publication")?, row.try_get("terms")?);
    }
    Ok(published)
}

/// Where a table of the target is filled from.
#[derive(Default)]
pub(super) struct FilledBy {
    /// Whether the subscription that was asked for fills it.
    pub(super) subscription: bool,
    /// Another subscription that fills it.
    pub(super) other: Option<String>,
    /// Its full name.
    pub(super) name: Option<String>,
}

/// Whether a table is part of the subscription of that number, and of no other.
pub(super) async fn ask_replicated(client: &Client, subscription: i64, table: &str) -> PgResult<FilledBy> {
    let row = ask_row(client, REPLICATED, &[(&subscription, Type::INT8), (&table, Type::TEXT)]).await?;
    let Some(row) = row else { return Ok(FilledBy::default()) };
    Ok(FilledBy { subscription: row.try_get("here")?, other: row.try_get("elsewhere")?, name: row.try_get("name")? })
}

/// The numbers of at most this many other writers, and that of our own row.
pub(super) async fn ask_beats(client: &Client, table: &str, own: &str) -> PgResult<BTreeMap<String, i64>> {
    let query = format!(
        "(select id::text as id, n::int8 as n from {table} where id::text = $1) union all \
         (select id::text, n::int8 from {table} where id::text <> $1 order by id::text limit 63)"
    );
    let rows = client.query_typed(&query, &[(&own, Type::TEXT)]).await?;
    rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get("n")?))).collect()
}
