//! Targets: the things outside that probes look at and actions change.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A database, a DNS zone or a web service, named once and used by probes and actions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A PostgreSQL database.
    Postgres(Postgres),
    /// A DNS zone with its authoritative servers and the resolvers to watch.
    Dns(Dns),
    /// A web service.
    Http(Http),
}

impl Target {
    /// The word used for this kind in runbooks and messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Target::Postgres(_) => "postgres",
            Target::Dns(_) => "dns",
            Target::Http(_) => "http",
        }
    }
}

/// A PostgreSQL database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Postgres {
    /// Connection string without the password: `host=db.example port=5432 user=admin dbname=shop`.
    pub dsn: String,
    /// The password, normally `{{ secrets.NAME }}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: Tls,
    /// File with the certificate authority in PEM, when it is not one the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// How a connection is protected. There is no "prefer": a connection is either verified or knowingly plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// TLS; the certificate chain and the host name are verified.
    #[default]
    VerifyFull,
    /// No TLS. Only for loopback and test machines.
    Disable,
}

/// A DNS zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Dns {
    /// The zone, for example `example.com`.
    pub zone: String,
    /// Addresses of the authoritative servers, `address` or `address:port`. Each is asked.
    #[schemars(length(min = 1))]
    pub authoritative: Vec<String>,
    /// Recursive resolvers to watch: a name for the screen, and `address` or `address:port`.
    #[serde(default)]
    pub resolvers: BTreeMap<String, String>,
    /// The key for dynamic updates (RFC 8945).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsig: Option<Tsig>,
}

/// A TSIG key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tsig {
    /// Name of the key, as the server knows it.
    pub name: String,
    /// Algorithm; `hmac-sha256` unless the server wants another.
    #[serde(default)]
    pub algorithm: TsigAlgorithm,
    /// The key itself in base64, normally `{{ secrets.NAME }}`.
    pub secret: String,
}

/// Algorithms for TSIG that servers still accept today (RFC 8945 §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TsigAlgorithm {
    /// HMAC with SHA-256.
    #[default]
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
}

/// A web service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Http {
    /// Base address, for example `https://app.example.com`.
    pub url: String,
    /// Connect here (`address:port`) whatever DNS says, keeping the host name of `url` for TLS and `Host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// Headers sent with every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}
