//! `rehearse`: a runbook in a simulated world, by hand or by an automatic operator.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, IsTerminal, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::bundled::BUNDLED;
use super::check::read;
use super::drive::{self, runtime, who};
use super::durations;
use super::farewell::{self, last_word, quoted};
use super::records::{MODE, PROFILE, SET, baselines_label};
use super::seat::{Seat, StandardInput};
use super::{CliError, Look, Outcome, RunbookArgs, say};
use crate::clock::Clock;
use crate::core::fact::{Mode, Recorded};
use crate::core::ids::{ProbeId, StepId};
use crate::core::plan::Plan;
use crate::core::time::{At, Span};
use crate::driver::{Opening, facts_of};
use crate::journal::{Holder, Journal, NewRun, RunId, Store, Writer};
use crate::pace::{Pace, SPEEDS};
use crate::rehearsal::automatic::rehearse as rehearse_by_policy;
use crate::rehearsal::blocked::Samples;
use crate::rehearsal::debrief::{Debrief, Mishap, debrief};
use crate::rehearsal::engine::RehearsalEngine;
use crate::rehearsal::operator::AutoOperator;
use crate::rehearsal::policy::{Policy, load_str as load_policy};
use crate::rehearsal::world::Handle;
use crate::runbook::{LARGEST, Loaded};
use crate::sample_log::{SamplesByProbe, reading_of};
use crate::scenario::{self, End, Scenario};
use crate::term::Charset;
use crate::world::sim::{SimOptions, SimWorld};

/// When a rehearsal begins on its own clock, unless the runbook has a window: a Saturday night, far enough in the past
/// not to be mistaken for today.
const START: At = At(1_767_405_600_000);

/// What to rehearse, and how.
#[derive(Clone, Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // flags of a command line
pub(super) struct RehearseArgs {
    #[command(flatten)]
    pub(super) runbook: RunbookArgs,
    /// What goes wrong: the name of a bundled scenario or a file; may be given several times
    #[arg(long, value_name = "NAME|FILE")]
    scenario: Vec<String>,
    /// Let something go wrong that you do not know
    #[arg(long, conflicts_with = "scenario")]
    surprise: bool,
    /// List the bundled scenarios that fit the runbook, each with its lesson
    #[arg(long, conflicts_with_all = ["scenario", "surprise", "auto"])]
    list: bool,
    /// Seed of the random numbers; the same seed gives the same rehearsal [default: random, and printed]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How many times faster than real time it begins
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = speed, help = super::help::speed())]
    speed: u32,
    /// Let an automatic operator drive, without a terminal, as fast as it can be computed
    #[arg(long)]
    auto: bool,
    /// How the automatic operator reacts: `good`, `careless` or a file
    #[arg(long, value_name = "NAME|FILE", requires = "auto")]
    policy: Option<String>,
    /// The automatic operator takes everything back once this step is done
    #[arg(long, value_name = "STEP", requires = "auto")]
    roll_back_after: Option<StepId>,
    /// Print the outcome as one JSON object
    #[arg(long, requires = "auto")]
    json: bool,
}

fn speed(text: &str) -> Result<u32, String> {
    let speeds = || SPEEDS.map(|speed| speed.to_string()).join(", ");
    let asked = text.parse().ok().filter(|asked| SPEEDS.contains(asked));
    asked.ok_or_else(|| format!("it can be {}", speeds()))
}

impl RehearseArgs {
    /// The rehearsal of this runbook with default options.
    pub(super) fn of(runbook: RunbookArgs) -> Self {
        Self {
            runbook,
            scenario: Vec::new(),
            surprise: false,
            list: false,
            seed: None,
            speed: 1,
            auto: false,
            policy: None,
            roll_back_after: None,
            json: false,
        }
    }
}

/// Everything about one rehearsal that is known before it begins.
struct Setting {
    plan: Arc<Plan>,
    source: String,
    seed: u64,
    start: At,
    /// Scenarios with their names.
    scenarios: Vec<(String, Scenario)>,
    surprise: bool,
}

pub(super) fn rehearse(state: &Path, look: Look, args: &RehearseArgs) -> Outcome {
    let loaded = read(&args.runbook, look.color)?;
    if args.list {
        list(&loaded.plan);
        return Ok(0);
    }
    let setting = setting(loaded, args)?;
    if args.auto { automatic(state, args, &setting) } else { by_hand(state, look, args, &setting) }
}

fn list(plan: &Plan) {
    let fitting = scenario::fitting(plan);
    for (name, scenario) in &fitting {
        say(&format!("{name:<20} {}\n{:<20} {}", scenario.title, "", scenario.lesson));
    }
    let unfit = scenario::BUNDLED.len() - fitting.len();
    if unfit > 0 {
        say(&format!("{unfit} more do not fit this runbook: it has nothing for them to hit"));
    }
}

