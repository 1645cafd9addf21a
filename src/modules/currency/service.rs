//! What can be done with currencies.

use super::{
    contract::{CurrencyContract, CurrencyRefusal},
    events::CurrencyDefaultChanged,
    model::{CatalogueRow, ClientCurrencies, CurrencyKind, check_decimals},
    repository::{CATALOGUE, CLIENTS, by_external_id, catalogue, of_client, put_of_client},
    routes::{CurrencyIn, CurrencyPatchIn},
};
use crate::kernel::{
    api::{
        call::{Call, Caller, found},
        object::{Stamp, save},
        principal::ClientId,
        problem::ApiRefusal,
    },
    error::Result,
    money::{Currency, CurrencyCode},
    store::{ReadTx, WriteTx},
};

pub struct CurrencyService;

/// The operator's catalogue.
impl CurrencyService {
    /// Refuses `currency_taken`, `external_id_taken`.
    pub fn add(&self, tx: &mut WriteTx, call: &Call<(), CurrencyIn>) -> Result<CatalogueRow> {
        let input = &call.input;
        let decimals = check_decimals(input.decimals)?;
        check_free(tx, input.code, Some(&input.name), Some(&input.symbol))?;
        if tx.exists(&CATALOGUE, &input.code)? {
            return Err(CurrencyRefusal::CurrencyTaken { currency: input.code }.into());
        }
        if let Some(external_id) = &input.external_id
            && let Some(other) = by_external_id(tx, external_id.as_str())?
        {
            return Err(ApiRefusal::ExternalIdTaken { existing_id: other.id.to_string() }.into());
        }

        let row = CatalogueRow {
            id: tx.new_id(),
            code: input.code,
            name: String::from(&input.name),
            symbol: String::from(&input.symbol),
            kind: input.kind,
            decimals,
            is_in_use: false,
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        tx.put(&CATALOGUE, &row.code, &row)?;
        Ok(row)
    }

    /// Refuses `currency_taken`, and `currency_in_use` when the decimals can no longer change.
    pub fn change(
        &self,
        tx: &mut WriteTx,
        call: &Call<CurrencyCode, CurrencyPatchIn>,
    ) -> Result<CatalogueRow> {
        let input = &call.input;
        let mut row = found(tx.get(&CATALOGUE, &call.path)?)?;
        call.caller.check_version(shown_version(tx, &call.caller, &row)?)?;
        let decimals = input.decimals.map_or(Ok(row.decimals), check_decimals)?;
        if decimals != row.decimals && row.is_in_use {
            return Err(CurrencyRefusal::CurrencyInUse { currency: row.code }.into());
        }
        check_free(tx, row.code, input.name.as_deref(), input.symbol.as_deref())?;

        row.decimals = decimals;
        row.name = input.name.as_ref().map_or(row.name, String::from);
        row.symbol = input.symbol.as_ref().map_or(row.symbol, String::from);
        row.stamp.metadata.merge(input.metadata.clone());
        save(tx, &CATALOGUE, &call.path, &mut row)?;
        Ok(row)
    }
}

/// The currencies of a client.
impl CurrencyService {
    /// Refuses `currency_is_default`.
    pub fn deactivate(&self, tx: &mut WriteTx, client: ClientId, code: CurrencyCode) -> Result<()> {
        let mut row = of_client(tx, client)?;
        if row.deactivate(code)? {
            put_of_client(tx, client, &row)?;
        }
        Ok(())
    }

    /// Refuses `currency_inactive`. Amounts that were set in the one before stay in that one.
    pub fn make_default(&self, tx: &mut WriteTx, caller: &Caller, code: CurrencyCode) -> Result<()> {
        let client = caller.client()?;
        let mut row = of_client(tx, client)?;
        let Some(previous) = row.make_default(code)? else {
            return Ok(());
        };

        put_of_client(tx, client, &row)?;
        tx.publish(
            caller,
            &CurrencyDefaultChanged { client_id: client, previous: previous.code, currency: code },
        )?;
        Ok(())
    }
}

impl CurrencyContract for CurrencyService {
    fn active(&self, tx: &ReadTx, client: ClientId, code: CurrencyCode) -> Result<Currency> {
        let active = of_client(tx, client)?.active(code);
        active.ok_or_else(|| CurrencyRefusal::CurrencyInactive { currency: code }.into())
    }

    fn known(&self, tx: &ReadTx, code: CurrencyCode) -> Result<Option<Currency>> {
        Ok(tx.get(&CATALOGUE, &code)?.map(|it| it.currency()))
    }

    fn is_crypto(&self, tx: &ReadTx, code: CurrencyCode) -> Result<bool> {
        Ok(tx.get(&CATALOGUE, &code)?.is_some_and(|it| it.kind == CurrencyKind::Crypto))
    }

