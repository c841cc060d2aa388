//! Warnings: what a runbook is allowed to say but probably should not.

use std::collections::BTreeSet;

use crate::core::action::{Action, Kept, Wait};
use crate::core::customers::followed;
use crate::core::expr::Foregone;
use crate::core::ids::ProbeId;
use crate::core::kind::dns::delegation::OF_DELEGATION;
use crate::core::kind::dns::{OF_RESOLVERS, SAMPLED, WITHOUT_SHARE};
use crate::core::nearest::suggestion;
use crate::core::origin;
use crate::core::plan::{Confirm, Plan, Reversibility};
use crate::core::record::{DnsChange, RecordChanges, RecordType, WatchedRecord};
use crate::core::silent_alarms::never_ended;
use crate::core::simulate::Change;
use crate::core::target::{Target, serving};
use crate::core::time::Span;

use super::conceal;
use super::diagnostic::{Diagnostic, Mark};
use super::model::{Runbook, Shorthand, Step, Undo};
use super::names::complain;
use super::template::Used;
use super::tree::Node;
use super::unrehearsed::{AskedCondition, conditions};

/// Warnings after which no further steps are checked, since nobody reads more.
const ENOUGH: usize = 1_000;

/// Everything worth a second look.
pub(super) fn warnings(runbook: &Runbook, plan: &Plan, root: &Node, used: &Used) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    unused(runbook, plan, root, used, &mut found);
    clear_text(root, &mut found);
    long_limits(runbook, root, &mut found);
    super::name_servers::warnings(runbook, root, &mut found);
    super::baselines::warnings(runbook, plan, root, &mut found);
    for (name, probe) in &runbook.probes {
        complain(probe.kind.warnings(probe.every), root.path(&["probes", name]), &mut found);
    }
    let nodes = root.path(&["phases"]).items();
    for (phase, node) in runbook.phases.iter().zip(nodes) {
        for (step, node) in phase.steps.iter().zip(node.path(&["steps"]).items()) {
            if found.len() >= ENOUGH {
                break;
            }
            self::step(step, node, &mut found);
            owner(runbook, step.owner.as_deref(), node, &mut found);
        }
    }
    sampled_waits(runbook, plan, root, &mut found);
    let asked = conditions(plan, root);
    found.extend(super::unrehearsed::warnings(plan, &asked));
    super::verdicts::warnings(plan, &asked, &mut found);
    foregone(&asked, &mut found);
    never_known(plan, &asked, &mut found);
    aaaa_left_behind(plan, root, &mut found);
    thin_percentiles(plan, &asked, &mut found);
    short_holds(plan, root.path(&["phases"]), &mut found);
    customers(plan, root, &mut found);
    silences(runbook, plan, root, &mut found);
    found.sort_by_key(|warning| warning.at.as_ref().map(|(mark, _)| *mark));
    found
}

/// Waits and checks without a hold for what servers say: several machines may stand behind one address, and each answer is
/// of one of them.
fn sampled_waits(runbook: &Runbook, plan: &Plan, root: &Node, found: &mut Vec<Diagnostic>) {
    let sampled = |text: &str| {
        let condition = plan.conditions.iter().find(|condition| condition.source() == text)?;
        condition.fields().into_iter().find_map(|(probe, field)| {
            plan.probes.get(&probe)?.kind.record()?;
            let is_sampled = |field: &&str| OF_RESOLVERS.contains(field) || SAMPLED.contains(field);
            let field = field.filter(|field| is_sampled(&field.as_str()))?;
            Some(format!("{probe}.{field}"))
        })
    };
    let steps = runbook.phases.iter().zip(root.path(&["phases"]).items());
    let steps = steps.flat_map(|(phase, node)| phase.steps.iter().zip(node.path(&["steps"]).items()));
    let help = "add `hold: 10s` beside `within`: several machines may stand behind one address";
    for (step, node) in steps {
        let forward = actions(step, node).into_iter().map(|(action, _, node)| (action, node));
        for (action, node) in forward.chain(undos(step, node)) {
            let Some(Kept::Wait(Wait::Until(until))) = action.kept() else { continue };
            let places = node.path(&["wait", "until", "conditions"]).items();
            let first = until.conditions.iter().zip(places).find_map(|(text, place)| Some((sampled(text)?, place)));
            if let Some((reading, place)) = first.filter(|_| until.hold.is_zero()) {
                let warning = Diagnostic::new(format!("`{}` stops waiting at the first lucky answer", step.id));
                let label = format!("`{reading}` comes from samples, and there is no hold");
                found.push(warning.at(place.mark, label).help(Some(help.to_owned())));
            }
        }
        let checks = step.verify.iter().zip(node.path(&["verify"]).items());
        let first = checks.into_iter().find_map(|(check, place)| {
            let (text, hold) = match check {
                Shorthand::That(text) => (text, Span::ZERO),
                Shorthand::Full(check) => (&check.that, check.hold),
            };
            Some((sampled(text)?, place.get("that").unwrap_or(place))).filter(|_| hold.is_zero())
        });
        if let Some((reading, place)) = first {
            let warning = Diagnostic::new(format!("`{}` is verified by the first lucky answer", step.id));
            let label = format!("`{reading}` comes from samples, and there is no hold");
            found.push(warning.at(place.mark, label).help(Some(help.to_owned())));
        }
    }
}

