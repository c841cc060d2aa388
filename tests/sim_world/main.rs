//! The simulated world drives the real core through whole runbooks, in virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may fail loudly
#![allow(clippy::cast_possible_truncation)] // small numbers

mod properties;
mod session;

use std::sync::Arc;

use gonogo::core::fact::Ending;
use gonogo::core::plan::Plan;
use gonogo::runbook::{self, Options};
use gonogo::scenario::{self, End};
use session::{Operator, Session};

fn playbook() -> Arc<Plan> {
    let source = include_str!("../../runbook.yaml");
    let loaded = runbook::load_str("runbook.yaml", source, &Options::default()).unwrap_or_else(|e| panic!("{e}"));
    Arc::new(loaded.plan)
}

#[test]
fn the_whole_playbook_is_completed() {
    let plan = playbook();
    for seed in 0..4 * seeds() {
        let began = std::time::Instant::now();
        let mut session = Session::new(&plan, seed, Vec::new(), Operator::Good);
        let ended = session.drive();
        eprintln!("seed {seed}: {ended:?} after {} in {:?}", session.now.since(session::START), began.elapsed());
        assert_eq!(ended, Some(Ending::Completed), "seed {seed}\n{}", session.story());
        assert_eq!(session.seen("customers.failed"), Some(0.0));
        assert_eq!(session.seen("missing.missing_in_new"), Some(0.0));
        let pause = session.seen("customers.longest_pause_ms").unwrap();
        assert!(pause < 10_000.0, "{pause}");
    }
}

/// How many seeds each scenario is tried with; `GONOGO_SEEDS=20` for more.
fn seeds() -> u64 {
    std::env::var("GONOGO_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// How a run went, in the words of scenarios.
fn end(session: &Session, ended: Option<&Ending>, plan: &Plan) -> End {
    let number = |path: &str| session.seen(path).unwrap_or(0.0);
    let budget = plan.write_pause_budget.unwrap_or(gonogo::core::time::Span::secs(3_600)).as_secs_f64() * 1_000.0;
    let hurt = number("customers.failed") > 0.0 || number("customers.longest_pause_ms") > budget;
    match ended {
        Some(Ending::RolledBack) => {
            if number("missing.missing_in_old") > 0.0 {
                End::Harm
            } else {
                End::RolledBack
            }
        }
        _ if hurt || number("missing.missing_in_new") > 0.0 => End::Harm,
        Some(Ending::Completed) => End::Complete,
        Some(Ending::Abandoned { .. }) => End::Abandoned,
        None => End::Stuck,
    }
}

#[test]
fn every_bundled_scenario_ends_as_it_says() {
    let plan = playbook();
    let mut wrong = Vec::new();
    let only = std::env::var("SCENARIO").ok();
    for bundled in scenario::BUNDLED.iter().filter(|bundled| only.as_ref().is_none_or(|only| only == bundled.name)) {
        let loaded = scenario::load_str(bundled.name, bundled.text, &plan).unwrap_or_else(|e| panic!("{e}"));
        for (operator, expected) in [(Operator::Good, loaded.ends.good), (Operator::Careless, loaded.ends.careless)] {
            for seed in 1..=seeds() {
                let mut session = Session::new(&plan, seed, vec![loaded.clone()], operator);
                let began = std::time::Instant::now();
                let ended = session.drive();
                eprintln!(
                    "{} {operator:?} {seed} {:?} {} {}",
                    bundled.name,
                    began.elapsed(),
                    session.facts.len(),
                    session.steps
                );
                let end = end(&session, ended.as_ref(), &plan);
                if end != expected {
                    eprintln!("    {end:?}, not {expected:?}");
                    wrong.push(format!("{} {operator:?} seed {seed}: {end:?}, not {expected:?}", bundled.name));
                    if std::env::var("STORY").is_ok_and(|name| name == bundled.name) {
                        eprintln!("{}\n{}", wrong.last().unwrap(), session.story());
                    }
                }
                assert!(!session.incidents.is_empty(), "{} never happens", bundled.name);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_same_seed_makes_the_same_run() {
    let plan = playbook();
    let run = |seed| {
        let scenarios = ["new-errors", "lag-spike"].map(|name| scenario::bundled(name).unwrap());
        let scenarios = scenarios.map(|of| scenario::load_str(of.name, of.text, &plan).unwrap()).to_vec();
        let mut session = Session::new(&plan, seed, scenarios, Operator::Good).keeping_events();
        session.drive();
        (session.facts, session.events, session.incidents)
    };
    let (one, other) = (run(1), run(1));
    assert!(one == other, "the same seed makes another run");
    assert!(one.1 != run(2).1, "seeds make no difference");
}

#[test]
fn it_is_taken_back_from_the_watch_and_driven_again() {
    let plan = playbook();
    for seed in 0..seeds() {
        let mut session = Session::new(&plan, seed, Vec::new(), Operator::Good);
        session.back_from = Some("watch".into());
        let ended = session.drive();
        assert_eq!(ended, Some(Ending::RolledBack), "seed {seed}\n{}", session.story());
        assert_eq!(session.seen("customers.failed"), Some(0.0), "seed {seed}");
    }
}
