//! The replication probe against two servers that really replicate.

use std::time::Duration;

use gonogo::core::action::Action;
use gonogo::core::kind::ReplicationProbe;
use gonogo::core::kind::replication::heartbeat as said;
use gonogo::core::kind::sql::SqlAction;
use gonogo::core::probe::ProbeKind;
use gonogo::core::reading::Reading;
use gonogo::core::value::Value;
use gonogo::world::{World as _, WorldEvent};
use tokio::task::JoinSet;

use crate::pg::Cluster;
use crate::sql::sql;
use crate::support::{Setting, Stage, succeeded};

pub fn probe(subscription: Option<&str>, slot: Option<&str>, heartbeat: Option<&str>) -> ProbeKind {
    ProbeKind::Replication(ReplicationProbe {
        beat: true,
        source: "old".into(),
        target: "new".into(),
        subscription: subscription.map(str::to_owned),
        slot: slot.map(str::to_owned),
        heartbeat: heartbeat.map(str::to_owned),
    })
}

/// An idle primary's insert position may lie behind the header of a page nobody has written to yet.
const PAGE_HEADER: f64 = 40.0;

pub fn state(value: &Value) -> &str {
    value.at("state").and_then(Value::text).unwrap()
}

pub fn number(value: &Value, path: &str) -> f64 {
    value.at(path).and_then(Value::number).unwrap_or_else(|| panic!("{path} in {value:?}"))
}

pub async fn until(stage: &mut Stage, wanted: &'static str) -> Value {
    stage.value("lag", |value| state(value) == wanted).await
}

/// Two servers, the second subscribed to everything of the first, and a heartbeat every 100 ms.
async fn pair() -> (Cluster, Cluster, JoinSet<()>) {
    pair_with(&[]).await
}

