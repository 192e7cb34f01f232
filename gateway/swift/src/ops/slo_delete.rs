//! DELETE of a static large object together with its segments.

use crate::authorize::Need;
use crate::bulk::{Report, report_reply};
use crate::entity::{DEPTH_MAX, Look, Manifest, Segment, is_static};
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, Reply, SwiftGateway};
use http::StatusCode;
use ringfort_object::ObjectPath;

impl SwiftGateway {
    pub(super) async fn delete_manifest(&self, call: Call) -> Reply {
        let at = call.path();
        let mut report = Report::default();
        let top = match self.manifest_at(&call, &at).await {
            Ok(manifest) => manifest,
            Err(error) if error.status().is_server_error() => return Err(error),
            Err(error) => {
                report.not_deleted(&at, &error);
                return Ok(report_reply(&call, &report));
            }
        };
        let mut found = Vec::new();
        match self.collect(&call, top, 1, &mut found).await {
            Ok(()) => {}
            Err(error) if error.status().is_server_error() => return Err(error),
            Err(error) => {
                report.not_deleted(&at, &error);
                return Ok(report_reply(&call, &report));
            }
        }
        // Segments first: a manifest that is left over can be deleted again.
        found.push(at);
        for at in found {
            self.delete_one(&call, &at, &mut report).await;
        }
        Ok(report_reply(&call, &report))
    }

    async fn manifest_at(&self, call: &Call, at: &ObjectPath) -> Result<Manifest> {
        self.allow_at(call, at, Need::Write).await?;
        let look = Look { raw: true, open: true, link: true, ..Look::default() };
        let found = self.entity(call, at.clone(), &look).await.map_err(|error| match error.status() {
            StatusCode::NOT_FOUND => SwiftError::text(StatusCode::NOT_FOUND, "SLO manifest not found"),
            _ => error,
        })?;
        if !is_static(&found.info) {
            return Err(SwiftError::bad_request("Not an SLO manifest"));
        }
        let crate::entity::Content::Plain(body) = found.content else { return Err(SwiftError::not_found()) };
        self.manifest_of(&found.at, &found.info, body).await
    }

    /// Every segment, those of nested large objects before these.
    async fn collect(
        &self,
        call: &Call,
        manifest: Manifest,
        depth: usize,
        found: &mut Vec<ObjectPath>,
    ) -> Result<()> {
        for segment in manifest.0 {
            let Segment { name: Some(name), sub_slo, .. } = segment else { continue };
            let (container, object) = name.trim_start_matches('/').split_once('/').unwrap_or((&name, ""));
            let at = ObjectPath::new(call.account.as_str(), container, object);
            if found.contains(&at) {
                continue;
            }
            if sub_slo && depth < DEPTH_MAX {
                match Box::pin(self.manifest_at(call, &at)).await {
                    Ok(nested) => Box::pin(self.collect(call, nested, depth + 1, found)).await?,
                    Err(error) if error.status() == StatusCode::NOT_FOUND => {}
                    Err(error) => return Err(error),
                }
            }
            if found.len() >= self.inner.config.manifest_segments_max * 10 {
                return Err(SwiftError::bad_request("Too many buffered slo segments to delete."));
            }
            found.push(at);
        }
        Ok(())
    }
}
