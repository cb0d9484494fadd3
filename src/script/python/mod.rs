//! Which part of Python do scripts write between `%{` and `}%`? Assertions about `struct tcp_info`, with what leads to them:
//! names, conditions, loops, functions, numbers, texts, lists. Nothing of it reaches out of the script.

mod ast;
mod builtins;
mod eval;
mod expressions;
mod format;
mod lexer;
mod parser;
mod value;

pub use ast::{Expr, Kind, Stmt, expressions, names, parts};
pub use builtins::{BUILTINS, MODULES, has};
pub use eval::Interpreter;
pub use value::Value;

use super::Trouble;

/// Reads a block that begins on line `first`.
pub fn parse(text: &str, first: u32) -> Result<Vec<Stmt>, Trouble> {
    parser::parse(&lexer::lines(text, first)?)
}
