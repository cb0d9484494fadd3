//! What does an application say, and how does it listen?

use super::*;
use tcpglass::sim::{Listener, ReferenceId};

/// What one end of a connection does.
#[derive(Clone, Debug)]
pub struct Part {
    /// Having read so many bytes it has so many more to write.
    turns: Vec<(u64, u64)>,
    /// It writes at most so many bytes at once, and then not for a while.
    piece: usize,
    write_gap: Duration,
    /// It begins to read only then, reads at most so many bytes at once, and then not for a while.
    deaf_until: Instant,
    gulp: usize,
    read_gap: Duration,
    /// It closes its side only after the other has.
    closes_last: bool,
}

impl Part {
    /// Two parts that make a conversation: one of them at least closes on its own.
    pub fn draw(dice: &mut impl FnMut(usize) -> usize, reference: bool) -> [Part; 2] {
        let mut bytes = || [0, 1, 100, 3000, 20_000, 60_000][dice(6)];
        let (out, back) = (bytes(), bytes());
        let turns = match dice(5) {
            0 => [vec![(0, out)], vec![]],
            1 => [vec![], vec![(0, back)]],
            2 => [vec![(0, out)], vec![(0, back)]],
            3 => [vec![(0, out)], vec![(out, back)]],
            _ => {
                let (rounds, ask, answer) =
                    (1 + dice(10) as u64, 1 + dice(2000) as u64, 1 + dice(4000) as u64);
                [
                    (0..rounds).map(|n| (n * answer, ask)).collect(),
                    (0..rounds).map(|n| ((n + 1) * ask, answer)).collect(),
                ]
            }
        };
        let last = dice(4);
        let mut which = 0;
        turns.map(|turns| {
            which += 1;
            let total: u64 = turns.iter().map(|(_, n)| n).sum();
            let millis = |n: u64| Duration::from_millis(n);
            // Many small writes, of a stream that is not too long for them.
            let (piece, write_gap) = match dice(5) {
                0 if total <= 20_000 => (1 + dice(50), millis(1)),
                1 => (1 + dice(3000), millis(30)),
                2 => (7000, millis(700)),
                _ => (usize::MAX, Duration::ZERO),
            };
            // smoltcp wipes what is unread when its TIME-WAIT ends, after 10 s: it must have read by then.
            let deaf = if reference { [0, 0, 0, 3] } else { [0, 0, 3, 200] }[dice(4)];
            let (gulp, read_gap) = match dice(4) {
                0 => (1 + dice(2000), millis(20)),
                1 => (5000, millis(500)),
                _ => (usize::MAX, Duration::ZERO),
            };
            Part {
                turns,
                piece,
                write_gap,
                deaf_until: Instant::from_millis(1000 * deaf),
                gulp,
                read_gap,
                closes_last: which == last,
            }
        })
    }

    /// All that it writes.
    pub fn bytes(&self) -> u64 {
        self.turns.iter().map(|(_, n)| n).sum()
    }
}

/// Where an end of a connection is.
#[derive(Clone, Copy, Debug)]
pub enum End {
    Ours(Socket),
    /// It is accepted here as soon as it comes.
    Awaited(Listener),
    Theirs(ReferenceId),
}

/// One end of a connection at work.
#[derive(Debug)]
pub struct Side {
    part: Part,
    end: End,
    listener: Option<Listener>,
    /// How much the other end will write.
    to_read: u64,
    /// Turns taken, and what they allow to be written.
    turn: usize,
    allowed: u64,
    written: u64,
    read: u64,
    next_write: Instant,
    next_read: Instant,
    /// The handshake is done.
    met: bool,
    closed: bool,
    ended: bool,
}

impl Side {
    pub fn new(end: End, part: &Part, to_read: u64) -> Side {
        let listener = if let End::Awaited(listener) = end { Some(listener) } else { None };
        Side {
            end,
            listener,
            to_read,
            turn: 0,
            allowed: 0,
            written: 0,
            read: 0,
            next_write: Instant::ZERO,
            next_read: part.deaf_until,
            met: false,
            closed: false,
            ended: false,
            part: part.clone(),
        }
    }

    pub fn end(&self) -> End {
        self.end
    }

    pub fn listener(&self) -> Option<Listener> {
        self.listener
    }

    /// A number that grows with everything heard.
    pub fn progress(&self) -> u64 {
        self.read + u64::from(self.ended)
    }

    pub fn is_done(&self) -> bool {
        self.ended && self.closed
    }

