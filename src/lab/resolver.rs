//! A caching resolver: what stands between the authoritative server and the customers, and makes a DNS change take
//! its time. An honest one remembers answers, also negative ones, for no longer than their TTL says; the others are odd
//! as resolvers in the world are.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hickory_net::runtime::{Time, TokioRuntimeProvider};
use hickory_proto::op::{DnsResponse, Header, HeaderCounts, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{RData, Record, RrKey};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};

use crate::core::resolver_kind::{ResolverKind, STALE_TTL};

use super::dns::{ZoneAnswer, ask};

/// Answers remembered at most; beyond that all are forgotten. The lab has two names.
const CAPACITY: usize = 1000;

/// Option code of an extended DNS error (RFC 8914 section 2).
const EXTENDED_ERROR: u16 = 15;
/// Its code for an answer past its time (RFC 8914 section 4.4).
const STALE_ANSWER: u16 = 3;

/// What one cache remembers.
type Cache = Mutex<HashMap<RrKey, Remembered>>;

/// Forwards to one authoritative server.
pub(super) struct Resolver {
    upstream: SocketAddr,
    provider: TokioRuntimeProvider,
    kind: ResolverKind,
    caches: Vec<Cache>,
}

struct Remembered {
    since: Instant,
    /// For how many seconds it is remembered.
    ttl: u32,
    code: ResponseCode,
    answers: Vec<Record>,
    authorities: Vec<Record>,
}

impl Resolver {
    pub(super) fn new(upstream: SocketAddr, kind: ResolverKind) -> Self {
        let caches = (0..kind.caches()).map(|_| Cache::default()).collect();
        Self { upstream, provider: TokioRuntimeProvider::new(), kind, caches }
    }

    async fn resolve(&self, request: &Request, cache: &Cache) -> ZoneAnswer {
        let Ok(info) = request.request_info() else {
            return ZoneAnswer::code(ResponseCode::FormErr);
        };
        let (name, record_type) = (info.query.name(), info.query.query_type());
        let key = RrKey::new(name.clone(), record_type);
        if let Some(answer) = self.recall(cache, &key) {
            return answer;
        }
        // The age counts from the question: an answer cannot be younger than the moment it was asked for.
        let since = Instant::now();
        let Ok(response) = ask(&self.provider, self.upstream, name.into(), record_type, false).await else {
            return ZoneAnswer::resolved(ResponseCode::ServFail, Vec::new(), Vec::new());
        };
        let given = lifetime(&response);
        let records = |records: &[Record]| {
            let mut records = records.to_vec();
            for record in &mut records {
                record.ttl = self.kind.keeps(record.ttl);
            }
            records
        };
        let remembered = Remembered {
            since,
            ttl: if given > 0 { self.kind.keeps(given) } else { 0 },
            code: response.metadata.response_code,
            answers: records(&response.answers),
            authorities: records(&response.authorities),
        };
        let answer = remembered.answer(0);
        if remembered.ttl > 0 {
            let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            if cache.len() >= CAPACITY {
                cache.clear();
            }
            cache.insert(key, remembered);
        }
        answer
    }

    fn recall(&self, cache: &Cache, key: &RrKey) -> Option<ZoneAnswer> {
        let cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        let remembered = cache.get(key)?;
        let age = remembered.since.elapsed();
        // Rounded up, so that the time left is never overstated, not even by part of a second.
        let seconds =
            u32::try_from(age.as_secs()).unwrap_or(u32::MAX).saturating_add(u32::from(age.subsec_nanos() > 0));
        if seconds > remembered.ttl && self.kind == ResolverKind::ServeStale {
            return Some(remembered.stale());
        }
        (seconds <= remembered.ttl).then(|| remembered.answer(seconds))
    }
}

impl Remembered {
    fn answer(&self, age: u32) -> ZoneAnswer {
        let aged = |records: &[Record]| {
            let mut records = records.to_vec();
            for record in &mut records {
                record.decrement_ttl(age);
            }
            records
        };
        ZoneAnswer::resolved(self.code, aged(&self.answers), aged(&self.authorities))
    }

    /// The answer after its time (RFC 8767).
    fn stale(&self) -> ZoneAnswer {
        let stale = |records: &[Record]| {
            let mut records = records.to_vec();
            for record in &mut records {
                record.ttl = STALE_TTL;
            }
            records
        };
        let mark = EdnsOption::Unknown(EXTENDED_ERROR, STALE_ANSWER.to_be_bytes().to_vec());
        ZoneAnswer::resolved(self.code, stale(&self.answers), stale(&self.authorities)).with_option(mark)
    }
}

/// For how many seconds an answer may be remembered: the least TTL of its records; for "no such thing" the lesser of
/// the SOA's TTL and its minimum (RFC 2308 section 5); zero for failures.
fn lifetime(response: &DnsResponse) -> u32 {
    match response.metadata.response_code {
        ResponseCode::NoError if !response.answers.is_empty() => {
            response.answers.iter().map(|record| record.ttl).min().unwrap_or(0)
        }
        ResponseCode::NoError | ResponseCode::NXDomain => response
            .authorities
            .iter()
            .find_map(|record| match &record.data {
                RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
                _ => None,
            })
            .unwrap_or(0),
        _ => 0,
    }
}

#[async_trait::async_trait]
impl RequestHandler for Resolver {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, handle: R) -> ResponseInfo {
        let met = rand::random_range(0..self.caches.len().max(1));
        let Some(cache) = self.caches.get(met) else {
            let metadata = Metadata::response_from_request(&request.metadata);
            return ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });
        };
        let answer = match request.metadata.op_code {
            OpCode::Query => self.resolve(request, cache).await,
            _ => ZoneAnswer::code(ResponseCode::NotImp),
        };
        answer.send(request, handle).await
    }
}
