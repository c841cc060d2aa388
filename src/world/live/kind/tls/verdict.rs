//! What is wrong with a certificate: the usual verifier judges it, and its verdict is recorded instead of enforced.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::Certificate;
use crate::world::live::foreign;
use crate::world::live::net::tls;

/// What a server presented, and the usual verifier's verdict on it.
#[derive(Clone, Debug)]
pub(super) struct Presented {
    /// The server's own certificate.
    pub(super) leaf: CertificateDer<'static>,
    /// The others that it sent.
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    /// When it was judged.
    pub(super) now: UnixTime,
    /// What is wrong with it, if anything is.
    verdict: Option<Error>,
    /// Whether it is itself one of the trusted authorities.
    is_root: bool,
}

/// Accepts every certificate and records the usual verifier's verdict on it. That the server holds the certificate's
/// key is verified as usual.
#[derive(Debug)]
pub(super) struct CertificateRecorder {
    verifier: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    seen: Mutex<Option<Presented>>,
}

impl CertificateRecorder {
    /// A recorder for one handshake; its verifier trusts `roots`.
    pub(super) fn new(roots: Arc<RootCertStore>) -> Result<Self, String> {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), tls::provider())
            .build()
            .map_err(|err| err.to_string())?;
        Ok(Self { verifier, roots, seen: Mutex::default() })
    }

    /// What was presented; `None` when the handshake did not get that far.
    pub(super) fn seen(&self) -> Option<Presented> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the handshake go on with a certificate that the verifier cannot parse. It is recorded as invalid already,
    /// and no signature by its key can be verified.
    fn unless_unreadable(
        &self,
        verified: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        match verified {
            Err(Error::InvalidCertificate(CertificateError::BadEncoding | CertificateError::Other(_)))
                if self.seen().is_some_and(|seen| seen.verdict.is_some()) =>
            {
                Ok(HandshakeSignatureValid::assertion())
            }
            verified => verified,
        }
    }
}

impl ServerCertVerifier for CertificateRecorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.verifier.verify_server_cert(leaf, intermediates, name, ocsp_response, now).err();
        let mut own = RootCertStore::empty();
        let is_root = own.add(leaf.clone()).is_ok() && own.roots.iter().all(|own| self.roots.roots.contains(own));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Presented {
            leaf: leaf.clone().into_owned(),
            intermediates: intermediates.iter().map(|cert| cert.clone().into_owned()).collect(),
            now,
            verdict,
            is_root,
        });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.unless_unreadable(self.verifier.verify_tls12_signature(message, cert, signed))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.unless_unreadable(self.verifier.verify_tls13_signature(message, cert, signed))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Why the certificate is not valid, in plain words that are not yet cleaned; `None` when it is.
pub(super) fn reason(seen: &Presented, certificate: &Certificate, name: &ServerName<'_>) -> Option<String> {
    let verdict = seen.verdict.as_ref()?;
    let mut reasons = Vec::new();
    // The verifier stops at the first fault, and looks at the name last.
    let wrong_name = is_about_the_name(verdict)
        || ParsedCertificate::try_from(&seen.leaf)
            .and_then(|parsed| verify_server_name(&parsed, name))
            .is_err_and(|err| is_about_the_name(&err));
    if !is_about_the_name(verdict) {
        reasons.push(fault(verdict, seen, certificate));
    }
    if wrong_name {
        reasons.push(match certificate.names.as_slice() {
            [] => "for no name".to_owned(),
            names => format!("for another name: {}", names.join(", ")),
        });
    }
    Some(reasons.join("; "))
}

fn is_about_the_name(err: &Error) -> bool {
    matches!(
        err,
        Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
    )
}

fn fault(verdict: &Error, seen: &Presented, certificate: &Certificate) -> String {
    let Error::InvalidCertificate(fault) = verdict else { return verdict.to_string() };
    match fault {
        CertificateError::ExpiredContext { not_after, .. } => {
            let since = coarse(seen.now.as_secs().saturating_sub(not_after.as_secs()));
            let own = certificate.days_left(seen.now) < 0.0;
            if own { format!("expired {since} ago") } else { format!("a certificate above it expired {since} ago") }
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("not yet valid: it begins in {}", coarse(not_before.as_secs().saturating_sub(seen.now.as_secs())))
        }
        // A trusted authority's certificate is never valid for a server, even when it is exactly the expected one.
        _ if seen.is_root => "the certificate of a trusted authority, which cannot be a server's".to_owned(),
        CertificateError::UnknownIssuer | CertificateError::Other(_) if certificate.self_signed => {
            "self-signed".to_owned()
        }
        CertificateError::UnknownIssuer => {
            let issuer = foreign::brief(&certificate.issuer, 120);
            let alone =
                if seen.intermediates.is_empty() { ", and the server sent no certificate in between" } else { "" };
            format!("unknown authority: {issuer}{alone}")
        }
        other => foreign::brief(&tls::certificate_fault(other), 120),
    }
}

/// A length of time in its largest unit, rounded down.
fn coarse(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (count, unit) = units
        .into_iter()
        .map(|(length, unit)| (seconds / length, unit))
        .find(|(count, _)| *count > 0)
        .unwrap_or((0, "second"));
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
