//! Going on to where something happens next: it stops there, says what happened, and never passes time for nothing.

use std::path::Path;
use std::sync::Arc;

use gonogo::clock::Clock;
use gonogo::core::fact::{Ending, Mode};
use gonogo::core::ids::Who;
use gonogo::core::input::{Command, Confirmation};
use gonogo::core::plan::Plan;
use gonogo::core::status::{picture, word};
use gonogo::core::time::{At, Span};
use gonogo::driver::Opening;
use gonogo::journal::memory::MemoryLedger;
use gonogo::journal::{Inline, RunId};
use gonogo::pace::{Pace, TimeControl};
use gonogo::rehearsal::engine::RehearsalEngine;
use gonogo::rehearsal::operator::{AutoOperator, Operator, Seen};
use gonogo::rehearsal::policy::Policy;
use gonogo::rehearsal::world::Handle;
use gonogo::runbook::{self, Options};
use gonogo::scenario;
use gonogo::session::RunSession;
use gonogo::world::sim::{SimOptions, SimWorld};

const START: At = At(1_767_405_600_000);

/// A rehearsal with somebody in front of it who has done nothing yet. Time stands still unless it is gone through.
struct Rehearsal {
    plan: Arc<Plan>,
    engine: RehearsalEngine,
    world: Handle,
    runtime: tokio::runtime::Runtime,
}

impl Rehearsal {
    fn of(text: &str, scenario: Option<&str>) -> Self {
        let loaded = runbook::load_str("test", text.to_owned(), &Options::default());
        let plan = Arc::new(loaded.unwrap_or_else(|errors| panic!("{}", errors.render(false, 100))).plan);
        let scenarios = scenario
            .map(|text| scenario::load_str("test", text, &plan).unwrap_or_else(|e| panic!("{}", e.render(false, 100))));
        let (clock, hand) = Clock::simulated(START);
        let pace = Pace::new(START, 1);
        pace.toggle();
        let options = SimOptions { seed: 1, start: START, scenarios: scenarios.into_iter().collect() };
        let world = Handle::new(SimWorld::new(Arc::clone(&plan), options), hand, pace);
        let handle = world.clone();
        let id: RunId = "20260103-0200-0001".parse().unwrap();
        let journal = Inline::over(handle.ledger(Box::new(MemoryLedger::new(&id))));
        let opening = Opening::New { mode: Mode::Rehearsal, facts: Vec::new() };
        let who = Who("ada@bastion".to_owned());
        let mut engine = RehearsalEngine::open(Arc::clone(&plan), who, 1, opening, world, journal, clock).unwrap();
        engine.settle();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { plan, engine, world: handle, runtime }
    }

    /// Goes on; returns the report and how much time has passed.
    fn fast_forward(&mut self) -> (String, Span) {
        let from = self.engine.now();
        self.engine.control_time(TimeControl::FastForward).unwrap();
        let said = self.runtime.block_on(async {
            loop {
                if let Some(said) = self.engine.take_report() {
                    return said;
                }
                self.engine.turn().await;
            }
        });
        (said, self.engine.now().since(from))
    }

    fn start(&mut self, step: &str) {
        let step = self.plan.step(&step.into()).unwrap();
        let seen = picture(&self.plan, self.engine.run(), self.engine.board(), self.engine.now(), step);
        let confirmation = Confirmation {
            step: step.id.clone(),
            typed: word(step).to_owned(),
            second: None,
            seen,
            shown: Span::secs(1),
        };
        self.engine.command(Command::Confirm(confirmation));
        self.engine.settle();
        assert!(self.engine.refusal().is_none(), "{:?}", self.engine.refusal());
    }
}

#[test]
fn going_on_stops_at_every_date_of_the_playbook_and_every_status_update_is_sent() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook.yaml");
    let mut rehearsal = Rehearsal::of(&std::fs::read_to_string(path).unwrap(), None);
    let mut operator = AutoOperator::new(Policy { reaction: Span::ZERO, ..Policy::good() });
    let (mut presses, mut news, mut longest, mut told) = (0, 0, Span::ZERO, Vec::new());
    while rehearsal.engine.run().ended.is_none() {
        let world = rehearsal.world.clone();
        let engine = &rehearsal.engine;
        let seen = Seen::of(engine.view(), engine.now());
        if let Some(command) = operator.act(seen, &|key| world.world().took_effect(key)) {
            rehearsal.engine.command(command);
            rehearsal.engine.settle();
            continue;
        }
        let (said, passed) = rehearsal.fast_forward();
        presses += 1;
        told.push(said.clone());
        longest = longest.max(passed);
        if said.contains("a status update is due") {
            news += 1;
            rehearsal.engine.command(Command::StatusUpdate { text: "still at it, all is well".to_owned() });
            rehearsal.engine.settle();
        }
        // A careful reader waits for a moment before typing.
        if said.starts_with("nothing happens by itself") {
            match world.advance(rehearsal.engine.now().plus(Span(500))) {
                Some(event) => rehearsal.engine.deliver(event),
                None => rehearsal.engine.settle(),
            }
        }
        assert!(presses < 200, "{told:#?}");
    }
    assert!(matches!(rehearsal.engine.run().ended, Some((_, Ending::Completed))));
    assert!(longest <= Span::secs(3_600), "{longest}");
    let took = rehearsal.engine.now().since(START);
    assert_eq!(news, took.0 / 3_600_000, "one an hour: {told:#?}");
    assert!(!told.iter().any(|said| said.contains("nothing happened")), "{told:#?}");
    let switched = told.iter().filter(|said| said.contains("marker")).count();
    assert_eq!(switched, 0, "from job to job of a section nobody can do anything: {told:#?}");
}

