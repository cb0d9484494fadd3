//! Does the page of a capture show what the capture holds, alone and whatever that is?

mod browser;

use crate::judge::Memory;
use browser::Browser;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::blocks::section_header::SectionHeaderBlock;
use pcap_file::{DataLink, Endianness};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tcpglass::sim::{World, host_config};
use tcpglass::tcp::Config;
use tcpglass::time::Duration;
use tcpglass::trace::{Format, TraceOptions, Tracer, to_writer};

/// What nobody wants to see run.
const HOSTILE: &str =
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">'\"&";

/// A directory of its own for a test, gone at its end.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Place {
        let path = std::env::temp_dir().join(format!("tcpglass-page-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    fn explain(&self, args: &[&str]) -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_tcpglass"));
        program.arg("explain").args(args).current_dir(&self.0).output().unwrap()
    }

    /// The page of a capture, and where it is.
    fn page(&self, capture: &str) -> (String, PathBuf) {
        let output = self.explain(&["--html", "page.html", capture]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let path = self.0.join("page.html");
        (std::fs::read_to_string(&path).unwrap(), path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn golden(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name).display().to_string()
}

/// What stands between two marks, the first time.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap_or_else(|| panic!("no {from}")) + from.len();
    &text[start..start + text[start..].find(to).unwrap_or_else(|| panic!("no {to} behind {from}"))]
}

fn data(page: &str) -> Value {
    serde_json::from_str(between(page, "id=\"data\">", "</script>")).unwrap()
}

/// A conversation whose every text is hostile: the request's target, the host, the comments.
fn hostile() -> Vec<u8> {
    let header = SectionHeaderBlock { endianness: Endianness::native(), ..Default::default() };
    let mut file = PcapNgWriter::with_section_header(Vec::new(), header).unwrap();
    file.write_pcapng_block(InterfaceDescriptionBlock::new(DataLink::RAW, 0)).unwrap();
    let request = format!("GET /{} HTTP/1.1\r\nHost: {HOSTILE}\r\n\r\n", HOSTILE.replace(' ', ""));
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (up, down) = (request.len() as u32, answer.len() as u32);
    let why = format!("why=<b>'x'</b>: {HOSTILE}");
    let text = format!("why=data: {HOSTILE} \u{2028} {{L}} {{}}");
    for (n, (flags, seq, ack, payload, why)) in [
        ("S", 0, 0, "", "why=syn: opens"),
        ("S.", 500, 1, "", &why),
        (".", 1, 501, &*request, &text),
        (".", 501, 1 + up, answer, &text),
        ("F.", 1 + up, 501 + down, "", &why),
    ]
    .into_iter()
    .enumerate()
    {
        let from_client = n % 2 == 0;
        let (from, to) =
            if from_client { ([10, 0, 0, 1], [10, 0, 0, 2]) } else { ([10, 0, 0, 2], [10, 0, 0, 1]) };
        let (sport, dport) = if from_client { (40_000, 80) } else { (80, 40_000) };
        let mut tcp = etherparse::TcpHeader::new(sport, dport, seq, 1000);
        (tcp.syn, tcp.ack, tcp.fin) = (flags.contains('S'), flags.contains('.'), flags.contains('F'));
        tcp.acknowledgment_number = ack;
        let mut bytes = Vec::new();
        let packet = etherparse::PacketBuilder::ipv4(from, to, 64).tcp_header(tcp);
        packet.write(&mut bytes, payload.as_bytes()).unwrap();
        let comments = [why, &format!("conn=1 cwnd=1 flight=1 srtt=1ms limit={}", HOSTILE.replace(' ', ""))];
        let mut options: Vec<_> = (comments.into_iter())
            .map(|c| EnhancedPacketOption::Common(CommonOption::Comment(Cow::Owned(c.to_owned()))))
            .collect();
        options.push(EnhancedPacketOption::Flags(if from_client { 2 } else { 1 }));
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::from_millis(10 * n as u64),
            original_len: bytes.len() as u32,
            data: Cow::Owned(bytes),
            options,
        };
        file.write_pcapng_block(block).unwrap();
    }
    file.into_inner()
}

