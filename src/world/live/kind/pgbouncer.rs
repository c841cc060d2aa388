//! The `pgbouncer` probe and the `pgbouncer` action, on the pooler's admin console.
//!
//! The console knows the simple query protocol only. Columns are read by name: they differ between versions. Measured
//! on `PgBouncer` 1.18: a database stays paused when the client that asked for the PAUSE hangs up; `paused` is 1 from
//! the moment PAUSE is sent; a second PAUSE of a paused database is no error; KILL leaves it paused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_postgres::SimpleQueryMessage;

use super::{JobContext, Measure, Perform};
use crate::core::ids::TargetId;
use crate::core::job::Outcome;
use crate::core::kind::PgbouncerProbe;
use crate::core::kind::pgbouncer::{PgbouncerAction, PgbouncerCommand};
use crate::core::reading::Failure;
use crate::core::time::Span;
use crate::core::value::Value;
use crate::world::live::jobs::{Reporter, wait_for_stop};
use crate::world::live::net::pg::{Lease, PgSession, Purpose};
use crate::world::live::waiting::{LimitPassed, within};
use crate::world::live::{Shared, foreign};

/// Probes on the console.
const WATCH: Purpose = Purpose { name: "gonogo watch", settings: &[], watches: true, replicates: false, console: true };
/// Actions on the console.
const ACT: Purpose = Purpose { name: "gonogo act", settings: &[], watches: false, replicates: false, console: true };
/// Time for checking the result, or for taking a pause back.
const AFTERWARDS: Duration = Duration::from_secs(5);
/// Most rows of a table that are printed; the console itself shows all.
const MOST_ROWS: usize = 200;

/// A row of the console: columns with their texts, in order.
type Columns = Vec<(String, Option<String>)>;

/// Text of a column, when this version has it and it is not NULL.
fn text<'a>(row: &'a Columns, column: &str) -> Option<&'a str> {
    row.iter().find(|(name, _)| name == column).and_then(|(_, value)| value.as_deref())
}

/// Number in a column.
fn number(row: &Columns, column: &str) -> Option<i64> {
    text(row, column).and_then(|text| text.parse().ok())
}

/// Yes or no in a column.
fn flag(row: &Columns, column: &str) -> Option<bool> {
    number(row, column).map(|number| number != 0)
}

async fn ask(session: &PgSession, command: &str) -> Result<Vec<Columns>, tokio_postgres::Error> {
    let messages = session.client().simple_query(command).await?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let columns = row.columns().iter().enumerate();
            let text = |at: usize| row.try_get(at).ok().flatten().map(str::to_owned);
            Some(columns.map(|(at, column)| (column.name().to_owned(), text(at))).collect())
        }
        _ => None,
    });
    Ok(rows.collect())
}

/// An open console of `PgBouncer`, with its version.
struct Console<'a> {
    shared: &'a Shared,
    session: &'a PgSession,
    version: String,
}

impl<'a> Console<'a> {
    /// Checks that the connection is a console.
    async fn on(shared: &'a Shared, lease: &'a Lease) -> Result<Self, String> {
        let Some(session) = lease.session() else { return Err("no connection".to_owned()) };
        let rows = match ask(session, "SHOW VERSION").await {
            Ok(rows) => rows,
            Err(err) if err.as_db_error().is_some_and(|err| err.severity() != "FATAL") => Vec::new(),
            Err(err) => return Err(session.explain(&err, &shared.secrets)),
        };
        let answer = rows.first().and_then(|row| text(row, "version"));
        let Some(version) = answer.and_then(|answer| answer.strip_prefix("PgBouncer ")) else {
            return Err(format!(
                "{} is PostgreSQL, not PgBouncer's console: the target needs `dbname=pgbouncer` and the pooler's port",
                session.place()
            ));
        };
        Ok(Self { shared, session, version: foreign::brief(version, 40) })
    }

    async fn ask(&self, command: &str) -> Result<Vec<Columns>, String> {
        ask(self.session, command).await.map_err(|err| self.explain(&err))
    }

    fn explain(&self, err: &tokio_postgres::Error) -> String {
        let what = self.session.explain(err, &self.shared.secrets);
        let refused = err.as_db_error().is_some_and(|err| err.message().contains("admin access needed"));
        if refused { format!("{what}: the user must be in `admin_users` of PgBouncer") } else { what }
    }

