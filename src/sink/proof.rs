//! How servers that are written prove by TLS that they are who they should be: by a certificate of an
//! authority the machine trusts, or of one the job names.

use std::fs;
use std::path::{Path, PathBuf};

use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use thiserror::Error;

/// What is wrong with it. Trying again would not help.
#[derive(Debug, Error)]
pub enum ProofFault {
    /// The authorities cannot be read.
    #[error(
        "sink {sink}: its ca {} cannot be used ({reason}): name a PEM file with the certificates of \
         the authorities that sign its server's",
        path.display()
    )]
    Authorities {
        /// The name of the sink.
        sink: String,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Whoever answers is not shown to be the server.
    #[error(
        "{name} does not prove who it is: {reason}; name the authority that signs its certificate, \
         ca = \"FILE\", if the machine does not trust it, and in the url a host for which the \
         certificate was made"
    )]
    NotProven {
        /// The sink.
        name: String,
        /// What is wrong with its certificate.
        reason: String,
    },
}

/// The authorities a job names, as they stand in their file.
pub(super) fn authorities(sink: &str, path: &Path) -> Result<Vec<u8>, ProofFault> {
    let fault = |reason: String| ProofFault::Authorities {
        sink: sink.to_owned(),
        path: path.to_owned(),
        reason,
    };
    let bytes = fs::read(path).map_err(|cause| fault(cause.to_string()))?;
    match X509::stack_from_pem(&bytes) {
        Ok(them) if !them.is_empty() => Ok(bytes),
        Ok(_) => Err(fault("there is no certificate in it".to_owned())),
        Err(_) => Err(fault("it is no PEM".to_owned())),
    }
}

/// A client by OpenSSL that trusts these authorities, or those of the machine.
pub(super) fn client(
    authorities: Option<&[u8]>,
) -> Result<SslConnectorBuilder, openssl::error::ErrorStack> {
    let mut client = SslConnector::builder(SslMethod::tls_client())?;
    if let Some(bytes) = authorities {
        let mut store = X509StoreBuilder::new()?;
        for certificate in X509::stack_from_pem(bytes)? {
            store.add_cert(certificate)?;
        }
        client.set_cert_store(store.build());
    }
    Ok(client)
}
