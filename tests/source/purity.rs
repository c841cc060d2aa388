//! The core is pure: it does no IO, reads no clock, draws no random numbers and iterates in one order only.

use std::fs;
use std::path::{Path, PathBuf};

/// What the core must not name, with the reason.
const FORBIDDEN: &[(&str, &str)] = &[
    ("std::fs", "files are IO"),
    ("std::net", "sockets are IO"),
    ("std::io", "streams are IO"),
    ("std::process", "processes belong to the world"),
    ("std::env", "the environment is an input that no fact records"),
    ("std::thread", "the core is one function call"),
    ("std::sync::Mutex", "nothing is shared"),
    ("std::sync::atomic", "nothing is shared"),
    ("Instant", "time comes in as `At`"),
    ("SystemTime", "time comes in as `At`"),
    ("Timestamp::now", "time comes in as `At`"),
    ("Zoned::now", "time comes in as `At`"),
    ("tokio", "the core does not wait"),
    ("futures", "the core does not wait"),
    ("async ", "the core does not wait"),
    (".await", "the core does not wait"),
    ("rand::", "a decision can be made again from its facts"),
    ("rusqlite", "facts are stored elsewhere"),
    ("HashMap", "its order differs from run to run"),
    ("HashSet", "its order differs from run to run"),
    ("println!", "printing is IO"),
    ("eprintln!", "printing is IO"),
    ("tracing::", "what matters is a fact"),
    ("unsafe", "there is nothing to win"),
    ("thread_local!", "state is the fold of the facts"),
    ("OnceLock", "state is the fold of the facts"),
    ("RefCell", "decisions change nothing"),
];

