//! P12: no key is ever silently ignored, and every refusal is one sentence.
//!
//! Every key, in every state a step can be in, with every sheet and every question open: something is asked of the
//! driver, something changes in the interface, or something is said.

use std::path::Path;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use gonogo::core::board::Board;
use gonogo::core::decide::decide;
use gonogo::core::evidence::Baselines;
use gonogo::core::fact::{Ending, Fact, Finding, Mode};
use gonogo::core::ids::{Attempt, StepId, Who};
use gonogo::core::input::{Command, Confirmation, Input, Picture};
use gonogo::core::job::{Direction, JobKey, Outcome};
use gonogo::core::moves::Moves;
use gonogo::core::plan::{Plan, Step};
use gonogo::core::reading::Reading;
use gonogo::core::refusal::Refusal;
use gonogo::core::server::Servers;
use gonogo::core::state::Run;
use gonogo::core::status::{StepState, picture, step_state};
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::pace::{PaceView, PlaybackPosition, ShownTime, TimeControl};
use gonogo::run_view::{RunView, ViewEvent};
use gonogo::runbook::{self, Options};
use gonogo::screen::keys::{KEYS, KeyAction, KeyPress};
use gonogo::screen::offers::offers;
use gonogo::screen::{
    Ask, Focus, FrontEnd, Overlay, Prompt, Screen, SessionStatus, SheetBody, Text, UiState, ViewContext, project,
};
use gonogo::ui::dialog::paste;
use gonogo::ui::input::{Request, press};
use gonogo::ui::theme::{Glyphs, Palette, Theme};
use gonogo::ui::view;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::facts::step_started;

const MONO: Theme = Theme { palette: Palette::None, glyphs: Glyphs::Unicode };

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

fn plan(name: &str) -> Arc<Plan> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runbooks").join(name);
    let loaded = runbook::load(&path, &Options::default());
    Arc::new(loaded.unwrap_or_else(|errors| panic!("{}", errors.render(false, 100))).plan)
}

fn me() -> Who {
    Who("ada@bastion".to_owned())
}

/// The facts that bring a step there.
fn history(step: &Step, state: StepState, plan: &Plan) -> Vec<Fact> {
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
    let started = step_started(id.clone(), Attempt(1), me());
    let first = Fact::JobStarted { key: key(Direction::Do, 0) };
    let last = u16::try_from(step.work.jobs.len() - 1).unwrap();
    let outcome = Outcome::Succeeded { summary: "exit 0".to_owned() };
    let ended = Fact::JobEnded { key: key(Direction::Do, last), outcome, took: Span(5) };
    let done = Fact::StepDone { step: id.clone(), attempt: Attempt(1), evidence: Vec::new(), guards: Vec::new() };
    let reverting = Fact::SectionReverting { step: id.clone(), attempt: Attempt(1), why: why() };
    let back = Fact::JobStarted { key: key(Direction::Revert, 0) };
    let failed = Fact::StepFailed {
        step: id.clone(),
        attempt: Attempt(1),
        why: why(),
        reverted: false,
        evidence: Vec::new(),
        guards: Vec::new(),
    };
    let doubt = Fact::LeftInDoubt { key: key(Direction::Do, 0), why: why() };
    let skipped = Fact::StepSkipped { step: id.clone(), by: me(), reason: why() };
    let undo = Fact::UndoStarted {
        from: 0,
        step: id.clone(),
        attempt: Attempt(1),
        by: me(),
        typed: "undo".to_owned(),
        preview: String::new(),
        baselines: Baselines::new(),
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
    facts
}

/// A run and a board in which `step` is in that state.
fn reach(plan: &Plan, step: &Step, state: StepState) -> (Run, Board) {
    let mut run = Run::default();
    let mut board = Board::new(plan, At(NOW.0 - 60_000));
    for fact in &history(step, state, plan) {
        run.apply(plan, At(NOW.0 - 30_000), fact);
    }
    if state == StepState::Ready {
        for back in [5_000, 4_000, 3_000, 2_000, 1_000, 0] {
            for probe in plan.probes.keys() {
                let n = i64::from(probe.as_str() != "p");
                let fields = [("n", Value::Int(n)), ("x", Value::Float(1.0)), ("ok", Value::Bool(true))];
                let at = At(NOW.0 - back);
                let reading = Reading {
                    probe: probe.clone(),
                    at,
                    took: Span(3),
                    as_of: None,
                    result: Ok(Value::map(fields)),
                    servers: Servers::new(),
                    moves: Moves::default(),
                };
                board.observe(plan, &run, at, &reading);
            }
        }
    }
    (run, board)
}

/// What a context is made of, besides the state of the interface.
struct Stage<'a> {
    plan: &'a Arc<Plan>,
    view: RunView,
    who: Who,
    refusal: Option<Refusal>,
    watching: bool,
    shown_time: Option<ShownTime>,
    now: At,
}

impl<'a> Stage<'a> {
    fn new(plan: &'a Arc<Plan>, run: Run, board: Board) -> Self {
        let view = RunView::new(Arc::clone(plan), run, &[], board);
        Self { plan, view, who: me(), refusal: None, watching: false, shown_time: None, now: NOW }
    }

    fn comes_to(&mut self, (run, board): (Run, Board)) {
        self.view = RunView::new(Arc::clone(self.plan), run, &[], board);
    }

    fn context<'s>(&'s self, ui: &'s UiState) -> ViewContext<'s> {
        let status = SessionStatus {
            refusal: self.refusal.as_ref(),
            shown_time: self.shown_time.clone(),
            ..SessionStatus::new(&self.who, self.now)
        };
        ViewContext::new(&self.view, status, ui, "7f3a", jiff::tz::TimeZone::UTC).watching(self.watching)
    }

    /// One sentence, with something in it.
    fn is_sentence(text: &str) {
        assert!(!text.trim().is_empty() && !text.contains('\n') && text.chars().count() < 400, "{text:?}");
    }

