//! Takes connections, and lets go of them.
//!
//! ```text
//!  accept ─▶ connection task ─▶ router        shutdown: the listener closes, each connection ends
//!    ▲            │                           with the answer it is at; past the deadline it is cut
//!    └─ permit ◀──┘
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::hooks::Peer;
use crate::patience::Patience;

/// How many connections are open at once; more wait in the kernel's queue. An idle one costs some
/// 20 kB and a file descriptor, and no caller in good faith needs so many.
const MAX_CONNECTIONS: usize = 4_096;
/// How long a connection may be idle, or take to send the head of a request. Over the 60 s for which
/// common load balancers keep theirs, so that it is they who close, never amid a request.
const HEAD_TIME: Duration = Duration::from_secs(75);
/// How long whoever asked may take nothing of an answer. A log that is followed has no end, and one who has
/// stopped reading is let go, not written for.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// How many bytes wait in a connection to be taken, and the most that the head of a request has. Enough to fill a
/// socket again, and 4,096 of them are half a gigabyte.
const BUFFER: usize = 128 * 1024;
/// How long a connection may be silent before the system asks whether the other side is still there, and how often it
/// asks again. One that went away without a word is noticed within two minutes.
const IS_THERE: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_secs(15);
const ASK_TIMES: u32 = 4;
/// How long requests in progress may take to end after shutdown began: the engine's own drain.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// How long to wait when the system gives no further connection, most likely for want of
/// descriptors: others end meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is cancelled and what was in progress has ended, or its time is over.
///
/// # Errors
///
/// What the listener says if its address cannot be read; errors of single connections are theirs.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let at = listener.local_addr()?;
    tracing::info!(%at, "listening");
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Dropping it cuts what is still open, also when this function is dropped.
    let cut = CancellationToken::new();
    let _cut_at_end = cut.clone().drop_guard();
    let connections = TaskTracker::new();
    while let Some((stream, peer, place)) = next(&listener, &places, &shutdown).await {
        let service = router.clone();
        let (shutdown, cut) = (shutdown.clone(), cut.clone());
        connections.spawn(async move {
            tokio::select! {
                biased;
                () = cut.cancelled() => {}
                () = connection(stream, peer, service, shutdown) => {}
            }
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if timeout(DRAIN_TIME, connections.wait()).await.is_err() {
        tracing::warn!(
            open = connections.len(),
            "connections were cut: their time was over"
        );
        cut.cancel();
        connections.wait().await;
    }
    Ok(())
}

/// The next connection with its place; none once shutdown began.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let accept = async {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, from)) => return Some((stream, Peer(from.ip()), place)),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection can be taken: trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        accepted = accept => accepted,
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

async fn connection(stream: TcpStream, peer: Peer, router: Router, shutdown: CancellationToken) {
    // Answers are small and written whole: waiting to fill a packet would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was not taken");
    }
    let there = TcpKeepalive::new()
        .with_time(IS_THERE)
        .with_interval(ASK_AGAIN)
        .with_retries(ASK_TIMES);
    if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&there) {
        tracing::debug!(%error, "SO_KEEPALIVE was not taken");
    }
    let stream = Patience::new(stream, WRITE_TIME);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::Body;
    use axum::routing::get;
    use bytes::Bytes;
    use futures_util::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;
    use tokio::task::JoinSet;

    use super::*;

    struct Running {
        at: SocketAddr,
        shutdown: CancellationToken,
        tasks: JoinSet<io::Result<()>>,
    }

    async fn start(router: Router) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, router, shutdown.clone()));
        Running {
            at,
            shutdown,
            tasks,
        }
    }

    async fn send(at: SocketAddr, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn what_is_in_progress_at_shutdown_is_answered_and_idle_connections_end() {
        let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (in_handler, wait) = (Arc::clone(&began), Arc::clone(&go_on));
        let slow = async move || {
            in_handler.notify_one();
            wait.notified().await;
            "done"
        };
        let mut running = start(Router::new().route("/slow", get(slow))).await;
        let mut idle = TcpStream::connect(running.at).await.unwrap();
        let mut busy = send(running.at, "/slow").await;
        began.notified().await;
        running.shutdown.cancel();
        let mut nothing = String::new();
        idle.read_to_string(&mut nothing).await.unwrap();
        assert_eq!(nothing, "");
        assert!(
            running.tasks.try_join_next().is_none(),
            "did not wait for the answer"
        );
        go_on.notify_one();
        let mut answer = String::new();
        busy.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
            "{answer}"
        );
        running.tasks.join_next().await.unwrap().unwrap().unwrap();
        assert!(
            TcpStream::connect(running.at).await.is_err(),
            "still listens"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_ends_is_cut_when_its_time_is_over() {
        let began = Arc::new(Notify::new());
        let in_handler = Arc::clone(&began);
        let stuck = async move || {
            in_handler.notify_one();
            std::future::pending::<()>().await;
        };
        let mut running = start(Router::new().route("/stuck", get(stuck))).await;
        let mut caller = send(running.at, "/stuck").await;
        began.notified().await;
        running.shutdown.cancel();
        running.tasks.join_next().await.unwrap().unwrap().unwrap();
        let mut answer = String::new();
        caller.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "");
    }

    #[tokio::test]
    async fn a_connection_takes_one_request_after_the_other() {
        let running = start(Router::new().route("/", get(async || "yes"))).await;
        let mut stream = send(running.at, "/").await;
        for _ in 0..3 {
            let mut answer = [0; 1024];
            let length = stream.read(&mut answer).await.unwrap();
            assert!(answer[..length].ends_with(b"yes"));
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .await
                .unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_let_go_and_not_written_for() {
        const PIECE: usize = 64 * 1024;
        let (pieces, over) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (written, gone) = (Arc::clone(&pieces), over.clone());
        let endless = async move || {
            let state = (written, gone.drop_guard());
            Body::from_stream(stream::unfold(state, async |(written, gone)| {
                written.fetch_add(1, Ordering::Relaxed);
                let piece = Ok::<_, io::Error>(Bytes::from(vec![b'x'; PIECE]));
                Some((piece, (written, gone)))
            }))
        };
        let running = start(Router::new().route("/endless", get(endless))).await;
        let viewer = send(running.at, "/endless").await;
        over.cancelled().await;
        // Its socket and this one's are full, and little more was made.
        let bytes = pieces.load(Ordering::Relaxed) * PIECE;
        assert!(bytes < 64 * 1024 * 1024, "{bytes} bytes for nobody");
        drop(viewer);
    }
}
