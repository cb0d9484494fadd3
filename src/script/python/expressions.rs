//! What does an expression of Python say?

use super::super::Trouble;
use super::ast::{Each, Expr};
use super::lexer::{self, Tok};
use super::parser::Words;
use super::value::Value;

const MAX_DEPTH: u32 = 24;

/// From the weakest to the strongest.
const LEVELS: &[&[&str]] = &[&["|"], &["^"], &["&"], &["<<", ">>"], &["+", "-"], &["*", "//", "/", "%"]];

impl Words<'_> {
    /// `a` or `a, b` before `in`.
    pub(super) fn targets(&mut self) -> Result<Expr, Trouble> {
        let mut names = vec![Expr::Name(self.name()?)];
        while self.accept(",") {
            names.push(Expr::Name(self.name()?));
        }
        Ok(if names.len() == 1 { names.remove(0) } else { Expr::List(names) })
    }

    /// One expression, or several with commas between them.
    pub(super) fn tuple(&mut self) -> Result<Expr, Trouble> {
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

    pub(super) fn expression(&mut self, depth: u32) -> Result<Expr, Trouble> {
        if depth > MAX_DEPTH {
            return Err(Trouble::syntax(self.line.number, "the expression is nested too deeply"));
        }
        if self.accept("lambda") {
            let parameters = self.parameters(":")?;
            return Ok(Expr::Lambda(parameters, Box::new(self.expression(depth + 1)?)));
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
                        let arg = self.expression(depth + 1)?;
                        args.push(self.each(arg, None, false, depth)?);
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
                value = self.index(value, depth)?;
            } else {
                return Ok(value);
            }
        }
    }

    /// What stands behind `[`.
    fn index(&mut self, base: Expr, depth: u32) -> Result<Expr, Trouble> {
        let (mut ends, mut colons) = ([None, None, None], 0);
        while !self.accept("]") {
            if self.accept(":") && colons < 2 {
                colons += 1;
            } else if ends[colons].is_none() {
                ends[colons] = Some(self.expression(depth + 1)?);
            } else {
                return self.unsupported();
            }
        }
        let base = Box::new(base);
        match (colons, &mut ends[0]) {
            (0, None) => self.unsupported(),
            (0, Some(_)) => {
                Ok(Expr::Index(base, Box::new(ends[0].take().unwrap_or(Expr::Const(Value::None)))))
            }
            _ => Ok(Expr::Slice(base, Box::new(ends))),
        }
    }

    /// A comprehension, if `for` comes now; else the item itself.
    fn each(&mut self, item: Expr, value: Option<Expr>, set: bool, depth: u32) -> Result<Expr, Trouble> {
        let mut clauses = Vec::new();
        while self.accept("for") {
            let target = self.targets()?;
            self.expect("in")?;
            let (values, mut conditions) = (self.or(depth + 1)?, Vec::new());
            while self.accept("if") {
                conditions.push(self.or(depth + 1)?);
            }
            clauses.push((target, values, conditions));
        }
        Ok(match clauses.is_empty() {
            true => item,
            false => Expr::Each(Box::new(Each { item, value, clauses }), set),
        })
    }

    /// What stands behind `{`: a dictionary or a set.
    fn braces(&mut self, depth: u32) -> Result<Expr, Trouble> {
        let (mut pairs, mut items) = (Vec::new(), Vec::new());
        while !self.accept("}") {
            let first = self.expression(depth + 1)?;
            let whole = if self.accept(":") {
                let value = self.expression(depth + 1)?;
                let whole = self.each(first.clone(), Some(value.clone()), false, depth)?;
                pairs.push((first, value));
                whole
            } else {
                let whole = self.each(first, None, true, depth)?;
                items.push(whole.clone());
                whole
            };
            if matches!(whole, Expr::Each(..)) && pairs.len() + items.len() == 1 && self.accept("}") {
                return Ok(whole);
            }
            if !self.accept(",") {
                self.expect("}")?;
                break;
            }
        }
        match (pairs.is_empty(), items.is_empty()) {
            (true, false) => Ok(Expr::Set(items)),
            (_, true) => Ok(Expr::Dict(pairs)),
            _ => self.unsupported(),
        }
    }

    fn atom(&mut self, depth: u32) -> Result<Expr, Trouble> {
        for (open, close) in [("(", ")"), ("[", "]")] {
            if !self.accept(open) {
                continue;
            }
            if self.accept(close) {
                return Ok(Expr::List(Vec::new()));
            }
            let first = self.expression(depth + 1)?;
            let first = self.each(first, None, false, depth)?;
            if self.accept(close) {
                return Ok(match first {
                    first @ Expr::Each(..) => first,
                    first if open == "(" => first,
                    first => Expr::List(vec![first]),
                });
            }
            return Ok(Expr::List(self.rest_of_list(first, close, depth)?));
        }
        if self.accept("{") {
            return self.braces(depth);
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
            let lines = lexer::lines(inside.trim(), self.line.number)?;
            let [line] = lines.as_slice() else { return Err(wrong()) };
            let mut words = Words::of(line);
            let value = words.expression(depth + 1)?;
            if !words.is_over() {
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
