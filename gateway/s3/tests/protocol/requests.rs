//! The requests of the matrix: one at least of each operation, which the owner of `box` and `bare` can have carried out.

/// In targets and bodies `UPLOAD` stands for the id of an upload to `up` and `PART_TAG` for the tag of its one part.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) operation: &'static str,
    /// What a policy must allow; empty where there is no bucket yet that could have one.
    pub(crate) actions: &'static [&'static str],
    /// `FORM` for a form.
    pub(crate) method: &'static str,
    pub(crate) target: &'static str,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) body: &'static str,
}

const fn of(
    operation: &'static str,
    actions: &'static [&'static str],
    method: &'static str,
    target: &'static str,
) -> Row {
    Row { operation, actions, method, target, headers: &[], body: "" }
}

impl Row {
    const fn sends(mut self, body: &'static str) -> Self {
        self.body = body;
        self
    }

    const fn with(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }
}

const VERSIONING: &str = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
const POLICY: &str = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::box/no"}}"#;
const BLOCK: &str = "<PublicAccessBlockConfiguration><BlockPublicPolicy>false</BlockPublicPolicy></PublicAccessBlockConfiguration>";
const OWNERSHIP: &str =
    "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>";
const CORS: &str = "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>http://a</AllowedOrigin>\
    </CORSRule></CORSConfiguration>";
const LIFECYCLE: &str = "<LifecycleConfiguration><Rule><Filter><Prefix>log/</Prefix></Filter><Status>Enabled</Status>\
    <Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>";
const TAGS: &str = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
const DELETE: &str = "<Delete><Object><Key>key</Key></Object></Delete>";
const DELETE_VERSION: &str = "<Delete><Object><Key>key</Key><VersionId>null</VersionId></Object></Delete>";
const COMPLETE: &str = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>PART_TAG</ETag></Part>\
    </CompleteMultipartUpload>";
const PRIVATE: &[(&str, &str)] = &[("x-amz-acl", "private")];
const FROM_KEY: &[(&str, &str)] = &[("x-amz-copy-source", "/box/key")];
const FROM_VERSION: &[(&str, &str)] = &[("x-amz-copy-source", "/box/key?versionId=null")];
const ATTRIBUTES: &[(&str, &str)] = &[("x-amz-object-attributes", "ETag")];

/// What is PUT before, so that every read has something to tell. `box` is there.
pub(crate) const SETUP: &[(&str, &str)] = &[
    ("/bare", ""),
    ("/box/key", "x"),
    ("/box/key?tagging", TAGS),
    ("/box?publicAccessBlock", BLOCK),
    ("/box?ownershipControls", OWNERSHIP),
    ("/box?cors", CORS),
    ("/box?lifecycle", LIFECYCLE),
    ("/box?tagging", TAGS),
];

/// What is read before and after what must change nothing.
pub(crate) const STATE: &[&str] = &[
    "/",
    "/bare",
    "/box?versions",
    "/box?uploads",
    "/box?versioning",
    "/box?acl",
    "/box?policy",
    "/box?publicAccessBlock",
    "/box?ownershipControls",
    "/box?cors",
    "/box?lifecycle",
    "/box?tagging",
    "/box/key",
    "/box/key?acl",
    "/box/key?tagging",
    "/box/up?uploadId=UPLOAD",
];

