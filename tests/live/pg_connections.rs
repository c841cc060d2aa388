//! Where connections to PostgreSQL lead, what they say, and what they leave behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use gonogo::core::action::Action;
use gonogo::core::ids::TargetId;
use gonogo::core::kind::ReplicationProbe;
use gonogo::core::kind::sql::{OnWarning, SqlAction, SqlProbe};
use gonogo::core::probe::ProbeKind;
use gonogo::core::reading::Reading;
use gonogo::core::target::{Postgres, Target, Tls};
use gonogo::core::value::{FieldType, Value};
use gonogo::world::{World as _, WorldEvent};
use tokio::net::{TcpListener, TcpStream};

use crate::pg::Cluster;
use crate::pgbouncer::Pooler;
use crate::sql::{probe, sql};
use crate::support::{Setting, failed, succeeded};

fn text_probe(query: &str) -> ProbeKind {
    probe(query, &[("x", FieldType::String)])
}

fn target(dsn: String) -> Target {
    Target::Postgres(Postgres { dsn, password: None, tls: Tls::Disable, ca: None })
}

fn reads(value: &Value, wanted: &str) -> bool {
    value.at("x") == Some(&wanted.into())
}

/// An address that leads to one server and then to another. Connections that are open stay where they are, as they do
/// when a name moves.
pub struct Endpoint {
    port: u16,
    leads_to: Arc<AtomicU16>,
}

impl Endpoint {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Self { port: listener.local_addr().unwrap().port(), leads_to: Arc::new(AtomicU16::new(port)) };
        let leads_to = Arc::clone(&endpoint.leads_to);
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let port = leads_to.load(Ordering::SeqCst);
                tokio::spawn(async move {
                    let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    drop(tokio::io::copy_bidirectional(&mut from, &mut to).await);
                });
            }
        });
        endpoint
    }

    pub fn move_to(&self, port: u16) {
        self.leads_to.store(port, Ordering::SeqCst);
    }

    pub fn target(&self) -> Target {
        target(format!("host=localhost port={} user=postgres dbname=postgres", self.port))
    }
}

#[tokio::test]
async fn nothing_is_written_to_a_server_that_the_address_has_left() {
    let (old, new) = (Cluster::start().await, Cluster::start().await);
    for cluster in [&old, &new] {
        cluster.sql("create table t(x int)").await;
    }
    old.sql("create table here as select 'old' as x").await;
    new.sql("create table here as select 'new' as x").await;
    let endpoint = Endpoint::to(old.port).await;
    let ProbeKind::Sql(here) = text_probe("select x from here") else { unreachable!() };
    let there = SqlProbe { target: "new".into(), ..here };
    let setting = Setting::default().target("db", endpoint.target()).target("new", new.target());
    let setting = setting.probe("there", ProbeKind::Sql(there));
    let mut stage = setting.probe("where", text_probe("select x from here")).stage();
    stage.world.watch();
    stage.value("where", |value| reads(value, "old")).await;
    let there = |reading: &Reading| reading.servers.get(&TargetId::from("new")).cloned();
    let accepted = stage.reading("there", there).await;
    succeeded(&stage.run(Action::Sql(sql(&["insert into t values (1)"]))).await);
    endpoint.move_to(new.port);
    stage.world.expect(&"db".into(), &accepted);
    succeeded(&stage.run(Action::Sql(sql(&["insert into t values (2)"]))).await);
    assert_eq!(old.text("select string_agg(x::text, ' ') from t").await.as_deref(), Some("1"));
    assert_eq!(new.text("select string_agg(x::text, ' ') from t").await.as_deref(), Some("2"));
    // After a step the probes connect anew, too.
    stage.value("where", |value| reads(value, "new")).await;
}

