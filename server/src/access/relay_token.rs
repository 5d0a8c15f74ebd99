//! Whether a token that somebody else will verify is one of a relay.
//!
//! A relay looks at its own token before it shows it: a server takes any valid token, and to the bearer
//! of an ordinary one it gives an ordinary viewer's sight, which is an empty chat to everybody behind.

use jsonwebtoken::dangerous::insecure_decode_claims;

use crate::access::claims::Claims;

/// What the token says of itself. Nothing is verified: the server does that.
pub fn is_of_relay(token: &str) -> bool {
    insecure_decode_claims::<Claims>(token).is_ok_and(|claims| claims.is_relay())
}

#[cfg(test)]
mod tests {
    use skein_wire::ids::UserName;

    use crate::access::claims::TOKEN_AUDIENCE;
    use crate::access::relay_token::is_of_relay;
    use crate::access::signer::{TokenSigner, TokenSpec};

    #[test]
    fn only_a_token_with_the_scope_is_a_relays() {
        let dir = tempfile::tempdir().expect("a folder");
        let signer = TokenSigner::open_or_create(&dir.path().join("key")).expect("a key");
        let user = UserName::new("relay").expect("a name");
        let token = |is_relay| {
            let spec = TokenSpec {
                user: &user,
                ttl_s: 60,
                audience: TOKEN_AUDIENCE,
                issuer: None,
                chats: None,
                is_relay,
            };
            signer.sign(&spec, 1_790_000_000_000).expect("signed")
        };
        assert!(is_of_relay(&token(true)));
        assert!(!is_of_relay(&token(false)));
        for noise in ["", "junk", "a.b.c", "skein_guest_1"] {
            assert!(!is_of_relay(noise), "{noise}");
        }
    }
}
