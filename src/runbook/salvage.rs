//! Keeps the valid part of a tree that does not fit the language, so that faults of later stages are reported at once,
//! too.
//!
//! Only whole things are left out (a step, a gate, a probe, a target), never parts of them, and references to something
//! left out are not reported: a fault must never be only the consequence of another.

use std::collections::BTreeSet;

use super::diagnostic::{Diagnostic, Mark};
use super::schema::{RecordRule, Rule, rule};
use super::tree::{Kind, Node};
use super::validate::{WHOLE, against};

/// Parts of a step that are left out on their own.
const APART: [&str; 2] = ["gates", "verify"];

/// The valid part of a tree, and the names of what was left out.
pub(super) struct Salvage<'s> {
    pub root: Node<'s>,
    lost: BTreeSet<String>,
}

/// Leaves out what does not fit. `None` when what is left is no runbook.
pub(super) fn salvage<'s>(root: &Node<'s>) -> Option<Salvage<'s>> {
    let Rule::Record(whole) = rule() else { return None };
    let mut found = Salvage { root: root.clone(), lost: BTreeSet::new() };
    let Salvage { root, lost } = &mut found;
    let Kind::Map(entries) = &mut root.kind else { return None };
    entries.retain_mut(|(key, value)| match (&*key.name, property(whole, &key.name)) {
        ("phases", Some(rule)) => phases(value, rule, lost),
        (_, Some(Rule::Names(of))) => {
            if let Kind::Map(entries) = &mut value.kind {
                entries.retain(|(name, value)| fits(value, of) || !lost.insert(name.name.to_string()));
            }
            matches!(value.kind, Kind::Map(_))
        }
        (name, Some(rule)) => fits(value, rule) || !lost.insert(name.to_owned()),
        (_, None) => false,
    });
    against(root, rule(), WHOLE).is_empty().then_some(found)
}

fn phases(node: &mut Node, rule: &Rule, lost: &mut BTreeSet<String>) -> bool {
    let (Kind::List(phases), Rule::List(of, _)) = (&mut node.kind, rule) else { return false };
    let Rule::Record(phase) = &**of else { return false };
    let Some(Rule::List(step, _)) = property(phase, "steps") else { return false };
    for node in phases.iter_mut() {
        if let Some(Kind::List(steps)) = node.get_mut("steps").map(|steps| &mut steps.kind) {
            steps.retain_mut(|node| keep(node, step, lost));
        }
    }
    phases.retain(|node| fits(node, of));
    true
}

fn keep(node: &mut Node, rule: &Rule, lost: &mut BTreeSet<String>) -> bool {
    if let Rule::Record(step) = rule {
        for part in APART {
            let (Some(Rule::List(of, _)), Some(node)) = (property(step, part), node.get_mut(part)) else { continue };
            if let Kind::List(items) = &mut node.kind {
                items.retain(|item| fits(item, of));
            }
        }
    }
    let fits = fits(node, rule);
    if !fits {
        lost.extend(node.get("id").and_then(Node::text).map(str::to_owned));
    }
    fits
}

fn property<'r>(record: &'r RecordRule, key: &str) -> Option<&'r Rule> {
    record.properties.get(key).map(|rule| &**rule)
}

fn fits(node: &Node, rule: &Rule) -> bool {
    !is_faulty(node) && against(node, rule, WHOLE).is_empty()
}

/// Whether something in it was found faulty before its type was looked at.
fn is_faulty(node: &Node) -> bool {
    matches!(node.kind, Kind::Faulty)
        || node.items().iter().any(is_faulty)
        || node.entries().iter().any(|(_, value)| is_faulty(value))
}

impl Salvage<'_> {
    /// Whether a fault has nothing to do with the parts that were left out.
    pub(super) fn stands(&self, fault: &Diagnostic, source: &str) -> bool {
        let place = |at: &Option<(Mark, String)>| {
            at.as_ref().and_then(|(mark, _)| source.get(mark.offset..mark.offset + mark.len)).map(str::to_owned)
        };
        let label = fault.at.as_ref().map(|(_, label)| label.clone());
        let texts = [Some(fault.message.clone()), label, fault.help.clone(), place(&fault.at), place(&fault.also)];
        let is_part = |c: char| !(c.is_alphanumeric() || c == '_' || c == '-');
        fault.at.is_some()
            && !texts.iter().flatten().flat_map(|text| text.split(is_part)).any(|word| self.lost.contains(word))
    }
}
