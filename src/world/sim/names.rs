//! Names in DNS: what the authoritative servers serve, and what caches still hold of it.

use std::collections::BTreeMap;

use crate::core::ids::TargetId;
use crate::core::plan::Plan;
use crate::core::record::{DnsChange, RecordChanges, RecordType, WatchedRecord};
use crate::core::resolver_kind::{ResolverKind, STALE_TTL};
use crate::core::simulate::Side;
use crate::core::target::{Dns, Target};
use crate::core::time::{At, Span};

use super::dice::Dice;
use super::plans;

mod looking;

/// TTL of a record about which the runbook says nothing, in seconds.
const TTL: u32 = 3_600;
/// For how long it is kept that there is no record, in seconds.
const NEGATIVE_TTL: u32 = 300;
/// Caches behind the address of a large resolver; each question reaches one of them.
const CACHES: usize = 3;

/// A record: its zone, its name and its type.
pub(super) type RecordKey = (TargetId, String, &'static str);

/// What a server serves for one record.
#[derive(Clone, Debug, PartialEq)]
struct Set {
    values: Vec<String>,
    ttl: u32,
    serial: i64,
    /// The share of the answers that has these values, and what the others have.
    mixed: Option<(f64, Vec<String>)>,
}

/// What a provider lets its servers serve for one record.
pub(super) struct ServedRecords {
    /// The values.
    pub values: Vec<String>,
    /// TTL in seconds.
    pub ttl: u32,
    /// The share of the answers that has these values, and what the others have.
    pub mixed: Option<(f64, Vec<String>)>,
}

impl Set {
    fn new(values: Vec<String>, ttl: u32) -> Self {
        Self { values, ttl, serial: 1, mixed: None }
    }

    /// The values of one answer.
    fn drawn(&self, dice: &mut Dice) -> &Vec<String> {
        match &self.mixed {
            Some((share, others)) if !dice.chance(*share) => others,
            _ => &self.values,
        }
    }
}

/// The entry of one cache for one record.
#[derive(Clone, Debug)]
struct Cached {
    values: Vec<String>,
    /// TTL with which it came, as the cache keeps it.
    ttl: u32,
    expires: At,
}

/// What is wrong with a resolver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ResolverFault {
    /// It repeats the answer it had.
    Stuck,
    /// It repeats the answer it had and marks it as stale.
    Stale,
    /// It does not answer.
    Dead,
    /// It keeps answers for at least so many seconds.
    Floor(u32),
    /// Another machine answers in its place.
    Replaced,
}

#[derive(Clone, Debug)]
struct Resolver {
    name: String,
    /// Longest time it keeps an answer, in seconds.
    cap: u32,
    caches: Vec<BTreeMap<RecordKey, Cached>>,
    ill: Vec<(usize, ResolverFault)>,
    /// How it treats what it remembers.
    kind: ResolverKind,
    dice: Dice,
}

#[derive(Clone, Debug)]
struct Zone {
    /// Whether it is looked up whom the zone is delegated to.
    looks: bool,
    servers: Vec<(String, BTreeMap<RecordKey, Set>)>,
    resolvers: Vec<Resolver>,
    /// Changes that have not reached every server yet.
    travelling: Vec<(At, usize, RecordKey, Set)>,
    dice: Dice,
}

/// Every zone of the plan.
#[derive(Clone, Debug)]
pub(super) struct Names {
    zones: BTreeMap<TargetId, Zone>,
    /// Counts the changes of what servers and caches answer.
    changes: u64,
}

fn same(of: RecordType, a: &[String], b: &[String]) -> bool {
    let sorted = |values: &[String]| {
        let mut values: Vec<String> = values.iter().map(|value| of.plain(value)).collect();
        values.sort();
        values
    };
    sorted(a) == sorted(b)
}

fn key(target: &TargetId, name: &str, of: RecordType) -> RecordKey {
    (target.clone(), name.trim_end_matches('.').to_ascii_lowercase(), of.as_str())
}

