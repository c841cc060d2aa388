//! The checker: from CEL's syntax tree to a [`ExprNode`], with every name and type checked against the probes' shapes.
//!
//! The `cel` crate reads the text. It knows no types before a program runs, so what it accepts is checked here.

use std::collections::BTreeMap;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators};

use super::super::ids::ProbeId;
use super::super::nearest::suggestion;
use super::super::value::{Shape, Value};
use super::error::ExprError;
use super::node::{Arithmetic, Compare, ExprKind, ExprNode, Logic, Unit};
use super::types::{a, arithmetic, boolean, comparable, comparison, unit_of, unquoted};

/// Deepest nesting of an expression; what people write stays below ten.
const DEPTH: usize = 64;

pub(super) struct Checker<'a> {
    source: &'a str,
    info: &'a SourceInfo,
    pub(super) shapes: &'a BTreeMap<ProbeId, Shape>,
    pub(super) variables: Vec<(String, Shape)>,
    depth: usize,
    pub errors: Vec<ExprError>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(source: &'a str, info: &'a SourceInfo, shapes: &'a BTreeMap<ProbeId, Shape>) -> Self {
        Self { source, info, shapes, variables: Vec::new(), depth: 0, errors: Vec::new() }
    }

    /// Checks a whole condition, which must be true or false. `None` when a fault was recorded.
    pub(super) fn condition(&mut self, expr: &IdedExpr) -> Option<ExprNode> {
        let node = self.node(expr)?;
        if matches!(node.shape, Shape::Bool | Shape::Any) {
            return Some(node);
        }
        let hint = match &node.shape {
            Shape::Int | Shape::Float => Some(format!("compare it, for example `{node} < 10`")),
            Shape::Text => Some(format!("compare it, for example `{node} == \"…\"`")),
            Shape::List(_) => Some(format!("ask about its elements, for example `{node}.all(x, …)`")),
            Shape::Record(fields) => {
                fields.first().map(|first| format!("use a field, for example `{node}.{}`", first.name))
            }
            Shape::Bool | Shape::Any => None,
        };
        self.fault(expr, format!("a condition must be true or false, but `{node}` is {}", a(&node.shape)), hint)
    }

    pub(super) fn fault<T>(&mut self, at: &IdedExpr, message: String, hint: Option<String>) -> Option<T> {
        let (offset, len) = self.place(at);
        self.errors.push(ExprError { offset, len, message, hint });
        None
    }

    /// Where to point for a fault in `expr`: the name of a field or function, the operator, or the literal.
    fn place(&self, expr: &IdedExpr) -> (usize, usize) {
        let Some((start, stop)) = self.info.offset_for(expr.id) else { return (0, self.source.len().max(1)) };
        let (start, stop) = (byte_offset(self.source, start as usize), byte_offset(self.source, stop as usize + 1));
        let name = match &expr.expr {
            Expr::Select(select) => Some(select.field.as_str()),
            Expr::Call(call) if call.func_name.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                Some(call.func_name.as_str())
            }
            _ => None,
        };
        if let Some(name) = name {
            let after = self.source.get(start..).and_then(|rest| rest.find(name)).map(|at| start + at);
            let before = self.source.get(..start).and_then(|rest| rest.rfind(name));
            let found = if self.source.get(start..).is_some_and(|rest| rest.starts_with('(')) {
                before.or(after)
            } else {
                after.or(before)
            };
            if let Some(found) = found {
                return (found, name.len());
            }
        }
        (start, stop.saturating_sub(start).max(1))
    }

    pub(super) fn node(&mut self, expr: &IdedExpr) -> Option<ExprNode> {
        if self.depth >= DEPTH {
            return self.fault(expr, "the expression is nested too deeply".to_owned(), None);
        }
        self.depth += 1;
        let node = self.shallow(expr);
        self.depth -= 1;
        node
    }

    fn shallow(&mut self, expr: &IdedExpr) -> Option<ExprNode> {
        match &expr.expr {
            Expr::Literal(literal) => self.literal(expr, literal),
            Expr::Ident(name) => self.variable(expr, name),
            Expr::Select(select) => self.field(expr, select),
            Expr::List(list) => {
                let items: Vec<Option<ExprNode>> = list.elements.iter().map(|item| self.node(item)).collect();
                let items: Vec<ExprNode> = items.into_iter().collect::<Option<_>>()?;
                let shape = items.first().map_or(Shape::Any, |first| first.shape.clone());
                let shape = if items.iter().all(|item| item.shape == shape) { shape } else { Shape::Any };
                Some(ExprNode { kind: ExprKind::List(items), shape: Shape::List(Box::new(shape)), unit: Unit::Plain })
            }
            Expr::Call(call) => self.call(expr, call),
            Expr::Map(_) | Expr::Struct(_) => {
                self.fault(expr, "conditions have no map or message literals".to_owned(), None)
            }
            Expr::Comprehension(_) | Expr::Unspecified => {
                self.fault(expr, "this cannot be used in a condition".to_owned(), None)
            }
        }
    }

    fn literal(&mut self, expr: &IdedExpr, literal: &LiteralValue) -> Option<ExprNode> {
        let (offset, len) = self.place(expr);
        let text = self.source.get(offset..offset + len).unwrap_or_default().to_owned();
        let (value, shape) = match literal {
            LiteralValue::Boolean(yes) => (Value::Bool(*yes.inner()), Shape::Bool),
            LiteralValue::Int(n) => (Value::Int(*n.inner()), Shape::Int),
            LiteralValue::Double(x) => (Value::Float(*x.inner()), Shape::Float),
            LiteralValue::String(text) => (Value::Text(text.inner().to_owned()), Shape::Text),
            LiteralValue::UInt(_) => {
                return self.fault(
                    expr,
                    "readings have no unsigned numbers".to_owned(),
                    Some("leave the `u` away".to_owned()),
                );
            }
            LiteralValue::Bytes(_) => {
                let hint = Some("for a size write `bytes(\"1MiB\")`".to_owned());
                return self.fault(expr, "readings have no byte strings".to_owned(), hint);
            }
            LiteralValue::Null => {
                let hint = Some("ask with `has(probe.field)` whether there is a value".to_owned());
                return self.fault(expr, "a condition cannot be compared with null: null is UNKNOWN".to_owned(), hint);
            }
        };
        // The parser takes the sign into the number and leaves it out of the number's place.
        let is_negative = matches!(value, Value::Int(n) if n < 0) || matches!(value, Value::Float(x) if x < 0.0);
        let text = if is_negative && !text.starts_with('-') { format!("-{text}") } else { text };
        Some(ExprNode { kind: ExprKind::Constant { value, text }, shape, unit: Unit::Plain })
    }

    fn variable(&mut self, expr: &IdedExpr, name: &str) -> Option<ExprNode> {
        let local = self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, shape)| shape.clone());
        if let Some(shape) = local.or_else(|| self.shapes.get(name).cloned()) {
            return Some(ExprNode { kind: ExprKind::Variable(name.to_owned()), shape, unit: Unit::Plain });
        }
        let hint = suggestion(
            name,
            self.variables.iter().map(|(name, _)| name.as_str()).chain(self.shapes.keys().map(ProbeId::as_str)),
        );
        self.fault(expr, format!("there is no probe `{name}`"), hint)
    }

    fn field(&mut self, expr: &IdedExpr, select: &SelectExpr) -> Option<ExprNode> {
        let of = self.node(&select.operand)?;
        let (shape, unit) = match &of.shape {
            Shape::Record(fields) => {
                let Some(field) = fields.iter().find(|field| field.name == select.field) else {
                    let hint = suggestion(&select.field, fields.iter().map(|field| field.name.as_str()));
                    return self.fault(expr, format!("`{of}` has no field `{}`", select.field), hint);
                };
                (field.shape.clone(), unit_of(field))
            }
            Shape::Any => (Shape::Any, Unit::Plain),
            other => {
                let message = format!("`{of}` is {} and has no fields", a(other));
                let hint = matches!(other, Shape::List(_))
                    .then(|| format!("ask about its elements, for example `{of}.all(x, x.{} …)`", select.field));
                return self.fault(expr, message, hint);
            }
        };
        Some(ExprNode { kind: ExprKind::Field(Box::new(of), select.field.clone()), shape, unit })
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Option<ExprNode> {
        let name = call.func_name.as_str();
        match (name, call.target.as_deref(), call.args.as_slice()) {
            (operators::LOGICAL_AND, None, [a, b]) => self.logic(Logic::And, a, b),
            (operators::LOGICAL_OR, None, [a, b]) => self.logic(Logic::Or, a, b),
            (operators::LOGICAL_NOT, None, [of]) => {
                let node = self.boolean(of, "`!`")?;
                Some(boolean(ExprKind::Not(Box::new(node))))
            }
            (operators::NEGATE, None, [of]) => {
                let node = self.node(of)?;
                if !matches!(node.shape, Shape::Int | Shape::Float | Shape::Any) {
                    return self.fault(expr, format!("`-` needs a number, but `{node}` is {}", a(&node.shape)), None);
                }
                let (shape, unit) = (node.shape.clone(), node.unit);
                Some(ExprNode { kind: ExprKind::Negate(Box::new(node)), shape, unit })
            }
            (operators::CONDITIONAL, None, [a, b, c]) => self.conditional(expr, a, b, c),
            (operators::INDEX, None, [of, at]) => self.index(expr, of, at),
            (operators::IN, None, [item, list]) => self.member(expr, item, list),
            (_, None, [left, right]) if comparison(name).is_some() => {
                self.compare(expr, comparison(name)?, left, right)
            }
            (_, None, [left, right]) if arithmetic(name).is_some() => {
                self.arithmetic(expr, arithmetic(name)?, left, right)
            }
            ("increase", None, [of]) => self.increase(expr, of),
            ("has", None, [IdedExpr { expr: Expr::Select(select), .. }]) => {
                // The field must be known even though its value may be missing.
                let field = self.field(call.args.first()?, select)?;
                match field.kind {
                    ExprKind::Field(of, name) => Some(boolean(ExprKind::Has(of, name))),
                    _ => None,
                }
            }
            ("has", None, _) => {
                let hint = Some("write `has(probe.field)`".to_owned());
                self.fault(expr, "`has` takes one field".to_owned(), hint)
            }
            ("bytes" | "seconds", None, [of]) => self.amount(expr, name, of),
            ("size", None, [of]) | ("size", Some(of), []) => {
                let node = self.node(of)?;
                if !matches!(node.shape, Shape::Text | Shape::List(_) | Shape::Record(_) | Shape::Any) {
                    return self.fault(expr, format!("`{node}` is {} and has no size", a(&node.shape)), None);
                }
                Some(ExprNode { kind: ExprKind::Size(Box::new(node)), shape: Shape::Int, unit: Unit::Plain })
            }
            ("int" | "double", None, [of]) => self.conversion(expr, name == "double", of),
            ("contains" | "startsWith" | "endsWith" | "matches", Some(of), [with]) => self.text(expr, name, of, with),
            ("all" | "exists" | "exists_one" | "existsOne" | "map" | "filter", Some(over), args) => {
                self.each(expr, name, over, args)
            }
            _ => self.unknown_function(expr, call),
        }
    }

    pub(super) fn boolean(&mut self, expr: &IdedExpr, what: &str) -> Option<ExprNode> {
        let node = self.node(expr)?;
        if matches!(node.shape, Shape::Bool | Shape::Any) {
            return Some(node);
        }
        self.fault(expr, format!("{what} needs true or false, but `{node}` is {}", a(&node.shape)), None)
    }

    fn logic(&mut self, logic: Logic, a: &IdedExpr, b: &IdedExpr) -> Option<ExprNode> {
        let what = if logic == Logic::And { "`&&`" } else { "`||`" };
        let (a, b) = (self.boolean(a, what), self.boolean(b, what));
        Some(boolean(ExprKind::Logic(logic, Box::new(a?), Box::new(b?))))
    }

    fn conditional(&mut self, expr: &IdedExpr, a: &IdedExpr, b: &IdedExpr, c: &IdedExpr) -> Option<ExprNode> {
        let (a, b, c) = (self.boolean(a, "`? :`"), self.node(b), self.node(c));
        let (a, b, c) = (a?, b?, c?);
        if b.shape != c.shape && b.shape != Shape::Any && c.shape != Shape::Any {
            let message = format!("both results of `? :` must have one type, not {} and {}", b.shape, c.shape);
            return self.fault(expr, message, None);
        }
        let (shape, unit) = (if b.shape == Shape::Any { c.shape.clone() } else { b.shape.clone() }, b.unit);
        Some(ExprNode { kind: ExprKind::Conditional(Box::new(a), Box::new(b), Box::new(c)), shape, unit })
    }

    fn index(&mut self, expr: &IdedExpr, of: &IdedExpr, at: &IdedExpr) -> Option<ExprNode> {
        let (of, at) = (self.node(of), self.node(at));
        let (of, at) = (of?, at?);
        let shape = match (&of.shape, &at.shape) {
            (Shape::List(item), Shape::Int | Shape::Any) => (**item).clone(),
            (Shape::Any, _) => Shape::Any,
            (Shape::Record(_), _) => {
                return self.fault(expr, format!("write a field of `{of}` with a dot"), None);
            }
            _ => return self.fault(expr, format!("`{of}` is {} and has no `[{at}]`", a(&of.shape)), None),
        };
        let unit = of.unit;
        Some(ExprNode { kind: ExprKind::Index(Box::new(of), Box::new(at)), shape, unit })
    }

    fn member(&mut self, expr: &IdedExpr, item: &IdedExpr, list: &IdedExpr) -> Option<ExprNode> {
        let (item, list) = (self.node(item), self.node(list));
        let (item, list) = (item?, list?);
        match &list.shape {
            Shape::Any => {}
            Shape::List(of) if comparable(&item.shape, of) => {}
            Shape::List(of) => {
                let message = format!("`{item}` is {} but `{list}` holds {of}", a(&item.shape));
                return self.fault(expr, message, None);
            }
            other => return self.fault(expr, format!("`in` needs a list, but `{list}` is {}", a(other)), None),
        }
        Some(boolean(ExprKind::In(Box::new(item), Box::new(list))))
    }

    fn compare(&mut self, expr: &IdedExpr, compare: Compare, left: &IdedExpr, right: &IdedExpr) -> Option<ExprNode> {
        let (left, right) = (self.node(left), self.node(right));
        let (left, right) = (left?, right?);
        if !comparable(&left.shape, &right.shape) {
            let message = format!(
                "`{left}` is {} and cannot be compared with `{right}`, which is {}",
                a(&left.shape),
                a(&right.shape)
            );
            let hint = unquoted(&left, &right).or_else(|| unquoted(&right, &left));
            return self.fault(expr, message, hint);
        }
        let ordered = |shape: &Shape| matches!(shape, Shape::Int | Shape::Float | Shape::Text | Shape::Any);
        if compare.orders() && !(ordered(&left.shape) && ordered(&right.shape)) {
            let message = format!("`{}` needs numbers or text, but `{left}` is {}", compare.symbol(), a(&left.shape));
            return self.fault(expr, message, None);
        }
        Some(boolean(ExprKind::Compare(compare, Box::new(left), Box::new(right))))
    }

    fn arithmetic(&mut self, expr: &IdedExpr, op: Arithmetic, left: &IdedExpr, right: &IdedExpr) -> Option<ExprNode> {
        let (left, right) = (self.node(left), self.node(right));
        let (left, right) = (left?, right?);
        let symbol = op.symbol();
        let shape = match (&left.shape, &right.shape) {
            (Shape::Int, Shape::Int) => Shape::Int,
            (Shape::Float, Shape::Float) if op != Arithmetic::Modulo => Shape::Float,
            (Shape::Text, Shape::Text) if op == Arithmetic::Add => Shape::Text,
            (Shape::Any, Shape::Int | Shape::Float | Shape::Text | Shape::Any)
            | (Shape::Int | Shape::Float | Shape::Text, Shape::Any) => Shape::Any,
            (Shape::Int, Shape::Float) | (Shape::Float, Shape::Int) if op != Arithmetic::Modulo => {
                let whole = if left.shape == Shape::Int { &left } else { &right };
                let hint = match &whole.kind {
                    ExprKind::Constant { value: Value::Int(n), .. } => format!("write `{n}.0`"),
                    _ => format!("write `double({whole})`"),
                };
                let message = format!("`{symbol}` does not mix int and double: `{whole}` is an int");
                return self.fault(expr, message, Some(hint));
            }
            (left_shape, right_shape) => {
                let message = format!("`{symbol}` cannot be applied to {} and {}", a(left_shape), a(right_shape));
                return self.fault(expr, message, None);
            }
        };
        let unit = match op {
            Arithmetic::Divide if right.unit != Unit::Plain => Unit::Plain,
            Arithmetic::Multiply if left.unit != Unit::Plain && right.unit != Unit::Plain => Unit::Plain,
            Arithmetic::Divide | Arithmetic::Modulo => left.unit,
            _ if left.unit == Unit::Plain => right.unit,
            _ => left.unit,
        };
        Some(ExprNode { kind: ExprKind::Arithmetic(op, Box::new(left), Box::new(right)), shape, unit })
    }
}

/// The byte offset of the `at`th character: the parser counts characters.
fn byte_offset(source: &str, at: usize) -> usize {
    source.char_indices().nth(at).map_or(source.len(), |(offset, _)| offset)
}
