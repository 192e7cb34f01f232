//! Who has which role on what: direct, through groups, inherited from domains and parents, implied by other roles.

use super::records::LIST_MAX;
use crate::error::{ApiError, Result};
use crate::store::Store;
use ringfort_db::{Row, Transaction, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Who holds a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Actor {
    User(String),
    Group(String),
}

/// What a role is held on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TargetKind {
    Project,
    Domain,
    System,
}

/// One thing that roles are held on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) kind: TargetKind,
    pub(crate) id: String,
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Assignment {
    pub(crate) actor: Actor,
    pub(crate) target: Target,
    pub(crate) role_id: String,
    /// It holds on what is below the target, and not on the target.
    pub(crate) inherited: bool,
}

impl Actor {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::User(id) => ("user", id),
            Self::Group(id) => ("group", id),
        }
    }
}

impl TargetKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Domain => "domain",
            Self::System => "system",
        }
    }
}

impl Target {
    pub(crate) fn project(id: &str) -> Self {
        Self { kind: TargetKind::Project, id: id.to_owned() }
    }

    pub(crate) fn domain(id: &str) -> Self {
        Self { kind: TargetKind::Domain, id: id.to_owned() }
    }

    pub(crate) fn system() -> Self {
        Self { kind: TargetKind::System, id: "system".to_owned() }
    }
}

impl Assignment {
    fn values(&self) -> Vec<Value> {
        let (actor_kind, actor_id) = self.actor.parts();
        vec![
            actor_kind.into(),
            actor_id.into(),
            self.target.kind.word().into(),
            Value::from(&self.target.id),
            Value::from(&self.role_id),
            self.inherited.into(),
        ]
    }

    fn read(row: &Row) -> Self {
        let actor_id = row.text(1);
        let kind = match row.text(2).as_str() {
            "project" => TargetKind::Project,
            "domain" => TargetKind::Domain,
            _ => TargetKind::System,
        };
        Self {
            actor: if row.text(0) == "user" { Actor::User(actor_id) } else { Actor::Group(actor_id) },
            target: Target { kind, id: row.text(3) },
            role_id: row.text(4),
            inherited: row.flag(5),
        }
    }

    pub(crate) async fn insert(&self, transaction: &mut Transaction) -> Result<()> {
        let sql = "INSERT INTO assignments (actor_kind, actor_id, target_kind, target_id, role_id, inherited) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        transaction.execute(sql, &self.values()).await?;
        Ok(())
    }

    /// Takes the role away; whether it was there.
    pub(crate) async fn delete(&self, transaction: &mut Transaction) -> Result<bool> {
        let sql = "DELETE FROM assignments WHERE actor_kind = $1 AND actor_id = $2 AND target_kind = $3 \
                   AND target_id = $4 AND role_id = $5 AND inherited = $6";
        Ok(transaction.execute(sql, &self.values()).await? > 0)
    }
}

const SELECT: &str =
    "SELECT actor_kind, actor_id, target_kind, target_id, role_id, inherited FROM assignments";

impl Store {
    /// Every assignment whose fields are those given.
    pub(crate) async fn assignments(
        &self,
        actor: Option<&Actor>,
        target: Option<&Target>,
        role_id: Option<&str>,
        inherited: Option<bool>,
    ) -> Result<Vec<Assignment>> {
        let mut wanted: Vec<(&str, Value)> = Vec::new();
        if let Some(actor) = actor {
            let (kind, id) = actor.parts();
            wanted.extend([("actor_kind", kind.into()), ("actor_id", id.into())]);
        }
        if let Some(target) = target {
            wanted
                .extend([("target_kind", target.kind.word().into()), ("target_id", Value::from(&target.id))]);
        }
        wanted.extend(role_id.map(|id| ("role_id", Value::from(id))));
        wanted.extend(inherited.map(|inherited| ("inherited", Value::from(inherited))));
        let conditions: Vec<String> =
            wanted.iter().zip(1..).map(|((name, _), at)| format!("{name} = ${at}")).collect();
        let filter = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        let values: Vec<Value> = wanted.into_iter().map(|(_, value)| value).collect();
        let sql = format!("{SELECT}{filter} ORDER BY actor_id, target_id, role_id LIMIT {LIST_MAX}");
        Ok(self.db.fetch(&sql, &values).await?.iter().map(Assignment::read).collect())
    }

