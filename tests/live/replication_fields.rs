//! What the replication probe tells of two real servers besides the stream itself, as a role in `pg_monitor`.

use gonogo::core::kind::ReplicationProbe;
use gonogo::core::probe::ProbeKind;
use gonogo::core::value::Value;
use gonogo::world::World as _;

use crate::pg::Cluster;
use crate::support::{Setting, Stage};

fn probe(subscription: Option<&str>) -> ProbeKind {
    ProbeKind::Replication(ReplicationProbe {
        beat: true,
        source: "old".into(),
        target: "new".into(),
        subscription: subscription.map(str::to_owned),
        slot: None,
        heartbeat: None,
    })
}

/// A source with these settings, and its target.
async fn pair(settings: &[&str]) -> (Cluster, Cluster) {
    let (old, new) = tokio::join!(Cluster::start_with(settings), Cluster::start());
    for side in [&old, &new] {
        side.sql("create role watcher login; grant pg_monitor to watcher; create table t (id int primary key, x text)")
            .await;
    }
    old.sql("create publication everything for all tables").await;
    (old, new)
}

async fn subscribe(old: &Cluster, new: &Cluster) {
    new.sql(&format!("create subscription sub connection '{}' publication everything", old.dsn("postgres"))).await;
}

fn watched(old: &Cluster, new: &Cluster, subscription: Option<&str>) -> Stage {
    let mut stage = Setting::default()
        .target("old", old.target_as("watcher"))
        .target("new", new.target_as("watcher"))
        .probe("lag", probe(subscription))
        .stage();
    stage.world.watch();
    stage
}

fn number(value: &Value, path: &str) -> Option<f64> {
    value.at(path).and_then(Value::number)
}

fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.at(path).and_then(Value::text)
}

fn is_null(value: &Value, path: &str) -> bool {
    value.at(path) == Some(&Value::Null)
}

#[tokio::test]
async fn the_servers_say_who_they_are() {
    let (old, new) = pair(&[]).await;
    subscribe(&old, &new).await;
    let standby = old.standby().await;
    let mut stage = watched(&old, &new, Some("sub"));
    let value = stage.value("lag", |value| text(value, "state") == Some("streaming")).await;
    let system = "select system_identifier::text from pg_control_system()";
    assert_eq!(text(&value, "system_identifier").map(str::to_owned), old.text(system).await);
    assert_eq!(text(&value, "target_system_identifier").map(str::to_owned), new.text(system).await);
    assert_eq!(value.at("timeline"), Some(&Value::Int(1)));
    let year = old.text("select to_char(pg_postmaster_start_time() at time zone 'UTC', 'YYYY-MM-DD')").await.unwrap();
    assert!(text(&value, "started_at").unwrap().starts_with(&year), "{value}");
    assert_eq!(value.at("in_recovery"), Some(&Value::Bool(false)));
    assert_eq!(value.at("target_in_recovery"), Some(&Value::Bool(false)));
    let mut physical = watched(&old, &standby, None);
    let value = physical.value("lag", |value| text(value, "state") == Some("streaming")).await;
    assert_eq!(value.at("target_in_recovery"), Some(&Value::Bool(true)));
    assert_eq!(value.at("target_system_identifier"), value.at("system_identifier"));
    // The standby becomes a primary with a timeline of its own, and a source in recovery is one, too.
    let mut cascade = watched(&standby, &new, Some("sub"));
    let value = cascade.value("lag", |value| value.at("in_recovery") == Some(&Value::Bool(true))).await;
    assert!(is_null(&value, "timeline") && text(&value, "state") == Some("slot lost"), "{value}");
    standby.sql("select pg_promote()").await;
    cascade.value("lag", |value| value.at("timeline") == Some(&Value::Int(2))).await;
}

