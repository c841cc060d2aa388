//! What a `cloudwatch` probe may ask for.

use super::known::{self, KnownNamespace, Numbers};
use super::metric::{CloudwatchMetric, CloudwatchMetrics};
use crate::core::bins::Bins;
use crate::core::kind::spec::Complaint;
use crate::core::nearest::nearest;
use crate::core::syntax::is_word;
use crate::core::time::Span;

/// Fields of a reading besides the metrics.
pub(super) const RESERVED: [&str; 4] = ["why", "bin", "behind_s", "account"];

/// Most metrics and expressions of one call (Amazon CloudWatch API reference, `GetMetricData`).
const MOST: usize = 500;
/// Most numbers of one answer (same place).
const MOST_NUMBERS: u64 = 100_800;
/// Most dimensions of a metric (API reference, `Metric`).
const MOST_DIMENSIONS: usize = 30;
/// Periods under a minute (API reference, `MetricStat`). Only metrics of high resolution have such.
const SHORT: [u64; 5] = [1, 5, 10, 20, 30];
/// How long bins of less than a minute are kept, and those of less than five minutes.
const SHORT_KEPT: Span = Span::secs(3 * 3_600);
const MINUTES_KEPT: Span = Span::secs(15 * 86_400);
/// Shortest interval that makes sense.
const OFTEN: Span = Span::secs(10);

const STATISTICS: [&str; 6] = ["SampleCount", "Average", "Sum", "Minimum", "Maximum", "IQM"];

/// Whether CloudWatch has such a statistic (Amazon CloudWatch user guide, "Statistics definitions").
fn is_statistic(text: &str) -> bool {
    let number = |text: &str| -> Option<f64> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        text.parse().ok().filter(|_| is_plain && text.starts_with(|first: char| first.is_ascii_digit()))
    };
    let share = |text: &str| number(text).is_some_and(|share| share <= 100.0);
    let bounds = |inside: &str| {
        let (from, to) = inside.split_once(':')?;
        let open = |bound: &str, is: &dyn Fn(&str) -> bool| bound.is_empty() || is(bound);
        let percent = |bound: &str| bound.strip_suffix('%').is_some_and(share);
        let plain = |bound: &str| number(bound).is_some();
        let is = |of: &dyn Fn(&str) -> bool| open(from, of) && open(to, of) && (from, to) != ("", "");
        Some((is(&percent), is(&plain)))
    };
    let range = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')').and_then(bounds);
    STATISTICS.contains(&text)
        || ["p", "tm", "tc", "ts", "wm"].iter().any(|name| text.strip_prefix(name).is_some_and(share))
        || ["TM", "TC", "TS", "WM"].iter().filter_map(|name| range(name)).any(|(percent, plain)| percent || plain)
        || range("PR").is_some_and(|(_, plain)| plain)
}

/// What cannot be asked for.
pub(super) fn faults(metrics: &CloudwatchMetrics, bins: Bins, region: Option<&str>) -> Vec<Complaint> {
    let mut found = Vec::new();
    if metrics.is_empty() {
        found.push(Complaint::key(&["metrics"], "nothing is asked for", "expected at least one metric"));
    }
    if metrics.len() > MOST {
        let message = format!("one call asks for at most {MOST} metrics and expressions");
        found.push(Complaint::key(&["metrics"], message, format!("there are {}", metrics.len())));
    }
    found.extend(times(metrics.len(), bins));
    for (name, metric) in metrics.iter() {
        found.extend(self::name(name));
        found.extend(self::metric(name, metric));
        let known = metric.namespace.as_deref().and_then(known::namespace);
        if let (Some(KnownNamespace { region: Some(only), name: service, .. }), Some(region)) = (known, region)
            && region != *only
        {
            let message = format!("metrics of {service} are in {only} alone, and the target is in {region}");
            let label = format!("expected a `cloudwatch` target in `{only}`");
            found.push(Complaint::value(&["metrics", name, "namespace"], message, label));
        }
    }
    found
}

/// A length of time of whole seconds as a runbook has it.
fn written(span: Span) -> String {
    let seconds = span.0.div_ceil(1_000);
    if seconds.is_multiple_of(60) { format!("{}m", seconds / 60) } else { format!("{seconds}s") }
}

