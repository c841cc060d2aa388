//! The ways to a web service: an authority of one's own, certificates, passwords, proxies, HTTP/2, several addresses.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use gonogo::core::action::Action;
use gonogo::core::kind::http::Method;
use gonogo::core::plan::SecretSource;
use gonogo::core::simulate::Literal;
use gonogo::core::target::{BasicAuth, ClientCertificate, Http, HttpProxy, Target};
use gonogo::core::value::Value;
use gonogo::world::World as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::nginx::Nginx;
use super::{Server, call, json, number, sides, with_hosts_of_its_own};
use crate::support::{Setting, certificates, free_port, succeeded};
use crate::tcp::silent;

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.at(path).and_then(Value::text).unwrap_or_else(|| panic!("{path} in {value:?}"))
}

/// What a side says after some requests.
async fn figures(setting: Setting, target: Http) -> Value {
    let setting = setting.target("shop", Target::Http(target));
    let mut stage = setting.probe_every("web", sides(&["shop"], 120), 20, 3_000).stage();
    stage.world.watch();
    // While the newest request was not measured, since this machine was late, there are no figures.
    let tells = |value: &Value| number(value, "shop.samples") >= 5.0 && value.at("shop.errors") != Some(&Value::Null);
    let value = stage.value("web", tells).await;
    value.at("shop").cloned().unwrap()
}

async fn good(target: Http) -> Value {
    let seen = figures(Setting::default(), target).await;
    assert_eq!((seen.at("errors"), text(&seen, "failure")), (Some(&Value::Float(0.0)), ""), "{seen:?}");
    seen
}

async fn bad(target: Http, word: &str, why: &str) {
    let seen = figures(Setting::default(), target).await;
    assert_eq!(seen.at("errors"), Some(&Value::Float(1.0)), "{seen:?}");
    assert_eq!(text(&seen, "common_failure"), word, "{seen:?}");
    assert!(text(&seen, "failure").contains(why), "{seen:?}");
}

/// A certificate that the authority in `dir` has given to a client.
fn client_certificate(dir: &Path) -> ClientCertificate {
    let args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -CA ca.pem -CAkey ca.key \
                -keyout client.key -out client.pem -subj /CN=gonogo -addext basicConstraints=critical,CA:FALSE";
    let made = Command::new("openssl").args(args.split_whitespace()).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = |name: &str| dir.join(name).display().to_string();
    ClientCertificate { certificate: file("client.pem"), key_file: file("client.key") }
}

fn two() -> Literal {
    Literal::Int(2)
}

fn auto() -> Literal {
    Literal::Text("auto".to_owned())
}

/// nginx with TLS, with `more` in its server block.
async fn https(dir: &Path, listen: &str, more: &str) -> Nginx {
    let pem = dir.display();
    Nginx::start(&format!(
        "listen 127.0.0.1:PORT ssl {listen}; ssl_certificate {pem}/server.pem; ssl_certificate_key {pem}/server.key;\n\
         {more}\n location / {{ return 200 '{{\"n\": 1}}'; }}"
    ))
    .await
}

#[tokio::test]
async fn an_authority_and_a_certificate_of_ones_own() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let own = client_certificate(dir.path());
    let asks = format!("ssl_client_certificate {}/ca.pem; ssl_verify_client on;", dir.path().display());
    let (open, closed) = (https(dir.path(), "", "").await, https(dir.path(), "", &asks).await);
    let ca = Some(dir.path().join("ca.pem").display().to_string());
    let at = |nginx: &Nginx| Http { ca: ca.clone(), ..Http::of(format!("https://localhost:{}", nginx.port)) };

    let seen = good(at(&open)).await;
    assert!(number(&seen, "phases.tls") > 0.0, "{seen:?}");
    bad(Http { ca: None, ..at(&open) }, "tls", "TLS with shop").await;
    bad(Http { ca: Some("/no/such.pem".to_owned()), ..at(&open) }, "tls", "/no/such.pem cannot be used").await;
    let other = Http { url: format!("https://127.0.0.1:{}", open.port), ..at(&open) };
    bad(other, "tls", "not valid for name").await;

    bad(at(&closed), "status", "shop answers 400").await;
    let shown = Http { client_certificate: Some(own.clone()), ..at(&closed) };
    good(shown.clone()).await;
    let wrong = ClientCertificate { key_file: dir.path().join("server.key").display().to_string(), ..own };
    bad(Http { client_certificate: Some(wrong), ..at(&closed) }, "tls", "cannot be used with the key").await;

    // What a target says holds for everything that uses it.
    let mut stage = Setting::default().target("api", Target::Http(shown)).probe("document", json("api", "/")).stage();
    stage.world.watch();
    stage.value("document", |value| value.at("n") == Some(&Value::Int(1))).await;
    succeeded(&stage.run(Action::Http(call(Method::Get, "/"))).await);
}

