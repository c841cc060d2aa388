//! From a target to a connection that speaks HTTP: the name, TCP and TLS, each timed.

use std::net::SocketAddr;
use std::time::Instant;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use url::Url;

use super::{Broken, Trace};
use crate::catch_panic::catch_panic;
use crate::core::ids::TargetId;
use crate::core::latency::RequestFailure;
use crate::core::target::Http;
use crate::world::live::net::{chain, tls};
use crate::world::live::secrets::Secrets;

/// A connection that can be kept between exchanges.
pub(in crate::world::live) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
    born: Instant,
    task: AbortHandle,
}

impl Connection {
    /// Whether it can take a request now.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// What it is connected to.
    pub(in crate::world::live) fn address(&self) -> SocketAddr {
        self.address
    }

    /// When it was made.
    pub(in crate::world::live) fn born(&self) -> Instant {
        self.born
    }

    /// Sends one request, as soon as the one before is through.
    pub(super) async fn send_request(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where a request goes, ready to be sent.
pub(super) struct Endpoint {
    pub(super) url: Url,
    /// `host:port` or `address:port` that is connected to.
    connect: String,
    /// `shop (10.0.0.5:443)`, for messages.
    pub(super) place: String,
}

impl Endpoint {
    /// The place that `path` of the target is at.
    pub(super) async fn of(id: &TargetId, target: &Http, path: &str, secrets: &Secrets) -> Result<Self, String> {
        let base = secrets.reveal(&target.url).await?;
        let path = secrets.reveal(path).await?;
        let wrong = |err: &dyn std::fmt::Display| format!("the address of `{id}` is wrong: {err}");
        let text = format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'));
        let url = Url::parse(&text).map_err(|err| wrong(&err))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(&"it must begin with http:// or https://"));
        }
        let host = url.host_str().ok_or_else(|| wrong(&"it has no host"))?;
        let port = url.port_or_known_default().ok_or_else(|| wrong(&"it has no port"))?;
        let connect = target.connect.clone().unwrap_or_else(|| format!("{host}:{port}"));
        let place = format!("{id} ({})", secrets.tell(&connect));
        Ok(Self { url, connect, place })
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
        let found = lookup_host(&self.connect).await.map_err(|err| unknown(secrets.tell(&err.to_string())))?;
        let found: Vec<SocketAddr> = found.collect();
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
        let not_connected = |what| Broken::unsent(RequestFailure::Connect, what);
        let started = Instant::now();
        let tcp = reach(&addresses).await.map_err(|err| match err.kind() {
            std::io::ErrorKind::ConnectionRefused => not_connected(format!("connection refused by {place}")),
            _ if is_local(&err) => {
                let what = format!("{place} was not asked: {}", secrets.tell(&err.to_string()));
                Broken::unsent(RequestFailure::NotSent, what)
            }
            _ => not_connected(format!("{place} cannot be reached: {}", secrets.tell(&err.to_string()))),
        })?;
        let failed = |err: &std::io::Error| not_connected(format!("{place}: {}", secrets.tell(&err.to_string())));
        // Nagle's delay would be measured as the server's.
        tcp.set_nodelay(true).map_err(|err| failed(&err))?;
        let address = tcp.peer_addr().map_err(|err| failed(&err))?;
        trace.connect = Some(started.elapsed());
        trace.address = Some(address);
        let sender = if self.url.scheme() == "https" {
            let failed = |what: String| Broken::unsent(RequestFailure::Tls, what);
            let started = Instant::now();
            let host = self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(host.to_owned()).map_err(|err| failed(format!("{place}: {err}")))?;
            let settings = tls::system().await.map_err(failed)?;
            let stream = TlsConnector::from(settings)
                .connect(name, tcp)
                .await
                .map_err(|err| failed(format!("TLS with {place} failed: {}", secrets.tell_brief(&chain(&err), 200))))?;
            trace.tls = Some(started.elapsed());
            handshake(TokioIo::new(stream)).await
        } else {
            handshake(TokioIo::new(tcp)).await
        };
        let (sender, task) = sender.map_err(|err| {
            Broken::unsent(RequestFailure::Broken, format!("{place}: {}", secrets.tell_brief(&chain(&err), 200)))
        })?;
        Ok(Connection { sender, address, born: Instant::now(), task })
    }
}

/// Connects to the first address that can be reached.
async fn reach(addresses: &[SocketAddr]) -> std::io::Result<TcpStream> {
    TcpStream::connect(addresses).await
}

/// Whether an error is about this machine and not the other side: no descriptor, memory or port is left.
fn is_local(err: &std::io::Error) -> bool {
    let code = err.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL))
}

async fn handshake<T>(io: T) -> hyper::Result<(SendRequest<Full<Bytes>>, AbortHandle)>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(io).await?;
    let task = tokio::spawn(async move { drop(catch_panic(connection).await) });
    Ok((sender, task.abort_handle()))
}
