//! The heartbeat: a row that is written on the source, replicated like any other and looked for on the target. It is
//! the only figure that takes in the whole way, from decoding to the commit on the target.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;
use tokio_postgres::types::Type;

use super::Both;
use super::asked::ask_beats;
use crate::core::kind::ReplicationProbe;
use crate::core::kind::replication::heartbeat as said;
use crate::core::reading::Failure;
use crate::world::live::Shared;
use crate::world::live::net::pg::Purpose;

/// A heartbeat that has not moved on the source for this long says nothing about later changes.
const BEATING: Duration = Duration::from_secs(10);
/// A beat that failed is tried again after this long: each try is an error in the server's log.
const AGAIN: Duration = Duration::from_secs(5);
/// Beats remembered while the target does not catch up; the oldest tells how late it is.
const BEATS: usize = 1_024;
/// How often the target is asked for a beat that is on its way.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Longest time for which it is asked within one measurement.
const LOOK: Duration = Duration::from_millis(400);
/// Measurements that may tell the figure of a beat, that in which it was seen included, when nobody beats any more.
const SILENT: u32 = 2;
/// How many sessions that still have a default from a fence that was lifted are replaced within one measurement.
const REPLACED: usize = 3;

/// Whether writes are fenced by a default of the database or the role, and whether this session writes. A kept session has
/// the default that was there when it was opened.
const FENCED: &str = "select coalesce((select split_part(c, '=', 2)::bool \
      from pg_db_role_setting s, unnest(s.setconfig) c where c like 'default_transaction_read_only=%' \
      and s.setdatabase in (0, (select oid from pg_database where datname = current_database())) \
      and s.setrole in (0, (select oid from pg_roles where rolname = session_user)) \
      order by s.setrole <> 0 desc, s.setdatabase <> 0 desc limit 1), false) as fenced, \
    current_setting('transaction_read_only')::bool as read_only, pg_is_in_recovery() as standby";

/// Why a beat was not written.
struct Unbeaten {
    why: String,
    /// When it is tried again; at every measurement when that leaves no error in the server's log.
    again: Option<Instant>,
}

impl Unbeaten {
    fn failed(why: String) -> Self {
        Self { why, again: Some(Instant::now() + AGAIN) }
    }

    fn refused(why: String) -> Self {
        Self { why, again: None }
    }
}

/// One try on one session.
enum Tried {
    Beaten(i64, Instant),
    Not(Unbeaten),
    /// The session keeps to a fence that has been lifted.
    Outdated,
}

/// The permission to write heartbeats. Only a world that may act has it.
pub(in crate::world::live) struct Beater(());

impl Beater {
    /// For the world of the one driver.
    pub(in crate::world::live) fn of_the_driver() -> Self {
        Self(())
    }

    /// Beats once: the new number of our row, and when the source had acknowledged it.
    async fn beat(
        &self,
        shared: &Shared,
        probe: &ReplicationProbe,
        table: &str,
        limit: Duration,
    ) -> Result<(i64, Instant), Unbeaten> {
        for _ in 0..REPLACED {
            match self.try_to_beat(shared, probe, table, limit).await {
                Tried::Beaten(n, acknowledged) => return Ok((n, acknowledged)),
                Tried::Not(unbeaten) => return Err(unbeaten),
                Tried::Outdated => {}
            }
        }
        Err(Unbeaten::refused(format!("{}: its transactions are read only", probe.source)))
    }

