//! Which settings are in force? Profiles, then a config file, then `--set`: all through one table of knobs.

mod file;
#[cfg(test)]
mod tests;

use crate::knob::{Knob, ValueError, nearest};
use crate::sim::link::{self, LinkConfig};
use crate::{http, tcp};
use std::fmt;
use std::path::Path;

/// A set of defaults with a name.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Profile {
    /// What a current Linux does.
    #[default]
    Linux,
    /// What the RFCs recommend.
    Rfc,
    /// The network of the textbooks.
    Classic,
}

impl Profile {
    /// All profiles, the default one first.
    pub const ALL: [Profile; 3] = [Profile::Linux, Profile::Rfc, Profile::Classic];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Linux => "linux",
            Profile::Rfc => "rfc",
            Profile::Classic => "classic",
        }
    }

    /// The profile of that name.
    ///
    /// # Errors
    /// Names the profiles there are.
    pub fn parse(name: &str) -> Result<Profile, SettingError> {
        Profile::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or_else(|| SettingError(format!("unknown profile {name:?}: take linux, rfc or classic")))
    }
}

/// Why a setting was refused: one line that says what would be accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettingError(String);

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingError {}

/// Everything that can be set.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// The engine's settings.
    pub tcp: tcp::Config,
    /// The settings of the HTTP server and client.
    pub http: http::Config,
    /// What the link does to packets.
    pub link: LinkConfig,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::new(Profile::default())
    }
}

impl Settings {
    /// The defaults of a profile. A link is ideal in each of them.
    pub fn new(profile: Profile) -> Settings {
        let (tcp, http) = match profile {
            Profile::Linux => (tcp::Config::linux(), http::Config::linux()),
            Profile::Rfc => (tcp::Config::rfc(), http::Config::rfc()),
            Profile::Classic => (tcp::Config::classic(), http::Config::classic()),
        };
        Settings { tcp, http, link: LinkConfig::default() }
    }

    /// The settings of one run: the profile (that of the config file if `profile` is `None`), then the config file,
    /// then each `K=V` of `sets` in order.
    ///
    /// # Errors
    /// The first setting that is refused, with the place in the file if it stands in one.
    pub fn resolve(
        profile: Option<Profile>,
        config: Option<&Path>,
        sets: &[impl AsRef<str>],
    ) -> Result<Settings, SettingError> {
        let file = config.map(file::read).transpose()?;
        let base = profile.or(file.as_ref().and_then(|f| f.profile)).unwrap_or_default();
        let mut settings = Settings::new(base);
        if let Some(file) = &file {
            file.apply(&mut settings)?;
        }
        for set in sets {
            settings.set(set.as_ref())?;
        }
        settings.check()?;
        Ok(settings)
    }

    /// Changes what the text of a config file says; its `profile` is for [`resolve`](Self::resolve).
    ///
    /// # Errors
    /// The first setting that is refused, with its line.
    pub fn apply_config(&mut self, text: &str) -> Result<(), SettingError> {
        file::parse(Path::new("config"), text)?.apply(self)
    }

    /// Changes one knob: `tcp.nagle=off`.
    ///
    /// # Errors
    /// An unknown name (with the nearest one that exists), a wrong value (with what would be accepted).
    pub fn set(&mut self, assignment: &str) -> Result<(), SettingError> {
        let Some((name, value)) = assignment.split_once('=') else {
            let row = find(assignment.trim())?;
            return Err(SettingError(format!(
                "{assignment:?} has no value: write {}=VALUE, where VALUE is {}",
                row.name(),
                row.values()
            )));
        };
        self.set_value(name.trim(), value.trim())
    }

