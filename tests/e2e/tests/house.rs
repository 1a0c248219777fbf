//! Proves the house rules that a machine can check: which crate may use which, where unsafe code and the
//! given packages live, that every file says its job, and that no file grows beyond what can be read.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Crates from top to bottom: each may use those in lower layers only.
const LAYERS: [&[&str]; 9] = [
    &["deploy-fastkeep"],
    &["proxy-server", "snapshot-worker", "logsvc-server"],
    &["proxy-shard", "proxy-acl"],
    &["proxy-engine", "proxy-script"],
    &["snapshot-repo"],
    &["snapshot-rdb"],
    &["logsvc-client", "logsvc-raft"],
    &["config-runtime"],
    &["proxy-resp", "proxy-commands", "proxy-store", "logsvc-api", "config-settings", "config-cluster"],
];

/// (crate, package that only it may name, both as in Cargo.toml)
const SOLE_USERS: [(&str, &str); 5] = [
    ("proxy-script", "mlua"),
    ("proxy-resp", "redis-protocol"),
    ("snapshot-repo", "object_store"),
    ("logsvc-server", "rocksdb"),
    ("logsvc-raft", "raft"),
];

/// (crate, crate of ours that it must not use)
const WALLS: [(&str, &str); 5] = [
    ("snapshot-worker", "proxy-engine"),
    ("proxy-store", "proxy-engine"),
    ("logsvc-client", "logsvc-server"),
    ("proxy-shard", "logsvc-server"),
    ("proxy-engine", "logsvc-client"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Production crates: name -> what `[dependencies]` names.
fn crates() -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for folder in ["config", "proxy", "logsvc", "snapshot", "deploy"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let manifest = entry.unwrap().path().join("Cargo.toml");
            let Ok(text) = std::fs::read_to_string(&manifest) else { continue };
            let name = text
                .lines()
                .find_map(|l| l.strip_prefix("name = \""))
                .unwrap()
                .trim_end_matches('"')
                .to_owned();
            let body = text.split("[dependencies]").nth(1).unwrap_or_default();
            let body = body.split("\n[").next().unwrap_or_default();
            let used = body
                .lines()
                .filter_map(|line| line.split(['.', ' ', '=']).next())
                .filter(|name| !name.is_empty() && !name.starts_with('#'))
                .map(str::to_owned)
                .collect();
            found.insert(name, used);
        }
    }
    found
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

#[test]
fn crates_use_only_what_lies_below() {
    for (name, used) in crates() {
        let own = layer(&name).unwrap_or_else(|| panic!("{name} has no layer in this test"));
        for other in used.iter().filter_map(|other| layer(other).map(|at| (other, at))) {
            assert!(other.1 > own, "{name} uses {}, which does not lie below it", other.0);
        }
        for (_, forbidden) in WALLS.iter().filter(|(crate_name, _)| *crate_name == name) {
            assert!(!used.iter().any(|other| other == forbidden), "{name} must not use {forbidden}");
        }
        for (sole, package) in SOLE_USERS {
            let uses = used.iter().any(|other| other == package);
            assert_eq!(uses, sole == name, "only {sole} names {package}, and it does; {name} is wrong");
        }
    }
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["config", "proxy", "logsvc", "snapshot", "deploy", "tests"] {
        sources(&root().join(folder), &mut found);
    }
    assert!(found.len() > 50, "sources not found");
    found.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_file_says_its_job() {
    for (path, text) in all_sources() {
        assert!(text.starts_with("//!"), "{} does not begin with what it is for", path.display());
    }
}

#[test]
fn unsafe_code_stays_in_its_room() {
    let room = root().join("proxy/store/src/raw");
    for (path, text) in all_sources() {
        let allows = text.contains(concat!("allow(", "unsafe_code)"));
        assert!(!allows || path.starts_with(&room), "{} allows unsafe code", path.display());
    }
}

#[test]
fn no_production_file_is_too_long() {
    // Tables are data, and may be as long as they are.
    let is_table = |path: &Path| path.components().any(|part| part.as_os_str() == "table");
    for (path, text) in all_sources() {
        let is_test = path.components().any(|part| part.as_os_str() == "tests")
            || path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
        let lines = text.lines().count();
        assert!(is_test || is_table(&path) || lines <= 800, "{} has {lines} lines", path.display());
    }
}

#[test]
fn the_top_level_folders_are_the_six() {
    let mut folders: Vec<String> = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && !["target", "data", "docs"].contains(&name.as_str()))
        .collect();
    folders.sort();
    assert_eq!(folders, ["config", "deploy", "logsvc", "proxy", "snapshot", "tests"]);
}

/// Every test that docs/consistency.md names exists: files, and functions in one of the files named in the same row.
#[test]
fn promises_name_tests_that_exist() {
    let text = std::fs::read_to_string(root().join("docs/consistency.md")).unwrap();
    let all = all_sources();
    let mut names = 0;
    for line in text.lines() {
        for name in line.split('`').skip(1).step_by(2) {
            let is_file = Path::new(name).extension().is_some_and(|e| e == "rs");
            let is_folder = name.contains('/') && !is_file && !name.contains(' ');
            let is_function = name.contains('_')
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            let exists = if is_file || is_folder {
                root().join(name).exists() || root().join("tests/e2e/tests").join(name).exists()
            } else if is_function {
                let declared = format!("fn {name}(");
                all.iter().any(|(path, text)| {
                    let tests = path.components().any(|part| part.as_os_str() == "tests")
                        || text.contains("#[cfg(test)]")
                        || path.ends_with("conformance.rs");
                    tests && text.contains(&declared)
                })
            } else {
                continue;
            };
            names += 1;
            assert!(exists, "docs/consistency.md names `{name}`, which doesn't exist");
        }
    }
    assert!(names > 20, "only {names} names were found");
}
