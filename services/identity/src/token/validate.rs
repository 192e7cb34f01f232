//! What a token is worth now: its user, its scope and the roles that its user has there, as the database says at this moment.

use super::payload::{Payload, Scope};
use crate::error::{ApiError, Result};
use crate::service::Identity;
use crate::store::{
    APP_CREDENTIALS, PROJECTS, ROLES, Record, Revoked, TRUSTS, Target, USERS, flag_of, text_of,
};
use crate::time::now_us;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The holder of a valid token, and all that follows from it.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) payload: Payload,
    pub(crate) user: Record,
    pub(crate) user_domain: Record,
    /// The project it is scoped to, with that project's domain.
    pub(crate) project: Option<(Record, Record)>,
    /// The domain it is scoped to.
    pub(crate) domain: Option<Record>,
    pub(crate) roles: Vec<Record>,
    pub(crate) app_credential: Option<Record>,
    /// The trust that lends the roles.
    pub(crate) trust: Option<Record>,
    /// Operates the machine, so no rule refuses it.
    pub(crate) is_operator: bool,
    /// The same in the words of policy rules.
    pub(crate) facts: Value,
}

impl Caller {
    /// Who operates the machine: no user, and above the rules.
    pub(crate) fn operator() -> Self {
        let payload = Payload::of_operator();
        Self {
            payload,
            user: Record::new(),
            user_domain: Record::new(),
            project: None,
            domain: None,
            roles: Vec::new(),
            app_credential: None,
            trust: None,
            is_operator: true,
            facts: json!({"roles": [], "domain_id": null}),
        }
    }

    pub(crate) fn user_id(&self) -> &str {
        text_of(&self.user, "id")
    }

    pub(crate) fn project_id(&self) -> Option<&str> {
        self.project.as_ref().map(|(project, _)| text_of(project, "id"))
    }

    pub(crate) fn role_ids(&self) -> BTreeSet<String> {
        self.roles.iter().map(|role| text_of(role, "id").to_owned()).collect()
    }

    /// Whether it acts by what somebody lent, so that it must not lend or keep more.
    pub(crate) const fn is_delegated(&self) -> bool {
        self.app_credential.is_some() || self.trust.is_some()
    }

    fn facts(&self) -> Value {
        let roles: Vec<&str> = self.roles.iter().map(|role| text_of(role, "name")).collect();
        let domain_id = self.domain.as_ref().map(|domain| text_of(domain, "id"));
        let project = self
            .project
            .as_ref()
            .map(|(project, domain)| json!({"id": project["id"], "domain": {"id": domain["id"]}}));
        json!({
            "user_id": self.user["id"],
            "user_domain_id": self.user["domain_id"],
            "project_id": self.project_id(),
            "domain_id": domain_id,
            "system_scope": (self.payload.scope == Scope::System).then_some("all"),
            "trust_id": self.payload.trust_id,
            "roles": roles,
            "token": {
                "user": {"id": self.user["id"], "domain": {"id": self.user["domain_id"]}},
                "domain": {"id": domain_id},
                "project": project,
            },
        })
    }
}

impl Identity {
    /// Who holds `token`; `None` if it is forged, expired, revoked, or its user or scope is no longer what it was.
    pub(crate) async fn validate(&self, token: &str) -> Result<Option<Caller>> {
        let Some(payload) = self.inner.keys.open(token) else { return Ok(None) };
        if payload.expires_us <= now_us() {
            return Ok(None);
        }
        let Some(caller) = self.resolve(payload).await? else { return Ok(None) };
        let audit_id = caller.payload.audit_id.text();
        let mut kinds = vec![
            Revoked::Token(&audit_id),
            Revoked::User(caller.user_id()),
            Revoked::Domain(text_of(&caller.user_domain, "id")),
        ];
        if let Some(trust) = &caller.trust {
            let parties = ["trustor_user_id", "trustee_user_id"];
            kinds.extend(parties.map(|name| Revoked::User(text_of(trust, name))));
        }
        if let Some((project, domain)) = &caller.project {
            kinds.extend([Revoked::Project(text_of(project, "id")), Revoked::Domain(text_of(domain, "id"))]);
        }
        if let Some(domain) = &caller.domain {
            kinds.push(Revoked::Domain(text_of(domain, "id")));
        }
        let revoked = self.inner.store.is_revoked(&kinds, caller.payload.issued_us).await?;
        Ok((!revoked).then_some(caller))
    }

