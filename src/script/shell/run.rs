//! How does a command go? Variables, conditions, loops and functions; programs are somebody else's ([`Programs`]).

use super::super::Trouble;
use super::word::{Piece, Word};
use super::{Node, arithmetic, parse};
use std::collections::BTreeMap;

/// How a command ended, where that is known.
pub type Status = Option<bool>;

/// What single programs do.
pub trait Programs {
    /// One program with its arguments, of which there is at least its name.
    ///
    /// # Errors
    /// If it is not known what it would do.
    fn run(&mut self, shell: &mut Shell, words: &[&str]) -> Result<Status, Trouble>;
    /// How much was changed so far.
    fn changes(&self) -> usize;
    /// Whether there is such a file, if that is known.
    fn has_file(&self, name: &str) -> Option<bool>;
}

/// Files and functions may call others, but not for ever.
const MAX_DEPTH: u32 = 16;
/// A command with more steps is no preparation.
const MOST_STEPS: u32 = 4096;
/// No variable is longer.
const LONGEST: usize = 1 << 16;

/// A shell between two commands.
#[derive(Debug)]
pub struct Shell {
    /// The line of the script that the command is from.
    pub line: u32,
    steps: u32,
    depth: u32,
    /// How many conditions the present command is part of: there, failing is an answer.
    conditions: u32,
    names: BTreeMap<String, String>,
    functions: BTreeMap<String, Node>,
    /// `set -e`
    stops: bool,
    /// `exit` or `return` was said.
    ended: Option<Status>,
    last: Status,
}

impl Shell {
    /// A shell without variables.
    pub fn new(line: u32) -> Shell {
        Shell {
            line,
            steps: 0,
            depth: 0,
            conditions: 0,
            names: BTreeMap::new(),
            functions: BTreeMap::new(),
            stops: false,
            ended: None,
            last: Some(true),
        }
    }

    /// Whether the present command may fail, as the condition of another.
    pub fn is_condition(&self) -> bool {
        self.conditions > 0
    }

    fn unsupported(&self, what: impl Into<String>) -> Trouble {
        Trouble::unsupported(self.line, what)
    }

    /// Runs a text as `eval` does, or, if it has variables of its `own`, as another shell does.
    ///
    /// # Errors
    /// As [`parse`] and [`Programs::run`].
    pub fn source(&mut self, text: &str, own: bool, programs: &mut impl Programs) -> Result<Status, Trouble> {
        let node = parse(text, self.line)?;
        let kept = own.then(|| (self.names.clone(), self.functions.clone(), self.stops));
        let status = self.deeper(|shell| shell.run(&node, programs))?;
        if let Some((names, functions, stops)) = kept {
            (self.names, self.functions, self.stops) = (names, functions, stops);
            return Ok(self.ended.take().unwrap_or(status));
        }
        Ok(status)
    }

    fn deeper(&mut self, run: impl FnOnce(&mut Shell) -> Result<Status, Trouble>) -> Result<Status, Trouble> {
        if self.depth >= MAX_DEPTH {
            return Err(Trouble::syntax(self.line, "commands call each other too deeply"));
        }
        self.depth += 1;
        let status = run(self);
        self.depth -= 1;
        status
    }

    fn condition(&mut self, node: &Node, programs: &mut impl Programs) -> Result<Status, Trouble> {
        self.conditions += 1;
        let status = self.run(node, programs);
        self.conditions -= 1;
        status
    }

