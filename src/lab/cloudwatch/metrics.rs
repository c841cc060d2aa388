//! The numbers that were put, and what is made of them: bins, statistics and a little metric math.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use cel::{Context, Program, Value};
use regex::{Captures, Regex};

/// How long a number is kept.
const KEPT_MS: i64 = 3 * 3_600 * 1_000;

/// A metric: its namespace, its name, and its dimensions.
pub(super) type MetricKey = (String, String, BTreeMap<String, String>);

/// One number that was put.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Milliseconds since 1970.
    at: i64,
    value: f64,
    /// From when it is counted.
    counted_from: i64,
}

/// Numbers of all metrics.
#[derive(Debug, Default)]
pub(super) struct MetricStore {
    samples: BTreeMap<MetricKey, Vec<Sample>>,
    /// Metrics that have numbers of parts of minutes.
    fine: BTreeMap<MetricKey, bool>,
}

/// A number for each bin that has one, by the bin's beginning.
pub(super) type BinNumbers = BTreeMap<i64, f64>;

/// Which bins are wanted, in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct WantedBins {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) period: i64,
}

impl WantedBins {
    fn of(self, at: i64) -> Option<i64> {
        (at >= self.start && at < self.end).then(|| at - (at - self.start).rem_euclid(self.period.max(1)))
    }

    /// How many there are.
    pub(super) fn count(self) -> i64 {
        (self.end - self.start).max(0) / self.period.max(1) + 1
    }
}

impl MetricStore {
    /// Takes in a number. Every other one is counted `late` only: while a bin is new, its sum is too low.
    pub(super) fn put(&mut self, key: MetricKey, at: i64, value: f64, (late, fine): (Duration, bool)) {
        *self.fine.entry(key.clone()).or_default() |= fine;
        let samples = self.samples.entry(key).or_default();
        let late = i64::try_from(late.as_millis()).unwrap_or(i64::MAX);
        let late = if samples.len() % 2 == 1 { late } else { 0 };
        samples.push(Sample { at, value, counted_from: at.saturating_add(late) });
        if let Some(newest) = samples.iter().map(|sample| sample.at).max() {
            samples.retain(|sample| newest - sample.at <= KEPT_MS);
        }
    }

    /// A statistic of each bin. `None` when there is no such statistic here.
    pub(super) fn numbers(&self, key: &MetricKey, statistic: &str, wanted: WantedBins, now: i64) -> Option<BinNumbers> {
        let mut bins: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        // Metrics of ordinary resolution have no numbers of parts of minutes.
        let is_there = wanted.period >= 60_000 || self.fine.get(key).copied().unwrap_or(false);
        let samples =
            self.samples.get(key).into_iter().flatten().filter(|sample| is_there && sample.counted_from <= now);
        for sample in samples {
            if let Some(bin) = wanted.of(sample.at) {
                bins.entry(bin).or_default().push(sample.value);
            }
        }
        bins.into_iter()
            .map(|(bin, mut values)| Some((bin, self::statistic(statistic, &mut values)?)))
            .collect::<Option<_>>()
    }
}

/// Whether the statistic is one of those that the stand-in works out.
pub(super) fn is_statistic(name: &str) -> bool {
    statistic(name, &mut [1.0]).is_some()
}

fn statistic(name: &str, values: &mut [f64]) -> Option<f64> {
    #[allow(clippy::cast_precision_loss)] // counts
    let count = values.len() as f64;
    let sum: f64 = values.iter().sum();
    match name {
        "Sum" => Some(sum),
        "SampleCount" => Some(count),
        "Average" => Some(sum / count),
        "Minimum" => values.iter().copied().reduce(f64::min),
        "Maximum" => values.iter().copied().reduce(f64::max),
        other => {
            let share: f64 = other.strip_prefix('p')?.parse().ok().filter(|share| (0.0..=100.0).contains(share))?;
            values.sort_by(f64::total_cmp);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a place in the list
            let rank = (share / 100.0 * count).ceil().max(1.0) as usize;
            values.get(rank - 1).copied()
        }
    }
}

