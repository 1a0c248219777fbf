//! Proves that real programs do their work on Fastkeep unchanged, and lose nothing when the server is killed in between:
//! each runs against redis-server first, which proves the program, then against Fastkeep with one shard, and with
//! four where its keys allow it. What each shows stands at its top and in docs/compatibility.md.

use tests_clients::{Program, Server};

/// On how many shards it must work. RQ's names are fixed, and its transactions use several of them: one shard.
fn everywhere(program: &Program, shards: &[u32]) {
    program.run(&mut Server::redis());
    for &shards in shards {
        let folder = tempfile::tempdir().expect("a folder");
        program.run(&mut Server::fastkeep(folder.path(), shards));
    }
}

/// The same for a program that speaks Redis Cluster.
fn on_clusters(program: &Program) {
    program.run(&mut Server::redis_cluster());
    for shards in [1, 3] {
        let folder = tempfile::tempdir().expect("a folder");
        program.run(&mut Server::fastkeep_cluster(folder.path(), shards));
    }
}

#[test]
fn redis_py_cluster() {
    on_clusters(&Program::python("redis_py_cluster.py"));
}

#[test]
fn node_clusters() {
    if let Some(program) = Program::node("node_clusters.mjs") {
        on_clusters(&program);
    }
}

macro_rules! python {
    ($($name:ident on $shards:expr;)*) => {$(
        #[test]
        fn $name() {
            everywhere(&Program::python(concat!(stringify!($name), ".py")), &$shards);
        }
    )*};
}

macro_rules! node {
    ($($name:ident on $shards:expr;)*) => {$(
        #[test]
        fn $name() {
            if let Some(program) = Program::node(concat!(stringify!($name), ".mjs")) {
                everywhere(&program, &$shards);
            }
        }
    )*};
}

python! {
    redis_py on [1, 4];
    messages on [1, 4];
    rq_jobs on [1];
    celery_jobs on [1, 4];
    locks on [1, 4];
    rate_limits on [1, 4];
    caches on [1, 4];
    actors on [1, 4];
}

node! {
    node_redis on [1, 4];
    caching on [1, 4];
    ioredis on [1, 4];
    bullmq on [1, 4];
    locks_and_limits on [1, 4];
    sessions on [1, 4];
}

#[test]
fn sidekiq_jobs() {
    if let Some(program) = Program::ruby("sidekiq_jobs.rb", "sidekiq") {
        everywhere(&program, &[1, 4]);
    }
}
