//! The `dns.update` action: one signed message (RFC 2136, RFC 8945) that changes all record sets or none, and only if
//! they still are what the runbook expects. An update whose result is in place already does nothing, so one that may
//! have been carried out can be sent again. Servers leave out what the rules of DNS forbid and say that it is done (RFC 2136
//! §3.4.2.2), so what is there afterwards is looked at.

mod message;
mod present;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::tsig::{TsigAlgorithm as Algorithm, TsigError};
use hickory_proto::rr::{TSigVerifier, TSigner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use self::message::message;
use self::present::{PresentSet, look, look_at_all, settled};
use super::{JobContext, Perform};
use crate::core::job::Outcome;
use crate::core::kind::DnsUpdateAction;
use crate::core::kind::dns::answer::code_word;
use crate::core::record::RecordType;
use crate::core::target::{Dns, Tsig, TsigAlgorithm};
use crate::core::time::Span;
use crate::world::live::jobs::wait_for_stop;
use crate::world::live::net::dns;
use crate::world::live::{Shared, foreign, shortage};

/// Seconds the clocks of both sides may differ (RFC 8945 §10).
const FUDGE: u16 = 300;
/// Longest wait for the present values of one record set, and until a server shows what it says is done.
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
    let present = look_at_all(server, &update.changes).await;
    let mut message = match message(&target.zone, &update.changes, &present) {
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
        ResponseCode::NoError => looked_at(update, place, &settled(server, &update.changes).await),
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
            // Only of a name that is to be an alias is it asked that there is nothing at all (RFC 2136 §2.4.5).
            if answer.metadata.response_code == ResponseCode::YXDomain {
                let aliases = update.changes.iter().filter(|change| change.record_type == RecordType::Cname);
                found.extend(
                    aliases
                        .filter(|change| change.from.is_empty())
                        .map(|change| format!("{} has other records, and nothing can be beside an alias", change.name)),
                );
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

/// How an update ended of which the server says that it is done, by what is there now.
fn looked_at(update: &DnsUpdateAction, place: &str, present: &[Option<PresentSet>]) -> Outcome {
    let changes = || update.changes.iter().zip(present);
    let named = |unseen: bool| {
        let names = changes().filter(|(_, now)| !unseen || now.is_none());
        let names: Vec<String> =
            names.map(|(change, _)| format!("{} {}", change.name, change.record_type.as_str())).collect();
        names.join(", ")
    };
    if changes().all(|(change, now)| now.as_ref().is_some_and(|now| now.is_done(change))) {
        let notes: Vec<String> = changes()
            .filter_map(|(change, now)| now.as_ref()?.other_ttl(change))
            .map(|note| format!("; {note}"))
            .collect();
        return Outcome::Succeeded { summary: format!("{} changed on {place}{}", named(false), notes.concat()) };
    }
    if present.iter().any(Option::is_none) {
        let why = format!("{place} says it is done, but does not tell what {} is now", named(true));
        return Outcome::Unknown { why };
    }
    let is_open = |now: &PresentSet, change| !now.is_done(change);
    let now: Vec<String> = changes()
        .filter_map(|(change, now)| Some(now.as_ref().filter(|now| is_open(now, change))?.told(change)))
        .collect();
    let now = now.join("; ");
    if changes().all(|(change, now)| now.as_ref().is_some_and(|now| now.is_as_before(change))) {
        return Outcome::Failed { what: format!("{place} says it is done, and has changed nothing: {now}") };
    }
    Outcome::Unknown { why: format!("{place} says it is done, and has changed only a part of it: {now}") }
}
