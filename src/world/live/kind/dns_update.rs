//! The `dns.update` action: one signed message (RFC 2136, RFC 8945) that changes all record sets or none, and only if
//! they still are what the runbook expects. An update whose result is in place already does nothing, so one that may
//! have been carried out can be sent again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::tsig::{TsigAlgorithm as Algorithm, TsigError};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType as Type, TSigVerifier, TSigner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{JobContext, Perform};
use crate::core::job::Outcome;
use crate::core::kind::DnsUpdateAction;
use crate::core::kind::dns::answer::code_word;
use crate::core::record::{DnsChange, RecordType};
use crate::core::target::{Dns, Tsig, TsigAlgorithm};
use crate::core::time::Span;
use crate::record_data::{self, wire_type};
use crate::world::live::jobs::wait_for_stop;
use crate::world::live::net::dns::{self, DnsQuestion, value};
use crate::world::live::{Shared, foreign, shortage};

/// Seconds the clocks of both sides may differ (RFC 8945 §10).
const FUDGE: u16 = 300;
/// Longest wait for the present value of a record set that differs from what the runbook expects.
const LOOK: Duration = Duration::from_secs(2);

/// Why there is no answer.
struct Lost {
    what: String,
    sent: bool,
}

impl Perform for DnsUpdateAction {
    async fn perform(&self, shared: &Arc<Shared>, job: JobContext<'_>) -> (Outcome, Option<Span>) {
        (send(shared, self, job).await, None)
    }
}

/// Sends the update to the first authoritative server.
async fn send(shared: &Shared, update: &DnsUpdateAction, job: JobContext<'_>) -> Outcome {
    let JobContext { report, mut stop, .. } = job;
    let unsent = |what: String| Outcome::Failed { what: format!("{what}; nothing was sent") };
    let (target, server) = match server(shared, update) {
        Ok(found) => found,
        Err(what) => return unsent(what),
    };
    let place = format!("{} ({server})", update.target);
    let mut message = match message(&target.zone, &update.changes) {
        Ok(message) => message,
        Err(what) => return unsent(what),
    };
    let verifier = match sign(shared, target.tsig.as_ref(), &mut message).await {
        Ok(verifier) => verifier,
        Err(what) => return unsent(what),
    };
    let bytes = match message.to_vec() {
        Ok(bytes) => bytes,
        Err(err) => return unsent(format!("the update cannot be written: {err}")),
    };
    let started = Instant::now();
    let mut sent = false;
    let exchanged = tokio::select! {
        done = exchange(server, &bytes, &mut sent) => Some(done),
        () = tokio::time::sleep(update.limit.to_std()) => None,
        () = wait_for_stop(&mut stop) => None,
    };
    let answer = match exchanged {
        Some(Ok(answer)) => answer,
        Some(Err(lost)) => return lost_outcome(&place, &lost),
        None => {
            let what = format!("no answer within {} ms", started.elapsed().as_millis());
            return lost_outcome(&place, &Lost { what, sent });
        }
    };
    report.line(&format!("{place} answered after {} ms", started.elapsed().as_millis()));
    judge(target, server, update, &place, message.metadata.id, &answer, verifier).await
}

fn lost_outcome(place: &str, lost: &Lost) -> Outcome {
    if lost.sent {
        Outcome::Unknown { why: format!("the update was sent to {place} and may have been carried out: {}", lost.what) }
    } else {
        Outcome::Failed { what: format!("{place}: {}; nothing was sent", lost.what) }
    }
}

fn server<'a>(shared: &'a Shared, update: &DnsUpdateAction) -> Result<(&'a Dns, SocketAddr), String> {
    let target = shared.dns(&update.target)?;
    let first =
        target.authoritative.first().ok_or_else(|| format!("`{}` has no authoritative server", update.target))?;
    Ok((target, dns::socket(first)?))
}

