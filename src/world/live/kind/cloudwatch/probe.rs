//! The `cloudwatch` probe: the newest bin of every metric that is complete and young enough.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StatusCode};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::core::kind::CloudwatchProbe;
use crate::core::kind::cloudwatch::CloudwatchMetric;
use crate::core::reading::Failure;
use crate::core::time::{At, Span};
use crate::core::value::Value;
use crate::world::live::kind::Measure;
use crate::world::live::net::aws::{AwsCaller, CallFailure, Tries};
use crate::world::live::{AsOf, Shared, foreign};

/// Most pages that are read of one answer.
const MOST_PAGES: usize = 20;
/// How long nobody is asked after too many requests of the account, first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_mins(2));

/// What the probe keeps from one look to the next.
#[derive(Default)]
pub(in crate::world::live) struct ToldBins {
    /// The beginning of the oldest bin that the newest reading tells of.
    oldest: Option<At>,
    /// Until when nobody is asked, how long that is, and what the refusal said.
    pause: Option<(Instant, Duration, String)>,
}

/// What is known of one metric.
enum Known {
    /// The beginning of the newest bin, and its number.
    Number(At, f64),
    /// Why there is none.
    Nothing(String),
}

impl Measure for CloudwatchProbe {
    type Memory = ToldBins;

    const DESCRIPTORS: u32 = 4;

    async fn measure(&self, shared: &Shared, _: Duration, memory: &mut ToldBins) -> Result<Value, Failure> {
        memory.oldest = None;
        if let Some((until, _, said)) = memory.pause.as_ref().filter(|(until, ..)| *until > Instant::now()) {
            let left = Span::secs(until.saturating_duration_since(Instant::now()).as_secs() + 1);
            return Err(Failure::new(format!("not asked for another {left}: {said}")));
        }
        let region = shared.cloudwatch(&self.target).map_err(Failure::new)?;
        let asker = shared.aws.asker(&self.target, &region.access(), &shared.secrets).await.map_err(Failure::new)?;
        // The bins are those of the day, whatever the clock of the run says.
        let begun = At(Timestamp::now().as_millisecond());
        let answer = match self.ask(&asker, begun).await {
            Ok(answer) => answer,
            Err(failure) => {
                let said = format!("{}: {}", region.address(), failure.words());
                if matches!(&failure, CallFailure::Refused(refusal) if refusal.is_too_early()) {
                    let long = memory.pause.as_ref().map_or(PAUSE.0, |(_, long, _)| (*long * 2).min(PAUSE.1));
                    memory.pause = Some((Instant::now() + long, long, said.clone()));
                }
                return Err(Failure::new(said));
            }
        };
        memory.pause = None;
        let known: BTreeMap<&String, Known> =
            self.metrics.iter().map(|(name, metric)| (name, self.known(metric, answer.get(name), begun))).collect();
        memory.oldest = known
            .values()
            .filter_map(|known| match known {
                Known::Number(bin, _) => Some(*bin),
                Known::Nothing(_) => None,
            })
            .min();
        let Some(oldest) = memory.oldest else {
            // Each for a reason of its own; one of them is enough for a line. Expressions are unknown for want of a metric.
            let is_math =
                |name: &str| self.metrics.iter().any(|(of, metric)| of == name && metric.expression.is_some());
            let why = known.into_iter().filter_map(|(name, known)| match known {
                Known::Nothing(why) => Some((is_math(name), format!("{name}: {why}"))),
                Known::Number(..) => None,
            });
            let why = why.min_by_key(|(is_math, _)| *is_math).map(|(_, why)| why);
            return Err(Failure::new(format!("{} tells nothing: {}", region.address(), why.unwrap_or_default())));
        };
        Ok(reading(&known, (oldest, begun), &asker))
    }

    fn as_of(&self, _: &Value, memory: &ToldBins) -> Result<Vec<AsOf>, Failure> {
        let oldest = memory.oldest.and_then(At::timestamp);
        Ok(oldest.map(AsOf::Moment).into_iter().collect())
    }
}

/// The numbers of one metric, page after page.
#[derive(Default)]
struct Series {
    /// The beginning of each bin with its number, in any order.
    numbers: Vec<(At, f64)>,
    status: Option<StatusCode>,
    messages: Vec<String>,
    /// Labels of the series that came under the name of the metric.
    labels: Vec<String>,
}

impl CloudwatchProbe {
    /// Asks for everything, page after page.
    async fn ask(&self, asker: &AwsCaller, begun: At) -> Result<BTreeMap<String, Series>, CallFailure> {
        let bins = self.bins_told();
        let end = bins.end(begun);
        // One bin more than is young enough, so that what is too old can be told from what is not there.
        let count = self.max_age.0.div_ceil(self.period.0.max(1)) + 1;
        let start = end.before(Span(count.saturating_mul(self.period.0)));
        let (client, dialer) = asker.cloudwatch(Tries::Again);
        let queries: Vec<MetricDataQuery> =
            self.metrics.iter().map(|(name, metric)| self.query(name, metric)).collect();
        let mut found: BTreeMap<String, Series> = BTreeMap::new();
        let mut next = None;
        for _ in 0..MOST_PAGES {
            let call = client
                .get_metric_data()
                .set_metric_data_queries(Some(queries.clone()))
                .start_time(DateTime::from_millis(start.0))
                .end_time(DateTime::from_millis(end.0))
                .scan_by(ScanBy::TimestampDescending)
                .set_next_token(next.take());
            let page = call.send().await.map_err(|err| CallFailure::of(&err, &dialer))?;
            for result in page.metric_data_results() {
                take_in(found.entry(result.id().unwrap_or_default().to_owned()).or_default(), result);
            }
            for message in page.messages() {
                let said = words(message.code(), message.value());
                for series in found.values_mut() {
                    series.messages.push(said.clone());
                }
            }
            next = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            if next.is_none() {
                return Ok(found);
            }
        }
        Err(CallFailure::Lost(format!("the answer has more than {MOST_PAGES} pages")))
    }

