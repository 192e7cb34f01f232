//! Access control lists: who owns a bucket or object, and whom the owner let in.

use super::Requester;
use crate::error::{ErrorCode, S3Error};
use crate::headers;
use crate::xml::{self, Node, XmlWriter};
use http::HeaderMap;

/// Most grants of one list, as AWS has it.
const GRANTS_MAX: usize = 100;
const GROUPS: &str = "http://acs.amazonaws.com/groups/";

/// What a grant allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    Read,
    Write,
    ReadAcp,
    WriteAcp,
    FullControl,
}

impl Permission {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Read, "READ"),
        (Self::Write, "WRITE"),
        (Self::ReadAcp, "READ_ACP"),
        (Self::WriteAcp, "WRITE_ACP"),
        (Self::FullControl, "FULL_CONTROL"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(permission, _)| *permission == self).map_or("", |(_, name)| name)
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(permission, _)| *permission)
    }
}

/// An account as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) id: String,
    pub(crate) name: String,
}

impl Owner {
    pub(crate) fn to_text(&self) -> String {
        format!("{}\t{}", self.id, self.name)
    }

    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let (id, name) = text.split_once('\t')?;
        Some(Self { id: id.to_owned(), name: name.to_owned() })
    }
}

/// Whom a grant names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grantee {
    Account(Owner),
    AllUsers,
    AuthenticatedUsers,
    LogDelivery,
}

impl Grantee {
    const GROUPS: [(Self, &'static str); 3] = [
        (Self::AllUsers, "global/AllUsers"),
        (Self::AuthenticatedUsers, "global/AuthenticatedUsers"),
        (Self::LogDelivery, "s3/LogDelivery"),
    ];

    fn group(uri: &str) -> Option<Self> {
        let name = uri.strip_prefix(GROUPS)?;
        Self::GROUPS.into_iter().find(|(_, known)| *known == name).map(|(group, _)| group)
    }

    fn group_name(&self) -> &'static str {
        Self::GROUPS.iter().find(|(group, _)| group == self).map_or("", |(_, name)| name)
    }

    fn covers(&self, requester: &Requester) -> bool {
        match self {
            Self::AllUsers => true,
            Self::AuthenticatedUsers => requester.id().is_some(),
            Self::LogDelivery => false,
            Self::Account(owner) => requester.id() == Some(owner.id.as_str()),
        }
    }

    fn is_group(&self) -> bool {
        !matches!(self, Self::Account(_))
    }

    fn is_public(&self) -> bool {
        matches!(self, Self::AllUsers | Self::AuthenticatedUsers)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) grantee: Grantee,
    pub(crate) permission: Permission,
}

/// A list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acl {
    pub(crate) owner: Owner,
    pub(crate) grants: Vec<Grant>,
}

impl Acl {
    /// The owner and nobody else.
    pub(crate) fn private(owner: Owner) -> Self {
        let grant = Grant { grantee: Grantee::Account(owner.clone()), permission: Permission::FullControl };
        Self { owner, grants: vec![grant] }
    }

    /// A canned list; `bucket_owner` is that of the bucket around an object.
    pub(crate) fn canned(name: &str, owner: Owner, bucket_owner: Option<&Owner>) -> Result<Self, S3Error> {
        let mut acl = Self::private(owner);
        // Groups come first, as AWS lists them.
        let mut add = |grantee: Grantee, permission| {
            let at = acl.grants.len() - usize::from(grantee.is_group());
            acl.grants.insert(at, Grant { grantee, permission });
        };
        match (name, bucket_owner) {
            ("private", _) | ("bucket-owner-read" | "bucket-owner-full-control", None) => {}
            ("public-read", _) => add(Grantee::AllUsers, Permission::Read),
            ("public-read-write", _) => {
                add(Grantee::AllUsers, Permission::Read);
                add(Grantee::AllUsers, Permission::Write);
            }
            ("authenticated-read", _) => add(Grantee::AuthenticatedUsers, Permission::Read),
            ("log-delivery-write", None) => {
                add(Grantee::LogDelivery, Permission::Write);
                add(Grantee::LogDelivery, Permission::ReadAcp);
            }
            ("bucket-owner-read", Some(of)) if *of != acl.owner => {
                add(Grantee::Account(of.clone()), Permission::Read);
            }
            ("bucket-owner-full-control", Some(of)) if *of != acl.owner => {
                add(Grantee::Account(of.clone()), Permission::FullControl);
            }
            ("bucket-owner-read" | "bucket-owner-full-control", Some(_)) => {}
            _ => return Err(S3Error::argument("x-amz-acl", name, "The canned ACL is not known.")),
        }
        Ok(acl)
    }

