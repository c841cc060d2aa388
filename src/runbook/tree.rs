//! The YAML text as an owned tree in which every key and value knows its place.
//!
//! Reading stops at budgets, not at exhaustion: what comes in may be a bomb.

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor, value::Error};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::diagnostic::{Diagnostic, Mark};

/// Largest runbook in bytes. The longest real ones are some hundred kilobytes.
pub(crate) const LARGEST: u64 = 4 * 1024 * 1024;
/// Deepest nesting; the language itself needs fewer than twenty levels.
const DEPTH: usize = 48;
/// Most keys, values and lists, aliases expanded.
const NODES: usize = 300_000;

/// Up to this many keys are compared one by one.
const FEW: usize = 16;

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub kind: Kind,
    pub mark: Mark,
    /// Whether a template was filled in: its letters are not those of the source.
    pub rendered: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    /// Already found faulty; nothing more is said about it.
    Faulty,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// A key with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub name: String,
    pub mark: Mark,
}

impl Node {
    /// The value under `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name.name == key).map(|(_, value)| value)
    }

    /// The same, to change it.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.kind {
            Kind::Map(entries) => entries.iter_mut().find(|(name, _)| name.name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Where `key` itself stands; the place of this node when it is not there.
    pub(crate) fn key(&self, key: &str) -> Mark {
        self.entries().iter().find(|(name, _)| name.name == key).map_or(self.mark, |(name, _)| name.mark)
    }

    /// The value under a path of keys and positions, as far as it goes.
    pub(crate) fn path(&self, path: &[&str]) -> &Node {
        let mut node = self;
        for step in path {
            let next = match &node.kind {
                Kind::List(items) => step.parse::<usize>().ok().and_then(|at| items.get(at)),
                _ => node.get(step),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// Keys and values, when this is a mapping.
    pub(crate) fn entries(&self) -> &[(Key, Node)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Elements, when this is a list.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// The text, when this is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The place of `offset..offset+len` within the text of this scalar; all of it when its letters do not
    /// stand in the source as they are (escapes, folding, templates).
    pub(crate) fn within(&self, source: &str, offset: usize, len: usize) -> Mark {
        let Some(text) = self.text().filter(|_| !self.rendered) else { return self.mark };
        for quote in [0, 1] {
            let start = self.mark.offset + quote;
            if source.get(start..).is_some_and(|rest| rest.starts_with(text)) {
                return Mark { offset: start + offset.min(text.len()), len };
            }
        }
        self.within_block(source, text, offset, len).unwrap_or(self.mark)
    }

    /// The same in a block scalar, whose lines stand in the source with an indentation before each.
    fn within_block(&self, source: &str, text: &str, offset: usize, len: usize) -> Option<Mark> {
        let before = text.get(..offset)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let mut lines = source.get(self.mark.offset..)?.split_inclusive('\n');
        let mut at = self.mark.offset;
        for wanted in text.lines().take(before.matches('\n').count() + 1) {
            loop {
                let line = lines.next()?;
                at += line.len();
                if let Some(indent) = line.find(wanted)
                    && line.get(..indent)?.trim().is_empty()
                    && line.get(indent..)?.trim_end() == wanted.trim_end()
                {
                    if wanted.as_ptr() == text.get(line_start..)?.as_ptr() {
                        let offset = at - line.len() + indent + (offset - line_start);
                        return Some(Mark { offset, len: len.min(wanted.len()).max(1) });
                    }
                    break;
                }
            }
        }
        None
    }
}

/// Reads one YAML document.
pub(crate) fn parse(source: &str) -> Result<Node, Vec<Diagnostic>> {
    if let Some(at) = source.find('\0') {
        let mark = Mark { offset: at, len: 1 };
        return Err(vec![Diagnostic::new("a runbook is text, but there is a NUL byte in it").at(mark, "here")]);
    }
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        legacy_octal_numbers: false,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_events: 2 * NODES,
            max_nodes: NODES,
            max_depth: DEPTH,
            flow_nesting_limit: DEPTH,
            max_documents: 1,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_recorded_anchor_events: 100_000,
            max_recorded_anchor_bytes: 8 * 1024 * 1024,
            max_total_scalar_bytes: 16 * 1024 * 1024,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 16,
            max_alias_expansions_per_anchor: 1_000,
        },
    };
    let root: Raw = serde_saphyr::from_str_with_options(source, options).map_err(|error| {
        let mark = error.location().map_or(Mark { offset: 0, len: 1 }, |location| place(source, location));
        vec![Diagnostic::new("this is not YAML that can be read").at(mark, reason(&error))]
    })?;
    let mut faults = Vec::new();
    duplicates(&root.0, &mut faults);
    if faults.is_empty() { Ok(root.0) } else { Err(faults) }
}

/// The place of a parser's complaint, which may know line and column only.
fn place(source: &str, location: Location) -> Mark {
    if location.span().byte_offset().is_some() {
        return mark_of(location);
    }
    let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).saturating_sub(1);
    let start: usize = source.split_inclusive('\n').take(index(location.line())).map(str::len).sum();
    let line = source.get(start..).unwrap_or_default();
    let column = line.char_indices().nth(index(location.column())).map_or(line.len(), |(at, _)| at);
    Mark { offset: start + column, len: 1 }
}

/// The parser's own sentence without the place, which the diagnostic shows.
fn reason(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::Budget { breach, .. } = error.without_snippet() {
        return match breach {
            BudgetBreach::Documents { .. } => "a runbook is one document, but here a second one begins".to_owned(),
            BudgetBreach::Depth { .. } => format!("this is nested more than {DEPTH} levels deep"),
            BudgetBreach::Events { .. } | BudgetBreach::Nodes { .. } => {
                "these are far more values than a runbook can need".to_owned()
            }
            _ => "its anchors and aliases come to far more text than a runbook can need".to_owned(),
        };
    }
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    text.trim().trim_end_matches([':', ',', '.']).to_owned()
}

fn duplicates(node: &Node, faults: &mut Vec<Diagnostic>) {
    let entries = node.entries();
    // Nearly all mappings have a handful of keys: looking back is faster than hashing. Names can be many.
    let mut many = (entries.len() > FEW).then(std::collections::HashMap::new);
    for (at, (key, value)) in entries.iter().enumerate() {
        let first = match &mut many {
            Some(seen) => seen.insert(key.name.as_str(), key.mark),
            None => entries.iter().take(at).find(|(before, _)| before.name == key.name).map(|(before, _)| before.mark),
        };
        if let Some(first) = first {
            faults.push(
                Diagnostic::new(format!("`{}` is there twice", key.name))
                    .at(key.mark, "again")
                    .also(first, "first here"),
            );
        }
        duplicates(value, faults);
    }
    for item in node.items() {
        duplicates(item, faults);
    }
}

fn mark_of(location: Location) -> Mark {
    let span = location.span();
    let index = |n: Option<u64>| n.and_then(|n| usize::try_from(n).ok());
    Mark { offset: index(span.byte_offset()).unwrap_or(0), len: index(span.byte_len()).unwrap_or(0).max(1) }
}

/// A node on its way out of the YAML reader.
struct Raw(Node);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Bare>::deserialize(deserializer)?;
        Ok(Self(Node { kind: spanned.value.0, mark: mark_of(spanned.referenced), rendered: false }))
    }
}

