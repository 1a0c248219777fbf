//! A small HTTP/1.1 server on hyper: metrics, health and the admin API of every process.
//!
//! A process gives a [`Handler`]; this file owns sockets, limits and error texts.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Largest request body that is read.
const MAX_BODY: usize = 1 << 20;
/// Connections served at one time; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 256;

/// A request as handlers see it: method, path, query and body.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// `GET`, `POST`, ...
    pub method: Method,
    /// The path without the query.
    pub path: String,
    /// What follows `?`, undecoded; empty if nothing.
    pub query: String,
    /// The body, at most 1 MiB.
    pub body: Bytes,
}

/// A response: status, content type and body.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    /// The status code.
    pub status: StatusCode,
    /// The `content-type` header.
    pub content_type: &'static str,
    /// The whole body.
    pub body: Bytes,
}

impl HttpResponse {
    /// Plain text.
    pub fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: Bytes::from(body.into()) }
    }

    /// A JSON value.
    pub fn json(status: StatusCode, value: &serde_json::Value) -> Self {
        Self { status, content_type: "application/json", body: Bytes::from(format!("{value}\n")) }
    }

    /// `{"error": message}`.
    pub fn error(status: StatusCode, message: impl Into<String>) -> Self {
        Self::json(status, &serde_json::json!({ "error": message.into() }))
    }
}

/// What a handler returns.
pub type HandlerFuture = Pin<Box<dyn Future<Output = HttpResponse> + Send>>;
/// Answers one request.
pub type Handler = Arc<dyn Fn(HttpRequest) -> HandlerFuture + Send + Sync>;

/// Opens the HTTP port.
///
/// # Errors
/// Names the address that cannot be listened on.
pub async fn listen(bind: &str, port: u16) -> Result<(TcpListener, SocketAddr), String> {
    let listener = TcpListener::bind((bind, port))
        .await
        .map_err(|e| format!("cannot listen on {bind}:{port} for HTTP: {e}"))?;
    let address = listener.local_addr().map_err(|e| format!("cannot read the HTTP port's address: {e}"))?;
    Ok((listener, address))
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, handler: Handler) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: the connection waits, this loop must not spin.
                tracing::warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let handler = Arc::clone(&handler);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&handler), request));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "an HTTP connection ended early");
            }
            drop(permit);
        });
    }
}

async fn answer(
    handler: Handler,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (head, body) = request.into_parts();
    let response = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => {
            handler(HttpRequest {
                method: head.method,
                path: head.uri.path().to_owned(),
                query: head.uri.query().unwrap_or_default().to_owned(),
                body: body.to_bytes(),
            })
            .await
        }
        Err(error) => {
            HttpResponse::error(StatusCode::BAD_REQUEST, format!("cannot read the request body: {error}"))
        }
    };
    let mut out = Response::new(Full::new(response.body));
    *out.status_mut() = response.status;
    out.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(response.content_type));
    Ok(out)
}