    /// The list that the headers of a request ask for, if they do.
    pub(crate) fn from_headers(
        head: &HeaderMap,
        owner: &Owner,
        bucket_owner: Option<&Owner>,
    ) -> Result<Option<Self>, S3Error> {
        let canned = headers::text(head, "x-amz-acl")?;
        let mut grants = Vec::new();
        for (header, permission) in [
            ("x-amz-grant-read", Permission::Read),
            ("x-amz-grant-write", Permission::Write),
            ("x-amz-grant-read-acp", Permission::ReadAcp),
            ("x-amz-grant-write-acp", Permission::WriteAcp),
            ("x-amz-grant-full-control", Permission::FullControl),
        ] {
            let Some(text) = headers::text(head, header)? else { continue };
            for one in text.split(',') {
                grants.push(Grant { grantee: read_header_grantee(header, one.trim())?, permission });
            }
        }
        match (canned, grants.is_empty()) {
            (None, true) => Ok(None),
            (Some(name), true) => Self::canned(name, owner.clone(), bucket_owner).map(Some),
            (None, false) if grants.len() <= GRANTS_MAX => Ok(Some(Self { owner: owner.clone(), grants })),
            (None, false) => Err(ErrorCode::MalformedACLError.into()),
            (Some(_), false) => Err(S3Error::with(
                ErrorCode::InvalidRequest,
                "Specifying both Canned ACLs and Header Grants is not allowed",
            )),
        }
    }

    /// The list of an AccessControlPolicy. The owner stays who it is: naming another one is refused.
    pub(crate) fn from_xml(document: &[u8], owner: &Owner) -> Result<Self, S3Error> {
        let malformed = || S3Error::from(ErrorCode::MalformedACLError);
        let root = xml::parse(document, "AccessControlPolicy").map_err(|_| malformed())?;
        let named = root.child("Owner").and_then(|owner| owner.child_text("ID"));
        if named.is_some_and(|id| id != owner.id) {
            return Err(ErrorCode::AccessDenied.into());
        }
        let list = root.child("AccessControlList").ok_or_else(malformed)?;
        if list.children.len() > GRANTS_MAX {
            return Err(malformed());
        }
        let grants = list.children.iter().map(read_grant).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { owner: owner.clone(), grants })
    }

    /// As it is kept.
    pub(crate) fn to_text(&self) -> String {
        let mut text = self.owner.to_text();
        for grant in &self.grants {
            let grantee = match &grant.grantee {
                Grantee::Account(owner) => format!("id\t{}", owner.to_text()),
                group => format!("group\t{}", group.group_name()),
            };
            text.push_str(&format!("\n{}\t{grantee}", grant.permission.name()));
        }
        text
    }

    /// Reads what [`Self::to_text`] wrote.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let owner = Owner::of_text(lines.next()?)?;
        let grants = lines.map(|line| {
            let (permission, grantee) = line.split_once('\t')?;
            let grantee = match grantee.split_once('\t')? {
                ("id", owner) => Grantee::Account(Owner::of_text(owner)?),
                ("group", name) => {
                    Grantee::GROUPS.into_iter().find(|(_, known)| *known == name).map(|(group, _)| group)?
                }
                _ => return None,
            };
            Some(Grant { grantee, permission: Permission::parse(permission)? })
        });
        Some(Self { owner, grants: grants.collect::<Option<Vec<_>>>()? })
    }

    /// Writes it; `name_of` tells the name of an account by its id, where that is known.
    pub(crate) fn to_xml(&self, name_of: impl Fn(&str) -> Option<String>) -> String {
        const ROOT: &str = "AccessControlPolicy";
        let mut xml = XmlWriter::root(ROOT, 256 + self.grants.len() * 256);
        xml.person("Owner", &self.owner.id, &self.owner.name);
        xml.open("AccessControlList");
        let (groups, accounts): (Vec<_>, Vec<_>) =
            self.grants.iter().partition(|grant| grant.grantee.is_group());
        for grant in groups.into_iter().chain(accounts) {
            xml.open("Grant");
            let kind = match grant.grantee {
                Grantee::Account(_) => "CanonicalUser",
                _ => "Group",
            };
            xml.open(&format!(
                "Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"{kind}\""
            ));
            match &grant.grantee {
                Grantee::Account(owner) => {
                    xml.text("ID", &owner.id);
                    xml.text("DisplayName", name_of(&owner.id).as_ref().unwrap_or(&owner.name));
                }
                group => xml.text("URI", &format!("{GROUPS}{}", group.group_name())),
            }
            xml.close("Grantee");
            xml.text("Permission", grant.permission.name());
            xml.close("Grant");
        }
        xml.close("AccessControlList");
        xml.finish(ROOT)
    }

    /// Whether the list lets `requester` do what needs `wanted`. `public` is false where grants to everybody do not count.
    pub(crate) fn allows(&self, requester: &Requester, wanted: Permission, public: bool) -> bool {
        let owns = requester.id() == Some(self.owner.id.as_str());
        if owns && matches!(wanted, Permission::ReadAcp | Permission::WriteAcp) {
            // Whoever owns it can always give it back to themselves.
            return true;
        }
        self.grants.iter().any(|grant| {
            (grant.permission == wanted || grant.permission == Permission::FullControl)
                && grant.grantee.covers(requester)
                && (public || !grant.grantee.is_public())
        })
    }

    /// Whether everybody is let in.
    pub(crate) fn is_public(&self) -> bool {
        self.grants.iter().any(|grant| grant.grantee.is_public())
    }

    /// Whether nobody but the owner is let in.
    pub(crate) fn is_owner_only(&self) -> bool {
        self.grants.iter().all(|grant| matches!(&grant.grantee, Grantee::Account(of) if *of == self.owner))
    }
}

