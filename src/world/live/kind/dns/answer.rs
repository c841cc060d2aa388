//! What an answer says about the record of a probe.

use std::collections::BTreeSet;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, NS};
use hickory_proto::rr::{Name, RData, RecordType as Type};
use tokio::time::Instant;

use crate::core::kind::DnsProbe;
use crate::core::kind::dns::answer::{Answer, AnswerState, Sides};
use crate::core::record::{RecordType, RecordValues};
use crate::core::time::Span;
use crate::record_data::wire_type;
use crate::world::live::foreign;
use crate::world::live::net::dns::answer::{Content, content, extended_errors, in_words, instance, is_stale};
use crate::world::live::net::dns::value::{normal, text};
use crate::world::live::net::dns::{DnsQuestion, NoAnswer, Upstream, ask_at, ask_noting, name};

/// Extended errors that are about signatures (RFC 8914 §4).
const OF_SIGNATURES: [u16; 10] = [1, 2, 5, 6, 7, 8, 9, 10, 11, 12];
/// How often a resolver must fail, and answer without validation, until the signatures are taken for the reason. One that fails
/// three times in ten for another reason does that in one of two thousand cases.
const TIMES_BOGUS: usize = 5;

/// The record that is asked for.
#[derive(Debug)]
pub(super) struct AskedRecord {
    /// The zone whose servers are asked.
    zone: Name,
    name: Name,
    wanted: WantedValues,
    aaaa: BesideRecord,
}

/// One type of record, with its values before and after the change.
#[derive(Debug)]
struct WantedValues {
    of: Type,
    sides: Sides,
}

/// The AAAA records beside the record.
#[derive(Debug)]
enum BesideRecord {
    /// They count as one with the A records; whether they stay as they are.
    Counts { values: WantedValues, stays: bool },
    /// There should be none.
    Unexpected(WantedValues),
    /// Nobody asks for them.
    Irrelevant,
}

/// What a server says of the record, and of the AAAA records where they count.
pub(super) struct SeenAnswer {
    pub answer: Answer,
    pub aaaa: Option<Answer>,
}

impl AskedRecord {
    /// The record of a probe in `zone`.
    pub(super) fn new(probe: &DnsProbe, zone: Name) -> Result<Self, String> {
        let values = |of: RecordType, old: &RecordValues, new: &RecordValues| {
            let expected = |values: &RecordValues| values.expected(|value| normal(value, of));
            let sides = Sides { old: expected(old), new: expected(new) };
            WantedValues { of: wire_type(of), sides }
        };
        let aaaa = match &probe.aaaa {
            _ if probe.record_type != RecordType::A => BesideRecord::Irrelevant,
            None => BesideRecord::Unexpected(WantedValues { of: Type::AAAA, sides: Sides::default() }),
            Some(aaaa) => {
                let values = values(RecordType::Aaaa, &aaaa.old, &aaaa.new);
                BesideRecord::Counts { stays: values.sides.stay(), values }
            }
        };
        Ok(Self { zone, name: name(&probe.name)?, wanted: values(probe.record_type, &probe.old, &probe.new), aaaa })
    }

    /// Whether the zone `at` lies below the one whose servers are asked, and holds the name.
    fn is_below(&self, at: &Name) -> bool {
        *at != self.zone && self.zone.zone_of(at) && at.zone_of(&self.name)
    }

    /// Asks a server and judges its answer.
    pub(super) async fn ask(&self, server: &Upstream, role: AskedAs, limit: Duration) -> SeenAnswer {
        let record = self.ask_for(&self.wanted, server, role, limit);
        let BesideRecord::Counts { values, stays } = &self.aaaa else {
            return SeenAnswer { answer: record.await, aaaa: None };
        };
        let (answer, aaaa) = tokio::join!(record, self.ask_for(values, server, role, limit));
        SeenAnswer { answer: answer.beside(&aaaa, *stays), aaaa: Some(aaaa) }
    }

    /// Asks an authoritative server for AAAA records that nobody expects.
    pub(super) async fn ask_unexpected(&self, server: &Upstream, limit: Duration) -> Option<Answer> {
        match &self.aaaa {
            BesideRecord::Unexpected(values) => Some(self.ask_for(values, server, AskedAs::Authority, limit).await),
            BesideRecord::Counts { .. } | BesideRecord::Irrelevant => None,
        }
    }

    async fn ask_for(&self, wanted: &WantedValues, server: &Upstream, role: AskedAs, limit: Duration) -> Answer {
        let asked = Instant::now();
        let question = DnsQuestion::new(&self.name, wanted.of, role == AskedAs::Resolver);
        let (answer, is_of_same_machine) = match ask_noting(server, &question, limit).await {
            Ok(answer) => answer,
            Err(NoAnswer::Unasked(why)) => return Answer::without_values(AnswerState::Unasked, why),
            Err(NoAnswer::Silence(why)) => return Answer::without_values(AnswerState::Timeout, why),
            Err(NoAnswer::Untrusted(why)) => return Answer::without_values(AnswerState::Untrusted, why),
            Err(NoAnswer::Nonsense(why)) => return Answer::without_values(AnswerState::Invalid, why),
        };
        let failed = answer.metadata.response_code == ResponseCode::ServFail;
        let mut judged = self.judge(wanted, &answer, role);
        if failed && role == AskedAs::Resolver {
            let left = || limit.saturating_sub(asked.elapsed());
            if is_bogus(server, &question, &answer, left).await {
                judged.state = AnswerState::Bogus;
            }
        }
        judged.is_of_same_machine = is_of_same_machine;
        judged.took = Span::of(asked.elapsed());
        judged
    }

