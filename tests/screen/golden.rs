//! Golden screens: what the operator sees, in colour and without, at three sizes.
//!
//! Each golden holds the characters and, below them, the style of every run of cells, so that a lost colour or a
//! lost weight is a difference, too. `INSTA_UPDATE=always cargo test --test screen golden` writes new ones: look at them.

use std::fmt::Write as _;
use std::sync::Arc;

use gonogo::core::board::Board;
use gonogo::core::durations::{Durations, Typical};
use gonogo::core::evidence::{Assessment, Baselines, Evidence, Term, Verdict};
use gonogo::core::fact::{Fact, Mode, Recorded};
use gonogo::core::ids::{Attempt, StepId, Who};
use gonogo::core::input::Picture;
use gonogo::core::job::{Direction, JobKey, Outcome};
use gonogo::core::moves::Moves;
use gonogo::core::plan::{Plan, Step, Window};
use gonogo::core::reading::{Failure, Reading};
use gonogo::core::server::Servers;
use gonogo::core::state::Run;
use gonogo::core::status::picture;
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::run_view::{RunView, ViewEvent};
use gonogo::runbook::{Options, load_str};
use gonogo::screen::{Ask, LocalRefusal, Overlay, Prompt, Screen, SessionStatus, UiState, ViewContext, project};
use gonogo::ui::theme::{Glyphs, Palette, Theme};
use gonogo::ui::view;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Style;

/// 2026-11-24 02:00:00 UTC.
const START: At = At(1_795_485_600_000);
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];
const RGB: Theme = Theme { palette: Palette::Rgb, glyphs: Glyphs::Unicode };
const MONO: Theme = Theme { palette: Palette::None, glyphs: Glyphs::Unicode };
const ASCII: Theme = Theme { palette: Palette::None, glyphs: Glyphs::Ascii };

fn plan() -> Plan {
    let options = Options { profile: Some("lab".to_owned()), set: Vec::new() };
    load_str("runbook.yaml", include_str!("../../runbook.yaml"), &options).expect("the bundled runbook is good").plan
}

/// A run that can be told fact by fact and reading by reading.
struct Story {
    view: RunView,
    ui: UiState,
    now: At,
}

impl Story {
    fn new(mode: Mode) -> Self {
        Self::of(plan(), mode)
    }

    fn of(plan: Plan, mode: Mode) -> Self {
        let board = Board::new(&plan, START);
        let view = RunView::new(Arc::new(plan), Run::default(), &[], board);
        let mut story = Self { view, ui: UiState::default(), now: START };
        let (title, plan) = (story.plan().title.clone(), story.plan().digest.clone());
        let profile = story.plan().profile.clone();
        let version = "0.0.0".to_owned();
        story.tell(Fact::RunOpened { mode, title, profile, plan, by: who(), version });
        story.tell(Fact::DriverArrived { by: who(), epoch: 1, away: Span::ZERO });
        story
    }

    fn plan(&self) -> &Plan {
        self.view.plan()
    }

    fn tell(&mut self, fact: Fact) {
        let recorded = Recorded { seq: self.view.seq() + 1, at: self.now, fact };
        self.view.update(self.now, ViewEvent::Fact(recorded));
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now.plus(Span(ms));
        self.view.update(self.now, ViewEvent::Time);
    }

    fn read(&mut self, probe: &str, result: Result<Value, Failure>) {
        let reading = Reading {
            probe: probe.into(),
            at: self.now,
            took: Span(4),
            as_of: None,
            result,
            servers: Servers::new(),
            moves: Moves::default(),
        };
        self.view.update(self.now, ViewEvent::Reading(&reading));
    }

    fn picture(&self, step: &Step) -> Picture {
        picture(self.view.plan(), self.view.run(), self.view.board(), self.now, step)
    }

