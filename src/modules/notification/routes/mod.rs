//! Notification over HTTP, webhooks apart.

pub mod inbox;
pub mod outbox;
pub mod preferences;
pub mod templates;

use serde_json::Value;

use crate::kernel::api::input::{Field, Flaw, Flaws};

/// The text of a template: longer than other texts, and with line breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(pub String);

/// Mails longer than this are cut off by those who show them.
const SOURCE_BYTES: usize = 100 * 1024;

impl Field for Source {
    fn parse(value: Value) -> Result<Self, Flaws> {
        let Value::String(text) = value else {
            return Err(vec![Flaw::new("", "invalid_type", "must be a string")]);
        };
        if text.trim().is_empty() || text.len() > SOURCE_BYTES {
            let wanted = format!("must have 1 to {SOURCE_BYTES} bytes");
            return Err(vec![Flaw::new("", "out_of_range", wanted)]);
        }
        if text.chars().any(|it| it.is_control() && !"\n\r\t".contains(it)) {
            return Err(vec![Flaw::new("", "invalid_format", "must not contain control characters")]);
        }
        Ok(Source(text))
    }
}

impl utoipa::PartialSchema for Source {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{Object, Type};
        Object::builder().schema_type(Type::String).max_length(Some(SOURCE_BYTES)).into()
    }
}
impl utoipa::ToSchema for Source {}
