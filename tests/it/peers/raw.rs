//! Does a TCP segment arrive that comes in IP fragments? A client by hand, on raw sockets, since a kernel sends none.

use super::inside;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto, socket};
use std::net::SocketAddrV4;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tcpglass::segment::{Ecn, Flags, Segment};
use tcpglass::seq::Seq;
use tcpglass::wire::{self, Decoded, Envelope};

/// All IPv4 packets that come in: ETH_P_IP, in network order.
const ALL_IPV4: NonZeroU32 = NonZeroU32::new(0x0800_u16.to_be() as u32).unwrap();
const IPV4_HEADER: usize = 20;

struct Client {
    /// Takes whole IPv4 packets.
    out: OwnedFd,
    /// Sees all that come.
    tap: OwnedFd,
    /// No address of this host's kernel, which would reset what it doesn't know.
    addr: SocketAddrV4,
    server: SocketAddrV4,
}

impl Client {
    fn packet(&self, seq: Seq, ack: Seq, flags: Flags, payload: &[u8]) -> Vec<u8> {
        let envelope = Envelope {
            src: self.addr.into(),
            dst: self.server.into(),
            ecn: Ecn::NotEct,
            dscp: 0,
            ident: 0x4242,
            hops: 64,
        };
        let seg = Segment { seq, ack, flags, window: 8000, len: payload.len() as u32, ..Segment::default() };
        let mut packet = vec![0; wire::encoded_len(&envelope, &seg)];
        wire::encode(&mut packet, &envelope, &seg, [payload, &[]]);
        packet
    }

    fn send(&self, packet: &[u8]) {
        assert_eq!(sendto(&self.out, packet, SendFlags::empty(), &self.server).unwrap(), packet.len());
    }

    /// In pieces of 256 bytes, the last one first; the kernel makes the IP checksum.
    fn send_fragments(&self, packet: &[u8]) {
        let (header, body) = packet.split_at(IPV4_HEADER);
        let pieces: Vec<&[u8]> = body.chunks(256).collect();
        for (n, piece) in pieces.iter().enumerate().rev() {
            let more = if n + 1 < pieces.len() { 0x2000 } else { 0 };
            let mut fragment = [header, piece].concat();
            fragment[6..8].copy_from_slice(&(more | (n * 256 / 8) as u16).to_be_bytes());
            self.send(&fragment);
        }
    }

    /// The next segment from the server that `wanted` accepts: its header and payload.
    fn receive(&self, wanted: impl Fn(&Segment) -> bool) -> (Segment, Vec<u8>) {
        let mut frame = [0; 2000];
        loop {
            let (n, _) = recv(&self.tap, &mut frame[..], RecvFlags::empty()).expect("an answer within 10 s");
            if let Ok(Decoded::Tcp(packet)) = wire::decode(&frame[..n], true)
                && packet.envelope.dst == self.addr.into()
                && wanted(&packet.seg)
            {
                return (packet.seg, packet.payload.to_vec());
            }
        }
    }
}

#[test]
fn a_request_in_ip_fragments_is_answered() {
    // The tap would see packets whose checksum is left to a device that never comes.
    let plain = &["-q", "--offload", "off"];
    inside("peers::raw::a_request_in_ip_fragments_is_answered", plain, || {
        let client = Client {
            out: socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW)).unwrap(),
            tap: socket(AddressFamily::PACKET, SocketType::DGRAM, Some(Protocol::from_raw(ALL_IPV4)))
                .unwrap(),
            addr: "10.77.0.9:4242".parse().unwrap(),
            server: "10.77.0.2:80".parse().unwrap(),
        };
        set_socket_timeout(&client.tap, Timeout::Recv, Some(Duration::from_secs(10))).unwrap();
        client.send(&client.packet(Seq(1000), Seq(0), Flags::SYN, b""));
        let (syn_ack, _) = client.receive(|seg| seg.has(Flags::SYN));
        assert!(syn_ack.has(Flags::ACK) && syn_ack.ack == Seq(1001), "{syn_ack:?}");
        let ack = syn_ack.seq + 1;
        client.send(&client.packet(Seq(1001), ack, Flags::ACK, b""));
        let filler = "f".repeat(1000);
        let request = format!("GET /bytes/7 HTTP/1.1\r\nHost: glass\r\nX-Filler: {filler}\r\n\r\n");
        let packet = client.packet(Seq(1001), ack, Flags::ACK | Flags::PSH, request.as_bytes());
        assert!(packet.len() > 4 * 256);
        client.send_fragments(&packet);
        let (answer, payload) = client.receive(|seg| seg.len > 0);
        assert_eq!(answer.ack, Seq(1001) + request.len() as u32, "all of it arrived");
        assert!(payload.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&payload));
        client.send(&client.packet(answer.ack, answer.end(), Flags::RST | Flags::ACK, b""));
    });
}
