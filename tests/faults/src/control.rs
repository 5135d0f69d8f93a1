//! What the test wants to go wrong: numbers in a file that both sides see at once.
//!
//! | place | what | who writes |
//! |---|---|---|
//! | 0 | bytes that the files below the folder may have together; 0 is no limit | the test |
//! | 1 | fsyncs that still succeed before one fails, and 1; 0 is none fails | the test, counted down here |
//! | 2 | milliseconds by which the wall clock is moved, signed | the test |
//! | 3 | writes that found no room, or not enough | here |
//! | 4 | fsyncs that failed | here |

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::system;

const NUMBERS: usize = 5;

/// The mapped file; without one nothing goes wrong.
#[derive(Debug)]
pub(crate) struct Control(Option<&'static [AtomicU64; NUMBERS]>);

pub(crate) fn control() -> &'static Control {
    static CONTROL: OnceLock<Control> = OnceLock::new();
    CONTROL.get_or_init(|| Control(map()))
}

fn map() -> Option<&'static [AtomicU64; NUMBERS]> {
    let file = system::open_named("VELODROME_FAULTS_CONTROL", 0)?;
    let length = NUMBERS * size_of::<AtomicU64>();
    if system::status(file)?.1 < length as u64 {
        return None;
    }
    // SAFETY: a new mapping, of a file that is long enough, at an address of the kernel's choice.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: mapped for the rest of the process, aligned to a page, and only ever seen as atomics.
    Some(unsafe { &*address.cast() })
}

impl Control {
    fn number(&self, place: usize) -> Option<&AtomicU64> {
        self.0.map(|numbers| &numbers[place])
    }

    /// Bytes that the files may have together.
    pub(crate) fn capacity(&self) -> Option<u64> {
        let capacity = self.number(0)?.load(Ordering::Relaxed);
        (capacity > 0).then_some(capacity)
    }

    /// Whether this fsync is the one to fail.
    pub(crate) fn fails_sync(&self) -> bool {
        let Some(left) = self.number(1) else {
            return false;
        };
        let counted = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        let fails = counted == Ok(1);
        if fails {
            self.count(4);
        }
        fails
    }

    /// Milliseconds by which the wall clock is moved.
    pub(crate) fn moved(&self) -> i64 {
        self.number(2)
            .map_or(0, |moved| moved.load(Ordering::Relaxed).cast_signed())
    }

    pub(crate) fn found_no_room(&self) {
        self.count(3);
    }

    fn count(&self, place: usize) {
        if let Some(number) = self.number(place) {
            number.fetch_add(1, Ordering::Relaxed);
        }
    }
}
