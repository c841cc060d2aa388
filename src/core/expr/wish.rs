//! What an expression asks of each field. From it follow the values with which a rehearsal can begin, and the
//! conditions that no rehearsal could ever meet.

use std::collections::BTreeMap;

use super::super::evidence::{Baselines, Verdict};
use super::super::ids::ProbeId;
use super::super::value::{Value, ValueMap};
use super::condition::{Condition, Leaf, Poll, Sight};
use super::known::KnownAnswers;
use super::node::{Compare, ExprKind, ExprNode, Logic, TextTest};

/// One field compared with a constant: `rows.n > 0`.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// Whose field.
    pub probe: ProbeId,
    /// Its name.
    pub field: String,
    /// What it is asked to be.
    pub wanted: Wanted,
}

/// What a field is asked to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// Equal to the value.
    Equal(Value),
    /// Anything else.
    NotEqual(Value),
    /// Below, or at most with `true`.
    Below(Value, bool),
    /// Above, or at least with `true`.
    Above(Value, bool),
    /// A text that contains, begins or ends with the text.
    Like(String),
}

impl Condition {
    /// The simple comparisons it is made of; those under a negation are inverted.
    pub fn wishes(&self) -> Vec<Wish> {
        let mut found = Vec::new();
        self.poll.leaves(&mut |leaf| found.extend(leaf.wish()));
        found
    }

    /// The fields it reads, as probe and field; `None` for the field of a probe that is used as a whole.
    pub fn fields(&self) -> Vec<(ProbeId, Option<String>)> {
        let mut found = Vec::new();
        self.poll.leaves(&mut |leaf| found.extend(leaf.fields()));
        found
    }

    /// The paths below probes that it reads, with every part of the way: `new` and `new.p99`.
    pub fn paths(&self) -> Vec<(ProbeId, String)> {
        let mut found = Vec::new();
        self.poll.leaves(&mut |leaf| leaf.node.walk(&mut |node| found.extend(leaf.path(node))));
        found
    }

    /// Visits every node of it.
    pub(super) fn walk(&self, visit: &mut dyn FnMut(&ExprNode)) {
        self.poll.leaves(&mut |leaf| leaf.node.walk(&mut |node| visit(node)));
    }

    /// The terms, as written, that can never be GO when the fields in `fixed` keep their values and all others can have
    /// any. Empty when the whole can be GO.
    pub fn never(&self, fixed: &BTreeMap<ProbeId, ValueMap>) -> Vec<String> {
        let mut shut = Vec::new();
        let readings: BTreeMap<&ProbeId, Value> =
            fixed.iter().map(|(probe, fields)| (probe, fields.clone().into())).collect();
        if self.poll.can(fixed, &readings, &mut shut) {
            shut.clear();
        }
        shut
    }
}

impl Poll {
    fn leaves<'p>(&'p self, visit: &mut dyn FnMut(&'p Leaf)) {
        match self {
            Poll::Leaf(leaf) => visit(leaf),
            Poll::Logic(_, a, b) => {
                a.leaves(visit);
                b.leaves(visit);
            }
        }
    }

    fn can(
        &self,
        fixed: &BTreeMap<ProbeId, ValueMap>,
        readings: &BTreeMap<&ProbeId, Value>,
        shut: &mut Vec<String>,
    ) -> bool {
        match self {
            Poll::Leaf(leaf) => {
                // Growth depends on the baseline, so any growth is possible, zero included.
                let grows = leaf.counts_growth();
                let open = grows
                    || leaf.fields().iter().any(|(probe, field)| {
                        let known =
                            field.as_ref().and_then(|field| fixed.get(probe).map(|of| of.contains_key(field.as_str())));
                        known != Some(true)
                    });
                let age = super::super::time::Span::ZERO;
                let sight = |probe: &ProbeId| match readings.get(probe) {
                    Some(value) => Sight::Fresh { value, age },
                    None => Sight::Missing,
                };
                let can =
                    open || leaf.evaluate(&sight, &Baselines::new(), &KnownAnswers::default()).verdict == Verdict::Go;
                if !can {
                    shut.push(leaf.text.clone());
                }
                can
            }
            Poll::Logic(Logic::And, a, b) => {
                let (a, b) = (a.can(fixed, readings, shut), b.can(fixed, readings, shut));
                a && b
            }
            Poll::Logic(Logic::Or, a, b) => a.can(fixed, readings, shut) || b.can(fixed, readings, shut),
        }
    }
}

