//! The tables of Currency.

use super::model::{CatalogueRow, ClientCurrencies};
use crate::kernel::{
    api::principal::ClientId,
    error::{Result, fault},
    money::CurrencyCode,
    store::{Index, Key as _, ReadTx, Scan, Table, WriteTx},
};

/// code → the currency as the catalogue has it.
pub const CATALOGUE: Table<CurrencyCode, CatalogueRow> =
    Table::new("currency.catalogue").with_indexes(&[Index::lookup("currency.by_external_id", |_, row| {
        row.stamp.external_id.iter().map(|it| it.to_key()).collect()
    })]);

/// client → which currencies it uses. One row, because a payment asks for it each time.
pub const CLIENTS: Table<ClientId, ClientCurrencies> = Table::new("currency.clients");

pub fn catalogue(tx: &ReadTx) -> Result<Vec<CatalogueRow>> {
    tx.scan(&CATALOGUE, Scan::all()).map(|row| row.map(|it| it.1)).collect()
}

pub fn by_external_id(tx: &ReadTx, external_id: &str) -> Result<Option<CatalogueRow>> {
    Ok(tx.find(&CATALOGUE, "currency.by_external_id", &external_id.to_owned())?.map(|it| it.1))
}

pub fn of_client(tx: &ReadTx, client: ClientId) -> Result<ClientCurrencies> {
    tx.get(&CLIENTS, &client)?.ok_or_else(|| fault!("{client} has no currencies: it was never set up"))
}

pub fn put_of_client(tx: &mut WriteTx, client: ClientId, row: &ClientCurrencies) -> Result<()> {
    assert!(row.is_default_active(), "the default currency of {client} is active");
    tx.put(&CLIENTS, &client, row)
}

/// Clients whose default currency is not active, or not as the catalogue has it.
pub fn wrong_defaults(tx: &ReadTx) -> Result<Vec<String>> {
    let mut wrong = vec![];
    for found in tx.scan(&CLIENTS, Scan::all()) {
        let (client, row) = found?;
        let known = tx.get(&CATALOGUE, &row.default().code)?.map(|it| it.currency());
        if !row.is_default_active() || known != Some(row.default()) {
            wrong.push(format!("{client}: {}", row.default().code));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{api::object::Stamp, clock::Time, id::Id as _, store::codec::golden},
        modules::currency::{contract::CurrencyId, model::CurrencyKind},
    };

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let row = CatalogueRow {
            id: CurrencyId::from_bytes([1; 16]),
            code: "USDT".parse().unwrap(),
            name: "Tether".into(),
            symbol: "₮".into(),
            kind: CurrencyKind::Crypto,
            decimals: 6,
            is_in_use: true,
            stamp: Stamp::at(at),
        };
        golden("currency.catalogue", &row);
        golden("currency.clients", &ClientCurrencies::new(row.currency()));
    }
}
