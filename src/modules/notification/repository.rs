//! The tables of Notification, webhooks apart.

use super::{
    contract::{Locale, NotificationId, TemplateId},
    model::{Inbox, Notification, OpenDigest, Owner, Preferences, Template, TemplateVersion},
};
use crate::kernel::{
    api::{
        object::by_external_id,
        principal::{ClientId, UserId},
    },
    error::Result,
    store::{Index, Key as _, ReadTx, Scan, Table, WriteTx},
};

/// (client, user, notification) → what the user was told: an inbox is one range.
pub const NOTIFICATIONS: Table<(ClientId, UserId, NotificationId), Notification> =
    Table::new("notification.inbox").with_indexes(&[
        // (client, notification) → itself: ids in paths name no user
        Index::lookup("notification.inbox_by_id", |(client, _, id), _| vec![(*client, *id).to_key()]),
        // when → what is deleted then
        Index::listing("notification.inbox_by_age", |_, row| vec![row.keep_until.to_key()]),
    ]);

/// (client, user) → what is counted of the inbox.
pub const INBOXES: Table<Owner, Inbox> = Table::new("notification.inboxes");

/// (client, user) → how the user wants to be told.
pub const PREFERENCES: Table<Owner, Preferences> = Table::new("notification.preferences");

/// (client, user) → the last digest it was, or will be, sent.
pub const DIGESTS: Table<Owner, OpenDigest> = Table::new("notification.digests");

/// (client, external id) → the template that has it.
pub const TEMPLATES_BY_EXTERNAL_ID: &str = "notification.templates_by_external_id";

/// (client, template) → the client's own words for an event.
pub const TEMPLATES: Table<(ClientId, TemplateId), Template> = Table::new("notification.templates")
    .with_indexes(&[
        // (client, event, language; empty for any) → the template
        Index::lookup("notification.templates_by_event", |(client, _), row| {
            vec![(*client, row.event_type.clone(), language(row.locale.as_ref())).to_key()]
        }),
        by_external_id(TEMPLATES_BY_EXTERNAL_ID),
    ]);

/// (client, template, version) → the words it had.
pub const TEMPLATE_VERSIONS: Table<(ClientId, TemplateId, u64), TemplateVersion> =
    Table::new("notification.template_versions");

fn language(locale: Option<&Locale>) -> String {
    locale.map_or_else(String::new, |it| it.as_str().to_owned())
}

pub fn inbox(tx: &ReadTx, owner: Owner) -> Result<Inbox> {
    Ok(tx.get(&INBOXES, &owner)?.unwrap_or_default())
}

pub fn preferences(tx: &ReadTx, owner: Owner) -> Result<Preferences> {
    Ok(tx.get(&PREFERENCES, &owner)?.unwrap_or_default())
}

/// A notification and whose it is.
pub fn notification(
    tx: &ReadTx,
    client: ClientId,
    id: NotificationId,
) -> Result<Option<(UserId, Notification)>> {
    let found = tx.find(&NOTIFICATIONS, "notification.inbox_by_id", &(client, id))?;
    Ok(found.map(|((_, user, _), row)| (user, row)))
}

/// The template of exactly this language.
pub fn template_for(
    tx: &ReadTx,
    client: ClientId,
    event_type: &str,
    language: &str,
) -> Result<Option<Template>> {
    let key = (client, event_type.to_owned(), language.to_owned());
    Ok(tx.find(&TEMPLATES, "notification.templates_by_event", &key)?.map(|it| it.1))
}

/// Stores a template and the words of this version of it.
pub fn put_template(tx: &mut WriteTx, client: ClientId, row: &Template) -> Result<()> {
    let version = TemplateVersion { words: row.words.clone(), made_at: tx.now() };
    tx.put(&TEMPLATE_VERSIONS, &(client, row.id, row.stamp.version), &version)?;
    tx.put(&TEMPLATES, &(client, row.id), row)
}

/// The counters that a scan does not confirm.
pub fn check(tx: &ReadTx) -> Result<Vec<String>> {
    let mut wrong = vec![];
    let mut counted: Option<(Owner, Inbox, u64)> = None;
    let mut compare = |counted: &Option<(Owner, Inbox, u64)>| {
        if let Some(((_, user), inbox, unread)) = counted
            && inbox.unread != *unread
        {
            wrong.push(format!("{user} has {unread} unread, its counter says {}", inbox.unread));
        }
    };
    for row in tx.scan(&NOTIFICATIONS, Scan::all()) {
        let ((client, user, _), row) = row?;
        if counted.as_ref().is_none_or(|it| it.0 != (client, user)) {
            compare(&counted);
            counted = Some(((client, user), inbox(tx, (client, user))?, 0));
        }
        if let Some((_, inbox, unread)) = &mut counted {
            *unread += u64::from(inbox.is_unread(&row));
        }
    }
    compare(&counted);
    for row in tx.scan(&INBOXES, Scan::all()) {
        let (owner, inbox) = row?;
        let empty = tx.scan(&NOTIFICATIONS, Scan::prefix(&owner)).next().is_none();
        if empty && inbox.unread > 0 {
            wrong.push(format!("{} has an empty inbox, its counter says {}", owner.1, inbox.unread));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{
            api::object::Stamp,
            clock::Time,
            events::{delivery::DeliveryId, event::EventId},
            id::Id as _,
            store::codec::{Row as _, golden},
        },
        modules::notification::{
            contract::{Channel, DigestEvery, Topic},
            model::{Choice, QuietHours},
            template::Words,
        },
    };

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let words =
            Words { title: "a".into(), message: "b".into(), text: "c".into(), html: "<p>d</p>".into() };
        golden(
            "notification.inbox",
            &Notification {
                event: EventId::from_bytes([1; 16]),
                event_type: "funding.completed".into(),
                topic: Topic::Fundings,
                entity: "fnd_1".into(),
                title: "Money".into(),
                message: "It is here".into(),
                action_url: Some("https://example.com".into()),
                action_text: Some("Show".into()),
                data: "{}".into(),
                read_at: Some(at),
                archived_at: None,
                marked: 3,
                keep_until: at,
                created_at: at,
                updated_at: at,
                version: 2,
            },
        );
        golden("notification.inboxes", &Inbox { unread: 5, marks: 9, all_read: 7, all_read_at: Some(at) });
        golden(
            "notification.preferences",
            &Preferences {
                choices: vec![Choice { topic: Topic::Fundings, channel: Channel::Mail, enabled: false }],
                quiet_hours: Some(QuietHours { from: 1320, to: 420, time_zone: "UTC".into() }),
                locale: "de-AT".parse().ok(),
                mail_digest: Some(DigestEvery::Daily),
                updated_at: Some(at),
                version: 1,
            },
        );
        // Written before there were digests.
        let old = include_str!("../../../tests/golden/rows/notification.preferences.v1.hex");
        let old = data_encoding::HEXLOWER.decode(old.trim().as_bytes()).unwrap();
        let read = Preferences::decode_row(&old).unwrap();
        assert_eq!((read.mail_digest, read.version, read.choices.len()), (None, 1, 1));
        golden("notification.digests", &OpenDigest { delivery: DeliveryId::from_bytes([3; 16]) });
        golden(
            "notification.templates",
            &Template {
                id: TemplateId::from_bytes([2; 16]),
                event_type: "funding.completed".into(),
                locale: "de".parse().ok(),
                is_active: true,
                words: words.clone(),
                stamp: Stamp::at(at),
            },
        );
        golden("notification.template_versions", &TemplateVersion { words, made_at: at });
    }
}
