//! The YAML text as a tree in which every key and value knows its place. Texts are borrowed from the source where they
//! stand there unchanged.

use std::borrow::Cow;

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor, value::Error};

use super::diagnostic::Mark;

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node<'s> {
    pub kind: Kind<'s>,
    pub mark: Mark,
    /// Whether a template was filled in, so that the text differs from the source.
    pub rendered: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind<'s> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'s, str>),
    List(Vec<Node<'s>>),
    Map(Vec<(Key<'s>, Node<'s>)>),
    /// Already reported; nothing more is said about it.
    Faulty,
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// A key with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key<'s> {
    pub name: Cow<'s, str>,
    pub mark: Mark,
}

impl<'s> Node<'s> {
    /// The value under `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&Node<'s>> {
        self.entries().iter().find(|(name, _)| name.name == key).map(|(_, value)| value)
    }

    /// The same, to change it.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node<'s>> {
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
    pub(crate) fn path(&self, path: &[&str]) -> &Node<'s> {
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
    pub(crate) fn entries(&self) -> &[(Key<'s>, Node<'s>)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Elements, when this is a list.
    pub(crate) fn items(&self) -> &[Node<'s>] {
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

    /// The place of `offset..offset+len` within the text of this scalar; the whole scalar when its text differs from
    /// the source (escapes, folding, templates).
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

impl<'de> IntoDeserializer<'de, Error> for &'de Node<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Reads a checked tree into the model.
impl<'de> Deserializer<'de> for &'de Node<'_> {
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
            Kind::Text(text) => visitor.visit_enum((&**text).into_deserializer()),
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

fn pairs<'de, 's>(entries: &'de [(Key<'s>, Node<'s>)]) -> impl Iterator<Item = (&'de str, &'de Node<'s>)> {
    entries.iter().map(|(key, value)| (&*key.name, value))
}
