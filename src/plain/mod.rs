//! The cockpit without a screen: lines in, lines out. For screen readers, pipes, CI and terminals that are dead.
//!
//! It tells what the screen would show when it changes, and never more than was asked for otherwise. What a step
//! looked like when it was last *printed* is what a confirmation rests on: nobody confirms what nobody could read.
//! Nothing here decides anything, and nothing here waits for a reader.

mod orders;
mod streams;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::cockpit::{Exit, scene};
use crate::core::decide::{StepState, picture, step_state, undo_word, word};
use crate::core::fact::Ending;
use crate::core::ids::{ProbeId, StepId, Who};
use crate::core::input::{Command, Confirmation, Picture};
use crate::core::nearest::suggestion;
use crate::core::plan::{Confirm, Step};
use crate::core::refusal::Refusal;
use crate::core::state::Phase;
use crate::core::time::At;
use crate::driver::{Engine, Turn};
use crate::screen::{Block, Desk, Overlay, Screen, Text, back_lines, here, project, words};
use crate::term::Charset;
use crate::text::clean;
use crate::ui::{desk, plain};
use crate::world::World;

use orders::{How, Order};
use streams::{Heard, Printer, Signals};

/// A step whose gates go back and forth is told at most this often; whatever else happens to it, at once.
const FLICKER: Duration = Duration::from_secs(1);

/// How often a watcher is told the newest readings.
const WATCH: Duration = Duration::from_secs(10);

/// Lines waiting to be printed beyond which no more orders are read.
const QUEUE: usize = 2_000;

/// How long the last words may take to be printed.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A line fit for any output: nothing in it moves a cursor or ends the line, and it is ASCII where that is wanted.
pub fn printable(line: &str, charset: Charset) -> String {
    let line = clean(line);
    match charset {
        Charset::Ascii => plain::ascii(&line),
        Charset::Unicode => line.into_owned(),
    }
}

/// An engine with somebody at the other end of a pipe.
pub struct PlainCockpit<W> {
    engine: Engine<W>,
    run_name: String,
    charset: Charset,
    watching: bool,
    /// Lines to print, and the steps they show.
    queue: Vec<String>,
    queued: Vec<(StepId, Picture)>,
    /// Steps shown by the batch that is being printed; `None` while none is.
    printing: Option<Vec<(StepId, Picture)>>,
    /// What each step looked like when it was last printed, and since when it has looked like that.
    printed: BTreeMap<StepId, (Picture, At)>,
    /// The step told last without having been asked for.
    told: Option<(StepId, Picture)>,
    told_at: Instant,
    /// Previews told in full.
    previews: BTreeMap<StepId, String>,
    /// The newest fact told.
    seq: Option<u64>,
    opened: bool,
    alarm: Option<String>,
    failing: BTreeMap<ProbeId, bool>,
    panes_at: Instant,
    detached: Option<String>,
    /// Whether orders may still come.
    listening: bool,
    /// Whether nobody reads what is printed any more.
    deaf: bool,
    done: bool,
}

impl<W: World> PlainCockpit<W> {
    /// Seats somebody in front of an engine. With `watching` nothing can be done from here.
    pub fn new(engine: Engine<W>, run_name: String, charset: Charset, watching: bool) -> Self {
        let seq = engine.log().back().map(|recorded| recorded.seq);
        let now = Instant::now();
        Self {
            engine,
            run_name,
            charset,
            watching,
            queue: Vec::new(),
            queued: Vec::new(),
            printing: None,
            printed: BTreeMap::new(),
            told: None,
            told_at: now,
            previews: BTreeMap::new(),
            seq,
            opened: false,
            alarm: None,
            failing: BTreeMap::new(),
            panes_at: now,
            detached: None,
            listening: true,
            deaf: false,
            done: false,
        }
    }

