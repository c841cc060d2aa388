//! References and values: targets, probes, secrets, addresses, times, each with its place.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::action::{Action, CommandLine};
use crate::core::ids::{ProbeId, TargetId};
use crate::core::nearest::suggestion;
use crate::core::plan::SecretSource;
use crate::core::probe::{Probe, ProbeKind};
use crate::core::target::Target;
use crate::core::time::Span;
use crate::core::value::Shape;

use super::diagnostic::{Diagnostic, Mark};
use super::facts::{is_address, is_host_port, is_in_zone, is_word};
use super::model::Runbook;
use super::tree::Node;

/// Shortest interval of a probe: below it a probe does nothing but disturb what it looks at.
const SHORTEST: Span = Span(100);

/// Checks everything outside the steps.
pub(super) fn check(runbook: &Runbook, root: &Node, shapes: &BTreeMap<ProbeId, Shape>, faults: &mut Vec<Diagnostic>) {
    let mut fault = |message: String, mark: Mark, label: &str| {
        faults.push(Diagnostic::new(message).at(mark, label));
    };
    if let Some(window) = runbook.window
        && window.opens >= window.closes
    {
        fault(
            "the window closes before it opens".to_owned(),
            root.path(&["window", "closes"]).mark,
            "expected a later moment",
        );
    }
    if runbook.comms.as_ref().is_some_and(|comms| comms.every == Span::ZERO) {
        fault(
            "status updates cannot be due all the time".to_owned(),
            root.path(&["comms", "every"]).mark,
            "expected more than 0s",
        );
    }
    for (section, what) in [("vars", "a var"), ("secrets", "a secret"), ("probes", "a probe")] {
        for (key, _) in root.get(section).map_or(&[][..], Node::entries) {
            if !is_word(&key.name) {
                fault(
                    format!("`{}` cannot be the name of {what}", key.name),
                    key.mark,
                    "expected letters, digits and `_`, and no reserved word",
                );
            }
        }
    }
    if runbook.title.trim().is_empty() {
        fault("the title is empty".to_owned(), root.path(&["title"]).mark, "expected text");
    }
    for (name, source) in &runbook.secrets {
        let node = root.path(&["secrets", name]);
        let empty = match source {
            SecretSource::Env(text) | SecretSource::File(text) => text.trim().is_empty(),
            SecretSource::Command(argv) => argv.is_empty(),
        };
        if empty {
            fault(format!("the secret `{name}` comes from nowhere"), node.mark, "expected a name, a path or a command");
        }
    }
    for (name, target) in &runbook.targets {
        self::target(target, root.path(&["targets", name]), faults);
    }
    for (name, probe) in &runbook.probes {
        self::probe(runbook, probe, root.path(&["probes", name]), faults);
    }
    customers(runbook, root, shapes, faults);
}

fn customers(runbook: &Runbook, root: &Node, shapes: &BTreeMap<ProbeId, Shape>, faults: &mut Vec<Diagnostic>) {
    let Some(customers) = runbook.customers.as_deref() else { return };
    let mark = root.path(&["customers"]).mark;
    let Some(shape) = shapes.get(customers) else {
        let fault = Diagnostic::new(format!("there is no probe `{customers}`")).at(mark, "unknown probe");
        faults.push(fault.help(suggestion(customers, shapes.keys().map(ProbeId::as_str))));
        return;
    };
    let lacks = |field: &&str| *shape != Shape::Any && shape.field(field).is_none();
    let missing: Vec<String> =
        ["failed", "longest_pause_ms"].iter().filter(|field| lacks(field)).map(|field| format!("`{field}`")).collect();
    if !missing.is_empty() {
        let fault = Diagnostic::new(format!("the probe `{customers}` cannot speak for the customers"));
        faults.push(fault.at(mark, format!("expected its reading to have {}", missing.join(" and "))));
    }
}

