//! The scripts that clients have shown to this node, by SHA-1. No part of the data: a restart forgets them, and clients
//! show them again. As in Redis they are kept until SCRIPT FLUSH.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use proxy_script::Sha;

/// Known to all workers; each compiles for itself what it runs.
#[derive(Default)]
pub(crate) struct ScriptCache {
    scripts: RwLock<HashMap<Sha, Arc<[u8]>>>,
    generation: AtomicU64,
}

impl ScriptCache {
    pub(crate) fn get(&self, sha: Sha) -> Option<Arc<[u8]>> {
        self.scripts.read().get(&sha).cloned()
    }

    pub(crate) fn contains(&self, sha: Sha) -> bool {
        self.scripts.read().contains_key(&sha)
    }

    pub(crate) fn insert(&self, sha: Sha, code: &[u8]) {
        self.scripts.write().entry(sha).or_insert_with(|| code.into());
    }

    /// How many there are, and their bytes.
    pub(crate) fn figures(&self) -> (u64, u64) {
        let scripts = self.scripts.read();
        let bytes = scripts.values().map(|code| (code.len() + size_of::<(Sha, Arc<[u8]>)>()) as u64).sum();
        (scripts.len() as u64, bytes)
    }

    /// Forgets all; workers drop what they have compiled before they run the next one.
    pub(crate) fn flush(&self) {
        let mut scripts = self.scripts.write();
        scripts.clear();
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Changes with every flush.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
