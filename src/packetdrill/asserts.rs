//! How do `%{ … }%` blocks see our connections, and `sendfile` its way to them? packetdrill asks the C library for TCP_INFO,
//! past the table of functions, and lets the kernel send files.
//!
//! So its entries for `getsockopt` and `sendfile` in the table of functions that it has linked are pointed here: what asks
//! about a descriptor of ours is answered, anything else goes on to the C library.
#![allow(unsafe_code)]

use super::machine::{Answer, Machine, Request};
use libc::{c_int, c_void, socklen_t};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::{mem, ptr};

/// Whose connections these are, as long as there is one.
static MACHINE: AtomicPtr<Machine> = AtomicPtr::new(ptr::null_mut());

/// More than any script sends at once.
const LARGEST: usize = 1 << 26;
const SO_MEMINFO: c_int = 55;
const TCP_CC_INFO: c_int = 26;

/// The fields of `struct tcp_info`: name, offset and size in bytes.
const FIELDS: &[(&str, usize, usize)] = &[
    ("tcpi_state", 0, 1),
    ("tcpi_ca_state", 1, 1),
    ("tcpi_retransmits", 2, 1),
    ("tcpi_probes", 3, 1),
    ("tcpi_backoff", 4, 1),
    ("tcpi_options", 5, 1),
    ("tcpi_rto", 8, 4),
    ("tcpi_ato", 12, 4),
    ("tcpi_snd_mss", 16, 4),
    ("tcpi_rcv_mss", 20, 4),
    ("tcpi_unacked", 24, 4),
    ("tcpi_sacked", 28, 4),
    ("tcpi_lost", 32, 4),
    ("tcpi_retrans", 36, 4),
    ("tcpi_fackets", 40, 4),
    ("tcpi_last_data_sent", 44, 4),
    ("tcpi_last_ack_sent", 48, 4),
    ("tcpi_last_data_recv", 52, 4),
    ("tcpi_last_ack_recv", 56, 4),
    ("tcpi_pmtu", 60, 4),
    ("tcpi_rcv_ssthresh", 64, 4),
    ("tcpi_rtt", 68, 4),
    ("tcpi_rttvar", 72, 4),
    ("tcpi_snd_ssthresh", 76, 4),
    ("tcpi_snd_cwnd", 80, 4),
    ("tcpi_advmss", 84, 4),
    ("tcpi_reordering", 88, 4),
    ("tcpi_rcv_rtt", 92, 4),
    ("tcpi_rcv_space", 96, 4),
    ("tcpi_total_retrans", 100, 4),
    ("tcpi_pacing_rate", 104, 8),
    ("tcpi_max_pacing_rate", 112, 8),
    ("tcpi_bytes_acked", 120, 8),
    ("tcpi_bytes_received", 128, 8),
    ("tcpi_segs_out", 136, 4),
    ("tcpi_segs_in", 140, 4),
    ("tcpi_notsent_bytes", 144, 4),
    ("tcpi_min_rtt", 148, 4),
    ("tcpi_data_segs_in", 152, 4),
    ("tcpi_data_segs_out", 156, 4),
    ("tcpi_delivery_rate", 160, 8),
    ("tcpi_busy_time", 168, 8),
    ("tcpi_rwnd_limited", 176, 8),
    ("tcpi_sndbuf_limited", 184, 8),
    ("tcpi_delivered", 192, 4),
    ("tcpi_delivered_ce", 196, 4),
    ("tcpi_bytes_sent", 200, 8),
    ("tcpi_bytes_retrans", 208, 8),
    ("tcpi_dsack_dups", 216, 4),
    ("tcpi_reord_seen", 220, 4),
    ("tcpi_rcv_ooopack", 224, 4),
    ("tcpi_snd_wnd", 228, 4),
    ("tcpi_rcv_wnd", 232, 4),
    ("tcpi_rehash", 236, 4),
    ("tcpi_total_rto", 240, 2),
    ("tcpi_total_rto_recoveries", 242, 2),
    ("tcpi_total_rto_time", 244, 4),
    ("tcpi_received_ce", 248, 4),
    ("tcpi_delivered_e1_bytes", 252, 4),
    ("tcpi_delivered_e0_bytes", 256, 4),
    ("tcpi_delivered_ce_bytes", 260, 4),
    ("tcpi_received_e1_bytes", 264, 4),
    ("tcpi_received_e0_bytes", 268, 4),
    ("tcpi_received_ce_bytes", 272, 4),
];
/// Where what was agreed on and seen of accurate ECN shares a byte with what was given up.
const ECN_AT: usize = 276;
/// The whole structure as Linux 7.0 has it.
pub const SIZE: usize = 280;

