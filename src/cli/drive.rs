//! `run`, `resume` and `watch`: an engine, a world and somebody in front of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::check::read;
use super::records::{MODE, PROFILE, SET, pick, plan_of};
use super::{Failure, Look, Outcome, RunbookArgs, say};
use crate::clock::Clock;
use crate::cockpit::{Cockpit, Exit, theme_for};
use crate::core::fact::Mode;
use crate::core::ids::Who;
use crate::core::plan::Plan;
use crate::core::time::{At, Span};
use crate::driver::{Engine, Opening, facts_of};
use crate::journal::testing::MemoryLedger;
use crate::journal::{Holder, Journal, Ledger, NewRun, RunId, Store, Writer};
use crate::plain::{PlainCockpit, printable};
use crate::stage::Stage;
use crate::term::{Charset, Options, TermError, Terminal};
use crate::world::World;
use crate::world::live::{LiveOptions, LiveWorld};

/// The path of this program, for the children it starts on its own behalf.
pub(super) fn own_path() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::outside(format!("this program cannot find itself: {error}")))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::outside(format!("the runtime does not start: {error}")))
}

fn holder(command: &str) -> Holder {
    Holder::this_process(command, Timestamp::now())
}

fn who(holder: &Holder) -> Who {
    Who(format!("{}@{}", holder.user, holder.host))
}

pub(super) fn run(state: &Path, look: Look, args: &RunbookArgs) -> Outcome {
    // A demand that cannot be checked is not met.
    if read(args, look.color)?.plan.rehearsals.is_some() {
        return Err(Failure::usage(
            "the runbook demands rehearsals before a live run, and this gonogo cannot rehearse yet: \
             nothing was started (a profile with `rehearsals: none` lifts the demand)",
        ));
    }
    start(state, look, args, Mode::Live)
}

/// Opens a new run and seats the operator.
pub(super) fn start(state: &Path, look: Look, args: &RunbookArgs, mode: Mode) -> Outcome {
    let loaded = read(args, look.color)?;
    // Everything that can be refused is refused before there is a run.
    let seat = Seat::check(look)?;
    let store = Store::open(state)?;
    let holder = holder("gonogo run");
    let mut labels = BTreeMap::from([(MODE.to_owned(), mode.as_str().to_owned())]);
    labels.extend(args.profile.clone().map(|profile| (PROFILE.to_owned(), profile)));
    labels.insert(SET.to_owned(), serde_json::to_string(&args.set).map_err(Failure::outside)?);
    let now = Timestamp::now();
    let id = RunId::new(now, rand::random());
    let new = NewRun { created_at: now, title: loaded.plan.title.clone(), runbook: loaded.source.into_bytes(), labels };
    let journal = store.create_run(&id, &new, &holder)?;
    let clock = Clock::start(At(now.as_millisecond()));
    let exit = drive(Arc::new(loaded.plan), &id, journal, Opening::New { mode }, clock, &holder, seat)?;
    Ok(exit.code())
}

pub(super) fn resume(state: &Path, look: Look, asked: Option<&str>) -> Outcome {
    let seat = Seat::check(look)?;
    let store = Store::open(state)?;
    let id = match asked {
        Some(_) => pick(&store, asked)?,
        None => newest_unfinished(&store)?,
    };
    let holder = holder("gonogo resume");
    // Checking the chain and reading the runbook each take their time: side by side the picture comes sooner.
    let (journal, plan) = std::thread::scope(|scope| {
        let plan = scope.spawn(|| plan_of(&store.read_run(&id)?));
        let journal = store.open_run(&id, &holder);
        (journal, plan.join())
    });
    let journal = journal?;
    let plan = plan.map_err(|_| Failure::outside("the run's runbook cannot be read"))??;
    let reader = store.read_run(&id)?;
    let head = reader.head()?;
    let facts = facts_of(&reader.tail(head.seq)?).map_err(Failure::outside)?;
    let last = facts.last().map_or(At(0), |recorded| recorded.at);
    let clock = Clock::start(last);
    let away = clock.now().since(last);
    let attachment = super::lab::attach_if_lab(state, &reader)?;
    let opening = Opening::Resumed { facts, head: Some(head.hash), away };
    let exit = drive(Arc::new(plan), &id, journal, opening, clock, &holder, seat)?;
    if attachment.is_some() {
        say("the lab goes on for 15 minutes; `gonogo lab --down` ends it");
    }
    Ok(exit.code())
}

/// The newest run that nobody has ended. Facts may follow an end, as when somebody looks at an ended run again.
fn newest_unfinished(store: &Store) -> Result<RunId, Failure> {
    let mut runs: Vec<RunId> = store.list()?.into_iter().filter(|run| run.journal.is_ok()).map(|run| run.id).collect();
    runs.sort_unstable();
    for id in runs.into_iter().rev() {
        let reader = store.read_run(&id)?;
        let head = reader.head()?;
        if reader.tail(head.seq)?.iter().all(|record| record.kind != "run_ended") {
            return Ok(id);
        }
    }
    Err(Failure::usage("there is no unfinished run to go on with"))
}

/// Where the operator sits, found usable before anything is started.
#[derive(Clone, Copy)]
pub(super) enum Seat {
    /// At a terminal.
    Terminal(Options),
    /// At the other end of the standard streams.
    Streams(Charset),
}

impl Seat {
    pub(super) fn check(look: Look) -> Result<Self, Failure> {
        if look.plain {
            return Ok(Self::Streams(Charset::detect()));
        }
        let tty = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty");
        tty.map_err(|_| Failure::usage(TermError::NoTerminal))?;
        Ok(Self::Terminal(Options::detect(look.color)))
    }

