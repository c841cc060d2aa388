//! A and AAAA of a name: whoever moves one and forgets the other leaves the customers with IPv6 behind.

use gonogo::core::kind::DnsProbe;
use gonogo::core::kind::dns::AaaaValues;
use gonogo::core::probe::ProbeKind;
use gonogo::core::record::RecordType;
use gonogo::core::value::Value;
use gonogo::world::World as _;
use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType as Type};

use super::fake::{Fake, a};
use super::{Daemon, of, probe, strings, text, zone};
use crate::support::Setting;

const SIX: &str = "2001:db8::1";

/// A probe of the name that has both: new when A is 192.0.2.1.
fn both(old: &[&str], new: &[&str]) -> ProbeKind {
    let ProbeKind::Dns(a) = moved() else { unreachable!() };
    ProbeKind::Dns(DnsProbe { aaaa: Some(AaaaValues { old: strings(old).into(), new: strings(new).into() }), ..a })
}

fn moved() -> ProbeKind {
    probe("both.example.test", RecordType::A, &["192.0.2.9"], &["192.0.2.1"])
}

#[tokio::test]
async fn aaaa_that_was_left_behind_is_told_and_counts_where_it_is_given() {
    let knot = Daemon::knot();
    let cache = Daemon::unbound(&knot);
    let mut stage = Setting::default()
        .target("zone", zone(&[knot.address()], &[("cache", cache.address())], None))
        .probe("unsaid", moved())
        .probe("four", probe("app.example.test", RecordType::A, &["192.0.2.9"], &["192.0.2.1", "192.0.2.2"]))
        .probe("before", probe("both.example.test", RecordType::A, &["192.0.2.1"], &["192.0.2.9"]))
        .probe("forgotten", both(&[SIX], &["2001:db8::9"]))
        .probe("kept", both(&["2001:DB8:0::1"], &[SIX]))
        .probe("gone", both(&[SIX], &[]))
        .probe("added", both(&[], &[SIX]))
        .probe("cname", probe("www.example.test", RecordType::Cname, &["x.example.test"], &["app.example.test"]))
        .stage();
    stage.world.watch();
    let left = |value: &Value, left: Value| value.at("aaaa_left_behind") == Some(&left);
    let value = stage.value("unsaid", |value| left(value, Value::Bool(true))).await;
    assert_eq!(of(&value, "authoritative", 0, "aaaa"), &text(SIX));
    assert_eq!(value.at("authoritative_new"), Some(&Value::Bool(true)), "the probe is asked about A");
    let value = stage.value("four", |value| left(value, Value::Bool(false))).await;
    assert_eq!(of(&value, "authoritative", 0, "aaaa"), &text(""));
    stage.value("before", |value| left(value, Value::Bool(false))).await;

    for id in ["forgotten", "gone"] {
        let value = stage.value(id, |value| of(value, "resolvers", 0, "state") == &text("mixed")).await;
        assert!(left(&value, Value::Bool(true)), "{id}: {value:?}");
        assert_eq!(value.at("authoritative_new"), Some(&Value::Bool(false)), "{id}");
        assert_eq!(value.at("old"), Some(&Value::Int(1)), "{id}");
        assert_eq!(of(&value, "resolvers", 0, "values"), &text("192.0.2.1 2001:db8::1"), "{id}");
        // What is longest in a cache counts.
        assert_eq!(value.at("ttl"), Some(&Value::Int(60)), "{id}");
    }
    for id in ["kept", "added"] {
        let value = stage.value(id, |value| value.at("new") == Some(&Value::Int(1))).await;
        assert!(left(&value, Value::Bool(false)), "{id}: {value:?}");
        assert_eq!(value.at("authoritative_new"), Some(&Value::Bool(true)), "{id}");
    }
    let value = stage.value("cname", |value| value.at("authoritative_new") == Some(&Value::Bool(true))).await;
    assert!(left(&value, Value::Null));
}

