//! Command lines that are refused, and what is said.

use crate::bad_input::BadInput;

/// Input: the arguments; `DIR` is an empty directory, `CLOSED` an address where nobody listens.
/// Code: the exit code.
pub const BAD_COMMANDS: &[BadInput] = &[
    BadInput::new("no subcommand", "", "2", "Usage: skein <COMMAND>"),
    BadInput::new(
        "a subcommand that is not known",
        "fly",
        "2",
        "unrecognized subcommand 'fly'",
    ),
    BadInput::new(
        "a flag that is not known",
        "serve --colour red",
        "2",
        "unexpected argument '--colour'",
    ),
    BadInput::new(
        "a token for nobody",
        "token --data-dir DIR",
        "2",
        "--user <USER>",
    ),
    BadInput::new(
        "a token with an empty user",
        "token --data-dir DIR --user=",
        "2",
        "1 to 128 bytes",
    ),
    BadInput::new(
        "a token without any time",
        "token --user ana --data-dir DIR --ttl 0",
        "2",
        "`0` is no time at all",
    ),
    BadInput::new(
        "a token without a key",
        "token --user ana --data-dir DIR",
        "1",
        "`skein serve --dev` makes one",
    ),
    BadInput::new(
        "a duration that is none",
        "token --user ana --data-dir DIR --ttl soon",
        "2",
        "write 90s, 15m, 8h or 1h30m",
    ),
    BadInput::new(
        "a configuration file that is not there",
        "serve --config DIR/none.toml",
        "1",
        "check the path given to --config",
    ),
    BadInput::new(
        "an address that is none",
        "serve --dev --data-dir DIR --http localhost:0",
        "2",
        "write IP:PORT, as 127.0.0.1:4433",
    ),
    BadInput::new(
        "a list of cores that is none",
        "serve --dev --data-dir DIR --cores x",
        "2",
        "write `auto`, `0`, `0-1` or `0,2-3`",
    ),
    BadInput::new(
        "dev mode for others than this machine",
        "serve --dev --data-dir DIR --quic 0.0.0.0:0",
        "1",
        "not a loopback address",
    ),
    BadInput::new(
        "no certificate outside of dev mode",
        "serve --data-dir DIR",
        "1",
        "use --dev for a self-signed one",
    ),
    BadInput::new(
        "a server that is not there",
        "member list --chat hike --control CLOSED",
        "1",
        "is `skein serve` running",
    ),
    BadInput::new(
        "a control address that is none",
        "member list --chat hike --control nowhere",
        "2",
        "write HOST:PORT",
    ),
    BadInput::new(
        "a viewer that trusts nobody",
        "watch --chat hike --token t --server quic://CLOSED",
        "1",
        "nothing says which certificate of the server to trust",
    ),
    BadInput::new(
        "a grid of a size that there is not",
        "member add --chat hike --user ana --grid 333",
        "2",
        "write one of [10, 20, 50,",
    ),
    BadInput::new(
        "a right that is none",
        "member add --chat hike --user ana --rights fly",
        "2",
        "[possible values: share, watch]",
    ),
    BadInput::new(
        "a chat without a name",
        "member add --chat= --user ana",
        "2",
        "1 to 128 bytes",
    ),
    BadInput::new(
        "a member without a name",
        "member add --chat hike --user=",
        "2",
        "1 to 128 bytes",
    ),
    BadInput::new(
        "a session without any time",
        "session start --chat hike --user ana --duration 0",
        "2",
        "`0` is no time at all",
    ),
    BadInput::new(
        "a link without any time",
        "guest create --chat hike --ttl 0s",
        "2",
        "`0s` is no time at all",
    ),
    BadInput::new(
        "a link's id that is none",
        "guest revoke --chat hike --guest 7",
        "2",
        "16 hexadecimal digits",
    ),
    BadInput::new(
        "a share without any time",
        "share --chat hike --token t --server quic://CLOSED --insecure --gpx DIR/none.gpx --duration 0",
        "2",
        "`0` is no time at all",
    ),
    BadInput::new(
        "a history of a chat without a name",
        "history query --chat=",
        "2",
        "1 to 128 bytes",
    ),
    BadInput::new(
        "a session id that is none",
        "session stop --chat hike --session 7",
        "2",
        "16 hexadecimal digits",
    ),
    BadInput::new(
        "a control token file that is not there",
        "session list --chat hike --control CLOSED --control-token DIR/none",
        "1",
        "cannot read the control token file",
    ),
    BadInput::new(
        "a file of keys that is not there",
        "seal show DIR/none.keys",
        "1",
        "check that the file exists",
    ),
    BadInput::new(
        "a chat that is to be sealed perhaps",
        "seal chat --chat hike perhaps",
        "2",
        "[possible values: only, any, show]",
    ),
    BadInput::new(
        "an erase of nothing in particular",
        "log erase --data-dir DIR",
        "2",
        "--chat <CHAT>",
    ),
    BadInput::new(
        "a directory without a log",
        "log stat --data-dir DIR",
        "1",
        "is not a skein data directory",
    ),
    BadInput::new(
        "an export since a time that is none",
        "log export --data-dir DIR --since yesterday",
        "2",
        "a time looks like",
    ),
    BadInput::new(
        "no walkers",
        "demo --walkers 0",
        "2",
        "0 is not in 1..=10000",
    ),
];
