//! One HTTP exchange over a connection of our own, with its parts timed.
//!
//! Redirects are answers, never followed. Bodies are capped, and everything is bounded in time by the caller.

mod age;
mod coding;
mod connect;
mod reach;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes};
use hyper::{HeaderMap, Request, Uri, Version, header};

pub(in crate::world::live) use self::age::{DateWatch, Dated, cache_age, cache_hit, dated};
use self::coding::packed_for_the_way;
pub(in crate::world::live) use self::coding::{Packed, unpacked};
pub(in crate::world::live) use self::connect::Connection;
use self::connect::{Endpoint, LARGEST_HEAD};
use super::chain;
use crate::core::ids::TargetId;
use crate::core::kind::http::Method;
use crate::core::latency::RequestFailure;
use crate::core::target::Http;
use crate::world::live::secrets::Secrets;

/// Most bytes of a body that are read; the rest is not waited for.
pub(in crate::world::live) const LARGEST_BODY: usize = 1024 * 1024;

/// What is asked.
pub(in crate::world::live) struct HttpRequest<'a> {
    /// The target's name and settings.
    pub(in crate::world::live) id: &'a TargetId,
    pub(in crate::world::live) target: &'a Http,
    pub(in crate::world::live) method: Method,
    /// Path and query, appended to the target's own path.
    pub(in crate::world::live) path: &'a str,
    /// Headers added to the target's.
    pub(in crate::world::live) headers: &'a BTreeMap<String, String>,
    pub(in crate::world::live) body: Option<&'a str>,
}

/// What came back.
pub(in crate::world::live) struct HttpAnswer {
    pub(in crate::world::live) status: hyper::StatusCode,
    /// Foreign.
    pub(in crate::world::live) headers: HeaderMap,
    pub(in crate::world::live) body: Vec<u8>,
    /// The body is longer than what was read.
    pub(in crate::world::live) cut: bool,
    /// The value of its `Retry-After` header. Foreign.
    pub(in crate::world::live) retry_after: Option<String>,
}

/// How far an exchange has come. It is filled in on the way, so that one that was cut short can be reported, too.
#[derive(Clone, Debug, Default)]
pub(in crate::world::live) struct Trace {
    /// Looking the name up; none when the address is given, or on a kept connection.
    pub(in crate::world::live) dns: Option<Duration>,
    /// TCP handshake; none on a kept connection.
    pub(in crate::world::live) connect: Option<Duration>,
    /// TLS handshake; none on a kept connection or without TLS.
    pub(in crate::world::live) tls: Option<Duration>,
    /// From the request to the answer's head.
    pub(in crate::world::live) first_byte: Option<Duration>,
    /// The addresses of the name, when it was looked up.
    pub(in crate::world::live) candidates: Vec<SocketAddr>,
    /// The address the request is sent to, once there is a connection.
    pub(in crate::world::live) address: Option<SocketAddr>,
    /// The request may have reached the other side.
    pub(in crate::world::live) sent: bool,
    /// Addresses that were tried and are not connected to, with why; without a word for one that has not answered yet.
    pub(in crate::world::live) attempts: Vec<(SocketAddr, Option<RequestFailure>)>,
    /// The protocol of the answer.
    pub(in crate::world::live) protocol: Option<&'static str>,
}

impl Trace {
    /// Addresses that could not be reached, each with why.
    pub(in crate::world::live) fn unreached(&self) -> impl Iterator<Item = String> {
        let told = |(address, why): &(SocketAddr, Option<RequestFailure>)| {
            format!("{address} {}", why.unwrap_or(RequestFailure::ConnectTimeout).word())
        };
        self.attempts.iter().map(told)
    }
}

/// Why there is no answer.
pub(in crate::world::live) struct Broken {
    /// What kind of failure it is.
    pub(in crate::world::live) kind: RequestFailure,
    /// A sentence, cleaned and masked.
    pub(in crate::world::live) what: String,
    /// The request may have reached the other side.
    pub(in crate::world::live) sent: bool,
    /// The connection turned out to be closed before a byte was answered: one that was kept may have been closed before the
    /// request came.
    pub(in crate::world::live) stale: bool,
    /// The fault is this machine's, which has no file descriptor, port or memory left: it says nothing of the other side.
    pub(in crate::world::live) local: bool,
}

impl Broken {
    /// Nothing was sent.
    fn unsent(kind: RequestFailure, what: String) -> Self {
        Self { kind, what, sent: false, stale: false, local: false }
    }
}

/// Every address that the host of a target resolves to now.
pub(in crate::world::live) async fn look_up(
    id: &TargetId,
    target: &Http,
    secrets: &Secrets,
) -> Result<Vec<SocketAddr>, String> {
    let endpoint = Endpoint::of(id, target, "/", secrets).await?;
    let mut trace = Trace::default();
    endpoint.addresses(secrets, &mut trace).await.map_err(|broken| broken.what)
}