    /// Changes one knob by name and value.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_value(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let row = find(name)?;
        row.set(self, value).map_err(|e| {
            SettingError(format!("{name}: {e} (it takes {}; see tcpglass knobs {name})", row.values()))
        })
    }

    /// Changes knobs of the link, named without their prefix: `rtt=100ms,bandwidth=10mbit,drop_nth=6+11`.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_link(&mut self, list: &str) -> Result<(), SettingError> {
        for part in list.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let name = part.split('=').next().unwrap_or(part).trim();
            if name.starts_with("link.") { self.set(part)? } else { self.set(&format!("link.{part}"))? }
        }
        Ok(())
    }

    /// The settings that are not those of the default profile, as they are set: `tcp.nagle=off link.rtt=20ms`; or the
    /// profile's name.
    pub fn changed(&self) -> String {
        let usual = Settings::default();
        let changed: Vec<String> = (table())
            .map(|row| (row.name(), row.get(self), row.get(&usual)))
            .filter(|(_, now, usual)| now != usual)
            .map(|(name, now, _)| format!("{name}={now}"))
            .collect();
        if changed.is_empty() { format!("profile {}", Profile::default().name()) } else { changed.join(" ") }
    }

    /// The knobs that are not at the default of the nearest profile, in the order of the table: those that somebody turned.
    pub fn turned(&self) -> Vec<&'static str> {
        let from = |profile: &Profile| -> Vec<&'static str> {
            let usual = Settings::new(*profile);
            table().filter(|row| row.get(self) != row.get(&usual)).map(Row::name).collect()
        };
        Profile::ALL.iter().map(from).min_by_key(Vec::len).unwrap_or_default()
    }

    /// Whether the settings fit together.
    ///
    /// # Errors
    /// Names the two that contradict each other.
    pub fn check(&self) -> Result<(), SettingError> {
        let t = &self.tcp;
        if t.rto_min > t.rto_max {
            return Err(SettingError(
                "tcp.rto_min is larger than tcp.rto_max: lower one or raise the other".into(),
            ));
        }
        if t.rto_initial > t.rto_max {
            return Err(SettingError(
                "tcp.rto_initial is larger than tcp.rto_max: lower one or raise the other".into(),
            ));
        }
        Ok(())
    }
}

/// One knob, whichever module it belongs to.
#[derive(Clone, Copy)]
pub enum Row {
    /// Of the engine.
    Tcp(&'static Knob<tcp::Config>),
    /// Of the HTTP server and client.
    Http(&'static Knob<http::Config>),
    /// Of the link.
    Link(&'static Knob<LinkConfig>),
}

/// The same expression on the knob of any module.
macro_rules! each {
    ($row:expr, $knob:ident => $what:expr) => {
        match $row {
            Row::Tcp($knob) => $what,
            Row::Http($knob) => $what,
            Row::Link($knob) => $what,
        }
    };
}

impl Row {
    /// The full name, `tcp.nagle`.
    pub fn name(self) -> &'static str {
        each!(self, k => k.name)
    }

    /// What a value looks like.
    pub fn values(self) -> &'static str {
        each!(self, k => k.values)
    }

    /// One sentence: what it does.
    pub fn meaning(self) -> &'static str {
        each!(self, k => k.meaning)
    }

    /// The socket option or sysctl of Linux that does the same, or empty.
    pub fn linux(self) -> &'static str {
        each!(self, k => k.linux)
    }

    /// Where it is specified, or empty.
    pub fn rfc(self) -> &'static str {
        each!(self, k => k.rfc)
    }

    /// The value in `settings`, as `set` reads it.
    pub fn get(self, settings: &Settings) -> String {
        match self {
            Row::Tcp(k) => (k.get)(&settings.tcp),
            Row::Http(k) => (k.get)(&settings.http),
            Row::Link(k) => (k.get)(&settings.link),
        }
    }

    fn set(self, settings: &mut Settings, value: &str) -> Result<(), ValueError> {
        match self {
            Row::Tcp(k) => (k.set)(&mut settings.tcp, value),
            Row::Http(k) => (k.set)(&mut settings.http, value),
            Row::Link(k) => (k.set)(&mut settings.link, value),
        }
    }
}

/// All knobs, in the order in which they are documented.
pub fn table() -> impl Iterator<Item = Row> {
    tcp::knobs()
        .map(Row::Tcp)
        .chain(http::KNOBS.iter().map(Row::Http))
        .chain(link::KNOBS.iter().map(Row::Link))
}

/// The knob of that name.
///
/// # Errors
/// An unknown name, with the nearest one that exists.
pub fn find(name: &str) -> Result<Row, SettingError> {
    if let Some(row) = table().find(|r| r.name() == name) {
        return Ok(row);
    }
    // `nagle` is what people type first; the prefix alone is no spelling mistake.
    let bare = || table().map(Row::name).find(|n| n.split_once('.').is_some_and(|(_, tail)| tail == name));
    let near = bare().or_else(|| nearest(name, table().map(Row::name)));
    Err(SettingError(match near {
        Some(near) => format!("unknown knob {name:?}: did you mean {near}? (tcpglass knobs lists them)"),
        None => format!("unknown knob {name:?}: tcpglass knobs lists them"),
    }))
}
