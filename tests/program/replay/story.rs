//! A run that is driven at random in simulated time, with every screen it showed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gonogo::clock::{Clock, Hand};
use gonogo::core::action::Action;
use gonogo::core::fact::{Ending, Fact, Finding, Mode};
use gonogo::core::ids::{StepId, Who};
use gonogo::core::input::{Command, Confirmation};
use gonogo::core::job::{Adoption, Direction, JobKey, Outcome, Stream};
use gonogo::core::moves::Moves;
use gonogo::core::plan::{Plan, Step};
use gonogo::core::reading::{Failure, Reading};
use gonogo::core::server::{ServerIdentity, Servers};
use gonogo::core::state::StepProgress;
use gonogo::core::status::{StepState, picture, step_state, stop_word, undo_word, word};
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::driver::{Engine, Opening, facts_of};
use gonogo::journal::{Holder, Inline, NewRun, Notice, RunId, Store};
use gonogo::replay::Recording;
use gonogo::runbook::{Options, load_str};
use gonogo::screen::{Overlay, Screen, ScreenMode, Text, UiState, project};
use gonogo::session::RunSession;
use gonogo::world::{SimulatedTime, World, WorldEvent};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc;

pub const RUNBOOK: &str = include_str!("proof.yaml");

pub fn plan() -> Plan {
    load_str("proof.yaml", RUNBOOK, &Options::default())
        .unwrap_or_else(|errors| panic!("{}", errors.render(false, 100)))
        .plan
}

pub fn me() -> Who {
    Who("ada@bastion".to_owned())
}

/// A screen without what a replay shows differently: its own word, its pace, its keys and its conversation.
pub fn bare(screen: Screen) -> Screen {
    let mut screen = screen;
    screen.mode = ScreenMode::Watch;
    screen.header.mode = String::new();
    screen.header.shown_time = Text::default();
    screen.conversation = Text::default();
    screen.keys = Vec::new();
    screen
}

/// What a fresh interface shows of a session, with the whole log, the whole output and one step.
pub fn shown(stage: &impl RunSession, step: Option<&StepId>) -> Screen {
    let ui = UiState { overlay: Some(Overlay::Log), selected: step.cloned(), list_rows: 60, ..UiState::default() };
    bare(project(&stage.context(&ui, "7f3a", false)))
}

/// A world in which nothing happens unless it is told.
struct Told {
    asked: Arc<Mutex<Vec<Asked>>>,
}

enum Asked {
    Start(JobKey),
    Stop(JobKey),
    Adopt(JobKey),
}

impl SimulatedTime for Told {}

impl World for Told {
    fn watch(&mut self) {}

    fn start(&mut self, key: JobKey, _: &Action) {
        self.asked.lock().unwrap().push(Asked::Start(key));
    }

    fn stop(&mut self, key: &JobKey) {
        self.asked.lock().unwrap().push(Asked::Stop(key.clone()));
    }

    fn adopt(&mut self, key: JobKey, _: &Action) {
        self.asked.lock().unwrap().push(Asked::Adopt(key));
    }

    async fn next(&mut self) -> Option<WorldEvent> {
        std::future::pending().await
    }
}

/// The screens a run showed: behind each decision, and at each moment the last one.
#[derive(Default)]
pub struct Shown {
    pub at_facts: BTreeMap<u64, Screen>,
    pub at_times: BTreeMap<At, (Screen, Screen)>,
}

/// Answers of the journal that have not come through yet.
struct Disk {
    written: mpsc::UnboundedReceiver<Notice>,
    answers: mpsc::UnboundedSender<Notice>,
}

impl Disk {
    /// Lets every answer through; says whether there was one.
    fn answer(&mut self) -> bool {
        std::iter::from_fn(|| self.written.try_recv().ok()).map(|notice| self.answers.send(notice).unwrap()).count() > 0
    }
}

