//! The certificate probe against servers with good certificates, with bad ones, and without TLS. The certificates are
//! made by openssl.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use gonogo::core::evidence::{Baselines, Verdict};
use gonogo::core::expr::{Condition, Sight};
use gonogo::core::kind::TlsProbe;
use gonogo::core::kind::tls::StartTls;
use gonogo::core::plan::SecretSource;
use gonogo::core::probe::ProbeKind;
use gonogo::core::reading::Reading;
use gonogo::core::time::Span;
use gonogo::core::value::Value;
use gonogo::world::World as _;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::pg::Cluster;
use crate::support::{Setting, Stage, certificates, free_port};

/// Two authorities, one below the other, and what they issue.
struct Authority {
    dir: TempDir,
}

fn openssl(dir: &Path, args: &[&str]) {
    let made = Command::new("openssl").args(args).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{args:?}: {}", String::from_utf8_lossy(&made.stderr));
}

/// How a certificate differs from a good one.
#[derive(Clone, Copy)]
struct Order<'a> {
    name: &'a str,
    subject: &'a str,
    alternative: &'a str,
    from: &'a str,
    to: &'a str,
    /// `None` for the intermediate authority; `Some("self")` for itself.
    issuer: Option<&'a str>,
}

const GOOD: Order<'static> = Order {
    name: "good",
    subject: "/CN=shop",
    alternative: "DNS:localhost,DNS:shop.test,IP:127.0.0.1",
    from: "20200101000000Z",
    to: "21000101000000Z",
    issuer: None,
};

impl Authority {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\n\
                      policy=p\nunique_subject=no\nstring_mask=utf8only\nutf8=yes\n[p]\ncommonName=optional\n\
                      organizationName=optional\n[req]\ndistinguished_name=n\nstring_mask=utf8only\n[n]\n";
        std::fs::write(dir.path().join("ca.cnf"), config).unwrap();
        std::fs::write(dir.path().join("index.txt"), "").unwrap();
        let authority = Self { dir };
        for (name, subject) in [("root", "/CN=Test root"), ("other-root", "/CN=Other root")] {
            let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
            openssl(
                authority.path(),
                &[
                    "req",
                    "-config",
                    "ca.cnf",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                    "-nodes",
                    "-days",
                    "9",
                    "-keyout",
                    &key,
                    "-out",
                    &pem,
                    "-subj",
                    subject,
                    "-addext",
                    "basicConstraints=critical,CA:TRUE",
                ],
            );
        }
        let order = Order { name: "middle", subject: "/CN=Test middle", alternative: "", issuer: Some("root"), ..GOOD };
        authority.issue(order, "basicConstraints=critical,CA:TRUE\n");
        authority.issue(GOOD, "");
        authority
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    fn issue(&self, order: Order<'_>, extensions: &str) {
        let name = order.name;
        let file = |ending: &str| format!("{name}.{ending}");
        openssl(
            self.path(),
            &[
                "req",
                "-config",
                "ca.cnf",
                "-utf8",
                "-new",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-keyout",
                &file("key"),
                "-out",
                &file("csr"),
                "-subj",
                order.subject,
            ],
        );
        let mut text = extensions.to_owned();
        if !order.alternative.is_empty() {
            writeln!(text, "subjectAltName={}\nbasicConstraints=critical,CA:FALSE", order.alternative).unwrap();
        }
        std::fs::write(self.path().join(file("ext")), text).unwrap();
        let (csr, out, ext) = (file("csr"), file("pem"), file("ext"));
        let mut args = vec![
            "ca",
            "-batch",
            "-notext",
            "-config",
            "ca.cnf",
            "-in",
            &csr,
            "-out",
            &out,
            "-extfile",
            &ext,
            "-startdate",
            order.from,
            "-enddate",
            order.to,
        ];
        let issuer = order.issuer.unwrap_or("middle");
        let own = file("key");
        let (key, pem) = (format!("{issuer}.key"), format!("{issuer}.pem"));
        if issuer == "self" {
            args.extend(["-selfsign", "-keyfile", &own]);
        } else {
            args.extend(["-cert", &pem, "-keyfile", &key]);
        }
        openssl(self.path(), &args);
    }

