//! TLS for everything the live world talks to: rustls with ring, chains and names always verified.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::sync::OnceCell;

use crate::catch_panic::catch_panic_now;

/// Most bytes that are read of a file with authorities; all authorities of a system together need a tenth of it.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Client settings that trust the system's authorities. Made once.
pub(in crate::world::live) async fn system() -> Result<Arc<ClientConfig>, String> {
    static SYSTEM: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();
    SYSTEM.get_or_try_init(|| async { config(system_roots().await?) }).await.cloned()
}

/// Client settings that trust only the authorities in the PEM file at `path`.
pub(in crate::world::live) async fn authority(path: &str) -> Result<Arc<ClientConfig>, String> {
    config(authority_roots(path).await?)
}

/// The authorities that the system trusts. Read once, away from the runtime's threads.
pub(in crate::world::live) async fn system_roots() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceCell<Arc<RootCertStore>> = OnceCell::const_new();
    let read = || {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err("this system has no trusted certificate authorities".to_owned());
        }
        Ok(Arc::new(roots))
    };
    ROOTS.get_or_try_init(|| blocking(read)).await.cloned()
}

/// The authorities in the PEM file at `path`.
pub(in crate::world::live) async fn authority_roots(path: &str) -> Result<Arc<RootCertStore>, String> {
    let owned = path.to_owned();
    let read = blocking(move || {
        let mut roots = RootCertStore::empty();
        let file = File::open(&owned).map_err(|err| err.to_string())?;
        for cert in CertificateDer::pem_reader_iter(BufReader::new(file.take(LARGEST))) {
            roots.add(cert.map_err(|err| err.to_string())?).map_err(|err| err.to_string())?;
        }
        if roots.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(Arc::new(roots)) }
    });
    read.await.map_err(|err| format!("the certificate authority in {path} cannot be used: {err}"))
}

/// The cryptography library behind every connection.
pub(in crate::world::live) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Runs work on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(move || catch_panic_now(work)).await.map_err(|err| err.to_string())?;
    done.map_err(|panicked| format!("internal error: {panicked}"))?
}

fn config(roots: Arc<RootCertStore>) -> Result<Arc<ClientConfig>, String> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|err| err.to_string())
        .map(|builder| Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
