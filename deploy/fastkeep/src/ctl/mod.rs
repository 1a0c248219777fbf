//! `fastkeep ctl`: asks a process's HTTP port and shows the answer to a person, or as JSON to a machine.

mod table;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use config_runtime::tls::ClientConfig;
use hyper::Method;
use serde_json::Value;

use table::Table;

/// Snapshots of a large shard take minutes; everything else answers at once.
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_secs(10);

/// The subcommand and what it can be asked.
pub fn command() -> Command {
    let http = Arg::new("http")
        .long("http")
        .value_name("URL")
        .global(true)
        .env("FASTKEEP_HTTP")
        .default_value("http://127.0.0.1:8379")
        .help("HTTP port of the process to ask");
    let file = |name: &'static str, help: &'static str| {
        let variable = format!("FASTKEEP_{}", name.replace('-', "_").to_uppercase());
        Arg::new(name).long(name).value_name("FILE").global(true).env(variable).help(help)
    };
    let ca = file("tls-ca-cert-file", "Authority that the certificate of an https:// URL is from");
    let cert =
        file("tls-cert-file", "Certificate to show, if the process asks for one").requires("tls-key-file");
    let key = file("tls-key-file", "Its key").requires("tls-cert-file");
    let json = Arg::new("json").long("json").global(true).action(ArgAction::SetTrue).help("Prints JSON");
    let shard = Arg::new("shard").long("shard").value_name("N").help("Only this shard");
    let snapshot = Command::new("snapshot")
        .about("Makes, lists and verifies snapshots")
        .subcommand_required(true)
        .subcommand(Command::new("create").about("Makes a snapshot now and waits for it").arg(shard.clone()))
        .subcommand(Command::new("list").about("Lists the snapshots that are kept"))
        .subcommand(
            Command::new("verify").about("Reads the newest snapshots back and checks them").arg(shard),
        );
    let zone = |help: &'static str| Arg::new("zone").value_name("ZONE").required(true).help(help);
    let address = Arg::new("address").value_name("HOST:PORT").required(true).help("Where it listens");
    let log = Command::new("log")
        .about("The transaction log")
        .subcommand_required(true)
        .subcommand(Command::new("info").about("Epoch, positions and replicas of each shard's log"))
        .subcommand(
            Command::new("add")
                .about("Takes one more replica into the log: start it with an empty folder, before or after")
                .args([zone("Its availability zone"), address.clone()]),
        )
        .subcommand(
            Command::new("replace")
                .about(
                    "Puts another process in the place of a replica, with an empty folder on another machine",
                )
                .args([zone("Zone of the replica that is lost or to go"), address])
                .arg(
                    Arg::new("new-zone")
                        .long("new-zone")
                        .value_name("ZONE")
                        .help("Zone of the new one, if it is another"),
                ),
        )
        .subcommand(
            Command::new("remove")
                .about("Lets a replica leave the log; stop its process when `log info` shows all members as settled")
                .arg(zone("Its availability zone")),
        );
    let failover = Command::new("failover")
        .about("Hands a shard to one of its replicas, without an error to a client")
        .arg(Arg::new("shard").value_name("SHARD").required(true))
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("NODE")
                .help("This node instead of the one that placement prefers"),
        );
    Command::new("ctl")
        .about("Asks a running process, or tells it to do something")
        .subcommand_required(true)
        .args([http, json, ca, cert, key])
        .subcommand(Command::new("status").about("What runs here and how it is doing"))
        .subcommand(Command::new("nodes").about("Proxies and log replicas of the cluster"))
        .subcommand(Command::new("shards").about("Shards: role, epoch, positions, keys, memory"))
        .subcommand(failover)
        .subcommand(snapshot)
        .subcommand(log)
}

/// Runs one question.
///
/// # Errors
/// The process's own error text, or why it could not be asked.
pub fn run(matches: &ArgMatches) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    let asked = Asked::from(matches)?;
    let base = matches.get_one::<String>("http").map_or("", String::as_str).trim_end_matches('/');
    let scheme = if base.contains("://") { "" } else { "http://" };
    let url = format!("{scheme}{base}/api/v1/{}", asked.path);
    let (status, body) = runtime.block_on(config_runtime::http_client::request(
        asked.method,
        &url,
        String::new(),
        asked.timeout,
        tls(matches)?,
    ))?;
    let text = String::from_utf8_lossy(&body);
    let value: Value = serde_json::from_str(&text)
        .map_err(|_| format!("{url} answered {status} and no JSON: {}", text.trim()))?;
    if !status.is_success() {
        return Err(value["error"].as_str().unwrap_or("the process refused without a reason").to_owned());
    }
    if matches.get_flag("json") {
        println!("{value:#}");
    } else {
        (asked.show)(&value);
    }
    Ok(())
}