impl Names {
    pub(super) fn new(plan: &Plan, seed: u64, now: At) -> Self {
        let mut sets: BTreeMap<RecordKey, Set> = BTreeMap::new();
        let watched = || plan.probes.values().filter_map(|probe| probe.kind.record());
        for record in watched() {
            if let Some((old, _)) = record.aaaa {
                let set = Set::new(old.typical(), record.rehearsed.ttl.unwrap_or(TTL));
                sets.entry(key(record.target, record.name, RecordType::Aaaa)).or_insert(set);
            }
        }
        for record in watched() {
            if let Some(ttl) = record.rehearsed.ttl {
                let set = Set::new(record.old.typical(), ttl);
                sets.entry(key(record.target, record.name, record.record_type)).or_insert(set);
            }
        }
        for (target, change, ttl) in plans::dns_changes(plan) {
            let set = Set::new(change.from.clone(), ttl.unwrap_or(TTL));
            sets.entry(key(target, &change.name, change.record_type)).or_insert(set);
        }
        for record in watched() {
            let set = Set::new(record.old.typical(), TTL);
            sets.entry(key(record.target, record.name, record.record_type)).or_insert(set);
        }
        let zones = plan.targets.iter().filter_map(|(id, target)| match target {
            Target::Dns(dns) => Some((id.clone(), Zone::new(id, dns, &sets, seed, now))),
            Target::Postgres(_) | Target::Http(_) | Target::Route53(_) | Target::Cloudwatch(_) => None,
        });
        Self { zones: zones.collect(), changes: 0 }
    }

    /// When the answer of a cache or a server next changes; `None` when they all agree.
    pub(super) fn next_change(&self) -> Option<At> {
        self.zones.values().filter_map(Zone::next_change).min()
    }

    /// Lets time pass up to `to`.
    pub(super) fn advance(&mut self, to: At) {
        for zone in self.zones.values_mut() {
            self.changes += u64::from(zone.advance(to));
        }
    }

    /// A number that is another one once any answer may have changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Carries out an update, or says why the server refuses it.
    pub(super) fn update(&mut self, now: At, update: &RecordChanges<'_>) -> Result<String, String> {
        let Some(zone) = self.zones.get_mut(update.target) else {
            return Err(format!("there is no zone {}; nothing was sent", update.target));
        };
        let place = zone.servers.first().map(|(server, _)| server.clone()).unwrap_or_default();
        for change in update.changes.iter() {
            let found = zone.primary(&key(update.target, &change.name, change.record_type));
            let values = found.map(|set| set.values.clone()).unwrap_or_default();
            if !same(change.record_type, &values, &change.from) {
                let words = |values: &[String]| if values.is_empty() { "nothing".to_owned() } else { values.join(" ") };
                return Err(format!(
                    "{place} refuses: the record is not what the runbook expects: {} {} has {}, not {}; nothing was changed",
                    change.name,
                    change.record_type.as_str(),
                    words(&values),
                    words(&change.from)
                ));
            }
        }
        if let Some(why) = update.changes.iter().find_map(|change| zone.beside_alias(update, change)) {
            return Err(format!(
                "{place} refuses: the record is not what the runbook expects: {why}; nothing was changed"
            ));
        }
        self.changes += 1;
        let mut names = Vec::new();
        for DnsChange { name, record_type, to, ttl, .. } in update.changes.iter() {
            zone.set(now, &key(update.target, name, *record_type), Set::new(to.clone(), *ttl));
            names.push(format!("{name} {}", record_type.as_str()));
        }
        Ok(format!("{} changed on {place}", names.join(", ")))
    }

    /// Lets the servers of a zone serve what its provider has been told; without values nothing.
    pub(super) fn publish(
        &mut self,
        now: At,
        zone: &TargetId,
        (name, of): (&str, RecordType),
        published: ServedRecords,
    ) {
        let key = key(zone, name, of);
        self.changes += 1;
        if let Some(zone) = self.zones.get_mut(zone) {
            let ServedRecords { values, ttl, mixed } = published;
            zone.set(now, &key, Set { mixed, ..Set::new(values, ttl) });
        }
    }

