//! What a token says of its user.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use skein_engine::grid::Grid;
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
    pub chats: Option<BTreeMap<String, ChatClaim>>,
    /// What the bearer may be beside a user: words with spaces between them. Of any other form, it says
    /// nothing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Value>,
}

/// The word in `scope` that makes the bearer a relay.
pub const RELAY_SCOPE: &str = "skein:relay";

/// Rights in a chat: a list of them, or with the grid on which places may be watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ChatClaim {
    /// Places as they are.
    Rights(Vec<ClaimedRight>),
    /// On a grid.
    OnGrid(GridClaim),
}

/// Rights in a chat, places on a grid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridClaim {
    /// The rights, that to watch among them.
    pub rights: Vec<ClaimedRight>,
    /// Metres of a cell.
    pub grid_m: u32,
}

impl ChatClaim {
    /// The rights; `None` for a grid without the right to watch, or of a size that members do not have.
    fn rights(&self) -> Option<Rights> {
        match self {
            Self::Rights(rights) => Some(rights_of(rights)),
            Self::OnGrid(claim) => rights_of(&claim.rights).on_grid(Grid::new(claim.grid_m)?),
        }
    }
}

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

    /// The rights in chats; `None` if a chat has no proper name or no proper grid.
    pub fn chat_claims(&self) -> Option<ChatClaims> {
        let chats = self.chats.iter().flatten();
        let claims: Option<Vec<(ChatName, Rights)>> = chats
            .map(|(chat, rights)| Some((ChatName::new(chat).ok()?, rights.rights()?)))
            .collect();
        claims.map(ChatClaims::new)
    }
}

fn rights_of(rights: &[ClaimedRight]) -> Rights {
    rights.iter().fold(Rights::NONE, |all, right| {
        all.or(match right {
            ClaimedRight::Share => Rights::SHARE,
            ClaimedRight::Watch => Rights::WATCH,
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use skein_engine::grid::Grid;
    use skein_engine::rights::Rights;
    use skein_wire::ids::ChatName;

    use crate::access::claims::Claims;

    /// The rights in a chat that a claim gives; `None` for one that makes a token no token.
    fn rights(claim: &Value) -> Option<Rights> {
        let claims = json!({ "sub": "ana", "exp": 1, "chats": { "hike": claim } });
        let claims: Claims = serde_json::from_value(claims).ok()?;
        let hike = ChatName::new("hike").expect("a name");
        Some(claims.chat_claims()?.of(&hike))
    }

    #[test]
    fn a_claim_gives_rights_on_a_grid_or_none_at_all() {
        let on_grid = |rights: Rights| rights.on_grid(Grid::new(500)?);
        for (claim, expect) in [
            (json!(["share", "watch"]), Some(Rights::ALL)),
            (json!([]), Some(Rights::NONE)),
            (
                json!({ "rights": ["watch"], "grid_m": 500 }),
                on_grid(Rights::WATCH),
            ),
            (
                json!({ "rights": ["share", "watch"], "grid_m": 500 }),
                on_grid(Rights::ALL),
            ),
            (json!({ "rights": ["share"], "grid_m": 500 }), None),
            (json!({ "rights": ["watch"], "grid_m": 333 }), None),
            (json!({ "rights": ["watch"], "grid_m": 0 }), None),
            (json!({ "rights": ["watch"] }), None),
            (json!({ "rights": ["watch"], "grid_m": 500, "to": 1 }), None),
            (json!(["fly"]), None),
        ] {
            assert_eq!(rights(&claim), expect, "{claim}");
        }
    }
}
