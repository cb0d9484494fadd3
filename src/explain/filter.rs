//! Which connections of a capture are looked at? A small language, as tcpdump's users expect it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// How deep brackets and negations may go.
const DEPTH: u32 = 64;

/// What connections have to be like: `host 10.0.0.1 and port 80 and not connection 3`.
///
/// It is about connections, so `src` is who opened one and `dst` who was called; without either, both ends count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter(Test);

/// What is wrong with a filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilterError(String);

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FilterError {}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Test {
    Not(Box<Test>),
    All(Vec<Test>),
    Any(Vec<Test>),
    Number(usize),
    Version(bool),
    /// Every packet that is looked at is TCP.
    Always,
    End(Dir, What),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Dir {
    Source,
    Destination,
    Either,
    Both,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Net(IpAddr, u8),
    Ports(u16, u16),
}

impl What {
    fn holds(self, end: SocketAddr) -> bool {
        match self {
            What::Ports(first, last) => (first..=last).contains(&end.port()),
            What::Net(net, bits) => match (net, end.ip().to_canonical()) {
                (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits.into(),
                (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits.into(),
                _ => false,
            },
        }
    }
}

impl Test {
    fn holds(&self, number: usize, client: SocketAddr, server: SocketAddr) -> bool {
        match self {
            Test::Not(test) => !test.holds(number, client, server),
            Test::All(tests) => tests.iter().all(|test| test.holds(number, client, server)),
            Test::Any(tests) => tests.iter().any(|test| test.holds(number, client, server)),
            Test::Number(n) => *n == number,
            Test::Version(four) => client.ip().to_canonical().is_ipv4() == *four,
            Test::Always => true,
            Test::End(Dir::Source, what) => what.holds(client),
            Test::End(Dir::Destination, what) => what.holds(server),
            Test::End(Dir::Either, what) => what.holds(client) || what.holds(server),
            Test::End(Dir::Both, what) => what.holds(client) && what.holds(server),
        }
    }
}

impl Filter {
    /// Whether connection `number`, counted from 1, is one of them.
    pub fn holds(&self, number: usize, client: SocketAddr, server: SocketAddr) -> bool {
        self.0.holds(number, client, server)
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        let mut parser = Parser { words: words(text), at: 0, before: None };
        if parser.words.is_empty() {
            return Err(FilterError("it is empty: try \"host 10.0.0.1 and port 80\"".into()));
        }
        let test = parser.any(0)?;
        match parser.next() {
            None => Ok(Filter(test)),
            Some(word) => Err(FilterError(format!("{word:?} does not fit there: and, or?"))),
        }
    }
}

/// Words, brackets and the signs for "and", "or" and "not".
fn words(text: &str) -> Vec<String> {
    let mut spaced = String::new();
    for c in text.replace("&&", " and ").replace("||", " or ").replace("!=", " != ").chars() {
        match c {
            '(' | ')' => spaced.extend([' ', c, ' ']),
            '!' => spaced += " not ",
            c => spaced.push(c),
        }
    }
    spaced.split_whitespace().map(str::to_lowercase).collect()
}

/// What a bare value stands for: `port 80 or 443`.
#[derive(Clone, Copy)]
enum Kind {
    Host,
    Net,
    Port,
    Range,
    Number,
}

struct Parser {
    words: Vec<String>,
    at: usize,
    before: Option<(Dir, Kind)>,
}

impl Parser {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn next(&mut self) -> Option<String> {
        self.at += 1;
        self.words.get(self.at - 1).cloned()
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self, depth: u32) -> Result<Test, FilterError> {
        // As in tcpdump's language "and" and "or" bind alike, from the left: brackets say otherwise.
        let mut left = self.one(depth)?;
        loop {
            left = if self.takes("and") {
                Test::All(vec![left, self.one(depth)?])
            } else if self.takes("or") {
                Test::Any(vec![left, self.one(depth)?])
            } else {
                return Ok(left);
            };
        }
    }

    fn one(&mut self, depth: u32) -> Result<Test, FilterError> {
        if depth > DEPTH {
            return Err(FilterError("it is nested too deeply".into()));
        }
        if self.takes("not") {
            return Ok(Test::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.takes("(") {
            let test = self.any(depth + 1)?;
            return if self.takes(")") {
                Ok(test)
            } else {
                Err(FilterError("a bracket is not closed".into()))
            };
        }
        let protocol = match self.peek() {
            Some("tcp") => Some(Test::Always),
            Some("ip") => Some(Test::Version(true)),
            Some("ip6") => Some(Test::Version(false)),
            _ => None,
        };
        let Some(protocol) = protocol else { return self.primitive() };
        self.at += 1;
        match self.peek() {
            // `tcp port 80`.
            None | Some("and" | "or" | ")") => Ok(protocol),
            Some(_) => Ok(Test::All(vec![protocol, self.primitive()?])),
        }
    }

    fn primitive(&mut self) -> Result<Test, FilterError> {
        let dir = match self.peek() {
            Some("src") => Some(Dir::Source),
            Some("dst") => Some(Dir::Destination),
            _ => None,
        };
        self.at += usize::from(dir.is_some());
        let mut dir = dir;
        if let (Some(first), Some(word @ ("and" | "or"))) = (dir, self.peek())
            && self.words.get(self.at + 1).is_some_and(|next| next == "src" || next == "dst")
        {
            // `src or dst port 80`, `src and dst net 10.0.0.0/8`.
            let both = if word == "and" { Dir::Both } else { Dir::Either };
            let second = &self.words[self.at + 1];
            dir = Some(if (second == "src") == (first == Dir::Source) { first } else { both });
            self.at += 2;
        }
        let kind = match self.peek() {
            Some("host") => Some(Kind::Host),
            Some("net") => Some(Kind::Net),
            Some("port") => Some(Kind::Port),
            Some("portrange") => Some(Kind::Range),
            Some("connection" | "conn") if dir.is_none() => Some(Kind::Number),
            _ => None,
        };
        self.at += usize::from(kind.is_some());
        let Some(word) = self.next() else { return Err(FilterError("it ends too early".into())) };
        let (dir, kind) = match (dir, kind, self.before) {
            (_, Some(kind), _) => (dir.unwrap_or(Dir::Either), kind),
            // `src 10.0.0.1`, and a bare address.
            (Some(dir), None, _) => (dir, Kind::Host),
            (None, None, Some(before)) => before,
            (None, None, None) => (Dir::Either, Kind::Host),
        };
        self.before = Some((dir, kind));
        let wrong = |what: &str| FilterError(format!("{word:?} is no {what}"));
        Ok(match kind {
            Kind::Host => {
                let ip: IpAddr = word.parse().map_err(|_| {
                    wrong("address; there are host, net, port, portrange, connection, src, dst, tcp, ip, ip6, and, or, not")
                })?;
                Test::End(dir, What::Net(ip, if ip.is_ipv4() { 32 } else { 128 }))
            }
            Kind::Net => {
                let (net, bits) = word.split_once('/').unwrap_or((&word, ""));
                let ip: IpAddr = net.parse().map_err(|_| wrong("network: 10.0.0.0/8"))?;
                let most = if ip.is_ipv4() { 32 } else { 128 };
                let bits = if bits.is_empty() { Ok(most) } else { bits.parse() };
                let bits =
                    bits.ok().filter(|bits| *bits <= most).ok_or_else(|| wrong("network: 10.0.0.0/8"))?;
                Test::End(dir, What::Net(ip, bits))
            }
            Kind::Port => {
                let port = port(&word).ok_or_else(|| wrong("port"))?;
                Test::End(dir, What::Ports(port, port))
            }
            Kind::Range => {
                let ends = word.split_once('-').and_then(|(a, b)| Some((port(a)?, port(b)?)));
                let (first, last) =
                    ends.filter(|(a, b)| a <= b).ok_or_else(|| wrong("range of ports: 8000-8080"))?;
                Test::End(dir, What::Ports(first, last))
            }
            Kind::Number => Test::Number(
                word.parse().ok().filter(|n| *n > 0).ok_or_else(|| wrong("number of a connection"))?,
            ),
        })
    }
}

/// A number, or the name of a usual service.
fn port(word: &str) -> Option<u16> {
    let names = [("http", 80), ("https", 443), ("http-alt", 8080), ("ssh", 22), ("smtp", 25), ("domain", 53)];
    word.parse().ok().or_else(|| names.iter().find(|(name, _)| *name == word).map(|(_, port)| *port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(filter: &str, client: &str, server: &str) -> bool {
        let filter: Filter = filter.parse().unwrap_or_else(|e| panic!("{filter}: {e}"));
        filter.holds(3, client.parse().unwrap(), server.parse().unwrap())
    }

    #[test]
    fn what_users_of_tcpdump_write_means_what_they_expect() {
        let (a, b) = ("10.1.2.3:40000", "192.0.2.7:80");
        for yes in [
            "port 80",
            "tcp port 80",
            "tcp",
            "ip",
            "host 10.1.2.3",
            "10.1.2.3",
            "src 10.1.2.3",
            "src host 10.1.2.3 and dst port http",
            "net 10.0.0.0/8",
            "src net 10.0.0.0/8 && !port 443",
            "portrange 79-81",
            "port 443 or 80",
            "port 443 or port 80 and host 192.0.2.7",
            "not (port 443 or port 8080)",
            "connection 3",
            "connection 1 or 3",
            "src or dst port 40000",
            "tcp and dst port 80",
            "net 0.0.0.0/0",
            "HOST 10.1.2.3",
        ] {
            assert!(holds(yes, a, b), "{yes}");
        }
        for no in [
            "port 443",
            "src port 80",
            "dst host 10.1.2.3",
            "not tcp",
            "ip6",
            "net 11.0.0.0/8",
            "src and dst net 10.0.0.0/8",
            "connection 4",
            "host 10.1.2.3 and not port 80",
            "net fd00::/8",
        ] {
            assert!(!holds(no, a, b), "{no}");
        }
        assert!(holds("ip6 and host fd00::1 and src net fd00::/8", "[fd00::1]:1", "[2001:db8::1]:80"));
        assert!(holds("host 10.0.0.1", "[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.2]:80"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        for (filter, told) in [
            ("", "empty"),
            ("port", "too early"),
            ("port http3", "no port"),
            ("port 70000", "no port"),
            ("host example.org", "no address"),
            ("net 10.0.0.0/33", "no network"),
            ("portrange 9-1", "range"),
            ("(port 80", "bracket"),
            ("port 80 port 81", "does not fit"),
            ("connection 0", "number of a connection"),
            ("udp", "no address"),
            (&"(".repeat(5000), "deeply"),
            (&"not ".repeat(5000), "deeply"),
        ] {
            let error = filter.parse::<Filter>().unwrap_err().to_string();
            assert!(error.contains(told), "{filter:.20}: {error}");
        }
    }
}