    /// Changes the record of a probe by other means.
    pub(super) fn point(&mut self, now: At, record: WatchedRecord<'_>, to: Side, ttl: Option<u32>) {
        let key = key(record.target, record.name, record.record_type);
        let values = if to == Side::New { record.new.typical() } else { record.old.typical() };
        self.changes += 1;
        if let Some(zone) = self.zones.get_mut(record.target) {
            let ttl = ttl.or_else(|| zone.primary(&key).map(|set| set.ttl)).unwrap_or(TTL);
            let mixed = record.new.share().filter(|_| to == Side::New).map(|share| (share, record.old.typical()));
            zone.set(now, &key, Set { mixed, ..Set::new(values, ttl) });
            if let Some((old, new)) = record.aaaa {
                let values = if to == Side::New { new } else { old };
                zone.set(
                    now,
                    &self::key(record.target, record.name, RecordType::Aaaa),
                    Set::new(values.typical(), ttl),
                );
            }
        }
    }

    /// The names of all resolvers of the plan with their zones.
    pub(super) fn resolvers(&self) -> Vec<(TargetId, String)> {
        let names = |(id, zone): (&TargetId, &Zone)| {
            let id = id.clone();
            zone.resolvers.iter().map(move |resolver| (id.clone(), resolver.name.clone())).collect::<Vec<_>>()
        };
        self.zones.iter().flat_map(names).collect()
    }

    /// Applies the fault of that number to a resolver, or ends it (`None`).
    pub(super) fn set_fault(&mut self, zone: &TargetId, name: &str, fault: usize, ill: Option<ResolverFault>) {
        let resolvers = self.zones.get_mut(zone).into_iter().flat_map(|zone| &mut zone.resolvers);
        for resolver in resolvers.filter(|resolver| resolver.name == name) {
            resolver.ill.retain(|(of, _)| *of != fault);
            resolver.ill.extend(ill.map(|ill| (fault, ill)));
        }
    }

    /// Shares of the customers whose resolver gives them the old and the new values of a probe.
    #[allow(clippy::cast_precision_loss)] // a handful of resolvers
    pub(super) fn shares(&self, record: WatchedRecord<'_>) -> (f64, f64) {
        let Some(zone) = self.zones.get(record.target) else { return (1.0, 0.0) };
        let key = key(record.target, record.name, record.record_type);
        let plain = |value: &str| record.record_type.plain(value);
        let wanted = record.new.expected(plain);
        let is_new = |values: &[String]| wanted.fits(&values.iter().map(|value| plain(value)).collect());
        let (mut old, mut new) = (0.0, 0.0);
        for resolver in &zone.resolvers {
            for cache in &resolver.caches {
                let weight = 1.0 / resolver.caches.len() as f64;
                match cache.get(&key) {
                    Some(cached) if is_new(&cached.values) => new += weight,
                    Some(_) => old += weight,
                    None => {}
                }
            }
        }
        if old + new <= 0.0 {
            // Without a known resolver, all customers ask the authoritative servers.
            let is_new = zone.primary(&key).is_some_and(|set| is_new(&set.values));
            return if is_new { (0.0, 1.0) } else { (1.0, 0.0) };
        }
        (old / (old + new), new / (old + new))
    }
}

impl Zone {
    fn new(id: &TargetId, dns: &Dns, sets: &BTreeMap<RecordKey, Set>, seed: u64, now: At) -> Self {
        let own: BTreeMap<RecordKey, Set> =
            sets.iter().filter(|((of, ..), _)| of == id).map(|(key, set)| (key.clone(), set.clone())).collect();
        let servers = dns.authoritative.iter().map(|server| (server.clone(), own.clone())).collect();
        let kinds = dns.simulate.as_ref().map(|simulate| &simulate.resolvers);
        let resolver = |name: &String| {
            let kind = kinds.and_then(|kinds| kinds.get(name)).copied();
            Resolver::new(id, name, kind, &own, seed, now)
        };
        let resolvers = dns.resolvers.keys().map(resolver).collect();
        Self {
            looks: dns.lookup.is_some(),
            servers,
            resolvers,
            travelling: Vec::new(),
            dice: Dice::new(seed, &format!("zone {id}")),
        }
    }

