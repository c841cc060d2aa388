//! One replication between two databases: what has been written, what has arrived, and what the slot keeps.

use std::collections::VecDeque;

use crate::core::ids::{ProbeId, TargetId};
use crate::core::kind::replication::{ReplicationState, heartbeat};
use crate::core::time::{At, Span};
use crate::core::value::Value;

use super::dice::Dice;
use super::servers::SimulatedServers;

/// Bytes a second that the target applies at most.
pub(super) const APPLY_SPEED: f64 = 12_000_000.0;
/// The time a change takes through decoding, network and commit when nothing is queued, in milliseconds.
const PIPE_MS: f64 = 40.0;
/// Sizes of a slot from which it is `extended` (`max_wal_size`), `unreserved` and `lost` (`max_slot_wal_keep_size`), in
/// bytes.
const EXTENDED: f64 = 1.0e9;
const UNRESERVED: f64 = 32.0e9;
const LOST: f64 = 36.0e9;
/// A failing apply worker is started again every 5 s.
const RESTART_MS: i64 = 5_000;
/// Rows written by a transaction that was left open, which nobody sees before it commits.
pub(super) const HIDDEN_ROWS: f64 = 40.0;
/// Time between two marks, which show how late the target is.
const MARK_MS: i64 = 250;
/// How often a slow change is measured.
pub(super) const NOW_AND_THEN: Span = Span(5_000);
/// Time before the end of a change in which every measurement is simulated.
const NEAR: Span = Span(4_000);
/// Time after which a walsender and an apply worker that hear nothing of each other give up.
const TIMEOUT: Span = Span::secs(60);
/// Time that a copy must be watched before its end can be told.
const TOLD: Span = Span::secs(5);
/// Age from which the walsender's figures are left out.
const OLD_REPLY: Span = Span::secs(15);
/// Time between two looks at a heartbeat, in seconds.
const LOOK: f64 = 1.0;
/// The number of a server's first object that is not its own.
const SUBSCRIPTION_ID: i64 = 16_384;
/// Bytes of a transaction.
const TRANSACTION: f64 = 8_192.0;
/// Share of the rows that go to a table which somebody has added.
const ADDED_SHARE: f64 = 0.05;
/// Marks kept; older ones are thinned out.
const MARKS: usize = 2_000;

/// Where a replication stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    /// There is none.
    Absent,
    /// The first copy is under way until the moment.
    Copying { since: At, until: At },
    /// Changes flow, if nothing blocks them.
    Streaming,
    /// Disabled; the slot keeps its position.
    Paused,
}

/// Whether a heartbeat is written on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heartbeat {
    Beaten,
    /// A fence refuses it.
    Fenced,
    /// The probe names no table.
    Unnamed,
}

/// What became of a replication slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    /// It has kept everything.
    Whole,
    /// It has lost its position.
    Lost,
    /// Nothing is left of it, not even its name.
    Gone,
    /// It was gone and is there again.
    MadeAgain,
    /// Somebody else has read from it.
    Moved,
}

/// A replication.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub probe: ProbeId,
    pub source: TargetId,
    pub target: TargetId,
    logical: bool,
    pub state: State,
    /// Whether the apply worker dies on every try, since when.
    pub stuck: Option<At>,
    pub slot: SlotState,
    /// Whether an error has switched the subscription off.
    pub failed: bool,
    /// Rows of a first copy.
    to_copy: f64,
    /// Bytes of large transactions that were put on the disk.
    pub spilled: f64,
    /// Since when the walsender or the apply worker stands still.
    pub stopped: Option<At>,
    /// Since when one large transaction is under way, and everything waits behind it.
    pub large: Option<At>,
    /// Tables that were added on both sides and that are not subscribed.
    pub added: Vec<String>,
    /// Share of rows that silently do not arrive.
    pub skipped: f64,
    /// Age of an open transaction on the source, since when.
    pub open_transaction: Option<At>,
    /// Bytes written to the source by applications since the world began, and how many of them have arrived.
    written: f64,
    applied: f64,
    /// Acknowledged rows in between.
    rows: f64,
    /// Acknowledged rows that will never arrive.
    gone: f64,
    /// Acknowledged rows of tables that are not subscribed yet.
    unsubscribed: f64,
    /// Bytes a second being written now.
    rate: f64,
    /// Positions and when they were written, oldest first.
    marks: VecDeque<(f64, At)>,
    /// How many subscriptions there have been.
    subscriptions: i64,
    tables: i64,
    ready: i64,
    errors: i64,
    error_due: At,
}

