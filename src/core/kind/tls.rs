//! The `tls` probe.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{CheckContext, Complaint, ProbeDoc, ProbeSpec, RehearsedChanges, TargetUse};
use crate::core::ids::ProbeId;
use crate::core::syntax::is_host_port;
use crate::core::value::{Field, Shape, Value};

/// The certificate that a server presents, whether it is trusted, and how long it will be.
///
/// A certificate that is not trusted is a reading with `valid` false and a `reason`. No TLS at all, a refused
/// connection or a silent server is a failure of the probe. When an address answers that the name did not have before, every hold
/// on this probe begins anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TlsProbe {
    /// `host:port`. The certificate must be for this host, unless `server_name` says otherwise.
    pub address: String,
    /// The name that is asked for (SNI) and that the certificate must be for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Connect here (`host:port`) whatever DNS says about the host of `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// The protocol in which the server is asked for TLS first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starttls: Option<StartTls>,
    /// File with the certificate authorities in PEM that are trusted instead of those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The application protocols that are offered (ALPN), the preferred one first: `h2`, `http/1.1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
}

/// A protocol that begins without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartTls {
    /// PostgreSQL.
    Postgres,
}

impl TlsProbe {
    /// Days for which every certificate is good when a rehearsal first sees it. From there they count down.
    pub const REHEARSED_DAYS: u32 = 80;

    /// Where it connects to, `host:port`.
    pub fn endpoint(&self) -> &str {
        self.connect.as_deref().unwrap_or(&self.address)
    }

    /// The name that the certificate must be for: a host name, or an IP address without brackets.
    pub fn expected_name(&self) -> &str {
        let host = || self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        self.server_name.as_deref().unwrap_or_else(host).trim_start_matches('[').trim_end_matches(']')
    }
}

/// Whether `text` can be the name of a server: a host name, or an IP address.
fn is_server_name(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    // One colon is that of a port; an IPv6 address has more.
    let has_port = text.matches(':').count() == 1;
    !text.is_empty() && text.chars().all(known) && !has_port
}

impl ProbeSpec for TlsProbe {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        Vec::new()
    }

    fn addresses(&self) -> Vec<&str> {
        vec![self.endpoint()]
    }

    fn shape(&self) -> Shape {
        Shape::Record(Self::fields())
    }

    fn check(&self, _: &CheckContext<'_>) -> Vec<Complaint> {
        let mut found = Vec::new();
        for (key, address) in [("address", Some(&self.address)), ("connect", self.connect.as_ref())] {
            if address.is_some_and(|address| !is_host_port(address)) {
                found.push(Complaint::value(&[key], "this is not `host:port`", "expected a host and a port"));
            }
        }
        if self.server_name.as_deref().is_some_and(|name| !is_server_name(name)) {
            let message = "no certificate can be for this name";
            found.push(Complaint::value(&["server_name"], message, "expected a host name or an IP address"));
        }
        for (at, protocol) in self.alpn.iter().enumerate() {
            if !(1..=255).contains(&protocol.len()) {
                let message = "this is not the name of an application protocol";
                found.push(Complaint::value(&["alpn", &at.to_string()], message, "expected 1 to 255 bytes"));
            }
        }
        found
    }

    fn asked(&self) -> String {
        match &self.connect {
            Some(connect) => format!("{} ({connect})", self.address),
            None => self.address.clone(),
        }
    }

    fn fixed(&self, _: &ProbeId, _: &RehearsedChanges<'_>) -> Vec<(&'static str, Value)> {
        vec![
            ("valid", true.into()),
            ("reason", "".into()),
            ("self_signed", false.into()),
            ("days_left", Value::Float(Self::REHEARSED_DAYS.into())),
        ]
    }

    fn advice(&self, _: &ProbeId, _: &str) -> String {
        format!(
            "in a rehearsal every certificate is valid, from a known authority and good for {} days",
            Self::REHEARSED_DAYS
        )
    }
}

impl ProbeDoc for TlsProbe {
    const EXAMPLE: &'static str = r#"title: Let nobody onto a server whose certificate is about to end
probes:
  web: { kind: tls, address: "shop.example.com:443", connect: "198.51.100.10:443", every: 1m }
  db: { kind: tls, address: "db.example.com:5432", starttls: postgres, ca: /etc/ssl/company-ca.pem, every: 1m }
phases:
  - title: Look
    steps:
      - id: certificates
        title: Both certificates are good for two weeks
        gates:
          - { that: web.valid && web.days_left > 14.0, hold: 90s }
          - { that: db.valid && db.days_left > 14.0, hold: 90s }
        action: { manual: ["Read issuer and names of both certificates once more"] }
        expect: 1m
        reversibility: free
"#;
    const RIGHTS: &'static str = "None. A firewall must let this machine connect. It ends every connection after the handshake and sends no credentials.";

    fn fields() -> Vec<Field> {
        let names = Shape::List(Box::new(Shape::Text));
        vec![
            Field::new("valid", Shape::Bool, "whether the chain, the name and the time are all good"),
            Field::new("reason", Shape::Text, "why it is not valid; empty when it is"),
            Field::new("days_left", Shape::Float, "time until it ends; negative once it has ended").unit("days"),
            Field::new("not_before", Shape::Text, "when it begins, as RFC 3339 in UTC"),
            Field::new("not_after", Shape::Text, "when it ends, as RFC 3339 in UTC"),
            Field::new("names", names, "names it is for: its alternative names, else its common name; at most 100"),
            Field::new("subject", Shape::Text, "whose it is, such as `CN=shop.example.com`"),
            Field::new("issuer", Shape::Text, "who issued it"),
            Field::new("self_signed", Shape::Bool, "whether subject and issuer are the same and its own key signed it"),
            Field::new("fingerprint", Shape::Text, "SHA-256 of the certificate in hexadecimal"),
            Field::new("chain_length", Shape::Int, "how many the server sent, its own included").unit("certificates"),
            Field::new("protocol", Shape::Text, "the version of TLS, such as `TLSv1.3`"),
            Field::new("cipher", Shape::Text, "the cipher suite, such as `TLS_AES_256_GCM_SHA384`"),
            Field::new("alpn", Shape::Text, "the application protocol that the server chose")
                .null("none was offered, or it chose none"),
            Field::new("address", Shape::Text, "IP address and port that it connected to"),
            Field::new("connect_ms", Shape::Float, "time until the connection was open").unit("milliseconds"),
            Field::new("handshake_ms", Shape::Float, "time of the TLS handshake").unit("milliseconds"),
        ]
    }
}
