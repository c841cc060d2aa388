//! Questions to single name servers, and the `dns` probe made of them.
//!
//! Servers are asked one by one and directly: a resolver library would merge, cache and repeat questions and
//! hide where an answer came from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_net::DnsHandle as _;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use hickory_net::xfer::FirstAnswer as _;
use hickory_proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, Record, RecordType as Type};
use tokio::net::UdpSocket;

use super::Shared;
use super::foreign;
use crate::core::probe::{DnsProbe, RecordType};
use crate::core::reading::Failure;
use crate::core::value::Value;

/// The serial of the zone is asked at every so many measurements: a second question to the same server.
const SERIAL_EVERY: u32 = 5;
/// Larger than any answer we say we take.
const LARGEST_DATAGRAM: usize = 4_096;
/// Extended DNS error (RFC 8914) codes of an answer that is past its time.
const STALE: [u16; 2] = [3, 19];

/// What one measurement leaves for the next.
#[derive(Default)]
pub(super) struct Memory {
    count: u32,
    /// Serial of the zone on each authoritative server.
    serials: BTreeMap<String, i64>,
}

/// One runtime for all exchanges: dropping the last copy would end those under way.
fn provider() -> TokioRuntimeProvider {
    static PROVIDER: OnceLock<TokioRuntimeProvider> = OnceLock::new();
    PROVIDER.get_or_init(TokioRuntimeProvider::new).clone()
}

/// `address` or `address:port`, port 53 when absent.
pub(super) fn socket(text: &str) -> Result<SocketAddr, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    text.parse()
        .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
        .map_err(|_| format!("`{}` is not the address of a name server", foreign::brief(text, 80)))
}

/// A name from the runbook.
pub(super) fn name(text: &str) -> Result<Name, String> {
    let mut name = Name::from_str_relaxed(text)
        .map_err(|err| format!("`{}` is not a DNS name: {err}", foreign::brief(text, 80)))?;
    name.set_fqdn(true);
    Ok(name)
}

/// The type on the wire.
pub(super) fn wire_type(of: RecordType) -> Type {
    match of {
        RecordType::A => Type::A,
        RecordType::Aaaa => Type::AAAA,
        RecordType::Cname => Type::CNAME,
        RecordType::Txt => Type::TXT,
    }
}

/// Asks one server once, over TCP when the answer does not fit. `None` when it says nothing usable in time.
pub(super) async fn ask(
    server: SocketAddr,
    name: &Name,
    of: Type,
    recursive: bool,
    limit: Duration,
) -> Option<Message> {
    let mut options = DnsRequestOptions::default();
    options.recursion_desired = recursive;
    options.use_edns = true; // extended errors come only to those who speak EDNS
    let question = || DnsRequest::from_query(Query::query(name.clone(), of), options);
    let exchange = async {
        let answer = datagram(server, &question().into_parts().0).await.ok()?;
        if !answer.metadata.truncation {
            return Some(answer);
        }
        let tcp = TcpClientStream::exchange(server, None, limit, None, provider()).await.ok()?;
        tcp.send(question()).first_answer().await.ok().map(DnsResponse::into_message)
    };
    tokio::time::timeout(limit, exchange).await.ok().flatten()
}

/// One datagram there and the answer to it. hickory-net's own exchange throws away refusals that do not
/// repeat the question (Unbound's do not) and does not hear that a port is closed.
async fn datagram(server: SocketAddr, question: &Message) -> std::io::Result<Message> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A fresh random port each time; connected, so that only this server is heard.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(&question.to_vec().map_err(std::io::Error::other)?).await?;
    let mut bytes = [0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut bytes).await?;
        let Ok(answer) = Message::from_vec(bytes.get(..length).unwrap_or_default()) else { continue };
        let refusal = answer.queries.is_empty() && answer.metadata.response_code != ResponseCode::NoError;
        if answer.metadata.id == question.metadata.id
            && answer.metadata.message_type == MessageType::Response
            && (refusal || answer.queries == question.queries)
        {
            return Ok(answer);
        }
    }
}

/// The values of a record set as text that can be compared: host names in lower case without the last dot.
pub(super) fn values(answers: &[Record], of: Type) -> BTreeSet<String> {
    answers.iter().filter(|record| record.record_type() == of).map(|record| text(&record.data)).collect()
}

fn text(data: &RData) -> String {
    match data {
        RData::TXT(txt) => {
            let bytes: Vec<u8> = txt.txt_data.iter().flat_map(|part| part.iter().copied()).collect();
            foreign::clean(&String::from_utf8_lossy(&bytes))
        }
        RData::CNAME(name) => foreign::clean(&host(&name.0.to_ascii())),
        other => foreign::clean(&other.to_string()),
    }
}

fn host(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Values of the runbook in the form of [`values`].
pub(super) fn expected(values: &[String], of: RecordType) -> BTreeSet<String> {
    let normal = |value: &String| {
        let value = value.trim();
        match of {
            RecordType::A | RecordType::Aaaa => {
                value.parse::<IpAddr>().map_or_else(|_| value.to_owned(), |ip| ip.to_string())
            }
            RecordType::Cname => host(value),
            RecordType::Txt => {
                foreign::clean(value.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(value))
            }
        }
    };
    values.iter().map(normal).collect()
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

/// Measures once: every server at the same time, and a silent one costs only itself.
pub(super) async fn measure(
    shared: &Shared,
    probe: &DnsProbe,
    limit: Duration,
    memory: &mut Memory,
) -> Result<Value, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_and_without_port() {
        assert_eq!(socket("127.0.0.1").unwrap().to_string(), "127.0.0.1:53");
        assert_eq!(socket("127.0.0.1:5300").unwrap().to_string(), "127.0.0.1:5300");
        assert_eq!(socket("2001:db8::1").unwrap().to_string(), "[2001:db8::1]:53");
        assert_eq!(socket("[2001:db8::1]:54").unwrap().to_string(), "[2001:db8::1]:54");
        assert!(socket("ns1.example.com").is_err());
    }

    #[test]
    fn values_are_compared_in_one_form() {
        let set = |values: &[&str], of| expected(&values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>(), of);
        assert_eq!(set(&["WWW.Example.com."], RecordType::Cname), set(&["www.example.com"], RecordType::Cname));
        assert_eq!(set(&["2001:DB8:0::1"], RecordType::Aaaa), set(&["2001:db8::1"], RecordType::Aaaa));
        assert_eq!(set(&["\"Hello\""], RecordType::Txt), set(&["Hello"], RecordType::Txt));
        assert_ne!(set(&["hello"], RecordType::Txt), set(&["Hello"], RecordType::Txt));
        assert_eq!(set(&["1.1.1.1", "2.2.2.2"], RecordType::A), set(&["2.2.2.2", "1.1.1.1"], RecordType::A));
    }
}
