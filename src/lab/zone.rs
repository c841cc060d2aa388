//! The zone's records, and RFC 2136 dynamic update on them. Pure: no sockets, no keys, no clock.
//!
//! An update is all or nothing: it is worked out on a copy that replaces the zone only when every part of it held.

use std::collections::BTreeMap;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, NS, SOA};
use hickory_proto::rr::{DNSClass, LowerName, Name, RData, Record, RecordType, RrKey};

/// TTL of records that never change here, and how long "no such record" may be remembered, seconds.
const FIXED_TTL: u32 = 10;
/// Longest chain of aliases followed within the zone.
const MAX_ALIASES: usize = 8;

/// A weight and the records that have it.
pub(super) type WeightedRecords = (u32, Vec<Record>);

/// What a query finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Records of the type, perhaps after aliases.
    Records(Vec<Record>),
    /// The name exists, the type does not; the SOA says for how long that may be remembered.
    NoData(Vec<Record>),
    /// The name does not exist.
    NoName(Vec<Record>),
    /// The name is not in this zone.
    NotHere,
}

/// The content of one zone.
#[derive(Debug, Clone)]
pub(super) struct Zone {
    origin: LowerName,
    rrsets: BTreeMap<RrKey, Vec<Record>>,
    /// Record sets of which each answer has one, by their weights. They stand in place of those in `rrsets`.
    weighted: BTreeMap<RrKey, Vec<WeightedRecords>>,
}

impl Zone {
    /// A zone with SOA and NS, served by `address`, with one more name.
    pub(super) fn new(origin: &Name, address: A, app: &Name, app_address: A, app_ttl: u32) -> Self {
        let server =
            Name::from_ascii("ns1").and_then(|label| label.append_name(origin)).unwrap_or_else(|_| origin.clone());
        let contact = Name::from_ascii("hostmaster")
            .and_then(|label| label.append_name(origin))
            .unwrap_or_else(|_| origin.clone());
        let soa = SOA::new(server.clone(), contact, 1, 3600, 600, 86_400, FIXED_TTL);
        let records = [
            Record::from_rdata(origin.clone(), FIXED_TTL, RData::SOA(soa)),
            Record::from_rdata(origin.clone(), FIXED_TTL, RData::NS(NS(server.clone()))),
            Record::from_rdata(server, FIXED_TTL, RData::A(address)),
            Record::from_rdata(app.clone(), app_ttl, RData::A(app_address)),
        ];
        let mut zone = Self { origin: LowerName::new(origin), rrsets: BTreeMap::new(), weighted: BTreeMap::new() };
        for record in records {
            zone.add(&record);
        }
        zone
    }

    /// Whether a name is the apex of this zone.
    pub(super) fn is_origin(&self, name: &LowerName) -> bool {
        *name == self.origin
    }

    /// Serves these record sets of a name and type, and no others; without any there is none. Each answer has one of several, by
    /// their weights; when all weights are 0, they share alike.
    pub(super) fn publish(&mut self, name: &Name, record_type: RecordType, sets: Vec<WeightedRecords>) {
        let key = RrKey::new(LowerName::new(name), record_type);
        self.rrsets.remove(&key);
        self.weighted.remove(&key);
        let sets: Vec<WeightedRecords> = if sets.iter().any(|(weight, _)| *weight > 0) {
            sets.into_iter().filter(|(weight, _)| *weight > 0).collect()
        } else {
            sets.into_iter().map(|(_, records)| (1, records)).collect()
        };
        // Of several the first stands for the existence of all.
        if let Some((_, records)) = sets.first() {
            self.rrsets.insert(key.clone(), records.clone());
        }
        if sets.len() > 1 {
            self.weighted.insert(key, sets);
        }
        self.increment_serial();
    }

    /// Answers a question. `draw` decides between record sets with weights.
    pub(super) fn find(&self, name: &LowerName, record_type: RecordType, draw: u32) -> Lookup {
        if !self.origin.zone_of(name) {
            return Lookup::NotHere;
        }
        let mut answers = Vec::new();
        let mut name = name.clone();
        for _ in 0..MAX_ALIASES {
            if let Some(records) = self.drawn(&name, record_type, draw) {
                answers.extend_from_slice(records);
                return Lookup::Records(answers);
            }
            let Some(alias) = self.rrset(&name, RecordType::CNAME).and_then(<[Record]>::first) else {
                break;
            };
            answers.push(alias.clone());
            let RData::CNAME(target) = &alias.data else {
                break;
            };
            name = LowerName::new(&target.0);
        }
        let soa = self.rrset(&self.origin, RecordType::SOA).unwrap_or_default().to_vec();
        if !answers.is_empty() {
            Lookup::Records(answers)
        } else if self.has_name(&name) {
            Lookup::NoData(soa)
        } else {
            Lookup::NoName(soa)
        }
    }

