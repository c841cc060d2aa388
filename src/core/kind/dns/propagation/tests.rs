use std::collections::BTreeSet;

use super::*;
use crate::core::kind::dns::answer::Sides;
use crate::core::record::ExpectedValues;

const STANDS: Span = Span(2_000);

fn known(servers: usize, resolvers: usize) -> Propagation {
    let names = |count: usize, letter: char| (0..count).map(|n| format!("{letter}{n}")).collect::<Vec<_>>();
    Propagation::new(At(0), STANDS, &names(servers, 'a'), &names(resolvers, 'r'), None)
}

fn answer(state: AnswerState, ttl: i64) -> Answer {
    let holds_old = matches!(state, AnswerState::Old | AnswerState::Mixed);
    Answer { ttl: Some(ttl), holds_old, ..Answer::without_values(state, "") }
}

fn at(seconds: i64) -> At {
    At(seconds * 1_000)
}

fn field<'a>(reading: &'a Value, path: &str) -> &'a Value {
    let first = |list: &str| reading.at(list).unwrap().list().unwrap();
    match path.split_once('.') {
        Some((list, field)) => first(list)[0].at(field).unwrap(),
        None => reading.at(path).unwrap(),
    }
}

use AnswerState::{New, Old, Other};

#[test]
fn nobody_asked_is_nobody_counted() {
    let mut of = known(1, 0);
    of.authority_said(0, at(0), answer(New, 60));
    let reading = of.reading(at(0));
    for name in ["old", "new", "unclear", "total", "fresh_share", "max_ttl", "max_remaining_ttl", "eta"] {
        assert_eq!(field(&reading, name), &Value::Null, "{name}");
    }
    assert_eq!(field(&known(0, 0).reading(at(0)), "authoritative_new"), &Value::Null);
}

#[test]
fn silence_is_unknown_and_hides_nothing_of_the_others() {
    let mut of = known(2, 2);
    assert_eq!(field(&of.reading(at(1)), "authoritative.state"), &"waiting".into());
    assert_eq!(field(&of.reading(at(3)), "authoritative.state"), &"timeout".into());
    of.authority_said(0, at(3), answer(New, 60));
    of.resolver_said(0, at(3), answer(New, 60));
    let reading = of.reading(at(4));
    for name in ["authoritative_new", "old", "ttl", "max_ttl", "eta", "fresh_share", "worst_case", "old_ttl_expired"] {
        assert_eq!(field(&reading, name), &Value::Null, "{name}");
    }
    assert_eq!(field(&reading, "authoritative_old"), &Value::Bool(false), "one is not, whatever the other says");
    assert_eq!(field(&reading, "new"), &Value::Int(1));
    assert_eq!(field(&reading, "unclear"), &Value::Int(1));
    assert_eq!(field(&reading, "resolvers.fresh"), &Value::Bool(true));
    // An answer stands for two intervals, and no longer.
    let reading = of.reading(at(6));
    assert_eq!(field(&reading, "resolvers.state"), &"timeout".into());
    assert_eq!(field(&reading, "resolvers.fresh"), &Value::Null);
    assert_eq!(field(&reading, "new"), &Value::Null, "none is known to be new, but one may be");
    assert_eq!(field(&reading, "authoritative_old"), &Value::Null);
}

#[test]
fn every_answer_with_an_old_value_counts_as_old() {
    let sides =
        Sides { old: ExpectedValues::All(["1".to_owned()].into()), new: ExpectedValues::All(["2".to_owned()].into()) };
    let judge = |values: &[&str]| sides.judge(&values.iter().map(|value| (*value).to_owned()).collect());
    assert_eq!(judge(&["1"]), (Old, true));
    assert_eq!(judge(&["2"]), (New, false));
    assert_eq!(judge(&["1", "2"]), (AnswerState::Mixed, true));
    assert_eq!(judge(&["1", "3"]), (Other, true));
    assert_eq!(judge(&["2", "3"]), (Other, false));
    assert_eq!(judge(&[]), (AnswerState::Negative, false));
    let born = Sides { old: ExpectedValues::default(), new: ExpectedValues::All(["2".to_owned()].into()) };
    assert_eq!(born.judge(&BTreeSet::new()), (Old, true));
    let grown = Sides {
        old: ExpectedValues::All(["1".to_owned()].into()),
        new: ExpectedValues::All(["1".to_owned(), "2".to_owned()].into()),
    };
    assert_eq!(grown.judge(&["1".to_owned(), "2".to_owned()].into()), (New, false));
}

