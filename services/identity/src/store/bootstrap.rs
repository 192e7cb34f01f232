//! What a new cloud begins with: a domain, an administrator, a project, the roles, and the catalogue of what is served.

use super::assignments::{Assignment, Target};
use super::records::Record;
use super::{ENDPOINTS, PROJECTS, REGIONS, ROLES, SERVICES, USERS};
use crate::error::Result;
use crate::store::{Actor, NewPassword, Store, new_id};
use ringfort_db::{Transaction, Value};
use serde_json::{Value as Json, json};

/// The id of the domain that everybody is in unless another is named.
pub(crate) const DEFAULT_DOMAIN: &str = "default";
const INTERFACES: [&str; 3] = ["public", "internal", "admin"];

/// What the first start writes.
#[derive(Clone, Debug)]
pub(crate) struct Seed<'a> {
    /// Id of the project `admin`.
    pub(crate) project_id: &'a str,
    /// Hash of the password of the user `admin`.
    pub(crate) password_hash: String,
    pub(crate) now_us: u64,
}

/// A service of the catalogue and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeedService {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) url: String,
}

/// Roles by name, each implying the next, as Keystone's bootstrap makes them; `service` stands alone.
const ROLE_CHAIN: [&str; 4] = ["admin", "manager", "member", "reader"];

fn object(value: Json) -> Record {
    match value {
        Json::Object(record) => record,
        _ => Record::new(),
    }
}

/// The id of a part of the catalogue that this program keeps: the same at every start.
fn own_id(name: &str) -> String {
    let hash = blake3::derive_key("ringfort identity catalogue 2026", name.as_bytes());
    hex::encode(&hash[..16])
}

impl Store {
    /// Whether [`Self::seed`] ran.
    pub(crate) async fn is_seeded(&self) -> Result<bool> {
        Ok(self.find(&PROJECTS, DEFAULT_DOMAIN).await?.is_some())
    }

    /// Writes what a new cloud begins with, all of it or nothing.
    pub(crate) async fn seed(&self, seed: &Seed<'_>) -> Result<()> {
        let mut transaction = self.begin().await?;
        let domain =
            object(json!({"id": DEFAULT_DOMAIN, "name": "Default", "domain_id": null, "parent_id": null,
            "is_domain": true, "enabled": true, "description": "The default domain", "options": {}}));
        PROJECTS.insert(&mut transaction, &domain).await?;
        let project = object(json!({"id": seed.project_id, "name": "admin", "domain_id": DEFAULT_DOMAIN,
            "parent_id": DEFAULT_DOMAIN, "is_domain": false, "enabled": true,
            "description": "Bootstrap project for initializing the cloud.", "options": {}}));
        PROJECTS.insert(&mut transaction, &project).await?;
        let user_id = new_id();
        let user =
            object(json!({"id": user_id, "name": "admin", "domain_id": DEFAULT_DOMAIN, "enabled": true,
            "default_project_id": null, "options": {}}));
        USERS.insert(&mut transaction, &user).await?;
        let password = NewPassword {
            hash: seed.password_hash.clone(),
            created_us: seed.now_us,
            expires_us: None,
            remembered: 0,
        };
        Self::set_password(&mut transaction, &user_id, Some(&password)).await?;
        let admin_role = seed_roles(&mut transaction).await?;
        for target in [Target::project(seed.project_id), Target::system()] {
            let actor = Actor::User(user_id.clone());
            let grant = Assignment { actor, target, role_id: admin_role.clone(), inherited: false };
            grant.insert(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Makes the catalogue name `services` at their addresses of today. What operators added stays as it is.
    pub(crate) async fn seed_catalog(&self, region: &str, services: &[SeedService]) -> Result<()> {
        if self.find(&REGIONS, region).await?.is_none() {
            let mut transaction = self.begin().await?;
            let record = object(json!({"id": region, "description": "", "parent_region_id": null}));
            REGIONS.insert(&mut transaction, &record).await?;
            transaction.commit().await?;
        }
        for service in services {
            let service_id = own_id(&service.kind);
            let record = object(json!({"id": service_id, "type": service.kind, "name": service.name,
                "description": "", "enabled": true}));
            if self.find(&SERVICES, &service_id).await?.is_none() {
                let mut transaction = self.begin().await?;
                SERVICES.insert(&mut transaction, &record).await?;
                transaction.commit().await?;
            }
            for interface in INTERFACES {
                let id = own_id(&format!("{}/{interface}", service.kind));
                let wanted = object(json!({"id": id, "service_id": service_id, "interface": interface,
                    "region_id": region, "url": service.url, "enabled": true}));
                let found = self.find(&ENDPOINTS, &id).await?;
                if found.as_ref() == Some(&wanted) {
                    continue;
                }
                let mut transaction = self.begin().await?;
                match found {
                    Some(_) => ENDPOINTS.update(&mut transaction, &wanted).await?,
                    None => ENDPOINTS.insert(&mut transaction, &wanted).await?,
                }
                transaction.commit().await?;
            }
        }
        Ok(())
    }
}

/// Makes the roles and answers the id of `admin`.
async fn seed_roles(transaction: &mut Transaction) -> Result<String> {
    let mut ids = Vec::new();
    for name in ROLE_CHAIN.iter().chain(&["service"]) {
        let id = new_id();
        let record =
            object(json!({"id": id, "name": name, "domain_id": null, "description": null, "options": {}}));
        ROLES.insert(transaction, &record).await?;
        ids.push(id);
    }
    for (prior, implied) in ids[..ROLE_CHAIN.len()].iter().zip(&ids[1..ROLE_CHAIN.len()]) {
        let sql = "INSERT INTO implied_roles (prior_id, implied_id) VALUES ($1, $2)";
        transaction.execute(sql, &[Value::from(prior), Value::from(implied)]).await?;
    }
    Ok(ids.swap_remove(0))
}
