//! Categories over HTTP. A path names a category by its id or by its key.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{
    contract::CategoryId,
    model::{BUILT_IN, BuiltIn, Category, built_in},
    repository::{by_id_or_key, of_client},
    service::CategoryService,
};
use crate::kernel::{
    api::{
        call::{Call, found},
        endpoint::{Endpoint, delete, get, patch, post},
        input::{Metadata, input},
        page::{Cursor, Limit, Paging, page_of},
    },
    clock::Time,
    store::Key as _,
};

/// A category to be made.
#[derive(utoipa::ToSchema)]
pub struct CategoryIn {
    /// a-z, 0-9 and _; never changes.
    pub key: String,
    pub name: String,
    pub external_id: Option<String>,
    pub metadata: Metadata,
}
input!(CategoryIn { key, name, external_id, metadata });

/// A change of a category.
#[derive(utoipa::ToSchema)]
pub struct CategoryPatchIn {
    pub name: Option<String>,
    /// An inactive category is kept where it is and given to nothing new.
    pub is_active: Option<bool>,
    pub metadata: Metadata,
}
input!(CategoryPatchIn { name, is_active, metadata });

pub struct CategoryQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    active: Option<bool>,
    built_in: Option<bool>,
}
input!(CategoryQuery { limit, cursor, active, built_in });

/// A category.
#[derive(Serialize, utoipa::ToSchema)]
pub struct CategoryOut {
    id: CategoryId,
    #[schema(value_type = String)]
    object: &'static str,
    key: String,
    name: String,
    is_built_in: bool,
    is_active: bool,
    is_in_use: bool,
    external_id: Option<String>,
    /// `null` for a built-in category: it was always there.
    created_at: Option<Time>,
    updated_at: Option<Time>,
    version: u64,
    metadata: Metadata,
}

/// A category that is no more.
#[derive(Serialize, utoipa::ToSchema)]
pub struct CategoryDeletedOut {
    id: CategoryId,
    #[schema(value_type = String)]
    object: &'static str,
    key: String,
    deleted: bool,
}

pub fn endpoints(service: &Arc<CategoryService>) -> Vec<Endpoint> {
    let (adding, changing, deleting) = (service.clone(), service.clone(), service.clone());
    vec![
        get("/categories")
            .about("List the categories: the built-in ones, then the client's own by key")
            .signed_in()
            .lists(|tx, call: &Call<(), CategoryQuery>| {
                let CategoryQuery { limit, cursor, active, built_in } = &call.input;
                let paging = Paging::new(*limit, cursor, (active, built_in));
                let mut outs: Vec<CategoryOut> = BUILT_IN.iter().map(CategoryOut::from).collect();
                outs.extend(of_client(tx, call.caller.client()?)?.into_iter().map(CategoryOut::from));
                outs.retain(|it| {
                    active.is_none_or(|wanted| it.is_active == wanted)
                        && built_in.is_none_or(|wanted| it.is_built_in == wanted)
                });
                outs.sort_by_key(position);
                page_of(outs, &paging, position)
            }),
        get("/categories/{id}").about("Show a category").signed_in().reads(|tx, call: &Call<String>| {
            let client = call.caller.client()?;
            match built_in(&call.path) {
                Some(built_in) => Ok(CategoryOut::from(built_in)),
                None => found(by_id_or_key(tx, client, &call.path)?).map(CategoryOut::from),
            }
        }),
        post("/categories")
            .about("Make a category")
            .needs("categories.create_any")
            .refuses(&["category_taken", "external_id_taken"])
            .example(json!({ "key": "rent", "name": "Rent" }))
            .writes(move |tx, call: &Call<(), CategoryIn>| adding.add(tx, call).map(CategoryOut::from)),
        patch("/categories/{id}")
            .about("Rename, deactivate or reactivate a category")
            .needs("categories.update_any")
            .versioned()
            .refuses(&["category_fixed"])
            .example(json!({ "is_active": false }))
            .writes(move |tx, call: &Call<String, CategoryPatchIn>| {
                changing.change(tx, call).map(CategoryOut::from)
            }),
        delete("/categories/{id}")
            .about("Delete a category that nothing carries")
            .needs("categories.delete_any")
            .versioned()
            .refuses(&["category_fixed", "category_in_use"])
            .writes(move |tx, call: &Call<String>| {
                let row = deleting.delete(tx, call)?;
                Ok(CategoryDeletedOut { id: row.id, object: "category", key: row.key, deleted: true })
            }),
    ]
}

/// Built-in ones first.
fn position(out: &CategoryOut) -> Vec<u8> {
    (!out.is_built_in, out.key.clone()).to_key()
}

impl From<&BuiltIn> for CategoryOut {
    fn from(it: &BuiltIn) -> CategoryOut {
        CategoryOut {
            id: it.id(),
            object: "category",
            key: it.key.clone(),
            name: it.name.clone(),
            is_built_in: true,
            is_active: true,
            is_in_use: true,
            external_id: None,
            created_at: None,
            updated_at: None,
            version: 1,
            metadata: Metadata::default(),
        }
    }
}

impl From<Category> for CategoryOut {
    fn from(row: Category) -> CategoryOut {
        CategoryOut {
            id: row.id,
            object: "category",
            key: row.key,
            name: row.name,
            is_built_in: false,
            is_active: row.is_active,
            is_in_use: row.is_in_use,
            external_id: row.external_id,
            created_at: Some(row.created_at),
            updated_at: Some(row.updated_at),
            version: row.version,
            metadata: row.metadata,
        }
    }
}