    /// Carries out an update message, or none of it.
    ///
    /// # Errors
    /// The response code that RFC 2136 sections 3.2 and 3.4 give for the first thing that does not hold.
    pub(super) fn update(&mut self, prerequisites: &[Record], updates: &[Record]) -> Result<(), ResponseCode> {
        self.check_prerequisites(prerequisites)?;
        self.prescan(updates)?;
        let mut changed = self.clone();
        for update in updates {
            changed.weighted.remove(&RrKey::new(LowerName::new(&update.name), update.record_type()));
            changed.apply(update);
        }
        // Records compare without their TTL, and a new TTL is a change all the same.
        if changed.rrsets != self.rrsets || changed.ttls() != self.ttls() {
            changed.increment_serial();
            *self = changed;
        }
        Ok(())
    }

    fn ttls(&self) -> Vec<u32> {
        self.rrsets.values().flatten().map(|record| record.ttl).collect()
    }

    /// RFC 2136 section 3.2. A prerequisite with a value means the whole set: same members, no more, no less.
    fn check_prerequisites(&self, prerequisites: &[Record]) -> Result<(), ResponseCode> {
        let mut exact: BTreeMap<RrKey, Vec<&RData>> = BTreeMap::new();
        for required in prerequisites {
            let name = LowerName::new(&required.name);
            let record_type = required.record_type();
            if required.ttl != 0 {
                return Err(ResponseCode::FormErr);
            }
            if !self.origin.zone_of(&name) {
                return Err(ResponseCode::NotZone);
            }
            let exists = if record_type == RecordType::ANY {
                self.has_name(&name)
            } else {
                self.rrset(&name, record_type).is_some()
            };
            match required.dns_class {
                DNSClass::ANY | DNSClass::NONE if !is_empty(&required.data) => {
                    return Err(ResponseCode::FormErr);
                }
                DNSClass::ANY if !exists && record_type == RecordType::ANY => {
                    return Err(ResponseCode::NXDomain);
                }
                DNSClass::ANY if !exists => return Err(ResponseCode::NXRRSet),
                DNSClass::NONE if exists && record_type == RecordType::ANY => {
                    return Err(ResponseCode::YXDomain);
                }
                DNSClass::NONE if exists => return Err(ResponseCode::YXRRSet),
                DNSClass::ANY | DNSClass::NONE => {}
                DNSClass::IN => exact.entry(RrKey::new(name, record_type)).or_default().push(&required.data),
                _ => return Err(ResponseCode::FormErr),
            }
        }
        for (key, wanted) in &exact {
            let present = self.rrsets.get(key).map(Vec::as_slice).unwrap_or_default();
            let same = present.iter().all(|record| wanted.contains(&&record.data))
                && wanted.iter().all(|data| present.iter().any(|record| record.data == **data));
            if !same {
                return Err(ResponseCode::NXRRSet);
            }
        }
        Ok(())
    }

    /// RFC 2136 section 3.4.1: everything that is wrong is found before anything is changed.
    fn prescan(&self, updates: &[Record]) -> Result<(), ResponseCode> {
        for update in updates {
            if !self.origin.zone_of(&LowerName::new(&update.name)) {
                return Err(ResponseCode::NotZone);
            }
            let record_type = update.record_type();
            let transfer = matches!(record_type, RecordType::AXFR | RecordType::IXFR);
            let fine = match update.dns_class {
                DNSClass::IN => !transfer && record_type != RecordType::ANY && !is_empty(&update.data),
                DNSClass::ANY => !transfer && update.ttl == 0 && is_empty(&update.data),
                DNSClass::NONE => !transfer && record_type != RecordType::ANY && update.ttl == 0,
                _ => false,
            };
            if !fine {
                return Err(ResponseCode::FormErr);
            }
        }
        Ok(())
    }

