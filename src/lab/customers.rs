//! The customers: a steady load of reads and writes that finds the shop through DNS and remembers what it suffered.
//!
//! What counts is what a customer *saw*. A request is tried again (a write with the same UUID) while the shop is
//! unreachable or answers 502, 503 or 504, for up to [`PATIENCE`]; it has *failed* when that runs out, or at once
//! on any other answer that is not a success. The wait is measured from the instant the customer meant to ask.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_net::runtime::TokioRuntimeProvider;
use hickory_proto::rr::{Name, RData, RecordType};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::{APP_NAME, LabError, LabSide, dns};

/// How long a customer tries before giving up on one request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between a customer's tries: "at once", without spinning on a refused connection.
const RETRY_INTERVAL: Duration = Duration::from_millis(25);
/// What `old_web` and `new_web` look back on.
const WINDOW: Duration = Duration::from_secs(5);

/// What the customers saw, as `GET /customers` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomersReport {
    /// Requests finished, well or badly, since the lab began.
    pub requests: u64,
    /// Orders the customers were told are saved, since the lab began.
    pub acknowledged: u64,
    /// Requests that ended badly, since the last reset.
    pub failed: u64,
    /// Longest wait for one request, milliseconds, since the last reset; one that still waits counts too.
    pub longest_pause_ms: u64,
    /// Tries that did not succeed but were followed by another, since the last reset.
    pub retries: u64,
    /// Answers from the old web service in the last 5 s.
    pub old_web: u64,
    /// Answers from the new web service in the last 5 s.
    pub new_web: u64,
    /// Milliseconds since the last reset, or since the lab began.
    pub since_ms: u64,
}

/// Everything the customers remember, shared with the control server.
pub(super) struct Memory {
    inner: Mutex<Inner>,
}

struct Inner {
    requests: u64,
    failed: u64,
    retries: u64,
    longest_pause: Duration,
    since: Instant,
    /// When each customer who waits at this moment began to.
    waiting: Vec<Option<Instant>>,
    answers: VecDeque<(Instant, LabSide)>,
    acknowledged: Vec<Uuid>,
    file: File,
}

