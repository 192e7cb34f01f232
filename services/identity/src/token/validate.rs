//! What a token is worth now: its user, its scope and the roles that its user has there, as the database says at this moment.

use super::payload::{Payload, Scope};
use crate::error::{ApiError, Result};
use crate::service::Identity;
use crate::store::{APP_CREDENTIALS, PROJECTS, ROLES, Record, Revoked, Target, USERS, flag_of, text_of};
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
        let store = &self.inner.store;
        let enabled = |record: &Record| flag_of(record, "enabled");
        let Some(user) = store.find(&USERS, &payload.user_id).await?.filter(enabled) else { return Ok(None) };
        let Some(user_domain) = store.find(&PROJECTS, text_of(&user, "domain_id")).await?.filter(enabled)
        else {
            return Ok(None);
        };
        let mut caller = Caller {
            payload,
            user,
            user_domain,
            project: None,
            domain: None,
            roles: Vec::new(),
            app_credential: None,
            is_operator: false,
            facts: Value::Null,
        };
        let target = match caller.payload.scope.clone() {
            Scope::Unscoped => None,
            Scope::System => Some(Target::system()),
            Scope::Domain(id) => {
                caller.domain = store.find(&PROJECTS, &id).await?.filter(enabled);
                if !caller.domain.as_ref().is_some_and(|domain| flag_of(domain, "is_domain")) {
                    return Ok(None);
                }
                Some(Target::domain(&id))
            }
            Scope::Project(id) => {
                let Some(project) = store.find(&PROJECTS, &id).await?.filter(enabled) else {
                    return Ok(None);
                };
                let domain_id = match text_of(&project, "domain_id") {
                    "" => text_of(&project, "id"),
                    id => id,
                };
                let Some(domain) = store.find(&PROJECTS, domain_id).await?.filter(enabled) else {
                    return Ok(None);
                };
                caller.project = Some((project, domain));
                Some(Target::project(&id))
            }
        };
        if let Some(target) = target {
            let mut role_ids = store.roles_on(&caller.payload.user_id, &target).await?;
            if let Some(id) = &caller.payload.app_credential_id {
                let Some(credential) = store.find(&APP_CREDENTIALS, id).await?.filter(is_current) else {
                    return Ok(None);
                };
                let lent = store.with_implied(lent_roles(&credential)).await?;
                role_ids.retain(|id| lent.contains(id));
                caller.app_credential = Some(credential);
            }
            if role_ids.is_empty() {
                return Ok(None);
            }
            let role_ids: Vec<String> = role_ids.into_iter().collect();
            caller.roles = store.get_many(&ROLES, &role_ids).await?;
        } else if caller.payload.app_credential_id.is_some() {
            return Err(ApiError::internal("a token of an application credential is always scoped"));
        }
        caller.facts = caller.facts();
        Ok(Some(caller))
    }
}

/// Whether an application credential has not expired.
pub(crate) fn is_current(credential: &Record) -> bool {
    let expires = credential.get("expires_us").and_then(Value::as_u64);
    expires.is_none_or(|us| us > now_us())
}

fn lent_roles(credential: &Record) -> BTreeSet<String> {
    let roles = credential.get("roles").and_then(Value::as_array);
    roles.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