    /// The conversation line.
    fn says(&self, ui: &UiState) -> String {
        project(&self.context(ui)).conversation.to_plain()
    }

    /// Types a text and says what was asked of the driver on the way.
    fn types(&self, ui: &mut UiState, text: &str) -> Vec<Request> {
        let key = |ch| KeyEvent::new(if ch == '\n' { KeyCode::Enter } else { KeyCode::Char(ch) }, KeyModifiers::NONE);
        text.chars().filter_map(|ch| self.pressed(ui, key(ch))).collect()
    }

    /// Presses a key and asks that it was not ignored. What it was answered with comes back.
    fn pressed(&self, ui: &mut UiState, key: KeyEvent) -> Option<Request> {
        let before = ui.clone();
        let request = press(&self.context(&before), ui, key);
        let changed = UiState { notice: None, ..ui.clone() } != UiState { notice: None, ..before.clone() };
        if let Some(notice) = &ui.notice {
            Self::is_sentence(notice);
        }
        if let Some(refused) = &ui.refused {
            Self::is_sentence(&refused.why);
            assert!(self.says(ui).contains(&refused.why), "{key:?}: {} is not shown", refused.why);
        }
        // The cockpit takes a refusal off the screen with the next key: that is an answer, too.
        let said = ui.notice.is_some() || ui.refused.is_some() || self.refusal.is_some();
        let answered = request.is_some() || changed || said;
        assert!(answered, "{key:?} was ignored with {before:#?}");
        if let Some(Request::Command(command)) = &request {
            let input = Input::Operator { by: me(), command: command.clone() };
            if let Err(refusal) = decide(self.plan, self.view.run(), self.view.board(), NOW, input) {
                Self::is_sentence(&refusal.to_string());
            }
        }
        request
    }
}

/// The key press of a key in the table.
fn event(key: KeyPress) -> KeyEvent {
    let (code, modifiers) = match key {
        KeyPress::Char(ch) => (KeyCode::Char(ch), KeyModifiers::NONE),
        KeyPress::Ctrl(ch) => (KeyCode::Char(ch), KeyModifiers::CONTROL),
        KeyPress::Enter => (KeyCode::Enter, KeyModifiers::NONE),
        KeyPress::Esc => (KeyCode::Esc, KeyModifiers::NONE),
        KeyPress::Tab => (KeyCode::Tab, KeyModifiers::NONE),
        KeyPress::BackTab => (KeyCode::BackTab, KeyModifiers::SHIFT),
        KeyPress::Up => (KeyCode::Up, KeyModifiers::NONE),
        KeyPress::Down => (KeyCode::Down, KeyModifiers::NONE),
        KeyPress::Left => (KeyCode::Left, KeyModifiers::NONE),
        KeyPress::Right => (KeyCode::Right, KeyModifiers::NONE),
        KeyPress::PageUp => (KeyCode::PageUp, KeyModifiers::NONE),
        KeyPress::PageDown => (KeyCode::PageDown, KeyModifiers::NONE),
        KeyPress::Home => (KeyCode::Home, KeyModifiers::NONE),
        KeyPress::End => (KeyCode::End, KeyModifiers::NONE),
    };
    KeyEvent::new(code, modifiers)
}

