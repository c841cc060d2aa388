//! A machine that lets gonogo open few files, or no more: the probes share what there is, and no server is blamed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::process::Command;

use gonogo::core::kind::command::{CommandLine, CommandProbe};
use gonogo::core::kind::{
    DnsProbe, HttpJsonProbe, HttpProbe, PgbouncerProbe, ReplicationProbe, SqlProbe, TcpProbe, TlsProbe,
};
use gonogo::core::probe::ProbeKind;
use gonogo::core::record::RecordType;
use gonogo::core::target::{Dns, Http, Postgres, Target, Tls};
use gonogo::core::value::{FieldType, Value};
use gonogo::world::{World as _, WorldEvent};
use tokio::net::TcpListener;

use crate::support::Setting;

/// Set in the process in which the test itself runs.
const ALONE: &str = "GONOGO_TEST_FEW_FILES";

/// Whether this is the process of `test`, which may open only so many files. Otherwise the test was run in one of its own.
fn is_alone(test: &str, files: u32) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let limited = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
    let ended = Command::new("sh")
        .args(["-c", &limited])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("few_files::{test}")])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    false
}

fn command(run: &str) -> ProbeKind {
    ProbeKind::Command(CommandProbe {
        run: CommandLine::Shell(run.to_owned()),
        env: BTreeMap::new(),
        fields: BTreeMap::from([("n".to_owned(), FieldType::Int)]).into(),
        as_of: None,
        simulate: BTreeMap::new(),
    })
}

fn json() -> ProbeKind {
    ProbeKind::HttpJson(HttpJsonProbe {
        target: "web".into(),
        path: "/".to_owned(),
        fields: BTreeMap::from([("n".to_owned(), FieldType::Int)]).into(),
        as_of: None,
        cached: false,
        simulate: BTreeMap::new(),
    })
}

#[tokio::test]
async fn many_probes_take_turns_and_leave_files_to_everything_else() {
    if !is_alone("many_probes_take_turns_and_leave_files_to_everything_else", 64) {
        return;
    }
    // The system opens connections to it without a file of this process at their other end.
    let listens = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listens.local_addr().unwrap();
    let mut setting = Setting::default().target("web", Target::Http(Http::of(format!("http://{address}"))));
    let mut missing = BTreeSet::new();
    for n in 0..25 {
        let port = ProbeKind::Tcp(TcpProbe { address: address.to_string() });
        let printed = command("sleep 0.3; echo '{\"n\":1}'");
        setting = setting
            .probe_every(&format!("port_{n}"), port, 300, 30_000)
            .probe_every(&format!("printed_{n}"), printed, 300, 30_000)
            .probe_every(&format!("silent_{n}"), json(), 300, 500);
        missing.extend([format!("port_{n}"), format!("printed_{n}")]);
    }
    let mut stage = setting.stage();
    stage.world.watch();
    while !missing.is_empty() {
        let WorldEvent::Reading(reading) = stage.next().await else { continue };
        let reserve: Vec<_> = (0..20).map(|_| File::open("/dev/null")).collect();
        assert!(reserve.iter().all(Result::is_ok), "the journal could open no file");
        match reading.result {
            Ok(_) => drop(missing.remove(reading.probe.as_str())),
            Err(failure) => {
                assert!(reading.probe.as_str().starts_with("silent_"), "{}: {failure}", reading.probe);
                let is_honest = failure.what == "no answer from web within 500 ms"
                    || failure
                        .what
                        .starts_with("not measured: other probes are waiting for answers, and gonogo may open");
                assert!(is_honest, "{failure}");
            }
        }
    }
}

