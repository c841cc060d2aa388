use std::collections::BTreeMap;

use super::super::evidence::{Assessment, Baseline, Baselines, Verdict};
use super::super::ids::ProbeId;
use super::super::time::{At, Span};
use super::super::value::{Shape, Value};
use super::*;

fn shapes() -> BTreeMap<ProbeId, Shape> {
    use crate::core::kind::{DnsProbe, HttpProbe, ReplicationProbe};
    use crate::core::probe::ProbeKind;
    use crate::core::record::RecordType;
    let replication = ProbeKind::Replication(ReplicationProbe {
        beat: true,
        source: "old".into(),
        target: "new".into(),
        subscription: None,
        slot: None,
        heartbeat: None,
    });
    let dns = ProbeKind::Dns(DnsProbe {
        target: "zone".into(),
        name: "app.example".into(),
        record_type: RecordType::A,
        old: vec![].into(),
        new: vec![].into(),
        aaaa: None,
        samples: 3,
        old_ttl: None,
        simulate: None,
    });
    let latency = ProbeKind::Http(HttpProbe::of([("old".to_owned(), "a".into()), ("new".to_owned(), "b".into())]));
    [("lag".into(), replication.shape()), ("dns_app".into(), dns.shape()), ("latency".into(), latency.shape())].into()
}

fn errors(source: &str) -> Vec<String> {
    match Condition::compile(source, &shapes()) {
        Ok(_) => vec![],
        Err(errors) => errors
            .into_iter()
            .map(|e| {
                format!("{}+{} {}{}", e.offset, e.len, e.message, e.hint.map_or(String::new(), |h| format!(" [{h}]")))
            })
            .collect(),
    }
}

#[test]
fn faults_are_told_with_place_and_remedy() {
    insta::assert_debug_snapshot!(
        [
            "lag.byte < 5",
            "lagg.bytes < 5",
            "lag.bytes < \"1MiB\"",
            "lag.seconds < \"5s\"",
            "lag.bytes",
            "lag",
            "2 * latency.old.p95 < 3.0",
            "latency.new.p95 <= 1.2 * lag.bytes",
            "latency.new.p95 <= 2 * lag.bytes",
            "foo(lag.bytes) < 2",
            "bytes(\"1 apple\") > lag.bytes",
            "seconds(\"soon\") > lag.seconds",
            "dns_app.resolvers.all(r, r.fress)",
            "dns_app.resolvers.fresh",
            "dns_app.resolvers.all(lag, true)",
            "lag.bytes < 5 && lag.byts < 5 || lagg.x",
            "lag.seconds == null",
            "lag.bytes <",
            "lag.bytes < 5 6",
            "",
            "!lag.bytes",
            "lag.state < 5",
            "\"äöü\" == lag.stat",
            "lag.streaming > true",
            "lag.state.matches(\"(\")",
            "duration(\"5m\") < 3",
            "lag.bytes ? 1 : 2",
            "has(lag)",
            "all(lag, x)",
            "lag.bytes = 5",
            "lag.bytes < 5 and lag.streaming",
            "latency.old.p95 < '5ms'",
            "size(lag.bytes) > 1",
            "lag.state.size() > 5u",
            "lag.bytes in [\"a\"]",
        ]
        .map(|source| (source, errors(source)))
    );
}

#[test]
fn growth_is_asked_of_a_probes_number_only() {
    let told = |source: &str| errors(source).join("\n");
    assert_eq!(told("increase(lag.retained_bytes) < bytes(\"1MiB\")"), "");
    for source in
        ["increase(lag)", "increase(5)", "increase(lag.bytes + 1)", "dns_app.resolvers.all(r, increase(r.ttl) == 0)"]
    {
        assert!(
            told(&format!("{source} == 0")).contains("`increase` takes a probe's number"),
            "{source}: {}",
            told(source)
        );
    }
    assert!(told("increase(lag.state) == 0").contains("needs a number, but `lag.state` is a string"));
    assert!(told("increase(lag.byts) == 0").contains("did you mean `bytes`?"));
    assert!(told("incraese(lag.bytes) == 0").contains("did you mean `increase`?"));
}

