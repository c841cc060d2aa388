//! The window of the change is one of the wall clock, also after that was set.

use gonogo::core::fact::Fact;
use gonogo::core::status::StepState;
use gonogo::core::time::Span;

use super::bench::Bench;

const HOUR: i64 = 3_600_000;

/// The run begins at two o'clock.
fn bench(opens: u8, closes: u8) -> Bench {
    let mut bench = Bench::of(&format!(
        "
title: In a window
window: {{ opens: 1970-01-01T0{opens}:00:00Z, closes: 1970-01-01T0{closes}:00:00Z }}
phases:
  - title: Only
    steps:
      - {{ id: go, title: Go, action: {{ command: {{ run: 'true' }} }}, reversibility: free, expect: 1s }}
"
    ));
    bench.crash(Span::ZERO);
    bench
}

#[test]
fn a_clock_that_is_set_forward_closes_the_window_and_one_that_is_set_back_opens_it_again() {
    let mut bench = bench(1, 3);
    assert_eq!(bench.state("go"), StepState::Ready);
    bench.seen(Fact::WallClockJumped { by_ms: 2 * HOUR });
    assert_eq!(bench.state("go"), StepState::Gated);
    assert!(bench.start("go").is_err(), "it closed an hour ago");
    bench.seen(Fact::WallClockJumped { by_ms: -2 * HOUR });
    assert_eq!(bench.state("go"), StepState::Ready);
    bench.start("go").unwrap();
}

#[test]
fn a_window_that_the_corrected_clock_is_in_is_open() {
    let mut bench = bench(4, 6);
    assert_eq!(bench.state("go"), StepState::Gated);
    bench.seen(Fact::WallClockJumped { by_ms: 3 * HOUR });
    assert_eq!(bench.state("go"), StepState::Ready);
    // Whoever comes next begins with the wall clock as it is, three hours later by now.
    bench.crash(Span::secs(3 * 3_600));
    assert_eq!(bench.state("go"), StepState::Ready);
    bench.crash(Span::secs(3_600));
    assert_eq!(bench.state("go"), StepState::Gated, "it closed at six");
}
