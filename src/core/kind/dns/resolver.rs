//! What the answers of one resolver show about the caches behind its address.
//!
//! Behind one address there may be many caches, and each question reaches one of them, so one new answer proves little.
//! An old answer therefore counts until its TTL has run out. Where one comes after a new answer and after that time, there is a
//! cache that does not keep to its TTL, or one that was not met before: then it counts until enough answers in a row were new.

use std::collections::VecDeque;

use crate::core::time::{At, Span};

use super::answer::{Answer, AnswerState};
use super::steadiness::{Steadiness, WINDOW};

/// The rule of three: what did not occur in `n` tries has, with 95 % confidence, a probability of at most `3 / n`
/// (Hanley and Lippman-Hand, 1983).
const RULE_OF_THREE: f64 = 3.0;
/// How many of the newest answers must say the same before an older one no longer makes the state `mixed`.
const RECENT: usize = 6;
/// How many times in a row the same TTL must be seen until it is taken for one that does not count down.
const SAME: usize = 4;
/// The time that those answers must lie apart at the least: within a second, an honest TTL stays the same.
const APART: Span = Span::secs(3);
/// How long after its TTL an old answer may still be seen: TTLs are whole seconds, and the next question takes its
/// time.
const SLACK: Span = Span::secs(2);
/// After the switch, so many answers show the caches behind an address. What they promise until then may be exceeded by
/// none of them.
const FIRST_LOOKS: usize = 20;

/// So many times as many answers in a row as there were for each that was not new show that there is none any more: all of
/// them would miss it with a probability of e to the power of minus this number.
const ENOUGH: u64 = 5;

/// One answer.
#[derive(Clone, Copy, Debug)]
struct Sample {
    is_new: bool,
    holds_old: bool,
    /// Until when the cache that answered keeps it.
    until: Option<At>,
}

/// A TTL that was seen again and again before it had run out.
#[derive(Clone, Copy, Debug)]
struct Still {
    ttl: i64,
    first: At,
    last: At,
    times: usize,
}

/// What was promised after every authoritative server was new: from then on no cache can take in anything else.
#[derive(Clone, Copy, Debug)]
struct Promise {
    /// How many answers it rests on.
    answers: usize,
    /// When the last of them was to be new.
    until: At,
}

/// The pace of the answers. Several are to questions of the same moment.
#[derive(Clone, Copy, Debug)]
struct Pace {
    asked: At,
    answers: u64,
    /// How long before it was asked, and how many answers came then; `None` at first.
    before: Option<(Span, u64)>,
}

/// Until when something that is not new is kept, going by the newest answers. Only those are remembered that no later answer
/// outlasts, so that the longest is at hand at each answer.
#[derive(Clone, Debug, Default)]
struct Others {
    /// Each with the number of its answer, the longest first.
    kept: VecDeque<(u64, At)>,
}

impl Others {
    fn take(&mut self, number: u64, until: At) {
        while self.kept.back().is_some_and(|(_, shorter)| *shorter <= until) {
            self.kept.pop_back();
        }
        self.kept.push_back((number, until));
    }

    /// Leaves out those of the answers before that one which were kept until a moment before `than`.
    fn forget_before(&mut self, number: u64, than: At) {
        while self.kept.front().is_some_and(|(of, until)| *of < number && *until < than) {
            self.kept.pop_front();
        }
    }

    fn longest(&self) -> Option<At> {
        self.kept.front().map(|(_, until)| *until)
    }
}

/// The caches behind one address.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    /// The newest answers, the last one last.
    newest: VecDeque<Sample>,
    /// How many answers there have been.
    answers: u64,
    others: Others,
    /// The same of those that hold an old value.
    olds: Others,
    /// Since the first new answer: how many answers came, and how many of them were not new.
    changing: (u64, u64),
    still: Option<Still>,
    /// When an answer that is not new was last seen.
    met: Option<At>,
    promise: Option<Promise>,
    pace: Option<Pace>,
    steadiness: Steadiness,
    /// Whether its TTLs cannot be relied on: an answer was served beyond its TTL, or was marked stale.
    is_stale: bool,
}

