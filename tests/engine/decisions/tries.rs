//! Later attempts, guards, soaks, stops and pauses, with one example each.

use gonogo::core::evidence::shut_sentence;
use gonogo::core::fact::{Fact, Finding, Recorded};
use gonogo::core::ids::Attempt;
use gonogo::core::input::{Command, Confirmation, Decision, Effect, Input};
use gonogo::core::job::{Direction, JobKey, Outcome};
use gonogo::core::refusal::Refusal;
use gonogo::core::rollback::way_back;
use gonogo::core::state::StepProgress;
use gonogo::core::status::{StepState, stop_word};
use gonogo::core::time::Span;
use gonogo::core::value::Value;
use gonogo::words::failure_cause;

use super::bench::Bench;

const RUNBOOK: &str = r#"
title: Tries
probes:
  customers: { kind: command, run: "true", every: 5s, fields: { failed: int, served: bool } }
phases:
  - title: Only
    steps:
      - id: copy
        title: Copy
        needs: []
        action: { command: { run: "copy" } }
        verify: [{ name: nobody failed, that: increase(customers.failed) == 0, within: 5s }]
        undo: { command: { run: "uncopy" } }
        reversibility: lossless
      - id: switch
        title: Switch
        needs: []
        section:
          deadline: 1m
          steps:
            - { title: look, action: { command: { run: "look" } }, undo: { command: { run: "unlook" } } }
            - { title: fence, writes: stop, action: { command: { run: "fence" } }, undo: { command: { run: "unfence" } } }
            - { title: point, writes: resume, action: { command: { run: "point" } }, undo: { command: { run: "unpoint" } } }
        undo:
          section:
            steps:
              - { title: see, action: { command: { run: "see" } } }
              - { title: fence back, writes: stop, action: { command: { run: "fence-back" } } }
              - { title: point back, writes: resume, action: { command: { run: "point-back" } } }
        reversibility: lossless
      - id: watch
        title: Watch
        needs: []
        action: { soak: { for: 20s } }
        guards: [{ name: customers are served, that: customers.served, tolerate: 1m }]
      - id: count
        title: Count
        needs: []
        action: { command: { run: "count" } }
        guards: [{ name: nobody fails, that: increase(customers.failed) == 0 }]
        reversibility: free
      - id: serve
        title: Serve
        needs: []
        action: { command: { run: "serve" } }
        guards: [{ name: customers are served, that: customers.served, tolerate: 10s }]
        reversibility: free
      - id: ship
        title: Ship
        needs: [copy]
        action: { command: { run: "ship" } }
        reversibility: lossless
      - id: leave
        title: Leave
        needs: []
        action: { command: { run: "leave" } }
        undo:
          section:
            steps:
              - { title: fence back, action: { command: { run: "fence" } } }
              - { title: drain back, action: { wait: { until: { conditions: [customers.served], within: 10s } } } }
              - { title: open, action: { command: { run: "open" } } }
              - { title: point back, action: { command: { run: "point" } } }
        reversibility: lossless
"#;

#[test]
fn what_a_failed_try_left_stays_on_the_way_back_when_the_next_did_not_happen() {
    let mut bench = Bench::of(RUNBOOK);
    bench.read(0, true);
    bench.start("copy").unwrap();
    bench.ends("copy", false);
    assert!(bench.on_the_way_back("copy"));
    bench.read(0, true);
    bench.start("copy").unwrap();
    bench.crash(Span(500));
    bench.found("copy", Finding::DidNotHappen);
    assert!(bench.on_the_way_back("copy") && bench.run.has_effect(&"copy".into()));
    // Only taking it back ends that.
    bench.undo("copy").unwrap();
    bench.ends("copy", true);
    assert!(!bench.run.has_effect(&"copy".into()) && !bench.on_the_way_back("copy"));
}

/// The job with which the undo of a step begins: as recorded, and as started.
fn begins_with(decision: &Decision) -> (u16, u16) {
    let [Fact::UndoStarted { from, .. }, Fact::JobStarted { key }] = decision.facts.as_slice() else {
        panic!("{decision:?}")
    };
    (*from, key.job)
}

