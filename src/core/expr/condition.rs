//! Conditions: what is asked of readings, and the answer in three values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::super::evidence::{Assessment, Baseline, Baselines, Term, Verdict};
use super::super::ids::{ProbeId, StepId};
use super::super::time::{At, Span};
use super::super::value::{Shape, Value};
use super::check::Checker;
use super::error::{ExprError, syntax_errors};
use super::eval::{Scope, UnknownReason};
use super::known::{KnownAnswer, KnownAnswers};
use super::node::{ExprKind, ExprNode, Logic};
use super::show;

/// Longest expression in bytes. It also bounds how deep the parser can be driven.
pub const LONGEST: usize = 2_000;

/// A checked expression.
pub struct Condition {
    source: String,
    probes: BTreeSet<ProbeId>,
    pub(super) poll: Poll,
    counted: BTreeMap<String, ExprNode>,
    asker: Option<Asker>,
}

/// The step, or its undo, from whose beginning growth is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The step that asks.
    pub step: StepId,
    /// Whether it asks while it is taken back.
    pub undo: bool,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.source).finish()
    }
}

/// The logic at the top of an expression, with the comparisons it is made of as leaves.
#[derive(Debug)]
pub(super) enum Poll {
    Leaf(Box<Leaf>),
    Logic(Logic, Box<Poll>, Box<Poll>),
}

/// One comparison that is shown and answered on its own.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) node: ExprNode,
    pub(super) negated: bool,
    pub(super) text: String,
    pub(super) probes: BTreeSet<ProbeId>,
    /// Whether it is worked out once for each reading and then known.
    costly: bool,
}

/// What is known of a probe at the moment of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sight<'a> {
    /// A reading fresh enough to decide on.
    Fresh {
        /// What was read.
        value: &'a Value,
        /// Its age.
        age: Span,
    },
    /// The newest reading is too old.
    Stale {
        /// Its age.
        age: Span,
    },
    /// The newest measurement failed.
    Failed {
        /// Why.
        what: &'a str,
        /// For how long the probe has been failing.
        since: Span,
    },
    /// There has been no reading at all.
    Missing,
}

impl Condition {
    /// Compiles `source` and checks every name and type against the probes' shapes.
    ///
    /// # Errors
    ///
    /// All faults found, in the order of the text.
    pub fn compile(source: &str, shapes: &BTreeMap<ProbeId, Shape>) -> Result<Self, Vec<ExprError>> {
        let whole = |message: &str, hint: Option<&str>| {
            vec![ExprError {
                offset: 0,
                len: source.len().max(1),
                message: message.to_owned(),
                hint: hint.map(str::to_owned),
            }]
        };
        if source.trim().is_empty() {
            return Err(whole("the expression is empty", Some("write it like `lag.bytes < bytes(\"1MiB\")`")));
        }
        if source.len() > LONGEST {
            return Err(whole(
                &format!("the expression is longer than {LONGEST} bytes"),
                Some("split it into several"),
            ));
        }
        // The environment has no macros, so `all`, `exists` and the like stay the calls they are written as and can be
        // checked and shown as such.
        let program = cel::Env::default()
            .with_optional_support(false)
            .compile(source)
            .map_err(|errors| syntax_errors(source, &errors))?;
        let mut checker = Checker::new(source, program.source_info(), shapes);
        let node = checker.condition(program.expression());
        let mut errors = checker.errors;
        match node {
            Some(node) if errors.is_empty() => {
                let mut counted = BTreeMap::new();
                node.walk(&mut |part| {
                    if let ExprKind::Increase(of, number) = &part.kind {
                        counted.insert(number.clone(), (**of).clone());
                    }
                });
                let mut probes = BTreeSet::new();
                let poll = Poll::of(node, false, shapes, &mut probes);
                Ok(Self { source: source.to_owned(), probes, poll, counted, asker: None })
            }
            _ => {
                errors.sort_by_key(|error| error.offset);
                if errors.is_empty() {
                    return Err(whole("this cannot be used as a condition", None));
                }
                Err(errors)
            }
        }
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The probes it reads.
    pub fn probes(&self) -> &BTreeSet<ProbeId> {
        &self.probes
    }

    /// The same condition, asked by one step.
    #[must_use]
    pub fn asked_by(self, asker: Asker) -> Self {
        Self { asker: Some(asker), ..self }
    }

    /// The step or undo from whose beginning it counts growth; `None` when no step asks it.
    pub fn asker(&self) -> Option<&Asker> {
        self.asker.as_ref()
    }

    /// Whether it counts the growth of a number.
    pub fn counts(&self) -> bool {
        !self.counted.is_empty()
    }

    /// The numbers whose growth it counts, by the name it uses.
    pub fn counted(&self) -> impl Iterator<Item = &str> {
        self.counted.keys().map(String::as_str)
    }

    /// What growth would be counted from if counting began now. A number without a fresh reading is left out.
    pub fn baselines<'a>(&self, now: At, sight: &dyn Fn(&ProbeId) -> Sight<'a>) -> Baselines {
        let mut found = Baselines::new();
        for (name, node) in &self.counted {
            let mut at = now;
            let mut readings: BTreeMap<&str, &'a Value> = BTreeMap::new();
            for probe in &self.probes {
                if let Sight::Fresh { value, age } = sight(probe)
                    && node.reads(probe.as_str())
                {
                    readings.insert(probe.as_str(), value);
                    at = now.before(age);
                }
            }
            let probes = |name: &str| readings.get(name).copied();
            let none = Baselines::new();
            if let Ok(value) = Scope::new(&probes, &none).value(node) {
                found.insert(name.clone(), Baseline::new(value.into_owned(), at));
            }
        }
        found
    }

