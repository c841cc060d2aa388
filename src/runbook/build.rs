//! From the model to the plan: everything that types cannot say is checked here, with places.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, Write};
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::core::action::{Action, Kept, Wait};
use crate::core::expr::{Asker, Condition, ExprError};
use crate::core::ids::{ProbeId, SecretId, StepId, TargetId};
use crate::core::nearest::suggestion;
use crate::core::plan::{Check, ConditionId, Gate, Guard, Job, Phase, Plan, Step, Window, Work, WriteEdge};
use crate::core::target::Target;
use crate::core::time::Span;
use crate::core::value::Shape;

use super::baselines::NamedFiles;
use super::diagnostic::{Diagnostic, Mark};
use super::facts::is_step_id;
use super::model::{self, Override, Runbook, Shorthand, Undo};
use super::names;
use super::needs;
use super::tree::Node;

/// Makes the plan, or reports every fault.
pub(super) fn plan(
    runbook: &Runbook,
    root: &Node,
    source: &str,
    profile: Option<&str>,
    files: NamedFiles<'_>,
) -> Result<Plan, Vec<Diagnostic>> {
    let shapes = runbook.probes.iter().map(|(name, probe)| (name.as_str().into(), probe.kind.shape())).collect();
    let mut builder = Builder::new(runbook, source, shapes);
    names::check(runbook, root, &builder.shapes, &mut builder.faults);
    let baselines = super::baselines::read(runbook, root, files, &mut builder.faults);
    let (phases, steps) = builder.phases(root);
    let mut faults = builder.faults;
    let steps = needs::link(steps, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let index = steps.iter().enumerate().map(|(at, step)| (step.id.clone(), at)).collect();
    let mut needing: BTreeMap<StepId, Vec<StepId>> = BTreeMap::new();
    for step in &steps {
        for need in &step.needs {
            needing.entry(need.clone()).or_default().push(step.id.clone());
        }
    }
    let mut readers: BTreeMap<ProbeId, Vec<ConditionId>> = BTreeMap::new();
    for (at, condition) in builder.conditions.iter().enumerate() {
        for probe in condition.probes() {
            readers.entry(probe.clone()).or_default().push(ConditionId(at));
        }
    }
    let counts = |(at, condition): (usize, &Condition)| condition.counts().then_some(ConditionId(at));
    let counting = builder.conditions.iter().enumerate().filter_map(counts).collect();
    Ok(Plan {
        title: runbook.title.clone(),
        owner: runbook.owner.clone(),
        profile: profile.map(str::to_owned),
        window: runbook.window.map(|window| Window { opens: window.opens.0, closes: window.closes.0 }),
        write_pause_budget: runbook.write_pause_budget,
        customers: runbook.customers.as_deref().map(ProbeId::from),
        comms: runbook.comms.clone(),
        roles: runbook.roles.clone(),
        rehearsals: runbook.rehearsals.clone(),
        targets: builder.targets,
        secrets: runbook.secrets.iter().map(|(name, of)| (SecretId::from(name.as_str()), of.clone())).collect(),
        probes: runbook.probes.iter().map(|(name, of)| (ProbeId::from(name.as_str()), of.clone())).collect(),
        digest: digest(runbook, &baselines),
        baselines,
        phases,
        steps,
        conditions: builder.conditions,
        index,
        needing,
        readers,
        counting,
    })
}

/// SHA-256 over a resolved runbook, or what counts of it, as JSON with its keys in a fixed order. How it was written
/// (comments, order of names, templates, which profile gave a value) does not matter; secrets are in it as names.
/// Baselines count as they are: another one makes another plan.
pub(super) fn digest(resolved: &impl Serialize, baselines: &BTreeMap<ProbeId, Arc<str>>) -> String {
    let mut hashing = BufWriter::new(Hashing(Sha256::new()));
    // Every runbook can be written as JSON, and hashing cannot fail.
    let _ = serde_json::to_writer(&mut hashing, resolved);
    if !baselines.is_empty() {
        let _ = serde_json::to_writer(&mut hashing, baselines);
    }
    hashing.into_inner().map(|hashing| hex(&hashing.0.finalize())).unwrap_or_default()
}

/// Hashes what is written.
struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// Completes a work with the digest of its preview.
fn work(targets: &Targets, jobs: Vec<Job>, deadline: Option<Span>, section: bool) -> Work {
    let mut work = Work::new(jobs, deadline, section, targets);
    work.digest = hex(&Sha256::digest(work.preview.join("\n")));
    work
}

/// A step before its needs are linked: the plan's step, and the places for faults in its needs.
pub(super) struct Draft {
    pub step: Step,
    /// Where its id stands.
    pub id: Mark,
    /// Needs as written with their places; `None` for the step before.
    pub needs: Option<Vec<(String, Mark)>>,
}

type Targets = BTreeMap<TargetId, Target>;

struct Builder<'r> {
    runbook: &'r Runbook,
    source: &'r str,
    targets: Targets,
    shapes: BTreeMap<ProbeId, Shape>,
    conditions: Vec<Condition>,
    known: HashMap<String, Result<ConditionId, Vec<ExprError>>>,
    /// The step for which conditions are being compiled.
    asker: Asker,
    faults: Vec<Diagnostic>,
}

