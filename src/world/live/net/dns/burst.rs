//! Many questions to one server, asked as a probe asks them: what asking costs is measured with it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::rr::RecordType as Type;

use super::{DnsQuestion, ask, name};

/// Longest wait for one answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks a server for the address of a name that many times, `at_once` questions at the same time, and counts the answers.
///
/// # Errors
///
/// When that is no name.
pub async fn ask_many(server: SocketAddr, of: &str, questions: usize, at_once: usize) -> Result<usize, String> {
    let question = DnsQuestion::new(&name(of)?, Type::A, false);
    let left = Cell::new(questions);
    let asking = (0..at_once).map(async |_| {
        let mut answers = 0;
        while let Some(rest) = left.get().checked_sub(1) {
            left.set(rest);
            answers += usize::from(ask(server, &question, LIMIT).await.is_ok());
        }
        answers
    });
    Ok(join_all(asking).await.into_iter().sum())
}
