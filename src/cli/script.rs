//! `tcpglass script`: does the stack do what packet scripts say?

use super::args::{IpVersion, Script};
use super::failure::{Exit, Failure};
use super::options::Recording;
use super::{Outcome, options, output};
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tcpglass::report::{Style, printable};
use tcpglass::script::{self, Options};
use tcpglass::settings::Settings;

/// Larger than any script; a capture given by mistake ends here.
const LARGEST: u64 = 4 << 20;
/// Directories in directories; a loop of links ends here.
const DEEPEST: usize = 16;

struct Source {
    path: PathBuf,
    text: String,
    options: Options,
    /// The IP version, if it is run in several.
    version: Option<script::IpVersion>,
}

impl Source {
    fn name(&self) -> String {
        format!("{}{}", self.in_version(), self.path.display())
    }

    /// The IP version, to stand before something, if it is run in several.
    fn in_version(&self) -> String {
        self.version.map_or_else(String::new, |version| format!("{}: ", version.name()))
    }
}

/// Reads all scripts, then runs them in the order of their names.
pub fn run(args: Script) -> Outcome {
    let settings = options::settings(&args.settings)?;
    let mut files = Vec::new();
    for path in &args.paths {
        find(path, 0, &mut files)?;
    }
    if files.is_empty() {
        return Err(Failure::usage("there is no .pkt file in the directories: name a script"));
    }
    if args.trace.is_some() && files.len() > 1 {
        return Err(Failure::usage("--trace takes the packets of one script: name only one"));
    }
    let recording =
        options::recording(&super::args::TraceArgs { trace: args.trace.clone(), ..Default::default() })?;
    let alone = files.len() == 1;
    let mut sources = Vec::new();
    for file in files {
        sources.extend(read(file, alone, &args, &settings)?);
    }
    if args.trace.is_some() && sources.len() > 1 {
        return Err(Failure::usage("--trace takes the packets of one script in one IP version"));
    }

    let results = play(&sources, &recording, &settings)?;
    let count = |wanted: fn(&script::Outcome) -> bool| results.iter().filter(|r| wanted(r)).count();
    let failed = count(|r| matches!(r, script::Outcome::Failed(_)));
    let unsupported = count(|r| matches!(r, script::Outcome::Unsupported(_)));
    let passed = results.len() - failed - unsupported;
    if args.output.json {
        let list: Vec<Value> = sources.iter().zip(&results).map(|(s, r)| object(s, r)).collect();
        output::json(&json!({
            "schema": "tcpglass.script/1",
            "passed": passed,
            "failed": failed,
            "unsupported": unsupported,
            "scripts": list,
        }))?;
    } else {
        let style = output::stdout_style(&args.output);
        let mut text = String::new();
        for (source, result) in sources.iter().zip(&results) {
            text += &lines(source, result, args.output.verbose || !alone, style);
        }
        output::result(&format!("{text}{passed} passed, {failed} failed, {unsupported} unsupported\n"))?;
    }
    Ok(match (failed, unsupported) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => Exit::Usage.into(),
        _ => Exit::Failed.into(),
    })
}

fn play(
    sources: &[Source],
    recording: &Recording,
    settings: &Settings,
) -> Result<Vec<script::Outcome>, Failure> {
    let mut results = Vec::new();
    for source in sources {
        let name = source.path.display().to_string();
        let sinks = recording.sinks(Vec::new(), "script", settings)?;
        let (result, written) = script::run_traced(&source.text, &name, &source.options, sinks);
        written.map_err(Failure::failed)?;
        results.push(result);
    }
    Ok(results)
}

/// The scripts at or below a path, by name.
fn find(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let wrong = |e: &dyn std::fmt::Display| {
        Failure::usage(format_args!("cannot read script {}: {e}", path.display()))
    };
    if !path.is_dir() {
        fs::metadata(path).map_err(|e| wrong(&e))?;
        found.push(path.to_owned());
        return Ok(());
    }
    if depth > DEEPEST {
        return Err(wrong(&"directories nested too deeply"));
    }
    let entries = fs::read_dir(path).and_then(|d| d.collect::<Result<Vec<_>, _>>()).map_err(|e| wrong(&e))?;
    let mut inside: Vec<PathBuf> = entries.into_iter().map(|e| e.path()).collect();
    inside.sort();
    for path in inside {
        if path.is_dir() || path.extension().is_some_and(|e| e == "pkt") {
            find(&path, depth + 1, found)?;
        }
    }
    Ok(())
}

