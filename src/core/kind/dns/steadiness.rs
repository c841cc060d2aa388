//! Whether the answers from one address come from machines that agree.
//!
//! Behind one address there may be several machines, and each question reaches one of them, so one new answer proves
//! little. One change from old to new is a change. When something else comes after a new answer, there are several
//! machines and not all of them are new: then many answers in a row must be new before the address counts as new.

use crate::core::time::{At, Span};

use super::answer::AnswerState;

/// When so many answers in a row are new, at most one machine in twenty still holds something else, with a confidence of
/// 95 % (the rule of three).
pub(super) const WINDOW: usize = 60;

/// After a relapse, so many old answers in a row show that the address is old again.
const RECENT: usize = 6;

/// The newest answers of one address, in short.
#[derive(Clone, Debug, Default)]
pub(super) struct Steadiness {
    /// Whether the newest answer was new; `None` before the first.
    is_new: Option<bool>,
    /// How many answers in a row, the newest among them, agree about that. Those of a machine that was met before do not count
    /// again.
    run: usize,
    /// When the first new answer of these times of change was asked for.
    first_new: Option<At>,
    /// Whether something else came after a new answer, so that new answers do not count yet.
    is_barred: bool,
}

impl Steadiness {
    /// Takes in an answer to a question of `asked`. Within `grace` after the first new answer, another one still belongs to
    /// the same change.
    pub(super) fn take(&mut self, asked: At, is_new: bool, is_of_same_machine: bool, grace: Span) {
        let more = usize::from(!is_of_same_machine);
        self.run = if self.is_new == Some(is_new) { self.run.saturating_add(more) } else { more };
        self.is_new = Some(is_new);
        if is_new {
            self.first_new = self.first_new.or(Some(asked));
        } else if self.first_new.is_some_and(|first| asked >= first.plus(grace)) {
            self.is_barred = true;
        }
        if self.run >= WINDOW {
            self.is_barred = false;
            self.first_new = Some(asked).filter(|_| is_new);
        }
    }

    /// Bars new answers from counting until enough of them have come in a row.
    pub(super) fn bar(&mut self) {
        self.is_barred = true;
    }

    /// Whether new answers do not count yet.
    pub(super) fn is_barred(&self) -> bool {
        self.is_barred
    }

    /// What an answer shows of all machines behind the address: new ones count only when enough of them have come, and after a
    /// relapse others do when they are the rule.
    pub(super) fn judged(&self, newest: AnswerState) -> AnswerState {
        match newest {
            AnswerState::New if self.is_barred => AnswerState::Mixed,
            AnswerState::Old if self.is_barred && self.run < RECENT => AnswerState::Mixed,
            newest => newest,
        }
    }

    /// How many answers in a row, the newest among them, were new: at most as many as are looked at.
    pub(super) fn new_in_a_row(&self) -> usize {
        if self.is_new == Some(true) { self.run.min(WINDOW) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(answers: &[(u64, bool)], grace: Span) -> Steadiness {
        let mut of = Steadiness::default();
        for (second, is_new) in answers {
            of.take(At(0).plus(Span::secs(*second)), *is_new, false, grace);
        }
        of
    }

    #[test]
    fn one_change_is_a_change_and_a_relapse_bars_it() {
        assert!(!after(&[(0, false), (1, false), (2, true)], Span::ZERO).is_barred());
        assert!(after(&[(0, false), (1, true), (1, false), (2, true)], Span::ZERO).is_barred());
        assert!(!after(&[(0, false), (1, true), (1, false), (2, true)], Span::secs(2)).is_barred());
        assert!(after(&[(0, false), (1, true), (3, false), (4, true)], Span::secs(2)).is_barred());
    }

    #[test]
    fn enough_answers_in_a_row_lift_the_bar_and_fewer_do_not() {
        let mut of = after(&[(0, true), (1, false)], Span::ZERO);
        for second in 2..61 {
            of.take(At(second * 1_000), true, false, Span::ZERO);
            assert!(of.is_barred(), "{second}");
        }
        assert_eq!(of.new_in_a_row(), 59);
        of.take(At(60_500), true, true, Span::ZERO);
        assert!(of.is_barred(), "the same machine again");
        of.take(At(61_000), true, false, Span::ZERO);
        assert!(!of.is_barred());
    }
}
