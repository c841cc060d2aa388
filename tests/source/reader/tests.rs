//! Tests of the reader itself, with sources that would mislead a text search.

use super::{Kind, Source};

impl Source {
    /// A package of these files.
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self::read(&files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect())
    }
}

/// The paths of a kind that one file names.
fn paths(source: &Source, file: &str, kind: Kind) -> Vec<String> {
    let mut paths: Vec<String> =
        source.names(file).into_iter().filter(|name| name.kind == kind).map(|name| name.path).collect();
    paths.sort();
    paths.dedup();
    paths
}

fn one(text: &str, kind: Kind) -> Vec<String> {
    paths(&Source::of(&[("lib.rs", text)]), "lib.rs", kind)
}

#[test]
fn every_form_of_use_is_read() {
    let uses = one("use std::{fs::{self, File as F}, net::*, io as i, fmt::Display as _}; pub use ::serde;", Kind::Use);
    assert_eq!(uses, ["serde", "std::fmt::Display", "std::fs", "std::fs::File", "std::io", "std::net::*"]);
    assert_eq!(one("fn f() { use std::fs; }", Kind::Use), ["std::fs"]);
}

#[test]
fn names_lead_to_where_they_are_defined() {
    let source = Source::of(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a/mod.rs", "mod deep; pub use deep::Thing; pub use super::b::*;"),
        ("a/deep.rs", "pub struct Thing; impl Thing { fn f() -> Self { Self::new() } }"),
        ("b.rs", "pub struct Other; use std::fs;"),
        ("c.rs", "use crate::a as x; fn f(_: x::Thing, _: x::Other) { super::super::a::deep::g() }"),
    ]);
    let found = paths(&source, "c.rs", Kind::Path);
    assert_eq!(found, ["crate::a::deep::Thing", "crate::a::deep::g", "crate::b::Other"]);
    // `Self` is the type, wherever it stands.
    assert_eq!(paths(&source, "a/deep.rs", Kind::Path), ["crate::a::deep::Thing", "crate::a::deep::Thing::new"]);
}

#[test]
fn what_a_glob_brings_of_a_parent_is_seen() {
    let source =
        Source::of(&[("lib.rs", "mod a; use std::fs; "), ("a.rs", "use super::*; fn f() { fs::read(\"x\"); }")]);
    assert_eq!(paths(&source, "a.rs", Kind::Path), ["std::fs::read"]);
}

#[test]
fn macros_are_read() {
    let text = "use std::fs; fn f() { format!(\"{}\", fs::read(1)); odd! { x => fs::write(y) ; z.send() } }";
    assert_eq!(one(text, Kind::Path), ["std::fs::read"]);
    assert_eq!(one(text, Kind::Macro), ["std::fs::write"]);
    assert_eq!(one(text, Kind::Method), ["send"]);
    assert_eq!(one(text, Kind::Keyword), ["format!", "odd!"]);
    assert_eq!(
        one("fn f() { odd! { async move => unsafe { dbg!(1) } } }", Kind::Keyword),
        ["async", "dbg!", "odd!", "unsafe"]
    );
    let rules = "macro_rules! m { ($t:ty) => { $t::now(); $crate::a::b(); std::env::args() } } mod a {}";
    assert_eq!(one(rules, Kind::Macro), ["crate::a::b", "std::env::args"]);
}

#[test]
fn patterns_are_told_from_expressions() {
    let text = "enum Probe { Tcp(u8), Dns { port: u8 }, Off } use Probe::Off; \
                impl Probe { fn f(&self) -> bool { matches!(self, Self::Tcp(_)) } } \
                fn f(p: Probe) { if let Probe::Dns { port } = p {} match p { Off => {} _ => {} } Probe::Tcp(1); }";
    assert_eq!(one(text, Kind::Pattern), ["crate::Probe::Dns", "crate::Probe::Off", "crate::Probe::Tcp"]);
    assert!(one(text, Kind::Path).contains(&"crate::Probe::Tcp".to_owned()));
    assert!(!one(text, Kind::Path).contains(&"crate::Probe::Dns".to_owned()));
    // Where a macro decides what its tokens become, the kind of a name is unknown.
    assert_eq!(one("enum Probe { Tcp } fn f() { odd! { p => Probe::Tcp } }", Kind::Macro), ["crate::Probe::Tcp"]);
}

#[test]
fn what_is_for_tests_only_is_left_out_and_nothing_else() {
    for text in [
        "#[cfg(test)] mod tests { use std::fs; }",
        "#[cfg(all(unix, test))] use std::fs;",
        "#[cfg(test)] mod elsewhere;",
        "#[cfg(any(test))] fn f() { std::fs::read(1); }",
        "struct S; impl S { #[cfg(test)] fn f() { std::fs::read(1); } }",
    ] {
        assert!(!one(text, Kind::Use).concat().contains("fs"), "{text}");
        assert!(!one(text, Kind::Path).concat().contains("fs"), "{text}");
    }
    for text in [
        "#[cfg(not(test))] use std::fs;",
        "#[cfg(any(test, unix))] use std::fs;",
        "#[cfg(feature = \"test\")] use std::fs;",
        "mod tests { use std::fs; }",
        "#[doc = \"#[cfg(test)]\"] use std::fs;",
    ] {
        assert_eq!(one(text, Kind::Use), ["std::fs"], "{text}");
    }
}

#[test]
fn attributes_are_read() {
    let text = "mod a {} #[derive(serde::Serialize)] struct S { #[serde(with = \"crate::a::b\")] x: u8 }";
    let found = one(text, Kind::Attribute);
    assert_eq!(found, ["crate::a::b", "serde::Serialize"]);
}

#[test]
fn a_function_that_is_called_like_its_module_is_found() {
    let source = Source::of(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub mod schema { pub fn schema() {} } pub use schema::schema; use fs::fs;"),
        ("b.rs", "use crate::a::schema; use super::a::schema::*;"),
    ]);
    let found = paths(&source, "b.rs", Kind::Use);
    assert_eq!(
        found,
        ["crate::a::schema", "crate::a::schema::*", "crate::a::schema::schema", "crate::a::schema::schema::*"]
    );
    assert_eq!(paths(&source, "a.rs", Kind::Use), ["crate::a::schema::schema", "fs::fs"]);
}

#[test]
fn modules_that_a_macro_declares_are_read() {
    let source = Source::of(&[
        ("lib.rs", "mod kind;"),
        ("kind/mod.rs", "crate::list!(modules); mod known; #[cfg(test)] mod tests;"),
        ("kind/tcp.rs", "use std::net;"),
        ("kind/dns/mod.rs", "mod zone;"),
        ("kind/dns/zone.rs", ""),
        ("kind/known.rs", ""),
        ("kind/tests.rs", "use std::fs;"),
    ]);
    let files: Vec<&str> = source.files().collect();
    assert_eq!(files, ["kind/dns/mod.rs", "kind/dns/zone.rs", "kind/known.rs", "kind/mod.rs", "kind/tcp.rs", "lib.rs"]);
    assert_eq!(paths(&source, "kind/tcp.rs", Kind::Use), ["std::net"]);
}

#[test]
fn re_exports_in_a_circle_end() {
    let source = Source::of(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub use super::b::X;"),
        ("b.rs", "pub use super::a::X; fn f(_: X) {}"),
    ]);
    assert!(!source.names("b.rs").is_empty());
}

#[test]
fn every_file_of_this_package_is_read() {
    assert!(Source::of_this_package().files().count() > 150);
}
