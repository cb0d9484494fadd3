//! Captures as others read them: tshark and capinfos, and a reader that meets a file cut short.

use crate::judge::{self, Memory};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use proptest::prelude::*;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tcpglass::segment::{Ecn, Flags, Segment};
use tcpglass::seq::Seq;
use tcpglass::tcp::{
    Blocked, Cause, CloseReason, DataWhy, DropReason, Note, Received, Snapshot, State, Verdict,
};
use tcpglass::time::{Duration, Instant};
use tcpglass::trace::{
    Digest, Direction, EventKind, EventRecord, Format, PacketRecord, Record, Sink, TraceOptions, Tracer, Why,
    open, to_writer,
};
use tcpglass::wire::{self, Envelope};

const ISS: Seq = Seq(1_000);
const IRS: Seq = Seq(77_000);

fn snapshot() -> Snapshot {
    Snapshot {
        state: State::Established,
        iss: ISS,
        irs: IRS,
        cwnd: 14_600,
        ssthresh: u32::MAX,
        flight: 2_920,
        srtt: Some(Duration::from_millis(98)),
        rto: Duration::from_millis(400),
        rwnd: 65_535,
        unsent: 0,
        limit: Blocked::Idle,
        ecn: None,
        ace: false,
    }
}

fn envelope(direction: Direction) -> Envelope {
    let (own, peer) = ("10.77.0.2:80".parse().unwrap(), "10.77.0.1:40000".parse().unwrap());
    let (src, dst) = if direction == Direction::Out { (own, peer) } else { (peer, own) };
    Envelope { src, dst, ecn: Ecn::NotEct, dscp: 0, ident: 7, hops: 64 }
}

/// Traces one packet of connection 1.
fn packet(sink: &mut dyn Sink, at_us: u64, direction: Direction, why: Why, seg: &Segment, gso: Option<u16>) {
    let payload = vec![b'x'; seg.len as usize];
    let envelope = envelope(direction);
    let mut frame = vec![0; wire::encoded_len(&envelope, seg)];
    wire::encode(&mut frame, &envelope, seg, [&payload, &[]]);
    sink.record(&Record::Packet(PacketRecord {
        at: Instant::from_micros(at_us),
        direction,
        frame: &frame,
        gso_size: gso,
        why,
        conn: Some(1),
        seg: Some(seg),
        state: Some(snapshot()),
    }));
}

fn event(sink: &mut dyn Sink, at_us: u64, kind: EventKind) {
    sink.record(&Record::Event(EventRecord {
        at: Instant::from_micros(at_us),
        conn: Some(1),
        local: Some("10.77.0.2:80".parse().unwrap()),
        remote: Some("10.77.0.1:40000".parse().unwrap()),
        kind,
    }));
}

/// A short life of a connection: a handshake, a super-segment, a loss, a drop, an event of each kind.
fn a_connection(sink: &mut dyn Sink) {
    use Direction::{In, Out};
    let seg = |seq, ack, flags, len| Segment { seq, ack, flags, len, window: 502, ..Segment::default() };
    let received = |verdict| Why::Received(Received::new(verdict));
    let data = Why::Sent(Cause::Data { why: DataWhy::Full, piggyback: None });
    let rto = Why::Sent(Cause::Rto { nth: 1, waited: Duration::from_millis(400) });
    packet(sink, 1_000, In, received(Verdict::InOrder), &seg(IRS, Seq(0), Flags::SYN, 0), None);
    let syn_ack = seg(ISS, IRS + 1, Flags::SYN | Flags::ACK, 0);
    packet(sink, 1_010, Out, Why::Sent(Cause::SynAck { nth: 0 }), &syn_ack, None);
    packet(sink, 2_000, In, received(Verdict::InOrder), &seg(IRS + 1, ISS + 1, Flags::ACK, 0), None);
    event(sink, 2_001, EventKind::Conn(Note::State { from: State::SynReceived, to: State::Established }));
    let flags = Flags::ACK | Flags::PSH;
    packet(sink, 2_010, Out, data, &seg(ISS + 1, IRS + 1, flags, 3_000), Some(1_460));
    event(sink, 2_011, EventKind::Conn(Note::RtoTimer { rto: Duration::from_millis(400) }));
    event(sink, 2_500, EventKind::Link { action: "dropped", text: "loss of 1%" });
    packet(sink, 402_010, Out, rto, &seg(ISS + 1, IRS + 1, flags, 1_460), None);
    let forged = seg(IRS + 9_000_000, ISS + 1, Flags::ACK, 10);
    packet(sink, 402_500, In, received(Verdict::Drop(DropReason::Window)), &forged, None);
    event(sink, 402_600, EventKind::App { word: "http", text: "GET /\nX: y on connection 1" });
    event(sink, 402_700, EventKind::Conn(Note::Closed { reason: CloseReason::Normal }));
}
/// What [`a_connection`] is in the file: the super-segment is three packets.
const PACKETS: usize = 8;
const EVENTS: usize = 5;

