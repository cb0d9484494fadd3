//! What does smoltcp's own socket do in a run, on the same device?

use super::{Run, Work};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use tcpglass::tun::Tun;

/// Bytes of each buffer: what the device's queue of packets bears, and more where it offloads.
const PLAIN: usize = 512 << 10;
const OFFLOADED: usize = 4 << 20;

/// The device, whose word for checksums counts: smoltcp does not ask packet by packet.
struct Vouched(Tun);

impl Device for Vouched {
    type RxToken<'a> = <Tun as Device>::RxToken<'a>;
    type TxToken<'a> = <Tun as Device>::TxToken<'a>;

    fn receive(&mut self, at: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.0.receive(at)
    }

    fn transmit(&mut self, at: Instant) -> Option<Self::TxToken<'_>> {
        self.0.transmit(at)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = self.0.capabilities();
        if self.0.offloads() {
            capabilities.checksum.tcp = Checksum::None;
        }
        capabilities
    }
}

/// Runs until the process ends.
pub fn run(run: &Run, tun: Tun, addr: SocketAddr) -> ! {
    let (connections, sends) = match run.work {
        Work::In(n) => (n, false),
        Work::Out(n) => (n, true),
        Work::Beside(n) | Work::Kept(n) | Work::Fresh(n) => (n, false),
    };
    let size = if run.offload { OFFLOADED } else { PLAIN };
    let mut device = Vouched(tun);
    let mut iface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, Instant::now());
    iface.update_ip_addrs(|addrs| addrs.push(IpCidr::new(addr.ip().into(), 24)).expect("room"));
    let mut sockets = SocketSet::new(vec![]);
    let handles: Vec<_> = (0..connections)
        .map(|_| {
            let buffer = || SocketBuffer::new(vec![0; size]);
            let mut socket = Socket::new(buffer(), buffer());
            socket.set_congestion_control(CongestionControl::None);
            socket.listen(addr.port()).expect("a port");
            sockets.add(socket)
        })
        .collect();
    let mut buffer = vec![7; 256 << 10];
    loop {
        iface.poll(Instant::now(), &mut device, &mut sockets);
        for handle in &handles {
            let socket = sockets.get_mut::<Socket>(*handle);
            while sends && socket.can_send() {
                let _ = socket.send_slice(&buffer);
            }
            while !sends && socket.can_recv() {
                let _ = socket.recv_slice(&mut buffer);
            }
        }
        // What came meanwhile may be a handshake's end, after which there is something to send.
        if iface.poll(Instant::now(), &mut device, &mut sockets) != PollResult::None {
            continue;
        }
        let wait = iface.poll_delay(Instant::now(), &sockets).map(|d| Timespec {
            tv_sec: d.secs() as i64,
            tv_nsec: i64::from(d.micros() as u32 % 1_000_000) * 1000,
        });
        let fd = device.0.as_fd();
        let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], wait.as_ref());
    }
}
