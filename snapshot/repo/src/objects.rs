//! Objects under a prefix: the few operations that a repository needs, retried, with outcomes made definite.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::error::RepoError;
use crate::retry::RetryPolicy;

/// Objects above this size are written and read in parts, so that a lost connection costs one part.
const PART_BYTES: u64 = 16 * 1024 * 1024;

/// Parts of one object read at a time.
const PARTS_AT_ONCE: usize = 4;

/// The largest object that is read: far above any segment, it bounds the memory a damaged manifest can ask for.
const MAX_OBJECT_BYTES: u64 = 64 << 30;

/// A store with a prefix. Names are relative to the prefix.
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    retry: RetryPolicy,
}

/// One object in a listing.
pub struct Found {
    pub name: String,
    pub modified: SystemTime,
}

impl Objects {
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str, retry: RetryPolicy) -> Self {
        Self { store, prefix: prefix.trim_matches('/').to_owned(), retry }
    }

    fn path(&self, name: &str) -> Path {
        if self.prefix.is_empty() { Path::from(name) } else { Path::from(format!("{}/{name}", self.prefix)) }
    }

    fn name(&self, path: &Path) -> Option<String> {
        let path = path.as_ref();
        if self.prefix.is_empty() {
            return Some(path.to_owned());
        }
        Some(path.strip_prefix(&self.prefix)?.strip_prefix('/')?.to_owned())
    }

    /// Writes an object whose name is bound to its content: writing it twice is harmless.
    pub async fn put(&self, name: &str, bytes: &Bytes) -> Result<(), RepoError> {
        let path = self.path(name);
        let result = if bytes.len() as u64 <= PART_BYTES {
            let put = || async { self.store.put(&path, PutPayload::from(bytes.clone())).await.map(drop) };
            self.retry.run("write", put).await
        } else {
            self.retry.run("write", || self.put_parts(&path, bytes)).await
        };
        result.map_err(|error| failed("write", name, error))
    }

    async fn put_parts(&self, path: &Path, bytes: &Bytes) -> Result<(), Error> {
        let mut upload = self.store.put_multipart(path).await?;
        let mut start = 0;
        while start < bytes.len() {
            let end = bytes.len().min(start + PART_BYTES as usize);
            if let Err(error) = upload.put_part(PutPayload::from(bytes.slice(start..end))).await {
                // What was uploaded of it would be kept and paid for; when this fails too, the bucket's own rules
                // for unfinished uploads have to clean up.
                let _ = upload.abort().await;
                return Err(error);
            }
            start = end;
        }
        upload.complete().await.map(drop)
    }

    /// Writes an object that must not exist. When the outcome of an attempt is unknown, or somebody else was faster,
    /// the object is read back: the same bytes mean that it was ours.
    pub async fn create(&self, name: &str, bytes: &Bytes) -> Result<(), RepoError> {
        let path = self.path(name);
        let put = || async {
            let options = PutOptions::from(PutMode::Create);
            self.store.put_opts(&path, PutPayload::from(bytes.clone()), options).await.map(drop)
        };
        let error = match self.retry.run("create", put).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match self.get(name, None).await {
            Ok(found) if found == *bytes => Ok(()),
            Ok(_) => Err(RepoError::Conflict {
                path: name.to_owned(),
                what: "it was written by somebody else".into(),
            }),
            Err(_) => Err(failed("create", name, error)),
        }
    }

    /// Reads an object whole. `expected`: its size, if known; another size is an error before anything is read.
    pub async fn get(&self, name: &str, expected: Option<u64>) -> Result<Bytes, RepoError> {
        let path = self.path(name);
        let head = || self.store.head(&path);
        let meta = self.retry.run("look at", head).await.map_err(|error| failed("look at", name, error))?;
        if expected.is_some_and(|expected| expected != meta.size) || meta.size > MAX_OBJECT_BYTES {
            let what = format!("it has {} bytes, not {}", meta.size, expected.unwrap_or(MAX_OBJECT_BYTES));
            return Err(RepoError::Segment { path: name.to_owned(), what });
        }
        if meta.size <= PART_BYTES {
            let get = || async { self.store.get(&path).await?.bytes().await };
            return self.retry.run("read", get).await.map_err(|error| failed("read", name, error));
        }
        let starts = (0..meta.size).step_by(PART_BYTES as usize);
        let parts = futures::stream::iter(starts).map(|start| {
            let (path, end) = (&path, meta.size.min(start + PART_BYTES));
            async move { self.retry.run("read", || self.store.get_range(path, start..end)).await }
        });
        let whole = parts.buffered(PARTS_AT_ONCE).try_fold(BytesMut::new(), |mut whole, part| async move {
            whole.extend_from_slice(&part);
            Ok(whole)
        });
        Ok(whole.await.map_err(|error| failed("read", name, error))?.freeze())
    }

    /// The size of an object.
    pub async fn size(&self, name: &str) -> Result<u64, RepoError> {
        let path = self.path(name);
        let head = || self.store.head(&path);
        Ok(self.retry.run("look at", head).await.map_err(|error| failed("look at", name, error))?.size)
    }

    /// All objects below `folder`.
    pub async fn list(&self, folder: &str) -> Result<Vec<Found>, RepoError> {
        let path = self.path(folder);
        let list = || self.store.list(Some(&path)).try_collect::<Vec<ObjectMeta>>();
        let found = self.retry.run("list", list).await.map_err(|error| failed("list", folder, error))?;
        let found = found.into_iter().filter_map(|meta| {
            Some(Found { name: self.name(&meta.location)?, modified: meta.last_modified.into() })
        });
        Ok(found.collect())
    }

    /// Names of the folders directly in `folder`.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, RepoError> {
        let path = self.path(folder);
        let list = || self.store.list_with_delimiter(Some(&path));
        let found = self.retry.run("list", list).await.map_err(|error| failed("list", folder, error))?;
        Ok(found.common_prefixes.iter().filter_map(|path| Some(path.filename()?.to_owned())).collect())
    }

    /// Deletes an object; one that is gone already is fine.
    pub async fn delete(&self, name: &str) -> Result<(), RepoError> {
        let path = self.path(name);
        match self.retry.run("delete", || self.store.delete(&path)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("delete", name, error)),
        }
    }
}

fn failed(what: &str, name: &str, error: Error) -> RepoError {
    match error {
        Error::NotFound { .. } => RepoError::NotFound { path: name.to_owned() },
        error => RepoError::Store { what: format!("{what} {name}"), source: error.into() },
    }
}
