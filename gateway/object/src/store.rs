//! The object store: every operation on containers and objects.

use crate::{
    Attributes, BodyStream, ChunkPort, CompleteOptions, CondemnedBlob, ContainerInfo, ContainerPage, CopyDone,
    CopyOptions, CreateContainer, Created, DeleteDone, DeleteItem, DeleteOptions, GetOptions, ListEntry, ListRequest,
    MetaPort, ObjectError, ObjectInfo, ObjectPath, ObjectReader, PartInfo, PartOptions, PartPage, PutDone, PutOptions,
    UploadId, UploadListRequest, UploadPage, VersionId, VersionListRequest, VersionPage, Versioning,
};
use bytes::Bytes;
use ringfort_core::{BlobId, Policy, SlotId};
use ringfort_runtime::TaskGroup;
use std::sync::Arc;

/// Limits of the store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Chunk writes of one body under way at a time.
    pub writes_in_flight: usize,
    /// Chunks of one body read ahead.
    pub reads_ahead: usize,
    /// Containers whose records are kept at hand.
    pub containers_cached: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { writes_in_flight: 3, reads_ahead: 2, containers_cached: 10_000 }
    }
}

/// Containers and objects. A cheap clone.
#[derive(Clone)]
pub struct ObjectStore {
    inner: Arc<Inner>,
}

#[allow(dead_code)]
struct Inner {
    meta: Arc<dyn MetaPort>,
    chunks: Arc<dyn ChunkPort>,
    policies: Vec<Policy>,
    tasks: TaskGroup,
    config: StoreConfig,
}

/// A page of a listing, kept as it came over the wire.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    pages: Vec<Bytes>,
    len: usize,
    /// There are more entries; go on with [`Self::next_marker`].
    pub truncated: bool,
    /// The last key or common prefix of the page.
    pub next_marker: String,
}

impl ListPage {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the page has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entries in order.
    #[must_use]
    pub fn entries(&self) -> ListEntries<'_> {
        ListEntries { page: self }
    }
}

/// Iterates a page's entries.
#[derive(Debug)]
pub struct ListEntries<'a> {
    page: &'a ListPage,
}

impl<'a> Iterator for ListEntries<'a> {
    type Item = ListEntry<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = &self.page.pages;
        None
    }
}

type Answer<T> = Result<T, ObjectError>;

fn stub<T>() -> Answer<T> {
    Err(ObjectError::internal("not written yet"))
}

#[allow(clippy::unused_async)]
impl ObjectStore {
    /// A store over these ports. `policies` are those known to the cluster; the first is the default.
    #[must_use]
    pub fn over(
        meta: Arc<dyn MetaPort>,
        chunks: Arc<dyn ChunkPort>,
        policies: Vec<Policy>,
        tasks: TaskGroup,
        config: StoreConfig,
    ) -> Self {
        Self { inner: Arc::new(Inner { meta, chunks, policies, tasks, config }) }
    }

    /// Creates a container, and registers its name cluster-wide if that is free.
    pub async fn create_container(&self, account: &str, name: &str, options: CreateContainer) -> Answer<Created> {
        let _ = (account, name, options, &self.inner);
        stub()
    }

    /// Deletes an empty container.
    pub async fn delete_container(&self, account: &str, name: &str) -> Answer<()> {
        let _ = (account, name);
        stub()
    }

    /// A container's records and exact counters.
    pub async fn container(&self, account: &str, name: &str) -> Answer<ContainerInfo> {
        let _ = (account, name);
        stub()
    }

    /// The account that holds `name` cluster-wide, if any.
    pub async fn container_owner(&self, name: &str) -> Answer<Option<String>> {
        let _ = name;
        stub()
    }

    /// A page of an account's containers, after `marker`.
    pub async fn list_containers(
        &self,
        account: &str,
        prefix: &str,
        marker: &str,
        limit: u32,
    ) -> Answer<ContainerPage> {
        let _ = (account, prefix, marker, limit);
        stub()
    }

    /// Switches versioning.
    pub async fn set_versioning(&self, account: &str, name: &str, versioning: Versioning) -> Answer<()> {
        let _ = (account, name, versioning);
        stub()
    }

    /// Replaces a container's metadata.
    pub async fn set_container_metadata(
        &self,
        account: &str,
        name: &str,
        metadata: Vec<(String, String)>,
    ) -> Answer<()> {
        let _ = (account, name, metadata);
        stub()
    }

