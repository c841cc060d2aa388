//! P1 and P5 on the real engine: a journal that fails at every write, a cockpit that dies at every moment, and
//! the same run afterwards.

mod world;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use gonogo::clock::{Clock, Hand};
use gonogo::core::fact::{Ending, Fact, Finding, Mode, Recorded};
use gonogo::core::ids::{StepId, Who};
use gonogo::core::input::{Command, Confirmation};
use gonogo::core::job::{Direction, JobKey};
use gonogo::core::plan::{Confirm, Plan};
use gonogo::core::refusal::Refusal;
use gonogo::core::state::{Run, StepProgress};
use gonogo::core::status::picture;
use gonogo::core::time::{At, Span};
use gonogo::driver::{Engine, Opening, Turn, facts_of};
use gonogo::journal::memory::{FailAt, FaultyLedger, MemoryLedger, MemoryView};
use gonogo::journal::{Head, Inline, JournalError, Ledger, NewRecord, Record, Recorder, RunId, Sample, Writer};
use gonogo::runbook::{self, Options};
use world::{Outside, TestWorld, Traces};

/// Far more turns than any run here needs: reaching it means that nothing moves any more.
const TURNS: usize = 5_000;

fn plan() -> Arc<Plan> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runbooks/proofs/story.yaml");
    let loaded =
        runbook::load(&path, &Options::default()).unwrap_or_else(|errors| panic!("{}", errors.render(false, 100)));
    Arc::new(loaded.plan)
}

fn me() -> Who {
    Who("ada@bastion".to_owned())
}

fn run_id() -> RunId {
    "20261124-0214-7f3a".parse().unwrap()
}

const WATCHED: &str = r#"
title: Somebody must watch
window: { opens: 1970-01-01T00:00:00Z, closes: 1970-01-01T01:00:00Z }
probes:
  p: { kind: command, run: "true", every: 1s, fields: { n: int, ok: bool } }
phases:
  - title: Only
    steps:
      - { id: soak, title: Soak, guards: [{ name: fine, that: p.ok, tolerate: 1m }], action: { soak: { for: 10m } } }
      - id: gated
        title: Gated
        needs: []
        gates: [{ name: fine, that: p.ok, hold: 20s }]
        action: { command: { run: "true" } }
        reversibility: free
"#;

/// A run of this runbook that a driver has just begun, the hand of its clock, and its record.
fn watched(text: String) -> (Arc<Plan>, Engine<TestWorld>, Hand, MemoryView) {
    let loaded = runbook::load_str("watched.yaml", text, &Options::default());
    let plan = Arc::new(loaded.unwrap_or_else(|errors| panic!("{}", errors.render(false, 100))).plan);
    let (clock, hand) = Clock::simulated(At(0));
    let ledger = MemoryLedger::new(&run_id());
    let view = ledger.view();
    let outside: Arc<Mutex<Outside>> = Arc::default();
    let world = TestWorld { outside, ledger: view.clone(), clock: clock.clone(), traces: Traces::None };
    let opening = Opening::New { mode: Mode::Lab, facts: Vec::new() };
    let journal = Writer::spawn(Box::new(ledger)).unwrap();
    let engine = Engine::open(Arc::clone(&plan), me(), 1, opening, world, journal, clock).unwrap();
    (plan, engine, hand, view)
}

