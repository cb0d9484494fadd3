//! Which of the kernel's settings has the script changed? packetdrill executes its `sysctl` commands, and what they
//! change holds here, too.

use crate::script::commands::Change;
use crate::script::sysctl::sysctl;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A file may name another, but not for ever.
const DEEPEST: u32 = 4;

/// The settings of the network namespace that packetdrill runs in, by name, as they were seen last.
pub struct Sysctls {
    seen: BTreeMap<String, String>,
    /// Those that the script speaks of: they hold from the beginning, whatever was there before it.
    named: BTreeSet<String>,
}

impl Sysctls {
    /// As they are now: changes are counted from here. `named` are those that the script speaks of.
    pub fn now(named: &BTreeSet<String>) -> Sysctls {
        let mut seen = read();
        seen.retain(|name, _| !named.contains(name));
        Sysctls { seen, named: named.clone() }
    }

    /// What has changed since the last time.
    ///
    /// # Errors
    /// The setting that has no counterpart, with its value.
    pub fn changes(&mut self) -> Result<Vec<Change>, String> {
        let now = read();
        let mut changes = Vec::new();
        for (name, value) in &now {
            // Of those that the script speaks of the present value may be nobody's wish.
            if self.seen.get(name) != Some(value) && !self.named.contains(name) {
                changes.extend(sysctl(name, value, 0).map_err(|trouble| trouble.what().to_string())?);
            }
        }
        changes.extend(self.named_changes());
        self.seen.extend(now);
        Ok(changes)
    }

    /// What has changed of those that the script speaks of; what has no counterpart is named.
    pub fn named_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for name in &self.named {
            let path = Path::new("/proc/sys").join(name.replace('.', "/"));
            let Some(value) = value(&path) else { continue };
            if self.seen.get(name) != Some(&value) {
                match sysctl(name, &value, 0) {
                    Ok(change) => changes.extend(change),
                    Err(trouble) => eprintln!("UNSUPPORTED by tcpglass: {}", trouble.what()),
                }
                self.seen.insert(name.clone(), value);
            }
        }
        changes
    }
}

/// Finds the settings that `text` speaks of, and the shell files that it names, which lie at or below `directory`.
pub fn named_in(text: &str, directory: &Path, depth: u32, found: &mut BTreeSet<String>) {
    let words = text.split(|c: char| c.is_ascii_whitespace() || "=\"'`;&|()<>".contains(c));
    for word in words {
        let name = word.trim_start_matches("/proc/sys/").replace('/', ".");
        if ["net.ipv4.", "net.core."].iter().any(|prefix| name.starts_with(prefix)) {
            found.insert(name);
        } else if word.ends_with(".sh") && depth < DEEPEST {
            let path = directory.join(word);
            if let Ok(text) = fs::read_to_string(&path) {
                named_in(&text, path.parent().unwrap_or(directory), depth + 1, found);
            }
        }
    }
}

fn value(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
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
            if let Some(value) = value(&path).filter(|_| wanted) {
                all.insert(name_of(&path), value);
            }
        }
    }
    all
}

fn name_of(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches("/proc/sys/").replace('/', ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_its_settings_in_all_their_spellings() {
        let mut found = BTreeSet::new();
        let text =
            "`sysctl -q net.ipv4.tcp_sack=0 net.core.somaxconn=5; ./x.py /proc/sys/net/ipv4/tcp_ecn=1`";
        named_in(text, Path::new("/nowhere"), 0, &mut found);
        let names: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(names, ["net.core.somaxconn", "net.ipv4.tcp_ecn", "net.ipv4.tcp_sack"]);
    }
}