/// Sends one request and reads the answer. A connection in `kept` is used when it still lives, and the
/// connection is put there when it can be used again.
pub(in crate::world::live) async fn exchange(
    ask: &HttpRequest<'_>,
    kept: &mut Option<Connection>,
    secrets: &Secrets,
    trace: &mut Trace,
) -> Result<HttpAnswer, Broken> {
    let unsent = |what| Broken::unsent(RequestFailure::NotSent, what);
    let endpoint = Endpoint::of(ask.id, ask.target, ask.path, secrets).await.map_err(unsent)?;
    let mut headers = endpoint.credentials.clone();
    for (name, value) in ask.target.headers.iter().chain(ask.headers) {
        headers.push((name.clone(), secrets.reveal(value).await.map_err(unsent)?));
    }
    let body = match ask.body {
        Some(body) => secrets.reveal(body).await.map_err(unsent)?,
        None => String::new(),
    };
    let request = |connection: &Connection| {
        let absolute = endpoint.asks_proxy() || connection.is_http2();
        request(ask, &endpoint, &headers, &body, absolute, connection.is_http2())
            .map_err(|what| unsent(secrets.tell(&what)))
    };
    if let Some(connection) = kept.take().filter(Connection::is_ready) {
        let request = request(&connection)?;
        trace.sent = true;
        trace.address = Some(connection.address());
        match send(request, connection, kept, trace, &endpoint, secrets).await {
            // Servers close idle connections, so a request that may be sent twice is repeated on a new one, once (RFC 9110 §9.2.2).
            Err(broken) if broken.stale && ask.method.is_idempotent() => *trace = Trace::default(),
            done => return done,
        }
    }
    let connection = endpoint.connect(secrets, trace).await?;
    let request = request(&connection)?;
    trace.sent = true;
    send(request, connection, kept, trace, &endpoint, secrets).await
}

fn request(
    ask: &HttpRequest<'_>,
    endpoint: &Endpoint,
    headers: &[(String, String)],
    body: &str,
    absolute: bool,
    http2: bool,
) -> Result<Request<Full<Bytes>>, String> {
    let path = match endpoint.url.query() {
        _ if absolute => {
            let mut whole = endpoint.url.clone();
            whole.set_fragment(None);
            // Who asks stands in a header.
            let anonymous = whole.set_username("").and_then(|()| whole.set_password(None));
            anonymous.map_err(|()| "the address cannot be used".to_owned())?;
            whole.into()
        }
        Some(query) => format!("{}?{query}", endpoint.url.path()),
        None => endpoint.url.path().to_owned(),
    };
    let uri: Uri = path.parse().map_err(|err| format!("the path is wrong: {err}"))?;
    let host = endpoint.url.host_str().unwrap_or_default();
    let host = endpoint.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut builder = Request::builder().method(ask.method.as_str()).uri(uri);
    // HTTP/2 has the host in the address (RFC 9113 §8.3.1).
    if !http2 && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        builder = builder.header(header::HOST, host);
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        builder = builder.header(header::USER_AGENT, concat!("gonogo/", env!("CARGO_PKG_VERSION")));
    }
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    // The value may be a secret: hyper's errors do not quote it.
    builder.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).map_err(|err| format!("a header is wrong: {err}"))
}

