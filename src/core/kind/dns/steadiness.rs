//! Whether the answers from one address come from machines that agree.
//!
//! Behind one address there may be several machines, and each question reaches one of them, so one new answer proves
//! little. One change from old to new is a change. When something else comes after a new answer, there are several
//! machines and not all of them are new: then many answers in a row must be new before the address counts as new.

use super::answer::AnswerState;

/// When so many answers in a row are new, at most one machine in twenty still holds something else, with a confidence of
/// 95 % (the rule of three).
pub const WINDOW: usize = 60;

/// When so many answers in a row were not new, the address is plainly not new, and a new one is a change again.
const PLAIN: usize = 20;

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
    /// Whether a new answer has come in these times of change.
    had_new: bool,
    /// Whether something else came after a new answer, so that new answers do not count yet.
    is_barred: bool,
}

impl Steadiness {
    /// Takes in an answer. Something else after a new answer bars, unless it was to be expected, as of a cache that is known to
    /// keep it for some time.
    pub(super) fn take(&mut self, is_new: bool, is_of_same_machine: bool, is_expected: bool) {
        let more = usize::from(!is_of_same_machine);
        self.run = if self.is_new == Some(is_new) { self.run.saturating_add(more) } else { more };
        self.is_new = Some(is_new);
        self.is_barred |= self.had_new && !is_new && !is_expected;
        self.had_new |= is_new;
        if self.run >= if is_new { WINDOW } else { PLAIN } {
            self.is_barred = false;
            self.had_new = is_new;
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
        self.all_new_in_a_row().min(WINDOW)
    }

    /// The same without a bound.
    pub(super) fn all_new_in_a_row(&self) -> usize {
        if self.is_new == Some(true) { self.run } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(answers: &[bool], is_expected: bool) -> Steadiness {
        let mut of = Steadiness::default();
        for is_new in answers {
            of.take(*is_new, false, is_expected);
        }
        of
    }

    #[test]
    fn one_change_is_a_change_and_a_relapse_bars_it() {
        assert!(!after(&[false, false, true], false).is_barred());
        assert!(after(&[false, true, false, true], false).is_barred());
        assert!(!after(&[false, true, false, true], true).is_barred());
    }

    #[test]
    fn enough_answers_in_a_row_lift_the_bar_and_fewer_do_not() {
        let mut of = after(&[true, false], false);
        for number in 1..60 {
            of.take(true, false, false);
            assert!(of.is_barred(), "{number}");
        }
        assert_eq!(of.new_in_a_row(), 59);
        of.take(true, true, false);
        assert!(of.is_barred(), "the same machine again");
        of.take(true, false, false);
        assert!(!of.is_barred());
    }
}
