//! New keys and certificates for each cluster.

use kernel_lab::cluster::credentials::Credentials;
use kernel_lab::cluster::settings::SERVICE_ADDRESS;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// An authority, the API server's certificate, and what signs the tokens of accounts of services.
pub(crate) fn new() -> Result<Credentials, rcgen::Error> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let name = &mut authority.distinguished_name;
    name.push(DnType::CommonName, "the authority of the lab");
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let names = [
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        SERVICE_ADDRESS.to_string(),
        "kubernetes.default.svc".to_owned(),
    ];
    let server = CertificateParams::new(names)?;
    let server_key = KeyPair::generate()?;
    let certificate = server.signed_by(&server_key, &issuer)?;
    let accounts = KeyPair::generate()?;
    Ok(Credentials {
        authority: authority_certificate.pem(),
        certificate: certificate.pem(),
        key: server_key.serialize_pem(),
        accounts_key: accounts.serialize_pem(),
        accounts_public: accounts.public_key_pem(),
    })
}
