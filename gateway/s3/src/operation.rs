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
    GetBucketAcl GetObjectAcl ListObjects ListObjectsV2 ListObjectVersions ListMultipartUploads DeleteObjects
    PutObject CopyObject GetObject HeadObject DeleteObject GetObjectAttributes
    CreateMultipartUpload UploadPart UploadPartCopy CompleteMultipartUpload AbortMultipartUpload ListParts
    GetUnset DeleteUnset
}

/// Sub-resources of buckets and objects that are not there.
const NOT_THERE: &[&str] = &[
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "append",
    "cors",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "metadataConfiguration",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
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
    let found = match (bucket, key) {
        (None, _) => service_operation(method),
        (Some(_), None) => bucket_operation(method, query),
        (Some(_), Some(_)) => object_operation(method, query, headers),
    };
    if let Some(name) = query.names().find(|name| NOT_THERE.contains(name))
        && !matches!(found, Some(Operation::GetBucketAcl | Operation::GetObjectAcl))
    {
        return Err(S3Error::not_implemented(name));
    }
    let is_form = || {
        let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
        content_type.is_some_and(|value| value.starts_with("multipart/form-data"))
    };
    found.ok_or_else(|| match *method {
        Method::POST if is_form() => S3Error::not_implemented("POST"),
        _ => S3Error::from(ErrorCode::MethodNotAllowed).detail("Method", method.as_str()),
    })
}

fn service_operation(method: &Method) -> Option<Operation> {
    (method == Method::GET).then_some(Operation::ListBuckets)
}

fn bucket_operation(method: &Method, query: &Query) -> Option<Operation> {
    Some(match *method {
        Method::GET if query.has("acl") => Operation::GetBucketAcl,
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
        Method::GET if query.has("acl") => Operation::GetObjectAcl,
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
        assert_eq!(check(Method::GET, object, "tagging", false), Ok(Operation::GetUnset));
        assert_eq!(check(Method::GET, bucket, "cors", false), Ok(Operation::GetUnset));
        assert_eq!(check(Method::DELETE, bucket, "policy", false), Ok(Operation::DeleteUnset));
        for (method, path, query) in [
            (Method::PUT, bucket, "acl"),
            (Method::PUT, bucket, "policy"),
            (Method::PUT, bucket, "lifecycle"),
            (Method::GET, bucket, "inventory"),
            (Method::DELETE, bucket, "versioning&analytics"),
            (Method::PUT, object, "tagging"),
            (Method::GET, object, "torrent"),
            (Method::POST, object, "restore"),
            (Method::PUT, object, "retention"),
        ] {
            assert_eq!(check(method, path, query, false), Err(ErrorCode::NotImplemented), "{query}");
        }
    }
}
