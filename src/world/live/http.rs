//! One HTTP/1.1 exchange over a connection of our own, with its parts timed, and the `http.json` probe and the
//! `http` action made of it.
//!
//! Redirects are answers, never followed. Bodies are capped, and everything is bounded in time by the caller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use url::Url;

use super::secrets::Secrets;
use super::{Reporter, Shared, declared, pg, sql, tls};
use crate::contain::contain;
use crate::core::action::{HttpCall, Method};
use crate::core::ids::TargetId;
use crate::core::job::Outcome;
use crate::core::probe::HttpJsonProbe;
use crate::core::reading::Failure;
use crate::core::target::Http;
use crate::core::value::Value;

/// Bytes of a body that are read. The rest is not waited for.
const LARGEST_BODY: usize = 1024 * 1024;

/// What is asked.
pub(super) struct Ask<'a> {
    /// The target's name and settings.
    pub(super) id: &'a TargetId,
    pub(super) target: &'a Http,
    pub(super) method: Method,
    /// Path and query, appended to the target's own path.
    pub(super) path: &'a str,
    /// Headers added to the target's.
    pub(super) headers: &'a BTreeMap<String, String>,
    pub(super) body: Option<&'a str>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: hyper::StatusCode,
    pub(super) body: Vec<u8>,
    /// The body is longer than what was read.
    pub(super) cut: bool,
    pub(super) timing: Timing,
    /// What the other side says about trying again, as it says it. Foreign.
    retry_after: Option<String>,
}

/// The parts of an exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timing {
    /// TCP handshake; zero on a kept connection.
    pub(super) connect: Duration,
    /// TLS handshake; zero on a kept connection.
    pub(super) tls: Duration,
    /// From the request to the answer's head.
    pub(super) first_byte: Duration,
}

/// Why there is no answer.
pub(super) struct Broken {
    /// A sentence, cleaned and masked.
    pub(super) what: String,
    /// The request may have reached the other side.
    pub(super) sent: bool,
    /// A kept connection turned out to be closed before anything was answered.
    stale: bool,
}

