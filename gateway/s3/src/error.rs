//! Errors as AWS gives them.
//!
//! Clients branch on the `Code` of the XML body and on the status, retry on some of them, and print the message to a
//! person. So each code has its status and its standard message here, once, and a handler adds only what it knows
//! better: a more exact message, further elements (`Key`, `Region`...) and reply headers (a delete marker's).

use http::header::{HeaderName, HeaderValue};
use ringfort_core::ErrorKind;
use std::borrow::Cow;
use std::fmt;

macro_rules! codes {
    ($($name:ident $status:literal $message:literal)*) => {
        /// The error codes that this gateway answers with; the names are AWS's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum ErrorCode { $($name,)* }

        impl ErrorCode {
            /// Every code, for table tests.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The `Code` element.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            const fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }
        }
    };
}

codes! {
    AccessControlListNotSupported 400 "The bucket does not allow ACLs"
    AccessDenied 403 "Access Denied"
    AccessForbidden 403 "Access Forbidden"
    AuthorizationHeaderMalformed 400 "The authorization header you provided is invalid."
    AuthorizationQueryParametersError 400 "Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."
    BadDigest 400 "The Content-MD5 or checksum value that you specified did not match what the server received."
    BadRequest 400 "Bad Request"
    BucketAlreadyExists 409 "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again."
    BucketAlreadyOwnedByYou 409 "Your previous request to create the named bucket succeeded and you already own it."
    BucketNotEmpty 409 "The bucket you tried to delete is not empty."
    ConditionalRequestConflict 409 "The conditional request cannot succeed due to a conflicting operation against this resource."
    EntityTooLarge 400 "Your proposed upload exceeds the maximum allowed size."
    EntityTooSmall 400 "Your proposed upload is smaller than the minimum allowed size."
    IllegalLocationConstraintException 400 "The specified location constraint is not valid for the region this request was sent to."
    IllegalVersioningConfigurationException 400 "The versioning configuration specified in the request is invalid."
    IncompleteBody 400 "You did not provide the number of bytes specified by the Content-Length HTTP header."
    InsufficientStorage 507 "The devices are full. Delete something or add devices."
    InternalError 500 "We encountered an internal error. Please try again."
    InvalidAccessKeyId 403 "The AWS Access Key Id you provided does not exist in our records."
    InvalidArgument 400 "Invalid Argument"
    InvalidBucketAclWithObjectOwnership 400 "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
    InvalidBucketName 400 "The specified bucket is not valid."
    InvalidDigest 400 "The Content-MD5 or checksum value that you specified is not valid."
    InvalidLocationConstraint 400 "The specified location-constraint is not valid."
    InvalidPart 400 "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
    InvalidPartNumber 416 "The requested partnumber is not satisfiable."
    InvalidPartOrder 400 "The list of parts was not in ascending order. Parts must be ordered by part number."
    InvalidPolicyDocument 400 "The content of the form does not meet the conditions specified in the policy document."
    InvalidRange 416 "The requested range is not satisfiable."
    InvalidRequest 400 "Invalid Request"
    InvalidStorageClass 400 "The storage class you specified is not valid."
    InvalidTag 400 "The tag provided was not a valid tag. This error can occur if the tag did not pass input validation."
    InvalidToken 400 "The provided token is malformed or otherwise invalid."
    InvalidURI 400 "Couldn't parse the specified URI."
    KeyTooLongError 400 "Your key is too long."
    MalformedACLError 400 "The XML you provided was not well-formed or did not validate against our published schema."
    MalformedPolicy 400 "This policy contains invalid Json"
    MalformedPOSTRequest 400 "The body of your POST request is not well-formed multipart/form-data."
    MalformedTrailerError 400 "The request contained trailing data that was not well-formed or did not conform to our published schema."
    MalformedXML 400 "The XML you provided was not well-formed or did not validate against our published schema."
    MaxPostPreDataLengthExceededError 400 "Your POST request fields preceding the upload file were too large."
    MaxMessageLengthExceeded 400 "Your request was too big."
    MetadataTooLarge 400 "Your metadata headers exceed the maximum allowed metadata size."
    MethodNotAllowed 405 "The specified method is not allowed against this resource."
    MissingContentLength 411 "You must provide the Content-Length HTTP header."
    MissingSecurityHeader 400 "Your request is missing a required header."
    MissingRequestBodyError 400 "Request body is empty."
    NoSuchBucketPolicy 404 "The bucket policy does not exist"
    NoSuchCORSConfiguration 404 "The CORS configuration does not exist"
    NoSuchLifecycleConfiguration 404 "The lifecycle configuration does not exist"
    NoSuchPublicAccessBlockConfiguration 404 "The public access block configuration was not found"
    NoSuchTagSet 404 "The TagSet does not exist"
    NoSuchWebsiteConfiguration 404 "The specified bucket does not have a website configuration"
    ObjectLockConfigurationNotFoundError 404 "Object Lock configuration does not exist for this bucket"
    ReplicationConfigurationNotFoundError 404 "The replication configuration was not found"
    ServerSideEncryptionConfigurationNotFoundError 404 "The server side encryption configuration was not found"
    NoSuchBucket 404 "The specified bucket does not exist."
    NoSuchKey 404 "The specified key does not exist."
    NoSuchUpload 404 "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    NoSuchVersion 404 "The specified version does not exist."
    NotImplemented 501 "A header or query you provided implies functionality that is not implemented."
    NotModified 304 "Not Modified"
    OwnershipControlsNotFoundError 404 "The bucket ownership controls were not found"
    OperationAborted 409 "A conflicting conditional operation is currently in progress against this resource. Try again."
    PreconditionFailed 412 "At least one of the pre-conditions you specified did not hold."
    QuotaExceeded 403 "The quota of this account or bucket is used up."
    RequestHeaderSectionTooLarge 400 "Your request header section exceeds the maximum allowed size."
    RequestTimeTooSkewed 403 "The difference between the request time and the current time is too large."
    RequestTimeout 400 "Your socket connection to the server was not read from or written to within the timeout period."
    ServiceUnavailable 503 "Too few devices answer to serve this request. Please try again."
    SignatureDoesNotMatch 403 "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    SlowDown 503 "Please reduce your request rate."
    TooManyBuckets 400 "You have attempted to create more buckets than are allowed."
    UnresolvableGrantByEmailAddress 400 "The e-mail address you provided does not match any account on record."
    UnexpectedContent 400 "This request does not support content."
    URITooLong 414 "The request URI is too long."
    XAmzContentSHA256Mismatch 400 "The provided 'x-amz-content-sha256' header does not match what was computed."
}

