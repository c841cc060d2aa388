//! Profiles, `--set` and templates: from the tree as written to the tree in force.
//!
//! A template sees vars and the *names* of secrets, nothing else. A secret becomes a placeholder that previews
//! show and that the live world replaces at the last moment, quoted as its filters say, so its value is never in a
//! plan ([`crate::core::quote`]).

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Environment, UndefinedBehavior, Value};

use crate::core::nearest::suggestion;
use crate::core::quote::{Placeholder, Quoting};

use super::Options;
use super::diagnostic::{Diagnostic, Mark};
use super::schema::{Rule, rule};
use super::tree::{Key, Kind, Node};

/// Keys whose values are sent outside and are never shown before their placeholders are resolved.
const SECRET_KEYS: [&str; 6] = ["password", "secret", "headers", "env", "body", "statements"];

/// Names that some template used.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub vars: BTreeSet<String>,
    pub secrets: BTreeSet<String>,
}

/// Applies the profile and `--set`, then fills in every template.
pub(super) fn resolve(root: &mut Node, source: &str, options: &Options, faults: &mut Vec<Diagnostic>) -> Used {
    profiles(root, options.profile.as_deref(), faults);
    let set = set(root, &options.set, faults);
    let mut renderer = Renderer::new(root, source, faults);
    renderer.vars(root, &set);
    if let Kind::Map(entries) = &mut root.kind {
        for (key, value) in entries.iter_mut().filter(|(key, _)| key.name != "vars") {
            renderer.node(value, &mut vec![&key.name]);
        }
    }
    let (used, any) = (renderer.used, renderer.any);
    if any {
        settle(root, rule());
    }
    used
}

fn profiles(root: &mut Node, chosen: Option<&str>, faults: &mut Vec<Diagnostic>) {
    let declared = root.get("profiles").cloned();
    let entries = declared.as_ref().map_or(&[][..], Node::entries);
    for (profile, overrides) in entries {
        for section in ["vars", "targets", "secrets"] {
            for (key, _) in overrides.get(section).map_or(&[][..], Node::entries) {
                let known = root.get(section).map_or(&[][..], Node::entries);
                if !known.iter().any(|(name, _)| name.name == key.name) {
                    let message =
                        format!("the profile `{}` overrides `{}`, which is not in `{section}`", profile.name, key.name);
                    let help = suggestion(&key.name, known.iter().map(|(name, _)| &*name.name));
                    faults.push(Diagnostic::new(message).at(key.mark, "nothing to override").help(help));
                }
            }
        }
    }
    let Some(chosen) = chosen else { return };
    let Some((_, overrides)) = entries.iter().find(|(key, _)| key.name == chosen) else {
        let help =
            suggestion(chosen, entries.iter().map(|(key, _)| &*key.name)).or_else(|| Some("it has none".to_owned()));
        let fault = Diagnostic::new(format!("the runbook has no profile `{chosen}`")).help(help);
        faults.push(match root.get("profiles") {
            Some(_) => fault.at(root.key("profiles"), "the profiles are here"),
            None => fault,
        });
        return;
    };
    for section in ["vars", "targets", "secrets"] {
        for (key, value) in overrides.get(section).map_or(&[][..], Node::entries) {
            if let Some(old) = root.get_mut(section).and_then(|section| section.get_mut(&key.name)) {
                *old = value.clone();
            }
        }
    }
    for key in ["window", "rehearsals"] {
        let Some(value) = overrides.get(key) else { continue };
        let Kind::Map(entries) = &mut root.kind else { continue };
        let mark = entries.iter().find(|(name, _)| name.name == key).map_or(value.mark, |(name, _)| name.mark);
        entries.retain(|(name, _)| name.name != key);
        if value.text() != Some("none") {
            entries.push((Key { name: key.into(), mark }, value.clone()));
        }
    }
}

/// Applies the values of `--set`. They are taken literally, so the names are returned.
fn set(root: &mut Node, set: &[(String, String)], faults: &mut Vec<Diagnostic>) -> BTreeSet<String> {
    let mut done = BTreeSet::new();
    for (name, text) in set {
        let known: Vec<String> =
            root.get("vars").map_or(&[][..], Node::entries).iter().map(|(key, _)| key.name.to_string()).collect();
        let Some(var) = root.get_mut("vars").and_then(|vars| vars.get_mut(name)) else {
            let help = suggestion(name, known.iter().map(String::as_str)).or_else(|| Some("it has none".to_owned()));
            faults.push(Diagnostic::new(format!("--set {name}=…: the runbook has no var `{name}`")).help(help));
            continue;
        };
        let value = match var.kind {
            Kind::Int(_) => text.parse().ok().map(Kind::Int).ok_or("a whole number"),
            Kind::Float(_) => text.parse().ok().map(Kind::Float).ok_or("a number"),
            Kind::Bool(_) => text.parse().ok().map(Kind::Bool).ok_or("true or false"),
            _ => Ok(Kind::Text(text.clone().into())),
        };
        match value {
            Ok(value) => {
                var.kind = value;
                done.insert(name.clone());
            }
            Err(wanted) => {
                let fault = Diagnostic::new(format!("--set {name}={text}: `{name}` is {wanted}"));
                faults.push(fault.at(var.mark, "as declared here"));
            }
        }
    }
    done
}