/// Whether an action does not end by itself, so that no section can go on after it.
fn waits_for_people_or_time(action: &Action) -> bool {
    matches!(action.kept(), Some(Kept::Manual(_) | Kept::Soak(_)))
}

impl<'r> Builder<'r> {
    fn new(runbook: &'r Runbook, source: &'r str, shapes: BTreeMap<ProbeId, Shape>) -> Self {
        let targets = runbook.targets.iter().map(|(name, of)| (TargetId::from(name.as_str()), of.clone())).collect();
        let asker = Asker { step: StepId::from(""), undo: false };
        let (conditions, known, faults) = (Vec::new(), HashMap::new(), Vec::new());
        Self { runbook, source, targets, shapes, conditions, known, asker, faults }
    }

    fn fault(&mut self, message: impl AsRef<str>, mark: Mark, label: impl AsRef<str>) {
        self.faults.push(Diagnostic::new(message).at(mark, label));
    }

    fn phases(&mut self, root: &Node) -> (Vec<Phase>, Vec<Draft>) {
        let mut phases = Vec::new();
        let steps = self.runbook.phases.iter().map(|phase| phase.steps.len()).sum();
        let mut drafts: Vec<Draft> = Vec::with_capacity(steps);
        let nodes = root.get("phases").map_or(&[][..], Node::items);
        for (phase, node) in self.runbook.phases.iter().zip(nodes) {
            let first = drafts.len();
            for (step, node) in phase.steps.iter().zip(node.path(&["steps"]).items()) {
                let draft = self.step(step, node, drafts.len() + 1);
                drafts.push(draft);
            }
            phases.push(Phase { title: phase.title.clone(), steps: first..drafts.len() });
        }
        (phases, drafts)
    }

