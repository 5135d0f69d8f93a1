//! Walking a list that the engine pages: where the next page is asked, and whether there is one.
//!
//! ```text
//!  cursor ──build──▶ request ──send, scan──▶ answer
//!     ▲                                        │
//!     └──────────── next_page ◀────────────────┘   None: it was the last
//! ```
//!
//! Pure. A [`PageCursor`] is small and is stored after each page, so that a crash repeats one page. A
//! page's fullness goes by what the API sent, whatever is dropped of it afterwards. A page that the engine does
//! not go on from is looked at by `way_on`.

mod alone;
mod cursor;
mod link;
mod next;

pub use alone::{Behind, way_on};
pub use cursor::{PageAt, PageCursor};
pub use next::{PageSeen, next_page};
