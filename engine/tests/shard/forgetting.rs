//! What an erase asks of shards: ended sessions are forgotten and nothing else is, whoever had not heard
//! of an end learns of it, and nothing is taken from a log that a shard still has to read.

use skein_wire::ids::{RequestNumber, SessionId, ShareNumber};
use skein_wire::request::{Delivery, Request, ShareStop};

use crate::peer::Peer;
use crate::rig::{Rig, chat, user};

fn stop(rig: &mut Rig, peer: Peer, share: ShareNumber) {
    let request = RequestNumber(9);
    rig.send(peer, Request::ShareStop(ShareStop { request, share }));
}

fn ended(rig: &Rig, shard: u16) -> Vec<SessionId> {
    let content = rig.shards[usize::from(shard)].content(&chat());
    let rows = content.expect("it holds the chat").rows;
    let ended = rows.into_iter().filter(|(_, row)| row.state.is_ended());
    ended.map(|(session, _)| session).collect()
}

#[test]
fn ended_sessions_of_one_member_are_forgotten_and_who_was_away_learns_of_the_end() {
    let mut rig = Rig::new(2).with_members();
    rig.put_member("eve", 3);
    let (owner, other) = rig.owner_and_other();
    let (ana, eve) = (rig.connect(owner, "ana"), rig.connect(owner, "eve"));
    let (gone, goes_on) = (rig.share(ana, "gone"), rig.share(ana, "goes on"));
    let of_eve = rig.share(eve, "hers");
    for shared in [&gone, &goes_on] {
        rig.send_point(ana, shared.share, 1);
    }
    let away = rig.connect(other, "bob");
    rig.watch(away);
    let was = rig.viewer(away).come_back();
    assert_eq!(was.shown().len(), 3);
    rig.disconnect(away);
    stop(&mut rig, ana, gone.share);
    stop(&mut rig, eve, of_eve.share);
    assert_eq!(ended(&rig, owner), [gone.session, of_eve.session]);

    let forgotten = rig.shards[usize::from(owner)].forget_sessions(&chat(), Some(&user("ana")));
    let forgotten = forgotten.expect("it owns the chat");
    assert_eq!(forgotten.live, [goes_on.session]);
    assert_eq!(
        ended(&rig, owner),
        [of_eve.session],
        "hers ended later and stays"
    );
    let back = rig.connect(owner, "bob");
    rig.watch_again(back, &was);
    assert_eq!(rig.viewer(back).shown(), [goes_on.session]);

    let forgotten = rig.shards[usize::from(owner)].forget_sessions(&chat(), None);
    assert_eq!(forgotten.expect("as before").live, [goes_on.session]);
    assert!(ended(&rig, owner).is_empty());
    assert_eq!(
        rig.shards[usize::from(other)].forget_sessions(&chat(), None),
        None,
        "a mirror is not asked"
    );
}

#[test]
fn a_shard_is_past_a_record_when_it_will_not_read_it_any_more() {
    let mut rig = Rig::new(2).with_members();
    let (owner, other) = rig.owner_and_other();
    let is_past = |rig: &Rig, shard: u16, offset: u64| {
        rig.shards[usize::from(shard)].is_past(&chat(), offset)
    };
    let sender = rig.connect(owner, "ana");
    let shared = rig.share(sender, "key");
    let head = |rig: &Rig| rig.head(rig.partition());
    let first = head(&rig);
    assert!(is_past(&rig, owner, first) && !is_past(&rig, owner, first + 1));
    assert!(is_past(&rig, other, first + 1), "it has no such chat");

    // From the moment at which it asks for an image it may have to read on from there.
    let viewer = rig.connect(other, "bob");
    rig.expect_viewer(viewer);
    rig.send_only(viewer, Rig::watch_frame(None, Delivery::Latest));
    assert!(!is_past(&rig, other, first), "an image is asked for");
    rig.settle();
    assert!(is_past(&rig, other, first));

    rig.deaf = Some(other);
    rig.send_point(sender, shared.share, 1);
    rig.pass(owner);
    let second = head(&rig);
    assert!(is_past(&rig, owner, second) && !is_past(&rig, other, second));
    rig.deaf = None;
    rig.settle();
    assert!(is_past(&rig, other, second));

    // It has missed records: an image is to come, and it reads on from that.
    rig.overtake(other);
    assert!(!is_past(&rig, other, second));
    rig.settle();
    assert!(is_past(&rig, other, second));
}