    /// A server that shows the certificate `name`.
    fn serve(&self, name: &str, more: &[&str]) -> Server {
        let port = free_port();
        let child = Command::new("openssl")
            .args(["s_server", "-www", "-accept", &format!("127.0.0.1:{port}")])
            .args(["-cert", &format!("{name}.pem"), "-key", &format!("{name}.key")])
            .args(more)
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Server { port, child }
    }
}

struct Server {
    port: u16,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn probe(port: u16, ca: Option<String>) -> TlsProbe {
    let address = format!("localhost:{port}");
    TlsProbe {
        address,
        server_name: None,
        connect: Some(format!("127.0.0.1:{port}")),
        starttls: None,
        ca,
        alpn: Vec::new(),
    }
}

fn text(value: &Value, path: &str) -> String {
    value.at(path).and_then(Value::text).unwrap_or_else(|| panic!("no {path} in {value:?}")).to_owned()
}

fn gate(value: &Value) -> Verdict {
    let kind = ProbeKind::Tls(probe(1, None));
    let shapes = [("cert".into(), kind.shape())].into();
    let gate = Condition::compile("cert.valid && cert.days_left > 14.0", &shapes).unwrap();
    gate.verdict(&|_| Sight::Fresh { value, age: Span(1) }, &Baselines::new())
}

/// The reading of `probe`, which must not be valid.
async fn bad(stage: &mut Stage, probe: &str) -> (Value, String) {
    let value = stage.value(probe, |_| true).await;
    assert_eq!(value.at("valid"), Some(&Value::Bool(false)), "{probe}: {value:?}");
    assert_eq!(gate(&value), Verdict::NoGo, "{probe}: {value:?}");
    let reason = text(&value, "reason");
    (value, reason)
}

#[tokio::test]
async fn a_certificate_is_read_whether_it_is_good_or_not() {
    let ca = Authority::new();
    let chain = ["-cert_chain", "middle.pem"];
    ca.issue(Order { name: "expired", to: "20210101000000Z", ..GOOD }, "");
    ca.issue(Order { name: "future", from: "20900101000000Z", ..GOOD }, "");
    ca.issue(Order { name: "elsewhere", alternative: "DNS:elsewhere.test,DNS:*.far.test", ..GOOD }, "");
    ca.issue(Order { name: "own", issuer: Some("self"), ..GOOD }, "");
    // Its issuer has the same name as it has, but another key.
    ca.issue(Order { name: "namesake", subject: "/CN=Test middle", ..GOOD }, "");
    let namesake = ca.serve("namesake", &[]);
    let good = ca.serve("good", &[&chain[..], &["-alpn", "h2,http/1.1"]].concat());
    let alone = ca.serve("good", &[]);
    let old = ca.serve("good", &[&chain[..], &["-tls1_2"]].concat());
    let expired = ca.serve("expired", &chain);
    let future = ca.serve("future", &chain);
    let elsewhere = ca.serve("elsewhere", &chain);
    let own = ca.serve("own", &[]);
    let root = || Some(ca.file("root.pem"));
    let tls = ProbeKind::Tls;
    let mut stage = Setting::default()
        .probe("good", tls(TlsProbe { alpn: vec!["http/1.1".into()], ..probe(good.port, root()) }))
        .probe("old", tls(probe(old.port, root())))
        .probe("named", tls(TlsProbe { server_name: Some("shop.test".into()), ..probe(good.port, root()) }))
        .probe("numbered", tls(TlsProbe { address: format!("127.0.0.1:{}", good.port), ..probe(good.port, root()) }))
        .probe("trusted", tls(probe(own.port, Some(ca.file("own.pem")))))
        .probe("alone", tls(probe(alone.port, root())))
        .probe("expired", tls(probe(expired.port, root())))
        .probe("future", tls(probe(future.port, root())))
        .probe("elsewhere", tls(probe(elsewhere.port, root())))
        .probe("own", tls(probe(own.port, root())))
        .probe("namesake", tls(probe(namesake.port, Some(ca.file("other-root.pem")))))
        .probe("unknown", tls(probe(good.port, Some(ca.file("other-root.pem")))))
        .probe("both", tls(TlsProbe { server_name: Some("x.test".into()), ..probe(own.port, root()) }))
        .probe("system", tls(probe(good.port, None)))
        .stage();
    stage.world.watch();

    let value = stage.value("good", |_| true).await;
    assert_eq!((value.at("valid"), text(&value, "reason")), (Some(&Value::Bool(true)), String::new()), "{value:?}");
    assert_eq!(gate(&value), Verdict::Go, "{value:?}");
    assert!(value.at("days_left").and_then(Value::number).unwrap() > 10_000.0);
    assert_eq!(text(&value, "not_before"), "2020-01-01T00:00:00Z");
    assert_eq!(text(&value, "not_after"), "2100-01-01T00:00:00Z");
    let names = ["localhost", "shop.test", "127.0.0.1"].map(Value::from);
    assert_eq!(value.at("names").and_then(Value::list), Some(&names[..]));
    assert_eq!((text(&value, "subject"), text(&value, "issuer")), ("CN=shop".into(), "CN=Test middle".into()));
    assert_eq!(text(&value, "protocol"), "TLSv1.3");
    assert!(text(&value, "cipher").starts_with("TLS_"), "{value:?}");
    assert_eq!(text(&value, "alpn"), "http/1.1");
    assert_eq!(text(&value, "address"), format!("127.0.0.1:{}", good.port));
    assert_eq!(value.at("chain_length"), Some(&Value::Int(2)));
    let printed = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in", &ca.file("good.pem")])
        .output()
        .unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let fingerprint = printed.trim().rsplit('=').next().unwrap().replace(':', "").to_lowercase();
    assert_eq!(text(&value, "fingerprint"), fingerprint);

    let value = stage.value("old", |_| true).await;
    assert_eq!((text(&value, "protocol"), gate(&value)), ("TLSv1.2".into(), Verdict::Go), "{value:?}");
    assert_eq!(value.at("alpn"), Some(&Value::Null));
    for probe in ["named", "numbered", "trusted"] {
        let value = stage.value(probe, |_| true).await;
        assert_eq!(value.at("valid"), Some(&Value::Bool(true)), "{probe}: {value:?}");
    }

    let (value, reason) = bad(&mut stage, "expired").await;
    assert!(reason.starts_with("expired ") && reason.ends_with(" days ago"), "{reason}");
    assert!(value.at("days_left").and_then(Value::number).unwrap() < -365.0);
    let (_, reason) = bad(&mut stage, "future").await;
    assert!(reason.starts_with("not yet valid: it begins in "), "{reason}");
    assert_eq!(bad(&mut stage, "elsewhere").await.1, "for another name: elsewhere.test, *.far.test");
    let (value, reason) = bad(&mut stage, "own").await;
    assert_eq!((reason.as_str(), value.at("self_signed")), ("self-signed", Some(&Value::Bool(true))));
    let (value, reason) = bad(&mut stage, "namesake").await;
    assert!(reason.starts_with("unknown authority: CN=Test middle"), "{reason}");
    assert_eq!(value.at("self_signed"), Some(&Value::Bool(false)));
    assert_eq!(bad(&mut stage, "unknown").await.1, "unknown authority: CN=Test middle");
    let lacks = "unknown authority: CN=Test middle, and the server sent no certificate in between";
    assert_eq!(bad(&mut stage, "alone").await.1, lacks);
    let both = "self-signed; for another name: localhost, shop.test, 127.0.0.1";
    assert_eq!(bad(&mut stage, "both").await.1, both);
    assert_eq!(bad(&mut stage, "system").await.1, "unknown authority: CN=Test middle");
}

#[tokio::test]
async fn what_stands_in_a_hostile_certificate_is_cleaned_and_bounded() {
    let ca = Authority::new();
    let long = "a".repeat(10_000);
    let many: String = (0..300).fold(String::new(), |mut text, n| {
        write!(text, ",DNS:n{n}.test").unwrap();
        text
    });
    let alternative = format!("URI:http://{long},DNS:evil\u{1b}[2J.test{many}");
    let subject = "/O=a\u{1b}[31mb\u{202e}c/CN=hunter2-canary";
    ca.issue(Order { name: "hostile", subject, alternative: &alternative, ..GOOD }, "");
    ca.issue(Order { name: "nameless", subject, alternative: "", ..GOOD }, "");
    let (hostile, nameless) = (ca.serve("hostile", &[]), ca.serve("nameless", &[]));
    let secret = ca.path().join("secret");
    std::fs::write(&secret, "hunter2-canary").unwrap();
    let mut stage = Setting::default()
        .secret("word", SecretSource::File(secret.display().to_string()))
        .probe("hostile", ProbeKind::Tls(probe(hostile.port, Some(ca.file("root.pem")))))
        .probe("nameless", ProbeKind::Tls(probe(nameless.port, Some(ca.file("root.pem")))))
        .stage();
    stage.world.watch();
    for probe in ["hostile", "nameless"] {
        let (value, _) = bad(&mut stage, probe).await;
        let Value::Map(fields) = &value else { panic!("{value:?}") };
        let names = value.at("names").and_then(Value::list).unwrap();
        for text in fields.values().chain(names).filter_map(Value::text) {
            assert!(text.chars().count() <= 310, "{text}");
            assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
        }
        assert_eq!(names.len(), if probe == "hostile" { 100 } else { 1 }, "{names:?}");
    }
    stage.assert_clean(&["hunter2-canary"]);
}

/// Accepts for ever, says `greeting` and then does nothing, or closes.
async fn raw(greeting: &'static [u8], close: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // What is not read would reset the connection when it closes.
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(greeting).await;
            if !close {
                open.push(stream);
            }
        }
    });
    port
}

