//! What a CompleteMultipartUpload says about the object that shall come of the parts. All of it is held against the
//! parts: a client that sends it believes that it is verified.

use super::complete::NamedPart;
use super::multipart::UploadChecksum;
use crate::body::checksum::Algorithm;
use crate::error::{ErrorCode, S3Error};
use crate::headers;
use http::HeaderMap;
use ringfort_object::PartInfo;

/// The announcements.
#[derive(Debug, Default)]
pub(super) struct Announced {
    value: Option<(Algorithm, String)>,
    kind: Option<String>,
    size: Option<u64>,
}

impl Announced {
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Self, S3Error> {
        let mut announced = Self::default();
        for algorithm in Algorithm::ALL {
            let Some(text) = headers::text(headers, algorithm.header())? else { continue };
            algorithm.decode(bare(text))?;
            if announced.value.replace((algorithm, text.to_owned())).is_some() {
                return Err(S3Error::with(
                    ErrorCode::InvalidRequest,
                    "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
                ));
            }
        }
        announced.kind = headers::text(headers, "x-amz-checksum-type")?.map(str::to_owned);
        if let Some(text) = headers::text(headers, "x-amz-mp-object-size")? {
            let size = text.parse().map_err(|_| {
                S3Error::argument("x-amz-mp-object-size", text, "The size of the object is no number.")
            })?;
            announced.size = Some(size);
        }
        Ok(announced)
    }

    /// Whether nothing needs the parts to be looked at.
    pub(super) fn is_nothing(&self) -> bool {
        self.value.is_none() && self.size.is_none()
    }

    /// The checksum that the upload was begun with and that this request means, too.
    pub(super) fn agreed(
        &self,
        begun_with: Option<UploadChecksum>,
    ) -> Result<Option<UploadChecksum>, S3Error> {
        let named = self.value.as_ref().map(|(algorithm, _)| *algorithm);
        let Some(begun_with) = begun_with else {
            // Of parts that brought their own CRCs, that of the whole follows.
            return match named {
                Some(algorithm) if !algorithm.combines() => Err(mismatch(algorithm)),
                named => Ok(named.map(|algorithm| UploadChecksum { algorithm, composite: false })),
            };
        };
        if self.kind.as_ref().is_some_and(|kind| kind != begun_with.type_name()) {
            return Err(S3Error::with(
                ErrorCode::InvalidRequest,
                format!(
                    "The upload was created using the {} checksum mode. The complete request must use the same \
                     checksum mode.",
                    begun_with.type_name()
                ),
            ));
        }
        match named {
            Some(algorithm) if algorithm != begun_with.algorithm => Err(mismatch(algorithm)),
            _ => Ok(Some(begun_with)),
        }
    }

    /// Holds the announced value against the computed one, of which some client leaves out the number of parts; `None` is
    /// one that could not be computed.
    pub(super) fn check_value(&self, computed: Option<&str>) -> Result<(), S3Error> {
        let Some((algorithm, announced)) = &self.value else { return Ok(()) };
        let computed = computed.ok_or_else(|| mismatch(*algorithm))?;
        if announced == computed || announced == bare(computed) {
            return Ok(());
        }
        Err(S3Error::with(
            ErrorCode::BadDigest,
            format!("The {} you specified did not match the calculated checksum.", algorithm.name()),
        ))
    }

    pub(super) fn check_size(&self, named: &[NamedPart], stored: &[PartInfo]) -> Result<(), S3Error> {
        let size_of = |named: &NamedPart| {
            let at = stored.binary_search_by_key(&named.part.number, |info| info.number).ok()?;
            Some(stored[at].size)
        };
        // A part that is missing is told of by the commit.
        let Some(sum) = named.iter().map(size_of).sum::<Option<u64>>() else { return Ok(()) };
        if self.size.is_none_or(|size| size == sum) {
            return Ok(());
        }
        Err(S3Error::with(
            ErrorCode::InvalidRequest,
            "The provided 'x-amz-mp-object-size' header does not match what was computed.",
        ))
    }
}

/// A checksum without the number of parts in which a composite one ends.
fn bare(text: &str) -> &str {
    text.split_once('-').map_or(text, |(value, _)| value)
}

fn mismatch(announced: Algorithm) -> S3Error {
    S3Error::with(
        ErrorCode::InvalidRequest,
        format!(
            "Checksum Type mismatch occurred, the upload and its parts have no {} checksum.",
            announced.stored()
        ),
    )
}
