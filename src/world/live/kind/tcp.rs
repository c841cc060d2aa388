//! The `tcp` probe.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::Measure;
use crate::core::kind::TcpProbe;
use crate::core::moves::{AddressWatch, Moves};
use crate::core::reading::Failure;
use crate::core::time::Span;
use crate::core::value::Value;
use crate::world::live::net::host;
use crate::world::live::{Shared, shortage};

impl Measure for TcpProbe {
    type Memory = AddressWatch;

    const DESCRIPTORS: u32 = 2;

    /// Opens a connection, watches it for a moment and closes it. Sends nothing.
    async fn measure(&self, shared: &Shared, limit: Duration, watch: &mut AddressWatch) -> Result<Value, Failure> {
        // Leaves time to answer before the scheduler's own limit, and for watching the connection.
        let look = Self::LOOK.to_std();
        let deadline = Instant::now() + limit.mul_f64(0.9).saturating_sub(look);
        let found = timeout_at(deadline, host::addresses(&self.address)).await;
        let found: Vec<SocketAddr> =
            found.map_err(|_| Failure::new(format!("{} was not resolved in time", self.address)))?.map_err(|err| {
                let why = shortage::of(&err).unwrap_or_else(|| shared.secrets.tell(&err.to_string()));
                Failure::new(format!("{} cannot be resolved: {why}", self.address))
            })?;
        // As a client does, one address after the other until one opens. None may use up the time of the others.
        let mut shut = None;
        for (address, left) in found.iter().zip((1..=u32::try_from(found.len()).unwrap_or(u32::MAX)).rev()) {
            let patience = deadline.saturating_duration_since(Instant::now()) / left;
            match connect(*address, patience, look).await? {
                Port::Open { connect } => {
                    let all: Vec<String> = found.iter().map(ToString::to_string).collect();
                    watch.take(&address.to_string(), &all, shared.options.clock.now());
                    return Ok(open(*address, connect));
                }
                Port::Shut(state, failure) => drop(shut.get_or_insert(Shut { state, failure })),
            }
        }
        let shut = shut.ok_or_else(|| Failure::new(format!("{} has no address", self.address)))?;
        Ok(shut.reading())
    }

    fn recall_answerer(&self, moves: &Moves, watch: &mut AddressWatch) {
        watch.take_up(moves.clone());
    }

    fn moves(&self, watch: &AddressWatch) -> Moves {
        watch.moves().clone()
    }
}

/// What became of one address.
enum Port {
    Open {
        connect: Duration,
    },
    /// The word of the state, and the sentence.
    Shut(&'static str, String),
}

struct Shut {
    state: &'static str,
    failure: String,
}

impl Shut {
    fn reading(self) -> Value {
        Value::map([
            ("open", false.into()),
            ("state", self.state.into()),
            ("failure", self.failure.into()),
            ("address", Value::Null),
            ("connect_ms", Value::Null),
        ])
    }
}

fn open(address: SocketAddr, connect: Duration) -> Value {
    Value::map([
        ("open", true.into()),
        ("state", "open".into()),
        ("failure", "".into()),
        ("address", address.to_string().into()),
        ("connect_ms", Value::Float(connect.as_secs_f64() * 1_000.0)),
    ])
}

/// Opens a connection and checks that it stays open. An error that says nothing about the other side is a failure.
async fn connect(address: SocketAddr, patience: Duration, look: Duration) -> Result<Port, Failure> {
    let shut = |state, what: &str| Ok(Port::Shut(state, format!("{address} {what}")));
    let started = Instant::now();
    let mut stream = match timeout(patience, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(err)) => return refusal(address, &err),
        Err(_) => return shut("filtered", &format!("gives no answer within {}", Span::of(patience))),
    };
    let connect = started.elapsed();
    // Where nobody listens, a port of the range for outgoing connections can come to be connected to itself
    // (simultaneous open, RFC 9293 §3.5).
    if stream.local_addr().is_ok_and(|local| local == address) {
        return shut("refused", "refuses connections: only this probe itself was there");
    }
    // To the end of the look: some say why they close the connection before they do.
    match timeout(look, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await {
        Ok(Ok(0)) => shut("closed", "accepts and closes at once"),
        Ok(Ok(_)) => shut("closed", "accepts, says something and closes at once"),
        Ok(Err(err)) if err.kind() == ErrorKind::ConnectionReset => shut("reset", "accepts and resets at once"),
        Ok(Err(err)) => refusal(address, &err),
        Err(_) => Ok(Port::Open { connect }),
    }
}

/// What an error of the operating system says about the other side.
fn refusal(address: SocketAddr, err: &io::Error) -> Result<Port, Failure> {
    let state = match err.kind() {
        ErrorKind::ConnectionRefused => "refused",
        ErrorKind::ConnectionReset => "reset",
        ErrorKind::TimedOut => "filtered",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "unreachable",
        // No file descriptor, no local port, a local firewall: the server was never asked.
        _ => {
            let why = shortage::of(err).unwrap_or_else(|| err.to_string());
            return Err(Failure::new(format!("{address} was not asked: {why}")));
        }
    };
    Ok(Port::Shut(state, format!("{address}: {err}")))
}
