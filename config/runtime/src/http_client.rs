//! One HTTP request to another Fastkeep process: what `fastkeep ctl` speaks.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Largest response that is read.
const MAX_RESPONSE: usize = 64 << 20;

/// Sends one request and returns status and body.
///
/// # Errors
/// Names the URL, and says whether it could not be reached or did not answer within `timeout`.
pub async fn request(
    method: Method,
    url: &str,
    body: String,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), String> {
    let uri: Uri = url.parse().map_err(|e| format!("`{url}` is not a URL: {e}"))?;
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| format!("cannot build the request to {url}: {e}"))?;
    let exchange = async {
        let response =
            client.request(request).await.map_err(|e| format!("cannot reach {url}: {}", reason(&e)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_RESPONSE).collect().await;
        Ok((status, body.map_err(|e| format!("cannot read the answer of {url}: {e}"))?.to_bytes()))
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(done) => done,
        Err(_) => Err(format!("{url} did not answer within {} s", timeout.as_secs())),
    }
}

/// The innermost cause, which is the one that helps ("Connection refused").
fn reason(error: &dyn std::error::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
