//! Proves that the commented samples in `config/` load, name every key there is, and show its default;
//! and that wrong settings are refused with key and place.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use config_settings::{LogService, Proxy, Settings, SettingsError, Snapshot, Source, Up, keys, load};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// The sample loads, and its keys are exactly the known ones, with the default values.
fn check<S: Settings>(name: &str) {
    let path = sample(name);
    load::<S>(&Source { file: Some(&path), ..Source::default() }).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let (mut section, mut written) = (String::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            written.insert(format!("{section}{key}"));
        }
    }
    let known: BTreeSet<String> = keys::<S>().into_iter().map(|(key, _)| key).collect();
    assert_eq!(written, known, "{name} and the settings disagree about the keys");
    let shown: S = toml::from_str(&text).unwrap();
    assert_eq!(
        toml::to_string(&shown).unwrap(),
        toml::to_string(&S::default()).unwrap(),
        "{name} does not show the defaults"
    );
}

#[test]
fn samples_load_and_are_complete() {
    check::<Up>("up.toml");
    check::<LogService>("logsvc.toml");
    check::<Proxy>("proxy.toml");
    check::<Snapshot>("snapshot.toml");
}

fn load_text(text: &str) -> Result<Up, SettingsError> {
    let file =
        std::env::temp_dir().join(format!("fastkeep-settings-{}-{}.toml", std::process::id(), text.len()));
    std::fs::write(&file, text).unwrap();
    let loaded = load::<Up>(&Source { file: Some(&file), ..Source::default() });
    std::fs::remove_file(&file).unwrap();
    loaded
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let error = load_text("port = 1\n\n[limits]\nmax_clents = 7\n").unwrap_err().to_string();
    assert!(error.contains("line 4") && error.contains("max_clents"), "{error}");
}

#[test]
fn a_wrong_type_is_named_with_its_line() {
    let error = load_text("bind = \"::1\"\nport = \"many\"\n").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("port"), "{error}");
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let file = sample("up.toml");
    let environment = vec![
        ("FASTKEEP_PORT".to_owned(), "7001".to_owned()),
        ("FASTKEEP_LIMITS_MAX_CLIENTS".to_owned(), "55".to_owned()),
    ];
    let flags = vec![("port".to_owned(), "7002".to_owned())];
    let up: Up = load(&Source { file: Some(&file), environment, flags }).unwrap();
    assert_eq!((up.port, up.limits.max_clients, up.shards), (7002, 55, 1));
}

#[test]
fn bad_values_name_their_origin() {
    let environment = vec![("FASTKEEP_SHARDS".to_owned(), "two".to_owned())];
    let error = load::<Up>(&Source { environment, ..Source::default() }).unwrap_err().to_string();
    assert!(error.contains("FASTKEEP_SHARDS") && error.contains("two"), "{error}");
    for flags in [("port", "65536"), ("port", "-1"), ("engine.list_max_listpack_size", "99999999999")] {
        let flags = vec![(flags.0.to_owned(), flags.1.to_owned())];
        let error =
            load::<Up>(&Source { flags: flags.clone(), ..Source::default() }).unwrap_err().to_string();
        let flag = format!("--{}: `{}`", flags[0].0.replace(['.', '_'], "-"), flags[0].1);
        assert!(error.starts_with(&flag), "{error}");
    }
    let environment = vec![("FASTKEEP_PORT".to_owned(), "tcp://10.0.0.1:6379".to_owned())];
    assert_eq!(load::<Up>(&Source { environment, ..Source::default() }).unwrap().port, 6379);
    let flags = vec![("shards".to_owned(), "0".to_owned())];
    let error = load::<Up>(&Source { flags, ..Source::default() }).unwrap_err().to_string();
    assert!(error.starts_with("shards:"), "{error}");
    let flags = vec![("log.replicas".to_owned(), "az-a=h:1,az-b".to_owned())];
    let error = load::<Proxy>(&Source { flags, ..Source::default() }).unwrap_err().to_string();
    assert!(error.contains("az-b"), "{error}");
}
