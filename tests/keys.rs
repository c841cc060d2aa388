//! P12: no key is ever silently ignored, and every refusal is one sentence.
//!
//! Every key, in every state a step can be in, with every sheet and every question open: something is asked of the
//! driver, something changes on the desk, or something is said.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may fail loudly

use std::collections::VecDeque;
use std::path::Path;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use gonogo::core::board::Board;
use gonogo::core::decide::{StepState, decide, picture, step_state};
use gonogo::core::fact::{Ending, Fact, Finding, Mode};
use gonogo::core::ids::{Attempt, StepId, Who};
use gonogo::core::input::Input;
use gonogo::core::job::{Direction, JobKey, Outcome};
use gonogo::core::plan::{Plan, Step};
use gonogo::core::reading::Reading;
use gonogo::core::refusal::Refusal;
use gonogo::core::state::Run;
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::driver::{History, OutputTail};
use gonogo::pace::PaceView;
use gonogo::runbook::{self, Options};
use gonogo::screen::keys::KEYS;
use gonogo::screen::{Ask, Desk, Focus, Overlay, Prompt, Scene, project};
use gonogo::stage::{Passing, Place, Steer};
use gonogo::ui::desk::{Request, paste, press};

const NOW: At = At(1_800_000_000_000);

const STATES: [StepState; 12] = [
    StepState::Waiting,
    StepState::Gated,
    StepState::Ready,
    StepState::Running,
    StepState::Reverting,
    StepState::Undoing,
    StepState::Verifying,
    StepState::Done,
    StepState::Failed,
    StepState::InDoubt,
    StepState::Skipped,
    StepState::Undone,
];

fn plan(name: &str) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runbooks").join(name);
    runbook::load(&path, &Options::default()).unwrap_or_else(|errors| panic!("{}", errors.render(false, 100))).plan
}

fn me() -> Who {
    Who("ada@bastion".to_owned())
}

/// A run and a board in which `step` is in that state.
fn reach(plan: &Plan, step: &Step, state: StepState) -> (Run, Board) {
    let mut run = Run::default();
    let mut board = Board::new(plan, At(NOW.0 - 60_000));
    let id = step.id.clone();
    let opened = Fact::RunOpened {
        mode: Mode::Lab,
        title: plan.title.clone(),
        profile: None,
        plan: plan.digest.clone(),
        by: me(),
        version: "0".to_owned(),
    };
    let mut facts = vec![opened, Fact::DriverArrived { by: me(), epoch: 1, away: Span::ZERO }];
    let needs = if state == StepState::Waiting { &[][..] } else { &step.needs };
    facts.extend(needs.iter().map(|need| Fact::StepSkipped {
        step: need.clone(),
        by: me(),
        reason: "not needed in this test".to_owned(),
    }));
    let key = |direction, job| JobKey { step: id.clone(), direction, attempt: Attempt(1), job };
    let why = || "exit 1".to_owned();
    let started = Fact::StepStarted {
        step: id.clone(),
        attempt: Attempt(1),
        by: me(),
        second: None,
        typed: "go".to_owned(),
        evidence: Vec::new(),
        overridden: None,
        preview: String::new(),
    };
    let first = Fact::JobStarted { key: key(Direction::Do, 0) };
    let last = u16::try_from(step.work.jobs.len() - 1).unwrap();
    let outcome = Outcome::Succeeded { summary: "exit 0".to_owned() };
    let ended = Fact::JobEnded { key: key(Direction::Do, last), outcome, took: Span(5) };
    let done = Fact::StepDone { step: id.clone(), attempt: Attempt(1), evidence: Vec::new() };
    let reverting = Fact::SectionReverting { step: id.clone(), attempt: Attempt(1), why: why() };
    let back = Fact::JobStarted { key: key(Direction::Revert, 0) };
    let failed =
        Fact::StepFailed { step: id.clone(), attempt: Attempt(1), why: why(), reverted: false, evidence: Vec::new() };
    let doubt = Fact::LeftInDoubt { key: key(Direction::Do, 0), why: why() };
    let skipped = Fact::StepSkipped { step: id.clone(), by: me(), reason: why() };
    let undo = Fact::UndoStarted {
        step: id.clone(),
        attempt: Attempt(1),
        by: me(),
        typed: "undo".to_owned(),
        preview: String::new(),
    };
    let undoing = Fact::JobStarted { key: key(Direction::Undo, 0) };
    let undone = Fact::StepUndone { step: id.clone(), attempt: Attempt(1) };
    facts.extend(match state {
        StepState::Waiting | StepState::Gated | StepState::Ready => vec![],
        StepState::Running => vec![started, first],
        StepState::Reverting => vec![started, first, reverting, back],
        StepState::Undoing => vec![started, first, ended, done, undo, undoing],
        StepState::Verifying => vec![started, first, ended],
        StepState::Done => vec![started, first, ended, done],
        StepState::Failed => vec![started, first, failed],
        StepState::InDoubt => vec![started, first, doubt],
        StepState::Skipped => vec![skipped],
        StepState::Undone => vec![started, first, ended, done, undo, undoing, undone],
    });
    for fact in &facts {
        run.apply(plan, At(NOW.0 - 30_000), fact);
    }
    if state == StepState::Ready {
        for back in [5_000, 4_000, 3_000, 2_000, 1_000, 0] {
            for probe in plan.probes.keys() {
                let n = i64::from(probe.as_str() != "p");
                let fields = [("n", Value::Int(n)), ("x", Value::Float(1.0)), ("ok", Value::Bool(true))];
                let at = At(NOW.0 - back);
                let reading = Reading { probe: probe.clone(), at, took: Span(3), result: Ok(Value::map(fields)) };
                board.observe(plan, at, &reading);
            }
        }
    }
    (run, board)
}