impl Link {
    pub(super) fn new(
        probe: &ProbeId,
        of: crate::core::kind::spec::WatchedReplication<'_>,
        seed: u64,
        begun: bool,
    ) -> Self {
        let mut dice = Dice::new(seed, &format!("link {probe}"));
        #[allow(clippy::cast_possible_wrap)] // a handful
        let tables = if of.logical { 6 + dice.pick(9) as i64 } else { 0 };
        Self {
            probe: probe.clone(),
            source: of.source.clone(),
            target: of.target.clone(),
            logical: of.logical,
            state: if begun { State::Streaming } else { State::Absent },
            stuck: None,
            slot: SlotState::Whole,
            failed: false,
            to_copy: dice.between(2.0e5, 4.0e6).round(),
            spilled: 0.0,
            stopped: None,
            large: None,
            added: Vec::new(),
            skipped: 0.0,
            open_transaction: None,
            written: 0.0,
            applied: 0.0,
            rows: 0.0,
            gone: 0.0,
            unsubscribed: 0.0,
            rate: 0.0,
            marks: VecDeque::new(),
            subscriptions: i64::from(begun),
            tables,
            ready: if begun { tables } else { 0 },
            errors: 0,
            error_due: At(0),
        }
    }

    /// A first copy of everything begins.
    pub(super) fn replicate(&mut self, now: At, lasts: Span) {
        self.state = State::Copying { since: now, until: now.plus(lasts) };
        self.begin_anew();
        self.subscriptions += 1;
        self.ready = 0;
        // The copy contains everything that exists now.
        self.rows = 0.0;
        self.gone = 0.0;
        self.applied = self.written;
        self.marks.clear();
    }

    /// Streaming begins or continues from its last position.
    pub(super) fn follow(&mut self) {
        self.subscriptions += i64::from(self.state == State::Absent);
        self.state = State::Streaming;
        self.ready = self.tables;
    }

    pub(super) fn pause(&mut self) {
        if self.state != State::Absent {
            self.state = State::Paused;
        }
    }

    pub(super) fn drop_it(&mut self) {
        self.state = State::Absent;
        self.begin_anew();
        self.stuck = None;
    }

    fn lost(&self) -> bool {
        matches!(self.slot, SlotState::Lost | SlotState::Gone)
    }

    /// Forgets what was wrong with a slot, a subscription or its tables.
    fn begin_anew(&mut self) {
        self.slot = SlotState::Whole;
        self.failed = false;
        self.tables_are_subscribed();
    }

    /// The tables that were added are subscribed, and their rows are copied.
    pub(super) fn tables_are_subscribed(&mut self) {
        self.added.clear();
        self.unsubscribed = 0.0;
    }

    /// Somebody drops the slot and makes it again: what was written in between never arrives.
    pub(super) fn make_slot_again(&mut self) {
        self.slot = SlotState::MadeAgain;
        self.lose_what_is_on_its_way();
    }

    /// A tool reads from the slot: what it was given never arrives.
    pub(super) fn move_slot(&mut self) {
        self.slot = SlotState::Moved;
        self.lose_what_is_on_its_way();
    }

    fn lose_what_is_on_its_way(&mut self) {
        self.gone += self.rows + HIDDEN_ROWS;
        self.rows = 0.0;
        self.applied = self.written;
        self.marks.clear();
    }

    /// An error switches the subscription off.
    pub(super) fn fail(&mut self) {
        self.failed = true;
        self.errors += 1;
    }

    /// Since when nothing arrives although the figures look well.
    fn held_up(&self) -> Option<At> {
        self.stopped.into_iter().chain(self.large).min()
    }

    /// Whether both ends have given up on each other.
    fn timed_out(&self, now: At) -> bool {
        self.stopped.is_some_and(|since| now.since(since) >= TIMEOUT)
    }

    /// Commits the open transaction: a fence stops new transactions from writing, but not those that had begun.
    pub(super) fn commit(&mut self) {
        if self.open_transaction.take().is_some() {
            self.rows += HIDDEN_ROWS;
        }
    }

