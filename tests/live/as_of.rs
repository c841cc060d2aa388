//! Readings that describe an earlier moment than the one they were taken at, and answers whose meaning is unclear.

use std::collections::BTreeMap;

use gonogo::core::board::Board;
use gonogo::core::expr::Sight;
use gonogo::core::kind::HttpJsonProbe;
use gonogo::core::kind::command::{CommandLine, CommandProbe};
use gonogo::core::kind::sql::SqlProbe;
use gonogo::core::probe::ProbeKind;
use gonogo::core::reading::Reading;
use gonogo::core::state::Run;
use gonogo::core::target::{Http, Target};
use gonogo::core::time::{At, Span};
use gonogo::core::value::FieldType;
use gonogo::world::World as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::pg::Cluster;
use crate::support::Setting;

/// A web server that gives every request the same bytes.
async fn web(answer: &'static str) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    serde_json::from_value::<Http>(serde_json::json!({ "url": url })).map(Target::Http).unwrap()
}

fn document() -> ProbeKind {
    ProbeKind::HttpJson(HttpJsonProbe {
        target: "web".into(),
        path: "/".to_owned(),
        fields: BTreeMap::from([("n".to_owned(), FieldType::Int)]).into(),
        as_of: None,
        cached: false,
        simulate: BTreeMap::new(),
    })
}

fn command(run: &str, of: FieldType) -> ProbeKind {
    ProbeKind::Command(CommandProbe {
        run: CommandLine::Shell(run.to_owned()),
        env: BTreeMap::new(),
        fields: BTreeMap::from([("n".to_owned(), FieldType::Int), ("t".to_owned(), of)]).into(),
        as_of: Some("t".to_owned()),
        simulate: BTreeMap::new(),
    })
}

/// The first reading, and what gates see of it when it arrives.
async fn read(setting: Setting) -> (Reading, String) {
    let plan = setting.plan();
    let mut stage = setting.stage();
    stage.world.watch();
    let reading = stage.reading("p", |reading| Some(reading.clone())).await;
    let mut board = Board::new(&plan, At(0));
    let arrived = reading.at.plus(reading.took);
    board.observe(&plan, &Run::default(), arrived, &reading);
    let seen = match board.sight(arrived, &"p".into()) {
        Sight::Fresh { .. } => "fresh".to_owned(),
        Sight::Stale { age } => format!("stale for {} s", age.0 / 1_000),
        Sight::Failed { what, .. } => what.to_owned(),
        Sight::Missing => "missing".to_owned(),
    };
    (reading, seen)
}

async fn seen(setting: Setting) -> String {
    read(setting).await.1
}

fn probe(kind: ProbeKind) -> Setting {
    Setting::default().probe_every("p", kind, 1_000, 10_000)
}

