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
    for name in ["resolvers", "old", "new", "unclear", "total", "fresh_share", "max_ttl", "max_remaining_ttl", "eta"] {
        assert_eq!(field(&reading, name), &Value::Null, "{name}");
    }
    for name in ["authoritative_new", "authoritative"] {
        assert_eq!(field(&known(0, 0).reading(at(0)), name), &Value::Null);
    }
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
fn a_resolver_that_fetches_one_answer_after_the_other_of_a_shared_name_is_not_stale() {
    let mut of = known(1, 1).with_share(Some(0.5));
    for now in 0..300 {
        let turn = |number: i64| if number % 2 == 0 { New } else { Old };
        of.authority_said(0, at(now), answer(turn(now), 5));
        of.resolver_said(0, at(now), answer(turn(now / 5), 5 - now % 5));
        assert_ne!(field(&of.reading(at(now)), "resolvers.state"), &"stale".into(), "{now}");
    }
    assert_eq!(field(&of.reading(at(299)), "authoritative_new"), &Value::Bool(true));
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
    // Until the answer of second 10, a cache may have taken it in for 3,600 s.
    assert_eq!(field(&of.reading(at(21)), "worst_case"), &Value::Int(10 + 3_600 + 5 - 21));
    for (now, left, expired) in [(3_614, 1, false), (3_615, 0, true)] {
        of.authority_said(0, at(now), answer(New, 60));
        of.authority_said(1, at(now), answer(New, 60));
        assert_eq!(field(&of.reading(at(now)), "worst_case"), &Value::Int(left));
        assert_eq!(field(&of.reading(at(now)), "old_ttl_expired"), &Value::Bool(expired));
    }
    // One of them goes back: everything counts again.
    of.authority_said(1, at(3_616), answer(Old, 60));
    of.authority_said(0, at(3_617), answer(New, 60));
    of.authority_said(1, at(3_617), answer(New, 60));
    assert_eq!(
        field(&of.reading(at(3_617)), "old_ttl_expired"),
        &Value::Bool(false),
        "it may be one machine of several"
    );
    for _ in 1..60 {
        of.authority_said(1, at(3_617), answer(New, 60));
    }
    assert_eq!(field(&of.reading(at(3_617)), "worst_case"), &Value::Int(65));
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

#[test]
fn whatever_was_served_in_between_may_be_kept_as_well() {
    // A wrong value, a name that is missing for a while, an AAAA record beside: each for ten minutes.
    for between in [Other, AnswerState::Negative] {
        let mut of = known(1, 0);
        of.authority_said(0, at(0), answer(Old, 5));
        of.authority_said(0, at(10), answer(between, 600));
        of.authority_said(0, at(12), answer(Old, 5));
        of.authority_said(0, at(13), answer(New, 5));
        let reading = of.reading(at(13));
        // A cache may have taken it in just before the answer of second 12.
        assert_eq!(field(&reading, "worst_case"), &Value::Int(12 + 600 + 5 - 13), "{between:?}");
        assert_eq!(field(&reading, "old_ttl_expired"), &Value::Bool(false));
        assert_eq!(field(&reading, "old_ttl"), &Value::Int(5));
    }
    let mut of = known(1, 0);
    of.authority_said(0, at(0), answer(Old, 5));
    of.aaaa_said(0, at(0), Answer { values: "2001:db8::1".to_owned(), ..answer(Other, 600) });
    of.authority_said(0, at(10), answer(New, 5));
    of.aaaa_said(0, at(10), answer(New, 5));
    assert_eq!(field(&of.reading(at(10)), "worst_case"), &Value::Int(605));
}

#[test]
fn a_ttl_that_was_lowered_after_a_resume_counts() {
    let mut of = known(1, 0);
    of.authority_said(0, at(0), answer(Old, 60));
    let mut resumed = known(1, 0);
    resumed.recall(at(0), &of.reading(at(0)));
    for now in 1..80 {
        resumed.authority_said(0, at(now), answer(Old, 3));
    }
    resumed.authority_said(0, at(80), answer(New, 3));
    assert_eq!(field(&resumed.reading(at(80)), "worst_case"), &Value::Int(8));
    // What was new before nobody looked is so since then.
    let mut again = known(1, 0);
    again.recall(at(80), &resumed.reading(at(80)));
    again.authority_said(0, at(100), answer(New, 3));
    assert_eq!(field(&again.reading(at(100)), "worst_case"), &Value::Int(0));
}

#[test]
fn a_lucky_answer_of_one_authoritative_machine_of_several_is_not_the_switch() {
    let mut of = known(1, 0);
    let new = |of: &Propagation, now| field(&of.reading(at(now)), "authoritative_new").clone();
    for now in 0..10 {
        of.authority_said(0, at(now), answer(Old, 5));
    }
    for now in 10..30 {
        for state in [New, Old, New] {
            of.authority_said(0, at(now), answer(state, 5));
        }
        assert_eq!(new(&of, now), Value::Bool(false), "{now}");
        assert_eq!(field(&of.reading(at(now)), "authoritative.state"), &"mixed".into());
    }
    // All of them are new when enough answers in a row are; the last of the round before was the first of these.
    for now in 30..50 {
        for _ in 0..3 {
            of.authority_said(0, at(now), answer(New, 5));
        }
        assert_eq!(new(&of, now), Value::Bool(now == 49), "{now}");
    }
    // An honest server is new at its first new answer, and old again soon after it was taken back.
    let mut of = known(1, 0);
    of.authority_said(0, at(0), answer(Old, 5));
    of.authority_said(0, at(1), answer(New, 5));
    assert_eq!(new(&of, 1), Value::Bool(true));
    for _ in 0..6 {
        of.authority_said(0, at(2), answer(Old, 5));
    }
    assert_eq!(field(&of.reading(at(2)), "authoritative_old"), &Value::Bool(true));
}

#[test]
fn one_stale_cache_of_twenty_bars_new_whatever_its_ttl_says() {
    let mut of = known(1, 1);
    of.authority_said(0, at(0), answer(Old, 5));
    for now in 1..300 {
        of.authority_said(0, at(now), answer(New, 5));
        for number in 0..3 {
            let is_stale = (now * 3 + number) % 20 == 0;
            of.resolver_said(0, at(now), answer(if is_stale { Old } else { New }, 1));
        }
        let reading = of.reading(at(now));
        if now > 20 {
            assert_ne!(field(&reading, "new"), field(&reading, "total"), "{now}");
            assert_ne!(field(&reading, "resolvers.fresh"), &Value::Bool(true), "{now}");
            assert_ne!(field(&reading, "old"), &Value::Int(0), "{now}");
        }
        if now > 60 {
            for name in ["eta", "max_ttl", "max_remaining_ttl"] {
                assert_eq!(field(&reading, name), &Value::Null, "{now}: {name}");
            }
        }
    }
}

#[test]
fn an_eta_that_was_not_kept_is_not_given_again() {
    let mut random = 7_u32;
    let mut ttl = |what: &str, now: i64| match what {
        "none" => 0,
        "one second" => 1,
        "growing" => now,
        _ => {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            i64::from(random >> 16) % 30 + 1
        }
    };
    for what in ["none", "one second", "growing", "random"] {
        for state in [Old, AnswerState::Negative] {
            let mut of = known(1, 1);
            of.authority_said(0, at(0), answer(Old, 30));
            for now in 1..300 {
                of.authority_said(0, at(now), answer(New, 30));
                of.resolver_said(0, at(now), Answer { is_authoritative: true, ..answer(state, ttl(what, now)) });
                let reading = of.reading(at(now));
                if now > 90 {
                    for name in ["eta", "max_ttl", "max_remaining_ttl"] {
                        assert_eq!(field(&reading, name), &Value::Null, "{what} {state:?} {now}: {name}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_slow_server_counts_for_twice_the_time_that_it_takes() {
    let mut of = known(1, 0);
    let slow = Answer { took: Span::secs(3), ..answer(New, 60) };
    of.authority_said(0, at(10), slow);
    assert_eq!(field(&of.reading(at(19)), "authoritative_new"), &Value::Bool(true));
    assert_eq!(field(&of.reading(at(20)), "authoritative_new"), &Value::Null);
}

#[test]
fn an_answer_of_a_rare_cache_counts_for_as_long_as_it_is_kept() {
    // One question in thirty reaches a cache that keeps the old value for an hour.
    let mut of = known(1, 1);
    for now in 0..300 {
        of.authority_said(0, at(now), answer(New, 60));
        let is_rare = now % 30 == 7 && now < 100;
        of.resolver_said(0, at(now), answer(if is_rare { Old } else { New }, if is_rare { 3_600 - now } else { 60 }));
        if now > 7 && now < 220 {
            let reading = of.reading(at(now));
            assert_eq!(field(&reading, "old"), &Value::Int(1), "{now}");
            assert_ne!(field(&reading, "new"), &Value::Int(1), "{now}");
            assert_ne!(field(&reading, "eta"), &Value::Int(0), "{now}");
        }
    }
    // Now it would have been met again.
    assert_eq!(field(&of.reading(at(299)), "new"), &Value::Int(1));
}

#[test]
fn an_answer_without_authority_may_be_kept_all_the_same() {
    let mut of = known(1, 0);
    of.authority_said(0, at(0), answer(AnswerState::Lame, 600));
    of.authority_said(0, at(1), answer(New, 60));
    let reading = of.reading(at(1));
    assert_eq!(field(&reading, "authoritative_new"), &Value::Null, "one of its machines was lame just now");
    for now in 2..60 {
        of.authority_said(0, at(now), answer(New, 60));
    }
    let reading = of.reading(at(59));
    assert_eq!(field(&reading, "authoritative_new"), &Value::Bool(true));
    assert_eq!(field(&reading, "worst_case"), &Value::Int(600 + 5 - 59));
}

#[test]
fn a_delegation_that_was_there_for_a_while_may_be_followed_for_its_time() {
    let mut of = known(1, 0);
    of.authority_said(0, at(0), answer(Old, 8));
    of.authority_said(0, at(1), answer(AnswerState::Delegated, 60));
    for now in 2..60 {
        of.authority_said(0, at(now), answer(New, 8));
    }
    let reading = of.reading(at(59));
    assert_eq!(field(&reading, "authoritative_new"), &Value::Bool(true));
    assert_eq!(field(&reading, "worst_case"), &Value::Int(1 + 60 + 8 + 5 - 59));
    assert_eq!(field(&reading, "old_ttl_expired"), &Value::Bool(false));

    // Of others that were never heard, nobody knows for how long what they gave is kept.
    let mut of = known(1, 0);
    of.authority_said(0, at(0), answer(AnswerState::Delegated, 60));
    for now in 1..60 {
        of.authority_said(0, at(now), answer(New, 8));
    }
    let reading = of.reading(at(59));
    assert_eq!(field(&reading, "worst_case"), &Value::Null);
    assert_eq!(field(&reading, "old_ttl_expired"), &Value::Null);
}
