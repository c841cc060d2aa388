//! Names of hosts, looked up by the system as for any program of this machine.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;

use crate::system::descriptors;
use crate::world::live::shortage;

/// Who may still look a name up. Waiting can be given up, a thread that looks up cannot: without a bound one resolver that is
/// silent would take all threads and descriptors there are.
static FREE: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(usize::try_from(descriptors::for_look_ups()).unwrap_or(usize::MAX))));

/// The look-ups under way, by place.
static UNDER_WAY: LazyLock<Mutex<HashMap<String, UnderWay>>> = LazyLock::new(Mutex::default);

/// So many look-ups of one place are under way at most. Whoever comes then waits for the newest of them: a name whose servers
/// are silent must not take the turns of all other names.
const TOGETHER: usize = 4;

/// The look-ups of one place.
struct UnderWay {
    number: usize,
    newest: watch::Receiver<Option<Found>>,
}

/// How a look-up ended.
type Found = Result<Vec<SocketAddr>, Arc<io::Error>>;

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
        Err(_) => look_up(format!("{host}:{port}")).await,
    }
}

async fn look_up(place: String) -> io::Result<Vec<SocketAddr>> {
    loop {
        let mut found = newest_of(&place);
        // Without an end: it was given up together with the runtime that it ran on.
        if let Ok(found) = found.wait_for(Option::is_some).await
            && let Some(found) = found.clone()
        {
            return found.map_err(|err| copy_of(&err));
        }
    }
}

/// A look-up to wait for: one of its own, or the newest of those that are under way where they are enough.
fn newest_of(place: &str) -> watch::Receiver<Option<Found>> {
    let mut under_way = under_way();
    if let Some(of) = under_way.get(place)
        && of.number >= TOGETHER
    {
        return of.newest.clone();
    }
    let (tell, found) = watch::channel(None);
    let of = under_way.entry(place.to_owned()).or_insert_with(|| UnderWay { number: 0, newest: found.clone() });
    of.number += 1;
    of.newest = found.clone();
    let counted = Counted(place.to_owned());
    tokio::spawn(async move {
        let found = match Arc::clone(&FREE).acquire_owned().await {
            Ok(permit) => {
                let place = counted.0.clone();
                let work = move || {
                    let found = place.to_socket_addrs().map(Iterator::collect);
                    drop(permit);
                    found.map_err(|err| missing_here().unwrap_or(err))
                };
                spawn_blocking(work).await.map_err(io::Error::other).flatten()
            }
            Err(closed) => Err(io::Error::other(closed)),
        };
        // The next one looks anew.
        drop(counted);
        tell.send_replace(Some(found.map_err(Arc::new)));
    });
    found
}

fn under_way() -> MutexGuard<'static, HashMap<String, UnderWay>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A look-up of this place that is counted until it ends, in whatever way.
struct Counted(String);

impl Drop for Counted {
    fn drop(&mut self) {
        let mut under_way = under_way();
        if let Some(of) = under_way.get_mut(&self.0) {
            of.number -= 1;
            if of.number == 0 {
                under_way.remove(&self.0);
            }
        }
    }
}

/// The same error once more, for another who waits for it.
fn copy_of(err: &io::Error) -> io::Error {
    match err.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(err.kind(), err.to_string()),
    }
}

/// What keeps anything from being opened here. The system calls it a failure of the resolver, which it could not ask.
fn missing_here() -> Option<io::Error> {
    File::open("/dev/null").err().filter(|err| shortage::of(err).is_some())
}
