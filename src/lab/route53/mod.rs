//! Route 53 on this machine: its REST API in XML, with the rules, refusals, limits and delays of the real service, and the
//! part of the Security Token Service that says who asks.
//!
//! Changes are PENDING for a while and are published when they become INSYNC, not before.

mod xml;
mod zone;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::http::{self, Reply};
use xml::XmlText;
use zone::{ApiChange, ApiError, ApiRecordSet, ApiZone, api_name};

/// Name space of the API's documents.
const SPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";
/// What every path of the API begins with.
const VERSION: &str = "/2013-04-01/";
/// Most record sets on a page.
const LARGEST_PAGE: usize = 300;
/// Requests of an account: how many at once, and how many a second.
const REQUESTS: (f64, f64) = (50.0, 10.0);
/// Changes of record sets of an account: how many at once, and how many a second.
const CHANGES: (f64, f64) = (1_500.0, 100.0);

/// How the stand-in is set up.
#[derive(Debug, Clone)]
pub struct Route53Options {
    /// The account that everything belongs to.
    pub account: String,
    /// The id of the only access key that is known.
    pub key_id: String,
    /// How long a change is PENDING.
    pub propagation: Duration,
    /// How long a zone refuses another change after one.
    pub applying: Duration,
}

impl Default for Route53Options {
    fn default() -> Self {
        Self {
            account: "123456789012".to_owned(),
            key_id: "AKIALAB".to_owned(),
            propagation: Duration::from_secs(8),
            applying: Duration::from_millis(150),
        }
    }
}

/// What goes wrong with the next request that changes record sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route53Fault {
    /// The change is made, and the connection breaks before the answer.
    DropAfterApply,
    /// The connection breaks before the change is made.
    DropBefore,
    /// HTTP 500, and the change is not made.
    InternalError,
    /// The answer comes so much later.
    Late(Duration),
    /// Somebody else changes the TTL of what is to be deleted a moment before the batch is carried out.
    Overtaken,
    /// The credentials have ended.
    ExpiredToken,
    /// An earlier change of the zone is still being applied.
    PriorRequest,
    /// Too many requests of the account.
    Throttled,
}

/// What name servers are to answer for a name and type from now on: a weight, a TTL and values for each record set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The name, with the last dot.
    pub name: String,
    /// The record type.
    pub record_type: String,
    /// The record sets; none when there is nothing any more.
    pub sets: Vec<(u32, u32, Vec<String>)>,
}

type Publish = dyn Fn(&Publication) + Send + Sync;

/// The service.
pub struct Route53 {
    options: Route53Options,
    state: Mutex<State>,
    publish: Box<Publish>,
}

#[derive(Default)]
struct State {
    zones: BTreeMap<String, ApiZone>,
    /// Until when a zone refuses another change.
    applying: BTreeMap<String, Instant>,
    /// Whether each change is published.
    changes: BTreeMap<String, bool>,
    faults: VecDeque<Route53Fault>,
    /// Requests that wanted to change record sets.
    posts: u64,
    requests: Option<Bucket>,
    throughput: Option<Bucket>,
}

/// A bucket of tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// Takes so many, if they are there.
    pub(super) fn take(bucket: &mut Option<Self>, now: Instant, cost: f64, (most, refill): (f64, f64)) -> bool {
        let old = bucket.unwrap_or(Self { tokens: most, at: now });
        let tokens = (old.tokens + now.duration_since(old.at).as_secs_f64() * refill).min(most);
        let enough = tokens >= cost;
        *bucket = Some(Self { tokens: if enough { tokens - cost } else { tokens }, at: now });
        enough
    }
}

/// How an answer ends.
enum End {
    Answer(String),
    Refused(ApiError),
    /// The connection breaks.
    Broken,
}