    /// Everything is well for some seconds.
    fn calm(&mut self, seconds: u64) {
        for second in 0..seconds * 2 {
            let wave = f64::from(u32::try_from(second % 5).unwrap());
            self.read("lag", Ok(lag(0.004 + wave / 1_000.0)));
            self.read("way_back", Ok(waiting()));
            self.read("dns_app", Ok(dns("old")));
            self.read("latency", Ok(latency(30.0 + wave, 31.0 + wave / 2.0)));
            self.read("customers", Ok(customers(0, 41)));
            self.read("missing", Ok(json(r#"{"acknowledged": 812, "missing_in_new": 0, "missing_in_old": 0}"#)));
            self.wait(500);
        }
    }

    fn done(&mut self, steps: usize) {
        let ids: Vec<StepId> = self.plan().steps.iter().take(steps).map(|step| step.id.clone()).collect();
        for step in ids {
            let (attempt, evidence) = (Attempt(1), Vec::new());
            let preview = String::new();
            let typed = "go".to_owned();
            let overridden = None;
            self.tell(Fact::StepStarted {
                step: step.clone(),
                attempt,
                by: who(),
                second: None,
                typed,
                evidence,
                overridden,
                preview,
                baselines: Baselines::new(),
            });
            self.wait(1_200);
            self.tell(Fact::StepDone { step, attempt, evidence: Vec::new(), guards: Vec::new() });
        }
    }

    fn started(&mut self, step: &str, job: u16) {
        let attempt = Attempt(1);
        let evidence = vec![evidence("replication under a second behind")];
        self.tell(Fact::StepStarted {
            step: step.into(),
            attempt,
            by: who(),
            second: None,
            typed: "go".to_owned(),
            evidence,
            overridden: None,
            preview: String::new(),
            baselines: self.view.board().baselines(
                self.plan(),
                self.now,
                self.plan().step(&step.into()).unwrap(),
                false,
            ),
        });
        for job in 0..=job {
            let key = key(step, job);
            if job > 0 {
                let before = JobKey { job: job - 1, ..key.clone() };
                let outcome = Outcome::Succeeded { summary: "2 statements".to_owned() };
                self.tell(Fact::JobEnded { key: before, outcome, took: Span(7) });
            }
            self.tell(Fact::JobStarted { key });
            self.wait(40);
        }
    }

    fn draw(&mut self, (cols, rows): (u16, u16), theme: Theme) -> Buffer {
        self.ui.list_rows = view::list_rows(cols, rows);
        let screen = self.screen();
        let mut terminal = Terminal::new(TestBackend::new(cols, rows)).unwrap();
        terminal.draw(|frame| _ = view::draw(frame, &screen, theme)).unwrap();
        terminal.backend().buffer().clone()
    }

    fn screen(&self) -> Screen {
        let who = who();
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(-5));
        let context = ViewContext::new(&self.view, SessionStatus::new(&who, self.now), &self.ui, "7f3a", zone);
        let screen = project(&context);
        assert_eq!(screen, project(&context), "equal contexts give equal screens");
        screen
    }
}

fn who() -> Who {
    Who("ana@bastion".to_owned())
}

fn key(step: &str, job: u16) -> JobKey {
    JobKey { step: step.into(), direction: Direction::Do, attempt: Attempt(1), job }
}

fn evidence(name: &str) -> Evidence {
    let term = Term {
        text: "x".to_owned(),
        verdict: Verdict::Go,
        actual: "x = 1".to_owned(),
        why: None,
        age: Some(Span(300)),
    };
    let assessment = Assessment { verdict: Verdict::Go, terms: vec![term] };
    Evidence { name: name.to_owned(), rule: "x".to_owned(), assessment, held: Some(Span(5_000)), needed: Span(5_000) }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn lag(seconds: f64) -> Value {
    let mut value = json(
        r#"{"state": "streaming", "streaming": true, "bytes": 224, "slot_active": true, "wal_status": "reserved",
            "retained_bytes": 49152, "tables": 6, "tables_ready": 6, "apply_errors": 0, "oldest_transaction_s": 0.2}"#,
    );
    value.put("seconds", Value::Float(seconds));
    value
}

/// A subscription that does not follow yet.
fn waiting() -> Value {
    json(
        r#"{"state": "disabled", "streaming": false, "bytes": 56, "seconds": null, "slot_active": false,
            "wal_status": "reserved", "retained_bytes": 4096, "tables": 6, "tables_ready": 6, "apply_errors": 0,
            "oldest_transaction_s": 0.1}"#,
    )
}

fn dns(state: &str) -> Value {
    let (old, new) = if state == "old" { (3, 0) } else { (0, 3) };
    let resolver = |name: &str, ttl: u32| {
        format!(r#"{{"name": "{name}", "state": "{state}", "fresh": false, "ttl": {ttl}, "values": "127.0.10.1"}}"#)
    };
    json(&format!(
        r#"{{"authoritative": [{{"server": "127.0.0.1:5300", "state": "{state}", "values": "127.0.10.1", "ttl": 4,
            "serial": 7}}], "resolvers": [{}, {}, {}], "authoritative_new": false, "authoritative_old": true, "aaaa_left_behind": false, "ttl": 4,
            "old": {old}, "new": {new}, "unclear": 0, "total": 3, "max_ttl": 4}}"#,
        resolver("resolver-a", 3),
        resolver("resolver-b", 1),
        resolver("resolver-c", 4)
    ))
}

fn latency(old: f64, new: f64) -> Value {
    let side = |p50: f64| {
        format!(
            r#"{{"p50": {p50:.1}, "p95": {:.1}, "p99": {:.1}, "last": {p50:.1}, "errors": 0.0, "samples": 120,
               "status": 200, "failure": ""}}"#,
            p50 * 1.4,
            p50 * 2.1
        )
    };
    json(&format!(r#"{{"old": {}, "new": {}}}"#, side(old), side(new)))
}

fn customers(failed: u32, worst: u32) -> Value {
    json(&format!(
        r#"{{"requests": 1620, "acknowledged": 812, "failed": {failed}, "longest_pause_ms": {worst}, "old_web": 200,
            "new_web": 0}}"#
    ))
}