/// `struct tcp_info`, whose fields are looked up by name; those that nobody knows are 0.
pub fn tcp_info(lookup: impl Fn(&str) -> Option<u64>) -> [u8; SIZE] {
    let mut out = [0; SIZE];
    for &(name, at, size) in FIELDS {
        let most = if size == 8 { u64::MAX } else { (1 << (8 * size)) - 1 };
        let value = lookup(name).map_or(0, |n| n.min(most));
        // Little-endian machines are those whose calling convention the table of functions knows.
        out[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }
    // Two shifts share a byte, the lower half being the peer's.
    let shifts =
        (lookup("tcpi_snd_wscale").unwrap_or(0) & 15) | (lookup("tcpi_rcv_wscale").unwrap_or(0) & 15) << 4;
    out[6] = shifts as u8;
    out[7] = u8::from(lookup("tcpi_delivery_rate_app_limited").unwrap_or(0) != 0);
    let bits = |name, mask| lookup(name).unwrap_or(0) & mask;
    let ecn = bits("tcpi_ecn_mode", 3)
        | bits("tcpi_accecn_opt_seen", 3) << 2
        | bits("tcpi_accecn_fail_mode", 15) << 4;
    out[ECN_AT] = ecn as u8;
    out
}

/// Answers for this machine from now on; null ends that.
pub fn answer_for(machine: *mut Machine) {
    MACHINE.store(machine, Ordering::Release);
}

unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    out: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    let answer = || {
        // SAFETY: it is taken back before the machine is.
        let machine = unsafe { MACHINE.load(Ordering::Acquire).as_ref() }?;
        match (level, name) {
            (libc::SOL_TCP, libc::TCP_INFO) => machine.tcp_info(fd.into()).map(|info| info.to_vec()),
            // None of the algorithms here has anything to say.
            (libc::SOL_TCP, TCP_CC_INFO) => machine.tcp_info(fd.into()).map(|_| Vec::new()),
            (libc::SOL_SOCKET, SO_MEMINFO) => machine.memory(fd.into()),
            _ => None,
        }
    };
    let answer = catch_unwind(AssertUnwindSafe(answer)).ok().flatten();
    match answer {
        Some(data) if !out.is_null() && !len.is_null() => {
            // SAFETY: `out` has room for `*len` bytes, of which no more are written.
            unsafe {
                let count = data.len().min(*len as usize);
                ptr::copy_nonoverlapping(data.as_ptr(), out.cast(), count);
                *len = count as socklen_t;
            }
            0
        }
        // SAFETY: the C library gets what its caller gave.
        _ => unsafe { libc::getsockopt(fd, level, name, out, len) },
    }
}

unsafe extern "C" fn sendfile(to: c_int, from: c_int, offset: *mut i64, count: usize) -> isize {
    let answer = || {
        // SAFETY: it is taken back before the machine is.
        let machine = unsafe { MACHINE.load(Ordering::Acquire).as_ref() }?;
        machine.knows(to.into()).then_some(())?;
        let mut data = vec![0u8; count.min(LARGEST)];
        // SAFETY: the buffer is as long as is said; the kernel judges the descriptor.
        let read = unsafe {
            match offset.as_ref() {
                Some(offset) => libc::pread(from, data.as_mut_ptr().cast(), data.len(), *offset),
                None => libc::read(from, data.as_mut_ptr().cast(), data.len()),
            }
        };
        data.truncate(usize::try_from(read).ok()?);
        if data.is_empty() {
            return Some(Ok(Answer::Value(0)));
        }
        let request = Request::Send { fd: to.into(), data, flags: 0, to: None, record: None };
        Some(machine.call(request))
    };
    match catch_unwind(AssertUnwindSafe(answer)).ok().flatten() {
        Some(Ok(Answer::Value(count))) => {
            // SAFETY: the caller's own number.
            if let Some(offset) = unsafe { offset.as_mut() } {
                *offset += count;
            }
            count as isize
        }
        Some(Ok(_)) | None => {
            // SAFETY: the C library gets what its caller gave.
            unsafe { libc::sendfile(to, from, offset, count) }
        }
        Some(Err(errno)) => {
            // SAFETY: the C library gives each thread its errno.
            unsafe { *libc::__errno_location() = errno };
            -1
        }
    }
}