fn message(zone: &str, changes: &[DnsChange]) -> Result<Message, String> {
    let mut question = Query::query(dns::name(zone)?, Type::SOA);
    question.set_query_class(DNSClass::IN);
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    message.add_query(question);
    for change in changes {
        let name = dns::name(&change.name)?;
        let of = wire_type(change.record_type);
        let whole_set = |class| {
            let mut record = Record::update0(name.clone(), 0, of);
            record.dns_class = class;
            record
        };
        if change.from.is_empty() {
            message.add_answer(whole_set(DNSClass::NONE)); // §2.4.3: there must be no such record set
        }
        for value in &change.from {
            // §2.4.2: the whole set must be exactly this.
            message.add_answer(Record::from_rdata(name.clone(), 0, data(change.record_type, value)?));
        }
        message.add_authority(whole_set(DNSClass::ANY)); // §2.5.2
        for value in &change.to {
            message.add_authority(Record::from_rdata(name.clone(), change.ttl, data(change.record_type, value)?));
        }
    }
    Ok(message)
}

fn data(of: RecordType, value: &str) -> Result<RData, String> {
    record_data::parse(of, value)
        .map_err(|why| format!("`{}` is no value for {}: {why}", foreign::brief(value.trim(), 80), of.as_str()))
}

async fn sign(shared: &Shared, key: Option<&Tsig>, message: &mut Message) -> Result<Option<TSigVerifier>, String> {
    let Some(key) = key else { return Ok(None) };
    let secret = shared.secrets.reveal(&key.secret).await?;
    // The error's own text would quote the key.
    let secret =
        BASE64.decode(secret.trim().as_bytes()).map_err(|_| format!("the TSIG key `{}` is not base64", key.name))?;
    let algorithm = match key.algorithm {
        TsigAlgorithm::HmacSha256 => Algorithm::HmacSha256,
        TsigAlgorithm::HmacSha384 => Algorithm::HmacSha384,
        TsigAlgorithm::HmacSha512 => Algorithm::HmacSha512,
    };
    let signer = TSigner::new(secret, algorithm, dns::name(&key.name)?, FUDGE).map_err(|err| err.to_string())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    message.finalize(&signer, now).map_err(|err| format!("the update cannot be signed: {err}"))
}

