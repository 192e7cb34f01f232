//! The allocator: one jemalloc for our code and for RocksDB, told to give memory back.

/// Few arenas and quick decay keep the resident set near what is in use; the decay runs on jemalloc's own thread, so
/// that an idle process shrinks too.
#[allow(unsafe_code, reason = "jemalloc reads its options from this symbol before main")]
#[unsafe(export_name = "malloc_conf")]
static MALLOC_CONF: &[u8] = b"background_thread:true,narenas:4,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes in use by the program, and bytes the allocator holds for it.
pub(crate) fn allocated_and_resident() -> Option<(usize, usize)> {
    // The statistics are as of the last epoch.
    tikv_jemalloc_ctl::epoch::advance().ok()?;
    Some((tikv_jemalloc_ctl::stats::allocated::read().ok()?, tikv_jemalloc_ctl::stats::resident::read().ok()?))
}
