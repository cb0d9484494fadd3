//! What happens when a block of Python runs? Names last for the whole script, as in the one program that packetdrill makes
//! of all blocks.

use super::super::Trouble;
use super::ast::{self, Each, Expr, Kind, Stmt, Try};
use super::builtins::{builtin, method, of_module};
use super::format;
use super::value::{self, Raised, Value};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Where names get their values from that no statement gave: `tcpi_…` and constants.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<Value>;

/// Steps after which a script is taken for endless.
const MOST_STEPS: u64 = 2_000_000;
/// What is said of an assertion.
const REFUTED: &str = "the assertion does not hold";
/// Functions that a script makes.
const MOST_FUNCTIONS: usize = 1 << 12;
/// Calls within calls.
const MOST_CALLS: usize = 32;
/// A list that a script makes has no more items.
pub(super) const MOST_ITEMS: i128 = 1 << 16;

/// What is known so far.
#[derive(Default)]
pub struct Interpreter {
    names: BTreeMap<String, Value>,
    functions: Vec<Function>,
    /// What the handlers that run have caught, the innermost last.
    caught: Vec<Trouble>,
    steps: u64,
}

#[derive(Clone)]
struct Function {
    parameters: Vec<(String, Option<Value>)>,
    body: Vec<Stmt>,
}

/// How a block was left.
enum Flow {
    Next,
    Break,
    Continue,
    Return(Value),
}

/// Why it cannot go on.
pub(super) enum Stop {
    /// An error at the line that is being looked at.
    Raised(Raised),
    /// What is to be reported.
    Told(Trouble),
}

impl From<Raised> for Stop {
    fn from(what: Raised) -> Stop {
        Stop::Raised(what)
    }
}

impl From<&str> for Stop {
    fn from(what: &str) -> Stop {
        Stop::Raised(what.to_string())
    }
}

struct Run<'a> {
    all: &'a mut Interpreter,
    lookup: Lookup<'a>,
    /// The names of the functions that run, the innermost last.
    frames: Vec<BTreeMap<String, Value>>,
}

impl Interpreter {
    /// Runs a block.
    pub fn run(&mut self, block: &[Stmt], lookup: Lookup) -> Result<(), Trouble> {
        let mut run = Run { all: self, lookup, frames: Vec::new() };
        match run.block(block) {
            Ok(_) => Ok(()),
            Err(Stop::Told(trouble)) => Err(trouble),
            Err(Stop::Raised(what)) => {
                Err(Trouble::failed(block.first().map_or(1, |s| s.line), what, "", ""))
            }
        }
    }
}

