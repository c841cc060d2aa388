//! Whether somebody else answers under a name than before: then what was seen before was seen of somebody else.

use serde::{Deserialize, Serialize};

use super::value::Value;

/// How often somebody else has answered a probe than before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moves {
    /// How often, since the run began to be watched. It only grows, so that nothing is missed where a reading is.
    pub count: u64,
    /// What was last seen of it, in words.
    pub newest: String,
}

impl Moves {
    /// Whether there was none.
    pub fn is_none(&self) -> bool {
        self.count == 0
    }

    /// The number in the field `count` of a record, with the words in its field `moved`.
    pub fn of(record: &Value, count: &str) -> Option<Self> {
        let count = u64::try_from(record.at(count)?.int()?).ok()?;
        Some(Self { count, newest: record.at("moved").and_then(Value::text).unwrap_or_default().to_owned() })
    }
}

/// Watches which address answers under one name. A name that stands for several addresses has not moved when another of them
/// answers.
#[derive(Clone, Debug, Default)]
pub struct AddressWatch {
    address: Option<String>,
    /// The addresses that the name stood for.
    candidates: Vec<String>,
    moves: Moves,
}

impl AddressWatch {
    /// Takes note of the address that answered, and of all that the name stood for then; none when it was not looked up.
    pub fn take(&mut self, address: &str, candidates: &[String]) {
        if let Some(before) = self.address.as_ref().filter(|before| *before != address)
            && !self.candidates.iter().any(|known| known == address)
        {
            self.moves = Moves { count: self.moves.count + 1, newest: format!("{before} → {address}") };
        }
        self.address = Some(address.to_owned());
        if !candidates.is_empty() {
            self.candidates = candidates.to_vec();
        } else if !self.candidates.iter().any(|known| known == address) {
            self.candidates = vec![address.to_owned()];
        }
    }

    /// The address that answered last.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// The moves so far.
    pub fn moves(&self) -> &Moves {
        &self.moves
    }

    /// Counts on from what an earlier cockpit of the same run has counted.
    pub fn take_up(&mut self, moves: Moves) {
        self.moves = moves;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_address_of_the_same_name_is_no_move_and_a_new_one_is() {
        let mut watch = AddressWatch::default();
        let both = ["192.0.2.1".to_owned(), "192.0.2.2".to_owned()];
        for address in &both {
            watch.take(address, &both);
        }
        assert!(watch.moves().is_none());
        watch.take("192.0.2.3", &["192.0.2.3".to_owned()]);
        watch.take("192.0.2.3", &[]);
        assert_eq!(*watch.moves(), Moves { count: 1, newest: "192.0.2.2 → 192.0.2.3".to_owned() });
        watch.take("192.0.2.1", &both);
        assert_eq!(watch.moves().count, 2, "and back");
    }
}
