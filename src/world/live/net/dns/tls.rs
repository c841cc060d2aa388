//! Questions to a resolver over TLS (RFC 7858). The certificate is always verified.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::Message;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::sockets::{self, SocketPermit};
use super::{NoAnswer, framed, lost};
use crate::world::live::foreign;
use crate::world::live::net::tls::{HttpTls, certificate_fault, http};

/// How long a connection is used: each leads to one of the machines behind an address, and others are to be heard, too.
const USED_FOR: Duration = Duration::from_secs(10);
/// Connections that are kept: so many questions may be asked at the same time.
const KEPT: usize = 20;

type Stream = TlsStream<TcpStream>;

/// A resolver that is asked over TLS, with the connections to it.
#[derive(Debug)]
pub(in crate::world::live) struct TlsServer {
    address: SocketAddr,
    name: ServerName<'static>,
    /// File with the authorities that are trusted in place of those of the system.
    ca: Option<String>,
    idle: Mutex<Vec<(Instant, Stream, SocketPermit)>>,
}

impl TlsServer {
    /// # Errors
    ///
    /// When no certificate could have that name.
    pub(in crate::world::live) fn new(address: SocketAddr, name: &str, ca: Option<String>) -> Result<Self, String> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("`{}` is not a name of a certificate", foreign::brief(name, 80)))?;
        Ok(Self { address, name, ca, idle: Mutex::default() })
    }

    /// Asks one question, each on a connection of its own at that time. A connection that the server has closed meanwhile is
    /// replaced once. Says also whether the connection was used before.
    pub(super) async fn ask(&self, question: &Message, until: Instant) -> Result<(Message, bool), NoAnswer> {
        let answer = tokio::time::timeout_at(until, self.exchange(question, until)).await;
        answer.unwrap_or_else(|_| Err(NoAnswer::Silence("no answer over TLS".to_owned())))
    }

    async fn exchange(&self, question: &Message, until: Instant) -> Result<(Message, bool), NoAnswer> {
        if let Some((since, mut stream, permit)) = self.take() {
            // A connection that was lost without a word must leave time for another one.
            let half = Instant::now() + until.saturating_duration_since(Instant::now()) / 2;
            if let Ok(Ok(answer)) = tokio::time::timeout_at(half, framed(&mut stream, question)).await {
                self.keep(since, stream, permit);
                return Ok((answer, true));
            }
        }
        let permit = sockets::permit(until).await?;
        let since = Instant::now();
        let mut stream = self.connect().await?;
        match framed(&mut stream, question).await {
            Ok(answer) => {
                self.keep(since, stream, permit);
                Ok((answer, false))
            }
            Err(err) if err.kind() == ErrorKind::InvalidData => Err(NoAnswer::Nonsense(format!("over TLS: {err}"))),
            Err(err) => Err(lost("over TLS", &err)),
        }
    }

    async fn connect(&self) -> Result<Stream, NoAnswer> {
        let wanted = HttpTls { ca: self.ca.clone(), client: None, alpn: vec![b"dot".to_vec()] };
        let config = http(&wanted).await.map_err(NoAnswer::Unasked)?;
        let stream = TcpStream::connect(self.address).await.map_err(|err| lost("over TLS", &err))?;
        TlsConnector::from(config).connect(self.name.clone(), stream).await.map_err(|err| {
            match err.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(rustls::Error::InvalidCertificate(fault)) => {
                    NoAnswer::Untrusted(foreign::brief(&certificate_fault(fault), 240))
                }
                Some(fault) => NoAnswer::Nonsense(format!("no TLS: {}", foreign::brief(&fault.to_string(), 120))),
                None => lost("over TLS", &err),
            }
        })
    }

    /// A connection that nobody uses and that is not too old.
    fn take(&self) -> Option<(Instant, Stream, SocketPermit)> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(since, ..)| since.elapsed() < USED_FOR);
        idle.pop()
    }

    fn keep(&self, since: Instant, stream: Stream, permit: SocketPermit) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT && sockets::plenty() {
            idle.push((since, stream, permit));
        }
    }
}
