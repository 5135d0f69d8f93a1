//! A store in a folder of its own, which can crash.

use std::fs;
use std::path::{Path, PathBuf};

use velodrome_store::testkit::{Reopen, Subject, wait};
use velodrome_store::{StorageLimits, Store};
use velodrome_store_embedded::{EmbeddedStore, OpenOptions};

/// Whether the machine is started anew by a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boot {
    Same,
    New,
}

#[derive(Debug)]
pub(crate) struct InFolder {
    store: EmbeddedStore,
    folder: tempfile::TempDir,
    limits: StorageLimits,
    boot: Boot,
    boots: u32,
}

impl InFolder {
    pub(crate) fn make(limits: StorageLimits, boot: Boot) -> Box<dyn Subject> {
        let folder = tempfile::tempdir().unwrap();
        Box::new(Self::open(folder, limits, boot, 0))
    }

    fn open(folder: tempfile::TempDir, limits: StorageLimits, boot: Boot, boots: u32) -> Self {
        let mut options = OpenOptions::new(folder.path());
        options.storage_limits = limits;
        options.boot = Some(boots.to_string());
        Self {
            store: EmbeddedStore::open(options).unwrap(),
            folder,
            limits,
            boot,
            boots,
        }
    }
}

impl Subject for InFolder {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn reopen(self: Box<Self>, how: Reopen) -> Box<dyn Subject> {
        match how {
            Reopen::Close => {
                wait(self.store.close()).unwrap();
                drop(self.store);
                let opened = Self::open(self.folder, self.limits, self.boot, self.boots);
                Box::new(opened)
            }
            Reopen::Crash => {
                let image = crash_image(self.folder.path());
                let boots = match self.boot {
                    Boot::Same => self.boots,
                    Boot::New => self.boots + 1,
                };
                Box::new(Self::open(image, self.limits, self.boot, boots))
            }
        }
    }
}

/// What a killed process leaves: the files as they are now, while the store has them open.
pub(crate) fn crash_image(folder: &Path) -> tempfile::TempDir {
    let image = tempfile::tempdir().unwrap();
    copy_all(folder, image.path());
    image
}

pub(crate) fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to: PathBuf = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
