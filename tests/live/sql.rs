//! SQL probes and actions against a real server.

use std::collections::BTreeMap;

use gonogo::core::action::Action;
use gonogo::core::kind::sql::{OnWarning, SqlAction, SqlExpect, SqlProbe};
use gonogo::core::plan::SecretSource;
use gonogo::core::probe::ProbeKind;
use gonogo::core::target::{Postgres, Target, Tls};
use gonogo::core::time::Span;
use gonogo::core::value::{FieldType, Value};
use gonogo::world::World as _;

use crate::pg::Cluster;
use crate::support::{Setting, certificates, failed, free_port, key, succeeded, unknown};

pub fn probe(query: &str, fields: &[(&str, FieldType)]) -> ProbeKind {
    ProbeKind::Sql(SqlProbe {
        target: "db".into(),
        query: query.to_owned(),
        fields: fields.iter().map(|(name, of)| ((*name).to_owned(), *of)).collect(),
        as_of: None,
        simulate: BTreeMap::new(),
    })
}

pub fn sql(statements: &[&str]) -> SqlAction {
    SqlAction {
        target: "db".into(),
        statements: statements.iter().map(|text| (*text).to_owned()).collect(),
        transaction: false,
        expect: None,
        limit: Span::secs(5),
        warnings: OnWarning::Show,
        simulate: Vec::new(),
    }
}

fn password(port: u16, password: &str) -> Target {
    let dsn = format!("host=127.0.0.1 port={port} user=gonogo dbname=postgres");
    Target::Postgres(Postgres { dsn, password: Some(password.to_owned()), tls: Tls::Disable, ca: None })
}

#[tokio::test]
async fn probes_read_rows_of_every_type_and_cannot_write() {
    let cluster = Cluster::start().await;
    let one = [("x", FieldType::Int)];
    let mut stage = Setting::default()
        .target("db", cluster.target())
        .probe(
            "row",
            probe(
                "select 7::int8 as i, 1.50::numeric as f, true as b, 'a'||chr(27)||'b' as t, null::int as n, '{1,2}'::int[] as l -- done\n;",
                &[
                    ("i", FieldType::Int),
                    ("f", FieldType::Float),
                    ("b", FieldType::Bool),
                    ("t", FieldType::String),
                    ("n", FieldType::Int),
                    ("l", FieldType::Any),
                ],
            ),
        )
        .probe("none", probe("select 1 as x where false", &one))
        .probe("many", probe("select generate_series(1, 3) as x", &one))
        .probe("other", probe("select 1 as y", &one))
        .probe("write", probe("select nextval('s') as x", &one))
        .probe("wrong", probe("select nonsense as x", &one))
        .probe("tiny", probe("select '1e-400'::numeric as x", &[("x", FieldType::Float)]))
        .probe_every("slow", probe("select 1 as x from pg_sleep(60)", &one), 200, 600)
        .stage();
    cluster.sql("create sequence s").await;
    stage.world.watch();
    let row = stage.value("row", |_| true).await;
    assert_eq!(row.at("i"), Some(&Value::Int(7)));
    assert_eq!(row.at("f"), Some(&Value::Float(1.5)));
    assert_eq!(row.at("b"), Some(&Value::Bool(true)));
    assert_eq!(row.at("t"), Some(&Value::Text("a␛b".to_owned())));
    assert_eq!(row.at("n"), Some(&Value::Null));
    assert!(stage.failure("none").await.contains("gives no row"));
    assert!(stage.failure("many").await.contains("more than one row"));
    assert!(stage.failure("other").await.contains("no column `x`; it has y"));
    let write = stage.failure("write").await;
    assert!(write.contains("read-only") && write.contains("25006"), "{write}");
    let wrong = stage.failure("wrong").await;
    assert!(wrong.contains("nonsense") && wrong.contains("42703"), "{wrong}");
    let tiny = stage.failure("tiny").await;
    assert!(tiny.contains("closer to 0 than what can be told from it"), "{tiny}");
    let slow = stage.failure("slow").await;
    assert!(slow.contains("no answer from db within 600 ms"), "{slow}");
}