fn options() -> TraceOptions {
    let names = vec![
        (IpAddr::from([10, 77, 0, 2]), "glass".to_owned()),
        ("fd77::2".parse().unwrap(), "glass6".to_owned()),
    ];
    TraceOptions { names, description: "a test of the trace".into(), ..TraceOptions::default() }
}

fn written(format: Format) -> Vec<u8> {
    let memory = Memory::default();
    let mut sink = to_writer(memory.clone(), format, &options());
    a_connection(&mut *sink);
    sink.finish().unwrap();
    memory.take()
}

/// A directory of its own that goes away with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("tcpglass-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether `tool` is there; says by name what is skipped if not.
fn have(tool: &str, test: &str) -> bool {
    let found = Command::new(tool)
        .arg("-v")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success());
    if !found {
        println!("skipped: {test} needs {tool}");
    }
    found
}

fn tshark(file: &Path, args: &[&str]) -> Vec<String> {
    let output = Command::new("tshark").arg("-n").arg("-r").arg(file).args(args).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn tshark_finds_both_comments_on_every_packet() {
    if !have("tshark", "tshark_finds_both_comments_on_every_packet") {
        return;
    }
    let place = Place::new("comments");
    let file = place.file("a.pcapng", &written(Format::Pcapng));
    let comments = tshark(&file, &["-Y", "tcp", "-T", "fields", "-E", "aggregator=|", "-e", "frame.comment"]);
    assert_eq!(comments.len(), PACKETS, "{comments:#?}");
    for line in &comments {
        let (why, state) = line.split_once('|').unwrap_or_else(|| panic!("one comment only: {line}"));
        assert!(why.starts_with("why=") && state.starts_with("conn=1 state=ESTABLISHED "), "{line}");
    }
    let filter = |text: &str| tshark(&file, &["-Y", text, "-T", "fields", "-e", "frame.comment"]);
    let rto = filter("frame.comment contains \"why=rto\"");
    assert_eq!(rto.len(), 1, "{rto:#?}");
    let said = "why=rto: retransmission 1 of 1..1461, 400 ms without an ACK (srtt 98 ms, rto 400 ms)";
    assert!(rto[0].starts_with(said), "{rto:#?}");
    assert_eq!(filter("frame.comment contains \"limit=idle\"").len(), PACKETS);
}

#[test]
fn tshark_agrees_with_the_numbers_directions_and_times() {
    if !have("tshark", "tshark_agrees_with_the_numbers_directions_and_times") {
        return;
    }
    let place = Place::new("numbers");
    let file = place.file("a.pcapng", &written(Format::Pcapng));
    let fields = ["frame.time_epoch", "tcp.seq", "tcp.len", "frame.packet_id"];
    let mut args = vec!["-Y", "tcp", "-o", "tcp.check_checksum:TRUE", "-T", "fields", "-E", "separator=,"];
    fields.iter().for_each(|f| args.extend(["-e", f]));
    let rows = tshark(&file, &args);
    let seen = ["0.001000000,0,0,1", "0.001010000,0,0,2", "0.002000000,1,0,3", "0.002010000,1,1460,4"];
    assert_eq!(rows[..4], seen);
    assert_eq!(rows[4..6], ["0.002010000,1461,1460,5", "0.002010000,2921,80,6"]);
    assert_eq!(rows[6], "0.402010000,1,1460,7");
    let sent =
        tshark(&file, &["-Y", "frame.packet_flags_direction == 2", "-T", "fields", "-e", "frame.packet_id"]);
    assert_eq!(sent, ["2", "4", "5", "6", "7"]);
    let bad = tshark(&file, &["-o", "tcp.check_checksum:TRUE", "-Y", "tcp.checksum.status == Bad"]);
    assert_eq!(bad, [""; 0]);
    let dropped =
        tshark(&file, &["-Y", "frame.verdict.ebpf_tc == 2", "-T", "fields", "-e", "frame.packet_id"]);
    assert_eq!(dropped, ["8"]);
    assert_eq!(
        tshark(&file, &["-Y", "tcp.analysis.retransmission", "-T", "fields", "-e", "frame.packet_id"]),
        ["7"]
    );
}

#[test]
fn tshark_shows_events_as_rows_between_the_packets() {
    if !have("tshark", "tshark_shows_events_as_rows_between_the_packets") {
        return;
    }
    let place = Place::new("events");
    let file = place.file("a.pcapng", &written(Format::Pcapng));
    let rows =
        tshark(&file, &["-Y", "systemd_journal", "-T", "fields", "-e", "frame.number", "-e", "_ws.col.Info"]);
    assert_eq!(rows.len(), EVENTS, "{rows:#?}");
    assert!(
        rows[0].starts_with("4\t") && rows[0].contains("state: SYN-RECEIVED -> ESTABLISHED"),
        "{rows:#?}"
    );
    assert!(rows[2].contains("link: dropped, loss of 1%"), "{rows:#?}");
    for filter in
        ["systemd_journal.message contains \"rto-timer\"", "systemd_journal.field.value == \"rto-timer\""]
    {
        assert_eq!(tshark(&file, &["-Y", filter]).len(), 1, "{filter}");
    }
    assert_eq!(tshark(&file, &[]).len(), PACKETS + EVENTS);
}

#[test]
fn capinfos_shows_the_section_and_the_interface() {
    if !have("capinfos", "capinfos_shows_the_section_and_the_interface") {
        return;
    }
    let place = Place::new("capinfos");
    let file = place.file("a.pcapng", &written(Format::Pcapng));
    let output = Command::new("capinfos").arg(&file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["a test of the trace", "Name = tcpglass", "Raw IP", "nanoseconds", "tcpglass 0."] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(text.contains(&format!("Number of packets:   {PACKETS}")), "{text}");
}

#[test]
fn tshark_takes_names_from_the_capture() {
    if !have("tshark", "tshark_takes_names_from_the_capture") {
        return;
    }
    let place = Place::new("names");
    let file = place.file("a.pcapng", &written(Format::Pcapng));
    let output =
        Command::new("tshark").args(["-N", "n", "-r"]).arg(&file).args(["-Y", "tcp"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().filter(|l| l.contains(" glass ")).count(), PACKETS, "{text}");
}

#[test]
fn tshark_reads_the_classic_capture() {
    if !have("tshark", "tshark_reads_the_classic_capture") {
        return;
    }
    let place = Place::new("classic");
    let file = place.file("a.pcap", &written(Format::Pcap));
    let rows = tshark(&file, &["-T", "fields", "-e", "frame.time_epoch", "-e", "tcp.len"]);
    assert_eq!(rows.len(), PACKETS, "{rows:#?}");
    assert_eq!(rows[3], "0.002010000\t1460");
}

#[test]
fn ipv6_and_what_belongs_to_no_connection_are_shown_too() {
    let place = Place::new("v6");
    let (src, dst) = ("[fd77::2]:80".parse().unwrap(), "[fd77::1]:40000".parse().unwrap());
    let envelope = Envelope { src, dst, ecn: Ecn::Ce, dscp: 0, ident: 0, hops: 3 };
    let seg = Segment { flags: Flags::SYN, ..Segment::default() };
    let mut frame = vec![0; wire::encoded_len(&envelope, &seg)];
    wire::encode(&mut frame, &envelope, &seg, [&[], &[]]);
    let memory = Memory::default();
    let mut sink = to_writer(memory.clone(), Format::Pcapng, &options());
    sink.record(&Record::Packet(PacketRecord {
        at: Instant::from_millis(5),
        direction: Direction::In,
        frame: &frame,
        gso_size: None,
        why: Why::Host { word: "icmp", text: "an echo request" },
        conn: None,
        seg: None,
        state: None,
    }));
    sink.finish().unwrap();
    let file = memory.take();
    assert_eq!(ends(&file).len(), 1 + 3 + 1 + 1);
    if have("tshark", "ipv6_and_what_belongs_to_no_connection_are_shown_too") {
        let fields = ["-T", "fields", "-E", "aggregator=|", "-e", "ipv6.src", "-e", "frame.comment"];
        let rows = tshark(&place.file("a.pcapng", &file), &fields);
        assert_eq!(rows, ["fd77::2\twhy=icmp: an echo request|conn=none"]);
    }
}

/// The ends of the blocks of a capture.
fn ends(file: &[u8]) -> Vec<usize> {
    let mut ends = vec![0];
    let mut at = 0;
    while at < file.len() {
        at += u32::from_ne_bytes(file[at + 4..at + 8].try_into().unwrap()) as usize;
        ends.push(at);
    }
    assert_eq!(at, file.len());
    ends
}

#[test]
fn a_capture_cut_anywhere_opens_up_to_its_last_whole_block() {
    let file = written(Format::Pcapng);
    let ends = ends(&file);
    assert_eq!(ends.len(), 1 + 3 + PACKETS + EVENTS + 1);
    for cut in ends[1]..=file.len() {
        let mut reader = PcapNgReader::new(&file[..cut]).unwrap();
        let mut whole = 1; // the section header
        while let Some(Ok(_)) = reader.next_block() {
            whole += 1;
        }
        assert_eq!(whole, ends.iter().filter(|&&end| end > 0 && end <= cut).count(), "cut at {cut}");
    }
    if !have("tshark", "a_capture_cut_anywhere_opens_up_to_its_last_whole_block (with tshark)") {
        return;
    }
    let place = Place::new("cut");
    // Behind the interface, in the middle of a packet, of an event, of the statistics.
    for (nth, cut) in
        [ends[3], ends[3] + 50, ends[7] + 7, ends[11] - 1, file.len() - 4].into_iter().enumerate()
    {
        let path = place.file(&format!("{nth}.pcapng"), &file[..cut]);
        // Rows are packets and events; in front of them come three blocks, behind them one.
        let rows = ends.iter().filter(|&&end| end > ends[3] && end <= cut && end != file.len()).count();
        assert_eq!(tshark(&path, &[]).len(), rows, "cut at {cut}");
    }
}

#[test]
fn a_capture_is_read_back_as_it_was_recorded() {
    let file = written(Format::Pcapng);
    let mut reader = PcapNgReader::new(&file[..]).unwrap();
    let (mut packets, mut events, mut last) = (0, 0, None);
    while let Some(block) = reader.next_block() {
        let block = block.unwrap().0.into_owned();
        match &block {
            Block::EnhancedPacket(packet) => {
                packets += 1;
                assert_eq!(packet.data.len(), packet.original_len as usize);
                assert!(
                    matches!(wire::decode(&packet.data, true), Ok(wire::Decoded::Tcp(_))),
                    "packet {packets}"
                );
            }
            Block::SystemdJournalExport(entry) => {
                events += 1;
                let text = std::str::from_utf8(&entry.journal_entry).unwrap();
                assert!(text.contains("\nTCPGLASS_CONN=1\n") && text.contains("\nTCPGLASS_EVENT="), "{text}");
                assert!(!text.contains("\nX: y"), "a peer's line break must not make a field: {text}");
            }
            _ => {}
        }
        last = Some(block);
    }
    assert_eq!((packets, events), (PACKETS, EVENTS));
    assert!(matches!(last, Some(Block::InterfaceStatistics(_))));
}

#[test]
fn each_json_line_is_an_object_of_the_schema() {
    let text = String::from_utf8(written(Format::Jsonl)).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), PACKETS + EVENTS + 1);
    assert!(lines.iter().all(|l| l["schema"] == "tcpglass.event/1" && l["at_us"].is_u64()));
    let rto = lines.iter().find(|l| l["why"] == "rto").unwrap();
    let expected = serde_json::json!({
        "schema": "tcpglass.event/1", "at_us": 402_010, "kind": "packet", "conn": 1, "direction": "out", "why": "rto",
        "text": "retransmission 1 of 1..1461, 400 ms without an ACK (srtt 98 ms, rto 400 ms)",
        "src": "10.77.0.2:80", "dst": "10.77.0.1:40000", "bytes": 1500, "flags": "P.",
        "seq": 1, "raw_seq": 1001, "ack": 1, "raw_ack": 77_001, "len": 1460, "window": 502,
        "state": {"name": "ESTABLISHED", "cwnd": 14_600, "ssthresh": null, "flight": 2920, "srtt_us": 98_000,
                  "rto_us": 400_000, "rwnd": 65_535, "unsent": 0, "limit": "idle"},
    });
    assert_eq!(*rto, expected);
    let state = lines.iter().find(|l| l["event"] == "state").unwrap();
    let expected = serde_json::json!({
        "schema": "tcpglass.event/1", "at_us": 2_001, "kind": "event", "conn": 1, "event": "state",
        "text": "SYN-RECEIVED -> ESTABLISHED", "local": "10.77.0.2:80", "remote": "10.77.0.1:40000",
        "from": "SYN-RECEIVED", "to": "ESTABLISHED",
    });
    assert_eq!(*state, expected);
    assert_eq!(lines.last().unwrap()["kind"], "end");
}

#[test]
fn the_text_has_one_line_per_record() {
    let text = String::from_utf8(written(Format::Text)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), PACKETS + EVENTS, "{text}");
    assert_eq!(
        lines[1],
        "0.001010 out #1 10.77.0.2:80 > 10.77.0.1:40000 [S.] seq 0 ack 1 win 502 len 0  why=syn-ack: accepts the \
         connection, answers no options"
    );
    assert_eq!(lines[3], "0.002001 -- #1 state: SYN-RECEIVED -> ESTABLISHED");
    assert!(lines[4].contains("[.] seq 1..1461 ack 1 win 502 len 1460  why=data: "), "{}", lines[4]);
}

