//! What an answer says about the record of a probe.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType as Type};

use crate::core::kind::DnsProbe;
use crate::core::kind::dns::answer::{Answer, AnswerState, Sides};
use crate::record_data::wire_type;
use crate::world::live::foreign;
use crate::world::live::net::dns::answer::{Content, content, extended_errors, in_words, instance, is_stale};
use crate::world::live::net::dns::value::{expected, text};
use crate::world::live::net::dns::{DnsQuestion, NoAnswer, ask, name};

/// The record that is asked for.
#[derive(Debug)]
pub(super) struct AskedRecord {
    pub name: Name,
    pub of: Type,
    sides: Sides,
}

impl AskedRecord {
    pub(super) fn new(probe: &DnsProbe) -> Result<Self, String> {
        let side = |values: &[String]| expected(values, probe.record_type);
        let sides = Sides { old: side(&probe.old), new: side(&probe.new) };
        Ok(Self { name: name(&probe.name)?, of: wire_type(probe.record_type), sides })
    }

    /// Asks a server and judges its answer.
    pub(super) async fn ask(&self, server: SocketAddr, role: AskedAs, limit: Duration) -> Answer {
        let question = DnsQuestion::new(&self.name, self.of, role == AskedAs::Resolver);
        let answer = match ask(server, &question, limit).await {
            Ok(answer) => answer,
            Err(NoAnswer::Silence(why)) => return Answer::without_values(AnswerState::Timeout, why),
            Err(NoAnswer::Nonsense(why)) => return Answer::without_values(AnswerState::Invalid, why),
        };
        let failed = answer.metadata.response_code == ResponseCode::ServFail;
        let mut judged = self.judge(&answer, role);
        if failed && role == AskedAs::Resolver {
            // Asking again without validation tells a bad signature from a broken server.
            let unchecked = DnsQuestion { unchecked: true, ..question };
            let again = ask(server, &unchecked, limit).await;
            if again.is_ok_and(|again| again.metadata.response_code != ResponseCode::ServFail) {
                judged.state = AnswerState::Bogus;
            }
        }
        judged
    }

    fn judge(&self, answer: &Message, role: AskedAs) -> Answer {
        let errors = extended_errors(answer);
        let mut note = in_words(&errors);
        let plain = |state, note: String| Answer { instance: instance(answer), ..Answer::without_values(state, note) };
        match answer.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            ResponseCode::ServFail => return plain(AnswerState::ServFail, note),
            ResponseCode::FormErr => return plain(AnswerState::FormErr, note),
            ResponseCode::NotImp => return plain(AnswerState::NotImp, note),
            ResponseCode::Refused => return plain(AnswerState::Refused, note),
            other => {
                let words = foreign::brief(&format!("{other} {note}"), 200);
                return plain(AnswerState::Refused, words);
            }
        }
        if role == AskedAs::Authority && !answer.metadata.authoritative {
            return plain(AnswerState::Lame, note);
        }
        let (state, holds_old, values, ttl) = match content(answer, &self.name, self.of) {
            Content::Records { data, ttl } => {
                let found: BTreeSet<String> = data.iter().map(text).collect();
                let (state, holds_old) = self.sides.judge(&found);
                (state, holds_old, found.into_iter().collect::<Vec<_>>().join(" "), Some(ttl))
            }
            Content::Alias { to, ttl } => {
                let to = text(&RData::CNAME(hickory_proto::rr::rdata::CNAME(to)));
                (AnswerState::Other, false, format!("CNAME {to}"), Some(ttl))
            }
            Content::Nothing { ttl } => {
                let (state, holds_old) = self.sides.judge(&BTreeSet::new());
                (state, holds_old, String::new(), ttl)
            }
            Content::Referral => return plain(AnswerState::Lame, note),
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
            values: foreign::brief(&values, 300),
            ttl: ttl.map(i64::from),
            note,
            instance: instance(answer),
            is_authoritative: answer.metadata.authoritative,
        }
    }
}

/// The role in which a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AskedAs {
    /// It serves the zone itself.
    Authority,
    /// It asks others and remembers.
    Resolver,
}
