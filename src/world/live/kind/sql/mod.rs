//! The `sql` probe and the `sql` action.

mod transaction;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;

use self::transaction::{Transaction, TransactionEnd, roll_back_open};
use super::{JobContext, Measure, Perform};
use crate::core::job::Outcome;
use crate::core::kind::sql::{OnWarning, SqlAction, SqlExpect, SqlProbe};
use crate::core::reading::Failure;
use crate::core::time::Span;
use crate::core::value::Value;
use crate::world::live::jobs::{Reporter, wait_for_stop};
use crate::world::live::net::chain;
use crate::world::live::net::pg::{Lease, PgSession, Purpose};
use crate::world::live::waiting::{LimitPassed, within};
use crate::world::live::{AsOf, Shared, declared, foreign};

/// Time beyond its own limit that a statement gets to be cancelled by the server.
const GRACE: Duration = Duration::from_secs(2);
/// A cancellation that shows no effect is sent again after this long: a pooler drops one that comes before the statement has
/// a server.
const CANCEL_AGAIN: Duration = Duration::from_secs(1);

impl Measure for SqlProbe {
    type Memory = ();

    const DESCRIPTORS: u32 = 4;

    async fn measure(&self, shared: &Shared, limit: Duration, (): &mut ()) -> Result<Value, Failure> {
        measure(shared, self, limit).await
    }

    fn as_of(&self, seen: &Value, (): &()) -> Result<Vec<AsOf>, Failure> {
        self.as_of.iter().map(|field| declared::as_of(seen, field)).collect()
    }
}

/// Measures once. The query is wrapped to return one JSON object, so that columns of every type can be read.
async fn measure(shared: &Shared, probe: &SqlProbe, limit: Duration) -> Result<Value, Failure> {
    let lease = shared.databases.lease(&probe.target, Purpose::WATCH, &shared.secrets).await.map_err(Failure::new)?;
    let Some(session) = lease.session() else { return Err(Failure::new("no connection")) };
    let query = shared.secrets.reveal(&probe.query).await.map_err(Failure::new)?;
    let query = query.trim().trim_end_matches(';');
    // The extended protocol takes a single statement, and a subquery cannot write. `jsonb` would keep only the last of
    // several columns of one name, `json` keeps all.
    let text = format!("select row_to_json(gonogo.*)::text from (\n{query}\n) gonogo limit 2");
    let failed = |err: tokio_postgres::Error| Failure::new(session.explain(&err, &shared.secrets));
    session.begin_reading(limit, &shared.secrets).await.map_err(Failure::new)?;
    let rows = session.client().query_typed(&text, &[]).await;
    session.end_reading().await.map_err(failed)?;
    let rows = match rows {
        Ok(rows) => rows,
        Err(err) => {
            let failure = failed(err);
            lease.give_back();
            return Err(failure);
        }
    };
    let result = match rows.as_slice() {
        [row] => row
            .try_get::<_, String>(0)
            .map_err(|err| Failure::new(shared.secrets.tell(&chain(&err))))
            .and_then(|text| declared::json(text.as_bytes(), "the row", &shared.secrets))
            .and_then(|json| declared::record(&json, &probe.fields, "column", &shared.secrets).map(Value::from)),
        [] => Err(Failure::new(format!("the query on {} gives no row", session.place()))),
        _ => Err(Failure::new(format!("the query on {} gives more than one row", session.place()))),
    };
    lease.give_back();
    result
}

/// How far a job got, for the sentence about its failure.
struct Progress<'a> {
    sql: &'a SqlAction,
    place: String,
    transaction: Transaction,
    /// Statements that were sent, and that ended well.
    sent: usize,
    done: usize,
    committing: bool,
    /// Warnings so far, and the first of them.
    warnings: u64,
    warning: Option<String>,
}

impl Perform for SqlAction {
    async fn perform(&self, shared: &Arc<Shared>, job: JobContext<'_>) -> (Outcome, Option<Span>) {
        (run(shared, self, job.report, job.stop).await, None)
    }
}

