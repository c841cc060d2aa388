//! The promises of the core, checked on sequences of everything that can arrive: P2, P3, P4, P5 and P6.
//!
//! Thousands of short runs with right and wrong words, old and new pictures, good, bad, late and missing
//! readings, answers that come too late, and crashes. After every input every rule is checked; what gates
//! should have said is worked out again from the raw readings by an oracle of its own.

mod harness;
mod oracle;

use std::path::Path;

use gonogo::core::fact::{Ending, Finding};
use gonogo::core::ids::{StepId, Who};
use gonogo::core::input::{Command, Confirmation};
use gonogo::core::job::{Adoption, Direction, Outcome};
use gonogo::core::moves::Moves;
use gonogo::core::plan::{Confirm, Plan, Reversibility, Step};
use gonogo::core::reading::{Failure, Reading};
use gonogo::core::server::Servers;
use gonogo::core::state::StepProgress;
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::runbook::{self, Options};
use harness::{Counts, Harness};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn plan(name: &str) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runbooks/proofs").join(name);
    runbook::load(&path, &Options::default()).unwrap_or_else(|errors| panic!("{}", errors.render(false, 100))).plan
}

/// What a probe may say.
#[derive(Clone, Copy, Debug)]
enum Says {
    Good,
    Bad,
    Null,
    NotANumber,
    Fails,
    /// Good, but measured this many tenths of a second ago.
    Late(u8),
    /// Good, from a measurement that lasted this many tenths of a second.
    Slow(u8),
    /// Good, but from a clock that is ahead.
    Ahead,
}

#[derive(Clone, Copy, Debug)]
enum Word {
    Right,
    Padded,
    Wrong,
    Other,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
enum Sight {
    /// The present picture, on screen for long enough.
    Now,
    /// What was seen at some earlier moment.
    Earlier,
    /// The present picture, but for this many milliseconds only.
    Short(u16),
}

#[derive(Clone, Copy, Debug)]
enum Reason {
    None,
    Short,
    Blank,
    Good,
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    Well,
    Failing,
    Unknown,
}

#[derive(Clone, Debug)]
enum Op {
    Pass(u16),
    Read(u8, Says),
    /// Every probe says that things are bad.
    Trouble,
    /// Every probe answers well, twice a second, for this many half seconds.
    Steady(u8),
    Look(u8),
    Start {
        at: u8,
        any: bool,
        word: Word,
        sight: Sight,
        second: u8,
        reason: Reason,
    },
    Undo {
        at: u8,
        way: bool,
        word: Word,
        sight: Sight,
    },
    Tick(u8, u8),
    Skip(u8, Reason),
    Stop {
        at: u8,
        word: Word,
        sight: Sight,
    },
    VerifyAgain(u8),
    Resolve(u8, u8, Reason, Sight),
    Write(bool, Reason),
    End(u8, Reason),
    Ended(u8, Ends),
    Late(u8, Ends),
    Crash(u16),
    Adopt(u8, Ends),
    /// Everything goes well for one step, but for the job of that number.
    Onward(u8, Option<(u8, Ends)>),
    /// A step fails, is tried again, and that attempt is lost in a crash and found not to have happened.
    Relapse(u8),
    /// A step is started over whatever gate is shut.
    Over(u8),
}

fn ends() -> impl Strategy<Value = Ends> {
    prop_oneof![5 => Just(Ends::Well), 2 => Just(Ends::Failing), 1 => Just(Ends::Unknown)]
}

fn reason() -> impl Strategy<Value = Reason> {
    prop_oneof![
        1 => Just(Reason::Short),
        1 => Just(Reason::Blank),
        6 => Just(Reason::Good)
    ]
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        12 => Just(Word::Right),
        1 => Just(Word::Padded),
        1 => Just(Word::Wrong),
        1 => Just(Word::Other),
        1 => Just(Word::Nothing)
    ]
}

