//! Store reads off the async threads: the one place where they cross over.

use std::panic::resume_unwind;
use std::sync::Arc;

use velodrome_runtime::Engine;
use velodrome_runtime::api::Problem;
use velodrome_store::StoreError;

use crate::app::App;

/// Runs this where it may block, and passes its panic on as if it had run here.
pub(crate) async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    read: impl FnOnce(&Engine) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let engine = app.engine.clone();
    match tokio::task::spawn_blocking(move || read(&engine)).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(Problem::new(
                503,
                "server.shutting_down",
                "the server is shutting down",
            )),
        },
    }
}

/// A read that failed, as the caller is told of it.
pub(crate) fn unreadable(error: StoreError) -> Problem {
    Problem::new(503, "store.unavailable", error.to_string())
}
