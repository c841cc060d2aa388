//! Sockets that the lab's servers listen on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use super::supervisor::progress;
use super::{LabError, NEW_ADDRESS, OLD_ADDRESS};

/// Sockets for the old and the new web service: two addresses with one port, since a DNS record has no port and moving it
/// must be enough to move the traffic. Linux has all of 127.0.0.0/8. Where only 127.0.0.1 exists, and where that is
/// wanted, it is two ports of one address, and the customers are told which address in DNS is which port.
pub(super) async fn bind_web(one_address: bool) -> Result<[TcpListener; 2], LabError> {
    if !one_address && let Some(pair) = bind_two_addresses().await? {
        return Ok(pair);
    }
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok([bind(any).await?, bind(any).await?])
}

/// Two addresses, one port. `None` where they do not exist.
async fn bind_two_addresses() -> Result<Option<[TcpListener; 2]>, LabError> {
    let mut attempts = 20;
    loop {
        attempts -= 1;
        let pair = async {
            let old = TcpListener::bind((OLD_ADDRESS, 0)).await?;
            let new = TcpListener::bind((NEW_ADDRESS, old.local_addr()?.port())).await?;
            Ok([old, new])
        };
        let source: io::Error = match pair.await {
            Ok(pair) => return Ok(Some(pair)),
            Err(error) => error,
        };
        match source.kind() {
            io::ErrorKind::AddrInUse if attempts > 0 => {}
            io::ErrorKind::AddrNotAvailable => {
                progress("only 127.0.0.1 exists here: each web service gets a port of its own");
                return Ok(None);
            }
            _ => {
                let what = format!("cannot listen on {OLD_ADDRESS} and {NEW_ADDRESS}");
                return Err(LabError::Io { what, source });
            }
        }
    }
}

/// A socket that listens there.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, LabError> {
    TcpListener::bind(address).await.map_err(LabError::io(format!("cannot listen on {address}")))
}

/// Where a socket listens.
pub(super) fn local_address(listener: &TcpListener) -> Result<SocketAddr, LabError> {
    listener.local_addr().map_err(LabError::io("cannot read a socket's address"))
}

/// Two ports that nobody uses at this moment: PostgreSQL cannot be given an open socket.
pub(super) async fn free_ports() -> Result<[u16; 2], LabError> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (one, other) = (bind(any).await?, bind(any).await?);
    Ok([local_address(&one)?.port(), local_address(&other)?.port()])
}
