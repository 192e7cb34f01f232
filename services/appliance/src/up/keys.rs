//! Whose an access key on the S3 port is: one of the settings and of the first start, or else the identity service's.

use crate::secrets::AccessKey;
use quick_cache::sync::Cache;
use ringfort_identity_api::{Ec2Credential, IdentityClient};
use ringfort_s3::{Credential, CredentialFuture, CredentialStore, CredentialsUnavailable, KeyUser, Rights};
use std::collections::HashMap;
use std::sync::Arc;

/// Projects whose names are remembered; the least asked for make room.
const NAMES_MAX: usize = 10_000;

/// Who a bucket or an object says that it belongs to.
#[derive(Clone)]
struct Owner {
    id: Arc<str>,
    name: Arc<str>,
}

/// Both kinds of keys.
pub(super) struct Keys {
    fixed: HashMap<String, Arc<Credential>>,
    /// Owners of the accounts of fixed keys: a project that is one of these keeps its owner.
    owners: HashMap<String, Owner>,
    keystone: Arc<IdentityClient>,
    /// Names by owner ids, as far as they were seen.
    names: Cache<String, Arc<str>>,
}

impl Keys {
    /// `fixed` before those of the identity service.
    pub(super) fn new<'a>(
        fixed: impl IntoIterator<Item = &'a AccessKey>,
        keystone: Arc<IdentityClient>,
    ) -> Self {
        let names = Cache::new(NAMES_MAX);
        let (mut keys, mut owners) = (HashMap::new(), HashMap::new());
        for key in fixed {
            let owner = Owner { id: key.owner_id.as_str().into(), name: key.owner_name.as_str().into() };
            names.insert(key.owner_id.clone(), Arc::clone(&owner.name));
            owners.entry(key.account.clone()).or_insert(owner);
            let credential = Credential::new(
                &key.access_key,
                &key.secret_key,
                &key.account,
                &key.owner_id,
                &key.owner_name,
            );
            keys.insert(key.access_key.clone(), Arc::new(credential));
        }
        Self { fixed: keys, owners, keystone, names }
    }

    /// A key of the identity service as the gateway knows it. One that is bound to some requests is refused, since the gateway
    /// could not keep it to these.
    fn credential_of(&self, known: &Ec2Credential) -> Option<Credential> {
        let holder = &known.holder;
        let project = holder.project.as_ref().filter(|_| holder.access_rules.is_none())?;
        let owner = self
            .owners
            .get(&project.id)
            .cloned()
            .unwrap_or_else(|| Owner { id: project.id.as_str().into(), name: project.name.as_str().into() });
        if self.names.get(&*owner.id).is_none_or(|name| name != owner.name) {
            self.names.insert(owner.id.to_string(), Arc::clone(&owner.name));
        }
        let credential =
            Credential::new(&known.access_key, &known.secret_key, &project.id, &owner.id, &owner.name);
        let user = KeyUser { id: holder.user_id.clone(), name: holder.user_name.clone() };
        Some(credential.with_rights(rights_of(&holder.roles)).held_by(user))
    }
}

/// What the roles of the identity service let their holder do, as on the Swift port.
fn rights_of(roles: &[String]) -> Rights {
    let has =
        |wanted: &[&str]| roles.iter().any(|role| wanted.iter().any(|one| role.eq_ignore_ascii_case(one)));
    if has(&["admin", "manager", "member", "_member_"]) {
        Rights::Owner
    } else if has(&["reader"]) {
        Rights::Reader
    } else {
        Rights::Guest
    }
}

impl CredentialStore for Keys {
    fn find<'a>(&'a self, access_key: &'a str) -> CredentialFuture<'a> {
        if let Some(fixed) = self.fixed.get(access_key) {
            return Box::pin(std::future::ready(Ok(Some(Arc::clone(fixed)))));
        }
        Box::pin(async move {
            let known = self.keystone.ec2_credential(access_key).await;
            let known = known.map_err(|error| CredentialsUnavailable(error.0))?;
            Ok(known.and_then(|known| self.credential_of(&known)).map(Arc::new))
        })
    }

