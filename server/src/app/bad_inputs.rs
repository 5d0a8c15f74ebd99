//! What keeps a server from starting, or is found by a start, and what is said.

use crate::bad_input::BadInput;

/// Input: a command line, variables of the environment first. `DIR` is an empty directory, `NOISE`
/// a file that holds nonsense, `EMPTY` one that holds nothing, `TCP` and `UDP` addresses that
/// somebody else has. Code: the exit code.
pub const BAD_STARTS: &[BadInput] = &[
    BadInput::new(
        "a busy port of QUIC",
        "serve --dev --data-dir DIR --quic UDP",
        "1",
        "is in use; stop the program that has it, or choose another port with --quic",
    ),
    BadInput::new(
        "a busy port of WebSocket and HTTP",
        "serve --dev --data-dir DIR --http TCP",
        "1",
        "is in use; stop the program that has it, or choose another port with --http",
    ),
    BadInput::new(
        "a busy port of the control API",
        "serve --dev --data-dir DIR --control TCP",
        "1",
        "is in use; stop the program that has it, or choose another port with --control",
    ),
    BadInput::new(
        "a relay without an upstream",
        "relay --dev --data-dir DIR",
        "1",
        "name it with --upstream quic://HOST:PORT",
    ),
    BadInput::new(
        "a relay of itself",
        "relay --dev --data-dir DIR --quic 127.0.0.1:4433 --upstream quic://localhost:4433 --upstream-token NOISE --upstream-insecure",
        "1",
        "is this relay itself",
    ),
    BadInput::new(
        "a relay whose token is not there",
        "relay --dev --data-dir DIR --upstream quic://127.0.0.1:1 --upstream-token DIR/none --upstream-insecure",
        "1",
        "names a file with the output of `skein token --relay`",
    ),
    BadInput::new(
        "a relay with a token that is no relay's",
        "relay --dev --data-dir DIR --upstream quic://127.0.0.1:1 --upstream-token NOISE --upstream-insecure",
        "1",
        "make one with `skein token --relay`",
    ),
    BadInput::new(
        "a webhook's secret that is not there",
        "SKEIN_WEBHOOK__URLS=http://127.0.0.1:1/ SKEIN_WEBHOOK__SECRET=DIR/none serve --dev --data-dir DIR",
        "1",
        "check that the file exists and that this user may use it",
    ),
    BadInput::new(
        "a server that has an upstream",
        "SKEIN_RELAY__UPSTREAM=quic://127.0.0.1:1 SKEIN_RELAY__TOKEN=NOISE SKEIN_RELAY__INSECURE=true serve --dev --data-dir DIR",
        "1",
        "run `skein relay`, or remove it",
    ),
    BadInput::new(
        "a core that is not there",
        "serve --dev --data-dir DIR --cores 1023",
        "1",
        "choose among these with --cores",
    ),
    BadInput::new(
        "a certificate that is not there",
        "SKEIN_TLS__CERT=DIR/none.pem SKEIN_TLS__KEY=DIR/none.pem serve --dev --data-dir DIR",
        "1",
        "check that the file exists and that this user may use it",
    ),
    BadInput::new(
        "a certificate that is none",
        "SKEIN_TLS__CERT=NOISE SKEIN_TLS__KEY=NOISE serve --dev --data-dir DIR",
        "1",
        "no certificate in PEM form; restore it, or in dev mode remove cert.pem and key.pem",
    ),
    BadInput::new(
        "a JWK set that is none",
        "SKEIN_ACCESS__JWKS=NOISE serve --dev --data-dir DIR",
        "1",
        "it is no JWK set; it should be {",
    ),
    BadInput::new(
        "a JWK set that is not there",
        "SKEIN_ACCESS__JWKS=DIR/none serve --dev --data-dir DIR",
        "1",
        "check the path given with access.jwks",
    ),
    BadInput::new(
        "a control token that is empty",
        "serve --dev --data-dir DIR --control-token EMPTY",
        "1",
        "a control token has at least 16 bytes; make one with `openssl rand -hex 32`",
    ),
    BadInput::new(
        "a data directory where none can be",
        "serve --dev --data-dir NOISE/data",
        "1",
        "choose another with --data-dir",
    ),
    BadInput::new(
        "a data directory that is a file",
        "serve --dev --data-dir NOISE",
        "1",
        "choose another with --data-dir",
    ),
];

/// Input: what is the matter with the directory. Code: the exit code, or `serves` where the server
/// starts and says the text in its log.
pub const BAD_DIRECTORIES: &[BadInput] = &[
    BadInput::new(
        "another server runs on it",
        "in use",
        "1",
        "stop it, or choose another data directory",
    ),
    BadInput::new(
        "it holds files of something else",
        "foreign",
        "1",
        "choose an empty or a new directory with --data-dir",
    ),
    BadInput::new(
        "its log holds files of something else",
        "foreign log",
        "1",
        "choose an empty directory",
    ),
    BadInput::new(
        "it was made with another number of partitions",
        "other partitions",
        "1",
        "set `shards.partitions = ",
    ),
    BadInput::new(
        "what the log says of itself is damaged",
        "damaged identity",
        "1",
        "restore it from a backup of the directory",
    ),
    BadInput::new(
        "a key of tokens is damaged",
        "damaged token key",
        "1",
        "make one with `openssl genpkey -algorithm ed25519`",
    ),
    BadInput::new(
        "a key of QUIC is damaged",
        "damaged QUIC key",
        "1",
        "a key has 32 bytes; remove the file to get a new one",
    ),
    BadInput::new(
        "a segment of the log is damaged",
        "damaged segment",
        "serves",
        "a damaged segment was put aside; what could be read of it is kept",
    ),
    BadInput::new(
        "the control log is damaged",
        "damaged control log",
        "serves",
        "compare `skein member list` and `skein session list`",
    ),
    BadInput::new(
        "the history's database is damaged",
        "damaged history",
        "1",
        "away (or bring a backup back) and start again",
    ),
];
