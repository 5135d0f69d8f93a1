//! The store that forgets: for tests, simulations and `velodrome test`. It shows what each answer of a
//! store means; a backend that differs from it is wrong.

mod data;
mod forget;
mod store;

pub use store::MemoryStore;
