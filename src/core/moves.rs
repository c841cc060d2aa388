//! Whether somebody else answers under a name than before: then what was seen before was seen of somebody else.

use std::collections::{BTreeSet, VecDeque};

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

/// Answers that are remembered.
const WINDOW: usize = 60;
/// When so many of them came from another than the one before, several stand there and take turns.
const TURNS: usize = 3;
/// Where more than these take turns, one more is nothing new.
const MANY: usize = 8;

/// Watches whether somebody else has taken the place of whoever answered before. Where several take turns, one of them is nobody
/// else.
#[derive(Clone, Debug, Default)]
pub struct TurnWatch {
    /// Each by its place among the names.
    newest: VecDeque<usize>,
    names: Vec<String>,
}

impl TurnWatch {
    /// Takes in who has answered. Gives the one before when another has taken its place.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let before = self.newest.back().copied();
        let at = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        if self.newest.len() >= WINDOW {
            self.newest.pop_front();
        }
        self.newest.push_back(at);
        let before = before.filter(|before| *before != at)?;
        let earlier = || self.newest.iter().rev().skip(1);
        let turns = earlier().zip(earlier().skip(1)).filter(|(one, next)| one != next).count();
        let known: BTreeSet<&usize> = earlier().collect();
        let is_turn = turns >= TURNS && (known.contains(&at) || known.len() > MANY);
        let before = self.names.get(before).cloned().unwrap_or_default();
        if self.names.len() > 2 * WINDOW {
            self.forget_names();
        }
        (!is_turn).then_some(before)
    }

    /// Who answered last.
    fn newest(&self) -> Option<&str> {
        self.newest.back().and_then(|at| self.names.get(*at)).map(String::as_str)
    }

    /// Forgets the names of those that gave none of the newest answers.
    fn forget_names(&mut self) {
        let mut names: Vec<String> = Vec::new();
        for at in &mut self.newest {
            let name = self.names.get(*at).cloned().unwrap_or_default();
            *at = names.iter().position(|known| *known == name).unwrap_or(names.len());
            if *at == names.len() {
                names.push(name);
            }
        }
        self.names = names;
    }
}

/// Watches which address answers under one name. A name that stands for several addresses has not moved when another of them
/// answers, whether it gives them together or in turn, as those of load balancers do.
#[derive(Clone, Debug, Default)]
pub struct AddressWatch {
    address: Option<String>,
    /// Whose turn it is, by one address of each set that the name stood for.
    places: TurnWatch,
    /// The addresses that the name stood for.
    candidates: Vec<String>,
    moves: Moves,
}

impl AddressWatch {
    /// Takes note of the address that answered, and of all that the name stood for then; none when it was not looked up.
    pub fn take(&mut self, address: &str, candidates: &[String]) {
        let is_known = self.candidates.iter().any(|known| known == address);
        let place = self.places.newest().filter(|_| is_known).unwrap_or(address).to_owned();
        if self.places.take(&place).is_some() {
            let before = self.address.as_deref().unwrap_or_default();
            self.moves = Moves { count: self.moves.count + 1, newest: format!("{before} → {address}") };
        }
        self.address = Some(address.to_owned());
        if !candidates.is_empty() {
            self.candidates = candidates.to_vec();
        } else if !is_known {
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

    #[test]
    fn a_name_that_gives_one_address_of_many_in_turn_does_not_move_for_ever() {
        let mut watch = AddressWatch::default();
        for number in 0..600 {
            let address = format!("192.0.2.{}", number % 6);
            watch.take(&address, std::slice::from_ref(&address));
        }
        assert_eq!(watch.moves().count, 5, "until each of them was met");
        watch.take("198.51.100.1", &["198.51.100.1".to_owned()]);
        assert_eq!(watch.moves().count, 6, "one that is none of them");
    }

    fn changes(of: &mut TurnWatch, answers: &[&str]) -> usize {
        answers.iter().filter(|name| of.take(name).is_some()).count()
    }

    #[test]
    fn those_that_take_turns_are_no_others_and_a_new_one_among_them_is() {
        let mut of = TurnWatch::default();
        assert_eq!(changes(&mut of, &["a"; 100]), 0);
        assert_eq!(changes(&mut of, &["b", "a"].repeat(100)), TURNS);
        assert_eq!(of.take("c").as_deref(), Some("a"));
        let many: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(changes(&mut TurnWatch::default(), &many) <= MANY + TURNS, "a large pool does not keep gates shut");
    }
}
