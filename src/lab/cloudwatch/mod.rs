//! CloudWatch on this machine: its API as RPC v2 CBOR, with the rules, refusals, limits and delays of the real service.
//!
//! Numbers come by `PutMetricData`. While a bin is new its sum is too low, as with the real service.

mod alarms;
mod asked;
mod cbor;
mod metrics;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ciborium::Value;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::time::Instant;

use super::http::{self, Reply};
use super::route53::Bucket;
pub use alarms::LabAlarm;
use asked::{MetricDataCall, Query, What, dimensions};
use metrics::{BinNumbers, MetricStore};

/// What the path of every call begins with.
pub(super) const CALLS: &str = "/service/GraniteServiceVersion20100801/operation/";
/// Largest body of a call, bytes.
const LARGEST: usize = 1024 * 1024;
/// Calls of `GetMetricData` of an account and region: how many at once, and how many a second.
const GETS: (f64, f64) = (50.0, 50.0);
/// Numbers may be put that are at most so old, and so far ahead.
const OLDEST_MS: i64 = 14 * 86_400 * 1_000;
const AHEAD_MS: i64 = 2 * 3_600 * 1_000;

/// How the stand-in is set up.
#[derive(Debug, Clone)]
pub struct CloudWatchOptions {
    /// The id of the only access key that is known.
    pub key_id: String,
    /// How late every other number is.
    pub late: Duration,
    /// Most numbers on a page of an answer.
    pub page: usize,
}

impl Default for CloudWatchOptions {
    fn default() -> Self {
        Self { key_id: "AKIALAB".to_owned(), late: Duration::ZERO, page: 100_800 }
    }
}

/// What goes wrong with the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudWatchFault {
    /// The call is carried out, and the connection breaks before the answer.
    DropAfterApply,
    /// The connection breaks before the call is carried out.
    DropBefore,
    /// HTTP 500, and the call is not carried out.
    InternalError,
    /// Too many calls of the account.
    Throttled,
    /// The credentials lack the right.
    AccessDenied,
    /// The credentials have ended.
    ExpiredToken,
    /// The answer is no CBOR.
    Garbled,
}

/// What the service says of a metric beside its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricTrouble {
    /// Not all of its numbers are there, on the last page too.
    PartialData,
    /// It could not be read.
    InternalError,
    /// The credentials may not read it.
    Forbidden,
}

/// The service.
pub struct CloudWatch {
    options: CloudWatchOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    store: MetricStore,
    troubles: BTreeMap<String, MetricTrouble>,
    faults: VecDeque<CloudWatchFault>,
    gets: u64,
    alarms: BTreeMap<String, LabAlarm>,
    switches: u64,
    switch_faults: VecDeque<CloudWatchFault>,
    bucket: Option<Bucket>,
}

/// Why a call is refused.
struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refused {
    fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    fn value(message: impl Into<String>) -> Self {
        Self::invalid("InvalidParameterValue", message)
    }
}

