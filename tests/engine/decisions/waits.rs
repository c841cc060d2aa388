//! A wait with a hold: what it waits for must be so for a while, and not from before.

use gonogo::core::state::StepProgress;

use super::bench::Bench;

const RUNBOOK: &str = "
title: Wait
probes:
  customers: { kind: command, run: [x], every: 1s, fields: { failed: int, served: bool } }
phases:
  - title: P
    steps:
      - id: follow
        title: Wait until customers are served
        action: { wait: { until: { conditions: [customers.served, customers.failed == 0], hold: 5s, within: 20s } } }
        reversibility: free
        expect: 5s
";

fn bench() -> Bench {
    let mut bench = Bench::of(RUNBOOK);
    bench.read(0, true);
    bench
}

fn is_done(bench: &Bench) -> bool {
    matches!(bench.phase("follow"), StepProgress::Done { .. })
}

/// Reads the same for some seconds.
fn keep(bench: &mut Bench, seconds: u64, failed: i64, served: bool) {
    for _ in 0..seconds {
        bench.read(failed, served);
        bench.wait(900);
    }
}

#[test]
fn what_was_so_before_the_wait_began_does_not_count() {
    let mut bench = bench();
    keep(&mut bench, 30, 0, true);
    bench.start("follow").unwrap();
    keep(&mut bench, 4, 0, true);
    assert!(!is_done(&bench), "four seconds are not five");
    keep(&mut bench, 2, 0, true);
    assert!(is_done(&bench));
}

#[test]
fn a_break_in_any_condition_begins_the_hold_anew() {
    let mut bench = bench();
    bench.start("follow").unwrap();
    keep(&mut bench, 4, 0, true);
    keep(&mut bench, 1, 1, true);
    keep(&mut bench, 4, 0, true);
    assert!(!is_done(&bench));
    keep(&mut bench, 2, 0, true);
    assert!(is_done(&bench));
}

#[test]
fn silence_does_not_hold() {
    let mut bench = bench();
    bench.start("follow").unwrap();
    keep(&mut bench, 2, 0, true);
    bench.wait(8_000);
    assert!(!is_done(&bench), "nobody has looked for eight seconds");
    keep(&mut bench, 4, 0, true);
    assert!(!is_done(&bench));
    keep(&mut bench, 2, 0, true);
    assert!(is_done(&bench));
}

#[test]
fn a_hold_under_way_may_end_after_the_limit_and_a_broken_one_may_not() {
    let mut late = bench();
    late.start("follow").unwrap();
    keep(&mut late, 18, 1, true);
    keep(&mut late, 4, 0, true);
    assert!(!is_done(&late) && !matches!(late.phase("follow"), StepProgress::Failed { .. }), "it is holding");
    keep(&mut late, 2, 0, true);
    assert!(is_done(&late));

    let mut broken = bench();
    broken.start("follow").unwrap();
    keep(&mut broken, 18, 1, true);
    keep(&mut broken, 3, 0, true);
    keep(&mut broken, 1, 1, true);
    let StepProgress::Failed { .. } = broken.phase("follow") else { panic!("{:?}", broken.phase("follow")) };

    let mut flapping = bench();
    flapping.start("follow").unwrap();
    for _ in 0..9 {
        keep(&mut flapping, 2, 0, true);
        keep(&mut flapping, 1, 1, true);
    }
    let StepProgress::Failed { .. } = flapping.phase("follow") else { panic!("{:?}", flapping.phase("follow")) };
}

#[test]
fn a_hold_takes_two_readings_however_short_it_is() {
    const SLOW: &str = "
title: Gate
probes:
  customers: { kind: command, run: [x], every: 30s, fields: { failed: int, served: bool } }
phases:
  - title: P
    steps:
      - id: gated
        title: Wait for the gate
        gates: [{ name: served, that: customers.served, hold: HOLD, override: forbidden }]
        action: { wait: { until: { conditions: [customers.failed == 0], hold: HOLD, within: 10m } } }
        reversibility: free
        expect: 5s
";
    for (hold, waits) in [("5s", 20_000), ("45s", 50_000)] {
        let mut bench = Bench::of(&SLOW.replace("HOLD", hold));
        bench.read(0, true);
        bench.wait(waits);
        let refused = bench.start("gated").unwrap_err().to_string();
        assert!(refused.contains("served"), "{refused}");
        bench.read(0, true);
        bench.start("gated").unwrap();
        // And so does the hold of a wait.
        bench.read(1, true);
        bench.read(0, true);
        bench.wait(waits);
        assert!(!is_done_of(&bench, "gated"), "{hold}: a single reading");
        bench.read(0, true);
        assert!(is_done_of(&bench, "gated"), "{hold}");
    }
}

#[test]
fn readings_from_before_an_action_are_no_part_of_a_hold_after_it() {
    const SLOW: &str = "
title: After
probes:
  customers: { kind: command, run: [x], every: 30s, fields: { failed: int, served: bool } }
phases:
  - title: P
    steps:
      - id: waits
        title: Wait
        action: { wait: { until: { conditions: [customers.served], hold: 45s, within: 10m } } }
        reversibility: free
        expect: 5s
      - id: acts
        title: Act
        action: { command: { run: [x] } }
        verify: [{ name: served, that: customers.served, hold: 45s }]
        reversibility: free
        expect: 5s
";
    let mut bench = Bench::of(SLOW);
    for step in ["waits", "acts"] {
        // It was so before, twice.
        bench.read(0, true);
        bench.wait(30_000);
        bench.read(0, true);
        bench.start(step).unwrap();
        if step == "acts" {
            bench.wait(1_000);
            bench.ends(step, true);
        }
        bench.wait(25_000);
        bench.read(0, true);
        bench.wait(29_000);
        assert!(!is_done_of(&bench, step), "{step}: a single reading after it");
        bench.read(0, true);
        assert!(is_done_of(&bench, step), "{step}: {:?}", bench.phase(step));
    }
}

fn is_done_of(bench: &Bench, step: &str) -> bool {
    matches!(bench.phase(step), StepProgress::Done { .. })
}
