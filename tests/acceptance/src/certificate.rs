//! A certification authority of the test's own, and certificates for 127.0.0.1.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::fs;
use std::path::{Path, PathBuf};

/// Signs certificates, and lies as `ca.pem` in its folder.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(rcgen::DnType::CommonName, "ringfort test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let authority = Self { folder: folder.to_owned(), issuer: Issuer::new(params.clone(), key) };
        fs::write(authority.ca(), params.self_signed(authority.issuer.key())?.pem())?;
        Ok(authority)
    }

    /// The certificate to trust.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Writes a new certificate and its key, and says where.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn renew(&self) -> Result<(PathBuf, PathBuf)> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let (certificate, private) = (self.folder.join("tls.crt"), self.folder.join("tls.key"));
        fs::write(&certificate, params.signed_by(&key, &self.issuer)?.pem())?;
        fs::write(&private, key.serialize_pem())?;
        Ok((certificate, private))
    }
}
