//! Server-sent events: what every stream of them has in common.
//!
//! A stream ends by itself, and whoever reads it comes back with `Last-Event-ID`: a key that was revoked, or a session
//! that has ended, does not listen for ever. However much there is to say, it ends then, and when the server stops.

use std::time::Duration;

use axum::body::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::endpoint::Streamed;
use crate::kernel::error::Result;

const LASTS: Duration = Duration::from_secs(300);
/// Something is sent at least this often, so that both sides notice when the other is gone.
const BEAT: Duration = Duration::from_secs(15);

/// What there is to say.
#[derive(Default)]
pub struct Frames {
    /// Whole frames; empty when there is nothing new.
    pub text: String,
    /// There was more than fits into one piece, or more to look at: it is asked again at once.
    pub has_more: bool,
}

impl Frames {
    pub fn all(text: String) -> Frames {
        Frames { text, has_more: false }
    }
}

/// One frame, under an id that `Last-Event-ID` may name.
pub fn frame(id: impl std::fmt::Display, event: &str, data: &str) -> String {
    format!("id: {id}\nevent: {event}\ndata: {data}\n\n")
}

/// Says what `frames` brings: at first, whenever `changes` has changed, and at most once in a `pause`. A fault ends the
/// stream; its reader comes back to where it was.
pub fn listen(
    changes: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    pause: Duration,
    frames: impl FnMut() -> Result<Frames> + Send + 'static,
) -> Streamed {
    let now = Instant::now();
    let frames = Box::new(frames);
    let listening = Listening { changes, stop, pause, frames, speaks_at: now, ends_at: now + LASTS };
    Box::pin(futures_util::stream::unfold(listening, next))
}

struct Listening {
    changes: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    pause: Duration,
    frames: Box<dyn FnMut() -> Result<Frames> + Send>,
    /// Not before.
    speaks_at: Instant,
    ends_at: Instant,
}

async fn next(mut it: Listening) -> Option<(Bytes, Listening)> {
    loop {
        tokio::select! {
            biased;
            Ok(_) = it.stop.wait_for(|it| *it) => return None,
            () = sleep_until(it.ends_at) => return None,
            () = sleep_until(it.speaks_at) => {}
        }
        it.changes.borrow_and_update();
        let Frames { text, has_more } = (it.frames)().ok()?;
        if !text.is_empty() {
            it.speaks_at = Instant::now() + if has_more { Duration::ZERO } else { it.pause };
            return Some((text.into(), it));
        }
        if has_more {
            continue;
        }
        let is_quiet = tokio::select! {
            changed = it.changes.changed() => changed.ok().map(|()| false)?,
            Ok(_) = it.stop.wait_for(|it| *it) => return None,
            () = sleep_until(it.ends_at) => return None,
            () = sleep(BEAT) => true,
        };
        if is_quiet {
            return Some((Bytes::from_static(b":\n\n"), it));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;
    use crate::kernel::error::fault;

    /// Somebody who always has something to say.
    fn talker(stop: watch::Receiver<bool>) -> Listening {
        let (_, changes) = watch::channel(0);
        let now = Instant::now();
        let frames = Box::new(|| Ok(Frames::all(frame(1, "word", "{}"))));
        Listening { changes, stop, pause: Duration::ZERO, frames, speaks_at: now, ends_at: now + LASTS }
    }

    #[tokio::test]
    async fn whoever_always_has_something_to_say_stops_when_told_to() {
        let (stop, stopping) = watch::channel(false);
        let (text, listening) = next(talker(stopping)).await.unwrap();
        assert_eq!(text, "id: 1\nevent: word\ndata: {}\n\n");
        stop.send_replace(true);
        assert!(next(listening).await.is_none());
    }

    #[tokio::test]
    async fn whoever_always_has_something_to_say_stops_after_its_time() {
        let (_stop, stopping) = watch::channel(false);
        let mut listening = talker(stopping);
        listening.ends_at = Instant::now();
        assert!(next(listening).await.is_none());
    }

    #[tokio::test]
    async fn it_says_what_is_new_after_each_change_and_ends_with_a_fault() {
        let (change, changes) = watch::channel(0u64);
        let (_stop, stopping) = watch::channel(false);
        let seen = changes.clone();
        let mut said = 0;
        let frames = move || match *seen.borrow() {
            3 => Err(fault!("the store is closed")),
            number if number > said => {
                said += 1;
                Ok(Frames { text: said.to_string(), has_more: said < number })
            }
            _ => Ok(Frames::default()),
        };
        let mut stream = listen(changes, stopping, Duration::ZERO, frames);
        change.send_replace(2);
        assert_eq!((stream.next().await.unwrap(), stream.next().await.unwrap()), ("1".into(), "2".into()));
        change.send_replace(3);
        assert!(stream.next().await.is_none());
    }
}