/// Warns of conditions on what a `dns` target gives no means to find out: they are never GO.
fn never_known(plan: &Plan, asked: &[AskedCondition], found: &mut Vec<Diagnostic>) {
    let of_resolvers = |field: &str| OF_RESOLVERS.contains(&field) || field == "resolvers";
    let lacks = |id: &ProbeId, field: &str| {
        let record = plan.probes.get(id)?.kind.record()?;
        let Some(Target::Dns(dns)) = plan.targets.get(record.target) else { return None };
        if of_resolvers(field) && dns.resolvers.is_empty() {
            return Some(("no resolver says what", "its target lists no resolvers", "add `resolvers` to the target"));
        }
        if WITHOUT_SHARE.contains(&field) && record.new.share().is_some() {
            let label = "a resolver keeps one answer for its whole TTL, which shows no share";
            return Some(("no resolver says what", label, "judge the share by `authoritative_new`"));
        }
        (OF_DELEGATION.contains(&field) && dns.lookup.is_none()).then_some((
            "nobody looks up what",
            "its target has no `lookup`",
            "add `lookup: system`, or the address of a resolver, to the target",
        ))
    };
    for (node, condition) in asked {
        let asked = condition.fields().into_iter().find_map(|(probe, field)| {
            let field = field?;
            Some((lacks(&probe, &field)?, probe, field))
        });
        if let Some(((message, label, help), probe, field)) = asked {
            let warning = Diagnostic::new(format!("{message} `{probe}.{field}` is"));
            let label = format!("{label}, so this is never GO");
            found.push(warning.at(node.mark, label).help(Some(help.to_owned())));
        }
    }
}

/// Warns of A records that move while nobody looks at the AAAA records of the name, or while these are not moved.
fn aaaa_left_behind(plan: &Plan, root: &Node, found: &mut Vec<Diagnostic>) {
    let watched = || plan.probes.iter().filter_map(|(id, probe)| Some((id, probe.kind.record()?)));
    let points = |id: &ProbeId| {
        origin::changes(plan).any(|change| matches!(change, Change::Point(point) if point.record == *id))
    };
    let is_changed = |record: &WatchedRecord<'_>, of: RecordType| {
        // A change of nothing but the TTL moves nobody.
        let is_it =
            |change: &DnsChange| change.record_type == of && record.is_named(&change.name) && change.from != change.to;
        let updates = origin::actions(plan).filter_map(Action::records);
        let here = |records: &RecordChanges<'_>| serving(records.target, &plan.targets).contains(&record.target);
        updates.filter(here).any(|records| records.changes.iter().any(is_it))
    };
    let asks = |id: &ProbeId| {
        let is_asked = |(probe, field): (ProbeId, Option<String>)| {
            probe == *id && field.is_some_and(|field| matches!(field.as_str(), "aaaa_left_behind" | "authoritative"))
        };
        plan.conditions.iter().any(|condition| condition.fields().into_iter().any(is_asked))
    };
    for (id, record) in watched().filter(|(_, record)| record.record_type == RecordType::A) {
        let node = root.path(&["probes", id.as_str()]);
        let updated = is_changed(&record, RecordType::A);
        match record.aaaa {
            Some((old, new)) if updated && old != new && !is_changed(&record, RecordType::Aaaa) && !points(id) => {
                let message =
                    format!("AAAA of `{}` is left behind: actions change A, and none changes AAAA", record.name);
                let warning = Diagnostic::new(message).at(node.key("aaaa"), "the values to be after the change");
                let help = "add the AAAA record to the `changes` of the `dns.update`";
                found.push(warning.help(Some(help.to_owned())));
            }
            None if updated || points(id) => {
                let same = |(other, beside): (&ProbeId, WatchedRecord<'_>)| {
                    let is_it = beside.is_same_as(&record) && (beside.aaaa.is_some() || asks(other));
                    is_it || beside.record_type == RecordType::Aaaa && record.is_named(beside.name)
                };
                if !watched().any(same) {
                    let message = format!("nobody asks whether AAAA of `{}` is left behind", record.name);
                    let warning =
                        Diagnostic::new(message).at(node.path(&["name"]).mark, "customers with IPv6 follow AAAA");
                    let help =
                        format!("ask for `!{id}.aaaa_left_behind`, or say under `aaaa` what it is before and after");
                    found.push(warning.help(Some(help)));
                }
            }
            Some(_) | None => {}
        }
    }
}

