//! What does a block of Python say? Statements and expressions.

use super::super::Trouble;
use super::lexer::{Line, Tok};
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
    /// `break`
    Break,
    /// `continue`
    Continue,
    /// `import NAME as NAME`
    Import(Vec<(String, String)>),
    /// `pass`, `global`
    Nothing,
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
    /// `{a: b}`
    Dict(Vec<(Expr, Expr)>),
    /// `f"a {b:c}"`: texts and values with their formats.
    Format(Vec<(String, Option<(Expr, String)>)>),
}

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
    let mut words = Words { words: &line.words, at: 0, line };
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
            let parameters = words.parameters()?;
            let inner = body(&mut words, at)?;
            out.push(done(Kind::Def(name, parameters, inner)));
        }
        "class" | "with" | "try" | "except" | "finally" | "async" | "lambda" | "yield" | "del"
        | "nonlocal" | "await" | "from" | "match"
            if !matches!(line.words.get(1), Some(Tok::Op("=" | "."))) =>
        {
            return Err(Trouble::unsupported(line.number, format!("the Python statement `{}`", line.text)));
        }
        _ => out.extend(words.simple()?),
    }
    Ok(())
}

struct Words<'a> {
    words: &'a [Tok],
    at: usize,
    line: &'a Line,
}

/// Words that are no names.
const KEYWORDS: &[&str] = &[
    "and", "or", "not", "in", "is", "if", "else", "elif", "for", "while", "def", "return", "lambda",
    "import", "assert", "pass", "break", "continue", "global", "raise", "class", "with", "try", "except",
    "finally", "yield",
];

