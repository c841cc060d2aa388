//! The `sql` probe and the `sql` action.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{
    ActionDoc, ActionSpec, CheckContext, Complaint, OwnFields, ProbeDoc, ProbeSpec, TargetUse, check_declared,
    declared_fields, declared_shape,
};
use crate::core::ids::TargetId;
use crate::core::simulate::{Change, Simulated};
use crate::core::target::{self, Target};
use crate::core::time::Span;
use crate::core::value::{Field, FieldType, Shape};

/// One row of an SQL query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SqlProbe {
    /// The `postgres` target.
    pub target: TargetId,
    /// A query that returns one row. It runs in a read-only transaction.
    pub query: String,
    /// The columns that expressions may use, with their types. A text of more than 4,096 characters and a list or an object of
    /// more than 1,000 elements are no reading.
    pub fields: BTreeMap<String, FieldType>,
    /// The declared field with the moment that the row describes, from which the age of a reading counts: text as RFC
    /// 3339, such as `2027-03-14T02:00:00Z`, or seconds since 1970. A time in the future is a failure.
    /// What is renewed less often than readings stay good (two rounds of `every`) leaves gates UNKNOWN in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Where fields come from in a rehearsal; from the runbook's own conditions when absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub simulate: BTreeMap<String, Simulated>,
}

impl ProbeSpec for SqlProbe {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        vec![TargetUse::new(&self.target, "postgres", "target")]
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn shape(&self) -> Shape {
        declared_shape(&self.fields)
    }

    fn check(&self, _: &CheckContext<'_>) -> Vec<Complaint> {
        check_declared(&self.fields, self.as_of.as_deref())
    }

    fn as_of(&self) -> Option<&str> {
        self.as_of.as_deref()
    }

    fn own_fields(&self) -> Option<OwnFields<'_>> {
        Some((&self.fields, &self.simulate))
    }
}

impl ProbeDoc for SqlProbe {
    const EXAMPLE: &'static str = r#"title: See that nobody writes any more
targets:
  shop: { postgres: { dsn: "host=db.example.com user=gonogo dbname=shop" } }
probes:
  writers:
    kind: sql
    target: shop
    query: select count(*) as open from pg_stat_activity where usename = 'shop' and state <> 'idle'
    fields: { open: int }
phases:
  - title: Drain
    steps:
      - id: quiet
        title: Wait until no transaction of the shop is open
        action: { wait: { until: { conditions: [writers.open == 0], within: 2m } } }
        expect: 10s
        reversibility: free
"#;
    const RIGHTS: &'static str =
        "A database role that may log in and run the query. The query runs read only, under a statement timeout.";

    fn fields() -> Vec<Field> {
        declared_fields()
    }
}

/// Runs SQL statements on a database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SqlAction {
    /// The `postgres` target.
    pub target: TargetId,
    /// Statements, run one after the other. A secret in them is quoted: `{{ secrets.NAME | literal }}`.
    #[schemars(length(min = 1))]
    pub statements: Vec<String>,
    /// Run all of them in one transaction. Some statements, such as `CREATE SUBSCRIPTION`, do not allow it. None of them may
    /// begin or end a transaction; without `transaction`, they have to end what they begin.
    #[serde(default)]
    pub transaction: bool,
    /// What the last statement must give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<SqlExpect>,
    /// Longest time for each statement. 30s when absent.
    #[serde(default = "thirty_seconds")]
    pub limit: Span,
    /// What a WARNING of the server does. It is printed and stands in the step's result in any case.
    #[serde(default, skip_serializing_if = "OnWarning::is_default")]
    pub warnings: OnWarning,
    /// What it changes in a rehearsal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub simulate: Vec<Change>,
}

impl SqlAction {
    /// How long a statement may wait for a lock: a little less than its own limit, so that it says what it waited for.
    pub fn lock_limit(&self) -> Span {
        Span(self.limit.0.saturating_mul(9) / 10)
    }
}

/// The word of a statement that begins or ends a transaction, where it can be seen without understanding SQL: the first word
/// of the text, and the first one after each `;` of a text without quotes and comments.
fn transaction_word(text: &str) -> Option<&str> {
    let is_plain = !["'", "\"", "$", "--", "/*"].iter().any(|mark| text.contains(mark))
        && !text.to_ascii_lowercase().contains("atomic");
    text.split(';').take(if is_plain { usize::MAX } else { 1 }).find_map(|statement| {
        let mut words = statement.split_whitespace();
        let word = words.next()?;
        let next = words.next().unwrap_or_default().to_ascii_lowercase();
        let after = words.next().unwrap_or_default().to_ascii_lowercase();
        let is_one = match word.to_ascii_lowercase().as_str() {
            "begin" | "commit" | "end" | "abort" => true,
            // One that goes back to a savepoint stays within the transaction.
            "rollback" => next != "to" && !(matches!(next.as_str(), "work" | "transaction") && after == "to"),
            "start" | "prepare" => next == "transaction",
            _ => false,
        };
        is_one.then_some(word)
    })
}

