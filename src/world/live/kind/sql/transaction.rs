//! What became of a transaction, as the server itself tells it: a statement may end one that is not its own, and what was
//! committed cannot be said to have been rolled back.

use tokio::time::timeout;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;

use super::{Broke, GRACE};
use crate::world::live::net::pg::PgSession;
use crate::world::live::secrets::Secrets;

/// A setting that lasts as long as the transaction.
const GOES_ON: &str = "gonogo.transaction";
/// A setting that outlasts the transaction when it is committed, and only then.
const COMMITTED: &str = "gonogo.committed";
/// Both are the same only in a transaction that began with this statement.
const IS_OPEN: &str = "select transaction_timestamp() <> statement_timestamp()";

/// The transaction of an action.
pub(super) struct Transaction {
    mark: String,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransactionEnd {
    /// All of it was rolled back.
    RolledBack,
    /// It was committed by a statement.
    Committed,
    /// A statement ended it, and nobody knows how.
    Ended,
}

impl Transaction {
    pub(super) fn new() -> Self {
        Self { mark: format!("{:016x}", rand::random::<u64>()) }
    }

    /// The statements that begin it.
    pub(super) fn begin(&self, limits: &str) -> String {
        let mark = &self.mark;
        format!("begin read write; set local {GOES_ON} = '{mark}'; set {COMMITTED} = '{mark}'; {limits}")
    }

    /// The statements that commit it and leave nothing of ours on the session, which a pooler may give to others.
    pub(super) fn commit() -> String {
        format!("reset {COMMITTED}; commit")
    }

    /// Whether it has not been ended.
    pub(super) async fn goes_on(&self, session: &PgSession) -> Result<bool, Broke> {
        // SHOW takes no snapshot, so that the isolation level can still be set.
        match timeout(GRACE, session.client().simple_query(&format!("show {GOES_ON}"))).await {
            Ok(Ok(messages)) => Ok(first(&messages) == Some(&self.mark)),
            // It does not know the setting any more.
            Ok(Err(err)) if err.as_db_error().is_some() => Ok(false),
            Ok(Err(err)) => Err(Broke::Error(err)),
            Err(_) => Err(Broke::Silent),
        }
    }

    /// Ends it, and tells what became of it.
    pub(super) async fn roll_back(&self, session: &PgSession, secrets: &Secrets) -> TransactionEnd {
        drop(session.notices(secrets));
        let end = format!("rollback; show {COMMITTED}; reset {COMMITTED}");
        let shown = match timeout(GRACE, session.client().simple_query(&end)).await {
            Ok(Ok(messages)) => first(&messages).map(str::to_owned),
            // A connection that breaks takes its transaction with it.
            _ => None,
        };
        let (notices, _) = session.notices(secrets);
        let was_over = notices.iter().any(|notice| notice.code == SqlState::NO_ACTIVE_SQL_TRANSACTION.code());
        match shown {
            Some(shown) if shown == self.mark => TransactionEnd::Committed,
            _ if was_over => TransactionEnd::Ended,
            _ => TransactionEnd::RolledBack,
        }
    }
}

/// Rolls back a transaction that statements have begun themselves; whether there was one.
pub(super) async fn roll_back_open(session: &PgSession) -> bool {
    let is_open = match timeout(GRACE, session.client().simple_query(IS_OPEN)).await {
        Ok(Ok(messages)) => first(&messages) == Some("t"),
        Ok(Err(err)) => err.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION),
        Err(_) => false,
    };
    if is_open {
        drop(timeout(GRACE, session.client().batch_execute("rollback")).await);
    }
    is_open
}

/// The first value of the first row.
fn first(messages: &[SimpleQueryMessage]) -> Option<&str> {
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten(),
        _ => None,
    })
}
