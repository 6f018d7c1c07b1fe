//! The two listeners: their addresses are free, or it is a Flux-Gate that answers there.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};

use super::Finding;
use crate::cli::client::{Client, reach};
use crate::config::Config;

const CHECK: &str = "ports";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let listeners = [
        ("http.listen", config.http.listen, config.http.tls_cert_file.as_deref()),
        ("admin.listen", config.admin.listen, config.admin.tls_cert_file.as_deref()),
    ];
    listeners.map(|(key, address, certificate)| one(key, address, certificate)).into()
}

fn one(key: &str, address: SocketAddr, certificate: Option<&Path>) -> Finding {
    let error = match TcpListener::bind(address) {
        Ok(_) => return Finding::ok(CHECK, format!("{key}: {address} is free")),
        Err(error) => error,
    };
    let found = format!("{key}: {address}: {error}");
    match error.kind() {
        ErrorKind::AddrInUse => match is_alive(address, certificate) {
            true => Finding::ok(
                CHECK,
                format!("{key}: {address} is in use; a live server answers there"),
            ),
            false => {
                let mend = format!("stop what listens there (ss -ltnp), or choose another {key}");
                Finding::fail(CHECK, format!("{key}: {address} is in use by another program"), mend)
            }
        },
        ErrorKind::PermissionDenied => {
            let mend = format!("choose a port above 1023 for {key}, or grant CAP_NET_BIND_SERVICE");
            Finding::fail(CHECK, found, mend)
        }
        _ => Finding::fail(CHECK, found, format!("set {key} to an address of this machine")),
    }
}

/// Whether `GET /livez` is answered as a Flux-Gate answers it.
fn is_alive(address: SocketAddr, certificate: Option<&Path>) -> bool {
    let trusted: Vec<_> = certificate.into_iter().collect();
    let target = reach(address, certificate.is_some());
    let Ok(client) = Client::new(target, &trusted, ANSWER_TIMEOUT) else { return false };
    let Ok(request) = Request::get("/livez").body(Bytes::new()) else { return false };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return false };
    match runtime.block_on(client.send(request)) {
        Ok(reply) => reply.status == StatusCode::OK,
        // A certificate for a name does not fit the address: somebody who speaks TLS is there.
        Err(crate::cli::client::ClientError::Tls { .. }) => true,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::super::Health;
    use super::*;

    #[test]
    fn an_address_is_free_in_use_or_not_of_this_machine() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for reply in ["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "SSH-2.0\r\n"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1_024];
                assert!(stream.read(&mut request).unwrap() > 0);
                stream.write_all(reply.as_bytes()).unwrap();
            }
        });
        assert_eq!(one("http.listen", address, None).health, Health::Ok);
        let other = one("http.listen", address, None);
        assert_eq!(other.health, Health::Fail);
        assert!(other.mend.unwrap().contains("ss -ltnp"));
        server.join().unwrap();
        assert_eq!(one("http.listen", address, None).health, Health::Ok);
        let foreign = one("http.listen", "192.0.2.1:3000".parse().unwrap(), None);
        assert_eq!(foreign.health, Health::Fail);
    }
}
