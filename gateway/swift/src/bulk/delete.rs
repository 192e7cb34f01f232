//! Bulk delete: a path in each line of the body. Lines are read as they come and deleted in bounded batches.

use super::{Report, report_reply};
use crate::acl::Access;
use crate::authorize::{Need, denied};
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::target::unquote;
use bytes::BytesMut;
use futures_util::StreamExt;
use http::StatusCode;
use http_body_util::BodyDataStream;
use ringfort_http::RequestBody;
use ringfort_object::{DeleteOptions, ObjectPath};

/// Longest line: an escaped path.
const LINE_BYTES_MAX: usize = 2 * (3 * 1024 + 3 * 256 + 2);

impl SwiftGateway {
    pub(crate) async fn bulk_delete(&self, call: Call, body: RequestBody) -> Reply {
        let mut report = Report::default();
        let mut lines = Lines { body: BodyDataStream::new(body), buffer: BytesMut::new(), ended: false };
        let mut count = 0;
        loop {
            let line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => {
                    report.give_up(&error);
                    break;
                }
            };
            if line.trim().is_empty() {
                continue;
            }
            count += 1;
            if count > self.inner.config.bulk_deletes_max {
                let most = self.inner.config.bulk_deletes_max;
                let text = format!("Maximum Bulk Deletes: {most} per request");
                report.failure = Some((StatusCode::PAYLOAD_TOO_LARGE, text));
                break;
            }
            if report.errors.len() >= self.inner.config.bulk_failures_max {
                report.failure = Some((StatusCode::BAD_REQUEST, "Max delete failures exceeded".to_owned()));
                break;
            }
            self.delete_line(&call, &line, &mut report).await;
        }
        Ok(report_reply(&call, &report))
    }

    async fn delete_line(&self, call: &Call, line: &str, report: &mut Report) {
        let Ok(path) = unquote(line.trim()) else {
            let status = SwiftError::usual(StatusCode::PRECONDITION_FAILED).status_line();
            report.errors.push((line.trim().to_owned(), status));
            return;
        };
        let (container, object) = match path.trim_start_matches('/').split_once('/') {
            Some((container, object)) => (container.to_owned(), object.to_owned()),
            None => (path.trim_start_matches('/').to_owned(), String::new()),
        };
        if container.is_empty() {
            report.errors.push((line.trim().to_owned(), "400 Bad Request".to_owned()));
            return;
        }
        let at = ObjectPath::new(call.account.as_str(), container, object);
        self.delete_one(call, &at, report).await;
    }

    /// Deletes one object, or a container where no key is given, and notes what came of it.
    pub(crate) async fn delete_one(&self, call: &Call, at: &ObjectPath, report: &mut Report) {
        match self.try_delete(call, at).await {
            Ok(()) => report.deleted += 1,
            Err(error) => report.not_deleted(at, &error),
        }
    }

    async fn try_delete(&self, call: &Call, at: &ObjectPath) -> Result<()> {
        if at.key.is_empty() {
            if call.access < Access::ReadWrite {
                return Err(denied(call));
            }
            return Ok(self.inner.objects.delete_container(&at.account, &at.container).await?);
        }
        self.allow_at(call, at, Need::Write).await?;
        let done = self.inner.objects.delete(at, DeleteOptions::default()).await?;
        if done.existed { Ok(()) } else { Err(SwiftError::not_found()) }
    }
}

/// The lines of a body.
struct Lines {
    body: BodyDataStream<RequestBody>,
    buffer: BytesMut,
    ended: bool,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return text_of(&line[..end]).map(Some);
            }
            if self.ended {
                let rest = std::mem::take(&mut self.buffer);
                return if rest.is_empty() { Ok(None) } else { text_of(&rest).map(Some) };
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(SwiftError::bad_request("Invalid File Name"));
            }
            match self.body.next().await {
                Some(piece) => self.buffer.extend_from_slice(&piece.map_err(SwiftError::disconnected)?),
                None => self.ended = true,
            }
        }
    }
}

fn text_of(line: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(line).map_err(|_| SwiftError::bad_request("Invalid File Name"))?;
    Ok(text.to_owned())
}
