//! Follows the spool files of a command and passes on as many lines as a person can read.
//!
//! Memory is bounded whatever is printed: long lines are cut, and when lines come faster than [`RATE`] the newest are
//! shown and the others counted. The files hold all of them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Instant;

use super::Reporter;
use super::spool::Spool;
use crate::core::job::Stream;

/// Lines shown per second, and at once after a quiet time.
const RATE: usize = 200;
/// Bytes shown of one line.
const LONGEST: usize = 4 * 1024;
/// Bytes read at a time.
const PIECE: usize = 256 * 1024;
/// Bytes read of each stream in one go, so that other jobs get their turn.
const TURN: usize = 8 * 1024 * 1024;
/// Bytes before its end at which an adopted job's output is taken up.
const REACH_BACK: u64 = 8 * 1024;
/// Last lines kept for the sentence about a failure.
const LAST_WORDS: usize = 3;

/// Both streams of one job.
pub(in crate::world::live) struct Tail {
    streams: [Follow; 2],
    piece: Vec<u8>,
    allowance: usize,
    filled: Instant,
}

impl Tail {
    /// From the beginning, or from shortly before the end as it is now.
    pub(in crate::world::live) fn new(spool: &Spool, from_end: bool) -> Self {
        let follow = |stream| Follow::new(spool, stream, from_end);
        Self {
            streams: [follow(Stream::Out), follow(Stream::Err)],
            piece: vec![0; PIECE],
            allowance: RATE,
            filled: Instant::now(),
        }
    }

    /// Passes on what is new. True when there may be more at once.
    pub(in crate::world::live) fn poll(&mut self, report: &Reporter) -> bool {
        self.refill();
        let mut more = false;
        for follow in &mut self.streams {
            let mut lines = VecDeque::new();
            let mut dropped = 0;
            more |= follow.read(&mut self.piece, self.allowance, &mut lines, &mut dropped);
            self.allowance -= lines.len().min(self.allowance);
            report.dropped(dropped);
            for line in lines {
                follow.pass_on(&line, report);
            }
        }
        more
    }

    /// Passes on what is left, including a last line without a break.
    pub(in crate::world::live) fn finish(&mut self, report: &Reporter) {
        while self.poll(report) {}
        for follow in &mut self.streams {
            if !follow.open.is_empty() {
                let line = std::mem::take(&mut follow.open);
                follow.pass_on(&Line { bytes: line, cut: follow.cut }, report);
            }
        }
    }

    /// The last lines of standard error, or of standard output when there is none.
    pub(in crate::world::live) fn last_words(&self) -> String {
        let [out, err] = &self.streams;
        let words = if err.last.is_empty() { &out.last } else { &err.last };
        words.iter().map(String::as_str).collect::<Vec<_>>().join(" / ")
    }

    fn refill(&mut self) {
        let elapsed = self.filled.elapsed().as_millis();
        let new = usize::try_from(elapsed).unwrap_or(RATE).saturating_mul(RATE) / 1_000;
        if new > 0 {
            self.allowance = (self.allowance + new).min(RATE);
            self.filled = Instant::now();
        }
    }
}

struct Line {
    bytes: Vec<u8>,
    /// Bytes beyond [`LONGEST`].
    cut: u64,
}

struct Follow {
    stream: Stream,
    path: std::path::PathBuf,
    file: Option<File>,
    from_end: bool,
    /// The line that has no break yet.
    open: Vec<u8>,
    cut: u64,
    last: VecDeque<String>,
}

impl Follow {
    fn new(spool: &Spool, stream: Stream, from_end: bool) -> Self {
        Self {
            stream,
            path: spool.stream(stream),
            file: None,
            from_end,
            open: Vec::new(),
            cut: 0,
            last: VecDeque::new(),
        }
    }

    fn read(&mut self, piece: &mut [u8], most: usize, lines: &mut VecDeque<Line>, dropped: &mut u64) -> bool {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
            if let Some(file) = self.file.as_mut().filter(|_| self.from_end) {
                let size = file.metadata().map_or(0, |metadata| metadata.len());
                // A line without its beginning is better than none.
                let _ = file.seek(SeekFrom::Start(size.saturating_sub(REACH_BACK)));
            }
        }
        let Some(file) = &mut self.file else { return false };
        let mut taken = 0;
        while taken < TURN {
            let Some(new) = file.read(piece).ok().filter(|&n| n > 0).and_then(|n| piece.get(..n)) else {
                return false;
            };
            taken += new.len();
            split(new, &mut self.open, &mut self.cut, most, lines, dropped);
        }
        true
    }

    fn pass_on(&mut self, line: &Line, report: &Reporter) {
        let text = String::from_utf8_lossy(&line.bytes);
        let mut told = report.tell(text.strip_suffix('\r').unwrap_or(&text));
        if !told.trim().is_empty() {
            if self.last.len() == LAST_WORDS {
                self.last.pop_front();
            }
            self.last.push_back(told.chars().take(200).collect());
        }
        if line.cut > 0 {
            told = format!("{told}… ({} more bytes)", line.cut);
        }
        report.told(self.stream, told);
    }
}

/// Splits `new` into lines and keeps the newest `most` of them.
fn split(new: &[u8], open: &mut Vec<u8>, cut: &mut u64, most: usize, lines: &mut VecDeque<Line>, dropped: &mut u64) {
    // Lines beyond the limit are only counted, not built.
    let start = new.iter().rev().enumerate().filter(|&(_, &byte)| byte == b'\n').nth(most);
    let start = start.map_or(0, |(from_end, _)| new.len() - from_end);
    let (unseen, seen) = new.split_at(start);
    if start > 0 {
        *dropped += unseen.iter().map(|&byte| u64::from(byte == b'\n')).sum::<u64>();
        open.clear();
        *cut = 0;
    }
    let mut rest = seen;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\n') {
        extend(open, cut, rest.get(..at).unwrap_or_default());
        lines.push_back(Line { bytes: std::mem::take(open), cut: std::mem::take(cut) });
        if lines.len() > most {
            lines.pop_front();
            *dropped += 1;
        }
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    extend(open, cut, rest);
}

fn extend(open: &mut Vec<u8>, cut: &mut u64, bytes: &[u8]) {
    let room = LONGEST.saturating_sub(open.len()).min(bytes.len());
    let (now, over) = bytes.split_at(room);
    open.extend_from_slice(now);
    *cut += over.len() as u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_the_others_counted() {
        let text = (0..1_000).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat();
        for piece in [7, 64, 100_000] {
            let (mut open, mut cut, mut lines, mut dropped) = (Vec::new(), 0, VecDeque::new(), 0);
            for part in text.as_bytes().chunks(piece) {
                split(part, &mut open, &mut cut, 10, &mut lines, &mut dropped);
            }
            assert_eq!(lines.len(), 10);
            assert_eq!(dropped, 990);
            assert_eq!(lines.back().unwrap().bytes, b"line 999");
        }
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let (mut open, mut cut, mut lines, mut dropped) = (Vec::new(), 0, VecDeque::new(), 0);
        for _ in 0..100 {
            split(&[b'x'; 10_000], &mut open, &mut cut, 10, &mut lines, &mut dropped);
        }
        assert_eq!(open.len(), LONGEST);
        assert_eq!(cut, 1_000_000 - LONGEST as u64);
        split(b"\n", &mut open, &mut cut, 10, &mut lines, &mut dropped);
        assert_eq!((lines.len(), cut), (1, 0));
    }
}
