//! Whose traces go: of a chat, of a member of it, or of a user everywhere.

use skein_wire::ids::{ChatName, UserName};

/// What an erase is about. Without both it would be everything, which nobody can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EraseScope {
    /// Of this chat; `None` = of all.
    pub chat: Option<ChatName>,
    /// Only what is of this user.
    pub user: Option<UserName>,
}

impl EraseScope {
    /// The chat's name, for a query.
    pub fn chat(&self) -> Option<&str> {
        self.chat.as_ref().map(ChatName::as_str)
    }

    /// The user's name, for a query.
    pub fn user(&self) -> Option<&str> {
        self.user.as_ref().map(UserName::as_str)
    }
}
