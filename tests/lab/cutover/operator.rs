//! An operator who reads the screen and presses keys. Knows the cockpit only by what it shows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::console::{Console, View};

/// A question must have been on screen for this long before its answer counts.
const ARMING: Duration = Duration::from_millis(300);
/// How long anything that is under way may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the cockpit may take to react to a key.
const REACTION: Duration = Duration::from_secs(20);

/// What the line above the keys says.
#[derive(Clone, Debug, PartialEq)]
pub enum Says {
    /// The step with this number is in this state; the flag tells a checklist that wants to be ticked.
    Step { number: usize, state: String, checklist: bool },
    /// A question that is answered with this word.
    Question { word: String },
    /// A question that wants a reason.
    Reason,
    /// A question that is answered with one of a few words, or with a key.
    Choice,
    /// Every step is done or skipped.
    AllDone,
    /// The run is over.
    Over,
    /// Something was refused, with the reason.
    Refused(String),
    /// Nothing to react to: a decision is being recorded, or the cockpit is coming up.
    Busy,
    /// Any other remark.
    Remark(String),
}

impl Says {
    pub fn of(view: &View) -> Self {
        let Some(line) = view.conversation() else { return Says::Busy };
        if line.is_empty() || line.starts_with("recording") {
            return Says::Busy;
        }
        if let Some(why) = line.strip_prefix("refused: ") {
            return Says::Refused(why.to_owned());
        }
        if line.starts_with("every step is done") {
            return Says::AllDone;
        }
        if line.starts_with("the run is over") {
            return Says::Over;
        }
        let words = ["start ", "TAKE BACK ", "OVERRIDE and", "STOP "].iter().any(|begins| line.starts_with(begins));
        if let (true, Some((_, rest))) = (words, line.rsplit_once(": type ")) {
            return Says::Question { word: rest.split_whitespace().next().unwrap_or_default().to_owned() };
        }
        if line.contains("how do you know ›") || line.contains("; why ›") {
            return Says::Reason;
        }
        if line.contains("what became of it?") || line.starts_with("end the run") || line.starts_with("leave?") {
            return Says::Choice;
        }
        if let Some((number, rest)) = line.split_once(" is ")
            && let Ok(number) = number.parse()
        {
            let state = rest.split("  ").next().unwrap_or_default().trim().to_owned();
            return Says::Step { number, state, checklist: rest.contains("tick the next item") };
        }
        Says::Remark(line)
    }
}

/// How far to drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Until every step is done.
    End,
    /// Until the run has come to the step with this number.
    Step(usize),
}

/// What stopped the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    Reached,
    /// A step failed or is in doubt: somebody must look at the world.
    Trouble {
        number: usize,
        state: String,
    },
    /// The cockpit was killed, as was asked for.
    Killed,
}

/// When a cockpit is killed under its operator's hands.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// So long after the answer to the `nth` question from here on was sent.
    AfterAnswer { nth: usize, delay: Duration },
    /// So long after a step was first seen running, being verified or in doubt.
    UnderWay { delay: Duration },
    /// So long after the operator sat down.
    After(Duration),
    /// Only in the middle of something delicate.
    Delicate,
}

/// What the operator remembers of a run: which steps were confirmed how often, also over several cockpits.
pub type Confirmations = BTreeMap<usize, usize>;

pub struct Operator {
    pub console: Console,
    /// How often each step was confirmed to be started.
    pub confirmed: Confirmations,
    /// The last screen that was looked at.
    pub last: View,
    /// Numbers of steps that were started at this console, in order.
    pub started: Vec<usize>,
    killing: Option<(Moment, Option<Instant>)>,
    /// Numbers of the steps whose start is a moment to kill at, whatever the count, and how long after it.
    delicate: BTreeMap<usize, Duration>,
    /// How long after the start of taking a step back is a moment to kill at, whatever the count.
    delicate_back: Option<Duration>,
    /// The step that is stopped under way, so that it takes itself back, and how long after its start.
    pub stopping: Option<(usize, Duration)>,
    answers: usize,
    killed: bool,
}

