//! From words with gaps to words: how templates are read, checked and filled in.
//!
//! Strict: a name the event does not have is an error, found when a template is stored. HTML is escaped. A template
//! runs on fuel, so one that would never end does. What is filled in:
//!
//! | name | has |
//! |---|---|
//! | `client` | `name`, `support_email`, `website` |
//! | `user` | `id`, `first_name`, `last_name`, `email` |
//! | `event` | the payload of the event; a field that is absent is null, and prints as nothing |
//! | `action` | `url`, `text`; null when there is nothing to be done, or the client has no web site |

use std::collections::HashMap;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, escape_formatter, value::Serde};
use serde::Deserialize;
use serde_json::{Map, json};
use sha2::{Digest, Sha256};

use super::{
    contract::{NotificationRefusal, TemplateId},
    notice::NoticeKind,
};
use crate::kernel::{
    error::{Result, fault},
    id::Id as _,
    store::codec::{Decode, Encode},
};

/// The words for one event, with gaps or filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Words {
    /// The subject of a mail, and the line in the inbox.
    pub title: String,
    /// One or two sentences: in the inbox, and as a short message.
    pub message: String,
    /// The body of a mail, as plain text.
    pub text: String,
    /// The same as HTML. One that is no whole document is set into the layout.
    pub html: String,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `title`, `message`, `text` or `html`.
    pub part: &'static str,
    pub reason: String,
}

impl From<Problem> for NotificationRefusal {
    fn from(problem: Problem) -> NotificationRefusal {
        NotificationRefusal::TemplateInvalid { part: problem.part.to_owned(), reason: problem.reason }
    }
}

/// More than any notice needs, less than a millisecond.
const FUEL: u64 = 20_000;
/// A line; what is longer is cut.
const TITLE_CHARACTERS: usize = 200;

const REFERENCE: &str = include_str!("../../../data/reference/templates/en.toml");

/// The words that come with the product.
pub struct BuiltIn {
    words: HashMap<&'static str, Words>,
    layout: Layout,
    kinds: Vec<NoticeKind>,
}

#[derive(Deserialize)]
struct Reference {
    layout: Layout,
    template: Vec<ReferenceRow>,
}

#[derive(Deserialize)]
struct Layout {
    text: String,
    html: String,
}

#[derive(Deserialize)]
struct ReferenceRow {
    event: String,
    title: String,
    message: String,
    text: Option<String>,
    html: Option<String>,
}

impl BuiltIn {
    /// The shipped words for `kinds`. A fault when some are missing, too many, or do not fit their event.
    pub fn new(kinds: Vec<NoticeKind>) -> Result<BuiltIn> {
        let reference: Reference = toml::from_str(REFERENCE)
            .map_err(|error| fault!("the shipped templates do not read: {error}"))?;
        let mut words = HashMap::new();
        for row in reference.template {
            let kind = kinds.iter().find(|it| it.event_type == row.event);
            let kind =
                kind.ok_or_else(|| fault!("there are words for {}, which nobody is told", row.event))?;
            let text = row.text.unwrap_or_else(|| row.message.clone());
            let html = row.html.unwrap_or_else(|| paragraphs(&text));
            let filled = Words { title: row.title, message: row.message, text, html };
            if words.insert(kind.event_type, filled).is_some() {
                return Err(fault!("there are two shipped templates for {}", row.event));
            }
        }
        let built_in = BuiltIn { words, layout: reference.layout, kinds };
        for kind in &built_in.kinds {
            let words = built_in.words(kind.event_type)?;
            built_in.check(kind, words).map_err(|problem| {
                fault!("the shipped template for {}: {}: {}", kind.event_type, problem.part, problem.reason)
            })?;
        }
        Ok(built_in)
    }

    pub fn kinds(&self) -> &[NoticeKind] {
        &self.kinds
    }

    /// The kind of event. Refuses `event_not_notified`.
    pub fn kind(&self, event_type: &str) -> Result<&NoticeKind> {
        let kind = self.kinds.iter().find(|it| it.event_type == event_type);
        Ok(kind.ok_or_else(|| NotificationRefusal::EventNotNotified { event_type: event_type.to_owned() })?)
    }