    /// Runs a command.
    ///
    /// # Errors
    /// As [`Programs::run`], or if the command takes too long or branches where nobody knows.
    pub fn run(&mut self, node: &Node, programs: &mut impl Programs) -> Result<Status, Trouble> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err(Trouble::syntax(self.line, "the command has too many steps"));
        }
        if let Some(ended) = self.ended {
            return Ok(ended);
        }
        let status = self.node(node, programs)?;
        self.last = status;
        Ok(status)
    }

    fn node(&mut self, node: &Node, programs: &mut impl Programs) -> Result<Status, Trouble> {
        match node {
            Node::Simple(words) => self.simple(words, programs),
            Node::List(list) => self.list(list, programs),
            Node::Pipe(stages) => self.pipe(stages, programs),
            Node::And(a, b) => match self.condition(a, programs)? {
                Some(false) => Ok(Some(false)),
                Some(true) => self.run(b, programs),
                None => self.undecided([&**b], programs).map(|_| None),
            },
            Node::Or(a, b) => match self.condition(a, programs)? {
                Some(false) => self.run(b, programs),
                Some(true) => Ok(Some(true)),
                None => self.undecided([&**b], programs),
            },
            Node::Not(a) => Ok(self.condition(a, programs)?.map(|ended| !ended)),
            Node::Sub(a) => {
                let kept = self.names.clone();
                let status = self.run(a, programs)?;
                self.names = kept;
                Ok(self.ended.take().unwrap_or(status))
            }
            Node::Sum(text) => Ok(self.sum(text).map(|value| value != 0)),
            Node::If(arms) => self.choose(arms, programs),
            Node::Case(word, arms) => self.case(word, arms, programs),
            Node::For(name, values, body) => {
                let mut status = Some(true);
                for value in self.expand(values)? {
                    self.names.insert(name.clone(), value);
                    status = self.run(body, programs)?;
                }
                Ok(status)
            }
            Node::While(condition, body, until) => loop {
                match self.condition(condition, programs)? {
                    Some(holds) if holds != *until => {
                        self.run(body, programs)?;
                    }
                    Some(_) => return Ok(Some(true)),
                    None => return self.undecided([&**body], programs),
                }
                if let Some(ended) = self.ended {
                    return Ok(ended);
                }
            },
            Node::Function(name, body) => {
                self.functions.insert(name.clone(), (**body).clone());
                Ok(Some(true))
            }
        }
    }

    fn list(&mut self, list: &[Node], programs: &mut impl Programs) -> Result<Status, Trouble> {
        let mut status = Some(true);
        for node in list {
            status = self.run(node, programs)?;
            let fails =
                status == Some(false) && matches!(node, Node::Simple(_) | Node::Pipe(_) | Node::Sub(_));
            if fails && self.stops && self.conditions == 0 {
                self.ended.get_or_insert(status);
            }
            if let Some(ended) = self.ended {
                return Ok(ended);
            }
        }
        Ok(status)
    }

    fn pipe(&mut self, stages: &[Node], programs: &mut impl Programs) -> Result<Status, Trouble> {
        if let [Node::Simple(said), Node::Simple(words)] = stages {
            let (said, words) = (self.expand(said)?, self.expand(words)?);
            if let Some(commands) = handed_on(&said, &words) {
                return commands.iter().try_fold(Some(true), |_, words| programs.run(self, words));
            }
        }
        stages.iter().try_fold(Some(true), |_, stage| self.run(stage, programs))
    }

    fn choose(
        &mut self,
        arms: &[(Option<Node>, Node)],
        programs: &mut impl Programs,
    ) -> Result<Status, Trouble> {
        for (n, (condition, body)) in arms.iter().enumerate() {
            let holds = match condition {
                Some(condition) => self.condition(condition, programs)?,
                None => Some(true),
            };
            match holds {
                Some(true) => return self.run(body, programs),
                Some(false) => {}
                None => return self.undecided(arms[n..].iter().map(|(_, body)| body), programs),
            }
        }
        Ok(Some(true))
    }

    fn case(
        &mut self,
        word: &Word,
        arms: &[(Vec<Word>, Node)],
        programs: &mut impl Programs,
    ) -> Result<Status, Trouble> {
        let value = self.value(word)?;
        if !is_known(&value) {
            return self.undecided(arms.iter().map(|(_, body)| body), programs);
        }
        for (patterns, body) in arms {
            for pattern in patterns {
                if matches(&self.value(pattern)?, &value) {
                    return self.run(body, programs);
                }
            }
        }
        Ok(Some(true))
    }

    /// Whatever happens where it is not known which way a command goes must make no difference.
    fn undecided<'a>(
        &mut self,
        ways: impl IntoIterator<Item = &'a Node>,
        programs: &mut impl Programs,
    ) -> Result<Status, Trouble> {
        let (changes, names) = (programs.changes(), self.names.clone());
        let mut status = Some(true);
        for way in ways {
            if self.condition(way, programs)? != Some(true) {
                status = None;
            }
            self.ended = None;
        }
        if programs.changes() > changes {
            return Err(self.unsupported("a condition in a command that is not known here"));
        }
        for (name, value) in &mut self.names {
            if names.get(name) != Some(value) {
                *value = format!("${name}");
            }
        }
        Ok(status)
    }

    fn simple(&mut self, words: &[Word], programs: &mut impl Programs) -> Result<Status, Trouble> {
        // `NAME=VALUE` before a command, or alone.
        let values = words.iter().take_while(|word| is_assignment(word)).count();
        self.assign(&words[..values])?;
        let words = &words[values..];
        if let Some("export" | "local" | "readonly" | "declare") = words.first().and_then(Word::plain) {
            let values: Vec<Word> = words.iter().filter(|word| is_assignment(word)).cloned().collect();
            self.assign(&values)?;
            return Ok(Some(true));
        }
        let expanded = self.expand(words)?;
        let words: Vec<&str> = expanded.iter().map(String::as_str).collect();
        match words[..] {
            [] | [":" | "true", ..] => Ok(Some(true)),
            ["false", ..] => Ok(Some(false)),
            ["exit" | "return", ref rest @ ..] => {
                let status = rest.first().map_or(self.last, |code| is_known(code).then_some(*code == "0"));
                self.ended = Some(status);
                Ok(status)
            }
            ["set" | "shopt", ref options @ ..] => {
                let of = |sign: char| {
                    options.iter().any(|o| o.strip_prefix(sign).is_some_and(|letters| letters.contains('e')))
                };
                self.stops = (self.stops || of('-')) && !of('+');
                Ok(Some(true))
            }
            ["eval", ref rest @ ..] => self.source(&rest.join(" "), false, programs),
            ["[[", ref args @ ..] => Ok(test(args, true, programs)),
            ["[", ref args @ .., "]"] | ["test", ref args @ ..] => Ok(test(args, false, programs)),
            [name, ref args @ ..] if self.functions.contains_key(name) => {
                let body = self.functions[name].clone();
                let kept: Vec<_> = (1..=9).map(|n: u8| self.names.remove(&n.to_string())).collect();
                for (n, arg) in args.iter().take(9).enumerate() {
                    self.names.insert((n + 1).to_string(), (*arg).to_string());
                }
                let status = self.deeper(|shell| shell.run(&body, programs));
                for (n, old) in kept.into_iter().enumerate() {
                    let name = (n + 1).to_string();
                    match old {
                        Some(old) => self.names.insert(name, old),
                        None => self.names.remove(&name),
                    };
                }
                let status = status?;
                Ok(self.ended.take().unwrap_or(status))
            }
            _ => programs.run(self, &words),
        }
    }

    fn assign(&mut self, words: &[Word]) -> Result<(), Trouble> {
        for word in words {
            let text = self.value(word)?;
            if let Some((name, value)) = text.split_once('=')
                && value.len() < LONGEST
            {
                self.names.insert(name.to_string(), value.to_string());
            }
        }
        Ok(())
    }

    /// A word with the values of what it names; what is not known stays as it is written, with its `$`.
    fn value(&self, word: &Word) -> Result<String, Trouble> {
        let mut out = String::new();
        for piece in &word.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Name { name, default, .. } => out.push_str(&self.named(name, default.as_deref())),
                Piece::Sum(text) => {
                    let no_number = || self.unsupported("an expansion in a command that is no number");
                    out.push_str(&self.sum(text).ok_or_else(no_number)?.to_string());
                }
                Piece::Output(text) => out.push_str(&output(text)),
            }
            if out.len() > LONGEST {
                return Err(self.unsupported("a word that long"));
            }
        }
        Ok(out)
    }

    fn expand(&self, words: &[Word]) -> Result<Vec<String>, Trouble> {
        let mut out: Vec<String> = Vec::new();
        for word in words {
            let value = self.value(word)?;
            // A value without quotes is as many words as there are in it.
            let splits = |piece: &Piece| {
                matches!(piece, Piece::Name { quoted: false, .. } | Piece::Output(_)) && !word.quoted
            };
            match word.pieces.iter().any(splits) && is_known(&value) {
                true => out.extend(value.split_whitespace().map(str::to_string)),
                false => out.push(value),
            }
        }
        Ok(out)
    }

    fn named(&self, name: &str, default: Option<&str>) -> String {
        match (self.names.get(name), default) {
            (Some(value), Some(default)) if value.is_empty() => default.to_string(),
            (Some(value), _) => value.clone(),
            (None, Some(default)) => default.to_string(),
            (None, None) if name == "?" && self.last.is_some() => {
                if self.last == Some(true) { "0" } else { "1" }.to_string()
            }
            // A name that the caller's surroundings may have.
            (None, None) => format!("${name}"),
        }
    }

    fn sum(&self, text: &str) -> Option<i64> {
        let mut plain = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let begins = c == '$' || c == '_' || c.is_ascii_alphabetic();
            let number = plain.ends_with(|c: char| c.is_ascii_alphanumeric());
            if !begins || number {
                plain.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            }
            let name = rest.strip_prefix('$').unwrap_or(rest);
            let end = name.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(name.len());
            plain.push_str(self.names.get(&name[..end]).filter(|value| value.len() < 32)?);
            rest = &name[end..];
        }
        arithmetic::value(&plain)
    }
}

