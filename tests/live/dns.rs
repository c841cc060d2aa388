//! DNS probes and updates against Knot DNS, Unbound, BIND and dnsdist, and against servers that answer badly.

mod aaaa;
mod age;
mod balanced;
mod bind;
mod delegated;
mod delegation;
mod dot;
pub mod fake;
mod faults;
mod machines;
mod odd;
mod system;
mod types;
mod updates;

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use gonogo::core::action::Action;
use gonogo::core::kind::{DnsProbe, DnsUpdateAction};
use gonogo::core::plan::SecretSource;
use gonogo::core::probe::ProbeKind;
use gonogo::core::record::{DnsChange, RecordType};
use gonogo::core::target::{Dns, Target, Tsig, TsigAlgorithm};
use gonogo::core::time::Span;
use gonogo::core::value::Value;
use gonogo::world::World as _;
use tempfile::TempDir;

use crate::support::{Setting, failed, free_port, succeeded, unknown};

pub const KEY: &str = "Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LTQyNDI=";

/// A daemon that ends with the test.
pub struct Daemon {
    port: u16,
    child: Child,
    _dir: TempDir,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn start(program: &str, config: impl Fn(u16, &Path) -> String) -> Self {
        Self::start_with(program, &[if program == "unbound" { "-dc" } else { "-c" }], config)
    }

    fn start_with(program: &str, arguments: &[&str], config: impl Fn(u16, &Path) -> String) -> Self {
        Self::start_at(program, arguments, "127.0.0.1", free_port(), config)
    }

