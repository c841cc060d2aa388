//! Whom a zone is delegated to: what the parent zone says, what the zone itself says, and what the runbook's list lacks.

use gonogo::core::record::RecordType;
use gonogo::core::target::Target;
use gonogo::core::value::Value;
use gonogo::world::World as _;
use gonogo::world::live::{DnsScout, SystemDns};

use super::{Daemon, app, text, zone};
use crate::support::{Setting, Stage};

/// A server of `test.` on an address of its own, and at the port of the other servers: what it delegates has only addresses.
struct Parent {
    _daemon: Daemon,
}

const PARENT: &str = "127.0.0.3";

impl Parent {
    fn delegating(port: u16, records: &str) -> Self {
        let zone =
            format!("$ORIGIN test.\n@ 30 SOA ns admin 1 3600 600 86400 20\n@ 30 NS ns\nns 30 A {PARENT}\n{records}");
        Self { _daemon: knot_at(PARENT, port, "test", &zone) }
    }
}

fn knot_at(address: &str, port: u16, domain: &str, zone: &str) -> Daemon {
    Daemon::start_at("knotd", &["-c"], address, port, |_, dir| {
        let dir = dir.display();
        std::fs::write(format!("{dir}/zone"), zone).unwrap();
        std::fs::create_dir(format!("{dir}/db")).unwrap();
        format!(
            "server:\n    listen: {address}@{port}\n    rundir: {dir}\ndatabase:\n    storage: {dir}/db\n\
             zone:\n  - domain: {domain}\n    file: {dir}/zone\n"
        )
    })
}

/// A resolver that knows where `test.` and `example.test.` are.
fn resolver(port: u16) -> Daemon {
    Daemon::start("unbound", |own, dir| {
        let dir = dir.display();
        format!(
            "server:\n interface: 127.0.0.1\n port: {own}\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n directory: \"{dir}\"\n\
             use-syslog: no\n do-not-query-localhost: no\n local-zone: \"test.\" nodefault\n module-config: \"iterator\"\n\
             num-threads: 1\nstub-zone:\n name: \"test\"\n stub-addr: {PARENT}@{port}\n\
             stub-zone:\n name: \"example.test\"\n stub-addr: 127.0.0.1@{port}\nremote-control:\n control-enable: no\n"
        )
    })
}

fn stage(authoritative: &[String], lookup: &str, system: SystemDns) -> Stage {
    let Target::Dns(mut dns) = zone(authoritative, &[], None) else { unreachable!() };
    dns.lookup = Some(lookup.to_owned());
    let plan = Setting::default().target("zone", Target::Dns(dns)).probe_every("app", app(), 200, 1_500).plan();
    let mut stage = Stage::on(&plan, system);
    stage.world.watch();
    stage
}

fn words(words: &[&str]) -> Value {
    Value::List(words.iter().map(|word| (*word).into()).collect())
}

/// The delegation, when it has been looked up.
async fn looked_up(stage: &mut Stage) -> Value {
    stage.value("app", |value| value.at("delegation.age").is_some_and(|age| *age != Value::Null)).await
}

#[tokio::test]
async fn a_complete_list_has_nothing_missing() {
    let knot = Daemon::knot();
    let port = knot.port;
    let _parent = Parent::delegating(port, "example 30 NS ns.example\nns.example 30 A 127.0.0.1\n");
    let cache = resolver(port);
    let of_this_machine = cache.address().parse().unwrap();
    let system = SystemDns::of(move || Ok(vec![of_this_machine])).with_server_port(port);
    let mut stage = stage(&[knot.address()], "system", system);
    let value = looked_up(&mut stage).await;
    assert_eq!(value.at("delegation.note"), Some(&text("")));
    assert_eq!(value.at("delegation.parent"), Some(&text("ns.example.test")));
    assert_eq!(value.at("delegation.child"), Some(&text("ns.example.test")));
    assert_eq!(value.at("delegation.agree"), Some(&Value::Bool(true)));
    for none in ["authoritative_missing", "delegation.lame", "delegation.diverging"] {
        assert_eq!(value.at(none), Some(&words(&[])), "{none}");
    }
}

