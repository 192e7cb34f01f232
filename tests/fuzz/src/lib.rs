//! Every decoder of the project on any bytes: stored formats, messages between processes, and what clients send.
//!
//! A target gives its input to each of its decoders, all of them every time. The decoders live in the `fuzzing` modules
//! of their crates and panic when a promise is broken: no panic, no lie about lengths, and what was decoded is what its
//! encoding decodes to. `tests/replay.rs` runs the corpora through them in the test run, `make fuzz` goes on from there.

use ringfort_core::{BlobId, ChunkKey, SYSTEM_SLOT};
use ringfort_object_model::MemorySlot;

/// Some decoders that share a corpus.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Also the name of its folder in `corpus/`.
    pub name: &'static str,
    /// Panics when the input breaks a promise.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "engine_records", run: engine_records },
    Target { name: "engine_extents", run: engine_extents },
    Target { name: "ring", run: ring },
    Target { name: "codec", run: codec },
    Target { name: "object_records", run: object_records },
    Target { name: "object_messages", run: object_messages },
    Target { name: "meta_entries", run: meta_entries },
    Target { name: "meta_system", run: meta_system },
    Target { name: "node", run: node },
    Target { name: "s3_auth", run: s3_auth },
    Target { name: "s3_chunked", run: s3_chunked },
    Target { name: "s3_xml", run: s3_xml },
    Target { name: "s3_headers", run: s3_headers },
    Target { name: "s3_policy", run: s3_policy },
    Target { name: "s3_forms", run: s3_forms },
    Target { name: "swift_requests", run: swift_requests },
    Target { name: "swift_bodies", run: swift_bodies },
    Target { name: "identity", run: identity },
    Target { name: "appliance", run: appliance },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}

fn engine_records(bytes: &[u8]) {
    ringfort_engine::fuzzing::record_header(bytes);
    ringfort_engine::fuzzing::chunk_meta(bytes);
    ringfort_engine::fuzzing::chunk_entry(bytes);
    ringfort_engine::fuzzing::tomb(bytes);
    ringfort_engine::fuzzing::target(bytes);
    ringfort_engine::fuzzing::raft_table(bytes);
    ringfort_engine::fuzzing::format_file(bytes);
    ringfort_engine::fuzzing::extent_header(bytes);
    ringfort_engine::fuzzing::index_keys(bytes);
}

fn engine_extents(bytes: &[u8]) {
    ringfort_engine::fuzzing::extent_scan(bytes);
    ringfort_engine::fuzzing::recovery(bytes);
}

fn ring(bytes: &[u8]) {
    ringfort_ring::fuzzing::table(bytes);
    ringfort_ring::fuzzing::state(bytes);
}

fn codec(bytes: &[u8]) {
    ringfort_codec::fuzzing::chunk(bytes);
    ringfort_codec::fuzzing::layout(bytes);
}

fn object_records(bytes: &[u8]) {
    ringfort_object_model::fuzzing::records(bytes);
    ringfort_object_model::fuzzing::replies(bytes);
    if let Some(key) = ChunkKey::decode(bytes) {
        assert_eq!(key.encode(), bytes, "a chunk's key has one stored form");
    }
    if let Some(blob) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<BlobId>().ok()) {
        assert_eq!(blob.to_string().parse(), Ok(blob));
    }
}

fn object_messages(bytes: &[u8]) {
    ringfort_object_model::fuzzing::commands(bytes);
    ringfort_object_model::fuzzing::queries(bytes);
}

fn meta_entries(bytes: &[u8]) {
    ringfort_meta::fuzzing::entry(bytes);
    ringfort_meta::fuzzing::records(bytes);
}

fn meta_system(bytes: &[u8]) {
    ringfort_meta::fuzzing::system_slot(&mut MemorySlot::new(SYSTEM_SLOT), bytes);
}

fn node(bytes: &[u8]) {
    ringfort_storage_node::fuzzing::identities(bytes);
    ringfort_storage_node::fuzzing::cluster_map(bytes);
}

fn s3_auth(bytes: &[u8]) {
    ringfort_s3::fuzzing::authorization_header(bytes);
    ringfort_s3::fuzzing::presigned_query(bytes);
    ringfort_s3::fuzzing::request_head(bytes);
    ringfort_s3::fuzzing::dates(bytes);
}

fn s3_chunked(bytes: &[u8]) {
    ringfort_s3::fuzzing::aws_chunked(bytes);
}

fn s3_xml(bytes: &[u8]) {
    ringfort_s3::fuzzing::xml_documents(bytes);
}

fn s3_policy(bytes: &[u8]) {
    ringfort_s3::fuzzing::bucket_policy(bytes);
}

fn s3_forms(bytes: &[u8]) {
    ringfort_s3::fuzzing::forms(bytes);
}

fn s3_headers(bytes: &[u8]) {
    ringfort_s3::fuzzing::ranges_and_conditions(bytes);
    ringfort_s3::fuzzing::object_headers(bytes);
    ringfort_s3::fuzzing::request_target(bytes);
}

fn swift_requests(bytes: &[u8]) {
    ringfort_swift::fuzzing::request_target(bytes);
    ringfort_swift::fuzzing::request_headers(bytes);
    ringfort_swift::fuzzing::access_lists(bytes);
    ringfort_swift::fuzzing::signatures(bytes);
}

fn swift_bodies(bytes: &[u8]) {
    ringfort_swift::fuzzing::manifests(bytes);
    ringfort_swift::fuzzing::forms(bytes);
    ringfort_swift::fuzzing::archives(bytes);
}

fn identity(bytes: &[u8]) {
    ringfort_identity::fuzzing::tokens(bytes);
    ringfort_identity::fuzzing::texts(bytes);
}

fn appliance(bytes: &[u8]) {
    ringfort_appliance::fuzzing::config(bytes);
    ringfort_appliance::fuzzing::data_folder(bytes);
    ringfort_appliance::fuzzing::secrets(bytes);
    ringfort_appliance::fuzzing::command_line(bytes);
    ringfort_appliance::fuzzing::admin(bytes);
}
