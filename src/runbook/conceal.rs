//! Finds secrets that stand in a runbook in clear text, to warn of them and to keep them out of excerpts.

use std::collections::HashMap;

use crate::core::quote::Placeholder;

use super::diagnostic::Mark;
use super::tree::{Kind, Node};
use super::yaml;

/// Parts of names that mark their value as a secret.
const TELLING: [&str; 8] = ["password", "passwd", "passphrase", "secret", "token", "credential", "api_key", "apikey"];
/// What begins a template.
const TEMPLATE: &str = "{{";
/// What a literal password stands behind in a connection string.
const PASSWORD: &str = "password=";
/// Where probes declare fields with their types.
const FIELDS: &str = "fields";
/// The types of fields.
const TYPES: [&str; 5] = ["bool", "int", "float", "string", "any"];
/// Where a literal secret may stand.
const SECTIONS: [&str; 5] = ["vars", "targets", "probes", "phases", "profiles"];

/// Whether a name marks its value as a secret.
pub(crate) fn telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    // A name of the place where a secret is kept is not a secret.
    if ["_dir", "_file", "_path"].iter().any(|place| name.ends_with(place)) {
        return false;
    }
    TELLING.iter().any(|word| name.contains(word))
        || ["authorization", "pgpassword", "key"].contains(&name.as_str())
        || name.ends_with("_key")
}

/// Where literal secrets stand in a runbook that was filled in, and how each was recognized.
pub(super) fn clear_text(root: &Node) -> Vec<(Mark, &'static str)> {
    let mut found = Vec::new();
    let profiles = root.get("profiles").map_or(&[][..], Node::entries);
    for of in std::iter::once(root).chain(profiles.iter().map(|(_, profile)| profile)) {
        for (_, target) in of.get("targets").map_or(&[][..], Node::entries) {
            let text = |kind: &str, key: &str| target.get(kind).and_then(|target| target.get(key));
            let places = [
                (text("postgres", "dsn"), "a password in the connection string"),
                (text("http", "url"), "a password in the address"),
            ];
            for (node, label) in places {
                found.extend(node.filter(|node| holds_password(node)).map(|node| (node.mark, label)));
            }
        }
        for (_, var) in of.get("vars").map_or(&[][..], Node::entries) {
            found.extend(Some(var).filter(|var| holds_password(var)).map(|var| (var.mark, "a password in it")));
        }
    }
    for section in SECTIONS {
        if let Some(node) = root.get(section) {
            named(node, &mut HashMap::new(), &mut |value: &Node| {
                // A value with a placeholder takes its secret from a template; any other is written out here.
                if value.text().is_some_and(|text| !text.is_empty() && !Placeholder::begins_in(text)) {
                    found.push((value.mark, "its key says that it is a secret"));
                }
            });
        }
    }
    found
}

/// Whether a text is a connection string or an address with a literal password in it.
fn holds_password(node: &Node) -> bool {
    node.text().is_some_and(|text| {
        text.parse::<tokio_postgres::Config>().is_ok_and(|config| config.get_password().is_some())
            || url::Url::parse(text).is_ok_and(|url| url.password().is_some())
    })
}

/// Calls `found` with every value under a key that marks a secret. The same few keys come again and again, so `known`
/// remembers which of them do. A type that a probe declares for a field is no secret, whatever the name of the field.
fn named<'n>(node: &'n Node, known: &mut HashMap<&'n str, bool>, found: &mut dyn FnMut(&Node)) {
    for (key, value) in node.entries() {
        match &value.kind {
            Kind::Map(_) if key.name == FIELDS => named(value, known, &mut |value: &Node| {
                if !value.text().is_some_and(|text| TYPES.contains(&text)) {
                    found(value);
                }
            }),
            Kind::List(_) | Kind::Map(_) => named(value, known, found),
            _ => {
                if *known.entry(&key.name).or_insert_with(|| telling(&key.name)) {
                    found(value);
                }
            }
        }
    }
    node.items().iter().for_each(|item| named(item, known, found));
}

