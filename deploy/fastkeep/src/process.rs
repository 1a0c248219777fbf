//! The parts as processes of their own over TCP, and what all processes share: runtime, identity, waiting.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config_runtime::http::HttpPorts;
use config_runtime::metrics_page::MetricsPage;
use config_settings::{Http, LogCluster, LogService as LogSettings, Logging, Proxy, Snapshot};
use logsvc_client::LogService;
use logsvc_client::tcp::{Endpoint, LinkTls, TcpConfig, TcpLog};
use logsvc_server::{PeerConfig, ServerConfig};
use proxy_server::{ClusterConfig, ProxyHandle};
use snapshot_worker::Snapshotter;
use tokio::sync::Notify;

use crate::api::Api;
use crate::parts::{self, ProcessHooks, ProxySettings};
use crate::tls::{Identities, plain_port};

/// Runs a future on a runtime of this process.
///
/// # Errors
/// The future's, or that no runtime can be started.
pub fn block_on<F: Future<Output = Result<(), String>>>(future: F) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("fastkeep-service")
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start threads: {e}"))?;
    let outcome = runtime.block_on(future);
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome
}

/// Starts logs and metrics of this process.
///
/// # Errors
/// When the logging settings are wrong.
pub fn observe(logging: &Logging) -> Result<MetricsPage, String> {
    config_runtime::logging::start(&logging.format, &logging.filter)?;
    let page = config_runtime::metrics_page::install()?;
    logsvc_server::metric_names::describe();
    proxy_server::metric_names::describe();
    Ok(page)
}

/// Waits for a signal, or for SHUTDOWN from a client.
///
/// # Errors
/// When signals cannot be watched.
pub async fn stop_requested(stop: &Notify) -> Result<(), String> {
    tokio::select! {
        signal = config_runtime::shutdown::requested() => tracing::info!(signal = signal?, "asked to stop"),
        () = stop.notified() => tracing::info!("asked to stop by SHUTDOWN"),
    }
    Ok(())
}

/// Waits until every shard is served, or followed by one node of several. False when asked to stop before that.
pub async fn wait_until_served(proxy: &ProxyHandle, stop: &Notify) -> bool {
    let served = async {
        while !proxy.is_ready() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = served => true,
        _ = stop_requested(stop) => false,
    }
}

/// Says on standard output that clients are served, and where.
pub fn say_ready(bind: &str, proxy: &ProxyHandle) {
    if proxy.tls_port() != 0 {
        println!("tls on {bind}:{}", proxy.tls_port());
    }
    let port = if proxy.port() == 0 { proxy.tls_port() } else { proxy.port() };
    if let Some(endpoints) = proxy.endpoints() {
        println!("cluster endpoints from {bind}:{endpoints} on");
    }
    println!("ready on {bind}:{port}");
}

/// Opens the HTTP ports of a process of its own.
async fn http_ports(http: &Http, tls: &Identities) -> Result<HttpPorts, String> {
    let plain = plain_port(http.port, http.tls_port);
    config_runtime::http::listen(&http.bind, plain, tls.http(http.tls_port)).await
}

/// The name under which this node claims shards: made once, kept in the node's folder. The same name may
/// claim again at once after a restart, so it must belong to one process at a time; the folder's lock sees
/// to that.
///
/// # Errors
/// When the folder cannot be read or written.
pub fn node_identity(folder: &Path) -> Result<String, String> {
    let path = folder.join("node-id");
    let wrong = |e: std::io::Error| format!("{}: {e}", path.display());
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(wrong(e)),
    }
    let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid").map_err(wrong)?;
    let identity = format!("node-{}", random.trim().split('-').next().unwrap_or("0"));
    std::fs::write(&path, format!("{identity}\n")).map_err(wrong)?;
    Ok(identity)
}

/// Connects to the log service.
fn connect(log: &LogCluster, zone: &str, tls: Option<LinkTls>) -> Result<Arc<dyn LogService>, String> {
    let endpoints = log.zones().map_err(|e| e.to_string())?;
    let config = TcpConfig {
        endpoints: endpoints.into_iter().map(|(az, address)| Endpoint { az, address }).collect(),
        az: zone.to_owned(),
        deadline: Duration::from_millis(log.append_timeout_ms),
        tls,
    };
    TcpLog::connect(config).map_err(|error| format!("cannot reach the log service: {error}"))
}

/// `fastkeep logsvc`.
///
/// # Errors
/// Why it cannot start.
pub fn run_logsvc(settings: LogSettings) -> Result<(), String> {
    let page = observe(&settings.logging)?;
    let data = PathBuf::from(&settings.data);
    let tls = Identities::load(&settings.tls, &[settings.http.tls_port], Some(&settings.log.tls))?;
    let _lock = config_runtime::data_lock::lock(&data)?;
    let peers = settings.log.zones().map_err(|e| e.to_string())?;
    let (own, others): (Vec<_>, Vec<_>) = peers.into_iter().partition(|(zone, _)| *zone == settings.zone);
    let own = own.into_iter().map(|(_, address)| address).next().unwrap_or_default();
    let listen = if settings.listen.is_empty() { own.clone() } else { settings.listen.clone() };
    let peers = others.into_iter().map(|(az, address)| PeerConfig { az, address }).collect();
    let config = ServerConfig {
        shards: settings.shards,
        address: own,
        cache_bytes: settings.storage.cache_mb << 20,
        timing: parts::timing(&settings.storage),
        auto_replace: settings.storage.replace_wiped,
        tls: tls.log(),
        ..ServerConfig::new(&listen, &settings.zone, data, peers)
    };
    block_on(async move {
        tls.follow();
        let http = http_ports(&settings.http, &tls).await?;
        let server = logsvc_server::serve(config).await.map_err(|error| error.to_string())?;
        let log = connect(&settings.log, &settings.zone, tls.log())?;
        let api = Api::new("logsvc", settings.shards, page).with_log(log).with_replica(server.health());
        http.announce();
        http.serve(&api.handler());
        let stop = Notify::new();
        tokio::select! {
            () = wait_until_serving(&server) => println!("ready on {}", server.address()),
            stopped = stop_requested(&stop) => return stopped,
        }
        stop_requested(&stop).await?;
        server.stop().await;
        Ok(())
    })
}