#[tokio::test]
async fn what_was_seen_before_the_machine_slept_counts_for_nothing() {
    let (plan, mut engine, hand, view) = watched(WATCHED.to_owned());
    let held = |engine: &Engine<TestWorld>| {
        let step = plan.step(&StepId::from("gated")).unwrap();
        gonogo::core::poll::gates(&plan, engine.run(), engine.board(), engine.now(), step)
            .iter()
            .map(|gate| (gate.open(), gate.held.unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    let passed = |engine: &Engine<TestWorld>| match engine.run().phase(&StepId::from("soak")) {
        StepProgress::Running(running) => running.passed(engine.now()),
        other => panic!("{other:?}"),
    };
    while engine.is_recording() {
        engine.turn().await;
    }
    let confirmation = |engine: &Engine<TestWorld>| {
        let step = plan.step(&StepId::from("soak")).unwrap();
        let seen = picture(&plan, engine.run(), engine.board(), engine.now(), step);
        Confirmation { step: step.id.clone(), typed: "go".to_owned(), second: None, seen, shown: Span(60_000) }
    };
    while engine.board().latest(&"p".into()).is_none() {
        hand.advance(Span(100));
        engine.turn().await;
    }
    hand.advance(Span(500));
    engine.turn().await;
    let confirmed = confirmation(&engine);
    engine.command(Command::Confirm(confirmed));
    assert_eq!(engine.refusal(), None);
    for _ in 0..300 {
        hand.advance(Span(100));
        engine.turn().await;
    }
    assert!(held(&engine).iter().all(|(open, held)| *open && *held >= Span(20_000)), "{:?}", held(&engine));
    let before = passed(&engine);
    assert!(before >= Span(28_000), "{before}");

    // The machine sleeps over the end of the window. Somebody had just pressed enter.
    hand.advance(Span::secs(3_600));
    let stale = confirmation(&engine);
    engine.command(Command::Confirm(Confirmation { step: "gated".into(), ..stale }));
    assert!(matches!(engine.refusal(), Some((_, Refusal::PictureChanged { what })) if what.contains("1:00:00")));
    assert!(held(&engine).iter().all(|(open, held)| !open && *held == Span::ZERO), "{:?}", held(&engine));
    for _ in 0..10 {
        hand.advance(Span(100));
        engine.turn().await;
    }
    while engine.is_recording() {
        engine.turn().await;
    }
    assert!(held(&engine).iter().any(|(open, held)| !open && *held < Span(2_000)), "{:?}", held(&engine));
    assert!(engine.now() > plan.window.unwrap().closes, "the window has closed meanwhile");
    let after = passed(&engine);
    assert!(after >= before && after < Span(before.0 + 3_000), "the soak counts no sleep: {before} then {after}");
    let facts = facts_of(&view.contents().records).unwrap();
    let lapses: Vec<_> = facts.iter().filter(|recorded| matches!(recorded.fact, Fact::WatchLapsed { .. })).collect();
    assert!(
        matches!(lapses.as_slice(), [one] if one.fact == Fact::WatchLapsed { away: Span::secs(3_600) }),
        "{lapses:?}"
    );
}

/// A program that was stopped for some seconds: what its operator saw and typed meanwhile is of before.
#[tokio::test]
async fn an_order_that_was_given_while_the_program_was_stopped_is_refused() {
    // Readings of a probe that is measured every 5 s are good for longer than the stop.
    let text = WATCHED.replace("every: 1s", "every: 5s").replace("that: p.ok, hold: 20s", "that: p.ok, hold: 1s");
    let (plan, mut engine, hand, _) = watched(text);
    for _ in 0..30 {
        hand.advance(Span(100));
        engine.turn().await;
    }
    let confirmation = |engine: &Engine<TestWorld>| {
        let step = plan.step(&StepId::from("gated")).unwrap();
        let seen = picture(&plan, engine.run(), engine.board(), engine.now(), step);
        Confirmation { step: step.id.clone(), typed: "go".to_owned(), second: None, seen, shown: Span(60_000) }
    };
    let seen = confirmation(&engine);
    hand.advance(Span::secs(4));
    engine.command(Command::Confirm(seen));
    let refusal = engine.refusal().map(|(_, refusal)| refusal.to_string()).unwrap_or_default();
    assert!(refusal.contains("nobody had watched for 4.0 s"), "{refusal:?}");
    // An order that is given right after is not taken on readings from before, either.
    let after = confirmation(&engine);
    engine.command(Command::Confirm(after));
    while engine.is_recording() {
        engine.turn().await;
    }
    assert!(engine.refusal().is_some(), "its gate was seen by nobody since");
    for _ in 0..30 {
        hand.advance(Span(100));
        engine.turn().await;
    }
    let fresh = confirmation(&engine);
    engine.command(Command::Confirm(fresh));
    assert_eq!(engine.refusal(), None);
}

/// A recorder without room for every sample.
struct Crowded {
    inner: Inline,
    dropped: Arc<AtomicU64>,
}

impl Recorder for Crowded {
    fn submit(&mut self, ticket: u64, batch: Vec<NewRecord>) {
        self.inner.submit(ticket, batch);
    }

    fn sample(&mut self, sample: Sample) {
        self.inner.sample(sample);
    }

    fn samples_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Samples may be lost, but the record must say so.
#[tokio::test]
async fn samples_that_were_not_kept_are_counted_in_the_record() {
    let loaded = runbook::load_str("watched.yaml", WATCHED, &Options::default());
    let plan = Arc::new(loaded.unwrap_or_else(|errors| panic!("{}", errors.render(false, 100))).plan);
    let (clock, hand) = Clock::simulated(At(0));
    let ledger = MemoryLedger::new(&run_id());
    let view = ledger.view();
    let world = TestWorld { outside: Arc::default(), ledger: view.clone(), clock: clock.clone(), traces: Traces::None };
    let opening = Opening::New { mode: Mode::Lab, facts: Vec::new() };
    let (inner, notices) = Inline::over(Box::new(ledger));
    let dropped = Arc::new(AtomicU64::new(0));
    let journal = (Crowded { inner, dropped: Arc::clone(&dropped) }, notices);
    let mut engine = Engine::open(plan, me(), 1, opening, world, journal, clock).unwrap();
    for lost in [0, 120, 120, 150] {
        dropped.store(lost, Ordering::Relaxed);
        hand.advance(Span(1_100));
        engine.turn().await;
        assert_eq!(engine.view().samples_dropped(), lost);
    }
    drop(engine);
    let samples = view.contents().samples;
    let kept: Vec<gonogo::sample_log::KeptOutput> = samples
        .iter()
        .filter(|sample| sample.source == gonogo::sample_log::OUTPUT)
        .map(|sample| serde_json::from_str(&sample.body).unwrap())
        .collect();
    assert_eq!(kept.iter().map(|kept| kept.unkept).collect::<Vec<_>>(), [120, 150], "said when it changes");
}

/// A run with its journal and its world, over the lives of several cockpits.
struct Story {
    plan: Arc<Plan>,
    outside: Arc<Mutex<Outside>>,
    /// What earlier cockpits have left in the journal.
    records: Vec<Record>,
    traces: Traces,
    epoch: u64,
}

/// One cockpit.
struct Cockpit {
    engine: Engine<TestWorld>,
    ledger: MemoryView,
}

impl Story {
    fn new(plan: &Arc<Plan>, traces: Traces) -> Self {
        let outside = Arc::default();
        Self { plan: Arc::clone(plan), outside, records: Vec::new(), traces, epoch: 0 }
    }

    fn outside(&self) -> MutexGuard<'_, Outside> {
        self.outside.lock().unwrap()
    }

    /// A cockpit takes the run, with a journal that fails at `fail_at`.
    fn open(&mut self, fail_at: Option<FailAt>) -> Cockpit {
        let ledger = MemoryLedger::new(&run_id());
        let view = ledger.view();
        let ledger: Box<dyn Ledger> = match fail_at {
            Some(fail_at) => Box::new(FaultyLedger::new(ledger, fail_at)),
            None => Box::new(ledger),
        };
        self.open_with(ledger, view)
    }

    fn open_with(&mut self, ledger: Box<dyn Ledger>, view: MemoryView) -> Cockpit {
        self.epoch += 1;
        let facts = facts_of(&self.records).unwrap();
        let last = facts.last().map_or(At(0), |recorded| recorded.at);
        let clock = Clock::start(last);
        let opening = if facts.is_empty() {
            Opening::New { mode: Mode::Lab, facts: Vec::new() }
        } else {
            Opening::Resumed { facts, head: None, away: Span(10) }
        };
        let world = TestWorld {
            outside: Arc::clone(&self.outside),
            ledger: view.clone(),
            clock: clock.clone(),
            traces: self.traces,
        };
        let journal = Writer::spawn(ledger).unwrap();
        let engine = Engine::open(Arc::clone(&self.plan), me(), self.epoch, opening, world, journal, clock).unwrap();
        Cockpit { engine, ledger: view }
    }

    /// The cockpit is gone; what it had made durable stays.
    fn close(&mut self, cockpit: Cockpit) {
        drop(cockpit.engine);
        let from = self.records.len() as u64;
        self.records.extend(
            cockpit.ledger.contents().records.into_iter().map(|record| Record { seq: record.seq + from, ..record }),
        );
    }

    fn run(&self) -> Run {
        Run::fold(&self.plan, &facts_of(&self.records).unwrap())
    }

    /// P1 and no job twice, over all cockpits.
    fn nothing_was_done_twice_or_unrecorded(&self) {
        let outside = self.outside();
        assert_eq!(outside.unrecorded, [], "left before their facts were durable");
        let twice: Vec<_> = outside.starts.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "started again: {twice:?}");
    }

    /// What the story must lead to, whatever happens in between.
    fn is_finished(&self) {
        let run = self.run();
        assert!(matches!(run.ended, Some((_, Ending::Completed))), "{:?}", run.ended);
        for (step, done) in
            [("one", true), ("forced", false), ("unwanted", false), ("section", true), ("last", true), ("watch", true)]
        {
            let phase = run.phase(&step.into());
            let fits = if done {
                matches!(phase, StepProgress::Done { .. })
            } else {
                matches!(phase, StepProgress::Skipped { .. })
            };
            assert!(fits, "{step} is {phase:?}");
        }
        self.nothing_was_done_twice_or_unrecorded();
    }
}

impl Cockpit {
    fn confirmation(&self, id: &str) -> Confirmation {
        let engine = &self.engine;
        let step = engine.plan().step(&id.into()).unwrap();
        let now = engine.now();
        Confirmation {
            step: step.id.clone(),
            typed: if step.confirm == Confirm::Go { "go" } else { step.id.as_str() }.to_owned(),
            second: None,
            seen: picture(engine.plan(), engine.run(), engine.board(), now, step),
            shown: Span(1_000),
        }
    }

    /// The operator finds out what happened to the job, and says so.
    fn resolve(&self, step: &StepId, key: &JobKey, outside: &Outside) -> Command {
        let happened = outside.starts.contains_key(key);
        let whole = key.step.as_str() != "section" || key.direction == Direction::Undo;
        let finding = match (happened, whole) {
            (true, true) => Finding::Happened,
            (false, _) => Finding::DidNotHappen,
            (true, false) => Finding::HalfHappened,
        };
        let seen = self.confirmation(step.as_str()).seen;
        Command::Resolve { step: step.clone(), finding, reason: "looked at the servers".to_owned(), seen }
    }

    fn undo(&self, id: &str) -> Command {
        Command::Undo(Confirmation { typed: "undo".to_owned(), ..self.confirmation(id) })
    }

    /// What an operator does next to bring the story to its end, whatever has happened before.
    fn wish(&self, outside: &Outside) -> Option<Command> {
        let run = self.engine.run();
        let reason = || "as the runbook says".to_owned();
        for (id, step) in run.touched() {
            if let StepProgress::InDoubt { key, .. } = &step.phase {
                return Some(self.resolve(id, key, outside));
            }
        }
        let start = |id: &str| Some(Command::Confirm(self.confirmation(id)));
        let startable = |phase: &StepProgress| {
            matches!(phase, StepProgress::Pending | StepProgress::Undone { .. } | StepProgress::Failed { .. })
        };
        for step in &self.engine.plan().steps {
            let id = step.id.as_str();
            let phase = run.phase(&step.id);
            match (id, phase) {
                (_, StepProgress::Running(_) | StepProgress::Verifying { .. }) => return None,
                ("forced", StepProgress::Pending | StepProgress::Failed { .. })
                    if run.step(&step.id).undo_attempt.0 == 0 =>
                {
                    return Some(Command::Override { confirmation: self.confirmation(id), reason: reason() });
                }
                ("forced", StepProgress::Done { .. }) => return Some(self.undo(id)),
                ("forced", StepProgress::Undone { .. } | StepProgress::Failed { .. })
                | ("unwanted", StepProgress::Pending) => {
                    return Some(Command::Skip { step: step.id.clone(), reason: reason() });
                }
                (_, phase) if startable(phase) => return start(id),
                _ => {}
            }
        }
        Some(Command::End { how: Ending::Completed })
    }

    /// Lets the operator act and the engine turn, until something is so.
    async fn until(&mut self, story: &Story, done: impl Fn(&Cockpit) -> bool) {
        for _ in 0..TURNS {
            if done(self) {
                return;
            }
            if !self.engine.is_recording() && self.engine.run().mode.is_some() && self.engine.run().ended.is_none() {
                let wish = self.wish(&story.outside());
                if let Some(wish) = wish {
                    self.engine.command(wish);
                }
            }
            if done(self) {
                return;
            }
            self.turn().await;
        }
        panic!("stands still: {:#?}", self.engine.log().iter().rev().take(4).collect::<Vec<_>>());
    }

    async fn turn(&mut self) -> Turn {
        tokio::time::timeout(Duration::from_secs(20), self.engine.turn()).await.expect("a turn ends")
    }

    fn has_ended(&self) -> bool {
        self.engine.run().ended.is_some()
    }
}

/// Every kind of command, on a step where it could be accepted or not.
fn every_command(cockpit: &Cockpit) -> Vec<Command> {
    let step = StepId::from("one");
    let reason = || "a reason of some length".to_owned();
    vec![
        Command::Confirm(cockpit.confirmation("one")),
        Command::Override { confirmation: cockpit.confirmation("forced"), reason: reason() },
        Command::Acknowledge { step: step.clone(), item: 0 },
        Command::Skip { step: "unwanted".into(), reason: reason() },
        Command::Stop(Confirmation { typed: "stop".to_owned(), ..cockpit.confirmation("section") }),
        Command::VerifyAgain { step: step.clone() },
        Command::Resolve { step, finding: Finding::Happened, reason: reason(), seen: cockpit.confirmation("one").seen },
        cockpit.undo("one"),
        Command::Note { text: reason() },
        Command::StatusUpdate { text: reason() },
        Command::End { how: Ending::Completed },
    ]
}

/// After the journal has failed: nothing starts, every command is refused with the reason, and readings still arrive.
async fn acting_has_stopped(story: &Story, cockpit: &mut Cockpit) {
    let before = story.outside().order.len();
    for command in every_command(cockpit) {
        let wish = format!("{command:?}");
        cockpit.engine.command(command);
        let refusal = cockpit.engine.refusal().map(|(_, refusal)| refusal.clone());
        assert!(matches!(refusal, Some(Refusal::JournalFaulted(_))), "{wish} met {refusal:?}");
    }
    let seen = |cockpit: &Cockpit| cockpit.engine.board().latest(&"p".into()).map(|latest| latest.at);
    let (was, facts) = (seen(cockpit), cockpit.engine.run().facts);
    for _ in 0..TURNS {
        if seen(cockpit) > was {
            break;
        }
        cockpit.turn().await;
    }
    assert!(seen(cockpit) > was, "the panes are not live");
    assert_eq!(story.outside().order.len(), before, "a job was started after the journal had failed");
    assert_eq!(cockpit.engine.run().facts, facts, "the run went on without its journal");
}

/// Jobs that had begun, by the journal, and of which it does not say how they ended.
fn unanswered(facts: &[Recorded]) -> Vec<JobKey> {
    let mut open = Vec::new();
    for recorded in facts {
        match &recorded.fact {
            Fact::JobStarted { key } if key.step.as_str() != "watch" => open.push(key.clone()),
            Fact::JobEnded { key, .. } | Fact::DoubtResolved { key, .. } => open.retain(|other| other != key),
            _ => {}
        }
    }
    open
}

/// Another cockpit takes the run and brings it to its end; before anybody acts, nothing is started.
async fn resumed_and_finished(story: &mut Story) {
    let open = unanswered(&facts_of(&story.records).unwrap());
    let before = story.outside().order.len();
    let was_opened = !story.records.is_empty();
    let mut cockpit = story.open(None);
    while cockpit.engine.is_recording() {
        cockpit.turn().await;
    }
    if was_opened && !cockpit.has_ended() {
        for key in &open {
            let phase = cockpit.engine.run().phase(&key.step);
            assert!(
                matches!(phase, StepProgress::InDoubt { key: doubtful, .. } if doubtful == key),
                "{key} is {phase:?}"
            );
        }
        if story.traces == Traces::None {
            for _ in 0..5 {
                cockpit.turn().await;
            }
            assert_eq!(story.outside().order.len(), before, "something was started unasked");
            for key in &open {
                let phase = cockpit.engine.run().phase(&key.step);
                assert!(matches!(phase, StepProgress::InDoubt { .. }), "{key} is {phase:?} unasked");
            }
        }
    }
    cockpit.until(story, Cockpit::has_ended).await;
    story.close(cockpit);
    story.is_finished();
}

/// A disk that hangs until it is released.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn set(&self, shut: bool) {
        *self.0.0.lock().unwrap() = shut;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |shut| *shut).unwrap());
    }
}

