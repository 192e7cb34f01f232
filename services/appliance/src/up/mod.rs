//! `ringfort up`: reads the settings, opens the folder, wires the parts together, serves, stops.
//!
//! ```text
//!  settings, folders looked at -> ports -> DataDir -> Secrets -> StorageNode -> ObjectStore -> gateways -> Servers
//!  \______ writes nothing: ___________/    \____ from here on a start that is cut short is finished by the next
//!          a mistake leaves no trace
//! ```
//!
//! Ports are taken before any device is opened, so that a port in use fails the start before it costs anything, and the
//! health endpoint answers while recovery runs.

mod banner;
mod health;
mod identity;
mod keys;
mod stop;
mod storage;
mod swift;
mod tokens;

use crate::admin::{self, AdminService, Endpoint, IdentityAdmin, Running};
use crate::args::UpArgs;
use crate::config::{ConfigFile, DeviceSection, Faults, Settings};
use crate::data_dir::DataDir;
use crate::openrc::OpenRc;
use crate::ports::Service;
use crate::secrets::{AccessKey, IdentitySecrets, Secrets};
use crate::telemetry;
use anyhow::{Context, bail};
use health::Health;
use keys::Keys;
use metrics_exporter_prometheus::PrometheusHandle;
use ringfort_http::{Certificates, Limits, Listener, Server, maybe_tls};
use ringfort_identity::TokenKeys;
use ringfort_identity_api::IdentityClient;
use ringfort_runtime::TaskGroup;
use ringfort_s3::{S3Config, S3Gateway};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Connections to the metrics port and to the admin socket.
const SMALL_CONNECTIONS_MAX: usize = 64;

/// What is known before anything is written.
struct Start {
    settings: Settings,
    /// Absolute.
    path: PathBuf,
    /// The folder, if an earlier run made it.
    known: Option<DataDir>,
    /// Its devices, if it got that far.
    remembered: Option<Vec<DeviceSection>>,
    certificates: Option<Certificates>,
}

/// The folder, taken and filled with what a start needs.
struct Prepared {
    data_dir: Arc<DataDir>,
    devices: Vec<DeviceSection>,
    keys: Vec<AccessKey>,
    identity: IdentitySecrets,
    secrets: Secrets,
}

