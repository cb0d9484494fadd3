//! What runs on a byte stream?

mod client;
mod content;
mod crowd;
mod disk;
mod echo;
mod exchange;
mod files;
mod load;
mod pages;
mod plan;
mod proxy;
mod pump;
mod server;
mod tally;

use crate::http::Config;
use crate::stack::{ListenerId, Owner, Stack};
use crate::tcp::{self, Nagle, Opts};
use crate::time::Instant;

pub use client::{ClientOptions, HttpClient, Observer};
pub use content::pattern;
pub use echo::{EchoService, Talk};
pub use exchange::{Ended, Exchange};
pub use files::check_root;
pub use load::{LoadClient, LoadReport, LoadWatch, Times};
pub use pages::Site;
pub use plan::{BodySink, FetchError, Fetched, PlanError, RequestBody, RequestPlan, Timings};
pub use proxy::{Proxy, ProxyKind, ProxyOptions, ProxyTotals};
pub use server::{HttpServer, Listening, ServerTotals};
pub use tally::Tally;

/// What a connection that HTTP opens has for options, if not the stack's: see [`Config::nodelay`].
fn socket_options(stack: &Stack, http: &Config) -> Option<Opts> {
    http.nodelay.then(|| Opts { nagle: Nagle::Off, ..Opts::new(&stack.config().tcp) })
}

/// The same for those that a listener will have.
fn set_options(stack: &mut Stack, listener: ListenerId, http: &Config) {
    let tcp = || tcp::Config { nagle: Nagle::Off, ..stack.config().tcp.clone() };
    let own = http.nodelay.then(tcp);
    stack.set_listener_config(listener, own);
}

/// Something that lives in the stack's thread (or on a simulated host) and serves its sockets without blocking.
///
/// The driver polls it after each turn in which its owner has something ready, and when its deadline has passed.
pub trait Service: Send {
    /// Whose sockets it looks after; set once, before the first poll.
    fn owner(&self) -> Owner;

    /// Does all that can be done now: takes `stack.ready(self.owner())` until it is `None`, reads and writes until
    /// they would block.
    fn poll(&mut self, now: Instant, stack: &mut Stack);

    /// When it wants to be polled although nothing is ready.
    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// The driver is shutting down: accept nothing new, finish what is open. True when nothing is left to do.
    fn drain(&mut self, now: Instant, stack: &mut Stack) -> bool;
}
