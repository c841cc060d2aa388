//! What the machines behind the address of one authoritative server have said lately: each question reaches one of them, so the
//! newest answer alone says nothing of the others.

use super::answer::{Answer, AnswerState};
use super::steadiness::{Steadiness, WINDOW};

/// So many answers in a row without a failure show that no machine fails.
const FAULTLESS: usize = 40;
/// So many answers in a row with one TTL show that it is that of all machines.
const SETTLED: usize = 20;

/// What is remembered of the answers of one address.
#[derive(Clone, Debug, Default)]
pub(super) struct AnswerMemory {
    new: Steadiness,
    old: Returns,
    ttl: LargestTtl,
    /// What a machine said that gave no answer, and how many answers have come since.
    failing: Option<(AnswerState, usize)>,
}

impl AnswerMemory {
    /// Takes in an answer.
    pub(super) fn take(&mut self, answer: &Answer) {
        use AnswerState::{New, Old, Timeout, Unasked, Unconfigured, Untrusted, Waiting};
        match answer.state {
            state if state.tells() => {
                self.new.take(state == New, false, false);
                self.old.take(state == Old);
                self.ttl.take(answer.ttl);
                self.failing =
                    self.failing.map(|(state, since)| (state, since + 1)).filter(|(_, since)| *since < FAULTLESS);
            }
            // A datagram that was lost says nothing of a machine.
            Timeout | Unasked | Unconfigured | Untrusted | Waiting => {}
            state => self.failing = Some((state, 0)),
        }
    }

    /// What an answer shows of all machines behind the address.
    pub(super) fn judged(&self, newest: AnswerState) -> AnswerState {
        match self.new.judged(newest) {
            AnswerState::Old if self.old.are_several() => AnswerState::Mixed,
            judged => judged,
        }
    }

    /// Bars new answers from counting until enough of them have come in a row.
    pub(super) fn bar(&mut self) {
        self.new.bar();
    }

    /// The largest TTL that a machine behind the address gives, where the newest answer has `ttl`.
    pub(super) fn ttl(&self, ttl: Option<i64>) -> Option<i64> {
        ttl.max(self.ttl.held.filter(|_| ttl.is_some()).map(|(held, _)| held))
    }

    /// What a machine behind the address said instead of an answer, not long ago.
    pub(super) fn failing(&self) -> Option<AnswerState> {
        self.failing.map(|(state, _)| state)
    }
}

/// How often an address has been old again. Once is a change that was taken back; more often, there are several machines and
/// not all of them are old.
#[derive(Clone, Debug, Default)]
struct Returns {
    is_old: bool,
    /// How many answers in a row agree about that.
    run: usize,
    count: usize,
}

impl Returns {
    fn take(&mut self, is_old: bool) {
        self.count += usize::from(is_old && !self.is_old && self.run > 0);
        self.run = if self.is_old == is_old { self.run + 1 } else { 1 };
        self.is_old = is_old;
        if self.run >= if is_old { WINDOW } else { SETTLED } {
            self.count = 0;
        }
    }

    fn are_several(&self) -> bool {
        self.count > 1
    }
}

/// The TTLs of one address. One change to a smaller one is a change; a larger one after a smaller one is of another machine.
#[derive(Clone, Debug, Default)]
struct LargestTtl {
    newest: Option<i64>,
    /// How many answers in a row had it.
    run: usize,
    /// A larger one that came after a smaller one, and how many answers have come since without it.
    held: Option<(i64, usize)>,
}

impl LargestTtl {
    fn take(&mut self, ttl: Option<i64>) {
        let Some(ttl) = ttl else { return };
        self.run = if self.newest == Some(ttl) { self.run + 1 } else { 1 };
        let is_larger = self.newest.is_some_and(|newest| ttl > newest);
        self.newest = Some(ttl);
        self.held = match self.held {
            Some((held, _)) if held <= ttl && self.run >= SETTLED => None,
            Some((held, _)) if held <= ttl => Some((ttl, 0)),
            Some((held, since)) => Some((held, since + 1)).filter(|(_, since)| *since < WINDOW),
            None if is_larger => Some((ttl, 0)),
            None => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AnswerState::{Mixed, New, Old, Refused};

    fn memory(answers: impl IntoIterator<Item = (AnswerState, i64)>) -> AnswerMemory {
        let mut of = AnswerMemory::default();
        for (state, ttl) in answers {
            of.take(&Answer { ttl: Some(ttl), ..Answer::without_values(state, "") });
        }
        of
    }

    #[test]
    fn one_machine_of_eight_is_remembered_whatever_it_says() {
        let turn = |rest, one| [(rest, 60); 7].into_iter().chain([(one, 60)]);
        let seven = |rest, one| turn(rest, one).chain(turn(rest, one)).chain([(rest, 60); 12]);
        assert_eq!(memory(seven(Old, New)).judged(Old), Mixed);
        assert_eq!(memory(seven(New, Old)).judged(New), Mixed);
        assert_eq!(memory(seven(Old, AnswerState::Negative)).judged(Old), Mixed);
        let refusing = memory(seven(New, Refused));
        assert_eq!((refusing.judged(New), refusing.failing()), (New, Some(Refused)));
        assert_eq!(memory(seven(New, AnswerState::Timeout)).failing(), None, "a lost datagram");
        assert_eq!(memory([(Refused, 0)].into_iter().chain([(New, 60); FAULTLESS])).failing(), None);
    }

    #[test]
    fn there_and_back_is_a_change_each_time() {
        let there_and_back = [(Old, 60); 20].into_iter().chain([(New, 60); 20]).chain([(Old, 60); 6]);
        assert_eq!(memory(there_and_back).judged(Old), Old);
    }

    #[test]
    fn a_larger_ttl_after_a_smaller_one_is_remembered_and_a_lowered_one_is_not() {
        let largest = |ttls: &[i64]| memory(ttls.iter().map(|ttl| (Old, *ttl))).ttl(ttls.last().copied());
        assert_eq!(largest(&[3_600, 3_600, 60]), Some(60), "it was lowered");
        assert_eq!(largest(&[60, 600, 60, 60]), Some(600));
        assert_eq!(largest(&[&[600, 60, 600][..], &[60; 59]].concat()), Some(600));
        assert_eq!(largest(&[&[600, 60, 600][..], &[60; 60]].concat()), Some(60));
        assert_eq!(largest(&[&[60][..], &[600; 20], &[60]].concat()), Some(60), "raised for all, and lowered for all");
        assert_eq!(memory([(Old, 60)]).ttl(None), None, "what is not told is not known");
    }
}