impl Run<'_> {
    fn block(&mut self, block: &[Stmt]) -> Result<Flow, Stop> {
        for stmt in block {
            self.tick()?;
            let flow = self.statement(stmt).map_err(|stop| match stop {
                Stop::Raised(what) if what.starts_with(value::BEYOND) => {
                    Stop::Told(Trouble::unsupported(stmt.line, what))
                }
                Stop::Raised(what) => Stop::Told(Trouble::failed(
                    stmt.line,
                    format!("the statement cannot be evaluated: {what}"),
                    &stmt.text,
                    "",
                )),
                told => told,
            })?;
            if !matches!(flow, Flow::Next) {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn tick(&mut self) -> Result<(), Stop> {
        self.all.steps += 1;
        if self.all.steps > MOST_STEPS {
            Err(value::beyond("more than 2,000,000 steps").into())
        } else {
            Ok(())
        }
    }

    fn statement(&mut self, stmt: &Stmt) -> Result<Flow, Stop> {
        match &stmt.kind {
            Kind::Nothing => {}
            Kind::Break => return Ok(Flow::Break),
            Kind::Continue => return Ok(Flow::Continue),
            Kind::Value(expr) => {
                self.value(expr)?;
            }
            Kind::Assign(targets, expr) => {
                let value = self.value(expr)?;
                for target in targets {
                    self.assign(target, value.clone())?;
                }
            }
            Kind::Change(target, op, expr) => {
                let value = value::binary(op, &self.value(target)?, &self.value(expr)?)?;
                self.assign(target, value)?;
            }
            Kind::Assert(condition, message) => {
                if !self.value(condition)?.truth() {
                    return Err(Stop::Told(self.refuted(stmt, condition, message.as_ref())));
                }
            }
            Kind::Raise(None) if !self.all.caught.is_empty() => {
                return Err(self.all.caught.last().cloned().map_or("nothing to raise".into(), Stop::Told));
            }
            Kind::Try(tried) => return self.attempt(tried),
            Kind::Raise(what) => {
                let what = what.as_ref().map(|e| self.value(e)).transpose()?.unwrap_or(Value::None);
                return Err(format!("raised: {what}").into());
            }
            Kind::Return(expr) => {
                let value = expr.as_ref().map(|e| self.value(e)).transpose()?.unwrap_or(Value::None);
                return Ok(Flow::Return(value));
            }
            Kind::If(arms) => {
                for (condition, body) in arms {
                    let holds = match condition {
                        Some(condition) => self.value(condition)?.truth(),
                        None => true,
                    };
                    if holds {
                        return self.block(body);
                    }
                }
            }
            Kind::While(condition, body) => {
                while self.value(condition)?.truth() {
                    self.tick()?;
                    match self.block(body)? {
                        Flow::Break => break,
                        Flow::Return(value) => return Ok(Flow::Return(value)),
                        Flow::Next | Flow::Continue => {}
                    }
                }
            }
            Kind::For(target, values, body) => {
                for item in self.value(values)?.items()? {
                    self.assign(target, item)?;
                    match self.block(body)? {
                        Flow::Break => break,
                        Flow::Return(value) => return Ok(Flow::Return(value)),
                        Flow::Next | Flow::Continue => {}
                    }
                }
            }
            Kind::Def(name, parameters, body) => {
                let mut ready = Vec::new();
                for (name, default) in parameters {
                    ready.push((name.clone(), default.as_ref().map(|e| self.value(e)).transpose()?));
                }
                let function = self.function(ready, body.clone())?;
                self.set(name, function);
            }
            Kind::Import(names) => {
                for (module, name) in names {
                    self.set(name, Value::Module(module.clone()));
                }
            }
        }
        Ok(Flow::Next)
    }

    fn function(&mut self, parameters: Vec<(String, Option<Value>)>, body: Vec<Stmt>) -> Result<Value, Stop> {
        if self.all.functions.len() >= MOST_FUNCTIONS {
            return Err("too many functions are made".into());
        }
        self.all.functions.push(Function { parameters, body });
        Ok(Value::Function(self.all.functions.len() - 1))
    }

    fn attempt(&mut self, tried: &Try) -> Result<Flow, Stop> {
        let result = match self.block(&tried.body) {
            Ok(Flow::Next) => self.block(&tried.otherwise),
            Err(Stop::Told(trouble)) => match self.handler(tried, &trouble) {
                Some((name, body)) => {
                    if let Some(name) = name {
                        self.set(name, Value::Text(trouble.what().to_string()));
                    }
                    self.all.caught.push(trouble);
                    let result = self.block(body);
                    self.all.caught.pop();
                    result
                }
                None => Err(Stop::Told(trouble)),
            },
            other => other,
        };
        match self.block(&tried.last)? {
            Flow::Next => result,
            flow => Ok(flow),
        }
    }

    /// Which handler is for it: those of assertions for what does not hold, those of other names for other errors.
    fn handler<'a>(&self, tried: &'a Try, trouble: &Trouble) -> Option<(Option<&'a str>, &'a [Stmt])> {
        let refuted = trouble.what() == REFUTED;
        let fits = |kind: &Option<Expr>| match kind {
            None => true,
            Some(kind) => ast::names(kind).into_iter().any(|name| match name {
                "Exception" | "BaseException" => true,
                "AssertionError" => refuted,
                _ => !refuted,
            }),
        };
        let found = tried.handlers.iter().find(|(kind, ..)| fits(kind));
        found.map(|(_, name, body)| (name.as_deref(), body.as_slice()))
    }

    /// The items of a comprehension, key and value each.
    fn each(&mut self, each: &Each, level: usize, out: &mut Vec<(Value, Value)>) -> Result<(), Stop> {
        let Some((target, values, conditions)) = each.clauses.get(level) else {
            if out.len() as i128 >= MOST_ITEMS {
                return Err(value::too_long().into());
            }
            let item = self.value(&each.item)?;
            let value = each.value.as_ref().map(|e| self.value(e)).transpose()?;
            out.push((item, value.unwrap_or(Value::None)));
            return Ok(());
        };
        'items: for item in self.value(values)?.items()? {
            self.tick()?;
            self.assign(target, item)?;
            for condition in conditions {
                if !self.value(condition)?.truth() {
                    continue 'items;
                }
            }
            self.each(each, level + 1, out)?;
        }
        Ok(())
    }

    /// A comprehension has names of its own.
    fn comprehension(&mut self, each: &Each, set: bool) -> Result<Value, Stop> {
        if self.frames.len() >= MOST_CALLS {
            return Err("too many calls within calls".into());
        }
        self.frames.push(self.frames.last().cloned().unwrap_or_default());
        let mut out = Vec::new();
        let result = self.each(each, 0, &mut out);
        self.frames.pop();
        result?;
        if each.value.is_some() {
            return Ok(Value::Dict(out));
        }
        let items = out.into_iter().map(|(item, _)| item);
        Ok(Value::List(if set { value::distinct(items) } else { items.collect() }))
    }

    /// An assertion that does not hold, with what its names stand for.
    fn refuted(&mut self, stmt: &Stmt, condition: &Expr, message: Option<&Expr>) -> Trouble {
        let mut seen: Vec<String> = Vec::new();
        for name in ast::names(condition) {
            if let Some(value) = self.get(name) {
                let text = format!("{name} is {value}");
                if !seen.contains(&text) {
                    seen.push(text);
                }
            }
        }
        if let Some(Ok(Value::Text(text))) = message.map(|message| self.value(message)) {
            seen.push(text);
        }
        Trouble::failed(stmt.line, REFUTED, &stmt.text, seen.join(", "))
    }

    fn get(&self, name: &str) -> Option<Value> {
        let local = self.frames.last().and_then(|frame| frame.get(name));
        local.or_else(|| self.all.names.get(name)).cloned().or_else(|| (self.lookup)(name))
    }

    fn set(&mut self, name: &str, value: Value) {
        self.frames.last_mut().unwrap_or(&mut self.all.names).insert(name.to_string(), value);
    }

    fn assign(&mut self, target: &Expr, value: Value) -> Result<(), Stop> {
        match target {
            Expr::Name(name) => self.set(name, value),
            Expr::List(targets) => {
                let values = value.items()?;
                if values.len() != targets.len() {
                    return Err(format!("{} values for {} names", values.len(), targets.len()).into());
                }
                for (target, value) in targets.iter().zip(values) {
                    self.assign(target, value)?;
                }
            }
            Expr::Index(base, index) => {
                let (mut whole, index) = (self.value(base)?, self.value(index)?);
                match &mut whole {
                    Value::Dict(pairs) => match pairs.iter_mut().find(|(k, _)| k.same(&index)) {
                        Some((_, old)) => *old = value,
                        None => pairs.push((index, value)),
                    },
                    Value::List(list) => {
                        let n = index.whole().ok_or("an index is a whole number")?;
                        let n = if n < 0 { n + list.len() as i128 } else { n };
                        let at = usize::try_from(n).ok().and_then(|n| list.get_mut(n));
                        *at.ok_or("index out of range")? = value;
                    }
                    _ => return Err("this cannot be changed in parts".into()),
                }
                self.assign(base, whole)?;
            }
            _ => return Err("nothing can be assigned to this".into()),
        }
        Ok(())
    }

    fn value(&mut self, expr: &Expr) -> Result<Value, Stop> {
        self.tick()?;
        Ok(match expr {
            Expr::Const(value) => value.clone(),
            Expr::Name(name) => self.get(name).ok_or_else(|| match name.starts_with("tcpi_") {
                true => format!("there is no connection that {name} could be of"),
                false => format!("{name} is not known yet"),
            })?,
            Expr::Unary(op, a) => value::unary(op, &self.value(a)?)?,
            Expr::Binary("and", a, b) => match self.value(a)? {
                a if a.truth() => self.value(b)?,
                a => a,
            },
            Expr::Binary("or", a, b) => match self.value(a)? {
                a if a.truth() => a,
                _ => self.value(b)?,
            },
            Expr::Binary(op, a, b) => value::binary(op, &self.value(a)?, &self.value(b)?)?,
            Expr::Chain(first, rest) => {
                let mut left = self.value(first)?;
                for (op, right) in rest {
                    let right = self.value(right)?;
                    if !compare(op, &left, &right)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Value::Bool(true)
            }
            Expr::Choice(condition, then, other) => {
                let holds = self.value(condition)?.truth();
                self.value(if holds { then } else { other })?
            }
            Expr::List(list) => Value::List(list.iter().map(|e| self.value(e)).collect::<Result<_, _>>()?),
            Expr::Dict(pairs) => {
                let mut out = Vec::new();
                for (key, value) in pairs {
                    out.push((self.value(key)?, self.value(value)?));
                }
                Value::Dict(out)
            }
            Expr::Format(parts) => {
                let mut out = String::new();
                for (text, hole) in parts {
                    out.push_str(text);
                    if let Some((expr, spec)) = hole {
                        out.push_str(&format::value_as(&self.value(expr)?, spec)?);
                    }
                }
                Value::Text(out)
            }
            Expr::Index(base, index) => self.value(base)?.at(&self.value(index)?)?,
            Expr::Slice(base, ends) => {
                let base = self.value(base)?;
                let mut numbers = [None; 3];
                for (number, end) in numbers.iter_mut().zip(ends.iter()) {
                    if let Some(end) = end {
                        *number =
                            Some(self.value(end)?.whole().ok_or("an end of a slice is a whole number")?);
                    }
                }
                base.slice(numbers)?
            }
            Expr::Set(list) => {
                let list: Vec<Value> = list.iter().map(|e| self.value(e)).collect::<Result<_, _>>()?;
                Value::List(value::distinct(list))
            }
            Expr::Each(each, set) => self.comprehension(each, *set)?,
            Expr::Lambda(parameters, body) => {
                let mut ready = Vec::new();
                for (name, default) in parameters {
                    ready.push((name.clone(), default.as_ref().map(|e| self.value(e)).transpose()?));
                }
                let kind = Kind::Return(Some((**body).clone()));
                self.function(ready, vec![Stmt { line: 0, text: "lambda".to_string(), kind }])?
            }
            Expr::Attribute(base, name) => match (self.value(base)?, name.as_str()) {
                (Value::Module(module), "maxsize") if module == "sys" => Value::Int(i64::MAX.into()),
                (Value::Module(module), "pi") if module == "math" => Value::Float(std::f64::consts::PI),
                (Value::Module(module), "inf") if module == "math" => Value::Float(f64::INFINITY),
                (Value::Module(module), name) => Value::Module(format!("{module}.{name}")),
                (other, name) => return Err(format!("'{}' has no attribute {name}", other.kind()).into()),
            },
            Expr::Call(function, args, named) => self.call(function, args, named)?,
        })
    }

    fn call(&mut self, function: &Expr, args: &[Expr], named: &[(String, Expr)]) -> Result<Value, Stop> {
        // `append` changes what the name stands for.
        if let (Expr::Attribute(base, name), [item]) = (function, args)
            && name == "append"
        {
            let (mut list, item) = (self.value(base)?.items()?, self.value(item)?);
            if list.len() as i128 >= MOST_ITEMS {
                return Err(value::too_long().into());
            }
            list.push(item);
            self.assign(base, Value::List(list))?;
            return Ok(Value::None);
        }
        let mut values = Vec::new();
        for arg in args {
            values.push(self.value(arg)?);
        }
        let mut keywords = Vec::new();
        for (name, arg) in named {
            keywords.push((name.clone(), self.value(arg)?));
        }
        match function {
            Expr::Name(name) => match self.get(name) {
                Some(Value::Function(n)) => self.call_function(n, values, keywords),
                Some(other) => Err(format!("'{}' cannot be called", other.kind()).into()),
                None => builtin(name, &values, &keywords),
            },
            Expr::Attribute(base, name) => match self.value(base)? {
                Value::Module(module) => of_module(&module, name, &values),
                value => method(&value, name, &values, &keywords),
            },
            _ => Err("this cannot be called".into()),
        }
    }

    fn call_function(
        &mut self,
        n: usize,
        values: Vec<Value>,
        keywords: Vec<(String, Value)>,
    ) -> Result<Value, Stop> {
        if self.frames.len() >= MOST_CALLS {
            return Err("too many calls within calls".into());
        }
        let function = self.all.functions[n].clone();
        if values.len() > function.parameters.len() {
            return Err("too many arguments".into());
        }
        let mut frame = BTreeMap::new();
        let mut values = values.into_iter();
        for (name, default) in function.parameters {
            let keyword = keywords.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
            let value = values.next().or(keyword).or(default);
            frame.insert(name.clone(), value.ok_or_else(|| format!("the argument {name} is missing"))?);
        }
        self.frames.push(frame);
        let flow = self.block(&function.body);
        self.frames.pop();
        Ok(match flow? {
            Flow::Return(value) => value,
            _ => Value::None,
        })
    }
}

fn compare(op: &str, a: &Value, b: &Value) -> Result<bool, Raised> {
    Ok(match op {
        "==" => a.same(b),
        "!=" => !a.same(b),
        "is" => a.kind() == b.kind() && a.same(b),
        "is not" => !(a.kind() == b.kind() && a.same(b)),
        "in" => b.holds(a)?,
        "not in" => !b.holds(a)?,
        "<" => a.order(b)? == Ordering::Less,
        ">" => a.order(b)? == Ordering::Greater,
        "<=" => a.order(b)? != Ordering::Greater,
        _ => a.order(b)? != Ordering::Less,
    })
}
