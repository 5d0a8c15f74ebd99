//! Requests of the HTTP and control API to the owner of a chat, and their replies.
//!
//! They are values: the server carries them to the owner shard and the replies back.

use skein_wire::error::WireError;
use skein_wire::ids::{ChatName, Counter, Cursor, GeofenceName, SessionId, UserName};
use skein_wire::point::Point;
use skein_wire::update::{SessionState, Verdict};

use crate::geofence::record::{GeofenceRecord, GeofenceWish};
use crate::guest::{GuestGrant, GuestRecord};
use crate::identity::Person;
use crate::ids::GuestId;
use crate::view::Viewers;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A user, as a valid token names it: needs the right, and owns the session.
    User(Person),
    /// The operator or the chat service: may act for every member.
    Control,
}

impl Actor {
    /// What a guest's link shows, for a guest.
    pub fn guest(&self) -> Option<&GuestGrant> {
        match self {
            Self::User(person) => person.guest(),
            Self::Control => None,
        }
    }
}

/// Asks for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartRequest {
    /// Where.
    pub chat: ChatName,
    /// Who asks.
    pub actor: Actor,
    /// Who will share.
    pub user: UserName,
    /// How long, seconds.
    pub duration_s: u32,
    /// The same key gives the same session.
    pub idempotency_key: String,
    /// Points will be sealed blobs.
    pub sealed: bool,
}

/// Points of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointsRequest {
    /// Where.
    pub chat: ChatName,
    /// Which.
    pub session: SessionId,
    /// Who asks.
    pub actor: Actor,
    /// They lie behind the newest point: trail and history only.
    pub historical: bool,
    /// Reply only when they are durable.
    pub durable: bool,
    /// Oldest first, each checked by [`Point::check`].
    pub points: Vec<Point>,
}

