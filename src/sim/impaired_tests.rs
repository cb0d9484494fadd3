use super::*;
use crate::sim::link::Dropped;
use crate::stack::queue_device::QueueDevice;

const ECHO: &[u8] = &[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];

fn impaired(link: &str) -> Impaired<QueueDevice> {
    Impaired::new(QueueDevice::new(1500, 4).with_offload(65_535), &link.parse().unwrap(), 1)
}

fn send(device: &mut Impaired<QueueDevice>, now: Instant, frame: &[u8]) {
    let token = device.transmit(now.into()).expect("room");
    token.consume(frame.len(), |buf| buf.copy_from_slice(frame));
}

fn receive(device: &mut Impaired<QueueDevice>, now: Instant) -> Option<Vec<u8>> {
    device.receive(now.into()).map(|(rx, _)| rx.consume(<[u8]>::to_vec))
}

fn on_the_wire(device: &mut Impaired<QueueDevice>) -> Vec<Vec<u8>> {
    let mut frame = Vec::new();
    std::iter::from_fn(|| device.device_mut().pop(&mut frame).map(|_| frame.clone())).collect()
}

#[test]
fn an_ideal_link_leaves_the_device_as_it_is() {
    let mut device = impaired("ideal");
    assert!(device.capabilities().segmentation.tcpv4.is_some());
    send(&mut device, Instant::ZERO, ECHO);
    assert_eq!(on_the_wire(&mut device), [ECHO]);
    device.device_mut().push(ECHO);
    assert_eq!(receive(&mut device, Instant::ZERO).as_deref(), Some(ECHO));
    assert_eq!((device.next_deadline(), device.is_blocked()), (None, false));
    assert_eq!(device.totals(), (Totals::default(), Totals::default()));
}

#[test]
fn a_link_takes_offload_away_and_leaves_every_checksum_to_the_stack() {
    let device = impaired("rtt=10ms");
    let caps = device.capabilities();
    assert!(caps.segmentation.tcpv4.is_none() && caps.segmentation.tcpv6.is_none());
    assert!(caps.checksum.tcp.rx() && caps.checksum.tcp.tx());
    assert_eq!(caps.max_transmission_unit, 1500);
}

#[test]
fn packets_take_half_the_rtt_in_each_direction() {
    let mut device = impaired("rtt=10ms");
    let now = Instant::from_millis(100);
    send(&mut device, now, ECHO);
    device.device_mut().push(ECHO);
    assert_eq!(receive(&mut device, now), None);
    assert!(on_the_wire(&mut device).is_empty());
    let due = Instant::from_millis(105);
    assert_eq!(device.next_deadline(), Some(due));
    device.settle(due);
    assert_eq!(on_the_wire(&mut device), [ECHO]);
    assert_eq!(receive(&mut device, due).as_deref(), Some(ECHO));
    assert_eq!(device.next_deadline(), None);
}

#[test]
fn a_deadline_is_a_time_at_which_something_comes_out() {
    // Half of 3 ns is within the first microsecond, which is all that a device is told.
    let mut device = impaired("rtt=3ns");
    device.device_mut().push(ECHO);
    assert_eq!(receive(&mut device, Instant::ZERO), None);
    let due = device.next_deadline().unwrap();
    assert_eq!(due, Instant::from_micros(1));
    assert!(receive(&mut device, due).is_some());
}

#[test]
fn a_full_device_keeps_packets_waiting_and_loses_none() {
    let mut device = impaired("rtt=2ns");
    for _ in 0..6 {
        send(&mut device, Instant::ZERO, ECHO);
    }
    let later = Instant::from_micros(1);
    device.settle(later);
    assert!(device.is_blocked());
    assert_eq!(device.next_deadline(), None, "it waits for room, not for a time");
    assert_eq!(on_the_wire(&mut device).len(), 4);
    device.settle(later);
    assert_eq!(on_the_wire(&mut device).len(), 2);
    assert!(!device.is_blocked());
}

#[test]
fn incidents_tell_the_direction_and_are_taken_once() {
    let mut device = impaired("loss=100%");
    send(&mut device, Instant::ZERO, ECHO);
    device.device_mut().push(ECHO);
    assert_eq!(receive(&mut device, Instant::ZERO), None);
    let all: Vec<_> = device.take_incidents().collect();
    assert_eq!(all.iter().map(|(d, _)| *d).collect::<Vec<_>>(), [Direction::Out, Direction::In]);
    assert!(all.iter().all(|(_, i)| i.fate.arrives == Err(Dropped::Lost) && i.bytes == 20));
    assert_eq!(device.take_incidents().count(), 0);
    let (inbound, outbound) = device.totals();
    assert_eq!((inbound.lost, outbound.lost), (1, 1));
}

#[test]
fn incidents_that_nobody_takes_are_counted_and_not_kept() {
    let mut device = impaired("loss=100%");
    for _ in 0..INCIDENTS_MAX + 10 {
        send(&mut device, Instant::ZERO, ECHO);
    }
    assert_eq!(device.incidents_missed(), 10);
    assert_eq!(device.take_incidents().count(), INCIDENTS_MAX);
}