#[tokio::test]
async fn dead_database_and_wrong_password_are_said_plainly() {
    let cluster = Cluster::start().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let fields = BTreeMap::from([("x".to_owned(), FieldType::Int)]);
    let on = |target: &str| {
        let query = "select 1 as x".to_owned();
        ProbeKind::Sql(SqlProbe {
            target: target.into(),
            query,
            fields: fields.clone(),
            as_of: None,
            simulate: BTreeMap::new(),
        })
    };
    let dead = free_port();
    let tls = Postgres { dsn: cluster.dsn("postgres"), password: None, tls: Tls::VerifyFull, ca: None };
    let mut stage = Setting::default()
        .target("good", password(cluster.port, "«secret:pw»"))
        .target("bad", password(cluster.port, "wrong-canary"))
        .target("dead", password(dead, "x"))
        .target("mute", password(silent.local_addr().unwrap().port(), "x"))
        .target("plain", Target::Postgres(tls))
        .secret("pw", SecretSource::Command(vec!["echo".to_owned(), "pg-canary-42".to_owned()]))
        .probe("good", on("good"))
        .probe("bad", on("bad"))
        .probe("dead", on("dead"))
        .probe("plain", on("plain"))
        .probe_every("mute", on("mute"), 200, 500)
        .stage();
    stage.world.watch();
    stage.value("good", |value| value.at("x") == Some(&Value::Int(1))).await;
    assert_eq!(
        stage.failure("bad").await,
        format!("bad (127.0.0.1:{}) refuses the password for user gonogo (28P01)", cluster.port)
    );
    assert_eq!(stage.failure("dead").await, format!("connection refused by dead (127.0.0.1:{dead})"));
    assert_eq!(stage.failure("mute").await, "no answer from mute within 500 ms");
    let plain = stage.failure("plain").await;
    assert!(plain.contains("TLS"), "{plain}");
    stage.assert_clean(&["pg-canary-42", "wrong-canary"]);
}

#[tokio::test]
async fn tls_is_verified_to_the_name() {
    let dir = Cluster::folder();
    certificates(dir.path());
    let path = |name: &str| dir.path().join(name).display().to_string();
    let postgres = dir.path().metadata().unwrap();
    let (uid, gid) = (std::os::unix::fs::MetadataExt::uid(&postgres), std::os::unix::fs::MetadataExt::gid(&postgres));
    std::os::unix::fs::chown(path("server.key"), Some(uid), Some(gid)).unwrap();
    let settings = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", path("server.pem")),
        format!("ssl_key_file={}", path("server.key")),
    ];
    let cluster = Cluster::start_with(&settings.each_ref().map(String::as_str)).await;
    let target = |host: &str, ca: Option<&str>| {
        let dsn = format!("host={host} hostaddr=127.0.0.1 port={} user=gonogo dbname=postgres", cluster.port);
        let password = Some("pg-canary-42".to_owned());
        Target::Postgres(Postgres { dsn, password, tls: Tls::VerifyFull, ca: ca.map(path) })
    };
    let fields = [("x".to_owned(), FieldType::Bool)];
    let on = |target: &str| {
        let query = "select ssl as x from pg_stat_ssl where pid = pg_backend_pid()".to_owned();
        let fields = fields.clone().into();
        ProbeKind::Sql(SqlProbe { target: target.into(), query, fields, as_of: None, simulate: BTreeMap::new() })
    };
    let mut stage = Setting::default()
        .target("good", target("localhost", Some("ca.pem")))
        .target("name", target("db.example", Some("ca.pem")))
        .target("stranger", target("localhost", Some("server.pem")))
        .target("missing", target("localhost", Some("none.pem")))
        .probe("good", on("good"))
        .probe("name", on("name"))
        .probe("stranger", on("stranger"))
        .probe("missing", on("missing"))
        .stage();
    stage.world.watch();
    stage.value("good", |value| value.at("x") == Some(&Value::Bool(true))).await;
    let name = stage.failure("name").await;
    assert!(name.starts_with("TLS with name (db.example:") && name.contains("not valid for name"), "{name}");
    let stranger = stage.failure("stranger").await;
    assert!(stranger.starts_with("TLS with stranger ("), "{stranger}");
    assert!(stage.failure("missing").await.contains("none.pem cannot be used"));
}

