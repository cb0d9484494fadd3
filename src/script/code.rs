//! Do the assertions about the connection hold? The part of Python that scripts use: `assert` over `tcpi_…`, numbers that are
//! given names, and `print`.

use super::Trouble;
use super::symbols;
use crate::tcp::Info;
use std::collections::{BTreeMap, BTreeSet};

/// One statement, read.
#[derive(Clone, PartialEq, Debug)]
pub struct Statement {
    line: u32,
    /// As written.
    text: String,
    kind: Kind,
    value: Expr,
}

#[derive(Clone, PartialEq, Debug)]
enum Kind {
    /// `assert CONDITION, MESSAGE`
    Assert,
    /// `name = VALUE`
    Name(String),
}

/// What was given a name; it lasts for the whole script.
pub type Names = BTreeMap<String, f64>;

#[derive(Clone, PartialEq, Debug)]
enum Expr {
    Number(f64),
    Name(String),
    Call(&'static str, Vec<Expr>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// `a < b <= c`.
    Chain(Box<Expr>, Vec<(&'static str, Expr)>),
}

/// Where `tcpi_…` gets its values from.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<u64>;

/// What Linux tells of Accurate ECN.
const ACCURATE_ECN: &[&str] = &[
    "ecn_mode",
    "accecn_opt_seen",
    "accecn_fail_mode",
    "options2",
    "delivered_e1_bytes",
    "delivered_e0_bytes",
    "delivered_ce_bytes",
    "received_e1_bytes",
    "received_e0_bytes",
    "received_ce_bytes",
];

/// Whether a [`Lookup`] can be asked for it.
fn is_known(name: &str) -> bool {
    name.strip_prefix("tcpi_").is_some_and(|name| Info::NAMES.contains(&name) || ACCURATE_ECN.contains(&name))
}

const MAX_DEPTH: u32 = 32;

/// Functions of Python that take numbers.
const FUNCTIONS: &[&str] = &["abs", "min", "max", "int", "float", "round", "bool"];

/// Reads a code block that begins on `line`. `known` are the names that were given, here or in a block before.
pub fn parse(text: &str, line: u32, known: &mut BTreeSet<String>) -> Result<Vec<Statement>, Trouble> {
    let mut statements = Vec::new();
    for (line, text) in logical_lines(text, line) {
        for statement in parts(&text) {
            let statement = statement.trim();
            if statement.is_empty() || statement == "pass" {
                continue;
            }
            // What is printed changes nothing.
            if statement.strip_prefix("print").is_some_and(|rest| rest.starts_with([' ', '('])) {
                continue;
            }
            let (kind, value) = match statement.strip_prefix("assert").filter(|r| r.starts_with([' ', '('])) {
                Some(condition) => (Kind::Assert, condition),
                None => match assignment(statement) {
                    Some((name, value)) => (Kind::Name(name.to_string()), value),
                    None => {
                        return Err(Trouble::unsupported(
                            line,
                            format!("the Python statement `{statement}`"),
                        ));
                    }
                },
            };
            let tokens = tokens(value, line)?;
            // Long chains nest as deeply as they are long.
            if tokens.len() > 256 {
                return Err(Trouble::syntax(line, "the assertion is too long"));
            }
            let mut parser = Parser { tokens: &tokens, at: 0, line, known };
            let value = parser.or(0)?;
            // A message behind the comma is for Python's own error report.
            let message = kind == Kind::Assert && tokens.get(parser.at) == Some(&Tok::Op(","));
            if parser.at < tokens.len() && !message {
                return Err(parser.unsupported());
            }
            if let Kind::Name(name) = &kind {
                known.insert(name.clone());
            }
            statements.push(Statement { line, text: statement.to_string(), kind, value });
        }
    }
    Ok(statements)
}

/// Lines without comments; those with an open parenthesis or a backslash at their end go on in the next.
fn logical_lines(text: &str, first: u32) -> Vec<(u32, String)> {
    let mut out: Vec<(u32, String)> = Vec::new();
    let mut open = false;
    for (n, raw) in text.lines().enumerate() {
        let code = strip_comment(raw);
        let (code, slash) = match code.trim_end().strip_suffix('\\') {
            Some(code) => (code, true),
            None => (code, false),
        };
        match out.last_mut().filter(|_| open) {
            Some((_, line)) => {
                line.push(' ');
                line.push_str(code.trim());
            }
            None => out.push((first + n as u32, code.to_string())),
        }
        let depth = |line: &str| {
            outside_strings(line)
                .fold(0i64, |depth, (_, c)| depth + i64::from(c == '(') - i64::from(c == ')'))
        };
        open = slash || out.last().is_some_and(|(_, line)| depth(line) > 0);
    }
    out
}

/// The characters that are not within quotes, with their places.
fn outside_strings(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let mut quote = None;
    text.char_indices().filter(move |&(_, c)| match quote {
        Some(open) => {
            if c == open {
                quote = None;
            }
            false
        }
        None => {
            if c == '"' || c == '\'' {
                quote = Some(c);
            }
            quote.is_none()
        }
    })
}

/// The statements between semicolons.
fn parts(text: &str) -> Vec<&str> {
    let mut from = 0;
    let mut out = Vec::new();
    for (at, _) in outside_strings(text).filter(|(_, c)| *c == ';') {
        out.push(&text[from..at]);
        from = at + 1;
    }
    out.push(&text[from..]);
    out
}

/// `name = value`.
fn assignment(statement: &str) -> Option<(&str, &str)> {
    let (name, value) = statement.split_once('=')?;
    let name = name.trim();
    let word = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let letter = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (word && letter && !value.starts_with('=') && !name.starts_with("tcpi_")).then_some((name, value))
}

fn strip_comment(text: &str) -> &str {
    outside_strings(text).find(|(_, c)| *c == '#').map_or(text, |(at, _)| &text[..at])
}

#[derive(Clone, PartialEq, Debug)]
enum Tok {
    Number(f64),
    Name(String),
    Op(&'static str),
    Text,
}

const OPERATORS: &[&str] = &[
    "==", "!=", "<=", ">=", "<<", ">>", "//", "**", "<", ">", "+", "-", "*", "/", "%", "(", ")", ",", "&",
    "|", "^",
];

fn tokens(text: &str, line: u32) -> Result<Vec<Tok>, Trouble> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'_')).unwrap_or(rest.len());
        let used = if word > 0 {
            let digits = first.is_ascii_digit();
            // `1.5`, `1e6`
            let more = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
            let word = if digits { rest.bytes().position(|b| !more(b)).unwrap_or(rest.len()) } else { word };
            let token = &rest[..word];
            let number = match token.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(hex, 16).ok().map(|n| n as f64),
                None if digits => token.replace('_', "").parse().ok(),
                None => None,
            };
            match number {
                Some(number) => out.push(Tok::Number(number)),
                None if digits => return Err(Trouble::syntax(line, format!("{token} is no number"))),
                None => out.push(Tok::Name(token.to_string())),
            }
            word
        } else if first == '"' || first == '\'' {
            out.push(Tok::Text);
            match rest[1..].find(first) {
                Some(end) => end + 2,
                None => return Err(Trouble::syntax(line, "a string in the code block is not closed")),
            }
        } else if let Some(op) = OPERATORS.iter().find(|op| rest.starts_with(**op)) {
            out.push(Tok::Op(op));
            op.len()
        } else {
            return Err(Trouble::unsupported(line, format!("`{first}` in a code block")));
        };
        rest = rest[used..].trim_start();
    }
    Ok(out)
}

