//! What was seen of a replication before: PostgreSQL forgets that a slot, a subscription or a table was gone for a while,
//! and what was written meanwhile never arrives.

use std::collections::BTreeMap;

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
    /// Whether nothing was to move it: nobody read from it, and its subscription was switched off.
    rests: bool,
    source: ServerIdentity,
    timeline: Option<i64>,
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
    /// Whether the slot or the subscription is another than before.
    other: bool,
    slot: Option<SeenSlot>,
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
        let before = self.deeds.0;
        let by_step = deeds.begun != before.begun || before.under_way > 0;
        let copied = |table: &String| subscription.copies.get(table).is_some_and(Option::is_some);
        if self.subscription != subscription.id {
            // With a first copy of every table it begins anew.
            let anew = subscription.names.iter().all(copied);
            let other = self.subscription.is_some() && !anew && !by_step;
            *self = Self { subscription: subscription.id, other, deeds: self.deeds, ..Self::default() };
        }
        self.seen |= slot.is_some();
        self.gone |= self.seen && slot.is_none();
        let mut now = slot.map(|slot| SeenSlot {
            position: slot.position.clone(),
            rests: !slot.active && !subscription.enabled,
            source: source.clone(),
            timeline,
        });
        if let (Some(before), Some(now)) = (&self.slot, &now)
            && !by_step
        {
            self.other |= before.was_replaced_by(now);
        }
        // A slot that is dropped while it is looked at has no counts any more: those of the next one are compared with the last.
        if let (Some(before), Some(now)) = (&self.slot, &mut now) {
            now.position.transactions = now.position.transactions.or(before.position.transactions);
        }
        self.slot = now.or(self.slot.take());
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

    /// Whether what was written for a while never arrives, since the slot was gone, was moved or is another one.
    pub(super) fn is_made_again(&self) -> bool {
        self.gone || self.other
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
        self.other |= state == Some(ReplicationState::SlotMadeAgain);
        if let (Some(Value::Int(transactions)), true) = (earlier.at("slot_transactions"), whole) {
            let position = SlotPosition { transactions: Some(*transactions), ..SlotPosition::default() };
            let started = earlier.at("started_at").and_then(Value::text).map(str::to_owned);
            self.slot = Some(SeenSlot {
                position,
                rests: false,
                source: ServerIdentity::of_postgres(None, started, None),
                timeline: match earlier.at("timeline") {
                    Some(Value::Int(timeline)) => Some(*timeline),
                    _ => None,
                },
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
    /// Whether what is there now is another slot, or was moved by hand.
    fn was_replaced_by(&self, now: &Self) -> bool {
        // A crash may throw a slot back; by itself it never moves forward.
        let moved = |before: Option<u64>, now: Option<u64>| before.is_some() && before < now;
        // Whoever reads from it is counted.
        let read = self.position.transactions < now.position.transactions;
        if self.rests
            && now.rests
            && !read
            && (moved(self.position.confirmed, now.position.confirmed)
                || moved(self.position.restart, now.position.restart))
        {
            return true;
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
        let fewer = matches!(
            (self.position.transactions, now.position.transactions),
            (Some(before), Some(now)) if now < before
        );
        fewer && !restarted && !reset
    }
}
