//! Categories over HTTP. A path names a category by its id or by its key.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{
    contract::CategoryId,
    model::{BUILT_IN, BuiltIn, Category, built_in, is_built_in},
    repository::{by_id_or_key, of_client},
    service::CategoryService,
};
use crate::kernel::{
    api::{
        call::{Call, found},
        endpoint::{Endpoint, delete, get, patch, post},
        input::{Metadata, input},
        object::{ExternalId, Filters as _, filters, object},
        page::page_of,
        text::Text,
    },
    clock::Time,
    store::Key as _,
};

input! {
    /// A category to be made.
    pub struct CategoryIn {
        /// a-z, 0-9 and _; never changes.
        key: String,
        name: Text<60>,
        /// An inactive category is given to nothing new.
        is_active: Option<bool>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    /// A change of a category.
    pub struct CategoryPatchIn {
        name: Option<Text<60>>,
        /// An inactive category is kept where it is and given to nothing new.
        is_active: Option<bool>,
        metadata: Metadata,
    }
}

filters! {
    pub struct CategoryQuery of Category {
        active: bool = |it| it.is_active,
        built_in: bool = |it| is_built_in(&it.key),
    }
}

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

impl CategoryOut {
    pub fn of(row: &Category) -> CategoryOut {
        let (is_built_in, stamp) = (is_built_in(&row.key), row.stamp.clone());
        CategoryOut {
            id: row.id,
            object: "category",
            key: row.key.clone(),
            name: row.name.clone(),
            is_built_in,
            is_active: row.is_active,
            is_in_use: row.is_in_use,
            external_id: stamp.external_id,
            created_at: (!is_built_in).then_some(stamp.created_at),
            updated_at: (!is_built_in).then_some(stamp.updated_at),
            version: stamp.version,
            metadata: stamp.metadata,
        }
    }
}

object! {
    /// A category that is no more.
    pub struct CategoryDeletedOut: "category" of (id: CategoryId, key: String) bare {
        key: String = key,
        deleted: bool = true,
    }
}

pub fn endpoints(service: &Arc<CategoryService>) -> Vec<Endpoint> {
    vec![
        get("/categories")
            .about("List the categories: the built-in ones, then the client's own by key")
            .signed_in()
            .lists(|tx, call: &Call<(), CategoryQuery>| {
                let query = &call.input;
                let mut rows: Vec<Category> = BUILT_IN.iter().map(BuiltIn::row).collect();
                rows.extend(of_client(tx, call.caller.client()?)?);
                rows.retain(|it| query.keeps(it));
                rows.sort_by_key(position);
                Ok(page_of(rows, &query.paging(None), position)?.map(|it| CategoryOut::of(&it)))
            }),
        get("/categories/{id}").about("Show a category").signed_in().reads(|tx, call: &Call<String>| {
            let client = call.caller.client()?;
            match built_in(&call.path) {
                Some(built_in) => Ok(CategoryOut::of(&built_in.row())),
                None => found(by_id_or_key(tx, client, &call.path)?).map(|it| CategoryOut::of(&it)),
            }
        }),
        post("/categories")
            .about("Make a category")
            .needs("categories.create_any")
            .refuses(&["category_taken", "external_id_taken"])
            .example(json!({ "key": "rent", "name": "Rent" }))
            .writes_with(service, CategoryService::add),
        patch("/categories/{id}")
            .about("Rename, deactivate or reactivate a category")
            .needs("categories.update_any")
            .versioned()
            .refuses(&["category_fixed"])
            .example(json!({ "is_active": false }))
            .writes_with(service, CategoryService::change),
        delete("/categories/{id}")
            .about("Delete a category that nothing carries")
            .needs("categories.delete_any")
            .versioned()
            .refuses(&["category_fixed", "category_in_use"])
            .writes_with(service, CategoryService::delete),
    ]
}

/// Built-in ones first.
fn position(row: &Category) -> Vec<u8> {
    (!is_built_in(&row.key), row.key.clone()).to_key()
}