/// One transfer of so many bytes over a link, as its sender saw it.
fn transfer(bytes: usize, link: &str) -> Vec<u8> {
    let mut world = World::new(1, link.parse().unwrap());
    world.check_invariants(false);
    let file = Memory::default();
    let tracer = Tracer::new(vec![to_writer(file.clone(), Format::Pcapng, &TraceOptions::default())]);
    let addr = |n| std::net::IpAddr::from([10, 0, 0, n]);
    let sender = world.add_host("sender", host_config(addr(1), Config::linux()), tracer);
    let receiver = world.add_host("receiver", host_config(addr(2), Config::linux()), Tracer::default());
    let (here, there) = world.pair(sender, receiver, (addr(2), 80)).unwrap();
    assert_eq!(world.transfer(here, there, &vec![7; bytes]).unwrap().len(), bytes);
    world.finish().unwrap();
    file.take()
}

#[test]
fn the_policy_allows_this_style_and_this_script_and_nothing_else() {
    let place = Place::new("policy");
    let (page, _) = place.page(&golden("loss_recovery.pcapng"));
    let policy = between(&page, "http-equiv=\"Content-Security-Policy\" content=\"", "\"");
    // Hashes by a program that has no part in this.
    let hash = |text: &str| {
        let mut sum = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        sum.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = sum.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap()[..64].to_owned()
    };
    let hex = |source: &str| {
        let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bits = source.trim_end_matches('=').bytes().fold(String::new(), |bits, b| {
            bits + &format!("{:06b}", digits.bytes().position(|d| d == b).unwrap())
        });
        (0..64)
            .map(|n| format!("{:x}", u8::from_str_radix(&bits[4 * n..4 * n + 4], 2).unwrap()))
            .collect::<String>()
    };
    let allowed = |directive: &str| hex(between(policy, &format!("{directive} 'sha256-"), "'"));
    assert_eq!(allowed("style-src"), hash(between(&page, "<style>", "</style>")));
    assert_eq!(allowed("script-src"), hash(between(&page, "\n<script>", "</script>")));
    let kinds: Vec<&str> = policy.split("; ").map(|d| d.split(' ').next().unwrap()).collect();
    assert_eq!(kinds, ["default-src", "style-src", "script-src", "base-uri", "form-action"]);
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    for never in ["http://", "https://", " style=\"", " src=", "onclick=", "onload=", "eval("] {
        let quoted = page.replace("'http://www.w3.org/2000/svg'", "");
        assert!(!quoted.contains(never), "{never}");
    }
}

#[test]
fn what_comes_from_a_capture_is_text_wherever_it_stands() {
    let place = Place::new("hostile");
    let name = "<img src=x onerror=alert(1)>.pcapng";
    std::fs::write(place.0.join(name), hostile()).unwrap();
    let (page, _) = place.page(name);
    assert_eq!(page.matches("<script").count(), 2, "the data and what draws it");
    assert_eq!(page.matches("</script").count(), 2);
    assert_eq!(page.matches("<img").count(), 0);
    let data = data(&page);
    let all = data.to_string();
    assert!(all.contains("taken") && all.contains("onerror"), "it is there as text: {all}");
    let block = between(&page, "id=\"data\">", "</script>");
    assert!(!block.contains(['<', '>', '&', '\'', '\u{2028}']), "{block}");
    assert_eq!(data["lines"][0]["bits"].as_array().unwrap().len(), 5);
}

#[test]
fn comments_that_are_no_text_do_not_keep_a_page_from_being_written() {
    let place = Place::new("broken-text");
    let mut file = hostile();
    let at = file.windows(5).position(|w| w == b"opens").unwrap();
    file[at..at + 5].copy_from_slice(&[0xff, 0xfe, 0x80, 0xc3, 0x28]);
    std::fs::write(place.0.join("a.pcapng"), file).unwrap();
    let (page, _) = place.page("a.pcapng");
    assert_eq!(data(&page)["lines"][0]["number"], 1);
}

