//! What a cell asks of the server: requests in the order in which connections take them.

use crate::content::{Content, KeyOrder};
use crate::server::Swift;
use crate::sign::{Endpoint, Protection};
use anyhow::Result;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// Keys a list page asks for: the most that S3 gives.
pub(crate) const PAGE_KEYS: usize = 1000;

/// One request, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) method: Method,
    pub(crate) target: PathAndQuery,
    /// Beside `host` and `content-length`.
    pub(crate) headers: HeaderMap,
    pub(crate) expect: Expect,
}

/// What the request carries, and what its answer must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// The request carries the body of this object.
    Stored(u64),
    /// The same, in one chunk with its checksum behind it.
    StoredInChunk(u64),
    /// The answer is the body of this object.
    Body(u64),
    /// The answer is a list of this many keys.
    Keys(usize),
}

/// Where the objects of a cell are.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) endpoint: Endpoint,
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) order: KeyOrder,
}

impl Place {
    fn object(&self, method: Method, number: u64, expect: Expect) -> Result<Item> {
        let path = format!("/{}/{}", self.bucket, self.order.key(&self.prefix, number));
        let target = self.endpoint.presign(method.as_str(), &path, &[])?;
        Ok(Item { method, target, headers: HeaderMap::new(), expect })
    }

    pub(crate) fn put(&self, number: u64) -> Result<Item> {
        self.object(Method::PUT, number, Expect::Stored(number))
    }

    /// A put whose body is protected, by a signature or by a checksum: as SDKs send them.
    fn protected_put(&self, number: u64, content: &Content, protection: Protection) -> Result<Item> {
        let path = format!("/{}/{}", self.bucket, self.order.key(&self.prefix, number));
        let body = content.body(number);
        let (target, headers) = self.endpoint.sign_put(&path, &body, protection)?;
        let expect = match protection {
            Protection::Signed => Expect::Stored(number),
            Protection::Trailer => Expect::StoredInChunk(number),
        };
        Ok(Item { method: Method::PUT, target, headers, expect })
    }

    pub(crate) fn get(&self, number: u64) -> Result<Item> {
        self.object(Method::GET, number, Expect::Body(number))
    }

    /// The page that starts with object `number` of [`KeyOrder::Ascending`] keys.
    fn page(&self, number: u64, keys: usize) -> Result<Item> {
        let after = number.checked_sub(1).map(|before| self.order.key(&self.prefix, before));
        let most = PAGE_KEYS.to_string();
        let mut query = vec![("list-type", "2"), ("max-keys", &most), ("prefix", &self.prefix)];
        if let Some(after) = &after {
            query.push(("start-after", after));
        }
        let target = self.endpoint.presign("GET", &format!("/{}", self.bucket), &query)?;
        Ok(Item { method: Method::GET, target, headers: HeaderMap::new(), expect: Expect::Keys(keys) })
    }
}

/// The requests of a cell.
pub(crate) struct Work {
    source: Source,
    /// Bodies to send or to check against.
    pub(crate) content: Content,
    /// Whether each received body is compared with the one stored; lengths always are.
    pub(crate) verify: bool,
}

enum Source {
    /// Signed ahead of time.
    Ready { items: Vec<Item>, repeat: bool },
    /// Puts signed when they are sent: for prefills of more objects than URLs should be kept of.
    Puts { place: Place, from: u64, count: u64 },
}

impl Work {
    /// Puts of objects `from..from + count`, each once.
    pub(crate) fn puts(place: &Place, from: u64, count: u64, content: Content) -> Result<Self> {
        let items = (from..from + count).map(|number| place.put(number)).collect::<Result<_>>()?;
        Ok(Self { source: Source::Ready { items, repeat: false }, content, verify: false })
    }

    /// The same, with bodies that are protected.
    pub(crate) fn protected_puts(
        place: &Place,
        from: u64,
        count: u64,
        content: Content,
        protection: Protection,
    ) -> Result<Self> {
        let items = (from..from + count)
            .map(|number| place.protected_put(number, &content, protection))
            .collect::<Result<_>>()?;
        Ok(Self { source: Source::Ready { items, repeat: false }, content, verify: false })
    }

    /// Puts of objects `0..keys` in random order, over and over.
    pub(crate) fn overwrites(place: &Place, keys: u64, content: Content) -> Result<Self> {
        let items = (0..keys).map(|number| place.put(number)).collect::<Result<_>>()?;
        Ok(Self { source: Source::Ready { items: shuffled(items), repeat: true }, content, verify: false })
    }

    /// The same, signing as it goes.
    pub(crate) fn prefill(place: &Place, from: u64, count: u64, content: Content) -> Self {
        Self { source: Source::Puts { place: place.clone(), from, count }, content, verify: false }
    }

    /// Gets of objects `0..keys` in random order, over and over.
    pub(crate) fn gets(place: &Place, keys: u64, content: Content, verify: bool) -> Result<Self> {
        let items = (0..keys).map(|number| place.get(number)).collect::<Result<_>>()?;
        Ok(Self { source: Source::Ready { items: shuffled(items), repeat: true }, content, verify })
    }

