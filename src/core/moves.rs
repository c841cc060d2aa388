//! Whether somebody else answers under a name than before: then what was seen before was seen of somebody else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::time::{At, Span};
use super::value::Value;

/// How often somebody else has answered a probe than before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moves {
    /// How often, since the run began to be watched. It only grows, so that nothing is missed where a reading is.
    pub count: u64,
    /// What was last seen of it, in words.
    pub newest: String,
    /// How often another address has answered than before, those of one name included, also where several take turns: numbers of one
    /// say nothing about those of another.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub addresses: u64,
    /// The address that answered last, where there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Moves {
    /// Whether there was none, and nothing is known of an address.
    pub fn is_none(&self) -> bool {
        self.count == 0 && self.address.is_empty()
    }

    /// The number in the field `count` of a record, with the words in its field `moved` and the address in `address`.
    pub fn of(record: &Value, count: &str) -> Option<Self> {
        let count = u64::try_from(record.at(count)?.int()?).ok()?;
        let text = |field: &str| record.at(field).and_then(Value::text).unwrap_or_default().to_owned();
        Some(Self { count, newest: text("moved"), addresses: 0, address: text("address") })
    }
}

/// Changes are remembered for so long: a name that changes with its TTL, as those of load balancers do, has changed
/// often enough by then to be known for it.
const REMEMBERED: Span = Span::secs(600);
/// No more changes are remembered.
const LONGEST: usize = 400;
/// When so many changes are remembered, several stand there and take turns.
const TURNS: usize = 3;
/// Where more than these take turns, one that is new may be one that was not met yet.
const MANY: usize = 8;
/// So unlikely must it be that so many new ones in a row are of the same pool.
const CHANCE: f64 = 0.001;
/// A pool that shows new ones more rarely than this is known: the next new one is none of it.
const KNOWN: f64 = 0.02;
/// Who stays for so many times the longest turn has not come for a turn.
const STAYS: u64 = 3;
/// Turns are over when one has stayed for so long, and for so many times the longest turn.
const OVER: (Span, u64) = (Span::secs(60), 10);

/// Watches whether somebody else has taken the place of whoever answered before. Where several take turns, one of them is nobody
/// else; a new one is, unless the pool is so large that new ones keep coming: then when more of them come than are to be expected,
/// or when one stays.
#[derive(Clone, Debug, Default)]
pub struct TurnWatch {
    /// Who answered since when, each by its place among the names; the last answers now.
    changes: VecDeque<(At, usize)>,
    names: Vec<String>,
    /// How many that were not met before have come one after the other, without that it was told.
    unmet: usize,
}

impl TurnWatch {
    /// Takes in who has answered at that moment; moments of one watch are of one clock. Gives the one before when another
    /// has taken its place.
    pub fn take(&mut self, name: &str, at: At) -> Option<String> {
        let before = self.changes.back().map(|(_, place)| *place);
        let place = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        if before == Some(place) {
            return self.stays(at).and_then(|before| self.names.get(before).cloned());
        }
        // Whoever stood there until then is remembered, too.
        let ended = |of: &VecDeque<(At, usize)>| of.get(1).is_some_and(|(ended, _)| *ended < at.before(REMEMBERED));
        while ended(&self.changes) || self.changes.len() > LONGEST {
            self.changes.pop_front();
        }
        if self.turns_are_over(at) {
            self.changes.drain(..self.changes.len() - 1);
        }
        let known: BTreeSet<usize> = self.changes.iter().map(|(_, place)| *place).collect();
        self.unmet = if known.contains(&place) { 0 } else { self.unmet + 1 };
        let is_turn = self.changes.len() > TURNS
            && (known.contains(&place) || known.len() > MANY && self.unmet < self.unmet_by_chance());
        self.unmet = if is_turn { self.unmet } else { 0 };
        self.changes.push_back((at, place));
        let before = self.names.get(before?).cloned().unwrap_or_default();
        if self.names.len() > 2 * LONGEST {
            self.forget_names();
        }
        (!is_turn).then_some(before)
    }

    /// Whoever was there before the newest, when that one is none that was met before and has stayed for longer than turns take.
    fn stays(&mut self, at: At) -> Option<usize> {
        let (since, _) = *self.changes.back().filter(|_| self.unmet > 0)?;
        let longest = self.turns().max()?;
        if at.since(since).0 <= longest.0.saturating_mul(STAYS) {
            return None;
        }
        self.unmet = 0;
        self.changes.iter().rev().nth(1).map(|(_, place)| *place)
    }

    /// How long each stayed before the newest came.
    fn turns(&self) -> impl Iterator<Item = Span> {
        self.changes.iter().zip(self.changes.iter().skip(1)).map(|((from, _), (to, _))| to.since(*from))
    }

    /// Whether the newest has stayed for so long that there are no turns any more.
    fn turns_are_over(&self, at: At) -> bool {
        let (shortest, times) = OVER;
        let stayed = self.changes.back().map(|(since, _)| at.since(*since));
        let longest = self.turns().max();
        stayed
            .zip(longest)
            .is_some_and(|(stayed, longest)| stayed >= shortest && stayed.0 >= longest.0.saturating_mul(times))
    }

