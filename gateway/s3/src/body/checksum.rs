//! The checksums of S3: what clients send, what is verified and kept.

use crate::error::{ErrorCode, S3Error};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use http::HeaderMap;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Name in the stored checksums under which the type (`COMPOSITE`) is kept where it is not `FULL_OBJECT`.
pub(crate) const TYPE: &str = "type";
/// Name under which an upload keeps the algorithm that it was begun with.
pub(crate) const UPLOAD_ALGORITHM: &str = "upload";
/// Name under which an upload keeps the type that it was begun with.
pub(crate) const UPLOAD_TYPE: &str = "upload-type";

/// The algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// As in `x-amz-checksum-algorithm`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name))
    }

    /// As kept with an object.
    pub(crate) fn from_stored(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.stored() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub(crate) const fn stored(self) -> &'static str {
        match self {
            Self::Crc32 => "crc32",
            Self::Crc32c => "crc32c",
            Self::Crc64Nvme => "crc64nvme",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    pub(crate) const fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The element in XML.
    pub(crate) const fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
        }
    }

    const fn len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    const fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Whether the checksum of a whole follows from those of its parts.
    pub(crate) const fn combines(self) -> bool {
        self.crc().is_some()
    }

    /// Reads a value as sent.
    pub(crate) fn decode(self, text: &str) -> Result<Vec<u8>, S3Error> {
        let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == self.len());
        bytes.ok_or_else(|| {
            S3Error::with(
                ErrorCode::InvalidRequest,
                format!("Value for {} header is invalid.", self.header()),
            )
        })
    }

    /// The checksum of two pieces one after the other, of which the second has `second_len` bytes.
    pub(crate) fn combine(self, first: &[u8], second: &[u8], second_len: u64) -> Option<Vec<u8>> {
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |sum, b| sum << 8 | u64::from(*b));
        let combined = crc_fast::checksum_combine(self.crc()?, number(first), number(second), second_len);
        Some(combined.to_be_bytes()[8 - self.len()..].to_vec())
    }
}

/// The text of a checksum's bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// One running checksum.
pub(crate) enum Hasher {
    Crc(Algorithm, crc_fast::Digest),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match (algorithm.crc(), algorithm) {
            (Some(crc), _) => Self::Crc(algorithm, crc_fast::Digest::new(crc)),
            (None, Algorithm::Sha1) => Self::Sha1(Sha1::new()),
            (None, _) => Self::Sha256(Sha256::new()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(_, digest) => digest.update(bytes),
            Self::Sha1(digest) => digest.update(bytes),
            Self::Sha256(digest) => digest.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc(algorithm, digest) => digest.finalize().to_be_bytes()[8 - algorithm.len()..].to_vec(),
            Self::Sha1(digest) => digest.finalize().to_vec(),
            Self::Sha256(digest) => digest.finalize().to_vec(),
        }
    }
}

/// What a request says about the checksum of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    /// The algorithm, if any.
    pub(crate) algorithm: Option<Algorithm>,
    /// The value, if it is in the head.
    pub(crate) value: Option<Vec<u8>>,
    /// The value follows the body as a trailer.
    pub(crate) in_trailer: bool,
}

impl Declared {
    /// Reads the checksum headers; more than one value is refused as AWS does.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, S3Error> {
        let mut declared = Self::default();
        for algorithm in Algorithm::ALL {
            let Some(value) = headers.get(algorithm.header()) else { continue };
            if declared.algorithm.is_some() {
                return Err(S3Error::with(
                    ErrorCode::InvalidRequest,
                    "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
                ));
            }
            declared.algorithm = Some(algorithm);
            declared.value = Some(algorithm.decode(value.to_str().unwrap_or_default())?);
        }
        if let Some(trailer) = headers.get("x-amz-trailer") {
            let name = trailer.to_str().unwrap_or_default().trim().to_ascii_lowercase();
            let algorithm = Algorithm::ALL.into_iter().find(|a| a.header() == name).ok_or_else(|| {
                S3Error::with(
                    ErrorCode::InvalidRequest,
                    "The value specified in the x-amz-trailer header is not supported",
                )
            })?;
            if declared.algorithm.is_some() {
                return Err(S3Error::with(
                    ErrorCode::InvalidRequest,
                    "Expecting a single x-amz-checksum- header or trailer.",
                ));
            }
            declared = Self { algorithm: Some(algorithm), value: None, in_trailer: true };
        }
        declared.check_named(headers)?;
        Ok(declared)
    }

    /// `x-amz-sdk-checksum-algorithm` must agree with what is there, and alone asks for nothing.
    fn check_named(&self, headers: &HeaderMap) -> Result<(), S3Error> {
        let Some(named) = headers.get("x-amz-sdk-checksum-algorithm") else { return Ok(()) };
        let named = Algorithm::from_name(named.to_str().unwrap_or_default()).ok_or_else(|| {
            S3Error::with(
                ErrorCode::InvalidRequest,
                "Checksum algorithm provided is unsupported. Please try again with any of the valid types: \
                 [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
            )
        })?;
        if self.algorithm.is_some_and(|declared| declared != named) {
            return Err(S3Error::with(
                ErrorCode::InvalidRequest,
                "Value for x-amz-sdk-checksum-algorithm header is invalid.",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values() {
        let check = |algorithm: Algorithm, expected: &str| {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"12345");
            hasher.update(b"6789");
            assert_eq!(hex::encode(hasher.finish()), expected, "{algorithm:?}");
        };
        check(Algorithm::Crc32, "cbf43926");
        check(Algorithm::Crc32c, "e3069283");
        check(Algorithm::Crc64Nvme, "ae8b14860a799888");
        check(Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
        check(Algorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
    }

    #[test]
    fn parts_combine() {
        for algorithm in Algorithm::ALL.into_iter().filter(|a| a.combines()) {
            let sum = |bytes: &[u8]| {
                let mut hasher = Hasher::new(algorithm);
                hasher.update(bytes);
                hasher.finish()
            };
            assert_eq!(
                algorithm.combine(&sum(b"12345"), &sum(b"6789"), 4),
                Some(sum(b"123456789")),
                "{algorithm:?}"
            );
        }
        assert_eq!(Algorithm::Sha1.combine(&[], &[], 0), None);
    }

    #[test]
    fn headers() {
        let parse = |pairs: &[(&'static str, &'static str)]| {
            let headers =
                pairs.iter().map(|(n, v)| (n.parse().expect("name"), v.parse().expect("value"))).collect();
            Declared::from_headers(&headers)
        };
        assert_eq!(parse(&[]).expect("none"), Declared::default());
        assert!(parse(&[("x-amz-checksum-crc32", "AAAAAA==")]).is_ok());
        for bad in [
            &[("x-amz-checksum-crc32", "AAAA")][..],
            &[("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-checksum-crc32c", "AAAAAA==")],
            &[("x-amz-trailer", "x-amz-meta-a")],
            &[("x-amz-sdk-checksum-algorithm", "MD4")],
            &[("x-amz-sdk-checksum-algorithm", "SHA1"), ("x-amz-checksum-crc32", "AAAAAA==")],
        ] {
            assert_eq!(parse(bad).expect_err("bad").code(), ErrorCode::InvalidRequest, "{bad:?}");
        }
    }
}
