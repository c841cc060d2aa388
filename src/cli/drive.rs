//! `run`, `resume` and `watch`: an engine, a world and a front end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::check::read;
use super::durations;
use super::farewell;
use super::records::{MODE, PROFILE, SET, baselines_label, pick, plan_of};
use super::rehearsals::{REHEARSAL, demanded, is_rehearsal};
use super::seat::{Seat, StandardInput, TakenSeat, WorkEnd};
use super::{CliError, Look, Outcome, RunbookArgs, say, say_error};
use crate::clock::Clock;
use crate::cockpit::CockpitExit;
use crate::core::fact::{Fact, Mode, Recorded};
use crate::core::ids::{ProbeId, Who};
use crate::core::plan::Plan;
use crate::core::reading::Reading;
use crate::core::time::{At, Span};
use crate::driver::{Engine, Opening, facts_of};
use crate::journal::{Head, Holder, Journal, Ledger, LockState, NewRun, Reader, Record, RunId, Store, Unkept, Writer};
use crate::runbook::Loaded;
use crate::sample_log::reading_of;
use crate::text::clean;
use crate::ui::view::OpeningWords;
use crate::world::World;
use crate::world::live::{LiveOptions, LiveWorld, SystemDns, Watching};

/// The path of this program, for the children it starts on its own behalf.
pub(super) fn own_path() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(|error| CliError::outside(format!("this program cannot find itself: {error}")))
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    crate::catch_panic::silence_caught_panics();
    crate::system::descriptors::raise_limit();
    crate::system::threads::enough().map_err(|error| {
        CliError::outside(format!("this machine lets gonogo start no more threads (`ulimit -u`): {error}"))
    })?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::outside(format!("the runtime does not start: {error}")))
}

pub(super) fn holder(command: &str) -> Holder {
    Holder::this_process(command, Timestamp::now())
}

pub(super) fn who(holder: &Holder) -> Who {
    Who(format!("{}@{}", holder.user, holder.host))
}

pub(super) fn run(state: &Path, look: Look, args: &RunbookArgs, without_rehearsals: Option<&str>) -> Outcome {
    let loaded = read(args, look.color)?;
    let by = who(&holder("gonogo run"));
    let store = Store::open(state)?;
    let checked = demanded(&store, &loaded.plan, &loaded.source, &args.set, without_rehearsals, &by)?;
    let rehearsed = is_rehearsal(args, &loaded.plan, look.color)?;
    start_loaded(state, look, args, loaded, Mode::Live, checked, rehearsed)
}

/// Opens a new run and starts its front end.
#[cfg(feature = "lab")]
pub(super) fn start(state: &Path, look: Look, args: &RunbookArgs, mode: Mode) -> Outcome {
    start_loaded(state, look, args, read(args, look.color)?, mode, None, false)
}

/// The same with a runbook that was read already.
fn start_loaded(
    state: &Path,
    look: Look,
    args: &RunbookArgs,
    loaded: Loaded,
    mode: Mode,
    rehearsals: Option<Fact>,
    rehearsed: bool,
) -> Outcome {
    // Everything that can be refused is refused before there is a run.
    super::aws::supported(&loaded.plan)?;
    if mode == Mode::Lab {
        super::loopback::only(&loaded.plan)?;
    }
    let seat = Seat::check(look)?;
    let store = Store::open(state)?;
    let durations = durations::of(&store, &loaded.plan, &loaded.source, args).fact();
    let holder = holder("gonogo run");
    let mut labels = BTreeMap::from([(MODE.to_owned(), mode.as_str().to_owned())]);
    labels.extend(args.profile.clone().map(|profile| (PROFILE.to_owned(), profile)));
    labels.extend(baselines_label(&loaded.plan));
    if rehearsed {
        labels.insert(REHEARSAL.to_owned(), "on real servers".to_owned());
    }
    labels.insert(SET.to_owned(), serde_json::to_string(&args.set).map_err(CliError::outside)?);
    let now = Timestamp::now();
    let id = RunId::new(now, rand::random());
    let front = seat.open()?;
    let new = NewRun { created_at: now, title: loaded.plan.title.clone(), runbook: loaded.source.into_bytes(), labels };
    let journal = store.create_run(&id, &new, &holder)?;
    let clock = Clock::start(At(now.as_millisecond()));
    let opening = Opening::New { mode, facts: rehearsals.into_iter().chain(durations).collect() };
    let exit = drive(Arc::new(loaded.plan), &id, journal, (opening, Vec::new()), clock, &holder, front)?;
    Ok(exit.code())
}

