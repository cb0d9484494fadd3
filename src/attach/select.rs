//! Which sockets are asked for? The words that users of Linux' `ss` know: `state established dport = :80`.

use crate::stack::{Role, Standing};
use crate::tcp::State;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// How deep brackets and negations may go.
const DEPTH: u32 = 32;
/// How long a filter may be, bytes.
const LONGEST: usize = 2048;

/// What sockets have to be like; by default all that are neither listening nor half-open nor in TIME-WAIT, as in `ss`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Select {
    states: States,
    /// IPv4, or IPv6, alone.
    four: Option<bool>,
    test: Option<Test>,
    /// How it was written.
    text: String,
}

/// What is wrong with a filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelectError(String);

impl fmt::Display for SelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SelectError {}

/// A set of states, a bit for each as Linux numbers them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct States(u16);

/// Names of `ss`, which are Linux', and Linux' numbers.
const NAMES: [(&str, u8); 11] = [
    ("established", 1),
    ("syn-sent", 2),
    ("syn-recv", 3),
    ("fin-wait-1", 4),
    ("fin-wait-2", 5),
    ("time-wait", 6),
    ("closed", 7),
    ("close-wait", 8),
    ("last-ack", 9),
    ("listening", 10),
    ("closing", 11),
];

impl States {
    const ALL: States = States(0b1111_1111_1110);
    const LISTENING: States = States(1 << 10);
    const BUCKET: States = States(1 << 6 | 1 << 3);
    const CONNECTED: States = States(Self::ALL.0 & !Self::LISTENING.0 & !(1 << 7));
    const USUAL: States = States(Self::CONNECTED.0 & !Self::BUCKET.0);

    fn named(word: &str) -> Option<States> {
        Some(match word {
            "all" => States::ALL,
            "connected" => States::CONNECTED,
            "synchronized" => States(States::CONNECTED.0 & !(1 << 2)),
            "bucket" => States::BUCKET,
            "big" => States(States::CONNECTED.0 & !States::BUCKET.0),
            "listen" => States::LISTENING,
            "syn-received" => States(1 << 3),
            "estab" => States(1 << 1),
            _ => States(1 << NAMES.iter().find(|(name, _)| *name == word)?.1),
        })
    }
}

