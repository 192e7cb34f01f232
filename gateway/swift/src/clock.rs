//! The texts of times: Swift's timestamps, ISO 8601 in listings, HTTP dates in headers.

use ringfort_core::{CivilTime, HybridTime};
use std::time::{Duration, UNIX_EPOCH};

/// Seconds since the Unix epoch, now.
pub(crate) fn now_s() -> u64 {
    ringfort_runtime::wall_us() / 1_000_000
}

/// `0001401382224.12345` without the leading zeros beyond ten digits: what `X-Timestamp` says.
pub(crate) fn timestamp(time: HybridTime) -> String {
    format!("{:010}.{:05}", time.secs(), time.0 % 1_000_000 / 10)
}

/// `2013-05-24T00:00:00.123450`: what listings say.
pub(crate) fn iso8601(time: HybridTime) -> String {
    let CivilTime { year, month, day, hour, minute, second } = CivilTime::of(time.secs());
    let fraction = time.0 % 1_000_000 / 10 * 10;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}")
}

/// Whole seconds in ISO 8601 with a `Z`: what temporary URLs say.
#[cfg(test)]
pub(crate) fn iso8601_z(secs: u64) -> String {
    let text = iso8601(HybridTime(secs.saturating_mul(1_000_000)));
    format!("{}Z", &text[..19])
}

/// `YYYY-MM-DDTHH:MM:SS` with an optional `Z`, as seconds since the Unix epoch.
pub(crate) fn parse_iso8601(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let bytes = text.as_bytes();
    let shape = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if bytes.len() != 19 || shape.iter().any(|(at, mark)| bytes[*at] != *mark) {
        return None;
    }
    let field = |from: usize, to: usize| CivilTime::field(&bytes[from..to]);
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    CivilTime { year, month, day, hour, minute, second }.secs()
}

/// The time as an HTTP date. Swift rounds up, so that nothing was changed after the date it gives.
pub(crate) fn http_date(time: HybridTime) -> String {
    httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(rounded_up(time))).to_string()
}

/// Whole seconds that are not before the time.
pub(crate) fn rounded_up(time: HybridTime) -> u64 {
    time.0.div_ceil(1_000_000)
}

/// Seconds since the Unix epoch of an HTTP date.
pub(crate) fn parse_http_date(text: &str) -> Option<u64> {
    let date = httpdate::parse_http_date(text).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        let time = HybridTime(1_369_353_600_123_456);
        assert_eq!(timestamp(time), "1369353600.12345");
        assert_eq!(iso8601(time), "2013-05-24T00:00:00.123450");
        assert_eq!(http_date(time), "Fri, 24 May 2013 00:00:01 GMT");
        assert_eq!(http_date(HybridTime(1_369_353_600_000_000)), "Fri, 24 May 2013 00:00:00 GMT");
        assert_eq!(parse_http_date("Fri, 24 May 2013 00:00:00 GMT"), Some(1_369_353_600));
        for bad in ["", "2013-05-24", "2013-02-30T00:00:00Z", "2013-05-24T24:00:00Z", "2013-05-24 00:00:00Z"]
        {
            assert_eq!(parse_iso8601(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn dates_come_back(secs in 0_u64..253_402_300_799) {
            prop_assert_eq!(parse_iso8601(&iso8601_z(secs)), Some(secs));
        }

        #[test]
        fn any_text_is_parsed_without_panic(text in ".{0,24}") {
            let _ = (parse_iso8601(&text), parse_http_date(&text));
        }
    }
}