    /// Runs until the run is over or left. Gives back the engine for a last word about it.
    ///
    /// # Errors
    ///
    /// When the threads or signal handlers it needs cannot be had; nothing has been done then.
    pub async fn run(
        mut self,
        input: impl BufRead + Send + 'static,
        output: impl Write + Send + 'static,
    ) -> io::Result<(Exit, Engine<W>)> {
        let mut signals = Signals::take()?;
        let mut printer = Printer::start(output)?;
        let mut input = streams::listen(input)?;
        while !self.done {
            self.report();
            self.print(&printer);
            if self.engine.run().ended.is_some() && !self.engine.is_leaving() {
                self.engine.leave("the run is over");
            }
            tokio::select! {
                biased;
                signal = signals.next(), if self.detached.is_none() => self.detach(signal.to_owned()),
                result = printer.printed(), if self.printing.is_some() => self.was_printed(result),
                heard = input.recv(), if self.listens() => self.heard(heard),
                turn = self.engine.turn() => {
                    self.take_refusal(None);
                    self.done |= turn == Turn::Left;
                }
            }
        }
        self.say_goodbye(&mut printer).await;
        let exit = match (self.engine.fault(), self.detached, &self.engine.run().ended) {
            (Some(fault), _, _) => Exit::Faulted(fault.to_owned()),
            (None, _, Some((_, how))) => Exit::Ended(how.clone()),
            (None, Some(why), None) => Exit::Detached(why),
            (None, None, None) => Exit::Left,
        };
        Ok((exit, self.engine))
    }

    /// One order at a time, and only on a state that is recorded.
    fn listens(&self) -> bool {
        self.listening && self.detached.is_none() && !self.engine.is_recording() && self.queue.len() < QUEUE
    }

    /// Nobody is here any more: nothing new is started, what is under way finishes and is recorded.
    fn detach(&mut self, why: String) {
        self.engine.leave(why.clone());
        self.detached.get_or_insert(why);
        self.done |= self.watching;
    }

    fn leave(&mut self, why: &str) {
        self.engine.leave(why);
        self.done |= self.watching;
        if self.engine.must_finish() {
            self.say("leaving: waiting for what is under way");
        }
    }

    fn say(&mut self, line: impl AsRef<str>) {
        self.queue.push(printable(line.as_ref(), self.charset));
    }