    async fn try_to_beat(&self, shared: &Shared, probe: &ReplicationProbe, table: &str, limit: Duration) -> Tried {
        let lease = match shared.databases.lease(&probe.source, Purpose::BEAT, &shared.secrets).await {
            Ok(lease) => lease,
            Err(why) => return Tried::Not(Unbeaten::failed(why)),
        };
        let Some(session) = lease.session() else { return Tried::Not(Unbeaten::failed("no connection".to_owned())) };
        // Its limits end with the transaction, so that nothing of ours stays on a pooled connection. Where writes are
        // fenced by a default, nothing is written: a measurement does not go round a fence.
        let ms = limit.as_millis().max(1);
        let begin = format!("begin; set local statement_timeout = {ms}; set local lock_timeout = {ms}");
        let at = "select exists (select from pg_attribute where attrelid = to_regclass($1) and attname = 'at' \
            and not attisdropped)";
        let client = session.client();
        if let Err(err) = client.batch_execute(&begin).await {
            return Tried::Not(Unbeaten::failed(session.explain(&err, &shared.secrets)));
        }
        // A beat on another server would be a write there, and would say nothing of this one.
        if let Err(why) = session.is_same_server(&shared.secrets).await {
            return Tried::Not(Unbeaten::refused(why));
        }
        if let Err(why) = session.prefer_catalog(&shared.secrets).await {
            return Tried::Not(Unbeaten::failed(why));
        }
        let beaten = async {
            let found = client.query_typed(FENCED, &[]).await?;
            let told = |name: &str| found.first().map_or(Ok(false), |row| row.try_get::<_, bool>(name));
            let hindrance = match (told("standby")?, told("fenced")?, told("read_only")?) {
                (true, ..) => Some("it is a standby"),
                (_, true, _) => Some(said::FENCED),
                (_, _, true) => return Ok(Tried::Outdated),
                _ => None,
            };
            if let Some(why) = hindrance {
                client.batch_execute("rollback").await?;
                return Ok(Tried::Not(Unbeaten::refused(format!("{}: {why}", session.place()))));
            }
            let found = client.query_typed(at, &[(&table, Type::TEXT)]).await?;
            let dated = found.first().is_some_and(|row| row.try_get(0).unwrap_or(false));
            let (column, value, set) =
                if dated { (", at", ", clock_timestamp()", ", at = clock_timestamp()") } else { ("", "", "") };
            let beat = format!(
                "insert into {table} as beat (id, n{column}) values ($1, 1{value}) \
                 on conflict (id) do update set n = beat.n + 1{set} returning n::int8"
            );
            let rows = client.query_typed(&beat, &[(&own_row(probe), Type::TEXT)]).await?;
            client.batch_execute("commit").await?;
            Ok(Tried::Beaten(rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0))?, Instant::now()))
        };
        let tried = beaten.await;
        match tried {
            Ok(Tried::Outdated) => Tried::Outdated,
            Ok(tried) => {
                lease.give_back();
                tried
            }
            // A connection on which a transaction has failed is not used again.
            Err(err) => Tried::Not(Unbeaten::failed(session.explain(&err, &shared.secrets))),
        }
    }
}

/// The row that this probe beats. Each subscription has its own, since one heartbeat proves one way.
fn own_row(probe: &ReplicationProbe) -> String {
    format!("gonogo {}", probe.subscription.as_deref().or(probe.slot.as_deref()).unwrap_or("standby"))
}

/// What the heartbeat says.
#[derive(Default)]
pub(super) struct Pulse {
    /// Seconds the target is behind.
    pub(super) late: Option<f64>,
    /// Seconds since the newest beat on the source.
    pub(super) age: Option<f64>,
    /// `beats`, or why nothing is known of it.
    pub(super) note: String,
}

/// What one measurement of heartbeats leaves for the next.
#[derive(Default)]
pub(super) struct Heartbeats {
    rows: BTreeMap<String, Beats>,
    /// Why the last beat was not written.
    unbeaten: Option<Unbeaten>,
}

/// One number on the source.
#[derive(Clone, Copy)]
struct Beat {
    n: i64,
    /// When it was known to be there.
    at: Instant,
    /// Whether it was written then. The first number that is seen may have stood there for days, so that its being on the
    /// target as well says nothing.
    is_new: bool,
    /// A position of the source behind it, once one was asked for.
    before: Option<u64>,
}

