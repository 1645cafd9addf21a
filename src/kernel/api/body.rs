//! The body of an answer: JSON that is made once, then stored with its idempotency key, sent, and sent again as it is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kernel::error::{Result, fault};

/// JSON as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(Vec<u8>);

/// What the server itself wants to know of an answer.
#[derive(Debug, Default, Deserialize)]
pub struct Head {
    /// Of the object that was made or changed.
    #[serde(default)]
    id: Value,
    #[serde(default)]
    version: Value,
}

impl Head {
    pub fn id(&self) -> Option<&str> {
        self.id.as_str()
    }

    pub fn version(&self) -> Option<u64> {
        self.version.as_u64()
    }
}

impl Body {
    pub fn of(out: &impl Serialize) -> Result<Body> {
        let text = serde_json::to_vec(out).map_err(|error| fault!("an answer cannot be JSON: {error}"))?;
        Ok(Body(text))
    }

    /// What an earlier [`Body::bytes`] was.
    pub fn stored(bytes: Vec<u8>) -> Body {
        Body(bytes)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Empty when it is no object.
    pub fn head(&self) -> Head {
        serde_json::from_slice(&self.0).unwrap_or_default()
    }

    pub fn value(&self) -> Result<Value> {
        serde_json::from_slice(&self.0).map_err(|error| fault!("an answer does not read as JSON: {error}"))
    }

    /// The same after `change`.
    pub fn changed(&self, change: impl FnOnce(&mut Value)) -> Result<Body> {
        let mut value = self.value()?;
        change(&mut value);
        Body::of(&value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_head_is_what_stands_at_the_top() {
        let body = |value: Value| Body::of(&value).unwrap();
        let head = body(json!({ "items": [{ "id": "b", "version": 9 }], "id": "a", "version": 2 })).head();
        assert_eq!((head.id(), head.version()), (Some("a"), Some(2)));
        for other in [json!([1]), json!(null), json!("id"), json!({ "id": 7, "version": "x" })] {
            let head = body(other).head();
            assert_eq!((head.id(), head.version()), (None, None));
        }
    }

    #[test]
    fn a_change_leaves_the_rest() {
        let body = Body::of(&json!({ "id": "a", "secret": "s" })).unwrap();
        let changed = body.changed(|it| it["secret"] = Value::Null).unwrap();
        assert_eq!(changed, Body::of(&json!({ "id": "a", "secret": null })).unwrap());
    }
}
