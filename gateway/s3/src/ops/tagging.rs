//! Tags of buckets and objects.

use super::{empty_reply, push_version, refusal, version_of, xml_reply};
use crate::access::setting;
use crate::body::read_small;
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, CallBody, Reply, S3Gateway};
use crate::headers;
use crate::target::{Query, STRICT};
use crate::xml::{self, Node, XmlWriter};
use http::{HeaderMap, StatusCode};
use percent_encoding::utf8_percent_encode;
use ringfort_object::{Attributes, GetOptions, OBJECT_TAGS_HEADER, ObjectError, UpdateOptions};

const OBJECT_TAGS_MAX: usize = 10;
const BUCKET_TAGS_MAX: usize = 50;

pub(crate) type Tags = Vec<(String, String)>;

/// The tags of an object.
pub(crate) fn tags_of(attributes: &Attributes) -> Tags {
    let kept = attributes.headers.iter().find(|(name, _)| name == OBJECT_TAGS_HEADER);
    kept.and_then(|(_, text)| decode(text).ok()).unwrap_or_default()
}

/// The value of `x-amz-tagging` for the document in a form's `tagging` field.
pub(super) fn header_of_document(document: &str) -> Result<String, S3Error> {
    read_document(document.as_bytes(), OBJECT_TAGS_MAX).map(|tags| encode(&tags))
}

/// The tags that `x-amz-tagging` gives a new object.
pub(crate) fn tags_of_header(head: &HeaderMap) -> Result<Tags, S3Error> {
    let Some(text) = headers::text(head, "x-amz-tagging")? else { return Ok(Tags::new()) };
    let refused = |_| {
        S3Error::argument(
            "x-amz-tagging",
            text,
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
        )
    };
    let tags = decode(text).map_err(refused)?;
    check(&tags, OBJECT_TAGS_MAX)?;
    Ok(tags)
}

/// Adds the tags that the header asks for to what is kept with a new object.
pub(super) fn add_tags(attributes: &mut Attributes, head: &HeaderMap) -> Result<(), S3Error> {
    set_tags(attributes, &tags_of_header(head)?);
    Ok(())
}

fn set_tags(attributes: &mut Attributes, tags: &Tags) {
    attributes.headers.retain(|(name, _)| name != OBJECT_TAGS_HEADER);
    if !tags.is_empty() {
        attributes.headers.push((OBJECT_TAGS_HEADER.to_owned(), encode(tags)));
    }
}

impl S3Gateway {
    pub(crate) fn get_bucket_tagging(&self, call: &Call) -> Reply {
        let text = call.home()?.settings.get(setting::TAGGING);
        let tags = text.map(decode).transpose()?;
        let tags =
            tags.ok_or_else(|| S3Error::from(ErrorCode::NoSuchTagSet).detail("BucketName", &call.bucket))?;
        Ok(xml_reply(document(&tags)))
    }

    pub(crate) async fn put_bucket_tagging(&self, call: &Call, body: CallBody) -> Reply {
        let bytes_max = self.inner.config.xml_bytes_max;
        let document = read_small(&call.parts.headers, body.payload, body.body, bytes_max).await?;
        let tags = read_document(&document, BUCKET_TAGS_MAX)?;
        self.set_setting(call, setting::TAGGING, encode(&tags)).await?;
        Ok(empty_reply(StatusCode::NO_CONTENT))
    }

    pub(crate) async fn get_object_tagging(&self, call: &Call) -> Reply {
        let options = GetOptions { version: version_of(&call.query)?, ..GetOptions::default() };
        let info = self.inner.objects.head(&call.path(), options).await.map_err(|e| refusal(e, call))?;
        let mut response = xml_reply(document(&tags_of(&info.attributes)));
        push_version(response.headers_mut(), info.version, info.versioning);
        Ok(response)
    }

    pub(crate) async fn put_object_tagging(&self, call: &Call, body: CallBody) -> Reply {
        let document = self.document_of(call, body).await?;
        let tags = read_document(&document, OBJECT_TAGS_MAX)?;
        self.change_tags(call, tags, StatusCode::OK).await
    }

    pub(crate) async fn delete_object_tagging(&self, call: &Call) -> Reply {
        self.change_tags(call, Tags::new(), StatusCode::NO_CONTENT).await
    }

