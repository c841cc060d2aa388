//! The `pgbouncer` probe and the `pgbouncer` action.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{ActionDoc, ActionSpec, CheckContext, Complaint, ProbeDoc, ProbeSpec, TargetUse};
use crate::core::ids::TargetId;
use crate::core::quote::Quoting;
use crate::core::simulate::Change;
use crate::core::target::{self, Target};
use crate::core::time::Span;
use crate::core::value::{Field, Shape};

/// Time beyond the limit of the command itself: to take a pause back and to look at what is true then.
const AFTERWARDS: Span = Span::secs(15);

/// A `PgBouncer` pooler: whether a database is paused, who waits, and for how long.
///
/// The target is a `postgres` target that leads to the pooler's admin console, which is a database of the name
/// `pgbouncer`: `dsn: "host=pooler.example.com port=6432 user=admin dbname=pgbouncer"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PgbouncerProbe {
    /// The `postgres` target that leads to the admin console (`dbname=pgbouncer`).
    pub target: TargetId,
    /// The database as the pooler names it. All of its databases together when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

/// A command on the admin console of `PgBouncer`: holds clients back, lets them go on, or drops their connections.
///
/// The target is a `postgres` target that leads to the pooler's admin console, which is a database of the name
/// `pgbouncer`: `dsn: "host=pooler.example.com port=6432 user=admin dbname=pgbouncer"`. The pooler is looked at
/// before the command and after it, also after one that was stopped or had no answer; that it gave no error is not
/// enough. A pause that is stopped or passes its limit is taken back with RESUME, since `PgBouncer` keeps holding clients
/// back when the connection that asked is gone. `gonogo check` warns of a step that pauses, kills or disables and has no
/// `undo`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PgbouncerAction {
    /// The `postgres` target that leads to the admin console (`dbname=pgbouncer`).
    pub target: TargetId,
    /// The command.
    #[serde(rename = "do")]
    pub command: PgbouncerCommand,
    /// The database as the pooler names it. For every command except `reload` and `show`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// What `show` prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub show: Option<PgbouncerShow>,
    /// Longest time for the command; a pause waits so long for open transactions. 30s when absent.
    #[serde(default = "thirty_seconds")]
    pub limit: Span,
    /// What it changes in a rehearsal besides the pooler itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub simulate: Vec<Change>,
}

fn thirty_seconds() -> Span {
    Span::secs(30)
}

/// The commands of the admin console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PgbouncerCommand {
    /// Waits until every server connection is free, and holds all clients back from then on.
    Pause,
    /// Lets the clients of a paused or killed database go on.
    Resume,
    /// Reads the configuration file again.
    Reload,
    /// Opens server connections anew, each as soon as it is free.
    Reconnect,
    /// Refuses new clients.
    Disable,
    /// Lets new clients in again.
    Enable,
    /// Drops all connections at once, and holds new clients back until `resume`.
    Kill,
    /// Prints figures.
    Show,
}

impl PgbouncerCommand {
    /// The command in the console's own words.
    pub fn keyword(self) -> &'static str {
        match self {
            PgbouncerCommand::Pause => "PAUSE",
            PgbouncerCommand::Resume => "RESUME",
            PgbouncerCommand::Reload => "RELOAD",
            PgbouncerCommand::Reconnect => "RECONNECT",
            PgbouncerCommand::Disable => "DISABLE",
            PgbouncerCommand::Enable => "ENABLE",
            PgbouncerCommand::Kill => "KILL",
            PgbouncerCommand::Show => "SHOW",
        }
    }

    /// Whether it is about one database.
    pub fn takes_a_database(self) -> bool {
        !matches!(self, PgbouncerCommand::Reload | PgbouncerCommand::Show)
    }

    /// The column of SHOW DATABASES that tells whether it has worked, and what it says then.
    pub fn effect(self) -> Option<(&'static str, bool)> {
        match self {
            PgbouncerCommand::Pause | PgbouncerCommand::Kill => Some(("paused", true)),
            PgbouncerCommand::Resume => Some(("paused", false)),
            PgbouncerCommand::Disable => Some(("disabled", true)),
            PgbouncerCommand::Enable => Some(("disabled", false)),
            PgbouncerCommand::Reload | PgbouncerCommand::Reconnect | PgbouncerCommand::Show => None,
        }
    }
}