/// Conditions on figures that are made of too few measurements.
fn thin_percentiles(plan: &Plan, asked: &[AskedCondition], found: &mut Vec<Diagnostic>) {
    for (node, condition) in asked {
        let warned = condition
            .paths()
            .into_iter()
            .find_map(|(probe, path)| plan.probes.get(&probe)?.kind.path_warning(&path, &plan.targets));
        if let Some((message, help)) = warned {
            found.push(Diagnostic::new(message).at(node.mark, "this condition asks for it").help(Some(help)));
        }
    }
}

/// Comparisons that do not tell what they are to tell, as with a number in another unit or a word with a slip of the pen.
fn foregone(asked: &[AskedCondition], found: &mut Vec<Diagnostic>) {
    for (node, condition) in asked {
        if let Some(Foregone { term, what, why }) = condition.foregone().into_iter().next() {
            let message = format!("`{term}` {what}");
            let help = "ask for what tells the one case from the other".to_owned();
            found.push(Diagnostic::new(message).at(node.mark, why).help(Some(help)));
        }
    }
}

/// Holds that end before the probe they rest on measures again: they last until it does.
fn short_holds(plan: &Plan, node: &Node, found: &mut Vec<Diagnostic>) {
    let held = |hold: &Node, condition: &Node| {
        let text = condition.text()?;
        let span: Span = hold.text()?.parse().ok().filter(|span: &Span| !span.is_zero())?;
        let condition = plan.conditions.iter().find(|condition| condition.source() == text)?;
        let probes = condition.probes().iter().filter_map(|id| Some((id, plan.probes.get(id)?.renewed_every())));
        let (probe, every) = probes.max_by_key(|(_, every)| *every).filter(|(_, every)| *every > span)?;
        let message =
            format!("`hold: {span}` lasts until the second reading of `{probe}`, which is measured every {every}");
        let help = format!("say a `hold` longer than {every}, or a shorter `every` in the probe");
        Some(Diagnostic::new(message).at(hold.mark, "shorter than one interval").help(Some(help)))
    };
    if let Some(hold) = node.get("hold") {
        let mut conditions =
            node.get("that").into_iter().chain(node.get("conditions").map(Node::items).unwrap_or_default());
        found.extend(conditions.find_map(|condition| held(hold, condition)));
    }
    node.entries().iter().map(|(_, value)| value).chain(node.items()).for_each(|node| short_holds(plan, node, found));
}

