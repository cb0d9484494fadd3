//! Does any string of bytes decode without a panic, and is what was understood written as it was read?

use tcpglass::stack::queue_device::QueueDevice;
use tcpglass::stack::{self, Owner, Stack};
use tcpglass::tcp;
use tcpglass::time::Instant;
use tcpglass::trace::Tracer;
use tcpglass::wire::{self, Decoded};

pub fn run(frame: &[u8]) {
    for verify in [false, true] {
        if let Ok(Decoded::Tcp(packet)) = wire::decode(frame, verify) {
            assert_eq!(packet.seg.len as usize, packet.payload.len());
            wire::options::iter(packet.options).for_each(drop);
            let mut again = vec![0; wire::encoded_len(&packet.envelope, &packet.seg)];
            wire::encode(&mut again, &packet.envelope, &packet.seg, [packet.payload, &[]]);
            let Ok(Decoded::Tcp(second)) = wire::decode(&again, true) else {
                panic!("what was encoded cannot be decoded: {packet:?}");
            };
            assert_eq!((second.seg, second.payload), (packet.seg, packet.payload));
            assert_eq!(
                (second.envelope.src, second.envelope.dst),
                (packet.envelope.src, packet.envelope.dst)
            );
        }
    }
    // A whole host takes it, too: ICMP, UDP, fragments, whatever it is, and answers with a bounded number of packets.
    let addrs = vec![([10, 77, 0, 2].into(), 24), ("fd77::2".parse().unwrap(), 64)];
    let config =
        stack::Config { tcp: tcp::Config::linux(), addrs, gateways: vec![], mtu: 1500, seed: 1, dns: vec![] };
    let mut host = Stack::new(config, Tracer::default());
    host.listen(([10, 77, 0, 2], 80).into(), None, Owner(1)).unwrap();
    let mut device = QueueDevice::new(1500, 64);
    let now = Instant::from_millis(1);
    host.on_frame(now, frame);
    host.poll(|| now, &mut device, 64);
    let (mut answer, mut answers) = (Vec::new(), 0);
    while device.pop(&mut answer).is_some() {
        answers += 1;
        assert!(wire::decode(&answer, true).is_ok(), "{answer:02x?}");
    }
    assert!(answers <= 1 + frame.len() / 576, "{answers} answers to one packet");
}
