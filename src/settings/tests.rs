use super::*;
use crate::tcp::Nagle;
use std::time::Duration;

fn from_file(text: &str) -> Result<Settings, String> {
    let file = file::parse(Path::new("net.toml"), text).map_err(|e| e.to_string())?;
    let mut settings = Settings::new(file.profile.unwrap_or_default());
    file.apply(&mut settings).map_err(|e| e.to_string())?;
    Ok(settings)
}

#[test]
fn every_row_writes_what_it_reads_in_every_profile() {
    for profile in Profile::ALL {
        for row in table() {
            let settings = Settings::new(profile);
            let mut changed = settings.clone();
            changed.set_value(row.name(), &row.get(&settings)).unwrap();
            assert_eq!(changed, settings, "{}", row.name());
        }
    }
}

#[test]
fn names_are_unique_and_documented() {
    let mut names: Vec<_> = table().map(Row::name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for row in table() {
        assert!(!row.meaning().is_empty() && !row.values().is_empty(), "{}", row.name());
    }
}

#[test]
fn wrong_assignments_say_what_would_be_right() {
    for (assignment, told) in [
        ("tcp.nagel=off", "did you mean tcp.nagle?"),
        ("nagle=off", "did you mean tcp.nagle?"),
        ("rtt=1ms", "did you mean link.rtt?"),
        ("frobnicate=1", "tcpglass knobs lists them"),
        ("tcp.nagle", "write tcp.nagle=VALUE, where VALUE is off|on|minshall"),
        ("tcp.nagle=maybe", "none of off, on, minshall"),
        ("tcp.ack_delay=501ms", "0 to 500ms"),
        ("tcp.ack_delay=40", "write 40ms"),
        ("=", "unknown knob"),
        ("", "unknown knob"),
    ] {
        let error = Settings::default().set(assignment).unwrap_err().to_string();
        assert!(error.contains(told), "{assignment}: {error}");
        assert!(!error.contains('\n'), "{assignment}: {error}");
    }
}

#[test]
fn a_refused_value_changes_nothing() {
    let mut settings = Settings::default();
    settings.set("tcp.ports=9-1").unwrap_err();
    assert_eq!(settings, Settings::default());
}

#[test]
fn the_link_takes_its_knobs_without_prefix() {
    let mut settings = Settings::default();
    settings.set_link("rtt=100ms, bandwidth=10mbit,loss=1%,link.drop_nth=6+11,").unwrap();
    assert_eq!(settings.link.rtt, Duration::from_millis(100));
    assert_eq!(settings.link.bandwidth, Some(10_000_000));
    assert_eq!(settings.link.drop_nth, [6, 11]);
    let error = settings.set_link("rtt=100ms,bandwith=1mbit").unwrap_err().to_string();
    assert!(error.contains("did you mean link.bandwidth?"), "{error}");
}

#[test]
fn a_config_file_takes_words_numbers_switches_and_lists() {
    let settings = from_file(
        "profile = \"classic\"\n[tcp]\nnagle = \"off\"\nack_every = 1\nsack = true\n\"keepalive.idle\" = \"1h\"\n\
         [tcp.keepalive]\ncount = 0x3\n[link]\nloss = 0.01\ndrop_nth = [6, 11]\n",
    )
    .unwrap();
    assert_eq!(settings.tcp.nagle, Nagle::Off);
    assert_eq!(settings.tcp.ack_every, 1);
    assert!(settings.tcp.sack);
    assert_eq!(settings.tcp.keepalive_idle, Duration::from_secs(3600));
    assert_eq!(settings.tcp.keepalive_count, 3);
    assert_eq!(settings.tcp.init_cwnd, 1, "the rest is classic");
    assert_eq!(settings.link.loss, 10_000_000);
    assert_eq!(settings.link.drop_nth, [6, 11]);
}

#[test]
fn a_wrong_config_file_names_the_line() {
    for (text, told) in [
        ("[tcp]\n\nnagel = \"off\"\n", "net.toml:3: unknown knob \"tcp.nagel\": did you mean tcp.nagle?"),
        ("[tcp]\nack_delay = 40\n", "net.toml:2: tcp.ack_delay: \"40\" is not a duration"),
        ("profile = \"fast\"\n", "net.toml:1: unknown profile \"fast\": take linux, rfc or classic"),
        ("profile = 1\n", "net.toml:1: profile is a word"),
        ("[tcp]\nnagle = \n", "net.toml:2: "),
        ("[tcp]\nnagle = 1979-05-27\n", "net.toml:2: tcp.nagle is a word, a number"),
        ("[link]\ndrop_nth = [\"a\"]\n", "net.toml:2: link.drop_nth is a word, a number"),
        ("[tpc]\nnagle = \"off\"\n", "net.toml:2: unknown knob \"tpc.nagle\": did you mean tcp.nagle?"),
        ("\u{0}", "net.toml:1: "),
    ] {
        let error = from_file(text).unwrap_err();
        assert!(error.starts_with(told), "{text:?}: {error}");
        assert!(!error.contains('\n'), "{text:?}: {error}");
    }
}

#[test]
fn later_sources_win() {
    let dir = std::env::temp_dir().join(format!("tcpglass-settings-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("order.toml");
    std::fs::write(&path, "profile = \"rfc\"\n[tcp]\ninit_cwnd = 4\nack_every = 3\n").unwrap();
    let read = |profile, sets: &[&str]| Settings::resolve(profile, Some(&path), sets).unwrap();
    assert_eq!(read(None, &[]).tcp.nagle, Nagle::On, "the file's profile");
    assert_eq!(read(None, &[]).tcp.init_cwnd, 4, "the file over its profile");
    assert_eq!(read(Some(Profile::Linux), &[]).tcp.nagle, Nagle::Minshall, "the command line's profile");
    assert_eq!(read(Some(Profile::Classic), &["tcp.init_cwnd=2"]).tcp.init_cwnd, 2, "--set over the file");
    assert_eq!(read(None, &["tcp.init_cwnd=2", "tcp.init_cwnd=9"]).tcp.init_cwnd, 9, "the last --set");
    std::fs::remove_dir_all(&dir).unwrap();
    let error = Settings::resolve(None, Some(&path), &[] as &[&str]).unwrap_err().to_string();
    assert!(error.starts_with("cannot read config file"), "{error}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let error = Settings::resolve(None, None, &["tcp.rto_max=100ms"]).unwrap_err().to_string();
    assert!(error.contains("tcp.rto_min is larger than tcp.rto_max"), "{error}");
}
