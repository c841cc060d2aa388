//! Resolvers that are asked over TLS.

use std::net::TcpListener;
use std::path::Path;

use gonogo::core::target::Target;
use gonogo::core::value::Value;
use gonogo::world::World as _;
use tempfile::TempDir;

use super::{Daemon, app, of, text, zone};
use crate::support::{Setting, Stage, certificates, free_port};

/// A cache that answers over TLS with the certificate for `localhost` in `dir`, and closes each connection soon.
fn unbound(authority: &Daemon, dir: &Path) -> Daemon {
    let tls = free_port();
    let (dir, stub) = (dir.display(), authority.port);
    Daemon::start_at("unbound", &["-dc"], "127.0.0.1", tls, |port, own| {
        let own = own.display();
        format!(
            "server:\n interface: 127.0.0.1@{port}\n tls-port: {port}\n tls-service-key: \"{dir}/server.key\"\n\
             tls-service-pem: \"{dir}/server.pem\"\n tcp-idle-timeout: 200\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n\
             directory: \"{own}\"\n use-syslog: no\n do-not-query-localhost: no\n local-zone: \"test.\" nodefault\n\
             domain-insecure: \"test\"\n module-config: \"iterator\"\n num-threads: 1\n\
             stub-zone:\n name: \"example.test\"\n stub-addr: 127.0.0.1@{stub}\nremote-control:\n control-enable: no\n"
        )
    })
}

/// Several caches behind one address that answers over TLS.
fn dnsdist(caches: &[String], dir: &Path) -> Daemon {
    let dir = dir.display().to_string();
    Daemon::start_with("dnsdist", &["--supervised", "--disable-syslog", "-C"], |port, _| {
        let server = |cache: &String| format!("newServer({{address='{cache}'}}):setUp()\n");
        let servers: String = caches.iter().map(server).collect();
        format!(
            "setLocal('127.0.0.1:{}')\nsetSecurityPollSuffix('')\n\
             addTLSLocal('127.0.0.1:{port}', '{dir}/server.pem', '{dir}/server.key')\n\
             {servers}setServerPolicy(roundrobin)\n",
            free_port()
        )
    })
}

fn stage(authority: &Daemon, resolvers: &[(&str, String)], ca: Option<String>, every: u64) -> Stage {
    let Target::Dns(mut dns) = zone(&[authority.address()], resolvers, None) else { unreachable!() };
    dns.ca = ca;
    let plan = Setting::default().target("zone", Target::Dns(dns)).probe_every("app", app(), every, 2_000).plan();
    let mut stage = Stage::of(&plan);
    stage.world.watch();
    stage
}

fn ca(dir: &TempDir) -> String {
    dir.path().join("ca.pem").display().to_string()
}

#[tokio::test]
async fn a_resolver_is_asked_over_tls_and_a_closed_connection_is_replaced() {
    let certificate = TempDir::new().unwrap();
    certificates(certificate.path());
    let knot = Daemon::knot();
    let cache = unbound(&knot, certificate.path());
    let address = format!("tls://{}#localhost", cache.address());
    // Between two measurements the server closes what it had.
    let mut stage = stage(&knot, &[("tls", address)], Some(ca(&certificate)), 600);
    stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("old")).await;
    for _ in 0..4 {
        let value = stage.value("app", |value| of(value, "resolvers", 0, "state") != &text("waiting")).await;
        assert_eq!(of(&value, "resolvers", 0, "state"), &text("old"), "{value:?}");
        assert!(of(&value, "resolvers", 0, "age").int().unwrap() <= 1, "each question is answered: {value:?}");
    }
    drop(cache);
    let value = stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("timeout")).await;
    assert_eq!(value.at("authoritative_old"), Some(&Value::Bool(true)));
    assert!(of(&value, "resolvers", 0, "note").text().unwrap().contains("over TLS"), "{value:?}");
}

#[tokio::test]
async fn several_caches_are_met_over_tls_too() {
    let certificate = TempDir::new().unwrap();
    certificates(certificate.path());
    let knot = Daemon::knot();
    let fresh = super::fake::Fake::answering(|asked| {
        asked.records([super::fake::a("app.example.test.", 60, [198, 51, 100, 1])])
    });
    let cache = Daemon::unbound(&knot);
    let caches = dnsdist(&[cache.address(), fresh.address.to_string()], certificate.path());
    let address = format!("tls://{}#localhost", caches.address());
    let mut stage = stage(&knot, &[("tls", address)], Some(ca(&certificate)), 200);
    stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("mixed")).await;
}

#[tokio::test]
async fn answers_over_one_connection_are_of_one_machine() {
    let certificate = TempDir::new().unwrap();
    certificates(certificate.path());
    let knot = Daemon::knot();
    let fresh = super::fake::Fake::answering(|asked| {
        asked.records([super::fake::a("app.example.test.", 60, [198, 51, 100, 1])])
    });
    let front = dnsdist(&[fresh.address.to_string()], certificate.path());
    let address = format!("tls://{}#localhost", front.address());
    let mut stage = stage(&knot, &[("tls", address)], Some(ca(&certificate)), 100);
    let value = stage.value("app", |value| of(value, "resolvers", 0, "samples").int() >= Some(30)).await;
    assert_eq!(of(&value, "resolvers", 0, "share"), &Value::Float(1.0));
    // Thirty answers, but over a few connections.
    let bound = of(&value, "resolvers", 0, "old_share_bound").number().unwrap();
    assert!(bound > 0.3, "{bound}");
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_a_state_of_its_own() {
    let certificate = TempDir::new().unwrap();
    certificates(certificate.path());
    let knot = Daemon::knot();
    let cache = unbound(&knot, certificate.path());
    let plain = Daemon::unbound(&knot);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let resolvers = [
        ("another-name", format!("tls://{}#dns.example", cache.address())),
        ("no-name", format!("tls://{}", cache.address())),
        ("no-tls", format!("tls://{}#localhost", plain.address())),
        ("silent", format!("tls://{}#localhost", silent.local_addr().unwrap())),
        ("trusted", format!("tls://{}#localhost", cache.address())),
    ];
    let mut trusting = stage(&knot, &resolvers, Some(ca(&certificate)), 300);
    let value = trusting
        .value("app", |value| {
            of(value, "resolvers", 4, "state") == &text("old") && of(value, "resolvers", 3, "state") == &text("timeout")
        })
        .await;
    for (at, state) in [(0, "untrusted"), (1, "untrusted"), (4, "old")] {
        assert_eq!(of(&value, "resolvers", at, "state"), &text(state), "{value:?}");
    }
    assert_ne!(of(&value, "resolvers", 2, "state"), &text("old"), "{value:?}");
    assert!(of(&value, "resolvers", 0, "note").text().unwrap().contains("dns.example"), "{value:?}");
    assert_eq!(value.at("old"), Some(&Value::Null), "who was not asked may hold anything");
    assert_eq!(value.at("unclear"), Some(&Value::Int(4)));

    // The authority is not one that the system trusts.
    let mut wary = stage(&knot, &resolvers[4..], None, 300);
    let value = wary.value("app", |value| of(value, "resolvers", 0, "state") == &text("untrusted")).await;
    assert_eq!(value.at("new"), Some(&Value::Null));
}