impl Cache {
    /// Takes in an answer to a question of `asked`. `switched` is since when every authoritative server has been new.
    pub(super) fn sample(&mut self, asked: At, answer: &Answer, switched: Option<At>) {
        let promised = self.other_until();
        let until = answer.ttl.map(|ttl| asked.plus(seconds(ttl)));
        if self.newest.len() >= WINDOW {
            self.newest.pop_front();
        }
        let is_new = answer.state == AnswerState::New;
        self.answers += 1;
        let first = self.answers.saturating_sub(WINDOW as u64 - 1);
        self.others.forget_before(first, asked);
        self.olds.forget_before(first, asked);
        if let Some(until) = until.filter(|_| !is_new) {
            self.others.take(self.answers, until);
            if answer.holds_old {
                self.olds.take(self.answers, until);
            }
        }
        let (all, other) = self.changing;
        if is_new || all > 0 {
            self.changing = (all + 1, other + u64::from(!is_new));
        }
        self.newest.push_back(Sample { is_new, holds_old: answer.holds_old, until });
        let is_expected = promised.is_some_and(|promised| asked <= promised.plus(SLACK));
        self.steadiness.take(is_new, answer.is_of_same_machine, is_expected);
        if !answer.is_of_same_machine {
            self.count(asked);
        }
        if self.is_outweighed() {
            self.others.forget_before(first, At(i64::MAX));
            self.olds.forget_before(first, At(i64::MAX));
            self.changing = (0, 0);
        }
        if is_new {
            if !self.holds_other(asked) && !self.steadiness.is_barred() {
                (self.still, self.met, self.promise, self.is_stale) = (None, None, None, false);
            }
            return;
        }
        // Until the switch, old values are fetched again and again. Only a TTL given after it can be exceeded.
        let since_switch = switched.is_some_and(|since| self.met.is_some_and(|met| met >= since));
        let broken = since_switch
            && promised.is_some_and(|promised| asked >= promised && until.unwrap_or(asked) > promised.plus(SLACK));
        let broken = self.breaks_promise(asked, switched) || broken;
        self.is_stale |= broken || answer.state == AnswerState::Stale;
        self.met = Some(asked);
        // An authoritative server answers with the full TTL each time.
        self.still = answer.ttl.filter(|ttl| *ttl > 0 && !answer.is_authoritative).map(|ttl| match self.still {
            Some(still) if still.ttl == ttl && asked.since(still.last) < seconds(ttl) => {
                Still { last: asked, times: still.times + 1, ..still }
            }
            _ => Still { ttl, first: asked, last: asked, times: 1 },
        });
    }

    /// The state of the resolver whose newest answer is `newest`.
    pub(super) fn judged(&self, now: At, newest: AnswerState) -> AnswerState {
        let recent = |is_new| self.newest.iter().rev().take(RECENT).any(|sample| sample.is_new == is_new);
        match newest {
            AnswerState::New if self.holds_other(now) || self.steadiness.is_barred() => AnswerState::Mixed,
            AnswerState::Old | AnswerState::Mixed if self.is_stale || self.stands_still() => AnswerState::Stale,
            AnswerState::Old if recent(true) => AnswerState::Mixed,
            newest => newest,
        }
    }

    fn count(&mut self, asked: At) {
        self.pace = Some(match self.pace {
            Some(pace) if pace.asked >= asked => Pace { answers: pace.answers + 1, ..pace },
            Some(pace) => {
                let took = asked.since(pace.asked);
                Pace { asked, answers: 1, before: Some((took, pace.answers)) }
            }
            None => Pace { asked, answers: 1, before: None },
        });
    }

    /// Whether an answer that is not new comes after the time by which, as was promised since the switch, there would be
    /// none.
    fn breaks_promise(&mut self, asked: At, switched: Option<At>) -> bool {
        if switched.is_none_or(|since| asked <= since) {
            self.promise = None;
            return false;
        }
        let kept = self.other_until().unwrap_or(asked);
        let Promise { answers, until } = self.promise.unwrap_or(Promise { answers: 0, until: kept });
        let until = if answers < FIRST_LOOKS { until.max(kept) } else { until };
        self.promise = Some(Promise { answers: answers + 1, until });
        asked > until.plus(SLACK)
    }

