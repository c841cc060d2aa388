//! What an automatic rehearsal costs by the number of steps: it grows as they do.
//!
//! `cargo bench --bench rehearsal [-- SIZE...]` rehearses runbooks of 500, 1,000, 2,000, 4,000 and 10,000 steps, or of
//! these sizes: checklists, commands behind a gate, and commands that are all taken back at the end. Behind each time
//! stands the cost of a step as a ratio to the cost in the smallest runbook of the same kind: 1 when it grows linearly.
//! Each time is the best of three. The promise: 2,000 steps within 1 s. Loading, the rehearsal and the debrief count; the
//! journal is kept in memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark ends at what it did not expect")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gonogo::core::time::At;
use gonogo::driver::facts_of;
use gonogo::journal::RunId;
use gonogo::rehearsal::automatic::rehearse;
use gonogo::rehearsal::debrief::debrief;
use gonogo::rehearsal::operator::AutoOperator;
use gonogo::rehearsal::policy::Policy;
use gonogo::runbook::{Options, load_str};
use gonogo::sample_log::SamplesByProbe;
use gonogo::scenario::End;
use gonogo::world::sim::SimOptions;
use jiff::Timestamp;

const SIZES: [usize; 5] = [500, 1_000, 2_000, 4_000, 10_000];

const START: At = At(1_767_405_600_000);

fn main() {
    // `cargo bench` passes flags of its own.
    let asked: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if asked.is_empty() { SIZES.to_vec() } else { asked };
    let kinds = [
        ("checklists", "action: { manual: [\"do it\"] }", false),
        (
            "gated commands",
            "gates: [{ that: port.open, hold: 5s }]\n        action: { command: { run: [./do] } }\n        reversibility: free",
            false,
        ),
        (
            "taken back",
            "action: { command: { run: [./do] } }\n        undo: { command: { run: [./undo] } }\n        reversibility: lossless",
            true,
        ),
    ];
    for (name, step, back) in kinds {
        let mut first = None;
        for steps in &sizes {
            let text = runbook(*steps, step);
            let took = (0..3).map(|_| once(&text, *steps, back)).min().unwrap();
            let a_step = took.as_secs_f64() / f64::from(u32::try_from(*steps).unwrap());
            let ratio = a_step / *first.get_or_insert(a_step);
            println!("{steps:>6} {name}: {:>6.0} ms, x{ratio:.2} a step", took.as_secs_f64() * 1e3);
        }
    }
}

fn once(text: &str, steps: usize, back: bool) -> Duration {
    let began = Instant::now();
    let plan = Arc::new(load_str("long", text, &Options::default()).unwrap_or_else(|errors| panic!("{errors}")).plan);
    let mut policy = Policy::good();
    if back {
        policy.roll_back_after = plan.steps.last().map(|step| step.id.clone());
    }
    let options = SimOptions { seed: 1, start: START, scenarios: Vec::new() };
    let id = RunId::new(Timestamp::UNIX_EPOCH, 1);
    let rehearsed = rehearse(&plan, options, &id, &mut AutoOperator::new(policy)).unwrap();
    let facts = facts_of(&rehearsed.records).unwrap();
    let contents = rehearsed.contents.contents();
    let samples = SamplesByProbe::new(&contents.samples);
    let truth = rehearsed.world.world().truth();
    let debrief =
        debrief(&plan, &facts, &rehearsed.world.mishaps(), &truth, &|probe, range| samples.readings(probe, range));
    let took = began.elapsed();
    assert_eq!(debrief.end(), if back { End::RolledBack } else { End::Complete }, "{steps} steps");
    took
}

fn runbook(steps: usize, step: &str) -> String {
    let mut text =
        "title: Long\nprobes:\n  port: { kind: tcp, address: \"db:5432\" }\nphases:\n  - title: P\n    steps:\n"
            .to_owned();
    for at in 0..steps {
        writeln!(text, "      - id: step-{at}\n        title: Step number {at}\n        expect: 5s\n        {step}")
            .unwrap();
    }
    text
}
