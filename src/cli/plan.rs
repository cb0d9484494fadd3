//! What does `get` ask for? URLs, method, fields and body, checked before anything is created.

use super::failure::Failure;
use std::io::Read;
use std::sync::Arc;
use tcpglass::http::Origin;
use tcpglass::service::{RequestBody, RequestPlan};
use url::{Host, Url};

/// A body larger than this is not read into memory.
const LARGEST_BODY: u64 = 64 << 20;

/// The requests to make.
#[derive(Debug)]
pub struct Plan {
    /// One for each URL.
    pub requests: Vec<RequestPlan>,
    /// The proxy that is asked for all of them.
    pub proxy: Option<Origin>,
    /// The port that the first request goes to.
    pub port: u16,
    /// Whether all requests go to the same host and port.
    pub one_server: bool,
}

impl Plan {
    /// How the proxy is written, if there is one.
    pub fn proxy_url(&self) -> Option<String> {
        self.proxy.as_ref().map(|proxy| format!("http://{}:{}", proxy.host, proxy.port))
    }
}

/// What was typed about requests.
pub struct Asked<'a> {
    /// URLs.
    pub urls: &'a [String],
    /// The method, if one was named.
    pub method: Option<&'a str>,
    /// `Name: value` each.
    pub headers: &'a [String],
    /// The body, or `@` and a file.
    pub data: Option<&'a str>,
    /// The URL of a proxy.
    pub proxy: Option<&'a str>,
}

/// Makes sense of what was typed.
pub fn plan(args: &Asked) -> Result<Plan, Failure> {
    let body = args.data.map(body).transpose()?;
    let fields: Vec<(&str, &str)> = args.headers.iter().map(|h| field(h)).collect::<Result<_, _>>()?;
    let proxy = args.proxy.map(proxy).transpose()?;
    let mut plan = Plan { requests: Vec::new(), proxy, port: 0, one_server: true };
    let mut server = None;
    for text in args.urls {
        let mut request = RequestPlan::get(text).map_err(Failure::usage)?;
        let named = destination(request.url())?;
        let asked = plan.proxy.clone().unwrap_or(named);
        let first = server.get_or_insert_with(|| asked.clone());
        plan.one_server &= *first == asked;
        plan.port = first.port;
        if let Some(body) = &body {
            request = request.body(RequestBody::Bytes(body.clone()));
        }
        if let Some(method) = args.method {
            request = request.method(method).map_err(|e| Failure::usage(format_args!("-X {method}: {e}")))?;
        }
        for (name, value) in &fields {
            request = request.field(name, value).map_err(|e| Failure::usage(format_args!("-H {e}")))?;
        }
        plan.requests.push(request);
    }
    Ok(plan)
}

/// Host and port of a URL that a host can be connected to by.
fn destination(text: &str) -> Result<Origin, Failure> {
    let wrong = |why: &str| Failure::usage(format_args!("{text}: {why}"));
    let url = Url::parse(text).map_err(|e| wrong(&e.to_string()))?;
    let usable = match url.host() {
        None => false,
        Some(Host::Domain(name)) => !name.is_empty() && name.len() <= 253,
        Some(Host::Ipv4(ip)) => !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()),
        Some(Host::Ipv6(ip)) => !(ip.is_unspecified() || ip.is_multicast()),
    };
    if !usable {
        return Err(wrong("no host that can be connected to"));
    }
    let port = url.port_or_known_default().ok_or_else(|| wrong("no port"))?;
    let host = url.host().ok_or_else(|| wrong("no host"))?.to_owned();
    Ok(Origin { host, port })
}

/// A proxy's `http://HOST:PORT`, or `HOST:PORT`. Without a port curl takes 1080, others 80 or 8080: none is guessed.
fn proxy(text: &str) -> Result<Origin, Failure> {
    let wrong = |why: &str| Failure::usage(format_args!("--proxy {text}: {why}"));
    let rest = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return Err(wrong("only http:// proxies are spoken with")),
        None => text,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        return Err(wrong("a user name: send -H 'Proxy-Authorization: Basic …' instead"));
    }
    if rest.contains(['/', '?', '#'])
        || rest.rsplit(':').next().is_none_or(|port| port.parse::<u16>().is_err())
    {
        return Err(wrong("write http://HOST:PORT"));
    }
    let origin = destination(&format!("http://{rest}/"))?;
    if origin.port == 0 { Err(wrong("port 0")) } else { Ok(origin) }
}

