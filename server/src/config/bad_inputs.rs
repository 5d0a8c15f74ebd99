//! Configuration files that are refused, and what is said.

use crate::bad_input::BadInput;

/// Input: the file's text. Code: the key that the message names.
pub const BAD_CONFIGS: &[BadInput] = &[
    BadInput::new("not TOML", "listen = [", "", "is not valid TOML"),
    BadInput::new(
        "a misspelt key",
        "[listen]\nqiuc = \"127.0.0.1:1\"",
        "listen.qiuc",
        "did you mean `listen.quic`?",
    ),
    BadInput::new(
        "a key outside of its section",
        "quic = \"127.0.0.1:1\"",
        "quic",
        "did you mean `listen.quic`?",
    ),
    BadInput::new(
        "a section that is not known",
        "[weather]\nrain = true",
        "weather",
        "docs/OPERATIONS.md lists every key",
    ),
    BadInput::new(
        "a misspelt section",
        "[limts]\nstale_after_ms = 5000",
        "limts",
        "did you mean `[limits]`?",
    ),
    BadInput::new(
        "an address without a port",
        "[listen]\nhttp = \"localhost\"",
        "listen.http",
        "`localhost` is not an address; write IP:PORT",
    ),
    BadInput::new(
        "a number that is text",
        "[limits]\nstale_after_ms = \"soon\"",
        "limits.stale_after_ms",
        "invalid type: string \"soon\", expected an integer",
    ),
    BadInput::new(
        "a list of cores that is none",
        "[shards]\ncores = \"1-0\"",
        "shards.cores",
        "write `auto`, `0`, `0-1` or `0,2-3`",
    ),
    BadInput::new(
        "a way to wait that is none",
        "[shards]\nidle = \"bogus\"",
        "shards.idle",
        "`bogus` is none of `sleep`, `spin`, `adaptive`",
    ),
    BadInput::new(
        "a way to write that is none",
        "[log]\nwriter = \"bogus\"",
        "log.writer",
        "`bogus` is none of `mapped`, `pwrite`",
    ),
    BadInput::new(
        "a span of time that is none",
        "[history]\nevery = \"often\"",
        "history.every",
        "`often` is not a duration; write 90s, 15m, 8h or 1h30m",
    ),
    BadInput::new(
        "a history with a row for every point",
        "dev = true\n[history]\nevery = \"0s\"",
        "history.every",
        "0s is not within 1s to 1d",
    ),
    BadInput::new(
        "a history that is gone before the next row",
        "dev = true\n[history]\nevery = \"2h\"\nretain = \"1h\"",
        "history.retain",
        "1h is shorter than `history.every`",
    ),
    BadInput::new(
        "a misspelt key of the history",
        "[history]\nretian = \"30d\"",
        "history.retian",
        "did you mean `history.retain`?",
    ),
    BadInput::new(
        "no partitions",
        "dev = true\n[shards]\npartitions = 0",
        "shards.partitions",
        "0 is not within 1 to 1024",
    ),
    BadInput::new(
        "a segment that is too small",
        "dev = true\n[log]\nsegment_bytes_max = 1000",
        "log.segment_bytes_max",
        "not within 262144 to 1073741824",
    ),
    BadInput::new(
        "a duration beyond a day",
        "dev = true\n[limits]\nduration_s_max = 90000",
        "limits.duration_s_max",
        "90000 is not within 1 to 86400",
    ),
    BadInput::new(
        "dev mode for others than this machine",
        "dev = true\n[listen]\ncontrol = \"0.0.0.0:9090\"",
        "listen.control",
        "not a loopback address",
    ),
    BadInput::new(
        "one address twice",
        "dev = true\n[listen]\nhttp = \"127.0.0.1:7000\"\ncontrol = \"127.0.0.1:7000\"",
        "listen.control",
        "is also the value of `listen.http`",
    ),
    BadInput::new(
        "a certificate without its key",
        "dev = true\n[tls]\ncert = \"cert.pem\"",
        "tls.cert",
        "set both `tls.cert` and `tls.key`",
    ),
    BadInput::new(
        "no certificate outside of dev mode",
        "",
        "tls.cert",
        "or use --dev for a self-signed one",
    ),
    BadInput::new(
        "no control token outside of dev mode",
        "[tls]\ncert = \"c.pem\"\nkey = \"k.pem\"",
        "access.control_token",
        "set it or --control-token",
    ),
    BadInput::new(
        "a key of the control API without its certificate",
        "dev = true\n[control]\nkey = \"key.pem\"",
        "control.cert",
        "set both `control.cert` and `control.key`",
    ),
    BadInput::new(
        "a JWK set that cannot be fetched",
        "dev = true\n[access]\njwks = \"ftp://id.example/keys\"",
        "access.jwks",
        "only http and https addresses are called",
    ),
    BadInput::new(
        "an interval that would burden the issuer",
        "dev = true\n[access]\njwks_interval = \"1s\"",
        "access.jwks_interval",
        "1s is not within 10s to 1d",
    ),
    BadInput::new(
        "clocks that differ by an hour",
        "dev = true\n[access]\nclock_skew = \"1h\"",
        "access.clock_skew",
        "1h is not within 0s to 5m",
    ),
    BadInput::new(
        "tokens for anybody",
        "dev = true\n[access]\naudience = \"\"",
        "access.audience",
        "name this server",
    ),
    BadInput::new(
        "an upstream that is no address of a server",
        "dev = true\n[relay]\nupstream = \"eu.example:4433\"",
        "relay.upstream",
        "it has no scheme",
    ),
    BadInput::new(
        "a relay without a token",
        "dev = true\n[relay]\nupstream = \"quic://eu.example\"",
        "relay.token",
        "name a file with the output of `skein token --relay`",
    ),
    BadInput::new(
        "a relay that trusts nobody",
        "dev = true\n[relay]\nupstream = \"quic://eu.example\"\ntoken = \"relay.jwt\"",
        "relay.ca",
        "which certificate of the upstream to trust",
    ),
    BadInput::new(
        "thinning without an interval",
        "dev = true\n[log]\nthin_after_ms = 86400000\nthin_every_ms = 0",
        "log.thin_every_ms",
        "0 would keep every point",
    ),
];
