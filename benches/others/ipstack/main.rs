//! What does the crate ipstack do in a run, on the same device without offload?
//!
//! `versus` builds it with cargo and starts it as `ipstack DEVICE in|out|http`. It answers for every address.

use ipstack::{IpStack, IpStackConfig, IpStackStream, IpStackTcpStream};
use std::error::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BUFFER: usize = 256 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [device, work] = &args[..] else { return Err("usage: ipstack DEVICE in|out|http".into()) };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(device, work))
}

async fn serve(device: &str, work: &str) -> Result<(), Box<dyn Error>> {
    let mut config = tun::Configuration::default();
    config.tun_name(device).mtu(1500).up();
    let mut settings = IpStackConfig::default();
    settings.mtu(1500)?;
    let mut stack = IpStack::new(settings, tun::create_as_async(&config)?);
    loop {
        if let IpStackStream::Tcp(stream) = stack.accept().await? {
            let work = work.to_owned();
            tokio::spawn(async move {
                // A connection that ends is no concern of the others.
                let _ = match work.as_str() {
                    "out" => send(stream).await,
                    "http" => answer(stream).await,
                    _ => take(stream).await,
                };
            });
        }
    }
}

async fn take(mut stream: IpStackTcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn send(mut stream: IpStackTcpStream) -> std::io::Result<()> {
    let buffer = vec![7; BUFFER];
    loop {
        stream.write_all(&buffer).await?;
    }
}

/// 200 bytes to each request; one at a time.
async fn answer(mut stream: IpStackTcpStream) -> std::io::Result<()> {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: ipstack\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: 200\r\n\r\n{}",
        "x".repeat(200)
    );
    let (mut buffer, mut got) = (vec![0; 4096], 0);
    loop {
        match stream.read(&mut buffer[got..]).await? {
            0 => return Ok(()),
            n => got += n,
        }
        if buffer[..got].ends_with(b"\r\n\r\n") {
            let closes = buffer[..got].windows(17).any(|w| w == b"Connection: close");
            stream.write_all(answer.as_bytes()).await?;
            if closes {
                return stream.shutdown().await;
            }
            got = 0;
        }
    }
}