#[test]
fn a_second_try_to_take_back_goes_on_with_the_first_job_that_is_not_done_and_waits_again() {
    let mut bench = Bench::of(RUNBOOK);
    bench.start("leave").unwrap();
    bench.ends("leave", true);
    assert_eq!(begins_with(&bench.undo("leave").unwrap()), (0, 0));
    assert!(matches!(bench.undo("leave"), Err(Refusal::WrongState { why: "it is on its way back already", .. })));
    bench.ends("leave", true);
    bench.read(0, true);
    bench.ends("leave", false); // to open fails, behind the drain
    assert!(matches!(bench.phase("leave"), StepProgress::Failed { reverted: false, .. }));
    // The fence is not put up again, but the drain is checked again before anything is opened.
    bench.wait(30_000);
    assert_eq!(begins_with(&bench.undo("leave").unwrap()), (1, 1));
    bench.wait(1_000);
    assert!(
        matches!(bench.phase("leave"), StepProgress::Running(running) if running.key.job == 1),
        "nothing fresh to see"
    );
    bench.read(0, true);
    assert!(matches!(bench.phase("leave"), StepProgress::Running(running) if running.key.job == 2));

    // The cockpit goes away, and nobody knows whether it was opened.
    bench.crash(Span(500));
    assert!(matches!(bench.undo("leave"), Err(Refusal::WrongState { state: "in doubt", .. })));
    bench.found("leave", Finding::HalfHappened);
    assert_eq!(begins_with(&bench.undo("leave").unwrap()), (1, 1), "it is done again");
    bench.read(0, true);
    bench.crash(Span(500));
    // Somebody has seen that it was opened: that is not done again.
    bench.found("leave", Finding::Happened);
    assert!(
        matches!(bench.phase("leave"), StepProgress::Failed { why, .. } if failure_cause(why).contains("up to job 3"))
    );
    assert!(bench.on_the_way_back("leave"));
    assert_eq!(begins_with(&bench.undo("leave").unwrap()), (3, 3));
    bench.ends("leave", true);
    assert!(matches!(bench.phase("leave"), StepProgress::Undone { .. }) && !bench.on_the_way_back("leave"));

    // After it was done again it can be taken back again.
    bench.start("leave").unwrap();
    bench.ends("leave", true);
    assert_eq!(begins_with(&bench.undo("leave").unwrap()), (0, 0));
}

#[test]
fn a_section_that_took_itself_back_does_not_hide_what_an_earlier_try_left() {
    let mut bench = Bench::of(RUNBOOK);
    bench.start("switch").unwrap();
    bench.ends("switch", true);
    bench.ends("switch", false); // fence fails,
    bench.ends("switch", false); // and so does taking it back
    assert!(matches!(bench.phase("switch"), StepProgress::Failed { reverted: false, .. }) && bench.stopped());
    bench.start("switch").unwrap();
    bench.ends("switch", false); // look fails,
    let decision = bench.ends("switch", true); // and is taken back
    assert!(matches!(decision.facts.last(), Some(Fact::StepFailed { reverted: true, .. })), "{decision:?}");
    assert!(bench.on_the_way_back("switch"), "the fence of the first try is forgotten");
    assert!(bench.stopped(), "writes are said to flow behind the fence of the first try");
}

#[test]
fn growth_is_counted_anew_by_every_try() {
    let mut bench = Bench::of(RUNBOOK);
    bench.read(41, true);
    bench.start("copy").unwrap();
    bench.ends("copy", true);
    bench.read(44, true);
    bench.read(44, true);
    bench.wait(6_000);
    let StepProgress::Failed { why, .. } = bench.phase("copy") else { panic!("{:?}", bench.phase("copy")) };
    let why = failure_cause(why);
    assert!(why.contains("customers.failed grew by 3 since 02:00:00"), "{why}");
    // Failures from before this attempt do not count for it.
    bench.read(44, true);
    bench.start("copy").unwrap();
    bench.ends("copy", true);
    bench.crash(Span(2_000));
    bench.read(44, true);
    assert!(matches!(bench.phase("copy"), StepProgress::Done { .. }), "{:?}", bench.phase("copy"));
}