#[tokio::test]
async fn statements_run_one_by_one_with_progress() {
    let cluster = Cluster::start().await;
    let mut stage = Setting::default().target("db", cluster.target()).stage();
    let mut action =
        sql(&["create table t (n int)", "insert into t select generate_series(1, 3)", "select count(*) from t"]);
    action.expect = Some(SqlExpect::Value("3".to_owned()));
    let outcome = stage.run(Action::Sql(action)).await;
    assert_eq!(succeeded(&outcome), "1 row");
    let lines = stage.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1].starts_with("2/3 insert into t select generate_series(1, 3) ok, 3 rows, "), "{lines:?}");

    let mut action = sql(&["delete from t where n > 1"]);
    action.expect = Some(SqlExpect::Rows(3));
    action.transaction = true;
    let outcome = stage.run(Action::Sql(action)).await;
    assert!(failed(&outcome).contains("expected 3 rows, got 2; rolled back, nothing was changed"), "{outcome:?}");
    assert_eq!(cluster.text("select count(*) from t").await.as_deref(), Some("3"));

    let outcome = stage.run(Action::Sql(sql(&["insert into t values (9)", "insert into nowhere values (1)"]))).await;
    let what = failed(&outcome);
    assert!(
        what.contains("statement 2/2 failed")
            && what.contains("42P01")
            && what.contains("the statement before it has taken effect"),
        "{what}"
    );

    let mut action = sql(&["insert into t values (10)", "select 1/0"]);
    action.transaction = true;
    let outcome = stage.run(Action::Sql(action)).await;
    assert!(failed(&outcome).contains("nothing was changed"), "{outcome:?}");
    assert_eq!(cluster.text("select count(*) from t").await.as_deref(), Some("4"));
    // Writes also where the database has been fenced.
    cluster.sql("alter database postgres set default_transaction_read_only = on").await;
    succeeded(&stage.run(Action::Sql(sql(&["insert into t values (11)"]))).await);
}

#[tokio::test]
async fn what_the_server_quotes_holds_no_secret_and_no_control_characters() {
    let cluster = Cluster::start().await;
    let mut stage = Setting::default()
        .target("db", cluster.target())
        .secret("pw", SecretSource::Command(vec!["echo".to_owned(), "sql-canary-7".to_owned()]))
        .probe("row", probe("select '«secret:pw»' as gonogo", &[("gonogo", FieldType::String)]))
        .stage();
    let outcome = stage.run(Action::Sql(sql(&["select '«secret:pw»'::int"]))).await;
    assert!(failed(&outcome).contains("«secret:pw»") && failed(&outcome).contains("22P02"), "{outcome:?}");
    let mut action = sql(&["select 'x' || '«secret:pw»'"]);
    action.expect = Some(SqlExpect::Value("«secret:pw»".to_owned()));
    let outcome = stage.run(Action::Sql(action)).await;
    assert!(failed(&outcome).contains("expected «secret:pw», got x«secret:pw»"), "{outcome:?}");
    let outcome = stage.run(Action::Sql(sql(&["do $$ begin raise exception e'a\\x1b[2Jb\\nc'; end $$"]))).await;
    assert!(failed(&outcome).contains("a␛[2Jb c"), "{outcome:?}");
    stage.world.watch();
    stage.value("row", |value| value.at("gonogo") == Some(&Value::Text("«secret:pw»".to_owned()))).await;
    stage.assert_clean(&["sql-canary-7"]);
}

