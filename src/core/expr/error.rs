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
