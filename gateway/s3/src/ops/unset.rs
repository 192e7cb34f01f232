//! Sub-resources that nothing can set yet, as AWS answers where they are not set.
//!
//! Clients probe them: Terraform reads a dozen configurations of each bucket. "Not set" is the truth, so that is what they are told; only setting one is refused as
//! not implemented. Removing what is not set is done.

use super::{empty_reply, push_version, refusal, version_of, xml_reply};
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, Reply, S3Gateway};
use crate::operation::Operation;
use crate::target::Query;
use crate::xml::XmlWriter;
use http::{Method, StatusCode};
use ringfort_object::{GetOptions, VersionId, Versioning};

/// What a read of a sub-resource that is not set answers.
#[derive(Clone, Copy)]
enum Answer {
    /// A document with this root and content.
    Document(&'static str, &'static str),
    Missing(ErrorCode),
    /// The bucket lacks what the sub-resource needs.
    NoObjectLock,
}

/// Name, what a read answers, and whether AWS has a DELETE of it.
type Unset = (&'static str, Answer, bool);

const OF_BUCKETS: &[Unset] = &[
    ("accelerate", Answer::Document("AccelerateConfiguration", ""), false),
    ("encryption", Answer::Missing(ErrorCode::ServerSideEncryptionConfigurationNotFoundError), true),
    ("logging", Answer::Document("BucketLoggingStatus", ""), false),
    ("notification", Answer::Document("NotificationConfiguration", ""), false),
    ("object-lock", Answer::Missing(ErrorCode::ObjectLockConfigurationNotFoundError), false),
    ("replication", Answer::Missing(ErrorCode::ReplicationConfigurationNotFoundError), true),
    ("requestPayment", Answer::Document("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"), false),
    ("website", Answer::Missing(ErrorCode::NoSuchWebsiteConfiguration), true),
];

const OF_OBJECTS: &[Unset] =
    &[("legal-hold", Answer::NoObjectLock, false), ("retention", Answer::NoObjectLock, false)];

/// The operation on a sub-resource that is never set, if the request is one.
pub(crate) fn unset(method: &Method, of_object: bool, query: &Query) -> Option<Operation> {
    let (_, _, removable) = find(of_object, query)?;
    match *method {
        Method::GET => Some(Operation::GetUnset),
        Method::DELETE if *removable => Some(Operation::DeleteUnset),
        _ => None,
    }
}

fn find(of_object: bool, query: &Query) -> Option<&'static Unset> {
    let table = if of_object { OF_OBJECTS } else { OF_BUCKETS };
    query.names().find_map(|asked| table.iter().find(|(name, _, _)| *name == asked))
}

impl S3Gateway {
    pub(crate) async fn get_unset(&self, call: &Call) -> Reply {
        let version = self.version_of_unset(call).await?;
        let (_, answer, _) = find(!call.key.is_empty(), &call.query).ok_or(ErrorCode::InternalError)?;
        let mut response = match answer {
            Answer::Document(root, content) => {
                let mut xml = XmlWriter::root(root, 256);
                xml.raw(content);
                xml_reply(xml.finish(root))
            }
            Answer::Missing(code) => return Err(S3Error::from(*code).detail("BucketName", &call.bucket)),
            Answer::NoObjectLock => {
                return Err(S3Error::with(
                    ErrorCode::InvalidRequest,
                    "Bucket is missing Object Lock Configuration",
                ));
            }
        };
        if let Some((version, versioning)) = version {
            push_version(response.headers_mut(), version, versioning);
        }
        Ok(response)
    }

    pub(crate) async fn delete_unset(&self, call: &Call) -> Reply {
        let version = self.version_of_unset(call).await?;
        let mut response = empty_reply(StatusCode::NO_CONTENT);
        if let Some((version, versioning)) = version {
            push_version(response.headers_mut(), version, versioning);
        }
        Ok(response)
    }

    /// What has the sub-resource must be there. Gives the version, where it is an object's.
    async fn version_of_unset(&self, call: &Call) -> Result<Option<(VersionId, Versioning)>, S3Error> {
        if call.key.is_empty() {
            let found = self.inner.objects.container(call.account(), &call.bucket).await;
            return found.map(|_| None).map_err(|e| refusal(e, call));
        }
        let options = GetOptions { version: version_of(&call.query)?, ..GetOptions::default() };
        let found = self.inner.objects.head(&call.path(), options).await;
        found.map(|info| Some((info.version, info.versioning))).map_err(|e| refusal(e, call))
    }
}