/// Runs the statements one by one.
async fn run(shared: &Arc<Shared>, sql: &SqlAction, report: &Reporter, stop: watch::Receiver<bool>) -> Outcome {
    let mut statements = Vec::new();
    for statement in &sql.statements {
        match shared.secrets.reveal(statement).await {
            Ok(text) => statements.push(text),
            Err(what) => return Outcome::Failed { what: format!("{what}; nothing was sent") },
        }
    }
    let expected = match &sql.expect {
        Some(SqlExpect::Value(text)) => match shared.secrets.reveal(text).await {
            Ok(text) => Some(SqlExpect::Value(text)),
            Err(what) => return Outcome::Failed { what: format!("{what}; nothing was sent") },
        },
        other => other.clone(),
    };
    let mut stopped = stop.clone();
    let limit = sql.limit.to_std().max(Duration::from_secs(1));
    let lease = tokio::select! {
        lease = within(tokio::time::Instant::now() + limit, open(shared, sql, report)) => lease,
        () = wait_for_stop(&mut stopped) => {
            return Outcome::Failed { what: "stopped before anything was sent".to_owned() };
        }
    };
    let lease = match lease {
        Ok(Ok(lease)) => lease,
        Ok(Err(what)) => return Outcome::Failed { what: format!("{what}; nothing was sent") },
        Err(LimitPassed { on }) => {
            let what =
                on.map_or_else(|| format!("no connection to {}", sql.target), |what| format!("{what} gave nothing"));
            return Outcome::Failed { what: format!("{what} within {}; nothing was sent", sql.limit) };
        }
    };
    let Some(session) = lease.session() else {
        return Outcome::Failed { what: "no connection; nothing was sent".to_owned() };
    };
    let outcome = statements_on(shared, session, sql, &statements, expected.as_ref(), report, stop).await;
    // A cancellation may still be on its way, and would hit the next user of the connection.
    if matches!(outcome, Outcome::Unknown { .. }) || *stopped.borrow() {
        return outcome; // the lease is dropped, the connection with it
    }
    lease.give_back();
    outcome
}

/// Opens a connection of its own. Outside a transaction its limits are settings of the session, which ends with the
/// action. Behind a pooler the session may be given to others, so nothing is set there and limits are enforced by
/// cancelling.
async fn open(shared: &Shared, sql: &SqlAction, report: &Reporter) -> Result<Lease, String> {
    let purpose = if may_change_replication(&sql.statements) { Purpose::REPLICATE } else { Purpose::ACT };
    let lease = shared.databases.lease(&sql.target, purpose, &shared.secrets).await?;
    let Some(session) = lease.session() else { return Err("no connection".to_owned()) };
    if let Some(identity) = lease.first_met() {
        report.met(&sql.target, identity);
    }
    if session.pooled() {
        report.line(&format!("{} is reached through a pooler; no setting of the session is touched", session.place()));
    } else if !sql.transaction {
        let limits = limits("set", sql);
        session.client().batch_execute(&limits).await.map_err(|err| session.explain(&err, &shared.secrets))?;
    }
    Ok(lease)
}

/// Whether statements may change what is replicated, so that a probe does not hold against the servers what a step does. A
/// function that does it without a word counts as somebody else.
fn may_change_replication(statements: &[String]) -> bool {
    let words = [
        "subscription",
        "publication",
        "replication",
        "pg_logical_",
        "slot",
        "create table",
        "drop table",
        "alter table",
    ];
    statements.iter().map(|text| text.to_ascii_lowercase()).any(|text| words.iter().any(|word| text.contains(word)))
}

/// The limits that the server enforces. A statement that waits for a lock fails a little earlier than its own limit, so
/// that it says what it waited for.
fn limits(set: &str, sql: &SqlAction) -> String {
    let (ms, lock) = (sql.limit.millis().max(1), sql.lock_limit().millis().max(1));
    format!("{set} statement_timeout = {ms}; {set} lock_timeout = {lock}")
}

