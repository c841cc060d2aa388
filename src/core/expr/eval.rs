//! The evaluator: three-valued, total and pure.
//!
//! CEL itself has two values and errors, and lets `null != 0` be true, which could open a gate. Here anything that
//! cannot be known is [`UnknownReason`] with its reason, and it travels by Kleene's rules: `false && unknown` is false,
//! `true && unknown` is unknown. On readings without gaps the answers are CEL's own; tests compare them with the `cel`
//! crate's.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::super::evidence::Baselines;
use super::super::quote::is_masked;
use super::super::time::At;
use super::super::value::{Shape, Value};
use super::node::{Arithmetic, Compare, ExprKind, ExprNode, Logic, Loop, TextTest, Which};

/// Why something cannot be known, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnknownReason(pub String);

type Answer<'v> = Result<Cow<'v, Value>, UnknownReason>;

/// Most steps one evaluation may take: lists come from outside, macros can nest, and conditions are asked many times a second
/// by whoever must answer at once. A thousand elements, each asked a few things, are far fewer.
const STEPS: usize = 20_000;
/// The same for what is worked out once for each reading, as when lists of some hundred elements are held against each other.
const COSTLY_STEPS: usize = 1_000_000;
/// Bytes of a text that count as one step.
const STEP_OF_TEXT: usize = 64;

/// What is said of a text in which the value of a secret is masked.
const MASKED: &str = "holds a secret, which is masked, so nothing can be asked of it";

/// The same of one of two values that are compared.
const HOLDS_MASKED: &str = "one of them holds a secret, which is masked";

/// The same of two values of which neither can be the other.
const OF_TWO_TYPES: &str = "they are of different types";

/// The field that says since when the numbers beside it are counted, in milliseconds since 1970.
const COUNTED_SINCE: &str = "counted_since";

/// The values in scope: probes, and the variables of the surrounding macros.
pub(super) struct Scope<'s, 'v> {
    /// The reading of a probe.
    pub probes: &'s dyn Fn(&str) -> Option<&'v Value>,
    /// What numbers are counted from.
    pub baselines: &'s Baselines,
    variables: Vec<(&'s str, Cow<'v, Value>)>,
    steps: usize,
    most: usize,
}

impl<'s, 'v> Scope<'s, 'v> {
    pub(super) fn new(probes: &'s dyn Fn(&str) -> Option<&'v Value>, baselines: &'s Baselines) -> Self {
        Self { probes, baselines, variables: Vec::new(), steps: 0, most: STEPS }
    }

    /// The same for a comparison that may be `costly`.
    pub(super) fn of(probes: &'s dyn Fn(&str) -> Option<&'v Value>, baselines: &'s Baselines, costly: bool) -> Self {
        Self { most: if costly { COSTLY_STEPS } else { STEPS }, ..Self::new(probes, baselines) }
    }

    /// Evaluates to true, false or unknown.
    pub(super) fn truth(&mut self, node: &'s ExprNode) -> Result<bool, UnknownReason> {
        self.value(node)?.bool().ok_or_else(|| UnknownReason(format!("{node} is neither true nor false")))
    }

