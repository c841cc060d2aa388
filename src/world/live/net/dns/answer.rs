//! What an answer says about one name and type: follows the aliases from the name, checking every step.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType as Type};

use crate::world::live::foreign;

/// Aliases followed at most. Real chains are shorter; resolvers give up at about as many.
const LONGEST_CHAIN: usize = 16;
/// The number of the option of extended errors (RFC 8914 §2).
const EXTENDED_ERROR: u16 = 15;
/// Extended errors that mark an answer as stale: stale answer, stale NXDOMAIN.
const STALE: [u16; 2] = [3, 19];

/// What an answer without an error says.
#[derive(Debug, PartialEq)]
pub(in crate::world::live) enum Content {
    /// Records of the type, at the name or at the end of its aliases.
    Records { data: Vec<RData>, ttl: u32 },
    /// The aliases lead to a name for which this answer has nothing of the type.
    Alias { to: Name, ttl: u32 },
    /// There is no such name or no such record. The TTL is that of the SOA as received; of an authoritative answer, which
    /// need not have taken it into account, no more than its MINIMUM (RFC 2308 §5).
    Nothing { ttl: Option<u32> },
    /// The server refers to those of the zone `at` instead of answering.
    Referral { at: Name, servers: Vec<RData>, ttl: u32 },
    /// It contradicts itself, or answers another question.
    Nonsense(&'static str),
}

/// What `answer`, whose code is `NoError` or `NXDomain`, says of `name` and `of`.
pub(in crate::world::live) fn content(answer: &Message, name: &Name, of: Type) -> Content {
    let missing = answer.metadata.response_code == ResponseCode::NXDomain;
    let records = || answer.answers.iter().filter(|record| record.dns_class == DNSClass::IN);
    let at = |owner: &Name, of: Type| -> Vec<&Record> {
        records().filter(|record| record.record_type() == of && record.name == *owner).collect()
    };
    let longest = |records: &[&Record]| records.iter().map(|record| record.ttl).max().unwrap_or(0);
    let mut owner = name.clone();
    let mut met = Vec::new();
    let mut ttl = 0;
    loop {
        let found = at(&owner, of);
        if !found.is_empty() {
            if missing {
                return Content::Nonsense("it has records and says that there is no such name");
            }
            // No server may hold an alias beside other data (RFC 2181 §10.1).
            if of != Type::CNAME && !at(&owner, Type::CNAME).is_empty() {
                return Content::Nonsense("it has an alias beside other records");
            }
            let data = found.iter().map(|record| record.data.clone()).collect();
            return Content::Records { data, ttl: longest(&found).max(ttl) };
        }
        let aliases = at(&owner, Type::CNAME);
        let mut targets: Vec<&Name> = aliases
            .iter()
            .filter_map(|record| match &record.data {
                RData::CNAME(target) => Some(&target.0),
                _ => None,
            })
            .collect();
        targets.dedup();
        let target = match targets.as_slice() {
            [] => break,
            [one] => (*one).clone(),
            _ => return Content::Nonsense("it has several aliases for one name"),
        };
        ttl = ttl.max(longest(&aliases));
        met.push(std::mem::replace(&mut owner, target));
        if met.contains(&owner) {
            return Content::Nonsense("its aliases go round in a circle");
        }
        if met.len() > LONGEST_CHAIN {
            return Content::Nonsense("it has too many aliases");
        }
    }
    let is_on_the_way = |record: &&Record| met.contains(&record.name);
    if records().filter(|record| [of, Type::CNAME].contains(&record.record_type())).any(|one| !is_on_the_way(&one)) {
        return Content::Nonsense("it has records of another name");
    }
    let soa = answer.authorities.iter().filter(|record| record.record_type() == Type::SOA);
    let soa = soa.filter(|record| record.name.zone_of(&owner)).map(|record| match &record.data {
        RData::SOA(soa) if answer.metadata.authoritative => record.ttl.min(soa.minimum),
        _ => record.ttl,
    });
    let soa = soa.max();
    let refers = || referral(answer, name).filter(|_| met.is_empty() && !missing && soa.is_none());
    if let Some(referral) = refers() {
        return referral;
    }
    match (met.is_empty(), missing, soa) {
        (true, ..) => Content::Nothing { ttl: soa },
        (false, true, _) => Content::Nothing { ttl: soa.map(|soa| soa.max(ttl)) },
        (false, false, _) => Content::Alias { to: owner, ttl: soa.map_or(ttl, |soa| soa.max(ttl)) },
    }
}

/// To whom an answer refers: of several zones the one nearest to the name.
fn referral(answer: &Message, name: &Name) -> Option<Content> {
    let servers = || answer.authorities.iter().filter(|record| record.record_type() == Type::NS);
    let nearest = servers().map(|record| &record.name).max_by_key(|at| (at.zone_of(name), at.num_labels()))?;
    let of_it: Vec<&Record> = servers().filter(|record| record.name == *nearest).collect();
    Some(Content::Referral {
        at: nearest.clone(),
        servers: of_it.iter().map(|record| record.data.clone()).collect(),
        ttl: of_it.iter().map(|record| record.ttl).max().unwrap_or(0),
    })
}

/// The extended errors of an answer (RFC 8914): their codes with their texts.
///
/// An option is read by its bytes, whatever type the library gives it.
pub(in crate::world::live) fn extended_errors(answer: &Message) -> Vec<(u16, String)> {
    let Some(edns) = &answer.edns else { return Vec::new() };
    let options = edns.options().get_all(EdnsCode::from(EXTENDED_ERROR));
    options.into_iter().filter_map(|option| extended_error(&Vec::try_from(option).ok()?)).collect()
}

fn extended_error(bytes: &[u8]) -> Option<(u16, String)> {
    let (code, text) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*code), foreign::brief(String::from_utf8_lossy(text).trim_end_matches('\0'), 120)))
}

