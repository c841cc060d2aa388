//! What a measurement of a name sees.

use crate::core::kind::DnsProbe;
use crate::core::kind::dns::answer::{Answer, AnswerState, Sides};
use crate::core::kind::dns::delegation::Delegation;
use crate::core::kind::dns::propagation::{Propagation, WINDOW};
use crate::core::record::{RecordType, WatchedRecord};
use crate::core::time::{At, Span};
use crate::core::value::Value;

use super::super::dice::Dice;
use super::{Cached, NEGATIVE_TTL, Names, Set, key};

/// Judges answers by the old and the new values. Servers and caches give the same few sets of values again and again, so each set
/// is judged once.
struct Judge<'v> {
    record_type: RecordType,
    sides: Sides,
    known: Vec<(&'v [String], Answer)>,
}

impl<'v> Judge<'v> {
    fn new(record_type: RecordType, sides: Sides) -> Self {
        Self { record_type, sides, known: Vec::new() }
    }

    /// The answer that has these values.
    fn answer(&mut self, values: &'v [String], ttl: Option<i64>) -> Answer {
        let is_same = |known: &[String]| std::ptr::eq(known, values) || known == values;
        if let Some((_, answer)) = self.known.iter().find(|(known, _)| is_same(known)) {
            return Answer { ttl, ..answer.clone() };
        }
        let (state, holds_old) = self.sides.judge(&values.iter().map(|value| self.record_type.plain(value)).collect());
        let answer = Answer { holds_old, values: values.join(" "), ..Answer::without_values(state, "") };
        self.known.push((values, answer.clone()));
        Answer { ttl, ..answer }
    }

    /// The answer of an authoritative server that serves this.
    fn served(&mut self, set: Option<&'v Set>, dice: &mut Dice) -> Answer {
        let values = set.map_or(&[][..], |set| set.drawn(dice));
        Answer { is_authoritative: true, ..self.answer(values, Some(set.map_or(NEGATIVE_TTL, |set| set.ttl).into())) }
    }

    /// The answer of a resolver: out of that entry, with that TTL and that note.
    fn told(&mut self, (cached, ttl, note): (&'v Cached, i64, &str)) -> Answer {
        let answer = self.answer(&cached.values, Some(ttl));
        if note.is_empty() || answer.state == AnswerState::New {
            return answer;
        }
        Answer { state: AnswerState::Stale, note: note.to_owned(), ..answer }
    }
}

impl Names {
    /// What a measurement sees: as in a live run, several answers of each server,
    /// which `known` combines with earlier ones. `times` measurements have been made since the last.
    pub(in crate::world::sim) fn reading(
        &self,
        now: At,
        record: WatchedRecord<'_>,
        look: (&DnsProbe, Span, usize),
        known: &mut Option<Box<Propagation>>,
        dice: &mut Dice,
    ) -> Value {
        let key = key(record.target, record.name, record.record_type);
        let Some(zone) = self.zones.get(record.target) else { return Value::Null };
        let (probe, stands, times) = look;
        let known = known.get_or_insert_with(|| {
            let servers = zone.servers.iter().map(|(server, _)| server);
            let resolvers = zone.resolvers.iter().map(|resolver| &resolver.name);
            Box::new(Propagation::new(now, stands, servers, resolvers, probe.old_ttl).with_share(record.new.share()))
        });
        let aaaa_key = super::key(record.target, record.name, RecordType::Aaaa);
        let plain = |value: &str| record.record_type.plain(value);
        let aaaa_sides = record
            .aaaa
            .map_or_else(Sides::default, |(old, new)| Sides { old: old.expected(plain), new: new.expected(plain) });
        let stays = aaaa_sides.stay();
        let sides = Sides { old: record.old.expected(plain), new: record.new.expected(plain) };
        let mut judge = Judge::new(record.record_type, sides);
        let mut aaaa_judge = Judge::new(RecordType::Aaaa, aaaa_sides);
        let each = usize::from(probe.samples.max(1));
        // Of what one moment shows, more answers than are remembered would change nothing.
        let samples = times.saturating_mul(each).min(WINDOW.max(each));
        for (at, (_, records)) in zone.servers.iter().enumerate() {
            let (set, aaaa_set) = (records.get(&key), records.get(&aaaa_key));
            for _ in 0..samples {
                let mut seen = judge.served(set, dice);
                if record.record_type == RecordType::A {
                    let aaaa = aaaa_judge.served(aaaa_set, dice);
                    if record.aaaa.is_some() {
                        seen = seen.beside(&aaaa, stays);
                    }
                    known.aaaa_said(at, now, aaaa);
                }
                known.authority_said(at, now, seen);
            }
            if let Some(set) = set {
                known.serial_is(at, set.serial);
            }
        }
        if zone.looks {
            known.delegation_is(now, Delegation::of_listed(zone.servers.iter().map(|(server, _)| server)));
        }
        for (at, resolver) in zone.resolvers.iter().enumerate() {
            let (entries, aaaa_entries) = (resolver.entries(&key), resolver.entries(&aaaa_key));
            let instance = resolver.instance();
            for _ in 0..samples {
                let answer = resolver.answer(now, &entries, dice);
                let Some(mut seen) = answer.map(|answer| judge.told(answer)) else { continue };
                if record.aaaa.is_some() {
                    let answer = resolver.answer(now, &aaaa_entries, dice);
                    let Some(aaaa) = answer.map(|answer| aaaa_judge.told(answer)) else { continue };
                    seen = seen.beside(&aaaa, stays);
                }
                known.resolver_said(at, now, Answer { instance: instance.clone(), ..seen });
            }
        }
        known.reading(now)
    }
}
