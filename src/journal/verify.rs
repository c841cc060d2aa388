//! The check that a run's record is what was written.
//!
//! What it can and cannot find: the chain shows any change inside it. Records cut off its end, or
//! a chain written anew from some record on, show only against a head noted elsewhere: the copy
//! beside the journal, and any head from a screen or report given as `expected`.

use std::fmt;

use rusqlite::Row;

use super::{Digest, Head, JournalError, NotedHead, Reader, RunId, chain, head::read as read_head, sqlite::digest};
use crate::text::clean;

/// Most findings that are listed. A journal with more is too damaged for a longer list to help.
const FINDINGS: usize = 64;

/// How far a renumbering of later records is looked for.
const SHIFT: i64 = 16;

/// No run has so many records; a number beyond is forged.
const FARTHEST: i64 = i64::MAX / 4;

/// One thing that is wrong with a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The record does not fit its hash or does not follow from the one before it.
    Edited {
        /// Number of the record.
        seq: i64,
    },
    /// Records are gone from the middle or the beginning.
    Missing {
        /// Number of the first that is gone.
        from: i64,
        /// Number of the last.
        to: i64,
    },
    /// A record is in the journal that was never part of its chain.
    Inserted {
        /// The number it carries.
        seq: i64,
    },
    /// A record stands in the place of another.
    Reordered {
        /// The number it was written under.
        seq: i64,
        /// The number it carries now.
        found_at: i64,
    },
    /// Records that are known to have been written are gone from the end.
    Truncated {
        /// Number of the first that is gone.
        from: u64,
        /// Number of the last known to have been there.
        to: u64,
    },
    /// The record is not the one noted beside the journal: the chain was written anew.
    Rewritten {
        /// Number of the record.
        seq: u64,
        /// The hash it had when it was noted.
        noted: Digest,
    },
    /// The head that was expected is not in the chain: records were cut off or written anew.
    HeadNotFound(NotedHead),
    /// The frozen runbook in the journal is not the one the run was created with.
    Runbook,
    /// The copy of the runbook in the run's folder was changed. It is for people: nothing is driven by it.
    RunbookCopy,
    /// The database cannot be read past some record.
    Unreadable {
        /// Number of the last record that could be read; 0 for none.
        after: i64,
        /// What the database said.
        cause: String,
    },
    /// There is more damage than is listed.
    More,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited { seq: 1 } => f.write_str("record 1 was edited, or belongs to another run"),
            Self::Edited { seq } => {
                write!(f, "record {seq} was edited, or record {} was replaced with a new hash", seq - 1)
            }
            Self::Missing { from, to } if from == to => write!(f, "record {from} was deleted"),
            Self::Missing { from, to } => write!(f, "records {from} to {to} were deleted"),
            Self::Inserted { seq } => write!(f, "record {seq} was inserted"),
            Self::Reordered { seq, found_at } => {
                write!(f, "record {seq} was moved to place {found_at}")
            }
            Self::Truncated { from, to } if from == to => {
                write!(f, "record {from} was cut off the end")
            }
            Self::Truncated { from, to } => {
                write!(f, "records {from} to {to} were cut off the end")
            }
            Self::Rewritten { seq, noted } => {
                write!(f, "record {seq} was written anew: its hash was noted as {}", noted.short())
            }
            Self::HeadNotFound(head) => {
                write!(f, "no record has the expected head {head}: records were cut off the end or written anew")
            }
            Self::Runbook => f.write_str("the runbook in the journal was changed"),
            Self::RunbookCopy => f.write_str(
                "runbook.yaml in the run's folder was changed: it is a copy for people, and what is driven is the one \
                 in the journal; delete the file or put it back",
            ),
            Self::Unreadable { after, cause } => {
                write!(f, "nothing can be read after record {after}: {}", clean(cause))
            }
            Self::More => f.write_str("and more"),
        }
    }
}