/// Shows a certificate whose key it does not have.
#[derive(Debug)]
struct Thief(Arc<rustls::sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for Thief {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

async fn thief(ca: &Authority) -> u16 {
    ca.issue(Order { name: "stolen", ..GOOD }, "");
    let key = PrivateKeyDer::from_pem_file(ca.file("good.key")).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let certs = ["stolen.pem", "middle.pem"].map(|name| CertificateDer::from_pem_file(ca.file(name)).unwrap());
    let key = Arc::new(rustls::sign::CertifiedKey::new(certs.to_vec(), key));
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Thief(key)));
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            drop(acceptor.accept(stream).await);
        }
    });
    port
}

#[tokio::test]
async fn what_is_no_tls_server_is_a_failure_that_says_what_it_is() {
    let ca = Authority::new();
    let (dead, stolen) = (free_port(), thief(&ca).await);
    let (mute, half) = (raw(b"", false).await, raw(b"\x16\x03\x03\x00\x7a\x02\x00", false).await);
    let (greets, closes) = (raw(b"SSH-2.0-OpenSSH_9.2\r\n", false).await, raw(b"", true).await);
    let (refuses, odd) = (raw(b"N", false).await, raw(b"HTTP/1.1 400\r\n", false).await);
    let kind = |port| probe(port, Some(ca.file("root.pem")));
    let postgres = |port| ProbeKind::Tls(TlsProbe { starttls: Some(StartTls::Postgres), ..kind(port) });
    let mut stage = Setting::default()
        .probe("dead", ProbeKind::Tls(kind(dead)))
        .probe_every("mute", ProbeKind::Tls(kind(mute)), 200, 600)
        .probe_every("half", ProbeKind::Tls(kind(half)), 200, 600)
        .probe("greets", ProbeKind::Tls(kind(greets)))
        .probe("closes", ProbeKind::Tls(kind(closes)))
        .probe("stolen", ProbeKind::Tls(kind(stolen)))
        .probe("refuses", postgres(refuses))
        .probe("odd", postgres(odd))
        .probe("shut", postgres(closes))
        .probe_every("silent", postgres(mute), 200, 600)
        .probe("nowhere", ProbeKind::Tls(TlsProbe { connect: Some("nowhere.invalid:443".into()), ..kind(dead) }))
        .probe("no-ca", ProbeKind::Tls(probe(dead, Some(ca.file("none.pem")))))
        .stage();
    stage.world.watch();
    let at = |port: u16| format!("127.0.0.1:{port}");
    for (probe, wanted) in [
        ("dead", format!("connection refused by {}", at(dead))),
        ("mute", format!("{} does not finish the TLS handshake", at(mute))),
        ("half", format!("{} does not finish the TLS handshake", at(half))),
        ("greets", format!("{} does not speak TLS", at(greets))),
        ("closes", format!("{} closed the connection in the TLS handshake", at(closes))),
        ("stolen", format!("{} does not prove that it holds the key of its certificate", at(stolen))),
        ("refuses", format!("{} is a PostgreSQL server without TLS (ssl = off)", at(refuses))),
        ("odd", format!("{} does not speak PostgreSQL's protocol", at(odd))),
        ("shut", format!("{} closed the connection at PostgreSQL's request for TLS", at(closes))),
        ("silent", format!("{} does not answer PostgreSQL's request for TLS", at(mute))),
        ("nowhere", "nowhere.invalid:443 cannot be resolved".to_owned()),
        ("no-ca", "the certificate authority in ".to_owned()),
    ] {
        // On a busy machine the limit of all probes may strike first, now and then.
        let told = |reading: &Reading| reading.result.as_ref().is_err_and(|failure| failure.what.starts_with(&wanted));
        stage.reading(probe, |reading| told(reading).then_some(())).await;
    }
}

