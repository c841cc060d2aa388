//! Scenarios: the bundled ones fit the bundled runbook, and all faults of broken ones are reported.

use std::fs;
use std::path::PathBuf;

use gonogo::core::plan::Plan;
use gonogo::runbook::{self, Options};
use gonogo::scenario;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn plan(path: &str) -> Plan {
    let text = fs::read_to_string(root().join(path)).unwrap();
    runbook::load_str(path, text, &Options::default()).unwrap_or_else(|errors| panic!("{errors}")).plan
}

#[test]
fn every_bundled_scenario_fits_the_bundled_runbook() {
    let plan = plan("runbook.yaml");
    assert!(scenario::BUNDLED.len() >= 12);
    for bundled in scenario::BUNDLED {
        let loaded = scenario::load_str(bundled.name, bundled.text, &plan).unwrap_or_else(|errors| panic!("{errors}"));
        for line in [&loaded.title, &loaded.lesson, &loaded.good_reaction] {
            assert!(line.len() < 130, "{}: too long for a line: {line}", bundled.name);
        }
    }
    assert_eq!(scenario::fitting(&plan).len(), scenario::BUNDLED.len());
    assert!(scenario::bundled("lag-spike").is_some() && scenario::bundled("none").is_none());
}

#[test]
fn every_scenario_file_is_bundled() {
    let folder = root().join("assets/scenarios");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let bundled: Vec<&str> = scenario::BUNDLED.iter().map(|bundled| bundled.name).collect();
    let mut sorted = bundled.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted);
}

#[test]
fn a_plan_without_such_things_takes_the_scenarios_that_fit() {
    let fitting = scenario::fitting(&plan("tests/runbooks/good/minimal.yaml"));
    let names: Vec<&str> = fitting.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["command-hangs"]);
}

#[test]
fn broken_scenarios_are_told_everything() {
    let plan = plan("runbook.yaml");
    let folder = root().join("tests/scenarios/broken");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    assert!(paths.len() >= 8);
    let mut wrong = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let told = match scenario::load_str(&name, &fs::read_to_string(&path).unwrap(), &plan) {
            Ok(_) => "this was accepted\n".to_owned(),
            Err(errors) => errors.to_string(),
        };
        assert!(!told.contains("runbook is"), "{told}");
        let expected = path.with_extension("stderr");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &told).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != told {
            wrong.push(format!("{name} says\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE=1 rewrites the expected messages", wrong.join("\n"));
}

#[test]
fn the_published_schemas_are_fresh() {
    for (file, schema) in
        [("scenario.schema.json", scenario::schema()), ("policy.schema.json", gonogo::rehearsal::policy::schema())]
    {
        let path = root().join("assets").join(file);
        let fresh = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &fresh).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap_or_default(), fresh, "{file}: UPDATE=1 rewrites it");
    }
}

/// The blocks of YAML in the sections about scenarios and policies of one's own.
fn examples() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/rehearsals.md")).unwrap();
    let section = page.split("## Scenarios of your own").nth(1).unwrap();
    section.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_examples_of_the_documentation_are_as_they_should_be() {
    let [own, policy] = examples().try_into().unwrap();
    scenario::load_str("docs/rehearsals.md", &own, &plan("runbook.yaml")).unwrap_or_else(|errors| panic!("{errors}"));
    let policy =
        gonogo::rehearsal::policy::load_str("docs/rehearsals.md", &policy).unwrap_or_else(|errors| panic!("{errors}"));
    // Every key is there, so that nobody has to look for one.
    let keys = serde_json::to_value(&policy).unwrap();
    let schema = gonogo::rehearsal::policy::schema();
    let known: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert!(known.iter().all(|key| keys.get(key.as_str()).is_some()), "{known:?} but {keys}");
}