    /// How many new ones in a row are too many for the pool that was seen so far. How likely a new one is follows from how many were
    /// met once only (Good and Turing's estimate, with one more to be on the safe side).
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // some hundreds
    fn unmet_by_chance(&self) -> usize {
        // Those that wait for being told are not of what was seen before.
        let seen = (self.changes.len() + 1).saturating_sub(self.unmet);
        let mut met: BTreeMap<usize, usize> = BTreeMap::new();
        for (_, place) in self.changes.iter().take(seen) {
            *met.entry(*place).or_insert(0) += 1;
        }
        let once = met.values().filter(|times| **times == 1).count();
        let share = (once + 1) as f64 / (seen + 1) as f64;
        match share {
            ..KNOWN => 1,
            KNOWN..1.0 => (CHANCE.ln() / share.ln()).ceil() as usize,
            _ => usize::MAX,
        }
    }

    /// Who answered last.
    fn newest(&self) -> Option<&str> {
        self.changes.back().and_then(|(_, place)| self.names.get(*place)).map(String::as_str)
    }

    /// Forgets the names of those that are not remembered.
    fn forget_names(&mut self) {
        let mut names: Vec<String> = Vec::new();
        for (_, place) in &mut self.changes {
            let name = self.names.get(*place).cloned().unwrap_or_default();
            *place = names.iter().position(|known| *known == name).unwrap_or(names.len());
            if *place == names.len() {
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
    /// Whose turn it is, by one address of each set that the name stood for.
    places: TurnWatch,
    /// The addresses that the name stood for; of an earlier cockpit only the one that answered is known.
    candidates: Vec<String>,
    is_resumed: bool,
    moves: Moves,
}

impl AddressWatch {
    /// Takes note of the address that answered at that moment, and of all that the name stood for then; none when it was not
    /// looked up.
    pub fn take(&mut self, address: &str, candidates: &[String], at: At) {
        if std::mem::take(&mut self.is_resumed) && self.candidates.iter().any(|known| candidates.contains(known)) {
            self.candidates = candidates.to_vec();
        }
        let is_known = self.candidates.iter().any(|known| known == address);
        let place = self.places.newest().filter(|_| is_known).unwrap_or(address).to_owned();
        if let Some(before) = self.places.take(&place, at) {
            // Of one that has stayed the address is known already.
            let before = if self.moves.address == address { &before } else { &self.moves.address };
            self.moves.newest = format!("{before} → {address}");
            self.moves.count += 1;
        }
        self.moves.addresses += u64::from(!self.moves.address.is_empty() && self.moves.address != address);
        address.clone_into(&mut self.moves.address);
        if !candidates.is_empty() {
            self.candidates = candidates.to_vec();
        } else if !is_known {
            self.candidates = vec![address.to_owned()];
        }
    }

    /// The address that answered last.
    pub fn address(&self) -> Option<&str> {
        Some(self.moves.address.as_str()).filter(|address| !address.is_empty())
    }

    /// The moves so far.
    pub fn moves(&self) -> &Moves {
        &self.moves
    }

    /// Counts on from what an earlier cockpit of the same run has counted, and knows who answered it last.
    pub fn take_up(&mut self, moves: Moves) {
        if !moves.address.is_empty() {
            self.candidates = vec![moves.address.clone()];
            // Since when does not matter: they are forgotten by when they ended.
            self.places.take(&moves.address, At(0));
            self.is_resumed = true;
        }
        self.moves = moves;
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn another_address_of_the_same_name_is_no_move_and_a_new_one_is() {
        let mut watch = AddressWatch::default();
        let both = ["192.0.2.1".to_owned(), "192.0.2.2".to_owned()];
        for address in &both {
            watch.take(address, &both, At(0));
        }
        assert_eq!(watch.moves().count, 0);
        watch.take("192.0.2.3", &["192.0.2.3".to_owned()], At(1_000));
        watch.take("192.0.2.3", &[], At(2_000));
        assert_eq!((watch.moves().count, watch.moves().newest.as_str()), (1, "192.0.2.2 → 192.0.2.3"));
        watch.take("192.0.2.1", &both, At(3_000));
        assert_eq!(watch.moves().count, 2, "and back");
    }

    #[test]
    fn a_name_that_gives_one_address_of_many_in_turn_does_not_move_for_ever() {
        let mut watch = AddressWatch::default();
        for number in 0..600 {
            let address = format!("192.0.2.{}", number % 6);
            watch.take(&address, std::slice::from_ref(&address), At(number * 1_000));
        }
        assert_eq!(watch.moves().count, 5, "until each of them was met");
        assert_eq!(watch.moves().addresses, 599, "each of them has numbers of its own");
        watch.take("198.51.100.1", &["198.51.100.1".to_owned()], At(600_000));
        assert_eq!(watch.moves().count, 6, "one that is none of them");
    }

    #[test]
    fn who_answered_an_earlier_cockpit_is_known_and_one_of_the_same_name_is_no_move() {
        let resumed = |address: &str, candidates: &[&str]| {
            let mut before = AddressWatch::default();
            before.take("192.0.2.1", &["192.0.2.1".to_owned()], At(0));
            let mut watch = AddressWatch::default();
            watch.take_up(before.moves().clone());
            let candidates: Vec<String> = candidates.iter().map(|&address| address.to_owned()).collect();
            watch.take(address, &candidates, At(1_000));
            let Moves { count, newest, addresses, .. } = watch.moves().clone();
            (count, newest, addresses)
        };
        assert_eq!(resumed("192.0.2.1", &["192.0.2.1"]), (0, String::new(), 0));
        assert_eq!(
            resumed("192.0.2.2", &["192.0.2.2", "192.0.2.1"]),
            (0, String::new(), 1),
            "another of the same name"
        );
        assert_eq!(resumed("192.0.2.2", &["192.0.2.2"]), (1, "192.0.2.1 → 192.0.2.2".to_owned(), 1));
    }

    fn changes(of: &mut TurnWatch, answers: &[&str]) -> usize {
        answers.iter().zip(0..).filter(|(name, number)| of.take(name, At(number * 1_000)).is_some()).count()
    }

    /// How often somebody else answers within an hour where two names take turns, each for so many seconds, asked ten times a
    /// second.
    fn told_in_an_hour(turn: i64) -> usize {
        let mut of = TurnWatch::default();
        let answers = (0..36_000).map(|tenth| (["a", "b"][usize::from(tenth / 10 / turn % 2 == 1)], At(tenth * 100)));
        answers.filter(|(name, at)| of.take(name, *at).is_some()).count()
    }

    #[test]
    fn turns_are_known_by_time_however_often_somebody_asks() {
        assert_eq!([told_in_an_hour(1), told_in_an_hour(20), told_in_an_hour(60)], [TURNS; 3]);
        assert_eq!(told_in_an_hour(900), 3, "who moves each quarter of an hour has moved each time");
    }

    #[test]
    fn those_that_take_turns_are_no_others_and_a_new_one_among_them_is() {
        let mut of = TurnWatch::default();
        assert_eq!(changes(&mut of, &["a"; 100]), 0);
        assert_eq!(changes(&mut of, &["b", "a"].repeat(100)), TURNS);
        assert_eq!(of.take("c", At(300_000)).as_deref(), Some("a"));
        let many: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(changes(&mut TurnWatch::default(), &many) <= MANY + TURNS, "a large pool does not keep gates shut");
    }

    /// What a name gives that stands for a pool of so many, one of them each half second, for so many answers.
    fn pool(size: usize, network: &str, answers: usize, seed: u64) -> Vec<String> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..answers).map(|_| format!("{network}.{}", rng.random_range(0..size))).collect()
    }

    /// How often somebody else is told of these, each half second from then on.
    fn told(of: &mut TurnWatch, from: i64, answers: &[String]) -> usize {
        let all = answers.iter().zip(0..);
        all.filter(|(name, number)| of.take(name, At(from + number * 500)).is_some()).count()
    }

    #[test]
    fn who_is_not_of_a_large_pool_is_known_soon_whether_it_is_one_or_another_pool() {
        for (size, seed) in [9, 12, 16, 40].into_iter().flat_map(|size| (0..20).map(move |seed| (size, seed))) {
            let mut of = TurnWatch::default();
            told(&mut of, 0, &pool(size, "192.0.2", 400, seed));
            let later = told(&mut of, 200_000, &pool(size, "192.0.2", 600, seed + 1_000));
            assert!(later <= 1, "{size}: {later} false alarms in five minutes");
            let (mut one, mut another) = (of.clone(), of);
            assert_eq!(told(&mut one, 500_000, &vec!["198.51.100.1".to_owned(); 60]), 1, "{size}: to one");
            let others = pool(size, "198.51.100", 20, seed);
            assert!(told(&mut another, 500_000, &others) >= 1, "{size}: to another pool");
        }
    }

    #[test]
    fn who_stays_is_none_of_a_pool_that_has_no_end() {
        let mut of = TurnWatch::default();
        let endless: Vec<String> = (0..400).map(|number| format!("n{number}")).collect();
        told(&mut of, 0, &endless);
        assert_eq!(told(&mut of, 200_000, &vec!["198.51.100.1".to_owned(); 20]), 1);
    }

    #[test]
    fn turns_that_are_over_hide_no_move() {
        let mut of = TurnWatch::default();
        told(&mut of, 0, &pool(12, "192.0.2", 40, 1));
        told(&mut of, 20_000, &vec!["192.0.2.3".to_owned(); 460]);
        assert_eq!(of.take("192.0.2.4", At(250_000)).as_deref(), Some("192.0.2.3"));
    }
}