/// The characters, then the style of every run of cells that is not plain.
fn dump(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut text = String::new();
    for row in 0..area.height {
        let line: String = (0..area.width).map(|col| buffer[(col, row)].symbol()).collect();
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    text.push('\n');
    for row in 0..area.height {
        let mut col = 0;
        while col < area.width {
            let style = buffer[(col, row)].style();
            let from = col;
            while col < area.width && buffer[(col, row)].style() == style {
                col += 1;
            }
            let plain = Style::reset().fg(ratatui::style::Color::Reset).bg(ratatui::style::Color::Reset);
            if style != plain && style != Style::default() && (style.fg != plain.fg || !style.add_modifier.is_empty()) {
                writeln!(text, "{row}:{from}-{} {:?} {:?}", col - 1, style.fg.unwrap_or_default(), style.add_modifier)
                    .unwrap();
            }
        }
    }
    text
}

fn golden(name: &str, story: &mut Story) {
    for size in SIZES {
        for (palette, theme) in [("rgb", RGB), ("none", MONO)] {
            let dumped = dump(&story.draw(size, theme));
            insta::assert_snapshot!(format!("{name}_{}x{}_{palette}", size.0, size.1), dumped);
        }
    }
}

#[test]
fn the_first_screen() {
    golden("first", &mut Story::new(Mode::Lab));
}

#[test]
fn a_run_that_is_being_opened_says_what_it_waits_for() {
    let words = |records| {
        let title = "Move the shop to the new provider".to_owned();
        view::OpeningWords { mode: Mode::Live, run: "7f3a".to_owned(), title, records }
    };
    let drawn = |(cols, rows): (u16, u16), records, theme| {
        let mut terminal = Terminal::new(TestBackend::new(cols, rows)).unwrap();
        terminal.draw(|frame| view::opening(frame, &words(records), theme)).unwrap();
        dump(terminal.backend().buffer())
    };
    for size in SIZES {
        for (palette, theme) in [("rgb", RGB), ("none", MONO)] {
            insta::assert_snapshot!(format!("opening_{}x{}_{palette}", size.0, size.1), drawn(size, 200_000, theme));
        }
    }
    assert!(drawn((80, 24), 1, ASCII).contains("Its one record is read and checked."));
}

#[test]
fn a_gated_step_says_what_keeps_it_shut() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(4);
    story.read("lag", Ok(lag(2.4)));
    story.read("customers", Err(Failure::new("connection refused by 127.0.0.1:8081")));
    story.wait(1_000);
    golden("gated", &mut story);
}

/// Rehearsed five times; `secs` is what the middle one took of each step.
fn rehearsed(secs: impl Fn(&Step) -> u64, plan: &Plan) -> Fact {
    let around = |ms: u64| Typical::of([95, 97, 100, 108, 120].map(|percent| Span(ms * percent / 100)).to_vec(), false);
    let steps = plan.steps.iter().map(|step| {
        let ms = secs(step) * 1_000;
        let switches = step.id == "switch-database".into();
        let durations = Durations {
            doing: around(ms),
            undoing: step.undo.as_ref().and_then(|_| around(ms / 2)),
            pausing: switches.then(|| around(4_100)).flatten(),
            ..Durations::default()
        };
        (step.id.clone(), durations)
    });
    let rehearsals = ["7a11", "7a12", "7a13", "7a14", "7a15"].map(str::to_owned).to_vec();
    Fact::DurationsMeasured { rehearsals, steps: steps.collect() }
}

/// Before the switch, with durations from rehearsals, in a window that is so long and with so much of a budget.
fn foreseen(window: Span, write_pause_budget: Option<Span>) -> Story {
    let mut plan = plan();
    plan.window = Some(Window { opens: START, closes: START.plus(window) });
    plan.write_pause_budget = write_pause_budget.or(plan.write_pause_budget);
    let mut story = Story::of(plan, Mode::Live);
    let fact = rehearsed(|step| 100 + 10 * step.number as u64, story.plan());
    story.tell(fact);
    story.done(12);
    story.calm(6);
    story
}

#[test]
fn a_forecast_from_rehearsals() {
    golden("forecast", &mut foreseen(Span::secs(2 * 3_600), None));
}

#[test]
fn a_forecast_that_does_not_fit_is_seen_at_every_size() {
    golden("forecast_late", &mut foreseen(Span::secs(20 * 60), Some(Span::secs(4))));
}

#[test]
fn the_question_before_the_switch() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(10);
    let step = story.plan().step(&"switch-database".into()).unwrap();
    let seen = story.picture(step);
    let ask = Ask::Start { step: "switch-database".into(), seen, reason: None, word: None };
    story.ui.prompt = Some(Prompt { ask, typed: "g".to_owned(), shown: Some(Span::ZERO) });
    golden("question", &mut story);
}

