//! Does a conversation stay the same when the kernel hands over 64 KiB at once?

use super::in_namespace;
use crate::judge::Memory;
use crate::net::{config, pattern};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::Duration;
use tcpglass::net::{Runtime, TcpListener};
use tcpglass::segment::Flags;
use tcpglass::trace::{Format, TraceOptions, Tracer, to_writer};
use tcpglass::tun::{Offload, Tun, TunOptions, enter_private_namespace};
use tcpglass::wire::{self, Decoded};

const MTU: usize = 1500;
/// What the client says.
const LEN: usize = 400_000;
/// What it hears: one write, taken whole, so that nothing but the segment size and Nagle cut it.
const BACK: usize = 60_000;

/// A packet of the wire as the capture has it.
struct Shot {
    ident: u16,
    /// From the initial sequence number on.
    seq: u32,
    flags: Flags,
    payload: Vec<u8>,
    why: String,
}

/// All TCP packets of `capture` by sender, oldest first. Each is whole: no larger than a packet of the wire can be, with
/// right checksums and with a reason.
fn shots(capture: &[u8]) -> BTreeMap<SocketAddr, Vec<Shot>> {
    let (mut reader, mut shots) = (PcapNgReader::new(capture).unwrap(), BTreeMap::<_, Vec<Shot>>::new());
    let mut isns = BTreeMap::new();
    while let Some(block) = reader.next_block() {
        let Block::EnhancedPacket(packet) = block.unwrap().0.into_owned() else { continue };
        assert!(packet.data.len() <= MTU, "{} bytes", packet.data.len());
        let decoded = wire::decode(&packet.data, true);
        let Ok(decoded) = decoded else { panic!("{decoded:?}") };
        let Decoded::Tcp(tcp) = decoded else { continue };
        let comments = packet.options.iter().filter_map(|option| match option {
            EnhancedPacketOption::Common(CommonOption::Comment(text)) => Some(text.to_string()),
            _ => None,
        });
        let why = comments.into_iter().find(|text| text.starts_with("why=")).expect("a reason");
        let src = tcp.envelope.src;
        let isn = *isns.entry(src).or_insert(tcp.seg.seq);
        shots.entry(src).or_default().push(Shot {
            ident: tcp.envelope.ident,
            seq: tcp.seg.seq.since(isn),
            flags: tcp.seg.flags,
            payload: tcp.payload.to_vec(),
            why,
        });
    }
    shots
}

/// What a client of the kernel hears from our echo, and the capture of our side.
fn echoed(offload: Offload, addr: &str) -> (Vec<u8>, Vec<u8>) {
    enter_private_namespace(&[]).unwrap();
    let tun = Tun::open(&TunOptions { offload, ..TunOptions::default() }).unwrap();
    assert_eq!(tun.offloads(), offload == Offload::On);
    let status = tun.status();
    let memory = Memory::default();
    let sink = to_writer(memory.clone(), Format::Pcapng, &TraceOptions::default());
    let mut config = config(2);
    config.tcp.send_buffer_initial = 1 << 20;
    let runtime = Runtime::builder(config).tracer(Tracer::new(vec![sink])).start(tun).unwrap();
    let listener = TcpListener::bind(&runtime.handle(), addr).unwrap();
    let echo = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        (&stream).read_to_end(&mut all).unwrap();
        assert_eq!((&stream).write(&all[..BACK]).unwrap(), BACK);
    });
    let client = std::net::TcpStream::connect(addr).unwrap();
    (&client).write_all(&pattern(LEN)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    (&client).read_to_end(&mut back).unwrap();
    echo.join().unwrap();
    runtime.shutdown(Duration::from_secs(10)).unwrap().finish().unwrap();
    assert_eq!(status.malformed(), 0);
    (back, memory.take())
}

/// Which bytes each data segment of `shots` carried; a repetition counts once.
fn cuts(shots: &[Shot]) -> BTreeSet<(u32, usize)> {
    shots.iter().filter(|shot| !shot.payload.is_empty()).map(|shot| (shot.seq, shot.payload.len())).collect()
}

/// The bytes that `shots` carry together, which overlap only where one is a repetition.
fn joined(shots: &[Shot]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut sorted: Vec<_> = shots.iter().filter(|shot| !shot.payload.is_empty()).collect();
    sorted.sort_by_key(|shot| shot.seq);
    for shot in sorted {
        let at = shot.seq as usize - 1;
        assert!(at <= all.len(), "a gap before {at}");
        let new = (all.len() - at).min(shot.payload.len());
        assert!(all[at..at + new] == shot.payload[..new], "other bytes at {at}");
        all.extend_from_slice(&shot.payload[new..]);
    }
    all
}

#[test]
fn offload_changes_neither_a_byte_nor_a_segment() {
    in_namespace("tun::offload::offload_changes_neither_a_byte_nor_a_segment", || {
        for addr in ["10.77.0.2:7", "[fd77::2]:7"] {
            let [(plain, plain_file), (super_, super_file)] =
                [Offload::Off, Offload::On].map(|offload| echoed(offload, addr));
            assert!(plain == pattern(LEN)[..BACK] && super_ == plain);
            let [plain, super_] = [plain_file, super_file].map(|file| shots(&file));
            let ours: SocketAddr = addr.parse().unwrap();
            assert_eq!(cuts(&plain[&ours]), cuts(&super_[&ours]), "{addr}");
            for (&from, side) in plain.iter().chain(&super_) {
                let len = if from == ours { BACK } else { LEN };
                assert!(joined(side) == pattern(LEN)[..len], "{addr}");
            }
            let sent = &super_[&ours];
            for (before, after) in std::iter::zip(sent, &sent[1..]) {
                if ours.is_ipv4() {
                    assert_eq!(after.ident, before.ident.wrapping_add(1), "each packet counts");
                }
            }
            let pieces: Vec<_> =
                sent.iter().filter(|shot| shot.why.contains("from one super-segment")).collect();
            assert!(pieces.len() > 10, "{}", pieces.len());
            assert!(sent.iter().any(|shot| shot.flags.contains(Flags::PSH)));
            let end = |shot: &Shot| shot.seq + shot.payload.len() as u32;
            let fins: BTreeSet<u32> =
                sent.iter().filter(|shot| shot.flags.contains(Flags::FIN)).map(end).collect();
            assert_eq!(fins, BTreeSet::from([BACK as u32 + 1]), "only the last piece ends the stream");
        }
    });
}
