//! Every kind of probe and action has an example that is a good runbook, and fields that its readings have.

use gonogo::core::kind::catalog::{KindRole, catalog};
use gonogo::core::origin::actions;
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