struct StuckLedger {
    inner: MemoryLedger,
    gate: Gate,
}

impl Ledger for StuckLedger {
    fn append(&mut self, batch: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        self.gate.pass();
        self.inner.append(batch)
    }

    fn append_samples(&mut self, samples: &[Sample]) -> Result<(), JournalError> {
        self.gate.pass();
        self.inner.append_samples(samples)
    }

    fn head(&self) -> Head {
        self.inner.head()
    }
}

/// A cockpit that has just been told to start the first step while its disk stands still, and has noticed.
async fn silenced(story: &mut Story) -> (Cockpit, Gate) {
    let gate = Gate::default();
    let inner = MemoryLedger::new(&run_id());
    let view = inner.view();
    let mut cockpit = story.open_with(Box::new(StuckLedger { inner, gate: gate.clone() }), view);
    let ready = |cockpit: &Cockpit| !cockpit.engine.is_recording() && cockpit.wish(&Outside::default()).is_some();
    for _ in 0..TURNS {
        if ready(&cockpit) && cockpit.engine.board().latest(&"p".into()).is_some() {
            break;
        }
        cockpit.turn().await;
    }
    gate.set(true);
    for _ in 0..TURNS {
        if cockpit.engine.is_recording() {
            break;
        }
        cockpit.engine.command(Command::Confirm(cockpit.confirmation("one")));
        cockpit.turn().await;
    }
    assert!(cockpit.engine.is_recording(), "{:?}", cockpit.engine.refusal());
    assert_eq!(cockpit.engine.silent_since(), None, "not at once: a disk may take a moment");
    while cockpit.engine.silent_since().is_none() {
        cockpit.turn().await;
    }
    (cockpit, gate)
}

