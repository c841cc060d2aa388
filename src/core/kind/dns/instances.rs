//! Which instance of a server answers (NSID, RFC 5001), and whether another one has taken its place.

use std::collections::{BTreeSet, VecDeque};

/// Answers that are remembered.
const WINDOW: usize = 60;
/// When so many of them came from another instance than the one before, several stand behind the address and take turns.
const TURNS: usize = 3;
/// Where more instances than these take turns, one more is nothing new.
const MANY: usize = 8;

/// The instances that gave the newest answers of one address.
#[derive(Clone, Debug, Default)]
pub(super) struct Instances {
    /// Each by its place among the names.
    newest: VecDeque<usize>,
    names: Vec<String>,
}

impl Instances {
    /// The instance that gave the newest answer of an earlier driver of the run; empty when it was not told.
    pub(super) fn after(instance: &str) -> Self {
        let mut of = Self::default();
        if !instance.is_empty() {
            of.take(instance);
        }
        of
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

    /// Takes in an answer of that instance, empty when it does not tell. Says in words when another one has taken the place
    /// of the one before. Where several take turns, one of them is no other.
    pub(super) fn take(&mut self, instance: &str) -> Option<String> {
        let before = self.newest.back().copied();
        let at = self.names.iter().position(|name| name == instance).unwrap_or_else(|| {
            self.names.push(instance.to_owned());
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
        if is_turn {
            return None;
        }
        Some(match (before.as_str(), instance) {
            ("", now) => format!("instance {now}, which was not told before"),
            (before, "") => format!("its instance is not told any more; it was {before}"),
            (before, now) => format!("instance {now} instead of {before}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(of: &mut Instances, answers: &[&str]) -> usize {
        answers.iter().filter(|instance| of.take(instance).is_some()).count()
    }

    #[test]
    fn another_instance_is_told_and_the_same_is_not() {
        let mut of = Instances::default();
        assert_eq!(changes(&mut of, &["a"; 100]), 0);
        assert_eq!(of.take("b").as_deref(), Some("instance b instead of a"));
        assert_eq!(of.take("b"), None);
        assert_eq!(of.take("").as_deref(), Some("its instance is not told any more; it was b"));
        assert_eq!(changes(&mut Instances::after("a"), &["b"]), 1, "somebody else has seen it");
        assert_eq!(changes(&mut Instances::after(""), &["b"]), 0, "it was not known");
    }

    #[test]
    fn instances_that_take_turns_are_no_others_and_a_new_one_among_them_is() {
        let mut of = Instances::default();
        assert_eq!(changes(&mut of, &["a", "b"].repeat(100)), TURNS);
        assert_eq!(of.take("c").as_deref(), Some("instance c instead of b"));
        let many: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(changes(&mut Instances::default(), &many) <= MANY + TURNS, "a large pool does not keep gates shut");
    }
}
