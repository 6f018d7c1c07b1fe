//! One certificate authority for a run, and a certificate for each service.
//!
//! The authority's key is never written down: nobody signs more certificates once `up` has ended.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};

use super::files;

/// Signs the certificates of a run.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its own certificate, that clients trust.
    pub ca_file: PathBuf,
    dir: PathBuf,
}

/// Files of one service's identity.
pub struct Identity {
    pub certificate: PathBuf,
    /// PKCS #8.
    pub key: PathBuf,
    /// Both in one file, the key first: how Kafka reads them.
    pub both: PathBuf,
}

impl Authority {
    /// Makes an authority, and its certificate's file in the directory.
    pub fn new(dir: &Path) -> anyhow::Result<Self> {
        let mut params = named("Flux-Gate test stack")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)
            .context("cannot make a certificate authority")?;
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let ca_file = dir.join("ca.pem");
        std::fs::write(&ca_file, issuer.pem())
            .with_context(|| format!("cannot write {}", ca_file.display()))?;
        Ok(Self { issuer, ca_file, dir: dir.to_owned() })
    }

    /// A certificate for 127.0.0.1 and localhost whose subject is `CN=name`. `peer` may also show it to
    /// others of its kind as a client.
    pub fn identity(&self, name: &str, peer: bool) -> anyhow::Result<Identity> {
        let mut params = named(name)?;
        params.subject_alt_names = vec![
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::DnsName("localhost".try_into()?),
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if peer {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let file = |ending: &str| self.dir.join(format!("{name}.{ending}"));
        let identity = Identity { certificate: file("crt"), key: file("key"), both: file("pem") };
        files::write_private(&identity.certificate, &certificate.pem())?;
        files::write_private(&identity.key, &key.serialize_pem())?;
        files::write_private(&identity.both, &(key.serialize_pem() + &certificate.pem()))?;
        Ok(identity)
    }
}

fn named(name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