/// Sends one message over TCP and reads the answer. `sent` says how far it got when it is cut short.
async fn exchange(server: SocketAddr, bytes: &[u8], sent: &mut bool) -> Result<Vec<u8>, Lost> {
    let connected = TcpStream::connect(server).await;
    let mut stream = connected.map_err(|err| {
        let what = match err.kind() {
            std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            _ => shortage::of(&err).unwrap_or_else(|| foreign::clean(&err.to_string())),
        };
        Lost { what, sent: false }
    })?;
    let length = u16::try_from(bytes.len())
        .map_err(|_| Lost { what: "the update is longer than 64 KiB".to_owned(), sent: false })?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    *sent = true;
    let io = async {
        stream.write_all(&framed).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    io.await.map_err(|err| Lost {
        what: match err.kind() {
            std::io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
            _ => foreign::clean(&err.to_string()),
        },
        sent: true,
    })
}

async fn judge(
    target: &Dns,
    server: SocketAddr,
    update: &DnsUpdateAction,
    place: &str,
    id: u16,
    bytes: &[u8],
    verifier: Option<TSigVerifier>,
) -> Outcome {
    let answer = match Message::from_vec(bytes) {
        Ok(answer) if answer.metadata.id == id => answer,
        _ => return Outcome::Unknown { why: format!("{place} gave an answer that is not valid") },
    };
    let refused = |what: String| Outcome::Failed { what: format!("{place} {what}; nothing was changed") };
    let genuine = verifier.map(|mut verifier| verifier.verify(bytes).is_ok());
    let key = target.tsig.as_ref().map_or("without a key", |key| key.name.as_str());
    match answer.metadata.response_code {
        ResponseCode::NoError if genuine == Some(false) => Outcome::Unknown {
            why: format!("{place} says it is done, but the answer is not signed with the key {key}"),
        },
        ResponseCode::NoError => {
            let names: Vec<String> = update
                .changes
                .iter()
                .map(|change| format!("{} {}", change.name, change.record_type.as_str()))
                .collect();
            Outcome::Succeeded { summary: format!("{} changed on {place}", names.join(", ")) }
        }
        ResponseCode::NXRRSet | ResponseCode::YXRRSet | ResponseCode::NXDomain | ResponseCode::YXDomain => {
            let mut found = Vec::new();
            let mut done = 0;
            for change in &update.changes {
                let now = look(server, change).await;
                done += usize::from(now.as_ref().is_some_and(|now| now.is_as_wanted(change)));
                found.extend(now.and_then(|now| now.in_the_way(change)));
            }
            if done == update.changes.len() {
                return Outcome::Succeeded { summary: format!("it was so already on {place}; nothing was changed") };
            }
            let now = if found.is_empty() { String::new() } else { format!(": {}", found.join("; ")) };
            refused(format!("refuses: the record is not what the runbook expects{now}"))
        }
        ResponseCode::NotAuth => {
            let why = match answer.signature().and_then(|record| record.data.error) {
                Some(TsigError::BadSig) => "BADSIG: its value is not what the server has",
                Some(TsigError::BadKey) => "BADKEY: the server has no key of this name and algorithm",
                Some(TsigError::BadTime) => "BADTIME: the clocks differ by more than 5 minutes",
                _ => "the server is not authoritative for the zone or does not accept the key for it",
            };
            refused(format!("refuses the key {key} (NOTAUTH, {why})"))
        }
        ResponseCode::Refused => refused(format!("refuses updates of {} with the key {key} (REFUSED)", target.zone)),
        ResponseCode::NotZone => refused(format!("says a name is not in the zone {} (NOTZONE)", target.zone)),
        // It failed at some point of it, which may have been the last.
        ResponseCode::ServFail => {
            let mut now = Vec::new();
            for change in &update.changes {
                now.push(look(server, change).await.map(|now| now.is_as_wanted(change)));
            }
            if now.iter().all(|is_done| *is_done == Some(true)) {
                return Outcome::Succeeded { summary: format!("{place} answers SERVFAIL, and it is so now") };
            }
            Outcome::Unknown {
                why: format!("{place} answers SERVFAIL, and it is not so now: it may still be carried out"),
            }
        }
        other => refused(format!("answers {}", code_word(other.into()).to_ascii_uppercase())),
    }
}

/// A record set as it is now.
struct Now {
    values: BTreeSet<String>,
    ttls: BTreeSet<u32>,
}

async fn look(server: SocketAddr, change: &DnsChange) -> Option<Now> {
    let of = wire_type(change.record_type);
    let name: Name = dns::name(&change.name).ok()?;
    let answer = dns::ask(server, &DnsQuestion::new(&name, of, false), LOOK).await.ok()?;
    // The servers of a zone refer whoever asks for the name servers of a name that it delegates.
    let delegation = answer.authorities.iter().filter(|record| of == Type::NS && record.name == name);
    let records: Vec<Record> = answer.answers.iter().chain(delegation).cloned().collect();
    let ttls = records.iter().filter(|record| record.record_type() == of).map(|record| record.ttl).collect();
    Some(Now { values: value::values(&records, of), ttls })
}

impl Now {
    /// Whether the change has been made already, to the TTL.
    fn is_as_wanted(&self, change: &DnsChange) -> bool {
        self.values == value::expected(&change.to, change.record_type) && self.ttls.iter().all(|ttl| *ttl == change.ttl)
    }

    /// The present record set, when it is not what the runbook expects.
    fn in_the_way(&self, change: &DnsChange) -> Option<String> {
        let expected = value::expected(&change.from, change.record_type);
        let words = |values: &BTreeSet<String>| {
            if values.is_empty() { "nothing".to_owned() } else { values.iter().cloned().collect::<Vec<_>>().join(" ") }
        };
        (self.values != expected).then(|| {
            format!(
                "{} {} has {}, not {}",
                change.name,
                change.record_type.as_str(),
                foreign::brief(&words(&self.values), 200),
                words(&expected)
            )
        })
    }
}
