//! What clients send and are shown, as JSON Schema.

use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ArrayItems, Schema},
    },
};

use super::input::Input;
use crate::kernel::money::AmountText;

/// The JSON form of an input or an output, for the OpenAPI document.
#[derive(Clone, Default)]
pub struct Shape {
    /// Name and schema; `None` when there is nothing, or anything.
    pub schema: Option<(String, RefOr<Schema>)>,
    /// The schemas it refers to.
    pub referred: Vec<(String, RefOr<Schema>)>,
}

/// Makes a shape when somebody asks. Those of all endpoints, kept, were most of what an idle server had in memory and
/// of the time it took to start.
pub type Described = fn() -> Shape;

impl Shape {
    /// The names of an object's fields, as documented.
    pub fn fields(&self) -> Option<Vec<String>> {
        match &self.schema {
            Some((_, schema)) => names(schema),
            None => None,
        }
    }

    /// The names of the fields of the objects in the array `field`.
    pub fn fields_of_items(&self, field: &str) -> Option<Vec<String>> {
        let Some((_, RefOr::T(Schema::Object(object)))) = &self.schema else { return None };
        let RefOr::T(Schema::Array(array)) = object.properties.get(field)? else { return None };
        let ArrayItems::RefOrSchema(items) = &array.items else { return None };
        match &**items {
            RefOr::Ref(to) => {
                let name = to.ref_location.rsplit('/').next()?;
                names(&self.referred.iter().find(|it| it.0 == name)?.1)
            }
            schema => names(schema),
        }
    }

    /// Whether an amount is read: then it may be refused as one.
    pub fn has_amount(&self) -> bool {
        self.referred.iter().chain(&self.schema).any(|it| it.0 == AmountText::name())
    }

    pub fn of<T: ToSchema>() -> Shape {
        let mut referred = vec![];
        T::schemas(&mut referred);
        Shape { schema: Some((T::name().into_owned(), <T as PartialSchema>::schema())), referred }
    }

    /// Of what clients send. The derived schema takes every field for required that is no `Option`; the reader, which
    /// decides, also does without metadata and the like.
    pub fn of_input<I: Input + ToSchema>() -> Shape {
        let mut shape = Shape::of::<I>();
        if let Some((_, RefOr::T(Schema::Object(object)))) = &mut shape.schema {
            object.required = I::required();
        }
        let metadata = |it: Option<&RefOr<Schema>>| matches!(it, Some(RefOr::Ref(it)) if it.ref_location.ends_with("/Metadata"));
        for (_, schema) in &mut shape.referred {
            if let RefOr::T(Schema::Object(object)) = schema {
                let properties = &object.properties;
                object.required.retain(|it| !metadata(properties.get(it)));
            }
        }
        shape
    }
}

fn names(schema: &RefOr<Schema>) -> Option<Vec<String>> {
    match schema {
        RefOr::T(Schema::Object(object)) => Some(object.properties.keys().cloned().collect()),
        _ => None,
    }
}

/// The schemas that stand in the document under their names: what others refer to, and structures.
pub fn named(shape: &Shape) -> impl Iterator<Item = &(String, RefOr<Schema>)> {
    shape.referred.iter().chain(shape.schema.as_ref().filter(|it| is_named(&it.1)))
}

fn is_named(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(it)) if !it.properties.is_empty())
        || matches!(schema, RefOr::T(Schema::OneOf(_) | Schema::AllOf(_)))
}

/// A reference for structures, the schema itself for simple values.
pub fn reference(shape: &Shape) -> Option<Value> {
    let (name, schema) = shape.schema.as_ref()?;
    Some(if is_named(schema) { to(name) } else { plain(schema) })
}

/// A reference to a schema of the document.
pub fn to(name: &str) -> Value {
    serde_json::json!({ "$ref": format!("#/components/schemas/{name}") })
}

pub fn plain(schema: &RefOr<Schema>) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}
