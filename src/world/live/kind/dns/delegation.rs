//! Whom the zone is delegated to: what its parent says, what its servers say, and whether these serve it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType as Type};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Asking, Heard};
use crate::core::kind::dns::delegation::{DelegatedServer, DelegatedState, Delegation};
use crate::core::target::{Dns, SYSTEM};
use crate::world::live::net::dns::answer::{Content, content};
use crate::world::live::net::dns::lookup::HostLookup;
use crate::world::live::net::dns::system::SystemDns;
use crate::world::live::net::dns::{DnsQuestion, NoAnswer, ask, socket};

/// How long a delegation is taken to stay as it is. It changes seldom, and its servers are others'.
const AGAIN_AFTER: Duration = Duration::from_mins(1);
/// The same after a look that did not find out everything.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Servers of the parent zone that are asked, so that one that is behind the others is noticed.
const PARENTS: usize = 4;
/// Longest wait for one answer.
const LIMIT: Duration = Duration::from_secs(3);

/// Looks again and again, for ever.
pub(super) async fn keep_looking(
    system: &SystemDns,
    dns: &Dns,
    asking: &Asking,
    first: Instant,
    tell: &mpsc::Sender<Heard>,
) {
    let Some(through) = &dns.lookup else { return std::future::pending().await };
    tokio::time::sleep_until(first).await;
    let look = Look { system, dns, zone: &asking.zone, limit: asking.limit.min(LIMIT) };
    loop {
        let asked = Instant::now();
        let found = look.whole(through).await;
        let again = if found.note.is_empty() { AGAIN_AFTER } else { RETRY_AFTER };
        // The receiver is gone only when the probe is over.
        let _ = tell.send(Heard::Delegation { asked, found }).await;
        tokio::time::sleep_until(asked + again).await;
    }
}

struct Look<'a> {
    system: &'a SystemDns,
    dns: &'a Dns,
    zone: &'a Name,
    limit: Duration,
}

/// Names of servers with the addresses that came along with them.
struct Referred {
    names: BTreeSet<Name>,
    glue: BTreeMap<Name, BTreeSet<IpAddr>>,
}