    /// The same through Swift, each with a token.
    pub(crate) fn swift_gets(swift: &Swift, place: &Place, keys: u64, content: Content) -> Result<Self> {
        let headers: HeaderMap =
            [(HeaderName::from_static("x-auth-token"), swift.token.clone())].into_iter().collect();
        let item = |number| {
            let key = place.order.key(&place.prefix, number);
            let target = PathAndQuery::try_from(format!("/v1/{}/{}/{key}", swift.account, place.bucket))?;
            anyhow::Ok(Item {
                method: Method::GET,
                target,
                headers: headers.clone(),
                expect: Expect::Body(number),
            })
        };
        let items = (0..keys).map(item).collect::<Result<_>>()?;
        Ok(Self { source: Source::Ready { items: shuffled(items), repeat: true }, content, verify: true })
    }

    /// Of `count` requests seven in ten get one of the objects `0..keys`, the others put new ones, numbered from `from`.
    pub(crate) fn mixed(
        place: &Place,
        keys: u64,
        from: u64,
        count: u64,
        content: Content,
        verify: bool,
    ) -> Result<Self> {
        let mut random = StdRng::seed_from_u64(70);
        let item = |number| {
            if random.random_ratio(7, 10) {
                place.get(random.random_range(0..keys))
            } else {
                place.put(from + number)
            }
        };
        let items = (0..count).map(item).collect::<Result<_>>()?;
        Ok(Self { source: Source::Ready { items, repeat: false }, content, verify })
    }

    /// Every page of [`PAGE_KEYS`] of the `keys` ascending keys, in random order, over and over.
    pub(crate) fn pages(place: &Place, keys: u64) -> Result<Self> {
        let step = PAGE_KEYS as u64;
        let page = |start: u64| place.page(start, usize::try_from(step.min(keys - start))?);
        let starts = (0..keys).step_by(PAGE_KEYS);
        let items = starts.map(page).collect::<Result<_>>()?;
        let source = Source::Ready { items: shuffled(items), repeat: true };
        Ok(Self { source, content: Content::new(0), verify: false })
    }

    /// The request that is the `position`th to be sent; `None` once there are no more.
    pub(crate) fn item(&self, position: u64) -> Result<Option<Item>> {
        match &self.source {
            Source::Ready { items, repeat } => {
                let count = items.len() as u64;
                let position = if *repeat && count > 0 { position % count } else { position };
                Ok(usize::try_from(position).ok().and_then(|position| items.get(position)).cloned())
            }
            Source::Puts { place, from, count } if position < *count => place.put(from + position).map(Some),
            Source::Puts { .. } => Ok(None),
        }
    }
}

/// In an order that is random and always the same.
fn shuffled(mut items: Vec<Item>) -> Vec<Item> {
    items.shuffle(&mut StdRng::seed_from_u64(4096));
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        let endpoint = Endpoint::new("http://127.0.0.1:1", "us-east-1", "a", "s").unwrap();
        Place { endpoint, bucket: "b".to_owned(), prefix: "p/".to_owned(), order: KeyOrder::Ascending }
    }

    #[test]
    fn puts_end_and_gets_repeat() {
        let puts = Work::puts(&place(), 5, 2, Content::new(1)).unwrap();
        assert_eq!(puts.item(1).unwrap().unwrap().expect, Expect::Stored(6));
        assert!(puts.item(2).unwrap().is_none());
        let prefill = Work::prefill(&place(), 5, 2, Content::new(1));
        assert_eq!(prefill.item(1).unwrap().unwrap().target.path(), "/b/p/0000000006");
        assert!(prefill.item(2).unwrap().is_none());
        let gets = Work::gets(&place(), 3, Content::new(1), true).unwrap();
        assert_eq!(gets.item(1).unwrap().unwrap().expect, gets.item(4).unwrap().unwrap().expect);
        assert!(Work::gets(&place(), 0, Content::new(1), true).unwrap().item(0).unwrap().is_none());
    }

    #[test]
    fn pages_know_their_keys() {
        let pages = Work::pages(&place(), 2500).unwrap();
        let mut seen: Vec<(usize, bool)> = (0..3)
            .map(|i| pages.item(i).unwrap().unwrap())
            .map(|page| match page.expect {
                Expect::Keys(keys) => {
                    (keys, page.target.query().unwrap().contains("start-after=p%2F0000000999"))
                }
                other => panic!("{other:?}"),
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, [(500, false), (1000, false), (1000, true)]);
    }

    #[test]
    fn a_mix_is_seven_to_three() {
        let mixed = Work::mixed(&place(), 100, 100, 1000, Content::new(1), false).unwrap();
        let gets = (0..1000).filter(|i| mixed.item(*i).unwrap().unwrap().method == Method::GET).count();
        assert!((650..750).contains(&gets), "{gets}");
    }
}