#[test]
fn a_snapshot_length_cuts_what_is_kept_not_what_is_said() {
    for format in [Format::Pcapng, Format::Pcap] {
        let memory = Memory::default();
        let mut sink =
            to_writer(memory.clone(), format, &TraceOptions { snaplen: 64, ..TraceOptions::default() });
        a_connection(&mut *sink);
        sink.finish().unwrap();
        let file = memory.take();
        let lengths: Vec<(usize, u32)> = if format == Format::Pcap {
            let mut reader = pcap_file::pcap::PcapReader::new(&file[..]).unwrap();
            std::iter::from_fn(|| {
                reader.next_packet().map(|p| p.map(|p| (p.data().len(), p.orig_len())).unwrap())
            })
            .collect()
        } else {
            let mut reader = PcapNgReader::new(&file[..]).unwrap();
            let mut lengths = Vec::new();
            while let Some(block) = reader.next_block() {
                if let Block::EnhancedPacket(p) = block.unwrap().0 {
                    lengths.push((p.data.len(), p.original_len));
                }
            }
            lengths
        };
        assert_eq!(lengths[0], (40, 40), "{format:?}");
        assert_eq!(lengths[3], (64, 1500), "{format:?}");
    }
}

#[test]
fn the_same_records_give_the_same_digest_and_any_change_another() {
    let digest = |change: fn(&mut dyn Sink)| {
        let (digest, mut sink) = Digest::new();
        change(&mut *sink);
        sink.finish().unwrap();
        digest.value()
    };
    let once = digest(|sink| a_connection(sink));
    assert_eq!(once, digest(|sink| a_connection(sink)));
    let seg = Segment { seq: ISS, flags: Flags::SYN, ..Segment::default() };
    let why = Why::Sent(Cause::Syn);
    type Run = fn(&mut dyn Sink);
    let others: [Run; 3] = [
        |sink| {
            a_connection(sink);
            event(sink, 402_700, EventKind::Port { text: "waited" });
        },
        |sink| event(sink, 1, EventKind::Port { text: "waited" }),
        |sink| event(sink, 1_001, EventKind::Port { text: "waited" }),
    ];
    let mut seen = vec![once];
    for other in others {
        seen.push(digest(other));
    }
    let forth = {
        let (digest, mut sink) = Digest::new();
        packet(&mut *sink, 1, Direction::Out, why, &seg, None);
        event(&mut *sink, 1, EventKind::Port { text: "waited" });
        digest.value()
    };
    let back = {
        let (digest, mut sink) = Digest::new();
        event(&mut *sink, 1, EventKind::Port { text: "waited" });
        packet(&mut *sink, 1, Direction::Out, why, &seg, None);
        digest.value()
    };
    seen.extend([forth, back]);
    let different: std::collections::BTreeSet<u64> = seen.iter().copied().collect();
    assert_eq!(different.len(), seen.len());
}

