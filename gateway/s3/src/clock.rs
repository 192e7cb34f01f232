//! The texts of times: AWS's basic form in signatures, ISO 8601 in XML.

use ringfort_core::CivilTime;
use std::time::UNIX_EPOCH;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds of `20130524T000000Z`, exactly that form.
pub(crate) fn parse_amz_date(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let field = |range: std::ops::Range<usize>| CivilTime::field(&bytes[range]);
    let (year, month, day) = (field(0..4)?, field(4..6)?, field(6..8)?);
    let (hour, minute, second) = (field(9..11)?, field(11..13)?, field(13..15)?);
    CivilTime { year, month, day, hour, minute, second }.secs()
}

/// `20130524T000000Z`.
pub(crate) fn amz_date(secs: u64) -> String {
    let CivilTime { year, month, day, hour, minute, second } = CivilTime::of(secs);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Seconds of a time as HTTP has it (RFC 9110) or as XML has it (RFC 3339), without its fraction.
pub(crate) fn parse_time(text: &str) -> Option<u64> {
    if let Ok(time) = httpdate::parse_http_date(text) {
        return Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs());
    }
    u64::try_from(OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp()).ok()
}

/// Appends `2013-05-24T00:00:00.000Z` for microseconds since the Unix epoch.
pub(crate) fn push_iso8601(out: &mut String, us: u64) {
    let CivilTime { year, month, day, hour, minute, second } = CivilTime::of(us / 1_000_000);
    push_digits(out, year, 4);
    out.push('-');
    push_digits(out, month, 2);
    out.push('-');
    push_digits(out, day, 2);
    out.push('T');
    push_digits(out, hour, 2);
    out.push(':');
    push_digits(out, minute, 2);
    out.push(':');
    push_digits(out, second, 2);
    out.push('.');
    push_digits(out, us / 1000 % 1000, 3);
    out.push('Z');
}

/// ISO 8601 of whole seconds.
pub(crate) fn iso8601(secs: u64) -> String {
    let mut out = String::with_capacity(24);
    push_iso8601(&mut out, secs.saturating_mul(1_000_000));
    out
}

fn push_digits(out: &mut String, value: u64, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10_u64.pow(place) % 10;
        out.push(char::from_digit(u32::try_from(digit).unwrap_or(0), 10).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        assert_eq!(parse_amz_date("20130524T000000Z"), Some(1_369_353_600));
        assert_eq!(iso8601(1_369_353_600), "2013-05-24T00:00:00.000Z");
        assert_eq!(iso8601(951_782_400), "2000-02-29T00:00:00.000Z");
        for same in ["Fri, 24 May 2013 00:00:00 GMT", "2013-05-24T00:00:00Z", "2013-05-24T02:00:00.5+02:00"] {
            assert_eq!(parse_time(same), Some(1_369_353_600), "{same}");
        }
        assert!(parse_time("2013-05-24").is_none() && parse_time("1960-01-01T00:00:00Z").is_none());
        for bad in [
            "",
            "20130524T000000",
            "20130229T000000Z",
            "20131324T000000Z",
            "2013052\u{e4}000000Z",
            "20130524T240000Z",
        ] {
            assert_eq!(parse_amz_date(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn dates_come_back(secs in 0_u64..253_402_300_799) {
            prop_assert_eq!(parse_amz_date(&amz_date(secs)), Some(secs));
        }

        #[test]
        fn any_text_is_parsed_without_panic(text in ".{0,20}") {
            let _ = (parse_amz_date(&text), parse_time(&text));
        }
    }
}