fn setting(loaded: Loaded, args: &RehearseArgs) -> Result<Setting, CliError> {
    let plan = Arc::new(loaded.plan);
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let mut scenarios = Vec::new();
    for asked in &args.scenario {
        scenarios.push((asked.clone(), scenario_of(asked, &plan)?));
    }
    if args.surprise {
        let fitting = scenario::fitting(&plan);
        let at = usize::try_from(seed).unwrap_or(0).checked_rem(fitting.len()).unwrap_or(0);
        let Some((name, chosen)) = fitting.into_iter().nth(at) else {
            return Err(CliError::usage("no bundled scenario fits this runbook"));
        };
        scenarios.push((name.to_owned(), chosen));
    }
    let start = plan.window.map_or(START, |window| window.opens);
    Ok(Setting { plan, source: loaded.source, seed, start, scenarios, surprise: args.surprise })
}

fn scenario_of(asked: &str, plan: &Plan) -> Result<Scenario, CliError> {
    let (name, text) = match scenario::bundled(asked) {
        Some(bundled) => (bundled.name.to_owned(), bundled.text.to_owned()),
        None => (asked.to_owned(), text_of(asked, "scenario", scenario::BUNDLED.iter().map(|bundled| bundled.name))?),
    };
    scenario::load_str(&name, &text, plan).map_err(|faults| CliError::usage(faults.render(false, 100)))
}

/// The text of a file, for a name that is not bundled.
fn text_of<'a>(asked: &str, what: &str, names: impl Iterator<Item = &'a str>) -> Result<String, CliError> {
    let path = PathBuf::from(asked);
    if !path.exists() {
        let names: Vec<&str> = names.collect();
        let nearest = nearest(asked, names.iter().copied());
        return Err(CliError::usage(format!(
            "there is no {what} `{asked}`, neither bundled nor as a file{nearest}; bundled are {}",
            names.join(", ")
        )));
    }
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    match read {
        Ok(length) if length as u64 > LARGEST => {
            Err(CliError::usage(format!("`{asked}` is too large: a {what} has at most {} MiB", LARGEST / 1024 / 1024)))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(CliError::usage(format!("`{asked}` cannot be read: {error}"))),
    }
}

/// The nearest name as the end of a sentence.
fn nearest<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> String {
    crate::core::nearest::suggestion(asked, names).map_or_else(String::new, |near| format!("; {near}"))
}

fn policy_of(args: &RehearseArgs, plan: &Plan) -> Result<(String, Policy), CliError> {
    let name = args.policy.clone().unwrap_or_else(|| "good".to_owned());
    let mut policy = match name.as_str() {
        "good" => Policy::good(),
        "careless" => Policy::careless(),
        file => {
            let text = text_of(file, "policy", ["good", "careless"].into_iter())?;
            load_policy(file, &text).map_err(|faults| CliError::usage(faults.render(false, 100)))?
        }
    };
    if let Some(step) = &args.roll_back_after {
        policy.roll_back_after = Some(step.clone());
    }
    if let Some(step) = policy.roll_back_after.as_ref().filter(|step| plan.step(step).is_none()) {
        let nearest = nearest(step.as_str(), plan.steps.iter().map(|step| step.id.as_str()));
        return Err(CliError::usage(format!("there is no step \"{step}\" to roll back after{nearest}")));
    }
    Ok((name, policy))
}

fn options(setting: &Setting) -> SimOptions {
    let scenarios = setting.scenarios.iter().map(|(_, scenario)| scenario.clone()).collect();
    SimOptions { seed: setting.seed, start: setting.start, scenarios }
}

fn new_run(setting: &Setting, args: &RehearseArgs, now: Timestamp) -> Result<NewRun, CliError> {
    let mut labels = BTreeMap::from([
        (MODE.to_owned(), Mode::Rehearsal.as_str().to_owned()),
        ("seed".to_owned(), setting.seed.to_string()),
        (SET.to_owned(), serde_json::to_string(&args.runbook.set).map_err(CliError::outside)?),
    ]);
    labels.extend(args.runbook.profile.clone().map(|profile| (PROFILE.to_owned(), profile)));
    labels.extend(baselines_label(&setting.plan));
    let names: Vec<&str> = setting.scenarios.iter().map(|(name, _)| name.as_str()).collect();
    if !names.is_empty() {
        labels.insert("scenarios".to_owned(), names.join(", "));
    }
    Ok(NewRun {
        created_at: now,
        title: setting.plan.title.clone(),
        runbook: setting.source.clone().into_bytes(),
        labels,
    })
}

/// What came out, for machines.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    run: String,
    seed: u64,
    scenarios: Vec<&'a str>,
    policy: &'a str,
    ended: End,
    expected: Vec<End>,
    as_expected: bool,
    /// Why it was abandoned without an end, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    given_up: Option<String>,
    #[serde(flatten)]
    debrief: &'a Debrief,
}

