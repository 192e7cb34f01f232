//! Lifecycle rules of a container: which of its versions and uploads are removed, and when.
//!
//! A dialect reads and writes its own document and keeps beside it, in the container's metadata, the rules in this form, under
//! [`LIFECYCLE_ENTRY`]. A reconciler goes over all containers that have the entry; see `run.rs`.

mod run;

use percent_encoding::percent_decode_str;
use ringfort_object_model::Attributes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The entry of a container's metadata that holds its rules, by [`LifecycleRules::encode`].
pub const LIFECYCLE_ENTRY: &str = "lifecycle-rules";
/// The entry of an object's headers that holds its tags, as a URL query. No header can be called so.
pub const OBJECT_TAGS_HEADER: &str = "s3:tags";

/// The rules of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleRules {
    /// In the order given.
    pub rules: Vec<LifecycleRule>,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LifecycleRule {
    /// Its name.
    pub id: String,
    /// Whether it is carried out.
    pub enabled: bool,
    /// What it applies to.
    pub filter: LifecycleFilter,
    /// When latest versions expire.
    pub expiration: Option<Expiration>,
    /// Whether a delete marker with nothing left beneath it is removed.
    pub expired_delete_markers: bool,
    /// When versions that are not the latest are removed.
    pub noncurrent: Option<NoncurrentExpiration>,
    /// Days after which an upload that was not completed is aborted.
    pub abort_uploads_days: Option<u32>,
}

/// What a rule applies to: all conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LifecycleFilter {
    /// Only keys that begin so.
    pub prefix: String,
    /// Only objects with all of these tags.
    pub tags: Vec<(String, String)>,
    /// Only objects of more bytes.
    pub larger_than: Option<u64>,
    /// Only objects of fewer bytes.
    pub smaller_than: Option<u64>,
}

/// When latest versions expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiration {
    /// So many days after they were modified, at the end of the day.
    Days(u32),
    /// From this time on: seconds since the Unix epoch.
    Date(u64),
}

/// When versions that are not the latest are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoncurrentExpiration {
    /// So many days after a newer version took their place, at the end of the day.
    pub days: u32,
    /// But so many of the newest of them stay.
    pub newest_kept: u32,
}

impl LifecycleRules {
    /// The rules as text for [`LIFECYCLE_ENTRY`].
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The rules in a text; `None` if it is none of [`Self::encode`].
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// When a latest version expires (seconds since the Unix epoch), and the id of the rule that says so: the earliest of all.
    #[must_use]
    pub fn expiry(&self, subject: &LifecycleSubject<'_>, day: Duration) -> Option<(u64, &str)> {
        let due = |rule: &LifecycleRule| match rule.expiration? {
            Expiration::Days(days) => Some(end_of_day(subject.since, days, day)),
            Expiration::Date(date) => Some(date),
        };
        let rules = self.rules.iter().filter(|rule| rule.enabled && rule.filter.applies(subject));
        rules.filter_map(|rule| Some((due(rule)?, rule.id.as_str()))).min_by_key(|(due, _)| *due)
    }

    /// Whether a version that is not the latest, with `newer` others between it and the latest, is to be removed at `now`.
    #[must_use]
    pub fn noncurrent_over(
        &self,
        subject: &LifecycleSubject<'_>,
        newer: u32,
        now: u64,
        day: Duration,
    ) -> bool {
        self.rules.iter().filter(|rule| rule.enabled && rule.filter.applies(subject)).any(|rule| {
            rule.noncurrent.is_some_and(|noncurrent| {
                newer >= noncurrent.newest_kept && end_of_day(subject.since, noncurrent.days, day) <= now
            })
        })
    }

    /// Whether a delete marker with nothing beneath it is to be removed at `now`.
    #[must_use]
    pub fn marker_over(&self, key: &str, since: u64, now: u64, day: Duration) -> bool {
        self.rules.iter().filter(|rule| rule.enabled && rule.filter.applies_to_key(key)).any(|rule| {
            // A rule that expires objects by age does away with the markers it left, too.
            let days = match rule.expiration {
                Some(Expiration::Days(days)) => Some(days),
                _ => None,
            };
            rule.expired_delete_markers || days.is_some_and(|days| end_of_day(since, days, day) <= now)
        })
    }

    /// Whether an upload is to be aborted at `now`.
    #[must_use]
    pub fn upload_over(&self, key: &str, begun: u64, now: u64, day: Duration) -> bool {
        let rules = self.rules.iter().filter(|rule| rule.enabled && rule.filter.applies_to_key(key));
        rules.filter_map(|rule| rule.abort_uploads_days).any(|days| end_of_day(begun, days, day) <= now)
    }

    /// Whether a rule asks for tags of an object that is like this otherwise.
    fn wants_tags(&self, key: &str, size: u64) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.enabled && !rule.filter.tags.is_empty() && rule.filter.fits(key, size))
    }

    /// What all keys that any rule applies to begin with.
    fn common_prefix(&self) -> &str {
        let mut prefixes =
            self.rules.iter().filter(|rule| rule.enabled).map(|rule| rule.filter.prefix.as_str());
        let Some(mut common) = prefixes.next() else { return "" };
        for prefix in prefixes {
            let same = common.char_indices().zip(prefix.chars()).take_while(|((_, a), b)| a == b);
            let len = same.last().map_or(0, |((at, c), _)| at + c.len_utf8());
            common = &common[..len];
        }
        common
    }
}