#[test]
fn a_journal_that_hangs_is_reported_and_commands_that_waited_for_it_are_refused() {
    block_on(async {
        let mut story = Story::new(&plan(), Traces::All);
        let (mut cockpit, gate) = silenced(&mut story).await;
        assert_eq!(cockpit.engine.fault(), None, "it may come back");
        for command in every_command(&cockpit) {
            let wish = format!("{command:?}");
            cockpit.engine.command(command);
            let refusal = cockpit.engine.refusal().map(|(_, refusal)| refusal.clone());
            assert!(matches!(refusal, Some(Refusal::JournalSilent(_))), "{wish} met {refusal:?}");
        }
        assert_eq!(story.outside().order, [], "something was started unrecorded");
        gate.set(false);
        let failed = |cockpit: &Cockpit| match cockpit.engine.run().phase(&"one".into()) {
            StepProgress::Failed { why, .. } => Some(gonogo::words::failure_cause(why)),
            _ => None,
        };
        while failed(&cockpit).is_none() && story.outside().order.is_empty() {
            cockpit.turn().await;
        }
        assert_eq!(story.outside().order, [], "what was confirmed before the silence came true after it");
        let why = failed(&cockpit).unwrap_or_default();
        assert!(why.contains("not started"), "{why}");
        cockpit.until(&story, Cockpit::has_ended).await;
        assert_eq!(story.outside().order.first().map(ToString::to_string).as_deref(), Some("one.do.2.0"));
        assert_eq!(cockpit.engine.silent_since(), None);
        story.close(cockpit);
        story.is_finished();
    });
}

