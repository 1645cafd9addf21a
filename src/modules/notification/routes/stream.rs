//! The inbox as it fills: server-sent events.
//!
//! Two kinds are sent: `notification`, with its id, so that `Last-Event-ID` goes on where one was; and `unread`, the
//! counter, at the beginning and whenever it has changed.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::sync::watch;

use super::inbox::out;
use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, Streamed, get},
            input::input,
            principal::UserId,
            stream::{Frames, frame, listen},
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

fn stream(
    kernel: Arc<Kernel>,
    owner: Owner,
    after: Option<NotificationId>,
    changes: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
) -> Result<Streamed> {
    let mut after = match after {
        Some(after) => Some(after),
        None => kernel.store_of(MODULE.name).read(|tx| newest(tx, owner))?,
    };
    let mut unread = None;
    Ok(listen(changes, stop, Duration::ZERO, move || {
        let news = kernel.store_of(MODULE.name).read(|tx| news(tx, owner, after, unread))?;
        (after, unread) = (news.after, Some(news.unread));
        Ok(news.frames)
    }))
}

fn newest(tx: &ReadTx, owner: Owner) -> Result<Option<NotificationId>> {
    let newest = tx.scan(&NOTIFICATIONS, Scan::prefix(&owner).newest_first()).next();
    Ok(newest.transpose()?.map(|((_, _, id), _)| id))
}

struct News {
    frames: Frames,
    after: Option<NotificationId>,
    unread: u64,
}

/// What is new behind `after`, and the counter when it is not the one that was said last.
fn news(tx: &ReadTx, owner: Owner, after: Option<NotificationId>, said: Option<u64>) -> Result<News> {
    let mut scan = Scan::prefix(&owner);
    if let Some(after) = after {
        scan = scan.after((owner.0, owner.1, after).to_key());
    }
    let inbox = inbox(tx, owner)?;
    let mut news = News { frames: Frames::default(), after, unread: inbox.unread };
    for (number, row) in tx.scan(&NOTIFICATIONS, scan).take(PIECE).enumerate() {
        let ((_, user, id), row) = row?;
        let data = serde_json::to_string(&out(id, user, row, &inbox)).unwrap_or_default();
        news.frames.text.push_str(&frame(id, "notification", &data));
        news.frames.has_more = number + 1 == PIECE;
        news.after = Some(id);
    }
    if said != Some(inbox.unread) {
        let data = json!({ "unread": inbox.unread });
        news.frames.text.push_str(&format!("event: unread\ndata: {data}\n\n"));
    }
    Ok(news)
}
