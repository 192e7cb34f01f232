//! What an operator can set about the Swift port.

/// Settings of one Swift gateway; [`Default`] is what `ringfort up` uses. Most are told to clients by `/info`.
#[derive(Clone, Debug)]
pub struct SwiftConfig {
    /// The URL that clients reach this port by, without a slash at its end; goes into storage URLs.
    pub public_url: String,
    /// What precedes the project in an account's name.
    pub reseller_prefix: String,
    /// Names of the storage policies by their number; the first is the default.
    pub policies: Vec<(u16, String)>,
    /// Largest body of one object.
    pub file_bytes_max: u64,
    /// Longest name of a metadata item.
    pub meta_name_bytes_max: usize,
    /// Longest value of a metadata item.
    pub meta_value_bytes_max: usize,
    /// Most metadata items of one account, container or object.
    pub meta_count_max: usize,
    /// Most bytes of all names and values of one of these.
    pub meta_bytes_max: usize,
    /// Longest value of any header.
    pub header_value_bytes_max: usize,
    /// Longest request target (path and query) in bytes.
    pub uri_bytes_max: usize,
    /// Longest account name.
    pub account_name_bytes_max: usize,
    /// Longest container name.
    pub container_name_bytes_max: usize,
    /// Longest object name.
    pub object_name_bytes_max: usize,
    /// Most entries of one listing.
    pub listing_limit: u32,
    /// Largest manifest of a static large object.
    pub manifest_bytes_max: usize,
    /// Most segments in one manifest of a static large object.
    pub manifest_segments_max: usize,
    /// Most objects of one bulk delete.
    pub bulk_deletes_max: usize,
    /// Most failures before a bulk request gives up.
    pub bulk_failures_max: usize,
    /// Most containers that one archive may create.
    pub bulk_containers_max: usize,
    /// How many symlinks may follow each other.
    pub symlink_depth_max: u32,
}

impl Default for SwiftConfig {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:8080".to_owned(),
            reseller_prefix: "AUTH_".to_owned(),
            policies: vec![(0, "Policy-0".to_owned())],
            file_bytes_max: (5 << 30) + 2,
            meta_name_bytes_max: 128,
            meta_value_bytes_max: 256,
            meta_count_max: 90,
            meta_bytes_max: 4096,
            header_value_bytes_max: 8192,
            uri_bytes_max: 16 << 10,
            account_name_bytes_max: 256,
            // What the object layer takes; one byte less than Swift's default.
            container_name_bytes_max: 255,
            object_name_bytes_max: 1024,
            listing_limit: 10_000,
            manifest_bytes_max: 8 << 20,
            manifest_segments_max: 1000,
            bulk_deletes_max: 10_000,
            bulk_failures_max: 1000,
            bulk_containers_max: 10_000,
            symlink_depth_max: 2,
        }
    }
}