fn target(target: &Target, node: &Node, faults: &mut Vec<Diagnostic>) {
    let node = node.path(&[target.kind()]);
    let mut fault = |message: String, mark: Mark, label: &str| faults.push(Diagnostic::new(message).at(mark, label));
    match target {
        Target::Postgres(postgres) => {
            if postgres.dsn.parse::<tokio_postgres::Config>().is_err() {
                let label = "expected something like `host=db.example port=5432 user=admin dbname=shop`";
                fault("`dsn` is not a connection string".to_owned(), node.path(&["dsn"]).mark, label);
            }
        }
        Target::Dns(dns) => {
            let servers = dns.authoritative.iter().zip(node.path(&["authoritative"]).items());
            let resolvers = dns.resolvers.iter().map(|(name, address)| (address, node.path(&["resolvers", name])));
            for (address, node) in servers.chain(resolvers) {
                if !is_address(address) {
                    fault(
                        format!("`{address}` is not an address"),
                        node.mark,
                        "expected an IP address, or one with `:port`",
                    );
                }
            }
            if let Some(tsig) = &dns.tsig
                && tsig.name.trim().is_empty()
            {
                fault("the key has no name".to_owned(), node.path(&["tsig", "name"]).mark, "expected text");
            }
        }
        Target::Http(http) => {
            let fits = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
            if !url::Url::parse(&http.url).is_ok_and(|url| fits(&url)) {
                let label = "expected something like `https://app.example.com`";
                fault(format!("`{}` is not a web address", http.url), node.path(&["url"]).mark, label);
            }
            if let Some(connect) = &http.connect
                && !is_host_port(connect)
            {
                fault(
                    format!("`{connect}` is not `address:port`"),
                    node.path(&["connect"]).mark,
                    "expected an address and a port",
                );
            }
        }
    }
}

fn probe(runbook: &Runbook, probe: &Probe, node: &Node, faults: &mut Vec<Diagnostic>) {
    for (key, span) in [("every", probe.every), ("limit", probe.limit)] {
        if span < SHORTEST {
            let fault = Diagnostic::new(format!("`{key}` is too short"));
            faults.push(fault.at(node.path(&[key]).mark, format!("expected at least {SHORTEST}")));
        }
    }
    for (id, kind) in probe.kind.targets() {
        let place = match &probe.kind {
            ProbeKind::Http(http) => {
                http.sides.iter().find(|(_, side)| *side == id).map_or(node, |(name, _)| node.path(&["sides", name]))
            }
            ProbeKind::Replication(replication) if replication.source == *id => node.path(&["source"]),
            _ => node.path(&["target"]),
        };
        reference(runbook, id, kind, place.mark, faults);
    }
    super::simulate::probe(runbook, probe, node, faults);
    let mut fault = |message: &str, mark: Mark, label: &str| faults.push(Diagnostic::new(message).at(mark, label));
    match &probe.kind {
        ProbeKind::Dns(dns) => {
            let (old, new): (BTreeSet<_>, BTreeSet<_>) = (dns.old.iter().collect(), dns.new.iter().collect());
            if old == new {
                fault(
                    "old and new are the same, so nothing can be told apart",
                    node.path(&["new"]).mark,
                    "expected other values",
                );
            }
            if let Some(Target::Dns(zone)) = runbook.targets.get(dns.target.as_str())
                && !is_in_zone(&dns.name, &zone.zone)
            {
                let label = format!("expected a name in the zone {}", zone.zone);
                fault("the name is not in the target's zone", node.path(&["name"]).mark, &label);
            }
        }
        ProbeKind::Http(http) => {
            if http.sides.is_empty() {
                fault("`sides` is empty", node.path(&["sides"]).mark, "expected at least one side");
            }
            for (name, _) in node.path(&["sides"]).entries() {
                if !is_word(&name.name) {
                    fault("this cannot name a side", name.mark, "expected letters, digits and `_`");
                }
            }
            if http.window == 0 {
                fault("`window` is empty", node.path(&["window"]).mark, "expected at least 1");
            }
        }
        ProbeKind::Tcp(tcp) if !is_host_port(&tcp.address) => {
            fault("this is not `host:port`", node.path(&["address"]).mark, "expected a host and a port");
        }
        ProbeKind::Command(command) => {
            if let Some((message, label)) = empty_command(&command.run) {
                fault(message, node.path(&["run"]).mark, label);
            }
        }
        _ => {}
    }
    if let ProbeKind::HttpJson(_) | ProbeKind::Sql(_) | ProbeKind::Command(_) = &probe.kind {
        if node.path(&["fields"]).entries().is_empty() {
            fault(
                "`fields` is empty, so no expression can use the probe",
                node.key("fields"),
                "expected at least one field",
            );
        }
        for (name, _) in node.path(&["fields"]).entries() {
            if !is_word(&name.name) {
                fault("this cannot name a field", name.mark, "expected letters, digits and `_`, and no reserved word");
            }
        }
    }
}

