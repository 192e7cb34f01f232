//! Bucket names and keys: which are allowed, and what a client is told about the others.

use crate::error::{ErrorCode, S3Error};

/// Longest key in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 1024;

/// Checks a bucket name by AWS's rules for general purpose buckets.
pub(crate) fn check_bucket(name: &str) -> Result<(), S3Error> {
    if bucket_is_valid(name) {
        return Ok(());
    }
    Err(S3Error::from(ErrorCode::InvalidBucketName)
        .detail("BucketName", name.chars().take(256).collect::<String>()))
}

fn bucket_is_valid(name: &str) -> bool {
    let bytes = name.as_bytes();
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|&b| edge(b) || b == b'-' || b == b'.')
        && edge(bytes[0])
        && edge(bytes[bytes.len() - 1])
        && !["..", ".-", "-."].iter().any(|pair| name.contains(pair))
        && !looks_like_ipv4(name)
        && !name.starts_with("xn--")
        && !name.starts_with("sthree-")
        && !name.ends_with("-s3alias")
        && !name.ends_with("--ol-s3")
        && !name.ends_with("--x-s3")
        && !name.ends_with("--table-s3")
}

fn looks_like_ipv4(name: &str) -> bool {
    name.split('.').count() == 4
        && name.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// Checks a key. Keys are opaque: `a/../b` is a key like any other, but one that climbs out of its bucket is refused
/// as AWS does, because proxies and clients would resolve it to another bucket.
pub(crate) fn check_key(key: &str) -> Result<(), S3Error> {
    if key.len() > KEY_BYTES_MAX {
        return Err(S3Error::from(ErrorCode::KeyTooLongError)
            .detail("Size", key.len().to_string())
            .detail("MaxSizeAllowed", KEY_BYTES_MAX.to_string()));
    }
    if key.is_empty() || key.contains('\0') || climbs_out(key) {
        return Err(ErrorCode::InvalidURI.into());
    }
    Ok(())
}

fn climbs_out(key: &str) -> bool {
    let mut depth = 0_usize;
    for segment in key.split('/') {
        match segment {
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            "." | "" => {}
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names() {
        for good in ["abc", "a-b.c", "1bucket", "my.bucket-2", &"a".repeat(63)] {
            assert!(check_bucket(good).is_ok(), "{good}");
        }
        for bad in [
            "", "ab", "Abc", "a_b", "-abc", "abc-", ".abc", "abc.", "a..b", "10.0.0.1", "xn--abc", "a/b",
            "föö", "sthree-a", "a--x-s3", "a.-b", "a-.b",
        ] {
            assert_eq!(check_bucket(bad).expect_err(bad).code(), ErrorCode::InvalidBucketName, "{bad}");
        }
        assert!(check_bucket(&"a".repeat(64)).is_err());
    }

    #[test]
    fn keys() {
        for good in ["a", "a/b", "/a", "a//b", "a/../b", "ключ", "a/./b", "...", &"k".repeat(1024)] {
            assert!(check_key(good).is_ok(), "{good}");
        }
        assert_eq!(check_key(&"k".repeat(1025)).expect_err("long").code(), ErrorCode::KeyTooLongError);
        for bad in ["..", "../a", "a/../../b", "a\0b", ""] {
            assert_eq!(check_key(bad).expect_err(bad).code(), ErrorCode::InvalidURI, "{bad}");
        }
    }
}
