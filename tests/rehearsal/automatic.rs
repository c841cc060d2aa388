//! The automatic operator: how soon it acts, how it ends, and what it says when it gives up.

use std::process::Command;
use std::sync::Arc;

use gonogo::core::fact::{Fact, Recorded};
use gonogo::core::time::{At, Span};
use gonogo::driver::facts_of;
use gonogo::rehearsal::automatic::{GivenUp, Rehearsed, rehearse};
use gonogo::rehearsal::operator::AutoOperator;
use gonogo::rehearsal::policy::Policy;
use gonogo::runbook::{Options, load_str};
use gonogo::world::sim::SimOptions;
use proptest::prelude::*;

fn play(text: String, seed: u64) -> Rehearsed {
    let loaded = load_str("test", text, &Options::default()).unwrap_or_else(|e| panic!("{}", e.render(false, 100)));
    let options = SimOptions { seed, start: At(1_767_405_600_000), scenarios: Vec::new() };
    let id = "20260103-0200-0001".parse().unwrap();
    rehearse(&Arc::new(loaded.plan), options, &id, &mut AutoOperator::new(Policy::good())).unwrap()
}

fn gated(hold_ms: u64, every_ms: u64, before_ms: u64) -> String {
    format!(
        "
title: t
probes: {{ up: {{ kind: tcp, address: '127.0.0.1:1', every: {every_ms}ms }} }}
phases:
  - title: p
    steps:
      - {{ id: before, title: B, action: {{ wait: {{ for: {before_ms}ms }} }} }}
      - id: gated
        title: G
        gates: [{{ that: up.open, hold: {hold_ms}ms }}]
        action: {{ wait: {{ for: 1s }} }}
"
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A gate's opening is noticed at whatever moment it happens.
    #[test]
    fn a_gate_that_has_held_is_not_waited_for_any_longer(
        hold in 0_u64..60_000,
        every in prop_oneof![Just(1_000_u64), 100_u64..40_000],
        before in 1_u64..50_000,
        seed: u64,
    ) {
        let rehearsed = play(gated(hold, every, before), seed);
        let facts: Vec<Recorded> = facts_of(&rehearsed.records).unwrap();
        let at = |step: &str| {
            let started = |fact: &Fact| matches!(fact, Fact::StepStarted { step: id, .. } if id.as_str() == step);
            facts.iter().find(|recorded| started(&recorded.fact)).unwrap().at
        };
        let waited = at("gated").since(facts[0].at);
        // The first reading, the hold from there or the step before, and the time to react twice.
        let longest = Span((every + 2_000 + hold).max(before) + 10_000);
        prop_assert!(waited <= longest, "waited {waited}, not {longest}, for {hold} ms with a reading each {every} ms");
    }
}

#[test]
fn a_gate_on_the_first_step_is_confirmed_when_it_has_held() {
    let text =
        gated(10_000, 1_000, 1).replace("      - { id: before, title: B, action: { wait: { for: 1ms } } }\n", "");
    let rehearsed = play(text, 1);
    let took = rehearsed.run.last.since(At(1_767_405_600_000));
    assert!(took < Span::secs(20), "{took}");
}

#[test]
fn the_limit_of_an_automatic_rehearsal_is_named() {
    let text = "
title: t
phases: [{ title: p, steps: [{ id: a, title: A, action: { wait: { for: 70d } } }] }]
";
    let rehearsed = play(text.to_owned(), 1);
    assert_eq!(rehearsed.given_up, Some(GivenUp::TooLong(Span::secs(60 * 86_400))));
    let told = rehearsed.given_up.unwrap().to_string();
    assert!(told.contains("60d") && told.contains("longest_wait") && told.contains("--set"), "{told}");
}

/// The runbook of the README, as a newcomer saves it.
fn first_runbook() -> String {
    let readme = include_str!("../../README.md");
    let from = readme.find("title: My first cutover").unwrap();
    readme[from..].split("```").next().unwrap().to_owned()
}

#[test]
fn a_rehearsal_that_ended_as_it_was_asked_to_exits_with_0() {
    let place = tempfile::tempdir().unwrap();
    let runbook = place.path().join("first.yaml");
    std::fs::write(&runbook, first_runbook()).unwrap();
    let careless: &[&str] = &["--policy", "careless"];
    let back: &[&str] = &["--roll-back-after", "switch"];
    let trouble: &[&str] = &["--scenario", "command-hangs"];
    for words in [&[], careless, back, trouble, &[careless, trouble].concat(), &[back, trouble].concat()] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gonogo"));
        command.arg("--state-dir").arg(place.path().join("state")).arg("rehearse").arg(&runbook);
        let output = command.args(["--auto", "--seed", "1"]).args(words).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {told}");
    }
}
