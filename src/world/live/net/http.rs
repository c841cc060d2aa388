//! One HTTP/1.1 exchange over a connection of our own, with its parts timed.
//!
//! Redirects are answers, never followed. Bodies are capped, and everything is bounded in time by the caller.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use url::Url;

use super::{chain, tls};
use crate::contain::contain;
use crate::core::ids::TargetId;
use crate::core::kind::http::Method;
use crate::core::target::Http;
use crate::world::live::secrets::Secrets;

/// Bytes of a body that are read. The rest is not waited for.
const LARGEST_BODY: usize = 1024 * 1024;

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
    pub(in crate::world::live) body: Vec<u8>,
    /// The body is longer than what was read.
    pub(in crate::world::live) cut: bool,
    pub(in crate::world::live) timing: Timing,
    /// What the other side says about trying again, as it says it. Foreign.
    pub(in crate::world::live) retry_after: Option<String>,
    /// How many seconds old it is by the word of a cache. Foreign.
    pub(in crate::world::live) age: Option<String>,
}

/// The parts of an exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::world::live) struct Timing {
    /// TCP handshake; zero on a kept connection.
    pub(in crate::world::live) connect: Duration,
    /// TLS handshake; zero on a kept connection.
    pub(in crate::world::live) tls: Duration,
    /// From the request to the answer's head.
    pub(in crate::world::live) first_byte: Duration,
}

/// Why there is no answer.
pub(in crate::world::live) struct Broken {
    /// A sentence, cleaned and masked.
    pub(in crate::world::live) what: String,
    /// The request may have reached the other side.
    pub(in crate::world::live) sent: bool,
    /// A kept connection turned out to be closed before anything was answered.
    pub(in crate::world::live) stale: bool,
}

/// A connection that is kept between exchanges.
pub(in crate::world::live) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where a request goes, ready to be sent.
struct Endpoint {
    url: Url,
    /// `host:port` or `address:port` that is connected to.
    connect: String,
    /// `shop (10.0.0.5:443)`, for messages.
    place: String,
}

impl Endpoint {
    async fn of(ask: &HttpRequest<'_>, secrets: &Secrets) -> Result<Self, String> {
        let base = secrets.reveal(&ask.target.url).await?;
        let path = secrets.reveal(ask.path).await?;
        let wrong = |err: &dyn std::fmt::Display| format!("the address of `{}` is wrong: {err}", ask.id);
        let text = format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'));
        let url = Url::parse(&text).map_err(|err| wrong(&err))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(&"it must begin with http:// or https://"));
        }
        let host = url.host_str().ok_or_else(|| wrong(&"it has no host"))?;
        let port = url.port_or_known_default().ok_or_else(|| wrong(&"it has no port"))?;
        let connect = ask.target.connect.clone().unwrap_or_else(|| format!("{host}:{port}"));
        let place = format!("{} ({})", ask.id, secrets.tell(&connect));
        Ok(Self { url, connect, place })
    }
}

/// Sends one request and reads the answer. A connection in `kept` is used when it still lives, and the
/// connection is put there when it can be used again. `sent` tells whether the request may have left when the exchange
/// is cut short.
pub(in crate::world::live) async fn exchange(
    ask: &HttpRequest<'_>,
    kept: &mut Option<Connection>,
    secrets: &Secrets,
    sent: &mut bool,
) -> Result<HttpAnswer, Broken> {
    let unsent = |what| Broken { what, sent: false, stale: false };
    let endpoint = Endpoint::of(ask, secrets).await.map_err(unsent)?;
    let mut headers = Vec::new();
    for (name, value) in ask.target.headers.iter().chain(ask.headers) {
        headers.push((name.as_str(), secrets.reveal(value).await.map_err(unsent)?));
    }
    let body = match ask.body {
        Some(body) => secrets.reveal(body).await.map_err(unsent)?,
        None => String::new(),
    };
    let request = || request(ask, &endpoint, &headers, &body).map_err(|what| unsent(secrets.tell(&what)));
    if let Some(connection) = kept.take().filter(|connection| connection.sender.is_ready()) {
        let request = request()?;
        *sent = true;
        match send(request, connection, kept, Timing::default(), &endpoint, secrets).await {
            // Servers close idle connections; a question that changes nothing is asked again on a new one.
            Err(broken) if broken.stale && ask.method == Method::Get => {}
            done => return done,
        }
    }
    let request = request()?;
    let (connection, timing) = connect(&endpoint, secrets).await.map_err(unsent)?;
    *sent = true;
    send(request, connection, kept, timing, &endpoint, secrets).await
}

