//! Signatures of requests, by the scheme of Standard Webhooks: HMAC-SHA-256 over id, time and body.
//!
//! ```text
//!   webhook-id: ID   webhook-timestamp: SECONDS
//!   webhook-signature: v1,base64(HMAC(secret, "ID.SECONDS." body)) …      one for each secret
//! ```

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::access::error::AccessError;
use crate::access::secret_file;
use crate::config::settings::WebhookSettings;
use crate::webhook::limits::{WEBHOOK_SECRET_BYTES_MIN, WEBHOOK_SECRETS_MAX};

/// How secrets begin that are base64.
const PREFIX: &[u8] = b"whsec_";

/// Signs. `Debug` shows nothing of the secrets.
pub struct Signer(Vec<hmac::Key>);

impl Signer {
    /// Reads the secrets as configured. `None`: there are no webhooks.
    ///
    /// # Errors
    /// As [`Signer::read`].
    pub fn of(settings: &WebhookSettings) -> Result<Option<Arc<Self>>, AccessError> {
        let secret = settings.secret.as_deref();
        let secret = secret.filter(|_| !settings.urls.is_empty());
        let signer = secret.map(Self::read).transpose()?;
        Ok(signer.map(Arc::new))
    }

    /// Reads the secrets from a file, one a line. While a secret is changed, the new and the old one
    /// stand there, and both sign.
    ///
    /// # Errors
    /// The file cannot be read, has no secret or too many, or one is too short.
    pub fn read(path: &Path) -> Result<Self, AccessError> {
        let bytes = secret_file::read(path)?;
        let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let secrets: Vec<Vec<u8>> = lines
            .filter(|line| !line.is_empty())
            .map(|line| {
                secret(line).ok_or_else(|| {
                    AccessError::unusable(
                        path,
                        "a webhook's secret is `whsec_` and base64 of at least 24 bytes, or a text of that length; make one with `openssl rand -hex 32`",
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        if !(1..=WEBHOOK_SECRETS_MAX).contains(&secrets.len()) {
            return Err(AccessError::unusable(
                path,
                format!(
                    "it has no secret, or more than {WEBHOOK_SECRETS_MAX}; put one in each line"
                ),
            ));
        }
        Ok(Self::new(&secrets))
    }

    /// Of these secrets.
    fn new(secrets: &[Vec<u8>]) -> Self {
        let keys = secrets.iter();
        Self(
            keys.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret))
                .collect(),
        )
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        let head = format!("{id}.{seconds}.");
        let signatures = self.0.iter().map(|key| {
            let mut context = hmac::Context::with_key(key);
            context.update(head.as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

fn secret(line: &[u8]) -> Option<Vec<u8>> {
    let secret = match line.strip_prefix(PREFIX) {
        Some(encoded) => STANDARD.decode(encoded).ok()?,
        None => line.to_vec(),
    };
    (secret.len() >= WEBHOOK_SECRET_BYTES_MIN).then_some(secret)
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

#[cfg(test)]
mod tests {
    use crate::webhook::signer::Signer;

    fn read(text: &str) -> Result<Signer, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, text).unwrap();
        Signer::read(&path).map_err(|error| error.to_string())
    }

    /// The example of the Standard Webhooks specification and of its libraries' tests.
    #[test]
    fn the_published_example_is_signed_as_published() {
        let signer = read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signature = signer.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn old_and_new_secret_sign_both() {
        let (old, new) = ("0123456789abcdef01234567", "fedcba9876543210fedcba98");
        let both = read(&format!("{new}\n{old}\n")).unwrap();
        let one = |text| read(text).unwrap().sign("id", 1, b"body");
        let expect = format!("{} {}", one(new), one(old));
        assert_eq!(both.sign("id", 1, b"body"), expect);
        assert_ne!(one(new), one(old));
    }

    #[test]
    fn secrets_that_can_be_guessed_are_refused_and_not_shown() {
        for text in [
            "",
            "\n \n",
            "short",
            "whsec_c2hvcnQ=",
            "whsec_%%%%",
            &"0123456789abcdef01234567\n".repeat(5),
        ] {
            let error = read(text).expect_err(text);
            assert!(!error.contains("c2hvcnQ"), "{error}");
        }
    }
}
