//! Keeps a lab run on this machine: every address that it connects to by itself must be on loopback.
//!
//! Commands and the text of SQL statements are exceptions, since what they reach cannot be known.

use std::net::{IpAddr, SocketAddr};

use tokio_postgres::config::Host;

use super::CliError;
use crate::core::plan::Plan;
use crate::core::target::{Http, Target};
use crate::record_data::resolver_address::ResolverAddress;
use crate::text::clean;

/// Refuses a plan that connects to other machines, and names each place where it does.
pub(super) fn only(plan: &Plan) -> Result<(), CliError> {
    let strangers = strangers(plan);
    if strangers.is_empty() {
        return Ok(());
    }
    Err(CliError::usage(format!(
        "a lab run stays on this machine (127.0.0.0/8, ::1, localhost), but {}; nothing was started: mend the `lab` \
         profile, or use `gonogo run`",
        strangers.join(", ")
    )))
}

/// Every address that is not on loopback, or is unknown, with its owner.
fn strangers(plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |whose: String, address: &str, at_home: bool| {
        if !at_home {
            found.push(format!("{whose} is at `{}`", clean(address)));
        }
    };
    for (id, target) in &plan.targets {
        match target {
            Target::Postgres(postgres) => {
                check(format!("the database `{id}`"), &postgres.dsn, is_database_here(&postgres.dsn));
            }
            Target::Http(http) => {
                let (address, at_home) = web(http);
                check(format!("the web service `{id}`"), address, at_home);
                if let Some(proxy) = &http.proxy {
                    let here = url::Url::parse(&proxy.url).is_ok_and(|url| url.host_str().is_some_and(is_here));
                    check(format!("the proxy of `{id}`"), &proxy.url, here);
                }
            }
            Target::Route53(zone) => {
                let endpoint = zone.aws.endpoint.as_deref().unwrap_or("AWS");
                let here = url::Url::parse(endpoint).is_ok_and(|url| url.host_str().is_some_and(is_here));
                check(format!("the hosted zone `{id}`"), endpoint, here);
            }
            Target::Cloudwatch(of) => {
                let endpoint = of.aws.endpoint.as_deref().unwrap_or("AWS");
                let here = url::Url::parse(endpoint).is_ok_and(|url| url.host_str().is_some_and(is_here));
                check(format!("CloudWatch `{id}`"), endpoint, here);
            }
            Target::Dns(dns) => {
                for address in &dns.authoritative {
                    check(format!("a name server of `{id}`"), address, is_here(address));
                }
                if let Some(address) = &dns.lookup {
                    check(format!("the lookup of `{id}`"), address, is_here(address));
                }
                for (name, address) in &dns.resolvers {
                    let here =
                        address.parse().is_ok_and(|resolver: ResolverAddress| is_loopback(resolver.address().ip()));
                    check(format!("the resolver `{name}` of `{id}`"), address, here);
                }
            }
        }
    }
    for (id, probe) in &plan.probes {
        for address in probe.kind.addresses() {
            check(format!("the probe `{id}`"), address, is_here(address));
        }
    }
    for step in &plan.steps {
        for action in step.actions() {
            for address in action.addresses() {
                check(format!("an action of `{}`", step.id), address, is_here(address));
            }
        }
    }
    found
}

/// The host that a web service is reached at.
fn web(http: &Http) -> (&str, bool) {
    if let Some(connect) = &http.connect {
        return (connect, is_here(connect));
    }
    let url = url::Url::parse(&http.url);
    (&http.url, url.is_ok_and(|url| url.host_str().is_some_and(is_here)))
}

fn is_database_here(dsn: &str) -> bool {
    let Ok(config) = dsn.parse::<tokio_postgres::Config>() else { return false };
    let hosts = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => is_here(name),
        Host::Unix(_) => true,
    });
    let addresses = config.get_hostaddrs();
    // `hostaddr` is the address that is used; `host` is then only a name.
    if addresses.is_empty() {
        hosts && !config.get_hosts().is_empty()
    } else {
        addresses.iter().all(|address| address.to_canonical().is_loopback())
    }
}