pub struct Story {
    pub dir: tempfile::TempDir,
    pub id: RunId,
    pub plan: Arc<Plan>,
    pub shown: Shown,
    hand: Hand,
    clock: Clock,
    rng: StdRng,
    jobs: Vec<(JobKey, At)>,
    asked: Arc<Mutex<Vec<Asked>>>,
    engine: Option<Engine<Told>>,
    disk: Option<Disk>,
    lines: u64,
    /// Which server answers behind `old`.
    server: u64,
    /// What `p` and `seen` have counted: numbers that grow, and now and then begin anew.
    counted: (i64, i64),
    /// Whether every screen is kept, or only those behind decisions.
    thorough: bool,
}

impl Story {
    /// A run of its own, driven for so many events by so many cockpits.
    pub fn drive(seed: u64, cockpits: u32, events: u32, thorough: bool) -> Self {
        let mut story = Self::new(seed, thorough);
        for cockpit in 0..cockpits {
            story.open(cockpit == 0);
            story.events(events);
            if cockpit + 1 == cockpits {
                story.finish();
            }
            story.kill();
            let away = story.rng.random_range(0..20_000);
            story.hand.advance(Span(away));
        }
        story
    }

    /// A run of its own that is still driven and has just come to such a fact, if it does.
    pub fn under_way(seed: u64, until: impl Fn(&Fact) -> bool) -> Option<Self> {
        let mut story = Self::new(seed, false);
        story.open(true);
        for _ in 0..2_000 {
            let known = story.engine().log().len();
            story.event();
            if story.engine().log().iter().skip(known).any(|recorded| until(&recorded.fact)) {
                return Some(story);
            }
        }
        None
    }

    fn new(seed: u64, thorough: bool) -> Self {
        let (clock, hand) = Clock::simulated(At(1_795_485_600_000));
        Self {
            dir: tempfile::tempdir().unwrap(),
            id: "20261124-0214-7f3a".parse().unwrap(),
            plan: Arc::new(plan()),
            shown: Shown::default(),
            hand,
            clock,
            rng: StdRng::seed_from_u64(seed),
            jobs: Vec::new(),
            asked: Arc::default(),
            engine: None,
            disk: None,
            lines: 0,
            server: 0,
            counted: (0, 0),
            thorough,
        }
    }

    fn events(&mut self, count: u32) {
        for _ in 0..count {
            self.event();
        }
    }

    /// Takes the cockpit away: nothing is said, samples that waited are written.
    pub fn kill(&mut self) {
        self.engine = None;
    }

    pub fn store(&self) -> Store {
        Store::open(self.dir.path()).unwrap()
    }

    pub fn recording(&self) -> Recording {
        Recording::open(self.store().read_run(&self.id).unwrap(), plan()).unwrap()
    }

    fn open(&mut self, first: bool) {
        let holder = Holder::this_process("test", "2026-11-24T02:14:00Z".parse().unwrap());
        let store = self.store();
        let (journal, opening) = if first {
            let created_at = "2026-11-24T02:14:00Z".parse().unwrap();
            let (title, labels) = (self.plan.title.clone(), BTreeMap::new());
            let new = NewRun { created_at, title, runbook: RUNBOOK.as_bytes().to_vec(), labels };
            (store.create_run(&self.id, &new, &holder).unwrap(), Opening::New { mode: Mode::Lab, facts: Vec::new() })
        } else {
            let journal = store.open_run(&self.id, &holder).unwrap();
            let reader = store.read_run(&self.id).unwrap();
            let head = reader.head().unwrap();
            let facts = facts_of(&reader.tail(head.seq).unwrap()).unwrap();
            let away = self.clock.now().since(facts.last().unwrap().at);
            (journal, Opening::Resumed { facts, head: Some(head.hash), away })
        };
        let epoch = journal.epoch();
        let (recorder, written) = Inline::over(Box::new(journal));
        let (answers, notices) = mpsc::unbounded_channel();
        self.disk = Some(Disk { written, answers });
        let world = Told { asked: Arc::clone(&self.asked) };
        let engine =
            Engine::open(Arc::clone(&self.plan), me(), epoch, opening, world, (recorder, notices), self.clock.clone())
                .unwrap();
        self.engine = Some(engine);
        self.settle();
    }

