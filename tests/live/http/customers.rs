//! The `http` probe measures what customers feel: servers that stall, move, refuse or say that they are closed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gonogo::core::kind::HttpProbe;
use gonogo::core::kind::http::probe::{Connections, HttpSide, SideSettings};
use gonogo::core::kind::http::{HttpExpect, Method, ProfileRequest};
use gonogo::core::probe::ProbeKind;
use gonogo::core::value::Value;
use gonogo::world::World as _;

use super::baselines::baseline_of;
use super::nginx::Nginx;
use super::{answer, at, number, raw, serve, sides, target, with_hosts_of_its_own};
use crate::support::{Setting, Stage, free_port};

fn local(port: u16) -> gonogo::core::target::Target {
    at(&format!("http://127.0.0.1:{port}"))
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.at(path).and_then(Value::text).unwrap_or_else(|| panic!("{path} in {value:?}"))
}

/// The same target twice.
fn fresh_and_kept() -> HttpProbe {
    let side = |connections| HttpSide::With(SideSettings { target: "shop".into(), connections: Some(connections) });
    HttpProbe::of([("fresh".to_owned(), side(Connections::Fresh)), ("kept".to_owned(), side(Connections::Kept))])
}

#[tokio::test]
async fn a_server_that_is_stopped_is_seen_long_before_its_limit() {
    let nginx = Nginx::start("listen 127.0.0.1:PORT; location / { return 200 ok; }").await;
    let mut stage = Setting::default()
        .target("shop", local(nginx.port))
        .probe_every("web", sides(&["shop"], 120), 200, 30_000)
        .stage();
    stage.world.watch();
    let value = stage.value("web", |value| number(value, "shop.samples") >= 10.0).await;
    assert_eq!(value.at("shop.errors"), Some(&Value::Float(0.0)));
    assert!(number(&value, "shop.phases.connect") < 100.0);
    nginx.signal("STOP");
    let value = stage.value("web", |value| number(value, "shop.errors") > 0.0).await;
    // The kernel still accepts connections; whoever waits has been waiting for far less than the limit.
    assert!(number(&value, "shop.oldest_in_flight") < 10_000.0, "{value:?}");
    assert!(number(&value, "shop.in_flight") >= 2.0, "the timetable goes on: {value:?}");
    assert!(text(&value, "shop.failure").starts_with("no answer from shop yet after "), "{value:?}");
    assert_eq!(value.at("shop.last"), Some(&Value::Null));
    nginx.signal("CONT");
    let value = stage.value("web", |value| number(value, "shop.errors") == 0.0).await;
    assert!(number(&value, "shop.p99") > 900.0, "the wait is not forgotten: {value:?}");
}

#[tokio::test]
async fn a_refusing_server_is_never_the_fastest() {
    let good = serve(|_| async { answer(200, "ok") }).await;
    let mut stage = Setting::default()
        .target("good", target(good.address))
        .target("gone", local(free_port()))
        .probe("web", sides(&["good", "gone"], 20))
        .stage();
    stage.world.watch();
    let value = stage.value("web", |value| number(value, "gone.samples") >= 10.0).await;
    for figure in ["p50", "p95", "p99", "last", "phases.total"] {
        assert_eq!(value.at(&format!("gone.{figure}")), Some(&Value::Null), "{figure}");
    }
    assert_eq!(value.at("gone.errors"), Some(&Value::Float(1.0)));
    assert!(number(&value, "good.p95") > 0.0);
}

