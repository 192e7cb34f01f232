//! What each operation needs: the action that a policy names it by, and the permission that a list grants it by.

use super::acl::Permission::{self, Read, ReadAcp, Write, WriteAcp};
use crate::operation::Operation;

/// Which list an operation is granted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grants {
    /// None: it is the owner's, unless a policy allows it.
    Nothing,
    Bucket(Permission),
    Object(Permission),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    pub(crate) action: &'static str,
    pub(crate) grants: Grants,
    /// It changes nothing.
    pub(crate) reads: bool,
    /// It is about an object that is there.
    pub(crate) of_object: bool,
    /// The owner may do it though a policy denies it.
    pub(crate) rescues: bool,
}

/// What `operation` needs; `versioned` if the request names a version.
#[rustfmt::skip]
pub(crate) fn needs(operation: Operation, versioned: bool) -> Needs {
    use Grants::{Bucket, Nothing, Object};
    use Operation as Op;
    let of = |plain, of_version| if versioned { of_version } else { plain };
    let (action, grants, reads) = match operation {
        Op::ListBuckets => ("s3:ListAllMyBuckets", Nothing, true),
        Op::CreateBucket => ("s3:CreateBucket", Nothing, false),
        Op::DeleteBucket => ("s3:DeleteBucket", Nothing, false),
        Op::HeadBucket | Op::ListObjects | Op::ListObjectsV2 => ("s3:ListBucket", Bucket(Read), true),
        Op::ListObjectVersions => ("s3:ListBucketVersions", Bucket(Read), true),
        Op::ListMultipartUploads => ("s3:ListBucketMultipartUploads", Bucket(Read), true),
        Op::GetBucketLocation => ("s3:GetBucketLocation", Nothing, true),
        Op::GetBucketVersioning => ("s3:GetBucketVersioning", Nothing, true),
        Op::PutBucketVersioning => ("s3:PutBucketVersioning", Nothing, false),
        Op::GetBucketAcl => ("s3:GetBucketAcl", Bucket(ReadAcp), true),
        Op::PutBucketAcl => ("s3:PutBucketAcl", Bucket(WriteAcp), false),
        Op::GetBucketPolicy => ("s3:GetBucketPolicy", Nothing, true),
        Op::PutBucketPolicy => ("s3:PutBucketPolicy", Nothing, false),
        Op::DeleteBucketPolicy => ("s3:DeleteBucketPolicy", Nothing, false),
        Op::GetBucketPolicyStatus => ("s3:GetBucketPolicyStatus", Nothing, true),
        Op::GetPublicAccessBlock => ("s3:GetBucketPublicAccessBlock", Nothing, true),
        Op::PutPublicAccessBlock | Op::DeletePublicAccessBlock => ("s3:PutBucketPublicAccessBlock", Nothing, false),
        Op::GetBucketOwnershipControls => ("s3:GetBucketOwnershipControls", Nothing, true),
        Op::PutBucketOwnershipControls | Op::DeleteBucketOwnershipControls => ("s3:PutBucketOwnershipControls", Nothing, false),
        Op::GetBucketCors => ("s3:GetBucketCORS", Nothing, true),
        Op::PutBucketCors | Op::DeleteBucketCors => ("s3:PutBucketCORS", Nothing, false),
        Op::GetBucketLifecycleConfiguration => ("s3:GetLifecycleConfiguration", Nothing, true),
        Op::PutBucketLifecycleConfiguration | Op::DeleteBucketLifecycle => ("s3:PutLifecycleConfiguration", Nothing, false),
        Op::GetBucketTagging => ("s3:GetBucketTagging", Nothing, true),
        Op::PutBucketTagging | Op::DeleteBucketTagging => ("s3:PutBucketTagging", Nothing, false),
        Op::GetUnset => ("s3:GetBucketConfiguration", Nothing, true),
        Op::DeleteUnset => ("s3:PutBucketConfiguration", Nothing, false),
        Op::GetObject | Op::HeadObject => (of("s3:GetObject", "s3:GetObjectVersion"), Object(Read), true),
        Op::GetObjectAttributes => (of("s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"), Object(Read), true),
        Op::GetObjectAcl => (of("s3:GetObjectAcl", "s3:GetObjectVersionAcl"), Object(ReadAcp), true),
        Op::PutObjectAcl => (of("s3:PutObjectAcl", "s3:PutObjectVersionAcl"), Object(WriteAcp), false),
        Op::GetObjectTagging => (of("s3:GetObjectTagging", "s3:GetObjectVersionTagging"), Nothing, true),
        Op::PutObjectTagging => (of("s3:PutObjectTagging", "s3:PutObjectVersionTagging"), Nothing, false),
        Op::DeleteObjectTagging => (of("s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"), Nothing, false),
        Op::PutObject | Op::PostObject | Op::CopyObject | Op::CreateMultipartUpload | Op::UploadPart | Op::UploadPartCopy
        | Op::CompleteMultipartUpload => ("s3:PutObject", Bucket(Write), false),
        Op::AbortMultipartUpload => ("s3:AbortMultipartUpload", Bucket(Write), false),
        Op::ListParts => ("s3:ListMultipartUploadParts", Bucket(Write), true),
        // Each key is decided by itself, as a DeleteObject.
        Op::DeleteObject | Op::DeleteObjects => (of("s3:DeleteObject", "s3:DeleteObjectVersion"), Bucket(Write), false),
    };
    let of_object = matches!(
        operation,
        Op::GetObject | Op::HeadObject | Op::GetObjectAttributes | Op::GetObjectAcl | Op::GetObjectTagging
            | Op::PutObjectAcl | Op::PutObjectTagging | Op::DeleteObjectTagging | Op::DeleteObject | Op::PutObject
    );
    let rescues = matches!(operation, Op::GetBucketPolicy | Op::PutBucketPolicy | Op::DeleteBucketPolicy);
    Needs { action, grants, reads, of_object, rescues }
}
