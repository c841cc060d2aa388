//! Route 53 through its real SDK, against the lab's stand-in with the rules of the real service.

mod credentials;

use std::sync::Arc;
use std::time::Duration;

use gonogo::core::action::Action;
use gonogo::core::aws::{AwsAccess, AwsKeys, HostedZone};
use gonogo::core::hosted::{AliasTarget, HostedChange, HostedRecordSet};
use gonogo::core::job::{Adoption, Outcome};
use gonogo::core::kind::{Route53Action, Route53Probe};
use gonogo::core::probe::ProbeKind;
use gonogo::core::record::RecordType;
use gonogo::core::target::Target;
use gonogo::core::time::Span;
use gonogo::core::value::Value;
use gonogo::lab::route53::{Route53, Route53Fault, Route53Options};
use gonogo::world::World as _;
use tokio::net::TcpListener;

use crate::support::{Setting, Stage, failed, key, succeeded, unknown};

const APP: &str = "app.shop.test";

/// The service with one zone and one record, and where it is.
struct Service {
    service: Arc<Route53>,
    endpoint: String,
}

impl Service {
    async fn new() -> Self {
        Self::with(Route53Options { propagation: Duration::from_millis(300), ..Route53Options::default() }).await
    }

    async fn with(options: Route53Options) -> Self {
        let service = Arc::new(Route53::new(options, |_| ()));
        service.add_zone("Z1", "shop.test", false);
        service.put("Z1", APP, "A", 60, &["192.0.2.1"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(Arc::clone(&service).serve(listener));
        Self { service, endpoint }
    }

    fn zone(&self) -> HostedZone {
        let keys = AwsKeys { id: "AKIALAB".to_owned(), secret: "canary-secret-key".to_owned() };
        HostedZone {
            zone: "shop.test".to_owned(),
            id: "Z1".to_owned(),
            private: false,
            aws: AwsAccess { endpoint: Some(self.endpoint.clone()), keys: Some(keys), ..AwsAccess::default() },
        }
    }

    fn setting(&self) -> Setting {
        Setting::default().target("zone", Target::Route53(self.zone()))
    }

    fn stage(&self) -> Stage {
        self.setting().stage()
    }

    fn app(&self) -> Vec<String> {
        self.service.lines("Z1", APP, "A")
    }
}

fn simple(ttl: u32, value: &str) -> HostedRecordSet {
    HostedRecordSet { values: vec![value.to_owned()], ttl: Some(ttl), ..HostedRecordSet::default() }
}

fn weighted(id: &str, weight: u16, value: &str) -> HostedRecordSet {
    HostedRecordSet { set_id: Some(id.to_owned()), weight: Some(weight), ..simple(60, value) }
}

fn action(changes: Vec<(Option<HostedRecordSet>, Option<HostedRecordSet>)>) -> Route53Action {
    let change = |(from, to)| HostedChange { name: APP.to_owned(), record_type: RecordType::A, from, to };
    let changes = changes.into_iter().map(change).collect();
    Route53Action { target: "zone".into(), changes, limit: Span::secs(30), simulate: Vec::new() }
}

fn flip() -> Route53Action {
    action(vec![(Some(simple(60, "192.0.2.1")), Some(simple(60, "192.0.2.2")))])
}

fn back() -> Route53Action {
    action(vec![(Some(simple(60, "192.0.2.2")), Some(simple(60, "192.0.2.1")))])
}

fn probe() -> Route53Probe {
    Route53Probe {
        target: "zone".into(),
        name: APP.to_owned(),
        record_type: RecordType::A,
        set_id: None,
        old: Some(simple(60, "192.0.2.1")),
        new: Some(simple(60, "192.0.2.2")),
    }
}

fn is(value: &Value, field: &str) -> bool {
    value.at(field).and_then(Value::bool).unwrap()
}

fn word(value: &Value, field: &str) -> Option<String> {
    value.at(field).and_then(Value::text).map(str::to_owned)
}

#[tokio::test]
async fn a_change_is_sent_once_and_done_when_all_servers_have_it_and_its_undo_is_exact() {
    let service = Service::new().await;
    let mut stage = service.setting().probe("record", ProbeKind::Route53(probe())).stage();
    stage.world.watch();
    let seen = stage.value("record", |value| is(value, "old")).await;
    assert!(!is(&seen, "new") && is(&seen, "exists") && !is(&seen, "private") && !is(&seen, "credentials_end"));
    assert_eq!(word(&seen, "set").as_deref(), Some("60 192.0.2.1"));
    assert_eq!(word(&seen, "account").as_deref(), Some("123456789012"));
    assert_eq!(word(&seen, "identity").as_deref(), Some("arn:aws:iam::123456789012:user/lab"));
    assert_eq!(word(&seen, "change"), None);
    let done = stage.run(Action::Route53(flip())).await;
    assert!(succeeded(&done).contains("INSYNC"), "{done:?}");
    assert_eq!(service.app(), ["60 192.0.2.2"]);
    let seen = stage.value("record", |value| is(value, "new")).await;
    assert_eq!(word(&seen, "change").as_deref(), Some("INSYNC"));
    assert!(stage.lines().iter().any(|line| line == "as arn:aws:iam::123456789012:user/lab in account 123456789012"));
    succeeded(&stage.run(Action::Route53(back())).await);
    assert_eq!(service.app(), ["60 192.0.2.1"]);
    let seen = stage.value("record", |value| is(value, "old")).await;
    assert_eq!(seen.at("changed_by_others").and_then(Value::int), Some(0), "own changes are not those of others");
    assert_eq!(service.service.posts(), 2);
    stage.assert_clean(&["canary-secret-key"]);
}

#[tokio::test]
async fn what_is_so_already_is_not_sent_and_what_is_otherwise_is_refused_with_the_difference() {
    let service = Service::new().await;
    let mut stage = service.stage();
    let needless = stage.run(Action::Route53(back())).await;
    assert!(succeeded(&needless).contains("was so already"), "{needless:?}");
    service.service.put("Z1", APP, "A", 61, &["192.0.2.1"]);
    let refused = stage.run(Action::Route53(flip())).await;
    assert_eq!(
        failed(&refused),
        format!(
            "zone (shop.test (Z1) at {}) is not as the runbook expects: app.shop.test A has 61 192.0.2.1, not 60 192.0.2.1; \
             nothing was sent",
            service.endpoint
        )
    );
    service.service.put("Z1", APP, "A", 60, &[]);
    let refused = stage.run(Action::Route53(flip())).await;
    assert!(failed(&refused).contains("app.shop.test A has nothing, not 60 192.0.2.1"), "{refused:?}");
    assert_eq!(service.service.posts(), 0);
}

#[tokio::test]
async fn a_change_of_somebody_else_in_the_last_moment_is_refused_by_the_service_and_explained() {
    let service = Service::new().await;
    service.service.goes_wrong(Route53Fault::Overtaken);
    let mut stage = service.stage();
    let refused = stage.run(Action::Route53(flip())).await;
    let what = failed(&refused);
    assert!(what.contains("somebody has changed"), "{what}");
    assert!(what.contains("app.shop.test A has 61 192.0.2.1, not 60 192.0.2.1"), "{what}");
    assert!(what.contains("InvalidChangeBatch: [Tried to delete resource record set"), "{what}");
    assert!(what.contains("nothing was changed"), "{what}");
    assert_eq!(service.app(), ["61 192.0.2.1"]);
    assert_eq!(service.service.posts(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_looked_after_and_nothing_is_sent_twice() {
    let service = Service::new().await;
    service.service.goes_wrong(Route53Fault::DropAfterApply);
    let mut stage = service.stage();
    let done = stage.run(Action::Route53(flip())).await;
    assert!(succeeded(&done).contains("though the answer was lost"), "{done:?}");
    assert_eq!(service.service.posts(), 1, "the SDK must not send it again");
    for fault in [Route53Fault::DropBefore, Route53Fault::InternalError] {
        let posts = service.service.posts();
        service.service.goes_wrong(fault);
        let lost = stage.run(Action::Route53(back())).await;
        assert!(unknown(&lost).contains("all is as before, and it may still be carried out"), "{lost:?}");
        assert_eq!(service.service.posts(), posts + 1, "the SDK must not send it again");
    }
    assert_eq!(service.app(), ["60 192.0.2.2"]);
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_looked_after() {
    let service = Service::new().await;
    service.service.goes_wrong(Route53Fault::Late(Duration::from_secs(30)));
    let mut stage = service.stage();
    let done = stage.run(Action::Route53(flip())).await;
    assert!(succeeded(&done).contains("though the answer was lost"), "{done:?}");
    assert!(stage.lines().iter().any(|line| line.contains("the answer was lost (no answer in time)")));
    assert_eq!(service.service.posts(), 1);
}

#[tokio::test]
async fn what_comes_too_early_is_sent_again_and_says_why_it_waits() {
    let service = Service::new().await;
    service.service.goes_wrong(Route53Fault::PriorRequest);
    service.service.goes_wrong(Route53Fault::Throttled);
    let mut stage = service.stage();
    succeeded(&stage.run(Action::Route53(flip())).await);
    let lines = stage.lines();
    for words in ["still applying an earlier change of this zone", "too many requests of this account"] {
        assert!(lines.iter().any(|line| line.contains(words)), "{words} in {lines:?}");
    }
    assert_eq!(service.service.posts(), 3);
    // It does not wait for longer than its limit.
    for _ in 0..5 {
        service.service.goes_wrong(Route53Fault::PriorRequest);
    }
    let late = stage.run(Action::Route53(Route53Action { limit: Span::secs(3), ..back() })).await;
    assert!(failed(&late).contains("PriorRequestNotComplete") && failed(&late).ends_with("nothing was changed"));
}

#[tokio::test]
async fn pending_is_no_failure() {
    let service = Service::with(Route53Options { propagation: Duration::from_mins(10), ..Route53Options::default() });
    let service = service.await;
    let mut stage = service.setting().probe("record", ProbeKind::Route53(probe())).stage();
    stage.world.watch();
    let done = stage.run(Action::Route53(Route53Action { limit: Span::secs(6), ..flip() })).await;
    assert!(succeeded(&done).contains("still PENDING") && succeeded(&done).contains("no failure"), "{done:?}");
    let seen = stage.value("record", |value| is(value, "new")).await;
    assert_eq!(word(&seen, "change").as_deref(), Some("PENDING"));
    // Who stops waiting has not stopped the change.
    let wanted = key("back");
    stage.world.start(wanted.clone(), &Action::Route53(back()));
    stage.line("has accepted change").await;
    stage.world.stop(&wanted);
    let stopped = stage.ended(&wanted).await;
    assert!(succeeded(&stopped).contains("when waiting for INSYNC was stopped"), "{stopped:?}");
}

#[tokio::test]
async fn after_a_restart_it_is_looked_what_became_of_a_change_and_nothing_is_sent() {
    let service = Service::new().await;
    let mut stage = service.stage();
    for (applied, posts) in [(true, 1), (false, 0)] {
        if applied {
            succeeded(&stage.run(Action::Route53(flip())).await);
        }
        let service = if applied { &service } else { &Service::new().await };
        let mut stage = service.stage();
        let key = key("flip");
        stage.world.adopt(key.clone(), &Action::Route53(flip()));
        assert_eq!(stage.adopted(&key).await, Adoption::Running);
        let outcome = stage.ended(&key).await;
        match outcome {
            Outcome::Succeeded { summary } if applied => assert!(summary.contains("it was carried out"), "{summary}"),
            Outcome::Unknown { why } if !applied => assert!(why.contains("all is as before"), "{why}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(service.service.posts(), posts);
    }
}

#[tokio::test]
async fn another_controller_that_puts_the_old_value_back_is_seen_and_told_from_own_changes() {
    let service = Service::new().await;
    let setting = service.setting().probe("record", ProbeKind::Route53(probe()));
    let mut stage = setting.stage();
    stage.world.watch();
    stage.value("record", |value| is(value, "old")).await;
    succeeded(&stage.run(Action::Route53(flip())).await);
    stage.value("record", |value| is(value, "new")).await;
    service.service.put("Z1", APP, "A", 60, &["192.0.2.1"]);
    let seen = stage.value("record", |value| value.at("changed_by_others").and_then(Value::int) == Some(1)).await;
    assert!(is(&seen, "old"));
    assert_eq!(word(&seen, "others_changed").as_deref(), Some("from 60 192.0.2.2 to 60 192.0.2.1"));
    // A later cockpit goes on counting, and blames nobody for what happened while nobody looked.
    service.service.put("Z1", APP, "A", 60, &["192.0.2.7"]);
    stage.resume(&setting);
    stage.seen.clear();
    stage.world.watch();
    let seen = stage.value("record", |value| !is(value, "old") && !is(value, "new")).await;
    assert_eq!(seen.at("changed_by_others").and_then(Value::int), Some(1));
}

#[tokio::test]
async fn weights_are_shifted_by_steps_in_one_batch_each() {
    let service = Service::new().await;
    let blue = Route53Probe {
        old: Some(weighted("blue", 255, "192.0.2.1")),
        new: Some(weighted("blue", 0, "192.0.2.1")),
        ..probe()
    };
    let mut stage = service.setting().probe("blue", ProbeKind::Route53(blue)).stage();
    stage.world.watch();
    let into_weights = action(vec![
        (Some(simple(60, "192.0.2.1")), None),
        (None, Some(weighted("blue", 255, "192.0.2.1"))),
        (None, Some(weighted("green", 0, "192.0.2.2"))),
    ]);
    succeeded(&stage.run(Action::Route53(into_weights)).await);
    assert_eq!(service.app(), ["blue 255 60 192.0.2.1", "green 0 60 192.0.2.2"]);
    let shares = |value: &Value| value.at("share").and_then(Value::number);
    let seen = stage.value("blue", |value| is(value, "old")).await;
    assert_eq!(shares(&seen), Some(1.0));
    let shift = action(vec![
        (Some(weighted("blue", 255, "192.0.2.1")), Some(weighted("blue", 192, "192.0.2.1"))),
        (Some(weighted("green", 0, "192.0.2.2")), Some(weighted("green", 64, "192.0.2.2"))),
    ]);
    succeeded(&stage.run(Action::Route53(shift.clone())).await);
    assert_eq!(service.app(), ["blue 192 60 192.0.2.1", "green 64 60 192.0.2.2"]);
    stage.value("blue", |value| shares(value) == Some(0.75)).await;
    // The same step again finds it done.
    assert!(succeeded(&stage.run(Action::Route53(shift)).await).contains("was so already"));
    let away = action(vec![
        (Some(weighted("blue", 192, "192.0.2.1")), None),
        (Some(weighted("green", 64, "192.0.2.2")), Some(simple(60, "192.0.2.2"))),
    ]);
    succeeded(&stage.run(Action::Route53(away)).await);
    assert_eq!(service.app(), ["60 192.0.2.2"]);
}

#[tokio::test]
async fn an_alias_is_changed_by_its_target() {
    let service = Service::new().await;
    for (name, value) in [("lb-old.shop.test", "192.0.2.1"), ("lb-new.shop.test", "192.0.2.2")] {
        service.service.put("Z1", name, "A", 60, &[value]);
    }
    let alias = |name: &str| {
        let alias = AliasTarget { name: name.to_owned(), zone: "Z1".to_owned(), evaluate_target_health: false };
        HostedRecordSet { alias: Some(alias), ..HostedRecordSet::default() }
    };
    let mut stage = service.stage();
    let to_alias = action(vec![(Some(simple(60, "192.0.2.1")), Some(alias("lb-old.shop.test")))]);
    succeeded(&stage.run(Action::Route53(to_alias)).await);
    let flip = action(vec![(Some(alias("LB-OLD.shop.test.")), Some(alias("lb-new.shop.test")))]);
    succeeded(&stage.run(Action::Route53(flip)).await);
    assert_eq!(service.app(), ["alias lb-new.shop.test."]);
    let nowhere = action(vec![(Some(alias("lb-new.shop.test")), Some(alias("lb-none.shop.test")))]);
    let refused = stage.run(Action::Route53(nowhere)).await;
    assert!(failed(&refused).contains("but that target was not found"), "{refused:?}");
}

#[tokio::test]
async fn txt_and_wildcards_are_what_they_were_written_as() {
    let service = Service::new().await;
    let long = "k".repeat(400);
    let change = |name: &str, value: &str| HostedChange {
        name: name.to_owned(),
        record_type: RecordType::Txt,
        from: None,
        to: Some(simple(60, value)),
    };
    let all = Route53Action {
        changes: vec![change("*.shop.test", "v=spf1 -all"), change("dkim.shop.test.", &long)],
        ..flip()
    };
    let mut stage = service.stage();
    succeeded(&stage.run(Action::Route53(all.clone())).await);
    assert_eq!(service.service.lines("Z1", "*.shop.test", "TXT"), ["60 \"v=spf1 -all\""]);
    let parts = format!("60 \"{}\" \"{}\"", "k".repeat(255), "k".repeat(145));
    assert_eq!(service.service.lines("Z1", "dkim.shop.test", "TXT"), [parts]);
    assert!(succeeded(&stage.run(Action::Route53(all)).await).contains("was so already"));
}

/// What a zone is made to be, and the words of the refusal.
type Case<'a> = (&'a dyn Fn(&mut HostedZone), &'a str);

#[tokio::test]
async fn another_zone_account_or_key_than_meant_is_refused_before_anything_is_sent() {
    let service = Service::new().await;
    service.service.add_zone("Z2", "shop.test", true);
    let with = |change: &dyn Fn(&mut HostedZone)| {
        let mut zone = service.zone();
        change(&mut zone);
        Setting::default().target("zone", Target::Route53(zone)).probe("record", ProbeKind::Route53(probe())).stage()
    };
    let account = |zone: &mut HostedZone| zone.aws.account = Some("999999999999".to_owned());
    let private = |zone: &mut HostedZone| zone.id = "Z2".to_owned();
    let name = |zone: &mut HostedZone| zone.zone = "shop.example".to_owned();
    let none = |zone: &mut HostedZone| zone.id = "Z3".to_owned();
    let stranger = |zone: &mut HostedZone| zone.aws.keys.as_mut().unwrap().id = "AKIAOTHER".to_owned();
    let away = |zone: &mut HostedZone| zone.aws.endpoint = Some("http://127.0.0.1:1".to_owned());
    let cases: [Case<'_>; 6] = [
        (
            &account,
            "the credentials are of account 123456789012 (arn:aws:iam::123456789012:user/lab), and `zone` is in account 999999999999",
        ),
        (&private, "the hosted zone Z2 is private, and the runbook means a public one"),
        (&name, "the hosted zone Z1 is shop.test, and the runbook means shop.example"),
        (&none, "NoSuchHostedZone: No hosted zone found with ID: Z3"),
        (&stranger, "InvalidClientTokenId: The security token included in the request is invalid."),
        (&away, "cannot be reached"),
    ];
    for (change, words) in cases {
        let mut stage = with(change);
        let refused = stage.run(Action::Route53(flip())).await;
        assert!(failed(&refused).contains(words), "{refused:?}");
        assert!(failed(&refused).ends_with("nothing was sent"), "{refused:?}");
        stage.world.watch();
        let failure = stage.failure("record").await;
        assert!(failure.contains(words), "{failure}");
    }
    assert_eq!(service.service.posts(), 0);
    service.service.goes_wrong(Route53Fault::ExpiredToken);
    let mut stage = service.stage();
    let refused = stage.run(Action::Route53(flip())).await;
    assert!(failed(&refused).contains("ExpiredToken") && failed(&refused).contains("sign in again"), "{refused:?}");
}

#[tokio::test]
async fn too_many_requests_are_a_failure_of_the_reading_and_no_value() {
    let service = Service::new().await;
    let mut stage = service.setting().probe("record", ProbeKind::Route53(probe())).stage();
    stage.world.watch();
    // The probe asks ten times a second here; others use up the rest.
    let mut others: Vec<Stage> =
        (0..8).map(|_| service.setting().probe("other", ProbeKind::Route53(probe())).stage()).collect();
    for other in &mut others {
        other.world.watch();
    }
    let failure = stage.failure("record").await;
    assert!(failure.contains("Throttling: Rate exceeded"), "{failure}");
}
