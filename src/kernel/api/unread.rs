//! Bodies nobody read. A request may be refused by what its headers say, while its body is still on the way; on a
//! connection that stays open, the next request would then stand behind a body the server takes for garbage.
//!
//! A small body is read and forgotten before the answer leaves, so that the connection goes on. For a large one, one
//! that does not come, or one that waits for `100 Continue`, the answer says `Connection: close`, and the connection is
//! closed in two steps: no more is written, what still comes is read and forgotten, and only then it ends. Closed at
//! once, the system answers what is still coming with a reset, and the client may lose the answer over it.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap,
    body::{Body, Frame, Incoming, SizeHint},
    header,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A body that, dropped before its end, is put where what is left of it can be read.
pub struct Watched {
    body: Option<Incoming>,
    left: Left,
}

/// What is left of the body of one request.
#[derive(Clone, Default)]
pub struct Left(Arc<Mutex<Option<Incoming>>>);

impl Left {
    pub fn watch(&self, body: Incoming) -> Watched {
        Watched { body: Some(body), left: self.clone() }
    }

    /// Reads and forgets what is left; `false` when that is more than `most_bytes`, or has not come after `patience`.
    pub async fn forget(&self, headers: &Expecting, most_bytes: usize, patience: Duration) -> bool {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(body) = left else { return true };
        let is_large = body.size_hint().lower() > most_bytes as u64;
        if is_large || headers.0 {
            return false;
        }
        tokio::time::timeout(patience, forget(body, most_bytes)).await.unwrap_or(false)
    }

    /// Whether the body was left; then it is dropped.
    pub fn is_any(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

/// Whether the client sends its body only once it is asked to.
pub struct Expecting(bool);

impl Expecting {
    pub fn of(headers: &HeaderMap) -> Expecting {
        Expecting(headers.contains_key(header::EXPECT))
    }
}

async fn forget(mut body: Incoming, most_bytes: usize) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > most_bytes {
            return false;
        }
    }
    true
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let body = self.body.take().filter(|it| !it.is_end_stream());
        *self.left.0.lock().unwrap_or_else(PoisonError::into_inner) = body;
    }
}

/// Whether the last answer on a connection left before the body it answers had come.
#[derive(Clone, Default)]
pub struct Lingering(Arc<AtomicBool>);

impl Lingering {
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Ends a connection: at once, or after what still comes.
    pub async fn end<I: AsyncRead + AsyncWrite + Unpin>(&self, mut io: I, patience: Duration) {
        if io.shutdown().await.is_err() || !self.0.load(Ordering::Relaxed) {
            return;
        }
        let rest = async {
            let mut forgotten = [0; 8 * 1024];
            while matches!(io.read(&mut forgotten).await, Ok(1..)) {}
        };
        let _ = tokio::time::timeout(patience, rest).await;
    }
}
