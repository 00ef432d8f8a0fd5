//! The admin address: `/metrics`, `/live` and `/ready` over HTTP/1.1, for Prometheus and for the
//! probes of a pod. It changes nothing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::metrics::Metrics;
use super::readiness::{self, Readiness};
use crate::host::requirements::Check;

/// A client that says nothing for this long is let go: it holds memory.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the admin address tells.
#[derive(Debug)]
pub struct Admin {
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

/// What is answered, before it is HTTP.
struct Answer {
    status: StatusCode,
    content_type: &'static str,
    text: String,
}

impl Admin {
    /// Tells of these two.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, readiness: Arc<Readiness>) -> Arc<Admin> {
        Arc::new(Admin { metrics, readiness })
    }

    /// Answers for as long as it is polled.
    pub async fn serve(self: Arc<Admin>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    tokio::spawn(Arc::clone(&self).connection(stream, peer));
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin address took no connection");
                    // Out of descriptors, most likely: the next attempt would fail as well.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Admin>, stream: TcpStream, peer: SocketAddr) {
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = self.answer(request.method(), request.uri().path());
            async move { answer.into_response() }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(READ_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "a connection to the admin address broke");
        }
    }

    fn answer(&self, method: &Method, path: &str) -> Answer {
        if !matches!(path, "/metrics" | "/live" | "/ready") {
            return Answer::text(StatusCode::NOT_FOUND, "try /metrics, /live or /ready\n");
        }
        if method != Method::GET && method != Method::HEAD {
            return Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        }
        match path {
            "/metrics" => self.metrics(),
            "/ready" => self.ready(),
            // Whoever reads this knows that the one thread that answers everything is not stuck.
            _ => Answer::text(StatusCode::OK, "live\n"),
        }
    }

    fn metrics(&self) -> Answer {
        match self.metrics.text() {
            Ok(text) => Answer {
                status: StatusCode::OK,
                content_type: OPEN_METRICS,
                text,
            },
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be written");
                Answer::text(StatusCode::INTERNAL_SERVER_ERROR, "see the log\n")
            }
        }
    }

    fn ready(&self) -> Answer {
        let findings = self.readiness.findings();
        let (status, mut text) = match readiness::is_ready(&findings) {
            true => (StatusCode::OK, "ready\n".to_owned()),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned()),
        };
        for Check {
            name,
            finding,
            what_to_do,
            ..
        } in findings
        {
            text.push_str(&format!("{name}: {finding}\n"));
            if let Some(what) = what_to_do {
                text.push_str(&format!("    what to do: {what}\n"));
            }
        }
        Answer::text(status, text)
    }
}

impl Answer {
    fn text(status: StatusCode, text: impl Into<String>) -> Answer {
        Answer {
            status,
            content_type: TEXT,
            text: text.into(),
        }
    }

    fn into_response(self) -> Result<Response<Full<Bytes>>, Infallible> {
        let mut response = Response::new(Full::from(self.text));
        *response.status_mut() = self.status;
        let content_type = self.content_type.parse();
        let content_type = content_type.expect("both content types are plain ASCII");
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        Ok(response)
    }
}
