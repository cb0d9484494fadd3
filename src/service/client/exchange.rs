//! How is a request carried out on its connection? Requests and their bodies out, responses in.

use super::super::plan::{FetchError, Timings};
use super::super::pump;
use super::{HttpClient, Job, Prepared, State};
use crate::http::{BodyError, ClientEvent, Departed, Endpoint, OutRequest, SendError, StatusCode};
use crate::ledger::Parts;
use crate::stack::Stack;
use crate::time::Instant;

impl HttpClient {
    /// Writes the newest job's request to its connection.
    pub(super) fn begin(&mut self, now: Instant, key: usize) {
        let member = &mut self.pool[key];
        let connection = &mut member.extra;
        let Some(job) = connection.jobs.back_mut() else { return };
        let Prepared { plan, target, authority, .. } = &self.plans[job.fetched.plan];
        let request = OutRequest {
            method: &plan.method,
            target,
            authority,
            version: plan.version,
            fields: &plan.fields,
            body: plan.body.framing(),
            expect_continue: job.expect,
            close: false,
        };
        job.fetched.reused = member.http.answered() > 0;
        job.fetched.pipelined = member.http.unanswered() > 0;
        job.fetched.conn = connection.number;
        job.fetched.remote = connection.remote;
        if let Err(e) = member.http.send(now, &request) {
            job.fetched.error = Some(FetchError::Request(e));
        }
    }

    /// Lets a connection run as far as it goes.
    pub(super) fn turn(&mut self, now: Instant, stack: &mut Stack, key: usize) {
        let Some(member) = self.pool.get(key) else { return };
        if !matches!(member.extra.state, State::Open) {
            return;
        }
        if member.extra.jobs.back().is_some_and(|job| job.fetched.error.is_some()) {
            return self.fail(now, stack, key, FetchError::Request(SendError::Invalid));
        }
        if let Err(error) = self.drive(now, stack, key) {
            return self.fail(now, stack, key, error);
        }
        match self.pool[key].extra.jobs.is_empty() {
            true => self.rest(now, stack, key),
            false => self.arm(now, key),
        }
    }

    fn drive(&mut self, now: Instant, stack: &mut Stack, key: usize) -> Result<(), FetchError> {
        loop {
            let member = &mut self.pool[key];
            let connection = &mut member.extra;
            let Some(id) = connection.id else { return Ok(()) };
            connection.start_jobs(now, stack);
            let mut stream = stack.stream(now, id);
            let eof_before = connection.eof_seen;
            let received = pump::receive(
                now,
                &mut member.http,
                &mut stream,
                &mut self.scratch,
                &mut connection.eof_seen,
            );
            let received = match received {
                Ok(bytes) => bytes,
                // A RST behind the response, or instead of it: what was received before it counts.
                Err(e) => return self.take_answers(now, stack, key).and(Err(FetchError::Stream(e))),
            };
            let connection = &mut self.pool[key].extra;
            let mut progress = received > 0 || connection.eof_seen != eof_before;
            if received > 0
                && let Some(job) = connection.jobs.front_mut()
            {
                job.fetched.timings.first_byte.get_or_insert(now);
            }
            progress |= self.take_answers(now, stack, key)?;
            self.pipeline(now, key);
            self.pool[key].extra.start_jobs(now, stack);
            progress |= self.write_bodies(key);
            let member = &mut self.pool[key];
            let mut stream = stack.stream(now, id);
            match pump::send(now, &mut member.http, &mut stream) {
                Ok(sent) => progress |= sent > 0,
                // The answer to what was sent before may be there already (RFC 9112 §9.5): it is read first.
                Err(_) if progress => continue,
                Err(e) => return Err(FetchError::Stream(e)),
            }
            if member.http.output().is_empty() && !member.http.is_sending() {
                for job in member.extra.jobs.iter_mut().rev() {
                    if job.fetched.timings.request_sent.is_some() {
                        break;
                    }
                    job.fetched.timings.request_sent.get_or_insert(now);
                }
            }
            let spoken =
                member.extra.jobs.back().is_some_and(|job| job.fetched.timings.request_sent.is_some());
            stack.expect(now, id, spoken);
            if !progress {
                return Ok(());
            }
        }
    }

    /// Sends further requests ahead of responses, where that is allowed.
    fn pipeline(&mut self, now: Instant, key: usize) {
        while !self.pool[key].extra.jobs.is_empty()
            && let Some(job) = self.next_to_pipeline(now, key)
        {
            self.pool[key].extra.jobs.push_back(job);
            self.begin(now, key);
        }
    }

