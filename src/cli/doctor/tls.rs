//! The TLS files: they parse, belong together and have not expired.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Finding;
use crate::cli::when::rfc3339;
use crate::config::Config;
use crate::config::check::is_loopback;
use crate::http::x509;

const CHECK: &str = "TLS";
/// A certificate that expires sooner than this is worth a warning, in milliseconds: two weeks.
const EXPIRY_MS_WARN: u64 = 14 * 24 * 3_600_000;

pub(super) fn examine(config: &Config, now_ms: u64) -> Vec<Finding> {
    let pairs = [
        ("http", &config.http.tls_cert_file, &config.http.tls_key_file),
        ("admin", &config.admin.tls_cert_file, &config.admin.tls_key_file),
    ];
    pairs
        .into_iter()
        .filter_map(|(name, cert, key)| Some((name, cert.as_ref()?, key.as_ref()?)))
        .map(|(name, cert, key)| pair(name, cert, key, now_ms))
        .chain(in_clear(config))
        .collect()
}

/// Shoppers on a listener that others reach, with neither TLS nor a proxy in front that could do it.
fn in_clear(config: &Config) -> Option<Finding> {
    let http = &config.http;
    let covered = http.tls_cert_file.is_some() || !http.trusted_proxies.is_empty();
    if covered || is_loopback(&http.listen) {
        return None;
    }
    let found = format!("http: {} speaks neither TLS nor has it a trusted proxy", http.listen);
    let mend = "set http.tls_cert_file and http.tls_key_file; or, behind a proxy, set \
                http.trusted_proxies, else all shoppers count as one address";
    Some(Finding::warn(CHECK, found, mend))
}

fn pair(name: &str, cert_file: &Path, key_file: &Path, now_ms: u64) -> Finding {
    let chain = match load_pair(cert_file, key_file) {
        Ok(chain) => chain,
        Err(why) => {
            let mend = format!("see {name}.tls_cert_file and {name}.tls_key_file");
            return Finding::fail(CHECK, format!("{name}: {why}"), mend);
        }
    };
    let Some(validity) = chain.first().and_then(|leaf| x509::validity(leaf)) else {
        let mend = "openssl x509 -noout -dates -in FILE shows it";
        return Finding::warn(CHECK, format!("{name}: its dates cannot be read"), mend);
    };
    judge(name, validity, now_ms)
}

fn judge(name: &str, validity: x509::Validity, now_ms: u64) -> Finding {
    let found = format!("{name}: the certificate is good until {}", rfc3339(validity.until_ms));
    if now_ms < validity.from_ms {
        let found = format!("{name}: good from {} only", rfc3339(validity.from_ms));
        Finding::fail(CHECK, found, "set the clock, or get another certificate")
    } else if now_ms > validity.until_ms {
        Finding::fail(CHECK, found + ": it has expired", "renew it")
    } else if now_ms + EXPIRY_MS_WARN > validity.until_ms {
        Finding::warn(CHECK, found, "renew it")
    } else {
        Finding::ok(CHECK, found)
    }
}

/// The chain, if the files parse and the key is that of its first certificate.
fn load_pair(cert_file: &Path, key_file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let of = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert_file)
        .and_then(Iterator::collect)
        .map_err(|error| of(cert_file, &error))?;
    if chain.is_empty() {
        return Err(of(cert_file, &"holds no certificate in PEM"));
    }
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| of(key_file, &error))?;
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain.clone(), key)
        .map_err(|error| format!("certificate and key do not fit: {error}"))?;
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    #[test]
    fn a_public_listener_in_clear_is_doubtful() {
        let mut config = Config::default();
        assert_eq!(in_clear(&config), None);
        config.http.listen = "0.0.0.0:3000".parse().unwrap();
        assert!(in_clear(&config).is_some());
        config.http.trusted_proxies.push("10.0.0.0/8".parse().unwrap());
        assert_eq!(in_clear(&config), None);
    }

    #[test]
    fn a_pair_is_read_and_its_dates_are_judged() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let make = || {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(2026, 1, 1);
            params.not_after = rcgen::date_time_ymd(2051, 2, 3);
            (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
        };
        let ((cert, key), (_, other_key)) = (make(), make());
        let cert = write("cert.pem", cert);
        let key = write("key.pem", key);
        let health_at = |now_ms| pair("http", &cert, &key, now_ms).health;
        // 2051-02-03T00:00:00Z and 2026-01-01T00:00:00Z.
        let (until_ms, from_ms) = (2_558_995_200_000, 1_767_225_600_000);
        assert_eq!(health_at(from_ms - 1), Health::Fail);
        assert_eq!(health_at(from_ms), Health::Ok);
        assert_eq!(health_at(until_ms - EXPIRY_MS_WARN), Health::Ok);
        assert_eq!(health_at(until_ms - EXPIRY_MS_WARN + 1), Health::Warn);
        assert_eq!(health_at(until_ms + 1), Health::Fail);

        let other = write("other.pem", other_key);
        assert!(pair("http", &cert, &other, from_ms).found.contains("do not fit"));
        assert_eq!(pair("http", &key, &key, from_ms).health, Health::Fail);
        assert_eq!(pair("http", Path::new("/nowhere"), &key, from_ms).health, Health::Fail);
    }
}
