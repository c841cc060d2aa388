//! What was seen of a replication before: PostgreSQL forgets that a slot, a subscription or a table was gone for a while,
//! and what was written meanwhile never arrives.
//!
//! A slot has no number, and the server does not tell who moved it. What proves that it is not what it was:
//!
//! - While the subscription is switched off, or its worker has failed and no other one has failed since, nothing may move the
//!   slot or the origin (`pg_replication_origin_status`, where the role may see it): a move is somebody else's, whether by
//!   `pg_replication_slot_advance`, `pg_logical_slot_get_changes`, another reader or `pg_replication_origin_advance`. The
//!   positions are compared between two looks, also across a resume, and a third must find the subscription as it was. That
//!   the slot lies beyond the origin proves nothing by itself: where there is nothing to apply, the worker confirms whatever
//!   the source has written.
//! - What the slot has confirmed is on the target. A heartbeat that lies before the confirmed position and is not on the
//!   target was lost ([`super::heartbeat`]).
//! - Counts of decoded transactions and bytes only grow, and a mark (`pg_stat_reset_replication_slot`) stays.
//! - As long as the same walsender reads from it, nobody else has touched the slot.
//!
//! Not known: what happens wholly between two looks and leaves the counts larger than before, such as a slot that is made
//! again before it has carried anything, or that has carried more than the old one when the run is resumed. `slot_read_since`
//! says since when nothing of that kind can have happened.

use std::collections::BTreeMap;

use tokio_postgres::types::PgLsn;

use super::asked::{Published, Slot, SlotPosition, Subscription};
use crate::core::kind::replication::ReplicationState;
use crate::core::server::ServerIdentity;
use crate::core::value::Value;

/// What steps have done at some targets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::world::live) struct Deeds {
    /// How many actions have begun.
    pub(in crate::world::live) begun: u64,
    /// How many of them are under way.
    pub(in crate::world::live) under_way: u64,
}

/// A slot at the look before.
#[derive(Clone, Debug, PartialEq)]
struct SeenSlot {
    position: SlotPosition,
    /// Whether nobody read from it.
    idle: bool,
    /// Who might have moved it.
    mover: Mover,
    /// Up to where the target has applied changes, where that is known.
    origin: Option<u64>,
    source: ServerIdentity,
    timeline: Option<i64>,
}

/// What became of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotFault {
    /// The slot or the subscription is another than before.
    MadeAgain,
    /// Somebody else than the subscription has moved the slot or the origin.
    Moved,
}

/// Who may move a slot, as far as a look shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mover {
    /// The worker of its subscription.
    Worker,
    /// Nobody: the worker has failed and does not run, and each that fails meanwhile adds an error to these.
    Failing(i64),
    /// Nobody: the subscription is switched off, and its worker has ended.
    Off,
}

/// Watches whether the worker of a subscription runs, ends or fails.
#[derive(Clone, Copy, Debug, Default)]
struct WorkerWatch {
    /// The errors of the subscription so far.
    errors: Option<i64>,
    /// Whether it has failed since it was last seen to run. One that ends without an error may have moved the slot.
    failing: bool,
}

impl WorkerWatch {
    fn mover(&mut self, subscription: &Subscription) -> Mover {
        let failed = self.errors.is_some() && self.errors < subscription.errors;
        self.errors = subscription.errors;
        self.failing = subscription.worker.is_none() && (self.failing || failed);
        // One that is told to end still finishes what it has begun.
        match subscription.errors.filter(|_| self.failing) {
            _ if subscription.worker.is_some() => Mover::Worker,
            _ if !subscription.enabled => Mover::Off,
            Some(errors) => Mover::Failing(errors),
            None => Mover::Worker,
        }
    }
}

/// The tables of a subscription at the look before.
#[derive(Clone, Debug)]
struct SeenTables {
    copies: BTreeMap<String, Option<String>>,
    ids: BTreeMap<String, i64>,
    published: Published,
}

/// A table that changes did not reach for a while.
#[derive(Clone, Debug, Default)]
struct Interruption {
    /// Whether it is known where its copy had ended then; an earlier cockpit did not tell.
    known: bool,
    copy: Option<String>,
}

/// What is remembered from look to look.
#[derive(Debug, Default)]
pub(super) struct ReplicationHistory {
    subscription: Option<i64>,
    seen: bool,
    gone: bool,
    /// Why what was written for a while never arrives although the slot was never seen gone.
    fault: Option<SlotFault>,
    slot: Option<SeenSlot>,
    /// Whether the slot or the origin seems to have moved while it rested. Source and target are not asked in the same instant,
    /// so the next look must show that nothing was switched on meanwhile.
    suspected: bool,
    worker: WorkerWatch,
    tables: Option<SeenTables>,
    /// Tables that changes did not reach for a while.
    interrupted: BTreeMap<String, Interruption>,
    /// What steps had done when the look before began, and when this one began.
    deeds: (Deeds, Deeds),
}