    /// Why a new set cannot stand there: the name is an alias, or is to be one and has other records, unless they go in the same
    /// update.
    fn beside_alias(&self, update: &RecordChanges<'_>, change: &DnsChange) -> Option<String> {
        if !change.from.is_empty() || change.to.is_empty() {
            return None;
        }
        let (target, name, of) = key(update.target, &change.name, change.record_type);
        let goes = |of: &str| {
            let keys = update.changes.iter().filter(|other| other.to.is_empty());
            { keys }
                .any(|other| key(update.target, &other.name, other.record_type) == (target.clone(), name.clone(), of))
        };
        let alias = RecordType::Cname.as_str();
        let (_, records) = self.servers.first()?;
        let others = records
            .iter()
            .filter(|((zone, other, _), set)| *zone == target && *other == name && !set.values.is_empty());
        let other = { others }.find(|((_, _, other), _)| (*other == alias) != (of == alias) && !goes(other))?;
        Some(match other {
            ((_, _, other), set) if *other == alias => {
                format!("{} is an alias of {}", change.name, set.values.join(" "))
            }
            _ => format!("{} has other records, and nothing can be beside an alias", change.name),
        })
    }

    fn primary(&self, key: &RecordKey) -> Option<&Set> {
        self.servers.first().and_then(|(_, records)| records.get(key))
    }

    fn set(&mut self, now: At, key: &RecordKey, set: Set) {
        let serial = self.primary(key).map_or(1, |set| set.serial + 1);
        let set = Set { serial, ..set };
        for at in 0..self.servers.len() {
            // The first server passes the change to the others, some seconds later.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // some thousand milliseconds
            let after = if at == 0 { 0 } else { self.dice.around(1_500.0, 0.5) as u64 };
            self.travelling.push((now.plus(Span(after)), at, key.clone(), set.clone()));
        }
        self.travelling.sort_by_key(|(at, server, ..)| (*at, *server));
        self.arrive(now);
    }

    fn arrive(&mut self, to: At) {
        let due = self.travelling.partition_point(|(at, ..)| *at <= to);
        for (_, server, key, set) in self.travelling.drain(..due) {
            if let Some((_, records)) = self.servers.get_mut(server) {
                records.insert(key, set);
            }
        }
    }

    fn next_change(&self) -> Option<At> {
        let travelling = self.travelling.first().map(|(at, ..)| *at);
        let caches = self.resolvers.iter().filter_map(|resolver| resolver.next_change(self)).min();
        travelling.into_iter().chain(caches).min()
    }

    /// Lets time pass; says whether an answer may have changed.
    fn advance(&mut self, to: At) -> bool {
        let mut changed = false;
        while let Some(at) = self.travelling.first().map(|(at, ..)| *at).filter(|at| *at <= to) {
            self.refresh(at);
            self.arrive(at);
            changed = true;
        }
        self.refresh(to) || changed
    }

    /// Caches refresh an expired answer at once, since customers ask all the time. Says whether one got another answer.
    fn refresh(&mut self, to: At) -> bool {
        let Self { servers, resolvers, .. } = self;
        let mut changed = false;
        for resolver in resolvers {
            changed |= resolver.refresh(servers, to);
        }
        changed
    }
}

impl Resolver {
    fn new(
        id: &TargetId,
        name: &str,
        kind: Option<ResolverKind>,
        sets: &BTreeMap<RecordKey, Set>,
        seed: u64,
        now: At,
    ) -> Self {
        let mut dice = Dice::new(seed, &format!("resolver {id} {name}"));
        let (mut count, mut cap) = (
            if dice.chance(0.34) { CACHES } else { 1 },
            [86_400, 86_400, 21_600, 900].get(dice.pick(4)).copied().unwrap_or(86_400),
        );
        if let Some(kind) = kind {
            (count, cap) = (kind.caches(), u32::MAX);
        }
        let kind = kind.unwrap_or_default();
        let caches = (0..count).map(|_| {
            let remember = |(key, set): (&RecordKey, &Set)| {
                let ttl = kind.keeps(set.ttl.min(cap));
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at most a day
                let left = (f64::from(ttl) * 1_000.0 * dice.between(0.05, 1.0)) as u64;
                (key.clone(), Cached { values: set.values.clone(), ttl, expires: now.plus(Span(left)) })
            };
            sets.iter().map(remember).collect()
        });
        let caches = caches.collect();
        Self { name: name.to_owned(), cap, caches, ill: Vec::new(), kind, dice }
    }