#[tokio::test]
async fn an_action_is_carried_out_on_the_server_that_was_looked_at_and_on_no_other() {
    let (old, mut new) = (Cluster::start().await, Cluster::start().await);
    for cluster in [&old, &new] {
        cluster.sql("create table t(x int)").await;
    }
    let endpoint = Endpoint::to(old.port).await;
    let setting = Setting::default().target("db", endpoint.target());
    let mut stage = setting.probe("row", text_probe("select 'up' as x")).stage();
    stage.world.watch();
    let db = TargetId::from("db");
    let met = |reading: &Reading| reading.result.is_ok().then(|| reading.servers.get(&db).cloned().unwrap());
    let first = stage.reading("row", met).await;
    stage.world.expect(&db, &first);
    succeeded(&stage.run(Action::Sql(sql(&["insert into t values (1)"]))).await);
    endpoint.move_to(new.port);
    let ended = stage.run(Action::Sql(sql(&["insert into t values (2)"]))).await;
    let why = failed(&ended);
    assert!(why.contains("is not the server that this run has met: ") && why.contains("nothing was sent"), "{why}");
    assert!(why.contains("system identifier ") && why.contains("started "), "{why}");
    assert_eq!(new.text("select count(*) from t").await.as_deref(), Some("0"));
    assert_eq!(old.text("select count(*) from t").await.as_deref(), Some("1"));

    // The probe says who answers now; once that is accepted, the action goes there. A restart shows as well.
    let second = stage.reading("row", |reading| met(reading).filter(|now| *now != first)).await;
    assert!(first.difference(&second).is_some_and(|told| told.contains("system identifier ")));
    stage.world.expect(&db, &second);
    succeeded(&stage.run(Action::Sql(sql(&["insert into t values (3)"]))).await);
    assert_eq!(new.text("select count(*) from t").await.as_deref(), Some("1"));
    new.restart().await;
    let third = stage.reading("row", |reading| met(reading).filter(|now| *now != second)).await;
    let told = second.difference(&third).unwrap();
    assert!(told.starts_with("started ") && !told.contains("system identifier"), "{told}");
}