impl ReplicationHistory {
    /// A look begins.
    pub(super) fn steps(&mut self, now: Deeds) {
        self.deeds = (self.deeds.1, now);
    }

    /// Takes in what was found; `slot` when it has kept everything.
    pub(super) fn see(
        &mut self,
        subscription: &Subscription,
        published: &Published,
        slot: Option<&Slot>,
        (source, timeline): (&ServerIdentity, Option<i64>),
        deeds: Deeds,
    ) {
        let by_step = self.by_step(deeds);
        let copied = |table: &String| subscription.copies.get(table).is_some_and(Option::is_some);
        if self.subscription != subscription.id {
            // With a first copy of every table it begins anew.
            let anew = subscription.names.iter().all(copied);
            let other = self.subscription.is_some() && !anew && !by_step;
            let fault = other.then_some(SlotFault::MadeAgain);
            *self = Self { subscription: subscription.id, fault, deeds: self.deeds, ..Self::default() };
        }
        self.seen |= slot.is_some();
        self.gone |= self.seen && slot.is_none();
        let mover = self.worker.mover(subscription);
        let mut now = slot.map(|slot| SeenSlot {
            position: slot.position.clone(),
            idle: !slot.active,
            mover,
            origin: subscription.origin,
            source: source.clone(),
            timeline,
        });
        let mut moved = false;
        if let (Some(before), Some(now)) = (&self.slot, &now)
            && !by_step
        {
            moved = before.was_moved_until(now);
            let certain = (moved && self.suspected).then_some(SlotFault::Moved);
            let fault = if before.was_replaced_by(now) { Some(SlotFault::MadeAgain) } else { certain };
            self.fault = self.fault.or(fault);
        }
        self.suspected = moved;
        // A slot that is dropped while it is looked at has no counts any more: those of the next one are compared with the last.
        if let (Some(before), Some(now)) = (&self.slot, &mut now) {
            now.position.transactions = now.position.transactions.or(before.position.transactions);
            now.position.bytes = now.position.bytes.or(before.position.bytes);
        }
        // The next look is compared with the one before it moved.
        self.slot = if moved { self.slot.take() } else { now.or(self.slot.take()) };
        if let Some(before) = &self.tables
            && !by_step
        {
            for table in subscription.names.iter().filter(|table| before.lacks(table, subscription, published)) {
                let copy = subscription.copies.get(table).cloned().flatten();
                self.interrupted.entry(table.clone()).or_insert(Interruption { known: true, copy });
            }
        }
        for table in subscription.names.iter().filter(|table| !published.contains_key(*table)) {
            let copy = subscription.copies.get(table).cloned().flatten();
            self.interrupted.insert(table.clone(), Interruption { known: true, copy });
        }
        // A copy that has begun or ended since then brings everything.
        self.interrupted.retain(|table, then| {
            let Some(now) = subscription.copies.get(table) else { return true };
            if !then.known {
                *then = Interruption { known: true, copy: now.clone() };
            }
            now.is_none() || *now == then.copy
        });
        self.tables = Some(SeenTables {
            copies: subscription.copies.clone(),
            ids: subscription.ids.clone(),
            published: published.clone(),
        });
    }

    /// Whether what was written for a while never arrives, since the slot was gone or is another one.
    pub(super) fn is_made_again(&self) -> bool {
        self.gone || self.fault == Some(SlotFault::MadeAgain)
    }

    /// Whether what was written for a while never arrives, since somebody else has moved the slot or the origin.
    pub(super) fn is_moved(&self) -> bool {
        self.fault == Some(SlotFault::Moved)
    }

    /// Whether a step may have touched the replication since the look before.
    pub(super) fn by_step(&self, now: Deeds) -> bool {
        let before = self.deeds.0;
        now.begun != before.begun || before.under_way > 0
    }

    /// A heartbeat that the slot has confirmed is not on the target.
    pub(super) fn has_lost_a_beat(&mut self) {
        self.fault.get_or_insert(SlotFault::Moved);
    }

    /// Whether changes of a table that were not left out on purpose arrive.
    pub(super) fn carries(&self, table: &str, subscription: &Subscription) -> bool {
        let copied = subscription.copies.get(table).is_some_and(|copy| copy.as_deref() != Some(""));
        copied && !self.interrupted.contains_key(table)
    }

    /// Tables of the subscription that lack what was written for a while.
    pub(super) fn interrupted<'a>(&'a self, subscription: &'a Subscription) -> impl Iterator<Item = &'a str> {
        self.interrupted.keys().filter(|table| subscription.names.contains(*table)).map(String::as_str)
    }

