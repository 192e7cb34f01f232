//! Access lists: `X-Container-Read` and `X-Container-Write` of containers, the JSON of `X-Account-Access-Control`.

use crate::error::{Result, SwiftError};
use crate::identity::Identity;
use serde_json::Value;

/// How far an account's list lets somebody go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    None,
    Read,
    ReadWrite,
    /// Everything, access lists and keys included.
    Owner,
}

/// A container's list in its one writing, or why it is none. `write` lists name no referrers.
pub(crate) fn clean(name: &str, list: &str) -> Result<String> {
    let write = name.contains("write");
    let refused = |what: String| Err(SwiftError::bad_request(what));
    let mut kept: Vec<String> = Vec::new();
    for raw in list.split(',').map(str::trim).filter(|raw| !raw.is_empty()) {
        let Some((first, second)) = raw.split_once(':') else {
            if raw.starts_with('.') && raw != ".rlistings" {
                return refused(format!("Unknown designator {raw:?} in ACL: {raw:?}"));
            }
            kept.push(raw.to_owned());
            continue;
        };
        let (first, second) = (first.trim(), second.trim());
        if !first.starts_with('.') {
            kept.push(raw.to_owned());
            continue;
        }
        if !matches!(first, ".r" | ".ref" | ".referer" | ".referrer") {
            return refused(format!("Unknown designator {first:?} in ACL: {raw:?}"));
        }
        if write {
            return refused(format!("Referrers not allowed in write ACL: {raw:?}"));
        }
        let (negated, host) = match second.strip_prefix('-') {
            Some(host) => (true, host.trim()),
            None => (false, second),
        };
        // `*.example.com` is another writing of `.example.com`.
        let host = match host.trim_start_matches(|c: char| c == '*' || c.is_whitespace()) {
            "" if !host.is_empty() => "*",
            host => host,
        };
        if host.is_empty() || host == "." || host.starts_with('-') {
            return refused(format!("No host/domain value after referrer designation in ACL: {raw:?}"));
        }
        kept.push(format!(".r:{}{host}", if negated { "-" } else { "" }));
    }
    Ok(kept.join(","))
}

/// Who a cleaned list lets in.
#[derive(Debug, Default)]
pub(crate) struct ContainerList<'a> {
    groups: Vec<&'a str>,
    referrers: Vec<&'a str>,
}

impl<'a> ContainerList<'a> {
    /// Reads a list.
    pub(crate) fn parse(list: &'a str) -> Self {
        let mut parsed = Self::default();
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item.strip_prefix(".r:") {
                Some(host) => parsed.referrers.push(host),
                None => parsed.groups.push(item),
            }
        }
        parsed
    }

    /// Whether referrers may also list.
    pub(crate) fn lists(&self) -> bool {
        self.groups.contains(&".rlistings")
    }

    /// Whether the page that `referrer` names may link to what is in the container. The last rule that matches counts.
    pub(crate) fn allows_referrer(&self, referrer: &str) -> bool {
        let host = referrer_host(referrer);
        let mut allowed = false;
        for rule in &self.referrers {
            let (denies, rule) = match rule.strip_prefix('-') {
                Some(rule) => (true, rule),
                None => (false, *rule),
            };
            let matches = rule == "*"
                || (!host.is_empty() && (rule == host || (rule.starts_with('.') && host.ends_with(rule))));
            if matches {
                allowed = !denies;
            }
        }
        allowed
    }

    /// Whether the list names this user: by `project:user` (ids or names, `*` for any), by project, role or group.
    pub(crate) fn allows_user(&self, who: &Identity) -> bool {
        self.groups.iter().any(|item| *item != ".rlistings" && names(item, who))
    }
}

fn names(item: &str, who: &Identity) -> bool {
    if who.groups.iter().any(|group| group == item) {
        return true;
    }
    if who.roles.iter().any(|role| role == item) {
        return true;
    }
    let Some((project, user)) = item.split_once(':') else { return item == "*" };
    let is_project = project == "*" || project == who.project_id || project == who.project_name;
    let is_user = user == "*" || user == who.user_id || user == who.user_name;
    is_project && is_user
}

fn referrer_host(referrer: &str) -> &str {
    let Some((_, rest)) = referrer.split_once("://") else { return "" };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.split(':').next().unwrap_or_default()
}

const LEVELS: [(&str, Access); 3] =
    [("admin", Access::Owner), ("read-write", Access::ReadWrite), ("read-only", Access::Read)];