    /// The databases that clients connect to: the one of that name, or all of them.
    async fn databases(&self, wanted: Option<&str>) -> Result<Vec<Columns>, String> {
        let mut rows = self.ask("SHOW DATABASES").await?;
        rows.retain(|row| text(row, "name") != Some("pgbouncer"));
        let Some(wanted) = wanted else { return Ok(rows) };
        let names: Vec<String> = rows.iter().filter_map(|row| text(row, "name")).map(str::to_owned).collect();
        rows.retain(|row| text(row, "name") == Some(wanted));
        if rows.is_empty() {
            let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(format!(
                "{} has no database `{}`; it has {}",
                self.session.place(),
                foreign::brief(wanted, 80),
                self.shared.secrets.tell_brief(&has, 200)
            ));
        }
        Ok(rows)
    }

    /// The value of a boolean column of SHOW DATABASES for one database.
    async fn says(&self, database: &str, column: &str) -> Result<bool, String> {
        let rows = self.databases(Some(database)).await?;
        let said = rows.first().and_then(|row| flag(row, column));
        said.ok_or_else(|| format!("{} does not tell whether {database} is {column}", self.session.place()))
    }

    /// Pools of one database or of all.
    async fn pools(&self, wanted: Option<&str>) -> Result<Vec<Columns>, String> {
        let mut rows = self.ask("SHOW POOLS").await?;
        rows.retain(|row| match (text(row, "database"), wanted) {
            (Some(name), Some(wanted)) => name == wanted,
            (name, _) => name != Some("pgbouncer"),
        });
        Ok(rows)
    }
}

async fn lease(shared: &Shared, target: &TargetId, purpose: Purpose) -> Result<Lease, String> {
    shared.databases.lease(target, purpose, &shared.secrets).await.map_err(|what| {
        // The pooler's own message when it knows the user, but the user may not use the console.
        let stranger = what.contains(": not allowed");
        if stranger { format!("{what}: the user must be in `admin_users` or `stats_users` of PgBouncer") } else { what }
    })
}

impl Measure for PgbouncerProbe {
    type Memory = ();

    const DESCRIPTORS: u32 = 4;

    async fn measure(&self, shared: &Shared, _: Duration, (): &mut ()) -> Result<Value, Failure> {
        let lease = lease(shared, &self.target, WATCH).await.map_err(Failure::new)?;
        let value = look(self, shared, &lease).await.map_err(Failure::new)?;
        lease.give_back();
        Ok(value)
    }
}

async fn look(probe: &PgbouncerProbe, shared: &Shared, lease: &Lease) -> Result<Value, String> {
    let console = Console::on(shared, lease).await?;
    let databases = console.databases(probe.database.as_deref()).await?;
    let pools = console.pools(probe.database.as_deref()).await?;
    let all = |column| {
        let said: Option<Vec<bool>> = databases.iter().map(|row| flag(row, column)).collect();
        said.map(|said| !said.is_empty() && said.into_iter().all(|yes| yes))
    };
    let Some(paused) = all("paused") else {
        return Err(format!("{} does not tell which databases are paused", console.session.place()));
    };
    let sum = |column| Value::Int(pools.iter().filter_map(|row| number(row, column)).fold(0, i64::saturating_add));
    #[allow(clippy::cast_precision_loss)] // seconds
    let waited = |row: &Columns| {
        number(row, "maxwait").unwrap_or(0) as f64 + number(row, "maxwait_us").unwrap_or(0) as f64 / 1_000_000.0
    };
    let modes = pools.iter().chain(&databases).filter_map(|row| text(row, "pool_mode").map(str::to_owned));
    let addresses = databases.iter().map(|row| Some(format!("{}:{}", text(row, "host")?, text(row, "port")?)));
    let told = |text: Option<String>| text.map(|text| shared.secrets.tell_brief(&text, 200));
    Ok(Value::map([
        ("paused", paused.into()),
        ("disabled", all("disabled").into()),
        ("clients_active", sum("cl_active")),
        ("clients_waiting", sum("cl_waiting")),
        ("servers_active", sum("sv_active")),
        ("servers_idle", sum("sv_idle")),
        ("max_wait_s", Value::Float(pools.iter().map(waited).fold(0.0, f64::max))),
        ("pool_mode", told(same(modes)).into()),
        ("address", told(same(addresses).flatten()).into()),
        ("version", console.version.into()),
    ]))
}

/// The value that all have, if there is one.
fn same<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

impl Perform for PgbouncerAction {
    async fn perform(&self, shared: &Arc<Shared>, job: JobContext<'_>) -> (Outcome, Option<Span>) {
        (run(shared, self, job.report, job.stop).await, None)
    }
}

