//! Opening a device folder: format or check it, bring the index up to the log, start the threads.

use crate::disk::{Disk, FileDisk, SyncPoint};
use crate::engine::{Handle, Inner};
use crate::extents::{Extent, Extents, id_of};
use crate::format::file::{self, EXTENT_HEADER_LEN, HeaderFault};
use crate::format::raft::RaftTable;
use crate::index::keys::{self, Account, Covered, GroupRecord};
use crate::index::tx::bad_value;
use crate::index::{Family, Index, IndexOp, RocksIndex};
use crate::recover::{rebuild, replay};
use crate::workers::Workers;
use crate::writer::Writer;
use crate::{Damage, Engine, EngineConfig, EngineError, OpenReport};
use parking_lot::Mutex;
use std::io::{IoSlice, Read as _};
use std::path::Path;
use std::sync::Arc;

const FORMAT: &str = "FORMAT";
const FORMAT_NEW: &str = "FORMAT.new";
/// Folder of the log inside the device folder.
const LOG_DIR: &str = "log";
/// Folder of the index inside the device folder.
const INDEX_DIR: &str = "index";
/// Held while a process has the folder open.
const LOCK: &str = "LOCK";

/// Makes an index; with `true` an empty one in place of what is there.
pub(crate) type MakeIndex<'a> = &'a dyn Fn(bool) -> Result<Box<dyn Index>, EngineError>;

/// Opens a folder of the file system.
pub(crate) fn open(dir: &Path, config: EngineConfig) -> Result<(Engine, OpenReport), EngineError> {
    config.validate()?;
    std::fs::create_dir_all(dir).map_err(EngineError::io(format!("create {}", dir.display())))?;
    let lock = lock(dir)?;
    let path = dir.join(LOG_DIR);
    let disk = FileDisk::open(&path).map_err(EngineError::io(format!("open {}", path.display())))?;
    let index_path = dir.join(INDEX_DIR);
    let shared = config.shared.clone();
    let make = move |wipe: bool| -> Result<Box<dyn Index>, EngineError> {
        if wipe && index_path.exists() {
            std::fs::remove_dir_all(&index_path).map_err(EngineError::io("remove the old index"))?;
        }
        Ok(Box::new(RocksIndex::open(&index_path, &shared)?))
    };
    let (engine, report) = open_on(Arc::new(disk), &make, config)?;
    *engine.inner().lock.lock() = Some(lock);
    Ok((engine, report))
}

fn lock(dir: &Path) -> Result<std::fs::File, EngineError> {
    let path = dir.join(LOCK);
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(EngineError::io(format!("open {}", path.display())))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(EngineError::Locked),
        Err(error) => Err(EngineError::io(format!("lock {}", path.display()))(error.into())),
    }
}

/// Opens a log on any disk with any index.
pub(crate) fn open_on(
    disk: Arc<dyn Disk>,
    make: MakeIndex<'_>,
    config: EngineConfig,
) -> Result<(Engine, OpenReport), EngineError> {
    let mut report = OpenReport::default();
    let names = disk.list().map_err(EngineError::io("list the log's folder"))?;
    let log = if names.iter().any(|name| name == FORMAT) {
        read_format(disk.as_ref())?
    } else if names.iter().any(|name| id_of(name).is_some()) {
        return Err(bad_header(FORMAT, "it is missing, but the folder holds extents"));
    } else {
        report.formatted = true;
        write_format(disk.as_ref())?
    };
    let extents = Extents::new(Arc::clone(&disk), log, config.extent_bytes);
    extents.drop_spare(&names).map_err(EngineError::io("remove the spare extent"))?;
    load_extents(disk.as_ref(), &extents, log, &names, &mut report)?;
    extents.settle().map_err(EngineError::io("sync the newest extent"))?;

    let (index, usable) = open_index(make, log, config.rebuild_index || report.formatted)?;
    let inner = Arc::new(Inner::new(config, log, extents, index));
    let loaded = if usable { load(&inner) } else { Err(bad_value("the index")) };
    let (inner, next_sequence) = match loaded.and_then(|from| replay(&inner, from, &mut report)) {
        Ok(next_sequence) => (inner, next_sequence),
        Err(EngineError::IndexDamaged { reason }) => {
            report.index_rebuilt = !report.formatted && inner.extents.count() > 0;
            if report.index_rebuilt {
                tracing::warn!(reason, "the index is rebuilt from the log");
            }
            let inner = emptied(inner, make)?;
            let next_sequence = rebuild(&inner, &mut report)?;
            crate::checkpoint::run(&inner)?;
            // Last, so that a rebuild that was cut short is begun anew.
            inner.index.write(&[IndexOp::Put(
                Family::Meta,
                keys::LOG_ID.to_vec(),
                log.to_le_bytes().to_vec(),
            )])?;
            inner.index.flush()?;
            (inner, next_sequence)
        }
        Err(error) => return Err(error),
    };
    note_state(&inner, &mut report);
    start(inner, next_sequence).map(|engine| (engine, report))
}

