//! What is told: every fact, the step where the run is when its picture changes, probes that begin or cease to fail,
//! and what can be done next. Decides and orders nothing.

use crate::words;
use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{PlainCockpit, Printing};
use crate::core::ids::{ProbeId, StepId};
use crate::core::input::Picture;
use crate::core::plan::{Confirm, Step};
use crate::core::standing::{StepState, picture, step_state, stop_word, undo_word, word};
use crate::core::state::Phase;
use crate::screen::keys::Does;
use crate::screen::{Block, Desk, Overlay, Screen, Text, here, project, works};
use crate::session::RunSession;
use crate::ui::plain;

/// A step whose gates go back and forth is told at most this often; whatever else happens to it, at once.
const FLICKER: Duration = Duration::from_secs(1);

/// How often a watcher is told the newest readings.
const WATCH: Duration = Duration::from_secs(10);

/// What has been told already.
pub(super) struct Told {
    /// The step told last without having been asked for.
    step: Option<(StepId, Picture)>,
    step_at: Instant,
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
            step_at: now,
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
    /// All but a long preview.
    Most,
    /// All.
    Whole,
}

impl<S: RunSession> PlainCockpit<S> {
    pub(super) fn project(&self, desk: &Desk) -> Screen {
        project(&self.stage.scene(desk, &self.run_name, self.watching))
    }

    /// Tells what has changed since it was told last. While something is being printed it waits: there will be less
    /// to tell.
    pub(super) fn report(&mut self) {
        if !matches!(self.printing, Printing::Idle) || !self.queue.is_empty() {
            return;
        }
        let run = self.stage.run();
        let ended = run.ended.is_some();
        // Not before the takeover is recorded: the header says who drives.
        let seated = run.driver.is_some() || !self.stage.status().recording;
        if !self.told.opened && (self.watching || run.mode.is_some() && seated) {
            self.told.opened = true;
            self.open();
        }
        self.facts();
        let report = self.stage.take_report();
        self.say_all(report);
        if !self.told.faulted && self.stage.fault().is_some() {
            self.told.faulted = true;
            let alarm = self.project(&Desk::default()).header.alarm;
            self.say_all(alarm);
        }
        let silent = self.stage.status().silent.is_some();
        if silent != std::mem::replace(&mut self.told.silent, silent) {
            let alarm = self.project(&Desk::default()).header.alarm;
            let again = "the journal answers again".to_owned();
            self.say_all(if silent { alarm } else { Some(again).filter(|_| self.stage.fault().is_none()) });
        }
        self.probes();
        if self.told.opened && !self.watching && !ended {
            self.step();
        }
    }

    fn open(&mut self) {
        let screen = self.project(&Desk::default());
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
        let new = self.stage.log().iter().filter(|recorded| from.is_none_or(|seq| recorded.seq > seq));
        let mut lines = Vec::new();
        let mut last = from;
        for recorded in new {
            let missed = last.map_or(0, |last| recorded.seq.saturating_sub(last + 1));
            if missed > 0 {
                lines.push(format!("{missed} facts were not told; gonogo log {} has them", self.run_name));
            }
            let (who, what) = words::fact(self.stage.plan(), &recorded.fact);
            lines.push(format!("{} {who}: {what}", words::utc(recorded.at)));
            last = Some(recorded.seq);
        }
        self.told.seq = last;
        self.say_all(lines);
    }

    /// Probes that began or ceased to fail.
    fn probes(&mut self) {
        let mut changed = Vec::new();
        for probe in self.stage.plan().probes.keys() {
            let fails = self.stage.board().latest(probe).is_some_and(|latest| latest.failure.is_some());
            if fails != self.told.failing.get(probe).copied().unwrap_or(false) {
                changed.push((probe.clone(), fails));
            }
        }
        let every = self.watching && self.told.panes_at.elapsed() >= WATCH;
        if changed.is_empty() && !every {
            return;
        }
        let screen = self.project(&Desk::default());
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
        picture(self.stage.plan(), self.stage.run(), self.stage.board(), self.stage.now(), step)
    }

