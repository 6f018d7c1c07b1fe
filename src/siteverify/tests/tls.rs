//! The call over TLS, against a fake with certificates of our own: only one that is good for its name, now, by the
//! configured authority, is told the secret.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

type Authority = Issuer<'static, KeyPair>;

/// An authority, and its certificate as PEM.
fn authority() -> (Authority, String) {
    let mut params = CertificateParams::new(vec!["authority.test".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

/// What a certificate says: its name, and from which year until which it is good.
#[derive(Clone, Copy)]
struct Says {
    name: &'static str,
    years: (i32, i32),
}

const NOW: (i32, i32) = (2020, 4_000);

/// A service that speaks TLS by such a certificate, from this authority or from itself alone.
fn service(says: Says, by: Option<&Authority>) -> (u16, Receiver<String>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![says.name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(says.years.0, 1, 1);
    params.not_after = date_time_ymd(says.years.1, 1, 1);
    let certificate = match by {
        Some(issuer) => params.signed_by(&key, issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, sent) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            // Nothing, if the client has refused the certificate.
            let _ = told.send(super::heard(&mut stream));
            let _ = stream.write_all(super::says(GOOD).as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (port, sent)
}

/// What comes of a call to this port by this name, and what the service was sent.
fn ask(
    name: &str,
    pem: Option<&str>,
    (port, sent): &(u16, Receiver<String>),
) -> (Verified, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authority.pem");
    if let Some(pem) = pem {
        std::fs::write(&file, pem).unwrap();
    }
    let asked = Challenge {
        ca_file: pem.map(|_| file),
        ..config(&format!("https://{name}:{port}/siteverify"))
    };
    let came = verify(&asked, "token");
    (came, sent.recv_timeout(Duration::from_secs(5)).unwrap_or_default())
}

#[test]
fn a_service_with_a_good_certificate_is_asked() {
    let (ours, pem) = authority();
    for name in ["localhost", "127.0.0.1"] {
        let service = service(Says { name, years: NOW }, Some(&ours));
        let (came, sent) = ask(name, Some(&pem), &service);
        assert_eq!(came, Verified::Solved, "{name}");
        assert!(sent.ends_with("secret=the%26secret&response=token"), "{sent}");
    }
}

#[rstest]
#[case::of_another_name("other.test", NOW)]
#[case::of_a_name_within("localhost.test", NOW)]
#[case::of_an_address("127.0.0.1", NOW)]
#[case::expired("localhost", (2020, 2021))]
#[case::not_yet_good("localhost", (3_000, 4_000))]
fn a_certificate_that_is_not_good_is_told_nothing(
    #[case] name: &'static str,
    #[case] years: (i32, i32),
) {
    let (ours, pem) = authority();
    let service = service(Says { name, years }, Some(&ours));
    assert_eq!(ask("localhost", Some(&pem), &service), (Verified::Failed, String::new()));
}

#[test]
fn an_unknown_authority_is_told_nothing() {
    let ((ours, pem), (others, _)) = (authority(), authority());
    let says = Says { name: "localhost", years: NOW };
    let nothing = (Verified::Failed, String::new());
    assert_eq!(ask("localhost", Some(&pem), &service(says, Some(&others))), nothing);
    assert_eq!(ask("localhost", Some(&pem), &service(says, None)), nothing, "its own authority");
    // Without a setting it is the system's authorities that count, and ours is none of them.
    assert_eq!(ask("localhost", None, &service(says, Some(&ours))), nothing);
}

#[test]
fn a_service_in_clear_is_no_service_behind_tls() {
    let (_, pem) = authority();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(super::says(GOOD).as_bytes());
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authority.pem");
    std::fs::write(&file, pem).unwrap();
    let url = format!("https://127.0.0.1:{port}/siteverify");
    let asked = Challenge { ca_file: Some(file), timeout_ms: 500, ..config(&url) };
    assert_eq!(verify(&asked, "token"), Verified::Failed);
}

#[test]
fn a_file_of_authorities_that_cannot_be_used_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("none.pem", None),
        ("broken.pem", Some("-----BEGIN CERTIFICATE-----\nzz\n-----END CERTIFICATE-----\n")),
    ] {
        let file = dir.path().join(name);
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let asked = Challenge { ca_file: Some(file), ..config("https://localhost:1/siteverify") };
        let error = Siteverify::new(&asked).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("challenge.ca_file: ") && error.contains(name), "{error}");
    }
}