/// Figures that the admin console shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the console's own words
pub enum PgbouncerShow {
    Databases,
    Pools,
    Clients,
    Servers,
    Stats,
    Lists,
    Version,
}

impl PgbouncerShow {
    fn keyword(self) -> &'static str {
        match self {
            PgbouncerShow::Databases => "DATABASES",
            PgbouncerShow::Pools => "POOLS",
            PgbouncerShow::Clients => "CLIENTS",
            PgbouncerShow::Servers => "SERVERS",
            PgbouncerShow::Stats => "STATS",
            PgbouncerShow::Lists => "LISTS",
            PgbouncerShow::Version => "VERSION",
        }
    }
}

impl PgbouncerAction {
    /// The command exactly as the console gets it.
    pub fn text(&self) -> String {
        let keyword = self.command.keyword();
        match (self.command, &self.database, self.show) {
            (PgbouncerCommand::Show, _, Some(show)) => format!("{keyword} {}", show.keyword()),
            (PgbouncerCommand::Reload | PgbouncerCommand::Show, ..) | (_, None, _) => keyword.to_owned(),
            (_, Some(database), _) => format!("{keyword} {}", Quoting::Name.quote(database)),
        }
    }
}

/// Complains about a target that leads somewhere else than to an admin console, and about a database without a name.
fn complaints(target: &TargetId, database: Option<&str>, context: CheckContext<'_>) -> Vec<Complaint> {
    let mut found = Vec::new();
    if let Some(postgres @ Target::Postgres(_)) = context.target(target) {
        let address = postgres.address();
        // A secret in it may say anything.
        if !address.ends_with("/pgbouncer") && !address.contains('«') {
            let message = format!("the target `{target}` does not lead to the admin console of PgBouncer");
            let help = "write `dbname=pgbouncer` in its `dsn`, with the host and port of the pooler";
            found.push(Complaint::value(&["target"], message, "expected a target for the console").help(help));
        }
    }
    if database.is_some_and(str::is_empty) {
        found.push(Complaint::value(&["database"], "the database has no name", "expected the name of a database"));
    }
    found
}

impl ProbeSpec for PgbouncerProbe {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        vec![TargetUse::new(&self.target, "postgres", "target")]
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn shape(&self) -> Shape {
        Shape::Record(Self::fields())
    }

    fn check(&self, context: &CheckContext<'_>) -> Vec<Complaint> {
        complaints(&self.target, self.database.as_deref(), *context)
    }
}

impl ProbeDoc for PgbouncerProbe {
    const EXAMPLE: &'static str = EXAMPLE;
    const RIGHTS: &'static str = "A user that PgBouncer lists in `stats_users` or `admin_users`. It only reads.";

    fn fields() -> Vec<Field> {
        vec![
            Field::new(
                "paused",
                Shape::Bool,
                "whether clients are held back, or are about to be: it is true from the moment PAUSE is sent. Of several databases: whether all are",
            ),
            Field::new(
                "disabled",
                Shape::Bool,
                "whether new clients are refused. Of several databases: whether all are",
            )
            .null("this version does not report it"),
            Field::new("clients_active", Shape::Int, "clients with a server connection, and idle ones").unit("clients"),
            Field::new("clients_waiting", Shape::Int, "clients that wait for a server connection").unit("clients"),
            Field::new("servers_active", Shape::Int, "server connections in use; a pause waits for them")
                .unit("connections"),
            Field::new("servers_idle", Shape::Int, "server connections that are free").unit("connections"),
            Field::new(
                "max_wait_s",
                Shape::Float,
                "how long the client that has waited longest waits; 0 when none does",
            )
            .unit("seconds"),
            Field::new("pool_mode", Shape::Text, "`session`, `transaction` or `statement`")
                .null("there is no pool yet, or pools differ"),
            Field::new("address", Shape::Text, "`HOST:PORT` of the server that connections go to")
                .null("databases differ, or the server is reached without a host"),
            Field::new("version", Shape::Text, "version of PgBouncer, such as `1.18.0`"),
        ]
    }
}

impl ActionSpec for PgbouncerAction {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        vec![TargetUse::new(&self.target, "postgres", "target")]
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn limit(&self) -> Span {
        // Connecting and looking before has the same limit as the command.
        Span(self.limit.0.saturating_mul(2).saturating_add(AFTERWARDS.0))
    }