    /// RFC 2136 section 3.4.2, for one record. SOA and NS of the apex are not to be deleted.
    fn apply(&mut self, update: &Record) {
        let name = LowerName::new(&update.name);
        let record_type = update.record_type();
        let protected =
            |key: &RrKey| key.name == self.origin && matches!(key.record_type, RecordType::SOA | RecordType::NS);
        match update.dns_class {
            DNSClass::IN => self.add(update),
            DNSClass::ANY if record_type == RecordType::ANY => {
                let origin = self.origin.clone();
                self.rrsets.retain(|key, _| {
                    key.name != name
                        || (key.name == origin && matches!(key.record_type, RecordType::SOA | RecordType::NS))
                });
            }
            DNSClass::ANY | DNSClass::NONE => {
                let key = RrKey::new(name, record_type);
                if protected(&key) {
                    return;
                }
                let whole = update.dns_class == DNSClass::ANY;
                if let Some(records) = self.rrsets.get_mut(&key) {
                    records.retain(|record| !whole && record.data != update.data);
                    if records.is_empty() {
                        self.rrsets.remove(&key);
                    }
                }
            }
            _ => {}
        }
    }

    /// Adds a record unless it would put an alias beside other records. All records of a set share the latest TTL.
    fn add(&mut self, record: &Record) {
        let name = LowerName::new(&record.name);
        let is_alias = record.record_type() == RecordType::CNAME;
        let clash =
            self.rrsets.keys().any(|key| key.name == name && (key.record_type == RecordType::CNAME) != is_alias);
        if clash || (record.record_type() == RecordType::SOA && self.has_name(&self.origin)) {
            return;
        }
        let records = self.rrsets.entry(RrKey::new(name, record.record_type())).or_default();
        if is_alias {
            records.clear();
        }
        if !records.iter().any(|present| present.data == record.data) {
            records.push(record.clone());
        }
        for present in records {
            present.ttl = record.ttl;
        }
    }

    fn increment_serial(&mut self) {
        let key = RrKey::new(self.origin.clone(), RecordType::SOA);
        for record in self.rrsets.get_mut(&key).into_iter().flatten() {
            if let RData::SOA(soa) = &mut record.data {
                soa.increment_serial();
            }
        }
    }

    fn drawn(&self, name: &LowerName, record_type: RecordType, draw: u32) -> Option<&[Record]> {
        let Some(sets) = self.weighted.get(&RrKey::new(name.clone(), record_type)) else {
            return self.rrset(name, record_type);
        };
        let total: u32 = sets.iter().map(|(weight, _)| weight).sum();
        let mut left = draw % total.max(1);
        sets.iter().find_map(|(weight, records)| {
            let is_it = left < *weight;
            left = left.saturating_sub(*weight);
            is_it.then_some(records.as_slice())
        })
    }

    fn rrset(&self, name: &LowerName, record_type: RecordType) -> Option<&[Record]> {
        self.rrsets.get(&RrKey::new(name.clone(), record_type)).map(Vec::as_slice)
    }

    fn has_name(&self, name: &LowerName) -> bool {
        self.rrsets.keys().any(|key| key.name == *name)
    }
}

