//! What the program is made of besides itself: licences, sources and the one TLS stack, as `deny.toml` says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The words of a list in `deny.toml` that is written on one line.
fn listed(deny: &str, key: &str) -> BTreeSet<String> {
    let line = deny.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap();
    serde_json::from_str(line).unwrap()
}

/// Whether an SPDX expression is met by licences that are allowed. `A/B` is the old way to write `A OR B`.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let every = expression.replace('/', " OR ");
    every.split(" AND ").all(|part| {
        let mut choices = part.trim().trim_start_matches('(').trim_end_matches(')').split(" OR ");
        choices.any(|one| allowed.contains(one.trim()))
    })
}

#[test]
fn dependencies_are_as_deny_toml_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let deny = fs::read_to_string(root.join("deny.toml")).unwrap();
    let (allowed, banned) = (listed(&deny, "allow"), listed(&deny, "deny"));
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let metadata: Value = serde_json::from_slice(&told.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "{} packages", packages.len());
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or("no licence");
        if !is_allowed(licence, &allowed) {
            found.push(format!("{name}: {licence}"));
        }
        if banned.contains(name) {
            found.push(format!("{name} is a second TLS stack"));
        }
        let source = package["source"].as_str();
        if source.map_or(name != "gonogo", |source| !source.starts_with("registry+")) {
            found.push(format!("{name} is not from the registry: {source:?}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn licences_that_are_not_allowed_are_found() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "Unicode-3.0".to_owned()]);
    for good in ["MIT", "GPL-3.0 OR MIT", "Apache-2.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in ["GPL-3.0", "no licence", "MIT AND GPL-3.0", "(MIT OR Zlib) AND GPL-3.0"] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}
