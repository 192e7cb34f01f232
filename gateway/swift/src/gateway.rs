//! From a request to its reply: target, identity, access, the operation, and errors in Swift's words.

use crate::acl::Access;
use crate::authorize::{self, Grant};
use crate::clock;
use crate::config::SwiftConfig;
use crate::error::{Result, SwiftError};
use crate::formpost;
use crate::headers;
use crate::identity::{Authenticator, Identity};
use crate::measure::Meters;
use crate::target::{Query, Target};
use crate::tempurl::Signed;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use ringfort_http::RequestId;
use ringfort_http::{ReplyBody, RequestBody, boxed};
use ringfort_object::{ObjectPath, ObjectStore};
use std::sync::Arc;

/// The Swift dialect. A cheap clone.
#[derive(Clone)]
pub struct SwiftGateway {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) objects: ObjectStore,
    pub(crate) config: SwiftConfig,
    pub(crate) auth: Arc<dyn Authenticator>,
    meters: Meters,
}

/// A request whose sender is known.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) parts: Parts,
    pub(crate) query: Query,
    /// The account as the object layer knows it: the project.
    pub(crate) account: String,
    /// The account as the path names it.
    pub(crate) account_name: String,
    /// Empty where the path names none.
    pub(crate) container: String,
    /// Empty where the path names none.
    pub(crate) object: String,
    pub(crate) identity: Option<Arc<Identity>>,
    /// How far the caller may go in the whole account.
    pub(crate) access: Access,
    pub(crate) grant: Option<Grant>,
    /// The signed URL by which the request came.
    pub(crate) signed: Option<Signed>,
    pub(crate) trans_id: String,
}

impl Call {
    pub(crate) fn path(&self) -> ObjectPath {
        ObjectPath::new(self.account.as_str(), self.container.as_str(), self.object.as_str())
    }

    pub(crate) fn method(&self) -> &Method {
        &self.parts.method
    }

    pub(crate) fn is_head(&self) -> bool {
        self.parts.method == Method::HEAD
    }

    /// Whether the caller sees and sets keys and lists.
    pub(crate) fn is_owner(&self) -> bool {
        self.access == Access::Owner
    }

    pub(crate) fn is_reseller_admin(&self) -> bool {
        self.identity.as_ref().is_some_and(|who| who.reseller_admin)
    }

    fn subject(&self) -> usize {
        1 + usize::from(!self.container.is_empty()) + usize::from(!self.object.is_empty())
    }
}

pub(crate) type Reply = Result<Response<ReplyBody>>;

impl SwiftGateway {
    /// A gateway over `objects`. Install a metrics recorder before, if there shall be one.
    #[must_use]
    pub fn new(objects: ObjectStore, auth: Arc<dyn Authenticator>, config: SwiftConfig) -> Self {
        Self { inner: Arc::new(Inner { objects, config, auth, meters: Meters::new() }) }
    }

