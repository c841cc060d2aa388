//! Reads YAML text into the tree, straight from the parser's events.
//!
//! Reading is limited by budgets, since the text may be made to exhaust memory.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::diagnostic::{Diagnostic, Mark};
use super::scalar;
use super::tree::{Key, Kind, Node};

/// Deepest nesting; the language itself needs fewer than twenty levels.
const DEPTH: usize = 48;
/// Most keys, values and lists, aliases expanded.
const NODES: usize = 300_000;
/// Most values that anchors and aliases may expand to, and most bytes of text in them.
const COPIES: usize = 100_000;
const COPIED_TEXT: usize = 8 * 1024 * 1024;
/// Most aliases.
const ALIASES: usize = 1_000;

/// Up to this many keys are compared one by one.
const FEW: usize = 16;

/// The error that stops reading; boxed, since it is large and rare.
type Read<T> = Result<T, Box<Diagnostic>>;

/// Reads one YAML document. All duplicate keys are reported; any other fault ends the reading.
pub(crate) fn parse(source: &str) -> Result<Node<'_>, Vec<Diagnostic>> {
    if let Some(at) = source.find('\0') {
        let mark = Mark { offset: at, len: 1 };
        return Err(vec![Diagnostic::new("a runbook is text, but there is a NUL byte in it").at(mark, "here")]);
    }
    let mut reader = Reader::over(source);
    let root = reader.document().map_err(|fault| vec![*fault])?;
    if reader.twice.is_empty() { Ok(root) } else { Err(reader.twice) }
}

fn fault(mark: Mark, reason: impl AsRef<str>) -> Box<Diagnostic> {
    Box::new(Diagnostic::new("this is not YAML that can be read").at(mark, reason))
}

struct Reader<'s> {
    source: &'s str,
    events: Parser<'s, StrInput<'s>>,
    /// Entries and elements of open collections, the innermost last; each collection is built in one piece.
    entries: Vec<(Key<'s>, Node<'s>)>,
    items: Vec<Node<'s>>,
    /// Anchored values, by the parser's number. One that is still being read is missing.
    anchors: HashMap<usize, Node<'s>>,
    nodes: usize,
    aliases: usize,
    copies: usize,
    copied_text: usize,
    /// Faults for duplicate keys.
    twice: Vec<Diagnostic>,
}

impl<'s> Reader<'s> {
    fn over(source: &'s str) -> Self {
        let options = granit_parser::options! {
            flow_nesting_limit: DEPTH,
            emit_comments: false,
        };
        Self {
            source,
            events: Parser::new_from_str_with_options(source, options),
            entries: Vec::new(),
            items: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            aliases: 0,
            copies: 0,
            copied_text: 0,
            twice: Vec::new(),
        }
    }