#[test]
fn a_journal_that_hangs_does_not_prevent_leaving() {
    block_on(async {
        let mut story = Story::new(&plan(), Traces::All);
        let (mut cockpit, gate) = silenced(&mut story).await;
        cockpit.engine.leave("the operator left");
        while cockpit.turn().await != Turn::Left {}
        let fault = cockpit.engine.fault().unwrap().to_owned();
        assert!(fault.contains("step_started") && fault.contains("job_started"), "what is pending is told: {fault}");
        // Dropping it does not wait for the disk either.
        story.close(cockpit);
        assert_eq!(story.outside().order, []);
        gate.set(false);
        resumed_and_finished(&mut story).await;
    });
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future);
}

#[test]
fn no_effect_leaves_before_its_facts_are_durable() {
    block_on(async {
        let mut story = Story::new(&plan(), Traces::All);
        let mut cockpit = story.open(None);
        cockpit.until(&story, Cockpit::has_ended).await;
        story.close(cockpit);
        story.is_finished();
        let order: Vec<String> = story.outside().order.iter().map(ToString::to_string).collect();
        let expected = [
            "one.do.1.0",
            "forced.do.1.0",
            "forced.undo.1.0",
            "section.do.1.0",
            "section.do.1.1",
            "section.revert.1.1",
            "section.revert.1.0",
            "section.do.2.0",
            "section.do.2.1",
            "section.do.2.2",
            "last.do.1.0",
        ];
        assert_eq!(order, expected);
    });
}

