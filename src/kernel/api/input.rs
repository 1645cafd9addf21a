//! What clients send, read strictly and completely: unknown fields, missing fields and wrong types are all found, and
//! all reported at once.
//!
//! An input is a plain struct:
//!
//! ```ignore
//! input! {
//!     pub struct TransferIn { amount: AmountText, currency: CurrencyCode, reason: Option<String> }
//! }
//! ```
//!
//! serde stops at the first thing it dislikes; this does not, which is why it exists.

use std::{collections::BTreeMap, str::FromStr};

use serde::Serialize;
use serde_json::{Map, Value};

use super::object::NamedShape;
use crate::kernel::{
    clock::Time,
    error::{Error, Kind, Refusal, RefusalInfo, Result},
    store::codec::{Decode, Encode},
};

/// One thing wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flaw {
    /// The field: `amount`, `method.iban`, `items[3].to`.
    pub param: String,
    pub code: &'static str,
    pub message: String,
}

pub type Flaws = Vec<Flaw>;

/// Every code a [`Flaw`] may carry.
pub const FLAWS: &[(&str, &str)] = &[
    ("required", "The field must be given."),
    ("unknown_field", "The field, or query parameter, is not one this operation knows."),
    ("invalid_type", "The value has another JSON type than the field."),
    ("invalid_format", "The text is not of the form the field takes."),
    ("out_of_range", "The number or the length is outside the field's range."),
    ("not_allowed", "The field may not be given here, or by this caller."),
    ("amount_format", "An amount is a string of digits with an optional decimal point, such as \"12.34\"."),
    ("amount_too_large", "The amount is above what the system can hold."),
    ("amount_scale", "The amount has more decimals than its currency. Nothing is rounded on the way in."),
    ("amount_not_positive", "The amount must be above zero."),
];

impl Flaw {
    pub fn new(param: &str, code: &'static str, message: impl Into<String>) -> Flaw {
        debug_assert!(FLAWS.iter().any(|it| it.0 == code), "{code} is in FLAWS");
        Flaw { param: param.to_owned(), code, message: message.into() }
    }

    fn under(mut self, parent: &str) -> Flaw {
        self.param = match (parent.is_empty(), self.param.is_empty()) {
            (true, _) => self.param,
            (_, true) => parent.to_owned(),
            _ if self.param.starts_with('[') => format!("{parent}{}", self.param),
            _ => format!("{parent}.{}", self.param),
        };
        self
    }
}

/// A request whose fields are wrong: 422 with `errors[]`. Its code is the first flaw's.
#[derive(Debug, Clone, PartialEq)]
pub struct Flawed(pub Flaws);

impl Flawed {
    pub fn catalogue() -> impl Iterator<Item = RefusalInfo> {
        FLAWS.iter().map(|(code, about)| RefusalInfo { code, kind: Kind::Unprocessable, about })
    }
}

impl std::fmt::Display for Flawed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, flaw) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "; " };
            write!(f, "{comma}{} {}", flaw.param, flaw.message)?;
        }
        Ok(())
    }
}

impl Refusal for Flawed {
    fn code(&self) -> &'static str {
        self.0.first().map_or("invalid_format", |it| it.code)
    }
    fn kind(&self) -> Kind {
        Kind::Unprocessable
    }
    fn params(&self) -> Map<String, Value> {
        let mut params = Map::new();
        if let Some(first) = self.0.first() {
            params.insert("param".into(), first.param.clone().into());
        }
        params.insert("errors".into(), serde_json::to_value(&self.0).unwrap_or_default());
        params
    }
    fn of_contract(&self) -> bool {
        false
    }
}

impl From<Flaw> for Error {
    fn from(flaw: Flaw) -> Error {
        Flawed(vec![flaw]).into()
    }
}

/// The value of one field.
pub trait Field: Sized {
    fn parse(value: Value) -> Result<Self, Flaws>;
    /// From a query string, where everything is text.
    fn parse_query(text: String) -> Result<Self, Flaws> {
        Self::parse(Value::String(text))
    }
    /// What an omitted field means; `None` when it is required.
    fn absent() -> Option<Self> {
        None
    }
}

