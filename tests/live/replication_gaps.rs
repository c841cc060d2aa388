//! What happens to a replication between two looks and leaves rows out for ever, although everything streams afterwards.

use gonogo::core::action::Action;
use gonogo::core::ids::TargetId;
use gonogo::core::kind::sql::SqlAction;
use gonogo::core::reading::Reading;
use gonogo::core::value::Value;
use gonogo::world::World as _;

use crate::pg::Cluster;
use crate::replication::{
    heartbeat, probe, quiet_pair, state, subscribed, until, until_much_was_sent, until_sent, watched,
};
use crate::sql::sql;
use crate::support::{Setting, Stage, key};

fn interrupted(value: &Value) -> Vec<&str> {
    match value.at("tables_interrupted") {
        Some(Value::List(tables)) => tables.iter().filter_map(Value::text).collect(),
        other => panic!("{other:?}"),
    }
}

/// From now on every reading says so, whatever streams.
pub async fn stays(stage: &mut Stage, wanted: &str) {
    let since = stage.clock.now();
    let mut well = 0;
    while well < 3 {
        let after = |reading: &Reading| (reading.at >= since).then(|| reading.result.clone());
        if let Ok(value) = stage.reading("lag", after).await {
            assert_eq!(value.at("streaming"), Some(&Value::Bool(false)), "{value}");
            well += u32::from(state(&value) == wanted);
        }
    }
}

/// Done between two looks: the statements of one side take some milliseconds.
async fn a_gap(on_old: &str, on_new: &str) {
    let (old, new) = quiet_pair().await;
    let mut stage = watched(&old, &new);
    until_sent(&mut stage).await;
    for (cluster, statements) in [(&old, on_old), (&new, on_new)] {
        for statement in statements.split(';').filter(|statement| !statement.trim().is_empty()) {
            cluster.sql(statement).await;
        }
    }
    let value = stage.value("lag", |value| !interrupted(value).is_empty()).await;
    assert!(interrupted(&value).contains(&"public.t"), "{value}");
    stays(&mut stage, "incomplete").await;
}

#[tokio::test]
async fn a_publication_that_left_out_inserts_for_a_moment_left_rows_out() {
    a_gap(
        "alter publication everything set (publish = 'update, delete'); insert into t values (800, 'never arrives'); \
         alter publication everything set (publish = 'insert, update, delete, truncate')",
        "",
    )
    .await;
}

#[tokio::test]
async fn a_table_that_was_made_again_on_the_target_lacks_its_rows() {
    a_gap(
        "",
        "drop table t; create table t (id int primary key, x text); \
         alter subscription sub refresh publication with (copy_data = false)",
    )
    .await;
}

#[tokio::test]
async fn a_table_that_was_made_again_on_the_source_was_not_copied() {
    a_gap("drop table t; create table t (id int primary key, x text)", "").await;
}

#[tokio::test]
async fn a_table_that_was_out_of_its_publication_for_a_moment_lacks_rows() {
    let (old, new) = quiet_pair().await;
    new.sql("alter subscription sub disable").await;
    old.sql("drop publication everything").await;
    old.sql("create publication everything for table hb, t").await;
    new.sql("alter subscription sub enable").await;
    new.sql("alter subscription sub refresh publication").await;
    for filter in ["table hb; insert into t values (800, 'never arrives')", "table hb, t where (id < 0)"] {
        let mut stage = watched(&old, &new);
        until_sent(&mut stage).await;
        assert!(interrupted(&stage.value("lag", |_| true).await).is_empty());
        old.sql(&format!("alter publication everything set {filter}")).await;
        old.sql("alter publication everything set table hb, t").await;
        stage.value("lag", |value| interrupted(value) == ["public.t"]).await;
        stays(&mut stage, "incomplete").await;
    }
}

#[tokio::test]
async fn a_source_that_failed_over_has_another_slot_also_when_it_is_accepted() {
    let (old, new) = quiet_pair().await;
    // Without beats, since the standby may lack the last of them.
    let mut stage = subscribed(&old, &new, None).stage();
    stage.world.watch();
    until(&mut stage, "streaming").await;
    old.sql("insert into t values (899, 'arrives')").await;
    until_sent(&mut stage).await;
    let met = |reading: &Reading| reading.result.is_ok().then(|| reading.servers.clone());
    let first = stage.reading("lag", met).await;
    for (target, server) in &first {
        stage.world.expect(target, server);
    }
    let standby = old.standby().await;
    let old = standby.take_over(old).await;
    old.sql("insert into t values (900, 'never arrives')").await;
    old.sql("select pg_create_logical_replication_slot('sub', 'pgoutput')").await;
    old.until("select count(*) from pg_replication_slots where active", "1").await;
    let source = TargetId::from("old");
    let second = stage.reading("lag", |reading| met(reading).filter(|now| now[&source] != first[&source])).await;
    stage.world.expect(&source, &second[&source]);
    until(&mut stage, "slot made again").await;
    stays(&mut stage, "slot made again").await;
}

#[tokio::test]
async fn a_slot_that_was_made_again_after_a_restart_is_known_to_be() {
    let (mut old, new) = quiet_pair().await;
    let mut stage = watched(&old, &new);
    until_much_was_sent(&old, &mut stage).await;
    let met = |reading: &Reading| reading.result.is_ok().then(|| reading.servers.clone());
    let first = stage.reading("lag", met).await;
    for (target, server) in &first {
        stage.world.expect(target, server);
    }
    new.sql("alter subscription sub disable").await;
    old.shut_down_and_start().await;
    old.sql("insert into t values (901, 'never arrives')").await;
    old.sql("select pg_drop_replication_slot('sub')").await;
    old.sql("select pg_create_logical_replication_slot('sub', 'pgoutput')").await;
    new.sql("alter subscription sub enable").await;
    old.until("select count(*) from pg_replication_slots where active", "1").await;
    let source = TargetId::from("old");
    let second = stage.reading("lag", |reading| met(reading).filter(|now| now[&source] != first[&source])).await;
    stage.world.expect(&source, &second[&source]);
    until(&mut stage, "slot made again").await;
    stays(&mut stage, "slot made again").await;
}

