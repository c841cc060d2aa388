//! The cockpit without a screen: lines in, lines out. For screen readers, pipes, CI and terminals that cannot show it.
//!
//! It prints what the screen would show when that changes, and otherwise only what was asked for. A confirmation rests
//! on what a step looked like when it was last *printed*, so nobody confirms what nobody could read. Nothing here
//! decides anything, and nothing here waits for a reader.

mod orders;
mod streams;
mod tell;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::cockpit::CockpitExit;
use crate::core::fact::Ending;
use crate::core::ids::{StepId, Who};
use crate::core::input::{Command, Confirmation, Picture};
use crate::core::nearest::suggestion;
use crate::core::plan::Step;
use crate::core::refusal::Refusal;
use crate::core::time::Span;
use crate::driver::Turn;
use crate::pace::TimeControl;
use crate::screen::offers::{REPLAYED, WATCHING};
use crate::screen::{FrontEnd, Text, UiState, ViewContext, back_lines, next_item, told};
use crate::session::RunSession;
use crate::term::{Charset, stop_group};
use crate::text::clean;
use crate::ui::plain;

use orders::{How, Order};
pub use streams::LineInput;
use streams::{Asked, Heard, Printer, Signals};
use tell::{Depth, Told};

/// Lines waiting to be printed beyond which no more orders are read.
const QUEUE: usize = 2_000;

/// Time after which orders are read although a batch is still being printed.
const SLOW_READER: Duration = Duration::from_secs(1);

/// How long the last lines may take to be printed.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Makes a line fit for any output: nothing in it moves a cursor or ends the line, and it is ASCII where that is
/// wanted.
pub fn printable(line: &str, charset: Charset) -> String {
    let line = clean(line);
    match charset {
        Charset::Ascii => plain::ascii(&line),
        Charset::Unicode => line.into_owned(),
    }
}

/// The state of printing.
enum Printing {
    /// Everything handed over has been printed.
    Idle,
    /// A batch is on its way.
    Busy {
        /// The steps it shows.
        shown: Vec<(StepId, Picture)>,
        /// Since when.
        since: Instant,
    },
    /// The reader has gone. Further lines are dropped.
    Deaf,
}

impl Printing {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

/// A session that is driven by lines through a pipe.
pub struct PlainCockpit<S> {
    session: S,
    run_name: String,
    charset: Charset,
    watching: bool,
    /// Lines to print, and the steps they show.
    queue: Vec<String>,
    queued: Vec<(StepId, Picture)>,
    printing: Printing,
    /// What each step looked like when it was last printed, and since when it has looked like that.
    printed: BTreeMap<StepId, (Picture, Instant)>,
    /// What has been told already.
    told: Told,
    detached: Option<String>,
    /// Whether orders may still come.
    listening: bool,
    done: bool,
}

impl<S: RunSession> PlainCockpit<S> {
    /// Runs a front end on a session. With `watching` it can only show.
    pub fn new(session: S, run_name: String, charset: Charset, watching: bool) -> Self {
        let seq = session.log().back().map(|recorded| recorded.seq);
        Self {
            session,
            run_name,
            charset,
            watching,
            queue: Vec::new(),
            queued: Vec::new(),
            printing: Printing::Idle,
            printed: BTreeMap::new(),
            told: Told::from(seq),
            detached: None,
            listening: true,
            done: false,
        }
    }

    /// Runs until the run is over or left. Returns the session, for a last message about it.
    /// Whether the next order is read now: one at a time, and only on a state that is recorded. An order counts as an
    /// answer to what was printed, so that must be known to be printed first; but when the reader has stopped reading,
    /// a step can still be stopped.
    ///
    /// # Errors
    ///
    /// When the threads or signal handlers it needs cannot be had; nothing has been done then.
    pub async fn run(
        mut self,
        input: &mut LineInput,
        output: impl Write + Send + 'static,
    ) -> io::Result<(CockpitExit, S)> {
        let mut signals = Signals::take()?;
        let mut printer = Printer::start(output)?;
        while !self.done {
            self.report();
            self.print(&printer);
            if self.session.run().ended.is_some() && !self.session.status().leaving && !self.session.is_replay() {
                self.session.leave("the run is over".to_owned());
            }
            tokio::select! {
                biased;
                asked = signals.next(), if self.detached.is_none() => match asked {
                    Asked::End(signal) => self.detach(signal.to_owned()),
                    Asked::Stop => self.stop(),
                },
                result = printer.printed(), if self.printing.is_busy() => self.was_printed(result),
                heard = input.next(), if self.listens() => self.heard(heard),
                turn = self.session.turn() => {
                    self.take_refusal(None);
                    self.done |= turn == Turn::Left;
                }
            }
        }
        self.say_goodbye(&mut printer).await;
        let exit = match (self.session.fault(), self.detached, &self.session.run().ended) {
            (Some(fault), _, _) => CockpitExit::Faulted(fault.to_owned()),
            (None, _, Some((_, how))) => CockpitExit::Ended(how.clone()),
            (None, Some(why), None) => CockpitExit::Detached(why),
            (None, None, None) => CockpitExit::Left,
        };
        info!(?exit, "the cockpit is left");
        Ok((exit, self.session))
    }

