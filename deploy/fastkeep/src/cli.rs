//! The command line: subcommands, and one flag for every settings key.
//!
//! Flags are made from the settings' own key list, so a new key has its flag without being named here.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};
use config_settings::{LogService, Proxy, Settings, Snapshot, Source, Up, keys, load};

/// The whole command line.
pub fn command() -> Command {
    Command::new("fastkeep")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A durable, in-memory, Redis-compatible database")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(process::<Up>("up", "Runs everything in one process: log, proxy, snapshotter"))
        .subcommand(process::<LogService>("logsvc", "Runs one replica of the log service"))
        .subcommand(process::<Proxy>("proxy", "Runs one node: the Redis endpoint"))
        .subcommand(process::<Snapshot>("snapshot", "Runs the snapshotter"))
        .subcommand(crate::ctl::command())
}

/// A subcommand that takes `--config` and every key of `S`.
fn process<S: Settings>(name: &'static str, about: &'static str) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("TOML file of settings; see the samples in config/");
    keys::<S>().into_iter().fold(Command::new(name).about(about).arg(config), |command, (key, default)| {
        let long = key.replace(['.', '_'], "-");
        let help = if default.is_empty() {
            format!("Sets {key}")
        } else {
            format!("Sets {key} [default: {default}]")
        };
        command.arg(
            Arg::new(key.clone())
                .overrides_with(key)
                .long(long)
                .value_name("VALUE")
                .action(ArgAction::Set)
                .allow_hyphen_values(true)
                .help(help),
        )
    })
}

/// The settings of a process from its file, the environment and its flags.
///
/// # Errors
/// A text that names key and place.
pub fn settings<S: Settings>(matches: &ArgMatches) -> Result<S, String> {
    let known = keys::<S>();
    let flags = known
        .iter()
        .filter_map(|(key, _)| matches.get_one::<String>(key).map(|value| (key.clone(), value.clone())))
        .collect();
    let environment: Vec<(String, String)> =
        std::env::vars().filter(|(name, _)| name.starts_with("FASTKEEP_")).collect();
    let file = matches.get_one::<PathBuf>("config");
    load(&Source { file: file.map(PathBuf::as_path), environment, flags }).map_err(|e| e.to_string())
}
