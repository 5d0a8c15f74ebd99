//! `skein token`: makes a token for a user.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use skein_engine::grid::Grid;
use skein_engine::guest::is_guest;
use skein_wire::ids::{ChatName, UserName};

use crate::access::claims::{ChatClaim, ClaimedRight, GridClaim, TOKEN_AUDIENCE};
use crate::access::key_set::TOKEN_KEY_FILE;
use crate::access::public_key_file;
use crate::access::signer::{TokenSigner, TokenSpec};
use crate::cli::grid_arg;
use crate::clock::Clock;
use crate::terminal::out;
use crate::text::duration;

/// Arguments of `skein token`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  skein token --user ana --data-dir skein-data
  skein token --user ana --ttl 15m --key /etc/skein/token.pem
  skein token --user ana --data-dir skein-data --chat hike=share,watch
  skein token --user ben --data-dir skein-data --chat hike=watch --grid 1000
  skein token --user relay-eu --relay --ttl 30d --data-dir skein-data
  skein token --public-key --data-dir skein-data
  skein token --public-key --data-dir skein-data --out relay-data/keys/trusted

The token goes to stdout and works while `skein serve` runs on the data directory. With --public-key no
token is made: the public half of the key goes to stdout and its id (KID) to stderr, for those who are to
trust its tokens, in keys/trusted/KID.pem of their data directory; --out DIR writes DIR/KID.pem.")]
pub struct TokenArgs {
    /// The user it is for.
    #[arg(long, required_unless_present = "public_key", value_parser = user)]
    pub user: Option<UserName>,
    /// Print the public half of the key, and its id, instead of a token.
    #[arg(long, conflicts_with_all = ["user", "chats", "relay"])]
    pub public_key: bool,
    /// Write the public half to DIR/KID.pem; the directory is made if need be.
    #[arg(long, value_name = "DIR", requires = "public_key")]
    pub out: Option<PathBuf>,
    /// How long it is good for.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration::parse_some)]
    pub ttl: Duration,
    /// The server's data directory; its key signs the token.
    #[arg(long, value_name = "DIR", required_unless_present = "key")]
    pub data_dir: Option<PathBuf>,
    /// An Ed25519 private key (PKCS#8 PEM) that signs the token instead.
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    pub key: Option<PathBuf>,
    /// The server's `access.audience`.
    #[arg(long, value_name = "NAME", default_value = TOKEN_AUDIENCE)]
    pub audience: String,
    /// The server's `access.issuer`, if it has one.
    #[arg(long, value_name = "NAME")]
    pub issuer: Option<String>,
    /// Rights in a chat, for a server that takes them from tokens: CHAT=share,watch. May be repeated.
    #[arg(long = "chat", value_name = "CHAT=RIGHTS", value_parser = claim)]
    pub chats: Vec<(String, Vec<ClaimedRight>)>,
    /// Show places in those chats on a grid with cells of so many metres.
    #[arg(long, value_name = "METRES", requires = "chats", value_parser = grid_arg::parse)]
    pub grid: Option<Grid>,
    /// The bearer is a relay: it may watch every chat, and learns who the members are.
    #[arg(long, conflicts_with = "chats")]
    pub relay: bool,
}

fn chat_claim(rights: Vec<ClaimedRight>, grid: Option<Grid>) -> ChatClaim {
    match grid.filter(|_| rights.contains(&ClaimedRight::Watch)) {
        Some(grid) => ChatClaim::OnGrid(GridClaim {
            rights,
            grid_m: grid.metres(),
        }),
        None => ChatClaim::Rights(rights),
    }
}

/// A name that a token may have: those of guests are a server's to give.
fn user(text: &str) -> Result<UserName, String> {
    let name = UserName::new(text).map_err(|error| error.text.into_owned())?;
    match is_guest(&name) {
        true => Err(
            "a server refuses tokens of users whose names begin with `guest:`; choose another name"
                .to_owned(),
        ),
        false => Ok(name),
    }
}

fn claim(text: &str) -> Result<(String, Vec<ClaimedRight>), String> {
    let bad = || "write CHAT=share, CHAT=watch or CHAT=share,watch".to_owned();
    let (chat, rights) = text.rsplit_once('=').ok_or_else(bad)?;
    ChatName::new(chat).map_err(|error| error.text.into_owned())?;
    let rights = rights.split(',').map(|right| match right {
        "share" => Ok(ClaimedRight::Share),
        "watch" => Ok(ClaimedRight::Watch),
        _ => Err(bad()),
    });
    Ok((chat.to_owned(), rights.collect::<Result<_, _>>()?))
}

/// Runs `skein token`.
///
/// # Errors
/// When there is no key to sign with.
pub fn run(args: TokenArgs) -> anyhow::Result<()> {
    let signer = match (args.key, args.data_dir) {
        (Some(key), _) => TokenSigner::open(&key)?,
        (None, dir) => {
            let dir = dir.context("name --data-dir or --key")?;
            TokenSigner::open(&dir.join("keys").join(TOKEN_KEY_FILE))
                .context("the data directory has no token key; `skein serve --dev` makes one at its first start, `openssl genpkey -algorithm ed25519 -out DIR/keys/token.pem` at any time")?
        }
    };
    if args.public_key {
        return tell_public_key(&signer, args.out.as_deref());
    }
    let user = args.user.context("name --user")?;
    let now_ms = Clock::start().now_ms();
    let spec = TokenSpec {
        user: &user,
        ttl_s: args.ttl.as_secs(),
        audience: &args.audience,
        issuer: args.issuer.as_deref(),
        is_relay: args.relay,
        chats: (!args.chats.is_empty()).then(|| {
            let chats = args.chats.into_iter();
            chats
                .map(|(chat, rights)| (chat, chat_claim(rights, args.grid)))
                .collect()
        }),
    };
    Ok(out::say(signer.sign(&spec, now_ms)?)?)
}

fn tell_public_key(signer: &TokenSigner, out: Option<&Path>) -> anyhow::Result<()> {
    let kid = signer.kid();
    let Some(dir) = out else {
        out::say(signer.public_pem().trim_end())?;
        eprintln!("KID {kid}: who is to trust its tokens keeps it as keys/trusted/{kid}.pem");
        return Ok(());
    };
    let path = public_key_file::write_named(dir, signer)?;
    Ok(out::say(path.display())?)
}