/// The modules of this crate the core may use: only itself.
fn names_another_module(line: &str) -> bool {
    line.match_indices("crate::").any(|(at, _)| !line[at..].starts_with("crate::core"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The faults of one source text, without its comments and its tests.
fn faults(name: &str, text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        for (word, why) in FORBIDDEN {
            if line.contains(word) {
                found.push(format!("{name}:{}: {word}: {why}", number + 1));
            }
        }
        if names_another_module(line) {
            found.push(format!("{name}:{}: the core uses nothing but itself", number + 1));
        }
    }
    found
}

#[test]
fn the_core_is_pure() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    assert!(paths.len() >= 20, "the core has moved: {}", paths.len());
    let mut found = Vec::new();
    for path in paths {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        if name == "expr/tests.rs" {
            continue;
        }
        found.extend(faults(&name, &fs::read_to_string(&path).unwrap()));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What a rehearsal must not name: nothing of it can reach the outside, by accident or by design.
const OUTSIDE: &[(&str, &str)] = &[
    ("tokio", "a rehearsal waits for nobody"),
    ("std::net::Tcp", "a rehearsal has no sockets"),
    ("std::net::Udp", "a rehearsal has no sockets"),
    ("std::net::ToSocketAddrs", "a rehearsal asks no resolver"),
    ("std::net::{Tcp", "a rehearsal has no sockets"),
    ("std::net::{Udp", "a rehearsal has no sockets"),
    ("std::process", "a rehearsal starts nothing"),
    ("std::fs", "a rehearsal has no files"),
    ("std::env", "a rehearsal follows from its seed"),
    ("std::thread", "a rehearsal is one function call after the other"),
    ("std::time", "time is moved by whoever drives the world"),
    ("Instant::now", "time is moved by whoever drives the world"),
    ("Timestamp::now", "time is moved by whoever drives the world"),
    ("SystemTime", "time is moved by whoever drives the world"),
    ("world::live", "a rehearsal has no live executor"),
    ("super::live", "a rehearsal has no live executor"),
    ("crate::lab", "a rehearsal has no servers"),
    ("hyper", "a rehearsal sends no requests"),
    ("hickory", "a rehearsal asks no name servers"),
    ("tokio_postgres", "a rehearsal asks no database"),
    ("rustix", "a rehearsal makes no system calls"),
    ("rand::rng", "chance follows from the seed"),
    ("thread_rng", "chance follows from the seed"),
    ("from_os_rng", "chance follows from the seed"),
    ("HashMap", "its order differs from run to run"),
    ("HashSet", "its order differs from run to run"),
    ("unsafe", "there is nothing to win"),
];

#[test]
fn the_simulated_world_reaches_nothing() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    for folder in ["world/sim", "scenario"] {
        sources(&source.join(folder), &mut paths);
    }
    assert!(paths.len() >= 14, "the simulated world has moved: {}", paths.len());
    let mut found = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(&text);
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for (word, why) in OUTSIDE.iter().filter(|(word, _)| line.contains(word)) {
                found.push(format!("{}:{}: {word}: {why}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A rehearsal is driven by the engine, with files and a screen, but never with a world that is real.
#[test]
fn a_rehearsal_holds_no_real_world() {
    const REAL: &[&str] =
        &["live", "crate::lab", "std::net", "tokio::net", "std::process", "tokio::process", "hyper", "hickory"];
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = vec![source.join("pace.rs")];
    sources(&source.join("rehearsal"), &mut paths);
    assert!(paths.len() >= 8, "rehearsals have moved: {}", paths.len());
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(&text);
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            // As the whole of a name, wherever it stands in a path.
            let is_named = |word: &str| {
                line.match_indices(word).any(|(at, word)| {
                    let inside = |ch: Option<char>| ch.is_some_and(|ch| ch.is_alphanumeric() || ch == '_');
                    !inside(line[..at].chars().next_back()) && !inside(line[at + word.len()..].chars().next())
                })
            };
            let uses = line.contains("use ") || line.contains("::");
            let named = REAL.iter().find(|word| uses && is_named(word));
            assert!(named.is_none(), "{}: {line}", path.display());
        }
    }
}

#[test]
fn what_is_not_pure_is_found() {
    for line in [
        "use std::fs;",
        "let now = std::time::Instant::now();",
        "use std::collections::HashMap;",
        "tokio::spawn(x);",
        "use crate::world::World;",
    ] {
        assert_eq!(faults("x.rs", line).len(), 1, "{line}");
    }
    assert_eq!(faults("x.rs", "// Instant, HashMap and tokio are spoken of here\nuse crate::core::time::At;"), [""; 0]);
}

/// Who may use whom, as `ARCHITECTURE.md` says. Modules that hold the others together are not listed.
const MAY_USE: &[(&str, &[&str])] = &[
    ("core", &["core"]),
    ("runbook", &["runbook", "core", "text"]),
    ("journal", &["journal", "text"]),
    ("scenario", &["scenario", "core", "runbook"]),
    ("world", &["world", "core", "clock", "contain", "scenario", "text"]),
    // What touches the outside knows nothing of what is made up for a rehearsal.
    ("world/live", &["world", "core", "clock", "contain", "text"]),
    (
        "rehearsal",
        &[
            "rehearsal",
            "clock",
            "core",
            "driver",
            "journal",
            "pace",
            "run_view",
            "runbook",
            "scenario",
            "words",
            "world",
        ],
    ),
    ("words", &["core", "text"]),
    ("history", &["core"]),
    ("sample_log", &["core", "history", "journal"]),
    ("run_view", &["core", "history"]),
    ("screen", &["screen", "core", "history", "pace", "run_view", "text", "words"]),
    ("driver", &["driver", "core", "clock", "history", "journal", "run_view", "sample_log", "world"]),
    ("ui", &["ui", "core", "pace", "screen", "text", "words"]),
    ("term", &["term", "contain", "text"]),
];

/// The modules of this crate that a source text names, without those in its comments and its tests.
fn modules_named(text: &str) -> Vec<(usize, String)> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let mut named = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        for (at, word) in line.match_indices("crate::") {
            let name: String =
                line[at + word.len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            named.push((number + 1, name));
        }
    }
    named
}

#[test]
fn nobody_uses_what_the_dependency_rule_forbids() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for (module, allowed) in MAY_USE {
        let mut paths = Vec::new();
        let file = root.join(format!("{module}.rs"));
        if file.exists() {
            paths.push(file);
        } else {
            sources(&root.join(module), &mut paths);
        }
        assert!(!paths.is_empty(), "{module} has moved");
        for path in paths {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            for (line, used) in modules_named(&fs::read_to_string(&path).unwrap()) {
                // A macro of the crate root has a name of its own and no module behind it.
                if !allowed.contains(&used.as_str())
                    && root.join(&used).exists() | root.join(format!("{used}.rs")).exists()
                {
                    found.push(format!("{name}:{line}: {module} must not use {used}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_module_that_is_named_is_seen() {
    let named = modules_named("use crate::driver::Engine; // crate::ui\nlet x = crate::text::fit(y);");
    assert_eq!(named, [(1, "driver".to_owned()), (2, "text".to_owned())]);
}

/// What a replay must not name: with none of these there is nothing to do anything with.
const NO_HANDS: &[&str] = &[
    "world",
    "driver::Engine",
    "driver::engine",
    "Engine",
    "tokio::net",
    "tokio::process",
    "std::net",
    "std::process",
    "Command::new",
    "Writer",
    "Recorder",
    "Ledger",
    "append",
    "hyper",
    "tokio_postgres",
    "hickory",
];

fn hands(name: &str, text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        found.extend(
            NO_HANDS.iter().filter(|word| line.contains(*word)).map(|word| format!("{name}:{}: {word}", number + 1)),
        );
    }
    found
}

#[test]
fn a_replay_has_no_hands() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root.join("replay"), &mut paths);
    assert!(paths.len() >= 5, "the replay has moved: {}", paths.len());
    paths.push(root.join("cli/replay.rs"));
    let found: Vec<String> =
        paths.iter().flat_map(|path| hands(&path.display().to_string(), &fs::read_to_string(path).unwrap())).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(hands("x.rs", "use crate::world::live::LiveWorld;").len(), 1);
}