/// Fails the journal at every append there is. Says how many there were.
async fn fail_everywhere(traces: Traces, at: fn(u64) -> FailAt) -> u64 {
    let plan = plan();
    for n in 1.. {
        let mut story = Story::new(&plan, traces);
        let mut cockpit = story.open(Some(at(n)));
        cockpit.until(&story, |cockpit| cockpit.has_ended() || cockpit.engine.fault().is_some()).await;
        if cockpit.engine.fault().is_none() {
            return n - 1;
        }
        acting_has_stopped(&story, &mut cockpit).await;
        story.close(cockpit);
        story.nothing_was_done_twice_or_unrecorded();
        resumed_and_finished(&mut story).await;
    }
    unreachable!()
}

#[test]
fn a_journal_that_fails_at_any_append_stops_all_acting_and_the_run_goes_on_from_it() {
    block_on(async {
        let appends = fail_everywhere(Traces::None, FailAt::Append).await;
        assert!(appends >= 25, "only {appends} appends");
        assert_eq!(fail_everywhere(Traces::All, FailAt::Append).await, appends);
    });
}

#[test]
fn an_append_that_was_stored_but_not_acknowledged_lets_nothing_out() {
    block_on(async {
        assert!(fail_everywhere(Traces::None, FailAt::AfterAppend).await >= 25);
        assert!(fail_everywhere(Traces::All, FailAt::AfterAppend).await >= 25);
    });
}

