//! The oracle of the tests: it judges the raw readings again, independently of the core and in the simplest way.

use std::collections::{BTreeMap, BTreeSet};

use gonogo::core::reading::Reading;
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;

/// A reading with the moment it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub arrived: At,
    pub reading: Reading,
}

/// How often a probe measures and how long a measurement may take, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub every: i64,
    pub limit: i64,
}

/// Every reading of this cockpit, in the order of arrival, and what says how long each probe's stay good.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// When this cockpit began: measurements from before do not count.
    pub begun: At,
    pub seen: Vec<Seen>,
    pub rounds: BTreeMap<String, Round>,
    /// What the expressions that ask for growth count from.
    pub baselines: BTreeMap<String, (i64, At)>,
    /// The newest value of each number since this cockpit began, and the moment of its reading.
    pub counted: BTreeMap<String, (i64, At)>,
    /// The expressions whose number has gone back since their baseline was read.
    pub reset: BTreeSet<String>,
}

/// The probe whose number's growth an expression asks for.
pub fn grows(source: &str) -> Option<&str> {
    source.strip_prefix("increase(")?.split('.').next()
}

impl Oracle {
    /// Takes in a reading. A number that went back is known to have been reset until counting begins anew.
    pub fn see(&mut self, arrived: At, reading: Reading) {
        if reading.at < self.begun {
            return;
        }
        let newer = self.newest(arrived, reading.probe.as_str()).is_none_or(|known| known.at <= reading.at);
        let number = match &reading.result {
            Ok(Value::Map(map)) => map.get("n").and_then(Value::int),
            _ => None,
        };
        if let Some(number) = number.filter(|_| newer) {
            let probe = reading.probe.as_str().to_owned();
            for (source, baseline) in self.baselines.iter().filter(|(source, _)| grows(source) == Some(&probe)) {
                let before = self.counted.get(&probe).filter(|before| before.1 >= baseline.1).unwrap_or(baseline);
                if reading.at > baseline.1 && number < before.0 {
                    self.reset.insert(source.clone());
                }
            }
            self.counted.insert(probe, (number, reading.at));
        }
        self.seen.push(Seen { arrived, reading });
    }

    /// Begins to count for an expression, from the present reading of its number.
    pub fn count(&mut self, now: At, source: &str) -> Option<i64> {
        self.baselines.remove(source);
        self.reset.remove(source);
        let number = self.number(now, source)?;
        let at = self.newest(now, grows(source)?)?.at;
        self.baselines.insert(source.to_owned(), (number, at));
        Some(number)
    }

    /// Another cockpit takes over: what was read before is not known to it.
    pub fn forget(&mut self, now: At) {
        self.begun = now;
        self.seen.clear();
        self.counted.clear();
    }

    /// The last moment at which a reading is not stale: two rounds after the end of its measurement, of which no more
    /// counts than its limit. A round is an interval, or a measurement that is longer, and no less than a second.
    fn last_good_moment(&self, reading: &Reading) -> At {
        let Round { every, limit } = self.rounds[reading.probe.as_str()];
        let took = i64::try_from(reading.took.0).unwrap().min(limit);
        At(reading.at.0 + took + 2 * [every, took, 1_000].into_iter().max().unwrap())
    }

    /// The newest reading of a probe that had arrived by `now`, whatever it says.
    fn newest(&self, now: At, probe: &str) -> Option<&Reading> {
        let known = self.seen.iter().filter(|seen| seen.arrived <= now && seen.reading.probe.as_str() == probe);
        known.map(|seen| &seen.reading).max_by_key(|reading| reading.at)
    }

    /// The value of a probe's field, if a fresh reading that did not fail has one.
    fn field(&self, now: At, probe: &str, field: &str) -> Option<Value> {
        let reading = self.newest(now, probe)?;
        let age = now.0 - reading.at.0;
        let fresh = age >= 0 && now <= self.last_good_moment(reading);
        match (&reading.result, fresh) {
            (Ok(Value::Map(map)), true) => map.get(field).filter(|value| **value != Value::Null).cloned(),
            _ => None,
        }
    }

