//! The `Range` header: one range or several.

use ringfort_object::RangeSpec;
use std::ops::Range;

/// Most ranges of one request; more are read as none, as Swift does against abuse.
const RANGES_MAX: usize = 50;

/// What of an entity is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Whole,
    Parts(Vec<Range<u64>>),
    /// No range lies within the entity.
    Nothing,
}

/// Reads a `Range` header for an entity of `size` bytes. What is no range asks for the whole.
pub(crate) fn wanted(header: &str, size: u64) -> Wanted {
    let Some(specs) = parse(header) else { return Wanted::Whole };
    let mut parts: Vec<Range<u64>> = Vec::new();
    for spec in &specs {
        let part = match *spec {
            RangeSpec::From(start) => start..size,
            RangeSpec::FromTo(start, end) => start..end.saturating_add(1).min(size),
            RangeSpec::Suffix(len) => size.saturating_sub(len)..size,
        };
        if !part.is_empty() {
            parts.push(part);
        }
    }
    if parts.is_empty() {
        // The end of what is empty is there.
        let whole = size == 0 && specs.iter().any(|spec| matches!(spec, RangeSpec::Suffix(len) if *len > 0));
        return if whole { Wanted::Whole } else { Wanted::Nothing };
    }
    if abuses(&parts) { Wanted::Nothing } else { Wanted::Parts(parts) }
}

/// Many ranges that overlap or run backwards cost the server more than they give (RFC 7233, 6.1).
fn abuses(parts: &[Range<u64>]) -> bool {
    let mut sorted: Vec<&Range<u64>> = parts.iter().collect();
    sorted.sort_by_key(|part| part.start);
    let overlaps = sorted.windows(2).filter(|pair| pair[1].start < pair[0].end).count();
    let disorder = parts.windows(2).filter(|pair| pair[1].start < pair[0].start).count();
    overlaps > 2 || disorder > 8 || parts.len() > RANGES_MAX
}

fn parse(header: &str) -> Option<Vec<RangeSpec>> {
    let bare: String = header.chars().filter(|c| !matches!(c, ' ' | '\t')).collect();
    let (unit, list) = bare.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    list.split(',').map(|text| RangeSpec::parse(text.trim())).collect()
}

/// Reads the `range` of a segment in a manifest: one range, without its unit.
pub(crate) fn of_segment(text: &str, size: u64) -> Option<Range<u64>> {
    let specs = parse(&format!("bytes={text}"))?;
    match (specs.len(), wanted(&format!("bytes={text}"), size)) {
        (1, Wanted::Parts(parts)) => parts.into_iter().next(),
        _ => None,
    }
}

/// Whether a text is one range, without its unit.
pub(crate) fn is_one(text: &str) -> bool {
    parse(&format!("bytes={text}")).is_some_and(|specs| specs.len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges() {
        let parts = |header: &str| wanted(header, 10);
        let one = |start: u64, end: u64| Wanted::Parts(std::iter::once(start..end).collect());
        assert_eq!(parts("bytes=2-4"), one(2, 5));
        assert_eq!(parts("bytes=2-"), one(2, 10));
        assert_eq!(parts("bytes=-3"), one(7, 10));
        assert_eq!(parts("bytes=-30"), one(0, 10));
        assert_eq!(parts("bytes=0-1,4-5, 20-30"), Wanted::Parts(vec![0..2, 4..6]));
        assert_eq!(parts("bytes=10-"), Wanted::Nothing);
        assert_eq!(parts("bytes=-0"), Wanted::Nothing);
        for ignored in
            ["", "bytes=", "bytes=a-b", "bytes=4-2", "bytes=-", "items=1-2", "bytes=1", "bytes=1-2,x"]
        {
            assert_eq!(parts(ignored), Wanted::Whole, "{ignored}");
        }
        assert_eq!(wanted("bytes = -5", 0), Wanted::Whole);
        assert_eq!(wanted("bytes=0-5", 0), Wanted::Nothing);
        assert_eq!(parts("bytes=0-9,0-9,0-9,0-9"), Wanted::Nothing, "overlapping");
        assert_eq!(of_segment("1-2", 10), Some(1..3));
        assert_eq!(of_segment("1-2,3-4", 10), None);
        assert_eq!(of_segment("20-", 10), None);
    }

    proptest! {
        #[test]
        fn parts_lie_within(header in "bytes=[0-9,-]{0,20}", size in 0_u64..100) {
            if let Wanted::Parts(parts) = wanted(&header, size) {
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
            }
        }

        #[test]
        fn any_text_is_parsed_without_panic(text in ".{0,40}", size: u64) {
            let _ = (wanted(&text, size), of_segment(&text, size), is_one(&text));
        }
    }
}
