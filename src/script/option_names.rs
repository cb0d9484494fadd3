//! Which socket options are there, and what do the bytes mean that they are given?

use super::{kept, keys};

/// The options that are known; a name outside is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name {
    ReuseAddr,
    ReusePort,
    Type,
    Error,
    SndBuf {
        force: bool,
    },
    RcvBuf {
        force: bool,
    },
    KeepAlive,
    Linger,
    OobInline,
    AcceptConn,
    Protocol,
    NoDelay,
    MaxSeg,
    Cork,
    KeepIdle,
    KeepIntvl,
    KeepCnt,
    SynCnt,
    Linger2,
    DeferAccept,
    WindowClamp,
    MaxPacingRate,
    QuickAck,
    Congestion,
    UserTimeout,
    Ttl,
    /// IP_TOS and IPV6_TCLASS.
    TrafficClass,
    NotsentLowat,
    Inq,
    /// SO_TIMESTAMPING.
    Stamping,
    /// SO_RCVLOWAT.
    RcvLowat,
    /// IP_MTU and IPV6_MTU.
    Mtu,
    FastOpen,
    FastOpenConnect,
    FastOpenKey,
    FastOpenNoCookie,
    /// SO_DOMAIN.
    Domain,
    /// IP_MTU_DISCOVER and IPV6_MTU_DISCOVER.
    MtuDiscover,
    /// IP_RECVERR and IPV6_RECVERR.
    RecvErr,
    RtoMax,
    RtoMin,
    DelackMax,
    /// TCP_THIN_LINEAR_TIMEOUTS.
    Thin,
    SavedSyn,
    /// TCP_CC_INFO: none of the algorithms here has anything to say.
    CcInfo,
    Md5Sig,
    Ulp,
    /// SO_BINDTODEVICE.
    Device,
    /// Without effect here.
    Kept,
}

/// What an option is set to or has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// An `int`.
    Int(i64),
    /// Bytes; a text without the zero behind it.
    Bytes(Vec<u8>),
    /// `struct linger`.
    Linger {
        /// Whether it lingers at all.
        on: bool,
        /// For how many seconds.
        seconds: i64,
    },
}

impl Value {
    /// What the bytes given to an option mean.
    ///
    /// # Errors
    /// EINVAL, if they are too few.
    pub fn from_bytes((level, option): (i64, i64), data: &[u8]) -> Result<Value, &'static str> {
        let int = |at: usize| {
            let bytes = data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(|bytes| i64::from(i32::from_ne_bytes(bytes))).ok_or("EINVAL")
        };
        Ok(match (name(level, option), data) {
            (Some(Name::Congestion), []) => return Err("EINVAL"),
            (Some(Name::Congestion | Name::Md5Sig | Name::Ulp | Name::FastOpenKey | Name::Device), data) => {
                Value::Bytes(data.to_vec())
            }
            (Some(Name::Linger), _) => Value::Linger { on: int(0)? != 0, seconds: int(4)? },
            // Those of IP take a byte, too, and most of them nothing for 0.
            (_, []) if matches!((level, option), (0, 2 | 15 | 19 | 21)) => return Err("EINVAL"),
            (_, []) if level == 0 => Value::Int(0),
            (_, [byte, ..]) if level == 0 && data.len() < 4 => Value::Int(i64::from(*byte)),
            _ => Value::Int(int(0)?),
        })
    }

    /// As a program gives or reads it.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Value::Int(value) => (*value as i32).to_ne_bytes().to_vec(),
            Value::Linger { on, seconds } => {
                [i32::from(*on).to_ne_bytes(), (*seconds as i32).to_ne_bytes()].concat()
            }
            // The names of algorithms fill sixteen bytes.
            Value::Bytes(data) if data.is_empty() => Vec::new(),
            Value::Bytes(data) => {
                let mut data = data.clone();
                data.resize(data.len().max(16), 0);
                data
            }
        }
    }
}

pub(super) fn name(level: i64, option: i64) -> Option<Name> {
    Some(match (level, option) {
        (1, 2) => Name::ReuseAddr,
        (1, 15) => Name::ReusePort,
        (1, 3) => Name::Type,
        (1, 4) => Name::Error,
        (1, 7) => Name::SndBuf { force: false },
        (1, 8) => Name::RcvBuf { force: false },
        (1, 32) => Name::SndBuf { force: true },
        (1, 33) => Name::RcvBuf { force: true },
        (1, 9) => Name::KeepAlive,
        (1, 10) => Name::OobInline,
        (1, 13) => Name::Linger,
        (1, 30) => Name::AcceptConn,
        (1, 18) => Name::RcvLowat,
        (1, 25) => Name::Device,
        (1, 47) => Name::MaxPacingRate,
        (1, 37 | 65) => Name::Stamping,
        (1, 38) => Name::Protocol,
        (1, 39) => Name::Domain,
        (6, 1) => Name::NoDelay,
        (6, 2) => Name::MaxSeg,
        (6, 3) => Name::Cork,
        (6, 4) => Name::KeepIdle,
        (6, 5) => Name::KeepIntvl,
        (6, 6) => Name::KeepCnt,
        (6, 7) => Name::SynCnt,
        (6, 8) => Name::Linger2,
        (6, 9) => Name::DeferAccept,
        (6, 10) => Name::WindowClamp,
        (6, 12) => Name::QuickAck,
        (6, 13) => Name::Congestion,
        (6, 18) => Name::UserTimeout,
        (6, 25) => Name::NotsentLowat,
        (6, 36) => Name::Inq,
        (6, 14 | keys::EXTENDED) => Name::Md5Sig,
        (6, 16) => Name::Thin,
        (6, 26) => Name::CcInfo,
        (6, 28) => Name::SavedSyn,
        (6, 31) => Name::Ulp,
        (6, 44) => Name::RtoMax,
        (6, 45) => Name::RtoMin,
        (6, 46) => Name::DelackMax,
        (0, 10) | (41, 23) => Name::MtuDiscover,
        (0, 11) | (41, 25) => Name::RecvErr,
        // IPV6_UNICAST_HOPS
        (0, 2) | (41, 16) => Name::Ttl,
        (0, 1) | (41, 67) => Name::TrafficClass,
        (0, 14) | (41, 24) => Name::Mtu,
        (6, 23) => Name::FastOpen,
        (6, 30) => Name::FastOpenConnect,
        (6, 33) => Name::FastOpenKey,
        (6, 34) => Name::FastOpenNoCookie,
        option if kept::is_kept(option) => Name::Kept,
        _ => return None,
    })
}

/// Congestion control algorithms that Linux has besides.
pub(super) const ALGORITHMS_OF_LINUX: &[&str] = &[
    "bbr",
    "bbr2",
    "bbr3",
    "bic",
    "cdg",
    "dctcp",
    "highspeed",
    "htcp",
    "hybla",
    "illinois",
    "lp",
    "nv",
    "prague",
    "scalable",
    "vegas",
    "veno",
    "westwood",
    "yeah",
];

/// Whether there is such an option here.
pub fn is_known(level: i64, option: i64) -> bool {
    name(level, option).is_some()
}

/// Whether Linux has an option that is not here.
pub fn is_linux(level: i64, option: i64) -> bool {
    kept::REFUSED.contains(&(level, option))
}
