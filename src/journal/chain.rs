//! The hash chain over decisions: what a digest is and what it covers. Pure; does no IO.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{NewRecord, Record, RunId};

/// Separates our hashes from those of any other protocol, and one format of ours from the next.
const GENESIS_TAG: &[u8] = b"gonogo journal genesis 1";
const CONTENT_TAG: &[u8] = b"gonogo journal content 1";
const LINK_TAG: &[u8] = b"gonogo journal link 1";

/// A SHA-256 digest, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes, with nothing added.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Takes the 32 bytes of a digest as they were stored.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hexadecimal digits: enough to compare by eye.
    pub fn short(&self) -> String {
        let mut hex = self.to_string();
        hex.truncate(12);
        hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a digest: expected {expected}")]
pub struct DigestParseError {
    text: String,
    expected: &'static str,
}

impl FromStr for Digest {
    type Err = DigestParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || DigestParseError { text: text.to_owned(), expected: "64 hexadecimal digits" };
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let pair = text.get(index * 2..index * 2 + 2).ok_or_else(refuse)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| refuse())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a chain ends: the number of its last record and that record's hash.
/// An empty chain ends at `seq` 0 with a hash made from the run id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the last record; 0 when there is none.
    pub seq: u64,
    /// Hash of the last record.
    pub hash: Digest,
}

impl Head {
    /// The head of a run's empty chain. It covers the run id, so that records cannot be carried
    /// from one run to another.
    pub fn genesis(run: &RunId) -> Self {
        let mut hasher = Sha256::new();
        frame(&mut hasher, GENESIS_TAG);
        frame(&mut hasher, run.as_str().as_bytes());
        Self { seq: 0, hash: Digest(hasher.finalize().into()) }
    }

    /// Adds a record at the end of the chain and moves the head onto it.
    pub fn extend(&mut self, new: &NewRecord) -> Record {
        let seq = self.seq + 1;
        let content = content(new.at_ms, &new.kind, new.version, &new.body);
        let hash = link(&self.hash, seq.cast_signed(), &content);
        *self = Self { seq, hash };
        Record { seq, at_ms: new.at_ms, kind: new.kind.clone(), version: new.version, body: new.body.clone(), hash }
    }
}

/// A head somebody noted earlier, from the screen or a report: 8 to 64 hexadecimal digits, the
/// beginning of the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedHead(String);

impl NotedHead {
    /// Whether this note can be of the record with that hash.
    pub fn matches(&self, hash: &Digest) -> bool {
        hash.to_string().starts_with(&self.0)
    }
}

impl From<Digest> for NotedHead {
    fn from(digest: Digest) -> Self {
        Self(digest.to_string())
    }
}

impl fmt::Display for NotedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NotedHead {
    type Err = DigestParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(DigestParseError {
                text: text.to_owned(),
                expected: "8 to 64 hexadecimal digits, the beginning of a head",
            })
        }
    }
}

/// Hash of what a record says, without its place.
pub(super) fn content(at_ms: i64, kind: &str, version: u32, body: &str) -> Digest {
    let mut hasher = Sha256::new();
    frame(&mut hasher, CONTENT_TAG);
    frame(&mut hasher, &at_ms.to_le_bytes());
    frame(&mut hasher, kind.as_bytes());
    frame(&mut hasher, &version.to_le_bytes());
    frame(&mut hasher, body.as_bytes());
    Digest(hasher.finalize().into())
}

/// Hash of a record in its place: over the record before it, its number and its content. Content
/// is hashed apart so that a check can try one record in many places without reading it again.
pub(super) fn link(before: &Digest, seq: i64, content: &Digest) -> Digest {
    let mut hasher = Sha256::new();
    frame(&mut hasher, LINK_TAG);
    frame(&mut hasher, &before.0);
    frame(&mut hasher, &seq.to_le_bytes());
    frame(&mut hasher, &content.0);
    Digest(hasher.finalize().into())
}

/// Length first, so that no two lists of fields give the same bytes.
fn frame(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_from_its_text() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("ba78".parse::<Digest>().is_err());
        assert!(("é".repeat(32)).parse::<Digest>().is_err());
    }

    #[test]
    fn a_noted_head_may_be_shortened_but_not_to_nothing() {
        let digest = Digest::of(b"abc");
        assert!("BA7816BF".parse::<NotedHead>().unwrap().matches(&digest));
        assert!(!"ba7816be".parse::<NotedHead>().unwrap().matches(&digest));
        assert!("ba7816b".parse::<NotedHead>().is_err());
    }

    #[test]
    fn moving_a_byte_between_fields_changes_the_hash() {
        assert_ne!(content(0, "ab", 1, "c"), content(0, "a", 1, "bc"));
    }

    #[test]
    fn two_runs_with_the_same_records_have_different_chains() {
        let new = NewRecord { at_ms: 1, kind: "k".into(), version: 1, body: "{}".into() };
        let mut one = Head::genesis(&"20261124-0214-7f3a".parse().unwrap());
        let mut two = Head::genesis(&"20261124-0214-7f3b".parse().unwrap());
        assert_ne!(one.extend(&new).hash, two.extend(&new).hash);
    }
}
