//! Actions: what a step does, as data, and the preview an operator confirms.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hosted::{HostedChange, HostedChanges};
use super::ids::TargetId;
use super::kind::spec::{ActionSpec, CheckContext, Complaint, DnsMention, TargetUse};
use super::kind::{self, kinds};
use super::record::RecordChanges;
use super::silence::Silence;
use super::simulate::Change;
use super::target::Target;
use super::time::Span;

/// Waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// A fixed time.
    For(Span),
    /// Until every condition is GO.
    Until(WaitUntil),
}

/// Waits for conditions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WaitUntil {
    /// Expressions over probe readings; all must be GO at the same time.
    #[schemars(length(min = 1))]
    pub conditions: Vec<String>,
    /// For how long all of them must be GO without a break. What was so before the wait began does not count. 0 when absent.
    #[serde(default, skip_serializing_if = "Span::is_zero")]
    pub hold: Span,
    /// Until when they must be GO; then the action fails, unless all of them are and only `hold` is not over yet.
    pub within: Span,
}

impl WaitUntil {
    /// The longest it may last.
    pub fn longest(&self) -> Span {
        Span(self.within.0.saturating_add(self.hold.0))
    }
}

/// Lets time pass while guards are watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Soak {
    /// How long.
    #[serde(rename = "for")]
    pub length: Span,
}

/// A checklist for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "ChecklistForm", into = "ChecklistForm")]
pub struct Checklist {
    /// What is to be done, each on its own.
    pub items: Vec<String>,
    /// What people change in a rehearsal, once every item is acknowledged.
    pub simulate: Vec<Change>,
}

/// A checklist as it is written.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum ChecklistForm {
    /// The items alone.
    Items(Vec<String>),
    /// The items with what they change in a rehearsal.
    Simulated(SimulatedChecklist),
}

/// Items of a checklist, with what they change in a rehearsal.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct SimulatedChecklist {
    /// What is to be done, each on its own.
    items: Vec<String>,
    /// What people change in a rehearsal, once every item is acknowledged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    simulate: Vec<Change>,
}

impl From<ChecklistForm> for Checklist {
    fn from(form: ChecklistForm) -> Self {
        match form {
            ChecklistForm::Items(items) => Self { items, simulate: Vec::new() },
            ChecklistForm::Simulated(SimulatedChecklist { items, simulate }) => Self { items, simulate },
        }
    }
}

impl From<Checklist> for ChecklistForm {
    fn from(Checklist { items, simulate }: Checklist) -> Self {
        if simulate.is_empty() { Self::Items(items) } else { Self::Simulated(SimulatedChecklist { items, simulate }) }
    }
}

/// An action that touches nothing outside: the core carries it out by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kept<'a> {
    /// A checklist for people.
    Manual(&'a [String]),
    /// A wait for a time or for conditions.
    Wait(&'a Wait),
    /// Time that passes while guards are watched.
    Soak(&'a Soak),
}

macro_rules! define {
    ($($module:ident {
        $(probe $probe:ident($probe_type:ident) $probe_word:literal $(pane $pane:ident)?)?
        $(action $action:ident($action_type:ident) $action_word:literal)?
    })*) => {
        /// What a step does.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[allow(missing_docs)] // the type of each kind says what it is
        pub enum Action {
            /// A checklist for people; each item is acknowledged on its own. A list of items, or `items` with `simulate`.
            #[serde(rename = "manual")]
            Manual(Checklist),
            /// Waits for a time, or until conditions hold.
            #[serde(rename = "wait")]
            Wait(Wait),
            /// Lets time pass while the step's guards watch. It ends only with every guard GO.
            #[serde(rename = "soak")]
            Soak(Soak),
            $($(
                #[serde(rename = $action_word)]
                $action(kind::$action_type),
            )?)*
        }

        impl Action {
            /// The words of all actions in runbooks.
            pub const WORDS: &[&str] = &["manual", "wait", "soak" $($(, $action_word)?)*];

            /// The kind's name in runbooks.
            pub fn kind(&self) -> &'static str {
                match self {
                    Action::Manual(_) => "manual",
                    Action::Wait(_) => "wait",
                    Action::Soak(_) => "soak",
                    $($(Action::$action(_) => $action_word,)?)*
                }
            }

            /// What its kind tells about it; `None` when the core carries it out itself ([`Self::kept`]).
            pub fn spec(&self) -> Option<&dyn ActionSpec> {
                match self {
                    Action::Manual(_) | Action::Wait(_) | Action::Soak(_) => None,
                    $($(Action::$action(of) => Some(of),)?)*
                }
            }

            /// The action as the core carries it out; `None` when it leaves the program.
            pub fn kept(&self) -> Option<Kept<'_>> {
                match self {
                    Action::Manual(list) => Some(Kept::Manual(&list.items)),
                    Action::Wait(wait) => Some(Kept::Wait(wait)),
                    Action::Soak(soak) => Some(Kept::Soak(soak)),
                    $($(Action::$action(_) => None,)?)*
                }
            }
        }
    };
}
kinds!(define);

