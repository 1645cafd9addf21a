//! Templates over HTTP: what comes with the product, and a client's own.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::Source;
use crate::{
    kernel::{
        api::{
            call::{Call, found},
            endpoint::{Endpoint, get, patch, post},
            input::{Metadata, input},
            object::{ExternalId, MetadataFilter, object},
            page::{Cursor, Limit, PageQuery, Paging, page, page_of},
        },
        clock::Time,
        error::Result,
        events::delivery::DeliveryId,
        store::{Key as _, Scan},
    },
    modules::{
        notification::{
            contract::{Channel, Locale, TemplateId, Topic},
            model::{Template, TemplateVersion},
            repository::{TEMPLATE_VERSIONS, TEMPLATES},
            service::templates::{Found, Templates},
            template::{Words, built_in_id},
        },
        user::contract::Email,
    },
};

input! {
    /// Words for an event. What is left out is taken from the built-in template.
    pub struct NewTemplateIn {
        event_type: String,
        /// Unless given: for every language that has no template of its own.
        locale: Option<Locale>,
        /// The subject of a mail, and the line in the inbox.
        title: Option<Source>,
        /// One or two sentences: in the inbox, and as a short message.
        message: Option<Source>,
        /// The body of a mail.
        text: Option<Source>,
        /// The same as HTML; one that is no whole document is set into the layout.
        html: Option<Source>,
        /// An inactive template is as if it were not there.
        is_active: Option<bool>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    /// A change of words.
    pub struct TemplatePatchIn {
        title: Option<Source>,
        message: Option<Source>,
        text: Option<Source>,
        html: Option<Source>,
        /// An inactive template is as if it were not there.
        is_active: Option<bool>,
        metadata: Metadata,
    }
}

input! {
    /// What to look at: the template, with these parts instead of its own.
    pub struct PreviewIn {
        title: Option<Source>,
        message: Option<Source>,
        text: Option<Source>,
        html: Option<Source>,
        /// Values of the event, instead of made-up ones.
        #[schema(value_type = Option<Object>)]
        event: Option<Value>,
    }
}

input! {
    /// Where to send a test.
    pub struct SendTestIn {
        to: Email,
    }
}

pub struct TemplateQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    event_type: Option<String>,
    built_in: Option<bool>,
    metadata: MetadataFilter,
}
input!(TemplateQuery { limit, cursor, event_type, built_in, metadata });

/// Words for an event.
#[derive(Serialize, utoipa::ToSchema)]
pub struct TemplateOut {
    id: TemplateId,
    #[schema(value_type = String)]
    object: &'static str,
    event_type: String,
    topic: Topic,
    /// How people are told unless they prefer otherwise.
    channels: Vec<Channel>,
    locale: Option<Locale>,
    is_built_in: bool,
    is_active: bool,
    title: String,
    message: String,
    text: String,
    html: String,
    external_id: Option<String>,
    /// `null` for a built-in template: it was always there.
    created_at: Option<Time>,
    updated_at: Option<Time>,
    version: u64,
    metadata: Metadata,
}

object! {
    /// The words of an earlier version.
    pub struct TemplateVersionOut: "notification_template_version"
        of (id: TemplateId, row: TemplateVersion, number: u64) bare {
        version: u64 = number,
        title: String = row.words.title,
        message: String = row.words.message,
        text: String = row.words.text,
        html: String = row.words.html,
        created_at: Time = row.made_at,
    }
}

/// Words with their gaps filled in.
#[derive(Serialize, utoipa::ToSchema)]
pub struct PreviewOut {
    #[schema(value_type = String)]
    object: &'static str,
    title: String,
    message: String,
    text: String,
    html: String,
}

object! {
    /// A test that is on its way.
    pub struct TestSentOut: "notification_delivery" of (id: DeliveryId, address: String) bare {
        to: String = address,
    }
}