#[tokio::test]
async fn a_command_says_of_when_its_answer_is() {
    let rfc = r#"date -u -d "$AGO seconds ago" +'{"n": 1, "t": "%Y-%m-%dT%H:%M:%SZ"}'"#;
    let seconds = r#"date -d "$AGO seconds ago" +'{"n": 1, "t": %s}'"#;
    for (text, of) in [(rfc, FieldType::String), (seconds, FieldType::Int), (seconds, FieldType::Float)] {
        let ago = |ago: &str| probe(command(&format!("AGO={ago}; {text}"), of));
        assert_eq!(seen(ago("0")).await, "fresh", "{text}");
        let (reading, old) = read(ago("3600")).await;
        assert!(old.starts_with("stale for 3"), "{text}: {old}");
        assert!(reading.at.since(reading.tells_of()) >= Span::secs(3_598), "{reading:?}");
        let ahead = seen(ago("-3600")).await;
        assert!(ahead.contains("from now: the clocks differ"), "{text}: {ahead}");
    }
    let unknown = seen(probe(command(r#"echo '{"n": 1, "t": "yesterday"}'"#, FieldType::String))).await;
    assert!(unknown.contains("so its age is unknown"), "{unknown}");
}

#[tokio::test]
async fn the_age_that_a_cache_gives_counts_and_a_part_is_not_the_whole() {
    for (answer, says) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nAge: 0\r\n\r\n{\"n\": 1}", "fresh"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nAge: 3600\r\n\r\n{\"n\": 1}", "stale for 3"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nAge: some\r\n\r\n{\"n\": 1}", "so its age is unknown"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nAge: 0\r\nAge: 3600\r\n\r\n{\"n\": 1}", "stale for 3"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nAge: 0, 3600\r\n\r\n{\"n\": 1}", "stale for 3"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nDate: Sun, 01 Nov 2026 08:00:00 GMT\r\n\r\n{\"n\": 1}", "stale for "),
        ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nDate: Sun Nov  1 08:00:00 2026\r\n\r\n{\"n\": 1}", "stale for "),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nDate: Sunday, 01-Nov-26 08:00:00 GMT\r\n\r\n{\"n\": 1}",
            "stale for ",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nDate: Sat, 01 Nov 2200 08:00:00 GMT\r\n\r\n{\"n\": 1}",
            "from now: the clocks differ",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nDate: yesterday\r\n\r\n{\"n\": 1}", "so its age is unknown"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n\u{feff}{\"n\": 1}", "fresh"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nContent-Encoding: gzip\r\n\r\n{\"n\": 1}",
            "packed as gzip, which nobody asked for",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"n\": 1.0}", "fresh"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n{\"n\": 9007199254740993.0}",
            "which cannot be told exactly as an int",
        ),
        ("HTTP/1.1 206 Partial Content\r\nContent-Length: 8\r\n\r\n{\"n\": 1}", "answers with a part of the document"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"n\": 9, \"n\": 1}", "it has `n` twice"),
    ] {
        let told = seen(probe(document()).target("web", web(answer).await)).await;
        assert!(told.contains(says), "{answer}: {told}");
    }
}

#[tokio::test]
async fn what_a_cache_gives_without_an_age_is_of_no_known_time_whatever_its_date() {
    let now = httpdate::fmt_http_date(std::time::SystemTime::now());
    for cache in [
        "X-Cache: HIT",
        "X-Cache-Status: STALE",
        "CF-Cache-Status: HIT",
        "Cache-Status: edge; hit",
        "Warning: 110 - \"old\"",
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nDate: {now}\r\n{cache}\r\n");
        let answer: &str = format!("{head}\r\n{{\"n\": 1}}").leak();
        let told = seen(probe(document()).target("web", web(answer).await)).await;
        assert!(told.contains("so its age is unknown"), "{answer}: {told}");
        let answer: &str = format!("{head}Age: 0\r\n\r\n{{\"n\": 1}}").leak();
        assert_eq!(seen(probe(document()).target("web", web(answer).await)).await, "fresh", "{answer}");
    }
}

#[tokio::test]
async fn a_key_that_a_command_prints_twice_is_a_failure() {
    let told = seen(probe(command(r#"echo '{"n": 0, "n": 1, "t": "2027-01-01T00:00:00Z"}'"#, FieldType::String))).await;
    assert!(told.contains("it has `n` twice"), "{told}");
}

#[tokio::test]
async fn a_query_says_of_when_its_row_is_and_names_each_column_once() {
    let server = Cluster::start().await;
    for (query, says) in [
        ("select 1 as n, now() as t", "fresh"),
        ("select 1 as n, now() - interval '1 hour' as t", "stale for 3"),
        ("select 1 as n, now() + interval '1 hour' as t", "from now: the clocks differ"),
        ("select 1 as n, now()::timestamp as t", "so its age is unknown"),
        ("select 9 as n, 1 as n, now() as t", "it has `n` twice"),
    ] {
        let kind = ProbeKind::Sql(SqlProbe {
            target: "db".into(),
            query: query.to_owned(),
            fields: BTreeMap::from([("n".to_owned(), FieldType::Int), ("t".to_owned(), FieldType::String)]),
            as_of: Some("t".to_owned()),
            simulate: BTreeMap::new(),
        });
        let told = seen(probe(kind).target("db", server.target())).await;
        assert!(told.contains(says), "{query}: {told}");
    }
}