fn step(step: &Step, node: &Node, found: &mut Vec<Diagnostic>) {
    let id = &step.id;
    let mark = node.path(&["id"]).mark;
    let mut warn = |message: String, mark: Mark, label: &str, help: &str| {
        let help = Some(help.to_owned()).filter(|help| !help.is_empty());
        found.push(Diagnostic::new(message).at(mark, label).help(help));
    };
    if step.reversibility == Reversibility::None && step.confirm == Confirm::Go && changes(step) {
        let help = "add `confirm: id` so that its name must be typed";
        warn(format!("`{id}` cannot be taken back, but takes no more than `go`"), mark, "no typed confirmation", help);
    }
    for (gate, node) in step.gates.iter().zip(node.path(&["gates"]).items()) {
        let lasting = matches!(gate, Shorthand::Full(gate) if gate.hold.millis() > 0);
        if !lasting {
            let help = "add `hold: 5s`, so that a single good reading does not open it";
            warn(
                format!("a gate of `{id}` opens on a single reading"),
                node.get("that").unwrap_or(node).mark,
                "no hold",
                help,
            );
        }
    }
    for (action, undo, node) in actions(step, node) {
        if let Some(lasts) = action.leaves_in_force().filter(|_| !undo) {
            warn(
                format!("the way back of `{id}` forgets that {lasts}"),
                node.mark,
                "no undo",
                "add `undo:`, which ends it",
            );
        }
    }
    // For these actions the result itself shows success: people, time, an exit status, an HTTP status, an expected
    // result.
    let tells = step.action.as_ref().is_some_and(Action::tells_by_itself);
    if step.verify.is_empty() && !tells {
        warn(format!("nothing shows whether `{id}` worked"), mark, "no verify", "add `verify:`");
    }
    if step.expect.is_none() {
        warn(format!("it is unknown how long `{id}` takes"), mark, "no expect", "add `expect:`, the forecast needs it");
    }
}

/// The actions of a step with their places, and whether each has an undo.
fn actions<'a, 'n>(step: &'a Step, node: &'n Node<'n>) -> Vec<(&'a Action, bool, &'n Node<'n>)> {
    let own = step.undo.is_some();
    let alone = step.action.iter().map(|action| (action, own, node.path(&["action"])));
    let members = step.section.iter().flat_map(|section| &section.steps);
    let members = members.zip(node.path(&["section", "steps"]).items());
    let members =
        members.map(|(member, place)| (&member.action, own || member.undo.is_some(), place.path(&["action"])));
    alone.chain(members).collect()
}

/// The actions that take a step back, with their places.
fn undos<'a, 'n>(step: &'a Step, node: &'n Node<'n>) -> Vec<(&'a Action, &'n Node<'n>)> {
    let own: Vec<(&Action, &Node)> = match &step.undo {
        None => Vec::new(),
        Some(Undo::Action(action)) => vec![(action, node.path(&["undo"]))],
        Some(Undo::Section(undo)) => {
            let places = node.path(&["undo", "section", "steps"]).items();
            undo.section
                .steps
                .iter()
                .zip(places)
                .map(|(member, place)| (&member.action, place.path(&["action"])))
                .collect()
        }
    };
    let members = step.section.iter().flat_map(|section| &section.steps);
    let members = members.zip(node.path(&["section", "steps"]).items());
    let members = members.filter_map(|(member, place)| Some((member.undo.as_ref()?, place.path(&["undo"]))));
    own.into_iter().chain(members).collect()
}

/// Warns where nothing says which of several records the customers of a rehearsal follow.
fn customers(plan: &Plan, root: &Node, found: &mut Vec<Diagnostic>) {
    let followed = followed(plan);
    let [(first, taken), others @ ..] = followed.as_slice() else { return };
    let Some((other, another)) = others.first() else { return };
    if taken.is_same_as(another) {
        return;
    }
    let which = if !taken.is_named(another.name) {
        format!("{} or {}", taken.name, another.name)
    } else if taken.record_type != another.record_type {
        let types = [taken.record_type, another.record_type].map(RecordType::as_str);
        format!("the {} or the {} records of {}", types[0], types[1], taken.name)
    } else {
        format!("{} in the zone of `{}` or of `{}`", taken.name, taken.target, another.target)
    };
    let message = format!("it is unclear whether customers follow {which}");
    let label = format!("a rehearsal takes the record of `{first}`");
    let help =
        format!("say `simulate: {{ customers: true }}` on the probe of the one they follow, `{first}` or `{other}`");
    found.push(Diagnostic::new(message).at(root.path(&["probes"]).key(other.as_str()), label).help(Some(help)));
}

