//! Watches a change of a record to its end: what every resolver says of it, and whether that comes true.

use std::collections::BTreeMap;

use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;

/// What one resolver has said.
#[derive(Debug, Default)]
pub struct Told {
    /// Every ETA since the switch and until it was new: when it was said, and the moment that it named.
    etas: Vec<(At, At)>,
    /// Since when it has been new.
    pub new_since: Option<At>,
    /// Its states, one after the other.
    pub states: Vec<String>,
}

/// What was seen of a change.
#[derive(Debug, Default)]
pub struct Flip {
    pub resolvers: BTreeMap<String, Told>,
}

impl Flip {
    /// Takes in a reading of a `dns` probe, made at that moment.
    pub fn saw(&mut self, at: At, reading: &Value) {
        let resolvers = reading.at("resolvers").unwrap().list().unwrap();
        for resolver in resolvers {
            let name = resolver.at("name").unwrap().text().unwrap();
            let state = resolver.at("state").unwrap().text().unwrap();
            let told = self.resolvers.entry(name.to_owned()).or_default();
            if told.states.last().is_none_or(|last| last != state) {
                told.states.push(state.to_owned());
            }
            let fresh = resolver.at("fresh") == Some(&Value::Bool(true));
            assert_eq!(fresh, state == "new", "{resolver:?}");
            assert!(told.new_since.is_none() || fresh, "{name} was said to be new too early: {resolver:?}");
            if fresh {
                told.new_since = told.new_since.or(Some(at));
            } else if let Some(eta) = resolver.at("eta").unwrap().int() {
                let moment = at.plus(Span::secs(eta.try_into().unwrap()));
                told.etas.push((at, moment));
            }
        }
        let all = resolvers.iter().all(|resolver| resolver.at("fresh") == Some(&Value::Bool(true)));
        let new = reading.at("new").unwrap();
        assert_eq!(all, new != &Value::Null && Some(new) == reading.at("total"), "{reading:?}");
        let old = reading.at("old").unwrap();
        assert!(all || old != &Value::Int(0), "nothing is over while a resolver has not followed: {reading:?}");
        let over = reading.at("eta") == Some(&Value::Int(0)) || reading.at("max_remaining_ttl") == Some(&Value::Int(0));
        assert!(all || !over, "{reading:?}");
    }

    /// Every ETA of that resolver named the moment at which it was seen to be new. Returns how many there were.
    pub fn assert_came_true(&self, name: &str, tolerance: Span) -> usize {
        let told = &self.resolvers[name];
        let moment = told.new_since.unwrap_or_else(|| panic!("{name} never followed: {told:?}"));
        for (at, eta) in &told.etas {
            let off = Span(moment.0.abs_diff(eta.0));
            assert!(off <= tolerance, "{name} was new at {moment:?}; at {at:?} it was to be at {eta:?}: off by {off}");
        }
        told.etas.len()
    }

    /// That resolver did not follow and never said when it would.
    pub fn assert_never(&self, name: &str, state: &str) {
        let told = &self.resolvers[name];
        assert!(told.new_since.is_none() && told.etas.is_empty(), "{name}: {told:?}");
        assert_eq!(told.states.last().map(String::as_str), Some(state), "{name}: {told:?}");
    }
}
