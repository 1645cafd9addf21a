//! A client's own words for an event.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    kernel::{
        api::{
            call::{Call, found},
            input::Flaw,
            object::{Stamp, check_external_id},
            principal::ClientId,
        },
        error::Result,
        events::enqueue::{Enqueued, NewDelivery},
        store::{ReadTx, WriteTx},
    },
    modules::{
        client::contract::ClientContract,
        notification::{
            MODULE,
            contract::{Locale, NotificationRefusal, TemplateId},
            letter::Letter,
            mail,
            model::{Preferences, Template},
            notice::NoticeKind,
            repository::{TEMPLATES, TEMPLATES_BY_EXTERNAL_ID, put_template, template_for},
            routes::templates::{NewTemplateIn, PreviewIn, SendTestIn, TemplatePatchIn},
            template::{BuiltIn, Words, example},
        },
    },
};

pub struct Templates {
    pub built_in: Arc<BuiltIn>,
    pub clients: Arc<dyn ClientContract>,
    pub sends_mail: bool,
}

/// A template, or what comes with the product.
#[allow(clippy::large_enum_variant, reason = "found, shown and dropped: never kept in numbers")]
pub enum Found {
    Own(Box<Template>),
    BuiltIn(TemplateId),
}

impl Templates {
    pub fn create(&self, tx: &mut WriteTx, call: &Call<(), NewTemplateIn>) -> Result<Template> {
        let client = call.caller.client()?;
        let input = &call.input;
        let kind = self.built_in.kind(&input.event_type)?;
        let language = input.locale.as_ref().map_or("", Locale::as_str);
        if let Some(existing) = template_for(tx, client, kind.event_type, language)? {
            return Err(NotificationRefusal::TemplateTaken { existing_id: existing.id }.into());
        }
        let external_id = input.external_id.as_ref();
        check_external_id(tx, &TEMPLATES, TEMPLATES_BY_EXTERNAL_ID, client, external_id)?;
        let usual = self.built_in.words(kind.event_type)?;
        let words = Words {
            title: input.title.as_ref().map_or_else(|| usual.title.clone(), |it| it.0.clone()),
            message: input.message.as_ref().map_or_else(|| usual.message.clone(), |it| it.0.clone()),
            text: input.text.as_ref().map_or_else(|| usual.text.clone(), |it| it.0.clone()),
            html: input.html.as_ref().map_or_else(|| usual.html.clone(), |it| it.0.clone()),
        };
        self.built_in.check(kind, &words).map_err(NotificationRefusal::from)?;

        let row = Template {
            id: tx.new_id(),
            event_type: kind.event_type.to_owned(),
            locale: input.locale.clone(),
            is_active: input.is_active.unwrap_or(true),
            words,
            stamp: Stamp::new(tx, external_id, &input.metadata),
        };
        put_template(tx, client, &row)?;
        Ok(row)
    }

    pub fn change(&self, tx: &mut WriteTx, call: &Call<TemplateId, TemplatePatchIn>) -> Result<Template> {
        let client = call.caller.client()?;
        let mut row = match self.find(tx, client, call.path)? {
            Found::Own(row) => *row,
            Found::BuiltIn(_) => return Err(NotificationRefusal::TemplateFixed.into()),
        };
        call.caller.check_version(row.stamp.version)?;
        let input = &call.input;
        let replace = |part: &mut String, with: &Option<crate::modules::notification::routes::Source>| {
            if let Some(with) = with {
                part.clone_from(&with.0);
            }
        };
        replace(&mut row.words.title, &input.title);
        replace(&mut row.words.message, &input.message);
        replace(&mut row.words.text, &input.text);
        replace(&mut row.words.html, &input.html);
        let kind = self.built_in.kind(&row.event_type)?;
        self.built_in.check(kind, &row.words).map_err(NotificationRefusal::from)?;

        row.is_active = input.is_active.unwrap_or(row.is_active);
        row.stamp.metadata.merge(input.metadata.clone());
        row.stamp.touch(tx.now());
        put_template(tx, client, &row)?;
        Ok(row)
    }

