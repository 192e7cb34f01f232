//! `GET /v3/role_assignments`: who has which role on what, as it was given or as it takes effect.

use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Verb, collection};
use crate::ops::{no_method, projects, roles};
use crate::store::{
    Actor, Assignment, GROUPS, PROJECTS, Record, Store, Table, Target, TargetKind, USERS, text_of,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What a query asks for.
#[derive(Default)]
struct Wanted {
    actor: Option<Actor>,
    targets: Option<Vec<Target>>,
    role_id: Option<String>,
    inherited: Option<bool>,
}

pub(crate) async fn list_assignments(call: &mut Call) -> Result<Answer> {
    if call.verb != Verb::Get {
        return no_method(call.verb);
    }
    let caller = call.caller().await?;
    let domain_id = caller.facts["domain_id"].clone();
    call.enforce("list_role_assignments", json!({"target": {"domain_id": domain_id}})).await?;
    let store = call.service.inner.store.clone();
    let wanted = wanted(call, &store).await?;
    let found = if call.asked("effective").is_some_and(|value| value != "false" && value != "0") {
        effective(&store, &wanted).await?
    } else {
        as_given(&store, &wanted).await?
    };
    let mut found: Vec<Assignment> = found.into_iter().collect();
    if let Some(own) = domain_id.as_str() {
        found = inside(&store, found, own).await?;
    }
    let names = call.asked("include_names").is_some_and(|value| value != "false" && value != "0");
    let names = if names { Some(Names::load(&store, &found).await?) } else { None };
    let items = found.iter().map(|one| shown(call, one, names.as_ref())).collect();
    Ok(collection(call, "role_assignments", items))
}

async fn wanted(call: &Call, store: &Store) -> Result<Wanted> {
    let mut wanted = Wanted { role_id: call.asked("role.id").map(str::to_owned), ..Wanted::default() };
    wanted.actor = match (call.asked("user.id"), call.asked("group.id")) {
        (Some(_), Some(_)) => return Err(ApiError::bad_request("Specify a user or group, not both")),
        (Some(id), None) => Some(Actor::User(id.to_owned())),
        (None, Some(id)) => Some(Actor::Group(id.to_owned())),
        (None, None) => None,
    };
    let domain = call.asked("scope.domain.id").map(Target::domain);
    let project = call.asked("scope.project.id").map(Target::project);
    let system = call.asked("scope.system").map(|_| Target::system());
    let mut targets: Vec<Target> = [domain, project, system].into_iter().flatten().collect();
    if targets.len() > 1 {
        return Err(ApiError::bad_request("Specify a domain, a project or the system, not several"));
    }
    if call.asks("include_subtree") {
        let Some(Target { kind: TargetKind::Project, id }) = targets.first().cloned() else {
            return Err(ApiError::bad_request(
                "scope.project.id must be specified if include_subtree is also specified",
            ));
        };
        targets.extend(projects::below(store, &id).await?.iter().map(|id| Target::project(id)));
    }
    wanted.targets = (!targets.is_empty()).then_some(targets);
    wanted.inherited = call.asked("scope.OS-INHERIT:inherited_to").map(|_| true);
    Ok(wanted)
}

async fn as_given(store: &Store, wanted: &Wanted) -> Result<BTreeSet<Assignment>> {
    let one = match wanted.targets.as_deref() {
        Some([one]) => Some(one),
        _ => None,
    };
    let mut found =
        store.assignments(wanted.actor.as_ref(), one, wanted.role_id.as_deref(), wanted.inherited).await?;
    if let Some(targets) = &wanted.targets {
        found.retain(|given| targets.contains(&given.target));
    }
    Ok(found.into_iter().collect())
}

/// Groups as their members, what is inherited where it arrives, and roles with all that they imply.
async fn effective(store: &Store, wanted: &Wanted) -> Result<BTreeSet<Assignment>> {
    if matches!(wanted.actor, Some(Actor::Group(_))) {
        return Err(ApiError::bad_request("Cannot list effective assignments of a group"));
    }
    let given = match &wanted.actor {
        Some(Actor::User(id)) => store.held_by(id).await?,
        _ => store.assignments(None, None, None, None).await?,
    };
    let named = roles::by_id(store).await?;
    let mut found = BTreeSet::new();
    for one in given {
        let users: Vec<String> = match (&one.actor, &wanted.actor) {
            (Actor::User(id), _) | (Actor::Group(_), Some(Actor::User(id))) => vec![id.clone()],
            (Actor::Group(id), _) => store.members_of(id).await?,
        };
        let targets: Vec<Target> = match one.inherited {
            false => vec![one.target.clone()],
            true => {
                projects::below(store, &one.target.id).await?.iter().map(|id| Target::project(id)).collect()
            }
        };
        let roles = store.with_implied(BTreeSet::from([one.role_id.clone()])).await?;
        for target in targets
            .iter()
            .filter(|target| wanted.targets.as_ref().is_none_or(|wanted| wanted.contains(target)))
        {
            let asked = |id: &&String| wanted.role_id.as_ref().is_none_or(|wanted| wanted == *id);
            // A role of a domain takes effect by what it implies alone.
            let effective = |id: &&String| named.get(*id).is_some_and(|role| role["domain_id"].is_null());
            for role_id in roles.iter().filter(|id| asked(id) && effective(id)) {
                found.extend(users.iter().map(|user| Assignment {
                    actor: Actor::User(user.clone()),
                    target: target.clone(),
                    role_id: role_id.clone(),
                    inherited: false,
                }));
            }
        }
    }
    Ok(found)
}

/// Those whose target is the domain `own` or lies in it.
async fn inside(store: &Store, found: Vec<Assignment>, own: &str) -> Result<Vec<Assignment>> {
    let below: BTreeSet<String> = projects::below(store, own).await?.into_iter().collect();
    Ok(found.into_iter().filter(|one| one.target.id == own || below.contains(&one.target.id)).collect())
}

/// The names of all that a list mentions, by id.
struct Names {
    users: BTreeMap<String, Record>,
    groups: BTreeMap<String, Record>,
    projects: BTreeMap<String, Record>,
    roles: BTreeMap<String, Record>,
}

impl Names {
    async fn load(store: &Store, found: &[Assignment]) -> Result<Self> {
        async fn by_id(
            store: &Store,
            table: &Table,
            ids: BTreeSet<String>,
        ) -> Result<BTreeMap<String, Record>> {
            let ids: Vec<String> = ids.into_iter().collect();
            let records = store.get_many(table, &ids).await?;
            Ok(records.into_iter().map(|record| (text_of(&record, "id").to_owned(), record)).collect())
        }
        let (mut users, mut groups, mut targets) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for one in found {
            match &one.actor {
                Actor::User(id) => users.insert(id.clone()),
                Actor::Group(id) => groups.insert(id.clone()),
            };
            targets.insert(one.target.id.clone());
        }
        let users = by_id(store, &USERS, users).await?;
        let groups = by_id(store, &GROUPS, groups).await?;
        let mut projects = by_id(store, &PROJECTS, targets).await?;
        let domains = users.values().chain(groups.values()).chain(projects.values());
        let domains = domains.map(|record| text_of(record, "domain_id").to_owned()).collect();
        projects.extend(by_id(store, &PROJECTS, domains).await?);
        Ok(Self { users, groups, projects, roles: roles::by_id(store).await? })
    }

    fn described(&self, record: Option<&Record>, id: &str) -> Value {
        let Some(record) = record else { return json!({"id": id}) };
        let mut shown = json!({"id": id, "name": record["name"]});
        if let Some(domain_id) = record["domain_id"].as_str() {
            let name = self.projects.get(domain_id).map(|domain| domain["name"].clone());
            shown["domain"] = json!({"id": domain_id, "name": name});
        }
        shown
    }
}

fn shown(call: &Call, one: &Assignment, names: Option<&Names>) -> Value {
    let describe = |kind: &str, id: &str| match names {
        None => json!({"id": id}),
        Some(names) => {
            let table = match kind {
                "user" => &names.users,
                "group" => &names.groups,
                "role" => &names.roles,
                _ => &names.projects,
            };
            names.described(table.get(id), id)
        }
    };
    let (actor, actor_id) = match &one.actor {
        Actor::User(id) => ("user", id),
        Actor::Group(id) => ("group", id),
    };
    let mut item = Map::new();
    item.insert(actor.to_owned(), describe(actor, actor_id));
    item.insert("role".to_owned(), describe("role", &one.role_id));
    let (target, path) = match one.target.kind {
        TargetKind::System => ("system", "system".to_owned()),
        TargetKind::Project => ("project", format!("projects/{}", one.target.id)),
        TargetKind::Domain => ("domain", format!("domains/{}", one.target.id)),
    };
    let mut scope = match one.target.kind {
        TargetKind::System => json!({"system": {"all": true}}),
        _ => json!({target: describe(target, &one.target.id)}),
    };
    let mut link = format!("{}/{path}/{actor}s/{actor_id}/roles/{}", call.base(), one.role_id);
    if one.inherited {
        scope["OS-INHERIT:inherited_to"] = "projects".into();
        link = format!(
            "{}/OS-INHERIT/{path}/{actor}s/{actor_id}/roles/{}/inherited_to_projects",
            call.base(),
            one.role_id
        );
    }
    item.insert("scope".to_owned(), scope);
    item.insert("links".to_owned(), json!({"assignment": link}));
    Value::Object(item)
}
