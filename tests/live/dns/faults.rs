//! Servers that are silent, wrong, stale or inconsistent: none of it is taken for the new value.

use std::net::UdpSocket;
use std::sync::atomic::Ordering;

use gonogo::core::probe::ProbeKind;
use gonogo::core::record::RecordType;
use gonogo::core::value::Value;
use gonogo::world::World as _;
use hickory_proto::op::{Edns, ResponseCode};

use super::fake::{Asked, Fake, a, alias};
use super::{Daemon, app, of, probe, text, update, zone};
use crate::support::{Setting, Stage, succeeded};

const OLD: [u8; 4] = [192, 0, 2, 1];
const NEW: [u8; 4] = [192, 0, 2, 9];
const APP: &str = "app.example.test.";

/// A probe for which a server is new when it answers with [`NEW`].
fn app_of_fake() -> ProbeKind {
    probe("app.example.test", RecordType::A, &["192.0.2.1"], &["192.0.2.9"])
}

/// Watches `authorities` and `resolvers`.
fn stage(authorities: &[&Fake], resolvers: &[&Fake], every: u64, limit: u64) -> Stage {
    let authorities: Vec<String> = authorities.iter().map(|fake| fake.address.to_string()).collect();
    let names = ["a", "b", "c", "d"];
    let resolvers: Vec<(&str, String)> =
        names.into_iter().zip(resolvers).map(|(name, fake)| (name, fake.address.to_string())).collect();
    let mut stage = Setting::default()
        .target("zone", zone(&authorities, &resolvers, None))
        .probe_every("app", app_of_fake(), every, limit)
        .stage();
    stage.world.watch();
    stage
}

fn good() -> Fake {
    Fake::answering(|asked| asked.records([a(APP, 60, NEW)]))
}

#[tokio::test]
async fn a_silent_server_blinds_nothing_and_is_named() {
    let knot = Daemon::knot();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let resolvers = [("cache", knot.address()), ("silent", silent.local_addr().unwrap().to_string())];
    let mut stage = Setting::default()
        .target("zone", zone(&[knot.address()], &resolvers, None))
        // The timetable and the limit of a probe that says nothing of either.
        .probe_every("app", app(), 1_000, 5_000)
        .stage();
    stage.world.watch();
    let mut last = None;
    for _ in 0..6 {
        let (at, value) = stage.reading("app", |of| of.result.as_ref().ok().map(|value| (of.at, value.clone()))).await;
        if of(&value, "authoritative", 0, "state") == &text("old") {
            assert_eq!(value.at("authoritative_old"), Some(&Value::Bool(true)));
            assert_eq!(of(&value, "resolvers", 0, "state"), &text("old"));
            let silent = of(&value, "resolvers", 1, "state").text().unwrap();
            assert!(matches!(silent, "waiting" | "timeout"), "{silent}");
        }
        // No reading is older than the age from which it would be stale.
        assert!(last.is_none_or(|last| at.since(last).0 < 2_000), "{last:?} {at:?}");
        last = Some(at);
    }
    let value = stage.value("app", |value| of(value, "resolvers", 1, "state") == &text("timeout")).await;
    assert_eq!(of(&value, "resolvers", 1, "name"), &text("silent"));
    assert_eq!(of(&value, "resolvers", 1, "fresh"), &Value::Null);
}