    fn step(&mut self, step: &model::Step, node: &Node, number: usize) -> Draft {
        let id = node.path(&["id"]).mark;
        if !is_step_id(&step.id) {
            let message = format!("`{}` cannot be a step's id", step.id);
            self.fault(message, id, "expected small letters, digits and `-`, at most 64, not beginning with `-`");
        }
        self.asker = Asker { step: StepId::from(step.id.as_str()), undo: false };
        let work = self.work(step, node);
        let (gates, verify, guards) = (self.gates(step, node), self.checks(step, node), self.guards(step, node));
        if let Some(Kept::Soak(_)) = step.action.as_ref().and_then(Action::kept)
            && guards.is_empty()
        {
            self.fault("a soak without guards watches nothing", node.key("action"), "expected `guards` in this step");
        }
        if let (Some(expect), Some(max)) = (step.expect, step.max)
            && max < expect
        {
            self.fault(
                "`max` is shorter than `expect`",
                node.path(&["max"]).mark,
                format!("expected at least {expect}"),
            );
        }
        self.asker.undo = true;
        let undo = self.undo(step, node, &work);
        if undo.is_some() && step.undo.is_some() && step.reversibility == crate::core::plan::Reversibility::None {
            let label = "expected `free`, `lossless` or `lossy`";
            self.fault("a step with an undo cannot be irreversible", node.path(&["reversibility"]).mark, label);
        }
        // A missing reversibility is taken for forgotten: without it the step would be missing on the way back.
        let changes = work.jobs.iter().any(|job| job.action.leaves_the_program());
        if changes && undo.is_none() && node.get("reversibility").is_none() {
            let fault = Diagnostic::new(format!(
                "`{}` changes something outside and does not say how it is taken back",
                step.id
            ));
            let help = "add `undo:`, or say what it costs: `reversibility: free` if it leaves nothing behind, `lossless` or \
                        `lossy` if it is taken back by hand, `none` if it cannot be";
            self.faults.push(fault.at(id, "no `undo` and no `reversibility`").help(Some(help.to_owned())));
        }
        let members = work.jobs.iter().chain(undo.iter().flat_map(|undo| &undo.jobs));
        if step.writes.is_some() && members.clone().any(|job| job.writes.is_some()) {
            let label = "expected it here or on the jobs";
            self.fault("`writes` stands on the step and on a job of it", node.key("writes"), label);
        }
        let needs = step.needs.as_ref().map(|needs| {
            needs.iter().cloned().zip(node.path(&["needs"]).items().iter().map(|item| item.mark)).collect()
        });
        let step = Step {
            id: StepId::from(step.id.as_str()),
            number,
            title: step.title.clone(),
            owner: step.owner.clone(),
            instructions: step.instructions.clone(),
            needs: Vec::new(),
            gates,
            confirm: step.confirm,
            work,
            verify,
            guards,
            undo,
            reversibility: step.reversibility,
            undo_until: step.undo_until.clone(),
            expect: step.expect,
            max: step.max,
            writes: step.writes,
        };
        Draft { step, id, needs }
    }

    fn work(&mut self, step: &model::Step, node: &Node) -> Work {
        match (&step.action, &step.section) {
            (Some(action), None) => {
                let job = self.job(&step.title, action, node.path(&["action"]));
                work(&self.targets, vec![job], None, false)
            }
            (None, Some(section)) => {
                if section.deadline == Span::ZERO {
                    self.fault(
                        "the deadline leaves no time",
                        node.path(&["section", "deadline"]).mark,
                        "expected more than 0s",
                    );
                }
                let nodes = node.path(&["section", "steps"]).items();
                let jobs = section.steps.iter().zip(nodes).map(|(member, node)| self.member(member, node)).collect();
                work(&self.targets, jobs, Some(section.deadline), true)
            }
            (Some(_), Some(_)) => {
                let fault = Diagnostic::new(format!("the step `{}` has both `action` and `section`", step.id));
                let fault = fault.at(node.key("section"), "expected only one of them");
                self.faults.push(fault.also(node.key("action"), "the other"));
                work(&self.targets, Vec::new(), None, false)
            }
            (None, None) => {
                let message = format!("the step `{}` does nothing", step.id);
                self.fault(message, node.path(&["id"]).mark, "expected an `action` or a `section` in this step");
                work(&self.targets, Vec::new(), None, false)
            }
        }
    }

    fn member(&mut self, member: &model::Member, node: &Node) -> Job {
        for (key, action) in [("action", Some(&member.action)), ("undo", member.undo.as_ref())] {
            if let Some(action) = action
                && waits_for_people_or_time(action)
            {
                let message = format!("a section cannot wait for people or time: `{}`", action.kind());
                self.fault(message, node.key(key), "expected an action that ends by itself");
            }
        }
        let job = self.job(&member.title, &member.action, node.path(&["action"]));
        let undo_until = member.undo.as_ref().map(|undo| self.action(undo, node.path(&["undo"]))).unwrap_or_default();
        Job { undo: member.undo.clone(), undo_until, writes: member.writes, ..job }
    }