struct Bare(Kind);

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BareVisitor).map(Bare)
    }
}

struct BareVisitor;

impl<'de> Visitor<'de> for BareVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(yes))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Kind, E> {
        Ok(Kind::Int(n))
    }

    #[allow(clippy::cast_precision_loss)] // beyond i64 nothing in the language is a whole number
    fn visit_u64<E>(self, n: u64) -> Result<Kind, E> {
        Ok(i64::try_from(n).map_or(Kind::Float(n as f64), Kind::Int))
    }

    fn visit_f64<E>(self, x: f64) -> Result<Kind, E> {
        Ok(Kind::Float(x))
    }

    fn visit_str<E>(self, text: &str) -> Result<Kind, E> {
        Ok(Kind::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Kind, E> {
        Ok(Kind::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(Raw(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let Raw(value) = map.next_value()?;
            entries.push((Key { name: key.value, mark: mark_of(key.referenced) }, value));
        }
        Ok(Kind::Map(entries))
    }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Lets a checked tree be read into the model.
impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Null | Kind::Faulty => visitor.visit_unit(),
            Kind::Bool(yes) => visitor.visit_bool(*yes),
            Kind::Int(n) => visitor.visit_i64(*n),
            Kind::Float(x) => visitor.visit_f64(*x),
            Kind::Text(text) => visitor.visit_borrowed_str(text),
            Kind::List(items) => visitor.visit_seq(SeqDeserializer::new(items.iter())),
            Kind::Map(entries) => visitor.visit_map(MapDeserializer::new(pairs(entries))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Map(entries) => visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(pairs(entries)))),
            Kind::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

fn pairs(entries: &[(Key, Node)]) -> impl Iterator<Item = (&str, &Node)> {
    entries.iter().map(|(key, value)| (key.name.as_str(), value))
}
