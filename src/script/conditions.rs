//! What becomes of sockets and connections when a command changes the conditions?

use super::commands::Change;
use super::sockets::{SocketKind, Sockets};
use crate::knob::ValueError;
use crate::stack::Stack;
use crate::tcp::{self, Opts, fast_open};
use crate::time::Instant;

impl Sockets {
    /// Changes the conditions for the connections to come.
    ///
    /// # Errors
    /// If a knob refuses the value, or the stack cannot have two sets of settings.
    pub fn change(&mut self, stack: &mut Stack, now: Instant, changes: &[Change]) -> Result<(), String> {
        for change in changes {
            match change {
                Change::RmemMax(n) => self.buffer_max.0 = *n,
                Change::WmemMax(n) => self.buffer_max.1 = *n,
                Change::Pause(_) => {}
                Change::NotsentLowat(n) => self.notsent_lowat = (*n > 0 && *n < u32::MAX).then_some(*n),
                Change::File(name, Some(size)) => {
                    self.files.insert(name.clone(), *size);
                }
                Change::NoCookie(on) => {
                    let without = fast_open::CLIENT_WITHOUT_COOKIE | fast_open::SERVER_WITHOUT_COOKIE;
                    self.base.fast_open &= !without;
                    self.base.fast_open |= if *on { without } else { 0 };
                }
                Change::File(name, None) => {
                    self.files.remove(name);
                }
                // What a packet carries beside its headers.
                Change::Mtu(mtu) => {
                    let headers = if self.wire_v6 { 60 } else { 40 };
                    let old = Opts::new(&self.base);
                    self.base.mss = Some(mtu.checked_sub(headers).ok_or("the MTU is too small")?);
                    self.follow(stack, now, "tcp.mss", "", &old);
                }
                Change::Knob(name, value) => {
                    let old = Opts::new(&self.base);
                    set(&mut self.base, name, value).map_err(|e| format!("{name}={value}: {e}"))?;
                    self.follow(stack, now, name, value, &old);
                }
            }
        }
        self.apply(stack);
        Ok(())
    }

    /// What is there already follows a setting that Linux reads when it needs it, and not when a socket is made.
    fn follow(&mut self, stack: &mut Stack, now: Instant, name: &str, value: &str, old: &Opts) {
        if LIVE.contains(&name) {
            stack.set_config_of_all(now, |config| {
                let _ = set(config, name, value);
            });
        }
        let new = Opts::new(&self.base);
        fn put<T: Copy + PartialEq>(to: &mut T, old: T, new: T) {
            if *to == old {
                *to = new;
            }
        }
        let follow = |opts: &mut Opts| {
            put(&mut opts.fin_timeout, old.fin_timeout, new.fin_timeout);
            put(&mut opts.keepalive_idle, old.keepalive_idle, new.keepalive_idle);
            put(&mut opts.keepalive_interval, old.keepalive_interval, new.keepalive_interval);
            put(&mut opts.keepalive_count, old.keepalive_count, new.keepalive_count);
            put(&mut opts.mss, old.mss, new.mss);
        };
        if *old != new {
            stack.set_opts_of_all(now, follow);
        }
        for socket in self.table.values_mut() {
            follow(&mut socket.opts);
            if !matches!(socket.kind, SocketKind::Conn(_)) {
                put(&mut socket.opts.window_clamp, old.window_clamp, new.window_clamp);
            }
            if let SocketKind::Conn(conn) = &socket.kind
                && !socket.tuning.is_plain()
            {
                let tuning = socket.tuning;
                stack.set_config(now, conn.id, |config| tuning.apply(config));
            }
        }
    }
}

/// Settings that hold for open connections, too, when they change.
const LIVE: &[&str] = &[
    "tcp.frto",
    "tcp.dsack",
    "tcp.rack",
    "tcp.shrink_window",
    "tcp.rack_adapts",
    "tcp.rack_by_count",
    "tcp.tail_loss_probe",
    "tcp.slow_start_after_idle",
    "tcp.retries1",
    "tcp.retries",
    "tcp.orphan_retries",
    "tcp.syn_retries",
    "tcp.synack_retries",
    "tcp.syn_linear",
    "tcp.compressed_acks",
    "tcp.rfc1337",
    "tcp.challenge_limit",
    "tcp.challenge_interval",
    "tcp.thin_linear",
    "tcp.abort_on_overflow",
    "tcp.compressed_ack_delay",
    "tcp.ecn_fallback",
    "tcp.ecn_option",
    "tcp.ecn_option_beacon",
];

/// Sets a knob.
///
/// # Errors
/// If there is no such knob or it refuses the value.
pub fn set(config: &mut tcp::Config, name: &str, value: &str) -> Result<(), ValueError> {
    match tcp::knobs().find(|knob| knob.name == name) {
        Some(knob) => (knob.set)(config, value),
        None => Err(ValueError(format!("there is no knob {name}"))),
    }
}
