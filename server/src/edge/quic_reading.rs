//! Takes the frames of one connection as they are read: requests become events.

use bytes::Bytes;
use skein_wire::error::{Code, WireError};
use skein_wire::frame::decode_request;
use skein_wire::request::Request;

use crate::edge::given_up::GivenUp;
use crate::edge::greeting;
use crate::edge::quic_input::{FrameSink, Lane};
use crate::edge::quic_turn::Turn;
use crate::edge::speaker::Speaker;
use crate::limits::EVENTS_PER_POLL_MAX;

/// Where the frames of one connection go.
#[derive(Debug)]
pub struct QuicReading<'a, 'b> {
    /// What the edge itself answers.
    pub answers: Vec<Bytes>,
    /// Who has said `Hello`, now or before.
    speaker: &'a mut Option<Speaker>,
    given_up: &'a mut GivenUp,
    turn: &'a mut Turn<'b>,
}

impl<'a, 'b> QuicReading<'a, 'b> {
    /// Nothing was read yet.
    pub fn new(
        speaker: &'a mut Option<Speaker>,
        given_up: &'a mut GivenUp,
        turn: &'a mut Turn<'b>,
    ) -> Self {
        Self {
            answers: Vec::new(),
            speaker,
            given_up,
            turn,
        }
    }
}

impl FrameSink for QuicReading<'_, '_> {
    fn give_up(&mut self) -> Result<(), WireError> {
        self.turn.stats.given_up += 1;
        self.given_up.count(self.turn.now_ms)
    }

    fn is_full(&self) -> bool {
        // Whose `Hello` is for the next pass waits for it.
        let waits = self.speaker.is_none() && self.turn.hellos_left == 0;
        waits || self.turn.events.len() >= EVENTS_PER_POLL_MAX
    }

    fn count(&mut self, bytes: usize) {
        self.turn.stats.bytes_in += bytes as u64;
    }

    fn take(&mut self, frame: &[u8], lane: Lane) -> Result<(), WireError> {
        let turn = &mut *self.turn;
        turn.stats.frames_in += 1;
        let Some(request) = decode_request(frame)? else {
            return Ok(());
        };
        if lane == Lane::Side && !is_point(&request) {
            return Err(WireError::new(
                Code::OutOfOrder,
                "only points and heartbeats may leave the control stream",
            ));
        }
        if greeting::is_costly(&request) {
            turn.hellos_left = turn.hellos_left.saturating_sub(1);
        }
        let before = self.speaker.is_some();
        let speaker = &mut *self.speaker;
        let taken = greeting::take(turn.access, turn.now_ms, speaker, turn.id, request)?;
        if speaker.is_some() && !before {
            turn.stats.greeted += 1;
        }
        turn.events.extend(taken.event);
        self.answers.extend(taken.answer);
        Ok(())
    }
}

fn is_point(request: &Request) -> bool {
    matches!(
        request,
        Request::Point(_) | Request::Points(_) | Request::Heartbeat(_)
    )
}