    /// Evaluates `node`. `null`, NaN and texts with a masked secret never come out of it.
    pub(super) fn value(&mut self, node: &'s ExprNode) -> Answer<'v> {
        self.charge(1)?;
        let value = self.raw(node)?;
        match &*value {
            Value::Null => Err(UnknownReason(format!("{node} is null"))),
            Value::Float(x) if !x.is_finite() => Err(UnknownReason(format!("{node} is not a number"))),
            // What stood there is not known here, and different secrets may look the same.
            Value::Text(text) if is_masked(text) => Err(UnknownReason(format!("{node} {MASKED}"))),
            _ => Ok(value),
        }
    }

    /// Takes so many of the steps that are left.
    fn charge(&mut self, steps: usize) -> Result<(), UnknownReason> {
        self.steps = self.steps.saturating_add(steps);
        if self.is_exhausted() {
            let why =
                "its lists and texts are too long to be searched so often (let the probe count or select instead)";
            return Err(UnknownReason(why.to_owned()));
        }
        Ok(())
    }

    /// Whether the steps are used up, so that no answer of it is worth anything.
    pub(super) fn is_exhausted(&self) -> bool {
        self.steps > self.most
    }

    fn raw(&mut self, node: &'s ExprNode) -> Answer<'v> {
        match &node.kind {
            ExprKind::Constant { value, .. } => Ok(Cow::Owned(value.clone())),
            ExprKind::Variable(name) => self.variable(name),
            ExprKind::Field(of, name) => {
                let record = self.value(of)?;
                let field = take(record, |value| match value {
                    Value::Map(map) => map.get(name.as_str()),
                    _ => None,
                });
                promised(field.ok_or_else(|| UnknownReason(format!("{node} is missing")))?, node)
            }
            ExprKind::Has(of, name) => {
                let record = self.value(of)?;
                Ok(truth(
                    matches!(&*record, Value::Map(map) if map.get(name.as_str()).is_some_and(|v| *v != Value::Null)),
                ))
            }
            ExprKind::Not(of) => Ok(truth(!self.truth(of)?)),
            ExprKind::Negate(of) => match &*self.value(of)? {
                Value::Int(n) => Ok(number(n.checked_neg().ok_or_else(|| overflow(node))?)),
                Value::Float(x) => Ok(measure(-x)),
                _ => Err(UnknownReason(format!("{of} is not a number"))),
            },
            ExprKind::Logic(logic, a, b) => self.logic(*logic, a, b),
            ExprKind::Compare(compare, a, b) => self.compare(*compare, a, b),
            ExprKind::Arithmetic(operator, a, b) => self.arithmetic(*operator, node, a, b),
            ExprKind::In(a, b) => {
                let (item, list) = (self.value(a)?, self.value(b)?);
                self.charge(weight(&list))?;
                match &*list {
                    Value::List(items) => member(&item, items, b),
                    Value::Map(map) => Ok(truth(item.text().is_some_and(|key| map.contains_key(key)))),
                    _ => Err(UnknownReason(format!("{b} is not a list"))),
                }
            }
            ExprKind::Conditional(a, b, c) => {
                if self.truth(a)? {
                    self.value(b)
                } else {
                    self.value(c)
                }
            }
            ExprKind::Index(of, at) => {
                let (list, at) = (self.value(of)?, self.value(at)?);
                let item = take(list, |value| match (value, &*at) {
                    (Value::List(items), Value::Int(n)) => usize::try_from(*n).ok().and_then(|n| items.get(n)),
                    (Value::Map(map), Value::Text(key)) => map.get(key.as_str()),
                    _ => None,
                });
                promised(item.ok_or_else(|| UnknownReason(format!("{node} is missing")))?, node)
            }
            ExprKind::List(items) => {
                let items: Result<Vec<Value>, UnknownReason> =
                    items.iter().map(|item| self.value(item).and_then(|item| self.own(item))).collect();
                Ok(Cow::Owned(Value::List(items?)))
            }
            ExprKind::Size(of) => {
                let length = match &*self.value(of)? {
                    Value::Text(text) => text.chars().count(),
                    Value::List(items) => items.len(),
                    Value::Map(map) => map.len(),
                    _ => return Err(UnknownReason(format!("{of} has no size"))),
                };
                Ok(number(i64::try_from(length).unwrap_or(i64::MAX)))
            }
            ExprKind::Text(test, of, with) => {
                let (whole, part) = (self.value(of)?, self.value(with)?);
                self.charge(weight(&whole))?;
                match (whole.text(), part.text()) {
                    (Some(whole), Some(part)) => Ok(truth(match test {
                        TextTest::Contains => whole.contains(part),
                        TextTest::StartsWith => whole.starts_with(part),
                        TextTest::EndsWith => whole.ends_with(part),
                    })),
                    _ => Err(UnknownReason(format!("{of} is not text"))),
                }
            }
            ExprKind::Matches(of, pattern) => {
                let whole = self.value(of)?;
                self.charge(weight(&whole))?;
                match whole.text() {
                    Some(text) => Ok(truth(pattern.is_match(text))),
                    None => Err(UnknownReason(format!("{of} is not text"))),
                }
            }
            ExprKind::Int(of) => self.int(of),
            ExprKind::Double(of) => self.double(of),
            ExprKind::Increase(of, number) => self.increase(of, number),
            ExprKind::Loop(each) => self.each(each),
        }
    }

    /// A value that no longer belongs to a reading.
    fn own(&mut self, value: Cow<'v, Value>) -> Result<Value, UnknownReason> {
        self.charge(weight(&value))?;
        Ok(value.into_owned())
    }

    fn variable(&mut self, name: &str) -> Answer<'v> {
        if let Some(at) = self.variables.iter().rposition(|(known, _)| *known == name) {
            let copied = self.variables.get(at).map_or(0, |(_, value)| match value {
                Cow::Owned(value) => weight(value),
                Cow::Borrowed(_) => 0,
            });
            self.charge(copied)?;
            let known = self.variables.get(at).map(|(_, value)| value.clone());
            return known.ok_or_else(|| UnknownReason(format!("{name} is not known")));
        }
        (self.probes)(name).map(Cow::Borrowed).ok_or_else(|| UnknownReason(format!("{name} has given no reading yet")))
    }

    fn logic(&mut self, logic: Logic, a: &'s ExprNode, b: &'s ExprNode) -> Answer<'v> {
        let decides = logic == Logic::Or;
        let first = self.truth(a);
        if first == Ok(decides) {
            return Ok(truth(decides));
        }
        let second = self.truth(b);
        if second == Ok(decides) {
            return Ok(truth(decides));
        }
        first.and(second).map(truth)
    }

