//! Begins and ends faults: each changes the world in its own way and reports it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::core::ids::ProbeId;
use crate::core::plan::Step;
use crate::core::probe::Probe;
use crate::core::simulate::{Literal, Side};
use crate::core::time::Span;
use crate::core::value::Value;
use crate::scenario::model::{Fault, Misread};
use crate::scenario::{reads, select};
use crate::world::shape::mismatch;

use super::link::{Link, SlotState};
use super::names::ResolverFault;
use super::trouble::{IncidentKind, Touches};
use super::web::ServiceFault;
use super::{Coming, Mute, SimWorld};

/// Bytes of a large transaction.
const LARGE: f64 = 2.0e9;

impl SimWorld {
    /// Begins the event of that number, if it still can happen.
    pub(super) fn fault_begins(&mut self, number: usize) {
        let Some(event) = self.troubles.event(number).cloned() else { return };
        let now = self.now();
        self.model.unsettle();
        let link = event.fault.replication().and_then(|name| self.link(name)).map(|link| link.probe.clone());
        let Some((kind, sentence)) = self.begin(number, &event.fault, event.lasts) else { return };
        let touches = self.touched(&event.fault, link);
        self.troubles.tell(now, number, kind, sentence, touches);
        if let Some(lasts) = event.lasts {
            self.push(now.plus(lasts), Coming::FaultEnds(number));
        }
    }

