//! The `dns` probe: every authoritative server and every resolver is asked for one record.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, Record, RecordType as Type};

use super::Measure;
use crate::core::kind::DnsProbe;
use crate::core::reading::Failure;
use crate::core::value::Value;
use crate::world::live::net::dns::{ask, expected, name, socket, values, wire_type};
use crate::world::live::{Shared, foreign};

/// The serial of the zone is asked at every so many measurements: a second question to the same server.
const SERIAL_EVERY: u32 = 5;
/// Extended DNS error (RFC 8914) codes of an answer that is past its time.
const STALE: [u16; 2] = [3, 19];

/// What one measurement leaves for the next.
#[derive(Default)]
pub(in crate::world::live) struct DnsMemory {
    count: u32,
    /// Serial of the zone on each authoritative server.
    serials: BTreeMap<String, i64>,
}

/// What one server said.
struct Said {
    state: &'static str,
    values: String,
    ttl: Option<i64>,
    /// It serves the old values, fresh or stale.
    old: bool,
}

impl Said {
    fn nothing() -> Self {
        Self { state: "timeout", values: String::new(), ttl: None, old: false }
    }
}

struct Wanted {
    name: Name,
    of: Type,
    old: BTreeSet<String>,
    new: BTreeSet<String>,
}

impl Wanted {
    fn judge(&self, answer: Option<&Message>, authoritative: bool) -> Said {
        let Some(answer) = answer else { return Said::nothing() };
        let plain = |state| Said { state, ..Said::nothing() };
        match answer.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            ResponseCode::ServFail => return plain("servfail"),
            _ => return plain("refused"),
        }
        if authoritative && !answer.metadata.authoritative {
            return plain("lame");
        }
        let found = values(&answer.answers, self.of);
        let aliases = values(&answer.answers, Type::CNAME);
        let is_old = found == self.old;
        let state = if found == self.new {
            "new"
        } else if !authoritative && stale(answer) {
            "stale"
        } else if is_old {
            "old"
        } else if found.is_empty() && aliases.is_empty() {
            "negative"
        } else {
            "other"
        };
        let (shown, ttl) = if found.is_empty() && !aliases.is_empty() {
            (aliases.iter().map(|alias| format!("CNAME {alias}")).collect(), ttl(&answer.answers, Type::CNAME))
        } else if found.is_empty() {
            // The TTL of the SOA as received: how long this cache goes on saying no.
            (found, ttl(&answer.authorities, Type::SOA))
        } else {
            (found, ttl(&answer.answers, self.of))
        };
        let values = shown.into_iter().collect::<Vec<_>>().join(" ");
        Said { state, values: foreign::brief(&values, 300), ttl, old: is_old && state != "new" }
    }
}

fn ttl(records: &[Record], of: Type) -> Option<i64> {
    records.iter().filter(|record| record.record_type() == of).map(|record| i64::from(record.ttl)).max()
}

fn stale(answer: &Message) -> bool {
    let option = answer.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Unknown(15)));
    match option {
        Some(EdnsOption::Unknown(_, bytes)) => match bytes.as_slice() {
            [high, low, ..] => STALE.contains(&u16::from_be_bytes([*high, *low])),
            _ => false,
        },
        _ => false,
    }
}

fn serial(answer: &Message) -> Option<i64> {
    answer.answers.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(i64::from(soa.serial)),
        _ => None,
    })
}

impl Measure for DnsProbe {
    type Memory = DnsMemory;

    async fn measure(&self, shared: &Shared, limit: Duration, memory: &mut DnsMemory) -> Result<Value, Failure> {
        measure(shared, self, limit, memory).await
    }
}

