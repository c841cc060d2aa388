//! From a target to a connection that speaks HTTP: the name, TCP, a proxy and TLS, each timed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::io::InspectReader;
use url::Url;

use super::reach::{Unreached, reach};
use super::{Broken, Trace};
use crate::catch_panic::catch_panic;
use crate::core::ids::TargetId;
use crate::core::latency::RequestFailure;
use crate::core::target::{BasicAuth, Http, HttpVersion};
use crate::world::live::net::tls::{HttpTls, failure, http as tls_settings};
use crate::world::live::net::{chain, host};
use crate::world::live::secrets::Secrets;
use crate::world::live::shortage;

/// Bytes of the head of an answer. Whoever sends more is not listened to.
pub(super) const LARGEST_HEAD: usize = 128 * 1024;
/// The name of HTTP/2 in a TLS handshake (RFC 7301).
const H2: &[u8] = b"h2";

/// A connection that can be kept between exchanges.
pub(in crate::world::live) struct Connection {
    sender: Sender,
    /// How many bytes have come through it.
    received: Arc<AtomicU64>,
    address: SocketAddr,
    born: Instant,
    /// How long the other side took to accept it: a round trip.
    round_trip: Duration,
    _tasks: Vec<Task>,
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// Added to the round trips: both sides are busy with other things, too.
const IDLE_END_SLACK: Duration = Duration::from_millis(100);

/// What drives a connection; it ends with the value.
struct Task(AbortHandle);

impl Task {
    fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(async move { drop(catch_panic(work).await) }).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Whether it can take a request now.
    pub(super) fn is_ready(&self) -> bool {
        match &self.sender {
            Sender::One(sender) => sender.is_ready(),
            Sender::Two(sender) => sender.is_ready(),
        }
    }

    /// Whether it speaks HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Two(_))
    }

    /// How many bytes have come through it.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// What it is connected to.
    pub(in crate::world::live) fn address(&self) -> SocketAddr {
        self.address
    }

    /// When it was made.
    pub(in crate::world::live) fn born(&self) -> Instant {
        self.born
    }

    /// How long it takes until the end of an idle connection shows to whoever sends then. Later it is no longer that end, but that
    /// of a server that had the request.
    pub(super) fn idle_end_shows_within(&self) -> Duration {
        self.round_trip * 2 + IDLE_END_SLACK
    }

    /// Sends one request, as soon as the one before is through.
    pub(super) async fn send_request(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::One(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Two(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

/// Where a request goes, ready to be sent.
pub(super) struct Endpoint {
    pub(super) url: Url,
    /// `host:port` or `address:port` that is connected to: of the proxy, where there is one.
    connect: String,
    /// `shop (10.0.0.5:443)`, for messages.
    pub(super) place: String,
    /// Headers that say who asks, for the service, and for a proxy that passes requests on.
    pub(super) credentials: Vec<(String, String)>,
    /// What the proxy is asked to connect to, and the header that says who asks.
    tunnel: Option<(String, Option<String>)>,
    asks_proxy: bool,
    version: HttpVersion,
    tls: HttpTls,
}

/// The `Authorization` of a user (RFC 7617).
async fn basic(auth: &BasicAuth, secrets: &Secrets) -> Result<String, String> {
    let (user, password) = (secrets.reveal(&auth.user).await?, secrets.reveal(&auth.password).await?);
    Ok(format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes())))
}

/// A path below an address. Both may have a query, and what is asked has both.
fn joined(base: &str, path: &str) -> String {
    let (base, base_query) = base.split_once('?').unwrap_or((base, ""));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let queries: Vec<&str> = [base_query, query].into_iter().filter(|query| !query.is_empty()).collect();
    let mark = if queries.is_empty() { "" } else { "?" };
    format!("{}/{}{mark}{}", base.trim_end_matches('/'), path.trim_start_matches('/'), queries.join("&"))
}

impl Endpoint {
    /// The place that `path` of the target is at.
    pub(super) async fn of(id: &TargetId, target: &Http, path: &str, secrets: &Secrets) -> Result<Self, String> {
        let base = secrets.reveal(&target.url).await?;
        let path = secrets.reveal(path).await?;
        let wrong = |err: &dyn std::fmt::Display| format!("the address of `{id}` is wrong: {err}");
        let url = Url::parse(&joined(&base, &path)).map_err(|err| wrong(&err))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(&"it must begin with http:// or https://"));
        }
        let host = url.host_str().ok_or_else(|| wrong(&"it has no host"))?;
        let port = url.port_or_known_default().ok_or_else(|| wrong(&"it has no port"))?;
        let origin = target.connect.clone().unwrap_or_else(|| format!("{host}:{port}"));
        let secure = url.scheme() == "https";
        let mut credentials = Vec::new();
        if let Some(auth) = &target.basic_auth {
            credentials.push((header::AUTHORIZATION.to_string(), basic(auth, secrets).await?));
        }
        let mut tunnel = None;
        let (mut connect, mut place) = (origin.clone(), format!("{id} ({})", secrets.tell(&origin)));
        if let Some(proxy) = &target.proxy {
            let wrong = |err: &dyn std::fmt::Display| format!("the proxy of `{id}` is wrong: {err}");
            let address = Url::parse(&secrets.reveal(&proxy.url).await?).map_err(|err| wrong(&err))?;
            let host = address.host_str().ok_or_else(|| wrong(&"it has no host"))?;
            connect = format!("{host}:{}", address.port_or_known_default().unwrap_or(80));
            place = format!("{id} ({} through {})", secrets.tell(&origin), secrets.tell(&connect));
            let auth = match &proxy.basic_auth {
                Some(auth) => Some(basic(auth, secrets).await?),
                None => None,
            };
            if secure {
                tunnel = Some((origin, auth));
            } else {
                credentials.extend(auth.map(|auth| (header::PROXY_AUTHORIZATION.to_string(), auth)));
            }
        }
        let version = target.spoken().unwrap_or_default();
        let offered: &[&[u8]] = match version {
            HttpVersion::One => &[b"http/1.1"],
            HttpVersion::Two => &[H2],
            HttpVersion::Auto => &[H2, b"http/1.1"],
        };
        let tls = HttpTls {
            ca: target.ca.clone(),
            client: target.client_certificate.as_ref().map(|own| (own.certificate.clone(), own.key_file.clone())),
            alpn: offered.iter().map(|name| name.to_vec()).collect(),
        };
        let asks_proxy = target.proxy.is_some() && !secure;
        Ok(Self { url, connect, place, credentials, tunnel, asks_proxy, version, tls })
    }