#[tokio::test]
async fn a_self_signed_certificate_is_told_in_plain_words_with_what_to_do() {
    let key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
               -addext subjectAltName=DNS:localhost -keyout server.key -out server.pem -addext basicConstraints=critical";
    for (authority, trusted, why) in [
        (true, true, "it is that of an authority (CA:TRUE), as self-signed ones often are, and no server's"),
        (true, false, "it is that of an authority (CA:TRUE), as self-signed ones often are, and no server's"),
        (false, false, "no authority that is trusted here has signed it (name the file with its authority in `ca`)"),
        (false, true, ""),
    ] {
        // Files are read anew once a minute only.
        let dir = tempfile::tempdir().unwrap();
        let args = format!("{key},CA:{}", if authority { "TRUE" } else { "FALSE" });
        let made = Command::new("openssl").args(args.split_whitespace()).current_dir(dir.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let nginx = https(dir.path(), "", "").await;
        let other = tempfile::tempdir().unwrap();
        certificates(other.path());
        let ca = if trusted { dir.path().join("server.pem") } else { other.path().join("ca.pem") };
        let shop = Http { ca: Some(ca.display().to_string()), ..Http::of(format!("https://localhost:{}", nginx.port)) };
        if why.is_empty() {
            good(shop).await;
        } else {
            bad(shop, "tls", &format!("failed: its certificate is not valid: {why}")).await;
        }
    }
}

#[tokio::test]
async fn http_2_where_it_is_spoken() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let (both, old) = (https(dir.path(), "http2", "").await, https(dir.path(), "", "").await);
    let plain = Nginx::start("listen 127.0.0.1:PORT http2; location / { return 200 ok; }").await;
    let ca = Some(dir.path().join("ca.pem").display().to_string());
    let at = |nginx: &Nginx, version: Option<Literal>| Http {
        ca: ca.clone(),
        version,
        ..Http::of(format!("https://localhost:{}", nginx.port))
    };
    for (nginx, version, protocol) in [
        (&both, None, "HTTP/1.1"),
        (&both, Some(auto()), "HTTP/2"),
        (&both, Some(two()), "HTTP/2"),
        (&old, Some(auto()), "HTTP/1.1"),
    ] {
        assert_eq!(text(&good(at(nginx, version)).await, "protocol"), protocol);
    }
    let seen = figures(Setting::default(), at(&old, Some(two()))).await;
    assert_eq!(seen.at("errors"), Some(&Value::Float(1.0)), "{seen:?}");
    assert!(["tls", "no_http"].contains(&text(&seen, "common_failure")), "{seen:?}");
    let known = Http { version: Some(two()), ..Http::of(format!("http://127.0.0.1:{}", plain.port)) };
    assert_eq!(text(&good(known).await, "protocol"), "HTTP/2");
}

#[tokio::test]
async fn a_password_opens_and_stays_secret() {
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users");
    let canary = "pw-canary-4711";
    std::fs::write(&users, format!("ana:{{PLAIN}}{canary}\n")).unwrap();
    let nginx = Nginx::start(&format!(
        "listen 127.0.0.1:PORT; location / {{ auth_basic shop; auth_basic_user_file {}; try_files /none =418; }}",
        users.display()
    ))
    .await;
    let url = format!("http://127.0.0.1:{}", nginx.port);
    let secret = || SecretSource::Command(vec!["printf".to_owned(), "%s".to_owned(), canary.to_owned()]);
    let auth = |password: &str| Some(BasicAuth { user: "ana".to_owned(), password: password.to_owned() });
    let status = |seen: &Value| seen.at("status").and_then(Value::int);
    assert_eq!(status(&figures(Setting::default(), Http::of(&url)).await), Some(401));
    let wrong = Http { basic_auth: auth("wrong"), ..Http::of(&url) };
    assert_eq!(status(&figures(Setting::default(), wrong).await), Some(401));
    let right = Http { basic_auth: auth("«secret:pw»"), ..Http::of(&url) };
    let seen = figures(Setting::default().secret("pw", secret()), right).await;
    assert_eq!(status(&seen), Some(418), "{seen:?}");
    assert!(!format!("{seen:?}").contains(canary), "{seen:?}");
}