/// Linux' number of a socket's state.
fn number(standing: &Standing) -> u8 {
    match &standing.role {
        Role::Listener { .. } => 10,
        Role::HalfOpen(_) => State::SynReceived.number(),
        Role::TimeWait { .. } => State::TimeWait.number(),
        Role::Connection(doing) => doing.snapshot.state.number(),
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Test {
    Not(Box<Test>),
    All(Vec<Test>),
    Any(Vec<Test>),
    Port(End, Compare, u16),
    Address(End, Option<(IpAddr, u8)>, Option<u16>),
    Limit(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Local,
    Remote,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Compare {
    Equal,
    Other,
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

impl Test {
    fn holds(&self, it: &Standing) -> bool {
        let at = |end: &End| match end {
            End::Local => Some(it.local),
            End::Remote => it.remote,
        };
        match self {
            Test::Not(test) => !test.holds(it),
            Test::All(tests) => tests.iter().all(|test| test.holds(it)),
            Test::Any(tests) => tests.iter().any(|test| test.holds(it)),
            Test::Port(end, compare, port) => {
                // A listener has no other end: Linux says port 0.
                let theirs = at(end).map_or(0, |addr| addr.port());
                match compare {
                    Compare::Equal => theirs == *port,
                    Compare::Other => theirs != *port,
                    Compare::Less => theirs < *port,
                    Compare::LessOrEqual => theirs <= *port,
                    Compare::More => theirs > *port,
                    Compare::MoreOrEqual => theirs >= *port,
                }
            }
            Test::Address(end, net, port) => at(end).is_some_and(|addr| {
                port.is_none_or(|port| addr.port() == port) && net.is_none_or(|net| is_in(addr, net))
            }),
            Test::Limit(word) => match &it.role {
                Role::Connection(doing) => doing.snapshot.limit.word() == word,
                _ => false,
            },
        }
    }
}

fn is_in(addr: SocketAddr, (net, bits): (IpAddr, u8)) -> bool {
    match (net, addr.ip().to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits.into(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits.into(),
        _ => false,
    }
}

impl Select {
    /// Whether this socket is one of them.
    pub fn holds(&self, standing: &Standing) -> bool {
        self.states.0 & 1 << number(standing) != 0
            && self.four.is_none_or(|four| four == standing.local.ip().to_canonical().is_ipv4())
            && self.test.as_ref().is_none_or(|test| test.holds(standing))
    }
}

/// Those that `ss` shows when nothing is asked for.
impl Default for Select {
    fn default() -> Select {
        Select { states: States::USUAL, four: None, test: None, text: String::new() }
    }
}

/// As it was written.
impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Select {
    type Err = SelectError;

    fn from_str(text: &str) -> Result<Select, SelectError> {
        if text.len() > LONGEST {
            return Err(SelectError(format!("a filter has at most {LONGEST} bytes")));
        }
        let mut parser = Parser { words: words(text), at: 0 };
        let four = if parser.takes(&["family"]) { Some(parser.family()?) } else { None };
        let states = parser.states()?;
        let test = if parser.peek().is_some() { Some(parser.any(0)?) } else { None };
        match parser.peek() {
            None => Ok(Select { states, four, test, text: text.trim().to_owned() }),
            Some(word) => Err(SelectError(format!("{word:?} has no place there in a filter"))),
        }
    }
}

/// Brackets and signs stand for themselves, wherever they are.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = ' ';
    for c in text.chars() {
        let is_sign = "()!=<>&|".contains(c);
        let joins = match c {
            '=' => "!=<>".contains(last),
            '&' | '|' => last == c,
            _ => !is_sign && !c.is_whitespace() && !"()!=<>&|".contains(last) && !last.is_whitespace(),
        };
        match words.last_mut() {
            Some(word) if joins => word.push(c),
            _ if c.is_whitespace() => {}
            _ => words.push(c.to_string()),
        }
        last = c;
    }
    words
}

struct Parser {
    words: Vec<String>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn take(&mut self) -> Option<String> {
        let word = self.words.get(self.at).cloned();
        self.at += 1;
        word
    }

    fn takes(&mut self, these: &[&str]) -> bool {
        let found = self.peek().is_some_and(|word| these.contains(&word));
        self.at += usize::from(found);
        found
    }

    /// `inet` or `inet6`.
    fn family(&mut self) -> Result<bool, SelectError> {
        match self.take().as_deref() {
            Some("inet") => Ok(true),
            Some("inet6") => Ok(false),
            other => {
                Err(SelectError(format!("{:?} is no family: take inet or inet6", other.unwrap_or_default())))
            }
        }
    }

    /// `state A state B exclude C`, in front of everything else.
    fn states(&mut self) -> Result<States, SelectError> {
        let mut states = None;
        loop {
            let excludes = match self.peek() {
                Some("state") => false,
                Some("exclude" | "excl") => true,
                _ => return Ok(states.unwrap_or(States::USUAL)),
            };
            self.at += 1;
            let word = self.take().unwrap_or_default();
            let Some(named) = States::named(&word) else {
                let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                return Err(SelectError(format!(
                    "{word:?} is no state: take {}, all, connected, synchronized, bucket or big",
                    names.join(", ")
                )));
            };
            states = Some(match (states, excludes) {
                (None, false) => named,
                (Some(States(set)), false) => States(set | named.0),
                (set, true) => States(set.unwrap_or(States::ALL).0 & !named.0),
            });
        }
    }

    fn any(&mut self, depth: u32) -> Result<Test, SelectError> {
        let mut tests = vec![self.all(depth)?];
        while self.takes(&["or", "|", "||"]) {
            tests.push(self.all(depth)?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { Test::Any(tests) })
    }

    fn all(&mut self, depth: u32) -> Result<Test, SelectError> {
        let mut tests = vec![self.one(depth)?];
        loop {
            let said = self.takes(&["and", "&", "&&"]);
            // Without a word in between all of them have to hold, too.
            if !said && matches!(self.peek(), None | Some(")" | "or" | "|" | "||")) {
                return Ok(if tests.len() == 1 { tests.remove(0) } else { Test::All(tests) });
            }
            tests.push(self.one(depth)?);
        }
    }

    fn one(&mut self, depth: u32) -> Result<Test, SelectError> {
        if depth > DEPTH {
            return Err(SelectError(format!("brackets and negations go {DEPTH} deep at most")));
        }
        let Some(word) = self.take() else { return Err(SelectError("the filter ends too early".into())) };
        match word.as_str() {
            "not" | "!" => Ok(Test::Not(Box::new(self.one(depth + 1)?))),
            "(" => {
                let test = self.any(depth + 1)?;
                if self.takes(&[")"]) { Ok(test) } else { Err(SelectError("a bracket is not closed".into())) }
            }
            "sport" => self.port(End::Local),
            "dport" => self.port(End::Remote),
            "src" => self.address(End::Local),
            "dst" => self.address(End::Remote),
            "limit" => {
                self.takes(&["=", "==", "eq"]);
                let word = self.take().unwrap_or_default();
                const LIMITS: [&str; 8] =
                    ["idle", "nagle", "cork", "cwnd", "pacing", "rwnd", "handshake", "closed"];
                if !LIMITS.contains(&word.as_str()) {
                    return Err(SelectError(format!("{word:?} is no limit: take {}", LIMITS.join(", "))));
                }
                Ok(Test::Limit(word))
            }
            word => Err(SelectError(format!(
                "{word:?} is not known: write state ESTABLISHED-OR-SO, sport = :80, dport, src ADDRESS, dst, limit WORD, \
                 and, or, not, brackets"
            ))),
        }
    }

    fn compare(&mut self) -> Option<Compare> {
        let compare = match self.peek()? {
            "=" | "==" | "eq" => Compare::Equal,
            "!=" | "ne" | "neq" => Compare::Other,
            "<" | "lt" => Compare::Less,
            "<=" | "le" | "leq" => Compare::LessOrEqual,
            ">" | "gt" => Compare::More,
            ">=" | "ge" | "geq" => Compare::MoreOrEqual,
            _ => return None,
        };
        self.at += 1;
        Some(compare)
    }

    fn port(&mut self, end: End) -> Result<Test, SelectError> {
        let compare = self.compare().unwrap_or(Compare::Equal);
        let word = self.take().unwrap_or_default();
        Ok(Test::Port(end, compare, port(word.strip_prefix(':').unwrap_or(&word))?))
    }

    fn address(&mut self, end: End) -> Result<Test, SelectError> {
        let compare = self.compare().unwrap_or(Compare::Equal);
        let word = self.take().unwrap_or_default();
        let test = address(end, &word)?;
        match compare {
            Compare::Equal => Ok(test),
            Compare::Other => Ok(Test::Not(Box::new(test))),
            _ => Err(SelectError(format!("addresses have no order: write = or != before {word:?}"))),
        }
    }
}

fn port(word: &str) -> Result<u16, SelectError> {
    match word {
        "http" => Ok(80),
        _ => {
            word.parse().map_err(|_| SelectError(format!("{word:?} is no port: write a number up to 65535")))
        }
    }
}

/// `10.0.0.1`, `10.0.0.0/8`, `10.0.0.1:80`, `[fd77::2]:80`, `fd77::/16`, `:80`, `*:80`.
fn address(end: End, word: &str) -> Result<Test, SelectError> {
    let wrong = || {
        SelectError(format!(
            "{word:?} is no address: write 10.0.0.1, 10.0.0.0/8, 10.0.0.1:80 or [fd77::2]:80"
        ))
    };
    let (host, number) = match (word.strip_prefix('['), word.rsplit_once(':')) {
        (Some(rest), _) => {
            let (host, behind) = rest.split_once(']').ok_or_else(wrong)?;
            let (bits, number) = behind.split_once(':').map_or((behind, None), |(b, n)| (b, Some(n)));
            (format!("{host}{bits}"), number)
        }
        // More than one colon without brackets: an address of IPv6 alone.
        (None, Some((host, number))) if !host.contains(':') => (host.to_owned(), Some(number)),
        _ => (word.to_owned(), None),
    };
    let number = number.filter(|n| *n != "*").map(port).transpose()?;
    if host.is_empty() || host == "*" {
        return if word.is_empty() { Err(wrong()) } else { Ok(Test::Address(end, None, number)) };
    }
    let (ip, bits) = host.split_once('/').map_or((host.as_str(), None), |(ip, bits)| (ip, Some(bits)));
    let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let bits =
        bits.map_or(Some(longest), |bits| bits.parse().ok().filter(|n| *n <= longest)).ok_or_else(wrong)?;
    Ok(Test::Address(end, Some((ip, bits)), number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn waits(local: &str, remote: &str) -> Standing {
        let role = Role::TimeWait { left: Duration::from_secs(1) };
        Standing { number: Some(1), local: local.parse().unwrap(), remote: remote.parse().ok(), role }
    }

    fn listens(local: &str) -> Standing {
        let role = Role::Listener { waiting: 0, backlog: 128, half_open: 0 };
        Standing { number: None, local: local.parse().unwrap(), remote: None, role }
    }

    #[test]
    fn filters_mean_what_users_of_ss_mean() {
        let four = waits("10.77.0.2:80", "10.77.0.1:40000");
        let six = waits("[fd77::2]:80", "[fd77::1]:50000");
        let listener = listens("10.77.0.2:80");
        for (filter, holds) in [
            ("", [false, false, false]),
            ("state all", [true, true, true]),
            ("state connected", [true, true, false]),
            ("state listening", [false, false, true]),
            ("state time-wait", [true, true, false]),
            ("exclude listening", [true, true, false]),
            ("state all exclude time-wait", [false, false, true]),
            ("state established", [false, false, false]),
            ("state all sport = :80", [true, true, true]),
            ("state all sport=:http", [true, true, true]),
            ("state all dport = 40000", [true, false, false]),
            ("state all dport eq :40000", [true, false, false]),
            ("state all dport != :40000", [false, true, true]),
            ("state all dport gt 40000", [false, true, false]),
            ("state all ( dport >= 40000 )", [true, true, false]),
            ("state all dport<=40000", [true, false, true]),
            ("state all not dport = :40000", [false, true, true]),
            ("state all !dport = :40000", [false, true, true]),
            ("state all ( sport = :81 or dport = :50000 )", [false, true, false]),
            ("state all sport = :81 or dport = :50000 and src fd77::/16", [false, true, false]),
            ("state all sport = :80 dst 10.0.0.0/8", [true, false, false]),
            ("state all src 10.77.0.2", [true, false, true]),
            ("state all src [fd77::2]:80", [false, true, false]),
            ("state all src = 10.77.0.2:80 && dst != 10.77.0.1:*", [false, false, true]),
            ("state all dst *:50000 | dst :40000", [true, true, false]),
            ("state all limit nagle", [false, false, false]),
            ("family inet state all sport = :80 or sport = :81", [true, false, true]),
            ("family inet6", [false, false, false]),
            ("family inet6 state bucket", [false, true, false]),
        ] {
            let select: Select = filter.parse().unwrap_or_else(|e| panic!("{filter}: {e}"));
            assert_eq!([&four, &six, &listener].map(|it| select.holds(it)), holds, "{filter}");
        }
    }

    #[test]
    fn a_wrong_filter_is_refused_with_what_is_wrong() {
        let deep = "( ".repeat(100);
        let long = "not ".repeat(1000);
        for (filter, told) in [
            ("state open", "\"open\" is no state: take established"),
            ("state", "\"\" is no state"),
            ("port 80", "\"port\" is not known"),
            ("dport = :65536", "is no port"),
            ("dport =", "\"\" is no port"),
            ("dst 10.0.0.1/33", "is no address"),
            ("dst [::1", "is no address"),
            ("src", "is no address"),
            ("src < 10.0.0.1", "no order"),
            ("( sport = :80", "not closed"),
            ("sport = :80 )", "has no place"),
            ("sport = :80 and", "ends too early"),
            ("limit bogus", "is no limit"),
            ("family unix", "is no family"),
            (&deep, "deep at most"),
            (&long, "at most 2048 bytes"),
        ] {
            let error = filter.parse::<Select>().unwrap_err().to_string();
            assert!(error.contains(told), "{filter}: {error}");
        }
    }
}
