//! The service over its whole API, on each database: every scenario runs by itself on SQLite, and all of them on one PostgreSQL
//! server that the test starts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod assignments;
mod bad_input;
mod cloud;
mod credentials;
mod matrix;
mod passwords;
mod postgres;
mod resources;
mod tokens;
mod trusts;

use cloud::{Cloud, Scenario};

macro_rules! scenarios {
    ($($module:ident: $($name:ident),+;)+) => {
        $($(
            #[tokio::test]
            async fn $name() {
                $module::$name(Cloud::on_sqlite().await).await;
            }
        )+)+

        /// All of them by name.
        fn all() -> Vec<(&'static str, Scenario)> {
            vec![$($((stringify!($name), |cloud| Box::pin($module::$name(cloud)))),+),+]
        }
    };
}

scenarios! {
    tokens: a_password_gets_a_token, scopes_are_what_was_given, tokens_end, revocations_reach_tokens, failures_lock_out;
    resources: domains_come_and_go, projects_form_a_tree, users_and_groups, the_catalogue, lists_are_filtered_and_paged;
    assignments: roles_reach_where_they_should, assignments_are_listed, implied_roles, nobody_grants_more_than_they_may;
    credentials: ec2_credentials, application_credentials, secrets_are_sealed;
    passwords: old_passwords_are_remembered, a_password_stays_a_while, passwords_expire, operators_need_no_token;
    matrix: nothing_is_open_to_who_has_no_business_there;
    trusts: trusts_lend_roles, trusts_are_listed, trusts_are_used_up_and_expire, trusts_follow_their_trustor, nobody_lends_what_is_not_theirs;
    bad_input: what_is_wrong_is_told, other_projects_are_closed, forged_tokens_are_none;
}
