//! What can a block of Python say? The values that the parser makes, and what they speak of.

use super::value::Value;

/// A statement.
#[derive(Clone, PartialEq, Debug)]
pub struct Stmt {
    /// Its line in the script.
    pub line: u32,
    /// As written.
    pub text: String,
    /// What it does.
    pub kind: Kind,
}

/// What a statement does.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// An expression for its own sake: a call, a comment in quotes.
    Value(Expr),
    /// `a = b = VALUE`
    Assign(Vec<Expr>, Expr),
    /// `a += VALUE`
    Change(Expr, &'static str, Expr),
    /// `assert CONDITION, MESSAGE`
    Assert(Expr, Option<Expr>),
    /// `if`, the `elif`s and the `else`, whose condition is none.
    If(Vec<(Option<Expr>, Vec<Stmt>)>),
    /// `while CONDITION`
    While(Expr, Vec<Stmt>),
    /// `for TARGET in VALUES`
    For(Expr, Expr, Vec<Stmt>),
    /// `def NAME(PARAMETERS)`, the last ones with defaults.
    Def(String, Vec<(String, Option<Expr>)>, Vec<Stmt>),
    /// `return VALUE`
    Return(Option<Expr>),
    /// `raise VALUE`
    Raise(Option<Expr>),
    /// `try`, and what follows it.
    Try(Box<Try>),
    /// `break`
    Break,
    /// `continue`
    Continue,
    /// `import NAME as NAME`
    Import(Vec<(String, String)>),
    /// `pass`, `global`
    Nothing,
}

/// `try:` with its handlers.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Try {
    /// What is tried.
    pub body: Vec<Stmt>,
    /// `except NAMES as NAME:`
    pub handlers: Vec<(Option<Expr>, Option<String>, Vec<Stmt>)>,
    /// `else:`
    pub otherwise: Vec<Stmt>,
    /// `finally:`
    pub last: Vec<Stmt>,
}

/// `ITEM for TARGET in VALUES if CONDITION …`, in any kind of brackets.
#[derive(Clone, PartialEq, Debug)]
pub struct Each {
    /// What is made of each, in a dictionary the key.
    pub item: Expr,
    /// In a dictionary the value.
    pub value: Option<Expr>,
    /// Targets, values and conditions, from the outside.
    pub clauses: Vec<(Expr, Expr, Vec<Expr>)>,
}

