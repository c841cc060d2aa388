//! HTTP probes and actions against servers of every temper.

mod baselines;
mod broken_off;
mod customers;
mod expect;
mod nginx;
mod profile;
mod secure;
mod unmeasured;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use gonogo::core::action::Action;
use gonogo::core::kind::http::{HttpAction, HttpProbe, Method};
use gonogo::core::kind::{HttpJsonProbe, TcpProbe};
use gonogo::core::plan::SecretSource;
use gonogo::core::probe::ProbeKind;
use gonogo::core::target::{Http, Target};
use gonogo::core::time::Span;
use gonogo::core::value::{FieldType, Value};
use gonogo::world::World as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{Setting, failed, free_port, key, succeeded, unknown};

/// A server whose tasks end with it.
pub struct Server {
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

/// Answers by `answer(path, headers)`.
pub async fn serve<F, A>(answer: F) -> Server
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    Server { address, _tasks: tasks }
}

/// Hands every connection, with its number, to `act`.
async fn accepting<F, A>(act: F) -> Server
where
    F: Fn(tokio::net::TcpStream, u64) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        for number in 0.. {
            connections.spawn(act(listener.accept().await.unwrap().0, number));
        }
    });
    Server { address, _tasks: tasks }
}

/// Reads a request's head, then does what it is told with the connection.
async fn raw<F, A>(act: F) -> Server
where
    F: Fn(tokio::net::TcpStream) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let act = Arc::new(act);
    accepting(move |mut stream, _| {
        let act = Arc::clone(&act);
        async move {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            act(stream).await;
        }
    })
    .await
}

fn answer(status: u16, body: &str) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(Bytes::from(body.to_owned()))).unwrap()
}

fn target(address: SocketAddr) -> Target {
    at(&format!("http://{address}"))
}

fn at(url: &str) -> Target {
    Target::Http(Http::of(url))
}

fn json(target: &str, path: &str) -> ProbeKind {
    ProbeKind::HttpJson(HttpJsonProbe {
        target: target.into(),
        path: path.to_owned(),
        fields: BTreeMap::from([("n".to_owned(), FieldType::Int)]).into(),
        as_of: None,
        cached: false,
        simulate: BTreeMap::new(),
    })
}

fn sides(names: &[&str], window: u32) -> ProbeKind {
    let sides = names.iter().map(|name| ((*name).to_owned(), (*name).into()));
    ProbeKind::Http(HttpProbe { window, ..HttpProbe::of(sides) })
}

fn call(method: Method, path: &str) -> HttpAction {
    HttpAction {
        target: "api".into(),
        method,
        path: path.to_owned(),
        headers: BTreeMap::new(),
        body: None,
        success: Vec::new(),
        contains: None,
        limit: Span::secs(5),
        simulate: Vec::new(),
    }
}

fn number(value: &Value, path: &str) -> f64 {
    value.at(path).and_then(Value::number).unwrap_or_else(|| panic!("{path} in {value:?}"))
}

#[tokio::test]
async fn sides_are_compared_and_a_dead_one_does_not_spoil_the_other() {
    let old = serve(|_| async { answer(200, "ok") }).await;
    let new = serve(|_| async { answer(503, "no") }).await;
    let dead = free_port();
    let mut stage = Setting::default()
        .target("old", target(old.address))
        .target("new", target(new.address))
        .target("dead", at(&format!("http://127.0.0.1:{dead}")))
        .probe("web", sides(&["old", "new", "dead"], 20))
        .stage();
    stage.world.watch();
    let value = stage.value("web", |value| number(value, "old.samples") >= 20.0).await;
    assert_eq!(value.at("old.status"), Some(&Value::Int(200)));
    assert_eq!(value.at("old.errors"), Some(&Value::Float(0.0)));
    assert!(number(&value, "old.p50") <= number(&value, "old.p99"));
    assert_eq!(value.at("new.errors"), Some(&Value::Float(1.0)));
    assert_eq!(value.at("new.failure"), Some(&Value::Text("new answers 503".to_owned())));
    assert_eq!(value.at("dead.status"), Some(&Value::Null));
    let failure = value.at("dead.failure").and_then(Value::text).unwrap();
    assert_eq!(failure, format!("connection refused by dead (127.0.0.1:{dead})"));
}