/// Every key there is a meaning for, and many there is none for.
fn keys() -> Vec<KeyEvent> {
    let plain = |code| KeyEvent::new(code, KeyModifiers::NONE);
    let control = |ch| KeyEvent::new(KeyCode::Char(ch), KeyModifiers::CONTROL);
    let mut keys = Vec::new();
    keys.extend(KEYS.iter().flat_map(|def| def.binding).map(|key| event(*key)));
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

fn ui_states(step: &StepId) -> Vec<UiState> {
    let mut ui_states = Vec::new();
    for overlay in OVERLAYS {
        for focus in [Focus::Steps, Focus::Detail] {
            for selected in [None, Some(step.clone())] {
                ui_states.push(UiState { selected, focus, overlay, ..UiState::default() });
            }
        }
    }
    ui_states
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
        Ask::Word { word: id().to_string(), then: Box::new(Ask::SkipReason(id())) },
        Ask::Word { word: id().to_string(), then: Box::new(Ask::ByHand { step: id(), seen: seen() }) },
        Ask::Word { word: "accept".to_owned(), then: Box::new(Ask::AcceptServers(Vec::new())) },
        Ask::Stop { step: id(), seen: seen() },
        Ask::Doubt { step: id(), seen: seen() },
        Ask::DoubtReason { step: id(), finding: Finding::Happened, seen: seen() },
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
        for (watching, shown_time) in
            [(false, None), (true, None), (false, Some(shown_time(None))), (false, Some(shown_time(Some(place()))))]
        {
            stage.watching = watching;
            stage.shown_time = shown_time;
            for ui in ui_states(&step.id) {
                for key in &keys {
                    let mut ui = ui.clone();
                    // Pressed repeatedly, so that a key that has reached its end must say so.
                    for _ in 0..4 {
                        stage.pressed(&mut ui, *key);
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
        for ask in prompts(&plan, stage.view.run(), stage.view.board(), step) {
            for typed in ["", "go", "switch", "drop", "undo", "stop", &"x".repeat(400)] {
                for key in &keys {
                    let typed = typed.to_owned();
                    let prompt = Some(Prompt { ask: ask.clone(), typed, shown: Some(Span::ZERO) });
                    let mut ui = UiState { prompt, selected: Some(step.id.clone()), ..UiState::default() };
                    stage.pressed(&mut ui, *key);
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
            run.apply(
                &plan,
                NOW,
                &Fact::RunEnded { by: me(), how: Ending::Completed, customers: None, customers_at: None },
            );
        }
        let stage = Stage::new(&plan, run, board);
        for ui in ui_states(&plan.steps[0].id) {
            for key in &keys {
                let mut ui = ui.clone();
                for _ in 0..3 {
                    stage.pressed(&mut ui, *key);
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
            let confirms = matches!(ask, Ask::Start { .. } | Ask::Undo { .. } | Ask::Stop { .. });
            let prompt = Some(Prompt { ask: ask.clone(), typed: String::new(), shown: None });
            let mut ui = UiState { prompt, ..UiState::default() };
            let before = ui.clone();
            paste(&mut ui, text);
            assert_ne!(ui, before, "{text:?} was ignored at {ask:?}");
            let typed = &ui.prompt.as_ref().unwrap().typed;
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
    let mut ui = UiState::default();
    stage.pressed(&mut ui, KeyEvent::new(KeyCode::Char('z'), KeyModifiers::NONE));
    assert_eq!(ui.overlay, None, "there is no pane to zoom");
    assert!(project(&stage.context(&ui)).overlay.is_none());
}

#[test]
fn a_step_is_stopped_by_a_word_and_not_by_a_key() {
    let plan = plan("proofs/branches.yaml");
    for (state, word) in
        [(StepState::Running, "stop"), (StepState::Verifying, "stop"), (StepState::Reverting, "switch")]
    {
        let (stage, mut ui) = staged(&plan, state);
        assert_eq!(stage.pressed(&mut ui, letter('x')), None);
        ui.prompt.as_mut().unwrap().shown = Some(Span::ZERO);
        let asked = stage.says(&ui);
        assert!(asked.starts_with("STOP ") && asked.contains(&format!("type {word} ")), "{asked}");
        let [Request::Command(command @ Command::Stop(_))] = &stage.types(&mut ui, &format!("{word}\n"))[..] else {
            panic!("{word}: {}", stage.says(&ui))
        };
        let input = Input::Operator { by: me(), command: command.clone() };
        assert!(decide(&plan, stage.view.run(), stage.view.board(), NOW, input).is_ok());
    }
}

#[test]
fn esc_closes_a_sheet_and_says_nothing_about_it() {
    let plan = plan("proofs/branches.yaml");
    let (stage, mut ui) = staged(&plan, StepState::Ready);
    stage.pressed(&mut ui, letter('b'));
    stage.pressed(&mut ui, ESC);
    assert_eq!((ui.overlay, ui.notice.clone()), (None, None));
    stage.pressed(&mut ui, ESC);
    assert_eq!(ui.notice.as_deref(), Some("nothing is open"));
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
        assert_eq!(stage.pressed(&mut UiState::default(), key), Some(Request::Leave));
    }
}

/// A stage in which the subject of `state` is selected.
fn staged(plan: &Arc<Plan>, state: StepState) -> (Stage<'_>, UiState) {
    let step = subject(plan, state);
    let (run, board) = reach(plan, step, state);
    let ui = UiState { selected: Some(step.id.clone()), open_for: Span::secs(60), ..UiState::default() };
    (Stage::new(plan, run, board), ui)
}

const ENTER: KeyEvent = KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE);
const ESC: KeyEvent = KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE);

fn letter(ch: char) -> KeyEvent {
    KeyEvent::new(KeyCode::Char(ch), KeyModifiers::NONE)
}

#[test]
fn what_is_typed_into_a_question_that_did_not_come_up_does_nothing() {
    let plan = plan("proofs/branches.yaml");
    for state in [StepState::Gated, StepState::Waiting, StepState::Running, StepState::Done, StepState::InDoubt] {
        let (stage, mut ui) = staged(&plan, state);
        stage.pressed(&mut ui, ENTER);
        assert!(stage.says(&ui).starts_with("refused: "), "{state:?}: {}", stage.says(&ui));
        // Every one of these letters is a command by itself.
        for ch in "msnuoexvdqbz 1?gk".chars() {
            assert_eq!(stage.pressed(&mut ui, letter(ch)), None);
            assert!(ui.prompt.is_none() && ui.overlay.is_none(), "{state:?}: {ch} acted: {ui:#?}");
            let said = stage.says(&ui);
            assert!(said.contains("did nothing"), "{state:?}: {ch}: {said}");
        }
        // The enter that ends it is swallowed, too; then keys are keys again.
        assert_eq!(stage.pressed(&mut ui, ENTER), None);
        assert!(ui.prompt.is_none() && stage.says(&ui).contains("keys work again"), "{}", stage.says(&ui));
        stage.pressed(&mut ui, letter('n'));
        assert_eq!(ui.prompt.as_ref().map(|prompt| &prompt.ask), Some(&Ask::Note));
    }
}

#[test]
fn a_blank_of_a_sentence_ticks_nothing() {
    let plan = plan("proofs/branches.yaml");
    let manual = |step: &&Step| matches!(step.work.jobs.first().map(|job| job.action.kind()), Some("manual"));
    let step = plan.steps.iter().find(manual).unwrap();
    let (run, board) = reach(&plan, step, StepState::Running);
    let stage = Stage::new(&plan, run, board);
    let fresh = UiState { selected: Some(step.id.clone()), open_for: Span::secs(60), ..UiState::default() };
    let ticks = |ui: &mut UiState| {
        matches!(stage.pressed(ui, letter(' ')), Some(Request::Command(Command::Acknowledge { .. })))
    };
    assert!(ticks(&mut fresh.clone()), "{}", stage.says(&fresh));
    // Every letter that opens no question; those that do take what follows as their answer.
    for ch in ('!'..='~').filter(|ch| {
        let mut ui = fresh.clone();
        stage.pressed(&mut ui, letter(*ch));
        ui.prompt.is_none()
    }) {
        let mut ui = fresh.clone();
        stage.pressed(&mut ui, letter(ch));
        assert!(!ticks(&mut ui) && !ticks(&mut ui), "{ch}: {}", stage.says(&ui));
    }
    let mut ui = fresh;
    stage.pressed(&mut ui, letter('!'));
    assert!(!ticks(&mut ui) && stage.says(&ui).contains("ticked nothing"), "{}", stage.says(&ui));
    ui.open_for = Span::secs(62);
    assert!(ticks(&mut ui), "{}", stage.says(&ui));
}

#[test]
fn a_word_typed_for_a_stop_that_was_not_asked_for_does_nothing() {
    let plan = plan("proofs/branches.yaml");
    for state in [StepState::Gated, StepState::Ready, StepState::Failed, StepState::Done, StepState::InDoubt] {
        let (stage, mut ui) = staged(&plan, state);
        assert_eq!(stage.pressed(&mut ui, letter('x')), None);
        assert!(stage.says(&ui).starts_with("refused: "), "{state:?}: {}", stage.says(&ui));
        // Each of these letters is a key of its own, which would ask for something else.
        assert_eq!(stage.types(&mut ui, "stop\n"), []);
        assert!(ui.prompt.is_none() && ui.overlay.is_none(), "{state:?}: {ui:#?}");
        assert!(stage.says(&ui).contains("keys work again"), "{}", stage.says(&ui));
    }
}

#[test]
fn a_question_about_what_is_no_longer_so_goes_with_its_answer() {
    let plan = plan("proofs/branches.yaml");
    let reason = "looked at it myself\n";
    for (state, key, chosen, after, typed) in [
        (StepState::Running, 'x', "", StepState::Verifying, "stop\n"),
        (StepState::Running, 'x', "", StepState::Reverting, "switch\n"),
        (StepState::InDoubt, 'd', "happened\n", StepState::Ready, reason),
    ] {
        let (mut stage, mut ui) = staged(&plan, state);
        stage.pressed(&mut ui, letter(key));
        stage.types(&mut ui, chosen);
        ui.prompt.as_mut().unwrap().shown = Some(Span::ZERO);
        stage.comes_to(reach(&plan, subject(&plan, state), after));
        assert_eq!(stage.types(&mut ui, typed), [], "{state:?} to {after:?}");
        assert!(ui.prompt.is_none() && ui.quiet.is_some(), "{ui:#?}");
        assert!(stage.says(&ui).starts_with("refused: "), "{}", stage.says(&ui));
    }
}

#[test]
fn a_refused_stop_or_finding_is_forgotten_once_it_would_be_accepted() {
    let plan = plan("proofs/branches.yaml");
    for (key, after) in [('x', StepState::Running), ('x', StepState::Reverting), ('d', StepState::InDoubt)] {
        let (mut stage, mut ui) = staged(&plan, StepState::Ready);
        stage.pressed(&mut ui, letter(key));
        assert!(stage.says(&ui).starts_with("refused: "), "{}", stage.says(&ui));
        stage.comes_to(reach(&plan, subject(&plan, StepState::Ready), after));
        assert!(!stage.says(&ui).contains("refused"), "{after:?}: {}", stage.says(&ui));
    }
}

#[test]
fn after_a_refusal_a_pause_or_a_key_that_is_not_for_typing_gives_the_keys_back() {
    let plan = plan("proofs/branches.yaml");
    let down = KeyEvent::new(KeyCode::Down, KeyModifiers::NONE);
    for way in [Some(ESC), Some(down), None] {
        let (stage, mut ui) = staged(&plan, StepState::Gated);
        stage.pressed(&mut ui, ENTER);
        stage.pressed(&mut ui, letter('m'));
        match way {
            Some(key) => assert_eq!(stage.pressed(&mut ui, key), None),
            None => ui.open_for.0 += 1_500,
        }
        stage.pressed(&mut ui, letter('n'));
        assert!(ui.prompt.is_some(), "{way:?}");
    }
    // Enter alone asks again: somebody waits for a gate to open.
    let (stage, mut ui) = staged(&plan, StepState::Gated);
    for _ in 0..3 {
        stage.pressed(&mut ui, ENTER);
        assert!(stage.says(&ui).starts_with("refused: "));
    }
}

/// What people say to each other on such a night.
const SENTENCES: [&str; 30] = [
    "deploy is done, please look",
    "done",
    "dns is fine here",
    "does anybody see errors",
    "did the pause end",
    "do not touch it",
    "don't",
    "dpkg -l postgresql",
    "dhclient -r eth0",
    "data is there, all of it, it happened at two",
    "ssh db2 systemctl restart postgresql",
    "skip that one for now please, it is not needed",
    "sorry, wrong window, that was meant for the chat",
    "select count(*) from orders where failed",
    "so what do we do about the replica now",
    "everything looks good to me, go on",
    "echo complete and rolled back",
    "ends here, abandoned, a, c, r",
    "exit",
    "yes, I am back on the call",
    "hold on, somebody is at the door",
    "happened again, the same as last time",
    "has it come back by itself since then",
    "how do I take this back by hand",
    "unless you want to undo it",
    "xargs -n1 stop",
    "quit, or maybe yes",
    "quay yard",
    "ls -la /var/lib/postgresql",
    "accept it, the server is right",
];

#[test]
fn a_sentence_typed_into_the_wrong_window_decides_nothing() {
    let plan = plan("proofs/branches.yaml");
    for state in STATES {
        for sentence in SENTENCES {
            let (stage, mut ui) = staged(&plan, state);
            // Twice: the second time into whatever the first has opened.
            for request in stage.types(&mut ui, &format!("{sentence}\n{sentence}\n")) {
                let harmless = matches!(
                    request,
                    Request::Redraw
                        | Request::TimeControl(_)
                        | Request::Command(
                            Command::Note { .. }
                                | Command::StatusUpdate { .. }
                                | Command::Acknowledge { .. }
                                | Command::VerifyAgain { .. }
                        )
                );
                assert!(harmless, "{sentence:?} in {state:?}: {request:?}");
            }
        }
    }
}

#[test]
fn a_question_is_timed_in_real_time() {
    let plan = plan("proofs/branches.yaml");
    let (stage, mut ui) = staged(&plan, StepState::Running);
    stage.pressed(&mut ui, letter('x'));
    ui.prompt.as_mut().unwrap().shown = Some(ui.open_for);
    // The run's clock stands still, as in a rehearsal that pauses.
    ui.open_for.0 += 299;
    assert_eq!(stage.types(&mut ui, "stop\n"), []);
    assert!(stage.says(&ui).contains("on screen for only 299 ms"), "{}", stage.says(&ui));
    ui.open_for.0 += 1;
    assert!(matches!(stage.types(&mut ui, "\n")[..], [Request::Command(Command::Stop(_))]));
}

#[test]
fn what_scrolls_stops_at_its_ends_and_the_log_begins_at_its_own() {
    let plan = plan("proofs/branches.yaml");
    let (stage, mut ui) = staged(&plan, StepState::Running);
    let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
    for (sheet, start, away, back) in
        [('?', KeyCode::Home, KeyCode::Down, KeyCode::Up), ('l', KeyCode::End, KeyCode::Up, KeyCode::Down)]
    {
        stage.pressed(&mut ui, letter(sheet));
        ui.reaches(40);
        stage.pressed(&mut ui, key(start));
        assert_eq!(ui.overlay_scroll, 0, "{sheet}");
        stage.pressed(&mut ui, key(away));
        assert_eq!(ui.overlay_scroll, 1, "{sheet}");
        for _ in 0..9 {
            stage.pressed(&mut ui, key(if away == KeyCode::Up { KeyCode::PageUp } else { KeyCode::PageDown }));
        }
        assert_eq!(ui.overlay_scroll, 40, "{sheet}: no further than there is something");
        stage.pressed(&mut ui, key(back));
        assert_eq!(ui.overlay_scroll, 39, "{sheet}: one key back is one line back");
        // A window that grows leaves less to scroll.
        ui.reaches(10);
        assert_eq!(ui.overlay_scroll, 10, "{sheet}");
        stage.pressed(&mut ui, ESC);
    }
}

#[test]
fn on_the_way_back_u_goes_on_with_the_next_step() {
    let plan = plan("proofs/branches.yaml");
    let [first, second] = ["copy", "side"].map(|id| plan.step(&id.into()).unwrap());
    let (mut run, board) = reach(&plan, first, StepState::Done);
    let (back, mut done) = (3, history(second, StepState::Undone, &plan));
    // What it needs is done.
    done.retain(|fact| !matches!(fact, Fact::StepSkipped { .. }));
    for (at, fact) in done.iter().enumerate() {
        let ago = if at + back < done.len() { 20_000 } else { 10_000 };
        run.apply(&plan, At(NOW.0 - ago), fact);
    }
    let (stage, mut ui) = (Stage::new(&plan, run, board), UiState::default());
    let said = stage.says(&ui);
    assert!(said.starts_with(&format!("{} is undone  u take back {} next", second.number, first.number)), "{said}");
    stage.pressed(&mut ui, letter('u'));
    assert_eq!(ui.prompt.as_ref().and_then(|prompt| prompt.ask.step()), Some(&first.id));
}

#[test]
fn with_everything_taken_back_the_sheet_of_the_way_back_leads_to_the_end() {
    let plan = plan("proofs/branches.yaml");
    let step = plan.step(&"side".into()).unwrap();
    let (mut run, board) = (Run::default(), Board::new(&plan, NOW));
    for (at, fact) in history(step, StepState::Undone, &plan).iter().enumerate() {
        run.apply(&plan, At(NOW.0 - 30_000 + i64::try_from(at).unwrap()), fact);
    }
    let waits = gonogo::core::outlook::waits_for(&plan, &run, &board, NOW);
    assert_eq!(waits.as_deref(), Some("everything is taken back; you end the run"));
    let stage = Stage::new(&plan, run, board);
    let mut ui = UiState { overlay: Some(Overlay::WayBack), ..UiState::default() };
    let offered = project(&stage.context(&ui)).keys;
    assert_eq!(offered.first().map(|hint| (hint.key.as_str(), hint.label)), Some(("e", "end the run")));
    stage.pressed(&mut ui, letter('e'));
    assert!(matches!(ui.prompt.as_ref().map(|prompt| &prompt.ask), Some(Ask::End)));
}

/// A question about a step.
type Question = fn(StepId, Picture) -> Ask;

#[test]
fn a_wrong_answer_stays_in_its_question() {
    let plan = plan("proofs/branches.yaml");
    let asks: [(StepState, Question, &str, &str); 6] = [
        (StepState::Gated, |id, _| Ask::SkipReason(id), "too short", "a reason of at least"),
        (StepState::Gated, |id, _| Ask::OverrideReason(id), "short", "a reason of at least"),
        (StepState::Running, |step, seen| Ask::Stop { step, seen }, "stopp", "to confirm, not"),
        // Stopping an undo takes the step's own name.
        (StepState::Reverting, |step, seen| Ask::Stop { step, seen }, "stop", "to confirm, not"),
        (
            StepState::InDoubt,
            |step, seen| Ask::DoubtReason { step, finding: Finding::DidNotHappen, seen },
            "no",
            "a reason of at least",
        ),
        (StepState::Ready, |_, _| Ask::Note, "  ", "empty"),
    ];
    for (state, ask, typed, said) in asks {
        let (stage, mut ui) = staged(&plan, state);
        let seen = picture(&plan, stage.view.run(), stage.view.board(), NOW, subject(&plan, state));
        let ask = ask(ui.selected.clone().unwrap(), seen);
        ui.prompt = Some(Prompt { ask: ask.clone(), typed: String::new(), shown: Some(Span::ZERO) });
        assert_eq!(stage.types(&mut ui, &format!("{typed}\n")), []);
        let prompt = ui.prompt.clone().expect("the question stays");
        // A wrong word is typed again, a reason is corrected.
        let kept = if said.starts_with("to confirm") { "" } else { typed };
        assert_eq!((prompt.ask, prompt.typed.as_str()), (ask, kept));
        assert!(stage.says(&ui).contains(said) && stage.says(&ui).contains(typed), "{}", stage.says(&ui));
    }
    let (stage, mut ui) = staged(&plan, StepState::Ready);
    stage.pressed(&mut ui, ENTER);
    ui.prompt.as_mut().unwrap().shown = Some(Span::ZERO);
    let word = gonogo::core::status::word(subject(&plan, StepState::Ready)).to_owned();
    assert_eq!(stage.types(&mut ui, &format!("{word}x\n")), []);
    assert!(stage.says(&ui).contains("to confirm, not"), "{}", stage.says(&ui));
    let done = stage.types(&mut ui, &format!("{}\n", word.to_uppercase()));
    assert!(!done.is_empty() || matches!(ui.prompt.as_ref().map(|p| &p.ask), Some(Ask::Start { word: Some(_), .. })));
}

#[test]
fn a_refusal_goes_when_it_is_no_longer_true() {
    let plan = plan("proofs/branches.yaml");
    let step = subject(&plan, StepState::Ready);
    let (_, ready) = reach(&plan, step, StepState::Ready);
    let (mut stage, mut ui) = staged(&plan, StepState::Ready);
    stage.view.update(NOW, ViewEvent::Board(Board::new(&plan, At(NOW.0 - 60_000))));
    stage.pressed(&mut ui, ENTER);
    assert!(stage.says(&ui).contains("is gated"), "{}", stage.says(&ui));
    stage.view.update(NOW, ViewEvent::Board(ready));
    assert!(stage.says(&ui).contains("is ready"), "{}", stage.says(&ui));
}

#[test]
fn the_cursor_stays_where_it_was() {
    let plan = plan("proofs/branches.yaml");
    let (stage, mut ui) = staged(&plan, StepState::Done);
    let elsewhere = plan.steps.iter().find(|step| Some(&step.id) != ui.selected.as_ref()).unwrap().id.clone();
    for start in [None, Some(elsewhere)] {
        ui.selected.clone_from(&start);
        for key in [letter('b'), letter('u'), ESC, ESC] {
            stage.pressed(&mut ui, key);
            assert_eq!(ui.selected, start, "{key:?}");
        }
        ui = UiState { selected: start, ..UiState::default() };
    }
}

#[test]
fn the_footer_offers_only_what_would_be_accepted() {
    let plan = plan("proofs/branches.yaml");
    for state in STATES {
        let (stage, ui) = staged(&plan, state);
        let offered = project(&stage.context(&ui)).keys;
        assert_eq!(offered.iter().rev().take(2).map(|hint| hint.key.as_str()).collect::<Vec<_>>(), ["q", "?"]);
        for hint in offered {
            let keys = hint.key;
            let key = match keys.as_str() {
                "enter" => ENTER,
                "space" => letter(' '),
                "tab" => KeyEvent::new(KeyCode::Tab, KeyModifiers::NONE),
                key => letter(key.chars().next().unwrap()),
            };
            let mut ui = ui.clone();
            let request = stage.pressed(&mut ui, key);
            assert_eq!(ui.refused, None, "{keys} is offered and refused: {state:?}");
            if let Some(Request::Command(command)) = request {
                let input = Input::Operator { by: me(), command };
                assert!(decide(&plan, stage.view.run(), stage.view.board(), NOW, input).is_ok(), "{keys} in {state:?}");
            }
        }
    }
}

fn shown_time(place: Option<PlaybackPosition>) -> ShownTime {
    ShownTime { pace: PaceView { speed: 60, paused: false }, place }
}

fn place() -> PlaybackPosition {
    PlaybackPosition { fact: 41, of: 212, note: None }
}

/// What a key was answered with, in a mode: a request, or a sentence.
fn answer(stage: &Stage, code: KeyCode) -> Result<Request, String> {
    let mut ui = UiState::default();
    let request = stage.pressed(&mut ui, KeyEvent::new(code, KeyModifiers::NONE));
    request.ok_or_else(|| ui.refused.map(|refused| refused.why).or(ui.notice).unwrap_or_default())
}

#[test]
fn time_is_steered_only_where_it_has_a_pace_and_back_only_in_a_replay() {
    let plan = plan("proofs/branches.yaml");
    let (run, board) = reach(&plan, subject(&plan, StepState::Ready), StepState::Ready);
    let mut stage = Stage::new(&plan, run, board);
    let anywhere = [
        ('+', TimeControl::Faster),
        ('-', TimeControl::Slower),
        ('w', TimeControl::Pause),
        ('f', TimeControl::FastForward),
    ];
    for (key, _) in &anywhere {
        assert!(answer(&stage, KeyCode::Char(*key)).is_err_and(|why| why.contains("pace")), "{key}");
    }
    stage.shown_time = Some(shown_time(None));
    for (key, control) in &anywhere {
        assert_eq!(answer(&stage, KeyCode::Char(*key)), Ok(Request::TimeControl(control.clone())));
    }
    for code in [KeyCode::Right, KeyCode::Left, KeyCode::Char('i'), KeyCode::Char('t')] {
        assert!(answer(&stage, code).is_err_and(|why| why.contains("only a replay")), "{code:?}");
    }
    stage.shown_time = Some(shown_time(Some(place())));
    assert_eq!(answer(&stage, KeyCode::Right), Ok(Request::TimeControl(TimeControl::NextDecision)));
    assert_eq!(answer(&stage, KeyCode::Left), Ok(Request::TimeControl(TimeControl::PreviousDecision)));
    assert!(matches!(answer(&stage, KeyCode::Char('i')), Ok(Request::TimeControl(TimeControl::Step(_)))));
}

#[test]
fn nothing_can_be_done_in_a_replay() {
    let plan = plan("proofs/branches.yaml");
    for state in STATES {
        let step = subject(&plan, state);
        let (run, board) = reach(&plan, step, state);
        let mut stage = Stage::new(&plan, run, board);
        stage.shown_time = Some(shown_time(Some(place())));
        for ui in ui_states(&step.id) {
            for key in keys() {
                let mut ui = ui.clone();
                let request = stage.pressed(&mut ui, key);
                assert!(!matches!(request, Some(Request::Command(_))), "{key:?} in {state:?}");
                let asked = ui.prompt.map(|prompt| prompt.ask);
                assert!(matches!(asked, None | Some(Ask::Place)), "{key:?} asks {asked:?}");
            }
        }
    }
}

#[test]
fn a_place_typed_where_there_is_no_way_to_it_does_nothing() {
    let plan = plan("proofs/branches.yaml");
    for paced in [None, Some(shown_time(None))] {
        let (mut stage, mut ui) = staged(&plan, StepState::Ready);
        stage.shown_time = paced;
        assert_eq!(stage.pressed(&mut ui, letter('t')), None);
        assert!(stage.says(&ui).starts_with("refused: "), "{}", stage.says(&ui));
        // Among these letters are keys that ask and keys that would change the pace.
        assert_eq!(stage.types(&mut ui, "T+-w1:02 nsue\n"), []);
        assert!(ui.prompt.is_none() && ui.overlay.is_none(), "{ui:#?}");
        assert!(stage.says(&ui).contains("keys work again"), "{}", stage.says(&ui));
    }
}

#[test]
fn keys_of_time_do_nothing_while_typing_after_a_refusal() {
    let plan = plan("proofs/branches.yaml");
    let (mut stage, mut ui) = staged(&plan, StepState::Gated);
    stage.shown_time = Some(shown_time(None));
    stage.pressed(&mut ui, ENTER);
    for ch in "+-wf".chars() {
        assert_eq!(stage.pressed(&mut ui, letter(ch)), None, "{ch}");
        assert!(stage.says(&ui).contains("did nothing"), "{ch}: {}", stage.says(&ui));
    }
    stage.pressed(&mut ui, ENTER);
    assert_eq!(stage.pressed(&mut ui, letter('+')), Some(Request::TimeControl(TimeControl::Faster)));
}

#[test]
fn the_footer_offers_the_keys_of_time_where_there_is_a_pace() {
    let plan = plan("proofs/branches.yaml");
    let (mut stage, ui) = staged(&plan, StepState::Ready);
    let offered =
        |stage: &Stage| project(&stage.context(&ui)).keys.into_iter().map(|hint| hint.key).collect::<Vec<_>>();
    let time = ["→", "i", "t", "f", "w", "+", "-"];
    assert!(!offered(&stage).iter().any(|key| time.contains(&key.as_str())));
    stage.shown_time = Some(shown_time(None));
    let rehearsed = offered(&stage);
    assert_eq!(rehearsed.iter().filter(|key| time.contains(&key.as_str())).collect::<Vec<_>>(), ["f", "w", "+", "-"]);
    assert_eq!(rehearsed[0], "enter");
    stage.shown_time = Some(shown_time(Some(place())));
    let replayed = offered(&stage);
    // What brings the replay on comes first, then what shows a step, then how to get to another place.
    assert_eq!(replayed[..9], ["→", "f", "w", "tab", "p", "i", "t", "+", "-"]);
    assert_eq!(replayed[replayed.len() - 2..], ["?", "q"]);
    assert!(
        !replayed.iter().any(|key| ["enter", "s", "u", "x", "n", "e", "o"].contains(&key.as_str())),
        "{replayed:?}"
    );
}

/// The last row of the screen at 80×24.
fn footer(screen: &Screen) -> String {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| _ = view::draw(frame, screen, MONO)).unwrap();
    let buffer = terminal.backend().buffer();
    (0..80).map(|col| buffer[(col, 23)].symbol()).collect()
}

#[test]
fn the_keys_that_show_a_gate_stay_in_the_footer_of_a_small_screen() {
    let plan = plan("proofs/branches.yaml");
    for state in STATES {
        let (mut stage, mut ui) = staged(&plan, state);
        for shown_time in [None, Some(shown_time(None)), Some(shown_time(Some(place())))] {
            stage.shown_time = shown_time;
            for (focus, other) in [(Focus::Steps, "tab detail"), (Focus::Detail, "tab steps")] {
                ui.focus = focus;
                let footer = footer(&project(&stage.context(&ui)));
                for key in [other, "p whole", "? help", "q leave"] {
                    assert!(footer.contains(key), "{state:?}: {key} is not in {footer:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_offered_and_what_the_help_calls_possible_is_the_same() {
    let plan = plan("proofs/branches.yaml");
    for state in STATES {
        let (stage, ui) = staged(&plan, state);
        let context = stage.context(&ui);
        let offered = offers(&context);
        let ui = UiState { overlay: Some(Overlay::Help), ..ui.clone() };
        let Some(SheetBody::Lines(lines)) = project(&stage.context(&ui)).overlay.map(|sheet| sheet.body) else {
            panic!("help is a sheet of lines")
        };
        let lines: Vec<String> = lines.iter().map(Text::to_plain).collect();
        let later = lines.iter().position(|line| line == "OTHER KEYS").unwrap();
        for def in KEYS.iter().filter(|def| !def.label.is_empty()) {
            let row = lines.iter().position(|line| line.ends_with(&format!(" {}", def.help))).unwrap();
            let is_offered = offered.iter().any(|offer| offer.action == def.action) || def.action == KeyAction::Here;
            assert_eq!(row < later, is_offered, "{:?} in {state:?}", def.action);
        }
        // What brings the run on is in the conversation with its key, and in the footer.
        let screen = project(&stage.context(&UiState { overlay: None, ..ui }));
        for offer in offered.iter().filter(|offer| offer.next) {
            let key = offer.action.def().unwrap().key();
            let told = screen.conversation.to_plain();
            assert!(told.contains(&format!("  {key} {}", offer.words)), "{state:?}: {told}");
            assert!(screen.keys.iter().any(|hint| hint.key == key), "{state:?}: {key}");
        }
    }
}

/// Names of keys as they could stand in a sentence.
fn key_names() -> Vec<String> {
    let named = KEYS.iter().flat_map(|def| def.binding).map(KeyPress::to_string);
    named.filter(|name| name.chars().all(char::is_alphabetic) && name.to_lowercase() == *name).collect()
}

/// The keys that a text names: in brackets after an advice, or after a word that leads to one.
fn keys_named(text: &str) -> Vec<String> {
    let lead = ["press", "with", "by", "key", "use"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let bare = |word: &str| word.trim_matches(|c: char| "().,;:\"`".contains(c)).to_owned();
    let after = words.windows(2).filter(|pair| lead.contains(&pair[0])).map(|pair| bare(pair[1]));
    let bracketed = words.iter().filter(|word| word.starts_with('(') && word.contains(')')).map(|word| bare(word));
    let does = ["ticks", "shows", "leaves", "takes", "says", "stops", "goes"];
    let before = words.windows(2).filter(|pair| does.contains(&pair[1])).map(|pair| bare(pair[0]));
    let names = key_names();
    after.chain(bracketed).chain(before).filter(|word| names.contains(word)).collect()
}

/// Every command on a step, with nothing wrong in it but the state of the step.
fn commands(stage: &Stage, step: &Step) -> Vec<Command> {
    let seen = || picture(stage.plan, stage.view.run(), stage.view.board(), NOW, step);
    let id = || step.id.clone();
    let reason = || "a reason of some length".to_owned();
    let confirmation =
        || Confirmation { step: id(), typed: "go".to_owned(), second: None, seen: seen(), shown: Span(60_000) };
    vec![
        Command::Confirm(confirmation()),
        Command::Override { confirmation: confirmation(), reason: reason() },
        Command::Acknowledge { step: id(), item: 0 },
        Command::Skip { step: id(), reason: reason() },
        Command::Stop(confirmation()),
        Command::VerifyAgain { step: id() },
        Command::Resolve { step: id(), finding: Finding::Happened, reason: reason(), seen: seen() },
        Command::Undo(confirmation()),
        Command::TakenBackByHand { step: id(), reason: reason(), seen: seen() },
        Command::End { how: Ending::Completed },
        Command::End { how: Ending::RolledBack },
    ]
}

#[test]
fn no_refusal_of_the_core_names_a_key() {
    assert_eq!(keys_named("stop it with x first, or take it back (u); p shows it"), ["x", "u", "p"]);
    let plan = plan("proofs/branches.yaml");
    let mut refused = 0;
    for state in STATES {
        for step in &plan.steps {
            let (run, board) = reach(&plan, step, state);
            let stage = Stage::new(&plan, run, board);
            for command in commands(&stage, step) {
                let input = Input::Operator { by: me(), command };
                let Err(refusal) = decide(&plan, stage.view.run(), stage.view.board(), NOW, input) else { continue };
                refused += 1;
                assert_eq!(keys_named(&refusal.to_string()), [""; 0], "{refusal}");
            }
        }
    }
    assert!(refused > 300, "{refused}");
}

/// What the source of the core says, without comments.
#[test]
fn no_text_in_the_core_names_a_key() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
                for text in line.split('"').skip(1).step_by(2) {
                    read += 1;
                    assert_eq!(keys_named(text), [""; 0], "{}: {text}", path.display());
                }
            }
        }
    }
    assert!(read > 500, "{read}");
}

#[test]
fn lines_for_a_front_end_with_orders_name_orders_and_no_keys() {
    let plan = plan("proofs/branches.yaml");
    for state in STATES {
        for overlay in [None, Some(Overlay::Step), Some(Overlay::WayBack)] {
            let (mut stage, ui) = staged(&plan, state);
            stage.refusal = Some(Refusal::NoUndo(subject(&plan, state).id.clone()));
            let ui = UiState { overlay, front_end: FrontEnd::Orders, ..ui };
            let mut screen = project(&stage.context(&ui));
            let mut lines = gonogo::ui::plain::lines(&screen);
            if let Some(SheetBody::Lines(sheet)) = screen.overlay.take().map(|sheet| sheet.body) {
                lines.extend(sheet.iter().map(Text::to_plain));
            }
            let n = subject(&plan, state).number;
            assert!(lines.iter().any(|line| line.contains(&format!("(by-hand {n} REASON)"))), "{lines:#?}");
            for line in lines {
                assert_eq!(keys_named(&line), [""; 0], "{state:?}: {line}");
            }
        }
    }
}

#[test]
fn what_is_advised_is_not_refused() {
    let plan = plan("proofs/branches.yaml");
    let mut advised = 0;
    for state in STATES {
        for step in &plan.steps {
            let (run, board) = reach(&plan, step, state);
            let stage = Stage::new(&plan, run, board);
            let ui = UiState { selected: Some(step.id.clone()), open_for: Span::secs(60), ..UiState::default() };
            for key in
                [ENTER, letter('o'), letter('s'), letter('u'), letter('h'), letter('x'), letter('v'), letter('d')]
            {
                let mut asked = ui.clone();
                stage.pressed(&mut asked, key);
                let Some(refused) = asked.refused else { continue };
                for way in ['u', 'h', 'd', 'x'].into_iter().filter(|way| refused.why.contains(&format!("({way})"))) {
                    advised += 1;
                    let mut ui = ui.clone();
                    stage.pressed(&mut ui, letter(way));
                    assert_eq!(ui.refused, None, "{state:?}: {key:?} was answered with {}", refused.why);
                }
            }
        }
    }
    assert!(advised > 20, "{advised}");
}

#[test]
fn a_replay_offers_nothing_that_it_cannot_do() {
    let plan = plan("proofs/branches.yaml");
    for state in STATES {
        let (mut stage, ui) = staged(&plan, state);
        stage.shown_time = Some(shown_time(Some(place())));
        let lines = gonogo::ui::plain::lines(&project(&stage.context(&ui)));
        assert!(!lines.iter().any(|line| line.contains("press ") || line.contains("what became of it")), "{lines:#?}");
    }
}
