//! BIND as an authoritative server and as a cache that serves stale answers.

use gonogo::core::value::Value;
use gonogo::world::World as _;

use super::{Daemon, KEY, app, of, text, zone};
use crate::support::Setting;

/// BIND with these zones, and these options beside the usual ones.
fn bind(options: &str, zones: impl Fn(&str) -> String) -> Daemon {
    Daemon::start_with("named", &["-f", "-c"], |port, dir| {
        std::fs::write(
            dir.join("zone"),
            "$ORIGIN example.test.\n@ 30 SOA ns admin 9 3600 600 86400 20\n@ 30 NS ns\nns 30 A 127.0.0.1\n\
             app 4 A 192.0.2.1\napp 4 A 192.0.2.2\nwww 60 CNAME app\nparts 60 TXT \"v=spf1 \" \"-all\"\nsigned 60 NS ns.signed\nns.signed 60 A 127.0.0.1\n",
        )
        .unwrap();
        let dir = dir.display().to_string();
        let zones = zones(&dir);
        format!(
            "options {{ directory \"{dir}\"; pid-file none; session-keyfile \"{dir}/session.key\"; \
             listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; dnssec-validation no; \
             empty-zones-enable no; {options} }};\ncontrols {{ }};\n{zones}\n"
        )
    })
}

/// BIND with authority for the zone.
pub fn authority() -> Daemon {
    bind("recursion no;", |dir| format!("zone \"example.test\" {{ type primary; file \"{dir}/zone\"; }};"))
}

/// BIND that lets a key update the zone.
pub fn updated() -> Daemon {
    bind("recursion no;", |dir| {
        format!(
            "key gonogo {{ algorithm hmac-sha256; secret \"{KEY}\"; }};\n\
             zone \"example.test\" {{ type primary; file \"{dir}/zone\"; allow-update {{ key gonogo; }}; }};"
        )
    })
}

#[tokio::test]
async fn bind_answers_as_an_authority_and_a_stale_answer_of_its_cache_is_called_stale() {
    let authority = authority();
    let knot = Daemon::knot();
    let port = knot.port;
    // It answers at once with what it has, also after its time.
    let stale = "recursion yes; allow-recursion { any; }; stale-answer-enable yes; stale-cache-enable yes; \
                 stale-answer-client-timeout 0; resolver-query-timeout 500;";
    let cache = bind(stale, |_| {
        format!("zone \"example.test\" {{ type forward; forward only; forwarders {{ 127.0.0.1 port {port}; }}; }};")
    });
    let mut stage = Setting::default()
        .target("zone", zone(&[authority.address()], &[("cache", cache.address())], None))
        .probe_every("app", app(), 200, 3_000)
        .stage();
    stage.world.watch();
    let value = stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("old")).await;
    assert_eq!(of(&value, "authoritative", 0, "state"), &text("old"));
    assert_eq!(value.at("ttl"), Some(&Value::Int(4)));
    stage.value("app", |value| of(value, "authoritative", 0, "serial") == &Value::Int(9)).await;
    drop(knot);
    let value = stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("stale")).await;
    assert_eq!(value.at("eta"), Some(&Value::Null), "nobody knows when it follows");
    assert_eq!(value.at("old"), Some(&Value::Int(1)), "{value:?}");
}
