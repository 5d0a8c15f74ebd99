//! How a run and its workers talk: lines of JSON on the worker's stdin and stdout.

use std::io::{BufRead, Write};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::audience::{AudienceResult, Progress};
use crate::checks::Sent;
use crate::fault::Fault;
use crate::send_result::{SendProgress, SendResult};

/// What a worker is told after its plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// The run begins at this moment of the machine's monotonic clock.
    Go {
        /// Nanoseconds.
        start_ns: u64,
    },
    /// The senders are done; by index what each has sent. Report when everything is here, or
    /// after this time.
    Finish {
        /// Of each sender.
        sent: Vec<Sent>,
        /// Seconds that what is on its way may still take.
        patience_s: f64,
    },
}

/// What a worker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Message {
    /// Everybody is connected.
    Ready,
    /// Where viewers stand.
    Viewing(Progress),
    /// Where senders stand.
    Sending(SendProgress),
    /// The end of a worker with viewers.
    Viewed(Box<AudienceResult>, CoreShare),
    /// The end of a worker with senders.
    SentAll(Box<SendResult>, CoreShare),
    /// It cannot go on, and why.
    Failed(String),
}

/// The share of a core that a process has used while points were sent: 1 = all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoreShare(pub f64);

/// A worker's end.
pub struct Link {
    commands: Receiver<Command>,
}

impl Link {
    /// Reads the plan from stdin and goes on listening there.
    ///
    /// # Errors
    /// When the first line is no plan.
    pub fn open<T: DeserializeOwned>() -> Result<(T, Self), Fault> {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        let plan = serde_json::from_str(&line)
            .map_err(|error| Fault::Plan(format!("the plan on stdin cannot be read: {error}")))?;
        let (sender, commands) = channel();
        // Ends with the process: nothing can interrupt a read of stdin.
        thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                let Ok(command) = serde_json::from_str(&line) else {
                    return;
                };
                if sender.send(command).is_err() {
                    return;
                }
            }
        });
        Ok((plan, Self { commands }))
    }

    /// The next command, if there is one.
    ///
    /// # Errors
    /// When whoever started this worker is gone.
    pub fn heard(&self) -> Result<Option<Command>, Fault> {
        match self.commands.try_recv() {
            Ok(command) => Ok(Some(command)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Fault::Plan(
                "the run has ended before its worker".to_owned(),
            )),
        }
    }

    /// Says something.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub fn say(&self, message: &Message) -> Result<(), Fault> {
        say(message)
    }
}

/// Says something on stdout, also without a plan.
///
/// # Errors
/// When nobody listens any more.
pub fn say(message: &Message) -> Result<(), Fault> {
    let mut line = serde_json::to_string(message).expect("messages are plain data");
    line.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()?;
    Ok(())
}