#[tokio::test]
async fn prepared_transactions_and_sequences_that_stay_behind_are_counted() {
    let (old, new) = pair(&["max_prepared_transactions=5"]).await;
    subscribe(&old, &new).await;
    let mut stage = watched(&old, &new, Some("sub"));
    let value = stage.value("lag", |value| text(value, "state") == Some("streaming")).await;
    assert_eq!(value.at("prepared_transactions"), Some(&Value::Int(0)));
    assert!(is_null(&value, "oldest_prepared_s"));
    assert_eq!((value.at("sequence_gap"), is_null(&value, "sequence")), (Some(&Value::Int(0)), true));

    old.sql("begin; insert into t values (1, 'x'); prepare transaction 'waits'").await;
    let value = stage.value("lag", |value| value.at("prepared_transactions") == Some(&Value::Int(1))).await;
    assert!(number(&value, "oldest_prepared_s").is_some(), "{value}");
    old.sql("commit prepared 'waits'").await;
    stage.value("lag", |value| is_null(value, "oldest_prepared_s")).await;

    // A sequence that only one side has, then one that the role may not read, then one that is behind.
    old.sql("create sequence numbers increment 10").await;
    let value = stage.value("lag", |value| is_null(value, "sequence_gap")).await;
    assert_eq!(text(&value, "sequence"), Some("public.numbers"));
    new.sql("create sequence numbers increment 10; grant usage, select on numbers to watcher").await;
    let value = stage.value("lag", |value| is_null(value, "sequence_gap")).await;
    assert_eq!(text(&value, "sequence"), Some("public.numbers"));
    old.sql("grant usage, select on numbers to watcher").await;
    let value = stage.value("lag", |value| value.at("sequence_gap") == Some(&Value::Int(0))).await;
    assert!(is_null(&value, "sequence"), "neither side has given a number: {value}");
    old.sql("select nextval('numbers') from generate_series(1, 7)").await;
    let value = stage.value("lag", |value| value.at("sequence_gap") == Some(&Value::Int(7))).await;
    assert_eq!(text(&value, "sequence"), Some("public.numbers"));
    new.sql("select setval('numbers', 1000)").await;
    stage.value("lag", |value| value.at("sequence_gap") == Some(&Value::Int(0))).await;
}

#[tokio::test]
async fn a_first_copy_says_how_far_it_is_and_when_it_ends() {
    let (old, new) = pair(&[]).await;
    old.sql("insert into t select g, 'x' from generate_series(1, 15000) g; analyze t").await;
    // A target that takes its time over each row.
    new.sql(
        "create function slow() returns trigger language plpgsql as \
        $$ begin perform pg_sleep(0.001); return new; end $$; \
        create trigger slow before insert on t for each row execute function slow(); \
        alter table t enable always trigger slow",
    )
    .await;
    subscribe(&old, &new).await;
    let mut stage = watched(&old, &new, Some("sub"));
    let value = stage.value("lag", |value| number(value, "copied_in_s").is_some()).await;
    assert_eq!((text(&value, "state"), value.at("rows_to_copy")), (Some("copying"), Some(&Value::Int(15_000))));
    let copied = number(&value, "rows_copied").unwrap();
    assert!(copied > 0.0 && copied < 15_000.0, "{value}");
    new.sql("alter table t disable trigger slow").await;
    let value = stage.value("lag", |value| text(value, "state") == Some("streaming")).await;
    assert!(["rows_to_copy", "rows_copied", "copied_in_s"].iter().all(|path| is_null(&value, path)), "{value}");
}

#[tokio::test]
async fn a_slot_that_runs_out_of_room_says_when() {
    let (old, new) = pair(&["max_slot_wal_keep_size=1GB", "logical_decoding_work_mem=64kB"]).await;
    subscribe(&old, &new).await;
    // Or a large transaction would be sent before its end, and never be put on the disk.
    new.sql("alter subscription sub set (streaming = off)").await;
    let mut stage = watched(&old, &new, Some("sub"));
    let value = stage.value("lag", |value| text(value, "state") == Some("streaming")).await;
    assert!(number(&value, "safe_wal_bytes").is_some(), "{value}");
    assert_eq!(value.at("spilled_bytes"), Some(&Value::Int(0)), "{value}");
    // One large transaction does not fit into the memory of decoding.
    old.sql("insert into t select g, repeat('x', 100) from generate_series(1, 20000) g").await;
    stage.value("lag", |value| number(value, "spilled_bytes").is_some_and(|bytes| bytes > 0.0)).await;
    // Nobody reads, and a lot is written.
    new.sql("alter subscription sub disable").await;
    let value = loop {
        old.sql(
            "insert into t select (select max(id) + 1 from t), string_agg(md5(random()::text), '') \
             from generate_series(1, 30000)",
        )
        .await;
        let value = stage.value("lag", |_| true).await;
        if number(&value, "wal_full_in_s").is_some() {
            break value;
        }
    };
    let room = number(&value, "safe_wal_bytes").unwrap();
    assert!(room > 0.0 && number(&value, "wal_full_in_s").unwrap() > 0.0, "{value}");
    new.sql("alter subscription sub enable").await;
    stage.value("lag", |value| text(value, "state") == Some("streaming") && is_null(value, "wal_full_in_s")).await;
}
