//! End-to-end encryption of points: what `docs/SEALED.md` specifies, without I/O.
//!
//! Members of a chat hold *keys* that the server never sees ([`key::SealKey`], carried from member to
//! member as an [`envelope`] by the chat application). A [`sealer::Sealer`] turns fixes of one
//! session into blobs, an [`opener::Opener`] turns blobs back. The cryptography is that of the
//! library that TLS uses already; composed here are only the AES-CTR-HMAC suites of RFC 9605
//! (`ctr_hmac`), held to that document's test vectors.
//!
//! ```
//! use skein_client::seal::key::SealKey;
//! use skein_client::seal::key_ring::KeyRing;
//! use skein_client::seal::opener::Opener;
//! use skein_client::seal::sealer::Sealer;
//! use skein_client::seal::suite::Suite;
//! use skein_wire::ids::{ChatName, Counter, SessionId};
//! use skein_wire::point::Fix;
//!
//! let chat = ChatName::new("geese")?;
//! let key = SealKey::random(chat.clone(), None, 1, Suite::default())?;
//! let ring = KeyRing::parse(&key.to_text())?;
//!
//! let (session, fix) = (SessionId(7), Fix::default());
//! let blob = Sealer::new(&key, session)?.seal(Counter(1), 1_700_000_000_000, &fix)?;
//! let mut opener = Opener::new(chat, ring);
//! assert_eq!(opener.open(session, Counter(1), 1_700_000_000_000, &blob), Ok(fix));
//! assert!(opener.open(session, Counter(2), 1_700_000_000_000, &blob).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod error;
pub mod suite;

pub mod envelope;
pub mod key;
pub mod key_ring;

mod cipher;
mod ctr_hmac;
mod fix_bytes;

mod blob;
mod stream;

pub mod opener;
pub mod sealer;