    /// The groups that a user is in.
    pub(crate) async fn groups_of(&self, user_id: &str) -> Result<Vec<String>> {
        let sql = "SELECT group_id FROM group_members WHERE user_id = $1 ORDER BY group_id";
        Ok(self.db.fetch(sql, &[user_id.into()]).await?.iter().map(|row| row.text(0)).collect())
    }

    /// What a user holds by itself and through its groups.
    pub(crate) async fn held_by(&self, user_id: &str) -> Result<Vec<Assignment>> {
        let sql = format!(
            "{SELECT} WHERE (actor_kind = 'user' AND actor_id = $1) OR (actor_kind = 'group' AND actor_id IN \
             (SELECT group_id FROM group_members WHERE user_id = $1))"
        );
        Ok(self.db.fetch(&sql, &[user_id.into()]).await?.iter().map(Assignment::read).collect())
    }

    /// A project's parents, nearest first, its domain last. Bounded by the depth that projects may have.
    pub(crate) async fn ancestors(&self, project_id: &str) -> Result<Vec<String>> {
        let sql = "WITH RECURSIVE up (id, parent_id, depth) AS (\
                   SELECT id, parent_id, 0 FROM projects WHERE id = $1 \
                   UNION ALL SELECT p.id, p.parent_id, up.depth + 1 FROM projects p \
                   JOIN up ON p.id = up.parent_id WHERE up.depth < 32) \
                   SELECT id FROM up WHERE depth > 0 ORDER BY depth";
        Ok(self.db.fetch(sql, &[project_id.into()]).await?.iter().map(|row| row.text(0)).collect())
    }

    /// The roles (ids) that a user has on `target`, implied ones among them.
    pub(crate) async fn roles_on(&self, user_id: &str, target: &Target) -> Result<BTreeSet<String>> {
        let above = match target.kind {
            TargetKind::Project => self.ancestors(&target.id).await?,
            TargetKind::Domain | TargetKind::System => Vec::new(),
        };
        let held = self.held_by(user_id).await?;
        let mut roles = BTreeSet::new();
        for one in held {
            let direct = !one.inherited && one.target == *target;
            // A domain is the topmost project; what is inherited from either comes from above.
            let from_above = one.inherited && above.contains(&one.target.id);
            if direct || from_above {
                roles.insert(one.role_id);
            }
        }
        self.with_implied(roles).await
    }

    /// These roles and all that they imply.
    pub(crate) async fn with_implied(&self, mut roles: BTreeSet<String>) -> Result<BTreeSet<String>> {
        if roles.is_empty() {
            return Ok(roles);
        }
        let mut implied: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (prior, next) in self.implications().await? {
            implied.entry(prior).or_default().push(next);
        }
        let mut open: Vec<String> = roles.iter().cloned().collect();
        while let Some(role) = open.pop() {
            for next in implied.get(&role).into_iter().flatten() {
                if roles.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        Ok(roles)
    }

    /// Which role implies which.
    pub(crate) async fn implications(&self) -> Result<Vec<(String, String)>> {
        let sql = "SELECT prior_id, implied_id FROM implied_roles ORDER BY prior_id, implied_id";
        Ok(self.db.fetch(sql, &[]).await?.iter().map(|row| (row.text(0), row.text(1))).collect())
    }

    /// Takes all roles away from an actor that goes.
    pub(crate) async fn forget_actor(transaction: &mut Transaction, actor: &Actor) -> Result<()> {
        let (kind, id) = actor.parts();
        let sql = "DELETE FROM assignments WHERE actor_kind = $1 AND actor_id = $2";
        transaction.execute(sql, &[kind.into(), id.into()]).await.map_err(ApiError::from)?;
        Ok(())
    }

    /// Takes all roles away that are held on something that goes.
    pub(crate) async fn forget_target(transaction: &mut Transaction, target: &Target) -> Result<()> {
        let sql = "DELETE FROM assignments WHERE target_kind = $1 AND target_id = $2";
        transaction.execute(sql, &[target.kind.word().into(), Value::from(&target.id)]).await?;
        Ok(())
    }
}
