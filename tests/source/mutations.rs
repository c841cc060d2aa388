//! The mutations of `tests/mutations` still apply to the tree, say what they break, and break every promise that the
//! simulation keeps. `tests/mutate` runs them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every mutation with its text.
fn mutations() -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(root().join("tests/mutations")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_mutation_says_which_promise_it_breaks_and_who_must_notice() {
    let mut broken = BTreeSet::new();
    for (path, text) in mutations() {
        let path = path.display();
        let (header, _) = text.split_once("\n--- a/src/").unwrap_or_else(|| panic!("{path}: not one line and a patch"));
        let parts = header.split_once(", ").and_then(|(promise, rest)| Some((promise, rest.split_once(": ")?)));
        let (promise, (suite, what)) = parts.unwrap_or_else(|| panic!("{path}: no `P1, simulation: what`: {header}"));
        assert!(path.to_string().contains(&format!("/{}-", promise.to_lowercase())), "{path} breaks {promise}");
        let file = suite.replace("::", "/");
        let tests = ["main.rs", "mod.rs"].map(|root| format!("tests/{file}/{root}"));
        let tests = tests.into_iter().chain([format!("tests/{file}.rs")]);
        assert!(tests.into_iter().any(|test| root().join(test).exists()), "{path}: there is no test {suite}");
        assert!(!what.contains('\n') && what.split_whitespace().count() >= 4, "{path}: {what}");
        if suite == "simulation" {
            broken.insert(promise.to_owned());
        }
    }
    for promise in 1..=8 {
        assert!(broken.contains(&format!("P{promise}")), "no mutation breaks P{promise} for the simulation");
    }
}

#[test]
fn every_mutation_still_applies() {
    let mutations = mutations();
    assert!(mutations.len() >= 12);
    for (patch, text) in mutations {
        // A folder of its own, so that no surrounding repository interferes.
        let place = tempfile::tempdir().unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("--- a/")) {
            let copy = place.path().join(line);
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(root().join(line), copy).unwrap_or_else(|error| panic!("{}: {line}: {error}", patch.display()));
        }
        let applied = Command::new("git")
            .args(["apply", "--check"])
            .arg(&patch)
            .current_dir(place.path())
            .env("GIT_CEILING_DIRECTORIES", place.path().parent().unwrap())
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&applied.stderr);
        assert!(applied.status.success(), "{} rots: take it to the present tree\n{told}", patch.display());
    }
}
