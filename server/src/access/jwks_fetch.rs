//! Fetches a JWK set over HTTP: one request, bounded in time and bytes, no redirects.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::access::limits::{JWKS_BYTES_MAX, JWKS_FETCH_MS_MAX};

/// Where systems keep the authorities that they trust, the first one that is there.
const SYSTEM_CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Fetches what is at `uri`. `ca` names the certificates to trust; absent = those of the system.
/// Blocks, at most [`JWKS_FETCH_MS_MAX`].
///
/// # Errors
/// What stood in the way. Never holds what was sent.
pub fn fetch(uri: &Uri, ca: Option<&Path>) -> anyhow::Result<Bytes> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let longest = Duration::from_millis(JWKS_FETCH_MS_MAX);
    let fetched = runtime.block_on(async {
        tokio::time::timeout(longest, exchange(uri, ca))
            .await
            .with_context(|| format!("no answer within {longest:?}"))?
    });
    // A look-up of the name may still hang; it is not waited for.
    runtime.shutdown_background();
    fetched
}

async fn exchange(uri: &Uri, ca: Option<&Path>) -> anyhow::Result<Bytes> {
    let host = uri.host().context("the address has no host")?;
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((name, port)).await?;
    if !is_tls {
        return request(uri, stream).await;
    }
    let server = ServerName::try_from(name.to_owned()).context("the host is no name")?;
    let connector = TlsConnector::from(Arc::new(tls(ca)?));
    request(uri, connector.connect(server, stream).await?).await
}

async fn request<S>(uri: &Uri, stream: S) -> anyhow::Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let authority = uri.authority().context("the address has no host")?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(header::HOST, authority.as_str())
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    if answer.status() != StatusCode::OK {
        bail!("it answered {}", answer.status());
    }
    let body = Limited::new(answer.into_body(), JWKS_BYTES_MAX);
    let whole = body
        .collect()
        .await
        .map_err(|_| anyhow!("the answer broke off or is larger than {JWKS_BYTES_MAX} bytes"))?;
    driver.abort();
    Ok(whole.to_bytes())
}

fn tls(ca: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(ca: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let path = ca
        .map(Path::to_owned)
        .or_else(system_certificates)
        .context("this system has no certificates to trust; name some with `access.jwks_ca`")?;
    let unusable = || format!("no certificates to trust in {}", path.display());
    let pem = std::fs::read(&path).with_context(unusable)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .with_context(unusable)?;
    let mut store = RootCertStore::empty();
    // A system's file may hold one that is of no use here; the others count.
    let (added, _) = store.add_parsable_certificates(certificates);
    if added == 0 {
        bail!(unusable());
    }
    Ok(store)
}

fn system_certificates() -> Option<PathBuf> {
    let known = SYSTEM_CERTIFICATES.iter().map(PathBuf::from);
    known.into_iter().find(|path| path.exists())
}
