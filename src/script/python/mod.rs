//! Which part of Python do scripts write between `%{` and `}%`? Assertions about `struct tcp_info`, with what leads to them:
//! names, conditions, loops, functions, numbers, texts, lists. Nothing of it reaches out of the script.

mod eval;
mod format;
mod lexer;
mod parser;
mod value;

pub use eval::{BUILTINS, Interpreter, MODULES};
pub use parser::{Expr, Kind, Stmt, expressions, names};
pub use value::Value;

use super::Trouble;

/// Reads a block that begins on line `first`.
pub fn parse(text: &str, first: u32) -> Result<Vec<Stmt>, Trouble> {
    parser::parse(&lexer::lines(text, first)?)
}
