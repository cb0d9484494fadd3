use super::*;

#[test]
fn every_claim_holds_in_every_profile() {
    use crate::settings::Profile;
    for profile in Profile::ALL {
        for experiment in EXPERIMENTS {
            let findings = experiment.run(&Settings::new(profile), 1).unwrap();
            assert!(findings.hold(), "{} with {}: {:#?}", experiment.name, profile.name(), findings.runs);
        }
    }
}

#[test]
fn an_experiment_can_refute_its_claim() {
    let mut settings = Settings::default();
    settings.set_link("drop_nth=1").unwrap();
    let findings = EXPERIMENTS[0].run(&settings, 1).unwrap();
    assert!(!findings.hold(), "losing the first segment costs nothing: {:#?}", findings.runs);
}

#[test]
fn the_same_seed_gives_the_same_findings() {
    let mut settings = Settings::default();
    settings.set_link("loss=20%,reorder=20%").unwrap();
    let run = |seed| EXPERIMENTS[0].run(&settings, seed).map(|f| f.runs).map_err(|e| e.to_string());
    assert_eq!(run(7), run(7));
}

#[test]
fn names_are_unique_and_runs_of_an_experiment_vary_the_same_things() {
    for (i, experiment) in EXPERIMENTS.iter().enumerate() {
        assert!(EXPERIMENTS[..i].iter().all(|other| other.name != experiment.name));
        let runs = experiment.run(&Settings::default(), 1).unwrap().runs;
        let names = |run: &Run| run.varied.iter().map(|v| v.0).collect::<Vec<_>>();
        assert!(runs.iter().all(|run| names(run) == names(&runs[0])), "{}", experiment.name);
    }
}