/// Each answer about a step in doubt says what gonogo does next, before it is given.
#[test]
fn what_follows_from_an_answer_stands_beside_it() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(10);
    story.started("switch-database", 2);
    let why = "the cockpit went away while it was under way".to_owned();
    story.tell(Fact::LeftInDoubt { key: key("switch-database", 2), why });
    let step = story.plan().step(&"switch-database".into()).unwrap();
    let seen = story.picture(step);
    let ask = Ask::Doubt { step: "switch-database".into(), seen };
    story.ui.prompt = Some(Prompt { ask, typed: String::new(), shown: Some(Span::ZERO) });
    for size in [(200, 60), (120, 40), (80, 24)] {
        let text = flowing(&story.draw(size, MONO));
        for said in ["WHAT FOLLOWS", "happened: would be refused", "takes it back at once: 1 fence the old database"] {
            assert!(text.contains(said), "{size:?}: {said}:\n{text}");
        }
    }
}

/// Leaving a step out names the steps that rest on it, and what was left out is not counted as done.
#[test]
fn skipping_names_what_needs_the_step_and_is_counted_apart() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(10);
    let then = Box::new(Ask::SkipReason("switch-database".into()));
    let ask = Ask::Word { word: "switch-database".to_owned(), then };
    story.ui.prompt = Some(Prompt { ask, typed: String::new(), shown: Some(Span::ZERO) });
    for size in [(200, 60), (120, 40), (80, 24)] {
        let text = flowing(&story.draw(size, MONO));
        assert!(text.contains("needed by 14"), "{size:?}:\n{text}");
        assert!(text.contains("14 · Point the name at the new environment needs it"), "{size:?}:\n{text}");
    }
    story.ui.prompt = None;
    let reason = "was done by hand before".to_owned();
    story.tell(Fact::StepSkipped { step: "switch-database".into(), by: who(), reason });
    assert_eq!(story.screen().steps.heading, "12 of 22, 1 skipped");
}

/// A section whose members are taken back otherwise than the whole is, and one whose members have no undo.
const SECTIONS: &str = r#"
title: Two sections
targets: { db: { postgres: { dsn: "host=db.example dbname=shop" } } }
probes: { port: { kind: tcp, address: "db.example:5432" } }
phases:
  - title: All
    steps:
      - id: switch
        title: Switch
        reversibility: lossless
        section:
          deadline: 15s
          steps:
            - title: fence
              action: { sql: { target: db, statements: ["FENCE"] } }
              undo: { sql: { target: db, statements: ["OPEN"] } }
            - title: mark
              action: { sql: { target: db, statements: ["MARK"] } }
            - title: drain
              action: { wait: { until: { conditions: [port.open], within: 8s } } }
            - title: point
              action: { command: { run: [./point, new] } }
              undo: { command: { run: [./point, old] } }
      - id: tell
        title: Tell
        reversibility: lossy
        section: { deadline: 5s, steps: [{ title: tell, action: { command: { run: [./tell] } } }] }
"#;

