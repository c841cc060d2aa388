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

/// The newest answers of one server, of which a share is to be new.
#[derive(Clone, Debug)]
pub(super) struct SharedAnswers {
    wanted: f64,
    newest: VecDeque<bool>,
}

impl SharedAnswers {
    /// `wanted` is the share that is to be new, within [`SHARES`].
    pub(super) fn new(wanted: f64) -> Self {
        Self { wanted: wanted.clamp(*SHARES.start(), *SHARES.end()), newest: VecDeque::new() }
    }

    /// So many answers without one of the rarer side would be a rare chance.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at most 59
    fn enough(&self) -> usize {
        let rare = self.wanted.min(1.0 - self.wanted);
        LEAST.max((MISSED.ln() / (1.0 - rare).ln()).ceil() as usize)
    }

    /// Takes in an answer, and says what the server is by all of its newest answers: new when the share is as wanted within
    /// the error of the sample.
    pub(super) fn judge(&mut self, answer: AnswerState) -> AnswerState {
        if !matches!(answer, AnswerState::New | AnswerState::Old) {
            return answer;
        }
        if self.newest.len() >= WINDOW.max(2 * self.enough()) {
            self.newest.pop_front();
        }
        self.newest.push_back(answer == AnswerState::New);
        match self.share() {
            Some(share) if self.is_as_wanted(share) => AnswerState::New,
            Some(share) if share > 0.0 => AnswerState::Mixed,
            _ => AnswerState::Old,
        }
    }

    #[allow(clippy::cast_precision_loss)] // some dozen answers
    fn is_as_wanted(&self, share: f64) -> bool {
        let error = DEVIATIONS * (self.wanted * (1.0 - self.wanted) / self.newest.len() as f64).sqrt();
        self.newest.len() >= self.enough() && share > 0.0 && share < 1.0 && (share - self.wanted).abs() <= error
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
    fn what_is_neither_old_nor_new_is_told_as_it_is() {
        let mut shared = SharedAnswers::new(0.5);
        assert_eq!(shared.judge(Other), Other);
        assert_eq!(shared.share(), None);
    }
}
