//! Nonsense from outside: each kind gets its clear answer, nobody else notices, nothing is lost.

mod corpus;
mod directories;
mod frames;
mod http;
mod start;
mod tokens;

use skein_tests::fleet::Fleet;
use skein_tests::peer::Peer;
use skein_tests::server::Server;
use skein_tests::table::Table;
use skein_tests::wait::{self, PATIENCE};
use skein_wire::request::Delivery;

/// Somebody who shares and somebody who watches, undisturbed by what happens beside them.
pub struct Bystanders {
    fleet: Fleet,
    viewer: Peer,
    table: Table,
}

impl Bystanders {
    /// A small chat at work.
    pub fn start(server: &Server) -> Self {
        let mut fleet = Fleet::start(server, "bystanders", 3);
        server
            .put_member("bystanders", "calm", &["watch"])
            .expect_success("a viewer");
        let mut viewer = Peer::connect(server.ready.http, &server.token("calm"));
        viewer.watch("bystanders", None, Delivery::Every);
        fleet.publish();
        let table = Table::default();
        let mut bystanders = Self {
            fleet,
            viewer,
            table,
        };
        bystanders.assert_unharmed("the beginning");
        bystanders
    }

    /// Another round goes through, and nothing before it was lost.
    pub fn assert_unharmed(&mut self, after: &str) {
        self.fleet.publish();
        let (fleet, viewer, table) = (&self.fleet, &mut self.viewer, &mut self.table);
        wait::until(&format!("bystanders go on after {after}"), PATIENCE, || {
            let newest = fleet.members().all(|member| {
                let row = table.session(member.session);
                row.is_some_and(|row| row.counter == member.counter)
            });
            if !newest {
                table.apply(viewer.batch(PATIENCE).expect("a batch"));
            }
            newest
        });
        for row in table.rows() {
            assert_eq!(row.lost, 0, "{row:?}");
            for pair in row.points.windows(2) {
                assert_eq!(
                    pair[0].counter + 1,
                    pair[1].counter,
                    "each point, in order: {row:?}"
                );
            }
        }
    }
}