pub fn endpoints(templates: &Arc<Templates>) -> Vec<Endpoint> {
    let service = || templates.clone();
    vec![
        get("/notification-templates")
            .about("List the templates: those that come with the product, then the client's own")
            .needs("notification-templates.view_any")
            .lists({
                let templates = service();
                move |tx, call: &Call<(), TemplateQuery>| {
                    let TemplateQuery { limit, cursor, event_type, built_in, metadata } = &call.input;
                    let client = call.caller.client()?;
                    let paging = Paging::new(*limit, cursor, (event_type, built_in, metadata));
                    let mut outs = vec![];
                    for kind in templates.built_in.kinds() {
                        outs.push(out_of_built_in(&templates, built_in_id(kind.event_type))?);
                    }
                    for row in tx.scan(&TEMPLATES, Scan::prefix(&client)) {
                        outs.push(out(&templates, row?.1)?);
                    }
                    outs.retain(|it| {
                        event_type.as_ref().is_none_or(|wanted| it.event_type == *wanted)
                            && built_in.is_none_or(|wanted| it.is_built_in == wanted)
                            && metadata.wants(&it.metadata)
                    });
                    let position = |it: &TemplateOut| {
                        let locale = it.locale.as_ref().map_or("", Locale::as_str).to_owned();
                        (!it.is_built_in, it.event_type.clone(), locale).to_key()
                    };
                    outs.sort_by_key(position);
                    page_of(outs, &paging, position)
                }
            }),
        get("/notification-templates/{id}")
            .about("Show a template")
            .needs("notification-templates.view_any")
            .reads({
                let templates = service();
                move |tx, call: &Call<TemplateId>| match templates.find(
                    tx,
                    call.caller.client()?,
                    call.path,
                )? {
                    Found::Own(row) => out(&templates, *row),
                    Found::BuiltIn(id) => out_of_built_in(&templates, id),
                }
            }),
        get("/notification-templates/{id}/versions")
            .about("List every version of a template, newest first")
            .needs("notification-templates.view_any")
            .lists(|tx, call: &Call<TemplateId, PageQuery>| {
                let client = call.caller.client()?;
                found(tx.get(&TEMPLATES, &(client, call.path))?)?;
                let paging = call.input.paging_of(call.path);
                let rows = page(tx, &TEMPLATE_VERSIONS, &(client, call.path), &paging, |_| true)?;
                Ok(rows.map(|((_, id, version), row)| TemplateVersionOut::of(id, row, version)))
            }),
        post("/notification-templates")
            .about("Put an event into words of one's own")
            .needs("notification-templates.create_any")
            .refuses(&["event_not_notified", "template_taken", "external_id_taken", "template_invalid"])
            .example(json!({
                "event_type": "funding.completed",
                "title": "{{ event.credit_amount }} {{ event.currency }} for you, {{ user.first_name }}",
                "html": "<p>Have a look: {{ event.funding_id }}</p>",
            }))
            .writes({
                let templates = service();
                move |tx, call: &Call<(), NewTemplateIn>| {
                    let row = templates.create(tx, call)?;
                    out(&templates, row)
                }
            }),
        patch("/notification-templates/{id}")
            .about("Change the words of a template, or stop using it")
            .needs("notification-templates.update_any")
            .versioned()
            .refuses(&["template_fixed", "template_invalid"])
            .example(json!({ "title": "Money for {{ user.first_name }}" }))
            .writes({
                let templates = service();
                move |tx, call: &Call<TemplateId, TemplatePatchIn>| {
                    let row = templates.change(tx, call)?;
                    out(&templates, row)
                }
            }),
        post("/notification-templates/{id}/preview")
            .about("Fill a template in with made-up values; parts that are not stored yet can be tried")
            .needs("notification-templates.preview")
            .refuses(&["template_invalid"])
            .example(json!({ "title": "Hello {{ user.first_name }}", "event": { "amount": "12.00" } }))
            .writes({
                let templates = service();
                move |tx, call: &Call<TemplateId, PreviewIn>| {
                    let words = templates.preview(tx, call.caller.client()?, call.path, &call.input)?;
                    Ok(preview_out(words))
                }
            }),
    ]
}

/// Apart from the others: what is to be sent is left beside the outbox.
pub fn send_test(templates: &Arc<Templates>) -> Endpoint {
    let templates = templates.clone();
    post("/notification-templates/{id}/send-test")
        .about("Mail a template, filled in with made-up values")
        .needs("notification-templates.send_test")
        .status(202)
        .refuses(&["mail_not_configured", "template_invalid"])
        .example(json!({ "to": "me@example.com" }))
        .writes(move |tx, call: &Call<TemplateId, SendTestIn>| {
            let sent = templates.send_test(tx, call)?;
            let to = call.input.to.as_str().to_owned();
            Ok(TestSentOut::of(sent.id, to))
        })
}

fn out(templates: &Templates, row: Template) -> Result<TemplateOut> {
    let kind = templates.built_in.kind(&row.event_type)?;
    Ok(TemplateOut {
        id: row.id,
        object: "notification_template",
        event_type: row.event_type,
        topic: kind.topic,
        channels: kind.channels.to_vec(),
        locale: row.locale,
        is_built_in: false,
        is_active: row.is_active,
        title: row.words.title,
        message: row.words.message,
        text: row.words.text,
        html: row.words.html,
        external_id: row.stamp.external_id,
        created_at: Some(row.stamp.created_at),
        updated_at: Some(row.stamp.updated_at),
        version: row.stamp.version,
        metadata: row.stamp.metadata,
    })
}

fn out_of_built_in(templates: &Templates, id: TemplateId) -> Result<TemplateOut> {
    let kind = found(templates.built_in.by_id(id))?;
    let Words { title, message, text, html } = templates.built_in.words(kind.event_type)?.clone();
    Ok(TemplateOut {
        id,
        object: "notification_template",
        event_type: kind.event_type.to_owned(),
        topic: kind.topic,
        channels: kind.channels.to_vec(),
        locale: None,
        is_built_in: true,
        is_active: true,
        title,
        message,
        text,
        html,
        external_id: None,
        created_at: None,
        updated_at: None,
        version: 1,
        metadata: Metadata::default(),
    })
}

fn preview_out(words: Words) -> PreviewOut {
    let Words { title, message, text, html } = words;
    PreviewOut { object: "notification_preview", title, message, text, html }
}