fn bad_header(file: &str, reason: &str) -> EngineError {
    EngineError::BadHeader { file: file.to_owned(), reason: reason.to_owned() }
}

fn refuse(file: &str, fault: HeaderFault) -> EngineError {
    match fault {
        HeaderFault::Bad(reason) => bad_header(file, reason),
        HeaderFault::Newer(found) => EngineError::NewerFormat { found, known: file::VERSION },
    }
}

fn read_format(disk: &dyn Disk) -> Result<u64, EngineError> {
    let mut bytes = [0; 64];
    let read = disk
        .open(FORMAT)
        .and_then(|file| file.read_at(&mut bytes, 0))
        .map_err(EngineError::io("read the format file"))?;
    file::decode_format(&bytes[..read]).map_err(|fault| refuse(FORMAT, fault))
}

/// Durable order: content, name; the folder is synced before anything else is done with it. It counts as ours only with the name.
fn write_format(disk: &dyn Disk) -> Result<u64, EngineError> {
    let mut id = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut id))
        .map_err(EngineError::io("draw an id for the log"))?;
    let log = u64::from_le_bytes(id);
    (|| {
        let file = disk.create(FORMAT_NEW, 0)?;
        file.write_at(&[IoSlice::new(&file::encode_format(log))], 0)?;
        file.sync(SyncPoint::FormatFile)?;
        disk.rename(FORMAT_NEW, FORMAT)
    })()
    .map_err(EngineError::io("write the format file"))?;
    Ok(log)
}

fn load_extents(
    disk: &dyn Disk,
    extents: &Extents,
    log: u64,
    names: &[String],
    report: &mut OpenReport,
) -> Result<(), EngineError> {
    for (name, id) in names.iter().filter_map(|name| Some((name, id_of(name)?))) {
        let mut header = [0; EXTENT_HEADER_LEN as usize];
        let opened = disk.open(name).and_then(|file| {
            let read = file.read_at(&mut header, 0)?;
            Ok((read, file.len()?, file))
        });
        let (read, size, file) = opened.map_err(EngineError::io(format!("open extent {name}")))?;
        match file::decode_extent(&header[..read]) {
            Ok((found_log, _)) if found_log != log => {
                return Err(bad_header(name, "it belongs to the log of another device"));
            }
            Ok((_, found)) if found == id => {}
            Err(fault @ HeaderFault::Newer(_)) => return Err(refuse(name, fault)),
            _ => report.damage.push(Damage {
                extent: id,
                offset: 0,
                what: "the extent's header is damaged".to_owned(),
                group: None,
            }),
        }
        let used = u32::try_from(size).ok().filter(|size| *size <= 1 << 30);
        let used = used.ok_or_else(|| bad_header(name, "it is larger than any extent"))?;
        extents.insert(id, Extent { file, size, used, sealed: true });
    }
    Ok(())
}

/// Opens the index; answers whether what it holds is of this log.
fn open_index(make: MakeIndex<'_>, log: u64, wipe: bool) -> Result<(Box<dyn Index>, bool), EngineError> {
    let index = match make(wipe) {
        Err(EngineError::IndexDamaged { reason }) => {
            tracing::warn!(reason, "the index cannot be opened");
            make(true)?
        }
        other => other?,
    };
    match index.get(Family::Meta, keys::LOG_ID) {
        Ok(Some(id)) if id.as_ref() == log.to_le_bytes() => Ok((index, true)),
        Ok(Some(_)) => Err(bad_header(INDEX_DIR, "it belongs to the log of another device")),
        Ok(None) | Err(EngineError::IndexDamaged { .. }) => Ok((index, false)),
        Err(error) => Err(error),
    }
}

