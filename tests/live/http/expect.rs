//! What the `http` probe expects of an answer: closed shops, redirects and servers that never stop are failures, each with
//! its own word.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use gonogo::core::action::Action;
use gonogo::core::kind::HttpProbe;
use gonogo::core::kind::http::{HttpAction, HttpExpect, Method};
use gonogo::core::plan::SecretSource;
use gonogo::core::probe::ProbeKind;
use gonogo::core::simulate::Literal;
use gonogo::core::value::Value;
use gonogo::world::World as _;
use http_body_util::BodyExt as _;
use tokio::io::AsyncWriteExt as _;

use super::nginx::Nginx;
use super::{Server, answer, at, call, number, raw, serve, target};
use crate::support::{Setting, failed, succeeded};

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.at(path).and_then(Value::text).unwrap_or_else(|| panic!("{path} in {value:?}"))
}

fn probe(path: &str, expect: HttpExpect) -> ProbeKind {
    let sides = [("shop".to_owned(), "shop".into())];
    ProbeKind::Http(HttpProbe { path: path.to_owned(), expect, ..HttpProbe::of(sides) })
}

fn contains(text: &str) -> HttpExpect {
    HttpExpect { contains: Some(text.to_owned()), ..HttpExpect::default() }
}

/// What a reading says after some requests: the share of errors, the commonest failure, and why the newest failed.
async fn seen(shop: gonogo::core::target::Target, probe: ProbeKind) -> (f64, String, String) {
    let mut stage = Setting::default().target("shop", shop).probe_every("web", probe, 20, 2_000).stage();
    stage.world.watch();
    let value = stage.value("web", |value| number(value, "shop.samples") >= 5.0).await;
    let words = ["shop.common_failure", "shop.failure"].map(|path| text(&value, path).to_owned());
    if !words[0].is_empty() {
        for figure in ["p50", "p95", "last"] {
            assert_eq!(value.at(&format!("shop.{figure}")), Some(&Value::Null), "a failure is never fast: {value:?}");
        }
    }
    let [common, failure] = words;
    (number(&value, "shop.errors"), common, failure)
}

async fn good(shop: gonogo::core::target::Target, probe: ProbeKind) {
    assert_eq!(seen(shop, probe).await, (0.0, String::new(), String::new()));
}

async fn bad(shop: gonogo::core::target::Target, probe: ProbeKind, word: &str, why: &str) {
    let (errors, common, failure) = seen(shop, probe).await;
    assert_eq!((errors, common.as_str()), (1.0, word), "{failure}");
    assert!(failure.contains(why), "{failure}");
}

#[tokio::test]
async fn a_real_server_is_held_to_status_redirect_text_header_and_json() {
    let nginx = Nginx::start(
        "listen 127.0.0.1:PORT;\n\
         location /shop { default_type text/html; add_header X-Release 42; return 200 '<h1>Welcome</h1>'; }\n\
         location /closed { return 200 'Down for maintenance'; }\n\
         location /old { return 301 https://shop.example/new; }\n\
         location /turned { return 302 https://shop.example/maintenance; }\n\
         location /denied { return 401 no; }\n\
         location /health { default_type application/json; return 200 '{\"status\": \"ok\", \"checks\": [{\"up\": true, \"n\": 3}]}'; }",
    )
    .await;
    let shop = || at(&format!("http://127.0.0.1:{}", nginx.port));
    good(shop(), probe("/shop", contains("Welcome"))).await;
    bad(shop(), probe("/closed", contains("Welcome")), "text", "shop answers 200 without `Welcome`").await;

    let none = HttpExpect::default;
    bad(shop(), probe("/turned", none()), "redirect", "shop answers 302, to https://shop.example/maintenance").await;
    let to = |location: &str| HttpExpect { location: Some(location.to_owned()), ..none() };
    good(shop(), probe("/old", to("https://shop.example/new"))).await;
    good(shop(), probe("/turned", HttpExpect { status: vec![302], ..none() })).await;
    let elsewhere = "302, to https://shop.example/maintenance and not to https://shop.example/new";
    bad(shop(), probe("/turned", to("https://shop.example/new")), "location", elsewhere).await;
    bad(shop(), probe("/shop", to("https://shop.example/new")), "status", "shop answers 200").await;

    good(shop(), probe("/denied", HttpExpect { status: vec![200, 401], ..none() })).await;
    bad(shop(), probe("/shop", HttpExpect { status: vec![204], ..none() }), "status", "shop answers 200").await;

    let header = |name: &str, value: &str| HttpExpect {
        header: BTreeMap::from([(name.to_owned(), value.to_owned())]),
        ..none()
    };
    good(shop(), probe("/shop", header("x-release", "42"))).await;
    good(shop(), probe("/shop", header("Content-Type", "text/html"))).await;
    bad(shop(), probe("/shop", header("x-release", "43")), "header", "has `x-release: 42`, without `43`").await;
    bad(shop(), probe("/closed", header("x-release", "")), "header", "has no header x-release").await;

    let json = |path: &str, value: Literal| HttpExpect { json: BTreeMap::from([(path.to_owned(), value)]), ..none() };
    good(shop(), probe("/health", json("status", Literal::Text("ok".to_owned())))).await;
    good(shop(), probe("/health", json("checks.0.up", Literal::Bool(true)))).await;
    good(shop(), probe("/health", json("checks.0.n", Literal::Float(3.0)))).await;
    bad(shop(), probe("/health", json("checks.0.n", Literal::Int(4))), "json", "has checks.0.n = 3, not 4").await;
    bad(shop(), probe("/health", json("checks.1.n", Literal::Int(4))), "json", "has no checks.1.n").await;
    bad(shop(), probe("/closed", json("status", Literal::Bool(true))), "json", "cannot be used as JSON").await;
}