    fn say_all(&mut self, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            self.say(line);
        }
    }

    fn print(&mut self, printer: &Printer) {
        if self.deaf {
            self.queue.clear();
            self.queued.clear();
        } else if self.printing.is_none() && !self.queue.is_empty() {
            self.printing = Some(std::mem::take(&mut self.queued));
            printer.print(std::mem::take(&mut self.queue));
        }
    }

    fn was_printed(&mut self, result: io::Result<()>) {
        let shown = self.printing.take().unwrap_or_default();
        if let Err(error) = result {
            // Whoever listened has gone. What is said from here on is said to nobody.
            let why = match error.kind() {
                io::ErrorKind::BrokenPipe => "the output was closed".to_owned(),
                _ => format!("the output failed: {error}"),
            };
            self.deaf = true;
            self.detach(why);
            return;
        }
        let now = self.engine.now();
        for (step, picture) in shown {
            let since = match self.printed.get(&step) {
                Some((before, since)) if *before == picture => *since,
                _ => now,
            };
            self.printed.insert(step, (picture, since));
        }
    }

    async fn say_goodbye(&mut self, printer: &mut Printer) {
        for _ in 0..3 {
            if self.printing.is_some() {
                match timeout(LAST_WORDS, printer.printed()).await {
                    Ok(Ok(())) => self.printing = None,
                    _ => return,
                }
            }
            self.report();
            self.print(printer);
        }
    }

    fn project(&self, desk: &Desk) -> Screen {
        project(&scene(&self.engine, desk, &self.run_name, self.watching))
    }

    /// Tells what has changed since it was told last. While something is being printed it waits: there will be less
    /// to tell.
    fn report(&mut self) {
        if self.deaf || self.printing.is_some() || !self.queue.is_empty() {
            return;
        }
        let run = self.engine.run();
        let ended = run.ended.is_some();
        if !self.opened && (self.watching || run.mode.is_some()) {
            self.opened = true;
            self.open();
        }
        self.facts();
        let alarm = self.project(&Desk::default()).header.alarm;
        if alarm.is_some() && alarm != self.alarm {
            self.say_all(alarm.clone());
        }
        self.alarm = alarm;
        self.probes();
        if self.opened && !self.watching && !ended {
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
        let from = self.seq;
        let new = self.engine.log().iter().filter(|recorded| from.is_none_or(|seq| recorded.seq > seq));
        let mut lines = Vec::new();
        let mut last = from;
        for recorded in new {
            let missed = last.map_or(0, |last| recorded.seq.saturating_sub(last + 1));
            if missed > 0 {
                lines.push(format!("{missed} facts were not told; gonogo log {} has them", self.run_name));
            }
            let (who, what) = words::fact(self.engine.plan(), &recorded.fact);
            lines.push(format!("{} {who}: {what}", words::utc(recorded.at)));
            last = Some(recorded.seq);
        }
        self.seq = last;
        self.say_all(lines);
    }

    /// Probes that began or ceased to fail.
    fn probes(&mut self) {
        let mut changed = Vec::new();
        for probe in self.engine.plan().probes.keys() {
            let fails = self.engine.board().latest(probe).is_some_and(|latest| latest.failure.is_some());
            if fails != self.failing.get(probe).copied().unwrap_or(false) {
                changed.push((probe.clone(), fails));
            }
        }
        let every = self.watching && self.panes_at.elapsed() >= WATCH;
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
            self.panes_at = Instant::now();
        }
        self.failing.extend(changed);
    }

    fn picture(&self, step: &Step) -> Picture {
        picture(self.engine.plan(), self.engine.run(), self.engine.board(), self.engine.now(), step)
    }

    /// The step where the run is, when its picture is another than told.
    fn step(&mut self) {
        let desk = Desk::default();
        let scene = scene(&self.engine, &desk, &self.run_name, self.watching);
        let Some(step) = here(&scene).cloned() else { return };
        let present = (step.id.clone(), self.picture(&step));
        if self.told.as_ref() == Some(&present) {
            return;
        }
        let gates_only = self.told.as_ref().is_some_and(|(id, told)| {
            let open = |picture: &Picture| matches!(picture.state, "ready" | "gated");
            *id == present.0 && told.attempts == present.1.attempts && open(told) && open(&present.1)
        });
        if gates_only && self.told_at.elapsed() < FLICKER {
            return;
        }
        let whole = self.previews.get(&step.id) != Some(&present.1.preview) && !present.1.preview.is_empty();
        self.previews.insert(step.id.clone(), present.1.preview.clone());
        self.tell(&step, if whole { Depth::Most } else { Depth::State });
        self.told = Some(present);
        self.told_at = Instant::now();
    }

    /// Prints a step.
    fn tell(&mut self, step: &Step, depth: Depth) {
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
        let (plan, run) = (self.engine.plan(), self.engine.run());
        if self.watching {
            return "next: nothing is done from here".to_owned();
        }
        if run.ended.is_some() {
            return "next: the run is over".to_owned();
        }
        if plan.steps.iter().all(|step| run.is_settled(&step.id)) {
            return "next: every step is done; end complete".to_owned();
        }
        let n = step.number;
        let second = if step.confirm == Confirm::TwoPerson { " NAME-OF-THE-SECOND-PERSON" } else { "" };
        let start = format!("start {n} {}{second}", word(step));
        let undo = format!("undo {n} {}", undo_word(step));
        match step_state(plan, run, self.engine.board(), self.engine.now(), step) {
            StepState::Waiting => format!("next: it waits for other steps; or skip {n} REASON"),
            StepState::Gated => {
                let second = second.replace(" NAME", " --second NAME");
                format!("next: wait for its gates; or override {n} {}{second} REASON; or skip {n} REASON", word(step))
            }
            StepState::Ready => format!("next: {start}; or skip {n} REASON"),
            StepState::Running if self.is_checklist(&step.id) => format!("next: tick {n}; or stop {n}"),
            StepState::Running | StepState::Reverting | StepState::Undoing | StepState::Verifying => {
                format!("next: wait for it; or stop {n}")
            }
            StepState::Failed => format!("next: {start}; or verify {n}; or {undo}; or skip {n} REASON"),
            StepState::InDoubt => format!("next: doubt {n} happened, not or half, and REASON"),
            StepState::Done => format!("next: go on with the others; or {undo}"),
            StepState::Skipped | StepState::Undone => format!("next: go on with the others; or {start}"),
        }
    }

    fn is_checklist(&self, id: &StepId) -> bool {
        let Phase::Running(running) = self.engine.run().phase(id) else { return false };
        matches!(self.engine.plan().action(&running.key), Some(crate::core::action::Action::Manual(_)))
    }

    fn heard(&mut self, heard: Option<Heard>) {
        match heard {
            Some(Heard::Line(line)) => self.line(&line),
            Some(Heard::TooLong) => self.say("not done: that line is too long to be meant"),
            Some(Heard::Ended { torn }) => {
                if torn {
                    self.say("not done: the input ended in the middle of a line");
                }
                self.listening = false;
                self.leave("the input ended");
            }
            Some(Heard::Failed(why)) => self.detach(format!("the input failed: {why}")),
            None => self.detach("the input's thread has ended".to_owned()),
        }
    }

    fn line(&mut self, line: &str) {
        match orders::read(line) {
            Ok(None) => {}
            Ok(Some(order)) => {
                if let Err(complaint) = self.carry_out(order) {
                    self.say(format!("refused: {complaint}"));
                }
            }
            Err(complaint) => self.say(format!("not done: {complaint}")),
        }
    }

    /// Carries out an order, or says in one sentence why not.
    fn carry_out(&mut self, order: Order) -> Result<(), String> {
        let order = match self.look(order)? {
            Some(order) => order,
            None => return Ok(()),
        };
        if self.watching {
            return Err("this only watches: start a run to do something".to_owned());
        }
        let text = |words: Vec<String>| words.join(" ");
        let (step, command) = match order {
            Order::Start { step, word, second } => {
                let second = (!second.is_empty()).then(|| text(second));
                let confirmation = self.confirmation(&step, word, second)?;
                (Some(confirmation.step.clone()), Command::Confirm(confirmation))
            }
            Order::Override { step, word, second, reason } => {
                let confirmation = self.confirmation(&step, word, second)?;
                (Some(confirmation.step.clone()), Command::Override { confirmation, reason: text(reason) })
            }
            Order::Undo { step, word } => {
                let confirmation = self.confirmation(&step, word, None)?;
                (Some(confirmation.step.clone()), Command::Undo(confirmation))
            }
            Order::Tick { step, item } => {
                let step = self.find(&step)?.id.clone();
                let item = match item {
                    Some(item) => item.checked_sub(1).ok_or("items are counted from 1")?,
                    None => {
                        let desk = Desk::default();
                        desk::next_item(&scene(&self.engine, &desk, &self.run_name, self.watching), &step)
                    }
                };
                (None, Command::Acknowledge { step, item })
            }
            Order::Skip { step, reason } => {
                (None, Command::Skip { step: self.find(&step)?.id.clone(), reason: text(reason) })
            }
            Order::Stop { step } => (None, Command::Stop { step: self.find(&step)?.id.clone() }),
            Order::Verify { step } => (None, Command::VerifyAgain { step: self.find(&step)?.id.clone() }),
            Order::Doubt { step, finding, reason } => {
                let step = self.find(&step)?.id.clone();
                (None, Command::Resolve { step, finding: finding.into(), reason: text(reason) })
            }
            Order::Note { text: words } => (None, Command::Note { text: text(words) }),
            Order::Told { text: words } => (None, Command::StatusUpdate { text: text(words) }),
            Order::End { how, reason } => (None, Command::End { how: ending(how, text(reason))? }),
            Order::Show { .. } | Order::Panes | Order::Back | Order::Help | Order::Leave => return Ok(()),
        };
        // A refusal of an earlier order must not get lost.
        self.take_refusal(None);
        self.engine.command(command);
        self.take_refusal(step);
        Ok(())
    }

    /// Orders that change nothing. Gives back any other.
    fn look(&mut self, order: Order) -> Result<Option<Order>, String> {
        match order {
            Order::Show { step: Some(step) } => {
                let step = self.find(&step)?.clone();
                self.tell(&step, Depth::Whole);
            }
            Order::Show { step: None } => self.show_all(),
            Order::Panes => {
                let panes = self.project(&Desk::default()).panes;
                if panes.is_empty() {
                    self.say("this runbook has no probes");
                }
                self.say_all(panes.iter().flat_map(plain::pane_lines));
            }
            Order::Back => {
                let desk = Desk::default();
                let lines = back_lines(&scene(&self.engine, &desk, &self.run_name, self.watching), false);
                self.say_all(lines.iter().map(Text::to_plain).filter(|line| !line.is_empty()));
                let way = crate::core::rollback::way_back(self.engine.plan(), self.engine.run());
                let first = way.steps.first().and_then(|back| self.engine.plan().step(&back.step));
                let next = first.map(|step| format!("next: show {0}, then undo {0} {1}", step.number, undo_word(step)));
                self.say_all(next);
            }
            Order::Help => self.say_all(orders::help()),
            Order::Leave => self.leave("the operator left"),
            order => return Ok(Some(order)),
        }
        Ok(None)
    }

    fn show_all(&mut self) {
        let (steps, phases) = (self.engine.plan().steps.len(), self.engine.plan().phases.len());
        let desk = Desk { list_rows: steps + phases, ..Desk::default() };
        let scene = scene(&self.engine, &desk, &self.run_name, self.watching);
        let at = here(&scene).map(|step| (step.id.clone(), self.picture(step), self.next(step)));
        let mut screen = project(&scene);
        if let Some((id, picture, next)) = at {
            screen.conversation = Text::plain(next);
            self.queued.push((id, picture));
        }
        self.say_all(plain::lines(&screen));
    }

    fn find(&self, name: &str) -> Result<&Step, String> {
        let plan = self.engine.plan();
        let numbered = || name.parse().ok().and_then(|number: usize| plan.steps.iter().find(|s| s.number == number));
        plan.step(&StepId::from(name)).or_else(numbered).ok_or_else(|| {
            let near = suggestion(name, plan.steps.iter().map(|step| step.id.as_str()));
            let near = near.map_or_else(String::new, |near| format!("; {near}"));
            format!("there is no step `{name}`{near}")
        })
    }

    /// A confirmation of what was printed, not of what is.
    fn confirmation(&self, step: &str, typed: String, second: Option<String>) -> Result<Confirmation, String> {
        let step = self.find(step)?;
        let Some((seen, shown)) = self.printed.get(&step.id).cloned() else {
            return Err(format!("look at it first: show {}", step.number));
        };
        Ok(Confirmation { step: step.id.clone(), typed, second: second.map(Who), seen, shown })
    }

    /// Says the newest refusal. A picture that has changed is shown anew.
    fn take_refusal(&mut self, step: Option<StepId>) {
        let Some((_, refusal)) = self.engine.refusal().cloned() else { return };
        self.engine.dismiss_refusal();
        self.say(format!("refused: {refusal}"));
        let step = step.and_then(|id| self.engine.plan().step(&id).cloned());
        if let (Refusal::PictureChanged { .. }, Some(step)) = (refusal, step) {
            self.tell(&step, Depth::State);
        }
    }
}

/// How much of a step is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// Where it stands, and its gates.
    State,
    /// All but a long preview.
    Most,
    /// All.
    Whole,
}

fn ending(how: How, reason: String) -> Result<Ending, String> {
    match how {
        How::Complete | How::RolledBack if !reason.is_empty() => {
            Err("only abandoning a run takes a reason; write a note for anything else".to_owned())
        }
        How::Complete => Ok(Ending::Completed),
        How::RolledBack => Ok(Ending::RolledBack),
        How::Abandoned => Ok(Ending::Abandoned { reason }),
    }
}