    fn start_at(
        program: &str,
        arguments: &[&str],
        address: &str,
        port: u16,
        config: impl Fn(u16, &Path) -> String,
    ) -> Self {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("config");
        std::fs::write(&file, config(port, dir.path())).unwrap();
        let path = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"].map(|dir| Path::new(dir).join(program));
        let path = path.iter().find(|path| path.exists()).unwrap_or_else(|| panic!("{program} is not installed"));
        let child = Command::new(path)
            .args(arguments)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { port, child, _dir: dir };
        let started = std::time::Instant::now();
        while std::net::TcpStream::connect((address, port)).is_err() {
            assert!(started.elapsed().as_secs() < 20, "{program} does not come up");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        daemon
    }

    pub fn knot() -> Self {
        Self::start("knotd", |port, dir| {
            let dir = dir.display();
            std::fs::write(
                format!("{dir}/zone"),
                "$ORIGIN example.test.\n@ 30 SOA ns admin 7 3600 600 86400 20\n@ 30 NS ns\nns 30 A 127.0.0.1\n\
                 app 4 A 192.0.2.1\napp 4 A 192.0.2.2\nwww 60 CNAME App.example.test.\ntxt 60 TXT \"Hello \" \"World\"\nsix 60 AAAA 2001:db8::1\n\
                 long 300 CNAME app\nmx 60 MX 10 mail\n_sip._tcp 60 SRV 0 5 5060 sip\n\
                 caa 60 CAA 0 issue \"letsencrypt.org\"\nhttps 60 HTTPS 1 svc alpn=h2\n\
                 _x.svcb 60 SVCB 1 svc port=8443\nsigned 60 NS ns.signed\nns.signed 60 A 127.0.0.1\n\
                 signed 60 DS 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118\nptr 60 PTR app\n\
                 parts 60 TXT \"v=spf1 \" \"-all\"\nraw 60 TXT \"\\255\\254 \\\\ \\\"x\"\nrawcaa 60 CAA 0 issue \"\\255\"\nboth 4 A 192.0.2.1\nboth 60 AAAA 2001:db8::1\n",
            )
            .unwrap();
            std::fs::create_dir(format!("{dir}/db")).unwrap();
            format!(
                "server:\n    listen: 127.0.0.1@{port}\n    rundir: {dir}\n\
                 database:\n    storage: {dir}/db\n\
                 key:\n  - id: gonogo\n    algorithm: hmac-sha256\n    secret: {KEY}\n\
                 acl:\n  - id: update\n    key: gonogo\n    action: update\n\
                 zone:\n  - domain: example.test\n    file: {dir}/zone\n    acl: update\n"
            )
        })
    }

    /// Hands each question to the next of `caches`.
    fn dnsdist(caches: &[&Self]) -> Self {
        Self::start_with("dnsdist", &["--supervised", "--disable-syslog", "-C"], |port, _| {
            let server = |cache: &&Self| {
                format!(
                    "newServer({{address='{}', checkName='example.test.', checkType='SOA'}}):setUp()\n",
                    cache.address()
                )
            };
            let servers: String = caches.iter().map(server).collect();
            format!("setLocal('127.0.0.1:{port}')\nsetSecurityPollSuffix('')\n{servers}setServerPolicy(roundrobin)\n")
        })
    }

    fn unbound(authority: &Self) -> Self {
        Self::unbound_with(authority, "")
    }

    fn unbound_with(authority: &Self, more: &str) -> Self {
        let stub = authority.port;
        Self::start("unbound", |port, dir| {
            let dir = dir.display();
            format!(
                "server:\n interface: 127.0.0.1\n port: {port}\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n directory: \"{dir}\"\n\
                 use-syslog: no\n do-not-query-localhost: no\n local-zone: \"test.\" nodefault\n domain-insecure: \"test\"\n\
                 module-config: \"iterator\"\n num-threads: 1\n{more}\
                 stub-zone:\n name: \"example.test\"\n stub-addr: 127.0.0.1@{stub}\n\
                 remote-control:\n control-enable: no\n"
            )
        })
    }
}

fn key(name: &str, secret: &str) -> Tsig {
    Tsig { name: name.to_owned(), algorithm: TsigAlgorithm::HmacSha256, secret: secret.to_owned() }
}

fn zone(authoritative: &[String], resolvers: &[(&str, String)], tsig: Option<Tsig>) -> Target {
    Target::Dns(Dns {
        zone: "example.test".to_owned(),
        authoritative: authoritative.to_vec(),
        resolvers: resolvers.iter().map(|(name, address)| ((*name).to_owned(), address.clone())).collect(),
        lookup: None,
        ca: None,
        tsig,
        simulate: None,
    })
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn probe(name: &str, record_type: RecordType, old: &[&str], new: &[&str]) -> ProbeKind {
    let (old, new) = (strings(old).into(), strings(new).into());
    ProbeKind::Dns(DnsProbe {
        target: "zone".into(),
        name: name.to_owned(),
        record_type,
        old,
        new,
        aaaa: None,
        samples: 3,
        old_ttl: None,
        simulate: None,
    })
}

fn app() -> ProbeKind {
    probe("app.example.test", RecordType::A, &["192.0.2.2", "192.0.2.1"], &["198.51.100.1"])
}

fn update(from: &[&str], to: &[&str]) -> DnsUpdateAction {
    DnsUpdateAction {
        target: "zone".into(),
        changes: vec![DnsChange {
            name: "app.example.test".to_owned(),
            record_type: RecordType::A,
            from: strings(from),
            to: strings(to),
            ttl: 4,
        }],
        limit: Span::secs(5),
    }
}

fn of<'a>(value: &'a Value, list: &str, at: usize, field: &str) -> &'a Value {
    value.at(list).unwrap().list().unwrap()[at].at(field).unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[tokio::test]
async fn a_change_is_followed_from_the_authority_to_the_cache() {
    let knot = Daemon::knot();
    let cache = Daemon::unbound(&knot);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let resolvers = [("cache", cache.address()), ("silent", silent.local_addr().unwrap().to_string())];
    let setting = Setting::default()
        .secret("key", SecretSource::Command(vec!["echo".to_owned(), KEY.to_owned()]))
        .target("zone", zone(&[knot.address()], &resolvers, Some(key("gonogo", "«secret:key»"))))
        .probe_every("app", app(), 200, 500);
    let mut stage = setting.stage();
    stage.world.watch();
    let value = stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("old")).await;
    assert_eq!(value.at("old"), Some(&Value::Null), "the silent one may hold it as well");
    let value = stage.value("app", |value| of(value, "resolvers", 1, "state") == &text("timeout")).await;
    assert_eq!(value.at("authoritative_old"), Some(&Value::Bool(true)));
    assert_eq!(value.at("ttl"), Some(&Value::Int(4)));
    assert_eq!(value.at("total"), Some(&Value::Int(2)));
    assert_eq!(value.at("unclear"), Some(&Value::Int(1)));
    assert_eq!(of(&value, "authoritative", 0, "serial"), &Value::Int(7));
    assert_eq!(of(&value, "authoritative", 0, "values"), &text("192.0.2.1 192.0.2.2"));
    assert_eq!(of(&value, "resolvers", 1, "state"), &text("timeout"));

