//! A small HTTP/1.1 server on hyper: metrics, health and the admin API of every process.
//!
//! A process gives a [`Handler`]; this file owns sockets, plain and under TLS, limits and error texts.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Largest request body that is read.
const MAX_BODY: usize = 1 << 20;
/// How long a request's head and then its body may take to come.
const HEAD_TIME: Duration = Duration::from_secs(10);
const BODY_TIME: Duration = Duration::from_secs(10);
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

/// TLS of an HTTP port.
#[derive(Clone)]
pub struct HttpTls {
    /// The port.
    pub port: u16,
    /// What new connections are answered with; may change while it is served.
    pub server: Arc<ArcSwap<ServerConfig>>,
    /// A handshake that takes longer is broken off.
    pub handshake: Duration,
}

/// The ports of one process, listened on and not yet served.
pub struct HttpPorts {
    plain: Option<(TcpListener, SocketAddr)>,
    tls: Option<(TcpListener, SocketAddr, HttpTls)>,
}

/// Opens the HTTP ports, at least one of the two.
///
/// # Errors
/// Names the address that cannot be listened on.
pub async fn listen(bind: &str, port: Option<u16>, tls: Option<HttpTls>) -> Result<HttpPorts, String> {
    let open = async |port: u16| {
        let opened = TcpListener::bind((bind, port)).await;
        let opened = opened.and_then(|listener| Ok((listener.local_addr()?, listener)));
        opened.map_err(|e| format!("cannot listen on {bind}:{port} for HTTP: {e}"))
    };
    let mut ports = HttpPorts { plain: None, tls: None };
    if let Some(port) = port {
        let (address, listener) = open(port).await?;
        ports.plain = Some((listener, address));
    }
    if let Some(tls) = tls {
        let (address, listener) = open(tls.port).await?;
        ports.tls = Some((listener, address, tls));
    }
    Ok(ports)
}

impl HttpPorts {
    /// Says on standard output where it listens.
    pub fn announce(&self) {
        if let Some((_, address)) = &self.plain {
            println!("http on {address}");
        }
        if let Some((_, address, _)) = &self.tls {
            println!("https on {address}");
        }
    }

    /// An address that it listens on.
    pub fn address(&self) -> Option<SocketAddr> {
        let plain = self.plain.as_ref().map(|(_, address)| *address);
        plain.or_else(|| self.tls.as_ref().map(|(_, address, _)| *address))
    }

    /// Serves until the process ends.
    pub fn serve(self, handler: &Handler) {
        if let Some((listener, _)) = self.plain {
            tokio::spawn(serve(listener, None, Arc::clone(handler)));
        }
        if let Some((listener, _, tls)) = self.tls {
            tokio::spawn(serve(listener, Some(tls), Arc::clone(handler)));
        }
    }
}

async fn serve(listener: TcpListener, tls: Option<HttpTls>, handler: Handler) {
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
        let (handler, tls) = (Arc::clone(&handler), tls.clone());
        tokio::spawn(async move {
            let served = match tls {
                None => talk(stream, handler).await,
                Some(tls) => {
                    let acceptor = TlsAcceptor::from(tls.server.load_full());
                    match timeout(tls.handshake, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => talk(stream, handler).await,
                        Ok(Err(error)) => Err(format!("TLS handshake: {error}")),
                        Err(_) => Err("the TLS handshake took too long".to_owned()),
                    }
                }
            };
            if let Err(error) = served {
                tracing::debug!(error, "an HTTP connection ended early");
            }
            drop(permit);
        });
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, handler: Handler) -> Result<(), String> {
    let service = service_fn(move |request| answer(Arc::clone(&handler), request));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(|error| error.to_string())
}

async fn answer(
    handler: Handler,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (head, body) = request.into_parts();
    let response = match timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect()).await {
        Err(_) => HttpResponse::error(StatusCode::REQUEST_TIMEOUT, "the request body did not come in time"),
        Ok(Ok(body)) => {
            handler(HttpRequest {
                method: head.method,
                path: head.uri.path().to_owned(),
                query: head.uri.query().unwrap_or_default().to_owned(),
                body: body.to_bytes(),
            })
            .await
        }
        Ok(Err(error)) => {
            HttpResponse::error(StatusCode::BAD_REQUEST, format!("cannot read the request body: {error}"))
        }
    };
    let mut out = Response::new(Full::new(response.body));
    *out.status_mut() = response.status;
    out.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(response.content_type));
    Ok(out)
}
