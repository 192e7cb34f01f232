//! AWS's SDK for Rust, set up for a server under test.
//!
//! Its own HTTP stack brings TLS and features of hyper that nothing else here needs, and a feature more means that all which
//! depends on hyper is built again for the tests. So it speaks through the hyper that is there: everything above that, from
//! signatures to checksums and retries, is the SDK's.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use ringfort_acceptance::Keys;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Requests that were sent.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<AtomicU32>);

impl Sent {
    /// How many.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Debug)]
struct Plain {
    client: legacy::Client<legacy::connect::HttpConnector, SdkBody>,
    sent: Sent,
}

impl HttpConnector for Plain {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.sent.0.fetch_add(1, Ordering::Relaxed);
        let client = self.client.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let response = client.request(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            let response = response.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// A client with these keys, and a count of what it sends.
#[must_use]
pub fn client(keys: &Keys) -> (Client, Sent) {
    let sent = Sent::default();
    let plain =
        Plain { client: legacy::Client::builder(TokioExecutor::new()).build_http(), sent: sent.clone() };
    let connector = SharedHttpConnector::new(plain);
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .endpoint_url(&keys.endpoint)
        .region(Region::new(keys.region.clone()))
        .credentials_provider(Credentials::new(&keys.access_key, &keys.secret_key, None, None, "s3.env"))
        .force_path_style(true)
        .build();
    (Client::from_conf(config), sent)
}
