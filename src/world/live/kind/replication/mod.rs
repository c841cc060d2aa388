//! The `postgres.replication` probe.
//!
//! Some figures look good although replication is dead, so none is trusted alone: a broken apply worker leaves no
//! walsender row at all, a lost slot raises no error count, an idle stream has no `replay_lag`.

mod asked;
mod figures;
mod heartbeat;
mod history;
mod progress;

use std::time::{Duration, Instant};

use tokio_postgres::types::{PgLsn, Type};

use self::asked::{
    FilledBy, PgResult, SENDERS, STANDBY, Slot, SlotFitness, SourceServer, Subscription, ask_published, ask_replicated,
    ask_row, ask_source, ask_subscription,
};
use self::figures::{Figures, record};
pub(in crate::world::live) use self::heartbeat::Beater;
use self::heartbeat::{Heartbeats, Pulse};
pub(in crate::world::live) use self::history::Deeds;
use self::history::ReplicationHistory;
use self::progress::{CopyProgress, Progress, SequenceGap, ask_sequence_gap};
use super::Measure;
use crate::core::kind::ReplicationProbe;
use crate::core::kind::replication::{ReplicationState, heartbeat as said};
use crate::core::reading::Failure;
use crate::core::server::ServerIdentity;
use crate::core::time::At;
use crate::core::value::Value;
use crate::world::live::Shared;
use crate::world::live::net::pg::{PgSession, Purpose};

/// A failing apply worker is started again every 5 s and looks healthy for a moment.
const SETTLED: Duration = Duration::from_secs(8);

/// What one measurement leaves for the next.
#[derive(Default)]
pub(in crate::world::live) struct ReplicationMemory {
    heartbeats: Heartbeats,
    /// Whether changes were to flow when it was last measured.
    flows: bool,
    errors: Option<i64>,
    /// Its errors when it was last seen switched on.
    errors_before: Option<i64>,
    /// When the subscription was last seen in trouble, and its worker since.
    trouble: Option<Instant>,
    worker: Option<i32>,
    /// Whether the subscription is switched off.
    rests: bool,
    history: ReplicationHistory,
    progress: Progress,
}

impl Measure for ReplicationProbe {
    type Memory = ReplicationMemory;

    const DESCRIPTORS: u32 = 8;

    async fn measure(
        &self,
        shared: &Shared,
        limit: Duration,
        memory: &mut ReplicationMemory,
    ) -> Result<Value, Failure> {
        measure(shared, self, limit, memory).await
    }

    fn recall(&self, earlier: &[(At, Value)], memory: &mut ReplicationMemory) {
        for (_, value) in earlier {
            memory.history.recall(value);
        }
    }
}

/// Measures once, both sides at the same time.
async fn measure(
    shared: &Shared,
    probe: &ReplicationProbe,
    limit: Duration,
    memory: &mut ReplicationMemory,
) -> Result<Value, Failure> {
    // What is to carry nothing yet is not written to either.
    if memory.flows {
        memory.heartbeats.beat(shared, probe, limit).await;
    }
    // Always in the same order, so that probes cannot deadlock on each other's connections.
    let lease = |id| shared.databases.lease(id, Purpose::FOLLOW, &shared.secrets);
    let (source, target) = if probe.source <= probe.target {
        let source = lease(&probe.source).await;
        (source, lease(&probe.target).await)
    } else {
        let target = lease(&probe.target).await;
        (lease(&probe.source).await, target)
    };
    let (source, target) = (source.map_err(Failure::new)?, target.map_err(Failure::new)?);
    let result = match (source.session(), target.session()) {
        (Some(on_source), Some(on_target)) => {
            // What another server shows is no part of the history of the one that is meant.
            let mut foreign = ReplicationMemory::default();
            let meant = |id, session| shared.databases.is_meant(id, session);
            let memory = if meant(&probe.source, on_source) && meant(&probe.target, on_target) {
                &mut *memory
            } else {
                &mut foreign
            };
            let both = Both { shared, probe, source: on_source, target: on_target };
            // What a step of the run does meanwhile is not held against it.
            memory.history.steps(shared.databases.deeds(&[&probe.source, &probe.target]));
            both.begin(limit).await?;
            let result = match &probe.subscription {
                Some(name) => both.logical(name, memory).await,
                None => both.physical(memory).await,
            };
            // A connection whose transaction cannot be ended is not used again.
            both.end().await?;
            result
        }
        _ => Err(Failure::new("no connection")),
    };
    source.give_back();
    target.give_back();
    let state = result.as_ref().ok().and_then(|value| value.at("state")?.text());
    let state = state.and_then(ReplicationState::from_word);
    let latched = matches!(state, Some(ReplicationState::SlotMadeAgain | ReplicationState::SlotMoved));
    memory.flows = !(memory.rests && latched)
        && state.is_some_and(|state| !matches!(state, ReplicationState::Absent | ReplicationState::Disabled));
    if state.is_some() && !memory.flows {
        memory.heartbeats.rest();
    }
    result
}