proptest! {
    #[test]
    fn whatever_is_recorded_can_be_read_again(
        rows in proptest::collection::vec(
            (any::<u64>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300), ".{0,40}", any::<bool>()),
            0..20,
        ),
        gso_size in proptest::option::of(any::<u16>()),
        snaplen in 0u32..200,
    ) {
        let options = TraceOptions { snaplen, ..options() };
        let outputs = [Format::Pcapng, Format::Jsonl, Format::Text, Format::Pcap].map(|format| {
            let memory = Memory::default();
            let mut sink = to_writer(memory.clone(), format, &options);
            for (at, out, frame, text, is_event) in &rows {
                if *is_event {
                    event(&mut *sink, at / 1_000, EventKind::App { word: "http", text });
                    continue;
                }
                sink.record(&Record::Packet(PacketRecord {
                    at: Instant::from_nanos(*at),
                    direction: if *out { Direction::Out } else { Direction::In },
                    frame,
                    gso_size,
                    why: Why::Host { word: "udp", text },
                    conn: None,
                    seg: None,
                    state: None,
                }));
            }
            sink.finish().unwrap();
            memory.take()
        });
        let mut reader = PcapNgReader::new(&outputs[0][..]).unwrap();
        let mut packets = rows.iter().filter(|r| !r.4);
        while let Some(block) = reader.next_block() {
            let Block::EnhancedPacket(packet) = block.unwrap().0 else { continue };
            let (at, _, frame, ..) = packets.next().expect("no more packets than were recorded");
            let kept = if snaplen == 0 { frame.len() } else { frame.len().min(snaplen as usize) };
            prop_assert_eq!(&packet.data[..], &frame[..kept]);
            prop_assert_eq!(packet.original_len as usize, frame.len());
            prop_assert_eq!(packet.timestamp, Duration::from_nanos(*at));
            let is_comment = |o: &&EnhancedPacketOption| {
                matches!(o, EnhancedPacketOption::Common(CommonOption::Comment(_)))
            };
            prop_assert_eq!(packet.options.iter().filter(is_comment).count(), 2);
        }
        prop_assert_eq!(packets.next().is_none(), true);
        let text = std::str::from_utf8(&outputs[1]).unwrap();
        for line in text.lines() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
        prop_assert_eq!(text.lines().count(), rows.len() + 1);
        prop_assert_eq!(std::str::from_utf8(&outputs[2]).unwrap().lines().count(), rows.len());
    }
}

