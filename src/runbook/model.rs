//! The runbook as written: the single source of truth for keys, types and the JSON Schema.
//!
//! Probes, actions and targets are the core's own types. What is only a way of writing (profiles, shorthands,
//! defaults) is here and ends with the plan.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::core::action::Action;
use crate::core::plan::{Comms, Confirm, Rehearsals, Reversibility, SecretSource, WriteEdge, WriteMark};
use crate::core::probe::Probe;
use crate::core::target::Target;
use crate::core::time::{At, Span};

/// A runbook for gonogo: what is done on migration day, in which order, and what must be true before each step.
///
/// Any text may contain `{{ vars.NAME }}`; connection data, environment variables, headers, bodies and SQL
/// may contain `{{ secrets.NAME }}`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Runbook {
    /// What is being done, for the header.
    pub title: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// When the change may happen.
    pub window: Option<Window>,
    /// Who does what: role and person.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
    /// Longest write pause customers may see.
    pub write_pause_budget: Option<Span>,
    /// The probe that reports what customers see; its reading has `failed` and `longest_pause_ms`.
    pub customers: Option<String>,
    /// What status updates are promised.
    pub comms: Option<Comms>,
    /// What must have been rehearsed before `run` is allowed live.
    pub rehearsals: Option<Rehearsals>,
    /// Values used as `{{ vars.NAME }}`. Later ones may use earlier ones. `--set NAME=VALUE` overrides them.
    #[serde(default)]
    pub vars: BTreeMap<String, Var>,
    /// Where secrets come from. They are used as `{{ secrets.NAME }}`, resolved late and never stored.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Variants such as `staging` or `lab`, chosen with `--profile`.
    #[serde(default, skip_serializing)]
    pub profiles: BTreeMap<String, Profile>,
    /// What probes look at and actions change.
    #[serde(default)]
    pub targets: BTreeMap<String, Target>,
    /// What is watched. A probe's name is the first word of every expression over its readings.
    #[serde(default)]
    pub probes: BTreeMap<String, Probe>,
    /// The steps, under headings.
    #[schemars(length(min = 1))]
    pub phases: Vec<Phase>,
}

/// A value for templates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Var {
    /// True or false.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// Text.
    Text(String),
}

/// What is different in a variant. Only names that the runbook itself has can be overridden.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Other values for some of the vars.
    #[serde(default)]
    pub vars: BTreeMap<String, Var>,
    /// Other targets, each replaced as a whole.
    #[serde(default)]
    pub targets: BTreeMap<String, Target>,
    /// Other sources for some of the secrets.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Another window, or `none`.
    pub window: Option<OrNone<Window>>,
    /// Other demands on rehearsals, or `none`.
    pub rehearsals: Option<OrNone<Rehearsals>>,
}

/// Something else, or nothing at all.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OrNone<T> {
    /// This instead.
    Some(T),
    /// None in this profile.
    None(NoneWord),
}

/// The word `none`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoneWord {
    /// Nothing.
    None,
}

/// When the change may happen.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// First moment.
    pub opens: Moment,
    /// Last moment.
    pub closes: Moment,
}

/// A point in time with its zone (RFC 3339).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Moment(pub At);

impl std::str::FromStr for Moment {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        let moment: jiff::Timestamp = text.parse()?;
        Ok(Self(At(moment.as_millisecond())))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "A point in time with its zone: 2027-03-14T02:00:00+01:00.",
            "examples": ["2027-03-14T02:00:00+01:00"],
        })
    }
}

/// Steps under one heading.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Heading.
    pub title: String,
    /// The steps in order.
    #[schemars(length(min = 1))]
    pub steps: Vec<Step>,
}

