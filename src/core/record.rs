//! DNS records: their types, how an action changes them, and which of them a probe watches.

use std::borrow::Cow;
use std::collections::BTreeSet;

use ipnet::IpNet;
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

    /// A value as it is compared where no server is asked: names and addresses in lower case and without the last dot, other
    /// text as it is.
    pub fn plain(self, value: &str) -> String {
        let value = value.trim();
        match self {
            RecordType::Txt | RecordType::Caa => value.to_owned(),
            _ => value.trim_end_matches('.').to_ascii_lowercase(),
        }
    }
}

/// The values of a record on one side of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RecordValues {
    /// Just these, all of them.
    All(Vec<String>),
    /// Some of many, for a name whose load is balanced.
    Balanced(BalancedValues),
}

/// What the answers for a balanced name have in common: exactly one of the two is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BalancedValues {
    /// Every answer is made of some of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<String>>,
    /// Every address lies in one of these networks: `203.0.113.0/24`, `2001:db8::/32`. For addresses only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Vec<String>>,
    /// The share of the answers of each authoritative server that is to be of these, from 0.05 to 0.95, while the others stay as
    /// before: for names with weights. Only after the change. A server counts as new when its newest answers show that
    /// share, within the error of so many answers (95 %). Resolvers are not judged by it: each keeps one answer for its whole TTL,
    /// so their answers show no share, and `old`, `new`, `fresh_share`, `max_remaining_ttl` and `eta` are null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

impl From<Vec<String>> for RecordValues {
    fn from(values: Vec<String>) -> Self {
        Self::All(values)
    }
}

impl RecordValues {
    /// The values that are written out.
    pub fn named(&self) -> &[String] {
        match self {
            Self::All(values) => values,
            Self::Balanced(balanced) => balanced.one_of.as_deref().unwrap_or_default(),
        }
    }

    /// The networks, as they are written.
    pub fn networks(&self) -> &[String] {
        match self {
            Self::All(_) => &[],
            Self::Balanced(balanced) => balanced.within.as_deref().unwrap_or_default(),
        }
    }

    /// The share of the answers that is to have them; `None` for all.
    pub fn share(&self) -> Option<f64> {
        match self {
            Self::All(_) => None,
            Self::Balanced(balanced) => balanced.share,
        }
    }

    /// An answer that fits, for a rehearsal: of many values the first.
    pub fn typical(&self) -> Vec<String> {
        match self {
            Self::All(values) => values.clone(),
            Self::Balanced(_) => {
                let network = || self.networks().iter().find_map(|network| network.parse::<IpNet>().ok());
                let first = || network().and_then(|network| network.hosts().next()).map(|address| address.to_string());
                self.named().first().cloned().or_else(first).into_iter().collect()
            }
        }
    }

    /// The same in a form in which answers are compared; `normal` gives the one form of a value.
    pub fn expected(&self, normal: impl Fn(&str) -> String) -> ExpectedValues {
        let set = |values: &[String]| values.iter().map(|value| normal(value)).collect();
        match self {
            Self::All(values) => ExpectedValues::All(set(values)),
            Self::Balanced(balanced) => match &balanced.within {
                Some(networks) => {
                    ExpectedValues::Within(networks.iter().filter_map(|network| network.parse().ok()).collect())
                }
                None => ExpectedValues::OneOf(set(balanced.one_of.as_deref().unwrap_or_default())),
            },
        }
    }
}

/// The values that an answer should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedValues {
    /// Just these.
    All(BTreeSet<String>),
    /// Some of these, and no others.
    OneOf(BTreeSet<String>),
    /// Addresses in these networks.
    Within(Vec<IpNet>),
}

impl Default for ExpectedValues {
    fn default() -> Self {
        Self::All(BTreeSet::new())
    }
}

impl ExpectedValues {
    /// Whether an answer with these values is as expected.
    pub fn fits(&self, found: &BTreeSet<String>) -> bool {
        match self {
            Self::All(values) => found == values,
            Self::OneOf(_) | Self::Within(_) => !found.is_empty() && found.iter().all(|value| self.has(value)),
        }
    }

    /// Whether it may be among the values of such an answer.
    pub fn has(&self, value: &str) -> bool {
        match self {
            Self::All(values) | Self::OneOf(values) => values.contains(value),
            Self::Within(networks) => {
                host(value).is_some_and(|host| networks.iter().any(|network| network.contains(&host)))
            }
        }
    }

    /// Something that an answer may hold that fits here and in `other`: neither would tell it from the other.
    pub fn overlap(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Self::All(one), Self::All(two)) => (one == two).then(|| one.iter().next().cloned().unwrap_or_default()),
            (Self::All(one), many) | (many, Self::All(one)) => {
                many.fits(one).then(|| one.iter().next().cloned().unwrap_or_default())
            }
            (Self::OneOf(values), many) | (many, Self::OneOf(values)) => {
                values.iter().find(|value| many.has(value)).cloned()
            }
            (Self::Within(one), Self::Within(two)) => one
                .iter()
                .flat_map(|one| two.iter().map(move |two| (one, two)))
                .find(|(one, two)| one.contains(&two.network()) || two.contains(&one.network()))
                .map(|(one, two)| if one.contains(&two.network()) { two.to_string() } else { one.to_string() }),
        }
    }
}

/// The network of one address; `None` when it is none.
fn host(address: &str) -> Option<IpNet> {
    let length = if address.contains(':') { 128 } else { 32 };
    format!("{address}/{length}").parse().ok()
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
#[derive(Clone, Debug)]
pub struct RecordChanges<'a> {
    /// The `dns` target, or the `route53` target of the zone.
    pub target: &'a TargetId,
    /// What changes, in order.
    pub changes: Cow<'a, [DnsChange]>,
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
    pub old: &'a RecordValues,
    /// Values after the change.
    pub new: &'a RecordValues,
    /// The AAAA values beside it before and after the change, where the runbook gives them.
    pub aaaa: Option<(&'a RecordValues, &'a RecordValues)>,
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