/// A refusal on its way to the client.
#[derive(Clone, Debug)]
pub struct S3Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: ErrorCode,
    message: Cow<'static, str>,
    details: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    internal: Option<String>,
}

impl S3Error {
    /// `code` with a message that says more than the standard one.
    pub fn with(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            details: Vec::new(),
            headers: Vec::new(),
            internal: None,
        }))
    }

    /// InvalidArgument naming the argument, as AWS does.
    #[must_use]
    pub fn argument(name: &'static str, value: &str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::with(ErrorCode::InvalidArgument, message)
            .detail("ArgumentName", name)
            .detail("ArgumentValue", value.chars().take(256).collect::<String>())
    }

    /// NotImplemented naming the header or sub-resource.
    #[must_use]
    pub fn not_implemented(what: &str) -> Self {
        Self::with(
            ErrorCode::NotImplemented,
            format!("A header or query you provided implies functionality that is not implemented: {what}"),
        )
        .detail("Header", what.to_owned())
    }

    /// Adds an element to the XML body.
    #[must_use]
    pub fn detail(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.details.push((name, value.into()));
        self
    }

    /// Adds a header to the reply.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Notes what the log should say besides; never sent.
    #[must_use]
    pub fn internal(mut self, cause: impl fmt::Display) -> Self {
        self.0.internal = Some(cause.to_string());
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The public message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What only the log may say.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.0.internal.as_deref()
    }

    pub(crate) fn details(&self) -> &[(&'static str, String)] {
        &self.0.details
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.headers
    }

    /// The kind, in the words that all crates share.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match (self.0.code, self.0.code.status()) {
            (ErrorCode::QuotaExceeded, _) => ErrorKind::OverQuota,
            (_, 404) => ErrorKind::NotFound,
            (_, 403) => ErrorKind::Denied,
            (_, 304 | 409 | 412) => ErrorKind::Conflict,
            (_, 500) => ErrorKind::Internal,
            (_, 503) => ErrorKind::Unavailable,
            (_, 507) => ErrorKind::NoSpace,
            _ => ErrorKind::Invalid,
        }
    }
}

impl From<ErrorCode> for S3Error {
    fn from(code: ErrorCode) -> Self {
        Self::with(code, code.message())
    }
}

impl fmt::Display for S3Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.name(), self.0.message)
    }
}

impl std::error::Error for S3Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_that_http_knows_and_a_kind() {
        for code in ErrorCode::ALL {
            let status = http::StatusCode::from_u16(code.status()).expect("a status");
            assert!(status.is_client_error() || status.is_server_error() || status == 304, "{code:?}");
            let _ = S3Error::from(*code).kind();
        }
    }
}
