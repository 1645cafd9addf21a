//! The inbox over HTTP. A user has its own; staff and keys name one.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    kernel::{
        api::{
            call::{Call, found},
            endpoint::{Endpoint, get, post},
            input::{input, text_enum},
            page::{Cursor, Limit, Paging, page},
            principal::UserId,
        },
        clock::Time,
        error::Result,
        events::event::EventId,
    },
    modules::notification::{
        contract::{NotificationId, Topic},
        model::{Inbox, Notification},
        repository::{NOTIFICATIONS, inbox, notification},
        service::inbox::{Mark, mark, mark_all_read},
    },
};

text_enum! {
    /// Where a notification stands.
    pub enum NotificationStatus {
        Unread = "unread",
        Read = "read",
        /// Put away; not in the list unless asked for.
        Archived = "archived",
    }
}

pub struct NotificationQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    user_id: Option<UserId>,
    status: Option<NotificationStatus>,
    topic: Option<Topic>,
    event_type: Option<String>,
    created_from: Option<Time>,
    created_to: Option<Time>,
}
input!(NotificationQuery { limit, cursor, user_id, status, topic, event_type, created_from, created_to });

pub struct InboxQuery {
    user_id: Option<UserId>,
}
input!(InboxQuery { user_id });

/// Whose inbox.
#[derive(utoipa::ToSchema)]
pub struct InboxIn {
    /// For staff and keys.
    pub user_id: Option<UserId>,
}
input!(InboxIn { user_id });

/// Something a user was told.
#[derive(Serialize, utoipa::ToSchema)]
pub struct NotificationOut {
    id: NotificationId,
    #[schema(value_type = String)]
    object: &'static str,
    status: NotificationStatus,
    user_id: UserId,
    topic: Topic,
    event_type: String,
    event_id: EventId,
    /// The id of what it is about.
    entity: String,
    title: String,
    message: String,
    action_url: Option<String>,
    action_text: Option<String>,
    /// The payload of the event.
    #[schema(value_type = Object)]
    data: Value,
    read_at: Option<Time>,
    archived_at: Option<Time>,
    created_at: Time,
    updated_at: Time,
    version: u64,
}

/// How much of an inbox is unread.
#[derive(Serialize, utoipa::ToSchema)]
pub struct UnreadOut {
    #[schema(value_type = String)]
    object: &'static str,
    user_id: UserId,
    unread: u64,
}

/// What marking everything as read did.
#[derive(Serialize, utoipa::ToSchema)]
pub struct AllReadOut {
    #[schema(value_type = String)]
    object: &'static str,
    user_id: UserId,
    /// How many were not.
    marked: u64,
    unread: u64,
}

pub fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = vec![
        get("/notifications")
            .about("List what a user was told, newest first")
            .own("notifications.view")
            .lists(|tx, call: &Call<(), NotificationQuery>| {
                let NotificationQuery {
                    limit,
                    cursor,
                    user_id,
                    status,
                    topic,
                    event_type,
                    created_from,
                    created_to,
                } = &call.input;
                let owner = (call.caller.client()?, call.caller.acting_for(*user_id)?);
                let filters = (owner.1, status, topic, event_type, created_from, created_to);
                let paging = Paging::new(*limit, cursor, filters);
                let inbox = inbox(tx, owner)?;
                let rows = page(tx, &NOTIFICATIONS, &owner, &paging, |row| {
                    let is = status_of(&inbox, row);
                    status.map_or(is != NotificationStatus::Archived, |wanted| wanted == is)
                        && topic.is_none_or(|it| it == row.topic)
                        && event_type.as_ref().is_none_or(|it| *it == row.event_type)
                        && created_from.is_none_or(|it| row.created_at >= it)
                        && created_to.is_none_or(|it| row.created_at < it)
                })?;
                Ok(rows.map(|((_, user, id), row)| out(id, user, row, &inbox)))
            }),
        get("/notifications/unread-count").about("Count what is unread").own("notifications.view").reads(
            |tx, call: &Call<(), InboxQuery>| {
                let owner = (call.caller.client()?, call.caller.acting_for(call.input.user_id)?);
                let unread = inbox(tx, owner)?.unread;
                Ok(UnreadOut { object: "unread_count", user_id: owner.1, unread })
            },
        ),
        get("/notifications/{id}").about("Show a notification").own("notifications.view").reads(
            |tx, call: &Call<NotificationId>| {
                let client = call.caller.client()?;
                let (user, row) = found(notification(tx, client, call.path)?)?;
                call.caller.may_reach(Some(user))?;
                Ok(out(call.path, user, row, &inbox(tx, (client, user))?))
            },
        ),
        post("/notifications/mark-all-read")
            .about("Mark everything in an inbox as read")
            .own("notifications.update")
            .status(200)
            .example(json!({}))
            .writes(|tx, call: &Call<(), InboxIn>| {
                let owner = (call.caller.client()?, call.caller.acting_for(call.input.user_id)?);
                let marked = mark_all_read(tx, owner)?;
                Ok(AllReadOut { object: "all_read", user_id: owner.1, marked, unread: 0 })
            }),
    ];
    endpoints.extend(
        [
            ("/notifications/{id}/read", "Mark a notification as read", Mark::Read),
            ("/notifications/{id}/unread", "Mark a notification as unread", Mark::Unread),
            ("/notifications/{id}/archive", "Put a notification away", Mark::Archived),
        ]
        .map(|(path, about, to)| {
            post(path).about(about).own("notifications.update").writes(
                move |tx, call: &Call<NotificationId>| -> Result<NotificationOut> {
                    let (owner, row, inbox) = mark(tx, &call.caller, call.path, to)?;
                    Ok(out(call.path, owner.1, row, &inbox))
                },
            )
        }),
    );
    endpoints
}

fn status_of(inbox: &Inbox, row: &Notification) -> NotificationStatus {
    match (row.archived_at, inbox.read_at(row)) {
        (Some(_), _) => NotificationStatus::Archived,
        (None, Some(_)) => NotificationStatus::Read,
        (None, None) => NotificationStatus::Unread,
    }
}

fn out(id: NotificationId, user_id: UserId, row: Notification, inbox: &Inbox) -> NotificationOut {
    NotificationOut {
        id,
        object: "notification",
        status: status_of(inbox, &row),
        user_id,
        topic: row.topic,
        read_at: inbox.read_at(&row),
        event_type: row.event_type,
        event_id: row.event,
        entity: row.entity,
        title: row.title,
        message: row.message,
        action_url: row.action_url,
        action_text: row.action_text,
        data: serde_json::from_str(&row.data).unwrap_or_default(),
        archived_at: row.archived_at,
        created_at: row.created_at,
        updated_at: row.updated_at,
        version: row.version,
    }
}