/// What a rule is applied to.
#[derive(Clone, Copy, Debug)]
pub struct LifecycleSubject<'s> {
    /// The key.
    pub key: &'s str,
    /// Size of the version.
    pub size: u64,
    /// Its tags.
    pub tags: &'s [(String, String)],
    /// When its time began, in seconds since the Unix epoch: modified, or replaced as the latest.
    pub since: u64,
}

impl LifecycleFilter {
    fn applies_to_key(&self, key: &str) -> bool {
        // Markers and uploads have neither a size nor tags.
        let any = self.tags.is_empty() && self.larger_than.is_none() && self.smaller_than.is_none();
        any && key.starts_with(&self.prefix)
    }

    fn fits(&self, key: &str, size: u64) -> bool {
        key.starts_with(&self.prefix)
            && self.larger_than.is_none_or(|bytes| size > bytes)
            && self.smaller_than.is_none_or(|bytes| size < bytes)
    }

    fn applies(&self, subject: &LifecycleSubject<'_>) -> bool {
        self.fits(subject.key, subject.size) && self.tags.iter().all(|tag| subject.tags.contains(tag))
    }
}

/// The end of the day that is `days` after `since`.
fn end_of_day(since: u64, days: u32, day: Duration) -> u64 {
    let day = day.as_secs().max(1);
    since.saturating_add(u64::from(days).saturating_mul(day)).div_ceil(day).saturating_mul(day)
}

/// The tags of an object, as its dialect keeps them.
#[must_use]
pub fn tags_of(attributes: &Attributes) -> Vec<(String, String)> {
    let kept = attributes.headers.iter().find(|(name, _)| name == OBJECT_TAGS_HEADER);
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = kept.into_iter().flat_map(|(_, text)| text.split('&')).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn rules(rule: LifecycleRule) -> LifecycleRules {
        LifecycleRules { rules: vec![LifecycleRule { id: "r".into(), enabled: true, ..rule }] }
    }

    #[test]
    fn days_end_at_midnight() {
        assert_eq!(end_of_day(86_400 * 10, 1, DAY), 86_400 * 11);
        assert_eq!(end_of_day(86_400 * 10 + 1, 1, DAY), 86_400 * 12);
        assert!(end_of_day(u64::MAX, u32::MAX, DAY) > u64::MAX / 2, "no overflow");
    }

    #[test]
    fn every_condition_of_a_filter_counts() {
        let filter = LifecycleFilter {
            prefix: "logs/".into(),
            tags: vec![("a".into(), "b c".into())],
            larger_than: Some(10),
            smaller_than: Some(20),
        };
        let rules =
            rules(LifecycleRule { filter, expiration: Some(Expiration::Date(5)), ..Default::default() });
        assert_eq!(LifecycleRules::decode(&rules.encode()), Some(rules.clone()));
        let headers = vec![(OBJECT_TAGS_HEADER.to_owned(), "x=y&a=b%20c".to_owned())];
        let tags = tags_of(&Attributes { headers, ..Attributes::default() });
        let met = LifecycleSubject { key: "logs/1", size: 15, tags: &tags, since: 0 };
        assert_eq!(rules.expiry(&met, DAY), Some((5, "r")));
        for unmet in [
            LifecycleSubject { key: "log", ..met },
            LifecycleSubject { size: 10, ..met },
            LifecycleSubject { size: 20, ..met },
            LifecycleSubject { tags: &[], ..met },
        ] {
            assert_eq!(rules.expiry(&unmet, DAY), None, "{unmet:?}");
        }
    }

    #[test]
    fn the_newest_noncurrent_versions_stay() {
        let noncurrent = Some(NoncurrentExpiration { days: 1, newest_kept: 2 });
        let rules = rules(LifecycleRule { noncurrent, ..Default::default() });
        let subject = LifecycleSubject { key: "k", size: 1, tags: &[], since: 0 };
        let over = |newer, now| rules.noncurrent_over(&subject, newer, now, DAY);
        assert_eq!(
            [over(0, 90_000), over(1, 90_000), over(2, 90_000), over(2, 80_000)],
            [false, false, true, false]
        );
    }

    #[test]
    fn the_prefix_of_all_rules() {
        let rule = |prefix: &str| LifecycleRule {
            enabled: true,
            filter: LifecycleFilter { prefix: prefix.into(), ..Default::default() },
            ..Default::default()
        };
        let common = |prefixes: &[&str]| {
            LifecycleRules { rules: prefixes.iter().map(|prefix| rule(prefix)).collect() }
                .common_prefix()
                .to_owned()
        };
        assert_eq!(common(&["l\u{f6}gs/a", "l\u{f6}gs/b"]), "l\u{f6}gs/");
        assert_eq!(common(&["a", "b"]), "");
        assert_eq!(common(&["ab", "a"]), "a");
        assert_eq!(common(&[]), "");
    }
}