/// A connection that is kept between exchanges.
pub(super) struct Connection {
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
    async fn of(ask: &Ask<'_>, secrets: &Secrets) -> Result<Self, String> {
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
pub(super) async fn exchange(
    ask: &Ask<'_>,
    kept: &mut Option<Connection>,
    secrets: &Secrets,
    sent: &mut bool,
) -> Result<Answer, Broken> {
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
    ask: &Ask<'_>,
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
            stream.map_err(|err| format!("TLS with {place} failed: {}", secrets.tell_brief(&pg::chain(&err), 200)))?;
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
) -> Result<Answer, Broken> {
    let started = Instant::now();
    let broken = |err: hyper::Error| Broken {
        stale: err.is_canceled() || err.is_incomplete_message(),
        sent: !err.is_canceled(),
        what: if err.is_incomplete_message() {
            format!("{} closed the connection before it had answered", endpoint.place)
        } else {
            format!("{}: {}", endpoint.place, secrets.tell_brief(&pg::chain(&err), 200))
        },
    };
    let response = connection.sender.send_request(request).await.map_err(broken)?;
    timing.first_byte = started.elapsed();
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(str::to_owned);
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
    Ok(Answer { status, body, cut, timing, retry_after })
}

/// `503 Service Unavailable`, the reason from the registry and not from the wire.
pub(super) fn status_text(status: hyper::StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// Measures an `http.json` probe once.
pub(super) async fn measure_json(
    shared: &Shared,
    probe: &HttpJsonProbe,
    kept: &mut Option<Connection>,
) -> Result<Value, Failure> {
    let target = shared.http(&probe.target).map_err(Failure::new)?;
    let ask = Ask {
        id: &probe.target,
        target,
        method: Method::Get,
        path: &probe.path,
        headers: &BTreeMap::new(),
        body: None,
    };
    let answer = exchange(&ask, kept, &shared.secrets, &mut false).await;
    let answer = answer.map_err(|broken| Failure::new(broken.what))?;
    let place = &probe.target;
    if !answer.status.is_success() {
        return Err(Failure::new(format!("{place} answers {}", status_text(answer.status))));
    }
    if answer.cut {
        return Err(Failure::new(format!("the answer of {place} is longer than 1 MiB")));
    }
    let json = serde_json::from_slice(&answer.body)
        .map_err(|err| Failure::new(format!("the answer of {place} is not JSON: {err}")))?;
    declared::record(&json, &probe.fields, "field", &shared.secrets)
}

/// Sends the request of an `http` action.
pub(super) async fn run(
    shared: &Arc<Shared>,
    call: &HttpCall,
    report: &Reporter,
    mut stop: watch::Receiver<bool>,
) -> Outcome {
    let target = match shared.http(&call.target) {
        Ok(target) => target,
        Err(what) => return Outcome::Failed { what },
    };
    let contains = match &call.contains {
        Some(text) => match shared.secrets.reveal(text).await {
            Ok(text) => Some(text),
            Err(what) => return Outcome::Failed { what: format!("{what}; nothing was sent") },
        },
        None => None,
    };
    let ask = Ask {
        id: &call.target,
        target,
        method: call.method,
        path: &call.path,
        headers: &call.headers,
        body: call.body.as_deref(),
    };
    let name = format!("{} {} on {}", call.method.as_str(), super::foreign::brief(&call.path, 80), call.target);
    let mut kept = None;
    let started = Instant::now();
    let mut sent = false;
    let cut_short = tokio::select! {
        done = exchange(&ask, &mut kept, &shared.secrets, &mut sent) => Ok(done),
        () = tokio::time::sleep(call.limit.to_std()) => Err(format!("within {}", call.limit)),
        () = sql::wait_for_stop(&mut stop) => Err("before it was stopped".to_owned()),
    };
    let done = cut_short.unwrap_or_else(|when| {
        let what = if sent { format!("no answer {when}") } else { format!("no connection to {} {when}", call.target) };
        Err(Broken { what, sent, stale: false })
    });
    match done {
        Ok(answer) => {
            report.line(&format!(
                "{} (connect {} ms, TLS {} ms, first byte {} ms)",
                status_text(answer.status),
                answer.timing.connect.as_millis(),
                answer.timing.tls.as_millis(),
                answer.timing.first_byte.as_millis()
            ));
            judge(shared, call, contains.as_deref(), &answer, &name, started)
        }
        Err(broken) if broken.sent && call.method != Method::Get => {
            Outcome::Unknown { why: format!("{name} may have been carried out: {}", broken.what) }
        }
        Err(broken) if broken.sent => Outcome::Failed { what: format!("{name}: {}", broken.what) },
        Err(broken) => Outcome::Failed { what: format!("{}; nothing was sent", broken.what) },
    }
}

fn judge(
    shared: &Shared,
    call: &HttpCall,
    contains: Option<&str>,
    answer: &Answer,
    name: &str,
    started: Instant,
) -> Outcome {
    let status = status_text(answer.status);
    let good = if call.success.is_empty() {
        answer.status.is_success()
    } else {
        call.success.contains(&answer.status.as_u16())
    };
    let text = String::from_utf8_lossy(&answer.body);
    let words = shared.secrets.tell_brief(&text, 200);
    let said = if words.is_empty() { String::new() } else { format!(": {words}") };
    if !good {
        // A gateway that got no good answer does not know what the server behind it has done.
        let gave_up = matches!(answer.status, hyper::StatusCode::BAD_GATEWAY | hyper::StatusCode::GATEWAY_TIMEOUT);
        if gave_up && !call.method.is_idempotent() {
            return Outcome::Unknown {
                why: format!("{name} may have been carried out: a gateway answered {status}{said}"),
            };
        }
        let again = answer
            .retry_after
            .as_deref()
            .map_or_else(String::new, |after| format!(", Retry-After {}", shared.secrets.tell_brief(after, 40)));
        return Outcome::Failed { what: format!("{name} answered {status}{again}{said}") };
    }
    if let Some(wanted) = contains
        && !text.contains(wanted)
    {
        let wanted = shared.secrets.tell_brief(wanted, 80);
        let within = if answer.cut { " in its first 1 MiB" } else { "" };
        return Outcome::Failed { what: format!("{name} answered {status} without `{wanted}`{within}{said}") };
    }
    Outcome::Succeeded { summary: format!("{status}, {} ms", started.elapsed().as_millis()) }
}
