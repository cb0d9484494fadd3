//! Does a transfer come through whole while the tools of those who mean harm are at work, and is each of their packets
//! accounted for? A few thousand packets each; with TCPGLASS_LONG as many as the tools are known for.

use super::{Place, long, place};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// What the device handed to us since it is there, from the kernel's counter.
const COUNTER: &str = "awk '/^ *glass/ { print $11 }' /proc/net/dev";

/// Runs `attack` against the stack. All the time somebody fetches pages, from ports 40000 and up, which the attack may aim at; each must
/// be the same as the one before the attack. Returns what the attack printed, and what was received by word.
fn under(place: &Place, attack: &str) -> (String, BTreeMap<String, u64>) {
    let script = format!(
        r#"page=http://10.77.0.2/bytes/2000000
        curl -sS -o calm $page || exit 2
        ({attack}) > said 2>&1 & attack=$!
        fetched=0
        while [ $fetched -lt 3 ] || kill -0 $attack 2>/dev/null; do
            curl -sS -m 100 --local-port 40000-40999 -o during $page || exit 3
            cmp calm during || exit 4
            fetched=$((fetched + 1))
        done
        wait $attack || {{ cat said; exit 5; }}
        sleep 0.5
        {COUNTER} > handed
        cat said"#
    );
    // What is counted are packets of the wire, so none may stand for several. Recording slows no one down.
    let mut command = place.start(&["--json", "--offload", "off"], &script);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    let json = err.lines().find(|line| line.starts_with('{')).expect("a result");
    let result: Value = serde_json::from_str(json).unwrap();
    let words = result["packets"].as_array().unwrap().iter().filter(|row| row["sent"] == false);
    let received: BTreeMap<String, u64> = words
        .map(|row| (row["word"].as_str().unwrap().to_owned(), row["packets"].as_u64().unwrap()))
        .collect();
    let handed: u64 = String::from_utf8(place.read("handed")).unwrap().trim().parse().unwrap();
    let counted: u64 = received.values().sum();
    // The end of the last connection may come after the kernel was asked.
    assert!(
        (handed..handed + 50).contains(&counted),
        "{handed} were handed over, {counted} counted: {received:?}"
    );
    (out.into_owned(), received)
}

fn count(received: &BTreeMap<String, u64>, word: &str) -> u64 {
    received.get(word).copied().unwrap_or(0)
}

#[test]
fn a_flood_of_syns_from_everywhere_leaves_room_for_those_who_mean_it() {
    let test = "a_flood_of_syns_from_everywhere_leaves_room_for_those_who_mean_it";
    let Some(place) = place(test, &["hping3", "curl", "awk"]) else { return };
    let packets = if long() { 100_000 } else { 3_000 };
    let attack = format!("hping3 -q -S -p 80 --rand-source -i u30 -c {packets} 10.77.0.2 || true");
    let (said, received) = under(&place, &attack);
    assert!(said.contains(&format!("{packets} packets transmitted")), "{said}");
    println!("{packets} SYNs: {received:?}");
}

#[test]
fn storms_of_resets_and_acknowledgments_do_not_touch_a_transfer() {
    let test = "storms_of_resets_and_acknowledgments_do_not_touch_a_transfer";
    let Some(place) = place(test, &["hping3", "curl", "awk"]) else { return };
    let packets = if long() { 50_000 } else { 1_500 };
    // At the transfer's own ports, from its own address, with numbers by chance; then at nobody.
    let storm = |flags: &str, to: &str| {
        format!("hping3 -q {flags} -a 10.77.0.1 -s 40000 -p {to} -i u40 -c {packets} 10.77.0.2 || true")
    };
    let attack = [
        storm("-R", "80"),
        storm("-A", "80"),
        storm("-R -A", "80"),
        storm("-F -P -U", "80"),
        storm("-A", "81"),
    ]
    .join("; ");
    let (said, received) = under(&place, &attack);
    // It stops early when as many answers came.
    assert_eq!(said.matches("hping statistic").count(), 5, "{said}");
    println!("5 × {packets} RSTs, ACKs and others: {received:?}");
    assert!(count(&received, "drop-no-socket") > 0, "{received:?}");
}

#[test]
fn packets_that_no_honest_host_sends_are_dropped_and_counted() {
    let test = "packets_that_no_honest_host_sends_are_dropped_and_counted";
    let Some(place) = place(test, &["python3", "curl", "awk"]) else { return };
    // Debian's own Python has scapy, whichever else comes first.
    let has_scapy = |python: &&str| {
        Command::new(python).args(["-c", "import scapy.all"]).output().is_ok_and(|out| out.status.success())
    };
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(has_scapy) else {
        return println!("skipped: {test} needs scapy");
    };
    std::fs::write(place.0.join("malformed.py"), include_str!("malformed.py")).unwrap();
    let (packets, holders) = if long() { (100_000, 100) } else { (2_200, 10) };
    let device = "$(ls /proc/sys/net/ipv4/conf | grep -v -e all -e default -e '^lo$')";
    let attack = format!("HOME=. {python} malformed.py {device} {packets} {holders}");
    let (said, received) = under(&place, &attack);
    assert!(said.contains(&format!("{holders} windows held closed")), "{said}");
    println!("{packets} malformed: {received:?}");
    for word in ["drop-checksum", "drop-malformed", "drop-not-for-us", "fragment", "icmp"] {
        assert!(count(&received, word) > 0 || word == "drop-not-for-us", "{word}: {received:?}");
    }
}

#[test]
fn scans_find_the_one_open_port_and_harm_nothing() {
    let test = "scans_find_the_one_open_port_and_harm_nothing";
    let Some(place) = place(test, &["nmap", "curl", "awk"]) else { return };
    let (ports, more) = match long() {
        true => (
            "-",
            "nmap -n -Pn -O --osscan-guess -p 79,80 10.77.0.2; nmap -n -Pn -6 -sS -p 1-5000 fd77::2; \
             nmap -n -Pn -sV -p 80 --host-timeout 120s 10.77.0.2",
        ),
        false => ("1-500", "true"),
    };
    let attack = format!(
        "nmap -n -Pn -sS -p{ports} 10.77.0.2; nmap -n -Pn -sT -p 1-100 10.77.0.2; \
         nmap -n -Pn -sN -p 70-90 10.77.0.2; {more}"
    );
    let (said, received) = under(&place, &attack);
    assert!(said.matches("80/tcp").count() >= 3, "{said}");
    assert!(!said.contains("81/tcp open"), "{said}");
    println!("scans: {received:?}");
    assert!(count(&received, "drop-no-socket") > 400, "{received:?}");
}