#[tokio::test]
async fn a_silent_authoritative_server_leaves_it_open() {
    let good = good();
    let silent = Fake::start(|_| Vec::new());
    let mut stage = stage(&[&good, &silent], &[], 100, 1_000);
    let value = stage.value("app", |value| of(value, "authoritative", 1, "state") == &text("timeout")).await;
    for field in ["authoritative_new", "ttl", "worst_case", "total", "old", "new", "max_ttl"] {
        assert_eq!(value.at(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(value.at("authoritative_old"), Some(&Value::Bool(false)));
}

/// Watches one resolver beside a good authoritative server until it is in that state.
async fn state_of(resolver: &Fake, state: &str) -> Value {
    let good = good();
    let mut stage = stage(&[&good], &[resolver], 100, 700);
    let value = stage.value("app", |value| of(value, "resolvers", 0, "state") == &text(state)).await;
    if state != "new" {
        assert_ne!(of(&value, "resolvers", 0, "fresh"), &Value::Bool(true), "{state}");
        assert_ne!(value.at("new"), Some(&Value::Int(1)), "{state}");
        assert_ne!(value.at("old"), Some(&Value::Int(0)), "{state}");
    }
    value.at("resolvers").unwrap().list().unwrap()[0].clone()
}

#[tokio::test]
async fn answers_that_are_none_are_told_from_new_ones() {
    let with = |code, owner: &'static str| {
        Fake::answering(move |asked| {
            let mut answer = asked.records([a(owner, 60, NEW)]);
            answer.metadata.response_code = code;
            answer
        })
    };
    state_of(&with(ResponseCode::NoError, "other.example.test."), "invalid").await;
    state_of(&with(ResponseCode::NXDomain, APP), "invalid").await;
    state_of(&with(ResponseCode::Refused, APP), "refused").await;
    let circle = [alias(APP, 60, "x.example.test."), alias("x.example.test.", 60, APP)];
    state_of(&Fake::answering(move |asked| asked.records(circle.clone())), "invalid").await;
    let cut_off = |asked: &Asked| {
        let mut answer = asked.records([a(APP, 60, NEW)]);
        answer.metadata.truncation = true;
        answer
    };
    let seen = state_of(&Fake::answering(cut_off), "invalid").await;
    assert!(seen.at("note").unwrap().text().unwrap().contains("over TCP too"), "{seen:?}");
    let both = Fake::answering(|asked| asked.records([a(APP, 60, NEW), a(APP, 60, OLD)]));
    state_of(&both, "mixed").await;
}

#[tokio::test]
async fn bytes_that_are_no_answer_are_told_by_name_or_waited_out() {
    let id = |asked: &Asked| asked.message.metadata.id.to_be_bytes();
    // The right id and then nothing that can be read, short and as long as a datagram may be.
    let garbage = Fake::start(move |asked| vec![[&id(asked)[..], &[0xff; 40]].concat()]);
    state_of(&garbage, "invalid").await;
    let huge = Fake::start(move |asked| vec![[&id(asked)[..], &[0xff; 65_000]].concat()]);
    state_of(&huge, "invalid").await;
    let over_tcp = Fake::start(move |asked| {
        if asked.tcp {
            return vec![[&id(asked)[..], &[0xff; 65_000]].concat()];
        }
        let mut answer = asked.answer(ResponseCode::NoError);
        answer.metadata.truncation = true;
        vec![answer.to_vec().unwrap()]
    });
    state_of(&over_tcp, "invalid").await;
    let another_id = Fake::answering(|asked| {
        let mut answer = asked.records([a(APP, 60, NEW)]);
        answer.metadata.id ^= 1;
        answer
    });
    state_of(&another_id, "timeout").await;
    let another_question = Fake::answering(|asked| {
        let mut answer = asked.records([a(APP, 60, NEW)]);
        answer.queries[0].name = "other.example.test.".parse().unwrap();
        answer
    });
    state_of(&another_question, "timeout").await;
    // A forged datagram before the real answer does not replace it.
    let forged_first = Fake::start(|asked| {
        let real = asked.records([a(APP, 60, NEW)]);
        let mut forged = asked.records([a(APP, 60, OLD)]);
        forged.metadata.id ^= 1;
        vec![vec![1, 2, 3], forged.to_vec().unwrap(), real.to_vec().unwrap()]
    });
    state_of(&forged_first, "new").await;
}

#[tokio::test]
async fn a_server_that_does_not_know_edns_is_asked_without() {
    for code in [ResponseCode::FormErr, ResponseCode::NotImp] {
        let plain = Fake::answering(move |asked| {
            if asked.message.edns.is_some() { asked.answer(code) } else { asked.records([a(APP, 60, NEW)]) }
        });
        state_of(&plain, "new").await;
    }
    state_of(&Fake::answering(|asked| asked.answer(ResponseCode::FormErr)), "formerr").await;
    state_of(&Fake::answering(|asked| asked.answer(ResponseCode::NotImp)), "notimp").await;
}

#[tokio::test]
async fn every_response_code_has_its_own_word() {
    for (code, word) in [
        (6_u16, "yxdomain"),
        (7, "yxrrset"),
        (8, "nxrrset"),
        (9, "notauth"),
        (10, "notzone"),
        (11, "dsotypeni"),
        (12, "rcode 12"),
        (16, "badvers"),
        (23, "badcookie"),
        (3841, "rcode 3841"),
    ] {
        let server = Fake::answering(move |asked| {
            let mut answer = asked.answer(code.into());
            // What does not fit into the header stands in OPT.
            answer.edns = (code > 15).then(Edns::new);
            answer
        });
        state_of(&server, word).await;
    }
    // A version that the server does not know is no reason to ask nothing.
    let version = Fake::answering(|asked| {
        if asked.message.edns.is_none() {
            return asked.records([a(APP, 60, NEW)]);
        }
        let mut answer = asked.answer(16_u16.into());
        answer.edns = Some(Edns::new());
        answer
    });
    state_of(&version, "new").await;
}

#[tokio::test]
async fn a_bad_signature_is_told_from_a_broken_resolver() {
    let bogus = Fake::answering(|asked| {
        if asked.message.metadata.checking_disabled {
            asked.records([a(APP, 60, NEW)])
        } else {
            asked.answer(ResponseCode::ServFail)
        }
    });
    state_of(&bogus, "bogus").await;
    state_of(&Fake::answering(|asked| asked.answer(ResponseCode::ServFail)), "servfail").await;
}

#[tokio::test]
async fn a_lost_datagram_changes_nothing() {
    // Two of three questions are lost.
    let lossy = Fake::start(|asked| {
        let answer = asked.records([a(APP, 60, NEW)]);
        if asked.number % 3 == 2 { vec![answer.to_vec().unwrap()] } else { Vec::new() }
    });
    let mut stage = stage(&[&lossy], &[], 200, 5_000);
    stage.value("app", |value| value.at("authoritative_new") == Some(&Value::Bool(true))).await;
    while lossy.asked.load(Ordering::Relaxed) < 12 {
        let value = stage.value("app", |_| true).await;
        assert_eq!(value.at("authoritative_new"), Some(&Value::Bool(true)), "{value:?}");
    }
}

#[tokio::test]
async fn the_longest_ttl_on_the_way_counts() {
    let knot = Daemon::knot();
    let mut stage = Setting::default()
        .target("zone", zone(&[knot.address()], &[], None))
        .probe("long", probe("long.example.test", RecordType::A, &["192.0.2.1", "192.0.2.2"], &["192.0.2.9"]))
        .stage();
    stage.world.watch();
    let value = stage.value("long", |value| value.at("authoritative_old") == Some(&Value::Bool(true))).await;
    assert_eq!(value.at("ttl"), Some(&Value::Int(300)), "the alias is kept for 300 s, what it leads to for 4");
}

/// A cache that goes on with what it had when nobody answers any more.
async fn outlived(configuration: &str) -> Value {
    let knot = Daemon::knot();
    let cache = Daemon::unbound_with(&knot, configuration);
    let mut stage = Setting::default()
        .target("zone", zone(&[knot.address()], &[("cache", cache.address())], None))
        .probe_every("app", app(), 200, 1_500)
        .stage();
    stage.world.watch();
    stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("old")).await;
    drop(knot);
    let value = stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("stale")).await;
    for field in ["max_ttl", "max_remaining_ttl", "eta"] {
        assert_eq!(value.at(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(value.at("old"), Some(&Value::Int(1)));
    of(&value, "resolvers", 0, "note").clone()
}

#[tokio::test]
async fn a_stale_answer_is_told_by_its_extended_error() {
    let note =
        outlived(" serve-expired: yes\n serve-expired-client-timeout: 200\n ede: yes\n ede-serve-expired: yes\n").await;
    assert!(note.text().unwrap().contains("EDE 3 (stale answer)"), "{note:?}");
}

#[tokio::test]
async fn a_stale_answer_is_told_by_a_ttl_that_never_ends() {
    let note = outlived(" serve-expired: yes\n serve-expired-client-timeout: 200\n").await;
    assert_eq!(note, text(""), "nothing but the TTL tells it");
}

#[tokio::test]
async fn several_caches_behind_one_address_are_new_when_all_of_them_are() {
    let knot = Daemon::knot();
    let ahead = Daemon::unbound(&knot);
    let behind = Daemon::unbound_with(&knot, " cache-min-ttl: 12\n");
    let both = Daemon::dnsdist(&[&ahead, &behind]);
    let key = super::key("gonogo", super::KEY);
    let mut stage = Setting::default()
        .target("zone", zone(&[knot.address()], &[("both", both.address())], Some(key)))
        .probe_every("app", app(), 200, 1_500)
        .stage();
    stage.world.watch();
    stage.value("app", |value| of(value, "resolvers", 0, "ttl").int().is_some_and(|ttl| ttl > 4)).await;
    let change = update(&["192.0.2.1", "192.0.2.2"], &["198.51.100.1"]);
    succeeded(&stage.run(gonogo::core::action::Action::DnsUpdate(change)).await);
    // One of them has it, the other keeps the old one for up to 12 s.
    let value = stage.value("app", |value| of(value, "resolvers", 0, "state") == &text("mixed")).await;
    assert_eq!(of(&value, "resolvers", 0, "fresh"), &Value::Bool(false));
    assert_eq!(value.at("old"), Some(&Value::Int(1)));
    assert!(of(&value, "resolvers", 0, "eta").int().is_some(), "{value:?}");
    let (mut old_until, mut new_at) = (None, None);
    while new_at.is_none() {
        let (at, value) = stage.reading("app", |of| of.result.as_ref().ok().map(|value| (of.at, value.clone()))).await;
        if of(&value, "resolvers", 0, "state") == &text("new") {
            new_at = Some(at);
        } else if let Some(eta) = of(&value, "resolvers", 0, "eta").int() {
            old_until = Some(at.0 + eta * 1_000);
        }
    }
    let late = new_at.unwrap().0 - old_until.unwrap();
    assert!((-1_200..=1_200).contains(&late), "the time that was told comes true: {late} ms");
}

#[tokio::test]
async fn answers_in_a_row_bound_the_share_of_caches_that_were_not_met() {
    let (good, resolver) = (good(), good());
    let mut stage = stage(&[&good], &[&resolver], 200, 1_500);
    let value = stage.value("app", |value| of(value, "resolvers", 0, "samples") == &Value::Int(60)).await;
    assert_eq!(of(&value, "resolvers", 0, "old_share_bound"), &Value::Float(0.05));
    assert!(resolver.asked.load(Ordering::Relaxed) >= 60, "each of them is a question of its own");
}
