//! Record sets as a server has them now.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType as Type};
use tokio::time::Instant;

use super::LOOK;
use crate::core::record::DnsChange;
use crate::record_data::wire_type;
use crate::world::live::foreign;
use crate::world::live::net::dns::{self, DnsQuestion, value};

/// Between two looks at what is said to be done.
const AGAIN: Duration = Duration::from_millis(100);

/// A record set as it is now.
pub(super) struct PresentSet {
    values: BTreeSet<String>,
    ttls: BTreeSet<u32>,
    stored: Vec<RData>,
    /// Where the name leads to, when it is an alias and another type was asked for.
    alias: Option<String>,
}

/// The record set that is to change, when the server tells.
pub(super) async fn look(server: SocketAddr, change: &DnsChange) -> Option<PresentSet> {
    let of = wire_type(change.record_type);
    let name: Name = dns::name(&change.name).ok()?;
    let answer = dns::ask(server, &DnsQuestion::new(&name, of, false), LOOK).await.ok()?;
    if !matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return None;
    }
    // The servers of a zone refer whoever asks for the name servers of a name that it delegates.
    let delegation = answer.authorities.iter().filter(|record| of == Type::NS && record.name == name);
    // An alias brings the records of the name that it leads to.
    let own = answer.answers.iter().filter(|record| record.name == name).chain(delegation);
    let records: Vec<Record> = own.cloned().collect();
    let alias = value::values(&records, Type::CNAME).into_iter().next().filter(|_| of != Type::CNAME);
    let set = || records.iter().filter(|record| record.record_type() == of);
    let (ttls, stored) = (set().map(|record| record.ttl).collect(), set().map(|record| record.data.clone()).collect());
    Some(PresentSet { values: value::values(&records, of), ttls, stored, alias })
}

/// All record sets that are to change, each when the server tells. They are asked for together: what is GO now is not when many
/// silences come one after the other.
pub(super) async fn look_at_all(server: SocketAddr, changes: &[DnsChange]) -> Vec<Option<PresentSet>> {
    join_all(changes.iter().map(|change| look(server, change))).await
}

/// All record sets as they are after an update that the server says is done, looked at until they are so, or for two seconds.
pub(super) async fn settled(server: SocketAddr, changes: &[DnsChange]) -> Vec<Option<PresentSet>> {
    let until = Instant::now() + LOOK;
    loop {
        let present = look_at_all(server, changes).await;
        let is_done =
            |(change, now): (&DnsChange, &Option<PresentSet>)| now.as_ref().is_some_and(|now| now.is_done(change));
        if changes.iter().zip(&present).all(is_done) || Instant::now() >= until {
            return present;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

impl PresentSet {
    /// Whether the change has been made already, to the TTL.
    pub(super) fn is_as_wanted(&self, change: &DnsChange) -> bool {
        self.has_wanted_values(change) && self.ttls.iter().all(|ttl| *ttl == change.ttl)
    }

    /// Whether the change has been made. A server may have bounds of its own for TTLs; where nothing else changes, it is the TTL that
    /// counts.
    pub(super) fn is_done(&self, change: &DnsChange) -> bool {
        let only_ttl =
            value::expected(&change.from, change.record_type) == value::expected(&change.to, change.record_type);
        if only_ttl { self.is_as_wanted(change) } else { self.has_wanted_values(change) }
    }

    fn has_wanted_values(&self, change: &DnsChange) -> bool {
        self.values == value::expected(&change.to, change.record_type)
    }

    /// Whether it is what the runbook expects before the change.
    pub(super) fn is_as_before(&self, change: &DnsChange) -> bool {
        self.values == value::expected(&change.from, change.record_type)
    }

    /// That the set has another TTL than it was given.
    pub(super) fn other_ttl(&self, change: &DnsChange) -> Option<String> {
        let other = self.ttls.iter().find(|ttl| **ttl != change.ttl)?;
        Some(format!("{} {} has a TTL of {other} s, not {} s", change.name, change.record_type.as_str(), change.ttl))
    }

    /// These values as the server stores them, when it has exactly them.
    pub(super) fn stored_as(&self, values: &[String], change: &DnsChange) -> Option<Vec<RData>> {
        (self.values == value::expected(values, change.record_type)).then(|| self.stored.clone())
    }

    /// The present record set, when it is not what the runbook expects.
    pub(super) fn in_the_way(&self, change: &DnsChange) -> Option<String> {
        let expected = value::expected(&change.from, change.record_type);
        if self.values == expected {
            let of = self.alias.as_ref()?;
            return Some(format!("{} is an alias of {}", change.name, foreign::brief(of, 200)));
        }
        Some(format!("{}, not {}", self.told(change), words(&expected)))
    }

    /// What is there, in words.
    pub(super) fn told(&self, change: &DnsChange) -> String {
        let ttl = self.has_wanted_values(change).then(|| self.ttls.first().copied()).flatten();
        let ttl = ttl.map_or_else(String::new, |ttl| format!(" with a TTL of {ttl} s"));
        let alias = self.alias.as_ref().map_or_else(String::new, |of| {
            format!(" (the name is an alias of {}, beside which nothing else can be)", foreign::brief(of, 200))
        });
        let values = foreign::brief(&words(&self.values), 200);
        format!("{} {} has {values}{ttl}{alias}", change.name, change.record_type.as_str())
    }
}

fn words(values: &BTreeSet<String>) -> String {
    if values.is_empty() { "nothing".to_owned() } else { values.iter().cloned().collect::<Vec<_>>().join(" ") }
}