    /// Whether changes are applied at this moment.
    pub(super) fn flows(&self) -> bool {
        self.state == State::Streaming
            && self.stuck.is_none()
            && !self.lost()
            && !self.failed
            && self.held_up().is_none()
    }

    /// Whether it has been set up.
    pub(super) fn is_there(&self) -> bool {
        self.state != State::Absent
    }

    /// Bytes that wait.
    pub(super) fn backlog(&self) -> f64 {
        let waits = self.written - self.applied;
        if waits < 1.0 { 0.0 } else { waits }
    }

    /// The position of the newest write.
    pub(super) fn position(&self) -> f64 {
        self.written
    }

    /// Whether everything up to a position, written at `since`, has arrived.
    pub(super) fn has_applied(&self, position: f64, since: At, now: At) -> bool {
        self.flows() && self.applied + 0.5 >= position && now.since(since).as_secs_f64() * 1_000.0 >= PIPE_MS
    }

    /// Acknowledged rows of the source that the target does not have.
    pub(super) fn missing(&self) -> f64 {
        self.rows + self.gone + self.unsubscribed
    }

    /// Lets `dt` seconds pass before `now` in which the source took `rate` bytes and `rows` rows a second. Returns
    /// whether its state or that of its slot has changed.
    pub(super) fn pass(&mut self, now: At, dt: f64, rate: f64, rows: f64) -> bool {
        let before = (self.state, self.slot, self.timed_out(now), self.limits_passed());
        if self.marks.back().is_none_or(|(_, at)| now.0 - at.0 >= MARK_MS) {
            self.mark(now, dt);
        }
        self.rate = rate;
        self.written += rate * dt;
        self.rows += rows * dt;
        if let State::Copying { since, until } = self.state {
            let part = now.since(since).as_secs_f64() / until.since(since).as_secs_f64().max(0.001);
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // a handful of tables
            {
                self.ready = ((self.tables as f64 * part.min(1.0)).floor() as i64).min(self.tables);
            }
            if now >= until && self.stuck.is_none() {
                self.follow();
            }
        }
        if self.flows() {
            let waits = self.written - self.applied;
            let done = waits.min(APPLY_SPEED * dt);
            let share = if waits > 0.0 { done / waits } else { 1.0 };
            let arrived = self.rows * share;
            self.rows = if share >= 1.0 { 0.0 } else { self.rows - arrived };
            self.gone += arrived * self.skipped;
            if !self.added.is_empty() {
                self.unsubscribed += arrived * ADDED_SHARE;
            }
            self.applied += done;
            while self.marks.front().is_some_and(|(position, _)| *position <= self.applied) {
                self.marks.pop_front();
            }
        } else if self.stuck.is_some() && now >= self.error_due {
            let passed = (now.0 - self.error_due.0) / RESTART_MS + 1;
            self.errors += if self.error_due.0 == 0 { 1 } else { passed };
            self.error_due = now.plus(Span(RESTART_MS.unsigned_abs()));
        }
        if self.state != State::Absent && !self.lost() && self.backlog() > LOST {
            self.slot = SlotState::Lost;
        }
        let after = (self.state, self.slot, self.timed_out(now), self.limits_passed());
        before != after
    }

    fn limits_passed(&self) -> usize {
        [EXTENDED, UNRESERVED, LOST].into_iter().filter(|limit| self.backlog() > *limit).count()
    }

