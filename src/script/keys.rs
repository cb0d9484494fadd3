//! What does a program say with `struct tcp_md5sig`? TCP_MD5SIG and TCP_MD5SIG_EXT as Linux reads them.

use crate::segment::Key;
use crate::stack::Keyring;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// TCP_MD5SIG_EXT, where flags count.
pub const EXTENDED: i64 = 32;
/// The structure: an address in 128 bytes, flags, prefix, length, device, and the key in 80 bytes.
const SIZE: usize = 216;
const PREFIX: u8 = 1;
const DEVICE: u8 = 2;

/// A key to add, or none to take the network's away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    network: IpAddr,
    prefix: u8,
    key: Option<Key>,
}

/// Reads the structure for a socket of family `domain`.
///
/// # Errors
/// EINVAL, for another family's address, a prefix that is too long, a device (there is none that forwards), a key that is too
/// long, or too few bytes.
pub fn read(bytes: &[u8], extended: bool, domain: i64) -> Result<Change, &'static str> {
    let bytes = bytes.get(..SIZE).ok_or("EINVAL")?;
    let family = u16::from_ne_bytes([bytes[0], bytes[1]]);
    if i64::from(family) != domain {
        return Err("EINVAL");
    }
    let network: IpAddr = match domain {
        10 => Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[8..24]).unwrap_or_default()).into(),
        _ => Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[4..8]).unwrap_or_default()).into(),
    };
    let network = network.to_canonical();
    let (flags, prefix) = (if extended { bytes[128] } else { 0 }, bytes[129]);
    let most = if network.is_ipv4() { 32 } else { 128 };
    let prefix = match flags & PREFIX != 0 {
        true if prefix > most => return Err("EINVAL"),
        true => prefix,
        false => most,
    };
    if flags & DEVICE != 0 {
        return Err("EINVAL");
    }
    let len = usize::from(u16::from_ne_bytes([bytes[130], bytes[131]]));
    let key = match len {
        0 => None,
        len => Some(bytes.get(136..136 + len).and_then(Key::new).ok_or("EINVAL")?),
    };
    Ok(Change { network, prefix, key })
}

/// Does it.
///
/// # Errors
/// ENOENT, if there is no key to take away.
pub fn change(keys: &mut Keyring, change: &Change) -> Result<(), &'static str> {
    match change.key {
        Some(key) => keys.insert(change.network, change.prefix, key),
        None if keys.remove(change.network, change.prefix) => {}
        None => return Err("ENOENT"),
    }
    Ok(())
}
