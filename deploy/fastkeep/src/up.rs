//! `fastkeep up`: three log replicas, proxy and snapshotter in one process, on one data folder.
//!
//! Order of start: lock, log, store, snapshotter, proxy, HTTP. The line `ready on` is printed when every
//! shard is served. Order of stop: proxy (what is answered is durable), snapshotter, log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config_settings::Up;
use logsvc_client::LogService;
use logsvc_server::{EmbeddedConfig, EmbeddedHandle, EmbeddedLog};
use proxy_server::ProxyHandle;
use snapshot_worker::{Snapshotter, SnapshotterHandle};
use tokio::sync::Notify;

use crate::api::Api;
use crate::parts::{self, ProcessHooks, ProxySettings};
use crate::process::{block_on, node_identity, observe, say_ready, stop_requested, wait_until_served};
use crate::tls::{Identities, plain_port};

/// Runs until SIGINT, SIGTERM or SHUTDOWN.
///
/// # Errors
/// Why it cannot start or serve.
pub fn run(settings: Up) -> Result<(), String> {
    let page = observe(&settings.logging)?;
    parts::raise_file_limit(settings.limits.max_clients);
    let data = PathBuf::from(&settings.data);
    let ports = [settings.tls_port, settings.http_tls_port, settings.cluster.tls_port];
    let tls = Identities::load(&settings.tls, &ports, None)?;
    let _lock = config_runtime::data_lock::lock(&data)?;
    println!("fastkeep {} on {}", env!("CARGO_PKG_VERSION"), data.display());
    let (log, log_handle) = start_log(&settings, &data)?;
    let outcome = block_on(serve(&settings, &tls, &data, log, page));
    log_handle.stop();
    outcome
}

/// The three replicas.
fn start_log(settings: &Up, data: &Path) -> Result<(Arc<dyn LogService>, EmbeddedHandle), String> {
    let config = EmbeddedConfig {
        shards: settings.shards,
        cache_bytes: settings.storage.cache_mb << 20,
        timing: parts::timing(&settings.storage),
        ..EmbeddedConfig::new(data.join("logsvc"))
    };
    EmbeddedLog::start(config).map_err(|error| format!("cannot start the log: {error}"))
}

async fn serve(
    settings: &Up,
    tls: &Identities,
    data: &Path,
    log: Arc<dyn LogService>,
    page: config_runtime::metrics_page::MetricsPage,
) -> Result<(), String> {
    let repository = parts::repository(&settings.store, &data.join("snapshots"))?;
    let stop = Arc::new(Notify::new());
    let policy = parts::snapshotter(&settings.snapshots, settings.shards, &data.join("work"));
    let snapshotter = Arc::new(Snapshotter::start(policy, Arc::clone(&log), Arc::clone(&repository)));
    tls.follow();
    let http_port = plain_port(settings.http_port, settings.http_tls_port);
    let http =
        config_runtime::http::listen(&settings.bind, http_port, tls.http(settings.http_tls_port)).await?;
    let owner = node_identity(data)?;
    let proxy = start_proxy(settings, tls, &owner, &log, &repository, &snapshotter, &stop)?;
    let api = Api::new("up", settings.shards, page)
        .with_log(Arc::clone(&log))
        .with_proxy(Arc::clone(&proxy), &owner)
        .with_snapshots(Arc::clone(&snapshotter), repository);
    http.announce();
    http.serve(&api.handler());
    let served = wait_until_served(&proxy, &stop).await;
    if served {
        say_ready(&settings.bind, &proxy);
        stop_requested(&stop).await?;
    }
    end(proxy, snapshotter).await;
    Ok(())
}

fn start_proxy(
    settings: &Up,
    tls: &Identities,
    owner: &str,
    log: &Arc<dyn LogService>,
    repository: &Arc<snapshot_repo::Repository>,
    snapshotter: &Arc<SnapshotterHandle>,
    stop: &Arc<Notify>,
) -> Result<Arc<ProxyHandle>, String> {
    let given = ProxySettings {
        bind: &settings.bind,
        port: plain_port(settings.port, settings.tls_port),
        tls: tls.redis(settings.tls_port),
        shards: settings.shards,
        owner: owner.to_owned(),
        primary: &settings.primary,
        limits: &settings.limits,
        engine: &settings.engine,
        memory: &settings.memory,
        users: &settings.users,
        parameters: crate::parameters::given(&settings.redis_conf, Path::new(&settings.data))?,
        cluster: None,
        endpoints: parts::endpoints(&settings.cluster, tls.redis(settings.cluster.tls_port), &settings.bind),
    };
    let hooks = Arc::new(ProcessHooks::new(
        Some(Arc::clone(snapshotter)),
        tls.ports.clone(),
        Path::new(&settings.data),
        Arc::clone(stop),
    ));
    let config = parts::proxy(&given, Arc::clone(log), Arc::clone(repository), hooks)?;
    proxy_server::start(config)
        .map(Arc::new)
        .map_err(|error| format!("cannot start the proxy on {}:{}: {error}", settings.bind, settings.port))
}

/// Stops proxy and snapshotter; replies that wait for the log get a moment for it.
async fn end(proxy: Arc<ProxyHandle>, snapshotter: Arc<SnapshotterHandle>) {
    tracing::info!("stopping");
    if tokio::time::timeout(Duration::from_secs(10), proxy.shutdown()).await.is_err() {
        tracing::warn!("the proxy did not stop in time; its unanswered writes stay unanswered");
    }
    drop(snapshotter);
}
