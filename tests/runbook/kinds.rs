//! Every kind of probe and action has an example that is a good runbook, and fields that its readings have.

use gonogo::core::kind::catalog::{KindRole, catalog};
use gonogo::core::origin::actions;
use gonogo::core::value::{Field, Shape};
use gonogo::runbook::{Options, load_str};

#[test]
fn every_example_is_a_good_runbook_that_uses_its_kind() {
    let mut faults = Vec::new();
    for entry in catalog() {
        let name = format!("{} {}", entry.role.as_str(), entry.word);
        match load_str(&name, entry.example.to_owned(), &Options::default()) {
            Ok(loaded) => {
                let uses = match entry.role {
                    KindRole::Probe => loaded.plan.probes.values().any(|probe| probe.kind.name() == entry.word),
                    KindRole::Action => actions(&loaded.plan).any(|action| action.kind() == entry.word),
                };
                if !uses {
                    faults.push(format!("the example of {name} does not use it"));
                }
            }
            Err(wrong) => faults.push(wrong.to_string()),
        }
        assert!(!entry.summary.is_empty() && !entry.rights.is_empty(), "{name}");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What differs between the documented fields and those of a real probe, with the path to each.
fn differences(path: &str, documented: &[Field], real: &[Field], found: &mut Vec<String>) {
    // A name in capitals stands for every name that the runbook chooses.
    let is_chosen = |field: &&Field| field.name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let chosen = documented.iter().find(is_chosen);
    for field in real {
        let at = format!("{path}.{}", field.name);
        match documented.iter().find(|known| known.name == field.name).or(chosen) {
            None => found.push(format!("{at} is not documented")),
            Some(known) => {
                differs(&at, &known.shape, &field.shape, found);
                // What a declared field is null for depends on the answer.
                if known.null != field.null && known.shape != Shape::Any {
                    found.push(format!("{at} is null when {:?}, not {:?}", field.null, known.null));
                }
            }
        }
    }
    for known in documented.iter().filter(|known| !is_chosen(known)) {
        if !real.iter().any(|field| field.name == known.name) {
            found.push(format!("{path}.{} is documented, and no reading has it", known.name));
        }
    }
    if chosen.is_some() && real.iter().all(|field| documented.iter().any(|known| known.name == field.name)) {
        found.push(format!("{path} has no field of the runbook's choice, though that is documented"));
    }
}

fn differs(path: &str, documented: &Shape, real: &Shape, found: &mut Vec<String>) {
    match (documented, real) {
        (Shape::Any, _) => {}
        (Shape::Record(documented), Shape::Record(real)) => differences(path, documented, real, found),
        (Shape::List(documented), Shape::List(real)) => differs(&format!("{path}[]"), documented, real, found),
        (documented, real) if documented == real => {}
        (documented, real) => found.push(format!("{path} is {real}, documented as {documented}")),
    }
}

#[test]
fn the_documented_fields_are_those_of_real_probes() {
    let mut faults = Vec::new();
    for entry in catalog().into_iter().filter(|entry| entry.role == KindRole::Probe) {
        let loaded = load_str(entry.word, entry.example.to_owned(), &Options::default());
        let plan = loaded.unwrap_or_else(|wrong| panic!("{wrong}")).plan;
        for (id, probe) in plan.probes.iter().filter(|(_, probe)| probe.kind.name() == entry.word) {
            let documented = Shape::Record(entry.fields.clone());
            differs(&format!("{} {id}", entry.word), &documented, &probe.kind.shape(), &mut faults);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_difference_between_documentation_and_shape_is_found() {
    let field = |name, shape| Field::new(name, shape, "");
    let documented = [
        field("a", Shape::Int),
        field("gone", Shape::Bool),
        field("sides", Shape::Record(vec![field("SIDE", Shape::Record(vec![field("p95", Shape::Float)]))])),
    ];
    let side = |shape| Shape::Record(vec![field("old", Shape::Record(vec![field("p95", shape)]))]);
    let good = [field("a", Shape::Int), field("gone", Shape::Bool), field("sides", side(Shape::Float))];
    let mut found = Vec::new();
    differences("p", &documented, &good, &mut found);
    assert_eq!(found, Vec::<String>::new());
    let bad = [field("a", Shape::Int).null("x"), field("new", Shape::Int), field("sides", side(Shape::Int))];
    differences("p", &documented, &bad, &mut found);
    for path in ["p.a is null", "p.new is not", "p.sides.old.p95 is int", "p.gone is documented"] {
        assert!(found.iter().any(|fault| fault.starts_with(path)), "{path}: {found:?}");
    }
}
