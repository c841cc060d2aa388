//! What loading a runbook of 10,000 steps costs, beside reading the same text into plain values.
//!
//! `cargo bench --bench runbook [-- ROUNDS]`. The two take turns, so that a slow moment falls on both. Loading
//! places, checks and plans everything besides. The promise: 100 ms on a quiet machine. Behind that, how soon a text
//! that was made to keep its reader busy is refused, as a share of the second that is promised.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark ends at what it did not expect")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use gonogo::runbook::{Options, load_str};

#[path = "../tests/support/monsters.rs"]
mod monsters;

const STEPS: usize = 10_000;

fn main() {
    // `cargo bench` passes flags of its own.
    let rounds: usize = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(15);
    for (name, text) in [("checklists", checklists()), ("gated commands", commands())] {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            let began = Instant::now();
            drop(black_box(load_str("long", text.as_str(), &Options::default()).unwrap()));
            times[0].push(began.elapsed());
            let began = Instant::now();
            drop(black_box(serde_saphyr::from_str::<serde_json::Value>(&text).unwrap()));
            times[1].push(began.elapsed());
        }
        let [load, plain] = times.map(median);
        println!(
            "{STEPS} {name}: load {:.1} ms, plain values {:.1} ms, x{:.2}",
            load.as_secs_f64() * 1e3,
            plain.as_secs_f64() * 1e3,
            load.as_secs_f64() / plain.as_secs_f64(),
        );
    }
    for (name, text) in monsters::all() {
        let times = (0..rounds.min(3)).map(|_| {
            let began = Instant::now();
            drop(black_box(load_str(name, text.as_str(), &Options::default()).unwrap_err()));
            began.elapsed()
        });
        let refused = median(times.collect()).as_secs_f64();
        println!("{name}: refused in {:.1} ms, x{refused:.3} of the promised second", refused * 1e3);
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn checklists() -> String {
    let mut text = "title: Long\nphases:\n  - title: P\n    steps:\n".to_owned();
    for at in 0..STEPS {
        writeln!(text, "      - id: step-{at}\n        title: Step number {at}\n        expect: 1m\n        action:\n          manual: [\"do it\"]").unwrap();
    }
    text
}

fn commands() -> String {
    let mut text =
        "title: Long\nprobes:\n  port: { kind: tcp, address: \"db:5432\" }\nphases:\n  - title: P\n    steps:\n"
            .to_owned();
    for at in 0..STEPS {
        writeln!(text, "      - id: step-{at}\n        title: Step number {at}\n        gates: [{{ that: port.open, hold: 5s }}]\n        action: {{ command: {{ run: [./do, \"{at}\"] }} }}\n        reversibility: free\n        expect: 5s").unwrap();
    }
    text
}
