//! What sits at a simulated address? A stack with its services.

use super::task::{Place, Tasks, Waiting};
use crate::service::Service;
use crate::stack::queue_device::QueueDevice;
use crate::stack::{Config, Stack};
use crate::tcp;
use crate::time::Instant;
use std::net::IpAddr;
use std::sync::Arc;

/// The MTU of a host that is not told another one, bytes.
const MTU: u16 = 1500;

/// What a host at `addr` is made with if nothing else is asked for: a network of the usual size around it and an MTU
/// of 1500 bytes.
pub fn host_config(addr: IpAddr, tcp: tcp::Config) -> Config {
    let prefix = if addr.is_ipv4() { 24 } else { 64 };
    Config { tcp, addrs: vec![(addr, prefix)], gateways: Vec::new(), mtu: MTU, seed: 0, dns: Vec::new() }
}

/// A host of the simulated network.
pub struct Host {
    stack: Stack,
    services: Vec<Box<dyn Service>>,
    tasks: Tasks,
}

impl Host {
    pub(super) fn new(place: Arc<Place>, stack: Stack) -> Host {
        Host { stack, services: Vec::new(), tasks: Tasks::new(place) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.tasks.place().name
    }

    /// Its stack. What is done to it takes effect when the world goes on.
    pub fn stack(&mut self) -> &mut Stack {
        &mut self.stack
    }

    /// Its stack, to look at.
    pub fn peek(&self) -> &Stack {
        &self.stack
    }

    pub(super) fn add_service(&mut self, service: Box<dyn Service>) {
        self.services.push(service);
    }

    pub(super) fn tasks(&mut self) -> &mut Tasks {
        &mut self.tasks
    }

    /// Tasks that wait, and those that have panicked.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Waiting> {
        self.tasks.waiting()
    }

    pub(super) fn into_stack(self) -> Stack {
        self.stack
    }

    pub(super) fn on_timeout(&mut self, now: Instant) {
        self.stack.on_timeout(now);
    }

    /// Lets the services work and sends what there is to send.
    pub(super) fn turn(&mut self, now: Instant, device: &mut QueueDevice) {
        for service in &mut self.services {
            service.poll(now, &mut self.stack);
        }
        self.tasks.turn(now, &mut self.stack);
        self.stack.transmit(now, device, usize::MAX);
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let services = self.services.iter().filter_map(|s| s.next_deadline());
        services.chain(self.stack.next_deadline()).chain(self.tasks.next_deadline()).min()
    }

    /// Tells every service to finish; true when none has anything left to do and all tasks have ended.
    pub(super) fn drain(&mut self, now: Instant) -> bool {
        self.tasks.turn(now, &mut self.stack);
        let mut done = self.tasks.have_ended();
        for service in &mut self.services {
            done &= service.drain(now, &mut self.stack);
        }
        done
    }
}