    pub fn words(&self, event_type: &str) -> Result<&Words> {
        self.words.get(event_type).ok_or_else(|| fault!("there are no words for {event_type}"))
    }

    /// The built-in template of this id.
    pub fn by_id(&self, id: TemplateId) -> Option<&NoticeKind> {
        self.kinds.iter().find(|it| built_in_id(it.event_type) == id)
    }

    /// Whether the template says something for every event of the kind, with and without what may be absent.
    pub fn check(&self, kind: &NoticeKind, words: &Words) -> Result<(), Problem> {
        for absent in [false, true] {
            self.fill(words, &example(kind, absent))?;
        }
        Ok(())
    }

    /// Fills the gaps in.
    pub fn fill(&self, words: &Words, context: &serde_json::Value) -> Result<Words, Problem> {
        let environment = environment();
        let values = Value::from(Serde(context));
        let render = |part: &'static str, name: &str, source: &str, values: &Value| {
            let rendered = environment.render_named_str(name, source, values.clone());
            rendered.map_err(|error| Problem { part, reason: reason(&error) })
        };
        let body = |part, name, source: &str, layout: &str| {
            let body = render(part, name, source, &values)?;
            let is_whole = body.to_ascii_lowercase().contains("<html");
            if is_whole && part == "html" {
                return Ok(body);
            }
            // Escaped already: it came out of a template of the same kind.
            let body = if part == "html" { Value::from_safe_string(body) } else { Value::from(body) };
            let values = minijinja::context! { body, ..values.clone() };
            render(part, name, layout, &values)
        };
        Ok(Words {
            title: one_line(&render("title", "title.txt", &words.title, &values)?),
            message: render("message", "message.txt", &words.message, &values)?.trim().to_owned(),
            text: body("text", "text.txt", &words.text, &self.layout.text)?,
            html: body("html", "html.html", &words.html, &self.layout.html)?,
        })
    }
}

/// Stands for ever: made from the name of the event.
pub fn built_in_id(event_type: &str) -> TemplateId {
    let digest = Sha256::digest(format!("template {event_type}"));
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    TemplateId::from_bytes(first)
}

/// A template over a few values, outside of notices: the request of a short message.
pub fn fill_plain(source: &str, values: &serde_json::Value) -> Result<String, String> {
    let filled = environment().render_named_str("plain.txt", source, Value::from(Serde(values)));
    filled.map_err(|error| reason(&error))
}

/// Fields the event may have and this one, perhaps an older one, has not: they are null, not unknown.
pub fn complete(kind: &NoticeKind, data: &serde_json::Value) -> serde_json::Value {
    let mut data = data.as_object().cloned().unwrap_or_default();
    for (name, _) in properties(kind) {
        data.entry(name).or_insert(serde_json::Value::Null);
    }
    data.into()
}

/// What a template of this kind may name, with made-up values; those that may be absent are when `absent`.
pub fn example(kind: &NoticeKind, absent: bool) -> serde_json::Value {
    let mut event = Map::new();
    for (name, property) in properties(kind) {
        let value = if absent && property.optional { json!(null) } else { property.value };
        event.insert(name, value);
    }
    let action = kind.action.filter(|_| !absent);
    json!({
        "client": {
            "name": "Example",
            "support_email": (!absent).then_some("support@example.com"),
            "website": (!absent).then_some("https://example.com"),
        },
        "user": {
            "id": "usr_00000000000000000000000001",
            "first_name": "Ann",
            "last_name": "Example",
            "email": "ann@example.com",
        },
        "event": event,
        "action": action.map(|(path, text)| json!({
            "url": format!("https://example.com{}", path.replace("{entity}", "example")),
            "text": text,
        })),
    })
}

struct Property {
    optional: bool,
    value: serde_json::Value,
}

fn properties(kind: &NoticeKind) -> Vec<(String, Property)> {
    let Some((_, schema)) = &kind.shape.schema else { return vec![] };
    let schema = serde_json::to_value(schema).unwrap_or_default();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let property = |(name, schema): (String, serde_json::Value)| {
        let optional = !required.iter().any(|it| *it == name.as_str());
        let value = made_up(&name, &schema);
        (name, Property { optional, value })
    };
    properties.into_iter().map(property).collect()
}

