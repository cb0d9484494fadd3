//! How does a capture get written by hand? Packets of one conversation with exact times, and a file of them.

use etherparse::{PacketBuilder, TcpHeader};
use std::net::Ipv4Addr;
use tcpglass::explain::{Options, Summary, explain};

/// Who sends a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    Client,
    Server,
}

/// A packet that differs from what its sender would send next; numbers count from that end's SYN.
#[derive(Clone, Copy, Default, Debug)]
pub struct Odd {
    pub seq: Option<u32>,
    pub ack: Option<u32>,
    pub window: Option<u16>,
    /// Numbers that came twice or beyond a gap.
    pub sack: Option<(u32, u32)>,
    /// A time stamp, and what it echoes.
    pub stamp: Option<u32>,
    pub echo: u32,
    /// Damaged on the way: the checksum is wrong, and the sender will send it again.
    pub damaged: bool,
    /// It was sent, and not captured.
    pub unseen: bool,
}

/// The numbers of the first SYNs.
const FIRST: [u32; 2] = [1000, 5000];

/// Two ends that speak.
pub struct Talk {
    pub packets: Vec<(u64, Vec<u8>)>,
    addresses: [(Ipv4Addr, u16); 2],
    first: [u32; 2],
    next: [u32; 2],
    /// The window field that each end sends.
    pub window: [u16; 2],
    pub ident: [u16; 2],
    scaled: bool,
}

impl Talk {
    /// With port 80 of 10.0.0.2.
    pub fn new() -> Talk {
        Talk::between(40_000, 80)
    }

    pub fn between(client: u16, server: u16) -> Talk {
        Talk {
            packets: Vec::new(),
            addresses: [(Ipv4Addr::new(10, 0, 0, 1), client), (Ipv4Addr::new(10, 0, 0, 2), server)],
            first: FIRST,
            next: FIRST,
            window: [501, 501],
            ident: [100, 7000],
            scaled: true,
        }
    }

    /// Another conversation in the same file, from the same port with other numbers.
    pub fn again(&mut self) {
        self.first = [900_000, 800_000];
        self.next = self.first;
    }

    /// The handshake as the client sees it from `ms` on, 20 ms long; when it is over.
    pub fn open(&mut self, ms: f64) -> f64 {
        self.say(ms, By::Client, "S", b"");
        self.say(ms + 20.0, By::Server, "S.", b"");
        self.say(ms + 20.05, By::Client, ".", b"");
        ms + 20.1
    }

    pub fn say(&mut self, ms: f64, by: By, flags: &str, data: &[u8]) {
        self.odd(ms, by, flags, data, Odd::default());
    }

    pub fn odd(&mut self, ms: f64, by: By, flags: &str, data: &[u8], odd: Odd) {
        let (s, o) = (by as usize, 1 - by as usize);
        let seq = odd.seq.map_or(self.next[s], |n| self.first[s].wrapping_add(n));
        let (from, to) = (self.addresses[s], self.addresses[o]);
        let window = if flags.contains('S') { 64_240 } else { self.window[s] };
        let mut tcp = TcpHeader::new(from.1, to.1, seq, odd.window.unwrap_or(window));
        tcp.syn = flags.contains('S');
        tcp.fin = flags.contains('F');
        tcp.rst = flags.contains('R');
        // Whoever writes has nothing more to send then.
        tcp.psh = !data.is_empty();
        tcp.ack = flags.contains('.');
        if tcp.ack {
            tcp.acknowledgment_number = odd.ack.map_or(self.next[o], |n| self.first[o].wrapping_add(n));
        }
        if tcp.syn {
            let scale = if self.scaled { [1, 3, 3, 7] } else { [1, 1, 1, 1] };
            tcp.set_options_raw(&[&[2, 4, 5, 0xb4, 4, 2, 1, 1][..], &scale].concat()).unwrap();
        }
        if let Some((from, to)) = odd.sack {
            let [from, to] = [from, to].map(|n| self.first[o].wrapping_add(n).to_be_bytes());
            tcp.set_options_raw(&[&[1, 1, 5, 10][..], &from, &to].concat()).unwrap();
        }
        if let Some(stamp) = odd.stamp {
            tcp.set_options_raw(
                &[&[1, 1, 8, 10][..], &stamp.to_be_bytes(), &odd.echo.to_be_bytes()].concat(),
            )
            .unwrap();
        }
        // Zero stays: it counts none.
        self.ident[s] += u16::from(self.ident[s] > 0);
        let mut ip =
            etherparse::Ipv4Header::new(0, 64, etherparse::ip_number::TCP, from.0.octets(), to.0.octets())
                .unwrap();
        ip.identification = self.ident[s];
        let mut bytes = Vec::new();
        PacketBuilder::ip(etherparse::IpHeaders::Ipv4(ip, Default::default()))
            .tcp_header(tcp)
            .write(&mut bytes, data)
            .unwrap();
        if odd.damaged {
            let last = bytes.len() - 1;
            bytes[last] ^= 0x55;
        }
        if odd.seq.is_none() && !odd.damaged {
            let control = u32::from(flags.contains('S')) + u32::from(flags.contains('F'));
            self.next[s] = seq.wrapping_add(data.len() as u32 + control);
        }
        if !odd.unseen {
            self.packets.push(((ms * 1000.0).round() as u64, bytes));
        }
    }

    /// Where an end is, counted from its SYN.
    pub fn at(&self, by: By) -> u32 {
        self.next[by as usize].wrapping_sub(self.first[by as usize])
    }

    /// A packet of the connection before, whose ends had come to `next`, counted from its SYNs.
    pub fn old(&mut self, ms: f64, by: By, flags: &str, next: [u32; 2]) {
        let now = (self.first, self.next);
        self.first = FIRST;
        self.next = [FIRST[0] + next[0], FIRST[1] + next[1]];
        self.say(ms, by, flags, b"");
        (self.first, self.next) = now;
    }

    /// The same with a server elsewhere; checksums are no longer right.
    pub fn move_server(&mut self, to: [u8; 4]) {
        for (_, packet) in &mut self.packets {
            for at in [12, 16] {
                if packet[at..at + 4] == [10, 0, 0, 2] {
                    packet[at..at + 4].copy_from_slice(&to);
                }
            }
        }
    }

    /// A pcap of these packets, of which `snaplen` bytes each are kept.
    pub fn file(packets: &[(u64, Vec<u8>)], snaplen: usize) -> Vec<u8> {
        super::reading::pcap(101, snaplen, packets.iter().cloned())
    }

    pub fn told(&self) -> Summary {
        explain(Talk::file(&self.packets, usize::MAX).as_slice(), Options::default()).unwrap()
    }
}

pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

/// A response with `len` bytes of which `sent` follow at once.
pub fn ok(len: usize, sent: usize) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + sent, b'x');
    bytes
}

/// Three exchanges of 70 ms, and a close; as the client sees them.
pub fn usual() -> Talk {
    let mut t = Talk::new();
    let mut at = t.open(0.0);
    for n in 0..3 {
        t.say(at, By::Client, ".", &get(&format!("/{n}")));
        t.say(at + 20.0, By::Server, ".", b"");
        t.say(at + 70.0, By::Server, ".", &ok(1000, 1000));
        t.say(at + 70.1, By::Client, ".", b"");
        at += 200.0;
    }
    t.say(at, By::Client, "F.", b"");
    t.say(at + 20.0, By::Server, "F.", b"");
    t.say(at + 20.1, By::Client, ".", b"");
    t
}
