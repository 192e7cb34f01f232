//! Times as Keystone writes them: `2026-11-22T07:03:07.000000Z`.

use crate::error::{ApiError, Result};
use ringfort_core::CivilTime;
use ringfort_runtime::wall_us;

/// Microseconds since the Unix epoch, now.
pub(crate) fn now_us() -> u64 {
    wall_us()
}

/// The text of a time.
pub(crate) fn text(us: u64) -> String {
    let CivilTime { year, month, day, hour, minute, second } = CivilTime::of(us / 1_000_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", us % 1_000_000)
}

/// The time in a text, with or without a fraction; always UTC.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00")).unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let bytes = whole.as_bytes();
    let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if bytes.len() != 19
        || marks.iter().any(|(at, mark)| bytes[*at] != *mark)
        || !matches!(bytes[10], b'T' | b' ')
    {
        return None;
    }
    let field = |from: usize, to: usize| CivilTime::field(&bytes[from..to]);
    let time = CivilTime {
        year: field(0, 4)?,
        month: field(5, 7)?,
        day: field(8, 10)?,
        hour: field(11, 13)?,
        minute: field(14, 16)?,
        second: field(17, 19)?,
    };
    if fraction.len() > 9 {
        return None;
    }
    let padded = format!("{fraction:0<6}");
    let micros = CivilTime::field(padded.get(..6)?.as_bytes())?;
    time.secs()?.checked_mul(1_000_000)?.checked_add(micros)
}

/// The time in the field `name`, which must lie ahead; `None` if there is none.
pub(crate) fn not_past(name: &str, text: Option<&str>) -> Result<Option<u64>> {
    let Some(text) = text else { return Ok(None) };
    let refuse = |reason: &str| ApiError::bad_request(format!("Invalid input for field '{name}': {reason}"));
    match parse(text) {
        None => Err(refuse(&format!("'{text}' is not a time"))),
        Some(us) if us <= now_us() => Err(refuse("it is in the past")),
        found => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_they_were_written() {
        let us = 1_790_000_123_456_789;
        assert_eq!(parse(&text(us)), Some(us));
        assert_eq!(parse("2026-11-22T07:03:07Z"), parse("2026-11-22T07:03:07.000000"));
        for bad in [
            "",
            "2026-11-22",
            "2026-13-22T07:03:07Z",
            "2026-11-22T07:03:07.x",
            "2026-11-22X07:03:07",
            "é026-11-22T07:03:0",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
