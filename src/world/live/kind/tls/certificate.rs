//! The contents of a certificate. All of its text is foreign and not yet cleaned.

use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest as _, Sha256};
use x509_cert::der::asn1::{AnyRef, Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

use crate::world::live::net::tls;

/// Most names of one certificate that are read.
const NAMES: usize = 100;
/// The attribute that holds a common name (RFC 4519 §2.3).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// A certificate, as far as it is shown.
pub(super) struct Certificate {
    /// When it begins.
    pub(super) not_before: Timestamp,
    /// When it ends.
    pub(super) not_after: Timestamp,
    /// Its alternative names, else its common name.
    pub(super) names: Vec<String>,
    /// Whose it is, as RFC 4514 writes it.
    pub(super) subject: String,
    /// Who issued it.
    pub(super) issuer: String,
    /// Whether subject and issuer are the same and its own key signed it.
    pub(super) self_signed: bool,
    /// SHA-256 of all of it.
    pub(super) fingerprint: String,
}

impl Certificate {
    /// Reads what stands in a certificate, or says why it cannot be read.
    pub(super) fn read(der: &CertificateDer<'_>) -> Result<Self, String> {
        let read = x509_cert::Certificate::from_der(der).map_err(|err| err.to_string())?;
        let self_signed = read.tbs_certificate.subject == read.tbs_certificate.issuer && signs_itself(&read);
        let of = read.tbs_certificate;
        // Alternative names that cannot be read count as none; the common name does not replace them.
        let names = match of.get::<SubjectAltName>() {
            Ok(Some((_, SubjectAltName(names)))) => names.iter().filter_map(alternative).take(NAMES).collect(),
            Ok(None) => common_name(&of.subject).into_iter().collect(),
            Err(_) => Vec::new(),
        };
        Ok(Self {
            not_before: timestamp(of.validity.not_before)?,
            not_after: timestamp(of.validity.not_after)?,
            names,
            subject: of.subject.to_string(),
            issuer: of.issuer.to_string(),
            self_signed,
            fingerprint: HEXLOWER.encode(&Sha256::digest(der)),
        })
    }

    /// Days until it ends; negative once it has ended.
    #[allow(clippy::cast_precision_loss)] // seconds until the year 9999
    pub(super) fn days_left(&self, now: UnixTime) -> f64 {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.not_after.as_second().saturating_sub(now) as f64 / 86_400.0
    }
}

/// Whether a certificate is signed by its own key. A signature of an unknown kind does not count.
fn signs_itself(read: &x509_cert::Certificate) -> bool {
    let of = &read.tbs_certificate;
    let (Ok(message), Some(key), Some(signature)) =
        (of.to_der(), of.subject_public_key_info.subject_public_key.as_bytes(), read.signature.as_bytes())
    else {
        return false;
    };
    // The names of algorithms are compared without the outermost tag and length.
    let name = |of: &AlgorithmIdentifierOwned| Some(AnyRef::from_der(&of.to_der().ok()?).ok()?.value().to_vec());
    let (of_key, of_signature) = (name(&of.subject_public_key_info.algorithm), name(&read.signature_algorithm));
    tls::provider().signature_verification_algorithms.all.iter().any(|known| {
        of_key.as_deref() == Some(known.public_key_alg_id().as_ref())
            && of_signature.as_deref() == Some(known.signature_alg_id().as_ref())
            && known.verify_signature(key, &message, signature).is_ok()
    })
}

fn timestamp(time: Time) -> Result<Timestamp, String> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_err(|err| err.to_string())
}

/// An alternative name as text; `None` for the kinds that servers do not have.
fn alternative(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) | GeneralName::Rfc822Name(name) | GeneralName::UniformResourceIdentifier(name) => {
            Some(name.to_string())
        }
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let four = || Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string());
            let six = || Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string());
            four().or_else(six)
        }
        _ => None,
    }
}

/// The most specific common name of a subject.
fn common_name(subject: &Name) -> Option<String> {
    let mut parts = subject.0.iter().flat_map(|part| part.0.iter()).filter(|part| part.oid == COMMON_NAME);
    let value = &parts.next_back()?.value;
    Utf8StringRef::try_from(value)
        .map(|text| text.as_str().to_owned())
        .or_else(|_| PrintableStringRef::try_from(value).map(|text| text.as_str().to_owned()))
        .or_else(|_| Ia5StringRef::try_from(value).map(|text| text.as_str().to_owned()))
        .or_else(|_| TeletexStringRef::try_from(value).map(|text| text.as_str().to_owned()))
        .ok()
}
