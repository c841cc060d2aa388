//! What the core, the simulated world, a rehearsal and a replay must not name.

use crate::reader::{Kind, Name, Source};

/// What must not be named, as the beginning of a path, a macro or a keyword, with the reason.
type Forbidden = &'static [(&'static str, &'static str)];

/// Everything in the standard library that reaches out of the program, or that differs from run to run.
const OUTSIDE: Forbidden = &[
    ("std::fs", "files are IO"),
    ("std::net::TcpStream", "sockets are IO"),
    ("std::net::TcpListener", "sockets are IO"),
    ("std::net::UdpSocket", "sockets are IO"),
    ("std::net::ToSocketAddrs", "a resolver is IO"),
    ("std::net::*", "sockets are IO"),
    ("std::os", "the system is outside"),
    ("std::process", "processes belong to the world"),
    ("std::env", "the environment is an input that no fact records"),
    ("std::thread", "one function call after the other"),
    ("std::time::Instant", "time comes in as a value"),
    ("std::time::SystemTime", "time comes in as a value"),
    ("std::time::UNIX_EPOCH", "time comes in as a value"),
    ("std::time::*", "time comes in as a value"),
    ("std::collections::HashMap", "its order differs from run to run"),
    ("std::collections::HashSet", "its order differs from run to run"),
    ("std::collections::hash_map", "its order differs from run to run"),
    ("std::collections::hash_set", "its order differs from run to run"),
    ("std::collections::*", "a hash map's order differs from run to run"),
    ("std::hash::RandomState", "it is random"),
    ("std::prelude", "what it brings is not seen here"),
    ("jiff::Timestamp::now", "time comes in as a value"),
    ("jiff::ZonedDateTime::now", "time comes in as a value"),
    ("jiff::tz::TimeZone::system", "the system's zone is an input that no fact records"),
    ("jiff::tz::TimeZone::try_system", "the system's zone is an input that no fact records"),
    ("jiff::tz::TimeZone::get", "zones are read from files"),
    ("jiff::tz::db", "zones are read from files"),
    ("async", "nothing is waited for"),
    ("await", "nothing is waited for"),
    ("unsafe", "there is nothing to win"),
    ("print!", "printing is IO"),
    ("println!", "printing is IO"),
    ("eprint!", "printing is IO"),
    ("eprintln!", "printing is IO"),
    ("dbg!", "printing is IO"),
    ("thread_local!", "nothing is kept between two calls"),
];

/// What the core must not name besides.
const IMPURE: Forbidden = &[
    ("std::net", "sockets are IO"),
    ("std::io", "streams are IO"),
    ("std::sync::Mutex", "nothing is shared"),
    ("std::sync::RwLock", "nothing is shared"),
    ("std::sync::Condvar", "nothing is shared"),
    ("std::sync::Once", "state is the fold of the facts"),
    ("std::sync::OnceLock", "state is the fold of the facts"),
    ("std::sync::LazyLock", "state is the fold of the facts"),
    ("std::sync::atomic", "nothing is shared"),
    ("std::sync::mpsc", "nothing is shared"),
    ("std::sync::*", "nothing is shared"),
    ("std::cell", "decisions change nothing"),
    ("env!", "the environment is an input that no fact records"),
    ("option_env!", "the environment is an input that no fact records"),
];

/// The packages that the core may use, none of which reaches anything. `std` is looked at more closely.
const PACKAGES_OF_CORE: &[&str] = &[
    "std",
    "bytesize",
    "cel",
    "ipnet",
    "url",
    "jiff",
    "litemap",
    "regex",
    "schemars",
    "serde",
    "serde_json",
    "shlex",
    "strsim",
    "thiserror",
];

/// The packages that the simulated world and scenarios may use. Chance comes from a seed.
const PACKAGES_OF_SIMULATION: &[&str] = &[
    "std",
    "bytesize",
    "jiff",
    "litemap",
    "rand",
    "rand_chacha",
    "schemars",
    "serde",
    "serde_json",
    "strsim",
    "thiserror",
];

/// The packages that what is said about latencies may use. Chance comes from whoever asks.
const PACKAGES_OF_LATENCY: &[&str] = &[
    "std",
    "data_encoding",
    "flate2",
    "hdrhistogram",
    "jiff",
    "litemap",
    "rand",
    "rand_chacha",
    "rand_distr",
    "serde",
    "serde_json",
    "sha2",
    "statrs",
    "thiserror",
];