    fn preview(&self, targets: &BTreeMap<TargetId, Target>) -> Vec<String> {
        let mut lines = vec![
            format!("on the admin console {}:", target::place(&self.target, targets)),
            format!("  {}", self.text()),
        ];
        if let Some((column, wanted)) = self.command.effect() {
            lines.push(format!("  then look: SHOW DATABASES must say {column} = {}", u8::from(wanted)));
        }
        if self.command == PgbouncerCommand::Pause {
            let back = Self { command: PgbouncerCommand::Resume, ..self.clone() };
            lines.push(format!("  if it is stopped or takes longer than {}: {}", self.limit, back.text()));
        }
        lines
    }

    fn terms(&self) -> Vec<String> {
        vec![self.limit.to_string()]
    }

    fn tells_by_itself(&self) -> bool {
        self.command.effect().is_some() || self.command == PgbouncerCommand::Show
    }

    fn leaves_in_force(&self) -> Option<&'static str> {
        match self.command {
            PgbouncerCommand::Pause | PgbouncerCommand::Kill => Some("clients are held back until RESUME"),
            PgbouncerCommand::Disable => Some("new clients are refused until ENABLE"),
            _ => None,
        }
    }

    fn check(&self, context: &CheckContext<'_>) -> Vec<Complaint> {
        let mut found = complaints(&self.target, self.database.as_deref(), *context);
        let keyword = self.command.keyword();
        match (&self.database, self.command.takes_a_database()) {
            (None, true) => {
                let message = format!("{keyword} needs a database");
                let help = "add `database:` with its name on the pooler";
                found.push(Complaint::value(&["do"], message, "without `database`").help(help));
            }
            (Some(_), false) => {
                let message = format!("{keyword} takes no database");
                found.push(Complaint::key(&["database"], message, "not expected here"));
            }
            _ => {}
        }
        match (self.show, self.command == PgbouncerCommand::Show) {
            (None, true) => {
                let help = "add `show: databases`, `pools`, `clients`, `servers`, `stats`, `lists` or `version`";
                found.push(Complaint::value(&["do"], "SHOW needs to know what", "without `show`").help(help));
            }
            (Some(_), false) => {
                let message = format!("{keyword} shows nothing");
                found.push(Complaint::key(&["show"], message, "expected only with `do: show`"));
            }
            _ => {}
        }
        found
    }

    fn simulate(&self) -> &[Change] {
        &self.simulate
    }
}

impl ActionDoc for PgbouncerAction {
    const EXAMPLE: &'static str = EXAMPLE;
    const RIGHTS: &'static str =
        "A user that PgBouncer lists in `admin_users`. For `show` one in `stats_users` is enough.";
}

const EXAMPLE: &str = r#"title: Move the shop behind its pooler
targets:
  pooler: { postgres: { dsn: "host=pooler.example.com port=6432 user=admin dbname=pgbouncer" } }
probes:
  pool: { kind: pgbouncer, target: pooler, database: shop }
phases:
  - title: Switch
    steps:
      - id: pause
        title: Hold the clients of the shop back
        gates:
          - { that: "!pool.paused && pool.max_wait_s < 1.0", hold: 5s }
        action: { pgbouncer: { target: pooler, do: pause, database: shop, limit: 10s } }
        undo: { pgbouncer: { target: pooler, do: resume, database: shop } }
        verify: [pool.paused, pool.servers_active == 0]
        reversibility: lossless
        writes: pause
        expect: 5s
      - id: switch
        title: Point the pooler at the new database
        section:
          deadline: 30s
          steps:
            # Taken back in reverse order, so this one reads the old configuration again.
            - title: Read the configuration as it is
              action: { pgbouncer: { target: pooler, do: reload } }
              undo: { pgbouncer: { target: pooler, do: reload } }
            - title: Exchange the configuration
              action: { command: { run: [cp, /etc/pgbouncer/new.ini, /etc/pgbouncer/pgbouncer.ini] } }
              undo: { command: { run: [cp, /etc/pgbouncer/old.ini, /etc/pgbouncer/pgbouncer.ini] } }
            - title: Read the new configuration
              action: { pgbouncer: { target: pooler, do: reload } }
        verify: [pool.paused]
        reversibility: lossless
        expect: 3s
      - id: resume
        title: Let the clients go on
        action: { pgbouncer: { target: pooler, do: resume, database: shop } }
        undo: { pgbouncer: { target: pooler, do: pause, database: shop, limit: 10s } }
        verify: ["!pool.paused"]
        reversibility: lossless
        writes: resume
        expect: 2s
"#;