struct Parser<'a> {
    known: &'a BTreeSet<String>,
    tokens: &'a [Tok],
    at: usize,
    line: u32,
}

impl Parser<'_> {
    fn unsupported(&self) -> Trouble {
        let found = match self.tokens.get(self.at) {
            Some(Tok::Number(n)) => n.to_string(),
            Some(Tok::Name(name)) => name.clone(),
            Some(Tok::Op(op)) => (*op).to_string(),
            Some(Tok::Text) => "a string".to_string(),
            None => "the end".to_string(),
        };
        Trouble::unsupported(self.line, format!("an assertion with {found} at this place"))
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Tok::Name(n)) if n == word);
        self.at += usize::from(found);
        found
    }

    fn op(&mut self, among: &[&'static str]) -> Option<&'static str> {
        match self.tokens.get(self.at) {
            Some(Tok::Op(op)) if among.contains(op) => {
                self.at += 1;
                Some(op)
            }
            _ => None,
        }
    }

    fn or(&mut self, depth: u32) -> Result<Expr, Trouble> {
        if depth > MAX_DEPTH {
            return Err(Trouble::syntax(self.line, "the assertion is nested too deeply"));
        }
        let mut left = self.and(depth)?;
        while self.word("or") {
            left = Expr::Binary("or", Box::new(left), Box::new(self.and(depth)?));
        }
        Ok(left)
    }

    fn and(&mut self, depth: u32) -> Result<Expr, Trouble> {
        let mut left = self.not(depth)?;
        while self.word("and") {
            left = Expr::Binary("and", Box::new(left), Box::new(self.not(depth)?));
        }
        Ok(left)
    }

    fn not(&mut self, depth: u32) -> Result<Expr, Trouble> {
        let mut times = 0;
        while self.word("not") {
            times += 1;
        }
        let inner = self.comparison(depth)?;
        // Two negations leave the truth of a value, not the value.
        Ok(match times {
            0 => inner,
            n if n % 2 == 1 => Expr::Not(Box::new(inner)),
            _ => Expr::Not(Box::new(Expr::Not(Box::new(inner)))),
        })
    }

    fn comparison(&mut self, depth: u32) -> Result<Expr, Trouble> {
        let first = self.bits(depth)?;
        let mut rest = Vec::new();
        while let Some(op) = self.op(&["==", "!=", "<=", ">=", "<", ">"]) {
            rest.push((op, self.bits(depth)?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Chain(Box::new(first), rest) })
    }

    fn bits(&mut self, depth: u32) -> Result<Expr, Trouble> {
        self.chain(depth, &[&["|"], &["^"], &["&"], &["<<", ">>"]])
    }

    /// Operators that bind to the left, the weaker ones first.
    fn chain(&mut self, depth: u32, levels: &[&[&'static str]]) -> Result<Expr, Trouble> {
        let Some((operators, stronger)) = levels.split_first() else { return self.sum(depth) };
        let mut left = self.chain(depth, stronger)?;
        while let Some(op) = self.op(operators) {
            left = Expr::Binary(op, Box::new(left), Box::new(self.chain(depth, stronger)?));
        }
        Ok(left)
    }

    fn sum(&mut self, depth: u32) -> Result<Expr, Trouble> {
        let mut left = self.product(depth)?;
        while let Some(op) = self.op(&["+", "-"]) {
            left = Expr::Binary(op, Box::new(left), Box::new(self.product(depth)?));
        }
        Ok(left)
    }

    fn product(&mut self, depth: u32) -> Result<Expr, Trouble> {
        let mut left = self.operand(depth)?;
        while let Some(op) = self.op(&["*", "//", "/", "%"]) {
            left = Expr::Binary(op, Box::new(left), Box::new(self.operand(depth)?));
        }
        Ok(left)
    }

    fn operand(&mut self, depth: u32) -> Result<Expr, Trouble> {
        if depth > MAX_DEPTH {
            return Err(Trouble::syntax(self.line, "the assertion is nested too deeply"));
        }
        if self.op(&["-"]).is_some() {
            return Ok(Expr::Negative(Box::new(self.operand(depth + 1)?)));
        }
        if self.op(&["("]).is_some() {
            let inner = self.or(depth + 1)?;
            return if self.op(&[")"]).is_some() { Ok(inner) } else { Err(self.unsupported()) };
        }
        match self.tokens.get(self.at).cloned() {
            Some(Tok::Number(n)) => {
                self.at += 1;
                Ok(Expr::Number(n))
            }
            Some(Tok::Name(name)) if self.tokens.get(self.at + 1) == Some(&Tok::Op("(")) => {
                let Some(function) = FUNCTIONS.iter().find(|f| **f == name) else {
                    return Err(Trouble::unsupported(self.line, format!("the Python function {name}")));
                };
                self.at += 2;
                let mut args = Vec::new();
                while self.op(&[")"]).is_none() {
                    args.push(self.or(depth + 1)?);
                    if self.op(&[","]).is_none() && self.tokens.get(self.at) != Some(&Tok::Op(")")) {
                        return Err(self.unsupported());
                    }
                }
                Ok(Expr::Call(function, args))
            }
            Some(Tok::Name(name)) => {
                if self.known.contains(&name) {
                    self.at += 1;
                    return Ok(Expr::Name(name));
                }
                if symbols::value(&name).is_none() && !is_known(&name) {
                    return Err(Trouble::unsupported(self.line, format!("{name} in an assertion")));
                }
                self.at += 1;
                Ok(Expr::Name(name))
            }
            _ => Err(self.unsupported()),
        }
    }
}

impl Statement {
    /// Whether it holds, or what a name stands for from now on.
    pub fn check(&self, names: &mut Names, lookup: Lookup) -> Result<(), Trouble> {
        let all = |name: &str| names.get(name).copied().or_else(|| lookup(name).map(|n| n as f64));
        match (eval(&self.value, &all), &self.kind) {
            (Some(value), Kind::Name(name)) => {
                names.insert(name.clone(), value);
                Ok(())
            }
            (Some(0.0), Kind::Assert) => {
                let seen: Vec<String> = self::names(&self.value)
                    .into_iter()
                    .filter_map(|name| all(name).map(|value| format!("{name} is {value}")))
                    .collect();
                Err(Trouble::failed(self.line, "the assertion does not hold", &self.text, seen.join(", ")))
            }
            (Some(_), Kind::Assert) => Ok(()),
            (None, _) => Err(Trouble::failed(
                self.line,
                "the assertion cannot be evaluated: there is no connection, or a number is out of range",
                &self.text,
                "",
            )),
        }
    }
}

fn names(expr: &Expr) -> Vec<&str> {
    match expr {
        Expr::Number(_) => Vec::new(),
        Expr::Name(name) => vec![name],
        Expr::Call(_, args) => args.iter().flat_map(names).collect(),
        Expr::Not(inner) | Expr::Negative(inner) => names(inner),
        Expr::Binary(_, a, b) => names(a).into_iter().chain(names(b)).collect(),
        Expr::Chain(first, rest) => {
            names(first).into_iter().chain(rest.iter().flat_map(|(_, e)| names(e))).collect()
        }
    }
}

/// The value; truth is 1 and 0.
fn eval(expr: &Expr, lookup: &dyn Fn(&str) -> Option<f64>) -> Option<f64> {
    let truth = |b: bool| f64::from(u8::from(b));
    let value = match expr {
        // All ones, which is no number, can be compared and not reckoned with.
        Expr::Number(n) => return Some(*n),
        Expr::Name(name) => return lookup(name).or_else(|| symbols::value(name).map(|n| n as f64)),
        Expr::Not(inner) => truth(eval(inner, lookup)? == 0.0),
        Expr::Negative(inner) => -eval(inner, lookup)?,
        Expr::Call(function, args) => {
            let args: Vec<f64> = args.iter().map(|arg| eval(arg, lookup)).collect::<Option<_>>()?;
            match (*function, args.as_slice()) {
                ("abs", [n]) => n.abs(),
                ("int", [n]) => n.trunc(),
                ("float", [n]) => *n,
                ("round", [n]) => n.round_ties_even(),
                ("bool", [n]) => truth(*n != 0.0),
                ("min", [first, rest @ ..]) => rest.iter().fold(*first, |a, b| a.min(*b)),
                ("max", [first, rest @ ..]) => rest.iter().fold(*first, |a, b| a.max(*b)),
                _ => return None,
            }
        }
        Expr::Binary("or", a, b) => match eval(a, lookup)? {
            0.0 => eval(b, lookup)?,
            truth => truth,
        },
        Expr::Binary("and", a, b) => match eval(a, lookup)? {
            0.0 => 0.0,
            _ => eval(b, lookup)?,
        },
        Expr::Binary(op, a, b) => {
            let (a, b) = (eval(a, lookup)?, eval(b, lookup)?);
            match *op {
                "+" => a + b,
                "-" => a - b,
                "*" => a * b,
                "/" => a / b,
                "//" => (a / b).floor(),
                "%" => a - b * (a / b).floor(),
                _ => return bits(op, a, b),
            }
        }
        Expr::Chain(first, rest) => {
            let mut left = eval(first, lookup)?;
            for (op, right) in rest {
                let right = eval(right, lookup)?;
                let holds = match *op {
                    "==" => left == right,
                    "!=" => left != right,
                    "<=" => left <= right,
                    ">=" => left >= right,
                    "<" => left < right,
                    _ => left > right,
                };
                if !holds {
                    return Some(0.0);
                }
                left = right;
            }
            1.0
        }
    };
    // Whole numbers are exact up to here, which is more than any counter has.
    (value.abs() <= 9e15).then_some(value)
}

fn bits(op: &str, a: f64, b: f64) -> Option<f64> {
    let whole = |n: f64| (n.fract() == 0.0).then_some(n as i64);
    let (a, b) = (whole(a)?, whole(b)?);
    let value = match op {
        "&" => a & b,
        "|" => a | b,
        "^" => a ^ b,
        "<<" => a.checked_mul(1i64.checked_shl(u32::try_from(b).ok().filter(|b| *b < 53)?)?)?,
        ">>" => a >> u32::try_from(b).ok().filter(|b| *b < 64)?,
        _ => return None,
    };
    Some(value as f64)
}
