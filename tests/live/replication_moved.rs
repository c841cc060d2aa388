//! Somebody else than the subscription moves its slot or its origin: what lies in between never arrives.

use gonogo::core::reading::Reading;
use gonogo::core::value::Value;
use gonogo::world::World as _;

use crate::pg::Cluster;
use crate::replication::{number, probe, quiet_pair, quiet_pair_with, state, subscribed, until, until_sent, watched};
use crate::replication_gaps::stays;
use crate::support::{Setting, Stage};

/// Reads everything from the slot, as a tool that was pointed at it does; a worker may have it for a moment.
const CONSUME: &str = "do $$ begin loop begin \
      perform count(*) from pg_logical_slot_get_binary_changes('sub', null, null, 'proto_version', '1', \
        'publication_names', 'everything'); exit; \
    exception when object_in_use then null; end; end loop; end $$";
const ADVANCE: &str = "do $$ begin loop begin \
      perform pg_replication_slot_advance('sub', pg_current_wal_lsn()); exit; \
    exception when object_in_use then null; end; end loop; end $$";
const ADVANCE_ORIGIN: &str = "select pg_replication_origin_advance('pg_' || oid, $lsn) from pg_subscription";

async fn switched_off(old: &Cluster, new: &Cluster, stage: &mut Stage) {
    new.sql("alter subscription sub disable").await;
    old.until("select count(*) from pg_replication_slots where active", "0").await;
    fresh(stage, |value| state(value) == "disabled" && !is_read(value)).await;
}

/// A look that begins from now on.
async fn fresh(stage: &mut Stage, wanted: impl Fn(&Value) -> bool) -> Value {
    let since = stage.clock.now();
    let look = |reading: &Reading| reading.result.clone().ok().filter(|value| reading.at >= since && wanted(value));
    stage.reading("lag", look).await
}

async fn switch_on_and_stay(new: &Cluster, stage: &mut Stage) {
    new.sql("alter subscription sub enable").await;
    new.until("select count(*) from pg_stat_subscription where pid is not null", "1").await;
    stays(stage, "slot moved").await;
}

#[tokio::test]
async fn a_slot_that_a_tool_reads_from_while_it_rests_is_not_whole() {
    let (old, new) = quiet_pair().await;
    for side in [&old, &new] {
        side.sql("create role watcher login; grant pg_monitor to watcher").await;
    }
    let setting = Setting::default().target("old", old.target_as("watcher")).target("new", new.target_as("watcher"));
    let mut stage = setting.probe("lag", probe(Some("sub"), None, None)).stage();
    stage.world.watch();
    until(&mut stage, "streaming").await;
    switched_off(&old, &new, &mut stage).await;
    old.sql("insert into t values (900, 'never arrives')").await;
    old.sql(CONSUME).await;
    until(&mut stage, "slot moved").await;
    switch_on_and_stay(&new, &mut stage).await;
    assert_eq!(new.text("select x from t where id = 900").await, None);
}

#[tokio::test]
async fn an_origin_that_somebody_advances_while_it_rests_leaves_rows_out() {
    let (old, new) = quiet_pair().await;
    let mut stage = watched(&old, &new);
    until_sent(&mut stage).await;
    switched_off(&old, &new, &mut stage).await;
    old.sql("insert into t values (901, 'never arrives')").await;
    let lsn = old.text("select pg_current_wal_lsn()").await.unwrap();
    new.sql(&ADVANCE_ORIGIN.replace("$lsn", &format!("'{lsn}'"))).await;
    until(&mut stage, "slot moved").await;
    switch_on_and_stay(&new, &mut stage).await;
    assert_eq!(new.text("select x from t where id = 901").await, None);
}

fn is_read(value: &Value) -> bool {
    value.at("slot_active") == Some(&Value::Bool(true))
}

/// A worker that fails at a row keeps its subscription switched on, and leaves the slot to whoever comes.
async fn moved_while_the_worker_fails(heartbeat: Option<&str>, how: &str) {
    // As by default: the first time it is started again at once, and then every 5 s.
    let (old, new) = quiet_pair_with(&["wal_retrieve_retry_interval=5s"]).await;
    let mut stage = subscribed(&old, &new, heartbeat).stage();
    stage.world.watch();
    until(&mut stage, "streaming").await;
    new.sql("insert into t values (200, 'in the way')").await;
    old.sql("insert into t values (200, 'x')").await;
    let errors = number(&fresh(&mut stage, |value| number(value, "apply_errors") >= 2.0).await, "apply_errors");
    fresh(&mut stage, |value| number(value, "apply_errors") > errors && !is_read(value)).await;
    old.sql("insert into t values (902, 'never arrives')").await;
    old.sql(how).await;
    until(&mut stage, "slot moved").await;
    new.sql("delete from t where id = 200").await;
    new.until("select count(*) from pg_stat_subscription where pid is not null", "1").await;
    old.sql("insert into t values (903, 'arrives')").await;
    new.until("select count(*) from t where id = 903", "1").await;
    stays(&mut stage, "slot moved").await;
    assert_eq!(new.text("select x from t where id = 902").await, None);
}