/// What a section takes back by itself is confirmed with it: it is on the sheet of the question, and with `p`.
#[test]
fn what_a_section_does_by_itself_when_it_fails() {
    let plan = load_str("sections", SECTIONS, &Options::default()).unwrap().plan;
    let mut story = Story::of(plan, Mode::Live);
    story.read("port", Ok(json(r#"{"open": true, "ms": 1.5}"#)));
    story.wait(10);
    story.ui.overlay = Some(Overlay::Step);
    golden("fails_whole", &mut story);
    story.ui.overlay = None;
    let step = story.plan().step(&"switch".into()).unwrap();
    let seen = story.picture(step);
    let ask = Ask::Start { step: step.id.clone(), seen, reason: None, word: None };
    story.ui.prompt = Some(Prompt { ask, typed: String::new(), shown: Some(Span::ZERO) });
    golden("fails_asked", &mut story);
    story.ui.prompt = None;
    story.ui.selected = Some("tell".into());
    golden("fails_without_undo", &mut story);
}

#[test]
fn readings_that_were_not_kept_are_told_in_the_header() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(4);
    story.view.update(story.now, ViewEvent::SamplesDropped(120));
    golden("unkept", &mut story);
    for size in [(200, 60), (120, 40), (100, 30), (80, 24)] {
        let text = flowing(&story.draw(size, MONO));
        assert!(text.contains("120 readings not kept"), "{size:?}:\n{text}");
    }
}

#[test]
fn a_section_under_way() {
    let mut story = Story::new(Mode::Lab);
    story.done(12);
    story.calm(10);
    story.started("switch-database", 1);
    golden("section", &mut story);
}

#[test]
fn after_a_failure_one_line_says_what_customers_can_do() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(10);
    story.started("switch-database", 3);
    let step = || StepId::from("switch-database");
    let failed = |reverted| Fact::StepFailed {
        step: step(),
        attempt: Attempt(1),
        why: "the marker did not arrive within 8.0 s".to_owned(),
        reverted,
        evidence: Vec::new(),
        guards: Vec::new(),
    };
    let said = |story: &mut Story, size| rows(&story.draw(size, MONO)).join("\n");
    story.tell(failed(false));
    golden("half_done", &mut story);
    for size in SIZES {
        let text = flowing(&story.draw(size, MONO));
        assert!(text.contains("HALF DONE: 3 of 9 jobs done; nobody can write"), "{size:?}\n{}", said(&mut story, size));
    }
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(10);
    story.started("switch-database", 3);
    let key = JobKey { direction: Direction::Revert, ..key("switch-database", 0) };
    story.tell(Fact::SectionReverting {
        step: step(),
        attempt: Attempt(1),
        why: "the marker did not arrive".to_owned(),
    });
    story.tell(Fact::JobStarted { key: key.clone() });
    story.wait(40);
    story.tell(Fact::JobEnded {
        key,
        outcome: Outcome::Succeeded { summary: "2 statements".to_owned() },
        took: Span(7),
    });
    story.tell(failed(true));
    golden("taken_back", &mut story);
    for size in SIZES {
        let text = flowing(&story.draw(size, MONO));
        assert!(text.contains("TAKEN BACK: customers can write"), "{size:?}\n{}", said(&mut story, size));
    }
}

#[test]
fn a_step_in_doubt() {
    let mut story = Story::new(Mode::Lab);
    story.done(12);
    story.calm(10);
    story.started("switch-database", 0);
    let why = "the cockpit went away while it was under way".to_owned();
    story.tell(Fact::LeftInDoubt { key: key("switch-database", 0), why });
    golden("doubt", &mut story);
}

#[test]
fn a_soak_that_is_not_watched_and_the_question_before_it_is_stopped() {
    let mut story = Story::new(Mode::Live);
    story.done(16);
    story.calm(3);
    story.started("watch", 0);
    story.calm(10);
    story.wait(30_000);
    let step = story.plan().step(&"watch".into()).unwrap().clone();
    let evidence = vec![story.view.board().guard(story.plan(), story.view.run(), story.now, &step.guards[0])];
    let (since, attempt) = (At(story.now.0 - 28_000), Attempt(1));
    story.tell(Fact::SoakInterrupted { step: step.id.clone(), attempt, since, evidence });
    let seen = story.picture(&step);
    let ask = Ask::Stop { step: step.id.clone(), seen };
    story.ui.prompt = Some(Prompt { ask, typed: "st".to_owned(), shown: Some(Span::ZERO) });
    golden("soak", &mut story);
}

#[test]
fn the_way_back() {
    let mut story = Story::new(Mode::Live);
    story.done(15);
    story.calm(3);
    story.ui.overlay = Some(Overlay::WayBack);
    golden("way_back", &mut story);
}

#[test]
fn help() {
    let mut story = Story::new(Mode::Lab);
    story.ui.overlay = Some(Overlay::Help);
    golden("help", &mut story);
}

#[test]
fn old_readings_lose_their_colour_and_then_their_numbers() {
    let mut story = Story::new(Mode::Lab);
    story.calm(3);
    story.wait(3_500);
    let stale = dump(&story.draw((120, 40), MONO));
    assert!(stale.contains("STALE"), "{stale}");
    assert!(stale.contains("224 B"), "a stale number is still shown:\n{stale}");
    story.wait(10_000);
    let gone = dump(&story.draw((120, 40), MONO));
    assert!(gone.contains("NO DATA"), "{gone}");
    assert!(!gone.contains("224 B"), "after five intervals no number is shown:\n{gone}");
}

#[test]
fn without_colour_every_state_and_verdict_is_still_a_word_of_its_own() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(4);
    story.read("lag", Ok(lag(2.4)));
    story.wait(6_000);
    for theme in [MONO, ASCII] {
        let dumped = dump(&story.draw((120, 40), theme));
        for word in ["LIVE", "done", "gated", "waiting", "UNKNOWN"] {
            assert!(dumped.contains(word), "{word} is missing:\n{dumped}");
        }
        assert!(!dumped.contains("Rgb"), "a colour in the palette without colours:\n{dumped}");
    }
}

#[test]
fn an_ascii_terminal_gets_ascii_only() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(10);
    let buffer = story.draw((120, 40), ASCII);
    let foreign: Vec<&str> =
        buffer.content.iter().map(ratatui::buffer::Cell::symbol).filter(|text| !text.is_ascii()).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[test]
fn the_mode_and_the_pause_are_on_screen_at_every_size() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    for (cols, rows) in [(200, 60), (120, 40), (100, 30), (80, 24), (60, 16), (59, 15), (40, 10)] {
        let dumped = dump(&story.draw((cols, rows), MONO));
        assert!(dumped.contains("LIVE"), "{cols}×{rows}:\n{dumped}");
        assert!(dumped.contains("7f3a"), "{cols}×{rows}:\n{dumped}");
        assert!(dumped.contains("write pause"), "{cols}×{rows}:\n{dumped}");
    }
}

