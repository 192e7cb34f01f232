//! Names and small values that the dialects see: entity tags, version ids, upload ids.

use ringfort_core::HybridTime;
use std::fmt;
use std::str::FromStr;

/// The entity tag of an object: an MD5, and for a multipart object the number of its parts.
///
/// Its text is 32 hexadecimal digits, followed by `-N` when it was put together from `N` parts; quotes belong to the dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ETag {
    /// MD5 of the body, or of the parts' MD5s one after the other.
    pub md5: [u8; 16],
    /// Number of parts; 0 for a body stored in one go.
    pub parts: u32,
}

impl ETag {
    /// The tag of a body with this MD5.
    #[must_use]
    pub const fn of_md5(md5: [u8; 16]) -> Self {
        Self { md5, parts: 0 }
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0_u8; 32];
        for (i, byte) in self.md5.iter().enumerate() {
            text[2 * i] = DIGITS[usize::from(byte >> 4)];
            text[2 * i + 1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())?;
        if self.parts > 0 { write!(f, "-{}", self.parts) } else { Ok(()) }
    }
}

/// The text is not a name of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not {expected}")]
pub struct NameParseError {
    expected: &'static str,
}

fn hex_digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(out)
}

impl FromStr for ETag {
    type Err = NameParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (digits, parts) = match text.split_once('-') {
                None => (text, 0),
                Some((digits, parts)) => (digits, parts.parse().ok().filter(|n| *n > 0)?),
            };
            Some(Self { md5: hex_digits(digits)?, parts })
        };
        parse().ok_or(NameParseError { expected: "an entity tag" })
    }
}

/// Which version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VersionId {
    /// The version written while versioning was off or suspended; at most one per key.
    Null,
    /// The version written at this time while versioning was on.
    At(HybridTime),
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::At(stamp) => write!(f, "{:016x}", stamp.0),
        }
    }
}

impl FromStr for VersionId {
    type Err = NameParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "null" {
            return Ok(Self::Null);
        }
        stamp_from(text).map(Self::At).ok_or(NameParseError { expected: "a version id" })
    }
}

/// Names a multipart upload of a key: the time it was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(pub HybridTime);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.0)
    }
}

impl FromStr for UploadId {
    type Err = NameParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        stamp_from(text).map(Self).ok_or(NameParseError { expected: "an upload id" })
    }
}

/// 16 lower-case hexadecimal digits, as we write them: each stamp has one text.
fn stamp_from(text: &str) -> Option<HybridTime> {
    if text.bytes().any(|c| c.is_ascii_uppercase()) {
        return None;
    }
    hex_digits::<8>(text).map(|bytes| HybridTime(u64::from_be_bytes(bytes)))
}

/// Whether a container keeps old versions of its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versioning {
    /// Never switched on: a write replaces the null version.
    #[default]
    Off,
    /// Each write adds a version.
    Enabled,
    /// Was on: a write replaces the null version, older versions stay.
    Suspended,
}

/// What a caller says about an object beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// MIME type.
    pub content_type: Option<String>,
    /// System headers kept as they are (`cache-control`, `content-encoding`, ...), names in lower case.
    pub headers: Vec<(String, String)>,
    /// The user's own metadata, names in lower case.
    pub metadata: Vec<(String, String)>,
    /// Checksums by name (`crc32c`, ...), as text in the form the dialect uses.
    pub checksums: Vec<(String, String)>,
    /// When the object shall disappear, in seconds since the Unix epoch.
    pub expires_at: Option<u64>,
}

/// Entity tags to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ETagMatch {
    /// `*`: any existing object.
    Any,
    /// One of these.
    OneOf(Vec<ETag>),
}

impl ETagMatch {
    /// Whether an existing object with `etag` matches.
    #[must_use]
    pub fn matches(&self, etag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.contains(etag),
        }
    }
}

/// What must hold of the latest version for a write to happen; decided in the commit itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteConditions {
    /// The latest version must exist and match.
    pub if_match: Option<ETagMatch>,
    /// The latest version must not exist or not match.
    pub if_none_match: Option<ETagMatch>,
}

impl WriteConditions {
    /// No conditions.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_text() {
        for tag in [ETag { md5: [0xab; 16], parts: 0 }, ETag { md5: [1; 16], parts: 10_000 }] {
            assert_eq!(tag.to_string().parse(), Ok(tag));
        }
        for id in [VersionId::Null, VersionId::At(HybridTime(0x1234_5678_9abc_def0))] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert!("ABCDEF0123456789".parse::<VersionId>().is_err());
        for bad in
            ["", "null", "zz", "0123456789abcdef0123456789abcdef-0", "0123456789abcdef0123456789abcde+"]
        {
            assert!(bad.parse::<ETag>().is_err(), "{bad}");
        }
    }
}