/// Whole numbers of an expression, which metric math computes with as with any other; names and fractions are left as
/// they are.
static TOKENS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[A-Za-z_][A-Za-z_0-9]*|[0-9]+\.[0-9]+|[0-9]+").ok());

/// Works out metric math: `+ - * /`, brackets and `FILL(metric, number)`. `None` when it is something else.
pub(super) fn math(expression: &str, of: &BTreeMap<String, BinNumbers>, wanted: WantedBins) -> Option<BinNumbers> {
    let is_whole = |token: &str| token.bytes().all(|byte| byte.is_ascii_digit());
    let text = TOKENS.as_ref()?.replace_all(expression, |token: &Captures<'_>| {
        let token = token.get(0).map_or("", |token| token.as_str());
        if is_whole(token) { format!("{token}.0") } else { token.to_owned() }
    });
    let program = Program::compile(&text).ok()?;
    let names = program.references();
    if names.variables().iter().any(|name| !of.contains_key(*name)) {
        return None;
    }
    let filled = expression.contains("FILL(");
    let begins: Vec<i64> =
        (0..wanted.count()).map(|at| wanted.start + at * wanted.period).filter(|at| *at < wanted.end).collect();
    let mut found = BinNumbers::new();
    for bin in begins {
        let mut context = Context::default();
        let fill = |value: Value, fill: f64| match value {
            Value::Float(number) => number,
            _ => fill,
        };
        context.add_function("FILL", fill).ok()?;
        // A bin without any number at all is filled only as long as the metrics are known.
        if !filled && !of.values().any(|numbers| numbers.contains_key(&bin)) {
            continue;
        }
        for (name, numbers) in of {
            let value = numbers.get(&bin).map_or(Value::Null, |number| Value::Float(*number));
            context.add_variable_from_value(name.as_str(), value);
        }
        if let Ok(Value::Float(number)) = program.execute(&context)
            && number.is_finite()
        {
            found.insert(bin, number);
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: WantedBins = WantedBins { start: 0, end: 180_000, period: 60_000 };

    #[test]
    fn a_bin_is_too_low_until_what_is_late_has_come() {
        let mut store = MetricStore::default();
        let key = ("N".to_owned(), "m".to_owned(), BTreeMap::new());
        for second in 0..60 {
            store.put(key.clone(), second * 1_000, 2.0, (Duration::from_secs(90), false));
        }
        let sum = |now| store.numbers(&key, "Sum", WANTED, now).unwrap()[&0];
        assert!((sum(60_000) - 60.0).abs() < 1e-9, "half of it is there");
        assert!((sum(150_000) - 120.0).abs() < 1e-9);
        let p95 = store.numbers(&key, "p95", WANTED, 150_000).unwrap()[&0];
        assert!((p95 - 2.0).abs() < 1e-9);
        assert!(store.numbers(&key, "tm99", WANTED, 150_000).is_none());
        let fine = WantedBins { period: 10_000, ..WANTED };
        assert!(store.numbers(&key, "Sum", fine, 150_000).unwrap().is_empty(), "not of high resolution");
    }

    #[test]
    fn metric_math_skips_bins_without_numbers_and_fills_where_it_is_told_to() {
        let numbers = |pairs: &[(i64, f64)]| pairs.iter().copied().collect::<BinNumbers>();
        let of = BTreeMap::from([
            ("errors".to_owned(), numbers(&[(0, 5.0)])),
            ("requests".to_owned(), numbers(&[(0, 50.0), (60_000, 10.0)])),
        ]);
        let math = |expression: &str| super::math(expression, &of, WANTED);
        assert_eq!(math("100 * errors / requests"), Some(numbers(&[(0, 10.0)])));
        assert_eq!(math("100 * FILL(errors, 0) / requests"), Some(numbers(&[(0, 10.0), (60_000, 0.0)])));
        assert_eq!(math("(errors + 1.5) * 2"), Some(numbers(&[(0, 13.0)])));
        assert_eq!(math("errors / others"), None, "no such metric");
        assert_eq!(math("errors +"), None);
    }
}
