//! Do the experiments find with Linux' own TCP what they compute? Each in networks of its own, in real time.

use super::place;
use crate::judge::fields;
use serde_json::Value;
use std::process::Command;

/// Runs an experiment against the kernel. What a machine that is busy cannot change has to be as computed: these columns,
/// that nothing comes sooner than it can, and these claims wherever the machine was not too late to tell.
fn against_the_kernel(experiment: &str, sweep: &[&str], columns: &[&str], claims: &[&str]) {
    let test = format!("against_the_kernel_{experiment}");
    let Some(place) = place(&test, &[]) else { return };
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcpglass"));
    command.current_dir(&place.0).args(["lab", experiment, "--tun", "--json", "--out", "kept"]);
    command.args(sweep.iter().flat_map(|values| ["--sweep", values]));
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let counted = |name: &str| found["experiments"][0][name].as_u64().unwrap();
    // What a late machine spoiled is no reason to say that a claim does not hold.
    let expected = if counted("surprises") > 0 || counted("expectations") == 0 { 6 } else { 0 };
    assert_eq!(output.status.code(), Some(expected), "{experiment}: {error}");
    assert_eq!(counted("untold") > 0, error.contains("this machine was too busy"), "{experiment}: {error}");
    let arms = found["experiments"][0]["arms"].as_array().unwrap();
    for claim in claims {
        let all = found["experiments"][0]["claims"].as_array().unwrap();
        let found = all.iter().find(|found| found["name"] == *claim).unwrap();
        assert_eq!(found["held"], found["of"], "{experiment}: {found}");
        assert!(found["of"].as_u64().unwrap() + found["late"].as_u64().unwrap() > 0, "{experiment}: {found}");
    }
    for peer in ["kernel server", "kernel client"] {
        assert!(arms.iter().any(|arm| arm["varied"]["peer"] == peer), "{experiment}: no {peer}");
    }
    for arm in arms {
        let (varied, measured) = (&arm["varied"], arm["measured"].as_object().unwrap());
        // Where a program was so late that something else became of it, nothing can be said of when.
        let another = |cell: &Value| {
            cell["unit"] == "word" && cell["expected"].is_string() && cell["value"] != cell["expected"]
        };
        let late = arm["machine_was_late"] == true && arm["held"] == false;
        if late || !columns.contains(&"then") && measured.values().any(another) || varied["way"] == "reuse" {
            continue;
        }
        for (name, cell) in measured {
            let (value, expected) = (&cell["value"], &cell["expected"]);
            let low = expected.as_array().map_or(expected, |band| &band[0]);
            let high = expected.as_array().map_or(expected, |band| &band[1]);
            if cell["unit"] == "us" && low.is_u64() {
                assert!(value.as_u64() >= low.as_u64(), "{experiment} {varied}: {name} is {cell}");
            }
            if !columns.contains(&name.as_str()) || expected.is_null() {
                continue;
            }
            let within = match (value.as_f64(), low.as_f64(), high.as_f64()) {
                (Some(value), Some(low), Some(high)) => (low..=high).contains(&value),
                _ => value == expected,
            };
            assert!(within, "{experiment} {varied}: {name} is {cell}");
        }
        // What our stack saw, at whichever end it was.
        let (_, file) = arm["captures"].as_object().unwrap().iter().next().unwrap();
        let capture = place.0.join("kept").join(experiment).join(file.as_str().unwrap());
        if crate::judge::have("tshark", &test) {
            let first = fields(&capture, "tcp.flags.syn == 1 && tcp.flags.ack == 0", &["ip.src"]);
            assert_eq!(first.first().map(String::as_str), Some("10.77.0.1"), "{experiment} {varied}");
        }
    }
}

#[test]
fn ten_unread_responses_and_an_eleventh_request_end_with_the_kernel_as_with_ourselves() {
    against_the_kernel("closing", &["server=full"], &["bytes", "then", "RSTs"], &["full-close-without-more"]);
}

#[test]
fn a_connection_with_the_kernel_costs_a_round_trip() {
    against_the_kernel("handshake", &["size=1KiB", "rtt=50ms"], &["SYNs"], &["one-round-trip"]);
}

#[test]
fn small_writes_are_bundled_by_the_kernel_and_by_us() {
    let claims = ["bundles", "forty-for-one", "full-or-acknowledged", "delays"];
    against_the_kernel("nagle", &["write=10"], &["header bytes"], &claims);
}

#[test]
fn acknowledgments_of_the_kernel_are_delayed_as_computed() {
    let claims = ["piggyback", "request-response-rarely", "bulk-halves", "half-a-second"];
    against_the_kernel("delayed-ack", &["ack_delay=40ms"], &[], &claims);
}

#[test]
fn the_stall_of_two_small_writes_exists_with_the_kernel() {
    against_the_kernel(
        "nagle-delayed-ack",
        &["ack_delay=40ms"],
        &["nagle-release", "ack-delayed"],
        &["stall"],
    );
}

#[test]
fn connections_with_the_kernel_are_kept_and_ended_as_was_said() {
    against_the_kernel("persistent", &["rtt=20ms"], &["connections"], &["saves-handshakes"]);
}

#[test]
fn requests_are_pipelined_to_a_kernel_and_by_one() {
    let claims = ["saves-round-trips", "head-of-line"];
    against_the_kernel("pipelining", &["depth=16"], &["answered", "connections"], &claims);
}

#[test]
fn ports_run_out_with_the_kernel_too() {
    against_the_kernel(
        "time-wait",
        &["ports=10", "time_wait=10s"],
        &["without waiting", "TIME-WAIT"],
        &["first-closer-pays"],
    );
}