/// Refuses a text that is blank, or longer than `most` characters.
pub fn check_length(param: &str, text: &str, most: usize) -> Result<()> {
    if !text.trim().is_empty() && text.chars().count() <= most {
        return Ok(());
    }
    Err(Flaw::new(param, "out_of_range", format!("must have 1 to {most} characters")).into())
}

/// Parses a JSON string; `wanted` says what was expected: "an id starting with usr_".
pub fn parse_text<T: FromStr>(value: Value, wanted: &str) -> Result<T, Flaws> {
    let Value::String(text) = value else {
        return Err(vec![Flaw::new("", "invalid_type", format!("must be a string: {wanted}"))]);
    };
    text.parse().map_err(|_| vec![Flaw::new("", "invalid_format", format!("must be {wanted}"))])
}

/// A structure that clients send. Implemented by [`input!`].
pub trait Input: Sized {
    fn take(fields: &mut Fields) -> Option<Self>;
    /// Field names, for the documentation of query parameters.
    const NAMES: &'static [&'static str];

    /// The fields that must be given: those that reading an empty object misses.
    fn required() -> Vec<String> {
        let mut fields = Fields::new(Map::new(), false);
        let _ = Self::take(&mut fields);
        fields.flaws.into_iter().filter(|it| it.code == "required").map(|it| it.param).collect()
    }

    /// Their schemas, as far as they are known.
    fn shapes() -> Vec<NamedShape> {
        vec![]
    }
}

/// The fields of an object while they are taken out one by one.
pub struct Fields {
    values: Map<String, Value>,
    flaws: Flaws,
    from_query: bool,
}

impl Fields {
    fn new(values: Map<String, Value>, from_query: bool) -> Fields {
        Fields { values, flaws: vec![], from_query }
    }

    /// Takes field `name`; `None` (and a flaw noted) when it is missing or wrong.
    pub fn take<T: Field>(&mut self, name: &'static str) -> Option<T> {
        let parsed = match self.values.remove(name) {
            None => match T::absent() {
                Some(absent) => Ok(absent),
                None => Err(vec![Flaw::new("", "required", "is required")]),
            },
            Some(Value::String(text)) if self.from_query => T::parse_query(text),
            Some(value) => T::parse(value),
        };
        match parsed {
            Ok(value) => Some(value),
            Err(flaws) => {
                self.flaws.extend(flaws.into_iter().map(|it| it.under(name)));
                None
            }
        }
    }

    fn finish<T>(mut self, taken: Option<T>) -> Result<T, Flaws> {
        for name in self.values.keys() {
            self.flaws.push(Flaw::new(name, "unknown_field", "is not a field of this operation"));
        }
        match taken {
            Some(value) if self.flaws.is_empty() => Ok(value),
            _ => Err(self.flaws),
        }
    }
}

/// Reads a request body. An empty body counts as `{}`.
pub fn read_body<T: Input>(body: Value) -> Result<T> {
    parse_object(body).map_err(|flaws| Flawed(flaws).into())
}

/// Reads a query string.
pub fn read_query<T: Input>(pairs: Vec<(String, String)>) -> Result<T> {
    let mut values = Map::new();
    let mut repeated = vec![];
    for (name, value) in pairs {
        // `metadata[order]=17` is a member of `metadata`.
        let member = name.split_once('[').and_then(|(outer, rest)| Some((outer, rest.strip_suffix(']')?)));
        let (object, key) = match member {
            Some((outer, key)) => match values.entry(outer).or_insert_with(|| Map::new().into()) {
                Value::Object(members) => (members, key),
                _ => (&mut values, name.as_str()),
            },
            None => (&mut values, name.as_str()),
        };
        if object.insert(key.to_owned(), Value::String(value)).is_some() {
            repeated.push(Flaw::new(&name, "not_allowed", "is given twice"));
        }
    }
    let mut fields = Fields::new(values, true);
    fields.flaws = repeated;
    let taken = T::take(&mut fields);
    fields.finish(taken).map_err(|flaws| Flawed(flaws).into())
}

