//! Is it a packet script, and what does it say? Options, times and packet lines; calls are in `parse_call`.

use super::Trouble;
use super::ast::*;
use super::lexer::{self, Spanned, Token};
use crate::segment::Flags;
use std::collections::BTreeMap;

/// Reads a script.
pub fn parse(source: &str, defines: &BTreeMap<String, String>) -> Result<Script, Trouble> {
    let tokens = lexer::tokens(source, defines)?;
    Parser { tokens, at: 0 }.script()
}

/// What a line says about the IP header.
struct Ip {
    tos: Tos,
    ttl: Option<u8>,
    label: bool,
}

pub(super) struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
}

impl Parser {
    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(t, _)| t)
    }

    pub(super) fn peek_second(&self) -> Option<&Token> {
        self.tokens.get(self.at + 1).map(|(t, _)| t)
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += usize::from(token.is_some());
        token
    }

    /// The line of the next token, or of the last one at the end.
    pub(super) fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |(_, line)| *line)
    }

    pub(super) fn wanted<T>(&self, what: &str) -> Result<T, Trouble> {
        let found = self.peek().map_or("the end of the script".to_string(), Token::to_string);
        Err(Trouble::syntax(self.line(), format!("{what} was expected here, not {found}")))
    }

    fn unsupported<T>(&self, what: impl Into<String>) -> Result<T, Trouble> {
        Err(Trouble::unsupported(self.line(), what))
    }

    pub(super) fn is_char(&self, c: char) -> bool {
        self.peek() == Some(&Token::Char(c))
    }

    pub(super) fn accept(&mut self, c: char) -> bool {
        let found = self.is_char(c);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, c: char) -> Result<(), Trouble> {
        if self.accept(c) { Ok(()) } else { self.wanted(&format!("`{c}`")) }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(w)) if w == word)
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<(), Trouble> {
        if self.accept_word(word) { Ok(()) } else { self.wanted(&format!("`{word}`")) }
    }

    fn number<T: TryFrom<i64>>(&mut self, what: &str) -> Result<T, Trouble> {
        let Some(Token::Int(n)) = self.peek() else { return self.wanted(what) };
        let Ok(value) = T::try_from(*n) else {
            return Err(Trouble::syntax(self.line(), format!("{n} is out of range for {what}")));
        };
        self.at += 1;
        Ok(value)
    }

    fn script(mut self) -> Result<Script, Trouble> {
        let mut script = Script { options: Vec::new(), events: Vec::new() };
        while let Some(Token::Option(name, value)) = self.peek() {
            let (name, value) = (name.clone(), value.clone());
            script.options.push(OptionLine { line: self.line(), name, value });
            self.at += 1;
        }
        // Commands without a time stand before the first event and after the last.
        self.bare_commands(&mut script);
        while self.peek().is_some() {
            let event = self.event()?;
            script.events.push(event);
            self.bare_commands(&mut script);
        }
        Ok(script)
    }

    fn bare_commands(&mut self, script: &mut Script) {
        while let Some(Token::Command(text)) = self.peek() {
            let action = Action::Setup(text.clone());
            script.events.push(Event { line: self.line(), time: Time::Relative(0), action });
            self.at += 1;
        }
    }

    fn event(&mut self) -> Result<Event, Trouble> {
        let line = self.line();
        let time = self.time()?;
        let action = match self.peek() {
            Some(Token::Char('<' | '>')) => Action::Packet(self.packet()?),
            Some(Token::Command(text)) => {
                let text = text.clone();
                self.at += 1;
                Action::Command(text)
            }
            Some(Token::Code(text)) => {
                let text = text.clone();
                self.at += 1;
                Action::Code(text)
            }
            Some(Token::Word(_) | Token::Ellipsis) => Action::Call(self.call()?),
            _ => return self.wanted("a packet, a call, a command or a code block"),
        };
        let outbound = matches!(&action, Action::Packet(p) if p.direction == Direction::Outbound);
        match time {
            Time::Any if !outbound => {
                Err(Trouble::syntax(line, "the time `*` can only be used with outbound packets"))
            }
            Time::AbsoluteRange(..) | Time::RelativeRange(..) if !outbound => {
                Err(Trouble::syntax(line, "a time range can only be used with outbound packets"))
            }
            Time::AbsoluteRange(a, b) | Time::RelativeRange(a, b) if b < a => {
                Err(Trouble::syntax(line, "the time range is backwards"))
            }
            _ => Ok(Event { line, time, action }),
        }
    }

    fn time(&mut self) -> Result<Time, Trouble> {
        if self.accept('*') {
            return Ok(Time::Any);
        }
        if self.accept('+') {
            let start = self.micros()?;
            if !self.accept('~') {
                return Ok(Time::Relative(start));
            }
            self.expect('+')?;
            return Ok(Time::RelativeRange(start, self.micros()?));
        }
        let start = self.micros()?;
        Ok(if self.accept('~') { Time::AbsoluteRange(start, self.micros()?) } else { Time::Absolute(start) })
    }

    pub(super) fn micros(&mut self) -> Result<u64, Trouble> {
        let text = match self.peek() {
            Some(Token::Int(n)) => n.to_string(),
            Some(Token::Float(text)) => text.clone(),
            _ => return self.wanted("a time in seconds"),
        };
        if text.starts_with('-') {
            return Err(Trouble::syntax(self.line(), "a time is negative"));
        }
        let Some(micros) = lexer::micros(&text) else {
            return Err(Trouble::syntax(self.line(), format!("{text} s is too long a time")));
        };
        self.at += 1;
        Ok(micros)
    }

    fn packet(&mut self) -> Result<Packet, Trouble> {
        let direction = if self.accept('<') { Direction::Inbound } else { Direction::Outbound };
        if direction == Direction::Outbound {
            self.expect('>')?;
        }
        let (mut ip, mut sock, mut ports) = (Ip { tos: Tos::Any, ttl: None, label: false }, None, None);
        for name in ["ipv4", "ipv6", "gre", "GREv0", "mpls"] {
            if self.is_word(name) {
                return self.unsupported(format!("encapsulation in {name}"));
            }
        }
        loop {
            if self.is_word("sock") && self.peek_second() == Some(&Token::Char('(')) {
                self.at += 2;
                sock = Some(self.number("a descriptor")?);
                self.expect(')')?;
            } else if self.accept('[') {
                self.ip_info(&mut ip, direction)?;
                self.expect(']')?;
            } else if self.accept('(') {
                self.ip_info(&mut ip, direction)?;
                self.expect(')')?;
            } else {
                break;
            }
        }
        if self.is_word("encap") {
            return self.unsupported("encapsulation in psp");
        }
        if self.is_word("raw") {
            return self.unsupported("raw packets");
        }
        if self.accept_word("udp") {
            ports = self.ports()?;
            self.expect('(')?;
            let body = Body::Udp(self.number("a payload length")?);
            self.expect(')')?;
            return Ok(Packet { direction, tos: ip.tos, ttl: ip.ttl, label: ip.label, sock, ports, body });
        }
        if self.accept_word("icmp") {
            let body = Body::Icmp(self.icmp()?);
            return Ok(Packet { direction, tos: ip.tos, ttl: ip.ttl, label: ip.label, sock, ports, body });
        }
        // A port can't be taken for flags: those begin with a letter, a point or a dash.
        ports = self.ports()?.or(ports);
        let body = Body::Tcp(self.tcp(direction)?);
        Ok(Packet { direction, tos: ip.tos, ttl: ip.ttl, label: ip.label, sock, ports, body })
    }

    /// `SRC > DST`
    fn ports(&mut self) -> Result<Option<(u16, u16)>, Trouble> {
        if !matches!(self.peek(), Some(Token::Int(_))) {
            return Ok(None);
        }
        let src = self.number("a source port")?;
        self.expect('>')?;
        Ok(Some((src, self.number("a destination port")?)))
    }

    fn ip_info(&mut self, ip: &mut Ip, direction: Direction) -> Result<(), Trouble> {
        loop {
            let word = match self.peek() {
                Some(Token::Word(w)) => w.clone(),
                _ => return self.wanted("noecn, ect0, ect1, ce, ect01, tos or ttl"),
            };
            let line = self.line();
            self.at += 1;
            match word.to_ascii_lowercase().as_str() {
                "noecn" => ip.tos = Tos::Ecn(0),
                "ect1" => ip.tos = Tos::Ecn(1),
                "ect0" => ip.tos = Tos::Ecn(2),
                "ce" => ip.tos = Tos::Ecn(3),
                "ect01" if direction == Direction::Outbound => ip.tos = Tos::Ect01,
                "ect01" => {
                    return Err(Trouble::syntax(line, "[ect01] can only be used with outbound packets"));
                }
                "tos" => match self.next() {
                    Some(Token::Hex(n @ 0..=255)) => ip.tos = Tos::Byte(n as u8),
                    _ => return Err(Trouble::syntax(line, "tos needs a hexadecimal number of 8 bits")),
                },
                "ttl" => ip.ttl = Some(self.number("ttl")?),
                // The stack's labels are 0, and it looks at nobody's.
                "flowlabel" => match self.next() {
                    Some(Token::Hex(label @ 0..=0xf_ffff)) => ip.label = label != 0,
                    _ => {
                        return Err(Trouble::syntax(line, "flowlabel needs a hexadecimal number of 20 bits"));
                    }
                },
                other => {
                    return Err(Trouble::syntax(line, format!("{other} says nothing about the IP header")));
                }
            }
            if !self.accept(',') {
                return Ok(());
            }
        }
    }

    fn icmp(&mut self) -> Result<Icmp, Trouble> {
        let Some(Token::Word(kind)) = self.next() else { return self.wanted("an icmp type") };
        let mut icmp = Icmp { kind, code: None, mtu: None, id: 0, quoted: (0, 0), other: None };
        if let Some(Token::Word(code)) = self.peek()
            && code != "mtu"
            && code != "id"
        {
            icmp.code = Some(code.clone());
            self.at += 1;
        }
        if self.accept_word("mtu") {
            icmp.mtu = Some(self.number("an mtu")?);
        }
        if self.accept_word("id") {
            icmp.id = self.number("an identifier")?;
        }
        if self.accept('[') {
            for name in ["udp", "raw"] {
                if self.accept_word(name) {
                    self.expect('(')?;
                    icmp.other = Some((name == "udp", self.number("a payload length")?));
                    self.expect(')')?;
                    self.expect(']')?;
                    return Ok(icmp);
                }
            }
            icmp.quoted = self.sequence()?;
            self.expect(']')?;
        }
        Ok(icmp)
    }

    fn tcp(&mut self, direction: Direction) -> Result<Tcp, Trouble> {
        let flags = self.flags()?;
        let (seq, len) = self.sequence()?;
        let ack = if self.accept_word("ack") { self.number("an acknowledgment number")? } else { 0 };
        let win = if self.accept_word("win") { Some(self.number("a window")?) } else { None };
        let urg = if self.accept_word("urg") { self.number("an urgent pointer")? } else { 0 };
        let mut options = Some(Vec::new());
        // `<` can't begin the next event: that begins with its time.
        if self.accept('<') {
            if self.peek() == Some(&Token::Ellipsis) {
                if direction == Direction::Inbound {
                    let what = "`<...>` can only be used with outbound packets";
                    return Err(Trouble::syntax(self.line(), what));
                }
                self.at += 1;
                options = None;
            } else if !self.is_char('>') {
                options = Some(self.options()?);
            }
            self.expect('>')?;
        }
        if self.is_char('{') {
            return self.unsupported("fuzzing");
        }
        Ok(Tcp { flags, seq, len, ack, win, urg, options })
    }

    /// The control bits, by letters; those of accurate ECN may be a count (RFC 9768 §3.2.2).
    fn flags(&mut self) -> Result<Flags, Trouble> {
        const LETTERS: &str = "flags (letters of FSRPEWUA or an ACE count, a point, or a dash for none)";
        if self.accept('-') {
            return Ok(Flags::NONE);
        }
        let mut letters = match self.peek() {
            Some(Token::Word(word)) => word.clone(),
            _ => String::new(),
        };
        let start = self.at;
        self.at += usize::from(!letters.is_empty());
        // `.5` looks like a number: the point of an acknowledgment and an ACE count.
        match self.peek() {
            Some(Token::Char('.')) => letters.push('.'),
            Some(Token::Float(count)) if count.starts_with('.') => letters.push_str(&count.clone()),
            _ => self.at -= 1,
        }
        self.at += 1;
        let (mut flags, mut counts) = (Flags::NONE, 0);
        for letter in letters.chars() {
            flags |= match letter {
                'F' => Flags::FIN,
                'S' => Flags::SYN,
                'R' => Flags::RST,
                'P' => Flags::PSH,
                'U' => Flags::URG,
                'E' => Flags::ECE,
                'W' => Flags::CWR,
                '.' => Flags::ACK,
                'A' => Flags::AE,
                '0'..='7' => {
                    counts += 1;
                    Flags::of_ace(letter as u32 - '0' as u32)
                }
                _ => {
                    counts = 2;
                    Flags::NONE
                }
            };
        }
        let named = letters.contains(['E', 'W', 'A']);
        if letters.is_empty() || counts > 1 || counts == 1 && named {
            self.at = start;
            return self.wanted(LETTERS);
        }
        Ok(flags)
    }

    fn sequence(&mut self) -> Result<(u32, u16), Trouble> {
        let line = self.line();
        let start: u32 = self.number("a sequence number")?;
        self.expect(':')?;
        let end: u32 = self.number("a sequence number")?;
        self.expect('(')?;
        let len: u16 = self.number("a payload length")?;
        self.expect(')')?;
        if u64::from(start) + u64::from(len) != u64::from(end) && start.wrapping_add(u32::from(len)) != end {
            return Err(Trouble::syntax(line, format!("{start}:{end} are not {len} bytes")));
        }
        Ok((start, len))
    }

    fn options(&mut self) -> Result<Vec<TcpOption>, Trouble> {
        let line = self.line();
        let mut options = Vec::new();
        loop {
            options.push(self.option()?);
            if !self.accept(',') {
                break;
            }
        }
        let len: usize = options.iter().map(TcpOption::encoded_len).sum();
        if len > 40 {
            return Err(Trouble::syntax(line, format!("the TCP options take {len} bytes of 40")));
        }
        Ok(options)
    }

    fn option(&mut self) -> Result<TcpOption, Trouble> {
        let word = match self.peek() {
            Some(Token::Word(w)) => w.clone(),
            _ => return self.wanted("a TCP option"),
        };
        let line = self.line();
        self.at += 1;
        Ok(match word.as_str() {
            "nop" => TcpOption::Nop,
            "eol" => TcpOption::Eol,
            "mss" => TcpOption::Mss(self.number("an mss")?),
            "wscale" => TcpOption::Wscale(self.number("a window scale")?),
            "sackOK" => TcpOption::SackOk,
            "sack" => {
                let mut blocks = Vec::new();
                while matches!(self.peek(), Some(Token::Int(_))) {
                    let left = self.number("a sequence number")?;
                    self.expect(':')?;
                    blocks.push((left, self.number("a sequence number")?));
                }
                if blocks.is_empty() {
                    return self.wanted("a SACK block");
                }
                TcpOption::Sack(blocks)
            }
            "TS" => {
                self.expect_word("val")?;
                let val = self.number("a time stamp")?;
                self.expect_word("ecr")?;
                TcpOption::Ts { val, ecr: self.number("a time stamp")? }
            }
            "FO" => TcpOption::Other { kind: 34, data: self.hex_blob()? },
            // The experimental form carries a magic number of its own (RFC 6994, RFC 7413 §4.1.1).
            "FOEXP" => {
                let mut data = vec![0xf9, 0x89];
                data.extend(self.hex_blob()?);
                TcpOption::Other { kind: 254, data }
            }
            "ECN" => self.accurate_ecn()?,
            "md5" => {
                let data = self.hex_blob()?;
                if data.len() > 16 {
                    return Err(Trouble::syntax(line, "a signature has 16 bytes at the most"));
                }
                TcpOption::Other { kind: 19, data }
            }
            other => return Err(Trouble::unsupported(line, format!("the TCP option {other}"))),
        })
    }

    /// `ECN e0b N ceb N e1b N`, or in the other order; the later counts may be missing (RFC 9768 §3.2.3).
    fn accurate_ecn(&mut self) -> Result<TcpOption, Trouble> {
        let (kind, order) = match self.is_word("e1b") {
            true => (174, ["e1b", "ceb", "e0b"]),
            false => (172, ["e0b", "ceb", "e1b"]),
        };
        let mut data = Vec::new();
        for (n, name) in order.into_iter().enumerate() {
            if n > 0 && !self.is_word(name) {
                break;
            }
            self.expect_word(name)?;
            let count: u32 = self.number("a count of bytes")?;
            if count >= 1 << 24 {
                return Err(Trouble::syntax(self.line(), format!("{count} is out of range for {name}")));
            }
            data.extend(&count.to_be_bytes()[1..]);
        }
        Ok(TcpOption::Other { kind, data })
    }

    fn hex_blob(&mut self) -> Result<Vec<u8>, Trouble> {
        let text = match self.peek() {
            Some(Token::Word(w)) => w.clone(),
            Some(Token::Int(n)) => n.to_string(),
            _ => return Ok(Vec::new()),
        };
        let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
        match digits {
            Some(digits) if digits.len() % 2 == 0 => {
                self.at += 1;
                Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
            }
            _ => self.wanted("a hexadecimal string"),
        }
    }
}

impl TcpOption {
    /// Bytes on the wire.
    pub fn encoded_len(&self) -> usize {
        match self {
            TcpOption::Nop | TcpOption::Eol => 1,
            TcpOption::Mss(_) => 4,
            TcpOption::Wscale(_) => 3,
            TcpOption::SackOk => 2,
            TcpOption::Sack(blocks) => 2 + 8 * blocks.len(),
            TcpOption::Ts { .. } => 10,
            TcpOption::Other { data, .. } => 2 + data.len(),
        }
    }
}
