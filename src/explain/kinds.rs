//! A page for each kind of probe and action.

use serde_json::Value;

use super::fields::{COLUMNS, REQUIRED, description, properties, resolved, rows};
use super::{Column, PagePart, ReferencePage, Subject, first_sentence};
use crate::core::kind::catalog::{KindEntry, KindRole, catalog};
use crate::core::value::{Field, Shape};
use crate::runbook::schema;

/// The columns of a table of readings.
const READINGS: &[Column] = &[
    Column::short("reading", ""),
    Column::short("type", ""),
    Column::short("unit", ""),
    Column::long("meaning", ""),
    Column::long("null when", "null when "),
];

/// Actions that never leave the program, which are not in the list of kinds: word and example.
const OWN: &[(&str, &str)] = &[
    ("manual", include_str!("own/manual.yaml")),
    ("wait", include_str!("own/wait.yaml")),
    ("soak", include_str!("own/soak.yaml")),
];

/// A page for each word that names a kind, first those of probes.
pub(super) fn pages() -> Vec<ReferencePage> {
    let schema = schema();
    let entries = catalog();
    let mut words: Vec<&'static str> = Vec::new();
    for entry in &entries {
        if !words.contains(&entry.word) {
            words.push(entry.word);
        }
    }
    let mut pages: Vec<ReferencePage> = words.into_iter().map(|word| page(word, &entries, &schema)).collect();
    pages.extend(OWN.iter().map(|(word, example)| own(word, example, &schema)));
    pages
}

fn page(word: &'static str, entries: &[KindEntry], schema: &Value) -> ReferencePage {
    let of: Vec<&KindEntry> = entries.iter().filter(|entry| entry.word == word).collect();
    let subjects = of.iter().map(|entry| (subject(entry.role), first_sentence(&entry.summary))).collect();
    let blocks = of.iter().flat_map(|entry| blocks(entry, of.len() > 1, schema)).collect();
    ReferencePage { word, subjects, blocks }
}

fn subject(role: KindRole) -> Subject {
    match role {
        KindRole::Probe => Subject::Probe,
        KindRole::Action => Subject::Action,
    }
}

fn blocks(entry: &KindEntry, titled: bool, schema: &Value) -> Vec<PagePart> {
    let mut blocks = Vec::new();
    let level = if titled {
        blocks.push(PagePart::Heading(2, format!("The {}", entry.role.as_str())));
        3
    } else {
        2
    };
    blocks.extend(paragraphs(&entry.summary));
    let record = match entry.role {
        KindRole::Probe => probe(schema, entry.word),
        KindRole::Action => action(schema, entry.word).map(|of| resolved(schema, of)),
    };
    if let Some(record) = record {
        blocks.push(PagePart::Heading(level, "Fields".to_owned()));
        blocks.push(PagePart::Rows(COLUMNS, rows(schema, record)));
    }
    if entry.role == KindRole::Probe {
        let mut found = Vec::new();
        readings(&entry.fields, "", &mut found);
        blocks.push(PagePart::Heading(level, "Readings".to_owned()));
        blocks.push(PagePart::Rows(READINGS, found));
    }
    blocks.push(PagePart::Heading(level, "Example".to_owned()));
    blocks.push(PagePart::Code(entry.example));
    blocks.push(PagePart::Heading(level, "Rights".to_owned()));
    blocks.push(PagePart::Text(entry.rights.to_owned()));
    blocks
}

/// The page of an action that the core carries out itself.
fn own(word: &'static str, example: &'static str, schema: &Value) -> ReferencePage {
    let of = action_option(schema, word);
    let text = of.map(description).unwrap_or_default();
    let mut blocks = vec![PagePart::Text(text.clone())];
    if let Some(value) = action(schema, word) {
        let record = resolved(schema, value);
        let fields = if properties(record).is_some() { rows(schema, record) } else { alternatives(schema, record) };
        if !fields.is_empty() {
            blocks.push(PagePart::Heading(2, "Fields".to_owned()));
            blocks.push(PagePart::Rows(COLUMNS, fields));
        }
    }
    blocks.push(PagePart::Heading(2, "Example".to_owned()));
    blocks.push(PagePart::Code(example));
    blocks.push(PagePart::Heading(2, "Rights".to_owned()));
    blocks.push(PagePart::Text("None. It never leaves the program.".to_owned()));
    ReferencePage { word, subjects: vec![(Subject::Action, first_sentence(&text))], blocks }
}

/// The fields of a value that is written in one of several ways.
fn alternatives(schema: &Value, of: &Value) -> Vec<Vec<String>> {
    let options = of.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    options
        .flat_map(|option| {
            let told = description(option);
            rows(schema, option).into_iter().map(move |mut row| {
                // One of the alternatives is required, not each.
                if let [_, type_, _, meaning] = row.as_mut_slice()
                    && meaning.is_empty()
                {
                    type_.truncate(type_.trim_end_matches(REQUIRED).len());
                    meaning.clone_from(&told);
                }
                row
            })
        })
        .collect()
}

/// The schema of a probe of this kind, with what all probes have.
fn probe<'s>(schema: &'s Value, word: &str) -> Option<&'s Value> {
    let options = schema.pointer("/$defs/Probe/oneOf")?.as_array()?;
    options.iter().find(|option| option.pointer("/properties/kind/const").and_then(Value::as_str) == Some(word))
}

/// The alternative of an action that has this word as its only key.
fn action_option<'s>(schema: &'s Value, word: &str) -> Option<&'s Value> {
    let options = schema.pointer("/$defs/Action/oneOf")?.as_array()?;
    options.iter().find(|option| properties(option).is_some_and(|keys| keys.contains_key(word)))
}

/// What stands under the word of an action.
fn action<'s>(schema: &'s Value, word: &str) -> Option<&'s Value> {
    action_option(schema, word).and_then(properties)?.get(word)
}

fn readings(fields: &[Field], prefix: &str, found: &mut Vec<Vec<String>>) {
    for field in fields {
        let path = format!("{prefix}{}", field.name);
        found.push(vec![
            format!("`{path}`"),
            field.shape.to_string(),
            field.unit.to_owned(),
            field.doc.to_owned(),
            field.null.to_owned(),
        ]);
        match &field.shape {
            Shape::Record(inner) => readings(inner, &format!("{path}."), found),
            Shape::List(of) => {
                if let Shape::Record(inner) = of.as_ref() {
                    readings(inner, &format!("{path}[]."), found);
                }
            }
            _ => {}
        }
    }
}

fn paragraphs(text: &str) -> impl Iterator<Item = PagePart> + '_ {
    text.split("\n\n").map(|part| PagePart::Text(part.split_whitespace().collect::<Vec<_>>().join(" ")))
}
