//! What the replication probe says of less usual things: whose slot it is, why a subscription is switched off, and what the
//! role may see.

use gonogo::core::value::{FieldType, Value};
use gonogo::world::World as _;

use crate::replication::{heartbeat, number, probe, quiet_pair, state, until, watched};
use crate::sql;
use crate::support::Setting;

#[tokio::test]
async fn a_heartbeat_table_of_many_rows_holds_our_own() {
    let (old, new) = quiet_pair().await;
    old.sql("insert into hb select 'writer ' || g, g from generate_series(1, 500) g").await;
    let mut stage = watched(&old, &new);
    let value = stage.value("lag", |value| value.at("seconds").and_then(Value::number).is_some()).await;
    assert_eq!(heartbeat(&value), "beats");
    // After all others have been updated, our own is read last by a plain look at the table.
    old.sql("update hb set n = n + 1 where id not like 'gonogo%'").await;
    let since = stage.clock.now();
    for _ in 0..3 {
        let value =
            stage.reading("lag", |reading| (reading.at >= since).then(|| reading.result.clone())).await.unwrap();
        assert!(value.at("seconds").and_then(Value::number).is_some(), "{value}");
    }
}

#[tokio::test]
async fn a_role_without_usage_on_a_schema_can_watch_its_tables() {
    let (old, new) = quiet_pair().await;
    for side in [&old, &new] {
        side.sql("create role watcher login").await;
        side.sql("grant pg_monitor to watcher").await;
        side.sql("create schema secluded").await;
        side.sql("create table secluded.big (id int primary key)").await;
    }
    let holder = new.hold("lock table secluded.big in share mode").await;
    new.sql("alter subscription sub refresh publication").await;
    let mut stage = Setting::default()
        .target("old", old.target_as("watcher"))
        .target("new", new.target_as("watcher"))
        .probe("lag", probe(Some("sub"), None, None))
        .stage();
    stage.world.watch();
    until(&mut stage, "copying").await;
    holder.batch_execute("rollback").await.unwrap();
    let value = until(&mut stage, "streaming").await;
    assert!((number(&value, "tables") - 3.0).abs() < f64::EPSILON, "{value}");
}

#[tokio::test]
async fn a_slot_of_another_database_is_not_of_this_source() {
    let (old, new) = quiet_pair().await;
    old.sql("create database other").await;
    let other = old.in_database("other").await;
    other.batch_execute("create table t (id int primary key, x text); create publication p for table t").await.unwrap();
    let dsn = old.dsn("postgres").replace("dbname=postgres", "dbname=other");
    new.sql("drop subscription sub").await;
    new.sql("truncate t, hb").await;
    new.sql(&format!("create subscription sub connection '{dsn}' publication p")).await;
    let mut stage = watched(&old, &new);
    let value = stage.value("lag", |value| value.at("slot_active") == Some(&Value::Bool(true))).await;
    assert_eq!(state(&value), "another source", "{value}");
    assert_eq!(value.at("streaming"), Some(&Value::Bool(false)));
}

#[tokio::test]
async fn switched_off_does_not_hide_a_slot_that_is_no_good() {
    let (old, new) = quiet_pair().await;
    let mut stage = watched(&old, &new);
    until(&mut stage, "streaming").await;
    new.sql("alter subscription sub disable").await;
    until(&mut stage, "disabled").await;
    old.until("select count(*) from pg_replication_slots where active", "0").await;
    new.sql("alter subscription sub set (slot_name = none)").await;
    until(&mut stage, "slot lost").await;
    drop(stage);
    new.sql("alter subscription sub set (slot_name = 'sub')").await;
    for slot in ["logical_replication_slot('sub', 'test_decoding')", "physical_replication_slot('sub', true)"] {
        old.sql("select pg_drop_replication_slot('sub')").await;
        old.sql(&format!("select pg_create_{slot}")).await;
        let mut stage = watched(&old, &new);
        until(&mut stage, "slot lost").await;
    }
}

