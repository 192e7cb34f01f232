//! A token as it is shown: `{"token": {...}}`, with the catalogue.

use super::payload::Scope;
use super::validate::Caller;
use crate::error::Result;
use crate::service::Identity;
use crate::store::{ENDPOINTS, Record, SERVICES, flag_of, text_of};
use crate::time;
use serde_json::{Map, Value, json};

/// How much of a token is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    WithCatalog,
    WithoutCatalog,
}

fn named(record: &Record) -> Value {
    json!({"id": record["id"], "name": record["name"]})
}

impl Identity {
    /// The document of a caller's token.
    pub(crate) async fn document(&self, caller: &Caller, shown: Shown) -> Result<Value> {
        let payload = &caller.payload;
        let methods: Vec<&str> = payload.methods.iter().map(|method| method.word()).collect();
        let password = self.inner.store.password(caller.user_id()).await?;
        let expires = password.and_then(|password| password.expires_us).map(time::text);
        let mut token = Map::new();
        token.insert("methods".to_owned(), methods.into());
        let user = json!({
            "domain": named(&caller.user_domain),
            "id": caller.user["id"],
            "name": caller.user["name"],
            "password_expires_at": expires,
        });
        token.insert("user".to_owned(), user);
        token.insert("audit_ids".to_owned(), payload.audit_ids().into());
        token.insert("expires_at".to_owned(), time::text(payload.expires_us).into());
        token.insert("issued_at".to_owned(), time::text(payload.issued_us).into());
        if let Some((project, domain)) = &caller.project {
            let shown = json!({"domain": named(domain), "id": project["id"], "name": project["name"]});
            token.insert("project".to_owned(), shown);
            token.insert("is_domain".to_owned(), project["is_domain"].clone());
        }
        if let Some(domain) = &caller.domain {
            token.insert("domain".to_owned(), named(domain));
        }
        if payload.scope == Scope::System {
            token.insert("system".to_owned(), json!({"all": true}));
        }
        if payload.scope != Scope::Unscoped {
            token.insert("roles".to_owned(), caller.roles.iter().map(named).collect());
            if shown == Shown::WithCatalog {
                token.insert("catalog".to_owned(), self.catalog(caller).await?.into());
            }
        }
        if let Some(credential) = &caller.app_credential {
            let restricted = !flag_of(credential, "unrestricted");
            let mut lent =
                json!({"id": credential["id"], "name": credential["name"], "restricted": restricted});
            if !credential["access_rules"].is_null() {
                lent["access_rules"] = credential["access_rules"].clone();
            }
            token.insert("application_credential".to_owned(), lent);
        }
        if let Some(trust) = &caller.trust {
            let lent = json!({"id": trust["id"], "impersonation": trust["impersonation"],
                "trustor_user": {"id": trust["trustor_user_id"]}, "trustee_user": {"id": trust["trustee_user_id"]}});
            token.insert("OS-TRUST:trust".to_owned(), lent);
        }
        Ok(json!({"token": token}))
    }

    /// The services and where they are, for this caller.
    pub(crate) async fn catalog(&self, caller: &Caller) -> Result<Vec<Value>> {
        let store = &self.inner.store;
        let services = store.list(&SERVICES, &[("enabled", true.into())]).await?;
        let endpoints = store.list(&ENDPOINTS, &[("enabled", true.into())]).await?;
        let shown = services.iter().map(|service| {
            let of_it = endpoints.iter().filter(|endpoint| endpoint["service_id"] == service["id"]);
            let urls = of_it.filter_map(|endpoint| {
                let url = fill_in(text_of(endpoint, "url"), caller)?;
                Some(json!({"id": endpoint["id"], "interface": endpoint["interface"],
                    "region_id": endpoint["region_id"], "url": url, "region": endpoint["region_id"]}))
            });
            let urls: Vec<Value> = urls.collect();
            json!({"endpoints": urls, "id": service["id"], "type": service["type"],
                "name": text_of(service, "name")})
        });
        Ok(shown.collect())
    }
}

/// A URL with what it says of the caller put in; `None` if the caller lacks it.
fn fill_in(url: &str, caller: &Caller) -> Option<String> {
    let url = url.replace("$(", "%(");
    let mut out = String::new();
    let mut rest = url.as_str();
    while let Some((before, after)) = rest.split_once("%(") {
        let (name, after) = after.split_once(")s")?;
        out.push_str(before);
        out.push_str(match name {
            "project_id" | "tenant_id" => caller.project_id()?,
            "user_id" => caller.user_id(),
            "domain_id" => text_of(caller.domain.as_ref()?, "id"),
            _ => return None,
        });
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}
