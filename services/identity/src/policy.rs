//! The built-in rules: Keystone's defaults, by which `admin` may do everything, a domain's `manager` keeps its users, groups and
//! projects, and a `reader` of the system or of a domain sees what is there.

/// Rules by name; an operator's file may replace any of them.
pub(crate) const RULES: &[(&str, &str)] = &[
    ("admin_required", "role:admin or is_admin:1"),
    ("service_role", "role:service"),
    ("service_or_admin", "rule:admin_required or rule:service_role"),
    ("owner", "user_id:%(user_id)s"),
    ("token_subject", "user_id:%(target.token.user_id)s"),
    ("system_reader", "role:reader and system_scope:all"),
    ("admin_or_system_reader", "rule:admin_required or rule:system_reader"),
    (
        "domain_managed_target_role",
        "'manager':%(target.role.name)s or 'member':%(target.role.name)s or 'reader':%(target.role.name)s",
    ),
    // Tokens.
    ("identity:validate_token", "rule:admin_or_system_reader or rule:service_role or rule:token_subject"),
    ("identity:check_token", "rule:admin_or_system_reader or rule:token_subject"),
    ("identity:revoke_token", "rule:admin_required or rule:token_subject"),
    ("identity:get_auth_catalog", ""),
    ("identity:get_auth_projects", ""),
    ("identity:get_auth_domains", ""),
    ("identity:get_auth_system", ""),
    ("identity:ec2tokens_validate", "rule:service_or_admin"),
    ("identity:s3tokens_validate", "rule:service_or_admin"),
    // Domains.
    (
        "identity:get_domain",
        "rule:admin_or_system_reader or token.domain.id:%(target.domain.id)s \
         or token.project.domain.id:%(target.domain.id)s",
    ),
    (
        "identity:list_domains",
        "rule:admin_or_system_reader or (role:reader and domain_id:%(target.domain.id)s)",
    ),
    ("identity:create_domain", "rule:admin_required"),
    ("identity:update_domain", "rule:admin_required"),
    ("identity:delete_domain", "rule:admin_required"),
    // Projects.
    (
        "identity:get_project",
        "rule:admin_or_system_reader or (role:reader and domain_id:%(target.project.domain_id)s \
         and not None:%(target.project.domain_id)s) or project_id:%(target.project.id)s",
    ),
    (
        "identity:list_projects",
        "rule:admin_or_system_reader or (role:reader and domain_id:%(target.domain_id)s)",
    ),
    (
        "identity:list_user_projects",
        "rule:admin_or_system_reader or (role:reader and domain_id:%(target.user.domain_id)s) \
         or user_id:%(target.user.id)s",
    ),
    (
        "domain_manager_of_project",
        "role:manager and domain_id:%(target.project.domain_id)s and not None:%(target.project.domain_id)s",
    ),
    ("identity:create_project", "rule:admin_required or rule:domain_manager_of_project"),
    ("identity:update_project", "rule:admin_required or rule:domain_manager_of_project"),
    ("identity:delete_project", "rule:admin_required or rule:domain_manager_of_project"),
    // Users.
    (
        "identity:get_user",
        "rule:admin_or_system_reader or (role:reader and token.domain.id:%(target.user.domain_id)s) \
         or user_id:%(target.user.id)s",
    ),
    (
        "identity:list_users",
        "rule:admin_or_system_reader or (role:reader and domain_id:%(target.domain_id)s)",
    ),
    ("domain_manager_of_user", "role:manager and token.domain.id:%(target.user.domain_id)s"),
    ("identity:create_user", "rule:admin_required or rule:domain_manager_of_user"),
    ("identity:update_user", "rule:admin_required or rule:domain_manager_of_user"),
    ("identity:delete_user", "rule:admin_required or rule:domain_manager_of_user"),
    // Groups.
    ("domain_reader_of_group", "role:reader and domain_id:%(target.group.domain_id)s"),
    ("domain_manager_of_group", "role:manager and domain_id:%(target.group.domain_id)s"),
    ("domain_manager_of_member", "rule:domain_manager_of_group and domain_id:%(target.user.domain_id)s"),
    ("identity:get_group", "rule:admin_or_system_reader or rule:domain_reader_of_group"),
    ("identity:list_groups", "rule:admin_or_system_reader or rule:domain_reader_of_group"),
    (
        "identity:list_groups_for_user",
        "rule:admin_or_system_reader or (role:reader and domain_id:%(target.user.domain_id)s) \
         or user_id:%(target.user.id)s",
    ),
    ("identity:create_group", "rule:admin_required or rule:domain_manager_of_group"),
    ("identity:update_group", "rule:admin_required or rule:domain_manager_of_group"),
    ("identity:delete_group", "rule:admin_required or rule:domain_manager_of_group"),
    ("identity:list_users_in_group", "rule:admin_or_system_reader or rule:domain_reader_of_group"),
    (
        "identity:check_user_in_group",
        "rule:admin_or_system_reader or (rule:domain_reader_of_group and domain_id:%(target.user.domain_id)s)",
    ),
    ("identity:add_user_to_group", "rule:admin_required or rule:domain_manager_of_member"),
    ("identity:remove_user_from_group", "rule:admin_required or rule:domain_manager_of_member"),
    // Roles.
    (
        "identity:get_role",
        "rule:admin_or_system_reader or (role:manager and rule:domain_managed_target_role)",
    ),
    ("identity:list_roles", "rule:admin_or_system_reader or (role:manager and not domain_id:None)"),
    ("identity:create_role", "rule:admin_required"),
    ("identity:update_role", "rule:admin_required"),
    ("identity:delete_role", "rule:admin_required"),
    ("identity:get_implied_role", "rule:admin_or_system_reader"),
    ("identity:list_implied_roles", "rule:admin_or_system_reader"),
    ("identity:check_implied_role", "rule:admin_or_system_reader"),
    ("identity:list_role_inference_rules", "rule:admin_or_system_reader"),
    ("identity:create_implied_role", "rule:admin_required"),
    ("identity:delete_implied_role", "rule:admin_required"),
    // Who has which role.
    ("grant_actor_in_domain", "domain_id:%(target.user.domain_id)s or domain_id:%(target.group.domain_id)s"),
    ("grant_target_in_domain", "domain_id:%(target.project.domain_id)s or domain_id:%(target.domain.id)s"),
    ("grant_in_domain", "rule:grant_actor_in_domain and rule:grant_target_in_domain"),
    ("identity:check_grant", "rule:admin_or_system_reader or (role:reader and rule:grant_in_domain)"),
    ("identity:list_grants", "rule:admin_or_system_reader or (role:reader and rule:grant_in_domain)"),
    (
        "identity:create_grant",
        "rule:admin_required or (role:manager and rule:grant_in_domain and rule:domain_managed_target_role)",
    ),
    (
        "identity:revoke_grant",
        "rule:admin_required or (role:manager and rule:grant_in_domain and rule:domain_managed_target_role)",
    ),
    ("identity:check_system_grant", "rule:admin_or_system_reader"),
    ("identity:list_system_grants", "rule:admin_or_system_reader"),
    ("identity:create_system_grant", "rule:admin_required"),
    ("identity:revoke_system_grant", "rule:admin_required"),
    (
        "identity:list_role_assignments",
        "rule:admin_or_system_reader or (role:reader and domain_id:%(target.domain_id)s and not None:%(target.domain_id)s)",
    ),
    // The catalogue.
    ("identity:get_region", ""),
    ("identity:list_regions", ""),
    ("identity:create_region", "rule:admin_required"),
    ("identity:update_region", "rule:admin_required"),
    ("identity:delete_region", "rule:admin_required"),
    ("identity:get_service", "rule:admin_or_system_reader"),
    ("identity:list_services", "rule:admin_or_system_reader"),
    ("identity:create_service", "rule:admin_required"),
    ("identity:update_service", "rule:admin_required"),
    ("identity:delete_service", "rule:admin_required"),
    ("identity:get_endpoint", "rule:admin_or_system_reader"),
    ("identity:list_endpoints", "rule:admin_or_system_reader"),
    ("identity:create_endpoint", "rule:admin_required"),
    ("identity:update_endpoint", "rule:admin_required"),
    ("identity:delete_endpoint", "rule:admin_required"),
    // Credentials.
    ("credential_owner", "user_id:%(target.credential.user_id)s"),
    ("identity:get_credential", "rule:admin_or_system_reader or rule:credential_owner"),
    ("identity:list_credentials", "rule:admin_or_system_reader or rule:credential_owner"),
    ("identity:create_credential", "rule:admin_required or rule:credential_owner"),
    ("identity:update_credential", "rule:admin_required or rule:credential_owner"),
    ("identity:delete_credential", "rule:admin_required or rule:credential_owner"),
    ("identity:ec2_get_credential", "rule:admin_or_system_reader or rule:credential_owner"),
    ("identity:ec2_list_credentials", "rule:admin_or_system_reader or rule:owner"),
    ("identity:ec2_create_credential", "rule:admin_required or (role:member and rule:credential_owner)"),
    ("identity:ec2_delete_credential", "rule:admin_required or (role:member and rule:credential_owner)"),
    ("identity:get_application_credential", "rule:admin_or_system_reader or rule:owner"),
    ("identity:list_application_credentials", "rule:admin_or_system_reader or rule:owner"),
    ("identity:create_application_credential", "rule:owner"),
    ("identity:delete_application_credential", "rule:admin_required or rule:owner"),
    // Trusts.
    ("trustor", "user_id:%(target.trust.trustor_user_id)s"),
    ("trustee", "user_id:%(target.trust.trustee_user_id)s"),
    ("identity:create_trust", "rule:trustor"),
    ("identity:list_trusts", "rule:admin_or_system_reader"),
    ("identity:list_trusts_for_trustor", "rule:admin_or_system_reader or rule:trustor"),
    ("identity:list_trusts_for_trustee", "rule:admin_or_system_reader or rule:trustee"),
    ("identity:get_trust", "rule:admin_or_system_reader or rule:trustor or rule:trustee"),
    ("identity:list_roles_for_trust", "rule:admin_or_system_reader or rule:trustor or rule:trustee"),
    ("identity:get_role_for_trust", "rule:admin_or_system_reader or rule:trustor or rule:trustee"),
    ("identity:delete_trust", "rule:admin_required or rule:trustor"),
    ("identity:get_access_rule", "rule:system_reader or user_id:%(target.user.id)s"),
    ("identity:list_access_rules", "rule:system_reader or user_id:%(target.user.id)s"),
    ("identity:delete_access_rule", "(role:admin and system_scope:all) or user_id:%(target.user.id)s"),
];

