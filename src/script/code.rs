//! Do the assertions about the connection hold? The part of Python that scripts use: `assert` over `tcpi_…`.

use super::Trouble;
use super::symbols;

/// `assert CONDITION, MESSAGE` lines, read.
#[derive(Clone, PartialEq, Debug)]
pub struct Assertion {
    /// Its line in the script.
    pub line: u32,
    /// As written.
    pub text: String,
    condition: Expr,
}

#[derive(Clone, PartialEq, Debug)]
enum Expr {
    Number(i64),
    Name(String),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// `a < b <= c`.
    Chain(Box<Expr>, Vec<(&'static str, Expr)>),
}

/// Where names get their values from: `tcpi_…` and nothing else.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<i64>;

/// The names that [`Assertion::check`] will ask for.
pub const NAMES: &[&str] = &[
    "tcpi_state",
    "tcpi_snd_cwnd",
    "tcpi_snd_ssthresh",
    "tcpi_unacked",
    "tcpi_rto",
    "tcpi_rtt",
    "tcpi_snd_mss",
    "tcpi_snd_wnd",
    "tcpi_notsent_bytes",
];

const MAX_DEPTH: u32 = 32;

/// Reads a code block that begins on `line`.
pub fn parse(text: &str, line: u32) -> Result<Vec<Assertion>, Trouble> {
    let mut assertions = Vec::new();
    for (n, raw) in text.lines().enumerate() {
        let line = line + n as u32;
        for statement in raw.split(';') {
            let statement = strip_comment(statement).trim();
            if statement.is_empty() {
                continue;
            }
            // What is printed changes nothing.
            if statement.strip_prefix("print").is_some_and(|rest| rest.starts_with([' ', '('])) {
                continue;
            }
            let Some(condition) =
                statement.strip_prefix("assert").filter(|rest| rest.starts_with([' ', '(']))
            else {
                return Err(Trouble::unsupported(line, format!("the Python statement `{statement}`")));
            };
            let tokens = tokens(condition, line)?;
            // Long chains nest as deeply as they are long.
            if tokens.len() > 256 {
                return Err(Trouble::syntax(line, "the assertion is too long"));
            }
            let mut parser = Parser { tokens: &tokens, at: 0, line };
            let condition = parser.or(0)?;
            // A message behind the comma is for Python's own error report.
            if parser.at < tokens.len() && tokens[parser.at] != Tok::Op(",") {
                return Err(parser.unsupported());
            }
            assertions.push(Assertion { line, text: statement.to_string(), condition });
        }
    }
    Ok(assertions)
}

fn strip_comment(text: &str) -> &str {
    text.split_once('#').map_or(text, |(code, _)| code)
}

#[derive(Clone, PartialEq, Debug)]
enum Tok {
    Number(i64),
    Name(String),
    Op(&'static str),
    Text,
}

const OPERATORS: &[&str] =
    &["==", "!=", "<=", ">=", "//", "<", ">", "+", "-", "*", "/", "%", "(", ")", ",", "&", "|"];

fn tokens(text: &str, line: u32) -> Result<Vec<Tok>, Trouble> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'_')).unwrap_or(rest.len());
        let used = if word > 0 {
            let token = &rest[..word];
            let number = match token.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(hex, 16).ok(),
                None => token.parse().ok(),
            };
            out.push(number.map_or_else(|| Tok::Name(token.to_string()), Tok::Number));
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
        let first = self.sum(depth)?;
        let mut rest = Vec::new();
        while let Some(op) = self.op(&["==", "!=", "<=", ">=", "<", ">"]) {
            rest.push((op, self.sum(depth)?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Chain(Box::new(first), rest) })
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
        while let Some(op) = self.op(&["*", "//", "%"]) {
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
            Some(Tok::Name(name)) => {
                if symbols::value(&name).is_none() && !NAMES.contains(&name.as_str()) {
                    return Err(Trouble::unsupported(self.line, format!("{name} in an assertion")));
                }
                self.at += 1;
                Ok(Expr::Name(name))
            }
            _ => Err(self.unsupported()),
        }
    }
}

impl Assertion {
    /// Whether it holds.
    pub fn check(&self, lookup: Lookup) -> Result<(), Trouble> {
        match eval(&self.condition, lookup) {
            Some(0) => {
                let seen: Vec<String> = names(&self.condition)
                    .into_iter()
                    .filter_map(|name| lookup(name).map(|value| format!("{name} is {value}")))
                    .collect();
                Err(Trouble::failed(self.line, "the assertion does not hold", &self.text, seen.join(", ")))
            }
            Some(_) => Ok(()),
            None => Err(Trouble::failed(
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
        Expr::Not(inner) | Expr::Negative(inner) => names(inner),
        Expr::Binary(_, a, b) => names(a).into_iter().chain(names(b)).collect(),
        Expr::Chain(first, rest) => {
            names(first).into_iter().chain(rest.iter().flat_map(|(_, e)| names(e))).collect()
        }
    }
}

fn eval(expr: &Expr, lookup: Lookup) -> Option<i64> {
    Some(match expr {
        Expr::Number(n) => *n,
        Expr::Name(name) => symbols::value(name).or_else(|| lookup(name))?,
        Expr::Not(inner) => i64::from(eval(inner, lookup)? == 0),
        Expr::Negative(inner) => eval(inner, lookup)?.checked_neg()?,
        Expr::Binary("or", a, b) => match eval(a, lookup)? {
            0 => eval(b, lookup)?,
            truth => truth,
        },
        Expr::Binary("and", a, b) => match eval(a, lookup)? {
            0 => 0,
            _ => eval(b, lookup)?,
        },
        Expr::Binary(op, a, b) => {
            let (a, b) = (eval(a, lookup)?, eval(b, lookup)?);
            match *op {
                "+" => a.checked_add(b)?,
                "-" => a.checked_sub(b)?,
                "*" => a.checked_mul(b)?,
                "//" => a.checked_div_euclid(b)?,
                _ => a.checked_rem_euclid(b)?,
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
                    return Some(0);
                }
                left = right;
            }
            1
        }
    })
}
