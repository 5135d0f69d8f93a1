//! What every backend's tests run.