#[test]
fn growth_over_a_reset_is_not_known_however_far_the_number_comes_afterwards() {
    let mut bench = Bench::of(RUNBOOK);
    bench.read(41, true);
    bench.start("copy").unwrap();
    bench.ends("copy", true);
    bench.read(43, true);
    bench.read(2, true);
    let resets = |bench: &Bench| {
        let reset = |recorded: &&Recorded| matches!(recorded.fact, Fact::CounterReset { .. });
        bench.facts.iter().filter(reset).count()
    };
    assert_eq!(resets(&bench), 1);
    // It reads as at the start of the step, also in a cockpit that has not seen the reset itself.
    bench.read(41, true);
    bench.crash(Span(1_000));
    bench.read(41, true);
    bench.wait(6_000);
    let StepProgress::Failed { why, .. } = bench.phase("copy") else { panic!("{:?}", bench.phase("copy")) };
    let why = failure_cause(why);
    assert!(why.contains("customers.failed went back from 43 to 2 at 02:00:00: it was reset"), "{why}");
    assert_eq!(resets(&bench), 1);
    // The next attempt counts from after it.
    bench.start("copy").unwrap();
    bench.ends("copy", true);
    bench.read(41, true);
    assert!(matches!(bench.phase("copy"), StepProgress::Done { .. }), "{:?}", bench.phase("copy"));
}

#[test]
fn a_number_of_another_address_has_not_grown_from_that_of_the_first_also_across_a_crash() {
    let value = |failed| Value::map([("failed", Value::Int(failed)), ("served", Value::Bool(true))]);
    for crashes in [false, true] {
        let mut bench = Bench::of(RUNBOOK);
        bench.read_moved("customers", value(41), 3);
        bench.start("copy").unwrap();
        bench.ends("copy", true);
        if crashes {
            bench.crash(Span(1_000));
        }
        bench.read_moved("customers", value(41), 4);
        bench.wait(6_000);
        let StepProgress::Failed { why, .. } = bench.phase("copy") else { panic!("{:?}", bench.phase("copy")) };
        let why = failure_cause(why);
        assert!(why.contains("customers.failed comes from another server since "), "{why}");
        // The next attempt counts from it.
        bench.read_moved("customers", value(41), 4);
        bench.start("copy").unwrap();
        bench.ends("copy", true);
        bench.read_moved("customers", value(41), 4);
        assert!(matches!(bench.phase("copy"), StepProgress::Done { .. }), "{:?}", bench.phase("copy"));
    }
}

#[test]
fn a_reset_that_a_new_cockpit_sees_first_is_kept_too() {
    let mut bench = Bench::of(RUNBOOK);
    bench.read(41, true);
    bench.start("copy").unwrap();
    bench.crash(Span(1_000));
    bench.read(3, true);
    bench.read(41, true);
    let reset = bench.facts.iter().any(|recorded| matches!(recorded.fact, Fact::CounterReset { .. }));
    assert!(reset, "{:?}", bench.facts);
}

#[test]
fn a_step_that_cannot_count_does_not_start_by_a_word_and_counts_from_the_first_reading_after_an_override() {
    let mut bench = Bench::of(RUNBOOK);
    let refusal = bench.start("copy").unwrap_err().to_string();
    assert!(refusal.contains("customers.failed gives no fresh reading to count from"), "{refusal}");
    bench.start_over("copy").unwrap();
    bench.read(7, true);
    let late = bench.facts.iter().find_map(|recorded| match &recorded.fact {
        Fact::BaselineTaken { number, baseline, undo: false, .. } => Some((number.as_str(), &baseline.value)),
        _ => None,
    });
    assert_eq!(late, Some(("customers.failed", &Value::Int(7))));
    bench.ends("copy", true);
    bench.read(7, true);
    assert!(matches!(bench.phase("copy"), StepProgress::Done { .. }));
}

#[test]
fn facts_from_before_growth_was_counted_are_read() {
    let old = r#"{"fact":"step_started","step":"copy","attempt":1,"by":"ada@here","second":null,"typed":"go","evidence":[],"overridden":null,"preview":""}"#;
    let Fact::StepStarted { baselines, .. } = Fact::decode("step_started", 1, old).unwrap() else { panic!() };
    assert!(baselines.is_empty());
    let old = r#"{"fact":"undo_started","step":"copy","attempt":1,"by":"ada@here","typed":"undo","preview":""}"#;
    assert!(matches!(Fact::decode("undo_started", 1, old).unwrap(), Fact::UndoStarted { .. }));
}

