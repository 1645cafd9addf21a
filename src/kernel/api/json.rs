//! JSON as clients send it, read without guessing: an object that has a member twice means two things at once, and
//! which of them was meant is not ours to say (RFC 8259 §4 calls what readers do then unpredictable).

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// The value, or what is wrong with the text.
pub fn read(text: &[u8]) -> Result<Value, String> {
    serde_json::from_slice::<Strict>(text).map(|it| it.0).map_err(|error| match error.classify() {
        // Nothing else in `Strict` refuses what is JSON.
        serde_json::error::Category::Data => format!("the body is ambiguous: {error}"),
        _ => format!("the body is not JSON: {error}"),
    })
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything).map(Strict)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, it: bool) -> Result<Value, E> {
        Ok(it.into())
    }
    fn visit_i64<E>(self, it: i64) -> Result<Value, E> {
        Ok(it.into())
    }
    fn visit_u64<E>(self, it: u64) -> Result<Value, E> {
        Ok(it.into())
    }
    fn visit_f64<E>(self, it: f64) -> Result<Value, E> {
        Ok(it.into())
    }
    fn visit_str<E>(self, it: &str) -> Result<Value, E> {
        Ok(it.into())
    }
    fn visit_string<E>(self, it: String) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = vec![];
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("an object has the member {name:?} twice")));
            }
            let Strict(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_serde_json_reads() {
        for text in [
            "null",
            "true",
            "-1",
            "18446744073709551615",
            "1.5e3",
            "\"\\u00e9\"",
            "[1,[]]",
            "{\"a\":{\"b\":[{}]}}",
        ] {
            assert_eq!(
                read(text.as_bytes()).unwrap(),
                serde_json::from_str::<Value>(text).unwrap(),
                "{text}"
            );
        }
        for wrong in ["", "{", "{\"a\":1,}", "nul", "1 2", "\"\u{7}\""] {
            assert!(read(wrong.as_bytes()).unwrap_err().starts_with("the body is not JSON"), "{wrong}");
        }
        let deep = "[".repeat(100_000);
        assert!(read(deep.as_bytes()).is_err());
    }

    #[test]
    fn a_member_that_stands_twice_is_named_wherever_it_is() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"b":[{"a":null,"c":2,"a":{}}]}"#, r#"{"a":1,"\u0061":2}"#] {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(error.contains("the member \"a\" twice"), "{error}");
        }
        assert!(read(br#"{"a":{"a":1},"b":{"a":2}}"#).is_ok(), "different objects");
    }
}