    fn default_of(&self, tx: &ReadTx, client: ClientId) -> Result<Currency> {
        Ok(of_client(tx, client)?.default())
    }

    fn use_currency(&self, tx: &mut WriteTx, code: CurrencyCode) -> Result<()> {
        take_into_use(tx, code).map(drop)
    }

    fn set_up_client(&self, tx: &mut WriteTx, client: ClientId, default: CurrencyCode) -> Result<()> {
        let currency = take_into_use(tx, default)?;
        put_of_client(tx, client, &ClientCurrencies::new(currency))
    }

    fn activate(&self, tx: &mut WriteTx, client: ClientId, code: CurrencyCode) -> Result<()> {
        let mut row = of_client(tx, client)?;
        if row.activate(take_into_use(tx, code)?) {
            put_of_client(tx, client, &row)?;
        }
        Ok(())
    }
}

/// The version a caller sees: changes of the catalogue and, inside a client, of the client's own choice. Both only
/// grow, so their sum never repeats.
pub fn shown_version(tx: &ReadTx, caller: &Caller, row: &CatalogueRow) -> Result<u64> {
    let chosen = match caller.principal.client {
        Some(client) => tx.get(&CLIENTS, &client)?.map_or(0, |it| it.version()),
        None => 0,
    };
    Ok(row.stamp.version + chosen)
}

/// The currency, its decimals fixed from now on. Refuses `currency_unknown`.
fn take_into_use(tx: &mut WriteTx, code: CurrencyCode) -> Result<Currency> {
    let row = tx.get(&CATALOGUE, &code)?;
    let mut row = row.ok_or(CurrencyRefusal::CurrencyUnknown { currency: code })?;
    if !row.is_in_use {
        row.is_in_use = true;
        save(tx, &CATALOGUE, &code, &mut row)?;
    }
    Ok(row.currency())
}

/// Refuses `currency_taken` when another currency than `code` has the name or the symbol.
fn check_free(tx: &ReadTx, code: CurrencyCode, name: Option<&str>, symbol: Option<&str>) -> Result<()> {
    let same = |row: &CatalogueRow| {
        name.is_some_and(|it| it.to_lowercase() == row.name.to_lowercase())
            || symbol.is_some_and(|it| it == row.symbol)
    };
    let taken = catalogue(tx)?.into_iter().find(|it| it.code != code && same(it));
    taken.map_or(Ok(()), |it| Err(CurrencyRefusal::CurrencyTaken { currency: it.code }.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{
            id::Id as _,
            store::{Store, StoreOptions},
        },
        modules::currency::migrations::MIGRATIONS,
    };

    #[test]
    fn a_currency_is_fixed_from_its_first_use_and_active_where_it_was_activated() {
        let (ours, theirs) = (ClientId::from_bytes([1; 16]), ClientId::from_bytes([2; 16]));
        let code = |text: &str| text.parse::<CurrencyCode>().unwrap();
        let refusal = |error: crate::kernel::error::Error| error.code();
        let test = move |tx: &mut WriteTx| {
            let (usd, eur, unknown) = (code("USD"), code("EUR"), code("XYZ"));
            let service = CurrencyService;
            (MIGRATIONS[0].up)(tx)?;
            let refused = service.set_up_client(tx, ours, unknown).map_err(refusal);
            assert_eq!(refused, Err(Some("currency_unknown")));
            service.set_up_client(tx, ours, usd)?;
            service.set_up_client(tx, theirs, eur)?;
            assert_eq!(service.default_of(tx, ours)?.code, usd);
            for (client, code, is_active) in [
                (ours, usd, true),
                (ours, eur, false),
                (theirs, eur, true),
                (theirs, usd, false),
                (ours, unknown, false),
            ] {
                let found = service.active(tx, client, code).map(|it| it.decimals).map_err(refusal);
                let wanted = if is_active { Ok(2) } else { Err(Some("currency_inactive")) };
                assert_eq!(found, wanted, "{code}");
            }
            let is_in_use =
                |tx: &WriteTx, code| tx.get(&CATALOGUE, &code).map(|it| it.is_some_and(|it| it.is_in_use));
            assert!(is_in_use(tx, usd)? && is_in_use(tx, eur)? && !is_in_use(tx, btc())?);
            service.use_currency(tx, btc())?;
            assert!(is_in_use(tx, btc())?);
            assert_eq!(service.activate(tx, ours, unknown).map_err(refusal), Err(Some("currency_unknown")));
            service.activate(tx, ours, btc())?;
            assert_eq!(service.active(tx, ours, btc())?, service.known(tx, btc())?.expect("it is known"));
            Ok(())
        };
        Store::in_memory(StoreOptions::default()).write_blocking(test).unwrap();
    }

    fn btc() -> CurrencyCode {
        "BTC".parse().unwrap()
    }
}
