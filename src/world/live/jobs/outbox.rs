//! The queue of everything that the live world reports to the driver.
//!
//! Bounded by construction: one reading per probe (the latest), a limited number of lines with a count of
//! what was dropped, and outcomes, of which there is one per job and which are never dropped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tracing::info;

use crate::core::ids::ProbeId;
use crate::core::job::{JobKey, Stream};
use crate::core::reading::Reading;
use crate::world::WorldEvent;

/// Lines that may wait. A driver that keeps up never sees this limit.
const MOST_LINES: usize = 2_000;

/// The world's outgoing events.
#[derive(Debug, Default)]
pub(in crate::world::live) struct Outbox {
    inner: Mutex<Inner>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Output, outcomes and adoptions in the order they happened.
    jobs: VecDeque<WorldEvent>,
    /// How many of `jobs` are lines.
    lines: usize,
    dropped: BTreeMap<JobKey, u64>,
    readings: BTreeMap<ProbeId, Reading>,
    /// Probes with a reading, longest waiting first.
    order: VecDeque<ProbeId>,
}

impl Outbox {
    /// Replaces the reading of its probe, if the driver has not fetched that yet.
    pub(in crate::world::live) fn reading(&self, reading: Reading) {
        let mut inner = self.inner();
        let probe = reading.probe.clone();
        if inner.readings.insert(probe.clone(), reading).is_none() {
            inner.order.push_back(probe);
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// Adds a line, cleaned and masked by the caller.
    pub(in crate::world::live) fn line(&self, key: &JobKey, stream: Stream, line: String) {
        let mut inner = self.inner();
        if inner.lines >= MOST_LINES {
            *inner.dropped.entry(key.clone()).or_default() += 1;
        } else {
            inner.tell_dropped(key);
            inner.lines += 1;
            inner.jobs.push_back(WorldEvent::Output { key: key.clone(), stream, line });
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// Counts lines that were dropped before they got here.
    pub(in crate::world::live) fn dropped(&self, key: &JobKey, lines: u64) {
        if lines > 0 {
            *self.inner().dropped.entry(key.clone()).or_default() += lines;
        }
    }

    /// Adds an outcome, an adoption or a server that was met.
    pub(in crate::world::live) fn verdict(&self, event: WorldEvent) {
        let mut inner = self.inner();
        if let WorldEvent::Ended { key, .. } | WorldEvent::Adopted { key, .. } = &event {
            inner.tell_dropped(key);
        }
        if let WorldEvent::Adopted { key, adoption } = &event {
            info!(job = %key, ?adoption, "found");
        }
        inner.jobs.push_back(event);
        drop(inner);
        self.bell.notify_one();
    }

    /// The next event. Cancel safe: an event is taken only in the poll that returns it.
    pub(in crate::world::live) async fn next(&self) -> WorldEvent {
        loop {
            if let Some(event) = self.inner().pop() {
                return event;
            }
            // There is one reader, and a notification sent before this is kept, so none is missed.
            self.bell.notified().await;
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn tell_dropped(&mut self, key: &JobKey) {
        if let Some(lines) = self.dropped.remove(key) {
            self.jobs.push_back(WorldEvent::OutputDropped { key: key.clone(), lines });
        }
    }

    fn pop(&mut self) -> Option<WorldEvent> {
        if let Some(event) = self.jobs.pop_front() {
            if matches!(event, WorldEvent::Output { .. }) {
                self.lines = self.lines.saturating_sub(1);
            }
            return Some(event);
        }
        let probe = self.order.pop_front()?;
        self.readings.remove(&probe).map(WorldEvent::Reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::Attempt;
    use crate::core::job::{Direction, Outcome};
    use crate::core::moves::Moves;
    use crate::core::server::Servers;
    use crate::core::time::{At, Span};
    use crate::core::value::Value;

    fn key() -> JobKey {
        JobKey { step: "s".into(), direction: Direction::Do, attempt: Attempt(1), job: 0 }
    }

    #[tokio::test]
    async fn the_latest_reading_wins_and_outcomes_outlive_a_flood() {
        let outbox = Outbox::default();
        for n in 0..3 {
            outbox.reading(Reading {
                probe: "p".into(),
                at: At(n),
                took: Span(1),
                as_of: None,
                result: Ok(Value::Int(n)),
                servers: Servers::new(),
                moves: Moves::default(),
            });
        }
        for n in 0..MOST_LINES + 7 {
            outbox.line(&key(), Stream::Out, n.to_string());
        }
        outbox.verdict(WorldEvent::Ended {
            key: key(),
            outcome: Outcome::Succeeded { summary: String::new() },
            took: Span(1),
        });
        let mut lines = 0;
        let mut dropped = 0;
        loop {
            match outbox.next().await {
                WorldEvent::Output { .. } => lines += 1,
                WorldEvent::OutputDropped { lines, .. } => dropped += lines,
                WorldEvent::Ended { .. } => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((lines, dropped), (MOST_LINES, 7));
        let WorldEvent::Reading(reading) = outbox.next().await else { panic!("a reading") };
        assert_eq!(reading.result, Ok(Value::Int(2)));
    }
}