    let outcome = stage.run(Action::DnsUpdate(update(&["192.0.2.1", "192.0.2.2"], &["198.51.100.1"]))).await;
    assert!(succeeded(&outcome).starts_with("app.example.test A changed on zone (127.0.0.1:"), "{outcome:?}");
    // The cache goes on with the old values for their TTL, and no longer.
    let value = stage.value("app", |value| value.at("authoritative_new") == Some(&Value::Bool(true))).await;
    assert_eq!(of(&value, "resolvers", 0, "state"), &text("old"));
    assert!(of(&value, "resolvers", 0, "ttl").int().unwrap() <= 4);
    // The silent resolver may hold anything for any time, so the longest remaining time is unknown.
    assert_eq!(value.at("max_ttl"), Some(&Value::Null));
    let value = stage.value("app", |value| value.at("new") == Some(&Value::Int(1))).await;
    assert_eq!(of(&value, "resolvers", 0, "fresh"), &Value::Bool(true));
    assert_eq!(of(&value, "resolvers", 0, "flips"), &Value::Int(1), "from old to new, once");
    assert!(of(&value, "resolvers", 0, "flipped").int().is_some());
    assert_eq!(of(&value, "resolvers", 1, "flips"), &Value::Int(0), "silence changes nothing");
    stage.value("app", |value| of(value, "authoritative", 0, "serial") == &Value::Int(8)).await;

    // The same again, as after a doubt: there is nothing left to do.
    let again = update(&["192.0.2.1", "192.0.2.2"], &["198.51.100.1"]);
    let outcome = stage.run(Action::DnsUpdate(again.clone())).await;
    assert!(succeeded(&outcome).contains("it was so already"), "{outcome:?}");
    // With another TTL it is not the same; the precondition does not hold, and the value that is there is told.
    let mut other = again;
    other.changes[0].ttl += 1;
    let outcome = stage.run(Action::DnsUpdate(other)).await;
    let what = failed(&outcome);
    assert!(what.contains("app.example.test A has 198.51.100.1 with a TTL of 4 s, not 192.0.2.1 192.0.2.2"), "{what}");
    assert!(what.ends_with("nothing was changed"), "{what}");
    stage.assert_clean(&[KEY, "canary-canary"]);

    // Nobody answers for the zone any more.
    drop(knot);
    let value = stage.value("app", |value| of(value, "authoritative", 0, "state") == &text("timeout")).await;
    assert_eq!(value.at("authoritative_new"), Some(&Value::Null), "silence says neither yes nor no");
}

#[tokio::test]
async fn record_types_negative_answers_and_lame_servers() {
    let knot = Daemon::knot();
    let cache = Daemon::unbound(&knot);
    let mut stage = Setting::default()
        // A cache asked as if it were authoritative is lame.
        .target("zone", zone(&[knot.address(), cache.address()], &[("cache", cache.address())], None))
        .probe("cname", probe("www.example.test", RecordType::Cname, &["APP.example.test"], &["new.example.test."]))
        .probe("txt", probe("txt.example.test", RecordType::Txt, &["x"], &["Hello World"]))
        .probe("six", probe("six.example.test", RecordType::Aaaa, &["2001:DB8:0::1"], &["2001:db8::2"]))
        .probe("none", probe("nothing.example.test", RecordType::A, &["192.0.2.1"], &["192.0.2.2"]))
        .probe("born", probe("nothing.example.test", RecordType::A, &[], &["192.0.2.2"]))
        .probe("other", probe("app.example.test", RecordType::A, &["192.0.2.1"], &["192.0.2.9"]))
        .probe("alias", probe("www.example.test", RecordType::A, &["192.0.2.1", "192.0.2.2"], &["192.0.2.9"]))
        .stage();
    stage.world.watch();
    let states =
        [("cname", "old"), ("txt", "new"), ("six", "old"), ("none", "negative"), ("born", "old"), ("other", "other")];
    for (id, state) in states {
        let value = stage.value(id, |value| of(value, "resolvers", 0, "state") == &text(state)).await;
        assert_eq!(of(&value, "authoritative", 0, "state"), &text(state), "{id}");
        let second = of(&value, "authoritative", 1, "state").text().unwrap();
        assert!(second == "lame" || second == "refused", "{id}: {second}");
    }
    let value = stage.value("none", |value| of(value, "resolvers", 0, "state") == &text("negative")).await;
    assert!(of(&value, "resolvers", 0, "ttl").int().unwrap() <= 30);
    stage.value("alias", |value| of(value, "resolvers", 0, "state") == &text("old")).await;
}

