//! Whatever bytes come back: nothing panics, nothing becomes new by accident, and nothing of it can harm a screen.

use hickory_proto::op::{Edns, MessageType};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{RData, Record};
use proptest::prelude::*;

use super::*;
use crate::core::time::Span;
use crate::world::live::net::dns::understood;

/// No byte of one is a byte of the other at the same place, and no answer is damaged in as many places.
const OLD: [u8; 4] = [192, 0, 2, 1];
const NEW: [u8; 4] = [198, 51, 100, 7];
const DAMAGES: usize = 3;

fn asked() -> AskedRecord {
    let dotted = |bytes: [u8; 4]| vec![std::net::Ipv4Addr::from(bytes).to_string()];
    let probe = DnsProbe {
        target: "zone".into(),
        name: "www.example.test".to_owned(),
        record_type: RecordType::A,
        old: dotted(OLD).into(),
        new: dotted(NEW).into(),
        aaaa: None,
        samples: 3,
        old_ttl: Some(Span::secs(60)),
        simulate: None,
    };
    AskedRecord::new(&probe, name("example.test").unwrap()).unwrap()
}

fn question(asked: &AskedRecord) -> Message {
    DnsQuestion::new(&asked.name, Type::A, true).message(true)
}

/// An answer as servers give it: an alias, the record behind it, and what comes along.
fn reply(question: &Message, address: [u8; 4]) -> Vec<u8> {
    let name = |text: &str| Name::from_ascii(text).unwrap();
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.authoritative = true;
    reply.queries.clone_from(&question.queries);
    let alias = RData::CNAME(CNAME(name("app.example.test.")));
    reply.answers.push(Record::from_rdata(name("www.example.test."), 300, alias));
    let address = RData::A(A::from(std::net::Ipv4Addr::from(address)));
    reply.answers.push(Record::from_rdata(name("app.example.test."), 60, address));
    let soa = SOA::new(name("ns.example.test."), name("admin.example.test."), 7, 3_600, 600, 86_400, 20);
    reply.authorities.push(Record::from_rdata(name("example.test."), 30, RData::SOA(soa)));
    let mut edns = Edns::new();
    edns.options_mut().insert(EdnsOption::Unknown(15, b"\0\x16no \x1b[2Jway".to_vec()));
    edns.options_mut().insert(EdnsOption::Unknown(3, b"fra\x07".to_vec()));
    reply.edns = Some(edns);
    reply.to_vec().unwrap()
}

/// What a probe makes of these bytes as the answer of a server in that role; `None` when it goes on waiting.
fn made_of(bytes: &[u8], asked: &AskedRecord, question: &Message, role: AskedAs) -> Option<Answer> {
    let answer = understood(bytes, question).ok()??;
    let judged = asked.judge(&asked.wanted, &answer, role);
    for text in [&judged.note, &judged.values, &judged.instance] {
        assert!(!text.chars().any(char::is_control) && text.len() <= 1_200, "{text:?}");
    }
    Some(judged)
}

const ROLES: [AskedAs; 2] = [AskedAs::Authority, AskedAs::Resolver];

#[derive(Clone, Debug)]
enum Damage {
    Byte(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Gone(prop::sample::Index),
    /// A part of the answer stands in it twice.
    Again(prop::sample::Index, prop::sample::Index),
}

impl Damage {
    fn done_to(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Byte(at, byte) => *at.get_mut(bytes) = *byte,
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Gone(at) => {
                bytes.remove(at.index(bytes.len()));
            }
            Self::Again(from, to) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let part = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(to..to, part);
            }
        }
    }
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let at = any::<prop::sample::Index>;
    let damage = prop_oneof![
        6 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        1 => at().prop_map(Damage::Cut),
        1 => at().prop_map(Damage::Gone),
        1 => (at(), at()).prop_map(|(from, to)| Damage::Again(from, to)),
    ];
    proptest::collection::vec(damage, 1..=DAMAGES)
}

#[test]
fn an_undamaged_answer_is_what_it_says() {
    let (asked, question) = (asked(), question(&asked()));
    for role in ROLES {
        for (address, state) in [(OLD, AnswerState::Old), (NEW, AnswerState::New)] {
            let made = made_of(&reply(&question, address), &asked, &question, role).unwrap();
            assert_eq!((made.state, made.ttl), (state, Some(300)));
            assert!(made.note.contains("EDE 22"), "{}", made.note);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn no_bytes_are_new(bytes in proptest::collection::vec(any::<u8>(), 0..600), flags in any::<[u8; 2]>()) {
        let (asked, question) = (asked(), question(&asked()));
        // With the right id they get as far as they can.
        let mut answer = question.metadata.id.to_be_bytes().to_vec();
        answer.extend(flags);
        answer.extend(&bytes);
        for role in ROLES {
            for bytes in [&bytes, &answer] {
                let made = made_of(bytes, &asked, &question, role);
                prop_assert!(made.is_none_or(|made| made.state != AnswerState::New));
            }
        }
    }

    #[test]
    fn a_damaged_answer_with_old_values_is_never_new(damages in damages()) {
        let (asked, question) = (asked(), question(&asked()));
        let mut bytes = reply(&question, OLD);
        for damage in &damages {
            damage.done_to(&mut bytes);
        }
        for role in ROLES {
            let made = made_of(&bytes, &asked, &question, role);
            prop_assert!(made.is_none_or(|made| made.state != AnswerState::New), "{damages:?}");
        }
    }

    #[test]
    fn a_damaged_answer_is_new_only_with_just_the_new_values(damages in damages()) {
        let (asked, question) = (asked(), question(&asked()));
        let mut bytes = reply(&question, NEW);
        for damage in &damages {
            damage.done_to(&mut bytes);
        }
        for role in ROLES {
            if let Some(made) = made_of(&bytes, &asked, &question, role)
                && made.state == AnswerState::New
            {
                prop_assert_eq!(&made.values, "198.51.100.7", "{:?}", damages);
                prop_assert!(made.ttl.is_some() && !made.holds_old);
            }
        }
    }
}
