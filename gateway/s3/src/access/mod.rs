//! Who may do what: the one decision that every operation passes.
//!
//! [`authorize`] is a function of who asks, what for, and what the bucket and the object say. It says no unless something
//! says yes: the bucket belongs to the requester's account, an access control list grants it, or the bucket's policy allows
//! it; a policy that denies wins over all of them. It also says when it cannot decide without the object.

mod acl;
mod condition;
mod needs;
mod policy;
mod rules;
#[cfg(test)]
mod tests;

#[cfg(test)]
use acl::Permission;
pub(crate) use acl::{Acl, Owner};
pub(crate) use condition::{Context, HEADERS};
pub(crate) use needs::needs;
pub(crate) use policy::Policy;
pub(crate) use rules::{BlockPublic, BucketRules, Ownership, setting};

use crate::credentials::{Credential, KeyUser, Rights};
use crate::operation::Operation;
use needs::{Grants, Needs};
use policy::Verdict;
use std::sync::Arc;

/// Who sends a request.
#[derive(Clone, Debug)]
pub(crate) enum Requester {
    Anonymous,
    Known(Arc<Credential>),
    /// An account of which the requester may only read what it owns.
    Reader(Arc<Credential>),
    /// An account in which the requester may do what policies allow, and no more than everybody else beside.
    Guest(Arc<Credential>),
}

impl Requester {
    /// Whoever holds a credential.
    pub(crate) fn of(credential: Option<Arc<Credential>>) -> Self {
        match credential {
            None => Self::Anonymous,
            Some(credential) => match credential.rights() {
                Rights::Owner => Self::Known(credential),
                Rights::Reader => Self::Reader(credential),
                Rights::Guest => Self::Guest(credential),
            },
        }
    }

    fn credential(&self) -> Option<&Credential> {
        match self {
            Self::Anonymous => None,
            Self::Known(credential) | Self::Reader(credential) | Self::Guest(credential) => Some(credential),
        }
    }

    /// The account (project), unless anonymous.
    pub(crate) fn account(&self) -> Option<&str> {
        self.credential().map(Credential::account)
    }

    /// The account's canonical id, unless anonymous.
    pub(crate) fn id(&self) -> Option<&str> {
        self.credential().map(Credential::owner_id)
    }

    /// The person who asks, where the account has several.
    pub(crate) fn user(&self) -> Option<&KeyUser> {
        self.credential().and_then(Credential::user)
    }

    /// The owner of what the requester makes.
    pub(crate) fn owner(&self) -> Owner {
        match self.credential() {
            Some(known) => Owner { id: known.owner_id().to_owned(), name: known.owner_name().to_owned() },
            None => Owner { id: "anonymous".to_owned(), name: "anonymous".to_owned() },
        }
    }
}

/// What is known of an object when it is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Object<'a> {
    /// Not looked at yet.
    Unknown,
    /// It is not there, or has no list of its own: the bucket's owner owns it.
    Plain,
    Listed(&'a Acl),
}

/// A question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) operation: Operation,
    pub(crate) requester: &'a Requester,
    /// The account that has the bucket; none for operations without a bucket.
    pub(crate) account: Option<&'a str>,
    pub(crate) rules: &'a BucketRules,
    /// `bucket` or `bucket/key`.
    pub(crate) resource: &'a str,
    /// A version is named.
    pub(crate) versioned: bool,
    pub(crate) object: Object<'a>,
    pub(crate) context: &'a Context,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Allowed,
    Denied,
    /// To be asked again with the object.
    NeedsObject,
}

/// Decides.
pub(crate) fn authorize(ask: &Ask<'_>) -> Decision {
    let needs = needs(ask.operation, ask.versioned);
    let Some(account) = ask.account else {
        // The requester's own account is asked.
        let may = match ask.requester {
            Requester::Anonymous | Requester::Guest(_) => false,
            Requester::Known(_) => true,
            Requester::Reader(_) => needs.reads,
        };
        return if may { Decision::Allowed } else { Decision::Denied };
    };
    let owns = ask.requester.account() == Some(account);
    if let Some(policy) = &ask.rules.policy {
        if policy.asks_for_tags() && needs.of_object && matches!(ask.object, Object::Unknown) {
            return Decision::NeedsObject;
        }
        match policy.judge(ask.requester, needs.action, ask.resource, ask.context) {
            // The owner must be able to take back a policy that shuts everybody out.
            Verdict::Deny if owns && needs.rescues && matches!(ask.requester, Requester::Known(_)) => {}
            Verdict::Deny => return Decision::Denied,
            Verdict::Allow if owns || !ask.rules.block.restrict_buckets || !policy.is_public() => {
                return Decision::Allowed;
            }
            Verdict::Allow | Verdict::Silent => {}
        }
    }
    if let (true, Requester::Known(_) | Requester::Reader(_)) = (owns, ask.requester) {
        let may = needs.reads || matches!(ask.requester, Requester::Known(_));
        return if may { Decision::Allowed } else { Decision::Denied };
    }
    by_lists(ask, &needs)
}

/// What the access control lists say to whom does not own the bucket.
fn by_lists(ask: &Ask<'_>, needs: &Needs) -> Decision {
    if ask.rules.ownership == Some(Ownership::BucketOwnerEnforced) {
        // Whoever may list is told whether the object is there, even so.
        let may_list = ask.rules.policy.is_some() && matches!(needs.grants, Grants::Object(_));
        let unknown = matches!(ask.object, Object::Unknown);
        return if may_list && unknown { Decision::NeedsObject } else { Decision::Denied };
    }
    let public = !ask.rules.block.ignore_acls;
    // What an account is granted is for those who have a role in it.
    let asker = if let Requester::Guest(_) = ask.requester { &Requester::Anonymous } else { ask.requester };
    let granted = match needs.grants {
        Grants::Nothing => false,
        Grants::Bucket(permission) => {
            ask.rules.acl.as_ref().is_some_and(|acl| acl.allows(asker, permission, public))
        }
        Grants::Object(permission) => match ask.object {
            Object::Unknown => return Decision::NeedsObject,
            Object::Plain => false,
            Object::Listed(acl) => acl.allows(asker, permission, public),
        },
    };
    // A reader reads, whatever an account is granted.
    let may = needs.reads || !matches!(ask.requester, Requester::Reader(_));
    if granted && may { Decision::Allowed } else { Decision::Denied }
}