    fn compare(&mut self, compare: Compare, a: &'s ExprNode, b: &'s ExprNode) -> Answer<'v> {
        let (left, right) = (self.value(a)?, self.value(b)?);
        self.charge(weight(&left).min(weight(&right)))?;
        if compare.orders() {
            let order = order(&left, &right).ok_or_else(|| UnknownReason(format!("{a} and {b} cannot be compared")))?;
            return Ok(truth(match compare {
                Compare::Less => order.is_lt(),
                Compare::LessEqual => order.is_le(),
                Compare::Greater => order.is_gt(),
                _ => order.is_ge(),
            }));
        }
        let equal =
            equal(&left, &right).map_err(|why| UnknownReason(format!("{a} and {b} cannot be compared: {why}")))?;
        Ok(truth(equal == (compare == Compare::Equal)))
    }

    fn arithmetic(&mut self, operator: Arithmetic, node: &'s ExprNode, a: &'s ExprNode, b: &'s ExprNode) -> Answer<'v> {
        let (left, right) = (self.value(a)?, self.value(b)?);
        match (&*left, &*right) {
            (Value::Int(x), Value::Int(y)) => {
                let result = match operator {
                    Arithmetic::Add => x.checked_add(*y),
                    Arithmetic::Subtract => x.checked_sub(*y),
                    Arithmetic::Multiply => x.checked_mul(*y),
                    Arithmetic::Divide | Arithmetic::Modulo if *y == 0 => {
                        return Err(UnknownReason(format!("{node} divides by zero")));
                    }
                    Arithmetic::Divide => x.checked_div(*y),
                    Arithmetic::Modulo => x.checked_rem(*y),
                };
                result.map(number).ok_or_else(|| overflow(node))
            }
            (Value::Float(x), Value::Float(y)) => match operator {
                Arithmetic::Add => Ok(measure(x + y)),
                Arithmetic::Subtract => Ok(measure(x - y)),
                Arithmetic::Multiply => Ok(measure(x * y)),
                Arithmetic::Divide if *y == 0.0 => Err(UnknownReason(format!("{node} divides by zero"))),
                Arithmetic::Divide => Ok(measure(x / y)),
                Arithmetic::Modulo => Err(UnknownReason(format!("{node} is not defined for doubles"))),
            },
            (Value::Text(x), Value::Text(y)) if operator == Arithmetic::Add => {
                self.charge(weight(&left).saturating_add(weight(&right)))?;
                Ok(Cow::Owned(Value::Text(format!("{x}{y}"))))
            }
            _ => Err(UnknownReason(format!("{a} and {b} are not numbers of one type"))),
        }
    }

    #[allow(clippy::cast_possible_truncation)] // checked against the range of i64 first
    fn int(&mut self, of: &'s ExprNode) -> Answer<'v> {
        match &*self.value(of)? {
            Value::Int(n) => Ok(number(*n)),
            // 2^63 is exact as a double, and the first one too large.
            Value::Float(x) if x.abs() < 9_223_372_036_854_775_808.0 => Ok(number(x.trunc() as i64)),
            Value::Text(text) => {
                text.trim().parse().map(number).map_err(|_| UnknownReason(format!("{of} is not a whole number")))
            }
            _ => Err(UnknownReason(format!("{of} does not fit an int"))),
        }
    }

    fn double(&mut self, of: &'s ExprNode) -> Answer<'v> {
        let value = self.value(of)?;
        match &*value {
            Value::Text(text) => {
                text.trim().parse().map(measure).map_err(|_| UnknownReason(format!("{of} is not a number")))
            }
            other => other.number().map(measure).ok_or_else(|| UnknownReason(format!("{of} is not a number"))),
        }
    }

    /// How much a number has grown. One that went back since its baseline was reset, so its growth is unknown; and so is
    /// that of a number beside which `counted_since` says that its counting began after the baseline was read.
    fn increase(&mut self, of: &'s ExprNode, name: &str) -> Answer<'v> {
        let present = self.value(of)?;
        let Some(baseline) = self.baselines.get(name) else {
            return Err(UnknownReason(format!("{name} is not counted yet")));
        };
        if let ExprKind::Field(record, _) = &of.kind
            && let Value::Map(fields) = &*self.value(record)?
            && let Some(since) = fields.get(COUNTED_SINCE)
        {
            let Value::Int(since) = since else {
                let why = "which is not the milliseconds since 1970 at which counting began";
                return Err(UnknownReason(format!("{COUNTED_SINCE} beside {name} is {since}, {why}")));
            };
            if *since > baseline.at.0 {
                let since = At(*since).utc();
                let why = format!("{name} is counted only since {since}: what was before is not known");
                return Err(UnknownReason(why));
            }
        }
        if let Some(reset) = &baseline.reset {
            return Err(UnknownReason(format!("{name} {reset}")));
        }
        let grown = match (&*present, &baseline.value) {
            (Value::Int(now), Value::Int(then)) => number(now.checked_sub(*then).ok_or_else(|| overflow(of))?),
            (now, then) => match (now.number(), then.number()) {
                (Some(now), Some(then)) => measure(now - then),
                _ => return Err(UnknownReason(format!("{name} is not a number"))),
            },
        };
        if grown.number().is_some_and(|grown| grown < 0.0) {
            let then = &baseline.value;
            return Err(UnknownReason(format!("{name} went back from {then} to {}: it was reset", &*present)));
        }
        Ok(grown)
    }

    /// The elements of the list a macro goes over.
    pub(super) fn elements(&mut self, each: &'s Loop) -> Result<Vec<Cow<'v, Value>>, UnknownReason> {
        match self.value(&each.over)? {
            Cow::Borrowed(Value::List(items)) => {
                self.charge(items.len())?;
                Ok(items.iter().map(Cow::Borrowed).collect())
            }
            Cow::Owned(Value::List(items)) => {
                self.charge(items.len())?;
                Ok(items.into_iter().map(Cow::Owned).collect())
            }
            _ => Err(UnknownReason(format!("{} is not a list", each.over))),
        }
    }

    /// Evaluates with the macro's variable standing for `element`.
    pub(super) fn with<T>(
        &mut self,
        each: &'s Loop,
        element: Cow<'v, Value>,
        evaluate: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.variables.push((&each.variable, element));
        let result = evaluate(self);
        self.variables.pop();
        result
    }

    fn each(&mut self, each: &'s Loop) -> Answer<'v> {
        let elements = self.elements(each)?;
        // CEL says that everything is true of them, and that none is so: what was not there would open a gate.
        if elements.is_empty() && matches!(each.which, Which::All | Which::Exists | Which::ExistsOne) {
            let over = &each.over;
            let why = format!(
                "{over} is empty, so nothing was asked of its elements (`size({over}) == 0 ||` before it lets that pass)"
            );
            return Err(UnknownReason(why));
        }
        match each.which {
            Which::All | Which::Exists => {
                let decides = each.which == Which::Exists;
                let mut unclear = None;
                for element in elements {
                    match self.with(each, element, |scope| scope.truth(&each.body)) {
                        Ok(answer) if answer == decides => return Ok(truth(decides)),
                        Ok(_) => {}
                        Err(unknown) if self.is_exhausted() => return Err(unknown),
                        Err(unknown) => unclear = unclear.or(Some(unknown)),
                    }
                }
                unclear.map_or(Ok(truth(!decides)), Err)
            }
            Which::ExistsOne => {
                let mut found = 0_usize;
                for element in elements {
                    found += usize::from(self.with(each, element, |scope| scope.truth(&each.body))?);
                }
                Ok(truth(found == 1))
            }
            Which::Map | Which::Filter => {
                let mut kept = Vec::new();
                for element in elements {
                    if matches!(element, Cow::Owned(_)) {
                        self.charge(weight(&element))?;
                    }
                    let result = self.with(each, element.clone(), |scope| -> Result<Option<Value>, UnknownReason> {
                        if each.which == Which::Filter {
                            return if scope.truth(&each.body)? { scope.own(element).map(Some) } else { Ok(None) };
                        }
                        if let Some(only) = &each.only
                            && !scope.truth(only)?
                        {
                            return Ok(None);
                        }
                        let value = scope.value(&each.body)?;
                        scope.own(value).map(Some)
                    })?;
                    kept.extend(result);
                }
                Ok(Cow::Owned(Value::List(kept)))
            }
        }
    }
}

/// How many steps it takes to copy or compare a value.
fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) => 1 + text.len() / STEP_OF_TEXT,
        Value::List(items) => items.iter().map(weight).fold(1, usize::saturating_add),
        Value::Map(map) => map.values().map(weight).fold(1, usize::saturating_add),
        _ => 1,
    }
}

/// Whether `item` is among `items`; unknown when it may be one that cannot be compared.
fn member<'v>(item: &Value, items: &[Value], list: &ExprNode) -> Answer<'v> {
    let mut unclear = None;
    for other in items {
        match equal(item, other) {
            Ok(true) => return Ok(truth(true)),
            Ok(false) => {}
            Err(why) => unclear = Some(UnknownReason(format!("an element of {list} cannot be compared: {why}"))),
        }
    }
    unclear.map_or(Ok(truth(false)), Err)
}

fn truth<'v>(yes: bool) -> Cow<'v, Value> {
    Cow::Owned(Value::Bool(yes))
}

fn number<'v>(n: i64) -> Cow<'v, Value> {
    Cow::Owned(Value::Int(n))
}

fn measure<'v>(x: f64) -> Cow<'v, Value> {
    Cow::Owned(Value::Float(x))
}

fn overflow(node: &ExprNode) -> UnknownReason {
    UnknownReason(format!("{node} is too large"))
}

/// A part of a value, borrowed when the whole is.
fn take(value: Cow<'_, Value>, part: impl Fn(&Value) -> Option<&Value>) -> Option<Cow<'_, Value>> {
    match value {
        Cow::Borrowed(value) => part(value).map(Cow::Borrowed),
        Cow::Owned(value) => part(&value).cloned().map(Cow::Owned),
    }
}

/// Checks a value against its declared shape. A whole number is accepted where a double was declared.
fn promised<'v>(value: Cow<'v, Value>, node: &ExprNode) -> Answer<'v> {
    let fits = match (&node.shape, &*value) {
        (Shape::Float, Value::Int(_)) => return Ok(measure(value.number().unwrap_or(f64::NAN))),
        (_, Value::Null)
        | (Shape::Any, _)
        | (Shape::Bool, Value::Bool(_))
        | (Shape::Int, Value::Int(_))
        | (Shape::Float, Value::Float(_))
        | (Shape::Text, Value::Text(_))
        | (Shape::List(_), Value::List(_))
        | (Shape::Record(_), Value::Map(_)) => true,
        _ => false,
    };
    if fits { Ok(value) } else { Err(UnknownReason(format!("{node} is not what it should be, {}", kind(&node.shape)))) }
}

fn kind(shape: &Shape) -> &'static str {
    match shape {
        Shape::Bool => "true or false",
        Shape::Int => "a whole number",
        Shape::Float => "a number",
        Shape::Text => "text",
        Shape::List(_) => "a list",
        Shape::Record(_) => "a record",
        Shape::Any => "anything",
    }
}

fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Float(b)) => order_mixed(*a, *b),
        (Value::Float(a), Value::Int(b)) => order_mixed(*b, *a).map(Ordering::reverse),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Compares an int with a double by value, as CEL does: not every int is one as a double.
#[allow(clippy::cast_possible_truncation)] // within the range of i64
#[allow(clippy::cast_precision_loss)] // of a whole double, which is one again
fn order_mixed(int: i64, double: f64) -> Option<Ordering> {
    // 2^63 is exact as a double, and the first one too large.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if double.is_nan() {
        return None;
    }
    if double >= BEYOND {
        return Some(Ordering::Less);
    }
    if double < -BEYOND {
        return Some(Ordering::Greater);
    }
    let whole = double.trunc() as i64;
    Some(int.cmp(&whole).then_with(|| (whole as f64).total_cmp(&double)))
}

/// Whether two values are equal; an error where that is not known: `null`, NaN or a masked secret hides inside, or they are of
/// different types. CEL says that `"1" != 1`, which a document that writes its numbers as texts would make GO.
fn equal(a: &Value, b: &Value) -> Result<bool, &'static str> {
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) => Err("null"),
        (Value::Float(x), _) | (_, Value::Float(x)) if x.is_nan() => Err("not a number"),
        (Value::Text(text), _) | (_, Value::Text(text)) if is_masked(text) => Err(HOLDS_MASKED),
        (Value::Map(map), _) | (_, Value::Map(map)) if map.keys().any(|key| is_masked(key)) => Err(HOLDS_MASKED),
        (Value::List(a), Value::List(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            a.iter().zip(b).try_fold(true, |same, (a, b)| Ok(equal(a, b)? && same))
        }
        (Value::Map(a), Value::Map(b)) => {
            if !a.keys().eq(b.keys()) {
                return Ok(false);
            }
            a.values().zip(b.values()).try_fold(true, |same, (a, b)| Ok(equal(a, b)? && same))
        }
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        _ => order(a, b).map(Ordering::is_eq).ok_or(OF_TWO_TYPES),
    }
}