/// What a condition answers; the verdict alone must be the same.
fn judged<'a>(condition: &Condition, sight: &dyn Fn(&ProbeId) -> Sight<'a>, baselines: &Baselines) -> Assessment {
    let found = condition.evaluate(sight, baselines);
    assert_eq!(condition.verdict(sight, baselines), found.verdict, "{}: {found:?}", condition.source());
    found
}

/// The growth of a counter that was `then` and is `now`, as a condition asks for it.
fn grown(then: Option<i64>, now: Option<i64>) -> Assessment {
    let condition = Condition::compile("increase(lag.bytes) == 0", &shapes()).unwrap();
    let reading = Value::map([("bytes", Value::from(now))]);
    let from = |then| ("lag.bytes".to_owned(), Baseline::new(Value::Int(then), At(7_443_000)));
    judged(&condition, &|_| Sight::Fresh { value: &reading, age: Span::ZERO }, &then.map(from).into_iter().collect())
}

#[test]
fn growth_counts_from_its_baseline_and_from_nothing_else() {
    assert_eq!(grown(Some(41), Some(41)).verdict, Verdict::Go);
    let more = grown(Some(41), Some(44));
    assert_eq!(more.verdict, Verdict::NoGo);
    assert_eq!(more.terms[0].actual, "lag.bytes grew by 3 B since 02:04:03");
    // Without a baseline, without a reading, or after a reset, growth is unknown.
    for (then, now, why) in [
        (None, Some(41), "lag.bytes is not counted yet"),
        (Some(41), None, "lag.bytes is null"),
        (Some(41), Some(2), "lag.bytes went back from 41 to 2: it was reset"),
    ] {
        let found = grown(then, now);
        assert_eq!((found.verdict, found.terms[0].why.as_deref()), (Verdict::Unknown, Some(why)));
    }
}

#[test]
fn what_is_counted_only_since_after_the_baseline_has_not_grown_by_nothing() {
    let counted = |since: Value| {
        let condition = Condition::compile("increase(lag.bytes) == 0", &shapes()).unwrap();
        let reading = Value::map([("bytes", Value::Int(0)), ("counted_since", since)]);
        let baseline = Baseline::new(Value::Int(0), At(7_443_000));
        let baselines = Baselines::from([("lag.bytes".to_owned(), baseline)]);
        judged(&condition, &|_| Sight::Fresh { value: &reading, age: Span::ZERO }, &baselines)
    };
    assert_eq!(counted(Value::Int(7_443_000)).verdict, Verdict::Go);
    for unusable in [Value::Null, Value::Float(7_443_000.0), Value::from("then")] {
        assert_eq!(counted(unusable).verdict, Verdict::Unknown);
    }
    let found = counted(Value::Int(7_444_000));
    let why = "lag.bytes is counted only since 02:04:04: what was before is not known";
    assert_eq!((found.verdict, found.terms[0].why.as_deref()), (Verdict::Unknown, Some(why)));
}

#[test]
fn a_baseline_is_only_taken_from_a_fresh_reading() {
    let condition = Condition::compile("increase(lag.bytes) == 0", &shapes()).unwrap();
    let reading = Value::map([("bytes", Value::Int(41))]);
    let fresh = Sight::Fresh { value: &reading, age: Span(250) };
    let from = Baseline::new(Value::Int(41), At(9_750));
    assert_eq!(condition.baselines(At(10_000), &|_| fresh), Baselines::from([("lag.bytes".to_owned(), from)]));
    let null = Value::map([("bytes", Value::Null)]);
    let gaps = [Sight::Missing, Sight::Stale { age: Span(1) }, Sight::Fresh { value: &null, age: Span::ZERO }];
    for gap in gaps {
        assert_eq!(condition.baselines(At(10_000), &|_| gap), Baselines::new());
    }
}