/// What a WARNING of the server does to a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnWarning {
    /// It is shown.
    #[default]
    Show,
    /// It fails the step; a transaction is rolled back.
    Fail,
}

impl OnWarning {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde asks so
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn thirty_seconds() -> Span {
    Span::secs(30)
}

/// What an SQL result must look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SqlExpect {
    /// The number of rows returned or changed.
    Rows(u64),
    /// The text of the first column of the only row.
    Value(String),
}

impl ActionSpec for SqlAction {
    fn targets(&self) -> Vec<TargetUse<'_>> {
        vec![TargetUse::new(&self.target, "postgres", "target")]
    }

    fn addresses(&self) -> Vec<&str> {
        Vec::new()
    }

    fn limit(&self) -> Span {
        Span(self.limit.0.saturating_mul(self.statements.len() as u64 + 1))
    }

    fn preview(&self, targets: &BTreeMap<TargetId, Target>) -> Vec<String> {
        let together = if self.transaction { ", in one transaction" } else { "" };
        let mut lines = vec![format!("on {}{together}:", target::place(&self.target, targets))];
        lines.extend(
            self.statements
                .iter()
                .flat_map(|statement| statement.trim().trim_end_matches(';').lines().map(|line| format!("  {line}"))),
        );
        match &self.expect {
            Some(SqlExpect::Rows(n)) => lines.push(format!("  expect {n} row{}", if *n == 1 { "" } else { "s" })),
            Some(SqlExpect::Value(value)) => lines.push(format!("  expect {value}")),
            None => {}
        }
        lines
    }

    fn terms(&self) -> Vec<String> {
        let mut terms = vec![format!("{} for each statement, {} of it for a lock", self.limit, self.lock_limit())];
        if self.warnings == OnWarning::Fail {
            terms.push("a warning fails it".to_owned());
        }
        terms
    }

    fn tells_by_itself(&self) -> bool {
        self.expect.is_some()
    }

    fn check(&self, _: &CheckContext<'_>) -> Vec<Complaint> {
        if !self.transaction {
            return Vec::new();
        }
        let ends = |(at, statement): (usize, &String)| {
            let word = transaction_word(statement)?;
            let message =
                format!("`{word}` stands within `transaction: true`, which begins and commits the transaction itself");
            let at = at.to_string();
            let found = Complaint::value(
                &["statements", &at],
                message,
                "expected a statement that leaves the transaction alone",
            );
            Some(found.help("leave it out, or leave out `transaction: true` and write the transaction yourself"))
        };
        self.statements.iter().enumerate().filter_map(ends).collect()
    }

    fn simulate(&self) -> &[Change] {
        &self.simulate
    }
}

impl ActionDoc for SqlAction {
    const EXAMPLE: &'static str = r#"title: Stop the writes of the shop
targets:
  shop: { postgres: { dsn: "host=db.example.com user=admin dbname=shop" } }
phases:
  - title: Fence
    steps:
      - id: fence
        title: Make the database read only for the shop
        action:
          sql:
            target: shop
            statements:
              - alter role shop set default_transaction_read_only = on
              - select count(pg_terminate_backend(pid)) >= 0 from pg_stat_activity where usename = 'shop'
            expect: { value: t }
            simulate: [{ fence: shop }]
        undo:
          sql:
            target: shop
            statements: [alter role shop reset default_transaction_read_only]
            simulate: [{ open: shop }]
        reversibility: lossless
        expect: 5s
"#;
    const RIGHTS: &'static str = "A database role that may log in and run the statements.";
}

#[cfg(test)]
mod tests {
    use super::transaction_word;

    #[test]
    fn what_begins_or_ends_a_transaction_is_seen_and_what_only_looks_so_is_not() {
        for (text, word) in [
            ("commit", "commit"),
            ("  COMMIT AND CHAIN", "COMMIT"),
            ("insert into t values (1); end", "end"),
            ("begin isolation level serializable", "begin"),
            ("start transaction", "start"),
            ("rollback work", "rollback"),
            ("rollback; select 'x'", "rollback"),
            ("prepare transaction 'x'", "prepare"),
            ("abort", "abort"),
        ] {
            assert_eq!(transaction_word(text), Some(word), "{text}");
        }
        for text in [
            "select 1;",
            "rollback to savepoint a",
            "rollback transaction to a",
            "do $$ begin perform 1; end $$",
            "insert into t values ('x; commit')",
            "create function f() returns int begin atomic select 1; end",
            "start_it()",
            "prepare q as select 1",
            "commitments",
            "",
        ] {
            assert_eq!(transaction_word(text), None, "{text}");
        }
    }
}