    /// The step where the run is, when its picture is another than told.
    fn step(&mut self) {
        let desk = Desk::default();
        let scene = self.stage.scene(&desk, &self.run_name, self.watching);
        let Some(step) = here(&scene).cloned() else { return };
        let present = (step.id.clone(), self.picture(&step));
        if self.told.step.as_ref() == Some(&present) {
            return;
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
        self.told.step_at = Instant::now();
    }

    /// Prints a step.
    pub(super) fn tell(&mut self, step: &Step, depth: Depth) {
        let overlay = (depth == Depth::Whole).then_some(Overlay::Step);
        let desk = Desk { selected: Some(step.id.clone()), overlay, ..Desk::default() };
        // The picture first: were it newer than what is printed, it would promise too much.
        let picture = self.picture(step);
        let mut detail = self.project(&desk).detail;
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
        let (plan, run) = (self.stage.plan(), self.stage.run());
        if self.watching {
            return "next: nothing is done from here".to_owned();
        }
        if self.stage.is_replay() {
            return "next: onward, next, previous or at PLACE; nothing is done from here".to_owned();
        }
        if run.ended.is_some() {
            return "next: the run is over".to_owned();
        }
        if plan.steps.iter().all(|step| run.is_settled(&step.id)) {
            return "next: every step is done; end complete".to_owned();
        }
        let n = step.number;
        let second = if step.confirm == Confirm::TwoPerson { " NAME-OF-THE-SECOND-PERSON" } else { "" };
        let over = second.replace(" NAME", " --second NAME");
        let order = |does: Does| match does {
            Does::Confirm => format!("start {n} {}{second}", word(step)),
            Does::Override => format!("override {n} {}{over} REASON", word(step)),
            Does::VerifyAgain => format!("verify {n}"),
            Does::Undo => format!("undo {n} {}", undo_word(step)),
            Does::Skip => format!("skip {n} REASON"),
            _ => format!("stop {n} {}", stop_word(run, step)),
        };
        let (first, orders): (Option<String>, &[Does]) =
            match step_state(plan, run, self.stage.board(), self.stage.now(), step) {
                StepState::Waiting => (Some("it waits for other steps".to_owned()), &[Does::Skip]),
                StepState::Gated => (Some("wait for its gates".to_owned()), &[Does::Override, Does::Skip]),
                StepState::Ready => (None, &[Does::Confirm, Does::Skip]),
                StepState::Running if self.is_checklist(&step.id) => (Some(format!("tick {n}")), &[Does::Stop]),
                StepState::Running | StepState::Reverting | StepState::Undoing | StepState::Verifying => {
                    (Some("wait for it".to_owned()), &[Does::Stop])
                }
                StepState::Failed => {
                    (None, &[Does::Confirm, Does::Override, Does::VerifyAgain, Does::Undo, Does::Skip])
                }
                StepState::InDoubt => (Some(format!("doubt {n} happened, not or half, and REASON")), &[]),
                StepState::Done => (Some("go on with the others".to_owned()), &[Does::Undo]),
                StepState::Skipped | StepState::Undone => (Some("go on with the others".to_owned()), &[Does::Confirm]),
            };
        // Only what would be accepted is offered.
        let desk = Desk::default();
        let scene = self.stage.scene(&desk, &self.run_name, self.watching);
        let accepted = orders.iter().filter(|does| works(&scene, step, **does)).map(|does| order(*does));
        format!("next: {}", first.into_iter().chain(accepted).collect::<Vec<_>>().join("; or "))
    }

    fn is_checklist(&self, id: &StepId) -> bool {
        let Phase::Running(running) = self.stage.run().phase(id) else { return false };
        self.stage.plan().action(&running.key).is_some_and(|action| action.checklist().is_some())
    }

    pub(super) fn show_all(&mut self) {
        let (steps, phases) = (self.stage.plan().steps.len(), self.stage.plan().phases.len());
        let desk = Desk { list_rows: steps + phases, ..Desk::default() };
        let scene = self.stage.scene(&desk, &self.run_name, self.watching);
        let at = here(&scene).map(|step| (step.id.clone(), self.picture(step), self.next(step)));
        let mut screen = project(&scene);
        if let Some((id, picture, next)) = at {
            screen.conversation = Text::plain(next);
            self.queued.push((id, picture));
        }
        self.say_all(plain::lines(&screen));
    }
}
