//! The run machine through its boundary.

mod branches;
mod common;
mod held;
mod items;
mod midway;
mod notice;
mod page_loop;
mod paging;
mod resume;
mod table;
mod tools;
