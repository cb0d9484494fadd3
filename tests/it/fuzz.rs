//! Does what is fuzzed for hours elsewhere bear a few seconds of it here? The targets' own functions on their corpora,
//! changed by lot; the same each time.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tcpglass::http::{self, Endpoint, ServerConn, ServerEvent};
use tcpglass::sim::Rng;
use tcpglass::time::Instant;

#[path = "../../fuzz/entries/capture_read.rs"]
mod capture_read;
#[path = "../../fuzz/entries/http_client.rs"]
mod http_client;
#[path = "../../fuzz/entries/http_server.rs"]
mod http_server;
#[path = "../../fuzz/entries/script_parse.rs"]
mod script_parse;
#[path = "../../fuzz/entries/settings.rs"]
mod settings;
#[path = "../../fuzz/entries/wire_decode.rs"]
mod wire_decode;

/// The files of a corpus that are in the repository, in the order of their names.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let found = |path: &PathBuf| {
        // What a fuzzer has added beside them is named by 40 digits.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.len() < 40 || !name.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(found);
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// One small change.
fn mutate(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    const LARGEST: usize = 1 << 16;
    let at = rng.below(input.len() as u64 + 1) as usize;
    let until = at + rng.below((input.len() - at).min(64) as u64 + 1) as usize;
    match rng.below(7) {
        0 => input.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << rng.below(8)),
        1 => input.iter_mut().skip(at).take(1).for_each(|b| *b = rng.next_u64() as u8),
        2 => {
            let word = [0, 1, 0x7f, 0xff][rng.below(4) as usize];
            input[at..until.min(at + 4)].fill(word);
        }
        3 => drop(input.drain(at..until)),
        4 => input.truncate(at),
        5 => {
            let again = input[at..until].to_vec();
            input.splice(at..at, again);
        }
        _ => {
            let from = rng.below(other.len() as u64 + 1) as usize;
            let piece = &other[from..other.len().min(from + 64)];
            input.splice(at..at, piece.iter().copied());
        }
    }
    input.truncate(LARGEST);
}

/// Runs `target` on its corpus as it is, and on `rounds` changed inputs.
fn fuzz(target: &str, rounds: usize, run: fn(&[u8])) {
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "{target} has inputs to begin with");
    let mut rng = Rng::new(1, 4);
    let mut changed = |round: usize| {
        let mut input = corpus[round % corpus.len()].1.clone();
        for _ in 0..1 + rng.below(6) {
            let other = rng.below(corpus.len() as u64) as usize;
            mutate(&mut input, &corpus[other].1, &mut rng);
        }
        input
    };
    let as_they_are = corpus.iter().map(|(_, input)| input.clone());
    for input in as_they_are.chain((0..rounds).map(&mut changed)) {
        if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(|| run(&input))) {
            eprintln!("{target} fails on b\"{}\"", input.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    }
}

/// Inputs that are text reach their target if they are UTF-8.
fn as_text(input: &[u8], run: fn(&str)) {
    run(&String::from_utf8_lossy(input));
}

#[test]
fn any_bytes_are_a_packet_or_are_dropped() {
    fuzz("wire_decode", 3000, wire_decode::run);
}

#[test]
fn any_bytes_are_requests_or_are_refused() {
    fuzz("http_server", 3000, http_server::run);
}

#[test]
fn any_bytes_are_responses_or_are_refused() {
    fuzz("http_client", 3000, http_client::run);
}

#[test]
fn any_file_is_a_capture_or_is_refused() {
    fuzz("capture_read", 2000, capture_read::run);
}

#[test]
fn any_text_is_a_script_or_is_refused() {
    fuzz("script_parse", 2000, |input| as_text(input, script_parse::run));
}

#[test]
fn any_text_is_settings_or_is_refused() {
    fuzz("settings", 200, |input| as_text(input, settings::run));
}

/// Each head that two readers could understand differently is refused, before anything of it is taken for a request:
/// RFC 9112 §2.2, §3, §5.1, §5.2, §6.1, §6.3, §11.2.
#[test]
fn no_head_of_the_corpus_that_is_ambiguous_is_answered() {
    let ambiguous = corpus("http_server").into_iter().filter(|(path, _)| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("refused_"))
    });
    let mut refused = 0;
    for (path, input) in ambiguous {
        let now = Instant::from_millis(1);
        let mut server = ServerConn::new(Arc::new(http::Config::default()), now);
        // The first byte tells the fuzzer the size of the pieces.
        server.on_bytes(now, &input[1..]);
        while let Some(event) = server.poll_event(now) {
            assert!(!matches!(event, ServerEvent::Request(_)), "{}: {event:?}", path.display());
        }
        let answer = String::from_utf8_lossy(server.output()).into_owned();
        let status: u16 = answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
        assert!((400..600).contains(&status), "{}: {answer:?}", path.display());
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{}: {answer:?}", path.display());
        refused += 1;
    }
    assert!(refused >= 20, "{refused} heads");
}
