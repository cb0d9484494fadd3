//! Do the assertions about the connection hold? What the code of a script may speak of: `struct tcp_info`, its
//! constants, and what is made of them.

use super::Trouble;
use super::python::{self, BUILTINS, Expr, Kind, MODULES, Stmt, Value};
use super::symbols;
use crate::tcp::Info;
use std::collections::BTreeSet;

pub use super::python::Interpreter;

/// A block, read.
#[derive(Clone, PartialEq, Debug)]
pub struct Block(Vec<Stmt>);

/// Where `tcpi_…` and `SK_MEMINFO_…` get their values from.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<u64>;

/// What of SO_MEMINFO has a counterpart here.
const MEMORY: &[&str] = &["SK_MEMINFO_RCVBUF", "SK_MEMINFO_SNDBUF"];

/// Whether a [`Lookup`] can be asked for it.
fn is_known(name: &str) -> bool {
    let info = name.strip_prefix("tcpi_");
    info.is_some_and(|name| Info::NAMES.contains(&name)) || MEMORY.contains(&name)
}

/// Reads a code block that begins on `line`. `known` are the names that were given, here or in a block before.
pub fn parse(text: &str, line: u32, known: &mut BTreeSet<String>) -> Result<Block, Trouble> {
    let block = python::parse(text, line)?;
    given(&block, known)?;
    // A name that nobody gives is one of Python's, or of a Linux that knows more.
    let mut wrong = None;
    python::expressions(&block, &mut |line, expr| {
        calls(expr, &mut |name| {
            if !BUILTINS.contains(&name) && !known.contains(name) {
                wrong.get_or_insert(Trouble::unsupported(line, format!("the Python function {name}")));
            }
        });
        attributes(expr, &mut |module, name| {
            if MODULES.contains(&module) && known.contains(module) && !python::has(module, name) {
                wrong.get_or_insert(Trouble::unsupported(line, format!("Python's {module}.{name}")));
            }
        });
        for name in python::names(expr) {
            if !known.contains(name)
                && !is_known(name)
                && symbols::value(name).is_none()
                && !BUILTINS.contains(&name)
            {
                wrong.get_or_insert(Trouble::unsupported(line, format!("{name} in an assertion")));
            }
        }
    });
    wrong.map_or(Ok(Block(block)), Err)
}

/// The names that the statements of a block give.
fn given(block: &[Stmt], known: &mut BTreeSet<String>) -> Result<(), Trouble> {
    let refused =
        |stmt: &Stmt| Err(Trouble::unsupported(stmt.line, format!("the Python statement `{}`", stmt.text)));
    for stmt in block {
        let targets = match &stmt.kind {
            Kind::Assign(targets, _) => targets.as_slice(),
            Kind::Change(target, ..) | Kind::For(target, ..) => std::slice::from_ref(target),
            _ => &[],
        };
        for name in targets.iter().flat_map(python::names) {
            // The connection's own numbers stay what they are.
            if is_known(name) {
                return refused(stmt);
            }
            if !matches!(stmt.kind, Kind::Change(..)) {
                known.insert(name.to_string());
            }
        }
        match &stmt.kind {
            Kind::For(.., body) => given(body, known)?,
            Kind::While(_, body) => given(body, known)?,
            Kind::If(arms) => arms.iter().try_for_each(|(_, body)| given(body, known))?,
            Kind::Def(name, parameters, body) => {
                known.insert(name.clone());
                known.extend(parameters.iter().map(|(name, _)| name.clone()));
                given(body, known)?;
            }
            Kind::Try(tried) => {
                given(&tried.body, known)?;
                for (_, name, body) in &tried.handlers {
                    known.extend(name.clone());
                    given(body, known)?;
                }
                given(&tried.otherwise, known)?;
                given(&tried.last, known)?;
            }
            Kind::Import(names) => {
                for (module, name) in names {
                    if !MODULES.contains(&module.as_str()) {
                        return refused(stmt);
                    }
                    known.insert(name.clone());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The names of the functions that an expression calls.
fn calls(expr: &Expr, each: &mut dyn FnMut(&str)) {
    if let Expr::Call(function, ..) = expr
        && let Expr::Name(name) = &**function
    {
        each(name);
    }
    python::parts(expr).into_iter().for_each(|part| calls(part, each));
}

/// What of a module an expression speaks of: the module's name, and what.
fn attributes(expr: &Expr, each: &mut dyn FnMut(&str, &str)) {
    if let Expr::Attribute(base, name) = expr
        && let Expr::Name(module) = &**base
    {
        each(module, name);
    }
    python::parts(expr).into_iter().for_each(|part| attributes(part, each));
}

impl Block {
    /// Runs it.
    pub fn run(&self, interpreter: &mut Interpreter, lookup: Lookup) -> Result<(), Trouble> {
        let all = |name: &str| {
            let number = lookup(name).map(i128::from);
            number.or_else(|| symbols::value(name).map(i128::from)).map(Value::Int)
        };
        interpreter.run(&self.0, &all)
    }
}