/// The heartbeat of one writer.
#[derive(Default)]
struct Beats {
    newest: Option<i64>,
    moved: Option<Instant>,
    /// Time between the two newest beats, and how many measurements have ended since the newest.
    rhythm: Duration,
    silent: u32,
    /// Beats on the source that are not yet seen on the target, oldest first.
    open: VecDeque<Beat>,
    /// The oldest of them when the measurement before ended, and when this one did.
    stood: (Option<i64>, Option<i64>),
    /// When the newest beat that has arrived was made, and when it was seen on the target.
    arrived: Option<(Instant, Instant)>,
    /// Whether a new beat has arrived since somebody began to look. Before that, changes from before may be missing for days:
    /// the age of a beat that does not arrive says nothing of them.
    proven: bool,
}

impl Heartbeats {
    /// Beats, where this probe and this world do.
    pub(super) async fn beat(&mut self, shared: &Shared, probe: &ReplicationProbe, limit: Duration) {
        let (Some(table), Some(beater), true) = (&probe.heartbeat, &shared.beater, probe.beat) else { return };
        if self.unbeaten.as_ref().and_then(|unbeaten| unbeaten.again).is_some_and(|again| Instant::now() < again) {
            return;
        }
        let own = self.rows.entry(own_row(probe)).or_default();
        match beater.beat(shared, probe, table, limit).await {
            Ok((n, at)) => {
                self.unbeaten = None;
                own.beaten(n, at, true);
            }
            Err(unbeaten) => {
                // What arrived before says nothing of what is written now.
                own.arrived = None;
                self.unbeaten = Some(unbeaten);
            }
        }
    }

    /// How far the target is behind by its heartbeat, by our own clock: from the beat on the source to its sight on the
    /// target.
    pub(super) async fn look(&mut self, both: &Both<'_>) -> Result<Pulse, Failure> {
        let Some(table) = &both.probe.heartbeat else {
            return Ok(Pulse { note: said::UNNAMED.to_owned(), ..Pulse::default() });
        };
        let own = own_row(both.probe);
        // One after the other, so that the target is read after what the source had before.
        let mut source = both.on_source(ask_beats(both.source.client(), table, &own).await)?;
        let seen = Instant::now();
        self.rows.retain(|id, _| source.contains_key(id));
        for (id, n) in &source {
            self.rows.entry(id.clone()).or_default().beaten(*n, seen, false);
        }
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let target = both.on_target(ask_beats(both.target.client(), table, &own).await)?;
            let now = Instant::now();
            let ahead = |source: &BTreeMap<String, i64>| {
                target
                    .iter()
                    .find(|(id, n)| source.get(*id).is_some_and(|before| before < *n))
                    .map(|(id, _)| id.clone())
            };
            if ahead(&source).is_some() {
                // Others may have beaten meanwhile; what is ahead of a later look is not from this source.
                source = both.on_source(ask_beats(both.source.client(), table, &own).await)?;
                if let Some(id) = ahead(&source) {
                    return Err(Failure::new(format!(
                        "row {id:?} of {table} is ahead on {} of {}: the heartbeat there is not from this source",
                        both.target.place(),
                        both.source.place()
                    )));
                }
            }
            for (id, beats) in &mut self.rows {
                beats.seen(target.get(id).copied(), now);
            }
            let waits = self.rows.get(&own).is_some_and(|beats| !beats.open.is_empty());
            if !waits || now.duration_since(seen) >= LOOK {
                self.rows.values_mut().for_each(Beats::looked);
                return Ok(self.pulse(both.probe, both.shared.beater.is_some(), now));
            }
        }
    }

    /// Takes in a position of the source that was asked for after `since`.
    pub(super) fn written_before(&mut self, since: Instant, position: u64) {
        let open = self.rows.values_mut().flat_map(|beats| &mut beats.open);
        for beat in open.filter(|beat| beat.before.is_none() && beat.at <= since) {
            beat.before = Some(position);
        }
    }

    /// A step may have moved the slot: what is on its way proves nothing of it.
    pub(super) fn excuse(&mut self) {
        let open = self.rows.values_mut().flat_map(|beats| &mut beats.open);
        open.for_each(|beat| beat.before = Some(u64::MAX));
    }

    /// Whether a beat is lost: the slot has confirmed its position, and it is still not on the target, which is asked again
    /// for that. A row that is not there at all may have been deleted, unless the beat made it.
    pub(super) async fn lost(&self, both: &Both<'_>, confirmed: u64) -> Result<bool, Failure> {
        let Some(table) = &both.probe.heartbeat else { return Ok(false) };
        let confirmed: Vec<(&String, i64)> = self
            .rows
            .iter()
            .filter_map(|(id, beats)| {
                let passed = |beat: &&Beat| beat.before.is_some_and(|before| before <= confirmed);
                Some((id, beats.open.front().filter(passed)?.n))
            })
            .collect();
        if confirmed.is_empty() {
            return Ok(false);
        }
        let target = both.on_target(ask_beats(both.target.client(), table, &own_row(both.probe)).await)?;
        Ok(confirmed.into_iter().any(|(id, n)| target.get(id).map_or(n == 1, |there| *there < n)))
    }

    /// Nothing is to flow: what arrives afterwards proves nothing of what was written meanwhile until a new beat arrives.
    pub(super) fn rest(&mut self) {
        for beats in self.rows.values_mut() {
            (beats.proven, beats.arrived, beats.stood) = (false, None, (None, None));
            beats.open.clear();
            beats.newest = None;
        }
    }

    fn pulse(&self, probe: &ReplicationProbe, may_beat: bool, now: Instant) -> Pulse {
        let late = self.rows.values().filter_map(|beats| beats.late(now)).reduce(f64::max);
        let moved = self.rows.values().filter_map(|beats| beats.moved).max();
        let stands = self.rows.values().any(Beats::stands);
        let note = match (&self.unbeaten, late) {
            (None, _) if stands => said::STANDS.to_owned(),
            (None, Some(_)) => said::BEATS.to_owned(),
            (Some(unbeaten), _) => format!("not beaten: {}", unbeaten.why),
            (None, None) if self.rows.values().any(Beats::is_awaited) => said::AWAITED.to_owned(),
            (None, None) if !may_beat => "nobody beats it, and this cockpit only watches".to_owned(),
            (None, None) if !probe.beat => "nobody beats it".to_owned(),
            (None, None) => "not beaten yet".to_owned(),
        };
        Pulse { late, age: moved.map(|moved| now.saturating_duration_since(moved).as_secs_f64()), note }
    }
}

