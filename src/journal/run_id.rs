//! The name of a run.

use std::{fmt, str::FromStr};

use jiff::Timestamp;

/// Names a run, for example `20261124-0214-7f3a`: the minute it began (UTC) and four random
/// hexadecimal digits. Sorts by time, can be said aloud, and is safe as the name of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(String);

impl RunId {
    /// Makes a name from the wall clock and 16 random bits. A moment before 1970 counts as 1970.
    pub fn new(at: Timestamp, random: u16) -> Self {
        let minute = at.max(Timestamp::UNIX_EPOCH).strftime("%Y%m%d-%H%M");
        Self(format!("{minute}-{random:04x}"))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The minute in which the run began, as the name writes it.
    pub fn minute(&self) -> &str {
        self.0.rsplit_once('-').map_or(&self.0, |(minute, _)| minute)
    }

    /// The last four digits, as people say it.
    pub fn short(&self) -> &str {
        self.0.rsplit('-').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a whole run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a run id: expected one like 20261124-0214-7f3a")]
pub struct RunIdParseError(String);

impl FromStr for RunId {
    type Err = RunIdParseError;

    /// Takes a whole id only; [`super::Store::resolve`] takes a part of one.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = b"dddddddd-dddd-xxxx";
        let fits = text.len() == shape.len()
            && text.bytes().zip(shape).all(|(byte, kind)| match kind {
                b'd' => byte.is_ascii_digit(),
                b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
                _ => byte == b'-',
            });
        if fits { Ok(Self(text.to_owned())) } else { Err(RunIdParseError(text.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_from_the_minute_and_random_bits() {
        let at = "2026-11-24T02:14:59Z".parse().unwrap();
        let id = RunId::new(at, 0x7f3a);
        assert_eq!(id.as_str(), "20261124-0214-7f3a");
        assert_eq!(id.short(), "7f3a");
        assert_eq!(id.as_str().parse(), Ok(id));
        assert_eq!(RunId::new(Timestamp::MIN, 1).as_str(), "19700101-0000-0001");
    }

    #[test]
    fn what_could_leave_the_folder_is_no_id() {
        for text in ["", "..", "20261124-0214-7F3A", "20261124-0214-7f3a/", "../../../etc/passwd"] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }
}
