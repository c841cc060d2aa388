//! XML as Route 53 speaks it: a tree of named elements without attributes.

use std::fmt::Write as _;

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;

/// Deepest nesting that is read.
const DEEPEST: usize = 32;

/// An element with its text and the elements in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// The first element of that name in it.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first element of that name in it.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }
}

/// Reads a document. `None` when it is none.
pub(super) fn parse(text: &str) -> Option<Element> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = vec![Element::default()];
    let named = |name: &str| Element { name: name.to_owned(), ..Element::default() };
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if open.len() < DEEPEST => open.push(named(start.local_name().as_ref())),
            Event::Start(_) => return None,
            Event::Empty(start) => open.last_mut()?.children.push(named(start.local_name().as_ref())),
            Event::End(_) => {
                let ended = open.pop()?;
                open.last_mut()?.children.push(ended);
            }
            Event::Text(text) => open.last_mut()?.text.push_str(&text),
            Event::CData(text) => open.last_mut()?.text.push_str(&text),
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref().ok()? {
                    Some(character) => character,
                    None => match &*reference {
                        "lt" => '<',
                        "gt" => '>',
                        "amp" => '&',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => return None,
                    },
                };
                open.last_mut()?.text.push(character);
            }
            Event::Eof => break,
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    let mut root = open.pop().filter(|_| open.is_empty())?;
    (root.children.len() == 1).then(|| root.children.pop())?
}

/// A document under way.
#[derive(Debug, Default)]
pub(super) struct XmlText(String);

impl XmlText {
    /// An element with what `inside` writes.
    pub(super) fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self)) -> &mut Self {
        let _ = write!(self.0, "<{name}>");
        inside(self);
        let _ = write!(self.0, "</{name}>");
        self
    }

    /// An element with text.
    pub(super) fn text(&mut self, name: &str, text: impl std::fmt::Display) -> &mut Self {
        let text = text.to_string();
        self.element(name, |inside| inside.0.push_str(&escape(text.as_str())))
    }

    /// An element with text, where there is any.
    pub(super) fn some(&mut self, name: &str, text: Option<impl std::fmt::Display>) -> &mut Self {
        if let Some(text) = text {
            self.text(name, text);
        }
        self
    }

    /// The document with `name` around it, in the name space of the service.
    pub(super) fn document(&self, name: &str, space: &str) -> String {
        format!("<?xml version=\"1.0\"?>\n<{name} xmlns=\"{space}\">{}</{name}>", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut written = XmlText::default();
        written.text("Value", "\"a\" & <b> é").element("Alias", |alias| {
            alias.text("DNSName", "x.").some("Weight", None::<u8>);
        });
        let read = parse(&written.document("Set", "https://example.com/")).unwrap();
        assert_eq!(read.name, "Set");
        assert_eq!(read.text_of("Value"), Some("\"a\" & <b> é"));
        assert_eq!(read.child("Alias").and_then(|alias| alias.text_of("DNSName")), Some("x."));
        assert_eq!(read.child("Alias").map(|alias| alias.children.len()), Some(1));
    }

    #[test]
    fn what_is_no_document_is_none() {
        for text in ["", "a", "<a>", "<a></b>", "</a>", "<a/><b/>", "<a>&nonsense;</a>", &"<a>".repeat(100)] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