fn is_empty(data: &RData) -> bool {
    matches!(data, RData::Update0(_)) || matches!(data, RData::NULL(null) if null.anything.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: A = A::new(127, 0, 10, 1);
    const NEW: A = A::new(127, 0, 10, 2);

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn zone() -> Zone {
        Zone::new(&name("shop.test."), A::new(127, 0, 0, 1), &name("app.shop.test."), OLD, 20)
    }

    fn record(class: DNSClass, ttl: u32, data: RData) -> Record {
        let mut record = Record::from_rdata(name("app.shop.test."), ttl, data);
        record.dns_class = class;
        record
    }

    fn addresses(zone: &Zone) -> Vec<A> {
        match zone.find(&LowerName::new(&name("app.shop.test.")), RecordType::A, 0) {
            Lookup::Records(records) => records
                .iter()
                .map(|record| match record.data {
                    RData::A(address) => address,
                    _ => panic!("not an address: {record}"),
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    fn replace(with: A) -> [Record; 2] {
        [record(DNSClass::ANY, 0, RData::Update0(RecordType::A)), record(DNSClass::IN, 20, RData::A(with))]
    }

    #[test]
    fn a_new_ttl_alone_is_a_change() {
        let mut zone = zone();
        let same = [record(DNSClass::ANY, 0, RData::Update0(RecordType::A)), record(DNSClass::IN, 4, RData::A(OLD))];
        assert_eq!(zone.update(&[], &same), Ok(()));
        match zone.find(&LowerName::new(&name("app.shop.test.")), RecordType::A, 0) {
            Lookup::Records(records) => assert_eq!(records.iter().map(|record| record.ttl).collect::<Vec<_>>(), [4]),
            _ => panic!("the address is gone"),
        }
    }

    #[test]
    fn replaces_when_the_old_value_is_exactly_as_required() {
        let mut zone = zone();
        let exactly_old = record(DNSClass::IN, 0, RData::A(OLD));
        assert_eq!(zone.update(std::slice::from_ref(&exactly_old), &replace(NEW)), Ok(()));
        assert_eq!(addresses(&zone), [NEW]);
        // The second of two who raced finds the value gone, and changes nothing.
        assert_eq!(zone.update(&[exactly_old], &replace(OLD)), Err(ResponseCode::NXRRSet));
        assert_eq!(addresses(&zone), [NEW]);
    }

    #[test]
    fn a_required_value_means_the_whole_set() {
        let mut zone = zone();
        zone.update(&[], &[record(DNSClass::IN, 20, RData::A(NEW))]).unwrap();
        assert_eq!(addresses(&zone), [OLD, NEW]);
        let only_old = record(DNSClass::IN, 0, RData::A(OLD));
        assert_eq!(zone.update(&[only_old], &replace(NEW)), Err(ResponseCode::NXRRSet));
    }

    #[test]
    fn prerequisites_on_existence() {
        let mut zone = zone();
        let exists = |class, record_type| record(class, 0, RData::Update0(record_type));
        assert_eq!(zone.update(&[exists(DNSClass::ANY, RecordType::A)], &[]), Ok(()));
        assert_eq!(zone.update(&[exists(DNSClass::ANY, RecordType::AAAA)], &[]), Err(ResponseCode::NXRRSet));
        assert_eq!(zone.update(&[exists(DNSClass::NONE, RecordType::A)], &[]), Err(ResponseCode::YXRRSet));
        assert_eq!(zone.update(&[exists(DNSClass::NONE, RecordType::ANY)], &[]), Err(ResponseCode::YXDomain));
        assert_eq!(zone.update(&[record(DNSClass::IN, 5, RData::A(OLD))], &[]), Err(ResponseCode::FormErr));
    }

    #[test]
    fn one_bad_record_undoes_the_whole_update() {
        let mut zone = zone();
        let mut elsewhere = record(DNSClass::IN, 20, RData::A(NEW));
        elsewhere.name = name("app.shop.example.");
        let [delete, add] = replace(NEW);
        assert_eq!(zone.update(&[], &[delete, add, elsewhere]), Err(ResponseCode::NotZone));
        assert_eq!(addresses(&zone), [OLD]);
    }

    #[test]
    fn what_is_published_replaces_what_was_served_and_weights_share_the_answers() {
        let mut zone = zone();
        let app = name("app.shop.test.");
        let set = |weight, address| (weight, vec![Record::from_rdata(app.clone(), 60, RData::A(address))]);
        let share = |zone: &Zone| {
            let answer = |draw| match zone.find(&LowerName::new(&app), RecordType::A, draw) {
                Lookup::Records(records) => records.iter().filter(|record| record.data == RData::A(NEW)).count(),
                _ => 100,
            };
            (0..256).map(answer).sum::<usize>()
        };
        zone.publish(&app, RecordType::A, vec![set(1, NEW)]);
        assert_eq!(share(&zone), 256);
        zone.publish(&app, RecordType::A, vec![set(192, OLD), set(64, NEW)]);
        assert_eq!(share(&zone), 64);
        zone.publish(&app, RecordType::A, vec![set(255, OLD), set(0, NEW)]);
        assert_eq!(share(&zone), 0);
        zone.publish(&app, RecordType::A, vec![set(0, OLD), set(0, NEW)]);
        assert_eq!(share(&zone), 128);
        zone.publish(&app, RecordType::A, Vec::new());
        assert!(matches!(zone.find(&LowerName::new(&app), RecordType::A, 0), Lookup::NoName(_)));
    }

    #[test]
    fn the_apex_cannot_be_deleted_and_the_serial_counts_changes() {
        let mut zone = zone();
        let serial = |zone: &Zone| match zone.find(&zone.origin, RecordType::SOA, 0) {
            Lookup::Records(records) => records
                .iter()
                .find_map(|record| if let RData::SOA(soa) = &record.data { Some(soa.serial) } else { None })
                .unwrap(),
            other => panic!("no SOA: {other:?}"),
        };
        let mut delete = record(DNSClass::ANY, 0, RData::Update0(RecordType::ANY));
        delete.name = name("shop.test.");
        zone.update(&[], &[delete]).unwrap();
        assert_eq!(serial(&zone), 1);
        zone.update(&[], &replace(NEW)).unwrap();
        assert_eq!(serial(&zone), 2);
    }
}
