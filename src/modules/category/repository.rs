//! The table of Category.

use super::{contract::CategoryId, model::Category};
use crate::kernel::{
    api::principal::ClientId,
    error::Result,
    store::{Index, Key as _, ReadTx, Scan, Table},
};

/// (client, key) → the category. By key, because that is how transactions ask for it.
pub const CATEGORIES: Table<(ClientId, String), Category> =
    Table::new("category.categories").with_indexes(&[
        Index::lookup("category.by_id", |(client, _), row| vec![(*client, row.id).to_key()]),
        Index::lookup("category.by_external_id", |(client, _), row| {
            row.external_id.iter().map(|it| (*client, it.clone()).to_key()).collect()
        }),
    ]);

pub fn by_id_or_key(tx: &ReadTx, client: ClientId, id_or_key: &str) -> Result<Option<Category>> {
    match id_or_key.parse::<CategoryId>() {
        Ok(id) => Ok(tx.find(&CATEGORIES, "category.by_id", &(client, id))?.map(|it| it.1)),
        Err(_) => tx.get(&CATEGORIES, &(client, id_or_key.to_owned())),
    }
}

pub fn of_client(tx: &ReadTx, client: ClientId) -> Result<Vec<Category>> {
    tx.scan(&CATEGORIES, Scan::prefix(&client)).map(|row| row.map(|it| it.1)).collect()
}

pub fn by_external_id(tx: &ReadTx, client: ClientId, external_id: &str) -> Result<Option<Category>> {
    let key = (client, external_id.to_owned());
    Ok(tx.find(&CATEGORIES, "category.by_external_id", &key)?.map(|it| it.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{api::input::Metadata, clock::Time, id::Id as _, store::codec::golden};

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let row = Category {
            id: CategoryId::from_bytes([1; 16]),
            key: "rent".into(),
            name: "Rent".into(),
            is_active: true,
            is_in_use: false,
            external_id: None,
            metadata: Metadata::default(),
            created_at: at,
            updated_at: at,
            version: 1,
        };
        golden("category.categories", &row);
    }
}