impl Action {
    /// Whether it touches anything outside. The core alone carries out checklists, waits and soaks, so after a crash
    /// they go on where they were; everything else is IN DOUBT.
    pub fn leaves_the_program(&self) -> bool {
        self.spec().is_some()
    }

    /// The items, when it is a checklist.
    pub fn checklist(&self) -> Option<&[String]> {
        match self.kept() {
            Some(Kept::Manual(items)) => Some(items),
            _ => None,
        }
    }

    /// The longest it may wait for conditions, when that is what it does.
    pub fn waits_within(&self) -> Option<Span> {
        match self.kept() {
            Some(Kept::Wait(Wait::Until(until))) => Some(until.longest()),
            _ => None,
        }
    }

    /// Targets this action uses.
    pub fn targets(&self) -> Vec<TargetUse<'_>> {
        self.spec().map(ActionSpec::targets).unwrap_or_default()
    }

    /// Every address that it connects to by itself, besides those of its targets.
    pub fn addresses(&self) -> Vec<&str> {
        self.spec().map(ActionSpec::addresses).unwrap_or_default()
    }

    /// The longest the action may take, as it states itself.
    pub fn limit(&self) -> Option<Span> {
        self.spec().map(ActionSpec::limit).or_else(|| self.waits_within())
    }

    /// The time it lets pass, where it does nothing else.
    pub fn length(&self) -> Option<Span> {
        match self.kept()? {
            Kept::Wait(Wait::For(length)) => Some(*length),
            Kept::Soak(soak) => Some(soak.length),
            Kept::Wait(Wait::Until(_)) | Kept::Manual(_) => None,
        }
    }

    /// What it changes in a rehearsal, as the action itself declares.
    pub fn simulate(&self) -> &[Change] {
        match self {
            Action::Manual(list) => &list.simulate,
            _ => self.spec().map(ActionSpec::simulate).unwrap_or_default(),
        }
    }

    /// The DNS records it changes.
    pub fn records(&self) -> Option<RecordChanges<'_>> {
        self.spec().and_then(ActionSpec::records)
    }

    /// The record sets of a hosted zone that it changes.
    pub fn hosted(&self) -> Option<HostedChanges<'_>> {
        self.spec().and_then(ActionSpec::hosted)
    }

    /// What it does with alarms.
    pub fn silence(&self) -> Option<Silence<'_>> {
        self.spec().and_then(ActionSpec::silence)
    }

    /// Names and values of DNS that it writes out.
    pub fn mentions(&self) -> Vec<DnsMention<'_>> {
        self.spec().map(ActionSpec::mentions).unwrap_or_default()
    }

    /// Whether it sends customers elsewhere, because it gives a DNS record other values.
    pub fn moves_a_record(&self) -> bool {
        self.records().is_some_and(|records| records.changes.iter().any(|change| change.from != change.to))
            || self.hosted().is_some_and(|hosted| hosted.changes.iter().any(HostedChange::moves))
            || self.simulate().iter().any(|change| matches!(change, Change::Point(_)))
    }

    /// Whether it leaves a trace outside by which a later cockpit finds it.
    pub fn leaves_a_trace(&self) -> bool {
        self.spec().is_some_and(ActionSpec::leaves_a_trace)
    }

    /// What stays as it has left it until another action ends it, when the way back must not forget that.
    pub fn leaves_in_force(&self) -> Option<&'static str> {
        self.spec().and_then(ActionSpec::leaves_in_force)
    }

    /// Whether its result alone shows that it did what was wanted.
    pub fn tells_by_itself(&self) -> bool {
        self.spec().is_none_or(ActionSpec::tells_by_itself)
    }

    /// What decides whether it has succeeded, and how long it may take; `None` when the core keeps it.
    pub fn terms(&self) -> Option<String> {
        self.spec().map(|spec| spec.terms().join(", "))
    }

    /// What is wrong with it beyond what its types say.
    pub fn check(&self, context: &CheckContext<'_>) -> Vec<Complaint> {
        match self.kept() {
            Some(Kept::Manual([])) => {
                vec![Complaint::value(&[], "the checklist is empty", "expected at least one item")]
            }
            Some(_) => Vec::new(),
            None => self.spec().map(|spec| spec.check(context)).unwrap_or_default(),
        }
    }

    /// Exactly what will be done and where, line by line. Secrets appear as `«secret:name»`, with
    /// how they are quoted ([`super::quote`]).
    pub fn preview(&self, targets: &BTreeMap<TargetId, Target>) -> Vec<String> {
        match self.kept() {
            Some(Kept::Manual(items)) => items.iter().map(|item| format!("[ ] {item}")).collect(),
            Some(Kept::Wait(Wait::For(span))) => vec![format!("wait {span}")],
            Some(Kept::Wait(Wait::Until(until))) => {
                let mut lines = vec![format!("wait at most {} until", until.within)];
                lines.extend(until.conditions.iter().map(|condition| format!("  {condition}")));
                if !until.hold.is_zero() {
                    lines.push(format!("  for {} without a break", until.hold));
                }
                lines
            }
            Some(Kept::Soak(soak)) => vec![format!("watch for {} while every guard stays GO", soak.length)],
            None => self.spec().map(|spec| spec.preview(targets)).unwrap_or_default(),
        }
    }
}