pub(super) fn resume(state: &Path, look: Look, asked: Option<&str>) -> Outcome {
    let store = Store::open(state)?;
    let reader = match asked {
        Some(_) => store.read_run(&pick(&store, asked)?)?,
        None => newest_unfinished(state, &store)?,
    };
    let id = reader.meta().run.clone();
    if is_simulated(&reader) {
        return Err(CliError::usage(format!(
            "run {0} is a rehearsal, and its simulated world is gone: look at it with `gonogo replay {0}`, or begin \
             another with `gonogo rehearse`",
            id.short()
        )));
    }
    let seat = Seat::check(look)?;
    // Done first: without the run's world there is nothing to open a cockpit on.
    let attachment = super::lab::attach_if_lab(state, &reader)?;
    let holder = holder("gonogo resume");
    let mut front = seat.open()?;
    let words = opening_words(&reader)?;
    let (held_by, wanted) = (holder.clone(), id.clone());
    let opened = match front.while_working(&words, move || opened(&store, &wanted, &held_by))? {
        WorkEnd::Done(opened) => opened?,
        WorkEnd::Left(exit) => {
            drop(front);
            say(&format!(
                "run {id}: left before it was open; go on with: {} resume {}",
                farewell::program(state),
                id.short()
            ));
            return Ok(exit.code());
        }
    };
    let Opened { journal, mut facts, head, plan, mut last, mut earlier } = opened;
    super::aws::supported(&plan)?;
    if let Some(warning) = journal.warning() {
        // Not in the middle of a picture.
        drop(front);
        say_error(&format!("warning: {warning}"));
        front = seat.open()?;
    }
    // Only this process writes from here on. What was read before it had the lock may be out of date.
    if head != Some(journal.head()) {
        facts = recorded(&reader)?.0;
        (last, earlier) = watched_last(&reader, &plan)?;
    }
    if facts.is_empty() {
        return Err(CliError::usage(format!(
            "run {0} was cut off before it began: nothing was done in it and nothing is recorded; begin a new one",
            id.short()
        )));
    }
    let head = journal.head();
    let clock = Clock::start(last);
    let away = clock.now().since(last);
    let opening = Opening::Resumed { facts, head: Some(head.hash), away };
    let exit = drive(Arc::new(plan), &id, journal, (opening, earlier), clock, &holder, front)?;
    if attachment.is_some() {
        say(&super::lab::goes_on(state, exit.code() == 0));
    }
    Ok(exit.code())
}

/// What is being done while a run is opened.
fn opening_words(reader: &Reader) -> Result<OpeningWords, CliError> {
    let meta = reader.meta();
    let mode =
        if meta.labels.get(MODE).map(String::as_str) == Some(Mode::Lab.as_str()) { Mode::Lab } else { Mode::Live };
    Ok(OpeningWords {
        mode,
        run: meta.run.short().to_owned(),
        title: clean(&meta.title).into_owned(),
        records: reader.head()?.seq,
    })
}

/// A run that was opened for driving it on.
struct Opened {
    journal: Journal,
    facts: Vec<Recorded>,
    /// Where the chain ended when the facts were read.
    head: Option<Head>,
    plan: Plan,
    last: At,
    earlier: Vec<Reading>,
}

/// Takes the run and reads it. Checking the chain, reading its contents and reading the runbook all take time; doing
/// them in parallel shows the picture sooner.
fn opened(store: &Store, id: &RunId, holder: &Holder) -> Result<Opened, CliError> {
    let (journal, story, plan) = std::thread::scope(|scope| {
        let story = scope.spawn(|| recorded(&store.read_run(id)?));
        let plan = scope.spawn(|| {
            let reader = store.read_run(id)?;
            let plan = plan_of(&reader)?;
            let watched = watched_last(&reader, &plan)?;
            Ok::<_, CliError>((plan, watched))
        });
        let journal = store.open_run(id, holder);
        (journal, story.join(), plan.join())
    });
    let journal = journal?;
    let (plan, (last, earlier)) =
        plan.map_err(|_| CliError::outside("the run's copy of its runbook cannot be read"))??;
    let (facts, head) = story.map_err(|_| CliError::outside("the run's record cannot be read"))??;
    Ok(Opened { journal, facts, head, plan, last, earlier })
}

