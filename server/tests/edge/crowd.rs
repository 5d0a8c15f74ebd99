//! After a restart everybody comes back at once.

use std::net::SocketAddr;

use skein_server::edge::event::Event;

use crate::harness::TestEdge;
use crate::quic_client;

/// More than may shake hands without proving their address.
const CLIENTS: usize = 60;

#[test]
fn a_crowd_of_handshakes_gets_in() {
    let edge = TestEdge::start();
    let (to, hello) = (edge.quic(), edge.hello());
    let config = quic_client::config(&edge.certificate(), |_| {});
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let connections = runtime.block_on(async {
        let mut endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        endpoint.set_default_client_config(config);
        let connecting: Vec<_> = (0..CLIENTS)
            .map(|_| endpoint.connect(to, "localhost").unwrap())
            .collect();
        let mut connections = Vec::new();
        for connecting in connecting {
            let connection = connecting.await.unwrap();
            let (mut control, _answers) = connection.open_bi().await.unwrap();
            control.write_all(&hello).await.unwrap();
            connections.push((connection, control));
        }
        // What is written leaves while somebody waits.
        tokio::time::timeout(crate::harness::PATIENCE, async {
            while edge.with(|edge| edge.stats().quic.greeted) < CLIENTS as u64 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        connections
    });
    for _ in 0..CLIENTS {
        assert!(matches!(edge.event(), Event::Connected { .. }));
    }
    drop(connections);
}
