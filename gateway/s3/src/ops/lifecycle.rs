//! Lifecycle rules of a bucket: read strictly, kept as XML, and given back with an id each. Beside them they are kept in the
//! object layer's form, which carries them out.

use super::{empty_reply, xml_reply};
use crate::access::setting;
use crate::clock;
use crate::error::{ErrorCode, S3Error};
use crate::gateway::{Call, CallBody, Reply, S3Gateway};
use crate::xml::{self, Node, XmlWriter};
use http::StatusCode;
use ringfort_object::{
    Expiration, LIFECYCLE_ENTRY, LifecycleFilter, LifecycleRule, LifecycleRules, NoncurrentExpiration,
};

const RULES_MAX: usize = 1000;
const ID_CHARS_MAX: usize = 255;
const ROOT: &str = "LifecycleConfiguration";
/// What a rule does, and what each of its elements may hold.
const ACTIONS: [(&str, &[&str]); 3] = [
    ("Expiration", &["Days", "Date", "ExpiredObjectDeleteMarker"]),
    ("NoncurrentVersionExpiration", &["NoncurrentDays", "NewerNoncurrentVersions"]),
    ("AbortIncompleteMultipartUpload", &["DaysAfterInitiation"]),
];
const CONDITIONS: [&str; 4] = ["Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan"];

impl S3Gateway {
    pub(crate) fn get_bucket_lifecycle(&self, call: &Call) -> Reply {
        let text = call.home()?.settings.get(setting::LIFECYCLE);
        let text = text.ok_or_else(|| {
            S3Error::from(ErrorCode::NoSuchLifecycleConfiguration).detail("BucketName", &call.bucket)
        })?;
        Ok(xml_reply(text.to_owned()))
    }

    pub(crate) async fn put_bucket_lifecycle(&self, call: &Call, body: CallBody) -> Reply {
        let document = self.document_of(call, body).await?;
        let (kept, rules) = read_rules(&document)?;
        let settings = vec![(setting::LIFECYCLE, Some(kept)), (LIFECYCLE_ENTRY, Some(rules.encode()))];
        self.set_settings(call, settings).await?;
        Ok(empty_reply(StatusCode::OK))
    }

    pub(crate) async fn delete_bucket_lifecycle(&self, call: &Call) -> Reply {
        if call.home()?.settings.get(setting::LIFECYCLE).is_some() {
            self.set_settings(call, vec![(setting::LIFECYCLE, None), (LIFECYCLE_ENTRY, None)]).await?;
        }
        Ok(empty_reply(StatusCode::NO_CONTENT))
    }
}

fn malformed() -> S3Error {
    ErrorCode::MalformedXML.into()
}

/// Checks a configuration, and gives the document to keep and what it means.
pub(crate) fn read_rules(document: &[u8]) -> Result<(String, LifecycleRules), S3Error> {
    let root = xml::parse(document, ROOT)?;
    if root.children.is_empty() || root.children.len() > RULES_MAX {
        return Err(malformed());
    }
    let mut rules: Vec<LifecycleRule> = Vec::new();
    let mut xml = XmlWriter::root(ROOT, document.len() + 128 * root.children.len());
    for (at, rule) in root.children.iter().enumerate() {
        if rule.name != "Rule" {
            return Err(malformed());
        }
        check_rule(rule)?;
        let id = match rule.child_text("ID").filter(|id| !id.is_empty()) {
            Some(id) if id.chars().count() > ID_CHARS_MAX => {
                return Err(S3Error::argument("ID", id, "ID length should not exceed allowed limit of 255"));
            }
            Some(id) => id.to_owned(),
            None => format!("rule-{}", at + 1),
        };
        if rules.iter().any(|other| other.id == id) {
            return Err(S3Error::argument(
                "ID",
                &id,
                "Rule ID must be unique. Found same ID for more than one rule",
            ));
        }
        xml.open("Rule");
        xml.text("ID", &id);
        rule.children.iter().filter(|child| child.name != "ID").for_each(|child| push(&mut xml, child));
        xml.close("Rule");
        rules.push(meaning(rule, id)?);
    }
    Ok((xml.finish(ROOT), LifecycleRules { rules }))
}