/// Whether `host`, `host:port`, `address` or `[address]:port` is on loopback.
fn is_here(address: &str) -> bool {
    let host = match address.parse::<SocketAddr>() {
        Ok(socket) => return is_loopback(socket.ip()),
        Err(_) if address.parse::<IpAddr>().is_ok() => address,
        Err(_) => address.rsplit_once(':').map_or(address, |(host, _)| host),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(is_loopback)
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::{Options, load_str};

    #[test]
    fn loopback_is_told_from_everything_else() {
        for here in ["127.0.0.1", "127.9.9.9:53", "[::1]:5432", "::1", "localhost", "LOCALHOST:80", "::ffff:127.0.0.1"]
        {
            assert!(is_here(here), "{here}");
        }
        for away in
            ["", "10.0.0.1", "128.0.0.1:53", "example.com", "localhost.example.com:80", "::2", "127.0.0.1.example.com"]
        {
            assert!(!is_here(away), "{away}");
        }
        for here in ["host=127.0.0.1 port=1", "host=/run/postgresql", "host=db.example.com hostaddr=127.0.0.1"] {
            assert!(is_database_here(here), "{here}");
        }
        for away in
            ["", "host=db.example.com", "host=127.0.0.1,db.example.com", "host=localhost hostaddr=10.1.1.1", "=?"]
        {
            assert!(!is_database_here(away), "{away}");
        }
    }

    #[test]
    fn every_address_that_leaves_the_machine_is_named() {
        let runbook = r#"
title: Elsewhere
targets:
  shop: { postgres: { dsn: "host=db.example.com dbname=shop" } }
  home: { postgres: { dsn: "host=localhost dbname=shop" } }
  web: { http: { url: "https://app.example.com" } }
  near: { http: { url: "https://app.example.com", connect: "127.0.0.1:443" } }
  hosted: { route53: { zone: example.com, id: Z1 } }
  metrics: { cloudwatch: { region: eu-central-1 } }
  stand_in: { route53: { zone: example.com, id: Z1, aws: { endpoint: "http://127.0.0.1:80", keys: { id: AKIALAB, secret: none } } } }
  zone: { dns: { zone: example.com, authoritative: ["192.0.2.53"], lookup: system, resolvers: { here: system, quad: "9.9.9.9", tls: "tls://127.0.0.1#localhost", far: "tls://9.9.9.9#localhost" } } }
probes:
  port: { kind: tcp, address: "mail.example.com:25" }
phases:
  - title: P
    steps: [{ id: a, title: A, action: { command: { run: "curl https://example.com" } }, reversibility: free }]
"#;
        let plan =
            load_str("r", runbook.to_owned(), &Options::default()).unwrap_or_else(|faults| panic!("{faults}")).plan;
        let found = strangers(&plan).join("\n");
        assert_eq!(
            found,
            "the hosted zone `hosted` is at `AWS`\n\
             CloudWatch `metrics` is at `AWS`\n\
             the database `shop` is at `host=db.example.com dbname=shop`\n\
             the web service `web` is at `https://app.example.com`\n\
             a name server of `zone` is at `192.0.2.53`\n\
             the lookup of `zone` is at `system`\n\
             the resolver `far` of `zone` is at `tls://9.9.9.9#localhost`\n\
             the resolver `here` of `zone` is at `system`\n\
             the resolver `quad` of `zone` is at `9.9.9.9`\n\
             the probe `port` is at `mail.example.com:25`"
        );
    }

    #[test]
    fn the_bundled_runbook_stays_here() {
        let text = include_str!("../../runbook.yaml").to_owned();
        let options = Options { profile: Some("lab".to_owned()), set: Vec::new() };
        let plan = load_str("runbook.yaml", text, &options).unwrap_or_else(|faults| panic!("{faults}")).plan;
        assert_eq!(strangers(&plan), Vec::<String>::new());
    }
}
