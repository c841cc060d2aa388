//! Resolvers with odd manners in a rehearsal: each follows a change as such a resolver does in the world, or never.

use std::collections::BTreeMap;
use std::sync::Arc;

use gonogo::core::ids::{Attempt, ProbeId};
use gonogo::core::job::{Direction, JobKey};
use gonogo::core::time::{At, Span};
use gonogo::runbook::{self, Options};
use gonogo::world::WorldEvent;
use gonogo::world::sim::{SimOptions, SimWorld};

use crate::flip::Flip;

const START: At = At(1_767_405_600_000);
/// When the record is changed: by then, every answer from before the start is past its time.
const CHANGE: Span = Span::secs(60);
/// One interval of the probe and a second.
const TOLERANCE: Span = Span::secs(2);

const RUNBOOK: &str = "
title: t
targets:
  zone:
    dns:
      zone: example.com
      authoritative: [192.0.2.53, 192.0.2.54]
      resolvers: { honest: 192.0.2.1, longer: 192.0.2.2, shorter: 192.0.2.3, stale: 192.0.2.4, two: 192.0.2.5, dead: 192.0.2.6 }
      simulate:
        resolvers: { honest: honest, longer: min-ttl=90s, shorter: max-ttl, stale: serve-stale, two: two-caches, dead: dead }
probes:
  name: { kind: dns, target: zone, name: app.example.com, old: [192.0.2.10], new: [192.0.2.20], simulate: { ttl: 30 } }
phases:
  - title: p
    steps:
      - id: move
        title: Move
        action: { dns.update: { target: zone, changes: [{ name: app.example.com, from: [192.0.2.10], to: [192.0.2.20], ttl: 30 }] } }
        reversibility: free
";

/// What a probe sees of a change until five minutes after it, and when the change was made.
fn watched(seed: u64) -> (Flip, At) {
    let loaded = runbook::load_str("r", RUNBOOK.to_owned(), &Options::default());
    let plan = Arc::new(loaded.unwrap_or_else(|errors| panic!("{}", errors.render(false, 100))).plan);
    let mut world = SimWorld::new(Arc::clone(&plan), SimOptions { seed, start: START, scenarios: Vec::new() });
    world.watch();
    let key = JobKey { step: plan.steps[0].id.clone(), direction: Direction::Do, attempt: Attempt(1), job: 0 };
    let (mut flip, mut changed) = (Flip::default(), None);
    while world.now().since(START) < Span::secs(360) {
        if let Some(WorldEvent::Reading(reading)) = world.step()
            && reading.probe == ProbeId::from("name")
            && reading.at.since(START) > CHANGE
        {
            if changed.is_none() {
                changed = Some(reading.at);
                world.start(key.clone(), &plan.steps[0].work.jobs[0].action);
            }
            flip.saw(reading.at, &reading.result.unwrap());
        }
    }
    (flip, changed.unwrap())
}

#[test]
fn every_kind_of_resolver_follows_as_it_does_in_the_world() {
    let (mut longest, mut mixed, mut told) = (Span::ZERO, false, BTreeMap::new());
    for seed in 1..=8 {
        let (flip, changed) = watched(seed);
        for name in ["honest", "longer", "shorter", "two"] {
            *told.entry(name).or_insert(0) += flip.assert_came_true(name, TOLERANCE);
        }
        flip.assert_never("stale", "stale");
        flip.assert_never("dead", "timeout");
        let after = |name: &str| flip.resolvers[name].new_since.unwrap().since(changed);
        // The servers of the zone follow one another within some seconds.
        for (name, latest) in [("shorter", 20), ("honest", 40), ("two", 40), ("longer", 100)] {
            assert!(after(name) <= Span::secs(latest), "{name}: {flip:?}");
        }
        longest = longest.max(after("longer"));
        mixed |= flip.resolvers["two"].states.iter().any(|state| state == "mixed");
    }
    assert!(told.len() == 4 && told.values().all(|etas| *etas > 0), "{told:?}");
    assert!(longest > Span::secs(40), "it keeps answers for longer than their TTL");
    assert!(mixed, "its two caches do not follow at the same moment");
}
