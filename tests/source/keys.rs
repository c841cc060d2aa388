//! Keys are named in one table: no front end spells one by hand, so that a key that is moved is told right everywhere.

use std::str::FromStr as _;

use gonogo::screen::keys::KEYS;
use proc_macro2::{TokenStream, TokenTree};

use crate::reader::Source;

/// The table itself.
const MAY_SPELL: &[&str] = &["screen/keys.rs"];

/// Whether a word of a text is how a key is told. A letter behind a number is its unit: `5 s`.
fn is_key(word: &str, before: Option<&str>) -> bool {
    let follows_number = before.is_some_and(|before| before.ends_with(|c: char| c.is_ascii_digit() || c == '}'));
    // Digits and signs stand for themselves nearly everywhere.
    let is_sign = word.len() == 1 && !word.starts_with(char::is_alphabetic);
    let is_told = KEYS.iter().flat_map(|def| def.binding).any(|key| key.to_string() == word);
    is_told && !is_sign && !(follows_number && word.len() == 1)
}

fn spelled(literal: &str) -> Option<String> {
    let words: Vec<&str> = literal
        .split_whitespace()
        .map(|word| word.trim_matches([',', ';', ':', '.', '(', ')', '"', '\'', '`']))
        .collect();
    // A text of one word is a name, not advice.
    if words.len() < 2 {
        return None;
    }
    let before = |at: usize| at.checked_sub(1).and_then(|at| words.get(at)).copied();
    words.iter().enumerate().find(|(at, word)| is_key(word, before(*at))).map(|(_, word)| (*word).to_owned())
}

/// Texts in the code that is not compiled for tests only.
fn texts(tokens: TokenStream, found: &mut Vec<(usize, String)>) {
    let mut in_tests = false;
    for token in tokens {
        match &token {
            TokenTree::Group(group) => {
                let text = group.to_string();
                if text.starts_with("[doc ") {
                    continue;
                }
                if text == "[cfg (test)]" {
                    in_tests = true;
                } else if !in_tests || text.starts_with('[') {
                    texts(group.stream(), found);
                } else {
                    in_tests = false;
                }
            }
            TokenTree::Literal(literal) => {
                if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                    found.push((literal.span().start().line, text.value()));
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

#[test]
fn no_front_end_spells_a_key() {
    let mut found = Vec::new();
    let source = Source::of_this_package();
    let mut files: Vec<&str> = ["ui", "screen", "plain", "cockpit", "session", "replay"]
        .iter()
        .flat_map(|folder| source.files_of(folder))
        .collect();
    files.retain(|file| !MAY_SPELL.contains(file));
    for file in files {
        let text = std::fs::read_to_string(format!("{}/src/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let mut literals = Vec::new();
        texts(TokenStream::from_str(&text).unwrap(), &mut literals);
        for (line, literal) in literals {
            if let Some(key) = spelled(&literal) {
                found.push(format!("src/{file}:{line}: `{key}` in {literal:?}"));
            }
        }
    }
    assert!(found.is_empty(), "take them from the table of keys (KeyAction::key):\n{}", found.join("\n"));
}

#[test]
fn a_key_is_found_where_it_is_spelled() {
    for text in ["x stops the job", "tab ↓, or p", "press enter to go on", "esc cancels", "(`q` leaves)"] {
        assert!(spelled(text).is_some(), "{text}");
    }
    for text in ["within 5 s", "{} s left", "a step", "x", "take it from the table"] {
        assert_eq!(spelled(text), None, "{text}");
    }
}
