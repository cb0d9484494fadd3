//! Which socket options are only kept? What they are given has no effect on what is sent or received here, but can be
//! read again, with Linux' bounds and defaults.

use super::sockets::Step;
use super::sockopts::Value;

/// What may be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rule {
    /// Everything but 0 is 1.
    Switch,
    /// Any number.
    Any,
    /// From the first to the second, else EINVAL.
    Within(i64, i64),
    /// The same, and it is forgotten.
    Ignored(i64, i64),
    /// Only these values have no effect; others are refused.
    Only(&'static [i64]),
    /// One of these, else this errno.
    Or(&'static [i64], &'static str),
    /// Nothing: this is the errno.
    Never(&'static str),
}

/// What reads as what, before anything was set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum First {
    Int(i64),
    /// No byte at all.
    Empty,
    /// It cannot be read.
    Errno(&'static str),
}

/// Level, options, what they have in the beginning, and what they take.
type Kept = (i64, &'static [i64], First, Rule);

const NOTHING: Rule = Rule::Never("ENOPROTOOPT");
const INVALID: Rule = Rule::Never("EINVAL");
const UNSUPPORTED: Rule = Rule::Never("EOPNOTSUPP");

const KEPT: &[Kept] = &[
    // SO_DEBUG, SO_BROADCAST, SO_NO_CHECK, SO_TIMESTAMP and its kin, SO_RXQ_OVFL, SO_WIFI_STATUS, SO_NOFCS, SO_LOCK_FILTER,
    // SO_SELECT_ERR_QUEUE, SO_PREFER_BUSY_POLL, SO_RCVMARK, SO_RCVPRIORITY
    (1, &[1, 6, 11, 29, 35, 40, 41, 43, 44, 45, 63, 64, 69, 75, 82], First::Int(0), Rule::Switch),
    // SO_DONTROUTE: the peer is behind a gateway.
    (1, &[5], First::Int(0), Rule::Only(&[0])),
    // SO_PRIORITY, SO_MARK, SO_INCOMING_CPU
    (1, &[12, 36], First::Int(0), Rule::Any),
    (1, &[49], First::Int(-1), Rule::Any),
    // SO_BSDCOMPAT, SO_CNX_ADVICE, SO_BUSY_POLL_BUDGET
    (1, &[14], First::Int(0), Rule::Ignored(i64::MIN, i64::MAX)),
    (1, &[53], First::Errno("ENOPROTOOPT"), Rule::Ignored(i64::MIN, i64::MAX)),
    (1, &[70], First::Errno("ENOPROTOOPT"), Rule::Ignored(0, u16::MAX as i64)),
    // SO_PASSCRED and other things of AF_UNIX, SO_DEVMEM_…
    (1, &[16, 34, 76, 83], First::Errno("EOPNOTSUPP"), UNSUPPORTED),
    (1, &[17, 55], First::Int(0), NOTHING),
    (1, &[59, 77], First::Errno("ENODATA"), NOTHING),
    (1, &[57, 71], First::Errno("EINVAL"), NOTHING),
    // SO_SNDLOWAT; SO_RCVTIMEO and SO_SNDTIMEO take more than a number, and so do SO_TXTIME and the newer two.
    (1, &[19], First::Int(1), NOTHING),
    (1, &[20, 21, 61, 66, 67], First::Int(0), INVALID),
    // SO_PEEK_OFF
    (1, &[42], First::Int(-1), Rule::Any),
    // Filters, which a number is none of; SO_PEERNAME; SO_BPF_EXTENSIONS
    (1, &[26], First::Empty, INVALID),
    (1, &[27], First::Errno("ENOPROTOOPT"), Rule::Never("ENOENT")),
    (1, &[50, 51, 52, 68, 80], First::Errno("ENOPROTOOPT"), INVALID),
    (1, &[48], First::Int(64), NOTHING),
    // SO_BUSY_POLL, SO_INCOMING_NAPI_ID, SO_ZEROCOPY, SO_BINDTOIFINDEX, SO_BUF_LOCK
    (1, &[46, 62], First::Int(0), Rule::Within(0, i32::MAX as i64)),
    (1, &[56], First::Int(0), NOTHING),
    (1, &[60], First::Int(0), Rule::Within(0, 1)),
    (1, &[72], First::Int(0), Rule::Within(0, 3)),
    // SO_TXREHASH, SO_RESERVE_MEM
    (1, &[74], First::Int(1), Rule::Within(-1, 1)),
    (1, &[73], First::Int(0), UNSUPPORTED),
    // TCP_THIN_DUPACK (without any effect since 4.12), TCP_REPAIR and what needs it, TCP_SAVE_SYN
    (6, &[17], First::Int(0), Rule::Ignored(0, 1)),
    (6, &[19], First::Int(0), Rule::Only(&[0])),
    (6, &[20, 21, 29], First::Errno("EINVAL"), Rule::Never("EPERM")),
    (6, &[22], First::Errno("ENOPROTOOPT"), INVALID),
    (6, &[27], First::Int(0), Rule::Within(0, 2)),
    // TCP_TX_DELAY, which only Linux' fair queue obeys: a device has none by itself
    (6, &[37], First::Int(0), Rule::Within(0, i32::MAX as i64)),
    // TCP_COOKIE_TRANSACTIONS; TCP_TIMESTAMP outside of TCP_REPAIR; TCP_ZEROCOPY_RECEIVE, TCP_IS_MPTCP
    (6, &[15], First::Errno("ENOPROTOOPT"), NOTHING),
    (6, &[24], First::Int(0), Rule::Never("EPERM")),
    (6, &[35], First::Errno("EINVAL"), NOTHING),
    (6, &[43], First::Int(0), NOTHING),
    // IP_RECVOPTS, IP_RETOPTS, IP_PKTINFO, IP_RECVTTL, IP_RECVTOS, IP_FREEBIND, IP_PASSSEC, IP_TRANSPARENT, IP_ORIGDSTADDR,
    // IP_CHECKSUM, IP_BIND_ADDRESS_NO_PORT, IP_RECVERR_RFC4884
    (0, &[6, 7, 8, 12, 13, 15, 18, 19, 20, 23, 24], First::Int(0), Rule::Switch),
    (0, &[26], First::Int(0), Rule::Within(0, 1)),
    // IP_MINTTL
    (0, &[21], First::Int(0), Rule::Within(0, 255)),
    // IP_LOCAL_PORT_RANGE: what is chosen is mapped.
    (0, &[51], First::Int(0), Rule::Any),
    // Raw sockets, datagrams, multicast groups, IPsec and packet filters
    (0, &[9], First::Empty, NOTHING),
    (0, &[3, 22, 52], First::Int(0), NOTHING),
    (0, &[5, 25, 32], First::Int(0), INVALID),
    (0, &[33], First::Int(1), INVALID),
    (0, &[34], First::Int(1), Rule::Switch),
    (0, &[49], First::Int(1), Rule::Within(0, 1)),
    (0, &[50], First::Int(0), Rule::Or(&[0], "EADDRNOTAVAIL")),
    (0, &[16], First::Errno("ENOPROTOOPT"), UNSUPPORTED),
    (0, &[35, 36], First::Errno("ENOPROTOOPT"), Rule::Never("EPROTO")),
    (0, &[41, 48], First::Errno("EINVAL"), INVALID),
    (0, &[17, 37, 38, 39, 40, 42, 43, 44, 45, 46, 47], First::Errno("ENOPROTOOPT"), INVALID),
    // What comes with what is received (IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS, …), IPV6_V6ONLY, IPV6_FREEBIND,
    // IPV6_TRANSPARENT, IPV6_RECVERR_RFC4884
    (
        41,
        &[2, 3, 4, 5, 8, 11, 26, 30, 49, 51, 53, 56, 58, 60, 62, 66, 74, 75, 77, 78],
        First::Int(0),
        Rule::Switch,
    ),
    // UDP_CORK and UDP_SEGMENT would show; UDP_NO_CHECK6_TX, UDP_NO_CHECK6_RX, UDP_GRO
    (17, &[1, 103], First::Int(0), Rule::Only(&[0])),
    (17, &[101, 102, 104], First::Int(0), Rule::Switch),
    // IPV6_MINHOPCOUNT
    (41, &[73], First::Int(0), Rule::Within(0, 255)),
    // IPV6_FLOWINFO_SEND, without a label of one's own
    (41, &[33], First::Int(0), Rule::Switch),
    // Multicast, raw sockets, extension headers, IPsec and packet filters
    (41, &[29, 70], First::Int(1), Rule::Switch),
    (41, &[19], First::Int(1), Rule::Within(0, 1)),
    (41, &[31], First::Int(0), Rule::Within(0, 1)),
    (41, &[17, 22], First::Int(0), NOTHING),
    (41, &[18], First::Int(1), NOTHING),
    (41, &[76], First::Int(0), Rule::Or(&[0], "EADDRNOTAVAIL")),
    (41, &[6], First::Empty, Rule::Ignored(i64::MIN, i64::MAX)),
    (41, &[54, 55, 57, 59], First::Empty, INVALID),
    (41, &[32, 48, 64, 65], First::Errno("EINVAL"), INVALID),
    (41, &[61, 68, 69], First::Errno("EINVAL"), NOTHING),
    (41, &[34], First::Errno("ENOPROTOOPT"), UNSUPPORTED),
    (41, &[20, 21, 27, 28, 35, 42, 43, 44, 45, 46, 47, 50], First::Errno("ENOPROTOOPT"), INVALID),
    (41, &[52], First::Errno("ENOPROTOOPT"), NOTHING),
];

/// Options that Linux has and that are neither here nor kept: IP_OPTIONS, SO_PEERNAME, IPV6_ADDRFORM, IPV6_ADDR_PREFERENCES.
pub const REFUSED: &[(i64, i64)] = &[(0, 4), (1, 28), (41, 1), (41, 72)];

/// SO_PRIORITY: IP_TOS has a say in it.
pub const PRIORITY: (i64, i64) = (1, 12);
/// SO_PEEK_OFF.
pub const PEEK_OFF: (i64, i64) = (1, 42);
/// SO_ZEROCOPY.
pub const ZEROCOPY: (i64, i64) = (1, 60);
/// IPV6_V6ONLY.
pub const V6_ONLY: (i64, i64) = (41, 26);
/// IP_MINTTL, IPV6_MINHOPCOUNT.
pub const LEAST_TTL: [(i64, i64); 2] = [(0, 21), (41, 73)];
/// TCP_SAVE_SYN.
pub const SAVE_SYN: (i64, i64) = (6, 27);

fn find(option: (i64, i64)) -> Option<&'static Kept> {
    KEPT.iter().find(|(level, names, ..)| *level == option.0 && names.contains(&option.1))
}

/// Whether it is an option that is only kept.
pub fn is_kept(option: (i64, i64)) -> bool {
    find(option).is_some()
}

/// What is kept of a value, or what the call returns instead.
///
/// # Errors
/// A value that has an effect on Linux and none here.
pub fn keep(option: (i64, i64), value: i64) -> Result<Result<i64, Step>, String> {
    let Some((.., rule)) = find(option) else { return Ok(Err(Step::Errno("ENOPROTOOPT"))) };
    Ok(match rule {
        Rule::Switch => Ok(i64::from(value != 0)),
        Rule::Any => Ok(value),
        Rule::Within(low, high) if (low..=high).contains(&&value) => Ok(value),
        Rule::Ignored(low, high) if (low..=high).contains(&&value) => Err(Step::Done(0)),
        Rule::Within(..) | Rule::Ignored(..) => Err(Step::Errno("EINVAL")),
        Rule::Only(values) if values.contains(&value) => Ok(value),
        Rule::Only(_) => return Err(format!("the value {value} of the socket option {}", option.1)),
        Rule::Or(values, _) if values.contains(&value) => Ok(value),
        Rule::Or(_, errno) | Rule::Never(errno) => Err(Step::Errno(errno)),
    })
}

/// What is read of an option that has been given this, or nothing.
pub fn read(option: (i64, i64), given: Option<i64>) -> Result<Value, &'static str> {
    let Some((_, _, first, _)) = find(option) else { return Err("ENOPROTOOPT") };
    match (given, *first) {
        (Some(value), _) | (None, First::Int(value)) => Ok(Value::Int(value)),
        (None, First::Empty) => Ok(Value::Bytes(Vec::new())),
        (None, First::Errno(errno)) => Err(errno),
    }
}

/// What IP_TOS makes of SO_PRIORITY (Linux' rt_tos2priority).
pub fn priority_of(tos: i64) -> i64 {
    match (tos & 0x1e) >> 1 {
        0..=3 => 0,
        4..=7 => 2,
        8..=11 => 6,
        _ => 4,
    }
}