#[tokio::test]
async fn a_subscription_that_somebody_switches_off_after_an_error_was_not_switched_off_by_it() {
    let (old, new) = quiet_pair().await;
    let mut stage = watched(&old, &new);
    until(&mut stage, "streaming").await;
    new.sql("insert into t values (200, 'in the way')").await;
    old.sql("insert into t values (200, 'x')").await;
    stage.value("lag", |value| number(value, "apply_errors") >= 1.0).await;
    new.sql("delete from t where id = 200").await;
    until(&mut stage, "streaming").await;
    new.sql("alter subscription sub set (disable_on_error = true)").await;
    new.until("select count(*) from pg_stat_subscription where pid is not null", "1").await;
    let since = stage.clock.now();
    stage.reading("lag", |reading| (reading.at >= since).then_some(())).await;
    new.sql("alter subscription sub disable").await;
    until(&mut stage, "disabled").await;
    // And one that an error switches off afterwards was.
    new.sql("insert into t values (201, 'in the way')").await;
    old.sql("insert into t values (201, 'x')").await;
    new.sql("alter subscription sub enable").await;
    until(&mut stage, "disabled by an error").await;
}

#[tokio::test]
async fn slow_probes_of_ours_are_no_lag() {
    let (old, new) = quiet_pair().await;
    let mut setting = Setting::default().target("old", old.target()).target("new", new.target());
    for name in ["a", "b", "c", "d", "e", "f"] {
        let gonogo::core::probe::ProbeKind::Sql(slow) =
            sql::probe("select pg_sleep(2)::text as x", &[("x", FieldType::String)])
        else {
            unreachable!()
        };
        let target = if name < "d" { "old" } else { "new" };
        let slow = gonogo::core::kind::sql::SqlProbe { target: target.into(), ..slow };
        setting = setting.probe_every(name, gonogo::core::probe::ProbeKind::Sql(slow), 100, 8_000);
    }
    let mut stage = setting.probe("lag", probe(Some("sub"), None, Some("hb"))).stage();
    stage.world.watch();
    stage.value("lag", |value| value.at("seconds").and_then(Value::number).is_some()).await;
    for name in ["a", "d", "a", "d"] {
        stage.reading(name, |reading| reading.result.is_ok().then_some(())).await;
        let value = stage.value("lag", |value| value.at("seconds").and_then(Value::number).is_some()).await;
        assert!(number(&value, "seconds") < 1.0, "{value}");
        assert!(number(&value, "oldest_transaction_s") < 1.0, "{value}");
    }
}

#[tokio::test]
async fn objects_of_others_do_not_answer_for_the_server() {
    let (old, new) = quiet_pair().await;
    old.sql(
        "create role watcher login; grant pg_monitor to watcher; create schema evil; grant usage on schema evil to watcher; \
         create function evil.pg_postmaster_start_time() returns timestamptz language sql as $$ select '2020-01-01'::timestamptz $$; \
         create function evil.pg_control_system(out system_identifier bigint) language sql as $$ select 1::bigint $$; \
         create function evil.pg_current_wal_insert_lsn() returns pg_lsn language sql as $$ select '0/0'::pg_lsn $$; \
         create view evil.pg_replication_slots as select * from pg_catalog.pg_replication_slots where false; \
         grant select on all tables in schema evil to watcher; alter role watcher set search_path = evil, pg_catalog, public",
    )
    .await;
    let mut stage = Setting::default()
        .target("old", old.target_as("watcher"))
        .target("new", new.target())
        .probe("lag", probe(Some("sub"), None, None))
        .stage();
    stage.world.watch();
    let value = until(&mut stage, "streaming").await;
    let system = "select system_identifier::text from pg_control_system()";
    assert_eq!(value.at("system_identifier").and_then(Value::text).map(str::to_owned), old.text(system).await);
    assert!(!value.at("started_at").and_then(Value::text).unwrap().starts_with("2020"), "{value}");
    assert_ne!(value.at("bytes"), Some(&Value::Null));
}