#[tokio::test]
async fn a_restart_alone_does_not_make_a_slot_another_one() {
    let (mut old, new) = quiet_pair().await;
    let mut stage = watched(&old, &new);
    until_sent(&mut stage).await;
    for crashes in [false, true] {
        if crashes {
            old.restart().await;
        } else {
            old.shut_down_and_start().await;
        }
        let since = stage.clock.now();
        let after = |reading: &Reading| {
            (reading.at >= since).then(|| reading.result.as_ref().ok().and_then(|value| value.at("state").cloned()))
        };
        let streams = |value: Option<Value>| value == Some("streaming".into());
        while !streams(stage.reading("lag", |reading| after(reading)).await) {}
        let value = stage.value("lag", |_| true).await;
        assert!(state(&value) == "streaming" && interrupted(&value).is_empty(), "{value}");
    }
}

#[tokio::test]
async fn a_step_that_touches_no_replication_excuses_nothing() {
    let (old, new) = quiet_pair().await;
    let mut stage = watched(&old, &new);
    until_sent(&mut stage).await;
    let sleeps =
        SqlAction { target: "new".into(), limit: gonogo::core::time::Span::secs(60), ..sql(&["select pg_sleep(45)"]) };
    stage.world.start(key("sleeps"), &Action::Sql(sleeps));
    new.until("select count(*) from pg_stat_activity where query = 'select pg_sleep(45)' and state = 'active'", "1")
        .await;
    new.sql("drop subscription sub").await;
    old.sql("insert into t values (902, 'never arrives')").await;
    let again = "create subscription sub connection '{}' publication everything with (copy_data = false)";
    new.sql(&again.replace("{}", &old.dsn("postgres"))).await;
    until(&mut stage, "slot made again").await;
    stays(&mut stage, "slot made again").await;
}

#[tokio::test]
async fn what_was_seen_of_another_server_is_not_held_against_the_one_that_is_meant() {
    let (old, new) = quiet_pair().await;
    let stranger = Cluster::start().await;
    stranger.sql("create table hb (id text primary key, n bigint not null)").await;
    let endpoint = crate::pg_connections::Endpoint::to(old.port).await;
    let setting = Setting::default().target("old", endpoint.target()).target("new", new.target());
    let mut stage = setting.probe("lag", probe(Some("sub"), None, Some("hb"))).stage();
    stage.world.watch();
    until_sent(&mut stage).await;
    let met = |reading: &Reading| reading.result.is_ok().then(|| reading.servers.clone());
    let first = stage.reading("lag", met).await;
    for (target, server) in &first {
        stage.world.expect(target, server);
    }
    let source = TargetId::from("old");
    endpoint.move_to(stranger.port);
    let ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'gonogo%'";
    old.sql(ended).await;
    stage.reading("lag", |reading| met(reading).filter(|now| now[&source] != first[&source])).await;
    endpoint.move_to(old.port);
    stranger.sql(ended).await;
    let again = |reading: &Reading| met(reading).filter(|now| now == &first).map(|_| reading.result.clone().unwrap());
    for _ in 0..3 {
        let value = stage.reading("lag", again).await;
        assert!(state(&value) == "streaming" && interrupted(&value).is_empty(), "{value}");
    }
    assert_eq!(stranger.text("select count(*) from hb").await.as_deref(), Some("0"));
}

/// A worker that hung before anybody looked may be days behind, so that the age of the cockpit's own first beat says
/// nothing.
#[tokio::test]
async fn until_a_beat_has_arrived_nobody_knows_how_late_the_target_is() {
    let (old, new) = quiet_pair().await;
    new.until("select count(*) from pg_subscription_rel where srsubstate <> 'r'", "0").await;
    let holder = new.hold("lock table hb in share mode").await;
    old.sql("insert into t select g, 'x' from generate_series(1000, 1100) g").await;
    let mut stage = watched(&old, &new);
    let stalled = |value: &Value| heartbeat(value) == gonogo::core::kind::replication::heartbeat::STANDS;
    for _ in 0..3 {
        let value = stage.value("lag", stalled).await;
        assert_eq!(value.at("seconds"), Some(&Value::Null), "{value}");
    }
    for event in &stage.seen {
        if let gonogo::world::WorldEvent::Reading(reading) = event {
            assert_eq!(reading.result.as_ref().ok().and_then(|value| value.at("seconds")), Some(&Value::Null));
        }
    }
    holder.batch_execute("rollback").await.unwrap();
    stage.value("lag", |value| value.at("seconds").and_then(Value::number).is_some()).await;
    // The same after it was switched off for a while.
    new.sql("alter subscription sub disable").await;
    until(&mut stage, "disabled").await;
    old.sql("insert into t values (2000, 'x')").await;
    let holder = new.hold("lock table t in share mode").await;
    new.sql("alter subscription sub enable").await;
    for _ in 0..3 {
        let value = stage.value("lag", stalled).await;
        assert_eq!(value.at("seconds"), Some(&Value::Null), "{value}");
    }
    holder.batch_execute("rollback").await.unwrap();
    stage.value("lag", |value| value.at("seconds").and_then(Value::number).is_some()).await;
}
