//! `tcpglass top`: what are the connections of a running stack doing, again and again?

use super::args::Top;
use super::attached;
use super::failure::{Failure, say};
use super::terminal::Terminal;
use super::view::{Then, View, keys};
use super::{Outcome, output};
use crossbeam_channel::{Receiver, Sender, bounded, select, tick};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::Signals;
use std::io::{self, Read};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use tcpglass::attach::{Ask, SortKey, Sorted, Visitor};
use tcpglass::report::{Frame, Style, screen};

/// Lines of the screen that are no sockets.
const HEAD: usize = 4;
/// The least and the greatest time between two looks.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(3600);

/// Shows them until somebody has seen enough, or the stack ends.
pub fn run(args: Top) -> Outcome {
    let filter = attached::select(&args.filter)?;
    let sort = sort_key(&args.sort)?;
    let every = tcpglass::knob::duration(&args.delay)
        .ok()
        .filter(|d| (SHORTEST..=LONGEST).contains(d))
        .ok_or_else(|| Failure::usage(format_args!("--delay {}: write 50ms to 1h", args.delay)))?;
    Terminal::is_there("top", "tcpglass ss writes to files and pipes")?;
    let visitor = attached::find(args.pid, "top")?;
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGWINCH]);
    let signals = signals.map_err(|e| Failure::failed(format_args!("cannot catch signals: {e}")))?;
    let select = (!args.filter.is_empty()).then_some(filter);
    let terminal = Terminal::take()?;
    let mut watch = Watch {
        frame: Frame { about: visitor.about().clone(), ..Frame::default() },
        view: View { sort, select, ..View::default() },
        style: output::terminal_style(args.color),
        every,
        waiting: false,
        stale: false,
    };
    let outcome = watch.run(&terminal, visitor, signals);
    drop(terminal);
    match outcome {
        End::Wanted(code) => Ok(code),
        End::Gone(why) => {
            say(&format!("the stack of process {} has been left: {why}", watch.frame.about["pid"]));
            Ok(ExitCode::SUCCESS)
        }
        End::Blind(e) => Err(Failure::writing("the terminal", &e)),
    }
}

fn sort_key(word: &str) -> Result<SortKey, Failure> {
    SortKey::named(word).ok_or_else(|| {
        let words: Vec<&str> = SortKey::ALL.iter().map(|key| key.word()).collect();
        Failure::usage(format_args!("--sort {word}: take {}", words.join(", ")))
    })
}

/// Why it ends.
enum End {
    Wanted(ExitCode),
    /// The stack does not answer any more.
    Gone(io::Error),
    /// Nothing can be shown.
    Blind(io::Error),
}

type Answer = io::Result<(Vec<Value>, Value)>;

struct Watch {
    frame: Frame,
    view: View,
    style: Style,
    every: Duration,
    /// A question is under way.
    waiting: bool,
    /// Its answer is no longer what is to be shown.
    stale: bool,
}

impl Watch {
    fn run(&mut self, terminal: &Terminal, visitor: Visitor, signals: Signals) -> End {
        let (questions, answers) = looking(visitor);
        let (typed, signals) = (typed(), caught(signals));
        let mut ticks = tick(self.every);
        self.ask(&questions, terminal);
        loop {
            let then = select! {
                recv(answers) -> answer => match answer.unwrap_or_else(|_| Err(io::ErrorKind::UnexpectedEof.into())) {
                    Ok(answer) => self.answered(answer, &questions, terminal),
                    Err(e) => return End::Gone(e),
                },
                recv(ticks) -> _ => if self.view.paused { Then::Show } else { Then::Ask },
                recv(typed) -> bytes => match bytes {
                    Ok(bytes) => self.keys(&bytes, terminal),
                    // The terminal is gone.
                    Err(_) => return End::Wanted(ExitCode::SUCCESS),
                },
                recv(signals) -> signal => match signal.unwrap_or(SIGTERM) {
                    SIGINT => return End::Wanted(ExitCode::SUCCESS),
                    SIGWINCH => Then::Ask,
                    SIGTSTP => match stop(terminal) {
                        Ok(()) => Then::Ask,
                        Err(e) => return End::Blind(e),
                    },
                    signal => return End::Wanted(ExitCode::from(128 + signal as u8)),
                },
            };
            match then {
                Then::Quit => return End::Wanted(ExitCode::SUCCESS),
                Then::Ask => self.ask(&questions, terminal),
                Then::Faster => self.every = (self.every / 2).max(SHORTEST),
                Then::Slower => self.every = (self.every * 2).min(LONGEST),
                Then::Show => {}
            }
            if matches!(then, Then::Faster | Then::Slower) {
                ticks = tick(self.every);
                self.view.told = format!("a look every {}", tcpglass::time::Spoken(self.every));
            }
            if let Err(e) = self.draw(terminal) {
                return End::Blind(e);
            }
        }
    }