#[tokio::test]
async fn answers_that_turn_customers_away_are_errors() {
    let statuses =
        [("fine", 204, 0.0), ("moved", 302, 1.0), ("missing", 404, 1.0), ("denied", 403, 1.0), ("broken", 500, 1.0)];
    let mut setting = Setting::default();
    let mut servers = Vec::new();
    for (name, status, _) in statuses {
        let server = serve(move |_| async move { answer(status, "") }).await;
        setting = setting.target(name, target(server.address));
        servers.push(server);
    }
    let mut stage = setting.probe("web", sides(&statuses.map(|(name, ..)| name), 20)).stage();
    stage.world.watch();
    let all = |value: &Value| statuses.iter().all(|(name, ..)| number(value, &format!("{name}.samples")) >= 2.0);
    let value = stage.value("web", all).await;
    for (name, status, errors) in statuses {
        assert_eq!(value.at(&format!("{name}.status")), Some(&Value::Int(status.into())));
        assert_eq!(value.at(&format!("{name}.errors")), Some(&Value::Float(errors)), "{name}");
        let failure = if errors == 0.0 { String::new() } else { format!("{name} answers {status}") };
        assert_eq!(value.at(&format!("{name}.failure")), Some(&Value::Text(failure)));
    }
}

/// A server freezes, for everybody who comes, until the other has been asked 50 times more on the same timetable. (A
/// probe that waited with its next round until every side has answered would wait for good.)
#[tokio::test]
async fn a_server_that_freezes_shows_in_the_percentiles() {
    const AT: u64 = 200;
    let asked_steady = Arc::new(watch::Sender::new(0_u64));
    let lasted = Arc::new(OnceLock::new());
    let steady = {
        let asked = Arc::clone(&asked_steady);
        serve(move |_| {
            asked.send_modify(|asked| *asked += 1);
            async { answer(200, "ok") }
        })
        .await
    };
    let frozen = {
        let (asked, lasted) = (Arc::new(AtomicU64::new(0)), Arc::clone(&lasted));
        let thaws = Arc::new(OnceLock::new());
        serve(move |_| {
            let nth = asked.fetch_add(1, Ordering::Relaxed);
            let (mut steady, lasted) = (asked_steady.subscribe(), Arc::clone(&lasted));
            let thaws = (nth >= AT).then(|| *thaws.get_or_init(|| *steady.borrow() + 50));
            async move {
                if let Some(until) = thaws {
                    let began = Instant::now();
                    steady.wait_for(|asked| *asked >= until).await.unwrap();
                    let _ = lasted.set(began.elapsed());
                }
                answer(200, "ok")
            }
        })
        .await
    };
    let mut stage = Setting::default()
        .target("frozen", target(frozen.address))
        .target("steady", target(steady.address))
        .probe_every("web", sides(&["frozen", "steady"], 500), 20, 30_000)
        .stage();
    stage.world.watch();
    let value = stage.value("web", |value| number(value, "frozen.samples") >= 500.0).await;
    let (p50, p99) = (number(&value, "frozen.p50"), number(&value, "frozen.p99"));
    // 50 of 500 had to wait, the first of them for all of it: 1 in 100 waited for nine tenths.
    let lasted = lasted.get().expect("it froze").as_secs_f64() * 1_000.0;
    assert!(p99 >= 0.8 * lasted, "p99 is {p99} of a freeze of {lasted} ms");
    assert!(p50 < p99 / 2.0, "p50 is {p50}, p99 {p99}");
    assert!(number(&value, "steady.p95") < p99, "{value:?}");
}

