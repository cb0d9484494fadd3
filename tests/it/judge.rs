//! What does tshark say about a capture? The judge that has no part in the program.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// A file in memory, for a recording that a test reads afterwards.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    /// What was written so far.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether `tool` is there; says by name what is skipped if not.
pub fn have(tool: &str, test: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|place| place.join(tool).is_file());
    if !found {
        println!("skipped: {test} needs {tool}");
    }
    found
}

/// Lines of the fields of the packets that `filter` chooses, separated by `|`. Checksums are verified.
///
/// # Panics
/// tshark fails, or finds the file cut short where it should not be.
pub fn fields(capture: &Path, filter: &str, fields: &[&str]) -> Vec<String> {
    lines(capture, filter, fields, true)
}

/// The same for a file that may end within a block.
pub fn fields_of_torn(capture: &Path, filter: &str, names: &[&str]) -> Vec<String> {
    lines(capture, filter, names, false)
}

fn lines(capture: &Path, filter: &str, fields: &[&str], whole: bool) -> Vec<String> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]);
    tshark.arg("-r").arg(capture).args(["-Y", filter, "-T", "fields", "-E", "separator=|"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || !whole, "{}: {filter}: {error}", capture.display());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// No malformed packet, no wrong checksum, and every TCP packet says why. Returns how many there are.
///
/// # Panics
/// It is not so.
pub fn sound(capture: &Path) -> usize {
    // Linux writes a sum that comes out as zero as 0xffff, which is the same number to a receiver; Wireshark calls that bad.
    const WRONG: &str = "_ws.malformed || (tcp.checksum.status == Bad && tcp.checksum != 0xffff) || ip.checksum.status == Bad \
                         || icmp.checksum.status == Bad || icmpv6.checksum.status == Bad \
                         || (tcp && !(frame.comment contains \"why=\"))";
    let wrong = fields(capture, WRONG, &["frame.number", "_ws.col.Info"]);
    assert_eq!(wrong, [""; 0], "{}", capture.display());
    // ICMP errors quote TCP headers: without an IP protocol of their own these are no TCP packets.
    let all = fields(capture, "tcp && !icmp && !icmpv6", &["tcp.checksum.status", "tcp.checksum"]);
    let good = all.iter().filter(|s| s.starts_with("1|") || *s == "0|0xffff").count();
    assert_eq!(good, all.len(), "{}: packets whose checksum was verified", capture.display());
    good
}

/// What tshark takes for retransmissions, of any kind.
pub const RETRANSMISSION: &str = "tcp.analysis.retransmission || tcp.analysis.fast_retransmission \
                                  || tcp.analysis.spurious_retransmission || tcp.analysis.rto";