/// When somebody watched last, and what [`measured_last`] tells of that time.
fn watched_last(reader: &Reader, plan: &Plan) -> Result<(At, Vec<Reading>), CliError> {
    let newest = facts_of(&reader.tail(1)?).map_err(CliError::outside)?;
    let decided = newest.last().map_or(At(0), |recorded| recorded.at);
    // A quiet soak decides nothing for hours, but its readings show that somebody watched.
    let last = reader.newest_sample()?.map_or(decided, |sampled| decided.max(At(sampled)));
    Ok((last, measured_last(reader, plan, last)?))
}

/// What was read of replications in the last hour somebody watched, oldest first: a slot that was gone and is there again
/// shows only to those who remember that it was gone. And the newest reading of each record in DNS, which says what caches
/// may still hold. And the newest readings of web services, whose counts go on. And the newest reading of every other probe, which
/// says who answered it.
fn measured_last(reader: &Reader, plan: &Plan, last: At) -> Result<Vec<Reading>, CliError> {
    let range = last.before(Span::secs(3_600)).0..last.0.saturating_add(1);
    let mut found = Vec::new();
    for (id, _) in plan.probes.iter().filter(|(_, probe)| probe.kind.replication().is_some()) {
        let samples = reader.samples(id.as_str(), range.clone())?;
        found.extend(samples.iter().filter_map(reading_of).map(|(_, reading, _)| reading));
    }
    for (id, _) in plan.probes.iter().filter(|(_, probe)| probe.kind.record().is_some()) {
        // First nearby, since all of it is read.
        for within in [Span::secs(60), Span::secs(3_600)] {
            let samples = reader.samples(id.as_str(), last.before(within).0..last.0.saturating_add(1))?;
            let mut readings = samples.iter().rev().filter_map(|sample| Some(reading_of(sample)?.1));
            if let Some(newest) = readings.find(|reading| reading.result.is_ok()) {
                found.push(newest);
                break;
            }
        }
    }
    for (id, _) in plan.probes.iter().filter(|(_, probe)| !probe.kind.sides().is_empty()) {
        for within in [Span::secs(60), Span::secs(3_600)] {
            let samples = reader.samples(id.as_str(), last.before(within).0..last.0.saturating_add(1))?;
            let before = found.len();
            found.extend(samples.iter().filter_map(reading_of).map(|(_, reading, _)| reading));
            if found.len() > before {
                break;
            }
        }
    }
    let known: BTreeSet<ProbeId> = found.iter().map(|reading| reading.probe.clone()).collect();
    for id in plan.probes.keys().filter(|id| !known.contains(*id)) {
        let newest = reader.newest(id.as_str(), i64::MAX, last.0, 1)?;
        found.extend(newest.iter().filter_map(|(_, sample)| Some(reading_of(sample)?.1)));
    }
    Ok(found)
}

/// All facts, and where the chain ends.
fn recorded(reader: &Reader) -> Result<(Vec<Recorded>, Option<Head>), CliError> {
    let records: Vec<Record> = reader.records(1).collect::<Result<_, _>>()?;
    let head = records.last().map(|record| Head { seq: record.seq, hash: record.hash });
    Ok((facts_of(&records).map_err(CliError::outside)?, head))
}

/// Whether a run took place in a simulated world, which ended with its cockpit.
fn is_simulated(reader: &Reader) -> bool {
    reader.meta().labels.get(MODE).map(String::as_str) == Some(Mode::Rehearsal.as_str())
}

/// The newest unfinished run that can be resumed. Facts may follow the end of a run, as when an ended run is opened
/// again. A run that cannot be read is skipped.
fn newest_unfinished(state: &Path, store: &Store) -> Result<Reader, CliError> {
    let goes_on = |reader: &Reader| {
        matches!((reader.has_kind("run_opened"), reader.has_kind("run_ended")), (Ok(true), Ok(false)))
    };
    let found = store.newest(|reader| !is_simulated(reader) && goes_on(reader))?;
    found.ok_or_else(|| {
        let none = "there is no unfinished run to go on with";
        CliError::usage(cut_off(state, store).map_or_else(|| none.to_owned(), |cut_off| format!("{none}; {cut_off}")))
    })
}

/// The newest rehearsal, if its cockpit was killed: nobody left it, and it has no driver.
pub(super) fn cut_off(state: &Path, store: &Store) -> Option<String> {
    let reader = store.newest(is_simulated).ok()??;
    let (id, last) = (&reader.meta().run, reader.tail(1).ok()?.pop()?);
    let driven = !matches!(store.driver(id), Ok(LockState::Free));
    let (program, run) = (farewell::program(state), id.short());
    (!driven && !matches!(last.kind.as_str(), "run_ended" | "driver_left")).then(|| {
        format!("rehearsal {run} was cut off, and its simulated world went with it: {program} replay {run} shows it")
    })
}