#[tokio::test]
async fn a_slot_that_a_tool_reads_from_while_the_worker_fails_is_not_whole() {
    moved_while_the_worker_fails(Some("hb"), CONSUME).await;
}

#[tokio::test]
async fn a_slot_that_is_advanced_while_the_worker_fails_is_not_whole_without_a_heartbeat_too() {
    moved_while_the_worker_fails(None, ADVANCE).await;
}

#[tokio::test]
async fn a_slot_that_was_read_from_while_no_cockpit_was_there_is_known_after_a_resume() {
    let (old, new) = quiet_pair().await;
    let setting = subscribed(&old, &new, Some("hb"));
    let mut stage = setting.stage();
    stage.world.watch();
    until_sent(&mut stage).await;
    switched_off(&old, &new, &mut stage).await;
    stage.resume(&setting);
    old.sql("insert into t select g, 'never arrives' from generate_series(1000, 1100) g").await;
    old.sql(CONSUME).await;
    stage.world.watch();
    stage.seen.clear();
    until(&mut stage, "slot moved").await;
    switch_on_and_stay(&new, &mut stage).await;
    // And what the second cockpit has seen does for the third.
    stage.resume(&setting);
    stage.world.watch();
    stays(&mut stage, "slot moved").await;
}

#[tokio::test]
async fn a_walsender_that_reads_without_a_break_is_told_and_another_one_is_another() {
    let (old, new) = quiet_pair().await;
    let mut stage = watched(&old, &new);
    until_sent(&mut stage).await;
    let since = |value: &Value| value.at("slot_read_since").and_then(Value::text).map(str::to_owned);
    let first = since(&stage.value("lag", |value| since(value).is_some()).await);
    old.sql("select pg_terminate_backend(active_pid) from pg_replication_slots").await;
    stage.value("lag", |value| since(value).is_some() && since(value) != first).await;
}

/// What happens by itself: idle servers confirm what carries nothing, workers fail, come back and fail at another row.
#[tokio::test]
async fn what_a_subscription_does_by_itself_moves_nothing() {
    let (old, new) = quiet_pair().await;
    let setting = subscribed(&old, &new, Some("hb"));
    let mut stage = setting.probe_every("plain", probe(Some("sub"), None, None), 50, 5_000).stage();
    stage.world.watch();
    until_sent(&mut stage).await;
    for side in [&old, &new] {
        side.sql("create table aside (id int)").await;
    }
    for round in 0..4 {
        // Nothing of this is subscribed.
        old.sql("insert into aside select generate_series(1, 100); select pg_logical_emit_message(false, 'x', 'y')")
            .await;
        old.sql("select pg_terminate_backend(active_pid) from pg_replication_slots where active").await;
        new.sql(&format!("insert into t values ({}, 'in the way')", 2000 + round)).await;
        old.sql(&format!("insert into t values ({}, 'arrives')", 3000 + round)).await;
        old.sql(&format!("insert into t values ({}, 'x')", 2000 + round)).await;
        stage.value("plain", |value| number(value, "apply_errors") >= f64::from(round) + 1.0).await;
        new.sql(&format!("delete from t where id = {}", 2000 + round)).await;
        old.until("select count(*) from pg_replication_slots where active", "1").await;
        new.sql("alter subscription sub disable").await;
        until(&mut stage, "disabled").await;
        new.sql("alter subscription sub enable").await;
        let since = stage.clock.now();
        let after = |reading: &Reading| (reading.at >= since).then(|| reading.result.clone());
        while !stage.reading("plain", after).await.is_ok_and(|value| state(&value) != "disabled") {}
    }
    // It is switched on while a look asks the one server after the other.
    for _ in 0..15 {
        new.sql("alter subscription sub disable").await;
        old.until("select count(*) from pg_replication_slots where active", "0").await;
        until(&mut stage, "disabled").await;
        old.sql("insert into aside select generate_series(1, 100)").await;
        new.sql("alter subscription sub enable").await;
        fresh(&mut stage, |value| state(value) != "disabled").await;
    }
    for event in &stage.seen {
        if let gonogo::world::WorldEvent::Reading(Reading { result: Ok(value), .. }) = event {
            assert!(!["slot moved", "slot made again"].contains(&state(value)), "{value}");
        }
    }
}
