//! What the end-to-end tests share: the real binary on a folder of its own, and a client that speaks to it
//! as a user would.

mod binary;
mod browser;
mod client;
mod clock;
pub mod fake;
mod faults;
mod foreign;
mod random;
mod raw;
mod scrape;
mod server;
mod session;
mod sign_in;
mod sink;
mod walks;
mod zoho;

pub use binary::velodrome;
pub use browser::{Browser, Element, Scheme, View};
pub use client::{Answer, Client};
pub use clock::true_time;
pub use faults::Faults;
pub use foreign::{ForeignOAuth, signed};
pub use random::{Random, setting};
pub use raw::raw;
pub use scrape::{Sample, Scrape, promtool};
pub use server::{Folder, Server};
pub use session::{FORM, Session, admin_token, cookie, make_token, post_sign_in};
pub use sign_in::{Opened, come_back, decide, open, sign_in};
pub use sink::{Came, Sink};
pub use walks::{LAPS, Walks};
pub use zoho::ZohoBinary;

/// The shipped page loop.
pub const ZOHO_INCREMENTAL: &str = include_str!("../../cycles/zoho_incremental.yaml");
