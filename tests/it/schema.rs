//! Is what the commands print what the published schemas say?

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Checks the parts of JSON Schema that our files use; what is not one of them is an error, so that none is overlooked.
fn check(schema: &Value, value: &Value, root: &Value, place: &str) {
    for (key, rule) in schema.as_object().unwrap() {
        match key.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => {}
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                check(&root["$defs"][name], value, root, place);
            }
            "anyOf" => {
                let fits = |one: &Value| std::panic::catch_unwind(|| check(one, value, root, place)).is_ok();
                assert!(rule.as_array().unwrap().iter().any(fits), "{place}: {value} is none of them");
            }
            "const" => assert_eq!(value, rule, "{place}"),
            "enum" => assert!(rule.as_array().unwrap().contains(value), "{place}: {value}"),
            "type" => {
                let one = [rule.clone()];
                let types = rule.as_array().map_or(&one[..], |list| list);
                let is = |name: &Value| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    other => panic!("{other}"),
                };
                assert!(types.iter().any(is), "{place}: {value} is no {rule}");
            }
            "minimum" => assert!(value.as_i64().is_none_or(|n| n >= rule.as_i64().unwrap()), "{place}"),
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(rule, item, root, &format!("{place}[{n}]"));
                }
            }
            "required" => {
                for name in rule.as_array().unwrap() {
                    assert!(value.get(name.as_str().unwrap()).is_some(), "{place} has no {name}");
                }
            }
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    if let Some(field) = value.get(name) {
                        check(rule, field, root, &format!("{place}.{name}"));
                    }
                }
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let others = value.as_object().into_iter().flatten();
                for (name, field) in others.filter(|(name, _)| known.is_none_or(|k| !k.contains_key(*name))) {
                    match rule {
                        Value::Bool(allowed) => assert!(*allowed, "{place}.{name} is not in the schema"),
                        rule => check(rule, field, root, &format!("{place}.{name}")),
                    }
                }
            }
            other => panic!("{other} is not checked"),
        }
    }
}

/// Whether `value` is what the published schema says.
///
/// # Panics
/// It is not.
pub fn holds(file: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{file}.json"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    check(&schema, value, &schema, file);
}

/// Whether it is one of a schema's definitions.
///
/// # Panics
/// It is not.
pub fn is(file: &str, definition: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{file}.json"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    check(&schema["$defs"][definition], value, &schema, definition);
}

fn printed(args: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_tcpglass"))
        .args(args.split(' '))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args}: {e}: {output:?}"))
}

#[test]
fn what_is_printed_is_what_the_schemas_say() {
    for (file, args) in [
        ("explain-2", "explain --json captures/nagle_delayed_ack.pcapng"),
        ("explain-2", "explain --json --infer captures/loss_recovery.pcapng"),
        ("explain-2", "explain --json --infer captures/http_get.pcapng"),
        (
            "get-2",
            "get --json --sim rtt=10ms,loss=2% http://glass/bytes/50000 http://glass/delay/3 http://glass:81/",
        ),
        ("load-2", "load --json --sim rtt=1ms -n 20 -c 2 http://glass/bytes/100"),
        ("lab-2", "lab nagle handshake --json"),
        ("what-if-1", "what-if captures/nagle_delayed_ack.pcapng --set tcp.nagle=off --json"),
        ("what-if-1", "what-if captures/loss_recovery.pcapng --infer --set client:tcp.nagle=off --json"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{file}.json"));
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        check(&schema, &printed(args), &schema, args);
    }
}

#[test]
fn a_value_that_a_schema_does_not_allow_is_found() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema/get-2.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let whole = printed("get --json --sim rtt=1ms http://glass/");
    let spoil = |change: &dyn Fn(&mut Value)| {
        let mut value = whole.clone();
        change(&mut value);
        std::panic::catch_unwind(|| check(&schema, &value, &schema, "spoilt")).is_err()
    };
    assert!(!spoil(&|_| {}));
    assert!(spoil(&|v| v["schema"] = "tcpglass.get/1".into()));
    assert!(spoil(&|v| v["exchanges"][0]["total_us"] = (-1).into()));
    assert!(spoil(&|v| v["exchanges"][0]["ledger_us"]["wait"] = 1.into()));
    assert!(spoil(&|v| drop(v["exchanges"][0].as_object_mut().unwrap().remove("status"))));
}

