//! Texts that clients send, of a length that is checked as they are read.

use std::{borrow::Cow, ops::Deref};

use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{Object, Schema, Type},
    },
};

use super::input::{Field, Flaw, Flaws, input};

/// A text that is not blank, of at most `MOST` characters: a reason, a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<const MOST: usize>(pub String);

/// The same in one line and without the spaces around it: a name, a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<const MOST: usize>(pub String);

impl<const MOST: usize> Field for Text<MOST> {
    fn parse(value: Value) -> Result<Self, Flaws> {
        of_length(String::parse(value)?, MOST).map(Text)
    }
}

impl<const MOST: usize> Field for Line<MOST> {
    fn parse(value: Value) -> Result<Self, Flaws> {
        let text = of_length(String::parse(value)?.trim().to_owned(), MOST)?;
        if text.contains(['\n', '\t']) {
            return Err(vec![Flaw::new("", "invalid_format", "must be one line")]);
        }
        Ok(Line(text))
    }
}

fn of_length(text: String, most: usize) -> Result<String, Flaws> {
    if text.trim().is_empty() || text.chars().count() > most {
        return Err(vec![Flaw::new("", "out_of_range", format!("must have 1 to {most} characters"))]);
    }
    Ok(text)
}

/// What both have in common.
macro_rules! reads_as_text {
    ($($name:ident),*) => { $(
        impl<const MOST: usize> Deref for $name<MOST> {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl<const MOST: usize> From<&$name<MOST>> for String {
            fn from(text: &$name<MOST>) -> String {
                text.0.clone()
            }
        }

        impl<const MOST: usize> PartialSchema for $name<MOST> {
            fn schema() -> RefOr<Schema> {
                let text = Object::builder().schema_type(Type::String);
                text.min_length(Some(1)).max_length(Some(MOST)).into()
            }
        }

        impl<const MOST: usize> ToSchema for $name<MOST> {
            fn name() -> Cow<'static, str> {
                Cow::Owned(format!("{}{MOST}", stringify!($name)))
            }
        }
    )* };
}
reads_as_text!(Text, Line);

input! {
    /// Why something is done.
    pub struct ReasonIn {
        reason: Text<500>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_something_to_say_and_not_too_much_and_a_line_is_one() {
        let code = |flaws: Flaws| flaws[0].code;
        for (text, as_text, as_line) in [
            ("four", Ok("four"), Ok("four")),
            (" é ", Ok(" é "), Ok("é")),
            ("a\nb", Ok("a\nb"), Err("invalid_format")),
            ("", Err("out_of_range"), Err("out_of_range")),
            (" \n ", Err("out_of_range"), Err("out_of_range")),
            ("fives", Err("out_of_range"), Err("out_of_range")),
            (" four ", Err("out_of_range"), Ok("four")),
            ("\u{7}", Err("invalid_format"), Err("invalid_format")),
        ] {
            let (found, line) = (Text::<4>::parse(text.into()), Line::<4>::parse(text.into()));
            assert_eq!(found.map_err(code), as_text.map(|it| Text(it.to_owned())), "{text:?}");
            assert_eq!(line.map_err(code), as_line.map(|it| Line(it.to_owned())), "{text:?}");
        }
    }
}
