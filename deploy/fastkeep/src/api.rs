//! The HTTP port of every process: `/metrics`, `/healthz`, `/readyz`, and `/api/v1/...` behind `fastkeep ctl`.
//!
//! A process answers for the parts that it has and for the log that it is connected to; what it has not is
//! refused by name.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use config_cluster::{ClusterMap, Endpoints, NODES, NodeRecord, RoleName, failover_key};
use config_runtime::http::{Handler, HttpRequest, HttpResponse};
use config_runtime::metrics_page::MetricsPage;
use hyper::{Method, StatusCode};
use logsvc_client::{LogService, META_LOG, MemberChange, ROSTER, ReplicaState, Roster, ShardDescription};
use proxy_server::ProxyHandle;
use proxy_shard::Role;
use serde_json::{Value, json};
use snapshot_repo::{Listed, Repository};
use snapshot_worker::SnapshotterHandle;

/// The parts of this process that can be asked.
pub struct Api {
    mode: &'static str,
    shards: u32,
    zone: Option<String>,
    started: Instant,
    page: MetricsPage,
    log: Option<Arc<dyn LogService>>,
    proxy: Option<(Arc<ProxyHandle>, String)>,
    snapshots: Option<(Arc<SnapshotterHandle>, Arc<Repository>)>,
    /// Of a process that keeps the log.
    replica: Option<logsvc_server::Health>,
}

/// How long a planned hand-over may take.
const FAILOVER_LIMIT: Duration = Duration::from_secs(10);

type Answer = Result<Value, (StatusCode, String)>;

impl Api {
    /// An API of a process of this kind, without parts yet.
    pub fn new(mode: &'static str, shards: u32, page: MetricsPage) -> Self {
        Self {
            mode,
            shards,
            zone: None,
            started: Instant::now(),
            page,
            log: None,
            proxy: None,
            snapshots: None,
            replica: None,
        }
    }

    /// Adds the log.
    pub fn with_log(mut self, log: Arc<dyn LogService>) -> Self {
        self.log = Some(log);
        self
    }

    /// Adds the log replica of this process.
    pub fn with_replica(mut self, replica: logsvc_server::Health) -> Self {
        self.replica = Some(replica);
        self
    }

    /// Adds the zone that the process is in.
    pub fn in_zone(mut self, zone: &str) -> Self {
        self.zone = Some(zone.to_owned());
        self
    }

    /// Adds the proxy and the name under which its node claims shards.
    pub fn with_proxy(mut self, proxy: Arc<ProxyHandle>, owner: &str) -> Self {
        self.proxy = Some((proxy, owner.to_owned()));
        self
    }

    /// Adds the snapshotter.
    pub fn with_snapshots(
        mut self,
        snapshotter: Arc<SnapshotterHandle>,
        repository: Arc<Repository>,
    ) -> Self {
        self.snapshots = Some((snapshotter, repository));
        self
    }

    /// The handler for the HTTP server. Also keeps the metrics small.
    pub fn handler(self) -> Handler {
        tokio::spawn(self.page.clone().keep_small());
        let api = Arc::new(self);
        Arc::new(move |request| {
            let api = Arc::clone(&api);
            Box::pin(async move { api.answer(request).await })
        })
    }

    async fn answer(&self, request: HttpRequest) -> HttpResponse {
        let get = request.method == Method::GET;
        match request.path.as_str() {
            "/metrics" if get => HttpResponse::text(StatusCode::OK, self.page.render()),
            "/healthz" if get => HttpResponse::text(StatusCode::OK, "ok\n"),
            "/readyz" if get => match self.why_not_ready() {
                None => HttpResponse::text(StatusCode::OK, "ready\n"),
                Some(why) => HttpResponse::text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            },
            path => match path.strip_prefix("/api/v1/") {
                Some(question) => respond(self.question(&request.method, question, &request.query).await),
                None => HttpResponse::error(StatusCode::NOT_FOUND, format!("there is no {path}")),
            },
        }
    }

    async fn question(&self, method: &Method, question: &str, query: &str) -> Answer {
        match (method, question) {
            (&Method::GET, "status") => Ok(self.status()),
            (&Method::GET, "nodes") => self.nodes().await,
            (&Method::GET, "shards") => self.shards().await,
            (&Method::POST, "failover") => self.failover(query).await,
            (&Method::GET, "log") => self.log_info().await,
            (&Method::POST, "log/members") => self.change_log_members(query).await,
            (&Method::GET, "snapshots") => self.list_snapshots().await,
            (&Method::POST, "snapshots") => self.create_snapshot(shard_of(query)?).await,
            (&Method::POST, "snapshots/verify") => self.verify_snapshots(shard_of(query)?).await,
            _ => Err((StatusCode::NOT_FOUND, format!("there is no {method} /api/v1/{question}"))),
        }
    }

