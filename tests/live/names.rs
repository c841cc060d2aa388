//! Names of servers, looked up by the system: one whose servers are silent keeps no other from being found.

use std::process::Command;

use gonogo::core::kind::TcpProbe;
use gonogo::core::probe::ProbeKind;
use gonogo::core::reading::Reading;
use gonogo::core::value::Value;
use gonogo::world::{World as _, WorldEvent};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use tokio::net::TcpListener;

use crate::dns::fake::{Fake, a};
use crate::support::Setting;

/// How many probes ask for the name that nobody answers for.
const SILENT: usize = 20;

fn port_of(name: &str, port: u16) -> ProbeKind {
    ProbeKind::Tcp(TcpProbe { address: format!("{name}:{port}") })
}

/// Needs a network and a list of name servers of its own.
#[tokio::test]
#[ignore = "started by the next test"]
async fn a_name_beside_silent_ones() {
    let _server = Fake::at("127.0.0.1:53", |asked| {
        let query = &asked.message.queries[0];
        let name = query.name().to_ascii();
        match (name.starts_with("good."), query.query_type()) {
            (false, _) => vec![],
            (true, RecordType::A) => vec![asked.records([a("good.test", 1, [127, 0, 0, 1])]).to_vec().unwrap()],
            (true, _) => vec![asked.answer(ResponseCode::NoError).to_vec().unwrap()],
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    let mut setting = Setting::default().probe_every("good", port_of("good.test", port), 500, 3_000);
    for number in 0..SILENT {
        let id = format!("silent-{number}");
        setting = setting.probe_every(&id, port_of("silent.test", port), 100, 500);
    }
    let mut stage = setting.stage();
    stage.world.watch();
    // They have given up more look-ups than there may be at once.
    let mut given_up = 0;
    while given_up < 10 * SILENT {
        if let WorldEvent::Reading(Reading { probe, result: Err(failure), .. }) = stage.next().await {
            given_up += usize::from(probe.as_str() != "good" && failure.what.contains("was not resolved in time"));
        }
    }
    for _ in 0..10 {
        let result = stage.reading("good", |reading| Some(reading.result.clone())).await;
        assert_eq!(result.unwrap().at("open"), Some(&Value::Bool(true)));
    }
}

#[test]
fn a_silent_name_keeps_no_other_from_being_looked_up() {
    let own = ["-r", "-n", "-m"];
    let up = "ip link set lo up";
    if !Command::new("unshare").args(own).args(["sh", "-c", up]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("not tried: this machine allows no network namespaces, or lacks `ip`");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let resolvers = dir.path().join("resolv.conf");
    std::fs::write(&resolvers, "nameserver 127.0.0.1\n").unwrap();
    let ran = Command::new("unshare")
        .args(own)
        .args(["sh", "-c", &format!("{up} && mount --bind \"$RESOLVERS\" /etc/resolv.conf && exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "names::a_name_beside_silent_ones"])
        .env("RESOLVERS", &resolvers)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
}
