//! Attributes changed in place.

use super::pair::Pair;
use crate::{Attributes, Command, Found, Query, Refusal, SetAttributes, VersionId, encode_extras};
use ringfort_core::HybridTime;

impl Pair {
    /// Changes the attributes of version `index` of a key, and then once more as one who has not seen that.
    pub(super) fn set_attributes(
        &mut self,
        container: usize,
        key: &str,
        index: usize,
        touch: bool,
        life: Option<u64>,
    ) {
        let place = self.place(container, key);
        let shard = self.shards[place];
        let ver =
            self.world.shards[container].keys.get(key).and_then(|versions| versions.get(index)).cloned();
        let Some(ver) = ver else {
            let (stamp, expect) = (3, [0; 16]);
            let command = SetAttributes { shard, key, stamp, expect, touch, content_type: None, extras: &[] };
            let refused = self.run(place, &Command::SetAttributes(command), Vec::new());
            assert_eq!(refused, Err(Refusal::Changed));
            return;
        };
        let id = if ver.null { VersionId::Null } else { VersionId::At(HybridTime(ver.stamp)) };
        let query = Query::Get { shard, key, version: Some(id), body: false };
        let payload = self.ask(place, &query).unwrap();
        let before = Found::decode(&payload).unwrap();
        assert_eq!((before.version.modified().0, before.latest), (ver.modified(), index == 0));
        let expires = life.map(|life| self.clock + life);
        let metadata = vec![("changed".to_owned(), self.clock.to_string())];
        let extras = encode_extras(&Attributes { expires_at: expires, metadata, ..Attributes::default() });
        let command = Command::SetAttributes(SetAttributes {
            shard,
            key,
            stamp: ver.stamp,
            expect: before.version.mark(),
            touch,
            content_type: Some("t/x"),
            extras: &extras,
        });
        let soon = self.soon();
        let done = self.run(place, &command, Vec::new());
        if !ver.visible(soon) {
            assert_eq!(done, Err(Refusal::NoSuchKey));
            return;
        }
        let payload = done.unwrap();
        let after = Found::decode(&payload).unwrap();
        let now = self.clock * 1_000_000;
        let expected = crate::Version {
            content_type: Some("t/x"),
            extras: &extras,
            touched: if touch { Some(now) } else { ver.touched },
            ..before.version
        };
        assert_eq!((after.version, after.latest), (expected, index == 0), "nothing else changes");
        let changed = &mut self.world.shards[container].keys.get_mut(key).unwrap()[index];
        changed.touched = expected.touched;
        changed.expires = expires;
        changed.extras = Some(extras.clone());
        assert_eq!(self.ask(place, &query), Ok(payload));
        let again = self.run(place, &command, Vec::new());
        let gone = expires.is_some_and(|at| at <= self.clock);
        let refusal = if gone { Refusal::NoSuchKey } else { Refusal::Changed };
        assert_eq!(again, Err(refusal), "what was read before is no longer there");
    }
}
