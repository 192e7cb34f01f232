//! What a token says, in few bytes: whose it is, how it was got, what it is for, and when it ends. All else is looked up each time it
//! is shown, so that a token never says more than is true.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scope {
    Unscoped,
    Project(String),
    Domain(String),
    System,
}

/// How its holder proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Method {
    Password,
    Token,
    AppCredential,
    Ec2,
}

impl Method {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Token => "token",
            Self::AppCredential => "application_credential",
            Self::Ec2 => "ec2credential",
        }
    }
}

/// The name of a token in logs and revocations: 16 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditId([u8; 16]);

impl AuditId {
    pub(crate) fn generate() -> Self {
        Self(rand::rng().random())
    }

    pub(crate) fn text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// The content of a token. New fields go to the end of a new variant of [`Versioned`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payload {
    pub(crate) user_id: String,
    pub(crate) methods: Vec<Method>,
    pub(crate) scope: Scope,
    pub(crate) issued_us: u64,
    pub(crate) expires_us: u64,
    pub(crate) audit_id: AuditId,
    /// The first token of the chain that this one was got with.
    pub(crate) chain_id: Option<AuditId>,
    /// The application credential it was got with, which bounds its roles.
    pub(crate) app_credential_id: Option<String>,
    /// The trust it was got with; `user_id` is then the trustee's.
    #[serde(skip)]
    pub(crate) trust_id: Option<String>,
}

#[derive(Serialize, Deserialize)]
enum Versioned {
    V1(Payload),
    /// With the id of a trust.
    V2(Payload, String),
}

impl Payload {
    /// That of whoever operates the machine. It is never sealed into a token, and is worth nothing by its content.
    pub(crate) fn of_operator() -> Self {
        Self {
            user_id: String::new(),
            methods: Vec::new(),
            scope: Scope::Unscoped,
            issued_us: 0,
            expires_us: 0,
            audit_id: AuditId([0; 16]),
            chain_id: None,
            app_credential_id: None,
            trust_id: None,
        }
    }

    pub(crate) fn encode(mut self) -> Vec<u8> {
        let versioned = match self.trust_id.take() {
            None => Versioned::V1(self),
            Some(trust_id) => Versioned::V2(self, trust_id),
        };
        postcard::to_stdvec(&versioned).expect("a payload is plain data")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match postcard::take_from_bytes(bytes) {
            Ok((Versioned::V1(payload), [])) => Some(payload),
            Ok((Versioned::V2(payload, trust_id), [])) => Some(Self { trust_id: Some(trust_id), ..payload }),
            _ => None,
        }
    }

    /// The audit ids as a token shows them: its own, and that of the first of its chain.
    pub(crate) fn audit_ids(&self) -> Vec<String> {
        std::iter::once(self.audit_id).chain(self.chain_id).map(AuditId::text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload() -> Payload {
        Payload {
            user_id: "4cbd82d1f8ae4b37bc189fc0c04c486d".to_owned(),
            methods: vec![Method::Password, Method::Token],
            scope: Scope::Project("0e5f13befe204daebbeb6fb0f9f13279".to_owned()),
            issued_us: 1_800_000_000_000_000,
            expires_us: 1_800_003_600_000_000,
            audit_id: AuditId([1; 16]),
            chain_id: Some(AuditId([2; 16])),
            app_credential_id: None,
            trust_id: None,
        }
    }

    /// Some clients and databases have room for 255 characters.
    #[test]
    fn tokens_are_short() {
        let text = super::super::fernet::seal(&[0; 32], &payload().encode(), 0);
        assert!(text.len() <= 255, "{} characters", text.len());
    }

    #[test]
    fn only_whole_payloads_are_read() {
        let lent = Payload { trust_id: Some("t".to_owned()), ..payload() };
        assert_eq!(Payload::decode(&lent.clone().encode()), Some(lent));
        let bytes = payload().encode();
        assert_eq!(Payload::decode(&bytes), Some(payload()));
        for at in 0..bytes.len() {
            assert_eq!(Payload::decode(&bytes[..at]), None);
        }
        assert_eq!(Payload::decode(&[&bytes[..], &[0]].concat()), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            Payload::decode(&bytes);
        }
    }
}