/// A cache with `ttl` that took the old value in at `from`; after `switch` it fetches the new one.
fn honest(now: i64, from: i64, ttl: i64, switch: i64) -> Answer {
    let fetched = from + (now - from) / ttl * ttl;
    answer(if fetched < switch { Old } else { New }, fetched + ttl - now)
}

#[test]
fn the_time_left_comes_true() {
    let mut of = known(1, 1);
    let mut promised = None;
    for now in 0..120 {
        of.authority_said(0, at(now), answer(if now < 50 { Old } else { New }, 60));
        of.resolver_said(0, at(now), honest(now, -7, 60, 50));
        let reading = of.reading(at(now));
        let eta = field(&reading, "eta");
        match now {
            0..50 => assert_eq!(eta, &Value::Null, "{now}: the old value is still served"),
            50 => promised = eta.int().map(|eta| now + eta),
            _ => {}
        }
        let fresh = field(&reading, "resolvers.fresh") == &Value::Bool(true);
        assert!(fresh == promised.is_some_and(|promised| now > promised - 1) || promised == Some(now), "{now}");
    }
    assert_eq!(promised, Some(53));
}

#[test]
fn a_lucky_answer_of_one_cache_of_several_is_not_the_end() {
    let mut of = known(1, 1);
    for now in 0..100 {
        of.authority_said(0, at(now), answer(if now < 10 { Old } else { New }, 60));
        for (from, ttl) in [(-20, 60), (-50, 60), (-1, 60)] {
            of.resolver_said(0, at(now), honest(now, from, ttl, 10));
        }
        let reading = of.reading(at(now));
        let state = field(&reading, "resolvers.state").text().unwrap();
        match now {
            // The last cache keeps it until 59.
            12..59 => {
                assert!(matches!(state, "mixed" | "old"), "{now}: {state}");
                assert_eq!(field(&reading, "old"), &Value::Int(1), "{now}");
                assert_eq!(field(&reading, "resolvers.eta"), &Value::Int(59 - now), "{now}");
            }
            61.. => assert_eq!(state, "new", "{now}"),
            _ => {}
        }
    }
}

#[test]
fn enough_new_answers_outweigh_an_old_one_that_was_flushed() {
    let mut of = known(1, 1);
    of.authority_said(0, at(0), answer(New, 60));
    of.resolver_said(0, at(0), answer(Old, 3_600));
    for n in 1..=60 {
        of.authority_said(0, at(n), answer(New, 60));
        of.resolver_said(0, at(n), answer(New, 60));
        let state = of.reading(at(n));
        let expected = if n < 60 { "mixed" } else { "new" };
        assert_eq!(field(&state, "resolvers.state"), &expected.into(), "{n}");
    }
    let reading = of.reading(at(60));
    assert_eq!(field(&reading, "resolvers.share"), &Value::Float(1.0));
    assert_eq!(field(&reading, "resolvers.old_share_bound"), &Value::Float(0.05));
    assert_eq!(field(&reading, "max_remaining_ttl"), &Value::Int(0));
}

