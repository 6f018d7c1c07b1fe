//! Asks a service whether it serves: over TLS, in its own protocol, as far as one gets without a password.
//!
//! A connection alone says nothing: the kernel accepts it for a process that is stopped.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::files;
use super::state::{Kind, Service};

/// How long a service may take for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(50);

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Whether it serves; if not, why.
pub fn answers(service: &Service, ca_file: &Path) -> anyhow::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, service.port));
    let tcp = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    tcp.set_read_timeout(Some(ANSWER_WITHIN))?;
    tcp.set_write_timeout(Some(ANSWER_WITHIN))?;
    match service.kind {
        Kind::Redis => redis(tls(tcp, ca_file)?),
        Kind::Kafka => kafka(tls(tcp, ca_file)?),
        Kind::Postgres => postgres(tcp, ca_file),
    }
}

/// Waits until it serves. An error if its process ends, or does not serve in time.
pub fn wait(service: &Service, ca_file: &Path, limit: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let Err(error) = answers(service, ca_file) else { return Ok(()) };
        let log = || format!("{}:\n{}", service.log.display(), files::end_of(&service.log));
        if service.running().is_none() {
            bail!("{} ended; the end of {}", service.name, log());
        }
        if begun.elapsed() > limit {
            let seconds = limit.as_secs();
            bail!(
                "{} does not serve after {seconds} s: {error:#}; the end of {}",
                service.name,
                log()
            );
        }
        std::thread::sleep(POLL);
    }
}

fn tls(tcp: TcpStream, ca_file: &Path) -> anyhow::Result<Stream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file).context("the authority's certificate")?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Ok(StreamOwned::new(ClientConnection::new(Arc::new(config), name)?, tcp))
}

/// Without a password it answers that one is needed.
fn redis(mut stream: Stream) -> anyhow::Result<()> {
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    ensure!(&answer == b"-NOAUTH", "answered {}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// `ApiVersions`, version 0, is answered before a client has said who it is.
fn kafka(mut stream: Stream) -> anyhow::Result<()> {
    const API_VERSIONS: i16 = 18;
    const CORRELATION: i32 = 0x0f1a;
    let mut request = Vec::new();
    request.extend(API_VERSIONS.to_be_bytes());
    request.extend(0_i16.to_be_bytes());
    request.extend(CORRELATION.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    stream.write_all(&u32::try_from(request.len())?.to_be_bytes())?;
    stream.write_all(&request)?;
    let (mut length, mut correlation, mut error) = ([0; 4], [0; 4], [0; 2]);
    stream.read_exact(&mut length)?;
    stream.read_exact(&mut correlation)?;
    stream.read_exact(&mut error)?;
    ensure!(i32::from_be_bytes(correlation) == CORRELATION, "not an answer of Kafka's");
    ensure!(error == [0; 2], "error {}", i16::from_be_bytes(error));
    Ok(())
}

/// Goes as far as the question for a password: before, while it recovers, it only says that it starts.
fn postgres(mut tcp: TcpStream, ca_file: &Path) -> anyhow::Result<()> {
    const SSL_REQUEST: u32 = 80_877_103;
    const VERSION: u32 = 196_608;
    tcp.write_all(&8_u32.to_be_bytes())?;
    tcp.write_all(&SSL_REQUEST.to_be_bytes())?;
    let mut answer = [0];
    tcp.read_exact(&mut answer)?;
    ensure!(&answer == b"S", "it does not offer TLS");
    let mut stream = tls(tcp, ca_file)?;
    let start = b"user\0postgres\0database\0postgres\0\0";
    stream.write_all(&u32::try_from(start.len() + 8)?.to_be_bytes())?;
    stream.write_all(&VERSION.to_be_bytes())?;
    stream.write_all(start)?;
    stream.read_exact(&mut answer)?;
    ensure!(&answer == b"R", "it does not let anybody in yet");
    Ok(())
}