/// The same with these settings of both servers.
async fn pair_with(settings: &[&str]) -> (Cluster, Cluster, JoinSet<()>) {
    let (old, new) = tokio::join!(Cluster::start_with(settings), Cluster::start_with(settings));
    let tables =
        "create table t (id int primary key, x text); create table hb (id text primary key, n bigint not null)";
    old.sql(tables).await;
    new.sql(tables).await;
    old.sql("insert into hb values ('hb', 0); insert into t select g, 'x' from generate_series(1, 100) g").await;
    old.sql("create publication everything for all tables").await;
    new.sql(&format!("create subscription sub connection '{}' publication everything", old.dsn("postgres"))).await;
    let mut tasks = JoinSet::new();
    let (client, connection) = tokio_postgres::connect(&old.dsn("postgres"), tokio_postgres::NoTls).await.unwrap();
    tasks.spawn(async move { drop(connection.await) });
    tasks.spawn(async move {
        while client.batch_execute("update hb set n = n + 1").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    (old, new, tasks)
}

#[tokio::test]
async fn logical_replication_healthy_and_broken() {
    let (old, new, _heartbeat) = pair().await;
    let mut stage = Setting::default()
        .target("old", old.target())
        .target("new", new.target())
        .probe("lag", probe(Some("sub"), None, Some("hb")))
        .probe("idle", probe(Some("sub"), None, None))
        .probe("nowhere", probe(Some("other"), None, None))
        .stage();
    stage.world.watch();
    let value = until(&mut stage, "streaming").await;
    assert_eq!(value.at("streaming"), Some(&Value::Bool(true)));
    assert_eq!(value.at("tables"), Some(&Value::Int(2)));
    assert_eq!(value.at("tables_ready"), Some(&Value::Int(2)));
    assert_eq!(value.at("slot_active"), Some(&Value::Bool(true)));
    assert_eq!(value.at("wal_status"), Some(&Value::Text("reserved".to_owned())));
    assert_eq!(value.at("apply_errors"), Some(&Value::Int(0)));
    assert!(number(&value, "bytes") >= 0.0 && number(&value, "retained_bytes") >= 0.0);
    stage.value("lag", |value| value.at("seconds").and_then(Value::number).is_some_and(|s| s < 2.0)).await;
    let nowhere = stage.value("nowhere", |value| state(value) == "absent").await;
    assert_eq!(nowhere.at("streaming"), Some(&Value::Bool(false)), "{nowhere}");

    // A transaction that decoding waits for.
    let (open, connection) = tokio_postgres::connect(&old.dsn("postgres"), tokio_postgres::NoTls).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    open.batch_execute("begin; insert into t values (500, 'open')").await.unwrap();
    stage.value("lag", |value| number(value, "oldest_transaction_s") > 0.5).await;
    open.batch_execute("rollback").await.unwrap();

    // Apply breaks: no row in pg_stat_replication, hardly any bytes, and still not green.
    new.sql("insert into t values (200, 'in the way')").await;
    old.sql("insert into t values (200, 'x')").await;
    let value = until(&mut stage, "broken").await;
    assert_eq!(value.at("streaming"), Some(&Value::Bool(false)));
    stage.value("lag", |value| number(value, "apply_errors") >= 1.0).await;
    let value = stage.value("lag", |value| number(value, "seconds") > 2.0).await;
    assert_eq!(state(&value), "broken");
    stage.value("idle", |value| state(value) == "broken" && value.at("seconds") == Some(&Value::Null)).await;
    new.sql("delete from t where id = 200").await;
    let value = until(&mut stage, "streaming").await;
    assert!(number(&value, "seconds") < 10.0);

    // Switched off on purpose.
    new.sql("alter subscription sub disable").await;
    let value = until(&mut stage, "disabled").await;
    assert_eq!(value.at("streaming"), Some(&Value::Bool(false)));
    assert_eq!((value.at("seconds"), heartbeat(&value)), (Some(&Value::Null), "nothing flows"));

    // The slot is gone.
    old.until("select count(*) from pg_replication_slots where active", "0").await;
    old.sql("select pg_drop_replication_slot('sub')").await;
    new.sql("alter subscription sub enable").await;
    let value = until(&mut stage, "slot lost").await;
    assert_eq!(value.at("bytes"), Some(&Value::Null));
    assert_eq!(value.at("wal_status"), Some(&Value::Null));
}

#[tokio::test]
async fn a_first_copy_is_seen_and_an_idle_stream_is_not_zero() {
    let (old, new, heartbeat) = pair().await;
    drop(heartbeat);
    let mut stage = Setting::default()
        .target("old", old.target())
        .target("new", new.target())
        .probe("lag", probe(Some("sub"), Some("sub"), None))
        .stage();
    stage.world.watch();
    until(&mut stage, "streaming").await;
    // A table whose copy cannot finish while somebody holds it.
    let tables = "create table big (id int primary key)";
    old.sql(tables).await;
    new.sql(tables).await;
    let (client, connection) = tokio_postgres::connect(&new.dsn("postgres"), tokio_postgres::NoTls).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    client.batch_execute("begin; lock table big in share mode").await.unwrap();
    new.sql("alter subscription sub refresh publication").await;
    let value = until(&mut stage, "copying").await;
    assert_eq!(value.at("tables"), Some(&Value::Int(3)));
    assert_eq!(value.at("tables_ready"), Some(&Value::Int(2)));
    assert_eq!(value.at("streaming"), Some(&Value::Bool(false)), "changes of that table do not arrive yet");
    client.batch_execute("rollback").await.unwrap();
    until(&mut stage, "streaming").await;
}

#[tokio::test]
async fn physical_replication_until_promotion() {
    let old = Cluster::start().await;
    old.sql("create table hb (id text primary key, n bigint not null); insert into hb values ('hb', 1)").await;
    let new = old.standby().await;
    let mut stage = Setting::default()
        .target("old", old.target())
        .target("new", new.target())
        .probe("lag", probe(None, Some("standby"), Some("hb")))
        .probe("bare", probe(None, None, None))
        .probe("lost", probe(None, Some("no_such_slot"), None))
        .stage();
    stage.world.watch();
    let value = until(&mut stage, "streaming").await;
    assert_eq!(value.at("slot_active"), Some(&Value::Bool(true)));
    stage.value("lag", |value| number(value, "bytes") <= PAGE_HEADER).await;
    stage.value("bare", |value| state(value) == "streaming").await;
    stage.value("lost", |value| value.at("wal_status") == Some(&Value::Null)).await;
    new.sql("select pg_wal_replay_pause()").await;
    old.sql("update hb set n = n + 1").await;
    stage.value("lag", |value| number(value, "bytes") > PAGE_HEADER && number(value, "seconds") > 1.0).await;
    new.sql("select pg_wal_replay_resume()").await;
    stage.value("lag", |value| number(value, "bytes") <= PAGE_HEADER).await;
    new.sql("select pg_promote()").await;
    until(&mut stage, "disabled").await;
}

#[tokio::test]
async fn a_plain_role_sees_whether_changes_flow_and_not_how_old_transactions_are() {
    let (old, new, _heartbeat) = pair().await;
    for side in [&old, &new] {
        side.sql("create role plain login; grant select on hb to plain").await;
    }
    let mut stage = Setting::default()
        .target("old", old.target_as("plain"))
        .target("new", new.target_as("plain"))
        .probe("lag", probe(Some("sub"), None, Some("hb")))
        .stage();
    stage.world.watch();
    let value = until(&mut stage, "streaming").await;
    assert_eq!(value.at("streaming"), Some(&Value::Bool(true)));
    assert_eq!(value.at("oldest_transaction_s"), Some(&Value::Null));
    stage.value("lag", |value| value.at("seconds").and_then(Value::number).is_some_and(|s| s < 2.0)).await;
    new.sql("alter subscription sub disable").await;
    until(&mut stage, "disabled").await;
}

#[tokio::test]
async fn a_plain_role_on_a_standby_cannot_tell_and_is_told_what_it_needs() {
    let old = Cluster::start().await;
    old.sql("create role plain login").await;
    let new = old.standby().await;
    let mut stage = Setting::default()
        .target("old", old.target_as("plain"))
        .target("new", new.target_as("plain"))
        .probe("lag", probe(None, None, None))
        .stage();
    stage.world.watch();
    stage
        .reading("lag", |reading| {
            reading.result.as_ref().err().filter(|failure| failure.what.contains("grant it pg_read_all_stats")).cloned()
        })
        .await;
    old.sql("grant pg_read_all_stats to plain").await;
    until(&mut stage, "streaming").await;
}

/// Two servers and a subscription, and nobody who beats.
pub async fn quiet_pair() -> (Cluster, Cluster) {
    quiet_pair_with(&[]).await
}

/// The same with these settings of both servers.
pub async fn quiet_pair_with(settings: &[&str]) -> (Cluster, Cluster) {
    let (old, new, heartbeat) = pair_with(settings).await;
    drop(heartbeat);
    (old, new)
}

/// The subscription between two servers, to be watched as `lag`.
pub fn subscribed(old: &Cluster, new: &Cluster, heartbeat: Option<&str>) -> Setting {
    let setting = Setting::default().target("old", old.target()).target("new", new.target());
    setting.probe("lag", probe(Some("sub"), None, heartbeat))
}

/// The subscription as the cockpit watches it, heartbeat and all.
pub fn watched(old: &Cluster, new: &Cluster) -> Stage {
    let mut stage = subscribed(old, new, Some("hb")).stage();
    stage.world.watch();
    stage
}

pub fn heartbeat(value: &Value) -> &str {
    value.at("heartbeat").and_then(Value::text).unwrap()
}

fn missing(value: &Value) -> Vec<&str> {
    match value.at("tables_missing") {
        Some(Value::List(names)) => names.iter().filter_map(Value::text).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_cockpit_beats_and_a_stopped_walsender_is_a_growing_number() {
    let (old, new) = quiet_pair().await;
    let mut stage = watched(&old, &new);
    let value = stage.value("lag", |value| value.at("seconds").and_then(Value::number).is_some()).await;
    assert!(number(&value, "seconds") < 2.0 && heartbeat(&value) == "beats", "{value}");
    assert!(number(&value, "heartbeat_age_s") < 2.0, "{value}");
    assert_eq!(new.text("select count(*) from hb where id = 'gonogo sub'").await.as_deref(), Some("1"));
    // A walsender that hangs still has a row that says `streaming`, and a small `replay_lag` for a while.
    let walsender = old.text("select pid from pg_stat_replication").await.unwrap();
    let walsender = rustix::process::Pid::from_raw(walsender.parse().unwrap()).unwrap();
    rustix::process::kill_process(walsender, rustix::process::Signal::STOP).unwrap();
    stage.value("lag", |value| value.at("seconds").and_then(Value::number).is_some_and(|s| s > 3.0)).await;
    rustix::process::kill_process(walsender, rustix::process::Signal::CONT).unwrap();
    stage.value("lag", |value| value.at("seconds").and_then(Value::number).is_some_and(|s| s < 2.0)).await;
}

#[tokio::test]
async fn without_a_beat_nobody_knows_how_late_the_target_is() {
    let (old, new) = quiet_pair().await;
    old.sql("create role plain login; grant select on hb to plain").await;
    let silent = ProbeKind::Replication(ReplicationProbe {
        beat: false,
        source: "old".into(),
        target: "new".into(),
        subscription: Some("sub".to_owned()),
        slot: None,
        heartbeat: Some("hb".to_owned()),
    });
    let refused = ProbeKind::Replication(ReplicationProbe {
        beat: true,
        source: "plain".into(),
        target: "new".into(),
        subscription: Some("sub".to_owned()),
        slot: None,
        heartbeat: Some("hb".to_owned()),
    });
    let mut stage = Setting::default()
        .target("old", old.target())
        .target("plain", old.target_as("plain"))
        .target("new", new.target())
        .probe("silent", silent)
        .probe("refused", refused)
        .stage();
    stage.world.watch();
    let unknown = |value: &Value| value.at("seconds") == Some(&Value::Null);
    // The row of a writer that ended before anybody looked is on both sides, which proves nothing.
    let first = stage.value("silent", |value| state(value) == "streaming").await;
    assert!(unknown(&first), "{first}");
    let value = stage.value("silent", |value| unknown(value) && state(value) == "streaming").await;
    assert_eq!(heartbeat(&value), "nobody beats it");
    let value = stage.value("refused", |value| unknown(value) && heartbeat(value).starts_with("not beaten: ")).await;
    assert!(heartbeat(&value).contains("permission denied for table hb"), "{value}");
}

#[tokio::test]
async fn a_figure_does_not_outlive_the_beats_and_comes_back_with_them() {
    let (old, new) = quiet_pair().await;
    old.sql("create role beater login; grant pg_read_all_stats to beater").await;
    old.sql("grant select, insert, update on hb to beater").await;
    let mut stage = Setting::default()
        .target("old", old.target_as("beater"))
        .target("new", new.target())
        .probe("lag", probe(Some("sub"), None, Some("hb")))
        .stage();
    stage.world.watch();
    let beats = |value: &Value| value.at("seconds").and_then(Value::number).is_some() && heartbeat(value) == "beats";
    let hindrances = [
        // Before the sessions from before it are ended, and after.
        ("alter database postgres set default_transaction_read_only = on", "", said::FENCED),
        (
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'beater'",
            "alter database postgres reset default_transaction_read_only",
            said::FENCED,
        ),
        ("revoke update on hb from beater", "grant update on hb to beater", "permission denied"),
    ];
    for (hinder, release, why) in hindrances {
        if why != said::FENCED || release.is_empty() {
            stage.value("lag", beats).await;
        }
        old.sql(&format!("begin read write; {hinder}; commit")).await;
        let since = stage.clock.now();
        for _ in 0..3 {
            let after = |reading: &Reading| (reading.at >= since).then(|| reading.result.clone());
            // One fails on the connections that were ended.
            let Ok(value) = stage.reading("lag", after).await else { continue };
            assert_eq!(value.at("seconds"), Some(&Value::Null), "{hinder}: {value}");
            assert!(heartbeat(&value).starts_with("not beaten: ") && heartbeat(&value).contains(why), "{value}");
        }
        if !release.is_empty() {
            old.sql(&format!("begin read write; {release}; commit")).await;
        }
    }
    stage.value("lag", beats).await;
}

#[tokio::test]
async fn a_writer_that_stops_leaves_no_figure_behind() {
    let (old, new, mut writer) = pair().await;
    let ProbeKind::Replication(lag) = probe(Some("sub"), None, Some("hb")) else { unreachable!() };
    let mut stage = Setting::default()
        .target("old", old.target())
        .target("new", new.target())
        .probe("lag", ProbeKind::Replication(ReplicationProbe { beat: false, ..lag }))
        .stage();
    stage.world.watch();
    stage.value("lag", |value| value.at("seconds").and_then(Value::number).is_some()).await;
    writer.shutdown().await;
    let since = stage.clock.now();
    // Two measurements without a beat may still tell it, and twice the time between the beats.
    for measured in 1.. {
        let value =
            stage.reading("lag", |reading| (reading.at >= since).then(|| reading.result.clone())).await.unwrap();
        if value.at("seconds") == Some(&Value::Null) {
            assert_eq!(heartbeat(&value), "nobody beats it");
            break;
        }
        assert!(measured < 6, "{value}");
    }
}

#[tokio::test]
async fn the_heartbeat_of_something_else_proves_nothing() {
    let (old, new) = quiet_pair().await;
    // A table of that name on the target that this subscription does not fill.
    old.sql("create table other (id text primary key, n bigint not null)").await;
    new.sql("create table other (id text primary key, n bigint not null)").await;
    let mut stage = Setting::default()
        .target("old", old.target())
        .target("new", new.target())
        .probe("lag", probe(Some("sub"), None, Some("hb")))
        .probe("foreign", probe(Some("sub"), None, Some("other")))
        .stage();
    stage.world.watch();
    let foreign = |value: &Value| heartbeat(value).contains("not a table of this subscription");
    let first = stage.value("foreign", foreign).await;
    // Once the first copy is over.
    let value = stage.value("foreign", |value| foreign(value) && state(value) == "incomplete").await;
    for value in [&first, &value] {
        assert_eq!(value.at("seconds"), Some(&Value::Null));
        assert_eq!(value.at("streaming"), Some(&Value::Bool(false)));
        // Published, and not subscribed before somebody refreshes: rows of it do not arrive, and nothing else shows that.
        assert_eq!(missing(value), ["public.other"]);
    }
    new.sql("alter subscription sub refresh publication").await;
    let value = until(&mut stage, "streaming").await;
    assert!(missing(&value).is_empty());
    // The same table through another subscription: what arrives may have come that way.
    old.sql("create publication beats for table hb").await;
    let second = format!(
        "create subscription second connection '{}' publication beats with (copy_data = false)",
        old.dsn("postgres")
    );
    new.sql(&second).await;
    let value = stage.value("lag", |value| heartbeat(value).contains("a table of the subscription second, too")).await;
    assert_eq!(value.at("seconds"), Some(&Value::Null));
    new.sql("drop subscription second").await;
    stage.value("lag", |value| value.at("seconds").and_then(Value::number).is_some()).await;
    // Written on the target: what is seen there is not from this source.
    new.sql("update hb set n = n + 1000000 where id = 'hb'").await;
    stage
        .reading("lag", |reading| {
            reading.result.as_ref().err().filter(|failure| failure.what.contains("is ahead on")).cloned()
        })
        .await;
}

#[tokio::test]
async fn a_subscription_that_an_error_disabled_is_not_just_disabled() {
    let (old, new) = quiet_pair().await;
    new.sql("alter subscription sub set (disable_on_error = true)").await;
    let mut stage = watched(&old, &new);
    until(&mut stage, "streaming").await;
    new.sql("insert into t values (200, 'in the way')").await;
    old.sql("insert into t values (200, 'x')").await;
    let value = until(&mut stage, "disabled by an error").await;
    assert_eq!(value.at("streaming"), Some(&Value::Bool(false)));
}

/// Drops the slot of a subscription that flows and makes it again by hand; a row in between never arrives.
async fn make_slot_again(old: &Cluster, new: &Cluster, stage: &mut Stage) {
    new.sql("alter subscription sub disable").await;
    old.until("select count(*) from pg_replication_slots where active", "0").await;
    old.sql("select pg_drop_replication_slot('sub')").await;
    new.sql("alter subscription sub enable").await;
    until(stage, "slot lost").await;
    old.sql("insert into t values (300, 'never arrives')").await;
    old.sql("select pg_create_logical_replication_slot('sub', 'pgoutput')").await;
}

/// Makes the subscription again, with a copy of its own.
pub async fn subscribe_anew(old: &Cluster, new: &Cluster) {
    new.sql("drop subscription sub").await;
    new.sql("truncate t, hb").await;
    new.sql(&format!("create subscription sub connection '{}' publication everything", old.dsn("postgres"))).await;
}

#[tokio::test]
async fn a_slot_that_was_made_again_by_hand_is_not_the_slot() {
    let (old, new) = quiet_pair().await;
    let mut stage = watched(&old, &new);
    until(&mut stage, "streaming").await;
    make_slot_again(&old, &new, &mut stage).await;
    let value = until(&mut stage, "slot made again").await;
    assert_eq!(value.at("streaming"), Some(&Value::Bool(false)));
    // Only a new subscription, with a new copy, mends it.
    subscribe_anew(&old, &new).await;
    until(&mut stage, "streaming").await;
    assert_eq!(new.text("select x from t where id = 300").await.as_deref(), Some("never arrives"));
}

/// A slot has no number, so only somebody who remembers that it was gone knows that it is another.
#[tokio::test]
async fn a_slot_that_was_made_again_while_no_cockpit_was_there_is_known_after_a_resume() {
    let (old, new) = quiet_pair().await;
    let setting = subscribed(&old, &new, Some("hb"));
    let mut stage = setting.stage();
    stage.world.watch();
    until(&mut stage, "streaming").await;
    make_slot_again(&old, &new, &mut stage).await;
    // Twice: what the second cockpit has seen must do for the third.
    for _ in 0..2 {
        stage.resume(&setting);
        stage.world.watch();
        let seen = stage.seen.len();
        until(&mut stage, "slot made again").await;
        let later = stage.seen[seen..].iter().filter_map(|event| match event {
            WorldEvent::Reading(reading) => reading.result.as_ref().ok(),
            _ => None,
        });
        assert!(later.into_iter().all(|value| state(value) != "streaming"), "{:?}", &stage.seen[seen..]);
        stage.seen.drain(..seen);
    }
    // Another subscription begins with a copy of its own, which an earlier slot says nothing about.
    subscribe_anew(&old, &new).await;
    stage.resume(&setting);
    stage.world.watch();
    until(&mut stage, "streaming").await;
}

#[tokio::test]
async fn what_is_to_carry_nothing_yet_is_not_written_to() {
    let (old, new) = quiet_pair().await;
    new.sql("alter subscription sub disable").await;
    let mut stage = watched(&old, &new);
    for _ in 0..3 {
        until(&mut stage, "disabled").await;
    }
    let beaten = "select count(*) from hb where id like 'gonogo%'";
    assert_eq!(old.text(beaten).await.as_deref(), Some("0"));
    new.sql("alter subscription sub enable").await;
    old.until(beaten, "1").await;
    until(&mut stage, "streaming").await;
}

#[tokio::test]
async fn a_standby_of_another_source_is_said_to_be_one() {
    let (old, other) = tokio::join!(Cluster::start(), Cluster::start());
    let (foreign, sibling) = (other.standby().await, old.standby().await);
    let below = sibling.standby().await;
    let physical = |target: &str| {
        let ProbeKind::Replication(lag) = probe(None, None, None) else { unreachable!() };
        ProbeKind::Replication(ReplicationProbe { target: target.into(), ..lag })
    };
    let mut stage = Setting::default()
        .target("old", old.target())
        .target("foreign", foreign.target())
        .target("below", below.target())
        .probe("foreign", physical("foreign"))
        .probe("below", physical("below"))
        .stage();
    stage.world.watch();
    let value = stage.value("foreign", |value| state(value) != "broken").await;
    assert_eq!((state(&value), value.at("bytes")), ("another source", Some(&Value::Null)), "{value}");
    stage.value("below", |value| state(value) == "streaming").await;
    // The one in between becomes a primary of its own.
    sibling.sql("select pg_promote()").await;
    sibling.sql("create table t (x int)").await;
    let value = stage.value("below", |value| state(value) == "another source").await;
    assert_eq!(value.at("streaming"), Some(&Value::Bool(false)));
}

/// Waits until the slot has sent something, so that its counts tell it from a new one.
pub async fn until_sent(stage: &mut Stage) {
    stage.value("lag", |value| state(value) == "streaming" && number(value, "slot_transactions") > 0.0).await;
}

/// The same for a slot that has carried more than another one could between two looks, however late the second comes: one that
/// is made again shows by its counts.
pub async fn until_much_was_sent(old: &Cluster, stage: &mut Stage) {
    old.sql(
        "do $$ begin for n in 1..300 loop insert into t values (10000 + n, 'sent'); delete from t where id > 10000; commit; \
         end loop; end $$",
    )
    .await;
    stage.value("lag", |value| state(value) == "streaming" && number(value, "slot_transactions") >= 300.0).await;
}

#[tokio::test]
async fn a_slot_that_was_made_again_in_one_go_is_not_the_slot() {
    let (old, new) = quiet_pair().await;
    let mut stage = watched(&old, &new);
    until_much_was_sent(&old, &mut stage).await;
    // A worker may be back before the slot can be dropped.
    let again = "do $$ begin loop begin \
          perform pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = 'sub' and active; \
          perform pg_drop_replication_slot('sub'); exit; \
        exception when object_in_use then null; end; end loop; end $$; \
        select pg_create_logical_replication_slot('sub', 'pgoutput')";
    old.sql(again).await;
    let value = until(&mut stage, "slot made again").await;
    assert_eq!(value.at("streaming"), Some(&Value::Bool(false)));
    new.until("select count(*) from pg_stat_subscription where pid is not null", "1").await;
    for _ in 0..3 {
        until(&mut stage, "slot made again").await;
    }
    // Only a new subscription, with a new copy, mends it.
    subscribe_anew(&old, &new).await;
    until(&mut stage, "streaming").await;
}

#[tokio::test]
async fn a_slot_that_somebody_moves_while_it_rests_is_not_whole_and_a_step_may_move_it() {
    let (old, new) = quiet_pair().await;
    let mut stage = watched(&old, &new);
    until_sent(&mut stage).await;
    new.sql("alter subscription sub disable").await;
    old.until("select count(*) from pg_replication_slots where active", "0").await;
    for _ in 0..2 {
        until(&mut stage, "disabled").await;
    }
    let advance = "select pg_replication_slot_advance('sub', pg_current_wal_lsn())";
    old.sql("insert into t values (500, 'the step skips it')").await;
    let step = SqlAction { target: "old".into(), ..sql(&[advance]) };
    succeeded(&stage.run(Action::Sql(step)).await);
    let since = stage.clock.now();
    for _ in 0..3 {
        let after = |reading: &Reading| (reading.at >= since).then(|| reading.result.clone());
        let value = stage.reading("lag", after).await.unwrap();
        assert_eq!(state(&value), "disabled", "{value}");
    }
    old.sql("insert into t values (501, 'never arrives')").await;
    old.sql(advance).await;
    until(&mut stage, "slot moved").await;
    new.sql("alter subscription sub enable").await;
    new.until("select count(*) from pg_stat_subscription where pid is not null", "1").await;
    for _ in 0..3 {
        until(&mut stage, "slot moved").await;
    }
}

#[tokio::test]
async fn a_subscription_that_was_made_again_without_a_copy_is_not_the_one_that_was_looked_at() {
    let (old, new) = quiet_pair().await;
    let mut stage = watched(&old, &new);
    until(&mut stage, "streaming").await;
    new.sql("drop subscription sub").await;
    old.sql("insert into t values (600, 'never arrives')").await;
    let again = "create subscription sub connection '{}' publication everything with (copy_data = false)";
    new.sql(&again.replace("{}", &old.dsn("postgres"))).await;
    let value = until(&mut stage, "slot made again").await;
    assert_eq!(value.at("streaming"), Some(&Value::Bool(false)));
}

#[tokio::test]
async fn a_table_that_was_left_out_for_a_while_is_named_until_it_is_copied_again() {
    let (old, new) = quiet_pair().await;
    let mut stage = watched(&old, &new);
    until(&mut stage, "streaming").await;
    let publish = |what: &str| format!("drop publication everything; create publication everything for {what}");
    old.sql(&publish("table hb")).await;
    until(&mut stage, "incomplete").await;
    old.sql("insert into t values (700, 'never arrives')").await;
    old.sql(&publish("all tables")).await;
    let interrupted = |value: &Value| match value.at("tables_interrupted") {
        Some(Value::List(tables)) => tables.iter().filter_map(Value::text).any(|table| table == "public.t"),
        other => panic!("{other:?}"),
    };
    let complete = move |value: &Value| missing(value).is_empty() && state(value) != "broken";
    for _ in 0..3 {
        let value = stage.value("lag", complete).await;
        assert!(interrupted(&value) && state(&value) == "incomplete", "{value}");
    }
    // Taken out and in again, with a copy.
    old.sql(&publish("table hb")).await;
    new.sql("alter subscription sub refresh publication").await;
    new.sql("truncate t").await;
    old.sql(&publish("all tables")).await;
    new.sql("alter subscription sub refresh publication").await;
    let value = until(&mut stage, "streaming").await;
    assert!(!interrupted(&value), "{value}");
    assert_eq!(new.text("select x from t where id = 700").await.as_deref(), Some("never arrives"));
}
