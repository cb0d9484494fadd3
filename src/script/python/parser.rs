//! What does a block of Python say? Its statements; expressions are in `expressions`.

use super::super::Trouble;
use super::ast::{Expr, Kind, Stmt, Try};
use super::lexer::{Line, Tok};

const MAX_DEPTH: u32 = 24;

/// The statements of these lines.
pub fn parse(lines: &[Line]) -> Result<Vec<Stmt>, Trouble> {
    let mut at = 0;
    let block = block(lines, &mut at, 0, 0)?;
    match lines.get(at) {
        None => Ok(block),
        Some(line) => Err(Trouble::syntax(line.number, "the indentation fits to nothing above")),
    }
}

/// The lines that stand at least as deep as the first of them.
fn block(lines: &[Line], at: &mut usize, least: usize, depth: u32) -> Result<Vec<Stmt>, Trouble> {
    let mut out = Vec::new();
    let Some(mut indent) = lines.get(*at).map(|l| l.indent).filter(|n| *n >= least) else {
        return Ok(out);
    };
    if depth > MAX_DEPTH {
        return Err(Trouble::syntax(lines[*at].number, "the blocks are nested too deeply"));
    }
    while let Some(line) = lines.get(*at) {
        if line.indent < indent && line.indent < least {
            break;
        }
        if line.indent < indent && depth > 0 {
            return Err(Trouble::syntax(line.number, "the indentation fits to nothing above"));
        }
        // Without anything that opens a block, the lines behind the first may stand deeper: it is right behind `%{`.
        indent = line.indent;
        *at += 1;
        statement(line, lines, at, depth, &mut out)?;
    }
    Ok(out)
}

fn statement(
    line: &Line,
    lines: &[Line],
    at: &mut usize,
    depth: u32,
    out: &mut Vec<Stmt>,
) -> Result<(), Trouble> {
    let mut words = Words::of(line);
    let keyword = match &line.words[0] {
        Tok::Name(name) => name.as_str(),
        _ => "",
    };
    let done = |kind| Stmt { line: line.number, text: line.text.clone(), kind };
    // The block behind a colon: on the same line, or on deeper ones.
    let body = |words: &mut Words, at: &mut usize| -> Result<Vec<Stmt>, Trouble> {
        words.expect(":")?;
        if words.at < words.words.len() {
            return words.simple();
        }
        let inner = block(lines, at, line.indent + 1, depth + 1)?;
        match inner.is_empty() {
            true => Err(Trouble::syntax(line.number, "a block is missing behind the colon")),
            false => Ok(inner),
        }
    };
    match keyword {
        "if" | "while" => {
            words.at = 1;
            let condition = words.expression(0)?;
            let inner = body(&mut words, at)?;
            out.push(done(match keyword {
                "if" => Kind::If(vec![(Some(condition), inner)]),
                _ => Kind::While(condition, inner),
            }));
        }
        "elif" | "else" => {
            words.at = 1;
            let condition = if keyword == "elif" { Some(words.expression(0)?) } else { None };
            let inner = body(&mut words, at)?;
            match out.last_mut().map(|s| &mut s.kind) {
                Some(Kind::If(arms)) if arms.last().is_some_and(|(c, _)| c.is_some()) => {
                    arms.push((condition, inner));
                }
                Some(Kind::Try(tried)) if condition.is_none() && !tried.handlers.is_empty() => {
                    tried.otherwise = inner;
                }
                _ => return Err(Trouble::syntax(line.number, format!("{keyword} without an if"))),
            }
        }
        "for" => {
            words.at = 1;
            let target = words.targets()?;
            words.expect("in")?;
            let values = words.tuple()?;
            let inner = body(&mut words, at)?;
            out.push(done(Kind::For(target, values, inner)));
        }
        "def" => {
            words.at = 1;
            let name = words.name()?;
            words.expect("(")?;
            let parameters = words.parameters(")")?;
            let inner = body(&mut words, at)?;
            out.push(done(Kind::Def(name, parameters, inner)));
        }
        "try" => {
            words.at = 1;
            let body = body(&mut words, at)?;
            out.push(done(Kind::Try(Box::new(Try { body, ..Try::default() }))));
        }
        "except" => {
            words.at = 1;
            let kind = if matches!(words.peek(), Some(Tok::Op(":"))) { None } else { Some(words.tuple()?) };
            let name = if words.accept("as") { Some(words.name()?) } else { None };
            let inner = body(&mut words, at)?;
            match out.last_mut().map(|s| &mut s.kind) {
                Some(Kind::Try(tried)) if tried.otherwise.is_empty() && tried.last.is_empty() => {
                    tried.handlers.push((kind, name, inner));
                }
                _ => return Err(Trouble::syntax(line.number, "except without a try")),
            }
        }
        "finally" => {
            words.at = 1;
            let inner = body(&mut words, at)?;
            match out.last_mut().map(|s| &mut s.kind) {
                Some(Kind::Try(tried)) if tried.last.is_empty() => tried.last = inner,
                _ => return Err(Trouble::syntax(line.number, "finally without a try")),
            }
        }
        "class" | "with" | "async" | "yield" | "del" | "nonlocal" | "await" | "from" | "match"
            if !matches!(line.words.get(1), Some(Tok::Op("=" | "."))) =>
        {
            return Err(Trouble::unsupported(line.number, format!("the Python statement `{}`", line.text)));
        }
        _ => out.extend(words.simple()?),
    }
    Ok(())
}

/// The words of a line, and how far they are read.
pub(super) struct Words<'a> {
    pub(super) words: &'a [Tok],
    pub(super) at: usize,
    pub(super) line: &'a Line,
}

