//! Where does a name live? A name server at an address of its own, in virtual time.

use crate::stack::queue_device::QueueDevice;
use crate::time::{Duration, Instant};
use smoltcp::phy::{ChecksumCapabilities, Device, TxToken};
use smoltcp::wire::{IpAddress, IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet, UdpPacket, UdpRepr};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

const PORT: u16 = 53;
/// The header of a message (RFC 1035 §4.1.1).
const HEADER: usize = 12;
/// Answers that wait for their time; questions beyond are ignored, as by a server with too much to do.
const WAITING_MAX: usize = 1024;
/// A message without extensions has no more (RFC 1035 §2.3.4): what does not fit is left out, and said to be.
const MESSAGE_MAX: usize = 512;
/// How long an answer may be kept, seconds.
const TTL: u32 = 60;
const HOPS: u8 = 64;

const A: u16 = 1;
const AAAA: u16 = 28;
const IN: u16 = 1;

const NO_ERROR: u8 = 0;
const FORMAT_ERROR: u8 = 1;
const NO_SUCH_NAME: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;

/// A name server (RFC 1035, over UDP) that knows addresses of both families and takes a while to answer.
///
/// A question that is no question is answered as RFC 1035 §4.1.1 asks: FORMERR or NOTIMP; a name it does not know with
/// NXDOMAIN; a type it has nothing for with an empty answer. What is not even a message to port 53, or damaged, is
/// ignored and counted.
///
/// ```
/// use tcpglass::sim::{NameServer, World};
/// use tcpglass::time::Duration;
///
/// let mut world = World::new(1, "rtt=20ms".parse()?);
/// let names = NameServer::new([10, 0, 0, 53]).name("glass", [10, 0, 0, 2]).takes(Duration::from_millis(5));
/// let names = world.add_name_server(names);
/// // Hosts whose `stack::Config::dns` has 10.0.0.53 find `glass` after 25 ms.
/// assert_eq!(world.name_server(names).answered(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct NameServer {
    addr: IpAddr,
    names: BTreeMap<String, Vec<IpAddr>>,
    takes: Duration,
    /// What is to be sent, and when.
    waiting: VecDeque<(Instant, SocketAddr, Vec<u8>)>,
    answered: u64,
    ignored: u64,
}

impl NameServer {
    /// A server at `addr` that knows no name yet and answers at once.
    pub fn new(addr: impl Into<IpAddr>) -> NameServer {
        let (names, waiting) = (BTreeMap::new(), VecDeque::new());
        NameServer { addr: addr.into(), names, takes: Duration::ZERO, waiting, answered: 0, ignored: 0 }
    }

    /// It knows that `name` lives at `addr`, too. Upper and lower case are the same (RFC 1035 §2.3.3).
    pub fn name(mut self, name: &str, addr: impl Into<IpAddr>) -> NameServer {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.names.entry(name).or_default().push(addr.into());
        self
    }

    /// It takes so long for each answer.
    pub fn takes(mut self, time: Duration) -> NameServer {
        self.takes = time;
        self
    }

    /// Its address.
    pub fn addr(&self) -> IpAddr {
        self.addr
    }

