//! Parameters over a restart: CONFIG REWRITE keeps those that were set while the server ran, in the form of a redis.conf;
//! such texts are taken up at the start, line by line, with a report of what was not taken and why.

use super::file::{Line, parse_lines, quoted};
use super::{Access, PARAMS, Refused, find, set};
use crate::shared::Shared;

/// The lines that CONFIG REWRITE keeps: no secrets, which come from the settings or the environment.
pub(crate) fn written(shared: &Shared) -> Vec<u8> {
    let mut text = b"# Written by CONFIG REWRITE; read at the start, after the settings.\n".to_vec();
    let names = shared.params.set_names.lock().clone();
    for param in PARAMS.iter().filter(|param| names.contains(param.name) && !param.secret) {
        text.extend_from_slice(param.name.as_bytes());
        text.push(b' ');
        quoted(&param.value(shared), &mut text);
        text.push(b'\n');
    }
    text
}

/// Takes up the texts that the process was started with. What can't be taken is told in the log, and left as it is.
pub(crate) fn load(shared: &Shared) {
    for (origin, text) in &shared.config.parameters {
        match parse_lines(text) {
            Ok(lines) => {
                // A certificate and its key are of use together only.
                let of_process = |line: &&Line| {
                    find(&line.name).is_some_and(|param| matches!(param.access, Access::Process))
                };
                let (together, each): (Vec<&Line>, Vec<&Line>) = lines.iter().partition(of_process);
                take(shared, origin, &together);
                for line in each {
                    take(shared, origin, &[line]);
                }
            }
            Err(number) => {
                tracing::warn!("{origin}, line {number}: the quotes don't match; nothing of it is taken");
            }
        }
    }
}

/// Takes lines up, all of them or none.
fn take(shared: &Shared, origin: &str, lines: &[&Line]) {
    if lines.is_empty() {
        return;
    }
    let taken = set(shared, lines.iter().map(|line| (line.name.as_slice(), line.value.as_slice())));
    for Line { name, number, .. } in lines {
        let shown = String::from_utf8_lossy(name);
        match &taken {
            Ok(()) => tracing::info!("{origin}, line {number}: {shown} is taken"),
            Err(Refused::Unknown(_)) => {
                tracing::warn!("{origin}, line {number}: {shown} is not taken: there is no such parameter");
            }
            Err(Refused::Wrong { why, .. }) => {
                let fixed = find(name).is_some_and(|param| matches!(param.access, Access::Fixed(_)));
                let why = if fixed { "it is decided by the settings of the process" } else { why };
                tracing::warn!("{origin}, line {number}: {shown} is not taken: {why}");
            }
        }
    }
}