/// What a scene is made of, besides the desk.
struct Stage<'a> {
    plan: &'a Plan,
    run: Run,
    board: Board,
    history: History,
    output: OutputTail,
    log: VecDeque<gonogo::core::fact::Recorded>,
    who: Who,
    refusal: Option<Refusal>,
    watching: bool,
    passing: Option<Passing>,
}

impl<'a> Stage<'a> {
    fn new(plan: &'a Plan, run: Run, board: Board) -> Self {
        let (history, output) = (History::default(), OutputTail::default());
        let log = VecDeque::new();
        Self { plan, run, board, history, output, log, who: me(), refusal: None, watching: false, passing: None }
    }

    fn scene<'s>(&'s self, desk: &'s Desk) -> Scene<'s> {
        Scene {
            plan: self.plan,
            run: &self.run,
            board: &self.board,
            history: &self.history,
            output: &self.output,
            log: &self.log,
            run_name: "7f3a",
            who: &self.who,
            now: NOW,
            refusal: self.refusal.as_ref(),
            fault: None,
            recording: false,
            leaving: false,
            head: None,
            watching: self.watching,
            passing: self.passing.clone(),
            desk,
        }
    }

    /// One sentence, with something in it.
    fn is_sentence(text: &str) {
        assert!(!text.trim().is_empty() && !text.contains('\n') && text.chars().count() < 400, "{text:?}");
    }

    /// Presses a key and asks that it was not ignored. What it was answered with comes back.
    fn pressed(&self, desk: &mut Desk, key: KeyEvent) -> Option<Request> {
        let before = desk.clone();
        let request = press(&self.scene(&before), desk, key);
        let changed = Desk { notice: None, ..desk.clone() } != Desk { notice: None, ..before.clone() };
        if let Some(notice) = &desk.notice {
            Self::is_sentence(notice);
        }
        // The cockpit takes a refusal off the screen with the next key: that is an answer, too.
        let answered = request.is_some() || changed || desk.notice.is_some() || self.refusal.is_some();
        assert!(answered, "{key:?} was ignored with {before:#?}");
        if let Some(Request::Command(command)) = &request {
            let input = Input::Operator { by: me(), command: command.clone() };
            if let Err(refusal) = decide(self.plan, &self.run, &self.board, NOW, input) {
                Self::is_sentence(&refusal.to_string());
            }
        }
        request
    }
}

