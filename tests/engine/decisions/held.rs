//! What a gate says while it waits for readings, and what may be asked of long lists.

use gonogo::core::evidence::{Evidence, Verdict, shut_sentence};
use gonogo::core::moves::Moves;
use gonogo::core::poll::gates;
use gonogo::core::reading::Reading;
use gonogo::core::server::Servers;
use gonogo::core::time::Span;
use gonogo::core::value::Value;

use super::bench::Bench;

fn bench(probe: &str, gate: &str) -> Bench {
    Bench::of(&format!(
        "title: T\nprobes: {{ p: {{ kind: command, run: \"true\", {probe} }} }}\nphases:\n  - title: P\n    steps:\n      \
         - {{ id: s, title: S, gates: [{{ name: g, {gate} }}], action: {{ manual: [m] }}, reversibility: free }}\n"
    ))
}

fn gate(bench: &mut Bench) -> Evidence {
    bench.board.refresh(&bench.plan, &bench.run, bench.now);
    gates(&bench.plan, &bench.run, &bench.board, bench.now, bench.step("s")).remove(0)
}

#[test]
fn a_gate_that_waits_for_its_second_reading_says_so() {
    let mut bench = bench("every: 5s, fields: { ok: bool }", "that: p.ok, hold: 4s");
    let ok = || Value::map([("ok", true.into())]);
    bench.read_value("p", ok());
    bench.wait(4_500);
    let waits = gate(&mut bench);
    assert!(!waits.open());
    assert_eq!(shut_sentence(&waits), "\"g\" GO (GO by one reading so far, and a hold (4.0 s) takes two)");
    bench.read_value("p", ok());
    assert!(gate(&mut bench).open());
}

#[test]
fn a_gate_on_what_is_renewed_more_rarely_than_it_is_measured_says_so() {
    let mut bench = bench("every: 1s, fields: { ok: bool, at: int }, as_of: at", "that: p.ok, hold: 10s");
    let renewed = bench.now;
    for _ in 0..8 {
        bench.wait(1_000);
        let reading = Reading {
            probe: "p".into(),
            at: bench.now,
            took: Span(1),
            as_of: Some(renewed),
            result: Ok(Value::map([("ok", true.into()), ("at", Value::Int(1))])),
            servers: Servers::new(),
            moves: Moves::default(),
        };
        bench.board.observe(&bench.plan, &bench.run, bench.now, &reading);
    }
    let shut = shut_sentence(&gate(&mut bench));
    assert!(shut.starts_with("\"g\" UNKNOWN (p is stale: 8.0 s old"), "{shut}");
    assert!(shut.contains("though p was measured 0 ms ago: what it tells is renewed more rarely than that"), "{shut}");
}

/// Records with the ids from 0 to `count`, and where they differ a note.
fn records(count: i64, note: &str) -> Value {
    Value::List((0..count).map(|id| Value::map([("id", Value::Int(id)), ("note", note.into())])).collect())
}

#[test]
fn lists_of_some_hundred_elements_can_be_held_against_each_other() {
    for that in [
        "p.a.all(x, p.b.exists(y, y.id == x.id && y.note == \"new\"))",
        "p.a.all(x, x.id in p.b.map(y, y.id)) && p.b.all(y, y.note == \"new\")",
    ] {
        let mut bench = bench("every: 5s, fields: { a: any, b: any }", &format!("that: '{that}'"));
        for (of_a, note, expected) in [
            (300, "new", Verdict::Go),
            (301, "new", Verdict::NoGo),
            (300, "old", Verdict::NoGo),
            (300, "new", Verdict::Go),
        ] {
            bench.read_value("p", Value::map([("a", records(of_a, "old")), ("b", records(300, note))]));
            for _ in 0..20 {
                let found = gate(&mut bench).assessment;
                assert_eq!(found.verdict, expected, "{that}: {found:?}");
                assert!(found.terms.iter().all(|term| term.age.is_some()), "{found:?}");
            }
        }
        bench.wait(20_000);
        assert_eq!(gate(&mut bench).assessment.verdict, Verdict::Unknown, "an answer is not older than its readings");
    }
}

#[test]
fn what_would_take_for_ever_is_unknown_and_says_why() {
    let that = "p.a.all(x, p.a.all(y, p.a.exists(z, z.id == x.id + y.id)))";
    let mut bench = bench("every: 5s, fields: { a: any }", &format!("that: '{that}'"));
    bench.read_value("p", Value::map([("a", records(1_000, "old"))]));
    let shut = gate(&mut bench);
    assert_eq!(shut.assessment.verdict, Verdict::Unknown);
    assert!(shut_sentence(&shut).contains("too long to be searched"), "{}", shut_sentence(&shut));
}

#[test]
fn what_is_masked_is_compared_with_nothing() {
    let masked = |before: &str| format!("{before}«secret:db»").into();
    let other = |text: &str| Value::List(vec![text.into()]);
    for that in [
        "p.t == \"x\"",
        "p.t != \"x\"",
        "!(p.t == \"x\")",
        "p.t == p.u",
        "p.t != p.u",
        "p.t in [\"x\"]",
        "!(p.t in [\"x\"])",
        "p.l == p.m",
        "p.l != p.m",
        "!(\"x\" in p.l)",
        "!p.t.contains(\"x\")",
        "p.t.startsWith(\"user=\")",
        "p.t.matches(\"user\")",
        "size(p.t) > 3",
        "p.t > \"a\"",
        "p.l.all(x, x != \"x\")",
        "p.l.exists(x, x.contains(\"secret\"))",
        "p.t + \"y\" != \"xy\"",
    ] {
        let mut bench =
            bench("every: 1s, fields: { t: string, u: string, l: any, m: any }", &format!("that: '{that}'"));
        let value = |t: Value, l: Value| Value::map([("t", t), ("u", masked("user=")), ("l", l), ("m", other("y"))]);
        bench.read_value("p", value(masked("user="), Value::List(vec![masked("")])));
        let found = gate(&mut bench);
        assert_eq!(found.assessment.verdict, Verdict::Unknown, "{that}: {found:?}");
        assert!(shut_sentence(&found).contains("holds a secret, which is masked"), "{}", shut_sentence(&found));
    }
    // What is beside it can still be asked.
    let mut bench = bench("every: 1s, fields: { t: string, n: int }", "that: p.n == 1 && has(p.t)");
    bench.read_value("p", Value::map([("t", masked("")), ("n", Value::Int(1))]));
    assert_eq!(gate(&mut bench).assessment.verdict, Verdict::Go);
}