/// Whether somebody has ended the run.
#[cfg(feature = "lab")]
pub(super) fn has_ended(store: &Store, id: &RunId) -> Result<bool, CliError> {
    let reader = store.read_run(id)?;
    Ok(reader.has_kind("run_ended")?)
}

fn drive(
    plan: Arc<Plan>,
    id: &RunId,
    journal: Journal,
    (opening, earlier): (Opening, Vec<Reading>),
    clock: Clock,
    holder: &Holder,
    front: TakenSeat,
) -> Result<CockpitExit, CliError> {
    let charset = front.charset();
    let epoch = journal.epoch();
    let run_dir = journal.dir().path().to_owned();
    let runtime = runtime()?;
    let live = LiveOptions {
        run_dir: run_dir.clone(),
        run_id: id.to_string(),
        epoch,
        clock: clock.clone(),
        exe: own_path()?,
        system_dns: SystemDns::default(),
    };
    let (exit, engine) = runtime.block_on(async {
        let world = LiveWorld::resuming(&plan, live, earlier).map_err(CliError::outside)?;
        let engine = engine(plan, who(holder), epoch, opening, world, Box::new(journal), clock)?;
        front.take(engine, id.short().to_owned(), false, &mut StandardInput::default()).await
    })?;
    // The run's folder lies in the folder of all runs, and that one in the state directory.
    let state = run_dir.ancestors().nth(2).unwrap_or(&run_dir).to_owned();
    farewell::last_word(&exit, &engine, id, &state, charset);
    if !matches!(exit, CockpitExit::Faulted(_)) {
        farewell::say_ways(&farewell::ways(&state, &engine, id), charset);
    }
    // Commands go on in their own sessions, so nothing of this process needs to be waited for.
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
) -> Result<Engine<W>, CliError> {
    let journal =
        Writer::spawn(ledger).map_err(|error| CliError::outside(format!("the journal does not start: {error}")))?;
    Engine::open(plan, who, epoch, opening, world, journal, clock).map_err(CliError::usage)
}

/// Refuses probes that act on their targets, where nobody expects anything but looking.
pub(super) fn only_looks(plan: &Plan, acting_probes: bool) -> Result<(), CliError> {
    let acting = plan.probes.iter().find_map(|(id, probe)| Some((id, probe.kind.acts()?)));
    match acting {
        Some((id, does)) if !acting_probes => Err(CliError::usage(format!(
            "`{id}` {} with every measurement: say `--acting-probes` if its targets take that as a test; nothing was measured",
            clean(&does)
        ))),
        _ => Ok(()),
    }
}

/// Panes only: probes measure, nothing is recorded and nothing can be done.
pub(super) fn watch(look: Look, args: &RunbookArgs, acting_probes: bool) -> Outcome {
    let loaded = read(args, look.color)?;
    only_looks(&loaded.plan, acting_probes)?;
    super::aws::supported(&loaded.plan)?;
    watch_plan(look, loaded.plan, None)
}

/// The same with a plan that was made already. A pane may take the whole screen from the beginning, by its place from 0.
pub(super) fn watch_plan(look: Look, plan: Plan, pane: Option<usize>) -> Outcome {
    let seat = Seat::check(look)?;
    let plan = Arc::new(plan);
    let clock = Clock::start(At(0));
    let id = RunId::new(Timestamp::now(), rand::random());
    let runtime = runtime()?;
    // Only actions write files, and this world has none.
    let run_dir = std::env::temp_dir();
    let live = LiveOptions {
        run_dir: run_dir.clone(),
        run_id: id.to_string(),
        epoch: 0,
        clock: clock.clone(),
        exe: own_path()?,
        system_dns: SystemDns::default(),
    };
    let result = runtime.block_on(async {
        let world = Watching::new(&plan, live).map_err(CliError::outside)?;
        let who = who(&holder("gonogo watch"));
        let opening = Opening::Resumed { facts: Vec::new(), head: None, away: Span::ZERO };
        let engine = engine(plan, who, 0, opening, world, Box::new(Unkept::new(&id)), clock)?;
        seat.open()?.take_zoomed(engine, (String::new(), true), pane, &mut StandardInput::default()).await.map(|_| ())
    });
    runtime.shutdown_background();
    result.map(|()| 0)
}
