//! What `check` warns of in probes of CloudWatch and in silences.

use gonogo::runbook::{Options, load_str};

/// The warnings of a runbook with these metrics and settings of its probe, and with these steps, each as message and help.
fn warnings(metrics: &str, settings: &str, steps: &str) -> Vec<String> {
    let text = format!(
        "title: t\n\
         targets: {{ m: {{ cloudwatch: {{ region: eu-central-1 }} }} }}\n\
         probes: {{ p: {{ kind: cloudwatch, target: m, metrics: {{ a: {metrics} }}, {settings} }} }}\n\
         phases:\n  - title: p\n    steps:\n      \
         - {{ id: look, title: Look, gates: [{{ that: p.a < 1.0, hold: 10m }}], action: {{ manual: [x] }}, reversibility: free, expect: 1m }}\n\
         {steps}"
    );
    let loaded =
        load_str("r", text, &Options::default()).unwrap_or_else(|faults| panic!("{}", faults.render(false, 120)));
    let told = |warning: &gonogo::runbook::Diagnostic| {
        format!("{} | {}", warning.message, warning.help.clone().unwrap_or_default())
    };
    loaded.warnings.iter().map(told).collect()
}

const PLAIN: &str = "{ namespace: Shop, metric: Errors, statistic: Sum }";

fn elb(metric: &str, statistic: &str, dimensions: &str) -> String {
    format!(
        "{{ namespace: AWS/ApplicationELB, metric: {metric}, statistic: {statistic}, dimensions: {{ {dimensions} }} }}"
    )
}

#[test]
fn what_is_well_is_not_warned_of() {
    for (metric, settings) in [
        (PLAIN.to_owned(), "every: 30s"),
        (PLAIN.to_owned(), "every: 60s, max_age: 6m"),
        (PLAIN.to_owned(), "every: 2m, period: 5m, max_age: 15m"),
        (elb("RequestCount", "Sum", "LoadBalancer: app/x/1"), "every: 30s"),
        (elb("TargetResponseTime", "p95", "LoadBalancer: app/x/1, AvailabilityZone: a"), "every: 30s"),
        (elb("HealthyHostCount", "Minimum", "LoadBalancer: app/x/1, TargetGroup: targetgroup/x/1"), "every: 30s"),
    ] {
        assert_eq!(warnings(&metric, settings, ""), Vec::<String>::new(), "{metric} {settings}");
    }
}

#[test]
fn what_costs_without_sense_or_is_never_good_is_warned_of() {
    for (settings, words) in [
        // The interval of other probes is 1s.
        ("limit: 5s", "CloudWatch is asked every 1.0 s, and has a new number every 1:00 | say `every: 30s`"),
        ("every: 10s", "CloudWatch is asked every 10 s, and has a new number every 1:00 | say `every: 30s`"),
        (
            "every: 60s",
            "readings go stale before the next one comes: their age reaches 5:00 | say `max_age: 330s`, or measure more often with `every`",
        ),
        (
            "every: 10s, period: 10s",
            "only metrics of high resolution have numbers every 10 s, and those of AWS's own services have none | ",
        ),
    ] {
        let found = warnings(PLAIN, settings, "");
        assert_eq!(found, [words], "{settings}");
    }
}

#[test]
fn statistics_and_dimensions_that_do_not_fit_are_warned_of() {
    for (metric, words) in [
        (
            elb("RequestCount", "Average", "LoadBalancer: app/x/1"),
            "`RequestCount` counts events: its `Average` does not say how many there were",
        ),
        (elb("HTTPCode_Target_5XX_Count", "p99", "LoadBalancer: app/x/1"), "`HTTPCode_Target_5XX_Count` counts events"),
        (
            elb("TargetResponseTime", "Sum", "LoadBalancer: app/x/1"),
            "`TargetResponseTime` says how much there is: its `Sum` grows with the number of samples",
        ),
        (
            elb("RequestCount", "Sum", "TargetGroup: targetgroup/x/1"),
            "metrics of AWS/ApplicationELB are published with dimensions that are missing here",
        ),
    ] {
        let found = warnings(&metric, "every: 30s", "");
        assert!(found.len() == 1 && found[0].starts_with(words), "{metric}: {found:?}");
    }
}

#[test]
fn a_silence_that_nothing_ends_is_warned_of() {
    let silence = "      - { id: quiet, title: Q, action: { cloudwatch.silence: { target: m, alarms: [lag, load] } }, \
                   undo: { cloudwatch.silence: { target: m, alarms: [lag, load], end: true } }, reversibility: free, expect: 1s }\n";
    let wake = "      - { id: wake, title: W, action: { cloudwatch.silence: { target: m, alarms: [lag], end: true } }, reversibility: free, expect: 1s }\n";
    let found = warnings(PLAIN, "every: 30s", &format!("{silence}{wake}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("no step ends the silence of the alarm `load`, so the run cannot end as complete"),
        "{found:?}"
    );
    // One that comes before it ends nothing.
    let found = warnings(PLAIN, "every: 30s", &format!("{wake}{silence}"));
    assert_eq!(found.len(), 2, "{found:?}");
    let alone = silence.replace("undo: { cloudwatch.silence: { target: m, alarms: [lag, load], end: true } }, ", "");
    let found =
        warnings(PLAIN, "every: 30s", &format!("{alone}{wake}{}", wake.replace("lag", "load").replace("wake", "more")));
    assert_eq!(found, ["the way back of `quiet` forgets that alarms stay silent | add `undo:`, which ends it"]);
}
