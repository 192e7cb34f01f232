//! Copies on the server: `COPY` with a `Destination`, `PUT` with `X-Copy-From`.
//!
//! A plain object is copied by reference. What other objects make up is read and written anew, unless its manifest is
//! what is asked for.

use super::content_type::{Listed, given};
use super::object::{push_attributes, push_written_version, written};
use super::put::conditions;
use crate::authorize::Need;
use crate::clock;
use crate::entity::{
    Content, Entity, Look, SLO_ETAG, SLO_SIZE, TARGET_ACCOUNT, is_static, link_of, set_account,
};
use crate::error::{Result, SwiftError};
use crate::gateway::{Call, Reply, SwiftGateway};
use crate::headers;
use crate::ranges::Wanted;
use crate::target::{Query, container_and_object, quote, unquote};
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, RANGE, TRANSFER_ENCODING};
use http::{Method, Response, StatusCode};
use ringfort_http::RequestBody;
use ringfort_object::{Attributes, BodyError, CopyOptions, ObjectPath, PutDone, PutOptions};
use std::ops::Range;

impl SwiftGateway {
    /// `COPY`: the path is the source.
    pub(crate) async fn copy(&self, call: Call) -> Reply {
        let head = &call.parts.headers;
        let destination = headers::filled(head, "destination")?
            .ok_or_else(|| SwiftError::precondition("Destination header required"))?;
        let (container, object) = container_and_object(destination).ok_or_else(|| {
            SwiftError::precondition("Destination header must be of the form <container name>/<object name>")
        })?;
        let account_name = headers::filled(head, "destination-account")?.map(unquote).transpose()?;
        let source = call.path();
        let mut to = Call { container, object, ..call };
        to.parts.method = Method::PUT;
        self.enter_account(&mut to, account_name).await?;
        let from = self.source_query(&to)?;
        self.copy_to(to, source, from).await
    }

    /// `PUT` with `X-Copy-From`: the path is the target.
    pub(super) async fn put_copy(&self, call: Call, body: RequestBody) -> Reply {
        let head = &call.parts.headers;
        let announced = head.get(CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse::<u64>().ok());
        if announced.unwrap_or(0) > 0 || head.contains_key(TRANSFER_ENCODING) {
            return Err(SwiftError::bad_request("Copy requests require a zero byte body"));
        }
        drop(body);
        if call.query.get("multipart-manifest") == Some("put") {
            return Err(SwiftError::text(
                StatusCode::METHOD_NOT_ALLOWED,
                "Multipart Manifest PUTs cannot be COPY requests",
            ));
        }
        let text = headers::filled(head, "x-copy-from")?.unwrap_or_default();
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        let (container, object) = container_and_object(path).ok_or_else(|| {
            SwiftError::precondition("X-Copy-From header must be of the form <container name>/<object name>")
        })?;
        let account = match headers::filled(head, "x-copy-from-account")?.map(unquote).transpose()? {
            None => call.account.clone(),
            Some(name) => self.project_of(&name)?,
        };
        let source = ObjectPath::new(account, container, object);
        let query = match query {
            Some(query) => Query::parse(query)?,
            None => self.source_query(&call)?,
        };
        self.copy_to(call, source, query).await
    }

    fn source_query(&self, call: &Call) -> Result<Query> {
        Ok(call.query.clone())
    }

    /// The project of an account named in a header.
    fn project_of(&self, account_name: &str) -> Result<String> {
        if account_name.contains('/') {
            return Err(SwiftError::precondition("Account name cannot contain slashes"));
        }
        let project = account_name.strip_prefix(&self.inner.config.reseller_prefix);
        project.map(str::to_owned).ok_or_else(|| StatusCode::FORBIDDEN.into())
    }

    /// Goes to another account, where the caller may have other rights.
    async fn enter_account(&self, call: &mut Call, account_name: Option<String>) -> Result<()> {
        let Some(name) = account_name else { return Ok(()) };
        let project = self.project_of(&name)?;
        if project != call.account {
            call.account = project;
            call.account_name = name;
            call.grant = None;
            call.access = crate::acl::Access::None;
            call.access = self.account_access(call).await?;
        }
        Ok(())
    }

    async fn copy_to(&self, to: Call, source: ObjectPath, query: Query) -> Reply {
        self.check_target(&to)?;
        self.allow_at(&to, &source, Need::Read).await?;
        let raw = query.get("multipart-manifest") == Some("get");
        let version = query.get_filled("version-id").map(super::parse_version).transpose()?;
        let link = query.get("symlink") == Some("get");
        let look = Look { version, raw, link, open: false };
        let mut entity = self.entity(&to, source.clone(), &look).await?;
        let size = entity.size.filter(|size| *size <= self.inner.config.file_bytes_max);
        let Some(size) = size else { return Err(StatusCode::PAYLOAD_TOO_LARGE.into()) };
        self.allow(&to, &to.container, Need::Write).await?;
        let attributes = self.copied(&to, &entity, raw || link)?;
        let container = self.container(&to.account, &to.container).await?;
        self.before_write(&to, &container, Some(size)).await?;
        if raw && is_static(&entity.info) {
            let manifest = self.manifest_of(&entity.at, &entity.info, None).await?;
            self.check_copied(&to, &manifest).await?;
        }
        let part = part_wanted(&to, &query, &entity, size)?;
        let done = match (&entity.content, &part) {
            (Content::Plain(_), None) => {
                let replace = Some(attributes.clone());
                let options = CopyOptions {
                    replace,
                    conditions: conditions(&to.parts.headers)?,
                    ..CopyOptions::default()
                };
                let version = Some(entity.info.version).filter(|_| version.is_some());
                self.inner.objects.copy(&entity.at, version, &to.path(), options).await?.put
            }
            _ => self.copy_bytes(&to, &mut entity, size, part, attributes.clone()).await?,
        };
        Ok(self.copied_reply(&source, &entity, &done, &attributes))
    }

