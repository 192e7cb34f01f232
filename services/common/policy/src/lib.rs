//! Who may do what, in the rule language of oslo.policy, which operators of OpenStack write in their `policy.yaml`.
//!
//! ```text
//! "admin_required": "role:admin or is_admin:1"
//! "identity:get_user": "rule:admin_required or user_id:%(target.user.id)s"
//! ```
//!
//! A [`Policy`] is a set of named rules; [`Policy::allows`] asks one of them about the caller (who it is, by its token) and a
//! target (what it wants to touch). Both are JSON objects. What a rule names and the target lacks makes its check fail: a
//! rule never opens a door by a missing value. Pure: reads no file, knows no service.

mod check;
mod file;
mod parse;

pub use file::FileError;
pub use parse::RuleError;

use check::{Check, Context};
use serde_json::Value;
use std::collections::BTreeMap;

/// Rules that name each other deeper than this are refused.
const DEPTH_MAX: usize = 32;

/// A set of rules by name.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: BTreeMap<String, Check>,
}

/// Why a set of rules can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A rule that is none.
    #[error("rule `{name}`: {reason}")]
    Rule {
        /// The rule.
        name: String,
        /// What is wrong with it.
        reason: RuleError,
    },
    /// A rule names one that is not there.
    #[error("rule `{name}` names the rule `{missing}`, which is not there")]
    Missing {
        /// The rule.
        name: String,
        /// What it names.
        missing: String,
    },
    /// Rules that name each other in a circle, or so deep that it makes no difference.
    #[error("rule `{name}` names itself, by way of others")]
    Circle {
        /// The rule.
        name: String,
    },
    /// The file is none.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Policy {
    /// The rules in `defaults`, and over them those of an operator's file, if there is one.
    ///
    /// # Errors
    /// When a rule can't be read, or names another that is not there or leads back to it.
    pub fn new(defaults: &[(&str, &str)], file: Option<&str>) -> Result<Self, PolicyError> {
        let mut texts: BTreeMap<String, String> =
            defaults.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        if let Some(file) = file {
            texts.extend(file::read(file)?);
        }
        let mut rules = BTreeMap::new();
        for (name, text) in texts {
            let check =
                parse::parse(&text).map_err(|reason| PolicyError::Rule { name: name.clone(), reason })?;
            rules.insert(name, check);
        }
        let policy = Self { rules };
        for (name, check) in &policy.rules {
            policy.follow(name, check, 0)?;
        }
        Ok(policy)
    }

    /// Whether rule `name` lets `caller` touch `target`. A rule that is not there lets nobody.
    #[must_use]
    pub fn allows(&self, name: &str, caller: &Value, target: &Value) -> bool {
        let context = Context { rules: &self.rules, caller, target };
        self.rules.get(name).is_some_and(|check| check.holds(&context))
    }

    /// The names of the rules.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.keys().map(String::as_str)
    }

    fn follow(&self, name: &str, check: &Check, depth: usize) -> Result<(), PolicyError> {
        if depth > DEPTH_MAX {
            return Err(PolicyError::Circle { name: name.to_owned() });
        }
        for named in check.names() {
            let Some(next) = self.rules.get(named) else {
                return Err(PolicyError::Missing { name: name.to_owned(), missing: named.to_owned() });
            };
            self.follow(name, next, depth + 1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(rule: &str, caller: &Value, target: &Value) -> bool {
        Policy::new(&[("admin_required", "role:admin or is_admin:1"), ("x", rule)], None)
            .unwrap()
            .allows("x", caller, target)
    }

    #[test]
    fn rules_hold_as_oslo_has_them() {
        let caller = json!({"roles": ["Admin", "reader"], "user_id": "u1", "domain_id": null, "system_scope": "all",
                            "token": {"domain": {"id": "d1"}}});
        let target = json!({"target": {"user": {"id": "u1", "domain_id": "d1"}, "role": {"name": "member", "domain_id": null}},
                            "user_id": "u1", "flag": true});
        for (rule, wanted) in [
            ("", true),
            ("@", true),
            ("!", false),
            ("rule:admin_required", true),
            ("role:ADMIN", true),
            ("role:member", false),
            ("user_id:%(target.user.id)s", true),
            ("user_id:%(user_id)s and role:reader", true),
            ("user_id:%(target.project.id)s", false),
            ("not user_id:%(target.user.id)s", false),
            ("token.domain.id:%(target.user.domain_id)s", true),
            ("domain_id:%(target.user.domain_id)s", false),
            ("None:%(target.role.domain_id)s", true),
            ("not domain_id:None", false),
            ("'manager':%(target.role.name)s or 'member':%(target.role.name)s", true),
            ("role:member or role:reader and system_scope:all", true),
            ("(role:member or role:reader) and not system_scope:all", false),
            ("True:%(flag)s", true),
            ("nothing:%(flag)s", false),
            ("role:%(target.role.name)s", false),
            ("domain_id:%(target.role.domain_id)s", false),
            ("domain_id:None", true),
        ] {
            assert_eq!(holds(rule, &caller, &target), wanted, "{rule}");
        }
    }

    /// In Keystone's own rules, `and` binds closer than `or`, and `not` closer than both.
    #[test]
    fn operators_bind_as_in_oslo() {
        let caller = json!({"roles": ["a"]});
        assert!(holds("role:a or role:b and role:c", &caller, &json!({})));
        assert!(!holds("(role:a or role:b) and role:c", &caller, &json!({})));
        assert!(holds("not role:b and role:a", &caller, &json!({})));
    }

    #[test]
    fn what_is_no_policy_is_told() {
        let check = |rule: &str, file: Option<&str>, wanted: &str| {
            let error = Policy::new(&[("x", rule)], file).unwrap_err().to_string();
            assert!(error.contains(wanted), "{rule}: {error}");
        };
        check("role:a and", None, "rule `x`");
        check("(role:a", None, "rule `x`");
        check("role:a role:b", None, "rule `x`");
        check("and", None, "rule `x`");
        check("rule:y", None, "`y`, which is not there");
        check("rule:x", None, "names itself");
        check("@", Some("{\"x\": 5}"), "x");
        check("@", Some("x y z"), "line 1");
        check(&"(".repeat(10_000), None, "too deep");
    }

    #[test]
    fn a_file_stands_above_the_defaults() {
        let file = "# ours\n\"x\": \"role:b\"  # closed\ny: rule:x\n\n'z': '!'\n";
        let policy = Policy::new(&[("x", "role:a"), ("w", "@")], Some(file)).unwrap();
        let (a, b) = (json!({"roles": ["a"]}), json!({"roles": ["b"]}));
        assert!(policy.allows("y", &b, &json!({})) && !policy.allows("x", &a, &json!({})));
        assert!(!policy.allows("z", &b, &json!({})) && policy.allows("w", &a, &json!({})));
        assert!(!policy.allows("unknown", &a, &json!({})));
        let json = Policy::new(&[("x", "role:a")], Some(r#"{"x": "role:b"}"#)).unwrap();
        assert!(json.allows("x", &b, &json!({})));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_rule_or_an_error(text in "[ ()a-z:%@!'\\.]{0,60}") {
            if let Ok(policy) = Policy::new(&[("x", &text)], Some(&format!("y: {text}"))) {
                let _ = policy.allows("x", &json!({"roles": ["a"]}), &json!({}));
            }
        }
    }
}