#[test]
fn a_cockpit_that_dies_at_any_turn_loses_nothing_and_does_nothing_twice() {
    block_on(async {
        let plan = plan();
        for traces in [Traces::None, Traces::All] {
            let mut died = 0;
            for turns in 0.. {
                let mut story = Story::new(&plan, traces);
                let mut cockpit = story.open(None);
                let left = std::cell::Cell::new(turns * 2);
                // The condition is asked before and after the operator: the cockpit dies at both moments.
                let dead = |cockpit: &Cockpit| cockpit.has_ended() || left.replace(left.get().max(1) - 1) == 0;
                cockpit.until(&story, dead).await;
                let over = cockpit.has_ended();
                story.close(cockpit);
                if over {
                    break;
                }
                died += 1;
                resumed_and_finished(&mut story).await;
            }
            assert!(died >= 30, "died {died} times only");
        }
    });
}

#[test]
fn leaving_during_a_section_finishes_the_section_first() {
    block_on(async {
        let mut story = Story::new(&plan(), Traces::All);
        let mut cockpit = story.open(None);
        let section = StepId::from("section");
        cockpit
            .until(&story, |cockpit| {
                let second = cockpit.engine.run().step(&section).attempt.0 == 2;
                if second {
                    story.outside().hold = true;
                }
                second && !story.outside().held.is_empty()
            })
            .await;
        cockpit.engine.leave("quit");
        for command in [Command::Note { text: "one more thing".to_owned() }, cockpit.undo("one")] {
            cockpit.engine.command(command);
            while cockpit.engine.is_recording() {
                cockpit.turn().await;
            }
            assert!(matches!(cockpit.engine.refusal(), Some((_, Refusal::Leaving))), "{:?}", cockpit.engine.refusal());
        }
        for _ in 0..20 {
            assert_eq!(cockpit.turn().await, Turn::Changed, "left with a job under way");
        }
        story.outside().hold = false;
        story.outside().release();
        for _ in 0..TURNS {
            if cockpit.turn().await == Turn::Left {
                break;
            }
        }
        let facts: Vec<Fact> = cockpit.engine.log().iter().map(|recorded| recorded.fact.clone()).collect();
        let jobs =
            |fact: &&Fact| matches!(fact, Fact::JobEnded { key, .. } if key.step == section && key.attempt.0 == 2);
        assert_eq!(facts.iter().filter(jobs).count(), 3, "the section was left half way");
        assert!(matches!(facts.last(), Some(Fact::DriverLeft { .. })));
        story.close(cockpit);
        resumed_and_finished(&mut story).await;
    });
}