#[test]
fn a_broken_guard_lets_nothing_start_and_an_unknown_one_only_with_a_reason() {
    let mut bench = Bench::of(RUNBOOK);
    bench.read(0, false);
    for refusal in [bench.start("watch").unwrap_err(), bench.start_over("watch").unwrap_err()] {
        let said = refusal.to_string();
        assert!(matches!(refusal, Refusal::GuardBroken { .. }), "{said}");
        assert!(said.contains("\"customers are served\" NO-GO") && said.contains("customers.served = false"), "{said}");
    }
    assert_eq!(bench.state("watch"), StepState::Gated);
    bench.wait(60_000);
    assert!(matches!(bench.start("watch").unwrap_err(), Refusal::GateShut { .. }));
    bench.start_over("watch").unwrap();
    // A guard on growth is GO when its step begins.
    bench.read(9, true);
    bench.start("count").unwrap();
    bench.read(10, true);
    assert!(matches!(bench.phase("count"), StepProgress::Running(running) if running.stopping.is_some()));
}

#[test]
fn only_watched_time_counts_for_a_soak_and_a_restart_agrees() {
    let mut bench = Bench::of(RUNBOOK);
    bench.read(0, true);
    bench.start("watch").unwrap();
    let passed = |bench: &Bench| match bench.phase("watch") {
        StepProgress::Running(running) => running.passed(bench.now),
        other => panic!("{other:?}"),
    };
    let begun = bench.now;
    // The reading is good for ten seconds; after that the guard is UNKNOWN.
    bench.wait(30_000);
    let watched = passed(&bench);
    assert!(watched < Span(10_100), "{watched} of {} counted", bench.now.since(begun));
    let StepProgress::Running(running) = bench.phase("watch") else { panic!() };
    let guards = &running.interrupted.as_ref().unwrap().guards;
    let why = guards.iter().map(shut_sentence).collect::<Vec<_>>().join("; ");
    assert!(why.contains("\"customers are served\" UNKNOWN (customers is stale"), "{why}");
    bench.crash(Span(60_000));
    assert_eq!(passed(&bench), watched);
    // NO-GO within what is tolerated does not count either.
    bench.read(0, false);
    bench.wait(2_000);
    assert_eq!(passed(&bench), watched);
    bench.read(0, true);
    assert!(matches!(bench.phase("watch"), StepProgress::Running(running) if running.interrupted.is_none()));
    bench.wait(5_000);
    assert!(passed(&bench) > watched);
    // Hours that were watched, as the journal shows, still count after a crash.
    let before = passed(&bench);
    bench.crash(Span(100));
    bench.read(0, true);
    assert!(passed(&bench) >= before);
    bench.wait(6_000);
    assert!(matches!(bench.phase("watch"), StepProgress::Done { .. }), "{:?}", bench.phase("watch"));
    let kinds: Vec<&str> = bench.facts.iter().map(|recorded| recorded.fact.kind()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "soak_interrupted").count(), 2);
    assert_eq!(kinds.iter().filter(|kind| **kind == "soak_continued").count(), 2);
}

#[test]
fn a_step_whose_guard_is_not_seen_at_its_end_is_not_done() {
    let mut bench = Bench::of(RUNBOOK);
    bench.read(0, true);
    bench.start("count").unwrap();
    // The reading is good for ten seconds; after that the guard is UNKNOWN.
    bench.wait(20_000);
    bench.ends("count", true);
    assert!(matches!(bench.phase("count"), StepProgress::Verifying { .. }), "{:?}", bench.phase("count"));
    bench.wait(59_000);
    assert!(matches!(bench.phase("count"), StepProgress::Verifying { .. }), "{:?}", bench.phase("count"));
    bench.wait(2_000);
    let StepProgress::Failed { why, .. } = bench.phase("count") else { panic!("{:?}", bench.phase("count")) };
    let why = failure_cause(why);
    assert!(why.starts_with("not seen within 1:00"), "{why}");
    assert!(why.contains("guard \"nobody fails\" UNKNOWN (customers is stale: "), "{why}");
    // It can be looked at again. Growth since the step began counts, whoever saw it.
    bench.command(Command::VerifyAgain { step: "count".into() }).unwrap();
    bench.read(1, true);
    assert!(matches!(bench.phase("count"), StepProgress::Failed { .. }), "{:?}", bench.phase("count"));
    // Seen in time, it is done, and what was seen stays with the fact.
    bench.start("count").unwrap();
    bench.wait(20_000);
    bench.ends("count", true);
    bench.wait(5_000);
    bench.read(1, true);
    assert!(matches!(bench.phase("count"), StepProgress::Done { .. }), "{:?}", bench.phase("count"));
    let Some(Fact::StepDone { guards, .. }) = bench.facts.last().map(|recorded| &recorded.fact) else { panic!() };
    assert_eq!(guards.len(), 1);
}

