//! Brings the demo up, waits for its end, sums it up.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use skein_client::connect::ConnectOptions;
use skein_client::trust::Trust;
use skein_engine::request::ChatRequest;
use skein_engine::rights::Rights;
use skein_wire::ids::{ChatName, UserName};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::access::signer::TokenSigner;
use crate::app::running::Running;
use crate::app::server::Server;
use crate::config::settings::Config;
use crate::demo::party::{look, walk};
use crate::demo::stopwatch::{Figures, Stopwatch};
use crate::demo::walker::Walker;
use crate::interrupt::Interrupt;
use crate::terminal::out;

/// The chat of the demo.
const CHAT: &str = "demo";
/// The member that everybody may be who wants to look.
const GUEST: &str = "you";
/// The member behind the table.
const VIEWER: &str = "table";
/// Life of the tokens, seconds.
const TOKEN_TTL_S: u64 = 24 * 60 * 60;
/// How long the end may take.
const END_DEADLINE: Duration = Duration::from_secs(20);

/// Runs the demo until Ctrl-C (or SIGTERM) or for `duration`.
///
/// # Errors
/// When the server cannot start, or a walker or the viewer fails for good.
pub fn run(walkers: usize, duration: Option<Duration>) -> anyhow::Result<()> {
    let data = tempfile::Builder::new()
        .prefix("skein-demo-")
        .tempdir()
        .context("a directory")?;
    let config = config(data.path());
    let server = Server::start(&config)?;
    let demo = Demo::new(&config, server)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("demo")
        .enable_all()
        .build()?;
    let played = runtime.block_on(demo.play(walkers, duration));
    runtime.shutdown_timeout(Duration::from_secs(1));
    let stopped = demo.server.stop();
    // What went wrong first is told first.
    let figures = played?;
    stopped?;
    Ok(out::say(summary(walkers, figures))?)
}

/// A server on free ports of this machine, with one partition: one chat needs no more.
fn config(data: &std::path::Path) -> Config {
    let mut config = Config {
        data_dir: data.to_owned(),
        dev: true,
        ..Config::default()
    };
    config.shards.partitions = 1;
    config.listen.quic.set_port(0);
    config.listen.http.set_port(0);
    config.listen.control.set_port(0);
    config
}

fn summary(walkers: usize, figures: Figures) -> String {
    let Figures {
        shared,
        delivered,
        p50_us,
        p99_us,
    } = figures;
    format!(
        "{walkers} walkers shared {shared} points, {delivered} reached the viewer; \
         latency p50 {:.2} ms, p99 {:.2} ms",
        p50_us as f64 / 1e3,
        p99_us as f64 / 1e3
    )
}

struct Demo {
    server: Server,
    signer: TokenSigner,
    chat: ChatName,
}

impl Demo {
    fn new(config: &Config, server: Server) -> anyhow::Result<Self> {
        let signer = TokenSigner::open_or_create(&config.keys_dir().join("token.pem"))?;
        Ok(Self {
            server,
            signer,
            chat: ChatName::new(CHAT)?,
        })
    }

    async fn play(&self, walkers: usize, duration: Option<Duration>) -> anyhow::Result<Figures> {
        let mut interrupt = Interrupt::listen().context("SIGINT and SIGTERM")?;
        self.admit(GUEST).await?;
        self.admit(VIEWER).await?;
        self.say_where_to_look()?;
        let stopwatch = Arc::new(Stopwatch::default());
        let (ring, end) = watch::channel(false);
        let mut walking = JoinSet::new();
        for number in 0..walkers {
            let walker = Walker::new(number, 1);
            self.admit(walker.name()).await?;
            let options = self.options(walker.name())?;
            let (chat, stopwatch) = (self.chat.clone(), stopwatch.clone());
            let clock = self.server.clock();
            walking.spawn(walk(walker, chat, options, stopwatch, clock, end.clone()));
        }
        let options = self.options(VIEWER)?;
        let mut looking = JoinSet::new();
        looking.spawn(look(self.chat.clone(), options, stopwatch.clone(), end));
        wait_for_end(duration, &mut interrupt, &mut walking, &mut looking).await?;
        // Points that were shared a moment ago still arrive.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let figures = stopwatch.figures();
        let _ = ring.send(true);
        let everybody = async {
            while let Some(walked) = walking.join_next().await {
                walked.context("a walker")??;
            }
            while let Some(looked) = looking.join_next().await {
                looked.context("the viewer")??;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(END_DEADLINE, everybody)
            .await
            .context("the end took too long")??;
        Ok(figures)
    }

    async fn admit(&self, user: &str) -> anyhow::Result<()> {
        let (chat, user) = (self.chat.clone(), UserName::new(user)?);
        let request = ChatRequest::PutMember {
            chat,
            user,
            rights: Rights::ALL.bits(),
            expected: None,
        };
        self.server
            .gateway()
            .ask(request)
            .await
            .context("the server is gone")??;
        Ok(())
    }

    fn token(&self, user: &str) -> anyhow::Result<String> {
        let now_ms = self.server.clock().now_ms();
        Ok(self
            .signer
            .mint(&UserName::new(user)?, TOKEN_TTL_S, now_ms)?)
    }

    fn options(&self, user: &str) -> anyhow::Result<ConnectOptions> {
        let server = format!("quic://{}", self.server.ready().quic).parse()?;
        let mut options = ConnectOptions::new(server, &self.token(user)?);
        // The certificate was made a moment ago, for this process alone.
        options.trust = Trust::Anybody;
        Ok(options)
    }

    fn say_where_to_look(&self) -> anyhow::Result<()> {
        let (ready, token) = (self.server.ready(), self.token(GUEST)?);
        let watch = format!("  skein watch --chat {CHAT} --token $TOKEN --server");
        Ok(out::print(format_args!(
            "Look with your own viewer, over QUIC or WebSocket:\n\n  TOKEN={token}\n\
             {watch} quic://{} --insecure\n{watch} ws://{}\n\n",
            ready.quic, ready.http
        ))?)
    }
}

/// A signal, the end of the time, or a walker or the viewer that fails.
async fn wait_for_end(
    duration: Option<Duration>,
    interrupt: &mut Interrupt,
    walking: &mut JoinSet<anyhow::Result<()>>,
    looking: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let time = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = time => Ok(()),
        () = interrupt.wait() => Ok(()),
        Some(walked) = walking.join_next() => walked.context("a walker")?,
        Some(looked) = looking.join_next() => looked.context("the viewer")?,
    }
}