struct Renderer<'f> {
    source: &'f str,
    /// What templates see: vars and the names of secrets. Made when the first template needs it.
    context: Option<Value>,
    vars: BTreeMap<String, Value>,
    secrets: BTreeMap<String, Value>,
    used: Used,
    /// Whether there was any template at all.
    any: bool,
    faults: &'f mut Vec<Diagnostic>,
}

impl<'f> Renderer<'f> {
    fn new(root: &Node, source: &'f str, faults: &'f mut Vec<Diagnostic>) -> Self {
        let secrets = root.get("secrets").map_or(&[][..], Node::entries);
        let placeholder = |name: &str| Value::from(Placeholder::plain(name).to_string());
        let secrets = secrets.iter().map(|(key, _)| (key.name.to_string(), placeholder(&key.name))).collect();
        Self { source, context: None, vars: BTreeMap::new(), secrets, used: Used::default(), any: false, faults }
    }

    fn context(&mut self) -> Value {
        let (vars, secrets) = (&self.vars, &self.secrets);
        let make = || {
            Value::from(BTreeMap::from([
                ("vars".to_owned(), Value::from(vars.clone())),
                ("secrets".to_owned(), Value::from(secrets.clone())),
            ]))
        };
        self.context.get_or_insert_with(make).clone()
    }

    /// Fills in the vars in the order written, each seeing those before it.
    fn vars(&mut self, root: &mut Node, literal: &BTreeSet<String>) {
        let Some(Kind::Map(entries)) = root.get_mut("vars").map(|vars| &mut vars.kind) else { return };
        for (key, value) in entries {
            if !literal.contains(&*key.name) {
                self.node(value, &mut vec!["vars", &key.name]);
            }
            let value = match &value.kind {
                Kind::Bool(yes) => Value::from(*yes),
                Kind::Int(n) => Value::from(*n),
                Kind::Float(x) => Value::from(*x),
                Kind::Text(text) => Value::from(&**text),
                // The schema complains; templates see an empty text meanwhile.
                _ => Value::from(""),
            };
            self.vars.insert(key.name.to_string(), value);
            self.context = None;
        }
    }

