//! What is printed without being asked for: every fact, the step where the run is when its picture changes, probes that
//! begin or stop failing, and what can be done next. Decides and orders nothing.

use crate::words;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{PlainCockpit, Printing, orders_ui};
use crate::core::evidence::Verdict;
use crate::core::expr::{Condition, Sight};
use crate::core::ids::{ProbeId, StepId};
use crate::core::input::Picture;
use crate::core::plan::Step;
use crate::core::poll::gates;
use crate::core::status::{StepState, picture, step_state};
use crate::screen::keys::KeyAction;
use crate::screen::offers::{Offer, all_settled, offers};
use crate::screen::{Block, Overlay, Screen, Text, UiState, here, name_of, project};
use crate::session::RunSession;
use crate::ui::plain;

/// A step whose gates go back and forth is told at most this often; whatever else happens to it, at once.
const FLICKER: Duration = Duration::from_secs(1);

/// A step whose gates are UNKNOWN for another reason than before is told at most this often.
const REASONS: Duration = Duration::from_secs(5);

/// How often a watcher is told the newest readings.
const WATCH: Duration = Duration::from_secs(10);

/// What has been told already.
pub(super) struct Told {
    /// The step told last without having been asked for.
    step: Option<(StepId, Picture)>,
    /// Why its gates are UNKNOWN.
    unknown: Vec<String>,
    step_at: Instant,
    /// What was told to be next, and after how many facts.
    next: (String, u64),
    /// Previews told in full.
    previews: BTreeMap<StepId, String>,
    /// The newest fact told.
    seq: Option<u64>,
    opened: bool,
    faulted: bool,
    silent: bool,
    failing: BTreeMap<ProbeId, bool>,
    panes_at: Instant,
}

impl Told {
    /// Nothing but the facts up to `seq`.
    pub(super) fn from(seq: Option<u64>) -> Self {
        let now = Instant::now();
        Self {
            step: None,
            unknown: Vec::new(),
            step_at: now,
            next: (String::new(), 0),
            previews: BTreeMap::new(),
            seq,
            opened: false,
            faulted: false,
            silent: false,
            failing: BTreeMap::new(),
            panes_at: now,
        }
    }
}

/// How much of a step is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Where it stands, and its gates.
    State,
    /// Everything except a long preview.
    Most,
    /// All.
    Whole,
}

impl<S: RunSession> PlainCockpit<S> {
    pub(super) fn project(&self, ui: &UiState) -> Screen {
        project(&self.context(ui))
    }

    /// Tells what has changed since it was told last. While something is being printed it waits, since changes in
    /// between need not be told.
    pub(super) fn report(&mut self) {
        if !matches!(self.printing, Printing::Idle) || !self.queue.is_empty() {
            return;
        }
        let run = self.session.run();
        let ended = run.ended.is_some();
        // Not before the takeover is recorded: the header says who drives.
        let seated = run.driver.is_some() || !self.session.status().recording;
        if !self.told.opened && (self.watching || run.mode.is_some() && seated) {
            self.told.opened = true;
            self.open();
        }
        self.facts();
        let report = self.session.take_report();
        self.say_all(report);
        if !self.told.faulted && self.session.fault().is_some() {
            self.told.faulted = true;
            let alarm = self.project(&orders_ui()).header.alarm;
            self.say_all(alarm);
        }
        let silent = self.session.status().silent.is_some();
        if silent != std::mem::replace(&mut self.told.silent, silent) {
            let alarm = self.project(&orders_ui()).header.alarm;
            let again = "the journal answers again".to_owned();
            self.say_all(if silent { alarm } else { Some(again).filter(|_| self.session.fault().is_none()) });
        }
        self.probes();
        if self.told.opened && !self.watching && !ended {
            self.step();
        }
    }

    fn open(&mut self) {
        let screen = self.project(&orders_ui());
        let header = plain::header_lines(&screen);
        self.say_all(header);
        if self.watching {
            self.say("watching: nothing is done from here; help lists the commands");
        } else {
            self.say(format!("steps: {}; help lists the commands", screen.steps.heading));
        }
    }

