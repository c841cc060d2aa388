//! What a record set of Route 53 may look like.

use crate::core::hosted::HostedRecordSet;
use crate::core::kind::spec::Complaint;
use crate::core::record::RecordType;

/// The largest weight that Route 53 takes.
const HEAVIEST: u16 = 255;
/// The longest name of one of several record sets that Route 53 takes.
const LONGEST_ID: usize = 128;

/// What is wrong with a record set of that type at `path`.
pub(super) fn wrong(set: &HostedRecordSet, path: &[&str], of: RecordType) -> Vec<Complaint> {
    let mut found = Vec::new();
    let at = |key: &'static str| -> Vec<&str> { path.iter().copied().chain([key]).collect() };
    match &set.alias {
        Some(_) => {
            if set.ttl.is_some() {
                let message = "an alias has no TTL of its own: it is answered with that of its target";
                found.push(Complaint::key(&at("ttl"), message, "expected no `ttl` beside `alias`"));
            }
            if !set.values.is_empty() {
                let message = "an alias has no values of its own";
                found.push(Complaint::key(&at("values"), message, "expected no `values` beside `alias`"));
            }
            if set.multivalue {
                let message = "a multivalue record set cannot be an alias";
                found.push(Complaint::key(&at("multivalue"), message, "expected `values` and `ttl` beside it"));
            }
        }
        None if set.values.is_empty() || set.ttl.is_none() => {
            let message = "this is no whole record set";
            let complaint = Complaint::value(path, message, "expected `values` and `ttl`, or `alias`");
            let help = "`from` is deleted exactly as it stands here, TTL included, so that a change of somebody else is never undone";
            found.push(complaint.help(help));
        }
        None => {}
    }
    let policies = [set.weight.is_some(), set.failover.is_some(), set.multivalue];
    let policies = policies.iter().filter(|is| **is).count();
    if policies > 1 {
        let label = "expected one of `weight`, `failover` and `multivalue`";
        found.push(Complaint::value(path, "there are several routing policies", label));
    }
    match (&set.set_id, policies) {
        (None, 1..) => {
            let message = "several record sets may have this name, and nothing says which one this is";
            found.push(Complaint::value(path, message, "expected a `set_id`"));
        }
        (Some(_), 0) => {
            let message = "a simple record set has no `set_id`";
            let label = "expected `weight`, `failover` or `multivalue` beside it";
            found.push(Complaint::key(&at("set_id"), message, label));
        }
        (Some(id), _) if id.is_empty() || id.len() > LONGEST_ID => {
            let label = format!("expected 1 to {LONGEST_ID} characters");
            found.push(Complaint::value(&at("set_id"), "this cannot be a `set_id`", label));
        }
        _ => {}
    }
    if set.weight.is_some_and(|weight| weight > HEAVIEST) {
        let label = format!("expected 0 to {HEAVIEST}");
        found.push(Complaint::value(&at("weight"), "there is no such weight", label));
    }
    if of == RecordType::Cname && set.values.len() > 1 {
        let message = "a CNAME record set has one value";
        found.push(Complaint::value(&at("values"), message, "expected one value"));
    }
    if matches!(of, RecordType::Ns | RecordType::Soa) && (policies > 0 || set.alias.is_some()) {
        let label = "expected `values` and `ttl` alone";
        let message = format!("{} records have neither aliases nor routing policies", of.as_str());
        found.push(Complaint::value(path, message, label));
    }
    found
}