/// The same engine with an empty index and nothing in memory.
fn emptied(inner: Arc<Inner>, make: MakeIndex<'_>) -> Result<Arc<Inner>, EngineError> {
    let inner = Arc::into_inner(inner).expect("nothing else holds it before the threads start");
    let Inner { config, log, extents, index, .. } = inner;
    drop(index);
    Ok(Arc::new(Inner::new(config, log, extents, make(true)?)))
}

/// Reads what the index knows into memory; answers from where the log has to be replayed.
fn load(inner: &Inner) -> Result<crate::recover::From, EngineError> {
    let index = inner.index.as_ref();
    let covered = match index.get(Family::Meta, keys::COVERED)? {
        Some(value) => Covered::decode(&value).ok_or_else(|| bad_value("the covered position"))?,
        None => Covered::default(),
    };
    let raft = match index.get(Family::Meta, keys::RAFT_FROM)? {
        Some(value) => keys::decode_pos(&value).ok_or_else(|| bad_value("the raft position"))?,
        None => crate::format::Pos::default(),
    };
    let mut accounts = std::collections::BTreeMap::new();
    visit(index, b"e", &mut |key, value| {
        let id = key.try_into().ok().map(u64::from_be_bytes);
        let (id, account) = id.zip(Account::decode(value)).ok_or_else(|| bad_value("an extent's account"))?;
        accounts.insert(id, account);
        Ok(())
    })?;
    visit(index, b"r", &mut |key, value| {
        let id = keys::group_of(key).ok_or_else(|| bad_value("a group's key"))?;
        let table = RaftTable::decode(value).ok_or_else(|| bad_value("a raft table"))?;
        inner.group(id).inner.lock().restore(table);
        Ok(())
    })?;
    visit(index, b"g", &mut |key, value| {
        let id = keys::group_of(key).ok_or_else(|| bad_value("a group's key"))?;
        let record = GroupRecord::decode(value).ok_or_else(|| bad_value("a group's record"))?;
        let group = inner.group(id);
        let mut state = group.inner.lock();
        (state.lost, state.applied, state.has_state) = (record.lost, record.applied, true);
        // What opening finds was flushed.
        state.durable_applied = record.applied;
        Ok(())
    })?;
    let mut ledger = inner.ledger.lock();
    (ledger.covered, ledger.accounts) = (covered, accounts);
    Ok(crate::recover::From { covered: covered.pos, raft })
}

/// What is done with a key and its value.
type Each<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), EngineError>;

/// Visits the keys under a tag, without the tag.
fn visit(index: &dyn Index, tag: &[u8], each: Each<'_>) -> Result<(), EngineError> {
    let mut cursor = index.cursor(Family::Meta, tag, &keys::after_prefix(tag));
    cursor.first();
    while let Some((key, value)) = cursor.item() {
        each(&key[1..], value)?;
        cursor.next();
    }
    cursor.status()
}

fn note_state(inner: &Inner, report: &mut OpenReport) {
    for group in inner.groups.read().values() {
        if group.inner.lock().lost {
            report.lost_groups.push(group.id);
        }
    }
    for damage in &report.damage {
        tracing::error!(
            extent = damage.extent,
            offset = damage.offset,
            what = damage.what,
            "the log is damaged"
        );
    }
}

fn start(inner: Arc<Inner>, next_sequence: u64) -> Result<Engine, EngineError> {
    let failed = || EngineError::io("start the device's threads");
    inner.check_space();
    let (workers, mut threads) = Workers::start(inner.config.worker_threads).map_err(failed())?;
    let _first = inner.workers.set(workers);
    let writer = Writer::new(Arc::clone(&inner), next_sequence);
    let spawn = std::thread::Builder::new().name("engine-writer".into()).spawn(move || writer.run());
    threads.push(spawn.map_err(failed())?);
    if inner.config.background {
        let shared = Arc::clone(&inner);
        let spawn = std::thread::Builder::new()
            .name("engine-upkeep".into())
            .spawn(move || crate::background::run(&shared));
        threads.push(spawn.map_err(failed())?);
    }
    let handle = Handle { inner, threads: Mutex::new(threads) };
    Ok(Engine { handle: Arc::new(handle) })
}
