//! What does a config file say? TOML with a table for each prefix of the knobs.

use super::{Profile, SettingError, Settings};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Larger than any set of settings; a device file or a capture given by mistake ends here.
const LARGEST: u64 = 1 << 20;

/// A config file, read but not yet applied.
pub(super) struct File {
    path: PathBuf,
    /// The profile that it starts from.
    pub(super) profile: Option<Profile>,
    entries: Vec<Entry>,
}

struct Entry {
    line: usize,
    name: String,
    value: String,
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<File, SettingError> {
    let refuse = |why: &str| SettingError(format!("cannot read config file {}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|e| refuse(&e.to_string()))?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|e| refuse(&e.to_string()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(refuse("it is larger than 1 MiB; a config file has a line for each setting"));
    }
    let text = String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8 text"))?;
    parse(path, &text)
}

pub(super) fn parse(path: &Path, text: &str) -> Result<File, SettingError> {
    let mut reader = Reader { path, text, profile: None, entries: Vec::new() };
    let table = DeTable::parse(text).map_err(|e| {
        let message = e.message().trim().replace('\n', ", ");
        reader.wrong(&e.span().unwrap_or(0..0), &message)
    })?;
    reader.table("", table.get_ref())?;
    Ok(File { path: path.to_owned(), profile: reader.profile, entries: reader.entries })
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    profile: Option<Profile>,
    entries: Vec<Entry>,
}

impl Reader<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        1 + self.text.bytes().take(span.start).filter(|&b| b == b'\n').count()
    }

    fn wrong(&self, span: &Range<usize>, why: &str) -> SettingError {
        at(self.path, self.line(span), why)
    }

    /// Joins nested keys with dots: `[tcp.keepalive] idle` and `[tcp] "keepalive.idle"` are the same knob.
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) -> Result<(), SettingError> {
        for (key, value) in table.iter() {
            let name = if prefix.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{prefix}.{}", key.get_ref())
            };
            if name == "profile" {
                let text = value.get_ref().as_str().ok_or_else(|| {
                    self.wrong(&value.span(), "profile is a word: write profile = \"classic\"")
                })?;
                self.profile =
                    Some(Profile::parse(text).map_err(|e| self.wrong(&value.span(), &e.to_string()))?);
                continue;
            }
            if let DeValue::Table(inner) = value.get_ref() {
                self.table(&name, inner)?;
                continue;
            }
            let Some(text) = scalar(value.get_ref()) else {
                let why = format!("{name} is a word, a number, true or false, or a list of numbers");
                return Err(self.wrong(&value.span(), &why));
            };
            self.entries.push(Entry { line: self.line(&key.span()), name, value: text });
        }
        Ok(())
    }
}

fn at(path: &Path, line: usize, why: &str) -> SettingError {
    SettingError(format!("{}:{line}: {why}", path.display()))
}

/// A value as `--set` would have it; lists of numbers are joined with `+`.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    Some(match value {
        DeValue::String(s) => s.to_string(),
        DeValue::Integer(n) if n.radix() == 10 => n.as_str().to_owned(),
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok()?.to_string(),
        DeValue::Float(x) => x.as_str().to_owned(),
        DeValue::Boolean(on) => if *on { "on" } else { "off" }.to_owned(),
        DeValue::Array(list) => {
            let items: Option<Vec<String>> =
                list.iter().map(|v| v.get_ref().is_integer().then(|| scalar(v.get_ref()))?).collect();
            items?.join("+")
        }
        DeValue::Datetime(_) | DeValue::Table(_) => return None,
    })
}

impl File {
    pub(super) fn apply(&self, settings: &mut Settings) -> Result<(), SettingError> {
        for entry in &self.entries {
            settings
                .set_value(&entry.name, &entry.value)
                .map_err(|e| at(&self.path, entry.line, &e.to_string()))?;
        }
        Ok(())
    }
}