async fn run(shared: &Shared, action: &PgbouncerAction, report: &Reporter, mut stop: watch::Receiver<bool>) -> Outcome {
    let limit = action.limit.to_std();
    let failed = |what: String| Outcome::Failed { what: format!("{what}; nothing was changed") };
    let lease = tokio::select! {
        // A request to stop that has arrived already counts.
        biased;
        () = wait_for_stop(&mut stop) => return failed("stopped before anything was sent".to_owned()),
        ready = within(tokio::time::Instant::now() + limit.max(Duration::from_secs(1)), prepare(shared, action)) => match ready {
            Ok(Ok(lease)) => lease,
            Ok(Err(Unready::Needless(summary))) => return Outcome::Succeeded { summary },
            Ok(Err(Unready::Refused(what))) => return failed(what),
            Err(LimitPassed { on: Some(what) }) => return failed(format!("{what} gave nothing within {}", action.limit)),
            Err(LimitPassed { on: None }) => return failed(format!("no answer from {} within {}", action.target, action.limit)),
        },
    };
    let Some(session) = lease.session() else { return failed("no connection".to_owned()) };
    let place = session.place().to_owned();
    let command = action.text();
    let started = Instant::now();
    let cut = tokio::select! {
        done = ask(session, &command) => match done {
            Ok(rows) => {
                let took = Span(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
                let outcome = done_well(shared, action, &lease, &rows, took, report).await;
                lease.give_back();
                return outcome;
            }
            Err(err) => return refused(shared, action, session, &err).await,
        },
        () = tokio::time::sleep(limit) => format!("it was not complete within {}", action.limit),
        () = wait_for_stop(&mut stop) => "it was stopped".to_owned(),
    };
    // The connection is closed, but the pooler goes on with the command it was given.
    drop(lease);
    if action.command == PgbouncerCommand::Pause {
        return take_back(shared, action, &place, &cut).await;
    }
    looked_at(shared, action, format!("{command} was sent to {place}, then {cut}")).await
}

/// What has become of a command whose answer never came, as the console shows it now. It has worked when what it is for is
/// so; what is not so may still come, since the pooler has the command.
async fn looked_at(shared: &Shared, action: &PgbouncerAction, what: String) -> Outcome {
    let Some(((column, wanted), database)) = action.command.effect().zip(action.database.as_deref()) else {
        return Outcome::Unknown { why: format!("{what}; {}", words(action)) };
    };
    let says = tokio::time::timeout(AFTERWARDS, async {
        let lease = lease(shared, &action.target, ACT).await?;
        let says = Console::on(shared, &lease).await?.says(database, column).await?;
        lease.give_back();
        Ok::<_, String>(says)
    });
    match says.await.unwrap_or_else(|_| Err("no answer".to_owned())) {
        Ok(is) if is == wanted => {
            Outcome::Succeeded { summary: format!("{what}; it has worked all the same: {column} = {}", u8::from(is)) }
        }
        Ok(is) => {
            Outcome::Unknown { why: format!("{what}; {column} = {} a moment later; {}", u8::from(is), words(action)) }
        }
        Err(why) => Outcome::Unknown { why: format!("{what}, and nothing could be seen: {why}; {}", words(action)) },
    }
}

/// Why a command is not sent.
enum Unready {
    /// The wanted state is there already.
    Needless(String),
    /// It must not be sent.
    Refused(String),
}

impl From<String> for Unready {
    fn from(what: String) -> Self {
        Unready::Refused(what)
    }
}

/// A connection that is known to be a living console, on which the command makes sense.
async fn prepare(shared: &Shared, action: &PgbouncerAction) -> Result<Lease, Unready> {
    let mut lease = lease(shared, &action.target, ACT).await?;
    // A kept connection may have died in the meantime.
    if lease.session().is_some_and(|session| session.client().is_closed()) || Console::on(shared, &lease).await.is_err()
    {
        drop(lease);
        lease = self::lease(shared, &action.target, ACT).await?;
    }
    let console = Console::on(shared, &lease).await?;
    let Some(database) = action.database.as_deref().filter(|_| action.command.takes_a_database()) else {
        return Ok(lease);
    };
    let Some((column, wanted)) = action.command.effect() else {
        console.databases(Some(database)).await?;
        return Ok(lease);
    };
    let is = console.says(database, column).await?;
    match (action.command, is) {
        (PgbouncerCommand::Pause, true) => {
            let place = console.session.place();
            let who = "somebody else paused or killed it, or an earlier pause was not taken back";
            Err(Unready::Refused(format!(
                "{database} on {place} is paused already: {who}; RESUME lets its clients go on"
            )))
        }
        (PgbouncerCommand::Resume | PgbouncerCommand::Disable | PgbouncerCommand::Enable, is) if is == wanted => {
            let not = if wanted { "" } else { "not " };
            let summary =
                format!("{database} was {not}{column} on {} before; nothing was changed", console.session.place());
            lease.give_back();
            Err(Unready::Needless(summary))
        }
        _ => Ok(lease),
    }
}

/// Called when the command gave no error: prints its rows, or checks that it has worked.
async fn done_well(
    shared: &Shared,
    action: &PgbouncerAction,
    lease: &Lease,
    rows: &[Columns],
    took: Span,
    report: &Reporter,
) -> Outcome {
    let command = action.text();
    if let Some(first) = rows.first() {
        report.line(&first.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" | "));
    }
    for row in rows.iter().take(MOST_ROWS) {
        report.line(&row.iter().map(|(_, value)| value.as_deref().unwrap_or("")).collect::<Vec<_>>().join(" | "));
    }
    if action.command == PgbouncerCommand::Show {
        let rows = if rows.len() == 1 { "1 row".to_owned() } else { format!("{} rows", rows.len()) };
        return Outcome::Succeeded { summary: rows };
    }
    let Some(((column, wanted), database)) = action.command.effect().zip(action.database.as_deref()) else {
        return Outcome::Succeeded { summary: format!("{command} took {took}") };
    };
    let looked =
        tokio::time::timeout(AFTERWARDS, async { Console::on(shared, lease).await?.says(database, column).await });
    match looked.await.unwrap_or_else(|_| Err("no answer".to_owned())) {
        Ok(is) if is == wanted => {
            Outcome::Succeeded { summary: format!("{command} took {took}; {column} = {}", u8::from(is)) }
        }
        Ok(is) => Outcome::Failed {
            what: format!("{command} gave no error, but SHOW DATABASES says {column} = {}", u8::from(is)),
        },
        Err(why) => Outcome::Unknown {
            why: format!("{command} gave no error, then nothing could be seen: {why}; {}", words(action)),
        },
    }
}