fn read_header_grantee(header: &'static str, text: &str) -> Result<Grantee, S3Error> {
    let refused = || S3Error::argument(header, text, "Argument format not recognized");
    let (kind, value) = text.split_once('=').ok_or_else(refused)?;
    let value = value.trim().trim_matches('"');
    match kind.trim() {
        "id" => read_id(value),
        "uri" => Grantee::group(value).ok_or_else(|| S3Error::argument(header, value, "Invalid group uri")),
        "emailAddress" => Err(ErrorCode::UnresolvableGrantByEmailAddress.into()),
        _ => Err(refused()),
    }
}

fn read_id(id: &str) -> Result<Grantee, S3Error> {
    let plain =
        !id.is_empty() && id.len() <= 128 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !plain {
        return Err(S3Error::argument("CanonicalUser/ID", id, "Invalid id"));
    }
    Ok(Grantee::Account(Owner { id: id.to_owned(), name: String::new() }))
}

fn read_grant(node: &Node) -> Result<Grant, S3Error> {
    let malformed = || S3Error::from(ErrorCode::MalformedACLError);
    let permission = node.child_text("Permission").and_then(Permission::parse).ok_or_else(malformed)?;
    let grantee = node.child("Grantee").ok_or_else(malformed)?;
    let get = |name| grantee.child_text(name).map(str::trim);
    let grantee = match (get("ID"), get("URI"), get("EmailAddress")) {
        (Some(id), None, None) => match read_id(id)? {
            Grantee::Account(owner) => {
                let name = get("DisplayName").unwrap_or_default().replace(['\t', '\n'], " ");
                Grantee::Account(Owner { name, ..owner })
            }
            group => group,
        },
        (None, Some(uri), None) => {
            Grantee::group(uri).ok_or_else(|| S3Error::argument("Group/URI", uri, "Invalid group uri"))?
        }
        (None, None, Some(_)) => return Err(ErrorCode::UnresolvableGrantByEmailAddress.into()),
        _ => return Err(malformed()),
    };
    Ok(Grant { grantee, permission })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(id: &str) -> Owner {
        Owner { id: id.to_owned(), name: format!("{id}'s name") }
    }

    #[test]
    fn canned_lists_come_back_as_text_and_xml() {
        for name in [
            "private",
            "public-read",
            "public-read-write",
            "authenticated-read",
            "bucket-owner-read",
            "bucket-owner-full-control",
        ] {
            let acl = Acl::canned(name, owner("a"), Some(&owner("b"))).expect(name);
            assert_eq!(Acl::of_text(&acl.to_text()).as_ref(), Some(&acl), "{name}");
            assert_eq!(
                Acl::from_xml(acl.to_xml(|_| None).as_bytes(), &owner("a")).expect(name),
                acl,
                "{name}"
            );
        }
        assert!(Acl::canned("nonsense", owner("a"), None).is_err());
    }

    #[test]
    fn bad_lists_are_refused() {
        let grant = |inner: &str| {
            let text = format!(
                "<AccessControlPolicy><Owner><ID>a</ID></Owner><AccessControlList>{inner}</AccessControlList></AccessControlPolicy>"
            );
            Acl::from_xml(text.as_bytes(), &owner("a")).map(|_| ()).map_err(|error| error.code())
        };
        let one = |grantee: &str, permission: &str| {
            grant(&format!(
                "<Grant><Grantee>{grantee}</Grantee><Permission>{permission}</Permission></Grant>"
            ))
        };
        assert_eq!(grant(""), Ok(()));
        assert_eq!(one("<ID>b</ID>", "READ"), Ok(()));
        assert_eq!(one("<ID>b</ID>", "EVERYTHING"), Err(ErrorCode::MalformedACLError));
        assert_eq!(one("<ID>_b</ID>", "READ"), Err(ErrorCode::InvalidArgument));
        assert_eq!(one("<URI>http://x</URI>", "READ"), Err(ErrorCode::InvalidArgument));
        assert_eq!(one("", "READ"), Err(ErrorCode::MalformedACLError));
        let email = one("<EmailAddress>a@b</EmailAddress>", "READ");
        assert_eq!(email, Err(ErrorCode::UnresolvableGrantByEmailAddress));
        let stolen = Acl::from_xml(
            b"<AccessControlPolicy><Owner><ID>b</ID></Owner><AccessControlList/></AccessControlPolicy>",
            &owner("a"),
        );
        assert_eq!(stolen.expect_err("another owner").code(), ErrorCode::AccessDenied);
    }
}