    /// Every new fact is a line.
    fn facts(&mut self) {
        if self.watching {
            return;
        }
        let from = self.told.seq;
        let new = self.session.log().iter().filter(|recorded| from.is_none_or(|seq| recorded.seq > seq));
        let mut lines = Vec::new();
        let mut last = from;
        for recorded in new {
            let missed = last.map_or(0, |last| recorded.seq.saturating_sub(last + 1));
            if missed > 0 {
                lines.push(format!("{missed} facts were not told; gonogo log {} has them", self.run_name));
            }
            let (who, what) = words::fact(self.session.plan(), &recorded.fact);
            lines.push(format!("{} {who}: {what}", words::utc(recorded.at)));
            last = Some(recorded.seq);
        }
        self.told.seq = last;
        self.say_all(lines);
    }

    /// Tells which probes began to fail, or no longer do.
    fn probes(&mut self) {
        let mut changed = Vec::new();
        for probe in self.session.plan().probes.keys() {
            let fails = self.session.board().latest(probe).is_some_and(|latest| latest.failure.is_some());
            if fails != self.told.failing.get(probe).copied().unwrap_or(false) {
                changed.push((probe.clone(), fails));
            }
        }
        let every = self.watching && self.told.panes_at.elapsed() >= WATCH;
        if changed.is_empty() && !every {
            return;
        }
        let screen = self.project(&orders_ui());
        for pane in &screen.panes {
            match changed.iter().find(|(probe, _)| *probe == pane.probe) {
                Some((_, true)) => self.say(format!(
                    "probe {} FAILS: {}",
                    pane.title,
                    pane.lines.first().map(Text::to_plain).unwrap_or_default()
                )),
                Some((_, false)) => self.say(format!("probe {} answers again", pane.title)),
                None => {}
            }
            if every {
                self.say_all(plain::pane_lines(pane));
            }
        }
        if every {
            self.told.panes_at = Instant::now();
        }
        self.told.failing.extend(changed);
    }

    fn picture(&self, step: &Step) -> Picture {
        picture(self.session.plan(), self.session.run(), self.session.board(), self.session.now(), step)
    }

    /// Tells the step where the run is, when its picture differs from the one told last.
    fn step(&mut self) {
        let Some(step) = here(&self.context(&orders_ui())).cloned() else { return };
        let present = (step.id.clone(), self.picture(&step));
        let unknown = self.unknown(&step, &present.1);
        if self.told.step.as_ref() == Some(&present)
            && (self.told.unknown == unknown || self.told.step_at.elapsed() < REASONS)
        {
            return self.next_after_a_fact(&step);
        }
        let gates_only = self.told.step.as_ref().is_some_and(|(id, told)| {
            let open = |picture: &Picture| matches!(picture.state, "ready" | "gated");
            *id == present.0 && told.attempts == present.1.attempts && open(told) && open(&present.1)
        });
        if gates_only && self.told.step_at.elapsed() < FLICKER {
            return;
        }
        let whole = self.told.previews.get(&step.id) != Some(&present.1.preview) && !present.1.preview.is_empty();
        self.told.previews.insert(step.id.clone(), present.1.preview.clone());
        self.tell(&step, if whole { Depth::Most } else { Depth::State });
        self.told.step = Some(present);
        self.told.unknown = unknown;
        self.told.step_at = Instant::now();
        self.told.next = (self.next(&step), self.session.run().facts);
    }

    /// Why gates of a step are UNKNOWN, without for how long.
    fn unknown(&self, step: &Step, picture: &Picture) -> Vec<String> {
        if picture.gates.iter().all(|(_, verdict, _)| *verdict != Verdict::Unknown) {
            return Vec::new();
        }
        let (plan, board, now) = (self.session.plan(), self.session.board(), self.session.now());
        let asked = step.gates.iter().map(|gate| gate.condition).chain(step.guards.iter().map(|guard| guard.condition));
        let probes: BTreeSet<&ProbeId> =
            asked.filter_map(|id| plan.condition(id)).flat_map(Condition::probes).collect();
        let unseen = probes.into_iter().filter_map(|probe| match board.sight(now, probe) {
            Sight::Fresh { .. } => None,
            Sight::Failed { what, .. } => Some(format!("{probe}: {what}")),
            Sight::Stale { .. } => Some(format!("{probe} is stale")),
            Sight::Missing => Some(format!("{probe} is missing")),
        });
        let unseen: Vec<String> = unseen.collect();
        if unseen.is_empty() {
            let terms =
                gates(plan, self.session.run(), board, now, step).into_iter().flat_map(|gate| gate.assessment.terms);
            return terms.filter_map(|term| term.why).collect();
        }
        unseen
    }