/// One second of every ten, at the interval that a probe has when the runbook says nothing.
#[tokio::test]
async fn a_stall_is_felt_by_everybody_who_came_while_it_lasted() {
    let asked = Arc::new(AtomicUsize::new(0));
    let stalls = {
        let asked = Arc::clone(&asked);
        serve(move |_| {
            let nth = asked.fetch_add(1, Ordering::Relaxed);
            async move {
                // The twentieth request begins a stall of 1 s; who comes meanwhile waits for its end, too.
                if (20..30).contains(&nth) {
                    let rest = 1_000 - 100 * u64::try_from(nth - 20).unwrap();
                    tokio::time::sleep(std::time::Duration::from_millis(rest)).await;
                }
                answer(200, "ok")
            }
        })
        .await
    };
    let mut stage = Setting::default()
        .target("shop", target(stalls.address))
        .probe_every("web", sides(&["shop"], 100), 100, 5_000)
        .stage();
    stage.world.watch();
    let value = stage.value("web", |value| number(value, "shop.samples") >= 100.0).await;
    assert!(number(&value, "shop.p99") >= 850.0, "{value:?}");
    let (p50, p95) = (number(&value, "shop.p50"), number(&value, "shop.p95"));
    assert!(p95 >= 450.0 && p50 < p95 / 2.0, "{value:?}");
    assert_eq!(value.at("shop.errors"), Some(&Value::Float(0.0)), "slow is not broken");
}

