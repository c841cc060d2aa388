//! What a plan implies about its world: which database and which web service is old and new, what exists at the
//! beginning, and what its steps will change.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::core::customers::customers_record;
use crate::core::ids::{ProbeId, TargetId};
use crate::core::kind::spec::WatchedReplication;
use crate::core::origin::changes;
use crate::core::plan::{Plan, Work};
use crate::core::record::{DnsChange, RecordValues};
use crate::core::simulate::{Change, Side};
use crate::core::target::{Target, serving};

/// Every change of a record that a step makes on its way forward, with the `dns` target that it is seen through and the TTL
/// its undo goes back to.
pub(super) fn dns_changes(plan: &Plan) -> Vec<(&TargetId, DnsChange, Option<u32>)> {
    let mut found = Vec::new();
    let of = |work: Option<&Work>, name: &str| {
        let mut updates = work.into_iter().flat_map(|work| &work.jobs).filter_map(|job| job.action.records());
        updates.find_map(|records| records.changes.iter().find(|change| change.name == name).map(|change| change.ttl))
    };
    for step in &plan.steps {
        for job in &step.work.jobs {
            if let Some(records) = job.action.records() {
                for target in serving(records.target, &plan.targets) {
                    for change in records.changes.iter() {
                        found.push((target, change.clone(), of(step.undo.as_ref(), &change.name)));
                    }
                }
            }
        }
    }
    found
}

/// The replications of a plan.
pub(super) fn links(plan: &Plan) -> impl Iterator<Item = (&ProbeId, WatchedReplication<'_>)> {
    plan.probes.iter().filter_map(|(id, probe)| probe.kind.replication().map(|link| (id, link)))
}

/// Replications that some action begins do not exist before it. All others exist from the beginning.
pub(super) fn begun_by_actions(plan: &Plan) -> BTreeSet<&ProbeId> {
    changes(plan)
        .filter_map(|change| match change {
            Change::Replicate(probe) | Change::Follow(probe) => Some(probe),
            _ => None,
        })
        .collect()
}

/// The old database and the new one.
pub(super) fn databases(plan: &Plan) -> (Option<TargetId>, Option<TargetId>) {
    let first = changes(plan).find_map(|change| match change {
        Change::Replicate(probe) => Some(probe),
        _ => None,
    });
    let link = first.and_then(|first| links(plan).find(|(id, _)| *id == first)).or_else(|| links(plan).next());
    if let Some((_, link)) = link {
        return (Some(link.source.clone()), Some(link.target.clone()));
    }
    let named = |change: &Change| match change {
        Change::Fence(target) if matches!(plan.targets.get(target), Some(Target::Postgres(_))) => Some(target.clone()),
        _ => None,
    };
    let postgres = plan.targets.iter().find(|(_, target)| matches!(target, Target::Postgres(_)));
    let old = changes(plan).find_map(named).or_else(|| postgres.map(|(id, _)| id.clone()));
    let new = changes(plan).find_map(|change| match change {
        Change::Use(target) if Some(target) != old.as_ref() => Some(target.clone()),
        _ => None,
    });
    (old, new)
}

/// On which side an `http` target is: by the address it is reached at, by its name in a comparison of latencies, or
/// by its own name.
pub(super) fn side(plan: &Plan, target: &TargetId) -> Option<Side> {
    if let (Some(Target::Http(http)), Some(record)) = (plan.targets.get(target), customers_record(plan)) {
        let address = http.connect.as_deref().and_then(address);
        let is = |values: &RecordValues| {
            let values = values.expected(plain);
            address.is_some_and(|address| values.has(&address.to_string()))
        };
        if is(record.new) {
            return Some(Side::New);
        }
        if is(record.old) {
            return Some(Side::Old);
        }
    }
    let compared = plan
        .probes
        .values()
        .find_map(|probe| probe.kind.sides().into_iter().find(|(_, of)| *of == target).map(|(name, _)| name));
    compared.and_then(by_name).or_else(|| by_name(target.as_str()))
}

/// An address in its one form, another value as it is.
fn plain(value: &str) -> String {
    value.parse::<IpAddr>().map_or_else(|_| value.to_owned(), |address| address.to_string())
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse::<SocketAddr>().map(|socket| socket.ip()).or_else(|_| text.parse()).ok()
}

/// The side that a name indicates: one of its words is `old` or `new`.
pub(super) fn by_name(name: &str) -> Option<Side> {
    let has = |word: &str| name.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part.eq_ignore_ascii_case(word));
    if has("new") {
        Some(Side::New)
    } else if has("old") {
        Some(Side::Old)
    } else {
        None
    }
}