#[tokio::test]
async fn method_headers_and_body_are_sent_and_secrets_stay_secret() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let server = {
        let heard = Arc::clone(&heard);
        serve(move |request: hyper::Request<hyper::body::Incoming>| {
            let heard = Arc::clone(&heard);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let token = head.headers.get("x-token").map(|value| value.to_str().unwrap().to_owned());
                let body = String::from_utf8_lossy(&body).into_owned();
                heard.lock().unwrap().push(format!("{} {token:?} {body}", head.method));
                // A server that repeats what it was told.
                answer(200, &format!("{{\"n\": {body}}}"))
            }
        })
        .await
    };
    let secret = "s3cret-canary-value";
    let mut setting = Setting::default().target("shop", target(server.address));
    let source = SecretSource::Command(vec!["printf".to_owned(), "%s".to_owned(), secret.to_owned()]);
    setting = setting.secret("token", source);
    let sides = [("shop".to_owned(), "shop".into())];
    let post = HttpProbe {
        method: Method::Post,
        headers: BTreeMap::from([("X-Token".to_owned(), "«secret:token»".to_owned())]),
        body: Some("{\"token\": \"«secret:token»\"}".to_owned()),
        expect: HttpExpect { json: BTreeMap::from([("n".to_owned(), Literal::Int(1))]), ..HttpExpect::default() },
        ..HttpProbe::of(sides)
    };
    let mut stage = setting.probe("web", ProbeKind::Http(post)).stage();
    stage.world.watch();
    let value = stage.value("web", |value| number(value, "shop.samples") >= 2.0).await;
    assert_eq!(heard.lock().unwrap()[0], format!("POST Some(\"{secret}\") {{\"token\": \"{secret}\"}}"));
    assert!(text(&value, "shop.failure").contains("«secret:token»"), "{value:?}");
    assert!(!format!("{value:?}").contains(secret), "{value:?}");
}

/// A server that sends `head` and then the same piece for ever.
async fn endless(head: &'static [u8], piece: Vec<u8>) -> Server {
    let piece: Arc<[u8]> = piece.into();
    raw(move |mut stream| {
        let piece = Arc::clone(&piece);
        async move {
            let _ = stream.write_all(head).await;
            while stream.write_all(&piece).await.is_ok() {}
        }
    })
    .await
}