/// A probe of each kind, of servers that are there.
fn of_each_kind(port: u16) -> Setting {
    let at = format!("127.0.0.1:{port}");
    let dsn = format!("host=127.0.0.1 port={port} user=u dbname=d");
    let database = Postgres { dsn, password: None, tls: Tls::Disable, ca: None };
    let zone = Dns {
        zone: "example.test".to_owned(),
        authoritative: vec![at.clone()],
        resolvers: BTreeMap::from([
            ("plain".to_owned(), at.clone()),
            ("tls".to_owned(), format!("tls://{at}#localhost")),
        ]),
        lookup: Some(at.clone()),
        ca: None,
        tsig: None,
        simulate: None,
    };
    let tls = TlsProbe {
        address: at.clone(),
        server_name: Some("localhost".to_owned()),
        connect: None,
        starttls: None,
        ca: None,
        alpn: Vec::new(),
    };
    let dns = DnsProbe {
        target: "zone".into(),
        name: "app.example.test".to_owned(),
        record_type: RecordType::A,
        old: vec!["192.0.2.1".to_owned()].into(),
        new: vec!["192.0.2.2".to_owned()].into(),
        aaaa: None,
        samples: 1,
        old_ttl: None,
        simulate: None,
    };
    let sql = SqlProbe {
        target: "database".into(),
        query: "select 1 as n".to_owned(),
        fields: BTreeMap::from([("n".to_owned(), FieldType::Int)]),
        as_of: None,
        simulate: BTreeMap::new(),
    };
    let replication = ReplicationProbe {
        source: "database".into(),
        target: "database".into(),
        subscription: None,
        slot: None,
        heartbeat: None,
        beat: false,
    };
    Setting::default()
        .target("web", Target::Http(Http::of(format!("http://{at}"))))
        .target("named", Target::Http(Http::of(format!("http://localhost:{port}"))))
        .target("database", Target::Postgres(database))
        .target("zone", Target::Dns(zone))
        .probe("tcp", ProbeKind::Tcp(TcpProbe { address: at }))
        .probe("tcp_named", ProbeKind::Tcp(TcpProbe { address: format!("localhost:{port}") }))
        .probe("tls", ProbeKind::Tls(tls))
        .probe("command", command("echo '{\"n\":1}'"))
        .probe("json", json())
        .probe("http", ProbeKind::Http(HttpProbe::of(["web", "named"].map(|side| (side.to_owned(), side.into())))))
        .probe("sql", ProbeKind::Sql(sql))
        .probe("pgbouncer", ProbeKind::Pgbouncer(PgbouncerProbe { target: "database".into(), database: None }))
        .probe("replication", ProbeKind::Replication(replication))
        .probe_every("dns", ProbeKind::Dns(dns), 200, 500)
}

#[tokio::test]
async fn without_a_file_to_open_no_server_is_blamed_by_any_kind_of_probe() {
    if !is_alone("without_a_file_to_open_no_server_is_blamed_by_any_kind_of_probe", 256) {
        return;
    }
    let listens = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let setting = of_each_kind(listens.local_addr().unwrap().port());
    let mut stage = setting.stage();
    let all: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    stage.world.watch();
    let words = "this machine has no free descriptors: gonogo may open no more than 256 files (`ulimit -n`)";
    for probe in ["tcp", "tcp_named", "command", "json", "sql", "pgbouncer", "replication", "tls"] {
        let what = stage.failure(probe).await;
        assert!(what.contains(words), "{probe}: {what}");
        assert!(!what.contains("cannot be reached"), "{probe}: {what}");
    }
    let unasked = |value: &Value, list: &str, at: usize| {
        let of = |field| value.at(list)?.list()?.get(at)?.at(field)?.text().map(str::to_owned);
        of("state").is_some_and(|state| state == "unasked") && of("note").is_some_and(|note| note.contains(words))
    };
    stage.value("dns", |value| unasked(value, "authoritative", 0) && unasked(value, "resolvers", 0)).await;
    stage
        .value("dns", |value| value.at("resolvers").unwrap().list().unwrap()[1].at("state") == Some(&"unasked".into()))
        .await;
    let unmeasured = |value: &Value, side: &str| {
        let count = |path: &str| value.at(&format!("{side}.total.{path}")).and_then(Value::int);
        count("not_measured") >= Some(2) && count("requests") == Some(0)
    };
    stage.value("http", |value| unmeasured(value, "web") && unmeasured(value, "named")).await;
    drop(all);
    stage.value("tcp", |value| value.at("open") == Some(&true.into())).await;
    stage.value("command", |value| value.at("n") == Some(&1_i64.into())).await;
}
