//! Names that a zone delegates to others: the servers of the zone know whom they are delegated to, and nothing else of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gonogo::core::probe::ProbeKind;
use gonogo::core::record::RecordType;
use gonogo::core::value::Value;
use gonogo::world::World as _;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::NS;
use hickory_proto::rr::{Name, RData, Record};

use super::fake::Fake;
use super::{Daemon, of, probe, text, zone};
use crate::support::Setting;

#[tokio::test]
async fn the_servers_of_a_delegated_name_are_those_of_the_referral() {
    let knot = Daemon::knot();
    let bind = super::bind::authority();
    let ns = |name: &str, new: &str| probe(name, RecordType::Ns, &["NS.signed.example.test."], &[new]);
    let mut stage = Setting::default()
        .target("zone", zone(&[knot.address(), bind.address()], &[], None))
        .probe("ns", ns("signed.example.test", "ns2.signed.example.test"))
        .probe("below", probe("ns.signed.example.test", RecordType::A, &["127.0.0.1"], &["127.0.0.2"]))
        .stage();
    stage.world.watch();
    let value = stage.value("ns", |value| value.at("authoritative_old") == Some(&Value::Bool(true))).await;
    assert_eq!(value.at("authoritative_new"), Some(&Value::Bool(false)));
    for at in 0..2 {
        assert_eq!(of(&value, "authoritative", at, "values"), &text("ns.signed.example.test"));
        assert_eq!(of(&value, "authoritative", at, "ttl"), &Value::Int(60));
        let note = "example.test says it as the zone above: signed.example.test is delegated, and not asked itself";
        assert_eq!(of(&value, "authoritative", at, "note"), &text(note));
    }
    // Of anything else, the servers of the zone above say only whom to ask.
    let value = stage.value("below", |value| of(value, "authoritative", 0, "state") == &text("delegated")).await;
    let note = "signed.example.test is delegated to ns.signed.example.test";
    assert_eq!(of(&value, "authoritative", 0, "note"), &text(note));
    assert_eq!(value.at("authoritative_old"), Some(&Value::Null));
}

#[tokio::test]
async fn a_changed_delegation_is_the_switch_and_a_referral_elsewhere_is_lame() {
    let switched = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&switched);
    let refer = |asked: &super::fake::Asked, zone: &str, to: &str| {
        let mut answer = asked.answer(ResponseCode::NoError);
        answer.metadata.authoritative = false;
        let name = |text| Name::from_ascii(text).unwrap();
        answer.authorities.push(Record::from_rdata(name(zone), 60, RData::NS(NS(name(to)))));
        answer
    };
    let above = Fake::answering(move |asked| {
        let to = if told.load(Ordering::Relaxed) { "ns.new.test." } else { "ns.old.test." };
        refer(asked, "shop.example.test.", to)
    });
    let upward = Fake::answering(move |asked| refer(asked, ".", "a.root.test."));
    let itself = Fake::answering(move |asked| refer(asked, "example.test.", "ns.example.test."));
    let beside = Fake::answering(move |asked| refer(asked, "other.example.test.", "ns.old.test."));
    let ns = || probe("shop.example.test", RecordType::Ns, &["ns.old.test"], &["ns.new.test"]);
    let mut at_all = ns();
    if let ProbeKind::Dns(probe) = &mut at_all {
        probe.target = "all".into();
    }
    let of_all = [&above, &upward, &itself, &beside].map(|fake| fake.address.to_string());
    let mut stage = Setting::default()
        .target("zone", zone(&of_all[..1], &[], None))
        .target("all", zone(&of_all, &[("upward", upward.address.to_string())], None))
        .probe("ns", ns())
        .probe("all", at_all)
        .stage();
    stage.world.watch();
    stage.value("ns", |value| value.at("authoritative_old") == Some(&Value::Bool(true))).await;
    for at in 1..4 {
        stage.value("all", |value| of(value, "authoritative", at, "state") == &text("lame")).await;
    }
    stage.value("all", |value| of(value, "resolvers", 0, "state") == &text("lame")).await;
    switched.store(true, Ordering::Relaxed);
    stage.value("ns", |value| value.at("authoritative_new") == Some(&Value::Bool(true))).await;
}