/// Neither a capture nor anything else of the user's is written over by a result.
#[test]
fn results_go_nowhere_where_something_else_is() {
    let place = std::env::temp_dir().join(format!("tcpglass-overwrite-{}", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    let run = |args: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tcpglass"));
        let output = command.args(args.split(' ')).current_dir(&place).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let capture = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/captures/http_get.pcapng")).unwrap();
    std::fs::write(place.join("a.pcapng"), &capture).unwrap();
    std::fs::hard_link(place.join("a.pcapng"), place.join("b.pcapng")).unwrap();
    std::fs::write(place.join("doc.txt"), "kept").unwrap();
    std::fs::write(place.join("pre-1-up.xpl"), "kept").unwrap();
    for args in [
        "explain --csv a.pcapng a.pcapng",
        "explain --csv b.pcapng a.pcapng",
        "explain --csv doc.txt a.pcapng",
        "explain --xplot pre a.pcapng",
        "explain --html doc.txt a.pcapng",
        "what-if a.pcapng --set tcp.nagle=off --trace a.pcapng",
        "what-if a.pcapng --set tcp.nagle=off --trace ./b.pcapng",
    ] {
        let (code, error) = run(args);
        assert_eq!(code, Some(2), "{args}: {error}");
        assert!(error.contains("another name"), "{args}: {error}");
    }
    assert_eq!(std::fs::read(place.join("a.pcapng")).unwrap(), capture);
    for name in ["doc.txt", "pre-1-up.xpl"] {
        assert_eq!(std::fs::read_to_string(place.join(name)).unwrap(), "kept");
    }
    assert!(!place.join("pre-1-down.xpl").exists(), "all graphs or none");
    // What is of the same kind is made anew.
    for _ in 0..2 {
        assert_eq!(run("explain --csv t.csv --xplot graph --html p.html a.pcapng").0, Some(0));
    }
    std::fs::remove_dir_all(&place).unwrap();
}

#[test]
fn exchanges_as_lines_and_graphs_for_xplot_hold_what_the_capture_holds() {
    let directory = std::env::temp_dir().join(format!("tcpglass-forms-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = |name: &str| directory.join(name).display().to_string();
    let args = format!(
        "explain --json captures/loss_recovery.pcapng --csv {} --xplot {}",
        file("exchanges.csv"),
        file("graph")
    );
    let told = printed(&args);
    let csv = std::fs::read_to_string(file("exchanges.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let exchanges = told["connections"][0]["exchanges"].as_array().unwrap();
    assert_eq!(rows.len(), 1 + exchanges.len());
    for row in &rows[1..] {
        let parts: u64 = row[13..].iter().map(|us| us.parse::<u64>().unwrap()).sum();
        assert_eq!(parts.to_string(), row[12], "{row:?}");
    }
    // All data goes up; three segments of it do so twice.
    for (way, again) in [("up", 3), ("down", 0)] {
        let graph = std::fs::read_to_string(file(&format!("graph-1-{way}.xpl"))).unwrap();
        assert!(graph.starts_with("timeval unsigned\ntitle\n") && graph.ends_with("go\n"));
        assert_eq!(graph.lines().filter(|line| *line == "red").count(), again, "{way}");
        assert_eq!(graph.contains("darrow"), way == "up");
        assert!(graph.contains("green") && graph.contains("yellow"), "{way}");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn every_line_of_the_events_is_what_the_schema_says() {
    let path = std::env::temp_dir().join(format!("tcpglass-events-{}.jsonl", std::process::id()));
    let args = "get --json --sim rtt=10ms,drop_nth=3+9 http://glass/bytes/90000 http://glass:81/ --events";
    printed(&format!("{args} {}", path.display()));
    let lines = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        is("event-1", line["kind"].as_str().unwrap(), line);
    }
    let count = |kind| lines.iter().filter(|line| line["kind"] == kind).count();
    assert!(count("packet") > 100 && count("event") > 20 && count("end") == 1);
}

#[test]
fn a_fetch_tells_what_linux_would_tell_of_its_connection() {
    let told = printed("get --json --sim rtt=10ms http://glass/bytes/50000 http://glass:81/");
    let info = &told["exchanges"][0]["tcp_info"];
    assert_eq!((&info["state"], &info["rtt"]), (&1.into(), &10_000.into()), "{info}");
    assert!(info["bytes_received"].as_u64().unwrap() > 50_000);
    assert_eq!(tcpglass::tcp::Info::NAMES.len(), info.as_object().unwrap().len());
    assert!(told["exchanges"][1]["error"].is_string());
}

#[test]
fn what_run_prints_is_what_its_schema_says() {
    const NAME: &str = "what_run_prints_is_what_its_schema_says";
    if let Some(check) = tcpglass::tun::doctor().into_iter().find(|check| !check.ok && !check.optional) {
        println!("skipped: {NAME} needs {} ({})", check.name, check.found);
        return;
    }
    if !crate::judge::have("curl", NAME) {
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_tcpglass"))
        .args(["run", "--json", "--", "curl", "-s", "http://10.77.0.2/bytes/10", "-o", "/dev/null"])
        .output()
        .unwrap();
    let value: Value = serde_json::from_slice(&output.stderr).unwrap();
    holds("run-3", &value);
    assert_eq!(value["http"]["first"][0]["bytes"], 10);
}
