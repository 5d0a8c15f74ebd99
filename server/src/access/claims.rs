//! What a token says of its user.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use skein_engine::identity::ChatClaims;
use skein_engine::rights::Rights;
use skein_wire::ids::ChatName;

/// `aud` of tokens meant for this server, unless the configuration names another one.
pub const TOKEN_AUDIENCE: &str = "skein";

/// The claims that count. `aud` and `iss` are compared by the token library and not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// End of validity, whole seconds since 1970.
    pub exp: u64,
    /// Start of validity, whole seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Rights in chats, by the chats' names. Counts where the server takes rights from tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chats: Option<BTreeMap<String, Vec<ClaimedRight>>>,
    /// What the bearer may be beside a user: words with spaces between them. Of any other form, it says
    /// nothing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Value>,
}

/// The word in `scope` that makes the bearer a relay.
pub const RELAY_SCOPE: &str = "skein:relay";

/// A right in a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimedRight {
    /// May start sessions.
    Share,
    /// May watch.
    Watch,
}

impl Claims {
    /// Whether the bearer is a relay.
    pub fn is_relay(&self) -> bool {
        let words = self.scope.as_ref().and_then(Value::as_str);
        words.is_some_and(|words| words.split(' ').any(|word| word == RELAY_SCOPE))
    }

    /// The rights in chats; `None` if a chat has no proper name.
    pub fn chat_claims(&self) -> Option<ChatClaims> {
        let chats = self.chats.iter().flatten();
        let claims: Option<Vec<(ChatName, Rights)>> = chats
            .map(|(chat, rights)| Some((ChatName::new(chat).ok()?, rights_of(rights))))
            .collect();
        claims.map(ChatClaims::new)
    }
}

fn rights_of(rights: &[ClaimedRight]) -> Rights {
    rights.iter().fold(Rights::NONE, |all, right| {
        all.with_claim(match right {
            ClaimedRight::Share => Rights::SHARE,
            ClaimedRight::Watch => Rights::WATCH,
        })
    })
}
