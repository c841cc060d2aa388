//! A world under the test's control. What it knows outlives every cockpit, as the real one does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gonogo::clock::Clock;
use gonogo::core::action::Action;
use gonogo::core::job::{Adoption, Direction, JobKey, Outcome};
use gonogo::core::moves::Moves;
use gonogo::core::reading::Reading;
use gonogo::core::server::Servers;
use gonogo::core::time::Span;
use gonogo::core::value::Value;
use gonogo::journal::memory::MemoryView;
use gonogo::world::{World, WorldEvent};

/// What can be found out about a job of an earlier cockpit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traces {
    /// Nothing, as with SQL.
    None,
    /// Whether it ran and how it ended, as with commands.
    All,
}

/// What outlives the cockpits.
#[derive(Debug, Default)]
pub struct Outside {
    /// How often each job was started.
    pub starts: BTreeMap<JobKey, u32>,
    /// Jobs in the order of their starts.
    pub order: Vec<JobKey>,
    /// Effects that left before their facts were in the ledger.
    pub unrecorded: Vec<JobKey>,
    /// Jobs that were told to stop.
    pub stops: Vec<JobKey>,
    /// Jobs that do not end before they are released.
    pub held: BTreeSet<JobKey>,
    /// Whether jobs are held.
    pub hold: bool,
    /// How many readings were given.
    pub readings: u64,
    events: VecDeque<WorldEvent>,
}

impl Outside {
    /// How a job ends: everything goes well, but the section's second job in its first attempt.
    pub fn outcome(key: &JobKey) -> Outcome {
        let second = key.step.as_str() == "section" && key.job == 1 && key.attempt.0 == 1;
        if second && key.direction == Direction::Do {
            return Outcome::Failed { what: "exit 1".to_owned() };
        }
        Outcome::Succeeded { summary: "exit 0".to_owned() }
    }

    fn end(&mut self, key: JobKey) {
        let outcome = Self::outcome(&key);
        self.events.push_back(WorldEvent::Ended { key, outcome, took: Span(5) });
    }

    /// Releases every held job.
    pub fn release(&mut self) {
        for key in std::mem::take(&mut self.held) {
            self.end(key);
        }
    }
}

/// One cockpit's connection to the outside.
pub struct TestWorld {
    pub outside: Arc<Mutex<Outside>>,
    pub ledger: MemoryView,
    pub clock: Clock,
    pub traces: Traces,
}

impl TestWorld {
    /// Whether the ledger holds the intent of this job at this moment.
    fn is_recorded(&self, key: &JobKey) -> bool {
        let key = serde_json::to_string(key).unwrap();
        let records = self.ledger.contents().records;
        records.iter().any(|record| record.kind == "job_started" && record.body.contains(&key))
    }
}

impl World for TestWorld {
    fn watch(&mut self) {
        // Answers of an earlier cockpit's jobs reach nobody.
        self.outside.lock().unwrap().events.clear();
    }

    fn start(&mut self, key: JobKey, action: &Action) {
        assert!(action.leaves_the_program());
        let recorded = self.is_recorded(&key);
        let mut outside = self.outside.lock().unwrap();
        if !recorded {
            outside.unrecorded.push(key.clone());
        }
        *outside.starts.entry(key.clone()).or_default() += 1;
        outside.order.push(key.clone());
        if outside.hold {
            outside.held.insert(key);
        } else {
            outside.end(key);
        }
    }

    fn stop(&mut self, key: &JobKey) {
        let mut outside = self.outside.lock().unwrap();
        outside.stops.push(key.clone());
        if outside.held.remove(key) {
            let outcome = Outcome::Failed { what: "SIGTERM".to_owned() };
            outside.events.push_back(WorldEvent::Ended { key: key.clone(), outcome, took: Span(5) });
        }
    }

    fn adopt(&mut self, key: JobKey, _: &Action) {
        let mut outside = self.outside.lock().unwrap();
        let adoption = match (self.traces, outside.starts.contains_key(&key)) {
            (Traces::None, _) => Adoption::Untraceable,
            (Traces::All, false) => Adoption::NeverStarted,
            (Traces::All, true) => Adoption::Ended { outcome: Outside::outcome(&key), took: Span(5) },
        };
        outside.events.push_back(WorldEvent::Adopted { key, adoption });
    }

    async fn next(&mut self) -> Option<WorldEvent> {
        if let Some(event) = self.outside.lock().unwrap().events.pop_front() {
            return Some(event);
        }
        // The pace of a probe, not a wait for something.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut outside = self.outside.lock().unwrap();
        outside.readings += 1;
        let value = Value::map([("n", Value::Int(0)), ("ok", Value::Bool(true))]);
        let at = self.clock.now();
        Some(WorldEvent::Reading(Reading {
            probe: "p".into(),
            at,
            took: Span::ZERO,
            as_of: None,
            result: Ok(value),
            servers: Servers::new(),
            moves: Moves::default(),
        }))
    }
}
