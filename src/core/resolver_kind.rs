//! How a resolver that is made up treats what it remembers, in the lab and in a rehearsal alike.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::time::Span;

/// The shortest time of `min-ttl` when none is given.
const LEAST: Span = Span::secs(30);
/// The longest time of `max-ttl` when none is given.
const MOST: Span = Span::secs(10);
/// Times are given in whole seconds up to this, a week.
const LONGEST: Span = Span::secs(604_800);
/// TTL of an answer that is served after its time (RFC 8767 section 4), in seconds.
pub const STALE_TTL: u32 = 30;

/// How a resolver treats what it remembers. Resolvers with odd manners exist in the world, so they can be practised with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResolverKind {
    /// It remembers every answer for its TTL.
    #[default]
    Honest,
    /// It remembers every answer for at least this long.
    MinTtl(Span),
    /// It remembers no answer longer than this.
    MaxTtl(Span),
    /// It serves the first answer that it got for ever, after the TTL marked as stale (RFC 8767), like one that no longer
    /// reaches the servers of the zone.
    ServeStale,
    /// It has two caches, and each question reaches one of them.
    TwoCaches,
    /// It does not answer.
    Dead,
}

impl ResolverKind {
    /// How many caches it has.
    pub fn caches(self) -> usize {
        match self {
            Self::TwoCaches => 2,
            Self::Dead => 0,
            Self::Honest | Self::MinTtl(_) | Self::MaxTtl(_) | Self::ServeStale => 1,
        }
    }

    /// For how many seconds it remembers an answer with that TTL, in seconds.
    pub fn keeps(self, ttl: u32) -> u32 {
        let whole = |limit: Span| u32::try_from(limit.0 / 1_000).unwrap_or(u32::MAX);
        match self {
            Self::MinTtl(least) => ttl.max(whole(least)),
            Self::MaxTtl(most) => ttl.min(whole(most)),
            Self::Honest | Self::ServeStale | Self::TwoCaches | Self::Dead => ttl,
        }
    }
}

/// Says why a kind of resolver could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no kind of resolver: write honest, min-ttl, max-ttl, serve-stale, two-caches or dead; min-ttl=2m and \
     max-ttl=5s give a time, from 1s to 7 days"
)]
pub struct BadResolverKind {
    text: String,
}

impl FromStr for ResolverKind {
    type Err = BadResolverKind;

    fn from_str(text: &str) -> Result<Self, BadResolverKind> {
        let bad = || BadResolverKind { text: text.to_owned() };
        let (word, time) = match text.split_once('=') {
            Some((word, time)) => (word, Some(time.parse::<Span>().map_err(|_| bad())?)),
            None => (text, None),
        };
        if time.is_some_and(|time| time < Span::secs(1) || time > LONGEST) {
            return Err(bad());
        }
        match (word.trim(), time) {
            ("min-ttl", time) => Ok(Self::MinTtl(time.unwrap_or(LEAST))),
            ("max-ttl", time) => Ok(Self::MaxTtl(time.unwrap_or(MOST))),
            ("honest", None) => Ok(Self::Honest),
            ("serve-stale", None) => Ok(Self::ServeStale),
            ("two-caches", None) => Ok(Self::TwoCaches),
            ("dead", None) => Ok(Self::Dead),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for ResolverKind {
    /// The form in which it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Honest => f.write_str("honest"),
            Self::MinTtl(least) => write!(f, "min-ttl={}s", least.0 / 1_000),
            Self::MaxTtl(most) => write!(f, "max-ttl={}s", most.0 / 1_000),
            Self::ServeStale => f.write_str("serve-stale"),
            Self::TwoCaches => f.write_str("two-caches"),
            Self::Dead => f.write_str("dead"),
        }
    }
}

impl Serialize for ResolverKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResolverKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ResolverKind {
    fn schema_name() -> Cow<'static, str> {
        "ResolverKind".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^(honest|serve-stale|two-caches|dead|(min-ttl|max-ttl)(=.+)?)$",
            "description": "How a resolver treats what it remembers: `honest` (every answer for its TTL), `min-ttl` (at least 30s, \
                            or as given: `min-ttl=2m`), `max-ttl` (at most 10s, or as given), `serve-stale` (the first answer \
                            for ever, after its TTL marked as stale), `two-caches` (each question reaches one of two caches), \
                            `dead` (no answer).",
            "examples": ["honest", "min-ttl=2m", "max-ttl=5s", "serve-stale", "two-caches", "dead"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_read_as_it_is_written() {
        for text in ["honest", "min-ttl=30s", "min-ttl=120s", "max-ttl=10s", "serve-stale", "two-caches", "dead"] {
            assert_eq!(text.parse::<ResolverKind>().unwrap().to_string(), text);
        }
        assert_eq!("min-ttl".parse(), Ok(ResolverKind::MinTtl(LEAST)));
        assert_eq!("max-ttl=1m 30s".parse(), Ok(ResolverKind::MaxTtl(Span::secs(90))));
        for text in
            ["", "lazy", "honest=3s", "min-ttl=", "min-ttl=0s", "max-ttl=500ms", "min-ttl=8 days", "min-ttl=-1s"]
        {
            assert!(text.parse::<ResolverKind>().is_err(), "{text}");
        }
    }
}
