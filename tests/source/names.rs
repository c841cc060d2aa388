//! One public name for one thing.

use std::collections::BTreeMap;

use crate::reader::{Declared, Source};

/// Names that stand twice for the same idea, with the reason.
const SAME_IDEA: &[(&str, &str)] = &[
    ("Attachment", "the lab's own, and what stands in its place in a build without the lab"),
    ("Check", "as a runbook writes it, and as the plan holds it"),
    ("Gate", "as a runbook writes it, and as the plan holds it"),
    ("Guard", "as a runbook writes it, and as the plan holds it"),
    ("Phase", "as a runbook writes it, and as the plan holds it"),
    ("Step", "as a runbook writes it, and as the plan holds it"),
    ("Window", "as a runbook writes it, and as the plan holds it"),
];

fn twice(source: &Source) -> BTreeMap<&str, Vec<&Declared>> {
    let mut places: BTreeMap<&str, Vec<&Declared>> = BTreeMap::new();
    for declared in source.declared() {
        places.entry(&declared.name).or_default().push(declared);
    }
    places.retain(|_, places| places.len() > 1);
    places
}

fn told(name: &str, places: &[&Declared]) -> String {
    let places: Vec<String> = places.iter().map(|place| format!("src/{}:{}", place.file, place.line)).collect();
    format!("{name}: {}", places.join(", "))
}

#[test]
fn every_public_type_has_a_name_of_its_own() {
    let twice = twice(Source::of_this_package());
    let is_listed = |name: &str| SAME_IDEA.iter().any(|(same, _)| *same == name);
    let found: Vec<String> =
        twice.iter().filter(|(name, _)| !is_listed(name)).map(|(name, places)| told(name, places)).collect();
    assert!(found.is_empty(), "these names stand for more than one thing:\n{}", found.join("\n"));
    for (name, _) in SAME_IDEA {
        assert!(twice.contains_key(name), "{name} stands once: take it off the list");
    }
}

#[test]
fn a_name_that_stands_twice_is_found() {
    let source = Source::of(&[
        ("lib.rs", "mod a; mod b; pub use a::Phase;"),
        ("a.rs", "pub struct Phase; struct Own; pub(crate) enum Said {}"),
        ("b.rs", "pub enum Phase {} struct Own; macro_rules! m { () => { pub(super) struct Said; } }"),
    ]);
    let twice = twice(&source);
    let found: Vec<String> = twice.iter().map(|(name, places)| told(name, places)).collect();
    assert_eq!(found, ["Phase: src/a.rs:1, src/b.rs:1", "Said: src/a.rs:1, src/b.rs:1"]);
}
