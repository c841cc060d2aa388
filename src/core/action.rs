//! Actions: what a step does, as data, and the preview an operator confirms.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::TargetId;
use super::probe::RecordType;
use super::simulate::Change;
use super::target::Target;
use super::time::Span;

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum Action {
    /// A checklist for people; each item is acknowledged on its own.
    #[serde(rename = "manual")]
    Manual(Vec<String>),
    /// A program or a shell command.
    #[serde(rename = "command")]
    Command(Command),
    /// SQL statements on a database.
    #[serde(rename = "sql")]
    Sql(Sql),
    /// An HTTP request.
    #[serde(rename = "http")]
    Http(HttpCall),
    /// Waits for a time, or until conditions hold.
    #[serde(rename = "wait")]
    Wait(Wait),
    /// Lets time pass while the step's guards watch. It ends only with every guard GO.
    #[serde(rename = "soak")]
    Soak(Soak),
    /// A dynamic update of a DNS zone (RFC 2136).
    #[serde(rename = "dns.update")]
    DnsUpdate(DnsUpdate),
}

/// A command: a list is run as it is, a text goes through `/bin/sh -c`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CommandLine {
    /// Program and arguments, no shell involved.
    Argv(Vec<String>),
    /// Text for `/bin/sh -c`.
    Shell(String),
}

/// Runs a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
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

/// Runs SQL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sql {
    /// The `postgres` target.
    pub target: TargetId,
    /// Statements, run one after the other. A secret in them is quoted: `{{ secrets.NAME | literal }}`.
    #[schemars(length(min = 1))]
    pub statements: Vec<String>,
    /// Run all of them in one transaction. Some statements, such as `CREATE SUBSCRIPTION`, do not allow it.
    #[serde(default)]
    pub transaction: bool,
    /// What the last statement must give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<SqlExpect>,
    /// Longest time for each statement. 30s when absent.
    #[serde(default = "thirty_seconds")]
    pub limit: Span,
    /// What it changes in a rehearsal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub simulate: Vec<Change>,
}

fn thirty_seconds() -> Span {
    Span::secs(30)
}

/// What an SQL result must look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SqlExpect {
    /// The number of rows returned or changed.
    Rows(u64),
    /// The text of the first column of the only row.
    Value(String),
}

/// Sends an HTTP request.
///
/// An answer that is no success is a failure, with one exception: after POST and PATCH, which may not be sent twice,
/// 502 and 504 leave the step in doubt, because the gateway does not know what the server behind it has done. So does
/// a connection that is lost, or a limit that passes, after anything but a GET was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpCall {
    /// The `http` target.
    pub target: TargetId,
    /// The method; POST when absent.
    #[serde(default)]
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Headers added to the target's.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Statuses that count as success; any 2xx when empty.
    #[serde(default)]
    pub success: Vec<u16>,
    /// Text the answer must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Longest time for the whole exchange. 30s when absent.
    #[serde(default = "thirty_seconds")]
    pub limit: Span,
    /// What it changes in a rehearsal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub simulate: Vec<Change>,
}

/// HTTP methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    #[default]
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Method {
    /// Whether sending it twice does what sending it once does (RFC 9110 §9.2.2).
    pub fn is_idempotent(self) -> bool {
        !matches!(self, Method::Post | Method::Patch)
    }

    /// The method's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

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
    /// Longest wait; then the action fails.
    pub within: Span,
}

/// Lets time pass under guard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Soak {
    /// How long.
    #[serde(rename = "for")]
    pub length: Span,
}

/// Changes records of one zone in a single atomic update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DnsUpdate {
    /// The `dns` target; the update goes to its first authoritative server, signed with its TSIG key.
    pub target: TargetId,
    /// What changes.
    #[schemars(length(min = 1))]
    pub changes: Vec<DnsChange>,
    /// Longest time for the exchange. 30s when absent.
    #[serde(default = "thirty_seconds")]
    pub limit: Span,
}

/// Replaces one record set, only if it still has the expected values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DnsChange {
    /// The name, for example `app.example.com`.
    pub name: String,
    /// The record type.
    #[serde(default, rename = "type")]
    pub record_type: RecordType,
    /// Values that must be there now; the server refuses the whole update otherwise (RFC 2136 §2.4.2). When
    /// everything is as it should become already, that is no failure: nothing is changed.
    pub from: Vec<String>,
    /// Values afterwards.
    pub to: Vec<String>,
    /// TTL in seconds afterwards.
    pub ttl: u32,
}

