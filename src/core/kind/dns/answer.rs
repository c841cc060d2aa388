//! What one name server answers, compared with the old and the new values.

use std::collections::BTreeSet;

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
    /// The server does not answer for the zone, or does not resolve.
    Lame,
    /// The reply is not a valid answer.
    Invalid,
    /// This machine's configuration names no server to ask.
    Unconfigured,
    /// No answer.
    Timeout,
    /// No answer yet, and there is time left.
    Waiting,
}

impl AnswerState {
    /// The word that readings use.
    pub fn as_str(self) -> &'static str {
        match self {
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
            Self::Lame => "lame",
            Self::Invalid => "invalid",
            Self::Unconfigured => "unconfigured",
            Self::Timeout => "timeout",
            Self::Waiting => "waiting",
        }
    }

    /// Whether it shows the values of the record at this server: old, new or other.
    pub fn tells(self) -> bool {
        matches!(self, Self::New | Self::Old | Self::Mixed | Self::Stale | Self::Other | Self::Negative)
    }
}

/// One answer to one question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What it says.
    pub state: AnswerState,
    /// Whether a value in it is an old one and no new one.
    pub holds_old: bool,
    /// The values, for display.
    pub values: String,
    /// Seconds for which it may be kept: the largest TTL on the way from the name to the values.
    pub ttl: Option<i64>,
    /// What else the server said, such as an extended error, or why there is no answer.
    pub note: String,
    /// The instance that answered (NSID, RFC 5001); empty when it was not given.
    pub instance: String,
    /// Whether the server has it at first hand (the AA bit) and not from a cache.
    pub is_authoritative: bool,
}

impl Answer {
    /// An answer that says nothing about the record.
    pub fn without_values(state: AnswerState, note: impl Into<String>) -> Self {
        Self {
            state,
            holds_old: false,
            values: String::new(),
            ttl: None,
            note: note.into(),
            instance: String::new(),
            is_authoritative: false,
        }
    }
}

/// The old and the new values in the form in which answers are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// Values before the change.
    pub old: BTreeSet<String>,
    /// Values after the change.
    pub new: BTreeSet<String>,
}

impl Sides {
    /// What an answer with these values says, and whether it holds an old value.
    pub fn judge(&self, found: &BTreeSet<String>) -> (AnswerState, bool) {
        let holds_old = found.iter().any(|value| self.old.contains(value) && !self.new.contains(value));
        if *found == self.new {
            (AnswerState::New, false)
        } else if *found == self.old {
            (AnswerState::Old, true)
        } else if found.is_empty() {
            (AnswerState::Negative, false)
        } else if holds_old && found.iter().any(|value| self.new.contains(value) && !self.old.contains(value)) {
            (AnswerState::Mixed, true)
        } else {
            (AnswerState::Other, holds_old)
        }
    }
}