fn request(
    ask: &HttpRequest<'_>,
    endpoint: &Endpoint,
    headers: &[(&str, String)],
    body: &str,
) -> Result<Request<Full<Bytes>>, String> {
    let path = match endpoint.url.query() {
        Some(query) => format!("{}?{query}", endpoint.url.path()),
        None => endpoint.url.path().to_owned(),
    };
    let uri: Uri = path.parse().map_err(|err| format!("the path is wrong: {err}"))?;
    let host = endpoint.url.host_str().unwrap_or_default();
    let host = endpoint.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut builder = Request::builder().method(ask.method.as_str()).uri(uri);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        builder = builder.header(header::HOST, host);
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        builder = builder.header(header::USER_AGENT, concat!("gonogo/", env!("CARGO_PKG_VERSION")));
    }
    for (name, value) in headers {
        builder = builder.header(*name, value);
    }
    // The value may be a secret: hyper's errors do not quote it.
    builder.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).map_err(|err| format!("a header is wrong: {err}"))
}

async fn connect(endpoint: &Endpoint, secrets: &Secrets) -> Result<(Connection, Timing), String> {
    let place = &endpoint.place;
    let started = Instant::now();
    let tcp = TcpStream::connect(&endpoint.connect).await.map_err(|err| match err.kind() {
        std::io::ErrorKind::ConnectionRefused => format!("connection refused by {place}"),
        _ => format!("{place} cannot be reached: {}", secrets.tell(&err.to_string())),
    })?;
    // Nagle's delay would be measured as the server's.
    tcp.set_nodelay(true).map_err(|err| format!("{place}: {err}"))?;
    let mut timing = Timing { connect: started.elapsed(), ..Timing::default() };
    let connection = if endpoint.url.scheme() == "https" {
        let started = Instant::now();
        let host = endpoint.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|err| format!("{place}: {err}"))?;
        let stream = TlsConnector::from(tls::system().await?).connect(name, tcp).await;
        let stream =
            stream.map_err(|err| format!("TLS with {place} failed: {}", secrets.tell_brief(&chain(&err), 200)))?;
        timing.tls = started.elapsed();
        handshake(TokioIo::new(stream)).await
    } else {
        handshake(TokioIo::new(tcp)).await
    };
    connection.map(|connection| (connection, timing)).map_err(|err| format!("{place}: {err}"))
}

async fn handshake<T>(io: T) -> hyper::Result<Connection>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(io).await?;
    let task = tokio::spawn(async move { drop(contain(connection).await) });
    Ok(Connection { sender, task: task.abort_handle() })
}

async fn send(
    request: Request<Full<Bytes>>,
    mut connection: Connection,
    kept: &mut Option<Connection>,
    mut timing: Timing,
    endpoint: &Endpoint,
    secrets: &Secrets,
) -> Result<HttpAnswer, Broken> {
    let started = Instant::now();
    let broken = |err: hyper::Error| Broken {
        stale: err.is_canceled() || err.is_incomplete_message(),
        sent: !err.is_canceled(),
        what: if err.is_incomplete_message() {
            format!("{} closed the connection before it had answered", endpoint.place)
        } else {
            format!("{}: {}", endpoint.place, secrets.tell_brief(&chain(&err), 200))
        },
    };
    let response = connection.sender.send_request(request).await.map_err(broken)?;
    timing.first_byte = started.elapsed();
    let status = response.status();
    let said = |name: header::HeaderName| {
        response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let (retry_after, age) = (said(header::RETRY_AFTER), said(header::AGE));
    let mut stream = response.into_body();
    let mut body = Vec::new();
    let mut cut = false;
    while let Some(frame) = stream.frame().await {
        let frame = frame.map_err(|err| Broken { stale: false, ..broken(err) })?;
        let Some(data) = frame.data_ref() else { continue };
        let room = LARGEST_BODY.saturating_sub(body.len());
        body.extend_from_slice(data.get(..data.len().min(room)).unwrap_or_default());
        if data.len() > room {
            cut = true;
            break;
        }
    }
    if !cut && connection.sender.ready().await.is_ok() {
        *kept = Some(connection);
    }
    Ok(HttpAnswer { status, body, cut, timing, retry_after, age })
}

/// `503 Service Unavailable`, the reason from the registry and not from the wire.
pub(in crate::world::live) fn status_text(status: hyper::StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}
