//! The table of Category.

use super::{contract::CategoryId, model::Category};
use crate::kernel::{
    api::{object::by_external_id, principal::ClientId},
    error::Result,
    store::{Index, Key as _, ReadTx, Scan, Table},
};

pub const BY_EXTERNAL_ID: &str = "category.by_external_id";

/// (client, key) → the category. By key, because that is how transactions ask for it.
pub const CATEGORIES: Table<(ClientId, String), Category> =
    Table::new("category.categories").with_indexes(&[
        Index::lookup("category.by_id", |(client, _), row| vec![(*client, row.id).to_key()]),
        by_external_id(BY_EXTERNAL_ID),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{api::object::Stamp, clock::Time, id::Id as _, store::codec::golden};

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let row = Category {
            id: CategoryId::from_bytes([1; 16]),
            key: "rent".into(),
            name: "Rent".into(),
            is_active: true,
            is_in_use: false,
            stamp: Stamp::at(at),
        };
        golden("category.categories", &row);
    }
}