    fn job(&mut self, title: &str, action: &Action, node: &Node) -> Job {
        let until = self.action(action, node);
        Job { title: title.to_owned(), action: action.clone(), until, undo: None, undo_until: Vec::new(), writes: None }
    }

    fn undo(&mut self, step: &model::Step, node: &Node, forward: &Work) -> Option<Work> {
        match &step.undo {
            Some(Undo::Action(action)) => {
                if matches!(action.kept(), Some(Kept::Soak(_))) {
                    self.fault(
                        "an undo cannot be a soak",
                        node.key("undo"),
                        "expected an action that takes the step back",
                    );
                }
                let job = self.job(&format!("undo: {}", step.title), action, node.path(&["undo"]));
                Some(work(&self.targets, vec![job], None, false))
            }
            Some(Undo::Section(undo)) => {
                let nodes = node.path(&["undo", "section", "steps"]).items();
                let mut jobs = Vec::new();
                for (member, node) in undo.section.steps.iter().zip(nodes) {
                    if waits_for_people_or_time(&member.action) {
                        let message = format!("a section cannot wait for people or time: `{}`", member.action.kind());
                        self.fault(message, node.key("action"), "expected an action that ends by itself");
                    }
                    let job = self.job(&member.title, &member.action, node.path(&["action"]));
                    jobs.push(Job { writes: member.writes, ..job });
                }
                if undo.section.deadline.is_some() {
                    let message = "an undo has no deadline: nothing would take back an undo that was done in part";
                    let label = "leave it out; give each action its own `limit` or `within`";
                    self.fault(message, node.path(&["undo", "section"]).key("deadline"), label);
                }
                Some(work(&self.targets, jobs, None, true))
            }
            None if forward.section => {
                let mut back = reversed(&self.targets, forward)?;
                for id in back.jobs.iter_mut().flat_map(|job| &mut job.until) {
                    *id = self.condition_of_undo(*id, node);
                }
                Some(back)
            }
            None => None,
        }
    }

    /// Compiles a condition of a member's undo again, for the undo of the whole step.
    fn condition_of_undo(&mut self, id: ConditionId, node: &Node) -> ConditionId {
        let counting = self.conditions.get(id.0).filter(|condition| condition.counts());
        let Some(text) = counting.map(|condition| condition.source().to_owned()) else { return id };
        self.condition(&text, node).unwrap_or(id)
    }

