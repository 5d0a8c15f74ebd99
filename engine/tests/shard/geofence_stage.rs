//! What the scenarios of geofences share: people who walk, wishes, and what is told.

use std::collections::BTreeMap;

use skein_engine::geofence::record::{GeofenceWish, Shape};
use skein_engine::request::{Actor, ChatReply, ChatRequest, ChatResult, GeofenceInfo};
use skein_wire::error::Code;
use skein_wire::ids::{Counter, RequestNumber};
use skein_wire::point::{Accuracy, Fix, Payload, Point, Position};
use skein_wire::request::{Request, SharePoint, ShareStop};
use skein_wire::update::{Shared, Update};

use crate::peer::Peer;
use crate::rig::{Rig, chat, user};

/// The middle of the geofences, and metres of a millionth of a degree there, about.
const LAT_E6: i32 = 45_000_000;
const LON_E6: i32 = 13_000_000;

/// A place so many metres north of the middle.
pub fn north(metres: i32) -> Position {
    Position {
        lat_e6: LAT_E6 + metres * 9,
        lon_e6: LON_E6,
    }
}

pub fn circle(radius_m: u32) -> Shape {
    Shape::Circle {
        lat_e6: LAT_E6,
        lon_e6: LON_E6,
        radius_m,
    }
}

pub const fn near(near_m: u32) -> Shape {
    Shape::Around { session: 0, near_m }
}

pub fn wish(name: &str, owner: Option<&str>, shape: Shape) -> GeofenceWish {
    GeofenceWish {
        chat: chat(),
        name: name.parse().unwrap(),
        owner: owner.map(user),
        shape,
        user: None,
        session: None,
        dwell_s: 0,
        once: false,
        duration_s: owner.map(|_| 3_600),
    }
}

pub fn person(name: &str) -> Actor {
    Actor::User(user(name).into())
}

/// Asks for it as its owner does, or as the operator; the code of a refusal.
pub fn put(rig: &mut Rig, wish: GeofenceWish) -> Result<(), Code> {
    let actor = match &wish.owner {
        Some(owner) => Actor::User(owner.clone().into()),
        None => Actor::Control,
    };
    answer(rig.ask(ChatRequest::PutGeofence { actor, wish }).1)
}

pub fn answer(reply: Option<ChatResult>) -> Result<(), Code> {
    match reply.expect("an answer") {
        Ok(ChatReply::Done { .. }) => Ok(()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code),
    }
}

pub fn remove(rig: &mut Rig, actor: Actor, name: &str, owner: Option<&str>) -> Result<(), Code> {
    let request = ChatRequest::RemoveGeofence {
        chat: chat(),
        actor,
        name: name.parse().unwrap(),
        owner: owner.map(user),
    };
    answer(rig.ask(request).1)
}

pub fn geofences(rig: &mut Rig, actor: Actor) -> Result<Vec<GeofenceInfo>, Code> {
    let asked = ChatRequest::Geofences {
        chat: chat(),
        actor,
    };
    match rig.ask(asked).1.expect("an answer") {
        Ok(ChatReply::Geofences { geofences: all, .. }) => Ok(all),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code),
    }
}

/// Names of a member's alerts, and who has one about the member.
pub fn alerts(rig: &mut Rig, actor: Actor) -> Result<(Vec<String>, Vec<String>), Code> {
    let asked = ChatRequest::Alerts {
        chat: chat(),
        actor,
    };
    match rig.ask(asked).1.expect("an answer") {
        Ok(ChatReply::Alerts(own, about)) => {
            let own = own.into_iter().map(|it| it.record.name).collect();
            let about = about.iter().map(|it| it.owner.to_string()).collect();
            Ok((own, about))
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code),
    }
}

/// A member who walks, and counts.
pub struct Walker {
    pub peer: Peer,
    pub shared: Shared,
    pub counter: u64,
}

impl Walker {
    pub fn start(rig: &mut Rig, shard: u16, name: &str) -> Self {
        let peer = rig.connect(shard, name);
        let shared = rig.share(peer, "");
        Self {
            peer,
            shared,
            counter: 0,
        }
    }

    pub fn point(&mut self, position: Position, accuracy_m: f64) -> Point {
        self.counter += 1;
        Point {
            counter: Counter(self.counter),
            captured_at_ms: 0,
            payload: Payload::Fix(Fix {
                position,
                accuracy: Accuracy::from_metres(accuracy_m),
                ..Fix::default()
            }),
        }
    }

    /// Some seconds later at a place.
    pub fn go(&mut self, rig: &mut Rig, position: Position, accuracy_m: f64) {
        rig.advance(5_000);
        self.hop(rig, position, accuracy_m);
    }

    /// At once at a place.
    pub fn hop(&mut self, rig: &mut Rig, position: Position, accuracy_m: f64) {
        let sent = SharePoint {
            share: self.shared.share,
            durable: false,
            point: self.point(position, accuracy_m),
        };
        rig.send(self.peer, Request::Point(sent));
    }

    pub fn walk(&mut self, rig: &mut Rig, metres: &[i32]) {
        for metres in metres {
            self.go(rig, north(*metres), 5.0);
        }
    }

    pub fn stop(&self, rig: &mut Rig) {
        let stop = ShareStop {
            request: RequestNumber(9),
            share: self.shared.share,
        };
        rig.send(self.peer, Request::ShareStop(stop));
    }
}

/// What a connection was told of geofences.
pub fn told(rig: &mut Rig, peer: Peer) -> Vec<String> {
    let frames = rig.take_frames(peer);
    let crossings = frames.iter().filter_map(|update| match update {
        Update::Crossing(crossing) => Some(crossing),
        _ => None,
    });
    crossings
        .map(|it| {
            let other = it
                .other
                .as_ref()
                .map_or(String::new(), |(_, user)| format!(" {user}"));
            let alert = if it.is_alert { "!" } else { "" };
            format!(
                "{alert}{} {} {}{other}",
                it.name,
                it.kind.name(),
                it.subject.1
            )
        })
        .collect()
}

pub fn watcher(rig: &mut Rig, shard: u16, name: &str) -> Peer {
    let peer = rig.connect(shard, name);
    rig.watch(peer);
    peer
}

/// Crossings of one session at one geofence alternate, beginning with one that begins.
pub fn assert_alternating(rig: &Rig) {
    let mut inside: BTreeMap<(u64, u64, u64), bool> = BTreeMap::new();
    for crossing in &rig.crossings {
        let key = (crossing.geofence, crossing.session, crossing.other);
        let is_begin = crossing.kind().expect("a kind").is_begin();
        let before = inside.insert(key, is_begin).unwrap_or(false);
        assert_ne!(before, is_begin, "{:?}", rig.crossings);
    }
}
