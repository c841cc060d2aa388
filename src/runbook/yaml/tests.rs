//! The reader compared with a complete YAML implementation: same values, same places.

use proptest::prelude::*;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use super::*;

/// What the other implementation makes of a text.
fn other(source: &str) -> Option<Node<'static>> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options::<Other>(source, options).ok().map(|other| other.0)
}

struct Other(Node<'static>);

impl<'de> Deserialize<'de> for Other {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Bare>::deserialize(deserializer)?;
        Ok(Self(Node { kind: spanned.value.0, mark: mark(spanned.referenced), rendered: false }))
    }
}

fn mark(location: serde_saphyr::Location) -> Mark {
    let number = |n: Option<u64>| usize::try_from(n.unwrap_or(0)).unwrap();
    let span = location.span();
    Mark { offset: number(span.byte_offset()), len: number(span.byte_len()).max(1) }
}

struct Bare(Kind<'static>);

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BareVisitor).map(Bare)
    }
}

struct BareVisitor;

impl<'de> Visitor<'de> for BareVisitor {
    type Value = Kind<'static>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Kind::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Self::Value, E> {
        Ok(Kind::Bool(yes))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Self::Value, E> {
        Ok(Kind::Int(n))
    }

    #[allow(clippy::cast_precision_loss)] // as the reader does
    fn visit_u64<E>(self, n: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(n).map_or(Kind::Float(n as f64), Kind::Int))
    }

    fn visit_f64<E>(self, x: f64) -> Result<Self::Value, E> {
        Ok(Kind::Float(x))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Kind::Text(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Other(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let Other(value) = map.next_value()?;
            entries.push((Key { name: key.value.into(), mark: mark(key.referenced) }, value));
        }
        Ok(Kind::Map(entries))
    }
}

/// Asserts that both read the same; places, too.
fn same(source: &str) {
    let ours = parse(source).unwrap_or_else(|faults| panic!("{source:?}: {faults:?}"));
    let theirs = other(source).unwrap_or_else(|| panic!("{source:?} is refused by the other"));
    assert_eq!(format!("{ours:#?}"), format!("{theirs:#?}"), "{source:?}");
}

#[test]
fn runbooks_are_read_as_by_the_other_implementation() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut read = 0;
    for folder in ["", "tests/runbooks/good", "tests/runbooks/proofs", "tests/runbooks/broken"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let Ok(source) = std::fs::read_to_string(&path) else { continue };
            if parse(&source).is_ok() {
                same(&source);
                read += 1;
            }
        }
    }
    assert!(read > 40, "{read}");
}

#[test]
fn every_way_of_writing_is_read_as_by_the_other_implementation() {
    for source in [
        "",
        "# nothing\n",
        "---\na: 1\n...\n",
        "\u{feff}a: 1",
        "a:\nb: ~\nc: null\nd: Null\ne: ''\nf: \"\"\n",
        "a: >\n  folded\n  text\n\n  more\nb: |-\n  kept\n   as it is\nc: \"esc\\u00e4ped \\\n  on\"\nd: 'it''s'\n",
        "é: ü\nnext: [ä, {ö: ß}]\n",
        "- - 1\n  - 2\n-\n  - 3\n",
        "{a: [1, 2.5, -3, {b: c}], d: }",
        "1: one\ntrue: two\n2.5: three\n",
        "a: !!str 5\nb: ! 5\nc: !!int '5'\nd: !!float 5\ne: !!bool 'true'\nf: !!null ''\n",
        "a: &x {k: v, l: [1, 2]}\nb: *x\nc: [*x, *x]\n",
        "a: &x text\n*x : value\n",
    ] {
        same(source);
    }
}

#[test]
fn mappings_are_merged_as_by_the_other_implementation() {
    let values = |node: &Node| serde_json::Value::deserialize(node).unwrap();
    for source in [
        "base: &b {one: 1, two: 2}\nmore: &m {two: 3, three: 3}\nuse: {<<: [*b, *m], one: 0}\n",
        "base: &b {one: 1}\nuse:\n  <<: *b\n  two: 2\nquoted: {'<<': 1}\nnone: {<<: , a: 1}\n",
        "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, z: {<<: {deep: 1}}}\n",
    ] {
        assert_eq!(values(&parse(source).unwrap()), values(&other(source).unwrap()), "{source:?}");
    }
}

#[test]
fn what_has_no_meaning_here_is_refused() {
    for (source, why) in [
        ("a: .inf", "finite"),
        ("a: 1e999", "finite"),
        ("a: !secret x", "no such tag"),
        ("a: !!int x", "not what its tag says"),
        ("a: &a [*a]", "inside its own anchor"),
        ("? [a]\n: b", "as the key"),
        ("~: b", "as the key"),
        ("<<: 5", "to merge"),
    ] {
        let faults = parse(source).err().unwrap_or_else(|| panic!("{source:?} was accepted"));
        assert!(format!("{faults:?}").contains(why), "{source:?}: {faults:?}");
    }
}

/// Copies made by nested aliases count, not only the text as written.
#[test]
fn copies_count_against_the_budget() {
    let text = "x".repeat(1 << 20);
    let twice = format!("a: &a {text}\nb: [*a, *a]\n");
    assert!(parse(&twice).is_ok());
    let often = format!("a: &a {text}\nb: [{}]\n", ["*a"; 20].join(", "));
    assert!(format!("{:?}", parse(&often).unwrap_err()).contains("far more text"));
    let nested = (0..40).fold("x".to_owned(), |inner, at| format!("&a{at} [{inner}, {}]", ["1"; 200].join(", ")));
    assert!(format!("{:?}", parse(&nested).unwrap_err()).contains("far more text"));
}

proptest! {
    #[test]
    fn scalars_mean_what_they_mean_to_the_other_implementation(
        text in "[-+]?(0[xob])?[0-9a-f_.eE]{1,8}|[-+]?[0-9]{17,22}|[-+.~a-zA-Z]{1,6}|(true|false|null|yes|on)"
    ) {
        let source = format!("a: {text}\nb: '{text}'\n");
        // What is not finite is refused by both.
        match (parse(&source), other(&source)) {
            (Ok(ours), Some(theirs)) => prop_assert_eq!(format!("{ours:?}"), format!("{theirs:?}")),
            (ours, theirs) => prop_assert_eq!(ours.is_err(), theirs.is_none(), "{}", source),
        }
    }
}