#[test]
fn a_step_whose_guard_is_shut_at_its_end_is_not_done_however_much_is_tolerated() {
    let mut bench = Bench::of(RUNBOOK);
    let ends_shut = |bench: &mut Bench| {
        bench.read(0, true);
        bench.start("serve").unwrap();
        bench.wait(1_000);
        bench.read(0, false);
        bench.ends("serve", true);
        assert!(matches!(bench.phase("serve"), StepProgress::Verifying { .. }), "{:?}", bench.phase("serve"));
        bench.wait(5_000);
        bench.read(0, false);
        assert!(matches!(bench.phase("serve"), StepProgress::Verifying { .. }), "{:?}", bench.phase("serve"));
    };
    ends_shut(&mut bench);
    bench.wait(5_000);
    let StepProgress::Failed { why, .. } = bench.phase("serve") else { panic!("{:?}", bench.phase("serve")) };
    let why = failure_cause(why);
    assert!(why.contains("customers are served"), "{why}");
    ends_shut(&mut bench);
    bench.read(0, true);
    assert!(matches!(bench.phase("serve"), StepProgress::Done { .. }), "{:?}", bench.phase("serve"));
}

#[test]
fn only_a_step_whose_work_ended_well_is_verified_again() {
    let mut bench = Bench::of(RUNBOOK);
    bench.read(0, true);
    bench.start("copy").unwrap();
    bench.ends("copy", false);
    let refusal = bench.command(Command::VerifyAgain { step: "copy".into() }).unwrap_err().to_string();
    assert!(refusal.contains("failed before its work was done") && refusal.contains("start it again"), "{refusal}");
    bench.read(0, true);
    bench.start("copy").unwrap();
    bench.ends("copy", true);
    bench.wait(8_000);
    assert!(matches!(bench.phase("copy"), StepProgress::Failed { .. }));
    bench.command(Command::VerifyAgain { step: "copy".into() }).unwrap();
    bench.read(0, true);
    assert!(matches!(bench.phase("copy"), StepProgress::Done { .. }));
    // What an undo has begun to take back is not verified either.
    bench.undo("copy").unwrap();
    bench.ends("copy", false);
    assert!(bench.command(Command::VerifyAgain { step: "copy".into() }).is_err());
}

#[test]
fn stopping_takes_the_word_and_on_the_way_back_the_id() {
    let mut bench = Bench::of(RUNBOOK);
    bench.start("switch").unwrap();
    assert!(matches!(bench.stop("switch", "switch").unwrap_err(), Refusal::WrongWord { .. }));
    let stray = Confirmation { shown: Span::ZERO, ..bench.confirmation("switch", "stop") };
    assert!(matches!(bench.command(Command::Stop(stray)).unwrap_err(), Refusal::TooSoon(_)));
    let earlier = bench.confirmation("switch", "stop");
    bench.ends("switch", false);
    // It is going back by now, so the stop would hit something else.
    assert!(matches!(bench.command(Command::Stop(earlier)).unwrap_err(), Refusal::PictureChanged { .. }));
    assert_eq!(stop_word(&bench.run, bench.step("switch")), "switch");
    assert!(matches!(bench.stop("switch", "stop").unwrap_err(), Refusal::WrongWord { .. }));
    let decision = bench.stop("switch", "switch").unwrap();
    assert!(matches!(decision.effects.as_slice(), [Effect::StopJob(_)]));
}

#[test]
fn a_doubt_is_resolved_about_the_job_that_was_seen() {
    let mut bench = Bench::of(RUNBOOK);
    bench.start("switch").unwrap();
    bench.crash(Span(500));
    let seen = bench.confirmation("switch", "").seen;
    let StepProgress::InDoubt { key, .. } = bench.phase("switch").clone() else { panic!() };
    let outcome = Outcome::Succeeded { summary: "exit 0".to_owned() };
    bench.input(Input::JobEnded { key, outcome, took: Span(5) }).unwrap();
    bench.crash(Span(500));
    let (finding, reason) = (Finding::HalfHappened, "looked at it myself".to_owned());
    let refused = bench.command(Command::Resolve { step: "switch".into(), finding, reason, seen }).unwrap_err();
    assert!(matches!(refused, Refusal::PictureChanged { .. }), "{refused}");
}