#[rustfmt::skip]
pub(crate) const REQUESTS: &[Row] = &[
    of("ListBuckets", &[], "GET", "/"),
    of("CreateBucket", &[], "PUT", "/new"),
    of("HeadBucket", &["s3:ListBucket"], "HEAD", "/box"),
    of("DeleteBucket", &["s3:DeleteBucket"], "DELETE", "/bare"),
    of("GetBucketLocation", &["s3:GetBucketLocation"], "GET", "/box?location"),
    of("GetBucketVersioning", &["s3:GetBucketVersioning"], "GET", "/box?versioning"),
    of("PutBucketVersioning", &["s3:PutBucketVersioning"], "PUT", "/box?versioning").sends(VERSIONING),
    of("GetBucketAcl", &["s3:GetBucketAcl"], "GET", "/box?acl"),
    of("PutBucketAcl", &["s3:PutBucketAcl"], "PUT", "/box?acl").with(PRIVATE),
    of("GetBucketPolicy", &["s3:GetBucketPolicy"], "GET", "/box?policy"),
    of("PutBucketPolicy", &["s3:PutBucketPolicy"], "PUT", "/box?policy").sends(POLICY),
    of("DeleteBucketPolicy", &["s3:DeleteBucketPolicy"], "DELETE", "/box?policy"),
    of("GetBucketPolicyStatus", &["s3:GetBucketPolicyStatus"], "GET", "/box?policyStatus"),
    of("GetPublicAccessBlock", &["s3:GetBucketPublicAccessBlock"], "GET", "/box?publicAccessBlock"),
    of("PutPublicAccessBlock", &["s3:PutBucketPublicAccessBlock"], "PUT", "/box?publicAccessBlock").sends(BLOCK),
    of("DeletePublicAccessBlock", &["s3:PutBucketPublicAccessBlock"], "DELETE", "/box?publicAccessBlock"),
    of("GetBucketOwnershipControls", &["s3:GetBucketOwnershipControls"], "GET", "/box?ownershipControls"),
    of("PutBucketOwnershipControls", &["s3:PutBucketOwnershipControls"], "PUT", "/box?ownershipControls").sends(OWNERSHIP),
    of("DeleteBucketOwnershipControls", &["s3:PutBucketOwnershipControls"], "DELETE", "/box?ownershipControls"),
    of("GetBucketCors", &["s3:GetBucketCORS"], "GET", "/box?cors"),
    of("PutBucketCors", &["s3:PutBucketCORS"], "PUT", "/box?cors").sends(CORS),
    of("DeleteBucketCors", &["s3:PutBucketCORS"], "DELETE", "/box?cors"),
    of("GetBucketLifecycleConfiguration", &["s3:GetLifecycleConfiguration"], "GET", "/box?lifecycle"),
    of("PutBucketLifecycleConfiguration", &["s3:PutLifecycleConfiguration"], "PUT", "/box?lifecycle").sends(LIFECYCLE),
    of("DeleteBucketLifecycle", &["s3:PutLifecycleConfiguration"], "DELETE", "/box?lifecycle"),
    of("GetBucketTagging", &["s3:GetBucketTagging"], "GET", "/box?tagging"),
    of("PutBucketTagging", &["s3:PutBucketTagging"], "PUT", "/box?tagging").sends(TAGS),
    of("DeleteBucketTagging", &["s3:PutBucketTagging"], "DELETE", "/box?tagging"),
    of("GetUnset", &["s3:GetBucketConfiguration"], "GET", "/box?requestPayment"),
    of("DeleteUnset", &["s3:PutBucketConfiguration"], "DELETE", "/box?website"),
    of("ListObjects", &["s3:ListBucket"], "GET", "/box"),
    of("ListObjectsV2", &["s3:ListBucket"], "GET", "/box?list-type=2"),
    of("ListObjectVersions", &["s3:ListBucketVersions"], "GET", "/box?versions"),
    of("ListMultipartUploads", &["s3:ListBucketMultipartUploads"], "GET", "/box?uploads"),
    of("GetObject", &["s3:GetObject"], "GET", "/box/key"),
    of("GetObject", &["s3:GetObjectVersion"], "GET", "/box/key?versionId=null"),
    of("HeadObject", &["s3:GetObject"], "HEAD", "/box/key"),
    of("HeadObject", &["s3:GetObjectVersion"], "HEAD", "/box/key?versionId=null"),
    of("GetObjectAttributes", &["s3:GetObjectAttributes"], "GET", "/box/key?attributes").with(ATTRIBUTES),
    of("GetObjectAttributes", &["s3:GetObjectVersionAttributes"], "GET", "/box/key?attributes&versionId=null").with(ATTRIBUTES),
    of("GetObjectAcl", &["s3:GetObjectAcl"], "GET", "/box/key?acl"),
    of("GetObjectAcl", &["s3:GetObjectVersionAcl"], "GET", "/box/key?acl&versionId=null"),
    of("PutObjectAcl", &["s3:PutObjectAcl"], "PUT", "/box/key?acl").with(PRIVATE),
    of("PutObjectAcl", &["s3:PutObjectVersionAcl"], "PUT", "/box/key?acl&versionId=null").with(PRIVATE),
    of("GetObjectTagging", &["s3:GetObjectTagging"], "GET", "/box/key?tagging"),
    of("GetObjectTagging", &["s3:GetObjectVersionTagging"], "GET", "/box/key?tagging&versionId=null"),
    of("PutObjectTagging", &["s3:PutObjectTagging"], "PUT", "/box/key?tagging").sends(TAGS),
    of("PutObjectTagging", &["s3:PutObjectVersionTagging"], "PUT", "/box/key?tagging&versionId=null").sends(TAGS),
    of("DeleteObjectTagging", &["s3:DeleteObjectTagging"], "DELETE", "/box/key?tagging"),
    of("DeleteObjectTagging", &["s3:DeleteObjectVersionTagging"], "DELETE", "/box/key?tagging&versionId=null"),
    of("PutObject", &["s3:PutObject"], "PUT", "/box/new").sends("y"),
    of("PutObject", &["s3:PutObject"], "PUT", "/box/key").sends("y"),
    of("PostObject", &["s3:PutObject"], "FORM", "/box"),
    of("CopyObject", &["s3:PutObject", "s3:GetObject"], "PUT", "/box/new").with(FROM_KEY),
    of("CopyObject", &["s3:PutObject", "s3:GetObjectVersion"], "PUT", "/box/new").with(FROM_VERSION),
    of("DeleteObject", &["s3:DeleteObject"], "DELETE", "/box/key"),
    of("DeleteObject", &["s3:DeleteObjectVersion"], "DELETE", "/box/key?versionId=null"),
    of("DeleteObjects", &["s3:DeleteObject"], "POST", "/box?delete").sends(DELETE),
    of("DeleteObjects", &["s3:DeleteObjectVersion"], "POST", "/box?delete").sends(DELETE_VERSION),
    of("CreateMultipartUpload", &["s3:PutObject"], "POST", "/box/new?uploads"),
    of("UploadPart", &["s3:PutObject"], "PUT", "/box/up?partNumber=1&uploadId=UPLOAD").sends("another part"),
    of("UploadPartCopy", &["s3:PutObject", "s3:GetObject"], "PUT", "/box/up?partNumber=2&uploadId=UPLOAD").with(FROM_KEY),
    of("UploadPartCopy", &["s3:PutObject", "s3:GetObjectVersion"], "PUT", "/box/up?partNumber=2&uploadId=UPLOAD").with(FROM_VERSION),
    of("CompleteMultipartUpload", &["s3:PutObject"], "POST", "/box/up?uploadId=UPLOAD").sends(COMPLETE),
    of("AbortMultipartUpload", &["s3:AbortMultipartUpload"], "DELETE", "/box/up?uploadId=UPLOAD"),
    of("ListParts", &["s3:ListMultipartUploadParts"], "GET", "/box/up?uploadId=UPLOAD"),
];