    /// Why this process cannot do its work now.
    fn why_not_ready(&self) -> Option<String> {
        if let Some(why) = self.replica.as_ref().and_then(logsvc_server::Health::waits_for) {
            return Some(why);
        }
        let (proxy, _) = self.proxy.as_ref()?;
        let status = proxy.status();
        if proxy.is_ready() {
            return None;
        }
        let waiting = status
            .shards
            .iter()
            .find(|shard| !matches!(shard.role, Role::Primary | Role::Replica | Role::Absent));
        waiting.map(|shard| format!("shard {}: {}", shard.shard, shard.note))
    }

    fn status(&self) -> Value {
        let why = self.why_not_ready();
        let mut status = json!({
            "mode": self.mode,
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.started.elapsed().as_secs(),
            "ready": why.is_none(),
            "allocated_bytes": crate::parts::allocated_bytes(),
        });
        if let Some(why) = why {
            status["reason"] = json!(why);
        }
        if let Some((proxy, _)) = &self.proxy {
            status["port"] = json!(proxy.port());
            status["connections"] = json!(proxy.status().connections);
            status["shards"] = self.shard_rows();
        }
        if let Some((snapshotter, _)) = &self.snapshots {
            status["snapshots"] = json!(snapshotter.status());
        }
        status
    }

    /// Shards of this process, and what the cluster's other nodes say about theirs.
    async fn shards(&self) -> Answer {
        let own = self.proxy.as_ref().map(|(_, owner)| owner.as_str());
        let mut rows = match self.shard_rows() {
            Value::Array(rows) => rows,
            _ => Vec::new(),
        };
        for node in self.accounts().await? {
            if Some(node.id.as_str()) == own {
                continue;
            }
            rows.extend(node.shards.iter().map(|held| {
                json!({
                    "shard": held.shard, "node": node.id, "zone": node.zone, "role": held.role, "epoch": held.epoch,
                    "position": held.position, "lag_records": held.lag_records, "lag_ms": held.lag_ms,
                    "detail": held.note,
                })
            }));
        }
        rows.sort_by_key(|row| (row["shard"].as_u64(), row["role"] != "primary"));
        Ok(json!({ "shards": rows }))
    }

    /// What nodes have written about themselves.
    async fn accounts(&self) -> Result<Vec<NodeRecord>, (StatusCode, String)> {
        let log = self.log.as_ref().ok_or_else(|| self.lacks("log"))?;
        let listed = log.meta_list(NODES).await;
        let listed = listed.map_err(|e| (StatusCode::SERVICE_UNAVAILABLE, format!("metadata log: {e}")))?;
        Ok(listed.iter().filter_map(|(_, found)| NodeRecord::decode(&found.value)).collect())
    }