#[tokio::test]
async fn a_statement_is_limited_and_can_be_stopped() {
    let cluster = Cluster::start().await;
    let mut stage = Setting::default().target("db", cluster.target()).stage();
    let mut action = sql(&["select pg_sleep(60)"]);
    action.limit = Span(400);
    let outcome = stage.run(Action::Sql(action)).await;
    assert!(failed(&outcome).contains("statement 1/1 was cancelled"), "{outcome:?}");

    let stopped = key("stopped");
    stage.world.start(stopped.clone(), &Action::Sql(sql(&["select pg_sleep(4)"])));
    cluster
        .until("select count(*) from pg_stat_activity where query = 'select pg_sleep(4)' and state = 'active'", "1")
        .await;
    stage.world.stop(&stopped);
    let outcome = stage.ended(&stopped).await;
    assert!(failed(&outcome).contains("57014"), "{outcome:?}");
}

/// A statement that ends well although it is cancelled, so that a stop comes between it and what follows.
const PATIENT: &str = "do $$ begin perform pg_sleep(60); exception when query_canceled then null; end $$";

#[tokio::test]
async fn a_stop_between_statements_keeps_the_rest_from_being_sent() {
    let cluster = Cluster::start().await;
    cluster.sql("create table t (n int)").await;
    let mut stage = Setting::default().target("db", cluster.target()).stage();
    let insert = "insert into t values (1)";
    let sleeping = format!(
        "select count(*) from pg_stat_activity where query = '{}' and wait_event = 'PgSleep'",
        PATIENT.replace('\'', "''")
    );
    let mut outcomes = Vec::new();
    for (name, statements, transaction) in [
        ("second", vec![insert, PATIENT, insert, insert], false),
        ("undone", vec![insert, PATIENT, insert], true),
        ("commit", vec![insert, PATIENT], true),
        ("late", vec![PATIENT], false),
    ] {
        let (key, mut action) = (key(name), sql(&statements));
        (action.transaction, action.limit) = (transaction, Span::secs(30));
        stage.world.start(key.clone(), &Action::Sql(action));
        cluster.until(&sleeping, "1").await;
        stage.world.stop(&key);
        outcomes.push(stage.ended(&key).await);
    }
    let rolled_back = "the transaction was rolled back, nothing was changed";
    assert_eq!(failed(&outcomes[0]), "stopped before statement 3 of 4; the 2 statements before it have taken effect");
    assert_eq!(failed(&outcomes[1]), format!("stopped before statement 3 of 3; {rolled_back}"));
    assert_eq!(failed(&outcomes[2]), format!("stopped before COMMIT; {rolled_back}"));
    assert_eq!(succeeded(&outcomes[3]), "0 rows; everything had taken effect before it could be stopped");
    assert_eq!(cluster.text("select count(*) from t").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_statement_is_unknown() {
    let mut cluster = Cluster::start().await;
    let mut stage = Setting::default().target("db", cluster.target()).stage();
    let broken = key("broken");
    stage.world.start(broken.clone(), &Action::Sql(sql(&["select pg_sleep(4)"])));
    cluster
        .until("select count(*) from pg_stat_activity where query = 'select pg_sleep(4)' and state = 'active'", "1")
        .await;
    cluster.crash().await;
    let outcome = stage.ended(&broken).await;
    assert!(unknown(&outcome).contains("statement 1/1 was sent"), "{outcome:?}");
    let outcome = stage.run(Action::Sql(sql(&["select 1"]))).await;
    assert!(
        failed(&outcome).contains("connection refused by db") && failed(&outcome).ends_with("nothing was sent"),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced_before_anything_is_sent() {
    let cluster = Cluster::start().await;
    let mut stage = Setting::default().target("db", cluster.target()).stage();
    succeeded(&stage.run(Action::Sql(sql(&["select 1"]))).await);
    cluster.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'gonogo act'").await;
    cluster.until("select count(*) from pg_stat_activity where application_name = 'gonogo act'", "0").await;
    succeeded(&stage.run(Action::Sql(sql(&["select 1"]))).await);
}