/// What excerpts of a faulty source must not show. The source was not checked and may not even be YAML, so this hides
/// too much rather than too little.
pub(super) fn places(source: &str) -> Vec<Mark> {
    let mut found = Vec::new();
    match yaml::parse(source) {
        Ok(root) => named(&root, &mut HashMap::new(), &mut |value: &Node| {
            let literal = match &value.kind {
                Kind::Text(text) => !text.contains(TEMPLATE),
                Kind::Int(_) | Kind::Float(_) => true,
                _ => false,
            };
            if literal {
                found.push(value.mark);
            }
        }),
        Err(_) => by_lines(source, &mut found),
    }
    let end =
        |text: &str, ends: &[char]| text.find(|c: char| c.is_whitespace() || ends.contains(&c)).unwrap_or(text.len());
    let mut done = 0;
    while let Some(at) = source.get(done..).and_then(|rest| rest.find(PASSWORD)) {
        let offset = done + at + PASSWORD.len();
        let value = source.get(offset..).unwrap_or_default();
        let len = match value.strip_prefix('\'') {
            // The quote ends a literal in a template that goes on with the secret: `{{ 'password=' ~ … }}`.
            Some(rest) if rest.starts_with(' ') => 0,
            Some(rest) => {
                1 + end(rest, &['\'', '"']).max(rest.lines().next().and_then(|line| line.find('\'')).unwrap_or(0))
            }
            None if value.starts_with(TEMPLATE) => 0,
            None => end(value, &['"']),
        };
        found.push(Mark { offset, len });
        done = offset + len;
    }
    for (at, mark) in source.match_indices("://") {
        let start = at + mark.len();
        let authority =
            source.get(start..).map_or("", |rest| rest.get(..end(rest, &['/', '"', '\''])).unwrap_or_default());
        if let Some((user, _)) = authority.rsplit_once('@')
            && let Some((name, password)) = user.split_once(':')
        {
            found.push(Mark { offset: start + name.len() + 1, len: password.len() });
        }
    }
    found
}

/// The same line by line, for text that may be anything: everything after a key that marks a secret.
fn by_lines(source: &str, found: &mut Vec<Mark>) {
    // The indentation of a key whose value stands on the lines below it, and whether that may be a mapping.
    let mut below: Option<(usize, bool)> = None;
    let mut start = 0;
    for line in source.split_inclusive('\n') {
        let text = line.trim_end();
        let indent = text.len() - text.trim_start().len();
        let inside = below.filter(|(key, _)| indent > *key || text.is_empty());
        below = inside;
        if inside.is_some_and(|(_, mapping)| !mapping || !text.contains(':')) {
            found.push(Mark { offset: start + indent, len: text.len() - indent });
        } else if let Some(value) = text.match_indices(':').find_map(|(at, _)| value_of_telling(text, at)) {
            let rest = text.get(value..).unwrap_or_default();
            match rest.chars().next() {
                None | Some('#') => below = Some((indent, true)),
                Some('|' | '>') => below = Some((indent, false)),
                Some(_) => found.push(Mark { offset: start + value, len: rest.len() }),
            }
        }
        start += line.len();
    }
}

/// Where the value begins after the `:` at `at`, when the key marks a secret and the value is not a collection,
/// template or alias.
fn value_of_telling(line: &str, at: usize) -> Option<usize> {
    let key = line.get(..at)?.trim_end_matches(['"', '\'']);
    let other = |(_, c): &(usize, char)| !(c.is_alphanumeric() || matches!(c, '_' | '-'));
    let from = key.char_indices().rev().find(other).map_or(0, |(before, c)| before + c.len_utf8());
    let key = key.get(from..)?;
    let rest = line.get(at + 1..)?;
    let value = at + 1 + (rest.len() - rest.trim_start().len());
    let rest = rest.trim_start();
    let template = rest.trim_start_matches(['"', '\'']).starts_with(TEMPLATE);
    (telling(key) && !rest.starts_with(['{', '[', '*']) && !template).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> String {
        let mut bytes = source.as_bytes().to_vec();
        for Mark { offset, len } in places(source) {
            bytes[offset..offset + len].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'*');
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_tells_is_hidden_whether_or_not_it_can_be_read() {
        let secrets = "\
a:
  password: hunter2
  Api-Key: 'hunter 2'
  pin_token: 4711
  key_file: where
  private_key: |
    hunter2
    hunter2
  passphrase:
    hunter2
  secrets: { a: { env: X }, b_token: hunter2, c: \"{{ vars.c }}\" }
  secret: \"{{ secrets.a }}\"
  dsn: \"host=x password=hunter2 port=1\"
  other: \"password='hunter hunter2' port=1\"
  sql: \"{{ (' password=' ~ (secrets.a)) }}\"
  url: https://a:hunter2@web.example/x
";
        for broken in ["", "\t- : ]\n", "a: [\n"] {
            let shown = shown(&format!("{secrets}{broken}"));
            assert!(!shown.contains("hunter") && !shown.contains("4711"), "{shown}");
            for kept in [
                "where",
                "env: X",
                "{{ secrets.a }}",
                "host=x",
                "port=1",
                "' ~ (secrets.a))",
                "@web.example/x",
                "b_token",
            ] {
                assert!(shown.contains(kept), "{kept} in {shown}");
            }
            assert_eq!(shown.lines().count(), secrets.lines().count() + usize::from(!broken.is_empty()));
        }
    }
}
