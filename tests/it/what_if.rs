//! Does a captured conversation, held again under other settings, go as it goes there?

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tcpglass::settings::Settings;
use tcpglass::time::Duration;
use tcpglass::whatif::{Scenario, what_if};

/// A directory of its own for a test, gone at its end.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Place {
        let path = std::env::temp_dir().join(format!("tcpglass-what-if-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tcpglass")).args(args).current_dir(&self.0).output().unwrap()
    }

    /// Fetches in the simulator and returns the capture.
    fn get(&self, link: &str, sets: &[&str], args: &[&str]) -> Vec<u8> {
        let mut all = vec!["get", "--json", "--trace", "a.pcapng", "--sim", link];
        sets.iter().for_each(|set| all.extend(["--set", set]));
        all.extend(args);
        let output = self.run(&all);
        assert!(output.status.success(), "{all:?}: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(self.0.join("a.pcapng")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What is fetched, over which link with which settings, and what is changed then.
struct Case {
    name: &'static str,
    link: &'static str,
    sets: &'static [&'static str],
    other_link: &'static str,
    other_sets: &'static [&'static str],
    args: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        name: "a smaller initial window",
        link: "rtt=50ms",
        sets: &[],
        other_link: "rtt=50ms",
        other_sets: &["tcp.init_cwnd=2"],
        args: &["http://glass/bytes/200000"],
    },
    Case {
        name: "a larger initial window, with another congestion control",
        link: "rtt=50ms",
        sets: &["tcp.init_cwnd=1", "tcp.congestion=newreno"],
        other_link: "rtt=50ms",
        other_sets: &["tcp.init_cwnd=20"],
        args: &["http://glass/bytes/200000", "http://glass/bytes/10"],
    },
    Case {
        name: "a longer way, past a server that thinks and one that drips",
        link: "rtt=20ms",
        sets: &[],
        other_link: "rtt=100ms",
        other_sets: &[],
        args: &[
            "http://glass/bytes/200000",
            "http://glass/delay/30",
            "http://glass/drip?chunks=5&size=100&gap=20",
        ],
    },
    Case {
        name: "ten times the bandwidth",
        link: "rtt=20ms,bandwidth=10mbit",
        sets: &[],
        other_link: "rtt=20ms,bandwidth=100mbit",
        other_sets: &[],
        args: &["http://glass/bytes/200000", "http://glass/delay/30", "http://glass/bytes/5000"],
    },
    Case {
        name: "requests sent ahead of their answers",
        link: "rtt=20ms",
        sets: &[],
        other_link: "rtt=60ms",
        other_sets: &[],
        args: &[
            "--pipeline",
            "3",
            "http://glass/bytes/20000",
            "http://glass/bytes/30",
            "http://glass/bytes/5000",
            "http://glass/bytes/70000",
        ],
    },
    Case {
        name: "a connection for each request",
        link: "rtt=20ms",
        sets: &[],
        other_link: "rtt=60ms",
        other_sets: &["tcp.init_cwnd=3"],
        args: &[
            "--no-keepalive",
            "http://glass/bytes/20000",
            "http://glass/bytes/30",
            "http://glass/bytes/5000",
        ],
    },
    Case {
        name: "two losses, without selective acknowledgments",
        link: "rtt=40ms,drop_nth=20+22+25",
        sets: &[],
        other_link: "rtt=40ms,drop_nth=20+22+25",
        other_sets: &["tcp.sack=off"],
        args: &["http://glass/bytes/100000"],
    },
    Case {
        // Of two: a probe for a single one waits as long as the time-out does.
        name: "a lost tail of two, with a probe",
        link: "rtt=40ms,drop_nth=2+3",
        sets: &["tcp.rto_min=400ms", "tcp.tail_loss_probe=off"],
        other_link: "rtt=40ms,drop_nth=2+3",
        other_sets: &["tcp.tail_loss_probe=on"],
        args: &["http://glass/bytes/3000"],
    },
    Case {
        name: "IPv6 on a slow link",
        link: "rtt=40ms,bandwidth=20mbit",
        sets: &[],
        other_link: "rtt=10ms,bandwidth=20mbit",
        other_sets: &["tcp.nagle=off"],
        args: &["http://[fd77::2]/bytes/100000", "http://[fd77::2]/delay/5"],
    },
    Case {
        name: "a larger receive buffer",
        link: "rtt=40ms,bandwidth=100mbit",
        sets: &["tcp.recv_buffer=32KiB"],
        other_link: "rtt=40ms,bandwidth=100mbit",
        other_sets: &["tcp.recv_buffer=6MiB"],
        args: &["http://glass/bytes/300000"],
    },
];

