//! Runs scripts: a hardened Rhai host, and JavaScript in processes of its own, with the names of Cyclr.
//!
//! [`ScriptHost`] compiles a text once and then calls its handlers, each call with its own variables,
//! its own view of storage and its own limits. Nothing here reads a clock but the one that ends scripts,
//! draws randomness, or reaches file, network or environment: what a script sees comes in with
//! its [`Call`], what it leaves comes back in [`Finished`].
//!
//! A program that runs JavaScript says by [`Workers`] how a worker is started, and calls [`run_worker`]
//! where it was started as one.
//!
//! `http_request` is asked of an [`Outside`], which the caller gives: no socket is opened here.

mod analyse;
mod bounded_fns;
mod call_state;
mod clock;
mod closures;
mod convert;
mod errors;
mod functions;
mod general_fns;
mod hints;
mod host;
mod javascript;
mod js;
mod limits;
mod meter;
mod outside;
mod priority;
mod pure_fns;
mod script;
mod storage;
mod storage_calls;
mod storage_fns;
mod vars;
mod walk;
mod words;

pub use errors::ScriptError;
pub use host::{Call, Finished, RUN, Returned, ScriptHost};
pub use js::{Workers, run_worker};
pub use limits::ScriptLimits;
pub use outside::{HttpAnswered, HttpAsked, NoOutside, Outside};
pub use priority::{gave_way, may_give_way};
pub use script::Script;
pub use storage::{Family, StorageFault, StorageView};
pub use vars::Vars;
