//! The functions and macros that an expression may call, each with what it takes and gives.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};

use super::super::nearest::suggestion;
use super::super::time::Span;
use super::super::value::{Shape, Value};
use super::check::Checker;
use super::node::{ExprKind, ExprNode, Loop, TextTest, Unit, Which};
use super::types::{a, boolean};

/// Functions and macros an expression may call, for suggestions.
const FUNCTIONS: [&str; 16] = [
    "all",
    "bytes",
    "contains",
    "double",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "has",
    "increase",
    "int",
    "map",
    "matches",
    "seconds",
    "size",
    "startsWith",
];

impl Checker<'_> {
    pub(super) fn unknown_function(&mut self, expr: &IdedExpr, call: &CallExpr) -> Option<ExprNode> {
        let name = call.func_name.as_str();
        let hint = match name {
            "all" | "exists" | "exists_one" | "map" | "filter" => Some(format!("write `list.{name}(x, …)`")),
            "contains" | "startsWith" | "endsWith" | "matches" => Some(format!("write `text.{name}(\"…\")`")),
            "duration" => Some("write `seconds(\"1m30s\")`".to_owned()),
            "bytes" | "seconds" | "size" | "int" | "double" => Some(format!("`{name}` takes one value")),
            _ => suggestion(name, FUNCTIONS),
        };
        if FUNCTIONS.contains(&name) {
            return self.fault(expr, format!("`{name}` is not called like this"), hint);
        }
        self.fault(expr, format!("there is no function `{name}`"), hint)
    }

    /// `increase(probe.number)`: only a number of a probe can be looked up again when its step begins.
    pub(super) fn increase(&mut self, expr: &IdedExpr, of: &IdedExpr) -> Option<ExprNode> {
        let node = self.node(of)?;
        let mut part = &node;
        while let ExprKind::Field(inner, _) = &part.kind {
            part = inner;
        }
        let of_a_probe = match &part.kind {
            ExprKind::Variable(name) => !self.variables.iter().any(|(known, _)| known == name),
            _ => false,
        };
        if !of_a_probe || !matches!(node.kind, ExprKind::Field(..)) {
            let hint = Some("write `increase(probe.number)`".to_owned());
            return self.fault(expr, format!("`increase` takes a probe's number, not `{node}`"), hint);
        }
        if !matches!(node.shape, Shape::Int | Shape::Float) {
            let message = format!("`increase` needs a number, but `{node}` is {}", a(&node.shape));
            return self.fault(of, message, None);
        }
        let (number, shape, unit) = (node.to_string(), node.shape.clone(), node.unit);
        Some(ExprNode { kind: ExprKind::Increase(Box::new(node), number), shape, unit })
    }

    /// `bytes("1MiB")` and `seconds("1m30s")`: literals only, so that a typing error is found now.
    pub(super) fn amount(&mut self, expr: &IdedExpr, name: &str, of: &IdedExpr) -> Option<ExprNode> {
        let example = if name == "bytes" { "bytes(\"1MiB\")" } else { "seconds(\"1m30s\")" };
        let Expr::Literal(LiteralValue::String(literal)) = &of.expr else {
            return self.fault(expr, format!("`{name}` takes a literal text"), Some(format!("write `{example}`")));
        };
        let literal = literal.inner();
        let (value, shape, unit) = if name == "bytes" {
            let size = literal.parse::<bytesize::ByteSize>().ok();
            let Some(size) = size.and_then(|size| i64::try_from(size.as_u64()).ok()) else {
                let hint = Some("write it like 512KiB, 1MiB or 1.5GiB".to_owned());
                return self.fault(of, format!("`{literal}` is not a size"), hint);
            };
            (Value::Int(size), Shape::Int, Unit::Bytes)
        } else {
            let Ok(span) = literal.parse::<Span>() else {
                let hint = Some("write it like 500ms, 30s, 1m30s or 48h".to_owned());
                return self.fault(of, format!("`{literal}` is not a length of time"), hint);
            };
            (Value::Float(span.as_secs_f64()), Shape::Float, Unit::Seconds)
        };
        Some(ExprNode { kind: ExprKind::Constant { value, text: format!("{name}({literal:?})") }, shape, unit })
    }

    pub(super) fn conversion(&mut self, expr: &IdedExpr, double: bool, of: &IdedExpr) -> Option<ExprNode> {
        let node = self.node(of)?;
        let name = if double { "double" } else { "int" };
        if !matches!(node.shape, Shape::Int | Shape::Float | Shape::Text | Shape::Any) {
            return self.fault(expr, format!("`{node}` is {} and cannot become {name}", a(&node.shape)), None);
        }
        let unit = node.unit;
        Some(if double {
            ExprNode { kind: ExprKind::Double(Box::new(node)), shape: Shape::Float, unit }
        } else {
            ExprNode { kind: ExprKind::Int(Box::new(node)), shape: Shape::Int, unit }
        })
    }

    pub(super) fn text(&mut self, expr: &IdedExpr, name: &str, of: &IdedExpr, with: &IdedExpr) -> Option<ExprNode> {
        let (node, pattern) = (self.node(of), self.node(with));
        let (node, pattern) = (node?, pattern?);
        for operand in [&node, &pattern] {
            if !matches!(operand.shape, Shape::Text | Shape::Any) {
                let message = format!("`{name}` needs text, but `{operand}` is {}", a(&operand.shape));
                return self.fault(expr, message, None);
            }
        }
        let test = match name {
            "contains" => TextTest::Contains,
            "startsWith" => TextTest::StartsWith,
            "endsWith" => TextTest::EndsWith,
            _ => {
                let ExprKind::Constant { value: Value::Text(text), .. } = &pattern.kind else {
                    return self.fault(with, "`matches` takes a literal pattern".to_owned(), None);
                };
                // A small program is enough for any condition and keeps a hostile one from eating memory.
                return match regex::RegexBuilder::new(text).size_limit(1 << 20).build() {
                    Ok(regex) => Some(boolean(ExprKind::Matches(Box::new(node), regex))),
                    Err(_) => self.fault(with, format!("`{text}` is not a regular expression"), None),
                };
            }
        };
        Some(boolean(ExprKind::Text(test, Box::new(node), Box::new(pattern))))
    }

    pub(super) fn each(&mut self, expr: &IdedExpr, name: &str, over: &IdedExpr, args: &[IdedExpr]) -> Option<ExprNode> {
        let over = self.node(over)?;
        let element = match &over.shape {
            Shape::List(of) => (**of).clone(),
            Shape::Any => Shape::Any,
            other => return self.fault(expr, format!("`{name}` needs a list, but `{over}` is {}", a(other)), None),
        };
        let (variable, only, body) = match args {
            [IdedExpr { expr: Expr::Ident(variable), .. }, body] => (variable, None, body),
            [IdedExpr { expr: Expr::Ident(variable), .. }, only, body] if name == "map" => (variable, Some(only), body),
            _ => {
                let hint = Some(format!("write `{over}.{name}(x, …)`"));
                return self.fault(expr, format!("`{name}` takes a name and an expression"), hint);
            }
        };
        if self.shapes.contains_key(variable.as_str()) {
            let message = format!("`{variable}` is a probe and cannot name the elements of `{over}`");
            return self.fault(args.first()?, message, Some("choose another name".to_owned()));
        }
        self.variables.push((variable.clone(), element.clone()));
        let only = only.map(|only| self.boolean(only, "the filter of `map`"));
        let body = if name == "map" { self.node(body) } else { self.boolean(body, &format!("`{name}`")) };
        self.variables.pop();
        let (only, body) = (only.map_or(Some(None), |only| only.map(Some)), body?);
        let (which, shape) = match name {
            "all" => (Which::All, Shape::Bool),
            "exists" => (Which::Exists, Shape::Bool),
            "map" => (Which::Map, Shape::List(Box::new(body.shape.clone()))),
            "filter" => (Which::Filter, Shape::List(Box::new(element))),
            _ => (Which::ExistsOne, Shape::Bool),
        };
        let each = Loop { which, over, variable: variable.clone(), only: only?, body };
        Some(ExprNode { kind: ExprKind::Loop(Box::new(each)), shape, unit: Unit::Plain })
    }
}
