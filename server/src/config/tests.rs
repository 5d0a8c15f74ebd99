//! Layers, hints, and the document that lists every key.

use std::collections::BTreeSet;

use crate::config::bad_inputs::BAD_CONFIGS;
use crate::config::error::ConfigError;
use crate::config::keys;
use crate::config::load::Layers;
use crate::config::settings::Config;

/// A file with this text as the only layer.
fn file(text: &str) -> (tempfile::TempDir, Layers) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("skein.toml");
    std::fs::write(&path, text).expect("write");
    (
        dir,
        Layers {
            file: Some(path),
            ..Layers::default()
        },
    )
}

fn load(text: &str) -> Result<Config, ConfigError> {
    let (_dir, layers) = file(text);
    let config = layers.load()?;
    config.check()?;
    Ok(config)
}

#[test]
fn every_bad_configuration_says_what_to_do() {
    for bad in BAD_CONFIGS {
        let error = load(bad.input).expect_err(bad.what).to_string();
        assert!(error.contains(bad.text), "{}: {error}", bad.what);
        assert!(error.contains(bad.code), "{}: {error}", bad.what);
    }
}

#[test]
fn flags_win_over_variables_and_these_over_the_file() {
    let (_dir, mut layers) = file(
        "data_dir = \"from-file\"\ndev = true\n[listen]\nquic = \"127.0.0.1:1\"\n[limits]\nstale_after_ms = 5000",
    );
    layers.environment = vec![
        ("SKEIN_LISTEN__QUIC".into(), "127.0.0.1:2".into()),
        ("SKEIN_LISTEN__HTTP".into(), "127.0.0.1:2".into()),
        (
            "SKEIN_ACCESS__ORIGINS".into(),
            "https://a.example, https://b.example".into(),
        ),
        ("SKEIN_TRACKS".into(), "somebody else's".into()),
        ("PATH".into(), "/bin".into()),
    ];
    layers.flags = vec![("listen.http", "127.0.0.1:3".into())];
    let config = layers.load().expect("load");
    assert_eq!(config.data_dir.to_str(), Some("from-file"));
    assert_eq!(
        (config.listen.quic.port(), config.listen.http.port()),
        (2, 3)
    );
    assert_eq!(config.limits.stale_after_ms, 5_000);
    assert_eq!(
        config.access.origins,
        ["https://a.example", "https://b.example"]
    );
    assert_eq!(config.limits.to_engine().stale_after_ms, 5_000);
}

#[test]
fn a_misspelt_variable_is_refused_with_a_hint() {
    for (variable, meant) in [
        ("SKEIN_LISTEN__QIUC", "`SKEIN_LISTEN__QUIC`"),
        ("SKEIN_LISTEN_QUIC", "`SKEIN_LISTEN__QUIC`"),
        (
            "SKEIN_LIMITS_STALE_AFTER_MS",
            "`SKEIN_LIMITS__STALE_AFTER_MS`",
        ),
        ("SKEIN_DATADIR", "`SKEIN_DATA_DIR`"),
    ] {
        let layers = Layers {
            environment: vec![(variable.into(), "127.0.0.1:2".into())],
            ..Layers::default()
        };
        let error = layers.load().expect_err(variable).to_string();
        assert!(error.contains(variable) && error.contains(meant), "{error}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let layers = Layers {
        file: Some("/nowhere/skein.toml".into()),
        ..Layers::default()
    };
    let error = layers.load().expect_err("unreadable").to_string();
    assert!(
        error.contains("/nowhere/skein.toml") && error.contains("--config"),
        "{error}"
    );
}

#[test]
fn the_defaults_serve_in_dev_mode() {
    let mut config = Config {
        dev: true,
        ..Config::default()
    };
    config.check().expect("defaults");
    config.dev = false;
    config.tls.cert = Some("c.pem".into());
    config.tls.key = Some("k.pem".into());
    config.access.control_token = Some("t".into());
    config.listen.control = "10.0.0.1:9090".parse().expect("address");
    config.check().expect("production");
}

/// `docs/OPERATIONS.md` lists keys as `| \`section.key\` | …`.
#[test]
fn the_operations_page_lists_every_key_and_no_other() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATIONS.md");
    let page = std::fs::read_to_string(path).expect("docs/OPERATIONS.md");
    let table = page
        .split("## Every key")
        .nth(1)
        .expect("a section `Every key`");
    let table = table.split("\n## ").next().unwrap_or(table);
    let documented: BTreeSet<String> = table
        .lines()
        .filter_map(|line| {
            line.strip_prefix("| `")?
                .split('`')
                .next()
                .map(str::to_owned)
        })
        .collect();
    let existing: BTreeSet<String> = keys::all().into_iter().collect();
    assert_eq!(documented, existing);
}
