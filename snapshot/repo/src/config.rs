//! Where a repository is and how patient it is; turned into an object store here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::error::RepoError;
use crate::retry::RetryPolicy;

/// Where objects are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine; created when absent.
    Folder(PathBuf),
    /// A bucket of Amazon S3 or a store that speaks its protocol.
    S3(S3Config),
}

/// A bucket. Credentials come from the usual AWS variables (`AWS_ACCESS_KEY_ID`, ...) or the machine's role, unless
/// they are given here.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct S3Config {
    pub bucket: String,
    /// `None`: Amazon's own endpoint of the region.
    pub endpoint: Option<String>,
    /// `None`: from the AWS variables.
    pub region: Option<String>,
    /// The bucket stands in the path instead of in the host name.
    pub path_style: bool,
    /// Key id and secret in place of the AWS variables.
    pub credentials: Option<(String, String)>,
}

impl std::fmt::Debug for S3Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Config")
            .field("bucket", &self.bucket)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("path_style", &self.path_style)
            .field("credentials", &self.credentials.as_ref().map(|(id, _)| id))
            .finish()
    }
}

/// Settings of a [`crate::Repository`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoConfig {
    pub location: Location,
    /// Put before every object's name; may hold `/`, may be empty.
    pub prefix: String,
    pub retry: RetryPolicy,
    /// Age from which a segment that no manifest names counts as left over by a snapshotter that died, not as part
    /// of a snapshot in the making.
    pub orphan_grace: Duration,
}

impl RepoConfig {
    /// A repository in a folder.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self::at(Location::Folder(path.into()), String::new())
    }

    fn at(location: Location, prefix: String) -> Self {
        Self { location, prefix, retry: RetryPolicy::default(), orphan_grace: Duration::from_secs(3600) }
    }

    /// From `s3://bucket/prefix`, `file:PATH` or a plain path; `endpoint` and `region` are ignored when empty.
    pub fn from_url(url: &str, endpoint: &str, region: &str, path_style: bool) -> Result<Self, RepoError> {
        let Some(rest) = url.strip_prefix("s3://") else {
            let path = url.strip_prefix("file:").unwrap_or(url);
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.contains("://") {
                return Err(RepoError::Config(format!("`{url}` is neither a folder nor s3://bucket/prefix")));
            }
            return Ok(Self::folder(path));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(RepoError::Config(format!("`{url}` names no bucket")));
        }
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let s3 = S3Config {
            bucket: bucket.to_owned(),
            endpoint: given(endpoint),
            region: given(region),
            path_style,
            credentials: None,
        };
        Ok(Self::at(Location::S3(s3), prefix.trim_matches('/').to_owned()))
    }
}

impl Location {
    pub(crate) fn open(&self) -> Result<Arc<dyn ObjectStore>, RepoError> {
        match self {
            Location::Folder(path) => open_folder(path),
            Location::S3(config) => open_bucket(config),
        }
    }
}

/// Objects in the folder are synced to disk, because the log is trimmed on their strength.
fn open_folder(path: &Path) -> Result<Arc<dyn ObjectStore>, RepoError> {
    std::fs::create_dir_all(path).map_err(|error| {
        RepoError::Config(format!("cannot create the folder {}: {error}", path.display()))
    })?;
    let store =
        LocalFileSystem::new_with_prefix(path).map_err(|error| RepoError::Config(error.to_string()))?;
    Ok(Arc::new(store.with_fsync(true)))
}

fn open_bucket(config: &S3Config) -> Result<Arc<dyn ObjectStore>, RepoError> {
    let plain_http = config.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let client = ClientOptions::new()
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout(Duration::from_secs(60))
        .with_allow_http(plain_http);
    // Retries are ours (`retry`), which know what must not be repeated; the client's own are only for the moment.
    let retry =
        RetryConfig { max_retries: 1, retry_timeout: Duration::from_secs(20), ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&config.bucket)
        .with_client_options(client)
        .with_retry(retry)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_virtual_hosted_style_request(!config.path_style);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    if let Some((id, secret)) = &config.credentials {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    Ok(Arc::new(builder.build().map_err(|error| RepoError::Config(error.to_string()))?))
}