    /// Stores an object. The body is not polled before the container was found.
    pub async fn put(&self, at: &ObjectPath, options: PutOptions, body: BodyStream) -> Answer<PutDone> {
        let _ = (at, options, body);
        stub()
    }

    /// Finds an object version; no body is read.
    pub async fn head(&self, at: &ObjectPath, options: GetOptions) -> Answer<ObjectInfo> {
        let _ = (at, options);
        stub()
    }

    /// Opens an object version to read.
    pub async fn get(&self, at: &ObjectPath, options: GetOptions) -> Answer<ObjectReader> {
        let _ = (at, options);
        stub()
    }

    /// Deletes an object or one of its versions. Deleting what is not there succeeds with `existed: false`.
    pub async fn delete(&self, at: &ObjectPath, options: DeleteOptions) -> Answer<DeleteDone> {
        let _ = (at, options);
        stub()
    }

    /// Deletes many objects of a container; one answer per item, in their order.
    pub async fn delete_many(
        &self,
        account: &str,
        container: &str,
        items: Vec<DeleteItem>,
    ) -> Answer<Vec<Answer<DeleteDone>>> {
        let _ = (account, container, items);
        stub()
    }

    /// Copies an object; large bodies are shared by reference.
    pub async fn copy(
        &self,
        from: &ObjectPath,
        version: Option<VersionId>,
        to: &ObjectPath,
        options: CopyOptions,
    ) -> Answer<CopyDone> {
        let _ = (from, version, to, options);
        stub()
    }

    /// A page of objects in order of their keys' bytes.
    pub async fn list(&self, account: &str, container: &str, request: &ListRequest) -> Answer<ListPage> {
        let _ = (account, container, request);
        stub()
    }

    /// A page of object versions.
    pub async fn list_versions(
        &self,
        account: &str,
        container: &str,
        request: &VersionListRequest,
    ) -> Answer<VersionPage> {
        let _ = (account, container, request);
        stub()
    }

    /// Begins a multipart upload.
    pub async fn create_upload(&self, at: &ObjectPath, attributes: Attributes) -> Answer<UploadId> {
        let _ = (at, attributes);
        stub()
    }

    /// Stores part `number` (1 to 10000) of an upload; an earlier part of that number is replaced.
    pub async fn put_part(
        &self,
        at: &ObjectPath,
        upload: UploadId,
        number: u32,
        options: PartOptions,
        body: BodyStream,
    ) -> Answer<PartInfo> {
        let _ = (at, upload, number, options, body);
        stub()
    }

    /// Stores part `number` of an upload from an object, or a range of it.
    pub async fn copy_part(
        &self,
        at: &ObjectPath,
        upload: UploadId,
        number: u32,
        from: &ObjectPath,
        source: GetOptions,
    ) -> Answer<(PartInfo, VersionId)> {
        let _ = (at, upload, number, from, source);
        stub()
    }

    /// Makes an object of an upload's parts.
    pub async fn complete_upload(&self, at: &ObjectPath, upload: UploadId, options: CompleteOptions) -> Answer<PutDone> {
        let _ = (at, upload, options);
        stub()
    }

    /// Ends an upload and drops its parts.
    pub async fn abort_upload(&self, at: &ObjectPath, upload: UploadId) -> Answer<()> {
        let _ = (at, upload);
        stub()
    }

    /// A page of an upload's parts with numbers above `after`.
    pub async fn list_parts(&self, at: &ObjectPath, upload: UploadId, after: u32, limit: u32) -> Answer<PartPage> {
        let _ = (at, upload, after, limit);
        stub()
    }

    /// A page of a container's uploads.
    pub async fn list_uploads(&self, account: &str, container: &str, request: &UploadListRequest) -> Answer<UploadPage> {
        let _ = (account, container, request);
        stub()
    }

    /// Blobs of `slot` whose chunks shall be deleted, after `after`.
    pub async fn condemned(&self, slot: SlotId, after: Option<BlobId>, limit: u32) -> Answer<Vec<CondemnedBlob>> {
        let _ = (slot, after, limit);
        stub()
    }

    /// Records that the chunks of these condemned blobs of `slot` are gone.
    pub async fn collected(&self, slot: SlotId, blobs: &[BlobId]) -> Answer<()> {
        let _ = (slot, blobs);
        stub()
    }
}