/// A script that can be run, or at least be called unsupported, once for each IP version. One that cannot be read is a
/// failure among others, and an error if it is the only one.
fn read(path: PathBuf, alone: bool, args: &Script, settings: &Settings) -> Result<Vec<Source>, Failure> {
    let wrong = |e: &dyn std::fmt::Display| {
        Failure::usage(format_args!("cannot read script {}: {e}", path.display()))
    };
    let mut bytes = Vec::new();
    let file = fs::File::open(&path).map_err(|e| wrong(&e))?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|e| wrong(&e))?;
    if bytes.len() as u64 > LARGEST {
        return Err(wrong(&"it is larger than 4 MiB"));
    }
    // Names in comments may be in any encoding.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut options = Options {
        tcp: settings.tcp.clone(),
        tolerance_usecs: args.tolerance_usecs,
        strict: args.strict,
        seed: options::simulator_seed(&args.settings),
        directory: path.parent().map(Path::to_owned),
        lines: option_lines(args),
        ..Options::default()
    };
    for define in &args.define {
        let pair = define.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) =
            pair.ok_or_else(|| Failure::usage(format_args!("--define {define}: NAME=VALUE was expected")))?;
        options.defines.insert(name.to_owned(), value.to_owned());
    }
    let own = text.lines().any(|line| line.trim_start().starts_with("--ip_version"));
    let versions = match args.ip_version {
        None => vec![None],
        Some(IpVersion::All) if own => vec![None],
        Some(IpVersion::All) => script::IpVersion::ALL.map(Some).to_vec(),
        Some(IpVersion::Ipv4) => vec![Some(script::IpVersion::Ipv4)],
        Some(IpVersion::Ipv6) => vec![Some(script::IpVersion::Ipv6)],
        Some(IpVersion::Ipv4MappedIpv6) => vec![Some(script::IpVersion::Ipv4MappedIpv6)],
    };
    let many = versions.len() > 1;
    let mut sources = Vec::new();
    for ip_version in versions {
        let options = Options { ip_version, ..options.clone() };
        let checked = script::check(&text, &path.display().to_string(), &options);
        if let (script::Outcome::Failed(failure), true) = (checked, alone) {
            let why =
                format!("{}:{}: {}: {}", failure.file, failure.line, failure.what, printable(&failure.text));
            return Err(Failure::usage(why));
        }
        let version = ip_version.filter(|_| many);
        sources.push(Source { path: path.clone(), text: text.clone(), options, version });
    }
    Ok(sources)
}

/// The options in the words of the scripts.
fn option_lines(args: &Script) -> Vec<(String, Option<String>)> {
    let valued = [
        ("tolerance_percent", &args.tolerance_percent),
        ("mtu", &args.mtu),
        ("init_scripts", &args.init_scripts),
        ("local_ip", &args.local_ip),
        ("remote_ip", &args.remote_ip),
        ("bind_port", &args.bind_port),
        ("connect_port", &args.connect_port),
        ("non_fatal", &args.non_fatal),
        ("tcp_ts_tick_usecs", &args.tcp_ts_tick_usecs),
        ("code_command", &args.code_command),
        ("code_format", &args.code_format),
        ("code_sockopt", &args.code_sockopt),
    ];
    let switches = [("strict_segments", args.strict_segments), ("dry_run", args.dry_run)];
    let valued = valued.into_iter().filter(|(_, value)| value.is_some());
    let switches = switches.into_iter().filter(|(_, on)| *on);
    valued
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .chain(switches.map(|(name, _)| (name.to_owned(), None)))
        .collect()
}

fn lines(source: &Source, result: &script::Outcome, verbose: bool, style: Style) -> String {
    match result {
        script::Outcome::Passed if verbose => format!("{}  {}\n", style.good("passed"), source.name()),
        script::Outcome::Passed => String::new(),
        script::Outcome::Failed(failure) => {
            format!("{}  {}{failure}\n", style.bad("FAILED"), source.in_version())
        }
        script::Outcome::Unsupported(unsupported) => format!("{}{unsupported}\n", source.in_version()),
    }
}

fn object(source: &Source, result: &script::Outcome) -> Value {
    let mut object = json!({ "file": source.path.display().to_string() });
    if let Some(version) = source.version {
        object["ip_version"] = version.name().into();
    }
    match result {
        script::Outcome::Passed => object["result"] = "passed".into(),
        script::Outcome::Failed(f) => {
            object["result"] = "failed".into();
            object["line"] = f.line.into();
            object["text"] = f.text.clone().into();
            object["what"] = f.what.clone().into();
            object["expected"] = f.expected.clone().into();
            object["seen"] = f.seen.clone().into();
        }
        script::Outcome::Unsupported(u) => {
            object["result"] = "unsupported".into();
            object["line"] = u.line.into();
            object["what"] = u.what.clone().into();
        }
    }
    object
}