struct Both<'a> {
    shared: &'a Shared,
    probe: &'a ReplicationProbe,
    source: &'a PgSession,
    target: &'a PgSession,
}

impl Both<'_> {
    async fn begin(&self, limit: Duration) -> Result<(), Failure> {
        let secrets = &self.shared.secrets;
        let (source, target) =
            tokio::join!(self.source.begin_reading(limit, secrets), self.target.begin_reading(limit, secrets));
        source.and(target).map_err(Failure::new)?;
        let (source, target) = tokio::join!(self.source.prefer_catalog(secrets), self.target.prefer_catalog(secrets));
        source.and(target).map_err(Failure::new)
    }

    async fn end(&self) -> Result<(), Failure> {
        let (source, target) = tokio::join!(self.source.end_reading(), self.target.end_reading());
        self.on_source(source)?;
        self.on_target(target)
    }

    async fn logical(&self, name: &str, memory: &mut ReplicationMemory) -> Result<Value, Failure> {
        let begun = Instant::now();
        let on_source = async {
            match &self.probe.slot {
                Some(slot) => ask_source(self.source.client(), Some(slot)).await.map(Some),
                None => Ok(None),
            }
        };
        let on_target = ask_subscription(self.target.client(), name);
        let (source, subscription, pulse) = tokio::join!(on_source, on_target, memory.heartbeats.look(self));
        let subscription = self.on_target(subscription)?;
        let (slot, server) = if let Some(found) = self.on_source(source)? {
            found
        } else {
            let slot = subscription.as_ref().and_then(|subscription| subscription.slot.as_deref());
            self.on_source(ask_source(self.source.client(), Some(slot.unwrap_or(name))).await)?
        };
        let mut pulse = pulse?;
        let Some(subscription) = subscription else {
            // A missing slot is a valid reading: replication is not set up yet, or gone.
            pulse.late = None;
            said::IDLE.clone_into(&mut pulse.note);
            return Ok(record(&Figures {
                state: ReplicationState::Absent,
                pulse,
                ..self.figures(slot.as_ref(), &server, memory)
            }));
        };
        // The full name of the heartbeat's table, where nothing else fills it.
        let mut beaten = None;
        if let (Some(table), Some(id)) = (&self.probe.heartbeat, subscription.id) {
            let filled = self.on_target(ask_replicated(self.target.client(), id, table).await)?;
            let why = match filled {
                FilledBy { subscription: false, .. } => Some(format!("{table} is not a table of this subscription")),
                // A beat that arrives may have come that way.
                FilledBy { other: Some(other), .. } => {
                    Some(format!("{table} is a table of the subscription {other}, too"))
                }
                FilledBy { other: None, name, .. } => {
                    beaten = name;
                    None
                }
            };
            if let Some(why) = why {
                pulse.late = None;
                pulse.note = why;
            }
        }
        let published = self.on_source(ask_published(self.source.client(), &subscription.publications).await)?;
        let lacks = published.keys().filter(|table| !subscription.names.contains(*table));
        let missing = subscription.names.iter().filter(|table| !published.contains_key(*table));
        let mut missing: Vec<String> = lacks.chain(missing).cloned().collect();
        missing.sort();
        let deeds = self.shared.databases.deeds(&[&self.probe.source, &self.probe.target]);
        let whole = slot.as_ref().filter(|slot| slot.wal_status.as_deref() != Some("lost"));
        memory.rests = !subscription.enabled;
        memory.history.see(&subscription, &published, whole, (self.source.identity(), server.timeline), deeds);
        let confirmed = whole.and_then(|slot| slot.position.confirmed);
        if let (Some(table), Some(confirmed), false) = (beaten, confirmed, server.standby) {
            let whole = published.get(&table).is_some_and(|table| table.whole);
            if memory.history.by_step(deeds) {
                memory.heartbeats.excuse();
            } else if whole
                && memory.history.carries(&table, &subscription)
                && memory.heartbeats.lost(self, confirmed).await?
            {
                memory.history.has_lost_a_beat();
            }
            memory.heartbeats.written_before(begun, server.position);
        }
        let state = logical_state(&subscription, slot.as_ref(), missing.is_empty(), memory);
        if state == ReplicationState::Disabled {
            pulse.late = None;
            said::IDLE.clone_into(&mut pulse.note);
        }
        let interrupted = memory.history.interrupted(&subscription).map(str::to_owned).collect();
        let copy = memory.progress.of_copy(self, &subscription).await?;
        let sequences = ask_sequence_gap(self).await?;
        Ok(record(&Figures {
            state,
            bytes: slot.as_ref().and_then(|slot| slot.unconfirmed),
            replay_lag: slot.as_ref().and_then(|slot| slot.replay_lag),
            quiet: subscription.quiet,
            pulse,
            subscription: subscription.id,
            origin: subscription.origin,
            tables: subscription.tables,
            ready: subscription.ready,
            missing,
            interrupted,
            copy,
            sequences,
            errors: subscription.errors,
            skipped: subscription.skipped,
            target_standby: subscription.standby,
            ..self.figures(slot.as_ref(), &server, memory)
        }))
    }

    async fn physical(&self, memory: &mut ReplicationMemory) -> Result<Value, Failure> {
        let (standby, pulse) = tokio::join!(ask_row(self.target.client(), STANDBY, &[]), memory.heartbeats.look(self));
        let (standby, mut pulse) = (self.on_target(standby)?, pulse?);
        let standby = standby.ok_or_else(|| Failure::new(format!("{} tells nothing", self.target.place())))?;
        let read = || -> PgResult<_> {
            Ok((
                standby.try_get::<_, bool>("standby")?,
                standby.try_get::<_, Option<PgLsn>>("replayed")?,
                standby.try_get::<_, bool>("receives")?,
                standby.try_get::<_, Option<String>>("receiver")?,
                standby.try_get::<_, Option<String>>("slot")?,
                standby.try_get::<_, Option<f64>>("quiet")?,
                standby.try_get::<_, Option<i64>>("timeline")?,
                standby.try_get::<_, String>("name")?,
            ))
        };
        let (standby, replayed, receives, receiver, used, quiet, timeline, standby_name) = self.on_target(read())?;
        if receives && receiver.is_none() {
            // Whether changes flow is unknown then, which is not the same as that they do not.
            let place = self.target.place();
            return Err(Failure::new(format!(
                "{place}: the role may not see the WAL receiver: grant it pg_read_all_stats"
            )));
        }
        let uses_it = self.probe.slot.is_none() || self.probe.slot == used;
        let name = self.probe.slot.clone().or(used);
        let on_source = async {
            let client = self.source.client();
            let (slot, server) = ask_source(client, name.as_deref()).await?;
            let sender = match ask_row(client, SENDERS, &[(&standby_name, Type::TEXT)]).await? {
                Some(row) => Some(row.try_get::<_, Option<f64>>("replay_lag")?),
                None => None,
            };
            Ok((slot, sender, server))
        };
        let (slot, sender, server) = self.on_source(on_source.await)?;
        let lost = name.is_some() && slot.as_ref().is_none_or(|slot| slot.wal_status.as_deref() == Some("lost"));
        let (sent, replay_lag) = match &slot {
            Some(slot) => (slot.sent, slot.replay_lag),
            None => (sender.is_some(), sender.flatten()),
        };
        let flows = standby && uses_it && receiver.as_deref() == Some("streaming") && sent;
        let other_cluster = self.is_of_another_cluster();
        let other_timeline = matches!((server.timeline, timeline), (Some(there), Some(here)) if there != here);
        // The source was asked last, so that its own standby cannot be ahead of it.
        let ahead = !server.standby && replayed.is_some_and(|at| u64::from(at) > server.position);
        let state = match (standby, lost, flows) {
            (true, ..) if other_cluster || other_timeline || ahead => ReplicationState::AnotherSource,
            (false, ..) => ReplicationState::Disabled,
            (true, true, false) => ReplicationState::SlotLost,
            (true, _, true) => ReplicationState::Streaming,
            (true, false, false) => ReplicationState::Broken,
        };
        if matches!(state, ReplicationState::Disabled | ReplicationState::AnotherSource) {
            pulse.late = None;
            said::IDLE.clone_into(&mut pulse.note);
        }
        // Measured against the primary's position: a standby that receives nothing considers itself up to date.
        let behind = replayed.map(|at| i64::try_from(server.position.saturating_sub(at.into())).unwrap_or(i64::MAX));
        Ok(record(&Figures {
            state,
            bytes: behind.filter(|_| standby && state != ReplicationState::AnotherSource),
            replay_lag: replay_lag.filter(|_| flows),
            quiet,
            pulse,
            target_standby: standby,
            ..self.figures(slot.as_ref(), &server, memory)
        }))
    }

    /// What is the same of either kind of replication.
    fn figures<'s>(
        &self,
        slot: Option<&'s Slot>,
        server: &'s SourceServer,
        memory: &mut ReplicationMemory,
    ) -> Figures<'s> {
        let told = |session: &PgSession, aspect: &str| session.identity().aspect(aspect).map(str::to_owned);
        Figures {
            state: ReplicationState::Absent,
            bytes: None,
            slot,
            source: server,
            replay_lag: None,
            quiet: None,
            pulse: Pulse::default(),
            subscription: None,
            origin: None,
            tables: 0,
            ready: 0,
            missing: Vec::new(),
            interrupted: Vec::new(),
            copy: CopyProgress::default(),
            full_in: memory.progress.full_in(slot),
            sequences: SequenceGap::default(),
            errors: None,
            skipped: None,
            system: told(self.source, ServerIdentity::SYSTEM),
            started: told(self.source, ServerIdentity::STARTED),
            target_system: told(self.target, ServerIdentity::SYSTEM),
            target_standby: false,
        }
    }

    /// Whether source and target say that they were not made by the same `initdb`, so that neither is a standby of the other.
    fn is_of_another_cluster(&self) -> bool {
        let system = |session: &PgSession| session.identity().aspect(ServerIdentity::SYSTEM).map(str::to_owned);
        matches!((system(self.source), system(self.target)), (Some(there), Some(here)) if there != here)
    }

    fn on_source<T>(&self, asked: PgResult<T>) -> Result<T, Failure> {
        asked.map_err(|err| Failure::new(self.source.explain(&err, &self.shared.secrets)))
    }

    fn on_target<T>(&self, asked: PgResult<T>) -> Result<T, Failure> {
        asked.map_err(|err| Failure::new(self.target.explain(&err, &self.shared.secrets)))
    }
}

