//! Questions to single name servers.
//!
//! Servers are asked one by one and directly: a resolver library would merge, cache and repeat questions and hide where
//! an answer came from.

pub(in crate::world::live) mod answer;
pub(in crate::world::live) mod lookup;
mod sockets;
pub(in crate::world::live) mod system;
pub(in crate::world::live) mod tls;
pub(in crate::world::live) mod value;

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{DnsRequest, DnsRequestOptions, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsOption, NSIDPayload};
use hickory_proto::rr::{Name, RecordType as Type};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;

use self::tls::TlsServer;
use crate::record_data;
use crate::world::live::{foreign, shortage};

/// Larger than any answer size that we announce.
const LARGEST_DATAGRAM: usize = 4_096;
/// After how long an unanswered question is repeated for the first time; the interval doubles each time. Datagrams are
/// lost now and then, and most servers answer within this time.
const REPEAT_AFTER: Duration = Duration::from_millis(300);

/// The response code of a server that does not know this version of EDNS (RFC 6891 §9). The library takes it for another of the
/// same number.
const BAD_VERSION: u16 = 16;

/// `address` or `address:port`, port 53 when absent.
pub(in crate::world::live) fn socket(text: &str) -> Result<SocketAddr, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    text.parse()
        .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
        .map_err(|_| format!("`{}` is not the address of a name server", foreign::brief(text, 80)))
}

/// A name from the runbook.
pub(in crate::world::live) fn name(text: &str) -> Result<Name, String> {
    record_data::name(text).map_err(|err| format!("`{}` is not a DNS name: {err}", foreign::brief(text, 80)))
}

/// A question to one server.
#[derive(Clone, Debug)]
pub(in crate::world::live) struct DnsQuestion {
    pub name: Name,
    pub of: Type,
    /// Whether the server is to ask others (the RD bit).
    pub recursive: bool,
    /// Whether signatures are left unchecked (the CD bit).
    pub unchecked: bool,
}

impl DnsQuestion {
    pub(in crate::world::live) fn new(name: &Name, of: Type, recursive: bool) -> Self {
        Self { name: name.clone(), of, recursive, unchecked: false }
    }

    /// The message, with an id of its own each time.
    pub(in crate::world::live) fn message(&self, edns: bool) -> Message {
        let mut options = DnsRequestOptions::default();
        options.recursion_desired = self.recursive;
        options.use_edns = edns; // extended errors come only to those who speak EDNS
        let query = Query::query(self.name.clone(), self.of);
        let mut message = DnsRequest::from_query(query, options).into_parts().0;
        message.metadata.checking_disabled = self.unchecked;
        if let (Some(edns), Ok(empty)) = (&mut message.edns, NSIDPayload::new(Vec::new())) {
            edns.options_mut().insert(EdnsOption::NSID(empty));
        }
        message
    }
}

/// How a server is asked.
#[derive(Clone, Debug)]
pub(in crate::world::live) enum Upstream {
    /// Over UDP, and over TCP what does not fit.
    Plain(SocketAddr),
    /// Over TLS.
    Tls(Arc<TlsServer>),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::world::live) enum NoAnswer {
    /// Nobody was asked, for want of something on this machine.
    Unasked(String),
    /// Nothing came in time; what was heard instead, such as a closed port.
    Silence(String),
    /// A reply that is not a valid answer.
    Nonsense(String),
    /// A certificate that is not good; nothing was asked.
    Untrusted(String),
}

/// Asks one server, over TCP when the answer does not fit, and again without EDNS when the server does not understand
/// it. Lost datagrams are repeated within `limit`.
///
/// # Errors
///
/// When nothing usable comes in time.
pub(in crate::world::live) async fn ask(
    server: SocketAddr,
    question: &DnsQuestion,
    limit: Duration,
) -> Result<Message, NoAnswer> {
    ask_at(&Upstream::Plain(server), question, limit).await
}

/// The same, however the server is asked.
pub(in crate::world::live) async fn ask_at(
    server: &Upstream,
    question: &DnsQuestion,
    limit: Duration,
) -> Result<Message, NoAnswer> {
    ask_noting(server, question, limit).await.map(|(answer, _)| answer)
}

/// The same, and whether the answer came over a connection that was used before.
pub(in crate::world::live) async fn ask_noting(
    server: &Upstream,
    question: &DnsQuestion,
    limit: Duration,
) -> Result<(Message, bool), NoAnswer> {
    let until = Instant::now() + limit;
    let asked = async |edns| match server {
        Upstream::Plain(address) => Ok((over_udp(*address, question, edns, until).await?, false)),
        Upstream::Tls(server) => {
            let (answer, was_used) = server.ask(&question.message(edns), until).await?;
            Ok((whole(answer, "TLS")?, was_used))
        }
    };
    let answer: (Message, bool) = asked(true).await?;
    // RFC 6891 §7: a server that does not know EDNS may say either.
    let is_of_edns = matches!(answer.0.metadata.response_code, ResponseCode::FormErr | ResponseCode::NotImp)
        || u16::from(answer.0.metadata.response_code) == BAD_VERSION;
    if is_of_edns {
        // Its answer without EDNS counts; if there is none, the first answer does.
        return asked(false).await.or(Ok(answer));
    }
    Ok(answer)
}

async fn over_udp(server: SocketAddr, question: &DnsQuestion, edns: bool, until: Instant) -> Result<Message, NoAnswer> {
    let _permit = sockets::permit(until).await?;
    let answer = repeated(server, question, edns, until).await?;
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    let answer = match tokio::time::timeout_at(until, over_tcp(server, &question.message(edns))).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(err)) if err.kind() == ErrorKind::InvalidData => {
            return Err(NoAnswer::Nonsense(format!("over TCP: {err}")));
        }
        Ok(Err(err)) => return Err(lost("over TCP", &err)),
        Err(_) => return Err(NoAnswer::Silence("no answer over TCP".to_owned())),
    };
    whole(answer, "TCP")
}