fn sight() -> impl Strategy<Value = Sight> {
    prop_oneof![7 => Just(Sight::Now), 3 => Just(Sight::Earlier), 1 => (0..400u16).prop_map(Sight::Short)]
}

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        8 => Just(Says::Good),
        4 => Just(Says::Bad),
        1 => Just(Says::Null),
        1 => Just(Says::NotANumber),
        2 => Just(Says::Fails),
        1 => (0..120u8).prop_map(Says::Late),
        1 => (0..120u8).prop_map(Says::Slow),
        1 => Just(Says::Ahead)
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let over = prop_oneof![1 => Just(Reason::None), 1 => reason()];
    let start = (any::<u8>(), prop::bool::weighted(0.2), word(), sight(), 0..4u8, over)
        .prop_map(|(at, any, word, sight, second, reason)| Op::Start { at, any, word, sight, second, reason });
    let undo = (any::<u8>(), any::<bool>(), word(), sight()).prop_map(|(at, way, word, sight)| Op::Undo {
        at,
        way,
        word,
        sight,
    });
    prop_oneof![
        8 => prop_oneof![Just(1u16), Just(299), Just(700), Just(1_900), Just(3_000), Just(13_000)].prop_map(Op::Pass),
        12 => (0..3u8, says()).prop_map(|(probe, says)| Op::Read(probe, says)),
        8 => (1..14u8).prop_map(Op::Steady),
        3 => Just(Op::Trouble),
        6 => any::<u8>().prop_map(Op::Look),
        12 => start,
        6 => undo,
        4 => (any::<u8>(), 0..3u8).prop_map(|(at, item)| Op::Tick(at, item)),
        1 => (any::<u8>(), reason()).prop_map(|(at, reason)| Op::Skip(at, reason)),
        3 => (any::<u8>(), word(), sight()).prop_map(|(at, word, sight)| Op::Stop { at, word, sight }),
        4 => any::<u8>().prop_map(Op::VerifyAgain),
        7 => (any::<u8>(), 0..3u8, reason(), sight())
            .prop_map(|(at, finding, reason, sight)| Op::Resolve(at, finding, reason, sight)),
        1 => (any::<bool>(), reason()).prop_map(|(note, reason)| Op::Write(note, reason)),
        1 => (0..16u8, reason()).prop_map(|(how, reason)| Op::End(how, reason)),
        14 => (any::<u8>(), ends()).prop_map(|(at, ends)| Op::Ended(at, ends)),
        2 => (any::<u8>(), ends()).prop_map(|(at, ends)| Op::Late(at, ends)),
        4 => (0..9_000u16).prop_map(Op::Crash),
        4 => (0..4u8, ends()).prop_map(|(adoption, ends)| Op::Adopt(adoption, ends)),
        14 => (any::<u8>(), prop::option::weighted(0.3, (0..6u8, ends()))).prop_map(|(at, but)| Op::Onward(at, but)),
        5 => any::<u8>().prop_map(Op::Over),
        3 => any::<u8>().prop_map(Op::Relapse),
    ]
}

fn value(probe: u8, good: bool) -> Value {
    let n = match (probe, good) {
        (_, false) => 9,
        (0, true) => 0,
        (_, true) => 1,
    };
    let x = if good { 1.0 } else { 9.0 };
    Value::map([("n", Value::Int(n)), ("x", Value::Float(x)), ("ok", Value::Bool(good))])
}

fn reading(now: At, probe: u8, says: Says) -> Reading {
    let took = if let Says::Slow(tenths) = says { u64::from(tenths) * 100 } else { 3 };
    let name = ["p", "q", "r"][usize::from(probe % 3)];
    let (at, result) = match says {
        Says::Good => (now.0, Ok(value(probe, true))),
        Says::Bad => (now.0, Ok(value(probe, false))),
        Says::Null => (now.0, Ok(Value::map([("n", Value::Null), ("x", Value::Float(1.0)), ("ok", Value::Null)]))),
        Says::NotANumber => {
            // NaN and infinity must not pass for a very small number.
            let x = if now.0 % 2 == 0 { f64::NAN } else { f64::NEG_INFINITY };
            let fields = [("n", Value::Int(1)), ("x", Value::Float(x)), ("ok", Value::Bool(true))];
            (now.0, Ok(Value::map(fields)))
        }
        Says::Fails => (now.0, Err(Failure::new("connection refused by 192.0.2.1:5432"))),
        Says::Late(tenths) | Says::Slow(tenths) => (now.0 - i64::from(tenths) * 100, Ok(value(probe, true))),
        Says::Ahead => (now.0 + 1_500, Ok(value(probe, true))),
    };
    Reading {
        probe: name.into(),
        at: At(at),
        took: Span(took),
        as_of: None,
        result,
        servers: Servers::new(),
        moves: Moves::default(),
    }
}

