//! A name whose answers are to be mixed, as by weights: some of them new, the others old.

use std::collections::VecDeque;

use super::answer::AnswerState;

/// The smallest and the largest share that can be told from none and from all with a few answers.
pub const SHARES: std::ops::RangeInclusive<f64> = 0.05..=0.95;
/// Answers that are looked at, at the least.
const WINDOW: usize = 60;
/// Answers without which nothing is judged.
const LEAST: usize = 20;
/// Half the width of a confidence interval of 95 %, in standard deviations of a normal distribution.
const DEVIATIONS: f64 = 1.96;
/// The chance with which a share that is really there may be missed.
const MISSED: f64 = 0.05;
/// The same for what shows that a share that was there has gone. One look in twenty lies outside of the narrower interval by
/// chance, and thousands of looks follow one another.
const DEVIATIONS_GONE: f64 = 3.9;
const MISSED_GONE: f64 = 0.000_1;

/// The newest answers of one server, of which a share is to be new.
#[derive(Clone, Debug)]
pub(super) struct SharedAnswers {
    wanted: f64,
    newest: VecDeque<bool>,
    /// Whether the share was as wanted, and nothing has shown since that it has gone.
    is_there: bool,
}

impl SharedAnswers {
    /// `wanted` is the share that is to be new, within [`SHARES`].
    pub(super) fn new(wanted: f64) -> Self {
        Self { wanted: wanted.clamp(*SHARES.start(), *SHARES.end()), newest: VecDeque::new(), is_there: false }
    }

    /// So many answers without one of the rarer side would be a rare chance.
    fn enough(&self) -> usize {
        LEAST.max(self.alike_by_chance(MISSED))
    }

    /// So many answers are looked at, so that a side that has ended is seen.
    fn window(&self) -> usize {
        WINDOW.max(self.alike_by_chance(MISSED_GONE))
    }

    /// How many answers in a row are without one of the rarer side with this chance.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at most 180
    fn alike_by_chance(&self, chance: f64) -> usize {
        let rare = self.wanted.min(1.0 - self.wanted);
        (chance.ln() / (1.0 - rare).ln()).ceil() as usize
    }

    /// Takes in an answer, and says what the server is by all of its newest answers: new when the share is as wanted within
    /// the error of the sample, and from then on until they show that it has gone.
    pub(super) fn judge(&mut self, answer: AnswerState) -> AnswerState {
        if !matches!(answer, AnswerState::New | AnswerState::Old) {
            return answer;
        }
        if self.newest.len() >= self.window() {
            self.newest.pop_front();
        }
        self.newest.push_back(answer == AnswerState::New);
        let share = self.share().unwrap_or_default();
        self.is_there = if self.is_there {
            self.is_within(share, DEVIATIONS_GONE) && !self.has_stopped()
        } else {
            self.newest.len() >= self.enough() && share > 0.0 && share < 1.0 && self.is_within(share, DEVIATIONS)
        };
        match share {
            _ if self.is_there => AnswerState::New,
            share if share > 0.0 => AnswerState::Mixed,
            _ => AnswerState::Old,
        }
    }

    #[allow(clippy::cast_precision_loss)] // some dozen answers
    fn is_within(&self, share: f64, deviations: f64) -> bool {
        let deviation = (self.wanted * (1.0 - self.wanted) / self.newest.len() as f64).sqrt();
        (share - self.wanted).abs() <= deviations * deviation
    }

    /// Whether the newest answers are all the same, more of them than chance would give.
    fn has_stopped(&self) -> bool {
        let Some(newest) = self.newest.back() else { return false };
        let alike = self.newest.iter().rev().take_while(|is_new| *is_new == newest).count();
        let chance = if *newest { self.wanted } else { 1.0 - self.wanted };
        chance.powi(i32::try_from(alike).unwrap_or(i32::MAX)) <= MISSED_GONE
    }

    /// The share of the newest answers that were new; `None` before the first.
    #[allow(clippy::cast_precision_loss)] // some dozen answers
    pub(super) fn share(&self) -> Option<f64> {
        let new = self.newest.iter().filter(|is_new| **is_new).count();
        (!self.newest.is_empty()).then(|| new as f64 / self.newest.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use AnswerState::{Mixed, New, Old, Other};
    use proptest::bool::weighted;
    use proptest::collection::vec;
    use proptest::strategy::{Strategy as _, ValueTree as _};
    use proptest::test_runner::TestRunner;

    use super::*;

    /// The state after so many answers, of which every `nth` is new.
    fn after(wanted: f64, answers: usize, nth: usize) -> AnswerState {
        let mut shared = SharedAnswers::new(wanted);
        let answer = |number: usize| if number.is_multiple_of(nth) { New } else { Old };
        (1..=answers).map(|number| shared.judge(answer(number))).last().unwrap()
    }

    #[test]
    fn a_share_is_as_wanted_only_when_enough_answers_show_it() {
        assert_eq!(after(0.25, 60, 4), New);
        assert_eq!(after(0.25, 10, 4), Mixed, "too few to say");
        assert_eq!(after(0.5, 60, 4), Mixed);
        assert_eq!(after(0.25, 60, 1), Mixed, "all of it is more than a share");
        assert_eq!(after(0.25, 60, 100), Old);
        // A small share is not there because it was not seen.
        assert_eq!(after(0.05, 118, 1_000), Old);
        assert_eq!(after(0.05, 118, 20), New);
        assert_eq!(after(0.05, 40, 20), Mixed);
    }

    #[test]
    fn a_share_that_is_there_stays_and_one_that_goes_is_missed_soon() {
        let mut runner = TestRunner::deterministic();
        for (wanted, soon) in [(0.05, 190), (0.1, 90), (0.25, 40), (0.5, 20), (0.9, 20)] {
            let answers = vec(weighted(wanted), 20_000).new_tree(&mut runner).unwrap().current();
            let mut shared = SharedAnswers::new(wanted);
            let states: Vec<AnswerState> =
                answers.iter().map(|is_new| shared.judge(if *is_new { New } else { Old })).collect();
            let there = states.iter().position(|state| *state == New).unwrap();
            assert!(there < 500, "{wanted}: {there}");
            let left = states.windows(2).filter(|pair| *pair != [New, New] && pair[0] == New).count();
            assert!(left <= 4, "{wanted}: left {left} times in {} answers", states.len());
            let gone = (1..200).find(|_| shared.judge(Old) != New).unwrap();
            assert!(gone <= soon, "{wanted}: seen after {gone} answers");
        }
    }

    #[test]
    fn what_is_neither_old_nor_new_is_told_as_it_is() {
        let mut shared = SharedAnswers::new(0.5);
        assert_eq!(shared.judge(Other), Other);
        assert_eq!(shared.share(), None);
    }
}
