//! What can be done with categories.

use super::{
    contract::{CategoryContract, CategoryRefusal},
    model::{Category, built_in, check_key, is_built_in},
    repository::{BY_EXTERNAL_ID, CATEGORIES, by_id_or_key},
    routes::{CategoryDeletedOut, CategoryIn, CategoryOut, CategoryPatchIn},
};
use crate::kernel::{
    api::{
        call::{Call, found},
        object::{Stamp, save},
        principal::ClientId,
        problem::ApiRefusal,
    },
    error::Result,
    store::{ReadTx, WriteTx},
};

pub struct CategoryService;

impl CategoryService {
    /// Refuses `category_taken`, `external_id_taken`.
    pub fn add(&self, tx: &mut WriteTx, call: &Call<(), CategoryIn>) -> Result<CategoryOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        check_key(&input.key)?;
        let key = (client, input.key.clone());
        if is_built_in(&input.key) || tx.exists(&CATEGORIES, &key)? {
            return Err(CategoryRefusal::CategoryTaken { category: input.key.clone() }.into());
        }
        if let Some(external_id) = &input.external_id
            && let Some((_, other)) =
                tx.find(&CATEGORIES, BY_EXTERNAL_ID, &(client, external_id.0.clone()))?
        {
            return Err(ApiRefusal::ExternalIdTaken { existing_id: other.id.to_string() }.into());
        }

        let row = Category {
            id: tx.new_id(),
            key: input.key.clone(),
            name: String::from(&input.name),
            is_active: input.is_active.unwrap_or(true),
            is_in_use: false,
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        tx.put(&CATEGORIES, &key, &row)?;
        Ok(CategoryOut::of(&row))
    }

    /// Refuses `category_fixed`.
    pub fn change(&self, tx: &mut WriteTx, call: &Call<String, CategoryPatchIn>) -> Result<CategoryOut> {
        let (mut row, input) = (self.own(tx, call)?, &call.input);
        call.caller.check_version(row.stamp.version)?;

        row.name = input.name.as_ref().map_or(row.name, String::from);
        row.is_active = input.is_active.unwrap_or(row.is_active);
        row.stamp.metadata.merge(input.metadata.clone());
        save(tx, &CATEGORIES, &(call.caller.client()?, row.key.clone()), &mut row)?;
        Ok(CategoryOut::of(&row))
    }

    /// Refuses `category_fixed`, `category_in_use`.
    pub fn delete(&self, tx: &mut WriteTx, call: &Call<String>) -> Result<CategoryDeletedOut> {
        let row = self.own(tx, call)?;
        call.caller.check_version(row.stamp.version)?;
        if row.is_in_use {
            return Err(CategoryRefusal::CategoryInUse { category: row.key }.into());
        }

        tx.delete(&CATEGORIES, &(call.caller.client()?, row.key.clone()))?;
        Ok(CategoryDeletedOut::of(row.id, row.key))
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
            save(tx, &CATEGORIES, &(client, key.to_owned()), &mut row)?;
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
            stamp: Stamp::at(Time::ZERO),
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
            assert_eq!((used.is_in_use, used.stamp.version), (true, 2));
            CategoryService.use_category(tx, ours, "rent")?;
            assert_eq!(tx.get(&CATEGORIES, &(ours, "rent".to_owned()))?, Some(used), "marked once");
            Ok(())
        };
        Store::in_memory(StoreOptions::default()).write_blocking(test).unwrap();
    }
}
