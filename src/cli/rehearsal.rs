//! Which run does a description mean? `get --sim …`, `load --sim …` or an arm of `lab`, run for its capture.

use super::failure::Failure;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Arms that a message names.
const NAMED: usize = 12;

/// Whether the text describes a run, rather than naming a file.
pub fn is_one(text: &str) -> bool {
    matches!(text.split_whitespace().next(), Some("get" | "load" | "lab")) && text.trim().contains(' ')
}

/// A directory of its own, gone at its end.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Does what the text says and returns the capture of it.
pub fn capture(text: &str) -> Result<File, Failure> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let directory = std::env::temp_dir().join(format!("tcpglass-what-if-{}", std::process::id()));
    std::fs::create_dir(&directory)
        .map_err(|e| Failure::failed(format_args!("cannot make {}: {e}", directory.display())))?;
    let place = Place(directory);
    let file = match words.as_slice() {
        ["lab", name, rest @ ..] => arm(&place.0, name, rest)?,
        ["lab"] => return Err(Failure::usage("lab which experiment? tcpglass lab list shows them")),
        words if !words.iter().any(|w| *w == "--sim" || w.starts_with("--sim=")) => {
            return Err(Failure::usage(format_args!(
                "{text}: only a run in the simulator can be described: add --sim rtt=20ms"
            )));
        }
        words => {
            let file = place.0.join("run.pcapng");
            run(words, &["--trace".as_ref(), &file])?;
            file
        }
    };
    File::open(&file).map_err(|e| Failure::failed(format_args!("{text} gave no capture: {e}")))
}

/// The capture of the one arm whose variables have these values: `nagle=on ack_delay=40ms`.
fn arm(directory: &Path, name: &str, rest: &[&str]) -> Result<PathBuf, Failure> {
    let (mut options, mut values) = (vec!["lab", name], Vec::new());
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match *word {
            "--sweep" | "--set" | "--rtt" | "--size" | "--seed" | "--profile" => {
                options.push(word);
                options.extend(words.next());
            }
            option if option.starts_with("--") => options.push(option),
            value => values.push(value),
        }
    }
    // An arm that did not come out as computed has a capture all the same.
    let ran = run(&options, &["--out".as_ref(), directory]);
    let arms = std::fs::read_dir(directory.join(name)).into_iter().flatten().flatten();
    // Each arm has one of the client's end and one of the server's.
    let stem = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_suffix(".client.pcapng").map(str::to_owned).unwrap_or_default()
    };
    let mut arms: Vec<PathBuf> = arms.map(|e| e.path()).filter(|path| !stem(path).is_empty()).collect();
    arms.sort();
    // Names have underscores, too: `_ack_delay=40ms_` stands between two.
    let meant = |path: &&PathBuf| {
        let stem = format!("_{}_", stem(path));
        values.iter().all(|value| stem.contains(&format!("_{value}_")))
    };
    match arms.iter().filter(meant).collect::<Vec<_>>().as_slice() {
        [one] => Ok((*one).clone()),
        [] if arms.is_empty() => {
            ran?;
            Err(Failure::failed(format_args!("{name} has no arm with a capture")))
        }
        some => {
            let list = if some.is_empty() { arms.iter().collect() } else { some.to_vec() };
            let names: Vec<String> = list.iter().take(NAMED).map(|path| stem(path)).collect();
            let how_many = if some.is_empty() { "no arm".to_owned() } else { format!("{} arms", some.len()) };
            Err(Failure::usage(format_args!(
                "{how_many} of {name} with {}: say which, of {}",
                if values.is_empty() { "no values".into() } else { values.join(" ") },
                names.join(", ")
            )))
        }
    }
}

/// Runs this program with these words, and two more that are paths.
fn run(words: &[&str], more: &[&Path]) -> Result<(), Failure> {
    let program = std::env::current_exe()
        .map_err(|e| Failure::failed(format_args!("cannot find this program to run it: {e}")))?;
    let output = Command::new(program)
        .args(words)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .map_err(|e| Failure::failed(format_args!("cannot run {}: {e}", words.join(" "))))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it failed");
    let said = said.strip_prefix("tcpglass: ").unwrap_or(said);
    Err(Failure::usage(format_args!("{}: {said}", words.join(" "))))
}