    fn engine(&mut self) -> &mut Engine<Told> {
        self.engine.as_mut().unwrap()
    }

    /// Lets the engine come to rest and keeps what it shows. The disk may be slow: then readings come too late for the
    /// decision that is on its way to it, some of them within its millisecond.
    fn settle(&mut self) {
        self.engine().settle();
        while self.engine().is_recording() {
            while self.rng.random_range(0..3) > 0 {
                // Its answer comes within the millisecond of the last of them: no record says when it came. Where every
                // moment is kept, it comes at once.
                let passes = self.rng.random_range(0..if self.thorough { 1 } else { 2 });
                self.hand.advance(Span(passes));
                let reading = self.reading();
                self.engine().deliver(WorldEvent::Reading(reading));
            }
            assert!(self.disk.as_mut().unwrap().answer(), "a decision is on its way to nowhere");
            self.engine().settle();
        }
        self.look();
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        for asked in asked {
            match asked {
                Asked::Start(key) => {
                    let ends = self.hand.now().plus(Span(self.rng.random_range(0..4_000)));
                    self.jobs.push((key, ends));
                }
                Asked::Stop(key) => {
                    if let Some(job) = self.jobs.iter_mut().find(|(job, _)| *job == key) {
                        job.1 = At(0);
                    }
                }
                Asked::Adopt(key) => {
                    let running = self.jobs.iter().any(|(job, _)| *job == key);
                    let adoption = match self.rng.random_range(0..4) {
                        _ if running => Adoption::Running,
                        0 => Adoption::Untraceable,
                        1 => Adoption::NeverStarted,
                        _ => {
                            let outcome = Outcome::Succeeded { summary: "exit 0".to_owned() };
                            Adoption::Ended { outcome, took: Span(9) }
                        }
                    };
                    self.deliver(WorldEvent::Adopted { key, adoption });
                }
            }
        }
    }

    fn look(&mut self) {
        let engine = self.engine.as_ref().unwrap();
        let Some(seq) = engine.log().back().map(|recorded| recorded.seq) else { return };
        if self.thorough {
            let (screen, other) = (shown(engine, None), shown(engine, Some(&"copy".into())));
            self.shown.at_facts.entry(seq).or_insert_with(|| screen.clone());
            self.shown.at_times.insert(engine.now(), (screen, other));
        } else {
            self.shown.at_facts.entry(seq).or_insert_with(|| shown(engine, None));
        }
    }

    fn deliver(&mut self, event: WorldEvent) {
        self.engine().deliver(event);
        self.settle();
    }

    fn reading(&mut self) -> Reading {
        let at = self.hand.now();
        let names = ["lag", "latency", "seen", "p", "p"];
        let probe = names[self.rng.random_range(0..names.len())];
        let late = Span(self.rng.random_range(0..300));
        let measured = At(at.0 - i64::try_from(late.0).unwrap());
        let x = f64::from(self.rng.random_range(0..1_000_000_u32)) / 7_919.0;
        let well = self.rng.random_range(0..20) > 0;
        let value = match probe {
            "lag" => lag(if well { x / 1_000.0 } else { x }),
            "latency" => latency(x, x / 3.0),
            "seen" => {
                self.counted.1 += i64::from(!well);
                Value::map([("failed", Value::Int(self.counted.1)), ("longest_pause_ms", Value::Float(x))])
            }
            _ => {
                let reset = self.rng.random_range(0..60) == 0;
                self.counted.0 = if reset { 0 } else { self.counted.0 + self.rng.random_range(0..4) };
                Value::map([("n", Value::Int(self.counted.0)), ("ok", Value::Bool(well))])
            }
        };
        let fails = self.rng.random_range(0..40) == 0;
        let result = if fails { Err(Failure::new("connection refused by 127.0.0.1:1")) } else { Ok(value) };
        self.server += u64::from(self.rng.random_range(0..400) == 0);
        let mut servers = Servers::new();
        if probe == "lag" {
            servers.insert("old".into(), ServerIdentity::new([("started", Some(self.server.to_string()))]));
        }
        Reading { probe: probe.into(), at: measured, took: late, as_of: None, result, servers, moves: Moves::default() }
    }