impl CloudWatch {
    /// A service without numbers.
    pub fn new(options: CloudWatchOptions) -> Self {
        Self { options, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a number of `ago` before now, as somebody else would. `fine` is of high resolution.
    pub fn put(
        &self,
        namespace: &str,
        name: &str,
        dimensions: &[(&str, &str)],
        (ago, value): (Duration, f64),
        fine: bool,
    ) {
        let dimensions = dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        let key = (namespace.to_owned(), name.to_owned(), dimensions);
        self.lock().store.put(key, cbor::now().saturating_sub(ago), value, (self.options.late, fine));
    }

    /// Lets the next call go wrong. Several are taken one after the other.
    pub fn goes_wrong(&self, fault: CloudWatchFault) {
        self.lock().faults.push_back(fault);
    }

    /// Says this of the metric of that name from now on; nothing more with `None`.
    pub fn says(&self, metric: &str, trouble: Option<MetricTrouble>) {
        let mut state = self.lock();
        match trouble {
            Some(trouble) => state.troubles.insert(metric.to_owned(), trouble),
            None => state.troubles.remove(metric),
        };
    }

    /// How many calls asked for numbers so far.
    pub fn gets(&self) -> u64 {
        self.lock().gets
    }

    /// Adds an alarm, or changes it as somebody else would: whether its actions are on, and its state.
    pub fn put_alarm(&self, name: &str, alarm: LabAlarm) {
        self.lock().alarms.insert(name.to_owned(), alarm);
    }

    /// An alarm as it is now.
    pub fn alarm(&self, name: &str) -> Option<LabAlarm> {
        self.lock().alarms.get(name).cloned()
    }

    /// Takes an alarm away.
    pub fn remove_alarm(&self, name: &str) {
        self.lock().alarms.remove(name);
    }

    /// How many calls wanted to change alarms so far.
    pub fn switches(&self) -> u64 {
        self.lock().switches
    }

    /// Lets the next call that changes alarms go wrong. Several are taken one after the other.
    pub fn switching_goes_wrong(&self, fault: CloudWatchFault) {
        self.lock().switch_faults.push_back(fault);
    }

    /// Answers a call; the connection breaks where there is no answer.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Option<Reply> {
        let path = request.uri().path().to_owned();
        let operation = path.strip_prefix(CALLS).unwrap_or_default().to_owned();
        let header =
            |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let speaks = header(&HeaderName::from_static("smithy-protocol"));
        let content = header(&CONTENT_TYPE);
        let key = header(&AUTHORIZATION).map(|value| value.contains(&format!("Credential={}/", self.options.key_id)));
        let is_call = request.method() == Method::POST && speaks.as_deref() == Some("rpc-v2-cbor");
        let body = http::body_up_to(request, LARGEST).await.unwrap_or_default();
        let refused = |status, code, message: &str| Refused { status, code, message: message.to_owned() };
        let document = match key {
            _ if !is_call || content.as_deref() != Some("application/cbor") => {
                Err(Refused::invalid("UnknownOperationException", "The protocol of this service is rpc-v2-cbor"))
            }
            None => Err(refused(StatusCode::FORBIDDEN, "MissingAuthenticationToken", "Missing Authentication Token")),
            Some(false) => {
                let message = "The security token included in the request is invalid.";
                Err(refused(StatusCode::FORBIDDEN, "InvalidClientTokenId", message))
            }
            Some(true) => match cbor::read(&body) {
                Some(document) => Ok(document),
                None => Err(Refused::invalid("SerializationException", "The document is no CBOR")),
            },
        };
        let fault = document.is_ok().then(|| self.next_fault(&operation)).flatten();
        let answer = match (document, fault) {
            (Err(refused), _) => Err(refused),
            (_, Some(CloudWatchFault::DropBefore)) => return None,
            (_, Some(CloudWatchFault::InternalError)) => Err(refused(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalServiceFault",
                "The request processing has failed",
            )),
            (_, Some(CloudWatchFault::Throttled)) => Err(throttled()),
            (_, Some(CloudWatchFault::AccessDenied)) => Err(refused(
                StatusCode::FORBIDDEN,
                "AccessDenied",
                &format!(
                    "User: arn:aws:iam::123456789012:user/lab is not authorized to perform: cloudwatch:{operation}"
                ),
            )),
            (_, Some(CloudWatchFault::ExpiredToken)) => {
                let message = "The security token included in the request is expired";
                Err(refused(StatusCode::FORBIDDEN, "ExpiredToken", message))
            }
            (_, Some(CloudWatchFault::Garbled)) => return Some(reply(StatusCode::OK, b"<html>".to_vec())),
            (Ok(document), fault) => {
                let answer = self.call(&operation, &document);
                if fault == Some(CloudWatchFault::DropAfterApply) {
                    return None;
                }
                answer
            }
        };
        Some(match answer {
            Ok(document) => reply(StatusCode::OK, cbor::write(&document)),
            Err(Refused { status, code, message }) => {
                let of = format!("com.amazonaws.cloudwatch#{code}");
                reply(status, cbor::write(&cbor::map([("__type", of.into()), ("message", message.into())])))
            }
        })
    }

    /// What goes wrong with this call.
    fn next_fault(&self, operation: &str) -> Option<CloudWatchFault> {
        let mut state = self.lock();
        if alarms::SWITCHES.contains(&operation) {
            state.switches += 1;
            return state.switch_faults.pop_front();
        }
        state.faults.pop_front()
    }

    fn call(&self, operation: &str, document: &Value) -> Result<Value, Refused> {
        match operation {
            "GetMetricData" => self.get(document),
            "PutMetricData" => self.take(document),
            "DescribeAlarms" => alarms::describe(document, &self.lock().alarms),
            "DisableAlarmActions" => alarms::switch(document, &mut self.lock().alarms, false),
            "EnableAlarmActions" => alarms::switch(document, &mut self.lock().alarms, true),
            other => Err(Refused::invalid("UnknownOperationException", format!("There is no operation {other} here"))),
        }
    }

    /// `PutMetricData`.
    fn take(&self, document: &Value) -> Result<Value, Refused> {
        let namespace = cbor::text(document, "Namespace").filter(|name| !name.is_empty());
        let namespace = namespace
            .ok_or_else(|| Refused::invalid("MissingRequiredParameter", "The parameter Namespace is required."))?;
        if namespace.starts_with("AWS/") {
            return Err(Refused::value("The value AWS/ for parameter Namespace is invalid: it is reserved."));
        }
        let now = cbor::now();
        for datum in cbor::list(document, "MetricData") {
            let name = cbor::text(datum, "MetricName").unwrap_or_default();
            let at = cbor::time(datum, "Timestamp").unwrap_or(now);
            if at < now - OLDEST_MS || at > now + AHEAD_MS {
                return Err(Refused::value(format!(
                    "The parameter MetricData.{name}.Timestamp is too old or too far ahead."
                )));
            }
            let one = cbor::at(datum, "Value").and_then(cbor::number).into_iter();
            let values = one.chain(cbor::list(datum, "Values").iter().filter_map(cbor::number));
            let fine = cbor::int(datum, "StorageResolution") == Some(1);
            let key = (namespace.to_owned(), name.to_owned(), dimensions(datum)?);
            for value in values {
                if !value.is_finite() {
                    return Err(Refused::value("The value must be a number."));
                }
                self.lock().store.put(key.clone(), at, value, (self.options.late, fine));
            }
        }
        Ok(cbor::map([]))
    }

    /// `GetMetricData`.
    fn get(&self, document: &Value) -> Result<Value, Refused> {
        let mut state = self.lock();
        state.gets += 1;
        if !Bucket::take(&mut state.bucket, Instant::now(), 1.0, GETS) {
            return Err(throttled());
        }
        let asked = MetricDataCall::of(document)?;
        let now = cbor::now();
        let mut numbers: BTreeMap<String, BinNumbers> = BTreeMap::new();
        for query in &asked.queries {
            if let What::Metric(key, statistic, wanted) = &query.what {
                let found = state.store.numbers(key, statistic, *wanted, now);
                numbers.insert(query.id.clone(), found.unwrap_or_default());
            }
        }
        let wanted = asked.queries.iter().find_map(|query| match &query.what {
            What::Metric(.., wanted) => Some(*wanted),
            What::Math(_) => None,
        });
        // Expressions may rest on each other, in any order.
        let mut left: Vec<&Query> = asked.queries.iter().filter(|query| matches!(query.what, What::Math(_))).collect();
        while !left.is_empty() {
            let before = left.len();
            left.retain(|query| {
                let (What::Math(expression), Some(wanted)) = (&query.what, wanted) else { return true };
                let Some(found) = metrics::math(expression, &numbers, wanted) else { return true };
                numbers.insert(query.id.clone(), found);
                false
            });
            if left.len() == before {
                let what = left.first().map(|query| query.id.clone()).unwrap_or_default();
                return Err(Refused::invalid(
                    "ValidationError",
                    format!("Error in expression '{what}': Invalid syntax"),
                ));
            }
        }
        Ok(answer(&asked, &numbers, &state.troubles, self.options.page))
    }
}

fn throttled() -> Refused {
    Refused::invalid("Throttling", "Rate exceeded")
}

/// A page of an answer.
fn answer(
    asked: &MetricDataCall,
    numbers: &BTreeMap<String, BinNumbers>,
    troubles: &BTreeMap<String, MetricTrouble>,
    page: usize,
) -> Value {
    let (mut skip, mut left, mut more) = (asked.skip, page, false);
    let mut results = Vec::new();
    for query in asked.queries.iter().filter(|query| query.returned) {
        let trouble = troubles.get(query.metric());
        let mut pairs: Vec<(i64, f64)> =
            numbers.get(&query.id).into_iter().flatten().map(|(at, number)| (*at, *number)).collect();
        if matches!(trouble, Some(MetricTrouble::InternalError | MetricTrouble::Forbidden)) {
            pairs.clear();
        }
        if asked.newest_first {
            pairs.reverse();
        }
        let before = skip.min(pairs.len());
        skip -= before;
        let rest = pairs.len() - before;
        let shown: Vec<(i64, f64)> = pairs.into_iter().skip(before).take(left).collect();
        left -= shown.len();
        let is_cut = shown.len() < rest;
        more |= is_cut;
        let (status, said) = match trouble {
            Some(MetricTrouble::PartialData) => ("PartialData", Some("Not all datapoints could be read.")),
            Some(MetricTrouble::InternalError) => ("InternalError", None),
            Some(MetricTrouble::Forbidden) => ("Forbidden", Some("You are not authorized to read this metric.")),
            None if is_cut => ("PartialData", None),
            None => ("Complete", None),
        };
        let said = said.map(|said| cbor::map([("Code", status.into()), ("Value", said.into())]));
        results.push(cbor::map([
            ("Id", query.id.clone().into()),
            ("Label", query.label.clone().into()),
            ("Timestamps", Value::Array(shown.iter().map(|(at, _)| cbor::tagged_time(*at)).collect())),
            ("Values", Value::Array(shown.iter().map(|(_, number)| Value::Float(*number)).collect())),
            ("StatusCode", status.into()),
            ("Messages", Value::Array(said.into_iter().collect())),
        ]));
    }
    let mut document = vec![("MetricDataResults", Value::Array(results)), ("Messages", Value::Array(Vec::new()))];
    if more {
        document.push(("NextToken", (asked.skip + page).to_string().into()));
    }
    cbor::map(document)
}

fn reply(status: StatusCode, body: Vec<u8>) -> Reply {
    let mut reply = http::reply(status, "application/cbor", Bytes::from(body));
    let headers = reply.headers_mut();
    headers.insert(HeaderName::from_static("smithy-protocol"), HeaderValue::from_static("rpc-v2-cbor"));
    if let Ok(id) = HeaderValue::from_str(&format!("{:032x}", rand::random::<u128>())) {
        headers.insert(HeaderName::from_static("x-amzn-requestid"), id);
    }
    reply
}