    /// Whether what it says of the time that is left means anything.
    pub(super) fn counts_down(&self) -> bool {
        !self.is_stale && !self.stands_still()
    }

    /// Bars new answers from counting until enough of them have come in a row.
    pub(super) fn bar(&mut self) {
        self.steadiness.bar();
    }

    /// Whether the TTL has stayed the same for longer than one that counts down could.
    fn stands_still(&self) -> bool {
        self.still.is_some_and(|still| still.times >= SAME && still.last.since(still.first) >= APART)
    }

    /// A short form of all this, to see whether it has changed.
    pub(super) fn state(&self) -> (bool, bool, bool, bool) {
        (self.met.is_some(), self.is_stale, self.stands_still(), self.steadiness.is_barred())
    }

    /// Whether so many answers in a row were new that what was not is gone before its time, as from a cache that was emptied:
    /// had it still been as frequent as before, one would have been met again with a probability of more than 99 %.
    fn is_outweighed(&self) -> bool {
        let (all, other) = self.changing;
        let in_a_row = self.steadiness.all_new_in_a_row() as u64;
        let before = all.saturating_sub(in_a_row);
        in_a_row >= WINDOW as u64 && in_a_row.saturating_mul(other) >= before.saturating_mul(ENOUGH)
    }

    /// Whether one of its caches holds something that is not new.
    fn holds_other(&self, now: At) -> bool {
        self.other_until().is_some_and(|until| until >= now)
    }

    /// Whether one of its caches holds an old value.
    pub(super) fn holds_old(&self, now: At) -> bool {
        let newest = self.newest.back().is_some_and(|sample| sample.holds_old);
        newest || self.olds.longest().is_some_and(|until| until >= now)
    }

    /// When it is expected to count as new; `None` when that cannot be said.
    pub(super) fn new_from(&self) -> Option<At> {
        let gone = self.other_until();
        if !self.steadiness.is_barred() {
            return gone;
        }
        let pace = self.pace?;
        let (took, answers) = pace.before?;
        let wanted = u64::try_from(WINDOW.saturating_sub(self.steadiness.new_in_a_row())).ok()?;
        let row = |wanted: u64| Span(took.0.saturating_mul(wanted) / answers.max(1));
        let enough = pace.asked.plus(row(wanted));
        let expired = gone.filter(|gone| *gone > pace.asked).map(|gone| gone.plus(row(WINDOW as u64)));
        Some(expired.map_or(enough, |expired| expired.max(enough)))
    }

    /// Until when it keeps something that is not new.
    fn other_until(&self) -> Option<At> {
        self.others.longest()
    }

    /// Until when it keeps what it holds, whatever that is; `None` when the newest answer does not say.
    pub(super) fn kept_until(&self) -> Option<At> {
        self.newest.back()?.until?;
        self.newest.iter().filter_map(|sample| sample.until).max()
    }

    /// How many answers there are to judge by.
    pub(super) fn samples(&self) -> u64 {
        self.newest.len() as u64
    }

    /// The share of its newest answers that were new.
    #[allow(clippy::cast_precision_loss)] // a few answers
    pub(super) fn share(&self) -> Option<f64> {
        let new = self.newest.iter().filter(|sample| sample.is_new).count();
        (!self.newest.is_empty()).then(|| new as f64 / self.newest.len() as f64)
    }

    /// The largest share of its caches that may still hold something else, going by the answers since the last one that
    /// was not new. `None` when that is the newest.
    #[allow(clippy::cast_precision_loss)] // a few answers
    pub(super) fn bound(&self) -> Option<f64> {
        let clean = self.steadiness.new_in_a_row();
        (clean > 0).then(|| (RULE_OF_THREE / clean as f64).min(1.0))
    }
}

/// A TTL as a length of time.
pub(super) fn seconds(ttl: i64) -> Span {
    Span::secs(u64::try_from(ttl).unwrap_or(0))
}