#[tokio::test]
async fn missing_diverging_and_lame_servers_are_named() {
    let knot = Daemon::knot();
    let port = knot.port;
    // The parent knows a second server, which serves another zone, and one that has no address.
    let _parent = Parent::delegating(
        port,
        "example 30 NS ns.example\nexample 30 NS ns2.example\nexample 30 NS ns3\nns.example 30 A 127.0.0.1\n\
         ns2.example 30 A 127.0.0.4\n",
    );
    let _other = knot_at(
        "127.0.0.4",
        port,
        "other",
        "$ORIGIN other.\n@ 30 SOA ns admin 1 3600 600 86400 20\n@ 30 NS ns\nns 30 A 127.0.0.4\n",
    );
    let cache = resolver(port);
    let system = SystemDns::of(|| Err("nobody asks for it".to_owned())).with_server_port(port);
    let mut stage = stage(&[knot.address()], &cache.address(), system);
    let value = looked_up(&mut stage).await;
    assert_eq!(value.at("delegation.parent"), Some(&text("ns.example.test ns2.example.test ns3.test")));
    assert_eq!(value.at("delegation.child"), Some(&text("ns.example.test")));
    assert_eq!(value.at("delegation.agree"), Some(&Value::Bool(false)));
    assert_eq!(value.at("delegation.diverging"), Some(&words(&[&knot.address()])));
    assert_eq!(value.at("delegation.lame"), Some(&words(&["ns2.example.test 127.0.0.4", "ns3.test"])));
    assert_eq!(value.at("authoritative_missing"), Some(&words(&["ns2.example.test 127.0.0.4"])));
}

#[tokio::test]
async fn servers_of_the_parent_zone_that_differ_are_named() {
    let knot = Daemon::knot();
    let port = knot.port;
    let apex = format!(
        "$ORIGIN test.\n@ 30 SOA ns admin 1 3600 600 86400 20\n@ 30 NS ns\n@ 30 NS late\nns 30 A {PARENT}\nlate 30 A 127.0.0.5\n"
    );
    let delegation = "example 30 NS ns.example\nns.example 30 A 127.0.0.1\n";
    let _parent = knot_at(PARENT, port, "test", &format!("{apex}{delegation}"));
    let _late = knot_at("127.0.0.5", port, "test", &format!("{apex}{delegation}example 30 NS gone.example\n"));
    let cache = resolver(port);
    let system = SystemDns::of(|| Err("nobody asks for it".to_owned())).with_server_port(port);
    let mut stage = stage(&[knot.address()], &cache.address(), system);
    let value = looked_up(&mut stage).await;
    assert_eq!(value.at("delegation.parent"), Some(&text("gone.example.test ns.example.test")), "{value:?}");
    assert_eq!(value.at("delegation.agree"), Some(&Value::Bool(false)));
    let diverging = value.at("delegation.diverging_parents").unwrap().list().unwrap();
    assert_eq!(diverging.len(), 1, "one of the two differs from the other: {value:?}");
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_unknown_and_not_complete() {
    let knot = Daemon::knot();
    let system = SystemDns::of(|| Err("no such file".to_owned()));
    let mut stage = stage(&[knot.address()], "system", system);
    let value = looked_up(&mut stage).await;
    for field in
        ["authoritative_missing", "delegation.parent", "delegation.agree", "delegation.lame", "delegation.diverging"]
    {
        assert_eq!(value.at(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(value.at("delegation.child"), Some(&text("ns.example.test")), "what is listed is asked all the same");
    let note = value.at("delegation.note").unwrap().text().unwrap();
    assert_eq!(note, "this machine's configuration names no server: no such file");
    assert_eq!(value.at("authoritative_old"), Some(&Value::Bool(true)));
}

#[tokio::test]
async fn the_zone_of_a_name_and_its_servers_are_found_out() {
    let knot = Daemon::knot();
    let port = knot.port;
    let _parent = Parent::delegating(port, "example 30 NS ns.example\nns.example 30 A 127.0.0.1\n");
    let cache = resolver(port);
    let address = cache.address();
    let of_this_machine = address.parse().unwrap();
    let system = SystemDns::of(move || Ok(vec![of_this_machine])).with_server_port(port);
    let scout = DnsScout { system: system.clone(), resolvers: vec![address], ..DnsScout::default() };
    let found = scout.find("app.example.test", RecordType::A).await.unwrap();
    assert_eq!(found.zone, "example.test");
    assert_eq!(found.authoritative, [format!("127.0.0.1:{port}")]);
    assert_eq!(found.served.len(), 2, "the server and the resolver: {found:?}");
    let both = ["192.0.2.1", "192.0.2.2"].map(str::to_owned).into();
    assert!(found.served.iter().all(|values| *values == both), "{found:?}");
    // Those that are given are asked, and nothing else.
    let nobody = SystemDns::of(|| Err("nobody asks for it".to_owned())).with_server_port(port);
    let scout = DnsScout { system: nobody.clone(), authoritative: vec![knot.address()], ..DnsScout::default() };
    let given = scout.find("deep.below.app.example.test.", RecordType::A).await.unwrap();
    assert_eq!((given.zone.as_str(), &given.authoritative), ("example.test", &vec![knot.address()]));
    let why =
        DnsScout { system: nobody, ..DnsScout::default() }.find("app.example.test", RecordType::A).await.unwrap_err();
    assert!(why.contains("nobody asks for it"), "{why}");
}
