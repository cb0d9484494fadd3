//! Is what spec.toml says of the RFCs true? Every item, test and citation that it names must be there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const STATUSES: [&str; 4] = ["done", "not-yet", "not-applicable", "deliberately-not"];
const LEVELS: [&str; 6] = ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "RECOMMENDED", "MAY"];

/// How many identifiers of each kind appendix B of RFC 9293 has.
const APPENDIX_B: [(&str, usize); 4] = [("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1)];

/// The RFCs of the record, in the order of the table.
const RFCS: [&str; 12] =
    ["9293", "5681", "6298", "6675", "7323", "5961", "8985", "9438", "3168", "9768", "9112", "9110"];

struct Requirement {
    id: String,
    section: String,
    level: String,
    rule: String,
    status: String,
    places: Vec<String>,
    tests: Vec<String>,
    note: Option<String>,
}

impl Requirement {
    fn read(rfc: &str, table: &toml::Table) -> Result<Requirement, String> {
        const KNOWN: [&str; 8] = ["id", "section", "level", "rule", "status", "where", "test", "note"];
        if let Some(key) = table.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(format!("unknown key {key}"));
        }
        let text = |key| table.get(key).and_then(|value| value.as_str()).map(str::to_owned);
        let needed = |key| text(key).filter(|t| !t.is_empty()).ok_or(format!("no {key}"));
        let list = |key| match table.get(key) {
            None => Ok(Vec::new()),
            Some(value) => value
                .as_array()
                .and_then(|all| all.iter().map(|v| v.as_str().map(str::to_owned)).collect())
                .ok_or(format!("{key} is no list of strings")),
        };
        let id = needed("id")?;
        let (section, level) = if rfc == "9293" {
            let level = match id.split_once('-').map(|(kind, _)| kind) {
                Some("SHLD") => "SHOULD",
                Some("REC") => "RECOMMENDED",
                Some(kind) => kind,
                None => "",
            };
            (needed("section")?, level.to_owned())
        } else {
            (id.split('-').next().unwrap_or("").to_owned(), needed("level")?)
        };
        let (rule, status, note) = (needed("rule")?, needed("status")?, text("note"));
        Ok(Requirement {
            id,
            section,
            level,
            rule,
            status,
            places: list("where")?,
            tests: list("test")?,
            note,
        })
    }

    /// What is wrong with it, seen on its own.
    fn faults(&self) -> Vec<String> {
        let done = self.status == "done";
        let mut faults = Vec::new();
        let mut check = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        check(STATUSES.contains(&self.status.as_str()), "no such status");
        check(LEVELS.contains(&self.level.as_str()), "no such level");
        check(!done || !self.places.is_empty(), "done, but not where");
        check(!done || !self.tests.is_empty(), "done, but no test shows it");
        check(done || self.note.is_some(), "not done, but not why");
        faults.extend(self.places.iter().filter_map(|place| missing_item(place)));
        faults.extend(self.tests.iter().filter_map(|test| missing_test(test)));
        faults
    }
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// `file: item` names a definition: a function, a type, a constant, a static or a field.
fn missing_item(place: &str) -> Option<String> {
    let found = place.split_once(": ").is_some_and(|(file, item)| {
        let field = format!("{item}: ");
        text(&format!("src/{file}")).unwrap_or_default().lines().any(|line| {
            let line = line.trim_start();
            let mut before = "";
            let defined = words(line).any(|word| {
                let keyword = matches!(before, "fn" | "struct" | "enum" | "const" | "static" | "trait");
                before = word;
                keyword && word == item
            });
            let declared = line.trim_start_matches("pub(super) ").trim_start_matches("pub ");
            !line.starts_with("//") && (defined || declared.starts_with(&field))
        })
    });
    (!found).then(|| format!("nothing is called {place}"))
}

/// `GROUP/NAME.pkt`, `it/FILE: test` or `src/FILE: test`.
fn missing_test(test: &str) -> Option<String> {
    let found = if test.ends_with(".pkt") {
        text(&format!("tests/scripts/{test}")).is_some()
    } else {
        test.split_once(": ").is_some_and(|(file, name)| {
            let file = if file.starts_with("it/") { format!("tests/{file}") } else { file.to_owned() };
            let source = text(&file).unwrap_or_default();
            let lines: Vec<&str> = source.lines().collect();
            let head = format!("fn {name}(");
            lines.windows(2).any(|pair| pair[0].trim() == "#[test]" && pair[1].contains(&head))
        })
    };
    (!found).then(|| format!("there is no test {test}"))
}

fn record() -> Result<BTreeMap<&'static str, Vec<Requirement>>, String> {
    let table: toml::Table = include_str!("spec.toml").parse().map_err(|e| format!("{e}"))?;
    if let Some(key) = table.keys().find(|key| !RFCS.contains(&key.trim_start_matches("rfc"))) {
        return Err(format!("unknown table {key}"));
    }
    RFCS.into_iter()
        .map(|rfc| {
            let entries = table.get(&format!("rfc{rfc}")).and_then(|value| value.as_array());
            let read = |(n, entry): (usize, &toml::Value)| {
                let entry = entry.as_table().ok_or("no table".to_owned());
                entry
                    .and_then(|e| Requirement::read(rfc, e))
                    .map_err(|e| format!("RFC {rfc}, entry {n}: {e}"))
            };
            let entries = entries.ok_or(format!("nothing about RFC {rfc}"))?;
            Ok((rfc, entries.iter().enumerate().map(read).collect::<Result<_, _>>()?))
        })
        .collect()
}

/// What a source file's comments cite: identifiers of RFC 9293, and sections as `(RFC, section)`.
#[derive(Default)]
struct Citations {
    ids: BTreeSet<String>,
    sections: BTreeSet<(String, String)>,
}

impl Citations {
    fn of(source: &str) -> Citations {
        let mut found = Citations::default();
        // A number and its RFC may be on two lines of one comment.
        let (mut rfc, mut expecting) = (String::new(), false);
        for line in source.lines() {
            let Some((_, comment)) = line.split_once("//") else {
                (rfc, expecting) = (String::new(), false);
                continue;
            };
            for word in comment.split_whitespace() {
                let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '§');
                if let Some(section) = word.strip_prefix('§') {
                    found.sections.insert((rfc.clone(), section.to_owned()));
                } else if expecting {
                    word.clone_into(&mut rfc);
                } else if word.split_once('-').is_some_and(|(kind, n)| is_identifier(kind, n)) {
                    found.ids.insert(word.to_owned());
                }
                expecting = word == "RFC";
            }
        }
        found
    }

    /// The section itself or a part of it.
    fn cites(&self, rfc: &str, section: &str) -> bool {
        let part = format!("{section}.");
        self.sections.iter().any(|(r, s)| r == rfc && (s == section || s.starts_with(&part)))
    }
}

