//! Secrets with every character in SQL and in connection strings, from the runbook to the server.

use gonogo::core::action::Action;
use gonogo::core::plan::Plan;
use gonogo::runbook::{Options, load_str};

use crate::pg::Cluster;
use crate::support::{Stage, failed, succeeded};

/// It ends a literal, escapes what ends it, splits words, and goes on as SQL.
const PASSWORD: &str = r#"it's \ "a"; drop table precious; -- \"#;

fn plan(cluster: &Cluster, secret: &std::path::Path) -> Plan {
    let text = format!(
        r#"
title: T
vars: {{ here: "host=127.0.0.1 port={} user=gonogo dbname=postgres application_name='o''brien'" }}
secrets: {{ pw: {{ file: "{}" }} }}
targets:
  db: {{ postgres: {{ dsn: "{}", tls: disable }} }}
  known: {{ postgres: {{ dsn: "{}", password: "{{{{ secrets.pw }}}}", tls: disable }} }}
phases:
  - title: P
    steps:
      - id: a
        title: A
        action:
          sql:
            target: db
            statements:
              - "CREATE TABLE precious ()"
              - "ALTER ROLE gonogo PASSWORD {{{{ secrets.pw | literal }}}}"
              - "CREATE ROLE {{{{ secrets.pw | name }}}}"
        reversibility: free
      - id: b
        title: B
        action:
          sql:
            target: known
            statements:
              - "CREATE PUBLICATION pub FOR TABLE precious"
              - "CREATE SUBSCRIPTION sub CONNECTION {{{{ (vars.here ~ ' password=' ~ (secrets.pw | conninfo)) | literal }}}} PUBLICATION pub WITH (create_slot = false, slot_name = 'sub', copy_data = false, enabled = false)"
              - "SELECT {{{{ secrets.pw | literal }}}}::int"
        reversibility: free
"#,
        cluster.port,
        secret.display(),
        cluster.dsn("postgres"),
        cluster.dsn("gonogo"),
    )
    .replace("o''brien", r"o\\'brien");
    load_str("quoting", text, &Options::default()).unwrap_or_else(|errors| panic!("{errors}")).plan
}

fn action(plan: &Plan, step: usize) -> Action {
    plan.steps[step].work.jobs[0].action.clone()
}

#[tokio::test]
async fn a_password_of_every_letter_reaches_the_server_and_nothing_else_does() {
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("pw");
    std::fs::write(&secret, PASSWORD).unwrap();
    let plan = plan(&cluster, &secret);
    let mut stage = Stage::of(&plan);
    succeeded(&stage.run(action(&plan, 0)).await);
    // The next target logs in with it, and the subscription does once more from the server itself.
    let outcome = stage.run(action(&plan, 1)).await;
    let what = failed(&outcome);
    assert!(what.contains("statement 3/3 failed") && what.contains("22P02"), "{what}");
    assert!(what.contains("«secret:pw»"), "the server quotes it: {what}");
    assert_eq!(cluster.text("select count(*) from pg_subscription where subname = 'sub'").await.as_deref(), Some("1"));
    assert_eq!(cluster.text("select count(*) from pg_roles where rolname like 'it%a%'").await.as_deref(), Some("1"));
    assert_eq!(cluster.text("select to_regclass('precious')").await.as_deref(), Some("precious"));
    stage.assert_clean(&["drop table precious", "it's", "it''s"]);
}
