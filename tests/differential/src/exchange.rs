//! Data sets change places: the RDB segments of our snapshot are loaded into a redis-server, and the RDB file of a
//! redis-server is read here. Either way the digest has to be the same, and so have the function libraries and everything
//! that XINFO says of streams, whose groups the digest leaves out.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proxy_engine::DataDigest;
use proxy_store::{Keyspace, Limits, SLOTS};
use snapshot_rdb::{About, load, save};
use tests_harness::{Oracle, Running};

use crate::agreement::without_newer_fields;
use crate::frame::Frame;
use crate::target::{Server, Target};

/// Compares both ways; gives what differs.
///
/// # Errors
/// Of connections and files.
pub fn compare(running: &Running, data: &Path, oracle: &Oracle) -> io::Result<Vec<String>> {
    let mut differences = Vec::new();
    let mut redis = Server::connect(oracle.port, 2)?;
    let expected = redis.line("DEBUG DIGEST")?.text();
    let libraries = redis.line("FUNCTION LIST WITHCODE")?;
    if libraries.parts().is_empty() {
        differences.push("there is no function library to exchange".to_owned());
    }
    let mut check = |what: &str, files: &[PathBuf], streams_before: Streams| -> io::Result<()> {
        let reader = Oracle::start(&[]);
        let mut server = Server::connect(reader.port, 2)?;
        let mut brought = false;
        for file in files {
            fs::copy(file, reader.rdb())?;
            let loaded = server.line("DEBUG RELOAD NOSAVE NOFLUSH")?.text();
            if loaded != "OK" {
                differences.push(format!("{what}: redis-server does not load {}: {loaded}", file.display()));
            }
            // Every shard has all libraries, and redis-server takes none twice.
            let got = server.line("FUNCTION LIST WITHCODE")?;
            if !got.parts().is_empty() {
                brought = true;
                if got != libraries {
                    differences.push(format!("{what}: expected {libraries:?}\n  got      {got:?}"));
                }
                server.line("FUNCTION FLUSH")?;
            }
        }
        let got = server.line("DEBUG DIGEST")?.text();
        if got != expected {
            differences.push(format!("{what}: digest {got}, expected {expected}"));
        }
        if !brought {
            differences.push(format!("{what}: no function library came along"));
        }
        let loaded = streams(&mut server)?;
        for key in loaded.keys().chain(streams_before.keys()) {
            let (before, after) = (streams_before.get(key), loaded.get(key));
            if before != after {
                differences.push(format!("{what}: {key}\n  expected {before:?}\n  got      {after:?}"));
            }
        }
        Ok(())
    };
    let ours = streams(&mut Server::connect(running.port, 2)?)?;
    check("RDB segments in redis-server", &segments(running, data)?, ours)?;
    redis.line("SAVE")?;
    let mut keyspace = Keyspace::new(Limits::default());
    load(fs::File::open(oracle.rdb())?, 0..SLOTS, 1, &mut keyspace).map_err(io::Error::other)?;
    let (file, _) = save(Vec::new(), &keyspace, 0..SLOTS, &About::default()).map_err(io::Error::other)?;
    let written = oracle.folder().join("written.rdb");
    fs::write(&written, file)?;
    let theirs = streams(&mut redis)?;
    check("redis-server's RDB, read and written here, in redis-server", &[written], theirs)?;
    let digest = DataDigest::of(&keyspace, |_| false).hex();
    if digest != expected {
        differences.push(format!("redis-server's RDB read here: digest {digest}, expected {expected}"));
    }
    if let Err(error) = keyspace.check() {
        differences.push(format!("redis-server's RDB read here: {error}"));
    }
    Ok(differences)
}

/// The files of the newest snapshot of each shard.
fn segments(running: &Running, data: &Path) -> io::Result<Vec<PathBuf>> {
    running.ctl(&["snapshot", "create"]).map_err(io::Error::other)?;
    let listed = running.ctl(&["snapshot", "list", "--json"]).map_err(io::Error::other)?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let mut newest: BTreeMap<u64, (u64, Vec<String>)> = BTreeMap::new();
    for snapshot in listed["snapshots"].as_array().into_iter().flatten() {
        let (shard, position) = (snapshot["shard"].as_u64(), snapshot["position"].as_u64());
        let objects = snapshot["objects"].as_array().into_iter().flatten();
        let objects = objects.filter_map(|object| object.as_str().map(str::to_owned)).collect();
        let found = (position.unwrap_or_default(), objects);
        let kept = newest.entry(shard.unwrap_or_default()).or_default();
        if found.0 >= kept.0 {
            *kept = found;
        }
    }
    let mut files = Vec::new();
    for object in newest.into_values().flat_map(|(_, objects)| objects) {
        files.push(find(data, Path::new(&object))?.ok_or_else(|| io::Error::other(format!("no {object}")))?);
    }
    Ok(files)
}

/// The file below `folder` whose path ends as `object` does.
fn find(folder: &Path, object: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = find(&path, object)? {
                return Ok(Some(found));
            }
        } else if path.ends_with(object) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// By database and key, all that XINFO says of a stream that Redis 7.0 knows, but for the inner nodes of its radix tree.
type Streams = BTreeMap<String, String>;

fn streams(server: &mut Server) -> io::Result<Streams> {
    let mut found = BTreeMap::new();
    for db in 0..16 {
        server.line(&format!("SELECT {db}"))?;
        let keys = server.line("KEYS *")?;
        for key in keys.parts() {
            let Frame::Bulk(key) = key else { continue };
            if server.run(&vec!["TYPE".into(), key.clone()])?.text() != "stream" {
                continue;
            }
            let words = ["XINFO", "STREAM"].map(|word| word.as_bytes().to_vec());
            let full = ["FULL", "COUNT", "0"].map(|word| word.as_bytes().to_vec());
            let info = server.run(&[&words[..], std::slice::from_ref(key), &full].concat())?;
            let info = without_newer_fields(&info);
            let kept = info.parts().chunks(2).filter(|pair| pair[0].text() != "radix-tree-nodes");
            found.insert(format!("{db} {}", key.escape_ascii()), format!("{:?}", kept.collect::<Vec<_>>()));
        }
    }
    server.line("SELECT 0")?;
    Ok(found)
}
