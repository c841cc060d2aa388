//! The checked form of an expression, and how it is written back as text.

use std::fmt;

use super::super::value::{Shape, Value};

/// A checked expression: every name is known and every operator fits its operands.
#[derive(Clone, Debug)]
pub(super) struct ExprNode {
    /// What it is.
    pub kind: ExprKind,
    /// What it gives.
    pub shape: Shape,
    /// What its number counts, for showing it.
    pub unit: Unit,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Nothing in particular.
    Plain,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
}

#[derive(Clone, Debug)]
pub(super) enum ExprKind {
    /// A constant, with the text it is written as.
    Constant {
        value: Value,
        text: String,
    },
    /// A probe's reading or the variable of a macro.
    Variable(String),
    /// A field of a record.
    Field(Box<ExprNode>, String),
    /// Whether a record has the field and it is not null.
    Has(Box<ExprNode>, String),
    Not(Box<ExprNode>),
    Negate(Box<ExprNode>),
    Logic(Logic, Box<ExprNode>, Box<ExprNode>),
    Compare(Compare, Box<ExprNode>, Box<ExprNode>),
    Arithmetic(Arithmetic, Box<ExprNode>, Box<ExprNode>),
    In(Box<ExprNode>, Box<ExprNode>),
    Conditional(Box<ExprNode>, Box<ExprNode>, Box<ExprNode>),
    Index(Box<ExprNode>, Box<ExprNode>),
    List(Vec<ExprNode>),
    Size(Box<ExprNode>),
    Text(TextTest, Box<ExprNode>, Box<ExprNode>),
    Matches(Box<ExprNode>, regex::Regex),
    Int(Box<ExprNode>),
    Double(Box<ExprNode>),
    /// How much a probe's number has grown since the asking attempt began; with the number as written.
    Increase(Box<ExprNode>, String),
    Loop(Box<Loop>),
}

/// A macro over the elements of a list.
#[derive(Clone, Debug)]
pub(super) struct Loop {
    pub which: Which,
    pub over: ExprNode,
    pub variable: String,
    /// Only elements for which this is true; `map` with three arguments.
    pub only: Option<ExprNode>,
    pub body: ExprNode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logic {
    And,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Compare {
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Compare::Equal => "==",
            Compare::NotEqual => "!=",
            Compare::Less => "<",
            Compare::LessEqual => "<=",
            Compare::Greater => ">",
            Compare::GreaterEqual => ">=",
        }
    }

