use super::*;
use crate::settings::Profile;

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
        ("lasts", "3s"),
        ("connections", "2"),
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
const HEAVY: [&str; 5] = ["slow-start", "parallel", "reordering", "buffers", "bufferbloat"];

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
    let mut setup = Setup::default();
    setup.settings.set_link("drop_nth=1").unwrap();
    setup.sweep = vec![("rtt".into(), vec!["20ms".into()]), ("size".into(), vec!["1KiB".into()])];
    let findings = find("handshake").run(&setup).unwrap();
    assert!(!findings.hold(), "losing the first segment costs nothing: {:#?}", findings.rows);
}

#[test]
fn the_same_seed_gives_the_same_findings() {
    let mut setup = Setup { seed: 7, ..Setup::default() };
    setup.settings.set_link("loss=20%,reorder=20%").unwrap();
    setup.sweep = vec![("rtt".into(), vec!["20ms".into()])];
    let run = || find("handshake").run(&setup).map_err(|e| e.to_string());
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
        ("ack_dela", "1ms", "varies ack_delay"),
        ("ack_delay", "1", "not a duration"),
        ("tcp.sack", "maybe", "tcp.sack"),
    ] {
        let error = sweep(name, &[value]).unwrap_err().to_string();
        assert!(error.contains(told), "{name}={value}: {error}");
    }
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
