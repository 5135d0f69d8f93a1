//! The run machine through its boundary.

mod common;
mod items;
mod notice;
mod page_loop;
mod resume;
mod table;
