//! Large packets are kept in the memory that the device read them into: does the stream stay what it was?

use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, RxToken};
use smoltcp::time::Instant as DeviceInstant;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use tcpglass::parcel::Intake;
use tcpglass::stack::queue_device::{QueueDevice, QueueTx};
use tcpglass::stack::{self, Copying, Outlet, Owner, Stack, meta};
use tcpglass::stream::ByteStream;
use tcpglass::tcp;
use tcpglass::time::{Duration, Instant};
use tcpglass::trace::Tracer;

const OWNER: Owner = Owner(1);

/// A device that hands over the memory of what it received.
struct Ceding {
    out: QueueDevice,
    frames: VecDeque<(Vec<u8>, Option<NonZeroU16>)>,
    intake: Intake,
    /// Where the last packet was read to, and how often that memory was gone afterwards.
    last: Option<usize>,
    ceded: usize,
}

struct Rx<'a>(&'a [u8], PacketMeta);

impl RxToken for Rx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }

    fn meta(&self) -> PacketMeta {
        self.1
    }
}

impl Device for Ceding {
    type RxToken<'a> = Rx<'a>;
    type TxToken<'a> = QueueTx<'a>;

    fn receive(&mut self, at: DeviceInstant) -> Option<(Rx<'_>, QueueTx<'_>)> {
        let place = self.intake.bytes().as_ptr() as usize;
        self.ceded += usize::from(self.last.is_some_and(|last| last != place));
        self.last = None;
        let (frame, size) = self.frames.pop_front()?;
        self.last = Some(place);
        self.intake.bytes_mut()[..frame.len()].copy_from_slice(&frame);
        let rx = Rx(&self.intake.bytes()[..frame.len()], meta(size, true));
        self.out.transmit(at).map(|tx| (rx, tx))
    }

    fn transmit(&mut self, at: DeviceInstant) -> Option<QueueTx<'_>> {
        self.out.transmit(at)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.out.capabilities()
    }
}

impl Outlet for Ceding {
    type Room<'a> = Copying<QueueTx<'a>>;

    fn room(&mut self, at: DeviceInstant) -> Option<Copying<QueueTx<'_>>> {
        self.transmit(at).map(Copying)
    }

    fn intake(&mut self) -> Option<&mut Intake> {
        Some(&mut self.intake)
    }
}

fn host(addr: IpAddr) -> Stack {
    let tcp = tcp::Config::linux();
    let config =
        stack::Config { tcp, addrs: vec![(addr, 24)], gateways: vec![], mtu: 1500, seed: 1, dns: vec![] };
    Stack::new(config, Tracer::default())
}

/// Carries `total` bytes, losing and delaying some of the packets on the way; how many were kept as they came.
fn carry(total: usize, seed: u64) -> usize {
    let (a, b): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let (mut sender, mut receiver) = (host(a), host(b));
    let mut lane = QueueDevice::new(1500, 4096).with_offload(65_535);
    let mut device = Ceding {
        out: QueueDevice::new(1500, 4096),
        frames: VecDeque::new(),
        intake: Intake::new(0, 65_535),
        last: None,
        ceded: 0,
    };
    let mut now = Instant::from_millis(1);
    let mut dice = seed;
    let mut roll = |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    let listener = receiver.listen(SocketAddr::new(b, 80), None, OWNER).unwrap();
    let from = sender.connect(now, SocketAddr::new(b, 80), None, None, OWNER).unwrap();
    let byte = |n: usize| (n * 7 + n / 251) as u8;
    let (mut to, mut written, mut read, mut late) = (None, 0, 0, None);
    let (mut frame, mut buf) = (Vec::new(), vec![0; 400_000]);
    let end = now + Duration::from_secs(600);
    while read < total {
        assert!(now < end, "{read} of {total} bytes with seed {seed}");
        let data: Vec<u8> = (written..(written + 200_000).min(total)).map(byte).collect();
        written += sender.stream(now, from).write(&data).unwrap_or(0);
        sender.poll(|| now, &mut lane, 1000);
        while let Some(popped) = lane.pop(&mut frame) {
            let packet = (frame.clone(), popped.gso_size);
            match roll(40) {
                0 if seed > 0 => {}
                1 if seed > 0 => late = Some(packet),
                _ => device.frames.push_back(packet),
            }
            device.frames.extend(late.take_if(|_| roll(3) == 0));
        }
        receiver.poll_batch(|| now, &mut device, 1000);
        receiver.transmit_on(now, &mut device, 1000);
        while device.out.pop(&mut frame).is_some() {
            lane.push(&frame);
        }
        to = to.or_else(|| receiver.accept(listener, OWNER).map(|accepted| accepted.id));
        if let Some(to) = to {
            let most = if seed > 0 { [buf.len(), 50_000, 1000, 0][roll(4) as usize] } else { buf.len() };
            if let Ok(n) = receiver.stream(now, to).read(&mut buf[..most]) {
                assert!(buf[..n].iter().enumerate().all(|(i, &b)| b == byte(read + i)), "seed {seed}");
                read += n;
            }
        }
        now += Duration::from_millis(5);
    }
    assert!(receiver.memory() < 8 << 20, "what was read is given back");
    device.ceded
}

#[test]
fn a_stream_in_packets_that_are_kept_as_they_came_is_read_byte_by_byte_as_it_was_written() {
    assert!(carry(8 << 20, 0) > 50, "large packets in order are kept");
    let ceded: usize = (1..12).map(|seed| carry(2 << 20, seed)).sum();
    assert!(ceded > 20, "{ceded}: among losses, too");
}
