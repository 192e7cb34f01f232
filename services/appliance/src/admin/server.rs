//! `up`'s end of the admin socket.

use super::wire::{AddDevice, DeviceAdded, Endpoint, Failure, PlanChange, ProcessStatus, StatusReply};
use crate::config::DeviceSection;
use crate::data_dir::DataDir;
use crate::telemetry;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use ringfort_core::{DeviceId, ErrorKind};
use ringfort_http::RequestId;
use ringfort_runtime::TaskGroup;
use ringfort_storage_node::{NodeError, StorageNode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::sync::Mutex;

const BODY_BYTES_MAX: usize = 64 * 1024;

/// Answers the operator commands.
#[derive(Clone)]
pub(crate) struct AdminService {
    inner: Arc<Inner>,
}

struct Inner {
    node: StorageNode,
    data_dir: Arc<DataDir>,
    endpoints: Vec<Endpoint>,
    tasks: TaskGroup,
    /// The remembered device list; one change at a time.
    devices: Mutex<Vec<DeviceSection>>,
}

enum Refusal {
    NoRoute,
    BadBody(String),
    Node(NodeError),
    Memory(crate::data_dir::DataDirError),
}

impl From<NodeError> for Refusal {
    fn from(error: NodeError) -> Self {
        Self::Node(error)
    }
}

type Reply = Result<Vec<u8>, Refusal>;

impl AdminService {
    pub(crate) fn new(
        node: StorageNode,
        data_dir: Arc<DataDir>,
        devices: Vec<DeviceSection>,
        endpoints: Vec<Endpoint>,
        tasks: TaskGroup,
    ) -> Self {
        Self { inner: Arc::new(Inner { node, data_dir, endpoints, tasks, devices: Mutex::new(devices) }) }
    }

    /// Answers one request. The work runs in a task of its own: a command that is interrupted halves nothing.
    pub(crate) async fn handle(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let id = request.extensions().get::<RequestId>().copied();
        let inner = Arc::clone(&self.inner);
        let done = self.inner.tasks.spawn(async move { inner.route(request).await }).await;
        let reply = done.unwrap_or(Err(Refusal::Node(NodeError::Stopping)));
        let (status, body) = match reply {
            Ok(body) => (StatusCode::OK, body),
            Err(refusal) => {
                let (status, error) = refusal.into_status();
                let request_id = id.map(|id| id.to_string()).unwrap_or_default();
                tracing::info!(%status, error, request_id, "operator command refused");
                (status, to_json(&Failure { error, request_id }).unwrap_or_default())
            }
        };
        let response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
        response.body(Full::from(body)).expect("a status and a constant header make a response")
    }
}

impl Inner {
    async fn route(&self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().to_owned();
        let force = request.uri().query() == Some("force=true");
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let node = &self.node;
        match (request.method(), segments.as_slice()) {
            (&Method::GET, ["v1", "status"]) => to_json(&self.status().await),
            (&Method::GET, ["v1", "ring"]) => to_json(&node.ring().await?),
            (&Method::POST, ["v1", "ring", "plan"]) => self.plan(read_json(request).await?).await,
            (&Method::POST, ["v1", "ring", "pause"]) => to_json(&node.ring_pause().await?),
            (&Method::POST, ["v1", "ring", "resume"]) => to_json(&node.ring_resume().await?),
            (&Method::POST, ["v1", "ring", "revert"]) => to_json(&node.ring_revert().await?),
            (&Method::POST, ["v1", "scrub"]) => to_json(&node.scrub()),
            (&Method::POST, ["v1", "repair"]) => to_json(&node.repair()),
            (&Method::POST, ["v1", "devices"]) => {
                let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
                let body = body.map_err(|error| Refusal::BadBody(error.to_string()))?.to_bytes();
                let add =
                    serde_json::from_slice(&body).map_err(|error| Refusal::BadBody(error.to_string()))?;
                self.add_device(add).await
            }
            (&Method::POST, ["v1", "devices", device, "drain"]) => {
                to_json(&node.drain_device(device_id(device)?).await?)
            }
            (&Method::DELETE, ["v1", "devices", device]) => {
                self.remove_device(device_id(device)?, force).await
            }
            _ => Err(Refusal::NoRoute),
        }
    }

    async fn status(&self) -> StatusReply {
        let process = ProcessStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_s: ringfort_runtime::boot_time().as_secs(),
            resident_bytes: telemetry::resident_bytes().unwrap_or_default(),
            endpoints: self.endpoints.clone(),
        };
        StatusReply { process, node: self.node.status().await }
    }

    async fn plan(&self, change: PlanChange) -> Reply {
        let plan = match change {
            PlanChange { add: Some(add), .. } => {
                self.node.plan_add(to_section(add)?.to_config(self.data_dir.path())).await?
            }
            PlanChange { drain: Some(device), .. } => self.node.plan_drain(DeviceId(device)).await?,
            PlanChange { add: None, drain: None } => self.node.ring_plan().await?,
        };
        to_json(&plan)
    }

    async fn add_device(&self, add: AddDevice) -> Reply {
        let section = to_section(add)?;
        let mut devices = self.devices.lock().await;
        // Remembered before it takes data: a crash in between leaves an unused folder in the list, never a device that the
        // next start does not open. The node refuses a folder that is in use.
        let mut longer = devices.clone();
        if !longer.iter().any(|known| known.path == section.path) {
            longer.push(section.clone());
        }
        let config = section.to_config(self.data_dir.path());
        self.data_dir.set_devices(&longer).map_err(Refusal::Memory)?;
        match self.node.add_device(config).await {
            Ok(device) => {
                *devices = longer;
                to_json(&DeviceAdded { device: device.0 })
            }
            Err(error) => {
                self.data_dir.set_devices(&devices).map_err(Refusal::Memory)?;
                Err(error.into())
            }
        }
    }

    async fn remove_device(&self, device: DeviceId, force: bool) -> Reply {
        let mut devices = self.devices.lock().await;
        let status = self.node.status().await;
        self.node.remove_device(device, force).await?;
        let path =
            status.devices.iter().find(|known| known.id == device.0).and_then(|known| known.path.clone());
        if let Some(path) = path {
            let gone = std::path::Path::new(&path);
            devices.retain(|known| self.data_dir.path().join(&known.path) != gone);
            self.data_dir.set_devices(&devices).map_err(Refusal::Memory)?;
        }
        to_json(&())
    }
}

