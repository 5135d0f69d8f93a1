//! What belongs to one call inside a worker, as the engine's functions see it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use crate::js::frame::{FromWorker, Request};
use crate::js::serve::Line;
use crate::js::watch::Watch;
use crate::meter::{LOG_BYTES, LOG_LINES};

pub(crate) struct CallState {
    pub(crate) line: Rc<Line>,
    pub(crate) watch: Rc<Watch>,
    pub(crate) now: String,
    pub(crate) seed: [u8; 16],
    pub(crate) uuids: Cell<u64>,
    random: Cell<u64>,
    /// Where the script last threw something: line and column, 1-based.
    pub(crate) threw_at: Cell<Option<(u32, u32)>>,
    /// The faults that the engine's functions raised: code and message.
    pub(crate) raised: RefCell<Vec<(String, String)>>,
    lines: Cell<usize>,
    bytes: Cell<usize>,
}

impl CallState {
    pub(crate) fn new(line: &Rc<Line>, watch: &Rc<Watch>, request: &Request) -> Self {
        let hash = Sha256::new()
            .chain_update(request.seed)
            .chain_update(b"Math.random")
            .finalize();
        let mut random = [0; 8];
        random.copy_from_slice(&hash[..8]);
        Self {
            line: Rc::clone(line),
            watch: Rc::clone(watch),
            now: request.now.clone(),
            seed: request.seed,
            uuids: Cell::new(0),
            random: Cell::new(u64::from_le_bytes(random)),
            threw_at: Cell::new(None),
            raised: RefCell::default(),
            lines: Cell::new(0),
            bytes: Cell::new(0),
        }
    }

    /// The next number of `Math.random`, from 0 up to 1: splitmix64, the same again for the same seed.
    pub(crate) fn random(&self) -> f64 {
        let next = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(next);
        let mut mixed = next;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The upper 53 bits: as many as a float between 0 and 1 has.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Says a line in the log. The engine keeps so many; what comes after them stays here.
    pub(crate) fn log(&self, line: String) {
        let (lines, bytes) = (self.lines.get() + 1, self.bytes.get() + line.len());
        let full = self.lines.get() > LOG_LINES || self.bytes.get() > LOG_BYTES;
        self.lines.set(lines);
        self.bytes.set(bytes);
        if !full {
            let mut line = line;
            // The engine takes none that is longer than the whole log, but is to say that one was dropped.
            if line.len() > LOG_BYTES + 1 {
                line = "x".repeat(LOG_BYTES + 1);
            }
            self.line.say(&FromWorker::Said(line));
        }
    }
}
