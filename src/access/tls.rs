//! TLS: certificates from files, read again when asked to, and the names in the certificate of whoever connects.
//!
//! What must stay true: connections that are open stay open when certificates change, new ones get the new; files that
//! cannot be used leave what is in force; only HTTP/2 is offered; a private key is never logged.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// The files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and those between it and the root (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// The roots of clients' certificates (PEM); `None` asks for none.
    pub client_roots: Option<PathBuf>,
    /// Whether a client without a certificate is turned away.
    pub client_required: bool,
}

/// Why TLS cannot be served. `Display` is a sentence.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not what it should be.
    #[error("the file {path} cannot be used: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The files do not fit together.
    #[error("the certificate {certificate} and its key cannot be used: {reason}")]
    Unfit {
        /// The certificate's file.
        certificate: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The TLS of a server.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let current = RwLock::new(read(&files)?);
        Ok(Self { files, current })
    }

    /// Reads the files again; what is in force stays if they cannot be used.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub fn reload(&self) -> Result<(), TlsError> {
        let next = read(&self.files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// Accepts connections with the certificates in force.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }

    /// Whether clients show certificates.
    #[must_use]
    pub fn asks_for_certificates(&self) -> bool {
        self.files.client_roots.is_some()
    }
}

fn unusable(path: &Path, reason: impl std::fmt::Display) -> TlsError {
    TlsError::File { path: path.to_path_buf(), reason: reason.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(unusable(path, "there is no certificate in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(path, error)),
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unusable(&files.key, error))?;
    let unfit =
        |error: rustls::Error| TlsError::Unfit { certificate: files.certificate.clone(), reason: error.to_string() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(unfit)?;
    let builder = match &files.client_roots {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root).map_err(|error| unusable(path, error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if files.client_required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| unusable(path, error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unfit)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// The names in a certificate that TLS has verified: its alternative names, DNS and URI. The subject's common name is
/// not looked at.
#[must_use]
pub fn names_of(certificate: &CertificateDer<'_>) -> Vec<Box<str>> {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    parsed.valid_dns_names().chain(parsed.valid_uri_names()).map(Box::from).collect()
}
