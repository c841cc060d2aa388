//! How the AWS SDK reaches its servers: with the addresses, the one TLS stack and the authorities of the other probes. It notes
//! whether a request has left, and can be told to stay on this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::world::live::net::{host, tls};
use crate::world::live::shortage;

/// Longest wait for a connection, unless the SDK asks for less.
const CONNECT: Duration = Duration::from_secs(3);
/// Largest answer that is read, bytes. A page of records has at most a tenth of it.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;

/// Where connections may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::world::live) enum Reach {
    /// Anywhere.
    Anywhere,
    /// Addresses of this machine only, whatever a name resolves to.
    ThisMachine,
}

/// Makes a connection for each request.
#[derive(Clone, Debug)]
pub(in crate::world::live) struct Dialer {
    reach: Reach,
    sent: Arc<AtomicBool>,
}

impl Dialer {
    /// One that has sent nothing yet.
    pub(in crate::world::live) fn new(reach: Reach) -> Self {
        Self { reach, sent: Arc::default() }
    }

    /// Whether a request has left, wholly or in part, and so may have been carried out.
    pub(in crate::world::live) fn has_sent(&self) -> bool {
        self.sent.load(Ordering::SeqCst)
    }
}

impl HttpClient for Dialer {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let connect = settings.connect_timeout().unwrap_or(CONNECT).min(CONNECT);
        SharedHttpConnector::new(Dialling { dialer: self.clone(), connect })
    }
}

/// The same with the settings of one client.
#[derive(Debug)]
struct Dialling {
    dialer: Dialer,
    connect: Duration,
}

impl HttpConnector for Dialling {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (dialer, connect) = (self.dialer.clone(), self.connect);
        HttpConnectorFuture::new(async move { Box::pin(exchange(dialer, connect, request)).await })
    }
}

/// Nothing was sent, since the other side was not reached.
fn unreached(what: String) -> ConnectorError {
    ConnectorError::io(what.into()).never_connected()
}

async fn exchange(dialer: Dialer, connect: Duration, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|err| ConnectorError::user(err.into()))?;
    let (server, secure, port) = server(request.uri()).map_err(|what| ConnectorError::user(what.into()))?;
    let reached = tokio::time::timeout(connect, reach(dialer.reach, &server, port));
    let tcp = reached.await.map_err(|_| unreached(format!("{server}:{port} does not answer within {connect:?}")))?;
    let tcp = tcp.map_err(unreached)?;
    if secure {
        let name = ServerName::try_from(server.clone()).map_err(|err| ConnectorError::user(err.into()))?;
        let settings = tls::system().await.map_err(unreached)?;
        let secured = tokio::time::timeout(connect, TlsConnector::from(settings).connect(name, tcp)).await;
        let stream = secured.map_err(|_| unreached(format!("no TLS with {server}:{port} within {connect:?}")))?;
        let stream =
            stream.map_err(|err| unreached(format!("TLS with {server}:{port} failed: {}", tls::failure(&err))))?;
        ask(&dialer, stream, request).await
    } else {
        ask(&dialer, tcp, request).await
    }
}

/// Host, whether TLS is spoken, and port.
fn server(uri: &Uri) -> Result<(String, bool, u16), String> {
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(format!("`{uri}` begins with neither https:// nor http://")),
    };
    let host = uri.host().ok_or_else(|| format!("`{uri}` has no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok((host, secure, uri.port_u16().unwrap_or(if secure { 443 } else { 80 })))
}

async fn reach(reach: Reach, host: &str, port: u16) -> Result<TcpStream, String> {
    let said = |err: &std::io::Error| shortage::of(err).unwrap_or_else(|| err.to_string());
    let found = host::addresses_of(host, port).await;
    let mut found = found.map_err(|err| format!("{host} cannot be looked up: {}", said(&err)))?;
    if reach == Reach::ThisMachine {
        found.retain(|address: &SocketAddr| address.ip().to_canonical().is_loopback());
        if found.is_empty() {
            return Err(format!("{host} is not on this machine, and the target's endpoint is: nobody was asked"));
        }
    }
    let mut why = format!("{host} has no address");
    for address in found {
        match TcpStream::connect(address).await {
            Ok(tcp) => {
                // Nagle's delay would only make every exchange slower.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Err(err) => why = format!("{host} ({address}) cannot be reached: {}", said(&err)),
        }
    }
    Err(why)
}

/// Puts one request over a connection that ends with it.
async fn ask<S>(dialer: &Dialer, stream: S, request: Request<SdkBody>) -> Result<HttpResponse, ConnectorError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut parts, body) = request.into_parts();
    if !parts.headers.contains_key(HOST)
        && let Some(host) = parts.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok())
    {
        parts.headers.insert(HOST, host);
    }
    // What is asked of a server itself is a path (RFC 9112 §3.2.1).
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse().map_err(|err: hyper::http::uri::InvalidUri| ConnectorError::user(err.into()))?;
    let broken = |err: hyper::Error| ConnectorError::io(err.into());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let exchange = async {
        dialer.sent.store(true, Ordering::SeqCst);
        let answer = sender.send_request(Request::from_parts(parts, body)).await.map_err(broken)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(ConnectorError::io)?;
        let answer = hyper::Response::from_parts(head, SdkBody::from(body.to_bytes()));
        HttpResponse::try_from(answer).map_err(|err| ConnectorError::other(err.into(), None))
    };
    tokio::pin!(exchange, connection);
    let mut ended = false;
    loop {
        tokio::select! {
            answer = &mut exchange => return answer,
            // Its own error is told by the exchange.
            _ = &mut connection, if !ended => ended = true,
        }
    }
}