/// Every key there is a meaning for, as it is written in the table, and many there is none for.
fn keys() -> Vec<KeyEvent> {
    let plain = |code| KeyEvent::new(code, KeyModifiers::NONE);
    let control = |ch| KeyEvent::new(KeyCode::Char(ch), KeyModifiers::CONTROL);
    let mut keys = Vec::new();
    for name in KEYS.iter().flat_map(|def| def.keys.split(' ')) {
        keys.push(match name {
            "↑" => plain(KeyCode::Up),
            "↓" => plain(KeyCode::Down),
            "PgUp" => plain(KeyCode::PageUp),
            "PgDn" => plain(KeyCode::PageDown),
            "Home" => plain(KeyCode::Home),
            "End" => plain(KeyCode::End),
            "tab" => plain(KeyCode::Tab),
            "→" => plain(KeyCode::Right),
            "←" => plain(KeyCode::Left),
            "enter" => plain(KeyCode::Enter),
            "space" => plain(KeyCode::Char(' ')),
            "esc" => plain(KeyCode::Esc),
            "ctrl-z" => control('z'),
            "ctrl-l" => control('l'),
            name => {
                let mut chars = name.chars();
                let ch = chars.next().unwrap();
                assert!(chars.next().is_none(), "the test does not know the key {name}");
                plain(KeyCode::Char(ch))
            }
        });
    }
    keys.extend((' '..='~').map(|ch| plain(KeyCode::Char(ch))));
    keys.extend(['é', 'ß', '漢', '🙂', '\u{202e}'].map(|ch| plain(KeyCode::Char(ch))));
    keys.extend(('a'..='z').map(control));
    keys.extend(('a'..='z').map(|ch| KeyEvent::new(KeyCode::Char(ch), KeyModifiers::ALT)));
    keys.extend((1..=12).map(|n| plain(KeyCode::F(n))));
    let others = [
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::Insert,
        KeyCode::Delete,
        KeyCode::Backspace,
        KeyCode::BackTab,
        KeyCode::Null,
        KeyCode::CapsLock,
        KeyCode::Menu,
        KeyCode::PrintScreen,
        KeyCode::KeypadBegin,
    ];
    keys.extend(others.map(plain));
    keys
}

const OVERLAYS: [Option<Overlay>; 7] = [
    None,
    Some(Overlay::Help),
    Some(Overlay::WayBack),
    Some(Overlay::Pane(0)),
    Some(Overlay::Pane(2)),
    Some(Overlay::Step),
    Some(Overlay::Log),
];

/// The step of the runbook in which a state can be reached.
fn subject(plan: &Plan, state: StepState) -> &Step {
    let id = if state == StepState::Gated || state == StepState::Waiting { "drop" } else { "switch" };
    plan.step(&id.into()).unwrap()
}

fn desks(step: &StepId) -> Vec<Desk> {
    let mut desks = Vec::new();
    for overlay in OVERLAYS {
        for focus in [Focus::Steps, Focus::Detail] {
            for selected in [None, Some(step.clone())] {
                desks.push(Desk { selected, focus, overlay, ..Desk::default() });
            }
        }
    }
    desks
}

fn prompts(plan: &Plan, run: &Run, board: &Board, step: &Step) -> Vec<Ask> {
    let id = || step.id.clone();
    let seen = || picture(plan, run, board, NOW, step);
    vec![
        Ask::Start { step: id(), seen: seen(), reason: None, word: None },
        Ask::Start { step: id(), seen: seen(), reason: Some("a reason of some length".to_owned()), word: None },
        Ask::Start { step: id(), seen: seen(), reason: None, word: Some(id().to_string()) },
        Ask::Undo { step: id(), seen: seen() },
        Ask::OverrideReason(id()),
        Ask::SkipReason(id()),
        Ask::Doubt(id()),
        Ask::DoubtReason(id(), Finding::Happened),
        Ask::Note,
        Ask::Status,
        Ask::End,
        Ask::AbandonReason,
        Ask::Leave,
        Ask::Place,
    ]
}

