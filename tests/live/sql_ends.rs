//! How SQL actions end: what a limit or a stop leaves running, and what is said of a transaction that did not stay one.

use gonogo::core::action::Action;
use gonogo::core::kind::sql::SqlAction;
use gonogo::core::target::{Postgres, Target, Tls};
use gonogo::core::time::Span;
use gonogo::world::World as _;

use crate::pg::Cluster;
use crate::pgbouncer::Pooler;
use crate::sql::sql;
use crate::support::{Setting, certificates, failed, key, succeeded};

const SLEEPS: &str = "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'";

fn sleeper(transaction: bool, limit: Span) -> Action {
    Action::Sql(SqlAction { transaction, limit, ..sql(&["select pg_sleep(60)"]) })
}

/// A statement that nobody stops runs for a minute, longer than anybody waits here.
async fn a_limit_and_a_stop_reach_the_server(pooler: &Pooler, target: Target) {
    let mut stage = Setting::default().target("db", target).stage();
    for transaction in [false, true] {
        let ended = stage.run(sleeper(transaction, Span(400))).await;
        assert!(failed(&ended).contains("was cancelled") && failed(&ended).contains("57014"), "{ended:?}");
        assert_eq!(pooler.cluster.text(SLEEPS).await.as_deref(), Some("0"), "{transaction}");
        let stopped = key(&format!("stopped {transaction}"));
        stage.world.start(stopped.clone(), &sleeper(transaction, Span::secs(50)));
        pooler.cluster.until(SLEEPS, "1").await;
        stage.world.stop(&stopped);
        let ended = stage.ended(&stopped).await;
        assert!(failed(&ended).contains("57014"), "{ended:?}");
        assert_eq!(pooler.cluster.text(SLEEPS).await.as_deref(), Some("0"), "{transaction}");
    }
}

#[tokio::test]
async fn a_limit_and_a_stop_reach_the_server_through_a_pooler() {
    let pooler = Pooler::start_with("").await;
    a_limit_and_a_stop_reach_the_server(&pooler, pooler.target("app", "shop")).await;
}

#[tokio::test]
async fn a_limit_and_a_stop_reach_the_server_through_a_pooler_with_tls() {
    let dir = Cluster::folder();
    certificates(dir.path());
    let path = |name: &str| dir.path().join(name).display().to_string();
    let owner = dir.path().metadata().unwrap();
    let (uid, gid) = (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
    std::os::unix::fs::chown(path("server.key"), Some(uid), Some(gid)).unwrap();
    let (key, pem) = (path("server.key"), path("server.pem"));
    let more = format!("client_tls_sslmode = allow\nclient_tls_key_file = {key}\nclient_tls_cert_file = {pem}");
    let pooler = Pooler::start_with(&more).await;
    let dsn = pooler.dsn("app", "shop").replace("host=127.0.0.1", "host=localhost hostaddr=127.0.0.1");
    let target = Target::Postgres(Postgres { dsn, password: None, tls: Tls::VerifyFull, ca: Some(path("ca.pem")) });
    a_limit_and_a_stop_reach_the_server(&pooler, target).await;
}

#[tokio::test]
async fn a_transaction_that_a_statement_ended_is_not_said_to_have_been_rolled_back() {
    let cluster = Cluster::start().await;
    cluster.sql("create table t (n int)").await;
    let mut stage = Setting::default().target("db", cluster.target()).stage();
    let together = |statements: &[&str]| Action::Sql(SqlAction { transaction: true, ..sql(statements) });
    let cases: [&[&str]; 6] = [
        &["insert into t values (1)", "commit"],
        &["insert into t values (1); commit"],
        &["insert into t values (1)", "commit; begin", "select 1/0"],
        &["insert into t values (1); commit; select 1/0"],
        &["insert into t values (1); commit; begin; select 1/0"],
        &["insert into t values (1); /* done */ end /* it */; insert into nowhere values (1)"],
    ];
    for (statements, kept) in cases.into_iter().zip(1..) {
        let ended = stage.run(together(statements)).await;
        let what = failed(&ended);
        assert!(what.contains("taken effect"), "{statements:?}: {what}");
        assert!(!what.contains("nothing was changed"), "{statements:?}: {what}");
        assert_eq!(cluster.text("select count(*) from t").await, Some(kept.to_string()), "{statements:?}");
    }
    let ended = stage.run(together(&["insert into t values (2)", "rollback"])).await;
    assert!(failed(&ended).contains("statement 2/2 ended the transaction"), "{ended:?}");
    // What is no end of a transaction is none.
    for statements in [
        &["set transaction isolation level serializable", "insert into t values (3)"] as &[&str],
        &["savepoint a", "insert into t values (3)", "rollback to savepoint a", "insert into t values (3)"],
        &["do $$ begin perform 1; end $$", "insert into t values (3)"],
        &["lock table t", "insert into t select 3 where 'x;commit;' <> ''"],
    ] {
        succeeded(&stage.run(together(statements)).await);
    }
    assert_eq!(cluster.text("select count(*) from t where n = 3").await.as_deref(), Some("4"));
    let ended = stage.run(together(&["insert into t values (4)", "select 1/0"])).await;
    assert!(failed(&ended).contains("rolled back, nothing was changed"), "{ended:?}");
}

#[tokio::test]
async fn a_transaction_that_the_statements_leave_open_is_no_success() {
    let pooler = Pooler::start_with("").await;
    pooler.cluster.sql("create table t (n int)").await;
    for target in [pooler.cluster.target(), pooler.target("app", "shop")] {
        let mut stage = Setting::default().target("db", target).stage();
        for statements in [&["begin; insert into t values (1)"] as &[&str], &["begin", "insert into t values (1)"]] {
            let ended = stage.run(Action::Sql(sql(statements))).await;
            assert!(failed(&ended).contains("left a transaction open"), "{ended:?}");
            assert!(failed(&ended).contains("rolled back"), "{ended:?}");
        }
        succeeded(&stage.run(Action::Sql(sql(&["begin", "insert into t values (2)", "commit"]))).await);
    }
    assert_eq!(pooler.cluster.text("select string_agg(n::text, ' ') from t").await.as_deref(), Some("2 2"));
}