fn times(metrics: usize, bins: Bins) -> Vec<Complaint> {
    let mut found = Vec::new();
    let Bins { period, delay, max_age } = &bins;
    let (seconds, rest) = (period.0 / 1_000, period.0 % 1_000);
    if rest != 0 || !(SHORT.contains(&seconds) || (seconds > 0 && seconds % 60 == 0)) || *period > Span::secs(86_400) {
        let label = "expected 1s, 5s, 10s, 20s, 30s or whole minutes, at most a day";
        found.push(Complaint::value(&["period"], "CloudWatch has no such period", label));
        return found;
    }
    let kept = if seconds < 60 { SHORT_KEPT } else { MINUTES_KEPT };
    if *max_age > kept {
        let message = format!("bins of {period} are kept for {kept}");
        found.push(Complaint::value(&["max_age"], message, format!("expected at most {kept}")));
    }
    let reached = bins.greatest_age(Span::ZERO);
    if *max_age <= reached {
        let message = format!(
            "no reading would stay good: its age counts from the beginning of a bin and reaches {reached} before the next one is told (`delay` {delay} and twice the `period` {period})"
        );
        let help = format!("say `max_age: {}` or more", written(Span(reached.0 + 60_000)));
        found.push(Complaint::value(&["max_age"], message, format!("expected more than {reached}")).help(help));
    }
    let numbers = (max_age.0 / period.0 + 2).saturating_mul(metrics as u64);
    if numbers > MOST_NUMBERS {
        let message = format!("one answer holds at most {MOST_NUMBERS} numbers, and this asks for {numbers}");
        found.push(Complaint::value(
            &["max_age"],
            message,
            "expected fewer metrics, a longer `period` or a shorter `max_age`",
        ));
    }
    found
}

fn name(name: &str) -> Option<Complaint> {
    let path = ["metrics", name];
    if RESERVED.contains(&name) {
        let message = format!("`{name}` is a field of every reading of this kind");
        return Some(Complaint::key(&path, message, "expected another name"));
    }
    let fits = is_word(name) && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.len() <= 255;
    let label = "expected a small letter, then letters, digits and `_`, and no reserved word";
    (!fits).then(|| Complaint::key(&path, "this cannot name a metric", label))
}

fn metric(name: &str, of: &CloudwatchMetric) -> Vec<Complaint> {
    let path = ["metrics", name];
    let at = |key: &'static str| ["metrics", name, key];
    let mut found = Vec::new();
    if let Some(expression) = &of.expression {
        let others = [
            ("namespace", of.namespace.is_some()),
            ("metric", of.metric.is_some()),
            ("statistic", of.statistic.is_some()),
        ];
        let others = others.into_iter().chain([("dimensions", !of.dimensions.is_empty())]);
        for (key, _) in others.filter(|(_, there)| *there) {
            let label = "expected `expression` alone, with the metrics that it computes with beside it under `metrics`";
            found.push(Complaint::key(&at(key), "an expression has no metric of its own", label));
        }
        if expression.trim().is_empty() || expression.chars().count() > 2_048 {
            let label = "expected metric math of 1 to 2,048 characters";
            found.push(Complaint::value(&at("expression"), "this is no expression", label));
        }
        if expression.to_ascii_uppercase().contains("SEARCH(") {
            let message = "`SEARCH` gives any number of series, and a field is one number";
            let label = "expected an expression that gives one series, such as `SUM(SEARCH(…))`";
            let is_reduced =
                ["SUM(", "AVG(", "MAX(", "MIN("].iter().any(|reduce| expression.to_ascii_uppercase().contains(reduce));
            if !is_reduced {
                found.push(Complaint::value(&at("expression"), message, label));
            }
        }
        return found;
    }
    let needed = [("namespace", &of.namespace), ("metric", &of.metric), ("statistic", &of.statistic)];
    let missing: Vec<String> =
        needed.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| format!("`{key}`")).collect();
    if !missing.is_empty() {
        let label = format!("expected {}, or an `expression`", missing.join(", "));
        found.push(Complaint::value(&path, "this is no whole metric", label));
    }
    for (key, value) in needed.iter().take(2) {
        let wrong = |text: &str| {
            text.is_empty() || text.chars().count() > 255 || (*key == "namespace" && text.starts_with(':'))
        };
        if value.as_deref().is_some_and(wrong) {
            let label = "expected 1 to 255 characters, the first of which is no `:`";
            found.push(Complaint::value(&at(key), format!("this cannot be a `{key}`"), label));
        }
    }
    if let Some(statistic) = of.statistic.as_deref().filter(|text| !is_statistic(text)) {
        let message = format!("CloudWatch has no statistic `{statistic}`");
        let label = "expected `Sum`, `Average`, `Minimum`, `Maximum`, `SampleCount`, `IQM`, or one such as `p95`, `tm99` or `PR(:0.5)`";
        let complaint = Complaint::value(&at("statistic"), message, label);
        let meant = nearest(statistic, STATISTICS).map(str::to_owned);
        // `P95`, `p(95)`, `95th`
        let digits: String = statistic.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
        let meant = Some(format!("p{digits}")).filter(|meant| !digits.is_empty() && is_statistic(meant)).or(meant);
        found.push(match meant {
            Some(meant) => complaint.help(format!("did you mean `{meant}`?")),
            None => complaint,
        });
    }
    if of.dimensions.len() > MOST_DIMENSIONS {
        let label = format!("expected at most {MOST_DIMENSIONS}");
        found.push(Complaint::key(&at("dimensions"), "a metric has not so many dimensions", label));
    }
    for (dimension, value) in &of.dimensions {
        let wrong = |text: &str, most: usize| text.trim().is_empty() || text.chars().count() > most;
        if wrong(dimension, 255) || dimension.starts_with(':') || wrong(value, 1_024) {
            let label = "expected a name of 1 to 255 characters and a value of 1 to 1,024";
            let path = ["metrics", name, "dimensions", dimension.as_str()];
            found.push(Complaint::value(&path, "this cannot be a dimension", label));
        }
    }
    found
}