#[tokio::test]
async fn what_never_ends_is_a_failure_with_its_own_word() {
    let line = b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".to_vec();
    let head = endless(b"HTTP/1.1 200 OK\r\n", line).await;
    bad(target(head.address), probe("/", HttpExpect::default()), "head_too_long", "shop").await;
    let one_line = endless(b"HTTP/1.1 200 OK\r\nX-Filler: ", vec![b'a'; 4096]).await;
    bad(target(one_line.address), probe("/", HttpExpect::default()), "head_too_long", "shop").await;

    let body = endless(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", vec![b'a'; 65536]).await;
    bad(target(body.address), probe("/", contains("a")), "body_too_long", "longer than 1 MiB").await;
    let until_closed = endless(b"HTTP/1.1 200 OK\r\n\r\n", vec![b'a'; 65536]).await;
    bad(target(until_closed.address), probe("/", HttpExpect::default()), "body_too_long", "longer than 1 MiB").await;
}

/// Answers every request with the same bytes, and closes.
async fn saying(bytes: Vec<u8>) -> Server {
    let bytes: Arc<[u8]> = bytes.into();
    raw(move |mut stream| {
        let bytes = Arc::clone(&bytes);
        async move {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

fn packed(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{head}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn gzip(plain: &[u8], times: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..times {
        encoder.write_all(plain).unwrap();
    }
    encoder.finish().unwrap()
}

#[tokio::test]
async fn packed_bodies_are_unpacked_as_far_as_it_is_safe() {
    let welcome = saying(packed("Content-Encoding: gzip\r\n", &gzip(b"Welcome", 1))).await;
    good(target(welcome.address), probe("/", contains("Welcome"))).await;
    // 100 MB in 100 kB.
    let bomb = saying(packed("Content-Encoding: gzip\r\n", &gzip(&vec![0; 1_000_000], 100))).await;
    bad(target(bomb.address), probe("/", HttpExpect::default()), "compression_bomb", "once it is unpacked").await;
    let broken = saying(packed("Content-Encoding: gzip\r\n", b"this is no gzip")).await;
    bad(target(broken.address), probe("/", HttpExpect::default()), "encoding", "cannot be unpacked").await;
    let foreign = saying(packed("Content-Encoding: br\r\n", b"something")).await;
    bad(target(foreign.address), probe("/", contains("Welcome")), "encoding", "packed as br").await;
    good(target(foreign.address), probe("/", HttpExpect::default())).await;
}

#[tokio::test]
async fn what_is_packed_on_its_way_is_never_read_as_it_came() {
    let body = gzip(b"Welcome", 1);
    let chunked = |coding: &str| {
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n{:x}\r\n", body.len());
        [head.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()
    };
    let alone = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n".as_slice(), &body].concat();
    for (bytes, coding) in [
        (chunked("gzip, chunked"), "gzip, chunked"),
        (chunked("GZip\r\nTransfer-Encoding: chunked"), "gzip, chunked"),
        (alone, "gzip"),
    ] {
        let server = saying(bytes).await;
        let why = format!("packs its answer for the way as {coding}, which nobody asked for");
        bad(target(server.address), probe("/", HttpExpect::default()), "encoding", &why).await;
        let mut stage =
            Setting::default().target("api", target(server.address)).probe("document", super::json("api", "/")).stage();
        let outcome = stage.run(Action::Http(call(Method::Get, "/"))).await;
        assert!(failed(&outcome).contains(&why), "{outcome:?}");
        let outcome = stage.run(Action::Http(call(Method::Post, "/"))).await;
        assert!(crate::support::unknown(&outcome).contains(&why), "{outcome:?}");
        stage.world.watch();
        assert!(stage.failure("document").await.contains(&why));
    }
    let plain = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n7\r\nWelcome\r\n0\r\n\r\n";
    good(target(saying(plain.to_vec()).await.address), probe("/", contains("Welcome"))).await;
}

#[tokio::test]
async fn an_action_reads_what_is_packed_as_a_probe_does() {
    let reads = async |bytes: Vec<u8>, contains: Option<&str>| {
        let server = saying(bytes).await;
        let mut stage = Setting::default().target("api", target(server.address)).stage();
        let contains = contains.map(str::to_owned);
        stage.run(Action::Http(HttpAction { contains, ..call(Method::Post, "/") })).await
    };
    let welcome = packed("Content-Encoding: gzip\r\n", &gzip(b"Welcome", 1));
    succeeded(&reads(welcome.clone(), Some("Welcome")).await);
    let outcome = reads(welcome.clone(), Some("Closed")).await;
    assert_eq!(failed(&outcome), "POST / on api answered 200 OK without `Closed`: Welcome");
    let refused = String::from_utf8_lossy(&welcome[..15]).replace("200", "409").into_bytes();
    let outcome = reads([&refused, &welcome[15..]].concat(), None).await;
    assert_eq!(failed(&outcome), "POST / on api answered 409 Conflict: Welcome");
    for (bytes, why) in [
        (packed("Content-Encoding: br\r\n", b"something"), "packed as br"),
        (packed("Content-Encoding: gzip\r\n", b"this is no gzip"), "cannot be unpacked (gzip)"),
        (
            packed("Content-Encoding: gzip\r\n", &gzip(&vec![0; 1_000_000], 100)),
            "longer than 1 MiB once it is unpacked",
        ),
    ] {
        let outcome = reads(bytes.clone(), Some("Welcome")).await;
        assert!(failed(&outcome).contains(why), "{outcome:?}");
        // Nobody asks what it says.
        succeeded(&reads(bytes, None).await);
    }
}

#[tokio::test]
async fn what_breaks_off_what_is_no_http_and_what_never_ends_in_time_are_told_apart() {
    let half = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec()).await;
    bad(target(half.address), probe("/", HttpExpect::default()), "closed", "shop").await;
    let nothing = saying(Vec::new()).await;
    bad(target(nothing.address), probe("/", HttpExpect::default()), "closed", "closed the connection").await;
    let ssh = saying(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()).await;
    bad(target(ssh.address), probe("/", HttpExpect::default()), "no_http", "shop").await;

    let stuck = raw(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut stage = Setting::default()
        .target("shop", target(stuck.address))
        .probe_every("web", probe("/", HttpExpect::default()), 100, 300)
        .stage();
    stage.world.watch();
    let value = stage.value("web", |value| text(value, "shop.common_failure") == "unfinished").await;
    assert!(text(&value, "shop.failure").starts_with("the answer of shop has not ended within 300 ms"), "{value:?}");
}

/// A server that answers every request with these lines in its head.
async fn heading(head: &str) -> Server {
    saying(format!("HTTP/1.1 {head}\r\nContent-Length: 8\r\n\r\n{{\"n\": 1}}").into_bytes()).await
}

#[tokio::test]
async fn an_answer_out_of_a_cache_tells_nothing_of_the_service() {
    for (head, why) in [
        ("200 OK\r\nAge: 300", "comes out of a cache and is 300 s old"),
        ("200 OK\r\nAge: 0, 7", "comes out of a cache and is 7 s old"),
        ("200 OK\r\nCache-Status: near; fwd=miss, far; hit", "which says `Cache-Status: near; fwd=miss, far; hit`"),
        (
            "200 OK\r\nCache-Status: edge; fwd=stale; fwd-status=503",
            "which says `Cache-Status: edge; fwd=stale; fwd-status=503`",
        ),
        ("200 OK\r\nServer-Timing: cdn-cache; desc=HIT", "which says `Server-Timing: cdn-cache; desc=HIT`"),
        ("200 OK\r\nAge: 0\r\nX-Cache: HIT from edge", "which says `x-cache: HIT from edge`"),
        ("200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT", "its `Date` has stood still for 3 s"),
        ("200 OK\r\nAge: old", "has `Age: old`, so its age is unknown"),
    ] {
        let cached = heading(head).await;
        let mut stage = Setting::default()
            .target("shop", target(cached.address))
            .probe_every("web", probe("/", HttpExpect::default()), 20, 2_000)
            .stage();
        stage.world.watch();
        let value = stage.value("web", |value| text(value, "shop.failure").contains(why)).await;
        for unknown in ["errors", "p95", "last", "total.failed"] {
            assert_eq!(value.at(&format!("shop.{unknown}")), Some(&Value::Null), "{unknown}: {value:?}");
        }
        let meant = HttpExpect { cached: true, ..HttpExpect::default() };
        good(target(cached.address), probe("/", meant)).await;
    }
    let fresh = heading("200 OK\r\nAge: 0\r\nVia: 1.1 proxy\r\nX-Cache: MISS\r\nCache-Status: near; fwd=miss").await;
    good(target(fresh.address), probe("/", HttpExpect::default())).await;
    // Customers get it, whoever keeps it.
    for head in ["503 Oops\r\nAge: 3", "503 Oops\r\nX-Cache: HIT"] {
        let failing = heading(head).await;
        bad(target(failing.address), probe("/", HttpExpect::default()), "status", "shop answers 503").await;
    }
}

#[tokio::test]
async fn what_a_cache_answered_was_not_carried_out() {
    for head in ["200 OK\r\nAge: 500", "200 OK\r\nCache-Status: far; hit"] {
        let cache = heading(head).await;
        let mut stage = Setting::default().target("api", target(cache.address)).stage();
        let outcome = stage.run(Action::Http(call(Method::Get, "/"))).await;
        assert!(failed(&outcome).contains("a cache answered GET / on api"), "{outcome:?}");
        let outcome = stage.run(Action::Http(call(Method::Post, "/"))).await;
        assert!(crate::support::unknown(&outcome).contains("the service may not have been asked"), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_part_that_nobody_asked_for_is_not_the_page() {
    let part = heading("206 Partial Content\r\nContent-Range: bytes 0-7/100").await;
    let why = "shop answers 206, with a part that nobody asked for";
    bad(target(part.address), probe("/", HttpExpect::default()), "status", why).await;
    good(target(part.address), probe("/", HttpExpect { status: vec![206], ..HttpExpect::default() })).await;
    let ProbeKind::Http(asked) = probe("/", HttpExpect::default()) else { unreachable!() };
    let headers = [("Range".to_owned(), "bytes=0-7".to_owned())].into();
    good(target(part.address), ProbeKind::Http(HttpProbe { headers, ..asked })).await;

    let mut stage = Setting::default().target("api", target(part.address)).stage();
    let outcome = stage.run(Action::Http(call(Method::Get, "/"))).await;
    assert!(
        failed(&outcome).contains("answered 206 Partial Content, with a part that nobody asked for"),
        "{outcome:?}"
    );
    let named = HttpAction { success: vec![206], ..call(Method::Get, "/") };
    succeeded(&stage.run(Action::Http(named)).await);
}
