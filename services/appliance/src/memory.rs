//! The allocator: one jemalloc for our code and for RocksDB, told to give memory back.

/// Few arenas and quick decay keep the resident set near what is in use; the decay runs on jemalloc's own thread, so
/// that an idle process shrinks too.
#[allow(unsafe_code, reason = "jemalloc reads its options from this symbol before main")]
#[unsafe(export_name = "malloc_conf")]
static MALLOC_CONF: &[u8] = b"background_thread:true,narenas:4,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
