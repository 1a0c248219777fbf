//! An S3 server of the tests' own: s3s over a folder that vanishes, on a free port, with failures on demand. It runs on
//! a thread of its own, so that blocking and async tests use it alike, and can be stopped and started again.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use hyper::body::Incoming;
use hyper::header::IF_NONE_MATCH;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::HttpError;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::sync::{Mutex, oneshot};

/// A bucket that can only be reached by path style, with signed requests. Gone when dropped.
pub struct S3Server {
    /// `http://127.0.0.1:PORT`; stays the same when it is stopped and started again.
    pub endpoint: String,
    /// Failures on demand.
    pub faults: Arc<Faults>,
    folder: tempfile::TempDir,
    address: SocketAddr,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
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

/// What every request needs.
struct Shared {
    service: S3Service,
    faults: Arc<Faults>,
    /// s3s-fs looks whether an object is there and writes it in two steps; S3 promises one. So puts that depend on
    /// it go one after the other.
    conditional: Mutex<()>,
}

impl S3Server {
    /// Its only bucket.
    pub const BUCKET: &str = "bucket";
    /// The only key id that it knows.
    pub const KEY_ID: &str = "AKTESTTESTTEST";
    /// The secret of the key id.
    pub const SECRET: &str = "secretsecretsecret";

    /// Starts one with an empty bucket.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(Self::BUCKET)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = format!("http://{address}");
        let mut server = Self { endpoint, faults: Arc::default(), folder, address, running: None };
        server.run(listener);
        server
    }

    /// The bucket's objects as files.
    pub fn files(&self) -> PathBuf {
        self.folder.path().join(Self::BUCKET)
    }

    /// Stops it: connections break, new ones are refused. The objects stay.
    pub fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// Starts it again on the same port, with the objects it had.
    pub fn start_again(&mut self) {
        self.stop();
        self.run(TcpListener::bind(self.address).unwrap());
    }

    fn run(&mut self, listener: TcpListener) {
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(self.folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(Self::KEY_ID, Self::SECRET));
        let shared = Shared {
            service: builder.build(),
            faults: Arc::clone(&self.faults),
            conditional: Mutex::default(),
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, Arc::new(shared)) => {}
                    _ = stopped => {}
                }
            });
        });
        self.running = Some((stop, thread));
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            // A client that goes away is its own affair.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<s3s::Body>, HttpError> {
    shared.faults.requests.fetch_add(1, Ordering::SeqCst);
    if take(&shared.faults.refuse) {
        return Ok(failure());
    }
    let put = request.method() == Method::PUT;
    let fail = put && take(&shared.faults.do_and_fail);
    let alone = if put && request.headers().contains_key(IF_NONE_MATCH) {
        Some(shared.conditional.lock().await)
    } else {
        None
    };
    let answer = shared.service.call(request.map(s3s::Body::from)).await;
    drop(alone);
    if fail { Ok(failure()) } else { answer }
}

fn take(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn failure() -> Response<s3s::Body> {
    let mut response = Response::new(s3s::Body::empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
