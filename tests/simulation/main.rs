//! Deterministic simulation: random operators, random faults, cockpits that die at any moment, and the promises
//! checked after every event. Everything follows from a seed, so a failure can be played again.
//!
//! ```console
//! $ GONOGO_RUNS=10000 cargo test --profile ci --test simulation  # as `tests/run` does
//! $ GONOGO_RUNS=1000000 cargo test --profile ci --test simulation # a longer soak
//! $ GONOGO_SEED=4711 cargo test --test simulation              # that run again
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test may fail loudly

mod invariants;
mod judge;
#[path = "../support/latencies.rs"]
mod latencies;
mod operator;
mod sights;
mod wishes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gonogo::core::plan::Plan;
use gonogo::core::time::{At, Span};
use gonogo::journal::RunId;
use gonogo::rehearsal::automatic::{Observed, rehearse_observed};
use gonogo::runbook::{self, Options};
use gonogo::scenario::model::{CockpitKilled, Event, Fault, Happening, Nothing, When};
use gonogo::scenario::{self, End, Ends, Scenario};
use gonogo::world::sim::SimOptions;
use invariants::{Watch, audit};
use operator::Monkey;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wishes::Wishes;

/// Ten thousand in an optimized build, where a hundred take seconds; fewer in a debug build, which checks every index.
const RUNS: u64 = if cfg!(debug_assertions) { 100 } else { 10_000 };

fn plan(path: &str) -> Arc<Plan> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let loaded =
        runbook::load(&path, &Options::default()).unwrap_or_else(|errors| panic!("{}", errors.render(false, 100)));
    Arc::new(loaded.plan)
}

fn id() -> RunId {
    "20260103-0200-51ed".parse().unwrap()
}

/// Losses of cockpits, terminals and disks at random moments.
fn losses(plan: &Plan, rng: &mut ChaCha8Rng) -> Scenario {
    let moments = [Happening::Started, Happening::Running, Happening::Done, Happening::Failed, Happening::Undoing];
    let event = |rng: &mut ChaCha8Rng| {
        let step = plan.steps.choose(rng).map(|step| step.id.to_string());
        let is = moments.choose(rng).copied();
        let after = Some(Span(*[0, 1, 50, 400, 5_000, 300_000].choose(rng).unwrap_or(&0)));
        let (fault, lasts) = match rng.random_range(0..4) {
            0 => (Fault::DiskFull(Nothing {}), Some(Span(rng.random_range(1..60_000)))),
            1 => (Fault::TerminalLost(Nothing {}), None),
            _ => (Fault::CockpitKilled(CockpitKilled { back_after: Span(rng.random_range(1..120_000)) }), None),
        };
        Event { when: When { at: None, step, is, after }, fault, lasts }
    };
    Scenario {
        title: "Losses".to_owned(),
        lesson: String::new(),
        good_reaction: String::new(),
        ends: Ends { good: End::Complete, careless: End::Harm },
        events: (0..rng.random_range(1..4)).map(|_| event(rng)).collect(),
    }
}

/// One run from its seed: chooses the faults and the operator, and watches.
fn play(plans: &[Arc<Plan>], seed: u64) -> Vec<gonogo::journal::Record> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let plan = plans.choose(&mut rng).unwrap();
    let fitting = scenario::fitting(plan);
    let count = rng.random_range(0..4);
    let mut scenarios: Vec<Scenario> =
        fitting.choose_multiple(&mut rng, count).map(|(_, scenario)| scenario.clone()).collect();
    scenarios.extend(rng.random_bool(0.6).then(|| losses(plan, &mut rng)));
    let options = SimOptions { seed, start: At(1_767_405_600_000), scenarios };
    let wishes = Wishes::default();
    let mut watch = Watch::new(plan, wishes.clone());
    let mut monkey = Monkey::new(seed, wishes);
    let rehearsed = rehearse_observed(plan, options, &id(), &mut monkey, |what| match what {
        Observed::Opened { world, contents } => world.audit(audit(contents.clone())),
        Observed::Acted { .. } => {}
        Observed::Turned { engine, contents } => watch.look(engine, contents),
    })
    .unwrap();
    assert!(rehearsed.given_up.is_none(), "P5: the run came to a stop without an end");
    rehearsed.records
}

#[test]
fn every_promise_holds_whatever_happens() {
    let plans = [plan("tests/runbooks/proofs/simulation.yaml"), plan("tests/runbooks/proofs/story.yaml")];
    if let Some(seed) = std::env::var("GONOGO_SEED").ok().and_then(|seed| seed.parse().ok()) {
        play(&plans, seed);
        return;
    }
    let runs = std::env::var("GONOGO_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let next = AtomicU64::new(0);
    let failed = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..std::thread::available_parallelism().map_or(2, usize::from))
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= runs {
                            return None;
                        }
                        if catch_unwind(AssertUnwindSafe(|| play(&plans, seed))).is_err() {
                            next.store(runs, Ordering::Relaxed);
                            return Some(seed);
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().unwrap()).min()
    });
    if let Some(seed) = failed {
        panic!("a promise was broken; play it again with GONOGO_SEED={seed} cargo test --test simulation");
    }
}

#[test]
fn the_same_seed_gives_the_same_journal_byte_for_byte() {
    let plans = [plan("tests/runbooks/proofs/simulation.yaml")];
    for seed in 0..20 {
        assert_eq!(play(&plans, seed), play(&plans, seed), "seed {seed}");
    }
}