    /// Answers one of the expressions of the runbooks: true, false or unknown.
    pub fn truth(&self, now: At, source: &str) -> Option<bool> {
        let int = |probe: &str| self.field(now, probe, "n").and_then(|value| value.int());
        let measure =
            |probe: &str| self.field(now, probe, "x").and_then(|value| value.number()).filter(|x| x.is_finite());
        let yes = |probe: &str| self.field(now, probe, "ok").and_then(|value| value.bool());
        let growth = |probe: &str| {
            let (from, _) = self.baselines.get(source)?;
            let grown = int(probe)? - from;
            (grown >= 0 && !self.reset.contains(source)).then_some(grown)
        };
        match source {
            "increase(p.n) < 5" => growth("p").map(|n| n < 5),
            "increase(r.n) == 0" => growth("r").map(|n| n == 0),
            "p.n < 5" => int("p").map(|n| n < 5),
            "p.n == 0" => int("p").map(|n| n == 0),
            "q.n == 1" => int("q").map(|n| n == 1),
            "r.n == 1" => int("r").map(|n| n == 1),
            "r.x < 2.0" => measure("r").map(|x| x < 2.0),
            "p.ok" => yes("p"),
            "q.ok" => yes("q"),
            "r.ok" => yes("r"),
            "q.ok && q.x <= 1.5" => both(yes("q"), measure("q").map(|x| x <= 1.5)),
            "q.ok || p.n > 3" => either(yes("q"), int("p").map(|n| n > 3)),
            "p.x <= 1.5 || q.x <= 1.5" => either(measure("p").map(|x| x <= 1.5), measure("q").map(|x| x <= 1.5)),
            other => panic!("the oracle does not know {other}"),
        }
    }

    /// Answers an expression as if what it counts from were the present reading.
    pub fn truth_at_start(&self, now: At, source: &str) -> Option<bool> {
        match grows(source) {
            Some(_) => self.number(now, source).map(|_| true),
            None => self.truth(now, source),
        }
    }

    /// The number whose growth an expression asks for, while a fresh reading has it.
    pub fn number(&self, now: At, source: &str) -> Option<i64> {
        self.field(now, grows(source)?, "n").and_then(|value| value.int())
    }

    /// Moments between the two at which an answer can change: a reading arrives, comes to be, or becomes too old.
    pub fn moments(&self, from: At, to: At) -> Vec<At> {
        let of = |seen: &Seen| [seen.arrived, seen.reading.at, self.last_good_moment(&seen.reading).plus(Span(1))];
        self.seen.iter().flat_map(of).filter(|at| from < *at && *at < to).collect()
    }

    /// Whether the expression was true at every moment of the last `hold`.
    pub fn held(&self, now: At, source: &str, hold: Span) -> bool {
        let from = now.0 - i64::try_from(hold.0).unwrap();
        // The answer can change only when a reading arrives or one becomes too old.
        let arrivals = self.seen.iter().map(|seen| seen.arrived.0);
        let expiries = self.seen.iter().map(|seen| self.last_good_moment(&seen.reading).0 + 1);
        let moments = arrivals.chain(expiries).chain([from, now.0]).filter(|at| (from..=now.0).contains(at));
        moments.map(At).all(|at| self.truth(at, source) == Some(true))
    }

    /// Whether every probe of the expression was read again after `since`, without failing.
    pub fn read_since(&self, now: At, source: &str, since: At) -> bool {
        read_by(source)
            .all(|probe| self.newest(now, probe).is_some_and(|reading| reading.at >= since && reading.result.is_ok()))
    }

    /// Whether every probe of the expression gave two good readings of different times that began at `since` or later.
    pub fn read_twice_since(&self, now: At, source: &str, since: At) -> bool {
        let good = |probe| {
            let known =
                self.seen.iter().filter(move |seen| seen.arrived <= now && seen.reading.probe.as_str() == probe);
            known.map(|seen| &seen.reading).filter(|reading| reading.at >= since && reading.result.is_ok())
        };
        read_by(source).all(|probe| good(probe).map(|reading| reading.at).collect::<BTreeSet<_>>().len() > 1)
    }
}

/// The probes that an expression reads.
fn read_by(source: &str) -> impl Iterator<Item = &'static str> {
    ["p", "q", "r"].into_iter().filter(move |probe| source.contains(&format!("{probe}.")))
}

fn both(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn either(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    both(a.map(|a| !a), b.map(|b| !b)).map(|neither| !neither)
}