/// How the copy of the head beside the journal compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadFile {
    /// It names the last record.
    Current,
    /// It names an earlier record, as after a kill; by how many it is behind.
    Behind(u64),
    /// It names records the journal does not have, or has differently: see the findings.
    Contradicts,
    /// There is none, or it is unreadable: records cut off the end would not be missed.
    Absent,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The run.
    pub run: RunId,
    /// How many records were read.
    pub records: u64,
    /// The last record, as stored.
    pub head: Head,
    /// What is wrong, in the order of the chain; empty when nothing is.
    pub findings: Vec<Damage>,
    /// The copy of the head.
    pub head_file: HeadFile,
    /// Number of the record whose hash was expected, if one was and it is there.
    pub expected_at: Option<u64>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub const fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether the record is whole: whatever was found is about copies for people, which nothing rests on.
    pub fn record_is_whole(&self) -> bool {
        self.findings.iter().all(|finding| *finding == Damage::RunbookCopy)
    }

    /// The findings in one line.
    pub fn summary(&self) -> String {
        if self.is_intact() {
            return "nothing is wrong".to_owned();
        }
        let findings: Vec<String> = self.findings.iter().map(Damage::to_string).collect();
        findings.join("; ")
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.record_is_whole() {
            write!(f, "run {}: chain intact, {} records, head {}", self.run, self.records, self.head.hash)?;
        } else {
            write!(f, "run {}: DAMAGED, {} records", self.run, self.records)?;
        }
        for finding in &self.findings {
            write!(f, "\n  {finding}")?;
        }
        match (&self.head_file, self.expected_at) {
            (_, Some(seq)) => write!(f, "\n  the expected head is record {seq}"),
            (HeadFile::Behind(by), None) => {
                write!(f, "\n  the head file is {by} behind, as after a kill or while the run is driven")
            }
            (HeadFile::Absent, None) => f.write_str(
                "\n  no head file: records cut off the end would not be missed; compare the head with one you noted",
            ),
            (HeadFile::Current | HeadFile::Contradicts, None) => Ok(()),
        }
    }
}

/// Walks a run's chain and compares it with the head noted beside it and, if given, with one noted
/// elsewhere. Damage is in the report; an error means that it could not be looked for.
pub fn verify(reader: &Reader, expected: Option<&NotedHead>) -> Result<VerifyReport, JournalError> {
    // Before the chain: a driver may add records in between, and the copy must not seem ahead.
    let noted = match read_head(reader.dir().path()) {
        Err(JournalError::Io { cause, .. }) if cause.kind() == std::io::ErrorKind::InvalidData => None,
        other => other?,
    };
    let run = reader.meta().run.clone();
    let (links, unreadable) = read_links(reader);
    let mut findings = Walk::over(&run, &links).findings;
    findings.extend(unreadable);

    let genesis = Head::genesis(&run);
    let head = links.last().map_or(genesis, |link| Head { seq: link.seq.unsigned_abs(), hash: link.hash });
    let hash_at = |seq: u64| {
        links
            .binary_search_by_key(&seq.cast_signed(), |link| link.seq)
            .ok()
            .and_then(|index| links.get(index))
            .map(|link| link.hash)
    };
    let head_file = match noted {
        None => HeadFile::Absent,
        Some(noted) if noted.seq > head.seq => {
            findings.push(Damage::Truncated { from: head.seq + 1, to: noted.seq });
            HeadFile::Contradicts
        }
        Some(noted) if noted.seq == 0 => behind(head.seq),
        Some(noted) if hash_at(noted.seq) == Some(noted.hash) => behind(head.seq - noted.seq),
        Some(noted) => {
            // A damaged record is reported already; this is for a chain that is consistent in itself.
            if findings.is_empty() {
                findings.push(Damage::Rewritten { seq: noted.seq, noted: noted.hash });
            }
            HeadFile::Contradicts
        }
    };
    let expected_at = expected.and_then(|expected| {
        let found = links.iter().find(|link| expected.matches(&link.hash));
        found.map(|link| link.seq.unsigned_abs()).or_else(|| expected.matches(&genesis.hash).then_some(0))
    });
    if let (Some(expected), None) = (expected, expected_at) {
        findings.push(Damage::HeadNotFound(expected.clone()));
    }
    findings.extend(check_runbook(reader)?);
    Ok(VerifyReport { run, records: links.len() as u64, head, findings, head_file, expected_at })
}