/// The command ended with an error.
async fn refused(
    shared: &Shared,
    action: &PgbouncerAction,
    session: &PgSession,
    err: &tokio_postgres::Error,
) -> Outcome {
    let (command, why) = (action.text(), session.explain(err, &shared.secrets));
    match err.as_db_error() {
        Some(said) if said.severity() != "FATAL" => {
            let rights = if said.message().contains("admin access needed") {
                ": the user must be in `admin_users` of PgBouncer"
            } else {
                ""
            };
            Outcome::Failed { what: format!("{command} failed: {why}{rights}; nothing was changed") }
        }
        // A pause may be under way still, which SHOW DATABASES tells as paused from its beginning.
        _ if action.command == PgbouncerCommand::Pause => {
            Outcome::Unknown { why: format!("{command} was sent, then: {why}; {}", words(action)) }
        }
        _ => looked_at(shared, action, format!("{command} was sent, then: {why}")).await,
    }
}

/// How to find out what has become of a command.
fn words(action: &PgbouncerAction) -> String {
    match action.command.effect() {
        Some((column, _)) => {
            let back = PgbouncerAction { command: PgbouncerCommand::Resume, ..action.clone() }.text();
            let remedy = if column == "paused" { format!("; {back} lets clients go on") } else { String::new() };
            format!("look at the column `{column}` of SHOW DATABASES on the console{remedy}")
        }
        None => "it may have been carried out".to_owned(),
    }
}

/// Ends a pause that was not completed, and says what is true then.
async fn take_back(shared: &Shared, action: &PgbouncerAction, place: &str, cut: &str) -> Outcome {
    let pause = action.text();
    let back = PgbouncerAction { command: PgbouncerCommand::Resume, ..action.clone() };
    let Some(database) = action.database.as_deref() else {
        return Outcome::Unknown { why: format!("{pause} was sent to {place}, then {cut}; {}", words(action)) };
    };
    let ended = tokio::time::timeout(AFTERWARDS, async {
        let lease = lease(shared, &action.target, ACT).await?;
        let console = Console::on(shared, &lease).await?;
        let pools = console.pools(Some(database)).await?;
        let busy: i64 = pools.iter().filter_map(|row| number(row, "sv_active")).sum();
        // An error of RESUME can mean that nothing is paused any more, which is what is wanted; the check decides.
        let resumed = console.ask(&back.text()).await;
        let is_paused = console.says(database, "paused").await?;
        lease.give_back();
        if is_paused { Err(resumed.err().unwrap_or_else(|| "it is still paused".to_owned())) } else { Ok(busy) }
    });
    match ended.await.unwrap_or_else(|_| Err("no answer".to_owned())) {
        Ok(busy) => {
            let open = match busy {
                1 => ": 1 server connection was in use".to_owned(),
                busy => format!(": {busy} server connections were in use"),
            };
            Outcome::Failed {
                what: format!("{pause} on {place}: {cut}{open}; it was taken back with RESUME, clients go on"),
            }
        }
        Err(why) => Outcome::Unknown {
            why: format!(
                "{pause} was sent to {place}, then {cut} and could not be taken back: {why}; {}",
                words(action)
            ),
        },
    }
}