    /// Answers sent so far, those that say that there is no such name included.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Packets that were no questions to it, were damaged, or were too many at a time.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    pub(super) fn on_frame(&mut self, now: Instant, frame: &[u8]) {
        let answer = match question(frame) {
            Some((from, message)) if self.waiting.len() < WAITING_MAX => {
                self.answer(message).map(|answer| (now + self.takes, from, answer))
            }
            _ => None,
        };
        match answer {
            Some(answer) => self.waiting.push_back(answer),
            None => self.ignored += 1,
        }
    }

    pub(super) fn turn(&mut self, now: Instant, device: &mut QueueDevice) {
        while let Some(&(at, to, ref message)) = self.waiting.front() {
            let Some(token) = device.transmit(now.into()).filter(|_| at <= now) else { break };
            let (src, dst) = (IpAddress::from(self.addr), IpAddress::from(to.ip()));
            let udp = UdpRepr { src_port: PORT, dst_port: to.port() };
            let len = udp.header_len() + message.len();
            let ip = IpRepr::new(src, dst, IpProtocol::Udp, len, HOPS);
            let checksums = ChecksumCapabilities::default();
            token.consume(ip.header_len() + len, |frame| {
                ip.emit(&mut *frame, &checksums);
                let mut packet = UdpPacket::new_unchecked(&mut frame[ip.header_len()..]);
                let body = |buf: &mut [u8]| buf.copy_from_slice(message);
                udp.emit(&mut packet, &src, &dst, message.len(), body, &checksums);
            });
            self.answered += 1;
            self.waiting.pop_front();
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|&(at, ..)| at)
    }

    /// The answer to a message; `None` if it is none that may be answered.
    fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let &[id0, id1, flags, _, q0, q1, ..] = message else { return None };
        // An answer must not be answered: two servers could do so for ever.
        if message.len() < HEADER || flags & 0x80 != 0 {
            return None;
        }
        let asked = (u16::from_be_bytes([q0, q1]) == 1).then(|| read_question(&message[HEADER..])).flatten();
        let (code, question, addrs) = match asked {
            _ if flags & 0x78 != 0 => (NOT_IMPLEMENTED, &[][..], Vec::new()),
            None => (FORMAT_ERROR, &[][..], Vec::new()),
            Some(asked) => match self.names.get(&asked.name).filter(|_| asked.class == IN) {
                None => (NO_SUCH_NAME, asked.bytes, Vec::new()),
                Some(known) => (NO_ERROR, asked.bytes, of_kind(known, asked.kind)),
            },
        };
        let each = |addr: &Vec<u8>| 12 + addr.len();
        let room = MESSAGE_MAX - HEADER - question.len();
        let fits = addrs.first().map_or(0, |first| addrs.len().min(room / each(first)));
        let truncated = u8::from(fits < addrs.len()) << 1;
        // QR and AA; the opcode and RD are the question's. RA stays 0: it asks nobody else.
        let flags = [0x84 | flags & 0x79 | truncated, code];
        let mut answer = vec![id0, id1, flags[0], flags[1], 0, u8::from(!question.is_empty())];
        answer.extend((fits as u16).to_be_bytes());
        answer.extend([0; 4]);
        answer.extend(question);
        for addr in &addrs[..fits] {
            // The name is the one that stands behind the header.
            answer.extend([0xc0, HEADER as u8]);
            answer.extend(if addr.len() == 4 { A } else { AAAA }.to_be_bytes());
            answer.extend(IN.to_be_bytes());
            answer.extend(TTL.to_be_bytes());
            answer.extend((addr.len() as u16).to_be_bytes());
            answer.extend(addr);
        }
        Some(answer)
    }
}

/// The addresses of one type, as bytes.
fn of_kind(addrs: &[IpAddr], kind: u16) -> Vec<Vec<u8>> {
    let bytes = |addr: &IpAddr| match (addr, kind) {
        (IpAddr::V4(v4), A) => Some(v4.octets().to_vec()),
        (IpAddr::V6(v6), AAAA) => Some(v6.octets().to_vec()),
        _ => None,
    };
    addrs.iter().filter_map(bytes).collect()
}

struct Question<'a> {
    name: String,
    kind: u16,
    class: u16,
    /// All of it, to be repeated in the answer.
    bytes: &'a [u8],
}

/// A name, its type and class (RFC 1035 §4.1.2); a question has nothing to point back to.
fn read_question(bytes: &[u8]) -> Option<Question<'_>> {
    let (mut name, mut at) = (String::new(), 0);
    loop {
        let len = usize::from(*bytes.get(at)?);
        at += 1;
        if len == 0 {
            break;
        }
        let label = bytes.get(at..at + len).filter(|_| len <= 63)?;
        at += len;
        if at > 254 {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(label.iter().map(|&b| char::from(b.to_ascii_lowercase())));
    }
    let &[k0, k1, c0, c1] = bytes.get(at..at + 4)? else { return None };
    let (kind, class) = (u16::from_be_bytes([k0, k1]), u16::from_be_bytes([c0, c1]));
    Some(Question { name, kind, class, bytes: &bytes[..at + 4] })
}