/// What can be asked for and is hardly meant.
pub(super) fn warnings(metrics: &CloudwatchMetrics, bins: Bins, every: Span) -> Vec<Complaint> {
    let mut found = Vec::new();
    let Bins { period, max_age, .. } = &bins;
    let reached = bins.greatest_age(every);
    if every < OFTEN || Span(every.0.saturating_mul(4)) < *period {
        let message = format!("CloudWatch is asked every {every}, and has a new number every {period}");
        let label = "every metric asked for is charged";
        let sensible = Span((period.0 / 2).max(OFTEN.0));
        found.push(Complaint::value(&["every"], message, label).help(format!("say `every: {}`", written(sensible))));
    } else if reached >= *max_age && bins.greatest_age(Span::ZERO) < *max_age {
        let message = format!("readings go stale before the next one comes: their age reaches {reached}");
        let help = format!("say `max_age: {}`, or measure more often with `every`", written(Span(reached.0 + 30_000)));
        found.push(Complaint::value(&["every"], message, format!("`max_age` is {max_age}")).help(help));
    }
    if *period < Span::secs(60) {
        let message = format!(
            "only metrics of high resolution have numbers every {period}, and those of AWS's own services have none"
        );
        let label = "everything else stays unknown";
        found.push(Complaint::value(&["period"], message, label));
    }
    for (name, metric) in metrics.iter() {
        found.extend(ill_fitting(name, metric));
    }
    found
}

fn ill_fitting(name: &str, of: &CloudwatchMetric) -> Vec<Complaint> {
    let mut found = Vec::new();
    let (Some(namespace), Some(metric), Some(statistic)) = (&of.namespace, &of.metric, &of.statistic) else {
        return found;
    };
    let at = |key: &'static str| ["metrics", name, key];
    match (known::numbers(namespace, metric), statistic.as_str()) {
        (Some(Numbers::Events), other) if !matches!(other, "Sum" | "SampleCount") => {
            let message = format!("`{metric}` counts events: its `{other}` does not say how many there were");
            found.push(Complaint::value(&at("statistic"), message, "expected `Sum`"));
        }
        (Some(Numbers::Level), "Sum" | "SampleCount") => {
            let message =
                format!("`{metric}` says how much there is: its `{statistic}` grows with the number of samples");
            found.push(Complaint::value(
                &at("statistic"),
                message,
                "expected `Average`, `Maximum`, `Minimum` or a percentile",
            ));
        }
        _ => {}
    }
    if let Some(known) = known::namespace(namespace) {
        let has = |set: &&&[&str]| set.iter().all(|name| of.dimensions.contains_key(*name));
        if !known.dimensions.iter().any(|set| has(&set)) {
            let sets: Vec<String> = known.dimensions.iter().map(|set| format!("`{}`", set.join("` with `"))).collect();
            let message =
                format!("metrics of {namespace} are published with dimensions that are missing here, so there is none");
            let complaint = Complaint::value(&["metrics", name], message, format!("expected {}", sets.join(", or ")));
            found.push(
                complaint.help("`aws cloudwatch list-metrics --namespace …` lists every metric with its dimensions"),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_of_cloudwatch() {
        for good in [
            "Sum",
            "Average",
            "IQM",
            "p0",
            "p50",
            "p95",
            "p99.9",
            "p100",
            "tm99",
            "tc90",
            "ts1.5",
            "wm98",
            "PR(:300)",
            "PR(0.5:1)",
            "TM(10%:90%)",
            "TM(:95%)",
            "TS(80%:)",
            "TC(0.005:0.030)",
            "WM(150:1000)",
        ] {
            assert!(is_statistic(good), "{good}");
        }
        for bad in ["", "sum", "P95", "p", "p101", "p95th", "avg", "TM(10%:90)", "PR(10%:20%)", "tm99%", "p-1"] {
            assert!(!is_statistic(bad), "{bad}");
        }
    }
}
