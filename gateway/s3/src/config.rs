//! What an operator can set about the S3 port.

use std::time::Duration;

/// Settings of one S3 gateway; [`Default`] is what `ringfort up` uses.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// The region that signatures must name and `GetBucketLocation` answers with.
    pub region: String,
    /// Domains under which a bucket is a host name of its own: `bucket.domain`.
    pub domains: Vec<String>,
    /// Sent as `HostId` in errors and as `x-amz-id-2`: names the process, never a secret.
    pub host_id: String,
    /// Largest body of one PutObject or UploadPart.
    pub put_bytes_max: u64,
    /// Smallest part but the last of a multipart upload.
    pub part_bytes_min: u64,
    /// Longest request target (path and query) in bytes.
    pub uri_bytes_max: usize,
    /// Largest sum of header names and values in bytes.
    pub header_bytes_max: usize,
    /// Most bytes of a POSTed form before its file.
    pub form_bytes_max: usize,
    /// Largest XML body that is read into memory.
    pub xml_bytes_max: usize,
    /// How far a request's time may be from ours.
    pub skew_max: Duration,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            domains: Vec::new(),
            host_id: "ringfort".to_owned(),
            put_bytes_max: 5 << 30,
            part_bytes_min: 5 << 20,
            // Re-encoding may triple a target, and `http::Uri` (inside aws-sigv4, which unwraps) holds 64 KiB.
            uri_bytes_max: 16 << 10,
            header_bytes_max: 16 << 10,
            form_bytes_max: 20 << 10,
            xml_bytes_max: 2 << 20,
            skew_max: Duration::from_secs(15 * 60),
        }
    }
}