fn field(text: &str) -> Result<(&str, &str), Failure> {
    let wrong = |why: &str| Failure::usage(format_args!("-H {text:?}: {why}"));
    let (name, value) = text.split_once(':').ok_or_else(|| wrong("write 'NAME: VALUE'"))?;
    // Two lengths, or a length and chunks, are how requests are smuggled: the client alone says how the body ends.
    if ["Content-Length", "Transfer-Encoding"].iter().any(|n| n.eq_ignore_ascii_case(name.trim())) {
        return Err(wrong("how long the body is follows from -d"));
    }
    Ok((name, value.trim()))
}

fn body(data: &str) -> Result<Arc<[u8]>, Failure> {
    let Some(path) = data.strip_prefix('@') else { return Ok(data.as_bytes().into()) };
    let wrong = |why: &str| Failure::usage(format_args!("-d {data}: {why}"));
    let input: Box<dyn Read> = if path == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).map_err(|e| wrong(&e.to_string()))?)
    };
    let mut bytes = Vec::new();
    input.take(LARGEST_BODY + 1).read_to_end(&mut bytes).map_err(|e| wrong(&e.to_string()))?;
    if bytes.len() as u64 > LARGEST_BODY {
        return Err(wrong("larger than 64 MiB: send a smaller body"));
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use clap::Parser;

    fn planned(args: &[&str]) -> Result<Plan, String> {
        let cli = Cli::try_parse_from(["tcpglass", "get"].iter().chain(args)).unwrap();
        let Command::Get(args) = cli.command else { panic!("{:?}", cli.command) };
        let (urls, headers) = (&args.urls[..], &args.client.headers[..]);
        let (method, data, proxy) =
            (args.client.method.as_deref(), args.data.as_deref(), args.client.proxy.as_deref());
        let asked = Asked { urls, method, headers, data, proxy };
        plan(&asked).map_err(|e| format!("{e:?}"))
    }

    #[test]
    fn urls_that_cannot_be_fetched_are_refused_with_a_reason() {
        for (text, told) in [
            ("https://10.0.0.1/", "https:// is not spoken here"),
            ("ftp://10.0.0.1/", "only http://"),
            ("http://", "not a URL"),
            ("http://10.0.0.1:99999/", "not a URL"),
            ("http://10.0.0.1:0/", "port 0"),
            ("http://u:p@10.0.0.1/", "user name"),
            ("http://0.0.0.0/", "no host"),
            ("http://[ff02::1]/", "no host"),
            ("http://255.255.255.255/", "no host"),
            ("http://a b/", "not a URL"),
        ] {
            let error = planned(&[text]).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        let plan = planned(&["10.77.0.1:8000/x", "http://glass", "glass:8000"]).unwrap();
        assert_eq!(plan.requests[0].url(), "http://10.77.0.1:8000/x");
        assert_eq!((plan.port, plan.one_server), (8000, false));
    }

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        for (text, told) in [
            ("https://10.0.0.1:3128", "only http://"),
            ("socks5://10.0.0.1:1080", "only http://"),
            ("http://u:p@10.0.0.1:3128", "Proxy-Authorization"),
            ("10.0.0.1", "write http://HOST:PORT"),
            ("[fd77::1]", "write http://HOST:PORT"),
            ("10.0.0.1:3128/x", "write http://HOST:PORT"),
            ("10.0.0.1:99999", "write http://HOST:PORT"),
            (":3128", "empty host"),
            ("0.0.0.0:3128", "no host"),
            ("10.0.0.1:0", "port 0"),
        ] {
            let error = planned(&["a", "--proxy", text]).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        for (text, host, port) in [
            ("http://10.0.0.1:80/", "10.0.0.1", 80),
            ("HTTP://Cache:3128", "cache", 3128),
            ("[::1]:8", "[::1]", 8),
        ] {
            let plan = planned(&["a:1", "b:2", "-x", text]).unwrap();
            assert_eq!((plan.port, plan.one_server), (port, true));
            assert_eq!(plan.proxy.unwrap(), Origin { host: Host::parse(host).unwrap(), port });
        }
    }

    #[test]
    fn fields_cannot_smuggle() {
        for text in [
            "X",
            ": x",
            "X : y",
            "A\r\nB: c",
            "A: b\r\nC: d",
            "content-length: 3",
            "Transfer-Encoding: chunked",
        ] {
            assert!(planned(&["glass", "-H", text]).is_err(), "{text:?}");
        }
        assert!(planned(&["glass", "-H", "X-A:  b "]).is_ok());
    }

    #[test]
    fn methods_are_tokens() {
        for method in ["GE T", "", "CONNECT"] {
            assert!(planned(&["glass", "-X", method]).is_err(), "{method:?}");
        }
        assert!(planned(&["glass", "-X", "PURGE"]).is_ok());
    }
}
