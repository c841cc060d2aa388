//! The `tls` probe: completes a handshake whatever the certificate is, then ends the connection.

mod certificate;
mod verdict;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::certificate::Certificate;
use self::verdict::{CertificateRecorder, Presented};
use super::Measure;
use crate::core::kind::TlsProbe;
use crate::core::kind::tls::StartTls;
use crate::core::moves::{AddressWatch, Moves};
use crate::core::reading::Failure;
use crate::core::value::Value;
use crate::world::live::net::{chain, host, tls};
use crate::world::live::{Shared, shortage};

/// PostgreSQL's `SSLRequest`: its length, then its code (PostgreSQL, "Message Formats").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// Longest wait for the server's part of closing the connection. The reading is complete by then.
const GOODBYE: Duration = Duration::from_millis(200);

impl Measure for TlsProbe {
    type Memory = AddressWatch;

    const DESCRIPTORS: u32 = 2;

    /// Makes a connection of its own each time, so that a certificate that was exchanged is seen.
    async fn measure(&self, shared: &Shared, limit: Duration, watch: &mut AddressWatch) -> Result<Value, Failure> {
        // Leaves time to say where it stalled before the common limit of all probes ends it.
        let deadline = Instant::now() + limit.mul_f64(0.9);
        self.look(shared, deadline, watch).await.map_err(Failure::new)
    }

    fn recall_answerer(&self, moves: &Moves, watch: &mut AddressWatch) {
        watch.take_up(moves.clone());
    }

    fn moves(&self, watch: &AddressWatch) -> Moves {
        watch.moves().clone()
    }
}

/// What a connection was like.
struct Connection {
    /// The address it connected to.
    address: SocketAddr,
    /// How long it took to open.
    opened_in: Duration,
    /// How long the handshake took.
    agreed_in: Duration,
    /// The version of TLS.
    protocol: String,
    /// The cipher suite.
    cipher: String,
    /// The application protocol that was chosen.
    alpn: Option<String>,
}

impl TlsProbe {
    async fn look(&self, shared: &Shared, deadline: Instant, watch: &mut AddressWatch) -> Result<Value, String> {
        let secrets = &shared.secrets;
        let (endpoint, name) = (self.endpoint(), self.expected_name());
        let place = secrets.tell_brief(endpoint, 300);
        let name = ServerName::try_from(name.trim_start_matches('[').trim_end_matches(']').to_owned())
            .map_err(|_| format!("{} is no name of a server", secrets.tell_brief(name, 300)))?;
        let roots = match &self.ca {
            Some(path) => in_time(deadline, tls::authority_roots(path)).await,
            None => in_time(deadline, tls::system_roots()).await,
        };
        let roots = roots.ok_or("the certificate authorities cannot be read in time")??;
        let recorder = Arc::new(CertificateRecorder::new(roots)?);
        let config = config(&recorder, &self.alpn)?;

        let missing_or_said =
            |err: &std::io::Error| shortage::of(err).unwrap_or_else(|| secrets.tell(&err.to_string()));
        let found = in_time(deadline, host::addresses(endpoint)).await;
        let found: Vec<SocketAddr> = found
            .ok_or_else(|| format!("{place} was not resolved in time"))?
            .map_err(|err| format!("{place} cannot be resolved: {}", missing_or_said(&err)))?;
        let started = Instant::now();
        let tcp = in_time(deadline, TcpStream::connect(&*found)).await;
        let mut tcp = tcp.ok_or_else(|| format!("{place} does not answer"))?.map_err(|err| match err.kind() {
            ErrorKind::ConnectionRefused => format!("connection refused by {place}"),
            _ if shortage::of(&err).is_some() => format!("{place} was not asked: {}", missing_or_said(&err)),
            _ => format!("{place} cannot be reached: {}", secrets.tell(&err.to_string())),
        })?;
        let opened_in = started.elapsed();
        let address = tcp.peer_addr().map_err(|err| format!("{place}: {err}"))?;
        let all: Vec<String> = found.iter().map(ToString::to_string).collect();
        watch.take(&address.to_string(), &all, shared.options.clock.now());
        if let Some(StartTls::Postgres) = self.starttls {
            let agreed = in_time(deadline, ask_postgres(&mut tcp)).await;
            agreed
                .ok_or_else(|| format!("{place} does not answer PostgreSQL's request for TLS"))?
                .map_err(|what| format!("{place} {}", secrets.tell(&what)))?;
        }
        let started = Instant::now();
        let shaken = in_time(deadline, TlsConnector::from(config).connect(name.clone(), tcp)).await;
        let mut stream = shaken
            .ok_or_else(|| format!("{place} does not finish the TLS handshake"))?
            .map_err(|err| format!("{place} {}", secrets.tell_brief(&broken(&err), 300)))?;
        let agreed_in = started.elapsed();
        let connection = Connection { opened_in, agreed_in, ..connection(&stream, address) };
        // Some servers log an error when a connection ends without a TLS close.
        drop(tokio::time::timeout(GOODBYE, stream.shutdown()).await);
        let seen = recorder.seen().ok_or_else(|| format!("{place} presents no certificate"))?;
        let certificate = Certificate::read(&seen.leaf)
            .map_err(|err| format!("{place} presents a certificate that cannot be read: {err}"))?;
        Ok(reading(shared, &seen, &certificate, &connection, &name))
    }
}

