//! Why an expression is refused.

/// Why an expression was refused: where in its text, what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// Byte offset of the fault within the expression.
    pub offset: usize,
    /// Length of the fault in bytes, at least 1.
    pub len: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The parser's complaints with offsets; line and column count characters, from 1.
pub(super) fn syntax_errors(source: &str, errors: &cel::ParseErrors) -> Vec<ExprError> {
    let mut faults: Vec<ExprError> = errors
        .errors
        .iter()
        .map(|error| {
            let line = usize::try_from(error.pos.0).unwrap_or(0).saturating_sub(1);
            let column = usize::try_from(error.pos.1).unwrap_or(0).saturating_sub(1);
            let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
            let offset = source
                .get(start..)
                .and_then(|rest| rest.char_indices().nth(column))
                .map_or(source.len(), |(at, _)| start + at);
            let message = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
            ExprError { offset, len: 1, message: plain_syntax(message), hint: None }
        })
        .collect();
    faults.dedup_by(|a, b| a.offset == b.offset);
    // One mistake often causes several errors in the parser; the first is the one to correct.
    faults.truncate(1);
    faults
}

/// The parser's message without its list of expected tokens, which is no help to the reader.
fn plain_syntax(message: &str) -> String {
    let short = message.split(" expecting ").next().unwrap_or(message);
    if short.starts_with("token recognition error at: '=") {
        "`=` compares nothing: write `==`".to_owned()
    } else if let Some(rest) = short.strip_prefix("token recognition error at: ") {
        format!("{} is not expected here", rest.trim())
    } else if short.contains("'and'") || short.contains("'or'") || short.contains("'not'") {
        "CEL writes `&&`, `||` and `!` for and, or and not".to_owned()
    } else if short.contains("<EOF>") {
        "the expression ends too early".to_owned()
    } else if let Some(rest) =
        short.strip_prefix("mismatched input ").or_else(|| short.strip_prefix("extraneous input "))
    {
        format!("{rest} is not expected here")
    } else {
        short.to_owned()
    }
}
