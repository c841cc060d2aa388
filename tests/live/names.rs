//! Names of servers, looked up by the system: one whose servers are silent keeps no other from being found.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gonogo::core::kind::TcpProbe;
use gonogo::core::probe::ProbeKind;
use gonogo::core::reading::Reading;
use gonogo::core::value::Value;
use gonogo::world::{World as _, WorldEvent};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use tokio::net::TcpListener;

use crate::dns::fake::{Asked, Fake, a};
use crate::support::{Setting, Stage};

/// How many probes ask for the name that nobody answers for.
const SILENT: usize = 20;

/// How many names nobody answers for.
const MANY_SILENT: usize = 40;

/// The port of a server that accepts and says nothing.
async fn listening() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    port
}

/// A name server that answers for one name and is silent about all others.
fn answering_for_one() -> Fake {
    Fake::at("127.0.0.1:53", |asked| {
        let query = &asked.message.queries[0];
        let name = query.name().to_ascii();
        match (name.starts_with("good."), query.query_type()) {
            (false, _) => vec![],
            (true, RecordType::A) => vec![asked.records([a("good.test", 1, [127, 0, 0, 1])]).to_vec().unwrap()],
            (true, _) => vec![asked.answer(ResponseCode::NoError).to_vec().unwrap()],
        }
    })
}

/// The one name is found each time once the probes of all others have given up so many look-ups.
async fn is_found_beside(mut stage: Stage, silent: usize) {
    stage.world.watch();
    let mut given_up = 0;
    while given_up < silent {
        if let WorldEvent::Reading(Reading { probe, result: Err(failure), .. }) = stage.next().await {
            given_up += usize::from(probe.as_str() != "good" && failure.what.contains("was not resolved in time"));
        }
    }
    for _ in 0..10 {
        let result = stage.reading("good", |reading| Some(reading.result.clone())).await;
        assert_eq!(result.unwrap().at("open"), Some(&Value::Bool(true)));
    }
}

fn port_of(name: &str, port: u16) -> ProbeKind {
    ProbeKind::Tcp(TcpProbe { address: format!("{name}:{port}") })
}

/// Needs a network and a list of name servers of its own.
#[tokio::test]
#[ignore = "started by a test below"]
async fn a_name_beside_silent_ones() {
    let _server = answering_for_one();
    let port = listening().await;
    let mut setting = Setting::default().probe_every("good", port_of("good.test", port), 500, 3_000);
    for number in 0..SILENT {
        let id = format!("silent-{number}");
        setting = setting.probe_every(&id, port_of("silent.test", port), 100, 500);
    }
    // They have given up more look-ups than there may be at once.
    is_found_beside(setting.stage(), 10 * SILENT).await;
}

/// Needs a network and a list of name servers of its own.
#[tokio::test]
#[ignore = "started by a test below"]
async fn a_name_beside_many_silent_ones() {
    let _server = answering_for_one();
    let port = listening().await;
    let mut setting = Setting::default().probe_every("good", port_of("good.test", port), 500, 3_000);
    for number in 0..MANY_SILENT {
        let silent = port_of(&format!("silent-{number}.test"), port);
        setting = setting.probe_every(&format!("silent-{number}"), silent, 100, 2_000);
    }
    is_found_beside(setting.stage(), 2 * MANY_SILENT).await;
}

/// Needs a network and a list of name servers of its own. The server answers for the addresses of one family when it was asked for
/// those of the other, too, by the same client: whoever asks for them one after the other gets no answer.
#[tokio::test]
#[ignore = "started by a test below"]
async fn a_lost_answer() {
    let lose = Arc::new(AtomicBool::new(false));
    let (losing, waiting) = (Arc::clone(&lose), Mutex::new(Vec::new()));
    let _server = Fake::at("127.0.0.1:53", move |asked| {
        let query = &asked.message.queries[0];
        let answers = |asked: &Asked| asked.answer(ResponseCode::NoError).to_vec().unwrap();
        if losing.load(Ordering::Relaxed) {
            // One half of the question is never answered.
            return match query.query_type() {
                RecordType::A => vec![asked.records([a("good.test", 1, [127, 0, 0, 1])]).to_vec().unwrap()],
                _ => vec![],
            };
        }
        match query.query_type() {
            RecordType::A => {
                waiting.lock().unwrap().push(asked.records([a("good.test", 1, [127, 0, 0, 1])]).to_vec().unwrap());
                vec![]
            }
            _ => waiting.lock().unwrap().drain(..).chain([answers(asked)]).collect(),
        }
    });
    let port = listening().await;
    let setting = Setting::default().probe_every("good", port_of("good.test", port), 50, 500);
    let mut stage = setting.stage();
    stage.world.watch();
    let open = Some(&Value::Bool(true));
    let well = |reading: &Reading| reading.result.as_ref().ok().map(|value| value.at("open") == open);
    assert!(stage.reading("good", well).await);
    lose.store(true, Ordering::Relaxed);
    let failed = |reading: &Reading| reading.result.is_err().then_some(());
    stage.reading("good", failed).await;
    lose.store(false, Ordering::Relaxed);
    // Look-ups that were begun before may still fail; when so many in a row are well, all of those have ended long ago.
    let mut in_a_row = 0;
    for _ in 0..800 {
        let is_well = stage.reading("good", |reading| Some(well(reading) == Some(true))).await;
        in_a_row = if is_well { in_a_row + 1 } else { 0 };
        if in_a_row == 100 {
            return;
        }
    }
    panic!("the half that was lost is remembered");
}

#[test]
fn a_lost_answer_makes_no_later_look_up_slower() {
    in_a_network_of_its_own("names::a_lost_answer", "options timeout:1 attempts:2\n");
}

#[test]
fn a_silent_name_keeps_no_other_from_being_looked_up() {
    in_a_network_of_its_own("names::a_name_beside_silent_ones", "");
}

#[test]
fn many_silent_names_keep_no_other_from_being_looked_up() {
    in_a_network_of_its_own("names::a_name_beside_many_silent_ones", "");
}

/// Runs a test that is left out otherwise, with one name server and these options of the resolver.
fn in_a_network_of_its_own(test: &str, options: &str) {
    let own = ["-r", "-n", "-m"];
    let up = "ip link set lo up";
    if !Command::new("unshare").args(own).args(["sh", "-c", up]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("not tried: this machine allows no network namespaces, or lacks `ip`");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let resolvers = dir.path().join("resolv.conf");
    std::fs::write(&resolvers, format!("nameserver 127.0.0.1\n{options}")).unwrap();
    let ran = Command::new("unshare")
        .args(own)
        .args(["sh", "-c", &format!("{up} && mount --bind \"$RESOLVERS\" /etc/resolv.conf && exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test])
        .env("RESOLVERS", &resolvers)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
}
