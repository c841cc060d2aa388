//! The message of an update (RFC 2136): what must be there, what goes and what comes.

use hickory_proto::op::{Message, OpCode, Query};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType as Type};

use super::present::PresentSet;
use crate::core::record::{DnsChange, RecordType};
use crate::record_data::{self, wire_type};
use crate::world::live::foreign;
use crate::world::live::net::dns;

/// The update as one message. `present` is what the server has now, where it says so: values that can be stored in several ways
/// are expected as they are stored.
///
/// # Errors
///
/// A name or a value that cannot be.
pub(super) fn message(zone: &str, changes: &[DnsChange], present: &[Option<PresentSet>]) -> Result<Message, String> {
    let mut question = Query::query(dns::name(zone)?, Type::SOA);
    question.set_query_class(DNSClass::IN);
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    message.add_query(question);
    let names: Vec<Name> = changes.iter().map(|change| dns::name(&change.name)).collect::<Result<_, _>>()?;
    for (at, (change, name)) in changes.iter().zip(&names).enumerate() {
        if change.from.is_empty() {
            message.add_answer(whole_set(name, wire_type(change.record_type), DNSClass::NONE)); // §2.4.3: no such set
            // What others of these changes take away is not in the way.
            let mut others = changes.iter().zip(&names).filter(|(other, of)| *of == name && !other.from.is_empty());
            let taken_away = others
                .any(|(other, _)| change.record_type == RecordType::Cname || other.record_type == RecordType::Cname);
            if !change.to.is_empty() && !taken_away {
                message.add_answer(match change.record_type {
                    // §2.4.5: the name must have no records at all, or the server leaves the alias out.
                    RecordType::Cname => whole_set(name, Type::ANY, DNSClass::NONE),
                    _ => whole_set(name, Type::CNAME, DNSClass::NONE),
                });
            }
        }
        // §2.4.2: the whole set must be exactly this.
        for data in expected(change, present.get(at).and_then(Option::as_ref))? {
            message.add_answer(Record::from_rdata(name.clone(), 0, data));
        }
    }
    // A server takes these in their order, and leaves out what is forbidden at that moment (§3.4.2): whatever goes, goes first.
    for (change, name) in changes.iter().zip(&names) {
        message.add_authority(whole_set(name, wire_type(change.record_type), DNSClass::ANY)); // §2.5.2
    }
    for (change, name) in changes.iter().zip(&names) {
        for value in &change.to {
            message.add_authority(Record::from_rdata(name.clone(), change.ttl, data(change.record_type, value)?));
        }
    }
    Ok(message)
}

fn whole_set(name: &Name, of: Type, class: DNSClass) -> Record {
    let mut record = Record::update0(name.clone(), 0, of);
    record.dns_class = class;
    record
}

/// What the set must be, as it is stored where it is that, else as the runbook has it.
fn expected(change: &DnsChange, present: Option<&PresentSet>) -> Result<Vec<RData>, String> {
    if let Some(stored) = present.and_then(|present| present.stored_as(&change.from, change)) {
        return Ok(stored);
    }
    change.from.iter().map(|value| data(change.record_type, value)).collect()
}

fn data(of: RecordType, value: &str) -> Result<RData, String> {
    record_data::parse(of, value)
        .map_err(|why| format!("`{}` is no value for {}: {why}", foreign::brief(value.trim(), 80), of.as_str()))
}
