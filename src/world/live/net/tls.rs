//! TLS for everything the live world talks to: rustls with ring, chains and names always verified.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::OnceCell;

use super::chain;
use crate::world::live::files::{SYSTEM_AUTHORITIES, read_in_thread};
use crate::world::live::shortage;

/// Most bytes that are read of a file with authorities; all authorities of a system together need a tenth of it.
const LARGEST: u64 = 4 * 1024 * 1024;

/// How long what was read from files is good.
const FILES_LAST: Duration = Duration::from_mins(1);

/// Client settings that trust the system's authorities. Made once.
pub(in crate::world::live) async fn system() -> Result<Arc<ClientConfig>, String> {
    static SYSTEM: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();
    SYSTEM.get_or_try_init(|| async { config(system_roots().await?) }).await.cloned()
}

/// Client settings that trust only the authorities in the PEM file at `path`.
pub(in crate::world::live) async fn authority(path: &str) -> Result<Arc<ClientConfig>, String> {
    config(authority_roots(path).await?)
}

/// How TLS is spoken with a web service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::world::live) struct HttpTls {
    /// File with the authorities that are trusted in place of those of the system.
    pub(in crate::world::live) ca: Option<String>,
    /// Files with a certificate of one's own, and with its key.
    pub(in crate::world::live) client: Option<(String, String)>,
    /// The protocols that are offered (RFC 7301).
    pub(in crate::world::live) alpn: Vec<Vec<u8>>,
}

/// Client settings for a web service. Files are read anew once a minute. No session is taken up again: each connection
/// costs what it costs a new customer.
pub(in crate::world::live) async fn http(wanted: &HttpTls) -> Result<Arc<ClientConfig>, String> {
    type Made = HashMap<HttpTls, (Instant, Arc<ClientConfig>)>;
    static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Mutex::default);
    let made = |all: &Made| {
        all.get(wanted).filter(|(when, _)| when.elapsed() < FILES_LAST).map(|(_, config)| Arc::clone(config))
    };
    if let Some(config) = made(&MADE.lock().unwrap_or_else(PoisonError::into_inner)) {
        return Ok(config);
    }
    let roots = match &wanted.ca {
        Some(path) => authority_roots(path).await?,
        None => system_roots().await?,
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|err| err.to_string())?
        .with_root_certificates(roots);
    let mut config = match &wanted.client {
        Some((certificate, key)) => {
            let (chain, private) = own_certificate(certificate, key).await?;
            let config = builder.with_client_auth_cert(chain, private);
            config.map_err(|err| {
                format!("the certificate in {certificate} cannot be used with the key in {key}: {err}")
            })?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols.clone_from(&wanted.alpn);
    config.resumption = Resumption::disabled();
    let config = Arc::new(config);
    let mut all = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    all.insert(wanted.clone(), (Instant::now(), Arc::clone(&config)));
    Ok(config)
}

/// A certificate of one's own with those that lead to its authority, and its key.
async fn own_certificate(
    certificate: &str,
    key: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let (path, owned) = (certificate.to_owned(), key.to_owned());
    let chain = read_in_thread(certificate, move || {
        let file = File::open(&path).map_err(|err| err.to_string())?;
        let read = CertificateDer::pem_reader_iter(BufReader::new(file.take(LARGEST)));
        let chain: Vec<_> = read.collect::<Result<_, _>>().map_err(|err| err.to_string())?;
        if chain.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(chain) }
    });
    let chain = chain.await.map_err(|err| format!("the certificate in {certificate} cannot be used: {err}"))?;
    let private = read_in_thread(key, move || {
        let file = File::open(&owned).map_err(|err| err.to_string())?;
        PrivateKeyDer::from_pem_reader(BufReader::new(file.take(LARGEST))).map_err(|err| err.to_string())
    });
    let private = private.await.map_err(|err| format!("the key in {key} cannot be used: {err}"))?;
    Ok((chain, private))
}

/// The authorities that the system trusts. Read once, away from the runtime's threads.
pub(in crate::world::live) async fn system_roots() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceCell<Arc<RootCertStore>> = OnceCell::const_new();
    let read = || {
        let found = rustls_native_certs::load_native_certs();
        // What could not be read now would be missing for good.
        if let Some(missing) = found.errors.iter().find_map(|err| shortage::behind(err)) {
            return Err(format!("the trusted certificate authorities cannot be read: {missing}"));
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err("this system has no trusted certificate authorities".to_owned());
        }
        Ok(Arc::new(roots))
    };
    ROOTS.get_or_try_init(|| read_in_thread(SYSTEM_AUTHORITIES, read)).await.cloned()
}

/// The authorities in the PEM file at `path`.
pub(in crate::world::live) async fn authority_roots(path: &str) -> Result<Arc<RootCertStore>, String> {
    let owned = path.to_owned();
    let read = read_in_thread(path, move || {
        let mut roots = RootCertStore::empty();
        let file = File::open(&owned).map_err(|err| err.to_string())?;
        for cert in CertificateDer::pem_reader_iter(BufReader::new(file.take(LARGEST))) {
            roots.add(cert.map_err(|err| err.to_string())?).map_err(|err| err.to_string())?;
        }
        if roots.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(Arc::new(roots)) }
    });
    read.await.map_err(|err| format!("the certificate authority in {path} cannot be used: {err}"))
}

/// Why TLS failed. Where the certificate is at fault: in plain words, and what to do. Foreign.
pub(in crate::world::live) fn failure(err: &(dyn Error + 'static)) -> String {
    let of = |cause: &(dyn Error + 'static)| {
        // The source of an error of the system is not what it wraps, but the source of that.
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = inner.and_then(|inner| inner.downcast_ref()).or_else(|| cause.downcast_ref::<rustls::Error>());
        match found {
            Some(rustls::Error::InvalidCertificate(fault)) => Some(certificate_fault(fault)),
            _ => None,
        }
    };
    let fault = std::iter::successors(Some(err), |cause| (*cause).source()).find_map(of);
    fault.map_or_else(|| chain(err), |fault| format!("its certificate is not valid: {fault}"))
}

/// What is wrong with a certificate, in plain words: the library has only its own for most faults. Foreign.
pub(in crate::world::live) fn certificate_fault(fault: &CertificateError) -> String {
    let words = match fault {
        CertificateError::UnknownIssuer => {
            "no authority that is trusted here has signed it (name the file with its authority in `ca`)"
        }
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is that of an authority (CA:TRUE), as self-signed ones often are, and no server's (let an authority sign one for \
             the server and name that in `ca`, or make it with CA:FALSE)"
        }
        CertificateError::BadEncoding => "it cannot be read",
        CertificateError::BadSignature => "it was not signed by its issuer",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "not made for a server",
        CertificateError::UnhandledCriticalExtension => "it asks for something that cannot be checked",
        other => return other.to_string(),
    };
    words.to_owned()
}

/// The cryptography library behind every connection.
pub(in crate::world::live) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn config(roots: Arc<RootCertStore>) -> Result<Arc<ClientConfig>, String> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|err| err.to_string())
        .map(|builder| Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