    /// What can be done next, when a fact changed that and nothing else: an item was ticked, a job was told to stop.
    fn next_after_a_fact(&mut self, step: &Step) {
        let facts = self.session.run().facts;
        if facts == self.told.next.1 {
            return;
        }
        let next = self.next(step);
        if next != self.told.next.0 {
            self.say(&next);
        }
        self.told.next = (next, facts);
    }

    /// Prints a step.
    pub(super) fn tell(&mut self, step: &Step, depth: Depth) {
        let overlay = (depth == Depth::Whole).then_some(Overlay::Step);
        let ui = UiState { selected: Some(step.id.clone()), overlay, ..orders_ui() };
        // The picture is taken first: a picture newer than the printed lines would confirm more than was read.
        let picture = self.picture(step);
        let mut detail = self.project(&ui).detail;
        if depth == Depth::State {
            detail.right.clear();
            detail.blocks.retain(|block| match block {
                Block::Board { .. } => true,
                Block::Lines { heading, .. } => {
                    matches!(heading.as_str(), "NOW" | "TAKING ITSELF BACK" | "TAKING BACK")
                }
            });
        }
        self.say_all(plain::detail_lines(&detail));
        let next = self.next(step);
        self.say(next);
        self.queued.push((step.id.clone(), picture));
    }

    /// What can be done next, in one sentence.
    fn next(&self, step: &Step) -> String {
        let ui = UiState { selected: Some(step.id.clone()), ..orders_ui() };
        let (context, run) = (self.context(&ui), self.session.run());
        let offers = offers(&context);
        let orders = offers.iter().filter(|offer| offer.next).filter_map(|offer| {
            let order = name_of(&context, offer.action, offer.step)?;
            Some(match (offer.action, offer.step) {
                // The item is named, since the order is the same for each of them.
                (KeyAction::Tick, _) => format!("{order} ({})", offer.words),
                // What is confirmed must have been told before.
                (KeyAction::Undo | KeyAction::ByHand, Some(other)) if other.id != step.id => {
                    format!("show {}, then {order}", other.number)
                }
                _ => order,
            })
        });
        let told: Vec<String> = self.lead(step, &offers).map(str::to_owned).into_iter().chain(orders).collect();
        let told = told.join("; or ");
        if self.session.is_replay() {
            return format!("next: {told}; nothing is done from here");
        }
        let over = if run.ended.is_some() {
            "the run is over; "
        } else if all_settled(&context) {
            "every step is done; "
        } else {
            ""
        };
        format!("next: {over}{told}")
    }

    /// What is to be said before the orders: what is waited for, or that there is nothing to do.
    fn lead(&self, step: &Step, offers: &[Offer]) -> Option<&'static str> {
        let (plan, run) = (self.session.plan(), self.session.run());
        if self.watching {
            return Some("nothing is done from here");
        }
        if self.session.is_replay() || run.ended.is_some() {
            return None;
        }
        if offers.iter().any(|offer| offer.next && offer.action == KeyAction::End) {
            return None;
        }
        match step_state(plan, run, self.session.board(), self.session.now(), step) {
            StepState::Waiting => Some("wait for the steps it needs"),
            StepState::Gated => Some("wait for its gates"),
            StepState::Running if offers.iter().any(|offer| offer.action == KeyAction::Tick) => None,
            StepState::Running | StepState::Reverting | StepState::Undoing | StepState::Verifying => {
                Some("wait for it")
            }
            StepState::Done | StepState::Skipped => Some("go on with the others"),
            StepState::Undone if !offers.iter().any(|offer| offer.next && offer.action == KeyAction::Undo) => {
                Some("go on with the others")
            }
            StepState::Undone | StepState::Ready | StepState::Failed | StepState::InDoubt => None,
        }
    }

    pub(super) fn show_all(&mut self) {
        let (steps, phases) = (self.session.plan().steps.len(), self.session.plan().phases.len());
        let ui = UiState { list_rows: steps + phases, ..orders_ui() };
        let context = self.context(&ui);
        let at = here(&context).map(|step| (step.id.clone(), self.picture(step), self.next(step)));
        let mut screen = project(&context);
        if let Some((id, picture, next)) = at {
            screen.conversation = Text::plain(next);
            self.queued.push((id, picture));
        }
        self.say_all(plain::lines(&screen));
    }
}
