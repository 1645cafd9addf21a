//! The inbox as it fills: server-sent events.
//!
//! Two kinds are sent: `notification`, with its id, so that `Last-Event-ID` goes on where one was; and `unread`, the
//! counter, at the beginning and whenever it has changed.

use std::{sync::Arc, time::Duration};

use axum::body::Bytes;
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::inbox::out;
use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, Streamed, get},
            input::input,
            principal::UserId,
        },
        boot::Kernel,
        error::Result,
        store::{Key as _, ReadTx, Scan},
    },
    modules::notification::{
        MODULE,
        contract::NotificationId,
        model::Owner,
        repository::{NOTIFICATIONS, inbox},
        service::inbox::Inboxes,
    },
};

pub struct StreamQuery {
    /// Notifications behind this one.
    after: Option<NotificationId>,
    user_id: Option<UserId>,
}
input!(StreamQuery { after, user_id });

/// A stream ends by itself and its reader comes back: a session that has ended does not listen for ever.
const LASTS: Duration = Duration::from_secs(300);
/// Something is sent at least this often, so that both sides notice when the other is gone.
const BEAT: Duration = Duration::from_secs(15);
const PIECE: usize = 50;

pub fn endpoints(inboxes: &Arc<Inboxes>) -> Vec<Endpoint> {
    let inboxes = inboxes.clone();
    vec![
        get("/notifications/stream")
            .about("Hear what a user is told as it happens (server-sent events)")
            .own("notifications.view")
            .streams(move |kernel, call: Call<(), StreamQuery>, stop| {
                let owner = (call.caller.client()?, call.caller.acting_for(call.input.user_id)?);
                stream(kernel, owner, call.input.after, inboxes.changes(), stop)
            }),
    ]
}

struct Listening {
    kernel: Arc<Kernel>,
    owner: Owner,
    after: Option<NotificationId>,
    unread: Option<u64>,
    changes: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    ends_at: Instant,
}

fn stream(
    kernel: Arc<Kernel>,
    owner: Owner,
    after: Option<NotificationId>,
    changes: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
) -> Result<Streamed> {
    let after = match after {
        Some(after) => Some(after),
        None => kernel.store_of(MODULE.name).read(|tx| newest(tx, owner))?,
    };
    let ends_at = Instant::now() + LASTS;
    let listening = Listening { kernel, owner, after, unread: None, changes, stop, ends_at };
    Ok(Box::pin(futures_util::stream::unfold(Some(listening), next)))
}

fn newest(tx: &ReadTx, owner: Owner) -> Result<Option<NotificationId>> {
    let newest = tx.scan(&NOTIFICATIONS, Scan::prefix(&owner).newest_first()).next();
    Ok(newest.transpose()?.map(|((_, _, id), _)| id))
}

async fn next(listening: Option<Listening>) -> Option<(Bytes, Option<Listening>)> {
    let mut it = listening?;
    loop {
        it.changes.borrow_and_update();
        // A store that does not answer ends the stream; the reader comes back to where it was.
        let frames =
            it.kernel.store_of(MODULE.name).read(|tx| frames(tx, it.owner, it.after, it.unread)).ok()?;
        (it.after, it.unread) = (frames.after, Some(frames.unread));
        if !frames.text.is_empty() {
            return Some((frames.text.into(), Some(it)));
        }
        let quiet = tokio::select! {
            changed = it.changes.changed() => changed.ok().map(|()| false)?,
            Ok(_) = it.stop.wait_for(|it| *it) => return None,
            () = sleep_until(it.ends_at) => return None,
            () = sleep(BEAT) => true,
        };
        if quiet {
            return Some((Bytes::from_static(b":\n\n"), Some(it)));
        }
    }
}

struct Frames {
    text: String,
    after: Option<NotificationId>,
    unread: u64,
}

/// What is new behind `after`, and the counter when it is not the one that was said last.
fn frames(tx: &ReadTx, owner: Owner, after: Option<NotificationId>, said: Option<u64>) -> Result<Frames> {
    let mut scan = Scan::prefix(&owner);
    if let Some(after) = after {
        scan = scan.after((owner.0, owner.1, after).to_key());
    }
    let inbox = inbox(tx, owner)?;
    let mut frames = Frames { text: String::new(), after, unread: inbox.unread };
    for row in tx.scan(&NOTIFICATIONS, scan).take(PIECE) {
        let ((_, user, id), row) = row?;
        let data = serde_json::to_string(&out(id, user, row, &inbox)).unwrap_or_default();
        frames.text.push_str(&format!("id: {id}\nevent: notification\ndata: {data}\n\n"));
        frames.after = Some(id);
    }
    if said != Some(inbox.unread) {
        let data = json!({ "unread": inbox.unread });
        frames.text.push_str(&format!("event: unread\ndata: {data}\n\n"));
    }
    Ok(frames)
}
