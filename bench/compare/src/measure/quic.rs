//! skein over QUIC and stock quinn as a plain broadcast server, one publication after the other.
//!
//! Over QUIC the loader's half costs as much as the server's, so the server cannot be saturated
//! from one core: what counts is its processor time for each delivery.

use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use anyhow::{Result, anyhow};
use skein_bench::pin;
use skein_bench::quantile::quantile;
use skein_bench::quic_stage::QuicStage;
use skein_bench::quinn_stage::QuinnStage;
use skein_bench::stage::Stage;

use crate::effort::Effort;
use crate::figure::{Figures, Measure};
use crate::peer::Info;
use crate::position::POSITION_BYTES;
use crate::process::{keep_to_loader_core, server_core};

/// Pause between two publications: acknowledgements are done by then.
const PAUSE: Duration = Duration::from_millis(5);

/// One of the two.
#[derive(Clone, Copy, Debug)]
pub enum QuicPeer {
    /// Ours.
    Skein,
    /// Stock quinn.
    Quinn,
}

impl QuicPeer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Skein, Self::Quinn];

    /// Who it is.
    pub fn info(self) -> Info {
        match self {
            Self::Skein => Info {
                name: "skein-quic",
                title: "skein, QUIC datagrams",
                install: "",
                settings: "as over WebSocket; one sender",
            },
            Self::Quinn => Info {
                name: "quinn",
                title: "quinn, plain broadcast of datagrams",
                install: "",
                settings: "one thread; a datagram of 48 bytes to each; quinn's defaults",
            },
        }
    }

    /// Measures it once, into `figures`.
    ///
    /// # Errors
    /// What went wrong, in the words of the bench that it is part of.
    pub fn measure(self, effort: &Effort, figures: &mut Figures) -> Result<()> {
        let work = AssertUnwindSafe(|| self.measure_or_panic(effort, figures));
        let outcome = panic::catch_unwind(work);
        outcome.map_err(|why| {
            let text = why.downcast_ref::<String>().cloned();
            let text = text.or_else(|| why.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            anyhow!(text.unwrap_or_else(|| "it failed without a word".to_owned()))
        })
    }

    fn measure_or_panic(self, effort: &Effort, figures: &mut Figures) {
        let viewers = effort.viewers_quic;
        // The child runs where its parent runs when it is made.
        pin::to(server_core());
        let mut stage: Box<dyn Stage> = match self {
            Self::Skein => Box::new(QuicStage::start(server_core(), viewers, 1)),
            Self::Quinn => Box::new(QuinnStage::start(server_core(), viewers, POSITION_BYTES)),
        };
        keep_to_loader_core();
        let name = self.info().name;
        let (mut first, mut last, mut delivered) = (Vec::new(), Vec::new(), 0);
        let cpu = stage.server_time();
        for _ in 0..effort.publications {
            // Where a datagram was lost the publication has no last viewer; its deliveries count,
            // and the page says how many publications these were.
            if let Some(arrival) = stage.publish(PAUSE, 1) {
                first.push(arrival.first.as_secs_f64() * 1e3);
                last.push(arrival.last.as_secs_f64() * 1e3);
            }
            delivered += stage.delivered();
        }
        let cpu = stage.server_time().saturating_sub(cpu);
        if let Some(bytes) = stage.viewer_bytes() {
            figures.add(name, Measure::MemoryPerViewer, bytes);
        }
        assert!(
            !last.is_empty(),
            "each of {} publications lost a datagram",
            effort.publications
        );
        let whole = last.len() as f64 / effort.publications as f64;
        figures.add(name, Measure::Whole, whole);
        figures.add(name, Measure::FirstViewerP50, quantile(&mut first, 0.5));
        figures.add(name, Measure::LastViewerP50, quantile(&mut last, 0.5));
        figures.add(name, Measure::LastViewerP99, quantile(&mut last, 0.99));
        let per_cpu = delivered as f64 / cpu.as_secs_f64().max(f64::EPSILON);
        figures.add(name, Measure::DeliveredPerCpu, per_cpu);
    }
}
