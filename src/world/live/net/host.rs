//! Names of hosts, looked up by the system as for any program of this machine.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::{Semaphore, oneshot, watch};

use crate::system::descriptors;
use crate::world::live::shortage;

/// Who may still look a name up. Waiting can be given up, a thread that looks up cannot: without a bound one resolver that is
/// silent would take all threads and descriptors there are.
static FREE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(most())));

/// The look-ups under way.
static UNDER_WAY: LazyLock<Mutex<UnderWay>> = LazyLock::new(Mutex::default);

/// So many look-ups of one place are under way at most, and one while half of all that there may be are under way. Whoever comes
/// then waits for the newest of them: names whose servers are silent must not take the turns of all others.
const TOGETHER: usize = 16;

/// Memory for the calls of a thread that looks up, whatever modules the system asks.
const STACK: usize = 512 * 1024;

/// Look-ups under way.
#[derive(Default)]
struct UnderWay {
    total: usize,
    places: HashMap<String, OfPlace>,
}

/// The look-ups of one place.
struct OfPlace {
    number: usize,
    newest: watch::Receiver<Option<Found>>,
}

/// How many look-ups there may be at once.
fn most() -> usize {
    usize::try_from(descriptors::for_look_ups()).unwrap_or(usize::MAX)
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
    let together = if under_way.total < most() / 2 { TOGETHER } else { 1 };
    if let Some(of) = under_way.places.get(place)
        && of.number >= together
    {
        return of.newest.clone();
    }
    let (tell, found) = watch::channel(None);
    let of = under_way.places.entry(place.to_owned()).or_insert_with(|| OfPlace { number: 0, newest: found.clone() });
    of.number += 1;
    of.newest = found.clone();
    under_way.total += 1;
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
                on_a_thread_of_its_own(work).await
            }
            Err(closed) => Err(io::Error::other(closed)),
        };
        // The next one looks anew.
        drop(counted);
        tell.send_replace(Some(found.map_err(Arc::new)));
    });
    found
}

/// Looks up on a new thread. Libraries of the system keep by thread what they have met: glibc asks for the addresses of both
/// families one after the other for as long as the thread lives, once an answer was lost, and each later look-up takes twice as long.
async fn on_a_thread_of_its_own(
    work: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> io::Result<Vec<SocketAddr>> {
    let (tell, found) = oneshot::channel();
    let thread = thread::Builder::new().name("look-up".to_owned()).stack_size(STACK);
    // Nobody may wait any more.
    thread.spawn(move || tell.send(work()).ok())?;
    found.await.map_err(io::Error::other).flatten()
}

fn under_way() -> MutexGuard<'static, UnderWay> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A look-up of this place that is counted until it ends, in whatever way.
struct Counted(String);

impl Drop for Counted {
    fn drop(&mut self) {
        let mut under_way = under_way();
        under_way.total -= 1;
        if let Some(of) = under_way.places.get_mut(&self.0) {
            of.number -= 1;
            if of.number == 0 {
                under_way.places.remove(&self.0);
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
