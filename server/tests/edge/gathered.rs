//! Batches that leave many at once: what arrives, and in which order, is what it would be if each
//! had been written by itself.

use std::net::TcpStream;
use std::time::Duration;

use skein_engine::ids::ConnectionId;
use skein_engine::shared_batch::SharedBatch;
use skein_engine::sink::{Offer, Sink};
use skein_server::config::websocket_sends::WebSocketSends;
use skein_server::edge::edge::Edge;
use skein_server::edge::event::Event;
use skein_server::edge::send_ring::SendRing;
use skein_server::limits::WEBSOCKET_SENDS_MAX;
use skein_wire::error::Code;
use skein_wire::ids::ChatHandle;
use socket2::SockRef;

use crate::harness::{TestEdge, filler, viewer};
use crate::skip;
use crate::websocket_client::{Message, WebSocketClient};

type Client = WebSocketClient<TcpStream>;

/// Enough for the ring, and not all in one submission.
const CROWD: usize = 2 * WEBSOCKET_SENDS_MAX + 44;
/// Enough for the ring.
const FEW: usize = 8;
/// More than the kernels of both ends hold of one connection.
const LARGE: usize = 600_000;
/// The chat of all batches.
const CHAT: ChatHandle = ChatHandle(1);

/// Runs a test in each way in which batches get onto WebSockets.
fn in_each_way(test: impl Fn(&TestEdge, bool)) {
    test(&TestEdge::start_sending(WebSocketSends::Write), false);
    match SendRing::new() {
        Ok(_) => test(&TestEdge::start_sending(WebSocketSends::IoUring), true),
        Err(error) => skip::say("WebSockets by a ring", &error.to_string()),
    }
}

fn client(edge: &TestEdge, receive_buffer: usize) -> (Client, ConnectionId) {
    let mut client = WebSocketClient::open_with_buffer(edge.http(), receive_buffer);
    client.message(&edge.hello());
    (client, edge.connected())
}

fn clients(edge: &TestEdge, count: usize) -> (Vec<Client>, Vec<ConnectionId>) {
    (0..count).map(|_| client(edge, 64 * 1024)).unzip()
}

fn offer(edge: &mut Edge, to: ConnectionId, len: usize, fill: usize) -> Offer {
    let batch = SharedBatch::from_frames(CHAT, 0, 1, 1, &filler(len, fill as u8));
    edge.offer(to, viewer(0), &batch)
}

fn expect(client: &mut Client, len: usize, fill: usize) {
    assert_eq!(client.read(), Message::Binary(filler(len, fill as u8)));
}

#[test]
fn everybody_gets_what_was_offered_to_him() {
    const ROUNDS: usize = 5;
    in_each_way(|edge, by_ring| {
        let (mut clients, ids) = clients(edge, CROWD);
        let len = |to: usize, round: usize| 60 + to * round;
        for round in 0..ROUNDS {
            let to = ids.clone();
            let offers: Vec<Offer> = edge.with(move |edge| {
                let to = to.into_iter().enumerate();
                to.map(|(at, id)| offer(edge, id, len(at, round), at + round))
                    .collect()
            });
            assert_eq!(offers, [Offer::Sent; CROWD]);
        }
        for (at, client) in clients.iter_mut().enumerate() {
            (0..ROUNDS).for_each(|round| expect(client, len(at, round), at + round));
        }
        let stats = edge.with(|edge| edge.stats().websocket);
        let all = (ROUNDS * CROWD) as u64;
        assert_eq!(stats.offers_sent, all);
        assert_eq!(stats.offers_ring, if by_ring { all } else { 0 });
    });
}