async fn statements_on(
    shared: &Arc<Shared>,
    session: &PgSession,
    sql: &SqlAction,
    statements: &[String],
    expected: Option<&SqlExpect>,
    report: &Reporter,
    stop: watch::Receiver<bool>,
) -> Outcome {
    let mut progress = Progress {
        sql,
        place: session.place().to_owned(),
        transaction: Transaction::new(),
        sent: 0,
        done: 0,
        committing: false,
        warnings: 0,
        warning: None,
    };
    if *stop.borrow() {
        return Outcome::Failed { what: "stopped before anything was sent".to_owned() };
    }
    if sql.transaction {
        let begin = progress.transaction.begin(&limits("set local", sql));
        if let Err(broke) = one(shared, session, sql, &begin, stop.clone()).await {
            return progress.failed(shared, session, broke, "BEGIN").await;
        }
        if let Err(what) = session.is_same_server(&shared.secrets).await {
            return progress.taken_back(shared, session, what).await;
        }
    }
    let mut last = Answer::default();
    let count = statements.len();
    for (at, statement) in statements.iter().enumerate() {
        // The statement before may have ended normally although it was cancelled.
        if *stop.borrow() {
            return progress.stopped(shared, session, &format!("statement {} of {count}", at + 1)).await;
        }
        if !sql.transaction
            && let Err(what) = session.is_same_server(&shared.secrets).await
        {
            return Outcome::Failed { what: format!("{what}{}", progress.effect(shared, session).await) };
        }
        let title = sql.statements.get(at).map(|text| title(text)).unwrap_or_default();
        let started = Instant::now();
        progress.sent += 1;
        match one(shared, session, sql, statement, stop.clone()).await {
            Ok(answer) => {
                progress.done += 1;
                report.line(&format!("{}/{count} {title} ok, {}, {}", at + 1, answer.rows(), ms(started)));
                last = answer;
                progress.hear(shared, session, report);
                match if sql.transaction { progress.transaction.goes_on(session).await } else { Ok(true) } {
                    Ok(true) => {}
                    Ok(false) => {
                        let what = format!("{}: statement {}/{count} ended the transaction", session.place(), at + 1);
                        return progress.taken_back(shared, session, what).await;
                    }
                    Err(broke) => {
                        return progress.failed(shared, session, broke, &format!("statement {}/{count}", at + 1)).await;
                    }
                }
                if let Some(warning) = progress.warning.as_ref().filter(|_| sql.warnings == OnWarning::Fail) {
                    let what = format!("{}: statement {}/{count} gave a warning: {warning}", session.place(), at + 1);
                    return progress.taken_back(shared, session, what).await;
                }
            }
            Err(broke) => {
                report.line(&format!("{}/{count} {title} failed after {}", at + 1, ms(started)));
                progress.hear(shared, session, report);
                return progress.failed(shared, session, broke, &format!("statement {}/{count}", at + 1)).await;
            }
        }
    }
    if let Some(what) = expected.and_then(|expected| unmet_expectation(expected, &last, shared)) {
        return progress.taken_back(shared, session, format!("{}: {what}", session.place())).await;
    }
    if sql.transaction {
        if *stop.borrow() {
            return progress.stopped(shared, session, "COMMIT").await;
        }
        progress.committing = true;
        let started = Instant::now();
        if let Err(broke) = one(shared, session, sql, &Transaction::commit(), stop.clone()).await {
            return progress.failed(shared, session, broke, "COMMIT").await;
        }
        report.line(&format!("COMMIT ok, {}", ms(started)));
        progress.hear(shared, session, report);
    } else if roll_back_open(session).await {
        let what = format!("{}: the statements left a transaction open{NOT_KEPT}", session.place());
        return Outcome::Failed { what };
    }
    let warned = progress.warned();
    let late = if *stop.borrow() { "; everything had taken effect before it could be stopped" } else { "" };
    Outcome::Succeeded { summary: format!("{}{warned}{late}", last.rows()) }
}

/// What is said of a transaction that the statements have begun themselves.
const NOT_KEPT: &str = "; it was rolled back, so that nothing they did in it is kept";

