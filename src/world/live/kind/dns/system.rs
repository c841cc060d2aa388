//! The resolvers behind the entry `system`: they come and go with this machine's configuration.

use std::net::SocketAddr;

use futures_util::future::AbortHandle;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Asking, Heard};
use crate::core::kind::dns::answer::{Answer, AnswerState};
use crate::core::kind::dns::propagation::Propagation;
use crate::core::time::At;
use crate::world::live::net::dns::system::SystemDns;
use crate::world::live::schedule::Timetable;

/// Reads the configuration before every measurement, for ever.
pub(super) async fn keep_reading(
    system: &SystemDns,
    wanted: bool,
    asking: &Asking,
    first: Instant,
    tell: &mpsc::Sender<Heard>,
) {
    if !wanted {
        return std::future::pending().await;
    }
    let mut timetable = Timetable::new(first, asking.every);
    loop {
        tokio::time::sleep_until(timetable.next()).await;
        let read = Instant::now();
        let listed = system.servers().await;
        // The receiver is gone only when the probe is over.
        let _ = tell.send(Heard::System { read, listed }).await;
    }
}

/// One entry `system` and the resolvers that stand for it now.
#[derive(Debug)]
pub(super) struct SystemEntry {
    name: String,
    servers: Vec<Listed>,
    /// Whom it last stood for; empty when it has stood for nobody yet.
    stood_for: Vec<SocketAddr>,
    /// The place of what stands for it while no server is listed.
    absent: Option<usize>,
}

#[derive(Debug)]
struct Listed {
    address: SocketAddr,
    at: usize,
    asking: AbortHandle,
}

impl SystemEntry {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), servers: Vec::new(), stood_for: Vec::new(), absent: None }
    }

    /// Takes in what the configuration lists: `ask` begins to ask a server at a place of `known`. Servers that are listed no
    /// longer are forgotten. While the configuration cannot be read nothing is known of any, but they are asked on, and what
    /// their caches have shown counts again as soon as it can be read. True when something has changed.
    pub(super) fn lists(
        &mut self,
        listed: &Result<Vec<SocketAddr>, String>,
        read: At,
        known: &mut Propagation,
        mut ask: impl FnMut(usize, SocketAddr) -> AbortHandle,
    ) -> bool {
        let mut news = false;
        let why = match listed {
            Ok(addresses) => {
                news |= self.follow(addresses, read, known, &mut ask);
                addresses.is_empty().then_some("it lists no server")
            }
            Err(why) => {
                self.servers.iter().for_each(|server| known.leave_out_resolver(server.at));
                Some(why.as_str())
            }
        };
        match why {
            None => {
                if let Some(at) = self.absent.take() {
                    known.leave_out_resolver(at);
                }
            }
            Some(why) => {
                let at = *self.absent.get_or_insert_with(|| known.add_resolver(read, self.name.clone()));
                let note = format!("this machine's configuration names no server: {why}");
                news |= known.resolver_said(at, read, Answer::without_values(AnswerState::Unconfigured, note));
            }
        }
        news
    }

    /// Asks just these servers from now on.
    fn follow(
        &mut self,
        addresses: &[SocketAddr],
        read: At,
        known: &mut Propagation,
        ask: &mut impl FnMut(usize, SocketAddr) -> AbortHandle,
    ) -> bool {
        let mut news = false;
        self.servers.retain(|server| {
            let stays = addresses.contains(&server.address);
            if !stays {
                server.asking.abort();
                known.leave_out_resolver(server.at);
                news = true;
            }
            stays
        });
        news |= known.move_to(self.moved(addresses));
        for address in addresses {
            let name =
                if addresses.len() > 1 { format!("{} {}", self.name, shown(*address)) } else { self.name.clone() };
            if let Some(server) = self.servers.iter().find(|server| server.address == *address) {
                news |= known.take_in_resolver(server.at, &name);
            } else {
                let at = known.add_resolver(read, name);
                self.servers.push(Listed { address: *address, at, asking: ask(at, *address) });
                news = true;
            }
        }
        news
    }
}

impl SystemEntry {
    /// In words, whether it stands for others than before: in whatever order they are listed.
    fn moved(&mut self, addresses: &[SocketAddr]) -> Option<String> {
        if addresses.is_empty() {
            return None;
        }
        let mut now = addresses.to_vec();
        now.sort_unstable();
        let before = std::mem::replace(&mut self.stood_for, now);
        if before.is_empty() || before == self.stood_for {
            return None;
        }
        let words = |of: &[SocketAddr]| of.iter().map(|one| shown(*one)).collect::<Vec<_>>().join(" ");
        Some(format!("{} stands for {} instead of {}", self.name, words(&self.stood_for), words(&before)))
    }
}

/// The address, with its port only where that is not the usual one.
fn shown(address: SocketAddr) -> String {
    if address.port() == 53 { address.ip().to_string() } else { address.to_string() }
}