    /// Answers one request.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the reply, never half a write: the object layer owns its commits.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<ReplyBody>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let started = ringfort_runtime::boot_time();
        let (parts, body) = request.into_parts();
        let request_id = parts.extensions.get::<RequestId>().copied().unwrap_or_else(RequestId::generate);
        let trans_id = trans_id(request_id);
        let method = parts.method.clone();
        let keeps = parts
            .headers
            .get(CONNECTION)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"keep-alive"));
        let mut subject = 0;
        let reply = self.serve(parts, boxed(body), trans_id.clone(), &mut subject).await;
        let mut response = reply.unwrap_or_else(|error| {
            log_refusal(&error, request_id, &method);
            error_reply(&error, &method)
        });
        finish(&mut response, &method, &trans_id);
        if keeps {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("keep-alive"));
        }
        let took = ringfort_runtime::boot_time().saturating_sub(started);
        self.inner.meters.note(subject, method.as_str(), response.status(), took);
        response
    }

    async fn serve(&self, parts: Parts, body: RequestBody, trans_id: String, subject: &mut usize) -> Reply {
        headers::check_lengths(&parts.headers, &self.inner.config)?;
        let target = Target::parse(&parts.uri, self.inner.config.uri_bytes_max)?;
        let query = Query::parse(parts.uri.query().unwrap_or_default())?;
        let (account_name, container, object) = match target {
            Target::Service(path) => return self.serve_itself(&parts, &path, &query).await,
            Target::Store { account, container, object } => (account, container, object),
        };
        let container = container.unwrap_or_default();
        let object = object.unwrap_or_default();
        self.check_names(&account_name, &container, &object)?;
        let identity = self.identify(&parts).await?;
        let Some(account) = account_name.strip_prefix(&self.inner.config.reseller_prefix) else {
            return Err(match identity {
                Some(_) => StatusCode::FORBIDDEN.into(),
                None => authorize::unauthorized(&account_name),
            });
        };
        // Such accounts are ours.
        if account.is_empty() || account.starts_with('.') {
            return Err(StatusCode::FORBIDDEN.into());
        }
        let account = account.to_owned();
        let mut call = Call {
            parts,
            query,
            account,
            account_name,
            container,
            object,
            identity,
            access: Access::None,
            grant: None,
            signed: None,
            trans_id,
        };
        *subject = call.subject();
        if call.method() == Method::OPTIONS {
            return Box::pin(self.options(&call)).await;
        }
        let origin = call.parts.headers.get(ORIGIN).cloned();
        let (account, container) = (call.account.clone(), call.container.clone());
        call.access = self.account_access(&call).await?;
        let signed = Signed::of(&call.query, clock::now_s())?;
        let mut reply = match signed {
            Some(signed) => Box::pin(self.run_signed(call, body, &signed)).await,
            None => self.run_known(call, body).await,
        };
        if let (Some(origin), false) = (origin, container.is_empty()) {
            let mut response = reply.unwrap_or_else(|error| error_reply(&error, &Method::GET));
            Box::pin(self.share(&account, &container, &origin, &mut response)).await?;
            reply = Ok(response);
        }
        reply
    }

    async fn run_known(&self, mut call: Call, body: RequestBody) -> Reply {
        if !call.is_owner() {
            authorize::strip_owners(&mut call.parts.headers);
        }
        if call.method() == Method::POST
            && !call.container.is_empty()
            && let Some(boundary) = formpost::boundary_of(&call.parts.headers)
        {
            return Box::pin(self.form_post(call, body, &boundary)).await;
        }
        self.run(call, body).await
    }

    /// A request whose URL is signed.
    async fn run_signed(&self, mut call: Call, body: RequestBody, signed: &Signed) -> Reply {
        self.redeem(&mut call, signed).await?;
        authorize::strip_owners(&mut call.parts.headers);
        let (method, object) = (call.method().clone(), call.object.clone());
        let mut response = self.run(call, body).await?;
        if object.is_empty() && response.extensions().get::<crate::staticweb::Page>().is_none() {
            // Only a web site has something to show at the root of a container.
            return Err(crate::tempurl::invalid());
        }
        if response.status().is_success() {
            crate::tempurl::veil(&mut response, signed, &method, &object);
        }
        Ok(response)
    }

    async fn identify(&self, parts: &Parts) -> Result<Option<Arc<Identity>>> {
        let token = match headers::filled(&parts.headers, "x-auth-token")? {
            Some(token) => Some(token),
            None => headers::filled(&parts.headers, "x-storage-token")?,
        };
        let Some(token) = token else { return Ok(None) };
        let known = self.inner.auth.identify(token).await;
        let known = known.map_err(|e| SwiftError::usual(StatusCode::SERVICE_UNAVAILABLE).internal(e))?;
        match known {
            Some(who) => Ok(Some(who)),
            // A token that is none is no anonymous request: what is public is read without one.
            None => Err(authorize::unauthorized("unknown")),
        }
    }

    pub(crate) fn check_names(&self, account: &str, container: &str, object: &str) -> Result<()> {
        let config = &self.inner.config;
        let check = |what: &str, name: &str, most: usize| {
            if name.len() <= most {
                return Ok(());
            }
            let text = format!("{what} name length of {} longer than {most}", name.len());
            if what == "Object" {
                return Err(SwiftError::bad_request(text));
            }
            Err(SwiftError::made(StatusCode::BAD_REQUEST, "text/html; charset=UTF-8", text.into()))
        };
        check("Account", account, config.account_name_bytes_max)?;
        check("Container", container, config.container_name_bytes_max)?;
        check("Object", object, config.object_name_bytes_max)
    }

    async fn run(&self, call: Call, body: RequestBody) -> Reply {
        if call.query.has("bulk-delete") && matches!(*call.method(), Method::POST | Method::DELETE) {
            return Box::pin(self.bulk_delete(call, body)).await;
        }
        if call.method() == Method::PUT && call.query.has("extract-archive") {
            return Box::pin(self.bulk_upload(call, body)).await;
        }
        if Self::is_visit(&call) {
            return Box::pin(self.visit(call)).await;
        }
        if !call.object.is_empty() {
            return self.run_object(call, body).await;
        }
        if !call.container.is_empty() {
            return Box::pin(self.run_container(call, body)).await;
        }
        Box::pin(self.run_account(call, body)).await
    }
}

/// The name of a request as Swift writes it: its number, and when it came.
fn trans_id(id: RequestId) -> String {
    let now_s = ringfort_runtime::wall_us() / 1_000_000;
    format!("tx{:021x}-{now_s:010x}", id.number())
}

/// What every reply has.
fn finish(response: &mut Response<ReplyBody>, method: &Method, trans_id: &str) {
    use http_body::Body;
    let exact = response.body().size_hint().exact();
    let status = response.status();
    let out = response.headers_mut();
    out.insert("x-trans-id", headers::value(trans_id));
    out.insert("x-openstack-request-id", headers::value(trans_id));
    if let (Some(len), false) = (exact, out.contains_key(CONTENT_LENGTH))
        && method != Method::HEAD
        && status != StatusCode::NOT_MODIFIED
    {
        out.insert(CONTENT_LENGTH, len.into());
    }
    if method == Method::HEAD {
        if !out.contains_key(CONTENT_LENGTH) && status != StatusCode::NOT_MODIFIED {
            out.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        *response.body_mut() = ReplyBody::empty();
    }
}

fn log_refusal(error: &SwiftError, request_id: RequestId, method: &Method) {
    let status = error.status().as_u16();
    if status >= 500 && status != 501 {
        tracing::warn!(%request_id, %method, status, cause = error.cause(), "request failed: {error}");
    } else {
        tracing::debug!(%request_id, %method, status, cause = error.cause(), "request refused: {error}");
    }
}

fn error_reply(error: &SwiftError, method: &Method) -> Response<ReplyBody> {
    let status = error.status();
    let bare = status == StatusCode::NOT_MODIFIED || status == StatusCode::NO_CONTENT;
    let (content_type, page) = error.page();
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = status;
    if !bare {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if method != Method::HEAD {
            *response.body_mut() = ReplyBody::whole(page);
        }
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    for (name, value) in error.headers() {
        if method == Method::HEAD && name == CONTENT_LENGTH {
            continue;
        }
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}