fn change(case: &Case, settings: &mut Settings) {
    let kept = |knob: &str| !knob.starts_with("drop_nth");
    for knob in case.other_link.split(',').filter(|k| kept(k)) {
        settings.set_link(knob).unwrap();
    }
    case.other_sets.iter().for_each(|set| settings.set(set).unwrap());
}

#[test]
fn our_own_capture_held_again_is_exact_and_under_other_settings_takes_what_it_takes_there() {
    let place = Place::new("own");
    for case in CASES {
        let name = case.name;
        let capture = place.get(case.link, case.sets, case.args);
        let scenario = Scenario::read(capture.as_slice(), None, false).unwrap();
        let comparison = what_if(&scenario, |_, settings| change(case, settings)).unwrap();
        assert!(comparison.exact && comparison.error == 0.0, "{name}: {}", comparison.error);
        assert_eq!(comparison.before.lasted, comparison.observed, "{name}");
        let there = place.get(case.other_link, &[case.sets, case.other_sets].concat(), case.args);
        let there = Scenario::read(there.as_slice(), None, false).unwrap().lasted();
        assert_eq!(comparison.after.lasted, there, "{name}");
        assert_ne!(
            (there, name),
            (comparison.observed, name),
            "the change makes a difference, or the test shows nothing"
        )
    }
}

/// A network and what is fetched over it, drawn from a seed.
fn drawn(seed: u64) -> (String, Vec<String>) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % n
    };
    let mut link = format!("rtt={}ms", [2, 20, 50, 80][below(4) as usize]);
    let mut may = |below: &mut dyn FnMut(u64) -> u64, text: &str, values: &[u64], unit: &str| {
        if below(2) == 0 {
            link += &format!(",{text}={}{unit}", values[below(values.len() as u64) as usize]);
        }
    };
    may(&mut below, "bandwidth", &[2, 8, 20, 100], "mbit");
    may(&mut below, "queue", &[5, 20, 50], "");
    may(&mut below, "loss", &[1, 2, 5], "%");
    may(&mut below, "drop_nth", &[3, 5, 17, 40], "+9");
    may(&mut below, "duplicate", &[1, 5], "%");
    let mut args: Vec<String> = vec!["--seed".into(), seed.to_string()];
    if below(3) == 0 {
        args.push("--no-keepalive".into());
    }
    if below(3) == 0 {
        args.extend(["--profile".into(), "rfc".into()]);
    }
    for _ in 0..1 + below(4) {
        let paths = [
            "bytes/0",
            "bytes/300",
            "bytes/14480",
            "bytes/100000",
            "delay/50",
            "drip?chunks=5&size=100&gap=20",
        ];
        args.push(format!("http://glass/{}", paths[below(6) as usize]));
    }
    (link, args)
}

#[test]
fn our_own_capture_of_any_drawn_network_comes_out_as_it_was_and_changed_as_it_goes_there() {
    let place = Place::new("drawn");
    let mut faults = 0;
    for seed in 0..30 {
        let (link, args) = drawn(seed);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let capture = place.get(&link, &[], &args);
        faults += String::from_utf8_lossy(&capture).matches("MESSAGE=link: lost").count();
        let scenario = Scenario::read(capture.as_slice(), None, false).unwrap();
        let comparison = what_if(&scenario, |_, settings| settings.set("tcp.init_cwnd=3").unwrap()).unwrap();
        assert!(comparison.exact && comparison.error == 0.0, "{link} {args:?}: off by {}", comparison.error);
        assert_eq!(comparison.before.lasted, comparison.observed, "{link} {args:?}");
    }
    assert!(faults > 30, "{faults} losses are not enough to try anything");
}