/// Checks an action; `node` is the value under the action's kind.
pub(super) fn action(runbook: &Runbook, action: &Action, node: &Node, faults: &mut Vec<Diagnostic>) {
    for (id, kind) in action.targets() {
        reference(runbook, id, kind, node.path(&["target"]).mark, faults);
    }
    super::simulate::action(runbook, action, node, faults);
    let mut fault = |message: &str, mark: Mark, label: &str| faults.push(Diagnostic::new(message).at(mark, label));
    match action {
        Action::Manual(items) if items.is_empty() => {
            fault("the checklist is empty", node.mark, "expected at least one item");
        }
        Action::Command(command) => {
            if let Some((message, label)) = empty_command(&command.run) {
                fault(message, node.path(&["run"]).mark, label);
            }
            for (name, _) in node.path(&["env"]).entries() {
                if name.name.is_empty() || name.name.contains(['=', '\0']) {
                    fault("this cannot name an environment variable", name.mark, "expected a name without `=`");
                }
            }
        }
        Action::Http(http) if !http.path.starts_with('/') => {
            let label = "expected something like `/admin/cutover`";
            fault("the path does not begin with `/`", node.path(&["path"]).mark, label);
        }
        Action::DnsUpdate(update) => {
            if let Some(Target::Dns(zone)) = runbook.targets.get(update.target.as_str()) {
                for (change, node) in update.changes.iter().zip(node.path(&["changes"]).items()) {
                    if !is_in_zone(&change.name, &zone.zone) {
                        let label = format!("expected a name in the zone {}", zone.zone);
                        fault("the name is not in the target's zone", node.path(&["name"]).mark, &label);
                    }
                    if change.from.is_empty() && change.to.is_empty() {
                        fault("the change does nothing", node.mark, "expected values in `from` or `to`");
                    }
                }
            }
        }
        _ => {}
    }
}

fn empty_command(run: &CommandLine) -> Option<(&'static str, &'static str)> {
    let empty = match run {
        CommandLine::Argv(argv) => argv.first().is_none_or(String::is_empty),
        CommandLine::Shell(text) => text.trim().is_empty(),
    };
    empty.then_some(("there is no command", "expected a program with arguments, or text for a shell"))
}

/// Checks that there is such a target of that kind.
pub(super) fn reference(runbook: &Runbook, id: &TargetId, kind: &str, mark: Mark, faults: &mut Vec<Diagnostic>) {
    match runbook.targets.get(id.as_str()) {
        Some(target) if target.kind() == kind => {}
        Some(target) => {
            let fault = Diagnostic::new(format!("the target `{id}` is of the wrong kind"));
            let fault = fault.at(mark, format!("expected a `{kind}` target, but this is `{}`", target.kind()));
            faults.push(fault.help(fitting(runbook, kind)));
        }
        None => {
            let fault = Diagnostic::new(format!("there is no target `{id}`"));
            let fault = fault.at(mark, format!("expected the name of a `{kind}` target"));
            let help = suggestion(id.as_str(), runbook.targets.keys().map(String::as_str));
            faults.push(fault.help(help.or_else(|| Some("the runbook has no targets".to_owned()))));
        }
    }
}

fn fitting(runbook: &Runbook, kind: &str) -> Option<String> {
    let fitting = runbook.targets.iter().filter(|(_, target)| target.kind() == kind);
    let fitting: Vec<String> = fitting.map(|(name, _)| format!("`{name}`")).collect();
    (!fitting.is_empty()).then(|| format!("of kind `{kind}`: {}", fitting.join(", ")))
}
