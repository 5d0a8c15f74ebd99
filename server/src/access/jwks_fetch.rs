//! Fetches a JWK set over HTTP: one request, bounded in time and bytes, no redirects.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};

use crate::access::limits::{JWKS_BYTES_MAX, JWKS_FETCH_MS_MAX};
use crate::http_call;

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
        tokio::time::timeout(longest, get(uri, ca))
            .await
            .with_context(|| format!("no answer within {longest:?}"))?
    });
    // A look-up of the name may still hang; it is not waited for.
    runtime.shutdown_background();
    fetched
}

async fn get(uri: &Uri, ca: Option<&Path>) -> anyhow::Result<Bytes> {
    let request =
        Request::get("/").header(header::ACCEPT, "application/jwk-set+json, application/json");
    let answer = http_call::exchange(uri, ca, request, Bytes::new(), JWKS_BYTES_MAX).await?;
    if answer.status() != StatusCode::OK {
        bail!("it answered {}", answer.status());
    }
    Ok(answer.into_body())
}