/// An account's list in its one writing: empty if it grants nothing.
pub(crate) fn clean_account(list: &str) -> Result<String> {
    let refused = |why: &str| SwiftError::bad_request(format!("X-Account-Access-Control invalid: {why}"));
    if list.trim().is_empty() {
        return Ok(String::new());
    }
    let parsed: Value = serde_json::from_str(list).map_err(|_| refused("is no JSON"))?;
    let Value::Object(map) = &parsed else { return Err(refused("is no object")) };
    for (key, value) in map {
        if !LEVELS.iter().any(|(level, _)| level == key) {
            return Err(refused("has an unexpected key"));
        }
        let texts = value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
        if !texts {
            return Err(refused("has a value that is no list of names"));
        }
    }
    if map.is_empty() {
        return Ok(String::new());
    }
    Ok(list.to_owned())
}

/// How far an account's list lets a user go.
pub(crate) fn account_access(list: &str, who: &Identity) -> Access {
    let Ok(Value::Object(map)) = serde_json::from_str(list) else { return Access::None };
    let granted = |level: &str| {
        let names_who = |item: &Value| item.as_str().is_some_and(|item| names(item, who));
        map.get(level).and_then(Value::as_array).is_some_and(|items| items.iter().any(names_who))
    };
    LEVELS.iter().find(|(level, _)| granted(level)).map_or(Access::None, |(_, access)| *access)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn who() -> Identity {
        Identity {
            user_id: "u1".to_owned(),
            user_name: "tester".to_owned(),
            project_id: "p1".to_owned(),
            project_name: "test".to_owned(),
            roles: vec!["friend".to_owned()],
            groups: vec!["test:tester".to_owned()],
            ..Identity::default()
        }
    }

    #[test]
    fn lists_have_one_writing() {
        let check =
            |list: &str, wanted: &str| assert_eq!(clean("x-container-read", list).expect(list), wanted);
        check("a:b, c , ,d:*", "a:b,c,d:*");
        check(".referrer:*, .rlistings", ".r:*,.rlistings");
        check(".r: *.example.com,.ref:- bad.example.com", ".r:.example.com,.r:-bad.example.com");
        check("", "");
        for bad in [".r:", ".r:-", ".x:y", ".unknown", ".r:**-"] {
            assert_eq!(clean("x-container-read", bad).expect_err(bad).status(), 400, "{bad}");
        }
        assert!(clean("x-container-write", ".r:*").is_err());
    }

    #[test]
    fn lists_name_users_and_pages() {
        let user = |list: &str| ContainerList::parse(list).allows_user(&who());
        for yes in ["p1:u1", "test:tester", "*:u1", "p1:*", "*:*", "friend", "x,test:tester"] {
            assert!(user(yes), "{yes}");
        }
        for no in ["", "p2:u1", "p1:u2", "enemy", ".r:*", ".rlistings"] {
            assert!(!user(no), "{no}");
        }
        let page = |list: &str, referrer: &str| ContainerList::parse(list).allows_referrer(referrer);
        assert!(page(".r:*", "") && page(".r:*", "http://a.b/c"));
        assert!(page(".r:.b.com", "http://u@a.b.com:80/c") && !page(".r:.b.com", "http://ab.com/"));
        assert!(!page(".r:*,.r:-a.com", "http://a.com/x") && page(".r:*,.r:-a.com", "http://b.com"));
        assert!(!page("", "http://a.b/c") && !page(".r:a.com", ""));
    }

    #[test]
    fn accounts_have_lists_too() {
        let check = |list: &str, wanted: Access| assert_eq!(account_access(list, &who()), wanted, "{list}");
        check(r#"{"admin":["test:tester"],"read-only":["test:tester"]}"#, Access::Owner);
        check(r#"{"read-write":["p1:u1"]}"#, Access::ReadWrite);
        check(r#"{"read-only":["*:*"]}"#, Access::Read);
        check(r#"{"read-only":["x"]}"#, Access::None);
        check("", Access::None);
        for bad in ["x", "[]", r#"{"a":[]}"#, r#"{"admin":"x"}"#, r#"{"admin":[1]}"#] {
            assert_eq!(clean_account(bad).expect_err(bad).status(), 400, "{bad}");
        }
        assert_eq!(clean_account("{}").unwrap(), "");
    }

    proptest! {
        #[test]
        fn a_cleaned_list_is_clean(list in "[ a-c:.,*r-]{0,30}") {
            if let Ok(once) = clean("x-container-read", &list) {
                prop_assert_eq!(clean("x-container-read", &once).ok(), Some(once));
            }
        }

        #[test]
        fn any_list_is_read_without_panic(list in ".{0,40}", referrer in ".{0,30}") {
            let parsed = ContainerList::parse(&list);
            let _ = (parsed.allows_user(&who()), parsed.allows_referrer(&referrer), account_access(&list, &who()));
            let _ = clean_account(&list);
        }
    }
}