/// What draws chance from the system and not from a seed.
const UNSEEDED: Forbidden = &[
    ("rand::rng", "chance follows from the seed"),
    ("rand::random", "chance follows from the seed"),
    ("rand::thread_rng", "chance follows from the seed"),
    ("rand::rngs::OsRng", "chance follows from the seed"),
    ("rand::rngs::ThreadRng", "chance follows from the seed"),
    ("rand::*", "what it brings is not seen here"),
    ("from_os_rng", "chance follows from the seed"),
    ("try_from_os_rng", "chance follows from the seed"),
    ("from_entropy", "chance follows from the seed"),
];

/// Says where something stands that must not.
fn fault(file: &str, name: &Name, why: &str) -> String {
    format!("src/{file}:{}: {}: {why}", name.line, name.path)
}

/// What is named in these files although a list forbids it.
fn forbidden(source: &Source, files: &[&str], lists: &[Forbidden]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for name in source.names(file) {
            for (path, why) in lists.iter().copied().flatten() {
                // A method is known by its name alone; what it is called on is not.
                if name.is_within(path) || name.kind == Kind::Path && name.path.ends_with(&format!("::{path}")) {
                    found.push(fault(file, &name, why));
                }
            }
        }
    }
    found
}

/// What these files use of other packages than those allowed.
fn of_other_packages(source: &Source, files: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for name in source.names(file) {
            let package = name.path.split("::").next().unwrap_or_default();
            let is_named = !matches!(name.kind, Kind::Method | Kind::Keyword);
            if is_named && name.module.is_none() && !allowed.contains(&package) {
                found.push(fault(file, &name, "not one of the packages that may be used here"));
            }
        }
    }
    found
}

/// What these files use of this package besides the modules allowed.
fn of_other_modules(source: &Source, files: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for name in source.names(file) {
            let is_allowed =
                allowed.iter().any(|module| name.is_within(&format!("crate::{}", module.replace('/', "::"))));
            if name.module.is_some() && !is_allowed {
                found.push(fault(file, &name, "not one of the modules that may be used here"));
            }
        }
    }
    found
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

fn impure(source: &Source) -> Vec<String> {
    let files = source.files_of("core");
    let mut found = forbidden(source, &files, &[OUTSIDE, IMPURE]);
    found.extend(of_other_packages(source, &files, PACKAGES_OF_CORE));
    found.extend(of_other_modules(source, &files, &["core"]));
    found
}

#[test]
fn the_core_is_pure() {
    let source = Source::of_this_package();
    let files = source.files_of("core");
    assert!(files.len() >= 20, "the core has moved: {}", files.len());
    assert_none(&impure(source));
}

#[test]
fn what_is_not_pure_is_found() {
    let core = |text: &str| {
        Source::of(&[("lib.rs", "pub mod core; pub mod world;"), ("core.rs", text), ("world.rs", "pub fn now() {}")])
    };
    for text in [
        "use std::{fmt, fs};",
        "use std::{collections::{BTreeMap, HashMap}};",
        "use std::time::{self as t}; fn f() { t::Instant::now(); }",
        "use std::time; fn f() { time::Instant::now(); }",
        "fn f() { ::std::env::var(\"HOME\"); }",
        "fn f() { core::cell::RefCell::new(0); }",
        "use std as s; fn f() { s::process::exit(0); }",
        "use jiff::Timestamp as T; fn f() { T::now(); }",
        "type T = jiff::Timestamp; fn f() { <T>::now(); }",
        "fn f() { println!(\"{}\", 1); }",
        "fn f() { let _ = format!(\"{:?}\", std::env::args()); }",
        "macro_rules! m { () => { std::fs::read(\"x\") }; }",
        "fn f() { tokio::spawn(async {}); }",
        "async fn f() {}",
        "use crate::{core, world};",
        "use super::world;",
        "mod inner { use super::super::world; }",
        "mod inner { pub use crate::world as w; } fn f() { inner::w::now(); }",
        "#[serde(with = \"crate::world\")] struct S;",
        "#[cfg(any(test, unix))] mod inner { use std::fs; }",
        "#[cfg(not(test))] use std::fs;",
        "extern crate tokio as harmless;",
    ] {
        assert!(!impure(&core(text)).is_empty(), "{text}");
    }
    for text in [
        "// Instant, HashMap and tokio are spoken of here\nuse crate::core::time::At;",
        "#[cfg(test)] mod tests { use std::fs; }",
        "#[cfg(test)] mod unit { mod deep { use crate::world; } } use serde::Serialize;",
        "const TEXT: &str = \"#[cfg(test)]\\nmod tests {\"; use std::fmt;",
        "fn futures(async_now: u8) -> u8 { async_now }",
    ] {
        assert_none(&impure(&core(text)));
    }
}

