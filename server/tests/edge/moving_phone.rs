//! A phone changes its network, a server is restarted: connections live on, or die at once.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use skein_server::edge::event::Event;
use skein_wire::request::Request;

use crate::harness::{TestEdge, frame, free};
use crate::quic_client::{self, QuicClient};

#[test]
fn a_connection_survives_a_new_address_whatever_shard_holds_it() {
    for shards in [1, 2, 3, 7] {
        move_phones(shards);
    }
}

fn move_phones(shards: u16) {
    let edge = TestEdge::start_in(Arc::new(tempfile::tempdir().unwrap()), free(), shards);
    for number in 0..8 {
        let mut client = QuicClient::open(&edge);
        client.write(&edge.hello());
        let (shard, event) = edge.shard_event();
        assert!(matches!(event, Event::Connected { .. }), "{event:?}");
        let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        client.wait(async { client.endpoint.rebind(socket).unwrap() });
        client.write(&frame(&Request::Ping(number)));
        let (shard_after, event) = edge.shard_event();
        assert_eq!(shard_after, shard);
        assert!(
            matches!(event, Event::Frame { request: Request::Ping(n), .. } if n == number),
            "{event:?}"
        );
        client.connection.close(0u32.into(), b"");
        assert!(matches!(edge.event(), Event::Disconnected { .. }));
    }
}

#[test]
fn a_restarted_server_answers_the_connections_it_has_lost() {
    let edge = TestEdge::start();
    let mut client = QuicClient::open(&edge);
    client.write(&edge.hello());
    edge.connected();
    let addresses = edge.addresses;
    let dir = edge.kill();
    let edge = TestEdge::start_in(dir, addresses, 1);
    client.write(&frame(&Request::Ping(1)));
    let closed = client.wait(client.connection.closed());
    assert_eq!(closed, quinn::ConnectionError::Reset);
    assert!(edge.events.try_recv().is_err());
}

#[test]
fn connections_behind_one_address_reach_their_shards() {
    let edge = TestEdge::start_in(Arc::new(tempfile::tempdir().unwrap()), free(), 2);
    let (to, hello) = (edge.quic(), edge.hello());
    let config = quic_client::config(&edge.certificate(), |_| {});
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let connections = runtime.block_on(async {
        let mut endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        endpoint.set_default_client_config(config);
        let mut connections = Vec::new();
        for _ in 0..10 {
            let connection = endpoint.connect(to, "localhost").unwrap().await.unwrap();
            let (mut control, answers) = connection.open_bi().await.unwrap();
            control.write_all(&hello).await.unwrap();
            connections.push((connection, control, answers));
        }
        for number in 0..20 {
            for (_, control, _) in &mut connections {
                control
                    .write_all(&frame(&Request::Ping(number)))
                    .await
                    .unwrap();
            }
        }
        connections
    });
    let (mut shards, mut pings) = ([0, 0], 0);
    while pings < 200 {
        match edge.shard_event() {
            (shard, Event::Connected { .. }) => shards[usize::from(shard)] += 1,
            (_, Event::Frame { .. }) => pings += 1,
            (_, other) => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(shards[0] + shards[1], 10, "{shards:?}");
    drop(connections);
}
