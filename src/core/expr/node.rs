//! The checked form of an expression, and how it is written back as text.

use std::fmt;

use super::super::value::{Shape, Value};

/// A checked expression: every name is known and every operator fits its operands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// What it is.
    pub kind: Kind,
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
pub(super) enum Kind {
    /// A constant, with the text it is written as.
    Constant {
        value: Value,
        text: String,
    },
    /// A probe's reading or the variable of a macro.
    Variable(String),
    /// A field of a record.
    Field(Box<Node>, String),
    /// Whether a record has the field and it is not null.
    Has(Box<Node>, String),
    Not(Box<Node>),
    Negate(Box<Node>),
    Logic(Logic, Box<Node>, Box<Node>),
    Compare(Compare, Box<Node>, Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    Conditional(Box<Node>, Box<Node>, Box<Node>),
    Index(Box<Node>, Box<Node>),
    List(Vec<Node>),
    Size(Box<Node>),
    Text(TextTest, Box<Node>, Box<Node>),
    Matches(Box<Node>, regex::Regex),
    Int(Box<Node>),
    Double(Box<Node>),
    /// How much a probe's number has grown since the asking try began; with the number as written.
    Increase(Box<Node>, String),
    Loop(Box<Loop>),
}

/// A macro over the elements of a list.
#[derive(Clone, Debug)]
pub(super) struct Loop {
    pub which: Which,
    pub over: Node,
    pub variable: String,
    /// Only elements for which this is true; `map` with three arguments.
    pub only: Option<Node>,
    pub body: Node,
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

impl Node {
    /// Whether its value is the same in every evaluation.
    pub(super) fn constant(&self) -> bool {
        let mut constant = true;
        self.walk(&mut |node| constant &= !matches!(node.kind, Kind::Variable(_)));
        constant
    }

    /// Whether it reads that probe.
    pub(super) fn reads(&self, probe: &str) -> bool {
        let mut reads = false;
        self.walk(&mut |node| reads |= matches!(&node.kind, Kind::Variable(name) if name == probe));
        reads
    }

    /// Visits this node and everything below it.
    pub(super) fn walk<'n>(&'n self, visit: &mut dyn FnMut(&'n Node)) {
        visit(self);
        match &self.kind {
            Kind::Constant { .. } | Kind::Variable(_) => {}
            Kind::Field(of, _)
            | Kind::Has(of, _)
            | Kind::Not(of)
            | Kind::Negate(of)
            | Kind::Size(of)
            | Kind::Matches(of, _)
            | Kind::Int(of)
            | Kind::Double(of)
            | Kind::Increase(of, _) => of.walk(visit),
            Kind::Logic(_, a, b)
            | Kind::Compare(_, a, b)
            | Kind::Arithmetic(_, a, b)
            | Kind::In(a, b)
            | Kind::Index(a, b)
            | Kind::Text(_, a, b) => {
                a.walk(visit);
                b.walk(visit);
            }
            Kind::Conditional(a, b, c) => {
                a.walk(visit);
                b.walk(visit);
                c.walk(visit);
            }
            Kind::List(items) => items.iter().for_each(|item| item.walk(visit)),
            Kind::Loop(each) => {
                each.over.walk(visit);
                if let Some(only) = &each.only {
                    only.walk(visit);
                }
                each.body.walk(visit);
            }
        }
    }

    /// How tightly it binds; operands that bind less are put in parentheses.
    fn strength(&self) -> u8 {
        match &self.kind {
            Kind::Conditional(..) => 0,
            Kind::Logic(Logic::Or, ..) => 1,
            Kind::Logic(Logic::And, ..) => 2,
            Kind::Compare(..) | Kind::In(..) => 3,
            Kind::Arithmetic(Arithmetic::Add | Arithmetic::Subtract, ..) => 4,
            Kind::Arithmetic(..) => 5,
            Kind::Not(_) | Kind::Negate(_) => 6,
            _ => 7,
        }
    }

    fn within(&self, least: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.strength() < least { write!(f, "({self})") } else { write!(f, "{self}") }
    }
}

/// The expression as CEL. Spacing is ours; meaning and names are as written.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Constant { text, .. } => f.write_str(text),
            Kind::Variable(name) => f.write_str(name),
            Kind::Field(of, name) => {
                of.within(7, f)?;
                write!(f, ".{name}")
            }
            Kind::Has(of, name) => write!(f, "has({of}.{name})"),
            Kind::Not(of) => {
                f.write_str("!")?;
                of.within(7, f)
            }
            Kind::Negate(of) => {
                f.write_str("-")?;
                of.within(7, f)
            }
            Kind::Logic(_, a, b) | Kind::Compare(_, a, b) | Kind::Arithmetic(_, a, b) | Kind::In(a, b) => {
                let symbol = match &self.kind {
                    Kind::Logic(Logic::And, ..) => "&&",
                    Kind::Logic(Logic::Or, ..) => "||",
                    Kind::Compare(compare, ..) => compare.symbol(),
                    Kind::Arithmetic(operator, ..) => operator.symbol(),
                    _ => "in",
                };
                a.within(self.strength(), f)?;
                write!(f, " {symbol} ")?;
                // `a - (b - c)`: an operand of equal strength on the right was in parentheses.
                b.within(self.strength() + u8::from(!matches!(self.kind, Kind::Logic(..))), f)
            }
            Kind::Conditional(a, b, c) => {
                a.within(1, f)?;
                f.write_str(" ? ")?;
                b.within(1, f)?;
                f.write_str(" : ")?;
                c.within(0, f)
            }
            Kind::Index(of, at) => {
                of.within(7, f)?;
                write!(f, "[{at}]")
            }
            Kind::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Kind::Size(of) => write!(f, "size({of})"),
            Kind::Text(test, of, with) => {
                of.within(7, f)?;
                write!(f, ".{}({with})", test.name())
            }
            Kind::Matches(of, pattern) => {
                of.within(7, f)?;
                write!(f, ".matches({:?})", pattern.as_str())
            }
            Kind::Int(of) => write!(f, "int({of})"),
            Kind::Double(of) => write!(f, "double({of})"),
            Kind::Increase(_, number) => write!(f, "increase({number})"),
            Kind::Loop(each) => {
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
