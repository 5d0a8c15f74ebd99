//! Kafka: batches to one partition, with and without a flush before the acknowledgement.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use skein_bench::server::now_ms;

use crate::codec::kafka::KafkaClient;
use crate::log_peer::{
    Appended, BATCH_RECORDS, Durability, LogPeer, RECORD_BYTES, RESTART_RECORD_BYTES, Reopen,
};
use crate::peer::Info;
use crate::peers::broker::{self, Broker, Flush};
use crate::process::local;

/// Batches on the way at a time: `max.in.flight.requests.per.connection`.
const IN_FLIGHT: usize = 5;

/// With one replica, 1 and `all` mean the same.
const ACKS: i16 = -1;

/// Time in which a broker that has just started becomes quick: its code is compiled as it runs.
const WARM: Duration = Duration::from_secs(2);

/// The peer.
pub struct Kafka;

/// Appends batches until `goes_on` says no; records acknowledged per second.
fn append(
    client: &mut KafkaClient,
    record_bytes: usize,
    mut goes_on: impl FnMut(u64, Duration) -> bool,
) -> Result<f64> {
    let batch = vec![vec![0x5a; record_bytes]; BATCH_RECORDS];
    let began = Instant::now();
    let mut records = 0;
    while goes_on(records, began.elapsed()) {
        if client.in_flight() == IN_FLIGHT {
            client.acknowledged()?;
        }
        client.produce(&batch, ACKS, now_ms() as i64)?;
        records += BATCH_RECORDS as u64;
    }
    while client.in_flight() > 0 {
        client.acknowledged()?;
    }
    Ok(records as f64 / began.elapsed().as_secs_f64())
}

impl LogPeer for Kafka {
    fn info(&self) -> Info {
        Info {
            name: "kafka",
            title: "Kafka 4.1",
            install: "bench/compare/install.sh kafka",
            settings: broker::SETTINGS,
        }
    }

    fn missing(&self) -> Option<String> {
        broker::missing()
    }

    fn durabilities(&self) -> &'static [Durability] {
        &[Durability::PageCache, Durability::Disk]
    }

    fn append(&self, durability: Durability, time: Duration, folder: &Path) -> Result<Appended> {
        let flush = match durability {
            Durability::Disk => Flush::EachBatch,
            _ => Flush::Never,
        };
        let broker = Broker::start(folder, flush)?;
        let mut client = KafkaClient::connect(local(broker.port))?;
        append(&mut client, RECORD_BYTES, |_, elapsed| elapsed < WARM)?;
        let rate = append(&mut client, RECORD_BYTES, |_, elapsed| elapsed < time);
        rate.map(Appended::from)
    }

    fn fill<'a>(&'a self, bytes: u64, folder: &'a Path) -> Result<Reopen<'a>> {
        let mut broker = Broker::start(folder, Flush::Never)?;
        let port = broker.port;
        let records = bytes / RESTART_RECORD_BYTES as u64;
        let mut client = KafkaClient::connect(local(port))?;
        append(&mut client, RESTART_RECORD_BYTES, |done, _| done < records)?;
        broker.process.kill();
        let open = move || -> Result<f64> {
            let began = Instant::now();
            let mut broker = Broker::spawn(folder, port)?;
            broker.wait()?;
            Ok(began.elapsed().as_secs_f64() * 1e3)
        };
        Ok(Box::new(open))
    }
}
