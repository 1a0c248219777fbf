//! Disks of separate log servers: a cluster forms only from all of them, a wiped or damaged one is rebuilt from the others under a new
//! identity, and nothing is served or touched when too many are gone.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{Cluster, ZONES, until};
use logsvc_client::conformance::{Primary, read_all};
use logsvc_client::{LogService, ReplicaState};

/// Long enough for a server to have asked the others several times.
const SOME_ROUNDS: Duration = Duration::from_millis(1500);

/// All replicas of the shard vote and have everything.
async fn whole(log: &Arc<dyn LogService>) -> bool {
    let Ok(found) = log.describe(0).await else { return false };
    let well = |state| matches!(state, ReplicaState::Leader | ReplicaState::Follower);
    found.replicas.len() == 3 && found.replicas.iter().all(|replica| well(replica.state) && replica.lag == 0)
}

/// The identity of a zone's replica.
async fn identity(log: &Arc<dyn LogService>, zone: usize) -> u64 {
    let found = log.describe(0).await.unwrap();
    found.replicas.iter().find(|replica| replica.az == ZONES[zone]).unwrap().id
}

async fn filled(log: &Arc<dyn LogService>, blocks: usize) -> Primary {
    let mut primary = Primary::claim(log, 0, "a", 60_000).await;
    for _ in 0..blocks {
        primary.append(1, &[1; 200]);
    }
    primary.settle().await.unwrap();
    primary
}

/// Names of everything below a folder.
fn names(dir: &Path) -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(dir)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into()).collect())
        .unwrap_or_default();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_forms_from_all_disks_or_not_at_all() {
    let mut cluster = Cluster::new(1);
    cluster.serve(2).await;
    cluster.serve(1).await;
    tokio::time::sleep(SOME_ROUNDS).await;
    // Two could be a majority of a cluster that exists: the third disk has to be seen.
    assert!(!cluster.is_serving(1) && !cluster.is_serving(2));
    assert!(!cluster.folder(1).join("db").exists());
    cluster.serve(0).await;
    let log = cluster.client(0);
    filled(&log, 10).await;
    until("all three", async || whole(&log).await).await;
    assert!((0..3).all(|number| cluster.is_serving(number)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_wiped_disk_is_rebuilt_and_two_are_not() {
    let mut cluster = Cluster::start(1).await;
    let log = cluster.client(0);
    let primary = filled(&log, 300).await;
    log.trim(0, 100).await.unwrap();
    until("all three", async || whole(&log).await).await;
    let before = identity(&log, 1).await;
    cluster.stop(1).await;
    fs::remove_dir_all(cluster.folder(1)).unwrap();
    cluster.serve(1).await;
    until("the wiped replica", async || whole(&log).await && identity(&log, 1).await != before).await;
    // Its own zone's readers get everything from it.
    let found = read_all(&cluster.client(1), 0, 101).await;
    assert_eq!(found.last().unwrap().last_position(), primary.builder.tail());

    for number in [0, 1] {
        cluster.stop(number).await;
        fs::rename(cluster.folder(number), cluster.folder(number).with_extension("gone")).unwrap();
        cluster.serve(number).await;
    }
    tokio::time::sleep(SOME_ROUNDS).await;
    for number in [0, 1] {
        assert!(!cluster.is_serving(number));
        assert_eq!(names(&cluster.folder(number)), Vec::<String>::new());
    }
    for number in [0, 1] {
        cluster.stop(number).await;
        let _ = fs::remove_dir_all(cluster.folder(number));
        fs::rename(cluster.folder(number).with_extension("gone"), cluster.folder(number)).unwrap();
        cluster.serve(number).await;
    }
    until("the disks that came back", async || whole(&log).await).await;
    assert_eq!(log.describe(0).await.unwrap().tail, primary.builder.tail());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_opened_is_kept_aside_and_rebuilt() {
    let mut cluster = Cluster::start(1).await;
    let log = cluster.client(0);
    let primary = filled(&log, 300).await;
    until("all three", async || whole(&log).await).await;
    let before = identity(&log, 2).await;
    cluster.stop(2).await;
    let database = cluster.folder(2).join("db");
    let manifest = names(&database).into_iter().find(|name| name.starts_with("MANIFEST")).unwrap();
    fs::write(database.join(manifest), b"not a manifest at all").unwrap();
    cluster.serve(2).await;
    until("the damaged replica", async || whole(&log).await && identity(&log, 2).await != before).await;
    assert!(cluster.folder(2).join("db.damaged").join("CURRENT").exists());
    let found = read_all(&cluster.client(2), 0, 1).await;
    assert_eq!(found.last().unwrap().last_position(), primary.builder.tail());
}

/// Two damaged databases, when the third alone can't prove what was acknowledged: nobody throws away what may be needed yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_databases_that_cannot_be_opened_are_left_alone() {
    let mut cluster = Cluster::start(1).await;
    let log = cluster.client(0);
    let primary = filled(&log, 300).await;
    until("all three", async || whole(&log).await).await;
    let manifest = |cluster: &Cluster, number: usize| {
        let database = cluster.folder(number).join("db");
        let name = names(&database).into_iter().find(|name| name.starts_with("MANIFEST")).unwrap();
        database.join(name)
    };
    let mut kept = Vec::new();
    for number in [1, 2] {
        cluster.stop(number).await;
        let path = manifest(&cluster, number);
        kept.push((path.clone(), fs::read(&path).unwrap()));
        fs::write(&path, b"not a manifest at all").unwrap();
    }
    for number in [1, 2] {
        cluster.serve(number).await;
    }
    for number in [1, 2] {
        let said = async || cluster.servers[number].as_ref().unwrap().health().waits_for();
        until("the damage is told", async || {
            said().await.is_some_and(|why| why.contains("damaged") && why.contains("nothing was changed"))
        })
        .await;
        assert!(!cluster.folder(number).join("db.damaged").exists());
    }
    let (path, bytes) = kept.remove(0);
    cluster.stop(1).await;
    fs::write(path, bytes).unwrap();
    cluster.serve(1).await;
    let aside = |number: usize| cluster.folder(number).join("db.damaged").exists();
    until("the one repaired by hand, and the other by these two", async || aside(2) && whole(&log).await)
        .await;
    assert!(!aside(1));
    assert_eq!(log.describe(0).await.unwrap().tail, primary.builder.tail());
}
