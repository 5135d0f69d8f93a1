//! Traces of the real binary, taken by a collector in this process.

mod collector;
mod protobuf;
mod server;
mod traces;