fn reading() -> BTreeMap<&'static str, Value> {
    let resolver = |name: &str, state: &str, ttl: Value| {
        Value::map([
            ("name", name.into()),
            ("state", state.into()),
            ("fresh", (state == "new").into()),
            ("ttl", ttl),
            ("values", "192.0.2.1".into()),
        ])
    };
    let side = |p95: f64| {
        Value::map([
            ("p50", Value::Float(5.0)),
            ("p95", Value::Float(p95)),
            ("errors", Value::Int(0)),
            ("samples", Value::Int(120)),
        ])
    };
    BTreeMap::from([
        (
            "lag",
            Value::map([
                ("bytes", Value::Int(1_258_291)),
                ("seconds", Value::Null),
                ("streaming", Value::Bool(true)),
                ("state", "streaming".into()),
                ("oldest_transaction_s", Value::Int(3)),
                ("tables", Value::Int(0)),
            ]),
        ),
        (
            "dns_app",
            Value::map([
                (
                    "resolvers",
                    Value::List(vec![
                        resolver("resolver_a", "new", Value::Int(60)),
                        resolver("resolver_b", "old", Value::Int(300)),
                        resolver("resolver_c", "timeout", Value::Null),
                    ]),
                ),
                ("authoritative_new", Value::Bool(true)),
            ]),
        ),
        ("latency", Value::map([("old", side(80.0)), ("new", side(110.0))])),
    ])
}

fn answer(source: &str, readings: &BTreeMap<&'static str, Value>) -> Assessment {
    let condition = Condition::compile(source, &shapes()).unwrap_or_else(|errors| panic!("{source}: {errors:?}"));
    judged(
        &condition,
        &|probe| match readings.get(probe.as_str()) {
            Some(value) => Sight::Fresh { value, age: Span::secs(1) },
            None => Sight::Missing,
        },
        &Baselines::new(),
    )
}

#[test]
fn answers_come_with_the_values_met() {
    let readings = reading();
    let told: Vec<String> = [
        "lag.bytes < bytes(\"1MiB\")",
        "lag.bytes < bytes('2MiB') && lag.streaming",
        "lag.seconds < 5.0",
        "lag.seconds != 0.0",
        "!(lag.seconds == 0.0)",
        "has(lag.seconds)",
        "!has(lag.seconds) && has(lag.bytes)",
        "lag.seconds < 5.0 || lag.streaming",
        "lag.oldest_transaction_s < seconds(\"1m30s\")",
        "lag.oldest_transaction_s == 3",
        "latency.new.p95 <= 1.2 * latency.old.p95",
        "latency.new.errors == 0.0",
        "latency.new.p99 < 5.0",
        "lag.bytes / lag.tables > 1",
        "latency.old.p95 / latency.new.errors > 1.0",
        "!(latency.old.p95 / latency.new.errors > 1.0)",
        "dns_app.resolvers.all(r, r.fresh)",
        "dns_app.resolvers.exists(r, r.fresh)",
        "dns_app.resolvers.exists_one(r, r.fresh)",
        "!dns_app.resolvers.exists(r, r.state == \"old\")",
        "dns_app.resolvers.all(r, r.ttl <= 100)",
        "dns_app.resolvers.filter(r, r.fresh).all(r, r.ttl <= 60)",
        "dns_app.resolvers.filter(r, r.fresh).size() >= 1",
        "size(dns_app.resolvers.map(r, r.name)) == 3",
        "\"resolver_a\" in dns_app.resolvers.map(r, r.name)",
        "dns_app.resolvers.map(r, r.ttl).exists(t, t > 500)",
        "dns_app.resolvers[0].fresh",
        "dns_app.resolvers[9].fresh",
        "lag.state in [\"streaming\", \"copying\"]",
        "lag.state.startsWith(\"str\") && lag.state.matches(\"^s.*g$\") && !lag.state.contains(\"x\")",
        "lag.streaming ? lag.bytes < 5 : true",
        "double(lag.bytes) * 1.5 > 100.0 && int(latency.new.p95) == 110",
        "!(lag.streaming && lag.bytes < 5)",
    ]
    .iter()
    .map(|source| {
        let found = answer(source, &readings);
        let terms: Vec<String> = found
            .terms
            .iter()
            .map(|term| {
                let why = term.why.as_ref().map(|why| format!(" because {why}")).unwrap_or_default();
                format!("\n    {} {} [{}]{why}", term.verdict, term.text, term.actual)
            })
            .collect();
        format!("{source}\n  {}{}\n", found.verdict, terms.concat())
    })
    .collect();
    insta::assert_snapshot!(told.concat());
}

