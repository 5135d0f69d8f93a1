//! The run machine through its boundary.

mod common;
mod page_loop;
mod table;