#[test]
fn a_loss_before_a_second_request_changes_nothing_about_it() {
    let place = Place::new("second");
    let urls = ["http://glass/bytes/300000", "http://glass/bytes/300"];
    for link in ["rtt=50ms,drop_nth=5", "rtt=20ms,drop_nth=2"] {
        let capture = place.get(link, &[], &urls);
        let scenario = Scenario::read(capture.as_slice(), None, false).unwrap();
        let comparison = what_if(&scenario, |_, settings| settings.set("tcp.rack=off").unwrap()).unwrap();
        assert!(comparison.exact, "{link}: off by {}", comparison.error);
        let there = place.get(link, &["tcp.rack=off"], &urls);
        let there = Scenario::read(there.as_slice(), None, false).unwrap().lasted();
        assert_eq!(comparison.after.lasted, there, "{link}");
    }
}

#[test]
fn one_end_alone_may_have_other_settings() {
    let place = Place::new("one-end");
    place.get("rtt=50ms", &[], &["http://glass/bytes/100000"]);
    let took = |set: &str| {
        let output = place.run(&["what-if", "a.pcapng", "--json", "--set", set]);
        assert!(output.status.success(), "{set}: {}", String::from_utf8_lossy(&output.stderr));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        json["after"]["total_us"].as_u64().unwrap()
    };
    let both = took("tcp.init_cwnd=2");
    assert_eq!(took("server:tcp.init_cwnd=2"), both, "the server sends");
    assert!(took("client:tcp.init_cwnd=2") < both, "the client's window does not matter");
    let output = place.run(&["what-if", "a.pcapng", "--set", "server:link.rtt=2ms"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("both ends have the same link"));
}

#[test]
fn a_run_that_is_described_needs_no_capture() {
    let place = Place::new("described");
    let run = |what: &str, set: &str| {
        let output = place.run(&["what-if", what, "--json", "--set", set]);
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, text, error) = run("get --sim rtt=50ms http://glass/bytes/100000", "tcp.init_cwnd=40");
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["exact"], &json["seed"]), (&true.into(), &1.into()));
    assert!(json["after"]["total_us"].as_u64() < json["before"]["total_us"].as_u64());
    let (code, text, error) =
        run("load --sim rtt=20ms -n 6 -c 3 http://glass/bytes/20000", "tcp.init_cwnd=2");
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["exact"], &json["connections"]), (&true.into(), &3.into()));
    let (code, text, _) = run("lab nagle-delayed-ack nagle=on ack_delay=40ms remedy=none", "tcp.nagle=off");
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &json["exact"]), (Some(0), &true.into()));
    assert!(json["after"]["total_us"].as_u64() < json["before"]["total_us"].as_u64());
    for (what, told) in [
        ("get http://glass/", "add --sim"),
        ("get --sim rtt=fast http://glass/", "not a duration"),
        ("lab nagle-delayed-ack nagle=on", "say which, of nagle=on_"),
        ("lab nagle-delayed-ack nagle=perhaps", "no arm of nagle-delayed-ack"),
        ("lab nothing-like-it x=1", "nothing-like-it"),
    ] {
        let (code, _, error) = run(what, "tcp.nagle=off");
        assert_eq!(code, Some(2), "{what}: {error}");
        assert!(error.contains(told) && error.matches('\n').count() == 1, "{what}: {error}");
    }
}

