//! The texts of times: Swift's timestamps, ISO 8601 in listings, HTTP dates in headers.

use ringfort_core::HybridTime;
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
    let (year, month, day) = civil(time.secs() / 86_400);
    let of_day = time.secs() % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        time.0 % 1_000_000 / 10 * 10
    )
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
    let digits = |from: usize, to: usize| -> Option<u64> {
        bytes[from..to]
            .iter()
            .try_fold(0_u64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u64::from(b - b'0')))
    };
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59
    {
        return None;
    }
    let days = days_from_civil(year, month, day);
    (day >= 1 && civil(days) == (year, month, day))
        .then(|| days * 86_400 + hour * 3600 + minute * 60 + second)
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

/// The proleptic Gregorian date by counting 400-year eras from 1 March (so that leap days come last).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.max(1) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
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
