//! Which record the customers of a rehearsal follow, and what makes them wait.

use std::sync::Arc;

use gonogo::core::ids::{Attempt, StepId};
use gonogo::core::job::{Direction, JobKey};
use gonogo::core::plan::Plan;
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::runbook::{self, Options};
use gonogo::world::WorldEvent;
use gonogo::world::sim::{SimOptions, SimWorld};

const START: At = At(1_767_405_600_000);

/// A plan, and what `check` says about the customers.
fn plan(text: &str) -> (Arc<Plan>, Vec<String>) {
    let loaded = runbook::load_str("r", text.to_owned(), &Options::default());
    let loaded = loaded.unwrap_or_else(|errors| panic!("{}", errors.render(false, 100)));
    let told = loaded.warnings.iter().map(|warning| warning.message.clone());
    (Arc::new(loaded.plan), told.filter(|message| message.contains("customers follow")).collect())
}

fn world(plan: &Arc<Plan>) -> SimWorld {
    let mut world = SimWorld::new(Arc::clone(plan), SimOptions { seed: 3, start: START, scenarios: Vec::new() });
    world.watch();
    world
}

/// Lets time pass; gives the newest good reading of a probe.
fn pass(world: &mut SimWorld, span: Span, probe: &str) -> Option<Value> {
    let until = world.now().plus(span);
    let mut newest = None;
    while world.now() < until {
        if let Some(WorldEvent::Reading(reading)) = world.step()
            && reading.probe.as_str() == probe
        {
            newest = reading.result.ok().or(newest);
        }
    }
    newest
}

/// Does the jobs of a step in order.
fn act(world: &mut SimWorld, plan: &Plan, step: &str) {
    let id: StepId = step.into();
    for job in 0..plan.step(&id).unwrap().work.jobs.len() {
        let key = JobKey {
            step: id.clone(),
            direction: Direction::Do,
            attempt: Attempt(1),
            job: u16::try_from(job).unwrap(),
        };
        world.start(key.clone(), &plan.action(&key).unwrap().clone());
        while world.took_effect(&key).is_none() {
            world.step();
        }
        assert_eq!(world.took_effect(&key), Some(true), "{step}");
    }
}

/// Two records, of which a step moves each; `FIRST` and `SECOND` are the names of their probes.
const RECORDS: &str = "
title: t
targets:
  zone: { dns: { zone: example.com, authoritative: [192.0.2.53], resolvers: { a: 192.0.2.1 } } }
  web: { http: { url: 'https://HOST/' } }
probes:
  FIRST: { kind: dns, target: zone, name: api.example.com, old: [192.0.2.10], new: [192.0.2.20], simulate: { ttl: 5 } }
  SECOND: { kind: dns, target: zone, name: shop.example.com, old: [192.0.2.11], new: [192.0.2.21], simulate: { ttl: 5SAID } }
  latency: { kind: http, sides: { one: web } }
