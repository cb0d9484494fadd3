//! What does `get` ask for? URLs, method, fields and body, checked before anything is created.

use super::failure::Failure;
use std::io::Read;
use std::sync::Arc;
use tcpglass::service::{RequestBody, RequestPlan};
use url::{Host, Url};

/// A body larger than this is not read into memory.
const LARGEST_BODY: u64 = 64 << 20;

/// The requests to make.
#[derive(Debug)]
pub struct Plan {
    /// One for each URL.
    pub requests: Vec<RequestPlan>,
    /// The ports of the URLs, each once, the first URL's first.
    pub ports: Vec<u16>,
    /// Whether all URLs lead to the same host and port.
    pub one_server: bool,
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
}

/// Makes sense of what was typed.
pub fn plan(args: &Asked) -> Result<Plan, Failure> {
    let body = args.data.map(body).transpose()?;
    let fields: Vec<(&str, &str)> = args.headers.iter().map(|h| field(h)).collect::<Result<_, _>>()?;
    let mut plan = Plan { requests: Vec::new(), ports: Vec::new(), one_server: true };
    let mut server = None;
    for text in args.urls {
        let mut request = RequestPlan::get(text).map_err(Failure::usage)?;
        let (host, port) = destination(request.url())?;
        plan.one_server &= *server.get_or_insert_with(|| (host.clone(), port)) == (host, port);
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
        if !plan.ports.contains(&port) {
            plan.ports.push(port);
        }
    }
    Ok(plan)
}

/// Host and port of a URL that a host can be connected to by.
fn destination(text: &str) -> Result<(String, u16), Failure> {
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
    Ok((url.host_str().unwrap_or_default().to_owned(), port))
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
        let (urls, headers) = (&args.urls[..], &args.headers[..]);
        let asked = Asked { urls, method: args.method.as_deref(), headers, data: args.data.as_deref() };
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
        assert_eq!(plan.ports, [8000, 80]);
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