/// The automatic operator uses no forecast: what it does follows from the seed alone, and so does its journal.
fn automatic(state: &Path, args: &RehearseArgs, setting: &Setting) -> Outcome {
    let (policy_name, policy) = policy_of(args, &setting.plan)?;
    let rolls_back = policy.roll_back_after.is_some();
    let store = Store::open(state)?;
    let now = Timestamp::now();
    let id = RunId::new(now, rand::random());
    let mut operator = AutoOperator::new(policy);
    let rehearsed =
        rehearse_by_policy(&setting.plan, options(setting), &id, &mut operator).map_err(CliError::outside)?;
    let holder = Holder::rehearsing("gonogo rehearse --auto", Timestamp::now());
    rehearsed.keep(&mut store.create_run(&id, &new_run(setting, args, now)?, &holder)?)?;
    let facts = facts_of(&rehearsed.records).map_err(CliError::outside)?;
    let samples = rehearsed.contents.contents().samples;
    let sorted = SamplesByProbe::new(&samples);
    let among = |probe: &ProbeId, range: Range<i64>| sorted.readings(probe, range);
    let debrief = told(&setting.plan, &facts, &rehearsed.world, &among);
    let ended = debrief.end();
    let expected = expected(setting, policy_name == "careless", rolls_back);
    let as_expected = expected.contains(&ended);
    if args.json {
        let summary = Summary {
            run: id.to_string(),
            seed: setting.seed,
            scenarios: setting.scenarios.iter().map(|(name, _)| name.as_str()).collect(),
            policy: &policy_name,
            ended,
            expected,
            as_expected,
            given_up: rehearsed.given_up.map(|why| why.to_string()),
            debrief: &debrief,
        };
        say(&crate::text::json(&serde_json::to_string(&summary).map_err(CliError::outside)?));
    } else {
        say(&format!("run {id}"));
        if let Some(why) = rehearsed.given_up {
            farewell::tell(&why.to_string(), Charset::detect());
        }
        say_debrief(setting, &debrief, Charset::detect());
        farewell::say_ways(&ways(state, &id, args, setting, Some(&policy_name)), Charset::detect());
    }
    Ok(u8::from(!as_expected))
}

/// How the run should end: as the scenarios say for this policy, or as was requested when the operator takes everything
/// back or nothing goes wrong.
fn expected(setting: &Setting, careless: bool, rolls_back: bool) -> Vec<End> {
    let by_scenario = |(_, scenario): &(String, Scenario)| {
        if careless { scenario.ends.careless } else { scenario.ends.good }
    };
    let mut ends: Vec<End> = setting.scenarios.iter().map(by_scenario).collect();
    if rolls_back {
        ends.push(End::RolledBack);
    } else if ends.is_empty() {
        ends.push(End::Complete);
    }
    ends
}

fn told(plan: &Plan, facts: &[Recorded], world: &Handle, samples: Samples) -> Debrief {
    let mishaps: Vec<Mishap> = world.mishaps();
    let truth = world.world().truth();
    debrief(plan, facts, &mishaps, &truth, samples)
}

fn say_debrief(setting: &Setting, debrief: &Debrief, charset: Charset) {
    let tell = |text: &str| farewell::tell(text, charset);
    for (name, scenario) in &setting.scenarios {
        tell(&format!("scenario {name}: {}", scenario.title));
    }
    for line in debrief.lines() {
        tell(&line);
    }
    for (_, scenario) in &setting.scenarios {
        tell(&format!("lesson: {}", scenario.lesson));
        tell(&format!("a good reaction: {}", scenario.good_reaction));
    }
}

/// The commands for a rehearsal that is over.
fn ways(
    state: &Path,
    id: &RunId,
    args: &RehearseArgs,
    setting: &Setting,
    policy: Option<&str>,
) -> Vec<(&'static str, String)> {
    let mut again = format!("{} rehearse", farewell::program(state));
    let mut add = |words: &[&str]| {
        for word in words {
            again.push(' ');
            again.push_str(&quoted(word));
        }
    };
    let path = args.runbook.path.display().to_string();
    if path != "runbook.yaml" && path != BUNDLED {
        add(&[&path]);
    }
    if let Some(policy) = policy {
        add(&["--auto"]);
        if policy != "good" {
            add(&["--policy", policy]);
        }
        if let Some(step) = &args.roll_back_after {
            add(&["--roll-back-after", step.as_str()]);
        }
    }
    if let Some(profile) = &args.runbook.profile {
        add(&["--profile", profile]);
    }
    for (name, value) in &args.runbook.set {
        add(&["--set", &format!("{name}={value}")]);
    }
    add(&["--seed", &setting.seed.to_string()]);
    for (name, _) in &setting.scenarios {
        add(&["--scenario", name]);
    }
    let mut ways = farewell::looks(state, id);
    ways.push(("the same once more", again));
    ways
}