/// Waits until a log replica takes part in the log; until then it waits for its peers and says so.
async fn wait_until_serving(server: &logsvc_server::ServerHandle) {
    while !server.is_serving() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `fastkeep proxy`.
///
/// # Errors
/// Why it cannot start.
pub fn run_proxy(settings: Proxy) -> Result<(), String> {
    let page = observe(&settings.logging)?;
    parts::raise_file_limit(settings.limits.max_clients);
    let data = PathBuf::from(&settings.data);
    let ports = [settings.tls_port, settings.http.tls_port, settings.cluster.tls_port];
    let tls = Identities::load(&settings.tls, &ports, Some(&settings.log.tls))?;
    let _lock = config_runtime::data_lock::lock(&data)?;
    block_on(async move {
        tls.follow();
        let http = http_ports(&settings.http, &tls).await?;
        let log = connect(&settings.log, &settings.zone, tls.log())?;
        let repository = parts::repository(&settings.store, &data.join("snapshots"))?;
        let stop = Arc::new(Notify::new());
        let owner = node_identity(&data)?;
        let given = ProxySettings {
            bind: &settings.bind,
            port: plain_port(settings.port, settings.tls_port),
            tls: tls.redis(settings.tls_port),
            shards: settings.shards,
            owner: owner.clone(),
            primary: &settings.primary,
            limits: &settings.limits,
            engine: &settings.engine,
            memory: &settings.memory,
            users: &settings.users,
            parameters: crate::parameters::given(&settings.redis_conf, &data)?,
            cluster: Some(ClusterConfig {
                zone: settings.zone.clone(),
                advertise: settings.node.advertise.clone(),
                http: http.address().map(|address| address.to_string()).unwrap_or_default(),
                replicas: settings.node.replicas,
                tls: settings.tls.cluster,
                links: tls.nodes(),
            }),
            endpoints: parts::endpoints(
                &settings.cluster,
                tls.redis(settings.cluster.tls_port),
                announced_host(&settings),
            ),
        };
        let hooks = Arc::new(ProcessHooks::new(None, tls.ports.clone(), &data, Arc::clone(&stop)));
        let config = parts::proxy(&given, Arc::clone(&log), Arc::clone(&repository), hooks)?;
        let proxy = Arc::new(proxy_server::start(config).map_err(|error| {
            format!("cannot start the proxy on {}:{}: {error}", settings.bind, settings.port)
        })?);
        let api = Api::new("proxy", settings.shards, page)
            .in_zone(&settings.zone)
            .with_log(log)
            .with_proxy(Arc::clone(&proxy), &owner);
        http.announce();
        http.serve(&api.handler());
        if wait_until_served(&proxy, &stop).await {
            say_ready(&settings.bind, &proxy);
            stop_requested(&stop).await?;
        }
        if tokio::time::timeout(Duration::from_secs(10), proxy.shutdown()).await.is_err() {
            tracing::warn!("the proxy did not stop in time; its unanswered writes stay unanswered");
        }
        Ok(())
    })
}

/// The host under which a node is reached, without a port.
fn announced_host(settings: &Proxy) -> &str {
    let advertised = settings.node.advertise.as_str();
    let host = match advertised.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && (host.ends_with(']') || !host.contains(':')) => {
            host
        }
        _ => advertised,
    };
    if host.is_empty() { &settings.bind } else { host.trim_matches(['[', ']']) }
}

/// `fastkeep snapshot`.
///
/// # Errors
/// Why it cannot start.
pub fn run_snapshot(settings: Snapshot) -> Result<(), String> {
    let page = observe(&settings.logging)?;
    let data = PathBuf::from(&settings.data);
    let tls = Identities::load(&settings.tls, &[settings.http.tls_port], Some(&settings.log.tls))?;
    let _lock = config_runtime::data_lock::lock(&data)?;
    block_on(async move {
        tls.follow();
        let http = http_ports(&settings.http, &tls).await?;
        let log = connect(&settings.log, &settings.zone, tls.log())?;
        let repository = parts::repository(&settings.store, &data.join("snapshots"))?;
        let policy = parts::snapshotter(&settings.snapshots, settings.shards, &data.join("work"));
        let snapshotter = Arc::new(Snapshotter::start(policy, Arc::clone(&log), Arc::clone(&repository)));
        let api =
            Api::new("snapshot", settings.shards, page).with_log(log).with_snapshots(snapshotter, repository);
        http.announce();
        if let Some(address) = http.address() {
            println!("ready on {address}");
        }
        http.serve(&api.handler());
        stop_requested(&Notify::new()).await
    })
}