/// Everything on screen as one text, so that a sentence is found over the end of a line.
fn flowing(buffer: &Buffer) -> String {
    let text = rows(buffer).iter().map(|row| row.trim()).collect::<Vec<_>>().join(" ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Rows of the screen.
fn rows(buffer: &Buffer) -> Vec<String> {
    (0..buffer.area.height)
        .map(|row| (0..buffer.area.width).map(|col| buffer[(col, row)].symbol()).collect::<String>())
        .collect()
}

#[test]
fn a_refusal_can_be_read_whole_at_every_size() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(4);
    story.read("lag", Ok(lag(2.4)));
    story.read("customers", Err(Failure::new("connection refused by [2001:db8:85a3::8a2e:370:7334]:65535")));
    let why = "\"switch-database\" is gated: \"replication under a second behind\" NO-GO (lag.seconds < 1.0 but \
               lag.seconds = 2.4 s); \"customers are served\" UNKNOWN (connection refused by \
               [2001:db8:85a3::8a2e:370:7334]:65535)";
    story.ui.refused = Some(LocalRefusal { command: None, why: why.to_owned() });
    for size in [(200, 60), (120, 40), (80, 24), (60, 16)] {
        let buffer = story.draw(size, MONO);
        let text = flowing(&buffer);
        assert!(text.contains(&format!("refused: {why}")), "{size:?}:\n{text}");
        let footer = rows(&buffer).last().unwrap().clone();
        assert!(footer.contains("? help") && footer.contains("q leave"), "{size:?}: {footer}");
    }
}

#[test]
fn the_board_and_the_panes_cut_no_value_and_no_address() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(4);
    story.read("lag", Ok(lag(2.4)));
    let address = "[2001:db8:85a3::8a2e:370:7334]:65535";
    story.read("customers", Err(Failure::new(format!("no route to {address}"))));
    story.ui.focus = gonogo::screen::Focus::Detail;
    for size in [(200, 60), (120, 40), (80, 60)] {
        let text = flowing(&story.draw(size, MONO));
        for value in ["seconds = 2.4 s", "oldest_transaction_s = 0.200 s", "wal_status = \"reserved\""] {
            assert!(text.contains(value), "{size:?}: {value}:\n{text}");
        }
        let row = rows(&story.draw(size, MONO));
        assert!(row.iter().any(|row| row.contains(address)), "{size:?}:\n{}", row.join("\n"));
    }
    let row = rows(&story.draw((120, 40), MONO));
    for resolver in ["resolver-a", "resolver-b", "resolver-c"] {
        assert!(row.iter().any(|row| row.contains(resolver) && row.contains("127.0.10.1")), "{}", row.join("\n"));
    }
}

#[test]
fn what_is_confirmed_is_on_screen_while_it_is_confirmed() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(10);
    let step = story.plan().step(&"switch-database".into()).unwrap();
    let seen = story.picture(step);
    let id = step.id.clone();
    for (ask, said) in [
        (Ask::Start { step: id.clone(), seen: seen.clone(), reason: None, word: None }, "fence the old database"),
        (Ask::Undo { step: id, seen }, "see that the way back runs"),
    ] {
        story.ui.prompt = Some(Prompt { ask, typed: String::new(), shown: Some(Span::ZERO) });
        for size in [(200, 60), (120, 40), (80, 24)] {
            let text = flowing(&story.draw(size, MONO));
            assert!(text.contains(said), "{size:?}:\n{text}");
        }
    }
}

#[test]
fn the_header_says_at_every_size_what_must_be_known() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(4);
    for size in [(200, 60), (120, 40), (100, 30), (80, 24)] {
        let text = flowing(&story.draw(size, MONO));
        for part in [
            "T+0:00:18",
            "21:00:18 -05 / 02:00:18 UTC",
            "forecast end in",
            "update due in",
            "write pause 0.00 s of 10 s",
            "rollback now: free, about 15 s, 5 steps",
            "customers: 0 failed, 41 ms worst · <1 s",
        ] {
            assert!(text.contains(part), "{size:?}: {part}:\n{text}");
        }
    }
    story.wait(2_500);
    let text = flowing(&story.draw((80, 24), MONO));
    assert!(text.contains("41 ms worst STALE · 3 s"), "{text}");
    story.wait(6_000);
    let text = flowing(&story.draw((80, 24), MONO));
    assert!(text.contains("customers: no reading") && !text.contains("41 ms"), "{text}");
}

#[test]
fn the_last_figures_of_the_customers_say_as_of_when() {
    let mut story = Story::new(Mode::Live);
    story.calm(3);
    let (at, seen) = (story.now, customers(0, 41));
    story.wait(90_000);
    let how = gonogo::core::fact::Ending::Completed;
    story.tell(Fact::RunEnded { by: who(), how, customers: Some(seen), customers_at: Some(at) });
    let text = flowing(&story.draw((120, 40), MONO));
    assert!(text.contains("41 ms worst as of 02:00:03 UTC"), "{text}");
}

