//! Does every module import only from below?

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rank of each module. Equal ranks don't see each other.
const RANKS: [(&str, u8); 26] = [
    ("time", 0),
    ("seq", 0),
    ("segment", 0),
    ("stream", 0),
    ("knob", 0),
    ("dropped", 0),
    ("ledger", 0),
    ("parcel", 0),
    ("wire", 1),
    ("tcp", 1),
    ("http", 1),
    ("trace", 2),
    ("stack", 3),
    ("service", 4),
    ("sim", 5),
    ("script", 5),
    ("tun", 5),
    ("net", 6),
    ("explain", 6),
    ("settings", 6),
    ("attach", 7),
    ("packetdrill", 7),
    ("lab", 7),
    ("whatif", 7),
    ("report", 8),
    ("cli", 9),
];

/// What a module may see where its rank says something else: `http` needs no segments.
const INSTEAD: [(&str, &[&str]); 1] = [("http", &["time", "stream", "knob"])];

/// Within rank 0: `seq` and `time` know nothing, the others may use what stands before them.
const WITHIN: [(&str, &[&str]); 4] =
    [("segment", &["seq", "time"]), ("knob", &["time"]), ("stream", &["time"]), ("ledger", &["time"])];

fn rank(module: &str) -> u8 {
    RANKS.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("module {module} has no rank")).1
}

fn allowed(from: &str, to: &str) -> bool {
    if from == to {
        return true;
    }
    if let Some((_, list)) = INSTEAD.iter().chain(&WITHIN).find(|(name, _)| *name == from) {
        return list.contains(&to);
    }
    rank(to) < rank(from)
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The module that a source file belongs to: the first part of its path below src.
fn module_of(path: &Path) -> Option<String> {
    let first = path.strip_prefix(root()).unwrap().components().next()?;
    let name = first.as_os_str().to_str()?.trim_end_matches(".rs");
    // Tests beside a single-file module: seq_tests.rs belongs to seq.
    let name = name.strip_suffix("_tests").unwrap_or(name);
    (!matches!(name, "lib" | "main")).then(|| name.to_owned())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Code without comments, so that a sentence that mentions a path is no import.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// Every top-level module that the code names after `crate::` (in the program: `tcpglass::`), groups included.
fn imports(code: &str, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let prefix = format!("{name}::");
    for (at, _) in code.match_indices(&prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(heads_of_group(group));
        } else {
            found.insert(word(rest));
        }
    }
    found.retain(|name| RANKS.iter().any(|(known, _)| known == name));
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first word of each member of `{a::b, c::{d, e}, f}`, the opening brace taken off.
fn heads_of_group(text: &str) -> Vec<String> {
    let (mut depth, mut heads, mut expecting) = (1, Vec::new(), true);
    for (i, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => expecting = true,
            c if expecting && (c.is_alphanumeric() || c == '_') => {
                heads.push(word(&text[i..]));
                expecting = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

#[test]
fn every_module_imports_only_from_a_lower_rank() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    assert!(files.len() > 20, "only {} sources found", files.len());
    let mut wrong = Vec::new();
    for path in &files {
        let Some(module) = module_of(path) else { continue };
        let code = code(&fs::read_to_string(path).unwrap());
        let mut targets = imports(&code, "crate");
        if module == "cli" {
            // The program sees the library by its name; its own modules are all `cli`.
            targets = imports(&code, "tcpglass");
        }
        for target in targets {
            if !allowed(&module, &target) {
                wrong.push(format!("{}: {module} imports {target}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_library_has_a_rank() {
    let lib = fs::read_to_string(root().join("lib.rs")).unwrap();
    for line in lib.lines().filter_map(|l| l.strip_prefix("pub mod ")) {
        rank(line.trim_end_matches(';'));
    }
}

#[test]
fn imports_are_found_wherever_they_stand() {
    let code = code(
        "use crate::{http, stack::{Stack, trace}, tcp};\nlet x = crate::wire::decode();\n// crate::net::no\nmycrate::sim::x",
    );
    let found: Vec<_> = imports(&code, "crate").into_iter().collect();
    assert_eq!(found, ["http", "stack", "tcp", "wire"]);
    assert!(!allowed("tcp", "wire") && !allowed("http", "segment") && !allowed("sim", "tun"));
    assert!(allowed("http", "knob") && allowed("net", "tun") && allowed("tcp", "segment"));
}
