//! DeleteObject and DeleteObjects.

use super::{DELETE_MARKER, VERSION_ID, empty_reply, header_value, refusal, version_of, xml_reply};
use crate::body::{is_vouched_for, read_small};
use crate::clock;
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, CallBody, Reply, S3Gateway};
use crate::headers::{self, parse_etag};
use crate::names;
use crate::operation::Operation;
use crate::xml::{self, Node, XmlWriter};
use http::StatusCode;
use http::header::HeaderValue;
use ringfort_object::{
    DeleteDone, DeleteItem, DeleteOptions, ETagMatch, GetOptions, ObjectError, ObjectPath, VersionId,
    WriteConditions,
};

/// Most keys of one request.
pub(super) const KEYS_MAX: usize = 1000;

impl S3Gateway {
    pub(crate) async fn delete_object(&self, call: &Call) -> Reply {
        let head = &call.parts.headers;
        let wanted = Wanted {
            size: headers::text(head, "x-amz-if-match-size")?.map(read_size).transpose()?,
            modified_s: headers::text(head, "x-amz-if-match-last-modified-time")?
                .map(read_time)
                .transpose()?,
        };
        let conditions = WriteConditions { if_none_match: None, ..headers::write_conditions(head)? };
        let must_exist = conditions.if_match.is_some();
        let version = version_of(&call.query)?;
        let mut options = DeleteOptions { version, conditions, unchanged: None };
        self.narrow(call, &call.key, &mut options, wanted).await?;
        let deleted = self.inner.objects.delete(&call.path(), options).await;
        let done = match deleted {
            Ok(done) => done,
            // Deleting what is not there is done.
            Err(ObjectError::NoSuchKey | ObjectError::NoSuchVersion) if !must_exist => DeleteDone::default(),
            Err(error) => return Err(super::put::write_refusal(refusal(error, call), must_exist, call)),
        };
        let mut response = empty_reply(StatusCode::NO_CONTENT);
        let out = response.headers_mut();
        if let Some(version) = done.version {
            out.insert(VERSION_ID, header_value(version));
        }
        if done.delete_marker {
            out.insert(DELETE_MARKER, HeaderValue::from_static("true"));
        }
        Ok(response)
    }

    pub(crate) async fn delete_objects(&self, call: &Call, body: CallBody) -> Reply {
        let head = &call.parts.headers;
        if !is_vouched_for(head, &body.payload)? {
            return Err(S3Error::with(
                ErrorCode::InvalidRequest,
                "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
            ));
        }
        let document = read_small(head, body.payload, body.body, self.inner.config.xml_bytes_max).await?;
        if document.is_empty() {
            return Err(ErrorCode::MissingRequestBodyError.into());
        }
        let (mut asked, quiet) = read_document(&document)?;
        let answers = self.delete_asked(call, &mut asked).await?;
        Ok(xml_reply(result_xml(&asked, &answers, quiet)))
    }

    /// Makes a delete one of what is there now, which must be as wanted. What is not there is left to the delete itself.
    async fn narrow(
        &self,
        call: &Call,
        key: &str,
        options: &mut DeleteOptions,
        wanted: Wanted,
    ) -> Result<(), S3Error> {
        let tagged = matches!(&options.conditions.if_match, Some(ETagMatch::OneOf(_)));
        if wanted.is_empty() && !(tagged && options.version.is_none()) {
            return Ok(());
        }
        let at = ObjectPath::new(call.account(), call.bucket.as_str(), key);
        let of = GetOptions { version: options.version, ..GetOptions::default() };
        let info = match self.inner.objects.head(&at, of).await {
            Ok(info) => info,
            Err(ObjectError::NoSuchKey | ObjectError::NoSuchVersion) => return Ok(()),
            // It is there, and is nothing that has a tag, a size or a time that anybody could know of.
            Err(ObjectError::DeleteMarker { .. }) => return Err(ErrorCode::PreconditionFailed.into()),
            Err(error) => return Err(refusal(error, call)),
        };
        let named = match &options.conditions.if_match {
            Some(ETagMatch::OneOf(tags)) => tags.contains(&info.etag),
            Some(ETagMatch::Any) | None => true,
        };
        if wanted.is_empty() {
            // The tag is compared by the delete itself.
            return Ok(());
        }
        if !named || !wanted.is(info.size, info.modified.secs()) {
            return Err(ErrorCode::PreconditionFailed.into());
        }
        match options.version {
            // The same tag is the same bytes, so what is deleted has the size; and a version keeps its time.
            Some(_) => options.conditions.if_match = Some(ETagMatch::OneOf(vec![info.etag])),
            None => options.unchanged = Some((info.version, info.modified)),
        }
        Ok(())
    }

    async fn admit_to_key(&self, call: &Call, item: &DeleteItem) -> Result<(), S3Error> {
        let (operation, version) = (Operation::DeleteObject, item.options.version);
        let home = call.home()?;
        self.admit_to_object(operation, call, home, &call.bucket, &item.key, version.is_some(), version).await
    }