/// Runs until it is told to stop.
pub(crate) fn run(args: &UpArgs) -> anyhow::Result<()> {
    let start = look(args)?;
    telemetry::start_logging(start.settings.log_json, &start.settings.log_filter);
    let metrics = telemetry::start_metrics().context("cannot start the metrics recorder")?;
    for remark in &start.settings.remarks {
        tracing::warn!("{remark}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("ringfort")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(start, metrics));
    // A stop that was cut short leaves work on blocking threads; nobody waits for it, since opening always replays.
    runtime.shutdown_background();
    outcome
}

/// Everything that can be found wrong without writing a byte.
fn look(args: &UpArgs) -> anyhow::Result<Start> {
    let file = read_config(args)?;
    let path = std::path::absolute(&args.data).context("cannot find the data folder")?;
    let known = DataDir::find(&path)?;
    let remembered = known.as_ref().map(DataDir::devices).transpose()?.flatten();
    let settings = Settings::resolve(&path, args, file, remembered.as_deref())?;
    if remembered.is_none() {
        let mut faults = Faults::default();
        for fault in storage::config(&settings, &path).folder_faults() {
            faults.add(&format!("device {}", fault.path.display()), &fault.reason);
        }
        faults.into_result()?;
    }
    let certificates =
        settings.tls.as_ref().map(|tls| Certificates::read(&tls.certificate, &tls.key)).transpose();
    let certificates = certificates.context("the TLS certificate cannot be used")?;
    Ok(Start { settings, path, known, remembered, certificates })
}

fn read_config(args: &UpArgs) -> anyhow::Result<ConfigFile> {
    let Some(path) = &args.config else { return Ok(ConfigFile::default()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    ConfigFile::parse(&text).with_context(|| format!("{} is no TOML file of settings", path.display()))
}

impl Start {
    /// Takes the port of `service`.
    async fn open(&self, service: Service) -> anyhow::Result<impl Listener> {
        let port = Server::bind(self.settings.address(service)).await?;
        Ok(maybe_tls(port, self.certificates.as_ref(), self.settings.limits.head_timeout))
    }

    /// Takes the folder, making it if it is new.
    fn prepare(self) -> anyhow::Result<(Settings, Prepared)> {
        let Self { settings, path, known, remembered, .. } = self;
        let data_dir = known.map_or_else(|| DataDir::make(&path), Ok)?;
        let secrets = Secrets::open(&path, remembered.is_none())?;
        let keys = secrets.access_keys()?;
        let identity = secrets.identity(!identity::folder(&path).exists())?;
        let devices = match remembered {
            Some(devices) => devices,
            None => remember_devices(&data_dir, &settings)?,
        };
        Ok((settings, Prepared { data_dir: Arc::new(data_dir), devices, keys, identity, secrets }))
    }
}

fn remember_devices(data_dir: &DataDir, settings: &Settings) -> anyhow::Result<Vec<DeviceSection>> {
    let devices: Vec<DeviceSection> = settings
        .devices
        .iter()
        .map(|device| DeviceSection {
            // Devices inside the folder move with it.
            path: device.path.strip_prefix(data_dir.path()).unwrap_or(&device.path).to_owned(),
            region: Some(device.region.clone()),
            zone: Some(device.zone.clone()),
            node: Some(device.node.clone()),
            weight: Some(device.weight),
        })
        .collect();
    data_dir.set_devices(&devices)?;
    Ok(devices)
}

async fn serve(start: Start, metrics: PrometheusHandle) -> anyhow::Result<()> {
    let mut signals = stop::Signals::listen().context("cannot listen for signals")?;
    let tasks = TaskGroup::new();
    let identity_port = start.open(Service::Identity).await?;
    let s3_port = start.open(Service::S3).await?;
    let swift_port = start.open(Service::Swift).await?;
    let metrics_port = start.open(Service::Metrics).await?;
    if let Some(certificates) = &start.certificates {
        certificates.follow_changes(&tasks);
    }
    let (settings, Prepared { data_dir, devices, keys, identity, secrets }) = start.prepare()?;
    let admin_socket = admin::bind(data_dir.path())
        .with_context(|| format!("cannot open the admin socket in {}", data_dir.path().display()))?;

    let small = Limits { connections_max: SMALL_CONNECTIONS_MAX, ..settings.limits.clone() };
    telemetry::keep_up(&metrics, &tasks);
    let health = Health::new(metrics);
    let answers = health.clone();
    let metrics_server = Server::start("metrics", metrics_port, small.clone(), &tasks, move |request| {
        answers.clone().handle(request)
    });
    let service = AdminService::new(Arc::clone(&data_dir), tasks.clone());
    let operator = service.clone();
    let admin_server =
        Server::start("admin", admin_socket, small, &tasks, move |request| operator.clone().handle(request));

    let opened = storage::open(&settings, data_dir.path(), &tasks);
    // A signal during a long recovery stops the process at once: opening always replays, so nothing is lost.
    let storage = tokio::select! {
        opened = opened => opened?,
        () = signals.stop() => return Ok(()),
    };
    let key = keys.first().context("the list of access keys is empty")?;
    let url = settings.url(Service::S3);
    key.write_env(data_dir.path(), &url, settings.tls.as_ref().and_then(|tls| tls.ca.as_deref()))?;
    let openrc = OpenRc::new(&settings, data_dir.path());
    let token_keys = TokenKeys::new(&identity.token_keys(), &identity.secret_key());
    let parts = identity::Parts { secrets: &identity, token_keys: &token_keys, project_id: &key.account };
    let identity = identity::open(&settings, data_dir.path(), &parts, &tasks).await?;
    let keystone = identity.clone();
    let identity_server =
        Server::start("identity", identity_port, settings.limits.clone(), &tasks, move |request| {
            let keystone = keystone.clone();
            async move { keystone.handle(request).await }
        });

    let identity_client =
        Arc::new(IdentityClient::new(Arc::new(identity.clone()), ringfort_runtime::boot_time));
    let credentials = Keys::new(keys.iter().chain(&settings.s3_keys), Arc::clone(&identity_client));
    let config = S3Config { domains: settings.s3_domains.clone(), ..S3Config::default() };
    let gateway = S3Gateway::new(storage.objects.clone(), Arc::new(credentials), config);
    let s3_server = Server::start("s3", s3_port, settings.limits.clone(), &tasks, move |request| {
        let gateway = gateway.clone();
        async move { gateway.handle(request).await }
    });

    let swift = swift::gateway(&settings, storage.objects.clone(), identity_client);
    let limits = Limits { headers_max: swift::HEADERS_MAX, ..settings.limits.clone() };
    let swift_server = Server::start("swift", swift_port, limits, &tasks, move |request| {
        let swift = swift.clone();
        async move { swift.handle(request).await }
    });

    let served = [
        ("identity", Service::Identity),
        ("s3", Service::S3),
        ("swift", Service::Swift),
        ("metrics", Service::Metrics),
    ];
    let endpoints: Vec<Endpoint> = served
        .map(|(name, service)| Endpoint { service: name.to_owned(), url: settings.url(service) })
        .into();
    service.set_running(Running::new(
        storage.node.clone(),
        IdentityAdmin::new(identity.clone(), token_keys, secrets, openrc),
        devices,
        endpoints.clone(),
        settings.reserve_bytes,
    ));
    let servers = Arc::new([identity_server, s3_server, swift_server, metrics_server, admin_server]);
    health.set_ready(storage.node.clone(), Arc::clone(&servers));
    tracing::info!(url, data = %data_dir.path().display(), "ready");
    banner::print(&data_dir, &endpoints, &storage.node.status().await);

    signals.stop().await;
    tracing::info!("stopping; a second signal stops at once");
    let stopping = async {
        health.set_stopping();
        let [identity_server, s3_server, swift_server, metrics_server, admin_server] = &*servers;
        tokio::join!(
            identity_server.stop(settings.drain),
            s3_server.stop(settings.drain),
            swift_server.stop(settings.drain)
        );
        identity.close().await;
        admin_server.stop(Duration::from_secs(1)).await;
        storage.node.shutdown().await;
        metrics_server.stop(Duration::from_secs(1)).await;
        tasks.stop().await;
    };
    tokio::select! {
        () = stopping => {
            tracing::info!("stopped");
            Ok(())
        }
        () = signals.stop() => bail!("stopped at once by a second signal: the next start replays the log"),
    }
}
