//! The record of views while no thread writes it: it is off, or the server is stopped.

use std::path::Path;

use crate::erase_scope::EraseScope;
use crate::views::erase::ViewsErased;
use crate::views::store::Store;

/// Removes what an erase is about. `None`: there is no record.
///
/// # Errors
/// The database cannot be used.
pub fn erase(folder: &Path, scope: &EraseScope) -> anyhow::Result<Option<ViewsErased>> {
    match Store::is_there(folder) {
        true => Ok(Some(Store::open(folder)?.erase(scope)?)),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use skein_wire::ids::{ChatName, UserName};

    use crate::erase_scope::EraseScope;
    use crate::views::erase::ViewsErased;
    use crate::views::idle::erase;
    use crate::views::store::Store;

    fn scope(chat: Option<&str>, user: Option<&str>) -> EraseScope {
        EraseScope {
            chat: chat.map(|chat| ChatName::new(chat).expect("a name")),
            user: user.map(|user| UserName::new(user).expect("a name")),
        }
    }

    #[test]
    fn what_is_erased_is_gone_from_the_file_and_the_rest_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("views");
        let all = scope(Some("hike"), None);
        assert_eq!(erase(&folder, &all).expect("no record"), None);
        let mut store = Store::open(&folder).expect("a record");
        let change = store.begin().expect("a change");
        for (chat, session, user) in [("hike", 7, "ana"), ("hike", 8, "ben"), ("club", 9, "ana")] {
            change.put_session(chat, session, user, 100).expect("put");
            change.end_session(chat, session, 200).expect("ended");
        }
        for (chat, session, user) in [
            ("hike", Some(7), "viewer-one"),
            ("hike", Some(8), "viewer-one"),
            ("hike", Some(8), "ana"),
            ("hike", None, "viewer-two"),
            ("club", Some(9), "viewer-one"),
        ] {
            let row = change.begin_view(chat, session, user, 120).expect("begun");
            change.end_view(row, 150).expect("ended");
        }
        change
            .begin_view("hike", Some(7), "viewer-live", 130)
            .expect("begun");
        change.commit().expect("committed");

        let of_ana = scope(Some("hike"), Some("ana"));
        let erased = store.erase(&of_ana).expect("erased");
        let expect = |views, sessions, views_live| ViewsErased {
            views,
            sessions,
            views_live,
        };
        assert_eq!(erased, expect(2, 1, 1), "seen alone in 7, and looking at 8");
        let everywhere = scope(None, Some("ana"));
        assert_eq!(store.erase(&everywhere).expect("erased"), expect(1, 1, 0));
        drop(store);
        let rest = erase(&folder, &all).expect("erased");
        // What went on was cut off when the record was opened again.
        assert_eq!(rest, Some(expect(3, 1, 0)));
        for entry in std::fs::read_dir(&folder).expect("listed") {
            let bytes = std::fs::read(entry.expect("a file").path()).expect("read");
            for name in ["viewer-one", "viewer-two", "viewer-live", "ana"] {
                let name = name.as_bytes();
                assert!(!bytes.windows(name.len()).any(|it| it == name), "{name:?}");
            }
        }
    }
}
