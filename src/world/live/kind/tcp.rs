//! The `tcp` probe.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::Measure;
use crate::core::kind::TcpProbe;
use crate::core::reading::Failure;
use crate::core::value::Value;
use crate::world::live::Shared;

impl Measure for TcpProbe {
    type Memory = ();

    /// Opens a connection and closes it. A refusal or a silence is an answer (`open` is false); a name that does
    /// not resolve is a failure.
    async fn measure(&self, shared: &Shared, limit: Duration, (): &mut ()) -> Result<Value, Failure> {
        let address = shared.secrets.reveal(&self.address).await.map_err(Failure::new)?;
        let started = Instant::now();
        // Leave time to answer before the scheduler's own limit.
        let patience = limit.mul_f64(0.9);
        let found = tokio::time::timeout(patience, tokio::net::lookup_host(&address)).await;
        let found: Vec<_> = found
            .map_err(|_| Failure::new(format!("nobody resolves {} in time", self.address)))?
            .map_err(|err| {
                Failure::new(format!("{} cannot be resolved: {}", self.address, shared.secrets.tell(&err.to_string())))
            })?
            .collect();
        let opened = Instant::now();
        let open = tokio::time::timeout(patience.saturating_sub(started.elapsed()), TcpStream::connect(&*found)).await;
        let open = matches!(open, Ok(Ok(_)));
        let connect_ms = open.then(|| opened.elapsed().as_secs_f64() * 1_000.0);
        Ok(Value::map([("open", Value::Bool(open)), ("connect_ms", connect_ms.into())]))
    }
}
