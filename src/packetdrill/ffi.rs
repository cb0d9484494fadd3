//! What does each function of packetdrill's table do? C's values become ours here.
#![allow(unsafe_code)]

use super::asserts;
use super::host::{AF_INET, AF_INET6, number as errno};
use super::machine::{Answer, Errno, Machine, Request};
use super::memory::{address, bytes, explain, receive, stamping, transmit, vector};
use crate::script::sockopts::Value;
use crate::time::Duration;
use libc::{
    c_int, c_longlong, c_uint, c_ulong, c_void, epoll_event, iovec, msghdr, nfds_t, pollfd, size_t, sockaddr,
    socklen_t, ssize_t, timeval,
};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{mem, ptr, slice};

const EBADF: Errno = libc::EBADF;
const EFAULT: Errno = libc::EFAULT;
const EINVAL: Errno = libc::EINVAL;
const TCP_CM_INQ: c_int = 36;

/// Runs a call on the machine; a panic is an errno. -1 and errno if it failed.
///
/// # Safety
/// `userdata` is what `packetdrill_interface_init` put into the table, and `free` was not called.
unsafe fn enter(userdata: *mut c_void, call: impl FnOnce(&Machine) -> Result<i64, Errno>) -> i64 {
    // SAFETY: the caller's promise.
    let machine = unsafe { &*userdata.cast::<Machine>() };
    let result = catch_unwind(AssertUnwindSafe(|| call(machine))).unwrap_or(Err(libc::EIO));
    result.unwrap_or_else(|errno| {
        // SAFETY: the C library gives each thread its errno.
        unsafe { *libc::__errno_location() = errno };
        -1
    })
}

pub fn value(answer: Result<Answer, Errno>) -> Result<i64, Errno> {
    match answer? {
        Answer::Value(value) => Ok(value),
        Answer::Bytes(bytes, _) => Ok(bytes.len() as i64),
        Answer::Ready(_) | Answer::Events(_) => Err(EINVAL),
    }
}

/// # Safety
/// Called once, last.
pub unsafe extern "C" fn free(userdata: *mut c_void) {
    asserts::answer_for(ptr::null_mut());
    // SAFETY: the pointer came from Box::into_raw, and nobody uses it after this.
    let machine = unsafe { Box::from_raw(userdata.cast::<Machine>()) };
    let _ = catch_unwind(AssertUnwindSafe(|| machine.finish()));
}

// In each of the following the pointers are packetdrill's own, as valid as those that it gives to the system call of the
// same name: that is the safety of all of them.

pub unsafe extern "C" fn socket(userdata: *mut c_void, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: see above.
    unsafe { enter(userdata, |m| value(m.socket(domain as u16, kind.into(), protocol.into()))) as c_int }
}

pub unsafe extern "C" fn bind(
    userdata: *mut c_void,
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: see above.
    unsafe { enter(userdata, |m| value(m.bind(fd.into(), address(addr, len)?))) as c_int }
}

pub unsafe extern "C" fn listen(userdata: *mut c_void, fd: c_int, backlog: c_int) -> c_int {
    // SAFETY: see above.
    unsafe { enter(userdata, |m| value(m.listen(fd.into(), backlog.into()))) as c_int }
}

pub unsafe extern "C" fn accept(
    userdata: *mut c_void,
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    let call = |m: &Machine| {
        let new = value(m.call(Request::Accept { fd: fd.into(), nonblock: false }))?;
        let Some(peer) = m.peer(new).filter(|_| !addr.is_null() && !len.is_null()) else { return Ok(new) };
        // SAFETY: `addr` has room for `*len` bytes, of which no more are written.
        unsafe {
            let room = *len as usize;
            let put = |from: *const u8, size: usize| {
                ptr::copy_nonoverlapping(from, addr.cast(), size.min(room));
                *len = size as socklen_t;
            };
            match peer {
                SocketAddr::V4(v4) => {
                    let mut out: libc::sockaddr_in = mem::zeroed();
                    out.sin_family = AF_INET;
                    out.sin_port = v4.port().to_be();
                    out.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
                    put((&raw const out).cast(), mem::size_of_val(&out));
                }
                SocketAddr::V6(v6) => {
                    let mut out: libc::sockaddr_in6 = mem::zeroed();
                    out.sin6_family = AF_INET6;
                    out.sin6_port = v6.port().to_be();
                    out.sin6_addr.s6_addr = v6.ip().octets();
                    put((&raw const out).cast(), mem::size_of_val(&out));
                }
            }
        }
        Ok(new)
    };
    // SAFETY: see above.
    unsafe { enter(userdata, call) as c_int }
}

