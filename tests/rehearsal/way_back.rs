//! The forecast of the way back against what the way back took, from every step of the bundled runbook.

use std::path::Path;
use std::sync::Arc;

use gonogo::core::fact::{Fact, Recorded};
use gonogo::core::forecast;
use gonogo::core::ids::StepId;
use gonogo::core::plan::{Plan, Reversibility};
use gonogo::core::state::Run;
use gonogo::core::time::{At, Span};
use gonogo::driver::facts_of;
use gonogo::rehearsal::automatic::rehearse;
use gonogo::rehearsal::durations::{Gathered, MeasuredRehearsal};
use gonogo::rehearsal::operator::AutoOperator;
use gonogo::rehearsal::policy::Policy;
use gonogo::runbook::{self, Options};
use gonogo::words::about;
use gonogo::world::sim::SimOptions;

#[path = "../support/way_back.rs"]
mod support;

use support::said_and_took;

fn playbook() -> Arc<Plan> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook.yaml");
    Arc::new(runbook::load(&path, &Options::default()).unwrap_or_else(|e| panic!("{}", e.render(false, 100))).plan)
}

fn rolled_back(plan: &Arc<Plan>, after: &StepId, seed: u64) -> Vec<Recorded> {
    let policy = Policy { roll_back_after: Some(after.clone()), ..Policy::good() };
    let options = SimOptions { seed, start: At(1_767_405_600_000), scenarios: Vec::new() };
    let id = "20260103-0200-0001".parse().unwrap();
    facts_of(&rehearse(plan, options, &id, &mut AutoOperator::new(policy)).unwrap().records).unwrap()
}

fn learned<'a>(plan: &Plan, rehearsals: impl IntoIterator<Item = &'a [Recorded]>) -> Option<Fact> {
    let mut gathered = Gathered::default();
    for facts in rehearsals {
        gathered.add(MeasuredRehearsal { name: "7a11", real: false, plan, as_now: None, facts }, plan);
    }
    gathered.fact()
}

/// Steps after which something can be taken back, and everything that was done.
fn ways_back(plan: &Plan) -> impl Iterator<Item = &StepId> {
    let steps = plan.steps.iter().take_while(|step| step.reversibility != Reversibility::None);
    let first = plan.steps.iter().position(|step| step.undo.is_some()).unwrap();
    steps.skip(first).map(|step| &step.id)
}

#[test]
fn the_way_back_takes_no_longer_than_was_said_from_any_step() {
    let plan = playbook();
    for id in ways_back(&plan) {
        let (said, took) = said_and_took(&plan, None, &rolled_back(&plan, id, 1));
        let told = format!("{id}: said {}, took {took}", about(&said, true));
        assert!(!said.at_least && took <= said.latest(), "{told}");
    }
}

#[test]
fn after_rehearsals_the_way_back_takes_what_they_took() {
    let plan = playbook();
    for id in ["way-back-prepared", "switch-database", "propagated", "watch", "keep-old"].map(StepId::from) {
        let [gone, first, second] = [1, 2, 3].map(|seed| rolled_back(&plan, &id, seed));
        let learned = learned(&plan, [first.as_slice(), &second]);
        let (said, took) = said_and_took(&plan, learned.as_ref(), &gone);
        // Two rehearsals say little about the spread of a third.
        let strays = said.spread().unwrap().0 * 3 + 50;
        let near = took.0.abs_diff(said.span.0) <= strays;
        let within = said.longer_by > Span::ZERO && took <= said.latest();
        assert!(near || within, "{id}: said {}, took {took}", about(&said, true));
    }
}

#[test]
fn a_way_back_from_where_nobody_had_followed_says_nothing_about_one_from_where_all_had() {
    let plan = playbook();
    let (early, late) = ("flip-dns".into(), "restore-ttl".into());
    let quick = rolled_back(&plan, &early, 1);
    let learned = learned(&plan, [quick.as_slice()]);
    // Whether a resolver has cached the record with a TTL of an hour already is random.
    let slow = |seed| {
        let (said, took) = said_and_took(&plan, learned.as_ref(), &rolled_back(&plan, &late, seed));
        (took > Span::secs(3_500)).then_some((said, took))
    };
    let (said, took) = (2..12).find_map(slow).expect("customers remember for an hour");
    assert!(said.only_bounded && said.latest() >= took, "{} for {took}", about(&said, true));
    assert!(about(&said, true).starts_with("up to 1:20:"), "{}", about(&said, true));
}

#[test]
fn what_an_undo_lets_pass_and_waits_for_counts() {
    let text = "
title: t
probes: { up: { kind: tcp, address: '127.0.0.1:1' } }
phases:
  - title: p
    steps:
      - id: a
        title: A
        action: { command: { run: a, limit: 1m } }
        undo: { section: { steps: [
          { title: act, action: { command: { run: back, limit: 2m } } },
          { title: pass, action: { wait: { for: 10m } } },
          { title: await, action: { wait: { until: { conditions: [up.open], within: 1h } } } },
        ] } }
        reversibility: lossless
";
    let said = |text: &str| {
        let plan = runbook::load_str("t", text.to_owned(), &Options::default())
            .unwrap_or_else(|e| panic!("{}", e.render(false, 100)))
            .plan;
        about(&forecast::undoing(&plan, &Run::default(), &plan.steps[0]), true)
    };
    assert_eq!(said(text), "up to 1:12:00", "with nothing expected the command may take all of its limit");
    assert_eq!(said(&(text.to_owned() + "        expect: 5s\n")), "up to 1:10:05");
    // Time that doing the step only lets pass is not part of taking it back.
    let waits = text.replace("command: { run: a, limit: 1m }", "wait: { for: 30s }") + "        expect: 35s\n";
    assert_eq!(said(&waits), "up to 1:10:05");
    let known = text.replace("{ wait: { until: { conditions: [up.open], within: 1h } } }", "{ wait: { for: 1s } }");
    assert_eq!(said(&(known + "        expect: 5s\n")), "about 10:06");
}
