//! What happens when a block of Python runs? Names last for the whole script, as in the one program that packetdrill makes
//! of all blocks.

use super::super::Trouble;
use super::format;
use super::parser::{self, Expr, Kind, Stmt};
use super::value::{self, Raised, Value};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Where names get their values from that no statement gave: `tcpi_…` and constants.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<Value>;

/// Steps after which a script is taken for endless.
const MOST_STEPS: u64 = 2_000_000;
/// Calls within calls.
const MOST_CALLS: usize = 32;
/// A list that a script makes has no more items.
const MOST_ITEMS: i128 = 1 << 16;

/// What is known so far.
#[derive(Default)]
pub struct Interpreter {
    names: BTreeMap<String, Value>,
    functions: Vec<Function>,
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
enum Stop {
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
        if self.all.steps > MOST_STEPS { Err("the code does not come to an end".into()) } else { Ok(()) }
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
                self.all.functions.push(Function { parameters: ready, body: body.clone() });
                let function = Value::Function(self.all.functions.len() - 1);
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

    /// An assertion that does not hold, with what its names stand for.
    fn refuted(&mut self, stmt: &Stmt, condition: &Expr, message: Option<&Expr>) -> Trouble {
        let mut seen: Vec<String> = Vec::new();
        for name in parser::names(condition) {
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
        Trouble::failed(stmt.line, "the assertion does not hold", &stmt.text, seen.join(", "))
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
                return Err("the list is too long".into());
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

/// Functions of Python itself that are there.
pub const BUILTINS: &[&str] = &[
    "abs",
    "min",
    "max",
    "int",
    "float",
    "round",
    "bool",
    "str",
    "repr",
    "len",
    "sum",
    "range",
    "list",
    "tuple",
    "sorted",
    "print",
    "pow",
    "divmod",
    "any",
    "all",
    "hex",
    "enumerate",
    "zip",
    "exit",
    "isinstance",
    "Exception",
    "AssertionError",
    "ValueError",
    "dict",
];

/// Modules that can be imported; what of them is there shows in a call.
pub const MODULES: &[&str] = &["sys", "time", "socket", "math", "os", "re", "struct", "traceback"];

fn builtin(name: &str, args: &[Value], named: &[(String, Value)]) -> Result<Value, Stop> {
    let wrong = || format!("{name}() does not take these arguments");
    let many = |args: &[Value]| match args {
        [one @ (Value::List(_) | Value::Text(_) | Value::Dict(_))] => one.clone().items(),
        many => Ok(many.to_vec()),
    };
    Ok(match (name, args) {
        ("print", _) => Value::None,
        ("abs", [Value::Float(n)]) => Value::Float(n.abs()),
        ("abs", [n]) => Value::Int(n.whole().and_then(i128::checked_abs).ok_or_else(wrong)?),
        ("min" | "max", args) => {
            let mut items = many(args)?.into_iter();
            let mut best = items.next().ok_or_else(wrong)?;
            for item in items {
                let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
                if item.order(&best)? == wanted {
                    best = item;
                }
            }
            best
        }
        ("sum", [list]) => {
            let mut sum = Value::Int(0);
            for item in list.clone().items()? {
                sum = value::binary("+", &sum, &item)?;
            }
            sum
        }
        ("int", [Value::Float(n)]) if n.is_finite() && n.abs() < 1e30 => Value::Int(n.trunc() as i128),
        ("int", [Value::Text(text)]) => Value::Int(text.trim().parse().map_err(|_| wrong())?),
        ("int", [Value::Text(text), base]) => {
            let digits = text.trim().trim_start_matches("0x");
            let base = base.whole().and_then(|n| u32::try_from(n).ok()).filter(|n| (2..=36).contains(n));
            Value::Int(i128::from_str_radix(digits, base.ok_or_else(wrong)?).map_err(|_| wrong())?)
        }
        ("int", [n]) => Value::Int(n.whole().ok_or_else(wrong)?),
        ("float", [Value::Text(text)]) => Value::Float(text.trim().parse().map_err(|_| wrong())?),
        ("float", [n]) => Value::Float(n.number().ok_or_else(wrong)?),
        ("round", [Value::Float(n)]) if n.is_finite() && n.abs() < 1e30 => {
            Value::Int(n.round_ties_even() as i128)
        }
        ("round", [n]) => Value::Int(n.whole().ok_or_else(wrong)?),
        ("round", [n, digits]) => {
            let digits = digits.whole().and_then(|n| usize::try_from(n).ok()).filter(|n| *n < 30);
            let text = format!("{:.*}", digits.ok_or_else(wrong)?, n.number().ok_or_else(wrong)?);
            Value::Float(text.parse().map_err(|_| wrong())?)
        }
        ("bool", [value]) => Value::Bool(value.truth()),
        ("str" | "repr", [value]) => Value::Text(value.to_string()),
        ("hex", [n]) => Value::Text(format!("{:#x}", n.whole().ok_or_else(wrong)?)),
        ("len", [Value::Text(text)]) => Value::Int(text.chars().count() as i128),
        ("len", [list]) => Value::Int(list.clone().items()?.len() as i128),
        ("range", args) => {
            let n: Vec<i128> = args.iter().map(|a| a.whole().ok_or_else(wrong)).collect::<Result<_, _>>()?;
            let (from, to, step) = match n.as_slice() {
                [to] => (0, *to, 1),
                [from, to] => (*from, *to, 1),
                [from, to, step] if *step != 0 => (*from, *to, *step),
                _ => return Err(wrong().into()),
            };
            let (mut out, mut at) = (Vec::new(), from);
            while if step > 0 { at < to } else { at > to } {
                if out.len() as i128 >= MOST_ITEMS {
                    return Err("the range is too long".into());
                }
                out.push(Value::Int(at));
                at = at.checked_add(step).ok_or_else(wrong)?;
            }
            Value::List(out)
        }
        ("list" | "tuple", []) => Value::List(Vec::new()),
        ("list" | "tuple", [list]) => Value::List(list.clone().items()?),
        ("dict", []) => Value::Dict(named.iter().map(|(n, v)| (Value::Text(n.clone()), v.clone())).collect()),
        ("sorted", [list]) => {
            let mut list = list.clone().items()?;
            let mut wrong = None;
            list.sort_by(|a, b| {
                a.order(b).unwrap_or_else(|what| {
                    wrong = Some(what);
                    Ordering::Equal
                })
            });
            match wrong {
                Some(what) => return Err(what.into()),
                None => Value::List(list),
            }
        }
        ("any", [list]) => Value::Bool(list.clone().items()?.iter().any(Value::truth)),
        ("all", [list]) => Value::Bool(list.clone().items()?.iter().all(Value::truth)),
        ("pow", [a, b]) => value::binary("**", a, b)?,
        ("divmod", [a, b]) => Value::List(vec![value::binary("//", a, b)?, value::binary("%", a, b)?]),
        ("enumerate", [list]) => {
            let pair = |(n, item)| Value::List(vec![Value::Int(n as i128), item]);
            Value::List(list.clone().items()?.into_iter().enumerate().map(pair).collect())
        }
        ("zip", [a, b]) => {
            let (a, b) = (a.clone().items()?, b.clone().items()?);
            Value::List(a.into_iter().zip(b).map(|(a, b)| Value::List(vec![a, b])).collect())
        }
        ("isinstance", _) => Value::Bool(true),
        ("Exception" | "AssertionError" | "ValueError", args) => {
            Value::Text(args.first().map_or_else(String::new, Value::to_string))
        }
        ("exit", args) => return leave(args),
        _ => return Err(wrong().into()),
    })
}

/// `exit(n)` at its end is what the whole program is judged by.
fn leave(args: &[Value]) -> Result<Value, Stop> {
    match args.first().map(|code| code.whole()) {
        // What comes behind it is not looked at, which cannot make it fail.
        None | Some(Some(0)) => Ok(Value::None),
        _ => Err("the program ends with an error of its own".into()),
    }
}

/// A function of a module that changes nothing, or only reckons.
fn of_module(module: &str, name: &str, args: &[Value]) -> Result<Value, Stop> {
    let number = || args.first().and_then(Value::number).ok_or("a number was expected");
    Ok(match (module, name) {
        ("math", "floor") => Value::Int(number()?.floor() as i128),
        ("math", "ceil") => Value::Int(number()?.ceil() as i128),
        ("math", "sqrt") => Value::Float(number()?.sqrt()),
        ("math", "fabs") => Value::Float(number()?.abs()),
        ("math", "log") => Value::Float(number()?.ln()),
        ("math", "log2") => Value::Float(number()?.log2()),
        ("sys.stdout" | "sys.stderr", "write" | "flush") => Value::None,
        ("sys", "exit") => return leave(args),
        _ => return Err(format!("{module}.{name} is not there").into()),
    })
}

/// A method of a value.
fn method(value: &Value, name: &str, args: &[Value], named: &[(String, Value)]) -> Result<Value, Stop> {
    let Value::Text(text) = value else {
        return match (value, name, args) {
            (Value::Dict(pairs), "get", [key]) => {
                Ok(pairs.iter().find(|(k, _)| k.same(key)).map_or(Value::None, |(_, v)| v.clone()))
            }
            (Value::Dict(pairs), "keys", []) => {
                Ok(Value::List(pairs.iter().map(|(k, _)| k.clone()).collect()))
            }
            (Value::Dict(pairs), "values", []) => {
                Ok(Value::List(pairs.iter().map(|(_, v)| v.clone()).collect()))
            }
            (Value::Dict(pairs), "items", []) => {
                let pair = |(k, v): &(Value, Value)| Value::List(vec![k.clone(), v.clone()]);
                Ok(Value::List(pairs.iter().map(pair).collect()))
            }
            (Value::List(list), "count", [item]) => {
                Ok(Value::Int(list.iter().filter(|v| v.same(item)).count() as i128))
            }
            _ => Err(format!("'{}' has no method {name}", value.kind()).into()),
        };
    };
    let text_of = |n: usize| match args.get(n) {
        Some(Value::Text(text)) => Ok(text.as_str()),
        _ => Err(format!("{name}() takes texts")),
    };
    Ok(match name {
        "format" => Value::Text(format::braces(text, args, named)?),
        "upper" => Value::Text(text.to_uppercase()),
        "lower" => Value::Text(text.to_lowercase()),
        "strip" => Value::Text(text.trim().to_string()),
        "startswith" => Value::Bool(text.starts_with(text_of(0)?)),
        "endswith" => Value::Bool(text.ends_with(text_of(0)?)),
        "join" => {
            let items = args.first().cloned().unwrap_or(Value::None).items()?;
            let texts: Vec<String> = items.iter().map(Value::to_string).collect();
            Value::Text(texts.join(text))
        }
        "split" if args.is_empty() => {
            Value::List(text.split_whitespace().map(|t| Value::Text(t.to_string())).collect())
        }
        "split" if !text_of(0)?.is_empty() => {
            Value::List(text.split(text_of(0)?).map(|t| Value::Text(t.to_string())).collect())
        }
        "replace" if !text_of(0)?.is_empty() && text.len() < 4096 => {
            Value::Text(text.replace(text_of(0)?, text_of(1)?))
        }
        _ => return Err(format!("'str' has no method {name}").into()),
    })
}
