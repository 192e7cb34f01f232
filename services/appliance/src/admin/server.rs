//! `up`'s end of the admin socket.

use super::identity::IdentityAdmin;
use super::wire::{AddDevice, DeviceAdded, Endpoint, Failure, PlanChange, ProcessStatus, StatusReply};
use crate::config::DeviceSection;
use crate::data_dir::DataDir;
use crate::telemetry;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use ringfort_core::{DeviceId, ErrorKind, with_causes};
use ringfort_http::{IncomingBody, RequestId};
use ringfort_runtime::TaskGroup;
use ringfort_storage_node::{DeviceConfig, NodeConfig, NodeError, StorageNode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::sync::Mutex;

const BODY_BYTES_MAX: usize = 64 * 1024;

/// Answers the operator commands.
#[derive(Clone)]
pub(crate) struct AdminService {
    inner: Arc<Inner>,
}

struct Inner {
    data_dir: Arc<DataDir>,
    tasks: TaskGroup,
    running: OnceLock<Running>,
}

/// What there is once the devices are open.
pub(crate) struct Running {
    node: StorageNode,
    identity: IdentityAdmin,
    endpoints: Vec<Endpoint>,
    /// Space that devices keep free, where the settings name it.
    reserve_bytes: Option<u64>,
    /// The remembered device list; one change at a time.
    devices: Mutex<Vec<DeviceSection>>,
}

impl Running {
    pub(crate) fn new(
        node: StorageNode,
        identity: IdentityAdmin,
        devices: Vec<DeviceSection>,
        endpoints: Vec<Endpoint>,
        reserve_bytes: Option<u64>,
    ) -> Self {
        Self { node, identity, endpoints, reserve_bytes, devices: Mutex::new(devices) }
    }
}

enum Refusal {
    Starting,
    NoRoute,
    BadBody(String),
    Identity(StatusCode, String),
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
    /// A service that tells of the start until [`Self::set_running`].
    pub(crate) fn new(data_dir: Arc<DataDir>, tasks: TaskGroup) -> Self {
        Self { inner: Arc::new(Inner { data_dir, tasks, running: OnceLock::new() }) }
    }

    pub(crate) fn set_running(&self, running: Running) {
        assert!(self.inner.running.set(running).is_ok(), "a process starts once");
    }

    /// Answers one request. The work runs in a task of its own: a command that is interrupted halves nothing.
    pub(crate) async fn handle(self, request: Request<IncomingBody>) -> Response<Full<Bytes>> {
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
        let mut response =
            response.body(Full::from(body)).expect("a status and a constant header make a response");
        if let Some(id) = id {
            response.headers_mut().insert("x-request-id", id.header_value());
        }
        response
    }
}

impl Inner {
    async fn route(&self, request: Request<IncomingBody>) -> Reply {
        let path = request.uri().path().to_owned();
        let force = request.uri().query() == Some("force=true");
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let running = self.running.get().ok_or(Refusal::Starting)?;
        let node = &running.node;
        match (request.method(), segments.as_slice()) {
            (&Method::GET, ["v1", "status"]) => to_json(&running.status().await),
            (&Method::GET, ["v1", "ring"]) => to_json(&node.ring().await?),
            (&Method::POST, ["v1", "ring", "plan"]) => self.plan(running, read_json(request).await?).await,
            (&Method::POST, ["v1", "ring", "pause"]) => to_json(&node.ring_pause().await?),
            (&Method::POST, ["v1", "ring", "resume"]) => to_json(&node.ring_resume().await?),
            (&Method::POST, ["v1", "ring", "revert"]) => to_json(&node.ring_revert().await?),
            (&Method::POST, ["v1", "scrub"]) => to_json(&node.scrub()),
            (&Method::POST, ["v1", "repair"]) => to_json(&node.repair()),
            (&Method::POST, ["v1", "devices"]) => self.add_device(running, read_json(request).await?).await,
            (&Method::POST, ["v1", "devices", device, "drain"]) => {
                to_json(&node.drain_device(device_id(device)?).await?)
            }
            (&Method::DELETE, ["v1", "devices", device]) => {
                self.remove_device(running, device_id(device)?, force).await
            }
            (&Method::POST, ["v1", "identity-keys", "rotate"]) => {
                let rotated = running.identity.rotate(&self.tasks).await;
                rotated.map_err(|(status, reason)| Refusal::Identity(status, reason))
            }
            (&Method::POST, ["v1", "openrc"]) => {
                let renewed = running.identity.renew_openrc(&self.tasks).await;
                renewed.map_err(|(status, reason)| Refusal::Identity(status, reason))
            }
            (_, ["v1", "identity", ..]) => identity_call(running, request).await,
            _ => Err(Refusal::NoRoute),
        }
    }

    async fn plan(&self, running: &Running, change: PlanChange) -> Reply {
        let node = &running.node;
        let plan = match change {
            PlanChange { add: Some(add), .. } => {
                let config = self.to_section(add)?.to_config(self.data_dir.path());
                self.check_folder(running, &config).await?;
                node.plan_add(config).await?
            }
            PlanChange { drain: Some(device), .. } => node.plan_drain(DeviceId(device)).await?,
            PlanChange { add: None, drain: None } => node.ring_plan().await?,
        };
        to_json(&plan)
    }

    async fn add_device(&self, running: &Running, add: AddDevice) -> Reply {
        let section = self.to_section(add)?;
        let config = section.to_config(self.data_dir.path());
        let mut devices = running.devices.lock().await;
        self.check_folder(running, &config).await?;
        // Remembered before it takes data: a crash in between leaves an unused folder in the list, never a device that the
        // next start does not open. The node refuses a folder that is in use.
        let mut longer = devices.clone();
        if !longer.iter().any(|known| known.path == section.path) {
            longer.push(section);
        }
        self.remember(&longer).await?;
        match running.node.add_device(config).await {
            Ok(device) => {
                *devices = longer;
                to_json(&DeviceAdded { device: device.0 })
            }
            Err(error) => {
                self.remember(&devices).await?;
                Err(error.into())
            }
        }
    }

    async fn remove_device(&self, running: &Running, device: DeviceId, force: bool) -> Reply {
        let mut devices = running.devices.lock().await;
        let status = running.node.status().await;
        running.node.remove_device(device, force).await?;
        let path =
            status.devices.iter().find(|known| known.id == device.0).and_then(|known| known.path.clone());
        if let Some(path) = path {
            let gone = std::path::Path::new(&path);
            devices.retain(|known| self.data_dir.path().join(&known.path) != gone);
            self.remember(&devices).await?;
        }
        to_json(&())
    }

    /// Refuses a folder that can't become a device, before anything is written to it or remembered of it.
    async fn check_folder(&self, running: &Running, device: &DeviceConfig) -> Result<(), Refusal> {
        let mut config = NodeConfig::new(self.data_dir.path(), vec![device.clone()], Vec::new());
        config.reserve_bytes = running.reserve_bytes;
        let faults = self.tasks.spawn_blocking(move || config.folder_faults()).await;
        let faults = faults.map_err(|_| Refusal::Node(NodeError::Stopping))?;
        match faults.into_iter().next() {
            Some(fault) => Err(Refusal::BadBody(format!("{}: {}", fault.path.display(), fault.reason))),
            None => Ok(()),
        }
    }

    async fn remember(&self, devices: &[DeviceSection]) -> Result<(), Refusal> {
        let (data_dir, devices) = (Arc::clone(&self.data_dir), devices.to_vec());
        let written = self.tasks.spawn_blocking(move || data_dir.set_devices(&devices)).await;
        written.map_err(|_| Refusal::Node(NodeError::Stopping))?.map_err(Refusal::Memory)
    }

    fn to_section(&self, add: AddDevice) -> Result<DeviceSection, Refusal> {
        let AddDevice { path, region, zone, node, weight } = add;
        if !path.starts_with('/') {
            return Err(Refusal::BadBody("the path is not absolute".to_owned()));
        }
        if !weight.is_none_or(crate::args::is_weight) {
            return Err(Refusal::BadBody("the weight is not above 0 and at most 1000".to_owned()));
        }
        let path = PathBuf::from(path);
        // Devices inside the folder move with it.
        let path = path.strip_prefix(self.data_dir.path()).map(Path::to_owned).unwrap_or(path);
        Ok(DeviceSection { path, region, zone, node, weight })
    }
}

impl Running {
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
}

/// Hands a request of the identity service's API on to it.
async fn identity_call(running: &Running, request: Request<IncomingBody>) -> Reply {
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let target = target.strip_prefix("/v1/identity").unwrap_or_default().to_owned();
    let method = request.method().clone();
    let body = read_body(request).await?;
    let answer = running.identity.call(method, &target, body).await;
    answer.map_err(|(status, reason)| Refusal::Identity(status, reason))
}

async fn read_body(request: Request<IncomingBody>) -> Result<Bytes, Refusal> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
    Ok(body.map_err(|error| Refusal::BadBody(error.to_string()))?.to_bytes())
}

async fn read_json<T: DeserializeOwned>(request: Request<IncomingBody>) -> Result<T, Refusal> {
    let body = read_body(request).await?;
    serde_json::from_slice(&body).map_err(|error| Refusal::BadBody(error.to_string()))
}

impl Refusal {
    fn into_status(self) -> (StatusCode, String) {
        match self {
            Self::Starting => {
                let words = "ringfort is still starting: it opens its devices and replays what the indexes lack; ask again in \
                             a moment";
                (StatusCode::SERVICE_UNAVAILABLE, words.to_owned())
            }
            Self::NoRoute => (StatusCode::NOT_FOUND, "there is no such command".to_owned()),
            Self::Identity(status, reason) => (status, reason),
            Self::BadBody(reason) => (StatusCode::BAD_REQUEST, reason),
            Self::Memory(error) => (StatusCode::INTERNAL_SERVER_ERROR, with_causes(&error)),
            Self::Node(error) => (status_of(error.kind()), with_causes(&error)),
        }
    }
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
