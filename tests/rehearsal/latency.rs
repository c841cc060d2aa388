//! The bundled runbook with a baseline: what makes the new environment slow is FAIL within two windows and PASS again when
//! it is over; an outage never looks fast.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use gonogo::core::plan::Plan;
use gonogo::core::reading::Reading;
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::latency::{BaselineFile, BaselineRecording, BaselineRequest, LatencySamples};
use gonogo::rehearsal::policy::Policy;
use gonogo::runbook::{self, Options, baseline_subject};
use gonogo::sample_log::reading_of;
use gonogo::scenario::{self, End, Scenario};

use super::scenarios::{play, story};

/// Requests that one judgement is made over: at two a second, two and a half minutes.
const JUDGE_OVER: u64 = 300;

/// How long after a change the window that lies wholly behind it is full at the latest: the window in which it comes holds
/// both. And a little.
const WITHIN: Span = Span::secs(JUDGE_OVER + 10);

fn loaded(path: &Path) -> Plan {
    runbook::load(path, &Options::default()).unwrap_or_else(|e| panic!("{}", e.render(false, 100))).plan
}

/// The bundled runbook, judged against a baseline of about 45 ms.
fn judged() -> Arc<Plan> {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook.yaml");
    let plan = loaded(&bundled);
    let probe = &plan.probes["latency"];
    let asked = probe.kind.requests().unwrap();
    let mut file = BaselineFile::new(&baseline_subject(&plan.title, "latency", &asked, probe.limit));
    let took: Vec<Option<u64>> = (0..1_200).map(|number| Some(40_000 + number * 7_919 % 1_200 * 10)).collect();
    let request = BaselineRequest::of(&LatencySamples::in_order(&took)).unwrap();
    file.recordings.push(BaselineRecording {
        side: "old".to_owned(),
        began: "2026-01-03T02:00:00+00:00".to_owned(),
        zone: "UTC".to_owned(),
        seconds: 600,
        every_ms: probe.every.0,
        limit_ms: probe.limit.0,
        from: "here".to_owned(),
        requests: asked.names.iter().map(|name| (name.clone(), request.clone())).collect::<BTreeMap<_, _>>(),
    });
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("latency.baseline.json"), file.write().unwrap()).unwrap();
    let as_it_is = "    path: /\n    every: 500ms\n";
    let with = format!("{as_it_is}    baseline: latency.baseline.json\n    judge_over: {JUDGE_OVER}\n");
    let text = fs::read_to_string(bundled).unwrap();
    assert_eq!(text.matches(as_it_is).count(), 1, "the probe of latencies is another");
    fs::write(dir.path().join("runbook.yaml"), text.replace(as_it_is, &with)).unwrap();
    Arc::new(loaded(&dir.path().join("runbook.yaml")))
}

/// What goes wrong from the fifth minute to the seventeenth.
fn for_a_while(plan: &Plan, fault: &str) -> Scenario {
    let text = format!(
        "title: t\nlesson: Judge before customers do.\ngood_reaction: Wait.\nends: {{ good: complete, careless: harm }}\n\
         events:\n  - {{ when: {{ at: 5m }}, fault: {fault}, for: 12m }}\n"
    );
    scenario::load_str("t", &text, plan).unwrap_or_else(|e| panic!("{}", e.render(false, 100)))
}

/// A rehearsal of it by a good operator: when it began, and what was read of latencies, in order.
fn rehearsed(fault: &str) -> (At, Vec<(At, Value)>) {
    let plan = judged();
    let (rehearsed, debrief, end) = play(&plan, vec![for_a_while(&plan, fault)], Policy::good(), 1);
    assert_eq!(end, End::Complete, "{}", story(&rehearsed, &plan, &debrief));
    let samples = rehearsed.contents.contents().samples;
    let of_latency = samples.iter().filter(|sample| sample.source == "latency").filter_map(reading_of);
    let good = |(arrived, Reading { result, .. }, _): (At, Reading, bool)| Some((arrived, result.ok()?));
    (rehearsed.run.opened.unwrap(), of_latency.filter_map(good).collect())
}

/// What the verdict on the new environment was from one minute of the run to another, without what follows on itself.
fn verdicts(began: At, read: &[(At, Value)], from: Span, to: Span) -> Vec<&str> {
    let inside = read.iter().filter(|(at, _)| (from..to).contains(&at.since(began)));
    let mut found: Vec<&str> = inside.filter_map(|(_, value)| value.at("new.verdict")?.text()).collect();
    found.dedup();
    found
}

fn minutes(minutes: u64) -> Span {
    Span::secs(minutes * 60)
}

#[test]
fn a_slow_new_environment_is_fail_within_two_windows_and_pass_when_it_is_over() {
    let (began, read) = rehearsed("{ slow: { side: new, times: 3 } }");
    let (slow, over) = (minutes(5), minutes(17));
    let later = |moment: Span, by: Span| Span(moment.0 + by.0);
    assert_eq!(verdicts(began, &read, Span(WITHIN.0 / 2), slow), ["PASS"]);
    assert_eq!(verdicts(began, &read, later(slow, WITHIN), over), ["FAIL"]);
    assert_eq!(verdicts(began, &read, later(over, WITHIN), minutes(40)), ["PASS"]);
}

#[test]
fn an_outage_never_looks_fast() {
    let (began, read) = rehearsed("{ errors: { side: new, share: 1.0, status: 500 } }");
    let (down, over) = (minutes(5), minutes(17));
    let during: Vec<&Value> =
        read.iter().filter(|(at, _)| (down..over).contains(&at.since(began))).map(|(_, value)| value).collect();
    assert!(during.len() > 100, "{}", during.len());
    for value in &during {
        let p95 = value.at("new.p95").filter(|p95| **p95 != Value::Null);
        assert!(p95.is_none_or(|p95| p95.number().unwrap() > 20.0), "{value}");
    }
    let silent = |value: &&&Value| value.at("new.p95") == Some(&Value::Null);
    assert!(during.iter().filter(silent).count() > during.len() / 2, "without a success there is no percentile");
    assert_eq!(verdicts(began, &read, Span(down.0 + WITHIN.0), over), ["FAIL"]);
}
