//! The inbox: what is put in, read, put away, and in the end deleted. Its counter moves in the same transaction.

use std::sync::Arc;

use crate::kernel::api::call::Caller;
use crate::{
    kernel::{
        api::{call::found, principal::ClientId},
        clock::Time,
        error::Result,
        events::worker::Job,
        store::{Key as _, ReadTx, Scan, WriteTx},
    },
    modules::notification::{
        contract::NotificationId,
        model::{Inbox, Notification, Owner},
        repository::{INBOXES, NOTIFICATIONS, inbox, notification},
    },
};

/// How many notifications one transaction of the sweeper deletes.
const PIECE: usize = 200;

/// What is done to one notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Read,
    Unread,
    /// Out of the way; it counts as read.
    Archived,
}

/// Puts a notification into an inbox.
pub fn deliver(tx: &mut WriteTx, owner: Owner, mut row: Notification) -> Result<NotificationId> {
    let id = tx.new_id();
    let mut inbox = inbox(tx, owner)?;
    row.marked = inbox.next_mark();
    inbox.unread += 1;
    tx.insert(&NOTIFICATIONS, &(owner.0, owner.1, id), &row)?;
    tx.put(&INBOXES, &owner, &inbox)?;
    Ok(id)
}

/// Marks a notification; one that is marked so stays as it is. Refuses `not_found`.
pub fn mark(
    tx: &mut WriteTx,
    caller: &Caller,
    id: NotificationId,
    mark: Mark,
) -> Result<(Owner, Notification, Inbox)> {
    let client = caller.client()?;
    let (user, mut row) = found(notification(tx, client, id)?)?;
    caller.may_reach(Some(user))?;

    let owner = (client, user);
    let mut inbox = inbox(tx, owner)?;
    let before = inbox.is_unread(&row);
    let now = tx.now();
    match mark {
        Mark::Read if inbox.read_at(&row).is_some() => return Ok((owner, row, inbox)),
        Mark::Unread if inbox.read_at(&row).is_none() => return Ok((owner, row, inbox)),
        Mark::Archived if row.archived_at.is_some() => return Ok((owner, row, inbox)),
        Mark::Read => row.set_read(true, inbox.next_mark(), now),
        Mark::Unread => row.set_read(false, inbox.next_mark(), now),
        Mark::Archived => row.archived_at = Some(now),
    }
    row.updated_at = now;
    row.version += 1;
    count(&mut inbox, before, &row);
    tx.put(&NOTIFICATIONS, &(client, user, id), &row)?;
    tx.put(&INBOXES, &owner, &inbox)?;
    Ok((owner, row, inbox))
}

/// Everything in the inbox is read; how many were not. Touches no row but one, however many there are.
pub fn mark_all_read(tx: &mut WriteTx, owner: Owner) -> Result<u64> {
    let mut inbox = inbox(tx, owner)?;
    let unread = inbox.unread;
    if unread > 0 {
        inbox.mark_all_read(tx.now());
        tx.put(&INBOXES, &owner, &inbox)?;
    }
    Ok(unread)
}

fn count(inbox: &mut Inbox, was_unread: bool, row: &Notification) {
    match (was_unread, inbox.is_unread(row)) {
        (true, false) => inbox.unread = inbox.unread.saturating_sub(1),
        (false, true) => inbox.unread += 1,
        _ => {}
    }
}

/// Deletes what is old: read for a month, or unread for three.
pub fn sweeper() -> Job {
    Job { name: "notification.sweep", due: Arc::new(due), run: Arc::new(sweep) }
}

fn due(tx: &ReadTx) -> Result<Option<Time>> {
    let oldest =
        tx.scan_index(&NOTIFICATIONS, "notification.inbox_by_age", Scan::all()).next().transpose()?;
    Ok(oldest.map(|it| it.1.keep_until))
}

fn sweep(tx: &mut WriteTx) -> Result<()> {
    let end = Time::from_micros(tx.now().micros().saturating_add(1)).to_key();
    let old = tx.scan_index(&NOTIFICATIONS, "notification.inbox_by_age", Scan::all().until(end)).take(PIECE);
    let old: Vec<((ClientId, _, _), Notification)> = old.collect::<Result<_>>()?;
    for (key, row) in old {
        let owner = (key.0, key.1);
        let mut inbox = inbox(tx, owner)?;
        if inbox.is_unread(&row) {
            inbox.unread = inbox.unread.saturating_sub(1);
            tx.put(&INBOXES, &owner, &inbox)?;
        }
        tx.delete(&NOTIFICATIONS, &key)?;
    }
    Ok(())
}