    #[allow(clippy::too_many_lines)] // one arm a fault: a table, not an algorithm
    fn begin(&mut self, number: usize, fault: &Fault, lasts: Option<Span>) -> Option<(IncidentKind, String)> {
        let now = self.now();
        let began = |sentence: String| Some((IncidentKind::Began, sentence));
        match fault {
            Fault::Writes(of) => {
                self.model.writes.push((number, of.times));
                began(format!("{:.0} times as much is written as usual", of.times))
            }
            Fault::Customers(of) => {
                self.model.crowd.push((number, of.times));
                began(format!("{:.1} times as many customers come", of.times))
            }
            Fault::ApplyDies(of) => {
                let link = self.link(&of.replication)?;
                link.stuck = Some(now);
                let sentence = format!("the apply worker of {} dies on every try", link.probe);
                began(sentence)
            }
            Fault::SlotLost(of) => {
                let link = self.link(&of.replication)?;
                link.slot = SlotState::Lost;
                let sentence = format!("the slot of {} is gone", link.probe);
                began(sentence)
            }
            Fault::SlotMadeAgain(of) => {
                let link = self.link(&of.replication)?;
                link.make_slot_again();
                let sentence = format!("the slot of {} is dropped and made again by hand", link.probe);
                began(sentence)
            }
            Fault::SlotMoved(of) => {
                let link = self.link(&of.replication)?;
                link.move_slot();
                let sentence = format!("a tool reads from the slot of {} in place of its subscription", link.probe);
                began(sentence)
            }
            Fault::WalsenderStops(of) | Fault::ApplyWorkerStops(of) => {
                let who = if matches!(fault, Fault::WalsenderStops(_)) { "walsender" } else { "apply worker" };
                let link = self.link(&of.replication)?;
                link.stopped = Some(now);
                let sentence = format!("the {who} of {} hangs", link.probe);
                began(sentence)
            }
            Fault::LargeTransaction(of) => {
                let link = self.link(&of.replication)?;
                link.large = Some(now);
                link.spilled += LARGE;
                let sentence = format!("everything on {} waits behind one large transaction", link.probe);
                began(sentence)
            }
            Fault::DisabledByError(of) => {
                let link = self.link(&of.replication)?;
                link.fail();
                let sentence = format!("an error disables the subscription of {}", link.probe);
                began(sentence)
            }
            Fault::TableAdded(of) => {
                let link = self.link(&of.replication)?;
                link.added.push(of.table.clone());
                let sentence = format!("{} is created on both sides, and {} is not refreshed", of.table, link.probe);
                began(sentence)
            }
            Fault::SourceFailsOver(of) => {
                let link = self.link(&of.replication)?;
                link.slot = SlotState::Gone;
                let source = link.source.clone();
                self.model.servers.fail_over(&source);
                began(format!("{source} fails over to its standby, and the slot is not there"))
            }
            Fault::RowsSkipped(of) => {
                let link = self.link(&of.replication)?;
                link.skipped = of.share;
                let sentence = format!("{:.1} % of the rows do not arrive through {}", of.share * 100.0, link.probe);
                began(sentence)
            }
            Fault::OpenTransaction(of) => {
                let link = self.link(&of.replication)?;
                link.open_transaction = Some(now);
                let sentence = format!("a transaction stays open on {}", link.source);
                began(sentence)
            }
            Fault::ResolverStuck(of) => {
                let name = self.set_fault(&of.resolver, number, ResolverFault::Stuck)?;
                began(format!("{name} goes on giving the answer it had"))
            }
            Fault::ResolverStale(of) => {
                let name = self.set_fault(&of.resolver, number, ResolverFault::Stale)?;
                began(format!("{name} gives a stale answer"))
            }
            Fault::ResolverDead(of) => {
                let name = self.set_fault(&of.resolver, number, ResolverFault::Dead)?;
                began(format!("{name} does not answer"))
            }
            Fault::ResolverReplaced(of) => {
                let name = self.set_fault(&of.resolver, number, ResolverFault::Replaced)?;
                began(format!("another machine answers for {name}"))
            }
            Fault::ResolverHolds(of) => {
                let least = u32::try_from(of.least.0 / 1_000).unwrap_or(u32::MAX);
                let name = self.set_fault(&of.resolver, number, ResolverFault::Floor(least))?;
                began(format!("{name} keeps every answer for at least {}", of.least))
            }
            Fault::Slow(of) => {
                self.model.web.set_fault(of.side, number, Some(ServiceFault::Slow(of.times)), now);
                began(format!("the {} environment answers {:.1} times slower", of.side.as_str(), of.times))
            }
            Fault::Errors(of) => {
                self.model.web.set_fault(of.side, number, Some(ServiceFault::Errors(of.share, of.status)), now);
                let share = of.share * 100.0;
                began(format!("the {} environment answers {share:.0} % with {}", of.side.as_str(), of.status))
            }
            Fault::Fails(_) => {
                let title = self.plan_fault(number, fault)?;
                began(format!("\"{title}\" fails"))
            }
            Fault::Hangs(_) => {
                let title = self.plan_fault(number, fault)?;
                began(format!("\"{title}\" hangs"))
            }
            Fault::Unknown(of) => {
                let title = self.plan_fault(number, fault)?;
                let effect = if of.happened { "but takes effect" } else { "and takes no effect" };
                began(format!("\"{title}\" loses its answer {effect}"))
            }
            Fault::UpdatesRefused(of) => {
                let says = of.says.clone().unwrap_or_else(|| "Throttling: Rate exceeded".to_owned());
                self.troubles.refused.push((number, of.tries, says.clone()));
                began(format!("updates of records are refused: {says}"))
            }
            Fault::UpdatesDelayed(of) => {
                self.troubles.delayed.push((number, of.by));
                began(format!("updates of records take {} longer", of.by))
            }
            Fault::RecordReverted(of) => {
                let plan = Arc::clone(&self.plan);
                let meant = select::probes(&plan, &of.probe);
                let watched = meant.iter().find_map(|id| plan.probes.get(id)?.kind.hosted_set())?;
                let told = self.model.hosted.revert(&watched);
                self.model.publish_hosted(watched.target, watched.name, watched.record_type);
                began(format!("somebody else changes {} {} {told}", watched.name, watched.record_type.as_str()))
            }
            Fault::Lies(of) => {
                let id = self.probe(&of.probe)?;
                let says = self.literals(&id, &of.says);
                let frozen =
                    if says.is_empty() { self.watch.get(&id).and_then(|watched| watched.last.clone()) } else { None };
                self.muted.push((number, id.clone(), Mute::Lies(frozen, says)));
                began(format!("{id} reports what is not true"))
            }
            Fault::Silent(of) => {
                let id = self.probe(&of.probe)?;
                self.muted.push((number, id.clone(), Mute::Silent));
                began(format!("{id} does not answer"))
            }
            Fault::Reads(reads) => {
                for (path, read) in reads {
                    self.misread(number, path, read);
                }
                let what: Vec<String> = reads.iter().map(|(path, read)| reads_as(path, read)).collect();
                began(what.join(", "))
            }
            Fault::ClockJump(of) => {
                let by = i64::try_from(of.by.0).unwrap_or(i64::MAX);
                let by_ms = if of.back { -by } else { by };
                let way = if of.back { "back" } else { "forward" };
                Some((IncidentKind::ClockJump { by_ms }, format!("the wall clock is set {way} by {}", of.by)))
            }
            Fault::CockpitKilled(of) => {
                let back_after = of.back_after;
                let sentence = format!("the cockpit is killed; somebody resumes after {back_after}");
                Some((IncidentKind::KillCockpit { back_after }, sentence))
            }
            Fault::DiskFull(_) => {
                Some((IncidentKind::DiskFull { lasts }, "the disk of the journal is full".to_owned()))
            }
            Fault::TerminalLost(_) => Some((IncidentKind::TerminalLost, "the operator's terminal is lost".to_owned())),
        }
    }