#[test]
fn values_of_different_types_are_neither_equal_nor_different() {
    let any = |name| crate::core::value::Field::new(name, Shape::Any, "");
    let shapes = BTreeMap::from([(ProbeId::from("p"), Shape::Record(vec![any("v"), any("list"), any("big")]))]);
    let value = Value::map([
        ("v", "1".into()),
        ("list", Value::List(vec!["failed".into(), Value::Int(2)])),
        ("big", Value::Int(i64::MAX)),
    ]);
    for (source, verdict) in [
        ("p.v != 1", Verdict::Unknown),
        ("p.v == 1", Verdict::Unknown),
        ("p.v != true", Verdict::Unknown),
        ("!(p.v in [1, 2])", Verdict::Unknown),
        ("p.list != [1, 2]", Verdict::Unknown),
        ("p.list.all(x, x != 'bad')", Verdict::Unknown),
        ("p.v != '2'", Verdict::Go),
        ("2 in p.list", Verdict::Go),
        ("p.big == 9223372036854775808.0", Verdict::NoGo),
        ("p.big < 9223372036854775808.0", Verdict::Go),
        ("p.big > 1.5", Verdict::Go),
    ] {
        let condition = Condition::compile(source, &shapes).unwrap();
        let found = judged(&condition, &|_| Sight::Fresh { value: &value, age: Span::ZERO }, &Baselines::new());
        assert_eq!(found.verdict, verdict, "{source}: {found:?}");
    }
}

#[test]
fn what_would_keep_the_cockpit_busy_is_unknown_and_long_lists_are_not() {
    let long = || Value::List((0..1_000).map(Value::Int).collect());
    let readings = BTreeMap::from([("any", Value::map([("list", long()), ("text", "ab".repeat(2_000).into())]))]);
    let shapes = BTreeMap::from([(
        ProbeId::from("any"),
        Shape::Record(vec![
            crate::core::value::Field::new("list", Shape::Any, ""),
            crate::core::value::Field::new("text", Shape::Text, ""),
        ]),
    )]);
    let judge = |source: &str| {
        let condition = Condition::compile(source, &shapes).unwrap();
        let sight = |_: &ProbeId| Sight::Fresh { value: &readings["any"], age: Span::ZERO };
        judged(&condition, &sight, &Baselines::new())
    };
    for source in [
        "any.list.all(a, any.list.exists(b, a == b))",
        "any.list.all(a, a in any.list)",
        "any.list.all(a, any.list == any.list)",
        "size(any.list.map(a, any.list)) == 1000",
        "any.list.all(a, any.text.contains('ba'))",
        "any.list.all(b, any.list.map(a, any.text + any.text).all(a, size(a) > b))",
        "any.list.filter(a, any.list.exists(b, b == a)).exists(a, a == 5)",
        "any.list.exists_one(a, any.list.all(b, b <= a))",
    ] {
        let found = judge(source);
        assert_eq!(found.verdict, Verdict::Unknown, "{source}");
        let why = found.terms[0].why.clone().unwrap();
        assert!(why.contains("too long to be searched so often (let the probe count"), "{why}");
        assert_eq!(judge(&format!("!({source})")).verdict, Verdict::Unknown, "{source}");
    }
    for source in [
        "any.list.all(a, a >= 0 && a < 1000 && a != 1000)",
        "size(any.list.filter(a, a % 2 == 0)) == 500",
        "any.list.map(a, a * 2).exists(a, a == 1998)",
        "999 in any.list && !(1000 in any.list)",
        "any.text.contains('ba') && size(any.text) == 4000",
    ] {
        assert_eq!(judge(source).verdict, Verdict::Go, "{source}: {:?}", judge(source).terms);
    }
}