    /// The numbers it counts the growth of that this reading of a probe has.
    pub fn counted_in<'c>(&'c self, probe: &'c ProbeId, reading: &'c Value) -> impl Iterator<Item = (&'c str, Value)> {
        self.counted.iter().filter(|(_, node)| node.reads(probe.as_str())).filter_map(move |(name, node)| {
            let probes = |of: &str| (of == probe.as_str()).then_some(reading);
            let none = Baselines::new();
            let value = Scope::new(&probes, &none).value(node).ok()?.into_owned();
            Some((name.as_str(), value))
        })
    }

    /// Answers the expression. Missing, stale or failing readings and `null` values make a term UNKNOWN, and so does
    /// growth without a baseline to count from.
    pub fn evaluate<'a>(&self, sight: &dyn Fn(&ProbeId) -> Sight<'a>, baselines: &Baselines) -> Assessment {
        self.evaluate_knowing(sight, baselines, &KnownAnswers::default())
    }

    /// The same where the answers of costly comparisons may be known.
    pub fn evaluate_knowing<'a>(
        &self,
        sight: &dyn Fn(&ProbeId) -> Sight<'a>,
        baselines: &Baselines,
        known: &KnownAnswers,
    ) -> Assessment {
        let mut terms = Vec::new();
        let verdict = self.poll.evaluate(sight, baselines, known, &mut terms);
        Assessment { verdict, terms }
    }

    /// The verdict alone, as [`Condition::evaluate`] gives it, for callers that ask often and show no reasons.
    pub fn verdict<'a>(&self, sight: &dyn Fn(&ProbeId) -> Sight<'a>, baselines: &Baselines) -> Verdict {
        self.verdict_knowing(sight, baselines, &KnownAnswers::default())
    }

    /// The same where the answers of costly comparisons may be known.
    pub fn verdict_knowing<'a>(
        &self,
        sight: &dyn Fn(&ProbeId) -> Sight<'a>,
        baselines: &Baselines,
        known: &KnownAnswers,
    ) -> Verdict {
        self.poll.verdict(sight, baselines, known)
    }

    /// Works out the costly comparisons whose readings are others than those of the answers that are known. `reading` gives the
    /// newest reading of a probe.
    pub fn work_out<'a>(&self, known: &mut KnownAnswers, reading: &dyn Fn(&ProbeId) -> Option<&'a Value>) {
        self.poll.work_out(known, reading);
    }

    /// The answer that these terms give. `None` when they are not the terms of this expression.
    pub fn recount(&self, terms: &[Term]) -> Option<Verdict> {
        let mut rest = terms.iter();
        let verdict = self.poll.recount(&mut rest)?;
        rest.next().is_none().then_some(verdict)
    }
}

