//! The metrics port: `/metrics` for Prometheus, `/health/live` and `/health/ready` for whoever supervises the process.
//!
//! Live means that the process answers: a supervisor restarts it otherwise. Ready means that requests can be served: every
//! metadata group has a leader and a quorum. A device that is away changes neither; `ringfort status` tells of it.

use crate::telemetry;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use metrics_exporter_prometheus::PrometheusHandle;
use ringfort_http::{IncomingBody, RequestId, Server};
use ringfort_storage_node::{NodeStatus, StorageNode};
use std::sync::Arc;

/// The open ports.
type Servers = Arc<[Server; 5]>;

enum Phase {
    Starting,
    Ready(StorageNode, Servers),
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

    pub(super) fn set_ready(&self, node: StorageNode, servers: Servers) {
        self.phase.store(Arc::new(Phase::Ready(node, servers)));
    }

    pub(super) fn set_stopping(&self) {
        self.phase.store(Arc::new(Phase::Stopping));
    }

    pub(super) async fn handle(self, request: Request<IncomingBody>) -> Response<Full<Bytes>> {
        let readable = matches!(*request.method(), Method::GET | Method::HEAD);
        let (status, kind, text) = match request.uri().path() {
            "/metrics" | "/health/live" | "/health/ready" if !readable => {
                (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET or HEAD\n".to_owned())
            }
            "/metrics" => (StatusCode::OK, "text/plain; version=0.0.4", self.render().await),
            "/health/live" => (StatusCode::OK, "text/plain", "live\n".to_owned()),
            "/health/ready" => {
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
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, http::HeaderValue::from_static("GET, HEAD"));
        }
        if let Some(id) = request.extensions().get::<RequestId>() {
            response.headers_mut().insert("x-request-id", id.header_value());
        }
        response
    }

    async fn render(&self) -> String {
        let mut text = self.metrics.render() + &telemetry::process_text();
        let phase = self.phase.load_full();
        if let Phase::Ready(node, servers) = phase.as_ref() {
            text += &Server::request_seconds(servers.iter());
            text += &telemetry::node_text(&node.status().await);
        }
        text
    }

    async fn ready(&self) -> (StatusCode, String) {
        match self.phase.load_full().as_ref() {
            Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "not ready: starting\n".to_owned()),
            Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "not ready: stopping\n".to_owned()),
            Phase::Ready(node, _) => verdict(&node.status().await),
        }
    }
}

fn verdict(status: &NodeStatus) -> (StatusCode, String) {
    let serves = |quorum: bool, leader: Option<u32>| quorum && leader.is_some();
    let mut stuck = status.groups.iter().filter(|group| !serves(group.quorum, group.leader));
    if status.groups.is_empty() {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready: no metadata group runs\n".to_owned());
    }
    match stuck.next() {
        None => (StatusCode::OK, format!("ready: {}\n", status.safety.summary)),
        Some(first) => {
            let all: Vec<String> =
                std::iter::once(first).chain(stuck).map(|group| group.id.to_string()).collect();
            let text = format!("not ready: no leader or no quorum in metadata group(s) {}\n", all.join(", "));
            (StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfort_storage_node::{GroupHealth, SafetyLevel};

    #[test]
    fn ready_means_that_every_group_can_decide() {
        let group = |id, leader, quorum| GroupHealth { id, leader, quorum, ..GroupHealth::default() };
        let check = |groups: Vec<GroupHealth>, wanted: u16, word: &str| {
            let mut status = NodeStatus { groups, ..NodeStatus::default() };
            // Lost data make no process unready: what is there is served.
            status.safety.level = SafetyLevel::Lost;
            let (code, text) = verdict(&status);
            assert!(code.as_u16() == wanted && text.contains(word), "{code} {text}");
        };
        check(vec![], 503, "no metadata group");
        check(vec![group(0, Some(1), true), group(1, Some(2), true)], 200, "ready");
        check(vec![group(0, Some(1), true), group(1, None, false), group(2, None, false)], 503, "1, 2");
        check(vec![group(0, Some(1), false)], 503, "0");
    }
}