/// Measures once: every server at the same time, and a silent one costs only itself.
async fn measure(shared: &Shared, probe: &DnsProbe, limit: Duration, memory: &mut DnsMemory) -> Result<Value, Failure> {
    let target = shared.dns(&probe.target).map_err(Failure::new)?;
    let wanted = Wanted {
        name: name(&probe.name).map_err(Failure::new)?,
        of: wire_type(probe.record_type),
        old: expected(&probe.old, probe.record_type),
        new: expected(&probe.new, probe.record_type),
    };
    let zone = name(&target.zone).map_err(Failure::new)?;
    let sockets =
        |servers: Vec<&String>| servers.into_iter().map(|server| socket(server)).collect::<Result<Vec<_>, _>>();
    let authoritative = sockets(target.authoritative.iter().collect()).map_err(Failure::new)?;
    let resolvers = sockets(target.resolvers.values().collect()).map_err(Failure::new)?;
    // Leaves time to tell before the scheduler's own limit.
    let limit = limit.mul_f64(0.8);
    let with_serial = memory.count.is_multiple_of(SERIAL_EVERY);
    memory.count = memory.count.wrapping_add(1);
    let (zone, wanted) = (&zone, &wanted);
    let ask_authoritative = join_all(authoritative.iter().map(|&server| async move {
        let serial = async { if with_serial { ask(server, zone, Type::SOA, false, limit).await } else { None } };
        tokio::join!(ask(server, &wanted.name, wanted.of, false, limit), serial)
    }));
    let ask_resolvers = join_all(resolvers.iter().map(|&server| ask(server, &wanted.name, wanted.of, true, limit)));
    let (from_authoritative, from_resolvers) = tokio::join!(ask_authoritative, ask_resolvers);

    let mut sources = Vec::new();
    for (server, (answer, serial_answer)) in target.authoritative.iter().zip(&from_authoritative) {
        if let Some(serial) = serial_answer.as_ref().and_then(serial) {
            memory.serials.insert(server.clone(), serial);
        }
        sources.push((server, wanted.judge(answer.as_ref(), true)));
    }
    let caches: Vec<(&String, Said)> =
        target.resolvers.keys().zip(from_resolvers.iter().map(|answer| wanted.judge(answer.as_ref(), false))).collect();
    Ok(record(&sources, &caches, &memory.serials))
}

fn record(sources: &[(&String, Said)], caches: &[(&String, Said)], serials: &BTreeMap<String, i64>) -> Value {
    let authoritative = sources.iter().map(|(server, said)| {
        let serial = serials.get(*server).filter(|_| said.state != "timeout");
        Value::map([
            ("server", server.as_str().into()),
            ("state", said.state.into()),
            ("values", said.values.as_str().into()),
            ("ttl", said.ttl.into()),
            ("serial", serial.copied().into()),
        ])
    });
    let resolvers = caches.iter().map(|(name, said)| {
        Value::map([
            ("name", name.as_str().into()),
            ("state", said.state.into()),
            ("fresh", (said.state == "new").into()),
            ("ttl", said.ttl.into()),
            ("values", said.values.as_str().into()),
        ])
    });
    let all = |state| !sources.is_empty() && sources.iter().all(|(_, said)| said.state == state);
    let count = |wanted: &dyn Fn(&Said) -> bool| caches.iter().filter(|(_, said)| wanted(said)).count() as u64;
    let old = count(&|said| said.old);
    let new = count(&|said| said.state == "new");
    let total = caches.len() as u64;
    let max_ttl = caches.iter().map(|(_, said)| said.ttl).try_fold(0, |most, ttl| Some(ttl?.max(most)));
    Value::map([
        ("authoritative", Value::List(authoritative.collect())),
        ("resolvers", Value::List(resolvers.collect())),
        ("authoritative_new", all("new").into()),
        ("authoritative_old", all("old").into()),
        ("ttl", sources.iter().filter_map(|(_, said)| said.ttl).max().into()),
        ("old", old.into()),
        ("new", new.into()),
        ("unclear", (total - old - new).into()),
        ("total", total.into()),
        // A resolver that says nothing may hold anything: then nobody knows the longest.
        ("max_ttl", max_ttl.into()),
    ])
}
