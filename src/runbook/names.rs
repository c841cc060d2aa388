//! References and values: targets, probes, secrets, addresses, times, each with its place.

use std::collections::BTreeMap;

use crate::core::action::Action;
use crate::core::aws;
use crate::core::ids::{ProbeId, TargetId};
use crate::core::kind::http::{HEADER_NAMES, HEADER_VALUES, NO_HEADER, NO_HEADER_VALUE, is_header_value};
use crate::core::kind::spec::{CheckContext, Complaint, DnsMention, Mention, TargetUse};
use crate::core::nearest::suggestion;
use crate::core::plan::SecretSource;
use crate::core::probe::Probe;
use crate::core::record::{RecordType, RecordValues, WatchedRecord};
use crate::core::syntax::{is_header_name, is_host_port, is_word};
use crate::core::target::Target;
use crate::core::time::Span;
use crate::core::value::Shape;
use crate::record_data;

use super::connection_string::{self, Wrong};
use super::diagnostic::{Diagnostic, Mark};
use super::model::Runbook;
use super::name_servers;
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
            fault(format!("the secret `{name}` has no source"), node.mark, "expected a name, a path or a command");
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
        let fault = Diagnostic::new(format!("the probe `{customers}` cannot report what customers see"));
        faults.push(fault.at(mark, format!("expected its reading to have {}", missing.join(" and "))));
    }
}