/// An expression.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    /// A number, a text, True, False, None.
    Const(Value),
    /// A name.
    Name(String),
    /// `f(a, b, key=c)`
    Call(Box<Expr>, Vec<Expr>, Vec<(String, Expr)>),
    /// `a.b`
    Attribute(Box<Expr>, String),
    /// `a[b]`
    Index(Box<Expr>, Box<Expr>),
    /// `-a`, `+a`, `~a`, `not a`
    Unary(&'static str, Box<Expr>),
    /// Two operands; `and` and `or` too.
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// `a < b <= c`
    Chain(Box<Expr>, Vec<(&'static str, Expr)>),
    /// `a if b else c`: condition, then, else.
    Choice(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `[a, b]` or `(a, b)`
    List(Vec<Expr>),
    /// `{a, b}`
    Set(Vec<Expr>),
    /// `a[b:c:d]`
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
    /// `lambda a, b=1: c`
    Lambda(Vec<(String, Option<Expr>)>, Box<Expr>),
    /// A comprehension; whether it makes a set.
    Each(Box<Each>, bool),
    /// `{a: b}`
    Dict(Vec<(Expr, Expr)>),
    /// `f"a {b:c}"`: texts and values with their formats.
    Format(Vec<(String, Option<(Expr, String)>)>),
}

/// The names that an expression speaks of, without those of the functions that it calls and those that it gives itself.
pub fn names(expr: &Expr) -> Vec<&str> {
    let all = || parts(expr).into_iter().flat_map(names);
    match expr {
        Expr::Name(name) => vec![name],
        Expr::Call(function, ..) if matches!(**function, Expr::Name(_)) => {
            parts(expr).into_iter().skip(1).flat_map(names).collect()
        }
        Expr::Lambda(parameters, _) => {
            let own = |name: &&str| !parameters.iter().any(|(own, _)| own == name);
            let defaults = parameters.iter().filter_map(|(_, e)| e.as_ref()).flat_map(names);
            all().filter(own).chain(defaults).collect()
        }
        Expr::Each(each, _) => {
            let own: Vec<&str> = each.clauses.iter().flat_map(|(target, ..)| names(target)).collect();
            all().filter(|name| !own.contains(name)).collect()
        }
        _ => all().collect(),
    }
}

/// All expressions of a block, inner blocks included.
pub fn expressions<'a>(block: &'a [Stmt], each: &mut dyn FnMut(u32, &'a Expr)) {
    for stmt in block {
        match &stmt.kind {
            Kind::Value(a) | Kind::Return(Some(a)) | Kind::Raise(Some(a)) => each(stmt.line, a),
            Kind::Assign(targets, a) => targets.iter().chain([a]).for_each(|e| each(stmt.line, e)),
            Kind::Change(a, _, b) => [a, b].into_iter().for_each(|e| each(stmt.line, e)),
            Kind::Assert(a, message) => [a].into_iter().chain(message).for_each(|e| each(stmt.line, e)),
            Kind::If(arms) => {
                for (condition, inner) in arms {
                    condition.iter().for_each(|e| each(stmt.line, e));
                    expressions(inner, each);
                }
            }
            Kind::While(a, inner) => {
                each(stmt.line, a);
                expressions(inner, each);
            }
            Kind::For(a, b, inner) => {
                [a, b].into_iter().for_each(|e| each(stmt.line, e));
                expressions(inner, each);
            }
            Kind::Def(_, parameters, inner) => {
                parameters.iter().filter_map(|(_, e)| e.as_ref()).for_each(|e| each(stmt.line, e));
                expressions(inner, each);
            }
            Kind::Try(tried) => {
                let handlers = tried.handlers.iter().map(|(.., body)| body);
                let bodies = [&tried.body].into_iter().chain(handlers);
                for body in bodies.chain([&tried.otherwise, &tried.last]) {
                    expressions(body, each);
                }
            }
            Kind::Return(None)
            | Kind::Raise(None)
            | Kind::Break
            | Kind::Continue
            | Kind::Import(_)
            | Kind::Nothing => {}
        }
    }
}

/// The parts of an expression that are expressions themselves.
pub fn parts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Const(_) | Expr::Name(_) => Vec::new(),
        Expr::Call(function, args, named) => {
            [&**function].into_iter().chain(args).chain(named.iter().map(|(_, e)| e)).collect()
        }
        Expr::Attribute(inner, _) | Expr::Unary(_, inner) | Expr::Lambda(_, inner) => vec![inner],
        Expr::Index(a, b) | Expr::Binary(_, a, b) => vec![a, b],
        Expr::Chain(first, rest) => [&**first].into_iter().chain(rest.iter().map(|(_, e)| e)).collect(),
        Expr::Choice(a, b, c) => vec![a, b, c],
        Expr::List(list) | Expr::Set(list) => list.iter().collect(),
        Expr::Slice(base, ends) => [&**base].into_iter().chain(ends.iter().flatten()).collect(),
        Expr::Each(each, _) => {
            let clauses = each.clauses.iter();
            let inner = clauses.flat_map(|(_, values, conditions)| [values].into_iter().chain(conditions));
            inner.chain([&each.item]).chain(&each.value).collect()
        }
        Expr::Dict(pairs) => pairs.iter().flat_map(|(k, v)| [k, v]).collect(),
        Expr::Format(list) => list.iter().filter_map(|(_, hole)| hole.as_ref()).map(|(e, _)| e).collect(),
    }
}