    /// Whether requests are put to a proxy that passes them on, and so carry whole addresses (RFC 9112 §3.2.2).
    pub(super) fn asks_proxy(&self) -> bool {
        self.asks_proxy
    }

    /// The addresses that `connect` resolves to now, according to this machine's system.
    pub(super) async fn addresses(&self, secrets: &Secrets, trace: &mut Trace) -> Result<Vec<SocketAddr>, Broken> {
        if let Ok(address) = self.connect.parse() {
            return Ok(vec![address]);
        }
        let started = Instant::now();
        let unknown = |what: String| {
            Broken::unsent(RequestFailure::Lookup, format!("{} cannot be looked up: {what}", self.place))
        };
        let found = host::addresses(&self.connect).await.map_err(|err| match shortage::of(&err) {
            Some(missing) => self.not_asked(RequestFailure::Lookup, &missing),
            None => unknown(secrets.tell(&err.to_string())),
        })?;
        if found.is_empty() {
            return Err(unknown("it has no address".to_owned()));
        }
        trace.dns = Some(started.elapsed());
        trace.candidates.clone_from(&found);
        Ok(found)
    }

    /// A new connection that is ready for a request.
    pub(super) async fn connect(&self, secrets: &Secrets, trace: &mut Trace) -> Result<Connection, Broken> {
        let addresses = self.addresses(secrets, trace).await?;
        let place = &self.place;
        let started = Instant::now();
        let tcp = match reach(&addresses, trace).await {
            Ok(tcp) => tcp,
            Err(unreached) => return Err(self.unreached(&unreached, trace, secrets)),
        };
        let failed = |err: &std::io::Error| {
            let what = format!("{place}: {}", secrets.tell(&err.to_string()));
            Broken::unsent(RequestFailure::Unreachable, what)
        };
        // Nagle's delay would be measured as the server's.
        tcp.set_nodelay(true).map_err(|err| failed(&err))?;
        let address = tcp.peer_addr().map_err(|err| failed(&err))?;
        let mut tasks = Vec::new();
        let (sender, received, task) = if let Some((origin, auth)) = &self.tunnel {
            let (through, task) = Box::pin(self.through(tcp, origin, auth.as_deref(), secrets)).await?;
            tasks.push(task);
            trace.connect = Some(started.elapsed());
            trace.address = Some(address);
            Box::pin(self.secure(through, secrets, trace)).await?
        } else {
            trace.connect = Some(started.elapsed());
            trace.address = Some(address);
            if self.url.scheme() == "https" {
                Box::pin(self.secure(tcp, secrets, trace)).await?
            } else {
                handshake(tcp, self.version == HttpVersion::Two).await.map_err(|err| self.no_http(&err, secrets))?
            }
        };
        tasks.push(task);
        let round_trip = trace.connect.unwrap_or_default();
        Ok(Connection { sender, received, address, born: Instant::now(), round_trip, _tasks: tasks })
    }