    /// Whether it asks for an order and not only for equality.
    pub(super) fn orders(self) -> bool {
        !matches!(self, Compare::Equal | Compare::NotEqual)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Arithmetic {
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Arithmetic::Add => "+",
            Arithmetic::Subtract => "-",
            Arithmetic::Multiply => "*",
            Arithmetic::Divide => "/",
            Arithmetic::Modulo => "%",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
}

impl TextTest {
    pub(super) fn name(self) -> &'static str {
        match self {
            TextTest::Contains => "contains",
            TextTest::StartsWith => "startsWith",
            TextTest::EndsWith => "endsWith",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
}

impl Which {
    pub(super) fn name(self) -> &'static str {
        match self {
            Which::All => "all",
            Which::Exists => "exists",
            Which::ExistsOne => "exists_one",
            Which::Map => "map",
            Which::Filter => "filter",
        }
    }
}

impl ExprNode {
    /// Whether its value is the same in every evaluation.
    pub(super) fn constant(&self) -> bool {
        let mut constant = true;
        self.walk(&mut |node| constant &= !matches!(node.kind, ExprKind::Variable(_)));
        constant
    }

    /// Whether it reads that probe.
    pub(super) fn reads(&self, probe: &str) -> bool {
        let mut reads = false;
        self.walk(&mut |node| reads |= matches!(&node.kind, ExprKind::Variable(name) if name == probe));
        reads
    }

    /// Visits this node and everything below it.
    pub(super) fn walk<'n>(&'n self, visit: &mut dyn FnMut(&'n ExprNode)) {
        visit(self);
        match &self.kind {
            ExprKind::Constant { .. } | ExprKind::Variable(_) => {}
            ExprKind::Field(of, _)
            | ExprKind::Has(of, _)
            | ExprKind::Not(of)
            | ExprKind::Negate(of)
            | ExprKind::Size(of)
            | ExprKind::Matches(of, _)
            | ExprKind::Int(of)
            | ExprKind::Double(of)
            | ExprKind::Increase(of, _) => of.walk(visit),
            ExprKind::Logic(_, a, b)
            | ExprKind::Compare(_, a, b)
            | ExprKind::Arithmetic(_, a, b)
            | ExprKind::In(a, b)
            | ExprKind::Index(a, b)
            | ExprKind::Text(_, a, b) => {
                a.walk(visit);
                b.walk(visit);
            }
            ExprKind::Conditional(a, b, c) => {
                a.walk(visit);
                b.walk(visit);
                c.walk(visit);
            }
            ExprKind::List(items) => items.iter().for_each(|item| item.walk(visit)),
            ExprKind::Loop(each) => {
                each.over.walk(visit);
                if let Some(only) = &each.only {
                    only.walk(visit);
                }
                each.body.walk(visit);
            }
        }
    }

    /// Whether it may take long: it goes through one list for each element of another. What counts growth rests on more than
    /// readings.
    pub(super) fn is_costly(&self) -> bool {
        let (mut searches, mut counts) = (0, false);
        self.walk(&mut |part| match part.kind {
            ExprKind::Loop(_) | ExprKind::In(..) => searches += 1,
            ExprKind::Increase(..) => counts = true,
            _ => {}
        });
        searches > 1 && !counts
    }

    /// How tightly it binds; operands that bind less are put in parentheses.
    fn strength(&self) -> u8 {
        match &self.kind {
            ExprKind::Conditional(..) => 0,
            ExprKind::Logic(Logic::Or, ..) => 1,
            ExprKind::Logic(Logic::And, ..) => 2,
            ExprKind::Compare(..) | ExprKind::In(..) => 3,
            ExprKind::Arithmetic(Arithmetic::Add | Arithmetic::Subtract, ..) => 4,
            ExprKind::Arithmetic(..) => 5,
            ExprKind::Not(_) | ExprKind::Negate(_) => 6,
            _ => 7,
        }
    }

    fn within(&self, least: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.strength() < least { write!(f, "({self})") } else { write!(f, "{self}") }
    }
}

/// The expression as CEL. Spacing is ours; meaning and names are as written.
impl fmt::Display for ExprNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Constant { text, .. } => f.write_str(text),
            ExprKind::Variable(name) => f.write_str(name),
            ExprKind::Field(of, name) => {
                of.within(7, f)?;
                write!(f, ".{name}")
            }
            ExprKind::Has(of, name) => write!(f, "has({of}.{name})"),
            ExprKind::Not(of) => {
                f.write_str("!")?;
                of.within(7, f)
            }
            ExprKind::Negate(of) => match &of.kind {
                ExprKind::Constant { text, .. } if text.starts_with('-') => write!(f, "-({text})"),
                _ => {
                    f.write_str("-")?;
                    of.within(7, f)
                }
            },
            ExprKind::Logic(_, a, b)
            | ExprKind::Compare(_, a, b)
            | ExprKind::Arithmetic(_, a, b)
            | ExprKind::In(a, b) => {
                let symbol = match &self.kind {
                    ExprKind::Logic(Logic::And, ..) => "&&",
                    ExprKind::Logic(Logic::Or, ..) => "||",
                    ExprKind::Compare(compare, ..) => compare.symbol(),
                    ExprKind::Arithmetic(operator, ..) => operator.symbol(),
                    _ => "in",
                };
                a.within(self.strength(), f)?;
                write!(f, " {symbol} ")?;
                // `a - (b - c)`: an operand of equal strength on the right was in parentheses.
                b.within(self.strength() + u8::from(!matches!(self.kind, ExprKind::Logic(..))), f)
            }
            ExprKind::Conditional(a, b, c) => {
                a.within(1, f)?;
                f.write_str(" ? ")?;
                b.within(1, f)?;
                f.write_str(" : ")?;
                c.within(0, f)
            }
            ExprKind::Index(of, at) => {
                of.within(7, f)?;
                write!(f, "[{at}]")
            }
            ExprKind::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            ExprKind::Size(of) => write!(f, "size({of})"),
            ExprKind::Text(test, of, with) => {
                of.within(7, f)?;
                write!(f, ".{}({with})", test.name())
            }
            ExprKind::Matches(of, pattern) => {
                of.within(7, f)?;
                write!(f, ".matches({:?})", pattern.as_str())
            }
            ExprKind::Int(of) => write!(f, "int({of})"),
            ExprKind::Double(of) => write!(f, "double({of})"),
            ExprKind::Increase(_, number) => write!(f, "increase({number})"),
            ExprKind::Loop(each) => {
                each.over.within(7, f)?;
                write!(f, ".{}({}, ", each.which.name(), each.variable)?;
                if let Some(only) = &each.only {
                    write!(f, "{only}, ")?;
                }
                write!(f, "{})", each.body)
            }
        }
    }
}