impl From<ApiError> for End {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl Route53 {
    /// A service without zones. `publish` is told what name servers are to answer.
    pub fn new(options: Route53Options, publish: impl Fn(&Publication) + Send + Sync + 'static) -> Self {
        Self { options, state: Mutex::default(), publish: Box::new(publish) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a hosted zone.
    pub fn add_zone(&self, id: &str, name: &str, private: bool) {
        self.lock().zones.insert(id.to_owned(), ApiZone::new(id, name, private));
    }

    /// Puts a simple record set into a zone, as somebody else would who asks nobody; without values it is taken away. Nothing is
    /// published.
    pub fn put(&self, zone: &str, name: &str, record_type: &str, ttl: u32, values: &[&str]) {
        self.put_set(zone, (name, record_type, None), ttl, values);
    }

    /// The same with one of several weighted record sets.
    pub fn put_weighted(&self, zone: &str, (name, record_type): (&str, &str), (id, weight): (&str, u8), value: &str) {
        self.put_set(zone, (name, record_type, Some((id, weight))), 60, &[value]);
    }

    fn put_set(&self, zone: &str, (name, of, member): (&str, &str, Option<(&str, u8)>), ttl: u32, values: &[&str]) {
        let set = ApiRecordSet {
            name: api_name(name),
            of: of.to_owned(),
            ttl: Some(i64::from(ttl)),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            set_id: member.map(|(id, _)| id.to_owned()),
            weight: member.map(|(_, weight)| i64::from(weight)),
            ..ApiRecordSet::default()
        };
        if let Some(zone) = self.lock().zones.get_mut(zone) {
            if values.is_empty() {
                zone.take_away(&set);
            } else {
                zone.put(set);
            }
        }
    }

    /// The record sets of that name and type, each in one line: `60 192.0.2.1`.
    pub fn lines(&self, zone: &str, name: &str, record_type: &str) -> Vec<String> {
        let state = self.lock();
        let sets = state.zones.get(zone).map(|zone| zone.of(name, record_type)).unwrap_or_default();
        let line = |set: &&ApiRecordSet| {
            let member = set.set_id.as_ref().map_or_else(String::new, |id| format!("{id} "));
            let weight = set.weight.map_or_else(String::new, |weight| format!("{weight} "));
            let ttl = set.ttl.map_or_else(|| "alias".to_owned(), |ttl| ttl.to_string());
            let target = set.alias.as_ref().map(|(_, name, _)| name.clone());
            let values = target.unwrap_or_else(|| set.values.join(" "));
            format!("{member}{weight}{ttl} {values}")
        };
        sets.iter().map(line).collect()
    }

    /// Lets the next request that changes record sets go wrong. Several are taken one after the other.
    pub fn goes_wrong(&self, fault: Route53Fault) {
        self.lock().faults.push_back(fault);
    }

    /// How many requests wanted to change record sets so far.
    pub fn posts(&self) -> u64 {
        self.lock().posts
    }

    /// Serves for ever.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        http::serve_or_break(listener, move |request| {
            let service = Arc::clone(&self);
            async move { service.answer(request).await }
        })
        .await;
    }

