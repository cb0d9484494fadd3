use super::*;
use crate::settings::Profile;
use crate::time::Duration;

fn find(name: &str) -> &'static Experiment {
    EXPERIMENTS.iter().find(|e| e.name == name).unwrap()
}

/// What is varied less in builds that verify every packet.
fn setup(experiment: &Experiment, profile: Profile, seed: u64) -> Setup {
    let few = [
        ("size", "1KiB,100KiB"),
        ("rtt", "20ms,100ms"),
        ("thinks", "10ms,500ms"),
        ("iw", "1,10"),
        ("ports", "100"),
        ("buffer", "16KiB,512KiB"),
        ("overtaken_by", "2,4"),
        ("queue", "20"),
        ("lasts", "10s"),
        ("connections", "2"),
        ("loss", "1%,2%"),
        ("draw", "1"),
    ];
    let few = few
        .iter()
        .filter(|(name, _)| cfg!(debug_assertions) && experiment.axes.iter().any(|a| a.name == *name));
    let sweep =
        few.map(|(name, v)| ((*name).to_owned(), v.split(',').map(str::to_owned).collect())).collect();
    Setup { settings: Settings::new(profile), seed, sweep, ..Setup::default() }
}

fn surprises(experiment: &Experiment, findings: &Findings) -> String {
    let mut told = String::new();
    for row in &findings.rows {
        for cell in row.cells.iter().filter(|cell| !cell.holds()) {
            told += &format!(
                "{} {}: {} is {}, expected {}\n",
                experiment.name,
                row.label(),
                cell.name,
                cell.value,
                cell.expected
            );
        }
    }
    told
}

/// Those that send megabytes: two runs of each say enough.
const HEAVY: [&str; 6] = ["slow-start", "parallel", "fairness", "reordering", "buffers", "bufferbloat"];

#[test]
fn expectations_hold_and_verdicts_stay_the_same_whatever_the_seed_and_the_profile() {
    for experiment in EXPERIMENTS {
        let all = [(Profile::Linux, 1), (Profile::Rfc, 2), (Profile::Classic, 3), (Profile::Linux, 77)];
        let runs = if HEAVY.contains(&experiment.name) { &all[..2] } else { &all[..] };
        let mut verdicts = Vec::new();
        for &(profile, seed) in runs {
            let findings = experiment.run(&setup(experiment, profile, seed)).unwrap();
            let told = surprises(experiment, &findings);
            assert!(findings.hold(), "{} with seed {seed}:\n{told}", profile.name());
            looks_the_same(experiment, &findings);
            verdicts.push(findings.conclusions.iter().map(|c| (c.claim, c.verdict())).collect::<Vec<_>>());
        }
        assert!(verdicts.iter().all(|v| *v == verdicts[0]), "{}: {verdicts:#?}", experiment.name);
        let claims: Vec<_> = experiment.claims.iter().map(|c| c.name).collect();
        let judged: Vec<_> = verdicts[0].iter().map(|v| v.0).collect();
        assert_eq!(claims, judged, "{}: each claim is judged once, in order", experiment.name);
    }
}

/// Rows have the same columns, and there is something to see.
fn looks_the_same(experiment: &Experiment, findings: &Findings) {
    let looks = |row: &Row| {
        let varied = row.varied.iter().map(|v| v.0.clone());
        varied.chain(row.cells.iter().map(|c| c.name.to_owned())).collect::<Vec<_>>()
    };
    assert!(findings.rows.iter().all(|row| looks(row) == looks(&findings.rows[0])), "{}", experiment.name);
    assert!(findings.figure.is_some(), "{}: nothing to see", experiment.name);
}

#[test]
fn an_experiment_can_fail() {
    let wrong = Experiment {
        claims: &[],
        run: |lab| {
            let mut arm = lab.arm(&[("rtt", "20ms")], &[("link.rtt", "20ms")])?;
            let (start, _) = (arm.now(), arm.pair()?);
            arm.time("time", arm.now().since(start), Duration::from_millis(10));
            lab.record(arm)
        },
        ..handshake::EXPERIMENT
    };
    let findings = wrong.run(&Setup::default()).unwrap();
    assert!(!findings.hold(), "a connection takes half a round trip: {:#?}", findings.rows);
}

#[test]
fn what_a_plan_does_not_compute_with_cannot_be_set() {
    for experiment in EXPERIMENTS {
        for knob in [
            "link.loss",
            "link.mtu",
            "link.duplicate",
            "link.reorder",
            "http.idle_connections",
            "http.farewell",
            "tcp.notsent_lowat",
            "http.max_fields",
        ] {
            assert!(experiment.sets(knob), "{} {knob}", experiment.name);
        }
    }
}