    async fn change_tags(&self, call: &Call, tags: Tags, status: StatusCode) -> Reply {
        let options = UpdateOptions { version: version_of(&call.query)?, ..UpdateOptions::default() };
        let change = move |attributes: &mut Attributes| {
            set_tags(attributes, &tags);
            Ok::<_, ObjectError>(())
        };
        let changed = self.inner.objects.update_attributes(&call.path(), options, change).await;
        let info = changed.map_err(|e| refusal(e, call))?;
        let mut response = empty_reply(status);
        push_version(response.headers_mut(), info.version, info.versioning);
        Ok(response)
    }
}

pub(super) fn read_document(document: &[u8], max: usize) -> Result<Tags, S3Error> {
    if document.is_empty() {
        return Err(ErrorCode::MissingRequestBodyError.into());
    }
    let root = xml::parse(document, "Tagging")?;
    let set = root.child("TagSet").ok_or(ErrorCode::MalformedXML)?;
    let tags = set.children.iter().map(read_tag).collect::<Result<Tags, _>>()?;
    check(&tags, max)?;
    Ok(tags)
}

fn read_tag(node: &Node) -> Result<(String, String), S3Error> {
    match (node.name.as_str(), node.child_text("Key"), node.child_text("Value")) {
        ("Tag", Some(key), Some(value)) => Ok((key.to_owned(), value.to_owned())),
        _ => Err(ErrorCode::MalformedXML.into()),
    }
}

fn check(tags: &Tags, max: usize) -> Result<(), S3Error> {
    let refused = |message: &'static str| Err(S3Error::with(ErrorCode::InvalidTag, message));
    if tags.len() > max {
        return refused("Object tags cannot be greater than the maximum number allowed");
    }
    for (at, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() || key.chars().count() > 128 {
            return refused("The TagKey you have provided is invalid");
        }
        if value.chars().count() > 256 {
            return refused("The TagValue you have provided is invalid");
        }
        if tags[..at].iter().any(|(other, _)| other == key) {
            return refused("Cannot provide multiple Tags with the same key");
        }
        if key.chars().chain(value.chars()).any(char::is_control) {
            return refused("The tag holds a control character");
        }
    }
    Ok(())
}

fn encode(tags: &Tags) -> String {
    let strict = |text: &str| utf8_percent_encode(text, STRICT).to_string();
    let pairs: Vec<String> =
        tags.iter().map(|(key, value)| format!("{}={}", strict(key), strict(value))).collect();
    pairs.join("&")
}

fn decode(text: &str) -> Result<Tags, S3Error> {
    let query = Query::parse(text, false)?;
    Ok(query.pairs().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

/// The document of tags, in the order of their names.
fn document(tags: &Tags) -> String {
    const ROOT: &str = "Tagging";
    let mut tags: Vec<_> = tags.iter().collect();
    tags.sort();
    let mut xml = XmlWriter::root(ROOT, 64 + tags.len() * 80);
    xml.open("TagSet");
    for (key, value) in tags {
        xml.open("Tag");
        xml.text("Key", key);
        xml.text("Value", value);
        xml.close("Tag");
    }
    xml.close("TagSet");
    xml.finish(ROOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_back() {
        let tags = vec![("a b&=".to_owned(), "ü+%".to_owned()), ("x".to_owned(), String::new())];
        assert_eq!(decode(&encode(&tags)).expect("decoded"), tags);
        assert_eq!(read_document(document(&tags).as_bytes(), 10).expect("read"), tags);
    }

    #[test]
    fn limits() {
        let tag = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
        let code = |tags: &Tags| check(tags, 2).err().map(|error| error.code());
        assert_eq!(code(&tag(&"k".repeat(128), &"v".repeat(256))), None);
        for bad in [
            tag(&"k".repeat(129), ""),
            tag("", ""),
            tag("k", &"v".repeat(257)),
            [tag("k", "1"), tag("k", "2")].concat(),
            [tag("a", ""), tag("b", ""), tag("c", "")].concat(),
        ] {
            assert_eq!(code(&bad), Some(ErrorCode::InvalidTag), "{bad:?}");
        }
    }
}
