//! What one name server answers, compared with the old and the new values.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::core::record::ExpectedValues;
use crate::core::time::Span;

/// What one answer says of the record, or why it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnswerState {
    /// Just the new values.
    New,
    /// Just the old values.
    Old,
    /// Old and new values together, or now the one and now the other.
    Mixed,
    /// An answer past its time.
    Stale,
    /// Other values.
    Other,
    /// There is no such name or no such record.
    Negative,
    /// The server failed.
    ServFail,
    /// The server failed because a signature is not good.
    Bogus,
    /// The server refuses the question.
    Refused,
    /// The server takes the question for malformed.
    FormErr,
    /// The server does not do this.
    NotImp,
    /// The server answers with another response code.
    Code(u16),
    /// The server does not answer for the zone, or does not resolve.
    Lame,
    /// The server answers for a zone that delegates the name to others.
    Delegated,
    /// The reply is not a valid answer.
    Invalid,
    /// The certificate of the server is not good, so it was not asked.
    Untrusted,
    /// It was not asked, for want of something on this machine.
    Unasked,
    /// This machine's configuration names no server to ask.
    Unconfigured,
    /// No answer.
    Timeout,
    /// No answer yet, and there is time left.
    Waiting,
}

impl AnswerState {
    /// The word that readings use.
    pub fn word(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::New => "new",
            Self::Old => "old",
            Self::Mixed => "mixed",
            Self::Stale => "stale",
            Self::Other => "other",
            Self::Negative => "negative",
            Self::ServFail => "servfail",
            Self::Bogus => "bogus",
            Self::Refused => "refused",
            Self::FormErr => "formerr",
            Self::NotImp => "notimp",
            Self::Code(code) => return code_word(code),
            Self::Lame => "lame",
            Self::Delegated => "delegated",
            Self::Invalid => "invalid",
            Self::Untrusted => "untrusted",
            Self::Unasked => "unasked",
            Self::Unconfigured => "unconfigured",
            Self::Timeout => "timeout",
            Self::Waiting => "waiting",
        })
    }

    /// Whether it shows the values of the record at this server: old, new or other.
    pub fn tells(self) -> bool {
        matches!(self, Self::New | Self::Old | Self::Mixed | Self::Stale | Self::Other | Self::Negative)
    }
}

/// A response code by its name in the registry of IANA ("DNS RCODEs"), in lower case; `rcode N` when it has none.
pub fn code_word(code: u16) -> Cow<'static, str> {
    Cow::Borrowed(match code {
        0 => "noerror",
        1 => "formerr",
        2 => "servfail",
        3 => "nxdomain",
        4 => "notimp",
        5 => "refused",
        6 => "yxdomain",
        7 => "yxrrset",
        8 => "nxrrset",
        9 => "notauth",
        10 => "notzone",
        11 => "dsotypeni",
        16 => "badvers",
        17 => "badkey",
        18 => "badtime",
        19 => "badmode",
        20 => "badname",
        21 => "badalg",
        22 => "badtrunc",
        23 => "badcookie",
        other => return Cow::Owned(format!("rcode {other}")),
    })
}

/// One answer to one question.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools)] // bits of an answer, each for itself
pub struct Answer {
    /// What it says.
    pub state: AnswerState,
    /// Whether a value in it is an old one and no new one.
    pub holds_old: bool,
    /// Whether it says that there is no such name (NXDOMAIN): then caches take it for the answer to every type.
    pub denies_name: bool,
    /// The values, for display.
    pub values: String,
    /// Seconds for which it may be kept: the largest TTL on the way from the name to the values.
    pub ttl: Option<i64>,
    /// What else the server said, such as an extended error, or why there is no answer.
    pub note: String,
    /// The instance that answered (NSID, RFC 5001); empty when it was not given.
    pub instance: String,
    /// What the A records alone say, where the answer is about A and AAAA as one.
    pub alone: Option<AnswerState>,
    /// Whether the server has it at first hand (the AA bit) and not from a cache.
    pub is_authoritative: bool,
    /// Whether it came over a connection that an earlier one came over: then both are of the same machine, and it says nothing
    /// of others behind the address.
    pub is_of_same_machine: bool,
    /// How long the server took to give it.
    pub took: Span,
}

impl Answer {
    /// An answer that says nothing about the record.
    pub fn without_values(state: AnswerState, note: impl Into<String>) -> Self {
        Self {
            state,
            holds_old: false,
            denies_name: false,
            values: String::new(),
            ttl: None,
            note: note.into(),
            instance: String::new(),
            alone: None,
            is_authoritative: false,
            is_of_same_machine: false,
            took: Span::ZERO,
        }
    }
}

impl Answer {
    /// This answer about AAAA where the server has these A records: that there is no such name is then wrong, and no way to
    /// say that there are no AAAA records.
    #[must_use]
    pub fn where_a_has(mut self, values: &str) -> Self {
        if self.denies_name && !values.is_empty() && self.state.tells() {
            self.state = AnswerState::Negative;
        }
        self
    }

