//! Names of the DNS and addresses of its servers: what none of them can be, and what should be said only once.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::core::nearest::suggestion;
use crate::core::target::{Dns, SYSTEM, Target};
use crate::record_data;
use crate::record_data::resolver_address::ResolverAddress;

use super::diagnostic::Diagnostic;
use super::facts::is_address;
use super::model::Runbook;
use super::tree::Node;

/// Checks a `dns` target; `node` is the value under `dns`.
pub(super) fn target(dns: &Dns, node: &Node, faults: &mut Vec<Diagnostic>) {
    simulated_resolvers(dns, node, faults);
    name(&dns.zone, node.path(&["zone"]), faults);
    for (address, node) in dns.authoritative.iter().zip(node.path(&["authoritative"]).items()) {
        server(address, node, is_address(address), "expected an IP address, or one with `:port`", faults);
    }
    for (name, address) in dns.resolvers.iter().filter(|(_, address)| *address != SYSTEM) {
        let label = "expected an IP address, one with `:port`, `tls://address#name`, or `system`";
        let is_fine = address.parse::<ResolverAddress>().is_ok();
        server(address, node.path(&["resolvers", name]), is_fine, label, faults);
    }
    for address in dns.lookup.iter().filter(|address| *address != SYSTEM) {
        let label = "expected an IP address, one with `:port`, or `system`";
        server(address, node.path(&["lookup"]), is_address(address), label, faults);
    }
    if let Some(tsig) = &dns.tsig {
        let node = node.path(&["tsig", "name"]);
        if tsig.name.trim().is_empty() {
            faults.push(Diagnostic::new("the key has no name").at(node.mark, "expected text"));
        } else {
            name(&tsig.name, node, faults);
        }
    }
}

/// Checks a name of the DNS.
pub(super) fn name(text: &str, node: &Node, faults: &mut Vec<Diagnostic>) {
    if let Err(why) = record_data::name(text) {
        let help = "a name has at most 253 characters, and each part between two dots 1 to 63";
        faults.push(
            Diagnostic::new(format!("`{text}` is not a DNS name")).at(node.mark, why).help(Some(help.to_owned())),
        );
    }
}

fn server(address: &str, node: &Node, is_address: bool, label: &str, faults: &mut Vec<Diagnostic>) {
    if !is_address {
        faults.push(Diagnostic::new(format!("`{address}` is not an address")).at(node.mark, label));
    } else if let Some((why, label)) = socket(address).and_then(nobody) {
        let help = "write the address at which the server is asked, such as 192.0.2.53 or 192.0.2.53:5353";
        faults.push(
            Diagnostic::new(format!("nobody answers at `{address}`: {why}"))
                .at(node.mark, label)
                .help(Some(help.to_owned())),
        );
    }
}

/// Why no server can be asked there, and what was expected.
fn nobody(at: SocketAddr) -> Option<(&'static str, &'static str)> {
    let ip = at.ip().to_canonical();
    let is_broadcast = matches!(ip, IpAddr::V4(four) if four.is_broadcast());
    match () {
        () if at.port() == 0 => Some(("there is no port 0", "expected a port from 1 to 65535")),
        () if ip.is_multicast() => Some(("it is a multicast address", "expected the address of one server")),
        () if is_broadcast => Some(("it is the broadcast address", "expected the address of one server")),
        () if ip.is_unspecified() => Some(("it stands for no address", "expected the address of a server")),
        () => None,
    }
}

/// Where a server is asked: `address`, `address:port`, or the address of a resolver.
fn socket(address: &str) -> Option<SocketAddr> {
    address.parse::<ResolverAddress>().ok().map(|resolver| resolver.address())
}

/// Resolvers are rehearsed only where there are any of that name.
fn simulated_resolvers(dns: &Dns, node: &Node, faults: &mut Vec<Diagnostic>) {
    let simulated = dns.simulate.iter().flat_map(|simulate| simulate.resolvers.keys());
    for name in simulated.filter(|name| !dns.resolvers.contains_key(*name)) {
        let fault = Diagnostic::new(format!("the target has no resolver `{name}`"));
        let fault = fault.at(node.path(&["simulate", "resolvers", name]).mark, "unknown resolver");
        faults.push(fault.help(suggestion(name, dns.resolvers.keys().map(String::as_str))));
    }
}

/// Warns of servers that are listed twice: each counts once for every time.
pub(super) fn warnings(runbook: &Runbook, root: &Node, found: &mut Vec<Diagnostic>) {
    for (id, target) in &runbook.targets {
        let Target::Dns(dns) = target else { continue };
        let node = root.path(&["targets", id, "dns"]);
        let authoritative = dns.authoritative.iter().zip(node.path(&["authoritative"]).items());
        let authoritative = authoritative.map(|(address, node)| (address, format!("`{address}`"), node));
        let resolvers = dns.resolvers.iter();
        let resolvers =
            resolvers.map(|(name, address)| (address, format!("`{name}`"), node.path(&["resolvers", name])));
        twice(authoritative, "an authoritative server", found);
        twice(resolvers, "a resolver", found);
    }
}

fn twice<'a, 'n: 'a>(
    servers: impl Iterator<Item = (&'a String, String, &'a Node<'n>)>,
    what: &str,
    found: &mut Vec<Diagnostic>,
) {
    let mut met: BTreeMap<(IpAddr, u16), String> = BTreeMap::new();
    for (address, shown, node) in servers {
        let Some(at) = socket(address) else { continue };
        match met.get(&(at.ip().to_canonical(), at.port())) {
            Some(first) => {
                let message = format!("{what} is listed twice, so that it counts twice: `{address}`");
                let help =
                    "leave one of them out: several machines behind one address are met by `samples` of the probe";
                let label = format!("the same address as {first}");
                found.push(Diagnostic::new(message).at(node.mark, label).help(Some(help.to_owned())));
            }
            None => {
                met.insert((at.ip().to_canonical(), at.port()), shown);
            }
        }
    }
}