    fn node<'a>(&mut self, node: &'a mut Node<'_>, path: &mut Vec<&'a str>) {
        let mark = node.mark;
        if let Kind::Text(text) = &node.kind {
            // Most texts contain neither; one pass over the bytes is cheaper than two searches.
            if !text.bytes().any(|byte| byte == b'{' || !byte.is_ascii()) {
                return;
            }
            if Placeholder::begins_in(text) {
                let fault = Diagnostic::new("a secret is named by its placeholder").at(mark, "here");
                self.faults.push(fault.help("write `{{ secrets.NAME }}`".to_owned()));
                node.kind = Kind::Faulty;
            } else if text.contains("{{") {
                node.kind = self.text(text, node, path).map_or(Kind::Faulty, |text| Kind::Text(text.into()));
                node.rendered = true;
                self.any = true;
            }
            return;
        }
        match &mut node.kind {
            Kind::List(items) => {
                for item in items {
                    self.node(item, path);
                }
            }
            Kind::Map(entries) => {
                for (key, value) in entries {
                    path.push(&key.name);
                    self.node(value, path);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str, node: &Node, path: &[&str]) -> Option<String> {
        let mark = node.mark;
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for quoting in Quoting::ALL {
            environment.add_filter(quoting.word(), move |value: Value| quoting.quote(&value.to_string()));
        }
        let template = match environment.template_from_str(text) {
            Ok(template) => template,
            Err(error) => return self.broken(&error, mark),
        };
        let mut fine = true;
        let mut names: Vec<(usize, String)> =
            template.undeclared_variables(true).into_iter().map(|name| (text.find(&name).unwrap_or(0), name)).collect();
        names.sort();
        for (at, name) in names {
            fine &= self.name(&name, node.within(self.source, at, name.len()), path);
        }
        if !fine {
            return None;
        }
        match template.render(self.context()) {
            Ok(filled) => {
                if path.ends_with(&["sql", "statements"]) {
                    self.quoted_for_sql(&filled, text, node);
                }
                Some(filled)
            }
            Err(error) => self.broken(&error, mark),
        }
    }

    /// Reports secrets in a statement that are not quoted: a quote inside the value would end the literal around it,
    /// and the rest would run as SQL.
    fn quoted_for_sql(&mut self, filled: &str, template: &str, node: &Node) {
        let mut rest = filled;
        while let Some((before, secret, after)) = Placeholder::split(rest) {
            rest = after;
            let name = secret.name;
            let (message, label, help) = match secret.outermost() {
                // The quotes that the filter adds would end those around it.
                Some(Quoting::Literal) if before.ends_with("' E'") => (
                    format!("the secret `{name}` stands in quotes twice"),
                    "expected no quotes around it",
                    format!("write `{{{{ secrets.{name} | literal }}}}` without quotes: it brings its own"),
                ),
                Some(Quoting::Literal | Quoting::Name) => continue,
                Some(Quoting::Conninfo) | None => (
                    format!("the secret `{name}` is not quoted for SQL"),
                    "expected `| literal`",
                    format!(
                        "write `{{{{ secrets.{name} | literal }}}}` without quotes around it; in a connection string \
                         `{{{{ ('host=db password=' ~ (secrets.{name} | conninfo)) | literal }}}}`"
                    ),
                ),
            };
            let used = format!("secrets.{name}");
            let mark = node.within(self.source, template.find(&used).unwrap_or(0), used.len());
            let fault = Diagnostic::new(message).at(mark, label).help(help);
            if !self.faults.contains(&fault) {
                self.faults.push(fault);
            }
        }
    }

    fn broken(&mut self, error: &minijinja::Error, mark: Mark) -> Option<String> {
        let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let fault = Diagnostic::new("the template cannot be filled in").at(mark, reason);
        self.faults.push(fault.help("for a literal `{{` write `{{ \"{{\" }}`".to_owned()));
        None
    }

    /// Whether a name in a template is known and allowed where it stands.
    fn name(&mut self, name: &str, mark: Mark, path: &[&str]) -> bool {
        let fault = match name.split_once('.') {
            Some(("vars", var)) => {
                if self.vars.contains_key(var) {
                    self.used.vars.insert(var.to_owned());
                    return true;
                }
                let fault = Diagnostic::new(format!("there is no var `{var}`"));
                let place = if path.first() == Some(&"vars") { "not known here, or only later" } else { "unknown var" };
                fault.at(mark, place).help(suggestion(var, self.vars.keys().map(String::as_str)))
            }
            Some(("secrets", secret)) => {
                if !self.secrets.contains_key(secret) {
                    let fault = Diagnostic::new(format!("there is no secret `{secret}`")).at(mark, "unknown secret");
                    fault.help(suggestion(secret, self.secrets.keys().map(String::as_str)))
                } else if let Some(why) = refused(path) {
                    let fault = Diagnostic::new(format!("the secret `{secret}` must not be used here"));
                    let help = if path.contains(&"run") {
                        "put it into `env` and use the variable in the command"
                    } else {
                        "secrets go into `env`, `headers`, `body`, `statements`, `password` and `secret`"
                    };
                    fault.at(mark, why).help(help.to_owned())
                } else {
                    self.used.secrets.insert(secret.to_owned());
                    return true;
                }
            }
            _ => {
                let fault = Diagnostic::new(format!("templates do not know `{name}`"));
                fault.at(mark, "expected `vars.NAME` or `secrets.NAME`").help(None)
            }
        };
        self.faults.push(fault);
        false
    }
}

/// Why a secret is refused at a place, if it is.
fn refused(path: &[&str]) -> Option<&'static str> {
    const SHOWN: &str = "this is shown and recorded";
    // Targets and probes are named freely, so the name says nothing about what stands under it.
    let (["phases", inside @ ..] | ["targets" | "probes", _, inside @ ..] | ["profiles", _, "targets", _, inside @ ..]) =
        path
    else {
        return Some(SHOWN);
    };
    if inside.contains(&"run") {
        return Some("everybody on the machine can read the arguments of a command");
    }
    (!inside.iter().any(|key| SECRET_KEYS.contains(key))).then_some(SHOWN)
}

/// Turns filled-in templates into numbers where numbers are wanted.
fn settle(node: &mut Node, rule: &Rule) {
    match (&mut node.kind, rule) {
        (Kind::Text(text), Rule::Int(..) | Rule::Number | Rule::Bool) if node.rendered => {
            let text = text.trim();
            let value = match rule {
                Rule::Bool => text.parse().ok().map(Kind::Bool),
                Rule::Int(..) => text.parse().ok().map(Kind::Int),
                _ => text.parse().ok().map(Kind::Int).or_else(|| text.parse().ok().map(Kind::Float)),
            };
            if let Some(value) = value {
                node.kind = value;
            }
        }
        (Kind::List(items), Rule::List(of, _)) => items.iter_mut().for_each(|item| settle(item, of)),
        (Kind::Map(entries), Rule::Names(of)) => entries.iter_mut().for_each(|(_, value)| settle(value, of)),
        (Kind::Map(entries), Rule::Record(record)) => {
            for (key, value) in entries {
                if let Some(rule) = record.properties.get(&*key.name) {
                    settle(value, rule);
                }
            }
        }
        (Kind::Map(entries), Rule::OneKey(variants)) => {
            for (key, value) in entries {
                if let Some(rule) = variants.get(&*key.name) {
                    settle(value, rule);
                }
            }
        }
        (Kind::Map(_), Rule::Tagged { tag, variants }) => {
            let word = node.get(tag).and_then(Node::text).and_then(|word| variants.get(word));
            if let Some(rule) = word {
                settle(node, rule);
            }
        }
        (Kind::Map(_), Rule::Either(rules)) => {
            if let Some(rule) = rules.iter().find(|rule| matches!(&***rule, Rule::Record(_))) {
                settle(node, rule);
            }
        }
        _ => {}
    }
}
