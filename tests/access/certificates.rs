//! Certificates for tests: a root, servers' and clients' certificates that it signed, as files.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tallystick::config::Config;
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

/// A root of its own, and a folder for files.
pub struct Root {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    folder: TempDir,
}

/// A certificate and its key, as PEM.
pub struct Signed {
    pub certificate: String,
    pub key: String,
}

impl Root {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem, folder: tempfile::tempdir().unwrap() }
    }

    pub fn sign(&self, names: &[&str]) -> Signed {
        let (uris, names): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.subject_alt_names.extend(uris.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap())));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes a server's certificate and its key where the configuration of [`Root::serve`] looks for them.
    pub fn write_server(&self, names: &[&str]) {
        let signed = self.sign(names);
        self.write("server.pem", &signed.certificate);
        self.write("server.key", &signed.key);
    }

    /// A configuration with a certificate of this root.
    pub fn serve(&self, config: Config) -> Config {
        self.write_server(&["localhost"]);
        Config { tls_certificate: Some(self.path("server.pem")), tls_key: Some(self.path("server.key")), ..config }
    }

    /// The same, asking clients for certificates of a root.
    pub fn serve_asking(&self, config: Config, clients: &Self, is_required: bool) -> Config {
        let roots = self.write("clients.pem", &clients.pem);
        Config { tls_client_ca: Some(roots), tls_client_required: is_required, ..self.serve(config) }
    }

    /// A client's side of TLS, with a certificate of its own or without.
    pub fn trusting(&self, shown: Option<&Signed>) -> ClientTlsConfig {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.pem)).domain_name("localhost");
        match shown {
            Some(signed) => tls.identity(Identity::from_pem(&signed.certificate, &signed.key)),
            None => tls,
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Connects over TLS.
pub async fn connect(address: std::net::SocketAddr, tls: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
    Channel::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap().connect().await
}
