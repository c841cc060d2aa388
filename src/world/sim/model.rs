//! The state of the simulated world, and how time and actions change it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core::action::Action;
use crate::core::customers::followed;
use crate::core::ids::{ProbeId, TargetId};
use crate::core::plan::Plan;
use crate::core::record::RecordType;
use crate::core::simulate::{Change, Quantity, Side};
use crate::core::target::Target;
use crate::core::time::{At, Span};

use super::customers::{Customers, Service, hour};
use super::dice::Dice;
use super::fields::Fields;
use super::hosted::Hosted;
use super::kind::rehearsed;
use super::link::{HIDDEN_ROWS, Link, NOW_AND_THEN};
use super::names::Names;
use super::plans;
use super::servers::SimulatedServers;
use super::web::Web;

/// Bytes of WAL a second at an average hour.
const WAL: f64 = 1_200_000.0;
/// Longest stretch of time whose load counts as steady.
const STRETCH: Span = Span::secs(600);
/// After a change the figures take at least this long until they repeat themselves, and as long as every probe needs to
/// report it.
const SETTLING: Span = Span::secs(8);
/// A side with a smaller share of the customers than this counts as having none.
const FEW: f64 = 0.01;

/// What the world is.
#[derive(Clone, Debug)]
pub(super) struct Model {
    plan: Arc<Plan>,
    pub now: At,
    /// When the cockpit that measures began to.
    pub watched_since: At,
    /// For each database, and each web service that was told to refuse writes, whether it accepts writes of
    /// applications.
    writable: BTreeMap<TargetId, bool>,
    pub links: BTreeMap<ProbeId, Link>,
    pub servers: SimulatedServers,
    pub names: Names,
    pub hosted: Hosted,
    pub customers: Customers,
    /// The probe that watches the record through which they come.
    followed: Option<ProbeId>,
    pub web: Web,
    pub fields: Fields,
    /// What actions have switched on, and since when: at which target, what, and of what there. A kind with a state of
    /// its own keeps it here, so that its probe sees what its action did.
    pub switched_on: BTreeMap<(TargetId, &'static str, String), At>,
    /// How many times more is written, and how many times more customers come, by fault.
    pub writes: Vec<(usize, f64)>,
    pub crowd: Vec<(usize, f64)>,
    old: Option<TargetId>,
    new: Option<TargetId>,
    using: Option<TargetId>,
    /// Acknowledged writes on each side's database.
    saved: (f64, f64),
    shares: (f64, f64),
    /// [`Names::changes`] of which `shares` tells.
    shares_of: u64,
    settling: Span,
    unsettled: At,
    /// When something was last under way.
    busy: At,
    dice: Dice,
}

impl Model {
    pub(super) fn new(plan: &Arc<Plan>, seed: u64, now: At) -> Self {
        let begun = plans::begun_by_actions(plan);
        let links =
            plans::links(plan).map(|(id, of)| (id.clone(), Link::new(id, of, seed, !begun.contains(id)))).collect();
        let postgres = plan.targets.iter().filter(|(_, target)| matches!(target, Target::Postgres(_)));
        let (old, new) = plans::databases(plan);
        let rarest = plan.probes.values().map(|probe| probe.every.0.saturating_add(probe.limit.0)).max();
        let settling = Span(SETTLING.0.max(rarest.unwrap_or(0)));
        let mut dice = Dice::new(seed, "world");
        let longest = dice.between(110.0, 260.0);
        let names = Names::new(plan, seed, now);
        let followed = followed(plan).first().copied();
        let shares = followed.map_or((1.0, 0.0), |(_, record)| names.shares(record));
        Self {
            now,
            watched_since: now,
            writable: postgres.map(|(id, _)| (id.clone(), true)).collect(),
            links,
            servers: SimulatedServers::new(plan, seed, now),
            names,
            hosted: Hosted::new(plan),
            customers: Customers::new(longest),
            followed: followed.map(|(id, _)| id.clone()),
            web: Web::new(plan, seed, now),
            fields: Fields::new(plan),
            switched_on: BTreeMap::new(),
            writes: Vec::new(),
            crowd: Vec::new(),
            using: old.clone(),
            old,
            new,
            saved: (0.0, 0.0),
            shares,
            shares_of: 0,
            settling,
            busy: now,
            unsettled: now.plus(settling),
            dice,
            plan: Arc::clone(plan),
        }
    }

    /// The target of that name.
    pub(super) fn target(&self, id: &TargetId) -> Option<&Target> {
        self.plan.targets.get(id)
    }

    /// Lets the name servers of a hosted zone answer for a name and type what its API has of it.
    pub(super) fn publish_hosted(&mut self, target: &TargetId, name: &str, of: RecordType) {
        self.hosted.publish(self.now, &self.plan, &mut self.names, (target, name, of));
    }

    /// The text of the baseline that a probe is judged against.
    pub(super) fn baseline(&self, probe: &ProbeId) -> Option<&str> {
        self.plan.baselines.get(probe).map(|text| &**text)
    }

    /// The number of customers relative to the usual number.
    pub(super) fn crowd(&self) -> f64 {
        self.crowd.iter().map(|(_, times)| times).product()
    }