/// What came over a stream is never cut off: there is room for all of it.
fn whole(answer: Message, over: &str) -> Result<Message, NoAnswer> {
    if answer.metadata.truncation {
        return Err(NoAnswer::Nonsense(format!("the answer is cut off, over {over} too")));
    }
    Ok(answer)
}

/// Asks by datagrams until one is answered, all from one socket: an earlier one may still be answered meanwhile. hickory-net's
/// own exchange throws away refusals that do not repeat the question (Unbound's do not) and does not hear that a port is
/// closed.
async fn repeated(server: SocketAddr, question: &DnsQuestion, edns: bool, until: Instant) -> Result<Message, NoAnswer> {
    let mut socket = None;
    let mut asked: Vec<Message> = Vec::new();
    let mut bytes = vec![0; LARGEST_DATAGRAM];
    let mut last = NoAnswer::Silence(String::new());
    let mut wait = REPEAT_AFTER;
    let mut next = Instant::now();
    loop {
        tokio::select! {
            biased;
            received = receive(socket.as_ref(), &mut bytes) => match received {
                Ok(length) => {
                    let bytes = bytes.get(..length).unwrap_or_default();
                    // A datagram that does not answer the question may be a forgery: the real answer may still come.
                    match asked.iter().map(|question| understood(bytes, question)).find(|one| !matches!(one, Ok(None))) {
                        Some(Ok(Some(answer))) => return Ok(answer),
                        Some(Err(err)) => last = no_answer(&err),
                        Some(Ok(None)) | None => {}
                    }
                }
                Err(err) => {
                    last = no_answer(&err);
                    socket = None;
                }
            },
            () = tokio::time::sleep_until(until) => return Err(last),
            () = tokio::time::sleep_until(next) => {
                let question = question.message(edns);
                match send(&mut socket, server, &question).await {
                    Ok(()) => asked.push(question),
                    Err(err) => {
                        match no_answer(&err) {
                            // It has been asked before.
                            NoAnswer::Unasked(_) if !asked.is_empty() => {}
                            other => last = other,
                        }
                        socket = None;
                    }
                }
                next = Instant::now() + wait;
                wait *= 2;
            }
        }
    }
}

/// Waits for a datagram; for ever without a socket.
async fn receive(socket: Option<&UdpSocket>, bytes: &mut [u8]) -> std::io::Result<usize> {
    match socket {
        Some(socket) => socket.recv(bytes).await,
        None => std::future::pending().await,
    }
}

/// Sends a question, from a socket of its own when there is none yet.
async fn send(socket: &mut Option<UdpSocket>, server: SocketAddr, question: &Message) -> std::io::Result<()> {
    let socket = match socket {
        Some(socket) => socket,
        None => socket.insert(connected(server).await?),
    };
    socket.send(&question.to_vec().map_err(Error::other)?).await.map(drop)
}

/// A socket with a fresh random port; connected, so that only this server is heard.
async fn connected(server: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    Ok(socket)
}

fn no_answer(err: &Error) -> NoAnswer {
    match err.kind() {
        ErrorKind::InvalidData => NoAnswer::Nonsense(foreign::brief(&err.to_string(), 120)),
        _ => shortage::of(err).map_or_else(|| NoAnswer::Silence(why(err)), NoAnswer::Unasked),
    }
}

/// Why nothing came over a stream.
fn lost(over: &str, err: &Error) -> NoAnswer {
    match shortage::of(err) {
        Some(missing) => NoAnswer::Unasked(format!("{over}: {missing}")),
        None => NoAnswer::Silence(format!("{over}: {}", why(err))),
    }
}

fn why(err: &Error) -> String {
    match err.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => "the server closed the connection".to_owned(),
        _ => foreign::brief(&err.to_string(), 120),
    }
}

/// The answer in `bytes`; `None` when they answer another question.
pub(in crate::world::live) fn understood(bytes: &[u8], question: &Message) -> std::io::Result<Option<Message>> {
    if bytes.first_chunk() != Some(&question.metadata.id.to_be_bytes()) {
        return Ok(None);
    }
    let answer = Message::from_vec(bytes)
        .map_err(|err| Error::new(ErrorKind::InvalidData, format!("an answer that cannot be read: {err}")))?;
    let refusal = answer.queries.is_empty() && answer.metadata.response_code != ResponseCode::NoError;
    let is_ours = answer.metadata.message_type == MessageType::Response
        && answer.metadata.op_code == question.metadata.op_code
        && (refusal || answer.queries == question.queries);
    Ok(is_ours.then_some(answer))
}

async fn over_tcp(server: SocketAddr, question: &Message) -> std::io::Result<Message> {
    framed(&mut TcpStream::connect(server).await?, question).await
}

/// One question and its answer over a stream, each with its length before it (RFC 1035 section 4.2.2).
async fn framed(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), question: &Message) -> std::io::Result<Message> {
    let bytes = question.to_vec().map_err(Error::other)?;
    let length = u16::try_from(bytes.len()).map_err(Error::other)?;
    let mut sent = length.to_be_bytes().to_vec();
    sent.extend_from_slice(&bytes);
    stream.write_all(&sent).await?;
    stream.flush().await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    understood(&answer, question)?.ok_or_else(|| Error::new(ErrorKind::InvalidData, "an answer to another question"))
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
}