#[test]
fn leaving_during_a_soak_leaves_at_once_and_the_soak_goes_on_with_the_next_driver() {
    block_on(async {
        let mut story = Story::new(&plan(), Traces::All);
        let mut cockpit = story.open(None);
        let watch = StepId::from("watch");
        cockpit.until(&story, |cockpit| matches!(cockpit.engine.run().phase(&watch), StepProgress::Running(_))).await;
        cockpit.engine.leave("quit");
        let mut turns = 0;
        while cockpit.turn().await != Turn::Left {
            turns += 1;
            assert!(turns < 20, "stays for a soak");
        }
        assert!(matches!(cockpit.engine.run().phase(&watch), StepProgress::Running(_)), "the soak was not left alone");
        story.close(cockpit);
        resumed_and_finished(&mut story).await;
    });
}

/// A journal whose thread dies instead of answering.
struct Dying(MemoryLedger);

impl Ledger for Dying {
    fn append(&mut self, batch: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        assert!(self.0.head().seq < 2, "the journal's thread dies of this");
        self.0.append(batch)
    }

    fn append_samples(&mut self, samples: &[Sample]) -> Result<(), JournalError> {
        self.0.append_samples(samples)
    }

    fn head(&self) -> Head {
        self.0.head()
    }
}

#[test]
fn panes_stay_live_when_the_thread_of_the_journal_dies() {
    block_on(async {
        let mut story = Story::new(&plan(), Traces::All);
        let ledger = MemoryLedger::new(&run_id());
        let view = ledger.view();
        let mut cockpit = story.open_with(Box::new(Dying(ledger)), view);
        cockpit.until(&story, |cockpit| cockpit.engine.fault().is_some()).await;
        acting_has_stopped(&story, &mut cockpit).await;
        assert!(story.outside().order.is_empty());
    });
}

#[test]
fn samples_that_cannot_be_written_stop_all_acting() {
    block_on(async {
        let mut story = Story::new(&plan(), Traces::All);
        let mut cockpit = story.open(Some(FailAt::Samples(1)));
        // Nobody acts: the journal fails by itself, a second after the first sample.
        while cockpit.engine.fault().is_none() {
            cockpit.turn().await;
        }
        acting_has_stopped(&story, &mut cockpit).await;
        story.close(cockpit);
        resumed_and_finished(&mut story).await;
    });
}