impl Poll {
    /// Takes the logic apart. A negation moves to the leaves (De Morgan holds in Kleene's logic too), so that
    /// every term of a met condition is GO on the screen.
    fn of(node: ExprNode, negated: bool, shapes: &BTreeMap<ProbeId, Shape>, all: &mut BTreeSet<ProbeId>) -> Self {
        match node.kind {
            ExprKind::Not(of) => Poll::of(*of, !negated, shapes, all),
            ExprKind::Logic(logic, a, b) => {
                let logic = match (logic, negated) {
                    (Logic::And, false) | (Logic::Or, true) => Logic::And,
                    _ => Logic::Or,
                };
                let a = Poll::of(*a, negated, shapes, all);
                let b = Poll::of(*b, negated, shapes, all);
                Poll::Logic(logic, Box::new(a), Box::new(b))
            }
            kind => {
                let node = ExprNode { kind, ..node };
                let mut probes = BTreeSet::new();
                node.walk(&mut |part| {
                    if let ExprKind::Variable(name) = &part.kind
                        && let Some((id, _)) = shapes.get_key_value(name.as_str())
                    {
                        probes.insert(id.clone());
                    }
                });
                all.extend(probes.iter().cloned());
                let costly = node.is_costly();
                let text = match (&node.kind, negated) {
                    (_, false) => node.to_string(),
                    (ExprKind::Compare(..) | ExprKind::In(..) | ExprKind::Conditional(..), true) => {
                        format!("!({node})")
                    }
                    (_, true) => format!("!{node}"),
                };
                Poll::Leaf(Box::new(Leaf { node, negated, text, probes, costly }))
            }
        }
    }

    fn recount<'t>(&self, terms: &mut impl Iterator<Item = &'t Term>) -> Option<Verdict> {
        match self {
            Poll::Leaf(leaf) => {
                terms.next().filter(|term| is_same_text(&term.text, &leaf.text)).map(|term| term.verdict)
            }
            Poll::Logic(logic, a, b) => {
                let (a, b) = (a.recount(terms)?, b.recount(terms)?);
                Some(match logic {
                    Logic::And => a.and(b),
                    Logic::Or => a.or(b),
                })
            }
        }
    }

    fn verdict<'a>(
        &self,
        sight: &dyn Fn(&ProbeId) -> Sight<'a>,
        baselines: &Baselines,
        known: &KnownAnswers,
    ) -> Verdict {
        match self {
            Poll::Leaf(leaf) => leaf.verdict(sight, baselines, known),
            Poll::Logic(Logic::And, a, b) => match a.verdict(sight, baselines, known) {
                Verdict::NoGo => Verdict::NoGo,
                a => a.and(b.verdict(sight, baselines, known)),
            },
            Poll::Logic(Logic::Or, a, b) => match a.verdict(sight, baselines, known) {
                Verdict::Go => Verdict::Go,
                a => a.or(b.verdict(sight, baselines, known)),
            },
        }
    }

    fn work_out<'a>(&self, known: &mut KnownAnswers, reading: &dyn Fn(&ProbeId) -> Option<&'a Value>) {
        match self {
            Poll::Leaf(leaf) if leaf.costly => leaf.work_out(known, reading),
            Poll::Leaf(_) => {}
            Poll::Logic(_, a, b) => {
                a.work_out(known, reading);
                b.work_out(known, reading);
            }
        }
    }

    fn evaluate<'a>(
        &self,
        sight: &dyn Fn(&ProbeId) -> Sight<'a>,
        baselines: &Baselines,
        known: &KnownAnswers,
        terms: &mut Vec<Term>,
    ) -> Verdict {
        match self {
            Poll::Leaf(leaf) => {
                let term = leaf.evaluate(sight, baselines, known);
                let verdict = term.verdict;
                terms.push(term);
                verdict
            }
            Poll::Logic(logic, a, b) => {
                let a = a.evaluate(sight, baselines, known, terms);
                let b = b.evaluate(sight, baselines, known, terms);
                match logic {
                    Logic::And => a.and(b),
                    Logic::Or => a.or(b),
                }
            }
        }
    }
}