/// A request about one chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatRequest {
    /// Start a session. Reply: `Session`.
    Start(StartRequest),
    /// Move the end of a session to `duration_s` from now. Reply: `Session`.
    Extend {
        /// Where.
        chat: ChatName,
        /// Which.
        session: SessionId,
        /// Who asks.
        actor: Actor,
        /// From now, seconds.
        duration_s: u32,
    },
    /// End a session. Reply: `Done`.
    Stop {
        /// Where.
        chat: ChatName,
        /// Which.
        session: SessionId,
        /// Who asks.
        actor: Actor,
    },
    /// Take points. Reply: `Points`.
    Points(PointsRequest),
    /// The newest point of every live session. Reply: `Positions`.
    Positions {
        /// Where.
        chat: ChatName,
        /// Who asks.
        actor: Actor,
    },
    /// A live session, for its sharer and for operators. Reply: `Session`.
    OwnSession {
        /// Where.
        chat: ChatName,
        /// Which.
        session: SessionId,
        /// Who asks.
        actor: Actor,
    },
    /// Whether the record of who saw a session may be read: by operators, and by whoever has a right in
    /// the chat, of their own sessions. Reply: `Audit`.
    Audit {
        /// Where.
        chat: ChatName,
        /// Which.
        session: SessionId,
        /// Who asks.
        actor: Actor,
    },
    /// Who sees a session through the shard that is asked, whichever it is. Who may know is judged before,
    /// by an [`ChatRequest::OwnSession`]. Reply: `Viewers`.
    Viewers {
        /// Where.
        chat: ChatName,
        /// Which.
        session: SessionId,
        /// Its own user, who is left out.
        except: UserName,
    },
    /// The live sessions. Reply: `Sessions`.
    Sessions {
        /// Where.
        chat: ChatName,
        /// Who asks.
        actor: Actor,
    },
    /// Make a user a member, or change the rights. Control only. Reply: `Changed`.
    PutMember {
        /// Where.
        chat: ChatName,
        /// Who.
        user: UserName,
        /// [`crate::command::RIGHT_SHARE`] and [`crate::command::RIGHT_WATCH`].
        rights: u8,
        /// Only if the members are of this version.
        expected: Option<u64>,
    },
    /// End a membership. Control only. Reply: `Changed`.
    RemoveMember {
        /// Where.
        chat: ChatName,
        /// Who.
        user: UserName,
        /// Only if the members are of this version.
        expected: Option<u64>,
    },
    /// Make many users members, all or none. Control only. Reply: `Changed`, or `WouldRestrict`.
    PutMembers {
        /// Where.
        chat: ChatName,
        /// Who, with [`crate::command::RIGHT_SHARE`] and [`crate::command::RIGHT_WATCH`]; at most
        /// [`crate::limits::IMPORT_MEMBERS_MAX`].
        members: Vec<(UserName, u8)>,
        /// Only if the members are of this version.
        expected: Option<u64>,
    },
    /// Members in the order of their names, those behind `after`. Control only. Reply: `Members`.
    Members {
        /// Where.
        chat: ChatName,
        /// Go on behind this name.
        after: Option<UserName>,
        /// How many at most.
        limit: usize,
    },
    /// Make a link for guests. Control only. Reply: `Changed`.
    PutGuest {
        /// Where.
        chat: ChatName,
        /// Its id, random.
        guest: GuestId,
        /// What it shows, to how many, until when.
        record: GuestRecord,
    },
    /// End a link. Control only. Reply: `Changed`.
    RemoveGuest {
        /// Where.
        chat: ChatName,
        /// Which.
        guest: GuestId,
    },
    /// Take sealed sessions only, or plain ones as well. Control only. Reply: `Done`.
    SealChat {
        /// Which.
        chat: ChatName,
        /// Sealed ones only: plain ones end, and none begins.
        sealed: bool,
    },
    /// What is set for a chat; for its members. Reply: `Settings`.
    Settings {
        /// Who asks.
        actor: Actor,
        /// Which.
        chat: ChatName,
    },
    /// The links of a chat. Control only. Reply: `Guests`.
    Guests {
        /// Where.
        chat: ChatName,
    },
    /// Put a geofence of the chat (control only), or an alert of the member who asks or whom the operator
    /// names. Reply: `Done`.
    PutGeofence {
        /// Who asks.
        actor: Actor,
        /// What is wanted.
        wish: GeofenceWish,
    },
    /// Remove a geofence of the chat (control only), or an alert. Reply: `Done`.
    RemoveGeofence {
        /// Where.
        chat: ChatName,
        /// Who asks.
        actor: Actor,
        /// Which.
        name: GeofenceName,
        /// Whose alert it is; `None` = a geofence of the chat.
        owner: Option<UserName>,
    },
    /// The geofences of a chat, for whoever may watch it. Reply: `Geofences`.
    Geofences {
        /// Where.
        chat: ChatName,
        /// Who asks.
        actor: Actor,
    },
    /// The alerts of a member, and who has one about the member; for operators all of the chat.
    /// Reply: `Alerts`.
    Alerts {
        /// Where.
        chat: ChatName,
        /// Who asks.
        actor: Actor,
    },
    /// A member is about to be shown what happened at geofences; not for guests. Reply: `Done`.
    Look {
        /// Where.
        chat: ChatName,
        /// Who asks.
        actor: Actor,
    },
}

impl ChatRequest {
    /// The chat it is about, which decides the shard that answers.
    pub fn chat(&self) -> &ChatName {
        match self {
            Self::Start(request) => &request.chat,
            Self::Points(request) => &request.chat,
            Self::PutGeofence { wish, .. } => &wish.chat,
            Self::Extend { chat, .. }
            | Self::Stop { chat, .. }
            | Self::OwnSession { chat, .. }
            | Self::Audit { chat, .. }
            | Self::Viewers { chat, .. }
            | Self::Positions { chat, .. }
            | Self::Sessions { chat, .. }
            | Self::PutMember { chat, .. }
            | Self::RemoveMember { chat, .. }
            | Self::PutMembers { chat, .. }
            | Self::Members { chat, .. }
            | Self::PutGuest { chat, .. }
            | Self::RemoveGuest { chat, .. }
            | Self::SealChat { chat, .. }
            | Self::Settings { chat, .. }
            | Self::Guests { chat }
            | Self::RemoveGeofence { chat, .. }
            | Self::Geofences { chat, .. }
            | Self::Alerts { chat, .. }
            | Self::Look { chat, .. } => chat,
        }
    }
}