impl Memory {
    /// Nothing yet; acknowledged UUIDs are appended to `file`, one per line.
    pub(super) fn new(customers: usize, file: &Path) -> Result<Self, LabError> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(file)
            .map_err(LabError::io(format!("cannot open {}", file.display())))?;
        Ok(Self {
            inner: Mutex::new(Inner {
                requests: 0,
                failed: 0,
                retries: 0,
                longest_pause: Duration::ZERO,
                since: Instant::now(),
                waiting: vec![None; customers],
                answers: VecDeque::new(),
                acknowledged: Vec::new(),
                file,
            }),
        })
    }

    /// The picture at this moment.
    pub(super) fn report(&self) -> CustomersReport {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.forget_answers(now);
        let still = inner.waiting.iter().flatten().map(|begun| now.duration_since(*begun)).max().unwrap_or_default();
        let count = |side| inner.answers.iter().filter(|(_, web)| *web == side).count() as u64;
        CustomersReport {
            requests: inner.requests,
            acknowledged: inner.acknowledged.len() as u64,
            failed: inner.failed,
            longest_pause_ms: milliseconds(inner.longest_pause.max(still)),
            retries: inner.retries,
            old_web: count(LabSide::Old),
            new_web: count(LabSide::New),
            since_ms: milliseconds(now.duration_since(inner.since)),
        }
    }

    /// Begins to count failures and pauses anew. Who waits now is not forgotten.
    pub(super) fn reset(&self) {
        let mut inner = self.lock();
        inner.failed = 0;
        inner.retries = 0;
        inner.longest_pause = Duration::ZERO;
        inner.since = Instant::now();
    }

    /// Every order that a customer was told is saved.
    pub(super) fn acknowledged(&self) -> Vec<Uuid> {
        self.lock().acknowledged.clone()
    }

    fn begin(&self, customer: usize, intended: Instant) {
        if let Some(slot) = self.lock().waiting.get_mut(customer) {
            *slot = Some(intended);
        }
    }

    fn retry(&self) {
        self.lock().retries += 1;
    }

    fn end(&self, customer: usize, intended: Instant, saved: Option<Uuid>, outcome: Outcome) {
        let now = Instant::now();
        let mut inner = self.lock();
        if let Some(slot) = inner.waiting.get_mut(customer) {
            *slot = None;
        }
        inner.requests += 1;
        inner.longest_pause = inner.longest_pause.max(now.duration_since(intended));
        match outcome {
            Outcome::Answered(web) => {
                inner.answers.push_back((now, web));
                inner.forget_answers(now);
                if let Some(id) = saved {
                    inner.acknowledged.push(id);
                    if let Err(error) = writeln!(inner.file, "{id}") {
                        tracing::error!(%error, "cannot note an acknowledged order");
                    }
                }
            }
            Outcome::Failed(reason) => {
                inner.failed += 1;
                drop(inner);
                tracing::warn!(customer, "a request failed: {reason}");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget_answers(&mut self, now: Instant) {
        while self.answers.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.answers.pop_front();
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How one request ended for its customer.
enum Outcome {
    Answered(LabSide),
    Failed(String),
}

/// Why one try did not succeed.
enum Setback {
    /// Worth another try.
    Transient(String),
    /// Not worth one.
    Final(String),
}

/// The load as a whole.
pub(super) struct Load {
    pub(super) requests_per_second: f64,
    pub(super) customers: usize,
    pub(super) resolvers: Vec<SocketAddr>,
    /// Where the web service listens that DNS calls by each address.
    pub(super) webs: BTreeMap<Ipv4Addr, SocketAddr>,
}

impl Load {
    /// Keeps up the load for ever.
    pub(super) async fn run(self, memory: Arc<Memory>) -> Result<(), LabError> {
        let name = Name::from_ascii(APP_NAME).map_err(|error| LabError::Start(error.to_string()))?;
        #[expect(clippy::cast_precision_loss, reason = "a handful of customers")]
        let interval = Duration::from_secs_f64(self.customers as f64 / self.requests_per_second);
        let provider = TokioRuntimeProvider::new();
        let resolvers = self.resolvers.iter().copied().cycle();
        let mut crowd = JoinSet::new();
        for (number, resolver) in (0..self.customers).zip(resolvers) {
            let customer = Customer {
                number,
                resolver,
                webs: self.webs.clone(),
                name: name.clone(),
                provider: provider.clone(),
                known: None,
                memory: Arc::clone(&memory),
            };
            // Spread over the interval, so that they do not all ask at once.
            let first = Instant::now() + interval.mul_f64(rand::random());
            crowd.spawn(customer.live(first, interval));
        }
        while crowd.join_next().await.is_some() {}
        Ok(())
    }
}

struct Customer {
    number: usize,
    resolver: SocketAddr,
    webs: BTreeMap<Ipv4Addr, SocketAddr>,
    name: Name,
    provider: TokioRuntimeProvider,
    /// The shop's address as DNS gave it, and until when that may be used.
    known: Option<(Ipv4Addr, Instant)>,
    memory: Arc<Memory>,
}

impl Customer {
    /// Asks again and again, reading and buying in turn. Somebody who waits does not ask for more meanwhile.
    async fn live(mut self, first: Instant, interval: Duration) {
        let mut tick = tokio::time::interval_at(first, interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        for turn in 0_u64.. {
            let intended = tick.tick().await;
            let order = (turn % 2 == 1).then(Uuid::new_v4);
            self.memory.begin(self.number, intended);
            let outcome = self.request(intended, turn, order).await;
            self.memory.end(self.number, intended, order, outcome);
        }
    }

    async fn request(&mut self, intended: Instant, turn: u64, order: Option<Uuid>) -> Outcome {
        let deadline = intended + PATIENCE;
        let mut reason = String::from("no answer");
        loop {
            match tokio::time::timeout_at(deadline, self.attempt(turn, order)).await {
                Ok(Ok(web)) => return Outcome::Answered(web),
                Ok(Err(Setback::Final(reason))) => return Outcome::Failed(reason),
                Ok(Err(Setback::Transient(why))) if Instant::now() + RETRY_INTERVAL < deadline => {
                    reason = why;
                }
                Ok(Err(Setback::Transient(why))) => return Outcome::Failed(why),
                Err(_) => {
                    return Outcome::Failed(format!("out of patience; before that: {reason}"));
                }
            }
            self.memory.retry();
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    /// One try on a fresh connection: a kept one would never notice that DNS moved.
    async fn attempt(&mut self, turn: u64, order: Option<Uuid>) -> Result<LabSide, Setback> {
        let address = self.resolve().await?;
        let transient = |what: &str, error: &dyn std::error::Error| Setback::Transient(format!("{what}: {error}"));
        let web = self.webs.get(&address).ok_or_else(|| Setback::Transient(format!("no web service at {address}")))?;
        let stream = TcpStream::connect(web).await.map_err(|error| transient("cannot connect", &error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| transient("no HTTP", &error))?;
        // Its errors come out of `send_request` too.
        tokio::spawn(connection);
        let response =
            sender.send_request(self.message(turn, order)?).await.map_err(|error| transient("no answer", &error))?;
        let status = response.status();
        let web = match response.headers().get("x-shop-web").map(hyper::header::HeaderValue::as_bytes) {
            Some(b"old") => Ok(LabSide::Old),
            Some(b"new") => Ok(LabSide::New),
            _ => Err(Setback::Final("an answer from neither web service".into())),
        };
        let body =
            response.into_body().collect().await.map_err(|error| transient("half an answer", &error))?.to_bytes();
        match status {
            StatusCode::OK if order.is_none() => web,
            StatusCode::CREATED if order.is_some() => web,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Err(Setback::Transient(format!("{status} {}", String::from_utf8_lossy(&body))))
            }
            _ => Err(Setback::Final(format!("{status} {}", String::from_utf8_lossy(&body)))),
        }
    }

    fn message(&self, turn: u64, order: Option<Uuid>) -> Result<Request<Full<Bytes>>, Setback> {
        let request = Request::builder().header(HOST, APP_NAME).header(CONNECTION, "close");
        let built = if let Some(id) = order {
            let body = serde_json::json!({ "id": id, "customer": 1 + self.number % 20, "product": 1 + turn % 12 });
            request
                .method(Method::POST)
                .uri("/orders")
                .header(CONTENT_TYPE, "application/json")
                .body(Full::from(body.to_string()))
        } else {
            let path = if turn.is_multiple_of(4) { "/" } else { "/orders/recent" };
            request.method(Method::GET).uri(path).body(Full::default())
        };
        built.map_err(|error| Setback::Final(error.to_string()))
    }

    /// The shop's address, remembered for as long as its TTL allows and not longer.
    async fn resolve(&mut self) -> Result<Ipv4Addr, Setback> {
        let now = Instant::now();
        if let Some((address, until)) = self.known
            && now < until
        {
            return Ok(address);
        }
        let response = dns::ask(&self.provider, self.resolver, self.name.clone(), RecordType::A, true)
            .await
            .map_err(|error| Setback::Transient(format!("cannot resolve: {error}")))?;
        let found = response.answers.iter().find_map(|record| match record.data {
            RData::A(address) => Some((address.0, record.ttl)),
            _ => None,
        });
        let (address, ttl) =
            found.ok_or_else(|| Setback::Transient(format!("no address: {}", response.metadata.response_code)))?;
        self.known = Some((address, now + Duration::from_secs(ttl.into())));
        Ok(address)
    }
}