    /// Answers a request; the connection breaks where there is no answer.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Option<Reply> {
        let id = format!("{:032x}", rand::random::<u128>());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let query: BTreeMap<String, String> = request.uri().query().map(parameters).unwrap_or_default();
        let known = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .map(|value| value.contains(&format!("Credential={}/", self.options.key_id)));
        let body = http::body(request).await.unwrap_or_default();
        let body = String::from_utf8_lossy(&body).into_owned();
        let end = match known {
            None => End::Refused(ApiError {
                status: 403,
                ..ApiError::new("MissingAuthenticationToken", "Missing Authentication Token")
            }),
            Some(false) => {
                let message = "The security token included in the request is invalid.";
                End::Refused(ApiError { status: 403, ..ApiError::new("InvalidClientTokenId", message) })
            }
            Some(true) if path == "/" => self.token_service(&parameters(&body)),
            Some(true) => self.call(&method, &path, &query, &body).await.unwrap_or_else(|end| end),
        };
        let (status, document) = match end {
            End::Answer(document) => (StatusCode::OK, document),
            End::Refused(error) => {
                let mut document = XmlText::default();
                document.element("Error", |inside| {
                    inside.text("Type", "Sender").text("Code", error.code).text("Message", &error.message);
                });
                document.text("RequestId", &id);
                let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
                (status, document.document("ErrorResponse", SPACE))
            }
            End::Broken => return None,
        };
        let mut reply = http::reply(status, "text/xml", document);
        if let Ok(id) = HeaderValue::from_str(&id) {
            reply.headers_mut().insert(HeaderName::from_static("x-amzn-requestid"), id);
        }
        Some(reply)
    }

    fn token_service(&self, form: &BTreeMap<String, String>) -> End {
        if form.get("Action").map(String::as_str) != Some("GetCallerIdentity") {
            return ApiError::new("InvalidAction", "Could not find operation").into();
        }
        let account = &self.options.account;
        let mut document = XmlText::default();
        document.element("GetCallerIdentityResult", |result| {
            result
                .text("Arn", format!("arn:aws:iam::{account}:user/lab"))
                .text("UserId", "AIDALAB")
                .text("Account", account);
        });
        End::Answer(document.document("GetCallerIdentityResponse", "https://sts.amazonaws.com/doc/2011-06-15/"))
    }

    async fn call(
        self: &Arc<Self>,
        method: &Method,
        path: &str,
        query: &BTreeMap<String, String>,
        body: &str,
    ) -> Result<End, End> {
        if !Bucket::take(&mut self.lock().requests, Instant::now(), 1.0, REQUESTS) {
            return Err(throttled().into());
        }
        let parts: Vec<&str> =
            path.strip_prefix(VERSION).unwrap_or_default().split('/').filter(|part| !part.is_empty()).collect();
        match (method, parts.as_slice()) {
            (&Method::GET, ["hostedzone", id]) => Ok(self.zone(id)?),
            (&Method::GET, ["hostedzone", id, "rrset"]) => Ok(self.list(id, query)?),
            (&Method::POST, ["hostedzone", id, "rrset"]) => self.change(id, body).await,
            (&Method::GET, ["change", id]) => Ok(self.state_of(id)?),
            _ => Err(ApiError::missing("InvalidAction", format!("There is no {method} {path}")).into()),
        }
    }

    fn zone(&self, id: &str) -> Result<End, ApiError> {
        let state = self.lock();
        let zone = state.zones.get(id).ok_or_else(|| no_zone(id))?;
        let mut document = XmlText::default();
        document.element("HostedZone", |inside| {
            inside
                .text("Id", format!("/hostedzone/{id}"))
                .text("Name", &zone.name)
                .text("CallerReference", "lab")
                .element("Config", |config| {
                    config.text("PrivateZone", zone.private);
                })
                .text("ResourceRecordSetCount", zone.from(None, None, None).count());
        });
        if !zone.private {
            document.element("DelegationSet", |set| {
                set.element("NameServers", |servers| {
                    servers.text("NameServer", "ns-1.awsdns-01.com").text("NameServer", "ns-2.awsdns-02.net");
                });
            });
        }
        Ok(End::Answer(document.document("GetHostedZoneResponse", SPACE)))
    }

    fn list(&self, id: &str, query: &BTreeMap<String, String>) -> Result<End, ApiError> {
        let state = self.lock();
        let zone = state.zones.get(id).ok_or_else(|| no_zone(id))?;
        let asked = |name: &str| query.get(name).map(String::as_str);
        if asked("type").is_some() && asked("name").is_none() {
            return Err(ApiError::new("InvalidInput", "Invalid request: a type needs a name"));
        }
        let most = asked("maxitems").and_then(|text| text.parse().ok()).unwrap_or(LARGEST_PAGE).clamp(1, LARGEST_PAGE);
        let mut sets = zone.from(asked("name"), asked("type"), asked("identifier")).peekable();
        let mut document = XmlText::default();
        document.element("ResourceRecordSets", |list| {
            for set in sets.by_ref().take(most) {
                list.element("ResourceRecordSet", |inside| written(set, inside));
            }
        });
        let next = sets.peek();
        document.text("IsTruncated", next.is_some());
        if let Some(next) = next {
            document.text("NextRecordName", &next.name).text("NextRecordType", &next.of);
            document.some("NextRecordIdentifier", next.set_id.as_ref());
        }
        document.text("MaxItems", most);
        Ok(End::Answer(document.document("ListResourceRecordSetsResponse", SPACE)))
    }

    async fn change(self: &Arc<Self>, id: &str, body: &str) -> Result<End, End> {
        let fault = {
            let mut state = self.lock();
            state.posts += 1;
            state.faults.pop_front()
        };
        match fault {
            Some(Route53Fault::DropBefore) => return Err(End::Broken),
            Some(Route53Fault::InternalError) => {
                let message = "We encountered an internal error. Please try again.";
                return Err(ApiError { status: 500, ..ApiError::new("InternalFailure", message) }.into());
            }
            Some(Route53Fault::ExpiredToken) => {
                let message = "The security token included in the request is expired";
                return Err(ApiError { status: 403, ..ApiError::new("ExpiredToken", message) }.into());
            }
            Some(Route53Fault::PriorRequest) => return Err(still_applying().into()),
            Some(Route53Fault::Throttled) => return Err(throttled().into()),
            _ => {}
        }
        let change = self.apply(id, body, fault == Some(Route53Fault::Overtaken))?;
        match fault {
            Some(Route53Fault::DropAfterApply) => return Err(End::Broken),
            Some(Route53Fault::Late(by)) => tokio::time::sleep(by).await,
            _ => {}
        }
        let mut document = XmlText::default();
        document.element("ChangeInfo", |info| info_of(info, &change, false));
        Ok(End::Answer(document.document("ChangeResourceRecordSetsResponse", SPACE)))
    }

    /// Carries out a batch and lets it be published later. Zones come before batches: whether a zone exists is told first.
    fn apply(self: &Arc<Self>, id: &str, body: &str, overtaken: bool) -> Result<String, ApiError> {
        let now = Instant::now();
        let mut state = self.lock();
        if !state.zones.contains_key(id) {
            return Err(no_zone(id));
        }
        let malformed = "ChangeBatch is not valid, expected ChangeResourceRecordSetsRequest";
        let request = xml::parse(body).ok_or_else(|| ApiError::new("MalformedInput", malformed))?;
        let batch = zone::changes(&request)?;
        let cost = batch.iter().map(|change| f64::from(change.action.cost())).sum();
        if !Bucket::take(&mut state.throughput, now, cost, CHANGES) {
            return Err(throttled());
        }
        if state.applying.get(id).is_some_and(|until| *until > now) {
            return Err(still_applying());
        }
        let zone = state.zones.get_mut(id).ok_or_else(|| no_zone(id))?;
        if let Some(first) = batch.first().filter(|_| overtaken) {
            zone.put(ApiRecordSet { ttl: first.set.ttl.map(|ttl| ttl + 1), ..first.set.clone() });
        }
        zone.apply(&batch)?;
        let change = format!("C{:013X}", rand::random::<u64>() >> 12);
        state.applying.insert(id.to_owned(), now + self.options.applying);
        state.changes.insert(change.clone(), false);
        drop(state);
        self.publish_later(id.to_owned(), change.clone(), batch);
        Ok(change)
    }

    fn publish_later(self: &Arc<Self>, id: String, change: String, batch: Vec<ApiChange>) {
        let service = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(service.options.propagation).await;
            let mut records: Vec<(String, String)> =
                batch.into_iter().map(|change| (change.set.name, change.set.of)).collect();
            records.sort();
            records.dedup();
            let mut state = service.lock();
            for (name, of) in records {
                if let Some(publication) = state.zones.get(&id).map(|zone| zone.publication(&name, &of)) {
                    (service.publish)(&publication);
                }
            }
            state.changes.insert(change, true);
        });
    }

    fn state_of(&self, id: &str) -> Result<End, ApiError> {
        let state = self.lock();
        let published = state.changes.get(id).copied();
        let published = published
            .ok_or_else(|| ApiError::missing("NoSuchChange", format!("Could not find resource with ID: {id}")))?;
        let mut document = XmlText::default();
        document.element("ChangeInfo", |info| info_of(info, id, published));
        Ok(End::Answer(document.document("GetChangeResponse", SPACE)))
    }
}