fn outcome(ends: Ends) -> Outcome {
    match ends {
        Ends::Well => Outcome::Succeeded { summary: "exit 0".to_owned() },
        Ends::Failing => Outcome::Failed { what: "exit 1".to_owned() },
        Ends::Unknown => Outcome::Unknown { why: "the connection broke".to_owned() },
    }
}

fn text(reason: Reason) -> String {
    match reason {
        Reason::None | Reason::Short => "too short",
        Reason::Blank => "   \t            ",
        Reason::Good => "the lag is known and harmless",
    }
    .to_owned()
}

fn typed(word: Word, right: &str, step: &Step) -> String {
    match word {
        Word::Right => right.to_owned(),
        Word::Padded => format!("  {right} "),
        Word::Wrong => "yes".to_owned(),
        Word::Other => if right == "go" { step.id.as_str() } else { "go" }.to_owned(),
        Word::Nothing => String::new(),
    }
}

fn confirmation(harness: &mut Harness, step: &Step, typed: String, sight: Sight, second: u8) -> Confirmation {
    let earlier = harness.looked.get(&step.id).cloned();
    let (seen, shown) = match (sight, earlier) {
        (Sight::Earlier, Some((seen, at))) => (seen, harness.now.since(at)),
        (Sight::Earlier | Sight::Now, _) => {
            let (seen, _) = harness.look(step);
            (seen, Span(1_000))
        }
        (Sight::Short(ms), _) => {
            let (seen, _) = harness.look(step);
            (seen, Span(ms.into()))
        }
    };
    let second = match second {
        0 => None,
        1 => Some("ada@elsewhere"),
        2 => Some("  "),
        _ => Some("grace"),
    };
    Confirmation { step: step.id.clone(), typed, second: second.map(|name| Who(name.to_owned())), seen, shown }
}

fn right_word(step: &Step) -> &str {
    if step.confirm == Confirm::Go { "go" } else { step.id.as_str() }
}

fn pick<T: Clone>(items: &[T], at: u8) -> Option<T> {
    (!items.is_empty()).then(|| items[usize::from(at) % items.len()].clone())
}

/// Steps in a phase for which an operator can do something special.
fn steps_in(harness: &Harness, fits: impl Fn(&StepProgress) -> bool) -> Vec<StepId> {
    harness.plan.steps.iter().map(|step| step.id.clone()).filter(|id| fits(harness.run.phase(id))).collect()
}

fn start(harness: &mut Harness, at: u8, any: bool, word: Word, sight: Sight, second: u8, reason: Reason) {
    let step = if any { harness.step(at) } else { harness.startable(at) };
    let typed = typed(word, right_word(step), step);
    let confirmation = confirmation(harness, step, typed, sight, second);
    let _ = harness.command(match reason {
        Reason::None => Command::Confirm(confirmation),
        _ => Command::Override { confirmation, reason: text(reason) },
    });
}

fn undo(harness: &mut Harness, at: u8, way: bool, word: Word, sight: Sight) {
    let first =
        gonogo::core::rollback::way_back(harness.plan, &harness.run).steps.first().map(|back| back.step.clone());
    let step = match first.filter(|_| way) {
        Some(id) => harness.plan.step(&id).unwrap(),
        None => harness.step(at),
    };
    let right = if step.reversibility == Reversibility::Lossy { step.id.as_str() } else { "undo" };
    let typed = typed(word, right, step);
    let confirmation = confirmation(harness, step, typed, sight, 3);
    // By hand as well, which only a missing or a failed undo allows.
    let (step, seen) = (step.id.clone(), confirmation.seen.clone());
    if harness.command(Command::TakenBackByHand { step, reason: text(Reason::Good), seen }).is_err() {
        let _ = harness.command(Command::Undo(confirmation));
    }
}

fn steady(harness: &mut Harness, halves: u8) {
    for _ in 0..halves {
        harness.pass(490);
        for probe in 0..3 {
            harness.read(reading(harness.now, probe, Says::Good));
        }
    }
}