/// Points the program's own entries for these functions here, as far as it has them.
pub fn interpose() {
    // SAFETY: the callback reads the tables of a program that is loaded.
    unsafe { libc::dl_iterate_phdr(Some(visit), ptr::null_mut()) };
}

/// The program itself comes first; nothing else is looked at.
unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: the loader's own description of the program.
    unsafe {
        let info = &*info;
        for n in 0..usize::from(info.dlpi_phnum) {
            let header = &*info.dlpi_phdr.add(n);
            if header.p_type == libc::PT_DYNAMIC {
                patch(info.dlpi_addr as usize, (info.dlpi_addr + header.p_vaddr) as *const [usize; 2]);
            }
        }
    }
    1
}

/// # Safety
/// `dynamic` is the dynamic section of what is loaded at `base`.
unsafe fn patch(base: usize, dynamic: *const [usize; 2]) {
    let (mut strings, mut symbols, mut tables) = (0, 0, [(0, 0); 2]);
    let mut entry = dynamic;
    // SAFETY: the section ends with an entry of type 0 (DT_NULL).
    while unsafe { (*entry)[0] } != 0 {
        // SAFETY: as above.
        let [kind, value] = unsafe { *entry };
        let address = if value < base { base + value } else { value };
        match kind {
            5 => strings = address,
            6 => symbols = address,
            7 => tables[0].0 = address,
            8 => tables[0].1 = value,
            23 => tables[1].0 = address,
            2 => tables[1].1 = value,
            _ => {}
        }
        // SAFETY: the end was not reached.
        entry = unsafe { entry.add(1) };
    }
    if strings == 0 || symbols == 0 {
        return;
    }
    for (table, size) in tables.into_iter().filter(|(table, _)| *table != 0) {
        for n in 0..size / mem::size_of::<libc::Elf64_Rela>() {
            // SAFETY: the tables have the sizes that the section says, and refer to its own symbols and strings.
            unsafe {
                let relocation = &*(table as *const libc::Elf64_Rela).add(n);
                let symbol = (relocation.r_info >> 32) as usize;
                if symbol == 0 {
                    continue;
                }
                let name = (*(symbols as *const libc::Elf64_Sym).add(symbol)).st_name as usize;
                let text = std::ffi::CStr::from_ptr((strings + name) as *const libc::c_char);
                let new = match text.to_bytes() {
                    b"getsockopt" => getsockopt as *const () as usize,
                    b"sendfile" | b"sendfile64" => sendfile as *const () as usize,
                    _ => continue,
                };
                let slot = (base + relocation.r_offset as usize) as *mut usize;
                let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
                let start = (slot as usize & !(page - 1)) as *mut c_void;
                // The slot may have been made read-only after loading.
                if libc::mprotect(start, page, libc::PROT_READ | libc::PROT_WRITE) == 0 {
                    slot.write(new);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_linux_has_them() {
        let info = tcp_info(|name| match name {
            "tcpi_state" => Some(1),
            "tcpi_snd_cwnd" => Some(10),
            "tcpi_rcv_wscale" => Some(7),
            "tcpi_bytes_acked" => Some(1 << 40),
            "tcpi_received_ce_bytes" => Some(9),
            "tcpi_ecn_mode" | "tcpi_accecn_opt_seen" => Some(2),
            "tcpi_accecn_fail_mode" => Some(5),
            _ => None,
        });
        assert_eq!((info[0], info[6], &info[80..84]), (1, 0x70, &[10, 0, 0, 0][..]));
        assert_eq!(info[120..128], (1u64 << 40).to_le_bytes());
        assert_eq!(info[272..], [9, 0, 0, 0, 0x5a, 0, 0, 0]);
    }
}