#[test]
fn a_term_says_what_was_compared_with_its_sign_and_as_exactly_as_it_takes() {
    let mut readings = reading();
    assert!(readings.get_mut("latency").unwrap().at("new").is_some());
    for (source, text, actual) in [
        ("lag.bytes < -1", "lag.bytes < -1", "lag.bytes = "),
        ("lag.bytes - -2 < 0", "lag.bytes - -2 < 0", "lag.bytes - -2 = "),
        ("lag.bytes == -(-5)", "lag.bytes == -(-5)", "lag.bytes = "),
        ("latency.new.errors < 0.1234", "latency.new.errors < 0.1234", "latency.new.errors = 0.1235"),
        ("latency.new.errors == 0.123456788", "latency.new.errors == 0.123456788", "latency.new.errors = 0.123"),
        ("latency.new.errors < 0.1", "latency.new.errors < 0.1", "latency.new.errors = 0.123"),
    ] {
        let new = readings.get_mut("latency").unwrap();
        let mut figures = new.at("new").unwrap().clone();
        assert!(figures.put("errors", Value::Float(0.123_456_789)));
        assert!(new.put("new", figures));
        let found = answer(source, &readings);
        assert_eq!(found.terms[0].text, text);
        assert!(found.terms[0].actual.starts_with(actual), "{source}: {}", found.terms[0].actual);
        // The terms of earlier versions have no sign, and are still the terms of this expression.
        let mut recorded = found.terms.clone();
        recorded[0].text = text.replace("< -1", "< 1").replace("- -2", "- 2").replace("-(-5)", "-(5)");
        let condition = Condition::compile(source, &shapes()).expect("good");
        assert_eq!(condition.recount(&recorded), Some(found.verdict), "{source}");
    }
    let other = Condition::compile("lag.bytes < -1", &shapes()).expect("good");
    let terms = answer("lag.bytes < 2", &readings).terms;
    assert_eq!(other.recount(&terms), None);
}

#[test]
fn nothing_is_true_or_false_of_the_elements_of_an_empty_list() {
    let mut readings = reading();
    assert!(readings.get_mut("dns_app").unwrap().put("resolvers", Value::List(Vec::new())));
    let why = "dns_app.resolvers is empty, so nothing was asked of its elements";
    for question in ["all(r, r.fresh)", "exists(r, r.fresh)", "exists_one(r, r.fresh)"] {
        for source in [format!("dns_app.resolvers.{question}"), format!("!dns_app.resolvers.{question}")] {
            let found = answer(&source, &readings);
            assert_eq!(found.verdict, Verdict::Unknown, "{source}");
            assert!(found.terms[0].why.as_ref().is_some_and(|told| told.contains(why)), "{found:?}");
        }
    }
    let filtered = answer("dns_app.resolvers.filter(r, r.fresh).all(r, r.ttl <= 60)", &readings);
    assert_eq!(filtered.verdict, Verdict::Unknown);
    // Whoever means it says so.
    for (source, verdict) in [
        ("size(dns_app.resolvers) == 0 || dns_app.resolvers.all(r, r.fresh)", Verdict::Go),
        ("size(dns_app.resolvers) > 0 && dns_app.resolvers.all(r, r.fresh)", Verdict::NoGo),
    ] {
        assert_eq!(answer(source, &readings).verdict, verdict, "{source}");
    }
}

#[test]
fn silence_is_unknown_and_told_in_words() {
    let condition = Condition::compile("lag.bytes < 5 && dns_app.authoritative_new", &shapes()).unwrap();
    let told = |sight: Sight<'static>| {
        let found = judged(
            &condition,
            &|probe| if probe.as_str() == "lag" { sight } else { Sight::Missing },
            &Baselines::new(),
        );
        assert_eq!(found.verdict, Verdict::Unknown);
        found.terms.into_iter().filter_map(|term| term.why).collect::<Vec<_>>()
    };
    let missing = "dns_app has given no reading yet";
    assert_eq!(told(Sight::Stale { age: Span::secs(12) }), ["lag is stale: 12 s old", missing]);
    let failed = Sight::Failed { what: "connection refused by 10.0.0.5:5432", since: Span::secs(12) };
    assert_eq!(told(failed), ["lag gives no reading for 12 s: connection refused by 10.0.0.5:5432", missing]);
    assert_eq!(told(Sight::Missing), ["lag has given no reading yet", missing]);
}

