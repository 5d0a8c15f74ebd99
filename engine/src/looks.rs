//! Who looked at a chat over HTTP lately. A look is a view of a moment, and whoever repeats it sees as much
//! as somebody who watches: so it is shown to those who are seen for a while.

use skein_wire::ids::{SessionId, UserName};

use crate::limits::{LOOK_SHOWN_MS, LOOKS_PER_CHAT_MAX};
use crate::time::Timestamp;

/// One look.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    user: UserName,
    /// Whom; `None` = everybody in the chat.
    session: Option<SessionId>,
    at: Timestamp,
}

/// The newest looks at one chat, each user's last one, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looks {
    looks: Vec<Look>,
}

impl Looks {
    /// Somebody looks. With more than [`LOOKS_PER_CHAT_MAX`] at once the oldest is forgotten.
    pub fn note(&mut self, at: Timestamp, user: &UserName, session: Option<SessionId>) {
        let is_shown = |look: &Look| at.since_ms(look.at) < LOOK_SHOWN_MS;
        self.looks
            .retain(|look| is_shown(look) && (look.user != *user || look.session != session));
        if self.looks.len() >= LOOKS_PER_CHAT_MAX {
            self.looks.remove(0);
        }
        let user = user.clone();
        self.looks.push(Look { user, session, at });
    }

    /// Who saw a session, and when, oldest first.
    pub fn of(
        &self,
        now: Timestamp,
        session: SessionId,
    ) -> impl Iterator<Item = (&UserName, Timestamp)> {
        let sees = move |look: &&Look| look.session.is_none_or(|only| only == session);
        let is_shown = move |look: &&Look| now.since_ms(look.at) < LOOK_SHOWN_MS;
        let looks = self.looks.iter().filter(sees).filter(is_shown);
        looks.map(|look| (&look.user, look.at))
    }
}

#[cfg(test)]
mod tests {
    use skein_wire::ids::{SessionId, UserName};

    use crate::limits::{LOOK_SHOWN_MS, LOOKS_PER_CHAT_MAX};
    use crate::looks::Looks;
    use crate::time::Timestamp;

    fn user(name: &str) -> UserName {
        UserName::new(name).expect("a name")
    }

    fn names(looks: &Looks, now: u64, session: u64) -> Vec<String> {
        let looks = looks.of(Timestamp(now), SessionId(session));
        looks.map(|(user, at)| format!("{user} {}", at.0)).collect()
    }

    #[test]
    fn each_user_is_shown_once_for_a_while() {
        let mut looks = Looks::default();
        looks.note(Timestamp(10), &user("ana"), None);
        looks.note(Timestamp(20), &user("guest"), Some(SessionId(7)));
        looks.note(Timestamp(30), &user("ana"), None);
        assert_eq!(names(&looks, 30, 7), ["guest 20", "ana 30"]);
        assert_eq!(
            names(&looks, 30, 8),
            ["ana 30"],
            "the guest saw one session"
        );
        assert_eq!(names(&looks, 20 + LOOK_SHOWN_MS, 7), ["ana 30"]);
        assert!(names(&looks, 30 + LOOK_SHOWN_MS, 7).is_empty());
    }

    #[test]
    fn there_are_never_more_than_the_bound_and_the_newest_stay() {
        let mut looks = Looks::default();
        for number in 0..2 * LOOKS_PER_CHAT_MAX {
            looks.note(Timestamp(10), &user(&format!("u{number}")), None);
        }
        let shown = names(&looks, 10, 7);
        assert_eq!(shown.len(), LOOKS_PER_CHAT_MAX);
        let newest = format!("u{} 10", 2 * LOOKS_PER_CHAT_MAX - 1);
        assert_eq!(shown.last(), Some(&newest));
        looks.note(Timestamp(10 + LOOK_SHOWN_MS), &user("late"), None);
        assert_eq!(looks.looks.len(), 1, "what is not shown is not kept");
    }
}
