//! Geofences and alerts: places that sessions come into and leave, and sessions that come near each
//! other. Judged by the owner of a chat, point by point; what has happened is a promise
//! (`docs/decisions/0014-geofences-are-judged-by-the-owner.md`).

pub mod record;

pub mod ledger;

pub(crate) mod place;

pub(crate) mod polygon;

pub(crate) mod area;
pub(crate) mod judgement;
pub(crate) mod place_index;
pub(crate) mod standing;
pub(crate) mod surroundings;

pub(crate) mod rule;

pub(crate) mod tracked;

pub(crate) mod book;
