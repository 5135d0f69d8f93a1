//! A disk and a clock that fail as a test says: the other side of `velodrome-faults`.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::binary::fault_library;
use crate::random::Random;

/// A loss of power keeps or loses this much of a file at a time.
const SECTOR: usize = 512;

/// The numbers of the control file, as `tests/faults/src/control.rs` tells them.
const CAPACITY: u64 = 0;
const FAILING_SYNC: u64 = 1;
const CLOCK: u64 = 2;
const NO_ROOM: u64 = 3;
const SYNCS_FAILED: u64 = 4;
const NUMBERS: u64 = 5;

/// What goes wrong beneath a server, and what it has done to its files.
#[derive(Debug)]
pub struct Faults {
    /// Not the server's folder: nothing fails here.
    own: TempDir,
    data: PathBuf,
    control: File,
    /// The files when the server was started, all of them on the disk for good.
    before: Disk,
    boots: u32,
}

impl Faults {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let own = tempfile::tempdir()?;
        let data = folder.join("data");
        fs::create_dir(&data)?;
        let control = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(own.path().join("control"))?;
        control.set_len(NUMBERS * 8)?;
        let faults = Self {
            data: data.canonicalize()?,
            own,
            control,
            before: Disk::default(),
            boots: 0,
        };
        faults.write_boot()?;
        Ok(faults)
    }

    /// To be called before the server starts.
    pub(crate) fn begin(&mut self) -> Result<Vec<(&'static str, PathBuf)>> {
        let own = self.own.path();
        File::create(own.join("record"))?;
        self.before = Disk::default();
        self.before.read(&self.data, &self.data)?;
        Ok(vec![
            ("LD_PRELOAD", fault_library().clone()),
            ("VELODROME_FAULTS_UNDER", self.data.clone()),
            ("VELODROME_FAULTS_CONTROL", own.join("control")),
            ("VELODROME_FAULTS_RECORD", own.join("record")),
            ("VELODROME_FAULTS_BOOT", own.join("boot")),
        ])
    }

    fn set(&self, place: u64, number: u64) -> Result<()> {
        Ok(self
            .control
            .write_all_at(&number.to_le_bytes(), place * 8)?)
    }

    fn number(&self, place: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, place * 8)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The data folder's disk has so many bytes; `None` is no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) -> Result<()> {
        self.set(CAPACITY, bytes.unwrap_or(0))
    }

    /// What the data folder's files take.
    pub fn used(&self) -> Result<u64> {
        let mut disk = Disk::default();
        disk.read(&self.data, &self.data)?;
        Ok(disk
            .files
            .values()
            .map(|file| file.durable.len() as u64)
            .sum())
    }

    /// Writes that found no room so far.
    pub fn found_no_room(&self) -> Result<u64> {
        self.number(NO_ROOM)
    }

    /// After so many more that succeed, one fsync fails.
    pub fn fail_sync_after(&self, syncs: u64) -> Result<()> {
        self.set(FAILING_SYNC, syncs + 1)
    }

    /// Fsyncs that failed so far.
    pub fn syncs_failed(&self) -> Result<u64> {
        self.number(SYNCS_FAILED)
    }

    /// Moves the server's wall clock to so many milliseconds from the true one.
    pub fn move_clock(&self, millis: i64) -> Result<()> {
        self.set(CLOCK, millis.cast_unsigned())
    }

    /// Makes of the data folder, whose server was killed, what a loss of power at that moment may have
    /// left: of each file what it held at its last fsync, and of what was written to it since each sector
    /// with a chance of its own. The next start is in another boot.
    ///
    /// # Errors
    ///
    /// If the record cannot be read, or the folder not be written.
    pub fn lose_power(&mut self, random: &mut Random) -> Result<()> {
        let mut disk = std::mem::take(&mut self.before);
        let syncs = disk.replay(&fs::read(self.own.path().join("record"))?)?;
        ensure!(syncs > 0, "the record tells of no fsync: is it written?");
        fs::remove_dir_all(&self.data)?;
        fs::create_dir(&self.data)?;
        // Nothing, a part, or all of what was on its way has arrived.
        let chance = [0, 1, 1, 2][random.below(4) as usize];
        for (name, inode) in &disk.names {
            let Some(file) = disk.files.get(inode) else {
                continue;
            };
            let path = self.data.join(name);
            let parent = path.parent().context("a file stands in a folder")?;
            fs::create_dir_all(parent)?;
            fs::write(path, file.left(&mut || random.below(2) < chance))?;
        }
        self.boots += 1;
        self.write_boot()
    }

    fn write_boot(&self) -> Result<()> {
        let boot = format!("boot-{}\n", self.boots);
        Ok(fs::write(self.own.path().join("boot"), boot)?)
    }
}