#[tokio::test]
async fn a_postgresql_server_is_asked_for_tls_first() {
    let dir = Cluster::folder();
    certificates(dir.path());
    let path = |name: &str| dir.path().join(name).display().to_string();
    let owner = dir.path().metadata().unwrap();
    let (uid, gid) = (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
    std::os::unix::fs::chown(path("server.key"), Some(uid), Some(gid)).unwrap();
    let settings = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", path("server.pem")),
        format!("ssl_key_file={}", path("server.key")),
    ];
    let with = Cluster::start_with(&settings.each_ref().map(String::as_str)).await;
    let without = Cluster::start().await;
    let kind =
        |port| ProbeKind::Tls(TlsProbe { starttls: Some(StartTls::Postgres), ..probe(port, Some(path("ca.pem"))) });
    let mut stage = Setting::default()
        .probe("with", kind(with.port))
        .probe("without", kind(without.port))
        .probe("direct", ProbeKind::Tls(probe(with.port, Some(path("ca.pem")))))
        .stage();
    stage.world.watch();
    let value = stage.value("with", |_| true).await;
    assert_eq!((value.at("valid"), text(&value, "reason")), (Some(&Value::Bool(true)), String::new()), "{value:?}");
    assert!(stage.failure("without").await.ends_with("is a PostgreSQL server without TLS (ssl = off)"));
    assert!(stage.failure("direct").await.contains("in the TLS handshake"));
    // Two days are left: the gate stays shut.
    assert_eq!(gate(&value), Verdict::NoGo);
}