phases:
  - title: p
    steps:
      - id: move-api
        title: Move the API
        action: { command: { run: [\"true\"], simulate: [{ point: { record: FIRST, to: new } }] } }
        verify: [{ that: FIRST.authoritative_new && latency.one.samples > 0, within: 1m }]
        reversibility: free
        expect: 1s
      - id: move-shop
        title: Move the shop
        action: { command: { run: [\"true\"], simulate: [{ point: { record: SECOND, to: new } }] } }
        verify: [{ that: SECOND.authoritative_new, within: 1m }]
        reversibility: free
        expect: 1s
";

fn records(first: &str, second: &str, said: &str, host: &str) -> (Arc<Plan>, Vec<String>) {
    plan(&RECORDS.replace("FIRST", first).replace("SECOND", second).replace("SAID", said).replace("HOST", host))
}

/// Share of the customers on the old side after a step.
fn on_old_after(plan: &Arc<Plan>, step: &str) -> f64 {
    let mut world = world(plan);
    act(&mut world, plan, step);
    pass(&mut world, Span::secs(30), "");
    world.truth().on_old
}

#[test]
fn customers_follow_what_the_runbook_says_however_its_probes_are_called() {
    for (first, second) in [("a", "b"), ("b", "a")] {
        let by_key = records(first, second, ", customers: true", "elsewhere.example.net");
        let by_address = records(first, second, "", "shop.example.com");
        for (plan, warned) in [by_key, by_address] {
            assert_eq!(warned, Vec::<String>::new());
            assert!((on_old_after(&plan, "move-api") - 1.0).abs() < 1e-9, "{first} {second}");
            assert!(on_old_after(&plan, "move-shop").abs() < 1e-9, "{first} {second}");
        }
    }
}

#[test]
fn when_nothing_tells_whom_customers_follow_check_says_so_and_names_decide_nothing() {
    for (first, second) in [("a", "b"), ("b", "a")] {
        let (plan, warned) = records(first, second, "", "elsewhere.example.net");
        assert_eq!(warned, ["it is unclear whether customers follow api.example.com or shop.example.com"]);
        assert!(on_old_after(&plan, "move-api").abs() < 1e-9, "{first} {second}");
    }
}

#[test]
fn the_first_ttl_of_a_record_is_what_the_runbook_says() {
    let (of, _) = records("a", "b", "", "shop.example.com");
    let seen = pass(&mut world(&of), Span::secs(10), "a").unwrap();
    assert_eq!(seen.at("ttl"), Some(&Value::Int(5)));
    let untold = RECORDS.replace(", simulate: { ttl: 5 }", "").replace("HOST", "shop.example.com").replace("SAID", "");
    let (of, _) = plan(&untold.replace("FIRST", "a").replace("SECOND", "b"));
    let seen = pass(&mut world(&of), Span::secs(10), "a").unwrap();
    assert_eq!(seen.at("ttl"), Some(&Value::Int(3_600)));
}

/// A fence of each kind, and how it is opened again.
const FENCES: &str = "
title: t
customers: seen
targets:
  db: { postgres: { dsn: host=db.example user=a dbname=shop } }
  pooler: { postgres: { dsn: host=pooler.example port=6432 user=a dbname=pgbouncer } }
  web: { http: { url: 'https://shop.example.com' } }
probes:
  seen:
    kind: command
    run: [c]
    fields: { failed: int, longest_pause_ms: int, requests: int }
    simulate: { failed: { is: customers.failed }, longest_pause_ms: { is: customers.longest_pause_ms }, requests: { is: customers.requests } }
phases:
  - title: p
    steps:
      - { id: shut-database, title: a, action: { sql: { target: db, statements: [a], simulate: [{ fence: db }] } }, reversibility: free }
      - { id: open-database, title: a, action: { sql: { target: db, statements: [a], simulate: [{ open: db }] } }, reversibility: free }
      - { id: shut-pooler, title: a, action: { pgbouncer: { target: pooler, do: pause, database: shop } }, reversibility: free }
      - { id: open-pooler, title: a, action: { pgbouncer: { target: pooler, do: resume, database: shop } }, reversibility: free }
      - { id: shut-web, title: a, action: { http: { target: web, method: POST, path: /maintenance, simulate: [{ fence: web }] } }, reversibility: free }
      - { id: open-web, title: a, action: { http: { target: web, method: POST, path: /maintenance, simulate: [{ open: web }] } }, reversibility: free }
";

#[test]
fn customers_wait_at_every_kind_of_fence_and_give_up_in_the_end() {
    let (plan, _) = plan(FENCES);
    let number = |value: &Value, field: &str| value.at(field).and_then(Value::int).unwrap();
    for fence in ["database", "pooler", "web"] {
        let mut world = world(&plan);
        let before = pass(&mut world, Span::secs(20), "seen").unwrap();
        assert_eq!(number(&before, "failed"), 0, "{fence}");
        act(&mut world, &plan, &format!("shut-{fence}"));
        pass(&mut world, Span::secs(5), "seen");
        act(&mut world, &plan, &format!("open-{fence}"));
        let short = pass(&mut world, Span::secs(5), "seen").unwrap();
        assert_eq!(number(&short, "failed"), 0, "{fence}");
        assert!((4_000..8_000).contains(&number(&short, "longest_pause_ms")), "{fence}: {short:?}");
        act(&mut world, &plan, &format!("shut-{fence}"));
        let long = pass(&mut world, Span::secs(40), "seen").unwrap();
        assert!(number(&long, "failed") > 50, "{fence}: {long:?}");
    }
}

#[test]
fn behind_a_paused_pooler_nobody_reads_either() {
    let (plan, _) = plan(FENCES);
    let requests = |fence: &str| {
        let mut world = world(&plan);
        pass(&mut world, Span::secs(20), "seen");
        act(&mut world, &plan, fence);
        let from = pass(&mut world, Span::secs(2), "seen").unwrap();
        let to = pass(&mut world, Span::secs(4), "seen").unwrap();
        to.at("requests").and_then(Value::int).unwrap() - from.at("requests").and_then(Value::int).unwrap()
    };
    assert_eq!(requests("shut-pooler"), 0);
    assert!(requests("shut-database") > 40);
}