    fn database(&self, side: Side) -> Option<&TargetId> {
        match side {
            Side::Old => self.using.as_ref(),
            // The new environment knows only its own database.
            Side::New => self.new.as_ref().or(self.using.as_ref()),
        }
    }

    /// Whether this database refuses writes.
    pub(super) fn is_fenced(&self, database: &TargetId) -> bool {
        !self.takes_writes(Some(database))
    }

    fn takes_writes(&self, database: Option<&TargetId>) -> bool {
        database.and_then(|database| self.writable.get(database)).copied().unwrap_or(true)
    }

    /// Whether a web service of this side was told to refuse writes. One that belongs to no side serves both.
    fn turns_writes_away(&self, side: Side) -> bool {
        let shut = self.writable.iter().filter(|(_, writable)| !**writable).map(|(target, _)| target);
        let mut web = shut.filter(|target| self.plan.targets.get(*target).is_some_and(|of| of.kind() == "http"));
        web.any(|target| plans::side(&self.plan, target).is_none_or(|of| of == side))
    }

    /// Whether a pooler in front of this side's database holds every client back. One whose name shows no side stands
    /// in front of both.
    fn is_paused(&self, side: Side) -> bool {
        let mut paused = self.switched_on.keys().filter(|(_, what, _)| *what == "paused");
        paused.any(|(pooler, ..)| plans::by_name(pooler.as_str()).is_none_or(|of| of == side))
    }

    /// Lets time pass up to `to`.
    pub(super) fn advance(&mut self, to: At) {
        let plan = Arc::clone(&self.plan);
        let record = self.followed.as_ref().and_then(|id| plan.probes.get(id)?.kind.record());
        while self.now < to {
            let change = self.names.next_change().filter(|at| *at > self.now);
            let next = to.min(self.now.plus(STRETCH)).min(change.unwrap_or(At::NEVER));
            let dt = next.since(self.now).as_secs_f64();
            self.now = next;
            self.pass(dt);
            self.names.advance(next);
            if change == Some(next) {
                self.unsettle();
            }
            let changes = self.names.changes();
            let changed = std::mem::replace(&mut self.shares_of, changes) != changes;
            let shares = record.filter(|_| changed).map(|record| self.names.shares(record));
            if let Some(shares) = shares.filter(|shares| *shares != self.shares) {
                for (side, before, after) in
                    [(Side::Old, self.shares.0, shares.0), (Side::New, self.shares.1, shares.1)]
                {
                    if before < FEW && after >= FEW {
                        self.web.start_cold(side, next);
                    }
                }
                self.shares = shares;
                self.unsettle();
            }
            if self.fields.arrive(next, &self.links) {
                self.unsettle();
            }
            if self.is_busy() {
                self.busy = next;
            }
        }
    }

    /// Whether something is still changing towards its final state.
    fn is_busy(&self) -> bool {
        self.links.values().any(|link| link.quiet_for(self.now) < Span(u64::MAX))
            || self.customers.somebody_waits_to_write(self.now)
            || !self.web.is_steady(self.now)
    }

    fn pass(&mut self, dt: f64) {
        let crowd = self.crowd();
        let service = |side: Side, share: f64| {
            let (errors, slow_ms) = self.web.of_side(side, self.now, crowd);
            let writable = self.takes_writes(self.database(side)) && !self.turns_writes_away(side);
            Service { share, open: !self.is_paused(side), writable, errors, slow_ms }
        };
        let (old, new) = (service(Side::Old, self.shares.0), service(Side::New, self.shares.1));
        let saved = self.customers.pass(self.now, dt, crowd, old, new);
        let writes = self.writes.iter().map(|(_, times)| times).product::<f64>();
        let wal = WAL * hour(self.now) * crowd * writes;
        let sides = [(Side::Old, old, saved.old), (Side::New, new, saved.new)];
        for link in self.links.values_mut() {
            let (mut rate, mut rows) = (0.0, 0.0);
            for (side, service, saved) in &sides {
                let database = match side {
                    Side::Old => self.using.as_ref(),
                    Side::New => self.new.as_ref().or(self.using.as_ref()),
                };
                if database == Some(&link.source) {
                    rows += if dt > 0.0 { saved / dt } else { 0.0 };
                    rate += if service.takes_writes() { wal * service.share } else { 0.0 };
                }
            }
            if link.pass(self.now, dt, rate, rows) {
                self.unsettled = self.now.plus(self.settling);
            }
        }
        for (side, _, saved) in sides {
            if self.database(side) == self.new.as_ref() && self.new.is_some() {
                self.saved.1 += saved;
            } else {
                self.saved.0 += saved;
            }
        }
    }

    /// Notes a change: the figures need a while until they repeat themselves.
    pub(super) fn unsettle(&mut self) {
        self.unsettled = self.now.plus(self.settling);
    }