    fn check_target(&self, to: &Call) -> Result<()> {
        let most = self.inner.config.object_name_bytes_max;
        if to.object.len() > most {
            let len = to.object.len();
            return Err(SwiftError::bad_request(format!("Object name length of {len} longer than {most}")));
        }
        Ok(())
    }

    /// Reads what is to be copied, and writes it.
    async fn copy_bytes(
        &self,
        to: &Call,
        entity: &mut Entity,
        size: u64,
        part: Option<Range<u64>>,
        attributes: Attributes,
    ) -> Result<PutDone> {
        let size = part.as_ref().map_or(size, |part| part.end - part.start);
        let body = self.read(to, entity, part).await?;
        let options = PutOptions {
            attributes,
            conditions: conditions(&to.parts.headers)?,
            size: Some(size),
            ..PutOptions::default()
        };
        let body = body.map(|piece| piece.map_err(|error| BodyError::new(of_source(error))));
        Ok(self.inner.objects.put(&to.path(), options, Box::pin(body)).await?)
    }

    /// The attributes of the copy: the source's, with what the request says on top, or that alone if it wants to.
    fn copied(&self, to: &Call, entity: &Entity, as_it_is: bool) -> Result<Attributes> {
        let head = &to.parts.headers;
        let fresh = headers::says_yes(head, "x-fresh-metadata");
        let given_type = headers::filled(head, "content-type")?;
        let mut new = self.attributes(head, &to.object)?;
        let old = &entity.info.attributes;
        let mut listed = Listed::parse(old.content_type.as_deref().unwrap_or_default());
        let keeps_kind = as_it_is && (is_static(&entity.info) || link_of(&entity.info).is_some());
        if !keeps_kind {
            listed = Listed { content_type: listed.content_type, ..Listed::default() };
        }
        if let Some(content_type) = given_type {
            listed.content_type = given(content_type);
        }
        new.content_type = Some(listed.stored());
        // How the object is made up goes with its manifest, and only with that.
        let of_manifest = |name: &str| name.starts_with("swift/") || name == crate::entity::MANIFEST;
        for (name, value) in &old.headers {
            let taken = if of_manifest(name) { as_it_is } else { !fresh };
            if taken && !new.headers.iter().any(|(known, _)| known == name) {
                new.headers.push((name.clone(), value.clone()));
            }
        }
        if !fresh {
            for (name, value) in &old.metadata {
                if !new.metadata.iter().any(|(known, _)| known == name) {
                    new.metadata.push((name.clone(), value.clone()));
                }
            }
            new.expires_at = new.expires_at.or(old.expires_at);
        }
        if let Some(account) = headers::filled(head, TARGET_ACCOUNT)?.map(unquote).transpose()?
            && as_it_is
            && link_of(&entity.info).is_some()
        {
            set_account(&mut new.headers, &account);
        }
        debug_assert!(as_it_is || !new.headers.iter().any(|(name, _)| name == SLO_ETAG || name == SLO_SIZE));
        Ok(new)
    }

    fn copied_reply(
        &self,
        source: &ObjectPath,
        entity: &Entity,
        done: &PutDone,
        attributes: &Attributes,
    ) -> Response<ringfort_http::ReplyBody> {
        let mut response = written(StatusCode::CREATED, &done.etag.to_string(), done.modified);
        let out = response.headers_mut();
        let shown = Attributes { headers: Vec::new(), ..attributes.clone() };
        push_attributes(out, &shown);
        headers::put(out, "x-copied-from", quote(&format!("{}/{}", source.container, source.key)));
        let prefix = &self.inner.config.reseller_prefix;
        headers::put(out, "x-copied-from-account", quote(&format!("{prefix}{}", source.account)));
        headers::put(out, "x-copied-from-last-modified", clock::http_date(entity.info.modified));
        push_written_version(out, done.version, done.versioning);
        response
    }
}

/// What of the source is to be copied, if it is not the whole: a range, or one segment.
fn part_wanted(to: &Call, query: &Query, entity: &Entity, size: u64) -> Result<Option<Range<u64>>> {
    if let (Some(number), Content::Parts(parts)) = (query.get("part-number"), &entity.content) {
        let number = number.parse().map_err(|_| SwiftError::bad_request("Invalid part number"))?;
        let part = super::read::part_of(parts, number);
        return part.map(Some).ok_or_else(|| StatusCode::RANGE_NOT_SATISFIABLE.into());
    }
    let range = to.parts.headers.get(RANGE).and_then(|range| range.to_str().ok());
    match range.map(|range| crate::ranges::wanted(range, size)) {
        None | Some(Wanted::Whole) => Ok(None),
        Some(Wanted::Parts(mut parts)) if parts.len() == 1 => Ok(parts.pop()),
        Some(_) => Err(StatusCode::RANGE_NOT_SATISFIABLE.into()),
    }
}

/// An error of the source, not of the caller's body.
fn of_source(error: ringfort_http::BoxError) -> SwiftError {
    match error.downcast::<SwiftError>() {
        Ok(error) => *error,
        Err(error) => match error.downcast::<ringfort_object::ObjectError>() {
            Ok(error) => (*error).into(),
            Err(error) => SwiftError::usual(StatusCode::SERVICE_UNAVAILABLE).internal(error),
        },
    }
}