/// What a rule that was checked means.
fn meaning(rule: &Node, id: String) -> Result<LifecycleRule, S3Error> {
    let number = |action: &str, element: &str| -> Result<Option<u32>, S3Error> {
        let text = rule.child(action).and_then(|action| action.child_text(element));
        text.map(|text| text.trim().parse().map_err(|_| malformed())).transpose()
    };
    let expiration = rule.child("Expiration");
    let date = expiration.and_then(|action| action.child_text("Date"));
    let lone = expiration.and_then(|action| action.child_text("ExpiredObjectDeleteMarker"));
    let newest_kept = number("NoncurrentVersionExpiration", "NewerNoncurrentVersions")?.unwrap_or(0);
    let noncurrent = match (
        rule.child("NoncurrentVersionExpiration"),
        number("NoncurrentVersionExpiration", "NoncurrentDays")?,
    ) {
        (None, _) => None,
        (Some(_), Some(days)) => Some(NoncurrentExpiration { days, newest_kept }),
        (Some(_), None) => return Err(malformed()),
    };
    Ok(LifecycleRule {
        id,
        enabled: rule.child_text("Status") == Some("Enabled"),
        filter: filter_of(rule)?,
        expiration: match (number("Expiration", "Days")?, date) {
            (Some(days), _) => Some(Expiration::Days(days)),
            (None, Some(text)) => Some(Expiration::Date(read_date(text.trim())?)),
            (None, None) => None,
        },
        expired_delete_markers: lone.is_some_and(|text| text.trim() == "true"),
        noncurrent,
        abort_uploads_days: number("AbortIncompleteMultipartUpload", "DaysAfterInitiation")?,
    })
}

fn filter_of(rule: &Node) -> Result<LifecycleFilter, S3Error> {
    let mut meant = LifecycleFilter::default();
    let Some(filter) = rule.child("Filter") else {
        meant.prefix = rule.child_text("Prefix").unwrap_or_default().to_owned();
        return Ok(meant);
    };
    for condition in &filter.child("And").unwrap_or(filter).children {
        let number = || condition.text.trim().parse().map(Some).map_err(|_| malformed());
        let text = |name| condition.child_text(name).unwrap_or_default().to_owned();
        match condition.name.as_str() {
            "Prefix" => meant.prefix.clone_from(&condition.text),
            "Tag" => meant.tags.push((text("Key"), text("Value"))),
            "ObjectSizeGreaterThan" => meant.larger_than = number()?,
            "ObjectSizeLessThan" => meant.smaller_than = number()?,
            _ => return Err(malformed()),
        }
    }
    Ok(meant)
}

fn push(xml: &mut XmlWriter, node: &Node) {
    xml.open(&node.name);
    if node.children.is_empty() {
        xml.content(&node.text);
    }
    node.children.iter().for_each(|child| push(xml, child));
    xml.close(&node.name);
}

fn check_rule(rule: &Node) -> Result<(), S3Error> {
    if !matches!(rule.child_text("Status"), Some("Enabled" | "Disabled")) {
        return Err(malformed());
    }
    let (prefix, filter) = (rule.child("Prefix"), rule.child("Filter"));
    match (prefix, filter) {
        (Some(_), Some(_)) | (None, None) => return Err(malformed()),
        (None, Some(filter)) => check_filter(filter)?,
        (Some(_), None) => {}
    }
    let mut acts = false;
    for (at, child) in rule.children.iter().enumerate() {
        let name = child.name.as_str();
        if rule.children[..at].iter().any(|other| other.name == name) {
            return Err(malformed());
        }
        match name {
            "ID" | "Status" | "Prefix" | "Filter" => {}
            "Transition" | "NoncurrentVersionTransition" => {
                child.child_text("Date").map(|date| read_date(date.trim())).transpose()?;
                return Err(S3Error::not_implemented(name));
            }
            _ => {
                let known = ACTIONS.iter().find(|(action, _)| *action == name);
                let (_, elements) = known.ok_or_else(malformed)?;
                check_action(child, elements)?;
                acts = true;
            }
        }
    }
    if acts {
        Ok(())
    } else {
        Err(S3Error::with(ErrorCode::InvalidRequest, "At least one action needs to be specified in a rule"))
    }
}

fn check_filter(filter: &Node) -> Result<(), S3Error> {
    let conditions = match &filter.children[..] {
        [] => return Ok(()),
        [and] if and.name == "And" => &and.children,
        [_] => &filter.children,
        _ => return Err(malformed()),
    };
    for condition in conditions {
        let good = match condition.name.as_str() {
            "Prefix" => true,
            "Tag" => condition.child_text("Key").is_some() && condition.child_text("Value").is_some(),
            name => CONDITIONS.contains(&name) && condition.text.trim().parse::<u64>().is_ok(),
        };
        if !good {
            return Err(malformed());
        }
    }
    Ok(())
}

