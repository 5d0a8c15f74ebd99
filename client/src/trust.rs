//! Whom a client trusts, and the TLS settings that follow from it.
//!
//! There is no default: a certificate file, or the explicit wish to trust anybody.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::error::ClientError;

/// Whose certificate is accepted.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// None: encrypted transports cannot be used.
    #[default]
    Nobody,
    /// Those signed by one of these, and these themselves.
    Roots(Vec<CertificateDer<'static>>),
    /// Any: whoever sits on the way can read and change everything, and gets the token.
    Anybody,
}

impl Trust {
    /// Trusts the certificates of a PEM file.
    ///
    /// # Errors
    /// When the file cannot be read or has no certificate.
    pub fn from_pem_file(path: &Path) -> Result<Self, ClientError> {
        let bad = |why: String| {
            ClientError::Trust(format!(
                "no certificates in {}: {why}; give a PEM file with the server's certificate or its authority's",
                path.display()
            ))
        };
        let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|error| bad(error.to_string()))?;
        if certificates.is_empty() {
            return Err(bad("it has none".to_owned()));
        }
        Ok(Self::Roots(certificates))
    }

    /// TLS settings for a protocol.
    ///
    /// # Errors
    /// For [`Trust::Nobody`], and for certificates that are none.
    pub fn client_config(&self, alpn: &[u8]) -> Result<ClientConfig, ClientError> {
        // Named, because a process may have no default provider, or another one.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| ClientError::Trust(error.to_string()))?;
        let mut config = match self {
            Self::Nobody => return Err(nobody()),
            Self::Roots(certificates) => builder
                .with_root_certificates(roots(certificates)?)
                .with_no_client_auth(),
            Self::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
                .with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(config)
    }
}

fn nobody() -> ClientError {
    ClientError::Trust(
        "nothing says which certificate of the server to trust; name its file (--ca FILE, in dev mode keys/cert.pem of the data directory) or accept any (--insecure)".to_owned(),
    )
}

fn roots(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, ClientError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        let added = store.add(certificate.clone());
        added.map_err(|error| ClientError::Trust(format!("a certificate to trust: {error}")))?;
    }
    Ok(store)
}

/// Accepts every certificate, but not a handshake that its key has not signed.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::trust::Trust;

    #[test]
    fn without_a_choice_nothing_encrypted_is_tried() {
        let error = Trust::Nobody.client_config(b"skein/1").expect_err("nobody");
        assert!(error.to_string().contains("--ca FILE"), "{error}");
        assert!(Trust::Anybody.client_config(b"skein/1").is_ok());
    }

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let error = Trust::from_pem_file(&path).expect_err("no certificate");
        assert!(error.to_string().contains("Cargo.toml"), "{error}");
        let error = Trust::from_pem_file(Path::new("/nonexistent/ca.pem")).expect_err("no file");
        assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");
    }
}