/// The message in a datagram to port 53, and who sent it.
fn question(frame: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (src, dst, body) = match frame.first()? >> 4 {
        4 => {
            let packet = Ipv4Packet::new_checked(frame).ok()?;
            let whole = packet.verify_checksum() && !packet.more_frags() && packet.frag_offset() == 0;
            if !whole || packet.next_header() != IpProtocol::Udp {
                return None;
            }
            (IpAddr::from(packet.src_addr()), IpAddr::from(packet.dst_addr()), packet.payload())
        }
        6 => {
            let packet = Ipv6Packet::new_checked(frame).ok()?;
            if packet.next_header() != IpProtocol::Udp {
                return None;
            }
            (packet.src_addr().into(), packet.dst_addr().into(), packet.payload())
        }
        _ => return None,
    };
    let udp = UdpPacket::new_checked(body).ok()?;
    let sound = udp.verify_checksum(&src.into(), &dst.into());
    (sound && udp.dst_port() == PORT).then(|| (SocketAddr::new(src, udp.src_port()), udp.payload()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn server() -> NameServer {
        NameServer::new([10, 0, 0, 53])
            .name("Glass.test.", [10, 0, 0, 2])
            .name("glass.test", [0xfd77, 0, 0, 0, 0, 0, 0, 2])
    }

    fn ask(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.as_bytes());
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message
    }

    /// Code and addresses.
    fn told(question: &[u8]) -> (u8, Vec<Vec<u8>>) {
        let answer = server().answer(question).unwrap();
        assert_eq!((&answer[..2], answer[2] & 0x80), (&[0xab, 0xcd][..], 0x80));
        let (mut found, mut at) = (Vec::new(), HEADER + (question.len() - HEADER) * usize::from(answer[5]));
        for _ in 0..answer[7] {
            let len = usize::from(answer[at + 11]);
            found.push(answer[at + 12..at + 12 + len].to_vec());
            at += 12 + len;
        }
        assert_eq!(at, answer.len());
        (answer[3], found)
    }

    #[test]
    fn it_knows_what_it_was_told_and_says_what_it_does_not_know() {
        assert_eq!(told(&ask("GLASS.test", A)), (NO_ERROR, vec![vec![10, 0, 0, 2]]));
        let six = [0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
        assert_eq!(told(&ask("glass.test", AAAA)), (NO_ERROR, vec![six.to_vec()]));
        assert_eq!(told(&ask("glass.test", 15)), (NO_ERROR, vec![]), "no mail exchanger");
        assert_eq!(told(&ask("glass", A)), (NO_SUCH_NAME, vec![]));
    }

    #[test]
    fn what_is_no_question_is_refused_or_ignored() {
        let mut several = ask("glass.test", A);
        several[5] = 2;
        assert_eq!(told(&several), (FORMAT_ERROR, vec![]));
        let mut status = ask("glass.test", A);
        status[2] |= 2 << 3;
        assert_eq!(told(&status), (NOT_IMPLEMENTED, vec![]));
        let mut pointing = ask("glass.test", A);
        pointing[HEADER] = 0xc0;
        assert_eq!(told(&pointing), (FORMAT_ERROR, vec![]));
        let mut answer = ask("glass.test", A);
        answer[2] |= 0x80;
        assert_eq!(server().answer(&answer), None, "two servers could go on for ever");
        assert_eq!(server().answer(&[0; 11]), None);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said_to_be() {
        let many = (0..=255).fold(NameServer::new([10, 0, 0, 53]), |s, n| s.name("many", [10, 1, 0, n]));
        let answer = many.answer(&ask("many", A)).unwrap();
        assert!(answer.len() <= MESSAGE_MAX && answer[2] & 2 != 0 && answer[7] == 30, "{answer:?}");
    }

    proptest! {
        #[test]
        fn no_packet_makes_it_panic_or_say_too_much(
            mut frame in proptest::collection::vec(any::<u8>(), 0..300),
            name in "[a-z.]{0,80}",
        ) {
            let mut server = server();
            server.on_frame(Instant::ZERO, &frame);
            prop_assert_eq!(server.ignored, 1);
            frame.truncate(40);
            for message in [frame.clone(), [&ask(&name, A)[..], &frame].concat()] {
                prop_assert!(server.answer(&message).is_none_or(|answer| answer.len() <= MESSAGE_MAX));
            }
        }
    }
}
