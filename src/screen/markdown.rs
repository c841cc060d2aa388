//! Instructions: Markdown as lines of roles, in the order in which they were written and with nothing left out.

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::{Role, Text};
use crate::text::clean;

/// Markdown as lines: paragraphs, lists, code, emphasis and links. Whatever else it contains becomes plain text.
pub(super) fn lines(source: &str) -> Vec<Text> {
    let mut page = Page::default();
    for event in Parser::new(source) {
        page.take(event);
    }
    page.end_line();
    page.lines
}

/// The lines built so far, and the state of the parser between events.
#[derive(Default)]
struct Page {
    lines: Vec<Text>,
    /// The line that is being filled.
    line: Text,
    /// Whether that line holds only the mark of its list item.
    marked: bool,
    /// For each list around the next word: the number of its next item; `None` for bullets.
    lists: Vec<Option<u64>>,
    /// How many headings and emphases are around the next word.
    strong: usize,
    /// The code block that is being read. It arrives in pieces that are not lines.
    code: Option<String>,
    /// Links around the next word: where each leads, and its text up to now.
    links: Vec<(String, String)>,
}

impl Page {
    fn take(&mut self, event: Event) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.code.is_some() => self.code.iter_mut().for_each(|code| code.push_str(&text)),
            Event::Text(text) | Event::InlineHtml(text) => {
                let role = if self.strong > 0 { Role::Strong } else { Role::Plain };
                self.say(role, &text);
            }
            Event::Code(code) => self.say(Role::Strong, &code),
            Event::Html(text) => {
                for line in text.lines() {
                    self.say(Role::Plain, line);
                    self.end_line();
                }
            }
            Event::SoftBreak => self.say(Role::Plain, " "),
            Event::HardBreak => self.end_line(),
            Event::Rule => {
                self.end_line();
                self.lines.push(Text::default());
            }
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag) {
        match tag {
            Tag::Strong => self.strong += 1,
            Tag::Heading { .. } => {
                self.begin_block();
                self.strong += 1;
            }
            Tag::Paragraph | Tag::BlockQuote(_) | Tag::HtmlBlock => self.begin_block(),
            Tag::List(first) => {
                self.begin_block();
                self.lists.push(first);
            }
            Tag::Item => self.mark_item(),
            Tag::CodeBlock(_) => {
                // In a tight list nothing else ends the line before this block.
                self.end_line();
                self.code = Some(String::new());
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.links.push((dest_url.into_string(), String::new()));
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Strong => self.strong = self.strong.saturating_sub(1),
            TagEnd::Heading(_) => {
                self.strong = self.strong.saturating_sub(1);
                self.end_line();
            }
            TagEnd::Paragraph | TagEnd::Item => self.end_line(),
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::CodeBlock => {
                let code = self.code.take().unwrap_or_default();
                let indent = "  ".repeat(self.lists.len() + 1);
                self.lines.extend(code.lines().map(|line| Text::new(Role::Dim, format!("{indent}{}", clean(line)))));
            }
            TagEnd::Link | TagEnd::Image => {
                let Some((to, text)) = self.links.pop() else { return };
                // A bare address, of a page or of a person, already shows where it leads.
                if !to.is_empty() && to != text && to.strip_prefix("mailto:") != Some(text.as_str()) {
                    self.say(Role::Dim, &format!(" ({to})"));
                }
            }
            _ => {}
        }
    }

    /// The mark of the next item: `• ` or `1. `.
    fn mark_item(&mut self) {
        self.end_line();
        let indent = "  ".repeat(self.lists.len().saturating_sub(1));
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}. ");
                *number = number.saturating_add(1);
                mark
            }
            _ => "• ".to_owned(),
        };
        self.line = Text::new(Role::Dim, format!("{indent}{mark}"));
        self.marked = true;
    }

    fn say(&mut self, role: Role, text: &str) {
        if self.line.0.is_empty() && !self.lists.is_empty() {
            self.line = Text::plain("  ".repeat(self.lists.len()));
        }
        for (_, said) in &mut self.links {
            said.push_str(text);
        }
        self.line = std::mem::take(&mut self.line).and(role, clean(text));
        self.marked = false;
    }

    /// Begins a block on a line of its own, or right after the mark of its item.
    fn begin_block(&mut self) {
        if !self.marked {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !line.0.is_empty() {
            self.lines.push(line);
        }
        self.marked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(source: &str) -> Vec<String> {
        lines(source).iter().map(Text::to_plain).collect()
    }

    #[test]
    fn a_sentence_of_a_tight_list_comes_before_its_code() {
        let source =
            "Do this:\n\n- Stop the job:\n  ```\n  systemctl stop job\n\n  echo done\n  ```\n  Then wait.\n- Go on\n";
        let expected = [
            "Do this:",
            "• Stop the job:",
            "    systemctl stop job",
            "    ",
            "    echo done",
            "  Then wait.",
            "• Go on",
        ];
        assert_eq!(told(source), expected);
    }

    #[test]
    fn items_keep_their_numbers_at_every_depth() {
        let source = "3. three\n   - a bullet\n     1. one\n     2. two\n   - another\n4. four\n\n   and more of it\n";
        let expected =
            ["3. three", "  • a bullet", "    1. one", "    2. two", "  • another", "4. four", "  and more of it"];
        assert_eq!(told(source), expected);
    }

    #[test]
    fn a_link_says_where_it_leads_unless_its_text_does() {
        let source = "See [the **page**](https://a.example/x), <https://b.example/>, <ops@c.example> and \
                      ![a picture](https://d.example/p.png).";
        let expected = "See the page (https://a.example/x), https://b.example/, ops@c.example and \
                        a picture (https://d.example/p.png).";
        assert_eq!(told(source), [expected]);
    }

    #[test]
    fn emphasis_in_a_heading_does_not_end_it() {
        let page = lines("# One **two** three\n\nplain **strong `code`** plain");
        let roles = |line: &Text| line.0.iter().map(|piece| (piece.role, piece.text.clone())).collect::<Vec<_>>();
        assert!(roles(&page[0]).iter().all(|(role, _)| *role == Role::Strong), "{page:?}");
        assert_eq!(page[1].0.last().unwrap().role, Role::Plain);
    }

    #[test]
    fn nothing_hidden_gets_onto_a_line() {
        let source = "a\u{1b}[2J [b](https://x/\u{202e}y)\r\n\n    code\u{9b}\r\n    more\r\n\n<div>\n\u{1b}\n</div>\n";
        let told = told(source);
        assert!(!told.concat().contains(['\u{1b}', '\u{9b}', '\u{202e}', '\n', '\r']), "{told:?}");
        assert!(told.contains(&"  more".to_owned()), "{told:?}");
    }
}