/// In a child process, named by this variable's value, [`a_capture_outlives_a_kill`] writes until it is killed.
const CHILD: &str = "TCPGLASS_TEST_CAPTURE";

#[test]
fn a_capture_outlives_a_kill() {
    if let Some(path) = std::env::var_os(CHILD) {
        let mut sink = open(Path::new(&path), &options()).unwrap();
        loop {
            a_connection(&mut *sink);
        }
    }
    let place = Place::new("kill");
    let path = place.0.join("a.pcapng");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "trace::a_capture_outlives_a_kill"])
        .env(CHILD, &path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while path.metadata().map_or(0, |m| m.len()) < 1 << 20 {
        assert_eq!(child.try_wait().unwrap(), None, "the child writes until it is killed");
        std::thread::yield_now();
    }
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    let file = std::fs::read(&path).unwrap();
    let mut reader = PcapNgReader::new(&file[..]).unwrap();
    let mut packets = 0;
    while let Some(Ok((block, _))) = reader.next_block() {
        packets += usize::from(matches!(block, Block::EnhancedPacket(_)));
    }
    assert!(packets > 1_000, "{packets} packets in {} bytes", file.len());
    if have("tshark", "a_capture_outlives_a_kill (with tshark)") {
        assert_eq!(tshark(&path, &["-Y", "tcp", "-T", "fields", "-e", "frame.number"]).len(), packets);
    }
}

