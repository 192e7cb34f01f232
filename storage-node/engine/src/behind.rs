//! Letting go of the page cache behind a stream of large bodies.
//!
//! What was just written is often read soon, so the newest stays. Beyond that, large bodies would only push out what is
//! read again and again, and every one of them would have to be given fresh memory by the kernel, which costs more than the
//! copy into it. Small bodies stay as long as the kernel likes.

use crate::disk::DiskFile;
use std::collections::VecDeque;
use std::sync::Arc;

/// A group commit with so many bytes of bodies is let go of.
pub(crate) const BODIES_BYTES_MIN: usize = 128 << 10;
/// Bytes of them per device that stay in the page cache.
const KEPT_BYTES: u64 = 256 << 20;

/// Where the newest group commits with large bodies are, oldest first.
#[derive(Default)]
pub(crate) struct Behind {
    kept: VecDeque<Range>,
    bytes: u64,
}

struct Range {
    file: Arc<dyn DiskFile>,
    offset: u64,
    len: u64,
}

impl Behind {
    /// Notes a group commit that is synced, and lets go of the oldest ones.
    pub(crate) fn synced(&mut self, file: &Arc<dyn DiskFile>, offset: u64, len: u64) {
        self.kept.push_back(Range { file: Arc::clone(file), offset, len });
        self.bytes += len;
        while self.bytes > KEPT_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= oldest.len;
            oldest.file.let_go(oldest.offset, oldest.len);
        }
    }
}
