//! Does Wireshark show what tcpglass says, with the post-dissector and the profile that are handed out?

use crate::judge;
use std::path::{Path, PathBuf};
use std::process::Command;

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

/// tshark with the post-dissector and the profile in a configuration folder of its own; what it prints, line by line.
fn tshark(test: &str, args: &[&str]) -> Vec<String> {
    let home = std::env::temp_dir().join(format!("tcpglass-wireshark-{test}-{}", std::process::id()));
    let profile = home.join("profiles/tcpglass");
    std::fs::create_dir_all(&profile).unwrap();
    for file in std::fs::read_dir(captures().join("wireshark/tcpglass")).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(&file, profile.join(file.file_name().unwrap())).unwrap();
    }
    let lua = format!("lua_script:{}", captures().join("wireshark/tcpglass.lua").display());
    let mut command = Command::new("tshark");
    command.env("WIRESHARK_CONFIG_DIR", &home).args(["-n", "-C", "tcpglass", "-X", &lua]).args(args);
    let output = command.output().unwrap();
    std::fs::remove_dir_all(&home).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !error.contains("Lua"), "{args:?}: {error}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn capture(name: &str) -> String {
    captures().join(name).display().to_string()
}

#[test]
fn every_field_has_the_value_of_the_comment() {
    const TEST: &str = "every_field_has_the_value_of_the_comment";
    if !judge::have("tshark", TEST) {
        return;
    }
    const KEYS: [&str; 8] = ["conn", "state", "cwnd", "ssthresh", "flight", "rwnd", "unsent", "limit"];
    for name in ["http_get.pcapng", "nagle_delayed_ack.pcapng", "loss_recovery.pcapng"] {
        let file = capture(name);
        let mut args =
            vec!["-r", &file, "-Y", "tcp", "-T", "fields", "-E", "separator=|", "-e", "frame.comment"];
        let fields: Vec<String> =
            ["why", "srtt", "rto"].iter().chain(&KEYS).map(|key| format!("tcpglass.{key}")).collect();
        fields.iter().for_each(|field| args.extend(["-e", field]));
        // Commas separate the two comments; sentences have some, too.
        args.extend(["-E", "aggregator=\u{1f}"]);
        let rows = tshark(TEST, &args);
        assert!(rows.len() > 10, "{name}");
        for row in rows {
            let (comments, values) = row.split_once('|').unwrap();
            let (why, state) = comments.split_once('\u{1f}').unwrap();
            let mut values = values.split('|');
            let word = why.strip_prefix("why=").unwrap().split(':').next().unwrap();
            assert_eq!(values.next().unwrap(), word, "{row}");
            let stated = |key: &str| {
                let value = state.split(' ').find_map(|pair| pair.strip_prefix(&format!("{key}=")));
                value.unwrap_or_else(|| panic!("no {key} in {state}"))
            };
            for key in ["srtt", "rto"] {
                let ms = match stated(key) {
                    "unset" => String::new(),
                    time => milliseconds(time).to_string(),
                };
                assert_eq!(values.next().unwrap(), ms, "{key}: {row}");
            }
            for key in KEYS {
                assert_eq!(values.next().unwrap(), stated(key).replace("unset", ""), "{key}: {row}");
            }
        }
    }
}

fn milliseconds(time: &str) -> f64 {
    let digits = time.find(|c: char| c.is_ascii_alphabetic()).unwrap();
    let factor = match &time[digits..] {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        unit => panic!("{unit}"),
    };
    time[..digits].parse::<f64>().unwrap() * factor
}

#[test]
fn the_window_can_be_plotted() {
    const TEST: &str = "the_window_can_be_plotted";
    if !judge::have("tshark", TEST) {
        return;
    }
    let graph = "io,stat,0.1,MAX(tcpglass.cwnd)tcpglass.cwnd";
    let rows = tshark(TEST, &["-r", &capture("loss_recovery.pcapng"), "-q", "-z", graph]);
    let rows: Vec<&str> = rows.iter().filter(|row| row.contains("<>")).map(|row| row.trim()).collect();
    // Ten segments of 1448; slow start adds one for each of the five that are acknowledged before the loss: 15. NewReno
    // leaves half of them, 7, when recovery is over, and the next burst of five does not fill them.
    let most: Vec<&str> = rows.iter().map(|row| row.split('|').nth(2).unwrap().trim()).collect();
    assert_eq!(most[..4], ["14480", "21720", "10136", "10136"], "{rows:#?}");
}

#[test]
fn every_colour_rule_and_button_is_a_filter_that_wireshark_reads() {
    const TEST: &str = "every_colour_rule_and_button_is_a_filter_that_wireshark_reads";
    if !judge::have("tshark", TEST) {
        return;
    }
    let read =
        |file: &str| std::fs::read_to_string(captures().join("wireshark/tcpglass").join(file)).unwrap();
    let rules = read("colorfilters");
    let colours =
        rules.lines().filter(|l| l.starts_with('@')).map(|l| l.split('@').nth(2).unwrap().to_owned());
    let buttons = read("dfilter_buttons");
    let buttons = buttons.lines().map(|l| l.split("\",\"").nth(2).unwrap().replace("\\x22", "\""));
    let filters: Vec<String> = colours.chain(buttons).collect();
    assert_eq!(filters.len(), 17);
    // tshark refuses a filter that it can't read; some have nothing to find in this capture.
    let any = format!("({})", filters.join(") || ("));
    let rows = tshark(TEST, &["-r", &capture("loss_recovery.pcapng"), "-Y", &any]);
    assert!(rows.len() > 40, "{}", rows.len());
}

#[test]
fn the_profile_has_columns_for_the_reasons() {
    const TEST: &str = "the_profile_has_columns_for_the_reasons";
    if !judge::have("tshark", TEST) {
        return;
    }
    let rows = tshark(
        TEST,
        &["-r", &capture("nagle_delayed_ack.pcapng"), "-Y", "frame.number == 15 || frame.number == 13"],
    );
    assert!(rows[0].contains("nagle-hold: Nagle's algorithm holds 300 bytes"), "{rows:#?}");
    assert!(rows[1].contains("nagle-release nagle ESTABLISHED 14480 300"), "{rows:#?}");
}
