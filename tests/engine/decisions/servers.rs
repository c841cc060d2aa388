//! Who answers: readings of another server open nothing until somebody accepts it.

use gonogo::core::fact::Fact;
use gonogo::core::input::Command;
use gonogo::core::refusal::Refusal;
use gonogo::core::server::{ServerIdentity, Servers};
use gonogo::core::status::StepState;
use gonogo::core::time::Span;
use gonogo::core::value::Value;

use super::bench::Bench;

const RUNBOOK: &str = "
title: Who answers
targets:
  db: { postgres: { dsn: \"host=127.0.0.1\" } }
probes:
  customers:
    kind: sql
    target: db
    query: select 1
    fields: { failed: int, served: bool }
phases:
  - title: One
    steps:
      - id: go
        title: Go
        gates: [{ name: served, that: customers.served, hold: 2s, override: forbidden }]
        action: { command: { run: [\"true\"] } }
        reversibility: free
";

fn server(system: &str, started: &str) -> Servers {
    let aspects = [("system identifier", Some(system.to_owned())), ("started", Some(started.to_owned()))];
    [("db".into(), ServerIdentity::new(aspects))].into()
}

/// A run whose step can be started, on readings of the first server.
fn ready() -> Bench {
    let mut bench = Bench::of(RUNBOOK);
    for _ in 0..30 {
        bench.read_from(server("1", "monday"), 0, true);
    }
    assert_eq!(bench.state("go"), StepState::Ready);
    bench
}

fn why_shut(bench: &mut Bench) -> String {
    match bench.start("go") {
        Err(Refusal::GateShut { shut, .. }) => shut.join("; "),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_server_is_met_and_recorded_once() {
    let bench = ready();
    let met: Vec<&Fact> =
        bench.facts.iter().map(|it| &it.fact).filter(|fact| matches!(fact, Fact::ServerMet { .. })).collect();
    let identity = server("1", "monday").remove("db").unwrap();
    assert_eq!(met, [&Fact::ServerMet { target: "db".into(), identity }]);
}

#[test]
fn another_server_and_a_restart_shut_every_gate_until_they_are_accepted() {
    for (servers, told) in [
        (server("2", "monday"), "system identifier 2 instead of 1"),
        (server("1", "tuesday"), "started tuesday instead of monday"),
    ] {
        let mut bench = ready();
        for _ in 0..30 {
            bench.read_from(servers.clone(), 0, true);
        }
        let shut = why_shut(&mut bench);
        assert!(shut.contains("db is not the server that this run has met") && shut.contains(told), "{shut}");

        // What is accepted is what was shown, with a reason.
        let seen = bench.board.strangers(&bench.run);
        let accept =
            |seen: &[_], reason: &str| Command::AcceptServers { seen: seen.to_vec(), reason: reason.to_owned() };
        assert!(matches!(bench.command(accept(&seen, "ok")), Err(Refusal::ReasonTooShort(_))));
        assert!(matches!(bench.command(accept(&[], "the failover we wanted")), Err(Refusal::PictureChanged { .. })));
        bench.command(accept(&seen, "the failover we wanted")).unwrap();
        // Earlier readings are from the server that was not accepted yet, so the hold begins with the next one.
        why_shut(&mut bench);
        for _ in 0..30 {
            bench.read_from(servers.clone(), 0, true);
        }
        bench.start("go").unwrap();
        let nothing = bench.command(accept(&seen, "the failover we wanted"));
        assert!(matches!(nothing, Err(Refusal::NoOtherServer)), "{nothing:?}");
    }
}

#[test]
fn one_reading_of_another_server_breaks_a_hold() {
    let mut bench = ready();
    bench.read_from(server("2", "monday"), 0, true);
    bench.read_from(server("1", "monday"), 0, true);
    why_shut(&mut bench);
}

#[test]
fn who_was_met_is_remembered_by_the_next_cockpit() {
    let mut bench = ready();
    bench.crash(Span::secs(60));
    for _ in 0..30 {
        bench.read_from(server("2", "monday"), 0, true);
    }
    assert!(why_shut(&mut bench).contains("system identifier 2 instead of 1"));
}

#[test]
fn a_server_that_no_longer_tells_who_it_is_is_not_taken_for_the_same() {
    let mut bench = ready();
    let started = [("started", Some("monday".to_owned()))];
    for _ in 0..30 {
        bench.read_from([("db".into(), ServerIdentity::new(started.clone()))].into(), 0, true);
    }
    assert!(why_shut(&mut bench).contains("system identifier is not told any more; it was 1"));
}

const NAMES: &str = "
title: Who answers for a name
targets:
  zone: { dns: { zone: example.com, authoritative: [192.0.2.53] } }
  web: { http: { url: \"https://example.com\" } }
probes:
  app: { kind: dns, target: zone, name: app.example.com, old: [192.0.2.1], new: [192.0.2.2] }
  pages: { kind: http, sides: { new: web } }
  port: { kind: tcp, address: \"example.com:443\" }
phases:
  - title: One
    steps:
      - id: go
        title: Go
        gates: [{ name: moved, that: GATE, hold: 2s, override: forbidden }]
        action: { command: { run: [\"true\"] } }
        reversibility: free
";

#[test]
fn somebody_else_at_an_address_breaks_a_hold_and_is_told_once() {
    let name = |changes| {
        Value::map([
            ("authoritative_new", Value::Bool(true)),
            ("server_changes", Value::Int(changes)),
            ("moved", "192.0.2.53: instance b instead of a".into()),
        ])
    };
    let pages = |changes| {
        let side = [("samples", Value::Int(1)), ("address_changes", Value::Int(changes)), ("moved", "a → b".into())];
        Value::map([("new", Value::map(side))])
    };
    let port = |_| Value::map([("open", true.into())]);
    let of_names: &dyn Fn(i64) -> Value = &name;
    for (probe, gate, value, told) in [
        ("app", "app.authoritative_new", of_names, "192.0.2.53: instance b instead of a"),
        ("pages", "pages.new.samples == 1", &pages, "new a → b"),
        ("port", "port.open", &port, "a → b"),
    ] {
        let mut bench = Bench::of(&NAMES.replace("GATE", gate));
        let read = |bench: &mut Bench, changes: i64, times| {
            for _ in 0..times {
                let moves = if probe == "port" { changes.unsigned_abs() } else { 0 };
                bench.read_moved(probe, value(changes), moves);
            }
        };
        read(&mut bench, 0, 30);
        assert_eq!(bench.state("go"), StepState::Ready);
        read(&mut bench, 1, 2);
        why_shut(&mut bench);
        read(&mut bench, 1, 30);
        bench.start("go").unwrap();
        let facts = bench.facts.iter().filter_map(|it| match &it.fact {
            Fact::AnswererChanged { probe, what, .. } => Some((probe.as_str(), what.as_str())),
            _ => None,
        });
        assert_eq!(facts.collect::<Vec<_>>(), [(probe, told)]);
    }
}

#[test]
fn a_side_that_moves_breaks_the_holds_on_itself_and_is_told_alone() {
    let runbook = NAMES.replace("sides: { new: web }", "sides: { old: web, new: web }");
    let side = |changes, now: &str| {
        let moved = format!("a → {now}");
        Value::map([
            ("samples", Value::Int(1)),
            ("address_changes", Value::Int(changes)),
            ("moved", moved.as_str().into()),
        ])
    };
    let pages = |old, new| Value::map([("old", side(old, "b")), ("new", side(new, "c")), ("verdict", "PASS".into())]);
    for (gate, is_broken) in [
        ("pages.old.samples == 1", false),
        ("pages.new.samples == 1", true),
        ("pages.old.samples == pages.new.samples", true),
        ("pages.verdict == 'PASS'", true),
    ] {
        let mut bench = Bench::of(&runbook.replace("GATE", gate));
        (0..30).for_each(|_| bench.read_value("pages", pages(1, 0)));
        assert_eq!(bench.state("go"), StepState::Ready, "{gate}");
        (0..2).for_each(|_| bench.read_value("pages", pages(1, 1)));
        assert_eq!(bench.start("go").is_err(), is_broken, "{gate}");
        let told = bench.facts.iter().filter_map(|it| match &it.fact {
            Fact::AnswererChanged { what, .. } => Some(what.as_str()),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), ["new a → c"], "{gate}");
    }
}

#[test]
fn a_gate_names_the_server_that_keeps_it_unknown() {
    let mut bench = Bench::of(&NAMES.replace("GATE", "app.authoritative_new"));
    let server = |server: &str, state: &str, note: &str| {
        Value::map([("server", server.into()), ("state", state.into()), ("note", note.into())])
    };
    let servers = vec![
        server("192.0.2.53", "new", ""),
        server("192.0.2.54", "timeout", ""),
        server("192.0.2.55", "refused", "no"),
    ];
    bench.read_value("app", Value::map([("authoritative_new", Value::Null), ("authoritative", Value::List(servers))]));
    let shut = why_shut(&mut bench);
    assert!(shut.contains("app.authoritative_new is null: 192.0.2.54: timeout, 192.0.2.55: refused (no)"), "{shut}");
    assert!(!shut.contains("192.0.2.53:"), "{shut}");
}
