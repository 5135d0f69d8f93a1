//! The run machine through its boundary.

mod common;
mod held;
mod items;
mod page_loop;
mod resume;
mod table;
