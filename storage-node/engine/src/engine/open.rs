//! Opening a device folder: its headers, its extents, its index, the replay, and the threads.

use super::*;

pub(super) fn lock(dir: &Path) -> Result<std::fs::File, EngineError> {
    let file = std::fs::File::create(dir.join("LOCK")).map_err(EngineError::io("create the lock file"))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| EngineError::Locked)?;
    Ok(file)
}

fn header_fault(file: &str) -> impl Fn(file::HeaderFault) -> EngineError + '_ {
    move |fault| match fault {
        file::HeaderFault::Newer(found) => EngineError::NewerFormat { found, known: file::VERSION },
        file::HeaderFault::Bad(reason) => {
            EngineError::BadHeader { file: file.to_owned(), reason: reason.to_owned() }
        }
    }
}

/// The id of the log; formats the folder if it is empty.
pub(super) fn format_of(disk: &dyn Disk, report: &mut OpenReport) -> Result<u64, EngineError> {
    let names = disk.list().map_err(EngineError::io("list the device folder"))?;
    if names.iter().any(|name| name == "FORMAT") {
        let mut bytes = vec![0; 64];
        let read = disk
            .open("FORMAT")
            .and_then(|file| file.read_at(&mut bytes, 0))
            .map_err(EngineError::io("read FORMAT"))?;
        return file::decode_format(&bytes[..read]).map_err(header_fault("FORMAT"));
    }
    if names.iter().any(|name| extents::id_of(name).is_some()) {
        let reason = "it is missing, but there are extents".to_owned();
        return Err(EngineError::BadHeader { file: "FORMAT".to_owned(), reason });
    }
    let mut id = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut id))
        .map_err(EngineError::io("read random bytes"))?;
    let log = u64::from_le_bytes(id);
    let io = || EngineError::io("format the device folder");
    let file = disk.create("FORMAT.new", 0).map_err(io())?;
    file.write_at(&[std::io::IoSlice::new(&file::encode_format(log))], 0).map_err(io())?;
    file.sync(SyncPoint::FormatFile).map_err(io())?;
    disk.rename("FORMAT.new", "FORMAT").map_err(io())?;
    disk.sync_dir(SyncPoint::FormatName).map_err(io())?;
    report.formatted = true;
    Ok(log)
}

pub(super) fn load_extents(
    disk: &dyn Disk,
    extents: &Extents,
    log: u64,
    report: &mut OpenReport,
) -> Result<(), EngineError> {
    let names = disk.list().map_err(EngineError::io("list the device folder"))?;
    extents.drop_spare(&names).map_err(EngineError::io("drop the spare extent"))?;
    let mut ids: Vec<u64> = names.iter().filter_map(|name| extents::id_of(name)).collect();
    ids.sort_unstable();
    let newest = ids.last().copied();
    for id in ids {
        let name = extents::name(id);
        let io = || EngineError::io(format!("open extent {name}"));
        let file = disk.open(&name).map_err(io())?;
        let mut head = [0; file::EXTENT_HEADER_LEN as usize];
        file.read_at(&mut head, 0).map_err(io())?;
        match file::decode_extent(&head) {
            Ok((found, extent)) if found == log && extent == id => {}
            Err(file::HeaderFault::Newer(found)) => {
                return Err(EngineError::NewerFormat { found, known: file::VERSION });
            }
            _ => report.damage.push(Damage {
                extent: id,
                offset: 0,
                what: "bad extent header".to_owned(),
                group: None,
            }),
        }
        let size = file.len().map_err(io())?;
        extents.insert(id, Extent { file, size, used: file::EXTENT_HEADER_LEN, sealed: Some(id) != newest });
    }
    Ok(())
}

/// Opens the index, or throws it away when it is damaged or another log's.
pub(super) fn open_index(
    path: &Path,
    config: &EngineConfig,
    log: u64,
    has_log: bool,
) -> Result<(Box<dyn Index>, bool), EngineError> {
    let mark = |index: &RocksIndex| {
        index.write(&[crate::index::IndexOp::Put(
            Family::Meta,
            keys::LOG_ID.to_vec(),
            log.to_le_bytes().to_vec(),
        )])
    };
    let existed = path.exists();
    if existed && !config.rebuild_index {
        match RocksIndex::open(path, &config.shared) {
            Ok(index) => {
                use crate::index::View;
                match index.get(Family::Meta, keys::LOG_ID) {
                    Ok(Some(id)) if id.as_ref() == log.to_le_bytes() => return Ok((Box::new(index), false)),
                    Ok(None) if !has_log => {
                        mark(&index)?;
                        return Ok((Box::new(index), false));
                    }
                    found => tracing::warn!(?found, "the index is not of this log"),
                }
            }
            Err(EngineError::IndexDamaged { reason }) => tracing::error!(reason, "the index is damaged"),
            Err(error) => return Err(error),
        }
    }
    if existed {
        std::fs::remove_dir_all(path).map_err(EngineError::io("remove the damaged index"))?;
    }
    let index = RocksIndex::open(path, &config.shared)?;
    mark(&index)?;
    Ok((Box::new(index), has_log))
}