    fn is(&self, ill: impl Fn(ResolverFault) -> bool) -> bool {
        self.ill.iter().any(|(_, is)| ill(*is))
    }

    fn kept(&self, ttl: u32) -> u32 {
        let floor = self.ill.iter().filter_map(|(_, ill)| match ill {
            ResolverFault::Floor(floor) => Some(*floor),
            ResolverFault::Stuck | ResolverFault::Stale | ResolverFault::Dead | ResolverFault::Replaced => None,
        });
        self.kind.keeps(ttl.min(self.cap)).max(floor.max().unwrap_or(0))
    }

    /// The instance that answers.
    fn instance(&self) -> String {
        let number = if self.is(|ill| ill == ResolverFault::Replaced) { 2 } else { 1 };
        format!("{}-{number}", self.name)
    }

    /// Whether the resolver takes in no new answer. Its customers keep the last one.
    fn remembers(&self) -> bool {
        self.kind == ResolverKind::ServeStale
            || self.is(|ill| matches!(ill, ResolverFault::Stuck | ResolverFault::Stale | ResolverFault::Dead))
    }

    fn next_change(&self, zone: &Zone) -> Option<At> {
        if self.remembers() {
            return None;
        }
        let differs = |(key, cached): &(&RecordKey, &Cached)| {
            zone.servers.iter().any(|(_, records)| {
                records.get(*key).is_some_and(|set| set.values != cached.values || self.kept(set.ttl) != cached.ttl)
            })
        };
        self.caches.iter().flatten().filter(differs).map(|(_, cached)| cached.expires).min()
    }

    fn refresh(&mut self, servers: &[(String, BTreeMap<RecordKey, Set>)], to: At) -> bool {
        let (stuck, mut changed) = (self.remembers(), false);
        let mut caches = std::mem::take(&mut self.caches);
        for (key, cached) in caches.iter_mut().flatten() {
            // What is served for ever keeps the time at which it should have been forgotten.
            while cached.expires <= to && self.kind != ResolverKind::ServeStale {
                let server = self.dice.pick(servers.len());
                let set = servers.get(server).and_then(|(_, records)| records.get(key));
                if let Some(set) = set.filter(|_| !stuck) {
                    let values = set.drawn(&mut self.dice);
                    if cached.values != *values {
                        cached.values.clone_from(values);
                        changed = true;
                    }
                    cached.ttl = self.kept(set.ttl);
                }
                let ttl = u64::from(cached.ttl.max(1)) * 1_000;
                // The next question comes a moment after the answer expired. A long time is computed in one step.
                let passed = to.since(cached.expires).0 / (ttl + 50);
                let whole = if servers.len() > 1 { 0 } else { passed.saturating_sub(1) };
                cached.expires = cached.expires.plus(Span((whole + 1) * (ttl + 50)));
            }
        }
        self.caches = caches;
        changed
    }

    /// What each of its caches holds of a record.
    fn entries(&self, key: &RecordKey) -> Vec<Option<&Cached>> {
        self.caches.iter().map(|cache| cache.get(key)).collect()
    }

    /// The answer out of one of these entries, with its remaining TTL and its note. `None` when it does not answer.
    fn answer<'c>(
        &self,
        now: At,
        entries: &[Option<&'c Cached>],
        dice: &mut Dice,
    ) -> Option<(&'c Cached, i64, &'static str)> {
        if entries.is_empty() {
            return None;
        }
        let met = dice.pick(entries.len());
        let cached = (*entries.get(met)?)?;
        if self.is(|ill| ill == ResolverFault::Dead) {
            return None;
        }
        let expired = self.kind == ResolverKind::ServeStale && cached.expires <= now;
        if expired || self.is(|ill| ill == ResolverFault::Stale) {
            return Some((cached, STALE_TTL.into(), "EDE 3 (stale answer)"));
        }
        let left = i64::try_from(cached.expires.since(now).0 / 1_000).unwrap_or(i64::MAX);
        Some((cached, left.clamp(0, i64::from(cached.ttl)), ""))
    }
}
