//! Measures how often the judge of latencies is right: false alarms when nothing has changed, and how often it notices
//! what has.
//!
//! `cargo run --release --example judge_rates [-- RUNS]` judges RUNS (1,000) made-up pairs of samples for each shape of
//! latencies and each change, with 600 requests measured against a baseline of 600 and of 7,200 (an hour at two a second).
//! Rows with `*` carry the promise: at most 1 % false alarms, at least 90 % of what is 20 % slower and of 3 % of requests that
//! take 500 ms longer. It ends with status 1 when one of them is broken.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // an experiment may fail loudly

#[path = "../tests/support/latencies.rs"]
mod latencies;

use std::process::ExitCode;

use latencies::{Change, Shape, rates};

/// Each shape, and whether the promise is made for a baseline as short as what is measured.
const SHAPES: &[(&str, Shape, bool)] = &[
    ("lognormal", Shape::Lognormal { sigma: 0.4, correlation: 0.0 }, true),
    ("two modes", Shape::Bimodal, true),
    ("correlated 0.3", Shape::Lognormal { sigma: 0.4, correlation: 0.3 }, true),
    ("heavy tail", Shape::Heavy { exponent: 2.0 }, false),
    ("wide lognormal", Shape::Lognormal { sigma: 0.8, correlation: 0.0 }, false),
    ("very heavy tail", Shape::Heavy { exponent: 1.2 }, false),
    ("correlated 0.5", Shape::Lognormal { sigma: 0.4, correlation: 0.5 }, false),
    ("correlated 0.8", Shape::Lognormal { sigma: 0.4, correlation: 0.8 }, false),
    ("correlated 0.95", Shape::Lognormal { sigma: 0.4, correlation: 0.95 }, false),
    ("bursts", Shape::Bursts, false),
];

fn main() -> ExitCode {
    let runs = std::env::args().nth(1).map_or(1_000, |runs| runs.parse().unwrap());
    let mut broken = Vec::new();
    for baseline in [600, 7_200] {
        println!("\n600 requests against a baseline of {baseline}, {runs} runs each: FAIL % (PASS %)");
        println!(
            "  {:<16} {:>14} {:>14} {:>14} {:>14} {:>14}",
            "", "nothing", "20 % slower", "only the tail", "3 % +500 ms", "3 % errors"
        );
        for (name, shape, promised) in SHAPES {
            let [nothing, slower, tail, stalls, errors] =
                [Change::Nothing, Change::Slower, Change::SlowerTail, Change::Stalls, Change::Errors]
                    .map(|change| rates(*shape, change, (baseline, 600), runs));
            let mark = if *promised { '*' } else { ' ' };
            print!("{mark} {name:<16}");
            for rate in [nothing, slower, tail, stalls, errors] {
                print!("  {:>5.1} ({:>5.1})", rate.failing() * 100.0, rate.passing() * 100.0);
            }
            println!();
            if *promised && (nothing.failing() > 0.01 || [slower, stalls].iter().any(|rate| rate.failing() < 0.9)) {
                broken.push(format!("{name} against {baseline}"));
            }
        }
    }
    if broken.is_empty() {
        println!("\nkept: at most 1 % false alarms, at least 90 % noticed, in every row with *");
        return ExitCode::SUCCESS;
    }
    println!("\nBROKEN: {}", broken.join(", "));
    ExitCode::FAILURE
}
