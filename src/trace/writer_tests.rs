//! The writer's thread: what it keeps back, what it leaves out, what it says when it cannot write.

use super::encoder::{Format, Overflow, TraceOptions, encoder};
use super::record::{Direction, PacketRecord, Record, Sink, Why};
use super::threaded::Threaded;
use super::writer::{Direct, Output};
use crate::segment::{Ecn, Flags, Segment};
use crate::seq::Seq;
use crate::tcp::{Cause, DataWhy};
use crate::time::Instant;
use crate::wire;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_statistics::InterfaceStatisticsOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use std::io::{self, Write};

fn packet(at: u64) -> Record<'static> {
    Record::Packet(PacketRecord {
        at: Instant::from_nanos(at),
        direction: Direction::In,
        frame: &[0x45; 60],
        gso_size: None,
        why: Why::Host { word: "udp", text: "a datagram" },
        conn: None,
        seg: None,
        state: None,
    })
}

fn threaded(overflow: Overflow, writer: impl Write + Send + 'static) -> Box<Threaded> {
    let output = Output::new(Box::new(writer), "the trace x.pcapng".into());
    Box::new(Threaded::start(encoder(Format::Pcapng, &TraceOptions::default()), overflow, output).unwrap())
}

fn blocks(file: &[u8]) -> Vec<Block<'static>> {
    let mut reader = PcapNgReader::new(file).unwrap();
    let mut blocks = Vec::new();
    while let Some(block) = reader.next_block() {
        blocks.push(block.unwrap().0.into_owned());
    }
    blocks
}

