//! Which calls to the kernel have no safe wrapper? The only file with unsafe code, but for the plug-in's C boundary.
#![allow(unsafe_code)]

use rustix::ioctl::{IntegerSetter, Opcode, Setter, Updater, ioctl, opcode};
use rustix::thread::UnshareFlags;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether there was no standard output when the program was started.
static NO_STDOUT: AtomicBool = AtomicBool::new(false);

/// Runs before Rust's runtime, which puts /dev/null in the place of what is closed.
// SAFETY: the section holds pointers to functions that the C library calls before `main`, with arguments that this one
// need not take.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = {
    extern "C" fn look() {
        // SAFETY: the borrow asks whether the number is a descriptor, and ends before anybody can close it.
        let stdout = unsafe { BorrowedFd::borrow_raw(1) };
        NO_STDOUT.store(rustix::io::fcntl_getfd(stdout).is_err(), Ordering::Relaxed);
    }
    look
};

/// Whether this program was started without a standard output (`>&-`), so that what is written there would be lost
/// without an error.
pub fn started_without_stdout() -> bool {
    NO_STDOUT.load(Ordering::Relaxed)
}

/// `struct ifreq` of `netdevice(7)`: a name and a union of at most 24 bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Default)]
pub(super) struct InterfaceRequest {
    /// The name, filled up with zeros.
    pub name: [u8; 16],
    /// What the request sets or what the kernel answers, in the host's byte order.
    pub value: [u8; 24],
}

/// `struct in6_ifreq` of `linux/ipv6.h`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Inet6Request {
    /// The address.
    pub addr: [u8; 16],
    /// Its prefix length in bits.
    pub prefix: u32,
    /// The interface's index.
    pub index: i32,
}

/// A request about an interface: its code in `linux/sockios.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Request {
    Flags,
    SetFlags,
    SetAddress,
    SetNetmask,
    Mtu,
    SetMtu,
}

/// Asks the kernel about the interface named in `req`; the answer is in `req.value`.
pub(super) fn interface(socket: impl AsFd, request: Request, req: &mut InterfaceRequest) -> io::Result<()> {
    fn call<const CODE: Opcode>(socket: impl AsFd, req: &mut InterfaceRequest) -> io::Result<()> {
        // SAFETY: every code below takes a `struct ifreq`, which InterfaceRequest has the size and alignment of.
        Ok(unsafe { ioctl(socket, Updater::<CODE, _>::new(req)) }?)
    }
    match request {
        Request::Flags => call::<0x8913>(socket, req),
        Request::SetFlags => call::<0x8914>(socket, req),
        Request::SetAddress => call::<0x8916>(socket, req),
        Request::SetNetmask => call::<0x891c>(socket, req),
        Request::Mtu => call::<0x8921>(socket, req),
        Request::SetMtu => call::<0x8922>(socket, req),
    }
}

/// Adds an IPv6 address (`SIOCSIFADDR` on an AF_INET6 socket).
pub(super) fn add_inet6(socket: impl AsFd, req: Inet6Request) -> io::Result<()> {
    // SAFETY: SIOCSIFADDR on an AF_INET6 socket reads a `struct in6_ifreq`.
    Ok(unsafe { ioctl(socket, Setter::<0x8916, _>::new(req)) }?)
}

/// The device's descriptor.
pub(super) fn fd(iface: &tun_tap::Iface) -> BorrowedFd<'_> {
    // SAFETY: the interface owns the descriptor and keeps it open for as long as the borrow lasts.
    unsafe { BorrowedFd::borrow_raw(iface.as_raw_fd()) }
}

/// Attaches a descriptor of /dev/net/tun to the interface in `req.name`, with the flags in `req.value` (`TUNSETIFF`); the
/// kernel answers with the name.
pub(super) fn attach(tun: impl AsFd, req: &mut InterfaceRequest) -> io::Result<()> {
    const TUNSETIFF: Opcode = opcode::write::<i32>(b'T', 202);
    // SAFETY: TUNSETIFF takes a `struct ifreq`, which InterfaceRequest has the size and alignment of, and writes it back.
    Ok(unsafe { ioctl(tun, Updater::<TUNSETIFF, _>::new(req)) }?)
}

/// Says which offloads the program does (`TUNSETOFFLOAD`, bits of `linux/if_tun.h`): the mask belongs to the device and
/// outlives its last user.
pub(super) fn set_offload(tun: impl AsFd, mask: u32) -> io::Result<()> {
    const TUNSETOFFLOAD: Opcode = opcode::write::<u32>(b'T', 208);
    // SAFETY: TUNSETOFFLOAD takes a bit mask by value.
    Ok(unsafe { ioctl(tun, IntegerSetter::<TUNSETOFFLOAD>::new_usize(mask as usize)) }?)
}

/// Moves this thread (for user namespaces: this process, which then must have one thread) into new namespaces.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: FILES, the one flag that can pull descriptors away from under other threads, is never asked for.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Runs `probe` in a forked child, for what would change this process; nothing is executed there.
/// Returns the number that `probe` returns.
pub(super) fn in_forked_child(probe: fn() -> u16) -> io::Result<u16> {
    // A child whose preparation fails is never executed, and std brings the error's number to the parent: it is the
    // probe's answer here, told apart from a real error of fork by its high bits.
    const ANSWER: i32 = 0x5ca1_0000;
    let mut command = Command::new("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: the probe only makes system calls and small allocations, which glibc and musl allow after fork in a
    // process whose other threads hold no allocator lock across fork, as both arrange.
    unsafe { command.pre_exec(move || Err(io::Error::from_raw_os_error(ANSWER | i32::from(probe())))) };
    match command.spawn() {
        Err(e) if e.raw_os_error().is_some_and(|n| n & !0xffff == ANSWER) => {
            Ok(e.raw_os_error().unwrap_or_default() as u16)
        }
        Err(e) => Err(e),
        Ok(mut child) => {
            child.wait()?;
            Err(io::Error::other("the probe did not answer"))
        }
    }
}