#[test]
fn axes_end_where_the_plan_would_not_hold_or_nobody_would_wait() {
    for (experiment, axis, value) in [
        ("buffers", "buffer", "1GiB"),
        ("buffers", "buffer", "1"),
        ("handshake", "rtt", "1h"),
        ("handshake", "rtt", "1s"),
        ("handshake", "size", "1GiB"),
        ("persistent", "rtt", "5s"),
        ("transaction", "rtt", "2s"),
        ("nagle-delayed-ack", "ack_delay", "1h"),
        ("time-wait", "ports", "1"),
        ("random-loss", "loss", "20%"),
        ("random-loss", "loss", "much"),
    ] {
        let setup = Setup { sweep: vec![(axis.into(), vec![value.into()])], ..Setup::default() };
        let error = find(experiment).run(&setup).map(|_| ()).unwrap_err();
        assert!(error.is_usage(), "{experiment} {axis}={value}: {error}");
    }
}

#[test]
fn another_seed_gives_other_numbers_where_there_is_chance() {
    let rows = |seed| {
        let experiment = find("random-loss");
        let findings = experiment.run(&setup(experiment, Profile::Linux, seed)).unwrap();
        findings.rows.iter().map(|row| row.cells.clone()).collect::<Vec<_>>()
    };
    assert_ne!(rows(1), rows(2));
}

#[test]
fn the_same_seed_gives_the_same_findings() {
    let experiment = find("random-loss");
    let run = || experiment.run(&setup(experiment, Profile::Linux, 7)).map_err(|e| e.to_string());
    assert_eq!(run(), run());
}

#[test]
fn axes_and_knobs_can_be_swept_and_nothing_else() {
    let sweep = |name: &str, values: &[&str]| {
        let values = values.iter().map(|v| (*v).to_owned()).collect();
        let setup = Setup { sweep: vec![(name.to_owned(), values)], ..Setup::default() };
        find("nagle-delayed-ack").run(&setup)
    };
    let findings = sweep("ack_delay", &["7ms"]).unwrap();
    assert!(findings.hold() && findings.rows.len() == 7);
    let findings = sweep("tcp.sack", &["on", "off"]).unwrap();
    assert_eq!(findings.rows.len(), 42);
    assert_eq!(findings.rows[21].varied[0], ("tcp.sack".into(), "off".into()));
    for (name, value, told) in [
        ("link.rtt", "1ms", "turns link.rtt itself"),
        ("tcp.pacing", "on", "turns tcp.pacing itself"),
        ("ack_dela", "1ms", "varies ack_delay"),
        ("ack_delay", "1", "not a duration"),
        ("tcp.sack", "maybe", "tcp.sack"),
    ] {
        let error = sweep(name, &[value]).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(told), "{name}={value}: {error}");
    }
}

/// An experiment whose plan stands on something that is not so, with axes of one value each: what it finds of its claims.
fn broken(
    experiment: Experiment,
    sweep: &[(&str, &str)],
) -> (Findings, impl Fn(&str) -> (Verdict, String) + use<>) {
    let mut setup = setup(&experiment, Profile::Linux, 1);
    for (name, values) in sweep {
        setup.sweep.retain(|known| known.0 != *name);
        setup.sweep.push(((*name).to_owned(), values.split(',').map(str::to_owned).collect()));
    }
    let findings = experiment.run(&setup).unwrap();
    let conclusions = findings.conclusions.clone();
    let tell = move |claim: &str| {
        let found = conclusions.iter().find(|c| c.claim == claim).unwrap();
        (found.verdict(), found.numbers.clone())
    };
    (findings, tell)
}

/// The same over a link that does what the plan knows nothing of.
const fn losing(experiment: Experiment, holds: &'static [(&'static str, &'static str)]) -> Experiment {
    Experiment { holds, ..experiment }
}

