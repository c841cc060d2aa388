//! Record sets of hosted zones: what their provider's API has, who changed it, and what its name servers are to answer.

use std::collections::BTreeMap;

use crate::core::hosted::{
    BatchSides, FailoverRole, HostedChange, HostedChanges, HostedRecordSet, HostedSetKey, WatchedSet, sides,
};
use crate::core::ids::TargetId;
use crate::core::plan::Plan;
use crate::core::record::RecordType;
use crate::core::target::{self, Target};
use crate::core::time::At;

use super::names::{Names, ServedRecords};

/// A record set: its zone, its name, its type, and which of several it is.
type HostedKey = (TargetId, String, &'static str, Option<String>);

/// Every record set of hosted zones that the plan names.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosted {
    sets: BTreeMap<HostedKey, HostedRecordSet>,
    /// How often somebody else changed it, and how the last time.
    by_others: BTreeMap<HostedKey, (i64, String)>,
    /// Zones that the run has changed.
    changed: BTreeMap<TargetId, At>,
}

fn key(target: &TargetId, name: &str, of: RecordType, set_id: Option<&str>) -> HostedKey {
    (target.clone(), name.trim_end_matches('.').to_ascii_lowercase(), of.as_str(), set_id.map(str::to_owned))
}

fn words(set: Option<&HostedRecordSet>) -> String {
    set.map_or_else(|| "nothing".to_owned(), HostedRecordSet::line)
}

fn of_probe(watched: &WatchedSet<'_>) -> HostedKey {
    key(watched.target, watched.name, watched.record_type, watched.set_id)
}

/// Whether both are the same record set to the last detail.
pub(super) fn is_same(of: RecordType, one: Option<&HostedRecordSet>, other: Option<&HostedRecordSet>) -> bool {
    let plain = |set: &HostedRecordSet| {
        let mut values: Vec<String> = set.values.iter().map(|value| of.plain(value)).collect();
        values.sort();
        HostedRecordSet { values, ..set.clone() }
    };
    one.map(plain) == other.map(plain)
}