impl Leaf {
    fn counts_growth(&self) -> bool {
        let mut counts = false;
        self.node.walk(&mut |node| counts |= matches!(node.kind, ExprKind::Increase(..)));
        counts
    }

    fn fields(&self) -> Vec<(ProbeId, Option<String>)> {
        let mut found = Vec::new();
        let mut whole = self.probes.clone();
        self.node.walk(&mut |node| {
            if let ExprKind::Field(of, field) | ExprKind::Has(of, field) = &node.kind
                && let ExprKind::Variable(name) = &of.kind
                && let Some(probe) = self.probes.get(name.as_str())
            {
                found.push((probe.clone(), Some(field.clone())));
                whole.remove(name.as_str());
            }
        });
        found.extend(whole.into_iter().map(|probe| (probe, None)));
        found
    }

    /// What a node reads, when it is a field of a probe or of what is below one.
    fn path(&self, node: &ExprNode) -> Option<(ProbeId, String)> {
        let (ExprKind::Field(of, field) | ExprKind::Has(of, field)) = &node.kind else { return None };
        if let ExprKind::Variable(name) = &of.kind {
            return Some((self.probes.get(name.as_str())?.clone(), field.clone()));
        }
        self.path(of).map(|(probe, path)| (probe, format!("{path}.{field}")))
    }

    fn wish(&self) -> Option<Wish> {
        let wish = |(probe, field), wanted| Some(Wish { probe, field, wanted });
        match &self.node.kind {
            ExprKind::Field(..) => wish(self.field(&self.node)?, Wanted::Equal(Value::Bool(!self.negated))),
            ExprKind::Compare(compare, a, b) => {
                let (field, value, compare) = match (self.field(a), constant(b), self.field(b), constant(a)) {
                    (Some(field), Some(value), ..) => (field, value, *compare),
                    (_, _, Some(field), Some(value)) => (field, value, turned(*compare)),
                    _ => return None,
                };
                let compare = if self.negated { opposite(compare) } else { compare };
                wish(
                    field,
                    match compare {
                        Compare::Equal => Wanted::Equal(value),
                        Compare::NotEqual => Wanted::NotEqual(value),
                        Compare::Less => Wanted::Below(value, false),
                        Compare::LessEqual => Wanted::Below(value, true),
                        Compare::Greater => Wanted::Above(value, false),
                        Compare::GreaterEqual => Wanted::Above(value, true),
                    },
                )
            }
            ExprKind::Text(TextTest::Contains | TextTest::StartsWith | TextTest::EndsWith, of, with)
                if !self.negated =>
            {
                match constant(with)? {
                    Value::Text(text) => wish(self.field(of)?, Wanted::Like(text)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn field(&self, node: &ExprNode) -> Option<(ProbeId, String)> {
        let ExprKind::Field(of, field) = &node.kind else { return None };
        let ExprKind::Variable(name) = &of.kind else { return None };
        self.probes.get(name.as_str()).map(|probe| (probe.clone(), field.clone()))
    }
}

/// The value that a node always has, where it is a constant.
pub(super) fn constant(node: &ExprNode) -> Option<Value> {
    match &node.kind {
        ExprKind::Constant { value, .. } => Some(value.clone()),
        ExprKind::Negate(of) => match constant(of)? {
            Value::Int(n) => n.checked_neg().map(Value::Int),
            Value::Float(x) => Some(Value::Float(-x)),
            _ => None,
        },
        _ => None,
    }
}

/// The same comparison with its sides exchanged.
pub(super) fn turned(compare: Compare) -> Compare {
    match compare {
        Compare::Less => Compare::Greater,
        Compare::LessEqual => Compare::GreaterEqual,
        Compare::Greater => Compare::Less,
        Compare::GreaterEqual => Compare::LessEqual,
        same => same,
    }
}

fn opposite(compare: Compare) -> Compare {
    match compare {
        Compare::Equal => Compare::NotEqual,
        Compare::NotEqual => Compare::Equal,
        Compare::Less => Compare::GreaterEqual,
        Compare::LessEqual => Compare::Greater,
        Compare::Greater => Compare::LessEqual,
        Compare::GreaterEqual => Compare::Less,
    }
}