fn check_action(action: &Node, elements: &[&str]) -> Result<(), S3Error> {
    if action.children.is_empty() {
        return Err(malformed());
    }
    for child in &action.children {
        let (name, text) = (child.name.as_str(), child.text.trim());
        if !elements.contains(&name) {
            return Err(malformed());
        }
        match name {
            "ExpiredObjectDeleteMarker" if matches!(text, "true" | "false") => {}
            "ExpiredObjectDeleteMarker" => return Err(malformed()),
            "Date" => {
                read_date(text)?;
            }
            _ => {
                let days: i64 = text.parse().map_err(|_| malformed())?;
                if days < 1 || days > i64::from(i32::MAX) {
                    let message = format!("'{name}' for {} action must be a positive integer", action.name);
                    return Err(S3Error::argument("Days", text, message));
                }
            }
        }
    }
    let only_one = ["Days", "Date", "ExpiredObjectDeleteMarker"];
    if action.children.iter().filter(|child| only_one.contains(&child.name.as_str())).count() > 1 {
        return Err(malformed());
    }
    Ok(())
}

/// Seconds since the epoch of a midnight of GMT in ISO 8601.
fn read_date(text: &str) -> Result<u64, S3Error> {
    let day = text.get(..10).filter(|day| day.as_bytes()[4] == b'-' && day.as_bytes()[7] == b'-');
    let day = day.ok_or_else(malformed)?;
    let stamp = format!("{}T000000Z", day.replace('-', ""));
    let seconds = clock::parse_amz_date(&stamp).ok_or_else(malformed)?;
    if !matches!(&text[10..], "" | "T00:00:00Z" | "T00:00:00.000Z" | "T00:00:00+00:00") {
        return Err(S3Error::argument("Date", text, "'Date' must be at midnight GMT"));
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rules: &str) -> Result<(String, LifecycleRules), ErrorCode> {
        let document = format!("<{ROOT}>{rules}</{ROOT}>");
        read_rules(document.as_bytes()).map_err(|error| error.code())
    }

    #[test]
    fn rules_are_kept_and_get_an_id() {
        let rule = "<Rule><Filter><And><Prefix>a&amp;b</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>\
            <Status>Enabled</Status><Expiration><Days>3</Days></Expiration></Rule>";
        let (kept, rules) = read(rule).expect("kept");
        let filter = LifecycleFilter {
            prefix: "a&b".to_owned(),
            tags: vec![("k".to_owned(), "v".to_owned())],
            ..LifecycleFilter::default()
        };
        let meant = LifecycleRule {
            id: "rule-1".to_owned(),
            enabled: true,
            filter,
            expiration: Some(Expiration::Days(3)),
            ..LifecycleRule::default()
        };
        assert_eq!(rules.rules, [meant]);
        assert!(kept.contains("<ID>rule-1</ID><Filter><And><Prefix>a&amp;b</Prefix><Tag>"), "{kept}");
        assert_eq!(read_rules(kept.as_bytes()).expect("again"), (kept, rules));
    }

    #[test]
    fn bad_rules_are_refused() {
        let rule =
            |inner: &str| read(&format!("<Rule><Prefix/><Status>Enabled</Status>{inner}</Rule>")).map(|_| ());
        let days = |days: &str| rule(&format!("<Expiration><Days>{days}</Days></Expiration>"));
        let date = |date: &str| rule(&format!("<Expiration><Date>{date}</Date></Expiration>"));
        assert_eq!(days("1"), Ok(()));
        assert_eq!(days("0"), Err(ErrorCode::InvalidArgument));
        assert_eq!(days("x"), Err(ErrorCode::MalformedXML));
        assert_eq!(date("2017-09-27"), Ok(()));
        assert_eq!(date("20200101"), Err(ErrorCode::MalformedXML));
        assert_eq!(date("2017-09-27T10:00:00Z"), Err(ErrorCode::InvalidArgument));
        assert_eq!(date("2017-09-2\u{e4}"), Err(ErrorCode::MalformedXML));
        assert_eq!(rule(""), Err(ErrorCode::InvalidRequest));
        let newer = "<NewerNoncurrentVersions>1</NewerNoncurrentVersions>";
        let noncurrent = |inner: &str| {
            rule(&format!("<NoncurrentVersionExpiration>{inner}</NoncurrentVersionExpiration>"))
        };
        assert_eq!(noncurrent(newer), Err(ErrorCode::MalformedXML));
        assert_eq!(noncurrent(&format!("<NoncurrentDays>1</NoncurrentDays>{newer}")), Ok(()));
        assert_eq!(rule("<Transition><Days>1</Days></Transition>"), Err(ErrorCode::NotImplemented));
        assert_eq!(read(""), Err(ErrorCode::MalformedXML));
        let id = |id: &str| format!("<ID>{id}</ID><Expiration><Days>1</Days></Expiration>");
        assert_eq!(rule(&id(&"i".repeat(256))), Err(ErrorCode::InvalidArgument));
        let one = format!("<Rule><Prefix/><Status>Enabled</Status>{}</Rule>", id("x"));
        assert_eq!(read(&format!("{one}{one}")), Err(ErrorCode::InvalidArgument));
        assert_eq!(read(&one.replace("Enabled", "enabled")), Err(ErrorCode::MalformedXML));
    }
}