    /// One order at a time, and only on a state that is recorded. Who answers at once to what was just printed has
    /// read it, so that this is known first; but a reader who has stopped reading can still stop a step.
    fn listens(&self) -> bool {
        let caught_up = match &self.printing {
            Printing::Busy { since, .. } => since.elapsed() >= SLOW_READER,
            Printing::Idle | Printing::Deaf => true,
        };
        caught_up
            && self.listening
            && self.detached.is_none()
            && (!self.session.status().recording || self.session.status().silent.is_some())
            && self.queue.len() < QUEUE
    }

    /// Leaves because nobody is left: nothing new is started, what is under way finishes and is recorded.
    fn detach(&mut self, why: String) {
        warn!(why = %why, "nobody is here any more");
        self.session.leave(why.clone());
        self.detached.get_or_insert(why);
        self.done |= self.watching;
    }

    /// Stops until the shell continues it, unless something must be watched.
    fn stop(&mut self) {
        if self.session.must_finish() {
            self.say("not stopped: a job is under way and must be watched; `stop` ends the job");
        } else if let Err(error) = stop_group() {
            self.say(format!("not stopped: {error}"));
        }
    }

    fn leave(&mut self, why: &str) {
        self.session.leave(why.to_owned());
        self.done |= self.watching;
        if self.session.must_finish() {
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
        let (lines, shown) = match &self.printing {
            Printing::Busy { .. } => return,
            Printing::Idle if self.queue.is_empty() => return,
            Printing::Idle | Printing::Deaf => (std::mem::take(&mut self.queue), std::mem::take(&mut self.queued)),
        };
        if matches!(self.printing, Printing::Idle) {
            self.printing = Printing::Busy { shown, since: Instant::now() };
            printer.print(lines);
        }
    }

    fn was_printed(&mut self, result: io::Result<()>) {
        let Printing::Busy { shown, .. } = std::mem::replace(&mut self.printing, Printing::Idle) else { return };
        if let Err(error) = result {
            let why = match error.kind() {
                io::ErrorKind::BrokenPipe => "the output was closed".to_owned(),
                _ => format!("the output failed: {error}"),
            };
            self.printing = Printing::Deaf;
            self.detach(why);
            return;
        }
        let now = Instant::now();
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
            if self.printing.is_busy() {
                match timeout(LAST_WORDS, printer.printed()).await {
                    Ok(Ok(())) => self.was_printed(Ok(())),
                    // How the run was left is recorded, whether or not anybody read it here.
                    _ => return,
                }
            }
            self.report();
            self.print(printer);
        }
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
                if self.session.is_replay() && !self.session.status().leaving {
                    // Without input nobody controls the pace, so the rest is told at once. Being at the end already is
                    // no error.
                    let _ = self.session.control_time(TimeControl::End);
                    self.report();
                }
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
        let Some(order) = self.look(order)? else { return Ok(()) };
        if let Some(control) = order.control_time() {
            return self.control_time(control);
        }
        if self.session.is_replay() {
            return Err(REPLAYED.to_owned());
        }
        if self.watching {
            return Err(WATCHING.to_owned());
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
                let item = if let Some(item) = item {
                    item.checked_sub(1).ok_or("items are counted from 1")?
                } else {
                    next_item(&self.context(&orders_ui()), &step)
                };
                (None, Command::Acknowledge { step, item })
            }
            Order::Skip { step, reason } => {
                (None, Command::Skip { step: self.find(&step)?.id.clone(), reason: text(reason) })
            }
            Order::Stop { step, word } => {
                let confirmation = self.confirmation_of_told(&step, word)?;
                (Some(confirmation.step.clone()), Command::Stop(confirmation))
            }
            Order::Verify { step } => (None, Command::VerifyAgain { step: self.find(&step)?.id.clone() }),
            Order::Doubt { step, finding, reason } => {
                let Confirmation { step, seen, .. } = self.confirmation(&step, String::new(), None)?;
                (Some(step.clone()), Command::Resolve { step, finding: finding.into(), reason: text(reason), seen })
            }
            Order::ByHand { step, reason } => {
                let Confirmation { step, seen, .. } = self.confirmation(&step, String::new(), None)?;
                (Some(step.clone()), Command::TakenBackByHand { step, reason: text(reason), seen })
            }
            Order::Accept { reason } => {
                let seen = self.session.board().strangers(self.session.run());
                (None, Command::AcceptServers { seen, reason: text(reason) })
            }
            Order::Note { text: words } => (None, Command::Note { text: text(words) }),
            Order::Told { text: words } => (None, Command::StatusUpdate { text: text(words) }),
            Order::End { how, reason } => (None, Command::End { how: ending(how, text(reason))? }),
            // These orders were carried out above.
            _ => return Ok(()),
        };
        // A refusal of an earlier order must not be lost.
        self.take_refusal(None);
        self.session.command(command);
        self.take_refusal(step);
        Ok(())
    }

