//! `tcpglass ss`: what are the connections of a running stack doing at this moment?

use super::args::Ss;
use super::attached;
use super::failure::Failure;
use super::{Outcome, output};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use tcpglass::attach::{Ask, Select, Visitor};
use tcpglass::report::{SocketForm, SocketList};

/// Shows them as they come.
pub fn run(args: Ss) -> Outcome {
    let select = select(&args)?;
    let mut visitor = attached::find(args.pid, "ss")?;
    if args.summary {
        return summary(&args, &mut visitor);
    }
    let ask = Ask::Sockets { select, sorted: None, tcp_info: args.output.json || !args.no_info };
    if args.output.json {
        return json(&mut visitor, &ask);
    }
    let form = SocketForm { header: !args.no_header, info: !args.no_info, oneline: args.oneline };
    let mut list = SocketList::new(form, output::stdout_style(&args.output));
    each(&mut visitor, &ask, &mut |socket| output::result(&list.add(&socket)))?;
    output::result(&list.finish())?;
    Ok(ExitCode::SUCCESS)
}

/// What is asked for: the filter, with what the options say in front of it. States in the filter win, as in `ss`.
fn select(args: &Ss) -> Result<Select, Failure> {
    let typed = attached::select(&args.filter)?.to_string();
    let family = match (args.ipv4, args.ipv6) {
        (true, _) => "family inet ",
        (_, true) => "family inet6 ",
        _ => "",
    };
    let named =
        ["state", "exclude", "excl", "family"].iter().any(|word| typed.split(' ').next() == Some(word));
    let states = match (named, args.listening, args.all || args.summary) {
        (true, ..) => "",
        (_, true, _) => "state listening ",
        (_, _, true) => "state all ",
        _ => "",
    };
    attached::select(&[format!("{family}{states}{typed}")])
}

/// Hands each socket on, and what the stack says of all.
fn each(
    visitor: &mut Visitor,
    ask: &Ask,
    take: &mut dyn FnMut(Value) -> Result<(), Failure>,
) -> Result<Value, Failure> {
    let pid = visitor.about()["pid"].as_u64().unwrap_or(0) as u32;
    let lost = |e| attached::unreachable(pid, &e);
    let mut sockets = visitor.sockets(ask).map_err(lost)?;
    for socket in sockets.by_ref() {
        take(socket.map_err(lost)?)?;
    }
    Ok(sockets.totals())
}

/// One object, written as it comes: there may be many.
fn json(visitor: &mut Visitor, ask: &Ask) -> Outcome {
    let about = visitor.about().clone();
    let refused = |e| Failure::writing("standard output", &e);
    let mut out = std::io::BufWriter::new(output::stdout().map_err(refused)?);
    let mut write = |text: String| out.write_all(text.as_bytes()).map_err(refused);
    write(format!("{{\"schema\":\"tcpglass.ss/1\",\"stack\":{about},\"sockets\":["))?;
    let mut comma = "";
    let totals = each(visitor, ask, &mut |socket| {
        write(format!("{comma}{socket}"))?;
        comma = ",";
        Ok(())
    })?;
    write(format!("],\"totals\":{totals}}}\n"))?;
    out.flush().map_err(refused)?;
    Ok(ExitCode::SUCCESS)
}

/// How many there are in each state.
fn summary(args: &Ss, visitor: &mut Visitor) -> Outcome {
    let ask = Ask::Sockets { select: select(args)?, sorted: None, tcp_info: false };
    let mut states = BTreeMap::<String, u64>::new();
    let totals = each(visitor, &ask, &mut |socket| {
        *states.entry(socket["state"].as_str().unwrap_or("?").to_owned()).or_default() += 1;
        Ok(())
    })?;
    if args.output.json {
        let object = serde_json::json!({
            "schema": "tcpglass.ss-summary/1", "stack": visitor.about(), "states": states, "totals": totals,
        });
        output::json(&object)?;
    } else {
        let counts: Vec<String> = states.iter().map(|(state, n)| format!("{state} {n}")).collect();
        output::result(&format!("TCP: {} ({})\n", totals["matched"], counts.join(", ")))?;
    }
    Ok(ExitCode::SUCCESS)
}