/// A sink that hands on, so that [`a_connection`] can feed a tracer.
struct Feed<'a>(&'a mut Tracer);

impl Sink for Feed<'_> {
    fn record(&mut self, record: &Record<'_>) {
        self.0.record(record);
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn packets_are_counted_by_word_even_without_a_sink() {
    let mut tracer = Tracer::new(vec![]);
    assert!(!tracer.wants_events());
    a_connection(&mut Feed(&mut tracer));
    assert_eq!(
        tracer.counts().to_string(),
        "sent: data 3, rto 1, syn-ack 1\nreceived: in-order 2, drop-window 1\n"
    );
    let classic = Tracer::new(vec![to_writer(Memory::default(), Format::Pcap, &options())]);
    assert!(!classic.wants_events());
    let full = Tracer::new(vec![to_writer(Memory::default(), Format::Pcapng, &options())]);
    assert!(full.wants_events());
}

#[test]
fn a_path_that_cannot_be_written_is_refused_with_a_remedy() {
    let place = Place::new("refused");
    let other = place.file("notes.pcapng", b"dear diary");
    let directory = place.0.join("d.pcapng");
    std::fs::create_dir(&directory).unwrap();
    let table = [
        (place.0.join("out"), "let its name end in .pcapng, .pcap or .jsonl"),
        (directory, "name a file in it"),
        (other.clone(), "there is a file of another kind; remove it or choose another name"),
        (place.0.join("none/out.pcapng"), "make the directory first"),
    ];
    for (path, says) in table {
        let Err(error) = open(&path, &options()) else { panic!("{} was opened", path.display()) };
        let message = error.to_string();
        assert!(message.contains(says) && message.contains(&path.display().to_string()), "{message}");
    }
    assert_eq!(std::fs::read(other).unwrap(), b"dear diary");
}

#[test]
fn a_file_of_the_same_kind_is_overwritten() {
    let place = Place::new("overwritten");
    for (name, format) in [("a.pcapng", Format::Pcapng), ("a.pcap", Format::Pcap), ("a.jsonl", Format::Jsonl)]
    {
        let path = place.file(name, b"");
        for _ in 0..2 {
            let mut sink = open(&path, &options()).unwrap();
            a_connection(&mut *sink);
            sink.finish().unwrap();
            assert!(std::fs::read(&path).unwrap() == written(format), "{name}");
        }
    }
}

/// A SYN, its sum replaced by `field` after the port was chosen so that the right one is zero.
fn with_sum(field: u16) -> Vec<u8> {
    let memory = Memory::default();
    let mut sink = to_writer(memory.clone(), Format::Pcapng, &options());
    let seg = Segment { seq: IRS, flags: Flags::SYN, ..Segment::default() };
    let (mut frame, sum) = ([0; 40], 36..38);
    for port in 1.. {
        let src = std::net::SocketAddr::new([10, 77, 0, 1].into(), port);
        wire::encode(&mut frame, &Envelope { src, ..envelope(Direction::In) }, &seg, [&[], &[]]);
        if frame[sum.clone()] == [0, 0] {
            break;
        }
    }
    frame[sum].copy_from_slice(&field.to_be_bytes());
    sink.record(&Record::Packet(PacketRecord {
        at: Instant::from_micros(1),
        direction: Direction::In,
        frame: &frame,
        gso_size: None,
        why: Why::Received(Received::new(Verdict::InOrder)),
        conn: Some(1),
        seg: Some(&seg),
        state: Some(snapshot()),
    }));
    sink.finish().unwrap();
    memory.take()
}

#[test]
fn the_judge_of_captures_takes_both_forms_of_a_zero_sum_and_no_other() {
    if !have("tshark", "the_judge_of_captures_takes_both_forms_of_a_zero_sum_and_no_other") {
        return;
    }
    let place = Place::new("zero-sum");
    for (sum, is_sound) in [(0, true), (0xffff, true), (1, false), (0xfffe, false)] {
        let file = place.file("a.pcapng", &with_sum(sum));
        let judged = std::panic::catch_unwind(|| judge::sound(&file));
        assert_eq!(judged.ok(), is_sound.then_some(1), "{sum:#x}");
    }
}