#[cfg(test)]
mod tests {
    use ringfort_policy::Policy;
    use serde_json::json;

    #[test]
    fn the_rules_are_rules_and_close_what_they_should() {
        let policy = Policy::new(super::RULES, None).unwrap();
        let admin =
            json!({"roles": ["admin", "manager", "member", "reader"], "user_id": "a", "project_id": "p"});
        let member = json!({"roles": ["member", "reader"], "user_id": "m", "project_id": "p", "domain_id": null,
            "system_scope": null, "token": {"domain": {"id": null}}});
        let open = ["identity:get_auth_", "identity:get_region", "identity:list_regions"];
        for (name, _) in super::RULES.iter().filter(|(name, _)| name.starts_with("identity:")) {
            let is_open = open.iter().any(|prefix| name.starts_with(prefix));
            assert_eq!(policy.allows(name, &member, &json!({})), is_open, "{name} for a member");
            let owners = ["access_rule", "create_application_credential", "create_trust"];
            let for_owners = owners.iter().any(|part| name.contains(part));
            assert_eq!(policy.allows(name, &admin, &json!({})), !for_owners, "{name} for an admin");
        }
        let own = json!({"target": {"user": {"id": "m", "domain_id": "default"}}});
        assert!(policy.allows("identity:get_user", &member, &own));
        assert!(!policy.allows("identity:update_user", &member, &own));
    }
}