#[test]
fn three_hundred_clients_have_three_hundred_addresses() {
    use tcpglass::whatif::{Act, Deed};
    let place = Place::new("many");
    let capture = place.get("rtt=5ms", &[], &["http://glass/bytes/10"]);
    let mut scenario = Scenario::read(capture.as_slice(), None, false).unwrap();
    let first = scenario.talks[0].clone();
    assert!(first.acts[0].iter().any(|act: &Act| matches!(act.deed, Deed::Write(_))));
    for n in 1..300_u16 {
        let mut talk = first.clone();
        talk.number = usize::from(n) + 1;
        talk.client.set_ip([10, 9, (n >> 8) as u8, n as u8].into());
        scenario.talks.push(talk);
    }
    let played = scenario.play(|_, _| {}).unwrap();
    let others = played.scenario.talks.len();
    assert_eq!(others, 1, "the capture is made at the first client, and all others came to their end");
}

#[test]
fn as_the_capture_of_a_foreign_stack_it_is_predicted_within_ten_percent() {
    let place = Place::new("foreign");
    // A probe of the tail carries its last segment alone: that another was lost before it does not show at the receiver.
    for case in CASES.iter().filter(|case| !case.name.contains("tail of two, with a probe")) {
        let name = case.name;
        let capture = place.get(case.link, case.sets, case.args);
        let scenario = Scenario::read(capture.as_slice(), None, true).unwrap();
        assert!(!scenario.known && !scenario.assumptions.is_empty(), "{name}");
        let comparison = what_if(&scenario, |_, settings| change(case, settings)).unwrap();
        assert!(comparison.holds(), "{name}: off by {}", comparison.error);
        let there = place.get(case.other_link, &[case.sets, case.other_sets].concat(), case.args);
        let there = Scenario::read(there.as_slice(), None, false).unwrap().lasted();
        let off = comparison.after.lasted.abs_diff(there);
        assert!(off * 10 <= there, "{name}: {:?} instead of {there:?}", comparison.after.lasted);
    }
}

/// What a capture does not show of a stack is tried: windows without a scale, acknowledgments that always wait.
#[test]
fn habits_that_do_not_show_are_found_by_their_fit() {
    let place = Place::new("habits");
    for (sets, args) in [
        (&["tcp.window_scale=off"][..], &["http://glass/bytes/1000000"][..]),
        (
            &["tcp.ack_adaptive=off", "tcp.quickack=0", "tcp.nagle=on"],
            &["--pipeline", "4", "http://glass/delay/5", "http://glass/bytes/3000", "http://glass/bytes/100"],
        ),
    ] {
        let capture = place.get("rtt=40ms", sets, args);
        let scenario = Scenario::read(capture.as_slice(), None, true).unwrap();
        let comparison = what_if(&scenario, |_, _| {}).unwrap();
        assert!(comparison.holds(), "{sets:?}: off by {}", comparison.error);
    }
}

