//! What each path does: one file per resource. A path that is known answers 405 to a method that it does not have.

mod app_credentials;
mod auth_lists;
mod catalog;
pub(crate) mod credentials;
mod domains;
mod ec2;
mod grants;
mod groups;
mod passwords;
mod projects;
mod roles;
mod tokens;
mod trusts;
mod users;
mod versions;

use crate::error::{ApiError, Result};
use crate::http::{Answer, Call, Verb};

/// Answers a request.
pub(crate) async fn route(call: &mut Call) -> Result<Answer> {
    let path = call.path.clone();
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let Some((first, rest)) = parts.split_first() else { return versions::all(call) };
    if *first != "v3" {
        return Err(ApiError::no_path());
    }
    let Some((resource, rest)) = rest.split_first() else { return versions::third(call) };
    match (*resource, rest) {
        ("auth", ["tokens"]) => tokens::serve(call).await,
        ("auth", rest) => auth_lists::serve(call, rest).await,
        ("domains", rest) => domains::serve(call, rest).await,
        ("projects", rest) => projects::serve(call, rest).await,
        ("users", rest) => users::serve(call, rest).await,
        ("groups", rest) => groups::serve(call, rest).await,
        ("roles", rest) => roles::serve(call, rest).await,
        ("role_inferences", []) => roles::inferences(call).await,
        ("role_assignments", []) => grants::list_assignments(call).await,
        ("system", rest) => grants::serve_system(call, rest).await,
        ("OS-INHERIT", rest) => grants::serve_inherited(call, rest).await,
        ("OS-TRUST", rest) => trusts::serve(call, rest).await,
        ("credentials", rest) => credentials::serve(call, rest).await,
        ("ec2tokens", []) => ec2::ec2_tokens(call).await,
        ("s3tokens", []) => ec2::s3_tokens(call).await,
        ("regions", rest) => catalog::regions(call, rest).await,
        ("services", rest) => catalog::services(call, rest).await,
        ("endpoints", rest) => catalog::endpoints(call, rest).await,
        _ => Err(ApiError::no_path()),
    }
}

/// A method that a known path does not have.
fn no_method<T>(_: Verb) -> Result<T> {
    Err(ApiError::no_method())
}