/// Why a statement did not end well.
enum Broke {
    /// The server or the connection said so.
    Error(tokio_postgres::Error),
    /// Nothing came back in time, not even after it was cancelled.
    Silent,
}

#[derive(Default)]
struct Answer {
    /// Rows returned or changed.
    count: u64,
    /// First column of the first row; `None` when it is NULL.
    first: Option<String>,
    /// Rows returned.
    returned: u64,
}

impl Answer {
    fn rows(&self) -> String {
        if self.count == 1 { "1 row".to_owned() } else { format!("{} rows", self.count) }
    }
}

async fn one(
    shared: &Arc<Shared>,
    session: &PgSession,
    sql: &SqlAction,
    statement: &str,
    mut stop: watch::Receiver<bool>,
) -> Result<Answer, Broke> {
    let work = async {
        let mut answer = Answer::default();
        let mut messages = Box::pin(session.client().simple_query_raw(statement).await?);
        while let Some(message) = messages.try_next().await? {
            match message {
                SimpleQueryMessage::Row(row) => {
                    if answer.returned == 0 {
                        answer.first = row.try_get(0).ok().flatten().map(str::to_owned);
                    }
                    answer.returned += 1;
                }
                SimpleQueryMessage::CommandComplete(count) => answer.count = count,
                _ => {}
            }
        }
        Ok::<_, tokio_postgres::Error>(answer)
    };
    tokio::pin!(work);
    let late = tokio::time::sleep(sql.limit.to_std() + GRACE);
    tokio::select! {
        done = &mut work => return done.map_err(Broke::Error),
        () = late => {}
        () = wait_for_stop(&mut stop) => {}
    }
    let mut cancelling = None;
    let cancel = async {
        let mut again = tokio::time::interval(CANCEL_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            again.tick().await;
            cancelling = shared.databases.cancel(&sql.target, session);
            if let Some(cancelling) = &mut cancelling {
                drop(cancelling.await);
            }
        }
    };
    let ended = tokio::select! {
        done = &mut work => done.map_err(Broke::Error),
        () = cancel => Err(Broke::Silent),
        () = tokio::time::sleep(GRACE * 2) => Err(Broke::Silent),
    };
    // One that is still on its way would hit the statement after this one.
    if let Some(cancelling) = cancelling.filter(|cancelling| !cancelling.is_finished()) {
        drop(tokio::time::timeout(GRACE, cancelling).await);
    }
    ended
}

