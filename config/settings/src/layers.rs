//! Layers of settings: defaults, then the file, then the environment, then flags; the last one wins.
//!
//! The key list is derived from the defaults, so that every key has a flag and an environment variable
//! without being named twice: `limits.max_clients` is `--limits-max-clients` and
//! `FASTKEEP_LIMITS_MAX_CLIENTS`.

use std::path::Path;

use toml::{Table, Value};

use crate::{Settings, SettingsError};

/// Where one process finds its settings.
#[derive(Debug, Default)]
pub struct Source<'a> {
    /// The TOML file, if one was named.
    pub file: Option<&'a Path>,
    /// Environment variables (name, value); only those that start with `FASTKEEP_` are looked at.
    pub environment: Vec<(String, String)>,
    /// Flags as (key, value), the key in its dotted form.
    pub flags: Vec<(String, String)>,
}

/// All keys of a settings struct in dotted form, with their defaults as text. Ordered by name.
pub fn keys<S: Settings>() -> Vec<(String, String)> {
    let mut found = Vec::new();
    flatten("", &defaults::<S>(), &mut found);
    found.into_iter().map(|(key, value)| (key, plain(&value))).collect()
}

/// Loads, layers and validates the settings `S`.
///
/// # Errors
/// Names the key, and the line, variable or flag that it came from.
pub fn load<S: Settings>(source: &Source<'_>) -> Result<S, SettingsError> {
    let mut table = defaults::<S>();
    if let Some(path) = source.file {
        merge(&mut table, read::<S>(path)?);
    }
    let mut known = Vec::new();
    flatten("", &table, &mut known);
    for (key, current) in &known {
        let name = variable(key);
        // Kubernetes sets FASTKEEP_PORT=tcp://10.0.0.1:6379 in pods beside a service called fastkeep: that isn't meant here.
        let meant = |(n, text): &&(String, String)| *n == name && !text.starts_with("tcp://");
        if let Some((_, text)) = source.environment.iter().find(meant) {
            set(&mut table, key, parse(text, current, &name)?);
            fits::<S>(&table, text, &name)?;
        }
    }
    for (key, text) in &source.flags {
        let flag = format!("--{}", key.replace(['.', '_'], "-"));
        let current = known.iter().find(|(k, _)| k == key).map(|(_, v)| v).ok_or_else(|| {
            SettingsError::Value { origin: flag.clone(), message: "no such setting".to_owned() }
        })?;
        set(&mut table, key, parse(text, current, &flag)?);
        fits::<S>(&table, text, &flag)?;
    }
    let settings: S = Value::Table(table).try_into().map_err(|e: toml::de::Error| SettingsError::Value {
        origin: "settings".to_owned(),
        message: e.message().to_owned(),
    })?;
    settings.validate()?;
    Ok(settings)
}

/// Whether the settings can take what a flag or variable has just set: a number may be too large for its key.
fn fits<S: Settings>(table: &Table, text: &str, origin: &str) -> Result<(), SettingsError> {
    match Value::Table(table.clone()).try_into::<S>() {
        Ok(_) => Ok(()),
        Err(error) => {
            let message = format!("`{text}` can't be used: {}", error.message());
            Err(SettingsError::Value { origin: origin.to_owned(), message })
        }
    }
}

/// The environment variable of a dotted key.
fn variable(key: &str) -> String {
    format!("FASTKEEP_{}", key.replace('.', "_").to_uppercase())
}

/// The defaults as a TOML table; every key is present in it.
fn defaults<S: Settings>() -> Table {
    match Value::try_from(S::default()) {
        Ok(Value::Table(table)) => table,
        // Settings structs are plain structs of plain values: both are caught by the test of samples.
        Ok(_) | Err(_) => Table::new(),
    }
}

/// Parses the file against `S` itself first, because only that error knows the line of a wrong key.
fn read<S: Settings>(path: &Path) -> Result<Table, SettingsError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Read { path: shown.clone(), source })?;
    let wrong = |e: toml::de::Error| SettingsError::File { path: shown.clone(), message: located(&text, &e) };
    toml::from_str::<S>(&text).map_err(wrong)?;
    toml::from_str::<Table>(&text).map_err(wrong)
}

/// `line N: reason` of a TOML error.
fn located(text: &str, error: &toml::de::Error) -> String {
    let Some(span) = error.span() else { return error.message().to_owned() };
    let line = text.get(..span.start).map_or(0, |before| before.matches('\n').count()) + 1;
    let written = text.lines().nth(line - 1).unwrap_or_default().trim();
    format!("line {line}: {} (in `{written}`)", error.message())
}

/// Lays `over` on top of `base`, table by table.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Lists the leaves of a table with dotted keys.
fn flatten(prefix: &str, table: &Table, into: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => flatten(&path, inner, into),
            leaf => into.push((path, leaf.clone())),
        }
    }
}

/// Sets the leaf at a dotted key. The key is known to exist.
fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            if let Some(Value::Table(inner)) = table.get_mut(section) {
                set(inner, rest, value);
            }
        }
    }
}

/// Turns a flag's or variable's text into a value of the kind that the key holds now.
fn parse(text: &str, current: &Value, origin: &str) -> Result<Value, SettingsError> {
    let wrong = |expected: &str| SettingsError::Value {
        origin: origin.to_owned(),
        message: format!("`{text}` is not {expected}"),
    };
    Ok(match current {
        Value::Integer(_) => Value::Integer(text.trim().parse().map_err(|_| wrong("a whole number"))?),
        Value::Float(_) => Value::Float(text.trim().parse().map_err(|_| wrong("a number"))?),
        Value::Boolean(_) => Value::Boolean(text.trim().parse().map_err(|_| wrong("true or false"))?),
        Value::Array(_) => Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|p| Value::String(p.to_owned()))
                .collect(),
        ),
        _ => Value::String(text.to_owned()),
    })
}

/// A default as a person would write it after a flag.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