impl Beats {
    /// Takes in the number on the source, when it was known to be there, and whether it was written then. One that differs
    /// from the number before is new.
    fn beaten(&mut self, n: i64, at: Instant, is_new: bool) {
        if self.newest.is_some_and(|newest| n < newest) {
            *self = Self::default(); // the table was made anew
        }
        if self.newest == Some(n) {
            return;
        }
        let is_new = is_new || self.newest.is_some();
        self.newest = Some(n);
        if is_new {
            let before = self.moved.replace(at);
            self.rhythm = before.map(|before| at.saturating_duration_since(before)).unwrap_or_default();
            self.silent = 0;
        }
        if self.open.len() == BEATS {
            self.open.pop_back();
        }
        self.open.push_back(Beat { n, at, is_new, before: None });
    }

    /// Takes in the number on the target.
    fn seen(&mut self, target: Option<i64>, now: Instant) {
        while let Some(beat) = self.open.pop_front_if(|beat| target.is_some_and(|target| target >= beat.n)) {
            if beat.is_new {
                self.arrived = Some((beat.at, now));
                self.proven = true;
            }
        }
    }

    /// A measurement is over.
    fn looked(&mut self) {
        self.stood = (self.stood.1, self.open.front().map(|beat| beat.n));
        self.silent = self.silent.saturating_add(1);
    }

    /// Whether nobody counts it up any more: neither in the last measurements, nor within twice the time between the last
    /// two beats.
    fn ended(&self, now: Instant) -> bool {
        let rhythm = if self.rhythm < BEATING { self.rhythm } else { Duration::ZERO };
        self.silent > SILENT && self.moved.is_none_or(|moved| now.saturating_duration_since(moved) > 2 * rhythm)
    }