    /// Ends the event of that number.
    pub(super) fn fault_ends(&mut self, number: usize) {
        let Some(event) = self.troubles.any_event(number).cloned() else { return };
        let now = self.now();
        self.model.unsettle();
        self.model.writes.retain(|(fault, _)| *fault != number);
        self.model.crowd.retain(|(fault, _)| *fault != number);
        self.muted.retain(|(fault, ..)| *fault != number);
        for (zone, name) in self.model.names.resolvers() {
            self.model.names.set_fault(&zone, &name, number, None);
        }
        for side in [Side::Old, Side::New] {
            self.model.web.set_fault(side, number, None, now);
        }
        self.troubles.end(number);
        let kind = match &event.fault {
            Fault::ApplyDies(of) => {
                self.mend(&of.replication, |link| link.stuck = None);
                IncidentKind::Ended
            }
            Fault::WalsenderStops(of) | Fault::ApplyWorkerStops(of) => {
                self.mend(&of.replication, |link| link.stopped = None);
                IncidentKind::Ended
            }
            Fault::LargeTransaction(of) => {
                self.mend(&of.replication, |link| link.large = None);
                IncidentKind::Ended
            }
            Fault::DisabledByError(of) => {
                self.mend(&of.replication, |link| link.failed = false);
                IncidentKind::Ended
            }
            Fault::TableAdded(of) => {
                self.mend(&of.replication, Link::tables_are_subscribed);
                IncidentKind::Ended
            }
            Fault::OpenTransaction(of) => {
                self.model.commit(&select::replications(&self.plan, &of.replication));
                IncidentKind::Ended
            }
            Fault::RowsSkipped(of) => {
                self.mend(&of.replication, |link| link.skipped = 0.0);
                IncidentKind::Ended
            }
            Fault::DiskFull(_) => IncidentKind::DiskFree,
            _ => IncidentKind::Ended,
        };
        self.troubles.tell(now, number, kind, format!("`{}` is over", event.fault.word()), Touches::default());
    }

    /// What a fault that has just begun affects.
    fn touched(&self, fault: &Fault, link: Option<ProbeId>) -> Touches {
        let kinds = |kinds: &[&str]| {
            let of = |(_, probe): &(&ProbeId, &Probe)| kinds.contains(&probe.kind.name());
            self.plan.probes.iter().filter(of).map(|(id, _)| id.clone()).collect()
        };
        let probes = match fault {
            Fault::Writes(_) => kinds(&["postgres.replication"]),
            Fault::Customers(_) => kinds(&["postgres.replication", "http"]),
            of if of.replication().is_some() => link.into_iter().collect(),
            Fault::ResolverStuck(_)
            | Fault::ResolverStale(_)
            | Fault::ResolverDead(_)
            | Fault::ResolverReplaced(_)
            | Fault::ResolverHolds(_) => kinds(&["dns"]),
            Fault::RecordReverted(_) => kinds(&["dns", "route53"]),
            Fault::Slow(_) | Fault::Errors(_) => {
                let seen: BTreeSet<ProbeId> = kinds(&["http"]);
                seen.into_iter().chain(self.plan.customers.clone()).collect()
            }
            Fault::Reads(reads) => reads.keys().filter_map(|path| path.split('.').next()).map(ProbeId::from).collect(),
            Fault::Lies(_) | Fault::Silent(_) => self.muted.last().map(|(_, id, _)| id.clone()).into_iter().collect(),
            _ => BTreeSet::new(),
        };
        let steps = match fault {
            Fault::Fails(_) | Fault::Hangs(_) | Fault::Unknown(_) => self.troubles.last_planned().into_iter().collect(),
            Fault::UpdatesRefused(_) | Fault::UpdatesDelayed(_) => {
                let updates = |step: &&Step| step.work.jobs.iter().any(|job| job.action.records().is_some());
                self.plan.steps.iter().filter(updates).map(|step| step.id.clone()).collect()
            }
            _ => BTreeSet::new(),
        };
        Touches { probes, steps }
    }