impl Progress<'_> {
    /// Passes on notices and warnings of the server.
    fn hear(&mut self, shared: &Shared, session: &PgSession, report: &Reporter) {
        let (notices, dropped) = session.notices(&shared.secrets);
        for notice in notices {
            report.line(&format!("  {}: {}", notice.severity, notice.text));
            if notice.is_warning() {
                self.warnings += 1;
                self.warning.get_or_insert(notice.text);
            }
        }
        if dropped > 0 {
            report.line(&format!("  … and {dropped} more notices"));
        }
    }

    /// The part of the step's result about warnings.
    fn warned(&self) -> String {
        match (&self.warning, self.warnings) {
            (None, _) => String::new(),
            (Some(text), 1) => format!("; the server warns: {text}"),
            (Some(text), n) => format!("; {n} warnings of the server, the first: {text}"),
        }
    }

    /// A failure after all statements so far went through, with what happened to their effects.
    async fn taken_back(&self, shared: &Shared, session: &PgSession, what: String) -> Outcome {
        let effect = if let Some(effect) = self.rolled_back(shared, session).await {
            effect.strip_prefix("the transaction was ").unwrap_or(effect)
        } else if self.done == 1 {
            "the statement has taken effect"
        } else {
            "the statements have taken effect"
        };
        Outcome::Failed { what: format!("{what}; {effect}") }
    }

    /// The message for a stop that came before `what` was sent.
    async fn stopped(&self, shared: &Shared, session: &PgSession, what: &str) -> Outcome {
        Outcome::Failed { what: format!("stopped before {what}{}", self.effect(shared, session).await) }
    }

    /// Ends what is open, and tells what happened to the effects of the statements before.
    async fn effect(&self, shared: &Shared, session: &PgSession) -> String {
        match (self.rolled_back(shared, session).await, self.done) {
            (Some(effect), _) => format!("; {effect}"),
            (None, 0) => String::new(),
            (None, 1) => "; the statement before it has taken effect".to_owned(),
            (None, n) => format!("; the {n} statements before it have taken effect"),
        }
    }

    /// Ends the transaction that is open, and tells what became of it; `None` when none was.
    async fn rolled_back(&self, shared: &Shared, session: &PgSession) -> Option<&'static str> {
        const NOTHING: &str = "the transaction was rolled back, nothing was changed";
        if !self.sql.transaction {
            let told = "the transaction that they had begun was rolled back, so that nothing they did in it is kept";
            return roll_back_open(session).await.then_some(told);
        }
        let fate = self.transaction.roll_back(session, &shared.secrets).await;
        // A COMMIT that fails is the end of the transaction itself.
        let fate = if self.sent == 0 || self.committing { TransactionEnd::RolledBack } else { fate };
        Some(match fate {
            TransactionEnd::RolledBack => NOTHING,
            TransactionEnd::Committed => {
                "a statement ended the transaction, and what was changed before has taken effect"
            }
            TransactionEnd::Ended => {
                "a statement ended the transaction, so that some of its changes may have taken effect"
            }
        })
    }

    async fn failed(&self, shared: &Shared, session: &PgSession, broke: Broke, what: &str) -> Outcome {
        match broke {
            Broke::Error(err) => {
                let why = session.explain(&err, &shared.secrets);
                match err.code() {
                    // The server crashed, or it cannot tell itself whether it has committed.
                    Some(code)
                        if *code == SqlState::CRASH_SHUTDOWN
                            || *code == SqlState::TRANSACTION_RESOLUTION_UNKNOWN
                            // Connection exceptions: a pooler between us and the server lost it.
                            || code.code().starts_with("08") =>
                    {
                        self.unknown(what, &why)
                    }
                    Some(code) => {
                        let failed = if *code == SqlState::QUERY_CANCELED { "was cancelled" } else { "failed" };
                        let effect = self.effect(shared, session).await;
                        Outcome::Failed { what: format!("{what} {failed}: {why}{effect}") }
                    }
                    None => self.unknown(what, &why),
                }
            }
            Broke::Silent => self.unknown(what, &format!("{} gave no answer and could not be stopped", self.place)),
        }
    }

    fn unknown(&self, what: &str, why: &str) -> Outcome {
        let hint =
            if self.sql.transaction && !self.committing { ", so the server should have rolled it back" } else { "" };
        let stage = if self.committing { "it may have been committed" } else { "it may have taken effect" };
        let stage = if hint.is_empty() { stage } else { "the transaction was not committed yet" };
        Outcome::Unknown { why: format!("{what} was sent, then: {why}; {stage}{hint}") }
    }
}

fn unmet_expectation(expected: &SqlExpect, answer: &Answer, shared: &Shared) -> Option<String> {
    match expected {
        SqlExpect::Rows(rows) => (answer.count != *rows).then(|| format!("expected {rows} rows, got {}", answer.count)),
        SqlExpect::Value(text) => {
            let wanted = shared.secrets.tell_brief(text, 80);
            match &answer.first {
                _ if answer.returned != 1 => {
                    Some(format!("expected one row with {wanted}, got {} rows", answer.returned))
                }
                Some(got) if got == text => None,
                // The operator needs to see what was found instead.
                Some(got) => Some(format!("expected {wanted}, got {}", shared.secrets.tell_brief(got, 300))),
                None => Some(format!("expected {wanted}, got NULL")),
            }
        }
    }
}

/// The first words of a statement as the runbook has it, with secrets as names.
fn title(statement: &str) -> String {
    foreign::brief(statement.trim().trim_end_matches(';'), 60)
}

fn ms(started: Instant) -> String {
    format!("{} ms", started.elapsed().as_millis())
}
