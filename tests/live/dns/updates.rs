//! What `dns.update` says it has done is so, on servers that leave out what the rules of DNS forbid and answer that all is done.

use gonogo::core::action::Action;
use gonogo::core::job::Outcome;
use gonogo::core::kind::DnsUpdateAction;
use gonogo::core::record::{DnsChange, RecordType};
use gonogo::core::time::Span;
use hickory_proto::op::{OpCode, ResponseCode};

use super::fake::{Fake, a};
use super::{Daemon, KEY, bind, key, strings, zone};
use crate::support::{Setting, Stage, failed, succeeded, unknown};

fn change(name: &str, record_type: RecordType, from: &[&str], to: &[&str]) -> DnsChange {
    let name = format!("{name}.example.test");
    DnsChange { name, record_type, from: strings(from), to: strings(to), ttl: 60 }
}

async fn update(stage: &mut Stage, changes: Vec<DnsChange>) -> Outcome {
    let action = DnsUpdateAction { target: "zone".into(), changes, limit: Span::secs(5) };
    stage.run(Action::DnsUpdate(action)).await
}

fn stage(server: String) -> Stage {
    Setting::default().target("zone", zone(&[server], &[], Some(key("gonogo", KEY)))).stage()
}

#[tokio::test]
async fn what_a_server_would_leave_out_is_refused_and_nothing_is_lost() {
    for server in [Daemon::knot(), bind::updated()] {
        let mut stage = stage(server.address());
        // An address beside an alias.
        let outcome = update(&mut stage, vec![change("www", RecordType::A, &[], &["198.51.100.1"])]).await;
        let what = failed(&outcome);
        assert!(what.contains("www.example.test is an alias of ") && what.ends_with("nothing was changed"), "{what}");
        // An alias over addresses.
        let outcome = update(&mut stage, vec![change("app", RecordType::Cname, &[], &["elsewhere.test"])]).await;
        assert!(
            failed(&outcome).contains("app.example.test has other records, and nothing can be beside an alias"),
            "{outcome:?}"
        );
        // From an alias to an address and back, whatever is named first.
        let there = vec![
            change("www", RecordType::A, &[], &["198.51.100.1"]),
            change("www", RecordType::Cname, &["app.example.test"], &[]),
        ];
        let back = vec![
            change("www", RecordType::Cname, &[], &["app.example.test"]),
            change("www", RecordType::A, &["198.51.100.1"], &[]),
        ];
        let outcome = update(&mut stage, there.clone()).await;
        assert!(
            succeeded(&outcome).starts_with("www.example.test A, www.example.test CNAME changed on"),
            "{outcome:?}"
        );
        assert!(succeeded(&update(&mut stage, there).await).contains("it was so already"));
        succeeded(&update(&mut stage, back).await);
        let beside = update(&mut stage, vec![change("www", RecordType::A, &[], &["198.51.100.1"])]).await;
        assert!(failed(&beside).contains("is an alias of"), "the alias is back: {beside:?}");
    }
}

#[tokio::test]
async fn a_text_in_several_parts_is_expected_as_it_is_stored() {
    for server in [Daemon::knot(), bind::updated()] {
        let mut stage = stage(server.address());
        let outcome =
            update(&mut stage, vec![change("parts", RecordType::Txt, &["v=spf1 -all"], &["v=spf1 ~all"])]).await;
        succeeded(&outcome);
        let outcome =
            update(&mut stage, vec![change("parts", RecordType::Txt, &["v=spf1 ~all"], &["v=spf1 -all"])]).await;
        succeeded(&outcome);
    }
}

/// A server that says that each update is done, and serves what `serves` gives for the first label of a name before and after it.
fn saying_done(serves: impl Fn(&str, bool) -> Option<[u8; 4]> + Send + Sync + 'static) -> Fake {
    let updated = std::sync::atomic::AtomicBool::new(false);
    Fake::answering(move |asked| {
        if asked.message.metadata.op_code == OpCode::Update {
            updated.store(true, std::sync::atomic::Ordering::Relaxed);
            return asked.answer(ResponseCode::NoError);
        }
        let name = asked.message.queries[0].name().to_ascii();
        let label = name.split('.').next().unwrap();
        match serves(label, updated.load(std::sync::atomic::Ordering::Relaxed)) {
            Some(address) => asked.records([a(&name, 60, address)]),
            None => asked.answer(ResponseCode::Refused),
        }
    })
}

#[tokio::test]
async fn a_server_that_says_done_is_not_believed() {
    const OLD: [u8; 4] = [192, 0, 2, 1];
    const NEW: [u8; 4] = [198, 51, 100, 1];
    let both = || ["one", "two"].map(|name| change(name, RecordType::A, &["192.0.2.1"], &["198.51.100.1"])).to_vec();
    let run = async |server: Fake| {
        let mut stage = Setting::default().target("zone", zone(&[server.address.to_string()], &[], None)).stage();
        update(&mut stage, both()).await
    };
    let outcome = run(saying_done(|_, done| Some(if done { NEW } else { OLD }))).await;
    assert!(succeeded(&outcome).starts_with("one.example.test A, two.example.test A changed on zone"), "{outcome:?}");
    let outcome = run(saying_done(|_, _| Some(OLD))).await;
    assert!(
        failed(&outcome).contains("says it is done, and has changed nothing: one.example.test A has 192.0.2.1"),
        "{outcome:?}"
    );
    let outcome = run(saying_done(|label, done| Some(if done && label == "one" { NEW } else { OLD }))).await;
    let why = "says it is done, and has changed only a part of it: two.example.test A has 192.0.2.1";
    assert!(unknown(&outcome).ends_with(why), "{outcome:?}");
    let outcome = run(saying_done(|label, done| (!done || label == "one").then_some(NEW))).await;
    assert!(unknown(&outcome).ends_with("does not tell what two.example.test A is now"), "{outcome:?}");
}
