//! What the documentation shows works: its runbooks check without a warning and rehearse to the end, its links lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gonogo::journal::RunId;
use gonogo::rehearsal::automatic::rehearse;
use gonogo::rehearsal::debrief::debrief;
use gonogo::rehearsal::operator::AutoOperator;
use gonogo::rehearsal::policy::Policy;
use gonogo::runbook::{self, Options};
use gonogo::scenario::End;
use gonogo::world::sim::SimOptions;

use gonogo::core::time::At;
use gonogo::driver::facts_of;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page that people read, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let mut paths: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)).into();
    below(&root().join("docs"), &mut paths);
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The whole runbooks among the blocks of YAML of a page.
fn runbooks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|text| text.contains("\nphases:"))
}

/// Checks a runbook without a word of complaint and rehearses it to a complete end without harm.
fn checked_and_rehearsed(name: &str, text: &str) {
    let loaded = runbook::load_str(name, text, &Options::default())
        .unwrap_or_else(|errors| panic!("{name}: {}", errors.render(false, 100)));
    assert!(loaded.warnings.is_empty(), "{name}: {}", loaded.diagnostics(name).render(false, 100));
    let plan = Arc::new(loaded.plan);
    let id: RunId = "20260103-0200-0001".parse().unwrap();
    let options = SimOptions { seed: 1, start: At(1_767_405_600_000), scenarios: Vec::new() };
    let rehearsed = rehearse(&plan, options, &id, &mut AutoOperator::new(Policy::good())).unwrap();
    let facts = facts_of(&rehearsed.records).unwrap();
    let told = debrief(&plan, &facts, &rehearsed.world.mishaps(), &rehearsed.world.world().truth(), &|_, _| Vec::new());
    assert_eq!(told.end(), End::Complete, "{name}: {}", told.lines().join("\n"));
}

#[test]
fn every_runbook_in_the_documentation_checks_and_rehearses() {
    let mut seen = 0;
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples");
    for path in std::fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path()) {
        checked_and_rehearsed(&path.display().to_string(), &std::fs::read_to_string(&path).unwrap());
        seen += 1;
    }
    for (path, text) in pages() {
        for runbook in runbooks(&text) {
            checked_and_rehearsed(&path.display().to_string(), runbook);
            seen += 1;
        }
    }
    assert!(seen >= 2, "the README and the page about the language show a runbook each");
}

/// A file that is made from the program, as it is and as it should be.
fn assert_fresh(path: &Path, fresh: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, fresh).unwrap();
    }
    let path_shown = path.display();
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(kept, fresh, "{path_shown}: `UPDATE=1 cargo test --test rehearsal documentation` writes it anew");
}

#[test]
fn every_generated_page_is_fresh() {
    let files = gonogo::explain::files();
    for (name, text) in &files {
        assert_fresh(&root().join("docs").join(name), text);
    }
    for entry in fs::read_dir(root().join("docs/kinds")).unwrap() {
        let name = format!("kinds/{}", entry.unwrap().file_name().to_str().unwrap());
        assert!(files.contains_key(&name), "docs/{name} is of a kind that is gone: remove it");
    }
}

#[test]
fn the_manual_pages_are_fresh() {
    let made = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(gonogo::cli::command().disable_help_subcommand(true), made.path()).unwrap();
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let kept = root().join("assets/man");
    for name in names(made.path()) {
        assert_fresh(&kept.join(&name), &fs::read_to_string(made.path().join(&name)).unwrap());
    }
    assert_eq!(names(&kept), names(made.path()), "a page of a command that is gone");
}

#[test]
fn every_kind_has_a_page_with_an_example() {
    for page in gonogo::explain::pages() {
        if page.summary(gonogo::explain::Subject::Word).is_none() {
            assert!(
                page.blocks.iter().any(|block| matches!(block, gonogo::explain::PagePart::Code(_))),
                "{}",
                page.word
            );
        }
    }
}

#[test]
fn every_link_leads_to_a_file() {
    let mut seen = 0;
    for (page, text) in pages() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            assert!(page.parent().unwrap().join(file).exists(), "{}: {link} leads nowhere", page.display());
            seen += 1;
        }
    }
    assert!(seen >= 20, "{seen} links");
}

#[test]
fn the_readme_is_two_screens_long() {
    let lines = fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines <= 120, "{lines} lines");
}
