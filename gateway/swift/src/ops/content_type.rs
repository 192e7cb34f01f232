//! Content types: guessed from names, and with what listings need to know of an object beside its record.
//!
//! A listing sees an object's content type but none of its other attributes. So what it must tell of a static large object
//! (its whole size, its tag) and of a symlink (its target) is kept in parameters of the stored content type, and is taken
//! off before a client sees it.

use crate::target::SEGMENT;
use percent_encoding::{percent_decode_str, utf8_percent_encode};

const PREFIX: &str = "swift_";

/// A content type, and what listings tell besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// As the client knows it.
    pub(crate) content_type: String,
    /// Size of the whole of a static large object.
    pub(crate) bytes: Option<u64>,
    /// Tag of the whole of a static large object.
    pub(crate) slo_etag: Option<String>,
    /// Target of a symlink, as a path.
    pub(crate) symlink_path: Option<String>,
    /// Tag and size that the target of a static symlink must have.
    pub(crate) symlink_etag: Option<String>,
    pub(crate) symlink_bytes: Option<u64>,
}

impl Listed {
    /// Reads a stored content type.
    pub(crate) fn parse(stored: &str) -> Self {
        let mut listed = Self::default();
        if !stored.contains(PREFIX) {
            stored.clone_into(&mut listed.content_type);
            return listed;
        }
        let mut kept = Vec::new();
        for part in stored.split(';') {
            let Some((name, value)) = part.trim().strip_prefix(PREFIX).and_then(|part| part.split_once('='))
            else {
                kept.push(part);
                continue;
            };
            let text = || percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "bytes" => listed.bytes = value.parse().ok(),
                "slo_etag" => listed.slo_etag = Some(text()),
                "symlink_path" => listed.symlink_path = Some(text()),
                "symlink_etag" => listed.symlink_etag = Some(text()),
                "symlink_bytes" => listed.symlink_bytes = value.parse().ok(),
                _ => kept.push(part),
            }
        }
        listed.content_type = kept.join(";");
        listed
    }

    /// As it is stored.
    pub(crate) fn stored(&self) -> String {
        let mut out = self.content_type.clone();
        let mut push = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                out.push_str(&format!(";{PREFIX}{name}={}", utf8_percent_encode(&value, SEGMENT)));
            }
        };
        push("bytes", self.bytes.map(|bytes| bytes.to_string()));
        push("slo_etag", self.slo_etag.clone());
        push("symlink_path", self.symlink_path.clone());
        push("symlink_etag", self.symlink_etag.clone());
        push("symlink_bytes", self.symlink_bytes.map(|bytes| bytes.to_string()));
        out
    }
}

/// A content type as a client gave it, without parameters that are ours.
pub(crate) fn given(content_type: &str) -> String {
    if !content_type.contains(PREFIX) {
        return content_type.to_owned();
    }
    let kept: Vec<&str> = content_type.split(';').filter(|part| !part.trim().starts_with(PREFIX)).collect();
    kept.join(";")
}

/// The content type that a name suggests.
pub(crate) fn guess(name: &str) -> &'static str {
    let ending =
        name.rsplit('/').next().and_then(|file| file.rsplit_once('.')).map_or("", |(_, ending)| ending);
    match ending.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html",
        "txt" | "text" | "log" | "conf" | "c" | "h" => "text/plain",
        "css" => "text/css",
        "csv" => "text/csv",
        "js" | "mjs" => "text/javascript",
        "json" => "application/json",
        "xml" | "xsl" => "text/xml",
        "png" => "image/png",
        "jpg" | "jpeg" | "jpe" => "image/jpeg",
        "gif" => "image/gif",
        "bmp" => "image/bmp",
        "ico" => "image/vnd.microsoft.icon",
        "svg" => "image/svg+xml",
        "tif" | "tiff" => "image/tiff",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "tar" => "application/x-tar",
        "gz" | "tgz" => "application/gzip",
        "mp3" => "audio/mpeg",
        "wav" => "audio/x-wav",
        "mp4" => "video/mp4",
        "mpeg" | "mpg" => "video/mpeg",
        "mov" => "video/quicktime",
        "avi" => "video/x-msvideo",
        "webm" => "video/webm",
        "md" => "text/markdown",
        "py" => "text/x-python",
        "sh" => "application/x-sh",
        "doc" => "application/msword",
        "ps" | "eps" => "application/postscript",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn types_are_guessed() {
        for (name, wanted) in [
            ("a/b.HTML", "text/html"),
            ("x.tar.gz", "application/gzip"),
            ("html", "application/octet-stream"),
            ("a.html/b", "application/octet-stream"),
        ] {
            assert_eq!(guess(name), wanted, "{name}");
        }
        assert_eq!(given("text/plain; charset=x;swift_bytes=9"), "text/plain; charset=x");
    }

    proptest! {
        #[test]
        fn what_is_stored_comes_back(bytes: Option<u64>, path in proptest::option::of(".{1,30}"), plain in "[a-z/; =]{0,20}") {
            let listed = Listed { content_type: plain, bytes, symlink_path: path, ..Listed::default() };
            prop_assert_eq!(Listed::parse(&listed.stored()), listed);
        }
    }
}
