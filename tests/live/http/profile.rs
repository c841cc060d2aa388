//! Several kinds of request in one probe: each is measured and judged for itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gonogo::core::kind::HttpProbe;
use gonogo::core::kind::http::{HttpExpect, Method, ProfileRequest};
use gonogo::core::probe::{Probe, ProbeKind};
use gonogo::core::time::Span;
use gonogo::core::value::Value;
use gonogo::world::World as _;

use super::baselines::baseline_of;
use super::{answer, number, serve, target};
use crate::support::{Setting, Stage};

fn request(path: &str, weight: u32) -> ProfileRequest {
    ProfileRequest {
        path: path.to_owned(),
        method: Method::Get,
        headers: BTreeMap::new(),
        body: None,
        expect: HttpExpect::default(),
        weight,
    }
}

fn profile(sides: &[&str], requests: &[(&str, ProfileRequest)]) -> HttpProbe {
    let sides = sides.iter().map(|name| ((*name).to_owned(), (*name).into()));
    let requests = requests.iter().map(|(name, request)| ((*name).to_owned(), request.clone())).collect();
    HttpProbe { requests, window: 50, ..HttpProbe::of(sides) }
}

#[tokio::test]
async fn requests_are_measured_apart_and_their_turns_follow_the_weights() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let server = {
        let heard = Arc::clone(&heard);
        serve(move |request: hyper::Request<hyper::body::Incoming>| {
            let told = format!("{} {}", request.method(), request.uri().path());
            heard.lock().unwrap().push(told);
            async move {
                match request.uri().path() {
                    "/cart" => {
                        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
                        answer(200, "cart")
                    }
                    "/pay" => answer(503, "closed"),
                    _ => answer(200, "Welcome"),
                }
            }
        })
        .await
    };
    let welcome = HttpExpect { contains: Some("Welcome".to_owned()), ..HttpExpect::default() };
    let probe = profile(
        &["shop"],
        &[
            ("cart", request("/cart", 1)),
            ("home", ProfileRequest { expect: welcome, ..request("/", 4) }),
            ("pay", ProfileRequest { method: Method::Post, ..request("/pay", 1) }),
        ],
    );
    let kind = ProbeKind::Http(probe);
    let spec = Probe { title: None, every: Span::secs(10), limit: Span::secs(5), kind: kind.clone() };
    assert_eq!(spec.renewed_every(), Span::secs(60), "in six rounds each was asked");
    assert_eq!(spec.stale_after(Span::ZERO), Span::secs(120));
    let mut stage =
        Setting::default().target("shop", target(server.address)).probe_every("web", kind, 20, 2_000).stage();
    stage.world.watch();
    let value = stage
        .value("web", |value| number(value, "shop.pay.samples") >= 10.0 && number(value, "shop.home.samples") >= 36.0)
        .await;
    assert!(number(&value, "shop.cart.p50") >= 60.0, "{value:?}");
    assert!(number(&value, "shop.home.p50") < 60.0, "the slow request is not mixed in: {value:?}");
    assert_eq!(value.at("shop.home.errors"), Some(&Value::Float(0.0)));
    assert_eq!(value.at("shop.pay.errors"), Some(&Value::Float(1.0)));
    assert_eq!(value.at("shop.pay.p95"), Some(&Value::Null));
    assert_eq!(value.at("shop.p95"), None, "nothing is pooled");
    // A reading is as old as what was asked longest ago: three of the four turns of `/` lie between two of `/pay`.
    stage.reading("web", |reading| (reading.at.since(reading.tells_of()) >= Span(60)).then_some(())).await;
    let heard = heard.lock().unwrap();
    let count = |told: &str| heard.iter().take(54).filter(|heard| *heard == told).count();
    assert_eq!((count("GET /"), count("GET /cart"), count("POST /pay")), (36, 9, 9), "{heard:?}");
}

/// A baseline in which one request took 10 ms and the other 200 ms.
fn baseline() -> String {
    baseline_of(
        [("cart", 10), ("home", 200)].map(|(name, ms)| (name, (0..600).map(|at| Some(ms * 1_000 + at)).collect())),
    )
}

#[tokio::test]
async fn one_slow_request_fails_and_the_other_does_not() {
    let server = serve(|request: hyper::Request<hyper::body::Incoming>| async move {
        if request.uri().path() == "/cart" {
            tokio::time::sleep(std::time::Duration::from_millis(40)).await;
        }
        answer(200, "ok")
    })
    .await;
    let probe = HttpProbe {
        baseline: Some("shop.json".to_owned()),
        judge_over: Some(600),
        ..profile(&["new"], &[("cart", request("/cart", 1)), ("home", request("/", 1))])
    };
    let setting =
        Setting::default().target("new", target(server.address)).probe_every("web", ProbeKind::Http(probe), 5, 3_000);
    let mut plan = setting.plan();
    plan.baselines.insert("web".into(), baseline().into());
    let mut stage = Stage::of(&plan);
    stage.world.watch();
    let is = |value: &Value, path: &str, verdict: &str| value.at(path).and_then(Value::text) == Some(verdict);
    // Each is judged for itself.
    let both = |value: &Value| is(value, "new.cart.verdict", "FAIL") && is(value, "new.home.verdict", "PASS");
    let value = stage.value("web", both).await;
    assert_eq!(value.at("new.verdict"), Some(&Value::Text("FAIL".to_owned())));
    assert_eq!(value.at("verdict"), Some(&Value::Text("FAIL".to_owned())));
    assert!(value.at("new.why").and_then(Value::text).unwrap().starts_with("cart: p"), "{value:?}");
    assert!((number(&value, "new.home.baseline.p50") - 200.3).abs() < 1.0, "{value:?}");
}