/// What an https:// URL is asked with.
fn tls(matches: &ArgMatches) -> Result<Option<Arc<ClientConfig>>, String> {
    let file = |name| matches.get_one::<String>(name).map(Path::new);
    let Some(ca) = file("tls-ca-cert-file") else { return Ok(None) };
    let identity = file("tls-cert-file").zip(file("tls-key-file"));
    config_runtime::tls::client(ca, identity).map(Some)
}

/// A question: what to request, and how to show the answer.
struct Asked {
    method: Method,
    path: String,
    timeout: Duration,
    show: fn(&Value),
}

impl Asked {
    fn from(matches: &ArgMatches) -> Result<Self, String> {
        let of_shard = |given: &ArgMatches| {
            given.get_one::<String>("shard").map_or(String::new(), |shard| format!("?shard={shard}"))
        };
        let get = |path: &str, show: fn(&Value)| Self {
            method: Method::GET,
            path: path.to_owned(),
            timeout: SHORT,
            show,
        };
        let post = |path: String, show: fn(&Value)| Self { method: Method::POST, path, timeout: LONG, show };
        match matches.subcommand() {
            Some(("status", _)) => Ok(get("status", show_status)),
            Some(("nodes", _)) => Ok(get("nodes", show_nodes)),
            Some(("shards", _)) => Ok(get("shards", show_shards)),
            Some(("failover", given)) => {
                let text = |name: &str| given.get_one::<String>(name).cloned();
                let to = text("to").map_or(String::new(), |node| format!("&to={node}"));
                let shard = text("shard").unwrap_or_default();
                Ok(post(format!("failover?shard={shard}{to}"), show_failover))
            }
            Some(("log", given)) => match given.subcommand() {
                Some((what @ ("add" | "replace" | "remove"), given)) => {
                    // Not all of them take every argument.
                    let text = |name: &str| given.try_get_one::<String>(name).ok().flatten().cloned();
                    let parts = ["zone", "address", "new-zone"];
                    let parts = parts.iter().filter_map(|name| Some(format!("&{name}={}", text(name)?)));
                    let query: String = parts.collect();
                    Ok(post(format!("log/members?do={what}{query}"), show_members))
                }
                _ => Ok(get("log", show_log)),
            },
            Some(("snapshot", given)) => match given.subcommand() {
                Some(("create", given)) => Ok(post(format!("snapshots{}", of_shard(given)), show_snapshots)),
                Some(("list", _)) => Ok(get("snapshots", show_snapshots)),
                Some(("verify", given)) => {
                    Ok(post(format!("snapshots/verify{}", of_shard(given)), show_verified))
                }
                _ => Err("snapshot: create, list or verify".to_owned()),
            },
            _ => Err("see fastkeep ctl --help".to_owned()),
        }
    }
}

/// The elements of an array field, or nothing.
fn rows<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn show_status(value: &Value) {
    let mut table = Table::new(&["", ""]);
    for (key, shown) in value.as_object().into_iter().flatten() {
        if !shown.is_array() && !shown.is_object() {
            table.row(vec![key.clone(), table::plain(shown)]);
        }
    }
    table.print();
    if !rows(value, "shards").is_empty() {
        println!();
        show_shards(value);
    }
}

fn show_failover(value: &Value) {
    Table::of(std::slice::from_ref(value), &["shard", "from", "to", "epoch", "milliseconds"]).print();
}

fn show_nodes(value: &Value) {
    Table::of(
        rows(value, "nodes"),
        &["id", "kind", "zone", "address", "http", "state", "engine", "endpoints", "detail"],
    )
    .print();
}

fn show_shards(value: &Value) {
    let columns = [
        "shard",
        "node",
        "zone",
        "role",
        "epoch",
        "position",
        "durable",
        "lag_records",
        "lag_ms",
        "keys",
        "bytes",
        "lease_left_ms",
        "detail",
    ];
    Table::of(rows(value, "shards"), &columns).print();
}

fn show_snapshots(value: &Value) {
    Table::of(
        rows(value, "snapshots"),
        &["shard", "position", "created", "segments", "keys", "bytes", "log_epoch"],
    )
    .print();
}

fn show_verified(value: &Value) {
    Table::of(rows(value, "verified"), &["shard", "position", "segments", "keys", "bytes", "result"]).print();
}

fn show_members(value: &Value) {
    Table::of(rows(value, "members"), &["number", "zone", "address"]).print();
}

fn show_log(value: &Value) {
    if !rows(value, "members").is_empty() {
        show_members(value);
        println!();
    }
    let columns = ["shard", "epoch", "owner", "tail", "durable", "trim", "bytes", "chain", "leader"];
    Table::of(rows(value, "shards"), &columns).print();
    println!();
    Table::of(rows(value, "groups"), &["shard", "members", "change"]).print();
    println!();
    Table::of(rows(value, "replicas"), &["shard", "zone", "id", "state", "part", "lag", "error"]).print();
}
