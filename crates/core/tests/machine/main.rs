//! The run machine through its boundary.

mod common;
mod items;
mod notice;
mod page_loop;
mod paging;
mod resume;
mod table;