fn made_up(name: &str, schema: &serde_json::Value) -> serde_json::Value {
    let is = |kind: &str| match &schema["type"] {
        serde_json::Value::Array(kinds) => kinds.iter().any(|it| it == kind),
        one => one == kind,
    };
    if is("boolean") {
        return json!(true);
    }
    if is("integer") || is("number") {
        return json!(3600);
    }
    if is("array") {
        return json!(["example"]);
    }
    json!(match name {
        "amount" | "credit_amount" | "payout" | "received" => "100.00",
        "fee" => "1.50",
        "currency" => "USD",
        "direction" => "credit",
        "ip" => "203.0.113.7",
        "url" => "https://example.com/example",
        _ if name.ends_with("_at") => "2026-01-01T00:00:00.000000Z",
        _ => "example",
    })
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|name| {
        if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None }
    });
    environment.set_formatter(|out, state, value| {
        let nothing = Value::from("");
        escape_formatter(out, state, if value.is_none() { &nothing } else { value })
    });
    environment
}

fn reason(error: &minijinja::Error) -> String {
    let what =
        error.detail().map_or_else(|| error.kind().to_string(), |it| format!("{}: {it}", error.kind()));
    error.line().map_or(what.clone(), |line| format!("line {line}: {what}"))
}

/// What a header and a list show: without breaks, cut when it is too long.
pub fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|it| !it.is_control()).take(TITLE_CHARACTERS).collect()
}

/// A plain text as HTML: a paragraph for each.
fn paragraphs(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(str::trim).filter(|it| !it.is_empty());
    paragraphs.map(|it| format!("<p>{it}</p>\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::notification::notices::kinds;

    fn built_in() -> BuiltIn {
        BuiltIn::new(kinds()).unwrap()
    }

    fn words(text: &str) -> Words {
        Words { title: "t".into(), message: "m".into(), text: "t".into(), html: text.into() }
    }

    #[test]
    fn every_notified_event_has_words_that_fit_it() {
        let built_in = built_in();
        assert!(built_in.kinds().len() > 30);
    }

    #[test]
    fn what_is_wrong_with_a_template_is_found_before_it_is_used() {
        let built_in = built_in();
        let kind = built_in.kind("funding.completed").unwrap();
        for (html, wanted) in [
            ("{{ event.amount }} {{ event.currency }}", None),
            ("{{ event.amonut }}", Some("undefined")),
            ("{{ user.password }}", Some("undefined")),
            ("{{ event.amount", Some("syntax error")),
            ("{% for a in range(10000) %}{% for b in range(10000) %}.{% endfor %}{% endfor %}", Some("fuel")),
            ("{% include 'secrets' %}", Some("template not found")),
            // A reason may be absent.
            ("{{ event.reason|upper }}", None),
            ("{{ event.reason.text }}", Some("undefined")),
        ] {
            let found = built_in.check(kind, &words(html)).err().map(|it| it.reason);
            match (&found, wanted) {
                (None, None) => {}
                (Some(found), Some(wanted)) => assert!(found.contains(wanted), "{html}: {found}"),
                other => panic!("{html}: {other:?}"),
            }
        }
    }

    #[test]
    fn html_is_escaped_and_text_is_not() {
        let built_in = built_in();
        let kind = built_in.kind("user.registered").unwrap();
        let mut context = example(kind, false);
        context["user"]["first_name"] = json!("<b>Ann & Bo</b>");
        let both = Words { text: "{{ user.first_name }}".into(), ..words("{{ user.first_name }}") };
        let filled = built_in.fill(&both, &context).unwrap();
        assert!(filled.html.contains("&lt;b&gt;Ann &amp; Bo&lt;&#x2f;b&gt;"), "{}", filled.html);
        assert!(!filled.html.contains("<b>Ann") && filled.text.contains("<b>Ann & Bo</b>"));
        let whole = built_in.fill(&words("<html>x</html>"), &context).unwrap();
        assert_eq!(whole.html, "<html>x</html>", "a whole document is not set into the layout");
    }

    #[test]
    fn a_title_is_one_line() {
        assert_eq!(one_line(" a\r\nBcc: x@y.z \t b "), "a Bcc: x@y.z b");
        assert_eq!(one_line(&"x".repeat(500)).len(), TITLE_CHARACTERS);
    }
}