/// Nothing in the simulated world or in a scenario can reach the outside, by accident or by design.
#[test]
fn the_simulated_world_reaches_nothing() {
    let source = Source::of_this_package();
    let files: Vec<&str> = ["world/sim", "scenario"].iter().flat_map(|folder| source.files_of(folder)).collect();
    assert!(files.len() >= 14, "the simulated world has moved: {}", files.len());
    assert_none(&forbidden(source, &files, &[OUTSIDE, UNSEEDED]));
    assert_none(&of_other_packages(source, &files, PACKAGES_OF_SIMULATION));
    for module in ["world/live", "lab", "driver", "journal", "term", "cli"] {
        assert_none(&within(source, &files, module));
    }
}

/// A judgement follows from the samples alone, so that a replay comes to the same.
#[test]
fn the_judge_of_latencies_is_pure() {
    let source = Source::of_this_package();
    let files = source.files_of("latency");
    assert!(files.len() >= 3, "it has moved: {}", files.len());
    assert_none(&forbidden(source, &files, &[OUTSIDE, UNSEEDED]));
    assert_none(&of_other_packages(source, &files, PACKAGES_OF_LATENCY));
}

/// What these files use of one module of this package.
fn within(source: &Source, files: &[&str], module: &str) -> Vec<String> {
    let path = format!("crate::{}", module.replace('/', "::"));
    let mut found = Vec::new();
    for file in files {
        let names = source.names(file);
        found.extend(names.iter().filter(|name| name.is_within(&path)).map(|name| fault(file, name, "out of reach")));
    }
    found
}

/// A rehearsal is driven by the engine, with files and a screen, but never with a world that is real.
#[test]
fn a_rehearsal_holds_no_real_world() {
    const REAL: Forbidden = &[
        ("crate::world::live", "a rehearsal has no live executor"),
        ("crate::lab", "a rehearsal has no servers"),
        ("std::net", "a rehearsal has no sockets"),
        ("tokio::net", "a rehearsal has no sockets"),
        ("std::process", "a rehearsal starts nothing"),
        ("tokio::process", "a rehearsal starts nothing"),
        ("tokio::*", "what it brings is not seen here"),
        ("hyper", "a rehearsal sends no requests"),
        ("hyper_util", "a rehearsal sends no requests"),
        ("hickory_net", "a rehearsal asks no name servers"),
        ("hickory_resolver", "a rehearsal asks no name servers"),
        ("hickory_server", "a rehearsal asks no name servers"),
        ("tokio_postgres", "a rehearsal asks no database"),
        ("tokio_rustls", "a rehearsal has no sockets"),
        ("rustix", "a rehearsal makes no system calls"),
        ("unsafe", "there is nothing to win"),
    ];
    let source = Source::of_this_package();
    let mut files = source.files_of("rehearsal");
    files.extend(source.files_of("pace"));
    assert!(files.len() >= 8, "rehearsals have moved: {}", files.len());
    assert_none(&forbidden(source, &files, &[REAL]));
}

/// What a replay must not name: with none of these there is nothing to do anything with.
const ACTING: &[&str] = &[
    "world",
    "Engine",
    "Writer",
    "Recorder",
    "Ledger",
    "append",
    "hyper",
    "hyper_util",
    "tokio_postgres",
    "hickory_net",
    "hickory_proto",
    "hickory_resolver",
    "hickory_server",
    "tokio_rustls",
    "rustls",
    "rustix",
];

/// The same, as paths.
const ACTING_PATHS: Forbidden = &[
    ("tokio::net", "a replay connects to nothing"),
    ("tokio::process", "a replay starts nothing"),
    ("tokio::*", "what it brings is not seen here"),
    ("std::net", "a replay connects to nothing"),
    ("std::process::Command", "a replay starts nothing"),
    ("std::process::*", "a replay starts nothing"),
    ("crate::driver::*", "a replay names what it uses of the driver"),
    ("crate::driver::engine::*", "a replay names what it uses of the driver"),
    ("unsafe", "there is nothing to win"),
];

fn acting(source: &Source, files: &[&str]) -> Vec<String> {
    let mut found = forbidden(source, files, &[ACTING_PATHS]);
    for file in files {
        for name in source.names(file) {
            if ACTING.iter().any(|word| name.has(word)) {
                found.push(fault(file, &name, "a replay has nothing to act with"));
            }
        }
    }
    found
}

#[test]
fn a_replay_has_nothing_to_act_with() {
    let source = Source::of_this_package();
    let mut files = source.files_of("replay");
    assert!(files.len() >= 5, "the replay has moved: {}", files.len());
    files.push("cli/replay.rs");
    assert_none(&acting(source, &files));
    let acts = Source::of(&[
        ("lib.rs", "mod world; use crate::world::live::LiveWorld; fn f() { ledger.append(1); }"),
        ("world.rs", ""),
    ]);
    assert_eq!(acting(&acts, &["lib.rs"]).len(), 2);
}