#[test]
fn every_state_can_be_reached_here() {
    let plan = plan("proofs/branches.yaml");
    for state in STATES {
        let step = subject(&plan, state);
        let (run, board) = reach(&plan, step, state);
        assert_eq!(step_state(&plan, &run, &board, NOW, step), state);
    }
}

#[test]
fn no_key_is_ignored_in_any_state() {
    let plan = plan("proofs/branches.yaml");
    let keys = keys();
    for state in STATES {
        let step = subject(&plan, state);
        let (run, board) = reach(&plan, step, state);
        let mut stage = Stage::new(&plan, run, board);
        for (watching, passing) in
            [(false, None), (true, None), (false, Some(passing(None))), (false, Some(passing(Some(place()))))]
        {
            stage.watching = watching;
            stage.passing = passing;
            for desk in desks(&step.id) {
                for key in &keys {
                    let mut desk = desk.clone();
                    // Again and again: what has come to its end must say so.
                    for _ in 0..4 {
                        stage.pressed(&mut desk, *key);
                    }
                }
            }
        }
    }
}

#[test]
fn no_key_is_ignored_while_a_question_is_open() {
    let plan = plan("proofs/branches.yaml");
    let keys = keys();
    for state in STATES {
        let step = subject(&plan, state);
        let (run, board) = reach(&plan, step, state);
        let stage = Stage::new(&plan, run, board);
        for ask in prompts(&plan, &stage.run, &stage.board, step) {
            for typed in ["", "go", "switch", "drop", "undo", &"x".repeat(400)] {
                for key in &keys {
                    let typed = typed.to_owned();
                    let prompt = Some(Prompt { ask: ask.clone(), typed, shown: At(NOW.0 - 1_000) });
                    let mut desk = Desk { prompt, selected: Some(step.id.clone()), ..Desk::default() };
                    stage.pressed(&mut desk, *key);
                }
            }
        }
    }
}

#[test]
fn no_key_is_ignored_after_the_run_has_ended_or_without_panes() {
    let keys = keys();
    for (name, ended) in [("proofs/branches.yaml", true), ("good/minimal.yaml", false), ("good/minimal.yaml", true)] {
        let plan = plan(name);
        let (mut run, board) = reach(&plan, &plan.steps[0], StepState::Ready);
        if ended {
            run.apply(&plan, NOW, &Fact::RunEnded { by: me(), how: Ending::Completed, customers: None });
        }
        let stage = Stage::new(&plan, run, board);
        for desk in desks(&plan.steps[0].id) {
            for key in &keys {
                let mut desk = desk.clone();
                for _ in 0..3 {
                    stage.pressed(&mut desk, *key);
                }
            }
        }
    }
}

#[test]
fn pasted_text_is_never_ignored_and_never_confirms() {
    let plan = plan("proofs/branches.yaml");
    let step = subject(&plan, StepState::Ready);
    let (run, board) = reach(&plan, step, StepState::Ready);
    for ask in prompts(&plan, &run, &board, step) {
        for text in ["switch", "switch\n", "", "\n", "   ", "\u{1b}[31m", &"x".repeat(1_000_000)] {
            let confirms = matches!(ask, Ask::Start { .. } | Ask::Undo { .. });
            let prompt = Some(Prompt { ask: ask.clone(), typed: String::new(), shown: NOW });
            let mut desk = Desk { prompt, ..Desk::default() };
            let before = desk.clone();
            paste(&mut desk, text);
            assert_ne!(desk, before, "{text:?} was ignored at {ask:?}");
            let typed = &desk.prompt.as_ref().unwrap().typed;
            assert!(!confirms || typed.is_empty(), "{text:?} confirms");
            assert!(typed.chars().count() <= 400 && !typed.contains(char::is_control), "{} long", typed.len());
        }
    }
}