const WAITING: &str = "
title: t
comms: { every: 1h }
phases:
  - title: p
    steps:
      - { id: list, title: Tick, action: { manual: [a, b] } }
      - { id: wait, title: Wait, action: { wait: { for: 90m } } }
";

#[test]
fn no_time_passes_where_everything_waits_for_the_operator() {
    let mut rehearsal = Rehearsal::of(WAITING, None);
    let (said, passed) = rehearsal.fast_forward();
    assert_eq!(said, "nothing happens by itself now: step 1 waits for you to start it");
    assert_eq!(passed, Span::ZERO);
    rehearsal.start("list");
    let (said, passed) = rehearsal.fast_forward();
    assert_eq!(said, "nothing happens by itself now: the checklist of step 1 waits for you");
    assert_eq!(passed, Span::ZERO);
}

#[test]
fn it_stops_where_a_status_update_becomes_due_and_says_later_that_it_is_overdue() {
    let mut rehearsal = Rehearsal::of(WAITING, None);
    rehearsal.start("list");
    for item in 0..2 {
        rehearsal.engine.command(Command::Acknowledge { step: "list".into(), item });
        rehearsal.engine.settle();
    }
    rehearsal.start("wait");
    let (said, passed) = rehearsal.fast_forward();
    assert_eq!(said, "on by 1:00:00: a status update is due; time stands still");
    assert_eq!(passed, Span::secs(3_600));
    let (said, passed) = rehearsal.fast_forward();
    assert_eq!(said, "on by 30:00: 2 Wait done; status update OVERDUE by 30:00; time stands still");
    assert_eq!(passed, Span::secs(1_800));
}

#[test]
fn a_pause_stays_a_pause_and_time_stands_where_it_has_come_to() {
    let mut rehearsal = Rehearsal::of(&WAITING.replace("comms: { every: 1h }", ""), None);
    rehearsal.engine.command(Command::Skip { step: "list".into(), reason: "not today, thank you".to_owned() });
    rehearsal.engine.settle();
    rehearsal.start("wait");
    let (said, passed) = rehearsal.fast_forward();
    assert_eq!(said, "on by 1:30:00: 2 Wait done; time stands still");
    assert!(rehearsal.engine.pace().view().paused);
    assert_eq!(rehearsal.engine.pace().target(), START.plus(passed));
    // Without a pause the report does not mention one.
    rehearsal.engine.control_time(TimeControl::Pause).unwrap();
    assert_eq!(rehearsal.fast_forward().0, "nothing happens by itself now: every step is done; you end the run");
}

const GATED: &str = "
title: t
probes: { door: { kind: tcp, address: \"door.example.com:443\", every: 1s } }
phases:
  - title: p
    steps:
      - id: go
        title: Go
        gates: [{ name: the door answers, that: door.open, hold: 20s }]
        action: { manual: [a] }
";

const SILENT: &str = "
title: The door is silent
lesson: none
good_reaction: none
ends: { good: complete, careless: harm }
events: [{ when: { at: 40m }, fault: { silent: { probe: door } }, for: 2m }]
";

#[test]
fn it_stops_at_a_gate_that_changes_and_where_a_scenario_strikes() {
    let mut rehearsal = Rehearsal::of(GATED, Some(SILENT));
    let told: Vec<(String, Span)> = (0..7).map(|_| rehearsal.fast_forward()).collect();
    let said = told.iter().map(|(said, _)| said.split_once(": ").unwrap().1.replace("; time stands still", ""));
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            "gate \"the door answers\" became GO and must hold for 20 s",
            "gate \"the door answers\" has been GO for long enough",
            // Everything waits for the operator here, and yet there is something to come.
            "the scenario has done something",
            "gate \"the door answers\" became UNKNOWN",
            "the scenario has done something",
            "gate \"the door answers\" became GO and must hold for 20 s",
            "gate \"the door answers\" has been GO for long enough",
        ]
    );
    let passed = |upto: usize| Span(told[..upto].iter().map(|(_, passed)| passed.0).sum());
    assert_eq!(passed(3), Span::secs(40 * 60), "{told:?}");
    assert!(passed(7) < Span::secs(43 * 60), "{told:?}");
    assert_eq!(rehearsal.fast_forward().1, Span::ZERO, "from here on only the operator can do something");
}