impl Words<'_> {
    fn peek(&self) -> Option<&Tok> {
        self.words.get(self.at)
    }

    fn unsupported<T>(&self) -> Result<T, Trouble> {
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
    fn accept(&mut self, wanted: &str) -> bool {
        let found = match self.peek() {
            Some(Tok::Op(op)) => *op == wanted,
            Some(Tok::Name(name)) => name == wanted,
            _ => false,
        };
        self.at += usize::from(found);
        found
    }

    fn among(&mut self, wanted: &[&'static str]) -> Option<&'static str> {
        wanted.iter().find(|w| self.accept(w)).copied()
    }

    fn expect(&mut self, wanted: &str) -> Result<(), Trouble> {
        if self.accept(wanted) { Ok(()) } else { self.unsupported() }
    }

    fn name(&mut self) -> Result<String, Trouble> {
        match self.peek() {
            Some(Tok::Name(name)) if !KEYWORDS.contains(&name.as_str()) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => self.unsupported(),
        }
    }

    /// `(a, b=1):`
    fn parameters(&mut self) -> Result<Vec<(String, Option<Expr>)>, Trouble> {
        self.expect("(")?;
        let mut out = Vec::new();
        while !self.accept(")") {
            let name = self.name()?;
            let default = if self.accept("=") { Some(self.expression(0)?) } else { None };
            out.push((name, default));
            if !self.accept(",") {
                self.expect(")")?;
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

    fn is_over(&self) -> bool {
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

    /// `a` or `a, b` before `in`.
    fn targets(&mut self) -> Result<Expr, Trouble> {
        let mut names = vec![Expr::Name(self.name()?)];
        let brackets = false;
        while self.accept(",") && !brackets {
            names.push(Expr::Name(self.name()?));
        }
        Ok(if names.len() == 1 { names.remove(0) } else { Expr::List(names) })
    }

    /// One expression, or several with commas between them.
    fn tuple(&mut self) -> Result<Expr, Trouble> {
        let first = self.expression(0)?;
        if !matches!(self.peek(), Some(Tok::Op(","))) {
            return Ok(first);
        }
        let mut list = vec![first];
        while self.accept(",") {
            if self.is_over() || matches!(self.peek(), Some(Tok::Op("=" | ":" | ")"))) {
                break;
            }
            list.push(self.expression(0)?);
        }
        Ok(Expr::List(list))
    }

    fn expression(&mut self, depth: u32) -> Result<Expr, Trouble> {
        if depth > MAX_DEPTH {
            return Err(Trouble::syntax(self.line.number, "the expression is nested too deeply"));
        }
        let value = self.or(depth)?;
        if !self.accept("if") {
            return Ok(value);
        }
        let condition = self.or(depth)?;
        self.expect("else")?;
        let other = self.expression(depth + 1)?;
        Ok(Expr::Choice(Box::new(condition), Box::new(value), Box::new(other)))
    }

    fn or(&mut self, depth: u32) -> Result<Expr, Trouble> {
        let mut left = self.and(depth)?;
        while self.accept("or") {
            left = Expr::Binary("or", Box::new(left), Box::new(self.and(depth)?));
        }
        Ok(left)
    }

    fn and(&mut self, depth: u32) -> Result<Expr, Trouble> {
        let mut left = self.not(depth)?;
        while self.accept("and") {
            left = Expr::Binary("and", Box::new(left), Box::new(self.not(depth)?));
        }
        Ok(left)
    }

    fn not(&mut self, depth: u32) -> Result<Expr, Trouble> {
        let mut times = 0u32;
        while self.accept("not") {
            times += 1;
        }
        let mut value = self.comparison(depth)?;
        // Two of them leave the truth of a value, not the value.
        for _ in 0..if times > 2 { 2 - times % 2 } else { times } {
            value = Expr::Unary("not", Box::new(value));
        }
        Ok(value)
    }

    fn comparison(&mut self, depth: u32) -> Result<Expr, Trouble> {
        let first = self.levels(depth, LEVELS)?;
        let mut rest = Vec::new();
        loop {
            let op = match self.among(&["==", "!=", "<=", ">=", "<", ">", "in", "is"]) {
                Some("is") => {
                    if self.accept("not") {
                        "is not"
                    } else {
                        "is"
                    }
                }
                Some(op) => op,
                None if self.accept("not") => {
                    self.expect("in")?;
                    "not in"
                }
                None => break,
            };
            rest.push((op, self.levels(depth, LEVELS)?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Chain(Box::new(first), rest) })
    }

    /// Operators that bind to the left, the weaker ones first.
    fn levels(&mut self, depth: u32, levels: &[&[&'static str]]) -> Result<Expr, Trouble> {
        let Some((operators, stronger)) = levels.split_first() else { return self.unary(depth) };
        let mut left = self.levels(depth, stronger)?;
        while let Some(op) = self.among(operators) {
            left = Expr::Binary(op, Box::new(left), Box::new(self.levels(depth, stronger)?));
        }
        Ok(left)
    }

    fn unary(&mut self, depth: u32) -> Result<Expr, Trouble> {
        if depth > MAX_DEPTH {
            return Err(Trouble::syntax(self.line.number, "the expression is nested too deeply"));
        }
        if let Some(op) = self.among(&["-", "+", "~"]) {
            return Ok(Expr::Unary(op, Box::new(self.unary(depth + 1)?)));
        }
        let base = self.postfix(depth)?;
        if self.accept("**") {
            return Ok(Expr::Binary("**", Box::new(base), Box::new(self.unary(depth + 1)?)));
        }
        Ok(base)
    }

    fn postfix(&mut self, depth: u32) -> Result<Expr, Trouble> {
        let mut value = self.atom(depth)?;
        loop {
            if self.accept("(") {
                let (mut args, mut named) = (Vec::new(), Vec::new());
                while !self.accept(")") {
                    let keyword = matches!(
                        (self.peek(), self.words.get(self.at + 1)),
                        (Some(Tok::Name(_)), Some(Tok::Op("=")))
                    );
                    if keyword {
                        let name = self.name()?;
                        self.at += 1;
                        named.push((name, self.expression(depth + 1)?));
                    } else {
                        args.push(self.expression(depth + 1)?);
                    }
                    if !self.accept(",") {
                        self.expect(")")?;
                        break;
                    }
                }
                value = Expr::Call(Box::new(value), args, named);
            } else if self.accept(".") {
                value = Expr::Attribute(Box::new(value), self.name()?);
            } else if self.accept("[") {
                let index = self.expression(depth + 1)?;
                self.expect("]")?;
                value = Expr::Index(Box::new(value), Box::new(index));
            } else {
                return Ok(value);
            }
        }
    }

    fn atom(&mut self, depth: u32) -> Result<Expr, Trouble> {
        if self.accept("(") {
            if self.accept(")") {
                return Ok(Expr::List(Vec::new()));
            }
            let first = self.expression(depth + 1)?;
            if self.accept(")") {
                return Ok(first);
            }
            return Ok(Expr::List(self.rest_of_list(first, ")", depth)?));
        }
        if self.accept("[") {
            if self.accept("]") {
                return Ok(Expr::List(Vec::new()));
            }
            let first = self.expression(depth + 1)?;
            if self.accept("]") {
                return Ok(Expr::List(vec![first]));
            }
            return Ok(Expr::List(self.rest_of_list(first, "]", depth)?));
        }
        if self.accept("{") {
            let mut pairs = Vec::new();
            while !self.accept("}") {
                let key = self.expression(depth + 1)?;
                self.expect(":")?;
                pairs.push((key, self.expression(depth + 1)?));
                if !self.accept(",") {
                    self.expect("}")?;
                    break;
                }
            }
            return Ok(Expr::Dict(pairs));
        }
        let value = match self.peek().cloned() {
            Some(Tok::Int(n)) => Value::Int(n),
            Some(Tok::Float(n)) => Value::Float(n),
            Some(Tok::Text(..)) => return self.texts(depth),
            Some(Tok::Name(name)) => match name.as_str() {
                "True" => Value::Bool(true),
                "False" => Value::Bool(false),
                "None" => Value::None,
                _ => return self.name().map(Expr::Name),
            },
            _ => return self.unsupported(),
        };
        self.at += 1;
        Ok(Expr::Const(value))
    }

    fn rest_of_list(&mut self, first: Expr, close: &str, depth: u32) -> Result<Vec<Expr>, Trouble> {
        let mut list = vec![first];
        loop {
            // Comprehensions end up here.
            self.expect(",")?;
            if self.accept(close) {
                return Ok(list);
            }
            list.push(self.expression(depth + 1)?);
            if self.accept(close) {
                return Ok(list);
            }
        }
    }

    /// Texts that follow one another are one.
    fn texts(&mut self, depth: u32) -> Result<Expr, Trouble> {
        let mut parts: Vec<(String, Option<(Expr, String)>)> = vec![(String::new(), None)];
        while let Some(Tok::Text(text, formatted)) = self.peek().cloned() {
            self.at += 1;
            if formatted {
                self.formatted(&text, &mut parts, depth)?;
            } else if let Some((last, _)) = parts.last_mut() {
                last.push_str(&text);
            }
        }
        Ok(match parts.as_mut_slice() {
            [(text, None)] => Expr::Const(Value::Text(std::mem::take(text))),
            _ => Expr::Format(parts),
        })
    }

    /// `a {b!r:>3} {{`
    fn formatted(
        &self,
        text: &str,
        parts: &mut Vec<(String, Option<(Expr, String)>)>,
        depth: u32,
    ) -> Result<(), Trouble> {
        let wrong = || Trouble::syntax(self.line.number, "a brace in a formatted string is not closed");
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let Some((last, _)) = parts.last_mut() else { return Err(wrong()) };
            last.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                last.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(wrong());
            }
            let end = rest.find('}').ok_or_else(wrong)?;
            let (inside, format) = rest[..end].split_once(':').unwrap_or((&rest[..end], ""));
            rest = &rest[end + 1..];
            let inside = inside.trim_end_matches("!r").trim_end_matches("!s").trim_end_matches('=');
            let lines = super::lexer::lines(inside.trim(), self.line.number)?;
            let [line] = lines.as_slice() else { return Err(wrong()) };
            let mut words = Words { words: &line.words, at: 0, line };
            let value = words.expression(depth + 1)?;
            if words.at < line.words.len() {
                return words.unsupported();
            }
            let Some((_, hole)) = parts.last_mut() else { return Err(wrong()) };
            *hole = Some((value, format.to_string()));
            parts.push((String::new(), None));
        }
        if let Some((last, _)) = parts.last_mut() {
            last.push_str(rest);
        }
        Ok(())
    }
}

/// From the weakest to the strongest.
const LEVELS: &[&[&str]] = &[&["|"], &["^"], &["&"], &["<<", ">>"], &["+", "-"], &["*", "//", "/", "%"]];

/// The names that an expression speaks of.
pub fn names(expr: &Expr) -> Vec<&str> {
    match expr {
        Expr::Const(_) => Vec::new(),
        Expr::Name(name) => vec![name],
        Expr::Call(f, args, named) => {
            let function = if matches!(**f, Expr::Name(_)) { Vec::new() } else { names(f) };
            let args = args.iter().chain(named.iter().map(|(_, e)| e));
            function.into_iter().chain(args.flat_map(names)).collect()
        }
        Expr::Attribute(inner, _) | Expr::Unary(_, inner) => names(inner),
        Expr::Index(a, b) | Expr::Binary(_, a, b) => names(a).into_iter().chain(names(b)).collect(),
        Expr::Chain(first, rest) => {
            names(first).into_iter().chain(rest.iter().flat_map(|(_, e)| names(e))).collect()
        }
        Expr::Choice(a, b, c) => [a, b, c].into_iter().flat_map(|e| names(e)).collect(),
        Expr::List(list) => list.iter().flat_map(names).collect(),
        Expr::Dict(pairs) => pairs.iter().flat_map(|(k, v)| names(k).into_iter().chain(names(v))).collect(),
        Expr::Format(parts) => {
            parts.iter().filter_map(|(_, hole)| hole.as_ref()).flat_map(|(e, _)| names(e)).collect()
        }
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
            Kind::Return(None)
            | Kind::Raise(None)
            | Kind::Break
            | Kind::Continue
            | Kind::Import(_)
            | Kind::Nothing => {}
        }
    }
}
