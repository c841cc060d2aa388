//! Points and lengths of time as plain numbers. The core never asks what time it is.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment on the run clock, in milliseconds since the Unix epoch.
///
/// The run clock starts at the wall clock and then advances with the monotonic one, so within a run it never
/// goes back and never jumps when the wall clock is set. A resumed run continues no earlier than its last fact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct At(pub i64);

impl At {
    /// Later than every moment: stands for what never happens.
    pub const NEVER: At = At(i64::MAX);

    /// Time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: At) -> Span {
        Span(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This moment moved later by `span`.
    #[must_use]
    pub fn plus(self, span: Span) -> At {
        At(self.0.saturating_add(i64::try_from(span.0).unwrap_or(i64::MAX)))
    }

    /// This moment moved earlier by `span`.
    #[must_use]
    pub fn before(self, span: Span) -> At {
        At(self.0.saturating_sub(i64::try_from(span.0).unwrap_or(i64::MAX)))
    }

    /// The same moment as a timestamp, for showing it. `None` outside the range jiff can show.
    pub fn timestamp(self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.0).ok()
    }

    /// The time of day in UTC: `02:14:03`.
    pub fn utc(self) -> String {
        self.timestamp().map_or_else(
            || "--:--:--".to_owned(),
            |time| time.to_zoned_datetime(TimeZone::UTC).strftime("%H:%M:%S").to_string(),
        )
    }
}

/// A length of time in milliseconds, written in runbooks as `500ms`, `30s`, `1m 30s`, `48h` or `2 days`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub u64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// A span of whole seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Whether it has no length.
    pub fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// Length in milliseconds.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Length in seconds, for arithmetic with readings.
    #[allow(clippy::cast_precision_loss)] // exact up to 2^53 ms, some 285,000 years
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1_000.0
    }

    /// The part of `self` that `done` leaves over; zero when none.
    #[must_use]
    pub const fn left_after(self, done: Span) -> Span {
        Span(self.0.saturating_sub(done.0))
    }

    /// That length, in whole milliseconds.
    pub fn of(length: std::time::Duration) -> Self {
        Self(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
    }

    /// This length as the standard library's type.
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

/// Says why a length of time could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a length of time: write it like 500ms, 30s, 1m30s or 48h")]
pub struct BadSpan {
    text: String,
}

impl FromStr for Span {
    type Err = BadSpan;

    /// Reads jiff's friendly duration format. Negative lengths are refused.
    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let bad = || BadSpan { text: text.to_owned() };
        let length: SignedDuration = jiff::fmt::friendly::SpanParser::new()
            .parse_duration(text.trim())
            .or_else(|_| {
                // Days and weeks are not fixed lengths to jiff; a runbook's day is 24 hours.
                jiff::fmt::friendly::SpanParser::new()
                    .parse_span(text.trim())
                    .and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()))
            })
            .map_err(|_| bad())?;
        u64::try_from(length.as_millis()).map(Span).map_err(|_| bad())
    }
}

impl fmt::Display for Span {
    /// Shows `85 ms`, `4.2 s`, `1:30`, `2:14:07` or `3d 02:00`: short enough for a column, never ambiguous.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0;
        let secs = ms / 1_000;
        let text = match ms {
            0..1_000 => format!("{ms} ms"),
            1_000..10_000 => format!("{}.{} s", secs, ms % 1_000 / 100),
            10_000..60_000 => format!("{secs} s"),
            60_000..3_600_000 => format!("{}:{:02}", secs / 60, secs % 60),
            3_600_000..86_400_000 => {
                format!("{}:{:02}:{:02}", secs / 3_600, secs / 60 % 60, secs % 60)
            }
            _ => format!("{}d {:02}:{:02}", secs / 86_400, secs / 3_600 % 24, secs / 60 % 60),
        };
        f.pad(&text)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}ms", self.0))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^\s*([0-9]+(\.[0-9]+)?\s*[a-zA-Zµ]+[ ,]*)+$",
            "description": "A length of time: 500ms, 30s, 1m30s, 48h, 2 days.",
            "examples": ["500ms", "30s", "1m30s", "48h"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_usual_ways_of_writing_a_length() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1m 30s", 90_000),
            ("48h", 172_800_000),
            ("2 days", 172_800_000),
        ] {
            assert_eq!(text.parse(), Ok(Span(ms)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_length() {
        for text in ["", "5", "-3s", "soon", "1 month"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_before_the_start_is_zero_time_ago() {
        assert_eq!(At(5).since(At(9)), Span::ZERO);
    }
}
