//! The dead letters while nothing is told: no webhook is configured, or the server is stopped.

use std::path::Path;

use crate::erase_scope::EraseScope;
use crate::webhook::erase::LettersErased;
use crate::webhook::store::Store;

/// Takes out what an erase is about. `None`: there never was a webhook.
///
/// # Errors
/// The database cannot be used.
pub fn erase(folder: &Path, scope: &EraseScope) -> anyhow::Result<Option<LettersErased>> {
    match Store::is_there(folder) {
        true => Ok(Some(Store::open(folder)?.erase(scope)?)),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skein_log::LogId;
    use skein_wire::ids::{ChatName, UserName};

    use crate::erase_scope::EraseScope;
    use crate::webhook::erase::LettersErased;
    use crate::webhook::idle::erase;
    use crate::webhook::message::Message;
    use crate::webhook::store::{Failure, Store};

    fn scope(chat: Option<&str>, user: Option<&str>) -> EraseScope {
        EraseScope {
            chat: chat.map(|chat| ChatName::new(chat).expect("a name")),
            user: user.map(|user| UserName::new(user).expect("a name")),
        }
    }

    fn give_up(store: &Store, first: u64, events: &serde_json::Value) {
        let message = Message {
            id: format!("m-{first}"),
            first,
            last: first + 9,
            events: events.as_array().map_or(0, Vec::len),
            body: json!({ "events": events }).to_string().into(),
        };
        let failure = Failure {
            at_ms: 9,
            tries: 3,
            error: "no",
        };
        store
            .give_up("b", LogId(1), (&message, store.erases()), failure)
            .expect("given up");
    }

    #[test]
    fn events_go_and_what_is_left_of_a_letter_can_still_be_tried() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("webhook");
        let of_ana = scope(None, Some("ana-erased"));
        assert_eq!(erase(&folder, &of_ana).expect("none"), None);
        let store = Store::open(&folder).expect("a store");
        let started =
            |chat: &str, user: &str| json!({ "type": "started", "chat": chat, "user": user });
        let members = json!({ "type": "members_put", "chat": "hike",
            "members": [{ "user": "ana-erased" }, { "user": "ben" }] });
        give_up(
            &store,
            1,
            &json!([
                started("hike", "ana-erased"),
                started("hike", "ben"),
                members
            ]),
        );
        give_up(&store, 11, &json!([started("club", "ana-erased")]));
        give_up(
            &store,
            21,
            &json!([started("club", "cem"), started("hike", "cem")]),
        );

        let erased = store.erase(&of_ana).expect("erased");
        assert_eq!((erased.events, erased.letters), (3, 1));
        let letters = store.dead_letters(0, 10).expect("a list");
        let left: Vec<(u64, u64)> = letters.iter().map(|it| (it.first, it.events)).collect();
        assert_eq!(left, [(1, 2), (21, 2)]);
        let body = store.dead_letter(letters[0].id).expect("read");
        let body = body.expect("it is there").1;
        let body: serde_json::Value = serde_json::from_slice(&body).expect("json");
        assert_eq!(body["events"][1]["members"], json!([{ "user": "ben" }]));

        drop(store);
        let of_hike = scope(Some("hike"), None);
        let erased = erase(&folder, &of_hike).expect("erased");
        let expect = LettersErased {
            events: 3,
            letters: 1,
        };
        assert_eq!(erased, Some(expect));
        for entry in std::fs::read_dir(&folder).expect("listed") {
            let bytes = std::fs::read(entry.expect("a file").path()).expect("read");
            for name in ["ana-erased", "hike"] {
                let name = name.as_bytes();
                assert!(!bytes.windows(name.len()).any(|it| it == name), "{name:?}");
            }
        }
    }
}
