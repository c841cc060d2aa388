//! From the model to the plan: everything that types cannot say is checked here, with places.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, Write};

use sha2::{Digest, Sha256};

use crate::core::action::{Action, Wait};
use crate::core::expr::{Condition, ExprError};
use crate::core::ids::{ProbeId, SecretId, StepId, TargetId};
use crate::core::nearest::suggestion;
use crate::core::plan::{Check, ConditionId, Gate, Guard, Job, Phase, Plan, Step, Window, Work};
use crate::core::time::Span;
use crate::core::value::Shape;

use super::diagnostic::{Diagnostic, Mark};
use super::facts::is_step_id;
use super::model::{self, Override, Runbook, Shorthand, Undo};
use super::names;
use super::needs;
use super::tree::Node;

/// Makes the plan, or tells every fault.
pub(super) fn plan(
    runbook: &Runbook,
    root: &Node,
    source: &str,
    profile: Option<&str>,
) -> Result<Plan, Vec<Diagnostic>> {
    let shapes = runbook.probes.iter().map(|(name, probe)| (name.as_str().into(), probe.kind.shape())).collect();
    let mut builder =
        Builder { runbook, source, shapes, conditions: Vec::new(), known: HashMap::new(), faults: Vec::new() };
    names::check(runbook, root, &builder.shapes, &mut builder.faults);
    let (phases, steps) = builder.phases(root);
    let mut faults = builder.faults;
    let steps = needs::link(steps, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let index = steps.iter().enumerate().map(|(at, step)| (step.id.clone(), at)).collect();
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
        targets: runbook.targets.iter().map(|(name, of)| (TargetId::from(name.as_str()), of.clone())).collect(),
        secrets: runbook.secrets.iter().map(|(name, of)| (SecretId::from(name.as_str()), of.clone())).collect(),
        probes: runbook.probes.iter().map(|(name, of)| (ProbeId::from(name.as_str()), of.clone())).collect(),
        phases,
        steps,
        conditions: builder.conditions,
        digest: digest(runbook),
        index,
    })
}

/// SHA-256 over the resolved runbook as JSON with its keys in a fixed order. How it was written (comments,
/// order of names, templates, which profile gave a value) does not matter; secrets are in it as names.
fn digest(runbook: &Runbook) -> String {
    let mut hashing = BufWriter::new(Hashing(Sha256::new()));
    // Nothing in a runbook fails to be written as JSON, and hashing does not fail.
    let _ = serde_json::to_writer(&mut hashing, runbook);
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
fn work(jobs: Vec<Job>, deadline: Option<Span>, section: bool) -> Work {
    let mut work = Work { jobs, deadline, section, digest: String::new() };
    work.digest = hex(&Sha256::digest(work.preview().join("\n")));
    work
}

/// A step before its needs are linked: the plan's step with the places needed for that.
pub(super) struct Draft {
    pub step: Step,
    /// Where its id stands.
    pub id: Mark,
    /// Needs as written with their places; `None` for the step before.
    pub needs: Option<Vec<(String, Mark)>>,
}

struct Builder<'r> {
    runbook: &'r Runbook,
    source: &'r str,
    shapes: BTreeMap<ProbeId, Shape>,
    conditions: Vec<Condition>,
    known: HashMap<String, Result<ConditionId, Vec<ExprError>>>,
    faults: Vec<Diagnostic>,
}