impl Operator {
    pub fn at(console: Console) -> Self {
        Self {
            console,
            confirmed: Confirmations::new(),
            last: View::default(),
            started: Vec::new(),
            killing: None,
            delicate: BTreeMap::new(),
            delicate_back: None,
            stopping: None,
            answers: 0,
            killed: false,
        }
    }

    /// The same, where the cockpit will be killed; sooner when one of the `delicate` steps is started, or a step is
    /// begun to be taken back.
    pub fn to_be_killed(
        console: Console,
        moment: Moment,
        delicate: BTreeMap<usize, Duration>,
        delicate_back: Duration,
    ) -> Self {
        let at = match moment {
            Moment::After(delay) => Some(Instant::now() + delay),
            _ => None,
        };
        Self { killing: Some((moment, at)), delicate, delicate_back: Some(delicate_back), ..Self::at(console) }
    }

    /// Drives on, step after step, by what the screen says.
    pub fn drive(&mut self, goal: Goal) -> Stop {
        // Progress means that a step is in another state; remarks come and go.
        let mut since = Instant::now();
        let mut before = None;
        loop {
            if self.kill_if_due() {
                return Stop::Killed;
            }
            let view = self.console.view();
            let says = Says::of(&view);
            self.last = view.clone();
            if let Says::Step { number, state, .. } = &says
                && before.as_ref() != Some(&(*number, state.clone(), self.started.len()))
            {
                since = Instant::now();
                before = Some((*number, state.clone(), self.started.len()));
            }
            assert!(since.elapsed() < PATIENCE, "no progress for {PATIENCE:?} ({says:?}); screen:\n{}", view.text());
            if let Some(code) = self.console.ended() {
                panic!("the cockpit ended with {code}; screen:\n{}", self.console.view().text());
            }
            match says {
                Says::AllDone => return Stop::Reached,
                Says::Over => panic!("the run is over already; screen:\n{}", view.text()),
                Says::Step { number, ref state, checklist } => {
                    if goal == Goal::Step(number) && state != "done" {
                        return Stop::Reached;
                    }
                    match state.as_str() {
                        "ready" => self.press("\r", &view),
                        "running" if checklist => self.press(" ", &view),
                        "done" | "skipped" => self.press("g", &view),
                        "undone" => self.press("\r", &view),
                        "failed" | "in doubt" => {
                            self.under_way();
                            // A command may be found again a moment after a cockpit came up.
                            if since.elapsed() > Duration::from_millis(700) {
                                return Stop::Trouble { number, state: state.clone() };
                            }
                            self.wait(&view);
                        }
                        "running" | "verifying" | "reverting" | "undoing" => {
                            self.under_way();
                            self.wait(&view);
                        }
                        _ => self.wait(&view),
                    }
                }
                Says::Question { word } => self.answer(&word, &view),
                // Any key takes a refusal or a remark away; ctrl-l draws the screen anew and nothing else.
                Says::Refused(_) | Says::Remark(_) => self.press("\x0c", &view),
                Says::Busy => self.wait(&view),
                Says::Reason | Says::Choice => panic!("an unexpected question; screen:\n{}", view.text()),
            }
        }
    }

