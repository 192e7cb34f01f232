//! How an engine is set up.

use crate::EngineError;

/// Settings of one engine. Caches are shared by cloning one config for all devices of a process.
#[derive(Clone)]
pub struct EngineConfig {
    /// Size of an extent file.
    pub extent_bytes: u64,
    /// Space kept back for deletes, votes, log entries, compaction and the index.
    pub reserve_bytes: u64,
    /// Upper bound on the space the log may take, for tests and for folders that share a disk; `None` takes what the
    /// file system gives.
    pub capacity_bytes: Option<u64>,
    /// Block cache and write buffers of the index, shared by every engine made from clones of this config.
    pub shared: SharedMemory,
    /// Bytes of recent log entries kept in memory, per device.
    pub entry_cache_bytes: u64,
    /// Log bytes after which the index is flushed in the background.
    pub checkpoint_log_bytes: u64,
    /// Seconds after which the index is flushed in the background if anything was written.
    pub checkpoint_secs: u64,
    /// Bytes per second that background compaction may move.
    pub compact_bytes_per_sec: u64,
    /// Whether extents are compacted and checkpoints are made by the engine's own background thread.
    pub background: bool,
    /// Threads that read and hash.
    pub worker_threads: usize,
    /// Throw the index away and rebuild it from the log at open.
    pub rebuild_index: bool,
    /// Answers before the sync: a fault that tests put in to show that they notice it.
    #[cfg(test)]
    pub(crate) ack_early: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            extent_bytes: 64 << 20,
            reserve_bytes: 256 << 20,
            capacity_bytes: None,
            shared: SharedMemory::new(32 << 20, 48 << 20),
            entry_cache_bytes: 8 << 20,
            checkpoint_log_bytes: 256 << 20,
            checkpoint_secs: 30,
            compact_bytes_per_sec: 64 << 20,
            background: true,
            worker_threads: 2,
            rebuild_index: false,
            #[cfg(test)]
            ack_early: false,
        }
    }
}

impl EngineConfig {
    /// The same settings with extents of `bytes`.
    #[must_use]
    pub fn extent_bytes(mut self, bytes: u64) -> Self {
        self.extent_bytes = bytes;
        self
    }

    /// The same settings with `bytes` kept in reserve.
    #[must_use]
    pub fn reserve_bytes(mut self, bytes: u64) -> Self {
        self.reserve_bytes = bytes;
        self
    }

    /// The same settings with the log bounded to `bytes`.
    #[must_use]
    pub fn capacity_bytes(mut self, bytes: u64) -> Self {
        self.capacity_bytes = Some(bytes);
        self
    }

    /// The same settings, but the index is thrown away and rebuilt from the log at open.
    #[must_use]
    pub fn rebuild_index(mut self) -> Self {
        self.rebuild_index = true;
        self
    }

    /// Small extents, no reserve, no background thread, little memory: for tests of callers.
    #[must_use]
    pub fn small_for_tests() -> Self {
        Self {
            extent_bytes: 1 << 20,
            reserve_bytes: 0,
            shared: SharedMemory::new(1 << 20, 8 << 20),
            entry_cache_bytes: 1 << 20,
            ..Self::default()
        }
    }

    pub(crate) fn validate(&self) -> Result<(), EngineError> {
        let fail = |reason: &str| Err(EngineError::Config { reason: reason.to_owned() });
        if self.extent_bytes < 16 << 10 || self.extent_bytes > 1 << 30 {
            return fail("extent_bytes must lie within 16 KiB and 1 GiB");
        }
        if self.worker_threads == 0 || self.worker_threads > 64 {
            return fail("worker_threads must lie within 1 and 64");
        }
        if self.compact_bytes_per_sec == 0 {
            return fail("compact_bytes_per_sec must not be 0");
        }
        Ok(())
    }
}

/// Block cache and write-buffer budget of the indexes of all devices of a process.
#[derive(Clone)]
pub struct SharedMemory {
    pub(crate) cache: rocksdb::Cache,
    pub(crate) buffers: rocksdb::WriteBufferManager,
}

impl SharedMemory {
    /// A block cache of `cache_bytes` and write buffers of `buffer_bytes` in all.
    #[must_use]
    pub fn new(cache_bytes: usize, buffer_bytes: usize) -> Self {
        Self {
            cache: rocksdb::Cache::new_lru_cache(cache_bytes),
            buffers: rocksdb::WriteBufferManager::new_write_buffer_manager(buffer_bytes, false),
        }
    }
}
