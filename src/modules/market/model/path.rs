//! Where a number is in somebody's JSON: `data.rates[0].price`.
//!
//! The number is taken as it is written. Read as a JSON number it would become a float on the way.

use std::{collections::HashMap, fmt, str::FromStr};

use serde_json::value::RawValue;

/// Names and places, from the outside in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Place(usize),
}

impl FromStr for JsonPath {
    type Err = ();
    /// Names are parted by dots; a leading `$.` may stand there.
    fn from_str(text: &str) -> Result<JsonPath, ()> {
        if text.len() > 200 {
            return Err(());
        }
        let mut steps = vec![];
        for part in text.strip_prefix("$.").unwrap_or(text).split('.') {
            let (name, mut places) = part.split_at(part.find('[').unwrap_or(part.len()));
            if name.is_empty() && (places.is_empty() || !steps.is_empty()) {
                return Err(());
            }
            if !name.is_empty() {
                steps.push(Step::Name(name.to_owned()));
            }
            while !places.is_empty() {
                let (place, rest) = places.strip_prefix('[').and_then(|it| it.split_once(']')).ok_or(())?;
                steps.push(Step::Place(place.parse().map_err(|_| ())?));
                places = rest;
            }
        }
        Ok(JsonPath(steps))
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if at == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Place(place) => write!(f, "[{place}]")?,
            }
        }
        Ok(())
    }
}

impl JsonPath {
    /// What stands there: of a string its text, of anything plain how it is written. `None` when nothing plain does.
    pub fn find(&self, json: &str) -> Option<String> {
        let mut here: &RawValue = serde_json::from_str(json).ok()?;
        for step in &self.0 {
            here = match step {
                Step::Name(name) => {
                    let members: HashMap<String, &RawValue> = serde_json::from_str(here.get()).ok()?;
                    *members.get(name)?
                }
                Step::Place(place) => {
                    let items: Vec<&RawValue> = serde_json::from_str(here.get()).ok()?;
                    *items.get(*place)?
                }
            };
        }
        let text = here.get();
        match text.chars().next()? {
            '"' => serde_json::from_str(text).ok(),
            '{' | '[' => None,
            _ => Some(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_what_is_written_there() {
        let json = r#"{"a": {"b c": [1, [2.50, "3"]]}, "d": "x\"y", "e": true}"#;
        for (path, wanted) in [
            ("a.b c[0]", Some("1")),
            ("a.b c[1][0]", Some("2.50")),
            ("$.a.b c[1][1]", Some("3")),
            ("d", Some("x\"y")),
            ("e", Some("true")),
            ("a", None),
            ("a.b c[7]", None),
            ("a.nobody", None),
            ("d.e", None),
        ] {
            let path: JsonPath = path.parse().unwrap();
            assert_eq!(path.find(json).as_deref(), wanted, "{path}");
        }
        assert_eq!("[1].a".parse::<JsonPath>().unwrap().find(r#"[0, {"a": 5}]"#).as_deref(), Some("5"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "a..b", ".a", "a.", "a[", "a[x]", "a[1", "a]1[", "a.[0]"] {
            assert!(text.parse::<JsonPath>().is_err(), "{text}");
        }
    }
}