    /// Starts the selected step as soon as its gates have been open for long enough.
    pub fn start_here(&mut self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let view = self.console.view();
            match Says::of(&view) {
                Says::Question { word } => return self.answer(&word, &view),
                Says::Refused(why) | Says::Remark(why) => {
                    assert!(Instant::now() < end, "refused for {PATIENCE:?}: {why}; screen:\n{}", view.text());
                    self.press("\x0c", &view);
                }
                Says::Busy => self.wait(&view),
                _ => self.press("\r", &view),
            }
            assert!(Instant::now() < end, "it does not start; screen:\n{}", view.text());
        }
    }

    /// Answers a question with its word, not before it has been there long enough to be read.
    fn answer(&mut self, word: &str, view: &View) {
        let line = view.conversation().unwrap_or_default();
        let armed = Instant::now() + ARMING;
        while Instant::now() < armed {
            if self.kill_if_due() {
                return;
            }
            let now = self.console.view();
            if now.conversation().as_ref() != Some(&line) {
                return;
            }
            self.console.wait_for_news(&now, armed.saturating_duration_since(Instant::now()));
        }
        self.console.press(word);
        let typed = format!("› {word}");
        self.console.wait("what was typed", REACTION, |view| {
            view.conversation().is_none_or(|line| line.contains(&typed) || !line.contains('›')).then_some(())
        });
        let number = line.strip_prefix("start ").and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        if let Some(number) = number {
            *self.confirmed.entry(number).or_default() += 1;
            self.started.push(number);
        }
        self.console.press("\r");
        self.answers += 1;
        let stopping = self.stopping.filter(|(step, _)| Some(*step) == number);
        if let Some((_, delay)) = stopping {
            // Not a wait: the moment of the key is what the seed has drawn.
            std::thread::sleep(delay);
            self.console.press("x");
            self.stopping = None;
        }
        let back = self.delicate_back.as_ref().filter(|_| line.starts_with("TAKE BACK "));
        let delicate = number.and_then(|number| self.delicate.get(&number)).or(back);
        if let Some((moment, at @ None)) = &mut self.killing {
            let usual = match moment {
                Moment::AfterAnswer { nth, delay } if self.answers >= *nth => Some(&*delay),
                _ => None,
            };
            *at = delicate.or(usual).map(|delay| Instant::now() + *delay);
        }
        self.gone(&line);
    }

    /// Waits until the question has gone.
    fn gone(&mut self, line: &str) {
        let end = Instant::now() + REACTION;
        loop {
            if self.kill_if_due() {
                return;
            }
            let view = self.console.view();
            let asked = line.split('›').next().unwrap_or(line);
            if view.conversation().is_none_or(|now| !now.starts_with(asked)) {
                return;
            }
            assert!(Instant::now() < end, "the answer is not taken; screen:\n{}", view.text());
            self.wait(&view);
        }
    }

    /// Says what became of the step in doubt under the cursor: `happened`, `not` or `half`, and why.
    pub fn resolve(&mut self, finding: &str, reason: &str) {
        self.choose("d", finding);
        self.give_reason(reason);
    }

    /// Opens a question with `key` and answers it with a word.
    pub fn choose(&mut self, key: &str, answer: &str) {
        self.console.press(key);
        self.console.wait("a choice", REACTION, |view| (Says::of(view) == Says::Choice).then_some(()));
        self.console.press(answer);
        self.console.press("\r");
        self.console.wait("the choice to be taken", REACTION, |view| (Says::of(view) != Says::Choice).then_some(()));
    }

    fn give_reason(&mut self, reason: &str) {
        self.console.wait("the question for a reason", REACTION, |view| (Says::of(view) == Says::Reason).then_some(()));
        self.console.press(reason);
        self.console.press("\r");
        self.console.wait("the reason to be taken", REACTION, |view| (Says::of(view) != Says::Reason).then_some(()));
        self.settled();
    }

    /// Has the checks of the failed step under the cursor looked at again.
    pub fn verify_again(&mut self) {
        let view = self.console.view();
        self.press("v", &view);
        self.settled();
    }

    /// Waits until nothing is being recorded, and fails on a refusal.
    pub fn settled(&self) {
        self.console.wait("the decision to be recorded", REACTION, |view| match Says::of(view) {
            Says::Busy => None,
            Says::Refused(why) => panic!("refused: {why}; screen:\n{}", view.text()),
            _ => Some(()),
        });
    }

    /// Takes back what the sheet of the way back names first. `None` when there is nothing left; else the question
    /// that was answered.
    pub fn take_back_first(&mut self) -> Option<String> {
        if !self.console.view().has("The way back from here") {
            self.console.press("b");
        }
        let nothing = self.console.wait("the way back", REACTION, |view| {
            view.has("The way back from here").then(|| view.has("There is nothing to take back"))
        });
        if nothing {
            return None;
        }
        Some(self.take_back("u"))
    }

    /// Takes back what `key` asks about; the question that was answered.
    fn take_back(&mut self, key: &str) -> String {
        let question = self.begin_to_take_back(key);
        self.settled();
        // Done when the step is neither on its way back nor in trouble.
        self.console.wait("the step to be taken back", PATIENCE, |view| match Says::of(view) {
            Says::Step { state, .. } if state == "undone" => Some(()),
            Says::Step { state, .. } if state == "failed" || state == "in doubt" => {
                panic!("taking back ended {state}; screen:\n{}", view.text())
            }
            Says::Refused(why) => panic!("refused: {why}; screen:\n{}", view.text()),
            _ => None,
        });
        question
    }

    /// Takes back the step with this number, which is the first on the open sheet or under the cursor, and follows it
    /// until trouble or the end of the cockpit.
    pub fn take_back_step(&mut self, number: usize) -> Stop {
        self.begin_to_take_back("u");
        self.follow_back(number)
    }

    /// Waits until the step with this number is taken back.
    pub fn follow_back(&mut self, number: usize) -> Stop {
        let end = Instant::now() + PATIENCE;
        loop {
            if self.kill_if_due() {
                return Stop::Killed;
            }
            let view = self.console.view();
            self.last = view.clone();
            match Says::of(&view) {
                Says::Step { number: at, state, .. } if at == number => match state.as_str() {
                    "undone" => return Stop::Reached,
                    "failed" | "in doubt" => return Stop::Trouble { number, state },
                    _ => self.wait(&view),
                },
                Says::Refused(_) | Says::Remark(_) => self.press("\x0c", &view),
                _ => self.wait(&view),
            }
            assert!(Instant::now() < end, "it is not taken back; screen:\n{}", view.text());
        }
    }

    /// Opens the sheet of the way back; the number of the step that it would take back first.
    pub fn first_on_the_way_back(&mut self) -> Option<usize> {
        if !self.console.view().has("The way back from here") {
            self.console.press("b");
        }
        self.console.wait("the way back", REACTION, |view| {
            if !view.has("The way back from here") {
                return None;
            }
            if view.has("There is nothing to take back") {
                return Some(None);
            }
            view.rows().iter().find_map(|row| {
                let (_, line) = row.split_once(" 1. ")?;
                line.split_whitespace().next()?.parse().ok().map(Some)
            })
        })
    }

    /// Closes the sheet.
    pub fn close_sheet(&mut self) {
        if self.console.view().has("The way back from here") {
            self.console.press("\x1b");
        }
        self.console.wait("the sheet to close", REACTION, |view| (!view.has("The way back from here")).then_some(()));
    }

    /// Answers the question that `key` asks; the question.
    fn begin_to_take_back(&mut self, key: &str) -> String {
        self.console.press(key);
        let word = self.console.wait("the question", REACTION, |view| match Says::of(view) {
            Says::Question { word } => Some(word),
            Says::Refused(why) | Says::Remark(why) => panic!("no question but: {why}; screen:\n{}", view.text()),
            _ => None,
        });
        let view = self.console.view();
        let question = view.conversation().unwrap_or_default();
        self.answer(&word, &view);
        question
    }

    /// Ends the run with `answer` (`complete`, `rolled-back`) and waits until the screen says so.
    pub fn end(&mut self, answer: &str, alarm: &str) -> View {
        self.choose("e", answer);
        self.console.wait("the end of the run", REACTION, |view| match Says::of(view) {
            Says::Refused(why) => panic!("refused: {why}; screen:\n{}", view.text()),
            _ => view.has(alarm).then(|| view.clone()),
        })
    }

    /// Leaves an ended run; the exit status.
    pub fn leave(&mut self) -> u32 {
        self.console.press("q");
        self.console.exit_code(Duration::from_mins(1))
    }

    fn press(&mut self, keys: &str, view: &View) {
        self.console.press(keys);
        self.wait(view);
    }

    fn wait(&self, view: &View) {
        let due = match self.killing {
            Some((_, Some(at))) => at.saturating_duration_since(Instant::now()),
            _ => Duration::MAX,
        };
        self.console.wait_for_news(view, due.min(Duration::from_millis(500)));
    }

    pub fn under_way(&mut self) {
        if let Some((Moment::UnderWay { delay }, at @ None)) = &mut self.killing {
            *at = Some(Instant::now() + *delay);
        }
    }

    pub fn kill_if_due(&mut self) -> bool {
        let due = matches!(self.killing, Some((_, Some(at))) if Instant::now() >= at);
        if due && !self.killed {
            self.last = self.console.view();
            self.console.kill_hard();
            self.killed = true;
        }
        due
    }
}
