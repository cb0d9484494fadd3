//! `tcpglass doctor`: what does this machine allow, and what can be done about the rest?

use super::args::Doctor;
use super::failure::Exit;
use super::{Outcome, output};
use serde_json::json;
use std::process::ExitCode;
use tcpglass::report::Style;
use tcpglass::tun::{self, Check};

/// Looks at everything that the other commands need. Exit 1 if something is missing that no command can do without.
pub fn run(args: Doctor) -> Outcome {
    let checks = tun::doctor();
    let healthy = checks.iter().all(|c| c.ok || c.optional);
    if args.output.json {
        let list: Vec<_> = checks.iter().map(object).collect();
        output::json(&json!({ "schema": "tcpglass.doctor/1", "ok": healthy, "checks": list }))?;
    } else {
        let style = output::stdout_style(&args.output);
        output::result(&checks.iter().map(|c| line(c, style)).collect::<String>())?;
    }
    Ok(if healthy { ExitCode::SUCCESS } else { Exit::Failed.into() })
}

fn line(check: &Check, style: Style) -> String {
    let mark = match (check.ok, check.optional) {
        (true, _) => style.good("ok     "),
        (false, true) => style.dim("without"),
        (false, false) => style.bad("missing"),
    };
    let mut text = format!("{mark}  {}: {}\n", style.bold(check.name), check.found);
    if let (false, Some(remedy)) = (check.ok, &check.remedy) {
        text += &format!("         {remedy}\n");
    }
    text
}

fn object(check: &Check) -> serde_json::Value {
    json!({
        "name": check.name,
        "ok": check.ok,
        "optional": check.optional,
        "found": check.found,
        "remedy": check.remedy,
    })
}