    /// One answer per key asked; those that cannot be keys are answered here.
    async fn delete_asked(
        &self,
        call: &Call,
        asked: &mut [Asked],
    ) -> Result<Vec<Result<DeleteDone, S3Error>>, S3Error> {
        for asked in asked.iter_mut() {
            let Ok(item) = &mut asked.item else { continue };
            let mut admitted = self.admit_to_key(call, item).await;
            if admitted.is_ok() {
                admitted = self.narrow(call, &asked.key, &mut item.options, asked.wanted).await;
            }
            if let Err(error) = admitted {
                asked.item = Err(error);
            }
        }
        let items = asked.iter().filter_map(|asked| asked.item.as_ref().ok().cloned()).collect();
        let deleted = self.inner.objects.delete_many(call.account(), &call.bucket, items).await;
        let mut deleted = deleted.map_err(|e| refusal(e, call))?.into_iter();
        let answer = |asked: &Asked| match &asked.item {
            Err(error) => Err(error.clone()),
            Ok(_) => match deleted.next() {
                Some(Err(ObjectError::NoSuchKey | ObjectError::NoSuchVersion)) => Ok(DeleteDone::default()),
                Some(done) => done.map_err(|e| refusal(e, call)),
                None => Err(ErrorCode::InternalError.into()),
            },
        };
        Ok(asked.iter().map(answer).collect())
    }
}

/// What the object to be deleted must have, beside its tag.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    size: Option<u64>,
    /// Seconds since the Unix epoch.
    modified_s: Option<u64>,
}

impl Wanted {
    const fn is_empty(self) -> bool {
        self.size.is_none() && self.modified_s.is_none()
    }

    fn is(self, size: u64, modified_s: u64) -> bool {
        self.size.is_none_or(|wanted| wanted == size)
            && self.modified_s.is_none_or(|wanted| wanted == modified_s)
    }
}

fn read_time(text: &str) -> Result<u64, S3Error> {
    clock::parse_time(text.trim())
        .ok_or_else(|| S3Error::argument("x-amz-if-match-last-modified-time", text, "The time is none."))
}

fn read_size(text: &str) -> Result<u64, S3Error> {
    text.parse()
        .map_err(|_| S3Error::argument("x-amz-if-match-size", text, "The size of the object is no number."))
}

/// What is to be deleted, and whether only failures shall be answered.
pub(super) fn read_document(document: &[u8]) -> Result<(Vec<Asked>, bool), S3Error> {
    let root = xml::parse(document, "Delete")?;
    let quiet = root.child_text("Quiet").is_some_and(|quiet| quiet.eq_ignore_ascii_case("true"));
    let asked = root.children.iter().filter(|child| child.name == "Object").map(Asked::read);
    let asked = asked.collect::<Result<Vec<_>, _>>()?;
    if asked.is_empty() || asked.len() > KEYS_MAX {
        return Err(ErrorCode::MalformedXML.into());
    }
    Ok((asked, quiet))
}

/// One `Object` of the request.
pub(super) struct Asked {
    key: String,
    version_text: Option<String>,
    wanted: Wanted,
    item: Result<DeleteItem, S3Error>,
}

impl Asked {
    fn read(node: &Node) -> Result<Self, S3Error> {
        let key = node.child_text("Key").ok_or(ErrorCode::MalformedXML)?.to_owned();
        let version_text = node.child_text("VersionId").filter(|text| !text.is_empty()).map(str::to_owned);
        let modified = node.child_text("LastModifiedTime");
        let modified_s = modified.map(|text| clock::parse_time(text.trim()).ok_or(ErrorCode::MalformedXML));
        let size = node.child_text("Size").map(|text| text.trim().parse()).transpose();
        let size = size.map_err(|_| S3Error::from(ErrorCode::MalformedXML))?;
        let item = Self::item(&key, version_text.as_deref(), node.child_text("ETag"));
        Ok(Self { key, version_text, wanted: Wanted { size, modified_s: modified_s.transpose()? }, item })
    }

    fn item(key: &str, version: Option<&str>, etag: Option<&str>) -> Result<DeleteItem, S3Error> {
        names::check_key(key)?;
        let version: Option<VersionId> =
            version.map(str::parse).transpose().map_err(|_| S3Error::from(ErrorCode::NoSuchVersion))?;
        let if_match = etag.map(|tag| match tag {
            "*" => ETagMatch::Any,
            tag => ETagMatch::OneOf(parse_etag(tag).into_iter().collect()),
        });
        let conditions = WriteConditions { if_match, if_none_match: None };
        Ok(DeleteItem {
            key: key.to_owned(),
            options: DeleteOptions { version, conditions, unchanged: None },
        })
    }
}

fn result_xml(asked: &[Asked], answers: &[Result<DeleteDone, S3Error>], quiet: bool) -> String {
    const ROOT: &str = "DeleteResult";
    let mut xml = XmlWriter::root(ROOT, 256 + asked.len() * 160);
    for (asked, answer) in asked.iter().zip(answers) {
        match answer {
            Ok(_) if quiet => {}
            Ok(done) => {
                xml.open("Deleted");
                xml.name("Key", &asked.key);
                xml.text_if("VersionId", asked.version_text.as_deref());
                if let (true, Some(version)) = (done.delete_marker, done.version) {
                    xml.plain("DeleteMarker", true);
                    xml.plain("DeleteMarkerVersionId", version);
                }
                xml.close("Deleted");
            }
            Err(error) => {
                xml.open("Error");
                xml.name("Key", &asked.key);
                xml.text_if("VersionId", asked.version_text.as_deref());
                xml.text("Code", error.code().name());
                xml.text("Message", error.message());
                xml.close("Error");
            }
        }
    }
    xml.finish(ROOT)
}