/// Reads an object inside an object.
pub fn parse_object<T: Input>(value: Value) -> Result<T, Flaws> {
    let Value::Object(values) = value else {
        return Err(vec![Flaw::new("", "invalid_type", "must be an object")]);
    };
    let mut fields = Fields::new(values, false);
    let taken = T::take(&mut fields);
    fields.finish(taken)
}

/// What a field is called outside: `r#type` is `type`.
pub const fn field_name(identifier: &'static str) -> &'static str {
    match identifier.as_bytes() {
        [b'r', b'#', ..] => identifier.split_at(2).1,
        _ => identifier,
    }
}

/// Lists the fields of an input struct: see the head of this file.
macro_rules! input {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $( $(#[$field_meta:meta])* $field:ident : $type:ty ),* $(,)? }) => {
        $(#[$meta])*
        #[derive(utoipa::ToSchema)]
        $vis struct $name { $( $(#[$field_meta])* pub $field: $type ),* }
        $crate::kernel::api::input::input!($name { $($field),* });
    };
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::kernel::api::input::Input for $name {
            const NAMES: &'static [&'static str] =
                &[$($crate::kernel::api::input::field_name(stringify!($field))),*];
            fn take(fields: &mut $crate::kernel::api::input::Fields) -> Option<Self> {
                $( let $field = fields.take($crate::kernel::api::input::field_name(stringify!($field))); )*
                Some($name { $( $field: $field? ),* })
            }
        }
        impl $crate::kernel::api::input::Field for $name {
            fn parse(value: serde_json::Value) -> Result<Self, $crate::kernel::api::input::Flaws> {
                $crate::kernel::api::input::parse_object(value)
            }
        }
    };
}
pub(crate) use input;

impl Input for () {
    const NAMES: &'static [&'static str] = &[];
    fn take(_: &mut Fields) -> Option<()> {
        Some(())
    }
}

impl<T: Field> Field for Option<T> {
    fn parse(value: Value) -> Result<Self, Flaws> {
        if value.is_null() { Ok(None) } else { T::parse(value).map(Some) }
    }
    fn parse_query(text: String) -> Result<Self, Flaws> {
        T::parse_query(text).map(Some)
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// A field of a PATCH that can be left alone, switched off or set: omitted, `null`, or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Change<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T: Field> Field for Change<T> {
    fn parse(value: Value) -> Result<Self, Flaws> {
        if value.is_null() { Ok(Change::Clear) } else { T::parse(value).map(Change::Set) }
    }
    fn absent() -> Option<Self> {
        Some(Change::Keep)
    }
}

impl<T: Field> Field for Vec<T> {
    fn parse(value: Value) -> Result<Self, Flaws> {
        let Value::Array(values) = value else {
            return Err(vec![Flaw::new("", "invalid_type", "must be a list")]);
        };
        let (mut items, mut flaws) = (vec![], vec![]);
        for (place, value) in values.into_iter().enumerate() {
            match T::parse(value) {
                Ok(item) => items.push(item),
                Err(found) => flaws.extend(found.into_iter().map(|it| it.under(&format!("[{place}]")))),
            }
        }
        if flaws.is_empty() { Ok(items) } else { Err(flaws) }
    }
    /// `a,b`
    fn parse_query(text: String) -> Result<Self, Flaws> {
        text.split(',').map(|it| T::parse_query(it.to_owned())).collect()
    }
}

impl Field for String {
    fn parse(value: Value) -> Result<Self, Flaws> {
        let Value::String(text) = value else {
            return Err(vec![Flaw::new("", "invalid_type", "must be a string")]);
        };
        if text.len() > 2000 {
            return Err(vec![Flaw::new("", "out_of_range", "must be at most 2000 bytes")]);
        }
        if text.chars().any(|it| it.is_control() && it != '\n' && it != '\t') {
            return Err(vec![Flaw::new("", "invalid_format", "must not contain control characters")]);
        }
        Ok(text)
    }
}

impl Field for bool {
    fn parse(value: Value) -> Result<Self, Flaws> {
        value.as_bool().ok_or_else(|| vec![Flaw::new("", "invalid_type", "must be true or false")])
    }
    fn parse_query(text: String) -> Result<Self, Flaws> {
        text.parse().map_err(|_| vec![Flaw::new("", "invalid_format", "must be true or false")])
    }
}

impl Field for u64 {
    fn parse(value: Value) -> Result<Self, Flaws> {
        value
            .as_u64()
            .ok_or_else(|| vec![Flaw::new("", "invalid_type", "must be a whole number, zero or above")])
    }
    fn parse_query(text: String) -> Result<Self, Flaws> {
        text.parse()
            .map_err(|_| vec![Flaw::new("", "invalid_format", "must be a whole number, zero or above")])
    }
}

impl Field for u32 {
    fn parse(value: Value) -> Result<Self, Flaws> {
        narrow(u64::parse(value)?)
    }
    fn parse_query(text: String) -> Result<Self, Flaws> {
        narrow(u64::parse_query(text)?)
    }
}

fn narrow(value: u64) -> Result<u32, Flaws> {
    u32::try_from(value).map_err(|_| vec![Flaw::new("", "out_of_range", "must be at most 4294967295")])
}

impl Field for Time {
    fn parse(value: Value) -> Result<Self, Flaws> {
        let time = value.as_str().and_then(Time::parse);
        time.ok_or_else(|| {
            vec![Flaw::new("", "invalid_format", "must be an RFC 3339 time such as 2026-11-22T10:00:00Z")]
        })
    }
}

impl Field for Value {
    fn parse(value: Value) -> Result<Self, Flaws> {
        Ok(value)
    }
}

/// A client's own notes on an object: at most 50 keys of at most 40 characters, values of at most 500.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Encode, Decode, utoipa::ToSchema)]
#[serde(transparent)]
pub struct Metadata(pub BTreeMap<String, String>);

impl Metadata {
    /// What a PATCH means: given keys replace, an empty value removes.
    pub fn merge(&mut self, patch: Metadata) {
        for (key, value) in patch.0 {
            if value.is_empty() {
                self.0.remove(&key);
            } else {
                self.0.insert(key, value);
            }
        }
    }
}

impl Field for Metadata {
    fn parse(value: Value) -> Result<Self, Flaws> {
        let Value::Object(values) = value else {
            return Err(vec![Flaw::new("", "invalid_type", "must be an object of strings")]);
        };
        if values.len() > 50 {
            return Err(vec![Flaw::new("", "out_of_range", "must have at most 50 keys")]);
        }
        let (mut metadata, mut flaws) = (BTreeMap::new(), vec![]);
        for (key, value) in values {
            match value {
                _ if key.is_empty() || key.chars().count() > 40 => {
                    flaws.push(Flaw::new(&key, "out_of_range", "keys have 1 to 40 characters"));
                }
                Value::String(text) if text.chars().count() <= 500 => {
                    metadata.insert(key, text);
                }
                Value::String(_) => {
                    flaws.push(Flaw::new(&key, "out_of_range", "must be at most 500 characters"))
                }
                _ => flaws.push(Flaw::new(&key, "invalid_type", "must be a string")),
            }
        }
        if flaws.is_empty() { Ok(Metadata(metadata)) } else { Err(flaws) }
    }
    fn absent() -> Option<Self> {
        Some(Metadata::default())
    }
}

/// Declares an enum whose variants have one stable text each: in JSON, in query strings, in the documentation.
/// Stored by position: variants are only ever added at the end.
macro_rules! text_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $text:literal ),* $(,)? }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            $crate::kernel::store::codec::Encode, $crate::kernel::store::codec::Decode,
        )]
        $vis enum $name { $( $(#[$variant_meta])* $variant ),* }

        impl $crate::kernel::api::input::Named for $name {
            const ALL: &'static [Self] = &[$($name::$variant),*];
            fn name(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::kernel::api::input::Named::name(*self))
            }
        }

        impl std::str::FromStr for $name {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($text => Ok($name::$variant),)* _ => Err(()) }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($crate::kernel::api::input::Named::name(*self))
            }
        }

        impl $crate::kernel::api::input::Field for $name {
            fn parse(value: serde_json::Value) -> Result<Self, $crate::kernel::api::input::Flaws> {
                $crate::kernel::api::input::parse_text(value, concat!("one of " $(, "`", $text, "` ")*).trim_end())
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                use utoipa::openapi::schema::{Object, Type};
                Object::builder().schema_type(Type::String).enum_values(Some([$($text),*])).into()
            }
        }
        impl utoipa::ToSchema for $name {}
    };
}
pub(crate) use text_enum;