/// What `echo VALUE | tee FILE`, `echo VALUE | cat > FILE` and `echo VALUE | xargs PROGRAM` do, as commands without a pipe.
fn handed_on<'a>(said: &'a [String], words: &'a [String]) -> Option<Vec<Vec<&'a str>>> {
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    let ["echo" | "printf", value @ ..] = &said[..] else { return None };
    let words: Vec<&str> = words.iter().map(String::as_str).skip_while(|word| *word == "sudo").collect();
    let written = |file: &'a str| [&said[..], &[">", file]].concat();
    match &words[..] {
        ["tee", files @ ..] => {
            let files = files.iter().take_while(|word| **word != ">").filter(|word| !word.starts_with('-'));
            Some(files.map(|file| written(file)).collect())
        }
        ["cat", ">", file] => Some(vec![written(file)]),
        ["xargs", program @ ..] if program.first().is_some_and(|word| !word.starts_with('-')) => {
            Some(vec![[program, value].concat()])
        }
        _ => None,
    }
}

/// What a command in `$(…)` prints, where that is plain; else as it is written.
fn output(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let numbers: Option<Vec<u32>> = words.iter().skip(1).map(|word| word.parse().ok()).collect();
    match (words.first(), numbers.as_deref()) {
        (Some(&"seq"), Some(&[last])) if last <= 1024 => joined(1..=last),
        (Some(&"seq"), Some(&[first, last])) if last.saturating_sub(first) <= 1024 => joined(first..=last),
        _ => format!("$({text})"),
    }
}