    /// The next event that has to do with values or documents.
    fn event(&mut self) -> Read<Option<(Event<'s>, Mark)>> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok(Some((event, mark_of(&span)))),
            Some(Err(error)) => Err(fault(place(self.source, &error), reason(&error))),
            None => Ok(None),
        }
    }

    /// The next event within a collection, which the parser closes or complains about.
    fn inner(&mut self) -> Read<(Event<'s>, Mark)> {
        let end = Mark { offset: self.source.len(), len: 1 };
        self.event()?.ok_or_else(|| fault(end, "the text ends too early"))
    }

    fn document(&mut self) -> Read<Node<'s>> {
        let mut root = None;
        let mut documents = 0;
        let mut end = Mark { offset: 0, len: 1 };
        while let Some((event, mark)) = self.event()? {
            match event {
                Event::DocumentStart(..) if documents > 0 => {
                    return Err(fault(mark, "a runbook is one document, but here a second one begins"));
                }
                Event::DocumentStart(..) => documents += 1,
                Event::StreamEnd => end = mark,
                Event::StreamStart | Event::DocumentEnd => {}
                event => root = Some(self.node(event, mark, 0)?),
            }
        }
        Ok(root.unwrap_or(Node { kind: Kind::Null, mark: end, rendered: false }))
    }

    /// The value that begins with `event`, inside of `depth` collections.
    fn node(&mut self, event: Event<'s>, mark: Mark, depth: usize) -> Read<Node<'s>> {
        let (kind, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(mark)?;
                let kind = scalar::resolve(text, style == ScalarStyle::Plain, tag.as_deref());
                (kind.map_err(|why| fault(mark, why))?, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open("seq", tag.as_deref(), mark, depth)?;
                (self.list(depth + 1)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open("map", tag.as_deref(), mark, depth)?;
                (self.map(depth + 1)?, anchor)
            }
            Event::Alias(anchor) => return self.alias(anchor, mark, depth),
            _ => return Err(fault(mark, "expected a value")),
        };
        let node = Node { kind, mark, rendered: false };
        self.remember(anchor, &node)?;
        Ok(node)
    }

    fn count(&mut self, mark: Mark) -> Read<()> {
        self.nodes += 1;
        if self.nodes > NODES {
            return Err(fault(mark, "these are far more values than a runbook can need"));
        }
        Ok(())
    }

    /// Counts a collection inside of `depth` others.
    fn open(&mut self, kind: &str, tag: Option<&Tag>, mark: Mark, depth: usize) -> Read<()> {
        self.count(mark)?;
        if depth >= DEPTH {
            return Err(too_deep(mark));
        }
        match tag {
            Some(tag) if tag.core_suffix() != Some(kind) => Err(fault(mark, scalar::STRANGE_TAG)),
            _ => Ok(()),
        }
    }

    fn list(&mut self, depth: usize) -> Read<Kind<'s>> {
        let first = self.items.len();
        loop {
            match self.inner()? {
                (Event::SequenceEnd, _) => break,
                (event, mark) => {
                    let item = self.node(event, mark, depth)?;
                    self.items.push(item);
                }
            }
        }
        Ok(Kind::List(self.items.drain(first..).collect()))
    }

    fn map(&mut self, depth: usize) -> Read<Kind<'s>> {
        let first = self.entries.len();
        let mut merged = Vec::new();
        loop {
            let (event, mark) = self.inner()?;
            if event == Event::MappingEnd {
                break;
            }
            let (name, merges) = self.key(event, mark, depth)?;
            let (event, at) = self.inner()?;
            let value = self.node(event, at, depth)?;
            if merges {
                merge(value, &mut merged)?;
            } else {
                self.entries.push((Key { name, mark }, value));
            }
        }
        let mut entries: Vec<_> = self.entries.drain(first..).collect();
        self.tell_twice(&entries);
        if !merged.is_empty() {
            // Written entries come first, then merged ones in the order in which they were merged.
            let mut known: HashSet<Cow<'s, str>> = entries.iter().map(|(key, _)| key.name.clone()).collect();
            entries.extend(merged.into_iter().filter(|(key, _)| known.insert(key.name.clone())));
        }
        Ok(Kind::Map(entries))
    }

    /// A key, and whether it is the one that merges other mappings in.
    fn key(&mut self, event: Event<'s>, mark: Mark, depth: usize) -> Read<(Cow<'s, str>, bool)> {
        const TEXT: &str = "expected a text as the key";
        match event {
            Event::Scalar(name, style, anchor, tag) => {
                self.count(mark)?;
                let plain = style == ScalarStyle::Plain;
                if plain && tag.is_none() && scalar::is_null(&name) {
                    return Err(fault(mark, TEXT));
                }
                if anchor != 0 {
                    self.remember(anchor, &Node { kind: Kind::Text(name.clone()), mark, rendered: false })?;
                }
                let merges = plain && tag.is_none() && name == "<<";
                Ok((name, merges))
            }
            Event::Alias(anchor) => match self.alias(anchor, mark, depth)?.kind {
                Kind::Text(name) => Ok((name, false)),
                _ => Err(fault(mark, TEXT)),
            },
            _ => Err(fault(mark, TEXT)),
        }
    }

    fn tell_twice(&mut self, entries: &[(Key<'s>, Node<'s>)]) {
        // Nearly all mappings have only a few keys, for which comparing is faster than hashing. Mappings of names can
        // be large.
        let mut many = (entries.len() > FEW).then(HashMap::new);
        for (at, (key, _)) in entries.iter().enumerate() {
            let before = match &mut many {
                Some(seen) => seen.insert(&key.name, key.mark),
                None => entries.iter().take(at).find(|(other, _)| other.name == key.name).map(|(other, _)| other.mark),
            };
            if let Some(before) = before {
                let twice = Diagnostic::new(format!("`{}` is there twice", key.name));
                self.twice.push(twice.at(key.mark, "again").also(before, "first here"));
            }
        }
    }

    /// Keeps a copy of an anchored value.
    fn remember(&mut self, anchor: usize, node: &Node<'s>) -> Read<()> {
        if anchor != 0 {
            let copy = self.copy(node, None, 0)?;
            self.anchors.insert(anchor, copy);
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, mark: Mark, depth: usize) -> Read<Node<'s>> {
        self.aliases += 1;
        if self.aliases > ALIASES {
            return Err(too_much(mark));
        }
        let Some(node) = self.anchors.remove(&anchor) else {
            return Err(fault(mark, "this alias stands inside its own anchor"));
        };
        let copy = self.copy(&node, Some(mark), depth);
        self.anchors.insert(anchor, node);
        copy
    }

    /// A copy, counted against the budget. With `alias` every place in it is that of the alias.
    fn copy(&mut self, node: &Node<'s>, alias: Option<Mark>, depth: usize) -> Read<Node<'s>> {
        let mark = alias.unwrap_or(node.mark);
        self.pay(mark, node.text().map_or(0, str::len), alias.is_some())?;
        let kind = match &node.kind {
            Kind::List(_) | Kind::Map(_) if depth >= DEPTH => return Err(too_deep(mark)),
            Kind::List(items) => {
                Kind::List(items.iter().map(|item| self.copy(item, alias, depth + 1)).collect::<Read<_>>()?)
            }
            Kind::Map(entries) => {
                let mut copies = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    self.pay(mark, key.name.len(), alias.is_some())?;
                    let key = Key { name: key.name.clone(), mark: alias.unwrap_or(key.mark) };
                    copies.push((key, self.copy(value, alias, depth + 1)?));
                }
                Kind::Map(copies)
            }
            plain => plain.clone(),
        };
        Ok(Node { kind, mark, rendered: false })
    }

    fn pay(&mut self, mark: Mark, text: usize, expands: bool) -> Read<()> {
        self.copies += 1;
        self.copied_text += text;
        if self.copies > COPIES || self.copied_text > COPIED_TEXT {
            return Err(too_much(mark));
        }
        if expands { self.count(mark) } else { Ok(()) }
    }
}