    /// Until when nothing changes by itself except noise; `now` when something is under way.
    pub(super) fn quiet_until(&self) -> At {
        // A final state counts only after every probe has measured it.
        let rests = self.is_busy() || self.now.since(self.busy) >= self.settling;
        let links = self.links.values().map(|link| link.quiet_for(self.now)).min().unwrap_or(Span(u64::MAX));
        let customers = !self.customers.somebody_waits_to_write(self.now);
        if self.now < self.unsettled
            || !rests
            || links == Span::ZERO
            || !customers
            || !self.fields.is_quiet(&self.links)
        {
            return self.now;
        }
        let status = self.links.values().filter_map(|link| link.next_status(self.now));
        let change = self.names.next_change().into_iter().chain(status).min().unwrap_or(At::NEVER);
        let web = if self.web.is_steady(self.now) { Span(u64::MAX) } else { NOW_AND_THEN };
        change.min(self.now.plus(links.min(web))).max(self.now)
    }

    /// Carries out an action that succeeds, and returns its result.
    pub(super) fn perform(&mut self, action: &Action, expect: Option<Span>) -> Result<Option<String>, String> {
        self.unsettle();
        // What the core carries out itself leaves no trace in the world.
        rehearsed(action).map_or(Ok(None), |action| action.change(self, expect))
    }

    pub(super) fn change(&mut self, change: &Change, expect: Option<Span>) {
        let now = self.now;
        match change {
            Change::Fence(target) => {
                self.writable.insert(target.clone(), false);
            }
            Change::Open(target) => {
                self.writable.insert(target.clone(), true);
            }
            Change::Use(target) => self.using = Some(target.clone()),
            Change::Replicate(probe) => {
                let lasts = expect.unwrap_or(Span::secs(20)).as_secs_f64() * 1_000.0;
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // milliseconds
                let lasts = Span(self.dice.around(lasts * 0.6, 0.25).max(200.0) as u64);
                if let Some(link) = self.links.get_mut(probe) {
                    link.replicate(now, lasts);
                }
            }
            Change::Follow(probe) => self.link(probe, Link::follow),
            Change::Pause(probe) => self.link(probe, Link::pause),
            Change::Drop(probe) => self.link(probe, Link::drop_it),
            Change::Point(point) => {
                if let Some(record) = self.plan.probes.get(&point.record).and_then(|probe| probe.kind.record()) {
                    self.names.point(now, record, point.to, point.ttl);
                }
            }
            Change::Bump(field) => self.fields.bump(field, now, &self.links),
            Change::Set(fields) => {
                for (field, to) in fields {
                    self.fields.set((&self.plan, field, to), now, &self.links);
                }
            }
        }
    }

    fn link(&mut self, probe: &ProbeId, change: impl Fn(&mut Link)) {
        if let Some(link) = self.links.get_mut(probe) {
            change(link);
        }
    }

    /// Commits open transactions; their rows count as saved from here on.
    pub(super) fn commit(&mut self, replications: &[ProbeId]) {
        for id in replications {
            let Some(link) = self.links.get_mut(id).filter(|link| link.open_transaction.is_some()) else { continue };
            link.commit();
            self.customers.acknowledged += HIDDEN_ROWS;
            if Some(&link.source) == self.new.as_ref() {
                self.saved.1 += HIDDEN_ROWS;
            } else {
                self.saved.0 += HIDDEN_ROWS;
            }
        }
    }

    /// Share of the customers whose resolver gives them the old environment.
    pub(super) fn on_old(&self) -> f64 {
        self.shares.0
    }

    /// Rows that customers were told were saved and that the database their application uses does not have.
    pub(super) fn rows_missing(&self) -> u64 {
        let of = if self.using.is_some() && self.using == self.new {
            Quantity::MissingInNew
        } else {
            Quantity::MissingInOld
        };
        // Before anything is copied, the old database is the only one.
        if self.using.is_none() || self.using == self.old && self.saved.1 == 0.0 {
            return 0;
        }
        self.quantity(of).unsigned_abs()
    }

    /// A number of the world.
    #[allow(clippy::cast_possible_truncation)] // counts far below 2^63
    pub(super) fn quantity(&self, of: Quantity) -> i64 {
        let customers = &self.customers;
        let missing = |source: Option<&TargetId>, target: Option<&TargetId>, else_saved: f64| {
            let link = self.links.values().find(|link| Some(&link.source) == source && Some(&link.target) == target);
            link.map_or(else_saved, Link::missing)
        };
        let in_new = || missing(self.old.as_ref(), self.new.as_ref(), self.saved.0);
        let in_old = || missing(self.new.as_ref(), self.old.as_ref(), self.saved.1);
        let number = match of {
            Quantity::Requests => customers.requests,
            Quantity::Acknowledged => customers.acknowledged,
            Quantity::Failed => customers.failed,
            Quantity::LongestPause => customers.longest_ms(self.now),
            Quantity::OnOld => customers.recent(self.now, Side::Old).ceil(),
            Quantity::OnNew => customers.recent(self.now, Side::New).ceil(),
            Quantity::MissingInNew => in_new(),
            Quantity::MissingInOld => in_old(),
            Quantity::InOld => customers.acknowledged - in_old(),
            Quantity::InNew => customers.acknowledged - in_new(),
        };
        number.floor().max(0.0) as i64
    }
}