    fn plan_fault(&mut self, number: usize, fault: &Fault) -> Option<String> {
        let plan = Arc::clone(&self.plan);
        self.troubles.plan_fault(&plan, number, fault)
    }

    /// The replication that a scenario means: of several, one that has been set up.
    fn link(&mut self, name: &str) -> Option<&mut Link> {
        let meant = select::replications(&self.plan, name);
        let is = |id: &&ProbeId, what: fn(&Link) -> bool| self.model.links.get(*id).is_some_and(what);
        let flowing = meant.iter().find(|id| is(id, Link::flows));
        let id = flowing.or_else(|| meant.iter().find(|id| is(id, Link::is_there))).or(meant.first())?.clone();
        self.model.links.get_mut(&id)
    }

    fn mend(&mut self, name: &str, mend: impl Fn(&mut Link)) {
        for id in select::replications(&self.plan, name) {
            if let Some(link) = self.model.links.get_mut(&id) {
                mend(link);
            }
        }
    }

    /// The probe that a scenario means: of several replications, the one that streams.
    fn probe(&mut self, name: &str) -> Option<ProbeId> {
        let meant = select::probes(&self.plan, name);
        let flows = |id: &&ProbeId| self.model.links.get(*id).is_some_and(Link::flows);
        if let Some(flowing) = meant.iter().find(flows) {
            return Some(flowing.clone());
        }
        let at = self.dice.pick(meant.len());
        meant.get(at).cloned()
    }

    fn set_fault(&mut self, name: &str, number: usize, ill: ResolverFault) -> Option<String> {
        let meant = select::resolvers(&self.plan, name);
        let at = self.dice.pick(meant.len());
        let (zone, name) = meant.get(at)?;
        self.model.names.set_fault(zone, name, number, Some(ill));
        Some(name.clone())
    }

    /// Falsifies one field, or all readings of a probe, as a scenario says.
    fn misread(&mut self, number: usize, path: &str, read: &Misread) {
        let (name, field) = path.split_once('.').map_or((path, None), |(name, field)| (name, Some(field)));
        let id = ProbeId::from(name);
        let mute = match (read, field) {
            (Misread::Failing(failing), _) => Some(Mute::Fails(failing.fails.clone())),
            (Misread::Null, Some(field)) => Some(Mute::Lies(None, BTreeMap::from([(field.to_owned(), Value::Null)]))),
            (Misread::Value(literal), Some(field)) => {
                let value = self.plan.probes.get(&id).and_then(|probe| literal_at(probe, field, literal));
                value.map(|value| Mute::Lies(None, BTreeMap::from([(field.to_owned(), value)])))
            }
            (Misread::Null | Misread::Value(_), None) => None,
        };
        self.muted.extend(mute.map(|mute| (number, id, mute)));
    }

    /// The false values that a lying probe reports.
    fn literals(&self, id: &ProbeId, says: &BTreeMap<String, Literal>) -> BTreeMap<String, Value> {
        let Some(probe) = self.plan.probes.get(id) else { return BTreeMap::new() };
        says.iter().filter_map(|(path, literal)| Some((path.clone(), literal_at(probe, path, literal)?))).collect()
    }
}

/// The value that a scenario gives for a path of a probe's readings.
fn literal_at(probe: &Probe, path: &str, literal: &Literal) -> Option<Value> {
    literal.value(reads::single(&reads::lead(&probe.kind.shape(), path).ok()?)?)
}

/// A reading with some values replaced. A path that the reading does not have, such as the third of two resolvers, is
/// left out, since a probe never reports what it did not declare.
pub(super) fn misread(value: &Value, says: &BTreeMap<String, Value>, probe: &Probe) -> Value {
    let shape = probe.kind.shape();
    let mut value = value.clone();
    for (path, said) in says {
        let mut other = value.clone();
        if other.put(path, said.clone()) && mismatch(&other, &shape).is_none() {
            value = other;
        }
    }
    value
}

/// Describes how one field is falsified.
fn reads_as(path: &str, read: &Misread) -> String {
    match read {
        Misread::Failing(failing) => format!("{path} fails: {}", failing.fails),
        Misread::Null => format!("{path} reads as null"),
        Misread::Value(Literal::Bool(yes)) => format!("{path} reads as {yes}"),
        Misread::Value(Literal::Int(n)) => format!("{path} reads as {n}"),
        Misread::Value(Literal::Float(x)) => format!("{path} reads as {x}"),
        Misread::Value(Literal::Text(text)) => format!("{path} reads as {text:?}"),
    }
}
