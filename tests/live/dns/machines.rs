//! Several machines behind one address, and answers that were served for a while only.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gonogo::core::action::Action;
use gonogo::core::probe::ProbeKind;
use gonogo::core::record::RecordType;
use gonogo::core::value::Value;
use gonogo::world::World as _;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType as Type};

use super::fake::{Asked, Fake, a};
use super::{Daemon, KEY, app, key, of, probe, succeeded, text, update, zone};
use crate::support::Setting;

#[tokio::test]
async fn one_of_two_authoritative_machines_behind_an_address_is_not_the_switch() {
    let (one, two) = (Daemon::knot(), Daemon::knot());
    let front = Daemon::dnsdist(&[&one, &two]);
    let direct = |machine: &Daemon| zone(&[machine.address()], &[], Some(key("gonogo", KEY)));
    let mut stage = Setting::default()
        .target("zone", zone(&[front.address()], &[], None))
        .target("one", direct(&one))
        .target("two", direct(&two))
        .probe("app", app())
        .stage();
    let change = |target: &str| {
        let mut change = update(&["192.0.2.1", "192.0.2.2"], &["198.51.100.1"]);
        change.target = target.into();
        Action::DnsUpdate(change)
    };
    stage.world.watch();
    stage.value("app", |value| value.at("authoritative_old") == Some(&Value::Bool(true))).await;
    succeeded(&stage.run(change("one")).await);
    stage.value("app", |value| of(value, "authoritative", 0, "state") == &text("mixed")).await;
    let seen = Cell::new(0);
    stage
        .value("app", |value| {
            seen.set(seen.get() + 1);
            assert_ne!(value.at("authoritative_new"), Some(&Value::Bool(true)), "{value:?}");
            assert_ne!(value.at("old_ttl_expired"), Some(&Value::Bool(true)), "{value:?}");
            seen.get() == 12
        })
        .await;
    succeeded(&stage.run(change("two")).await);
    stage.value("app", |value| value.at("authoritative_new") == Some(&Value::Bool(true))).await;
}

#[tokio::test]
async fn a_wrong_answer_that_was_served_for_a_while_may_still_be_kept() {
    // What each server says between the old and the new value, for ten minutes.
    for missing in [false, true] {
        let stage_of = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&stage_of);
        let server = Fake::answering(move |asked| {
            if asked.message.queries.first().is_some_and(|query| query.query_type() != Type::A) {
                return asked.records([]);
            }
            match told.load(Ordering::Relaxed) {
                0 => asked.records([a("app.example.test.", 5, [192, 0, 2, 1])]),
                1 if missing => {
                    let mut answer = asked.answer(ResponseCode::NXDomain);
                    let name = |text| Name::from_ascii(text).unwrap();
                    let soa = SOA::new(name("ns.example.test."), name("admin.example.test."), 7, 60, 60, 60, 600);
                    answer.authorities.push(Record::from_rdata(name("example.test."), 86_400, RData::SOA(soa)));
                    answer
                }
                1 => asked.records([a("app.example.test.", 600, [192, 0, 2, 66])]),
                _ => asked.records([a("app.example.test.", 5, [203, 0, 113, 1])]),
            }
        });
        let mut stage = Setting::default()
            .target("zone", zone(&[server.address.to_string()], &[], None))
            .probe("app", probe("app.example.test", RecordType::A, &["192.0.2.1"], &["203.0.113.1"]))
            .stage();
        stage.world.watch();
        for (at, state) in ["old", if missing { "negative" } else { "other" }, "new"].into_iter().enumerate() {
            stage_of.store(at, Ordering::Relaxed);
            stage.value("app", |value| of(value, "authoritative", 0, "state") == &text(state)).await;
        }
        let value = stage.value("app", |value| value.at("worst_case") != Some(&Value::Null)).await;
        let left = value.at("worst_case").unwrap().int().unwrap();
        assert!((500..=606).contains(&left), "{left}");
        assert_eq!(value.at("old_ttl_expired"), Some(&Value::Bool(false)));
    }
}

#[tokio::test]
async fn a_server_that_takes_more_than_two_seconds_counts() {
    let server = Fake::answering(|asked| {
        std::thread::sleep(Duration::from_millis(2_300));
        asked.records([a("app.example.test.", 60, [203, 0, 113, 1])])
    });
    let mut one = probe("app.example.test", RecordType::A, &["192.0.2.1"], &["203.0.113.1"]);
    if let ProbeKind::Dns(dns) = &mut one {
        dns.samples = 1;
    }
    let mut stage = Setting::default()
        .target("zone", zone(&[], &[("slow", server.address.to_string())], None))
        .probe_every("app", one, 1_000, 20_000)
        .stage();
    stage.world.watch();
    stage.value("app", |value| of(value, "resolvers", 0, "fresh") == &Value::Bool(true)).await;
}

