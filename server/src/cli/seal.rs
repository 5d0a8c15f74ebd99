//! `skein seal`: keys for end-to-end encryption, and chats that take nothing else.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::json;
use skein_client::seal::envelope::TEXT_PREFIX;
use skein_client::seal::key::SealKey;
use skein_client::seal::key_ring::KeyRing;
use skein_client::seal::suite::Suite;
use skein_wire::ids::ChatName;

use crate::access::error::AccessError;
use crate::access::secret_file;
use crate::cli::api::{ControlApi, ControlArgs, segment};
use crate::terminal::{key_file, out};

/// Bytes of a line on stdin: longer than any key.
const KEY_TEXT_BYTES_MAX: u64 = 4 * 1024;

/// Arguments of `skein seal`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skein seal new --chat hike hike.keys
  skein share --chat hike --seal hike.keys …
  skein watch --chat hike --seal hike.keys …
  skein seal rotate --chat hike hike.keys
  skein seal add hike.keys < key.txt
  skein seal show hike.keys
  skein seal chat --chat hike only

A file of keys has a key a line. A line is what members send each other, inside of the chat's own
encrypted messages: the server must never see it. Files must be closed to others (mode 0600), and
running commands see within a second what is added to them. When somebody leaves, `rotate` adds a
key that the others get and the one who left does not.")]
pub struct SealArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a file with the first key of a chat.
    New {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// How points are sealed.
        #[arg(long, value_enum, default_value_t = SuiteArg::AesCtrHmac80)]
        suite: SuiteArg,
        /// The file; it must not be there yet.
        file: PathBuf,
    },
    /// Add a key of the next epoch; senders use it from then on.
    Rotate {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// The file.
        file: PathBuf,
    },
    /// Add a key that a member has sent: a line on stdin.
    Add {
        /// The file; made where it is not there yet.
        file: PathBuf,
    },
    /// Print what keys a file has, one a line: chat, session, epoch, suite, fingerprint.
    Show {
        /// The file.
        file: PathBuf,
    },
    /// Say whether a chat takes sealed sessions only.
    Chat {
        /// The chat.
        #[arg(long)]
        chat: ChatName,
        /// `only` ends its plain sessions and lets none begin; `show` asks.
        #[arg(value_enum)]
        sealing: SealingArg,
        /// The server.
        #[command(flatten)]
        control: ControlArgs,
    },
}

/// Suites by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SuiteArg {
    /// AES-128-CTR with HMAC-SHA-256, tags of 10 bytes.
    #[value(name = "aes-ctr-hmac-80")]
    AesCtrHmac80,
    /// The same with tags of 8 bytes: the smallest points.
    #[value(name = "aes-ctr-hmac-64")]
    AesCtrHmac64,
    /// AES-128-GCM, tags of 16 bytes.
    #[value(name = "aes-gcm-128")]
    AesGcm128,
}

impl From<SuiteArg> for Suite {
    fn from(arg: SuiteArg) -> Self {
        match arg {
            SuiteArg::AesCtrHmac80 => Self::CtrHmac80,
            SuiteArg::AesCtrHmac64 => Self::CtrHmac64,
            SuiteArg::AesGcm128 => Self::Gcm128,
        }
    }
}

/// What a chat takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SealingArg {
    /// Sealed sessions only.
    Only,
    /// Plain sessions as well.
    Any,
    /// Ask.
    Show,
}

/// Runs `skein seal`.
///
/// # Errors
/// When a file or a key is no good, or what the server says.
pub fn run(args: SealArgs) -> anyhow::Result<()> {
    match args.verb {
        Verb::New { chat, suite, file } => new(chat, suite.into(), &file),
        Verb::Rotate { chat, file } => rotate(&chat, &file),
        Verb::Add { file } => add(&file),
        Verb::Show { file } => show(&file),
        Verb::Chat {
            chat,
            sealing,
            control,
        } => set(&chat, sealing, &control),
    }
}

fn new(chat: ChatName, suite: Suite, file: &Path) -> anyhow::Result<()> {
    let key = SealKey::random(chat, None, 1, suite)?;
    match secret_file::write_once(file, text(std::slice::from_ref(&key)).as_bytes()) {
        Err(AccessError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::AlreadyExists =>
        {
            bail!(
                "{} is there already; `skein seal rotate` adds a key to it",
                file.display()
            )
        }
        made => made?,
    }
    say(&key)
}

fn rotate(chat: &ChatName, file: &Path) -> anyhow::Result<()> {
    let ring = key_file::read(file)?;
    let of_chat = ring.keys().iter();
    let newest = of_chat
        .filter(|key| key.chat() == chat && key.session().is_none())
        .max_by_key(|key| key.epoch())
        .with_context(|| format!("{} has no key of {chat}", file.display()))?;
    let epoch = newest.epoch().checked_add(1).context("no epoch is left")?;
    let key = SealKey::random(chat.clone(), None, epoch, newest.suite())?;
    put(file, ring, &key)?;
    say(&key)
}

fn add(file: &Path) -> anyhow::Result<()> {
    let mut line = String::new();
    let mut first = std::io::stdin().lock().take(KEY_TEXT_BYTES_MAX);
    first
        .read_line(&mut line)
        .context("cannot read the key from stdin")?;
    let key = SealKey::from_text(&line).map_err(anyhow::Error::msg)?;
    match file.exists() {
        true => put(file, key_file::read(file)?, &key)?,
        false => secret_file::write_once(file, text(std::slice::from_ref(&key)).as_bytes())?,
    }
    say(&key)
}

fn put(file: &Path, mut ring: KeyRing, key: &SealKey) -> anyhow::Result<()> {
    ring.insert(key.clone()).map_err(anyhow::Error::msg)?;
    Ok(secret_file::replace(file, text(ring.keys()).as_bytes())?)
}

fn show(file: &Path) -> anyhow::Result<()> {
    for key in key_file::read(file)?.keys() {
        say(key)?;
    }
    Ok(())
}

/// What may be known of a key.
fn say(key: &SealKey) -> anyhow::Result<()> {
    let session = match key.session() {
        Some(session) => session.to_string(),
        None => "every session".to_owned(),
    };
    Ok(out::say(format_args!(
        "{}\t{session}\tepoch {}\t{}\t{}",
        key.chat(),
        key.epoch(),
        key.suite().name(),
        key.fingerprint()
    ))?)
}

/// The content of a file.
fn text(keys: &[SealKey]) -> String {
    let mut text = format!(
        "# Keys of sealed chats, one a line; a line begins with {TEXT_PREFIX}\n# Whoever has one can read the points of its epoch.\n"
    );
    for key in keys {
        text += &key.to_text();
        text.push('\n');
    }
    text
}

fn set(chat: &ChatName, sealing: SealingArg, control: &ControlArgs) -> anyhow::Result<()> {
    let path = format!("/v1/chats/{}/settings", segment(chat.as_str()));
    let api = ControlApi::new(control)?;
    let sealed = match sealing {
        SealingArg::Show => {
            let answer = api.call(Method::GET, &path, None)?;
            answer["sealed"] == true
        }
        SealingArg::Only | SealingArg::Any => {
            let sealed = sealing == SealingArg::Only;
            api.call(Method::PUT, &path, Some(json!({ "sealed": sealed })))?;
            sealed
        }
    };
    let takes = match sealed {
        true => "sealed sessions only",
        false => "plain and sealed sessions",
    };
    Ok(out::say(format_args!("{chat} takes {takes}"))?)
}
