//! Bulk upload: every file of an archive becomes an object.

use super::tar::{Entry, Tar};
use super::unpack::Packing;
use super::{Report, report_reply};
use crate::acl::Access;
use crate::authorize::denied;
use crate::body::at_hand;
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers;
use crate::target::quote;
use http::{HeaderMap, StatusCode};
use ringfort_http::RequestBody;
use ringfort_object::{CreateContainer, PutOptions};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Mutex;

impl SwiftGateway {
    pub(crate) async fn bulk_upload(&self, call: Call, body: RequestBody) -> Reply {
        let packing = call.query.get("extract-archive").and_then(Packing::of);
        let packing = packing.ok_or_else(|| SwiftError::bad_request("Unsupported archive format"))?;
        let mut report = Report { upload: true, ..Report::default() };
        let tar = Arc::new(Mutex::new(Tar::new(packing.open(body))));
        let mut made = BTreeSet::new();
        loop {
            let next = tar.lock().await.next_entry().await;
            let entry = match next {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    report.give_up(&error);
                    break;
                }
            };
            if !entry.is_file {
                continue;
            }
            let path = entry.path.clone();
            match self.store_entry(&call, entry, &tar, &mut made).await {
                Ok(()) => report.created += 1,
                Err(error) if matches!(error.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                    report.failure = Some((error.status(), String::new()));
                    report.errors.push((quote(&path), error.status_line()));
                    break;
                }
                Err(error) => report.errors.push((quote(&path), error.status_line())),
            }
            if report.errors.len() >= self.inner.config.bulk_failures_max {
                report.failure = Some((StatusCode::BAD_REQUEST, "Max failures exceeded".to_owned()));
                break;
            }
        }
        Ok(report_reply(&call, &report))
    }

    async fn store_entry(
        &self,
        call: &Call,
        entry: Entry,
        tar: &Arc<Mutex<Tar>>,
        made: &mut BTreeSet<String>,
    ) -> Result<()> {
        let (container, object) = place_of(call, &entry.path)?;
        self.check_names(&call.account_name, &container, &object)?;
        if entry.size > self.inner.config.file_bytes_max {
            return Err(StatusCode::PAYLOAD_TOO_LARGE.into());
        }
        if call.container.is_empty() && !made.contains(&container) {
            self.make_container(call, &container, made.len()).await?;
            made.insert(container.clone());
        }
        let mut there = Call { container, object, ..call.clone() };
        there.parts.headers = HeaderMap::new();
        if let Some(content_type) = &entry.content_type {
            headers::put(&mut there.parts.headers, "content-type", content_type);
        }
        for (name, value) in &entry.metadata {
            headers::put(&mut there.parts.headers, &format!("x-object-meta-{name}"), value);
        }
        self.allow(&there, &there.container, crate::authorize::Need::Write).await?;
        let options = PutOptions {
            attributes: self.attributes(&there.parts.headers, &there.object)?,
            size: Some(entry.size),
            ..PutOptions::default()
        };
        self.store(&there, options, at_hand(Arc::clone(tar))).await.map(|_| ())
    }

    async fn make_container(&self, call: &Call, name: &str, made: usize) -> Result<()> {
        if self.container_if_any(&call.account, name).await?.is_some() {
            return Ok(());
        }
        if call.access < Access::ReadWrite {
            return Err(denied(call));
        }
        if made >= self.inner.config.bulk_containers_max {
            return Err(StatusCode::BAD_REQUEST.into());
        }
        self.inner.objects.create_container(&call.account, name, CreateContainer::default()).await?;
        Ok(())
    }
}

/// Where a file goes: below the path of the request; without a container there its first folder is one.
fn place_of(call: &Call, path: &str) -> Result<(String, String)> {
    let path = path.trim_start_matches("./").trim_start_matches('/');
    if path.contains('\0') || path.is_empty() {
        return Err(StatusCode::BAD_REQUEST.into());
    }
    if call.container.is_empty() {
        let (container, object) = path.split_once('/').ok_or(StatusCode::BAD_REQUEST)?;
        if object.is_empty() || container.is_empty() {
            return Err(StatusCode::BAD_REQUEST.into());
        }
        return Ok((container.to_owned(), object.to_owned()));
    }
    let object = match call.object.trim_end_matches('/') {
        "" => path.to_owned(),
        folder => format!("{folder}/{path}"),
    };
    Ok((call.container.clone(), object))
}