/// Starts the next step as an operator would, and lets all of it go well, or all but one job.
fn onward(harness: &mut Harness, at: u8, but: Option<(u8, Ends)>) {
    steady(harness, 9);
    start(harness, at, false, Word::Right, Sight::Now, 3, Reason::None);
    for _ in 0..10 {
        if let Some(key) = harness.in_world.first().cloned() {
            let ends = but.filter(|(job, _)| u16::from(*job) == key.job).map_or(Ends::Well, |(_, ends)| ends);
            harness.ended(key, outcome(ends));
        }
        for id in steps_in(harness, |phase| matches!(phase, StepProgress::Running(_))) {
            let _ = harness.command(Command::Acknowledge { step: id.clone(), item: 0 });
            let _ = harness.command(Command::Acknowledge { step: id, item: 1 });
        }
        steady(harness, 1);
    }
}

fn relapse(harness: &mut Harness, at: u8) {
    for ends in [Some(Ends::Failing), None] {
        steady(harness, 9);
        start(harness, at, false, Word::Right, Sight::Now, 3, Reason::None);
        if let (Some(key), Some(ends)) = (harness.in_world.first().cloned(), ends) {
            harness.ended(key, outcome(ends));
        }
    }
    harness.crash(Span(100));
    for step in steps_in(harness, |phase| matches!(phase, StepProgress::InDoubt { .. })) {
        let (seen, _) = harness.look(harness.plan.step(&step).unwrap());
        let finding = Finding::DidNotHappen;
        let _ = harness.command(Command::Resolve { step, finding, reason: text(Reason::Good), seen });
    }
}

fn perform(harness: &mut Harness, op: &Op) {
    harness.pass(1);
    match *op {
        Op::Pass(ms) => {
            harness.pass(u64::from(ms));
            harness.drain();
        }
        Op::Read(probe, says) => harness.read(reading(harness.now, probe, says)),
        Op::Trouble => (0..3).for_each(|probe| harness.read(reading(harness.now, probe, Says::Bad))),
        Op::Steady(halves) => steady(harness, halves),
        Op::Look(at) => {
            let step = if at % 3 == 0 { harness.step(at / 3) } else { harness.startable(at) };
            harness.look(step);
        }
        Op::Start { at, any, word, sight, second, reason } => start(harness, at, any, word, sight, second, reason),
        Op::Undo { at, way, word, sight } => undo(harness, at, way, word, sight),
        Op::Tick(at, item) => {
            let running = steps_in(harness, |phase| matches!(phase, StepProgress::Running(_)));
            let step = pick(&running, at).unwrap_or_else(|| harness.step(at).id.clone());
            let _ = harness.command(Command::Acknowledge { step, item: u16::from(item) });
        }
        Op::Skip(at, reason) => {
            let step = harness.step(at).id.clone();
            let _ = harness.command(Command::Skip { step, reason: text(reason) });
        }
        Op::Stop { at, word, sight } => {
            let busy =
                steps_in(harness, |phase| matches!(phase, StepProgress::Running(_) | StepProgress::Verifying { .. }));
            let step = pick(&busy, at).map_or_else(|| harness.step(at), |id| harness.plan.step(&id).unwrap());
            let back = matches!(harness.run.phase(&step.id), StepProgress::Running(running) if running.key.direction != Direction::Do);
            let typed = typed(word, if back { step.id.as_str() } else { "stop" }, step);
            let confirmation = confirmation(harness, step, typed, sight, 0);
            let _ = harness.command(Command::Stop(confirmation));
        }
        Op::VerifyAgain(at) => {
            let failed = steps_in(harness, |phase| matches!(phase, StepProgress::Failed { .. }));
            let step = pick(&failed, at).unwrap_or_else(|| harness.step(at).id.clone());
            let _ = harness.command(Command::VerifyAgain { step });
        }
        Op::Resolve(at, finding, reason, sight) => {
            let doubtful = steps_in(harness, |phase| matches!(phase, StepProgress::InDoubt { .. }));
            let step = pick(&doubtful, at).unwrap_or_else(|| harness.step(at).id.clone());
            let finding = [Finding::Happened, Finding::DidNotHappen, Finding::HalfHappened][usize::from(finding % 3)];
            let seen = confirmation(harness, harness.plan.step(&step).unwrap(), String::new(), sight, 0).seen;
            let _ = harness.command(Command::Resolve { step, finding, reason: text(reason), seen });
        }
        Op::Write(true, reason) => drop(harness.command(Command::Note { text: text(reason) })),
        Op::Write(false, reason) => drop(harness.command(Command::StatusUpdate { text: text(reason) })),
        Op::End(how, reason) => {
            let how = match how {
                0 => Ending::Abandoned { reason: text(reason) },
                1..=7 => Ending::RolledBack,
                _ => Ending::Completed,
            };
            let _ = harness.command(Command::End { how });
        }
        Op::Ended(at, ends) => {
            let keys: Vec<_> = harness.in_world.iter().cloned().collect();
            if let Some(key) = pick(&keys, at) {
                harness.ended(key, outcome(ends));
            }
        }
        Op::Late(at, ends) => {
            let keys: Vec<_> = harness.starts.keys().filter(|key| !harness.in_world.contains(key)).cloned().collect();
            if let Some(key) = pick(&keys, at) {
                harness.ended(key, outcome(ends));
            }
        }
        Op::Crash(away) => harness.crash(Span(u64::from(away))),
        Op::Adopt(adoption, ends) => {
            if let Some(key) = harness.adopting.pop_front() {
                let adoption = match adoption {
                    0 => Adoption::Running,
                    1 => Adoption::Untraceable,
                    2 => Adoption::NeverStarted,
                    _ => Adoption::Ended { outcome: outcome(ends), took: Span(9) },
                };
                if adoption != Adoption::Running {
                    harness.in_world.remove(&key);
                }
                harness.adopted(key, adoption);
            }
        }
        Op::Onward(at, but) => onward(harness, at, but),
        Op::Relapse(at) => relapse(harness, at),
        Op::Over(at) => {
            harness.pass(2_500);
            harness.read(reading(harness.now, 1, Says::Good));
            start(harness, at, false, Word::Right, Sight::Now, 3, Reason::Good);
        }
    }
}