const fn behind(by: u64) -> HeadFile {
    if by == 0 { HeadFile::Current } else { HeadFile::Behind(by) }
}

fn check_runbook(reader: &Reader) -> Result<Vec<Damage>, JournalError> {
    let mut findings = Vec::new();
    let frozen = reader.meta().runbook;
    if Digest::of(&reader.runbook()?) != frozen {
        findings.push(Damage::Runbook);
    }
    // The copy in the folder is for people; without it nothing is lost.
    if let Ok(bytes) = std::fs::read(reader.dir().runbook())
        && Digest::of(&bytes) != frozen
    {
        findings.push(Damage::RunbookCopy);
    }
    Ok(findings)
}

/// What a check needs of a record.
#[derive(Debug, Clone, Copy)]
struct Link {
    seq: i64,
    content: Digest,
    hash: Digest,
}

impl Link {
    /// Whether this was written at that place after that record.
    fn builds_on(&self, before: &Digest, place: i64) -> bool {
        chain::link(before, place, &self.content) == self.hash
    }
}

/// Reads as far as the database lets it, any numbers the rows carry.
fn read_links(reader: &Reader) -> (Vec<Link>, Option<Damage>) {
    let mut links: Vec<Link> = Vec::new();
    let mut read = || -> rusqlite::Result<()> {
        let mut query = reader
            .connection()
            .prepare_cached("SELECT seq, at_ms, kind, version, body, hash FROM decisions ORDER BY seq")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            links.push(link(row)?);
        }
        Ok(())
    };
    let unreadable = read()
        .err()
        .map(|cause| Damage::Unreadable { after: links.last().map_or(0, |link| link.seq), cause: cause.to_string() });
    (links, unreadable)
}

fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
    Ok(Link {
        seq: row.get(0)?,
        content: chain::content(row.get(1)?, text(2)?, row.get(3)?, text(4)?),
        hash: digest(row, 5)?,
    })
}

/// One walk along the chain, place by place, asking which record was written there.
struct Walk<'a> {
    links: &'a [Link],
    taken: Vec<bool>,
    moved: Vec<(i64, i64)>,
    findings: Vec<Damage>,
    /// Stored number minus true place, once later records were found renumbered.
    offset: i64,
    place: i64,
    /// Hash of the record before this place; unknown after a gap.
    before: Option<Digest>,
}

impl<'a> Walk<'a> {
    fn over(run: &RunId, links: &'a [Link]) -> Self {
        let mut walk = Self {
            links,
            taken: vec![false; links.len()],
            moved: Vec::new(),
            findings: Vec::new(),
            offset: 0,
            place: 1,
            before: Some(Head::genesis(run).hash),
        };
        // A forged number may be anything; a record that far out was not written there.
        let last = links.last().map_or(0, |link| link.seq.min(FARTHEST));
        while walk.place + walk.offset <= last {
            if walk.findings.len() >= FINDINGS {
                walk.findings.push(Damage::More);
                return walk;
            }
            walk.step();
        }
        walk.conclude();
        walk
    }

    fn at(&self, seq: i64) -> Option<(usize, Link)> {
        let index = self.links.binary_search_by_key(&seq, |link| link.seq).ok()?;
        let free = !*self.taken.get(index)?;
        free.then_some((index, *self.links.get(index)?))
    }

    fn accept(&mut self, index: usize, before: Digest) {
        if let Some(taken) = self.taken.get_mut(index) {
            *taken = true;
        }
        self.before = Some(before);
        self.place += 1;
    }

