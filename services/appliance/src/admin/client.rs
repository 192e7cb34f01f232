//! The commands' end of the admin socket.

use super::socket;
use super::wire::Failure;
use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use tokio::task::JoinHandle;

const REPLY_BYTES_MAX: usize = 64 << 20;

/// A way to the process that serves a data folder.
pub(crate) struct AdminClient {
    data_dir: PathBuf,
}

/// The task that drives a connection, ended with it.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl AdminClient {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned() }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.call(Method::GET, path, &()).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.call(Method::POST, path, body).await
    }

    pub(crate) async fn put<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.call(Method::PUT, path, &()).await
    }

    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.call(Method::PATCH, path, body).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.call(Method::DELETE, path, &()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let stream = socket::connect(&self.data_dir).await.with_context(|| {
            let dir = self.data_dir.display();
            format!("no running ringfort answers in {dir}: is `ringfort up --data {dir}` running?")
        })?;
        let tasks = ringfort_runtime::TaskGroup::new();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let _driver = Driver(tasks.spawn(async move {
            // A broken connection shows in the request's own error.
            let _ = connection.await;
        }));
        let body = serde_json::to_vec(body)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "ringfort")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let (head, body) = sender.send_request(request).await.context("ringfort went away")?.into_parts();
        let body =
            Limited::new(body, REPLY_BYTES_MAX).collect().await.map_err(|error| anyhow::anyhow!(error))?;
        let body = body.to_bytes();
        if !head.status.is_success() {
            match serde_json::from_slice::<Failure>(&body) {
                Ok(failure) => bail!("{} (request {})", failure.error, failure.request_id),
                Err(_) => bail!("ringfort answered {}", head.status),
            }
        }
        serde_json::from_slice(&body).context("ringfort's answer does not parse: is it another version?")
    }
}