    /// Takes in what an earlier cockpit of the same run has read.
    pub(super) fn recall(&mut self, earlier: &Value) {
        let Some(Value::Int(subscription)) = earlier.at("subscription_id") else { return };
        if self.subscription != Some(*subscription) {
            let deeds = self.deeds;
            *self = Self { subscription: Some(*subscription), deeds, ..Self::default() };
        }
        let whole = matches!(earlier.at("retained_bytes"), Some(Value::Int(_)));
        self.seen |= whole;
        self.gone |= self.seen && !whole;
        let state = earlier.at("state").and_then(Value::text).and_then(ReplicationState::from_word);
        self.fault = match state {
            Some(ReplicationState::SlotMadeAgain) => Some(SlotFault::MadeAgain),
            Some(ReplicationState::SlotMoved) => self.fault.or(Some(SlotFault::Moved)),
            _ => self.fault,
        };
        if whole {
            let lsn = |field: &str| earlier.at(field)?.text()?.parse::<PgLsn>().ok().map(u64::from);
            let text = |field: &str| earlier.at(field).and_then(Value::text).map(str::to_owned);
            let int = |field: &str| match earlier.at(field) {
                Some(Value::Int(n)) => Some(*n),
                _ => None,
            };
            let position = SlotPosition {
                confirmed: lsn("slot_confirmed"),
                transactions: int("slot_transactions"),
                ..SlotPosition::default()
            };
            let off = state == Some(ReplicationState::Disabled);
            self.slot = Some(SeenSlot {
                position,
                idle: earlier.at("slot_active") == Some(&Value::Bool(false)),
                mover: if off { Mover::Off } else { Mover::Worker },
                origin: lsn("origin_position"),
                source: ServerIdentity::of_postgres(None, text("started_at"), None),
                timeline: int("timeline"),
            });
        }
        if let Some(Value::List(tables)) = earlier.at("tables_interrupted") {
            self.interrupted = tables
                .iter()
                .filter_map(Value::text)
                .map(|table| (table.to_owned(), Interruption::default()))
                .collect();
        }
    }
}

impl SeenTables {
    /// Whether what was written to a table for a moment since then was left out: it was subscribed, or made again on either
    /// side, without a copy of what was there, or the terms of a publication were others meanwhile.
    fn lacks(&self, table: &String, now: &Subscription, published: &Published) -> bool {
        let copy = |copies: &BTreeMap<String, Option<String>>| copies.get(table).cloned().flatten();
        let (copied_before, copied_now) = (copy(&self.copies), copy(&now.copies));
        if copied_now.is_none() && (copied_before.is_some() || self.ids.get(table) != now.ids.get(table)) {
            return true;
        }
        // A copy since then brings everything.
        let (Some(before), Some(after), true) =
            (self.published.get(table), published.get(table), copied_before == copied_now)
        else {
            return false;
        };
        // A publication that was missing altogether, and one that was made again, has stopped the stream meanwhile.
        let altered =
            |(publication, terms): (&i64, &String)| after.terms.get(publication).is_some_and(|now| now != terms);
        before.id != after.id || self.ids.get(table) != now.ids.get(table) || before.terms.iter().any(altered)
    }
}

impl SeenSlot {
    /// Whether somebody else has moved the slot, or the origin, up to now. By itself neither moves; a crash may throw a slot
    /// back. Where a standby keeps slots in step with its primary, they move without a reader.
    fn was_moved_until(&self, now: &Self) -> bool {
        let forward = |before: Option<u64>, now: Option<u64>| before.is_some() && before < now;
        let rested = self.mover != Mover::Worker && self.mover == now.mover;
        let slot = forward(self.position.confirmed, now.position.confirmed)
            || forward(self.position.restart, now.position.restart);
        let synced = self.position.synced || now.position.synced;
        rested && self.idle && (slot && !synced || forward(self.origin, now.origin))
    }

    /// Whether what is there now is another slot.
    fn was_replaced_by(&self, now: &Self) -> bool {
        if self.position.reader.is_some() && self.position.reader == now.position.reader {
            return false;
        }
        // A slot does not follow its server to another timeline, unless a standby keeps it in step.
        if matches!((self.timeline, now.timeline), (Some(before), Some(now)) if before != now) && !now.position.synced {
            return true;
        }
        // A crash loses the counts of every slot, and all others with them.
        let known = self.source.aspect(ServerIdentity::STARTED);
        let kept = self.position.counted_since.is_some() && self.position.counted_since == now.position.counted_since;
        let restarted = known.is_some() && known != now.source.aspect(ServerIdentity::STARTED) && !kept;
        let reset = known.is_some() && now.position.reset.is_some() && self.position.reset != now.position.reset;
        let fewer = |before: Option<i64>, now: Option<i64>| now.is_some() && now < before;
        let unmarked = kept && self.position.reset.is_some() && now.position.reset.is_none();
        let fewer = fewer(self.position.transactions, now.position.transactions)
            || fewer(self.position.bytes, now.position.bytes);
        (fewer || unmarked) && !restarted && !reset
    }
}