    fn event(&mut self) {
        let pause = match self.rng.random_range(0..60) {
            0 => self.rng.random_range(0..20_000),
            1..30 => 0,
            _ => self.rng.random_range(0..400),
        };
        self.hand.advance(Span(pause));
        self.settle();
        let due = self.jobs.iter().position(|(_, ends)| *ends <= self.hand.now());
        match self.rng.random_range(0..100) {
            0..70 => {
                let reading = self.reading();
                self.deliver(WorldEvent::Reading(reading));
            }
            70..72 => {
                self.hand.advance(Span(self.rng.random_range(0..30_000)));
                let readings: Vec<Reading> = (0..3).map(|_| self.reading()).collect();
                self.engine().pass_quiet_time(&readings);
                self.settle();
            }
            72..80 if !self.jobs.is_empty() => self.print(),
            80..90 if due.is_some() => {
                let (key, _) = self.jobs.remove(due.unwrap());
                let outcome = match self.rng.random_range(0..10) {
                    0 => Outcome::Failed { what: "exit 1".to_owned() },
                    1 => Outcome::Unknown { why: "the connection broke".to_owned() },
                    _ => Outcome::Succeeded { summary: "exit 0".to_owned() },
                };
                self.deliver(WorldEvent::Ended { key, outcome, took: Span(7) });
            }
            90 if self.rng.random_range(0..4) == 0 => {
                let by = if self.rng.random_bool(0.5) { 5_000 } else { -5_000 };
                self.hand.set_wall_clock_by(by);
                self.settle();
            }
            91..100 => self.wish(),
            _ => {}
        }
    }

    fn print(&mut self) {
        let key = self.jobs[0].0.clone();
        let many = if self.rng.random_range(0..10) == 0 { 1_500 } else { 3 };
        for _ in 0..many {
            self.lines += 1;
            let stream = if self.rng.random_bool(0.8) { Stream::Out } else { Stream::Err };
            let line = format!("line {} of the output", self.lines);
            self.engine().deliver(WorldEvent::Output { key: key.clone(), stream, line });
        }
        if self.rng.random_range(0..10) == 0 {
            self.engine().deliver(WorldEvent::OutputDropped { key, lines: 41 });
        }
        self.settle();
    }

    /// The operator wants something, sensible or not.
    fn wish(&mut self) {
        let at = self.rng.random_range(0..self.plan.steps.len());
        let plan = Arc::clone(&self.plan);
        let reason = || "as the runbook says".to_owned();
        // Mostly the step where something is to be done.
        let open = plan.steps.iter().find(|step| !self.engine.as_ref().unwrap().run().is_settled(&step.id));
        let step = if self.rng.random_range(0..5) > 0 { open.unwrap_or(&plan.steps[at]) } else { &plan.steps[at] };
        let id = step.id.clone();
        let roll = self.rng.random_range(0..10);
        let engine = self.engine();
        let strangers = engine.board().strangers(engine.run());
        let state = step_state(&plan, engine.run(), engine.board(), engine.now(), step);
        let command = match state {
            _ if !strangers.is_empty() && roll < 5 => Command::AcceptServers { seen: strangers, reason: reason() },
            StepState::InDoubt => {
                let finding = [Finding::Happened, Finding::DidNotHappen, Finding::HalfHappened][roll % 3];
                let seen = picture(&plan, engine.run(), engine.board(), engine.now(), step);
                Command::Resolve { step: id, finding, reason: reason(), seen }
            }
            StepState::Running | StepState::Verifying if roll == 0 => {
                Command::Stop(confirmation(engine, step, stop_word(engine.run(), step)))
            }
            StepState::Running => {
                let item = u16::try_from(roll % 2).unwrap();
                Command::Acknowledge { step: id, item }
            }
            StepState::Failed if roll < 3 => Command::VerifyAgain { step: id },
            StepState::Failed | StepState::Done if roll < 6 => {
                Command::Undo(confirmation(engine, step, undo_word(step)))
            }
            StepState::Gated if roll < 3 => {
                Command::Override { confirmation: confirmation(engine, step, word(step)), reason: reason() }
            }
            _ if roll == 9 && id.as_str() == "unwanted" => Command::Skip { step: id, reason: reason() },
            _ if roll == 8 => Command::Note { text: "somebody said something".to_owned() },
            _ => Command::Confirm(confirmation(engine, step, word(step))),
        };
        self.engine().command(command);
        self.settle();
    }