async fn send(
    request: Request<Full<Bytes>>,
    mut connection: Connection,
    kept: &mut Option<Connection>,
    trace: &mut Trace,
    endpoint: &Endpoint,
    secrets: &Secrets,
) -> Result<HttpAnswer, Broken> {
    let started = Instant::now();
    let received = connection.received();
    let broken = |err: hyper::Error| Broken {
        kind: kind_of(&err),
        local: false,
        stale: false,
        sent: !err.is_canceled(),
        what: if err.is_incomplete_message() {
            format!("{} closed the connection before it had answered", endpoint.place)
        } else if is_head_too_long(&err) {
            format!("{}: the head of its answer is longer than {} KiB", endpoint.place, LARGEST_HEAD / 1_024)
        } else {
            format!("{}: {}", endpoint.place, secrets.tell_brief(&chain(&err), 200))
        },
    };
    let response = match connection.send_request(request).await {
        Ok(response) => response,
        Err(err) => {
            // Other things than answers come over HTTP/2, too.
            let untouched = connection.is_http2() || connection.received() == received;
            let in_time = started.elapsed() <= connection.idle_end_shows_within();
            let stale = is_unprocessed(&err) || in_time && is_lost(&err);
            return Err(Broken { stale: untouched && stale, ..broken(err) });
        }
    };
    trace.first_byte = Some(started.elapsed());
    trace.protocol = Some(match response.version() {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    });
    let status = response.status();
    let said = |name: header::HeaderName| {
        response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let retry_after = said(header::RETRY_AFTER);
    if let Some(coding) = packed_for_the_way(response.headers()) {
        let coding = secrets.tell_brief(&coding, 80);
        return Err(Broken {
            kind: RequestFailure::Encoding,
            local: false,
            stale: false,
            sent: true,
            what: format!("{} packs its answer for the way as {coding}, which nobody asked for", endpoint.place),
        });
    }
    let headers = response.headers().clone();
    let mut stream = response.into_body();
    let mut body = Vec::new();
    let mut cut = false;
    while let Some(frame) = stream.frame().await {
        let frame = frame.map_err(|err| {
            // The head is there, so its length cannot be at fault any more.
            if !is_given_up(&err) {
                return broken(err);
            }
            let what = format!("{}: its answer goes on without saying anything", endpoint.place);
            Broken { kind: RequestFailure::Unfinished, what, ..broken(err) }
        })?;
        let Some(data) = frame.data_ref() else { continue };
        let room = LARGEST_BODY.saturating_sub(body.len());
        body.extend_from_slice(data.get(..data.len().min(room)).unwrap_or_default());
        if data.len() > room {
            cut = true;
            break;
        }
    }
    if cut {
        return Ok(HttpAnswer { status, headers, body, cut, retry_after });
    }
    // hyper takes a stream that the server resets without an error for one that has ended (RFC 9113 §8.1). HTTP/1.1 is held to
    // its length by hyper.
    if connection.is_http2() && !stream.is_end_stream() {
        let announced = headers.get(header::CONTENT_LENGTH).map(|length| String::from_utf8_lossy(length.as_bytes()));
        let of = announced.map_or_else(String::new, |length| format!(" of {}", secrets.tell_brief(&length, 20)));
        return Err(Broken {
            kind: RequestFailure::Closed,
            local: false,
            stale: false,
            sent: true,
            what: format!("{} broke its answer off after {}{of} bytes", endpoint.place, body.len()),
        });
    }
    *kept = Some(connection);
    Ok(HttpAnswer { status, headers, body, cut, retry_after })
}

/// Whether the request was not looked at: it was not sent, or the other side says so (RFC 9113 §8.7).
fn is_unprocessed(err: &hyper::Error) -> bool {
    let mut causes = std::iter::successors(err.source(), |cause| (*cause).source());
    let refused = |http2: &h2::Error| {
        http2.is_remote() && (http2.is_go_away() || http2.reason() == Some(h2::Reason::REFUSED_STREAM))
    };
    err.is_canceled() || causes.any(|cause| cause.downcast_ref::<h2::Error>().is_some_and(refused))
}

/// Whether the connection was lost, or closed by the other side, with the request still unanswered.
fn is_lost(err: &hyper::Error) -> bool {
    let mut causes = std::iter::successors(err.source(), |cause| (*cause).source());
    let lost = |kind| {
        matches!(
            kind,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof | ErrorKind::NotConnected
        )
    };
    let of = |cause: &(dyn std::error::Error + 'static)| {
        if let Some(http2) = cause.downcast_ref::<h2::Error>() {
            return http2.get_io().is_some_and(|io| lost(io.kind()));
        }
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| lost(io.kind()))
    };
    err.is_incomplete_message() || causes.any(of)
}

/// Whether it was this side that gave up before the answer's head had ended, since that is too long.
fn is_head_too_long(err: &hyper::Error) -> bool {
    err.is_parse_too_large() || is_given_up(err)
}

/// Whether this side gave up over HTTP/2: the library refuses the stream of a long list of headers, and ends the connection over
/// frames that go on for ever.
fn is_given_up(err: &hyper::Error) -> bool {
    let mut causes = std::iter::successors(err.source(), |cause| (*cause).source());
    let given_up = |cause: &(dyn std::error::Error + 'static)| {
        let http2 = cause.downcast_ref::<h2::Error>().filter(|http2| http2.is_library());
        http2
            .and_then(h2::Error::reason)
            .is_some_and(|reason| matches!(reason, h2::Reason::REFUSED_STREAM | h2::Reason::ENHANCE_YOUR_CALM))
    };
    causes.any(given_up)
}

/// What kind of failure it is when an exchange breaks off.
fn kind_of(err: &hyper::Error) -> RequestFailure {
    let mut causes = std::iter::successors(err.source(), |cause| (*cause).source());
    let io = causes.find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    let malformed = matches!(io, Some(ErrorKind::InvalidData | ErrorKind::InvalidInput));
    if is_head_too_long(err) {
        RequestFailure::HeadTooLong
    } else if err.is_parse() || malformed {
        RequestFailure::NoHttp
    } else {
        RequestFailure::Closed
    }
}

/// `503 Service Unavailable`, the reason from the registry and not from the wire.
pub(in crate::world::live) fn status_text(status: hyper::StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}
