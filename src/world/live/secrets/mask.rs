//! Finds secret values in all text that leaves the program and replaces them by their names.
//!
//! It finds a secret in the forms in which it may appear ([`super::forms`]), but not after compression or encryption,
//! or when a value is printed in pieces.

use std::collections::BTreeMap;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};

use super::forms::forms;

/// Replaces known secret values by `«secret:NAME»`.
#[derive(Clone, Debug, Default)]
pub(in crate::world::live) struct Masker(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    finder: AhoCorasick,
    /// The texts that are searched with their replacements, in the order of the finder.
    needles: Vec<(Vec<u8>, String)>,
}

impl Masker {
    /// A masker for these (name, value) pairs.
    pub(in crate::world::live) fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut needles = BTreeMap::new();
        for (name, value) in secrets {
            for form in forms(value) {
                needles.entry(form).or_insert_with(|| format!("«secret:{name}»"));
            }
        }
        Self::from_needles(needles.into_iter().collect())
    }

    /// A masker from [`Masker::needles`] of another process.
    pub(in crate::world::live) fn from_needles(needles: Vec<(Vec<u8>, String)>) -> Self {
        if needles.is_empty() {
            return Self(None);
        }
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(needles.iter().map(|(form, _)| form))
            .ok();
        Self(finder.map(|finder| Arc::new(Inner { finder, needles })))
    }

    /// All forms that are looked for, with their replacement.
    pub(in crate::world::live) fn needles(&self) -> Vec<(Vec<u8>, String)> {
        self.0.as_ref().map(|inner| inner.needles.clone()).unwrap_or_default()
    }

    /// `text` with every known secret replaced by its name.
    pub(in crate::world::live) fn mask(&self, text: &str) -> String {
        let mut out = Vec::with_capacity(text.len());
        self.replace(text.as_bytes(), text.len(), &mut out);
        String::from_utf8(out).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned())
    }

    /// Writes `bytes` up to `until` to `out` with secrets replaced; a secret that starts before `until` is replaced as a
    /// whole. Returns how many bytes were processed.
    fn replace(&self, bytes: &[u8], until: usize, out: &mut Vec<u8>) -> usize {
        let mut done = 0;
        if let Some(inner) = &self.0 {
            for found in inner.finder.find_iter(bytes) {
                if found.start() >= until {
                    break;
                }
                out.extend_from_slice(bytes.get(done..found.start()).unwrap_or_default());
                if let Some((_, label)) = inner.needles.get(found.pattern().as_usize()) {
                    out.extend_from_slice(label.as_bytes());
                }
                done = found.end();
            }
        }
        if done < until {
            out.extend_from_slice(bytes.get(done..until).unwrap_or_default());
            done = until;
        }
        done
    }

    /// Length of the longest end of `bytes` that could be the beginning of a secret.
    fn open_end(&self, bytes: &[u8]) -> usize {
        let Some(inner) = &self.0 else { return 0 };
        let last = bytes.last();
        let open = |needle: &Vec<u8>| {
            (1..needle.len().min(bytes.len() + 1)).rev().find(|&len| {
                // There are many needles, and nearly all of them differ in this last byte.
                needle.get(len - 1) == last && needle.get(..len).is_some_and(|start| bytes.ends_with(start))
            })
        };
        inner.needles.iter().filter_map(|(needle, _)| open(needle)).max().unwrap_or(0)
    }
}

/// Masks a stream that arrives in pieces, including secrets that are split between two pieces.
#[derive(Debug)]
pub(in crate::world::live) struct StreamMask {
    masker: Masker,
    held: Vec<u8>,
}

impl StreamMask {
    /// A stream with nothing in it yet.
    pub(in crate::world::live) fn new(masker: Masker) -> Self {
        Self { masker, held: Vec::new() }
    }

    /// Takes a piece and appends to `out` what cannot be part of a secret that continues.
    pub(in crate::world::live) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.masker.0.is_none() {
            out.extend_from_slice(piece);
            return;
        }
        self.held.extend_from_slice(piece);
        let until = self.held.len().saturating_sub(self.masker.open_end(&self.held));
        let done = self.masker.replace(&self.held, until, out);
        self.held.drain(..done);
    }

    /// Appends the rest to `out` at the end of the stream.
    pub(in crate::world::live) fn finish(&mut self, out: &mut Vec<u8>) {
        self.masker.replace(&self.held, self.held.len(), out);
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_many_lines_is_found_line_by_line() {
        let masker = Masker::new([("key", "-----BEGIN KEY-----\nabcdefghijkl\nmnopqrstuvwx\n-----END KEY-----\n")]);
        assert_eq!(masker.mask("x mnopqrstuvwx y"), "x «secret:key» y");
    }

    #[test]
    fn a_secret_cut_anywhere_is_found() {
        let masker = Masker::new([("a", "abcabd"), ("b", "abcabdxyz")]);
        let text = b"..abcababcabd..abcabdxyz..abcabdxyabcab";
        for cut in 0..text.len() {
            for second in cut..text.len() {
                let mut stream = StreamMask::new(masker.clone());
                let mut out = Vec::new();
                stream.push(&text[..cut], &mut out);
                stream.push(&text[cut..second], &mut out);
                stream.push(&text[second..], &mut out);
                stream.finish(&mut out);
                let out = String::from_utf8(out).unwrap();
                assert_eq!(out, "..abcab«secret:a»..«secret:b»..«secret:a»xyabcab", "{cut} {second}");
            }
        }
    }

    #[test]
    fn short_values_are_left_alone() {
        assert_eq!(Masker::new([("pin", "abc")]).mask("abc"), "abc");
    }
}