/// Alarms that are silenced for ever when all goes well: the run cannot end as complete.
fn silences(runbook: &Runbook, plan: &Plan, root: &Node, found: &mut Vec<Diagnostic>) {
    for (step, alarm) in never_ended(plan) {
        let steps = runbook.phases.iter().zip(root.path(&["phases"]).items());
        let mut steps = steps.flat_map(|(phase, node)| phase.steps.iter().zip(node.path(&["steps"]).items()));
        let Some((_, node)) = steps.find(|(of, _)| of.id == step.as_str()) else { continue };
        let message = format!("no step ends the silence of the alarm `{alarm}`, so the run cannot end as complete");
        let help = "add a step at the end with `action: { cloudwatch.silence: { …, end: true } }`".to_owned();
        found.push(Diagnostic::new(message).at(node.path(&["id"]).mark, "it silences it").help(Some(help)));
    }
}

/// Whether the step does anything outside that could be taken back.
fn changes(step: &Step) -> bool {
    step.section.is_some() || step.action.as_ref().is_some_and(Action::leaves_the_program)
}

fn owner(runbook: &Runbook, owner: Option<&str>, node: &Node, found: &mut Vec<Diagnostic>) {
    let Some(owner) = owner else { return };
    if runbook.roles.is_empty() || runbook.roles.contains_key(owner) || runbook.roles.values().any(|who| who == owner) {
        return;
    }
    let warning = Diagnostic::new(format!("`{owner}` is not in `roles`"));
    let help = suggestion(owner, runbook.roles.keys().map(String::as_str));
    found.push(warning.at(node.path(&["owner"]).mark, "neither a role nor a person in one").help(help));
}

fn unused(runbook: &Runbook, plan: &Plan, root: &Node, used: &Used, found: &mut Vec<Diagnostic>) {
    let mut probes: BTreeSet<&str> =
        plan.conditions.iter().flat_map(|condition| condition.probes().iter().map(ProbeId::as_str)).collect();
    probes.extend(runbook.customers.as_deref());
    let mut targets = BTreeSet::new();
    for probe in runbook.probes.values() {
        targets.extend(probe.kind.targets().into_iter().map(|used| used.id.as_str()));
    }
    for step in &plan.steps {
        for work in std::iter::once(&step.work).chain(&step.undo) {
            for action in work.jobs.iter().flat_map(|job| std::iter::once(&job.action).chain(&job.undo)) {
                targets.extend(action.targets().into_iter().map(|used| used.id.as_str()));
            }
        }
    }
    let sections = [
        ("probes", probes, "it is watched, but nothing asks for it"),
        ("targets", targets, "nothing looks at it or changes it"),
        ("vars", used.vars.iter().map(String::as_str).collect(), "no template uses it"),
        ("secrets", used.secrets.iter().map(String::as_str).collect(), "no template uses it"),
    ];
    for (section, used, label) in sections {
        for (key, _) in root.get(section).map_or(&[][..], Node::entries) {
            if !used.contains(&*key.name) {
                let what = section.trim_end_matches('s');
                found.push(Diagnostic::new(format!("the {what} `{}` is not used", key.name)).at(key.mark, label));
            }
        }
    }
}

/// Warns of a limit that was written out and is longer than a reading stays fresh: gates are UNKNOWN during such a
/// measurement, and its reading may be old and still count.
fn long_limits(runbook: &Runbook, root: &Node, found: &mut Vec<Diagnostic>) {
    for (id, probe) in &runbook.probes {
        let Some(limit) = root.path(&["probes"]).get(id).and_then(|node| node.get("limit")) else { continue };
        let stale_after = probe.stale_after(Span::ZERO);
        // A reading over many measurements does not depend on any single one.
        if probe.limit <= stale_after || probe.kind.window() > 1 {
            continue;
        }
        let message = format!("one measurement of `{id}` may last longer than its readings stay good");
        let label = format!("readings of quick measurements are stale after {stale_after}");
        let help = format!(
            "gates are UNKNOWN while a measurement lasts longer than that, and a reading that took {} may be {} old and still count: shorten `limit`, or measure less often with `every`",
            probe.limit,
            probe.stale_after(probe.limit)
        );
        found.push(Diagnostic::new(message).at(limit.mark, label).help(Some(help)));
    }
}

fn clear_text(root: &Node, found: &mut Vec<Diagnostic>) {
    for (mark, label) in conceal::clear_text(root) {
        let help = "put it under `secrets` and write `{{ secrets.NAME }}`".to_owned();
        let warning = Diagnostic::new("a secret stands here in clear text").at(mark, label).help(help);
        found.push(Diagnostic { conceal: true, ..warning });
    }
}
