//! One HTTP request to another Fastkeep process, plain or under TLS: what `fastkeep ctl` speaks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Largest response that is read.
const MAX_RESPONSE: usize = 64 << 20;

/// Sends one request and returns status and body. `https` needs `tls`.
///
/// # Errors
/// Names the URL, and says whether it could not be reached or did not answer within `timeout`.
pub async fn request(
    method: Method,
    url: &str,
    body: String,
    timeout: Duration,
    tls: Option<Arc<ClientConfig>>,
) -> Result<(StatusCode, Bytes), String> {
    let uri: Uri = url.parse().map_err(|e| format!("`{url}` is not a URL: {e}"))?;
    let host =
        uri.host().ok_or_else(|| format!("`{url}` names no host"))?.trim_matches(['[', ']']).to_owned();
    let request = Request::builder()
        .method(method)
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| format!("cannot build the request to {url}: {e}"))?;
    let exchange = async {
        let unreachable = |e: &dyn std::error::Error| format!("cannot reach {url}: {}", reason(e));
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(format!("`{url}` begins with neither http:// nor https://")),
        };
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|e| unreachable(&e))?;
        if !secure {
            return talk(stream, request).await.map_err(|e| unreachable(&*e));
        }
        let tls = tls.ok_or_else(|| format!("{url} needs the authority that its certificate is from"))?;
        let name = ServerName::try_from(host.clone()).map_err(|e| unreachable(&e))?;
        let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|e| unreachable(&e))?;
        talk(stream, request).await.map_err(|e| unreachable(&*e))
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(done) => done,
        Err(_) => Err(format!("{url} did not answer within {} s", timeout.as_secs())),
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its error, if there is one, is that of the request.
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_RESPONSE).collect().await?;
    Ok((status, body.to_bytes()))
}

/// The innermost cause, which is the one that helps ("Connection refused").
fn reason(error: &dyn std::error::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