impl Action {
    /// The kind's name in runbooks.
    pub fn kind(&self) -> &'static str {
        match self {
            Action::Manual(_) => "manual",
            Action::Command(_) => "command",
            Action::Sql(_) => "sql",
            Action::Http(_) => "http",
            Action::Wait(_) => "wait",
            Action::Soak(_) => "soak",
            Action::DnsUpdate(_) => "dns.update",
        }
    }

    /// Whether anything outside is touched. Checklists, waits and soaks are kept by the core alone, so after
    /// a crash they go on where they were; everything else is IN DOUBT.
    pub fn leaves_the_program(&self) -> bool {
        !matches!(self, Action::Manual(_) | Action::Wait(_) | Action::Soak(_))
    }

    /// Targets this action uses, with the kind each must have.
    pub fn targets(&self) -> Vec<(&TargetId, &'static str)> {
        match self {
            Action::Sql(sql) => vec![(&sql.target, "postgres")],
            Action::Http(http) => vec![(&http.target, "http")],
            Action::DnsUpdate(update) => vec![(&update.target, "dns")],
            Action::Manual(_) | Action::Command(_) | Action::Wait(_) | Action::Soak(_) => Vec::new(),
        }
    }

    /// The longest the action may take by its own account.
    pub fn limit(&self) -> Option<Span> {
        match self {
            Action::Command(command) => Some(command.limit),
            Action::Sql(sql) => Some(Span(sql.limit.0.saturating_mul(sql.statements.len() as u64 + 1))),
            Action::Http(http) => Some(http.limit),
            Action::DnsUpdate(update) => Some(update.limit),
            Action::Wait(Wait::Until(until)) => Some(until.within),
            Action::Wait(Wait::For(_)) | Action::Soak(_) | Action::Manual(_) => None,
        }
    }

    /// The time it lets pass, where it does nothing else.
    pub fn length(&self) -> Option<Span> {
        match self {
            Action::Wait(Wait::For(length)) => Some(*length),
            Action::Soak(soak) => Some(soak.length),
            _ => None,
        }
    }

    /// What it changes in a rehearsal by its own account.
    pub fn simulate(&self) -> &[Change] {
        match self {
            Action::Command(command) => &command.simulate,
            Action::Sql(sql) => &sql.simulate,
            Action::Http(http) => &http.simulate,
            Action::Manual(_) | Action::Wait(_) | Action::Soak(_) | Action::DnsUpdate(_) => &[],
        }
    }

    /// Exactly what will be done and where, line by line. Secrets appear as `«secret:name»`, with
    /// how they are quoted ([`super::quote`]).
    pub fn preview(&self, targets: &BTreeMap<TargetId, Target>) -> Vec<String> {
        let place = |id: &TargetId| match targets.get(id) {
            Some(target) => format!("{id} ({})", target.address()),
            None => id.to_string(),
        };
        match self {
            Action::Manual(items) => items.iter().map(|item| format!("[ ] {item}")).collect(),
            Action::Command(command) => preview_command(command),
            Action::Sql(sql) => {
                let mut lines = vec![format!(
                    "on {}{}:",
                    place(&sql.target),
                    if sql.transaction { ", in one transaction" } else { "" }
                )];
                lines.extend(sql.statements.iter().flat_map(|statement| {
                    statement.trim().trim_end_matches(';').lines().map(|line| format!("  {line}"))
                }));
                match &sql.expect {
                    Some(SqlExpect::Rows(n)) => {
                        lines.push(format!("  expect {n} row{}", if *n == 1 { "" } else { "s" }));
                    }
                    Some(SqlExpect::Value(value)) => lines.push(format!("  expect {value}")),
                    None => {}
                }
                lines
            }
            Action::Http(http) => {
                let mut lines = vec![format!("{} {} on {}", http.method.as_str(), http.path, place(&http.target))];
                lines.extend(http.headers.iter().map(|(name, value)| format!("  {name}: {value}")));
                lines.extend(http.body.iter().flat_map(|body| body.lines().map(|line| format!("  {line}"))));
                lines
            }
            Action::Wait(Wait::For(span)) => vec![format!("wait {span}")],
            Action::Wait(Wait::Until(until)) => {
                let mut lines = vec![format!("wait at most {} until", until.within)];
                lines.extend(until.conditions.iter().map(|condition| format!("  {condition}")));
                lines
            }
            Action::Soak(soak) => vec![format!("watch for {} while every guard stays GO", soak.length)],
            Action::DnsUpdate(update) => {
                let mut lines = vec![format!("update {} at once, all or nothing:", place(&update.target))];
                for change in &update.changes {
                    let name = format!("{} {}", change.name, change.record_type.as_str());
                    lines.push(format!("  - {name} {}", change.from.join(" ")));
                    lines.push(format!("  + {name} {}  ttl {}", change.to.join(" "), change.ttl));
                }
                lines
            }
        }
    }
}

fn preview_command(command: &Command) -> Vec<String> {
    let mut lines: Vec<String> = command.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    match &command.run {
        CommandLine::Argv(argv) => {
            lines.push(shlex::try_join(argv.iter().map(String::as_str)).unwrap_or_else(|_| argv.join(" ")));
        }
        CommandLine::Shell(text) => lines.extend(text.trim_end().lines().map(str::to_owned)),
    }
    if let Some(cwd) = &command.cwd {
        lines.push(format!("in {cwd}"));
    }
    lines
}
