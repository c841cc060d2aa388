//! Names whose load is balanced: each answer holds some of many values.

use std::sync::atomic::{AtomicUsize, Ordering};

use gonogo::core::kind::DnsProbe;
use gonogo::core::probe::ProbeKind;
use gonogo::core::record::{BalancedValues, RecordType, RecordValues};
use gonogo::core::value::Value;
use gonogo::world::World as _;

use hickory_proto::rr::RecordType as Type;

use super::fake::{Fake, a};
use super::{of, probe, strings, text, zone};
use crate::support::Setting;

fn one_of(values: &[&str]) -> RecordValues {
    RecordValues::Balanced(BalancedValues { one_of: Some(strings(values)), ..BalancedValues::default() })
}

fn within(networks: &[&str]) -> RecordValues {
    RecordValues::Balanced(BalancedValues { within: Some(strings(networks)), ..BalancedValues::default() })
}

fn app(old: RecordValues, new: RecordValues) -> ProbeKind {
    let ProbeKind::Dns(plain) = probe("app.example.test", RecordType::A, &[], &[]) else { unreachable!() };
    ProbeKind::Dns(DnsProbe { old, new, ..plain })
}

/// Each question gets the next of these addresses alone, as from a balanced name.
fn balancing(addresses: &'static [[u8; 4]]) -> Fake {
    Fake::answering(move |asked| {
        let address = addresses[asked.number % addresses.len()];
        asked.records([a("app.example.test.", 60, address)])
    })
}

#[tokio::test]
async fn a_balanced_name_is_new_when_every_answer_is_one_of_the_new_ones() {
    let new = balancing(&[[203, 0, 113, 1], [203, 0, 113, 200]]);
    let half = balancing(&[[203, 0, 113, 1], [192, 0, 2, 1], [192, 0, 2, 2]]);
    let away = balancing(&[[203, 0, 113, 1], [198, 51, 100, 1]]);
    let resolvers =
        [("away", &away), ("half", &half), ("new", &new)].map(|(name, fake)| (name, fake.address.to_string()));
    let mut stage = Setting::default()
        .target("zone", zone(&[new.address.to_string()], &resolvers, None))
        .probe("within", app(one_of(&["192.0.2.1", "192.0.2.2"]), within(&["203.0.113.0/24"])))
        .probe("one_of", app(within(&["192.0.2.0/30"]), one_of(&["203.0.113.1", "203.0.113.200"])))
        .probe("listed", app(strings(&["192.0.2.1"]).into(), strings(&["203.0.113.1"]).into()))
        .stage();
    stage.world.watch();
    for id in ["within", "one_of"] {
        let value = stage
            .value(id, |value| {
                of(value, "resolvers", 2, "samples").int() >= Some(9)
                    && of(value, "resolvers", 1, "state") == &text("mixed")
            })
            .await;
        assert_eq!(of(&value, "resolvers", 2, "state"), &text("new"), "{id}");
        assert_eq!(of(&value, "resolvers", 2, "share"), &Value::Float(1.0), "{id}");
        assert_eq!(value.at("authoritative_new"), Some(&Value::Bool(true)), "{id}");
        assert_eq!(of(&value, "resolvers", 1, "fresh"), &Value::Bool(false), "{id}: some of its answers are old");
        let away = of(&value, "resolvers", 0, "state").text().unwrap();
        assert!(away == "other" || away == "mixed", "{id}: {away}");
        assert_ne!(of(&value, "resolvers", 0, "fresh"), &Value::Bool(true), "{id}: some of its answers are foreign");
    }
    // A list is meant as a whole: the second address is not in it.
    let value = stage.value("listed", |value| of(value, "resolvers", 2, "samples").int() >= Some(9)).await;
    assert_ne!(of(&value, "resolvers", 2, "state"), &text("new"));
    assert_ne!(of(&value, "resolvers", 2, "share"), &Value::Float(1.0));
}

#[tokio::test]
async fn a_weighted_name_is_new_when_the_share_of_its_answers_is_as_wanted() {
    const QUARTER: &[[u8; 4]] = &[[203, 0, 113, 1], [192, 0, 2, 1], [192, 0, 2, 1], [192, 0, 2, 1]];
    let share = |share| {
        let balanced =
            BalancedValues { one_of: Some(strings(&["203.0.113.1"])), share: Some(share), ..BalancedValues::default() };
        app(strings(&["192.0.2.1"]).into(), RecordValues::Balanced(balanced))
    };
    // One server for each, so that no other probe takes every fourth of its answers.
    for (wanted, is_new) in [(0.25, true), (0.75, false)] {
        let asked_for_a = AtomicUsize::new(0);
        let server = Fake::answering(move |asked| {
            let asks_a = asked.message.queries.first().is_some_and(|query| query.query_type() == Type::A);
            if !asks_a {
                return asked.records([]);
            }
            let number = asked_for_a.fetch_add(1, Ordering::Relaxed);
            asked.records([a("app.example.test.", 60, QUARTER[number % QUARTER.len()])])
        });
        let mut stage = Setting::default()
            .target("zone", zone(&[server.address.to_string()], &[], None))
            .probe("app", share(wanted))
            .stage();
        stage.world.watch();
        let value = stage
            .value("app", |value| {
                let share = of(value, "authoritative", 0, "share").number();
                share.is_some_and(|share| (0.2..0.3).contains(&share))
                    && value.at("authoritative_new") == Some(&Value::Bool(is_new))
            })
            .await;
        let state = if is_new { "new" } else { "mixed" };
        assert_eq!(of(&value, "authoritative", 0, "state"), &text(state), "{wanted}");
        assert_eq!(value.at("worst_case"), Some(&Value::Null), "the old values stay");
    }
}