    /// The words with made-up values, or those of `input`, filled in. What is not stored yet can be looked at too.
    pub fn preview(&self, tx: &ReadTx, client: ClientId, id: TemplateId, input: &PreviewIn) -> Result<Words> {
        let (kind, mut words) = self.words_of(tx, client, id)?;
        for (part, with) in [
            (&mut words.title, &input.title),
            (&mut words.message, &input.message),
            (&mut words.text, &input.text),
            (&mut words.html, &input.html),
        ] {
            if let Some(with) = with {
                part.clone_from(&with.0);
            }
        }
        let mut context = self.made_up(tx, client, kind)?;
        if let Some(values) = &input.event {
            let Some(values) = values.as_object() else {
                return Err(Flaw::new("event", "invalid_type", "must be an object").into());
            };
            for (name, value) in values {
                context["event"][name.as_str()] = value.clone();
            }
        }
        Ok(self.built_in.fill(&words, &context).map_err(NotificationRefusal::from)?)
    }

    /// Mails the words with made-up values to an address.
    pub fn send_test(&self, tx: &mut WriteTx, call: &Call<TemplateId, SendTestIn>) -> Result<Enqueued> {
        let client = call.caller.client()?;
        if !self.sends_mail {
            return Err(NotificationRefusal::MailNotConfigured.into());
        }
        let (kind, words) = tx.at(MODULE.name, |tx| self.words_of(tx, client, call.path))?;
        let context = self.made_up(tx, client, kind)?;
        let words = self.built_in.fill(&words, &context).map_err(NotificationRefusal::from)?;

        let to = call.input.to.as_str().to_owned();
        let name = context["client"]["name"].as_str().unwrap_or_default().to_owned();
        let letter = Letter {
            from_name: name,
            reply_to: context["client"]["support_email"].as_str().map(str::to_owned),
            to_name: String::new(),
            to: to.clone(),
            subject: format!("[Test] {}", words.title),
            text: words.text,
            html: words.html,
        };
        let new = NewDelivery::to(mail::KIND, to).of_client(Some(client)).group("mail");
        tx.enqueue(new.extra(letter.to_bytes()?))
    }

    pub fn find(&self, tx: &ReadTx, client: ClientId, id: TemplateId) -> Result<Found> {
        match self.built_in.by_id(id) {
            Some(_) => Ok(Found::BuiltIn(id)),
            None => found(tx.get(&TEMPLATES, &(client, id))?).map(|it| Found::Own(Box::new(it))),
        }
    }

    fn words_of(&self, tx: &ReadTx, client: ClientId, id: TemplateId) -> Result<(&NoticeKind, Words)> {
        match self.find(tx, client, id)? {
            Found::Own(row) => Ok((self.built_in.kind(&row.event_type)?, row.words)),
            Found::BuiltIn(id) => {
                let kind = found(self.built_in.by_id(id))?;
                Ok((kind, self.built_in.words(kind.event_type)?.clone()))
            }
        }
    }

    fn made_up(&self, tx: &ReadTx, client: ClientId, kind: &NoticeKind) -> Result<Value> {
        let client = tx.at("client", |tx| self.clients.get(tx, client))?;
        let branding = client.settings.branding;
        let mut context = example(kind, false);
        context["client"] = json!({
            "name": branding.display_name.unwrap_or(client.name),
            "support_email": branding.support_email,
            "website": branding.website,
        });
        Ok(context)
    }
}

/// The words for an event to somebody, filled in: the client's in the language, or a more general one; then those
/// that come with the product. A template that fails is stepped over: the notice arrives, in other words.
pub fn words(
    tx: &ReadTx,
    client: ClientId,
    built_in: &BuiltIn,
    kind: &NoticeKind,
    preferences: &Preferences,
    context: &Value,
) -> Result<Words> {
    for language in Locale::chain(preferences.locale.as_ref()) {
        let Some(own) = template_for(tx, client, kind.event_type, &language)?.filter(|it| it.is_active)
        else {
            continue;
        };
        match built_in.fill(&own.words, context) {
            Ok(words) => return Ok(words),
            Err(problem) => tracing::warn!(
                template.id = %own.id,
                "Template {} cannot be filled in: {}: {}",
                own.id, problem.part, problem.reason
            ),
        }
    }
    let words = built_in.fill(built_in.words(kind.event_type)?, context);
    words.map_err(|problem| {
        crate::kernel::error::fault!(
            "the words for {} cannot be filled in: {}: {}",
            kind.event_type,
            problem.part,
            problem.reason
        )
    })
}