#[test]
fn numbers_older_than_a_failure_have_an_age_of_their_own() {
    let mut story = Story::new(Mode::Lab);
    story.calm(3);
    story.wait(1_000);
    story.read("lag", Err(Failure::new("connection refused")));
    story.wait(1_000);
    let text = flowing(&story.draw((200, 60), MONO));
    assert!(text.contains("FAILING for 1 s, read 2 s ago"), "{text}");
}

/// Sixty resolvers in every state, named by what they are.
fn sixty() -> Value {
    let resolver = |number: usize| {
        let (state, ttl, eta) = match number % 6 {
            0 => ("old", (number * 5).to_string(), (number * 5).to_string()),
            1 | 2 => ("new", "30".to_owned(), "0".to_owned()),
            3 => ("mixed", "12".to_owned(), "12".to_owned()),
            4 if number < 10 => ("stale", "null".to_owned(), "null".to_owned()),
            4 => ("timeout", "null".to_owned(), "null".to_owned()),
            _ => ("servfail", "null".to_owned(), "null".to_owned()),
        };
        let flips = if state == "mixed" { r#""flips": 4, "flipped": 65"# } else { r#""flips": 0, "flipped": null"# };
        let note = if state == "stale" { "EDE 3 (stale answer)" } else { "" };
        format!(
            r#"{{"name": "r{number:02}", "state": "{state}", "ttl": {ttl}, "eta": {eta}, {flips},
                "values": "127.0.10.1", "note": "{note}"}}"#
        )
    };
    let resolvers: Vec<String> = (0..60).map(resolver).collect();
    json(&format!(
        r#"{{"authoritative": [{{"server": "127.0.0.1:5300", "state": "new", "values": "127.0.10.2", "aaaa": "", "ttl": 4}},
                {{"server": "127.0.0.2:5300", "state": "timeout", "values": "", "aaaa": "", "ttl": null, "note": "no answer"}}],
            "resolvers": [{}], "authoritative_new": null, "authoritative_old": false, "aaaa_left_behind": false, "ttl": null,
            "old": null, "new": 20, "unclear": 19, "total": 60, "max_ttl": null, "eta": null}}"#,
        resolvers.join(", ")
    ))
}

#[test]
fn sixty_resolvers_are_counts_on_a_small_screen_and_all_of_them_when_zoomed() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(4);
    story.read("dns_app", Ok(sixty()));
    golden("sixty", &mut story);
    let shown = dump(&story.draw((80, 24), RGB));
    assert!(shown.contains("old 21 · new 20 · ? 19"), "{shown}");
    let shown = dump(&story.draw((120, 40), RGB));
    assert!(shown.contains("r04") && shown.contains("more"), "the worst first, and how many are not shown: {shown}");
    let pane = story.screen().panes.iter().position(|pane| pane.probe == "dns_app".into()).unwrap();
    story.ui.overlay = Some(Overlay::Pane(pane));
    golden("sixty-zoomed", &mut story);
    let mut seen = String::new();
    for scroll in (0..64).step_by(10) {
        story.ui.overlay_scroll = scroll;
        seen.push_str(&dump(&story.draw((80, 24), RGB)));
    }
    for number in 0..60 {
        assert!(seen.contains(&format!("r{number:02} ")), "r{number:02} can be reached");
    }
}

