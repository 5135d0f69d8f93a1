//! Opening the store, and the handle that is held on it.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;
use velodrome_store::{Commit, CommitError, StorageLimits, Store, StoreError, StoreStats, Unit};

use crate::backup;
use crate::commit::{Committer, CommitterParts, Pending, Queue};
use crate::journal::{Counters, JOURNAL_FILE, Meta, NameTable, empty_log, of_sqlite, open_writer};
use crate::lock::FolderLock;
use crate::read::Readers;
use crate::reserve::Reserve;
use crate::script_storage::{HowLeft, open_side};
use crate::shared::{Batches, Shared};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What a store is opened with.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The data folder; made if it is missing, readable by its owner only.
    pub folder: PathBuf,
    /// How much script storage takes.
    pub storage_limits: StorageLimits,
    /// The journal grows no further than this; units that need more are refused as by a full disk.
    pub max_journal_bytes: Option<u64>,
    /// Names the time between two starts of the machine; `None` asks the operating system. After a
    /// crash, sled is trusted only within one.
    pub boot: Option<String>,
}

impl OpenOptions {
    /// This folder, and what is usual for the rest.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            storage_limits: StorageLimits::default(),
            max_journal_bytes: None,
            boot: None,
        }
    }
}

/// The open store. Dropping it without [`Store::close`] is a crash that lost nothing committed.
#[derive(Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedStore {
    /// Opens the folder, or makes it.
    ///
    /// Script storage is read from the journal until sled has been rebuilt, where it has to be; that
    /// goes on while the store works.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] when another process has it, [`StoreError::Newer`] when a newer program
    /// wrote it, [`StoreError::Damaged`] when the journal is no journal.
    pub fn open(options: OpenOptions) -> Result<Self, StoreError> {
        let folder = &options.folder;
        make_folder(folder).map_err(|error| {
            StoreError::Backend(format!("`{}` cannot be made: {error}", folder.display()))
        })?;
        let lock = FolderLock::take(folder)?;
        backup::clear(folder);
        let path = folder.join(JOURNAL_FILE);
        let conn = open_writer(&path)?;
        if let Some(bytes) = options.max_journal_bytes {
            limit_size(&conn, bytes)?;
        }
        let counters = Counters::load(&conn)?;
        let boot = options.boot.clone().or_else(boot_id);
        let left = how_left(&conn, counters.commits, boot.as_deref())?;
        let (sled, rebuild) = open_side(&conn, folder, &left);
        let mut reserve = Reserve::take(folder);
        let mut marked = mark_open(&conn, boot.as_deref());
        if marked.is_err() && reserve.give_up() {
            // What keeps it from being marked may be that the disk is full.
            marked = empty_log(&conn).and_then(|()| mark_open(&conn, boot.as_deref()));
        }
        marked.map_err(of_sqlite)?;
        let shared = Arc::new(Shared {
            folder: folder.clone(),
            batches: Batches::default(),
            queue: Queue::new(),
            names: NameTable::load(&conn)?,
            last_seq: AtomicU64::new(counters.lines),
            readers: Readers::new(path),
            sled,
            lock: Mutex::new(Some(lock)),
        });
        let committer = Committer::new(CommitterParts {
            conn,
            shared: shared.clone(),
            counters,
            limits: options.storage_limits,
            rebuild,
            reserve,
        });
        let thread = std::thread::Builder::new()
            .name("store-committer".to_owned())
            .spawn(move || committer.run())
            .map_err(|error| StoreError::Backend(error.to_string()))?;
        Ok(Self {
            shared,
            committer: Mutex::new(Some(thread)),
        })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Store for EmbeddedStore {
    fn commit(&self, unit: Unit) -> Commit {
        let (answer, answered) = oneshot::channel();
        self.shared.queue.push(Pending { unit, answer });
        Box::pin(async move {
            answered.await.unwrap_or_else(|_| {
                let why = "the committer ended while it was at it".to_owned();
                Err(CommitError::Unknown(why))
            })
        })
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>> {
        let (closer, closed) = oneshot::channel();
        self.shared.queue.close(closer);
        Box::pin(async move {
            closed.await.unwrap_or_else(|_| {
                let why = "the committer ended while it closed".to_owned();
                Err(StoreError::Backend(why))
            })
        })
    }

    fn backup(&self) -> Result<fs::File, StoreError> {
        backup::take(&self.shared)
    }

    fn stats(&self) -> StoreStats {
        let bytes = |name: &str| {
            let path = self.shared.folder.join(name);
            fs::metadata(path).map_or(0, |file| file.len())
        };
        StoreStats {
            queued: self.shared.queue.len() as u64,
            journal_bytes: bytes(JOURNAL_FILE),
            log_bytes: bytes(&format!("{JOURNAL_FILE}-wal")),
            ..self.shared.batches.stats()
        }
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        let failed = |error: std::io::Error| StoreError::Backend(error.to_string());
        for entry in fs::read_dir(&self.shared.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(JOURNAL_FILE) || name.starts_with("sled") {
                bytes += size_of(&entry.path()).map_err(failed)?;
            }
        }
        Ok(bytes)
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.shared.queue.abandon();
        let mut committer = self
            .committer
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = committer.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's committer had panicked");
        }
    }
}

pub(crate) fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}

fn limit_size(conn: &Connection, bytes: u64) -> Result<(), StoreError> {
    let limit = || -> rusqlite::Result<()> {
        let page: i64 = conn.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let pages = (bytes / page.cast_unsigned()).max(1);
        conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
    };
    limit().map_err(of_sqlite)
}

fn boot_id() -> Option<String> {
    let id = fs::read_to_string(BOOT_ID).ok()?;
    Some(id.trim().to_owned())
}

fn how_left(conn: &Connection, commits: u64, boot: Option<&str>) -> Result<HowLeft, StoreError> {
    let number = |number: i64| number.cast_unsigned();
    let last_boot: Option<String> = Meta::Boot.get(conn)?;
    let distrusted: Option<i64> = Meta::Distrusted.get(conn)?;
    Ok(HowLeft {
        commits,
        closed: Meta::Closed.get(conn)?.map(number),
        same_boot: last_boot.is_some() && last_boot.as_deref() == boot,
        forgotten: Meta::Forgotten.get(conn)?.map_or(0, number),
        distrusted: distrusted.is_some(),
        owner: Meta::Identity.get(conn)?.unwrap_or_default(),
    })
}

/// From now on, until it is closed, the store counts as crashed.
fn mark_open(conn: &Connection, boot: Option<&str>) -> rusqlite::Result<()> {
    let transaction = conn.unchecked_transaction()?;
    Meta::Closed.unset(&transaction)?;
    Meta::Distrusted.unset(&transaction)?;
    match boot {
        Some(boot) => Meta::Boot.set(&transaction, boot)?,
        None => Meta::Boot.unset(&transaction)?,
    }
    transaction.commit()
}

fn size_of(path: &Path) -> std::io::Result<u64> {
    let metadata = match fs::symlink_metadata(path) {
        // sled and SQLite remove files of theirs at any time.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        metadata => metadata?,
    };
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        bytes += size_of(&entry?.path())?;
    }
    Ok(bytes)
}