    fn step(&mut self) {
        let here = self.at(self.place + self.offset);
        let Some(before) = self.before else {
            // After a gap nothing shows what this record builds on, so it is accepted and the next one is checked
            // against it.
            match here {
                Some((index, link)) => self.accept(index, link.hash),
                None => self.skip_gap(),
            }
            return;
        };
        if let Some((index, link)) = here
            && link.builds_on(&before, self.place)
        {
            return self.accept(index, link.hash);
        }
        if let Some((index, link)) = self.search(&before) {
            self.moved.push((self.place, link.seq));
            self.accept(index, link.hash);
            // If the next record is off by the same distance, an insertion shifted all later ones.
            let shift = link.seq.saturating_sub(self.place - 1);
            if self.at(self.place.saturating_add(shift)).is_some_and(|(_, next)| next.builds_on(&link.hash, self.place))
            {
                self.offset = shift;
            }
            return;
        }
        match here {
            Some((index, link)) => self.name_misfit(index, link, before),
            None => self.skip_gap(),
        }
    }

    /// The record that was written at this place, wherever it stands now.
    fn search(&self, before: &Digest) -> Option<(usize, Link)> {
        let mut free = self.links.iter().zip(&self.taken).enumerate();
        free.find(|(_, (link, taken))| !**taken && link.builds_on(before, self.place))
            .map(|(index, (link, _))| (index, *link))
    }

    /// Reports the wrong record at this place; the one that belongs here is nowhere.
    fn name_misfit(&mut self, index: usize, link: Link, before: Digest) {
        let next = self.links.get(index + 1);
        if let Some(next) = next.filter(|next| next.seq == link.seq + 1) {
            let follows = |offset: i64| next.builds_on(&link.hash, next.seq - offset);
            let shifted =
                (1..=SHIFT).flat_map(|by| [self.offset - by, self.offset + by]).find(|offset| follows(*offset));
            if let Some(offset) = shifted {
                // This record and those after it are whole, under other numbers than their own.
                if offset < self.offset {
                    self.findings
                        .push(Damage::Missing { from: self.place, to: self.place + (self.offset - offset) - 1 });
                } else {
                    let forged = (link.seq - (offset - self.offset)).max(1)..link.seq;
                    self.findings.extend(forged.map(|seq| Damage::Inserted { seq }));
                }
                self.place = link.seq - offset;
                self.offset = offset;
                self.before = None;
                return;
            }
        }
        self.findings.push(Damage::Edited { seq: link.seq });
        // The next record tells whether the text or the hash was changed.
        let computed = chain::link(&before, self.place, &link.content);
        let keeps = next.is_some_and(|next| next.builds_on(&computed, self.place + 1));
        self.accept(index, if keeps { computed } else { link.hash });
    }

    fn skip_gap(&mut self) {
        let here = self.place + self.offset;
        let next = self
            .links
            .iter()
            .zip(&self.taken)
            .find(|(link, taken)| !**taken && (here + 1..=FARTHEST).contains(&link.seq))
            .map(|(link, _)| link.seq - self.offset);
        // Without a next record this place is the end, and all that is left stands elsewhere.
        match next {
            Some(next) => {
                self.findings.push(Damage::Missing { from: self.place, to: next - 1 });
                self.place = next;
                self.before = None;
            }
            None => self.place = FARTHEST + 1 - self.offset.min(0),
        }
    }

    fn conclude(&mut self) {
        for (link, taken) in self.links.iter().zip(&self.taken) {
            if !taken {
                self.findings.push(Damage::Inserted { seq: link.seq });
            }
        }
        // Records shifted by an insertion are still in order, and the insertion is reported above.
        let in_order = self.moved.is_sorted_by_key(|(_, found_at)| *found_at);
        if !in_order || self.findings.is_empty() {
            self.findings
                .extend(self.moved.iter().map(|(seq, found_at)| Damage::Reordered { seq: *seq, found_at: *found_at }));
        }
    }
}