/// Words that are no names.
const KEYWORDS: &[&str] = &[
    "and", "or", "not", "in", "is", "if", "else", "elif", "for", "while", "def", "return", "lambda",
    "import", "assert", "pass", "break", "continue", "global", "raise", "class", "with", "try", "except",
    "finally", "yield", "try", "as",
];

impl<'a> Words<'a> {
    pub(super) fn of(line: &'a Line) -> Words<'a> {
        Words { words: &line.words, at: 0, line }
    }

    pub(super) fn peek(&self) -> Option<&Tok> {
        self.words.get(self.at)
    }

    pub(super) fn unsupported<T>(&self) -> Result<T, Trouble> {
        let found = match self.peek() {
            Some(Tok::Int(n)) => n.to_string(),
            Some(Tok::Float(n)) => n.to_string(),
            Some(Tok::Name(name)) => name.clone(),
            Some(Tok::Op(op)) => (*op).to_string(),
            Some(Tok::Text(..)) => "a string".to_string(),
            None => "the end".to_string(),
        };
        Err(Trouble::unsupported(
            self.line.number,
            format!("Python with {found} at this place: `{}`", self.line.text),
        ))
    }

    /// An operator or a keyword.
    pub(super) fn accept(&mut self, wanted: &str) -> bool {
        let found = match self.peek() {
            Some(Tok::Op(op)) => *op == wanted,
            Some(Tok::Name(name)) => name == wanted,
            _ => false,
        };
        self.at += usize::from(found);
        found
    }

    pub(super) fn among(&mut self, wanted: &[&'static str]) -> Option<&'static str> {
        wanted.iter().find(|w| self.accept(w)).copied()
    }

    pub(super) fn expect(&mut self, wanted: &str) -> Result<(), Trouble> {
        if self.accept(wanted) { Ok(()) } else { self.unsupported() }
    }

    pub(super) fn name(&mut self) -> Result<String, Trouble> {
        match self.peek() {
            Some(Tok::Name(name)) if !KEYWORDS.contains(&name.as_str()) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => self.unsupported(),
        }
    }

    /// `a, b=1` up to `close`, which is taken.
    pub(super) fn parameters(&mut self, close: &str) -> Result<Vec<(String, Option<Expr>)>, Trouble> {
        let mut out = Vec::new();
        while !self.accept(close) {
            let name = self.name()?;
            let default = if self.accept("=") { Some(self.expression(0)?) } else { None };
            out.push((name, default));
            if !self.accept(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(out)
    }

    /// Statements with semicolons between them.
    fn simple(&mut self) -> Result<Vec<Stmt>, Trouble> {
        let mut out = Vec::new();
        while self.at < self.words.len() {
            if self.accept(";") {
                continue;
            }
            let kind = self.one()?;
            out.push(Stmt { line: self.line.number, text: self.line.text.clone(), kind });
            if self.at < self.words.len() {
                self.expect(";")?;
            }
        }
        Ok(out)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.peek(), None | Some(Tok::Op(";")))
    }

    fn one(&mut self) -> Result<Kind, Trouble> {
        if self.accept("pass") {
            return Ok(Kind::Nothing);
        }
        if self.accept("break") {
            return Ok(Kind::Break);
        }
        if self.accept("continue") {
            return Ok(Kind::Continue);
        }
        if self.accept("global") {
            while !self.is_over() {
                self.at += 1;
            }
            return Ok(Kind::Nothing);
        }
        if self.accept("assert") {
            let condition = self.expression(0)?;
            let message = if self.accept(",") { Some(self.tuple()?) } else { None };
            return Ok(Kind::Assert(condition, message));
        }
        if self.accept("return") {
            return Ok(Kind::Return(if self.is_over() { None } else { Some(self.tuple()?) }));
        }
        if self.accept("raise") {
            return Ok(Kind::Raise(if self.is_over() { None } else { Some(self.expression(0)?) }));
        }
        if self.accept("import") {
            let mut names = Vec::new();
            loop {
                let name = self.name()?;
                let known = if self.accept("as") { self.name()? } else { name.clone() };
                names.push((name, known));
                if !self.accept(",") {
                    return Ok(Kind::Import(names));
                }
            }
        }
        // Python 2's print had no brackets; what is printed changes nothing.
        if matches!(self.peek(), Some(Tok::Name(name)) if name == "print")
            && !matches!(self.words.get(self.at + 1), Some(Tok::Op("(" | "=" | ".")))
        {
            self.at += 1;
            if !self.is_over() {
                self.tuple()?;
            }
            return Ok(Kind::Nothing);
        }
        let first = self.tuple()?;
        const CHANGES: &[&str] =
            &["+=", "-=", "*=", "/=", "//=", "%=", "**=", "<<=", ">>=", "&=", "|=", "^="];
        if let Some(op) = self.among(CHANGES) {
            let value = self.tuple()?;
            return match first {
                Expr::Name(_) | Expr::Index(..) => Ok(Kind::Change(first, &op[..op.len() - 1], value)),
                _ => self.unsupported(),
            };
        }
        let mut targets = Vec::new();
        let mut value = first;
        while self.accept("=") {
            targets.push(std::mem::replace(&mut value, self.tuple()?));
        }
        let assignable = |e: &Expr| match e {
            Expr::Name(_) | Expr::Index(..) => true,
            Expr::List(list) => list.iter().all(|e| matches!(e, Expr::Name(_))),
            _ => false,
        };
        if !targets.iter().all(assignable) {
            return self.unsupported();
        }
        Ok(if targets.is_empty() { Kind::Value(value) } else { Kind::Assign(targets, value) })
    }
}