    /// Asks for a planned hand-over and waits until another epoch is served.
    async fn failover(&self, query: &str) -> Answer {
        let shard = shard_of(query)?.unwrap_or(0);
        let to = query.split('&').find_map(|pair| pair.strip_prefix("to=")).unwrap_or("*").to_owned();
        let log = self.log.as_ref().ok_or_else(|| self.lacks("log"))?;
        let failed = |e: logsvc_client::LogError| (StatusCode::SERVICE_UNAVAILABLE, format!("log: {e}"));
        let before = log.describe(shard).await.map_err(failed)?;
        let map = ClusterMap::new(self.accounts().await?);
        let follows = |id: &str| map.replicas(shard).any(|(node, _)| node.id == id);
        if (to == "*" && map.replicas(shard).next().is_none()) || (to != "*" && !follows(&to)) {
            let what = if to == "*" {
                "no replica follows it".to_owned()
            } else {
                format!("{to} is no replica of it")
            };
            return Err((StatusCode::CONFLICT, format!("shard {shard} can't be handed over: {what}")));
        }
        log.meta_put(&failover_key(shard), to.into_bytes().into(), None).await.map_err(failed)?;
        let begun = Instant::now();
        while begun.elapsed() < FAILOVER_LIMIT {
            let now = log.describe(shard).await.map_err(failed)?;
            if now.epoch > before.epoch {
                return Ok(json!({
                    "shard": shard, "from": before.owner, "to": now.owner, "epoch": now.epoch,
                    "milliseconds": begun.elapsed().as_millis() as u64,
                }));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err((StatusCode::GATEWAY_TIMEOUT, format!("shard {shard} was not handed over in {FAILOVER_LIMIT:?}")))
    }

    fn shard_rows(&self) -> Value {
        let Some((proxy, _)) = &self.proxy else { return json!([]) };
        let status = proxy.status();
        let own = self.proxy.as_ref().map(|(_, owner)| owner);
        let rows = status.shards.iter().map(|shard| {
            json!({
                "shard": shard.shard,
                "node": own,
                "zone": self.zone,
                "role": format!("{:?}", shard.role).to_lowercase(),
                "epoch": shard.epoch,
                "position": shard.position,
                "durable": shard.durable,
                "lag_records": shard.lag,
                "lag_ms": shard.lag_ms,
                "keys": shard.keys,
                "bytes": shard.bytes,
                "lease_left_ms": shard.lease_left_ms,
                "demotions": shard.demotions,
                "restore_percent": shard.restore_percent,
                "detail": shard.note,
            })
        });
        rows.collect()
    }

    /// This process's node and the others, and the log's replicas as shard 0's leader sees them.
    async fn nodes(&self) -> Answer {
        let mut nodes = Vec::new();
        let own = self.proxy.as_ref().map(|(_, owner)| owner.as_str());
        if let Some((proxy, owner)) = &self.proxy {
            let state = if self.why_not_ready().is_none() { "serving" } else { "not ready" };
            nodes.push(json!({
                "id": owner, "kind": "proxy", "zone": self.zone, "address": format!("port {}", proxy.port()),
                "state": state, "engine": proxy_shard::ENGINE_VERSION, "endpoints": addresses(proxy.announced_endpoints().as_ref(), self.shards),
                "detail": self.why_not_ready(),
            }));
        }
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        for node in self.accounts().await? {
            if Some(node.id.as_str()) == own {
                nodes.retain(|known| known["id"] != node.id.as_str());
            }
            let silent_ms = now_ms.saturating_sub(node.beat);
            let state = match silent_ms {
                _ if node.leaving => "leaving",
                0..=3_000 => "serving",
                _ => "silent",
            };
            let count = |role| node.shards.iter().filter(|held| held.role == role).count();
            let detail =
                format!("{} primaries, {} replicas", count(RoleName::Primary), count(RoleName::Replica));
            nodes.push(json!({
                "id": node.id, "kind": "proxy", "zone": node.zone, "address": node.address, "http": node.http,
                "state": state, "engine": node.engine_version, "endpoints": addresses(node.endpoints.as_ref(), self.shards),
                "silent_ms": silent_ms, "detail": detail,
            }));
        }
        for description in self.descriptions().await? {
            if description.shard > 0 {
                break;
            }
            for replica in &description.replicas {
                nodes.push(json!({
                    "id": format!("{:x}", replica.id), "kind": "log replica", "zone": replica.az,
                    "state": state_name(replica.state), "detail": replica.error,
                }));
            }
        }
        Ok(json!({ "nodes": nodes }))
    }

    async fn descriptions(&self) -> Result<Vec<ShardDescription>, (StatusCode, String)> {
        let Some(log) = &self.log else { return Err(self.lacks("log")) };
        let mut all = Vec::new();
        for shard in 0..self.shards {
            let described = log.describe(shard).await;
            all.push(
                described
                    .map_err(|e| (StatusCode::SERVICE_UNAVAILABLE, format!("log of shard {shard}: {e}")))?,
            );
        }
        Ok(all)
    }

    async fn log_info(&self) -> Answer {
        let descriptions = self.descriptions().await?;
        let log = self.log.as_ref().ok_or_else(|| self.lacks("log"))?;
        let meta = log.describe(META_LOG).await;
        let meta = meta.map_err(|e| (StatusCode::SERVICE_UNAVAILABLE, format!("metadata log: {e}")))?;
        let shards: Vec<Value> = descriptions
            .iter()
            .map(|log| {
                let leader = log.replicas.iter().find(|replica| Some(replica.id) == log.leader);
                json!({
                    "shard": log.shard, "epoch": log.epoch, "owner": log.owner, "tail": log.tail,
                    "durable": log.durable, "trim": log.trim, "bytes": log.bytes,
                    "chain": format!("{:016x}", log.chain), "leader": leader.map(|replica| replica.az.clone()),
                    "lease_ms": log.lease_ms, "lease_left_ms": log.lease_remaining_ms,
                })
            })
            .collect();
        let replicas: Vec<Value> = descriptions
            .iter()
            .chain([&meta])
            .flat_map(|log| log.replicas.iter().map(move |replica| (log.shard, replica)))
            .map(|(shard, replica)| {
                json!({
                    "shard": group_name(shard), "zone": replica.az, "id": format!("{:x}", replica.id),
                    "state": state_name(replica.state), "part": format!("{:?}", replica.part).to_lowercase(),
                    "lag": replica.lag, "error": replica.error,
                })
            })
            .collect();
        let roster = log.meta_get(ROSTER).await;
        let roster = roster.map_err(|e| (StatusCode::SERVICE_UNAVAILABLE, format!("metadata log: {e}")))?;
        let roster = roster.and_then(|found| Roster::decode(&found.value));
        let changes: Vec<Value> = descriptions
            .iter()
            .chain([&meta])
            .map(|log| {
                let change = MemberChange::of(log, roster.as_ref());
                json!({ "shard": group_name(log.shard), "members": change.state, "change": change.detail })
            })
            .collect();
        let members = roster.map_or_else(|| json!([]), |roster| members(&roster));
        Ok(json!({ "members": members, "shards": shards, "groups": changes, "replicas": replicas }))
    }

    /// Sets who keeps the log; the log's leaders then lead their groups there, one change after the other.
    async fn change_log_members(&self, query: &str) -> Answer {
        let log = self.log.as_ref().ok_or_else(|| self.lacks("log"))?;
        let failed =
            |e: logsvc_client::LogError| (StatusCode::SERVICE_UNAVAILABLE, format!("metadata log: {e}"));
        let value = |name: &str| {
            let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_default()
        };
        let (zone, address) = (value("zone"), value("address"));
        let found = log.meta_get(ROSTER).await.map_err(failed)?;
        let before = found.as_ref().and_then(|found| Roster::decode(&found.value));
        let (Some(found), Some(before)) = (found, before) else {
            let why =
                "the replicas of this log can't be changed: they are one process, or it was just founded";
            return Err((StatusCode::CONFLICT, why.to_owned()));
        };
        let changed = match value("do") {
            "add" => before.with(zone, address),
            "remove" => before.without(zone),
            "replace" => {
                let new_zone = if value("new-zone").is_empty() { zone } else { value("new-zone") };
                before.replacing(zone, new_zone, address)
            }
            other => Err(format!("`{other}` is nothing that can be done: add, remove or replace")),
        };
        let changed = changed.map_err(|why| (StatusCode::CONFLICT, why))?;
        // Who comes finds only those of the roster: enough of them must be voters everywhere.
        let meta = log.describe(META_LOG).await.map_err(failed)?;
        for group in self.descriptions().await?.iter().chain([&meta]) {
            let voters = group.replicas.iter().filter(|replica| replica.state != ReplicaState::Learner);
            let stays = |id: u64| changed.member((id >> 48) as u16).is_some();
            let (stay, all) =
                voters.fold((0, 0), |(stay, all), voter| (stay + usize::from(stays(voter.id)), all + 1));
            if stay * 2 <= all {
                let why =
                    "the last change of the log's replicas has to be done first; see `fastkeep ctl log info`";
                return Err((StatusCode::CONFLICT, why.to_owned()));
            }
        }
        log.meta_put(ROSTER, changed.encode().into(), Some(found.revision)).await.map_err(failed)?;
        Ok(json!({ "members": members(&changed) }))
    }

    async fn list_snapshots(&self) -> Answer {
        let Some((_, repository)) = &self.snapshots else { return Err(self.lacks("snapshotter")) };
        let mut rows = Vec::new();
        for shard in 0..self.shards {
            let listed = repository.list(shard).await;
            let listed =
                listed.map_err(|e| (StatusCode::SERVICE_UNAVAILABLE, format!("snapshot store: {e}")))?;
            rows.extend(listed.into_iter().map(|one| snapshot_row(shard, one)));
        }
        Ok(json!({ "snapshots": rows }))
    }

    async fn create_snapshot(&self, shard: Option<u32>) -> Answer {
        let Some((snapshotter, _)) = &self.snapshots else { return Err(self.lacks("snapshotter")) };
        snapshotter.trigger(shard).await.map_err(|why| (StatusCode::INTERNAL_SERVER_ERROR, why))?;
        self.list_snapshots().await.map(|all| newest_of_each(&all, shard))
    }

    /// Reads the newest snapshots back. An error when anything is wrong with one, naming the objects.
    async fn verify_snapshots(&self, shard: Option<u32>) -> Answer {
        let Some((_, repository)) = &self.snapshots else { return Err(self.lacks("snapshotter")) };
        let (mut rows, mut problems) = (Vec::new(), Vec::new());
        for id in (0..self.shards).filter(|id| shard.is_none_or(|wanted| wanted == *id)) {
            let failed =
                |e: snapshot_repo::RepoError| (StatusCode::INTERNAL_SERVER_ERROR, format!("shard {id}: {e}"));
            if let Some(manifest) = repository.latest(id).await.map_err(failed)? {
                let report = repository.verify(id, manifest.position).await.map_err(failed)?;
                problems.extend(report.problems.iter().map(|problem| format!("shard {id}: {problem}")));
                rows.push(json!({
                    "shard": id, "position": report.position, "segments": report.segments, "keys": manifest.keys(),
                    "bytes": manifest.bytes(), "result": "ok",
                }));
            }
        }
        if problems.is_empty() {
            Ok(json!({ "verified": rows }))
        } else {
            Err((StatusCode::INTERNAL_SERVER_ERROR, problems.join("; ")))
        }
    }

    fn lacks(&self, part: &str) -> (StatusCode, String) {
        let text = format!(
            "this is fastkeep {}, which has no {part}; point --http at a process that has",
            self.mode
        );
        (StatusCode::NOT_FOUND, text)
    }
}

/// The log's members as rows.
fn members(roster: &Roster) -> Value {
    let row = |member: &logsvc_client::RosterMember| json!({ "number": member.number, "zone": member.zone, "address": member.address });
    roster.members.iter().map(row).collect()
}

fn respond(answer: Answer) -> HttpResponse {
    match answer {
        Ok(value) => HttpResponse::json(StatusCode::OK, &value),
        Err((status, message)) => HttpResponse::error(status, message),
    }
}

/// `shard=N` in a query.
fn shard_of(query: &str) -> Result<Option<u32>, (StatusCode, String)> {
    let Some(text) = query.split('&').find_map(|pair| pair.strip_prefix("shard=")) else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|_| (StatusCode::BAD_REQUEST, format!("`{text}` is not the number of a shard")))
}

/// A shard's number, or the metadata log.
fn group_name(shard: u32) -> Value {
    if shard == META_LOG { json!("metadata") } else { json!(shard) }
}

/// The endpoints of a node's shards, in the order of the shards' numbers; those under TLS where there are no plain ones.
fn addresses(endpoints: Option<&Endpoints>, shards: u32) -> Vec<String> {
    let Some(Endpoints { host, port, tls_port }) = endpoints else { return Vec::new() };
    let first = if *port > 0 { *port } else { *tls_port };
    (0..shards).map(|shard| format!("{host}:{}", u32::from(first) + shard)).collect()
}

fn state_name(state: ReplicaState) -> String {
    format!("{state:?}").to_lowercase()
}

fn snapshot_row(shard: u32, listed: Listed) -> Value {
    match listed.manifest {
        Ok(manifest) => json!({
            "shard": shard, "position": manifest.position, "created": manifest.created_ms,
            "segments": manifest.segments.len(), "keys": manifest.keys(), "bytes": manifest.bytes(),
            "log_epoch": manifest.epoch,
            "objects": manifest.segments.iter().map(|segment| segment.object.clone()).collect::<Vec<_>>(),
        }),
        Err(error) => json!({ "shard": shard, "position": listed.position, "error": error.to_string() }),
    }
}

/// Of a list of snapshots, the newest of each shard that was asked for.
fn newest_of_each(all: &Value, shard: Option<u32>) -> Value {
    let mut newest: Vec<&Value> = Vec::new();
    for row in all["snapshots"].as_array().into_iter().flatten() {
        if shard.is_some_and(|wanted| row["shard"] != wanted) {
            continue;
        }
        match newest.iter_mut().find(|known| known["shard"] == row["shard"]) {
            Some(known) if known["position"].as_u64() < row["position"].as_u64() => *known = row,
            Some(_) => {}
            None => newest.push(row),
        }
    }
    json!({ "snapshots": newest })
}