#[tokio::test]
async fn a_silent_server_takes_few_ports() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolvers = [("silent", silent.local_addr().unwrap().to_string())];
    let mut stage =
        Setting::default().target("zone", zone(&[], &resolvers, None)).probe_every("app", app(), 1_000, 3_000).stage();
    stage.world.watch();
    let mut bytes = [0; 512];
    let mut ports = BTreeSet::new();
    for _ in 0..12 {
        ports.insert(silent.recv_from(&mut bytes).await.unwrap().1.port());
    }
    assert!(ports.len() <= 6, "a question that is repeated comes from one port: {ports:?}");
    // From then on, one question at a time.
    stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("timeout")).await;
    while tokio::time::timeout(Duration::ZERO, silent.recv_from(&mut bytes)).await.is_ok() {}
    let mut ports = BTreeSet::new();
    for _ in 0..6 {
        ports.insert(silent.recv_from(&mut bytes).await.unwrap().1.port());
    }
    assert!(ports.len() <= 4, "{ports:?}");
}

#[tokio::test]
async fn another_instance_at_an_address_is_told() {
    let replaced = Arc::new(AtomicUsize::new(0));
    let server = |replaced: &Arc<AtomicUsize>| {
        let replaced = Arc::clone(replaced);
        Fake::answering(move |asked| {
            let answer = asked.records([a("app.example.test.", 60, [192, 0, 2, 1])]);
            Asked::of_instance(answer, if replaced.load(Ordering::Relaxed) == 0 { "one" } else { "two" })
        })
    };
    let (steady, authority) = (server(&Arc::default()), server(&replaced));
    let mut stage = Setting::default()
        .target("zone", zone(&[authority.address.to_string()], &[("cache", steady.address.to_string())], None))
        .probe("app", app())
        .stage();
    stage.world.watch();
    let value = stage.value("app", |value| of(value, "authoritative", 0, "instance") == &text("one")).await;
    assert_eq!(value.at("server_changes"), Some(&Value::Int(0)));
    replaced.store(1, Ordering::Relaxed);
    let value = stage.value("app", |value| of(value, "authoritative", 0, "instance") == &text("two")).await;
    assert_eq!(value.at("server_changes"), Some(&Value::Int(1)), "{value:?}");
    let moved = format!("{}: instance two instead of one", authority.address);
    assert_eq!(value.at("moved"), Some(&text(&moved)));
}

/// Watches [`app`] at a server behind whose address the machine that answers each eighth question says something else.
async fn one_of_eight(rare: impl Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync + 'static, often: [u8; 4]) -> Vec<Value> {
    let asked_for = AtomicUsize::new(0);
    let server = Fake::start(move |asked| {
        let is_ours = asked.message.queries.first().is_some_and(|query| query.query_type() == Type::A);
        if is_ours && asked_for.fetch_add(1, Ordering::Relaxed) % 8 == 3 {
            return rare(asked);
        }
        let records = is_ours.then(|| a("app.example.test.", 5, often));
        vec![asked.records(records).to_vec().unwrap()]
    });
    let mut stage = Setting::default()
        .target("zone", zone(&[server.address.to_string()], &[], None))
        .probe("app", probe("app.example.test", RecordType::A, &["192.0.2.1"], &["203.0.113.1"]))
        .stage();
    stage.world.watch();
    // By then, the rare machine has been met.
    stage.value("app", |_| server.asked.load(Ordering::Relaxed) > 24).await;
    let mut seen = Vec::new();
    while seen.len() < 25 {
        seen.push(stage.value("app", |_| true).await);
    }
    seen
}

#[tokio::test]
async fn one_machine_of_eight_keeps_every_gate_from_opening() {
    const OLD: [u8; 4] = [192, 0, 2, 1];
    const NEW: [u8; 4] = [203, 0, 113, 1];
    let never = |seen: &[Value], field: &str| {
        let go = seen.iter().filter(|value| value.at(field) == Some(&Value::Bool(true)));
        assert_eq!(go.count(), 0, "{field}: {:?}", seen.last());
    };
    let records = |address: [u8; 4], ttl| {
        move |asked: &Asked| vec![asked.records([a("app.example.test.", ttl, address)]).to_vec().unwrap()]
    };
    never(&one_of_eight(records(NEW, 5), OLD).await, "authoritative_old");
    never(&one_of_eight(records(OLD, 5), NEW).await, "authoritative_new");
    let refuses = |asked: &Asked| vec![asked.answer(ResponseCode::Refused).to_vec().unwrap()];
    let seen = one_of_eight(refuses, NEW).await;
    never(&seen, "authoritative_new");
    let note = of(seen.last().unwrap(), "authoritative", 0, "note").text().unwrap().to_owned();
    assert!(note.is_empty() || note.contains("refused"), "{note}");
    // A TTL is the largest that any of them gives.
    for value in one_of_eight(records(OLD, 600), OLD).await {
        assert!(value.at("ttl").and_then(Value::int).is_none_or(|ttl| ttl == 600), "{value:?}");
    }
}