#[test]
fn twenty_thousand_segments_with_their_reasons_fit_in_two_megabytes() {
    let place = Place::new("size");
    std::fs::write(place.0.join("big.pcapng"), transfer(20_000_000, "rtt=20ms,bandwidth=100mbit,loss=0.1%"))
        .unwrap();
    let (page, _) = place.page("big.pcapng");
    let data = data(&page);
    assert!(data["kept"].as_u64().unwrap() >= 20_000, "{} are drawn", data["kept"]);
    assert_eq!(data["kept"], data["passed"], "all of them");
    assert_eq!(data["silent"], 0, "each with its sentence");
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
}

#[test]
fn of_too_many_segments_what_is_unusual_is_drawn_and_the_page_says_so() {
    let place = Place::new("too-many");
    std::fs::write(place.0.join("huge.pcapng"), transfer(46_000_000, "rtt=20ms,bandwidth=100mbit,loss=0.1%"))
        .unwrap();
    let (page, _) = place.page("huge.pcapng");
    let data = data(&page);
    let (kept, passed) = (data["kept"].as_u64().unwrap(), data["passed"].as_u64().unwrap());
    assert!(passed > 41_000 && (15_000..=40_000).contains(&kept), "{kept} of {passed}");
    let again = |bits: &Value| bits.as_u64().unwrap() & 256 != 0;
    let drawn = data["lines"][0]["bits"].as_array().unwrap().iter().filter(|b| again(b)).count();
    let output = place.explain(&["--json", "huge.pcapng"]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json!(drawn), summary["connections"][0]["up"]["again"], "each repetition");
    assert!(page.len() < 2_500_000, "{} bytes", page.len());
}

#[test]
fn a_file_that_is_no_page_is_not_overwritten_and_a_page_is() {
    let place = Place::new("overwrite");
    let capture = golden("http_get.pcapng");
    std::fs::write(place.0.join("notes.html"), "<!doctype html>\n<p>mine").unwrap();
    let output = place.explain(&["--html", "notes.html", &capture]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("a file of another kind; remove it or choose another name"), "{error}");
    assert_eq!(std::fs::read_to_string(place.0.join("notes.html")).unwrap(), "<!doctype html>\n<p>mine");
    let (first, _) = place.page(&capture);
    let (second, _) = place.page(&golden("loss_recovery.pcapng"));
    assert!(first != second && second.contains("loss_recovery.pcapng"));
    let output = place.explain(&["--html", "-", &capture]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        first,
        "- is standard output, and nothing else goes there"
    );
}

#[test]
fn a_browser_draws_the_page_without_a_complaint() {
    let Some(mut browser) = Browser::start("a_browser_draws_the_page_without_a_complaint") else { return };
    let place = Place::new("drawn");
    std::fs::write(place.0.join("hostile.pcapng"), hostile()).unwrap();
    std::fs::write(
        place.0.join("empty.pcap"),
        [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0],
    )
    .unwrap();
    for name in ["loss_recovery.pcapng", "nagle_delayed_ack.pcapng", "http_get.pcapng"] {
        let (_, path) = place.page(&golden(name));
        browser.open(&path);
        browser.picture(name);
        let inked = "(() => { const c = document.querySelector('canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; \
                     const seen = new Set(); for (let i = 0; i < d.length; i += 4) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); return seen.size; })()";
        let colours = browser.value(inked).as_u64().unwrap();
        assert!(colours > 10, "{name}: {colours} colours on the canvas");
        let rows = browser.value("document.querySelectorAll('#table tbody tr').length");
        assert!(rows.as_u64().unwrap() > 5, "{name}: {rows} rows");
    }
    let (_, path) = place.page("hostile.pcapng");
    browser.open(&path);
    for _ in 0..6 {
        browser.value("document.querySelector('canvas').focus()");
        browser.key("ArrowRight", false);
    }
    assert_ne!(browser.text("document.title"), "taken");
    assert!(browser.text("document.querySelector('output').textContent").contains("<script>"), "as text");
    let (_, path) = place.page("empty.pcap");
    browser.open(&path);
    assert!(browser.text("document.getElementById('graph').textContent").contains("No TCP segment"));
    assert_eq!(browser.complaints(), [""; 0]);
    assert!(browser.requests().iter().all(|url| url.starts_with("file://")), "{:?}", browser.requests());
}

