//! RocksDB as the index: no log of its own, all families flushed at one moment.

use super::{Cursor, Family, Index, IndexOp, View};
use crate::{EngineError, SharedMemory};
use bytes::Bytes;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BoundColumnFamily, ColumnFamilyDescriptor, DB, DBAccess,
    DBCompressionType, DBRawIteratorWithThreadMode, DataBlockIndexType, FlushOptions, Options, ReadOptions,
    WriteBatch, WriteOptions,
};
use std::path::Path;
use std::sync::Arc;

/// Bytes of a part of a file's index or filter.
const METADATA_BLOCK_BYTES: usize = 8 << 10;

const NAMES: [&str; 4] = ["default", "chunks", "inline", "state"];

pub(crate) struct RocksIndex {
    db: DB,
    write: WriteOptions,
}

fn fault(error: &rocksdb::Error) -> EngineError {
    let reason = error.to_string();
    match error.kind() {
        // What a flipped bit in its files can read as; only a rebuild gets past them.
        rocksdb::ErrorKind::Corruption
        | rocksdb::ErrorKind::NotFound
        | rocksdb::ErrorKind::NotSupported
        | rocksdb::ErrorKind::InvalidArgument => EngineError::IndexDamaged { reason },
        // RocksDB names some missing or short files so; only a rebuild gets past them.
        _ if reason.contains("No such file") || reason.contains("CURRENT") => {
            EngineError::IndexDamaged { reason }
        }
        _ => EngineError::Index { reason },
    }
}

fn family_options(family: Family, shared: &SharedMemory) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&shared.cache);
    // Index and filter of a file in parts: whole ones grow with the number of keys until no shard of the cache holds one,
    // and then every look-up reads half a megabyte.
    table.set_cache_index_and_filter_blocks(true);
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(METADATA_BLOCK_BYTES);
    table.set_pin_top_level_index_and_filter(true);
    table.set_block_size(if family == Family::State { 8 << 10 } else { 4 << 10 });
    table.set_format_version(5);
    if family != Family::Inline {
        table.set_bloom_filter(10.0, false);
        table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(if family == Family::Meta { 4 << 20 } else { 16 << 20 });
    options.set_max_write_buffer_number(3);
    options.set_arena_block_size(256 << 10);
    options.set_target_file_size_base(32 << 20);
    options.set_max_bytes_for_level_base(128 << 20);
    options.set_level_compaction_dynamic_level_bytes(true);
    options
}

impl RocksIndex {
    pub(crate) fn open(path: &Path, shared: &SharedMemory) -> Result<Self, EngineError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_atomic_flush(true);
        options.set_write_buffer_manager(&shared.buffers);
        options.set_max_open_files(256);
        options.set_max_background_jobs(2);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(1 << 20);
        options.set_stats_dump_period_sec(0);
        options.set_skip_stats_update_on_db_open(true);
        options.set_max_manifest_file_size(4 << 20);
        options.set_bytes_per_sync(1 << 20);
        options.set_paranoid_checks(true);
        let families = Family::ALL.map(|family| {
            ColumnFamilyDescriptor::new(NAMES[family as usize], family_options(family, shared))
        });
        let db = DB::open_cf_descriptors(&options, path, families).map_err(|error| fault(&error))?;
        let mut write = WriteOptions::default();
        write.disable_wal(true);
        Ok(Self { db, write })
    }

    fn handle(&self, family: Family) -> Arc<BoundColumnFamily<'_>> {
        self.db.cf_handle(NAMES[family as usize]).expect("open creates every family")
    }
}

fn bounded(from: &[u8], to: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(from);
    if !to.is_empty() {
        options.set_iterate_upper_bound(to);
    }
    options
}

impl View for RocksIndex {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let found = self.db.get_pinned_cf(&self.handle(family), key).map_err(|error| fault(&error))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn cursor(&self, family: Family, from: &[u8], to: &[u8]) -> Box<dyn Cursor + '_> {
        Box::new(RocksCursor(self.db.raw_iterator_cf_opt(&self.handle(family), bounded(from, to))))
    }
}

impl Index for RocksIndex {
    fn write(&self, ops: &[IndexOp]) -> Result<(), EngineError> {
        let handles = Family::ALL.map(|family| self.handle(family));
        let mut batch = WriteBatch::default();
        for op in ops {
            match op {
                IndexOp::Put(family, key, value) => batch.put_cf(&handles[*family as usize], key, value),
                IndexOp::Delete(family, key) => batch.delete_cf(&handles[*family as usize], key),
                IndexOp::DeleteRange(family, from, to) => {
                    batch.delete_range_cf(&handles[*family as usize], from, to)
                }
            }
        }
        self.db.write_opt(batch, &self.write).map_err(|error| fault(&error))
    }

    fn flush(&self) -> Result<(), EngineError> {
        let handles = Family::ALL.map(|family| self.handle(family));
        let handles: Vec<_> = handles.iter().collect();
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db.flush_cfs_opt(&handles, &options).map_err(|error| fault(&error))
    }

    fn with_snapshot(&self, visit: &mut dyn FnMut(&dyn View)) {
        visit(&RocksSnapshot { index: self, snapshot: self.db.snapshot() });
    }
}

struct RocksSnapshot<'a> {
    index: &'a RocksIndex,
    snapshot: rocksdb::SnapshotWithThreadMode<'a, DB>,
}

impl View for RocksSnapshot<'_> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let found =
            self.snapshot.get_pinned_cf(&self.index.handle(family), key).map_err(|error| fault(&error))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn cursor(&self, family: Family, from: &[u8], to: &[u8]) -> Box<dyn Cursor + '_> {
        Box::new(RocksCursor(
            self.snapshot.raw_iterator_cf_opt(&self.index.handle(family), bounded(from, to)),
        ))
    }
}

struct RocksCursor<'a, D: DBAccess>(DBRawIteratorWithThreadMode<'a, D>);

impl<D: DBAccess> Cursor for RocksCursor<'_, D> {
    fn seek(&mut self, key: &[u8]) {
        self.0.seek(key);
    }

    fn first(&mut self) {
        self.0.seek_to_first();
    }

    fn last(&mut self) {
        self.0.seek_to_last();
    }

    fn next(&mut self) {
        self.0.next();
    }

    fn prev(&mut self) {
        self.0.prev();
    }

    fn item(&self) -> Option<(&[u8], &[u8])> {
        self.0.item()
    }

    fn status(&self) -> Result<(), EngineError> {
        self.0.status().map_err(|error| fault(&error))
    }
}
