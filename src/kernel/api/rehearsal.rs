//! What a rehearsal (`dry_run`) is answered with, as a schema: the object, and `null` wherever it has an id, because
//! what the id would name is not made; of existing things the ids stay.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::shape::to;

const PREFIX: &str = "#/components/schemas/";

/// The schema of what `shown` is in a rehearsal, with the schemas it refers to added under names of their own.
pub fn of(shown: Option<Value>, schemas: &mut BTreeMap<String, Value>) -> Value {
    let Some(mut shown) = shown else { return json!({}) };
    loosen(&mut shown, schemas);
    shown
}

/// Whether anything of it changed.
fn loosen(schema: &mut Value, schemas: &mut BTreeMap<String, Value>) -> bool {
    if let Some(name) = referred(schema) {
        return match schemas.get(&name) {
            Some(it) if is_id(it) => {
                *schema = json!({ "oneOf": [to(&name), { "type": "null" }] });
                true
            }
            Some(it) if it.get("properties").is_some() || it.get("oneOf").is_some() => {
                refer_to_loosened(schema, name, schemas)
            }
            _ => false,
        };
    }
    let Some(object) = schema.as_object_mut() else { return false };
    let mut changed = false;
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties.iter_mut() {
            if name == "id" {
                *property = json!({ "type": "null" });
                changed = true;
            } else if property.get("type") == Some(&json!("string")) && is_link(name) {
                property["type"] = json!(["string", "null"]);
                changed = true;
            } else {
                changed |= loosen(property, schemas);
            }
        }
    }
    if let Some(items) = object.get_mut("items") {
        changed |= loosen(items, schemas);
    }
    for list in ["oneOf", "anyOf", "allOf"] {
        let Some(all) = object.get_mut(list).and_then(Value::as_array_mut) else { continue };
        let may_be_null = all.contains(&json!({ "type": "null" }));
        for one in all {
            let is_id = referred(one).and_then(|it| schemas.get(&it)).is_some_and(is_id);
            changed |= !(is_id && may_be_null) && loosen(one, schemas);
        }
    }
    changed
}

fn refer_to_loosened(schema: &mut Value, name: String, schemas: &mut BTreeMap<String, Value>) -> bool {
    let loosened = format!("{name}Rehearsed");
    if !schemas.contains_key(&loosened) {
        let mut copy = schemas[&name].clone();
        // Stands there while it is made: a structure may refer to itself.
        schemas.insert(loosened.clone(), Value::Object(Map::new()));
        if !loosen(&mut copy, schemas) {
            schemas.remove(&loosened);
            return false;
        }
        schemas.insert(loosened.clone(), copy);
    }
    *schema = to(&loosened);
    true
}

fn referred(schema: &Value) -> Option<String> {
    schema.get("$ref")?.as_str()?.strip_prefix(PREFIX).map(str::to_owned)
}

fn is_id(schema: &Value) -> bool {
    schema
        .get("pattern")
        .and_then(Value::as_str)
        .is_some_and(|it| it.ends_with("_[0-7][0-9a-hjkmnp-tv-z]{25}$"))
}

/// A link is null when it leads to what is not made.
fn is_link(name: &str) -> bool {
    name.ends_with("_url")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_an_id_is_loosened_and_only_in_a_copy() {
        let id = json!({ "type": "string", "pattern": "^inv_[0-7][0-9a-hjkmnp-tv-z]{25}$" });
        let line = json!({ "properties": { "entry_id": to("Id"), "amount": to("Amount") } });
        let plain = json!({ "properties": { "amount": to("Amount") } });
        let out = json!({ "properties": {
            "id": to("Id"), "schedule_url": { "type": "string" }, "reason": { "type": "string" },
            "lines": { "items": to("Line") }, "hold_id": { "oneOf": [to("Id"), { "type": "null" }] }, "terms": to("Plain"),
        } });
        let all = [
            ("Id", id),
            ("Amount", json!({ "type": "string" })),
            ("Line", line),
            ("Plain", plain),
            ("Out", out),
        ];
        let mut schemas: BTreeMap<String, Value> = all.map(|(name, it)| (name.to_owned(), it)).into();
        let before = schemas.clone();

        assert_eq!(of(Some(to("Out")), &mut schemas), to("OutRehearsed"));
        let properties = &schemas["OutRehearsed"]["properties"];
        assert_eq!(properties["id"], json!({ "type": "null" }));
        assert_eq!(properties["schedule_url"], json!({ "type": ["string", "null"] }));
        assert_eq!(
            (&properties["reason"], &properties["terms"]),
            (&json!({ "type": "string" }), &to("Plain"))
        );
        assert_eq!(properties["lines"], json!({ "items": to("LineRehearsed") }));
        assert_eq!(properties["hold_id"], before["Out"]["properties"]["hold_id"], "null was allowed before");
        let entry = &schemas["LineRehearsed"]["properties"]["entry_id"];
        assert_eq!(entry, &json!({ "oneOf": [to("Id"), { "type": "null" }] }));
        assert!(before.iter().all(|(name, it)| schemas[name] == *it), "the real ones stay");
        assert_eq!(of(None, &mut schemas), json!({}));
    }
}