    fn owner_name(&self, owner_id: &str) -> Option<String> {
        self.names.get(owner_id).map(|name| name.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfort_identity_api::{Holder, IdentityPort, IdentityUnavailable, PortFuture, ProjectScope};
    use std::sync::Mutex;

    #[derive(Default)]
    struct Fake(Mutex<Option<Result<Ec2Credential, IdentityUnavailable>>>);

    impl IdentityPort for Fake {
        fn holder_of<'a>(&'a self, _: &'a str) -> PortFuture<'a, Option<Holder>> {
            Box::pin(async { Ok(None) })
        }

        fn ec2_credential<'a>(&'a self, _: &'a str) -> PortFuture<'a, Option<Ec2Credential>> {
            let known = self.0.lock().unwrap().clone();
            Box::pin(async move { known.transpose() })
        }
    }

    fn fixed() -> AccessKey {
        let text = str::to_owned;
        AccessKey {
            access_key: text("FIXED"),
            secret_key: text("s"),
            account: text("admins"),
            owner_id: text("0123"),
            owner_name: text("ringfort"),
        }
    }

    fn of_project(id: &str, roles: &[&str]) -> Ec2Credential {
        let project =
            ProjectScope { id: id.to_owned(), name: format!("{id}-name"), domain_id: "d".to_owned() };
        let holder = Holder {
            user_id: "u".to_owned(),
            user_name: "ada".to_owned(),
            project: Some(project),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            ..Holder::default()
        };
        Ec2Credential { access_key: "EC2".to_owned(), secret_key: "s".to_owned(), holder }
    }

    async fn found(answer: Result<Ec2Credential, IdentityUnavailable>) -> Option<Arc<Credential>> {
        let fake = Fake(Mutex::new(Some(answer)));
        let client = IdentityClient::new(Arc::new(fake), ringfort_runtime::boot_time);
        Keys::new([&fixed()], Arc::new(client)).find("EC2").await.expect("it answers")
    }

    #[tokio::test]
    async fn a_project_owns_what_its_users_make_and_the_first_account_stays_who_it_was() {
        let key = found(Ok(of_project("p", &["member"]))).await.expect("known");
        assert_eq!((key.account(), key.owner_id(), key.owner_name()), ("p", "p", "p-name"));
        let key = found(Ok(of_project("admins", &["admin"]))).await.expect("known");
        assert_eq!((key.account(), key.owner_id(), key.owner_name()), ("admins", "0123", "ringfort"));
    }

    #[tokio::test]
    async fn keys_without_a_project_or_bound_to_some_requests_are_none() {
        let mut bound = of_project("p", &["member"]);
        bound.holder.access_rules = Some(Vec::new());
        assert!(found(Ok(bound)).await.is_none());
        let mut nowhere = of_project("p", &["member"]);
        nowhere.holder.project = None;
        assert!(found(Ok(nowhere)).await.is_none());
    }

    #[tokio::test]
    async fn fixed_keys_need_nobody_and_no_answer_is_not_a_no() {
        let away = IdentityUnavailable("away".to_owned());
        let client =
            IdentityClient::new(Arc::new(Fake(Mutex::new(Some(Err(away))))), ringfort_runtime::boot_time);
        let keys = Keys::new([&fixed()], Arc::new(client));
        assert!(keys.find("FIXED").await.expect("known").is_some());
        assert_eq!(keys.find("EC2").await.expect_err("away"), CredentialsUnavailable("away".to_owned()));
        assert_eq!(keys.owner_name("0123").as_deref(), Some("ringfort"));
        assert_eq!(keys.owner_name("4567"), None);
    }

    #[test]
    fn roles_are_those_of_the_swift_port() {
        for (roles, wanted) in [
            (&["Member"] as &[&str], Rights::Owner),
            (&["reader", "admin"], Rights::Owner),
            (&["reader"], Rights::Reader),
            (&["auditor"], Rights::Guest),
            (&[], Rights::Guest),
        ] {
            let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
            assert_eq!(rights_of(&roles), wanted, "{roles:?}");
        }
    }
}
