//! Runbooks: good ones become plans, broken ones are told everything that is wrong with them, and monsters are
//! refused before they cost anything.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gonogo::core::plan::Plan;
use gonogo::runbook::{self, Diagnostics, Loaded, Options};

fn runbooks(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runbooks").join(kind)
}

fn good(name: &str, options: &Options) -> Loaded {
    let source = fs::read_to_string(runbooks("good").join(name)).unwrap();
    runbook::load_str(name, source, options).unwrap_or_else(|errors| panic!("{}", errors.render(false, 100)))
}

fn faults(text: &str) -> Diagnostics {
    runbook::load_str("test.yaml", text, &Options::default()).expect_err("this runbook is broken")
}

fn profile(name: &str) -> Options {
    Options { profile: Some(name.to_owned()), ..Options::default() }
}

fn set(name: &str, value: &str) -> Options {
    Options { set: vec![(name.to_owned(), value.to_owned())], ..Options::default() }
}

/// The plan as an operator would read it.
fn told(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let needs: Vec<&str> = step.needs.iter().map(|id| id.as_str()).collect();
        writeln!(
            text,
            "{}. {} ({}) needs [{}], confirm {:?}, {}",
            step.number,
            step.title,
            step.id,
            needs.join(", "),
            step.confirm,
            step.reversibility.as_str()
        )
        .unwrap();
        let rule = |id| plan.condition(id).unwrap().source();
        for gate in &step.gates {
            writeln!(
                text,
                "   gate {:?}: {} hold {} override {}",
                gate.name,
                rule(gate.condition),
                gate.hold,
                gate.overridable
            )
            .unwrap();
        }
        for line in step.work.preview() {
            writeln!(text, "   | {line}").unwrap();
        }
        for check in &step.verify {
            writeln!(
                text,
                "   verify {:?}: {} hold {} within {}",
                check.name,
                rule(check.condition),
                check.hold,
                check.within
            )
            .unwrap();
        }
        for guard in &step.guards {
            writeln!(text, "   guard {:?}: {} tolerate {}", guard.name, rule(guard.condition), guard.tolerate).unwrap();
        }
        for line in step.undo.iter().flat_map(gonogo::core::plan::Work::preview) {
            writeln!(text, "   < {line}").unwrap();
        }
    }
    text
}

#[test]
fn good_runbooks_become_plans() {
    for name in ["minimal.yaml", "everything.yaml"] {
        let loaded = good(name, &Options::default());
        insta::assert_snapshot!(name, format!("{}\n{}", told(&loaded.plan), loaded.diagnostics(name)));
    }
}

#[test]
fn broken_runbooks_are_told_everything() {
    let mut names: Vec<_> = fs::read_dir(runbooks("broken")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    names.sort();
    assert!(names.len() >= 30);
    let mut wrong = Vec::new();
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let told = match runbook::load(&path, &Options::default()) {
            Ok(_) => "this was accepted\n".to_owned(),
            Err(errors) => {
                let directory = format!("{}/", runbooks("broken").display());
                errors.render(false, 400).replace(&directory, "")
            }
        };
        assert!(!told.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{name}: {told:?}");
        let expected = path.with_extension("stderr");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &told).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != told {
            wrong.push(format!("{name} says\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE=1 rewrites the expected messages", wrong.join("\n"));
}
