//! The `command` probe and the `command` action.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{
    ActionDoc, ActionSpec, CheckContext, Complaint, OwnFields, ProbeDoc, ProbeSpec, TargetUse, check_document,
    declared_fields, declared_shape,
};
use crate::core::document::{DocumentField, DocumentFields};
use crate::core::ids::TargetId;
use crate::core::simulate::{Change, Simulated};
use crate::core::target::Target;
use crate::core::time::Span;
use crate::core::value::{Field, Shape};

/// A command: a list is run as it is, a text goes through `/bin/sh -c`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CommandLine {
    /// Program and arguments, no shell involved.
    Argv(Vec<String>),
    /// Text for `/bin/sh -c`.
    Shell(String),
}

impl CommandLine {
    /// A complaint at `run` when there is nothing to run.
    fn check(&self) -> Option<Complaint> {
        let empty = match self {
            CommandLine::Argv(argv) => argv.first().is_none_or(String::is_empty),
            CommandLine::Shell(text) => text.trim().is_empty(),
        };
        let label = "expected a program with arguments, or text for a shell";
        empty.then(|| Complaint::value(&["run"], "there is no command", label))
    }
}

/// JSON printed by a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommandProbe {
    /// What to run. It prints one JSON object on its standard output.
    pub run: CommandLine,
    /// Environment variables added for the command.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The fields that expressions may use: `NAME: TYPE` for one at the top of the document, `NAME: { type: TYPE, at: /data/in/0 }`
    /// for one that stands elsewhere or has a key that expressions cannot name. `at` is a JSON pointer (RFC 6901).
    /// A text of more than 4,096 characters and a list or an object of more than 1,000 elements are no reading.
    #[schemars(with = "BTreeMap<String, DocumentField>")]
    pub fields: DocumentFields,
    /// The declared field with the moment that the JSON describes, from which the age of a reading counts: text as RFC
    /// 3339, such as `2027-03-14T02:00:00Z`, or seconds since 1970. A time in the future is a failure.
    /// What is renewed less often than readings stay good (two rounds of `every`) leaves gates UNKNOWN in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Where fields come from in a rehearsal; from the runbook's own conditions when absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub simulate: BTreeMap<String, Simulated>,
}

impl ProbeSpec for CommandProbe {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        Vec::new()
    }

    /// None: what a program connects to cannot be known.
    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn shape(&self) -> Shape {
        declared_shape(self.fields.types())
    }

    fn check(&self, _: &CheckContext<'_>) -> Vec<Complaint> {
        self.run.check().into_iter().chain(check_document(&self.fields, self.as_of.as_deref())).collect()
    }

    fn asked(&self) -> String {
        "the command".to_owned()
    }

    fn as_of(&self) -> Option<&str> {
        self.as_of.as_deref()
    }

    fn own_fields(&self) -> Option<OwnFields<'_>> {
        Some((self.fields.types(), &self.simulate))
    }
}

impl ProbeDoc for CommandProbe {
    const EXAMPLE: &'static str = r"title: See that a backup is young enough
probes:
  backup:
    kind: command
    run: [pgbackrest-age, --json]
    fields: { age_s: int }
    every: 30s
    limit: 20s
phases:
  - title: Prepare
    steps:
      - id: backed-up
        title: Wait for a backup that is younger than an hour
        action: { wait: { until: { conditions: [backup.age_s < 3600], within: 2h } } }
        expect: 20m
        reversibility: free
";
    const RIGHTS: &'static str = "It runs as the user who started gonogo, with that user's rights.";

    fn fields() -> Vec<Field> {
        declared_fields()
    }
}

/// Runs a program or a shell command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommandAction {
    /// What to run.
    pub run: CommandLine,
    /// Environment variables added for the command. Secrets belong here and not into `run`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Working directory; the cockpit's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Longest run time; then the whole process group gets TERM and, 5 s later, KILL. 10m when absent.
    #[serde(default = "ten_minutes")]
    pub limit: Span,
    /// Exit statuses that count as success. Only 0 when absent.
    #[serde(default = "zero")]
    pub success: Vec<i32>,
    /// What it changes in a rehearsal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub simulate: Vec<Change>,
}

fn ten_minutes() -> Span {
    Span::secs(600)
}

fn zero() -> Vec<i32> {
    vec![0]
}

impl ActionSpec for CommandAction {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        Vec::new()
    }

    /// None: what a program connects to cannot be known.
    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn limit(&self) -> Span {
        self.limit
    }

    fn preview(&self, _: &BTreeMap<TargetId, Target>) -> Vec<String> {
        let mut lines: Vec<String> = self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        match &self.run {
            CommandLine::Argv(argv) => {
                lines.push(shlex::try_join(argv.iter().map(String::as_str)).unwrap_or_else(|_| argv.join(" ")));
            }
            CommandLine::Shell(text) => lines.extend(text.trim_end().lines().map(str::to_owned)),
        }
        if let Some(cwd) = &self.cwd {
            lines.push(format!("in {cwd}"));
        }
        lines
    }

    fn terms(&self) -> Vec<String> {
        let good = self.success.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        vec![self.limit.to_string(), format!("good with exit status {good}")]
    }

    fn tells_by_itself(&self) -> bool {
        true
    }

    fn check(&self, _: &CheckContext<'_>) -> Vec<Complaint> {
        let wrong = self.env.keys().filter(|name| name.is_empty() || name.contains(['=', '\0']));
        let complaint = |name: &String| {
            let message = "this cannot name an environment variable";
            Complaint::key(&["env", name], message, "expected a name without `=`")
        };
        self.run.check().into_iter().chain(wrong.map(complaint)).collect()
    }

    fn simulate(&self) -> &[Change] {
        &self.simulate
    }

    /// The shim that runs it records its process and how it ended.
    fn leaves_a_trace(&self) -> bool {
        true
    }
}

impl ActionDoc for CommandAction {
    const EXAMPLE: &'static str = r"title: Copy what replication does not copy
phases:
  - title: Copy
    steps:
      - id: sequences
        title: Bring the sequences up to date
        action: { command: { run: [./copy-sequences.sh, --from, old, --to, new], limit: 2m } }
        reversibility: free
        expect: 20s
";
    const RIGHTS: &'static str = "It runs as the user who started gonogo, with that user's rights.";
}