/// Hands on what is written; each write waits for a permit, unless nobody gives permits any more.
struct Gate {
    permits: Receiver<()>,
    written: Sender<Vec<u8>>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.permits.recv();
        self.written.send(bytes.to_vec()).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gate() -> (Gate, Sender<()>, Receiver<Vec<u8>>) {
    let (permit, permits) = bounded(0);
    let (written, bytes) = unbounded();
    (Gate { permits, written }, permit, bytes)
}

#[test]
fn what_was_recorded_is_written_without_waiting_for_more() {
    let (gate, permit, bytes) = gate();
    drop(permit);
    let mut sink = threaded(Overflow::Wait, gate);
    let mut file = bytes.recv().unwrap(); // the section header
    for nth in 1..=3 {
        sink.record(&packet(nth));
        // Ends only if the packet is written now: nothing else is recorded meanwhile.
        while blocks(&file).iter().filter(|b| matches!(b, Block::EnhancedPacket(_))).count() < nth as usize {
            file.extend(bytes.recv().unwrap());
        }
    }
    sink.finish().unwrap();
}

#[test]
fn a_full_channel_drops_and_every_drop_is_counted() {
    let (gate, permit, bytes) = gate();
    let mut sink = threaded(Overflow::Drop, gate);
    const PACKETS: u64 = 20_000;
    for nth in 0..PACKETS {
        sink.record(&packet(nth));
    }
    let dropped = sink.dropped();
    assert!(dropped > 0, "the writer stands still, so the channel must have run full");
    drop(permit);
    // The second write took at least one record off the channel, so there is room for another.
    let mut file = bytes.recv().unwrap();
    file.extend(bytes.recv().unwrap());
    sink.record(&packet(PACKETS));
    assert_eq!(sink.dropped(), dropped);
    sink.finish().unwrap();
    file.extend(bytes.iter().flatten());
    let (mut written, mut gaps, mut stated) = (0, 0, None);
    for block in blocks(&file) {
        match block {
            Block::EnhancedPacket(packet) => {
                written += 1;
                gaps += packet
                    .options
                    .iter()
                    .map(|o| if let EnhancedPacketOption::DropCount(n) = o { *n } else { 0 })
                    .sum::<u64>();
            }
            Block::InterfaceStatistics(statistics) => {
                for option in statistics.options {
                    match option {
                        InterfaceStatisticsOption::IsbIfDrop(n) => stated = Some(n),
                        InterfaceStatisticsOption::IsbIfRecv(n) => assert_eq!(n, PACKETS + 1),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    assert_eq!(written + dropped, PACKETS + 1);
    assert_eq!(stated, Some(dropped));
    assert_eq!(gaps, dropped, "the packet behind the gap tells its size");
}

#[test]
fn waiting_loses_nothing() {
    let (gate, permit, bytes) = gate();
    let mut sink = threaded(Overflow::Wait, gate);
    drop(permit);
    for nth in 0..20_000 {
        sink.record(&packet(nth));
    }
    assert_eq!(sink.dropped(), 0);
    sink.finish().unwrap();
    let file: Vec<u8> = bytes.iter().flatten().collect();
    assert_eq!(blocks(&file).iter().filter(|b| matches!(b, Block::EnhancedPacket(_))).count(), 20_000);
}

/// Room for so many bytes.
struct Disk {
    room: usize,
    kept: Sender<Vec<u8>>,
    error: io::ErrorKind,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.room);
        if n == 0 {
            return Err(self.error.into());
        }
        self.room -= n;
        self.kept.send(bytes[..n].to_vec()).unwrap();
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn disk(room: usize, error: io::ErrorKind) -> (Disk, Receiver<Vec<u8>>) {
    let (kept, bytes) = unbounded();
    (Disk { room, kept, error }, bytes)
}

#[test]
fn a_full_disk_is_reported_at_the_end_and_what_is_there_can_be_read() {
    let (disk, bytes) = disk(5_000, io::ErrorKind::StorageFull);
    let mut sink = threaded(Overflow::Wait, disk);
    for nth in 0..10_000 {
        sink.record(&packet(nth));
    }
    let error = sink.finish().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let message = error.to_string();
    assert!(message.starts_with("cannot write the trace x.pcapng: "), "{message}");
    assert!(message.contains("make room or write elsewhere"), "{message}");
    let file: Vec<u8> = bytes.iter().flatten().collect();
    assert_eq!(file.len(), 5_000);
    let mut reader = PcapNgReader::new(&file[..]).unwrap();
    let mut whole = 0;
    while let Some(Ok(_)) = reader.next_block() {
        whole += 1;
    }
    assert!(whole > 10, "{whole} blocks");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let (pipe, _bytes) = disk(1_000, io::ErrorKind::BrokenPipe);
    let mut sink = threaded(Overflow::Wait, pipe);
    for nth in 0..10_000 {
        sink.record(&packet(nth));
    }
    sink.finish().unwrap();
}

#[test]
fn an_unfinished_sink_completes_its_file_when_it_is_dropped() {
    let (disk, bytes) = disk(usize::MAX, io::ErrorKind::Other);
    let mut sink = threaded(Overflow::Wait, disk);
    sink.record(&packet(1));
    drop(sink);
    let file: Vec<u8> = bytes.iter().flatten().collect();
    assert!(matches!(blocks(&file).last(), Some(Block::InterfaceStatistics(_))));
}

#[test]
fn both_ways_of_writing_give_the_same_bytes() {
    let (threads, bytes) = disk(usize::MAX, io::ErrorKind::Other);
    let (at_once, direct_bytes) = disk(usize::MAX, io::ErrorKind::Other);
    let options = TraceOptions::default();
    let output = Output::new(Box::new(at_once), "x".into());
    let sinks: [Box<dyn Sink>; 2] =
        [threaded(Overflow::Wait, threads), Box::new(Direct::new(encoder(Format::Pcapng, &options), output))];
    for mut sink in sinks {
        for nth in 0..5_000 {
            sink.record(&packet(nth));
        }
        sink.finish().unwrap();
    }
    let [a, b] = [bytes, direct_bytes].map(|r| r.iter().flatten().collect::<Vec<u8>>());
    assert!(a == b);
}

/// What a super-segment looks like in a file: lengths, bytes without the TCP checksum, comments.
fn cut(super_segment: (&[u8], &Segment), snaplen: u32, threads: bool) -> Vec<(u32, Vec<u8>, Vec<String>)> {
    let (frame, seg) = super_segment;
    let (writer, bytes) = disk(usize::MAX, io::ErrorKind::Other);
    let options = TraceOptions { snaplen, ..TraceOptions::default() };
    let output = Output::new(Box::new(writer), "x".into());
    let mut sink: Box<dyn Sink> = match threads {
        true => Box::new(Threaded::start(encoder(Format::Pcapng, &options), Overflow::Wait, output).unwrap()),
        false => Box::new(Direct::new(encoder(Format::Pcapng, &options), output)),
    };
    let cause = Cause::Data { why: DataWhy::Full, piggyback: None };
    let record = PacketRecord {
        at: Instant::ZERO,
        direction: Direction::Out,
        frame,
        gso_size: Some(1000),
        why: Why::Sent(cause),
        conn: Some(1),
        seg: Some(seg),
        state: None,
    };
    // Whole, and with the payload elsewhere.
    let (head, payload) = frame.split_at(frame.len() - seg.len as usize);
    let (first, second) = payload.split_at(1234);
    sink.record(&Record::Packet(record));
    sink.record_pieces(&PacketRecord { frame: head, ..record }, [first, second]);
    sink.finish().unwrap();
    let file: Vec<u8> = bytes.iter().flatten().collect();
    let packets = blocks(&file).into_iter().filter_map(|block| match block {
        Block::EnhancedPacket(packet) => {
            let mut data = packet.data.into_owned();
            let checksum = head.len() - 20 + 16;
            if let Some(sum) = data.get_mut(checksum..checksum + 2) {
                sum.fill(0);
            }
            let comments = packet.options.iter().map(|option| format!("{option:?}"));
            Some((packet.original_len, data, comments.filter(|c| c.contains("Comment")).collect()))
        }
        _ => None,
    });
    let packets: Vec<_> = packets.collect();
    let (whole, pieces) = packets.split_at(packets.len() / 2);
    assert!(whole == pieces, "where the payload was does not show: {whole:?} {pieces:?}");
    whole.to_vec()
}

#[test]
fn cut_before_it_is_kept_a_super_segment_is_as_if_it_had_been_cut_behind() {
    let seg = Segment {
        seq: Seq(u32::MAX - 900),
        flags: Flags::ACK | Flags::PSH | Flags::CWR,
        len: 3500,
        ..Segment::default()
    };
    let payload: Vec<u8> = (0..3500u32).map(|n| (n / 7) as u8).collect();
    for ends in [["10.0.0.1:1", "10.0.0.2:2"], ["[fd00::1]:1", "[fd00::2]:2"]] {
        let [src, dst] = ends.map(|end| end.parse().unwrap());
        let envelope = wire::Envelope { src, dst, ecn: Ecn::Ect0, dscp: 0, ident: u16::MAX, hops: 64 };
        let mut frame = vec![0; wire::encoded_len(&envelope, &seg)];
        wire::encode_partial(&mut frame, &envelope, &seg, [&payload, &[]]);
        for snaplen in [0, 1, 20, 40, 64, 96, 400, 1019, 1039, 1040, 1059, 1060, 1500, 9000] {
            let (cut, whole) = (cut((&frame, &seg), snaplen, true), cut((&frame, &seg), snaplen, false));
            assert_eq!(cut.len(), 4);
            assert!(cut == whole, "{snaplen}: {cut:?} {whole:?}");
        }
    }
}