#[test]
fn an_arm_of_the_laboratory_with_the_knobs_of_another_takes_what_that_one_takes() {
    let place = Place::new("arms");
    let output =
        place.run(&["lab", "nagle-delayed-ack", "--out", "lab", "--sweep", "ack_delay=0,40ms,200ms"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let arm = |nagle: &str, delay: &str| {
        let name = format!("lab/nagle-delayed-ack/nagle={nagle}_ack_delay={delay}_remedy=none.client.pcapng");
        let file = std::fs::read(place.0.join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        Scenario::read(file.as_slice(), None, false).unwrap()
    };
    for from in ["on", "off", "minshall"] {
        for to in ["on", "off", "minshall"] {
            for (delay, other) in [("0", "40ms"), ("40ms", "200ms"), ("200ms", "0")] {
                let name = format!("{from} {delay} → {to} {other}");
                let comparison = what_if(&arm(from, delay), |_, settings| {
                    settings.set_value("tcp.nagle", to).unwrap();
                    settings.set_value("tcp.ack_delay", other).unwrap();
                })
                .unwrap();
                assert!(comparison.exact, "{name}: off by {}", comparison.error);
                assert_eq!(comparison.after.lasted, arm(to, other).lasted(), "{name}");
            }
        }
    }
}

#[test]
fn the_program_says_what_moved_and_how_far_it_can_be_believed() {
    let place = Place::new("program");
    place.get("rtt=50ms", &[], &["http://glass/bytes/100000", "http://glass/delay/20"]);
    let output = place.run(&["what-if", "a.pcapng", "--set", "tcp.init_cwnd=40", "--trace", "b.pcapng"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for told in
        ["every write passes at the microsecond", "270 ms → 220 ms", "−50 ms", "cwnd", "GET /bytes/100000"]
    {
        assert!(text.contains(told), "{told}: {text}");
    }
    let explained = place.run(&["explain", "b.pcapng"]);
    assert!(String::from_utf8_lossy(&explained.stdout).contains("GET /delay/20"), "the replay is a capture");
    let output = place.run(&["what-if", "a.pcapng", "--link", "rtt=100ms", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["schema"], "tcpglass.what-if/1");
    assert_eq!((&json["exact"], &json["concluded"]), (&true.into(), &true.into()));
    let after = &json["after"];
    let parts: u64 = after["ledger_us"].as_object().unwrap().values().map(|v| v.as_u64().unwrap()).sum();
    assert_eq!(
        parts,
        after["total_us"].as_u64().unwrap(),
        "one connection without pauses: the parts are the whole"
    );
}

#[test]
fn what_cannot_be_replayed_is_said_and_nothing_is_concluded() {
    let place = Place::new("refused");
    place.get("rtt=50ms", &[], &["http://glass/bytes/1000"]);
    std::fs::write(place.0.join("text.txt"), "no capture\n").unwrap();
    for (args, code, told) in [
        ("what-if a.pcapng", 2, "nothing is to be changed"),
        ("what-if a.pcapng --set tcp.nagel=off", 2, "did you mean tcp.nagle?"),
        ("what-if a.pcapng --link rtt=fast", 2, "not a duration"),
        ("what-if none.pcapng --set tcp.nagle=off", 2, "cannot open capture none.pcapng"),
        ("what-if text.txt --set tcp.nagle=off", 2, "is no capture"),
        ("what-if a.pcapng --set tcp.nagle=off --connection 7", 1, "no TCP connection"),
        ("what-if a.pcapng --set tcp.nagle=off --trace text.txt", 2, "a file of another kind"),
        // A link that loses everything: the replay comes to no end.
        ("what-if a.pcapng --link loss=100%", 6, "the replay"),
    ] {
        let args: Vec<&str> = args.split(' ').collect();
        let output = place.run(&args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(told) && error.matches('\n').count() == 1, "{args:?}: {error}");
    }
}

#[test]
fn a_capture_that_the_model_does_not_explain_is_refused() {
    let place = Place::new("unexplained");
    // Its stack took a second to find out that the tail was lost, and did without probes, which does not show.
    let sets = ["tcp.rto_min=1s", "tcp.tail_loss_probe=off"];
    place.get("rtt=40ms,drop_nth=2+3", &sets, &["http://glass/bytes/3000"]);
    let output = place.run(&["what-if", "a.pcapng", "--infer", "--set", "tcp.nagle=off"]);
    let (text, error) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(6), "{text}{error}");
    assert!(text.contains("nothing is concluded") && !text.contains("with tcp.nagle=off"), "{text}");
    assert!(
        error.contains("no conclusion") && error.contains("off by") && error.contains("10 % is the limit"),
        "{error}"
    );
}

#[test]
fn the_golden_capture_of_losses_is_explained() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/loss_recovery.pcapng");
    let output =
        Place::new("golden").run(&["what-if", &golden.display().to_string(), "--set", "tcp.nagle=off"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("with tcp.nagle=off: 300 ms → 300 ms"), "{text}");
}

#[test]
fn what_nobody_waited_for_does_not_count_as_predicted() {
    let place = Place::new("idle");
    let capture = place.get("rtt=10ms", &[], &["http://glass/delay/5000"]);
    let scenario = Scenario::read(capture.as_slice(), None, false).unwrap();
    assert_eq!(scenario.lasted(), Duration::from_millis(5020));
    assert_eq!(scenario.talks[0].busy(), Duration::from_millis(251), "a twentieth, since 20 ms are less");
}