#[test]
fn writes_stop_with_the_job_that_stops_them_and_flow_with_the_one_that_lets_them() {
    let mut bench = Bench::of(RUNBOOK);
    let seen = |bench: &mut Bench, well: [bool; 3]| {
        let mut seen = vec![bench.stopped()];
        for well in well {
            bench.ends("switch", well);
            seen.push(bench.stopped());
        }
        seen
    };
    bench.start("switch").unwrap();
    assert_eq!(seen(&mut bench, [true, true, true]), [false, true, true, false]);
    assert!(matches!(bench.phase("switch"), StepProgress::Done { .. }));
    bench.undo("switch").unwrap();
    assert_eq!(seen(&mut bench, [true, true, true]), [false, true, true, false]);
    assert!(matches!(bench.phase("switch"), StepProgress::Undone { .. }));
    // The fence fails and is taken away again: writes flow from there on, not before.
    bench.start("switch").unwrap();
    assert_eq!(seen(&mut bench, [true, false, true]), [false, true, true, false]);
    // An undo that fails before its fence has not stopped anything.
    bench.ends("switch", true);
    bench.start("switch").unwrap();
    (0..3).for_each(|_| drop(bench.ends("switch", true)));
    bench.undo("switch").unwrap();
    bench.ends("switch", false);
    assert!(matches!(bench.phase("switch"), StepProgress::Failed { .. }) && !bench.stopped());
}

#[test]
fn results_say_of_which_job_and_direction_they_are() {
    let mut bench = Bench::of(RUNBOOK);
    bench.start("switch").unwrap();
    bench.ends("switch", true);
    bench.ends("switch", false);
    bench.ends("switch", true);
    let keys: Vec<JobKey> = bench.run.step(&"switch".into()).results.iter().map(|result| result.key.clone()).collect();
    let key = |direction, job| JobKey { step: "switch".into(), direction, attempt: Attempt(1), job };
    assert_eq!(keys, [key(Direction::Do, 0), key(Direction::Do, 1), key(Direction::Revert, 1)]);
}

#[test]
fn what_the_runbook_does_not_take_back_is_taken_back_by_hand_and_said() {
    let mut bench = Bench::of(RUNBOOK);
    bench.read(0, true);
    let by_hand = |bench: &mut Bench, id: &str, reason: &str| {
        let seen = bench.confirmation(id, "").seen;
        bench.command(Command::TakenBackByHand { step: id.into(), reason: reason.to_owned(), seen })
    };
    bench.start("copy").unwrap();
    bench.ends("copy", true);
    bench.read(0, true);
    bench.start("ship").unwrap();
    bench.ends("ship", true);
    bench.start("count").unwrap();
    bench.ends("count", true);
    assert_eq!(bench.undo("count"), Err(Refusal::LeavesNothing("count".into())));
    assert_eq!(bench.undo("ship"), Err(Refusal::NoUndo("ship".into())));
    // Not before what rests on it, not instead of an undo, not without saying how.
    assert_eq!(bench.undo("copy"), Err(Refusal::NeededBy { step: "copy".into(), by: vec!["ship".into()] }));
    assert!(matches!(by_hand(&mut bench, "copy", "put it back myself"), Err(Refusal::NeededBy { .. })));
    assert!(matches!(by_hand(&mut bench, "ship", "done"), Err(Refusal::ReasonTooShort(_))));
    assert!(bench.on_the_way_back("ship"));
    by_hand(&mut bench, "ship", "called the crate back and counted it").unwrap();
    assert!(matches!(bench.phase("ship"), StepProgress::Undone { .. }) && !bench.on_the_way_back("ship"));
    assert_eq!(by_hand(&mut bench, "copy", "put it back myself"), Err(Refusal::UndoNotTried("copy".into())));
    bench.undo("copy").unwrap();
    bench.ends("copy", false);
    by_hand(&mut bench, "copy", "the undo failed at its last line; removed that by hand").unwrap();
    assert!(way_back(&bench.plan, &bench.run).steps.is_empty());
    // A later try that fails has an undo of its own to be tried first.
    bench.start("copy").unwrap();
    bench.ends("copy", false);
    assert_eq!(by_hand(&mut bench, "copy", "put it back myself"), Err(Refusal::UndoNotTried("copy".into())));
}