#[test]
fn a_line_that_has_no_room_as_a_whole_still_shows_how_it_begins() {
    let mut story = Story::new(Mode::Live);
    story.done(12);
    story.calm(4);
    let why = "p95 is 19.4 to 20.6 times that of the baseline of 300 requests from 2026-11-20 02:00 UTC, and 1.2 is allowed; ";
    let judged = format!(
        r#"{{"p50": 802.0, "p95": 803.0, "p99": 803.0, "last": 802.0, "errors": 0.0, "samples": 50, "status": 200, "failure": "",
            "verdict": "FAIL", "why": "{}"}}"#,
        why.repeat(3)
    );
    story.read("latency", Ok(json(&format!(r#"{{"new": {judged}, "old": {judged}}}"#))));
    let shown = dump(&story.draw((120, 40), RGB));
    assert!(shown.contains("FAIL") && shown.contains("… 2 more"), "{shown}");
    // The rows of both sides come first, and above what is said of either.
    let pane = story.screen().panes.iter().position(|pane| pane.probe == "latency".into()).unwrap();
    story.ui.overlay = Some(Overlay::Pane(pane));
    for (shown, size) in [(shown, (120, 40)), (dump(&story.draw((80, 24), RGB)), (80, 24))] {
        let at = |text: &str| shown.find(text).unwrap_or_else(|| panic!("{size:?} {text}: {shown}"));
        let [old, new] = ["old", "new"].map(|side| at(&format!("{side}   802   803   803")));
        assert!(old.max(new) < at("FAIL"), "{size:?}: {shown}");
    }
}

#[test]
fn no_size_panics() {
    let mut story = Story::new(Mode::Lab);
    story.done(12);
    story.calm(3);
    story.started("switch-database", 2);
    for overlay in [
        None,
        Some(Overlay::Help),
        Some(Overlay::WayBack),
        Some(Overlay::Pane(1)),
        Some(Overlay::Step),
        Some(Overlay::Log),
    ] {
        story.ui.overlay = overlay;
        for cols in [1, 2, 3, 7, 20, 37, 59, 60, 61, 79, 80, 99, 100, 101, 160, 200, 300] {
            for rows in [1, 2, 3, 5, 9, 15, 16, 17, 23, 24, 29, 30, 31, 36, 45, 55, 60, 100] {
                story.draw((cols, rows), RGB);
            }
        }
    }
}

/// Two sides that are asked several things, one of them with a failure and judged against a baseline.
const PROFILED: &str = r#"
title: Move the shop
targets:
  old_web: { http: { url: "https://app.example.com", connect: "192.0.2.10:443" } }
  new_web: { http: { url: "https://app.example.com", connect: "198.51.100.10:443" } }
probes:
  latency:
    kind: http
    title: "Latency old · new"
    sides: { old: old_web, new: new_web }
    requests:
      home: { path: /, weight: 3 }
      pay: { path: /pay }
phases:
  - title: Compare
    steps:
      - id: fast-enough
        title: See that the new environment is fast enough
        gates: [{ that: latency.new.pay.errors == 0.0, hold: 5s }]
        action: { manual: [it is] }
        reversibility: free
"#;

#[test]
fn the_requests_of_a_profile_have_rows_of_their_own() {
    let plan = load_str("runbook.yaml", PROFILED, &Options::default()).unwrap().plan;
    let mut story = Story::of(plan, Mode::Live);
    let request = |p50: f64, errors: f64, failure: &str| {
        format!(
            r#"{{"p50": {p50}, "p95": {}, "p99": {}, "last": {p50}, "errors": {errors}, "samples": 120, "status": 200,
                "failure": "{failure}", "common_failure": ""}}"#,
            p50 * 1.4,
            p50 * 2.1
        )
    };
    for _ in 0..4 {
        let [old, new] = [[30.0, 80.0], [31.0, 410.0]].map(|[home, pay]| {
            let failure = if pay > 400.0 { "new_web answers 503" } else { "" };
            let errors = if failure.is_empty() { 0.0 } else { 0.25 };
            format!(r#"{{"home": {}, "pay": {}}}"#, request(home, 0.0, ""), request(pay, errors, failure))
        });
        story.read("latency", Ok(json(&format!(r#"{{"old": {old}, "new": {new}}}"#))));
        story.wait(500);
    }
    golden("profile", &mut story);
    let pane = story.screen().panes.iter().position(|pane| pane.probe == "latency".into()).unwrap();
    story.ui.overlay = Some(Overlay::Pane(pane));
    let shown = dump(&story.draw((80, 24), RGB));
    for row in ["old home", "old pay", "new home", "new pay"] {
        assert!(shown.lines().any(|line| line.contains(row) && line.contains("120")), "{row}: {shown}");
    }
}

/// Latency of two sides against a baseline: the new one becomes slower, fails for a while and comes back, while steps are done.
fn slower_and_out() -> Story {
    let mut story = Story::new(Mode::Rehearsal);
    story.calm(30);
    let side = |last: Option<f64>, errors: f64| {
        let last = last.map_or_else(|| "null".to_owned(), |last| format!("{last:.1}"));
        let failure = if last == "null" { "connection refused by new (192.0.2.20:443)" } else { "" };
        format!(
            r#"{{"p50": 31.0, "p95": 44.0, "p99": 61.0, "last": {last}, "errors": {errors}, "samples": 120, "status": 200,
               "failure": "{failure}", "baseline": {{"p50": 28.0, "p95": 47.0}}}}"#
        )
    };
    let read = |story: &mut Story, new: Option<f64>, errors: f64, seconds: u32| {
        for second in 0..seconds {
            let wave = f64::from(second % 4);
            let (old, new) = (side(Some(31.0 + wave), 0.0), side(new.map(|new| new + 6.0 * wave), errors));
            story.read("latency", Ok(json(&format!(r#"{{"old": {old}, "new": {new}}}"#))));
            story.wait(1_000);
        }
    };
    read(&mut story, Some(33.0), 0.0, 40);
    story.done(1);
    read(&mut story, Some(150.0), 0.0, 50);
    read(&mut story, None, 0.25, 20);
    read(&mut story, Some(70.0), 0.25, 30);
    story
}

#[test]
fn an_outage_and_a_slower_side_are_seen_on_the_chart() {
    golden("chart", &mut slower_and_out());
    let mut story = slower_and_out();
    let at = story.screen().panes.iter().position(|pane| pane.probe.as_str() == "latency").unwrap();
    story.ui.overlay = Some(Overlay::Pane(at));
    golden("chart_zoomed", &mut story);
}