#[test]
fn words_follow_the_table_where_a_claim_does_not_hold() {
    use Verdict::{Confirmed, Refined, Refuted, Untried};
    // A window of a few hundred bytes: the responses do not fit into it, whoever closes.
    let small = Experiment { holds: &[("tcp.recv_buffer", "4096")], ..closing::EXPERIMENT };
    let (findings, tell) = broken(small, &[("server", "half,graceful,full")]);
    let most = findings.rows.iter().map(|row| row.cells[0].value.number()).fold(0.0, f64::max);
    assert!((1.0..10_000.0).contains(&most));
    for claim in ["half-close-is-safe", "graceful-close", "full-close-without-more"] {
        let (verdict, told) = tell(claim);
        let values = told.split_once(": ").unwrap().1;
        assert!(verdict == Refuted && !values.contains("10000"), "{claim}: {told}");
        assert!(values.contains(&most.to_string()), "{claim}: {told}");
    }
    // Partial segments wait for 200 ms, whatever is acknowledged when.
    let corked = Experiment { holds: &[("tcp.cork", "on")], ..delayed_ack::EXPERIMENT };
    let (findings, tell) = broken(corked, &[("ack_delay", "200ms")]);
    let added = findings.rows[0].cells.iter().find(|c| c.name == "added").unwrap().value.to_string();
    let (verdict, told) = tell("significant-delay");
    assert!(verdict == Refined && told.contains(&format!("{added} (request-response 200ms)")), "{told}");
    // Less than a segment for each acknowledgment: they do not halve.
    let narrow = Experiment { holds: &[("tcp.recv_buffer", "6000")], ..delayed_ack::EXPERIMENT };
    let (findings, tell) = broken(narrow, &[("ack_delay", "200ms")]);
    let pure = findings.rows[2].cells[0].value.to_string();
    let (verdict, told) = tell("bulk-halves");
    assert!(verdict == Refuted && told.ends_with(&format!(": {pure} (200ms)")) && pure != "50", "{told}");
    // Full segments are no small ones.
    let (_, tell) = broken(nagle::EXPERIMENT, &[("write", "1460")]);
    assert_eq!(
        tell("bundles"),
        (Refuted, "segments for 50 writes: 50 instead of 50 (writes of 1460)".into())
    );
    assert_eq!(tell("off-wants-large-writes").0, Refuted);
    // What is lost is neither fast nor quiet.
    let (findings, tell) =
        broken(losing(duplicates::EXPERIMENT, &[("link.drop_nth", "7")]), &[("every", "2")]);
    let time = findings.rows[0].cells.iter().find(|c| c.name == "time").unwrap().value.to_string();
    let (verdict, told) = tell("no-delay");
    assert!(verdict == Refuted && told.contains(&time), "{told}");
    let (_, tell) = broken(losing(loss::EXPERIMENT, &[("link.drop_nth", "13")]), &[("recovery", "newreno")]);
    assert!(tell("fast-retransmit").0 == Refuted && !tell("fast-retransmit").1.contains(": 150 ms"));
    // One proxy that is slow to hear makes the hang longer, not shorter; a short idle time leaves no hang at all.
    let (_, tell) = broken(losing(pipelining::EXPERIMENT, &[("link.drop_nth", "4")]), &[("depth", "4")]);
    assert!(tell("saves-round-trips").1 != "time for 17 requests, 1.8 s one by one: 600 ms (depth 4)");
    // Nothing to compare.
    for (experiment, axis, value, claims) in [
        (parallel::EXPERIMENT, "connections", "1", &["faster", "feels-faster"][..]),
        (fairness::EXPERIMENT, "connections", "1", &["unfair"]),
        (pipelining::EXPERIMENT, "depth", "1", &["saves-round-trips"]),
        (time_wait::EXPERIMENT, "ports", "2", &[]),
    ] {
        let (findings, tell) = broken(experiment, &[(axis, value)]);
        for claim in claims {
            assert_eq!(tell(claim), (Untried, String::new()));
        }
        let odd = |c: &Conclusion| ["NaN", "inf", "  "].iter().any(|odd| c.numbers.contains(odd));
        assert!(!findings.conclusions.iter().any(odd), "{:#?}", findings.conclusions);
    }
    // And as a check of the check: undisturbed it holds.
    let (_, tell) = broken(closing::EXPERIMENT, &[("server", "half")]);
    assert_eq!(tell("half-close-is-safe").0, Confirmed);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (name, axis, value, told) in [
        ("closing", "server", "foo", "none of full, half"),
        ("loss", "recovery", "rto", "none of timer, newreno"),
        ("time-wait", "time_wait", "0", "at least 1 s"),
        ("handshake", "rtt", "0", "at least 1 µs"),
        ("parallel", "connections", "0", "1"),
        ("parallel", "bandwidth", "1kbit", "at least 64kbit"),
        ("nagle-delayed-ack", "ack_delay", "300ms", "2 ms to 220 ms"),
        ("delayed-ack", "ack_delay", "1ms", "6 ms to 500 ms"),
        ("buffers", "buffer", "1KiB", "at least 2KiB"),
        ("bufferbloat", "queue", "5000", "at least 120 s"),
    ] {
        let sweep = vec![(axis.to_owned(), vec![value.to_owned()])];
        let error = find(name).run(&Setup { sweep, ..Setup::default() }).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(told), "{name}: {error}");
    }
    let error = find("bufferbloat").run(&Setup { tun: true, ..Setup::default() }).unwrap_err();
    assert!(error.is_usage());
}

#[test]
fn names_are_unique() {
    for (i, experiment) in EXPERIMENTS.iter().enumerate() {
        assert!(EXPERIMENTS[..i].iter().all(|other| other.name != experiment.name));
        for (n, claim) in experiment.claims.iter().enumerate() {
            assert!(experiment.claims[..n].iter().all(|other| other.name != claim.name));
        }
    }
}
