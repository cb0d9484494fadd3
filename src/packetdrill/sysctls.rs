//! Which of the kernel's settings has the script changed? packetdrill executes its `sysctl` commands, and what they
//! change holds here, too.

use crate::script::commands::Change;
use crate::script::sysctl::sysctl;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The settings of the network namespace that packetdrill runs in, by name, as they were seen last.
pub struct Sysctls(BTreeMap<String, String>);

impl Sysctls {
    /// As they are now: changes are counted from here.
    pub fn now() -> Sysctls {
        Sysctls(read())
    }

    /// What has changed since the last time.
    ///
    /// # Errors
    /// The setting that has no counterpart, with its value.
    pub fn changes(&mut self) -> Result<Vec<Change>, String> {
        let now = read();
        let mut changes = Vec::new();
        for (name, value) in &now {
            if self.0.get(name) != Some(value) {
                let change = sysctl(name, value, 0).map_err(|trouble| trouble.what().to_string())?;
                changes.extend(change);
            }
        }
        self.0 = now;
        Ok(changes)
    }
}

fn read() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (directory, prefix) in
        [("/proc/sys/net/ipv4", "tcp_"), ("/proc/sys/net/ipv4", "ip_"), ("/proc/sys/net/core", "")]
    {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let wanted =
                path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix));
            if let Some(text) = fs::read_to_string(&path).ok().filter(|_| wanted) {
                all.insert(name_of(&path), text.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
    }
    all
}

fn name_of(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches("/proc/sys/").replace('/', ".")
}
