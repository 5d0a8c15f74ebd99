//! What the kernel says about a process and its sockets.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Resident memory of a process in bytes.
pub fn resident_bytes(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:") * 1024
}

/// Memory of a process that is its own: without mapped files, in bytes.
pub fn anonymous_bytes(pid: u32) -> u64 {
    status_kib(pid, "RssAnon:") * 1024
}

fn status_kib(pid: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = text.lines().find(|line| line.starts_with(key));
    let value = line.and_then(|line| line.split_whitespace().nth(1));
    value
        .and_then(|text| text.parse().ok())
        .expect("a figure in KiB")
}

/// Files that a process has mapped so that what it stores goes into them.
pub fn mapped_files(pid: u32) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/maps")).expect("a running process");
    let shared = text.lines().filter(|line| {
        let mode = line.split_whitespace().nth(1).unwrap_or_default();
        mode.contains('w') && mode.ends_with('s')
    });
    let path = |line: &str| line.find('/').map(|at| PathBuf::from(&line[at..]));
    let mut files: Vec<PathBuf> = shared.filter_map(path).collect();
    files.dedup();
    files
}

/// Processor time that a process has used, user and system, all threads.
pub fn cpu_time(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    // The name in parentheses may hold blanks; what follows it does not.
    let (_, rest) = text.rsplit_once(')').expect("a name in parentheses");
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().expect("ticks");
    let hertz = rustix::param::clock_ticks_per_second();
    Duration::from_secs_f64((ticks(11) + ticks(12)) as f64 / hertz as f64)
}

/// How often the threads of a process went to sleep, which is how often they were woken.
///
/// # Panics
/// If there is no such process.
pub fn wake_ups(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("a running process");
    let of_thread = |text: String| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse::<u64>().ok())
    };
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok())
        .filter_map(of_thread)
        .sum()
}

/// Bytes that wait in the kernel in the TCP sockets of one port, as seen from the server: sent
/// and not yet read by the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// Sockets with this local port.
    pub sockets: u64,
    /// In their send queues.
    pub send_bytes: u64,
    /// In the receive queues of the other ends (same machine).
    pub receive_bytes: u64,
}

/// Adds up the queues of all connections to the local server port `port`.
pub fn tcp_queued(port: u16) -> Queued {
    let text = fs::read_to_string("/proc/net/tcp").expect("the kernel's socket table");
    let mut queued = Queued::default();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let has_port = |field: &str| {
            let port_text = field.rsplit(':').next().unwrap_or("");
            u16::from_str_radix(port_text, 16) == Ok(port)
        };
        let (send, receive) = fields[4].split_once(':').expect("two queues");
        let bytes = |text: &str| u64::from_str_radix(text, 16).unwrap_or(0);
        // State 01 is an established connection.
        if fields[3] == "01" && has_port(fields[1]) {
            queued.sockets += 1;
            queued.send_bytes += bytes(send);
        } else if fields[3] == "01" && has_port(fields[2]) {
            queued.receive_bytes += bytes(receive);
        }
    }
    queued
}

/// Bytes that wait in the kernel in the UDP sockets of one local port, both directions.
pub fn udp_queued(port: u16) -> u64 {
    let text = fs::read_to_string("/proc/net/udp").expect("the kernel's socket table");
    let own = |line: &&str| local_port(line) == Some(port);
    let queues = |line: &str| line.split_whitespace().nth(4).map(str::to_owned);
    let found = text.lines().skip(1).filter(own).filter_map(queues);
    let bytes = |text: &str| u64::from_str_radix(text, 16).unwrap_or(0);
    found
        .map(|pair| pair.split(':').map(bytes).sum::<u64>())
        .sum()
}

fn local_port(line: &str) -> Option<u16> {
    let address = line.split_whitespace().nth(1)?;
    u16::from_str_radix(address.rsplit(':').next()?, 16).ok()
}