#[test]
fn one_who_does_not_read_loses_nothing_of_what_was_taken_and_delays_nobody() {
    const LEN: usize = 2_000;
    const ROUNDS: usize = 200;
    in_each_way(|edge, _| {
        let (mut stalled, id) = client(edge, 4 * 1024);
        let (mut others, mut ids) = clients(edge, FEW);
        ids.insert(FEW / 2, id);
        let (mut taken, mut refused) = (Vec::new(), 0);
        for round in 0..ROUNDS {
            let to = ids.clone();
            let offers: Vec<Offer> = edge.with(move |edge| {
                let to = to.into_iter();
                to.map(|id| offer(edge, id, LEN, round)).collect()
            });
            match offers[FEW / 2] {
                Offer::Sent => taken.push(round),
                _ => refused += 1,
            }
            others.iter_mut().for_each(|it| expect(it, LEN, round));
        }
        assert!(refused > ROUNDS / 4, "{refused}: it was never full");
        taken
            .iter()
            .for_each(|round| expect(&mut stalled, LEN, *round));
        while edge.with(move |edge| offer(edge, id, LEN, 77)) != Offer::Sent {
            assert_eq!(edge.event(), Event::Writable { connection: id });
        }
        expect(&mut stalled, LEN, 77);
    });
}

#[test]
fn the_next_batch_of_one_does_not_overtake_the_rest_of_the_last() {
    in_each_way(|edge, _| {
        let (mut clients, ids) = clients(edge, FEW);
        let first = ids[0];
        let again = edge.with(move |edge| {
            for id in ids {
                assert_eq!(offer(edge, id, LARGE, 3), Offer::Sent);
            }
            offer(edge, first, 60, 4)
        });
        assert_eq!(again, Offer::Full, "the first one cannot have left whole");
        clients.iter_mut().for_each(|it| expect(it, LARGE, 3));
        while edge.with(move |edge| offer(edge, first, 60, 5)) != Offer::Sent {
            assert_eq!(edge.event(), Event::Writable { connection: first });
        }
        expect(&mut clients[0], 60, 5);
    });
}

#[test]
fn a_frame_and_a_goodbye_stay_behind_the_batch_before_them() {
    in_each_way(|edge, _| {
        let (mut clients, ids) = clients(edge, FEW);
        let told = filler(100, 9);
        let (frame, last) = (told.clone(), ids[FEW - 1]);
        edge.with(move |edge| {
            for id in ids {
                assert_eq!(offer(edge, id, 60, 1), Offer::Sent);
            }
            edge.send(last, frame.into());
            edge.close(last, Code::GoingAway, 0, "bye");
        });
        clients.iter_mut().for_each(|it| expect(it, 60, 1));
        let client = &mut clients[FEW - 1];
        assert_eq!(client.read(), Message::Binary(told));
        assert!(matches!(client.read(), Message::Binary(_)), "a goodbye");
        assert!(matches!(client.read(), Message::Close(..)));
    });
}

#[test]
fn a_revoked_batch_that_has_begun_to_leave_is_not_completed() {
    in_each_way(|edge, _| {
        let (mut clients, ids) = clients(edge, FEW);
        let last = ids[FEW - 1];
        edge.with(move |edge| {
            for id in ids {
                assert_eq!(offer(edge, id, LARGE, 3), Offer::Sent);
            }
            edge.purge(last, CHAT);
        });
        let gone = Event::Disconnected { connection: last };
        while edge.event() != gone {}
        assert_eq!(clients.pop().unwrap().read(), Message::End);
        clients.iter_mut().for_each(|it| expect(it, LARGE, 3));
    });
}

#[test]
fn one_who_is_gone_is_told_of_and_the_others_get_theirs() {
    in_each_way(|edge, _| {
        let (mut clients, ids) = clients(edge, FEW);
        let lost = clients.remove(FEW / 2);
        let gone = ids[FEW / 2];
        // No end in good order, but a reset: the next send fails.
        SockRef::from(&lost.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        edge.with(move |edge| {
            drop(lost);
            ids.into_iter().for_each(|id| {
                offer(edge, id, 60, 2);
            });
        });
        clients.iter_mut().for_each(|it| expect(it, 60, 2));
        assert_eq!(edge.event(), Event::Disconnected { connection: gone });
        assert_eq!(edge.with(|edge| edge.connections()), FEW - 1);
    });
}