/// Whether an answer is marked as stale.
pub(in crate::world::live) fn is_stale(errors: &[(u16, String)]) -> bool {
    errors.iter().any(|(code, _)| STALE.contains(code))
}

/// Extended errors in words: `EDE 22 (no reachable authority): at delegation example.com`.
pub(in crate::world::live) fn in_words(errors: &[(u16, String)]) -> String {
    let words = errors.iter().map(|(code, text)| {
        let name = name_of(*code).map_or_else(String::new, |name| format!(" ({name})"));
        let text = if text.is_empty() { String::new() } else { format!(": {text}") };
        format!("EDE {code}{name}{text}")
    });
    words.collect::<Vec<_>>().join("; ")
}

/// The registry "Extended DNS Error Codes" of IANA.
fn name_of(code: u16) -> Option<&'static str> {
    const NAMES: [&str; 25] = [
        "other",
        "unsupported DNSKEY algorithm",
        "unsupported DS digest type",
        "stale answer",
        "forged answer",
        "DNSSEC indeterminate",
        "DNSSEC bogus",
        "signature expired",
        "signature not yet valid",
        "DNSKEY missing",
        "RRSIGs missing",
        "no zone key bit set",
        "NSEC missing",
        "cached error",
        "not ready",
        "blocked",
        "censored",
        "filtered",
        "prohibited",
        "stale NXDOMAIN answer",
        "not authoritative",
        "not supported",
        "no reachable authority",
        "network error",
        "invalid data",
    ];
    NAMES.get(usize::from(code)).copied()
}

/// The instance that answered (RFC 5001): as text when it is text, else in hexadecimal digits.
pub(in crate::world::live) fn instance(answer: &Message) -> String {
    let option = answer.edns.as_ref().and_then(|edns| edns.option(EdnsCode::NSID));
    let Some(bytes) = option.and_then(|option: &EdnsOption| Vec::try_from(option).ok()) else { return String::new() };
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.chars().all(|c| c.is_ascii_graphic()) => foreign::brief(text, 60),
        _ => foreign::brief(&data_encoding::HEXLOWER.encode(&bytes), 60),
    }
}

#[cfg(test)]
mod tests;