fn is_identifier(kind: &str, number: &str) -> bool {
    APPENDIX_B.iter().any(|(known, _)| *known == kind) && number.bytes().all(|b| b.is_ascii_digit())
}

fn sources(directory: &str, found: &mut Vec<String>) {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap();
    for entry in entries.map(|entry| entry.unwrap()) {
        let path = format!("{directory}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            sources(&path, found);
        } else if path.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// The table, and how many there are of each status.
fn table(record: &BTreeMap<&str, Vec<Requirement>>) -> String {
    let mut out = String::new();
    for rfc in RFCS {
        let _ = writeln!(out, "\nRFC {rfc}");
        for r in &record[rfc] {
            let _ = writeln!(out, "  {:<8} {:<11} {:<16} {}", r.id, r.level, r.status, r.rule);
            let mut more = |label: &str, what: &str| {
                if !what.is_empty() {
                    let _ = writeln!(out, "{:38} {label} {what}", "");
                }
            };
            more("in", &r.places.join(", "));
            more("shown by", &r.tests.join(", "));
            more("–", r.note.as_deref().unwrap_or(""));
        }
    }
    let _ = writeln!(out, "\n{:<9}{}", "", STATUSES.map(|s| format!("{s:>18}")).concat());
    for rfc in RFCS {
        let count = |status: &&str| record[rfc].iter().filter(|r| r.status == *status).count();
        let counts = STATUSES.each_ref().map(|s| format!("{:>18}", count(s)));
        let _ = writeln!(out, "RFC {rfc} {}", counts.concat());
    }
    out
}

#[test]
fn the_conformance_record_is_complete_and_true() {
    let record = record().unwrap();
    println!("{}", table(&record));

    let mut faults = Vec::new();
    let mut files = Vec::new();
    sources("src", &mut files);
    let cited: BTreeMap<String, Citations> =
        files.into_iter().map(|file| (file.clone(), Citations::of(&text(&file).unwrap()))).collect();

    for (rfc, requirements) in &record {
        let mut seen = BTreeSet::new();
        for r in requirements {
            let mut found = r.faults();
            if !seen.insert(r.id.as_str()) {
                found.push("is there twice".to_owned());
            }
            let mut near = r.places.iter().filter_map(|place| {
                cited.get(&format!("src/{}", place.split(": ").next().unwrap_or_default()))
            });
            let is_cited = |c: &Citations| match *rfc {
                "9293" => c.ids.contains(&r.id),
                _ => c.cites(rfc, &r.section),
            };
            if r.status == "done" && !near.any(is_cited) {
                found.push(format!("done, but not cited in {}", r.places.join(", ")));
            }
            faults.extend(found.into_iter().map(|fault| format!("RFC {rfc} {}: {fault}", r.id)));
        }
    }
    for (kind, count) in APPENDIX_B {
        for id in (1..=count).map(|n| format!("{kind}-{n}")) {
            if !record["9293"].iter().any(|r| r.id == id) {
                faults.push(format!("RFC 9293 {id} is missing"));
            }
        }
    }
    for (file, citations) in &cited {
        for id in &citations.ids {
            match record["9293"].iter().find(|r| r.id == *id) {
                None => faults.push(format!("{file} cites {id}, which does not exist")),
                Some(r) if matches!(r.status.as_str(), "not-yet" | "not-applicable") => {
                    faults.push(format!("{file} cites {id}, which is {}", r.status));
                }
                Some(_) => {}
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn citations_are_read_from_comments() {
    let source = "/// A rule (RFC 9293 §3.8.6.1, MUST-36), §3.4 and RFC\n// 5681 §3.2 step 2.\nlet x = 1; // SHLD-3\n\
                  \"MUST-1\" RFC 1 §1\n// §7";
    let found = Citations::of(source);
    assert_eq!(found.ids, ["MUST-36", "SHLD-3"].map(str::to_owned).into());
    let sections = [("9293", "3.8.6.1"), ("9293", "3.4"), ("5681", "3.2"), ("", "7")];
    assert_eq!(found.sections, sections.map(|(rfc, s)| (rfc.to_owned(), s.to_owned())).into());
    assert!(found.cites("9293", "3.8") && !found.cites("9293", "3.8.6.11") && !found.cites("9293", "3.5"));
}

#[test]
fn what_does_not_exist_is_noticed() {
    assert_eq!(missing_item("tcp/input.rs: is_acceptable"), None);
    assert_eq!(missing_item("tcp/send.rs: max_wnd"), None);
    for place in
        ["tcp/input.rs: nobody", "tcp/nowhere.rs: is_acceptable", "tcp/input.rs", "tcp/input.rs: self"]
    {
        assert!(missing_item(place).is_some(), "{place}");
    }
    assert_eq!(missing_test("it/spec.rs: what_does_not_exist_is_noticed"), None);
    for test in ["it/spec.rs: missing_item", "it/nowhere.rs: x", "nagle/nothing.pkt", "src/seq.rs"] {
        assert!(missing_test(test).is_some(), "{test}");
    }
    let entry = |text: &str| Requirement::read("5681", &text.parse().unwrap());
    assert!(entry("id = '3.1'\nlevel = 'MUST'\nrule = 'x'\nstatus = 'done'\nwher = []").is_err());
    let bare = entry("id = '3.1'\nlevel = 'MUST'\nrule = 'x'\nstatus = 'almost'").unwrap();
    assert_eq!(bare.faults(), ["no such status", "not done, but not why"]);
    let empty = entry("id = '3.1'\nlevel = 'OUGHT'\nrule = 'x'\nstatus = 'done'").unwrap();
    assert_eq!(empty.faults(), ["no such level", "done, but not where", "done, but no test shows it"]);
}