impl Hosted {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut hosted = Self::default();
        for watched in plan.probes.values().filter_map(|probe| probe.kind.hosted_set()) {
            hosted.sets.extend(watched.old.cloned().map(|old| (of_probe(&watched), old)));
        }
        // What a step expects is there unless an earlier step makes it.
        let mut known: Vec<HostedKey> = Vec::new();
        for step in &plan.steps {
            for of in step.work.jobs.iter().filter_map(|job| job.action.hosted()) {
                for ((name, of_type, set_id), one) in sides(of.changes) {
                    let key = (of.target.clone(), name, of_type, set_id.map(str::to_owned));
                    if let Some(set) = one.before.filter(|_| !known.contains(&key)) {
                        hosted.sets.insert(key.clone(), set.clone());
                    }
                    known.push(key);
                }
            }
        }
        hosted
    }

    /// The record set that a probe watches, as it is now.
    pub(super) fn seen_by(&self, probe: &WatchedSet<'_>) -> Option<&HostedRecordSet> {
        self.sets.get(&of_probe(probe))
    }

    /// How often somebody else changed it, and how the last time.
    pub(super) fn others_on(&self, probe: &WatchedSet<'_>) -> Option<&(i64, String)> {
        self.by_others.get(&of_probe(probe))
    }

    /// Whether the run has changed the zone.
    pub(super) fn is_changed(&self, zone: &TargetId) -> bool {
        self.changed.contains_key(zone)
    }

    /// The record sets with that name and type.
    fn beside<'a>(
        &'a self,
        target: &'a TargetId,
        name: &str,
        of: RecordType,
    ) -> impl Iterator<Item = &'a HostedRecordSet> + use<'a> {
        let (_, name, of, _) = key(target, name, of, None);
        let is = move |(zone, its, its_type, _): &HostedKey| (zone, its, *its_type) == (target, &name, of);
        self.sets.iter().filter(move |(key, _)| is(key)).map(|(_, set)| set)
    }

    /// The sum of all weights beside the record set of a probe.
    pub(super) fn weights_beside(&self, probe: &WatchedSet<'_>) -> (u64, u64) {
        let sets = self.beside(probe.target, probe.name, probe.record_type);
        sets.filter_map(|set| set.weight).fold((0, 0), |(sum, count), weight| (sum + u64::from(weight), count + 1))
    }

    /// Carries out a batch, all of it, or says why it is refused.
    pub(super) fn change(&mut self, now: At, of: HostedChanges<'_>) -> Result<String, String> {
        let sides = sides(of.changes);
        let key = |(name, of_type, set_id): &HostedSetKey<'_>| -> HostedKey {
            (of.target.clone(), name.clone(), of_type, set_id.map(str::to_owned))
        };
        let mut names: Vec<String> = of.changes.iter().map(HostedChange::record).collect();
        names.dedup();
        let is = |at: &HostedSetKey<'_>, one: &BatchSides<'_>, set| {
            is_same(one.change.record_type, self.sets.get(&key(at)), set)
        };
        if sides.iter().all(|(at, one)| is(at, one, one.after)) {
            return Ok(format!("{} was so already; nothing was changed", names.join(", ")));
        }
        for (at, one) in &sides {
            if !is(at, one, one.before) {
                return Err(format!(
                    "{} is not what the runbook expects: it has {}, not {}; nothing was changed",
                    one.change.record(),
                    words(self.sets.get(&key(at))),
                    words(one.before)
                ));
            }
        }
        for (at, one) in &sides {
            self.sets.remove(&key(at));
            self.sets.extend(one.after.cloned().map(|set| (key(at), set)));
        }
        self.changed.insert(of.target.clone(), now);
        Ok(format!("{} changed, INSYNC", names.join(", ")))
    }

    /// Somebody else puts the record set of a probe back to what it was before the change. Says what that was.
    pub(super) fn revert(&mut self, probe: &WatchedSet<'_>) -> String {
        let key = of_probe(probe);
        let from = self.sets.remove(&key);
        self.sets.extend(probe.old.cloned().map(|old| (key.clone(), old)));
        let told = format!("from {} to {}", words(from.as_ref()), words(probe.old));
        let by_others = self.by_others.entry(key).or_default();
        *by_others = (by_others.0 + 1, told.clone());
        told
    }

    /// Lets the name servers of the zone answer for a name and type what the API has of it.
    pub(super) fn publish(
        &self,
        now: At,
        plan: &Plan,
        names: &mut Names,
        (target, name, of): (&TargetId, &str, RecordType),
    ) {
        let sets: Vec<&HostedRecordSet> = self.beside(target, name, of).collect();
        if sets.iter().any(|set| set.alias.is_some()) {
            // What an alias leads to is not in the plan: `point` says it.
            return;
        }
        for zone in target::serving(target, &plan.targets) {
            if matches!(plan.targets.get(zone), Some(Target::Dns(_))) {
                names.publish(now, zone, (name, of), published(&sets));
            }
        }
    }
}

/// What name servers answer for record sets of one name and type.
#[allow(clippy::cast_precision_loss)] // weights up to 255
fn published(sets: &[&HostedRecordSet]) -> ServedRecords {
    let ttl = sets.iter().filter_map(|set| set.ttl).min().unwrap_or(0);
    let all = |sets: &[&HostedRecordSet]| sets.iter().flat_map(|set| set.values.iter().cloned()).collect::<Vec<_>>();
    let weighted: Vec<(&HostedRecordSet, u16)> =
        sets.iter().filter_map(|set| set.weight.map(|weight| (*set, weight))).collect();
    let primary: Vec<&HostedRecordSet> =
        sets.iter().copied().filter(|set| set.failover == Some(FailoverRole::Primary)).collect();
    if !weighted.is_empty() {
        let total: u16 = weighted.iter().fold(0, |sum, (_, weight)| sum.saturating_add(*weight));
        // When all weights are 0, they share alike.
        let share = |weight: u16| match total {
            0 => 1.0 / weighted.len() as f64,
            total => f64::from(weight) / f64::from(total),
        };
        let answers: Vec<(&HostedRecordSet, f64)> =
            weighted.iter().map(|(set, weight)| (*set, share(*weight))).filter(|(_, share)| *share > 0.0).collect();
        if let Some(((last, share), others)) = answers.split_last() {
            let others: Vec<&HostedRecordSet> = others.iter().map(|(set, _)| *set).collect();
            let mixed = (!others.is_empty()).then(|| (*share, all(&others)));
            return ServedRecords { values: last.values.clone(), ttl, mixed };
        }
    }
    let values = if primary.is_empty() { all(sets) } else { all(&primary) };
    ServedRecords { values, ttl, mixed: None }
}