    fn keys(&mut self, bytes: &[u8], terminal: &Terminal) -> Then {
        let matched = self.frame.totals["matched"].as_u64().unwrap_or(0) as usize;
        let rows = terminal.size().1.saturating_sub(HEAD);
        let mut most = Then::Show;
        for key in keys(bytes) {
            match self.view.take(key, rows, matched) {
                Then::Quit => return Then::Quit,
                Then::Show => {}
                then => most = then,
            }
        }
        most
    }

    /// One question at a time; what changes meanwhile is asked for next.
    fn ask(&mut self, questions: &Sender<Ask>, terminal: &Terminal) {
        if self.waiting {
            self.stale = true;
            return;
        }
        let most = terminal.size().1.saturating_sub(HEAD).min(tcpglass::attach::MOST_SORTED - self.view.skip);
        let sorted = Sorted { key: self.view.sort, reverse: self.view.reverse, skip: self.view.skip, most };
        let select = self.view.select.clone().unwrap_or_default();
        self.waiting = questions.send(Ask::Sockets { select, sorted: Some(sorted), tcp_info: false }).is_ok();
    }

    fn answered(
        &mut self,
        (sockets, totals): (Vec<Value>, Value),
        questions: &Sender<Ask>,
        terminal: &Terminal,
    ) -> Then {
        (self.frame.sockets, self.frame.totals) = (sockets, totals);
        (self.frame.skip, self.waiting) = (self.view.skip, false);
        if std::mem::take(&mut self.stale) {
            self.ask(questions, terminal);
        }
        Then::Show
    }

    fn draw(&mut self, terminal: &Terminal) -> io::Result<()> {
        let (frame, view) = (&mut self.frame, &self.view);
        frame.sort = view.sort.word();
        frame.filter = view.select.as_ref().map(ToString::to_string).unwrap_or_default();
        (frame.reverse, frame.paused, frame.help) = (view.reverse, view.paused, view.help);
        (frame.typed, frame.told) = (view.typed.clone(), view.told.clone());
        let (width, height) = terminal.size();
        terminal.draw(&screen(frame, width, height, self.style))
    }
}

/// Ctrl-Z: the terminal is the shell's until this goes on.
fn stop(terminal: &Terminal) -> io::Result<()> {
    terminal.leave();
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?;
    terminal.enter()
}

/// A thread that asks the stack, so that keys are heard whatever it takes to answer.
fn looking(visitor: Visitor) -> (Sender<Ask>, Receiver<Answer>) {
    let (questions, asked) = bounded::<Ask>(1);
    let (told, answers) = bounded(1);
    thread::spawn(move || {
        let mut visitor = visitor;
        for ask in asked {
            let mut answer = look(&mut visitor, &ask);
            // A visitor that was silent for long is asked to leave, and may come again.
            if answer.is_err()
                && let Ok(again) = visitor.again()
            {
                visitor = again;
                answer = look(&mut visitor, &ask);
            }
            let failed = answer.is_err();
            if told.send(answer).is_err() || failed {
                return;
            }
        }
    });
    (questions, answers)
}

fn look(visitor: &mut Visitor, ask: &Ask) -> Answer {
    let mut sockets = visitor.sockets(ask)?;
    let list = sockets.by_ref().collect::<io::Result<Vec<Value>>>()?;
    Ok((list, sockets.totals()))
}

/// What is typed, as it comes.
fn typed() -> Receiver<Vec<u8>> {
    let (sender, receiver) = bounded(16);
    thread::spawn(move || {
        let mut bytes = [0; 256];
        while let Ok(n @ 1..) = io::stdin().lock().read(&mut bytes) {
            if sender.send(bytes[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn caught(mut signals: Signals) -> Receiver<i32> {
    let (sender, receiver) = bounded(16);
    thread::spawn(move || {
        for signal in signals.forever() {
            if sender.send(signal).is_err() {
                return;
            }
        }
    });
    receiver
}
