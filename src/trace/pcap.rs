//! How does a packet look in a classic pcap file? Nanoseconds, raw IP, and no word about why.

use super::encoder::{Encoder, Lost, TraceOptions};
use super::record::{EventRecord, PacketRecord, Piece};
use pcap_file::pcap::{PcapHeader, PcapTsResolution};
use pcap_file::{DataLink, Endianness};

/// The snapshot length that means: whole packets. Readers take 0 for a broken file.
const WHOLE: u32 = 262_144;

pub(super) struct Pcap {
    options: TraceOptions,
}

impl Pcap {
    pub(super) fn new(options: &TraceOptions) -> Pcap {
        Pcap { options: options.clone() }
    }
}

impl Encoder for Pcap {
    fn begin(&mut self, out: &mut Vec<u8>) {
        let header = PcapHeader {
            version_major: 2,
            version_minor: 4,
            ts_correction: 0,
            ts_accuracy: 0,
            snaplen: if self.options.snaplen == 0 { WHOLE } else { self.options.snaplen },
            datalink: DataLink::RAW,
            ts_resolution: PcapTsResolution::NanoSecond,
            endianness: Endianness::native(),
        };
        header.write_to(out).expect("writing to memory does not fail");
    }

    fn packet(&mut self, packet: &PacketRecord<'_>, _piece: Piece, len: usize, out: &mut Vec<u8>) {
        let at = packet.at.as_nanos();
        let kept = self.options.kept(packet.frame);
        let (seconds, nanos) = (at / 1_000_000_000, at % 1_000_000_000);
        // The format's seconds have 32 bits: they last until 2106.
        for field in [seconds as u32, nanos as u32, kept.len() as u32, len as u32] {
            out.extend_from_slice(&field.to_ne_bytes());
        }
        out.extend_from_slice(kept);
    }

    fn event(&mut self, _event: &EventRecord<'_>, _out: &mut Vec<u8>) {}

    fn most(&self) -> usize {
        self.options.snaplen as usize
    }

    fn lost(&mut self, _lost: Lost) {}

    fn end(&mut self, _out: &mut Vec<u8>) {}

    fn wants_events(&self) -> bool {
        false
    }
}