/// What `work` gives, or `None` when it is not done at `deadline`.
async fn in_time<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout_at(deadline.into(), work).await.ok()
}

fn config(recorder: &Arc<CertificateRecorder>, alpn: &[String]) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|err| err.to_string())?;
    // Nothing is sent over such a connection, so it need not be trusted.
    let verifier = Arc::clone(recorder);
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    // A resumed session would show no certificate.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

/// Asks a PostgreSQL server to go on in TLS, or says why not. The answer is a single byte, and not one more is read:
/// the handshake comes next.
async fn ask_postgres(tcp: &mut TcpStream) -> Result<(), String> {
    let broke = |err: std::io::Error| format!("broke off before TLS: {err}");
    tcp.write_all(&SSL_REQUEST).await.map_err(broke)?;
    match tcp.read_u8().await {
        Ok(b'S') => Ok(()),
        Ok(b'N') => Err("is a PostgreSQL server without TLS (ssl = off)".to_owned()),
        Ok(b'E') => Err("refuses PostgreSQL's request for TLS with an error".to_owned()),
        Ok(_) => Err("does not speak PostgreSQL's protocol".to_owned()),
        Err(err) if err.kind() == ErrorKind::UnexpectedEof => {
            Err("closed the connection at PostgreSQL's request for TLS".to_owned())
        }
        Err(err) => Err(broke(err)),
    }
}

/// Why a handshake was not finished, as the rest of a sentence that begins with the place.
fn broken(err: &std::io::Error) -> String {
    match err.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(_)) => "does not speak TLS".to_owned(),
        Some(rustls::Error::AlertReceived(alert)) => format!("refuses the TLS handshake: {alert:?}"),
        Some(rustls::Error::PeerIncompatible(why)) => format!("has no TLS in common with gonogo: {why:?}"),
        Some(rustls::Error::NoApplicationProtocol) => "accepts none of the application protocols".to_owned(),
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature)) => {
            "does not prove that it holds the key of its certificate".to_owned()
        }
        Some(other) => format!("breaks the TLS handshake: {other}"),
        None if matches!(err.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            "closed the connection in the TLS handshake".to_owned()
        }
        None => format!("breaks the TLS handshake: {}", chain(err)),
    }
}

fn connection(stream: &TlsStream<TcpStream>, address: SocketAddr) -> Connection {
    let (_, session) = stream.get_ref();
    let protocol = session.protocol_version().and_then(|version| version.as_str()).unwrap_or("unknown");
    let cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
    Connection {
        address,
        opened_in: Duration::ZERO,
        agreed_in: Duration::ZERO,
        // Written as in RFC 8446 and the registry of cipher suites.
        protocol: protocol.replace('_', "."),
        cipher: cipher.replace("TLS13_", "TLS_"),
        alpn: session.alpn_protocol().map(|chosen| String::from_utf8_lossy(chosen).into_owned()),
    }
}

fn reading(
    shared: &Shared,
    seen: &Presented,
    certificate: &Certificate,
    connection: &Connection,
    name: &ServerName<'_>,
) -> Value {
    let told = |text: &str| Value::Text(shared.secrets.tell_brief(text, 300));
    let reason = verdict::reason(seen, certificate, name);
    let ms = |time: Duration| Value::Float(time.as_secs_f64() * 1_000.0);
    Value::map([
        ("valid", reason.is_none().into()),
        ("reason", told(&reason.unwrap_or_default())),
        ("days_left", Value::Float(certificate.days_left(seen.now))),
        ("not_before", certificate.not_before.to_string().into()),
        ("not_after", certificate.not_after.to_string().into()),
        ("names", Value::List(certificate.names.iter().map(|name| told(name)).collect())),
        ("subject", told(&certificate.subject)),
        ("issuer", told(&certificate.issuer)),
        ("self_signed", certificate.self_signed.into()),
        ("fingerprint", certificate.fingerprint.clone().into()),
        ("chain_length", u64::try_from(seen.intermediates.len() + 1).unwrap_or(u64::MAX).into()),
        ("protocol", connection.protocol.clone().into()),
        ("cipher", connection.cipher.clone().into()),
        ("alpn", connection.alpn.as_deref().map_or(Value::Null, told)),
        ("address", told(&connection.address.to_string())),
        ("connect_ms", ms(connection.opened_in)),
        ("handshake_ms", ms(connection.agreed_in)),
    ])
}