    fn judge(&self, wanted: &WantedValues, answer: &Message, role: AskedAs) -> Answer {
        let errors = extended_errors(answer);
        let mut note = in_words(&errors);
        let plain = |state, note: String| Answer { instance: instance(answer), ..Answer::without_values(state, note) };
        match answer.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            ResponseCode::ServFail => return plain(AnswerState::ServFail, note),
            ResponseCode::FormErr => return plain(AnswerState::FormErr, note),
            ResponseCode::NotImp => return plain(AnswerState::NotImp, note),
            ResponseCode::Refused => return plain(AnswerState::Refused, note),
            other => return plain(AnswerState::Code(other.into()), note),
        }
        let content = content(answer, &self.name, wanted.of);
        let found = |data: &[RData], ttl: u32| {
            let found: BTreeSet<String> = data.iter().map(text).collect();
            let (state, holds_old) = wanted.sides.judge(&found);
            (state, holds_old, found.into_iter().collect::<Vec<_>>().join(" "), Some(ttl))
        };
        let (state, holds_old, values, ttl) = match content {
            // The servers of a zone know of a name that it delegates only to whom. Nobody else says this in its place.
            Content::Referral { at, servers, ttl } if role == AskedAs::Authority && self.is_below(&at) => {
                let to = servers.iter().map(text).collect::<Vec<_>>().join(" ");
                let (above, at_text) = (bare(&self.zone), bare(&at));
                if wanted.of != Type::NS || at != self.name {
                    let words = format!("{at_text} is delegated to {to}");
                    return Answer { ttl: Some(ttl.into()), ..plain(AnswerState::Delegated, with_note(&words, &note)) };
                }
                let words = format!("{above} says it as the zone above: {at_text} is delegated, and not asked itself");
                note = with_note(&words, &note);
                found(&servers, ttl)
            }
            content if role == AskedAs::Authority && !answer.metadata.authoritative => {
                // A cache may believe it all the same, and keep what is not new.
                let ttl = match content {
                    Content::Records { data, ttl } if found(&data, ttl).0 != AnswerState::New => Some(ttl.into()),
                    _ => None,
                };
                return Answer { ttl, ..plain(AnswerState::Lame, note) };
            }
            Content::Records { data, ttl } => found(&data, ttl),
            Content::Alias { to, ttl } => {
                let to = text(&RData::CNAME(CNAME(to)));
                (AnswerState::Other, false, format!("CNAME {to}"), Some(ttl))
            }
            Content::Nothing { ttl } => {
                let (state, holds_old) = wanted.sides.judge(&BTreeSet::new());
                (state, holds_old, String::new(), ttl)
            }
            Content::Referral { .. } => return plain(AnswerState::Lame, note),
            Content::Nonsense(why) => {
                if !note.is_empty() {
                    note.push_str("; ");
                }
                note.push_str(why);
                return plain(AnswerState::Invalid, note);
            }
        };
        let stale = role == AskedAs::Resolver && state != AnswerState::New && is_stale(&errors);
        Answer {
            state: if stale { AnswerState::Stale } else { state },
            holds_old,
            denies_name: answer.metadata.response_code == ResponseCode::NXDomain && answer.answers.is_empty(),
            values: foreign::brief(&values, 300),
            ttl: ttl.map(i64::from),
            note,
            instance: instance(answer),
            alone: None,
            is_authoritative: answer.metadata.authoritative,
            is_of_same_machine: false,
            took: Span::ZERO,
        }
    }
}

/// A name for people.
fn bare(name: &Name) -> String {
    text(&RData::NS(NS(name.clone())))
}

/// Words before what the server said itself.
fn with_note(words: &str, note: &str) -> String {
    let parts = [words, note].into_iter().filter(|part| !part.is_empty());
    foreign::brief(&parts.collect::<Vec<_>>().join("; "), 300)
}

/// Whether a resolver failed because a signature is not good: it says so, or it fails each time while it answers without
/// validation each time. One answer without validation may only have been luckier. `left` is the time that is left.
async fn is_bogus(server: &Upstream, question: &DnsQuestion, failure: &Message, left: impl Fn() -> Duration) -> bool {
    let fails = async |unchecked| {
        let answer = ask_at(server, &DnsQuestion { unchecked, ..question.clone() }, left()).await;
        answer.ok().map(|answer| answer.metadata.response_code == ResponseCode::ServFail)
    };
    let says_so = extended_errors(failure).iter().any(|(code, _)| OF_SIGNATURES.contains(code));
    for time in 0..if says_so { 1 } else { TIMES_BOGUS } {
        let fails_again = time == 0 || fails(false).await == Some(true);
        if !fails_again || fails(true).await != Some(false) {
            return false;
        }
    }
    true
}

/// The role in which a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AskedAs {
    /// It serves the zone itself.
    Authority,
    /// It asks others and remembers.
    Resolver,
}

#[cfg(test)]
mod tests;
