//! What can be done with categories.

use super::{
    contract::{CategoryContract, CategoryRefusal},
    model::{Category, built_in, check_key, is_built_in},
    repository::{CATEGORIES, by_external_id, by_id_or_key},
    routes::{CategoryIn, CategoryPatchIn},
};
use crate::kernel::api::problem::ApiRefusal;
use crate::kernel::{
    api::{
        call::{Call, found},
        input::check_length,
        principal::ClientId,
    },
    error::Result,
    store::{ReadTx, WriteTx},
};

pub struct CategoryService;

impl CategoryService {
    /// Refuses `category_taken`, `external_id_taken`.
    pub fn add(&self, tx: &mut WriteTx, call: &Call<(), CategoryIn>) -> Result<Category> {
        let (client, input) = (call.caller.client()?, &call.input);
        check_key(&input.key)?;
        check_length("name", &input.name, 60)?;
        let key = (client, input.key.clone());
        if is_built_in(&input.key) || tx.exists(&CATEGORIES, &key)? {
            return Err(CategoryRefusal::CategoryTaken { category: input.key.clone() }.into());
        }
        if let Some(external_id) = &input.external_id {
            check_length("external_id", external_id, 100)?;
            if let Some(other) = by_external_id(tx, client, external_id)? {
                return Err(ApiRefusal::ExternalIdTaken { existing_id: other.id.to_string() }.into());
            }
        }

        let row = Category {
            id: tx.new_id(),
            key: input.key.clone(),
            name: input.name.clone(),
            is_active: true,
            is_in_use: false,
            external_id: input.external_id.clone(),
            metadata: input.metadata.clone(),
            created_at: tx.now(),
            updated_at: tx.now(),
            version: 1,
        };
        tx.put(&CATEGORIES, &key, &row)?;
        Ok(row)
    }

    /// Refuses `category_fixed`.
    pub fn change(&self, tx: &mut WriteTx, call: &Call<String, CategoryPatchIn>) -> Result<Category> {
        let (mut row, input) = (self.own(tx, call)?, &call.input);
        call.caller.check_version(row.version)?;
        input.name.as_deref().map_or(Ok(()), |it| check_length("name", it, 60))?;

        row.name = input.name.clone().unwrap_or(row.name);
        row.is_active = input.is_active.unwrap_or(row.is_active);
        row.metadata.merge(input.metadata.clone());
        row.updated_at = tx.now();
        row.version += 1;
        tx.put(&CATEGORIES, &(call.caller.client()?, row.key.clone()), &row)?;
        Ok(row)
    }

    /// Refuses `category_fixed`, `category_in_use`.
    pub fn delete(&self, tx: &mut WriteTx, call: &Call<String>) -> Result<Category> {
        let row = self.own(tx, call)?;
        call.caller.check_version(row.version)?;
        if row.is_in_use {
            return Err(CategoryRefusal::CategoryInUse { category: row.key }.into());
        }

        tx.delete(&CATEGORIES, &(call.caller.client()?, row.key.clone()))?;
        Ok(row)
    }

    /// One of the client's own. Refuses `category_fixed` for a built-in one.
    fn own<I>(&self, tx: &ReadTx, call: &Call<String, I>) -> Result<Category> {
        if let Some(fixed) = built_in(&call.path) {
            return Err(CategoryRefusal::CategoryFixed { category: fixed.key.clone() }.into());
        }
        found(by_id_or_key(tx, call.caller.client()?, &call.path)?)
    }
}

impl CategoryContract for CategoryService {
    fn use_category(&self, tx: &mut WriteTx, client: ClientId, key: &str) -> Result<()> {
        if is_built_in(key) {
            return Ok(());
        }
        let mut row = active(tx, client, key)?;
        if !row.is_in_use {
            row.is_in_use = true;
            row.updated_at = tx.now();
            row.version += 1;
            tx.put(&CATEGORIES, &(client, key.to_owned()), &row)?;
        }
        Ok(())
    }
}

fn active(tx: &ReadTx, client: ClientId, key: &str) -> Result<Category> {
    let row = tx.get(&CATEGORIES, &(client, key.to_owned()))?.filter(|it| it.is_active);
    row.ok_or_else(|| CategoryRefusal::CategoryUnknown { category: key.to_owned() }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        api::input::Metadata,
        clock::Time,
        id::Id as _,
        store::{Store, StoreOptions},
    };

    #[test]
    fn a_category_is_used_while_it_is_active_and_built_in_ones_always() {
        let (ours, theirs) = (ClientId::from_bytes([1; 16]), ClientId::from_bytes([2; 16]));
        let row = |tx: &mut WriteTx, key: &str, is_active| Category {
            id: tx.new_id(),
            key: key.to_owned(),
            name: key.to_owned(),
            is_active,
            is_in_use: false,
            external_id: None,
            metadata: Metadata::default(),
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
            version: 1,
        };
        let test = move |tx: &mut WriteTx| {
            for (key, is_active) in [("rent", true), ("old", false)] {
                let row = row(tx, key, is_active);
                tx.put(&CATEGORIES, &(ours, key.to_owned()), &row)?;
            }
            for (client, key, refused) in [
                (ours, "rent", None),
                (ours, "fee", None),
                (theirs, "fee", None),
                (ours, "old", Some("category_unknown")),
                (ours, "gift", Some("category_unknown")),
                (theirs, "rent", Some("category_unknown")),
            ] {
                let code = |result: Result<()>| result.err().and_then(|it| it.code());
                assert_eq!(code(CategoryService.use_category(tx, client, key)), refused, "{key}");
            }
            let used = tx.get(&CATEGORIES, &(ours, "rent".to_owned()))?.expect("it is there");
            assert_eq!((used.is_in_use, used.version), (true, 2));
            CategoryService.use_category(tx, ours, "rent")?;
            assert_eq!(tx.get(&CATEGORIES, &(ours, "rent".to_owned()))?, Some(used), "marked once");
            Ok(())
        };
        Store::in_memory(StoreOptions::default()).write_blocking(test).unwrap();
    }
}