/// Whether a recorded term is this one. Earlier versions left out the sign of a negative number.
fn is_same_text(recorded: &str, text: &str) -> bool {
    recorded == text || recorded.replace('-', "") == text.replace('-', "")
}

impl Leaf {
    fn work_out<'a>(&self, known: &mut KnownAnswers, reading: &dyn Fn(&ProbeId) -> Option<&'a Value>) {
        let Some(readings) = self.probes.iter().map(reading).collect::<Option<Vec<&'a Value>>>() else { return };
        if known.of(&self.text, readings.iter().copied()).is_some() {
            return;
        }
        let named = self.probes.iter().zip(&readings);
        let probes = |name: &str| named.clone().find(|(probe, _)| probe.as_str() == name).map(|(_, value)| *value);
        let none = Baselines::new();
        let answer = Scope::of(&probes, &none, true).truth(&self.node);
        let actual = show::actual(&self.node, self.negated, &mut Scope::of(&probes, &none, true));
        let readings = readings.iter().copied().cloned().collect();
        known.keep(&self.text, KnownAnswer { readings, answer, actual });
    }

    fn verdict<'a>(
        &self,
        sight: &dyn Fn(&ProbeId) -> Sight<'a>,
        baselines: &Baselines,
        known: &KnownAnswers,
    ) -> Verdict {
        let mut readings: Vec<(&str, &'a Value)> = Vec::with_capacity(self.probes.len());
        for probe in &self.probes {
            let Sight::Fresh { value, .. } = sight(probe) else { return Verdict::Unknown };
            readings.push((probe.as_str(), value));
        }
        let probes = |name: &str| readings.iter().find(|(probe, _)| *probe == name).map(|(_, value)| *value);
        let worked_out = || Scope::of(&probes, baselines, self.costly).truth(&self.node).ok();
        let found = if self.costly { known.of(&self.text, readings.iter().map(|(_, value)| *value)) } else { None };
        match found.map_or_else(worked_out, |known| known.answer.as_ref().ok().copied()) {
            Some(yes) if yes == self.negated => Verdict::NoGo,
            Some(_) => Verdict::Go,
            None => Verdict::Unknown,
        }
    }

    pub(super) fn evaluate<'a>(
        &self,
        sight: &dyn Fn(&ProbeId) -> Sight<'a>,
        baselines: &Baselines,
        known: &KnownAnswers,
    ) -> Term {
        let mut readings: BTreeMap<&str, &'a Value> = BTreeMap::new();
        let mut age = None;
        let mut reasons = Vec::new();
        for probe in &self.probes {
            match sight(probe) {
                Sight::Fresh { value, age: of } => {
                    readings.insert(probe.as_str(), value);
                    age = age.max(Some(of));
                }
                Sight::Stale { age: of } => {
                    age = age.max(Some(of));
                    reasons.push(format!("{probe} is stale: {of} old"));
                }
                Sight::Failed { what, since } => {
                    reasons.push(format!("{probe} gives no reading for {since}: {what}"));
                }
                Sight::Missing => reasons.push(format!("{probe} has given no reading yet")),
            }
        }
        let probes = |name: &str| readings.get(name).copied();
        let mut term =
            Term { text: self.text.clone(), verdict: Verdict::Unknown, actual: String::new(), why: None, age };
        if !reasons.is_empty() {
            term.why = Some(reasons.join("; "));
            return term;
        }
        let found = if self.costly { known.of(&self.text, readings.values().copied()) } else { None };
        let (answer, actual) = found.map_or_else(
            || {
                let scope = || Scope::of(&probes, baselines, self.costly);
                (scope().truth(&self.node), show::actual(&self.node, self.negated, &mut scope()))
            },
            |known| (known.answer.clone(), known.actual.clone()),
        );
        term.actual = actual;
        match answer {
            Ok(yes) => term.verdict = if yes == self.negated { Verdict::NoGo } else { Verdict::Go },
            Err(UnknownReason(why)) => term.why = Some(why),
        }
        term
    }
}
