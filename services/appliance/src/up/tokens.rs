//! Whose a token on the Swift port is: one of TempAuth's, which say so by their first letters, or else the identity service's.

use ringfort_identity_api::{Holder, IdentityClient};
use ringfort_swift::{AuthFuture, AuthUnavailable, Authenticator, Identity, Login, TempAuth};
use std::sync::Arc;

/// Letters that each of TempAuth's tokens begins with, and none of the identity service's.
const TEMP_PREFIX: &str = "AUTH_tk";
/// Who has it may do anything in any account, as in Swift's own settings.
const RESELLER_ADMIN: &str = "ResellerAdmin";
const DEFAULT_DOMAIN: &str = "default";

/// Both kinds of tokens.
pub(super) struct Tokens {
    pub(super) temp: TempAuth,
    pub(super) keystone: Arc<IdentityClient>,
}

impl Authenticator for Tokens {
    fn identify<'a>(&'a self, token: &'a str) -> AuthFuture<'a, Option<Arc<Identity>>> {
        if token.starts_with(TEMP_PREFIX) {
            return self.temp.identify(token);
        }
        Box::pin(async move {
            let holder = self.keystone.holder_of(token).await;
            let holder = holder.map_err(|error| AuthUnavailable(error.0))?;
            Ok(holder.and_then(|holder| of_holder(&holder)).map(Arc::new))
        })
    }

    fn login<'a>(&'a self, user: &'a str, key: &'a str) -> AuthFuture<'a, Option<Login>> {
        self.temp.login(user, key)
    }
}

/// A holder as the Swift gateway knows it. One whose token is for no project has no account; one whose token is bound to some
/// requests is refused, since the gateway could not keep it to these.
fn of_holder(holder: &Holder) -> Option<Identity> {
    let project = holder.project.as_ref().filter(|_| holder.access_rules.is_none())?;
    // Names mean somebody in the default domain only: others may have the same names elsewhere, and are called by id.
    let named = holder.user_domain_id == DEFAULT_DOMAIN && project.domain_id == DEFAULT_DOMAIN;
    let called = |name: &String, id: &String| if named { name.clone() } else { id.clone() };
    Some(Identity {
        user_id: holder.user_id.clone(),
        user_name: called(&holder.user_name, &holder.user_id),
        project_id: project.id.clone(),
        project_name: called(&project.name, &project.id),
        domain_id: project.domain_id.clone(),
        roles: holder.roles.clone(),
        groups: Vec::new(),
        reseller_admin: holder.roles.iter().any(|role| role.eq_ignore_ascii_case(RESELLER_ADMIN)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfort_identity_api::ProjectScope;

    #[test]
    fn only_whole_tokens_of_a_project_are_let_in() {
        let project = ProjectScope { id: "p".into(), name: "n".into(), domain_id: "d".into() };
        let holder = Holder {
            project: Some(project),
            roles: vec!["member".into(), "reader".into()],
            ..Holder::default()
        };
        let identity = of_holder(&holder).unwrap();
        assert!(identity.is_owner() && !identity.reseller_admin && identity.project_id == "p");
        assert_eq!(
            (identity.project_name.as_str(), identity.user_name.as_str()),
            ("p", ""),
            "another domain"
        );
        assert!(of_holder(&Holder { access_rules: Some(Vec::new()), ..holder.clone() }).is_none());
        assert!(of_holder(&Holder { project: None, ..holder.clone() }).is_none());
        let reader = of_holder(&Holder { roles: vec!["reader".into()], ..holder.clone() }).unwrap();
        assert!(!reader.is_owner() && reader.is_reader());
        let seller = of_holder(&Holder { roles: vec![RESELLER_ADMIN.into()], ..holder }).unwrap();
        assert!(seller.reseller_admin);
    }
}
