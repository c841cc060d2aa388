//! Every kind with what its documentation says.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::kinds;
use super::spec::{ActionDoc, ProbeDoc};
use crate::core::value::Field;

/// Whether a kind is a probe or an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KindRole {
    /// It measures.
    Probe,
    /// It changes something.
    Action,
}

impl KindRole {
    /// The word in documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            KindRole::Probe => "probe",
            KindRole::Action => "action",
        }
    }
}

/// One kind of probe or action, as its documentation shows it.
#[derive(Clone, Debug)]
pub struct KindEntry {
    /// Its word in runbooks, such as `postgres.replication`.
    pub word: &'static str,
    /// Whether it is a probe or an action.
    pub role: KindRole,
    /// What it is for: the documentation of its type. Paragraphs are separated by an empty line.
    pub summary: String,
    /// The JSON Schema of its part of the runbook. For probes `every`, `limit` and `title` come on top.
    pub schema: Schema,
    /// The fields of its readings, names that the runbook chooses in capitals. Empty for actions.
    pub fields: Vec<Field>,
    /// A complete small runbook in YAML that uses it.
    pub example: &'static str,
    /// The rights it needs.
    pub rights: &'static str,
}

fn schema<T: JsonSchema>() -> (Schema, String) {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>();
    let summary = schema.get("description").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    (schema, summary)
}

fn probe<T: ProbeDoc + JsonSchema>(word: &'static str) -> KindEntry {
    let (schema, summary) = schema::<T>();
    let (fields, example, rights) = (T::fields(), T::EXAMPLE, T::RIGHTS);
    KindEntry { word, role: KindRole::Probe, summary, schema, fields, example, rights }
}

fn action<T: ActionDoc + JsonSchema>(word: &'static str) -> KindEntry {
    let (schema, summary) = schema::<T>();
    let (fields, example, rights) = (Vec::new(), T::EXAMPLE, T::RIGHTS);
    KindEntry { word, role: KindRole::Action, summary, schema, fields, example, rights }
}

macro_rules! entries {
    ($($module:ident {
        $(probe $probe:ident($probe_type:ident) $probe_word:literal $(pane $pane:ident)?)?
        $(action $action:ident($action_type:ident) $action_word:literal)?
    })*) => {
        /// Every kind that the list has: first the probes, then the actions, each in the order of the list.
        pub fn catalog() -> Vec<KindEntry> {
            let probes = [$($(probe::<super::$probe_type>($probe_word),)?)*];
            let actions = [$($(action::<super::$action_type>($action_word),)?)*];
            probes.into_iter().chain(actions).collect()
        }
    };
}
kinds!(entries);
