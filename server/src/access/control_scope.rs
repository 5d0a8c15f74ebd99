//! What a token of the control API is good for: scopes, each named by what it opens.

use std::fmt;

/// One thing that a control token may be good for. `docs/OPERATIONS.md` lists the requests of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ControlScope {
    /// Lists that show no place: members, links, sessions, viewers, settings, events, webhooks.
    Read = 1,
    /// Whatever shows where somebody is or was, and geofences and alerts with their places.
    Places = 1 << 1,
    /// Changes of members and of links for guests.
    Members = 1 << 2,
    /// Changes of sessions, settings, geofences and alerts.
    Chats = 1 << 3,
    /// Erasing points, history and names.
    Erase = 1 << 4,
    /// Dead letters of webhooks.
    Webhooks = 1 << 5,
}

impl ControlScope {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Read,
        Self::Places,
        Self::Members,
        Self::Chats,
        Self::Erase,
        Self::Webhooks,
    ];

    /// Its name in the file of tokens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Places => "places",
            Self::Members => "members",
            Self::Chats => "chats",
            Self::Erase => "erase",
            Self::Webhooks => "webhooks",
        }
    }
}

impl fmt::Display for ControlScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some scopes.
///
/// ```
/// use skein_server::access::control_scope::{ControlScope, ControlScopes};
/// let scopes = ControlScopes::parse("read,members").unwrap();
/// assert!(scopes.has(ControlScope::Members) && !scopes.has(ControlScope::Erase));
/// assert!(ControlScopes::EVERYTHING.has(ControlScope::Erase));
/// assert_eq!(ControlScopes::parse("write"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlScopes(u8);

impl ControlScopes {
    /// All that there are and will be.
    pub const EVERYTHING: Self = Self(u8::MAX);

    /// Names with commas between; `None` when one of them is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scopes = 0;
        for name in text.split(',') {
            let known = ControlScope::ALL.iter().find(|it| it.name() == name);
            scopes |= *known? as u8;
        }
        Some(Self(scopes))
    }

    /// Whether this one is among them.
    pub fn has(self, scope: ControlScope) -> bool {
        self.0 & scope as u8 != 0
    }
}