    /// Where it stands, in a line.
    pub fn describe(&self, world: &mut World) -> String {
        let state = match self.end {
            End::Ours(socket) => {
                format!("{:?}", world.stack(socket.host).conn(socket.id).map(|c| c.snapshot()))
            }
            End::Theirs(id) => {
                let it = world.reference(id);
                format!("{:?}, {} not acknowledged", it.state(), it.unacked())
            }
            End::Awaited(_) => "not accepted".into(),
        };
        let Side { end, read, to_read, written, allowed, .. } = self;
        format!("{end:?}: read {read} of {to_read}, wrote {written} of {allowed}, {state}\n")
    }

    /// When it will next do something of its own accord.
    pub fn wake(&self, now: Instant) -> Option<Instant> {
        let write = (self.written < self.allowed).then_some(self.next_write);
        let read = (!self.ended).then_some(self.next_read);
        [write, read].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Does what can be done now.
    pub fn act(&mut self, world: &mut World) {
        let now = world.now();
        if let End::Awaited(listener) = self.end {
            let Some(accepted) = world.stack(listener.host).accept(listener.id, Owner(9)) else { return };
            self.end = End::Ours(Socket { host: listener.host, id: accepted.id });
        }
        match self.end {
            End::Ours(socket) => self.read_ours(world, socket),
            End::Theirs(id) => self.read_theirs(world, id),
            End::Awaited(_) => {}
        }
        while let Some((_, bytes)) = self.part.turns.get(self.turn).filter(|(after, _)| *after <= self.read) {
            self.allowed += bytes;
            self.turn += 1;
        }
        while self.written < self.allowed && now >= self.next_write {
            let most = (self.allowed - self.written).min(self.part.piece as u64);
            let n = match self.end {
                End::Ours(socket) => write_ours(world, socket, self.written, most),
                End::Theirs(id) => {
                    world.reference(id).send(most);
                    most
                }
                End::Awaited(_) => 0,
            };
            if n == 0 {
                break;
            }
            self.written += n;
            self.next_write = now + self.part.write_gap;
        }
        let all = self.turn == self.part.turns.len() && self.written == self.allowed;
        if all && self.met && !self.closed && (self.ended || !self.part.closes_last) {
            match self.end {
                End::Ours(socket) => world.shutdown(socket, Shutdown::Write),
                End::Theirs(id) => world.reference(id).close(),
                End::Awaited(_) => {}
            }
            self.closed = true;
        }
    }

    fn read_ours(&mut self, world: &mut World, socket: Socket) {
        let now = world.now();
        self.met |= !world.state(socket).is_opening();
        let mut buf = [0; 16 << 10];
        while !self.ended && now >= self.next_read {
            let most = buf.len().min(self.part.gulp);
            match world.stack(socket.host).stream(now, socket.id).read(&mut buf[..most]) {
                Ok(0) => {
                    assert_eq!(self.read, self.to_read, "the end comes after all bytes");
                    self.ended = true;
                }
                Ok(n) => {
                    let mut expected = [0; 16 << 10];
                    pattern(self.read, &mut expected[..n]);
                    assert!(buf[..n] == expected[..n], "other bytes than were sent after {}", self.read);
                    self.read += n as u64;
                    self.next_read = now + self.part.read_gap;
                }
                Err(StreamError::WouldBlock) => break,
                Err(error) => panic!("{error} after {} bytes read, at {now}", self.read),
            }
        }
    }

    /// It reads all that is there whenever it reads: only the pauses are ours to choose.
    fn read_theirs(&mut self, world: &mut World, id: ReferenceId) {
        let now = world.now();
        let reference = world.reference(id);
        assert_eq!(reference.mismatch(), None, "bytes other than were sent");
        if reference.received() > self.read {
            self.read = reference.received();
            self.next_read = now + self.part.read_gap;
        }
        reference.set_reading(now >= self.next_read);
        use ReferenceState::{Closed, Established, FinWait1, FinWait2, Listen, SynReceived, SynSent};
        let state = reference.state();
        self.met |= !matches!(state, Closed | Listen | SynSent | SynReceived);
        let fin = self.met && !matches!(state, Established | FinWait1 | FinWait2);
        self.ended |= fin && self.read == self.to_read;
    }
}

fn write_ours(world: &mut World, socket: Socket, offset: u64, most: u64) -> u64 {
    let now = world.now();
    let mut buf = [0; 16 << 10];
    let n = buf.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    pattern(offset, &mut buf[..n]);
    match world.stack(socket.host).stream(now, socket.id).write(&buf[..n]) {
        Ok(n) => n as u64,
        Err(StreamError::WouldBlock) => 0,
        Err(error) => panic!("{error} after {offset} bytes written, at {now}"),
    }
}