    /// Changes how time passes, and says where that has led.
    fn control_time(&mut self, control: TimeControl) -> Result<(), String> {
        let told = self.session.log().back().map(|recorded| recorded.seq);
        self.session.control_time(control)?;
        if self.session.log().back().map(|recorded| recorded.seq) < told {
            // After going back, later facts are told again.
            self.told = Told::from(self.session.log().back().map(|recorded| recorded.seq));
        }
        let header = self.project(&orders_ui()).header;
        self.say(format!("{} · {}", header.clock, header.shown_time.to_plain()));
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
                let panes = self.project(&orders_ui()).panes;
                if panes.is_empty() {
                    self.say("this runbook has no probes");
                }
                self.say_all(panes.iter().flat_map(plain::pane_lines));
            }
            Order::Back => {
                let lines = back_lines(&self.context(&orders_ui()));
                self.say_all(lines.iter().map(Text::to_plain).filter(|line| !line.is_empty()));
            }
            Order::Help => self.say_all(orders::help()),
            Order::Leave => self.leave("the operator left"),
            order => return Ok(Some(order)),
        }
        Ok(None)
    }

    fn context<'a>(&'a self, ui: &'a UiState) -> ViewContext<'a> {
        self.session.context(ui, &self.run_name, self.watching)
    }

    fn find(&self, name: &str) -> Result<&Step, String> {
        let plan = self.session.plan();
        let numbered = || name.parse().ok().and_then(|number: usize| plan.steps.iter().find(|s| s.number == number));
        plan.step(&StepId::from(name)).or_else(numbered).ok_or_else(|| {
            let near = suggestion(name, plan.steps.iter().map(|step| step.id.as_str()));
            let near = near.map_or_else(String::new, |near| format!("; {near}"));
            format!("there is no step `{name}`{near}")
        })
    }

    /// A confirmation of what was printed last, not of the present state.
    fn confirmation(&self, step: &str, typed: String, second: Option<String>) -> Result<Confirmation, String> {
        let step = self.find(step)?;
        let Some((seen, since)) = self.printed.get(&step.id).cloned() else {
            return Err(format!("look at it first: show {}", step.number));
        };
        let shown = Span::of(since.elapsed());
        Ok(Confirmation { step: step.id.clone(), typed, second: second.map(Who), seen, shown })
    }

    /// A confirmation of what was told last, read or not: a step can be stopped even when the reader has stopped
    /// reading.
    fn confirmation_of_told(&self, step: &str, typed: String) -> Result<Confirmation, String> {
        let Printing::Busy { shown, since } = &self.printing else { return self.confirmation(step, typed, None) };
        let id = self.find(step)?.id.clone();
        let Some((_, seen)) = shown.iter().rev().find(|(told, _)| *told == id) else {
            return self.confirmation(step, typed, None);
        };
        let shown = Span::of(since.elapsed());
        Ok(Confirmation { step: id, typed, second: None, seen: seen.clone(), shown })
    }

    /// Says the newest refusal. A picture that has changed is shown anew.
    fn take_refusal(&mut self, step: Option<StepId>) {
        let Some(refusal) = self.session.refusal().cloned() else { return };
        self.session.dismiss_refusal();
        let why = told(&self.context(&orders_ui()), &refusal);
        self.say(format!("refused: {why}"));
        let step = step.and_then(|id| self.session.plan().step(&id).cloned());
        if let (Refusal::PictureChanged { .. }, Some(step)) = (refusal, step) {
            self.tell(&step, Depth::State);
        }
    }
}

/// The state of the interface for orders: with no screen to select from, everything is in view.
fn orders_ui() -> UiState {
    UiState { front_end: FrontEnd::Orders, ..UiState::default() }
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