    /// Why none of the addresses was reached.
    fn unreached(&self, unreached: &Unreached, trace: &Trace, secrets: &Secrets) -> Broken {
        let place = &self.place;
        let Unreached { kind, newest, missing } = unreached;
        if let Some(missing) = missing {
            return self.not_asked(*kind, missing);
        }
        let what = match kind {
            _ if trace.attempts.len() > 1 => {
                let all: Vec<String> = trace.unreached().collect();
                format!("{place} cannot be reached: {}", all.join(", "))
            }
            RequestFailure::Refused => format!("connection refused by {place}"),
            _ => format!("{place} cannot be reached: {}", secrets.tell(&newest.to_string())),
        };
        Broken::unsent(*kind, what)
    }

    /// Nobody was asked, for want of something on this machine.
    fn not_asked(&self, kind: RequestFailure, missing: &str) -> Broken {
        Broken { local: true, ..Broken::unsent(kind, format!("{} was not asked: {missing}", self.place)) }
    }

    fn no_http(&self, err: &hyper::Error, secrets: &Secrets) -> Broken {
        let what = format!("{}: {}", self.place, secrets.tell_brief(&chain(err), 200));
        Broken::unsent(RequestFailure::NoHttp, what)
    }

    /// Asks the proxy at the other end of `tcp` to lead on to `origin` (RFC 9110 §9.3.6).
    async fn through(
        &self,
        tcp: TcpStream,
        origin: &str,
        auth: Option<&str>,
        secrets: &Secrets,
    ) -> Result<(TokioIo<hyper::upgrade::Upgraded>, Task), Broken> {
        let failed = |what: String| Broken::unsent(RequestFailure::Proxy, what);
        let place = &self.place;
        let broken = |err: &hyper::Error| failed(format!("{place}: {}", secrets.tell_brief(&chain(err), 200)));
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(LARGEST_HEAD)
            .handshake(TokioIo::new(tcp))
            .await
            .map_err(|err| broken(&err))?;
        let task = Task::spawn(async move { drop(connection.with_upgrades().await) });
        let mut request = Request::connect(origin).header(header::HOST, origin);
        if let Some(auth) = auth {
            request = request.header(header::PROXY_AUTHORIZATION, auth);
        }
        let request = request.body(Full::<Bytes>::default());
        let request = request.map_err(|err| failed(format!("{place}: {}", secrets.tell(&err.to_string()))))?;
        let answer = sender.send_request(request).await.map_err(|err| broken(&err))?;
        if !answer.status().is_success() {
            return Err(failed(format!("{place}: the proxy answers {} to CONNECT", answer.status().as_u16())));
        }
        let upgraded = hyper::upgrade::on(answer).await.map_err(|err| broken(&err))?;
        Ok((TokioIo::new(upgraded), task))
    }

    /// TLS over a connection, then HTTP.
    async fn secure<S>(&self, stream: S, secrets: &Secrets, trace: &mut Trace) -> Result<Spoken, Broken>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let place = &self.place;
        let failed = |what: String| Broken::unsent(RequestFailure::Tls, what);
        let started = Instant::now();
        let host = self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|err| failed(format!("{place}: {err}")))?;
        let settings = tls_settings(&self.tls).await.map_err(|what| failed(secrets.tell(&what)))?;
        let stream: TlsStream<S> = TlsConnector::from(Arc::clone(&settings))
            .connect(name, stream)
            .await
            .map_err(|err| failed(format!("TLS with {place} failed: {}", secrets.tell_brief(&failure(&err), 300))))?;
        trace.tls = Some(started.elapsed());
        let agreed = stream.get_ref().1.alpn_protocol() == Some(H2);
        if self.version == HttpVersion::Two && !agreed {
            return Err(Broken::unsent(RequestFailure::NoHttp, format!("{place} does not speak HTTP/2")));
        }
        handshake(stream, agreed).await.map_err(|err| self.no_http(&err, secrets))
    }
}

/// A connection that speaks HTTP: where requests go, how many bytes have come, and what drives it.
type Spoken = (Sender, Arc<AtomicU64>, Task);

async fn handshake<S>(stream: S, http2: bool) -> hyper::Result<Spoken>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let received = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&received);
    let io = TokioIo::new(InspectReader::new(stream, move |bytes: &[u8]| {
        counted.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }));
    if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let head = u32::try_from(LARGEST_HEAD).unwrap_or(u32::MAX);
        let (sender, connection) = builder.max_header_list_size(head).handshake(io).await?;
        return Ok((Sender::Two(sender), received, Task::spawn(async move { drop(connection.await) })));
    }
    let (sender, connection) = http1::Builder::new().max_buf_size(LARGEST_HEAD).handshake(io).await?;
    Ok((Sender::One(sender), received, Task::spawn(async move { drop(connection.await) })))
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn the_path_of_a_probe_goes_before_the_query_of_its_target() {
        for (base, path, whole) in [
            ("http://a", "/", "http://a/"),
            ("http://a/b/", "/c?d=1", "http://a/b/c?d=1"),
            ("http://a/b?key=1", "/c", "http://a/b/c?key=1"),
            ("http://a?key=1", "c?d=2", "http://a/c?key=1&d=2"),
        ] {
            assert_eq!(joined(base, path), whole);
        }
    }
}
