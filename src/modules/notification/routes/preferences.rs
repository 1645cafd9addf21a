//! Preferences over HTTP: the whole table is shown, only what differs from the usual is kept.

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, put},
            input::{Named as _, input},
            page::{Cursor, Limit, Paging, page},
            principal::UserId,
        },
        clock::Time,
    },
    modules::notification::{
        contract::{Channel, DigestEvery, Locale, Topic},
        model::{Preferences, show_minute},
        repository::{PREFERENCES, preferences},
        service::preferences::replace,
    },
};

/// Whether somebody wants to be told of a topic by a channel.
#[derive(utoipa::ToSchema)]
pub struct ChoiceIn {
    pub topic: Topic,
    pub channel: Channel,
    pub enabled: bool,
}
input!(ChoiceIn { topic, channel, enabled });

/// When not to be woken.
#[derive(utoipa::ToSchema)]
pub struct QuietHoursIn {
    /// A time of day: `22:00`.
    pub from: String,
    /// The next day, when it is earlier than `from`.
    pub to: String,
    /// `Europe/Vienna`
    pub time_zone: String,
}
input!(QuietHoursIn { from, to, time_zone });

/// How somebody wants to be told. Replaces what was said before.
#[derive(utoipa::ToSchema)]
pub struct PreferencesIn {
    /// For staff and keys.
    pub user_id: Option<UserId>,
    pub choices: Vec<ChoiceIn>,
    pub quiet_hours: Option<QuietHoursIn>,
    pub locale: Option<Locale>,
    /// Several mails become one; notices about security stay on their own.
    pub mail_digest: Option<DigestEvery>,
}
input!(PreferencesIn { user_id, choices, quiet_hours, locale, mail_digest });

pub struct PreferencesQuery {
    user_id: Option<UserId>,
}
input!(PreferencesQuery { user_id });

pub struct ChosenQuery {
    limit: Limit,
    cursor: Option<Cursor>,
}
input!(ChosenQuery { limit, cursor });

/// One field of the table.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ChoiceOut {
    topic: Topic,
    channel: Channel,
    enabled: bool,
    /// Cannot be switched off.
    is_required: bool,
    /// Said by somebody; otherwise it is what is usual.
    is_chosen: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct QuietHoursOut {
    from: String,
    to: String,
    time_zone: String,
}

/// How somebody is told.
#[derive(Serialize, utoipa::ToSchema)]
pub struct PreferencesOut {
    id: UserId,
    #[schema(value_type = String)]
    object: &'static str,
    /// Every topic and channel. A single event may still use fewer channels than its topic.
    choices: Vec<ChoiceOut>,
    quiet_hours: Option<QuietHoursOut>,
    locale: Option<Locale>,
    mail_digest: Option<DigestEvery>,
    updated_at: Option<Time>,
    /// Zero until something was said.
    version: u64,
}

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/notification-preferences")
            .about("Show how a user wants to be told")
            .own("notification-preferences.view")
            .reads(|tx, call: &Call<(), PreferencesQuery>| {
                let owner = (call.caller.client()?, call.caller.acting_for(call.input.user_id)?);
                Ok(out(owner.1, &preferences(tx, owner)?))
            }),
        get("/notification-preferences/chosen")
            .about("List how those want to be told who have said so")
            .needs("notification-preferences.view_any")
            .lists(|tx, call: &Call<(), ChosenQuery>| {
                let paging = Paging::new(call.input.limit, &call.input.cursor, ());
                let rows = page(tx, &PREFERENCES, &call.caller.client()?, &paging, |_| true)?;
                Ok(rows.map(|((_, user), row)| out(user, &row)))
            }),
        put("/notification-preferences")
            .about("Say how a user wants to be told")
            .own("notification-preferences.update")
            .versioned()
            .refuses(&["notice_required"])
            .example(json!({
                "choices": [{ "topic": "fundings", "channel": "mail", "enabled": false }],
                "quiet_hours": { "from": "22:00", "to": "07:00", "time_zone": "Europe/Vienna" },
                "locale": "en",
                "mail_digest": "daily",
            }))
            .writes(|tx, call: &Call<(), PreferencesIn>| {
                let owner = (call.caller.client()?, call.caller.acting_for(call.input.user_id)?);
                replace(tx, owner, call).map(|it| out(owner.1, &it))
            }),
    ]
}

fn out(user: UserId, it: &Preferences) -> PreferencesOut {
    let mut choices = vec![];
    for topic in Topic::ALL {
        for channel in Channel::ALL {
            let usual = *channel != Channel::Sms;
            choices.push(ChoiceOut {
                topic: *topic,
                channel: *channel,
                enabled: it.wants(*topic, *channel, usual),
                is_required: *topic == Topic::Security && usual,
                is_chosen: it.choices.iter().any(|own| (own.topic, own.channel) == (*topic, *channel)),
            });
        }
    }
    let quiet_hours = it.quiet_hours.as_ref().map(|quiet| QuietHoursOut {
        from: show_minute(quiet.from),
        to: show_minute(quiet.to),
        time_zone: quiet.time_zone.clone(),
    });
    PreferencesOut {
        id: user,
        object: "notification_preferences",
        choices,
        quiet_hours,
        locale: it.locale.clone(),
        mail_digest: it.mail_digest,
        updated_at: it.updated_at,
        version: it.version,
    }
}