impl Look<'_> {
    async fn whole(&self, through: &str) -> Delegation {
        let mut notes = Vec::new();
        let (child, lookup) = tokio::join!(self.child(), self.lookup(through));
        let parents = match &lookup {
            Ok(lookup) => self.parents(lookup).await,
            Err(why) => Err(why.clone()),
        };
        let parents = parents.map_err(|why| notes.push(why)).unwrap_or_default();
        let mut names: BTreeSet<Name> = child.iter().filter_map(|(_, names)| names.clone()).flatten().collect();
        names.extend(parents.iter().flat_map(|(_, parent)| parent.names.iter().cloned()));
        let mut servers = Vec::new();
        if let Ok(lookup) = &lookup {
            let found = join_all(names.iter().map(async |name| (name, lookup.addresses(name).await))).await;
            for (name, found) in found {
                let glue = parents.iter().filter_map(|(_, parent)| parent.glue.get(name)).flatten();
                let known: BTreeSet<IpAddr> = found.iter().flatten().chain(glue).copied().collect();
                if let Err(why) = &found {
                    notes.push(why.clone());
                    servers.push(unreachable(name, DelegatedState::Unknown));
                } else if known.is_empty() {
                    servers.push(unreachable(name, DelegatedState::Nowhere));
                }
                servers.extend(join_all(known.into_iter().map(|address| self.server(name, address))).await);
            }
        } else {
            servers.extend(names.iter().map(|name| unreachable(name, DelegatedState::Unknown)));
        }
        let said = |names: &BTreeSet<Name>| names.iter().map(text).collect::<BTreeSet<String>>();
        notes.dedup();
        Delegation {
            parents: parents.iter().map(|(address, parent)| (address.to_string(), said(&parent.names))).collect(),
            child: child.into_iter().map(|(server, names)| (server, names.as_ref().map(said))).collect(),
            servers,
            note: notes.join("; "),
        }
    }

    async fn lookup(&self, through: &str) -> Result<HostLookup, String> {
        let servers = if through == SYSTEM {
            let servers = match self.system.servers().await {
                Ok(servers) if servers.is_empty() => Err("it lists no server".to_owned()),
                servers => servers,
            };
            servers.map_err(|why| format!("this machine's configuration names no server: {why}"))?
        } else {
            vec![socket(through)?]
        };
        HostLookup::new(&servers, self.limit)
    }

    /// What each authoritative server of the runbook says.
    async fn child(&self) -> Vec<(String, Option<BTreeSet<Name>>)> {
        let question = DnsQuestion::new(self.zone, Type::NS, false);
        let ask = async |server: &String| {
            let answer = match socket(server) {
                Ok(address) => ask(address, &question, self.limit).await.ok(),
                Err(_) => None,
            };
            let names = answer.filter(|answer| answer.metadata.authoritative).and_then(|answer| {
                match content(&answer, self.zone, Type::NS) {
                    Content::Records { data, .. } => Some(data.iter().filter_map(target).collect()),
                    _ => None,
                }
            });
            (server.clone(), names)
        };
        join_all(self.dns.authoritative.iter().map(ask)).await
    }

    /// What one server of the zone above says.
    async fn parent_at(&self, address: IpAddr) -> Result<(IpAddr, Referred), String> {
        let question = DnsQuestion::new(self.zone, Type::NS, false);
        let at = SocketAddr::new(address, self.system.server_port());
        match ask(at, &question, self.limit).await {
            Ok(answer) => match self.referred(&answer) {
                Some(referred) => Ok((address, referred)),
                None => Err(format!("{at} says nothing of {}", text(self.zone))),
            },
            Err(NoAnswer::Silence(_)) => Err(format!("no answer from {at}")),
            Err(NoAnswer::Unasked(why)) => Err(format!("{at} was not asked: {why}")),
            Err(NoAnswer::Nonsense(why) | NoAnswer::Untrusted(why)) => Err(format!("{at}: {why}")),
        }
    }

    /// What the servers of the nearest zone above say: those of them that say anything.
    async fn parents(&self, lookup: &HostLookup) -> Result<Vec<(IpAddr, Referred)>, String> {
        let mut above = self.zone.clone();
        let servers = loop {
            if above.is_root() {
                return Err(format!("no zone above {} was found", text(self.zone)));
            }
            above = above.base_name();
            let servers = lookup.name_servers(&above).await?;
            if !servers.is_empty() {
                break servers;
            }
        };
        let mut last = format!("the servers of {} have no address", text(&above));
        let mut addresses = Vec::new();
        for found in join_all(servers.iter().map(|server| lookup.addresses(server))).await {
            match found {
                Ok(found) => addresses.extend(found),
                Err(why) => last = why,
            }
        }
        addresses.truncate(PARENTS);
        let said = join_all(addresses.into_iter().map(|address| self.parent_at(address))).await;
        let mut parents = Vec::new();
        for said in said {
            match said {
                Ok(parent) => parents.push(parent),
                Err(why) => last = why,
            }
        }
        if !parents.is_empty() {
            return Ok(parents);
        }
        Err(last)
    }

    /// The servers that an answer of the parent names; none of them when it says that there is no such zone.
    fn referred(&self, answer: &Message) -> Option<Referred> {
        if !matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return None;
        }
        let records = || answer.answers.iter().chain(&answer.authorities).filter(|record| record.name == *self.zone);
        let names: BTreeSet<Name> = records().filter_map(|record| target(&record.data)).collect();
        if names.is_empty() && !answer.metadata.authoritative {
            return None;
        }
        let mut glue: BTreeMap<Name, BTreeSet<IpAddr>> = BTreeMap::new();
        for record in &answer.additionals {
            let address = match &record.data {
                RData::A(address) => IpAddr::V4(address.0),
                RData::AAAA(address) => IpAddr::V6(address.0),
                _ => continue,
            };
            glue.entry(record.name.clone()).or_default().insert(address);
        }
        Some(Referred { names, glue })
    }

    /// Asks a server whether it serves the zone: at the port that the runbook gives for its address, if it does.
    async fn server(&self, name: &Name, address: IpAddr) -> DelegatedServer {
        let mut listed = self.dns.authoritative.iter().filter_map(|server| socket(server).ok());
        let listed = listed.find(|server| server.ip().to_canonical() == address.to_canonical());
        let at = listed.unwrap_or_else(|| SocketAddr::new(address, self.system.server_port()));
        let question = DnsQuestion::new(self.zone, Type::SOA, false);
        let state = match ask(at, &question, self.limit).await {
            Ok(answer) if answer.metadata.authoritative => match content(&answer, self.zone, Type::SOA) {
                Content::Records { .. } => DelegatedState::Serves,
                _ => DelegatedState::Lame,
            },
            Ok(_) | Err(NoAnswer::Nonsense(_) | NoAnswer::Untrusted(_)) => DelegatedState::Lame,
            Err(NoAnswer::Silence(_)) => DelegatedState::Silent,
            Err(NoAnswer::Unasked(_)) => DelegatedState::Unasked,
        };
        DelegatedServer { name: text(name), address: address.to_string(), state, is_listed: listed.is_some() }
    }
}

/// A server that cannot be asked.
fn unreachable(name: &Name, state: DelegatedState) -> DelegatedServer {
    DelegatedServer { name: text(name), address: String::new(), state, is_listed: false }
}

fn target(data: &RData) -> Option<Name> {
    match data {
        RData::NS(server) => Some(server.0.to_lowercase()),
        _ => None,
    }
}

/// A name without its last dot, in lower case and harmless.
fn text(name: &Name) -> String {
    let shown = name.to_ascii().to_ascii_lowercase();
    let bare = shown.strip_suffix('.').filter(|bare| !bare.is_empty()).unwrap_or(&shown);
    crate::world::live::foreign::clean(bare)
}
