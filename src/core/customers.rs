//! Which DNS record customers follow in a rehearsal. The contents of the runbook decide, never the names of its probes.

use super::action::Action;
use super::ids::ProbeId;
use super::origin::{actions, changes};
use super::plan::Plan;
use super::record::{DnsChange, WatchedRecord};
use super::simulate::Change;
use super::target::{Target, serving};

/// The records that may lead the customers, each with a probe that watches it, in the order of their names. Only one is
/// left where the runbook decides it: by `simulate: { customers: true }`, else by an `http` target with the record's name in its
/// URL or one of its addresses, else by an action that changes the record.
pub fn followed(plan: &Plan) -> Vec<(&ProbeId, WatchedRecord<'_>)> {
    let mut found: Vec<(&ProbeId, WatchedRecord<'_>)> = Vec::new();
    for (id, probe) in &plan.probes {
        let Some(record) = probe.kind.record() else { continue };
        match found.iter_mut().find(|(_, other)| other.is_same_as(&record)) {
            Some((_, other)) => other.rehearsed.customers |= record.rehearsed.customers,
            None => found.push((id, record)),
        }
    }
    found.sort_by_key(|(_, record)| (record.name, record.record_type.as_str(), record.target));
    let signs: [&dyn Fn(&WatchedRecord<'_>) -> bool; 3] =
        [&|record| record.rehearsed.customers, &|record| leads_to_a_service(plan, record), &|record| {
            is_changed(plan, record)
        }];
    for sign in signs {
        if found.iter().any(|(_, record)| sign(record)) {
            found.retain(|(_, record)| sign(record));
        }
    }
    found
}

/// The record through which customers find the service; `None` when the runbook watches none.
pub fn customers_record(plan: &Plan) -> Option<WatchedRecord<'_>> {
    followed(plan).first().map(|(_, record)| *record)
}

/// Whether an `http` target is reached by the name of the record or by one of its values.
fn leads_to_a_service(plan: &Plan, record: &WatchedRecord<'_>) -> bool {
    let values = || record.old.named().iter().chain(record.new.named());
    plan.targets.values().any(|target| {
        let Target::Http(http) = target else { return false };
        let places = [http.host(), http.connect.as_deref().map(without_port)];
        places.into_iter().flatten().any(|place| {
            let is = |name: &str| name.trim_end_matches('.').eq_ignore_ascii_case(place.trim_end_matches('.'));
            is(record.name) || values().any(|value| is(value))
        })
    })
}

/// Whether an action gives the record other values.
fn is_changed(plan: &Plan, record: &WatchedRecord<'_>) -> bool {
    let moved = |change: &DnsChange, of: &super::record::RecordChanges<'_>| {
        let is_same = |target| {
            WatchedRecord { target, name: &change.name, record_type: change.record_type, ..*record }.is_same_as(record)
        };
        change.from != change.to && serving(of.target, &plan.targets).into_iter().any(is_same)
    };
    let updated =
        actions(plan).filter_map(Action::records).any(|of| of.changes.iter().any(|change| moved(change, &of)));
    let pointed = changes(plan).any(|change| {
        let Change::Point(point) = change else { return false };
        let pointed = plan.probes.get(&point.record).and_then(|probe| probe.kind.record());
        pointed.is_some_and(|pointed| pointed.is_same_as(record))
    });
    updated || pointed
}

/// `host:port` or a bare address without its port and brackets.
fn without_port(place: &str) -> &str {
    match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None if place.matches(':').count() == 1 => place.split(':').next().unwrap_or(place),
        None => place,
    }
}