fn to_section(add: AddDevice) -> Result<DeviceSection, Refusal> {
    let AddDevice { path, region, zone, node, weight } = add;
    if !path.starts_with('/') {
        return Err(Refusal::BadBody("the path is not absolute".to_owned()));
    }
    if !weight.is_none_or(crate::args::is_weight) {
        return Err(Refusal::BadBody("the weight is not above 0 and at most 1000".to_owned()));
    }
    Ok(DeviceSection { path: path.into(), region, zone, node, weight })
}

async fn read_json<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| Refusal::BadBody(error.to_string()))?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| Refusal::BadBody(error.to_string()))
}

impl Refusal {
    fn into_status(self) -> (StatusCode, String) {
        match self {
            Self::NoRoute => (StatusCode::NOT_FOUND, "there is no such command".to_owned()),
            Self::BadBody(reason) => (StatusCode::BAD_REQUEST, reason),
            Self::Memory(error) => (StatusCode::INTERNAL_SERVER_ERROR, chain(&error)),
            Self::Node(error) => (status_of(error.kind()), chain(&error)),
        }
    }
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Denied | ErrorKind::OverQuota => StatusCode::FORBIDDEN,
        ErrorKind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn device_id(text: &str) -> Result<DeviceId, Refusal> {
    text.parse().map(DeviceId).map_err(|_| Refusal::BadBody(format!("`{text}` is no device number")))
}

fn to_json(value: &impl Serialize) -> Reply {
    serde_json::to_vec(value).map_err(|error| Refusal::BadBody(error.to_string()))
}