#[tokio::test]
async fn a_silent_server_fails_and_has_no_percentiles() {
    let mute = raw(|stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let mut stage = Setting::default()
        .target("mute", target(mute.address))
        .probe_every("web", sides(&["mute"], 50), 100, 500)
        .stage();
    stage.world.watch();
    let value = stage.value("web", |value| number(value, "mute.samples") >= 8.0).await;
    assert_eq!(value.at("mute.errors"), Some(&Value::Float(1.0)));
    assert_eq!(value.at("mute.p99"), Some(&Value::Null), "it has never answered, so nobody knows how slow it is");
    assert_eq!(value.at("mute.last"), Some(&Value::Null));
    assert!(value.at("mute.failure").and_then(Value::text).unwrap().starts_with("no answer from mute"), "{value:?}");
}

#[tokio::test]
async fn json_documents_and_all_kinds_of_bad_ones() {
    let good = serve(|request: Request<Incoming>| async move {
        match request.uri().path() {
            "/n" => {
                let token = request.headers()["x-token"].to_str().unwrap().to_owned();
                assert_eq!(request.headers()["host"], "shop.example:1234");
                answer(200, &format!(r#"{{"n": {}}}"#, token.len()))
            }
            "/huge" => answer(200, &"x".repeat(2_000_000)),
            "/echo" => answer(200, &format!(r#"{{"n": "{}"}}"#, request.headers()["x-token"].to_str().unwrap())),
            "/moved" => Response::builder().status(302).header("location", "/n").body(Full::default()).unwrap(),
            _ => answer(200, "not json"),
        }
    })
    .await;
    let slow = raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n").await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            // The server is slow: that is what is tested.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let endless = raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(b"x-header: 0123456789012345678901234567890123456789\r\n").await.is_ok() {}
    })
    .await;
    let body = raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n").await.unwrap();
        let block = vec![b'x'; 1 << 16];
        while stream.write_all(&block).await.is_ok() {}
    })
    .await;
    let Target::Http(mut api) = target(good.address) else { unreachable!() };
    api.connect = Some(good.address.to_string());
    api.url = "http://shop.example:1234".to_owned();
    api.headers = BTreeMap::from([("x-token".to_owned(), "«secret:token»".to_owned())]);
    let mut stage = Setting::default()
        .target("api", Target::Http(api))
        .target("slow", target(slow.address))
        .target("endless", target(endless.address))
        .target("body", target(body.address))
        .target("tls", at(&format!("https://{}", good.address)))
        .secret("token", SecretSource::Command(vec!["echo".to_owned(), "http-canary".to_owned()]))
        .probe("n", json("api", "/n"))
        .probe("huge", json("api", "/huge"))
        .probe("echo", json("api", "/echo"))
        .probe("moved", json("api", "/moved"))
        .probe("text", json("api", "/"))
        .probe_every("slow", json("slow", "/"), 300, 600)
        .probe_every("endless", json("endless", "/"), 300, 2_000)
        .probe_every("body", json("body", "/"), 300, 3_000)
        .probe_every("tls", json("tls", "/"), 300, 2_000)
        .stage();
    stage.world.watch();
    stage.value("n", |value| value.at("n") == Some(&Value::Int(11))).await;
    assert_eq!(stage.failure("huge").await, "the answer of api is longer than 1 MiB");
    assert_eq!(stage.failure("echo").await, r#"field `n` is string "«secret:token»", not int"#);
    assert_eq!(stage.failure("moved").await, "api answers 302 Found");
    assert!(stage.failure("text").await.starts_with("the answer of api cannot be used as JSON"));
    assert_eq!(stage.failure("slow").await, "no answer from slow within 600 ms");
    let endless = stage.failure("endless").await;
    assert!(endless.starts_with("endless ("), "{endless}");
    assert_eq!(stage.failure("body").await, "the answer of body is longer than 1 MiB");
    let tls = stage.failure("tls").await;
    assert!(tls.starts_with("TLS with tls (") || tls.contains("no trusted certificate"), "{tls}");
    stage.assert_clean(&["http-canary"]);
}

#[tokio::test]
async fn requests_say_what_became_of_them() {
    let api = serve(|request: Request<Incoming>| async move {
        match (request.method().as_str(), request.uri().path()) {
            ("POST", "/switch") => answer(204, ""),
            ("GET", "/state") => answer(200, "state=new"),
            _ => answer(409, "already\u{1b}[2J switched"),
        }
    })
    .await;
    let mut stage = Setting::default().target("api", target(api.address)).stage();
    let outcome = stage.run(Action::Http(call(Method::Post, "/switch"))).await;
    assert!(succeeded(&outcome).starts_with("204 No Content, "), "{outcome:?}");
    let mut look = call(Method::Get, "/state");
    look.contains = Some("state=new".to_owned());
    succeeded(&stage.run(Action::Http(look.clone())).await);
    look.contains = Some("state=old".to_owned());
    let outcome = stage.run(Action::Http(look)).await;
    assert_eq!(failed(&outcome), "GET /state on api answered 200 OK without `state=old`: state=new");
    let outcome = stage.run(Action::Http(call(Method::Put, "/x"))).await;
    assert_eq!(failed(&outcome), "PUT /x on api answered 409 Conflict: already␛[2J switched");
    let mut fine = call(Method::Put, "/x");
    fine.success = vec![409];
    succeeded(&stage.run(Action::Http(fine)).await);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_unless_nothing_was_changed() {
    let rude = raw(|stream| async move { drop(stream) }).await;
    let mut stage = Setting::default().target("api", target(rude.address)).stage();
    let outcome = stage.run(Action::Http(call(Method::Post, "/switch"))).await;
    assert!(unknown(&outcome).contains("POST /switch on api may have been carried out"), "{outcome:?}");
    let outcome = stage.run(Action::Http(call(Method::Get, "/"))).await;
    assert!(failed(&outcome).contains("closed the connection"), "{outcome:?}");

    let mute = raw(|stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let mut stage = Setting::default().target("api", target(mute.address)).stage();
    let mut slow = call(Method::Delete, "/x");
    slow.limit = Span(300);
    let outcome = stage.run(Action::Http(slow)).await;
    assert!(unknown(&outcome).contains("no answer within 300 ms"), "{outcome:?}");

    let mut stage = Setting::default().target("api", at(&format!("http://127.0.0.1:{}", free_port()))).stage();
    let outcome = stage.run(Action::Http(call(Method::Post, "/x"))).await;
    assert!(failed(&outcome).ends_with("; nothing was sent"), "{outcome:?}");
}

/// A port that is open and lets nobody in: its queue is full, and Linux leaves further greetings unanswered.
struct Crowded {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<std::net::TcpStream>,
}

fn crowded() -> Crowded {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "its queue never fills");
    }
    Crowded { address, _listener: listener, _waiting: waiting }
}

#[tokio::test]
async fn a_request_without_a_connection_was_not_sent() {
    let crowded = crowded();
    let mut stage = Setting::default().target("api", target(crowded.address)).stage();
    let mut slow = call(Method::Post, "/switch");
    slow.limit = Span(300);
    let outcome = stage.run(Action::Http(slow)).await;
    assert_eq!(failed(&outcome), "no connection to api within 300 ms; nothing was sent");
    let stopped = key("stopped");
    stage.world.start(stopped.clone(), &Action::Http(call(Method::Post, "/switch")));
    stage.world.stop(&stopped);
    assert_eq!(failed(&stage.ended(&stopped).await), "no connection to api before it was stopped; nothing was sent");

    // The port is open, and nobody speaks TLS behind it.
    let mute = raw(|stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let mut stage = Setting::default().target("api", at(&format!("https://{}", mute.address))).stage();
    let mut slow = call(Method::Post, "/switch");
    slow.limit = Span(300);
    let outcome = stage.run(Action::Http(slow)).await;
    assert!(failed(&outcome).ends_with("; nothing was sent"), "{outcome:?}");
}

#[tokio::test]
async fn what_a_gateway_does_not_know_is_unknown() {
    let gateway = serve(|request: Request<Incoming>| async move {
        let status = request.uri().path().trim_start_matches('/').parse().unwrap();
        let mut response = answer(status, "upstream");
        if status == 503 {
            response.headers_mut().insert("retry-after", "30".parse().unwrap());
        }
        response
    })
    .await;
    let mut stage = Setting::default().target("api", target(gateway.address)).stage();
    for method in [Method::Post, Method::Patch] {
        for status in [502, 504, 520, 524] {
            let outcome = stage.run(Action::Http(call(method, &format!("/{status}")))).await;
            let told = format!("may have been carried out: a gateway answered {status}");
            assert!(unknown(&outcome).contains(&told), "{outcome:?}");
        }
    }
    // Cloudflare's word that the server was down: nothing was sent to it.
    let outcome = stage.run(Action::Http(call(Method::Post, "/521"))).await;
    assert!(failed(&outcome).contains("answered 521"), "{outcome:?}");
    for method in [Method::Get, Method::Put, Method::Delete] {
        let outcome = stage.run(Action::Http(call(method, "/504"))).await;
        assert!(failed(&outcome).contains("answered 504 Gateway Timeout"), "{outcome:?}");
    }
    let outcome = stage.run(Action::Http(call(Method::Post, "/503"))).await;
    assert_eq!(
        failed(&outcome),
        "POST /503 on api answered 503 Service Unavailable, Retry-After 30: upstream",
        "it was told to come again: nothing was done"
    );
    let mut expected = call(Method::Post, "/502");
    expected.success = vec![502];
    succeeded(&stage.run(Action::Http(expected)).await);
}

#[tokio::test]
async fn tcp_ports_are_open_or_not() {
    let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = |address: String| ProbeKind::Tcp(TcpProbe { address });
    let mut stage = Setting::default()
        .probe("open", tcp(open.local_addr().unwrap().to_string()))
        .probe("shut", tcp(format!("127.0.0.1:{}", free_port())))
        .probe("lost", tcp("does-not-exist.invalid:80".to_owned()))
        .stage();
    stage.world.watch();
    let value = stage.value("open", |_| true).await;
    assert_eq!(value.at("open"), Some(&Value::Bool(true)));
    assert!(number(&value, "connect_ms") >= 0.0);
    let value = stage.value("shut", |_| true).await;
    assert_eq!(value.at("open"), Some(&Value::Bool(false)));
    assert_eq!(value.at("connect_ms"), Some(&Value::Null));
    assert!(stage.failure("lost").await.contains("does-not-exist.invalid:80"));
}

/// Not a test of its own: needs `SSL_CERT_FILE` in its environment from the start.
#[tokio::test]
#[ignore = "started by the next test"]
async fn https_with_a_trusted_authority() {
    let dir = std::env::var_os("GONOGO_TEST_DIR").expect("started by the next test");
    let pem = |name: &str| std::path::Path::new(&dir).join(name);
    let cert = CertificateDer::from_pem_file(pem("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(pem("server.key")).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![cert], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let Ok(stream) = acceptor.accept(listener.accept().await.unwrap().0).await else { continue };
            let service = service_fn(|_| async { Ok::<_, Infallible>(answer(200, r#"{"n": 1}"#)) });
            tokio::spawn(async move {
                drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    let by = |name: &str| {
        let url = format!("https://{name}:{}", address.port());
        Target::Http(Http { connect: Some(address.to_string()), ..Http::of(url) })
    };
    let mut stage = Setting::default()
        .target("good", by("localhost"))
        .target("other", by("shop.example"))
        .probe("good", json("good", "/"))
        .probe("other", json("other", "/"))
        .probe("web", sides(&["good", "other"], 10))
        .stage();
    stage.world.watch();
    stage.value("good", |value| value.at("n") == Some(&Value::Int(1))).await;
    let other = stage.failure("other").await;
    assert!(other.starts_with("TLS with other (127.0.0.1:") && other.contains("not valid for name"), "{other}");
    stage.value("web", |value| value.at("good.status") == Some(&Value::Int(200))).await;
}

#[test]
fn https_is_verified_to_the_name() {
    let dir = tempfile::tempdir().unwrap();
    crate::support::certificates(dir.path());
    let ran = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "http::https_with_a_trusted_authority"])
        .env("GONOGO_TEST_DIR", dir.path())
        .env("SSL_CERT_FILE", dir.path().join("ca.pem"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
}

/// Runs the ignored test of that name where `/etc/hosts` is a file of its own, which `GONOGO_TEST_HOSTS` names. Says so where
/// the machine allows no mount namespaces.
fn with_hosts_of_its_own(test: &str) {
    let own = ["-r", "-m"];
    if !Command::new("unshare").args(own).arg("true").output().is_ok_and(|output| output.status.success()) {
        eprintln!("not tried: this machine allows no mount namespaces");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let hosts = dir.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let ran = Command::new("unshare")
        .args(own)
        .args(["sh", "-c", "mount --bind \"$GONOGO_TEST_HOSTS\" /etc/hosts && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test])
        .env("GONOGO_TEST_HOSTS", &hosts)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
}