impl Builder<'_> {
    fn fault(&mut self, message: impl AsRef<str>, mark: Mark, label: impl AsRef<str>) {
        self.faults.push(Diagnostic::new(message).at(mark, label));
    }

    fn phases(&mut self, root: &Node) -> (Vec<Phase>, Vec<Draft>) {
        let mut phases = Vec::new();
        let mut drafts: Vec<Draft> = Vec::new();
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
        let work = self.work(step, node);
        let (gates, verify, guards) = (self.gates(step, node), self.checks(step, node), self.guards(step, node));
        if let Some(Action::Soak(_)) = &step.action
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
        let undo = self.undo(step, node, &work);
        if undo.is_some() && step.undo.is_some() && step.reversibility == crate::core::plan::Reversibility::None {
            let label = "expected `free`, `lossless` or `lossy`";
            self.fault("a step with an undo cannot be irreversible", node.path(&["reversibility"]).mark, label);
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
                work(vec![job], None, false)
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
                work(jobs, Some(section.deadline), true)
            }
            (Some(_), Some(_)) => {
                let fault = Diagnostic::new(format!("the step `{}` has both `action` and `section`", step.id));
                let fault = fault.at(node.key("section"), "expected only one of them");
                self.faults.push(fault.also(node.key("action"), "the other"));
                work(Vec::new(), None, false)
            }
            (None, None) => {
                let message = format!("the step `{}` does nothing", step.id);
                self.fault(message, node.path(&["id"]).mark, "expected an `action` or a `section` in this step");
                work(Vec::new(), None, false)
            }
        }
    }

    fn member(&mut self, member: &model::Member, node: &Node) -> Job {
        for (key, action) in [("action", Some(&member.action)), ("undo", member.undo.as_ref())] {
            if let Some(action @ (Action::Manual(_) | Action::Soak(_))) = action {
                let message = format!("a section cannot wait for people or time: `{}`", action.kind());
                self.fault(message, node.key(key), "expected an action that ends by itself");
            }
        }
        let job = self.job(&member.title, &member.action, node.path(&["action"]));
        let undo_until = member.undo.as_ref().map(|undo| self.action(undo, node.path(&["undo"]))).unwrap_or_default();
        Job { undo: member.undo.clone(), undo_until, ..job }
    }

    fn job(&mut self, title: &str, action: &Action, node: &Node) -> Job {
        let until = self.action(action, node);
        Job { title: title.to_owned(), action: action.clone(), until, undo: None, undo_until: Vec::new() }
    }

    fn undo(&mut self, step: &model::Step, node: &Node, forward: &Work) -> Option<Work> {
        match &step.undo {
            Some(Undo::Action(action)) => {
                if matches!(action, Action::Soak(_)) {
                    self.fault(
                        "an undo cannot be a soak",
                        node.key("undo"),
                        "expected an action that takes the step back",
                    );
                }
                let job = self.job(&format!("undo: {}", step.title), action, node.path(&["undo"]));
                Some(work(vec![job], None, false))
            }
            Some(Undo::Section(undo)) => {
                let nodes = node.path(&["undo", "section", "steps"]).items();
                let mut jobs = Vec::new();
                for (member, node) in undo.section.steps.iter().zip(nodes) {
                    if let Action::Manual(_) | Action::Soak(_) = &member.action {
                        let message = format!("a section cannot wait for people or time: `{}`", member.action.kind());
                        self.fault(message, node.key("action"), "expected an action that ends by itself");
                    }
                    jobs.push(self.job(&member.title, &member.action, node.path(&["action"])));
                }
                Some(work(jobs, undo.section.deadline, true))
            }
            None if forward.section => reversed(forward),
            None => None,
        }
    }

    /// Checks an action and compiles the conditions it waits for.
    fn action(&mut self, action: &Action, node: &Node) -> Vec<ConditionId> {
        let inner = node.path(&[action.kind()]);
        names::action(self.runbook, action, inner, &mut self.faults);
        match action {
            Action::Wait(Wait::Until(until)) => {
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

    /// Compiles an expression once; its faults are told wherever it stands.
    fn condition(&mut self, text: &str, node: &Node) -> Option<ConditionId> {
        let known = if let Some(known) = self.known.get(text) {
            known
        } else {
            let compiled = Condition::compile(text, &self.shapes).map(|condition| {
                self.conditions.push(condition);
                ConditionId(self.conditions.len() - 1)
            });
            self.known.entry(text.to_owned()).or_insert(compiled)
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

/// What takes a section back: its members' undos in reverse order. None when something that was done outside
/// would stay.
fn reversed(forward: &Work) -> Option<Work> {
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
            Some(Job { title, action, until: job.undo_until.clone(), undo: None, undo_until: Vec::new() })
        })
        .collect();
    (!jobs.is_empty()).then(|| work(jobs, forward.deadline, true))
}