#[tokio::test]
async fn what_is_too_much_in_flight_is_a_failure_and_not_silence() {
    let mute = raw(|stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let mut stage = Setting::default()
        .target("mute", target(mute.address))
        .probe_every("web", sides(&["mute"], 50), 5, 30_000)
        .stage();
    stage.world.watch();
    let value = stage.value("web", |value| number(value, "mute.samples") >= 1.0).await;
    let most = i64::try_from(HttpProbe::MOST_IN_FLIGHT).unwrap();
    assert_eq!(value.at("mute.in_flight"), Some(&Value::Int(most)));
    assert_eq!(value.at("mute.errors"), Some(&Value::Float(1.0)));
}

#[tokio::test]
async fn fresh_and_kept_connections_are_two_series() {
    let nginx = Nginx::start("listen 127.0.0.1:PORT; location / { return 200 ok; }").await;
    let probe = ProbeKind::Http(HttpProbe { window: 5, ..fresh_and_kept() });
    let mut stage = Setting::default().target("shop", local(nginx.port)).probe("web", probe).stage();
    stage.world.watch();
    // The first request made the connection; it leaves the window.
    let value = stage.value("web", |value| number(value, "kept.total.requests") >= 10.0).await;
    assert!(number(&value, "fresh.phases.connect") > 0.0);
    assert_eq!(value.at("kept.phases.connect"), Some(&Value::Null));
    assert!(number(&value, "kept.phases.first_byte") > 0.0);
}

/// Needs a hosts file of its own.
#[tokio::test]
#[ignore = "started by the next test"]
async fn a_name_that_moves_is_followed() {
    let hosts = std::env::var_os("GONOGO_TEST_HOSTS").expect("started by the next test");
    let point_to =
        |address: &str| std::fs::write(&hosts, format!("127.0.0.1 localhost\n{address} shop.test\n")).unwrap();
    let port = free_port();
    let serve = |address: &str, status: u16| {
        let listen = format!("listen {address}:{port}; location / {{ return {status} ok; }}");
        async move { Nginx::start(&format!("listen 127.0.0.1:PORT; {listen}")).await }
    };
    let _old = serve("127.0.0.3", 200).await;
    let _new = serve("127.0.0.4", 500).await;
    point_to("127.0.0.3");
    let probe = ProbeKind::Http(fresh_and_kept());
    let mut stage =
        Setting::default().target("shop", at(&format!("http://shop.test:{port}"))).probe("web", probe).stage();
    stage.world.watch();
    let value = stage.value("web", |value| number(value, "kept.samples") >= 5.0).await;
    for side in ["fresh", "kept"] {
        assert_eq!(value.at(&format!("{side}.errors")), Some(&Value::Float(0.0)), "{value:?}");
        assert_eq!(text(&value, &format!("{side}.address")), format!("127.0.0.3:{port}"));
    }
    assert!(number(&value, "fresh.phases.dns") > 0.0);
    point_to("127.0.0.4");
    for side in ["fresh", "kept"] {
        let value = stage.value("web", |value| number(value, &format!("{side}.address_changes")) >= 1.0).await;
        assert_eq!(text(&value, &format!("{side}.address")), format!("127.0.0.4:{port}"));
        assert_eq!(text(&value, &format!("{side}.moved")), format!("127.0.0.3:{port} → 127.0.0.4:{port}"));
        assert!(number(&value, &format!("{side}.errors")) > 0.0, "{value:?}");
    }
}

#[test]
fn a_name_is_looked_up_again() {
    with_hosts_of_its_own("http::customers::a_name_that_moves_is_followed");
}

/// Needs a hosts file of its own.
#[tokio::test]
#[ignore = "started by the next test"]
async fn a_name_that_moves_is_judged_anew() {
    let hosts = std::env::var_os("GONOGO_TEST_HOSTS").expect("started by the next test");
    let point_to =
        |address: &str| std::fs::write(&hosts, format!("127.0.0.1 localhost\n{address} shop.test\n")).unwrap();
    let port = free_port();
    let serve = |address: &str| {
        let listen = format!("listen {address}:{port}; location / {{ return 200 ok; }}");
        async move { Nginx::start(&format!("listen 127.0.0.1:PORT; {listen}")).await }
    };
    let (_old, _new) = (serve("127.0.0.3").await, serve("127.0.0.4").await);
    point_to("127.0.0.3");
    let target = at(&format!("http://shop.test:{port}"));
    for requests in [&[][..], &["home", "cart"]] {
        point_to("127.0.0.3");
        let request = |path: &str| ProfileRequest {
            path: format!("/{path}"),
            method: Method::Get,
            headers: BTreeMap::new(),
            body: None,
            expect: HttpExpect::default(),
            weight: 1,
        };
        let kinds: Vec<&str> = if requests.is_empty() { vec!["/"] } else { requests.to_vec() };
        let probe = HttpProbe {
            baseline: Some("shop.json".to_owned()),
            judge_over: Some(300),
            requests: requests.iter().map(|name| ((*name).to_owned(), request(name))).collect(),
            ..HttpProbe::of([("new".to_owned(), "shop".into())])
        };
        let probe = ProbeKind::Http(probe);
        let mut plan =
            Setting::default().target("shop", target.clone()).probe_every("web", probe.clone(), 10, 3_000).plan();
        let slow = || vec![Some(500_000); 600];
        let baseline = match kinds.as_slice() {
            [only] => baseline_of([(*only, slow())]),
            _ => baseline_of([("home", slow()), ("cart", slow())]),
        };
        plan.baselines.insert("web".into(), baseline.into());
        let mut stage = Stage::of(&plan);
        stage.world.watch();
        let pass = |value: &Value| value.at("new.verdict").and_then(Value::text) == Some("PASS");
        let value = stage.value("web", pass).await;
        assert!(probe.moves(&value).values().all(|moves| moves.count == 0));
        point_to("127.0.0.4");
        let value = stage.value("web", |value| probe.moves(value).values().any(|moves| moves.count > 0)).await;
        assert_eq!(text(&value, "new.verdict"), "INCONCLUSIVE", "{value:?}");
        let why = text(&value, "new.why");
        let told = format!("somebody else answers: 127.0.0.3:{port} → 127.0.0.4:{port}");
        assert!(why.contains(&told), "{why}");
        let of = if requests.is_empty() { "new" } else { "new.home" };
        assert!(number(&value, &format!("{of}.samples")) < 50.0, "{value:?}");
        assert!(number(&value, &format!("{of}.total.requests")) >= 300.0, "{value:?}");
        stage.value("web", pass).await;
    }
}

#[test]
fn a_judgement_of_a_name_that_moves_begins_anew() {
    with_hosts_of_its_own("http::customers::a_name_that_moves_is_judged_anew");
}