/// Lets a person rehearse, over as many cockpits as the scenario takes away.
fn by_hand(state: &Path, look: Look, args: &RehearseArgs, setting: &Setting) -> Outcome {
    let seat = Seat::check(look)?;
    let store = Store::open(state)?;
    let mut cut_off = drive::cut_off(state, &store);
    let durations = durations::of(&store, &setting.plan, &setting.source, &args.runbook).fact();
    let holder = Holder::rehearsing("gonogo rehearse", Timestamp::now());
    let now = Timestamp::now();
    let id = RunId::new(now, rand::random());
    let mut journal: Journal = store.create_run(&id, &new_run(setting, args, now)?, &holder)?;
    let (clock, hand) = Clock::simulated(setting.start);
    let pace = Pace::new(setting.start, args.speed);
    let world = Handle::new(SimWorld::new(Arc::clone(&setting.plan), options(setting)), hand, pace.clone());
    let runtime = runtime()?;
    let mut opening = Opening::New { mode: Mode::Rehearsal, facts: durations.into_iter().collect() };
    let mut input = StandardInput::default();
    let (exit, facts) = loop {
        let epoch = journal.epoch();
        let ledger = world.ledger(Box::new(journal));
        let writer =
            Writer::spawn(ledger).map_err(|error| CliError::outside(format!("the journal does not start: {error}")))?;
        let (exit, engine) = runtime.block_on(async {
            let plan = Arc::clone(&setting.plan);
            let mut engine =
                RehearsalEngine::open(plan, who(&holder), epoch, opening, world.clone(), writer, clock.clone())
                    .map_err(CliError::usage)?;
            if let Some(cut_off) = cut_off.take() {
                engine.remark(format!("a new rehearsal: {cut_off}"));
            }
            seat.open()?.take(engine, id.short().to_owned(), false, &mut input).await
        })?;
        let struck = engine.cockpit_fault();
        // Only a disk that the scenario has filled is waited for; any other fault ends the rehearsal.
        let faulted = engine.engine().fault().is_some() && world.disk().is_full();
        if struck.is_none() && !faulted {
            last_word(&exit, engine.engine(), &id, state, seat.charset());
        }
        drop(engine);
        let reader = store.read_run(&id)?;
        let head = reader.head()?;
        let facts = facts_of(&reader.tail(head.seq)?).map_err(CliError::outside)?;
        if struck.is_none() && !faulted {
            break (exit, facts);
        }
        let gone = clock.now();
        come_back(&world, struck.is_some(), seat, &mut input)?;
        pace.arrived(clock.now());
        journal = store.open_run(&id, &holder)?;
        opening = Opening::Resumed { facts, head: Some(head.hash), away: clock.now().since(gone) };
    };
    runtime.shutdown_background();
    say("");
    if setting.surprise {
        say("the surprise:");
    }
    let reader = store.read_run(&id)?;
    // A debrief without some readings is better than none.
    let recorded = |probe: &ProbeId, range: Range<i64>| {
        reader.samples(probe.as_str(), range).unwrap_or_default().iter().filter_map(reading_of).collect()
    };
    say_debrief(setting, &told(&setting.plan, &facts, &world, &recorded), seat.charset());
    say("");
    farewell::say_ways(&ways(state, &id, args, setting, None), seat.charset());
    Ok(exit.code())
}

/// Resumes after the scenario has taken the cockpit, as `gonogo resume` does.
fn come_back(world: &Handle, struck: bool, seat: Seat, input: &mut StandardInput) -> Result<(), CliError> {
    let why = if struck { "your cockpit is gone: the scenario took it" } else { "the journal's disk was full" };
    say(&format!("{why}. In a real run you would now type: gonogo resume"));
    if std::io::stdin().is_terminal() {
        say("press enter to resume");
        // Any key or line means to go on.
        match seat {
            Seat::Streams(_) => input.get()?.wait_for_line(),
            Seat::Terminal(_) => drop(std::io::stdin().lock().read_line(&mut String::new())),
        }
    }
    world.stay_away(world.take_away().unwrap_or(Span::secs(30)));
    Ok(())
}