/// Loads what the index holds and replays the rest.
pub(super) fn load(inner: &Arc<Inner>, rebuilt: bool, report: &mut OpenReport) -> Result<Head, EngineError> {
    let start = Pos { extent: 0, offset: file::EXTENT_HEADER_LEN };
    let (mut from, mut raft_from) = (start, start);
    {
        let mut ledger = inner.ledger.lock();
        if let Some(bytes) = inner.index.get(Family::Meta, keys::COVERED)? {
            ledger.covered =
                keys::Covered::decode(&bytes).ok_or_else(|| bad_value("the covered position"))?;
            from = ledger.covered.pos;
        }
        if let Some(bytes) = inner.index.get(Family::Meta, keys::RAFT_FROM)? {
            raft_from = keys::decode_pos(&bytes).ok_or_else(|| bad_value("the raft position"))?;
        }
        let mut cursor = inner.index.cursor(Family::Meta, b"e", b"f");
        cursor.first();
        while let Some((key, value)) = cursor.item() {
            let id = key.get(1..9).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes);
            let account = keys::Account::decode(value);
            let (Some(id), Some(account)) = (id, account) else { return Err(bad_value("an extent account")) };
            ledger.accounts.insert(id, account);
            cursor.next();
        }
        cursor.status()?;
    }
    load_groups(inner)?;
    for (id, extent) in inner.extents.all() {
        // Extents before the place covered are not walked again: how far they are used is known by their size.
        if id < from.min(raft_from).extent {
            let used = u32::try_from(extent.size).unwrap_or(u32::MAX);
            inner.extents.update(id, |extent| extent.used = used);
        }
    }
    let end = recover::replay(inner, from, raft_from, report)?;
    if rebuilt {
        for group in inner.all_groups() {
            let mut state = group.inner.lock();
            if state.is_present() {
                (state.lost, state.has_state, state.applied) = (true, false, 0);
            }
        }
    }
    let newest = inner.extents.last_id();
    let sealed = inner.extents.get(newest).is_none_or(|extent| {
        extent.sealed || u64::from(end.offset) + 4096 > extent.size || end.extent != newest
    });
    let next_sequence = inner.ledger.lock().covered.next_sequence.max(1);
    // Recovery goes on behind what it found, in the same extent if there is room.
    let (id, extent, offset) = if sealed {
        inner.extents.update(newest, |extent| extent.sealed = true);
        let extent = inner.extents.activate(newest + 1).map_err(EngineError::io("make an extent"))?;
        (newest + 1, extent.clone(), extent.used)
    } else {
        let extent = inner.extents.get(newest).expect("it is not sealed, so it is there");
        (newest, extent, end.offset)
    };
    Ok(Head { id, extent, offset, synced: offset, next_sequence })
}

fn load_groups(inner: &Arc<Inner>) -> Result<(), EngineError> {
    let mut cursor = inner.index.cursor(Family::Meta, b"g", b"h");
    cursor.first();
    while let Some((key, value)) = cursor.item() {
        let (Some(id), Some(record)) = (keys::group_of(key), keys::GroupRecord::decode(value)) else {
            return Err(bad_value("a group record"));
        };
        let group = inner.group(id);
        let mut state = group.inner.lock();
        (state.lost, state.has_state) = (record.lost, !record.lost);
        (state.applied, state.durable_applied) = (record.applied, record.applied);
        drop(state);
        cursor.next();
    }
    cursor.status()?;
    let mut cursor = inner.index.cursor(Family::Meta, b"r", b"s");
    cursor.first();
    while let Some((key, value)) = cursor.item() {
        let (Some(id), Some(table)) = (keys::group_of(key), crate::format::raft::RaftTable::decode(value))
        else {
            return Err(bad_value("a raft table"));
        };
        inner.group(id).inner.lock().restore(table);
        cursor.next();
    }
    cursor.status()
}

pub(super) fn start_threads(inner: &Arc<Inner>, head: Head) -> Result<(), EngineError> {
    let (queue, requests) = unbounded();
    let (jobs, work) = bounded::<Job>(4096);
    *inner.queue.lock() = Some(queue);
    *inner.jobs.lock() = Some(jobs);
    let mut threads = Vec::new();
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(EngineError::io("start a thread"))
    };
    let writer = Arc::clone(inner);
    threads.push(spawn("rf-writer", Box::new(move || committer::run(&writer, head, &requests)))?);
    for _ in 0..inner.config.worker_threads {
        let work = work.clone();
        threads.push(spawn("rf-worker", Box::new(move || work.iter().for_each(|job| job())))?);
    }
    if inner.config.background {
        let background = Arc::clone(inner);
        threads.push(spawn("rf-background", Box::new(move || run_background(&background)))?);
    }
    *inner.threads.lock() = threads;
    Ok(())
}

/// Checkpoints and compacts from time to time, and at once when an extent is full.
fn run_background(inner: &Arc<Inner>) {
    let mut checkpoint_at = Pos::default();
    let mut idle = Duration::ZERO;
    loop {
        {
            let mut woken = inner.background.0.lock();
            if !*woken {
                inner.background.1.wait_for(&mut woken, Duration::from_secs(1));
            }
            *woken = false;
        }
        if inner.failure().is_some() {
            return;
        }
        inner.measure_space();
        if let Err(error) = inner.extents.prepare_spare() {
            tracing::debug!(%error, "no spare extent");
        }
        idle += Duration::from_secs(1);
        let here = inner.ledger.lock().covered.pos;
        let grown = (here.extent - checkpoint_at.extent).saturating_mul(inner.config.extent_bytes);
        let due =
            grown >= inner.config.checkpoint_log_bytes || idle.as_secs() >= inner.config.checkpoint_secs;
        if !due || here == checkpoint_at {
            continue;
        }
        let outcome = inner.compact_step().and_then(|_| inner.checkpoint());
        if let Err(error) = outcome {
            tracing::warn!(%error, "background work on the device failed");
            if matches!(error, EngineError::IndexDamaged { .. } | EngineError::Index { .. }) {
                inner.fail(&error);
            }
        }
        (checkpoint_at, idle) = (here, Duration::ZERO);
    }
}