    fn mark(&mut self, now: At, dt: f64) {
        #[allow(clippy::cast_possible_truncation)] // milliseconds
        let before = At(now.0 - (dt * 1_000.0) as i64);
        self.marks.push_back((self.written, before));
        if self.marks.len() > MARKS {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// For how long its figures need not be measured: all the time when it has caught up or is stopped, not at all
    /// while something is about to happen. A long queue is measured at intervals.
    pub(super) fn quiet_for(&self, now: At) -> Span {
        match self.state {
            State::Copying { until, .. } if self.stuck.is_none() => NOW_AND_THEN.min(until.since(now).left_after(NEAR)),
            State::Streaming if self.flows() && self.backlog() > self.rate => {
                let left = self.backlog() / (APPLY_SPEED - self.rate).max(1.0);
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at most some days
                let left = Span((left.min(1.0e6) * 1_000.0) as u64);
                NOW_AND_THEN.min(left.left_after(NEAR))
            }
            _ => Span(u64::MAX),
        }
    }

    /// When a slot that keeps growing changes its state; `None` when it does not.
    pub(super) fn next_status(&self, now: At) -> Option<At> {
        if self.flows() || self.state == State::Absent || self.rate <= 0.0 || self.lost() {
            return None;
        }
        let bytes = [EXTENDED, UNRESERVED, LOST].into_iter().find(|limit| *limit >= self.backlog())?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // hours in milliseconds
        Some(now.plus(Span(((bytes - self.backlog()) / self.rate * 1_000.0) as u64)))
    }

    /// The state that a measurement finds.
    fn shown(&self, now: At) -> ReplicationState {
        match self.state {
            State::Absent if self.logical => ReplicationState::Absent,
            _ if self.failed => ReplicationState::DisabledByError,
            State::Paused if self.slot == SlotState::MadeAgain => ReplicationState::SlotMadeAgain,
            State::Paused if self.slot == SlotState::Moved => ReplicationState::SlotMoved,
            State::Absent | State::Paused => ReplicationState::Disabled,
            _ if self.lost() => ReplicationState::SlotLost,
            _ if self.slot == SlotState::MadeAgain => ReplicationState::SlotMadeAgain,
            _ if self.slot == SlotState::Moved => ReplicationState::SlotMoved,
            _ if self.stuck.is_some() || self.timed_out(now) => ReplicationState::Broken,
            State::Copying { .. } => ReplicationState::Copying,
            State::Streaming if !self.added.is_empty() => ReplicationState::Incomplete,
            State::Streaming => ReplicationState::Streaming,
        }
    }

    /// What a measurement sees.
    pub(super) fn reading(&self, now: At, dice: &mut Dice, beats: Heartbeat, servers: &SimulatedServers) -> Value {
        let named = beats != Heartbeat::Unnamed;
        let state = self.shown(now);
        let absent = state == ReplicationState::Absent;
        let no_slot = absent || self.slot == SlotState::Gone;
        let streaming = state == ReplicationState::Streaming;
        let moves = matches!(
            state,
            ReplicationState::Streaming
                | ReplicationState::Copying
                | ReplicationState::Incomplete
                | ReplicationState::SlotMadeAgain
                | ReplicationState::SlotMoved
        );
        let held = self.held_up().map(|since| now.since(since).as_secs_f64());
        let stopped = self.stopped.map(|since| now.since(since));
        let fenced = format!("not beaten: {}: {}", self.source, heartbeat::FENCED);
        let pulse = match state {
            ReplicationState::Absent | ReplicationState::Disabled => heartbeat::IDLE,
            _ if !named => heartbeat::UNNAMED,
            _ if beats == Heartbeat::Fenced => &fenced,
            _ if held.is_some_and(|held| held > LOOK) || self.stuck.is_some() || self.lost() || self.failed => {
                heartbeat::STANDS
            }
            _ => heartbeat::BEATS,
        };
        let in_pipe = if self.rate > 0.0 { self.rate * PIPE_MS / 1_000.0 * dice.around(1.0, 0.3) } else { 0.0 };
        let waits = self.backlog() + if self.flows() { in_pipe } else { 0.0 };
        let late = match self.marks.front() {
            Some((_, since)) if self.backlog() > 0.0 => now.since(*since).as_secs_f64(),
            _ => 0.0,
        };
        let pipe = PIPE_MS / 1_000.0 * dice.around(0.5, 0.4);
        let seconds = late.max(held.unwrap_or(0.0)) + pipe;
        // Behind a fence only a beat that is still on its way tells anything.
        let beaten = beats == Heartbeat::Beaten || late > 0.0 || held.is_some();
        // The walsender knows nothing of a transaction that it still decodes.
        let replay_lag = if self.large.is_some() { pipe / 100.0 } else { seconds };
        let replay_lag = Some(replay_lag).filter(|_| moves && stopped.is_none_or(|since| since < OLD_REPLY));
        let quiet = dice.between(0.0, 1.0) + stopped.map_or(0.0, Span::as_secs_f64);
        let kept = self.backlog() + dice.between(2.0e6, 16.0e6);
        let room = LOST - kept;
        let fills = !self.flows() && self.rate > 0.0 && !absent && !self.lost();
        let full_in = fills.then(|| room / self.rate).filter(|seconds| *seconds < 86_400.0);
        let copies = match self.state {
            State::Copying { since, until } if state == ReplicationState::Copying => {
                let all = until.since(since).as_secs_f64().max(0.001);
                Some((now.since(since).as_secs_f64() / all).min(1.0))
            }
            _ => None,
        };
        let to_copy = self.to_copy;
        let copied_in = match self.state {
            State::Copying { since, until } if copies.is_some() && now.since(since) >= TOLD => {
                Some(until.since(now).as_secs_f64())
            }
            _ => None,
        };
        let wal_status = match kept {
            _ if self.lost() => "lost",
            kept if kept < EXTENDED => "reserved",
            kept if kept < UNRESERVED => "extended",
            _ => "unreserved",
        };
        let oldest = match self.open_transaction {
            Some(since) => now.since(since).as_secs_f64(),
            None => dice.between(0.0, 0.4),
        };
        #[allow(clippy::cast_possible_truncation)] // far below 2^63 bytes
        let whole = |bytes: f64| Value::Int(bytes.round() as i64);
        Value::map([
            ("state", state.as_str().into()),
            ("streaming", streaming.into()),
            ("bytes", if no_slot { Value::Null } else { whole(waits) }),
            ("seconds", Some(seconds).filter(|_| named && beaten && pulse != heartbeat::IDLE).into()),
            ("heartbeat", pulse.into()),
            (
                "heartbeat_age_s",
                match beats {
                    Heartbeat::Beaten => Value::Float(dice.between(0.0, 0.4)),
                    Heartbeat::Fenced | Heartbeat::Unnamed => Value::Null,
                },
            ),
            ("replay_lag_s", replay_lag.into()),
            ("last_message_age_s", Some(quiet).filter(|_| moves).into()),
            ("slot_active", moves.into()),
            ("slot_read_since", if moves { servers.started(&self.source).into() } else { Value::Null }),
            ("slot_confirmed", if no_slot || !self.logical { Value::Null } else { lsn(self.written - self.backlog()) }),
            // As for a role that may not see it.
            ("origin_position", Value::Null),
            ("wal_status", if no_slot { Value::Null } else { wal_status.into() }),
            ("retained_bytes", if self.lost() || no_slot { Value::Null } else { whole(kept) }),
            ("safe_wal_bytes", Some(room).filter(|_| !self.lost() && !absent).map_or(Value::Null, whole)),
            ("wal_full_in_s", full_in.into()),
            (
                "slot_transactions",
                if no_slot || !self.logical { Value::Null } else { whole(self.written / TRANSACTION) },
            ),
            ("spilled_bytes", if no_slot { Value::Null } else { whole(self.spilled) }),
            ("subscription_id", Some(SUBSCRIPTION_ID + self.subscriptions).filter(|_| self.logical && !absent).into()),
            ("tables", Value::Int(if absent { 0 } else { self.tables })),
            ("tables_ready", Value::Int(self.ready)),
            ("tables_missing", Value::List(self.added.iter().map(|table| table.as_str().into()).collect())),
            ("tables_interrupted", Value::List([].into())),
            ("rows_to_copy", copies.map_or(Value::Null, |_| whole(to_copy))),
            ("rows_copied", copies.map_or(Value::Null, |part| whole(to_copy * part))),
            ("copied_in_s", copied_in.into()),
            ("sequence_gap", if self.logical && !absent { Value::Int(0) } else { Value::Null }),
            ("sequence", Value::Null),
            ("apply_errors", Value::Int(self.errors)),
            // From PostgreSQL 18 on, which these servers are not.
            ("rows_skipped", Value::Null),
            ("oldest_transaction_s", Value::Float(oldest)),
            ("prepared_transactions", Value::Int(0)),
            ("oldest_prepared_s", Value::Null),
            ("system_identifier", servers.system(&self.source).into()),
            ("timeline", servers.timeline(&self.source).into()),
            ("started_at", servers.started(&self.source).into()),
            ("in_recovery", false.into()),
            ("target_system_identifier", servers.system(&self.target).into()),
            (
                "target_in_recovery",
                (!self.logical && self.state != State::Absent && self.state != State::Paused).into(),
            ),
        ])
    }
}

/// A position as PostgreSQL writes it.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // far below 2^63 bytes
fn lsn(bytes: f64) -> Value {
    let position = bytes.max(0.0).round() as u64;
    format!("{:X}/{:X}", position >> 32, position & 0xFFFF_FFFF).into()
}