#[test]
fn a_ttl_that_does_not_count_down_promises_nothing() {
    let mut of = known(1, 1);
    for now in 0..20 {
        of.authority_said(0, at(now), answer(New, 60));
        of.resolver_said(0, at(now), answer(Old, 30));
    }
    let reading = of.reading(at(19));
    assert_eq!(field(&reading, "resolvers.state"), &"stale".into());
    for name in ["max_ttl", "max_remaining_ttl", "eta"] {
        assert_eq!(field(&reading, name), &Value::Null, "{name}");
    }
    assert_eq!(field(&reading, "old"), &Value::Int(1));
    // An authoritative server always answers with the record's full TTL.
    let mut of = known(1, 1);
    for now in 0..20 {
        of.authority_said(0, at(now), answer(Old, 60));
        of.resolver_said(0, at(now), Answer { is_authoritative: true, ..answer(Old, 60) });
    }
    assert_eq!(field(&of.reading(at(19)), "max_ttl"), &Value::Int(60));
}

#[test]
fn a_ttl_that_runs_out_and_comes_back_with_the_old_value_promises_nothing() {
    let mut of = known(1, 1);
    for now in 0..100 {
        of.authority_said(0, at(now), answer(if now < 5 { Old } else { New }, 60));
        of.resolver_said(0, at(now), answer(Old, 30 - now % 30));
        let reading = of.reading(at(now));
        if (33..100).contains(&now) {
            assert_eq!(field(&reading, "resolvers.state"), &"stale".into(), "{now}");
            assert_eq!(field(&reading, "eta"), &Value::Null, "{now}");
        }
    }
    of.resolver_said(0, at(131), answer(New, 60));
    of.authority_said(0, at(131), answer(New, 60));
    assert_eq!(field(&of.reading(at(131)), "resolvers.state"), &"new".into());
}

#[test]
fn the_worst_case_counts_from_the_last_server_and_the_longest_time_an_old_value_may_be_kept() {
    let mut of = known(2, 0);
    // An hour before the change, the TTL was lowered from 3,600 to 60.
    of.authority_said(0, at(0), answer(Old, 3_600));
    of.authority_said(1, at(0), answer(Old, 3_600));
    of.authority_said(0, at(10), answer(Old, 60));
    of.authority_said(1, at(10), answer(Old, 60));
    of.authority_said(0, at(20), answer(New, 60));
    of.authority_said(1, at(20), answer(Old, 60));
    assert_eq!(field(&of.reading(at(20)), "worst_case"), &Value::Null);
    assert_eq!(field(&of.reading(at(20)), "old_ttl_expired"), &Value::Bool(false));
    of.authority_said(0, at(21), answer(New, 60));
    of.authority_said(1, at(21), answer(New, 60));
    assert_eq!(field(&of.reading(at(21)), "worst_case"), &Value::Int(3_600 + 5 - 21));
    for (now, left, expired) in [(3_604, 1, false), (3_605, 0, true)] {
        of.authority_said(0, at(now), answer(New, 60));
        of.authority_said(1, at(now), answer(New, 60));
        assert_eq!(field(&of.reading(at(now)), "worst_case"), &Value::Int(left));
        assert_eq!(field(&of.reading(at(now)), "old_ttl_expired"), &Value::Bool(expired));
    }
    // One of them goes back: everything counts again.
    of.authority_said(1, at(3_606), answer(Old, 60));
    of.authority_said(1, at(3_607), answer(New, 60));
    of.authority_said(0, at(3_607), answer(New, 60));
    assert_eq!(field(&of.reading(at(3_607)), "worst_case"), &Value::Int(65));
}

#[test]
fn who_never_saw_the_old_values_does_not_know_the_worst_case() {
    let mut of = known(1, 0);
    of.authority_said(0, at(0), answer(New, 60));
    assert_eq!(field(&of.reading(at(0)), "worst_case"), &Value::Null);
    assert_eq!(field(&of.reading(at(0)), "old_ttl_expired"), &Value::Null);
    // When the runbook gives it, all of that time is still ahead.
    let mut of = Propagation::new(at(0), STANDS, &["a".to_owned()], &[], Some(Span::secs(3_600)));
    of.authority_said(0, at(1), answer(New, 60));
    assert_eq!(field(&of.reading(at(1)), "worst_case"), &Value::Int(3_604));
}
