//! This service as the gateways of the same process see it.

use crate::error::ApiError;
use crate::ops::credentials;
use crate::service::Identity;
use crate::store::{CREDENTIALS, text_of};
use crate::time::now_us;
use crate::token::{Caller, Method, Proof, Scope};
use ringfort_identity_api::{
    AccessRule, Ec2Credential, Holder, IdentityPort, IdentityUnavailable, PortFuture, ProjectScope,
};
use serde_json::Value;

impl Caller {
    /// The caller as a gateway knows it.
    pub(crate) fn holder(&self) -> Holder {
        Holder {
            user_id: self.user_id().to_owned(),
            user_name: text_of(&self.user, "name").to_owned(),
            user_domain_id: text_of(&self.user_domain, "id").to_owned(),
            project: self.project.as_ref().map(|(project, domain)| ProjectScope {
                id: text_of(project, "id").to_owned(),
                name: text_of(project, "name").to_owned(),
                domain_id: text_of(domain, "id").to_owned(),
            }),
            roles: self.roles.iter().map(|role| text_of(role, "name").to_owned()).collect(),
            access_rules: self.access_rules(),
        }
    }

    /// What its application credential may be used for, if that is restricted.
    pub(crate) fn access_rules(&self) -> Option<Vec<AccessRule>> {
        let rules = self.app_credential.as_ref()?.get("access_rules")?.as_array()?;
        let text = |rule: &Value, name: &str| rule[name].as_str().unwrap_or_default().to_owned();
        let rule = |rule| AccessRule {
            service: text(rule, "service"),
            method: text(rule, "method"),
            path: text(rule, "path"),
        };
        Some(rules.iter().map(rule).collect())
    }
}

impl Identity {
    /// The EC2 credential with this access key, if its user may use it on its project now.
    pub(crate) async fn find_ec2(
        &self,
        access_key: &str,
    ) -> Result<Option<(Ec2Credential, Caller)>, ApiError> {
        let found = self.inner.store.find(&CREDENTIALS, &credentials::id_of(access_key)).await?;
        let Some(record) = found.filter(|record| text_of(record, "type").eq_ignore_ascii_case("ec2")) else {
            return Ok(None);
        };
        let blob: Value = serde_json::from_str(&credentials::open_blob(self, &record)?).unwrap_or_default();
        let Some(secret_key) = blob["secret"].as_str().filter(|_| blob["access"] == *access_key) else {
            return Ok(None);
        };
        let proof = Proof {
            user_id: text_of(&record, "user_id").to_owned(),
            methods: vec![Method::Ec2],
            parent: None,
            app_credential_id: None,
            trust: None,
        };
        let scope = Scope::Project(text_of(&record, "project_id").to_owned());
        let payload = self.payload(proof, scope, now_us());
        let Some(caller) = self.resolve(payload).await? else { return Ok(None) };
        let credential = Ec2Credential {
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            holder: caller.holder(),
        };
        Ok(Some((credential, caller)))
    }
}

fn unavailable(error: ApiError) -> IdentityUnavailable {
    IdentityUnavailable(error.cause.unwrap_or_else(|| error.status.to_string()))
}

impl IdentityPort for Identity {
    fn holder_of<'a>(&'a self, token: &'a str) -> PortFuture<'a, Option<Holder>> {
        Box::pin(async move {
            let caller = self.validate(token).await.map_err(unavailable)?;
            Ok(caller.map(|caller| caller.holder()))
        })
    }

    fn ec2_credential<'a>(&'a self, access_key: &'a str) -> PortFuture<'a, Option<Ec2Credential>> {
        Box::pin(async move {
            let found = self.find_ec2(access_key).await.map_err(unavailable)?;
            Ok(found.map(|(credential, _)| credential))
        })
    }
}
