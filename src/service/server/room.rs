//! Who is accepted, and who gives way for that where there are as many connections as there may be?

use super::super::crowd::{self, CANDIDATES, Crowd, LOOK_AGAIN, Why};
use super::super::pump;
use super::HttpServer;
use crate::http::Endpoint;
use crate::stack::{ListenerId, Stack};
use crate::time::Instant;

impl HttpServer {
    /// Takes all who wait on a listener, as far as there is room for them.
    pub(super) fn accept(&mut self, now: Instant, stack: &mut Stack, listener: ListenerId) {
        while !self.draining {
            let waiting = stack.waiting(listener);
            if waiting == 0 {
                return;
            }
            let full = self.slots.len() >= self.config.max_connections as usize;
            if full && !self.make_room(now, stack, waiting) {
                let since = *self.full_since.get_or_insert(now);
                if now.since(since) >= self.config.busy_after {
                    return self.turn_away(now, stack, listener);
                }
                self.accept_later = true;
                self.look_again = Some(now + LOOK_AGAIN);
                return;
            }
            self.full_since = None;
            let Some(accepted) = stack.accept(listener, self.owner) else { return };
            self.add(now, stack, accepted);
        }
    }

    /// Closes a connection that carries no request or, if there is none, one that is too slow; of those at hand the one that
    /// would end first anyway, or was waited for the longest: those who say or take nothing, or next to nothing, must not
    /// keep out those who ask. Looks at a few at a time, at others each time.
    fn make_room(&mut self, now: Instant, stack: &mut Stack, waiting: usize) -> bool {
        let crowd = Crowd::new(&self.config, waiting);
        let mut spare: Option<((Why, Instant), u32)> = None;
        for _ in 0..CANDIDATES.min(self.slots.end()) {
            self.hand = (self.hand + 1) % self.slots.end();
            let one = self.slots.spare(now, stack, &crowd, self.hand);
            spare = spare.into_iter().chain(one.map(|one| (one, self.hand))).min();
        }
        let Some(((why, _), key)) = spare else { return false };
        match why {
            Why::Idle => self.totals.spared += 1,
            Why::Slow | Why::Stuck => self.totals.too_slow += 1,
        }
        self.reports.gave_way();
        self.slots.wake(key);
        let slot = &mut self.slots[key];
        slot.page = None;
        stack.note_app(now, Some(slot.id), "gave-way", why.text());
        let refusal = slot.http.give_way(now);
        if let Some(refusal) = refusal {
            self.refused(now, stack, key, refusal, None);
        }
        let slot = &mut self.slots[key];
        let mut stream = stack.stream(now, slot.id);
        // What is here and was not read would make a RST of the FIN, and that would eat the answer.
        let _ = pump::receive(now, &mut slot.http, &mut stream, &mut self.scratch, &mut slot.eof_seen);
        match pump::send(now, &mut slot.http, &mut stream) {
            Ok(sent) => slot.sent += sent as u64,
            Err(_) => slot.http.abort(),
        }
        if !slot.http.output().is_empty() {
            slot.http.abort();
        }
        self.remove(now, stack, key, None);
        true
    }

    /// Answers all who wait with 503: nobody has given way for long.
    fn turn_away(&mut self, now: Instant, stack: &mut Stack, listener: ListenerId) {
        self.full_since = None;
        while let Some(accepted) = stack.accept(listener, self.owner) {
            self.totals.turned_away += 1;
            self.reports.turned_away();
            crowd::turn_away(now, stack, accepted.id, &self.config, &mut self.scratch);
        }
    }
}