    /// What this answer about A and one about AAAA say as one: new when both are. `stays` is whether the AAAA records are to
    /// be the same after the change.
    #[must_use]
    pub fn beside(self, aaaa: &Answer, stays: bool) -> Self {
        use AnswerState::{Mixed, Negative, New, Old, Other, Stale};
        let aaaa = &aaaa.clone().where_a_has(&self.values);
        let as_it_stays = stays && aaaa.state == New;
        let state = match (self.state, aaaa.state) {
            (state, _) if !state.tells() => state,
            (_, state) if !state.tells() => state,
            (state, _) if as_it_stays => state,
            (Stale, _) | (_, Stale) => Stale,
            (New, New) => New,
            (Old, Old) => Old,
            (Negative, Negative) => Negative,
            (New | Old | Mixed, New | Old | Mixed) => Mixed,
            _ => Other,
        };
        let words = |one: &str, other: &str, between: &str| {
            let parts = [one, other].into_iter().filter(|part| !part.is_empty());
            parts.collect::<Vec<_>>().join(between)
        };
        let note = if aaaa.note.is_empty() { String::new() } else { format!("AAAA: {}", aaaa.note) };
        let ttl = if as_it_stays { self.ttl } else { self.ttl.zip(aaaa.ttl).map(|(a, aaaa)| a.max(aaaa)) };
        Self {
            state,
            holds_old: self.holds_old || aaaa.holds_old && !stays,
            denies_name: self.denies_name || aaaa.denies_name,
            values: words(&self.values, &aaaa.values, " "),
            ttl,
            note: words(&self.note, &note, "; "),
            instance: self.instance,
            alone: Some(self.state),
            is_authoritative: self.is_authoritative && aaaa.is_authoritative,
            is_of_same_machine: self.is_of_same_machine || aaaa.is_of_same_machine,
            took: self.took.max(aaaa.took),
        }
    }
}

/// The old and the new values in the form in which answers are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// Values before the change.
    pub old: ExpectedValues,
    /// Values after the change.
    pub new: ExpectedValues,
}

impl Sides {
    /// What an answer with these values says, and whether it holds an old value.
    pub fn judge(&self, found: &BTreeSet<String>) -> (AnswerState, bool) {
        let holds = |one: &ExpectedValues, other: &ExpectedValues| {
            found.iter().any(|value| one.has(value) && !other.has(value))
        };
        let holds_old = holds(&self.old, &self.new);
        if self.new.fits(found) {
            (AnswerState::New, false)
        } else if self.old.fits(found) {
            (AnswerState::Old, true)
        } else if found.is_empty() {
            (AnswerState::Negative, false)
        } else if holds_old && holds(&self.new, &self.old) {
            (AnswerState::Mixed, true)
        } else {
            (AnswerState::Other, holds_old)
        }
    }

    /// Whether nothing is to change.
    pub fn stay(&self) -> bool {
        self.old == self.new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(state: AnswerState, ttl: i64) -> Answer {
        let holds_old = matches!(state, AnswerState::Old | AnswerState::Mixed);
        Answer { holds_old, ttl: Some(ttl), ..Answer::without_values(state, "") }
    }

    #[test]
    fn answers_for_a_balanced_name_are_judged_one_by_one() {
        use AnswerState::{Mixed, Negative, New, Old, Other};
        let set = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<BTreeSet<_>>();
        let networks = |networks: &[&str]| networks.iter().map(|network| network.parse().unwrap()).collect();
        let sides = Sides {
            old: ExpectedValues::OneOf(set(&["192.0.2.1", "192.0.2.2"])),
            new: ExpectedValues::Within(networks(&["203.0.113.0/24", "198.51.100.16/28"])),
        };
        for (found, state, holds_old) in [
            (&["203.0.113.9"][..], New, false),
            (&["203.0.113.9", "198.51.100.17"], New, false),
            (&["198.51.100.32"], Other, false),
            (&["203.0.113.9", "198.51.100.32"], Other, false),
            (&["192.0.2.2"], Old, true),
            (&["192.0.2.1", "192.0.2.2"], Old, true),
            (&["192.0.2.1", "192.0.2.3"], Other, true),
            (&["192.0.2.1", "203.0.113.9"], Mixed, true),
            (&[], Negative, false),
            (&["no address"], Other, false),
        ] {
            assert_eq!(sides.judge(&set(found)), (state, holds_old), "{found:?}");
        }
    }

    #[test]
    fn a_name_is_new_when_both_of_its_kinds_of_address_are() {
        use AnswerState::{Mixed, Negative, New, Old, Other, Timeout};
        for (a, aaaa, stays, both) in [
            (New, New, false, New),
            (Old, Old, false, Old),
            (New, Old, false, Mixed),
            (Old, New, false, Mixed),
            (Old, New, true, Old),
            (New, New, true, New),
            (New, Other, true, Other),
            (New, Negative, false, Other),
            (New, Timeout, false, Timeout),
            (Timeout, New, true, Timeout),
        ] {
            let seen = answer(a, 60).beside(&answer(aaaa, 300), stays);
            assert_eq!(seen.state, both, "{a:?} beside {aaaa:?}, stays: {stays}");
            assert_eq!(seen.alone, Some(a));
        }
        let left = answer(New, 60).beside(&answer(Old, 300), false);
        assert!(left.holds_old, "customers with IPv6 still find the old place");
        assert_eq!(left.ttl, Some(300));
        let kept = answer(Old, 60).beside(&answer(New, 86_400), true);
        assert_eq!(kept.ttl, Some(60), "what does not change is waited for by nobody");
    }
}