/// One step: what must be true before, what is done, what must be true afterwards, and how to take it back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Name in the journal and for `needs`: small letters, digits and `-`, at most 64.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9-]{0,63}$"))]
    pub id: String,
    /// Heading on the screen.
    pub title: String,
    /// Who does or answers for it: a role or a person.
    pub owner: Option<String>,
    /// Markdown for the operator.
    #[serde(default)]
    pub instructions: String,
    /// Steps that must be done before. The step before this one when absent; `[]` for none.
    pub needs: Option<Vec<String>>,
    /// What must be GO at the moment of the confirmation.
    #[serde(default)]
    pub gates: Vec<Shorthand<Gate>>,
    /// How it is confirmed.
    #[serde(default)]
    pub confirm: Confirm,
    /// What it does. A step has either this or `section`.
    pub action: Option<Action>,
    /// Several actions back to back after one confirmation, taken back in reverse order when one fails.
    pub section: Option<Section>,
    /// What must be true afterwards for it to count as done.
    #[serde(default)]
    pub verify: Vec<Shorthand<Check>>,
    /// What must stay true while it runs or soaks.
    #[serde(default)]
    pub guards: Vec<Shorthand<Guard>>,
    /// How to take it back. A section without it is taken back by its members' undos in reverse order.
    pub undo: Option<Undo>,
    /// What taking it back costs. A step that changes something outside and has no undo must say it.
    #[serde(default)]
    pub reversibility: Reversibility,
    /// Until when it can be taken back, in the operator's words.
    pub undo_until: Option<String>,
    /// How long it should take.
    pub expect: Option<Span>,
    /// How long it may take before the screen calls it overdue.
    pub max: Option<Span>,
    /// What it does to the write pause. Jobs of a section can say it more exactly.
    pub writes: Option<WriteMark>,
}

/// A condition: an expression alone, or with a name and more.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Shorthand<T> {
    /// The expression alone.
    That(String),
    /// The expression with more.
    Full(T),
}

/// A condition for starting.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// In the operator's words; the expression itself when absent.
    pub name: Option<String>,
    /// A CEL expression over probe readings that must be true: `lag.bytes < bytes("1MiB")`.
    pub that: String,
    /// For how long it must have been true without a break. 0s when absent.
    #[serde(default)]
    pub hold: Span,
    /// Whether an operator may override it with a reason.
    #[serde(default, rename = "override")]
    pub overriding: Override,
}

/// Whether an operator may override a shut gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Override {
    /// With a typed reason, which is recorded with the evidence.
    #[default]
    Allowed,
    /// Never.
    Forbidden,
}

/// A condition for being done.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// In the operator's words; the expression itself when absent.
    pub name: Option<String>,
    /// A CEL expression over probe readings that must be true.
    pub that: String,
    /// For how long without a break. 0s when absent.
    #[serde(default)]
    pub hold: Span,
    /// Time from the end of the action after which the step has failed. 60s when absent.
    #[serde(default = "one_minute")]
    pub within: Span,
}

pub(super) fn one_minute() -> Span {
    Span::secs(60)
}

/// A condition for going on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// In the operator's words; the expression itself when absent.
    pub name: Option<String>,
    /// A CEL expression over probe readings that must stay true.
    pub that: String,
    /// How long it may be NO-GO without a break before the step fails. 0s when absent.
    #[serde(default)]
    pub tolerate: Span,
}

/// Actions that run back to back after one confirmation.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// The time after which it undoes itself.
    pub deadline: Span,
    /// The actions in order. None of them may wait for a person.
    #[schemars(length(min = 1))]
    pub steps: Vec<Member>,
}

/// One action of a section.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Heading on the screen.
    pub title: String,
    /// What is done.
    pub action: Action,
    /// What takes it back.
    pub undo: Option<Action>,
    /// What it does to the write pause; taking it back does the opposite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<WriteEdge>,
}

/// How a step is taken back: by an action, or by a section of several.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Undo {
    /// Several actions back to back.
    Section(UndoSection),
    /// One action.
    Action(Action),
}

/// Several actions that take a step back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoSection {
    /// Several actions back to back.
    pub section: UndoSteps,
}

/// The actions that take a step back, in the order in which they run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoSteps {
    /// Not allowed here: what takes a step back is not stopped half way. Each action has a limit of its own.
    pub deadline: Option<Span>,
    /// The actions in order.
    #[schemars(length(min = 1))]
    pub steps: Vec<UndoMember>,
}

/// One action of an undo.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoMember {
    /// Heading on the screen.
    pub title: String,
    /// What is done.
    pub action: Action,
    /// What it does to the write pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<WriteEdge>,
}
