use hickory_proto::op::{Edns, OpCode, Query};
use hickory_proto::rr::rdata::{A, CNAME, NS, SOA};
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn a(owner: &str, ttl: u32, last: u8) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A::new(192, 0, 2, last)))
}

fn alias(owner: &str, ttl: u32, to: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(to))))
}

fn soa(owner: &str, ttl: u32) -> Record {
    Record::from_rdata(name(owner), ttl, RData::SOA(SOA::new(name("ns."), name("admin."), 1, 2, 3, 4, 5)))
}

fn message(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Message {
    let mut message = Message::response(1, OpCode::Query);
    message.metadata.response_code = code;
    message.add_query(Query::query(name("app.test."), Type::A));
    message.answers = answers;
    message.authorities = authorities;
    message
}

fn said(code: ResponseCode, answers: Vec<Record>) -> Content {
    content(&message(code, answers, Vec::new()), &name("app.test."), Type::A)
}

fn nonsense(code: ResponseCode, answers: Vec<Record>) -> bool {
    matches!(said(code, answers), Content::Nonsense(_))
}

const OK: ResponseCode = ResponseCode::NoError;

#[test]
fn the_longest_ttl_of_the_way_counts() {
    let way = vec![alias("app.test.", 86_400, "x.test."), alias("X.test.", 5, "y.test."), a("y.test.", 20, 1)];
    let data = vec![RData::A(A::new(192, 0, 2, 1))];
    assert_eq!(said(OK, way), Content::Records { data, ttl: 86_400 });
    let two = vec![a("app.test.", 20, 1), a("app.test.", 30, 2)];
    assert!(matches!(said(OK, two), Content::Records { ttl: 30, .. }));
}

#[test]
fn what_contradicts_itself_or_answers_something_else_is_no_answer() {
    assert!(nonsense(OK, vec![a("other.test.", 20, 1)]), "another owner");
    assert!(nonsense(ResponseCode::NXDomain, vec![a("app.test.", 20, 1)]), "records of what is not there");
    assert!(nonsense(OK, vec![alias("app.test.", 20, "x.test."), a("y.test.", 20, 1)]), "a gap in the way");
    assert!(nonsense(OK, vec![alias("app.test.", 9, "x.test."), alias("x.test.", 9, "app.test.")]), "a circle");
    assert!(nonsense(OK, vec![alias("app.test.", 9, "app.test.")]), "a small circle");
    assert!(nonsense(OK, vec![alias("app.test.", 9, "x.test."), alias("app.test.", 9, "y.test.")]), "two ways");
    assert!(nonsense(OK, vec![alias("app.test.", 9, "x.test."), a("app.test.", 9, 1)]), "an alias beside data");
    let long = (0..20).map(|n| alias(&format!("{n}.test."), 9, &format!("{}.test.", n + 1)));
    let long = std::iter::once(alias("app.test.", 9, "0.test.")).chain(long).collect();
    assert!(nonsense(OK, long), "too long a way");
    let mut chaos = a("app.test.", 20, 1);
    chaos.dns_class = DNSClass::CH;
    assert_eq!(said(OK, vec![chaos]), Content::Nothing { ttl: None }, "another class is another record");
}

#[test]
fn nothing_there_is_told_from_a_referral_and_from_an_alias_that_leads_away() {
    let app = name("app.test.");
    let nothing = |code, records| content(&message(code, Vec::new(), records), &app, Type::A);
    assert_eq!(nothing(OK, vec![soa("test.", 30)]), Content::Nothing { ttl: Some(30) });
    let mut first_hand = message(ResponseCode::NXDomain, Vec::new(), vec![soa("test.", 30)]);
    first_hand.metadata.authoritative = true;
    assert_eq!(content(&first_hand, &app, Type::A), Content::Nothing { ttl: Some(5) }, "no more than the MINIMUM");
    assert_eq!(nothing(ResponseCode::NXDomain, vec![soa("other.", 30)]), Content::Nothing { ttl: None });
    let ns = Record::from_rdata(name("test."), 30, RData::NS(NS(name("ns.test."))));
    let servers = vec![ns.data.clone()];
    assert_eq!(nothing(OK, vec![ns]), Content::Referral { at: name("test."), servers, ttl: 30 });
    let away = vec![alias("app.test.", 60, "x.example.")];
    assert_eq!(said(OK, away.clone()), Content::Alias { to: name("x.example."), ttl: 60 });
    let message = message(ResponseCode::NXDomain, away, vec![soa("example.", 90)]);
    assert_eq!(content(&message, &app, Type::A), Content::Nothing { ttl: Some(90) });
}

#[test]
fn extended_errors_are_read_by_number() {
    let mut message = message(ResponseCode::ServFail, Vec::new(), Vec::new());
    let mut edns = Edns::new();
    let mut bytes = vec![0, 22];
    bytes.extend_from_slice(b"at delegation test.\x1b[2J");
    edns.options_mut().insert(EdnsOption::Unknown(15, bytes));
    edns.options_mut().insert(EdnsOption::Unknown(15, vec![0, 3]));
    edns.options_mut().insert(EdnsOption::Unknown(15, vec![7]));
    message.edns = Some(edns);
    // Encoded and decoded, since decoding is where the library gives options their types.
    let message = Message::from_vec(&message.to_vec().unwrap()).unwrap();
    let errors = extended_errors(&message);
    assert_eq!(errors.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [22, 3]);
    assert!(is_stale(&errors));
    let words = in_words(&errors);
    assert!(words.starts_with("EDE 22 (no reachable authority): at delegation test."), "{words}");
    assert!(words.ends_with("; EDE 3 (stale answer)") && !words.contains('\u{1b}'), "{words}");
    assert_eq!(in_words(&[(4_711, String::new())]), "EDE 4711");
}

/// A message built from a few names, so that chains, circles and unrelated records occur.
fn built() -> impl Strategy<Value = Message> {
    let owner = prop::sample::select(vec!["app.test.", "a.test.", "b.test.", "APP.test.", "."]);
    let record = (owner.clone(), owner, 0..100_u32, 0..4_u8).prop_map(|(owner, to, ttl, kind)| match kind {
        0 => a(owner, ttl, 1),
        1 | 2 => alias(owner, ttl, to),
        _ => soa(owner, ttl),
    });
    let records = prop::collection::vec(record, 0..6);
    (records.clone(), records, any::<bool>()).prop_map(|(answers, authorities, missing)| {
        message(if missing { ResponseCode::NXDomain } else { OK }, answers, authorities)
    })
}

proptest! {
    #[test]
    fn any_message_is_read_without_a_panic_and_only_records_of_the_name_count(message in built()) {
        let found = content(&message, &name("app.test."), Type::A);
        if let Content::Records { ttl, .. } = found {
            prop_assert!(message.metadata.response_code == OK);
            prop_assert!(message.answers.iter().any(|record| record.ttl == ttl));
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(message) = Message::from_vec(&bytes) {
            let _ = content(&message, &name("app.test."), Type::A);
            let _ = in_words(&extended_errors(&message));
            let _ = instance(&message);
        }
    }

    #[test]
    fn a_good_answer_with_some_bytes_changed_is_read_without_a_panic(
        message in built(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = message.to_vec().unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(message) = Message::from_vec(&bytes) {
            let _ = content(&message, &name("app.test."), Type::A);
            let _ = in_words(&extended_errors(&message));
        }
    }
}