    fn write_bodies(&mut self, key: usize) -> bool {
        let member = &mut self.pool[key];
        let Some(job) = member.extra.jobs.back_mut() else { return false };
        let http = &mut member.http;
        let body = &self.plans[job.fetched.plan].plan.body;
        let mut progress = false;
        while http.body_room() > 0 && job.body_at < body.len() {
            let scratch = self.body_scratch.as_mut();
            let room = http.body_room().min(scratch.len());
            let n = body.fill(job.body_at, &mut scratch[..room]);
            job.body_at += http.write_body(&scratch[..n]) as u64;
            progress = true;
        }
        if job.body_at == body.len() && http.is_sending() && http.body_room() > 0 {
            http.end_body();
            progress = true;
        }
        progress
    }

    /// Takes what has come of responses. True if something did.
    fn take_answers(&mut self, now: Instant, stack: &mut Stack, key: usize) -> Result<bool, FetchError> {
        let mut progress = false;
        loop {
            let member = &mut self.pool[key];
            match member.http.poll_event(now) {
                Some(event) => self.on_event(now, stack, key, event)?,
                None => {
                    let Some(job) = member.extra.jobs.front_mut().filter(|job| job.answering) else {
                        return Ok(progress);
                    };
                    let scratch = self.body_scratch.as_mut();
                    match member.http.read_body(now, scratch) {
                        Ok(n) => {
                            job.fetched.body_len += n as u64;
                            let data = &scratch[..n];
                            match &mut self.options.sink {
                                Some(sink) => sink.on_data(job.fetched.plan, job.fetched.round, data),
                                None => {
                                    let room = self.options.keep_body.saturating_sub(job.fetched.body.len());
                                    job.fetched.body.extend_from_slice(&data[..n.min(room)]);
                                }
                            }
                        }
                        Err(BodyError::WouldBlock) => return Ok(progress),
                        // Reported as an event.
                        Err(_) => {}
                    }
                }
            }
            progress = true;
        }
    }

    fn on_event(
        &mut self,
        now: Instant,
        stack: &mut Stack,
        key: usize,
        event: ClientEvent,
    ) -> Result<(), FetchError> {
        let connection = &mut self.pool[key].extra;
        let Some(job) = connection.jobs.front_mut() else { return Ok(()) };
        match event {
            ClientEvent::Interim(head) => job.fetched.interims.push(head.status),
            ClientEvent::Response(head) => {
                job.answering = true;
                // Of a pipelined response the first byte came with the one before.
                job.fetched.timings.first_byte.get_or_insert(now);
                if let Some(sink) = &mut self.options.sink {
                    sink.on_head(job.fetched.plan, job.fetched.round, &head);
                }
                job.fetched.response = Some(head);
            }
            ClientEvent::End(trailers) => {
                job.fetched.trailers = trailers;
                job.fetched.timings.last_byte = Some(now);
                let Some(mut job) = connection.jobs.pop_front() else { return Ok(()) };
                let ledger = connection.ledger(now, stack);
                if self.options.tcp_info {
                    job.fetched.tcp_info = connection.id.and_then(|id| stack.info(now, id)).map(Box::new);
                }
                self.finish_job(now, key, job, ledger);
            }
            ClientEvent::Switched(head) => {
                job.answering = true;
                if let Some(sink) = &mut self.options.sink {
                    sink.on_head(job.fetched.plan, job.fetched.round, &head);
                }
                job.fetched.response = Some(head);
                return Err(FetchError::Switched);
            }
            ClientEvent::Failed(e) => return Err(FetchError::Http(e)),
        }
        Ok(())
    }

    fn finish_job(&mut self, now: Instant, key: usize, mut job: Job, ledger: Parts) {
        let member = &mut self.pool[key];
        job.fetched.ledger = member.extra.tab.charge(now, &job, ledger, false);
        member.extra.tab.ends(now, ledger);
        if !job.fetched.reused {
            let Timings { name, port_wait, connect_start, established, .. } = member.extra.timings;
            let own = job.fetched.timings;
            job.fetched.timings = Timings { name, port_wait, connect_start, established, ..own };
        }
        job.fetched.departed = Departed::Whole;
        self.active -= 1;
        // RFC 9110 §10.1.1: after 417 the request is repeated without the expectation, once.
        if job.expect && job.fetched.status() == Some(StatusCode::EXPECTATION_FAILED) && !job.fetched.retried
        {
            job.expect = false;
            let (origin, births) = (member.origin(), self.pool.births());
            self.queues[origin.index()].again.push_back(job.anew(births));
            self.queued += 1;
            return;
        }
        self.hand_out(now, job.fetched);
    }
}
