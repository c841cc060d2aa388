//! Scenarios: what goes wrong in a rehearsal, and when. YAML with a schema, read with the same care as a runbook.
//!
//! A scenario is checked against the plan it will be played on: a name that the plan does not have is an error with a
//! place. Nothing here touches a file or a server; the caller supplies the text.

mod check;
pub mod model;
pub mod reads;
pub mod select;

use serde::Deserialize;

use crate::core::plan::Plan;
use crate::runbook::schema::{self, Rule};
use crate::runbook::tree::Kind;
use crate::runbook::yaml;
use crate::runbook::{Diagnostic, Diagnostics, validate};

pub use model::{End, Ends, Event, Fault, Happening, Scenario, When};

use std::sync::{Arc, LazyLock};

/// What the whole is called in messages.
const WHOLE: &str = "the scenario";

/// A scenario that comes with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bundled {
    /// Its name, as given to `--scenario`.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! bundled {
    ($($name:literal),* $(,)?) => {
        /// Every scenario that comes with the program, by name.
        pub const BUNDLED: &[Bundled] = &[
            $(Bundled { name: $name, text: include_str!(concat!("../../assets/scenarios/", $name, ".yaml")) },)*
        ];
    };
}

bundled!(
    "apply-worker-dies",
    "apply-worker-stops",
    "cockpit-killed",
    "clock-jump",
    "command-hangs",
    "disk-full",
    "drain-too-slow",
    "disabled-by-error",
    "lag-spike",
    "large-transaction",
    "lost-answer",
    "new-errors",
    "new-slow",
    "open-transaction",
    "probe-dead",
    "probe-lies",
    "resolver-dead",
    "resolver-stuck",
    "slot-lost",
    "slot-made-again",
    "slot-moved",
    "source-fails-over",
    "sql-fails",
    "table-added",
    "terminal-lost",
    "traffic-surge",
    "updates-throttled",
    "walsender-stops",
);

/// The bundled scenario of that name.
pub fn bundled(name: &str) -> Option<Bundled> {
    BUNDLED.iter().find(|bundled| bundled.name == name).copied()
}

/// The bundled scenarios that fit a plan, with their names.
pub fn fitting(plan: &Plan) -> Vec<(&'static str, Scenario)> {
    let load = |bundled: &Bundled| load_str(bundled.name, bundled.text, plan).ok().map(|of| (bundled.name, of));
    BUNDLED.iter().filter_map(load).collect()
}

/// Reads a scenario for a plan; `name` is what the text is called in messages.
///
/// # Errors
///
/// Everything that is wrong with it, with places.
pub fn load_str(name: &str, text: &str, plan: &Plan) -> Result<Scenario, Diagnostics> {
    compile(text, plan).map_err(|faults| Diagnostics::new(name, text, faults, Vec::new()))
}

fn compile(text: &str, plan: &Plan) -> Result<Scenario, Vec<Diagnostic>> {
    if text.len() as u64 > crate::runbook::LARGEST {
        return Err(vec![Diagnostic::new("the scenario is too large")]);
    }
    let root = yaml::parse(text).map_err(|faults| faults.into_iter().map(about_scenarios).collect::<Vec<_>>())?;
    if root.kind == Kind::Null {
        let help = "a scenario has a `title`, a `lesson`, a `good_reaction`, `ends` and `events`".to_owned();
        return Err(vec![Diagnostic::new("the scenario is empty").help(help)]);
    }
    let faults = validate::against(&root, rule(), WHOLE);
    if !faults.is_empty() {
        return Err(faults);
    }
    let scenario = Scenario::deserialize(&root)
        .map_err(|error| vec![Diagnostic::new("the scenario does not fit the language").help(error.to_string())])?;
    let faults = check::check(&scenario, plan, &root);
    if faults.is_empty() { Ok(scenario) } else { Err(faults) }
}

/// Words a fault of the tree reader, which was written for runbooks, for scenarios.
fn about_scenarios(fault: Diagnostic) -> Diagnostic {
    let at = fault.at.map(|(mark, label)| (mark, label.replace("runbook", "scenario")));
    Diagnostic { message: fault.message.replace("runbook", "scenario"), at, ..fault }
}

/// The JSON Schema of a scenario (draft 2020-12), closed like that of a runbook.
pub fn schema() -> serde_json::Value {
    schema::language_of::<Scenario>("gonogo scenario")
}

fn rule() -> &'static Rule {
    static RULE: LazyLock<Arc<Rule>> = LazyLock::new(|| schema::compiled(&schema()));
    &RULE
}
