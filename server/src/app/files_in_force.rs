//! What was read from files and can be read again without a restart: keys, certificates, tokens.

use std::sync::Arc;

use anyhow::Context;

use crate::access::Access;
use crate::clock::Clock;
use crate::edge::certificate::CertificateStore;
use crate::edge::control_tls::ControlTls;
use crate::http::state::Callers;

/// Keys, certificates and tokens that are in force.
#[derive(Debug)]
pub(crate) struct FilesInForce {
    pub access: Arc<Access>,
    pub certificates: Arc<CertificateStore>,
    pub control_tls: Option<Arc<ControlTls>>,
    pub callers: Callers,
    pub clock: Clock,
}

impl FilesInForce {
    /// Reads all of them again, for new connections and requests. Each that cannot be read stays as
    /// it was, and the others count.
    ///
    /// # Errors
    /// The first that could not be read.
    pub fn reload(&self) -> anyhow::Result<()> {
        let keys = self.access.reload().context("the keys stay as they were");
        let now_s = self.clock.now_ms() / 1_000;
        let certificate = self.certificates.reload(now_s);
        let certificate = certificate.context("the certificate stays as it was");
        let control_tls = self.control_tls.as_ref();
        let control_tls = control_tls.map_or(Ok(()), |tls| tls.reload(now_s));
        let control_tls = control_tls.context("the control API's certificates stay as they were");
        let tokens = match &self.callers {
            Callers::Operators(tokens) => tokens.reload(),
            Callers::Users(_) | Callers::ThisMachine => Ok(()),
        };
        let tokens = tokens.context("the control API's tokens stay as they were");
        keys.and(certificate).and(control_tls).and(tokens)
    }
}
