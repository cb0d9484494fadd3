//! Many connections take turns on a device with super-segments: does each get what it needs to grow?

use std::net::{IpAddr, SocketAddr};
use tcpglass::stack::queue_device::QueueDevice;
use tcpglass::stack::{self, Copying, Owner, Stack};
use tcpglass::stream::ByteStream;
use tcpglass::tcp;
use tcpglass::time::{Duration, Instant};
use tcpglass::trace::Tracer;

const OWNER: Owner = Owner(1);

#[test]
fn windows_grow_although_acknowledgments_come_between_two_turns() {
    let host = |n: u8| {
        let addr: IpAddr = [10, 0, 0, n].into();
        let tcp = tcp::Config::linux();
        let config =
            stack::Config { tcp, addrs: vec![(addr, 24)], gateways: vec![], mtu: 1500, seed: 1, dns: vec![] };
        Stack::new(config, Tracer::default())
    };
    let device = || Copying(QueueDevice::new(1500, 4096).with_offload(65_535));
    let (mut sender, mut receiver) = (host(1), host(2));
    let (mut near, mut far) = (device(), device());
    let server: SocketAddr = ([10, 0, 0, 2], 80).into();
    let listener = receiver.listen(server, None, OWNER).unwrap();
    let mut now = Instant::from_millis(1);
    let senders: Vec<_> = (0..16).map(|_| sender.connect(now, server, None, None, OWNER).unwrap()).collect();
    let (mut receivers, mut frame, mut buf) = (Vec::new(), Vec::new(), vec![7; 256 << 10]);
    let mut sizes = Vec::new();
    for _ in 0..4000 {
        for &id in &senders {
            let _ = sender.stream(now, id).write(&buf);
        }
        // One super-segment's worth, and what it is answered with before the next.
        sender.poll_batch(|| now, &mut near, 64);
        sender.transmit_on(now, &mut near, 45);
        while let Some(popped) = near.0.pop(&mut frame) {
            sizes.push(frame.len());
            far.0.push_offloaded(&frame, popped.gso_size);
        }
        receiver.poll_batch(|| now, &mut far, 64);
        receivers.extend(receiver.accept(listener, OWNER).map(|accepted| accepted.id));
        for &id in &receivers {
            while let Ok(1..) = receiver.stream(now, id).read(&mut buf) {}
        }
        receiver.transmit_on(now, &mut far, 64);
        while far.0.pop(&mut frame).is_some() {
            near.0.push(&frame);
        }
        now += Duration::from_micros(20);
    }
    let last = &sizes[sizes.len() - 1000..];
    let mean = last.iter().sum::<usize>() / last.len();
    assert!(mean > 60_000, "{mean} bytes in a frame: half an initial window each time?");
}