/// What the files hold, for good and for now.
#[derive(Debug, Default)]
struct Disk {
    names: BTreeMap<String, u64>,
    files: HashMap<u64, Content>,
}

#[derive(Debug, Default)]
struct Content {
    /// At the last fsync.
    durable: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Disk {
    fn read(&mut self, root: &Path, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            // A server may be at work on it.
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            if metadata.is_dir() {
                self.read(root, &path)?;
            } else if let Ok(durable) = fs::read(&path) {
                let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
                self.names.insert(name, metadata.ino());
                let since = Vec::new();
                self.files
                    .insert(metadata.ino(), Content { durable, since });
            }
        }
        Ok(())
    }

    /// As `tests/faults/src/record.rs` writes it. The last entry may be cut short: the process was killed.
    /// Gives how many fsyncs there were.
    fn replay(&mut self, mut record: &[u8]) -> Result<usize> {
        let mut syncs = 0;
        while let Some((entry, rest)) = Entry::read(record) {
            syncs += usize::from(entry.what == b's');
            self.apply(&entry)?;
            record = rest;
        }
        Ok(syncs)
    }

    fn apply(&mut self, entry: &Entry<'_>) -> Result<()> {
        let text = || String::from_utf8_lossy(entry.bytes).into_owned();
        match entry.what {
            b'o' => self.opened(text(), entry.inode, entry.place),
            b'u' => drop(self.names.remove(&text())),
            b'r' => {
                let both = text();
                let (from, to) = both.split_once('\0').context("two names")?;
                self.renamed(from, to);
            }
            what => {
                let file = self.files.entry(entry.inode).or_default();
                match what {
                    b'w' => file
                        .since
                        .push(Change::Write(entry.place, entry.bytes.to_vec())),
                    b't' => file.since.push(Change::Length(entry.place)),
                    b's' => {
                        file.durable = file.left(&mut || true);
                        file.since.clear();
                    }
                    what => ensure!(false, "an entry of the record says `{what}`"),
                }
            }
        }
        Ok(())
    }

    fn opened(&mut self, name: String, inode: u64, length: usize) {
        let known = self.names.get(&name) == Some(&inode);
        if !known || length == 0 {
            // A number that was another file's, or a file begun anew.
            self.names.retain(|_, other| *other != inode);
            self.files.insert(inode, Content::default());
            self.names.insert(name, inode);
        }
    }

    /// Of a file, or of a folder with all that is in it.
    fn renamed(&mut self, from: &str, to: &str) {
        let names = std::mem::take(&mut self.names);
        let mut moved = BTreeMap::new();
        for (name, inode) in names {
            match name.strip_prefix(from) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                    moved.insert(format!("{to}{rest}"), inode);
                }
                _ => drop(self.names.insert(name, inode)),
            }
        }
        self.names.extend(moved);
    }
}

impl Content {
    /// What it holds if of the changes since the fsync these arrived.
    fn left(&self, arrives: &mut dyn FnMut() -> bool) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.since {
            match change {
                Change::Length(length) => {
                    if arrives() {
                        bytes.resize(*length, 0);
                    }
                }
                Change::Write(at, written) => {
                    let mut at = *at;
                    let mut rest = written.as_slice();
                    while !rest.is_empty() {
                        let (sector, behind) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
                        if arrives() {
                            let end = at + sector.len();
                            if bytes.len() < end {
                                bytes.resize(end, 0);
                            }
                            bytes[at..end].copy_from_slice(sector);
                        }
                        at += sector.len();
                        rest = behind;
                    }
                }
            }
        }
        bytes
    }
}

/// An entry of the record.
struct Entry<'a> {
    what: u8,
    inode: u64,
    place: usize,
    bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    fn read(record: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (what, rest) = record.split_first()?;
        let (inode, rest) = number(rest)?;
        let (place, rest) = number(rest)?;
        let (count, rest) = number(rest)?;
        let (bytes, rest) = rest.split_at_checked(usize::try_from(count).ok()?)?;
        let entry = Self {
            what: *what,
            inode,
            place: usize::try_from(place).ok()?,
            bytes,
        };
        Some((entry, rest))
    }
}

fn number(record: &[u8]) -> Option<(u64, &[u8])> {
    let (bytes, rest) = record.split_first_chunk()?;
    Some((u64::from_le_bytes(*bytes), rest))
}
