//! What does `explain` say of Linux's own losses? The two ends' captures together tell which packets were lost.
// A recorder needs a moment of real time to begin and to end.
#![allow(clippy::disallowed_methods)]

use super::Host::Linux;
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use tcpglass::explain::{Options, Summary, What, causes};

/// Where captures go, if any are to be made.
static RECORDS: OnceLock<PathBuf> = OnceLock::new();

/// A capture of all that host `n` sees.
pub(super) struct Recorder(Child);

/// Begins one in this thread's network.
pub(super) fn record(n: u8) -> Option<Recorder> {
    let file = RECORDS.get()?.join(format!("{n}.pcap"));
    // That of the path before.
    let _ = fs::remove_file(&file);
    let mut child = Command::new("tcpdump")
        .args(["-i", "any", "-y", "LINUX_SLL2", "-U", "--immediate-mode", "-s", "128", "-w"])
        .arg(&file)
        .arg("tcp")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The file's header is written when it listens.
    for _ in 0..500 {
        if fs::metadata(&file).is_ok_and(|m| m.len() >= 24) {
            return Some(Recorder(child));
        }
        assert!(child.try_wait().unwrap().is_none(), "tcpdump ended");
        thread::sleep(Duration::from_millis(10));
    }
    panic!("tcpdump does not listen");
}

impl Recorder {
    /// Waits for the last packets, and ends it.
    pub(super) fn stop(mut self) {
        thread::sleep(Duration::from_millis(500));
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.0),
            rustix::process::Signal::INT,
        )
        .unwrap();
        self.0.wait().unwrap();
    }
}

/// A packet of a capture: its frame, what IP numbers it, its first byte, its length, and the word for it.
struct Packet {
    frame: u64,
    ident: u16,
    seq: u32,
    len: u32,
    word: &'static str,
}

/// The packets with data that the second host sent, and what is said of all.
fn packets(capture: &[u8]) -> (Vec<Packet>, Summary) {
    let mut list = Vec::new();
    let summary = causes(capture, Options::default(), &mut |c| {
        if !c.from_client && c.segment.len > 0 {
            let ident = c.segment.ident.unwrap_or_default();
            let (seq, len) = (c.segment.seq.0, c.segment.len);
            list.push(Packet { frame: c.frame, ident, seq, len, word: c.inferred });
        }
    })
    .unwrap();
    (list, summary)
}

/// Frames that the findings name as those that end them.
fn named(summary: &Summary, whats: &[What]) -> BTreeSet<u64> {
    let findings = summary.findings.iter().filter(|f| whats.contains(&f.what));
    findings.flat_map(|f| f.frames.iter().map(|(_, last)| *last)).collect()
}

/// What was true and what was said, over all paths: rightly said, said, true.
type Count = BTreeMap<&'static str, [u64; 3]>;

fn count(all: &mut Count, name: &'static str, said: &BTreeSet<u64>, was: &BTreeSet<u64>) {
    let sums = all.entry(name).or_default();
    for (sum, n) in sums.iter_mut().zip([said.intersection(was).count(), said.len(), was.len()]) {
        *sum += n as u64;
    }
}

/// 300 KB over one path; each end's capture.
fn fetch(link: &LinkConfig, seed: u64) -> [Vec<u8>; 2] {
    const LEN: usize = 300_000;
    let ask = |mut stream: &Stream| {
        for _ in 0..2 {
            stream.write_all(b"GET /bytes HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n").len();
            stream.read_exact(&mut vec![0; head + LEN]).unwrap();
        }
    };
    let answer = |mut stream: &Stream| {
        for _ in 0..2 {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            let mut text = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n").into_bytes();
            text.resize(text.len() + LEN, 7);
            stream.write_all(&text).unwrap();
        }
    };
    between([Linux; 2], link, seed, ask, answer);
    [1, 2].map(|n| fs::read(RECORDS.get().unwrap().join(format!("{n}.pcap"))).unwrap())
}

#[test]
fn losses_of_linux_are_told_from_repetitions_that_were_not_needed() {
    const TEST: &str =
        "peers::path::explained::losses_of_linux_are_told_from_repetitions_that_were_not_needed";
    if !crate::judge::have("tcpdump", TEST) {
        return;
    }
    inside(TEST, &["-q"], || {
        let directory = std::env::temp_dir().join(format!("tcpglass-losses-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        RECORDS.set(directory.clone()).unwrap();
        let mut all = Count::new();
        for (seed, link) in (1..).zip([
            "rtt=20ms,bandwidth=50mbit,drop_nth=30+31+60+206+330",
            "rtt=40ms,bandwidth=50mbit,loss=2%",
            "rtt=20ms,bandwidth=20mbit,queue=30",
            "rtt=40ms,bandwidth=50mbit,reorder=2%",
            "rtt=20ms,bandwidth=50mbit",
        ]) {
            let [client, server] = fetch(&link.parse().unwrap(), seed);
            let ((sent, summary), (got, far)) = (packets(&server), packets(&client));
            let arrived: BTreeSet<u16> = got.iter().map(|p| p.ident).collect();
            // What was sent again, and whether what it repeats had been lost.
            let (mut needed, mut needless, mut repeated) =
                (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            for (n, p) in sent.iter().enumerate() {
                let before: Vec<_> = sent[..n]
                    .iter()
                    .filter(|q| q.seq.wrapping_sub(p.seq) < p.len || p.seq.wrapping_sub(q.seq) < q.len)
                    .collect();
                if before.is_empty() {
                    continue;
                }
                repeated.insert(p.frame);
                let lost = !before.iter().any(|q| arrived.contains(&q.ident));
                if lost { &mut needed } else { &mut needless }.insert(p.frame);
            }
            let words = ["rto", "fast-retransmit", "sack-retransmit", "tail-loss-probe"];
            let said = sent.iter().filter(|p| words.contains(&p.word)).map(|p| p.frame);
            let new_probes: BTreeSet<u64> = sent
                .iter()
                .filter(|p| p.word == "tail-loss-probe" && !repeated.contains(&p.frame))
                .map(|p| p.frame)
                .collect();
            let said: BTreeSet<u64> = said.filter(|frame| !new_probes.contains(frame)).collect();
            count(&mut all, "sent again", &said, &repeated);
            let lost =
                named(&summary, &[What::Rto, What::TailLoss, What::FastRetransmit, What::MtuBlackHole]);
            let vain = named(&summary, &[What::SpuriousRto, What::LateAcks, What::Reordering]);
            count(&mut all, "losses", &lost, &needed);
            count(&mut all, "repeated in vain", &vain, &needless);
            // From the other end: every byte counts once, and the windows did not limit.
            for summary in [&summary, &far] {
                let c = &summary.connections[0];
                assert_eq!(c.exchanges.len(), 2, "{link}: {:#?}", summary.findings);
                assert!(c.exchanges.iter().all(|e| e.status == Some(200) && e.bytes > 300_000), "{link}");
                assert_eq!(c.down.bytes, c.exchanges.iter().map(|e| e.bytes).sum::<u64>(), "{link}");
            }
        }
        fs::remove_dir_all(&directory).unwrap();
        for (name, [right, said, was]) in &all {
            println!("{name}: {right} of {said} said rightly, {was} in all");
        }
        let [right, said, was] = all["losses"];
        assert!(was >= 8 && right * 10 >= said * 9 && right * 10 >= was * 9, "losses: {all:?}");
        let [right, said, was] = all["sent again"];
        assert!(right * 20 >= said * 19 && right * 20 >= was * 19, "{all:?}");
    });
}
