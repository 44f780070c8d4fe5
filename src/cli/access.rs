//! What the command line shows to a server and asks of it: the key, the certificate, the roots that it trusts.
//!
//! What must stay true: a key is read from a file or the environment, never from an argument, which everybody on the
//! machine can see; it is shown in no message.

use std::path::{Path, PathBuf};

use clap::Args;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use tonic::{Request, Status};

use super::error::{CliError, Exit};
use crate::access::secret::Secret;

/// The variable that a key can be in, where there is no file for it.
pub(super) const KEY_VARIABLE: &str = "TALLYSTICK_API_KEY";

/// What is shown to a server, and asked of it.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Access")]
pub struct AccessArgs {
    /// Roots that the server's certificate must come from (PEM)
    #[arg(long, value_name = "FILE", env = "TALLYSTICK_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// File with the key or token that is shown; otherwise the variable TALLYSTICK_API_KEY
    #[arg(long, value_name = "FILE", env = "TALLYSTICK_API_KEY_FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Client certificate that is shown (PEM)
    #[arg(long, value_name = "FILE", env = "TALLYSTICK_CLIENT_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", env = "TALLYSTICK_CLIENT_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Name that the server's certificate must have, where it is not that of the address
    #[arg(long, value_name = "NAME", env = "TALLYSTICK_SERVER_NAME")]
    pub server_name: Option<String>,
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path)
        .map_err(|error| CliError::new(Exit::Configuration, format!("{} cannot be read: {error}", path.display())))
}

impl AccessArgs {
    /// Whether anything here asks for TLS.
    #[must_use]
    pub fn speaks_tls(&self) -> bool {
        self.ca_file.is_some() || self.tls_cert.is_some() || self.server_name.is_some()
    }

    /// How to speak TLS.
    ///
    /// # Errors
    /// When a file cannot be read, or there are no roots to judge the server by.
    pub fn tls(&self) -> Result<ClientTlsConfig, CliError> {
        let Some(roots) = &self.ca_file else {
            let message = "without --ca-file nothing says whose certificate the server must have";
            return Err(CliError::new(Exit::Usage, message).hint("give the root that signed it: --ca-file ca.pem"));
        };
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(roots)?));
        if let Some(name) = &self.server_name {
            tls = tls.domain_name(name);
        }
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(tls)
    }

    /// The header with the key, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read, or what is in it is no key.
    pub fn key_header(&self) -> Result<KeyHeader, CliError> {
        let key = match &self.api_key_file {
            Some(path) => Some(read(path)?),
            None => std::env::var(KEY_VARIABLE).ok(),
        };
        key.map_or(Ok(KeyHeader::default()), |key| KeyHeader::of(&Secret::new(key)))
    }
}

/// Puts a key into the header of every call.
#[derive(Clone, Default)]
pub struct KeyHeader(Option<MetadataValue<Ascii>>);

impl std::fmt::Debug for KeyHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "KeyHeader([secret])" } else { "KeyHeader(none)" })
    }
}

impl KeyHeader {
    /// The header with a key or a token.
    ///
    /// # Errors
    /// When it cannot stand in a header.
    pub fn of(key: &Secret) -> Result<Self, CliError> {
        let value = format!("Bearer {}", key.expose().trim());
        let value: Result<MetadataValue<Ascii>, _> = value.parse();
        let wrong = |_| CliError::new(Exit::Configuration, "what is in the key's file is no key");
        let mut value = value.map_err(wrong)?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }

    /// The header's value.
    #[must_use]
    pub fn value(&self) -> Option<&MetadataValue<Ascii>> {
        self.0.as_ref()
    }
}

impl Interceptor for KeyHeader {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sent_without_the_line_that_ends_its_file_and_is_never_shown() {
        let mut header = KeyHeader::of(&Secret::new("tsk_1_secret\n".to_owned())).unwrap();
        let request = header.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer tsk_1_secret");
        for shown in [format!("{header:?}"), format!("{request:?}")] {
            assert!(!shown.contains("secret\""), "{shown}");
            assert!(!shown.contains("tsk_1"), "{shown}");
        }
        assert!(KeyHeader::of(&Secret::new("two\nlines".to_owned())).is_err());
        assert!(KeyHeader::default().call(Request::new(())).unwrap().metadata().is_empty());
    }

    #[test]
    fn tls_needs_a_root_to_judge_by() {
        let args = AccessArgs { server_name: Some("ledger".to_owned()), ..AccessArgs::default() };
        assert!(args.speaks_tls() && args.tls().is_err());
        assert!(!AccessArgs::default().speaks_tls());
    }
}