    pub(super) fn charset(self) -> Charset {
        match self {
            Self::Terminal(options) => options.charset,
            Self::Streams(charset) => charset,
        }
    }

    /// Seats somebody in front of a stage until they leave.
    pub(super) async fn take<S: Stage>(self, stage: S, run_name: String, watching: bool) -> Result<(Exit, S), Failure> {
        match self {
            Self::Terminal(options) => {
                let (terminal, events) = Terminal::enter(options).map_err(Failure::usage)?;
                let theme = theme_for(terminal.options().colors, terminal.options().charset);
                Ok(Cockpit::new(stage, run_name, theme, watching).run(terminal, events).await)
            }
            Self::Streams(charset) => {
                let input = std::io::BufReader::new(std::io::stdin());
                let cockpit = PlainCockpit::new(stage, run_name, charset, watching);
                cockpit.run(input, std::io::stdout()).await.map_err(Failure::outside)
            }
        }
    }
}

fn drive(
    plan: Arc<Plan>,
    id: &RunId,
    journal: Journal,
    opening: Opening,
    clock: Clock,
    holder: &Holder,
    seat: Seat,
) -> Result<Exit, Failure> {
    let epoch = journal.epoch();
    let run_dir = journal.dir().path().to_owned();
    let runtime = runtime()?;
    let live = LiveOptions { run_dir, run_id: id.to_string(), epoch, clock: clock.clone(), exe: own_path()? };
    let (exit, engine) = runtime.block_on(async {
        let world = LiveWorld::new(&plan, live).map_err(Failure::outside)?;
        let engine = engine(plan, who(holder), epoch, opening, world, Box::new(journal), clock)?;
        seat.take(engine, id.short().to_owned(), false).await
    })?;
    last_word(&exit, &engine, id, seat.charset());
    // What children print goes on in their own session; nothing of ours is left to wait for.
    runtime.shutdown_background();
    Ok(exit)
}

fn engine<W: World>(
    plan: Arc<Plan>,
    who: Who,
    epoch: u64,
    opening: Opening,
    world: W,
    ledger: Box<dyn Ledger>,
    clock: Clock,
) -> Result<Engine<W>, Failure> {
    let journal =
        Writer::spawn(ledger).map_err(|error| Failure::outside(format!("the journal does not start: {error}")))?;
    Engine::open(plan, who, epoch, opening, world, journal, clock).map_err(Failure::usage)
}

/// What is left on the terminal after the cockpit: where the run stands and how to go on.
fn last_word<W: World>(exit: &Exit, engine: &Engine<W>, id: &RunId, charset: Charset) {
    let tell = |text: &str| say(&printable(text, charset));
    let run = engine.run();
    let settled = engine.plan().steps.iter().filter(|step| run.is_settled(&step.id)).count();
    let of = engine.plan().steps.len();
    let run_name = id.short();
    let how = match exit {
        Exit::Ended(how) => how.as_str().to_owned(),
        Exit::Left => format!("left at {settled} of {of} steps; go on with: gonogo resume {run_name}"),
        Exit::Detached(why) => {
            format!("detached ({why}) at {settled} of {of} steps; go on with: gonogo resume {run_name}")
        }
        Exit::Faulted(why) => {
            format!("the journal failed: {why}\nwhat is on disk can be read with: gonogo log {run_name}")
        }
    };
    tell(&format!("run {id}: {how}"));
    if let Some(value) = &run.customers {
        let number = |path: &str| value.at(path).map_or_else(|| "?".to_owned(), ToString::to_string);
        tell(&format!(
            "customers: {} requests, {} acknowledged, {} failed, longest pause {} ms",
            number("requests"),
            number("acknowledged"),
            number("failed"),
            number("longest_pause_ms")
        ));
    }
    let paused = run.writes.so_far(engine.now());
    if paused > Span::ZERO {
        tell(&format!("writes were paused for {paused}"));
    }
    if let Some(head) = engine.head() {
        tell(&format!("journal: {} facts, head {head}", run.facts));
    }
}

/// Panes only: the world is watched, nothing is recorded and nothing can be done.
pub(super) fn watch(look: Look, args: &RunbookArgs) -> Outcome {
    let loaded = read(args, look.color)?;
    let seat = Seat::check(look)?;
    let plan = Arc::new(loaded.plan);
    let clock = Clock::start(At(0));
    let id = RunId::new(Timestamp::now(), rand::random());
    let scratch = std::env::temp_dir().join(format!("gonogo-watch-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).map_err(Failure::outside)?;
    let runtime = runtime()?;
    let live = LiveOptions {
        run_dir: scratch.clone(),
        run_id: id.to_string(),
        epoch: 0,
        clock: clock.clone(),
        exe: own_path()?,
    };
    let result = runtime.block_on(async {
        let world = LiveWorld::new(&plan, live).map_err(Failure::outside)?;
        let who = who(&holder("gonogo watch"));
        let opening = Opening::Resumed { facts: Vec::new(), head: None, away: Span::ZERO };
        let engine = engine(plan, who, 0, opening, world, Box::new(MemoryLedger::new(&id)), clock)?;
        seat.take(engine, String::new(), true).await.map(|_| ())
    });
    // An empty folder, unless a probe command left something; then it is for the system to sweep.
    let _ = std::fs::remove_dir(&scratch);
    runtime.shutdown_background();
    result.map(|()| 0)
}
