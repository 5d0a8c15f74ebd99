//! Who is a member of a chat and with which rights, in the order of names, so that a walk over a large
//! chat can be cut into slices and goes on behind the name at which it stopped.

use std::collections::BTreeMap;
use std::ops::Bound;

use skein_wire::ids::UserName;

use crate::rights::Rights;

/// A name on the heap and its place in the tree: what a member costs, an estimate in bytes.
const MEMBER_BYTES_ESTIMATE: usize = 64;

/// The members of one chat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership {
    rights: BTreeMap<UserName, Rights>,
}

impl Membership {
    /// What a user may do; none for who is no member.
    pub fn rights(&self, user: &UserName) -> Rights {
        self.rights.get(user).copied().unwrap_or(Rights::NONE)
    }

    /// Gives a user exactly these rights; none ends the membership.
    pub fn put(&mut self, user: &UserName, rights: Rights) {
        if rights.is_none() {
            self.rights.remove(user);
        } else {
            self.rights.insert(user.clone(), rights);
        }
    }

    /// All members, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&UserName, Rights)> {
        self.rights.iter().map(|(user, rights)| (user, *rights))
    }

    /// The members behind a name, or all.
    pub fn after(&self, name: Option<&UserName>) -> impl Iterator<Item = (&UserName, Rights)> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.rights.range((from, Bound::Unbounded));
        range.map(|(user, rights)| (user, *rights))
    }

    /// Bytes that they take, an estimate.
    pub fn bytes(&self) -> usize {
        self.rights.len() * MEMBER_BYTES_ESTIMATE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    fn names<'a>(members: impl Iterator<Item = (&'a UserName, Rights)>) -> Vec<&'a str> {
        members.map(|(user, _)| user.as_str()).collect()
    }

    #[test]
    fn a_walk_goes_on_behind_the_name_at_which_it_stopped() {
        let mut members = Membership::default();
        for name in ["cem", "ana", "bob"] {
            members.put(&user(name), Rights::ALL);
        }
        assert_eq!(names(members.iter()), ["ana", "bob", "cem"]);
        members.put(&user("ana"), Rights::NONE);
        assert_eq!(
            names(members.after(Some(&user("ana")))),
            ["bob", "cem"],
            "though the name is gone"
        );
        assert_eq!(names(members.after(Some(&user("bob")))), ["cem"]);
        assert_eq!(names(members.after(None)), ["bob", "cem"]);
        assert_eq!(members.rights(&user("ana")), Rights::NONE);
    }
}
