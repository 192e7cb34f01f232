//! Listings, walked over the shards of a container as the object layer does.

use super::pair::{Pair, TAKER};
use super::world::rolled_up;
use crate::{KeyRange, Page, PageEntry, Query, Refusal, ShardId, VersionId};

/// Which listing, and where within the marker it goes on.
#[derive(Clone, Copy)]
enum Kind {
    Objects,
    Versions(Option<VersionId>),
    Uploads(u64),
}

impl Pair {
    /// The pages of the container's shards that make one page.
    fn pages(&self, container: usize, range: KeyRange<'_>, mut kind: Kind) -> (Vec<Page>, bool) {
        let (mut pages, mut left, mut low) = (Vec::<Page>::new(), range.limit, String::new());
        for place in if container == 0 { &[0, TAKER][..] } else { &[1][..] } {
            let last = pages.iter().rev().find_map(Page::last);
            let marker = match last {
                None => range.marker,
                Some(PageEntry::CommonPrefix(prefix)) => prefix,
                Some(PageEntry::Version { key, version, .. }) => {
                    kind = if let Kind::Versions(_) = kind { Kind::Versions(Some(version)) } else { kind };
                    key
                }
                Some(PageEntry::Upload { key, upload }) => {
                    kind = Kind::Uploads(upload);
                    key
                }
            };
            let (shard, range) = (self.shards[*place], KeyRange { limit: left, low: &low, marker, ..range });
            let query = match kind {
                Kind::Objects => Query::List { shard, range },
                Kind::Versions(after) => Query::Versions { shard, range, after },
                Kind::Uploads(after) => Query::Uploads { shard, range, after },
            };
            let page = Page::decode(self.ask(*place, &query).unwrap().into()).unwrap();
            assert_eq!(page.last(), page.entries().last());
            left -= page.count;
            let (truncated, end) = (page.truncated, page.end.clone());
            pages.push(page);
            match end {
                Some((end, number)) if !truncated => {
                    assert_eq!(ShardId { number, ..shard }, self.shards[TAKER]);
                    low = end;
                }
                _ => return (pages, truncated),
            }
        }
        (pages, false)
    }

    pub(super) fn list(&self, container: usize, range: KeyRange<'_>) {
        let (pages, truncated) = self.pages(container, range, Kind::Objects);
        let shown = pages.iter().flat_map(Page::entries).map(|entry| match entry {
            PageEntry::Version { key, content_type, .. } => {
                assert_eq!(content_type, "t/x".get(..content_type.len()).unwrap());
                (key.to_owned(), false)
            }
            PageEntry::CommonPrefix(prefix) => (prefix.to_owned(), true),
            PageEntry::Upload { .. } => panic!("an upload among objects"),
        });
        let expected = self.world.shards[container].list(&range);
        assert_eq!((shown.collect(), truncated), expected, "{range:?}");
    }

    /// From the last shard down, as the object layer does; the first one says that it does not reach that far.
    pub(super) fn list_reverse(&self, container: usize, range: KeyRange<'_>) {
        let (mut pages, mut left, mut high) = (Vec::<Page>::new(), range.limit, String::new());
        let mut place = container;
        let truncated = loop {
            let last = pages.iter().rev().find_map(Page::last);
            let marker = match last {
                None => range.marker,
                Some(PageEntry::CommonPrefix(key) | PageEntry::Version { key, .. }) => key,
                Some(PageEntry::Upload { .. }) => panic!("an upload among objects"),
            };
            let (shard, range) = (self.shards[place], KeyRange { limit: left, low: &high, marker, ..range });
            let page = match self.ask(place, &Query::ListReverse { shard, range }) {
                Err(Refusal::Above { next }) => {
                    assert_eq!((place, ShardId { number: next, ..shard }), (0, self.shards[TAKER]));
                    place = TAKER;
                    continue;
                }
                answer => Page::decode(answer.unwrap().into()).unwrap(),
            };
            assert_eq!(page.last(), page.entries().last());
            left -= page.count;
            let (truncated, begin) = (page.truncated, page.end.clone());
            pages.push(page);
            match begin {
                Some((begin, number)) if !truncated => {
                    assert_eq!((place, number, Some(&begin)), (TAKER, 1, self.boundary.as_ref()));
                    (place, high) = (0, begin);
                }
                _ => break truncated,
            }
        };
        let shown = pages.iter().flat_map(Page::entries).map(|entry| match entry {
            PageEntry::Version { key, .. } => (key.to_owned(), false),
            PageEntry::CommonPrefix(prefix) => (prefix.to_owned(), true),
            PageEntry::Upload { .. } => panic!("an upload among objects"),
        });
        let expected = self.world.shards[container].list_reverse(&range);
        assert_eq!((shown.collect(), truncated), expected, "{range:?}");
    }

    pub(super) fn list_uploads(&self, container: usize, range: KeyRange<'_>, skip: usize) {
        let all: Vec<_> = self.world.shards[container].uploads.keys().cloned().collect();
        // Go on after one of the uploads, or after a key.
        let (marker, after) = match all.get(skip) {
            Some((key, id)) => (key.as_str(), *id),
            None => (range.marker, 0),
        };
        let range = KeyRange { marker, end: "", now: 0, ..range };
        let (pages, truncated) = self.pages(container, range, Kind::Uploads(after));
        let shown: Vec<_> = pages
            .iter()
            .flat_map(Page::entries)
            .map(|entry| match entry {
                PageEntry::Upload { key, .. } => (key.to_owned(), false),
                PageEntry::CommonPrefix(prefix) => (prefix.to_owned(), true),
                PageEntry::Version { .. } => panic!("an object among uploads"),
            })
            .collect();
        if !range.delimiter.is_empty() {
            assert!(shown.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            return;
        }
        let later = all
            .iter()
            .filter(|(key, id)| (after > 0 && key == marker && *id > after) || key.as_str() > marker);
        let unmarked = KeyRange { marker: "", ..range };
        let expected = rolled_up(later.map(|(key, _)| key), &unmarked);
        assert_eq!((shown, truncated), expected, "{range:?} {after}");
    }

    /// All versions, by pages of `limit`, are those of the reference.
    pub(super) fn versions(&self, container: usize, limit: u32) {
        let (mut marker, mut after) = (String::new(), None);
        let mut seen = Vec::new();
        loop {
            let range = KeyRange { marker: &marker, limit, ..KeyRange::default() };
            let (pages, truncated) = self.pages(container, range, Kind::Versions(after));
            let mut last = None;
            for entry in pages.iter().flat_map(Page::entries) {
                let PageEntry::Version { key, version, latest, marker, size, modified, .. } = entry else {
                    panic!("{entry:?}")
                };
                seen.push((key.to_owned(), modified.0, version == VersionId::Null, marker, latest, size));
                last = Some((key.to_owned(), version));
            }
            assert!(seen.len() <= 10_000, "pages go ahead");
            let Some((key, version)) = last.filter(|_| truncated) else { break };
            (marker, after) = (key, Some(version));
        }
        let expected: Vec<_> = self.world.shards[container]
            .keys
            .iter()
            .flat_map(|(key, versions)| {
                let all = versions.iter().enumerate();
                all.map(|(i, v)| (key.clone(), v.modified(), v.null, v.marker, i == 0, v.size))
            })
            .collect();
        assert_eq!(seen, expected);
    }
}
