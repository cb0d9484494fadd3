//! How do C's buffers and messages become ours, and the other way round?
#![allow(unsafe_code)]

use super::ffi::value;
use super::host::{AF_INET, AF_INET6};
use super::machine::{Answer, Errno, Machine, Request};
use crate::script::errqueue::Notice;
use libc::{c_int, c_uint, c_void, iovec, msghdr, sockaddr, socklen_t};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::{mem, ptr, slice};

const EFAULT: Errno = libc::EFAULT;
const EINVAL: Errno = libc::EINVAL;
/// Larger buffers than any script has; a length beyond is no length.
const MAX_LEN: usize = 1 << 30;

/// # Safety
/// `addr` points to `len` bytes.
pub unsafe fn address(addr: *const sockaddr, len: socklen_t) -> Result<SocketAddr, Errno> {
    if addr.is_null() || (len as usize) < mem::size_of::<libc::sockaddr_in>() {
        return Err(EINVAL);
    }
    // SAFETY: there are at least as many bytes as sockaddr_in has, and any alignment will do.
    let v4 = unsafe { addr.cast::<libc::sockaddr_in>().read_unaligned() };
    match v4.sin_family {
        AF_INET => {
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Ok(SocketAddr::new(ip.into(), u16::from_be(v4.sin_port)))
        }
        AF_INET6 if len as usize >= mem::size_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above, with the length of sockaddr_in6.
            let v6 = unsafe { addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            let ip = IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)).to_canonical();
            Ok(SocketAddr::new(ip, u16::from_be(v6.sin6_port)))
        }
        _ => Err(libc::EAFNOSUPPORT),
    }
}

/// # Safety
/// `buf` points to `len` bytes.
pub unsafe fn bytes<'a>(buf: *const c_void, len: usize) -> Result<&'a [u8], Errno> {
    match len {
        0 => Ok(&[]),
        1..=MAX_LEN if !buf.is_null() => {
            // SAFETY: the caller's promise.
            Ok(unsafe { slice::from_raw_parts(buf.cast(), len) })
        }
        _ => Err(EFAULT),
    }
}

/// # Safety
/// `parts` points to `count` vectors that are valid themselves.
pub unsafe fn vector<'a>(parts: *const iovec, count: usize) -> Result<&'a [iovec], Errno> {
    if count == 0 {
        return Ok(&[]);
    }
    if parts.is_null() || count > 1024 {
        return Err(EINVAL);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { slice::from_raw_parts(parts, count) })
}

/// Receives into several buffers; the second value is what TCP_INQ reports.
///
/// # Safety
/// The vectors are valid.
pub unsafe fn receive(
    machine: &Machine,
    fd: c_int,
    parts: &[iovec],
    flags: c_int,
) -> Result<(i64, Option<i64>), Errno> {
    let len = parts.iter().map(|part| part.iov_len).fold(0, usize::saturating_add).min(MAX_LEN);
    let nowhere = parts.iter().any(|part| part.iov_base.is_null() && part.iov_len > 0);
    if nowhere && flags & libc::MSG_TRUNC == 0 && machine.has_something(fd.into()) {
        return Err(EFAULT);
    }
    let request = Request::Receive { fd: fd.into(), len, flags: flags.into() };
    let Answer::Bytes(data, inq) = machine.call(request)? else { return Err(EINVAL) };
    let mut rest = data.as_slice();
    for part in parts {
        let (now, later) = rest.split_at(part.iov_len.min(rest.len()));
        if !now.is_empty() && !part.iov_base.is_null() {
            // SAFETY: the caller's buffer has iov_len bytes, no less than `now`.
            unsafe { ptr::copy_nonoverlapping(now.as_ptr(), part.iov_base.cast(), now.len()) };
        }
        rest = later;
    }
    Ok((data.len() as i64, inq))
}