    /// Checks an action and compiles the conditions it waits for.
    fn action(&mut self, action: &Action, node: &Node) -> Vec<ConditionId> {
        let inner = node.path(&[action.kind()]);
        names::action(self.runbook, action, inner, &mut self.faults);
        match action.kept() {
            Some(Kept::Wait(Wait::Until(until))) => {
                let nodes = inner.path(&["until", "conditions"]).items();
                until.conditions.iter().zip(nodes).filter_map(|(text, node)| self.condition(text, node)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn gates(&mut self, step: &model::Step, node: &Node) -> Vec<Gate> {
        let nodes = node.path(&["gates"]).items();
        let mut gates = Vec::new();
        for (gate, node) in step.gates.iter().zip(nodes) {
            let (name, that, hold, overriding) = match gate {
                Shorthand::That(that) => (None, that, Span::ZERO, Override::Allowed),
                Shorthand::Full(gate) => (gate.name.as_ref(), &gate.that, gate.hold, gate.overriding),
            };
            let Some(condition) = self.condition(that, expression(node)) else { continue };
            if self.conditions.get(condition.0).is_some_and(Condition::counts) {
                let fault = Diagnostic::new("a gate cannot ask how much a number grew: its step has not begun");
                let fault = fault.at(expression(node).mark, "expected no `increase` here");
                self.faults.push(fault.help(Some("ask it in `guards` or `verify`".to_owned())));
            }
            let overridable = overriding == Override::Allowed;
            gates.push(Gate { name: name.unwrap_or(that).clone(), condition, hold, overridable });
        }
        gates
    }

    fn checks(&mut self, step: &model::Step, node: &Node) -> Vec<Check> {
        let nodes = node.path(&["verify"]).items();
        let mut checks = Vec::new();
        for (check, node) in step.verify.iter().zip(nodes) {
            let (name, that, hold, within) = match check {
                Shorthand::That(that) => (None, that, Span::ZERO, model::one_minute()),
                Shorthand::Full(check) => (check.name.as_ref(), &check.that, check.hold, check.within),
            };
            if within < hold || within == Span::ZERO {
                let mark = node.get("within").or_else(|| node.get("hold")).unwrap_or(node).mark;
                let label = format!("expected `within` to be more than `hold`: {within} against {hold}");
                self.fault("this can never be met", mark, label);
            }
            let Some(condition) = self.condition(that, expression(node)) else { continue };
            checks.push(Check { name: name.unwrap_or(that).clone(), condition, hold, within });
        }
        checks
    }

    fn guards(&mut self, step: &model::Step, node: &Node) -> Vec<Guard> {
        let nodes = node.path(&["guards"]).items();
        let mut guards = Vec::new();
        for (guard, node) in step.guards.iter().zip(nodes) {
            let (name, that, tolerate) = match guard {
                Shorthand::That(that) => (None, that, Span::ZERO),
                Shorthand::Full(guard) => (guard.name.as_ref(), &guard.that, guard.tolerate),
            };
            let Some(condition) = self.condition(that, expression(node)) else { continue };
            guards.push(Guard { name: name.unwrap_or(that).clone(), condition, tolerate });
        }
        guards
    }

    /// Compiles an expression once; its faults are reported wherever it stands.
    fn condition(&mut self, text: &str, node: &Node) -> Option<ConditionId> {
        // Growth is counted from the beginning of the step that asks, so each step needs a condition of its own.
        let counts = text.contains("increase");
        let key = if counts { format!("{text} {} {}", self.asker.step, self.asker.undo) } else { text.to_owned() };
        let known = if let Some(known) = self.known.get(&key) {
            known
        } else {
            let compiled = Condition::compile(text, &self.shapes).map(|condition| {
                let condition = if condition.counts() { condition.asked_by(self.asker.clone()) } else { condition };
                self.conditions.push(condition);
                ConditionId(self.conditions.len() - 1)
            });
            self.known.entry(key).or_insert(compiled)
        };
        match known {
            Ok(id) => {
                let id = *id;
                if self.conditions.get(id.0).is_some_and(|condition| condition.probes().is_empty()) {
                    let fault = Diagnostic::new("this condition never changes");
                    self.faults.push(
                        fault
                            .at(node.mark, "expected a probe in it")
                            .help(suggestion("", self.shapes.keys().map(ProbeId::as_str))),
                    );
                }
                Some(id)
            }
            Err(errors) => {
                for error in errors {
                    let mark = node.within(self.source, error.offset, error.len);
                    let fault = Diagnostic::new(&error.message).at(mark, "in this expression");
                    self.faults.push(fault.help(error.hint.clone()));
                }
                None
            }
        }
    }
}

/// The node with the expression: the item itself when it is the shorthand.
fn expression<'n, 's>(node: &'n Node<'s>) -> &'n Node<'s> {
    node.get("that").unwrap_or(node)
}

/// The undo of a section: its members' undos in reverse order. `None` when a change made outside would remain.
fn reversed(targets: &Targets, forward: &Work) -> Option<Work> {
    let stays = |job: &&Job| job.undo.is_none() && job.action.leaves_the_program();
    if forward.jobs.iter().any(|job| stays(&job)) {
        return None;
    }
    let jobs: Vec<Job> = forward
        .jobs
        .iter()
        .rev()
        .filter_map(|job| {
            let action = job.undo.clone()?;
            let title = format!("undo: {}", job.title);
            let (until, writes) = (job.undo_until.clone(), job.writes.map(WriteEdge::reversed));
            Some(Job { title, action, until, undo: None, undo_until: Vec::new(), writes })
        })
        .collect();
    (!jobs.is_empty()).then(|| work(targets, jobs, None, true))
}