fn target(target: &Target, node: &Node, faults: &mut Vec<Diagnostic>) {
    let node = node.path(&[target.kind()]);
    if let Target::Dns(dns) = target {
        name_servers::target(dns, node, faults);
    }
    if let Target::Route53(zone) = target {
        for (path, message, label) in aws::wrong(zone) {
            faults.push(Diagnostic::new(message).at(node.path(&path).mark, label));
        }
        name_servers::name(&zone.zone, node.path(&["zone"]), faults);
    }
    if let Target::Cloudwatch(of) = target {
        for (path, message, label) in aws::wrong_region(of) {
            faults.push(Diagnostic::new(message).at(node.path(&path).mark, label));
        }
    }
    if let Target::Postgres(postgres) = target {
        let complaint = |wrong: Wrong| {
            let fault = Diagnostic::new(wrong.message).at(node.path(&[wrong.key]).mark, wrong.label);
            fault.help(wrong.help)
        };
        faults.extend(connection_string::wrong(postgres).map(complaint));
    }
    let mut fault = |message: String, mark: Mark, label: &str| faults.push(Diagnostic::new(message).at(mark, label));
    match target {
        Target::Postgres(_) | Target::Dns(_) | Target::Route53(_) | Target::Cloudwatch(_) => {}
        Target::Http(http) => {
            let fits = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
            let url = url::Url::parse(&http.url).ok().filter(fits);
            if url.as_ref().is_some_and(|url| !url.username().is_empty() || url.password().is_some()) {
                let label = "expected no user and no password in it; say `basic_auth: { user: …, password: \"{{ secrets.NAME }}\" }`";
                fault("credentials stand in this address".to_owned(), node.path(&["url"]).mark, label);
            }
            for (key, value) in node.get("headers").map_or(&[][..], Node::entries) {
                if !is_header_name(&key.name) {
                    fault(NO_HEADER.to_owned(), key.mark, HEADER_NAMES);
                }
                if value.text().is_some_and(|text| !is_header_value(text)) {
                    fault(NO_HEADER_VALUE.to_owned(), value.mark, HEADER_VALUES);
                }
            }
            if url.is_none() {
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
            if let Some(proxy) = &http.proxy
                && !url::Url::parse(&proxy.url).is_ok_and(|url| url.scheme() == "http" && url.has_host())
            {
                let label = "expected something like `http://proxy.example.com:3128`";
                fault(format!("`{}` is no address of a proxy", proxy.url), node.path(&["proxy", "url"]).mark, label);
            }
            if http.spoken().is_none() {
                let mark = node.path(&["version"]).mark;
                fault("there is no such version of HTTP".to_owned(), mark, "expected `1.1`, `2` or `auto`");
            }
            if http.basic_auth.is_some() && http.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization")) {
                let label = "there is an `Authorization` among the `headers`, too";
                fault("two ways to say who asks".to_owned(), node.key("basic_auth"), label);
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
    if let Some((shortest, why)) = probe.kind.shortest_limit().filter(|(shortest, _)| probe.limit < *shortest) {
        let fault = Diagnostic::new(format!("`limit` is too short for `{}`: {why}", probe.kind.name()));
        faults.push(fault.at(node.path(&["limit"]).mark, format!("expected at least {shortest}")));
    }
    references(runbook, &probe.kind.targets(), node, faults);
    super::simulate::probe(runbook, probe, node, faults);
    complain(probe.kind.check(&CheckContext { targets: &runbook.targets }), node, faults);
    mentions(&probe.kind.mentions(), node, faults);
    if let Some(WatchedRecord { record_type, old, new, aaaa, name, .. }) = probe.kind.record() {
        name_servers::name(name, node.path(&["name"]), faults);
        let mut check = |of: RecordType, values: &RecordValues, node: &Node| {
            let node = node.get("one_of").unwrap_or(node);
            record_values(of, values.named(), node, faults);
        };
        check(record_type, old, node.path(&["old"]));
        check(record_type, new, node.path(&["new"]));
        if let Some((old, new)) = aaaa {
            check(RecordType::Aaaa, old, node.path(&["aaaa", "old"]));
            check(RecordType::Aaaa, new, node.path(&["aaaa", "new"]));
        }
    }
}

/// Checks that each value is one of that type of record.
fn record_values(of: RecordType, values: &[String], node: &Node, faults: &mut Vec<Diagnostic>) {
    for (value, node) in values.iter().zip(node.items()) {
        if let Err(why) = record_data::canonical(of, value) {
            let fault = Diagnostic::new(format!("`{value}` is not a value of {} records", of.as_str()));
            faults.push(fault.at(node.mark, why));
        }
    }
}

/// Checks an action; `node` is the value under the action's kind.
pub(super) fn action(runbook: &Runbook, action: &Action, node: &Node, faults: &mut Vec<Diagnostic>) {
    references(runbook, &action.targets(), node, faults);
    super::simulate::action(runbook, action, node, faults);
    complain(action.check(&CheckContext { targets: &runbook.targets }), node, faults);
    mentions(&action.mentions(), node, faults);
}

/// Checks what a probe or an action writes out of DNS.
fn mentions(all: &[DnsMention<'_>], node: &Node, faults: &mut Vec<Diagnostic>) {
    for DnsMention { path, what } in all {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let node = node.path(&path);
        match what {
            Mention::Name(name) => name_servers::name(name, node, faults),
            Mention::Values(of, values) => record_values(*of, values, node, faults),
            Mention::Unchangeable => {
                let fault = Diagnostic::new("a SOA record is changed by the server alone");
                faults.push(fault.at(node.mark, "expected another type"));
            }
        }
    }
}

fn references(runbook: &Runbook, used: &[TargetUse<'_>], node: &Node, faults: &mut Vec<Diagnostic>) {
    for TargetUse { id, kind, path } in used {
        reference(runbook, id, kind, node.path(path).mark, faults);
    }
}

/// Gives what a kind complains of its place in the file; `node` is the probe or action.
pub(super) fn complain(complaints: Vec<Complaint>, node: &Node, faults: &mut Vec<Diagnostic>) {
    for Complaint { path, at_key, message, label, help } in complaints {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let mark = match path.split_last() {
            Some((last, before)) if at_key => node.path(before).key(last),
            _ => node.path(&path).mark,
        };
        faults.push(Diagnostic::new(message).at(mark, label).help(help));
    }
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