/// An enum with one stable text per variant: see [`text_enum!`].
pub trait Named: Copy + Eq + 'static {
    const ALL: &'static [Self];
    fn name(self) -> &'static str;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    text_enum! { pub enum Shade { Light = "light", Dark = "dark" } }

    #[derive(Debug, PartialEq)]
    struct InnerIn {
        count: u32,
    }
    input!(InnerIn { count });

    #[derive(Debug, PartialEq)]
    struct KeywordIn {
        r#type: Shade,
    }
    input!(KeywordIn { r#type });

    #[test]
    fn a_field_may_be_called_like_a_keyword() {
        assert_eq!(KeywordIn::NAMES, ["type"]);
        assert_eq!(parse_object(json!({"type": "dark"})), Ok(KeywordIn { r#type: Shade::Dark }));
    }

    #[derive(Debug, PartialEq)]
    struct OuterIn {
        name: String,
        shade: Shade,
        inner: Option<InnerIn>,
        list: Option<Vec<InnerIn>>,
        metadata: Metadata,
    }
    input!(OuterIn { name, shade, inner, list, metadata });

    fn flaws(body: Value) -> Vec<(String, &'static str)> {
        parse_object::<OuterIn>(body).unwrap_err().into_iter().map(|it| (it.param, it.code)).collect()
    }

    #[test]
    fn everything_wrong_is_reported_at_once() {
        let found = flaws(json!({
            "shade": "grey", "inner": {"count": -1, "size": 2}, "list": [{"count": 1}, {}],
            "metadata": {"a": 1}, "colour": true,
        }));
        let wanted = [
            ("name", "required"),
            ("shade", "invalid_format"),
            ("inner.count", "invalid_type"),
            ("inner.size", "unknown_field"),
            ("list[1].count", "required"),
            ("metadata.a", "invalid_type"),
            ("colour", "unknown_field"),
        ];
        assert_eq!(found, wanted.map(|(param, code)| (param.to_owned(), code)));
    }

    struct PatchIn {
        limit: Change<u32>,
    }
    input!(PatchIn { limit });

    #[test]
    fn what_must_be_given_is_what_reading_misses() {
        assert_eq!(OuterIn::required(), ["name", "shade"]);
        assert_eq!(PatchIn::required(), Vec::<String>::new());
    }

    #[test]
    fn an_omitted_field_is_kept_and_null_switches_off() {
        let limit = |body: Value| parse_object::<PatchIn>(body).map(|it| it.limit).ok();
        assert_eq!(limit(json!({})), Some(Change::Keep));
        assert_eq!(limit(json!({"limit": null})), Some(Change::Clear));
        assert_eq!(limit(json!({"limit": 0})), Some(Change::Set(0)));
        assert_eq!(limit(json!({"limit": ""})), None);
    }

    #[test]
    fn what_is_right_is_read() {
        let read: OuterIn = parse_object(json!({"name": "a", "shade": "dark", "inner": null})).unwrap();
        assert_eq!((read.shade, read.inner, read.list), (Shade::Dark, None, None));
        let query = vec![("count".to_owned(), "7".to_owned())];
        assert_eq!(read_query::<InnerIn>(query.clone()).unwrap(), InnerIn { count: 7 });
        assert!(read_query::<InnerIn>([query.clone(), query].concat()).is_err());
    }
}