/// Runs many cases over one plan and asks that each of `least` happened often enough to mean something.
fn prove(name: &str, least: &[(&str, u64)]) {
    let plan = plan(name);
    // The same cases every time, unless somebody asks for more of them.
    let config = Config { failure_persistence: None, max_shrink_iters: 4_000, ..Config::default() };
    let config = Config { cases: config.cases.max(700), ..config };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let counts = std::cell::RefCell::new(Counts::default());
    let outcome = runner.run(&prop::collection::vec(op(), 1..70), |ops| {
        let counts = &mut *counts.borrow_mut();
        let mut harness = Harness::new(&plan, counts);
        for op in &ops {
            perform(&mut harness, op);
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let counts = counts.into_inner();
    for (what, least) in least {
        let had = counts.0.get(what).copied().unwrap_or(0);
        assert!(had >= *least, "{what} happened {had} times, which proves little: {counts:#?}");
    }
}

#[test]
fn every_rule_holds_over_branches_and_a_section_that_leaves_something() {
    prove(
        "branches.yaml",
        &[
            ("start", 100),
            ("taken back by hand", 20),
            ("start after a hold", 100),
            ("start by two", 20),
            ("override", 20),
            ("override of the unknown", 20),
            ("refused for a broken guard", 20),
            ("counted late", 3),
            ("refusal", 500),
            ("done with checks", 50),
            ("undo", 20),
            ("undone", 10),
            ("skip", 20),
            ("crash", 100),
            ("in doubt after a crash", 20),
            ("doubt resolved", 20),
            ("late result", 50),
            ("section going back", 20),
            ("section stuck on its way back", 3),
            ("stop by the operator", 20),
            ("stop by the deadline", 1),
            ("stop by a guard", 3),
            ("soak", 5),
            ("no way back", 3),
            ("verified again", 4),
            ("soak interrupted", 20),
            ("soak continued", 5),
            ("left by an earlier try", 20),
            ("try that did not happen after one that had", 1),
            ("stop of a way back", 3),
        ],
    );
}

#[test]
fn every_rule_holds_over_sections_inside_a_window() {
    prove(
        "sections.yaml",
        &[
            ("start", 100),
            ("override", 20),
            ("undo", 20),
            ("section taken back", 20),
            ("section taken back in part", 3),
            ("section stuck on its way back", 3),
            ("stop by the deadline", 3),
            ("stop by a guard", 3),
            ("rolled back", 3),
            ("completed", 1),
        ],
    );
}
