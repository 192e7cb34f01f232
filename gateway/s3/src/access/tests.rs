//! The matrix: every operation by every kind of requester, and what opens it.

use super::*;
use crate::operation::Operation;

fn key(account: &str) -> Arc<Credential> {
    Arc::new(Credential::new("AKID", "secret", account, &format!("{account}-id"), account))
}

fn requesters() -> [(&'static str, Requester); 5] {
    [
        ("owner", Requester::Known(key("mine"))),
        ("reader", Requester::Reader(key("mine"))),
        ("guest", Requester::Guest(key("mine"))),
        ("other", Requester::Known(key("other"))),
        ("anonymous", Requester::Anonymous),
    ]
}

fn decide(operation: Operation, requester: &Requester, rules: &BucketRules, object: Object<'_>) -> Decision {
    let of_account = matches!(operation, Operation::ListBuckets | Operation::CreateBucket);
    authorize(&Ask {
        operation,
        requester,
        account: (!of_account).then_some("mine"),
        rules,
        resource: "box/key",
        versioned: false,
        object,
        context: &Context::default(),
    })
}

fn owner(id: &str) -> Owner {
    Owner { id: id.to_owned(), name: String::new() }
}

#[test]
fn nothing_is_open_unless_something_says_so() {
    let rules = BucketRules::default();
    for operation in Operation::ALL.iter().copied() {
        let reads = needs(operation, false).reads;
        let of_account = matches!(operation, Operation::ListBuckets | Operation::CreateBucket);
        for object in [Object::Plain, Object::Listed(&Acl::private(owner("mine-id")))] {
            for (who, requester) in requesters() {
                let expected = match who {
                    "owner" => true,
                    "reader" => reads,
                    // Everybody has an account of their own.
                    "other" => of_account,
                    _ => false,
                };
                let decision = decide(operation, &requester, &rules, object);
                assert_eq!(decision == Decision::Allowed, expected, "{who} {}", operation.name());
                assert_ne!(decision, Decision::NeedsObject, "{who} {}", operation.name());
            }
        }
    }
}

#[test]
fn a_grant_opens_what_it_names_and_nothing_else() {
    let other = &Requester::Known(key("other"));
    for permission in [Permission::Read, Permission::Write, Permission::ReadAcp, Permission::WriteAcp] {
        let mut acl = Acl::private(owner("mine-id"));
        let grantee = acl::Grantee::Account(owner("other-id"));
        acl.grants.push(acl::Grant { grantee, permission });
        let rules = BucketRules { acl: Some(acl.clone()), ..BucketRules::default() };
        for operation in Operation::ALL.iter().copied() {
            if matches!(operation, Operation::ListBuckets | Operation::CreateBucket) {
                continue;
            }
            let grants = needs(operation, false).grants;
            let on_bucket = decide(operation, other, &rules, Object::Plain) == Decision::Allowed;
            assert_eq!(
                on_bucket,
                grants == Grants::Bucket(permission),
                "{permission:?} {}",
                operation.name()
            );
            let rules = BucketRules::default();
            let on_object = decide(operation, other, &rules, Object::Listed(&acl)) == Decision::Allowed;
            assert_eq!(
                on_object,
                grants == Grants::Object(permission),
                "{permission:?} {}",
                operation.name()
            );
        }
    }
}

#[test]
fn a_public_list_opens_to_everybody_unless_it_is_ignored() {
    let acl = Acl::canned("public-read", owner("mine-id"), None).expect("canned");
    for (ignored, enforced) in [(false, false), (true, false), (false, true)] {
        let rules = BucketRules {
            acl: Some(acl.clone()),
            block: BlockPublic { ignore_acls: ignored, ..BlockPublic::default() },
            ownership: enforced.then_some(Ownership::BucketOwnerEnforced),
            ..BucketRules::default()
        };
        for operation in [Operation::ListObjects, Operation::GetObject] {
            let decision = decide(operation, &Requester::Anonymous, &rules, Object::Listed(&acl));
            assert_eq!(decision == Decision::Allowed, !ignored && !enforced);
        }
    }
}

#[test]
fn a_policy_allows_and_denies_every_operation() {
    for effect in ["Allow", "Deny"] {
        let text = format!(
            r#"{{"Statement":{{"Effect":"{effect}","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::box/*"}}}}"#
        );
        let policy = || Policy::parse(text.as_bytes(), "box").expect("a policy");
        let rules = BucketRules { policy: Some(policy()), ..BucketRules::default() };
        let restricted = BucketRules {
            policy: Some(policy()),
            block: BlockPublic { restrict_buckets: true, ..BlockPublic::default() },
            ..BucketRules::default()
        };
        for operation in Operation::ALL.iter().copied() {
            if matches!(operation, Operation::ListBuckets | Operation::CreateBucket) {
                continue;
            }
            for (who, requester) in requesters() {
                let rescued = who == "owner" && needs(operation, false).rescues;
                let decision = decide(operation, &requester, &rules, Object::Plain);
                let expected = effect == "Allow" || rescued;
                assert_eq!(decision == Decision::Allowed, expected, "{effect} {who} {}", operation.name());
                if matches!(who, "other" | "anonymous") {
                    let decision = decide(operation, &requester, &restricted, Object::Plain);
                    assert_eq!(decision, Decision::Denied, "{effect} {who} {}", operation.name());
                }
            }
        }
    }
}
