//! Many objects in one request: bulk delete, archives. Replies are reports with a status of their own, since the reply's
//! status is sent before the work is done.

mod delete;
pub(crate) mod tar;
mod unpack;
mod upload;

use crate::error::SwiftError;
use crate::gateway::Call;
use crate::ops::typed_reply;
use crate::target::quote;
use http::{Response, StatusCode};
use ringfort_http::ReplyBody;
use ringfort_object::ObjectPath;
use serde_json::json;

/// What came of a bulk request.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) deleted: u64,
    pub(crate) not_found: u64,
    pub(crate) created: u64,
    /// Paths and what is wrong with them.
    pub(crate) errors: Vec<(String, String)>,
    /// Why the request as a whole failed.
    pub(crate) failure: Option<(StatusCode, String)>,
    /// It is an upload.
    pub(crate) upload: bool,
}

impl Report {
    /// Notes that an object, or a container, was not deleted.
    pub(crate) fn not_deleted(&mut self, at: &ObjectPath, error: &SwiftError) {
        if error.status() == StatusCode::NOT_FOUND {
            self.not_found += 1;
            return;
        }
        let path = match at.key.as_str() {
            "" => format!("/{}", at.container),
            key => format!("/{}/{key}", at.container),
        };
        let said = match error.page() {
            ("text/plain; charset=UTF-8", text) => String::from_utf8_lossy(&text).into_owned(),
            _ => error.status_line(),
        };
        self.errors.push((quote(&path), said));
    }

    /// Notes that the request as a whole failed.
    pub(crate) fn give_up(&mut self, error: &SwiftError) {
        let text = String::from_utf8_lossy(&error.page().1).into_owned();
        self.failure = Some((error.status(), text));
    }

    /// Status and explanation of the whole.
    fn outcome(&self) -> (StatusCode, &str) {
        if let Some((status, text)) = &self.failure {
            return (*status, text);
        }
        if !self.errors.is_empty() {
            return (StatusCode::BAD_REQUEST, "");
        }
        if self.upload {
            return if self.created > 0 {
                (StatusCode::CREATED, "")
            } else {
                (StatusCode::BAD_REQUEST, "Invalid Tar File: No Valid Files")
            };
        }
        if self.deleted + self.not_found == 0 {
            return (StatusCode::BAD_REQUEST, "Invalid bulk delete.");
        }
        (StatusCode::OK, "")
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        if self.upload {
            return vec![("Number Files Created", self.created)];
        }
        vec![("Number Deleted", self.deleted), ("Number Not Found", self.not_found)]
    }
}

/// The report in the form that the client likes.
pub(crate) fn report_reply(call: &Call, report: &Report) -> Response<ReplyBody> {
    let accept = call.parts.headers.get("accept").and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let (status, body) = report.outcome();
    let status = SwiftError::usual(status).status_line();
    if accept.contains("application/json") {
        let mut text = json!({"Response Status": status, "Response Body": body, "Errors": report.errors});
        for (name, count) in report.counts() {
            text[name] = json!(count);
        }
        return typed_reply("application/json; charset=utf-8", text.to_string());
    }
    if accept.contains("application/xml") || accept.contains("text/xml") {
        return typed_reply("application/xml; charset=utf-8", xml(report, &status, body));
    }
    let mut text = String::new();
    for (name, count) in report.counts() {
        text.push_str(&format!("{name}: {count}\n"));
    }
    text.push_str(&format!("Response Body: {body}\nResponse Status: {status}\nErrors:\n"));
    for (path, what) in &report.errors {
        text.push_str(&format!("{path}, {what}\n"));
    }
    typed_reply("text/plain; charset=utf-8", text)
}

fn xml(report: &Report, status: &str, body: &str) -> String {
    use crate::listing::escaped;
    let root = if report.upload { "extract" } else { "delete" };
    let mut text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root}>\n");
    for (name, count) in report.counts() {
        let element = name.to_ascii_lowercase().replace(' ', "_");
        text.push_str(&format!("<{element}>{count}</{element}>\n"));
    }
    text.push_str(&format!("<response_body>{}</response_body>\n", escaped(body)));
    text.push_str(&format!("<response_status>{status}</response_status>\n<errors>\n"));
    for (path, what) in &report.errors {
        let (path, what) = (escaped(path), escaped(what));
        text.push_str(&format!("<object><name>{path}</name><status>{what}</status></object>\n"));
    }
    text + &format!("</errors>\n</{root}>\n")
}