#[tokio::test]
async fn a_server_that_is_silent_about_aaaa_leaves_it_open_and_keeps_nothing_else_back() {
    let half = Fake::start(|asked| {
        let asks_for = asked.message.queries.first().map(Query::query_type);
        if asks_for == Some(Type::AAAA) {
            return Vec::new();
        }
        vec![asked.records([a("both.example.test.", 60, [192, 0, 2, 1])]).to_vec().unwrap()]
    });
    let mut stage = Setting::default()
        .target("zone", zone(&[half.address.to_string()], &[], None))
        .probe_every("unsaid", moved(), 200, 1_500)
        .probe_every("said", both(&[SIX], &[SIX]), 200, 1_500)
        .stage();
    stage.world.watch();
    let value = stage.value("unsaid", |value| value.at("authoritative_new") == Some(&Value::Bool(true))).await;
    assert_eq!(value.at("aaaa_left_behind"), Some(&Value::Null));
    let value = stage.value("said", |value| of(value, "authoritative", 0, "state") == &text("timeout")).await;
    assert_eq!(value.at("authoritative_new"), Some(&Value::Null));
    assert_eq!(value.at("aaaa_left_behind"), Some(&Value::Null));
}

#[tokio::test]
async fn what_a_resolver_says_of_aaaa_is_not_what_the_authoritative_server_says() {
    let server = |six: &'static str| {
        Fake::answering(move |asked| match asked.message.queries.first().map(Query::query_type) {
            Some(Type::AAAA) => {
                let name = Name::from_ascii("both.example.test.").unwrap();
                asked.records([Record::from_rdata(
                    name,
                    5,
                    RData::AAAA(six.parse::<std::net::Ipv6Addr>().unwrap().into()),
                )])
            }
            _ => asked.records([a("both.example.test.", 5, [192, 0, 2, 1])]),
        })
    };
    let (authority, resolver) = (server("2001:db8::9"), server(SIX));
    let mut stage = Setting::default()
        .target("zone", zone(&[authority.address.to_string()], &[("cache", resolver.address.to_string())], None))
        .probe("moved", both(&[SIX], &["2001:db8::9"]))
        .stage();
    stage.world.watch();
    stage.value("moved", |value| value.at("old") == Some(&Value::Int(1))).await;
    for _ in 0..20 {
        let value = stage.value("moved", |_| true).await;
        assert_eq!(of(&value, "authoritative", 0, "aaaa"), &text("2001:db8::9"));
        assert_eq!(value.at("aaaa_left_behind"), Some(&Value::Bool(false)), "{value:?}");
    }
}

#[tokio::test]
async fn a_server_that_denies_the_whole_name_when_asked_for_aaaa_is_not_done() {
    let server = Fake::answering(|asked| {
        if asked.message.queries.first().map(Query::query_type) != Some(Type::AAAA) {
            return asked.records([a("both.example.test.", 5, [192, 0, 2, 1])]);
        }
        let mut answer = asked.answer(ResponseCode::NXDomain);
        let name = |text| Name::from_ascii(text).unwrap();
        let soa = SOA::new(name("ns.example.test."), name("admin.example.test."), 7, 60, 60, 60, 600);
        answer.authorities.push(Record::from_rdata(name("example.test."), 600, RData::SOA(soa)));
        answer
    });
    let mut stage = Setting::default()
        .target("zone", zone(&[server.address.to_string()], &[], None))
        .probe("unsaid", moved())
        .probe("gone", both(&[SIX], &[]))
        .stage();
    stage.world.watch();
    let value = stage.value("unsaid", |value| value.at("aaaa_left_behind") == Some(&Value::Bool(true))).await;
    assert!(value.at("worst_case").unwrap().int().unwrap() > 500, "caches take it for an answer about A: {value:?}");
    assert_eq!(value.at("old_ttl_expired"), Some(&Value::Bool(false)));
    let value = stage.value("gone", |value| value.at("authoritative_new") == Some(&Value::Bool(false))).await;
    assert_eq!(of(&value, "authoritative", 0, "state"), &text("other"));
}

#[tokio::test]
async fn a_slow_server_is_heard_about_aaaa_too() {
    let slow = Fake::answering(|asked| {
        std::thread::sleep(std::time::Duration::from_millis(300));
        match asked.message.queries.first().map(Query::query_type) {
            Some(Type::A) => asked.records([a("both.example.test.", 5, [192, 0, 2, 1])]),
            _ => asked.records([]),
        }
    });
    let mut one = moved();
    if let ProbeKind::Dns(dns) = &mut one {
        dns.samples = 1;
    }
    let mut stage = Setting::default()
        .target("zone", zone(&[slow.address.to_string()], &[], None))
        .probe_every("unsaid", one, 200, 20_000)
        .stage();
    stage.world.watch();
    stage.value("unsaid", |value| value.at("aaaa_left_behind") == Some(&Value::Bool(false))).await;
}
