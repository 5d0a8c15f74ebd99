//! The janitor in threads of its own, one for each of its parts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::janitor::keeper::Keeper;
use crate::janitor::part::Part;
use crate::janitor::preparer::Preparer;
use crate::janitor::syncer::Syncer;
use crate::janitor::{Alive, Janitor};
use crate::limits::HOUSEKEEPING_INTERVAL_MS;
use crate::shared::{Shared, Worker};
use crate::work_report::WorkReport;

/// The janitor in threads of its own: three, so that neither a sync nor the removal of a file
/// stands in the way of what writers need next.
///
/// ```
/// use std::time::{SystemTime, UNIX_EPOCH};
/// use skein_log::{JanitorThread, Log, MemoryStorage, Options, PartitionId, Record};
///
/// let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as u64);
/// let options = Options { partitions: 1, ..Options::default() };
/// let (mut log, _) = Log::open(MemoryStorage::new(), options, now(), 42)?; // Or `Log::open_dir`.
/// let (told, durable) = std::sync::mpsc::channel();
/// log.on_durable(Box::new(move |_, offset| told.send(offset).unwrap_or_default()));
/// let janitor = log.take_janitor().expect("taken once");
/// let thread = JanitorThread::spawn(janitor, now, |report| {
///     for failure in &report.failures {
///         eprintln!("{failure}");
///     }
/// })?;
///
/// let mut writer = log.take_writer(PartitionId(0)).expect("taken once");
/// writer.append(now(), &[Record { payload: b"promise", ..Record::default() }])?;
/// writer.request_sync();
/// assert_eq!(durable.recv()?, 1);
///
/// drop((writer, thread.stop()));
/// log.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct JanitorThread {
    stop: Arc<AtomicBool>,
    syncer: JoinHandle<Syncer>,
    preparer: JoinHandle<Preparer>,
    keeper: JoinHandle<Keeper>,
    alive: Arc<Alive>,
}

impl JanitorThread {
    /// Runs the janitor with the caller's clock (ms). `observe` sees the report of each step of each
    /// thread.
    pub fn spawn(
        janitor: Janitor,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
        observe: impl Fn(&WorkReport) + Send + Sync + 'static,
    ) -> io::Result<JanitorThread> {
        let Janitor {
            syncer,
            preparer,
            keeper,
            alive,
        } = janitor;
        let runner = Runner {
            alive,
            stop: Arc::new(AtomicBool::new(false)),
            clock: Arc::new(clock),
            observe: Arc::new(observe),
        };
        let started = || {
            let threads = JanitorThread {
                syncer: runner.start(syncer, Worker::Syncer)?,
                preparer: runner.start(preparer, Worker::Preparer)?,
                keeper: runner.start(keeper, Worker::Keeper)?,
                stop: Arc::clone(&runner.stop),
                alive: Arc::clone(&runner.alive),
            };
            runner.alive.0.janitor_runs.store(true, Ordering::Release);
            Ok(threads)
        };
        started().inspect_err(|_| stop(&runner.stop, &runner.alive.0))
    }

    /// Ends the threads after their current steps and gives the janitor back.
    ///
    /// # Panics
    ///
    /// If one of the janitor's threads has panicked.
    pub fn stop(self) -> Janitor {
        stop(&self.stop, &self.alive.0);
        Janitor {
            syncer: ended(self.syncer),
            preparer: ended(self.preparer),
            keeper: ended(self.keeper),
            alive: self.alive,
        }
    }
}

fn ended<P>(thread: JoinHandle<P>) -> P {
    thread.join().expect("the janitor does not panic")
}

fn stop(flag: &AtomicBool, shared: &Shared) {
    shared.janitor_runs.store(false, Ordering::Release);
    flag.store(true, Ordering::Release);
    for worker in Worker::ALL {
        shared.wake(worker);
    }
}

/// What the threads have in common.
struct Runner<C, O> {
    alive: Arc<Alive>,
    stop: Arc<AtomicBool>,
    clock: Arc<C>,
    observe: Arc<O>,
}

impl<C, O> Runner<C, O>
where
    C: Fn() -> u64 + Send + Sync + 'static,
    O: Fn(&WorkReport) + Send + Sync + 'static,
{
    fn start<P>(&self, mut part: P, worker: Worker) -> io::Result<JoinHandle<P>>
    where
        P: Part + Send + 'static,
    {
        let (alive, stop) = (Arc::clone(&self.alive), Arc::clone(&self.stop));
        let (clock, observe) = (Arc::clone(&self.clock), Arc::clone(&self.observe));
        let builder = thread::Builder::new().name(worker.thread_name().to_owned());
        let thread = builder.spawn(move || {
            // Held as long as the thread may do something.
            let _alive = alive;
            while !stop.load(Ordering::Acquire) {
                let mut report = WorkReport::default();
                part.step(clock(), &mut report);
                report.next_due_ms = part.due_ms();
                observe(&report);
                let wait = report.next_due_ms.saturating_sub(clock());
                let wait = wait.clamp(1, HOUSEKEEPING_INTERVAL_MS);
                thread::park_timeout(Duration::from_millis(wait));
            }
            part
        })?;
        let shared = &self.alive.0;
        shared.set_worker_thread(worker, thread.thread().clone());
        Ok(thread)
    }
}
