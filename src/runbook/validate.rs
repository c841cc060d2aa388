//! Checks the tree against the schema's rules and reports everything that does not fit.

use std::sync::Arc;

use crate::core::nearest::{nearest, suggestion};
use crate::core::resolver_kind::ResolverKind;
use crate::core::time::Span;

use super::diagnostic::Diagnostic;
use super::model::Moment;
use super::schema::{RecordRule, Rule, rule};
use super::tree::{Kind, Node};

/// What the whole is called in messages.
pub(super) const WHOLE: &str = "the runbook";

/// Everything about `root` that does not fit the language.
pub(super) fn validate(root: &Node) -> Vec<Diagnostic> {
    against(root, rule(), WHOLE)
}

/// Everything about `root` that does not fit the rule; `whole` is what all of it is called, with its article.
pub(crate) fn against(root: &Node, rule: &Rule, whole: &str) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    check(root, rule, whole, &mut faults);
    faults
}

/// Whether a name is that of the whole text and not of a key: keys have no article.
fn is_whole(name: &str) -> bool {
    name.starts_with("the ")
}

/// `name` is what messages call the value: mostly its key.
fn check(node: &Node, rule: &Rule, name: &str, faults: &mut Vec<Diagnostic>) {
    match (&node.kind, rule) {
        (Kind::Faulty, _)
        | (Kind::Null, Rule::Nothing)
        | (Kind::Text(_), Rule::Text)
        | (Kind::Bool(_), Rule::Bool)
        | (Kind::Int(_) | Kind::Float(_), Rule::Number) => {}
        (Kind::Int(n), Rule::Int(least, most)) => {
            if n < least || n > most {
                let label = if *most == i64::MAX {
                    format!("expected a whole number of at least {least}")
                } else {
                    format!("expected a whole number from {least} to {most}")
                };
                faults.push(Diagnostic::new(format!("`{name}` is out of range")).at(node.mark, label));
            }
        }
        (Kind::Text(text), Rule::Duration) => {
            if text.parse::<Span>().is_err() {
                let fault = Diagnostic::new(format!("`{name}` is not a length of time"));
                faults.push(fault.at(node.mark, "expected a duration like 500ms, 30s, 1m30s or 48h"));
            }
        }
        (Kind::Text(text), Rule::Moment) => {
            if text.parse::<Moment>().is_err() {
                let fault = Diagnostic::new(format!("`{name}` is not a point in time with its zone"));
                faults.push(fault.at(node.mark, "expected something like 2027-03-14T02:00:00+01:00"));
            }
        }
        (Kind::Text(text), Rule::ResolverKind) => {
            if text.parse::<ResolverKind>().is_err() {
                let fault = Diagnostic::new(format!("`{text}` is no kind of resolver")).at(node.mark, RESOLVER_KINDS);
                faults.push(fault.help("`min-ttl=2m` and `max-ttl=5s` give a time, from 1s to 7 days".to_owned()));
            }
        }
        (Kind::Text(text), Rule::Choice(words)) => {
            if !words.iter().any(|word| word == text) {
                let label = format!("expected {}", alternatives(words.iter().map(String::as_str)));
                let fault = Diagnostic::new(format!("`{name}` cannot be `{text}`")).at(node.mark, label);
                faults.push(fault.help(near(text, words.iter().map(String::as_str))));
            }
        }
        (Kind::List(items), Rule::List(of, least)) => {
            if items.len() < *least {
                let fault = Diagnostic::new(format!("`{name}` is empty"));
                faults.push(fault.at(node.mark, "expected at least one element"));
            }
            for item in items {
                check(item, of, name, faults);
            }
        }
        (Kind::Map(entries), Rule::Names(of)) => {
            for (key, value) in entries {
                check(value, of, &key.name, faults);
            }
        }
        (Kind::Map(_), Rule::Record(record)) => keys(node, record, None, name, faults),
        (Kind::Map(_), Rule::Tagged { tag, variants }) => match node.get(tag).map(|of| (of, of.text())) {
            Some((_, Some(word))) if variants.contains_key(word) => {
                if let Some(Rule::Record(record)) = variants.get(word).map(|rule| &**rule) {
                    keys(node, record, Some(tag), name, faults);
                }
            }
            Some((of, word)) => {
                let label = format!("expected {}", alternatives(variants.keys().map(String::as_str)));
                let fault = match word {
                    Some(word) => Diagnostic::new(format!("there is no {tag} `{word}`"))
                        .help(near(word, variants.keys().map(String::as_str))),
                    None => Diagnostic::new(format!("`{tag}` must be a word")),
                };
                faults.push(fault.at(of.mark, label));
            }
            None => {
                let label = format!("expected a key `{tag}`: {}", alternatives(variants.keys().map(String::as_str)));
                faults.push(Diagnostic::new(format!("`{name}` has no `{tag}`")).at(node.mark, label));
            }
        },
        (Kind::Map(entries), Rule::OneKey(variants)) => {
            let known = || alternatives(variants.keys().map(String::as_str));
            match entries.as_slice() {
                [(key, value)] => {
                    if let Some(rule) = variants.get(&*key.name) {
                        check(value, rule, &key.name, faults);
                    } else {
                        let fault = Diagnostic::new(format!("`{name}` cannot be `{}`", key.name));
                        let fault = fault.at(key.mark, format!("expected {}", known()));
                        faults.push(fault.help(near(&key.name, variants.keys().map(String::as_str))));
                    }
                }
                [] => {
                    let fault = Diagnostic::new(format!("`{name}` is empty"));
                    faults.push(fault.at(node.mark, format!("expected one of {}", known())));
                }
                [_, (second, _), ..] => {
                    let fault = Diagnostic::new(format!("`{name}` is more than one thing"));
                    let help = entries
                        .iter()
                        .any(|(key, _)| !variants.contains_key(&*key.name))
                        .then(|| "is the indentation right?".to_owned());
                    faults.push(fault.at(second.mark, format!("expected only one of {}", known())).help(help));
                }
            }
        }
        (_, Rule::Either(rules)) => either(node, rules, rule, name, faults),
        _ => mismatch(node, rule, name, faults),
    }
}

