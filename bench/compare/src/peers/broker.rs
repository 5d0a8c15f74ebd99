//! Kafka: one broker that is its own controller (KRaft).

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::codec::kafka::KafkaClient;
use crate::peer::{peers_folder, program};
use crate::process::{Process, free_port, local};

/// Identity of the cluster: any 16 bytes in the alphabet of base64 for URLs.
const CLUSTER_ID: &str = "c2tlaW4tY29tcGFyZS0xMg";

/// How the broker is set up, for people.
pub const SETTINGS: &str = "Kafka 4.1 (KRaft, one node, Java 17, 1 GB heap, G1 as its scripts \
                            have it), 2 network and 2 I/O threads because there is one core, a \
                            topic with one partition because one chat is one key, no compression; \
                            its controller gives up on a broker after 2 s instead of 9, as it is its \
                            own and waits for that time when it is started again";

/// When the broker syncs a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// When the kernel decides: Kafka's default, which relies on replicas instead.
    Never,
    /// Before each acknowledgement (`log.flush.interval.messages=1`).
    EachBatch,
}

/// A broker that can be started again on the same data.
pub struct Broker {
    /// Its process.
    pub process: Process,
    /// Where clients connect.
    pub port: u16,
}

/// What is missing; `None`: it can be started.
pub fn missing() -> Option<String> {
    if program("java").is_none() {
        return Some("java is not installed".to_owned());
    }
    let has_broker = fs::read_dir(libs()).into_iter().flatten().flatten();
    let mut names = has_broker.map(|entry| entry.file_name());
    let found = names.any(|name| name.to_string_lossy().starts_with("kafka_2.13-"));
    (!found).then(|| format!("no Kafka in {}", libs().display()))
}

impl Broker {
    /// Makes the data and starts a broker on it; returns when the topic can be written to.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(folder: &Path, flush: Flush) -> Result<Self> {
        let (port, controller) = (free_port()?, free_port()?);
        let config = write_config(folder, flush, port, controller)?;
        format(&config)?;
        let mut broker = Self::spawn(folder, port)?;
        broker.wait()?;
        Ok(broker)
    }

    /// Starts a broker on data that is there, and does not wait.
    ///
    /// # Errors
    /// If Java is not installed.
    pub fn spawn(folder: &Path, port: u16) -> Result<Self> {
        let mut command = java()?;
        command.extend(["kafka.Kafka".into(), config_path(folder).into()]);
        let process = Process::start("kafka", command, folder)?;
        Ok(Self { process, port })
    }

    /// Waits until the topic can be written to: it has a leader, and that one knows of it, too.
    ///
    /// # Errors
    /// If it ends before.
    pub fn wait(&mut self) -> Result<()> {
        let port = self.port;
        self.process.wait_until(|| {
            let mut client = KafkaClient::connect(local(port))?;
            Ok(client.topic_is_ready()? && client.fetch_at_once().is_ok())
        })
    }
}

fn libs() -> PathBuf {
    peers_folder().join("kafka").join("libs")
}

fn config_path(folder: &Path) -> PathBuf {
    folder.join("kafka.properties")
}

/// Java with the broker's archives, and the options of Kafka's own scripts.
fn java() -> Result<Vec<OsString>> {
    let java = program("java").context("java is not installed")?;
    let mut class_path = libs().into_os_string();
    class_path.push("/*");
    let options = [
        "-Xms1g",
        "-Xmx1g",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:InitiatingHeapOccupancyPercent=35",
        "-Djava.awt.headless=true",
        "-Dlog4j2.level=ERROR",
    ];
    let mut command: Vec<OsString> = vec![java.into()];
    command.extend(options.map(OsString::from));
    command.extend(["-cp".into(), class_path]);
    Ok(command)
}

fn write_config(folder: &Path, flush: Flush, port: u16, controller: u16) -> Result<PathBuf> {
    let data = folder.join("kafka-data");
    let flush = match flush {
        Flush::Never => "",
        Flush::EachBatch => "log.flush.interval.messages=1\n",
    };
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         log.dirs={}\nnum.partitions=1\nauto.create.topics.enable=true\n\
         default.replication.factor=1\noffsets.topic.replication.factor=1\n\
         num.network.threads=2\nnum.io.threads=2\n\
         broker.session.timeout.ms=2000\nbroker.heartbeat.interval.ms=500\n{flush}",
        data.display()
    );
    let path = config_path(folder);
    fs::write(&path, text)?;
    Ok(path)
}

/// Makes the data directory, as each Kafka needs once.
fn format(config: &Path) -> Result<()> {
    let mut command = java()?;
    let tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"];
    command.extend(tool.map(OsString::from));
    command.push(config.into());
    let output = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .output()
        .context("starting Kafka's storage tool")?;
    ensure!(
        output.status.success(),
        "Kafka's storage tool failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