#[tokio::test]
async fn updates_that_are_refused_say_why() {
    let knot = Daemon::knot();
    let wrong = "d3JvbmctY2FuYXJ5LXdyb25nLWNhbmFyeS13cm9uZzEy";
    let change = || Action::DnsUpdate(update(&["192.0.2.1", "192.0.2.2"], &["198.51.100.1"]));
    for (tsig, words) in
        [(Some(key("gonogo", wrong)), "BADSIG"), (Some(key("stranger", KEY)), "BADKEY"), (None, "refuses")]
    {
        let mut stage = Setting::default().target("zone", zone(&[knot.address()], &[], tsig)).stage();
        let outcome = stage.run(change()).await;
        let what = failed(&outcome);
        assert!(what.contains(words) && what.ends_with("nothing was changed"), "{what}");
        stage.assert_clean(&[wrong, KEY]);
    }
    let mut stage = Setting::default().target("zone", zone(&[knot.address()], &[], Some(key("gonogo", KEY)))).stage();
    let outcome = stage.run(Action::DnsUpdate(update(&[], &["198.51.100.1"]))).await;
    assert!(failed(&outcome).contains("app.example.test A has 192.0.2.1 192.0.2.2, not nothing"), "{outcome:?}");
    let outcome = stage.run(Action::DnsUpdate(update(&["not an address"], &["198.51.100.1"]))).await;
    assert!(failed(&outcome).ends_with("nothing was sent"), "{outcome:?}");
    // Nothing of all that has changed anything.
    succeeded(&stage.run(change()).await);
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_it_unknown() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut stage = Setting::default().target("zone", zone(&[address], &[], None)).stage();
    let mut slow = update(&["192.0.2.1"], &["192.0.2.2"]);
    slow.limit = Span(300);
    let outcome = stage.run(Action::DnsUpdate(slow)).await;
    assert!(unknown(&outcome).contains("may have been carried out"), "{outcome:?}");

    let nobody = format!("127.0.0.1:{}", free_port());
    let mut stage = Setting::default().target("zone", zone(&[nobody], &[], None)).stage();
    let outcome = stage.run(Action::DnsUpdate(update(&["192.0.2.1"], &["192.0.2.2"]))).await;
    assert!(failed(&outcome).contains("connection refused; nothing was sent"), "{outcome:?}");
}

#[tokio::test]
async fn a_cache_that_serves_expired_answers_is_called_stale() {
    let knot = Daemon::knot();
    let more = " serve-expired: yes\n serve-expired-ttl: 3600\n ede: yes\n ede-serve-expired: yes\n";
    let cache = Daemon::unbound_with(&knot, more);
    let mut stage = Setting::default()
        .target("zone", zone(&[knot.address()], &[("cache", cache.address())], None))
        .probe("app", app())
        .stage();
    stage.world.watch();
    stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("old")).await;
    drop(knot); // the cache can no longer ask, and the TTL of 4 s passes
    let value = stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("stale")).await;
    assert_eq!(value.at("old"), Some(&Value::Int(1)), "it still answers with the old values");
    assert_eq!(value.at("unclear"), Some(&Value::Int(0)));
}

#[tokio::test]
async fn an_answer_too_large_for_udp_is_fetched_over_tcp() {
    let knot = Daemon::knot();
    let target = zone(&[knot.address()], &[], Some(key("gonogo", KEY)));
    let long: Vec<String> = (0..40).map(|n| format!("{n:04}{}", "x".repeat(200))).collect();
    let values: Vec<&str> = long.iter().map(String::as_str).collect();
    let mut stage = Setting::default()
        .target("zone", target)
        .probe("big", probe("big.example.test", RecordType::Txt, &["x"], &values))
        .stage();
    let mut change = update(&[], &values);
    change.changes[0].name = "big.example.test".to_owned();
    change.changes[0].record_type = RecordType::Txt;
    succeeded(&stage.run(Action::DnsUpdate(change)).await);
    stage.world.watch();
    stage.value("big", |value| value.at("authoritative_new") == Some(&Value::Bool(true))).await;
}

#[tokio::test]
async fn resolvers_that_refuse_or_fail_are_told_apart() {
    let knot = Daemon::knot();
    let refusing = Daemon::unbound_with(&knot, " access-control: 127.0.0.1/32 refuse\n");
    let orphaned = Daemon::unbound(&knot);
    let resolvers = [("orphaned", orphaned.address()), ("refusing", refusing.address())];
    let address = knot.address();
    drop(knot);
    let mut stage = Setting::default()
        .target("zone", zone(&[address], &resolvers, None))
        .probe_every("app", app(), 500, 5_000)
        .stage();
    stage.world.watch();
    let value = stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("servfail")).await;
    assert_eq!(of(&value, "resolvers", 1, "state"), &text("refused"));
    assert_eq!(value.at("unclear"), Some(&Value::Int(2)));
    assert_eq!(value.at("ttl"), Some(&Value::Null));
    assert_eq!(value.at("max_ttl"), Some(&Value::Null), "silence is not a short time");
}
