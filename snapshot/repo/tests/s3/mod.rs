//! An S3 server of the tests' own: s3s over a folder that vanishes, on a free port, with failures on demand.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use snapshot_repo::{Location, RepoConfig, S3Config};

pub const KEY_ID: &str = "AKTESTTESTTEST";
pub const SECRET: &str = "secretsecretsecret";

pub struct S3Server {
    pub endpoint: String,
    pub folder: tempfile::TempDir,
    pub faults: Arc<Faults>,
}

/// How many of the next requests fail, and how.
#[derive(Default)]
pub struct Faults {
    /// Answered with an error, nothing done.
    pub refuse: AtomicU32,
    /// Puts that are done, and answered with an error all the same.
    pub do_and_fail: AtomicU32,
    /// All requests seen.
    pub requests: AtomicU32,
}

impl S3Server {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        let files = s3s_fs::FileSystem::new(folder.path()).unwrap();
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let faults = Arc::new(Faults::default());
        tokio::spawn(serve(listener, builder.build(), Arc::clone(&faults)));
        Self { endpoint, folder, faults }
    }

    pub fn config(&self, prefix: &str) -> RepoConfig {
        let s3 = S3Config {
            bucket: "bucket".into(),
            endpoint: Some(self.endpoint.clone()),
            region: Some("eu-central-1".into()),
            path_style: true,
            credentials: Some((KEY_ID.into(), SECRET.into())),
        };
        RepoConfig { location: Location::S3(s3), prefix: prefix.into(), ..RepoConfig::folder("") }
    }
}

async fn serve(listener: tokio::net::TcpListener, service: S3Service, faults: Arc<Faults>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (service, faults) = (service.clone(), Arc::clone(&faults));
        tokio::spawn(async move {
            let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let (service, faults) = (service.clone(), Arc::clone(&faults));
                async move {
                    faults.requests.fetch_add(1, Ordering::SeqCst);
                    if take(&faults.refuse) {
                        return Ok(failure());
                    }
                    let fail = request.method() == hyper::Method::PUT && take(&faults.do_and_fail);
                    let answer = service.call(request.map(s3s::Body::from)).await;
                    if fail { Ok(failure()) } else { answer }
                }
            });
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}

fn take(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn failure() -> hyper::Response<s3s::Body> {
    let mut response = hyper::Response::new(s3s::Body::empty());
    *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
    response
}