fn keys(node: &Node, record: &RecordRule, tag: Option<&str>, name: &str, faults: &mut Vec<Diagnostic>) {
    for (key, value) in node.entries() {
        if Some(&*key.name) == tag {
            continue;
        }
        if let Some(rule) = record.properties.get(&*key.name) {
            check(value, rule, &key.name, faults);
        } else {
            let fault = Diagnostic::new(format!("{} has no key `{}`", owner(name), key.name));
            let fault = fault.at(key.mark, "unknown key");
            faults.push(fault.help(suggestion(&key.name, record.properties.keys().map(String::as_str))));
        }
    }
    let missing: Vec<&str> = record.required.iter().map(String::as_str).filter(|key| node.get(key).is_none()).collect();
    if !missing.is_empty() {
        let missing: Vec<String> = missing.iter().map(|key| format!("`{key}`")).collect();
        let fault = Diagnostic::new(format!("{} lacks {}", owner(name), missing.join(" and ")));
        faults.push(fault.at(node.mark, format!("expected {} here", if missing.len() == 1 { "it" } else { "them" })));
    }
}

/// How the owner of keys is called in a sentence.
fn owner(name: &str) -> String {
    match name {
        name if is_whole(name) => name.to_owned(),
        "steps" => "a step".to_owned(),
        "phases" => "a phase".to_owned(),
        "gates" => "a gate".to_owned(),
        "guards" => "a guard".to_owned(),
        "changes" => "a change".to_owned(),
        "events" => "an event".to_owned(),
        _ => format!("`{name}`"),
    }
}

