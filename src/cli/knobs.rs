//! `tcpglass knobs`: which settings are there?

use super::args::Knobs;
use super::{Outcome, options, output};
use serde_json::json;
use std::process::ExitCode;
use tcpglass::report::{Style, Table};
use tcpglass::settings::{Profile, Row, Settings, find, table};

/// Prints the table of all settings, or all there is to know about some.
pub fn run(args: Knobs) -> Outcome {
    let now = options::settings(&args.settings)?;
    let rows: Vec<Row> = if args.names.is_empty() {
        table().collect()
    } else {
        args.names.iter().map(|name| find(name)).collect::<Result<_, _>>()?
    };
    let profiles = Profile::ALL.map(|p| (p.name(), Settings::new(p)));
    if args.output.json {
        let list: Vec<_> = rows.iter().map(|row| object(*row, &profiles, &now)).collect();
        output::json(&json!({ "schema": "tcpglass.knobs/1", "knobs": list }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let style = output::stdout_style(&args.output);
    let text = if args.names.is_empty() {
        overview(&rows, &profiles, &now, style)
    } else {
        rows.iter().map(|row| details(*row, &profiles, &now, style)).collect::<Vec<_>>().join("\n")
    };
    output::result(&text)?;
    Ok(ExitCode::SUCCESS)
}

type Profiles = [(&'static str, Settings); 3];

fn overview(rows: &[Row], profiles: &Profiles, now: &Settings, style: Style) -> String {
    let base = profiles.iter().any(|(_, p)| p == now);
    let mut headings = vec!["knob", "linux", "rfc", "classic"];
    if !base {
        headings.push("now");
    }
    headings.extend(["values", "meaning"]);
    let mut table = Table::new(&headings);
    for row in rows {
        let mut cells = vec![row.name().to_owned()];
        cells.extend(profiles.iter().map(|(_, settings)| row.get(settings)));
        if !base {
            cells.push(row.get(now));
        }
        cells.extend([row.values().to_owned(), row.meaning().to_owned()]);
        table.row(cells);
    }
    table.render(style, "")
}

fn details(row: Row, profiles: &Profiles, now: &Settings, style: Style) -> String {
    let defaults: Vec<String> = profiles.iter().map(|(name, s)| format!("{name} {}", row.get(s))).collect();
    let mut text = format!("{}: {}\n", style.bold(row.name()), row.meaning());
    for (what, value) in [
        ("values", row.values()),
        ("profiles", &defaults.join(", ")),
        ("now", &row.get(now)),
        ("Linux", row.linux()),
        ("RFC", row.rfc()),
    ] {
        if !value.is_empty() {
            text += &format!("  {what:<8}  {value}\n");
        }
    }
    text
}

fn object(row: Row, profiles: &Profiles, now: &Settings) -> serde_json::Value {
    let defaults: serde_json::Map<_, _> =
        profiles.iter().map(|(name, s)| ((*name).to_owned(), row.get(s).into())).collect();
    json!({
        "name": row.name(),
        "values": row.values(),
        "meaning": row.meaning(),
        "linux": row.linux(),
        "rfc": row.rfc(),
        "profiles": defaults,
        "now": row.get(now),
    })
}
