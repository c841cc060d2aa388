//! How old a reading is, and what survives a driver.

use std::time::Duration;

use gonogo::core::action::Action;
use gonogo::core::kind::DnsProbe;
use gonogo::core::plan::SecretSource;
use gonogo::core::probe::ProbeKind;
use gonogo::core::reading::Reading;
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::world::{World as _, WorldEvent};
use hickory_proto::op::Message;

use super::fake::{Asked, Fake, a};
use super::{Daemon, KEY, app, key, of, strings, succeeded, text, update, zone};
use crate::support::{Setting, Stage};

/// One interval of the probes here, and as slow as a resolver far away.
const EVERY: Span = Span(1_000);
const SLOW: Duration = Duration::from_millis(400);

fn new(asked: &Asked) -> Message {
    asked.records([a("app.example.test.", 60, [198, 51, 100, 1])])
}

/// A fake answers one question after the other.
fn one_sample() -> ProbeKind {
    let ProbeKind::Dns(probe) = app() else { unreachable!() };
    ProbeKind::Dns(DnsProbe { samples: 1, ..probe })
}

#[tokio::test]
async fn a_reading_is_as_old_as_the_oldest_answer_in_it_and_never_older_than_an_interval() {
    let authority = Fake::answering(new);
    let slow = Fake::answering(|asked| {
        std::thread::sleep(SLOW);
        new(asked)
    });
    let mut stage = Setting::default()
        .target("zone", zone(&[authority.address.to_string()], &[("slow", slow.address.to_string())], None))
        .probe_every("app", one_sample(), EVERY.0, 3_000)
        .stage();
    stage.world.watch();
    stage.value("app", |value| value.at("new") == Some(&Value::Int(1))).await;
    // Of each interval there is a reading that rests on answers to questions of this interval alone.
    let mut whole = Vec::<At>::new();
    while whole.len() < 4 {
        let WorldEvent::Reading(reading) = stage.next().await else { continue };
        let value = reading.result.unwrap();
        let oldest = reading.at;
        let ended = reading.at.plus(reading.took);
        let ages = ["authoritative", "resolvers"].map(|list| of(&value, list, 0, "age").int().unwrap().unsigned_abs());
        for age in ages {
            // Ages are whole seconds, rounded down.
            assert!(
                oldest <= ended.before(Span::secs(age)),
                "a reading of {oldest:?} rests on an answer of {age} s: {value:?}"
            );
        }
        if reading.took < EVERY {
            whole.push(oldest);
        }
    }
    for pair in whole.windows(2) {
        let apart = pair[1].since(pair[0]);
        assert!(apart < Span(2 * EVERY.0), "a reading as of {whole:?}");
    }
}

/// The newest reading of a stage.
fn newest(stage: &Stage) -> Reading {
    let reading = |event: &WorldEvent| match event {
        WorldEvent::Reading(reading) => Some(reading.clone()),
        _ => None,
    };
    stage.seen.iter().rev().find_map(reading).unwrap()
}

#[tokio::test]
async fn the_worst_case_is_not_forgotten_with_the_driver_that_saw_it() {
    let knot = Daemon::knot();
    let setting = Setting::default()
        .secret("key", SecretSource::Command(strings(&["echo", KEY])))
        .target("zone", zone(&[knot.address()], &[], Some(key("gonogo", "«secret:key»"))))
        .probe_every("app", app(), 200, 1_000);
    let mut stage = setting.stage();
    stage.world.watch();
    let value = stage.value("app", |value| value.at("authoritative_old") == Some(&Value::Bool(true))).await;
    assert_eq!(value.at("old_ttl"), Some(&Value::Int(4)));
    assert_eq!(value.at("switched"), Some(&Value::Null));
    let before = newest(&stage);
    let change = Action::DnsUpdate(update(&["192.0.2.1", "192.0.2.2"], &["198.51.100.1"]));
    succeeded(&stage.run(change).await);
    let value = stage.value("app", |value| value.at("authoritative_new") == Some(&Value::Bool(true))).await;
    assert!(value.at("worst_case").unwrap().int().unwrap() <= 10, "{value:?}");
    let after = newest(&stage);
    drop(stage);

    // Without a record nobody knows what the old values were.
    let mut fresh = setting.stage();
    fresh.world.watch();
    let value = fresh.value("app", |value| value.at("authoritative_new") == Some(&Value::Bool(true))).await;
    assert_eq!(value.at("worst_case"), Some(&Value::Null));
    drop(fresh);

    // The record is of another clock here: its times lie a minute ahead.
    for (recorded, switched) in [(before, false), (after, true)] {
        let recorded = Reading { at: recorded.at.plus(Span::secs(60)), ..recorded };
        let until = recorded.at;
        let mut resumed = Stage::resumed(&setting.plan(), vec![recorded]);
        resumed.world.watch();
        let value = resumed.value("app", |value| value.at("authoritative_new") == Some(&Value::Bool(true))).await;
        let now = newest(&resumed).at;
        let left = value.at("worst_case").unwrap().int().unwrap();
        assert_eq!(value.at("old_ttl"), Some(&Value::Int(4)), "{value:?}");
        let least = until.since(now).0 / 1_000;
        assert!(left.unsigned_abs() >= least, "{left} s left of at least {least} s; switched before: {switched}");
    }
}

#[tokio::test]
async fn a_change_is_a_reading_before_the_next_poll() {
    let knot = Daemon::knot();
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut stage = Setting::default()
        .secret("key", SecretSource::Command(strings(&["echo", KEY])))
        .target(
            "zone",
            zone(
                &[knot.address()],
                &[("silent", silent.local_addr().unwrap().to_string())],
                Some(key("gonogo", "«secret:key»")),
            ),
        )
        .probe_every("app", app(), 2_000, 5_000)
        .stage();
    stage.world.watch();
    stage.value("app", |value| of(value, "authoritative", 0, "state") == &text("old")).await;
    let change = Action::DnsUpdate(update(&["192.0.2.1", "192.0.2.2"], &["198.51.100.1"]));
    succeeded(&stage.run(change).await);
    let seen = stage.seen.len();
    stage.value("app", |value| value.at("authoritative_new") == Some(&Value::Bool(true))).await;
    let told = stage.seen[seen..].iter().filter(|event| matches!(event, WorldEvent::Reading(_))).count();
    assert!(told <= 2, "the change is told by the next poll at the latest: {told} readings later");
}