    /// Whether a new beat is on its way, and none has arrived before.
    fn is_awaited(&self) -> bool {
        !self.proven && self.open.iter().any(|beat| beat.is_new)
    }

    /// Whether the same beat was missing at the end of the measurement before, so that none has arrived since.
    fn stands(&self) -> bool {
        matches!(self.stood, (Some(before), Some(now)) if before == now)
    }

    /// Seconds the target is behind; `None` when nothing has been written lately.
    fn late(&self, now: Instant) -> Option<f64> {
        let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
        if !self.proven {
            return None;
        }
        if !self.open.is_empty() {
            // The first number that was seen may have been missing on the target for days: since when is known only of those
            // written later.
            return self.open.iter().find(|beat| beat.is_new).map(|oldest| seconds(oldest.at, now));
        }
        // A figure of an earlier beat says nothing of what was written after it.
        let (since, at) = self.arrived.filter(|_| !self.ended(now))?;
        (now.saturating_duration_since(at) < BEATING).then(|| seconds(since, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_that_does_not_arrive_is_a_growing_number() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut beats = Beats::default();
        let mut look = |source: Option<(i64, u64)>, target: Option<i64>, now: u64| {
            if let Some((n, seen)) = source {
                beats.beaten(n, at(seen), false);
            }
            beats.seen(target, at(now));
            beats.looked();
            beats.late(at(now))
        };
        assert_eq!(look(Some((5, 0)), Some(5), 0), None, "it may have stood there for days");
        assert_eq!(look(Some((6, 1)), Some(5), 1), None, "what was written before it may be missing for days");
        assert_eq!(look(None, Some(6), 2), Some(1.0), "a new one has arrived");
        assert_eq!(look(Some((7, 3)), Some(6), 3), Some(0.0));
        assert_eq!(look(Some((8, 4)), Some(6), 5), Some(2.0), "since beat 7 was seen");
        assert_eq!(look(None, Some(6), 60), Some(57.0), "also when nothing new is written");
        assert_eq!(look(None, Some(7), 61), Some(57.0), "beat 8 is still open");
        assert_eq!(look(None, Some(8), 62), None, "which says nothing of what was written after it");
        assert_eq!(look(Some((9, 74)), None, 76), Some(2.0), "no row on the target at all");
        assert_eq!(look(Some((1, 80)), Some(1), 80), None, "a new table starts again");
        assert_eq!(look(Some((2, 81)), Some(2), 82), Some(1.0));
    }

    #[test]
    fn a_figure_does_not_outlive_the_beats() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        // The second measurement without a beat tells nothing; a writer that beats more seldom has twice its own time.
        for (rhythm, told) in [(1_000, [true, false, false, false]), (2_500, [true, true, true, false])] {
            let mut beats = Beats::default();
            for n in 0..3 {
                beats.beaten(i64::try_from(n).unwrap(), at(n * rhythm), false);
                beats.seen(Some(i64::try_from(n).unwrap()), at(n * rhythm + 5));
                beats.looked();
            }
            for (look, told) in (1..).zip(told) {
                let now = at(2 * rhythm + look * 1_500);
                beats.looked();
                assert_eq!(beats.late(now).is_some(), told, "{rhythm} {look}");
            }
        }
    }

    #[test]
    fn a_number_that_was_there_before_anybody_looked_may_have_been_missing_for_days() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut beats = Beats::default();
        beats.beaten(5, at(0), false);
        beats.seen(None, at(0));
        assert_eq!((beats.late(at(0)), beats.late(at(60))), (None, None));
        beats.beaten(6, at(61), true);
        beats.seen(Some(4), at(62));
        assert_eq!((beats.late(at(62)), beats.moved), (None, Some(at(61))));
        beats.seen(Some(5), at(70));
        assert_eq!(beats.late(at(70)), None);
        beats.seen(Some(6), at(71));
        assert_eq!(beats.late(at(71)), Some(10.0));
    }
}
