//! Names of hosts, looked up by the system as for any program of this machine.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::system::descriptors;
use crate::world::live::shortage;

/// Who may still look a name up. Waiting can be given up, a thread that looks up cannot: without a bound one resolver that is
/// silent would take all threads and descriptors there are.
static FREE: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(usize::try_from(descriptors::for_look_ups()).unwrap_or(usize::MAX))));

/// The addresses of `host:port`.
///
/// # Errors
///
/// What the system says, or what was missing on this machine ([`shortage::of`] tells).
pub(in crate::world::live) async fn addresses(place: &str) -> io::Result<Vec<SocketAddr>> {
    match place.parse() {
        Ok(address) => Ok(vec![address]),
        Err(_) => look_up(place.to_owned()).await,
    }
}

/// The addresses of a host, with a port.
///
/// # Errors
///
/// As [`addresses`].
pub(in crate::world::live) async fn addresses_of(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match host.parse::<IpAddr>() {
        Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
        Err(_) => look_up((host.to_owned(), port)).await,
    }
}

async fn look_up(place: impl ToSocketAddrs + Send + 'static) -> io::Result<Vec<SocketAddr>> {
    let permit = Arc::clone(&FREE).acquire_owned().await.map_err(io::Error::other)?;
    let work = move || {
        let found = place.to_socket_addrs().map(Iterator::collect).map_err(|err| missing_here().unwrap_or(err));
        drop(permit);
        found
    };
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// What keeps anything from being opened here. The system calls it a failure of the resolver, which it could not ask.
fn missing_here() -> Option<io::Error> {
    File::open("/dev/null").err().filter(|err| shortage::of(err).is_some())
}