    /// What follows from `payload` now; `None` if its user may not have such a token.
    pub(crate) async fn resolve(&self, payload: Payload) -> Result<Option<Caller>> {
        let trust = match &payload.trust_id {
            None => None,
            Some(id) => match self.trust_of(id, &payload.user_id).await? {
                None => return Ok(None),
                found => found,
            },
        };
        let acts_as = trust.as_ref().filter(|trust| flag_of(trust, "impersonation"));
        let user_id = acts_as.map_or(payload.user_id.as_str(), |trust| text_of(trust, "trustor_user_id"));
        let Some((user, user_domain)) = self.active_user(user_id).await? else { return Ok(None) };
        let mut caller = Caller {
            payload,
            user,
            user_domain,
            project: None,
            domain: None,
            roles: Vec::new(),
            app_credential: None,
            trust,
            is_operator: false,
            facts: Value::Null,
        };
        if !self.find_scope(&mut caller).await? {
            return Ok(None);
        }
        let target = match &caller.payload.scope {
            Scope::Unscoped => None,
            Scope::System => Some(Target::system()),
            Scope::Domain(id) => Some(Target::domain(id)),
            Scope::Project(id) => Some(Target::project(id)),
        };
        if let Some(target) = target {
            let role_ids = self.roles_of(&mut caller, &target).await?;
            caller.roles = self.inner.store.get_many(&ROLES, &role_ids).await?;
            // A role of a domain takes effect by what it implies alone.
            caller.roles.retain(|role| role["domain_id"].is_null());
            if caller.roles.is_empty() {
                return Ok(None);
            }
        } else if caller.payload.app_credential_id.is_some() {
            return Err(ApiError::internal("a token of an application credential is always scoped"));
        }
        caller.facts = caller.facts();
        Ok(Some(caller))
    }

    /// A user who may log in, and its domain.
    async fn active_user(&self, id: &str) -> Result<Option<(Record, Record)>> {
        let store = &self.inner.store;
        let enabled = |record: &Record| flag_of(record, "enabled");
        let Some(user) = store.find(&USERS, id).await?.filter(enabled) else { return Ok(None) };
        let domain = store.find(&PROJECTS, text_of(&user, "domain_id")).await?.filter(enabled);
        Ok(domain.map(|domain| (user, domain)))
    }

    /// The trust `id`, if it holds and both its parties may log in.
    async fn trust_of(&self, id: &str, trustee: &str) -> Result<Option<Record>> {
        let found = self.inner.store.find(&TRUSTS, id).await?.filter(is_current);
        let Some(trust) = found.filter(|trust| text_of(trust, "trustee_user_id") == trustee) else {
            return Ok(None);
        };
        for user_id in [trustee, text_of(&trust, "trustor_user_id")] {
            if self.active_user(user_id).await?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(trust))
    }

    /// Finds the project or domain that a token is for; whether it is there and enabled.
    async fn find_scope(&self, caller: &mut Caller) -> Result<bool> {
        let store = &self.inner.store;
        let enabled = |record: &Record| flag_of(record, "enabled");
        match caller.payload.scope.clone() {
            Scope::Unscoped | Scope::System => Ok(true),
            Scope::Domain(id) => {
                let found = store.find(&PROJECTS, &id).await?.filter(enabled);
                caller.domain = found.filter(|domain| flag_of(domain, "is_domain"));
                Ok(caller.domain.is_some())
            }
            Scope::Project(id) => {
                let Some(project) = store.find(&PROJECTS, &id).await?.filter(enabled) else {
                    return Ok(false);
                };
                let domain_id = match text_of(&project, "domain_id") {
                    "" => text_of(&project, "id"),
                    id => id,
                };
                let domain = store.find(&PROJECTS, domain_id).await?.filter(enabled);
                caller.project = domain.map(|domain| (project, domain));
                Ok(caller.project.is_some())
            }
        }
    }

    /// The roles (ids) on `target`: the user's, or as many of them as a credential or a trust lends.
    async fn roles_of(&self, caller: &mut Caller, target: &Target) -> Result<Vec<String>> {
        let store = &self.inner.store;
        let trustor = caller.trust.as_ref().map(|trust| text_of(trust, "trustor_user_id"));
        let mut role_ids = store.roles_on(trustor.unwrap_or(&caller.payload.user_id), target).await?;
        if let Some(trust) = &caller.trust {
            let lent = lent_roles(trust);
            // A trust of which a part is no longer the trustor's to lend lends nothing.
            if !lent.is_subset(&role_ids) {
                return Ok(Vec::new());
            }
            let lent = store.with_implied(lent).await?;
            role_ids.retain(|id| lent.contains(id));
        }
        if let Some(id) = &caller.payload.app_credential_id {
            let Some(credential) = store.find(&APP_CREDENTIALS, id).await?.filter(is_current) else {
                return Ok(Vec::new());
            };
            let lent = store.with_implied(lent_roles(&credential)).await?;
            role_ids.retain(|id| lent.contains(id));
            caller.app_credential = Some(credential);
        }
        Ok(role_ids.into_iter().collect())
    }
}

/// Whether an application credential or a trust has not expired.
pub(crate) fn is_current(credential: &Record) -> bool {
    let expires = credential.get("expires_us").and_then(Value::as_u64);
    expires.is_none_or(|us| us > now_us())
}

fn lent_roles(credential: &Record) -> BTreeSet<String> {
    let roles = credential.get("roles").and_then(Value::as_array);
    roles.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