pub unsafe extern "C" fn connect(
    userdata: *mut c_void,
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    let call = |m: &Machine| {
        // SAFETY: see above.
        let family = unsafe { addr.as_ref() }.map(|addr| c_int::from(addr.sa_family));
        if family == Some(libc::AF_UNSPEC) {
            return value(m.disconnect(fd.into()));
        }
        // SAFETY: see above.
        value(m.call(Request::Connect { fd: fd.into(), addr: unsafe { address(addr, len) }? }))
    };
    // SAFETY: see above.
    unsafe { enter(userdata, call) as c_int }
}

pub unsafe extern "C" fn read(userdata: *mut c_void, fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t {
    // Unlike `recv`, it need not wait for nothing.
    if len == 0 {
        // SAFETY: see above.
        return unsafe { enter(userdata, |m| m.knows(fd.into()).then_some(0).ok_or(EBADF)) as ssize_t };
    }
    // SAFETY: see above.
    unsafe { recv(userdata, fd, buf, len, 0) }
}

pub unsafe extern "C" fn readv(
    userdata: *mut c_void,
    fd: c_int,
    parts: *const iovec,
    count: c_int,
) -> ssize_t {
    // SAFETY: see above.
    unsafe { enter(userdata, |m| Ok(receive(m, fd, vector(parts, count.max(0) as usize)?, 0)?.0)) as ssize_t }
}

pub unsafe extern "C" fn recv(
    userdata: *mut c_void,
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    let part = iovec { iov_base: buf, iov_len: len };
    // SAFETY: see above.
    unsafe { enter(userdata, |m| Ok(receive(m, fd, &[part], flags)?.0)) as ssize_t }
}

pub unsafe extern "C" fn recvfrom(
    userdata: *mut c_void,
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
    _: *mut sockaddr,
    addr_len: *mut socklen_t,
) -> ssize_t {
    // SAFETY: see above. Streams have no address to report.
    unsafe {
        if !addr_len.is_null() {
            *addr_len = 0;
        }
        recv(userdata, fd, buf, len, flags)
    }
}

pub unsafe extern "C" fn recvmsg(
    userdata: *mut c_void,
    fd: c_int,
    msg: *mut msghdr,
    flags: c_int,
) -> ssize_t {
    let call = |m: &Machine| {
        // SAFETY: see above.
        let msg = unsafe { msg.as_mut() }.ok_or(EFAULT)?;
        if flags & libc::MSG_ERRQUEUE != 0 {
            let notice = m.notice(fd.into())?;
            // SAFETY: packetdrill's own message.
            return unsafe { explain(msg, &notice, m.is_v6(fd.into())) };
        }
        // SAFETY: see above.
        let (count, inq) = unsafe { receive(m, fd, vector(msg.msg_iov, msg.msg_iovlen)?, flags)? };
        msg.msg_flags = 0;
        let size = mem::size_of::<c_int>();
        // SAFETY: CMSG_SPACE and CMSG_LEN only calculate.
        let (space, len) = unsafe { (libc::CMSG_SPACE(size as c_uint), libc::CMSG_LEN(size as c_uint)) };
        match inq {
            Some(inq) if !msg.msg_control.is_null() && msg.msg_controllen >= space as usize => {
                msg.msg_controllen = space as usize;
                // SAFETY: the control buffer has room for one message with an int.
                unsafe {
                    let head = libc::CMSG_FIRSTHDR(msg);
                    (*head).cmsg_level = libc::SOL_TCP;
                    (*head).cmsg_type = TCP_CM_INQ;
                    (*head).cmsg_len = len as usize;
                    libc::CMSG_DATA(head).cast::<c_int>().write_unaligned(inq as c_int);
                }
            }
            _ => msg.msg_controllen = 0,
        }
        Ok(count)
    };
    // SAFETY: see above.
    unsafe { enter(userdata, call) as ssize_t }
}

pub unsafe extern "C" fn write(userdata: *mut c_void, fd: c_int, buf: *const c_void, len: size_t) -> ssize_t {
    // SAFETY: see above.
    unsafe { send(userdata, fd, buf, len, 0) }
}

pub unsafe extern "C" fn writev(
    userdata: *mut c_void,
    fd: c_int,
    parts: *const iovec,
    count: c_int,
) -> ssize_t {
    // SAFETY: see above.
    unsafe {
        enter(userdata, |m| transmit(m, fd, vector(parts, count.max(0) as usize)?, 0, (None, None)))
            as ssize_t
    }
}

pub unsafe extern "C" fn send(
    userdata: *mut c_void,
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    let part = iovec { iov_base: buf.cast_mut(), iov_len: len };
    // SAFETY: see above.
    unsafe { enter(userdata, |m| transmit(m, fd, &[part], flags, (None, None))) as ssize_t }
}

pub unsafe extern "C" fn sendto(
    userdata: *mut c_void,
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
    to: *const sockaddr,
    to_len: socklen_t,
) -> ssize_t {
    let part = iovec { iov_base: buf.cast_mut(), iov_len: len };
    let call = |m: &Machine| {
        // SAFETY: see above. Without MSG_FASTOPEN a connection has its address already.
        let to = if flags & libc::MSG_FASTOPEN == 0 { None } else { Some(unsafe { address(to, to_len) }?) };
        // SAFETY: see above.
        unsafe { transmit(m, fd, &[part], flags, (to, None)) }
    };
    // SAFETY: see above.
    unsafe { enter(userdata, call) as ssize_t }
}

pub unsafe extern "C" fn sendmsg(
    userdata: *mut c_void,
    fd: c_int,
    msg: *const msghdr,
    flags: c_int,
) -> ssize_t {
    let call = |m: &Machine| {
        // SAFETY: see above.
        let msg = unsafe { msg.as_ref() }.ok_or(EFAULT)?;
        // SAFETY: the message is the caller's.
        let record = unsafe { stamping(msg) }?;
        // SAFETY: see above.
        unsafe {
            let to = match flags & libc::MSG_FASTOPEN {
                0 => None,
                _ => Some(address(msg.msg_name.cast(), msg.msg_namelen)?),
            };
            transmit(m, fd, vector(msg.msg_iov, msg.msg_iovlen)?, flags, (to, record))
        }
    };
    // SAFETY: see above.
    unsafe { enter(userdata, call) as ssize_t }
}

pub unsafe extern "C" fn fcntl(userdata: *mut c_void, fd: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: see above. An int was passed in a register of a pointer's size, whose upper half says nothing.
    unsafe {
        enter(userdata, |m| value(m.fcntl(fd.into(), command.into(), (argument as c_int).into()))) as c_int
    }
}

pub unsafe extern "C" fn ioctl(userdata: *mut c_void, fd: c_int, request: c_ulong, argument: usize) -> c_int {
    let call = |m: &Machine| {
        let at = argument as *mut c_int;
        if at.is_null() {
            return Err(EFAULT);
        }
        // SAFETY: all requests that are known take a pointer to an int.
        let given = unsafe { at.read_unaligned() };
        if let Some(seen) = m.ioctl(fd.into(), request as i64, given.into())? {
            // SAFETY: as above.
            unsafe { at.write_unaligned(seen as c_int) };
        }
        Ok(0)
    };
    // SAFETY: see above.
    unsafe { enter(userdata, call) as c_int }
}

pub unsafe extern "C" fn close(userdata: *mut c_void, fd: c_int) -> c_int {
    // SAFETY: see above. The kernel's descriptor stays open, so that its number is not given to another.
    unsafe { enter(userdata, |m| value(m.call(Request::Close { fd: fd.into() }))) as c_int }
}

pub unsafe extern "C" fn shutdown(userdata: *mut c_void, fd: c_int, how: c_int) -> c_int {
    // SAFETY: see above.
    unsafe { enter(userdata, |m| value(m.shutdown(fd.into(), how.into()))) as c_int }
}

pub unsafe extern "C" fn getsockopt(
    userdata: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    out: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    let call = |m: &Machine| {
        if out.is_null() || len.is_null() {
            return Err(EFAULT);
        }
        // SAFETY: it is no null pointer.
        let room = unsafe { *len } as usize;
        let seen = m.getsockopt(fd.into(), (level.into(), name.into()), room)?;
        let data = seen.to_bytes();
        // SAFETY: `out` has room for `*len` bytes, of which no more are written.
        unsafe {
            let count = data.len().min(*len as usize);
            ptr::copy_nonoverlapping(data.as_ptr(), out.cast(), count);
            *len = count as socklen_t;
        }
        Ok(0)
    };
    // SAFETY: see above.
    unsafe { enter(userdata, call) as c_int }
}

pub unsafe extern "C" fn setsockopt(
    userdata: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    given: *const c_void,
    len: socklen_t,
) -> c_int {
    let call = |m: &Machine| {
        // SAFETY: see above.
        let data = unsafe { bytes(given, len as usize) }?;
        let option = (level.into(), name.into());
        let value = Value::from_bytes(option, data).map_err(errno)?;
        self::value(m.setsockopt(fd.into(), option, &value))
    };
    // SAFETY: see above.
    unsafe { enter(userdata, call) as c_int }
}

pub unsafe extern "C" fn poll(
    userdata: *mut c_void,
    fds: *mut pollfd,
    count: nfds_t,
    timeout: c_int,
) -> c_int {
    let call = |m: &Machine| {
        if fds.is_null() || count > 1024 {
            return Err(EINVAL);
        }
        // SAFETY: see above.
        let fds = unsafe { slice::from_raw_parts_mut(fds, count as usize) };
        let entries = fds.iter().map(|fd| (fd.fd.into(), fd.events.into())).collect();
        let Answer::Ready(ready) = m.call(Request::Poll { entries, timeout: timeout.into() })? else {
            return Err(EINVAL);
        };
        for (fd, bits) in fds.iter_mut().zip(&ready) {
            fd.revents = *bits as i16;
        }
        Ok(ready.iter().filter(|bits| **bits != 0).count() as i64)
    };
    // SAFETY: see above.
    unsafe { enter(userdata, call) as c_int }
}

pub unsafe extern "C" fn netdev_send(userdata: *mut c_void, buf: *const c_void, len: size_t) -> c_int {
    // SAFETY: see above.
    unsafe {
        enter(userdata, |m| {
            m.inject(bytes(buf, len)?);
            Ok(0)
        }) as c_int
    }
}

pub unsafe extern "C" fn netdev_receive(
    userdata: *mut c_void,
    buf: *mut c_void,
    len: *mut size_t,
    time: *mut c_longlong,
) -> c_int {
    let call = |m: &Machine| {
        let (packet, at) = m.sniff().unwrap_or((Vec::new(), m.time()));
        // SAFETY: `buf` has room for `*len` bytes, of which no more are written.
        unsafe {
            let count = packet.len().min(*len);
            ptr::copy_nonoverlapping(packet.as_ptr(), buf.cast(), count);
            *len = count;
            *time = at.as_micros() as c_longlong;
        }
        Ok(0)
    };
    // SAFETY: see above.
    unsafe { enter(userdata, call) as c_int }
}

pub unsafe extern "C" fn usleep(userdata: *mut c_void, micros: c_uint) -> c_int {
    // SAFETY: see above.
    unsafe {
        enter(userdata, |m| {
            m.sleep(Duration::from_micros(micros.into()));
            Ok(0)
        }) as c_int
    }
}

pub unsafe extern "C" fn gettimeofday(userdata: *mut c_void, out: *mut timeval, _: *mut c_void) -> c_int {
    let call = |m: &Machine| {
        let micros = m.time().as_micros();
        // SAFETY: see above.
        let out = unsafe { out.as_mut() }.ok_or(EFAULT)?;
        out.tv_sec = (micros / 1_000_000) as libc::time_t;
        out.tv_usec = (micros % 1_000_000) as libc::suseconds_t;
        Ok(0)
    };
    // SAFETY: see above.
    unsafe { enter(userdata, call) as c_int }
}

pub unsafe extern "C" fn epoll_create(userdata: *mut c_void, _: c_int) -> c_int {
    // SAFETY: see above.
    unsafe { enter(userdata, |m| value(m.epoll_create())) as c_int }
}

pub unsafe extern "C" fn epoll_ctl(
    userdata: *mut c_void,
    epoll: c_int,
    op: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    // SAFETY: see above.
    let event = unsafe { event.as_ref() }.map_or((0, 0), |event| (i64::from(event.events), event.u64));
    // SAFETY: see above.
    unsafe { enter(userdata, |m| value(m.epoll_ctl(epoll.into(), op.into(), fd.into(), event))) as c_int }
}

pub unsafe extern "C" fn epoll_wait(
    userdata: *mut c_void,
    epoll: c_int,
    out: *mut epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    let call = |m: &Machine| {
        let request = Request::EpollWait { fd: epoll.into(), most: most.into(), timeout: timeout.into() };
        let Answer::Events(seen) = m.call(request)? else { return Err(EBADF) };
        for (at, (bits, data)) in seen.iter().enumerate() {
            // SAFETY: there are no more than `most`, for which there is room.
            unsafe { out.add(at).write_unaligned(epoll_event { events: *bits as u32, u64: *data }) };
        }
        Ok(seen.len() as i64)
    };
    // SAFETY: see above.
    unsafe { enter(userdata, call) as c_int }
}

pub unsafe extern "C" fn pipe(userdata: *mut c_void, ends: *mut c_int) -> c_int {
    let call = |m: &Machine| {
        let made = m.pipe()?;
        for (n, fd) in made.into_iter().enumerate() {
            // SAFETY: there is room for two.
            unsafe { ends.add(n).write_unaligned(fd as c_int) };
        }
        Ok(0)
    };
    // SAFETY: see above.
    unsafe { enter(userdata, call) as c_int }
}

pub unsafe extern "C" fn splice(
    userdata: *mut c_void,
    from: c_int,
    _: *mut i64,
    to: c_int,
    _: *mut i64,
    len: size_t,
    flags: c_uint,
) -> c_int {
    let request = Request::Splice { ends: (from.into(), to.into()), len, flags: flags.into() };
    // SAFETY: see above.
    unsafe { enter(userdata, |m| value(m.call(request))) as c_int }
}
