//! DNS records: their types, how an action changes them, and which of them a probe watches.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::TargetId;

/// Record types the cockpit compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// IPv4 address.
    #[default]
    A,
    /// IPv6 address.
    Aaaa,
    /// Alias.
    Cname,
    /// Text.
    Txt,
    /// Mail server: `10 mail.example.com`.
    Mx,
    /// Name server.
    Ns,
    /// Service: `0 5 5060 sip.example.com`.
    Srv,
    /// Who may issue certificates: `0 issue "letsencrypt.org"`.
    Caa,
    /// Web service: `1 . alpn="h2"`.
    Https,
    /// Service binding, like `HTTPS` for other services.
    Svcb,
    /// Digest of the zone's key at its parent.
    Ds,
    /// Name of an address.
    Ptr,
    /// Start of a zone; its value is the serial. It is only watched, not changed.
    Soa,
}

impl RecordType {
    /// The type's mnemonic.
    pub fn as_str(self) -> &'static str {
        match self {
            RecordType::A => "A",
            RecordType::Aaaa => "AAAA",
            RecordType::Cname => "CNAME",
            RecordType::Txt => "TXT",
            RecordType::Mx => "MX",
            RecordType::Ns => "NS",
            RecordType::Srv => "SRV",
            RecordType::Caa => "CAA",
            RecordType::Https => "HTTPS",
            RecordType::Svcb => "SVCB",
            RecordType::Ds => "DS",
            RecordType::Ptr => "PTR",
            RecordType::Soa => "SOA",
        }
    }
}

/// Replaces one record set, only if it still has the expected values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DnsChange {
    /// The name, for example `app.example.com`.
    pub name: String,
    /// The record type.
    #[serde(default, rename = "type")]
    pub record_type: RecordType,
    /// Values that must be there now; the server refuses the whole update otherwise (RFC 2136 §2.4.2). When
    /// everything is as it should become already, that is no failure: nothing is changed.
    pub from: Vec<String>,
    /// Values afterwards.
    pub to: Vec<String>,
    /// TTL in seconds afterwards.
    pub ttl: u32,
}

/// The records of one zone that an action changes.
#[derive(Clone, Copy, Debug)]
pub struct RecordChanges<'a> {
    /// The `dns` target.
    pub target: &'a TargetId,
    /// What changes, in order.
    pub changes: &'a [DnsChange],
}

/// A record that a probe watches on its way from its old to its new values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WatchedRecord<'a> {
    /// The `dns` target.
    pub target: &'a TargetId,
    /// The name, for example `app.example.com`.
    pub name: &'a str,
    /// The record type.
    pub record_type: RecordType,
    /// Values before the change.
    pub old: &'a [String],
    /// Values after the change.
    pub new: &'a [String],
    /// The AAAA values beside it before and after the change, where the runbook gives them.
    pub aaaa: Option<(&'a [String], &'a [String])>,
    /// What the runbook says of it for a rehearsal.
    pub rehearsed: RehearsedRecord,
}

impl WatchedRecord<'_> {
    /// Whether both are the same record, whatever their probes wait for.
    pub fn is_same_as(&self, other: &WatchedRecord<'_>) -> bool {
        (self.target, self.record_type) == (other.target, other.record_type) && self.is_named(other.name)
    }

    /// Whether that is its name.
    pub fn is_named(&self, name: &str) -> bool {
        self.name.trim_end_matches('.').eq_ignore_ascii_case(name.trim_end_matches('.'))
    }
}

/// What a rehearsal needs to know about a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RehearsedRecord {
    /// TTL in seconds until something changes it. When absent, the one that the undo of its `dns.update` goes back to,
    /// else 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Whether customers find the service through this record. When no record says so, they follow the one that leads to
    /// an `http` target, else the one that an action changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub customers: bool,
}
