//! Many members at once: one promise, so that all of them are members or none is.
//!
//! An import only gives. What would take a right away is refused as a whole: that acts before it is
//! durable, one member at a time.

use skein_wire::error::{Code, WireError};
use skein_wire::ids::{ChatName, UserName};

use crate::caller::Caller;
use crate::command::Command;
use crate::ids::RequestId;
use crate::limits::IMPORT_MEMBERS_MAX;
use crate::obligation::{MemberChange, Purpose};
use crate::request::ChatReply;
use crate::rights::Rights;
use crate::shard::Shard;

impl Shard {
    /// Makes many users members.
    pub(super) fn put_members(
        &mut self,
        request: RequestId,
        name: &ChatName,
        members: &[(UserName, u8)],
        expected: Option<u64>,
    ) {
        let checked = self
            .check_serving()
            .and_then(|()| check_batch(members))
            .and_then(|()| self.check_version(name, expected));
        if let Err(error) = checked {
            self.reply(request, Err(error));
            return;
        }
        let restricted = self.would_restrict(name, members);
        if !restricted.is_empty() {
            self.reply(request, Ok(ChatReply::WouldRestrict(restricted)));
            return;
        }
        let command = Command::PutMembers {
            chat: name.as_str().to_owned(),
            members: members
                .iter()
                .map(|(user, rights)| (user.as_str().to_owned(), *rights))
                .collect(),
        };
        let rights = |(user, bits): &(UserName, u8)| (user.clone(), Rights::from_bits(*bits));
        let mut users: Vec<(UserName, Rights)> = members.iter().map(rights).collect();
        let Some((user, last)) = users.pop() else {
            self.reply(request, Err(Self::not_found()));
            return;
        };
        let mut change = MemberChange::granting(user, last);
        change.also = users;
        let chat = self.chats.named(name);
        let callers = vec![Caller::Api(request)];
        let order = self.propose(chat, command, Purpose::Member(change), callers);
        if let Some(owner) = chat.and_then(|chat| self.chats.owner_mut(chat)) {
            owner.changes.push(order);
        }
    }

    /// Places in the batch of those who would lose a right.
    fn would_restrict(&self, name: &ChatName, members: &[(UserName, u8)]) -> Vec<usize> {
        let chat = self.chats.named(name).and_then(|chat| self.chats.get(chat));
        let Some(chat) = chat else {
            return Vec::new();
        };
        let loses = |(user, bits): &(UserName, u8)| {
            let held = chat.rights(user).granted();
            held != held.and(Rights::from_bits(*bits))
        };
        let places = members.iter().enumerate();
        places
            .filter(|(_, member)| loses(member))
            .map(|(place, _)| place)
            .collect()
    }
}

fn check_batch(members: &[(UserName, u8)]) -> Result<(), WireError> {
    let rights = |bits: u8| bits != 0 && Rights::asked(bits).is_some();
    let is_good = !members.is_empty()
        && members.len() <= IMPORT_MEMBERS_MAX
        && members.iter().all(|(_, bits)| rights(*bits));
    match is_good {
        true => Ok(()),
        false => Err(WireError::new(
            Code::BadRequest,
            format!(
                "a batch has 1 to {IMPORT_MEMBERS_MAX} members, each with the right to share, to watch, or both"
            ),
        )),
    }
}