#[tokio::test]
async fn an_action_through_another_name_of_the_address_is_meant_for_the_server_that_was_looked_at() {
    let (old, new) = (Cluster::start().await, Cluster::start().await);
    for cluster in [&old, &new] {
        cluster.sql("create table t(x int); create role admin superuser login").await;
    }
    let endpoint = Endpoint::to(old.port).await;
    let admin = target(format!("host=localhost port={} user=admin dbname=postgres", endpoint.port));
    let setting = Setting::default().target("db", endpoint.target()).target("admin", admin);
    let mut stage = setting.probe("row", text_probe("select 'up' as x")).stage();
    stage.world.watch();
    let db = TargetId::from("db");
    let met = |reading: &Reading| reading.result.is_ok().then(|| reading.servers.get(&db).cloned().unwrap());
    let first = stage.reading("row", met).await;
    stage.world.expect(&db, &first);
    let insert =
        |x: i32| Action::Sql(SqlAction { target: "admin".into(), ..sql(&[&format!("insert into t values ({x})")]) });
    endpoint.move_to(new.port);
    let why = failed(&stage.run(insert(1)).await).to_owned();
    assert!(why.contains("is not the server that this run has met: ") && why.contains("nothing was sent"), "{why}");
    endpoint.move_to(old.port);
    succeeded(&stage.run(insert(2)).await);
    assert_eq!(new.text("select count(*) from t").await.as_deref(), Some("0"));
    assert_eq!(old.text("select string_agg(x::text, ' ') from t").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn the_server_that_the_first_action_met_is_meant_by_every_later_one() {
    let (old, new) = (Cluster::start().await, Cluster::start().await);
    for cluster in [&old, &new] {
        cluster.sql("create table t(x int)").await;
    }
    let endpoint = Endpoint::to(old.port).await;
    let setting = Setting::default().target("db", endpoint.target());
    let mut stage = setting.stage();
    let seen = stage.seen.len();
    succeeded(&stage.run(Action::Sql(sql(&["insert into t values (1)"]))).await);
    let met = stage.seen[seen..].iter().find_map(|event| match event {
        WorldEvent::Met { target, identity } if target.as_str() == "db" => Some(identity.clone()),
        _ => None,
    });
    let met = met.expect("it is told");
    endpoint.move_to(new.port);
    let why = failed(&stage.run(Action::Sql(sql(&["delete from t"]))).await).to_owned();
    assert!(why.contains("is not the server that this run has met: "), "{why}");
    // A later cockpit has it from the journal.
    stage.resume(&setting);
    stage.world.expect(&"db".into(), &met);
    let why = failed(&stage.run(Action::Sql(sql(&["insert into t values (2)"]))).await).to_owned();
    assert!(why.contains("is not the server that this run has met: "), "{why}");
    assert_eq!(new.text("select count(*) from t").await.as_deref(), Some("0"));
    assert_eq!(old.text("select count(*) from t").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn another_database_of_the_same_server_is_not_the_one_that_was_looked_at() {
    let cluster = Cluster::start().await;
    for name in ["shop", "other"] {
        cluster.sql(&format!("create database {name}")).await;
    }
    let of = |name: &str| cluster.dsn("postgres").replace("dbname=postgres", &format!("dbname={name}"));
    let setting = Setting::default().target("db", target(of("shop")));
    let mut stage = setting.probe("row", text_probe("select 'up' as x")).stage();
    stage.world.watch();
    let db = TargetId::from("db");
    let met = |reading: &Reading| reading.result.is_ok().then(|| reading.servers.get(&db).cloned().unwrap());
    let first = stage.reading("row", met).await;
    stage.world.expect(&db, &first);
    for (from, to) in [("shop", "shop_before"), ("other", "shop")] {
        // The probe connects again and again.
        cluster.sql(&format!("alter database {from} allow_connections false")).await;
        let end = "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where datname";
        cluster.until(&format!("{end} = '{from}'"), "0").await;
        cluster.sql(&format!("alter database {from} rename to {to}")).await;
        cluster.sql(&format!("alter database {to} allow_connections true")).await;
    }
    let why = failed(&stage.run(Action::Sql(sql(&["create table t (x int)"]))).await).to_owned();
    assert!(why.contains("database oid ") && !why.contains("started"), "{why}");
    let second = stage.reading("row", |reading| met(reading).filter(|now| *now != first)).await;
    assert!(first.difference(&second).unwrap().starts_with("database oid "));
}

#[tokio::test]
async fn a_fence_is_seen_as_the_database_has_it_and_not_as_our_own_session_does() {
    let cluster = Cluster::start().await;
    let ask = text_probe("select current_setting('default_transaction_read_only') as x");
    let dsn = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", cluster.port);
    // A session that reports itself as read only would fail this check.
    let mut stage = Setting::default()
        .target("db", target(format!("{dsn} target_session_attrs=read-write")))
        .probe("fence", ask)
        .stage();
    stage.world.watch();
    stage.value("fence", |value| reads(value, "off")).await;
    let fence = sql(&["alter database postgres set default_transaction_read_only = on"]);
    succeeded(&stage.run(Action::Sql(fence)).await);
    let refused = stage.failure("fence").await;
    assert!(refused.contains("does not allow writes"), "{refused}");
    let mut stage = Setting::default()
        .target("db", target(dsn))
        .probe("fence", text_probe("select current_setting('default_transaction_read_only') as x"))
        .stage();
    stage.world.watch();
    stage.value("fence", |value| reads(value, "on")).await;
    // The fence does not stop the role that has to remove it.
    let open = sql(&["alter database postgres reset default_transaction_read_only"]);
    succeeded(&stage.run(Action::Sql(open)).await);
    stage.value("fence", |value| reads(value, "off")).await;
}

#[tokio::test]
async fn what_the_server_warns_of_is_shown_and_fails_the_step_when_asked() {
    let cluster = Cluster::start_with(&["wal_level=replica"]).await;
    cluster.sql("create table t(x int)").await;
    let mut stage = Setting::default().target("db", cluster.target()).stage();
    let publish = "create publication p for table t";
    let done = stage.run(Action::Sql(sql(&[publish]))).await;
    assert!(succeeded(&done).contains("the server warns: ") && succeeded(&done).contains("wal_level"), "{done:?}");
    assert!(stage.lines().iter().any(|line| line.trim_start().starts_with("WARNING: ")), "{:?}", stage.lines());
    cluster.sql("drop publication p").await;

    let strict = SqlAction { warnings: OnWarning::Fail, transaction: true, ..sql(&[publish]) };
    let ended = stage.run(Action::Sql(strict)).await;
    assert!(failed(&ended).contains("gave a warning") && failed(&ended).contains("nothing was changed"), "{ended:?}");
    assert_eq!(cluster.text("select count(*) from pg_publication").await.as_deref(), Some("0"));
    let strict = SqlAction { warnings: OnWarning::Fail, ..sql(&[publish]) };
    let ended = stage.run(Action::Sql(strict)).await;
    assert!(failed(&ended).contains("the statement has taken effect"), "{ended:?}");

    // A notice is no warning; a thousand of them are counted; and hostile ones cannot draw.
    let talk = "do $$ begin for i in 1..1000 loop raise notice 'row % of 1000\x1b[2J', i; end loop; end $$";
    let strict = SqlAction { warnings: OnWarning::Fail, ..sql(&[talk]) };
    succeeded(&stage.run(Action::Sql(strict)).await);
    let lines = stage.lines();
    assert!(lines.iter().any(|line| line.contains("NOTICE: row 1 of 1000")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("900 more notices")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains('\u{1b}')), "{lines:?}");
}

#[tokio::test]
async fn nothing_of_ours_is_left_on_a_session_that_a_pooler_hands_on() {
    for more in ["", "ignore_startup_parameters = options"] {
        let pooler = Pooler::start_with(&format!("default_pool_size = 1\n{more}")).await;
        let mut stage = Setting::default()
            .target("db", pooler.target("app", "shop"))
            .probe("row", text_probe("select current_setting('statement_timeout') as x"))
            .stage();
        pooler.cluster.sql("create table t(x int)").await;
        stage.world.watch();
        // Inside our own transaction the limit holds.
        stage.value("row", |value| reads(value, "3s")).await;
        let done = stage.run(Action::Sql(sql(&["insert into t values (1)"]))).await;
        succeeded(&done);
        let together =
            SqlAction { transaction: true, ..sql(&["insert into t values (2)", "insert into t values (3)"]) };
        succeeded(&stage.run(Action::Sql(together)).await);
        assert!(stage.lines().iter().any(|line| line.contains("through a pooler")), "{:?}", stage.lines());
        let client = pooler.client("shop").await;
        for setting in ["statement_timeout", "lock_timeout", "default_transaction_read_only"] {
            let messages = client.simple_query(&format!("show {setting}")).await.unwrap();
            let shown = messages.iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            });
            let wanted = if setting == "default_transaction_read_only" { "off" } else { "0" };
            assert_eq!(shown.as_deref(), Some(wanted), "{setting} {more}");
        }
    }
}

#[tokio::test]
async fn a_pooler_that_leads_to_another_server_is_noticed_by_the_next_look_and_no_beat_is_written_there() {
    let pooler = Pooler::start_with("").await;
    let (old, wrong, new) = (&pooler.cluster, Cluster::start().await, Cluster::start().await);
    for cluster in [old, &wrong, &new] {
        cluster.sql("create table hb (id text primary key, n bigint not null)").await;
    }
    old.sql("create publication everything for all tables").await;
    new.sql(&format!("create subscription sub connection '{}' publication everything", old.dsn("postgres"))).await;
    let lag = ProbeKind::Replication(ReplicationProbe {
        beat: true,
        source: "db".into(),
        target: "new".into(),
        subscription: Some("sub".to_owned()),
        slot: None,
        heartbeat: Some("hb".to_owned()),
    });
    let setting = Setting::default().target("db", pooler.target("app", "shop")).target("new", new.target());
    let mut stage = setting.probe("row", text_probe("select 'up' as x")).probe("lag", lag).stage();
    stage.world.watch();
    let db = TargetId::from("db");
    let first = stage.reading("row", |reading| reading.servers.get(&db).cloned()).await;
    stage.value("lag", |value| value.at("seconds").and_then(Value::number).is_some()).await;
    let beats = "select count(*) from hb";
    assert_eq!(old.text(beats).await.as_deref(), Some("1"));
    // A beat that is expected nowhere could go anywhere.
    stage.world.expect(&db, &first);
    pooler.lead_to(wrong.port).await;
    old.until("select count(*) from pg_stat_activity where application_name = 'gonogo watch'", "0").await;
    let since = stage.clock.now();
    for probe in ["row", "lag", "row", "lag", "row"] {
        let next = |reading: &Reading| (reading.at >= since).then(|| (reading.result.clone(), reading.servers.clone()));
        let (result, servers) = stage.reading(probe, next).await;
        assert!(result.is_err() || servers.get(&db) != Some(&first), "{result:?} of {servers:?}");
    }
    assert_eq!(wrong.text(beats).await.as_deref(), Some("0"));
}