/// An HTTP proxy that wants a password, with the first lines that it heard.
async fn proxy() -> (Server, Arc<Mutex<Vec<String>>>) {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    let told = Arc::clone(&heard);
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let told = Arc::clone(&told);
            connections.spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = client.read_u8().await else { return };
                    head.push(byte);
                }
                let head = String::from_utf8(head).unwrap();
                let line = head.lines().next().unwrap().to_owned();
                told.lock().unwrap().push(line.clone());
                // ana:secret
                if !head.to_ascii_lowercase().contains("proxy-authorization: basic yw5holnly3jldc1wdw==") {
                    let _ = client.write_all(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n").await;
                    return;
                }
                let place = line.split(' ').nth(1).unwrap();
                if line.starts_with("CONNECT ") {
                    let Ok(mut server) = TcpStream::connect(place).await else { return };
                    client.write_all(b"HTTP/1.1 200 Go on\r\n\r\n").await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                } else {
                    let rest = place.strip_prefix("http://").unwrap();
                    let (place, path) = rest.split_once('/').unwrap();
                    let Ok(mut server) = TcpStream::connect(place).await else { return };
                    let head = head.replacen(&format!("http://{place}/{path}"), &format!("/{path}"), 1);
                    server.write_all(head.as_bytes()).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    (Server { address, _tasks: tasks }, heard)
}

#[tokio::test]
async fn a_proxy_passes_http_on_and_is_a_tunnel_for_https() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let (secure, plain) = (
        https(dir.path(), "http2", "").await,
        Nginx::start("listen 127.0.0.1:PORT; location / { return 200 ok; }").await,
    );
    let (server, heard) = proxy().await;
    let auth = BasicAuth { user: "ana".to_owned(), password: "Secret-pw".to_owned() };
    let through = HttpProxy { url: format!("http://{}", server.address), basic_auth: Some(auth) };
    let https = Http {
        ca: Some(dir.path().join("ca.pem").display().to_string()),
        proxy: Some(through.clone()),
        version: Some(auto()),
        ..Http::of(format!("https://localhost:{}", secure.port))
    };
    let seen = good(https.clone()).await;
    assert_eq!(text(&seen, "protocol"), "HTTP/2");
    assert_eq!(text(&seen, "address"), server.address.to_string());
    assert!(number(&seen, "phases.tls") > 0.0, "{seen:?}");
    assert_eq!(heard.lock().unwrap()[0], format!("CONNECT localhost:{} HTTP/1.1", secure.port));

    heard.lock().unwrap().clear();
    let http = Http { proxy: Some(through.clone()), ..Http::of(format!("http://127.0.0.1:{}", plain.port)) };
    good(http).await;
    assert_eq!(heard.lock().unwrap()[0], format!("GET http://127.0.0.1:{}/ HTTP/1.1", plain.port));

    let stranger = Some(HttpProxy { basic_auth: None, ..through });
    bad(Http { proxy: stranger, ..https.clone() }, "proxy", "the proxy answers 407 to CONNECT").await;
    let gone = Some(HttpProxy { url: format!("http://127.0.0.1:{}", free_port()), basic_auth: None });
    bad(Http { proxy: gone, ..https }, "refused", "through 127.0.0.1:").await;
}

/// Needs a hosts file of its own.
#[tokio::test]
#[ignore = "started by the next test"]
async fn a_name_with_several_addresses() {
    let hosts = std::env::var_os("GONOGO_TEST_HOSTS").expect("started by the next test");
    let point_to = |addresses: &[&str]| {
        let lines: Vec<String> = addresses.iter().map(|address| format!("{address} shop.test")).collect();
        std::fs::write(&hosts, format!("127.0.0.1 localhost\n{}\n", lines.join("\n"))).unwrap();
    };
    let nginx = Nginx::start("listen 127.0.0.1:PORT; listen 127.0.0.6:PORT; location / { return 200 ok; }").await;
    // Its queue is full, so that it says nothing to those who come.
    let silent = silent(&format!("127.0.0.7:{}", nginx.port)).await;
    let port = nginx.port;
    let at = Http::of(format!("http://shop.test:{port}"));

    point_to(&["127.0.0.5", "127.0.0.6"]);
    let seen = good(at.clone()).await;
    assert_eq!(text(&seen, "address"), format!("127.0.0.6:{port}"));
    assert_eq!(text(&seen, "unreached"), format!("127.0.0.5:{port} refused"));

    point_to(&["127.0.0.7", "127.0.0.6"]);
    let seen = good(at.clone()).await;
    assert_eq!(text(&seen, "unreached"), format!("127.0.0.7:{port} connect_timeout"));
    assert!(number(&seen, "p50") >= 250.0, "that is what it costs: {seen:?}");

    point_to(&["127.0.0.5", "127.0.0.8"]);
    bad(at.clone(), "refused", &format!("cannot be reached: 127.0.0.5:{port} refused, 127.0.0.8:{port} refused")).await;
    point_to(&["127.0.0.7"]);
    // Given up before it counts as overdue.
    let setting = Setting::default().target("shop", Target::Http(at));
    let mut stage = setting.probe_every("web", sides(&["shop"], 120), 200, 800).stage();
    stage.world.watch();
    let value = stage.value("web", |value| text(value, "shop.common_failure") == "connect_timeout").await;
    assert_eq!(text(&value, "shop.failure"), "no connection to shop within 800 ms");
    drop(silent);
}

#[test]
fn addresses_are_tried_as_clients_do() {
    with_hosts_of_its_own("http::secure::a_name_with_several_addresses");
}
