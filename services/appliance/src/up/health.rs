//! The metrics port: `/metrics` for Prometheus, `/health/live` and `/health/ready` for whoever supervises the process.

use crate::telemetry;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use metrics_exporter_prometheus::PrometheusHandle;
use ringfort_http::RequestId;
use ringfort_storage_node::{SafetyLevel, StorageNode};
use std::sync::Arc;

#[derive(Clone)]
enum Phase {
    Starting,
    Ready(StorageNode),
    Stopping,
}

/// What the process tells about itself. Cheap to clone.
#[derive(Clone)]
pub(super) struct Health {
    phase: Arc<ArcSwap<Phase>>,
    metrics: PrometheusHandle,
}

impl Health {
    pub(super) fn new(metrics: PrometheusHandle) -> Self {
        Self { phase: Arc::new(ArcSwap::from_pointee(Phase::Starting)), metrics }
    }

    pub(super) fn set_ready(&self, node: StorageNode) {
        self.phase.store(Arc::new(Phase::Ready(node)));
    }

    pub(super) fn set_stopping(&self) {
        self.phase.store(Arc::new(Phase::Stopping));
    }

    pub(super) async fn handle(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, kind, text) = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => {
                (StatusCode::OK, "text/plain; version=0.0.4", self.render().await)
            }
            (&Method::GET | &Method::HEAD, "/health/live") => {
                (StatusCode::OK, "text/plain", "live\n".to_owned())
            }
            (&Method::GET | &Method::HEAD, "/health/ready") => {
                let (status, text) = self.ready().await;
                (status, "text/plain", text)
            }
            _ => {
                let text = "here are /metrics, /health/live and /health/ready\n".to_owned();
                (StatusCode::NOT_FOUND, "text/plain", text)
            }
        };
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
        if let Some(id) = request.extensions().get::<RequestId>() {
            response.headers_mut().insert("x-request-id", id.header_value());
        }
        response
    }

    async fn render(&self) -> String {
        telemetry::publish_process();
        if let Phase::Ready(node) = self.phase.load_full().as_ref() {
            telemetry::publish_node(&node.status().await);
        }
        self.metrics.render()
    }

    /// Ready means: requests are taken, and data can be read and written.
    async fn ready(&self) -> (StatusCode, String) {
        match self.phase.load_full().as_ref() {
            Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned()),
            Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()),
            Phase::Ready(node) => {
                let safety = node.status().await.safety;
                let status = match safety.level {
                    SafetyLevel::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                    SafetyLevel::Safe | SafetyLevel::Degraded | SafetyLevel::Lost => StatusCode::OK,
                };
                (status, format!("ready: {}\n", safety.summary))
            }
        }
    }
}