#[test]
fn the_page_is_light_on_paper_dark_in_the_dark_and_fits_on_a_telephone() {
    const TEST: &str = "the_page_is_light_on_paper_dark_in_the_dark_and_fits_on_a_telephone";
    let Some(mut browser) = Browser::start(TEST) else { return };
    let place = Place::new("media");
    let (_, path) = place.page(&golden("nagle_delayed_ack.pcapng"));
    let corner = "document.querySelector('canvas').getContext('2d').getImageData(2, 2, 1, 1).data.join(' ')";
    let paper = "getComputedStyle(document.body).backgroundColor";
    let media = |kind: &str, scheme: &str| json!({ "media": kind, "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    browser.call("Emulation.setEmulatedMedia", media("screen", "light"));
    browser.open(&path);
    assert_eq!(browser.text(corner), "255 255 255 255");
    browser.call("Emulation.setEmulatedMedia", media("screen", "dark"));
    browser.settle();
    browser.picture("dark");
    assert_eq!(
        (browser.text(corner), browser.text(paper)),
        ("22 24 27 255".into(), "rgb(22, 24, 27)".into())
    );
    browser.value("dispatchEvent(new Event('beforeprint'))");
    browser.call("Emulation.setEmulatedMedia", media("print", "dark"));
    assert_eq!(
        (browser.text(corner), browser.text(paper)),
        ("255 255 255 255".into(), "rgb(255, 255, 255)".into())
    );
    browser.picture("print");
    let shown = "getComputedStyle(document.querySelector('.controls')).display";
    assert_eq!(browser.text(shown), "none", "buttons are not for paper");
    browser.value("dispatchEvent(new Event('afterprint'))");
    browser.call("Emulation.setEmulatedMedia", media("screen", "light"));
    let phone = json!({ "width": 360, "height": 640, "deviceScaleFactor": 2, "mobile": true });
    browser.call("Emulation.setDeviceMetricsOverride", phone);
    browser.settle();
    browser.picture("phone");
    let wide = "[document.documentElement.scrollWidth, document.querySelector('.bar').getBoundingClientRect().right].join(' ')";
    let numbers: Vec<f64> = browser.text(wide).split(' ').map(|n| n.parse().unwrap()).collect();
    assert!(numbers.iter().all(|n| *n <= 360.0), "nothing sticks out: {numbers:?}");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn findings_lead_to_their_frames_and_every_segment_can_be_read_by_keyboard() {
    const TEST: &str = "findings_lead_to_their_frames_and_every_segment_can_be_read_by_keyboard";
    let Some(mut browser) = Browser::start(TEST) else { return };
    let place = Place::new("keyboard");
    let (page, path) = place.page(&golden("loss_recovery.pcapng"));
    browser.open(&path);
    let told = "document.querySelector('output').textContent";
    // The first finding is the time-out that frame 53, the retransmission at 600 ms, ended.
    assert!(page.contains("data-frames=\"46 53\""), "the capture has changed");
    browser.key("Tab", false);
    browser.key("Enter", false);
    let text = browser.text(told);
    assert!(text.contains("Frame 53 at 600.000 ms, client to server") && text.contains("Why: rto"), "{text}");
    let focus = "document.activeElement.tagName";
    assert_eq!(browser.text(focus), "CANVAS", "the graph has the focus");
    browser.value("document.querySelector('a[data-frames]').focus()");
    let mut order = vec![browser.text(focus)];
    while order.last().unwrap() != "CANVAS" && order.len() < 40 {
        browser.key("Tab", false);
        order.push(browser.text(focus));
    }
    let buttons = ["BUTTON"; 5].join(" ");
    assert_eq!(order.join(" "), format!("A A A A DIV A SELECT SELECT {buttons} CANVAS"), "as it is read");
    let mut frames = Vec::new();
    browser.key("Home", false);
    for _ in 0..47 {
        let text = browser.text(told);
        frames.push(between(&text, "Frame ", " ").parse::<u64>().unwrap());
        assert!(text.contains("Why: ") || text.contains("Received as "), "{text}");
        browser.key("ArrowRight", false);
    }
    assert!(frames.is_sorted_by(|a, b| a < b) && frames.len() == 47, "{frames:?}");
    browser.key("Home", false);
    let span = "document.querySelector('#table tr.chosen button').textContent";
    assert_eq!(browser.text(span), "1", "the table follows");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Runs the program in a test's directory.
fn glass(place: &Place, args: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tcpglass"));
    let output = program.args(args.split(' ')).current_dir(&place.0).output().unwrap();
    assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn the_page_of_a_run_is_that_of_its_capture() {
    let place = Place::new("run");
    for args in [
        "get --json --sim rtt=20ms,drop_nth=3 http://glass/bytes/60000 http://glass/delay/5",
        "load --json --sim rtt=5ms -n 30 -c 3 http://glass/bytes/2000",
    ] {
        // Bytes that are cut off in the file are on the page.
        glass(&place, &format!("{args} --trace run.pcapng --html run.html"));
        let (explained, _) = place.page("run.pcapng");
        let page = std::fs::read_to_string(place.0.join("run.html")).unwrap();
        assert_eq!(data(&page), data(&explained), "{args}");
        let findings = |page: &str| between(page, "<main>", "<footer>").to_owned();
        assert_eq!(findings(&page), findings(&explained), "{args}");
        let command = args.split(' ').next().unwrap();
        assert!(page.contains(&format!("<title>{command} http://glass/bytes/")), "{args}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_tcpglass"))
        .args(["get", "--sim", "rtt=1ms", "--html", "-", "http://glass/"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "a page and a body do not mix");
}

#[test]
fn an_experiment_has_a_page_with_its_verdicts_drawing_and_arms() {
    const NAME: &str = "an_experiment_has_a_page_with_its_verdicts_drawing_and_arms";
    let place = Place::new("lab");
    let told = glass(&place, "lab nagle handshake --json --html lab.html");
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let mut browser = Browser::start(NAME);
    for experiment in told["experiments"].as_array().unwrap() {
        let name = experiment["name"].as_str().unwrap();
        let path = place.0.join(format!("lab-{name}.html"));
        let page = std::fs::read_to_string(&path).unwrap();
        for claim in experiment["claims"].as_array().unwrap() {
            assert!(page.contains(&format!("<th scope=\"row\">{}</th>", claim["name"].as_str().unwrap())));
            assert!(page.contains(&format!(
                "{}, {} of {}",
                claim["verdict"].as_str().unwrap(),
                claim["held"],
                claim["of"]
            )));
        }
        let Some(browser) = &mut browser else { continue };
        browser.open(&path);
        let rows = browser.value("document.querySelectorAll('section:last-of-type tbody tr').length");
        assert_eq!(rows, experiment["arms"].as_array().unwrap().len(), "{name}");
        assert_eq!(
            browser.value("getComputedStyle(document.querySelector('th')).textAlign"),
            "left",
            "styled"
        );
        for (width, dark) in [(1200, false), (1200, true), (360, false)] {
            let scheme = if dark { "dark" } else { "light" };
            let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            browser.call("Emulation.setEmulatedMedia", media);
            let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
            browser.call("Emulation.setDeviceMetricsOverride", size);
            browser.settle();
            let wide = browser.value("document.documentElement.scrollWidth");
            assert!(wide.as_u64().unwrap() <= width, "{name} at {width}: {wide}");
            browser.picture(&format!("lab-{name}-{width}-{scheme}"));
        }
        assert_eq!(browser.complaints(), [""; 0], "{name}");
    }
}
