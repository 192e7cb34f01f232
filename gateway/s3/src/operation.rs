//! Which operation a request asks for.

use crate::error::{ErrorCode, S3Error};
use crate::ops::unset;
use crate::target::Query;
use http::{HeaderMap, Method};

macro_rules! operations {
    ($($name:ident)*) => {
        /// The operations that are there; the names are AWS's, but for those of sub-resources that nothing can set.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Operation { $($name,)* }

        impl Operation {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in metrics and logs.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

operations! {
    ListBuckets CreateBucket HeadBucket DeleteBucket GetBucketLocation GetBucketVersioning PutBucketVersioning
    GetBucketAcl PutBucketAcl GetBucketPolicy PutBucketPolicy DeleteBucketPolicy GetBucketPolicyStatus
    GetPublicAccessBlock PutPublicAccessBlock DeletePublicAccessBlock
    GetBucketOwnershipControls PutBucketOwnershipControls DeleteBucketOwnershipControls
    GetBucketCors PutBucketCors DeleteBucketCors
    GetBucketLifecycleConfiguration PutBucketLifecycleConfiguration DeleteBucketLifecycle
    GetBucketTagging PutBucketTagging DeleteBucketTagging
    GetObjectAcl PutObjectAcl GetObjectTagging PutObjectTagging DeleteObjectTagging
    ListObjects ListObjectsV2 ListObjectVersions ListMultipartUploads DeleteObjects
    PutObject PostObject CopyObject GetObject HeadObject DeleteObject GetObjectAttributes
    CreateMultipartUpload UploadPart UploadPartCopy CompleteMultipartUpload AbortMultipartUpload ListParts
    GetUnset DeleteUnset
}

/// A sub-resource, and the operations that GET, PUT and DELETE are on it.
type SubResource = (&'static str, [Option<Operation>; 3]);

const OF_BUCKETS: &[SubResource] = &[
    ("acl", [Some(Operation::GetBucketAcl), Some(Operation::PutBucketAcl), None]),
    (
        "cors",
        [Some(Operation::GetBucketCors), Some(Operation::PutBucketCors), Some(Operation::DeleteBucketCors)],
    ),
    (
        "lifecycle",
        [
            Some(Operation::GetBucketLifecycleConfiguration),
            Some(Operation::PutBucketLifecycleConfiguration),
            Some(Operation::DeleteBucketLifecycle),
        ],
    ),
    (
        "ownershipControls",
        [
            Some(Operation::GetBucketOwnershipControls),
            Some(Operation::PutBucketOwnershipControls),
            Some(Operation::DeleteBucketOwnershipControls),
        ],
    ),
    (
        "policy",
        [
            Some(Operation::GetBucketPolicy),
            Some(Operation::PutBucketPolicy),
            Some(Operation::DeleteBucketPolicy),
        ],
    ),
    ("policyStatus", [Some(Operation::GetBucketPolicyStatus), None, None]),
    (
        "publicAccessBlock",
        [
            Some(Operation::GetPublicAccessBlock),
            Some(Operation::PutPublicAccessBlock),
            Some(Operation::DeletePublicAccessBlock),
        ],
    ),
    (
        "tagging",
        [
            Some(Operation::GetBucketTagging),
            Some(Operation::PutBucketTagging),
            Some(Operation::DeleteBucketTagging),
        ],
    ),
];

const OF_OBJECTS: &[SubResource] = &[
    ("acl", [Some(Operation::GetObjectAcl), Some(Operation::PutObjectAcl), None]),
    (
        "tagging",
        [
            Some(Operation::GetObjectTagging),
            Some(Operation::PutObjectTagging),
            Some(Operation::DeleteObjectTagging),
        ],
    ),
];

/// Sub-resources of buckets and objects that are not there.
const NOT_THERE: &[&str] = &[
    "abac",
    "accelerate",
    "analytics",
    "append",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "logging",
    "metadataConfiguration",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "torrent",
    "website",
];

/// Finds the operation of a request.
pub(crate) fn route(
    method: &Method,
    bucket: Option<&str>,
    key: Option<&str>,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Operation, S3Error> {
    if bucket.is_some()
        && let Some(found) = unset(method, key.is_some(), query)
    {
        return Ok(found);
    }
    if let Some(name) = query.names().find(|name| NOT_THERE.contains(name)) {
        return Err(S3Error::not_implemented(name));
    }
    if bucket.is_some()
        && let Some((_, operations)) = sub_resource(key.is_some(), query)
    {
        let found = match *method {
            Method::GET => operations[0],
            Method::PUT => operations[1],
            Method::DELETE => operations[2],
            _ => None,
        };
        return found.ok_or_else(|| not_allowed(method));
    }
    let found = match (bucket, key) {
        (None, _) => service_operation(method),
        (Some(_), None) if *method == Method::POST && is_form(headers) && !query.has("delete") => {
            Some(Operation::PostObject)
        }
        (Some(_), None) => bucket_operation(method, query),
        (Some(_), Some(_)) => object_operation(method, query, headers),
    };
    found.ok_or_else(|| not_allowed(method))
}

fn not_allowed(method: &Method) -> S3Error {
    S3Error::from(ErrorCode::MethodNotAllowed).detail("Method", method.as_str())
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
    content_type
        .and_then(|value| value.get(..19))
        .is_some_and(|v| v.eq_ignore_ascii_case("multipart/form-data"))
}

fn sub_resource(of_object: bool, query: &Query) -> Option<&'static SubResource> {
    let table = if of_object { OF_OBJECTS } else { OF_BUCKETS };
    query.names().find_map(|asked| table.iter().find(|(name, _)| *name == asked))
}

fn service_operation(method: &Method) -> Option<Operation> {
    (method == Method::GET).then_some(Operation::ListBuckets)
}

fn bucket_operation(method: &Method, query: &Query) -> Option<Operation> {
    Some(match *method {
        Method::GET if query.has("location") => Operation::GetBucketLocation,
        Method::GET if query.has("versioning") => Operation::GetBucketVersioning,
        Method::GET if query.has("versions") => Operation::ListObjectVersions,
        Method::GET if query.has("uploads") => Operation::ListMultipartUploads,
        Method::GET if query.get("list-type") == Some("2") => Operation::ListObjectsV2,
        Method::GET => Operation::ListObjects,
        Method::HEAD => Operation::HeadBucket,
        Method::PUT if query.has("versioning") => Operation::PutBucketVersioning,
        Method::PUT => Operation::CreateBucket,
        Method::DELETE => Operation::DeleteBucket,
        Method::POST if query.has("delete") => Operation::DeleteObjects,
        _ => return None,
    })
}

fn object_operation(method: &Method, query: &Query, headers: &HeaderMap) -> Option<Operation> {
    let copies = headers.contains_key("x-amz-copy-source");
    let of_upload = query.has("uploadId");
    Some(match *method {
        Method::GET if query.has("attributes") => Operation::GetObjectAttributes,
        Method::GET if of_upload => Operation::ListParts,
        Method::GET => Operation::GetObject,
        Method::HEAD => Operation::HeadObject,
        Method::PUT if (of_upload || query.has("partNumber")) && copies => Operation::UploadPartCopy,
        Method::PUT if of_upload || query.has("partNumber") => Operation::UploadPart,
        Method::PUT if copies => Operation::CopyObject,
        Method::PUT => Operation::PutObject,
        Method::DELETE if of_upload => Operation::AbortMultipartUpload,
        Method::DELETE => Operation::DeleteObject,
        Method::POST if query.has("uploads") => Operation::CreateMultipartUpload,
        Method::POST if of_upload => Operation::CompleteMultipartUpload,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_find_their_operation() {
        let check = |method: Method, path: (Option<&str>, Option<&str>), query: &str, copies: bool| {
            let mut headers = HeaderMap::new();
            if copies {
                headers.insert("x-amz-copy-source", http::HeaderValue::from_static("/b/k"));
            }
            let query = Query::parse(query, false).expect("a query");
            route(&method, path.0, path.1, &query, &headers).map_err(|error| error.code())
        };
        let (service, bucket, object) = ((None, None), (Some("b"), None), (Some("b"), Some("k")));
        assert_eq!(check(Method::GET, service, "x-id=ListBuckets", false), Ok(Operation::ListBuckets));
        assert_eq!(check(Method::PUT, service, "", false), Err(ErrorCode::MethodNotAllowed));
        assert_eq!(check(Method::GET, bucket, "list-type=2&prefix=a", false), Ok(Operation::ListObjectsV2));
        assert_eq!(check(Method::GET, bucket, "prefix=a", false), Ok(Operation::ListObjects));
        assert_eq!(check(Method::GET, bucket, "acl", false), Ok(Operation::GetBucketAcl));
        assert_eq!(check(Method::POST, bucket, "delete", false), Ok(Operation::DeleteObjects));
        assert_eq!(check(Method::POST, bucket, "", false), Err(ErrorCode::MethodNotAllowed));
        assert_eq!(
            check(Method::PUT, object, "partNumber=1&uploadId=x", true),
            Ok(Operation::UploadPartCopy)
        );
        assert_eq!(check(Method::PUT, object, "", true), Ok(Operation::CopyObject));
        assert_eq!(check(Method::POST, object, "uploads", false), Ok(Operation::CreateMultipartUpload));
        assert_eq!(check(Method::GET, object, "tagging", false), Ok(Operation::GetObjectTagging));
        assert_eq!(check(Method::GET, bucket, "website", false), Ok(Operation::GetUnset));
        assert_eq!(check(Method::DELETE, bucket, "website", false), Ok(Operation::DeleteUnset));
        assert_eq!(check(Method::PUT, bucket, "policy", false), Ok(Operation::PutBucketPolicy));
        assert_eq!(check(Method::PUT, object, "acl", false), Ok(Operation::PutObjectAcl));
        assert_eq!(check(Method::DELETE, object, "tagging", false), Ok(Operation::DeleteObjectTagging));
        assert_eq!(check(Method::DELETE, object, "acl", false), Err(ErrorCode::MethodNotAllowed));
        assert_eq!(check(Method::DELETE, bucket, "acl", false), Err(ErrorCode::MethodNotAllowed));
        assert_eq!(check(Method::HEAD, bucket, "policy", false), Err(ErrorCode::MethodNotAllowed));
        for (method, path, query) in [
            (Method::PUT, bucket, "website"),
            (Method::GET, bucket, "inventory"),
            (Method::DELETE, bucket, "versioning&analytics"),
            (Method::GET, object, "torrent"),
            (Method::POST, object, "restore"),
            (Method::PUT, object, "retention"),
        ] {
            assert_eq!(check(method, path, query, false), Err(ErrorCode::NotImplemented), "{query}");
        }
    }
}