impl ApiZone {
    fn publication(&self, name: &str, of: &str) -> Publication {
        let served = |set: &&ApiRecordSet| {
            // An alias is answered with what its target has, where that is in the same zone.
            let target = set.alias.as_ref().and_then(|(_, target, _)| self.of(target, of).into_iter().next());
            let answers = target.unwrap_or(set);
            let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
            (number(set.weight).unwrap_or(1), number(answers.ttl).unwrap_or(0), answers.values.clone())
        };
        let sets = self.of(name, of);
        let primary: Vec<&ApiRecordSet> =
            sets.iter().copied().filter(|set| set.failover.as_deref() != Some("SECONDARY")).collect();
        Publication {
            name: name.to_owned(),
            record_type: of.to_owned(),
            sets: primary.iter().map(served).filter(|(.., values)| !values.is_empty()).collect(),
        }
    }
}

fn no_zone(id: &str) -> ApiError {
    ApiError::missing("NoSuchHostedZone", format!("No hosted zone found with ID: {id}"))
}

fn throttled() -> ApiError {
    ApiError::new("Throttling", "Rate exceeded")
}

fn still_applying() -> ApiError {
    let message = "The request was rejected because Route 53 was still processing a prior request.";
    ApiError::new("PriorRequestNotComplete", message)
}

fn info_of(info: &mut XmlText, change: &str, published: bool) {
    info.text("Id", format!("/change/{change}"))
        .text("Status", if published { "INSYNC" } else { "PENDING" })
        .text("SubmittedAt", jiff::Timestamp::now());
}

fn written(set: &ApiRecordSet, inside: &mut XmlText) {
    inside.text("Name", &set.name).text("Type", &set.of);
    inside.some("SetIdentifier", set.set_id.as_ref()).some("Weight", set.weight);
    inside.some("Failover", set.failover.as_ref()).some("MultiValueAnswer", set.multivalue).some("TTL", set.ttl);
    if !set.values.is_empty() {
        inside.element("ResourceRecords", |records| {
            for value in &set.values {
                records.element("ResourceRecord", |record| {
                    record.text("Value", value);
                });
            }
        });
    }
    if let Some((zone, name, health)) = &set.alias {
        inside.element("AliasTarget", |alias| {
            alias.text("HostedZoneId", zone).text("DNSName", name).text("EvaluateTargetHealth", health);
        });
    }
    inside.some("HealthCheckId", set.health_check.as_ref());
}

/// The parameters of a query or of a form.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let plain = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (plain(name), plain(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_so_many_a_second() {
        let (mut bucket, start) = (None, Instant::now());
        let taken =
            |bucket: &mut Option<Bucket>, at| (0..100).filter(|_| Bucket::take(bucket, at, 1.0, REQUESTS)).count();
        assert_eq!(taken(&mut bucket, start), 50);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(2)), 20);
        assert_eq!(taken(&mut bucket, start + Duration::from_mins(1)), 50);
    }
}