    /// Gives the run up, once nothing runs.
    fn finish(&mut self) {
        for _ in 0..200 {
            self.hand.advance(Span(1_000));
            self.settle();
            while let Some((key, _)) = self.jobs.pop() {
                let outcome = Outcome::Succeeded { summary: "exit 0".to_owned() };
                self.deliver(WorldEvent::Ended { key, outcome, took: Span(7) });
            }
            let running = self
                .engine()
                .run()
                .touched()
                .find_map(|(id, step)| matches!(step.phase, StepProgress::Running(_)).then(|| id.clone()));
            let reason = "this is only a story".to_owned();
            let end = Command::End { how: Ending::Abandoned { reason } };
            let plan = Arc::clone(&self.plan);
            let engine = self.engine();
            let stop = |step: &Step| Command::Stop(confirmation(engine, step, stop_word(engine.run(), step)));
            let command = running.and_then(|id| plan.step(&id).map(stop)).unwrap_or(end);
            engine.command(command);
            self.settle();
            if self.engine().run().ended.is_some() {
                self.engine().leave("the run is over");
                self.settle();
                return;
            }
        }
        panic!("the story has no end");
    }
}

fn confirmation(engine: &Engine<Told>, step: &Step, word: &str) -> Confirmation {
    let now = engine.now();
    Confirmation {
        step: step.id.clone(),
        typed: word.to_owned(),
        second: None,
        seen: picture(engine.plan(), engine.run(), engine.board(), now, step),
        shown: Span(1_000),
    }
}

fn lag(seconds: f64) -> Value {
    let bytes = Value::Int(224);
    Value::map([
        ("state", Value::from("streaming")),
        ("streaming", Value::Bool(true)),
        ("seconds", Value::Float(seconds)),
        ("bytes", bytes.clone()),
        ("slot_bytes", bytes),
        ("tables", Value::Int(5)),
        ("tables_ready", Value::Int(5)),
        ("oldest_transaction_s", Value::Float(seconds / 2.0)),
    ])
}

fn latency(old: f64, new: f64) -> Value {
    let side = |ms: f64| {
        Value::map([
            ("last", Value::Float(ms)),
            ("p50", Value::Float(ms)),
            ("p95", Value::Float(ms * 1.5)),
            ("errors", Value::Float(0.0)),
            ("samples", Value::Int(60)),
        ])
    };
    Value::map([("old", side(old)), ("new", side(new))])
}

/// The kinds of facts in a recording.
pub fn kinds(recording: &Recording) -> std::collections::BTreeSet<&'static str> {
    recording.facts().iter().map(|recorded| recorded.fact.kind()).collect()
}

/// Whether some fact is about a section going back.
pub fn goes_back(fact: &Fact) -> bool {
    matches!(fact, Fact::JobStarted { key } if key.direction == Direction::Revert)
}