/// # Safety
/// The vectors are valid.
pub unsafe fn transmit(
    machine: &Machine,
    fd: c_int,
    parts: &[iovec],
    flags: c_int,
    (to, record): (Option<SocketAddr>, Option<i64>),
) -> Result<i64, Errno> {
    let mut data = Vec::new();
    for part in parts {
        // SAFETY: the caller's promise.
        data.extend_from_slice(unsafe { bytes(part.iov_base, part.iov_len) }?);
    }
    value(machine.call(Request::Send { fd: fd.into(), data, flags: flags.into(), to, record }))
}

/// Writes a message of the error queue as control messages.
///
/// # Safety
/// The message's control buffer is as long as it says.
pub unsafe fn explain(msg: &mut msghdr, notice: &Notice, v6: bool) -> Result<i64, Errno> {
    let mut controls = Vec::new();
    msg.msg_flags = libc::MSG_ERRQUEUE;
    if let Notice::Stamp { at, packet, .. } = notice {
        if let Some(at) = at {
            // Three times: the first is the software's.
            let micros = at.as_micros() as i64;
            let times = [micros / 1_000_000, micros % 1_000_000 * 1000, 0, 0, 0, 0];
            let data: Vec<u8> = times.iter().flat_map(|n| n.to_ne_bytes()).collect();
            controls.push((libc::SOL_SOCKET, libc::SO_TIMESTAMPING, data));
        }
        if *packet {
            msg.msg_flags |= libc::MSG_TRUNC;
        }
    }
    let [errno, origin, kind, code, info, data] = notice.extended();
    let mut error = (errno as u32).to_ne_bytes().to_vec();
    error.extend([origin as u8, kind as u8, code as u8, 0]);
    error.extend((info as u32).to_ne_bytes());
    error.extend((data as u32).to_ne_bytes());
    // An address follows, which nobody has.
    let address = if v6 { mem::size_of::<libc::sockaddr_in6>() } else { mem::size_of::<libc::sockaddr_in>() };
    error.resize(error.len() + address, 0);
    controls.push(if v6 {
        (libc::SOL_IPV6, libc::IPV6_RECVERR, error)
    } else {
        (libc::SOL_IP, libc::IP_RECVERR, error)
    });
    let room = if msg.msg_control.is_null() { 0 } else { msg.msg_controllen };
    let mut used = 0;
    for (level, kind, data) in controls {
        // SAFETY: both only calculate.
        let (space, len) =
            unsafe { (libc::CMSG_SPACE(data.len() as c_uint), libc::CMSG_LEN(data.len() as c_uint)) };
        if used + space as usize > room {
            msg.msg_flags |= libc::MSG_CTRUNC;
            break;
        }
        let head = libc::cmsghdr { cmsg_len: len as usize, cmsg_level: level, cmsg_type: kind };
        // SAFETY: there is room for a header and the data behind `used`.
        unsafe {
            let at = msg.msg_control.cast::<u8>().add(used);
            at.cast::<libc::cmsghdr>().write_unaligned(head);
            let start = len as usize - data.len();
            ptr::copy_nonoverlapping(data.as_ptr(), at.add(start), data.len());
        }
        used += space as usize;
    }
    msg.msg_controllen = used;
    Ok(0)
}

/// SO_TIMESTAMPING's flags, if a control message has them: no other is known.
///
/// # Safety
/// The message's control buffer is as long as it says.
pub unsafe fn stamping(msg: &msghdr) -> Result<Option<i64>, Errno> {
    let mut record = None;
    // SAFETY: both stay within the control buffer.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(msg) };
    // SAFETY: a header is there if the pointer is not null.
    while let Some(head) = unsafe { at.as_ref() } {
        if (head.cmsg_level, head.cmsg_type) != (libc::SOL_SOCKET, libc::SO_TIMESTAMPING) {
            eprintln!("UNSUPPORTED by tcpglass: the control message {} of sendmsg", head.cmsg_type);
            return Err(EINVAL);
        }
        // SAFETY: its data is four bytes at the least.
        record = Some(unsafe { libc::CMSG_DATA(at).cast::<c_uint>().read_unaligned() }.into());
        // SAFETY: as above.
        at = unsafe { libc::CMSG_NXTHDR(msg, at) };
    }
    Ok(record)
}
