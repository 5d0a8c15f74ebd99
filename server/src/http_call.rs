//! One request over HTTP/1.1 to somewhere else: bounded bytes, no redirects, `https` with certificates of
//! the system or of a file. Time is bounded by whoever calls.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{Request, Response, Uri, header, request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where systems keep the authorities that they trust, the first one that is there.
const SYSTEM_CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// An `http` or `https` address from a text.
///
/// # Errors
/// What is wrong with it.
///
/// ```
/// use skein_server::http_call::address;
/// assert_eq!(address("https://id.example/keys").unwrap().host(), Some("id.example"));
/// assert!(address("ftp://id.example/keys").is_err());
/// assert!(address("https://ana:pass@id.example/").is_err());
/// ```
pub fn address(text: &str) -> Result<Uri, &'static str> {
    let uri: Uri = text.parse().map_err(|_| "this is no address")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("only http and https addresses are called; give one of these");
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("the address has no host");
    }
    if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err("an address with a password would show up in logs; leave it out");
    }
    Ok(uri)
}

/// Whether whoever sits on the way could read and change what is exchanged with an address.
pub fn is_open_to_others(uri: &Uri) -> bool {
    let is_local = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    uri.scheme_str() == Some("http") && !is_local
}

/// Sends a request to an address, whose path and host it gets, and reads the answer, of which no more
/// than `bytes_max` may come. `ca` names the certificates to trust; absent = those of the system.
///
/// # Errors
/// What stood in the way. Never holds what was sent.
pub async fn exchange(
    uri: &Uri,
    ca: Option<&Path>,
    request: request::Builder,
    body: Bytes,
    bytes_max: usize,
) -> anyhow::Result<Response<Bytes>> {
    let host = uri.host().context("the address has no host")?;
    let authority = uri.authority().context("the address has no host")?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = request
        .uri(path)
        .header(header::HOST, authority.as_str())
        .header(header::CONNECTION, "close")
        .body(Full::new(body))?;
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((name, port)).await?;
    if !is_tls {
        return send(request, stream, bytes_max).await;
    }
    let server = ServerName::try_from(name.to_owned()).context("the host is no name")?;
    let connector = TlsConnector::from(Arc::new(tls(ca, None)?));
    send(request, connector.connect(server, stream).await?, bytes_max).await
}

async fn send<S>(
    request: Request<Full<Bytes>>,
    stream: S,
    bytes_max: usize,
) -> anyhow::Result<Response<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = AbortOnDrop(tokio::spawn(connection));
    let (head, body) = sender.send_request(request).await?.into_parts();
    let whole = Limited::new(body, bytes_max)
        .collect()
        .await
        .map_err(|_| anyhow!("the answer broke off or is larger than {bytes_max} bytes"))?;
    drop(driver);
    Ok(Response::from_parts(head, whole.to_bytes()))
}

/// A task that ends with its value, also when whoever waits gives up.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A certificate to show, and its private key; both PEM.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    /// The chain.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// TLS for one call. `ca` names the certificates to trust; absent = those of the system.
///
/// # Errors
/// Which file cannot be used.
pub fn tls(ca: Option<&Path>, identity: Option<&ClientIdentity>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca)?);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates(&identity.certificate)?;
            let unusable = || format!("no private key in {}", identity.key.display());
            let key = PrivateKeyDer::from_pem_file(&identity.key).with_context(unusable)?;
            builder.with_client_auth_cert(chain, key).with_context(|| {
                let (certificate, key) = (identity.certificate.display(), identity.key.display());
                format!("{certificate} and {key} do not belong together")
            })?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(ca: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let path = ca
        .map(Path::to_owned)
        .or_else(system_certificates)
        .context("this system has no certificates to trust; name a file of some in the configuration, beside the address")?;
    let certificates = certificates(&path)?;
    let mut store = RootCertStore::empty();
    // A system's file may hold one that is of no use here; the others count.
    let (added, _) = store.add_parsable_certificates(certificates);
    if added == 0 {
        bail!("no certificates to trust in {}", path.display());
    }
    Ok(store)
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let unusable = || format!("no certificates in {}", path.display());
    let pem = std::fs::read(path).with_context(unusable)?;
    CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .with_context(unusable)
}

fn system_certificates() -> Option<PathBuf> {
    let known = SYSTEM_CERTIFICATES.iter().map(PathBuf::from);
    known.into_iter().find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use crate::http_call::{address, is_open_to_others};

    #[test]
    fn an_address_that_cannot_be_called_is_refused() {
        for (text, expect) in [
            ("", "address"),
            ("ftp://id.example/jwks", "http and https"),
            ("/jwks", "http and https"),
            ("https://", "address"),
            ("https://ana:pass@id.example/jwks", "password"),
            ("https://id example/", "no address"),
        ] {
            let error = address(text).expect_err(text);
            assert!(error.contains(expect), "{text}: {error}");
        }
    }

    #[test]
    fn only_plain_http_over_a_network_is_open_to_others() {
        for (text, open) in [
            ("http://id.example/jwks", true),
            ("http://127.0.0.1:8000/jwks", false),
            ("http://localhost/jwks", false),
            ("https://id.example/jwks", false),
        ] {
            let uri = address(text).expect(text);
            assert_eq!(is_open_to_others(&uri), open, "{text}");
        }
    }
}
