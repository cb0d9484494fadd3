//! Which socket options are only kept? What they are given has no effect on what is sent or received here, but can be
//! read again, with Linux' bounds and defaults.

use super::sockets::Step;

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
    /// Nothing: this is the errno.
    Never(&'static str),
    /// Neither given nor read.
    Absent(&'static str),
}

/// Level, option, what it has in the beginning, and what it takes.
type Kept = (i64, i64, i64, Rule);

const KEPT: &[Kept] = &[
    // SO_DEBUG, SO_BROADCAST, SO_NO_CHECK, SO_TIMESTAMP, SO_RXQ_OVFL, SO_NOFCS, SO_SELECT_ERR_QUEUE, SO_PREFER_BUSY_POLL
    (1, 1, 0, Rule::Switch),
    (1, 6, 0, Rule::Switch),
    (1, 11, 0, Rule::Switch),
    (1, 29, 0, Rule::Switch),
    (1, 40, 0, Rule::Switch),
    (1, 43, 0, Rule::Switch),
    (1, 45, 0, Rule::Switch),
    (1, 69, 0, Rule::Switch),
    // SO_DONTROUTE: the peer is behind a gateway.
    (1, 5, 0, Rule::Only(&[0])),
    // SO_PRIORITY, SO_MARK
    (1, 12, 0, Rule::Any),
    (1, 36, 0, Rule::Any),
    // SO_BSDCOMPAT, SO_PASSCRED, SO_SNDLOWAT
    (1, 14, 0, Rule::Ignored(i64::MIN, i64::MAX)),
    (1, 16, 0, Rule::Absent("EOPNOTSUPP")),
    (1, 19, 1, Rule::Never("ENOPROTOOPT")),
    // SO_RCVTIMEO and SO_SNDTIMEO take more than a number.
    (1, 20, 0, Rule::Never("EINVAL")),
    (1, 21, 0, Rule::Never("EINVAL")),
    // SO_PEEK_OFF, SO_LOCK_FILTER
    (1, 42, -1, Rule::Only(&[-1])),
    (1, 44, 0, Rule::Only(&[0])),
    // SO_BUSY_POLL, SO_INCOMING_CPU, SO_INCOMING_NAPI_ID, SO_ZEROCOPY
    (1, 46, 0, Rule::Within(0, i32::MAX as i64)),
    (1, 49, -1, Rule::Any),
    (1, 56, 0, Rule::Never("ENOPROTOOPT")),
    (1, 60, 0, Rule::Within(0, 1)),
    // SO_TXREHASH, SO_RESERVE_MEM, SO_PASSRIGHTS
    (1, 74, 1, Rule::Within(-1, 1)),
    (1, 73, 0, Rule::Only(&[0])),
    (1, 75, 0, Rule::Switch),
    // TCP_THIN_DUPACK (without any effect since 4.12), TCP_REPAIR, TCP_SAVE_SYN, TCP_TX_DELAY
    (6, 17, 0, Rule::Ignored(0, 1)),
    (6, 19, 0, Rule::Only(&[0])),
    (6, 27, 0, Rule::Within(0, 2)),
    (6, 37, 0, Rule::Only(&[0])),
    // TCP_COOKIE_TRANSACTIONS; TCP_TIMESTAMP outside of TCP_REPAIR
    (6, 15, 0, Rule::Absent("ENOPROTOOPT")),
    (6, 24, 0, Rule::Never("EPERM")),
    // IP_PKTINFO, IP_RECVTTL, IP_RECVTOS, IP_FREEBIND, IP_TRANSPARENT, IP_ORIGDSTADDR, IP_MINTTL, IP_BIND_ADDRESS_NO_PORT
    (0, 8, 0, Rule::Switch),
    (0, 12, 0, Rule::Switch),
    (0, 13, 0, Rule::Switch),
    (0, 15, 0, Rule::Switch),
    (0, 19, 0, Rule::Switch),
    (0, 20, 0, Rule::Switch),
    (0, 21, 0, Rule::Only(&[0])),
    (0, 24, 0, Rule::Switch),
    // IPV6_V6ONLY, IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS, IPV6_MINHOPCOUNT, IPV6_FREEBIND; IPV6_HOPLIMIT
    (41, 26, 0, Rule::Switch),
    (41, 49, 0, Rule::Switch),
    (41, 51, 0, Rule::Switch),
    (41, 66, 0, Rule::Switch),
    (41, 73, 0, Rule::Only(&[0])),
    (41, 78, 0, Rule::Switch),
    (41, 52, 0, Rule::Absent("ENOPROTOOPT")),
];

/// SO_PRIORITY: IP_TOS has a say in it.
pub const PRIORITY: (i64, i64) = (1, 12);
/// SO_ZEROCOPY.
pub const ZEROCOPY: (i64, i64) = (1, 60);
/// IPV6_V6ONLY.
pub const V6_ONLY: (i64, i64) = (41, 26);
/// TCP_SAVE_SYN.
pub const SAVE_SYN: (i64, i64) = (6, 27);

fn find(option: (i64, i64)) -> Option<&'static Kept> {
    KEPT.iter().find(|(level, name, ..)| (*level, *name) == option)
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
        Rule::Never(errno) | Rule::Absent(errno) => Err(Step::Errno(errno)),
    })
}

/// What is read of an option that has been given this, or nothing.
pub fn read(option: (i64, i64), given: Option<i64>) -> Result<i64, &'static str> {
    match find(option) {
        Some((.., Rule::Absent(errno))) => Err(errno),
        Some((_, _, first, _)) => Ok(given.unwrap_or(*first)),
        None => Err("ENOPROTOOPT"),
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
