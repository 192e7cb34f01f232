//! Listings from the last key to the first. A container's record names its shards in order, but may be behind: a shard that
//! has given keys away names the one after it, and so leads to the right one.

use crate::shards::is_routing;
use crate::store::CallError;
use crate::{ListPage, ListRequest, ObjectError, ObjectStore};
use ringfort_object_model::{ContainerRecord, KeyRange, Page, PageEntry, Query, Refusal, ShardId};

/// Times a listing begins anew because the container's record was out of date.
const ATTEMPTS: u32 = 5;

/// The shard that holds the last keys below `bound`; of all keys if there is none.
fn shard_below(record: &ContainerRecord, bound: Option<&[u8]>) -> ShardId {
    let index = match bound {
        None => record.shards.len(),
        Some(bound) => record.shards.partition_point(|(from, _)| from.as_bytes() < bound),
    };
    record.shard(index.saturating_sub(1))
}

/// What bounds the keys of a request from above.
fn upper_bound(request: &ListRequest) -> Option<Vec<u8>> {
    let mut above = request.prefix.clone().into_bytes();
    if let Some(last) = above.last_mut() {
        // No UTF-8 text holds a byte FF.
        *last += 1;
    }
    let bounds = [above, request.marker.clone().into_bytes()];
    bounds.into_iter().filter(|bound| !bound.is_empty()).min()
}

impl ObjectStore {
    /// A page of objects, the last keys first.
    pub(crate) async fn list_reverse(
        &self,
        account: &str,
        container: &str,
        request: &ListRequest,
    ) -> Result<ListPage, ObjectError> {
        let mut attempt = 0;
        loop {
            let record = self.record(account, container).await?;
            let mut giver = record.shard(0);
            match self.reverse_from(&record, request, &mut giver).await {
                Err(CallError::Refused(refusal)) if is_routing(refusal) && attempt < ATTEMPTS => {
                    attempt += 1;
                    if refusal == Refusal::Below {
                        // Keys were given to a shard just now, and nobody has told it.
                        self.finish_move(account, container, giver).await?;
                    }
                    self.settle(account, container, giver, refusal, attempt).await?;
                }
                ended => return Ok(ended?),
            }
        }
    }

    /// Walks the shards down from the one that holds the last keys of the range. `giver` is left at the last shard that led to
    /// another one.
    async fn reverse_from(
        &self,
        record: &ContainerRecord,
        request: &ListRequest,
        giver: &mut ShardId,
    ) -> Result<ListPage, CallError> {
        let mut listed = ListPage::default();
        let limit = request.limit;
        if limit == 0 {
            return Ok(listed);
        }
        let now = ringfort_runtime::wall_us() / 1_000_000;
        let (mut marker, mut resume, mut high) = (request.marker.clone(), String::new(), String::new());
        let mut shard = shard_below(record, upper_bound(request).as_deref());
        loop {
            let left = limit - u32::try_from(listed.len).unwrap_or(limit).min(limit);
            let range = KeyRange {
                prefix: &request.prefix,
                delimiter: &request.delimiter,
                marker: &marker,
                end: &request.end_marker,
                resume: &resume,
                // With nothing left, one more entry anywhere ahead decides whether the page is truncated.
                limit: left.max(1),
                now,
                low: &high,
            };
            let page = match self.query(shard.slot(), &Query::ListReverse { shard, range }).await {
                // Shards after one another end ever further up, so this comes to an end.
                Err(CallError::Refused(Refusal::Above { next })) => {
                    *giver = shard;
                    shard.number = next;
                    continue;
                }
                answer => Page::decode(answer?.0).ok_or(CallError::Refused(Refusal::Damaged))?,
            };
            let (begin, truncated) = (page.end.clone(), page.truncated);
            let more = left == 0 && page.count > 0;
            resume = page.resume.clone().unwrap_or_default();
            if page.count > 0 && !more {
                marker = last_of(&page).ok_or(CallError::Refused(Refusal::Damaged))?;
                listed.len += page.count as usize;
                listed.pages.push(page);
            }
            if more || (truncated && resume.is_empty()) {
                (listed.truncated, listed.next_marker) = (true, marker);
                return Ok(listed);
            }
            if !resume.is_empty() {
                continue;
            }
            let Some((begin, _)) = begin else { return Ok(listed) };
            shard = shard_below(record, Some(begin.as_bytes()));
            high = begin;
        }
    }
}

fn last_of(page: &Page) -> Option<String> {
    match page.last()? {
        PageEntry::Version { key, .. } | PageEntry::CommonPrefix(key) => Some(key.to_owned()),
        PageEntry::Upload { .. } => None,
    }
}