/// A live session as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Which.
    pub session: SessionId,
    /// Whose.
    pub user: UserName,
    /// Live, stationary or stale.
    pub state: SessionState,
    /// Server time, milliseconds since 1970.
    pub started_at_ms: u64,
    /// Server time of its end, milliseconds since 1970.
    pub expires_at_ms: u64,
    /// Points are sealed blobs.
    pub sealed: bool,
    /// Greatest counter that was accepted.
    pub counter_last: Counter,
}

/// A live session and its newest point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionInfo {
    /// The session.
    pub session: SessionInfo,
    /// Its newest point; none yet for a session that has just begun.
    pub newest: Option<Point>,
}

/// What became of points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointsReply {
    /// Greatest live counter that was accepted so far.
    pub counter_last: Counter,
    /// How many of the request's points were appended.
    pub accepted: u32,
    /// They are durable.
    pub durable: bool,
    /// Points that were not appended, and why.
    pub verdicts: Vec<Verdict>,
}

/// Some members of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembersPage {
    /// Who, with which rights, in the order of the names.
    pub members: Vec<(UserName, u8)>,
    /// Index of the last command that changed members; 0 = none yet.
    pub version: u64,
    /// There are more behind the last one.
    pub more: bool,
}

/// What is set for a chat as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChatSettings {
    /// It takes sealed sessions only.
    pub sealed: bool,
}

/// A link for guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestInfo {
    /// Which.
    pub guest: GuestId,
    /// What it shows, to how many, until when.
    pub record: GuestRecord,
    /// How many watch through it now.
    pub viewers: u32,
}

/// A geofence or an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeofenceInfo {
    /// What it is.
    pub record: GeofenceRecord,
    /// Who is inside; at most [`crate::limits::INSIDE_LISTED_MAX`].
    pub inside: Vec<InsideInfo>,
    /// How many are inside.
    pub inside_total: usize,
}

/// A session inside of a geofence, or two that are near each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsideInfo {
    /// Which, and whose.
    pub subject: (SessionId, UserName),
    /// The other one, of two.
    pub other: Option<(SessionId, UserName)>,
}

/// Somebody has an alert about somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertAbout {
    /// Who is told.
    pub owner: UserName,
    /// Server time of its end, milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatReply {
    /// A session as it is now.
    Session(SessionInfo),
    /// What became of points.
    Points(PointsReply),
    /// A live session of whoever asks, if it is one; of others only the record can tell.
    Audit(Option<SessionInfo>),
    /// Who sees a session through one shard.
    Viewers(Viewers),
    /// The live sessions.
    Sessions(Vec<SessionInfo>),
    /// The live sessions with their newest points.
    Positions {
        /// Where a watch can go on from here.
        cursor: Cursor,
        /// That somebody looked was recorded, for those who are seen.
        view_recorded: bool,
        /// One per live session.
        positions: Vec<PositionInfo>,
    },
    /// Members and their rights.
    Members(MembersPage),
    /// Members are changed.
    Changed {
        /// False: applied, not yet durable (the server goes on trying).
        durable: bool,
        /// Version of the members after the change; 0 while it is not durable.
        version: u64,
        /// Of a change of one member: whether they were one before, or could be by their token.
        was_member: bool,
    },
    /// Nothing of a batch was applied: these, by their places in it, have rights that it would take.
    WouldRestrict(Vec<usize>),
    /// The links of a chat.
    Guests(Vec<GuestInfo>),
    /// What is set for a chat.
    Settings(ChatSettings),
    /// The geofences of a chat, and who is inside.
    Geofences {
        /// That somebody looked was recorded, for those who are seen.
        view_recorded: bool,
        /// All of them.
        geofences: Vec<GeofenceInfo>,
    },
    /// Whoever asks may be shown what happened at geofences.
    Look {
        /// That somebody looked was recorded, for those who are seen.
        view_recorded: bool,
    },
    /// The alerts that were asked for, and those of others about the one who asks.
    Alerts(Vec<GeofenceInfo>, Vec<AlertAbout>),
    /// Met.
    Done {
        /// False: applied, not yet durable (the server goes on trying).
        durable: bool,
    },
}

/// What comes back for a [`ChatRequest`].
pub type ChatResult = Result<ChatReply, WireError>;
