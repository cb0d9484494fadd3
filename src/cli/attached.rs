//! Which stack that runs is meant, and how do others find this one?

use super::args::OutputArgs;
use super::failure::Failure;
use super::output;
use super::stage::{NAME, Stage, Started};
use std::io::ErrorKind;
use tcpglass::attach::{self, About, Claim, Door, Place, Select, Visitor};

/// The socket of a stack that is about to start. Without one it can do its work all the same, so this only says why.
pub fn claim(args: &OutputArgs) -> Option<Claim> {
    attach::claim().map_err(|e| hidden(args, &e)).ok()
}

/// Lets others look into the stack, or the stacks of all queues, until this is dropped.
pub fn open(
    claim: Option<Claim>,
    command: &str,
    stage: &Stage,
    started: &Started,
    args: &OutputArgs,
) -> Option<Door> {
    let about = About {
        command: command.into(),
        device: started.device.clone(),
        addresses: stage.network.addrs.iter().map(|(ip, _)| *ip).collect(),
    };
    let options = stage.recording.options(stage.names(NAME), &started.device, &stage.settings);
    Door::open(claim?, started.handles(), about, options).map_err(|e| hidden(args, &e)).ok()
}

fn hidden(args: &OutputArgs, e: &std::io::Error) {
    output::note(args, &format!("tcpglass: ss, top and extcap will not find this stack: {e}\n"));
}

/// The one stack that runs, or that of process `pid`.
///
/// # Errors
/// There is none, or there are several and nothing says which.
pub fn find(pid: Option<u32>, command: &str) -> Result<Visitor, Failure> {
    let running = attach::running();
    let place = match pid {
        Some(pid) => running.iter().find(|place| place.pid == pid).ok_or_else(|| {
            let others: Vec<String> = running.iter().map(|place| place.pid.to_string()).collect();
            let others = if others.is_empty() { "none does".into() } else { others.join(", ") };
            Failure::usage(format_args!(
                "--pid {pid}: no stack of this user's runs there; of those that run: {others}"
            ))
        })?,
        None => match running.as_slice() {
            [] => return Err(none()),
            [one] => one,
            several => return Err(choose(several, command)),
        },
    };
    visit(place)
}

/// Asks who is there.
pub fn visit(place: &Place) -> Result<Visitor, Failure> {
    Visitor::connect(&place.path).map_err(|e| unreachable(place.pid, &e))
}

/// A stack did not answer.
pub fn unreachable(pid: u32, e: &std::io::Error) -> Failure {
    let remedy = match e.kind() {
        ErrorKind::TimedOut => "; is it stopped?",
        ErrorKind::PermissionDenied => "; ask as its user",
        _ => "",
    };
    Failure::failed(format_args!("the stack of process {pid} does not tell: {e}{remedy}"))
}

fn none() -> Failure {
    let places: Vec<String> = attach::places().iter().map(|place| place.display().to_string()).collect();
    Failure::failed(format_args!(
        "no stack of this user's runs: looked in {}; start tcpglass run, serve or proxy, or ask as the user who did",
        places.join(" and ")
    ))
}

fn choose(several: &[Place], command: &str) -> Failure {
    let choices: Vec<String> = several
        .iter()
        .map(|place| {
            let name = Visitor::connect(&place.path).map_or("busy".into(), |visitor| name(&visitor));
            format!("--pid {} ({name})", place.pid)
        })
        .collect();
    Failure::usage(format_args!(
        "{} stacks run; choose one for tcpglass {command}: {}",
        several.len(),
        choices.join(", ")
    ))
}

/// `serve on tcpglass0`.
pub fn name(visitor: &Visitor) -> String {
    let text = |field: &str| visitor.about()[field].as_str().unwrap_or("?").to_owned();
    format!("{} on {}", text("command"), text("device"))
}

/// The filter as typed, in one or in many words.
pub fn select(words: &[String]) -> Result<Select, Failure> {
    words.join(" ").parse().map_err(Failure::usage)
}
