//! Who may use whom.

use crate::reader::Source;

/// Who may use whom, as `ARCHITECTURE.md` says. Modules that hold the others together are not listed.
const MAY_USE: &[(&str, &[&str])] = &[
    ("core", &["core"]),
    ("record_data", &["core"]),
    ("runbook", &["runbook", "core", "latency", "record_data", "text"]),
    ("latency", &["latency", "core"]),
    ("journal", &["journal", "text"]),
    ("scenario", &["scenario", "core", "runbook"]),
    ("system", &["system"]),
    ("diagnostics", &["diagnostics", "text"]),
    (
        "world",
        &[
            "world",
            "core",
            "clock",
            "catch_panic",
            "diagnostics",
            "latency",
            "record_data",
            "scenario",
            "system",
            "text",
        ],
    ),
    // What touches the outside knows nothing of what is made up for a rehearsal.
    (
        "world/live",
        &["world", "core", "clock", "catch_panic", "diagnostics", "latency", "record_data", "system", "text"],
    ),
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
    ("explain", &["explain", "core", "runbook", "text"]),
    ("ui", &["ui", "core", "pace", "screen", "text", "words"]),
    ("term", &["term", "catch_panic", "system", "text"]),
];

/// What a module uses that it may not.
fn forbidden(source: &Source, module: &str, allowed: &[&str]) -> Vec<String> {
    let files = source.files_of(module);
    assert!(!files.is_empty(), "{module} has moved");
    let mut found = Vec::new();
    for file in files {
        for name in source.names(file) {
            let used = name.module.as_ref().and_then(|module| module.first()).map(String::as_str);
            let own = module.split('/').next();
            if used.is_some() && used != own && !used.is_some_and(|used| allowed.contains(&used)) {
                found.push(format!("src/{file}:{}: {module} must not use {}", name.line, name.path));
            }
        }
    }
    found
}

#[test]
fn nobody_uses_what_the_dependency_rule_forbids() {
    let source = Source::of_this_package();
    let found: Vec<String> = MAY_USE.iter().flat_map(|(module, allowed)| forbidden(source, module, allowed)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_module_that_is_used_is_seen() {
    let source = Source::of(&[
        ("lib.rs", "mod driver; mod text; mod ui;"),
        ("driver.rs", "pub struct Engine;"),
        ("text.rs", "pub fn fit() {}"),
        ("ui.rs", "use super::{driver::*, text as t}; // crate::lab\nfn f(engine: Engine) { t::fit() }"),
    ]);
    let found = forbidden(&source, "ui", &["ui", "text"]);
    assert_eq!(
        found,
        ["src/ui.rs:1: ui must not use crate::driver::*", "src/ui.rs:2: ui must not use crate::driver::Engine",]
    );
}