#[test]
fn a_key_that_opens_nothing_leaves_no_sheet_behind() {
    let plan = plan("good/minimal.yaml");
    let (run, board) = reach(&plan, &plan.steps[0], StepState::Ready);
    let stage = Stage::new(&plan, run, board);
    let mut desk = Desk::default();
    stage.pressed(&mut desk, KeyEvent::new(KeyCode::Char('z'), KeyModifiers::NONE));
    assert_eq!(desk.overlay, None, "there is no pane to zoom");
    assert!(project(&stage.scene(&desk)).overlay.is_none());
}

#[test]
fn somebody_who_only_watches_can_leave() {
    let plan = plan("good/minimal.yaml");
    let (run, board) = reach(&plan, &plan.steps[0], StepState::Ready);
    let mut stage = Stage::new(&plan, run, board);
    stage.watching = true;
    for key in [
        KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE),
        KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL),
    ] {
        assert_eq!(stage.pressed(&mut Desk::default(), key), Some(Request::Leave));
    }
}

fn passing(place: Option<Place>) -> Passing {
    Passing { pace: PaceView { speed: 60, paused: false }, place }
}

fn place() -> Place {
    Place { fact: 41, of: 212, note: None }
}

/// What a key was answered with, in a mode: a request, or a sentence.
fn answer(stage: &Stage, code: KeyCode) -> Result<Request, String> {
    let mut desk = Desk::default();
    let request = stage.pressed(&mut desk, KeyEvent::new(code, KeyModifiers::NONE));
    request.ok_or_else(|| desk.notice.unwrap_or_default())
}

#[test]
fn time_is_steered_only_where_it_has_a_pace_and_back_only_in_a_replay() {
    let plan = plan("proofs/branches.yaml");
    let (run, board) = reach(&plan, subject(&plan, StepState::Ready), StepState::Ready);
    let mut stage = Stage::new(&plan, run, board);
    let anywhere = [('+', Steer::Faster), ('-', Steer::Slower), ('w', Steer::Pause), ('f', Steer::Onward)];
    for (key, _) in &anywhere {
        assert!(answer(&stage, KeyCode::Char(*key)).is_err_and(|why| why.contains("pace")), "{key}");
    }
    stage.passing = Some(passing(None));
    for (key, steer) in &anywhere {
        assert_eq!(answer(&stage, KeyCode::Char(*key)), Ok(Request::Steer(steer.clone())));
    }
    for code in [KeyCode::Right, KeyCode::Left, KeyCode::Char('i'), KeyCode::Char('t')] {
        assert!(answer(&stage, code).is_err_and(|why| why.contains("only a replay")), "{code:?}");
    }
    stage.passing = Some(passing(Some(place())));
    assert_eq!(answer(&stage, KeyCode::Right), Ok(Request::Steer(Steer::NextDecision)));
    assert_eq!(answer(&stage, KeyCode::Left), Ok(Request::Steer(Steer::PreviousDecision)));
    assert!(matches!(answer(&stage, KeyCode::Char('i')), Ok(Request::Steer(Steer::Step(_)))));
}

#[test]
fn nothing_can_be_done_in_a_replay() {
    let plan = plan("proofs/branches.yaml");
    for state in STATES {
        let step = subject(&plan, state);
        let (run, board) = reach(&plan, step, state);
        let mut stage = Stage::new(&plan, run, board);
        stage.passing = Some(passing(Some(place())));
        for desk in desks(&step.id) {
            for key in keys() {
                let mut desk = desk.clone();
                let request = stage.pressed(&mut desk, key);
                assert!(!matches!(request, Some(Request::Command(_))), "{key:?} in {state:?}");
                let asked = desk.prompt.map(|prompt| prompt.ask);
                assert!(matches!(asked, None | Some(Ask::Place)), "{key:?} asks {asked:?}");
            }
        }
    }
}