/// Reports against the alternative that has the value's own type, since it was probably meant.
fn either(node: &Node, rules: &[Arc<Rule>], whole: &Rule, name: &str, faults: &mut Vec<Diagnostic>) {
    let meant = rules.iter().find(|rule| {
        matches!(
            (&node.kind, &***rule),
            (Kind::Null, Rule::Nothing)
                | (Kind::Text(_), Rule::Text | Rule::Choice(_) | Rule::Duration | Rule::Moment | Rule::ResolverKind)
                | (Kind::Bool(_), Rule::Bool)
                | (Kind::Int(_) | Kind::Float(_), Rule::Number)
                | (Kind::Int(_), Rule::Int(..))
                | (Kind::List(_), Rule::List(..))
                | (Kind::Map(_), Rule::Record(_) | Rule::Names(_) | Rule::OneKey(_) | Rule::Tagged { .. })
        )
    });
    match meant {
        Some(rule) => check(node, rule, name, faults),
        None => mismatch(node, whole, name, faults),
    }
}

fn mismatch(node: &Node, rule: &Rule, name: &str, faults: &mut Vec<Diagnostic>) {
    let label = format!("expected {}, found {}", wanted(rule), found(node));
    let fault = match &node.kind {
        _ if is_whole(name) => Diagnostic::new(format!("this is not a{}", name.trim_start_matches("the"))),
        Kind::Null => Diagnostic::new(format!("`{name}` has no value")),
        _ => Diagnostic::new(format!("`{name}` has the wrong type")),
    };
    let help = match (&node.kind, rule) {
        (Kind::Int(n), Rule::Duration) => Some(format!("write {n}s for seconds, {n}ms for milliseconds")),
        (Kind::Int(_) | Kind::Float(_) | Kind::Bool(_), Rule::Text) => Some("put it in quotes".to_owned()),
        (Kind::Text(_) | Kind::Map(_), Rule::List(..)) => Some("begin it with `- `".to_owned()),
        _ => None,
    };
    faults.push(fault.at(node.mark, label).help(help));
}

/// What a kind of resolver can be.
const RESOLVER_KINDS: &str = "`honest`, `min-ttl`, `max-ttl`, `serve-stale`, `two-caches` or `dead`";

fn wanted(rule: &Rule) -> String {
    match rule {
        Rule::Nothing => "null".to_owned(),
        Rule::Text => "text".to_owned(),
        Rule::Duration => "a duration like 30s".to_owned(),
        Rule::Moment => "a point in time like 2027-03-14T02:00:00+01:00".to_owned(),
        Rule::ResolverKind => RESOLVER_KINDS.to_owned(),
        Rule::Bool => "true or false".to_owned(),
        Rule::Int(..) => "a whole number".to_owned(),
        Rule::Number => "a number".to_owned(),
        Rule::Choice(words) => alternatives(words.iter().map(String::as_str)),
        Rule::List(..) => "a list".to_owned(),
        Rule::Names(_) => "names with values".to_owned(),
        Rule::Record(record) => {
            let keys = if record.required.is_empty() {
                alternatives(record.properties.keys().map(String::as_str))
            } else {
                record.required.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
            };
            format!("keys with values ({keys})")
        }
        Rule::Tagged { tag, .. } => format!("keys with values (`{tag}` and more)"),
        Rule::OneKey(variants) => format!("one of the keys {}", alternatives(variants.keys().map(String::as_str))),
        Rule::Either(rules) => rules.iter().map(|rule| wanted(rule)).collect::<Vec<_>>().join(" or "),
    }
}

fn found(node: &Node) -> String {
    match &node.kind {
        Kind::Null | Kind::Faulty => "nothing".to_owned(),
        Kind::Bool(yes) => format!("{yes}"),
        Kind::Int(n) => format!("the number {n}"),
        Kind::Float(x) => format!("the number {x}"),
        Kind::Text(text) if text.chars().count() <= 30 => format!("the text {text:?}"),
        Kind::Text(_) => "a text".to_owned(),
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) => "keys with values".to_owned(),
    }
}

/// The nearest of the words, which are all in the label already.
fn near<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<String> {
    nearest(word, words).map(|near| format!("did you mean `{near}`?"))
}

fn alternatives<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}