    fn query(&self, name: &str, metric: &CloudwatchMetric) -> MetricDataQuery {
        let period = i32::try_from(self.period.0 / 1_000).unwrap_or(i32::MAX);
        let query = MetricDataQuery::builder().id(name).return_data(true);
        if let Some(expression) = &metric.expression {
            return query.expression(expression).period(period).build();
        }
        let dimension = |(name, value): (&String, &String)| Dimension::builder().name(name).value(value).build();
        let of = Metric::builder()
            .set_namespace(metric.namespace.clone())
            .set_metric_name(metric.metric.clone())
            .set_dimensions(Some(metric.dimensions.iter().map(dimension).collect()));
        let stat = MetricStat::builder().metric(of.build()).period(period).set_stat(metric.statistic.clone());
        query.metric_stat(stat.build()).build()
    }

    /// What the answer says of a metric.
    fn known(&self, metric: &CloudwatchMetric, series: Option<&Series>, begun: At) -> Known {
        let Some(series) = series else { return Known::Nothing("the answer leaves it out".to_owned()) };
        let said = match series.messages.as_slice() {
            [] => String::new(),
            said => format!(" ({})", said.join("; ")),
        };
        match &series.status {
            Some(StatusCode::Complete) => {}
            Some(StatusCode::PartialData) => {
                return Known::Nothing(format!("PartialData: what CloudWatch has is not complete{said}"));
            }
            Some(StatusCode::InternalError) => {
                return Known::Nothing(format!("InternalError: CloudWatch could not read it{said}"));
            }
            Some(StatusCode::Forbidden) => {
                return Known::Nothing(format!("Forbidden: these credentials may not read it{said}"));
            }
            other => {
                let status =
                    other.as_ref().map_or_else(|| "no status".to_owned(), |of| foreign::brief(of.as_str(), 40));
                return Known::Nothing(format!("CloudWatch says {status} of it{said}"));
            }
        }
        if series.labels.len() > 1 {
            return Known::Nothing(format!("it gives several series: {}", series.labels.join(", ")));
        }
        let Some((bin, number)) = series.numbers.iter().copied().max_by_key(|(bin, _)| *bin) else {
            let hint = if metric.expression.is_some() {
                "a metric in it has none, and `FILL` says what that means"
            } else {
                "it may have nothing to count, other dimensions, or a longer period"
            };
            let reached = self.max_age;
            return Known::Nothing(format!("no data in the last {reached}: {hint}{said}"));
        };
        let age = begun.since(bin);
        if age > self.max_age {
            return Known::Nothing(format!(
                "the newest number is of a bin that began {age} before, and {} is the most",
                self.max_age
            ));
        }
        if !number.is_finite() {
            return Known::Nothing(format!("the newest number is {number}"));
        }
        Known::Number(bin, number)
    }
}

/// Takes in what a page says of a metric.
fn take_in(series: &mut Series, result: &MetricDataResult) {
    // A page before the last is never complete, so the last one counts.
    series.status = result.status_code().cloned();
    series.messages = result.messages().iter().map(|message| words(message.code(), message.value())).collect();
    let label = foreign::brief(result.label().unwrap_or_default(), 80);
    if !series.labels.contains(&label) {
        series.labels.push(label);
    }
    let numbers = result.timestamps().iter().zip(result.values());
    series.numbers.extend(numbers.filter_map(|(when, number)| Some((At(when.to_millis().ok()?), *number))));
}

/// What CloudWatch says beside a result.
fn words(code: Option<&str>, value: Option<&str>) -> String {
    let [code, value] = [code, value].map(|text| foreign::brief(text.unwrap_or_default(), 200));
    if value.is_empty() { code } else { format!("{code}: {value}") }
}

fn reading(known: &BTreeMap<&String, Known>, (oldest, begun): (At, At), asker: &AwsCaller) -> Value {
    let number = |of: &Known| match of {
        Known::Number(_, number) => Value::Float(*number),
        Known::Nothing(_) => Value::Null,
    };
    let why = |of: &Known| match of {
        Known::Number(..) => Value::Null,
        Known::Nothing(why) => why.clone().into(),
    };
    let bin = oldest.timestamp().map(|bin: Timestamp| bin.to_string());
    let own = [
        ("why".to_owned(), Value::map(known.iter().map(|(name, of)| ((*name).clone(), why(of))))),
        ("bin".to_owned(), bin.into()),
        ("behind_s".to_owned(), begun.since(oldest).as_secs_f64().into()),
        ("account".to_owned(), foreign::brief(&asker.identity.account, 40).into()),
    ];
    Value::map(known.iter().map(|(name, of)| ((*name).clone(), number(of))).chain(own))
}
