//! The run machine through its boundary.

mod common;
mod items;
mod page_loop;
mod resume;
mod table;