#[test]
fn foreign_text_cannot_leave_its_place() {
    let mut readings = reading();
    readings.insert("lag", Value::map([("state", Value::from("\u{1b}[2Jok\u{202e}\n"))]));
    let found = answer("lag.state == \"streaming\"", &readings);
    assert_eq!(found.terms[0].actual, "lag.state = \"\\u{1b}[2Jok\\u{202e}\\n\"");
}

#[test]
fn a_field_of_the_wrong_type_is_unknown() {
    let mut readings = reading();
    for wrong in [Value::Text("5".into()), Value::Float(5.0), Value::Bool(true), Value::Null, Value::List(vec![])] {
        readings.insert("lag", Value::map([("bytes", wrong)]));
        for source in ["lag.bytes < 10", "lag.bytes != 10", "!(lag.bytes > 10)"] {
            assert_eq!(answer(source, &readings).verdict, Verdict::Unknown, "{source}");
        }
    }
}

#[test]
fn hostile_expressions_are_refused_or_answered_but_never_panic() {
    let nested = |open: &str, close: &str, n: usize| format!("{}lag.streaming{}", open.repeat(n), close.repeat(n));
    for n in [10, 60, 100, 400, 900, 5_000] {
        for source in [
            nested("(", ")", n),
            nested("!", "", n),
            nested("-", "", n),
            nested("[", "]", n),
            nested("f(", ")", n),
            nested("true ? ", " : false", n),
            nested("", ".a", n),
            nested("", "[0]", n),
            nested("", " && lag.streaming", n),
            nested("", " == true", n),
            nested("1 + ", "", n),
            nested("", ".all(x, x)", n),
            nested("{1: ", "}", n),
            nested("A{a: ", "}", n),
        ] {
            if let Ok(condition) = Condition::compile(&source, &shapes()) {
                judged(&condition, &|_| Sight::Missing, &Baselines::new());
            }
        }
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    /// Conditions over readings that can have gaps; every one of them uses every field that it names.
    const TERMS: [&str; 12] = [
        "lag.bytes < 100",
        "lag.bytes != 7",
        "lag.seconds <= 2.5",
        "lag.seconds != 0.0",
        "lag.state != \"broken\"",
        "lag.streaming",
        "lag.bytes * 2 > 10",
        "latency.new.p95 <= 1.2 * latency.old.p95",
        "latency.new.p95 / latency.old.p95 < 2.0",
        "dns_app.resolvers.all(r, r.fresh)",
        "dns_app.resolvers.all(r, r.ttl != 5)",
        "lag.bytes in [1, 2, 3]",
    ];

    fn hole() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            Just(Value::Float(f64::NAN)),
            Just(Value::Float(f64::INFINITY)),
            Just(Value::map::<String>([])),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            any::<bool>().prop_map(Value::Bool),
            ".{0,8}".prop_map(Value::Text),
        ]
    }

    fn tree() -> impl Strategy<Value = Value> {
        hole().prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                proptest::collection::btree_map(
                    "(bytes|seconds|state|streaming|old|new|p95|resolvers|fresh|ttl)",
                    inner,
                    0..5
                )
                .prop_map(Value::map),
            ]
        })
    }

    proptest! {
        #[test]
        fn compiling_random_text_never_panics(source in "[ -~äß\n]{0,60}") {
            let _ = Condition::compile(&source, &shapes());
        }

        #[test]
        fn compiling_random_tokens_never_panics(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "lag", ".", "bytes", "(", ")", "[", "]", "&&", "||", "!", "<", "==", "?", ":", "1", "2.5", "\"a\"", "'",
                    "in", "has", "all", ",", "r", "dns_app", "resolvers", "-", "%", "/", "*", "{", "}", "null", "9223372036854775808",
                    "b\"x\"", "r'\\'", "\\u", "1e999", "0x", "\n", "//", "@in", "`a`", "ä",
                ]),
                0..24,
            )
        ) {
            let source = words.join(" ");
            if let Ok(condition) = Condition::compile(&source, &shapes()) {
                judged(&condition, &|_| Sight::Missing, &Baselines::new());
            }
            let _ = Condition::compile(&words.concat(), &shapes());
        }

        #[test]
        fn evaluating_random_readings_never_panics(value in tree(), at in 0..TERMS.len()) {
            let condition = Condition::compile(TERMS[at], &shapes()).unwrap();
            judged(&condition, &|_| Sight::Fresh { value: &value, age: Span::ZERO }, &Baselines::new());
        }

        #[test]
        fn a_gap_in_what_a_term_reads_is_never_go(
            at in 0..TERMS.len(),
            negated in any::<bool>(),
            gap in 0..3_usize,
        ) {
            let source = if negated { format!("!({})", TERMS[at]) } else { TERMS[at].to_owned() };
            let condition = Condition::compile(&source, &shapes()).unwrap();
            let found = judged(&condition, &|_| match gap {
                0 => Sight::Missing,
                1 => Sight::Stale { age: Span::secs(9) },
                _ => Sight::Failed { what: "no route", since: Span::secs(3) },
            }, &Baselines::new());
            prop_assert_eq!(found.verdict, Verdict::Unknown);
        }

        #[test]
        fn null_and_nan_are_never_go(at in 0..TERMS.len(), negated in any::<bool>(), nan in any::<bool>()) {
            let hole = if nan { Value::Float(f64::NAN) } else { Value::Null };
            let side = Value::map([("p95", hole.clone())]);
            let resolver = Value::map([("fresh", hole.clone()), ("ttl", hole.clone())]);
            let value = Value::map([
                ("bytes", hole.clone()), ("seconds", hole.clone()), ("state", hole.clone()), ("streaming", hole),
                ("old", side.clone()), ("new", side), ("resolvers", Value::List(vec![resolver])),
            ]);
            let source = if negated { format!("!({})", TERMS[at]) } else { TERMS[at].to_owned() };
            let condition = Condition::compile(&source, &shapes()).unwrap();
            let found = judged(&condition, &|_| Sight::Fresh { value: &value, age: Span::ZERO }, &Baselines::new());
            prop_assert_eq!(found.verdict, Verdict::Unknown, "{}", source);
        }

        /// The whole is what Kleene's logic makes of the parts.
        #[test]
        fn logic_is_kleenes(a in 0..3_usize, b in 0..3_usize) {
            let names = ["dns_app.authoritative_new", "dns_app.authoritative_old", "lag.streaming"];
            let verdicts = [Verdict::Go, Verdict::NoGo, Verdict::Unknown];
            let value = Value::map([("authoritative_new", true.into()), ("authoritative_old", Value::Bool(false))]);
            let hole = Value::map([("streaming", Value::Null)]);
            let ask = |source: String| {
                let condition = Condition::compile(&source, &shapes()).unwrap();
                judged(&condition, &|probe| match probe.as_str() {
                    "dns_app" => Sight::Fresh { value: &value, age: Span::ZERO },
                    _ => Sight::Fresh { value: &hole, age: Span::ZERO },
                }, &Baselines::new()).verdict
            };
            let (x, y) = (names[a], names[b]);
            prop_assert_eq!(ask(format!("{x} && {y}")), verdicts[a].and(verdicts[b]));
            prop_assert_eq!(ask(format!("{x} || {y}")), verdicts[a].or(verdicts[b]));
            prop_assert_eq!(ask(format!("!{x}")), [Verdict::NoGo, Verdict::Go, Verdict::Unknown][a]);
            prop_assert_eq!(ask(format!("!({x} && {y})")), ask(format!("!{x} || !{y}")));
            prop_assert_eq!(ask(format!("!({x} || {y})")), ask(format!("!{x} && !{y}")));
            // The same inside a term, where the evaluator does the logic instead of `Poll`.
            prop_assert_eq!(ask(format!("({x} && {y}) == true")), verdicts[a].and(verdicts[b]));
            prop_assert_eq!(ask(format!("({x} || {y}) == true")), verdicts[a].or(verdicts[b]));
        }
    }

    /// Expressions that give a value both here and in CEL, for comparison with the `cel` crate's own runtime.
    fn number() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            (-9..10_i64).prop_map(|n| if n < 0 { format!("({n})") } else { n.to_string() }),
            Just("p.n".to_owned()),
            Just("p.m".to_owned()),
            Just("size(p.list)".to_owned()),
            Just("size(p.text)".to_owned()),
        ];
        leaf.prop_recursive(3, 12, 2, |inner| {
            (inner.clone(), proptest::sample::select(vec!["+", "-", "*", "/", "%"]), inner)
                .prop_map(|(a, op, b)| format!("({a} {op} {b})"))
        })
    }

    fn truth() -> impl Strategy<Value = String> {
        let compare = (number(), proptest::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]), number())
            .prop_map(|(a, op, b)| format!("({a} {op} {b})"));
        let leaf = prop_oneof![
            compare,
            Just("p.yes".to_owned()),
            Just("p.x < p.y".to_owned()),
            Just("p.n < p.x".to_owned()),
            Just("p.text.contains('b') ".to_owned()),
            Just("p.text.startsWith('ab')".to_owned()),
            Just("p.text < 'abd'".to_owned()),
            Just("p.n in p.list".to_owned()),
            (number(), Just("x")).prop_map(|(n, x)| format!("p.list.all({x}, {x} < {n})")),
            (number(), Just("x")).prop_map(|(n, x)| format!("p.list.exists({x}, {x} == {n})")),
            Just("p.list.filter(e, e > 1).map(e, e * 2) == [4, 6]".to_owned()),
            Just("p.list.exists_one(e, e == 2)".to_owned()),
            Just("int(p.x) == 2 && double(p.n) > 1.0".to_owned()),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
                inner.clone().prop_map(|a| format!("!({a})")),
                (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            ]
        })
    }

    proptest! {
        /// On readings without gaps the answers are CEL's own; what is an error there is UNKNOWN here.
        #[test]
        fn whole_readings_are_answered_as_cel_does(
            source in truth(), n in -5..6_i64, m in -5..6_i64, x in -3.0..3.0_f64, yes in any::<bool>(),
        ) {
            let fields = [
                ("n", Shape::Int), ("m", Shape::Int), ("x", Shape::Float), ("y", Shape::Float), ("yes", Shape::Bool),
                ("text", Shape::Text), ("list", Shape::List(Box::new(Shape::Int))),
            ];
            let fields = fields.map(|(name, shape)| crate::core::value::Field::new(name, shape, "")).to_vec();
            let shapes = BTreeMap::from([(ProbeId::from("p"), Shape::Record(fields))]);
            let value = Value::map([
                ("n", Value::Int(n)), ("m", Value::Int(m)), ("x", Value::Float(x)), ("y", Value::Float(1.5)),
                ("yes", Value::Bool(yes)), ("text", "abc".into()),
                ("list", Value::List(vec![Value::Int(1), Value::Int(2), Value::Int(3)])),
            ]);
            let ours = Condition::compile(&source, &shapes).unwrap();
            let ours = judged(&ours, &|_| Sight::Fresh { value: &value, age: Span::ZERO }, &Baselines::new()).verdict;
            let program = cel::Program::compile(&source).unwrap();
            let mut context = cel::Context::default();
            context.add_variable("p", cel::to_value(&value).unwrap()).unwrap();
            let theirs = match program.execute(&context) {
                Ok(cel::Value::Bool(true)) => Verdict::Go,
                Ok(cel::Value::Bool(false)) => Verdict::NoGo,
                _ => Verdict::Unknown,
            };
            prop_assert_eq!(ours, theirs, "{}", source);
        }
    }
}