fn joined(numbers: std::ops::RangeInclusive<u32>) -> String {
    numbers.map(|n| n.to_string()).collect::<Vec<_>>().join(" ")
}

fn is_known(word: &str) -> bool {
    !word.contains('$')
}

/// `NAME=VALUE`
fn is_assignment(word: &Word) -> bool {
    let Some(Piece::Text(text)) = word.pieces.first() else { return false };
    let Some((name, _)) = text.split_once('=') else { return false };
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// `[ … ]`, or `[[ … ]]`, which has patterns.
fn test(args: &[&str], patterns: bool, programs: &impl Programs) -> Status {
    let number = |word: &str| word.trim().parse::<i64>().ok();
    let both = |a: &str, b: &str| is_known(a) && is_known(b);
    match *args {
        [] => Some(false),
        ["!", ref args @ ..] => test(args, patterns, programs).map(|holds| !holds),
        ["-n", word] | [word] => is_known(word).then_some(!word.is_empty()),
        ["-z", word] => is_known(word).then_some(word.is_empty()),
        ["-f" | "-e" | "-r" | "-w" | "-s", file] => programs.has_file(file),
        [a, "=" | "==" | "!=", b] if both(a, b) => {
            let same = if patterns { matches(b, a) } else { a == b };
            Some(same == (args[1] != "!="))
        }
        [a, operator, b] => {
            let (a, b) = (number(a)?, number(b)?);
            Some(match operator {
                "-eq" => a == b,
                "-ne" => a != b,
                "-lt" => a < b,
                "-le" => a <= b,
                "-gt" => a > b,
                "-ge" => a >= b,
                _ => return None,
            })
        }
        [ref a @ .., "-a", b, c] if a.len() > 1 => {
            Some(test(a, patterns, programs)? && test(&[b, c], patterns, programs)?)
        }
        _ => None,
    }
}

/// Whether `text` is of the form `pattern`, in which `*` stands for anything and `?` for a character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match retry {
                // The last `*` takes one more.
                Some((star, taken)) => {
                    retry = Some((star, taken + 1));
                    (p, t) = (star + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what programs were called with.
    #[derive(Default)]
    struct Called(Vec<String>);

    impl Programs for Called {
        fn run(&mut self, shell: &mut Shell, words: &[&str]) -> Result<Status, Trouble> {
            match words {
                ["who", ..] => Ok(None),
                ["missing", ..] if shell.is_condition() => Ok(Some(false)),
                ["missing", ..] => Err(Trouble::unsupported(shell.line, "missing")),
                _ => {
                    self.0.push(words.join(" "));
                    Ok(Some(true))
                }
            }
        }

        fn changes(&self) -> usize {
            self.0.len()
        }

        fn has_file(&self, name: &str) -> Option<bool> {
            (!name.contains("x")).then_some(name == "/there")
        }
    }

    fn calls(text: &str) -> Result<(Status, Vec<String>), String> {
        let mut called = Called::default();
        let mut shell = Shell::new(1);
        let run = shell.source(text, true, &mut called);
        run.map(|status| (status, called.0)).map_err(|e| e.what().to_string())
    }

    #[test]
    fn a_command_calls_what_a_shell_would_call() {
        for (text, wanted) in [
            ("a 1; b '2 3' \"4\"5 \\ 6 # c", "a 1|b 2 3 45  6"),
            ("X=1 Y=$X; a $X$Y \"$X $Y\" ${Z:-7} ${X:-8}", "a 11 1 1 7 1"),
            ("W='a b'; c $W \"$W\"", "c a b a b"),
            ("A=; a $A \"$A\" b", "a  b"),
            ("a $((2 * (3 + 4))); N=3; b $((N * 2)) $(($N+1))", "a 14|b 6 4"),
            ("[[ -f /there && ! -e /not ]] && a; [ -f /not ] || b", "a|b"),
            ("[[ abc == a*c && 3 -gt 2 ]] && a; [[ abc != a? ]] && b; [ abc = 'a*' ] && c", "a|b"),
            ("if ! a; then b; elif [ 1 -eq 1 ]; then c; else d; fi", "a|c"),
            ("if missing; then a; else b; fi; missing || c; ! missing && d", "b|c|d"),
            ("case x.pkt in *.sh) a;; *.pkt|y) b;; *) c;; esac", "b"),
            ("case a in\n(a)\n x\n ;;\nesac", "x"),
            ("f() { a $1 $2; return 1; b; }; f 1 2; c $1", "a 1 2|c $1"),
            ("function f {\n a\n}\nfunction g() { f; }\ng", "a"),
            ("N=0; while [ $N -lt 3 ]; do a $N; N=$((N+1)); done", "a 0|a 1|a 2"),
            ("until ((1)); do a; done; ((0)) || b", "b"),
            ("for i in $(seq 2) x; do a $i; done", "a 1|a 2|a x"),
            ("(X=1; a $X; exit 1; b); c ${X:-none}", "a 1|c none"),
            ("a; exit 0; b", "a"),
            ("set -e; false || a; set +e; false; b", "a|b"),
            ("echo 1 | tee /f >/dev/null; echo 2 | sudo tee -a /g /h", "echo 1 > /f|echo 2 > /g|echo 2 > /h"),
            ("echo 1 2 | xargs a -b; echo 3 | cat > /f", "a -b 1 2|echo 3 > /f"),
            ("a >/dev/null 2>&1; b > \"/f\" < /g 2>/h; c >> /i", "a|b > /f|c > /i"),
            ("if who; then exit 4; fi; a", "a"),
            ("if who; then X=1; fi; a $X", "a $X"),
            ("eval 'a; b'; a $PPID $(uname -r)", "a|b|a $PPID $(uname -r)"),
            ("{ a; } && (b)", "a|b"),
            ("false; a $?; true; a $?", "a 1|a 0"),
        ] {
            assert_eq!(calls(text).map(|(_, calls)| calls.join("|")), Ok(wanted.to_string()), "{text}");
        }
    }

    #[test]
    fn a_command_that_fails_or_may_fail_says_so() {
        for (text, wanted) in [
            ("true", Some(true)),
            ("false", Some(false)),
            ("set -e; false; true", Some(false)),
            ("set -euo pipefail; f() { false; }; if f; then a; fi; true", Some(true)),
            ("exit 4", Some(false)),
            ("false; true", Some(true)),
            ("[ a = b ]", Some(false)),
            ("[[ $(uname -r) =~ ^6 ]]", None),
            ("who", None),
            ("who && true", None),
            ("who || true", Some(true)),
            ("if who; then true; fi", Some(true)),
            ("who || exit 4", None),
            ("who; true", Some(true)),
            ("true | who", None),
        ] {
            assert_eq!(calls(text).map(|(status, _)| status), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_or_has_no_end_is_refused() {
        for text in [
            "if who; then a; fi",
            "case $X in a) a;; esac",
            "while true; do a; done",
            "while true; do :; done",
            "f() { f; }; f",
            "missing",
            "a $((x))",
            "a 'b",
            "a $(b",
            "a ${X%y}",
            "cat <<EOF",
            "a `b`",
            "f(a)",
            "for x; do a; done",
            "if a; then b",
            "case a in a) b",
            "X=aaaaaaaa; while true; do X=$X$X; done",
        ] {
            assert!(calls(text).is_err(), "{text}");
        }
        for open in ["(", "{ ", "! ", "[[ ! ", "[[ ( ", "if ", "f() { "] {
            assert!(calls(&open.repeat(50_000)).is_err(), "{open}");
        }
    }
}
