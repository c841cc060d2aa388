//! Finds out, before anything is watched, which zone a name is in, who serves it, and what they answer now.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RecordType as Type};

use super::net::dns::lookup::HostLookup;
use super::net::dns::system::SystemDns;
use super::net::dns::value::values;
use super::net::dns::{DnsQuestion, NoAnswer, ask, name, socket};
use crate::core::record::RecordType;
use crate::record_data::resolver_address::ResolverAddress;

/// How long one server has for one answer.
const LIMIT: Duration = Duration::from_secs(3);

/// Who is asked about a name.
#[derive(Clone, Debug, Default)]
pub struct DnsScout {
    /// Where the zone and its servers are looked up: the name servers of this machine's own configuration.
    pub system: SystemDns,
    /// Authoritative servers, `address` or `address:port`; those that the zone names when there is none.
    pub authoritative: Vec<String>,
    /// The zone; found out when absent.
    pub zone: Option<String>,
    /// Resolvers that are asked for what they have now.
    pub resolvers: Vec<String>,
}

/// What was found out about a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScoutedName {
    /// The zone it is in.
    pub zone: String,
    /// The addresses of its servers.
    pub authoritative: Vec<String>,
    /// What each authoritative server and then each resolver that answered has for the name: the values, sorted.
    pub served: Vec<BTreeSet<String>>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

impl DnsScout {
    /// Finds it out.
    ///
    /// # Errors
    ///
    /// When nobody says which zone it is, or who serves it. Texts are clean.
    pub async fn find(&self, of: &str, record_type: RecordType) -> Result<ScoutedName, String> {
        let owner = name(of)?;
        let wire: Type =
            record_type.as_str().parse().map_err(|_| format!("{} is not asked for", record_type.as_str()))?;
        let given: Vec<SocketAddr> = self.authoritative.iter().map(|text| socket(text)).collect::<Result<_, _>>()?;
        let through = if given.is_empty() { self.through().await? } else { given.clone() };
        let zone = match &self.zone {
            Some(zone) => name(zone)?,
            None => zone_of(&owner, &through, given.is_empty()).await?,
        };
        let mut found =
            ScoutedName { zone: zone.to_ascii().trim_end_matches('.').to_owned(), ..ScoutedName::default() };
        if found.zone.is_empty() {
            ".".clone_into(&mut found.zone);
        }
        let servers = if given.is_empty() { self.servers(&zone, &through).await? } else { given.clone() };
        let asked = DnsQuestion::new(&owner, wire, false);
        let answers = join_all(servers.iter().map(|server| ask(*server, &asked, LIMIT))).await;
        let answers: Vec<(SocketAddr, Result<Message, NoAnswer>)> = servers.into_iter().zip(answers).collect();
        // Without IPv6 on this machine, servers that have both are asked over the other.
        for (family, is) in [("IPv6", SocketAddr::is_ipv6 as fn(&SocketAddr) -> bool), ("IPv4", SocketAddr::is_ipv4)] {
            let of_family = || answers.iter().filter(|(server, _)| is(server));
            let silent = given.is_empty()
                && of_family().count() > 0
                && of_family().all(|(_, answer)| answer.is_err())
                && answers.iter().any(|(_, answer)| answer.is_ok());
            if silent {
                let count = of_family().count();
                found
                    .notes
                    .push(format!("no server answers over {family}, so {count} of their addresses are left out"));
            } else {
                found.authoritative.extend(of_family().map(|(server, _)| server.to_string()));
            }
        }
        found
            .served
            .extend(answers.iter().filter_map(|(_, answer)| Some(values(&answer.as_ref().ok()?.answers, wire))));
        let resolvers: Vec<SocketAddr> = self.resolvers.iter().filter_map(|text| plain(text)).collect();
        let asked = DnsQuestion::new(&owner, wire, true);
        let answers = join_all(resolvers.iter().map(|resolver| ask(*resolver, &asked, LIMIT))).await;
        found.served.extend(answers.into_iter().filter_map(|answer| Some(values(&answer.ok()?.answers, wire))));
        Ok(found)
    }

    async fn through(&self) -> Result<Vec<SocketAddr>, String> {
        let system = self.system.servers().await?;
        if !system.is_empty() {
            return Ok(system);
        }
        let resolvers: Vec<SocketAddr> = self.resolvers.iter().filter_map(|text| plain(text)).collect();
        if resolvers.is_empty() {
            return Err("this machine has no name servers configured, so nothing can be looked up".to_owned());
        }
        Ok(resolvers)
    }

    /// The addresses of a zone's servers.
    async fn servers(&self, zone: &Name, through: &[SocketAddr]) -> Result<Vec<SocketAddr>, String> {
        let lookup = HostLookup::new(through, LIMIT)?;
        let names = lookup.name_servers(zone).await?;
        if names.is_empty() {
            return Err(format!("the zone {zone} names no servers: say them with `--authoritative`"));
        }
        let addresses = join_all(names.iter().map(|name| lookup.addresses(name))).await;
        let mut found = Vec::new();
        let mut last = None;
        for addresses in addresses {
            match addresses {
                Ok(addresses) => found.extend(addresses),
                Err(why) => last = Some(why),
            }
        }
        found.sort_unstable();
        found.dedup();
        match (found.is_empty(), last) {
            (true, Some(why)) => Err(why),
            (true, None) => Err(format!("the servers of {zone} have no address: say them with `--authoritative`")),
            (false, _) => Ok(found.into_iter().map(|ip| SocketAddr::new(ip, self.system.server_port())).collect()),
        }
    }
}

/// Where a resolver is asked without TLS.
fn plain(text: &str) -> Option<SocketAddr> {
    match text.parse() {
        Ok(ResolverAddress::Plain(address)) => Some(address),
        _ => None,
    }
}

/// The zone that a name is in: the first of it and those above it that has a SOA record.
async fn zone_of(owner: &Name, servers: &[SocketAddr], recursive: bool) -> Result<Name, String> {
    let mut at = owner.clone();
    let mut last = String::new();
    loop {
        let question = DnsQuestion::new(&at, Type::SOA, recursive);
        for server in servers {
            match ask(*server, &question, LIMIT).await {
                Ok(answer) => {
                    let records = answer.answers.iter().chain(&answer.authorities);
                    let mut zones =
                        records.filter(|record| record.record_type() == Type::SOA).map(|record| &record.name);
                    // Behind an alias the SOA is that of another zone.
                    if let Some(zone) = zones.find(|zone| zone.zone_of(owner)) {
                        return Ok(zone.clone());
                    }
                    last = format!("{server} says {}", answer.metadata.response_code);
                    break;
                }
                Err(
                    NoAnswer::Unasked(why)
                    | NoAnswer::Silence(why)
                    | NoAnswer::Nonsense(why)
                    | NoAnswer::Untrusted(why),
                ) => {
                    last = format!("{server}: {}", if why.is_empty() { "no answer" } else { &why });
                }
            }
        }
        if at.is_root() {
            return Err(format!("nobody says which zone {owner} is in ({last}): say it with `--zone`"));
        }
        at = at.base_name();
    }
}