impl ReplicationMemory {
    /// Whether a subscription that looks healthy is: after trouble it must show the same worker for a while.
    fn settled(&mut self, healthy: bool, subscription: &Subscription) -> bool {
        let now = Instant::now();
        let more_errors = matches!((self.errors, subscription.errors), (Some(before), Some(now)) if now > before);
        self.errors = subscription.errors;
        let same_worker = self.worker == subscription.worker;
        self.worker = subscription.worker;
        // A subscription that is disabled, or not seen yet, is not in trouble.
        if subscription.enabled && (!healthy || more_errors) {
            self.trouble = Some(now);
            return false;
        }
        match self.trouble {
            Some(_) if !same_worker => {
                self.trouble = Some(now);
                false
            }
            Some(since)
                if now.duration_since(since) < SETTLED && subscription.errors.is_none_or(|errors| errors > 0) =>
            {
                false
            }
            _ => {
                self.trouble = None;
                healthy
            }
        }
    }
}

/// The state of logical replication. Only `streaming` says that every change of every published table arrives.
fn logical_state(
    subscription: &Subscription,
    slot: Option<&Slot>,
    complete: bool,
    memory: &mut ReplicationMemory,
) -> ReplicationState {
    // One that no subscription can read is as good as none; so is any for a subscription that names none.
    let lost = subscription.slot.is_none()
        || slot.is_none_or(|slot| slot.wal_status.as_deref() == Some("lost") || slot.fitness == SlotFitness::Unfit);
    let made_again = (!lost && memory.history.is_made_again()).then_some(ReplicationState::SlotMadeAgain);
    let moved = (!lost && memory.history.is_moved()).then_some(ReplicationState::SlotMoved);
    let made_again = made_again.or(moved);
    let flows = slot.is_some_and(|slot| slot.active && slot.sent);
    let healthy = memory.settled(flows && subscription.worker.is_some(), subscription);
    if subscription.enabled {
        memory.errors_before = subscription.errors;
    }
    // An error that was there while it was still switched on has not switched it off.
    let are_new = |errors: i64| errors > 0 && memory.errors_before != Some(errors);
    let failed = subscription.disabling && subscription.errors.is_none_or(are_new);
    if slot.is_some_and(|slot| slot.fitness == SlotFitness::OtherDatabase) {
        ReplicationState::AnotherSource
    } else if !subscription.enabled && failed {
        ReplicationState::DisabledByError
    } else if let (false, Some(state)) = (subscription.enabled, made_again) {
        state
    } else if !subscription.enabled && !lost {
        ReplicationState::Disabled
    } else if lost {
        ReplicationState::SlotLost
    } else if let Some(state) = made_again {
        state
    } else if !healthy {
        ReplicationState::Broken
    } else if subscription.ready < subscription.tables {
        ReplicationState::Copying
    } else if !complete || memory.history.interrupted(subscription).next().is_some() {
        ReplicationState::Incomplete
    } else {
        ReplicationState::Streaming
    }
}
