//! CloudWatch through its real SDK, against the lab's stand-in with the rules of the real service.

mod silence;
mod stand_in;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gonogo::core::aws::{AwsAccess, AwsKeys, CloudWatchRegion};
use gonogo::core::kind::CloudwatchProbe;
use gonogo::core::kind::cloudwatch::CloudwatchMetric;
use gonogo::core::kind::spec::ProbeSpec as _;
use gonogo::core::probe::ProbeKind;
use gonogo::core::target::Target;
use gonogo::core::time::Span;
use gonogo::core::value::Value;
use gonogo::lab::aws;
use gonogo::lab::cloudwatch::{CloudWatch, CloudWatchFault, CloudWatchOptions, MetricTrouble};
use gonogo::lab::route53::{Route53, Route53Options};
use gonogo::world::World as _;
use tokio::net::TcpListener;

use crate::support::{Setting, Stage};

/// The service with ten minutes of numbers, and where it is.
struct Service {
    service: Arc<CloudWatch>,
    endpoint: String,
}

impl Service {
    async fn new() -> Self {
        Self::with(CloudWatchOptions::default()).await
    }

    async fn with(options: CloudWatchOptions) -> Self {
        let service = Arc::new(CloudWatch::new(options));
        let route53 = Arc::new(Route53::new(Route53Options::default(), |_| ()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(aws::serve(listener, route53, Arc::clone(&service)));
        Self { service, endpoint }
    }

    /// Puts a number for every ten seconds of the last ten minutes.
    fn fill(&self, name: &str, value: f64) {
        for ten in 0..60 {
            self.service.put("Shop", name, &[("Side", "new")], (Duration::from_secs(ten * 10), value), false);
        }
    }

    fn region(&self) -> CloudWatchRegion {
        let keys = AwsKeys { id: "AKIALAB".to_owned(), secret: "canary-secret-key".to_owned() };
        let aws = AwsAccess { endpoint: Some(self.endpoint.clone()), keys: Some(keys), ..AwsAccess::default() };
        CloudWatchRegion { region: "eu-central-1".to_owned(), aws }
    }

    fn stage(&self, probe: CloudwatchProbe) -> Stage {
        self.stage_every(probe, 300)
    }

    fn stage_every(&self, probe: CloudwatchProbe, every: u64) -> Stage {
        let setting = Setting::default().target("metrics", Target::Cloudwatch(self.region()));
        let mut stage = setting.probe_every("shop", ProbeKind::Cloudwatch(probe), every, 6_000).stage();
        stage.world.watch();
        stage
    }
}

fn metric(name: &str, statistic: &str) -> CloudwatchMetric {
    CloudwatchMetric {
        namespace: Some("Shop".to_owned()),
        metric: Some(name.to_owned()),
        dimensions: BTreeMap::from([("Side".to_owned(), "new".to_owned())]),
        statistic: Some(statistic.to_owned()),
        ..CloudwatchMetric::default()
    }
}

fn math(expression: &str) -> CloudwatchMetric {
    CloudwatchMetric { expression: Some(expression.to_owned()), ..CloudwatchMetric::default() }
}

fn probe(metrics: &[(&str, CloudwatchMetric)]) -> CloudwatchProbe {
    let metrics: BTreeMap<String, CloudwatchMetric> =
        metrics.iter().map(|(name, metric)| ((*name).to_owned(), metric.clone())).collect();
    CloudwatchProbe {
        target: "metrics".into(),
        metrics: metrics.into(),
        period: Span::secs(60),
        delay: Span::secs(120),
        max_age: Span::secs(300),
        simulate: BTreeMap::new(),
    }
}

fn number(value: &Value, field: &str) -> Option<f64> {
    value.at(field).unwrap_or_else(|| panic!("no {field} in {value:?}")).number()
}

fn why(value: &Value, field: &str) -> String {
    value.at(&format!("why.{field}")).and_then(Value::text).unwrap_or_default().to_owned()
}

/// The next reading, whatever it says.
async fn look(stage: &mut Stage) -> Value {
    stage.value("shop", |_| true).await
}

#[tokio::test]
async fn the_newest_complete_bin_counts_and_its_age_is_that_of_the_bin() {
    let service = Service::new().await;
    service.fill("Requests", 2.0);
    service.fill("Errors", 0.5);
    let mut stage = service.stage(probe(&[
        ("requests", metric("Requests", "Sum")),
        ("p95", metric("Requests", "p95")),
        ("errors", metric("Errors", "Sum")),
        ("share", math("100 * errors / requests")),
    ]));
    let (value, at, tells_of) =
        stage.reading("shop", |reading| Some((reading.result.clone().ok()?, reading.at, reading.tells_of()))).await;
    assert_eq!(number(&value, "requests"), Some(12.0));
    assert_eq!(
        (number(&value, "p95"), number(&value, "errors"), number(&value, "share")),
        (Some(2.0), Some(3.0), Some(25.0))
    );
    let age = at.since(tells_of);
    assert!(
        age >= Span::secs(179) && age <= Span::secs(245),
        "the beginning of a bin that ended two minutes ago: {age}"
    );
    let beginning = (tells_of.0 + 500).rem_euclid(60_000);
    assert!(beginning <= 1_000, "a full minute by the clock of AWS: {beginning}");
    let behind = number(&value, "behind_s").unwrap();
    assert!((behind - age.as_secs_f64()).abs() < 5.0, "{behind} and {age}");
    let bin = value.at("bin").and_then(Value::text).unwrap();
    assert!(bin.ends_with(":00Z"), "{bin}");
    assert_eq!(value.at("account").and_then(Value::text), Some("123456789012"));
    assert_eq!(why(&value, "requests"), "");
    assert_eq!(service.service.gets(), 1, "all metrics in one call");
    stage.assert_clean(&["canary-secret-key"]);
}

#[tokio::test]
async fn bins_that_are_still_too_low_are_not_looked_at() {
    // Half of all numbers come 100 s late.
    let service =
        Service::with(CloudWatchOptions { late: Duration::from_secs(100), ..CloudWatchOptions::default() }).await;
    service.fill("Requests", 2.0);
    let requests = || [("requests", metric("Requests", "Sum"))];
    let hasty = CloudwatchProbe { delay: Span::ZERO, ..probe(&requests()) };
    let seen = number(&look(&mut service.stage(hasty)).await, "requests").unwrap();
    assert!(seen < 12.0, "the newest bin is too low: {seen}");
    let seen = number(&look(&mut service.stage(probe(&requests()))).await, "requests");
    assert_eq!(seen, Some(12.0));
}

#[tokio::test]
async fn what_is_not_complete_not_there_or_forbidden_is_unknown_with_words_and_never_zero() {
    let service = Service::new().await;
    for name in ["Fine", "Partial", "Broken", "Secret"] {
        service.fill(name, 1.0);
    }
    service.service.says("Partial", Some(MetricTrouble::PartialData));
    service.service.says("Broken", Some(MetricTrouble::InternalError));
    service.service.says("Secret", Some(MetricTrouble::Forbidden));
    let metrics = probe(&[
        ("fine", metric("Fine", "Sum")),
        ("partial", metric("Partial", "Sum")),
        ("broken", metric("Broken", "Sum")),
        ("secret", metric("Secret", "Sum")),
        ("none", metric("Unheard", "Sum")),
        ("of_none", math("none / fine")),
        ("filled", math("FILL(none, 0) / fine")),
    ]);
    let value = look(&mut service.stage(metrics.clone())).await;
    assert_eq!(number(&value, "fine"), Some(6.0));
    for (name, words) in [
        (
            "partial",
            "PartialData: what CloudWatch has is not complete (PartialData: Not all datapoints could be read.)",
        ),
        ("broken", "InternalError: CloudWatch could not read it"),
        (
            "secret",
            "Forbidden: these credentials may not read it (Forbidden: You are not authorized to read this metric.)",
        ),
        ("none", "no data in the last 5:00: it may have nothing to count, other dimensions, or a longer period"),
        ("of_none", "no data in the last 5:00: a metric in it has none, and `FILL` says what that means"),
    ] {
        assert_eq!(number(&value, name), None, "{name}");
        assert_eq!(why(&value, name), words, "{name}");
        assert_eq!(metrics.kept_unknown_by(name, &value).as_deref(), Some(words));
    }
    assert_eq!(number(&value, "filled"), Some(0.0), "as the runbook says");
    // Where nothing at all is known there is no reading.
    let nothing = service.stage(probe(&[("none", metric("Unheard", "Sum"))])).failure("shop").await;
    assert!(nothing.contains("tells nothing: none: no data in the last 5:00"), "{nothing}");
}

#[tokio::test]
async fn a_number_that_is_too_old_is_none() {
    let service = Service::new().await;
    service.fill("Fine", 1.0);
    for ten in 0..6 {
        service.service.put("Shop", "Old", &[("Side", "new")], (Duration::from_secs(330 + ten), 1.0), false);
    }
    let value =
        look(&mut service.stage(probe(&[("fine", metric("Fine", "Sum")), ("old", metric("Old", "Sum"))]))).await;
    assert_eq!(number(&value, "old"), None);
    assert!(why(&value, "old").contains("the newest number is of a bin that began"), "{}", why(&value, "old"));
    assert_eq!(number(&value, "fine"), Some(6.0));
}

#[tokio::test]
async fn every_page_of_an_answer_is_read() {
    let service = Service::with(CloudWatchOptions { page: 2, ..CloudWatchOptions::default() }).await;
    service.fill("Requests", 1.0);
    service.fill("Errors", 0.5);
    let metrics = probe(&[("requests", metric("Requests", "Sum")), ("zz_errors", metric("Errors", "Sum"))]);
    let value = look(&mut service.stage(metrics)).await;
    assert_eq!((number(&value, "requests"), number(&value, "zz_errors")), (Some(6.0), Some(3.0)));
    assert!(service.service.gets() > 3, "page after page");
}

#[tokio::test]
async fn high_resolution_is_for_metrics_that_have_it() {
    let service = Service::new().await;
    for second in 0..120 {
        service.service.put("Shop", "Fine", &[("Side", "new")], (Duration::from_secs(second), 1.0), true);
    }
    service.fill("Plain", 1.0);
    let metrics = probe(&[("fine", metric("Fine", "Sum")), ("plain", metric("Plain", "Sum"))]);
    let metrics = CloudwatchProbe { period: Span::secs(10), delay: Span::secs(20), max_age: Span::secs(60), ..metrics };
    let value = look(&mut service.stage(metrics)).await;
    assert_eq!((number(&value, "fine"), number(&value, "plain")), (Some(10.0), None));
}

#[tokio::test]
async fn refusals_say_what_to_do_and_too_many_calls_are_answered_with_patience() {
    let service = Service::new().await;
    service.fill("Requests", 1.0);
    let requests = || probe(&[("requests", metric("Requests", "Sum"))]);
    for (fault, words) in [
        (
            CloudWatchFault::AccessDenied,
            "AccessDenied: User: arn:aws:iam::123456789012:user/lab is not authorized to perform: cloudwatch:GetMetricData (`gonogo iam RUNBOOK` prints the rights that are needed)",
        ),
        (
            CloudWatchFault::ExpiredToken,
            "ExpiredToken: The security token included in the request is expired (the credentials have ended",
        ),
    ] {
        service.service.goes_wrong(fault);
        let mut stage = service.stage(requests());
        let why = stage.failure("shop").await;
        assert!(why.contains(words), "{why}");
        assert!(
            why.starts_with("CloudWatch in eu-central-1 at http://127.0.0.1:") && why.contains("[request "),
            "{why}"
        );
        assert_eq!(number(&look(&mut stage).await, "requests"), Some(6.0), "the next one is fine");
    }
    // The SDK tries twice; then nobody is asked for a while.
    for _ in 0..2 {
        service.service.goes_wrong(CloudWatchFault::Throttled);
    }
    let before = service.service.gets();
    let mut stage = service.stage(requests());
    let why = stage.failure("shop").await;
    assert!(why.contains("Throttling: Rate exceeded"), "{why}");
    for _ in 0..3 {
        let why = stage.failure("shop").await;
        assert!(why.starts_with("not asked for another ") && why.contains("Throttling: Rate exceeded"), "{why}");
    }
    assert_eq!(service.service.gets(), before, "both tries were refused, and none came after them");
}

#[tokio::test]
async fn a_read_that_is_lost_is_asked_again() {
    let service = Service::new().await;
    service.fill("Requests", 1.0);
    for fault in [CloudWatchFault::DropBefore, CloudWatchFault::InternalError, CloudWatchFault::DropAfterApply] {
        service.service.goes_wrong(fault);
        let mut stage = service.stage(probe(&[("requests", metric("Requests", "Sum"))]));
        assert_eq!(number(&look(&mut stage).await, "requests"), Some(6.0), "{fault:?}");
    }
    service.service.goes_wrong(CloudWatchFault::Garbled);
    let why = service.stage(probe(&[("requests", metric("Requests", "Sum"))])).failure("shop").await;
    assert!(why.starts_with("CloudWatch in eu-central-1"), "{why}");
}

#[tokio::test]
async fn credentials_of_another_account_are_not_used() {
    let service = Service::new().await;
    let region = service.region();
    let aws = AwsAccess { account: Some("999999999999".to_owned()), ..region.aws.clone() };
    let setting = Setting::default().target("metrics", Target::Cloudwatch(CloudWatchRegion { aws, ..region }));
    let kind = ProbeKind::Cloudwatch(probe(&[("requests", metric("Requests", "Sum"))]));
    let mut stage = setting.probe_every("shop", kind, 300, 6_000).stage();
    stage.world.watch();
    let why = stage.failure("shop").await;
    assert!(why.contains("are of account 123456789012") && why.contains("account 999999999999"), "{why}");
    assert_eq!(service.service.gets(), 0);
}
