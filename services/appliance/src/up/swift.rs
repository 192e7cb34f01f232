//! The Swift port: its users and its settings.

use crate::config::Settings;
use crate::ports::Service;
use crate::up::tokens::Tokens;
use rand::Rng;
use ringfort_identity_api::IdentityClient;
use ringfort_object::ObjectStore;
use ringfort_swift::{SwiftConfig, SwiftGateway, TempAuth, TempAuthUser};
use std::sync::Arc;

/// Headers of a request: the metadata that an object may have, twice, so that too many get Swift's own answer.
pub(super) const HEADERS_MAX: usize = 250;

/// The gateway over `objects`. TempAuth's tokens are signed by a secret that ends with the process.
pub(super) fn gateway(
    settings: &Settings,
    objects: ObjectStore,
    keystone: Arc<IdentityClient>,
) -> SwiftGateway {
    let users = settings.swift_users.iter().map(|user| TempAuthUser {
        account: user.account.clone(),
        user: user.user.clone(),
        key: user.key.clone(),
        roles: user.roles.clone(),
    });
    let mut secret = [0; 32];
    rand::rng().fill(&mut secret);
    let temp = TempAuth::new(users.collect(), secret, settings.swift_token_lifetime);
    let auth = Tokens { temp, keystone };
    let policies = settings.policies.iter().zip(0..);
    let config = SwiftConfig {
        public_url: settings.url(Service::Swift),
        // The characters that a policy's name may have in Swift.
        policies: policies.map(|(policy, id)| (id, policy.to_string().replace([':', '+'], "-"))).collect(),
        ..SwiftConfig::default()
    };
    SwiftGateway::new(objects, Arc::new(auth), config)
}
