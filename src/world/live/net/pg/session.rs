//! One open connection to PostgreSQL, and the notices that the server sends on it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio_postgres::{AsyncMessage, Client, Connection};

use super::connect::{PgEndpoint, identity};
use super::explain::explain;
use crate::catch_panic::catch_panic;
use crate::core::server::ServerIdentity;
use crate::world::live::net::host;
use crate::world::live::secrets::Secrets;

/// Most notices of the server that are kept until somebody reads them; a loop in a function can raise any number.
const MOST_NOTICES: usize = 100;
/// Longest text of one notice, in characters.
const LONGEST_NOTICE: usize = 300;
/// A connection that watches is made anew after this long, so that it does not watch a server for ever that the name
/// has left.
const OLDEST: Duration = Duration::from_mins(1);
/// The name of a kept connection's server is looked up again when this much time has passed.
const LOOK_UP_EVERY: Duration = Duration::from_secs(5);
/// Longest time for that look.
const LOOK_UP: Duration = Duration::from_secs(2);

/// A notice that the server sent besides an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::world::live) struct ServerNotice {
    /// `WARNING`, `NOTICE`, `INFO` …
    pub(in crate::world::live) severity: String,
    /// What it says, cleaned and without secrets; with its detail and hint.
    pub(in crate::world::live) text: String,
    /// Its SQLSTATE.
    pub(in crate::world::live) code: String,
}

impl ServerNotice {
    /// Whether the server warns: what was asked for may not have been done.
    pub(in crate::world::live) fn is_warning(&self) -> bool {
        self.severity == "WARNING"
    }
}

/// Notices that nobody has read yet, as the server sent them.
#[derive(Default)]
pub(super) struct Notices(Mutex<(VecDeque<tokio_postgres::error::DbError>, u64)>);

impl Notices {
    fn keep(&self, notice: tokio_postgres::error::DbError) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0.len() < MOST_NOTICES {
            kept.0.push_back(notice);
        } else {
            kept.1 += 1;
        }
    }

    fn take(&self) -> (Vec<tokio_postgres::error::DbError>, u64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = std::mem::take(&mut kept.1);
        (kept.0.drain(..).collect(), dropped)
    }
}

/// Serves a connection until it ends, and keeps the server's notices.
pub(super) async fn serve<S, T>(mut connection: Connection<S, T>, notices: Arc<Notices>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let work = async {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notice(notice) = message {
                notices.keep(notice);
            }
        }
    };
    drop(catch_panic(work).await);
}

/// One open connection.
pub(in crate::world::live) struct PgSession {
    pub(super) client: Client,
    /// `old (10.0.0.5:5432)`, for messages.
    pub(super) place: String,
    pub(super) user: String,
    /// Where the server was reached.
    pub(super) endpoint: PgEndpoint,
    /// Whether it goes through a pooler: settings made here would stay on a connection that others use.
    pub(super) pooled: bool,
    /// The identity of the server; empty for a console.
    pub(super) identity: ServerIdentity,
    pub(super) notices: Arc<Notices>,
    pub(super) task: AbortHandle,
    pub(super) opened: Instant,
    pub(super) looked_up: Instant,
}

impl Drop for PgSession {
    fn drop(&mut self) {
        // The task of a hung server must not live on with its socket.
        self.task.abort();
    }
}

impl PgSession {
    /// The driver's handle.
    pub(in crate::world::live) fn client(&self) -> &Client {
        &self.client
    }

    /// `old (10.0.0.5:5432)`, for messages.
    pub(in crate::world::live) fn place(&self) -> &str {
        &self.place
    }

    /// Who answers.
    pub(in crate::world::live) fn identity(&self) -> &ServerIdentity {
        &self.identity
    }

    /// Whether it goes through a pooler.
    pub(in crate::world::live) fn pooled(&self) -> bool {
        self.pooled
    }

    /// What went wrong on this connection, as a sentence.
    pub(in crate::world::live) fn explain(&self, err: &tokio_postgres::Error, secrets: &Secrets) -> String {
        explain(err, &self.place, &self.user, secrets)
    }

    /// The server's notices since the last call, oldest first, and how many more there were.
    pub(in crate::world::live) fn notices(&self, secrets: &Secrets) -> (Vec<ServerNotice>, u64) {
        let (notices, dropped) = self.notices.take();
        let told = notices.into_iter().map(|notice| {
            let mut text = notice.message().to_owned();
            for (word, more) in [("detail", notice.detail()), ("hint", notice.hint())] {
                if let Some(more) = more {
                    text = format!("{text}; {word}: {more}");
                }
            }
            // The severity itself is in the server's language; the parsed one is always in English (protocol 3.0, field
            // `V`).
            let severity = notice.parsed_severity().map_or_else(|| notice.severity().to_owned(), |s| s.to_string());
            ServerNotice {
                severity: secrets.tell_brief(&severity, 20),
                text: secrets.tell_brief(&format!("{text} ({})", notice.code().code()), LONGEST_NOTICE),
                code: notice.code().code().to_owned(),
            }
        });
        (told.collect(), dropped)
    }

    /// Begins a transaction that cannot write. Its limits end with it, so that nothing of ours is left on a connection
    /// that a pooler gives to others, and the database's own settings can be read.
    ///
    /// # Errors
    ///
    /// A sentence, also when a pooler leads to another server now. The session is not used again then.
    pub(in crate::world::live) async fn begin_reading(&self, limit: Duration, secrets: &Secrets) -> Result<(), String> {
        let ms = limit.as_millis().max(1);
        let begin = format!(
            "begin isolation level read committed read only; \
             set local statement_timeout = {ms}; set local lock_timeout = {ms}"
        );
        self.client.batch_execute(&begin).await.map_err(|err| self.explain(&err, secrets))?;
        self.is_same_server(secrets).await
    }

    /// From here to the end of the transaction the server's own objects come before others of their names.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub(in crate::world::live) async fn prefer_catalog(&self, secrets: &Secrets) -> Result<(), String> {
        let set = "select pg_catalog.set_config('search_path', \
            pg_catalog.concat('pg_catalog, ', pg_catalog.current_setting('search_path')), true)";
        self.client.batch_execute(set).await.map_err(|err| self.explain(&err, secrets))
    }

    /// Makes sure that a pooler has not begun to lead to another server, or to another database. Within a transaction this
    /// holds until its end.
    pub(in crate::world::live) async fn is_same_server(&self, secrets: &Secrets) -> Result<(), String> {
        if !self.pooled {
            return Ok(());
        }
        let now = identity(&self.client, &self.identity).await.map_err(|err| self.explain(&err, secrets))?;
        match self.identity.difference(&now) {
            Some(differs) => Err(format!("{}: the pooler leads to another server now: {differs}", self.place)),
            None => Ok(()),
        }
    }

    /// Ends it.
    pub(in crate::world::live) async fn end_reading(&self) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute("rollback").await
    }

    /// Whether it may be used once more: it is open, young, and its server is still where its name leads.
    pub(super) async fn is_current(&mut self) -> bool {
        if self.client.is_closed() || self.opened.elapsed() >= OLDEST {
            return false;
        }
        let Some((name, address)) = self.endpoint.reached() else { return true };
        if self.looked_up.elapsed() < LOOK_UP_EVERY {
            return true;
        }
        self.looked_up = Instant::now();
        let found = tokio::time::timeout(LOOK_UP, host::addresses_of(&name, address.port())).await;
        match found {
            Ok(Ok(found)) => found.iter().any(|found| found.ip() == address.ip()),
            // A failed lookup does not show that it moved; the connection is replaced within a minute anyway.
            _ => true,
        }
    }
}
