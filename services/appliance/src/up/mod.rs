//! `ringfort up`: reads the settings, opens the folder, wires the parts together, serves, stops.
//!
//! ```text
//!  DataDir -> Secrets -> ports -> StorageNode -> ObjectStore -> S3Gateway -> Server
//! ```
//!
//! Ports are taken before any device is opened, so that a port in use fails the start before it costs anything, and the
//! health endpoint answers while recovery runs.

mod banner;
mod health;
mod stop;
mod storage;

use crate::admin::{self, AdminService, Endpoint};
use crate::args::UpArgs;
use crate::config::{ConfigFile, DeviceSection, Settings};
use crate::data_dir::DataDir;
use crate::ports::Service;
use crate::secrets::{AccessKey, Secrets};
use crate::telemetry;
use anyhow::Context;
use health::Health;
use metrics_exporter_prometheus::PrometheusHandle;
use ringfort_http::{Limits, Server};
use ringfort_runtime::TaskGroup;
use ringfort_s3::{Credential, FixedCredentials, S3Config, S3Gateway};
use std::sync::Arc;
use std::time::Duration;

/// Connections to the metrics port and to the admin socket.
const SMALL_CONNECTIONS_MAX: usize = 64;

/// Runs until it is told to stop.
pub(crate) fn run(args: &UpArgs) -> anyhow::Result<()> {
    let file = read_config(args)?;
    let data_dir = Arc::new(DataDir::open(&args.data)?);
    let remembered = data_dir.devices()?;
    let settings = Settings::resolve(data_dir.path(), args, file, remembered.as_deref())?;
    telemetry::start_logging(settings.log_json, &settings.log_filter);
    let metrics = telemetry::start_metrics().context("cannot start the metrics recorder")?;
    for remark in &settings.remarks {
        tracing::warn!("{remark}");
    }
    let keys = Secrets::open(data_dir.path())?.access_keys()?;
    let devices = match remembered {
        Some(devices) => devices,
        None => remember_devices(&data_dir, &settings)?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("ringfort")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(settings, data_dir, devices, keys, metrics))
}

fn read_config(args: &UpArgs) -> anyhow::Result<ConfigFile> {
    let Some(path) = &args.config else { return Ok(ConfigFile::default()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    ConfigFile::parse(&text).with_context(|| format!("{} is no TOML file of settings", path.display()))
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

async fn serve(
    settings: Settings,
    data_dir: Arc<DataDir>,
    devices: Vec<DeviceSection>,
    keys: Vec<AccessKey>,
    metrics: PrometheusHandle,
) -> anyhow::Result<()> {
    let mut signals = stop::Signals::listen().context("cannot listen for signals")?;
    let tasks = TaskGroup::new();
    let s3_port = Server::bind(settings.address(Service::S3)).await?;
    let metrics_port = Server::bind(settings.address(Service::Metrics)).await?;
    let admin_socket = admin::bind(data_dir.path()).context("cannot open the admin socket")?;

    let small = Limits { connections_max: SMALL_CONNECTIONS_MAX, ..settings.limits.clone() };
    telemetry::keep_up(&metrics, &tasks);
    let health = Health::new(metrics);
    let answers = health.clone();
    let metrics_server = Server::start("metrics", metrics_port, small.clone(), &tasks, move |request| {
        answers.clone().handle(request)
    });

    let opened = storage::open(&settings, data_dir.path(), &tasks);
    // A signal during a long recovery stops the process at once: opening always replays, so nothing is lost.
    let storage = tokio::select! {
        opened = opened => opened?,
        () = signals.stop() => return Ok(()),
    };
    let key = keys.first().context("the list of access keys is empty")?;
    let url = settings.url(Service::S3);
    key.write_env(data_dir.path(), &url)?;
    let credentials = FixedCredentials::new(keys.iter().map(to_credential));
    let gateway = S3Gateway::new(storage.objects.clone(), Arc::new(credentials), S3Config::default());
    let s3_server = Server::start("s3", s3_port, settings.limits.clone(), &tasks, move |request| {
        let gateway = gateway.clone();
        async move { gateway.handle(request).await }
    });

    let endpoints: Vec<Endpoint> = [("s3", Service::S3), ("metrics", Service::Metrics)]
        .map(|(name, service)| Endpoint { service: name.to_owned(), url: settings.url(service) })
        .into();
    let service = AdminService::new(
        storage.node.clone(),
        Arc::clone(&data_dir),
        devices,
        endpoints.clone(),
        tasks.clone(),
    );
    let admin_server =
        Server::start("admin", admin_socket, small, &tasks, move |request| service.clone().handle(request));

    health.set_ready(storage.node.clone());
    tracing::info!(url, data = %data_dir.path().display(), "ready");
    banner::print(&settings, data_dir.path(), &endpoints, data_dir.is_fresh());

    signals.stop().await;
    tracing::info!("stopping; a second signal stops at once");
    let stopping = async {
        health.set_stopping();
        s3_server.stop(settings.drain).await;
        admin_server.stop(Duration::from_secs(1)).await;
        storage.node.shutdown().await;
        metrics_server.stop(Duration::from_secs(1)).await;
        tasks.stop().await;
    };
    tokio::select! {
        () = stopping => tracing::info!("stopped"),
        () = signals.stop() => tracing::warn!("stopped at once: the next start replays the log"),
    }
    Ok(())
}

fn to_credential(key: &AccessKey) -> Credential {
    Credential::new(&key.access_key, &key.secret_key, &key.account, &key.owner_id, &key.owner_name)
}