/// Adds the entries that `<<` brings in.
fn merge<'s>(value: Node<'s>, merged: &mut Vec<(Key<'s>, Node<'s>)>) -> Read<()> {
    match value.kind {
        Kind::Null => Ok(()),
        Kind::Map(entries) => {
            merged.extend(entries);
            Ok(())
        }
        Kind::List(items) => items.into_iter().try_for_each(|item| match item.kind {
            Kind::Map(entries) => {
                merged.extend(entries);
                Ok(())
            }
            _ => Err(fault(item.mark, "expected a mapping to merge")),
        }),
        _ => Err(fault(value.mark, "expected a mapping to merge, or a list of them")),
    }
}

fn too_deep(mark: Mark) -> Box<Diagnostic> {
    fault(mark, format!("this is nested more than {DEPTH} levels deep"))
}

fn too_much(mark: Mark) -> Box<Diagnostic> {
    fault(mark, "its anchors and aliases come to far more text than a runbook can need")
}

fn mark_of(span: &Span) -> Mark {
    let offset = span.start.byte_offset().unwrap_or(0);
    let end = span.end.byte_offset().unwrap_or(offset);
    Mark { offset, len: end.saturating_sub(offset).max(1) }
}

/// The place of the parser's complaint.
fn place(source: &str, error: &ScanError) -> Mark {
    let marker = error.marker();
    let lines = marker.line().saturating_sub(1);
    let start: usize = source.split_inclusive('\n').take(lines).map(str::len).sum();
    let line = source.get(start..).unwrap_or_default();
    let column = line.char_indices().nth(marker.col()).map_or(line.len(), |(at, _)| at);
    Mark { offset: start + column, len: 1 }
}

/// The parser's own sentence, mostly.
fn reason(error: &ScanError) -> String {
    match error.kind() {
        ErrorKind::UnknownAnchor => "alias references unknown anchor".to_owned(),
        _ => error.info().trim().trim_end_matches([':', ',', '.']).to_owned(),
    }
}

#[cfg(test)]
mod tests;
