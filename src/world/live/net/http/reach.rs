//! One TCP connection to a name that stands for several addresses.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::Trace;
use crate::core::latency::RequestFailure;
use crate::world::live::shortage;

/// How long an address is waited for before the next one is tried beside it (RFC 8305 §8).
const NEXT_ATTEMPT: Duration = Duration::from_millis(250);

/// No address was reached.
pub(super) struct Unreached {
    /// The kind of failure that all of them share; otherwise that nothing could be reached.
    pub(super) kind: RequestFailure,
    /// What went wrong at last.
    pub(super) newest: io::Error,
    /// What was missing on this machine, so that one of them was not even asked.
    pub(super) missing: Option<String>,
}

/// Connects to the first address that can be reached, as clients do (RFC 8305 §5): the next one is tried when one fails,
/// and beside one that stays silent. What became of the others stands in the trace.
pub(super) async fn reach(addresses: &[SocketAddr], trace: &mut Trace) -> Result<TcpStream, Unreached> {
    trace.attempts.clear();
    let mut waiting = addresses.iter().copied().peekable();
    let mut running = FuturesUnordered::new();
    let mut newest = io::Error::other("it has no address");
    let mut missing = None;
    let attempt = |address: SocketAddr| async move { (address, TcpStream::connect(address).await) };
    loop {
        if running.is_empty() {
            let Some(address) = waiting.next() else { break };
            trace.attempts.push((address, None));
            running.push(attempt(address));
        }
        let more = waiting.peek().is_some();
        tokio::select! {
            Some((address, done)) = running.next() => match done {
                Ok(tcp) => {
                    trace.attempts.retain(|(other, _)| *other != address);
                    return Ok(tcp);
                }
                Err(err) => {
                    let tried = trace.attempts.iter_mut().find(|(other, _)| *other == address);
                    if let Some((_, why)) = tried {
                        *why = Some(kind_of(&err));
                    }
                    // What is missing here is the reason that matters: the address may well answer.
                    if missing.is_none() {
                        missing = shortage::of(&err);
                        newest = err;
                    }
                }
            },
            () = sleep(NEXT_ATTEMPT), if more => {
                let Some(address) = waiting.next() else { continue };
                trace.attempts.push((address, None));
                running.push(attempt(address));
            }
        }
    }
    let mut kinds = trace.attempts.iter().filter_map(|(_, why)| *why);
    let first = kinds.next().unwrap_or(RequestFailure::Unreachable);
    let kind = if kinds.all(|kind| kind == first) { first } else { RequestFailure::Unreachable };
    Err(Unreached { kind, newest, missing })
}

fn kind_of(err: &io::Error) -> RequestFailure {
    match err.kind() {
        io::ErrorKind::ConnectionRefused => RequestFailure::Refused,
        io::ErrorKind::TimedOut => RequestFailure::ConnectTimeout,
        _ if shortage::of(err).is_some() => RequestFailure::NotSent,
        _ => RequestFailure::Unreachable,
    }
}
