//! Sizes and durations as an operator writes them.

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::time::Duration;

/// A number of bytes: `4096`, `"64 MiB"`, `"1.5 GiB"`, `"10 MB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) u64);

/// A length of time: `"250 ms"`, `"30 s"`, `"5 min"`, `"2 h"`, `"7 d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

#[derive(Deserialize)]
#[serde(untagged)]
enum Raw {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        match Raw::deserialize(input) {
            Ok(Raw::Number(bytes)) => Some(Self(bytes)),
            Ok(Raw::Text(text)) => parse_size(&text),
            Err(_) => None,
        }
        .ok_or_else(|| D::Error::custom("is no size: write bytes, or a text such as \"64 MiB\""))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input).ok();
        let span = text.as_deref().and_then(parse_span).map(Self);
        span.ok_or_else(|| {
            D::Error::custom("is no duration: write a text such as \"250 ms\", \"30 s\" or \"7 d\"")
        })
    }
}

fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..unit_at].parse::<f64>().ok().filter(|number| number.is_finite())?;
    Some((number, text[unit_at..].trim_start()))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked against 2^60 and never negative"
)]
fn parse_size(text: &str) -> Option<ByteSize> {
    let (number, unit) = split(text)?;
    let factor: f64 = match unit {
        "" | "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        "TiB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = number * factor;
    (bytes < (1_u64 << 60) as f64).then_some(ByteSize(bytes as u64))
}

fn parse_span(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * factor).ok().filter(|span| span.as_secs() < 100 * 366 * 86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans() {
        for (text, wanted) in [
            ("4096", Some(4096)),
            ("64 MiB", Some(64 << 20)),
            ("1.5GiB", Some(3 << 29)),
            ("10 MB", Some(10_000_000)),
            ("-1", None),
            ("1 XB", None),
            ("99999999 TiB", None),
            ("", None),
        ] {
            assert_eq!(parse_size(text).map(|size| size.0), wanted, "{text}");
        }
        for (text, wanted) in [("250 ms", Some(250)), ("2h", Some(7_200_000)), ("5", None), ("x s", None)] {
            assert_eq!(parse_span(text).map(|span| span.as_millis()), wanted, "{text}");
        }
    }
}
